//! From values of a module to terms and expressions over them.
//!
//! A value is known by the call that it belongs to (0 for the function itself) and its number, so that a body which is
//! gone through once for each call has values of its own each time. What must hold: two values get one term only if they
//! are equal whenever both are there.

use std::collections::HashMap;

use pipewright_abi::ir::{Module, type_kind};
use pipewright_abi::{OpId, ValueId};

use super::arithmetic;
use super::conditions::{Assign, Conditions, Expr, ExprId, Term, TermId, TermKind};
use super::program::Builder;

/// Operations that one expression may have, those that are shared counted each time.
const MAX_SIZE: usize = 64;

/// Operations that are looked through for what an unknown result depends on.
const MAX_DEPTH: usize = 16;

/// A value in one call.
pub(super) type Place = (usize, ValueId);

/// What a value becomes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// The value of another one.
    Value(ValueId),
    /// Its own value and that of a step.
    Next(ValueId),
    /// It is over: nothing asks for it.
    Over,
}

/// A call whose body is gone through.
#[derive(Debug, Default)]
struct Call {
    /// Loops that are open around it.
    loops: usize,
    /// What the arguments of the function stand for.
    arguments: HashMap<ValueId, Place>,
}

/// The terms and expressions of one program.
#[derive(Debug)]
pub(super) struct Extract<'a> {
    module: Option<&'a Module<'a>>,
    calls: Vec<Call>,
    done: HashMap<Place, (ExprId, usize)>,
    /// For what is read from elsewhere a term that stands for it.
    read: HashMap<(String, Vec<Place>), TermId>,
}

impl<'a> Extract<'a> {
    pub(super) fn new(module: Option<&'a Module<'a>>) -> Self {
        Self { module, calls: vec![Call::default()], done: HashMap::new(), read: HashMap::new() }
    }

    /// The number of a call that is gone into at this point, with what the arguments of its function stand for.
    pub(super) fn enter(
        &mut self,
        builder: &Builder,
        arguments: impl IntoIterator<Item = (ValueId, Place)>,
    ) -> usize {
        self.calls.push(Call { loops: builder.loops(), arguments: arguments.into_iter().collect() });
        self.calls.len() - 1
    }

    /// Whether the value is an integer, which is what can be followed.
    pub(super) fn is_integer(module: &Module<'_>, value: ValueId) -> bool {
        value.is_some() && matches!(module.type_of(value).kind, type_kind::INDEX | type_kind::INT)
    }

    /// The changes of values as a change of terms.
    pub(super) fn assign(
        &mut self,
        builder: &mut Builder,
        call: usize,
        changes: &[(ValueId, Change)],
    ) -> Assign {
        let mut assign = Assign::new();
        for &(to, change) in changes {
            let Some((own, _)) = self.value(builder, (call, to), 0) else { continue };
            let Expr::Term(term) = *builder.conditions().expr(own) else { continue };
            let becomes = match change {
                Change::Over => None,
                Change::Value(from) => self.value(builder, (call, from), 0).map(|(expr, _)| expr),
                Change::Next(step) => self.value(builder, (call, step), 0).map(|(step, _)| {
                    let bits = self.module.map_or(64, |module| bits(module, to));
                    match *builder.conditions().expr(step) {
                        Expr::Const(by) => builder.conditions().add(Expr::Next(own, by)),
                        _ => builder.conditions().add(apply("addi", "", [bits, bits], vec![own, step])),
                    }
                }),
            };
            assign.push((term, becomes));
        }
        assign
    }

    /// The expression that a value is; none for one that is no integer.
    pub(super) fn expr(&mut self, builder: &mut Builder, place: Place) -> Option<ExprId> {
        self.value(builder, place, 0).map(|(expr, _)| expr)
    }

    /// That a loop goes on: its induction variable is less than its upper bound.
    pub(super) fn goes_on(&mut self, builder: &mut Builder, variable: Place, bound: Place) -> Option<ExprId> {
        let (variable_expr, bound) = (self.expr(builder, variable)?, self.expr(builder, bound)?);
        let bits = bits(self.module?, variable.1);
        Some(builder.conditions().add(apply("cmpi", "slt", [bits, 1], vec![variable_expr, bound])))
    }

    /// That an expression has this value.
    pub(super) fn is(builder: &mut Builder, expr: ExprId, value: u32) -> ExprId {
        let value = builder.conditions().add(Expr::Const(i64::from(value)));
        builder.conditions().add(apply("cmpi", "eq", [64, 1], vec![expr, value]))
    }

