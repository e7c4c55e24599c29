//! A second opinion on small programs: executes the machine literally and looks at what happens.
//!
//! The rules, which are those of the machine and nothing else:
//!
//! 1. The scalar unit goes through the steps of a path in program order and appends each to the queue of its pipe.
//!    It stops at a wait of the scalar pipe until that has executed, and at a full barrier or the exit until every
//!    queue is finished. (A program that returns with work in flight is noted, and then goes on.)
//! 2. A queue starts its steps in order. An instruction starts at once and finishes at any time later. Instructions of
//!    one pipe finish in order: to finish one later than the next could only hold up more.
//! 3. A set starts at once; later steps of its queue are not held by it. It executes when all earlier steps of its queue
//!    are finished. If the bit is 0 it becomes 1. If it is 1, that depends on the [`Reset`]: the set waits, and holds
//!    what has not started behind it; or it is done and nothing has changed; or the flag counts.
//! 4. A wait executes when the bit is 1, and clears it. A barrier executes when all earlier steps of its queue are
//!    finished. Both hold their queue until then.
//! 5. A flag that a call uses within itself is looked at where a set of it would execute, and left as it is. A signal is
//!    sent when all earlier steps of its queue are finished; later ones are not held by it.
//!
//! What is noted: an instruction that starts while an earlier one that conflicts is not finished; a set that meets a
//! bit of 1 although in program order the bit is 0; a signal that is sent while earlier work on global memory that it may
//! announce is not finished; a state in which nothing can happen although steps are left. And, without any machine, sets
//! and waits in program order. Two steps of one call are not at odds, the call sees to that.
//!
//! [`explore`] goes through all interleavings. [`freeze`] does what one can get by with where no token is lost: one run
//! for each step that is never let finish, all others as fast as possible. In it a set that waits holds nothing. Then no
//! step that executes can keep another from executing, so if something can start before that step is finished, then it
//! does in that run; a machine that holds can do less, not more. For deadlocks there is one run in which sets that wait
//! hold everything behind them: a machine that holds less gets further, not less far.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use pipewright::verify::Rule;
use pipewright::verify::memory::Memory;
use pipewright::verify::program::{Access, Binding, Choice, Program, Source, Step, StepIndex};

/// What a set does on a flag that is still set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// It waits until the flag is taken.
    Stalls,
    /// It has no effect.
    Loses,
    /// It adds a token. No hardware does; but what can happen here can happen unless a set that waits prevents it.
    Counts,
}

/// Trips that are tried where the number is not known.
const MAX_TRIPS: u64 = 3;

/// Ways through a program, at most `limit` of them, and whether these are all with at most three trips.
pub(crate) fn paths(program: &Program, limit: usize) -> (Vec<Vec<StepIndex>>, bool) {
    let mut complete = true;
    let paths = ways(program, 0, program.steps.len(), limit, &mut complete, &mut BTreeSet::new());
    (paths, complete)
}

/// Constructs whose ways through them change some flag differently.
pub(crate) fn is_unbalanced(program: &Program, limit: usize) -> bool {
    let mut unbalanced = BTreeSet::new();
    ways(program, 0, program.steps.len(), limit, &mut true, &mut unbalanced);
    !unbalanced.is_empty()
}

type Ways = Vec<Vec<StepIndex>>;

fn ways(
    program: &Program,
    from: StepIndex,
    to: StepIndex,
    limit: usize,
    complete: &mut bool,
    unbalanced: &mut BTreeSet<StepIndex>,
) -> Ways {
    let mut all: Ways = vec![Vec::new()];
    let mut at = from;
    while at < to {
        let (next, here): (StepIndex, Ways) = match program.steps[at] {
            Step::IfBegin { middle, end } => {
                let mut arms = Vec::new();
                for (start, stop, last) in [(at + 1, middle, middle), (middle + 1, end, end)] {
                    for way in ways(program, start, stop, limit, complete, unbalanced) {
                        let tail = if last == end { vec![end] } else { vec![middle, end] };
                        arms.push([vec![at], way, tail].concat());
                    }
                }
                (end + 1, arms)
            }
            Step::LoopBegin { test, end, trips } => {
                let head = ways(program, at + 1, test, limit, complete, unbalanced);
                let tail = ways(program, test + 1, end, limit, complete, unbalanced);
                let most = trips.max.unwrap_or(MAX_TRIPS.max(trips.min));
                let mut done = Vec::new();
                let mut running: Ways = combine(&[vec![at]], &head, limit, complete);
                for trip in 0..=most {
                    running = combine(&running, &[vec![test]], limit, complete);
                    if trip >= trips.min {
                        done.extend(running.iter().cloned());
                    }
                    if trip < most {
                        running = combine(&running, &tail, limit, complete);
                        running = combine(&running, &[vec![end]], limit, complete);
                        running = combine(&running, &head, limit, complete);
                    }
                }
                (end + 1, done)
            }
            _ => (at + 1, vec![vec![at]]),
        };
        let nets: BTreeSet<Vec<i64>> = here.iter().map(|way| net(program, way)).collect();
        if nets.len() > 1 {
            unbalanced.insert(at);
        }
        all = combine(&all, &here, limit, complete);
        at = next;
    }
    all
}

