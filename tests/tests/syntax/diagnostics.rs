//! What the reader says about mistakes: the right place, what is expected there, and one error for one mistake.

use pipewright::diagnostic::{Report, Source, Style};
use pipewright::syntax;

use crate::TARGET;

/// A mistake, the number of errors that it should give, and the text that has it.
const CASES: &[(&str, usize, &str)] = &[
    ("an empty file", 1, ""),
    ("a file of comments", 1, "// nothing\n\n"),
    ("a file of aliases", 1, "!t = !pto.tile_buf<vec, 16x16xf32>\n"),
    ("something else altogether", 1, "hello world\n"),
    (
        "a truncated kernel",
        1,
        "module {\n  func.func @f(%a: index) {\n    scf.for %i = %a to %a step %a {\n      %s = arith.addi %i, %a",
    ),
    ("a kernel cut off in a name", 1, "func.func @f(%ab: index) {\n  %s = arith.addi %ab, %a"),
    ("a body that is never closed", 1, "module {\n  func.func @f() {\n    return\n  }\n"),
    (
        "an inner body that is never closed",
        1,
        "module {\n  func.func @f(%a: index) {\n    scf.for %i = %a to %a step %a {\n    return\n  }\n}\n",
    ),
    ("a brace too many", 1, "func.func @f() {\n  return\n}\n}\n"),
    (
        "a missing brace",
        1,
        "func.func @f(%a: index) {\n  scf.for %i = %a to %a step %a\n    %s = arith.addi %i, %a : index\n  }\n  return\n}\n",
    ),
    ("an unclosed parenthesis", 1, "func.func @f(%a: index {\n  return\n}\n"),
    (
        "an unclosed group",
        1,
        "func.func @f(%n: i64) {\n  %t = pto.alloc_tile addr = %n : !pto.tile_buf<vec, 16x16xf32>\n  \
         pto.tabs ins(%t : !pto.tile_buf<vec, 16x16xf32> outs(%t : !pto.tile_buf<vec, 16x16xf32>)\n  return\n}\n",
    ),
    (
        "an unclosed index",
        1,
        "func.func @f(%p: !pto.ptr<f32>, %i: index) {\n  %v = pto.load_scalar %p[%i : !pto.ptr<f32> -> f32\n  return\n}\n",
    ),
    ("an unclosed type", 1, "func.func @f(%p: !pto.ptr<f32) {\n  return\n}\n"),
    (
        "an unclosed string",
        1,
        "module attributes {pto.target_arch = \"a3} {\n  func.func @f() {\n    return\n  }\n}\n",
    ),
    ("a wrong escape", 1, "module attributes {note = \"a\\qb\"} {\n}\n"),
    ("an operation without dialect", 1, "func.func @f() {\n  tload ins()\n  return\n}\n"),
    (
        "an unknown operation of arith",
        1,
        "func.func @f(%a: i32) {\n  %s = arith.addd %a, %a : i32\n  %t = arith.muli %s, %s : i32\n  return\n}\n",
    ),
    (
        "an unknown operation of scf",
        1,
        "func.func @f(%a: index) {\n  scf.parallel (%i) = (%a) to (%a) step (%a) {\n    scf.yield\n  }\n  return\n}\n",
    ),
    ("jumps between blocks", 1, "func.func @f() {\n  cf.br ^bb1\n^bb1:\n  return\n}\n"),
    (
        "an undefined value with a likely name",
        1,
        "func.func @f(%count: index) {\n  %s = arith.addi %cuont, %count : index\n  %t = arith.addi %cuont, %s : index\n  return\n}\n",
    ),
    (
        "an undefined value",
        1,
        "func.func @f(%a: index) {\n  %s = arith.addi %nothing_like_it, %a : index\n  return\n}\n",
    ),
    (
        "a value of another scope",
        1,
        "func.func @f(%c: i1) {\n  scf.if %c {\n    %x = arith.constant 1 : i32\n  }\n  %s = arith.addi %x, %x : i32\n  return\n}\n",
    ),
    (
        "a member that a group does not have",
        1,
        "func.func @f() {\n  %g:2 = \"test.two\"() : () -> (i32, i32)\n  %s = arith.addi %g#0, %g#2 : i32\n  return\n}\n",
    ),
    (
        "a name defined twice",
        1,
        "func.func @f(%a: index) {\n  %x = arith.addi %a, %a : index\n  %x = arith.muli %a, %a : index\n  return\n}\n",
    ),
    ("a function defined twice", 1, "func.func @f() {\n  return\n}\nfunc.func @f() {\n  return\n}\n"),
    (
        "a type that the value does not have",
        1,
        "func.func @f(%a: index, %b: i32) {\n  %s = arith.addi %a, %b : index\n  %t = arith.addi %b, %s : index\n  return\n}\n",
    ),
    (
        "a tile of another type",
        1,
        "func.func @f(%n: i64) {\n  %t = pto.alloc_tile addr = %n : !pto.tile_buf<vec, 16x16xf32>\n  pto.tabs ins(%t : !pto.tile_buf<vec, 16x16xf16>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)\n  return\n}\n",
    ),
    (
        "fewer types than operands",
        1,
        "func.func @f(%n: i64) {\n  %t = pto.alloc_tile addr = %n : !pto.tile_buf<vec, 16x16xf32>\n  pto.tadd ins(%t, %t : !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)\n  return\n}\n",
    ),
    (
        "more types than operands",
        1,
        "func.func @f(%n: i64) {\n  %t = pto.alloc_tile addr = %n : !pto.tile_buf<vec, 16x16xf32>\n  pto.tabs ins(%t : !pto.tile_buf<vec, 16x16xf32>, i32) outs(%t : !pto.tile_buf<vec, 16x16xf32>)\n  return\n}\n",
    ),
    (
        "an operand of the wrong kind",
        1,
        "func.func @f(%n: i64, %x: f32) {\n  %t = pto.alloc_tile addr = %n : !pto.tile_buf<vec, 16x16xf32>\n  pto.tabs ins(%x : f32) outs(%t : !pto.tile_buf<vec, 16x16xf32>)\n  return\n}\n",
    ),
    (
        "a missing operand",
        1,
        "func.func @f(%n: i64) {\n  %t = pto.alloc_tile addr = %n : !pto.tile_buf<vec, 16x16xf32>\n  pto.tadd ins(%t : !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)\n  return\n}\n",
    ),
    (
        "too many operands",
        1,
        "func.func @f(%n: i64) {\n  %t = pto.alloc_tile addr = %n : !pto.tile_buf<vec, 16x16xf32>\n  pto.tabs ins(%t, %t : !pto.tile_buf<vec, 16x16xf32>, !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)\n  return\n}\n",
    ),
    (
        "an operand in a group that does not exist",
        1,
        "func.func @f(%n: i64) {\n  %t = pto.alloc_tile addrr = %n : !pto.tile_buf<vec, 16x16xf32>\n  return\n}\n",
    ),
    ("operands of arith", 1, "func.func @f(%a: index) {\n  %s = arith.addi %a : index\n  return\n}\n"),
    (
        "a comparison that does not exist",
        1,
        "func.func @f(%a: index) {\n  %s = arith.cmpi lt, %a, %a : index\n  return\n}\n",
    ),
    (
        "an unknown memory space",
        1,
        "func.func @f(%n: i64) {\n  %t = pto.alloc_tile addr = %n : !pto.tile_buf<vce, 16x16xf32>\n  pto.tabs ins(%t : !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)\n  return\n}\n",
    ),
    ("an unknown type", 1, "func.func @f(%a: int32) {\n  return\n}\n"),
    (
        "an unknown alias",
        1,
        "!tile = !pto.tile_buf<vec, 16x16xf32>\nfunc.func @f(%a: !tiel) {\n  return\n}\n",
    ),
    ("an unknown attribute alias", 1, "func.func @f() attributes {k = #nd} {\n  return\n}\n"),
    ("a tile of three dimensions", 1, "func.func @f(%a: !pto.tile_buf<vec, 2x16x16xf32>) {\n  return\n}\n"),
    (
        "a layout that does not exist",
        1,
        "func.func @f(%a: !pto.tile_buf<vec, 16x16xf32, blayout=diagonal>) {\n  return\n}\n",
    ),
    (
        "a parameter that a tile type does not have",
        1,
        "func.func @f(%a: !pto.tile_buf<vec, 16x16xf32, color=1>) {\n  return\n}\n",
    ),
    ("an attribute given twice", 1, "func.func @f() attributes {a = 1, b = 2, a = 3} {\n  return\n}\n"),
    ("a constant without type", 1, "func.func @f() {\n  %c = arith.constant 1\n  return\n}\n"),
    (
        "a number that is too large",
        1,
        "func.func @f() {\n  %c = arith.constant 99999999999999999999 : i64\n  return\n}\n",
    ),
    (
        "another number of results",
        1,
        "func.func @f(%a: index) {\n  %x, %y = arith.addi %a, %a : index\n  %s = arith.addi %x, %y : index\n  return\n}\n",
    ),
    ("a result where there is none", 1, "func.func @f() {\n  %x = pto.barrier <PIPE_ALL>\n  return\n}\n"),
    (
        "initial values without types",
        1,
        "func.func @f(%a: index, %x: f32) {\n  %r = scf.for %i = %a to %a step %a iter_args(%s = %x) {\n    scf.yield %s : f32\n  }\n  return\n}\n",
    ),
    (
        "a loop that yields nothing",
        1,
        "func.func @f(%a: index, %x: f32) {\n  %r = scf.for %i = %a to %a step %a iter_args(%s = %x) -> (f32) {\n  }\n  return\n}\n",
    ),
    (
        "a branch that yields another type",
        1,
        "func.func @f(%c: i1, %a: index, %x: f32) {\n  %r = scf.if %c -> f32 {\n    scf.yield %x : f32\n  } else {\n    scf.yield %a : index\n  }\n  return\n}\n",
    ),
    ("a condition that is a number", 1, "func.func @f(%a: i32) {\n  scf.if %a {\n  }\n  return\n}\n"),
    (
        "a loop in a float",
        1,
        "func.func @f(%a: f32) {\n  scf.for %i = %a to %a step %a : f32 {\n  }\n  return\n}\n",
    ),
    ("a return of nothing", 1, "func.func @f() -> i32 {\n  return\n}\n"),
    ("something behind the return", 1, "func.func @f() {\n  return\n  pto.barrier <PIPE_ALL>\n}\n"),
    ("a yield that stands alone", 1, "func.func @f() {\n  scf.yield\n  return\n}\n"),
    (
        "a call of nothing",
        1,
        "func.func private @callee()\nfunc.func @f() {\n  func.call @calle() : () -> ()\n  return\n}\n",
    ),
    (
        "a call with another type",
        1,
        "func.func private @callee(%a: i32)\nfunc.func @f(%a: index) {\n  func.call @callee(%a) : (index) -> ()\n  return\n}\n",
    ),
    ("parameters without names", 1, "func.func @f(i32) {\n  return\n}\n"),
    ("a function in a function", 1, "func.func @f() {\n  func.func @g() {\n    return\n  }\n  return\n}\n"),
    (
        "a generic operation with another number of types",
        1,
        "func.func @f(%a: i32) {\n  \"test.op\"(%a) : (i32, i32) -> ()\n  return\n}\n",
    ),
    ("a generic loop without anything", 1, "func.func @f() {\n  \"scf.for\"() : () -> ()\n  return\n}\n"),
    (
        "a generic operation that jumps",
        1,
        "func.func @f() {\n  \"cf.br\"()[^bb1] : () -> ()\n^bb1:\n  return\n}\n",
    ),
    (
        "several mistakes",
        4,
        "func.func @f(%a: index, %x: f32) {\n  %s = arith.addi %a, %b : index\n  %t = arith.addf %s, %x : f32\n  \
         scf.for %i = %a to %a stepp %a {\n    %u = arith.muli %i, %nowhere : index\n  }\n  \
         %v = arith.constant 1 : i3x2\n  %w = arith.addi %v, %a : index\n  return\n}\n",
    ),
];

#[test]
fn mistakes_are_told_once_and_in_their_place() {
    let mut all = String::new();
    let mut wrong = Vec::new();
    for (title, count, text) in CASES {
        let diagnostics = syntax::parse(text, &TARGET).err().unwrap_or_default();
        if diagnostics.len() != *count {
            wrong.push(format!("{title}: {} errors, not {count}", diagnostics.len()));
        }
        let report = Report::new(Source::new("k.pto", *text), diagnostics);
        all += &format!("==== {title}\n\n{}", report.render(Style::Plain));
    }
    insta::assert_snapshot!(all);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_end_after_fifty() {
    let text = format!("func.func @f() {{\n{}  return\n}}\n", "  arith.nothing\n".repeat(1000));
    let diagnostics = syntax::parse(&text, &TARGET).unwrap_err();
    assert_eq!(diagnostics.len(), 51);
    assert_eq!(diagnostics[50].code, "syntax::too-many-errors");
}
