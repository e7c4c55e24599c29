//! What the dataflow could not exclude, looked for on single paths.
//!
//! Suspects about one class of instructions (a slot), or about one flag, share a walk. What must hold: for each suspect
//! the answer is a shortest path on which it happens, or that it happens on none, or that the walk was given up.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::conditions::TermId;
use super::feasible::{Decision, Paths};
use super::flow::{Flow, Slot, SlotKind, Slots, Suspect, conflict};
use super::guarded::{Followed, Guarded};
use super::path::{Path, Shape};
use super::program::{Buffer, Pipe, Program, Source, Step, StepIndex, UNBOUND};
use super::search::{Hits, Outcome, Property, walk};

/// Steps that are executed for one function before the rest of its suspects stay undecided: so many, and so many times
/// its own steps.
pub(super) fn work(program: &Program) -> usize {
    program.steps.len().saturating_mul(400).saturating_add(20_000_000)
}

/// Where suspects were looked for.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// It happens on this path, whose last step is the one it happens at.
    On(Path),
    /// It happens on this path, if that exists.
    MayBe(Path),
    /// It happens on some path. So do many of its kind before it.
    Somewhere,
    /// Not known.
    Undecided,
}

/// What is to be looked for in one walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Slot(usize),
    Key(usize),
    /// A slot, for a step in a call that enters the slot before.
    Inside(usize, StepIndex),
}

/// All suspects that happen on some path or may do so, with the slot that is pending, if one is. No more than `work` steps
/// are executed. Of each flag the first `shown` are given a path: what goes wrong with a flag is an error wherever it
/// does, so the others need none.
pub(super) fn look_for(
    program: &Program,
    shape: &Shape,
    slots: &Slots,
    flow: &mut Flow,
    paths: &Paths<'_>,
    shown: usize,
    work: usize,
) -> Vec<(Suspect, Option<usize>, Found)> {
    let exit = program.steps.len() - 1;
    let mut subjects: BTreeMap<Subject, Vec<(StepIndex, Suspect)>> = BTreeMap::new();
    for &suspect in &flow.suspects {
        let found = match suspect {
            Suspect::Conflict { step, slot } | Suspect::Early { step, slot } => {
                // The steps of a call stand side by side: if any is one of the slot, the nearest is.
                let steps = slots.steps_of(slot);
                let before = steps.partition_point(|&other| other < step).checked_sub(1);
                let inside = before.is_some_and(|before| program.in_call_order(steps[before], step));
                Some((if inside { Subject::Inside(slot, step) } else { Subject::Slot(slot) }, step))
            }
            Suspect::Reuse { step } => {
                let slot = program.key_of(step).and_then(|key| slots.wait_of(key));
                slot.map(|slot| (Subject::Slot(slot), step))
            }
            Suspect::DoubleSet { step } | Suspect::EarlyWait { step } | Suspect::Hidden { step } => {
                program.key_of(step).map(|key| (Subject::Key(key), step))
            }
            Suspect::Undrained { key } => Some((Subject::Key(key), exit)),
            Suspect::Unfinished { pipe } => slots.work_of(pipe).map(|slot| (Subject::Slot(slot), exit)),
        };
        if let Some((subject, step)) = found {
            subjects.entry(subject).or_default().push((step, suspect));
        }
    }
    let is_bind = |&at: &StepIndex| matches!(program.steps[at], Step::Bind { .. });
    let search = Search {
        program,
        shape,
        slots,
        paths,
        of_key: steps_of_keys(program),
        binds: (0..program.steps.len()).filter(is_bind).collect(),
        // Where conditions can clear a suspect each needs a path that exists.
        shown: if program.conditions.is_empty() { shown } else { usize::MAX },
    };
    let mut work = [work, FOLLOWING.0 + FOLLOWING.1 * program.steps.len()];
    let mut all = Vec::new();
    // What is known of flags decides what a wait orders.
    let (keys, others): (Vec<_>, Vec<_>) =
        subjects.into_iter().partition(|(s, _)| matches!(s, Subject::Key(_)));
    for (is_key, part) in [(true, keys), (false, others)] {
        let mut broken = vec![false; program.keys.len()];
        let mut cleared = Vec::new();
        for (subject, mut suspects) in part {
            suspects.sort_unstable();
            let targets: Vec<StepIndex> = suspects.iter().map(|&(step, _)| step).collect();
            let answers = search.answers(subject, flow, targets, &mut work);
            let slot = match subject {
                Subject::Slot(slot) | Subject::Inside(slot, _) => Some(slot),
                Subject::Key(_) => None,
            };
            for (step, suspect) in suspects {
                let found = answers.get(&step).cloned();
                if let (Suspect::DoubleSet { .. } | Suspect::EarlyWait { .. }, Some(key)) =
                    (suspect, program.key_of(step))
                {
                    cleared.extend(found.is_none().then_some((step, key)));
                    broken[key] |= found.is_some();
                }
                all.extend(found.map(|found| (suspect, slot, found)));
            }
        }
        if is_key {
            // Behind the first fault of a flag nothing else of it is looked for, so nothing of it is cleared.
            for (step, key) in cleared {
                flow.in_protocol[step] |= !broken[key];
            }
            for (at, step) in program.steps.iter().enumerate() {
                if let Step::Set(key) = *step {
                    flow.clear[at] |= !broken[key];
                }
            }
        }
    }
    all
}

