//! Pipelines: the TOML that names the stages, resolving it against plugins, running it.
//!
//! [`load`] finds a file and merges what it extends, [`resolve`] chooses and loads plugins and checks everything
//! that can be checked, [`run`] runs the stages over the functions of a module. What must hold: nothing runs before
//! all of the pipeline was found right.

mod contracts;
mod extend;
mod flags;
mod lend;
mod model;
mod resolve;
mod run;

pub use extend::{PATH_VARIABLE, Pipeline, Stage, available, load};
pub use lend::Guard;
pub use model::{At, Literal, Place, Setting};
pub use resolve::{ResolvedPipeline, ResolvedStage, option_text, resolve, resolve_variant};
pub use run::{Moment, Outcome, Point, Unit, run};