    /// The condition of a branch that comes next; one that is a constant as a term, so that it can be followed.
    pub(super) fn held(&self, builder: &mut Builder, guard: ExprId) -> ExprId {
        let Expr::Const(_) = builder.conditions().expr(guard) else { return guard };
        let kind = TermKind::Assigned;
        let term = builder.conditions().term(Term { name: String::new(), bits: 1, kind });
        builder.assign(vec![(term, Some(guard))]);
        builder.conditions().add(Expr::Term(term))
    }

    /// The expression with its size.
    fn value(&mut self, builder: &mut Builder, place: Place, depth: usize) -> Option<(ExprId, usize)> {
        if let Some(&done) = self.done.get(&place) {
            return Some(done);
        }
        let made = self.make(builder, place, depth)?;
        self.done.insert(place, made);
        Some(made)
    }

    fn make(&mut self, builder: &mut Builder, (call, value): Place, depth: usize) -> Option<(ExprId, usize)> {
        let module = self.module?;
        if !Self::is_integer(module, value) {
            return None;
        }
        let Some(op) = module.value(value).op.get() else {
            return Some((self.argument(builder, (call, value), depth)?, 1));
        };
        let name = module.op_name(op);
        if name == "arith.constant" {
            let constant = module.int_attr(op, "value");
            let constant = constant.map(|c| if bits(module, value) == 1 { c & 1 } else { c });
            return constant.map(|c| (builder.conditions().add(Expr::Const(c)), 1));
        }
        if let Some(arithmetic) = name.strip_prefix("arith.").filter(|_| depth < MAX_SIZE) {
            let operands = module.operands(op);
            let inputs: Option<Vec<_>> =
                operands.iter().map(|o| self.value(builder, (call, o.value), depth + 1)).collect();
            let size = inputs.iter().flatten().map(|&(_, size)| size).sum::<usize>() + 1;
            if let (Some(inputs), true) = (inputs, size <= MAX_SIZE) {
                let from = bits(module, operands.first()?.value);
                let predicate = module.text_attr(op, "predicate").unwrap_or("");
                let inputs: Vec<ExprId> = inputs.into_iter().map(|(expr, _)| expr).collect();
                let made = apply(arithmetic, predicate, [from, bits(module, value)], inputs);
                return Some((builder.conditions().add(made), size));
            }
        }
        let kind = if name.starts_with("scf.") {
            TermKind::Assigned
        } else if name.starts_with("arith.") || name.starts_with("math.") {
            TermKind::Derived(self.sources(builder, (call, value), 0))
        } else if self.varies(op, 0) {
            TermKind::Free
        } else {
            // It may be the same with each execution, and with that of another operation like it.
            TermKind::Derived(vec![self.stands_for(builder, call, op)])
        };
        Some((self.term(builder, (call, value), kind, Some(op)), 1))
    }

    fn argument(&mut self, builder: &mut Builder, (call, value): Place, depth: usize) -> Option<ExprId> {
        let module = self.module?;
        if let Some(&stands_for) = self.calls[call].arguments.get(&value) {
            return self.value(builder, stands_for, depth).map(|(expr, _)| expr);
        }
        let owner = module.block_owner(module.value(value).block);
        let kind = match module.op_name(owner) {
            "func.func" => TermKind::Free,
            "scf.for" | "scf.while" => TermKind::Assigned,
            _ => TermKind::Derived(Vec::new()),
        };
        Some(self.term(builder, (call, value), kind, None))
    }

    /// A term for a value, which gets a value of its own with each trip of the innermost loop around `op`.
    fn term(&self, builder: &mut Builder, (call, value): Place, kind: TermKind, op: Option<OpId>) -> ExprId {
        let module = self.module;
        let name = module.and_then(|m| m.value(value).name.get().map(|name| format!("%{}", m.str(name))));
        let bits = module.map_or(64, |m| bits(m, value));
        let loops = match (op, module) {
            (Some(op), Some(module)) if kind != TermKind::Assigned => {
                self.calls[call].loops + loops_around(module, op)
            }
            _ => 0,
        };
        let term = builder.term(Term { name: name.unwrap_or_default(), bits, kind }, loops);
        builder.conditions().add(Expr::Term(term))
    }

