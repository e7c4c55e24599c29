//! What a run notes: one record for each execution of a step, and sums.

use super::timeline::Reason;

/// No record.
pub(super) const NOBODY: u32 = u32::MAX;

/// A point in time, with the record that brought it about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) time: u64,
    pub(super) by: u32,
}

impl Stamp {
    pub(super) const START: Self = Self { time: 0, by: NOBODY };

    pub(super) fn later(self, other: Self) -> Self {
        if other.time > self.time { other } else { self }
    }
}

/// What kept a statement from starting earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Start,
    Dispatch,
    Queue,
    Pipe,
    Flag,
    FlagTaken,
    Barrier,
}

impl Cause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Dispatch => "dispatch",
            Self::Queue => "queue",
            Self::Pipe => "pipe",
            Self::Flag => "flag",
            Self::FlagTaken => "flag-taken",
            Self::Barrier => "barrier",
        }
    }
}

/// One execution of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) step: u32,
    pub(super) pipe: u32,
    /// When its pipe was free for it.
    pub(super) from: u64,
    /// When it had been handed to the pipe.
    pub(super) ready: u64,
    /// When it started.
    pub(super) start: u64,
    /// When its pipe was free again.
    pub(super) free: u64,
    /// When its effects were there.
    pub(super) end: u64,
    pub(super) cause: Cause,
    pub(super) by: u32,
    /// Why it was handed out late, if the scalar unit had been held up, and at which step.
    pub(super) held: Option<(Reason, u32)>,
}

/// Sums over a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Statements executed.
    pub(super) executed: u64,
    /// For each pipe the cycles in which it worked.
    pub(super) busy: Vec<u64>,
    /// For each pipe the cycles in which it did not, by reason.
    pub(super) stalls: Vec<[u64; Reason::ALL.len()]>,
    /// For each step how often it was executed.
    pub(super) count: Vec<u64>,
    /// For each step the cycles for which its pipe stood still at it.
    pub(super) lost: Vec<u64>,
}

impl Tally {
    pub(super) fn new(pipes: usize, steps: usize) -> Self {
        Self {
            executed: 0,
            busy: vec![0; pipes],
            stalls: vec![[0; Reason::ALL.len()]; pipes],
            count: vec![0; steps],
            lost: vec![0; steps],
        }
    }

    /// Adds what was added since `earlier`, so many times more.
    pub(super) fn repeat_since(&mut self, earlier: &Self, times: u64) {
        let more = |now: &mut u64, then: &u64| *now += (*now - then).saturating_mul(times);
        more(&mut self.executed, &earlier.executed);
        self.busy.iter_mut().zip(&earlier.busy).for_each(|(a, b)| more(a, b));
        self.stalls.iter_mut().flatten().zip(earlier.stalls.iter().flatten()).for_each(|(a, b)| more(a, b));
        self.count.iter_mut().zip(&earlier.count).for_each(|(a, b)| more(a, b));
        self.lost.iter_mut().zip(&earlier.lost).for_each(|(a, b)| more(a, b));
    }
}