fn combine(left: &[Vec<StepIndex>], right: &[Vec<StepIndex>], limit: usize, complete: &mut bool) -> Ways {
    let mut out = Vec::new();
    // Diagonally, so that a limit does not cut off all but the first of either.
    for sum in 0..left.len() + right.len() {
        for (i, left) in left.iter().enumerate().take(sum + 1) {
            if let Some(right) = right.get(sum - i) {
                if out.len() == limit {
                    *complete = false;
                    return out;
                }
                out.push([&left[..], right].concat());
            }
        }
    }
    out
}

fn net(program: &Program, way: &[StepIndex]) -> Vec<i64> {
    let mut net = vec![0; program.keys.len()];
    for &at in way {
        match program.steps[at] {
            Step::Set(key) => net[key] += 1,
            Step::Wait(key) => net[key] -= 1,
            _ => {}
        }
    }
    net
}

/// What sets and waits do in program order.
pub(crate) fn in_order(program: &Program, path: &[StepIndex]) -> BTreeSet<Rule> {
    let mut seen = BTreeSet::new();
    let mut count = vec![0i64; program.keys.len()];
    let by_call = |at: StepIndex| program.calls[at] != 0;
    for &at in path {
        match program.steps[at] {
            Step::Set(key) => {
                if count[key] > 0 {
                    seen.insert(if by_call(at) { Rule::HiddenFlag } else { Rule::DoubleSet });
                }
                count[key] += 1;
            }
            Step::Wait(key) => {
                if count[key] <= 0 {
                    seen.insert(if by_call(at) { Rule::HiddenFlag } else { Rule::WaitBeforeSet });
                }
                count[key] -= 1;
            }
            Step::Uses(key) if count[key] != 0 => _ = seen.insert(Rule::HiddenFlag),
            _ => {}
        }
    }
    if count.iter().any(|&c| c > 0) {
        seen.insert(Rule::UndrainedFlag);
    }
    seen
}

