//! Paths through a program, kept short: what is gone through in one sweep is one piece.
//!
//! `Shape` knows the nesting of a program, and for each of its parts the shortest way through. What must hold: the
//! steps of a path follow each other as the program allows, and begin at its start.

use std::collections::BTreeMap;

use super::conditions::TermId;
use super::program::{Buffer, Program, Step, StepIndex};

/// Trips up to which a known number of trips is counted exactly.
pub const COUNTED_TRIPS: u8 = 4;

/// Steps in the order in which a path executes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    pub(super) pieces: Vec<Piece>,
    /// Values of terms with which it is gone: of each the first, and one for each time that it got another.
    pub(super) assignment: BTreeMap<TermId, Vec<i64>>,
}

/// A statement on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) step: StepIndex,
    /// How often it is executed again before the path's end.
    pub(super) later: usize,
}

/// A part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The steps `from..to`, one after the other.
    Run { from: StepIndex, to: StepIndex },
    /// From one step to a later one of the same part, the shortest way: which way is taken through the constructs
    /// between does not matter.
    Leap { from: StepIndex, to: StepIndex },
}

impl Path {
    /// A path of these steps.
    pub fn of(steps: &[StepIndex]) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        for &step in steps {
            match pieces.last_mut() {
                Some(Piece::Run { to, .. }) if *to == step => *to += 1,
                _ => pieces.push(Piece::Run { from: step, to: step + 1 }),
            }
        }
        Self { pieces, ..Self::default() }
    }

    /// Values of terms with which the path is gone: of each the first one, and one for each time that it gets another.
    /// Of terms that are not named any value will do.
    pub fn assignment(&self) -> &BTreeMap<TermId, Vec<i64>> {
        &self.assignment
    }

    /// All steps.
    pub fn steps(&self, program: &Program) -> Vec<StepIndex> {
        self.steps_of(program, 0)
    }

    /// The last step before the path's end that is asked for, given what the carried tiles stand for then. `buffers`
    /// becomes what they stand for at the end.
    pub(super) fn last(
        &self,
        program: &Program,
        buffers: &mut [Buffer],
        is_wanted: impl Fn(StepIndex, &[Buffer]) -> bool,
    ) -> Option<First> {
        let mut found: Option<First> = None;
        let count = self.telling_steps().count();
        for step in self.telling_steps().take(count.saturating_sub(1)) {
            if is_wanted(step, buffers) {
                found = Some(First { step, later: 0 });
            } else if let Some(first) = found.as_mut().filter(|first| first.step == step) {
                first.later += 1;
            }
            program.rebind(step, buffers);
        }
        found
    }

    /// The steps from an execution of `first` before the path's last step on: the last one but `later` of them. All if
    /// the path does not tell it.
    pub fn steps_since(&self, program: &Program, first: StepIndex, later: usize) -> Vec<StepIndex> {
        let last = self.pieces.len().saturating_sub(1);
        // A run has no step twice.
        let holds = |&index: &usize| match self.pieces[index] {
            Piece::Run { from, to } => (from..to - usize::from(index == last)).contains(&first),
            Piece::Leap { .. } => false,
        };
        let start = (0..self.pieces.len()).rev().filter(holds).nth(later).unwrap_or(0);
        let mut steps = self.steps_of(program, start);
        if let Some(at) = steps.iter().position(|&step| step == first) {
            steps.drain(..at);
        }
        steps
    }

    /// The steps that the path goes through for a reason, in order. Between two of them others may be left out.
    pub(super) fn telling_steps(&self) -> impl DoubleEndedIterator<Item = StepIndex> + '_ {
        self.pieces.iter().flat_map(|piece| match *piece {
            Piece::Run { from, to } => from..to,
            Piece::Leap { .. } => 0..0,
        })
    }

    fn steps_of(&self, program: &Program, start: usize) -> Vec<StepIndex> {
        let leaps = self.pieces[start..].iter().any(|piece| matches!(piece, Piece::Leap { .. }));
        let shape = if leaps { Shape::new(program) } else { Shape::default() };
        let mut steps = Vec::new();
        for piece in &self.pieces[start..] {
            match *piece {
                Piece::Run { from, to } => steps.extend(from..to),
                Piece::Leap { from, to } => shape.leap(program, from, to, &mut steps),
            }
        }
        steps
    }
}

/// How the constructs of a program nest.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// For each step the begin of the innermost construct around it; for a begin, of the one around that. An `Else`, a
    /// `LoopTest` and an end are inside their construct.
    parent: Vec<Option<StepIndex>>,
    /// For each step the begin of the outermost loop around it, the step itself if there is none.
    pub(super) loop_start: Vec<StepIndex>,
    /// For each step, and for the end of the program, the length of the shortest way to it from the start of its part.
    distance: Vec<u64>,
}

