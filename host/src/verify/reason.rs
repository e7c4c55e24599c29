//! Symbolic values of expressions, and what a condition says of its terms.
//!
//! A [`Scope`] knows which terms are followed and by which variable of a [`Zone`] each; of other terms nothing is known.
//! What must hold: of the zones that [`Scope::assume`], [`Scope::assign`] and [`Scope::renew`] give, one allows whatever
//! the machine can do, as long as no integer overflows ([`Scope::overflow`] says whether that mattered).

use std::cell::Cell;

use super::conditions::{Conditions, Expr, ExprId, TermId};
use super::program::StepIndex;
use super::zone::{LARGEST, Var, ZERO, Zone};

/// Zones that one step may lead to; beyond that it tells nothing.
const MAX_CASES: usize = 24;

/// Largest modulus that is followed.
const MAX_MODULUS: u16 = 64;

/// A value: a variable and what is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) var: Var,
    pub(super) plus: i64,
}

impl Value {
    fn constant(plus: i64) -> Option<Self> {
        (plus.abs() <= LARGEST).then_some(Self { var: ZERO, plus })
    }

    fn plus(self, more: i64) -> Option<Self> {
        let plus = self.plus.checked_add(more).filter(|plus| plus.abs() <= LARGEST)?;
        Some(Self { plus, ..self })
    }
}

/// A zone with the value of an expression in it, if that is known.
type Case = (Zone, Option<Value>);

/// The terms that are followed.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) conditions: &'a Conditions,
    /// For each term its variable.
    pub(super) vars: Vec<Option<Var>>,
    /// What bounds are rounded to where a loop goes round.
    steps: Vec<i64>,
    pub(super) modulus: u16,
    /// Whether something was concluded that overflow could make wrong.
    pub(super) overflow: Cell<bool>,
}

impl<'a> Scope<'a> {
    /// Follows these terms, each by a variable. `exprs` are the expressions in which they matter.
    pub(super) fn new(
        conditions: &'a Conditions,
        terms: &[TermId],
        exprs: impl Iterator<Item = ExprId>,
    ) -> Self {
        let mut vars = vec![None; conditions.terms.len()];
        terms.iter().zip(1..).for_each(|(&term, var)| vars[term] = Some(var));
        let (mut modulus, mut steps) = (1, (-2..=2).collect::<Vec<i64>>());
        for expr in exprs {
            modulus = with_moduli(conditions, expr, modulus);
            for constant in conditions.constants_of(expr).into_iter().filter(|c| c.abs() <= LARGEST) {
                // A counter that goes up to a small one is known at each of its values.
                let around = constant.abs() - 1..=constant.abs() + 1;
                let around = if constant.abs() < 10 { 0..=*around.end() } else { around };
                around.for_each(|step| steps.extend([step, -step]));
            }
        }
        steps.sort_unstable();
        steps.dedup();
        Self { conditions, vars, steps, modulus, overflow: Cell::new(false) }
    }

    /// What is known at the start.
    pub(super) fn start(&self) -> Zone {
        let mut zone = Zone::new(self.vars.iter().flatten().count(), self.modulus);
        for (term, var) in self.vars.iter().enumerate() {
            var.iter().for_each(|&var| self.limit(&mut zone, term, var));
        }
        zone
    }

    /// A truth value is 0 or 1.
    pub(super) fn limit(&self, zone: &mut Zone, term: TermId, var: Var) {
        if self.conditions.terms[term].bits == 1 {
            // Nothing else is known of it.
            _ = zone.at_most(var, ZERO, 1) && zone.at_most(ZERO, var, 0);
        }
    }

    /// Whether an expression names a term that is followed.
    pub(super) fn names(&self, expr: ExprId) -> bool {
        self.conditions.terms_of(expr).iter().any(|&term| self.vars[term].is_some())
    }

