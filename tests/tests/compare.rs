//! `pipewright compare`: totals, failures, gates, parts, variants, two versions of a plugin, interruption.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pipewright::compare::model::{Outcome, Report, Verdict};
use pipewright_tests::crates::{copy_to, plugin};
use pipewright_tests::sandbox::{KERNEL, Sandbox};
use pipewright_tests::{build_directory, pipewright, workspace};

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
    let why =
        "neither gets through:\n  k/9.pto: lower::unknown-op: the target does not know `pto.tnonsense`\n";
    assert!(run.stdout.contains(why), "{}", run.stdout);
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
    assert!(run.stderr.contains("part 3 of 3 is missing"), "{}", run.stderr);
    assert!(sandbox.refused(["compare", "--merge", "a.json", "a.json"]).contains("are the same part"));
    sandbox.run(arguments(["--shard", "2/3", "--json", "more-trips.json"]).chain(["--default-trips", "9"]));
    let refused = sandbox.refused(["compare", "--merge", "a.json", "more-trips.json"]);
    assert!(refused.contains("`more-trips.json` differs from `a.json` in its assumptions"), "{refused}");
    sandbox.run(arguments(["--shard", "2/2", "--json", "halves.json"]));
    let refused = sandbox.refused(["compare", "--merge", "a.json", "halves.json"]);
    assert!(refused.contains("in its number of parts"), "{refused}");
    let run = sandbox.run(["compare", "--merge", "a.json", "b.json", "c.json", "--default-trips", "9"]);
    assert!(run.code == Some(2) && run.stderr.contains("'--default-trips <N>'"), "{}", run.stderr);
    assert!(sandbox.refused(["compare", "--merge", "all.json"]).contains("it was made without `--shard`"));
}

#[test]
fn parts_are_merged_in_the_order_of_paths() {
    // As texts, `k-2` comes before `k/`; as paths, behind it.
    let sandbox = Sandbox::with(&[("k/a.pto", KERNEL), ("k-2/a.pto", KERNEL), ("k/b.pto", KERNEL)]);
    let arguments = |more: [&'static str; 4]| ["compare", "k", "k-2"].into_iter().chain(TWO).chain(more);
    sandbox.run(arguments(["--json", "all.json", "--rows", "3"]));
    sandbox.run(arguments(["--json", "a.json", "--shard", "1/2"]));
    sandbox.run(arguments(["--json", "b.json", "--shard", "2/2"]));
    assert_eq!(sandbox.run(["compare", "--merge", "a.json", "b.json", "--json", "m.json"]).code, Some(0));
    let (merged, all) = (report(&sandbox, "m.json"), report(&sandbox, "all.json"));
    assert_eq!(
        all.kernels.iter().map(|k| &k.file[..]).collect::<Vec<_>>(),
        ["k/a.pto", "k/b.pto", "k-2/a.pto"]
    );
    assert_eq!(timeless(merged), timeless(all));
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
        run.code == Some(1)
            && run.stderr.contains("`base.json` does not fit: it has no pipeline `a3`, but `a3-reference`"),
        "{}",
        run.stderr
    );
    assert_eq!(sandbox.run(plain).code, Some(2));
    let without_gate = sandbox.run(plain.into_iter().chain(["--baseline", "base.json"]));
    assert!(without_gate.code == Some(2) && without_gate.stderr.contains("give a `--fail-on`"));
}

#[test]
fn a_baseline_that_says_nothing_of_this_run_is_refused() {
    let sandbox = sandbox();
    let run = |paths: &[&'static str], more: &[&'static str]| {
        let gate = ["--pipeline", "a3-reference", "--baseline", "base.json", "--fail-on", "regression=0%"];
        sandbox.run(["compare"].iter().chain(paths).chain(&gate).chain(more).copied())
    };
    sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--json", "base.json"]));
    let other_trips = run(&["k"], &["--default-trips", "9"]);
    assert!(
        other_trips.code == Some(1)
            && other_trips.stderr.contains("it was made with 8 trips by default")
            && other_trips.stderr.contains("this run has 9 trips"),
        "{}",
        other_trips.stderr
    );
    let other_names = run(&["./k"], &[]);
    assert!(
        other_names.stderr.contains("none of the kernels of this run, not `./k/0.pto`"),
        "{}",
        other_names.stderr
    );
    // Some are missing, some are new: that is said, and no failure.
    sandbox.write("k/new.pto", KERNEL);
    let some = run(&["k/0.pto", "k/new.pto"], &[]);
    assert_eq!(some.code, Some(0));
    assert!(
        some.stderr.contains("1 of the kernels are not in the baseline:\n  k/new.pto"),
        "{}",
        some.stderr
    );
    assert!(some.stderr.contains("3 of the kernels are only in the baseline:\n  k/1.pto"), "{}", some.stderr);
    for (text, why) in [
        ("{", "is no report of a comparison: EOF while parsing"),
        ("{\"schema\": \"pipewright.simulate/1\", \"hz\": 1}", "its schema is `pipewright.simulate/1`, not"),
        ("{\"a\": 1}", "it has no `schema`"),
    ] {
        sandbox.write("base.json", text);
        let refused = run(&["k"], &[]);
        assert!(refused.code == Some(1) && refused.stderr.contains(why), "{}", refused.stderr);
    }
}

