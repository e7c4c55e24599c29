//! The way through a program: which steps the scalar unit meets, in which order.
//!
//! Loops run as often as their bounds say, or as the setup says where those are not known. A long loop is sampled: as
//! soon as the machine is in the same state as some trips before, the trips until the last one are skipped, since they
//! would only repeat; where that does not happen for long, or where trips may go different ways, they are taken to last
//! as long as those before.

use std::collections::BTreeMap;

use super::Setup;
use super::control::{Control, Variables};
use super::machine::{Blocked, Machine};
use super::price::Prices;
use super::records::Tally;
use crate::verify::conditions::TermKind;
use crate::verify::program::{Program, Step, StepIndex};

/// Trips of a sampled loop after which a repetition is no longer looked for.
const MAX_SAMPLE: u64 = 256;

/// Trips of a sampled loop that are run at least: the scalar unit runs ahead until queues are full.
const MIN_SAMPLE: u64 = 24;

/// What was found on the way.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Steps at which the machine hangs; empty if it came to the end.
    pub(super) hangs_at: Vec<StepIndex>,
    /// Loops whose trips are not known, with what was taken.
    pub(super) guessed_trips: BTreeMap<StepIndex, u64>,
    /// Branches whose condition is not known.
    pub(super) guessed_branches: BTreeMap<StepIndex, u64>,
    /// Loops that were sampled.
    pub(super) sampled: BTreeMap<StepIndex, Sampled>,
}

/// How a loop was cut short, the last time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampled {
    /// Trips that it has.
    pub(super) trips: u64,
    /// Trips that were skipped.
    pub(super) skipped: u64,
    /// Whether those skipped would have repeated the ones before exactly.
    pub(super) exact: bool,
}

/// Runs the program to its end, or until it hangs.
pub(super) fn run<'a>(
    program: &'a Program,
    control: &Control<'_>,
    prices: &'a Prices,
    setup: &Setup,
) -> (Machine<'a>, Way) {
    let mut walker = Walker {
        program,
        control,
        setup,
        weights: weights(program, control, setup),
        machine: Machine::new(program, prices, setup.model, setup.most_records),
        frames: Vec::new(),
        variables: Variables::new(),
        terms: given(program, setup),
        way: Way::default(),
    };
    walker.run();
    (walker.machine, walker.way)
}

/// A loop that is being run.
#[derive(Debug)]
struct Frame {
    begin: StepIndex,
    trips: u64,
    done: u64,
    /// What is added to the induction variable after a trip.
    step: Option<i64>,
    sample: Option<Sample>,
}

/// What a sampled loop is compared with.
#[derive(Debug)]
struct Sample {
    /// Trips done then.
    done: u64,
    state: Vec<u64>,
    /// When all was done that had been handed out.
    end: u64,
    tally: Tally,
    /// Trips after which it is no longer looked for a repetition.
    limit: u64,
    /// Whether the loop's trips may go different ways, so that an equal state does not mean an equal future.
    varies: bool,
}

struct Walker<'a, 'b> {
    program: &'a Program,
    control: &'b Control<'b>,
    setup: &'b Setup,
    /// For each loop the statements of one trip.
    weights: Vec<u64>,
    machine: Machine<'a>,
    frames: Vec<Frame>,
    variables: Variables,
    /// Values of the terms of the program's conditions, where they are known.
    terms: Vec<Option<i64>>,
    way: Way,
}

