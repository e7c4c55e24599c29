//! Plugins: where they are found, which one is chosen, and what happens with those that are no good.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pipewright::plugin::read_manifest;
use pipewright_abi::plugin::ABI_VERSION_TEXT;
use pipewright_tests::crates::{copy_to, library_file, out_of_tree, plugin};
use pipewright_tests::sandbox::{KERNEL, Sandbox};
use pipewright_tests::{build_directory, pipewright, workspace};

const HEADER: &str = "[pipeline]\nname = \"p\"\ntarget = \"a3\"\n";

fn probe(version: &str) -> PathBuf {
    plugin("probe", version, "probe.rs")
}

fn misbehave() -> PathBuf {
    plugin("misbehave", "0.1.0", "misbehave.rs")
}

/// A directory with the kernel `k.pto` and the pipeline `p.toml` of these stages.
fn sandbox(stages: &str) -> Sandbox {
    Sandbox::with(&[("k.pto", KERNEL), ("p.toml", &format!("{HEADER}{stages}"))])
}

/// Arguments that compile the kernel with the plugins in `plugins`.
const COMPILE: [&str; 6] = ["compile", "k.pto", "--pipeline", "p.toml", "--plugin-path", "plugins"];

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Copies a library with every `from` in it replaced; what is inside of a library cannot change its length.
fn copy_with(library: &Path, to: &Path, from: &str, with: &str) {
    assert_eq!(from.len(), with.len());
    let mut bytes = fs::read(library).unwrap();
    let mut count = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + from.len()].copy_from_slice(with.as_bytes());
            count += 1;
        }
    }
    assert!(count > 0, "{from:?} is not in {}", library.display());
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, bytes).unwrap();
}

// Which plugin a stage gets.

#[test]
fn the_highest_version_that_will_do_is_taken() {
    let sandbox = sandbox("[[stage]]\npass = \"probe\"\n");
    copy_to(&sandbox.path("plugins"), &[&probe("0.1.0"), &probe("0.2.0")]);
    let chosen = |version: &str| {
        let requirement =
            if version.is_empty() { String::new() } else { format!("version = \"{version}\"\n") };
        sandbox.write("p.toml", format!("{HEADER}[[stage]]\npass = \"probe\"\n{requirement}"));
        sandbox.run(COMPILE).stdout.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(chosen(""), "// by probe 0.2.0");
    assert_eq!(chosen("^0.1"), "// by probe 0.1.0");
    assert_eq!(chosen(">=0.1, <0.3"), "// by probe 0.2.0");
    sandbox.write("p.toml", format!("{HEADER}[[stage]]\npass = \"probe\"\nversion = \"^0.3\"\n"));
    insta::assert_snapshot!(sandbox.refused(COMPILE));
}

#[test]
fn two_versions_of_a_plugin_run_in_one_process() {
    let sandbox = sandbox(
        "[[stage]]\npass = \"probe-barrier\"\nversion = \"=0.1.0\"\n[[stage]]\npass = \"probe\"\nversion = \"=0.2.0\"\n",
    );
    copy_to(&sandbox.path("plugins"), &[&probe("0.1.0"), &probe("0.2.0")]);
    let run = sandbox.run(COMPILE.iter().copied().chain(["--remarks"]));
    assert!(run.stderr.contains("0.1.0 puts one barrier"), "{}", run.stderr);
    assert!(run.stdout.contains("// by probe 0.2.0"), "{}", run.stdout);
}

#[test]
fn rivals_must_be_told_apart() {
    let sandbox = sandbox("[[stage]]\npass = \"probe\"\n");
    let rival = plugin("rival", "0.7.0", "probe.rs");
    copy_to(&sandbox.path("plugins"), &[&probe("0.1.0"), &rival]);
    insta::assert_snapshot!(sandbox.refused(COMPILE));
    sandbox.write(
        "p.toml",
        format!("{HEADER}[[stage]]\npass = \"probe\"\nplugin = \"{}\"\n", file_name(&rival)),
    );
    assert!(sandbox.run(COMPILE).stdout.ends_with("// by rival 0.7.0\n"));
}

#[test]
fn a_file_that_the_pipeline_names_is_relative_to_it() {
    let sandbox = sandbox("");
    copy_to(&sandbox.path("elsewhere"), &[&probe("0.2.0")]);
    let library = file_name(&probe("0.2.0"));
    let stage = |version: &str| {
        let text =
            format!("{HEADER}[[stage]]\npass = \"probe\"\nplugin = \"../elsewhere/{library}\"\n{version}");
        sandbox.write("pipelines/p.toml", text);
        sandbox.run(["compile", "k.pto", "--pipeline", "pipelines/p.toml"])
    };
    assert!(stage("").stdout.ends_with("// by probe 0.2.0\n"));
    let refused = stage("version = \"^0.1\"\n");
    assert_eq!(refused.code, Some(1));
    insta::assert_snapshot!(refused.stderr);
}

#[test]
fn plugins_are_found_through_the_environment_and_before_those_further_on() {
    let sandbox = sandbox("[[stage]]\npass = \"probe\"\n");
    copy_to(&sandbox.path("first"), &[&probe("0.1.0")]);
    copy_to(&sandbox.path("second"), &[&probe("0.1.0")]);
    let list =
        std::env::join_paths([sandbox.path("gone"), sandbox.path("first"), sandbox.path("second")]).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = pipewright();
        command.current_dir(sandbox.path("")).env("PIPEWRIGHT_PLUGIN_PATH", &list).args(arguments);
        sandbox.finish(&mut command, "")
    };
    assert_eq!(run(&["compile", "k.pto", "--pipeline", "p.toml"]).code, Some(0));
    let used = run(&["pipeline", "p.toml"]).stdout;
    assert!(used.contains("[DIR]/first/"), "{used}");
    let used = run(&["pipeline", "p.toml", "--plugin-path", "second"]).stdout;
    assert!(used.contains(" second/"), "{used}");
}

