//! Addresses and pipes that the machine does not have: what `verify` says of them, and what `compile` writes.

use pipewright_tests::sandbox::{Run, Sandbox};

/// Pipelines that come with the program.
const PIPELINES: [&str; 4] = ["a3", "a3-reference", "a3-reference-push-back", "a3-codegen-only"];

/// A function of this kind of core (or of none) with tiles `%x` and `%y` at two addresses, with further lines behind.
fn kernel(kind: &str, [x, y]: [i64; 2], body: &str) -> String {
    let kind = match kind {
        "" => String::new(),
        kind => format!(" attributes {{pto.kernel_kind = #pto.kernel_kind<{kind}>}}"),
    };
    format!(
        "!tile = !pto.tile_buf<vec, 16x64xf32>
!mat = !pto.tile_buf<mat, 16x16xf32, blayout=col_major, slayout=row_major>
func.func @f(%c: i1, %n: index, %free: i64){kind} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %at_x = arith.constant {x} : i64
  %at_y = arith.constant {y} : i64
  %x = pto.alloc_tile addr = %at_x : !tile
  %y = pto.alloc_tile addr = %at_y : !tile
{body}  return
}}
"
    )
}

const ABS: &str = "  pto.tabs ins(%x : !tile) outs(%y : !tile)\n";

fn verify(text: &str) -> Run {
    let sandbox = Sandbox::with(&[("k.pto", text)]);
    sandbox.run(["verify", "k.pto", "--pipeline", "a3"])
}

/// The findings of the two rules, one a line.
fn said(text: &str) -> Vec<String> {
    let run = verify(text);
    let mut lines = run.stderr.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line == "verify::address" || line == "verify::core-pipe" {
            found.push(lines.nth(1).unwrap_or("").trim_start_matches("  x ").to_owned());
        }
    }
    assert_eq!(run.code, Some(i32::from(run.stderr.contains("verify::"))), "{}", run.stderr);
    found
}

#[test]
fn compile_writes_no_kernel_with_a_misplaced_tile() {
    for addresses in [[70660, 81920], [0, 196576]] {
        for pipeline in PIPELINES {
            for more in [&[][..], &["--verify=false"], &["--verify", "--allow-findings"], &["--emit", "plan"]]
            {
                let sandbox = Sandbox::with(&[("k.pto", &kernel("vector", addresses, ABS))]);
                let arguments = ["compile", "k.pto", "-o", "k.cpp", "--pipeline", pipeline];
                let said = sandbox.refused(arguments.into_iter().chain(more.iter().copied()));
                assert!(said.contains("verify::address"), "{pipeline} {more:?}: {said}");
            }
        }
    }
}

/// Flags that are written by hand are as right or wrong as others: where a pipeline judges, they are an error.
#[test]
fn compile_judges_pipes_of_the_core_with_the_rest() {
    let wrong = kernel("vector", [0, 4096], "  pto.barrier <PIPE_FIX>\n");
    let sandbox = Sandbox::with(&[("k.pto", &wrong)]);
    let compile = ["compile", "k.pto", "-o", "k.cpp", "--pipeline"];
    assert!(sandbox.refused([&compile[..], &["a3"]].concat()).contains("verify::core-pipe"));
    assert!(
        sandbox
            .refused([&compile[..], &["a3-codegen-only", "--verify"]].concat())
            .contains("verify::core-pipe")
    );
    assert_eq!(sandbox.run([&compile[..], &["a3-codegen-only"]].concat()).code, Some(0));
}

#[test]
fn the_nearest_addresses_are_told() {
    let odd = said(&kernel("vector", [70660, 81920], ABS));
    assert_eq!(
        odd,
        [
            "the tile begins at 70660 in vec, which is no multiple of 32; the nearest that are: 70656 and 70688"
        ]
    );
    let both = said(&kernel("vector", [-32, 196600], ABS));
    assert_eq!(
        both,
        [
            "the tile begins at -32 in vec, 4096 bytes of it are outside of the 196608 that there are; \
             the nearest address at which it fits is 0",
            "the tile begins at 196600 in vec, which is no multiple of 32, and 4088 bytes of it are outside of the \
             196608 that there are; the nearest address at which it fits is 192512",
        ]
    );
    assert_eq!(said(&kernel("vector", [0, 192512], ABS)), Vec::<String>::new());
}

#[test]
fn each_address_that_a_tile_can_have_is_judged() {
    let chosen = "  %bad = arith.constant 8200 : i64
  %at = arith.select %c, %at_y, %bad : i64
  %z = pto.alloc_tile addr = %at : !tile\n";
    let found = said(&kernel("vector", [0, 4096], chosen));
    assert_eq!(
        found,
        ["the tile begins at 8200 in vec, which is no multiple of 32; the nearest that are: 8192 and 8224"]
    );
}

