//! What `verify` takes for granted and what it does not judge, each shown by a kernel: the other side of its promise.
//!
//! The kernels carry flags of their own. What must hold: a gap that is closed makes a test here fail, and the row of the
//! table in `docs/verify.md` that names it has to change.

use pipewright_tests::sandbox::{Run, Sandbox};

/// A kernel with two tiles, a third that overlaps the first, and two parameters in global memory.
fn kernel(body: &str) -> String {
    format!(
        "!tile = !pto.tile_buf<vec, 1x64xf32>
!view = !pto.partition_tensor_view<1x64xf32>
func.func @f(%from: !view, %to: !view, %counts: !pto.ptr<i32>)
    attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
  %c0 = arith.constant 0 : index
  %one = arith.constant 1 : i32
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

fn verify(body: &str) -> Run {
    let sandbox = Sandbox::with(&[("k.pto", &kernel(body))]);
    sandbox.run(["verify", "k.pto", "--pipeline", "a3-codegen-only", "--deny", "advice"])
}

fn load(from: &str, to: &str) -> String {
    format!("  pto.tload ins({from} : !view) outs({to} : !tile)\n")
}

fn store(from: &str, to: &str) -> String {
    format!("  pto.tstore ins({from} : !tile) outs({to} : !view)\n")
}

/// `dst` waits for `src`.
fn pair(src: &str, dst: &str) -> String {
    let ends = format!("<PIPE_{src}>, <PIPE_{dst}>, <EVENT_ID0>");
    format!("  pto.set_flag[{ends}]\n  pto.wait_flag[{ends}]\n")
}

fn assert_silent(run: &Run) {
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
}

#[test]
fn different_parameters_are_taken_to_be_apart() {
    assert_silent(&verify(&[store("%a", "%to"), load("%from", "%b")].concat()));
    let one = verify(&[store("%a", "%to"), load("%to", "%b")].concat());
    assert_eq!(one.code, Some(1));
    assert!(one.stderr.contains("verify::data-race"), "{}", one.stderr);
}

#[test]
fn a_flag_is_taken_to_be_enough_between_a_store_and_a_load_of_global_memory() {
    assert_silent(&verify(&[store("%a", "%to"), pair("MTE3", "MTE2"), load("%to", "%b")].concat()));
}

#[test]
fn buffer_tokens_order_nothing_and_are_listed() {
    let tokens = "  pto.get_buf[#pto.pipe<PIPE_MTE2>, 0]\n  pto.rls_buf[#pto.pipe<PIPE_MTE2>, 0]\n";
    let run = verify(&[load("%from", "%a"), tokens.into()].concat());
    assert_silent(&run);
    for name in ["get_buf", "rls_buf"] {
        let assumed = format!("`pto.{name}` orders nothing, and holds nothing up");
        assert!(run.stdout.contains(&assumed), "{}", run.stdout);
    }
    assert!(!run.stdout.contains("  proved:"), "{}", run.stdout);
}

#[test]
fn counters_between_cores_are_not_judged() {
    assert_silent(&verify("  pto.sync.wait #pto.pipe<PIPE_V>, 4\n"));
}

#[test]
fn the_scalar_data_cache_is_not_judged() {
    assert_silent(&verify("  pto.store_scalar %one, %counts[%c0] : !pto.ptr<i32>, i32\n"));
}

#[test]
fn overlap_within_one_instruction_is_not_judged() {
    assert_silent(&verify("  pto.tabs ins(%a : !tile) outs(%half : !tile)\n"));
}
