//! What may still be pending: a forward dataflow over all paths at once.
//!
//! A *slot* is a class of instructions that are alike for conflicts: one pipe, one piece of memory, read or written;
//! and, for each flag, its wait. A *view* is a set of slots: those whose newest execution may not be finished as far
//! as the viewer can tell. Each pipe has a view. A set puts its pipe's view, without that pipe's own work, into the
//! flag; a wait intersects it into the waiting pipe's view; a barrier of a pipe removes its work from its own view, a
//! full one empties all; an instruction enters all views, those in flags included; paths that meet unite.
//!
//! Beside it, for each flag, the possible numbers of sets minus waits so far.
//!
//! What must hold: whatever can happen on a path is among the suspects. The converse is not needed: each suspect is
//! then looked for on single paths (`suspects`), where nothing is united.

use std::collections::BTreeSet;

use super::memory::overlaps;
use super::program::{Pipe, Program, Step, StepIndex};

/// What the dataflow cannot exclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suspect {
    /// The instruction may start while one of the slot is pending.
    Conflict { step: StepIndex, slot: usize },
    /// The set may execute while an earlier wait for its flag is pending.
    Reuse { step: StepIndex },
    /// The set may find the flag set, in program order.
    DoubleSet { step: StepIndex },
    /// The wait may come before its set, in program order.
    EarlyWait { step: StepIndex },
    /// The flag that a call uses within itself may not be clear, in program order.
    Hidden { step: StepIndex },
    /// Work of the slot may be pending when the signal is sent.
    Early { step: StepIndex, slot: usize },
    /// The flag may be left set at the exit.
    Undrained { key: usize },
    /// Work of the pipe may be pending at the exit.
    Unfinished { pipe: Pipe },
}

/// What instructions of a slot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) pipe: Pipe,
    pub(super) what: SlotKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SlotKind {
    Access {
        memory: usize,
        write: bool,
    },
    Wait {
        key: usize,
    },
    /// Any instruction of the pipe.
    Work,
    /// Any instruction of the pipe that touches memory that other cores see.
    Shared,
}

/// The slots of a program, and which of them conflict.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) slots: Vec<Slot>,
    /// For each step the slots that it enters.
    of_step: Vec<(usize, usize)>,
    entered: Vec<usize>,
    /// For each slot the steps that enter it, ascending.
    steps: Vec<Vec<StepIndex>>,
    /// For each flag the slot of its waits, for each pipe that of its work.
    waits: Vec<Option<usize>>,
    work: Vec<Option<usize>>,
    /// For each slot those that must not be pending when one of its instructions starts.
    conflicts: Vec<Vec<usize>>,
    /// The slots of work that other cores see; none in a program that sends no signal.
    pub(super) shared: Vec<usize>,
}