/// An installation of the built program: `bin`, `lib/pipewright/plugins`, `share/pipewright/pipelines`.
fn install(sandbox: &Sandbox, plugins: &[&str]) -> PathBuf {
    let binary = build_directory().join(format!("pipewright{}", std::env::consts::EXE_SUFFIX));
    copy_to(&sandbox.path("bin"), &[&binary]);
    for name in plugins {
        copy_to(&sandbox.path("lib/pipewright/plugins"), &[&build_directory().join(library_file(name))]);
    }
    sandbox.path("bin").join(binary.file_name().unwrap())
}

#[test]
fn an_installed_program_finds_its_plugins_and_pipelines() {
    let sandbox = sandbox("");
    let binary = install(&sandbox, &["hazard_analysis"]);
    let pipelines = sandbox.path("share/pipewright/pipelines");
    copy_to(&pipelines, &[&workspace().join("pipelines/a3-reference.toml")]);
    let listed = sandbox.finish(Command::new(&binary).arg("pipelines"), "").stdout;
    assert!(listed.contains("[DIR]/share/pipewright/pipelines/a3-reference.toml"), "{listed}");
    let listed = sandbox.finish(Command::new(&binary).arg("passes"), "").stdout;
    assert!(listed.contains("[DIR]/lib/pipewright/plugins/"), "{listed}");
}

