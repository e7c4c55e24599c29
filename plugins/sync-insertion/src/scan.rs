//! The reverse scan of one instruction, from event to event.
//!
//! The reference walks back node by node and keeps a record: the pipes known to be finished, and the waits passed
//! while their pipe was known to be covered (*seen*). Here only the places where that record can change are visited,
//! the highest first: a conflicting instruction (*candidate*), the set of a seen wait, a wait that would be seen, a
//! barrier, each at its position (see [`crate::waits`]).
//!
//! At this stage the entries before a node all wait on that node's pipe, and those after it all set from it, so their
//! order within one list does not matter. Of a call that several pipes work for, each pipe is a node; what waits for
//! any of them stands after the last, and what any of them waits for before the first. So entries there are of any of its
//! pipes, and nothing happens between its nodes but what the call itself orders.
//!
//! Loops and branches are entered with a copy of the record, as the reference does. One is passed without entering
//! if nothing in it can matter:
//!
//! * It has no open candidate. Then no group can be made inside.
//! * A loop gives back what was seen in it. That matters only if a wait inside has its set outside.
//! * A branch gives back the pipes that finished in both its parts. That needs a pipe not yet finished with an
//!   instruction in each part: only an instruction's own pipe ever finishes at it.
//!
//! The scan ends when no candidate is open: when those that are left run on finished pipes, or are covered by an
//! earlier scan (see [`crate::facts`]). A wait is ignored if its set stands where it cannot matter: in a branch left
//! before, below all open candidates, or where the pipe is finished anyway.

use pipewright_abi::parts::{PartIndex, PartKind, Parts};
use pipewright_abi::{NodeId, PassError};

use crate::candidate::Candidate;
use crate::facts::Cover;
use crate::groups::Groups;
use crate::rounds::Ends;
use crate::seen::SeenSets;
use crate::turns::View;
use crate::waits::{Pipes, only};

/// The record within one straight piece that the scan is in.
#[derive(Clone, Debug)]
struct Frame {
    /// The node before the piece; all nodes of the piece are above it. For the outermost frame, none is below.
    begin: u32,
    /// First node of the construct that the piece belongs to.
    construct: u32,
    /// What was seen stays seen outside.
    gives_seen: bool,
    /// Pipes known to be finished.
    finished: Pipes,
    /// The part that the piece is of.
    part: PartIndex,
    /// A set of this frame below this position cannot matter.
    least_set: u32,
    /// Sets whose waits were seen within the frame.
    seen: SeenSets,
}

impl Frame {
    fn new(part: PartIndex, (construct, begin): (u32, u32), gives_seen: bool, finished: Pipes) -> Self {
        Self { begin, construct, gives_seen, finished, part, least_set: 0, seen: SeenSets::default() }
    }
}

/// What does not change during a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'s> {
    pub(crate) parts: &'s Parts,
    /// Pipes of the instructions in each part, at any depth.
    pub(crate) part_pipes: &'s [Pipes],
    pub(crate) ends: Ends,
    pub(crate) view: View<'s>,
    /// The loop inside the one looked round that holds the instruction.
    pub(crate) inner_loop: Option<(u32, u32)>,
    /// The instruction.
    pub(crate) now: u32,
    pub(crate) pipe: u32,
    /// Candidates below this position do not count.
    pub(crate) least_candidate: u32,
}

/// The scan of one instruction.
#[derive(Debug)]
pub(crate) struct Scan<'s, 'g, 'c, 'p> {
    setting: Setting<'s>,
    candidates: Vec<Candidate<'s>>,
    groups: &'g mut Groups<'c, 'p>,
    frames: Vec<Frame>,
    /// For each pipe one more than the highest set's position of a seen wait on the straight path ahead: it finishes there.
    settled: Vec<u32>,
    phase: Phase,
    /// Candidates stand below this node.
    end: u32,
    trace: Trace,
}

/// What is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// What precedes the instruction.
    Forward,
    /// The iteration up to the instruction. Candidates come later, in the tail.
    Prefix,
    /// The previous iteration from its end down to the instruction.
    Tail,
    /// The iteration before that. Nothing is looked for but whether this pipe is finished.
    Before(u32),
}

impl Phase {
    /// Whether groups are made.
    fn has_candidates(self) -> bool {
        matches!(self, Self::Forward | Self::Tail)
    }
}

