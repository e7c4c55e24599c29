//! Where the memory of a value is when it is no allocation and no parameter: picked, cast, computed, or unknown.
//!
//! For each kind of origin a kernel with two accesses that must be in order, and one that has nothing to do with them: the
//! default pipeline puts these flags there and no others, and the verifier says what it assumes.

use std::collections::BTreeSet;

use pipewright_tests::sandbox::Sandbox;

const MAIN: &str = "!row = !pto.tile_buf<vec, 16x64xf32>
!part = !pto.partition_tensor_view<16x64xf32>
!view = !pto.tensor_view<?x?xf32>
!ptr = !pto.ptr<f32>
func.func private @pick(i64) -> !ptr
func.func private @tile(i64) -> !row
func.func @k(%in: !ptr, %out: !ptr, %c: i1, %n: index, %raw: i64) attributes {pto.entry, pto.kernel_kind = #pto.kernel_kind<vector>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %at0 = arith.constant 0 : i64
  %at1 = arith.constant 4096 : i64
  %at2 = arith.constant 8192 : i64
  %four = arith.constant 4 : i64
  %iv = pto.make_tensor_view %in, shape = [%c64, %c64], strides = [%c64, %c1] : !view
  %src = pto.partition_view %iv, offsets = [%c0, %c0], sizes = [%c64, %c64] : !view -> !part
  %ov = pto.make_tensor_view %out, shape = [%c64, %c64], strides = [%c64, %c1] : !view
  %dst = pto.partition_view %ov, offsets = [%c0, %c0], sizes = [%c64, %c64] : !view -> !part
  %a = pto.alloc_tile addr = %at0 : !row
  %b = pto.alloc_tile addr = %at1 : !row
  %d = pto.alloc_tile addr = %at2 : !row
";

/// A view `%NAMEp` of what the pointer `%NAME` points to.
fn view(name: &str) -> String {
    format!(
        "  %{name}v = pto.make_tensor_view %{name}, shape = [%c64, %c64], strides = [%c64, %c1] : !view
  %{name}p = pto.partition_view %{name}v, offsets = [%c0, %c0], sizes = [%c64, %c64] : !view -> !part
"
    )
}

/// The flags (`MTE3>MTE2`) and barriers (`V`) of all but the return that the default pipeline puts into a kernel, and what
/// the verifier says of the result.
fn judged(body: &str) -> (BTreeSet<String>, String) {
    let sandbox = Sandbox::with(&[("k.pto", &format!("{MAIN}{body}  return\n}}\n"))]);
    let run = sandbox.run(["compile", "--emit", "pto", "k.pto"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let pipes = |line: &str| {
        let pipes = line.split("<PIPE_").skip(1).filter_map(|rest| rest.split('>').next());
        pipes.collect::<Vec<_>>().join(">")
    };
    let lines = run.stdout.lines().filter(|line| !line.contains("auto_sync_tail"));
    let is_sync = |line: &&str| line.contains("pto.set_flag") || line.contains("pto.barrier");
    let sync = lines.filter(is_sync).map(pipes).collect();
    let verified = sandbox.run(["verify", "k.pto"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains("no findings"), "{}", verified.stdout);
    (sync, verified.stdout)
}

/// The default pipeline puts exactly these there, and the verifier proves it without an assumption.
#[track_caller]
fn proved(body: &str, sync: &[&str]) {
    let (found, said) = judged(body);
    assert_eq!(found, sync.iter().map(|&s| s.to_owned()).collect());
    assert!(!said.contains("assumed"), "{said}");
}

/// The same where the memory of a value is not known.
#[track_caller]
fn assumed(body: &str, sync: &[&str], assumption: &str) {
    let (found, said) = judged(body);
    assert_eq!(found, sync.iter().map(|&s| s.to_owned()).collect());
    let listed =
        said.lines().find_map(|line| line.trim_start().strip_prefix("assumed: ")).unwrap_or_default();
    assert!(listed.contains(&format!("the memory of {assumption}")), "{said}");
}

/// A store through `%dst`, and loads through `%rp` and `%src`.
fn store_and_load(origin: &str) -> String {
    let accesses = "  pto.tstore ins(%a : !row) outs(%dst : !part)
  pto.tload ins(%rp : !part) outs(%b : !row)
  pto.tload ins(%src : !part) outs(%d : !row)
";
    [origin, &view("r"), accesses].concat()
}

/// A load into the tile `%t`, and a store from `%a`.
fn load_and_store(origin: &str) -> String {
    format!(
        "{origin}  pto.tload ins(%src : !part) outs(%t : !row)
  pto.tstore ins(%a : !row) outs(%dst : !part)
"
    )
}

#[test]
fn a_tile_that_is_picked_is_either() {
    let picked = "  %t = arith.select %c, %b, %a : !row\n";
    proved(&load_and_store(picked), &["MTE2>MTE3"]);
    let other = "  %t = arith.select %c, %b, %d : !row\n";
    proved(&load_and_store(other), &[]);
}

#[test]
fn a_window_of_a_tile_that_is_picked_is_in_either() {
    let picked = "  %s = arith.select %c, %b, %a : !row
  %t = pto.subview %s[%c0, %c0] sizes [8, 64] : !row
";
    let body = load_and_store(picked).replace("outs(%t : !row)", "outs(%t : !pto.tile_buf<vec, 8x64xf32>)");
    proved(&body.replace("tload ins(%src : !part)", "tload ins(%small : !pto.partition_tensor_view<8x64xf32>)").replace(
        "  %s = arith",
        "  %small = pto.partition_view %iv, offsets = [%c0, %c0], sizes = [%c64, %c64] : !view -> !pto.partition_tensor_view<8x64xf32>\n  %s = arith",
    ), &["MTE2>MTE3"]);
}

#[test]
fn a_pointer_that_is_picked_points_to_either() {
    proved(&store_and_load("  %r = arith.select %c, %in, %out : !ptr\n"), &["MTE3>MTE2"]);
    proved(&store_and_load("  %r = arith.select %c, %in, %in : !ptr\n"), &[]);
}

#[test]
fn a_view_that_is_picked_is_either() {
    let body = "  %v = arith.select %c, %src, %dst : !part
  pto.tstore ins(%a : !row) outs(%dst : !part)
  pto.tload ins(%v : !part) outs(%b : !row)
";
    proved(body, &["MTE3>MTE2"]);
}

#[test]
fn a_pointer_that_goes_through_an_integer_stays_where_it_points() {
    let through = |pointer: &str| {
        format!(
            "  %i = pto.ptrtoint %{pointer} : !ptr -> i64
  %j = arith.addi %i, %four : i64
  %r = pto.inttoptr %j : i64 -> !ptr
"
        )
    };
    proved(&store_and_load(&through("out")), &["MTE3>MTE2"]);
    proved(&store_and_load(&through("in")), &[]);
    let cast = "  %i = pto.castptr %out : !ptr -> i64\n  %r = pto.castptr %i : i64 -> !ptr\n";
    proved(&store_and_load(cast), &["MTE3>MTE2"]);
}

#[test]
fn an_address_that_a_loop_hands_on_is_one_or_the_other() {
    let origin = "  %i = pto.ptrtoint %in : !ptr -> i64
  %o = pto.ptrtoint %out : !ptr -> i64
  %e = scf.for %t = %c0 to %n step %c1 iter_args(%x = %i) -> (i64) {
    scf.yield %o : i64
  }
  %r = pto.inttoptr %e : i64 -> !ptr
";
    proved(&store_and_load(origin), &["MTE3>MTE2"]);
    let mixed = origin.replace("scf.yield %o", "scf.yield %raw");
    assumed(&store_and_load(&mixed), &["MTE3>MTE2"], "%e (line 24) is not known: taken to be anywhere in gm");
}

#[test]
fn an_address_that_is_computed_may_be_anywhere() {
    let origin = "  %i = pto.ptrtoint %in : !ptr -> i64
  %j = arith.xori %i, %four : i64
  %r = pto.inttoptr %j : i64 -> !ptr
";
    assumed(&store_and_load(origin), &["MTE3>MTE2"], "%j (line 23) is not known: taken to be anywhere in gm");
}

#[test]
fn a_number_that_becomes_a_pointer_may_point_anywhere() {
    let origin = "  %r = pto.inttoptr %raw : i64 -> !ptr\n";
    assumed(&store_and_load(origin), &["MTE3>MTE2"], "%r (line 22) is not known: taken to be anywhere in gm");
    let local = "  %u = pto.castptr %raw : i64 -> !pto.ptr<f32, ub>
  pto.tload ins(%src : !part) outs(%a : !row)
  %x = arith.constant 1.0 : f32
  pto.store_scalar %x, %u[%c0] : !pto.ptr<f32, ub>, f32
";
    assumed(local, &["ALL"], "%u (line 22) is not known: taken to be anywhere in vec");
}

#[test]
fn a_cast_is_another_name() {
    let origin = "  %t = builtin.unrealized_conversion_cast %a : !row to !row\n";
    proved(&load_and_store(origin), &["MTE2>MTE3"]);
    proved(&load_and_store(&origin.replace("%a", "%b")), &[]);
}

#[test]
fn what_a_call_returns_may_be_anywhere() {
    // What the call does itself is not known either: full barriers stand round it.
    let pointer = "  %r = func.call @pick(%raw) : (i64) -> !ptr\n";
    assumed(
        &store_and_load(pointer),
        &["ALL", "MTE3>MTE2"],
        "%r (line 22) is not known: taken to be anywhere in gm",
    );
    let tile = "  %t = func.call @tile(%raw) : (i64) -> !row\n";
    assumed(
        &load_and_store(tile),
        &["ALL", "MTE2>MTE3"],
        "%t (line 22) is not known: taken to be anywhere in vec",
    );
}

#[test]
fn what_another_dialect_makes_may_be_anywhere() {
    let origin = "  %t = \"memref.odd\"(%raw) : (i64) -> !row\n";
    assumed(
        &load_and_store(origin),
        &["MTE2>MTE3"],
        "%t (line 22) is not known: taken to be anywhere in vec",
    );
}

#[test]
fn what_a_branch_yields_from_an_unknown_arm_may_be_anywhere() {
    let origin = "  %r = scf.if %c -> (!ptr) {
    scf.yield %in : !ptr
  } else {
    %q = func.call @pick(%raw) : (i64) -> !ptr
    scf.yield %q : !ptr
  }
";
    assumed(
        &store_and_load(origin),
        &["ALL", "MTE3>MTE2"],
        "%q (line 25) is not known: taken to be anywhere in gm",
    );
}

#[test]
fn an_argument_of_a_block_may_be_anywhere() {
    let body = store_and_load("").replace("  ", "    ");
    let body = format!(
        "  \"memref.odd\"(%raw) ({{\n  ^bb0(%r: !ptr):\n{body}    \"memref.end\"() : () -> ()\n  }}) : (i64) -> ()\n"
    );
    assumed(&body, &["MTE3>MTE2"], "%r (line 23) is not known: taken to be anywhere in gm");
}

/// A pick is a choice on the path, not both at once: a kernel that is right for each of them is proved, and one that is
/// wrong for one of them is refuted on the way that takes it.
#[test]
fn a_pick_is_a_choice_on_the_path() {
    let body = |sync: &str| {
        format!(
            "  %s = arith.select %c, %a, %b : !row
  pto.tload ins(%src : !part) outs(%s : !row)
  pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
  pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
  pto.texp ins(%s : !row) outs(%d : !row)
{sync}  pto.tstore ins(%d : !row) outs(%dst : !part)
  pto.barrier <PIPE_ALL>
  return
}}
"
        )
    };
    let pair = "  pto.set_flag[<PIPE_V>, <PIPE_MTE3>, <EVENT_ID0>]
  pto.wait_flag[<PIPE_V>, <PIPE_MTE3>, <EVENT_ID0>]
";
    let sandbox = Sandbox::with(&[("k.pto", &(MAIN.to_owned() + &body(pair)))]);
    let run = sandbox.run(["verify", "k.pto"]);
    assert!(run.code == Some(0) && !run.stdout.contains("assumed"), "{}", run.stdout);
    let wrong = body("").replace("ins(%d : !row) outs(%dst", "ins(%b : !row) outs(%dst");
    sandbox.write("k.pto", MAIN.to_owned() + &wrong);
    let run = sandbox.run(["verify", "k.pto"]);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("verify::data-race"), "{said}");
    assert!(said.contains("path: select at line 22: second value"), "{said}");
}

