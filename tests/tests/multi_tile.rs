//! Buffers of several tiles: a tile with a constant number is that tile exactly, one with a computed number may be any.

use pipewright_tests::sandbox::Sandbox;

/// A kernel over a buffer of `count` tiles `%m`, and tiles `%a` and `%b` in it with these numbers.
fn kernel(count: usize, numbers: [&str; 2], body: &str) -> String {
    let [a, b] = numbers;
    format!(
        "!row = !pto.tile_buf<vec, 16x64xf32>
!m = !pto.multi_tile_buf<!row, count={count}>
!part = !pto.partition_tensor_view<16x64xf32>
func.func @k(%src: !part, %dst: !part, %n: index) attributes {{pto.entry, pto.kernel_kind = #pto.kernel_kind<vector>}} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %m = pto.alloc_multi_tile : !m
  %d = pto.alloc_tile : !row
  scf.for %i = %c0 to %n step %c1 {{
    %turn = arith.remui %i, %c2 : index
    %next = arith.addi %i, %c1 : index
    %other = arith.remui %next, %c2 : index
    %a = pto.multi_tile_get %m[{a}] : !m -> !row
    %b = pto.multi_tile_get %m[{b}] : !m -> !row
{body}  }}
  return
}}
"
    )
}

/// Loads one tile and stores the other.
const APART: &str = "    pto.tload ins(%src : !part) outs(%a : !row)
    pto.tstore ins(%b : !row) outs(%dst : !part)
";

