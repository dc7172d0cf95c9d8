// SPDX-License-Identifier: GPL-2.0-only
//! Findings in words.

use crate::analysis::correlate::Effect;

/// What an effect means.
pub const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Push => "push: a rise there is followed by a rise here",
        Effect::Pull => "pull: it falls, then the other falls",
        Effect::Exchange => "exchange: what one gains the other loses",
        Effect::Undetermined => "direction undetermined",
    }
}