#[test]
fn a_kernel_that_no_longer_compiles_breaks_every_gate() {
    let sandbox = sandbox();
    let compare = ["compare", "k", "--pipeline", "a3-reference"];
    sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--json", "base.json"]));
    let text = sandbox.read("k/1.pto").replacen("pto.tload", "pto.tlaod", 1);
    sandbox.write("k/1.pto", text);
    for gate in ["regression=5%", "new-findings"] {
        let run = sandbox.run(compare.into_iter().chain(["--baseline", "base.json", "--fail-on", gate]));
        let expected = "k/1.pto `crowded_tail` under a3-reference: does not compile any more";
        assert!(run.code == Some(1) && run.stderr.contains(expected), "{}", run.stderr);
    }
}

#[test]
fn mistakes_in_arguments_are_named_before_the_work() {
    let sandbox = sandbox();
    let vary =
        |what: &'static str| sandbox.refused(["compare", "k", "--pipeline", "a3-reference", "--vary", what]);
    let stage = vary("backward-mach.tail-wait=push-front,push-back");
    assert!(stage.contains("did you mean `backward-match`?") && stage.contains("--vary"), "{stage}");
    let option = vary("backward-match.tail=push-front,push-back");
    assert!(option.contains("tail-wait"), "{option}");
    let value = vary("backward-match.tail-wait=push-front,push-middle");
    assert!(value.contains("does not take \"push-middle\""), "{value}");
    let twice = ["--vary", "event-id-allocation.max-ids=4", "--vary", "event-id-allocation.max-ids=8"];
    let run = sandbox.run(["compare", "k"].into_iter().chain(twice));
    assert!(run.code == Some(2) && run.stderr.contains("write all values in one"), "{}", run.stderr);
    let wrong = |more: &[&'static str]| {
        let run = sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(more.iter().copied()));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
        run.stderr
    };
    assert!(wrong(&["--shard", "0/3"]).contains("write `K/N` with K from 1 to N"));
    assert!(wrong(&["--trip", "rows"]).contains("write `NAME=N`"));
    assert!(wrong(&["--trip", "rows=many"]).contains("`many` is no value here: write `NAME=N`"));
    assert!(wrong(&["--trip", "rows=1", "--trip", "%rows=2"]).contains("`rows` is given twice"));
    assert!(wrong(&["--json", "r", "--csv", "r"]).contains("is to be two files at once"));
    let folder = sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--html", "no/r.html"]));
    assert_eq!((folder.code, folder.stdout.as_str()), (Some(1), ""));
    assert!(folder.stderr.contains("cannot write `no/r.html`"), "{}", folder.stderr);
    let unknown = sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--trip", "rowz=3"]));
    assert_eq!(unknown.code, Some(0));
    assert!(
        unknown.stderr.contains("no loop or bound in these kernels is called `rowz`"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_ranking_that_rests_on_an_estimate_says_so() {
    let sandbox = Sandbox::default();
    let examples = workspace().join("examples");
    let arguments = ["compare", examples.to_str().expect("a path in Unicode"), "--pipeline", "a3-reference"];
    let vary = ["--vary", "event-id-allocation.max-ids=8,1", "--json", "r.json"];
    let run = sandbox.run(arguments.into_iter().chain(vary));
    let (_, ranking) = run.stdout.split_once("ranking: it hinges on cost figures").expect("it hinges");
    assert!(ranking.contains("sync.set.delay (est)") && ranking.contains("the other way round"), "{ranking}");
    let report = report(&sandbox, "r.json");
    let hinges: Vec<_> = report.kernels.iter().flat_map(|k| &k.hinges).collect();
    assert!(hinges.iter().any(|h| h.figure == "sync.set.delay" && h.factor == 2.0), "{hinges:?}");
    assert!(hinges.iter().all(|h| (h.ratio < 1.0) == (h.changed_ratio > 1.0)), "{hinges:?}");
}

#[test]
fn a_result_on_the_standard_output_stands_alone() {
    let sandbox = sandbox();
    let run = sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--json", "-"]));
    assert!(Report::from_json(&run.stdout).is_ok_and(|r| r.kernels.len() == 4), "{}", run.stdout);
}

#[test]
fn three_pipelines_are_measured_and_ranked() {
    let sandbox = sandbox();
    let run = sandbox.run(["compare", "k"].into_iter().chain(TWO).chain(["--pipeline", "a3-codegen-only"]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn cycles_under_two_cost_tables_are_not_compared() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    let targets = workspace().join("pipelines/targets");
    let target = std::fs::read_to_string(targets.join("a3.toml")).unwrap();
    let include =
        target.lines().find(|l| l.starts_with("costs")).expect("the target names its costs").to_owned();
    for file in pipewright_tests::files_below(&targets, ".toml") {
        let name = file.strip_prefix(&targets).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        sandbox.write(&format!("targets/{}", name.display()), text);
    }
    assert!(include.contains("cost.toml"), "{include}");
    let pipeline = "[pipeline]\nname = \"own\"\nextends = \"a3-reference\"\ntarget = \"targets/a3.toml\"\n";
    sandbox.write("own.toml", pipeline);
    let both = ["compare", "k.pto", "--pipeline", "a3-reference", "--pipeline", "own.toml"];
    let refused = sandbox.refused(both);
    assert!(
        refused.contains("compare::costs") && refused.contains("`--costs FILE` takes one for all"),
        "{refused}"
    );
    let run = sandbox.run(both.into_iter().chain(["--costs", "targets/a3/cost.toml"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
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

/// The allocation of event ids as a plugin of this version, which takes so many ids by default.
fn allocation(version: &str, ids: usize) -> PathBuf {
    let sources = build_directory().join("test-plugins").join(format!("event-id-allocation-{version}"));
    std::fs::create_dir_all(&sources).unwrap();
    for file in ["lib.rs", "pools.rs", "widening.rs"] {
        let text =
            std::fs::read_to_string(workspace().join("plugins/event-id-allocation/src").join(file)).unwrap();
        let default = "\"max-ids\",\n                8,";
        assert!(file != "lib.rs" || text.contains(default), "the default is where it was");
        let own = format!("\"max-ids\",\n                {ids},");
        std::fs::write(sources.join(file), text.replace(default, &own)).unwrap();
    }
    let source = sources.join("lib.rs");
    plugin("event-id-allocation", version, source.to_str().expect("a path in Unicode"))
}

#[test]
fn two_versions_of_a_plugin_are_compared_in_one_process() {
    let sandbox = sandbox();
    for (directory, version, ids) in [("old", "0.1.0", 8), ("new", "0.2.0", 2)] {
        let library = allocation(version, ids);
        copy_to(&sandbox.path(directory), &[&library]);
        let file = library.file_name().unwrap().to_string_lossy().into_owned();
        let pipeline = format!(
            "[pipeline]\nname = \"p\"\nextends = \"a3-reference\"\n\n[[stage]]\npass = \"event-id-allocation\"\nplugin = \
             \"{directory}/{file}\"\nversion = \"={version}\"\n"
        );
        sandbox.write(&format!("{directory}.toml"), pipeline);
    }
    let both = ["--pipeline", "old.toml", "--pipeline", "new.toml"];
    let run = sandbox.run(["compare", "k", "--json", "r.json"].into_iter().chain(both));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report = report(&sandbox, "r.json");
    let used: Vec<_> = report
        .pipelines
        .iter()
        .map(|p| {
            let stage = p.stages.iter().find(|s| s.pass == "event-id-allocation").expect("the stage");
            let ids = stage.options.iter().find(|(name, _)| name == "max-ids").expect("the option");
            (p.name.as_str(), stage.version.as_str(), ids.1.as_str())
        })
        .collect();
    assert_eq!(used, [("p (old)", "0.1.0", "8"), ("p (new)", "0.2.0", "2")]);
    // Each ran its own code: they differ where a kernel wants more than two ids, and there first.
    let crowded = report.kernels.iter().find(|k| k.function == "crowded_tail").expect("the kernel");
    let peak = |n: usize| {
        let metrics = &crowded.results[n].compiled().expect("it compiles").metrics;
        metrics.peak_ids.values().max().copied()
    };
    assert_eq!((peak(0), peak(1)), (Some(8), Some(2)));
    assert_eq!(crowded.divergences[0].pass, "event-id-allocation");
    assert_eq!(report.pairings[0].compared, 4);
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
