//! Looking for one suspect on single paths.
//!
//! A breadth-first search over (step, what matters of the past). What matters is exact and small: which viewers cannot
//! tell that the one execution in question is finished, or how many tokens one flag has. Nothing is united, so a
//! suspect that is found comes with a shortest path, and one that is not found is none.
//!
//! What must hold: a path takes any arm of a branch, and any number of trips that the loop's bounds allow (numbers
//! above [`COUNTED_TRIPS`] are not told apart).

use std::collections::HashSet;
use std::hash::Hash;

use super::flow::{Flow, Slot, SlotKind, Slots};
use super::program::{Program, Step, StepIndex};

/// Trips up to which a known number of trips is counted exactly.
pub const COUNTED_TRIPS: u8 = 4;

/// States after which a search gives up.
const MAX_STATES: usize = 400_000;

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// On this path: the steps executed, the last one included.
    Path(Vec<StepIndex>),
    /// On no path.
    Nowhere,
    /// The search was too large.
    GaveUp,
}

/// What a search does behind a step.
enum Next<S> {
    /// Go on in this state.
    On(S),
    /// Go on in either.
    Either(S, S),
    /// This path is of no interest any more.
    Drop,
    /// Here it is.
    Here,
}

/// An instruction of `slot` that is pending when `target` starts, or a wait pending when a set of its flag executes,
/// or work of a pipe at the exit.
pub(super) fn pending(
    program: &Program,
    slots: &Slots,
    flow: &Flow,
    slot: usize,
    target: StepIndex,
) -> Found {
    let Slot { pipe: own, what } = slots.slots[slot];
    let pipes = program.pipes.len();
    let words = (pipes + program.keys.len()).div_ceil(64);
    // The viewer that must not find it pending.
    let viewer = match (what, program.steps[target]) {
        (SlotKind::Wait { key }, _) => program.keys[key].src,
        (_, Step::Exit) => match program.scalar {
            Some(scalar) => scalar,
            None => return Found::Nowhere,
        },
        _ => match program.pipe_of(target) {
            Some(pipe) => pipe,
            None => return Found::Nowhere,
        },
    };
    // Bit v: viewer v (a pipe, or a flag on its way) cannot tell that it is finished. None: it has not started.
    type Track = Option<Box<[u64]>>;
    let has = |t: &[u64], viewer: usize| t[viewer / 64] & 1 << (viewer % 64) != 0;
    let put = |t: &mut [u64], viewer: usize, on: bool| {
        let bit = 1u64 << (viewer % 64);
        if on { t[viewer / 64] |= bit } else { t[viewer / 64] &= !bit }
    };
    let fresh = || vec![u64::MAX; words].into_boxed_slice();
    search(program, None, |at, track: &Track| {
        if at == target && track.as_ref().is_some_and(|t| has(t, viewer)) {
            return Next::Here;
        }
        // While the scalar unit waits nothing later is handed out, so that wait is never pending.
        let is_wait = matches!(what, SlotKind::Wait { .. });
        let starts = slots.of(at).contains(&slot) && !(is_wait && Some(own) == program.scalar);
        let Some(track) = track else {
            return if starts { Next::Either(None, Some(fresh())) } else { Next::On(None) };
        };
        // Of two executions the later one is pending for whomever the earlier one is: that path is tried as well.
        if starts {
            return Next::Drop;
        }
        let mut t = track.clone();
        match program.steps[at] {
            // A later set of the flag comes after the set that this wait is in the way of.
            Step::Set(key) if what == (SlotKind::Wait { key }) && flow.clear[at] => return Next::Drop,
            Step::Set(key) => {
                let flag = pipes + key;
                let src = program.keys[key].src;
                let mut pending = src != own && has(&t, src);
                pending |= !flow.in_protocol[at] && has(&t, flag);
                put(&mut t, flag, pending);
            }
            Step::Wait(key) if flow.in_protocol[at] => {
                let flag = has(&t, pipes + key);
                let dst = program.keys[key].dst;
                let all = Some(dst) == program.scalar;
                for pipe in (0..pipes).filter(|&p| all || p == dst) {
                    let pending = flag && has(&t, pipe);
                    put(&mut t, pipe, pending);
                }
                // The flag is down; what comes next in it is decided by the next set.
                put(&mut t, pipes + key, true);
            }
            Step::Barrier(Some(pipe)) if pipe == own => put(&mut t, own, false),
            Step::Barrier(None) => return Next::Drop,
            _ => {}
        }
        if (0..pipes).all(|p| !has(&t, p)) { Next::Drop } else { Next::On(Some(t)) }
    })
}

