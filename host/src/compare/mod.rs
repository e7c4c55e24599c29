//! Kernels x pipelines: what each pipeline makes of each kernel, and which is better where.
//!
//! [`kernel::file`] puts one file through all contenders, [`report`] makes a [`model::Report`] of what came out. What
//! must hold: a report is a function of files, contenders and plan, but for the wall times in it; the parts of a
//! comparison, merged, are the report of one run over all files.

pub mod contender;
pub mod csv;
pub mod gate;
pub mod html;
pub mod kernel;
pub mod merge;
pub mod model;
pub mod summary;

use std::path::PathBuf;

use contender::Contender;
use kernel::Plan;
use model::{Assumptions, Kernel, Report, SCHEMA, Shard};

use crate::verify::FlagModel;

/// The files of a part: every so-maniest, so that parts are about equally heavy.
pub fn part(files: &[PathBuf], shard: Option<Shard>) -> Vec<PathBuf> {
    let (first, step) = shard.map_or((0, 1), |s| (s.index.saturating_sub(1), s.count.max(1)));
    files.iter().skip(first).step_by(step).cloned().collect()
}

/// The report on these kernels, out of so many files. It is complete if nothing kept it from having them all.
pub fn report(
    kernels: Vec<Kernel>,
    contenders: &[Contender],
    plan: &Plan,
    files: usize,
    shard: Option<Shard>,
    complete: bool,
) -> Report {
    Report {
        schema: SCHEMA.into(),
        complete,
        shard,
        files,
        assumptions: Assumptions {
            default_trips: plan.setup.default_trips,
            trips: plan.setup.given.clone(),
            budget: plan.setup.budget,
            flag_model: match plan.setup.model {
                FlagModel::Stall => "stall".into(),
                FlagModel::Lose => "lose".into(),
            },
        },
        pipelines: contenders.iter().map(|c| c.about.clone()).collect(),
        pairings: summary::pairings(&kernels, contenders.len()),
        kernels,
    }
}
