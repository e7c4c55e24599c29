//! `pipewright verify` and `compile --verify` as commands: what they print for each rule, in each form, and their exit codes.
//!
//! The kernels carry flags of their own, so that what is judged is what is written here and no pass plays a part.

use pipewright_tests::sandbox::{Run, Sandbox};
use serde_json::Value;

/// A kernel whose body is `body`: two tiles `%a` and `%b` in different places, one that overlaps `%a`, a view of global
/// memory to load from and one to store to.
fn kernel(body: &str) -> String {
    format!(
        "!tile = !pto.tile_buf<vec, 1x64xf32>
!view = !pto.partition_tensor_view<1x64xf32>
func.func @f(%from: !view, %to: !view, %n: index, %c: i1) attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %at0 = arith.constant 0 : i64
  %at1 = arith.constant 256 : i64
  %at2 = arith.constant 128 : i64
  %a = pto.alloc_tile addr = %at0 : !tile
  %b = pto.alloc_tile addr = %at1 : !tile
  %half = pto.alloc_tile addr = %at2 : !tile
{body}  pto.barrier <PIPE_ALL>
  return
}}
"
    )
}

fn set(src: &str, dst: &str, id: u32) -> String {
    format!("  pto.set_flag[<PIPE_{src}>, <PIPE_{dst}>, <EVENT_ID{id}>]\n")
}

fn wait(src: &str, dst: &str, id: u32) -> String {
    format!("  pto.wait_flag[<PIPE_{src}>, <PIPE_{dst}>, <EVENT_ID{id}>]\n")
}

const LOAD: &str = "  pto.tload ins(%from : !view) outs(%a : !tile)\n";
const ABS: &str = "  pto.tabs ins(%a : !tile) outs(%b : !tile)\n";
const STORE: &str = "  pto.tstore ins(%b : !tile) outs(%to : !view)\n";

/// Load, work on it, store it, with a pair between each two.
fn clean() -> String {
    [
        LOAD,
        &set("MTE2", "V", 0),
        &wait("MTE2", "V", 0),
        ABS,
        &set("V", "MTE3", 0),
        &wait("V", "MTE3", 0),
        STORE,
    ]
    .concat()
}

fn verify(body: &str, more: &[&str]) -> Run {
    let sandbox = Sandbox::with(&[("k.pto", &kernel(body))]);
    // A kernel without flags is not to be given any.
    sandbox.run([&["verify", "k.pto", "--pipeline", "a3-codegen-only"], more].concat())
}

