//! Removes set/wait pairs that another pair of the same key covers.
//!
//! A pair is covered if on the straight path from its set to its wait (for a carried pair: to the end of its loop,
//! then from the loop's begin) another whole pair of its key is met, set first. Bodies of loops passed on the way do
//! not count; a branch passed on the way counts if both its parts hold such a pair. A flag orders whole pipes, so
//! the buffers do not matter.
//!
//! Pairs are tried one after the other, carried before forward, later carriers and younger groups first; each
//! decision sees the removals before it. So of equal pairs the oldest stays, and of carried pairs nested in one
//! another round the back edge only the innermost stay.
//!
//! Time: for each pair the logarithm of the number of pairs, to find whether some pair could cover it at all; only
//! if so, the waits of its key on its path.

mod index;
mod search;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use index::{Ends, Index};
use pipewright_abi::kernel::{Kernel, kernel_flag};
use pipewright_abi::parts::Parts;
use pipewright_abi::plan::{Role, SyncPlan};
use pipewright_abi::{GroupId, NodeId, Pass, PassContext, PassError, PassInfo, PipeId, register_pass};

/// The pass.
#[derive(Debug)]
pub struct RedundancyRemoval;

register_pass!(RedundancyRemoval);

impl Pass for RedundancyRemoval {
    const NAME: &'static str = "redundancy-removal";

    fn info() -> PassInfo {
        PassInfo::new("Removes set/wait pairs that other pairs cover")
            .reads(&["kernel", "sync-groups"])
            .writes(&["sync-groups"])
            .option("skip-irregular", true, "leave functions with a gather or scatter alone")
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let kernel = cx.kernel();
        if cx.flag("skip-irregular") && kernel.flags() & kernel_flag::IRREGULAR != 0 {
            let message = "redundant pairs are kept, because the function has a gather or scatter";
            cx.remark(NodeId::NONE, format!("{message} (skip-irregular = true)"));
            return Ok(());
        }
        let removed = covered_pairs(&kernel, cx.plan());
        cx.count("removed pairs", removed.len() as i64);
        removed.into_iter().try_for_each(|id| cx.remove(id))
    }
}

