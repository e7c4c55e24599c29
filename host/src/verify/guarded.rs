//! A property of paths together with what is known of some terms, so that paths that cannot be are left out.
//!
//! Which terms are followed is chosen for each search: those that refute a path which it would show otherwise. What
//! must hold: a path that some assignment of the terms goes is never left out.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::conditions::{ExprId, TermId};
use super::path::Shape;
use super::program::{Program, Step, StepIndex};
use super::reason::Scope;
use super::search::{Outcome, Property};
use super::zone::Zone;

/// Terms that are followed at once.
const MAX_AT_ONCE: usize = 12;

/// The terms that one search follows, with the steps that have to do with them.
#[derive(Debug)]
pub(super) struct Followed<'a> {
    pub(super) scope: Scope<'a>,
    program: &'a Program,
    /// Steps that name a term, and those at which one becomes of no interest, ascending.
    decisive: Vec<StepIndex>,
    /// Terms that nothing asks about behind a step (behind the last trip of a loop, if it is a test).
    ends: BTreeMap<StepIndex, Vec<TermId>>,
}

impl<'a> Followed<'a> {
    /// Follows these terms; none if they are too many at once.
    pub(super) fn new(program: &'a Program, shape: &Shape, terms: &[TermId]) -> Option<Self> {
        let conditions = &program.conditions;
        let mut wanted = vec![false; conditions.terms.len()];
        terms.iter().for_each(|&term| wanted[term] = true);
        let names = |expr: ExprId| conditions.terms_of(expr).into_iter().filter(|&term| wanted[term]);
        let mut named: Vec<(StepIndex, TermId)> = Vec::new();
        let mut exprs = Vec::new();
        for (at, step) in program.steps.iter().enumerate() {
            if let Some(guard) = conditions.guard(at) {
                named.extend(names(guard).map(|term| (at, term)));
                exprs.push(guard);
            }
            match *step {
                Step::Assign(index) => {
                    for &(term, expr) in conditions.assign(index).iter().filter(|(term, _)| wanted[*term]) {
                        named.push((at, term));
                        exprs.extend(expr);
                        named.extend(expr.into_iter().flat_map(names).map(|term| (at, term)));
                    }
                }
                Step::LoopTest { begin, .. } => {
                    let fresh = conditions.fresh(begin).iter().filter(|&&term| wanted[term]);
                    named.extend(fresh.map(|&term| (at, term)));
                }
                _ => {}
            }
        }
        exprs.retain(|&expr| names(expr).next().is_some());
        let mut scope = Scope::new(conditions, &[], exprs.into_iter());
        let ends = Self::share(program, shape, &named, &mut scope)?;
        let mut decisive: Vec<StepIndex> =
            named.iter().map(|&(at, _)| at).chain(ends.keys().copied()).collect();
        decisive.sort_unstable();
        decisive.dedup();
        Some(Self { scope, program, decisive, ends })
    }

    /// Gives each term a variable, the same one to terms that are of interest one after the other.
    fn share(
        program: &Program,
        shape: &Shape,
        named: &[(StepIndex, TermId)],
        scope: &mut Scope<'_>,
    ) -> Option<BTreeMap<StepIndex, Vec<TermId>>> {
        // Whatever a loop names is of interest from its begin to its end.
        let last = |at: StepIndex| match program.steps[shape.loop_start[at]] {
            Step::LoopBegin { test, end, .. } => (test, end),
            _ => (at, at),
        };
        let mut spans: BTreeMap<TermId, (StepIndex, StepIndex, StepIndex)> = BTreeMap::new();
        for &(at, term) in named {
            let (start, (step, end)) = (shape.loop_start[at], last(at));
            let span = spans.entry(term).or_insert((start, step, end));
            span.0 = span.0.min(start);
            if end >= span.2 {
                (span.1, span.2) = (step, end);
            }
        }
        let mut in_order: Vec<_> = spans.into_iter().collect();
        in_order.sort_by_key(|&(term, (start, ..))| (start, term));
        // For each variable whether it is a truth value, and until when it is taken.
        let mut taken: Vec<(bool, StepIndex)> = Vec::new();
        let mut ends: BTreeMap<StepIndex, Vec<TermId>> = BTreeMap::new();
        for (term, (start, step, end)) in in_order {
            let is_truth = scope.conditions.terms[term].bits == 1;
            let unused = taken.iter().position(|&(truth, until)| truth == is_truth && until < start);
            if unused.is_none() && taken.len() == MAX_AT_ONCE {
                return None;
            }
            let index = unused.unwrap_or_else(|| {
                taken.push((is_truth, 0));
                taken.len() - 1
            });
            taken[index] = (is_truth, end);
            scope.vars[term] = Some(index + 1);
            ends.entry(step).or_default().push(term);
        }
        Some(ends)
    }

