//! Which instructions never meet in one buffer, though both may touch it: tiles that a loop hands on in turn.
//!
//! An access through argument a of a loop meets an access through argument b of the same loop d trips earlier if b is what a becomes
//! when it is handed on d times. So of two instructions it can be told whether they conflict within one trip, or from one trip to the
//! next. Where they do not, the later one need not wait for the earlier one itself: it is enough if everything in front of it is
//! finished, which holds all its executions in earlier trips. The set of such a pair stands *before* its instruction. There it
//! does not wait for what the instruction waits for, and the instruction still works while the other one begins.
//!
//! What must hold for that: the earlier instruction stands in the same straight piece of code as the set will, and for a pair
//! round the loop that is the body of the very loop that hands the tiles on, where it runs once a trip.

use pipewright_abi::NodeId;
use pipewright_abi::hazard::Hazards;
use pipewright_abi::kernel::{Kernel, Rotation, access_mode, region_flag};
use pipewright_abi::parts::Parts;
use pipewright_abi::plan::Anchor;

/// Answers for one kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns<'p> {
    kernel: Kernel<'p>,
    hazards: Hazards<'p>,
    heeded: bool,
}

impl<'p> Turns<'p> {
    /// With `heeded` false nothing is known.
    pub(crate) fn new(kernel: Kernel<'p>, hazards: Hazards<'p>, heeded: bool) -> Self {
        Self { kernel, hazards, heeded }
    }

    /// Whether the instruction touches tiles that a loop hands on in turn.
    pub(crate) fn takes_turns(&self, node: u32) -> bool {
        let accesses = self.kernel.node(NodeId(node)).accesses;
        self.heeded && !self.of(accesses.indices().start, accesses.indices().end).is_empty()
    }

    /// Whether `now` need not wait for `earlier` itself but for what stands in front of it: within one trip, or from one trip of
    /// the loop that begins at `round` to the next.
    pub(crate) fn is_early(&self, parts: &Parts, now: u32, earlier: u32, round: Option<u32>) -> bool {
        let (now, earlier) = (NodeId(now), NodeId(earlier));
        let part = parts.of(earlier);
        let is_straight = match round {
            Some(begin) => part == parts.at(Anchor::after(NodeId(begin))),
            None => earlier < now && parts.contains(part, now),
        };
        // The statements of a call that several pipes work for stand around all of it.
        let is_one = self.kernel.call(earlier) == (earlier, earlier) && self.kernel.call(now) == (now, now);
        self.heeded && is_straight && is_one && self.are_apart(now, earlier, round)
    }

    fn are_apart(&self, now: NodeId, earlier: NodeId, round: Option<u32>) -> bool {
        let crosses_pipes = self.kernel.node(now).pipe != self.kernel.node(earlier).pipe;
        let (xs, ys) = (self.kernel.node(now).accesses, self.kernel.node(earlier).accesses);
        xs.indices().all(|x| {
            ys.indices().all(|y| {
                let (a, b) = (self.kernel.accesses[x], self.kernel.accesses[y]);
                let accumulator = self.kernel.region(a.region).flags & region_flag::ACCUMULATOR != 0;
                let conflict = |modes: u32| modes & access_mode::WRITE != 0 || (crosses_pipes && accumulator);
                !conflict(a.mode | b.mode)
                    || !self.hazards.overlap(a.region, b.region)
                    || self.apart(x, y, round, conflict)
            })
        })
    }

    /// Whether two accesses to overlapping memory happen through arguments that stand for different tiles.
    fn apart(&self, x: usize, y: usize, round: Option<u32>, conflict: impl Fn(u32) -> bool) -> bool {
        let (of_x, of_y) = (self.of(x, x + 1), self.of(y, y + 1));
        !of_x.is_empty()
            && !of_y.is_empty()
            && of_x.iter().all(|a| {
                of_y.iter().all(|b| {
                    let same_loop =
                        a.loop_begin == b.loop_begin && round.is_none_or(|begin| a.loop_begin.0 == begin);
                    let met = if round.is_some() { a.source } else { a.argument };
                    !conflict(a.mode | b.mode) || (same_loop && a.slot == b.slot && b.argument != met)
                })
            })
    }

    fn of(&self, from: usize, to: usize) -> &'p [Rotation] {
        let all = self.kernel.rotations;
        let below = |access: usize| all.partition_point(|r| (r.access as usize) < access);
        &all[below(from)..below(to)]
    }
}

/// How the instruction that is scanned now looks at others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'s> {
    turns: &'s Turns<'s>,
    parts: &'s Parts,
    now: u32,
    /// The begin of the loop that is looked round.
    round: Option<u32>,
    takes_turns: bool,
}

impl<'s> View<'s> {
    pub(crate) fn new(turns: &'s Turns<'s>, parts: &'s Parts, now: u32, round: Option<u32>) -> Self {
        Self { turns, parts, now, round, takes_turns: turns.takes_turns(now) }
    }

    /// Whether it touches tiles that a loop hands on in turn.
    pub(crate) fn takes_turns(&self) -> bool {
        self.takes_turns
    }

    /// The position from which on back an instruction that it conflicts with must be finished.
    pub(crate) fn position(&self, other: u32) -> u32 {
        let early = self.takes_turns && self.turns.is_early(self.parts, self.now, other, self.round);
        2 * other + u32::from(!early)
    }

    /// Whether the scan round the loop inside, which holds both, left open that the other is finished when that loop is entered
    /// again: all but its last execution was.
    pub(crate) fn is_left_over(&self, other: u32, inner_begin: u32) -> bool {
        self.takes_turns && self.turns.is_early(self.parts, self.now, other, Some(inner_begin))
    }
}