#[test]
fn a_plugin_that_was_removed_is_missed_by_name() {
    let sandbox = sandbox("[[stage]]\npass = \"hazard-analysis\"\n[[stage]]\npass = \"backward-match\"\n");
    let binary = install(&sandbox, &["hazard_analysis"]);
    let mut command = Command::new(binary);
    command.current_dir(sandbox.path("")).args(["compile", "k.pto", "--pipeline", "p.toml"]);
    let run = sandbox.finish(&mut command, "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(run.stderr);
}

#[test]
fn a_pass_from_another_workspace_replaces_ours() {
    let sandbox = sandbox("");
    copy_to(&sandbox.path("plugins"), &[&out_of_tree("examples/passes/barrier-all")]);
    let text = fs::read_to_string(workspace().join("examples/passes/barrier-all/pipeline.toml")).unwrap();
    sandbox.write("p.toml", text);
    insta::assert_snapshot!(sandbox.run(COMPILE.iter().copied().chain(["--emit", "plan"])).stdout);
    let cpp = sandbox.run(COMPILE);
    assert_eq!((cpp.code, cpp.stderr.as_str()), (Some(0), ""));
    let (_, body) = cpp.stdout.split_once("void double_rows").expect("the function is there");
    assert!(body.contains("pipe_barrier(PIPE_ALL)") && !body.contains("set_flag"), "{body}");
}

// Plugins that are no good.

#[test]
fn a_plugin_path_that_is_no_library_is_refused() {
    let sandbox = sandbox("[[stage]]\npass = \"probe\"\nplugin = \"notes.so\"\n");
    sandbox.write("notes.so", "these are notes");
    insta::assert_snapshot!(sandbox.refused(["compile", "k.pto", "--pipeline", "p.toml"]));
    insta::assert_snapshot!(sandbox.refused(["passes", "--plugin-path", "notes.so"]));
    insta::assert_snapshot!(sandbox.refused(["passes", "--plugin-path", "gone"]));
    sandbox.write("p.toml", format!("{HEADER}[[stage]]\npass = \"probe\"\nplugin = \"gone.so\"\n"));
    insta::assert_snapshot!(sandbox.refused(["compile", "k.pto", "--pipeline", "p.toml"]));
}

#[test]
fn a_library_that_is_no_plugin_is_refused_when_named_and_passed_over_when_not() {
    let sandbox = sandbox("[[stage]]\npass = \"probe\"\nplugin = \"libother.so\"\n");
    copy_with(&probe("0.1.0"), &sandbox.path("libother.so"), ".pipewright\0", ".papernapki\0");
    insta::assert_snapshot!(sandbox.refused(["compile", "k.pto", "--pipeline", "p.toml"]));
    let listed = sandbox.run(["passes", "--plugin-path", "."]);
    assert!(listed.code == Some(0) && !listed.stdout.contains("libother"), "{}", listed.stdout);
}

#[test]
fn a_plugin_without_the_pass_is_refused() {
    let sandbox =
        sandbox(&format!("[[stage]]\npass = \"probe\"\nplugin = \"plugins/{}\"\n", file_name(&misbehave())));
    copy_to(&sandbox.path("plugins"), &[&misbehave()]);
    insta::assert_snapshot!(sandbox.refused(COMPILE));
}

/// Facts that were added since are columns of their own, which it does not ask for.
#[test]
fn a_plugin_of_an_older_minor_is_loaded_and_runs() {
    let sandbox = sandbox("[[stage]]\npass = \"probe\"\n");
    let (own, older) = (format!("\nabi {ABI_VERSION_TEXT}\n"), "\nabi 1.0\n");
    assert_ne!(own, older);
    copy_with(&probe("0.1.0"), &sandbox.path("plugins/libprobe.so"), &own, older);
    let run = sandbox.run(COMPILE);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("// by probe 0.1.0"), "{}", run.stdout);
    assert!(sandbox.run(["passes", "probe", "--plugin-path", "plugins"]).stdout.contains("plugin ABI 1.0"));
}

#[test]
fn a_plugin_of_another_abi_is_refused_before_it_is_loaded() {
    for abi in ["1.9", "2.0", "0.9"] {
        let sandbox = sandbox("[[stage]]\npass = \"probe\"\n");
        let library = sandbox.path("plugins/libprobe.so");
        copy_with(
            &probe("0.1.0"),
            &library,
            &format!("\nabi {ABI_VERSION_TEXT}\n"),
            &format!("\nabi {abi}\n"),
        );
        // Without program headers, of which byte 56 holds the number, the system cannot load it any more.
        let mut bytes = fs::read(&library).unwrap();
        if bytes.starts_with(b"\x7fELF\x02") {
            bytes[56..58].fill(0);
            fs::write(&library, bytes).unwrap();
        }
        let text = sandbox.refused(COMPILE);
        assert!(
            text.contains(&format!("plugin ABI {abi}"))
                && text.contains(&format!("this host has ABI {ABI_VERSION_TEXT}")),
            "{text}"
        );
        assert!(text.contains("libprobe.so"), "{text}");
        let listed = sandbox.run(["passes", "--plugin-path", "plugins"]).stdout;
        assert!(
            listed.contains("not usable:\n") && listed.contains(&format!("plugin ABI {abi}")),
            "{listed}"
        );
    }
}

