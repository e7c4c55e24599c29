//! Functions that call each other are judged as a whole: what a call executes stands where the call stands.

use pipewright_tests::sandbox::{Run, Sandbox};
use serde_json::Value;

/// Values that the entry functions of the modules below begin with: two parts of a parameter and two rows.
const VALUES: &str = "
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %c64 = arith.constant 64 : index
    %a0 = arith.constant 0 : i64
    %a1 = arith.constant 4096 : i64
    %v = pto.make_tensor_view %in, shape = [%n, %c64], strides = [%c64, %c1] : !pto.tensor_view<?x?xf32>
    %p = pto.partition_view %v, offsets = [%c0, %c0], sizes = [%c16, %c64] : !pto.tensor_view<?x?xf32> -> !part
    %t0 = pto.alloc_tile addr = %a0 : !row
    %t1 = pto.alloc_tile addr = %a1 : !row";

const SET: &str = "pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]";
const WAIT: &str = "pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]";
const LOAD: &str = "pto.tload ins(%p : !part) outs(%t0 : !row)";
const ADD: &str = "pto.tadd ins(%x, %x : !row, !row) outs(%y : !row)";
const CALL: &str = "func.call @work(%t0, %t1) : (!row, !row) -> ()";

/// A module of helpers and an entry `k`, lines given each.
fn module(helpers: &[(&str, &[&str])], entry: &[&str]) -> String {
    let mut text = "!row = !pto.tile_buf<vec, 16x64xf32>\n!part = !pto.partition_tensor_view<16x64xf32>\nmodule attributes {pto.target_arch = \"a3\"} {\n".to_owned();
    let kind = "pto.kernel_kind = #pto.kernel_kind<vector>";
    for (signature, body) in helpers {
        text += &format!("  func.func private @{signature} attributes {{{kind}}} {{\n");
        body.iter().for_each(|line| text += &format!("    {line}\n"));
        text += "    return\n  }\n";
    }
    text += &format!(
        "  func.func @k(%in: !pto.ptr<f32>, %n: index, %c: i1) attributes {{pto.entry, {kind}}} {{{VALUES}\n"
    );
    entry.iter().for_each(|line| text += &format!("    {line}\n"));
    text + "    return\n  }\n}\n"
}

const WORK: &str = "work(%x: !row, %y: !row)";

fn run(text: &str, arguments: &[&str]) -> Run {
    let sandbox = Sandbox::with(&[("k.pto", text)]);
    sandbox.run(arguments.iter().copied().chain(["k.pto"]))
}

fn judged(text: &str) -> Value {
    let run = run(text, &["verify", "-p", "a3-codegen-only", "--format", "json"]);
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stderr));
    document["files"][0].clone()
}

/// Function, rule and messages of the findings that are more than advice.
fn findings(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for function in judged(text)["functions"].as_array().expect("a list") {
        for finding in function["findings"].as_array().expect("a list") {
            if finding["grade"] != "advice" {
                let text = |v: &Value| v.as_str().expect("text").to_owned();
                all.push((text(&function["name"]), text(&finding["rule"])));
            }
        }
    }
    all
}

fn rules(text: &str) -> Vec<String> {
    findings(text).into_iter().map(|(_, rule)| rule).collect()
}

fn all_proved(text: &str) {
    let file = judged(text);
    for function in file["functions"].as_array().expect("a list") {
        let verdicts = function["verdicts"].as_array().expect("a list");
        assert!(verdicts.iter().all(|v| v["verdict"] == "proved"), "{function:#}\n{text}");
    }
}

#[test]
fn a_helper_waits_for_what_its_caller_set() {
    let right = module(&[(WORK, &[WAIT, ADD, "pto.barrier <PIPE_ALL>"])], &[LOAD, SET, CALL]);
    all_proved(&right);
    let file = judged(&right);
    assert_eq!(file["called"], serde_json::json!([{ "name": "work", "within": ["k"] }]));
    assert_eq!(file["functions"].as_array().map(Vec::len), Some(1));
    let forgotten = module(&[(WORK, &[ADD, "pto.barrier <PIPE_ALL>"])], &[LOAD, SET, CALL]);
    assert_eq!(rules(&forgotten), ["data-race", "undrained-flag"]);
    let other = WAIT.replace("ID0", "ID1");
    let other = module(&[(WORK, &[&other, ADD, "pto.barrier <PIPE_ALL>"])], &[LOAD, SET, CALL]);
    assert_eq!(rules(&other), ["wait-before-set", "deadlock", "data-race", "undrained-flag"]);
}

#[test]
fn two_calls_wait_twice() {
    let helpers: &[(&str, &[&str])] = &[(WORK, &[WAIT, ADD, "pto.barrier <PIPE_ALL>"])];
    let twice = module(helpers, &[LOAD, SET, CALL, CALL]);
    assert_eq!(rules(&twice), ["wait-before-set", "deadlock"]);
    all_proved(&module(helpers, &[LOAD, SET, CALL, LOAD, SET, CALL]));
}