#[test]
fn a_pointer_names_its_space_and_the_space_its_other_names() {
    for (space, other) in [("vec", "ub"), ("mat", "l1"), ("left", "l0a"), ("right", "l0b"), ("acc", "l0c")] {
        let text = |space: &str| format!("func.func private @f(!pto.ptr<f32, {space}>, !pto.ptr<f32>)\n");
        let sandbox = Sandbox::with(&[("own.pto", &text(space)), ("other.pto", &text(other))]);
        for file in ["own.pto", "other.pto"] {
            let run = sandbox.run(["fmt", file]);
            assert_eq!((run.code, run.stdout), (Some(0), sandbox.read(file)), "{}", run.stderr);
        }
    }
    // With and without its space: one type.
    let body = "  %p = pto.addptr %in, %c1 : !ptr -> !pto.ptr<f32, gm>\n";
    proved(&store_and_load(&format!("{body}  %r = arith.select %c, %p, %in : !ptr\n")), &[]);
    let sandbox = Sandbox::with(&[("k.pto", "func.func private @f(!pto.ptr<f32, ubb>)\n")]);
    let said = sandbox.refused(["compile", "k.pto"]);
    assert!(
        said.contains("there is no memory space `ubb`") && said.contains("the target has gm, vec,"),
        "{said}"
    );
}

#[test]
fn memory_in_no_known_space_is_refused() {
    let body = "  %t = \"memref.odd\"(%raw) : (i64) -> !odd.buffer
  pto.tstore ins(%t : !odd.buffer) outs(%dst : !part)
  return
}
";
    let sandbox = Sandbox::with(&[("k.pto", &(MAIN.to_owned() + body))]);
    insta::assert_snapshot!(sandbox.refused(["compile", "k.pto", "--emit", "plan"]), @r#"
    lower::unknown-space

      x nobody knows which memory a value of type `!odd.buffer` is in
        ,-[k.pto:23:18]
     22 |   %t = "memref.odd"(%raw) : (i64) -> !odd.buffer
     23 |   pto.tstore ins(%t : !odd.buffer) outs(%dst : !part)
        :                  ^|
        :                   `-- read or written here
     24 |   return
        `----
      help: its type must name one of the target's memory spaces: a tile, a view, a pointer or a memref
    "#);
}
