//! The machine: a scalar unit that hands out work in program order, pipes with bounded queues, flags, barriers.
//!
//! Pipes work in order and meet only through flags, so the n-th set of a flag belongs to its n-th wait, and every time
//! follows from earlier ones: each statement's times are computed once, as soon as all that they depend on is known.
//! What must hold: between two calls nothing that could run is left waiting, so that a scalar unit which cannot go on
//! is a deadlock, or (where flags lose tokens) a set that finds its flag still set.

use std::collections::VecDeque;

use super::price::{Price, Prices};
use super::records::{Cause, NOBODY, Record, Stamp, Tally};
use super::timeline::Reason;
use crate::verify::FlagModel;
use crate::verify::program::{KeyIndex, Program, Step, StepIndex};

/// A step that was handed to a pipe and has not started.
#[derive(Clone, Copy, Debug)]
struct Item {
    step: StepIndex,
    ready: Stamp,
    cause: Cause,
    held: Option<(Reason, u32)>,
}

#[derive(Clone, Debug)]
struct Pipe {
    /// When the next one can start.
    free: Stamp,
    /// When all that started is done.
    done: Stamp,
    queue: VecDeque<Item>,
    /// Starts of the newest ones, as many as the queue is deep.
    starts: VecDeque<Stamp>,
    handed: u64,
    started: u64,
}

#[derive(Clone, Copy, Debug)]
struct Flag {
    /// When the token that is in it can be seen; none if there is none.
    token: Option<Stamp>,
    /// When a token was last taken.
    taken: Stamp,
}

/// What keeps the scalar unit from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// A statement of its own, or a barrier of all pipes.
    Statement(StepIndex),
    /// The queue of the pipe that is to get this one.
    Queue(StepIndex, usize),
}

/// The machine in the middle of a run.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    program: &'a Program,
    prices: &'a Prices,
    model: FlagModel,
    scalar: usize,
    pipes: Vec<Pipe>,
    flags: Vec<Flag>,
    /// When the scalar unit can go on.
    now: Stamp,
    cause: Cause,
    /// When the scalar unit was held up last, until when, why and at which step.
    held: Option<(u64, Reason, u32)>,
    /// Pipes whose head may be able to start.
    work: Vec<usize>,
    pub(super) tally: Tally,
    pub(super) records: Vec<Record>,
    /// When the scalar unit waited for room in a queue, until when, and for which step.
    pub(super) queue_stalls: Vec<(u64, u64, u32)>,
    most_records: usize,
    /// Statements whose times were worked out.
    pub(super) simulated: u64,
    /// Sets that found their flag still set and were lost.
    pub(super) lost_tokens: u64,
}

impl<'a> Machine<'a> {
    pub(super) fn new(
        program: &'a Program,
        prices: &'a Prices,
        model: FlagModel,
        most_records: usize,
    ) -> Self {
        // A program without a scalar pipe is handed out all the same.
        let scalar = program.scalar.unwrap_or(program.pipes.len());
        let count = program.pipes.len().max(scalar + 1);
        let pipe = Pipe {
            free: Stamp::START,
            done: Stamp::START,
            queue: VecDeque::new(),
            starts: VecDeque::new(),
            handed: 0,
            started: 0,
        };
        Self {
            program,
            prices,
            model,
            scalar,
            pipes: vec![pipe; count],
            flags: vec![Flag { token: None, taken: Stamp::START }; program.keys.len()],
            now: Stamp::START,
            cause: Cause::Start,
            held: None,
            work: Vec::new(),
            tally: Tally::new(count, program.steps.len()),
            records: Vec::new(),
            queue_stalls: Vec::new(),
            most_records,
            simulated: 0,
            lost_tokens: 0,
        }
    }

    /// When all that started is done, with the record that is done last.
    pub(super) fn end(&self) -> Stamp {
        self.pipes.iter().fold(self.now, |end, pipe| end.later(pipe.done))
    }

    /// The scalar unit goes on with a loop or into a branch.
    pub(super) fn branch(&mut self) {
        self.now.time += self.prices.branch;
        self.tally.busy[self.scalar] += self.prices.branch;
        self.pipes[self.scalar].free = self.now;
    }

    /// Hands out or executes a step. On failure nothing was changed.
    pub(super) fn step(&mut self, step: StepIndex) -> Result<(), Blocked> {
        let pipe = match self.program.steps[step] {
            Step::Instruction { pipe, .. } if Some(pipe) == self.program.unknown => self.scalar,
            Step::Barrier(None) => return self.barrier_all(step),
            _ => match self.program.pipe_of(step) {
                Some(pipe) => pipe,
                None => return Ok(()),
            },
        };
        if pipe == self.scalar { self.scalar_step(step) } else { self.hand_out(step, pipe) }
    }