    /// The terms that have another value with each trip of a loop get one of which nothing is known.
    pub(super) fn renew(&self, begin: StepIndex, zone: &mut Zone) {
        for &term in self.conditions.fresh(begin) {
            if let Some(var) = self.vars[term] {
                zone.forget(var);
                self.limit(zone, term, var);
            }
        }
    }

    /// Weakens what is known so that there are only so many zones.
    pub(super) fn round(&self, zone: &mut Zone) {
        zone.round(&self.steps);
    }

    /// Executes an assignment.
    pub(super) fn assign(&self, zone: Zone, assign: &[(TermId, Option<ExprId>)]) -> Vec<Zone> {
        let followed: Vec<(TermId, Var, Option<ExprId>)> =
            assign.iter().filter_map(|&(term, expr)| Some((term, self.vars[term]?, expr))).collect();
        if followed.is_empty() {
            return vec![zone];
        }
        let mut cases: Vec<(Zone, Vec<Option<Value>>)> = vec![(zone, Vec::new())];
        for (_, _, expr) in &followed {
            let mut next = Vec::new();
            for (zone, values) in cases {
                let own = match expr {
                    Some(expr) => self.cases(zone, *expr),
                    None => vec![(zone, None)],
                };
                next.extend(own.into_iter().map(|(zone, value)| (zone, [&values[..], &[value]].concat())));
            }
            cases = next;
            if cases.len() > MAX_CASES {
                // Nothing is known behind it: refined by nothing, all values at once.
                let (zone, _) = cases.swap_remove(0);
                let mut zone = Zone::new(zone.size() - 1, self.modulus);
                self.vars
                    .iter()
                    .enumerate()
                    .filter_map(|(term, var)| Some((term, (*var)?)))
                    .for_each(|(term, var)| self.limit(&mut zone, term, var));
                return vec![zone];
            }
        }
        cases.into_iter().map(|(zone, values)| self.become_all(zone, &followed, &values)).collect()
    }

    fn become_all(
        &self,
        mut zone: Zone,
        followed: &[(TermId, Var, Option<ExprId>)],
        values: &[Option<Value>],
    ) -> Zone {
        if let (&[(_, var, _)], &[Some(value)]) = (followed, values)
            && value.var == var
        {
            zone.shift(var, value.plus);
            return zone;
        }
        // First all new values beside the old ones, then each in the place of its old one.
        for (&(term, _, _), value) in followed.iter().zip(values) {
            let fresh = zone.push();
            match *value {
                Some(Value { var, plus }) => {
                    // A new variable fits any value.
                    _ = zone.at_most(fresh, var, plus) && zone.at_most(var, fresh, -plus);
                }
                None => self.limit(&mut zone, term, fresh),
            }
        }
        for &(_, var, _) in followed.iter().rev() {
            zone.pop(Some(var));
        }
        zone
    }

    /// What is known if a condition holds, or does not.
    pub(super) fn assume(&self, zone: Zone, expr: ExprId, holds: bool) -> Vec<Zone> {
        let all = self.assume_all(zone.clone(), expr, holds);
        if all.len() > MAX_CASES { vec![zone] } else { all }
    }

