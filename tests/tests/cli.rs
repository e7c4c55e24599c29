//! The command line: what it accepts, what it refuses and how it says so.
//!
//! The kernels go through a pipeline of test passes, so that nothing here depends on what the real ones do.

use std::path::Path;
use std::process::Stdio;

use pipewright_tests::crates::{copy_to, plugin};
use pipewright_tests::pipewright;
use pipewright_tests::sandbox::{KERNEL, Sandbox};

const PIPELINE: &str = "[pipeline]\nname = \"p\"\ntarget = \"a3\"\n\n[[stage]]\npass = \"probe-barrier\"\n\n[[stage]]\npass = \"probe\"\n";

/// A directory with a kernel `k.pto`, a pipeline `p.toml` and the plugin `probe` in `plugins`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL), ("p.toml", PIPELINE)]);
    copy_to(&sandbox.path("plugins"), &[&plugin("probe", "0.1.0", "probe.rs")]);
    sandbox
}

const COMPILE: [&str; 6] = ["compile", "k.pto", "--pipeline", "p.toml", "--plugin-path", "plugins"];

fn compile<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&COMPILE, more].concat()
}

/// Compiles with the text `from` of the kernel replaced.
fn refused_kernel(from: &str, to: &str) -> String {
    assert!(KERNEL.contains(from), "the kernel has no {from:?}");
    let sandbox = sandbox();
    sandbox.write("k.pto", KERNEL.replacen(from, to, 1));
    sandbox.refused(compile(&["-o", "k.cpp"]))
}

/// Compiles with the text `from` of the pipeline replaced.
fn refused_pipeline(from: &str, to: &str) -> String {
    assert!(PIPELINE.contains(from), "the pipeline has no {from:?}");
    let sandbox = sandbox();
    sandbox.write("p.toml", PIPELINE.replacen(from, to, 1));
    sandbox.refused(compile(&["-o", "k.cpp"]))
}

#[test]
fn output_goes_to_a_file_or_the_standard_output() {
    let sandbox = sandbox();
    let run = sandbox.run(compile(&[]));
    insta::assert_snapshot!(run.stdout);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "1 remark; `--remarks` prints them\n"));
    let same = sandbox.run(compile(&["-o", "k.cpp"]));
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""));
    assert_eq!(sandbox.read("k.cpp"), run.stdout);
    let arguments = ["compile", "-", "--pipeline", "p.toml", "--plugin-path", "plugins", "-o", "-"];
    let piped = sandbox.finish(pipewright().current_dir(sandbox.path("")).args(arguments), KERNEL);
    assert_eq!((piped.code, piped.stdout), (Some(0), run.stdout));
}

#[test]
fn the_plan_is_printed_for_people() {
    let sandbox = sandbox();
    insta::assert_snapshot!(sandbox.run(compile(&["--emit", "plan"])).stdout);
    let run =
        sandbox.run(compile(&["--print-before", "probe-barrier", "--print-after", "all", "-o", "k.cpp"]));
    let points: Vec<_> = run.stderr.lines().filter(|l| l.starts_with("----")).collect();
    assert_eq!(points, ["---- before probe-barrier", "---- after probe-barrier", "---- after probe"]);
}

#[test]
fn remarks_statistics_and_times_are_printed_on_request() {
    let sandbox = sandbox();
    insta::assert_snapshot!(sandbox.run(compile(&["--remarks", "--stats", "-o", "k.cpp"])).stderr);
    let run = sandbox.run(compile(&["--timing", "-o", "k.cpp"]));
    for stage in ["load", "parse", "lower", "probe-barrier", "probe", "total"] {
        assert!(run.stderr.lines().any(|l| l.starts_with(stage)), "no {stage} in\n{}", run.stderr);
    }
}

#[test]
fn a_bad_input_does_not_keep_others_from_being_compiled() {
    let sandbox = sandbox();
    sandbox.write("bad.pto", "");
    let inputs =
        ["compile", "k.pto", "bad.pto", "gone.pto", "--pipeline", "p.toml", "--plugin-path", "plugins"];
    let run = sandbox.run([&inputs[..], &["--out-dir", "out"]].concat());
    assert_eq!(run.code, Some(1));
    assert!(sandbox.path("out/k.cpp").exists() && !sandbox.path("out/bad.cpp").exists());
    insta::with_settings!({filters => vec![(r"in [0-9.]+ s", "in [time] s")]}, {
        insta::assert_snapshot!(run.stderr);
    });
}

