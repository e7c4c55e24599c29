//! House rules that a machine can check.

use std::fs;
use std::path::{Path, PathBuf};

use pipewright_tests::{files_below, workspace};

/// Rust sources of the project, with their paths relative to the workspace.
fn sources() -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = Vec::new();
    for directory in ["abi", "host", "plugins", "tests", "examples"] {
        files.extend(files_below(&workspace().join(directory), ".rs"));
    }
    files
        .into_iter()
        .filter(|path| !is_built(path))
        .map(|path| (relative(&path), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// Whether cargo wrote the file: it is below a `target` beside a `Cargo.toml`. The host has sources in one beside
/// others, and a checkout may be anywhere.
fn is_built(path: &Path) -> bool {
    let mut above = path.ancestors().take_while(|d| *d != workspace());
    above.any(|d| d.file_name().is_some_and(|n| n == "target") && d.with_file_name("Cargo.toml").is_file())
}

/// The modules of its own crate that a line names: `crate::a::b` names `a`, `use crate::{a, b::c}` both.
fn named_modules(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or("");
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut named = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        // `$crate::` and `other_crate::` are others.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => named.push(word(rest)),
            Some(list) => {
                let mut depth = 0;
                let top = list.split(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    c == ',' && depth == 0
                });
                named.extend(top.map(word));
            }
        }
    }
    named.retain(|name| !name.is_empty());
    named
}

fn relative(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap().to_string_lossy().replace('\\', "/")
}

fn check(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let broken = sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path);
    check(broken.collect(), "a source file starts with a module header (`//!`)");
}

#[test]
fn files_fit_in_the_head() {
    let long = sources().into_iter().filter(|(_, text)| text.lines().count() > 700);
    check(
        long.map(|(path, text)| format!("{path}: {} lines", text.lines().count())).collect(),
        "at most 700 lines a file",
    );
}

#[test]
fn unsafe_code_is_where_it_must_be() {
    let allowed = ["abi/src/plugin.rs", "host/src/plugin/"];
    // Written in two parts, so that this file does not break its own rule.
    let keyword = concat!("uns", "afe");
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let uses = [" {", " fn ", "("].iter().any(|after| code.contains(&format!("{keyword}{after}")));
            if !uses {
                continue;
            }
            // Misbehaving plugins of the tests misbehave on purpose.
            if !allowed.iter().any(|a| path.starts_with(a)) && !path.starts_with("tests/plugins/") {
                broken.push(format!("{path}:{}: outside of the plugin boundary", index + 1));
            }
            let explained = lines[index.saturating_sub(6)..index].iter().any(|l| l.contains("// SAFETY:"));
            if !explained {
                broken.push(format!("{path}:{}: no `// SAFETY:` before it", index + 1));
            }
        }
    }
    check(broken, "unsafe code stands in the plugin loader and the ABI macro, each with its reason");
}

#[test]
fn nothing_is_left_unfinished() {
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimple", "mented!"), concat!("to", "do!(")];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                broken.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    check(broken, "no unfinished work in the sources");
}

#[test]
fn no_test_returns_early_as_passed() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        // Written in two parts, so that this file does not break its own rule.
        let marker = concat!("#[te", "st]");
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.trim() == marker) {
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let body: Vec<&str> = lines[index..].iter().copied().take_while(|line| *line != end).collect();
            for (offset, line) in body.iter().enumerate() {
                // A statement of a body, which is no part of a text: a condition stands before it.
                let indent = |line: &str| line.len() - line.trim_start().len();
                let around = body[..offset].iter().rev().find(|l| indent(l) < indent(line)).map(|l| l.trim());
                let conditional = around.is_some_and(|a| {
                    ["if ", "let ", "} else", "match "].iter().any(|start| a.starts_with(start))
                });
                let alone = line.trim() == "return;" && conditional;
                if alone
                    || line.contains(concat!("else { ", "return"))
                    || line.contains(concat!("=> ", "return,"))
                {
                    broken.push(format!("{path}:{}: {}", index + offset + 1, line.trim()));
                }
            }
        }
        // What is missing is found out when the tests are built, and told as "ignored".
        let asks = [
            concat!("env::", "var_os(\"PIPEWRIGHT_"),
            concat!("eprintln!(\"", "skip"),
            concat!("-> Option<", "Browser"),
        ];
        let tests = path.starts_with("tests/tests/") || path.contains("/tests/");
        for (index, line) in lines.iter().enumerate().filter(|_| tests) {
            if asks.iter().any(|ask| line.contains(ask)) {
                broken.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    check(
        broken,
        "a test that needs what is missing is ignored (`tests/build.rs`), it does not return early as if it had passed",
    );
}

#[test]
fn passes_depend_on_the_abi_alone() {
    let mut broken = Vec::new();
    for manifest in files_below(&workspace().join("plugins"), "Cargo.toml") {
        let table: toml::Table = toml::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
        let dependencies = table.get("dependencies").and_then(|d| d.as_table()).cloned().unwrap_or_default();
        for name in dependencies.keys() {
            // Big integers are what printing a float exactly needs.
            if name != "pipewright-abi" && name != "num-bigint" {
                broken.push(format!("{}: {name}", relative(&manifest)));
            }
        }
    }
    check(broken, "a pass depends on `pipewright-abi`, so that it builds without the host");
}

#[test]
fn verification_and_passes_share_no_code() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let judges = path.starts_with("host/src/verify/");
        // A called function is lowered anew, with what the call gives it.
        let inlines = path == "host/src/verify/inline.rs";
        for (index, line) in text.lines().enumerate().filter(|_| judges) {
            let allowed = ["verify", "diagnostic", if inlines { "lower" } else { "verify" }];
            if named_modules(line).iter().any(|name| !allowed.contains(&name.as_str())) {
                broken.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    check(broken, "`verify` depends on the ABI, on lowering and on diagnostics alone");
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let mut files: Vec<PathBuf> = files_below(&workspace().join("docs"), ".md");
    files.extend(files_below(&workspace().join("pipelines"), ".toml"));
    files.push(workspace().join("README.md"));
    let mut texts: Vec<(String, String)> =
        files.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect();
    texts.extend(sources());
    let words = [concat!("/wo", "rk/"), concat!("../sha", "red"), concat!("hel", "per session")];
    let mut broken = Vec::new();
    for (path, text) in texts {
        for (index, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                broken.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    check(broken, "no machine paths and no mention of a workplace");
}

#[test]
fn the_rules_look_at_all_sources() {
    let paths: Vec<String> = sources().into_iter().map(|(path, _)| path).collect();
    for directory in
        ["host/src/target/", "host/src/verify/", "abi/src/", "plugins/", "examples/passes/", "tests/tests/"]
    {
        assert!(paths.iter().any(|path| path.starts_with(directory)), "nothing of {directory}");
    }
    assert!(!paths.iter().any(|path| path.starts_with("target/") || path.contains("/target/debug/")));
    for (line, modules) in [
        ("use crate::lower::{self, Addresses};", &["lower"][..]),
        ("    let x = crate::target::load(path)?;", &["target"]),
        ("use crate::{diagnostic::{Report, Source}, lower, verify};", &["diagnostic", "lower", "verify"]),
        ("    $crate::plugin::x; // crate::lower", &["plugin"]),
        ("pipewright_crate::lower", &[]),
    ] {
        assert_eq!(named_modules(line), modules, "{line}");
    }
}
