//! Gives tiles without an address a place in local memory.
//!
//! For each function, callees first: when each tile's content matters (`lifetime`), what is taken already
//! (`function`), an offset for each tile (`place`). Tiles that never matter at the same time share bytes. The
//! offsets go out as a column, and the host writes them into the program. A program whose tiles all have addresses
//! is left alone.
//!
//! What must hold: two buffers that matter at the same time share no byte, and every offset is aligned as its space
//! wants it.

mod carried;
mod function;
mod lifetime;
mod place;
mod plan;
mod report;

use pipewright_abi::kernel::Kernel;
use pipewright_abi::memory::ADDRESSES;
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, register_pass};

use function::needs;
use plan::{Policy, plan};

/// The pass.
#[derive(Debug)]
pub struct MemoryPlan;

register_pass!(MemoryPlan);

impl Pass for MemoryPlan {
    const NAME: &'static str = "memory-plan";

    fn info() -> PassInfo {
        PassInfo::new("Gives tiles without an address a place in local memory")
            .over_module()
            .reads(&["kernel", "module"])
            .writes(&["addresses"])
            .choice(
                "reuse",
                &["first-fit", "none"],
                "share memory between tiles that never matter at the same time",
            )
            .option(
                "keep-scratch",
                true,
                "keep the end of a space free where operations use it as scratch memory",
            )
            .option(
                "partial-overlap",
                true,
                "where tiles do not fit otherwise, let them share bytes at different offsets, which \
                 hazard-analysis sees only with alias = \"range\"",
            )
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let (module, target) = (cx.module()?, cx.target());
        let kernels: Vec<Kernel<'_>> = cx.units().iter().map(|unit| unit.kernel).collect();
        let policy = Policy {
            reuse: cx.text("reuse") == "first-fit",
            may_overlap: cx.flag("partial-overlap"),
            keep_scratch: cx.flag("keep-scratch"),
        };
        let mut functions = Vec::with_capacity(kernels.len());
        for kernel in &kernels {
            functions.push(needs(kernel, &module, &target, policy.reuse)?);
        }
        if functions.iter().all(|needs| needs.buffers.is_empty()) {
            return Ok(());
        }
        let plan = plan(&module, &target, policy, functions)?;
        cx.count("buffers placed", plan.addresses.len() as i64);
        cx.write_column(ADDRESSES, &plan.addresses);
        cx.report(&plan.report);
        for function in plan.overlapping {
            let message = format!(
                "in `{function}` tiles share bytes at different offsets, because they do not fit otherwise: \
                 hazard-analysis needs alias = \"range\" to order their accesses"
            );
            cx.remark(NodeId::NONE, message);
        }
        Ok(())
    }
}