    /// Lets the earliest set that finds its flag still set be lost, if tokens can be. Whether there was one.
    pub(super) fn lose(&mut self) -> bool {
        if self.model == FlagModel::Stall {
            return false;
        }
        let candidate = |pipe: usize| {
            let item = self.pipes[pipe].queue.front()?;
            let Step::Set(_) = self.program.steps[item.step] else { return None };
            Some((self.set_time(pipe, item).time, pipe))
        };
        let Some((_, pipe)) = (0..self.pipes.len()).filter_map(candidate).min() else { return false };
        let Some(item) = self.pipes[pipe].queue.pop_front() else { return false };
        self.lose_set(pipe, item);
        self.work.push(pipe);
        self.run();
        true
    }

    /// Steps at which pipes stand and cannot go on.
    pub(super) fn waiting(&self) -> Vec<StepIndex> {
        self.pipes.iter().filter_map(|pipe| pipe.queue.front()).map(|item| item.step).collect()
    }

    /// Moves everything that is known forward in time.
    pub(super) fn shift(&mut self, cycles: u64) {
        let shift = |stamp: &mut Stamp| stamp.time += cycles;
        shift(&mut self.now);
        for pipe in &mut self.pipes {
            shift(&mut pipe.free);
            shift(&mut pipe.done);
            pipe.queue.iter_mut().for_each(|item| shift(&mut item.ready));
            pipe.starts.iter_mut().for_each(shift);
        }
        for flag in &mut self.flags {
            flag.token.iter_mut().for_each(shift);
            shift(&mut flag.taken);
        }
        if let Some((until, ..)) = &mut self.held {
            *until += cycles;
        }
    }

    /// All that the future depends on, relative to now: where it is equal, the same program goes on in the same way.
    pub(super) fn state(&self) -> Vec<u64> {
        let now = self.now.time;
        let ahead = |stamp: Stamp| stamp.time.saturating_sub(now);
        let mut state = Vec::new();
        for pipe in &self.pipes {
            state.extend([ahead(pipe.free), ahead(pipe.done), pipe.queue.len() as u64]);
            state.extend(pipe.queue.iter().flat_map(|item| [item.step as u64, ahead(item.ready)]));
            let room = pipe.handed - pipe.started + pipe.starts.len() as u64;
            state.push(room);
            state.extend(pipe.starts.iter().map(|&s| ahead(s)));
        }
        for flag in &self.flags {
            state.extend([flag.token.map_or(0, |t| 1 + ahead(t)), ahead(flag.taken)]);
        }
        state
    }

    /// A statement of the scalar unit's own.
    fn scalar_step(&mut self, step: StepIndex) -> Result<(), Blocked> {
        let (mut start, mut cause, mut reason) = (self.now, self.cause, Reason::Dispatch);
        let busy = match self.program.steps[step] {
            Step::Instruction { .. } => self.prices.steps[step].busy,
            Step::Set(key) => {
                let flag = self.flags[key];
                if flag.token.is_some() || flag.taken.time > start.time {
                    if self.model == FlagModel::Lose {
                        self.lost_tokens += 1;
                        self.tally.count[step] += 1;
                        return Ok(());
                    }
                    if flag.token.is_some() {
                        return Err(Blocked::Statement(step));
                    }
                    (start, cause, reason) = (flag.taken, Cause::FlagTaken, Reason::Set);
                }
                self.prices.set
            }
            Step::Wait(key) => {
                let Some(token) = self.flags[key].token else { return Err(Blocked::Statement(step)) };
                if token.time > start.time {
                    (start, cause, reason) = (token, Cause::Flag, Reason::Wait);
                }
                self.prices.wait
            }
            _ => return Ok(()),
        };
        let by = self.finish_scalar(step, start, busy, cause, reason);
        match self.program.steps[step] {
            Step::Set(key) => {
                let time = self.now.time + self.prices.set_delay;
                self.flags[key].token = Some(Stamp { time, by });
                self.work.push(self.program.keys[key].dst);
            }
            Step::Wait(key) => {
                self.flags[key] = Flag { token: None, taken: Stamp { time: start.time, by } };
                self.work.push(self.program.keys[key].src);
            }
            _ => {}
        }
        self.run();
        Ok(())
    }