#[test]
fn windows_are_judged_where_they_are_accessed() {
    let window = |row: usize, column: usize| {
        format!(
            "  %row = arith.constant {row} : index
  %column = arith.constant {column} : index
  %w = pto.subview %x[%row, %column] sizes [8, 8] : !tile -> !pto.tile_buf<vec, 8x8xf32>
  pto.tabs ins(%w : !pto.tile_buf<vec, 8x8xf32>) outs(%w : !pto.tile_buf<vec, 8x8xf32>)\n"
        )
    };
    assert_eq!(said(&kernel("vector", [192512, 0], &window(8, 56))), Vec::<String>::new());
    assert_eq!(
        said(&kernel("vector", [192512, 0], &window(8, 4))),
        ["the memory that it touches begins at 194576 in vec, which is no multiple of 32; \
             the nearest that are: 194560 and 194592"]
    );
    let outside = said(&kernel("vector", [192512, 0], &window(12, 0)));
    let [outside] = &outside[..] else { panic!("{outside:?}") };
    assert!(
        outside.starts_with("the memory that it touches begins at 195584 in vec, 800 bytes"),
        "{outside}"
    );
}

/// Slots of one buffer lie one behind the other: one that is named has a place of its own, one that is computed any of them.
#[test]
fn slots_of_a_buffer_are_judged_one_by_one() {
    let slots = |address: i64, slot: &str| {
        let many = "!pto.multi_tile_buf<!pto.tile_buf<vec, 16x64xf32>, count=3>";
        format!(
            "  %at = arith.constant {address} : i64
  %m = pto.alloc_multi_tile addr = %at : {many}
  %w = pto.multi_tile_get %m[{slot}] : {many} -> !tile
  pto.tabs ins(%w : !tile) outs(%w : !tile)\n"
        )
    };
    let judged = |address, slot| said(&kernel("vector", [0, 4096], &slots(address, slot)));
    assert_eq!(judged(184320, "%n"), Vec::<String>::new());
    let [odd] = &judged(70660, "%c0")[..] else { panic!("one finding") };
    assert!(
        odd.starts_with("the memory that it touches begins at 70660 in vec, which is no multiple"),
        "{odd}"
    );
    // Only the last of the three is outside, by all of its bytes.
    assert_eq!(judged(188416, "%c1"), Vec::<String>::new());
    let [long] = &judged(188416, "%n")[..] else { panic!("one finding") };
    assert!(long.starts_with("the memory that it touches begins at 188416 in vec, 4096 bytes"), "{long}");
}

#[test]
fn slots_that_a_pipe_owns_are_for_that_pipe() {
    let buffer = |base: i64, size: i64| {
        format!(
            "  %slots{base} = pto.reserve_buffer {{name = \"slots{base}\", size = {size}, location = #pto.address_space<vec>, \
             auto = false, base = {base}}} -> i32\n"
        )
    };
    assert_eq!(said(&kernel("vector", [0, 4096], &buffer(8192, 4096))), Vec::<String>::new());
    assert_eq!(
        said(&kernel("vector", [0, 4096], &(buffer(8191, 2) + &buffer(4000, 32)))),
        [
            "the tile (vec 0..4096) lies in a reserved buffer (vec 4000..4032)",
            "the tile (vec 4096..8192) lies in a reserved buffer (vec 8191..8193)",
            "the reserved buffer begins at 8191 in vec, which is no multiple of 32; the nearest that are: 8160 and 8192",
        ]
    );
    assert_eq!(
        said(&kernel("vector", [0, 4096], &buffer(196352, 512))),
        [
            "the reserved buffer begins at 196352 in vec, 256 bytes of it are outside of the 196608 that there are; \
             the nearest address at which it fits is 196096"
        ]
    );
}

/// A slot that comes from the other core has no address of its own: it is no tile that was put into the buffer.
#[test]
fn a_popped_slot_lies_where_it_should() {
    let text =
        std::fs::read_to_string(pipewright_tests::workspace().join("tests/kernels/cpp/queue_pair.pto"));
    assert_eq!(said(&text.expect("the kernel is there")), Vec::<String>::new());
}

/// What has no known address is no finding, and no proof either.
#[test]
fn an_address_that_is_not_known_is_assumed_to_be_right() {
    let summary = |body: &str| verify(&kernel("vector", [0, 4096], body)).stdout;
    let lines = |text: &str, word: &str| {
        text.lines().filter(|l| l.starts_with(&format!("  {word}: "))).map(str::to_owned).collect::<Vec<_>>()
    };
    let known = summary(ABS);
    assert!(lines(&known, "proved")[0].contains(" address,"), "{known}");
    assert_eq!(lines(&known, "assumed"), Vec::<String>::new());

    let computed =
        "  %z = pto.alloc_tile addr = %free : !tile\n  pto.tabs ins(%z : !tile) outs(%z : !tile)\n";
    let moving = "  %w = pto.subview %x[%n, %c0] sizes [1, 64] : !tile -> !pto.tile_buf<vec, 1x64xf32>
  pto.tabs ins(%w : !pto.tile_buf<vec, 1x64xf32>) outs(%w : !pto.tile_buf<vec, 1x64xf32>)\n";
    for body in [computed, moving] {
        let text = summary(body);
        assert_eq!(
            lines(&text, "proved under assumptions"),
            ["  proved under assumptions: address"],
            "{text}"
        );
        // The other rules do not rest on it.
        assert!(lines(&text, "proved")[0].contains("double-set"), "{text}");
        assert!(lines(&text, "assumed")[0].contains("begins at a multiple"), "{text}");
    }
}

