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
    Assumptions, Compiled, Divergence, Finding, Hinge, Kernel, Metrics, Outcome, Pairing, Pipeline, Reason,
    Report, Shard, Timeline, Verdict,
};
use super::summary::{self, Standing};

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
    pairings: &'a [Pairing],
    standings: Vec<Standing>,
    kernels: Vec<Line<'a>>,
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
    Overview {
        complete: report.complete,
        shard: report.shard,
        files: report.files,
        assumptions: &report.assumptions,
        pipelines: &report.pipelines,
        pairings: &report.pairings,
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
    hinges: &'a [Hinge],
    /// For each pipeline, how its skeleton differs from the first one's.
    diffs: Vec<Vec<Stretch>>,
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
    skeleton: Vec<usize>,
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
    let mut strings = Strings::default();
    let results: Vec<Side<'_>> = kernel.results.iter().map(|outcome| side(outcome, &mut strings)).collect();
    let skeleton = |side: &Side<'_>| match side {
        Side::Compiled(compiled) => compiled.skeleton.clone(),
        Side::Failed { .. } => Vec::new(),
    };
    let first = results.first().map(skeleton).unwrap_or_default();
    let diffs = results.iter().map(|result| stretches(&first, &skeleton(result))).collect();
    Detail { results, divergences: &kernel.divergences, hinges: &kernel.hinges, diffs, strings: strings.all }
}

fn side<'a>(outcome: &'a Outcome, strings: &mut Strings<'a>) -> Side<'a> {
    match outcome {
        Outcome::Failed { diagnostic } => Side::Failed { diagnostic },
        Outcome::Compiled(compiled) => Side::Compiled(Box::new(CompiledSide {
            verdict: compiled.verdict,
            findings: &compiled.findings,
            more_findings: &compiled.more_findings,
            metrics: &compiled.metrics,
            deadlock: &compiled.deadlock,
            notes: &compiled.notes,
            skeleton: compiled.skeleton.iter().map(|line| strings.number(line)).collect(),
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
