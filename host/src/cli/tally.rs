//! What a run took and what passes counted, over all inputs.

use std::fmt::Write as _;
use std::time::Duration;

use super::output;
use crate::pipeline::{Outcome, ResolvedPipeline};

/// What is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    /// The time of every stage.
    pub(super) timing: bool,
    /// The counters of every stage.
    pub(super) stats: bool,
    /// Remarks are printed elsewhere.
    pub(super) remarks: bool,
}

/// Times and counters of all inputs together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Reading the pipeline and the target, finding and loading the plugins.
    load: Duration,
    pub(super) parse: Duration,
    pub(super) lower: Duration,
    stages: Vec<(Duration, Vec<(String, i64)>)>,
    remarks: usize,
    pub(super) verify: Duration,
    /// Findings that are no errors.
    pub(super) warnings: usize,
}

impl Tally {
    /// A tally before the first input.
    pub(super) fn new(load: Duration) -> Self {
        Self { load, ..Self::default() }
    }

    /// Adds what one run of a pipeline took.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.add_stages(&outcome.stages);
        self.remarks += outcome.remarks.len();
    }

    /// Adds another tally of the same pipeline.
    pub(super) fn merge(&mut self, other: Self) {
        self.load += other.load;
        self.parse += other.parse;
        self.lower += other.lower;
        self.verify += other.verify;
        self.warnings += other.warnings;
        self.remarks += other.remarks;
        self.add_stages(&other.stages);
    }

    fn add_stages(&mut self, stages: &[(Duration, Vec<(String, i64)>)]) {
        self.stages.resize(stages.len().max(self.stages.len()), Default::default());
        for ((time, counters), (more, added)) in self.stages.iter_mut().zip(stages) {
            *time += *more;
            for (name, amount) in added {
                match counters.iter_mut().find(|(n, _)| n == name) {
                    Some((_, total)) => *total = total.saturating_add(*amount),
                    None => counters.push((name.clone(), *amount)),
                }
            }
        }
    }

    /// What `show` asks for, and hints at what it does not.
    pub(super) fn text(&self, pipeline: &ResolvedPipeline, show: Show) -> String {
        let mut text = String::new();
        if show.timing {
            let mut rows = vec![("load", self.load), ("parse", self.parse), ("lower", self.lower)];
            rows.extend(
                pipeline.stages.iter().zip(&self.stages).map(|(stage, (time, _))| (stage.name(), *time)),
            );
            if self.verify > Duration::ZERO {
                rows.push(("verify", self.verify));
            }
            let total: Duration = rows.iter().map(|(_, time)| *time).sum();
            rows.push(("total", total));
            let row = |(name, time): (&str, Duration)| {
                let share = 100.0 * time.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
                vec![name.into(), format!("{:>10.3}", time.as_secs_f64() * 1e3), format!("{share:>5.1}")]
            };
            text += &output::table(&["STAGE", "        ms", "    %"], rows.into_iter().map(row).collect());
        }
        if show.stats {
            let mut rows = Vec::new();
            for (stage, (_, counters)) in pipeline.stages.iter().zip(&self.stages) {
                let row =
                    |(name, n): &(String, i64)| vec![stage.name().into(), name.clone(), format!("{n:>10}")];
                rows.extend(counters.iter().map(row));
            }
            text += &output::table(&["STAGE", "COUNTER", "    AMOUNT"], rows);
        }
        if self.warnings > 0 {
            let (n, plural) = (self.warnings, if self.warnings == 1 { "" } else { "s" });
            let _ = writeln!(text, "{n} finding{plural} below an error; `pipewright verify` shows them");
        }
        if self.remarks > 0 && !show.remarks {
            let (n, plural) = (self.remarks, if self.remarks == 1 { "" } else { "s" });
            let _ = writeln!(text, "{n} remark{plural}; `--remarks` prints them");
        }
        text
    }
}
