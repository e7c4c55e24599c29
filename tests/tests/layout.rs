//! Tiles that the library does not accept where they stand: told with the operand and the rule, not left to the C++
//! compiler.

use pipewright_tests::sandbox::Sandbox;

const COLUMN: &str = "!pto.tile_buf<vec, 16x1xf32, blayout=col_major>";
const ROW: &str = "!pto.tile_buf<vec, 1x16xf32>";

/// A function with tiles of these two types at one address.
fn kernel(a: &str, b: &str, body: &str) -> String {
    format!(
        "!a = {a}\n!b = {b}
func.func @f(%x: f32) attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
  %at = arith.constant 0 : i64
  %a = pto.alloc_tile addr = %at : !a
  %b = pto.alloc_tile addr = %at : !b
{body}  return
}}
"
    )
}

fn refused(text: &str, more: &[(&str, &str)]) -> String {
    let sandbox = Sandbox::with(&[&[("k.pto", text)], more].concat());
    let extensions: Vec<&str> = more.iter().flat_map(|(name, _)| ["--target", name]).collect();
    let compile = ["compile", "k.pto", "-o", "k.cpp", "--pipeline", "a3-codegen-only"];
    sandbox.refused(compile.into_iter().chain(extensions))
}

fn compiles(text: &str, more: &[(&str, &str)]) {
    let sandbox = Sandbox::with(&[&[("k.pto", text)], more].concat());
    let extensions: Vec<&str> = more.iter().flat_map(|(name, _)| ["--target", name]).collect();
    let compile = ["compile", "k.pto", "-o", "k.cpp", "--pipeline", "a3-codegen-only"];
    let run = sandbox.run(compile.into_iter().chain(extensions));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn a_column_and_a_scalar_are_refused_and_a_row_over_the_same_bytes_is_not() {
    let column = kernel(COLUMN, ROW, "  pto.tadds ins(%a, %x : !a, f32) outs(%a : !a)\n");
    insta::assert_snapshot!(refused(&column, &[]));
    compiles(&kernel(COLUMN, ROW, "  pto.tadds ins(%b, %x : !b, f32) outs(%b : !b)\n"), &[]);
    let alias = "  %c = pto.treshape %a : !a -> !b\n  pto.tmuls ins(%c, %x : !b, f32) outs(%c : !b)\n";
    compiles(&kernel(COLUMN, ROW, alias), &[]);
    // Either operand of a quotient can be the tile.
    let quotient = kernel(COLUMN, ROW, "  pto.tdivs ins(%x, %a : f32, !a) outs(%b : !b)\n");
    assert!(refused(&quotient, &[]).contains("`pto.tdivs` does not take such a tile as `scalar`"));
}

#[test]
fn element_types_that_the_library_lacks_are_told() {
    let bf16 = "!pto.tile_buf<vec, 16x16xbf16>";
    let text = kernel(bf16, bf16, "  pto.trowexpanddiv ins(%a, %b : !a, !b) outs(%a : !a)\n");
    insta::assert_snapshot!(refused(&text, &[]));
}

/// What is said of one operation of an extension: the rule, then bodies that keep it and break it.
#[test]
fn rules_are_data() {
    let extension = |rule: &str| {
        format!(
            "[[op]]\nname = \"pto.tours\"\nsummary = \"ours\"\nclass = \"dps\"\nins = [\"src: tile\"]\n\
             outs = [\"dst: tile\"]\npipe = \"V\"\ncpp = \"TOURS({{dst}}, {{src}})\"\naccepts = [\"{rule}\"]\n"
        )
    };
    let body = "  pto.tours ins(%a : !a) outs(%b : !b)\n";
    let box_of_rows = "!pto.tile_buf<vec, 16x16xf32, slayout=row_major>";
    for (rule, a, fits) in [
        ("src: row_major", ROW, true),
        ("src: row_major", COLUMN, false),
        ("src, dst: row_major", ROW, true),
        ("src: col_major column", COLUMN, true),
        ("src: row_major | col_major column", COLUMN, true),
        ("src: row_major column | row f16", ROW, false),
        ("src: row_major column | row f16 f32", ROW, true),
        ("src: none_box", box_of_rows, false),
        ("src: row_box col_box", box_of_rows, true),
        ("src: mat left", ROW, false),
        ("src: mat vec", ROW, true),
        ("src: i32", "!pto.tile_buf<vec, 1x16xui32>", true),
        ("src: i32", "!pto.tile_buf<vec, 1x16xi16>", false),
    ] {
        let text = kernel(a, ROW, body);
        let ops = extension(rule);
        if fits {
            compiles(&text, &[("ops.toml", &ops)]);
        } else {
            let said = refused(&text, &[("ops.toml", &ops)]);
            assert!(said.starts_with("lower::layout\n"), "{rule}: {said}");
            assert!(said.contains("`pto.tours` does not take such a tile as `src`"), "{rule}: {said}");
        }
    }
    for (rule, expected) in [
        ("row_major", "`row_major` is no rule: it names no operand"),
        ("src:", "`src:` is no rule: a form has no words"),
        ("src: row_major |", "`src: row_major |` is no rule: a form has no words"),
        ("source: row_major", "source"),
        ("src: row_majr", "row_majr"),
    ] {
        let said = refused(&kernel(ROW, ROW, body), &[("ops.toml", &extension(rule))]);
        assert!(said.starts_with("target::") && said.contains(expected), "{rule}: {said}");
    }
}