/// What is known at some point of the straight path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// Pipes that are finished.
    pub(crate) finished: Pipes,
    /// Pipes with a set that was seen and may matter further down.
    pub(crate) seen: Pipes,
}

/// What a scan leaves behind.
#[derive(Debug)]
pub(crate) struct Trace {
    /// What was known at the begins of the parts around the instruction, inner first, as far as the scan came.
    pub(crate) left: Vec<Known>,
    /// What was known at its end.
    pub(crate) end: Known,
    /// Other pipes for which it needed groups because of code outside of the part that it stands in.
    pub(crate) made_outside: Pipes,
    /// The first node of the constructs outside of that part in which it needed a barrier.
    pub(crate) barrier_from: u32,
}

impl Default for Trace {
    fn default() -> Self {
        Self { left: Vec::new(), end: Known::default(), made_outside: 0, barrier_from: u32::MAX }
    }
}

/// Whether the scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The piece is scanned to its begin.
    Done,
    /// No candidate is left.
    Stop,
}

impl<'s, 'g, 'c, 'p> Scan<'s, 'g, 'c, 'p> {
    pub(crate) fn new(
        setting: Setting<'s>,
        candidates: Vec<Candidate<'s>>,
        groups: &'g mut Groups<'c, 'p>,
        pipes: usize,
    ) -> Self {
        let outermost = Frame::new(0, (0, 0), true, 0);
        Self {
            frames: vec![outermost],
            settled: vec![0; pipes],
            phase: Phase::Forward,
            end: setting.now,
            trace: Trace::default(),
            setting,
            candidates,
            groups,
        }
    }

    /// What the scan leaves behind.
    pub(crate) fn trace(mut self) -> Trace {
        self.trace.end = self.known(u32::MAX);
        self.trace
    }

    fn known(&self, below: u32) -> Known {
        Known { finished: self.frames[0].finished, seen: self.frames[0].seen.sources(below) }
    }

    /// Scans the straight path of the instruction back to the begin of `top`.
    pub(crate) fn path(&mut self, top: PartIndex) -> Result<Flow, PassError> {
        let mut part = self.setting.parts.of(NodeId(self.setting.now));
        let mut from = 2 * self.setting.now + 1;
        self.refresh(from);
        loop {
            let of = *self.setting.parts.part(part);
            self.frames[0].part = part;
            let lo = if part == 0 { 0 } else { 2 * of.begin.0 + 2 };
            if self.run(part, from, lo)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
            // Sets above are passed, but those in the tail of the iteration are still to come.
            let below = if self.phase == Phase::Prefix { u32::MAX } else { of.construct.0.saturating_mul(2) };
            let known = self.known(below);
            self.trace.left.push(known);
            if part == top {
                return Ok(Flow::Done);
            }
            from = 2 * of.construct.0 + 1;
            part = of.parent;
        }
    }

    /// Scans the loop that ends at `end` for a dependence round it: first the prefix of the iteration, then its tail.
    pub(crate) fn round(&mut self, body: PartIndex, end: u32) -> Result<(), PassError> {
        (self.phase, self.end) = (Phase::Prefix, end);
        let flow = self.path(body)?;
        if flow == Flow::Done {
            self.phase = Phase::Tail;
            self.settled.fill(0);
            self.frames[0].part = body;
            // What held at a place in the prefix had to hold there; it is too late now.
            self.candidates.iter_mut().flat_map(|c| &mut c.covers).for_each(Cover::close);
            self.refresh(2 * end);
            self.run(body, 2 * end, 2 * self.setting.now)?;
        }
        Ok(())
    }

    /// Scans `part` from below position `from` down to `lo`.
    fn run(&mut self, part: PartIndex, mut from: u32, lo: u32) -> Result<Flow, PassError> {
        let parts = self.setting.parts;
        let mut lo = lo;
        if lo == 2 * self.setting.now
            && let Some(inner) = parts.below(part, parts.of(NodeId(self.setting.now)))
            && parts.part(inner).kind != PartKind::Loop
        {
            // A branch around the instruction is scanned in full.
            lo = 2 * parts.part(inner).construct.0 + 1;
        }
        loop {
            if self.frames.len() == 1 && !self.has_candidate(from) {
                return Ok(Flow::Stop);
            }
            let Some(event) = self.event(from, lo) else { return Ok(Flow::Done) };
            let node = NodeId(event / 2);
            match parts.below(part, parts.of(node)) {
                None => {
                    self.visit(event)?;
                    from = event;
                }
                Some(inner) => {
                    self.enter(inner, lo)?;
                    from = 2 * parts.part(inner).construct.0 + 1;
                }
            }
        }
    }

