//! How an operation synchronizes is data: an operation from a target file is followed like one that comes with the
//! target, and one that does not say how it orders work leaves nothing proved.

use pipewright_tests::sandbox::Sandbox;
use serde_json::Value;

/// A wait that is spelled like `pto.wait_flag`, one with fixed pipes, and one that says nothing.
const OPERATIONS: &str = r#"
[[op]]
name = "pto.vendor_take"
summary = "wait for a flag and lower it"
class = "bracket"
attrs = ["src_pipe: pipe", "dst_pipe: pipe", "event_id: event"]
inline = ["src_pipe", "dst_pipe", "event_id"]
flags = ["explicit-sync"]
sync = "wait {src_pipe}>{dst_pipe} #{event_id}"
cpp = "vendor_take({src_pipe:sym}, {dst_pipe:sym}, {event_id:sym})"

[[op]]
name = "pto.vendor_loaded"
summary = "wait for what was loaded"
class = "nullary"
flags = ["explicit-sync"]
sync = "wait MTE2>V #0"
cpp = "vendor_loaded()"

[[op]]
name = "pto.vendor_rest"
summary = "nobody knows"
class = "nullary"
cpp = "vendor_rest()"
"#;

const PIPELINE: &str =
    "[pipeline]\nname = \"vendor\"\nextends = \"a3-codegen-only\"\ntarget-extensions = [\"ops.toml\"]\n";

/// A load, a flag, `wait` in its place, and work on what was loaded.
fn kernel(wait: &str) -> String {
    format!(
        r#"
!tile = !pto.tile_buf<vec, 16x64xf32>
!part = !pto.partition_tensor_view<16x64xf32>
module {{
  func.func @f(%in: !pto.ptr<f32>) attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %c64 = arith.constant 64 : index
    %a0 = arith.constant 0 : i64
    %v = pto.make_tensor_view %in, shape = [%c16, %c64], strides = [%c64, %c1] : !pto.tensor_view<16x64xf32>
    %p = pto.partition_view %v, offsets = [%c0, %c0], sizes = [%c16, %c64] : !pto.tensor_view<16x64xf32> -> !part
    %t = pto.alloc_tile addr = %a0 : !tile
    pto.tload ins(%p : !part) outs(%t : !tile)
    pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
    {wait}
    pto.tabs ins(%t : !tile) outs(%t : !tile)
    pto.barrier <PIPE_ALL>
    return
  }}
}}
"#
    )
}

fn verified(wait: &str) -> Value {
    let sandbox =
        Sandbox::with(&[("k.pto", &kernel(wait)), ("vendor.toml", PIPELINE), ("ops.toml", OPERATIONS)]);
    let run = sandbox.run(["verify", "k.pto", "--pipeline", "vendor.toml", "--format", "json"]);
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stderr));
    document["files"][0]["functions"][0].clone()
}

fn rules(function: &Value) -> Vec<&str> {
    let findings = function["findings"].as_array().expect("a list");
    findings.iter().map(|f| f["rule"].as_str().expect("a name")).collect()
}

fn verdicts(function: &Value) -> Vec<&str> {
    let verdicts = function["verdicts"].as_array().expect("a list");
    verdicts.iter().map(|v| v["verdict"].as_str().expect("a word")).collect()
}

#[test]
fn a_wait_of_a_target_file_orders_like_any_other() {
    for wait in ["pto.vendor_take[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]", "pto.vendor_loaded"] {
        let function = verified(wait);
        assert_eq!(rules(&function), [""; 0], "{wait}");
        assert!(verdicts(&function).iter().all(|v| *v == "proved"), "{wait}: {function}");
        assert_eq!(function["assumptions"], Value::Array(Vec::new()));
    }
}

#[test]
fn a_kernel_that_hangs_in_it_is_found() {
    let function = verified("pto.vendor_take[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID1>]");
    assert_eq!(rules(&function), ["wait-before-set", "deadlock", "data-race", "undrained-flag"]);
    assert_eq!(function["findings"][0]["flag"]["id"], 1);
    let twice = verified("pto.vendor_loaded\n    pto.vendor_loaded");
    assert!(rules(&twice).contains(&"deadlock"), "{twice}");
}

/// It may wait for the flag or not: it is taken not to, which is said, and nothing is proved.
#[test]
fn what_is_not_described_leaves_nothing_proved() {
    let function = verified("pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]\n    pto.vendor_rest");
    assert_eq!(rules(&function), [""; 0]);
    assert!(verdicts(&function).iter().all(|v| *v == "assumed"), "{function}");
    assert_eq!(
        function["assumptions"],
        serde_json::json!(["`pto.vendor_rest` orders nothing, and holds nothing up"])
    );
    for (wait, says) in [
        ("pto.get_buf[#pto.pipe_event_type<TLOAD>, 0]", "`pto.get_buf` orders nothing, and holds nothing up"),
        ("pto.sync.wait <PIPE_V>, 0", "what `pto.sync.wait` waits for on another core comes"),
    ] {
        let function = verified(&format!("pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]\n    {wait}"));
        assert_eq!(function["assumptions"], serde_json::json!([says]));
        assert!(verdicts(&function).iter().all(|v| *v == "assumed"), "{function}");
    }
}

#[test]
fn what_it_prints_is_its_own_form() {
    let sandbox = Sandbox::with(&[
        ("k.pto", &kernel("pto.vendor_take[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]")),
        ("vendor.toml", PIPELINE),
        ("ops.toml", OPERATIONS),
    ]);
    let run = sandbox.run(["compile", "k.pto", "--pipeline", "vendor.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("  vendor_take(PIPE_MTE2, PIPE_V, EVENT_ID0);\n"), "{}", run.stdout);
}