/// One kernel for each rule that breaks it, and nothing else if that can be.
fn broken() -> Vec<(&'static str, String)> {
    let pair = |src, dst, id| set(src, dst, id) + &wait(src, dst, id);
    let in_loop = |body: String| format!("  scf.for %i = %c0 to %n step %c1 {{\n{body}  }}\n");
    vec![
        ("double-set", [set("MTE2", "V", 0), pair("MTE2", "V", 0), wait("MTE2", "V", 0)].concat()),
        // Nothing comes back from the vector pipe.
        (
            "flag-reuse",
            in_loop(
                [
                    &*pair("MTE2", "V", 0),
                    "  pto.tabs ins(%b : !tile) outs(%b : !tile)\n",
                    "  pto.barrier <PIPE_V>\n",
                ]
                .concat(),
            ),
        ),
        ("wait-before-set", in_loop(wait("V", "MTE2", 0) + LOAD + &set("V", "MTE2", 0))),
        ("undrained-flag", LOAD.to_owned() + &set("MTE2", "V", 3)),
        ("unbalanced-path", format!("  scf.if %c {{\n{}  }}\n{}", set("V", "MTE3", 2), wait("V", "MTE3", 2))),
        // Each pipe waits for what the other one sets behind its own wait.
        (
            "deadlock",
            [wait("V", "MTE2", 0), set("MTE2", "V", 0), wait("MTE2", "V", 0), set("V", "MTE2", 0)].concat(),
        ),
        ("data-race", clean().replace(&(set("MTE2", "V", 0) + &wait("MTE2", "V", 0)), "")),
        (
            "missing-barrier",
            [ABS, "  pto.tabs ins(%b : !tile) outs(%a : !tile)\n", "  pto.barrier <PIPE_V>\n"].concat(),
        ),
        (
            "event-id",
            [
                "  %c9 = arith.constant 9 : index\n",
                "  pto.set_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %c9]\n",
                "  pto.wait_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %c9]\n",
                &pair("V", "V", 0),
            ]
            .concat(),
        ),
        ("barrier-pipe", LOAD.to_owned() + "  pto.barrier <PIPE_S>\n"),
        // Work of the matrix pipe, a flag and a barrier of pipes that a vector core lacks.
        ("core-pipe", ["  pto.barrier <PIPE_FIX>\n", &pair("M", "FIX", 0), &pair("V", "MTE1", 0)].concat()),
        // One that begins nowhere, one that ends behind the memory, a window that does, one in a reserved buffer.
        (
            "address",
            [
                "  %at3 = arith.constant 70660 : i64\n  %odd = pto.alloc_tile addr = %at3 : !tile\n",
                "  %at4 = arith.constant 196480 : i64\n  %long = pto.alloc_tile addr = %at4 : !tile\n",
                "  %c5 = arith.constant 5 : index\n",
                "  %window = pto.subview %a[%c0, %c5] sizes [1, 8] : !tile -> !pto.tile_buf<vec, 1x8xf32>\n",
                "  pto.tabs ins(%window : !pto.tile_buf<vec, 1x8xf32>) outs(%window : !pto.tile_buf<vec, 1x8xf32>)\n",
                "  %slots = pto.reserve_buffer {name = \"slots\", size = 512, location = #pto.address_space<vec>, auto = false, base = 4096} -> i32\n",
                "  %at6 = arith.constant 4352 : i64\n  %taken = pto.alloc_tile addr = %at6 : !tile\n",
            ]
            .concat(),
        ),
        (
            "hidden-flag",
            set("V", "S", 0) + "  pto.trowexpand ins(%a : !tile) outs(%b : !tile)\n" + &wait("V", "S", 0),
        ),
        ("early-publish", clean() + "  pto.sync.set #pto.pipe<PIPE_V>, 4\n"),
    ]
}

/// The body that breaks a rule.
fn breaking(rule: &str) -> String {
    let found = broken().into_iter().find(|(name, _)| *name == rule);
    found.unwrap_or_else(|| panic!("nothing breaks {rule}")).1
}

#[test]
fn every_rule_has_a_finding_that_can_be_followed() {
    for (rule, body) in broken() {
        let run = verify(&body, &["--deny", "warning"]);
        assert_eq!(run.code, Some(1), "{rule}: {}", run.stdout);
        assert!(run.stderr.contains(&format!("verify::{rule}\n")), "{rule}: {}", run.stderr);
        insta::assert_snapshot!(rule, format!("{}{}", run.stderr, run.stdout));
    }
}

