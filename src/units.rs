// SPDX-License-Identifier: GPL-2.0-only
//! Units and ids as types, with the bounds that keep the arithmetic of the BPF half safe.
//!
//! Everything that reaches a policy map passes through one of these types first, so the bounds
//! are checked in one place: a time is at most [`Ns::MAX`], a factor or rate at most
//! [`FACTOR_MAX`]. The bounds are those of `src/bpf/intf.h`; `tests/decide_matches_reference.rs`
//! compares them with the header.
//!
//! Two ways in from floating point, for two situations:
//! - `try_from_…` refuses what is not a sensible quantity, for what a person typed;
//! - `clamped_from_…` always answers, for what the program computed itself.

use std::fmt;

/// Most CPUs, as `TOLL_MAX_CPUS` in `intf.h`. CPU numbers stay below it.
pub const MAX_CPUS: usize = 1024;
/// Most last-level caches, as `TOLL_MAX_LLCS` in `intf.h`.
pub const MAX_LLCS: usize = 128;
/// Most NUMA nodes, as `TOLL_MAX_NODES` in `intf.h`.
pub const MAX_NODES: usize = 64;
/// Largest raw value of a factor ([`Q10`]) or rate ([`PerMille`]), as `TOLL_FACTOR_MAX`.
pub const FACTOR_MAX: u32 = 1 << 20;
/// Raw value of the factor 1.0, as `TOLL_Q10_ONE` in `intf.h`.
pub const Q10_ONE: u32 = 1024;

/// Why a number is not a quantity that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitError {
    /// NaN or an infinity.
    NotFinite,
    /// Below zero.
    Negative,
    /// Above the bound of the type.
    TooLarge,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UnitError::NotFinite => "is not a finite number",
            UnitError::Negative => "is negative",
            UnitError::TooLarge => "is too large",
        })
    }
}

impl std::error::Error for UnitError {}

/// Round `value * scale`, which must lie in `0 ..= max` after rounding.
fn checked(value: f64, scale: f64, max: u64) -> Result<u64, UnitError> {
    if !value.is_finite() {
        return Err(UnitError::NotFinite);
    }
    if value < 0.0 {
        return Err(UnitError::Negative);
    }
    let rounded = (value * scale).round();
    if rounded > max as f64 {
        return Err(UnitError::TooLarge);
    }
    Ok(rounded as u64)
}

/// Round `value * scale` into `0 ..= max`; NaN counts as 0.
fn clamped(value: f64, scale: f64, max: u64) -> u64 {
    match checked(value, scale, max) {
        Ok(value) => value,
        Err(UnitError::TooLarge) => max,
        Err(UnitError::NotFinite) if value == f64::INFINITY => max,
        Err(_) => 0,
    }
}

/// A number with at most `digits` decimals and no trailing zeros: 12.30 → "12.3", 10.0 → "10".
fn write_trimmed(f: &mut fmt::Formatter<'_>, value: f64, digits: usize) -> fmt::Result {
    let text = format!("{value:.digits$}");
    f.write_str(if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    })
}

/// A length of time in nanoseconds, `0 ..= 2^40` (about 18 minutes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ns(u64);

impl Ns {
    /// No time at all.
    pub const ZERO: Ns = Ns(0);
    /// The longest time that is handled, as `TOLL_NS_MAX` in `intf.h`.
    pub const MAX: Ns = Ns(1 << 40);

    /// `ns` nanoseconds, at most [`Ns::MAX`].
    pub const fn new(ns: u64) -> Ns {
        if ns > Ns::MAX.0 { Ns::MAX } else { Ns(ns) }
    }

    /// `us` microseconds, at most [`Ns::MAX`].
    pub const fn from_us(us: u64) -> Ns {
        Ns::new(us.saturating_mul(1_000))
    }

    /// `ms` milliseconds, at most [`Ns::MAX`].
    pub const fn from_ms(ms: u64) -> Ns {
        Ns::new(ms.saturating_mul(1_000_000))
    }

