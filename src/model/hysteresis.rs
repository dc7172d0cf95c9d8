// SPDX-License-Identifier: GPL-2.0-only
//! Two thresholds and a hold time per level: how large an imbalance must be, and for how long.
//!
//! The gain of a move first has to exceed `open`; from then on the imbalance counts as lasting
//! until the gain is seen below `close`; after `hold` the move may be made. `toll_gate_pass()` in
//! `decide.h` and [`crate::model::decide::Gate`] are the two statements of it.
//!
//! | level | open | close | hold | reasoning |
//! |---|---|---|---|---|
//! | core | 0 | 0 | 0 | a move within an LLC is next to free |
//! | llc | 0 | 0 | 0 | the penalty is the threshold already; another would only delay moves that pay |
//! | node | 2 ms | 0.5 ms | 4 ms | remote time is lost for as long as the task stays. Below 2 ms a turn of 20 ms has hardly waited; 4 ms outlasts a burst of wakeups, which nearer CPUs absorb in that time. Guesses, to be tested |

use crate::topology::Level;
use crate::units::Ns;
use anyhow::{Result, bail};

/// The gate that a move across one level has to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hysteresis {
    /// Gain above which an imbalance starts to count; 0: any gain.
    pub open: Ns,
    /// Gain below which it is forgotten; at most `open`.
    pub close: Ns,
    /// How long it must have lasted; 0: no hold, `open` alone decides.
    pub hold: Ns,
}

impl Hysteresis {
    /// No gate: any gain passes at once.
    pub const NONE: Hysteresis = Hysteresis { open: Ns::ZERO, close: Ns::ZERO, hold: Ns::ZERO };

    /// A gate with the given thresholds.
    ///
    /// # Errors
    /// When `close` exceeds `open`: an imbalance would be forgotten while it grows.
    pub fn new(open: Ns, close: Ns, hold: Ns) -> Result<Hysteresis> {
        if close > open {
            bail!("hysteresis closes at {close} and opens at {open}, expected close <= open");
        }
        Ok(Hysteresis { open, close, hold })
    }

    /// The built-in gate of a level; see the module's page for the reasoning.
    pub const fn default_for(level: Level) -> Hysteresis {
        match level {
            Level::Core | Level::Llc => Hysteresis::NONE,
            Level::Node => Hysteresis {
                open: Ns::from_us(2_000),
                close: Ns::from_us(500),
                hold: Ns::from_us(4_000),
            },
        }
    }

    /// The built-in gates, by [`Level`].
    pub fn defaults() -> [Hysteresis; 3] {
        Level::ALL.map(Hysteresis::default_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        for gate in Hysteresis::defaults() {
            assert_eq!(Hysteresis::new(gate.open, gate.close, gate.hold).unwrap(), gate);
        }
    }

    #[test]
    fn a_gate_that_closes_above_its_opening_is_refused() {
        let error = Hysteresis::new(Ns::from_ms(1), Ns::from_ms(2), Ns::ZERO).unwrap_err();
        assert_eq!(
            error.to_string(),
            "hysteresis closes at 2 ms and opens at 1 ms, expected close <= open"
        );
    }
}
