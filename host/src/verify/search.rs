//! Walking all single paths at once, for one small property of the past.
//!
//! A [`Property`] says what matters of the past: which viewers cannot tell that one execution is finished, or how many
//! tokens a flag has. The walk carries every state that is possible at a step, each with a shortest path to it;
//! states of different paths are never united. What a loop does with one state is worked out once, however many loops
//! are around it, and steps that no state cares for are leapt over: the work is that of the stretches in which the
//! past matters, times the few states that there are.
//!
//! What must hold: as far as the property does not object, a path takes any arm of a branch, and any number of trips
//! that the loop's bounds allow (numbers above [`COUNTED_TRIPS`] are not told apart). So what is hit can happen, and
//! what is not hit cannot.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::Hash;
use std::rc::Rc;

use rustc_hash::FxHashMap as HashMap;

use super::path::{COUNTED_TRIPS, Path, Piece, Shape};
use super::program::{Program, Step, StepIndex, Trips};

/// What it costs to work out what a decision tells, in steps.
const DECISION: usize = 8;

/// What matters of the past, and what is looked for.
pub(super) trait Property {
    /// The past of one path.
    type State: Clone + Eq + Hash;

    /// The first step from `at` on that the state cares for: steps before it leave the state as it is, and are no
    /// target. `usize::MAX` if there is none.
    fn next(&self, state: &Self::State, at: StepIndex) -> StepIndex;

    /// Executes a step. Steps of control flow are not asked about.
    fn step(&self, at: StepIndex, state: &mut Self::State) -> Outcome<Self::State>;

    /// Whether the state stays as it is on every way, so that none matters.
    fn is_idle(&self, _state: &Self::State) -> bool {
        false
    }

    /// Whether the state has to do with which way branches and loops go.
    fn decides(&self) -> bool {
        false
    }

    /// The states of paths that take the then part of the branch that begins at a step, or one more trip of the loop
    /// whose test it is; or that do not.
    fn decide(&self, _at: StepIndex, _taken: bool, state: &Self::State) -> Vec<Self::State> {
        vec![state.clone()]
    }

    /// The state in which a loop that ends at a step goes round.
    fn turn(&self, _at: StepIndex, state: &Self::State) -> Self::State {
        state.clone()
    }

    /// Whether whatever `other` hits is hit by `state` as well.
    fn covers(&self, state: &Self::State, other: &Self::State) -> bool {
        state == other
    }
}

/// What happens at a step.
#[derive(Debug)]
pub(super) struct Outcome<S> {
    /// The step is a target, and the past is such as is looked for.
    pub(super) hit: bool,
    /// The path is of interest behind the step, in the state as it is now.
    pub(super) on: bool,
    /// It may also be in these states.
    pub(super) or: Vec<S>,
}

impl<S> Outcome<S> {
    /// The path goes on.
    pub(super) const ON: Self = Self { hit: false, on: true, or: Vec::new() };
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Hits {
    /// Targets that are hit, the first ones of them with a shortest path.
    pub(super) paths: BTreeMap<StepIndex, Option<Path>>,
    /// Whether the walk was given up: other targets may be hit too.
    pub(super) gave_up: bool,
}

/// Walks the program from `start`. `work` is how many steps may be executed; what is left is left in it. At most `shown`
/// paths are given.
pub(super) fn walk<P: Property>(
    program: &Program,
    shape: &Shape,
    property: &P,
    start: P::State,
    work: &mut usize,
    shown: usize,
) -> Hits {
    let mut walker = Walker {
        program,
        shape,
        property,
        links: Vec::new(),
        parts: HashMap::default(),
        loops: HashMap::default(),
        work: *work,
    };
    let mut found = Found::new();
    let thread = Thread { state: start, cost: 0, link: NOTHING, run: 0 };
    walker.range(0, program.steps.len(), vec![thread], &mut found);
    *work = walker.work;
    let path = |(index, (&target, &(_, link)))| (target, (index < shown).then(|| walker.path(link)));
    let paths = found.iter().enumerate().map(path).collect();
    Hits { paths, gave_up: walker.work == 0 }
}

/// The end of a path as a chain of links.
type Link = u32;

/// The path with nothing in it.
const NOTHING: Link = u32::MAX;

#[derive(Clone, Copy, Debug)]
enum Part {
    Piece(Piece),
    /// A path that was worked out on its own.
    Splice(Link),
}

/// For each target hit the length of the shortest path to it, and its last link.
type Found = BTreeMap<StepIndex, (u64, Link)>;

/// A state that is possible, with a shortest path to it.
#[derive(Clone, Debug)]
struct Thread<S> {
    state: S,
    cost: u64,
    link: Link,
    /// The steps from here to where the walk is belong to the path, and are not in the links yet; of an idle state, the
    /// shortest way from here.
    run: StepIndex,
}

/// What becomes of one state in a stretch of the program: what it can be at its end, and what is hit on the way.
#[derive(Debug)]
struct Summary<S> {
    ends: Vec<(S, u64, Link)>,
    found: Found,
}

/// Summaries of stretches by their first step and the state there.
type Summaries<S> = HashMap<(StepIndex, S), Rc<Summary<S>>>;

struct Walker<'a, P: Property> {
    program: &'a Program,
    shape: &'a Shape,
    property: &'a P,
    links: Vec<(Link, Part)>,
    /// Of heads and tails of loops.
    parts: Summaries<P::State>,
    /// Of whole loops.
    loops: Summaries<P::State>,
    work: usize,
}

