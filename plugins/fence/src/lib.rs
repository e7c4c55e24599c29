//! Puts barriers of all pipes where pairs cannot order what must be in order.
//!
//! * Before and after each operation that runs on no pipe but touches memory that some instruction touches as well, one of
//!   the two writing: scalar access to global memory, collectives. Passes that synchronize pipes do not see them.
//! * Before and after each call of a function, which may touch memory that it is not given.
//! * Before each operation that signals another core: what it announces must be there.
//! * At the start of each trip of a `while` loop, and behind it: its head runs once more than its body, which passes that
//!   take the two for one body do not know.
//! * Before the return of a function of one instruction, which other passes leave alone.
//!
//! What must hold afterwards: between an instruction and a bystander that conflict, or a call, between an instruction and a signal
//! behind it, and between two trips of a `while` loop and what comes behind it, there is a barrier on every path. Time:
//! linear in the accesses and the overlaps of their regions.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_abi::kernel::{Access, Call, Kernel, access_mode, kernel_flag, node_flag, node_kind};
use pipewright_abi::plan::{Anchor, group_flag};
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
        if kernel.flags() & kernel_flag::EXPLICIT_SYNC != 0 {
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
        for call in kernel.function_calls {
            places.insert(call.before, true);
        }
        let is_while = |&id: &NodeId| {
            let node = kernel.node(id);
            node.flags & node_flag::WHILE != 0
                && matches!(node.kind, node_kind::LOOP_BEGIN | node_kind::LOOP_END)
        };
        let mut anchors: Vec<(Anchor, u32)> =
            kernel.node_ids().filter(is_while).map(|node| (Anchor::after(node), 0)).collect();
        for (next, follows) in places {
            let last = next.index().checked_sub(1).map(NodeId::from_index);
            anchors.extend(last.map(|last| (Anchor::after(last), 0)));
            if follows && next.index() < kernel.nodes.len() {
                anchors.push((Anchor::before(next), 0));
            }
        }
        if kernel.nodes.len() == 1 {
            anchors.push((Anchor::after(NodeId(0)), group_flag::TAIL));
        }
        cx.count("barriers", anchors.len() as i64);
        for (anchor, flags) in anchors {
            cx.add_barrier(all, anchor, NodeId::NONE, flags)?;
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
    use pipewright_abi::kernel::{FunctionCall, KernelData, Phase};
    use pipewright_abi::testing::{Fixture, KernelBuilder};
    use pipewright_abi::{Range, RegionId};

    fn skeleton(k: KernelBuilder) -> String {
        fenced(k.finish()).skeleton()
    }

    fn fenced(kernel: KernelData) -> Fixture {
        let mut fixture = Fixture::new(kernel);
        // Each region overlaps itself alone.
        let regions = fixture.kernel.regions.len();
        let overlaps = (0..regions).map(|r| Overlap { region: RegionId::from_index(r), flags: 0 }).collect();
        let rows = (0..regions).map(|r| Range::new(r, r + 1)).collect();
        fixture.write_hazards(&HazardData { rows, overlaps });
        fixture.run::<Fence>(&[]).unwrap();
        fixture
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

    #[test]
    fn a_signal_waits_for_what_it_announces_and_holds_nothing_behind_it() {
        let mut k = KernelBuilder::new();
        let (tile, out, word) = (k.tile(0), k.parameter(0), k.parameter(1));
        k.instr("MTE3", &[tile], &[out]);
        k.bystander(&[], &[word]);
        k.instr("V", &[tile], &[tile]);
        let mut kernel = k.finish();
        kernel.phases = vec![Phase { kind: phase_kind::PUBLISH, ..Default::default() }];
        kernel.calls = vec![Call { op: kernel.bystanders[0].op, phases: Range::new(0, 1) }];
        assert_eq!(fenced(kernel).skeleton(), "MTE3 n0\nbar ALL\nV n1\n");
    }

    #[test]
    fn each_trip_of_a_while_loop_starts_with_a_barrier_and_so_does_what_follows() {
        let mut k = KernelBuilder::new();
        let tile = k.tile(0);
        k.repeat(|k| _ = k.instr("V", &[tile], &[tile]));
        k.instr("V", &[tile], &[tile]);
        let counted = k.finish();
        let mut kernel = counted.clone();
        kernel.nodes.iter_mut().for_each(|node| {
            if matches!(node.kind, node_kind::LOOP_BEGIN | node_kind::LOOP_END) {
                node.flags |= node_flag::WHILE;
            }
        });
        assert_eq!(fenced(kernel).skeleton(), "loop n0\n  bar ALL\n  V n1\nend n2\nbar ALL\nV n3\n");
        assert_eq!(fenced(counted).skeleton(), "loop n0\n  V n1\nend n2\nV n3\n");
    }

    #[test]
    fn a_call_has_barriers_on_both_sides_whatever_it_is_given() {
        let mut k = KernelBuilder::new();
        let tile = k.tile(0);
        k.instr("V", &[tile], &[tile]);
        k.instr("V", &[tile], &[tile]);
        let mut kernel = k.finish();
        kernel.function_calls = vec![FunctionCall { before: NodeId(1), ..Default::default() }];
        assert_eq!(fenced(kernel).skeleton(), "V n0\nbar ALL\nbar ALL\nV n1\n");
    }

    #[test]
    fn one_instruction_is_waited_for_and_flags_of_the_source_are_left_alone() {
        let store = || {
            let mut k = KernelBuilder::new();
            let (tile, out) = (k.tile(0), k.parameter(0));
            k.instr("MTE3", &[tile], &[out]);
            k.bystander(&[out], &[]);
            k
        };
        let fixture = fenced(store().finish());
        assert_eq!(fixture.skeleton(), "MTE3 n0\nbar ALL\nbar ALL (tail)\n");
        assert_eq!(fixture.statistic("barriers"), 2);
        let mut explicit = store();
        explicit.explicit_sync();
        assert_eq!(skeleton(explicit), "MTE3 n0\n");
    }
}