/// What can happen on a path, in whatever order the machine takes. None if there are more than `limit` states.
pub(crate) fn explore(
    program: &Program,
    path: &[StepIndex],
    reset: Reset,
    limit: usize,
) -> Option<BTreeSet<Rule>> {
    let machine = Machine::new(program, path, reset);
    let mut seen = BTreeSet::new();
    let mut known = HashSet::from([machine.start()]);
    let mut open = vec![machine.start()];
    while let Some(state) = open.pop() {
        if known.len() > limit {
            return None;
        }
        let mut any = false;
        for action in machine.actions() {
            let mut next = state.clone();
            if machine.act(action, &mut next, &mut seen) {
                any = true;
                if known.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        if !any && !machine.is_done(&state) {
            seen.insert(Rule::Deadlock);
        }
    }
    Some(seen)
}

/// What can happen on a path if no token is lost: one run for each step that never finishes, and one without any.
pub(crate) fn freeze(program: &Program, path: &[StepIndex], reset: Reset) -> BTreeSet<Rule> {
    let mut seen = BTreeSet::new();
    let worth = |&i: &usize| matches!(program.steps[path[i]], Step::Instruction { .. } | Step::Wait(_));
    let frozen = (0..path.len()).filter(worth).map(Some).chain([None]);
    let mut machine = Machine::new(program, path, reset);
    machine.holds = false;
    for frozen in frozen {
        machine.frozen = frozen;
        machine.run(machine.start(), machine.actions(), &mut seen);
    }
    (machine.holds, machine.frozen) = (true, None);
    if !machine.is_done(&machine.run_to_rest()) {
        seen.insert(Rule::Deadlock);
    }
    seen
}

/// What the last step of a path meets, or what the path comes to, if the step at position `frozen` never finishes.
pub(crate) fn freeze_one(
    program: &Program,
    path: &[StepIndex],
    frozen: Option<usize>,
    reset: Reset,
) -> BTreeSet<Rule> {
    let mut seen = BTreeSet::new();
    let mut machine = Machine::new(program, path, reset);
    machine.holds = false;
    machine.frozen = frozen;
    machine.only = Some(path.len() - 1);
    machine.run(machine.start(), machine.actions(), &mut seen);
    seen
}

/// Whether a path hangs.
pub(crate) fn hangs(program: &Program, path: &[StepIndex]) -> bool {
    let machine = Machine::new(program, path, Reset::Stalls);
    !machine.is_done(&machine.run_to_rest())
}

#[derive(Clone, Copy, Debug)]
enum Action {
    /// The scalar unit hands out its next step.
    HandOut,
    /// The pipe starts (or executes) its next step.
    Start(usize),
    /// The pipe finishes its oldest unfinished step.
    Finish(usize),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    /// Steps of the path that were handed out.
    handed: usize,
    /// For each pipe the steps of its queue that have started, and that have finished.
    started: Vec<usize>,
    finished: Vec<usize>,
    /// For each flag 1 if it is set; more only where flags count.
    tokens: Vec<u32>,
}

struct Machine<'a> {
    program: &'a Program,
    path: &'a [StepIndex],
    reset: Reset,
    frozen: Option<usize>,
    /// If given, the only position of the path of which is noted what it meets.
    only: Option<usize>,
    /// Whether a set that waits holds what is behind it.
    holds: bool,
    /// For each pipe the positions in the path of all steps that its queue will ever hold.
    queues: Vec<Vec<usize>>,
    /// For each position of the path its pipe and its place in that queue.
    place: Vec<Option<(usize, usize)>>,
    /// For each position of the path those before it that conflict.
    conflicts: Vec<Vec<usize>>,
    /// For each position whether the flag is clear in program order before it.
    clear: Vec<bool>,
}

impl<'a> Machine<'a> {
    fn new(program: &'a Program, path: &'a [StepIndex], reset: Reset) -> Self {
        let mut queues = vec![Vec::new(); program.pipes.len()];
        let mut place = Vec::new();
        let mut conflicts = Vec::new();
        let mut clear = Vec::new();
        let mut count = vec![0i64; program.keys.len()];
        let accesses = accesses(program, path);
        for (i, &at) in path.iter().enumerate() {
            let pipe = match program.steps[at] {
                Step::Instruction { pipe, .. } | Step::Barrier(Some(pipe)) => Some(pipe),
                Step::Set(key) | Step::Uses(key) => Some(program.keys[key].src),
                Step::Wait(key) => Some(program.keys[key].dst),
                Step::Publish(signal) => Some(program.signals[signal].pipe),
                _ => None,
            };
            place.push(pipe.map(|p| (p, queues[p].len())));
            if let Some(pipe) = pipe {
                queues[pipe].push(i);
            }
            let conflicting = |&j: &usize| conflict(program, (path[j], &accesses[j]), (at, &accesses[i]));
            conflicts.push((0..i).filter(conflicting).collect());
            clear.push(match program.steps[at] {
                Step::Set(key) => {
                    count[key] += 1;
                    count[key] == 1
                }
                Step::Wait(key) => {
                    count[key] -= 1;
                    false
                }
                Step::Uses(key) => count[key] == 0,
                _ => false,
            });
        }
        Self { program, path, reset, frozen: None, only: None, holds: true, queues, place, conflicts, clear }
    }

    fn start(&self) -> State {
        let pipes = self.program.pipes.len();
        State {
            handed: 0,
            started: vec![0; pipes],
            finished: vec![0; pipes],
            tokens: vec![0; self.program.keys.len()],
        }
    }

    fn actions(&self) -> impl Iterator<Item = Action> + Clone + use<> {
        let pipes = self.program.pipes.len();
        std::iter::once(Action::HandOut)
            .chain((0..pipes).map(Action::Start))
            .chain((0..pipes).map(Action::Finish))
    }

    /// Does whatever comes first among what is possible, until nothing is.
    fn run(
        &self,
        mut state: State,
        actions: impl Iterator<Item = Action> + Clone,
        seen: &mut BTreeSet<Rule>,
    ) -> State {
        while actions.clone().any(|action| self.act(action, &mut state, seen)) {}
        state
    }

    /// Whatever can finish does so first: then a set that can come to wait does.
    fn run_to_rest(&self) -> State {
        let actions: Vec<Action> = self.actions().collect();
        self.run(self.start(), actions.into_iter().rev(), &mut BTreeSet::new())
    }

    /// Whether what the step at a position of the path meets is noted.
    fn notes(&self, position: usize) -> bool {
        self.only.is_none_or(|only| only == position)
    }

    fn is_done(&self, state: &State) -> bool {
        state.handed == self.path.len() && self.is_idle(state)
    }

    /// Whether all that was handed out is finished.
    fn is_idle(&self, state: &State) -> bool {
        (0..self.queues.len()).all(|p| state.finished[p] == self.queued(state, p))
    }

    /// Steps handed out to the pipe so far.
    fn queued(&self, state: &State, pipe: usize) -> usize {
        self.queues[pipe].partition_point(|&i| i < state.handed)
    }

    fn is_finished(&self, state: &State, position: usize) -> bool {
        self.place[position].is_none_or(|(pipe, index)| index < state.finished[pipe])
    }

    /// Does the action if it is possible.
    fn act(&self, action: Action, state: &mut State, seen: &mut BTreeSet<Rule>) -> bool {
        match action {
            Action::HandOut => self.hand_out(state, seen),
            Action::Start(pipe) => self.begin(pipe, state, seen),
            Action::Finish(pipe) => {
                let Some(&position) = self.queues[pipe].get(state.finished[pipe]) else { return false };
                if state.finished[pipe] == state.started[pipe] || self.frozen == Some(position) {
                    return false;
                }
                let step = self.program.steps[self.path[position]];
                if let Step::Publish(signal) = step
                    && self.notes(position)
                    && self.is_early(signal, position, state)
                {
                    seen.insert(Rule::EarlyPublish);
                }
                if let Step::Uses(key) = step
                    && self.clear[position]
                    && state.tokens[key] > 0
                    && self.notes(position)
                {
                    seen.insert(Rule::FlagReuse);
                }
                if let Step::Set(key) = step {
                    if state.tokens[key] > 0 {
                        if self.clear[position] && self.notes(position) {
                            seen.insert(Rule::FlagReuse);
                        }
                        if self.reset == Reset::Stalls {
                            return false;
                        }
                    }
                    if state.tokens[key] == 0 || self.reset == Reset::Counts {
                        state.tokens[key] += 1;
                    }
                }
                state.finished[pipe] += 1;
                true
            }
        }
    }

    fn hand_out(&self, state: &mut State, seen: &mut BTreeSet<Rule>) -> bool {
        let Some(&at) = self.path.get(state.handed) else { return false };
        // A wait of the scalar pipe that was handed out and has not executed.
        if let Some(scalar) = self.program.scalar {
            let mut waiting =
                self.queues[scalar][state.started[scalar]..].iter().take_while(|&&i| i < state.handed);
            if waiting.any(|&i| matches!(self.program.steps[self.path[i]], Step::Wait(_))) {
                return false;
            }
        }
        match self.program.steps[at] {
            Step::Barrier(None) if !self.is_idle(state) => return false,
            Step::Exit => {
                let works = |p: usize| {
                    let mut left = self.queues[p].iter().filter(|&&i| !self.is_finished(state, i));
                    left.any(|&i| matches!(self.program.steps[self.path[i]], Step::Instruction { .. }))
                };
                let by_scalar = |p: usize| Some(p) == self.program.scalar || Some(p) == self.program.unknown;
                if (0..self.queues.len()).any(|p| !by_scalar(p) && works(p)) {
                    seen.insert(Rule::UnfinishedWork);
                }
            }
            _ => {}
        }
        state.handed += 1;
        true
    }

    fn begin(&self, pipe: usize, state: &mut State, seen: &mut BTreeSet<Rule>) -> bool {
        let index = state.started[pipe];
        let Some(&position) = self.queues[pipe].get(index).filter(|&&i| i < state.handed) else {
            return false;
        };
        let earlier_done = state.finished[pipe] == index;
        if self.holds && self.is_held(pipe, state) {
            return false;
        }
        match self.program.steps[self.path[position]] {
            Step::Instruction { .. } => {
                for &other in &self.conflicts[position] {
                    if !self.is_finished(state, other) && self.notes(position) {
                        let same = self.place[other].map(|p| p.0) == Some(pipe);
                        seen.insert(if same { Rule::MissingBarrier } else { Rule::DataRace });
                    }
                }
            }
            Step::Wait(key) => {
                if state.tokens[key] == 0 || self.frozen == Some(position) {
                    return false;
                }
                state.tokens[key] -= 1;
            }
            Step::Barrier(_) if !earlier_done => return false,
            _ => {}
        }
        state.started[pipe] += 1;
        true
    }
}

impl Machine<'_> {
    /// Whether work on global memory that a signal may announce is not finished when it is sent.
    fn is_early(&self, signal: usize, position: usize, state: &State) -> bool {
        let signal = &self.program.signals[signal];
        (0..position).any(|i| {
            let at = self.path[i];
            let Step::Instruction { pipe, .. } = self.program.steps[at] else { return false };
            let is_seen = |m: usize| {
                let (Memory::Private { space, .. }
                | Memory::Slot { space, .. }
                | Memory::Bytes { space, .. }
                | Memory::Anywhere { space, .. }) = self.program.memories[m];
                self.program.global.contains(&space)
            };
            pipe != signal.pipe
                && signal.drained.contains(&pipe)
                && !self.is_finished(state, i)
                && self.program.accesses_of(at).iter().any(|a| is_seen(a.memory))
        })
    }

    /// Whether the oldest unfinished step of the pipe is a set that waits for its flag to be taken.
    fn is_held(&self, pipe: usize, state: &State) -> bool {
        let oldest = self.queues[pipe]
            .get(state.finished[pipe])
            .filter(|_| state.finished[pipe] < state.started[pipe]);
        let stalls = |key: usize| self.reset == Reset::Stalls && state.tokens[key] > 0;
        oldest.is_some_and(|&i| matches!(self.program.steps[self.path[i]], Step::Set(key) if stalls(key)))
    }
}

