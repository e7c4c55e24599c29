//! `pipewright compare`: totals, failures, gates, parts, variants, two versions of a plugin, interruption.

use std::process::Stdio;
use std::time::{Duration, Instant};

use pipewright::compare::model::{Outcome, Report, Verdict};
use pipewright_tests::crates::{copy_to, plugin};
use pipewright_tests::sandbox::{KERNEL, Sandbox};
use pipewright_tests::{pipewright, workspace};

const TWO: [&str; 4] = ["--pipeline", "a3-reference", "--pipeline", "a3-reference-push-back"];

/// Kernels of the examples, among them one whose loop tail goes wrong one way round.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::default();
    let examples =
        ["loop-tail/two_phases.pto", "loop-tail/crowded_tail.pto", "softmax_rows.pto", "matmul_k_loop.pto"];
    for (n, example) in examples.iter().enumerate() {
        let text = std::fs::read_to_string(workspace().join("examples").join(example)).unwrap();
        sandbox.write(&format!("k/{n}.pto"), text);
    }
    sandbox
}

fn report(sandbox: &Sandbox, file: &str) -> Report {
    Report::from_json(&sandbox.read(file)).expect("a report")
}

/// The report without its wall times, which differ from run to run.
fn timeless(mut report: Report) -> Report {
    for outcome in report.kernels.iter_mut().flat_map(|k| &mut k.results) {
        if let Outcome::Compiled(compiled) = outcome {
            compiled.metrics.passes.iter_mut().for_each(|(_, us)| *us = 0);
        }
    }
    report
}

#[test]
fn the_kernel_that_goes_wrong_comes_first() {
    let sandbox = sandbox();
    let run =
        sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--json", "r.json", "--csv", "r.csv"]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(run.stdout);
    let report = report(&sandbox, "r.json");
    assert!(report.complete && report.kernels.len() == 4 && report.files == 4);
    let tail = &report.kernels[0];
    assert_eq!(tail.results[1].verdict(), Some(Verdict::Errors));
    let compiled = tail.results[1].compiled().unwrap();
    assert!(compiled.findings.iter().any(|f| f.rule == "double-set" && !f.witness.is_empty()));
    assert_eq!((tail.divergences[0].pipeline, tail.divergences[0].pass.as_str()), (1, "backward-match"));
    assert!(tail.divergences[0].diff.iter().any(|line| line.starts_with('+')));
    assert_eq!(report.pairings[0].verdict_worse, [0]);
    assert_eq!(sandbox.read("r.csv").lines().count(), 1 + 2 * 4);
}

#[test]
fn what_does_not_compile_is_not_dropped() {
    let sandbox = sandbox();
    sandbox.write("k/9.pto", KERNEL.replacen("pto.tadd", "pto.tnonsense", 1));
    let run = sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--json", "r.json"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report = report(&sandbox, "r.json");
    let failed = report.kernels.iter().find(|k| k.file == "k/9.pto").expect("it is listed");
    assert!(
        failed
            .results
            .iter()
            .all(|r| matches!(r, Outcome::Failed { diagnostic } if diagnostic.contains("tnonsense")))
    );
    assert_eq!((report.pairings[0].compared, report.pairings[0].neither), (4, 1));
    assert!(run.stdout.contains("neither gets through: 1 kernels"), "{}", run.stdout);
}

