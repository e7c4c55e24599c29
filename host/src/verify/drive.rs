//! Executes a program from its start to its exit with one assignment of its terms.
//!
//! What must hold: where nothing is in doubt, the path is the one that the machine goes with these values.

use super::conditions::{TermId, TermKind};
use super::feasible::Assignment;
use super::program::{Program, Step, StepIndex};

/// Steps of a path, beyond which it is given up.
const MAX_STEPS: usize = 200_000;

/// A path with the values that it is gone with.
#[derive(Clone, Debug)]
pub(super) struct Driven {
    pub(super) path: Vec<StepIndex>,
    /// Values of the terms that decided something.
    pub(super) assignment: Assignment,
    /// Whether a value was taken that depends on others.
    pub(super) may_be: bool,
}

/// The path with this assignment; terms that it does not name are 0. None if it is very long, or the arithmetic has no
/// result.
pub(super) fn drive(program: &Program, assignment: &Assignment) -> Option<Driven> {
    let conditions = &program.conditions;
    let count = conditions.terms.len();
    let given = |term: TermId, turn: usize| match conditions.terms[term].kind {
        TermKind::Assigned => None,
        _ => Some(assignment.get(&term).and_then(|all| all.get(turn).or(all.last())).copied().unwrap_or(0)),
    };
    let mut turn = vec![0usize; count];
    let mut values: Vec<Option<i64>> = (0..count).map(|term| given(term, 0)).collect();
    let mut driven = Driven { path: Vec::new(), assignment: Assignment::new(), may_be: false };
    // Trips of open loops that have no condition.
    let mut trips: Vec<u64> = Vec::new();
    let mut at = 0;
    loop {
        driven.path.push(at);
        if driven.path.len() > MAX_STEPS {
            return None;
        }
        let mut taken = None;
        if let Some(guard) = conditions.guard(at) {
            for term in conditions.terms_of(guard) {
                let kind = &conditions.terms[term].kind;
                driven.may_be |= matches!(kind, TermKind::Derived(_));
                if *kind != TermKind::Assigned {
                    let all = driven.assignment.entry(term).or_default();
                    while all.len() <= turn[term] {
                        all.push(given(term, all.len()).unwrap_or(0));
                    }
                }
            }
            taken = Some(conditions.value(guard, &|term| values[term])? != 0);
        }
        at = match program.steps[at] {
            Step::LoopBegin { .. } => {
                trips.push(0);
                at + 1
            }
            Step::LoopTest { begin, end } => {
                let Step::LoopBegin { trips: bounds, .. } = program.steps[begin] else { return None };
                let done = trips.last().copied().unwrap_or(0);
                let goes_on = taken.unwrap_or(done < bounds.min);
                for &term in conditions.fresh(begin) {
                    turn[term] += 1;
                    values[term] = given(term, turn[term]);
                }
                if goes_on {
                    at + 1
                } else {
                    trips.pop();
                    end + 1
                }
            }
            Step::LoopEnd { begin } => {
                trips.iter_mut().last().into_iter().for_each(|done| *done += 1);
                begin + 1
            }
            Step::IfBegin { middle, .. } => {
                if taken == Some(false) {
                    middle + 1
                } else {
                    at + 1
                }
            }
            Step::Else { end } => end,
            Step::Assign(index) => {
                let all = conditions.assign(index);
                let new: Vec<_> = all
                    .iter()
                    .map(|&(_, expr)| expr.and_then(|expr| conditions.value(expr, &|term| values[term])))
                    .collect();
                all.iter().zip(new).for_each(|(&(term, _), new)| values[term] = new);
                at + 1
            }
            Step::Exit => return Some(driven),
            _ => at + 1,
        };
    }
}

/// Assignments to try, the small ones first: at most `limit`.
pub(super) fn samples(program: &Program, limit: usize) -> impl Iterator<Item = Assignment> + '_ {
    let conditions = &program.conditions;
    let named = conditions.guards().flat_map(|(_, guard)| conditions.terms_of(guard));
    let assigned = conditions.assigns.iter().flatten().filter_map(|&(_, expr)| expr);
    let named = named.chain(assigned.flat_map(|expr| conditions.terms_of(expr)));
    let mut terms: Vec<TermId> =
        named.filter(|&term| conditions.terms[term].kind != TermKind::Assigned).collect();
    terms.sort_unstable();
    terms.dedup();
    let choices = |term: TermId| if conditions.terms[term].bits == 1 { 2 } else { 4 };
    let all = terms.iter().fold(1usize, |all, &term| all.saturating_mul(choices(term)));
    (0..all.min(limit)).map(move |mut number| {
        let digit = |&term: &TermId| {
            let value = number % choices(term);
            number /= choices(term);
            (term, vec![value as i64])
        };
        terms.iter().map(digit).collect()
    })
}
