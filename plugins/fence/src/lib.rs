//! Puts barriers of all pipes where pairs cannot order what must be in order.
//!
//! * Before and after each operation that runs on no pipe but touches memory that some instruction touches as well, one of
//!   the two writing: scalar access to global memory, calls, collectives. Passes that synchronize pipes do not see them.
//! * Before each operation that signals another core: what it announces must be there.
//! * At the start of each trip of a `while` loop, and behind it: its head runs once more than its body, which passes that
//!   take the two for one body do not know.
//!
//! What must hold afterwards: between an instruction and a bystander that conflict, between an instruction and a signal
//! behind it, and between two trips of a `while` loop and what comes behind it, there is a barrier on every path. Time:
//! linear in the accesses and the overlaps of their regions.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_abi::kernel::{Access, Call, Kernel, access_mode, node_flag, node_kind};
use pipewright_abi::plan::Anchor;
use pipewright_abi::target::phase_kind;
use pipewright_abi::{NodeId, OpId, Pass, PassContext, PassError, PassInfo, register_pass};

/// The pass.
#[derive(Debug)]
pub struct Fence;

register_pass!(Fence);

impl Pass for Fence {
    const NAME: &'static str = "fence";

    fn info() -> PassInfo {
        PassInfo::new("Puts barriers of all pipes where pairs cannot order what must be in order")
            .reads(&["kernel", "hazards", "sync-groups"])
            .writes(&["barriers"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let (kernel, hazards, target) = (cx.kernel(), cx.hazards()?, cx.target());
        if !kernel.wants_sync() {
            return Ok(());
        }
        let all =
            target.all_pipes().ok_or_else(|| PassError::new("the target has no barrier of all pipes"))?;
        let used = modes(&kernel);
        let conflicts = |access: &Access| {
            hazards.overlapping(access.region).iter().any(|overlap| {
                let other = used[overlap.region.index()];
                other != 0 && access.mode != 0 && (other | access.mode) & access_mode::WRITE != 0
            })
        };
        let signals: BTreeSet<OpId> =
            kernel.calls.iter().filter(|call| publishes(&kernel, call)).map(|call| call.op).collect();
        // By the node behind: whether a barrier must follow too. Several between the same two nodes share their
        // barriers: the scalar unit meets them in program order.
        let mut places: BTreeMap<NodeId, bool> = BTreeMap::new();
        for bystander in kernel.bystanders {
            let shares = bystander.accesses.of(kernel.accesses).iter().any(conflicts);
            if shares || signals.contains(&bystander.op) {
                *places.entry(bystander.before).or_default() |= shares;
            }
        }
        let is_while = |&id: &NodeId| {
            let node = kernel.node(id);
            node.flags & node_flag::WHILE != 0
                && matches!(node.kind, node_kind::LOOP_BEGIN | node_kind::LOOP_END)
        };
        for node in kernel.node_ids().filter(is_while) {
            cx.add_barrier(all, Anchor::after(node), NodeId::NONE, 0)?;
        }
        cx.count("places", places.len() as i64);
        for (next, follows) in places {
            if let Some(last) = next.index().checked_sub(1) {
                cx.add_barrier(all, Anchor::after(NodeId::from_index(last)), NodeId::NONE, 0)?;
            }
            if follows && next.index() < kernel.nodes.len() {
                cx.add_barrier(all, Anchor::before(next), NodeId::NONE, 0)?;
            }
        }
        Ok(())
    }
}

/// Whether the call signals another core.
fn publishes(kernel: &Kernel<'_>, call: &Call) -> bool {
    call.phases.of(kernel.phases).iter().any(|phase| phase.kind == phase_kind::PUBLISH)
}

/// For each region how instructions access it.
fn modes(kernel: &Kernel<'_>) -> Vec<u32> {
    let mut modes = vec![0; kernel.regions.len()];
    for node in kernel.instructions() {
        for access in kernel.accesses(node) {
            modes[access.region.index()] |= access.mode;
        }
    }
    modes
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipewright_abi::hazard::{HazardData, Overlap};
    use pipewright_abi::testing::{Fixture, KernelBuilder};
    use pipewright_abi::{Range, RegionId};

    fn skeleton(k: KernelBuilder) -> String {
        let mut fixture = Fixture::new(k.finish());
        // Each region overlaps itself alone.
        let regions = fixture.kernel.regions.len();
        let overlaps = (0..regions).map(|r| Overlap { region: RegionId::from_index(r), flags: 0 }).collect();
        let rows = (0..regions).map(|r| Range::new(r, r + 1)).collect();
        fixture.write_hazards(&HazardData { rows, overlaps });
        fixture.run::<Fence>(&[]).unwrap();
        fixture.skeleton()
    }

    #[test]
    fn a_read_of_what_a_pipe_writes_gets_barriers_on_both_sides() {
        let mut k = KernelBuilder::new();
        let (tile, out) = (k.tile(0), k.parameter(0));
        k.instr("MTE3", &[tile], &[out]);
        k.bystander(&[out], &[]);
        k.instr("V", &[tile], &[tile]);
        assert_eq!(skeleton(k), "MTE3 n0\nbar ALL\nbar ALL\nV n1\n");
    }

    #[test]
    fn reads_alone_and_other_memory_need_none() {
        let mut k = KernelBuilder::new();
        let (tile, from, other) = (k.tile(0), k.parameter(0), k.parameter(1));
        k.instr("MTE2", &[from], &[tile]);
        k.bystander(&[from], &[]);
        k.bystander(&[], &[other]);
        k.instr("V", &[tile], &[tile]);
        assert_eq!(skeleton(k), "MTE2 n0\nV n1\n");
    }

    #[test]
    fn what_a_loop_meets_again_counts_wherever_it_stands() {
        let mut k = KernelBuilder::new();
        let (tile, out) = (k.tile(0), k.parameter(0));
        k.repeat(|k| {
            k.bystander(&[], &[out]);
            k.bystander(&[out], &[]);
            k.instr("MTE3", &[tile], &[out]);
        });
        k.instr("V", &[tile], &[tile]);
        assert_eq!(skeleton(k), "loop n0\n  bar ALL\n  bar ALL\n  MTE3 n1\nend n2\nV n3\n");
    }
}
