//! What a comparison found, as data: the contract between the engine, the JSON file and the HTML page.
//!
//! `docs/compare.md` documents the JSON. What must hold: a field that was released keeps its name and meaning; every
//! index is in range; each kernel has one [`Outcome`] for each pipeline, in the order of [`Report::pipelines`], the
//! first of which is what the others are compared against. All but [`Metrics::passes`] is a function of the input.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::simulate::timeline::{CriticalStep, Edge, Lane, Loss, Reason, Span, Statement, Timeline};

/// The schema that this version writes and reads.
pub const SCHEMA: &str = "pipewright.compare/1";

/// A comparison of pipelines over kernels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Whether all kernels are in it that it is about; false for an interrupted run.
    pub complete: bool,
    /// Which part of the kernels it is about, if not all.
    pub shard: Option<Shard>,
    /// Number of files that the whole comparison is about, those of other parts included.
    pub files: usize,
    /// What is assumed where kernels do not say it.
    pub assumptions: Assumptions,
    /// What is compared. The first one is what the others are measured against.
    pub pipelines: Vec<Pipeline>,
    /// One entry for each function (for a function with parts for two kinds of core, for each part), in the order
    /// of file names and then of functions.
    pub kernels: Vec<Kernel>,
    /// Totals: each pipeline but the first, in order, against the first.
    pub pairings: Vec<Pairing>,
}

/// One part of a comparison that is spread over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which part, from 1.
    pub index: usize,
    /// Number of parts.
    pub count: usize,
}

/// What is assumed where kernels do not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assumptions {
    /// Trips of a loop whose bounds are not constants.
    pub default_trips: u64,
    /// Values given for parameters.
    pub trips: BTreeMap<String, i64>,
    /// Statements of a loop nest that are simulated before it is sampled.
    #[serde(default)]
    pub budget: u64,
    /// What a set does on a flag that is still set: `stall` or `lose`.
    #[serde(default)]
    pub flag_model: String,
}

/// One pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Its name; names differ within a report.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Settings by which it differs from its file, `STAGE.OPTION=VALUE`.
    pub settings: Vec<String>,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
}

/// One stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The pass.
    pub pass: String,
    /// The plugin that provides it.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The plugin's file.
    pub file: String,
    /// All options of the pass with their values.
    pub options: Vec<(String, String)>,
}

/// One function under every pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// The file it is in, as it was named.
    pub file: String,
    /// Its name; empty if no pipeline got so far as to know it.
    pub function: String,
    /// What came of it, for each pipeline.
    pub results: Vec<Outcome>,
    /// Where pipelines first go apart: for each pipeline but the first whose plan differs from the first's.
    pub divergences: Vec<Divergence>,
    /// Uncertain figures of the cost table that decide which of two pipelines is faster here: those of `variations`
    /// with which the other one is faster.
    pub hinges: Vec<Hinge>,
    /// The ratios with each uncertain figure halved and doubled, where that changes them.
    pub variations: Vec<Hinge>,
}

/// What came of a function under one pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was compiled, judged and simulated.
    Compiled(Box<Compiled>),
    /// It was not compiled.
    Failed {
        /// The diagnostics, as text for people.
        diagnostic: String,
    },
}

/// A function that was compiled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// The judgement in one word.
    pub verdict: Verdict,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Findings that were not looked into, by rule.
    pub more_findings: BTreeMap<String, usize>,
    /// Numbers.
    pub metrics: Metrics,
    /// Waits at which the simulation hung; empty if it came to its end.
    pub deadlock: Vec<String>,
    /// What the simulation assumed or sampled.
    pub notes: Vec<String>,
    /// Loops that were cut short and whose skipped trips may not be like those that were simulated.
    #[serde(default)]
    pub extrapolated: usize,
    /// The synchronization in program order, one statement, instruction or construct a line, indented.
    pub skeleton: Vec<String>,
    /// What runs when. Absent if it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeline: Option<Timeline>,
}

/// The judgement of a function in one word, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every rule holds on every path.
    Proved,
    /// Every rule holds on every path, if what is taken for granted is true.
    Assumed,
    /// Nothing was found, but some rule was only tried out on some paths.
    Sampled,
    /// There are warnings or advice, no errors.
    Warnings,
    /// There are errors.
    Errors,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule, `data-race`.
    pub rule: String,
    /// `error`, `warning` or `advice`.
    pub grade: String,
    /// One sentence.
    pub message: String,
    /// Lines of the source, from 1: of the first statement, if there are two, and of the second.
    pub lines: Vec<usize>,
    /// A path on which it happens, in words; several lines.
    pub witness: String,
}

/// Numbers about a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Simulated cycles; none after a deadlock.
    pub cycles: Option<u64>,
    /// Sets in the program text.
    pub sets: usize,
    /// Waits in the program text.
    pub waits: usize,
    /// Barriers in the program text, by pipe; those of all pipes not among them.
    pub barriers: BTreeMap<String, usize>,
    /// Barriers of all pipes in the program text.
    pub pipe_all: usize,
    /// Those of them that stand for a pair that got no event id.
    pub demoted: usize,
    /// Event ids that are in use at once, at most, by pair of pipes, `MTE2>V`.
    pub peak_ids: BTreeMap<String, usize>,
    /// Wall time of each pass on the whole file, in microseconds. The only figure that differs from run to run.
    pub passes: Vec<(String, u64)>,
    /// Size of the text that is made from the whole file.
    pub output_bytes: usize,
}

impl Hinge {
    /// Whether the other pipeline is faster with the figure changed.
    pub fn flips(&self) -> bool {
        (self.ratio - 1.0) * (self.changed_ratio - 1.0) < 0.0
    }
}

