//! Widening: a pair without id reuses the flag of an earlier pair of the same buffers that is still up.

use std::collections::{BTreeSet, HashMap};

use pipewright_abi::kernel::Kernel;
use pipewright_abi::parts::{PartIndex, PartKind, Parts};
use pipewright_abi::plan::{NO_EVENT, SyncPlan};
use pipewright_abi::{GroupId, NodeId, RootId};

use crate::{Allocation, Key};

/// Pairs whose flags can stand for each other: same key and buffers, sets in the same loop body. Branches do not
/// count, as in the reference.
type Family<'p> = (Key, &'p [RootId], PartIndex);

impl Allocation {
    /// Treats all pairs without id, in the order of their sets. Returns the keys of those that find no flag to reuse
    /// (without `allowed`: of all).
    ///
    /// A carried pair never finds one: its set stands behind its wait. For a forward pair the flag must be up at its
    /// set, that is, the other pair's set before and its wait not before; the nearest such set wins, at one node the
    /// first in the list. Sets are visited in order, so a family keeps its sets that were passed, and one whose wait
    /// was passed as well can be dropped for good.
    pub(crate) fn widen(&mut self, kernel: &Kernel<'_>, plan: &SyncPlan, allowed: bool) -> BTreeSet<Key> {
        let parts = Parts::new(kernel);
        let mut passed: HashMap<Family<'_>, Vec<(NodeId, GroupId)>> = HashMap::new();
        let mut failed = BTreeSet::new();
        for node in kernel.node_ids() {
            if self.sets[node.index()].is_empty() {
                continue;
            }
            let body = parts.enclosing(parts.of(node), |kind| kind == PartKind::Loop);
            for id in self.sets[node.index()].clone() {
                let Some(pair) = self.pairs[id.index()].filter(|p| p.event_id == NO_EVENT && !p.given_up)
                else {
                    continue;
                };
                let family = (pair.key, plan.group_roots(id), body);
                let candidates = passed.get_mut(&family).filter(|_| allowed && pair.carrier.is_none());
                match candidates.and_then(|c| self.nearest_up(c, node)) {
                    Some(other) => self.stand_for(other, id, node),
                    None => _ = failed.insert(pair.key),
                }
            }
            for &id in &self.sets[node.index()] {
                let roots = plan.group_roots(id);
                let Some(pair) = &self.pairs[id.index()] else { continue };
                let can_stand = pair.event_id != NO_EVENT && !pair.given_up && pair.carrier.is_none();
                if can_stand && !roots.is_empty() {
                    passed.entry((pair.key, roots, body)).or_default().push((node, id));
                }
            }
        }
        failed
    }

    /// Takes from `passed` (ascending by node, at one node in list order) the nearest set whose flag is up at `node`.
    fn nearest_up(&self, passed: &mut Vec<(NodeId, GroupId)>, node: NodeId) -> Option<GroupId> {
        let is_down = |id: GroupId| self.pairs[id.index()].is_none_or(|p| p.wait_at < node);
        while passed.pop_if(|&mut (_, id)| is_down(id)).is_some() {}
        let &(nearest, _) = passed.last()?;
        let from = passed.partition_point(|&(at, _)| at < nearest);
        let first = passed[from..].iter().position(|&(_, id)| !is_down(id))?;
        Some(passed.remove(from + first).1)
    }

    /// The pair `other` stands for the pair `id`, whose set stands after `node`.
    fn stand_for(&mut self, other: GroupId, id: GroupId, node: NodeId) {
        if let Some(pair) = &mut self.pairs[id.index()] {
            pair.given_up = true;
        }
        if let Some(pair) = &mut self.pairs[other.index()] {
            self.sets[pair.set_at.index()].retain(|&g| g != other);
            (pair.set_at, pair.moved) = (node, true);
            self.sets[node.index()].push(other);
            if !self.at_loops.is_empty() {
                self.moved_late.push(other);
            }
        }
    }
}