#[test]
fn a_call_in_a_loop_is_executed_in_each_trip() {
    let helpers: &[(&str, &[&str])] = &[(WORK, &[WAIT, ADD, "pto.barrier <PIPE_ALL>"])];
    let in_loop = |inside: &[&str], before: &[&str]| {
        let mut lines = before.to_vec();
        lines.push("scf.for %i = %c0 to %n step %c1 {");
        lines.extend(inside);
        lines.push("}");
        module(helpers, &lines)
    };
    all_proved(&in_loop(&[LOAD, SET, CALL], &[]));
    let found = rules(&in_loop(&[CALL], &[LOAD, SET]));
    assert!(
        found.contains(&"wait-before-set".into()) && found.contains(&"undrained-flag".into()),
        "{found:?}"
    );
}

/// What the helper works on is what it is given: one call works on the row that is being loaded, the other does not.
#[test]
fn tiles_of_a_call_are_those_that_it_is_given() {
    let helpers: &[(&str, &[&str])] =
        &[(WORK, &["pto.tabs ins(%x : !row) outs(%x : !row)", "pto.barrier <PIPE_V>"])];
    let calls = |tile: &str| {
        let call = format!("func.call @work({tile}, {tile}) : (!row, !row) -> ()");
        module(helpers, &[&call.replace(tile, "%t1"), LOAD, &call, "pto.barrier <PIPE_ALL>"])
    };
    all_proved(&calls("%t1"));
    assert_eq!(rules(&calls("%t0")), ["data-race"]);
}

/// A pointer of a helper is the parameter that it is given.
#[test]
fn pointers_of_a_call_are_those_that_it_is_given() {
    let store: &[(&str, &[&str])] =
        &[("put(%x: !row, %to: !part)", &["pto.tstore ins(%x : !row) outs(%to : !part)"])];
    let call = "func.call @put(%t1, %p) : (!row, !part) -> ()";
    let both = module(store, &[call, LOAD, "pto.barrier <PIPE_ALL>"]);
    assert_eq!(rules(&both), ["data-race"], "the part is stored and loaded");
    all_proved(&module(store, &[call, "pto.barrier <PIPE_ALL>", LOAD, "pto.barrier <PIPE_ALL>"]));
}

/// Numbers too: the id of a flag, the trips of a loop, an address.
#[test]
fn numbers_of_a_call_are_those_that_it_is_given() {
    let take: &[(&str, &[&str])] =
        &[("take(%id: index)", &["pto.wait_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %id]"])];
    let call = |id: &str| {
        module(
            take,
            &[LOAD, SET, &format!("func.call @take(%c{id}) : (index) -> ()"), "pto.barrier <PIPE_ALL>"],
        )
    };
    all_proved(&call("0"));
    let wrong = rules(&call("1"));
    assert!(
        wrong.contains(&"undrained-flag".into()) && wrong.contains(&"wait-before-set".into()),
        "{wrong:?}"
    );
    let at: &[(&str, &[&str])] = &[(
        "at(%a: i64)",
        &["%x = pto.alloc_tile addr = %a : !row", "pto.tabs ins(%x : !row) outs(%x : !row)"],
    )];
    let call =
        |a: &str| module(at, &[LOAD, &format!("func.call @at({a}) : (i64) -> ()"), "pto.barrier <PIPE_ALL>"]);
    // Whether it is aligned is asked of the function alone, so that is only assumed.
    assert_eq!(findings(&call("%a1")), []);
    assert_eq!(rules(&call("%a0")), ["data-race"]);
}

/// The rows change places with each trip: the helper works on the row that was just loaded while the other one is.
#[test]
fn carried_tiles_go_through_calls() {
    let on = |row: &str| -> String {
        let abs = format!("pto.tabs ins({row} : !row) outs({row} : !row)");
        let back = "pto.set_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID1>]";
        module(
            &[(WORK, &[WAIT, &abs, "pto.barrier <PIPE_V>", back])],
            &[
                back,
                "%e0, %e1 = scf.for %i = %c0 to %n step %c1 iter_args(%s0 = %t0, %s1 = %t1) -> (!row, !row) {",
                "  pto.tload ins(%p : !part) outs(%s0 : !row)",
                "  pto.wait_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID1>]",
                SET,
                "  func.call @work(%s0, %s1) : (!row, !row) -> ()",
                "  scf.yield %s1, %s0 : !row, !row",
                "}",
                "pto.wait_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID1>]",
                "pto.barrier <PIPE_ALL>",
            ],
        )
    };
    all_proved(&on("%x"));
    assert_eq!(rules(&on("%y")), ["data-race"]);
}