    /// The terms that a value is computed from, each once.
    fn sources(&mut self, builder: &mut Builder, (call, value): Place, depth: usize) -> Vec<TermId> {
        let Some(module) = self.module else { return Vec::new() };
        let mut sources = Vec::new();
        let op = module.value(value).op.get();
        let operands = op.map_or(&[][..], |op| module.operands(op));
        for operand in operands.iter().filter(|_| depth < MAX_DEPTH) {
            let place = (call, operand.value);
            if let Some(expr) = self.expr(builder, place) {
                for term in builder.conditions().terms_of(expr) {
                    match &builder.conditions().terms[term].kind {
                        TermKind::Derived(others) => sources.extend(others.clone()),
                        _ => sources.push(term),
                    }
                }
                continue;
            }
            match module.value(operand.value).op.get() {
                Some(op) if module.op_name(op).starts_with("arith.") => {
                    sources.extend(self.sources(builder, place, depth + 1));
                }
                Some(op) => sources.push(self.stands_for(builder, call, op)),
                None => {
                    let key = (String::new(), vec![place]);
                    sources.push(self.standing_for(builder, key));
                }
            }
        }
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// A term that stands for whatever an operation reads.
    fn stands_for(&mut self, builder: &mut Builder, call: usize, op: OpId) -> TermId {
        let module = self.module;
        let name = module.map_or("", |m| m.op_name(op)).to_owned();
        let operands = module.map_or(&[][..], |m| m.operands(op));
        self.standing_for(builder, (name, operands.iter().map(|o| (call, o.value)).collect()))
    }

    fn standing_for(&mut self, builder: &mut Builder, key: (String, Vec<Place>)) -> TermId {
        let term = || Term { name: String::new(), bits: 64, kind: TermKind::Free };
        *self.read.entry(key).or_insert_with(|| builder.conditions().term(term()))
    }

    /// Whether what an operation reads is another thing with each trip of a loop.
    fn varies(&self, op: OpId, depth: usize) -> bool {
        let Some(module) = self.module else { return false };
        depth < MAX_DEPTH
            && module.operands(op).iter().any(|operand| match module.value(operand.value).op.get() {
                Some(op) => self.varies(op, depth + 1),
                None => {
                    let owner = module.block_owner(module.value(operand.value).block);
                    module.op_name(owner) != "func.func"
                }
            })
    }
}

impl Conditions {
    /// The values that an expression can have, if they are few and not less than zero.
    pub(super) fn few_values(&self, expr: ExprId, most: usize) -> Option<Vec<i64>> {
        let fits = |mut values: Vec<i64>| {
            values.sort_unstable();
            values.dedup();
            (values.len() <= most && values.first().is_none_or(|&least| least >= 0)).then_some(values)
        };
        match self.expr(expr) {
            Expr::Const(value) => fits(vec![*value]),
            Expr::Term(term) if self.terms[*term].bits == 1 => fits(vec![0, 1]),
            Expr::Term(_) | Expr::Next(..) => None,
            Expr::Apply { name, predicate, bits, inputs } => {
                let constant = inputs.last().and_then(|&last| match self.expr(last) {
                    Expr::Const(value) => Some(*value),
                    _ => None,
                });
                match (name.as_str(), &inputs[..], constant) {
                    (_, _, _) if bits[1] == 1 => fits(vec![0, 1]),
                    ("remui", _, Some(divisor)) if (1..=most as i64).contains(&divisor) => {
                        fits((0..divisor).collect())
                    }
                    // The last one stays with what is below zero, which is no id.
                    ("remsi", _, Some(divisor)) if (1..=most as i64).contains(&divisor) => {
                        fits((0..divisor).collect())
                    }
                    ("andi", _, Some(mask)) if (0..most as i64).contains(&mask) => fits((0..=mask).collect()),
                    ("select", &[_, yes, no], _) => {
                        fits([self.few_values(yes, most)?, self.few_values(no, most)?].concat())
                    }
                    (_, &[of], _) => fits(self.few_values(of, most)?),
                    (_, &[a, b], _) => {
                        let (left, right) = (self.few_values(a, most)?, self.few_values(b, most)?);
                        let mut values = Vec::new();
                        for (&x, &y) in left.iter().flat_map(|x| right.iter().map(move |y| (x, y))) {
                            let of = arithmetic::apply(name, predicate, *bits, &[Some(x), Some(y)])?;
                            values.extend(Some(of).filter(|&value| value >= 0));
                        }
                        fits(values)
                    }
                    _ => None,
                }
            }
        }
    }
}

/// Bits of an integer type.
fn bits(module: &Module<'_>, value: ValueId) -> u32 {
    let ty = module.type_of(value);
    if ty.kind == type_kind::INDEX { 64 } else { ty.width }
}

fn apply(name: &str, predicate: &str, bits: [u32; 2], inputs: Vec<ExprId>) -> Expr {
    Expr::Apply { name: name.into(), predicate: predicate.into(), bits, inputs }
}

/// Number of loops of its function around an operation.
fn loops_around(module: &Module<'_>, op: OpId) -> usize {
    let mut count = 0;
    let mut at = module.parent(op);
    while at.is_some() && !matches!(module.op_name(at), "func.func" | "builtin.module") {
        count += usize::from(matches!(module.op_name(at), "scf.for" | "scf.while"));
        at = module.parent(at);
    }
    count
}