    /// `us` microseconds as typed by a person, rounded to a nanosecond.
    ///
    /// # Errors
    /// When `us` is not finite, negative, or longer than [`Ns::MAX`].
    pub fn try_from_us(us: f64) -> Result<Ns, UnitError> {
        checked(us, 1e3, Ns::MAX.0).map(Ns)
    }

    /// `ms` milliseconds as typed by a person, rounded to a nanosecond.
    ///
    /// # Errors
    /// As [`Ns::try_from_us`].
    pub fn try_from_ms(ms: f64) -> Result<Ns, UnitError> {
        checked(ms, 1e6, Ns::MAX.0).map(Ns)
    }

    /// `ns` nanoseconds as computed, rounded and forced into the range; NaN counts as 0.
    pub fn clamped_from_f64(ns: f64) -> Ns {
        Ns(clamped(ns, 1.0, Ns::MAX.0))
    }

    /// The number of nanoseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same in microseconds.
    pub fn as_us(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// The same in milliseconds.
    pub fn as_ms(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The sum, at most [`Ns::MAX`].
    pub const fn plus(self, other: Ns) -> Ns {
        Ns::new(self.0.saturating_add(other.0))
    }

    /// `factor` times as long, at most [`Ns::MAX`]; 0 for a factor that is NaN or negative.
    pub fn times(self, factor: f64) -> Ns {
        Ns::clamped_from_f64(self.0 as f64 * factor)
    }
}

impl fmt::Display for Ns {
    /// In the largest unit that leaves at least one whole digit: "850 ns", "12.3 µs", "4 ms".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A unit is left as soon as its rounded figure would read 1000.
        let (value, unit) = match self.0 {
            0..1_000 => (self.0 as f64, "ns"),
            1_000..999_950 => (self.as_us(), "µs"),
            999_950..999_950_000 => (self.as_ms(), "ms"),
            _ => (self.0 as f64 / 1e9, "s"),
        };
        write_trimmed(f, value, 1)?;
        write!(f, " {unit}")
    }
}

/// A factor in fixed point, 1024 = 1.0; from 0 to 1024.0 in steps of 1/1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Q10(u32);

impl Q10 {
    /// The factor 0.
    pub const ZERO: Q10 = Q10(0);
    /// The factor 1.0.
    pub const ONE: Q10 = Q10(Q10_ONE);
    /// The largest factor, 1024.0.
    pub const MAX: Q10 = Q10(FACTOR_MAX);

    /// The factor `raw / 1024`, at most [`Q10::MAX`].
    pub const fn from_raw(raw: u32) -> Q10 {
        if raw > FACTOR_MAX { Q10::MAX } else { Q10(raw) }
    }

    /// A factor as typed by a person, rounded to 1/1024.
    ///
    /// # Errors
    /// When `factor` is not finite, negative, or larger than 1024.
    pub fn try_from_f64(factor: f64) -> Result<Q10, UnitError> {
        let raw = checked(factor, f64::from(Q10_ONE), u64::from(FACTOR_MAX))?;
        Ok(Q10(raw as u32))
    }

    /// A factor as computed, rounded and forced into the range; NaN counts as 0.
    pub fn clamped_from_f64(factor: f64) -> Q10 {
        Q10(clamped(factor, f64::from(Q10_ONE), u64::from(FACTOR_MAX)) as u32)
    }

    /// The raw value, 1024 = 1.0.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The factor as a floating-point number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Q10_ONE)
    }
}

impl fmt::Display for Q10 {
    /// With at most three decimals: "0.1", "1.6", "3".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_trimmed(f, self.as_f64(), 3)
    }
}

/// A rate in thousandths, `0 ..= 2^20`: 250 is a quarter more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PerMille(u32);

impl PerMille {
    /// No extra at all.
    pub const ZERO: PerMille = PerMille(0);
    /// The largest rate.
    pub const MAX: PerMille = PerMille(FACTOR_MAX);

    /// `pm` thousandths, at most [`PerMille::MAX`].
    pub const fn new(pm: u32) -> PerMille {
        if pm > FACTOR_MAX { PerMille::MAX } else { PerMille(pm) }
    }