    /// What is known at the program's start.
    pub(super) fn start(&self) -> Zone {
        let count = self.scope.vars.iter().flatten().max().copied().unwrap_or(0);
        let mut zone = Zone::new(count, self.scope.modulus);
        for (term, var) in self.scope.vars.iter().enumerate() {
            var.iter().for_each(|&var| self.scope.limit(&mut zone, term, var));
        }
        zone
    }

    /// What becomes of no interest behind a step.
    fn end(&self, at: StepIndex, zone: &mut Zone) {
        for &term in self.ends.get(&at).into_iter().flatten() {
            if let Some(var) = self.scope.vars[term] {
                zone.forget(var);
                self.scope.limit(zone, term, var);
            }
        }
    }
}

/// A property, and the terms that are followed, if any are.
#[derive(Debug)]
pub(super) struct Guarded<'a, P> {
    pub(super) inner: P,
    pub(super) followed: Option<&'a Followed<'a>>,
    pub(super) shape: &'a Shape,
    /// The last step that is looked for.
    pub(super) last: StepIndex,
}

impl<P: Property> Guarded<'_, P> {
    /// The state at the start.
    pub(super) fn start(&self, inner: P::State) -> (P::State, Option<Rc<Zone>>) {
        (inner, self.followed.map(|followed| Rc::new(followed.start())))
    }
}

impl<P: Property> Property for Guarded<'_, P> {
    type State = (P::State, Option<Rc<Zone>>);

    fn next(&self, (state, _): &Self::State, at: StepIndex) -> StepIndex {
        let next = self.inner.next(state, at);
        let Some(followed) = self.followed else { return next };
        let decisive = followed.decisive.get(followed.decisive.partition_point(|&step| step < at));
        // Where no target can be reached any more, no term matters either.
        let decisive = decisive.filter(|&&step| self.shape.loop_start[step] <= self.last);
        decisive.map_or(next, |&step| next.min(step))
    }

    fn is_idle(&self, (state, zone): &Self::State) -> bool {
        zone.is_none() && self.inner.is_idle(state)
    }

    fn step(&self, at: StepIndex, (state, zone): &mut Self::State) -> Outcome<Self::State> {
        let outcome = self.inner.step(at, state);
        let mut or: Vec<Self::State> = outcome.or.into_iter().map(|other| (other, zone.clone())).collect();
        let mut on = outcome.on;
        if let (Some(followed), Some(known), Step::Assign(index)) =
            (self.followed, zone.as_mut(), self.followed.map_or(Step::Opaque, |f| f.program.steps[at]))
        {
            let assign = followed.program.conditions.assign(index);
            let mut zones = followed.scope.assign(Zone::clone(known), assign);
            zones.iter_mut().for_each(|zone| followed.end(at, zone));
            or.extend(zones.drain(1.min(zones.len())..).map(|zone| (state.clone(), Some(Rc::new(zone)))));
            match zones.pop() {
                Some(zone) => *known = Rc::new(zone),
                None => on = false,
            }
        }
        Outcome { hit: outcome.hit, on, or }
    }

    fn decides(&self) -> bool {
        self.followed.is_some()
    }

    fn decide(&self, at: StepIndex, taken: bool, state: &Self::State) -> Vec<Self::State> {
        let (Some(followed), (state, Some(zone))) = (self.followed, state) else {
            return vec![state.clone()];
        };
        if followed.decisive.binary_search(&at).is_err() {
            return vec![(state.clone(), Some(zone.clone()))];
        }
        let (program, scope) = (followed.program, &followed.scope);
        let mut zones = match program.conditions.guard(at) {
            Some(guard) if scope.names(guard) => scope.assume(Zone::clone(zone), guard, taken),
            _ => vec![Zone::clone(zone)],
        };
        let is_over = match program.steps[at] {
            Step::LoopTest { begin, .. } => {
                zones.iter_mut().for_each(|zone| scope.renew(begin, zone));
                !taken
            }
            _ => true,
        };
        if is_over {
            zones.iter_mut().for_each(|zone| followed.end(at, zone));
        }
        zones.into_iter().map(|zone| (state.clone(), Some(Rc::new(zone)))).collect()
    }

    fn turn(&self, _: StepIndex, (state, zone): &Self::State) -> Self::State {
        let round = |zone: &Rc<Zone>| {
            let mut zone = Zone::clone(zone);
            self.followed.iter().for_each(|followed| followed.scope.round(&mut zone));
            Rc::new(zone)
        };
        (state.clone(), zone.as_ref().map(round))
    }

    fn covers(&self, (state, zone): &Self::State, (other, others): &Self::State) -> bool {
        let is_wider = match (zone, others) {
            (Some(zone), Some(other)) => Rc::ptr_eq(zone, other) || zone.contains(other),
            _ => true,
        };
        is_wider && self.inner.covers(state, other)
    }
}
