//! The path of a finding can be watched: `simulate` takes the values that `verify` names.

use pipewright_tests::sandbox::{Run, Sandbox};

/// A function of this body, behind `helpers`.
fn kernel(helpers: &str, body: &str) -> Sandbox {
    let text = format!(
        r#"
!row = !pto.tile_buf<vec, 16x64xf32>
!part = !pto.partition_tensor_view<16x64xf32>
module {{
{helpers}
  func.func @k(%in: !pto.ptr<f32>, %n: index, %c: i1) attributes {{pto.entry, pto.kernel_kind = #pto.kernel_kind<vector>}} {{
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c16 = arith.constant 16 : index
    %c64 = arith.constant 64 : index
    %a0 = arith.constant 0 : i64
    %v = pto.make_tensor_view %in, shape = [%n, %c64], strides = [%c64, %c1] : !pto.tensor_view<?x?xf32>
    %p = pto.partition_view %v, offsets = [%c0, %c0], sizes = [%c16, %c64] : !pto.tensor_view<?x?xf32> -> !part
    %t = pto.alloc_tile addr = %a0 : !row
    {body}
    pto.barrier <PIPE_ALL>
    return
  }}
}}
"#
    );
    Sandbox::with(&[("k.pto", &text)])
}

fn simulate(sandbox: &Sandbox, more: &[&'static str]) -> Run {
    sandbox.run(["simulate", "k.pto", "-p", "a3-codegen-only"].into_iter().chain(more.iter().copied()))
}

const LOAD: &str = "pto.tload ins(%p : !part) outs(%t : !row)
      pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]";
const WAIT: &str = "pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]";

#[test]
fn a_hang_under_a_condition_is_watched() {
    let sandbox = kernel("", &format!("scf.if %c {{ {LOAD} }}\n    {WAIT}"));
    let verify = sandbox.run(["verify", "k.pto", "-p", "a3-codegen-only"]);
    assert!(verify.stderr.contains("with c = false"), "{}", verify.stderr);
    let hangs = simulate(&sandbox, &["--branch", "c=false"]);
    assert_eq!(hangs.code, Some(1));
    assert!(hangs.stdout.contains("wait MTE2>V #0"), "{}", hangs.stdout);
    assert_eq!(simulate(&sandbox, &["--branch", "c=true"]).code, Some(0));
    // A condition is a number as well, and a word that is none is told.
    assert_eq!(simulate(&sandbox, &["--trip", "c=0"]).code, Some(1));
    let wrong = simulate(&sandbox, &["--branch", "c=maybe"]);
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("write `NAME=true` or `NAME=false`"),
        "{}",
        wrong.stderr
    );
}

/// The same through a call: what the caller gives is what the called function asks for.
#[test]
fn conditions_go_through_calls() {
    let helper = format!(
        "  func.func private @take(%wanted: i1) attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
    scf.if %wanted {{ {WAIT} }}
    return
  }}"
    );
    let sandbox = kernel(&helper, "func.call @take(%c) : (i1) -> ()");
    let hangs = simulate(&sandbox, &["--branch", "c=true"]);
    assert_eq!(hangs.code, Some(1));
    assert!(hangs.stdout.contains("of `take`, called at line"), "{}", hangs.stdout);
    assert_eq!(simulate(&sandbox, &["--branch", "c=false"]).code, Some(0));
}

/// A guard that is too weak fails in a kernel of one trip only.
#[test]
fn numbers_decide_trips_and_conditions() {
    let body = format!(
        "%more = arith.cmpi sgt, %n, %c1 : index\n    scf.if %more {{ {LOAD} }}\n    scf.for %i = %c0 to %n step %c1 {{\n      %first = arith.cmpi eq, %i, %c0 : index\n      scf.if %first {{ {WAIT} }}\n    }}"
    );
    let sandbox = kernel("", &body);
    let run = |n: &'static str| simulate(&sandbox, &["--trip", n]).code;
    assert_eq!([run("n=0"), run("n=1"), run("n=2")], [Some(0), Some(1), Some(0)]);
}

/// Each trip names the flag that its number says.
#[test]
fn ids_that_are_computed_are_those_of_the_trip() {
    let flag = |what: &str| format!("pto.{what}_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %id]");
    let body = format!(
        "scf.for %i = %c0 to %n step %c1 {{\n      %id = arith.remui %i, %c2 : index\n      {}\n      {}\n    }}",
        flag("set"),
        flag("wait")
    );
    let sandbox = kernel("", &body);
    let run = simulate(&sandbox, &["--trip", "n=4"]);
    assert_eq!(run.code, Some(0), "{}", run.stdout);
    for id in [0, 1] {
        let lost = run.stdout.lines().find(|l| l.contains(&format!("wait MTE2>V #{id} ")));
        let times = lost.and_then(|line| line.split_whitespace().nth(1));
        assert_eq!(times, Some("2"), "{}", run.stdout);
    }
    // One slot on: the wait of the first trip never ends.
    let off = body.replace(&flag("wait"), "%on = arith.addi %i, %c1 : index\n      %other = arith.remui %on, %c2 : index\n      pto.wait_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %other]");
    assert_eq!(simulate(&kernel("", &off), &["--trip", "n=1"]).code, Some(1));
}
