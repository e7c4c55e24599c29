//! Moves waits before, and sets behind, the branches and loops that do not hold their partner.
//!
//! So a wait or set that would run on one path only, or once an iteration, while its partner runs once, becomes
//! unconditional and single: the tokens balance. What must hold afterwards: both ends of a pair stand in the same
//! straight piece of code, and those of a carried pair inside its loop. Barriers do not move.
//!
//! Branches are treated first, outer before inner, then loops, inner before outer. The order within lists is the
//! reference's: moved waits stand in order of moving; moved sets of later nodes stand before those of earlier ones;
//! the sets that stay with a node are reversed by each visit.
//!
//! Time: linear in nodes and entries times the depth of nesting. Only lists that change are edited.

use pipewright_abi::kernel::{Kernel, node_kind};
use pipewright_abi::plan::{Anchor, Entry, Position, Role, Side, SyncPlan};
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, register_pass};

/// The pass.
#[derive(Debug)]
pub struct SyncMotion;

register_pass!(SyncMotion);

impl Pass for SyncMotion {
    const NAME: &'static str = "sync-motion";

    fn info() -> PassInfo {
        PassInfo::new("Moves waits before, and sets behind, constructs that do not hold their partner")
            .reads(&["kernel", "sync-groups"])
            .writes(&["sync-groups", "list-order"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let kernel = cx.kernel();
        let mut lists = Lists::new(cx.plan());
        lists.leave_branches(&kernel);
        lists.leave_loops(&kernel);
        cx.count("moved ends", lists.moved);
        for node in kernel.node_ids() {
            lists.rearrange(cx, Anchor::before(node))?;
            lists.rearrange(cx, Anchor::after(node))?;
        }
        Ok(())
    }
}

/// The lists of all nodes, and where the ends of each pair stand.
struct Lists {
    before: Vec<Vec<Entry>>,
    after: Vec<Vec<Entry>>,
    set_at: Vec<NodeId>,
    wait_at: Vec<NodeId>,
    carrier: Vec<NodeId>,
    moved: i64,
}

impl Lists {
    fn new(plan: &SyncPlan) -> Self {
        let nodes = || (0..plan.node_count()).map(NodeId::from_index);
        let groups = plan.groups().len();
        let at = |role| {
            let place = |g| plan.place(pipewright_abi::GroupId::from_index(g), role);
            (0..groups).map(|g| place(g).map_or(NodeId::NONE, |anchor| anchor.node)).collect()
        };
        Self {
            before: nodes().map(|n| plan.before(n).to_vec()).collect(),
            after: nodes().map(|n| plan.after(n).to_vec()).collect(),
            set_at: at(Role::Set),
            wait_at: at(Role::Wait),
            carrier: plan.groups().iter().map(|g| g.carrier).collect(),
            moved: 0,
        }
    }

    fn leave_branches(&mut self, kernel: &Kernel<'_>) {
        for (begin, node) in kernel.node_ids().zip(kernel.nodes) {
            if node.kind == node_kind::IF_BEGIN {
                let mut sets = Vec::new();
                for (lo, hi) in [(begin, node.middle), (node.middle, node.end)] {
                    let outside = |at: NodeId| at <= lo || at >= hi;
                    for i in lo.index() + 1..hi.index() {
                        self.leave(i, begin, node.end, NodeId::NONE, outside, &mut sets);
                    }
                }
                self.put_in_front(node.end, sets);
            }
        }
    }

    fn leave_loops(&mut self, kernel: &Kernel<'_>) {
        for (end, node) in kernel.node_ids().zip(kernel.nodes) {
            if node.kind == node_kind::LOOP_END {
                let mut sets = Vec::new();
                let outside = |at: NodeId| at < node.begin || at > end;
                for i in node.begin.index() + 1..end.index() {
                    self.leave(i, node.begin, end, end, outside, &mut sets);
                }
                self.put_in_front(end, sets);
            }
        }
    }

    /// Moves the entries of node `i` whose partner stands `outside` to the ends of the construct; moved sets go to
    /// `sets`, each before those that are there (which therefore holds them back to front). Pairs carried by
    /// `carrier` stay.
    fn leave(
        &mut self,
        i: usize,
        begin: NodeId,
        end: NodeId,
        carrier: NodeId,
        outside: impl Fn(NodeId) -> bool,
        sets: &mut Vec<Entry>,
    ) {
        let Self { before, after, set_at, wait_at, carrier: carriers, moved } = self;
        let leaves = |entry: &Entry, role: Role, partner_at: &[NodeId]| {
            let g = entry.group.index();
            let carried = carrier.is_some() && carriers[g] == carrier;
            entry.role == role && !carried && outside(partner_at[g])
        };
        if before[i].iter().any(|y| leaves(y, Role::Wait, set_at)) {
            let (gone, kept): (Vec<_>, Vec<_>) =
                before[i].iter().partition(|y| leaves(y, Role::Wait, set_at));
            before[i] = kept;
            *moved += gone.len() as i64;
            gone.iter().for_each(|y: &Entry| wait_at[y.group.index()] = begin);
            before[begin.index()].extend(gone);
        }
        if !after[i].is_empty() {
            let reversed = after[i].iter().rev();
            let (gone, kept): (Vec<_>, Vec<_>) = reversed.partition(|y| leaves(y, Role::Set, wait_at));
            after[i] = kept;
            *moved += gone.len() as i64;
            gone.iter().for_each(|y: &Entry| set_at[y.group.index()] = end);
            sets.extend(gone);
        }
    }

    /// Makes the plan's list at `anchor` equal to the one here, but for entries that leave it: those are placed when
    /// their new anchor's turn comes. What already stands in the right order at the front is left alone.
    fn rearrange(&self, cx: &mut PassContext<'_>, anchor: Anchor) -> Result<(), PassError> {
        let wanted = match anchor.side {
            Side::Before => &self.before[anchor.node.index()],
            Side::After => &self.after[anchor.node.index()],
        };
        let stays = |y: &&Entry| match y.role {
            Role::Set => self.set_at[y.group.index()] == anchor.node,
            Role::Wait => self.wait_at[y.group.index()] == anchor.node,
            Role::Barrier => true,
        };
        let staying = cx.plan().at(anchor).iter().filter(stays);
        let kept = staying.zip(wanted).take_while(|(a, b)| a == b).count();
        for entry in &wanted[kept..] {
            cx.place(entry.group, entry.role, anchor, Position::Back)?;
        }
        Ok(())
    }

    fn put_in_front(&mut self, end: NodeId, sets: Vec<Entry>) {
        if !sets.is_empty() {
            let list = &mut self.after[end.index()];
            *list = sets.into_iter().rev().chain(list.drain(..)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipewright_abi::testing::{Fixture, KernelBuilder};

    fn order(fixture: &Fixture, anchor: Anchor) -> Vec<u32> {
        fixture.plan.at(anchor).iter().map(|y| y.group.0).collect()
    }

    #[test]
    fn ends_leave_a_branch_that_does_not_hold_their_partner() {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        let load = k.instr("MTE2", &[], &[t]);
        let mut inside = NodeId::NONE;
        let end = k.branch(|k| inside = k.instr("V", &[t], &[t]), |_| {});
        let store = k.instr("MTE3", &[t], &[]);
        let mut fixture = Fixture::new(k.finish());
        fixture.pair("MTE2", "V", load, inside);
        fixture.pair("V", "MTE3", inside, store);
        fixture.barrier("V", inside);
        fixture.run::<SyncMotion>(&[]).unwrap();
        let begin = fixture.kernel.nodes[end.index()].begin;
        assert_eq!(order(&fixture, Anchor::before(begin)), [0]);
        assert_eq!(order(&fixture, Anchor::before(inside)), [2]);
        assert_eq!(order(&fixture, Anchor::after(end)), [1]);
        assert_eq!(fixture.statistic("moved ends"), 2);
    }

    #[test]
    fn ends_leave_all_loops_up_to_their_carrier() {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        let (mut a, mut b, mut inner) = (NodeId::NONE, NodeId::NONE, NodeId::NONE);
        let outer = k.repeat(|k| {
            a = k.instr("MTE2", &[], &[t]);
            inner = k.repeat(|k| b = k.instr("V", &[t], &[t]));
        });
        let mut fixture = Fixture::new(k.finish());
        fixture.pair("MTE2", "V", a, b);
        fixture.carried_pair("V", "MTE2", b, a, outer);
        fixture.run::<SyncMotion>(&[]).unwrap();
        let begin = fixture.kernel.nodes[inner.index()].begin;
        assert_eq!(order(&fixture, Anchor::before(begin)), [0]);
        assert_eq!(order(&fixture, Anchor::after(inner)), [1]);
        assert_eq!(order(&fixture, Anchor::before(a)), [1]);
    }

    #[test]
    fn a_pair_within_one_iteration_stays_inside() {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        let (mut a, mut b) = (NodeId::NONE, NodeId::NONE);
        k.repeat(|k| {
            a = k.instr("MTE2", &[], &[t]);
            b = k.instr("V", &[t], &[t]);
        });
        let mut fixture = Fixture::new(k.finish());
        fixture.pair("MTE2", "V", a, b);
        let before = fixture.plan.clone();
        fixture.run::<SyncMotion>(&[]).unwrap();
        assert_eq!(fixture.plan, before);
    }

    #[test]
    fn sets_of_later_nodes_come_first_and_those_that_stay_are_reversed() {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        let (mut a, mut b, mut c) = (NodeId::NONE, NodeId::NONE, NodeId::NONE);
        let end = k.repeat(|k| {
            a = k.instr("MTE2", &[], &[t]);
            b = k.instr("MTE2", &[], &[t]);
            c = k.instr("V", &[t], &[t]);
        });
        let last = k.instr("MTE3", &[t], &[]);
        let mut fixture = Fixture::new(k.finish());
        fixture.pair("MTE2", "MTE3", a, last); // 0
        fixture.pair("MTE2", "V", a, c); // 1
        fixture.pair("MTE2", "MTE3", a, last); // 2
        fixture.pair("MTE2", "V", a, c); // 3
        fixture.pair("MTE2", "MTE3", b, last); // 4
        fixture.run::<SyncMotion>(&[]).unwrap();
        assert_eq!(order(&fixture, Anchor::after(end)), [4, 0, 2]);
        assert_eq!(order(&fixture, Anchor::after(a)), [3, 1]);
    }
}
