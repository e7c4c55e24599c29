//! What is printed or formatted reads back as the same module.

use std::path::{Path, PathBuf};

use pipewright::{lower, syntax};
use pipewright_abi::ir::ModuleData;
use pipewright_tests::{corpus, files_below, workspace};
use proptest::prelude::*;

use crate::TARGET;
use crate::generate::module_text;
use crate::same::{Names, difference};

fn read(text: &str) -> Result<ModuleData, String> {
    syntax::parse(text, &TARGET).map_err(|errors| format!("{errors:#?}\n{text}"))
}

/// Checks everything that must hold for a text that can be read.
pub(crate) fn round_trips(text: &str) -> Result<(), String> {
    let module = read(text)?;
    let same = |what: &str, text: &str, module: &ModuleData, names: Names| {
        let again = read(text).map_err(|errors| format!("{what}: {errors}"))?;
        difference(module, &again, names).map_or(Ok(()), |d| Err(format!("{what}: {d}\n{text}")))
    };
    same("printed", &syntax::print(&module, &TARGET), &module, Names::Kept)?;
    let formatted = syntax::format(text, &TARGET).map_err(|errors| format!("{errors:#?}"))?;
    same("formatted", &formatted, &module, Names::Kept)?;
    let again = syntax::format(&formatted, &TARGET).map_err(|errors| format!("{errors:#?}"))?;
    if again != formatted {
        return Err(format!("formatting twice changes something:\n{formatted}\n----\n{again}"));
    }
    let mut simplified = module;
    lower::simplify(&mut simplified, &TARGET);
    same("simplified", &syntax::print(&simplified, &TARGET), &simplified, Names::Free)
}

#[test]
fn kernels_round_trip() {
    all_round_trip(&workspace().join("examples"));
    all_round_trip(&workspace().join("tests/kernels"));
}

#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn kernels_of_the_corpus_round_trip() {
    all_round_trip(&corpus());
}

fn all_round_trip(directory: &Path) {
    let kernels = files_below(directory, ".pto");
    assert!(!kernels.is_empty());
    let fails = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        round_trips(&text).err().map(|why| format!("{}: {why:.2000}", path.display()))
    };
    let failures: Vec<String> = kernels.iter().filter_map(fails).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), kernels.len(), failures.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_modules_round_trip(choices in prop::collection::vec(any::<u16>(), 20..400)) {
        let text = module_text(&choices);
        prop_assert_eq!(round_trips(&text), Ok(()));
    }
}

#[test]
fn names_that_simplification_makes_clash_are_told_apart() {
    // Equal constants become one at the start of the function, where the name may be another's.
    let text = "func.func @f(%c: i1) {
      scf.if %c {
        %n = arith.constant 1 : index
        \"test.use\"(%n) : (index) -> ()
      } else {
        %n = arith.constant 2 : index
        \"test.use\"(%n) : (index) -> ()
      }
      return
    }";
    let mut module = read(text).unwrap();
    lower::simplify(&mut module, &TARGET);
    let printed = syntax::print(&module, &TARGET);
    assert_eq!(difference(&module, &read(&printed).unwrap(), Names::Free), None);
    insta::assert_snapshot!(printed, @r#"
        "func.func"() ({
        ^bb0(%c: i1):
          %n = "arith.constant"() {value = 1 : index} : () -> (index)
          %n_0 = "arith.constant"() {value = 2 : index} : () -> (index)
          "scf.if"(%c) ({
            "test.use"(%n) : (index) -> ()
          }, {
            "test.use"(%n_0) : (index) -> ()
          }) : (i1) -> ()
          "func.return"() : () -> ()
        }) {sym_name = "f", function_type = (i1) -> ()} : () -> ()
        "#);
}
