//! What `a3` adds keeps off the flags that are not its own: those of the source, whose ids may be computed, and those of
//! functions that call each other.

use pipewright_tests::sandbox::Sandbox;

/// A loop with flags of its own from MTE2 to V; their id is `%id`, which `lines` compute. `head` and `tail` stand around
/// the loop's body.
fn kernel(lines: &str, id: &str) -> String {
    let body = format!(
        "scf.for %i = %c0 to %n step %c1 {{
      {lines}
      pto.tload ins(%p : !part) outs(%t0 : !row)
      pto.set_flag_dyn[<PIPE_MTE2>, <PIPE_V>, {id}]
      pto.tload ins(%p : !part) outs(%t1 : !row)
      pto.wait_flag_dyn[<PIPE_MTE2>, <PIPE_V>, {id}]
      pto.tabs ins(%t0 : !row) outs(%t2 : !row)
      pto.tabs ins(%t1 : !row) outs(%t3 : !row)
    }}"
    );
    module("", &body)
}

/// A module with an entry of this body.
fn module(helpers: &str, body: &str) -> String {
    format!(
        r#"
!row = !pto.tile_buf<vec, 16x64xf32>
!part = !pto.partition_tensor_view<16x64xf32>
module {{
{helpers}
  func.func @k(%in: !pto.ptr<f32>, %n: index, %any: index, %c: i1) attributes {{pto.entry, pto.kernel_kind = #pto.kernel_kind<vector>}} {{
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c3 = arith.constant 3 : index
    %c5 = arith.constant 5 : index
    %c16 = arith.constant 16 : index
    %c64 = arith.constant 64 : index
    %a0 = arith.constant 0 : i64
    %a1 = arith.constant 4096 : i64
    %a2 = arith.constant 8192 : i64
    %a3 = arith.constant 12288 : i64
    %v = pto.make_tensor_view %in, shape = [%n, %c64], strides = [%c64, %c1] : !pto.tensor_view<?x?xf32>
    %p = pto.partition_view %v, offsets = [%c0, %c0], sizes = [%c16, %c64] : !pto.tensor_view<?x?xf32> -> !part
    %t0 = pto.alloc_tile addr = %a0 : !row
    %t1 = pto.alloc_tile addr = %a1 : !row
    %t2 = pto.alloc_tile addr = %a2 : !row
    %t3 = pto.alloc_tile addr = %a3 : !row
    {body}
    return
  }}
}}
"#
    )
}

/// The ids of the sets from MTE2 to V that a pipeline adds to function `k`, ascending, and whether a pair became a barrier.
fn added(text: &str, pipeline: &str) -> (Vec<u32>, bool) {
    let sandbox = Sandbox::with(&[("k.pto", text)]);
    let run = sandbox.run(["compile", "k.pto", "-p", pipeline, "--emit", "plan", "--allow-findings"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let (_, plan) = run.stdout.split_once("function k (").expect("the function");
    let of = |line: &str| {
        line.split("set ").nth(1)?.split("MTE2>V #").nth(1)?.split([',', ' ']).next()?.parse().ok()
    };
    let mut ids: Vec<u32> = plan.lines().filter_map(of).collect();
    ids.sort_unstable();
    ids.dedup();
    (ids, plan.lines().any(|line| line.contains("barrier") && line.contains("ALL") && !line.contains("tail")))
}

#[test]
fn an_id_that_is_computed_may_be_any_that_it_can_be() {
    for (lines, id, expected) in [
        ("", "%c1", vec![0]),
        ("%p2 = arith.remui %i, %c2 : index", "%p2", vec![2]),
        ("%p2 = arith.remsi %i, %c3 : index", "%p2", vec![3]),
        ("%p2 = arith.andi %i, %c1 : index", "%p2", vec![2]),
        ("%r = arith.remui %i, %c2 : index\n      %p2 = arith.addi %r, %c1 : index", "%p2", vec![0]),
        (
            "%r = arith.remui %i, %c2 : index\n      %e = arith.cmpi eq, %r, %c0 : index\n      %p2 = arith.select %e, %c1, %c0 : index",
            "%p2",
            vec![2],
        ),
        ("%p2 = arith.select %c, %c5, %c0 : index", "%p2", vec![1]),
        ("%w = arith.extui %c : i1 to i32\n      %p2 = arith.index_cast %w : i32 to index", "%p2", vec![2]),
    ] {
        let text = kernel(lines, id);
        let (ids, _) = added(&text, "a3");
        assert!(ids.first() == Some(&expected[0]), "{lines}: {ids:?}");
        // The reference adds what it always did.
        assert_eq!(added(&text, "a3-reference").0.first(), Some(&0), "{lines}");
    }
}

/// A counter that a loop hands on and that begins again behind 2.
#[test]
fn a_counter_that_a_loop_hands_on_has_the_values_that_come_round() {
    let body = "%end = scf.for %i = %c0 to %n step %c1 iter_args(%slot = %c0) -> (index) {
      pto.tload ins(%p : !part) outs(%t0 : !row)
      pto.set_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %slot]
      pto.tload ins(%p : !part) outs(%t1 : !row)
      pto.wait_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %slot]
      pto.tabs ins(%t0 : !row) outs(%t2 : !row)
      pto.tabs ins(%t1 : !row) outs(%t3 : !row)
      %next = arith.addi %slot, %c1 : index
      %over = arith.cmpi eq, %next, %c3 : index
      %wrapped = arith.select %over, %c0, %next : index
      scf.yield %wrapped : index
    }";
    assert_eq!(added(&module("", body), "a3").0.first(), Some(&3));
    // One that never begins again takes all.
    let on = body.replace("yield %wrapped", "yield %next");
    assert_eq!(added(&module("", &on), "a3").0, []);
}