impl Slots {
    pub(super) fn new(program: &Program) -> Self {
        let mut index = std::collections::HashMap::new();
        let mut slots: Vec<Slot> = Vec::new();
        let (mut of_step, mut entered) = (Vec::with_capacity(program.steps.len()), Vec::new());
        let mut slot = |pipe, what| {
            let slot = Slot { pipe, what };
            *index.entry(slot).or_insert_with(|| {
                slots.push(slot);
                slots.len() - 1
            })
        };
        for (i, step) in program.steps.iter().enumerate() {
            let start = entered.len();
            match *step {
                Step::Instruction { pipe, .. } => {
                    entered.push(slot(pipe, SlotKind::Work));
                    if !program.signals.is_empty() && program.touches_global(i) {
                        entered.push(slot(pipe, SlotKind::Shared));
                    }
                    for a in program.accesses_of(i) {
                        entered.push(slot(pipe, SlotKind::Access { memory: a.memory, write: a.write }));
                    }
                }
                Step::Wait(key) => entered.push(slot(program.keys[key].dst, SlotKind::Wait { key })),
                _ => {}
            }
            of_step.push((start, entered.len()));
        }
        let mut of_memory: Vec<Vec<usize>> = vec![Vec::new(); program.memories.len()];
        for (i, slot) in slots.iter().enumerate() {
            if let SlotKind::Access { memory, .. } = slot.what {
                of_memory[memory].push(i);
            }
        }
        let overlapping = overlaps(&program.memories);
        let conflicts = slots
            .iter()
            .map(|later| {
                let SlotKind::Access { memory, .. } = later.what else { return Vec::new() };
                let candidates = overlapping[memory].iter().flat_map(|&m| &of_memory[m]).copied();
                candidates.filter(|&earlier| conflict(program, slots[earlier], *later)).collect()
            })
            .collect();
        let mut steps: Vec<Vec<StepIndex>> = vec![Vec::new(); slots.len()];
        for (step, &(start, end)) in of_step.iter().enumerate() {
            for &slot in &entered[start..end] {
                // Slots of a step are entered one after the other.
                if steps[slot].last() != Some(&step) {
                    steps[slot].push(step);
                }
            }
        }
        let (mut waits, mut work) = (vec![None; program.keys.len()], vec![None; program.pipes.len()]);
        let mut shared = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            match slot.what {
                SlotKind::Wait { key } => waits[key] = Some(index),
                SlotKind::Work => work[slot.pipe] = Some(index),
                SlotKind::Shared => shared.push(index),
                SlotKind::Access { .. } => {}
            }
        }
        Self { slots, of_step, entered, steps, waits, work, shared, conflicts }
    }

    /// The steps that enter a slot, ascending.
    pub(super) fn steps_of(&self, slot: usize) -> &[StepIndex] {
        &self.steps[slot]
    }

    /// The slot of a flag's waits, if there are any.
    pub(super) fn wait_of(&self, key: usize) -> Option<usize> {
        self.waits[key]
    }

    /// The slot of all instructions of a pipe, if there are any.
    pub(super) fn work_of(&self, pipe: Pipe) -> Option<usize> {
        self.work[pipe]
    }

    /// The slots that a step enters.
    pub(super) fn of(&self, step: StepIndex) -> &[usize] {
        let (start, end) = self.of_step[step];
        &self.entered[start..end]
    }

    /// The slots that must not be pending when the step starts.
    pub(super) fn conflicting(&self, step: StepIndex) -> impl Iterator<Item = usize> + '_ {
        self.of(step).iter().flat_map(|&slot| self.conflicts[slot].iter().copied())
    }
}

/// Whether accesses of overlapping memory must be ordered: one writes, or two pipes read an accumulator. What the
/// scalar unit does itself is in order.
pub(super) fn conflict(program: &Program, a: Slot, b: Slot) -> bool {
    let (SlotKind::Access { memory, write: a_writes }, SlotKind::Access { write: b_writes, .. }) =
        (a.what, b.what)
    else {
        return false;
    };
    let accumulator = program.memories[memory].is_accumulator();
    (a_writes || b_writes || (accumulator && a.pipe != b.pipe)) && !program.in_scalar_order(a.pipe, b.pipe)
}

/// Possible numbers of sets minus waits, as bits.
pub(super) mod tokens {
    /// A set is owed.
    pub(crate) const OWED: u8 = 1;
    /// The flag is clear.
    pub(crate) const CLEAR: u8 = 2;
    /// The flag is set.
    pub(crate) const SET: u8 = 4;
    /// It was set more than once.
    pub(crate) const MORE: u8 = 8;

    /// After a set.
    pub(crate) fn after_set(before: u8) -> u8 {
        let mut after = 0;
        after |= if before & OWED != 0 { OWED | CLEAR } else { 0 };
        after |= if before & CLEAR != 0 { SET } else { 0 };
        after | if before & (SET | MORE) != 0 { MORE } else { 0 }
    }

    /// After a wait.
    pub(crate) fn after_wait(before: u8) -> u8 {
        let mut after = if before & (OWED | CLEAR) != 0 { OWED } else { 0 };
        after |= if before & SET != 0 { CLEAR } else { 0 };
        after | if before & MORE != 0 { SET | MORE } else { 0 }
    }
}

/// What the dataflow found out.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) suspects: BTreeSet<Suspect>,
    /// For each step whether its flag is, on all paths, in the state that the protocol wants.
    pub(super) in_protocol: Vec<bool>,
    /// For each set whether its flag is clear in program order on all paths.
    pub(super) clear: Vec<bool>,
}