impl Shape {
    pub(super) fn new(program: &Program) -> Self {
        let count = program.steps.len();
        let (mut parent, mut loop_start) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut open: Vec<StepIndex> = Vec::new();
        let mut outermost: Option<(StepIndex, StepIndex)> = None;
        for (at, step) in program.steps.iter().enumerate() {
            parent.push(open.last().copied());
            if let Step::LoopBegin { end, .. } = *step {
                outermost.get_or_insert((at, end));
            }
            loop_start.push(outermost.map_or(at, |(begin, _)| begin));
            outermost = outermost.filter(|&(_, end)| end != at);
            match step {
                Step::LoopBegin { .. } | Step::IfBegin { .. } => open.push(at),
                Step::LoopEnd { .. } | Step::IfEnd => _ = open.pop(),
                _ => {}
            }
        }
        let mut shape = Self { parent, loop_start, distance: vec![0; count + 1] };
        shape.measure(program, 0, count);
        shape
    }

    /// The length of the shortest way between two places of one part.
    pub(super) fn between(&self, from: StepIndex, to: StepIndex) -> u64 {
        self.distance[to].saturating_sub(self.distance[from])
    }

    /// The step of the part of `like` that is `step` or contains it. `step` is inside that part.
    pub(super) fn in_part_of(&self, like: StepIndex, step: StepIndex) -> StepIndex {
        let level = self.parent[like];
        let mut at = step;
        while self.parent[at] != level {
            let Some(outer) = self.parent[at] else { break };
            at = outer;
        }
        at
    }

    /// A shortest path to a step, whatever comes before it.
    pub(super) fn path_to(&self, program: &Program, step: StepIndex) -> Path {
        let mut around = vec![step];
        while let Some(outer) = around.last().and_then(|&inner| self.parent[inner]) {
            around.push(outer);
        }
        let mut pieces = Vec::new();
        let mut from = 0;
        for &at in around.iter().rev() {
            if from < at {
                pieces.push(Piece::Leap { from, to: at });
            }
            if at == step {
                pieces.push(Piece::Run { from: at, to: at + 1 });
                break;
            }
            from = at + 1;
            pieces.push(Piece::Run { from: at, to: from });
            match program.steps[at] {
                Step::IfBegin { middle, .. } if middle < step => from = middle + 1,
                Step::LoopBegin { test, .. } if test < step => {
                    if from < test {
                        pieces.push(Piece::Leap { from, to: test });
                    }
                    from = test + 1;
                    pieces.push(Piece::Run { from: test, to: from });
                }
                _ => {}
            }
        }
        Path { pieces, ..Path::default() }
    }

    /// Fills in distances of `from..to`, a part, and of its end. Their length.
    fn measure(&mut self, program: &Program, from: StepIndex, to: StepIndex) -> u64 {
        let mut length = 0u64;
        let mut at = from;
        while at < to {
            self.distance[at] = length;
            let (next, cost) = match program.steps[at] {
                Step::LoopBegin { test, end, trips } => {
                    let head = self.measure(program, at + 1, test);
                    let tail = self.measure(program, test + 1, end);
                    let trip = tail.saturating_add(head).saturating_add(2);
                    (end + 1, trip.saturating_mul(least(trips.min)).saturating_add(head + 2))
                }
                Step::IfBegin { middle, end } => {
                    let then = self.measure(program, at + 1, middle) + 1;
                    let otherwise = self.measure(program, middle + 1, end);
                    (end + 1, then.min(otherwise).saturating_add(2))
                }
                _ => (at + 1, 1),
            };
            length = length.saturating_add(cost);
            at = next;
        }
        if let Some(distance) = self.distance.get_mut(to) {
            *distance = length;
        }
        length
    }

    /// Appends the shortest way from `from` to `to`, two places of one part.
    fn leap(&self, program: &Program, from: StepIndex, to: StepIndex, steps: &mut Vec<StepIndex>) {
        let mut at = from;
        while at < to {
            steps.push(at);
            match program.steps[at] {
                Step::LoopBegin { test, end, trips } => {
                    self.leap(program, at + 1, test, steps);
                    steps.push(test);
                    for _ in 0..least(trips.min) {
                        self.leap(program, test + 1, end, steps);
                        steps.push(end);
                        self.leap(program, at + 1, test, steps);
                        steps.push(test);
                    }
                    at = end;
                }
                Step::IfBegin { middle, end } => {
                    if self.distance[middle] < self.distance[end] {
                        self.leap(program, at + 1, middle, steps);
                        steps.push(middle);
                    } else {
                        self.leap(program, middle + 1, end, steps);
                    }
                    steps.push(end);
                    at = end;
                }
                _ => {}
            }
            at += 1;
        }
    }
}

/// Trips of a shortest way through a loop that takes at least `min`.
fn least(min: u64) -> u64 {
    min.min(u64::from(COUNTED_TRIPS))
}