    fn assume_all(&self, mut zone: Zone, expr: ExprId, holds: bool) -> Vec<Zone> {
        let both = |zone, a, b, first, second| -> Vec<Zone> {
            let after: Vec<Zone> = self.assume(zone, a, first);
            after.into_iter().flat_map(|zone| self.assume(zone, b, second)).collect()
        };
        match self.conditions.expr(expr) {
            Expr::Const(value) => Vec::from_iter(((*value != 0) == holds).then_some(zone)),
            Expr::Term(term) if self.conditions.terms[*term].bits == 1 => match self.vars[*term] {
                None => vec![zone],
                Some(var) => {
                    let fits = if holds { zone.at_most(ZERO, var, -1) } else { zone.at_most(var, ZERO, 0) };
                    Vec::from_iter(fits.then_some(zone))
                }
            },
            Expr::Apply { name, bits: [from, to], inputs, predicate } => match (name.as_str(), &inputs[..]) {
                ("cmpi", &[a, b]) if *from > 1 || matches!(predicate.as_str(), "eq" | "ne") => {
                    self.compare(zone, predicate, [a, b], holds)
                }
                ("andi", &[a, b]) if *to == 1 && holds => both(zone, a, b, true, true),
                ("ori", &[a, b]) if *to == 1 && !holds => both(zone, a, b, false, false),
                ("andi", &[a, b]) if *to == 1 => {
                    let mut all = self.assume(zone.clone(), a, false);
                    all.extend(both(zone, a, b, true, false));
                    all
                }
                ("ori", &[a, b]) if *to == 1 => {
                    let mut all = self.assume(zone.clone(), a, true);
                    all.extend(both(zone, a, b, false, true));
                    all
                }
                ("xori" | "addi" | "subi", &[a, b]) if *to == 1 => {
                    let mut all = both(zone.clone(), a, b, true, !holds);
                    all.extend(both(zone, a, b, false, holds));
                    all
                }
                ("select", &[condition, yes, no]) if *to == 1 => {
                    let mut all = both(zone.clone(), condition, yes, true, holds);
                    all.extend(both(zone, condition, no, false, holds));
                    all
                }
                ("trunci", _) if *to == 1 => self.is_not_zero(zone, expr, holds),
                _ => vec![zone],
            },
            _ => self.is_not_zero(zone, expr, holds),
        }
    }

    fn is_not_zero(&self, zone: Zone, expr: ExprId, holds: bool) -> Vec<Zone> {
        let zero = Some(Value { var: ZERO, plus: 0 });
        let cases = self.cases(zone, expr).into_iter();
        cases
            .flat_map(|(zone, value)| self.relate(zone, if holds { "ne" } else { "eq" }, value, zero))
            .collect()
    }

    fn compare(&self, zone: Zone, predicate: &str, [a, b]: [ExprId; 2], holds: bool) -> Vec<Zone> {
        let predicate = if holds { predicate } else { opposite(predicate) };
        let mut all = Vec::new();
        for (zone, left) in self.cases(zone, a) {
            for (zone, right) in self.cases(zone, b) {
                all.extend(self.relate(zone, predicate, left, right));
            }
        }
        all
    }

    /// The zones in which two values are related as a predicate of `cmpi` says.
    fn relate(&self, zone: Zone, predicate: &str, a: Option<Value>, b: Option<Value>) -> Vec<Zone> {
        let (Some(a), Some(b)) = (a, b) else { return vec![zone] };
        let zero = Value { var: ZERO, plus: 0 };
        // `a - b` is at most so much.
        let least = |zone: &Zone, a: Value, b: Value, most: i64| {
            let mut zone = zone.clone();
            zone.at_most(a.var, b.var, most - a.plus + b.plus).then_some(zone)
        };
        let signs = |zone: &Zone, a_is_less: bool, b_is_less: bool| {
            let side = |zone: &Zone, value, is_less| {
                if is_less { least(zone, value, zero, -1) } else { least(zone, zero, value, 0) }
            };
            side(zone, a, a_is_less).and_then(|zone| side(&zone, b, b_is_less))
        };
        match predicate {
            "eq" => Vec::from_iter(least(&zone, a, b, 0).and_then(|zone| least(&zone, b, a, 0))),
            "ne" => [least(&zone, a, b, -1), least(&zone, b, a, -1)].into_iter().flatten().collect(),
            "slt" => Vec::from_iter(least(&zone, a, b, -1)),
            "sle" => Vec::from_iter(least(&zone, a, b, 0)),
            "sgt" => Vec::from_iter(least(&zone, b, a, -1)),
            "sge" => Vec::from_iter(least(&zone, b, a, 0)),
            "ugt" => self.relate(zone, "ult", Some(b), Some(a)),
            "uge" => self.relate(zone, "ule", Some(b), Some(a)),
            "ult" | "ule" => {
                // A negative number is a large one.
                let most = if predicate == "ult" { -1 } else { 0 };
                let same = [false, true].map(|is| signs(&zone, is, is).and_then(|z| least(&z, a, b, most)));
                same.into_iter().chain([signs(&zone, false, true)]).flatten().collect()
            }
            _ => vec![zone],
        }
    }