/// Runs the dataflow.
pub(super) fn flow(program: &Program, slots: &Slots) -> Flow {
    let words = slots.slots.len().div_ceil(64).max(1);
    let columns = program.pipes.len() + program.keys.len();
    let entry = State { views: vec![0; words * columns], tokens: vec![tokens::CLEAR; program.keys.len()] };
    let mut own = vec![vec![0; words]; program.pipes.len()];
    for (i, slot) in slots.slots.iter().enumerate() {
        own[slot.pipe][i / 64] |= 1 << (i % 64);
    }
    let mut walk = Walk {
        program,
        slots,
        words,
        own,
        headers: vec![None; program.steps.len()],
        flow: Flow {
            suspects: BTreeSet::new(),
            in_protocol: vec![true; program.steps.len()],
            clear: vec![true; program.steps.len()],
        },
    };
    walk.range(0, program.steps.len(), entry);
    walk.flow
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// For each pipe, then each flag, a set of slots.
    views: Vec<u64>,
    tokens: Vec<u8>,
}

impl State {
    fn unite(&mut self, other: &Self) {
        self.views.iter_mut().zip(&other.views).for_each(|(a, b)| *a |= b);
        self.tokens.iter_mut().zip(&other.tokens).for_each(|(a, b)| *a |= b);
    }
}

struct Walk<'a> {
    program: &'a Program,
    slots: &'a Slots,
    words: usize,
    /// For each pipe its own slots.
    own: Vec<Vec<u64>>,
    /// For each loop, by its begin, all states in which its head was entered so far.
    headers: Vec<Option<State>>,
    flow: Flow,
}