impl<P: Property> Walker<'_, P> {
    /// Walks `from..to`, which holds whole constructs.
    fn range(
        &mut self,
        from: StepIndex,
        to: StepIndex,
        mut threads: Vec<Thread<P::State>>,
        found: &mut Found,
    ) -> Vec<Thread<P::State>> {
        let mut at = from;
        while at < to && !threads.is_empty() {
            let next = threads.iter().map(|t| self.property.next(&t.state, at)).min().unwrap_or(to);
            let next = if next < to { self.shape.in_part_of(from, next) } else { to };
            if next > at {
                for thread in &mut threads {
                    self.leap(thread, at, next);
                }
                at = next;
                continue;
            }
            if self.work == 0 {
                return Vec::new();
            }
            match self.program.steps[at] {
                Step::LoopBegin { end, .. } => {
                    threads = self.whole_loop(at, threads, found);
                    at = end;
                }
                Step::IfBegin { middle, end } => {
                    threads = self.branch(at, [middle, end], threads, found);
                    at = end;
                }
                _ => self.step(at, &mut threads, found),
            }
            at += 1;
        }
        threads
    }

    fn step(&mut self, at: StepIndex, threads: &mut Vec<Thread<P::State>>, found: &mut Found) {
        self.work = self.work.saturating_sub(threads.len());
        let mut more = Vec::new();
        threads.retain_mut(|thread| {
            let was_idle = self.property.is_idle(&thread.state);
            let Outcome { hit, on, or } = self.property.step(at, &mut thread.state);
            thread.cost += 1;
            if hit && offer(found, at, thread.cost, self.links.len() as Link) {
                self.links.push((thread.link, Part::Piece(Piece::Run { from: thread.run, to: at + 1 })));
            }
            for state in or {
                let mut other = Thread { state, ..thread.clone() };
                if was_idle {
                    other.link = self.idled(thread, at);
                    other.run = at;
                }
                more.push(other);
            }
            on
        });
        threads.append(&mut more);
        if threads.len() > 1 {
            self.thin_out(threads);
        }
    }

    /// Leaves out what another thread covers that is no longer.
    fn thin_out(&mut self, threads: &mut Vec<Thread<P::State>>) {
        threads.sort_by_key(|t| t.cost);
        let mut kept: Vec<Thread<P::State>> = Vec::with_capacity(threads.len());
        for thread in threads.drain(..) {
            // Of few states this is nothing; of very many it would be all.
            self.work = self.work.saturating_sub(kept.len() / 8);
            if !kept.iter().any(|k| self.property.covers(&k.state, &thread.state)) {
                kept.push(thread);
            }
        }
        *threads = kept;
    }

    fn branch(
        &mut self,
        begin: StepIndex,
        [middle, end]: [StepIndex; 2],
        mut threads: Vec<Thread<P::State>>,
        found: &mut Found,
    ) -> Vec<Thread<P::State>> {
        let idle = self.idle(&threads);
        for thread in &mut threads {
            self.flush(thread, begin, begin + 1);
            thread.link = self.link(thread.link, Part::Piece(Piece::Run { from: begin, to: begin + 1 }));
            thread.cost += 1;
        }
        let mut other = self.decided(begin, false, threads.clone());
        let threads = self.decided(begin, true, threads);
        other.iter_mut().for_each(|thread| thread.run = middle + 1);
        let mut all = self.range(begin + 1, middle, threads, found);
        for thread in &mut all {
            self.flush(thread, middle, middle);
            thread.cost += 1;
            self.flush(thread, middle + 1, end);
        }
        let mut other = self.range(middle + 1, end, other, found);
        other.iter_mut().for_each(|thread| self.flush(thread, end, end));
        all.append(&mut other);
        all.iter_mut().for_each(|thread| thread.cost += 1);
        self.rest(idle, begin, end + 1, &mut all);
        self.thin_out(&mut all);
        all
    }

    /// The threads that go this way.
    fn decided(
        &mut self,
        at: StepIndex,
        taken: bool,
        threads: Vec<Thread<P::State>>,
    ) -> Vec<Thread<P::State>> {
        if !self.property.decides() {
            return threads;
        }
        self.work = self.work.saturating_sub(DECISION * threads.len());
        let ways = |thread: Thread<P::State>| {
            let states = self.property.decide(at, taken, &thread.state).into_iter();
            states.map(move |state| Thread { state, ..thread.clone() })
        };
        threads.into_iter().flat_map(ways).collect()
    }

    fn idle(&self, threads: &[Thread<P::State>]) -> Option<Thread<P::State>> {
        threads.iter().find(|t| self.property.is_idle(&t.state)).cloned()
    }

    /// The links of an idle thread up to `at`.
    fn idled(&mut self, thread: &Thread<P::State>, at: StepIndex) -> Link {
        let way = Piece::Leap { from: thread.run, to: at };
        if thread.run < at { self.link(thread.link, Part::Piece(way)) } else { thread.link }
    }

    /// Behind a construct, an idle thread is where any way through it leads to.
    fn rest(
        &self,
        idle: Option<Thread<P::State>>,
        from: StepIndex,
        to: StepIndex,
        threads: &mut Vec<Thread<P::State>>,
    ) {
        let Some(idle) = idle else { return };
        threads.retain(|t| !self.property.is_idle(&t.state));
        threads.push(Thread { cost: idle.cost + self.shape.between(from, to), ..idle });
    }

    fn whole_loop(
        &mut self,
        begin: StepIndex,
        threads: Vec<Thread<P::State>>,
        found: &mut Found,
    ) -> Vec<Thread<P::State>> {
        let Step::LoopBegin { end, .. } = self.program.steps[begin] else { return threads };
        let idle = self.idle(&threads);
        let mut out = Vec::new();
        for mut thread in threads {
            let summary = self.loop_summary(begin, &thread.state);
            self.flush(&mut thread, begin, end + 1);
            self.splice(thread.cost, thread.link, &summary.found, found);
            for (state, cost, link) in &summary.ends {
                let link = self.link(thread.link, Part::Splice(*link));
                out.push(Thread { state: state.clone(), cost: thread.cost + cost, link, run: end + 1 });
            }
        }
        if self.shape.loop_start[begin] == begin {
            // No loop is around this one: nobody comes here again.
            self.parts.clear();
            self.loops.clear();
        }
        self.rest(idle, begin, end + 1, &mut out);
        self.thin_out(&mut out);
        out
    }

    /// What becomes of one state in a loop, from its begin to behind its end: shortest paths over the states in which
    /// its test is reached, with the number of trips done as far as that matters.
    fn loop_summary(&mut self, begin: StepIndex, state: &P::State) -> Rc<Summary<P::State>> {
        if let Some(known) = self.loops.get(&(begin, state.clone())) {
            return known.clone();
        }
        let Step::LoopBegin { test, end, trips } = self.program.steps[begin] else { unreachable!("a loop") };
        let counted = trips != Trips::UNKNOWN;
        let mut tests = Tests { all: Vec::new(), index: HashMap::default(), open: BinaryHeap::new() };
        let mut found = Found::new();
        let mut threads = Vec::new();
        let start = self.link(NOTHING, Part::Piece(Piece::Run { from: begin, to: begin + 1 }));
        let head = self.part(begin + 1, test, state);
        self.splice(1, start, &head.found, &mut found);
        for (state, cost, link) in &head.ends {
            let link = self.link(start, Part::Splice(*link));
            tests.reach(0, state, 1 + cost, link);
        }
        while let Some((trip, state, cost, link)) = tests.nearest() {
            let many = trip >= COUNTED_TRIPS;
            let link = self.link(link, Part::Piece(Piece::Run { from: test, to: test + 1 }));
            let cost = cost + 1;
            let here = Thread { state, cost, link, run: end + 1 };
            if many || u64::from(trip) >= trips.min {
                threads.append(&mut self.decided(test, false, vec![here.clone()]));
            }
            if trips.max.is_some_and(|max| u64::from(trip) >= max) || self.work == 0 {
                continue;
            }
            let after = if counted { (trip + 1).min(COUNTED_TRIPS) } else { 0 };
            for Thread { state, .. } in self.decided(test, true, vec![here]) {
                let tail = self.part(test + 1, end, &state);
                self.splice(cost, link, &tail.found, &mut found);
                for (state, tail_cost, tail_link) in &tail.ends {
                    let link = self.link(link, Part::Splice(*tail_link));
                    let link = self.link(link, Part::Piece(Piece::Run { from: end, to: end + 1 }));
                    let cost = cost + tail_cost + 1;
                    let state = self.property.turn(end, state);
                    let head = self.part(begin + 1, test, &state);
                    self.splice(cost, link, &head.found, &mut found);
                    for (state, head_cost, head_link) in &head.ends {
                        let link = self.link(link, Part::Splice(*head_link));
                        tests.reach(after, state, cost + head_cost, link);
                    }
                }
            }
        }
        self.thin_out(&mut threads);
        let ends = threads.into_iter().map(|t| (t.state, t.cost, t.link)).collect();
        let summary = Rc::new(Summary { ends, found });
        self.loops.insert((begin, state.clone()), summary.clone());
        summary
    }

    /// What becomes of one state in the head or tail of a loop.
    fn part(&mut self, from: StepIndex, to: StepIndex, state: &P::State) -> Rc<Summary<P::State>> {
        if let Some(known) = self.parts.get(&(from, state.clone())) {
            return known.clone();
        }
        let mut found = Found::new();
        let thread = Thread { state: state.clone(), cost: 0, link: NOTHING, run: from };
        let mut ends = self.range(from, to, vec![thread], &mut found);
        ends.iter_mut().for_each(|thread| self.flush(thread, to, to));
        let ends = ends.into_iter().map(|t| (t.state, t.cost, t.link)).collect();
        let summary = Rc::new(Summary { ends, found });
        self.parts.insert((from, state.clone()), summary.clone());
        summary
    }

    fn link(&mut self, before: Link, part: Part) -> Link {
        match part {
            Part::Splice(NOTHING) => return before,
            Part::Splice(path) if before == NOTHING => return path,
            _ => {}
        }
        self.links.push((before, part));
        (self.links.len() - 1) as Link
    }

    /// Puts the steps up to `to` into the links of a thread, which goes on at `next`.
    fn flush(&mut self, thread: &mut Thread<P::State>, to: StepIndex, next: StepIndex) {
        if self.property.is_idle(&thread.state) {
            thread.link = self.idled(thread, to);
        } else if thread.run < to {
            thread.link = self.link(thread.link, Part::Piece(Piece::Run { from: thread.run, to }));
        }
        thread.run = next;
    }

    fn leap(&mut self, thread: &mut Thread<P::State>, at: StepIndex, to: StepIndex) {
        if !self.property.is_idle(&thread.state) {
            self.flush(thread, at, to);
            thread.link = self.link(thread.link, Part::Piece(Piece::Leap { from: at, to }));
        }
        thread.cost += self.shape.between(at, to);
    }

    /// Offers what was found in a stretch that begins behind `link`.
    fn splice(&mut self, cost: u64, link: Link, inside: &Found, found: &mut Found) {
        for (&target, &(length, path)) in inside {
            if offer(found, target, cost + length, self.links.len() as Link) {
                self.links.push((link, Part::Splice(path)));
            }
        }
    }

    fn path(&self, link: Link) -> Path {
        let mut pieces: Vec<Piece> = Vec::new();
        // Last part first; a splice is gone through before what comes before it.
        let mut open = vec![link];
        while let Some(link) = open.pop() {
            let Some(&(before, part)) = self.links.get(link as usize) else { continue };
            open.push(before);
            match part {
                Part::Splice(path) => open.push(path),
                Part::Piece(piece) => pieces.push(piece),
            }
        }
        pieces.reverse();
        Path { pieces, ..Path::default() }
    }
}