    fn barrier_all(&mut self, step: StepIndex) -> Result<(), Blocked> {
        if self.pipes.iter().any(|pipe| !pipe.queue.is_empty()) {
            return Err(Blocked::Statement(step));
        }
        let start = self.end();
        let cause = if start == self.now { self.cause } else { Cause::Barrier };
        self.finish_scalar(step, start, self.prices.barrier_all, cause, Reason::Barrier);
        let done = self.now;
        self.pipes.iter_mut().for_each(|pipe| pipe.done = done.later(pipe.done));
        self.held = Some((done.time, Reason::Barrier, step as u32));
        Ok(())
    }

    /// Notes a statement that the scalar unit executed, and moves on to its end.
    fn finish_scalar(
        &mut self,
        step: StepIndex,
        start: Stamp,
        busy: u64,
        cause: Cause,
        reason: Reason,
    ) -> u32 {
        let before = self.now.time;
        let time = start.time + busy;
        let by = self.record(Record {
            step: step as u32,
            pipe: self.scalar as u32,
            from: before,
            ready: before,
            start: start.time,
            free: time,
            end: time,
            cause,
            by: start.by,
            held: None,
        });
        self.tally.executed += 1;
        self.tally.count[step] += 1;
        self.tally.busy[self.scalar] += busy;
        self.stall(self.scalar, step, reason, start.time - before);
        self.now = Stamp { time, by };
        self.cause = Cause::Dispatch;
        let scalar = &mut self.pipes[self.scalar];
        (scalar.free, scalar.done) = (self.now, scalar.done.later(self.now));
        if start.time > before {
            self.held = Some((start.time, reason, step as u32));
        }
        by
    }

    /// Puts a step into a pipe's queue.
    fn hand_out(&mut self, step: StepIndex, pipe: usize) -> Result<(), Blocked> {
        let depth = self.prices.queues[pipe] as u64;
        let target = &self.pipes[pipe];
        if target.handed - target.started >= depth {
            return Err(Blocked::Queue(step, pipe));
        }
        // The place of the one that is `depth` before it is free from that one's start on.
        if target.handed >= depth {
            let oldest = target.started - target.starts.len() as u64;
            let room = target.starts[(target.handed - depth - oldest) as usize];
            if room.time > self.now.time {
                self.stall(self.scalar, step, Reason::Queue, room.time - self.now.time);
                if self.queue_stalls.len() < self.most_records {
                    self.queue_stalls.push((self.now.time, room.time, step as u32));
                }
                self.held = Some((room.time, Reason::Queue, step as u32));
                (self.now, self.cause) = (room, Cause::Queue);
            }
        }
        self.now.time += self.prices.dispatch;
        self.tally.busy[self.scalar] += self.prices.dispatch;
        self.pipes[self.scalar].free = self.now;
        let target = &mut self.pipes[pipe];
        let held = self.held.filter(|(until, ..)| *until > target.free.time).map(|(_, why, at)| (why, at));
        target.queue.push_back(Item { step, ready: self.now, cause: self.cause, held });
        target.handed += 1;
        if self.cause == Cause::Queue {
            self.cause = Cause::Dispatch;
        }
        self.work.push(pipe);
        self.run();
        Ok(())
    }

    /// Lets pipes start what they can until nothing more can start.
    fn run(&mut self) {
        while let Some(pipe) = self.work.pop() {
            while let Some(&item) = self.pipes[pipe].queue.front() {
                if !self.start(pipe, item) {
                    break;
                }
                self.pipes[pipe].queue.pop_front();
            }
        }
    }

    /// Starts the head of a pipe's queue, if all that it depends on is known.
    fn start(&mut self, pipe: usize, item: Item) -> bool {
        let Pipe { free, done, .. } = self.pipes[pipe];
        let (base, cause) = base(free, &item);
        match self.program.steps[item.step] {
            Step::Instruction { .. } => {
                let Price { head, busy, tail } = self.prices.steps[item.step];
                let was_idle = base.time > free.time || self.pipes[pipe].started == 0;
                let busy = if was_idle { head + busy } else { busy };
                let times = [base.time, base.time + busy, base.time + busy + tail];
                self.started(pipe, item, base, cause, times, Reason::Dispatch);
                true
            }
            Step::Set(key) => self.start_set(pipe, item, key),
            Step::Wait(key) => {
                let Some(token) = self.flags[key].token else { return false };
                let (start, cause) =
                    if token.time > base.time { (token, Cause::Flag) } else { (base, cause) };
                let end = start.time + self.prices.wait;
                let by = self.started(pipe, item, start, cause, [start.time, end, end], Reason::Wait);
                self.flags[key] = Flag { token: None, taken: Stamp { time: start.time, by } };
                self.work.push(self.program.keys[key].src);
                true
            }
            _ => {
                let (start, cause) =
                    if done.time > base.time { (done, Cause::Barrier) } else { (base, cause) };
                let end = start.time + self.prices.barriers[pipe];
                self.started(pipe, item, start, cause, [start.time, end, end], Reason::Barrier);
                true
            }
        }
    }