    /// Enters the loop or branch that `inner` is a part of, unless nothing in it matters.
    fn enter(&mut self, inner: PartIndex, lo: u32) -> Result<(), PassError> {
        let Setting { parts, part_pipes, .. } = self.setting;
        let of = *parts.part(inner);
        let (begin, end) = (of.construct.0, of.construct_end.0);
        let finished = self.top().finished;
        let candidate = self.candidate(2 * end, 2 * begin, finished).is_some();
        if of.kind == PartKind::Loop {
            let gives = self.groups.gives_seen(inner)
                || (self.phase == Phase::Prefix && self.groups.gives_seen_to_tail(inner));
            let gives_seen = self.setting.ends == Ends::KeepHistory;
            let gives = gives && gives_seen;
            if candidate || gives {
                let least_set = if gives { 0 } else { self.least_candidate(2 * begin, finished) };
                let frame = Frame::new(inner, (begin, begin), gives_seen, finished);
                self.frames.push(Frame { least_set, ..frame });
                self.run(inner, 2 * end, lo.max(2 * begin + 2))?;
                let left = self.frames.pop().filter(|f| f.gives_seen);
                if let (Some(left), Some(around)) = (left, self.frames.last_mut()) {
                    around.seen.merge(left.seen);
                }
            }
            return Ok(());
        }
        let then = parts.at(pipewright_abi::plan::Anchor::after(of.construct));
        let otherwise = parts.at(pipewright_abi::plan::Anchor::before(of.construct_end));
        let both = part_pipes[then as usize] & part_pipes[otherwise as usize] & !finished;
        if !candidate && both == 0 {
            return Ok(());
        }
        let mut in_both = Pipes::MAX;
        for part in [then, otherwise] {
            let (begin, end) = (parts.part(part).begin.0, parts.part(part).end.0);
            let finished = self.top().finished;
            self.frames.push(Frame::new(part, (of.construct.0, begin), false, finished));
            self.run(part, 2 * end, 2 * begin + 2)?;
            in_both &= self.frames.pop().map_or(0, |f| f.finished);
        }
        self.finish(in_both & !finished, 2 * begin);
        Ok(())
    }

    /// Takes in what stands at a position of the piece scanned now.
    fn visit(&mut self, event: u32) -> Result<(), PassError> {
        let node = event / 2;
        if event.is_multiple_of(2) {
            self.take_in_waits(event);
        }
        let finished = self.top().finished;
        let seen = self.frames.iter().map(|f| f.seen.sources_at(event, |dst| self.is_done(dst, finished)));
        let set_here = seen.fold(0, |all, pipes| all | pipes) & !finished;
        if set_here != 0 {
            self.finish(set_here, event);
        }
        if self.is_candidate(event) {
            let pipe = self.groups.pipe_of(node);
            if self.top().finished & only(pipe) == 0 && !self.is_finished_before(pipe, event)? {
                let part = self.groups.add(&self.setting, event)?;
                self.note_made(pipe);
                self.finish_around(pipe, part, event);
            }
        }
        Ok(())
    }

    /// In the tail, at a position in front of an instruction that need only be finished an iteration earlier: whether it is,
    /// by what all pipes that are finished here waited for in that iteration.
    fn is_finished_before(&mut self, pipe: u32, event: u32) -> Result<bool, PassError> {
        if self.phase != Phase::Tail || !event.is_multiple_of(2) || self.frames.len() > 1 {
            return Ok(false);
        }
        let (body, finished) = (self.frames[0].part, self.frames[0].finished);
        let here = std::mem::replace(&mut self.frames, vec![Frame::new(body, (0, 0), true, finished)]);
        self.phase = Phase::Before(pipe);
        self.run(body, 2 * self.end, event + 1)?;
        self.phase = Phase::Tail;
        let then = std::mem::replace(&mut self.frames, here);
        Ok(then[0].finished & only(pipe) != 0)
    }

