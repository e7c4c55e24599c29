//! The reference pipelines against the reference compiler: for every kernel of the corpus that has addresses, the
//! same synchronization statements in the same order around the same instructions.
//!
//! Needs the corpus (`PIPEWRIGHT_CORPUS`). A kernel that cannot be equal is listed with the reason in
//! `conformance-exceptions.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use pipewright_tests::{corpus, files_below, pipewright, skeleton::skeleton, workspace};

#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn a3_reference_equals_the_reference() {
    conforms("a3-reference", &["front"]);
}

#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn a3_reference_push_back_equals_the_reference() {
    // Where the second skeleton is missing, both variants are the same.
    conforms("a3-reference-push-back", &["back", "front"]);
}

fn conforms(pipeline: &str, variants: &[&str]) {
    let corpus = corpus();
    let exceptions: BTreeMap<String, String> = {
        let path = workspace().join("tests/conformance-exceptions.toml");
        toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let kernels = files_below(&corpus.join("level3"), ".pto");
    assert!(!kernels.is_empty());
    let out = tempfile::tempdir().unwrap();
    let (mut failures, mut equal) = (Vec::new(), 0);
    for kernel in &kernels {
        let name = kernel.strip_prefix(&corpus).unwrap().with_extension("").to_string_lossy().into_owned();
        let cpp = out.path().join("out.cpp");
        let run = pipewright()
            .args(["compile", "--pipeline", pipeline, "-o"])
            .arg(&cpp)
            .arg(kernel)
            .output()
            .unwrap();
        let problem = if run.status.success() {
            let expected =
                variants.iter().find_map(|v| std::fs::read_to_string(expected_path(kernel, v)).ok());
            let ours = skeleton(&std::fs::read_to_string(&cpp).unwrap());
            let expected: Vec<String> = expected.expect("a skeleton").lines().map(str::to_owned).collect();
            if ours == expected { None } else { Some(first_difference(&ours, &expected)) }
        } else {
            Some(String::from_utf8_lossy(&run.stderr).into_owned())
        };
        match (problem, exceptions.contains_key(&name)) {
            (None, false) => equal += 1,
            (None, true) => failures.push(format!("{name}: is equal and need not be an exception")),
            (Some(_), true) => {}
            (Some(problem), false) => failures.push(format!("{name}: {problem}")),
        }
    }
    eprintln!("{pipeline}: {equal} of {} kernels equal, {} exceptions", kernels.len(), exceptions.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn expected_path(kernel: &Path, variant: &str) -> std::path::PathBuf {
    kernel.with_extension(format!("{variant}.skel"))
}

fn first_difference(ours: &[String], expected: &[String]) -> String {
    let at = ours.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let show = |lines: &[String]| {
        lines[at.saturating_sub(3).min(lines.len())..(at + 3).min(lines.len())].join("\n    ")
    };
    format!("line {}\n  ours:\n    {}\n  reference:\n    {}", at + 1, show(ours), show(expected))
}
