//! What earlier scans proved: conflicts that a later instruction need not look at again.
//!
//! After the scan of an instruction x of pipe P, every conflicting instruction before it is covered: in the scan its
//! pipe was known to be finished. A later instruction y of the same pipe that meets x on its way back knows, from
//! there on down, all that x knew, since it passes the waits of x. So:
//!
//! * If the part that x stands in also holds y (x is on y's straight path), all that was covered for x is for y.
//! * If x stands in loops that y does not stand in (and in no such branch), the waits of x are still passed, and what
//!   was *seen* leaves a loop, but what was known to be *finished* does not. What lies inside x's own loop body
//!   before x is covered. What lies before that body is, provided that y knows as many pipes to be finished, where it
//!   gets to the outermost of these loops, as x did at the loops' begins.
//! * Nothing leaves a branch. A barrier that x needed because of code before a loop does not leave the loop either:
//!   other than a wait it is not *seen*. Of conflicts with x's own pipe nothing is known before that loop, then.
//!
//! The same holds for the scans round one loop, as long as x and y stand in it. A fact says this of one list of
//! conflicting instructions and one pipe P, which together are a slot.

use pipewright_abi::NodeId;
use pipewright_abi::parts::{PartIndex, PartKind, Parts};

use crate::waits::Pipes;

/// A scan that was made.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// The last instruction of its slot in `part`.
    at: u32,
    /// The part it stands in.
    part: PartIndex,
    /// For each loop around it, within the innermost branch around it, outer first: the pipes known to be finished
    /// at the loop's begin.
    pub(crate) finished: Vec<Pipes>,
}

/// What a fact means for a later instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cover {
    /// Instructions below this node and above `above` are covered.
    pub(crate) below: u32,
    /// See `below`; those not above it are covered only if `holds`.
    pub(crate) above: u32,
    /// Pipes that must be known to be finished ...
    pub(crate) needs: Pipes,
    /// ... before the scan gets down to this node.
    pub(crate) until: u32,
    /// Whether they were.
    pub(crate) holds: bool,
    /// How many of the loops of the fact the later instruction stands in, too.
    pub(crate) shared_loops: usize,
}

impl Cover {
    /// Everything strictly between two nodes.
    pub(crate) fn between(above: u32, below: u32) -> Self {
        Self { below, above, needs: 0, until: u32::MAX, holds: false, shared_loops: 0 }
    }
}

/// Facts by slot.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    by_slot: Vec<Vec<Fact>>,
    /// For facts about the scans round one loop: that loop, by slot.
    round: Vec<u32>,
}

/// More facts than this of one slot are not worth keeping.
const MOST: usize = 8;

impl Facts {
    pub(crate) fn new(slots: usize) -> Self {
        Self { by_slot: vec![Vec::new(); slots], round: vec![u32::MAX; slots] }
    }

    /// Forgets the facts of a slot unless they are about the loop that ends at `round`.
    pub(crate) fn turn_to(&mut self, slot: u32, round: u32) {
        let known = &mut self.round[slot as usize];
        if *known != round {
            *known = round;
            self.by_slot[slot as usize].clear();
        }
    }

    /// Whether everything below `last` is covered for an instruction of `part`, as told by the newest fact alone.
    pub(crate) fn covers_up_to(&self, slot: u32, part: PartIndex, last: u32) -> bool {
        self.by_slot[slot as usize].last().is_some_and(|f| f.part == part && last < f.at)
    }

    /// Whether the newest fact is of `part`.
    pub(crate) fn is_of(&self, slot: u32, part: PartIndex) -> bool {
        self.by_slot[slot as usize].last().is_some_and(|f| f.part == part)
    }

    /// What the facts of a slot mean for the instruction `now`. With `leaves_loops`, facts inside loops count outside.
    pub(crate) fn covers<'f>(
        &'f self,
        parts: &'f Parts,
        slot: u32,
        now: u32,
        leaves_loops: bool,
    ) -> impl Iterator<Item = (&'f Fact, Cover)> {
        let facts = self.by_slot[slot as usize].iter().rev();
        facts.filter_map(move |f| Some((f, f.cover(parts, now, leaves_loops)?)))
    }

    /// Adds the fact that `now`, of `part`, was scanned. `finished` is as in [`Fact`].
    pub(crate) fn add(&mut self, parts: &Parts, slot: u32, now: u32, part: PartIndex, finished: &[Pipes]) {
        let facts = &mut self.by_slot[slot as usize];
        if let [only] = &mut facts[..]
            && only.part == part
        {
            only.at = now;
            return;
        }
        let mut new = Fact { at: now, part, finished: finished.to_vec() };
        facts.retain(|old| {
            if old.part == part {
                // Its younger brother has more in the body; what it says of the code before the body stays true.
                new.finished.clone_from(&old.finished);
                return false;
            }
            let Some(cover) = old.cover(parts, now, true) else { return false };
            if cover.shared_loops == old.finished.len() {
                return true;
            }
            let common = &old.finished[..old.finished.len().min(new.finished.len())];
            if parts.contains(part, parts.part(old.part).begin) {
                // It stands in a loop inside the part of the new one.
                if common.len() == new.finished.len() && is_weaker(common, &new.finished) {
                    new.finished = common.to_vec();
                }
                return false;
            }
            let levels = common.len().min(cover.shared_loops + 1);
            !is_weaker(&new.finished[..levels], &common[..levels])
        });
        if facts.len() == MOST {
            facts.remove(0);
        }
        facts.push(new);
    }

    /// Changes the last instruction of the newest fact, which is of the same part.
    pub(crate) fn renew(&mut self, slot: u32, now: u32) {
        if let Some(newest) = self.by_slot[slot as usize].last_mut() {
            newest.at = now;
        }
    }
}

/// Whether `a` asks for no more than `b`, loop by loop.
fn is_weaker(a: &[Pipes], b: &[Pipes]) -> bool {
    a.iter().zip(b).all(|(a, b)| a & !b == 0)
}

impl Fact {
    /// What it means for the later instruction `now`: nothing if a branch that it stands in was left.
    fn cover(&self, parts: &Parts, now: u32, leaves_loops: bool) -> Option<Cover> {
        let now = NodeId(now);
        let (mut part, mut left) = (self.part, 0);
        let mut until = 0;
        while !parts.contains(part, now) {
            let of = parts.part(part);
            if of.kind != PartKind::Loop || !leaves_loops {
                return None;
            }
            (until, part, left) = (of.begin.0, of.parent, left + 1);
        }
        let shared_loops = self.finished.len().checked_sub(left)?;
        let (above, needs) =
            if left == 0 { (0, 0) } else { (parts.part(self.part).begin.0, self.finished[shared_loops]) };
        let holds = needs == 0;
        Some(Cover { below: self.at, above, needs, until, holds, shared_loops })
    }
}