    /// Takes in the barrier and the waits at a position before a node.
    fn take_in_waits(&mut self, event: u32) {
        if self.groups.has_barrier(self.setting.pipe, event / 2) {
            self.finish(only(self.setting.pipe), event);
        }
        for key in 0..self.groups.keys().len() {
            let (src, dst) = self.groups.keys()[key];
            if !self.is_done(dst, self.top().finished) {
                continue;
            }
            for i in 0..self.groups.waits(src, dst).at(event).len() {
                let set = self.groups.waits(src, dst).at(event)[i].set;
                self.see(src, dst, set);
            }
            if self.phase == Phase::Prefix {
                for i in 0..self.groups.back_waits(src, dst).at(event).len() {
                    let set = self.groups.back_waits(src, dst).at(event)[i].set;
                    if self.matters_in_tail(src) {
                        self.note_seen(src, dst, set);
                    }
                }
            }
        }
    }

    /// The pipe is finished by a group that was made now: a barrier right before the instruction, or a pair whose set
    /// stands in `part` once it was moved. Where ends count as made, only the piece scanned now knows.
    fn finish_around(&mut self, pipe: u32, part: PartIndex, event: u32) {
        if self.setting.ends == Ends::Moved {
            let parts = self.setting.parts;
            let is_barrier = pipe == self.setting.pipe;
            for frame in &mut self.frames {
                let knows = is_barrier || part == frame.part || parts.below(part, frame.part).is_some();
                frame.finished |= if knows { only(pipe) } else { 0 };
            }
            if is_barrier && self.trace.barrier_from != u32::MAX {
                self.trace.barrier_from = 0;
            }
            self.refresh(event);
        }
        self.finish(only(pipe), event);
    }

    /// Notes that a group was made for an instruction of `pipe`.
    fn note_made(&mut self, pipe: u32) {
        if self.trace.left.is_empty() {
            return;
        }
        if pipe != self.setting.pipe {
            self.trace.made_outside |= only(pipe);
            return;
        }
        let construct = self.frames.get(1).map_or(0, |f| f.construct);
        self.trace.barrier_from = self.trace.barrier_from.min(construct);
    }

    /// Notes a wait as seen, if its set can matter.
    fn see(&mut self, src: u32, dst: u32, set: u32) {
        if !self.matters(src, set) {
            return;
        }
        self.note_seen(src, dst, set);
        let parts = self.setting.parts;
        // In the tail the straight path of the instruction is not scanned.
        let on_path = matches!(self.phase, Phase::Forward | Phase::Prefix)
            && parts.contains(parts.of(NodeId(set / 2)), NodeId(self.setting.now));
        let stays = self.frames.iter().all(|f| f.gives_seen);
        if on_path && stays && set < 2 * self.setting.now && self.is_done(dst, self.frames[0].finished) {
            let settled = &mut self.settled[src as usize];
            *settled = (*settled).max(set + 1);
        }
    }

    fn note_seen(&mut self, src: u32, dst: u32, set: u32) {
        let top = self.frames.len() - 1;
        self.frames[top].seen.add(src, dst, set);
    }

    /// The last set below position `below` that finishes a pipe.
    fn last_set(&self, below: u32) -> Option<u32> {
        let finished = self.top().finished;
        let last = |f: &Frame| f.seen.last(below, finished, |dst| self.is_done(dst, finished));
        self.frames.iter().filter_map(last).max()
    }

    /// Whether seeing a wait on `src` whose set stands at position `set` can change what comes.
    fn matters(&self, src: u32, set: u32) -> bool {
        for (depth, frame) in self.frames.iter().enumerate().rev() {
            if depth == 0 || set > 2 * frame.begin + 1 {
                let ahead = depth > 0 || set >= self.settled[src as usize];
                return ahead && set >= frame.least_set && frame.finished & only(src) == 0;
            }
            if !frame.gives_seen {
                return false;
            }
        }
        false
    }

    /// Whether seeing, in the prefix of an iteration, a wait on `src` whose set does not stand before it can change
    /// what comes: the tail has such sets.
    fn matters_in_tail(&self, src: u32) -> bool {
        self.frames[0].finished & only(src) == 0 && self.frames.iter().all(|f| f.gives_seen)
    }

