//! Records what `--version` tells: the commit and the machine that the program is built for.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let environment = |name: &str| std::env::var(name).unwrap_or_default();
    println!("cargo::rustc-env=PIPEWRIGHT_TARGET={}", environment("TARGET"));
    // While developing, a commit says little, and building anew after each takes long.
    let commit = match environment("PROFILE").as_str() {
        "release" => commit(),
        profile => Some(format!("of a {profile} build")),
    };
    let commit = commit.unwrap_or_else(|| "unknown: not built in a checkout".to_owned());
    println!("cargo::rustc-env=PIPEWRIGHT_COMMIT={commit}");
}

/// The commit of the checkout, and whether files differ from it.
fn commit() -> Option<String> {
    for file in ["HEAD", "logs/HEAD", "index"] {
        println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--git-path", file])?);
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if changed { format!("{commit} with changes") } else { commit })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
