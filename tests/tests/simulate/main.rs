//! `pipewright simulate`: costs, stalls, deadlocks, how often loops run, pictures and traces.

mod machine;

use pipewright_tests::sandbox::{KERNEL, Run, Sandbox};
use pipewright_tests::workspace;
use serde_json::Value;

/// A function with this body, on a vector core unless it is said otherwise.
fn kernel(core: &str, parameters: &str, body: &str) -> String {
    format!(
        "module attributes {{pto.target_arch = \"a3\"}} {{\n  func.func @k(%p: !pto.ptr<f32>{parameters}) attributes \
         {{pto.kernel_kind = #pto.kernel_kind<{core}>}} {{\n    %c0 = arith.constant 0 : index\n    %c1 = arith.constant 1 : \
         index\n    %zero = arith.constant 0 : i64\n{body}    return\n  }}\n}}\n"
    )
}

fn tile(space: &str, rows: u64, cols: u64, element: &str) -> String {
    let layout = match space {
        "vec" => "",
        "right" => ", slayout=col_major",
        "left" => ", slayout=row_major",
        "acc" => ", blayout=col_major, slayout=row_major, fractal=1024",
        _ => ", blayout=col_major, slayout=row_major",
    };
    format!("!pto.tile_buf<{space}, {rows}x{cols}x{element}{layout}>")
}

/// A view of so many rows and columns, called `%view`, and its type.
fn view(rows: u64, cols: u64) -> (String, String) {
    let ty = format!("!pto.partition_tensor_view<{rows}x{cols}xf32>");
    let text = format!(
        "    %rows = arith.constant {rows} : index\n    %cols = arith.constant {cols} : index\n    %whole = \
         pto.make_tensor_view %p, shape = [%rows, %cols], strides = [%cols, %c1] : !pto.tensor_view<?x?xf32>\n    %view = \
         pto.partition_view %whole, offsets = [%c0, %c0], sizes = [%rows, %cols] : !pto.tensor_view<?x?xf32> -> {ty}\n"
    );
    (text, ty)
}

/// Simulates a kernel whose synchronization is all in its text.
fn simulate(text: &str, more: &[&str]) -> (Run, Value) {
    let sandbox = Sandbox::with(&[("k.pto", text)]);
    let arguments = ["simulate", "k.pto", "--pipeline", "a3-codegen-only", "--format", "json"];
    let run = sandbox.run(arguments.iter().chain(more).copied());
    let json =
        serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", run.stdout, run.stderr));
    (run, json)
}

fn function(json: &Value) -> &Value {
    &json["functions"][0]
}

fn busy(json: &Value, pipe: &str) -> u64 {
    let lanes = function(json)["timeline"]["lanes"].as_array().expect("there are lanes");
    lanes.iter().find(|l| l["pipe"] == pipe).map_or(0, |l| l["busy"].as_u64().expect("a number"))
}

fn cycles(json: &Value) -> Option<u64> {
    function(json)["cycles"].as_u64()
}

fn loads(count: u64, rows: u64, cols: u64) -> u64 {
    let (mut body, ty) = view(rows, cols);
    let tile = tile("vec", rows, cols, "f32");
    body += &format!("    %t = pto.alloc_tile addr = %zero : {tile}\n");
    body += &format!("    pto.tload ins(%view : {ty}) outs(%t : {tile})\n").repeat(count as usize);
    busy(&simulate(&kernel("vector", "", &body), &[]).1, "MTE2")
}

#[test]
fn loads_cost_what_was_measured() {
    assert_eq!(loads(1, 128, 128), 776);
    assert_eq!(loads(8, 16, 128), 8 * 328);
    assert_eq!(loads(32, 1, 128), 8_576);
}