/// The pairs that go, in the order in which they go.
fn covered_pairs(kernel: &Kernel<'_>, plan: &SyncPlan) -> Vec<GroupId> {
    let parts = Parts::new(kernel);
    let mut by_key: BTreeMap<(PipeId, PipeId), Vec<Ends>> = BTreeMap::new();
    let mut pairs = Vec::new();
    for id in plan.live_groups().filter(|&g| plan.group(g).is_pair()) {
        if let (Some(set), Some(wait)) = (plan.place(id, Role::Set), plan.place(id, Role::Wait)) {
            let group = plan.group(id);
            let ends = Ends { id, set: set.node_in_front(), wait: wait.node, carrier: group.carrier };
            by_key.entry(group.key()).or_default().push(ends);
            pairs.push((group.key(), ends));
        }
    }
    let mut indexes: BTreeMap<_, _> = by_key.into_iter().map(|(key, ends)| (key, Index::new(ends))).collect();
    pairs.sort_by_key(|(_, ends)| (Reverse(ends.carrier.get()), Reverse(ends.id)));
    let mut removed = Vec::new();
    for (key, ends) in pairs {
        let Some(index) = indexes.get_mut(&key) else { continue };
        if index.might_cover(kernel, &ends) && search::covers(kernel, &parts, index, &ends) {
            index.remove(&ends);
            removed.push(ends.id);
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipewright_abi::testing::{Fixture, KernelBuilder};

    fn nodes(k: &mut KernelBuilder, count: usize) -> Vec<NodeId> {
        let t = k.tile(0);
        (0..count).map(|_| k.instr("V", &[], &[t])).collect()
    }

    fn left(mut fixture: Fixture) -> Vec<u32> {
        fixture.run::<RedundancyRemoval>(&[]).unwrap();
        fixture.plan.live_groups().map(|g| g.0).collect()
    }

    #[test]
    fn a_pair_around_another_of_its_key_goes() {
        let mut k = KernelBuilder::new();
        let n = nodes(&mut k, 5);
        let mut fixture = Fixture::new(k.finish());
        fixture.pair("MTE2", "V", n[0], n[4]);
        fixture.pair("MTE2", "V", n[1], n[3]);
        fixture.pair("V", "MTE2", n[0], n[4]);
        fixture.pair("MTE2", "V", n[2], n[4]);
        assert_eq!(left(fixture), [1, 2, 3], "pairs of other keys and pairs that only overlap stay");
    }

    #[test]
    fn a_set_before_an_instruction_is_no_set_behind_it() {
        use pipewright_abi::plan::{Anchor, Edit, Entry, Position};
        let mut k = KernelBuilder::new();
        let n = nodes(&mut k, 3);
        let mut fixture = Fixture::new(k.finish());
        fixture.pair("MTE2", "V", n[1], n[2]);
        let early = fixture.pair("MTE2", "V", n[1], n[2]);
        let (entry, anchor) = (Entry { group: early, role: Role::Set }, Anchor::before(n[1]));
        fixture.edit(Edit::Place { entry, anchor, position: Position::Front });
        assert_eq!(left(fixture), [0], "the one behind covers the one in front, not the other way round");
    }

    #[test]
    fn of_equal_pairs_the_oldest_stays() {
        let mut k = KernelBuilder::new();
        let n = nodes(&mut k, 2);
        let mut fixture = Fixture::new(k.finish());
        (0..3).for_each(|_| _ = fixture.pair("MTE2", "V", n[0], n[1]));
        assert_eq!(left(fixture), [0]);
    }

    #[test]
    fn a_pair_inside_a_loop_does_not_cover_one_around_it() {
        let mut k = KernelBuilder::new();
        let first = nodes(&mut k, 1)[0];
        let mut inside = Vec::new();
        k.repeat(|k| inside = nodes(k, 2));
        let last = nodes(&mut k, 1)[0];
        let mut fixture = Fixture::new(k.finish());
        fixture.pair("MTE2", "V", first, last);
        fixture.pair("MTE2", "V", inside[0], inside[1]);
        assert_eq!(left(fixture), [0, 1]);
    }

    #[test]
    fn a_branch_covers_if_both_its_parts_do() {
        for both in [true, false] {
            let mut k = KernelBuilder::new();
            let first = nodes(&mut k, 1)[0];
            let (mut then, mut otherwise) = (Vec::new(), Vec::new());
            k.branch(|k| then = nodes(k, 2), |k| otherwise = nodes(k, 2));
            let last = nodes(&mut k, 1)[0];
            let mut fixture = Fixture::new(k.finish());
            fixture.pair("MTE2", "V", first, last);
            fixture.pair("MTE2", "V", then[0], then[1]);
            if both {
                fixture.pair("MTE2", "V", otherwise[0], otherwise[1]);
            }
            assert_eq!(left(fixture), if both { vec![1, 2] } else { vec![0, 1] });
        }
    }

    #[test]
    fn a_carried_pair_goes_if_one_lies_inside_it_round_the_back_edge() {
        let mut k = KernelBuilder::new();
        let mut n = Vec::new();
        let end = k.repeat(|k| n = nodes(k, 6));
        let mut fixture = Fixture::new(k.finish());
        fixture.carried_pair("V", "MTE2", n[4], n[1], end);
        fixture.carried_pair("V", "MTE2", n[3], n[2], end);
        fixture.carried_pair("V", "MTE2", n[5], n[3], end);
        assert_eq!(left(fixture), [0, 2], "the second goes round the first; the third overlaps it only");
    }

    #[test]
    fn a_carried_pair_goes_if_a_forward_one_lies_on_its_way() {
        let mut k = KernelBuilder::new();
        let mut n = Vec::new();
        let end = k.repeat(|k| n = nodes(k, 6));
        let mut fixture = Fixture::new(k.finish());
        fixture.carried_pair("V", "MTE2", n[5], n[2], end);
        fixture.pair("V", "MTE2", n[0], n[2]);
        assert_eq!(left(fixture), [1]);
    }

    #[test]
    fn gather_and_scatter_switch_it_off_unless_told_otherwise() {
        let build = || {
            let mut k = KernelBuilder::new();
            let n = nodes(&mut k, 2);
            k.irregular();
            let mut fixture = Fixture::new(k.finish());
            (0..2).for_each(|_| _ = fixture.pair("MTE2", "V", n[0], n[1]));
            fixture
        };
        assert_eq!(left(build()), [0, 1]);
        let mut fixture = build();
        fixture.run::<RedundancyRemoval>(&[("skip-irregular", false.into())]).unwrap();
        assert_eq!(fixture.statistic("removed pairs"), 1);
    }
}
