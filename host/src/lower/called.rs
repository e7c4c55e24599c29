//! A function as one of its calls sees it: its arguments stand for the memory that the caller gives.
//!
//! What must hold: the nodes are those of the function alone, in the same order; only what they access differs.

use pipewright_abi::OpId;
use pipewright_abi::ir::Module;
use pipewright_abi::kernel::KernelData;
use pipewright_abi::target::Target;

use super::memory::{self, Argument, Memory};
use super::{Addresses, flatten};
use crate::diagnostic::Diagnostic;

/// What the values of a function stand for, for the functions that it calls.
#[derive(Debug)]
pub struct Traced(Memory);

/// What the arguments of a function stand for in a call: for each the type that its bytes have, the memory, and the number
/// if it is a constant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Given(Vec<Argument>);

/// What the values of a function stand for.
pub fn trace(module: Module<'_>, target: Target<'_>, function: OpId) -> Traced {
    Traced(memory::memory(module, target, function))
}

impl Traced {
    /// What a call in the function gives to `callee`.
    pub fn given(&self, module: Module<'_>, call: OpId, callee: OpId) -> Given {
        let Some(entry) = module.entry_block(callee, 0).get() else { return Given(Vec::new()) };
        let operands = module.operands(call).iter().map(|o| o.value);
        let given = |(parameter, value)| {
            let (ty, pieces) = (self.0.layout(value), self.0.of(value).to_vec());
            (parameter, ty, pieces, self.0.constant(module, value))
        };
        Given(module.block_args(entry).zip(operands).map(given).collect())
    }
}

/// Flattens a function as a call sees it.
pub fn lower_called(
    module: Module<'_>,
    target: Target<'_>,
    function: OpId,
    given: &Given,
) -> Result<(KernelData, Traced), Vec<Diagnostic>> {
    let memory = memory::memory_given(module, target, function, &given.0);
    let (kernel, memory) = flatten(module, target, function, memory, Addresses::Required)?;
    Ok((kernel, Traced(memory)))
}