/// Takes a path to a target if it is shorter than the one that is known.
fn offer(found: &mut Found, target: StepIndex, cost: u64, link: Link) -> bool {
    let shorter = found.get(&target).is_none_or(|&(known, _)| cost < known);
    if shorter {
        found.insert(target, (cost, link));
    }
    shorter
}

/// States in which a loop's test is reached, by the trips done before.
struct Tests<S> {
    all: Vec<(u8, S, u64, Link)>,
    index: HashMap<(u8, S), usize>,
    open: BinaryHeap<Reverse<(u64, usize)>>,
}

impl<S: Clone + Eq + Hash> Tests<S> {
    fn reach(&mut self, trip: u8, state: &S, cost: u64, link: Link) {
        match self.index.get(&(trip, state.clone())) {
            Some(&known) if self.all[known].2 <= cost => return,
            Some(&known) => (self.all[known].2, self.all[known].3) = (cost, link),
            None => {
                self.index.insert((trip, state.clone()), self.all.len());
                self.all.push((trip, state.clone(), cost, link));
            }
        }
        let known = self.index[&(trip, state.clone())];
        self.open.push(Reverse((cost, known)));
    }

    /// The nearest one that was not gone on from yet.
    fn nearest(&mut self) -> Option<(u8, S, u64, Link)> {
        while let Some(Reverse((cost, at))) = self.open.pop() {
            if self.all[at].2 == cost {
                return Some(self.all[at].clone());
            }
        }
        None
    }
}
