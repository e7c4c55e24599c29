//! What the documentation says of tests is true: the tests that it names exist and are run.

use std::fs;
use std::path::PathBuf;

use pipewright_tests::workspace;

/// The heading of the table in `docs/verify.md` whose rows name the tests that hold them.
const HEADING: &str = "## What is proved, what is assumed, what is out of scope";

/// What a row may say of itself.
const STATUSES: [&str; 4] = ["proved", "checked", "assumed", "out of scope"];

/// Rows of the table, each cell without its blanks, without the head.
fn rows() -> Vec<Vec<String>> {
    let text = fs::read_to_string(workspace().join("docs/verify.md")).expect("the page is there");
    let (_, section) = text.split_once(HEADING).expect("the page has the section");
    let section = section.split("\n## ").next().unwrap_or("");
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Why `path::test` is no test that runs, if it is none.
fn problem(named: &str) -> Option<String> {
    let Some((path, test)) = named.rsplit_once("::") else {
        return Some("it is not of the form `path::test`".into());
    };
    let file: PathBuf = workspace().join(path);
    let Ok(source) = fs::read_to_string(&file) else {
        return Some("there is no such file".into());
    };
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    // A property in `proptest!` has its arguments behind the name.
    let is_it =
        |line: &&str| line.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{test}(")));
    let Some(at) = lines.iter().position(is_it) else {
        return Some("there is no such function in the file".into());
    };
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    let attributes: Vec<&str> = attributes.copied().collect();
    if !attributes.contains(&"#[test]") {
        return Some("the function is no test".into());
    }
    let is_left_out = attributes.iter().any(|a| a.starts_with("#[ignore"));
    is_left_out.then(|| "the test is left out of the usual run".into())
}

#[test]
fn what_is_said_to_be_held_by_a_test_is() {
    let rows = rows();
    assert!(rows.len() > 15, "only {} rows", rows.len());
    let mut broken = Vec::new();
    for row in &rows {
        let [what, status, tests] = &row[..] else {
            broken.push(format!("{row:?}: a row has three cells"));
            continue;
        };
        if !STATUSES.contains(&status.as_str()) {
            broken.push(format!("{what}: `{status}` is none of {STATUSES:?}"));
        }
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            broken.push(format!("{what}: no test is named"));
        }
        broken.extend(named.iter().filter_map(|test| Some(format!("{what}: `{test}`: {}", problem(test)?))));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_is_no_test_is_noticed() {
    let here = "tests/tests/docs.rs";
    assert_eq!(problem(&format!("{here}::what_is_no_test_is_noticed")), None);
    for (named, expected) in [
        ("nowhere".to_owned(), "it is not of the form `path::test`"),
        ("tests/tests/nowhere.rs::x".to_owned(), "there is no such file"),
        (format!("{here}::nothing"), "there is no such function in the file"),
        (format!("{here}::rows"), "the function is no test"),
        (
            "tests/tests/verify/soundness.rs::every_witness_is_confirmed_at_length".to_owned(),
            "the test is left out of the usual run",
        ),
    ] {
        assert_eq!(problem(&named).as_deref(), Some(expected), "{named}");
    }
}