impl Walker<'_, '_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some(&step) = self.program.steps.get(at) {
            at = match step {
                Step::LoopBegin { .. } => {
                    self.enter(at);
                    at + 1
                }
                Step::LoopTest { begin, end } => match self.frames.last() {
                    Some(frame) if frame.done < frame.trips => {
                        self.forget(begin);
                        at + 1
                    }
                    _ => {
                        if let Some(frame) = self.frames.pop() {
                            self.variables.remove(&frame.begin);
                        }
                        end + 1
                    }
                },
                Step::LoopEnd { begin } => {
                    self.machine.branch();
                    self.next_trip();
                    begin + 1
                }
                Step::IfBegin { middle, .. } => {
                    self.machine.branch();
                    if self.takes_then(at) { at + 1 } else { middle + 1 }
                }
                Step::Else { end } => end + 1,
                Step::Assign(change) => {
                    self.assign(change);
                    at + 1
                }
                // What a call does with flags is in its own cost, and nobody here waits for a signal.
                Step::IfEnd | Step::Opaque | Step::Uses(_) | Step::Publish(_) | Step::Exit => at + 1,
                _ => {
                    if !self.execute(at) {
                        return;
                    }
                    at + 1
                }
            };
        }
        while !self.machine.waiting().is_empty() {
            if !self.machine.lose() {
                self.way.hangs_at = self.machine.waiting();
                return;
            }
        }
    }

    /// Whether the step could be executed.
    fn execute(&mut self, step: StepIndex) -> bool {
        while let Err(blocked) = self.machine.step(step) {
            if !self.machine.lose() {
                // A full queue stands at its head, which is among those that wait.
                let own = match blocked {
                    Blocked::Statement(step) => Some(step),
                    Blocked::Queue(..) => None,
                };
                self.way.hangs_at = own.into_iter().chain(self.machine.waiting()).collect();
                return false;
            }
        }
        true
    }

    fn enter(&mut self, begin: StepIndex) {
        let entered = self.control.enter(begin, &self.variables);
        let trips = entered.trips.unwrap_or_else(|| {
            self.way.guessed_trips.insert(begin, self.setup.default_trips);
            self.setup.default_trips
        });
        if let Some(low) = entered.low {
            self.variables.insert(begin, low);
        }
        let weight = self.weights[begin].max(1);
        let is_long = trips.saturating_mul(weight) > self.setup.budget;
        let limit = (self.setup.budget / weight).clamp(MIN_SAMPLE, MAX_SAMPLE);
        let varies = || self.control.varies(begin, self.program);
        let sample = (is_long && trips > limit).then(|| self.sample(0, limit, varies()));
        self.frames.push(Frame { begin, trips, done: 0, step: entered.step, sample });
    }

    fn sample(&self, done: u64, limit: u64, varies: bool) -> Sample {
        let (state, tally) = (self.machine.state(), self.machine.tally.clone());
        Sample { done, state, end: self.machine.end().time, tally, limit, varies }
    }

    /// The innermost loop ends a trip.
    fn next_trip(&mut self) {
        let Some(mut frame) = self.frames.pop() else { return };
        self.advance(&mut frame, 1);
        if let Some(sample) = frame.sample.take() {
            let exact = !sample.varies && self.machine.state() == sample.state;
            if exact || frame.done >= sample.limit {
                self.skip(&mut frame, &sample, exact);
            } else if frame.done >= 2 * sample.done.max(1) {
                // The mark moves on, so that it gets behind whatever happens at the start.
                frame.sample = Some(self.sample(frame.done, sample.limit, sample.varies));
            } else {
                frame.sample = Some(sample);
            }
        }
        self.frames.push(frame);
    }

    /// Skips the trips until the last one, as far as they are a multiple of those since the mark.
    fn skip(&mut self, frame: &mut Frame, mark: &Sample, exact: bool) {
        let period = frame.done - mark.done;
        let times = (frame.trips - frame.done).saturating_sub(1) / period;
        let cycles = (self.machine.end().time - mark.end).saturating_mul(times);
        self.machine.shift(cycles);
        self.machine.tally.repeat_since(&mark.tally, times);
        let skipped = period * times;
        self.advance(frame, skipped);
        let (trips, exact) = (frame.trips, exact);
        self.way.sampled.insert(frame.begin, Sampled { trips, skipped, exact });
    }

    fn advance(&mut self, frame: &mut Frame, trips: u64) {
        frame.done += trips;
        if let Some(variable) = self.variables.get_mut(&frame.begin) {
            let step = frame.step.unwrap_or(0);
            *variable = variable.wrapping_add(step.wrapping_mul(trips as i64));
        }
    }

    /// Terms get other values, all at once.
    fn assign(&mut self, change: usize) {
        let (program, terms) = (self.program, &self.terms);
        let value = |&(term, expr): &(usize, Option<usize>)| {
            (term, expr.and_then(|expr| program.conditions.value(expr, &|term| terms[term])))
        };
        let values: Vec<_> = program.conditions.assign(change).iter().map(value).collect();
        values.into_iter().for_each(|(term, value)| self.terms[term] = value);
    }

    /// What is another value with each trip of a loop is not known, unless it is given.
    fn forget(&mut self, begin: StepIndex) {
        for &term in self.program.conditions.fresh(begin) {
            self.terms[term] = given_for(self.program, self.setup, term);
        }
    }

    fn takes_then(&mut self, begin: StepIndex) -> bool {
        let found = self.control.takes_then(begin, &self.variables).or_else(|| {
            let guard = self.program.conditions.guard(begin)?;
            Some(self.program.conditions.value(guard, &|term| self.terms[term])? != 0)
        });
        found.unwrap_or_else(|| {
            *self.way.guessed_branches.entry(begin).or_default() += 1;
            true
        })
    }
}

/// The terms of the program's conditions to begin with: what is given is known.
fn given(program: &Program, setup: &Setup) -> Vec<Option<i64>> {
    (0..program.conditions.terms.len()).map(|term| given_for(program, setup, term)).collect()
}

fn given_for(program: &Program, setup: &Setup, term: usize) -> Option<i64> {
    let term = &program.conditions.terms[term];
    if matches!(term.kind, TermKind::Assigned) {
        return None;
    }
    setup.given.get(term.name.trim_start_matches('%')).copied()
}

/// For each loop about how many statements one trip executes, loops inside included.
fn weights(program: &Program, control: &Control<'_>, setup: &Setup) -> Vec<u64> {
    let mut weights = vec![0; program.steps.len()];
    let mut open: Vec<(StepIndex, u64)> = Vec::new();
    let none = Variables::new();
    for (at, step) in program.steps.iter().enumerate() {
        let mut add = 1;
        match step {
            Step::LoopBegin { .. } => open.push((at, 0)),
            Step::LoopEnd { .. } => {
                if let Some((begin, weight)) = open.pop() {
                    weights[begin] = weight;
                    add = weight
                        .saturating_mul(control.enter(begin, &none).trips.unwrap_or(setup.default_trips));
                }
            }
            _ => {}
        }
        if let Some((_, weight)) = open.last_mut() {
            *weight = weight.saturating_add(add);
        }
    }
    weights
}
