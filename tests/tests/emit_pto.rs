//! `--emit pto`: the source with its synchronization written out. Printed as C++ without any further pass it
//! synchronizes like the source with the whole pipeline, and what was written by hand is still there.

use std::path::{Path, PathBuf};

use pipewright_tests::crates::{copy_to, plugin};
use pipewright_tests::sandbox::Sandbox;
use pipewright_tests::skeleton::skeleton;
use pipewright_tests::synthetic::{Shape, kernel};
use pipewright_tests::{corpus, files_below, pipewright, workspace};

/// What a command prints, or its error.
fn output(arguments: &[&str], input: &Path) -> Result<String, String> {
    let run = pipewright().args(arguments).arg(input).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if run.status.success() { Ok(text(&run.stdout)) } else { Err(text(&run.stderr)) }
}

/// Compares both ways to C++. `None` if the kernel cannot be compiled at all.
fn compare(kernel: &Path, pipeline: &str, scratch: &Path) -> Option<Result<(), String>> {
    let direct = output(&["compile", "--pipeline", pipeline], kernel).ok()?;
    let compared = output(&["compile", "--pipeline", pipeline, "--emit", "pto"], kernel).and_then(|text| {
        std::fs::write(scratch, &text).unwrap();
        let again = output(&["compile", "--pipeline", "a3-codegen-only"], scratch)
            .map_err(|error| format!("{error}\n---- of\n{text}"))?;
        keeps_source(&std::fs::read_to_string(kernel).unwrap(), &text)?;
        let (direct, again) = (skeleton(&direct), skeleton(&again));
        if direct == again {
            return Ok(());
        }
        let at = direct.iter().zip(&again).take_while(|(a, b)| a == b).count();
        let piece = |lines: &[String]| lines[at.saturating_sub(3)..(at + 4).min(lines.len())].join("\n  ");
        Err(format!("line {at}:\n  {}\n---- and through text\n  {}", piece(&direct), piece(&again)))
    });
    Some(compared)
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
    let mut kernels = files_below(&workspace().join("examples"), ".pto");
    kernels.extend(files_below(&workspace().join("tests/kernels"), ".pto"));
    let ours = kernels.len();
    match corpus() {
        Some(corpus) => kernels.extend(files_below(&corpus, ".pto")),
        None => eprintln!("PIPEWRIGHT_CORPUS is not set: only our own kernels"),
    }
    let directory = tempfile::tempdir().unwrap();
    let scratch = directory.path().join("synchronized.pto");
    let (mut failures, mut equal, mut skipped) = (Vec::new(), 0, Vec::new());
    for pipeline in ["a3-reference", "a3"] {
        for (index, kernel) in kernels.iter().enumerate() {
            match compare(kernel, pipeline, &scratch) {
                Some(Ok(())) => equal += 1,
                Some(Err(why)) => failures.push(format!("{pipeline}, {}: {why:.3000}", kernel.display())),
                // The default pipeline refuses what it cannot prove.
                None if index < ours && pipeline == "a3-reference" => {
                    failures.push(format!("{}: does not compile", kernel.display()));
                }
                None => skipped.push(format!("{pipeline}: {}", kernel.display())),
            }
        }
    }
    eprintln!("{equal} kernels equal, {} that do not compile at all: {skipped:#?}", skipped.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn synthetic_kernels_too() {
    let directory = tempfile::tempdir().unwrap();
    let (input, scratch) = (directory.path().join("k.pto"), directory.path().join("synchronized.pto"));
    for (shape, name) in Shape::ALL {
        std::fs::write(&input, kernel(shape, 300)).unwrap();
        assert_eq!(compare(&input, "a3-reference", &scratch), Some(Ok(())), "{name}");
    }
}

/// A kernel in which every place that a statement can have is there, some of them hard to find in the text.
const PLACES: &str = "\
module { // comments stay
  func.func @places(%p: !pto.ptr<f32>, %n: index, %c: i1) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
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