/// What all searches of one program share.
struct Search<'a> {
    program: &'a Program,
    shape: &'a Shape,
    slots: &'a Slots,
    paths: &'a Paths<'a>,
    of_key: Vec<Vec<StepIndex>>,
    /// Steps that change what carried tiles stand for.
    binds: Vec<StepIndex>,
    shown: usize,
}

/// Steps of all searches of one program that follow terms: so many, and so many times its own steps.
const FOLLOWING: (usize, usize) = (1_000_000, 100);

/// Searches for one subject, each of which leaves out more paths that cannot be.
const MAX_ROUNDS: usize = 40;

impl Search<'_> {
    /// What is known of the suspects at these steps; nothing of one that happens on no path.
    fn answers(
        &self,
        subject: Subject,
        flow: &Flow,
        targets: Vec<StepIndex>,
        [work, following]: &mut [usize; 2],
    ) -> BTreeMap<StepIndex, Found> {
        let mut answers = BTreeMap::new();
        // Paths that were refuted last, each for the step that it leads to.
        let mut refuted: BTreeMap<StepIndex, Path> = BTreeMap::new();
        // Steps that are still looked at, with the terms that are followed for them.
        let mut open: Vec<(BTreeSet<TermId>, Vec<StepIndex>)> = vec![(BTreeSet::new(), targets)];
        let mut rounds = 0;
        while let Some((terms, targets)) = open.pop() {
            rounds += 1;
            let work = if terms.is_empty() { &mut *work } else { &mut *following };
            let hits = self.round(subject, flow, &terms, &targets, work);
            let hits = hits.unwrap_or(Hits { gave_up: true, ..Hits::default() });
            let mut left: BTreeMap<BTreeSet<TermId>, Vec<StepIndex>> = BTreeMap::new();
            for target in targets {
                let answer = match hits.paths.get(&target) {
                    Some(Some(path)) => match self.paths.decide(path) {
                        Decision::Exists(assignment) => Some(Found::On(Path { assignment, ..path.clone() })),
                        Decision::Refuted(more) | Decision::Follow(more)
                            if rounds < MAX_ROUNDS && more.iter().any(|term| !terms.contains(term)) =>
                        {
                            *following = following.saturating_sub(path.pieces.len());
                            refuted.insert(target, path.clone());
                            let more: BTreeSet<TermId> =
                                more.into_iter().filter(|t| !terms.contains(t)).collect();
                            left.entry(more).or_default().push(target);
                            None
                        }
                        _ => Some(Found::MayBe(path.clone())),
                    },
                    Some(None) => Some(Found::Somewhere),
                    None if hits.gave_up => {
                        Some(refuted.remove(&target).map_or(Found::Undecided, Found::MayBe))
                    }
                    None => None,
                };
                answers.extend(answer.map(|answer| (target, answer)));
            }
            if left.is_empty() {
                continue;
            }
            // All at once if that is not too much.
            let every: BTreeSet<TermId> = left.keys().flatten().chain(&terms).copied().collect();
            let fits =
                Followed::new(self.program, self.shape, &Vec::from_iter(every.iter().copied())).is_some();
            if fits {
                let mut targets: Vec<StepIndex> = left.into_values().flatten().collect();
                targets.sort_unstable();
                open.push((every, targets));
            } else {
                open.extend(left.into_iter().map(|(more, targets)| (&terms | &more, targets)));
            }
        }
        answers
    }

    /// One search; none if it cannot be made.
    fn round(
        &self,
        subject: Subject,
        flow: &Flow,
        terms: &BTreeSet<TermId>,
        targets: &[StepIndex],
        work: &mut usize,
    ) -> Option<Hits> {
        if *work == 0 {
            return None;
        }
        let Self { program, shape, slots, .. } = *self;
        let followed = if terms.is_empty() {
            None
        } else {
            Some(Followed::new(program, shape, &Vec::from_iter(terms.iter().copied()))?)
        };
        let followed = followed.as_ref();
        let hits = match subject {
            Subject::Slot(slot) | Subject::Inside(slot, _) => {
                let inner = Pending::new(program, shape, slots, flow, slot, targets, &self.binds);
                let start = inner.start();
                let guarded = Guarded { inner, followed, shape, last: targets.last().copied().unwrap_or(0) };
                let start = guarded.start(start);
                walk(program, shape, &guarded, start, work, usize::MAX)
            }
            Subject::Key(key) => {
                let inner = Tokens { program, shape, steps: &self.of_key[key], targets };
                let guarded = Guarded { inner, followed, shape, last: targets.last().copied().unwrap_or(0) };
                let start = guarded.start(0);
                walk(program, shape, &guarded, start, work, self.shown)
            }
        };
        let clears = targets.iter().any(|target| !hits.paths.contains_key(target));
        if clears && followed.is_some_and(|followed| followed.scope.overflow.get()) {
            self.paths.overflow.set(true);
        }
        Some(hits)
    }
}

