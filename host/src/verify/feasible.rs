//! Whether a path exists: whether one assignment of the terms makes all its branches and loops go as it tells.
//!
//! Terms that no guard or assignment of the path connects are looked at one group after the other. First with zones,
//! which refute or give candidates, then a candidate is executed, in the arithmetic of the machine. What must hold: a
//! path that is refuted does not exist; one for which an assignment is given does, if the assignment is not in doubt.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::conditions::{ExprId, TermId, TermKind};
use super::path::{Path, Piece, Shape};
use super::program::{Program, Step, StepIndex};
use super::reason::Scope;
use super::zone::{Var, ZERO, Zone};

/// Zones of one group of terms, and integers in one zone, beyond which a path stays undecided.
const MAX_ZONES: usize = 48;
const MAX_VARS: usize = 40;

/// Assignments of one path that are executed.
const MAX_TRIES: usize = 40;

/// Values that are tried where zones do not say enough.
const SAMPLES: [i64; 10] = [1, 2, 3, 4, 0, 5, 8, 16, 100, -1];

/// Values of terms: of each the first one, and one for each time that it got another.
pub(super) type Assignment = BTreeMap<TermId, Vec<i64>>;

/// Whether a path exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// With these values it does.
    Exists(Assignment),
    /// It does not: what is known of these terms is at odds.
    Refuted(Vec<TermId>),
    /// It cannot be told before these terms are followed through what the path passes any way.
    Follow(Vec<TermId>),
    /// It is not known.
    Open,
}

/// What a path tells, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Guard {
        guard: ExprId,
        taken: bool,
    },
    Assign(usize),
    /// Terms that have another value with each trip of the loop that begins here get one.
    Renew(StepIndex),
    /// What stands between the two is gone through in any way.
    Leap(StepIndex, StepIndex),
}

/// What happens to the terms of one group.
#[derive(Clone, Debug)]
enum Event {
    Guard { guard: ExprId, taken: bool },
    Assign(Vec<(TermId, Option<ExprId>)>),
    Renew(TermId),
}

/// Decides about paths of one program.
#[derive(Debug)]
pub(super) struct Paths<'a> {
    program: &'a Program,
    shape: Rc<Shape>,
    /// Steps with a guard, and those that change terms, ascending.
    decisive: Vec<StepIndex>,
    /// Whether a suspect was cleared that an integer which overflows could bring back.
    pub(super) overflow: Cell<bool>,
}

/// What is known of one group.
enum Group {
    Refuted,
    Open,
    Candidates(Vec<Assignment>),
}

/// A run through what happens to one group.
struct GroupRun<'a> {
    scope: Scope<'a>,
    zones: Vec<Zone>,
    /// Variables of zones that stand for no term.
    unused: Vec<Var>,
    /// The variables of each term that is not assigned: of its first value, and of each that it got later.
    values: BTreeMap<TermId, Vec<Option<Var>>>,
    /// If given, no other terms are followed.
    only: Option<&'a [TermId]>,
}

impl GroupRun<'_> {
    fn event(&mut self, event: &Event) {
        let conditions = self.scope.conditions;
        match event {
            Event::Guard { guard, taken } => {
                conditions.terms_of(*guard).into_iter().for_each(|term| self.follow(term));
                let zones = std::mem::take(&mut self.zones).into_iter();
                self.zones = zones.flat_map(|zone| self.scope.assume(zone, *guard, *taken)).collect();
            }
            Event::Assign(all) => {
                for &(term, expr) in all {
                    let Some(expr) = expr else { continue };
                    conditions.terms_of(expr).into_iter().for_each(|term| self.follow(term));
                    self.follow(term);
                }
                let zones = std::mem::take(&mut self.zones).into_iter();
                self.zones = zones.flat_map(|zone| self.scope.assign(zone, all)).collect();
                for &(term, _) in all.iter().filter(|(_, expr)| expr.is_none()) {
                    if let Some(var) = self.scope.vars[term].take() {
                        self.zones.iter_mut().for_each(|zone| zone.forget(var));
                        self.unused.push(var);
                    }
                }
            }
            Event::Renew(term) => {
                self.scope.vars[*term] = None;
                let values = self.values.entry(*term).or_default();
                if values.is_empty() {
                    values.push(None);
                }
                values.push(None);
            }
        }
    }

    fn follow(&mut self, term: TermId) {
        if self.scope.vars[term].is_some() || self.only.is_some_and(|only| !only.contains(&term)) {
            return;
        }
        let var = self.unused.pop().or_else(|| self.zones.iter_mut().map(Zone::push).last());
        let Some(var) = var else { return };
        self.scope.vars[term] = Some(var);
        self.zones.iter_mut().for_each(|zone| self.scope.limit(zone, term, var));
        if self.scope.conditions.terms[term].kind != TermKind::Assigned {
            let values = self.values.entry(term).or_default();
            match values.last_mut() {
                Some(newest @ None) => *newest = Some(var),
                _ => values.push(Some(var)),
            }
        }
    }
}