#[test]
fn work_left_at_the_return_is_advice() {
    let sandbox = Sandbox::with(&[("k.pto", &kernel(LOAD).replace("  pto.barrier <PIPE_ALL>\n", ""))]);
    let run = sandbox.run(["verify", "k.pto", "--pipeline", "a3-codegen-only"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(format!("{}{}", run.stderr, run.stdout));
    let denied = sandbox.run(["verify", "k.pto", "--pipeline", "a3-codegen-only", "--deny", "advice"]);
    assert_eq!((denied.code, denied.stderr), (Some(1), run.stderr));
}

#[test]
fn what_is_right_is_proved() {
    let run = verify(&clean(), &["--deny", "advice"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn the_flag_model_decides_how_bad_reuse_is() {
    let body = breaking("flag-reuse");
    let grades = |more: &[&str]| -> Vec<(String, String)> {
        let run = verify(&body, &[&["--format", "json"], more].concat());
        let text = |f: &Value, field: &str| f[field].as_str().unwrap_or_default().to_owned();
        let json: Value = serde_json::from_str(&run.stdout).unwrap();
        let findings = json["files"][0]["functions"][0]["findings"].as_array().unwrap().clone();
        assert_eq!(run.code, Some(i32::from(findings.iter().any(|f| f["grade"] == "error"))));
        let mut all: Vec<_> = findings.iter().map(|f| (text(f, "rule"), text(f, "grade"))).collect();
        all.dedup();
        all
    };
    let one = |rule: &str, grade: &str| (rule.to_owned(), grade.to_owned());
    assert_eq!(grades(&[]), [one("flag-reuse", "warning")]);
    assert_eq!(grades(&["--flag-model", "stall"]), [one("flag-reuse", "warning")]);
    let lose = grades(&["--flag-model", "lose"]);
    assert!(
        lose.contains(&one("flag-reuse", "error")) && lose.contains(&one("deadlock", "error")),
        "{lose:?}"
    );
}

#[test]
fn a_judgement_is_data_for_programs() {
    let body = breaking("data-race");
    insta::assert_snapshot!("json", verify(&body, &["--format", "json"]).stdout);
    let run = verify(&body, &["--format", "sarif"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    let sarif: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let log = &sarif["runs"][0];
    assert_eq!(log["invocations"][0]["executionSuccessful"], true);
    let results = log["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        // Each result names a rule of the driver, and a place in the file.
        let rule = &log["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(!rule["shortDescription"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "k.pto");
        let line = place["region"]["startLine"].as_u64().unwrap() as usize;
        let column = place["region"]["startColumn"].as_u64().unwrap() as usize;
        let text = kernel(&body);
        assert!(text.lines().nth(line - 1).unwrap()[column - 1..].starts_with("pto."), "{result}");
    }
}

#[test]
fn folders_and_files_are_judged_in_order_and_what_cannot_be_read_is_told() {
    let right = kernel(&clean());
    let files = [("k/b.pto", right.as_str()), ("k/sub/a.pto", &right), ("bad.pto", "func.func @f(\n")];
    let sandbox = Sandbox::with(&files);
    let run = sandbox.run(["verify", "k", "bad.pto", "--format", "json"]);
    assert_eq!(run.code, Some(1));
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    let named: Vec<&str> =
        json["files"].as_array().unwrap().iter().map(|f| f["file"].as_str().unwrap()).collect();
    assert_eq!(named, ["k/b.pto", "k/sub/a.pto"]);
    assert!(run.stderr.contains("bad.pto:1:"), "{}", run.stderr);
    let text = sandbox.run(["verify", "k"]);
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
    assert!(
        text.stdout.ends_with("2 functions, 2 of them without findings; in all no findings\n"),
        "{}",
        text.stdout
    );
}

#[test]
fn compile_writes_nothing_for_a_kernel_with_errors_unless_they_are_allowed() {
    let body = breaking("data-race");
    let sandbox = Sandbox::with(&[("k.pto", &kernel(&body))]);
    // The default pipeline verifies by itself.
    let said = sandbox.refused(["compile", "k.pto", "-o", "k.cpp"]);
    assert!(said.contains("verify::data-race") && said.contains("--allow-findings"), "{said}");
    let reference = ["compile", "k.pto", "-o", "k.cpp", "--pipeline", "a3-reference"];
    sandbox.refused([&reference[..], &["--verify"]].concat());

    let run = sandbox.run([&reference[..], &["--verify", "--allow-findings"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("verify::data-race"));
    let allowed = sandbox.read("k.cpp");
    // The reference pipelines do not.
    let run = sandbox.run(reference);
    assert_eq!(run.code, Some(0));
    assert!(!run.stderr.contains("verify::"), "{}", run.stderr);
    assert_eq!(sandbox.read("k.cpp"), allowed);
    let run = sandbox.run(["compile", "k.pto", "-o", "k.cpp", "--verify=false"]);
    assert_eq!(run.code, Some(0));
    assert!(!run.stderr.contains("verify::"), "{}", run.stderr);
}

#[test]
fn warnings_are_told_and_do_not_keep_a_kernel_from_being_written() {
    let body = breaking("flag-reuse");
    let sandbox = Sandbox::with(&[("k.pto", &kernel(&body))]);
    let run = sandbox.run(["compile", "k.pto", "-o", "k.cpp"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let said = "1 finding below an error; `pipewright verify` shows them\n";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert!(sandbox.path("k.cpp").exists());
}