/// For each flag its sets, waits and uses, and the exit.
fn steps_of_keys(program: &Program) -> Vec<Vec<StepIndex>> {
    let mut of_key = vec![Vec::new(); program.keys.len()];
    for (at, step) in program.steps.iter().enumerate() {
        match *step {
            Step::Set(key) | Step::Wait(key) | Step::Uses(key) => of_key[key].push(at),
            Step::Exit => of_key.iter_mut().for_each(|steps| steps.push(at)),
            _ => {}
        }
    }
    of_key
}

/// The first of `steps` from `at` on, unless no target can be reached from there any more.
fn next(shape: &Shape, steps: &[StepIndex], targets: &[StepIndex], at: StepIndex) -> StepIndex {
    let step = steps.get(steps.partition_point(|&step| step < at)).copied();
    step.filter(|&step| is_worth(shape, targets, step)).unwrap_or(usize::MAX)
}

/// Whether some target can be reached from the step.
fn is_worth(shape: &Shape, targets: &[StepIndex], step: StepIndex) -> bool {
    targets.last().is_some_and(|&last| shape.loop_start[step] <= last)
}

/// Whether an execution of one of a slot's instructions (or a wait) is pending for a viewer at a target: for the pipe
/// of the instruction that conflicts, for the pipe that sets the flag again, for the scalar pipe at the exit.
struct Pending<'a> {
    program: &'a Program,
    shape: &'a Shape,
    flow: &'a Flow,
    slot: Slot,
    /// Steps that start an execution.
    starts: Cow<'a, [StepIndex]>,
    /// Carried tiles that matter. If none does, past states know nothing of any.
    tiles: Vec<bool>,
    /// Steps that change what carried tiles stand for.
    binds: &'a [StepIndex],
    /// Ascending, as everywhere here.
    targets: &'a [StepIndex],
    /// For each target the viewer.
    viewers: Vec<Pipe>,
}

/// Bit v: viewer v (a pipe, or behind the pipes a flag on its way) cannot tell that the execution is finished. None: it
/// has not started.
type Track = Option<Box<[u64]>>;

/// The past of a path as far as one execution is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Past {
    track: Track,
    /// What the carried tiles stand for.
    buffers: Box<[Buffer]>,
}

fn has(track: &[u64], viewer: usize) -> bool {
    track[viewer / 64] & 1 << (viewer % 64) != 0
}

fn put(track: &mut [u64], viewer: usize, on: bool) {
    let bit = 1u64 << (viewer % 64);
    if on { track[viewer / 64] |= bit } else { track[viewer / 64] &= !bit }
}

