//! A small real kernel for the unit tests of this crate: a loop with a branch in it, on three pipes.

use std::path::Path;

use pipewright_abi::ir::ModuleData;
use pipewright_abi::target::TargetData;

use crate::lower::{Addresses, lower, simplify};
use crate::pipeline::Unit;

/// `tests/kernels/double_rows.pto`, parsed and lowered for the shipped target.
pub(crate) fn double_rows() -> (ModuleData, TargetData, Unit) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = crate::target::load(&root.join("pipelines/targets/a3.toml"), &[]).expect("the target loads");
    let text =
        std::fs::read_to_string(root.join("tests/kernels/double_rows.pto")).expect("the kernel is there");
    let mut module = crate::syntax::parse(&text, &target).expect("the kernel parses");
    simplify(&mut module, &target);
    let function = module.view().functions().next().expect("there is a function");
    let kernel = lower(&module, &target, function, Addresses::Required).expect("the function lowers");
    (module, target, Unit::new(kernel))
}