#[test]
fn who_is_judged_alone() {
    let stuck = &[WAIT][..];
    let unused = module(&[("unused()", stuck)], &["pto.barrier <PIPE_ALL>"]);
    let of_unused: Vec<String> = findings(&unused).into_iter().map(|(function, _)| function).collect();
    assert_eq!(of_unused, ["unused", "unused"], "nothing calls it");
    // Anybody may call a function that is not private, unless the module says which functions are started.
    let helper = module(&[(WORK, &[WAIT, ADD, "pto.barrier <PIPE_ALL>"])], &[LOAD, SET, CALL]);
    let public = helper.replace("func.func private", "func.func");
    assert_eq!(findings(&public), []);
    let unmarked = public.replace("pto.entry, ", "");
    let functions: Vec<String> = findings(&unmarked).into_iter().map(|(function, _)| function).collect();
    assert!(!functions.is_empty() && functions.iter().all(|f| f == "work"), "{functions:?}");
}

/// Through two levels, with the lines of both calls.
#[test]
fn a_finding_names_the_calls_that_lead_to_it() {
    let text = module(
        &[(WORK, &[ADD]), ("outer(%x: !row, %y: !row)", &["func.call @work(%x, %y) : (!row, !row) -> ()"])],
        &[LOAD, "func.call @outer(%t0, %t1) : (!row, !row) -> ()", "pto.barrier <PIPE_ALL>"],
    );
    let shown = run(&text, &["verify", "-p", "a3-codegen-only"]);
    assert_eq!(shown.code, Some(1));
    insta::assert_snapshot!(format!("{}\n{}", shown.stderr, shown.stdout));
    let file = judged(&text);
    let second = &file["functions"][0]["findings"][0]["second"];
    assert_eq!(second["function"], "work");
    let lines: Vec<_> =
        second["calls"].as_array().expect("a list").iter().map(|c| c["line"].as_u64()).collect();
    assert_eq!(lines, [Some(24), Some(9)]);
}

#[test]
fn recursion_is_refused() {
    let text = module(
        &[
            ("a(%x: !row)", &["func.call @b(%x) : (!row) -> ()"]),
            ("b(%x: !row)", &["func.call @a(%x) : (!row) -> ()"]),
        ],
        &["func.call @a(%t0) : (!row) -> ()"],
    );
    for command in ["verify", "compile", "simulate"] {
        let run = run(&text, &[command]);
        assert_eq!(run.code, Some(1), "{command}");
        assert!(run.stderr.contains("lower::recursion"), "{command}: {}", run.stderr);
    }
    let shown = run(&text, &["verify"]).stderr;
    assert!(shown.contains("the function `a` calls itself by way of `b`"), "{shown}");
    assert!(shown.contains("called in `a`") && shown.contains("called in `b`"), "{shown}");
}

/// Each of 20 functions calls the next one twice: a million calls, of which some are followed. What is not is told, and
/// nothing is proved.
#[test]
fn what_is_not_followed_is_told() {
    let names: Vec<String> = (0..21).map(|i| format!("f{i}()")).collect();
    let calls: Vec<String> = (1..21).map(|i| format!("func.call @f{i}() : () -> ()")).collect();
    let mut bodies: Vec<Vec<&str>> = calls.iter().map(|call| vec![call.as_str(), call.as_str()]).collect();
    bodies.push(vec!["pto.barrier <PIPE_V>"]);
    let helpers: Vec<(&str, &[&str])> =
        names.iter().map(String::as_str).zip(bodies.iter().map(Vec::as_slice)).collect();
    let text = module(&helpers, &["func.call @f0() : () -> ()", "pto.barrier <PIPE_ALL>"]);
    let file = judged(&text);
    let functions = file["functions"].as_array().expect("a list");
    let k = functions.iter().find(|f| f["name"] == "k").expect("the entry");
    assert!(k["verdicts"].as_array().expect("a list").iter().all(|v| v["verdict"] == "assumed"));
    let assumed = k["assumptions"].as_array().expect("a list");
    assert!(assumed.iter().any(|a| a.as_str().is_some_and(|a| a.contains("is not followed"))), "{assumed:?}");
    // Whoever is passed over is judged alone instead.
    assert!(functions.len() > 1);
}

/// Of a function elsewhere nothing is known but its arguments.
#[test]
fn a_call_without_a_body_leaves_nothing_proved() {
    let text = module(&[], &[LOAD, "func.call @far(%t1) : (!row) -> ()", "pto.barrier <PIPE_ALL>"]);
    let text = text.replacen(
        "module attributes {pto.target_arch = \"a3\"} {\n",
        "module attributes {pto.target_arch = \"a3\"} {\n  func.func private @far(!row)\n",
        1,
    );
    let function = judged(&text)["functions"][0].clone();
    assert_eq!(
        function["assumptions"],
        serde_json::json!([
            "`far`, which has no body here, leaves flags as they are and touches only what it is given"
        ])
    );
    assert!(function["verdicts"].as_array().expect("a list").iter().all(|v| v["verdict"] == "assumed"));
}
