//! `--emit pto`: the source with its synchronization written out. Printed as C++ without any further pass it
//! synchronizes like the source with the whole pipeline, and what was written by hand is still there.

use std::path::{Path, PathBuf};

use pipewright_tests::crates::{copy_to, plugin};
use pipewright_tests::sandbox::Sandbox;
use pipewright_tests::skeleton::skeleton;
use pipewright_tests::synthetic::{Shape, kernel};
use pipewright_tests::{corpus, files_below, pipewright, workspace};

/// Compiles the kernel, or all in the folder, into the folder `out`. The standard error.
fn compile(input: &Path, out: &Path, arguments: &[&str]) -> String {
    let mut command = pipewright();
    command.arg("compile").arg(input).arg("--out-dir").arg(out).args(arguments);
    String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned()
}

/// Compares both ways to C++ for a kernel, or for all in a folder. Returns how many are equal, what is not, and which
/// do not compile at all.
fn compare(input: &Path, pipeline: &str) -> (usize, Vec<String>, Vec<PathBuf>) {
    let scratch = tempfile::tempdir().unwrap();
    let [direct, text, again] = ["direct", "text", "again"].map(|name| scratch.path().join(name));
    compile(input, &direct, &["--pipeline", pipeline]);
    let mut said = compile(input, &text, &["--pipeline", pipeline, "--emit", "pto"]);
    if text.exists() {
        said += &compile(&text, &again, &["--pipeline", "a3-codegen-only"]);
    }
    let (kernels, root) = if input.is_dir() {
        (files_below(input, ".pto"), input)
    } else {
        (vec![input.to_owned()], input.parent().unwrap())
    };
    let (mut equal, mut different, mut skipped) = (0, Vec::new(), Vec::new());
    for kernel in kernels {
        let name = kernel.strip_prefix(root).unwrap();
        let read =
            |folder: &Path, extension| std::fs::read_to_string(folder.join(name).with_extension(extension));
        let Ok(direct) = read(&direct, "cpp") else {
            skipped.push(kernel);
            continue;
        };
        let problem = match (read(&text, "pto"), read(&again, "cpp")) {
            (Ok(text), Ok(again)) => {
                let source = std::fs::read_to_string(&kernel).unwrap();
                keeps_source(&source, &text).and_then(|()| same(&skeleton(&direct), &skeleton(&again)))
            }
            _ => Err(format!("no output; the commands said\n{said}")),
        };
        match problem {
            Ok(()) => equal += 1,
            Err(why) => different.push(format!("{pipeline}, {}: {why:.3000}", kernel.display())),
        }
    }
    (equal, different, skipped)
}

fn same(direct: &[String], again: &[String]) -> Result<(), String> {
    if direct == again {
        return Ok(());
    }
    let at = direct.iter().zip(again).take_while(|(a, b)| a == b).count();
    let piece = |lines: &[String]| lines[at.saturating_sub(3)..(at + 4).min(lines.len())].join("\n  ");
    Err(format!("line {at}:\n  {}\n---- and through text\n  {}", piece(direct), piece(again)))
}

/// Every line of the source is still there, in order, but for addresses that were planned.
fn keeps_source(source: &str, text: &str) -> Result<(), String> {
    let without_address = |line: &str| match line.split_once(" addr = %addr_") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
            format!("{before}{rest}")
        }
        None => line.to_owned(),
    };
    let mut lines = text.lines();
    for line in source.lines() {
        let planned = line.contains("auto = true");
        let found = lines
            .by_ref()
            .any(|l| l == line || without_address(l) == line || (planned && l.contains("auto = false")));
        if !found {
            return Err(format!("a line is gone or out of order: {line}"));
        }
    }
    Ok(())
}

#[test]
fn written_synchronization_is_the_plan() {
    written_is_planned(&workspace().join("examples"));
    written_is_planned(&workspace().join("tests/kernels"));
}

#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn written_synchronization_is_the_plan_in_the_corpus() {
    written_is_planned(&corpus());
}

fn written_is_planned(folder: &Path) {
    for pipeline in ["a3-reference", "a3-reference-push-back"] {
        let (equal, different, skipped) = compare(folder, pipeline);
        eprintln!("{pipeline}: {equal} kernels of {} equal, not compiled: {skipped:?}", folder.display());
        assert!(equal > 0 && different.is_empty(), "{}", different.join("\n"));
    }
}

#[test]
fn synthetic_kernels_too() {
    let directory = tempfile::tempdir().unwrap();
    for (shape, name) in Shape::ALL {
        std::fs::write(directory.path().join(format!("{name}.pto")), kernel(shape, 300)).unwrap();
    }
    assert_eq!(compare(directory.path(), "a3-reference"), (Shape::ALL.len(), Vec::new(), Vec::new()));
}