#[test]
fn arithmetic_costs_what_was_measured() {
    let tile = tile("vec", 64, 64, "f32");
    let body = format!(
        "    %t = pto.alloc_tile addr = %zero : {tile}\n    pto.tsub ins(%t, %t : {tile}, {tile}) outs(%t : {tile})\n"
    );
    // One cycle goes by until it is handed out.
    assert_eq!(cycles(&simulate(&kernel("vector", "", &body), &[]).1), Some(1 + 152));
}

#[test]
fn a_product_and_its_way_out_cost_what_was_measured() {
    let (a, b, c) =
        (tile("left", 128, 64, "f16"), tile("right", 64, 256, "f16"), tile("acc", 128, 256, "f32"));
    let (mut body, ty) = view(128, 256);
    for (name, ty) in [("a", &a), ("b", &b), ("c", &c)] {
        body += &format!("    %{name} = pto.alloc_tile addr = %zero : {ty}\n");
    }
    body += &format!("    pto.tmatmul ins(%a, %b : {a}, {b}) outs(%c : {c})\n");
    body += &format!("    pto.tstore ins(%c : {c}) outs(%view : {ty})\n");
    let (_, json) = simulate(&kernel("cube", "", &body), &[]);
    assert_eq!((busy(&json, "M"), busy(&json, "FIX")), (533, 1_275));
}