/// What an execution of a path came to.
enum Execution {
    /// It goes another way.
    Astray,
    /// It goes this way, or might: these guards could not be evaluated, and whether leaps are to blame.
    Goes { doubtful: Vec<(ExprId, bool)> },
}

impl<'a> Paths<'a> {
    pub(super) fn new(program: &'a Program, shape: Rc<Shape>) -> Self {
        let matters = |&at: &StepIndex| match program.steps[at] {
            Step::Assign(_) | Step::LoopTest { .. } => true,
            _ => program.conditions.guard(at).is_some(),
        };
        let decisive = if program.conditions.is_empty() {
            Vec::new()
        } else {
            (0..program.steps.len()).filter(matters).collect()
        };
        Self { program, shape, decisive, overflow: Cell::new(false) }
    }

    /// Whether the path exists.
    pub(super) fn decide(&self, path: &Path) -> Decision {
        if self.decisive.is_empty() {
            return Decision::Exists(Assignment::new());
        }
        let told = self.told(path);
        let groups = self.groups(&told);
        let mut candidates: Vec<Vec<Assignment>> = Vec::new();
        for (terms, events) in &groups {
            match self.group(events, None) {
                Group::Refuted => return Decision::Refuted(self.core(terms, events)),
                Group::Open => {}
                Group::Candidates(found) => candidates.push(found),
            }
        }
        let first: Assignment =
            candidates.iter().filter_map(|found| found.first()).flat_map(Clone::clone).collect();
        let others = candidates.iter().flat_map(|found| found.iter().skip(1));
        let mut tries: Vec<Assignment> = vec![first.clone()];
        tries.extend(others.map(|other| first.clone().into_iter().chain(other.clone()).collect()));
        let conditions = &self.program.conditions;
        let free = |term: &TermId| conditions.terms[*term].kind == TermKind::Free;
        let all: Vec<TermId> = groups.iter().flat_map(|(terms, _)| terms).copied().filter(free).collect();
        for sample in SAMPLES {
            let of = |term: TermId| if conditions.terms[term].bits == 1 { sample & 1 } else { sample };
            tries.push(all.iter().map(|&term| (term, vec![of(term)])).collect());
            for &term in all.iter().take(4) {
                let mut other = first.clone();
                other.insert(term, vec![of(term)]);
                tries.push(other);
            }
        }
        for assignment in tries.into_iter().take(MAX_TRIES) {
            match self.execute(&told, &assignment) {
                Execution::Astray => {}
                Execution::Goes { doubtful } if doubtful.is_empty() => return Decision::Exists(assignment),
                Execution::Goes { doubtful } => {
                    let leapt = doubtful.iter().filter(|(_, leapt)| *leapt);
                    let terms: Vec<TermId> = leapt.flat_map(|&(guard, _)| self.sources(guard)).collect();
                    return if terms.is_empty() { Decision::Open } else { Decision::Follow(terms) };
                }
            }
        }
        Decision::Open
    }