    /// A set executes once earlier work is done, and does not hold later work. But while its flag is still set it stands
    /// at the head of the queue, or is lost.
    fn start_set(&mut self, pipe: usize, item: Item, key: KeyIndex) -> bool {
        let flag = self.flags[key];
        let loses = self.model == FlagModel::Lose;
        if flag.token.is_some() {
            return false;
        }
        if loses && flag.taken.time > self.set_time(pipe, &item).time {
            self.lose_set(pipe, item);
            return true;
        }
        let (base, cause) = base(self.pipes[pipe].free, &item);
        let is_held = !loses && flag.taken.time > base.time;
        let (start, cause) = if is_held { (flag.taken, Cause::FlagTaken) } else { (base, cause) };
        let executes = start.later(self.pipes[pipe].done);
        let cause = if executes == start { cause } else { Cause::Barrier };
        let end = executes.time + self.prices.set;
        let times = [start.time, start.time + self.prices.set, end];
        let stamp = Stamp { by: executes.by, ..start };
        let by = self.started(pipe, item, stamp, cause, times, Reason::Set);
        let time = end + self.prices.set_delay;
        self.flags[key].token = Some(Stamp { time, by });
        self.work.push(self.program.keys[key].dst);
        true
    }

    /// When a set would execute if its flag were empty.
    fn set_time(&self, pipe: usize, item: &Item) -> Stamp {
        let Pipe { free, done, .. } = self.pipes[pipe];
        base(free, item).0.later(done)
    }

    /// A set without effect.
    fn lose_set(&mut self, pipe: usize, item: Item) {
        let (base, cause) = base(self.pipes[pipe].free, &item);
        let end = base.time + self.prices.set;
        self.started(pipe, item, base, cause, [base.time, end, end], Reason::Set);
        self.lost_tokens += 1;
    }

    /// Notes that a pipe started an item: `times` are its start, when the pipe is free again, and its end.
    fn started(
        &mut self,
        pipe: usize,
        item: Item,
        start: Stamp,
        cause: Cause,
        times: [u64; 3],
        reason: Reason,
    ) -> u32 {
        let [at, free, end] = times;
        let from = self.pipes[pipe].free.time;
        let ready = item.ready.time.max(from);
        let by = self.record(Record {
            step: item.step as u32,
            pipe: pipe as u32,
            from,
            ready,
            start: at,
            free,
            end,
            cause,
            by: start.by,
            held: item.held,
        });
        let late = item.held.map_or(Reason::Dispatch, |(reason, _)| reason);
        self.tally.stalls[pipe][late as usize] += ready - from;
        self.stall(pipe, item.step, reason, at - ready);
        self.tally.executed += 1;
        self.tally.count[item.step] += 1;
        self.tally.busy[pipe] += free - at;
        let depth = self.prices.queues[pipe];
        let pipe = &mut self.pipes[pipe];
        pipe.free = Stamp { time: free, by };
        pipe.done = pipe.done.later(Stamp { time: end, by });
        pipe.started += 1;
        if depth < usize::MAX {
            if pipe.starts.len() == depth {
                pipe.starts.pop_front();
            }
            pipe.starts.push_back(Stamp { time: at, by });
        }
        by
    }

    fn stall(&mut self, pipe: usize, step: StepIndex, reason: Reason, cycles: u64) {
        if cycles > 0 {
            self.tally.stalls[pipe][reason as usize] += cycles;
            if reason != Reason::Dispatch && reason != Reason::Queue {
                self.tally.lost[step] += cycles;
            }
        }
    }

    fn record(&mut self, record: Record) -> u32 {
        self.simulated += 1;
        if self.records.len() >= self.most_records {
            return NOBODY;
        }
        self.records.push(record);
        self.records.len() as u32 - 1
    }
}

/// When a pipe could start an item if that needed nothing else.
fn base(free: Stamp, item: &Item) -> (Stamp, Cause) {
    if item.ready.time > free.time { (item.ready, item.cause) } else { (free, Cause::Pipe) }
}
