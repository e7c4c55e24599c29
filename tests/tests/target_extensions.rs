//! An operation that nobody here has heard of, from a target file alone: it is read, synchronized and printed.

use pipewright_tests::sandbox::{Run, Sandbox};

/// A polynomial of a tile with the coefficients in another, on the vector pipe; its form depends on an attribute.
const OPERATION: &str = r#"
[[op]]
name = "pto.thorner"
summary = "a polynomial, by Horner's rule"
class = "dps"
ins = ["x: tile", "coefficients: tile", "tmp?: tile write"]
outs = ["y: tile"]
attrs = ["degree: i32", "fused?: bool = false"]
pipe = "V"
cpp = [
  { when = { attr = { fused = true } }, emit = "THORNER_FUSED<{degree:sym}>({y}, {x}, {coefficients})" },
  { emit = "THORNER<{degree:sym}>({y}, {x}, {coefficients}[?tmp:, {tmp}])" },
]
"#;

const KERNEL: &str = r#"
module {
  func.func @polynomial(%x: !pto.ptr<f32>, %c: !pto.ptr<f32>, %y: !pto.ptr<f32>) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %c64 = arith.constant 64 : index
    %xv = pto.make_tensor_view %x, shape = [%c16, %c64], strides = [%c64, %c1] : !pto.tensor_view<16x64xf32>
    %cv = pto.make_tensor_view %c, shape = [%c16, %c64], strides = [%c64, %c1] : !pto.tensor_view<16x64xf32>
    %yv = pto.make_tensor_view %y, shape = [%c16, %c64], strides = [%c64, %c1] : !pto.tensor_view<16x64xf32>
    %xp = pto.partition_view %xv, offsets = [%c0, %c0], sizes = [%c16, %c64] : !pto.tensor_view<16x64xf32> -> !pto.partition_tensor_view<16x64xf32>
    %cp = pto.partition_view %cv, offsets = [%c0, %c0], sizes = [%c16, %c64] : !pto.tensor_view<16x64xf32> -> !pto.partition_tensor_view<16x64xf32>
    %yp = pto.partition_view %yv, offsets = [%c0, %c0], sizes = [%c16, %c64] : !pto.tensor_view<16x64xf32> -> !pto.partition_tensor_view<16x64xf32>
    %xt = pto.alloc_tile : !pto.tile_buf<vec, 16x64xf32>
    %ct = pto.alloc_tile : !pto.tile_buf<vec, 16x64xf32>
    %yt = pto.alloc_tile : !pto.tile_buf<vec, 16x64xf32>
    pto.tload ins(%xp : !pto.partition_tensor_view<16x64xf32>) outs(%xt : !pto.tile_buf<vec, 16x64xf32>)
    pto.tload ins(%cp : !pto.partition_tensor_view<16x64xf32>) outs(%ct : !pto.tile_buf<vec, 16x64xf32>)
    pto.thorner ins(%xt, %ct : !pto.tile_buf<vec, 16x64xf32>, !pto.tile_buf<vec, 16x64xf32>) outs(%yt : !pto.tile_buf<vec, 16x64xf32>) {degree = 7 : i32}
    pto.thorner ins(%yt, %ct : !pto.tile_buf<vec, 16x64xf32>, !pto.tile_buf<vec, 16x64xf32>) outs(%xt : !pto.tile_buf<vec, 16x64xf32>) {degree = 3 : i32, fused = true}
    pto.tstore ins(%xt : !pto.tile_buf<vec, 16x64xf32>) outs(%yp : !pto.partition_tensor_view<16x64xf32>)
    return
  }
}
"#;

const PIPELINE: &str =
    "[pipeline]\nname = \"vendor\"\nextends = \"a3-reference\"\ntarget-extensions = [\"ops/vendor.toml\"]\n";

fn sandbox() -> Sandbox {
    Sandbox::with(&[("k.pto", KERNEL), ("vendor.toml", PIPELINE), ("ops/vendor.toml", OPERATION)])
}