    /// What an expression can be.
    pub(super) fn cases(&self, zone: Zone, expr: ExprId) -> Vec<Case> {
        let all = self.cases_of(zone.clone(), expr);
        if all.len() > MAX_CASES {
            return vec![(zone, None)];
        }
        let exact = |(zone, value): Case| {
            let value = value.map(|value| match zone.exact(value.var) {
                Some(exact) => value_or(value, Value { var: ZERO, plus: exact }.plus(value.plus)),
                None => value,
            });
            (zone, value)
        };
        all.into_iter().map(exact).collect()
    }

    fn cases_of(&self, zone: Zone, expr: ExprId) -> Vec<Case> {
        match self.conditions.expr(expr) {
            Expr::Const(value) => vec![(zone, Value::constant(*value))],
            Expr::Term(term) => vec![(zone, self.vars[*term].map(|var| Value { var, plus: 0 }))],
            Expr::Next(of, by) => {
                let cases = self.cases(zone, *of).into_iter();
                cases.map(|(zone, value)| (zone, value.and_then(|v| v.plus(*by)))).collect()
            }
            Expr::Apply { bits: [_, 1], name, .. } if name != "trunci" => {
                let mut all: Vec<Case> = Vec::new();
                for holds in [true, false] {
                    let zones = self.assume(zone.clone(), expr, holds).into_iter();
                    all.extend(zones.map(|zone| (zone, Value::constant(i64::from(holds)))));
                }
                all
            }
            Expr::Apply { name, bits, inputs, .. } => self.apply(zone, name, *bits, inputs),
        }
    }

    fn apply(&self, zone: Zone, name: &str, [from, to]: [u32; 2], inputs: &[ExprId]) -> Vec<Case> {
        match (name, inputs) {
            ("select", &[condition, yes, no]) => {
                let mut all = Vec::new();
                for (holds, value) in [(true, yes), (false, no)] {
                    let zones = self.assume(zone.clone(), condition, holds).into_iter();
                    all.extend(zones.flat_map(|zone| self.cases(zone, value)));
                }
                all
            }
            (_, &[of]) => {
                let cases = self.cases(zone, of).into_iter();
                cases.flat_map(|(zone, value)| self.cast(zone, name, [from, to], value)).collect()
            }
            (_, &[a, b]) => {
                let mut all = Vec::new();
                for (zone, left) in self.cases(zone, a) {
                    for (zone, right) in self.cases(zone, b) {
                        match (left, right) {
                            (Some(left), Some(right)) => {
                                all.extend(self.binary(zone, name, from, left, right));
                            }
                            _ => all.push((zone, None)),
                        }
                    }
                }
                all
            }
            _ => vec![(zone, None)],
        }
    }

    fn cast(&self, zone: Zone, name: &str, [from, to]: [u32; 2], value: Option<Value>) -> Vec<Case> {
        let Some(value) = value else { return vec![(zone, None)] };
        let is_unsigned = matches!(name, "extui" | "index_castui");
        match name {
            "trunci" if to == 1 => self.remainder(zone, value, 2, |residue, _| Some(residue)),
            "extsi" | "index_cast" if from == 1 => {
                // Extension from one bit repeats it.
                let minus = (value.var == ZERO).then(|| Value::constant(-value.plus)).flatten();
                vec![(zone, minus)]
            }
            "extui" | "index_castui" | "extsi" | "index_cast" | "trunci" => {
                if to < from && !self.fits(&zone, value, to) {
                    self.overflow.set(true);
                }
                if !is_unsigned || from == 1 || to <= from {
                    return vec![(zone, Some(value))];
                }
                self.by_sign(zone, value, |zone, is_less| (zone, Some(value).filter(|_| !is_less)))
            }
            _ => vec![(zone, None)],
        }
    }

