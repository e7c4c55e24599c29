//! The C++ that `a3-codegen` prints: judged by eye once and kept as snapshots, read by a C++ compiler against
//! declarations of the vendor's library, the same bytes from run to run; and what it refuses.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pipewright::target;
use pipewright_abi::target::{Entry, Target, attr_flag, operand_flag, operand_kind};
use pipewright_tests::{files_below, pipewright, workspace};

/// Kernels with a snapshot: the examples, and some that show what the examples do not.
fn kernels() -> Vec<PathBuf> {
    let examples = workspace().join("examples");
    let mut kernels = files_below(&examples, ".pto");
    kernels.retain(|kernel| kernel.parent() == Some(&examples));
    kernels.extend(files_below(&workspace().join("tests/kernels/cpp"), ".pto"));
    assert!(kernels.len() > 10, "{kernels:?}");
    kernels
}

fn compile(kernel: &Path, pipeline: &str) -> Output {
    pipewright().args(["compile", "--pipeline", pipeline, "-o", "-"]).arg(kernel).output().unwrap()
}

fn compiled(kernel: &Path) -> String {
    let output = compile(kernel, "a3-reference");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", kernel.display());
    String::from_utf8(output.stdout).unwrap()
}

/// What a C++ compiler says about the text.
fn complaints(cpp: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kernel.cpp");
    std::fs::write(&file, cpp).unwrap();
    let headers = workspace().join("tests/cpp");
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-fsyntax-only", "-Wall", "-Wno-unused", "-I"]).arg(headers).arg(&file);
    let output = compiler.output().unwrap_or_else(|error| panic!("g++: {error}"));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_reads_as_cpp(name: &str, cpp: &str) {
    let said = complaints(cpp);
    assert!(said.is_empty(), "{name}: {said}\n{cpp}");
}

#[test]
fn kernels_print_as_judged() {
    for kernel in kernels() {
        let name = kernel.file_stem().unwrap().to_string_lossy().into_owned();
        insta::assert_snapshot!(name, compiled(&kernel));
    }
}

#[test]
#[cfg_attr(not(cpp_compiler), ignore = "there is no g++")]
fn kernels_read_as_cpp() {
    for kernel in kernels() {
        assert_reads_as_cpp(&kernel.display().to_string(), &compiled(&kernel));
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for kernel in kernels() {
        assert_eq!(compiled(&kernel), compiled(&kernel), "{}", kernel.display());
    }
}

/// Every operation between `ins` and `outs` that the table has a C++ form for, with all and with only the required
/// operands, prints a call that the declarations accept.
#[test]
#[cfg_attr(not(cpp_compiler), ignore = "there is no g++")]
fn every_form_of_the_table_reads_as_cpp() {
    let data =
        target::load(&workspace().join("pipelines/targets/a3.toml"), &[]).expect("the target file is good");
    let target = data.view();
    let mut body = String::new();
    let mut printed = 0;
    for entry in target.t.entries {
        if target.str(entry.class) != "dps" || entry.unsupported.is_some() || entry.cpp_rules.is_empty() {
            continue;
        }
        for complete in [false, true] {
            if let Some(line) = operation(&target, entry, complete) {
                body.push_str(&line);
                printed += 1;
            }
        }
    }
    assert!(printed > 150, "only {printed} forms");
    let kernel = format!(
        "!t = !pto.tile_buf<vec, 16x64xf32>\n\
         !v = !pto.partition_tensor_view<16x64xf32>\n\
         module attributes {{pto.target_arch = \"a3\"}} {{\n\
         func.func @forms(%view: !v, %number: f32, %index: index, %count: i32) {{\n\
         %at = arith.constant 0 : i64\n\
         %lengths = arith.constant dense<0> : vector<4xi16>\n\
         %tile = pto.alloc_tile addr = %at : !t\n\
         {body}return\n}}\n}}\n"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("forms.pto");
    std::fs::write(&file, kernel).unwrap();
    // The same tile everywhere is no right kernel, but each call reads as C++.
    let output =
        pipewright().args(["compile", "-p", "a3", "--verify=false", "-o", "-"]).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_reads_as_cpp("forms", &String::from_utf8(output.stdout).unwrap());
}

/// The operation with an operand of the first kind that each accepts, or none if it has a form of its own below.
fn operation(target: &Target<'_>, entry: &Entry, complete: bool) -> Option<String> {
    let name = target.str(entry.name);
    // These have several forms that exclude each other; the kernels with snapshots show them.
    if matches!(name, "pto.tgather" | "pto.tmrgsort" | "pto.tmov" | "pto.tstore" | "pto.print" | "pto.tsync")
    {
        return None;
    }
    let mut groups = [("ins", Vec::new()), ("outs", Vec::new())];
    for operand in entry.operands.of(target.t.operands) {
        let group = target.str(operand.group);
        let optional = operand.flags & operand_flag::OPTIONAL != 0;
        let Some((_, list)) = groups.iter_mut().find(|(g, _)| *g == group) else { continue };
        if optional && !complete {
            continue;
        }
        let scalar_too = operand.kinds & operand_kind::SCALAR != 0 && !list.is_empty();
        let pair = match operand.kinds {
            _ if scalar_too && operand.kinds & operand_kind::TILE != 0 => ("%number", "f32"),
            kinds if kinds & operand_kind::TILE != 0 => ("%tile", "!t"),
            kinds if kinds & operand_kind::VIEW != 0 => ("%view", "!v"),
            kinds if kinds & operand_kind::INDEX != 0 => ("%index", "index"),
            _ if name == "pto.tci" || name == "pto.ttri" => ("%count", "i32"),
            kinds if kinds & operand_kind::SCALAR != 0 => ("%number", "f32"),
            _ => return None,
        };
        list.push(pair);
    }
    let mut attributes = Vec::new();
    for attr in entry.attrs.of(target.t.attrs) {
        if attr.flags & attr_flag::OPTIONAL == 0 {
            let kind = target.find_enum(target.str(attr.ty))?;
            let value = kind.values.of(target.t.enum_values).first()?;
            let (name, text) = (target.str(attr.name), target.str(value.text));
            attributes.push(format!("{name} = #pto<{} {text}>", target.str(kind.name)));
        }
    }
    let mut line = name.to_owned();
    for (group, list) in groups.iter().filter(|(_, list)| !list.is_empty()) {
        let values: Vec<&str> = list.iter().map(|(value, _)| *value).collect();
        let types: Vec<&str> = list.iter().map(|(_, ty)| *ty).collect();
        line += &format!(" {group}({} : {})", values.join(", "), types.join(", "));
    }
    if !attributes.is_empty() {
        line += &format!(" {{{}}}", attributes.join(", "));
    }
    let results = entry.results.of(target.t.operands);
    match results {
        [] => Some(line + "\n"),
        _ => None,
    }
}

/// What the code generator refuses, each with the message and the place.
#[test]
fn what_has_no_cpp_is_refused() {
    let cases = [
        ("not-on-this-target", "pto.thistogram ins(%a, %a : !t, !t) outs(%a : !t)"),
        (
            "layout",
            "%v = pto.make_tensor_view %p, shape = [%c16, %c64], strides = [%c64, %c1] {layout = #pto.layout<dn>} : !pto.tensor_view<16x64xf32>\n%w = pto.partition_view %v, offsets = [%c0, %c0], sizes = [%c16, %c64] : !pto.tensor_view<16x64xf32> -> !pto.partition_tensor_view<16x64xf32>\npto.tload ins(%w : !pto.partition_tensor_view<16x64xf32>) outs(%a : !t)",
        ),
        (
            "box",
            "%m = pto.alloc_tile addr = %at : !m\n%w = pto.subview %m[%c8, %c0] sizes [16, 16] : !m -> !n\npto.tmov ins(%w : !n) outs(%w : !n)",
        ),
        (
            "large-index",
            "%large = arith.constant 4294967296 : index\npto.store_scalar %x, %p[%large] : !pto.ptr<f32>, f32",
        ),
        ("no-pipe", "pto.tpush_to_aic(%a : !t) {split = 0}"),
        ("recursion", "func.call @kernel(%p, %x) : (!pto.ptr<f32>, f32) -> ()"),
        ("tail-hint", "pto.tabs ins(%a : !t) outs(%a : !t)\npto.texp ins(%a : !t) outs(%a : !t)"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let alone = directory.path().join("alone.toml");
    std::fs::write(
        &alone,
        "[pipeline]\nname = \"alone\"\ntarget = \"a3\"\n\n[[stage]]\npass = \"a3-codegen\"\n",
    )
    .unwrap();
    let mut said = String::new();
    for (name, body) in cases {
        let hint =
            if name == "tail-hint" { " attributes {pto.auto_sync_tail_hint = \"sometimes\"}" } else { "" };
        let kernel = format!(
            "!t = !pto.tile_buf<vec, 16x64xf32>\n\
             !m = !pto.tile_buf<mat, 64x64xf16, blayout=col_major, slayout=row_major>\n\
             !n = !pto.tile_buf<mat, 16x16xf16, blayout=col_major, slayout=row_major>\n\
             module {{\nfunc.func @kernel(%p: !pto.ptr<f32>, %x: f32){hint} {{\n\
             %c0 = arith.constant 0 : index\n%c1 = arith.constant 1 : index\n%c8 = arith.constant 8 : index\n\
             %c16 = arith.constant 16 : index\n%c64 = arith.constant 64 : index\n%at = arith.constant 0 : i64\n\
             %a = pto.alloc_tile addr = %at : !t\n{body}\nreturn\n}}\n}}\n"
        );
        let file = directory.path().join(format!("{name}.pto"));
        std::fs::write(&file, kernel).unwrap();
        // Only a stage that inserts synchronization asks for a tail.
        let pipeline = if name == "tail-hint" { "a3-reference" } else { alone.to_str().unwrap() };
        let output = compile(&file, pipeline);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let text = String::from_utf8_lossy(&output.stderr).replace(&*directory.path().to_string_lossy(), "");
        said += &format!("== {name}\n{}\n\n", text.trim());
    }
    let filters =
        vec![(r"`a3-codegen` \d+\.\d+\.\d+", "`a3-codegen` VERSION"), ("plugin: .*", "plugin: FILE")];
    insta::with_settings!({filters => filters}, {
        insta::assert_snapshot!("refused", said);
    });
}