#[test]
fn a_folder_stands_for_all_kernels_below_it() {
    let sandbox = sandbox();
    for i in 0..20 {
        let name = if i % 3 == 0 { format!("all/sub{}/k{i}.pto", i % 2) } else { format!("all/k{i}.pto") };
        sandbox.write(&name, if i == 7 { "module {" } else { KERNEL });
    }
    let arguments = ["compile", "all", "k.pto", "--pipeline", "p.toml", "--plugin-path", "plugins"];
    let run = sandbox.run([&arguments[..], &["--out-dir", "out"]].concat());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let summary: Vec<_> = run.stderr.lines().rev().take(2).collect();
    assert_eq!(summary[0], "  all/k7.pto");
    assert!(summary[1].starts_with("compiled 20 of 21 kernels in "), "{}", summary[1]);
    let alone = sandbox.run(compile(&[])).stdout;
    for output in ["out/k.cpp", "out/k1.cpp", "out/sub0/k0.cpp", "out/sub1/k9.cpp"] {
        assert_eq!(sandbox.read(output), alone, "{output}");
    }
    assert!(!sandbox.path("out/k7.cpp").exists());

    sandbox.write("none/notes.txt", "");
    let run = sandbox.run(["compile", "none", "--out-dir", "out"]);
    assert_eq!(run.code, Some(1));
    insta::assert_snapshot!(run.stderr);
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let sandbox = sandbox();
    sandbox.write("other/k.pto", KERNEL);
    let cases: [&[&str]; 6] = [
        &[],
        &["compile"],
        &["compile", "k.pto", "--emit", "poetry"],
        &["compile", "k.pto", "other/k.pto", "--pipeline", "p.toml"],
        &["compile", "k.pto", "other/k.pto", "--out-dir", "out"],
        &["compile", "k.pto", "-o", "a", "--out-dir", "out"],
    ];
    for arguments in cases {
        let run = sandbox.run(arguments.iter().copied());
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.is_empty() && run.stderr.contains("--help"), "{arguments:?}: {}", run.stderr);
    }
    let help = sandbox.run(["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("Exit codes:"));
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let sandbox = sandbox();
    for arguments in [&["passes"][..], &["--help"], &compile(&[])] {
        let mut command = pipewright();
        command.current_dir(sandbox.path("")).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let sandbox = sandbox();
    let first = sandbox.run(compile(&["--emit", "plan", "--stats", "--remarks"]));
    for _ in 0..3 {
        let again = sandbox.run(compile(&["--emit", "plan", "--stats", "--remarks"]));
        assert_eq!((&again.stdout, &again.stderr), (&first.stdout, &first.stderr));
    }
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    let device = Path::new("/dev/null");
    if device.exists() {
        let sandbox = sandbox();
        assert_eq!(sandbox.run(compile(&["-o", "/dev/null"])).code, Some(0));
        assert!(!device.is_file());
    }
}

// Kernels that are wrong.

#[test]
fn an_empty_kernel_is_refused() {
    insta::assert_snapshot!(refused_kernel(KERNEL, ""));
}

#[test]
fn a_truncated_kernel_is_refused() {
    let tail = KERNEL.find("outs(%a").map(|at| &KERNEL[at..]).unwrap();
    insta::assert_snapshot!(refused_kernel(tail, "outs(%a"));
}

#[test]
fn an_unknown_operation_is_refused() {
    insta::assert_snapshot!(refused_kernel("pto.tneg ", "pto.tnegg "));
}

#[test]
fn an_operation_is_added_without_any_rust() {
    let sandbox = sandbox();
    sandbox.write("k.pto", KERNEL.replace("pto.tneg ", "pto.tflip "));
    sandbox.write(
        "ops.toml",
        "[[op]]\nname = \"pto.tflip\"\nsummary = \"ours\"\nclass = \"dps\"\nins = [\"src: tile\"]\n\
         outs = [\"dst: tile\"]\npipe = \"MTE3\"\ncpp = \"TFLIP({dst}, {src})\"\n",
    );
    let run = sandbox.run(compile(&["--emit", "plan", "--target", "ops.toml"]));
    let line = run.stdout.lines().find(|l| l.contains("pto.tflip")).expect("the operation is there");
    assert!(line.contains("MTE3"), "{line}");
}

#[test]
fn an_undefined_value_is_refused() {
    insta::assert_snapshot!(refused_kernel("scf.if %last", "scf.if %lost"));
}

#[test]
fn a_type_mismatch_is_refused() {
    insta::assert_snapshot!(refused_kernel(
        "outs(%to : !pto.partition_tensor_view<1x128xf32>",
        "outs(%to : !pto.partition_tensor_view<1x64xf32>"
    ));
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let sandbox = sandbox();
    let arguments = ["compile", "gone.pto", "--pipeline", "p.toml", "--plugin-path", "plugins"];
    insta::assert_snapshot!(sandbox.refused(arguments));
    sandbox.write("k.pto", b"module \xff");
    insta::assert_snapshot!(sandbox.refused(compile(&[])));
}

#[test]
fn an_output_that_cannot_be_written_is_refused() {
    insta::assert_snapshot!(sandbox().refused(compile(&["-o", "absent/k.cpp"])));
}

// Pipelines that are wrong.

#[test]
fn a_toml_typo_is_refused() {
    insta::assert_snapshot!(refused_pipeline("pass = \"probe\"", "pass = \"probe"));
    insta::assert_snapshot!(refused_pipeline("target", "tagret"));
}

#[test]
fn an_unknown_pass_is_refused() {
    insta::assert_snapshot!(refused_pipeline("\"probe\"", "\"prob\""));
}

#[test]
fn an_unknown_option_is_refused() {
    insta::assert_snapshot!(refused_pipeline("\"probe\"", "\"probe\"\noptions = { ident = 3 }"));
    insta::assert_snapshot!(refused_pipeline(
        "\"probe-barrier\"",
        "\"probe-barrier\"\noptions = { ident = 3 }"
    ));
}

#[test]
fn a_wrong_option_value_is_refused() {
    insta::assert_snapshot!(refused_pipeline("\"probe\"", "\"probe\"\noptions = { indent = \"3\" }"));
    insta::assert_snapshot!(refused_pipeline("\"probe\"", "\"probe\"\noptions = { indent = 1.5 }"));
    insta::assert_snapshot!(refused_pipeline("\"probe\"", "\"probe\"\noptions = { style = \"fanzy\" }"));
}

#[test]
fn a_missing_stage_input_is_refused() {
    insta::assert_snapshot!(refused_pipeline("\"probe-barrier\"", "\"probe-barrier-reader\""));
    insta::assert_snapshot!(refused_pipeline(
        "\"probe-barrier\"",
        "\"probe-barrier-reader\"\n[[stage]]\npass = \"probe-barrier\""
    ));
}

#[test]
fn an_unknown_pipeline_is_refused() {
    let sandbox = sandbox();
    let text = sandbox.refused(["compile", "k.pto", "--pipeline", "a3-refrence"]);
    assert!(text.contains("did you mean `a3-reference`?") && text.contains("places searched:"), "{text}");
    insta::assert_snapshot!(sandbox.refused(["compile", "k.pto", "--pipeline", "gone/p.toml"]));
}

#[test]
fn settings_override_and_are_checked_alike() {
    let sandbox = sandbox();
    let set =
        ["--set", "probe.indent=0", "--set", "probe.versions=false", "--set", "probe.title=all of them"];
    insta::assert_snapshot!(sandbox.run(compile(&set)).stdout);
    let wrong = ["probe.indent=deep", "probe.style=fancyy", "probe.ident=1", "prob.indent=1", "indent=1"];
    let said: String = wrong.iter().map(|setting| sandbox.refused(compile(&["--set", setting]))).collect();
    insta::assert_snapshot!(said);
}

#[test]
fn printing_around_an_unknown_pass_is_refused() {
    insta::assert_snapshot!(sandbox().refused(compile(&["--print-after", "prob"])));
}

#[test]
fn a_pipeline_without_an_emitter_has_plans_only() {
    let sandbox = sandbox();
    sandbox.write("p.toml", PIPELINE.replace("\n[[stage]]\npass = \"probe\"\n", ""));
    assert_eq!(sandbox.run(compile(&["--emit", "plan"])).code, Some(0));
    insta::assert_snapshot!(sandbox.refused(compile(&["-o", "k.cpp"])));
}

// Listings.

#[test]
fn passes_are_listed_and_shown() {
    let sandbox = sandbox();
    let all = sandbox.run(["passes", "--plugin-path", "plugins"]);
    let row = all.stdout.lines().find(|l| l.starts_with("probe-barrier ")).expect("the pass is listed");
    // The table is as wide as the real passes make it.
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["probe-barrier", "0.1.0", "kernel", "barriers", "-", "plugins/libprobe_0_1_0.so"]);
    insta::assert_snapshot!(sandbox.run(["passes", "probe", "--plugin-path", "plugins"]).stdout);
    assert_eq!(sandbox.run(["passes", "prob", "--plugin-path", "plugins"]).code, Some(1));
}

#[test]
fn pipelines_are_listed_and_shown() {
    let sandbox = sandbox();
    let all = sandbox.run(["pipelines"]);
    for name in ["a3 ", "a3-reference ", "a3-reference-push-back "] {
        assert!(all.stdout.lines().any(|l| l.starts_with(name)), "no {name} in\n{}", all.stdout);
    }
    insta::assert_snapshot!(sandbox.run(["pipeline", "p.toml", "--plugin-path", "plugins"]).stdout);
}