    /// What the path tells of branches, loops and terms.
    fn told(&self, path: &Path) -> Vec<Told> {
        let conditions = &self.program.conditions;
        let mut told = Vec::new();
        for (index, piece) in path.pieces.iter().enumerate() {
            let (from, to) = match *piece {
                Piece::Run { from, to } => (from, to),
                Piece::Leap { from, to } => {
                    self.leap(from, to, &mut told);
                    continue;
                }
            };
            let behind = path.pieces.get(index + 1).map(|next| match *next {
                Piece::Run { from, .. } | Piece::Leap { from, .. } => from,
            });
            let start = self.decisive.partition_point(|&step| step < from);
            for &step in self.decisive[start..].iter().take_while(|&&step| step < to) {
                let next = if step + 1 < to { Some(step + 1) } else { behind };
                let taken = match self.program.steps[step] {
                    Step::IfBegin { middle, .. } => next.map(|next| next <= middle),
                    Step::LoopTest { end, .. } => next.map(|next| (step + 1..=end).contains(&next)),
                    Step::Assign(index) => {
                        told.push(Told::Assign(index));
                        continue;
                    }
                    _ => continue,
                };
                if let (Some(guard), Some(taken)) = (conditions.guard(step), taken) {
                    told.push(Told::Guard { guard, taken });
                }
                if let Step::LoopTest { begin, .. } = self.program.steps[step] {
                    told.push(Told::Renew(begin));
                }
            }
        }
        told
    }

    /// What is told of a stretch of which it does not matter how its constructs are gone through: what stands beside
    /// them happens.
    fn leap(&self, from: StepIndex, to: StepIndex, told: &mut Vec<Told>) {
        let start = self.decisive.partition_point(|&step| step < from);
        let mut behind = from;
        for &step in self.decisive[start..].iter().take_while(|&&step| step < to) {
            if step < behind {
                continue;
            }
            let begin = self.shape.in_part_of(from, step);
            match (self.program.steps[step], self.program.steps[begin]) {
                (Step::Assign(index), _) if begin == step => told.push(Told::Assign(index)),
                (_, Step::LoopBegin { end, .. } | Step::IfBegin { end, .. }) => {
                    told.push(Told::Leap(begin, end));
                    behind = end;
                }
                _ => {}
            }
        }
    }

