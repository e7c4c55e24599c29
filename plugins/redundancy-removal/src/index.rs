//! The pairs of one key, indexed by where their ends stand.

use std::collections::BTreeMap;

use pipewright_abi::kernel::Kernel;
use pipewright_abi::{GroupId, NodeId};

/// Where the ends of a pair stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) id: GroupId,
    /// Node after which it sets.
    pub(crate) set: NodeId,
    /// Node before which it waits.
    pub(crate) wait: NodeId,
    /// Loop-end of the carrying loop, or none.
    pub(crate) carrier: NodeId,
}

/// The pairs of one key that were not removed.
#[derive(Debug)]
pub(crate) struct Index {
    /// All pairs, removed ones included, by set and id.
    by_set: Vec<(NodeId, GroupId)>,
    /// Waits of pairs that set before they wait, and of the others, in the order of `by_set`.
    forward: Minima,
    backward: Minima,
    /// For each node with waits the pairs that wait there, by id. Only pairs that were not removed.
    waits: BTreeMap<NodeId, Vec<Ends>>,
}

impl Index {
    pub(crate) fn new(mut pairs: Vec<Ends>) -> Self {
        pairs.sort_unstable_by_key(|p| (p.set, p.id));
        let wait_if = |goes_forward: bool| {
            let wait = |p: &Ends| if (p.set < p.wait) == goes_forward { p.wait.0 } else { u32::MAX };
            Minima::new(pairs.iter().map(wait).collect())
        };
        let (forward, backward) = (wait_if(true), wait_if(false));
        let by_set = pairs.iter().map(|p| (p.set, p.id)).collect();
        pairs.sort_unstable_by_key(|p| p.id);
        let mut waits: BTreeMap<NodeId, Vec<Ends>> = BTreeMap::new();
        pairs.into_iter().for_each(|p| waits.entry(p.wait).or_default().push(p));
        Self { by_set, forward, backward, waits }
    }

    /// Whether some other pair lies within `pair`, structure left aside: necessary for covering it.
    pub(crate) fn might_cover(&self, kernel: &Kernel<'_>, pair: &Ends) -> bool {
        let own = self.position(pair);
        let from = |set: NodeId| self.by_set.partition_point(|&(s, _)| s < set);
        let first = from(pair.set);
        let least = |minima: &Minima, first: usize| {
            let all = self.by_set.len();
            let (before, behind) =
                if own < first { (first..first, first..all) } else { (first..own, own + 1..all) };
            minima.least(before).min(minima.least(behind))
        };
        if pair.set < pair.wait {
            return least(&self.forward, first) <= pair.wait.0;
        }
        let Some(end) = pair.carrier.get() else { return false };
        let begin = kernel.node(end).begin;
        least(&self.forward, first) <= end.0
            || least(&self.forward, from(begin)) <= pair.wait.0
            || least(&self.backward, first) <= pair.wait.0
    }

    /// The first node at or behind `node` with waits.
    pub(crate) fn waits_from(&self, node: NodeId) -> Option<NodeId> {
        self.waits.range(node..).next().map(|(&node, _)| node)
    }

    /// The pairs that wait at `node`, by id.
    pub(crate) fn waits_at(&self, node: NodeId) -> &[Ends] {
        self.waits.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Removes a pair.
    pub(crate) fn remove(&mut self, pair: &Ends) {
        let position = self.position(pair);
        self.forward.set(position, u32::MAX);
        self.backward.set(position, u32::MAX);
        let Some(list) = self.waits.get_mut(&pair.wait) else { return };
        if let Ok(found) = list.binary_search_by_key(&pair.id, |p| p.id) {
            list.remove(found);
        }
        if list.is_empty() {
            self.waits.remove(&pair.wait);
        }
    }

    fn position(&self, pair: &Ends) -> usize {
        self.by_set.partition_point(|&p| p < (pair.set, pair.id))
    }
}

/// Numbers with the least of each run of them: a segment tree.
#[derive(Debug)]
struct Minima {
    leaves: usize,
    tree: Vec<u32>,
}

impl Minima {
    fn new(values: Vec<u32>) -> Self {
        let leaves = values.len();
        let mut tree = vec![u32::MAX; leaves];
        tree.extend(values);
        for i in (1..leaves).rev() {
            tree[i] = tree[2 * i].min(tree[2 * i + 1]);
        }
        Self { leaves, tree }
    }

    fn set(&mut self, position: usize, value: u32) {
        let mut i = self.leaves + position;
        self.tree[i] = value;
        while i > 1 {
            i /= 2;
            self.tree[i] = self.tree[2 * i].min(self.tree[2 * i + 1]);
        }
    }

    fn least(&self, range: std::ops::Range<usize>) -> u32 {
        let (mut lo, mut hi) = (self.leaves + range.start, self.leaves + range.end);
        let mut least = u32::MAX;
        while lo < hi {
            if lo % 2 == 1 {
                least = least.min(self.tree[lo]);
                lo += 1;
            }
            if hi % 2 == 1 {
                hi -= 1;
                least = least.min(self.tree[hi]);
            }
            (lo, hi) = (lo / 2, hi / 2);
        }
        least
    }
}