impl Walk<'_> {
    /// Walks `from..to`, which holds whole constructs. None if its end is not reached.
    fn range(&mut self, from: StepIndex, to: StepIndex, mut state: State) -> Option<State> {
        let mut at = from;
        while at < to {
            match self.program.steps[at] {
                Step::LoopBegin { test, end, trips } => {
                    state = self.repeat(at, [test, end], trips, state)?;
                    at = end;
                }
                Step::IfBegin { middle, end } => {
                    let then = self.range(at + 1, middle, state.clone());
                    let otherwise = self.range(middle + 1, end, state);
                    state = match (then, otherwise) {
                        (Some(mut a), Some(b)) => {
                            a.unite(&b);
                            a
                        }
                        (one, other) => one.or(other)?,
                    };
                    at = end;
                }
                _ => self.step(at, &mut state),
            }
            at += 1;
        }
        Some(state)
    }

    fn repeat(
        &mut self,
        begin: StepIndex,
        [test, end]: [StepIndex; 2],
        trips: super::program::Trips,
        entry: State,
    ) -> Option<State> {
        // No trip or one: no way round.
        if let Some(max @ (0 | 1)) = trips.max {
            let head = self.range(begin + 1, test, entry)?;
            if max == 0 {
                return Some(head);
            }
            let tail = self.range(test + 1, end, head.clone())?;
            let mut out = self.range(begin + 1, test, tail)?;
            if trips.min == 0 {
                out.unite(&head);
            }
            return Some(out);
        }
        // A loop inside a loop goes on from what it knew before: states only grow.
        let mut header = entry;
        if let Some(known) = self.headers[begin].take() {
            header.unite(&known);
        }
        loop {
            let head = self.range(begin + 1, test, header.clone())?;
            let Some(tail) = self.range(test + 1, end, head.clone()) else {
                self.headers[begin] = Some(header);
                return Some(head);
            };
            let mut next = header.clone();
            next.unite(&tail);
            if next == header {
                self.headers[begin] = Some(header);
                if trips.min == 0 {
                    return Some(head);
                }
                // At least one trip: what leaves has been through the tail.
                return self.range(begin + 1, test, tail);
            }
            header = next;
        }
    }

    fn step(&mut self, at: StepIndex, state: &mut State) {
        let program = self.program;
        match program.steps[at] {
            Step::Instruction { pipe, .. } => {
                for slot in self.slots.conflicting(at) {
                    if self.has(state, pipe, slot) {
                        self.flow.suspects.insert(Suspect::Conflict { step: at, slot });
                    }
                }
                for &slot in self.slots.of(at) {
                    self.enter(state, slot);
                }
            }
            Step::Set(key) => {
                let src = program.keys[key].src;
                let before = state.tokens[key];
                if before & (tokens::SET | tokens::MORE) != 0 {
                    self.flow.suspects.insert(Suspect::DoubleSet { step: at });
                    self.flow.in_protocol[at] = false;
                }
                if before & tokens::CLEAR != 0
                    && self.slots.wait_of(key).is_some_and(|slot| self.has(state, src, slot))
                {
                    self.flow.suspects.insert(Suspect::Reuse { step: at });
                }
                self.flow.clear[at] &= before == tokens::CLEAR;
                state.tokens[key] = tokens::after_set(before);
                // Of two sets before a wait, nobody knows which one the wait will see.
                let keep = before & !tokens::CLEAR != 0;
                let (from, to) = (self.column(src), self.column(program.pipes.len() + key));
                for word in 0..self.words {
                    let view = state.views[from + word] & !self.own[src][word];
                    let old = if keep { state.views[to + word] } else { 0 };
                    state.views[to + word] = view | old;
                }
            }
            Step::Wait(key) => {
                let dst = program.keys[key].dst;
                let before = state.tokens[key];
                state.tokens[key] = tokens::after_wait(before);
                if before & (tokens::CLEAR | tokens::OWED) != 0 {
                    self.flow.suspects.insert(Suspect::EarlyWait { step: at });
                    self.flow.in_protocol[at] = false;
                } else {
                    let from = self.column(program.pipes.len() + key);
                    // The scalar unit hands out nothing while it waits.
                    let all = Some(dst) == program.scalar;
                    for pipe in (0..program.pipes.len()).filter(|&p| all || p == dst) {
                        let to = self.column(pipe);
                        for word in 0..self.words {
                            state.views[to + word] &= state.views[from + word];
                        }
                    }
                }
                if Some(dst) != program.scalar {
                    self.slots.of(at).iter().for_each(|&slot| self.enter(state, slot));
                }
            }
            Step::Uses(key) => {
                if state.tokens[key] & !tokens::CLEAR != 0 {
                    self.flow.suspects.insert(Suspect::Hidden { step: at });
                }
                let src = program.keys[key].src;
                if state.tokens[key] & tokens::CLEAR != 0
                    && self.slots.wait_of(key).is_some_and(|slot| self.has(state, src, slot))
                {
                    self.flow.suspects.insert(Suspect::Reuse { step: at });
                }
            }
            Step::Publish(signal) => {
                let signal = &program.signals[signal];
                for &slot in &self.slots.shared {
                    let pipe = self.slots.slots[slot].pipe;
                    let wanted = pipe != signal.pipe && signal.drained.contains(&pipe);
                    if wanted && self.has(state, signal.pipe, slot) {
                        self.flow.suspects.insert(Suspect::Early { step: at, slot });
                    }
                }
            }
            Step::Barrier(Some(pipe)) => {
                let column = self.column(pipe);
                for word in 0..self.words {
                    state.views[column + word] &= !self.own[pipe][word];
                }
            }
            Step::Barrier(None) => state.views.fill(0),
            Step::Exit => {
                for key in 0..program.keys.len() {
                    if state.tokens[key] & (tokens::SET | tokens::MORE) != 0 {
                        self.flow.suspects.insert(Suspect::Undrained { key });
                    }
                }
                // The scalar unit ends the function: what it cannot tell to be finished may run on.
                let Some(scalar) = program.scalar else { return };
                for (slot, kind) in self.slots.slots.iter().enumerate() {
                    let own = program.in_scalar_order(kind.pipe, scalar);
                    if kind.what == SlotKind::Work && !own && self.has(state, scalar, slot) {
                        self.flow.suspects.insert(Suspect::Unfinished { pipe: kind.pipe });
                    }
                }
            }
            _ => {}
        }
    }

    fn column(&self, viewer: usize) -> usize {
        viewer * self.words
    }

    fn has(&self, state: &State, viewer: usize, slot: usize) -> bool {
        state.views[self.column(viewer) + slot / 64] & 1 << (slot % 64) != 0
    }

    /// A new execution: pending for all, whatever a flag on its way says of an older one.
    fn enter(&self, state: &mut State, slot: usize) {
        let (word, bit) = (slot / 64, 1u64 << (slot % 64));
        state.views[word..].iter_mut().step_by(self.words).for_each(|w| *w |= bit);
    }
}