/// The kernel with its synchronization under the default pipeline.
fn synchronized(kernel: &str) -> String {
    let sandbox = Sandbox::with(&[("k.pto", kernel)]);
    let run = sandbox.run(["compile", "--emit", "pto", "k.pto"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let verified = sandbox.run(["verify", "k.pto"]);
    assert!(verified.code == Some(0) && verified.stdout.contains("no findings"), "{}", verified.stdout);
    run.stdout
}

#[test]
fn constant_numbers_are_tiles_of_their_own() {
    let text = synchronized(&kernel(2, ["%c0", "%c1"], APART));
    assert!(!text.contains("set_flag"), "{text}");
    let text = synchronized(&kernel(2, ["%c1", "%c1"], APART));
    assert!(
        text.contains("set_flag[<PIPE_MTE2>, <PIPE_MTE3>")
            && text.contains("set_flag[<PIPE_MTE3>, <PIPE_MTE2>")
    );
}

#[test]
fn a_computed_number_may_be_any() {
    for numbers in [["%turn", "%c1"], ["%c0", "%other"], ["%turn", "%other"], ["%turn", "%turn"]] {
        let text = synchronized(&kernel(2, numbers, APART));
        assert!(text.contains("set_flag[<PIPE_MTE2>, <PIPE_MTE3>"), "{text}");
        assert!(text.contains("set_flag[<PIPE_MTE3>, <PIPE_MTE2>"), "{text}");
    }
}

/// All tiles of the buffer find their place, one behind the other and apart from other tiles.
#[test]
fn memory_is_planned_for_all_tiles_of_a_buffer() {
    let body = "    pto.tload ins(%src : !part) outs(%a : !row)
    pto.tadd ins(%a, %b : !row, !row) outs(%d : !row)
    pto.tstore ins(%d : !row) outs(%dst : !part)
";
    let text = synchronized(&kernel(3, ["%turn", "%c2"], body));
    let address = |of: &str| {
        let line = text.lines().find(|line| line.contains(of)).expect("an allocation");
        let name = line.split("addr = ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
        let constant =
            text.lines().find(|line| line.trim_start().starts_with(&format!("{name} ="))).expect(name);
        let number = constant.split("arith.constant ").nth(1).and_then(|rest| rest.split(' ').next());
        number.and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    let (buffer, tile) = (address("alloc_multi_tile"), address("alloc_tile"));
    assert!(tile >= buffer + 3 * 4096 || buffer >= tile + 4096, "{text}");
}

/// Where the kernel brings its own flags, a place that is not known is a warning: the two may be apart.
#[test]
fn a_computed_number_is_only_taken_to_be_any() {
    let planned = |text: String| {
        text.replace("alloc_multi_tile :", "alloc_multi_tile addr = %at :")
            .replace("alloc_tile :", "alloc_tile addr = %far :")
            .replace(
                "  %c0 = arith",
                "  %at = arith.constant 0 : i64\n  %far = arith.constant 65536 : i64\n  %c0 = arith",
            )
    };
    let drained = format!("{APART}    pto.barrier <PIPE_MTE3>\n");
    let grade = |numbers| {
        let text =
            planned(kernel(2, numbers, &drained)).replace("  return", "  pto.barrier <PIPE_ALL>\n  return");
        let sandbox = Sandbox::with(&[("k.pto", &text)]);
        let run = sandbox.run(["verify", "k.pto", "--pipeline", "a3-codegen-only"]);
        let said = run.stdout + &run.stderr;
        if said.contains("1 error") || said.contains(" errors") {
            "error"
        } else if said.contains("warning") {
            "warning"
        } else {
            "none"
        }
    };
    assert_eq!(grade(["%c0", "%c0"]), "error");
    assert_eq!(grade(["%turn", "%other"]), "warning");
}

fn refused(text: &str) -> String {
    Sandbox::with(&[("k.pto", text)]).refused(["compile", "k.pto"])
}

#[test]
fn a_tile_that_the_buffer_does_not_have_is_refused() {
    insta::assert_snapshot!(refused(&kernel(2, ["%c0", "%c2"], APART)));
    let other = kernel(2, ["%c0", "%c1"], APART)
        .replace("%m[%c1] : !m -> !row", "%m[%c1] : !m -> !pto.tile_buf<vec, 16x32xf32>");
    let other = other.replace("ins(%b : !row)", "ins(%b : !pto.tile_buf<vec, 16x32xf32>)");
    insta::assert_snapshot!(refused(&other));
}

/// All tiles of a buffer must lie in its space.
#[test]
fn a_buffer_that_leaves_its_space_is_refused() {
    let at = |address: u32| {
        let text =
            kernel(3, ["%turn", "%c1"], APART).replace("alloc_multi_tile :", "alloc_multi_tile addr = %at :");
        let text = text.replace("  %d = pto.alloc_tile : !row\n", "");
        text.replace("  %c0 = arith", &format!("  %at = arith.constant {address} : i64\n  %c0 = arith"))
    };
    synchronized(&at(196_608 - 3 * 4096));
    let said = refused(&at(196_608 - 3 * 4096 + 32));
    assert!(said.contains("32 bytes of it are outside"), "{said}");
}

#[test]
fn a_buffer_that_is_handed_on_is_refused() {
    let text = kernel(2, ["%c0", "%c1"], APART)
        .replace(
            "  %d = pto.alloc_tile : !row\n",
            "  %d = pto.alloc_tile : !row\n  %w = builtin.unrealized_conversion_cast %m : !m to !m\n",
        )
        .replace("multi_tile_get %m[%c1]", "multi_tile_get %w[%c1]");
    insta::assert_snapshot!(refused(&text));
}

#[test]
fn types_of_buffers_are_read_in_both_forms_and_checked() {
    let text = |ty: &str| format!("func.func private @f({ty})\n");
    let fmt = |ty: &str| {
        let run = Sandbox::with(&[("k.pto", &text(ty))]).run(["fmt", "k.pto"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout
    };
    let full = "!pto.multi_tile_buf<!pto.tile_buf<vec, 16x16xf16, valid=8x16, blayout=col_major>, count=4>";
    assert_eq!(fmt(full), text(full));
    for wrong in [
        "!pto.multi_tile_buf<vec, 16x16xf16>",
        "!pto.multi_tile_buf<vec, 16x16xf16, count=1>",
        "!pto.multi_tile_buf<vec, 16x16xf16, count=17>",
        "!pto.multi_tile_buf<vec, 16x16xf16, count=x>",
        "!pto.multi_tile_buf<count=2>",
        "!pto.multi_tile_buf<f32, count=2>",
        "!pto.multi_tile_buf<!pto.ptr<f32>, count=2>",
        "!pto.multi_tile_buf<!pto.tile_buf<vec, 16x16xf16>, count=2, count=3>",
    ] {
        let said = refused(&text(wrong));
        assert!(said.contains("syntax::type"), "{wrong}: {said}");
    }
}
