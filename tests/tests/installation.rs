//! The program away from where it was built: what it finds, and what it says when it finds nothing.

use std::path::PathBuf;
use std::process::Command;

use pipewright_tests::build_directory;
use pipewright_tests::crates::copy_to;
use pipewright_tests::sandbox::{KERNEL, Run, Sandbox};

/// A pipeline of two passes, neither of which is there.
const PIPELINE: &str = "[pipeline]\nname = \"p\"\ntarget = \"a3\"\n[[stage]]\npass = \"hazard-analysis\"\n[[stage]]\npass = \"a3-codegen\"\n";

/// The built program alone, in `where/`.
fn bare(sandbox: &Sandbox, place: &str) -> PathBuf {
    let binary = build_directory().join(format!("pipewright{}", std::env::consts::EXE_SUFFIX));
    copy_to(&sandbox.path(place), &[&binary]);
    sandbox.path(place).join(binary.file_name().expect("a file has a name"))
}

fn run(sandbox: &Sandbox, binary: &PathBuf, arguments: &[&str]) -> Run {
    let mut command = Command::new(binary);
    for variable in ["PIPEWRIGHT_PLUGIN_PATH", "PIPEWRIGHT_PIPELINE_PATH"] {
        command.env_remove(variable);
    }
    sandbox.finish(command.current_dir(sandbox.path("")).args(arguments), "")
}

#[test]
fn without_plugins_that_is_said_once() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL), ("p.toml", PIPELINE)]);
    let binary = bare(&sandbox, "bin");
    let compiled = run(&sandbox, &binary, &["compile", "k.pto", "--pipeline", "p.toml"]);
    assert_eq!((compiled.code, compiled.stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(compiled.stderr);
    for arguments in [&["passes"][..], &["passes", "fence"], &["pipeline", "p.toml"]] {
        let again = run(&sandbox, &binary, arguments);
        assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert_eq!(again.stderr, compiled.stderr, "{arguments:?}");
    }
}

/// A folder above the program is not where its pipelines come from, unless it is the tree that it was built in.
#[test]
fn pipelines_of_strangers_are_not_taken() {
    let theirs = PIPELINE.replace("\"p\"", "\"theirs\"");
    let sandbox = Sandbox::with(&[("pipelines/theirs.toml", &theirs), ("a/pipelines/theirs.toml", &theirs)]);
    let binary = bare(&sandbox, "a/b/bin");
    let listed = run(&sandbox, &binary, &["pipelines"]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(!listed.stdout.contains("theirs"), "{}", listed.stdout);
    sandbox.write("a/b/share/pipewright/pipelines/theirs.toml", &theirs);
    let listed = run(&sandbox, &binary, &["pipelines"]).stdout;
    assert!(listed.contains("[DIR]/a/b/share/pipewright/pipelines/theirs.toml"), "{listed}");
    // A build tree.
    sandbox.write("a/Cargo.toml", "[workspace]\n");
    let binary = bare(&sandbox, "a/target/debug");
    let listed = run(&sandbox, &binary, &["pipelines"]).stdout;
    assert!(listed.contains("[DIR]/a/pipelines/theirs.toml"), "{listed}");
}