impl<'a> Pending<'a> {
    fn new(
        program: &'a Program,
        shape: &'a Shape,
        slots: &'a Slots,
        flow: &'a Flow,
        index: usize,
        targets: &'a [StepIndex],
        binds: &'a [StepIndex],
    ) -> Self {
        let slot = slots.slots[index];
        let viewer = |&target: &StepIndex| match (slot.what, program.steps[target]) {
            (SlotKind::Wait { key }, _) => Some(program.keys[key].src),
            (_, Step::Exit) => program.scalar,
            _ => program.pipe_of(target),
        };
        // Every suspect has one; a pipe that does not exist sees nothing.
        let viewers = targets.iter().map(|target| viewer(target).unwrap_or(0)).collect();
        // While the scalar unit waits nothing later is handed out, so that wait is never pending.
        let is_over = matches!(slot.what, SlotKind::Wait { .. }) && Some(slot.pipe) == program.scalar;
        let all = if is_over { &[] } else { slots.steps_of(index) };
        // What a call does before a target the call itself orders. Such a target is alone in its walk.
        let starts = match *targets {
            [target] if program.call_of(target).is_some() => {
                let outside = |&start: &StepIndex| !program.in_call_order(start, target);
                Cow::Owned(all.iter().copied().filter(outside).collect())
            }
            _ => Cow::Borrowed(all),
        };
        let tiles = tiles_of(program, starts.iter().chain(targets));
        let binds = if tiles.contains(&true) { binds } else { &[] };
        Self { program, shape, flow, slot, starts, tiles, binds, targets, viewers }
    }

    /// The past at the program's start.
    fn start(&self) -> Past {
        let tiles = if self.tiles.contains(&true) { self.tiles.len() } else { 0 };
        Past { track: None, buffers: vec![UNBOUND; tiles].into_boxed_slice() }
    }

    fn rebind(&self, at: StepIndex, buffers: &mut [Buffer]) {
        if !buffers.is_empty() {
            self.program.rebind(at, buffers);
            buffers
                .iter_mut()
                .zip(&self.tiles)
                .filter(|(_, matters)| !**matters)
                .for_each(|(b, _)| *b = UNBOUND);
        }
    }

    /// Whether the step, which may start an execution, does so while the carried tiles stand for these buffers.
    fn starts_at(&self, at: StepIndex, buffers: &[Buffer]) -> bool {
        is_in_slot(self.program, at, self.slot, buffers)
    }

    /// Whether the target meets the slot while the carried tiles stand for these buffers.
    fn meets_at(&self, at: StepIndex, buffers: &[Buffer]) -> bool {
        let Step::Instruction { pipe, .. } = self.program.steps[at] else { return true };
        buffers.is_empty()
            || self.program.accesses_of(at).iter().any(|a| {
                let what = SlotKind::Access { memory: a.memory, write: a.write };
                a.happens(buffers)
                    && self.overlaps(a.memory)
                    && conflict(self.program, Slot { pipe, what }, self.slot)
            })
    }

    fn overlaps(&self, memory: usize) -> bool {
        let memories = &self.program.memories;
        match self.slot.what {
            SlotKind::Access { memory: own, .. } => memories[own].overlaps(&memories[memory]),
            _ => false,
        }
    }

    /// Executes a step while one execution is watched. Whether it is still of interest.
    fn watch(&self, at: StepIndex, track: &mut [u64]) -> bool {
        let (program, own) = (self.program, self.slot.pipe);
        let pipes = program.pipes.len();
        match program.steps[at] {
            // A later set of the flag comes after the set that this wait is in the way of.
            Step::Set(key) if self.slot.what == (SlotKind::Wait { key }) && self.flow.clear[at] => {
                return false;
            }
            Step::Set(key) => {
                let flag = pipes + key;
                let src = program.keys[key].src;
                let mut pending = src != own && has(track, src);
                pending |= !self.flow.in_protocol[at] && has(track, flag);
                put(track, flag, pending);
            }
            Step::Wait(key) if self.flow.in_protocol[at] => {
                let flag = has(track, pipes + key);
                let dst = program.keys[key].dst;
                let all = Some(dst) == program.scalar;
                for pipe in (0..pipes).filter(|&p| all || p == dst) {
                    let pending = flag && has(track, pipe);
                    put(track, pipe, pending);
                }
                // The flag is down; what comes next in it is decided by the next set.
                put(track, pipes + key, true);
            }
            Step::Barrier(Some(pipe)) if pipe == own => put(track, own, false),
            Step::Barrier(None) => return false,
            _ => return true,
        }
        // Who once knows that it is finished knows it for ever.
        self.viewers.iter().any(|&viewer| has(track, viewer))
    }
}

