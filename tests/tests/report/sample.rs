//! A report made by hand, with what examples do not have: kernels that fail on one side or hang, texts that look like
//! markup, an interrupted run, rankings that hinge on a figure.

use std::collections::BTreeMap;

use pipewright::compare::model::{
    Assumptions, Compiled, Divergence, Edge, Finding, Hinge, Kernel, Lane, Loss, Metrics, Outcome, Pipeline,
    Reason, Report, SCHEMA, Span, Stage, Statement, Timeline, Verdict,
};
use pipewright::compare::summary::pairings;

/// A text that does harm if it is ever taken for markup.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=\"window.harmed = 1\"><!--<script>{{report}}";

/// Three pipelines over five kernels: one slower and hanging, one that fails, one hostile, one equal, one unnamed.
pub(crate) fn report() -> Report {
    let kernels = vec![
        kernel(
            "equal",
            vec![
                compiled(Some(100), Verdict::Proved),
                compiled(Some(100), Verdict::Proved),
                compiled(Some(120), Verdict::Proved),
            ],
        ),
        kernel(
            "hangs",
            vec![compiled(Some(50), Verdict::Assumed), hanging(), compiled(Some(40), Verdict::Sampled)],
        ),
        kernel(
            "fails",
            vec![compiled(Some(70), Verdict::Proved), failed(), compiled(Some(90), Verdict::Warnings)],
        ),
        kernel(
            HOSTILE,
            vec![
                compiled(Some(10), Verdict::Proved),
                compiled(Some(20), Verdict::Errors),
                compiled(Some(10), Verdict::Proved),
            ],
        ),
        kernel("", vec![failed(), failed(), failed()]),
    ];
    Report {
        schema: SCHEMA.into(),
        complete: false,
        shard: None,
        files: 6,
        assumptions: Assumptions {
            default_trips: 8,
            trips: BTreeMap::from([("%n".into(), 3)]),
            ..Default::default()
        },
        pipelines: ["base", "other", HOSTILE].map(pipeline).into(),
        pairings: pairings(&kernels, 3),
        kernels,
    }
}

fn pipeline(name: &str) -> Pipeline {
    let stage = Stage {
        pass: "insert".into(),
        plugin: "sync".into(),
        version: "0.1.0".into(),
        file: "libsync.so".into(),
        options: vec![("mode".into(), "\"<b>\"".into())],
    };
    Pipeline { name: name.into(), file: "p.toml".into(), settings: Vec::new(), stages: vec![stage] }
}

fn kernel(function: &str, results: Vec<Outcome>) -> Kernel {
    let hinge = |factor, changed_ratio| Hinge {
        pipeline: 2,
        figure: "sync.set.visible-after".into(),
        confidence: "est".into(),
        factor,
        ratio: 1.2,
        changed_ratio,
    };
    let variations = if function == "equal" { vec![hinge(0.5, 0.9), hinge(2.0, 1.4)] } else { Vec::new() };
    Kernel {
        file: format!("kernels/{}.pto", if function.is_empty() { "broken" } else { "k" }),
        function: function.into(),
        divergences: vec![Divergence {
            pipeline: 1,
            pass: "insert".into(),
            diff: ["@@ -1,2 +1,2 @@", " same", "-set A>B #0", "+set A>B #1"].map(str::to_owned).into(),
        }],
        hinges: variations.iter().filter(|h| h.flips()).cloned().collect(),
        variations,
        results,
    }
}

fn failed() -> Outcome {
    Outcome::Failed { diagnostic: format!("error: {HOSTILE}\n  at line 1") }
}

fn hanging() -> Outcome {
    let Outcome::Compiled(mut compiled) = compiled(None, Verdict::Errors) else { unreachable!() };
    compiled.deadlock = vec!["V waits for MTE2>V #0 at line 2".into()];
    Outcome::Compiled(compiled)
}

fn compiled(cycles: Option<u64>, verdict: Verdict) -> Outcome {
    let finding = Finding {
        rule: "data-race".into(),
        grade: "error".into(),
        message: format!("V may touch {HOSTILE}"),
        lines: vec![1, 2],
        witness: format!("path: {HOSTILE}"),
    };
    let has_errors = verdict == Verdict::Errors;
    let skeleton = (0..40).map(|n| format!("  step {n}")).chain(has_errors.then(|| HOSTILE.to_owned()));
    Outcome::Compiled(Box::new(Compiled {
        verdict,
        findings: if has_errors { vec![finding] } else { Vec::new() },
        more_findings: if has_errors { [("flag-reuse".to_owned(), 3)].into() } else { BTreeMap::new() },
        metrics: Metrics {
            cycles,
            sets: 1,
            waits: 1,
            barriers: [("V".to_owned(), 2)].into(),
            pipe_all: 1,
            demoted: 1,
            peak_ids: [("MTE2>V".to_owned(), 1)].into(),
            passes: vec![("insert".into(), 12)],
            output_bytes: 345,
        },
        deadlock: Vec::new(),
        extrapolated: 0,
        notes: vec!["the loop at line 2 is taken to have 8 trips".into()],
        skeleton: skeleton.collect(),
        timeline: Some(timeline(cycles.unwrap_or(30))),
    }))
}

/// A load, the vector unit that waits for it, and a token between them.
fn timeline(cycles: u64) -> Timeline {
    let statement =
        |text: &str| Statement { text: text.into(), line: 2, source: format!("{text} {HOSTILE}") };
    let work = |start, length, statement| Span { start, length, statement, reason: None };
    let stall = Span { start: 0, length: 5, statement: 2, reason: Some(Reason::Wait) };
    let lane = |pipe: &str, spans| Lane { pipe: pipe.into(), busy: 5, stalls: BTreeMap::new(), spans };
    Timeline {
        cycles,
        shown: cycles,
        lanes: vec![
            lane("V", vec![stall, work(5, 1, 2), work(6, 2, 3)]),
            lane("MTE2", vec![work(0, 4, 0), work(4, 1, 1)]),
            lane("MTE3", Vec::new()),
        ],
        edges: vec![Edge { from_lane: 1, from_time: 5, to_lane: 0, to_time: 5, set: 1, wait: 2 }],
        statements: ["pto.tload", "set MTE2>V #0", "wait MTE2>V #0", "pto.tadd"].map(statement).into(),
        critical_path: Vec::new(),
        losses: vec![Loss { statement: 2, count: 1, cycles: 5 }],
    }
}