#[test]
fn a_manifest_that_cannot_be_read_is_reported() {
    let sandbox = sandbox("[[stage]]\npass = \"probe\"\n");
    copy_with(&probe("0.1.0"), &sandbox.path("plugins/libprobe.so"), "\nplugin probe", "\nplugim probe");
    let text = sandbox.refused(COMPILE);
    assert!(text.contains("no plugin provides the pass `probe`"), "{text}");
    assert!(
        text.contains("libprobe.so: its manifest is malformed: it has no `plugin NAME VERSION` line"),
        "{text}"
    );
}

#[test]
fn a_manifest_that_lies_is_reported() {
    let sandbox = sandbox("[[stage]]\npass = \"prune\"\n");
    copy_with(&probe("0.1.0"), &sandbox.path("plugins/libprobe.so"), "\npass probe\n", "\npass prune\n");
    insta::assert_snapshot!(sandbox.refused(COMPILE));
}

#[test]
fn a_truncated_library_is_reported() {
    let sandbox =
        sandbox(&format!("[[stage]]\npass = \"probe\"\nplugin = \"{}\"\n", file_name(&probe("0.1.0"))));
    let bytes = fs::read(probe("0.1.0")).unwrap();
    for length in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
        sandbox.write(&file_name(&probe("0.1.0")), &bytes[..length]);
        let text = sandbox.refused(["compile", "k.pto", "--pipeline", "p.toml"]);
        assert!(text.contains(&file_name(&probe("0.1.0"))), "{text}");
    }
}

#[test]
fn a_damaged_library_gives_a_manifest_or_a_reason() {
    let sandbox = sandbox("");
    let whole = fs::read(probe("0.1.0")).unwrap();
    let path = sandbox.path("libdamaged.so");
    // Headers stand at both ends; a fixed sequence of damages there, so that a failure comes again.
    let ends = whole.len() - 4096;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 33) as usize
    };
    let mut refused = 0;
    for _ in 0..100 {
        let mut bytes = whole.clone();
        for _ in 0..=next() % 4 {
            let at = if next() % 2 == 0 { next() % 256 } else { ends + next() % 4096 };
            bytes[at] = next() as u8;
        }
        fs::write(&path, bytes).unwrap();
        match read_manifest(&path) {
            Ok(manifest) => assert_eq!(manifest.plugin, "probe"),
            Err(why) => refused += usize::from(!why.to_string().is_empty()),
        }
    }
    assert!(refused > 0, "the damage was too small to be seen");
}

#[test]
fn a_plugin_that_cannot_say_what_it_is_is_reported() {
    let sandbox = sandbox("[[stage]]\npass = \"bad-info\"\n");
    copy_to(&sandbox.path("plugins"), &[&plugin("bad-info", "0.1.0", "bad_info.rs")]);
    insta::assert_snapshot!(sandbox.refused(COMPILE));
    let listed = sandbox.run(["passes", "--plugin-path", "plugins"]);
    assert!(listed.code == Some(0) && listed.stdout.contains("not usable:"), "{}", listed.stdout);
}

// Passes that go wrong.

/// What is said when this pass of the misbehaving plugin runs.
fn misbehaving(pass: &str) -> String {
    let sandbox = sandbox(&format!("[[stage]]\npass = \"{pass}\"\n"));
    copy_to(&sandbox.path("plugins"), &[&misbehave()]);
    sandbox.refused(COMPILE.iter().copied().chain(["-o", "k.cpp", "--emit", "plan"]))
}

#[test]
fn a_pass_that_panics_is_named_with_the_place() {
    insta::assert_snapshot!(misbehaving("panics"));
}

#[test]
fn a_pass_that_fails_says_where_and_what_to_do() {
    insta::assert_snapshot!(misbehaving("fails"));
}

#[test]
fn a_malformed_plan_names_pass_and_rule() {
    insta::assert_snapshot!(misbehaving("leaves-half"));
}

#[test]
fn a_column_of_the_host_cannot_be_written() {
    insta::assert_snapshot!(misbehaving("steals-column"));
}