    /// Whether the value is known to fit so many bits.
    fn fits(&self, zone: &Zone, value: Value, bits: u32) -> bool {
        let largest = 1i64 << (bits.min(63) - 1);
        zone.most(value.var, ZERO).is_some_and(|most| most.saturating_add(value.plus) < largest)
            && zone.most(ZERO, value.var).is_some_and(|most| most.saturating_sub(value.plus) <= largest)
    }

    /// The zone in which the value is not less than zero, and the one in which it is.
    fn by_sign(&self, zone: Zone, value: Value, case: impl Fn(Zone, bool) -> Case) -> Vec<Case> {
        let (mut at_least, mut less) = (zone.clone(), zone);
        let mut all = Vec::new();
        if at_least.at_most(ZERO, value.var, value.plus) {
            all.push(case(at_least, false));
        }
        if less.at_most(value.var, ZERO, -1 - value.plus) {
            all.push(case(less, true));
        }
        all
    }

    fn binary(&self, zone: Zone, name: &str, bits: u32, a: Value, b: Value) -> Vec<Case> {
        let constants = (a.var == ZERO && b.var == ZERO).then_some((a.plus, b.plus));
        let one = |zone, value| vec![(zone, value)];
        match (name, constants) {
            ("addi", _) if b.var == ZERO => {
                let sum = self.sum(&zone, a, b.plus);
                one(zone, sum)
            }
            ("addi", _) if a.var == ZERO => {
                let sum = self.sum(&zone, b, a.plus);
                one(zone, sum)
            }
            ("subi", _) if a.var == b.var => one(zone, Value::constant(a.plus - b.plus)),
            ("subi", _) if b.var == ZERO => {
                let difference = self.sum(&zone, a, -b.plus);
                one(zone, difference)
            }
            ("muli", Some((a, b))) => one(zone, a.checked_mul(b).and_then(Value::constant)),
            ("divsi", Some((a, b))) => one(zone, a.checked_div(b).and_then(Value::constant)),
            ("divui", Some((a, b))) if a >= 0 && b > 0 => one(zone, Value::constant(a / b)),
            ("xori", Some((a, b))) => one(zone, Value::constant(a ^ b)),
            ("ori", Some((a, b))) => one(zone, Value::constant(a | b)),
            ("andi", Some((a, b))) => one(zone, Value::constant(a & b)),
            ("remsi", Some((a, b))) if b != 0 => one(zone, Value::constant(a % b)),
            ("remui", Some((a, b))) if a >= 0 && b > 0 => one(zone, Value::constant(a % b)),
            ("andi", _) if b.var == ZERO && b.plus > 0 && (b.plus + 1).count_ones() == 1 => {
                self.remainder(zone, a, b.plus + 1, |residue, _| Some(residue))
            }
            ("remui", _) if b.var == ZERO && b.plus > 0 => {
                let wraps = b.plus.count_ones() == 1 && bits > 1;
                self.remainder(zone, a, b.plus, |residue, is_less| {
                    Some(residue).filter(|_| !is_less || wraps)
                })
            }
            ("remsi", _) if b.var == ZERO && b.plus > 0 => {
                self.remainder(zone, a, b.plus, |residue, is_less| {
                    Some(if is_less && residue > 0 { residue - b.plus } else { residue })
                })
            }
            ("maxsi" | "minsi", _) => {
                let greater = self.relate(zone.clone(), "sgt", Some(a), Some(b)).into_iter();
                let others = self.relate(zone, "sle", Some(a), Some(b)).into_iter();
                let [first, second] = if name == "maxsi" { [a, b] } else { [b, a] };
                greater
                    .map(|zone| (zone, Some(first)))
                    .chain(others.map(|zone| (zone, Some(second))))
                    .collect()
            }
            _ => one(zone, None),
        }
    }