#[test]
fn parts_merged_are_one_run() {
    let sandbox = sandbox();
    let arguments = |more: [&'static str; 4]| ["compare", "k"].into_iter().chain(TWO).chain(more);
    sandbox.run(arguments(["--json", "all.json", "--rows", "3"]));
    for (shard, file) in [("1/3", "a.json"), ("2/3", "b.json"), ("3/3", "c.json")] {
        assert_eq!(sandbox.run(arguments(["--shard", shard, "--json", file])).code, Some(0));
    }
    let run = sandbox.run(["compare", "--merge", "c.json", "a.json", "b.json", "--json", "m.json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(timeless(report(&sandbox, "m.json")), timeless(report(&sandbox, "all.json")));
    // With a part missing it says so, and the same part twice is refused.
    let run = sandbox.run(["compare", "--merge", "a.json", "b.json", "--json", "m.json"]);
    assert_eq!((run.code, report(&sandbox, "m.json").complete), (Some(1), false));
    assert!(sandbox.refused(["compare", "--merge", "a.json", "a.json"]).contains("are the same part"));
    assert!(sandbox.refused(["compare", "--merge", "all.json"]).contains("it was made without `--shard`"));
}

#[test]
fn gates_fail_for_what_got_worse() {
    let sandbox = sandbox();
    let run = |pipelines: [&'static str; 2], gate: &'static str| {
        let [a, b] = pipelines;
        sandbox.run(["compare", "k", "--pipeline", a, "--pipeline", b, "--fail-on", gate])
    };
    let worse = run(["a3-reference", "a3-reference-push-back"], "new-findings");
    assert_eq!(worse.code, Some(1));
    assert!(
        worse.stderr.contains("k/0.pto `two_phases`") && worse.stderr.contains("double-set (error)"),
        "{}",
        worse.stderr
    );
    assert_eq!(run(["a3-reference-push-back", "a3-reference"], "regression=2%").code, Some(0));
    let slower = run(["a3-reference-push-back", "a3-reference"], "regression=0%");
    assert!(slower.code == Some(1) && slower.stderr.contains("cycles instead of"), "{}", slower.stderr);
    assert_eq!(sandbox.run(["compare", "k", "--pipeline", "a3", "--fail-on", "regression=2"]).code, Some(2));
}

#[test]
fn a_baseline_is_measured_against_by_name() {
    let sandbox = sandbox();
    let plain = ["compare", "k", "--pipeline", "a3-reference"];
    sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--json", "base.json"]));
    let gate = ["--baseline", "base.json", "--fail-on", "regression=0%", "--fail-on", "new-findings"];
    assert_eq!(sandbox.run(plain.into_iter().chain(gate)).code, Some(0));
    let set = ["--set", "event-id-allocation.max-ids=2"];
    let run = sandbox.run(plain.into_iter().chain(set).chain(gate));
    assert!(run.code == Some(1) && run.stderr.contains("crowded_tail"), "{}", run.stderr);
    let other = ["compare", "k", "--pipeline", "a3"].into_iter().chain(gate);
    let run = sandbox.run(other);
    assert!(
        run.code == Some(1) && run.stderr.contains("the baseline has no pipeline `a3`"),
        "{}",
        run.stderr
    );
    assert_eq!(sandbox.run(plain).code, Some(2));
}

#[test]
fn variants_are_a_product_with_the_best_marked() {
    let sandbox = sandbox();
    let vary = [
        "--vary",
        "backward-match.tail-wait=push-front,push-back",
        "--vary",
        "event-id-allocation.max-ids=4,8",
    ];
    let run =
        sandbox.run(["compare", "k", "--pipeline", "a3-reference", "--rows", "2"].into_iter().chain(vary));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let (_, table) = run.stdout.split_once("All pipelines").expect("there is a table of all");
    insta::assert_snapshot!(table);
    let twice = ["--vary", "event-id-allocation.max-ids=4,4"];
    let refused = sandbox.refused(["compare", "k", "--pipeline", "a3-reference"].into_iter().chain(twice));
    assert!(refused.contains("compare::same-variant"), "{refused}");
}

#[test]
fn two_versions_of_a_plugin_are_compared_in_one_process() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    copy_to(&sandbox.path("old"), &[&plugin("probe", "0.1.0", "probe.rs")]);
    copy_to(&sandbox.path("new"), &[&plugin("probe", "0.2.0", "probe.rs")]);
    let text = |directory: &str, version: &str| {
        let library = sandbox.path(directory).read_dir().unwrap().next().unwrap().unwrap().file_name();
        format!(
            "[pipeline]\nname = \"p\"\ntarget = \"a3\"\n\n[[stage]]\npass = \"probe-barrier\"\nplugin = \"{directory}/{}\"\n\
             version = \"={version}\"\n",
            library.to_string_lossy()
        )
    };
    sandbox.write("old.toml", text("old", "0.1.0"));
    sandbox.write("new.toml", text("new", "0.2.0"));
    let run = sandbox.run([
        "compare",
        "k.pto",
        "--pipeline",
        "old.toml",
        "--pipeline",
        "new.toml",
        "--json",
        "r.json",
    ]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report = report(&sandbox, "r.json");
    let used: Vec<_> =
        report.pipelines.iter().map(|p| (p.name.as_str(), p.stages[0].version.as_str())).collect();
    assert_eq!(used, [("p (old)", "0.1.0"), ("p (new)", "0.2.0")]);
    assert_eq!(report.pairings[0].compared, 1);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_a_report_that_says_so() {
    let sandbox = Sandbox::default();
    let text = pipewright_tests::synthetic::kernel(pipewright_tests::synthetic::Shape::Straight, 400);
    (0..400).for_each(|n| sandbox.write(&format!("k/{n}.pto"), &text));
    let mut command = pipewright();
    command.current_dir(sandbox.path("")).args(["compare", "k", "--json", "r.json"]).args(TWO);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let start = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(60));
    let report = report(&sandbox, "r.json");
    assert!(
        !report.complete && report.files == 400 && report.kernels.len() < 400,
        "{}",
        report.kernels.len()
    );
}

#[test]
fn nothing_to_compare_is_a_wrong_command_line() {
    let sandbox = sandbox();
    let run = sandbox.run(["compare", "k", "--pipeline", "a3"]);
    assert!(run.code == Some(2) && run.stderr.contains("nothing to compare"), "{}", run.stderr);
    assert_eq!(sandbox.run(["compare", "k", "--shard", "4/3"]).code, Some(2));
}