/// An id of which nothing is known may be any: there is no flag of the pair left, and a barrier stands instead.
#[test]
fn an_id_of_which_nothing_is_known_takes_all() {
    let (ids, barriers) = added(&kernel("", "%any"), "a3");
    assert_eq!((ids, barriers), (Vec::new(), true));
}

const HELPER: &str = "  func.func private @scale(%t: !row, %from: !part) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
    pto.tload ins(%from : !part) outs(%t : !row)
    pto.tabs ins(%t : !row) outs(%t : !row)
    return
  }
  func.func private @outer(%t: !row, %from: !part) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
    func.call @scale(%t, %from) : (!row, !part) -> ()
    return
  }";

/// A pair of the caller may be up while a call runs, whatever lies between: it keeps off the flags of those that are called.
#[test]
fn a_caller_keeps_off_the_flags_of_what_it_calls() {
    for callee in ["scale", "outer"] {
        let body = format!(
            "pto.tload ins(%p : !part) outs(%t0 : !row)
    func.call @{callee}(%t1, %p) : (!row, !part) -> ()
    pto.tabs ins(%t0 : !row) outs(%t2 : !row)"
        );
        let text = module(HELPER, &body);
        assert_eq!(added(&text, "a3").0, [1], "{callee}");
        let sandbox = Sandbox::with(&[("k.pto", &text)]);
        let run = sandbox.run(["verify", "k.pto"]);
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        let of_k = run.stdout.split("function `k`").nth(1).and_then(|rest| rest.split("k.pto: ").next());
        assert!(of_k.is_some_and(|k| k.contains("proved: ") && !k.contains("assumed")), "{}", run.stdout);
        // Where nobody keeps off, the two meet.
        let run =
            sandbox.run(["verify", "k.pto", "-p", "a3", "--set", "event-id-allocation.spare-call-ids=false"]);
        assert_eq!(run.code, Some(1));
        assert!(
            run.stderr.contains("verify::double-set") && run.stderr.contains("of `scale`, called at line"),
            "{}",
            run.stderr
        );
    }
}

/// A flag that the caller's source has up across the call is left alone by what is added to the function that is called.
#[test]
fn what_is_called_keeps_off_the_flags_of_its_caller() {
    let body = "pto.tload ins(%p : !part) outs(%t0 : !row)
    pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
    func.call @scale(%t1, %p) : (!row, !part) -> ()
    pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
    pto.tabs ins(%t0 : !row) outs(%t2 : !row)
    pto.barrier <PIPE_ALL>";
    let sandbox = Sandbox::with(&[("k.pto", &module(HELPER, body))]);
    let run = sandbox.run(["verify", "k.pto"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let plan = sandbox.run(["compile", "k.pto", "--emit", "plan"]).stdout;
    assert!(plan.contains("set s0 MTE2>V #1"), "{plan}");
}

/// What is called may touch memory that it is not given: barriers stand on both sides.
#[test]
fn a_call_may_touch_what_it_is_not_given() {
    let helper =
        "  func.func private @clear(%from: !part) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
    %a = arith.constant 0 : i64
    %t = pto.alloc_tile addr = %a : !row
    pto.tabs ins(%t : !row) outs(%t : !row)
    return
  }";
    let body = "pto.tload ins(%p : !part) outs(%t0 : !row)
    func.call @clear(%p) : (!part) -> ()
    pto.tload ins(%p : !part) outs(%t0 : !row)
    pto.tload ins(%p : !part) outs(%t1 : !row)";
    let text = module(helper, body);
    let sandbox = Sandbox::with(&[("k.pto", &text)]);
    let run = sandbox.run(["verify", "k.pto"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let run = sandbox.run(["verify", "k.pto", "-p", "a3-reference"]);
    assert_eq!(run.code, Some(1), "the reference does not know");
    assert!(run.stderr.contains("verify::data-race"), "{}", run.stderr);
}