    /// A rate in per cent as typed by a person, rounded to a thousandth.
    ///
    /// # Errors
    /// When `pct` is not finite, negative, or above 2^20 per mille.
    pub fn try_from_pct(pct: f64) -> Result<PerMille, UnitError> {
        Ok(PerMille(checked(pct, 10.0, u64::from(FACTOR_MAX))? as u32))
    }

    /// A ratio as computed (0.25 = 250 ‰), rounded and forced into the range; NaN counts as 0.
    pub fn clamped_from_ratio(ratio: f64) -> PerMille {
        PerMille(clamped(ratio, 1e3, u64::from(FACTOR_MAX)) as u32)
    }

    /// The number of thousandths.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PerMille {
    /// In per cent: "25 %", "12.5 %".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_trimmed(f, f64::from(self.0) / 10.0, 1)?;
        f.write_str(" %")
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $word:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl $name {
            /// The same as an index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}"), self.0)
            }
        }
    };
}

id_type!(
    /// A CPU by the kernel's number; below [`MAX_CPUS`], with holes where CPUs are offline.
    CpuId,
    "CPU"
);
id_type!(
    /// A last-level cache by our own number: dense from 0, below [`MAX_LLCS`].
    LlcId,
    "LLC"
);
id_type!(
    /// A NUMA node by our own number: dense from 0, below [`MAX_NODES`]. The kernel's number can
    /// have holes and is kept beside it, in `topology::Node::kernel_id`.
    NodeId,
    "node"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let cases = [
            (0, "0 ns"),
            (850, "850 ns"),
            (12_300, "12.3 µs"),
            (10_000, "10 µs"),
            (999_949, "999.9 µs"),
            (999_950, "1 ms"),
            (2_500_000, "2.5 ms"),
            (999_950_000, "1 s"),
            (1 << 40, "1099.5 s"),
        ];
        for (ns, text) in cases {
            assert_eq!(Ns::new(ns).to_string(), text, "{ns}");
        }
        assert_eq!(Q10::clamped_from_f64(0.1).to_string(), "0.1");
        assert_eq!(Q10::from_raw(3 * 1024).to_string(), "3");
        assert_eq!(PerMille::new(125).to_string(), "12.5 %");
        assert_eq!(LlcId(3).to_string(), "LLC 3");
    }

    #[test]
    fn what_is_not_a_quantity_is_refused() {
        assert_eq!(Ns::try_from_us(f64::NAN), Err(UnitError::NotFinite));
        assert_eq!(Ns::try_from_us(f64::INFINITY), Err(UnitError::NotFinite));
        assert_eq!(Ns::try_from_us(-0.1), Err(UnitError::Negative));
        assert_eq!(Ns::try_from_us(1.1e12), Err(UnitError::TooLarge));
        assert_eq!(Ns::try_from_us(f64::MAX), Err(UnitError::TooLarge));
        assert_eq!(Ns::try_from_us(12.3456), Ok(Ns::new(12_346)));
        assert_eq!(Q10::try_from_f64(1024.0), Ok(Q10::MAX));
        assert_eq!(Q10::try_from_f64(1024.1), Err(UnitError::TooLarge));
        assert_eq!(PerMille::try_from_pct(12.5), Ok(PerMille::new(125)));
    }

    #[test]
    fn what_was_computed_is_forced_into_the_range() {
        assert_eq!(Ns::clamped_from_f64(f64::NAN), Ns::ZERO);
        assert_eq!(Ns::clamped_from_f64(f64::NEG_INFINITY), Ns::ZERO);
        assert_eq!(Ns::clamped_from_f64(f64::INFINITY), Ns::MAX);
        assert_eq!(Ns::clamped_from_f64(1e300), Ns::MAX);
        assert_eq!(Ns::MAX.plus(Ns::MAX), Ns::MAX);
        assert_eq!(Ns::from_ms(u64::MAX), Ns::MAX);
        assert_eq!(Ns::from_us(10).times(1.5), Ns::from_us(15));
        assert_eq!(Q10::clamped_from_f64(-1.0), Q10::ZERO);
        assert_eq!(Q10::from_raw(u32::MAX), Q10::MAX);
    }
}
