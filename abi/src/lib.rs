//! All that a Pipewright pass sees.
//!
//! A pass author depends on this crate alone, implements [`Pass`] for a struct and exports it with
//! [`register_pass!`]. The host lends the program ([`ir::Module`], [`kernel::Kernel`]) read-only as flat columns;
//! the one thing a pass can change is the [`plan::SyncPlan`], through edits that the host checks and applies.
//!
//! What must hold: nothing here does I/O; every record that crosses the boundary is plain old data made of
//! fixed-width integers; a record's layout never changes once released. New facts arrive as new columns under new
//! ids (see [`mod@column`]), never as new fields.
#![deny(missing_docs)]

pub mod artifact;
pub mod column;
pub mod condition;
pub mod contract;
mod guard;
pub mod hazard;
mod ids;
pub mod ir;
pub mod kernel;
pub mod memory;
pub mod parts;
pub mod pass;
pub mod placement;
pub mod plan;
pub mod plugin;
mod rules;
pub mod sync;
pub mod target;
pub mod testing;

pub use ids::*;
pub use pass::{OptionSpec, OptionType, Pass, PassContext, PassError, PassInfo, Scope};
pub use plugin::ABI_VERSION;
