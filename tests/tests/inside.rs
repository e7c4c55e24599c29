//! What calls do inside themselves: what the default pipeline puts round each kind of call, that the result is proved, and
//! that the same kernel without one of its statements is not.

use std::path::Path;
use std::process::Command;

use pipewright_tests::pipewright;

const HEAD: &str = "
!f = !pto.tile_buf<vec, 16x64xf32>
!n = !pto.tile_buf<vec, 16x64xi32>
!h = !pto.tile_buf<vec, 16x64xf16>
!b = !pto.tile_buf<vec, 16x64xui8>
!odd = !pto.tile_buf<vec, 16x64xf32, valid=16x20>
!col = !pto.tile_buf<vec, 16x1xf32, blayout=col_major>
!one = !pto.tile_buf<vec, 1x64xf32>
!part = !pto.partition_tensor_view<16x64xf32>
!nums = !pto.partition_tensor_view<16x64xi32>
module attributes {pto.target_arch = \"a3\"} {
func.func @k(%in: !part, %out: !part, %ints: !nums, %x: f32, %count: i32, %rows: index) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
";

/// A kernel whose tiles are `%NAME : TYPE`, 8192 bytes apart, with this body.
fn kernel(tiles: &[(&str, &str)], body: &str) -> String {
    let mut text = HEAD.to_owned();
    for (index, (name, ty)) in tiles.iter().enumerate() {
        text += &format!("  %at{index} = arith.constant {} : i64\n", index * 8192);
        text += &format!("  %{name} = pto.alloc_tile addr = %at{index} : !{ty}\n");
    }
    text + body + "  return\n}\n}\n"
}

/// Whether it went well, and what it wrote: the standard output, or if it did not go well all of it.
fn run(args: &[&str], file: &Path) -> (bool, String) {
    let mut command: Command = pipewright();
    let output = command.args(args).arg(file).env("NO_COLOR", "1").output().unwrap();
    let ok = output.status.success();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !ok {
        text += &String::from_utf8_lossy(&output.stderr);
    }
    (ok, text)
}

/// The flags, barriers and calls that the default pipeline writes for a kernel, one a line. The result is proved, and each
/// flag or barrier that names a pipe of `needed` is needed: without it the kernel has an error.
fn synchronized(kernel: &str, needed: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k.pto");
    std::fs::write(&file, kernel).unwrap();
    let (ok, written) = run(&["compile", "-p", "a3", "--emit", "pto", "-o", "-"], &file);
    assert!(ok, "{written}");
    let judged = |text: &str| {
        std::fs::write(&file, text).unwrap();
        run(&["verify", "-p", "a3-codegen-only"], &file)
    };
    let (ok, said) = judged(&written);
    assert!(ok && !said.contains("verify::"), "{said}\n{written}");
    let is_sync = |line: &str| ["set_flag", "wait_flag", "barrier"].iter().any(|s| line.contains(s));
    for needed in needed {
        let is_it = |line: &&str| line.contains("wait_flag") && line.contains(needed);
        let pair: Vec<&str> = written.lines().filter(is_it).collect();
        assert!(!pair.is_empty(), "no {needed}:\n{written}");
        let without: Vec<&str> =
            written.lines().filter(|line| !(is_sync(line) && line.contains(needed))).collect();
        let (ok, said) = judged(&without.join("\n"));
        assert!(!ok && said.contains("verify::data-race"), "without {needed}: {said}");
    }
    let shown = |line: &&str| is_sync(line) || line.trim_start().starts_with("pto.t");
    let short = |line: &str| {
        let line = line.trim();
        let end = line.find(" ins(").or_else(|| line.find(" outs(")).unwrap_or(line.len());
        line[..end].replace("pto.", "").replace("PIPE_", "").replace("EVENT_ID", "") + "\n"
    };
    written.lines().filter(shown).map(short).collect()
}

#[test]
fn a_selection_writes_its_scratch_on_the_scalar_pipe_first() {
    let body = "
  pto.tsels ins(%m, %a, %t, %x : !b, !f, !f, f32) outs(%d : !f)
  pto.tsels ins(%m, %a, %t, %x : !b, !f, !f, f32) outs(%e : !f)
";
    let tiles = [("m", "b"), ("a", "f"), ("t", "f"), ("d", "f"), ("e", "f")];
    insta::assert_snapshot!(synchronized(&kernel(&tiles, body), &["<PIPE_V>, <PIPE_S>"]));
}

#[test]
fn round_a_loop_the_scratch_of_a_selection_is_waited_for() {
    let body = "
  scf.for %i = %c0 to %rows step %c1 {
    pto.tsels ins(%m, %a, %t, %x : !b, !f, !f, f32) outs(%d : !f)
    pto.tstore ins(%d : !f) outs(%out : !part)
  }
";
    let tiles = [("m", "b"), ("a", "f"), ("t", "f"), ("d", "f")];
    let needed = ["<PIPE_V>, <PIPE_S>", "<PIPE_V>, <PIPE_MTE3>"];
    insta::assert_snapshot!(synchronized(&kernel(&tiles, body), &needed));
}

#[test]
fn a_ramp_without_scratch_is_scalar_and_with_scratch_it_is_not() {
    let body = "
  pto.tci ins(%count : i32) outs(%n : !n)
  pto.tadd ins(%n, %n : !n, !n) outs(%m : !n)
  pto.tci ins(%count, %t : i32, !f) outs(%n : !n)
  pto.tstore ins(%n : !n) outs(%ints : !nums)
";
    let tiles = [("n", "n"), ("m", "n"), ("t", "f")];
    let shown = synchronized(&kernel(&tiles, body), &["<PIPE_S>, <PIPE_V>", "<PIPE_V>, <PIPE_MTE3>"]);
    insta::assert_snapshot!(shown);
}

#[test]
fn a_join_of_broken_blocks_ends_with_scalar_stores() {
    let join = |ty: &str| {
        let tiles = [("a", ty), ("b", ty), ("d", "f")];
        let body = format!(
            "  pto.tconcat ins(%a, %b : !{ty}, !{ty}) outs(%d : !f)\n  pto.tstore ins(%d : !f) outs(%out : !part)\n"
        );
        kernel(&tiles, &body)
    };
    insta::assert_snapshot!("broken_blocks", synchronized(&join("odd"), &["<PIPE_S>, <PIPE_MTE3>"]));
    insta::assert_snapshot!("whole_blocks", synchronized(&join("f"), &["<PIPE_V>, <PIPE_MTE3>"]));
}

#[test]
fn a_gather_by_comparison_begins_and_ends_on_the_scalar_pipe() {
    let body = "
  pto.tgather ins(%a, %x, %t : !f, f32, !f) outs(%d, %c : !n, !n) {cmpMode = #pto<cmp gt>, offset = 0 : i32}
  pto.tgather ins(%a, %x, %t : !f, f32, !f) outs(%e, %c : !n, !n) {cmpMode = #pto<cmp gt>, offset = 0 : i32}
  pto.tstore ins(%c : !n) outs(%ints : !nums)
";
    let tiles = [("a", "f"), ("t", "f"), ("d", "n"), ("e", "n"), ("c", "n")];
    // Between the two the call itself has S wait for V.
    insta::assert_snapshot!(synchronized(&kernel(&tiles, body), &["<PIPE_S>, <PIPE_MTE3>"]));
}

#[test]
fn a_gather_by_comparison_with_a_tile_of_numbers_is_one_too() {
    let body = "
  pto.tload ins(%ints : !nums) outs(%k : !n)
  pto.tgather ins(%a, %k, %t : !f, !n, !f) outs(%d, %c : !n, !n) {cmpMode = #pto<cmp gt>, offset = 0 : i32}
  pto.tstore ins(%c : !n) outs(%ints : !nums)
";
    let tiles = [("a", "f"), ("t", "f"), ("d", "n"), ("k", "n"), ("c", "n")];
    let shown = synchronized(&kernel(&tiles, body), &["<PIPE_S>, <PIPE_MTE3>", "<PIPE_MTE2>, <PIPE_S>"]);
    assert!(shown.contains("tgather"), "{shown}");
}

#[test]
fn a_remainder_of_integers_writes_its_sources() {
    let remainder = |ty: &str, view: &str| {
        let tiles = [("a", ty), ("b", ty), ("t", ty), ("d", ty)];
        let body = format!(
            "  pto.tstore ins(%a : !{ty}) outs({view})\n  pto.trem ins(%a, %b, %t : !{ty}, !{ty}, !{ty}) outs(%d : !{ty})\n"
        );
        kernel(&tiles, &body)
    };
    let integers = synchronized(&remainder("n", "%ints : !nums"), &["<PIPE_MTE3>, <PIPE_V>"]);
    insta::assert_snapshot!("remainder_of_integers", integers);
    let floats = synchronized(&remainder("f", "%out : !part"), &[]);
    assert!(!floats.contains("<MTE3>, <V>"), "floats are only read: {floats}");
}

#[test]
fn row_expansions_share_a_scratch_unless_they_have_one() {
    let expand = |body: &str| {
        let tiles = [("a", "f"), ("v", "col"), ("w", "col"), ("t", "f"), ("d", "f"), ("e", "f"), ("u", "f")];
        synchronized(&kernel(&tiles, body), &[])
    };
    let shared = expand(
        "  pto.trowexpandmul ins(%a, %v : !f, !col) outs(%d : !f)\n  pto.trowexpandadd ins(%a, %w : !f, !col) outs(%e : !f)\n",
    );
    let between = "trowexpandmul\nbarrier <V>\ntrowexpandadd\n";
    assert!(shared.contains(between), "{shared}");
    let own = expand(
        "  pto.trowexpandmul ins(%a, %v, %t : !f, !col, !f) outs(%d : !f)\n  \
         pto.trowexpandsub ins(%a, %w, %u : !f, !col, !f) outs(%e : !f)\n",
    );
    assert!(own.contains("trowexpandmul\ntrowexpandsub\n"), "{own}");
}

#[test]
fn the_shared_scratch_is_memory_like_any_other() {
    // A tile that lies in the last 8192 bytes.
    let text = kernel(
        &[("a", "f"), ("v", "col"), ("d", "f")],
        "  %end = arith.constant 188416 : i64\n  \
        %s = pto.alloc_tile addr = %end : !f\n  pto.tload ins(%in : !part) outs(%s : !f)\n  \
        pto.trowexpandmul ins(%a, %v : !f, !col) outs(%d : !f)\n",
    );
    let shown = synchronized(&text, &["<PIPE_MTE2>, <PIPE_V>"]);
    insta::assert_snapshot!(shown);
}

#[test]
fn integer_quotients_keep_flags_of_the_kernel_away() {
    let body = "
  pto.tadd ins(%a, %a : !n, !n) outs(%b : !n)
  pto.tdivs ins(%c, %count : !n, i32) outs(%d : !n)
  %v = pto.tgetval ins(%b, %c0 : !n, index) outs : i32
  pto.tadds ins(%d, %v : !n, i32) outs(%d : !n)
";
    let tiles = [("a", "n"), ("b", "n"), ("c", "n"), ("d", "n")];
    let shown = synchronized(&kernel(&tiles, body), &[]);
    assert!(!shown.contains("<V>, <S>, <0>"), "{shown}");
}

#[test]
fn drained_calls_need_no_barrier_by_hand() {
    let sum = |ty: &str, call: &str| {
        let text = kernel(
            &[("a", ty), ("t", ty), ("d", "col"), ("e", ty)],
            &format!(
                "  {call} ins(%a, %t : !{ty}, !{ty}) outs(%d : !col)\n  pto.trowexpandmul ins(%a, %d : !{ty}, !col) outs(%e : !{ty})\n  \
             pto.barrier <PIPE_ALL>\n"
            ),
        );
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("k.pto");
        std::fs::write(&file, text).unwrap();
        run(&["verify", "-p", "a3-codegen-only"], &file).1
    };
    assert!(!sum("f", "pto.trowsum").contains("verify::"), "a row sum ends with a barrier of its own");
    assert!(sum("f", "pto.trowsum").contains("no findings"));
    let product = sum("f", "pto.trowprod");
    assert!(product.contains("no findings"), "the scalar pipe works last, and V waits for it: {product}");
}

/// A kernel that pops `body` from a pipe of two local slots.
fn popping(body: &str) -> String {
    format!(
        "!t = !pto.tile_buf<vec, 32x32xf32>
module attributes {{pto.target_arch = \"a3\"}} {{
func.func @send(%slots: !pto.ptr<f32>) attributes {{pto.kernel_kind = #pto.kernel_kind<cube>}} {{
  %none = arith.constant 0 : i32
  %far = pto.import_reserved_buffer {{name = \"queue\", peer_func = @take}} -> i32
  pto.aic_initialize_pipe {{dir_mask = 1, slot_size = 4096, local_slot_num = 2}}
      (gm_slot_buffer = %slots : !pto.ptr<f32>, c2v_consumer_buf = %far : i32, v2c_consumer_buf = %none : i32)
  return
}}
func.func @take(%slots: !pto.ptr<f32>, %rows: index) attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %none = arith.constant 0 : i32
  %near = pto.reserve_buffer {{name = \"queue\", size = 8192, location = #pto.address_space<vec>, auto = false, base = 0}} -> i32
  pto.aiv_initialize_pipe {{dir_mask = 1, slot_size = 4096, local_slot_num = 2}}
      (gm_slot_buffer = %slots : !pto.ptr<f32>, c2v_consumer_buf = %near : i32, v2c_consumer_buf = %none : i32)
  %at = arith.constant 16384 : i64
  %sum = pto.alloc_tile addr = %at : !t
{body}  return
}}
}}
"
    )
}

/// Pops a tile, adds it, and gives it back.
fn pop(name: &str) -> String {
    format!(
        "  %{name} = pto.tpop_from_aic {{split = 0}} -> !t\n  pto.tadd ins(%sum, %{name} : !t, !t) outs(%sum : !t)\n  \
         pto.tfree_from_aic {{split = 0}}\n"
    )
}

/// How often the default pipeline has the load of a pop wait for the vector pipe.
fn waits_for_vector(kernel: &str, needed: &[&str]) -> usize {
    synchronized(kernel, needed).lines().filter(|line| line.starts_with("wait_flag[<V>, <MTE2>")).count()
}

#[test]
fn a_slot_that_comes_round_is_waited_for() {
    let needed = ["<PIPE_V>, <PIPE_MTE2>"];
    let [p, q, r] = ["p", "q", "r"].map(pop);
    assert_eq!(waits_for_vector(&popping(&format!("{p}{q}")), &[]), 0, "two slots, two pops");
    assert_eq!(
        waits_for_vector(&popping(&format!("{p}{q}{r}")), &needed),
        1,
        "the third pop is in the first slot"
    );
    // One pop a trip: any slot. The pop behind the loop may be in each as well.
    let looped = format!("  scf.for %i = %c0 to %rows step %c1 {{\n{p}  }}\n{q}");
    assert!(waits_for_vector(&popping(&looped), &needed) >= 2);
    // An arm that pops leaves open where the next pop is.
    let branch = format!("  %some = arith.cmpi eq, %rows, %c1 : index\n{p}  scf.if %some {{\n{q}  }}\n{r}");
    assert!(waits_for_vector(&popping(&branch), &needed) >= 1);
}