    /// The terms that steps between two places assign.
    fn changed(&self, from: StepIndex, to: StepIndex) -> impl Iterator<Item = TermId> + '_ {
        let start = self.decisive.partition_point(|&step| step < from);
        let inside = self.decisive[start..].iter().take_while(move |&&step| step < to);
        inside
            .flat_map(|&step| match self.program.steps[step] {
                Step::Assign(index) => self.program.conditions.assign(index),
                _ => &[],
            })
            .map(|&(term, _)| term)
    }

    /// The terms that guards of the path name, with those they are connected with, and what happens to each group.
    fn groups(&self, told: &[Told]) -> Vec<(Vec<TermId>, Vec<Event>)> {
        let conditions = &self.program.conditions;
        let mut of: Vec<TermId> = (0..conditions.terms.len()).collect();
        let mut guarded = vec![false; of.len()];
        for event in told {
            match *event {
                Told::Guard { guard, .. } => {
                    let terms = conditions.terms_of(guard);
                    terms.iter().for_each(|&term| guarded[term] = true);
                    terms.windows(2).for_each(|pair| unite(&mut of, pair[0], pair[1]));
                    for &term in &terms {
                        if let TermKind::Derived(from) = &conditions.terms[term].kind {
                            from.iter().for_each(|&other| unite(&mut of, term, other));
                        }
                    }
                }
                Told::Assign(index) => {
                    for &(term, expr) in conditions.assign(index) {
                        let sources = expr.map(|expr| conditions.terms_of(expr)).unwrap_or_default();
                        sources.iter().for_each(|&source| unite(&mut of, term, source));
                    }
                }
                Told::Renew(_) | Told::Leap(..) => {}
            }
        }
        let mut groups: BTreeMap<TermId, (Vec<TermId>, Vec<Event>)> = BTreeMap::new();
        for (term, _) in guarded.iter().enumerate().filter(|(_, guarded)| **guarded) {
            groups.entry(root(&mut of, term)).or_default();
        }
        for term in 0..of.len() {
            if let Some(group) = groups.get_mut(&root(&mut of, term)) {
                group.0.push(term);
            }
        }
        for event in told {
            match *event {
                Told::Guard { guard, taken } => {
                    let first = conditions.terms_of(guard).first().copied();
                    // Without terms it is a constant, which the execution of the path looks at.
                    if let Some(group) = first.and_then(|term| groups.get_mut(&root(&mut of, term))) {
                        group.1.push(Event::Guard { guard, taken });
                    }
                }
                Told::Assign(index) => {
                    let mut parts: BTreeMap<TermId, Vec<(TermId, Option<ExprId>)>> = BTreeMap::new();
                    for &(term, expr) in conditions.assign(index) {
                        parts.entry(root(&mut of, term)).or_default().push((term, expr));
                    }
                    for (root, part) in parts {
                        if let Some(group) = groups.get_mut(&root) {
                            group.1.push(Event::Assign(part));
                        }
                    }
                }
                Told::Renew(begin) => {
                    for &term in conditions.fresh(begin) {
                        if let Some(group) = groups.get_mut(&root(&mut of, term)) {
                            group.1.push(Event::Renew(term));
                        }
                    }
                }
                Told::Leap(from, to) => {
                    for term in self.changed(from, to) {
                        if let Some(group) = groups.get_mut(&root(&mut of, term)) {
                            group.1.push(Event::Assign(vec![(term, None)]));
                        }
                    }
                }
            }
        }
        groups.into_values().collect()
    }

    /// What can be known of a group of terms on the path, if only those of `only` are followed.
    fn group(&self, events: &[Event], only: Option<&[TermId]>) -> Group {
        let conditions = &self.program.conditions;
        let exprs = events.iter().flat_map(|event| match event {
            Event::Guard { guard, .. } => vec![*guard],
            Event::Assign(all) => all.iter().filter_map(|&(_, expr)| expr).collect(),
            Event::Renew(_) => Vec::new(),
        });
        let scope = Scope::new(conditions, &[], exprs);
        let zones = vec![scope.start()];
        let mut run = GroupRun { scope, zones, unused: Vec::new(), values: BTreeMap::new(), only };
        let mut is_cut = false;
        for event in events {
            run.event(event);
            if run.zones.first().is_some_and(|zone| zone.size() > MAX_VARS) {
                return Group::Open;
            }
            dedup(&mut run.zones);
            if run.zones.len() > MAX_ZONES {
                run.zones.truncate(MAX_ZONES);
                is_cut = true;
            }
            if run.zones.is_empty() {
                break;
            }
        }
        if run.zones.is_empty() {
            return if is_cut { Group::Open } else { Group::Refuted };
        }
        let solutions = run.zones.iter().take(4).filter_map(solution);
        let assignment = |solution: Vec<i64>| {
            let value = |var: &Option<Var>| var.map_or(0, |var| solution[var]);
            run.values.iter().map(|(&term, vars)| (term, vars.iter().map(value).collect())).collect()
        };
        Group::Candidates(solutions.map(assignment).collect())
    }

    /// Few of the terms of a group that is refuted, which are at odds alone.
    fn core(&self, terms: &[TermId], events: &[Event]) -> Vec<TermId> {
        let mut core = terms.to_vec();
        let is_enough = |terms: &[TermId]| matches!(self.group(events, Some(terms)), Group::Refuted);
        let mut at = 0;
        while at < core.len() && core.len() > 1 {
            let mut without = core.clone();
            without.remove(at);
            if is_enough(&without) {
                core = without;
            } else {
                at += 1;
            }
        }
        core
    }

    /// Executes what the path tells.
    fn execute(&self, told: &[Told], assignment: &Assignment) -> Execution {
        let conditions = &self.program.conditions;
        let mut turn = vec![0usize; conditions.terms.len()];
        let value = |term: TermId, turn: usize| match (&conditions.terms[term].kind, assignment.get(&term)) {
            (TermKind::Assigned, _) => None,
            (TermKind::Free, None) => Some(0),
            (TermKind::Free, Some(values)) => values.get(turn).or(values.last()).copied().or(Some(0)),
            // It has one that depends on others.
            (TermKind::Derived(from), Some(values)) => {
                let is_one = values.iter().all(|value| *value == values[0]);
                values.get(turn).copied().filter(|_| is_one && self.is_alone(term, from, assignment))
            }
            (TermKind::Derived(_), None) => None,
        };
        let mut values: Vec<Option<i64>> = (0..turn.len()).map(|term| value(term, 0)).collect();
        let mut leapt = vec![false; turn.len()];
        let mut doubtful = Vec::new();
        for event in told {
            match *event {
                Told::Guard { guard, taken } => match conditions.value(guard, &|term| values[term]) {
                    Some(value) if (value != 0) == taken => {}
                    Some(_) => return Execution::Astray,
                    None => {
                        let is_leapt = conditions.terms_of(guard).iter().any(|&term| leapt[term]);
                        doubtful.push((guard, is_leapt));
                    }
                },
                Told::Assign(index) => {
                    let all = conditions.assign(index);
                    let of = |expr: ExprId| conditions.value(expr, &|term| values[term]);
                    let new: Vec<_> = all.iter().map(|&(_, expr)| expr.and_then(of)).collect();
                    for (&(term, expr), new) in all.iter().zip(new) {
                        let from_leapt =
                            expr.is_some_and(|e| conditions.terms_of(e).iter().any(|&term| leapt[term]));
                        leapt[term] = new.is_none() && from_leapt;
                        values[term] = new;
                    }
                }
                Told::Renew(begin) => {
                    for &term in conditions.fresh(begin) {
                        turn[term] += 1;
                        values[term] = value(term, turn[term]);
                    }
                }
                Told::Leap(from, to) => {
                    for term in self.changed(from, to) {
                        values[term] = None;
                        leapt[term] = true;
                    }
                }
            }
        }
        Execution::Goes { doubtful }
    }

    /// Whether nothing else in the assignment has to do with what a term is computed from, so that it may have any value.
    fn is_alone(&self, term: TermId, from: &[TermId], assignment: &Assignment) -> bool {
        let has_to_do = |other: TermId| {
            let kind = &self.program.conditions.terms[other].kind;
            from.contains(&other)
                || matches!(kind, TermKind::Derived(f) if f.iter().any(|t| from.contains(t)))
        };
        !from.is_empty() && !assignment.keys().any(|&other| other != term && has_to_do(other))
    }

    /// The terms of an expression, and those that their values come from.
    fn sources(&self, expr: ExprId) -> Vec<TermId> {
        let conditions = &self.program.conditions;
        let mut terms = conditions.terms_of(expr);
        let mut known: std::collections::BTreeSet<TermId> = terms.iter().copied().collect();
        while let Some(term) = terms.pop() {
            let of_term = conditions.assigns.iter().flatten().filter(|(other, _)| *other == term);
            for source in of_term.filter_map(|&(_, expr)| expr).flat_map(|expr| conditions.terms_of(expr)) {
                if known.insert(source) {
                    terms.push(source);
                }
            }
        }
        known.into_iter().collect()
    }
}

