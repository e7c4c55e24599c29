//! A report as one page for a browser: no network, no framework, all data in it.
//!
//! What must hold: whatever texts the report holds, they stay data; the page is a function of the report. The table is
//! drawn from an overview; what else is known of a kernel is a block of its own that is read when the kernel is opened,
//! so that a page over many kernels opens at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::model::{
    Assumptions, Compiled, Divergence, Finding, Kernel, Means, Metrics, Outcome, Pairing, Pipeline, Reason,
    Report, Sensitivity, Shard, Timeline, Verdict,
};
use super::summary::{self, Standings};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPTS: [&str; 5] = [
    include_str!("page/app.js"),
    include_str!("page/list.js"),
    include_str!("page/kernel.js"),
    include_str!("page/timeline.js"),
    include_str!("page/draw.js"),
];

/// The page.
pub fn page(report: &Report) -> String {
    let mut kernels = String::new();
    for (index, kernel) in report.kernels.iter().enumerate() {
        let _ = writeln!(
            kernels,
            "<script type=\"application/json\" id=\"kernel-{index}\">{}</script>",
            embedded(&detail(kernel))
        );
    }
    // The scripts define all they need before anything is done.
    let script = SCRIPTS.join("\n") + "\nstart();";
    let overview = embedded(&overview(report));
    let parts = [("style", STYLE), ("report", &overview), ("script", &script), ("kernels", kernels.as_str())];
    fill(PAGE, &BTreeMap::from(parts))
}

/// Puts parts into the places `{{NAME}}` of a template. What is put in is not looked at again.
fn fill(template: &str, parts: &BTreeMap<&str, &str>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, name, after)) = place(rest) {
        out += before;
        out += parts.get(name).copied().unwrap_or_default();
        rest = after;
    }
    out + rest
}

/// The first place of a template, with what is before and after it.
fn place(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}

/// JSON that may stand within a script element: without a `<`, nothing in it can end the element.
fn embedded(value: &impl Serialize) -> String {
    // A `<` can only be within a string; all values are strings, numbers, lists and maps with string keys.
    serde_json::to_string(value).unwrap_or_default().replace('<', "\\u003c")
}

/// What totals and table are drawn from.
#[derive(Serialize)]
struct Overview<'a> {
    complete: bool,
    shard: Option<Shard>,
    files: usize,
    assumptions: &'a Assumptions,
    pipelines: &'a [Pipeline],
    /// For each pipeline the totals of the others against it.
    pairings: Vec<Vec<Totals>>,
    standings: Standings,
    kernels: Vec<Line<'a>>,
}

/// A [`Pairing`] without its lists of kernels, which the page makes itself.
#[derive(Serialize)]
struct Totals {
    pipeline: usize,
    compared: usize,
    wins: usize,
    losses: usize,
    ties: usize,
    geomean: Option<f64>,
    median: Option<f64>,
    clean: Means,
    one_sided: usize,
    neither: usize,
    better: usize,
    worse: usize,
    sensitivity: Vec<Sensitivity>,
}

impl From<Pairing> for Totals {
    fn from(p: Pairing) -> Self {
        Self {
            pipeline: p.pipeline,
            compared: p.compared,
            wins: p.wins,
            losses: p.losses,
            ties: p.ties,
            geomean: p.geomean,
            median: p.median,
            clean: p.clean,
            one_sided: p.only_first.len() + p.only_this.len(),
            neither: p.neither,
            better: p.verdict_better.len(),
            worse: p.verdict_worse.len(),
            sensitivity: p.sensitivity,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    function: &'a str,
    /// For each pipeline; none if it was not compiled.
    results: Vec<Option<Figures<'a>>>,
}

#[derive(Serialize)]
struct Figures<'a> {
    verdict: Verdict,
    cycles: Option<u64>,
    sets: usize,
    waits: usize,
    barriers: usize,
    pipe_all: usize,
    ids: usize,
    /// Rules that are broken, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<&'a str>,
}

fn overview(report: &Report) -> Overview<'_> {
    let count = report.pipelines.len();
    let against = |base: usize| summary::against(&report.kernels, count, base).into_iter().map(Totals::from);
    Overview {
        complete: report.complete,
        shard: report.shard,
        files: report.files,
        assumptions: &report.assumptions,
        pipelines: &report.pipelines,
        pairings: (0..count).map(|base| against(base).collect()).collect(),
        standings: summary::standings(report),
        kernels: report.kernels.iter().map(line).collect(),
    }
}

fn line(kernel: &Kernel) -> Line<'_> {
    let results = kernel.results.iter().map(|r| r.compiled().map(figures)).collect();
    Line { file: &kernel.file, function: &kernel.function, results }
}

