// SPDX-License-Identifier: GPL-2.0-only
//! Pages follow tasks that have settled on another node.

pub mod budget;
pub mod ordered;
