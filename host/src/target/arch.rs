//! Kernels that are written for another machine than the target.
//!
//! What must hold: what a target says of its operations is not taken for the truth about another machine in silence.

use pipewright_abi::ir::Module;
use pipewright_abi::target::TargetData;
use pipewright_abi::{OpId, TextRange};

use crate::diagnostic::Diagnostic;

/// The module attribute that names the machine a kernel is written for.
const ARCH: &str = "pto.target_arch";

/// Machines that a module names and the target does not serve, each with its place. A target that lists none says
/// nothing of what it serves.
pub fn other_machines<'m>(module: &Module<'m>, target: &TargetData) -> Vec<(&'m str, TextRange)> {
    let attrs = module.t.ops.iter().flat_map(|op| op.attrs.of(module.t.attrs));
    let named = attrs.filter(|a| module.str(a.name) == ARCH);
    let named = named.map(|a| (module.str(module.t.attr_values[a.value.index()].text), a.span));
    let serves = |arch: &str| target.arch.is_empty() || target.arch.iter().any(|served| served == arch);
    named.filter(|(arch, _)| !serves(arch)).collect()
}

/// Warnings about modules that name a machine which the target does not serve. If operations are among them that the
/// target refuses, because they are of other machines, those are errors.
pub fn foreign(module: &Module<'_>, target: &TargetData) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let name = target.tables.facts.first().map_or("", |f| target.strings.view().get(f.name));
    let mut warnings = Vec::new();
    for (arch, span) in other_machines(module, target) {
        let message = format!("the kernel is written for `{arch}`, which the target `{name}` does not serve");
        let help = format!(
            "the target serves `{}`; all that is said of the kernel is said of such a machine, and of others only as far \
             as they are alike",
            target.arch.join("`, `")
        );
        warnings.push(Diagnostic::warning("target::arch", message).label(span, "named here").help(help));
    }
    if warnings.is_empty() {
        return Ok(warnings);
    }
    let ops = (0..module.t.ops.len()).map(OpId::from_index);
    let refused: Vec<Diagnostic> = ops.filter_map(|op| refused(module, op, target, name)).collect();
    if refused.is_empty() { Ok(warnings) } else { Err(warnings.into_iter().chain(refused).collect()) }
}

/// The operation, if the target refuses it.
fn refused(module: &Module<'_>, op: OpId, target: &TargetData, name: &str) -> Option<Diagnostic> {
    let entry = target.tables.entries.get(module.op(op).entry.index())?;
    if entry.unsupported.is_none() {
        return None;
    }
    let why = target.strings.view().get(entry.unsupported);
    let message = format!("`{}` is no operation of the target `{name}`: {why}", module.op_name(op));
    Some(Diagnostic::error("target::unsupported", message).label(module.op(op).span, "this operation"))
}