/// A kernel in which every place that a statement can have is there, some of them hard to find in the text.
const PLACES: &str = "\
module { // comments stay
  func.func @places(%p: !pto.ptr<f32>, %n: index, %c: i1) {
    %a = arith.constant 0 : i64
    %t = pto.alloc_tile addr = %a : !pto.tile_buf<vec, 16x16xf32>
    %true = arith.constant true
    %not = arith.xori %c, %true : i1
    scf.for %i = %n to %n step %n { // a loop
      // about the branch
      scf.if %c {
        pto.tabs ins(%t : !pto.tile_buf<vec, 16x16xf32>)
            outs(%t : !pto.tile_buf<vec, 16x16xf32>) // on two lines
      }
      scf.if %not { pto.tneg ins(%t : !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>) } else {
        %dead = arith.addi %n, %n : index
        pto.texp ins(%t : !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)
      }
    }
    %r = scf.while (%x = %n) : (index) -> index {
      pto.tabs ins(%t : !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)
      scf.condition(%c) %x : index
    } do {
    ^bb0(%y: index):
      pto.tneg ins(%t : !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)
      scf.yield %y : index
    }
    pto.tabs ins(%t : !pto.tile_buf<vec, 16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>) return
  }
}
";

#[test]
fn every_place_is_found_in_the_text() {
    let pipeline = |emitter: &str| {
        format!(
            "[pipeline]\nname = \"p\"\ntarget = \"a3\"\n[[stage]]\npass = \"everywhere\"\n[[stage]]\npass = \"{emitter}\"\n"
        )
    };
    let sandbox = Sandbox::with(&[("k.pto", PLACES), ("p.toml", &pipeline("a3-codegen"))]);
    let library: PathBuf = plugin("everywhere", "0.1.0", "everywhere.rs");
    copy_to(&sandbox.path("plugins"), &[&library]);
    let compile = ["compile", "--pipeline", "p.toml", "--plugin-path", "plugins", "k.pto"];
    let direct = sandbox.run(compile);
    assert_eq!(direct.code, Some(0), "{}", direct.stderr);
    let text = sandbox.run([&compile[..], &["--emit", "pto"]].concat());
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    insta::assert_snapshot!(text.stdout);
    sandbox.write("s.pto", &text.stdout);
    let again = sandbox.run(["compile", "--pipeline", "a3-codegen-only", "s.pto"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(skeleton(&again.stdout), skeleton(&direct.stdout));
}

#[test]
fn planned_addresses_are_written() {
    let kernel = "\
func.func @f(%p: !pto.ptr<f32>, %addr_0: index) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
  %a = pto.alloc_tile : !pto.tile_buf<vec, 16x16xf32>
  %b = pto.alloc_tile valid_row = %addr_0 : !pto.tile_buf<vec, 16x16xf32, valid=?x16>
  pto.tabs ins(%a : !pto.tile_buf<vec, 16x16xf32>) outs(%a : !pto.tile_buf<vec, 16x16xf32>)
  pto.tneg ins(%b : !pto.tile_buf<vec, 16x16xf32, valid=?x16>) outs(%b : !pto.tile_buf<vec, 16x16xf32, valid=?x16>)
  pto.tadd ins(%a, %a : !pto.tile_buf<vec, 16x16xf32>, !pto.tile_buf<vec, 16x16xf32>) outs(%a : !pto.tile_buf<vec, 16x16xf32>)
  return
}
";
    let sandbox = Sandbox::with(&[("k.pto", kernel)]);
    let run = sandbox.run(["compile", "--pipeline", "a3-reference", "--emit", "pto", "k.pto"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stdout, @r"
        func.func @f(%p: !pto.ptr<f32>, %addr_0: index) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
          %addr__0 = arith.constant 0 : i64
          %addr__1024 = arith.constant 1024 : i64
          %a = pto.alloc_tile addr = %addr__0 : !pto.tile_buf<vec, 16x16xf32>
          %b = pto.alloc_tile addr = %addr__1024 valid_row = %addr_0 : !pto.tile_buf<vec, 16x16xf32, valid=?x16>
          pto.tabs ins(%a : !pto.tile_buf<vec, 16x16xf32>) outs(%a : !pto.tile_buf<vec, 16x16xf32>)
          pto.tneg ins(%b : !pto.tile_buf<vec, 16x16xf32, valid=?x16>) outs(%b : !pto.tile_buf<vec, 16x16xf32, valid=?x16>)
          pto.barrier <PIPE_V>
          pto.tadd ins(%a, %a : !pto.tile_buf<vec, 16x16xf32>, !pto.tile_buf<vec, 16x16xf32>) outs(%a : !pto.tile_buf<vec, 16x16xf32>)
          pto.barrier <PIPE_ALL> {pto.auto_sync_tail_barrier}
          return
        }
        ");
}

#[test]
fn an_input_is_not_written_over() {
    let sandbox = Sandbox::with(&[("k.pto", PLACES)]);
    let run = sandbox.run(["compile", "--emit", "pto", "--out-dir", ".", "k.pto"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(sandbox.read("k.pto"), PLACES);
}