/// Leaves out zones that are there twice.
fn dedup(zones: &mut Vec<Zone>) {
    if zones.len() > 1 {
        let mut kept: Vec<Zone> = Vec::with_capacity(zones.len());
        for zone in zones.drain(..) {
            if !kept.contains(&zone) {
                kept.push(zone);
            }
        }
        *zones = kept;
    }
}

/// Values that a zone allows, small ones where it leaves a choice.
fn solution(zone: &Zone) -> Option<Vec<i64>> {
    let mut zone = zone.clone();
    let mut values = vec![0];
    for var in 1..zone.size() {
        let least = zone.most(ZERO, var).map(|most| -most);
        let most = zone.most(var, ZERO);
        let nearest = 0.max(least.unwrap_or(0)).min(most.unwrap_or(i64::MAX));
        let reach = i64::from(zone.modulus());
        let mut candidates: Vec<i64> = (nearest - reach..=nearest + reach).collect();
        candidates.sort_by_key(|value| ((value - nearest).abs(), -value));
        let fits = candidates.into_iter().find_map(|value| {
            let mut with = zone.clone();
            let fits = with.at_most(var, ZERO, value) && with.at_most(ZERO, var, -value);
            (fits && with.exact(var) == Some(value)).then_some((value, with))
        });
        let (value, with) = fits?;
        zone = with;
        values.push(value);
    }
    Some(values)
}

fn root(of: &mut [TermId], mut term: TermId) -> TermId {
    while of[term] != term {
        of[term] = of[of[term]];
        term = of[term];
    }
    term
}

fn unite(of: &mut [TermId], a: TermId, b: TermId) {
    let (a, b) = (root(of, a), root(of, b));
    of[a.max(b)] = a.min(b);
}