fn figures(compiled: &Compiled) -> Figures<'_> {
    let m = &compiled.metrics;
    let mut rules: Vec<&str> = compiled.findings.iter().map(|f| f.rule.as_str()).collect();
    rules.extend(compiled.more_findings.keys().map(String::as_str));
    rules.sort_unstable();
    rules.dedup();
    Figures {
        verdict: compiled.verdict,
        cycles: m.cycles,
        sets: m.sets,
        waits: m.waits,
        barriers: m.barriers.values().sum(),
        pipe_all: m.pipe_all,
        ids: m.peak_ids.values().max().copied().unwrap_or(0),
        rules,
    }
}

/// What a kernel's own view is drawn from. Pipelines mostly agree, so texts are in it once, as numbers elsewhere.
#[derive(Serialize)]
struct Detail<'a> {
    strings: Vec<&'a str>,
    results: Vec<Side<'a>>,
    divergences: &'a [Divergence],
    hinges: Vec<PackedHinge>,
    /// Skeletons that differ, their lines as numbers of `strings`.
    skeletons: Vec<Vec<usize>>,
    /// For each two of them, the smaller number first, how they differ.
    diffs: Vec<(usize, usize, Vec<Stretch>)>,
}

/// A figure on which the order of two pipelines hinges.
#[derive(Serialize)]
struct PackedHinge {
    base: usize,
    pipeline: usize,
    figure: String,
    confidence: String,
    factor: f64,
    ratio: f64,
    changed_ratio: f64,
}

/// A stretch of two texts: first line and number of lines, in the one and in the other. Stretches alternate between
/// equal and different ones, beginning with an equal one.
type Stretch = [usize; 4];

#[derive(Serialize)]
#[serde(untagged)]
enum Side<'a> {
    Compiled(Box<CompiledSide<'a>>),
    Failed { diagnostic: &'a str },
}

#[derive(Serialize)]
struct CompiledSide<'a> {
    verdict: Verdict,
    findings: &'a [Finding],
    more_findings: &'a BTreeMap<String, usize>,
    metrics: &'a Metrics,
    deadlock: &'a [String],
    notes: &'a [String],
    /// Which of the skeletons it has.
    skeleton: usize,
    timeline: Option<Packed<'a>>,
}

#[derive(Serialize)]
struct Packed<'a> {
    cycles: u64,
    shown: u64,
    lanes: Vec<PackedLane<'a>>,
    /// As in [`Timeline`].
    edges: &'a [super::model::Edge],
    /// Text, line, source.
    statements: Vec<[usize; 3]>,
    /// Statement, pipe, start, end, reason.
    critical: Vec<[u64; 5]>,
    /// Statement, count, cycles.
    losses: Vec<[u64; 3]>,
}

#[derive(Serialize)]
struct PackedLane<'a> {
    pipe: &'a str,
    busy: u64,
    stalls: &'a BTreeMap<Reason, u64>,
    /// Four numbers a span: cycles since the end of the one before, length, statement, reason or 0.
    spans: Vec<u64>,
}

fn detail(kernel: &Kernel) -> Detail<'_> {
    let (mut strings, mut skeletons) = (Strings::default(), Vec::new());
    let results: Vec<Side<'_>> =
        kernel.results.iter().map(|outcome| side(outcome, &mut strings, &mut skeletons)).collect();
    let mut diffs = Vec::new();
    for (index, new) in skeletons.iter().enumerate() {
        let earlier = skeletons[..index].iter().enumerate();
        diffs.extend(earlier.map(|(known, old)| (known, index, stretches(old, new))));
    }
    let hinges = hinges(kernel);
    Detail { results, divergences: &kernel.divergences, hinges, skeletons, diffs, strings: strings.all }
}

/// What the order of any two pipelines hinges on.
fn hinges(kernel: &Kernel) -> Vec<PackedHinge> {
    let count = kernel.results.len();
    let pairs = (0..count).flat_map(|base| (0..count).map(move |pipeline| (base, pipeline)));
    let of_pair = |(base, pipeline): (usize, usize)| {
        let flips = summary::variations(kernel, base, pipeline).into_iter().filter(|h| h.flips());
        flips.map(move |hinge| PackedHinge {
            base,
            pipeline,
            figure: hinge.figure,
            confidence: hinge.confidence,
            factor: hinge.factor,
            ratio: hinge.ratio,
            changed_ratio: hinge.changed_ratio,
        })
    };
    pairs.filter(|(base, pipeline)| base != pipeline).flat_map(of_pair).collect()
}