#[test]
fn a_person_is_told_where_the_time_goes() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    let run = sandbox.run(["simulate", "k.pto", "--trip", "rows=3"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn trips_come_from_bounds_names_and_a_default() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    let statements = |more: &[&str]| {
        let run = sandbox.run(["simulate", "k.pto", "--format", "json"].iter().chain(more).copied());
        let json: Value = serde_json::from_str(&run.stdout).expect("JSON");
        (function(&json)["statements"].as_u64().unwrap(), function(&json)["notes"].to_string(), run.stderr)
    };
    let (three, notes, warning) = statements(&["--trip", "rows=3"]);
    assert!(!notes.contains("trips") && warning.is_empty(), "{notes}{warning}");
    assert_eq!(statements(&["--trip", "%row=3"]).0, three);
    let (by_default, notes, warning) = statements(&["--default-trips", "3", "--trip", "columns=9"]);
    assert_eq!(by_default, three);
    assert!(notes.contains("the loop at line 13 is taken to have 3 trips"), "{notes}");
    assert_eq!(warning, "warning: no loop or bound is called `columns`\n");
    assert!(statements(&["--trip", "rows=4"]).0 > three);
}

/// A load and a sum in each of so many trips, with the flags for them.
fn counted(trips: u64) -> String {
    let (mut body, ty) = view(16, 64);
    let tile = tile("vec", 16, 64, "f32");
    body += &format!(
        "    %t = pto.alloc_tile addr = %zero : {tile}\n    %n = arith.constant {trips} : index\n    \
         pto.set_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID0>]\n    scf.for %i = %c0 to %n step %c1 {{\n      \
         pto.wait_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID0>]\n      pto.tload ins(%view : {ty}) outs(%t : {tile})\n      \
         pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]\n      pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]\n      \
         pto.tadd ins(%t, %t : {tile}, {tile}) outs(%t : {tile})\n      \
         pto.set_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID0>]\n    }}\n    \
         pto.wait_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID0>]\n    pto.barrier #pto.pipe<PIPE_ALL>\n"
    );
    kernel("vector", "", &body)
}

#[test]
fn a_loop_that_is_cut_short_takes_as_long_as_one_that_runs_out() {
    for trips in [100, 1_001, 5_000] {
        let text = counted(trips);
        let (_, all) = simulate(&text, &[]);
        let (_, cut) = simulate(&text, &["--budget", "50"]);
        let of = |json: &Value, what: &str| function(json)[what].as_u64().unwrap();
        assert_eq!(cycles(&all), cycles(&cut));
        assert_eq!(of(&all, "statements"), of(&cut, "statements"));
        assert_eq!(of(&all, "simulated"), of(&all, "statements"));
        assert!(of(&cut, "simulated") < 600.min(trips * 7));
        assert_eq!((busy(&all, "MTE2"), busy(&all, "V")), (busy(&cut, "MTE2"), busy(&cut, "V")));
        let note = function(&cut)["notes"][0].as_str().unwrap();
        assert!(note.contains("repeat those before exactly, and were skipped"), "{note}");
    }
}

#[test]
fn trips_that_go_different_ways_are_not_said_to_repeat() {
    let tile = tile("vec", 64, 64, "f32");
    let sum = format!("pto.tadd ins(%t, %t : {tile}, {tile}) outs(%t : {tile})\n");
    // Trips before the 500th do nothing else, those after it one more sum.
    let body = format!(
        "    %t = pto.alloc_tile addr = %zero : {tile}\n    %n = arith.constant 1000 : index\n    %half = arith.constant 500 : \
         index\n    scf.for %i = %c0 to %n step %c1 {{\n      {sum}      %late = arith.cmpi sge, %i, %half : index\n      \
         scf.if %late {{\n        {sum}      }}\n    }}\n    pto.barrier #pto.pipe<PIPE_ALL>\n"
    );
    let (_, cut) = simulate(&kernel("vector", "", &body), &["--budget", "50"]);
    let note = function(&cut)["notes"][0].as_str().unwrap();
    assert!(note.contains("are taken to be like those before"), "{note}");
}

#[test]
fn a_wait_without_a_set_is_a_deadlock() {
    let body = "    pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID3>]\n    pto.barrier #pto.pipe<PIPE_ALL>\n";
    let text = kernel("vector", "", body);
    let (run, json) = simulate(&text, &[]);
    assert_eq!((run.code, cycles(&json)), (Some(1), None));
    let blocked: Vec<_> =
        function(&json)["deadlock"].as_array().unwrap().iter().map(|d| d.as_str().unwrap()).collect();
    assert_eq!(blocked, ["barrier ALL (line 7)", "wait MTE2>V #3 (line 6)"]);
    let sandbox = Sandbox::with(&[("k.pto", &text)]);
    let run = sandbox.run(["simulate", "k.pto", "--pipeline", "a3-codegen-only"]);
    assert!(run.stdout.contains("deadlock: these wait for ever\n  barrier ALL (line 7)\n"), "{}", run.stdout);
}

#[test]
fn a_second_set_waits_or_is_lost() {
    let set = "    pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]\n";
    let wait = "    pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]\n";
    let text = kernel("vector", "", &[set, set, wait, wait].concat());
    let (stall, json) = simulate(&text, &["--flag-model", "stall"]);
    assert_eq!(stall.code, Some(0));
    let lanes = function(&json)["timeline"]["lanes"].as_array().unwrap();
    assert!(lanes.iter().any(|l| l["pipe"] == "MTE2" && l["stalls"]["set"].as_u64() > Some(0)), "{json}");
    let (lose, json) = simulate(&text, &["--flag-model", "lose"]);
    assert_eq!((lose.code, cycles(&json)), (Some(1), None));
    let notes = function(&json)["notes"].to_string();
    assert!(notes.contains("1 sets found their flag still set and were lost"), "{notes}");
}

#[test]
fn a_full_queue_stops_the_scalar_unit() {
    let tile = tile("vec", 64, 64, "f32");
    let one = format!("    pto.tadd ins(%t, %t : {tile}, {tile}) outs(%t : {tile})\n");
    let body = format!("    %t = pto.alloc_tile addr = %zero : {tile}\n{}", one.repeat(40));
    let (_, json) = simulate(&kernel("vector", "", &body), &[]);
    let lanes = function(&json)["timeline"]["lanes"].as_array().unwrap();
    // 32 entries and the one at work: seven are late, and each waits for one sum.
    assert!(lanes[0]["stalls"]["queue"].as_u64() > Some(6 * 128), "{}", lanes[0]["stalls"]);
}

#[test]
fn traces_and_pictures_are_well_formed() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    let arguments = ["simulate", "k.pto", "--trip", "rows=2", "--trace", "t.json", "--svg", "t.svg"];
    assert_eq!(sandbox.run(arguments).code, Some(0));
    let trace: Value = serde_json::from_str(&sandbox.read("t.json")).expect("the trace is JSON");
    let events = trace["traceEvents"].as_array().expect("it has events");
    let phase = |p: &str| events.iter().filter(|e| e["ph"] == p).count();
    assert!(phase("X") > 10 && phase("s") > 0 && phase("s") == phase("f") && phase("M") >= 4);
    let load = events.iter().find(|e| e["name"] == "pto.tload").expect("a load is drawn");
    assert_eq!((load["args"]["line"].as_u64(), load["args"]["cycles"].as_u64()), (Some(16), Some(268)));
    insta::assert_snapshot!(sandbox.read("t.svg"));
    // The same run gives the same bytes.
    let (trace, svg) = (sandbox.read("t.json"), sandbox.read("t.svg"));
    sandbox.run(arguments);
    assert_eq!((trace, svg), (sandbox.read("t.json"), sandbox.read("t.svg")));
}

