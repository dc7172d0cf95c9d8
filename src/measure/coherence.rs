// SPDX-License-Identifier: GPL-2.0-only
//! What dirty data pays, and which protocol that resembles.
//!
//! Under MESI a modified line that another cache reads has to be written back on the way, so it
//! costs more than a clean one. Under MOESI it is handed over as it is and its owner keeps the
//! duty to write it back, so it costs no more, or even less where a clean line comes from memory.
//! The difference shows between LLCs only: within one, the shared cache answers for both.
//!
//! A likeness, not a proof: nothing here sees the protocol's states. When the spread of the
//! figures is larger than their difference, the answer is that it cannot be told.

use super::estimate::Estimate;
use serde::{Deserialize, Serialize};

/// The protocol family that the machine resembles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// Dirty lines cost more: written back on the way, as under MESI.
    Mesi,
    /// Dirty lines cost less than clean ones: handed from cache to cache, as under MOESI.
    Moesi,
    /// The figures do not tell.
    Unknown,
}

/// The answer, and how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coherence {
    /// What the machine resembles.
    pub resembles: Likeness,
    /// From 0 (a guess) to 1: `1 − spread / |difference|`.
    pub confidence: f64,
    /// What a modified line costs more than one that was only read, ns; may be negative.
    pub dirty_extra_ns: f64,
    /// The answer in words.
    pub because: String,
}

impl Coherence {
    /// No answer, for the reason `because`.
    pub fn unknown(because: &str) -> Coherence {
        Coherence {
            resembles: Likeness::Unknown,
            confidence: 0.0,
            dirty_extra_ns: 0.0,
            because: because.into(),
        }
    }

    /// The answer for lines in another LLC that was measured as `read` and as `modified`.
    pub fn judge(read: &Estimate, modified: &Estimate) -> Coherence {
        let extra = modified.p10 - read.p10;
        let spread = read.p10 * read.spread + modified.p10 * modified.spread;
        let sure = |resembles, what: &str| Coherence {
            resembles,
            confidence: (1.0 - spread / extra.abs()).clamp(0.0, 1.0),
            dirty_extra_ns: extra,
            because: format!("a modified line costs {:.0} ns {what} than a clean one", extra.abs()),
        };
        if extra.abs() <= spread {
            let because = format!(
                "cannot tell: modified and clean lines differ by {:.0} ns, the spread is {spread:.0} ns",
                extra.abs()
            );
            return Coherence { dirty_extra_ns: extra, ..Coherence::unknown(&because) };
        }
        if extra > 0.0 { sure(Likeness::Mesi, "more") } else { sure(Likeness::Moesi, "less") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(p10: f64, spread: f64) -> Estimate {
        Estimate { p10, spread, samples: 100, rejected: 0 }
    }

    #[test]
    fn the_difference_decides_only_when_it_exceeds_the_spread() {
        let judge = |read, modified, spread| {
            Coherence::judge(&estimate(read, spread), &estimate(modified, spread))
        };
        let mesi = judge(100.0, 160.0, 0.05);
        assert_eq!(mesi.resembles, Likeness::Mesi);
        assert!((0.7..0.9).contains(&mesi.confidence), "{mesi:?}");
        assert_eq!(judge(160.0, 100.0, 0.05).resembles, Likeness::Moesi);
        let unknown = judge(100.0, 110.0, 0.1);
        assert_eq!((unknown.resembles, unknown.confidence), (Likeness::Unknown, 0.0));
        assert!(unknown.because.starts_with("cannot tell"), "{unknown:?}");
    }
}
