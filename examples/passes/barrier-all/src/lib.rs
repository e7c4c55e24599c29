//! `barrier-all`: before each instruction that conflicts with an earlier one, a barrier of all pipes.
//!
//! Slow and surely right: no flag, no event id, nothing that can hang. A pipeline that uses it needs no other stage
//! between hazard analysis and code generation.
//!
//! One walk over the flat list decides. A barrier orders everything before it, so only what was touched since the
//! last one counts. A loop's body meets itself again on the next trip, so it starts with a barrier, and so does the
//! code behind it; a branch is left with what either part may have touched.

use pipewright_abi::hazard::Hazards;
use pipewright_abi::kernel::{Kernel, access_mode, node_kind, region_flag};
use pipewright_abi::plan::{Anchor, group_flag};
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, PipeId, RegionId, register_pass};

struct BarrierAll;

impl Pass for BarrierAll {
    const NAME: &'static str = "barrier-all";

    fn info() -> PassInfo {
        PassInfo::new("a full barrier before each instruction that conflicts with an earlier one")
            .reads(&["kernel", "hazards"])
            .writes(&["sync-groups", "barriers"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let (kernel, hazards, target) = (cx.kernel(), cx.hazards()?, cx.target());
        if !kernel.wants_sync() {
            return Ok(());
        }
        let all =
            target.all_pipes().ok_or_else(|| PassError::new("the target has no barrier of all pipes"))?;
        let mut pending = Pending::default();
        // For each open branch: what was pending at its start, and at the end of its then part.
        let mut branches: Vec<(Pending, Pending)> = Vec::new();
        for node in kernel.node_ids() {
            let record = kernel.node(node);
            match record.kind {
                node_kind::INSTRUCTION => {
                    if pending.conflicts(&kernel, &hazards, node, target.is_scalar(record.pipe)) {
                        cx.add_barrier(all, Anchor::before(node), NodeId::NONE, 0)?;
                        pending = Pending::default();
                    }
                    pending.add(&kernel, node);
                }
                // After a loop-begin is the start of every trip; after a loop-end is behind the loop.
                node_kind::LOOP_BEGIN | node_kind::LOOP_END => {
                    cx.add_barrier(all, Anchor::after(node), NodeId::NONE, 0)?;
                    pending = Pending::default();
                }
                node_kind::IF_BEGIN => branches.push((pending.clone(), Pending::default())),
                node_kind::ELSE_BEGIN => {
                    if let Some((start, then_end)) = branches.last_mut() {
                        *then_end = core::mem::replace(&mut pending, start.clone());
                    }
                }
                node_kind::IF_END => {
                    if let Some((_, then_end)) = branches.pop() {
                        pending.merge(then_end);
                    }
                }
                _ => {}
            }
        }
        // Everything must have finished when the kernel returns.
        let last = NodeId::from_index(kernel.nodes.len() - 1);
        cx.add_barrier(all, Anchor::after(last), NodeId::NONE, group_flag::TAIL)?;
        Ok(())
    }
}

/// What was touched since the last barrier: region, mode, and the pipe that did it.
#[derive(Clone, Default)]
struct Pending {
    touched: Vec<(RegionId, u32, PipeId)>,
}

impl Pending {
    fn add(&mut self, kernel: &Kernel<'_>, node: NodeId) {
        let pipe = kernel.node(node).pipe;
        for access in kernel.accesses(node) {
            if !self.touched.contains(&(access.region, access.mode, pipe)) {
                self.touched.push((access.region, access.mode, pipe));
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for touched in other.touched {
            if !self.touched.contains(&touched) {
                self.touched.push(touched);
            }
        }
    }

    /// Whether the instruction must wait for something pending. Scalar instructions run in program order among
    /// themselves.
    fn conflicts(&self, kernel: &Kernel<'_>, hazards: &Hazards<'_>, node: NodeId, scalar: bool) -> bool {
        let own = kernel.node(node).pipe;
        kernel.accesses(node).iter().any(|access| {
            let accumulator = kernel.region(access.region).flags & region_flag::ACCUMULATOR != 0;
            self.touched.iter().any(|&(region, mode, pipe)| {
                let write = (mode | access.mode) & access_mode::WRITE != 0;
                let conflict = write || (accumulator && pipe != own);
                conflict && !(scalar && pipe == own) && hazards.overlap(access.region, region)
            })
        })
    }
}

register_pass!(BarrierAll);