    /// A sum, which is taken not to wrap.
    fn sum(&self, zone: &Zone, value: Value, more: i64) -> Option<Value> {
        let total = value.plus(more)?;
        // What is known to be at least something cannot get below the smallest number by a little; and what is
        // less than another integer by as much as is added cannot get beyond the largest one.
        let is_safe = match total.plus {
            0 => true,
            plus if plus < 0 => zone.most(ZERO, value.var).is_some(),
            plus => (0..zone.size()).any(|other| {
                other != value.var && zone.most(value.var, other).is_some_and(|m| other == ZERO || m <= -plus)
            }),
        };
        if !is_safe && value.var != ZERO {
            self.overflow.set(true);
        }
        Some(total)
    }

    /// The cases of a value divided by a constant: `result` of what is left, from zero on, and whether the value is
    /// less than zero.
    fn remainder(
        &self,
        zone: Zone,
        value: Value,
        divisor: i64,
        result: impl Fn(i64, bool) -> Option<i64> + Copy,
    ) -> Vec<Case> {
        if i64::from(self.modulus) % divisor != 0 {
            return vec![(zone, None)];
        }
        let zones: Vec<Zone> = match zone.residue(value.var) {
            Some(_) => vec![zone],
            None => (0..self.modulus)
                .filter_map(|residue| {
                    let mut zone = zone.clone();
                    zone.leaves(value.var, residue).then_some(zone)
                })
                .collect(),
        };
        let mut all = Vec::new();
        for zone in zones {
            let Some(residue) = zone.residue(value.var) else { continue };
            let rest = (i64::from(residue) + value.plus).rem_euclid(divisor);
            let of = |is_less| result(rest, is_less).and_then(Value::constant);
            if of(false) == of(true) {
                all.push((zone, of(false)));
            } else {
                all.extend(self.by_sign(zone, value, |zone, is_less| (zone, of(is_less))));
            }
        }
        all
    }
}

fn value_or(value: Value, other: Option<Value>) -> Value {
    other.unwrap_or(value)
}

/// The predicate of `cmpi` that holds if this one does not.
fn opposite(predicate: &str) -> &str {
    match predicate {
        "eq" => "ne",
        "ne" => "eq",
        "slt" => "sge",
        "sle" => "sgt",
        "sgt" => "sle",
        "sge" => "slt",
        "ult" => "uge",
        "ule" => "ugt",
        "ugt" => "ule",
        "uge" => "ult",
        other => other,
    }
}

/// The least common multiple of the modulus and what the expression divides by, as far as that is followed.
fn with_moduli(conditions: &Conditions, expr: ExprId, mut modulus: u16) -> u16 {
    let (mut seen, mut open) = (std::collections::HashSet::new(), vec![expr]);
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        match conditions.expr(id) {
            Expr::Next(of, _) => open.push(*of),
            Expr::Apply { name, bits, inputs, .. } => {
                let divisor = match (name.as_str(), inputs.last().map(|&last| conditions.expr(last))) {
                    ("remsi" | "remui", Some(Expr::Const(divisor))) => Some(*divisor),
                    ("andi", Some(Expr::Const(mask))) => mask.checked_add(1),
                    ("trunci", _) if bits[1] == 1 => Some(2),
                    _ => None,
                };
                let divisor =
                    divisor.and_then(|d| u16::try_from(d).ok()).filter(|&d| (1..=MAX_MODULUS).contains(&d));
                if let Some(divisor) = divisor {
                    let both = modulus / common(modulus, divisor) * divisor;
                    modulus = if both <= MAX_MODULUS { both } else { modulus };
                }
                open.extend(inputs);
            }
            _ => {}
        }
    }
    modulus
}

/// The greatest common divisor.
fn common(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { common(b, a % b) }
}
