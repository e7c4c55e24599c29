//! What runs when, as data for reports and pictures.
//!
//! What must hold: indices are in range, a lane's spans are in order of time and do not overlap.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What runs when, in cycles from the start of the function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Cycles until everything is done.
    pub cycles: u64,
    /// Cycles that the lanes show; less than `cycles` if the rest was left out.
    pub shown: u64,
    /// One for each pipe that has work, the scalar pipe first.
    pub lanes: Vec<Lane>,
    /// Flags that were set and taken, in the order in which they were taken.
    pub edges: Vec<Edge>,
    /// What spans, edges and the critical path refer to.
    pub statements: Vec<Statement>,
    /// What the end of the function waited for, from the start to the end.
    pub critical_path: Vec<CriticalStep>,
    /// Cycles lost to each synchronization statement, the greatest first.
    pub losses: Vec<Loss>,
}

/// One pipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// Its name.
    pub pipe: String,
    /// Cycles in which it worked, over the whole run.
    pub busy: u64,
    /// Cycles in which it did not, by reason, over the whole run.
    pub stalls: BTreeMap<Reason, u64>,
    /// What it did, in order of time, without overlap.
    pub spans: Vec<Span>,
}

/// A stretch of time of one pipe. In JSON an array: `[start, length, statement, reason]`, where the reason is 0 for
/// work and else the number of a [`Reason`] in their order, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "[u64; 4]", try_from = "[u64; 4]")]
pub struct Span {
    /// First cycle.
    pub start: u64,
    /// Number of cycles.
    pub length: u64,
    /// What it does or waits at, as an index into [`Timeline::statements`].
    pub statement: usize,
    /// Why it does not work; none while it works.
    pub reason: Option<Reason>,
}

/// Why a pipe does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It waits for a flag.
    Wait,
    /// Its set waits until the flag's previous token is taken.
    Set,
    /// It waits at a barrier for earlier work.
    Barrier,
    /// The scalar unit waits for room in a full queue.
    Queue,
    /// Nothing was handed out to it yet.
    Dispatch,
}

impl Reason {
    /// All reasons in order.
    pub const ALL: [Self; 5] = [Self::Wait, Self::Set, Self::Barrier, Self::Queue, Self::Dispatch];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Set => "set",
            Self::Barrier => "barrier",
            Self::Queue => "queue",
            Self::Dispatch => "dispatch",
        }
    }
}

/// A token on its way from one pipe to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "[u64; 6]", try_from = "[u64; 6]")]
pub struct Edge {
    /// Index of the lane that set the flag.
    pub from_lane: usize,
    /// When it did.
    pub from_time: u64,
    /// Index of the lane that took it.
    pub to_lane: usize,
    /// When it did.
    pub to_time: u64,
    /// The set, as an index into [`Timeline::statements`].
    pub set: usize,
    /// The wait, likewise.
    pub wait: usize,
}

/// A statement that a timeline refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What it is: `pto.tload`, `set MTE2>V #0`.
    pub text: String,
    /// Line of the source that it is on, or stands at, from 1; 0 if that is not known.
    pub line: usize,
    /// That line, without its indentation.
    pub source: String,
}

/// One step of the critical path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriticalStep {
    /// The statement, as an index into [`Timeline::statements`].
    pub statement: usize,
    /// The pipe that executes it.
    pub pipe: String,
    /// When it starts.
    pub start: u64,
    /// When its effects are there.
    pub end: u64,
    /// What made it start no earlier: `start`, `dispatch`, `queue`, `pipe` (the one before it on its pipe), `flag`,
    /// `flag-taken` or `barrier`.
    pub because: String,
}

/// What a synchronization statement costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The statement, as an index into [`Timeline::statements`].
    pub statement: usize,
    /// Number of times it was executed.
    pub count: u64,
    /// Cycles that its pipe stood still at it, over all times.
    pub cycles: u64,
}

impl From<Span> for [u64; 4] {
    fn from(span: Span) -> Self {
        let reason = Reason::ALL.iter().position(|&r| Some(r) == span.reason);
        [span.start, span.length, span.statement as u64, reason.map_or(0, |r| r as u64 + 1)]
    }
}

impl TryFrom<[u64; 4]> for Span {
    type Error = String;

    fn try_from([start, length, statement, reason]: [u64; 4]) -> Result<Self, String> {
        let reason = match reason.checked_sub(1) {
            None => None,
            Some(index) => {
                let found = Reason::ALL.get(usize::try_from(index).unwrap_or(usize::MAX));
                Some(*found.ok_or_else(|| format!("there is no reason {reason}"))?)
            }
        };
        let statement = usize::try_from(statement).map_err(|e| e.to_string())?;
        Ok(Self { start, length, statement, reason })
    }
}

impl From<Edge> for [u64; 6] {
    fn from(e: Edge) -> Self {
        [e.from_lane as u64, e.from_time, e.to_lane as u64, e.to_time, e.set as u64, e.wait as u64]
    }
}

impl TryFrom<[u64; 6]> for Edge {
    type Error = String;

    fn try_from([from_lane, from_time, to_lane, to_time, set, wait]: [u64; 6]) -> Result<Self, String> {
        let index = |n: u64| usize::try_from(n).map_err(|e| e.to_string());
        Ok(Self {
            from_lane: index(from_lane)?,
            from_time,
            to_lane: index(to_lane)?,
            to_time,
            set: index(set)?,
            wait: index(wait)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_edges_are_arrays_in_json() {
        let span = Span { start: 5, length: 7, statement: 2, reason: Some(Reason::Barrier) };
        assert_eq!(serde_json::to_string(&span).unwrap(), "[5,7,2,3]");
        assert_eq!(serde_json::from_str::<Span>("[5,7,2,3]").unwrap(), span);
        assert!(serde_json::from_str::<Span>("[5,7,2,9]").is_err());
        let edge = Edge { from_lane: 1, from_time: 2, to_lane: 3, to_time: 4, set: 5, wait: 6 };
        assert_eq!(serde_json::to_string(&edge).unwrap(), "[1,2,3,4,5,6]");
        assert_eq!(serde_json::from_str::<Edge>("[1,2,3,4,5,6]").unwrap(), edge);
    }
}