/// Addresses that memory planning finds keep the rule, for every shape of tile.
#[test]
fn planned_addresses_are_right() {
    let tiles = [(1, 8), (3, 8), (16, 72), (7, 40), (1, 1000), (64, 64)];
    let mut body = String::new();
    for (i, (rows, cols)) in tiles.iter().enumerate() {
        let ty = format!("!pto.tile_buf<vec, {rows}x{cols}xf32>");
        body +=
            &format!("  %t{i} = pto.alloc_tile : {ty}\n  pto.tabs ins(%t{i} : {ty}) outs(%t{i} : {ty})\n");
    }
    let text = format!(
        "func.func @f() attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
  %slots = pto.reserve_buffer {{name = \"slots\", size = 100, location = #pto.address_space<vec>, auto = true}} -> i32
{body}  return\n}}\n"
    );
    let sandbox = Sandbox::with(&[("k.pto", &text), ("p.toml", PLANNED)]);
    let run = sandbox.run(["verify", "k.pto", "--pipeline", "p.toml"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    assert!(
        run.stdout.lines().any(|l| l.starts_with("  proved: ") && l.contains(" address,")),
        "{}",
        run.stdout
    );
}

/// The default pipeline with memory planned first.
const PLANNED: &str = "[pipeline]
name = \"planned\"
extends = \"a3\"

[[stage]]
pass = \"memory-plan\"
version = \"^0.1\"
before = \"hazard-analysis\"
";

#[test]
fn a_pipe_of_the_other_core_is_found_in_flags_barriers_and_instructions() {
    let at = [0, 4096];
    let cube = "  pto.barrier <PIPE_V>\n  pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]\n";
    assert_eq!(
        said(&kernel("cube", at, cube)),
        ["a cube core has no pipe V", "MTE2>V #0: a cube core has no pipe V"]
    );
    assert_eq!(said(&kernel("cube", at, ABS)), ["a cube core has no pipe V"]);
    let computed = "  pto.wait_flag_dyn[<PIPE_M>, <PIPE_FIX>, %n]\n";
    assert_eq!(said(&kernel("vector", at, computed)), ["a vector core has no pipe M and no pipe FIX"]);
    let classes = "  pto.barrier_sync[<TMATMUL>]\n";
    assert_eq!(said(&kernel("vector", at, classes)), ["a vector core has no pipe M"]);
    let right = "  pto.barrier <PIPE_V>\n  pto.barrier <PIPE_MTE3>\n  pto.barrier <PIPE_ALL>\n";
    assert_eq!(said(&kernel("vector", at, right)), Vec::<String>::new());
}

/// A section says which core it is for. A function says it for the rest, its module for functions that do not.
#[test]
fn the_kind_of_core_comes_from_section_function_or_module() {
    let at = [0, 4096];
    let section = |kind: &str| format!("  pto.section.{kind} {{\n    pto.barrier <PIPE_FIX>\n  }}\n");
    assert_eq!(said(&kernel("", at, &section("vector"))), ["a vector core has no pipe FIX"]);
    assert_eq!(said(&kernel("", at, &section("cube"))), Vec::<String>::new());
    assert_eq!(
        said(&kernel("", at, &(section("vector") + &section("cube")))),
        ["a vector core has no pipe FIX"]
    );
    let module = |kind: &str| {
        let function = kernel("", at, "  pto.barrier <PIPE_FIX>\n");
        let (types, function) = function.split_once("func.func").expect("a function");
        format!(
            "{types}module attributes {{pto.kernel_kind = #pto.kernel_kind<{kind}>}} {{\nfunc.func{function}}}\n"
        )
    };
    assert_eq!(said(&module("vector")), ["a vector core has no pipe FIX"]);
    assert_eq!(said(&module("cube")), Vec::<String>::new());
    // Nobody says it: nothing is known, and nothing is called proved.
    assert_eq!(
        said(&kernel("", at, "  pto.barrier <PIPE_FIX>\n  pto.barrier <PIPE_V>\n")),
        Vec::<String>::new()
    );
    let summary = verify(&kernel("", at, "  pto.barrier <PIPE_FIX>\n")).stdout;
    assert!(summary.contains("  proved under assumptions: core-pipe\n"), "{summary}");
    assert!(summary.contains("  assumed: the core has the pipes that the function names"), "{summary}");
    let shared = verify(&kernel("", at, "  pto.barrier <PIPE_MTE2>\n")).stdout;
    assert!(shared.lines().any(|l| l.starts_with("  proved: ") && l.contains(" core-pipe,")), "{shared}");
}