fn side<'a>(outcome: &'a Outcome, strings: &mut Strings<'a>, skeletons: &mut Vec<Vec<usize>>) -> Side<'a> {
    match outcome {
        Outcome::Failed { diagnostic } => Side::Failed { diagnostic },
        Outcome::Compiled(compiled) => Side::Compiled(Box::new(CompiledSide {
            verdict: compiled.verdict,
            findings: &compiled.findings,
            more_findings: &compiled.more_findings,
            metrics: &compiled.metrics,
            deadlock: &compiled.deadlock,
            notes: &compiled.notes,
            skeleton: {
                let lines: Vec<usize> = compiled.skeleton.iter().map(|line| strings.number(line)).collect();
                let known = skeletons.iter().position(|s| *s == lines);
                known.unwrap_or_else(|| {
                    skeletons.push(lines);
                    skeletons.len() - 1
                })
            },
            timeline: compiled.timeline.as_ref().map(|timeline| pack(timeline, strings)),
        })),
    }
}

fn pack<'a>(timeline: &'a Timeline, strings: &mut Strings<'a>) -> Packed<'a> {
    let lane = |lane: &'a super::model::Lane| {
        let mut time = 0;
        let mut spans = Vec::with_capacity(lane.spans.len() * 4);
        for span in &lane.spans {
            let [start, length, statement, reason] = (*span).into();
            spans.extend([start.saturating_sub(time), length, statement, reason]);
            time = start.saturating_add(length);
        }
        PackedLane { pipe: &lane.pipe, busy: lane.busy, stalls: &lane.stalls, spans }
    };
    let statements = timeline.statements.iter();
    let steps = timeline.critical_path.iter();
    Packed {
        cycles: timeline.cycles,
        shown: timeline.shown,
        lanes: timeline.lanes.iter().map(lane).collect(),
        edges: &timeline.edges,
        statements: statements
            .map(|s| [strings.number(&s.text), s.line, strings.number(&s.source)])
            .collect(),
        critical: steps
            .map(|s| {
                let [pipe, because] = [&s.pipe, &s.because].map(|text| strings.number(text) as u64);
                [s.statement as u64, pipe, s.start, s.end, because]
            })
            .collect(),
        losses: timeline.losses.iter().map(|l| [l.statement as u64, l.count, l.cycles]).collect(),
    }
}

/// How one text becomes another.
fn stretches(old: &[usize], new: &[usize]) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = vec![[0; 4]];
    for op in capture_diff_slices(Algorithm::Myers, old, new) {
        let is_equal = matches!(op, DiffOp::Equal { .. });
        let (old, new) = (op.old_range(), op.new_range());
        let next = [old.start, old.len(), new.start, new.len()];
        let last_is_equal = out.len() % 2 == 1;
        match out.last_mut() {
            Some(last) if is_equal == last_is_equal => {
                last[1] += next[1];
                last[3] += next[3];
            }
            _ => out.push(next),
        }
    }
    out
}

/// Texts, each with a number.
#[derive(Default)]
struct Strings<'a> {
    all: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Strings<'a> {
    fn number(&mut self, text: &'a str) -> usize {
        *self.numbers.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_in_once_and_left_alone() {
        let parts = BTreeMap::from([("a", "{{b}} }}"), ("b", "2")]);
        assert_eq!(fill("<{{a}}|{{b}}>", &parts), "<{{b}} }}|2>");
    }

    #[test]
    fn every_place_of_the_page_is_known() {
        let mut rest = PAGE;
        let mut names = Vec::new();
        while let Some((_, name, after)) = place(rest) {
            names.push(name);
            rest = after;
        }
        assert_eq!(names, ["style", "report", "script", "kernels"]);
    }

    #[test]
    fn no_text_ends_the_element_it_is_in() {
        let hostile = "</script><!--<script>";
        let json = embedded(&[hostile]);
        assert!(!json.contains('<'), "{json}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [hostile]);
    }

    #[test]
    fn stretches_alternate_and_cover_both_texts() {
        assert_eq!(stretches(&[1, 2, 3], &[1, 2, 3]), [[0, 3, 0, 3]]);
        assert_eq!(stretches(&[1, 2, 3], &[1, 4, 5, 3]), [[0, 1, 0, 1], [1, 1, 1, 2], [2, 1, 3, 1]]);
        assert_eq!(stretches(&[], &[7]), [[0, 0, 0, 0], [0, 0, 0, 1]]);
        assert_eq!(stretches(&[7], &[]), [[0, 0, 0, 0], [0, 1, 0, 0]]);
    }
}