#[test]
fn pictures_in_the_documents_are_what_the_command_draws() {
    let sandbox = Sandbox::default();
    let kernel = workspace().join("examples/loop-tail/two_phases.pto");
    for (pipeline, picture) in
        [("a3-reference", "loop-tail-front.svg"), ("a3-reference-push-back", "loop-tail-back.svg")]
    {
        let kernel = kernel.to_str().expect("a path in Unicode");
        let arguments = ["simulate", kernel, "--pipeline", pipeline, "--trip", "rows=1", "--svg", picture];
        let run = sandbox.run(arguments.into_iter().chain(["--window", "2720..2810"]));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        let shown =
            std::fs::read_to_string(workspace().join("docs").join(picture)).expect("the picture is there");
        assert!(
            sandbox.read(picture) == shown,
            "docs/{picture}: draw it again with {arguments:?} --window 2720..2810"
        );
    }
}

#[test]
fn a_picture_can_show_some_cycles() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    let arguments = ["simulate", "k.pto", "--trip", "rows=2", "--svg", "t.svg", "--window"];
    let drawn = |window: &'static str| {
        let run = sandbox.run(arguments.into_iter().chain([window]));
        (run.code, run.stderr, sandbox.read("t.svg"))
    };
    let (code, _, svg) = drawn("0..300");
    // The load is cut off at the end, its text is in what is left.
    assert!(code == Some(0) && svg.contains(">tload</text>") && svg.contains(">300</text>"), "{svg}");
    assert!(!svg.contains(">400</text>"));
    let (code, why, same) = drawn("100000..100001");
    assert!(code == Some(2) && why.contains("`--window` begins behind the end, which is cycle"), "{why}");
    assert_eq!(same, svg);
    let (code, why, _) = drawn("30..30");
    assert!(code == Some(2) && why.contains("write `FROM..TO`"), "{why}");
}

#[test]
fn a_function_that_there_is_not_is_named() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    let run = sandbox.run(["simulate", "k.pto", "--function", "nothing"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("no function is called `nothing`; there are: "), "{}", run.stderr);
}

#[test]
fn a_cost_table_can_be_exchanged_and_is_checked() {
    let table = std::fs::read_to_string(workspace().join("pipelines/targets/a3/cost.toml")).unwrap();
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    let cycles = |table: &str| {
        sandbox.write("cost.toml", table);
        sandbox.run(["simulate", "k.pto", "--costs", "cost.toml", "--trip", "rows=2"]).stdout
    };
    let slow = table.replace("\"gm>vec\" = { startup = 264", "\"gm>vec\" = { startup = 2640");
    assert_ne!(cycles(&table), cycles(&slow));
    sandbox.write("cost.toml", table.replace("src = \"test\"", "src = \"hearsay\""));
    insta::assert_snapshot!(sandbox.refused(["simulate", "k.pto", "--costs", "cost.toml"]));
}