/// Whether two instructions must not run at the same time: a byte in common and a write, or two pipes that read one
/// accumulator. What the scalar unit does itself, it does in order.
fn conflict(program: &Program, a: (StepIndex, &[Access]), b: (StepIndex, &[Access])) -> bool {
    let (Step::Instruction { pipe: p, .. }, Step::Instruction { pipe: q, .. }) =
        (program.steps[a.0], program.steps[b.0])
    else {
        return false;
    };
    let by_scalar = |p: usize| Some(p) == program.scalar || Some(p) == program.unknown;
    if by_scalar(p) && by_scalar(q) {
        return false;
    }
    if a.0 < b.0 && program.calls[a.0] != 0 && program.calls[a.0] == program.calls[b.0] {
        return false;
    }
    a.1.iter().any(|x| {
        b.1.iter().any(|y| {
            let (m, n) = (&program.memories[x.memory], &program.memories[y.memory]);
            m.overlaps(n) && (x.write || y.write || (p != q && m.is_accumulator()))
        })
    })
}

/// For each position of a path what its step reads and writes, given what carried tiles stand for there.
fn accesses(program: &Program, path: &[StepIndex]) -> Vec<Vec<Access>> {
    let mut stands_for = BTreeMap::new();
    let mut all = Vec::new();
    for &at in path {
        let happens = |access: &&Access| match access.only {
            Some(Choice { tile, buffer }) => stands_for.get(&tile) == Some(&buffer),
            None => true,
        };
        all.push(program.accesses_of(at).iter().filter(happens).copied().collect());
        if let Step::Bind { first, count } = program.steps[at] {
            let before = stands_for.clone();
            for Binding { tile, source } in &program.bindings[first..first + count] {
                let buffer = match source {
                    Source::Buffer(buffer) => Some(*buffer),
                    Source::Tile(other) => before.get(other).copied(),
                };
                match buffer {
                    Some(buffer) => _ = stands_for.insert(*tile, buffer),
                    None => _ = stands_for.remove(tile),
                }
            }
        }
    }
    all
}

/// The last execution but `later` of `first` before the end of a path.
pub(crate) fn position(path: &[StepIndex], first: StepIndex, later: usize) -> Option<usize> {
    let before = path[..path.len() - 1].iter().enumerate().rev();
    before.filter(|(_, step)| **step == first).map(|(position, _)| position).nth(later)
}