#[test]
fn a_pipeline_brings_operations_of_its_own() {
    let run = sandbox().run(["compile", "k.pto", "--pipeline", "vendor.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn so_does_the_command_line() {
    let sandbox = sandbox();
    let of_pipeline = sandbox.run(["compile", "k.pto", "--pipeline", "vendor.toml"]);
    let of_argument =
        sandbox.run(["compile", "k.pto", "--pipeline", "a3-reference", "--target", "ops/vendor.toml"]);
    assert_eq!((of_argument.code, of_argument.stdout), (Some(0), of_pipeline.stdout));
    // The last description of an operation counts, if it says that it replaces the one before.
    let mine = OPERATION.replace("pipe = \"V\"", "pipe = \"S\"");
    sandbox.write("mine.toml", format!("[extension]\nreplaces = [\"pto.thorner\"]\n{mine}"));
    let arguments =
        ["compile", "k.pto", "--pipeline", "vendor.toml", "--emit", "plan", "--target", "mine.toml"];
    let plan = sandbox.run(arguments).stdout;
    let line = plan.lines().find(|line| line.contains("pto.thorner")).expect("the operation is in the plan");
    assert!(line.contains(" S "), "{line}");
}

#[test]
fn without_the_file_the_operation_is_unknown() {
    let error = sandbox().refused(["compile", "k.pto", "--pipeline", "a3-reference", "-o", "k.cpp"]);
    assert!(error.contains("thorner"), "{error}");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let refusal = |pipeline: &str, operation: &str| {
        let sandbox = sandbox();
        sandbox.write("vendor.toml", pipeline);
        sandbox.write("ops/vendor.toml", operation);
        sandbox.refused(["compile", "k.pto", "--pipeline", "vendor.toml", "-o", "k.cpp"])
    };
    insta::assert_snapshot!(refusal(&PIPELINE.replace("ops/vendor", "ops/vender"), OPERATION));
    insta::assert_snapshot!(refusal(
        &PIPELINE.replace("[\"ops/vendor.toml\"]", "\"ops/vendor.toml\""),
        OPERATION
    ));
    insta::assert_snapshot!(refusal(PIPELINE, &OPERATION.replace("\"V\"", "\"VECTOR\"")));
}

/// What the command says of the kernel under a pipeline with this extension.
fn with(extension: &str) -> Run {
    let sandbox = sandbox();
    sandbox.write("ops/vendor.toml", extension);
    sandbox.run(["compile", "k.pto", "--pipeline", "vendor.toml", "--emit", "plan"])
}

#[test]
fn an_extension_says_what_it_does_beside_adding_operations() {
    let lose = "[target]\nflag-model = \"lose\"\n";
    let mode = "[[enum]]\nname = \"zeal\"\nvalues = [{ text = \"HIGH\", value = 1 }]\n";
    let exp = "[[op]]\nname = \"pto.texp\"\nclass = \"dps\"\nins = [\"src: tile\"]\nouts = [\"dst: tile\"]\npipe = \"V\"\n";
    let cases = [
        (lose, "replaces = [\"flag-model\"]"),
        (mode, "adds = [\"enum\"]"),
        (exp, "replaces = [\"pto.texp\"]"),
        ("[[reserved-ids]]\nsrc = \"V\"\ndst = \"MTE3\"\nids = [0]\n", "adds = [\"reserved-ids\"]"),
    ];
    let mut said = Vec::new();
    for (change, key) in cases {
        let run = with(&format!("{change}{OPERATION}"));
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
        said.push(run.stderr);
        let run = with(&format!("[extension]\n{key}\n{change}{OPERATION}"));
        assert_eq!(run.code, Some(0), "{key}: {}", run.stderr);
    }
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn what_an_extension_says_of_itself_is_checked() {
    let cases = [
        "[extension]\nadds = [\"enums\"]\n",
        "[extension]\nreplaces = [\"flag-modal\"]\n",
        "[extension]\nreplaces = [\"pto.texpp\"]\n",
        "[extension]\nreplaces = [\"pto.texp\"]\n",
        "[target]\ncosts = \"cost.toml\"\n",
        "[extension]\nadds = [\"space\"]\n[[space]]\nname = \"vec\"\n",
        "[extension]\nadds = [\"flag-model\"]\n",
    ];
    let said = cases.map(|extension| {
        let run = with(extension);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
        run.stderr
    });
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_target_is_no_extension_and_an_extension_no_target() {
    let sandbox = sandbox();
    let refusal = |text: &str| {
        sandbox.write("t.toml", text);
        let pipeline = "[pipeline]\nname = \"p\"\ntarget = \"t.toml\"\n[[stage]]\npass = \"a3-codegen\"\n";
        sandbox.write("p.toml", pipeline);
        sandbox.refused(["compile", "k.pto", "--pipeline", "p.toml", "-o", "k.cpp"])
    };
    let texts = [
        OPERATION.to_owned(),
        "[target]\nname = \"toy\"\nevent-ids = 8\n".to_owned(),
        "[target]\nname = \"toy\"\nevent-ids = 8\nflag-model = \"stall\"\n[extension]\nadds = [\"enum\"]\n"
            .to_owned(),
    ];
    insta::assert_snapshot!(texts.map(|text| refusal(&text)).join("\n"));
}