impl Property for Pending<'_> {
    type State = Past;

    fn next(&self, state: &Past, at: StepIndex) -> StepIndex {
        match state.track {
            None => {
                let next = |steps| next(self.shape, steps, self.targets, at);
                next(&self.starts).min(next(self.binds))
            }
            Some(_) if is_worth(self.shape, self.targets, at) => at,
            Some(_) => usize::MAX,
        }
    }

    fn is_idle(&self, state: &Past) -> bool {
        state.track.is_none() && state.buffers.is_empty()
    }

    fn step(&self, at: StepIndex, state: &mut Past) -> Outcome<Past> {
        let starts = self.starts.binary_search(&at).is_ok() && self.starts_at(at, &state.buffers);
        self.rebind(at, &mut state.buffers);
        let Some(track) = &mut state.track else {
            let words = (self.program.pipes.len() + self.program.keys.len()).div_ceil(64);
            let fresh = || Some(vec![u64::MAX; words].into_boxed_slice());
            let or = starts.then(|| Past { track: fresh(), buffers: state.buffers.clone() });
            let or = Vec::from_iter(or);
            return Outcome { or, ..Outcome::ON };
        };
        let target = self.targets.binary_search(&at);
        let hit =
            target.is_ok_and(|index| has(track, self.viewers[index])) && self.meets_at(at, &state.buffers);
        // Of two executions the later one is pending for whomever the earlier one is: that path is tried as well.
        Outcome { hit, on: !starts && self.watch(at, track), or: Vec::new() }
    }

    fn covers(&self, state: &Past, other: &Past) -> bool {
        let covers = match (&state.track, &other.track) {
            (None, None) => true,
            (Some(a), Some(b)) => a.iter().zip(b).all(|(a, b)| b & !a == 0),
            _ => false,
        };
        covers && state.buffers == other.buffers
    }
}

/// The carried tiles that decide what these steps access, and those that hand their buffers on to them.
fn tiles_of<'a>(program: &Program, steps: impl Iterator<Item = &'a StepIndex>) -> Vec<bool> {
    let mut tiles = vec![false; program.carried];
    if tiles.is_empty() {
        return tiles;
    }
    for choice in steps.flat_map(|&step| program.accesses_of(step)).filter_map(|access| access.only) {
        tiles[choice.tile] = true;
    }
    loop {
        let before = tiles.clone();
        for binding in &program.bindings {
            if let Source::Tile(from) = binding.source {
                tiles[from] |= tiles[binding.tile];
            }
        }
        if tiles == before {
            return tiles;
        }
    }
}

/// Whether the step, which enters the slot, does so while the carried tiles stand for these buffers.
pub(super) fn is_in_slot(program: &Program, at: StepIndex, slot: Slot, buffers: &[Buffer]) -> bool {
    let SlotKind::Access { memory, write } = slot.what else { return true };
    let is_it = |a: &super::program::Access| a.memory == memory && a.write == write && a.happens(buffers);
    buffers.is_empty() || program.accesses_of(at).iter().any(is_it)
}

/// Whether a flag is set while it is set, waited for while it is not, or left set at the exit, in program order. The
/// state is the number of sets minus waits.
struct Tokens<'a> {
    program: &'a Program,
    shape: &'a Shape,
    /// The flag's sets, waits and uses, and the exit.
    steps: &'a [StepIndex],
    targets: &'a [StepIndex],
}

/// Tokens beyond which their number is not known any more.
const MANY_TOKENS: i16 = 64;

impl Property for Tokens<'_> {
    type State = i16;

    fn next(&self, _: &i16, at: StepIndex) -> StepIndex {
        next(self.shape, self.steps, self.targets, at)
    }

    fn step(&self, at: StepIndex, count: &mut i16) -> Outcome<i16> {
        let before = *count;
        let (broken, change) = match self.program.steps[at] {
            Step::Set(_) => (before > 0, 1),
            Step::Wait(_) => (before <= 0, -1),
            Step::Uses(_) => (before != 0, 0),
            _ => (before > 0, 0),
        };
        let hit = broken && self.targets.binary_search(&at).is_ok();
        *count = (before + change).clamp(-MANY_TOKENS, MANY_TOKENS);
        // From many it can be one less, and still many.
        let or = (change != 0 && before.abs() == MANY_TOKENS && *count != before).then_some(before);
        let or = Vec::from_iter(or);
        Outcome { hit, or, ..Outcome::ON }
    }
}
