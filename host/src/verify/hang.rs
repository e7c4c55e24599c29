//! Deadlock: whether the pipes can come to rest with work left.
//!
//! If sets and waits of every flag alternate in program order on every path, nothing inside one core can hang:
//! whatever the earliest unfinished step needs is earlier still. So there is something to look for only where the
//! protocol is broken. Then paths with few trips are executed. Each flag has one pipe that sets it and one that takes
//! it, each in its order, so where a path comes to rest does not depend on who is faster: one execution a path will do.
//! Where tokens can be lost it does: then there is one more for each flag, in which its waits come as late as can be.
//!
//! What must hold: a path that is reported does hang. That none was found is a sample, not a proof.

use std::collections::BTreeSet;

use super::FlagModel;
use super::drive::{self, Driven};
use super::feasible::Assignment;
use super::program::{KeyIndex, Program, Step, StepIndex};

/// Paths, and steps on all of them together, that are executed at most.
const MAX_PATHS: usize = 4_000;
const MAX_STEPS: usize = 4_000_000;

/// Trips that are tried where the number is not known.
const MAX_TRIPS: u64 = 3;

/// A path that hangs.
#[derive(Clone, Debug)]
pub(super) struct Hang {
    /// All steps of the path.
    pub(super) path: Vec<StepIndex>,
    /// The steps that are stuck, the first of each pipe that is.
    pub(super) stuck: Vec<StepIndex>,
    /// Values of terms with which it is gone.
    pub(super) assignment: Assignment,
    /// Whether values are in it that may never be together.
    pub(super) may_be: bool,
}

/// The first path found on which the pipes come to rest with work left, and how many paths were executed. `shown` are
/// assignments with which something is known to go wrong.
pub(super) fn hang<'a>(
    program: &Program,
    model: FlagModel,
    shown: impl Iterator<Item = &'a Assignment>,
) -> (Option<Hang>, usize) {
    let late = if model == FlagModel::Lose { program.keys.len() } else { 0 };
    let mut found = None;
    let (mut paths, mut steps) = (0, 0);
    let mut visit = |path: &[StepIndex], assignment: &Assignment, may_be: bool| {
        paths += 1;
        steps += path.len() * (1 + late);
        let ways = std::iter::once(None).chain((0..late).map(Some));
        let stuck = ways.map(|late| execute(program, path, late)).find(|stuck| !stuck.is_empty());
        let (path, assignment) = (path.to_vec(), assignment.clone());
        found = stuck.map(|stuck| Hang { path, stuck, assignment, may_be });
        found.is_none() && paths < MAX_PATHS && steps < MAX_STEPS
    };
    if program.conditions.is_empty() {
        let none = Assignment::new();
        walk(program, 0, &mut Vec::new(), &mut Vec::new(), &mut |path| visit(path, &none, false));
    } else {
        let shown: BTreeSet<&Assignment> = shown.collect();
        let samples = drive::samples(program, MAX_PATHS);
        for assignment in shown.into_iter().cloned().chain(samples) {
            let Some(Driven { path, assignment, may_be }) = drive::drive(program, &assignment) else {
                continue;
            };
            if !visit(&path, &assignment, may_be) {
                break;
            }
        }
    }
    (found, paths)
}

/// Calls `visit` with every path, short ones first where that is cheap, until it says no. `counts` holds the trips of
/// the loops that are open.
fn walk(
    program: &Program,
    from: StepIndex,
    path: &mut Vec<StepIndex>,
    counts: &mut Vec<u64>,
    visit: &mut dyn FnMut(&[StepIndex]) -> bool,
) -> bool {
    // Depth first by hand: how far the path was, where it went on, which trips were open.
    let mut open: Vec<(usize, StepIndex, Vec<u64>)> = vec![(path.len(), from, counts.clone())];
    while let Some((length, mut at, trips_done)) = open.pop() {
        path.truncate(length);
        *counts = trips_done;
        loop {
            path.push(at);
            if path.len() > MAX_STEPS {
                return false;
            }
            at = match program.steps[at] {
                Step::LoopBegin { .. } => {
                    counts.push(0);
                    at + 1
                }
                Step::LoopTest { begin, end } => {
                    let Step::LoopBegin { trips, .. } = program.steps[begin] else { return false };
                    let done = counts.last().copied().unwrap_or(0);
                    let most = trips.max.unwrap_or(MAX_TRIPS.max(trips.min));
                    // A long known loop is cut short: the paths are a sample anyway.
                    let (least, most) = (trips.min.min(MAX_TRIPS), most.min(MAX_TRIPS));
                    if done >= least && done < most {
                        open.push((path.len(), at + 1, counts.clone()));
                    }
                    if done >= least {
                        counts.pop();
                        end + 1
                    } else {
                        at + 1
                    }
                }
                Step::LoopEnd { begin } => {
                    if let Some(count) = counts.last_mut() {
                        *count += 1;
                    }
                    begin + 1
                }
                Step::IfBegin { middle, .. } => {
                    open.push((path.len(), middle + 1, counts.clone()));
                    at + 1
                }
                Step::Else { end } => end,
                Step::Exit => break,
                _ => at + 1,
            };
        }
        if !visit(path) {
            return false;
        }
    }
    true
}

/// Executes a path with queues of any length until nothing moves. The first stuck step of each pipe that has one. If a
/// flag is given, its waits come late, and a set of a flag that is still set is lost.
fn execute(program: &Program, path: &[StepIndex], late: Option<KeyIndex>) -> Vec<StepIndex> {
    let mut queues: Vec<Vec<StepIndex>> = vec![Vec::new(); program.pipes.len()];
    let mut next = vec![0usize; program.pipes.len()];
    let mut flags = vec![false; program.keys.len()];
    // Everything before a full barrier is done before anything behind it is handed out, and the scalar unit hands out
    // nothing while it waits.
    for &at in path {
        if let Some(pipe) = program.pipe_of(at) {
            queues[pipe].push(at);
        }
        let stops = match program.steps[at] {
            Step::Barrier(None) | Step::Exit => true,
            Step::Wait(key) => Some(program.keys[key].dst) == program.scalar,
            _ => false,
        };
        if !stops {
            continue;
        }
        settle(program, &queues, &mut next, &mut flags, late);
        let rests = |pipe: usize| next[pipe] < queues[pipe].len();
        let blocked = match program.steps[at] {
            Step::Wait(key) => rests(program.keys[key].dst),
            _ => (0..queues.len()).any(rests),
        };
        if blocked {
            return (0..queues.len()).filter_map(|pipe| queues[pipe].get(next[pipe]).copied()).collect();
        }
    }
    Vec::new()
}

/// Lets every pipe go as far as it can.
fn settle(
    program: &Program,
    queues: &[Vec<StepIndex>],
    next: &mut [usize],
    flags: &mut [bool],
    late: Option<KeyIndex>,
) {
    let mut held = late;
    loop {
        let mut moved = false;
        for pipe in 0..queues.len() {
            while let Some(&at) = queues[pipe].get(next[pipe]) {
                match program.steps[at] {
                    Step::Set(key) if flags[key] && late.is_none() => break,
                    Step::Set(key) => flags[key] = true,
                    Step::Wait(key) if !flags[key] || held == Some(key) => break,
                    Step::Wait(key) => {
                        flags[key] = false;
                        // The next one comes late again.
                        held = late;
                    }
                    _ => {}
                }
                next[pipe] += 1;
                moved = true;
            }
        }
        match held {
            _ if moved => {}
            Some(_) => held = None,
            None => return,
        }
    }
}