/// Where two pipelines go apart on a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// Index of the pipeline that is compared with the first.
    pub pipeline: usize,
    /// The first pass after which the plans differ.
    pub pass: String,
    /// The plans at that point, the first pipeline's against this one's: unified diff, without a header.
    pub diff: Vec<String>,
}

/// A figure of the cost table that is uncertain, and what becomes of the ratio of two pipelines if it is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hinge {
    /// Index of the pipeline that is compared with the first.
    pub pipeline: usize,
    /// The figure, `sync.set.visible-after`.
    pub figure: String,
    /// How well it is known: `low` or `est`.
    pub confidence: String,
    /// What the figure was multiplied with.
    pub factor: f64,
    /// Cycles of this pipeline through those of the first with the figure as it is.
    pub ratio: f64,
    /// The same with the figure changed.
    pub changed_ratio: f64,
}

/// Totals of one pipeline against the first. Ratios are cycles of this one through cycles of the first: below 1 it
/// is faster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pairing {
    /// Index of the pipeline.
    pub pipeline: usize,
    /// Kernels that both compiled and that ran to their end under both: what wins, losses, ties and ratios rest on.
    pub compared: usize,
    /// Kernels on which it is faster.
    pub wins: usize,
    /// Kernels on which it is slower.
    pub losses: usize,
    /// Kernels on which cycles are equal.
    pub ties: usize,
    /// Geometric mean of the ratios; none without any.
    pub geomean: Option<f64>,
    /// Median of the ratios; none without any.
    pub median: Option<f64>,
    /// The same for the kernels without an error on either side: a plan that leaves a flag out is fast and wrong.
    #[serde(default)]
    pub clean: Means,
    /// Kernels that only the first one compiled and ran to the end, by index in [`Report::kernels`].
    pub only_first: Vec<usize>,
    /// Kernels that only this one compiled and ran to the end.
    pub only_this: Vec<usize>,
    /// Kernels on which neither did.
    pub neither: usize,
    /// Kernels whose verdict is better than under the first one.
    pub verdict_better: Vec<usize>,
    /// Kernels whose verdict is worse.
    pub verdict_worse: Vec<usize>,
    /// What becomes of the totals if an uncertain figure is halved or doubled: those by which some kernel's order
    /// changes.
    pub sensitivity: Vec<Sensitivity>,
}

/// Means of ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// Kernels that they rest on.
    pub compared: usize,
    /// Geometric mean; none without any.
    pub geomean: Option<f64>,
    /// Median; none without any.
    pub median: Option<f64>,
}

/// Totals with one uncertain figure changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The figure.
    pub figure: String,
    /// How well it is known: `low` or `est`.
    pub confidence: String,
    /// What the figure was multiplied with.
    pub factor: f64,
    /// Kernels whose order changes.
    pub flips: usize,
    /// Geometric mean of the ratios with the figure changed.
    pub geomean: f64,
    /// Whether the mean says that the other pipeline is faster.
    pub reverses: bool,
}

impl Verdict {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Assumed => "assumed",
            Self::Sampled => "sampled",
            Self::Warnings => "warnings",
            Self::Errors => "errors",
        }
    }
}

impl Compiled {
    /// Number of findings by rule, those included that were not looked into.
    pub fn by_rule(&self) -> BTreeMap<String, usize> {
        let mut counts = self.more_findings.clone();
        for finding in &self.findings {
            *counts.entry(finding.rule.clone()).or_default() += 1;
        }
        counts
    }
}

impl Outcome {
    /// The function, if it was compiled.
    pub fn compiled(&self) -> Option<&Compiled> {
        match self {
            Self::Compiled(compiled) => Some(compiled),
            Self::Failed { .. } => None,
        }
    }

    /// The judgement, if it was compiled.
    pub fn verdict(&self) -> Option<Verdict> {
        self.compiled().map(|c| c.verdict)
    }

    /// Simulated cycles, if it was compiled and ran to its end.
    pub fn cycles(&self) -> Option<u64> {
        self.compiled().and_then(|c| c.metrics.cycles)
    }
}

impl Kernel {
    /// Cycles under a pipeline through cycles under the first; none if there is no such figure on both sides.
    pub fn ratio(&self, pipeline: usize) -> Option<f64> {
        let cycles = |index: usize| self.results.get(index)?.cycles().filter(|&c| c > 0);
        Some(cycles(pipeline)? as f64 / cycles(0)? as f64)
    }
}

impl Report {
    /// The report as JSON, ending in a line break.
    pub fn to_json(&self) -> String {
        // Strings, numbers and string keys can always be written.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Leaves out what runs when.
    pub fn forget_timelines(&mut self) {
        for outcome in self.kernels.iter_mut().flat_map(|k| &mut k.results) {
            if let Outcome::Compiled(compiled) = outcome {
                compiled.timeline = None;
            }
        }
    }

    /// The report of a JSON text, or why it is none.
    pub fn from_json(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            schema: Option<String>,
        }
        // Of another schema nothing more is known than its name.
        let head: Head = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match head.schema.as_deref() {
            Some(SCHEMA) => {}
            Some(other) => return Err(format!("its schema is `{other}`, not `{SCHEMA}`")),
            None => return Err("it has no `schema`".into()),
        }
        let report: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let count = report.pipelines.len();
        if count == 0 {
            return Err("it has no pipeline".into());
        }
        if let Some(shard) = report.shard.filter(|s| !(1..=s.count).contains(&s.index)) {
            return Err(format!("it is part {} of {}", shard.index, shard.count));
        }
        match report.kernels.iter().find(|k| k.results.len() != count) {
            Some(k) => Err(format!("`{}` has {} results for {count} pipelines", k.function, k.results.len())),
            None => Ok(report),
        }
    }
}