    /// The highest position below `from`, not below `lo`, at which something happens.
    fn event(&self, from: u32, lo: u32) -> Option<u32> {
        let finished = self.top().finished;
        // Sets of seen waits.
        let mut event = self.last_set(from).filter(|&s| s >= lo);
        // Candidates.
        if self.phase.has_candidates() {
            event = event.max(self.candidate(from, lo, finished));
        }
        // Barriers of the pipe itself.
        if finished & only(self.setting.pipe) == 0 {
            let barrier = self.groups.last_barrier(self.setting.pipe, from.div_ceil(2)).map(|b| 2 * b);
            event = event.max(barrier.filter(|&b| b >= lo));
        }
        // Waits of pipes that are done with.
        let least_set = if self.frames.iter().all(|f| f.gives_seen) { self.frames[0].least_set } else { 0 };
        for &(src, dst) in self.groups.keys() {
            if self.frames[0].finished & only(src) != 0 || !self.is_done(dst, finished) {
                continue;
            }
            // What does not stand above the highest event so far is no earlier event.
            let least = event.unwrap_or(lo).max(lo);
            let least_set = least_set.max(self.least_at(src));
            let wait = self.groups.waits(src, dst).last(from, least, least_set, |w| self.matters(src, w.set));
            event = event.max(wait.map(|w| w.at));
            if self.phase == Phase::Prefix {
                let back =
                    self.groups.back_waits(src, dst).last(from, least, 0, |_| self.matters_in_tail(src));
                event = event.max(back.map(|w| w.at));
            }
        }
        event
    }

    /// A set of `src` on the outermost level below this position does not matter.
    fn least_at(&self, src: u32) -> u32 {
        if self.frames.len() == 1 { self.settled[src as usize] } else { 0 }
    }

    /// Whether a wait on this pipe counts as passed.
    fn is_done(&self, pipe: u32, finished: Pipes) -> bool {
        pipe == self.setting.pipe || finished & only(pipe) != 0
    }

    fn top(&self) -> &Frame {
        self.frames.last().unwrap_or(&self.frames[0])
    }

    /// The pipes are finished from position `event` on down.
    fn finish(&mut self, pipes: Pipes, event: u32) {
        let depth = self.frames.len();
        self.frames[depth - 1].finished |= pipes;
        if depth == 1 && pipes != 0 {
            if pipes & only(self.setting.pipe) != 0 && self.trace.barrier_from != u32::MAX {
                // It may be finished by what a barrier in a branch ordered.
                self.trace.barrier_from = 0;
            }
            self.refresh(event);
        }
    }

    /// Sees which covers hold and which sets can matter, after more pipes were finished at `event`.
    fn refresh(&mut self, event: u32) {
        let finished = self.frames[0].finished;
        for cover in self.candidates.iter_mut().flat_map(|c| &mut c.covers) {
            cover.learn(finished, event);
        }
        let least = if self.phase.has_candidates() { self.least_candidate(0, finished) } else { 0 };
        self.frames[0].least_set = least;
    }

    /// No open candidate at or above `least` whose pipe is not finished stands below this position.
    fn least_candidate(&self, least: u32, finished: Pipes) -> u32 {
        let least = least.max(self.setting.least_candidate);
        let open = self.candidates.iter().filter(|c| finished & only(c.pipe()) == 0);
        open.map(|c| c.least(least)).min().unwrap_or(u32::MAX)
    }

    /// The last open candidate below position `below` and not below `least` whose pipe is not finished.
    fn candidate(&self, below: u32, least: u32, finished: Pipes) -> Option<u32> {
        let least = least.max(self.setting.least_candidate);
        let open = self.candidates.iter().filter(|c| finished & only(c.pipe()) == 0);
        open.filter_map(|c| c.last(below, least, &self.setting.view)).max()
    }

    fn has_candidate(&self, from: u32) -> bool {
        let below = match self.phase {
            Phase::Before(pipe) => return self.frames[0].finished & only(pipe) == 0,
            Phase::Prefix => 2 * self.end,
            Phase::Forward | Phase::Tail => from,
        };
        self.candidate(below, 0, self.frames[0].finished).is_some()
    }

    fn is_candidate(&self, event: u32) -> bool {
        self.phase.has_candidates() && self.candidate(event + 1, event, 0) == Some(event)
    }
}
