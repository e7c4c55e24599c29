//! What earlier scans proved: conflicts that a later instruction need not look at again.
//!
//! After the scan of an instruction x of pipe P, every conflicting instruction before it is *covered*: when the scan
//! got there, its pipe was known to be finished. Let y be a later instruction of the same pipe with the same conflict.
//! On its way back y meets x or passes the constructs that hold x. From there on down it goes the way that x went, and
//! what it knows only grows with what it knew before. So what was covered for x is covered for y, if y knows as much:
//!
//! * Where x stands on y's straight path, y passes the waits of x and knows all that x knew.
//! * Inside the part that x stands in this holds as well, wherever y stands: there, too, y passes the waits of x.
//! * Behind a *loop* that holds x but not y, what was seen inside is still seen, but what was finished is not known
//!   to be. y must know those pipes to be finished that x did at the loop's begin.
//! * Behind a *branch* (or a loop, if nothing seen leaves it) nothing is still seen. y must also know the pipes to be
//!   finished whose sets x had seen by then, and those for which x needed a group outside of its part: then these
//!   sets and groups would add nothing.
//!
//! A barrier that x needed because of code outside of its part is not seen, other than a wait: of conflicts with P
//! itself only those are covered that stand before the constructs where x needed one.
//!
//! What y must know is asked for at the begin of the outermost construct that holds x but not y. Where earlier facts
//! let the scan of x pass something, what they ask for is asked for as well.
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
    /// For each part around it, outer first, the pipes that an instruction outside of it must know to be finished.
    needs: Vec<Pipes>,
    /// Outside of `part`, only what stands before this node is covered.
    reach: u32,
}

/// What a fact means for a later instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cover {
    /// Instructions between these two nodes are covered.
    pub(crate) above: u32,
    pub(crate) below: u32,
    /// Those below this node are covered if `holds`.
    pub(crate) all_below: u32,
    /// Pipes that must be known to be finished ...
    needs: Pipes,
    /// ... before the scan gets down to this node.
    until: u32,
    /// Whether they were.
    pub(crate) holds: bool,
}

impl Cover {
    /// Takes in that `finished` was known at position `event` of the straight path.
    pub(crate) fn learn(&mut self, finished: Pipes, event: u32) {
        let in_time = self.until != u32::MAX && event > 2 * self.until;
        self.holds |= in_time && self.needs & !finished == 0;
    }

    /// It cannot come to hold any more.
    pub(crate) fn close(&mut self) {
        self.until = u32::MAX;
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

    /// What the facts of a slot mean for the instruction `now`, newest first.
    pub(crate) fn covers(&self, parts: &Parts, slot: u32, now: u32) -> impl Iterator<Item = Cover> {
        self.by_slot[slot as usize].iter().rev().map(move |f| f.cover(parts, now))
    }

    /// The same where the facts are about scans round a loop, which go over its whole tail.
    pub(crate) fn covers_round(&self, parts: &Parts, slot: u32, now: u32) -> impl Iterator<Item = Cover> {
        self.by_slot[slot as usize].iter().rev().map(move |f| {
            let all_below = if parts.contains(f.part, NodeId(now)) { u32::MAX } else { f.reach };
            Cover { above: u32::MAX, below: 0, all_below, ..f.cover(parts, now) }
        })
    }

    /// Adds to `needs`, which is as in [`Fact`] for the instruction `now`, what the facts of the slot ask for where
    /// `wanted` holds of the part's place. Returns how far they reach there.
    pub(crate) fn ask_for(
        &self,
        parts: &Parts,
        slot: u32,
        now: u32,
        needs: &mut [Pipes],
        wanted: impl Fn(usize) -> bool,
    ) -> u32 {
        let mut reach = u32::MAX;
        for fact in &self.by_slot[slot as usize] {
            for place in (0..fact.shared(parts, now)).filter(|&place| wanted(place)) {
                needs[place] |= fact.needs[place];
                reach = reach.min(fact.reach);
            }
        }
        reach
    }

    /// Adds the fact that `now`, of `part`, was scanned. `needs` and `reach` are as in [`Fact`].
    pub(crate) fn add(
        &mut self,
        parts: &Parts,
        slot: u32,
        now: u32,
        part: PartIndex,
        (needs, reach): (&[Pipes], u32),
    ) {
        let facts = &mut self.by_slot[slot as usize];
        let mut new = Fact { at: now, part, needs: needs.to_vec(), reach };
        facts.retain(|old| {
            if old.part == part {
                // The new one has more in the part itself; what the old one says of the code before stays true.
                (new.needs, new.reach) = (old.needs.clone(), old.reach);
                return false;
            }
            let shared = old.shared(parts, now);
            if shared == old.needs.len() {
                return true;
            }
            if parts.contains(part, parts.part(old.part).begin) {
                let common = &old.needs[..new.needs.len()];
                if asks_less(common, &new.needs) && old.reach >= new.reach {
                    (new.needs, new.reach) = (common.to_vec(), old.reach);
                }
                return false;
            }
            let places = (shared + 1).min(new.needs.len());
            old.reach > new.reach || !asks_less(&new.needs[..places], &old.needs)
        });
        if facts.len() == MOST {
            let aside = facts.iter().position(|f| !parts.contains(f.part, NodeId(now)));
            facts.remove(aside.unwrap_or(0));
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

/// Whether `a` asks for no more than `b`, place by place.
fn asks_less(a: &[Pipes], b: &[Pipes]) -> bool {
    a.iter().zip(b).all(|(a, b)| a & !b == 0)
}

impl Fact {
    /// What it means for the later instruction `now`.
    fn cover(&self, parts: &Parts, now: u32) -> Cover {
        let (mut part, mut left, mut until, mut all_below) = (self.part, 0, 0, self.at);
        while !parts.contains(part, NodeId(now)) {
            let of = parts.part(part);
            (until, part, left) = (of.construct.0, of.parent, left + 1);
            if of.kind == PartKind::Else {
                // The scan did not go through the then part.
                all_below = until;
            }
        }
        if left == 0 {
            return Cover { above: 0, below: self.at, all_below, needs: 0, until, holds: true };
        }
        let (above, needs) = (parts.part(self.part).begin.0, self.needs[self.needs.len() - left]);
        let all_below = all_below.min(self.reach);
        Cover { above, below: self.at, all_below, needs, until, holds: needs == 0 }
    }

    /// How many of the parts around it are also around `now`.
    fn shared(&self, parts: &Parts, now: u32) -> usize {
        let (mut part, mut shared) = (self.part, self.needs.len());
        while !parts.contains(part, NodeId(now)) {
            (part, shared) = (parts.part(part).parent, shared - 1);
        }
        shared
    }
}
