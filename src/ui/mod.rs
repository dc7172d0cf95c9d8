// SPDX-License-Identifier: GPL-2.0-only
//! What a person reads. Nothing is computed here, only laid out.

pub mod analysis;
pub mod explain;
pub mod heat;
pub mod policy;
pub mod replay;
pub mod text;
pub mod top;
