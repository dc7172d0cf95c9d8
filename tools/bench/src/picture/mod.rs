// SPDX-License-Identifier: GPL-2.0-only
//! Pictures of what was measured, as SVG files that need nothing else.
//!
//! [`map`] draws a trace as CPU × time, with [`strips`] of figures below it; [`bars`] compares
//! schedulers. Colours follow the reader's light or dark scheme, as README pages do.

pub mod bars;
pub mod map;
mod palette;
mod strips;
mod svg;