/// A set of a flag that is set already, a wait for one that is not, or (at the exit) a flag that is left set, in
/// program order.
pub(super) fn protocol(program: &Program, key: usize, target: StepIndex) -> Found {
    search(program, 0i8, |at, &count: &i8| {
        if at == target {
            let broken = match program.steps[at] {
                Step::Set(_) => count > 0,
                Step::Wait(_) => count <= 0,
                _ => count > 0,
            };
            if broken {
                return Next::Here;
            }
        }
        match program.steps[at] {
            // Beyond a few it does not matter how many.
            Step::Set(k) if k == key => Next::On((count + 1).min(8)),
            Step::Wait(k) if k == key => Next::On((count - 1).max(-8)),
            _ => Next::On(count),
        }
    })
}

/// Any path to the step.
pub(super) fn reach(program: &Program, target: StepIndex) -> Found {
    search(program, (), |at, ()| if at == target { Next::Here } else { Next::On(()) })
}

/// Trips of the loops around a step whose number is known, outermost first.
type Counts = Vec<u8>;

fn search<S: Clone + Eq + Hash>(
    program: &Program,
    start: S,
    mut run: impl FnMut(StepIndex, &S) -> Next<S>,
) -> Found {
    // Where a state was reached from.
    let mut parents: Vec<(u32, u32)> = vec![(0, u32::MAX)];
    let mut states: Vec<(S, Counts)> = vec![(start.clone(), Counts::new())];
    let mut seen = HashSet::from([(0, start, Counts::new())]);
    let mut head = 0;
    let mut ahead = Vec::new();
    while head < parents.len() {
        if parents.len() > MAX_STATES {
            return Found::GaveUp;
        }
        let at = parents[head].0 as StepIndex;
        let (state, counts) = states[head].clone();
        let next = match run(at, &state) {
            Next::On(state) => vec![state],
            Next::Either(a, b) => vec![a, b],
            Next::Drop => Vec::new(),
            Next::Here => return Found::Path(path(&parents, head)),
        };
        successors(program, at, &counts, &mut ahead);
        for state in next {
            for (step, counts) in &ahead {
                if !seen.insert((*step, state.clone(), counts.clone())) {
                    continue;
                }
                parents.push((*step as u32, head as u32));
                states.push((state.clone(), counts.clone()));
            }
        }
        head += 1;
    }
    Found::Nowhere
}

fn path(parents: &[(u32, u32)], end: usize) -> Vec<StepIndex> {
    let mut path = Vec::new();
    let mut at = end as u32;
    while at != u32::MAX {
        let (step, parent) = parents[at as usize];
        path.push(step as StepIndex);
        at = parent;
    }
    path.reverse();
    path
}

/// The steps that can follow `at`, with the trips counted then.
fn successors(program: &Program, at: StepIndex, counts: &Counts, out: &mut Vec<(StepIndex, Counts)>) {
    out.clear();
    let known = |begin: StepIndex| match program.steps[begin] {
        Step::LoopBegin { trips, .. } => trips,
        _ => super::program::Trips::UNKNOWN,
    };
    let counted = |begin: StepIndex| known(begin) != super::program::Trips::UNKNOWN;
    match program.steps[at] {
        Step::LoopBegin { .. } => {
            let mut counts = counts.clone();
            if counted(at) {
                counts.push(0);
            }
            out.push((at + 1, counts));
        }
        Step::LoopTest { begin, end } => {
            let trips = known(begin);
            let mut outer = counts.clone();
            let count = if counted(begin) { outer.pop().unwrap_or(0) } else { 0 };
            let many = count >= COUNTED_TRIPS;
            let max_reached = trips.max.is_some_and(|max| u64::from(count) >= max);
            if !max_reached {
                out.push((at + 1, counts.clone()));
            }
            if many || u64::from(count) >= trips.min {
                out.push((end + 1, outer));
            }
        }
        Step::LoopEnd { begin } => {
            let mut counts = counts.clone();
            if counted(begin)
                && let Some(count) = counts.last_mut()
            {
                *count = (*count + 1).min(COUNTED_TRIPS);
            }
            out.push((begin + 1, counts));
        }
        Step::IfBegin { middle, .. } => out.extend([(at + 1, counts.clone()), (middle + 1, counts.clone())]),
        Step::Else { end } => out.push((end, counts.clone())),
        Step::Exit => {}
        _ => out.push((at + 1, counts.clone())),
    }
}
