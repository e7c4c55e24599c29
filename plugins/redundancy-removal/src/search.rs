//! Whether a pair is covered: the walk along its straight path.
//!
//! Only waits are looked up on the way. That a wait's set was met before is told from where the set stands: directly
//! in a part that was walked, between where the walk of that part began and where it is now. A walk goes into a
//! branch only to reach its goal or to see whether both parts cover; it never goes into a loop.

use pipewright_abi::NodeId;
use pipewright_abi::kernel::{Kernel, node_kind};
use pipewright_abi::parts::{PartIndex, Parts};
use pipewright_abi::plan::Anchor;

use crate::index::{Ends, Index};

/// Whether another pair of the index covers `pair`.
pub(crate) fn covers(kernel: &Kernel<'_>, parts: &Parts, index: &Index, pair: &Ends) -> bool {
    let mut walk = Walk { kernel, parts, index, pair, walked: Vec::new() };
    if pair.set < pair.wait {
        return walk.search(pair.set, pair.wait);
    }
    let Some(end) = pair.carrier.get() else { return false };
    walk.search(pair.set, end) || walk.search(kernel.node(end).begin, pair.wait)
}

/// A piece of a part: the points after `from` to before `to`.
#[derive(Clone, Copy, Debug)]
struct Walked {
    part: PartIndex,
    from: NodeId,
    to: NodeId,
}

struct Walk<'w> {
    kernel: &'w Kernel<'w>,
    parts: &'w Parts,
    index: &'w Index,
    pair: &'w Ends,
    walked: Vec<Walked>,
}

impl Walk<'_> {
    /// Walks from after `b` to before `e`, `b < e`. What was walked stays known.
    fn search(&mut self, b: NodeId, e: NodeId) -> bool {
        let mut i = self.begin(b);
        while i < e {
            // The next point with waits, or the goal.
            let point = self.index.waits_from(i).map_or(e, |node| node.min(e));
            let part = self.part();
            let end = self.parts.part(part).end;
            if end < point {
                i = self.leave(end);
                continue;
            }
            let construct = self.parts.below(part, self.parts.at(Anchor::before(point)));
            if construct.is_none() {
                self.reach(point);
                if point == e {
                    break;
                }
                if self.waits_match(point) {
                    return true;
                }
                if point == end {
                    i = self.leave(end);
                    continue;
                }
            }
            let begin = construct.map_or(point, |c| self.parts.part(c).construct);
            let node = self.kernel.node(begin);
            self.reach(begin);
            i = match node.kind {
                node_kind::LOOP_BEGIN => self.pass(node.end),
                node_kind::IF_BEGIN if e < node.middle => self.begin(begin),
                node_kind::IF_BEGIN if e < node.end => self.begin(node.middle),
                node_kind::IF_BEGIN => {
                    let known = self.walked.len();
                    if self.search(begin, node.middle) && self.search(node.middle, node.end) {
                        return true;
                    }
                    // What was met in one part is not met on every path.
                    self.walked.truncate(known);
                    self.pass(node.end)
                }
                _ => self.pass(begin),
            };
        }
        self.reach(e);
        self.waits_match(e)
    }

    /// The part walked now.
    fn part(&self) -> PartIndex {
        self.walked.last().map_or(0, |w| w.part)
    }

    /// Walks on from the point after `node`, in whatever part that is. Returns the node to go on with.
    fn begin(&mut self, node: NodeId) -> NodeId {
        let part = self.parts.at(Anchor::after(node));
        self.walked.push(Walked { part, from: node, to: node.next() });
        node.next()
    }

    /// Leaves the part walked now by its `end`; a then part goes on behind the whole branch.
    fn leave(&mut self, end: NodeId) -> NodeId {
        self.reach(end);
        let construct_end = self.parts.part(self.part()).construct_end;
        self.begin(construct_end)
    }

    /// Walks past `node`. Returns the node to go on with.
    fn pass(&mut self, node: NodeId) -> NodeId {
        self.reach(node.next());
        node.next()
    }

    /// Walks up to the point before `node`.
    fn reach(&mut self, node: NodeId) {
        if let Some(walked) = self.walked.last_mut() {
            walked.to = walked.to.max(node);
        }
    }

    /// Whether a pair that waits at `node` was met whole.
    fn waits_match(&self, node: NodeId) -> bool {
        let met = |set: NodeId| {
            let part = self.parts.at(Anchor::after(set));
            self.walked.iter().any(|w| w.part == part && w.from <= set && set < w.to)
        };
        self.index.waits_at(node).iter().any(|y| y.id != self.pair.id && met(y.set))
    }
}
