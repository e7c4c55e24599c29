//! What the command line says of itself.

use pipewright_abi::plugin::ABI_VERSION_TEXT;
use pipewright_tests::sandbox::Sandbox;

/// All commands.
const COMMANDS: [&str; 10] = [
    "compile",
    "verify",
    "simulate",
    "compare",
    "fmt",
    "passes",
    "pipelines",
    "pipeline",
    "completions",
    "man",
];

#[test]
fn the_version_tells_what_a_report_needs() {
    let run = Sandbox::default().run(["--version"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = run.stdout.lines().collect();
    let &[first, abi, commit, target] = &lines[..] else { panic!("{lines:?}") };
    assert!(first.starts_with("pipewright 0."), "{first}");
    assert_eq!(abi, format!("plugin ABI {ABI_VERSION_TEXT}"));
    assert!(commit.starts_with("commit ") && commit.len() > "commit ".len(), "{commit}");
    assert!(target.starts_with("target ") && target.contains(std::env::consts::ARCH), "{target}");
    // One line, for scripts.
    assert_eq!(Sandbox::default().run(["-V"]).stdout, format!("{first}\n"));
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = Sandbox::default().run(["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{shell}");
        for word in COMMANDS.iter().chain(&["pipeline", "allow-findings"]) {
            assert!(run.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(Sandbox::default().run(["completions", "sh"]).code, Some(2));
}

#[test]
fn the_manual_has_every_command_and_its_options() {
    let run = Sandbox::default().run(["man"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.contains(".TH pipewright 1"), "{}", &run.stdout[..200]);
    for command in COMMANDS {
        assert!(
            run.stdout.contains(&format!("pipewright\\-{command}"))
                || run.stdout.contains(&format!("pipewright {command}")),
            "{command}"
        );
    }
    for option in ["allow\\-findings", "plugin\\-path", "flag\\-model", "html"] {
        assert!(run.stdout.contains(option), "{option}");
    }
}
