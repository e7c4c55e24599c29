//! What decides which way a path goes: terms, expressions over them, and the steps that use them.
//!
//! A *term* is an integer that is not computed from other ones here: an argument of the kernel, what is read from
//! memory, the induction variable of a loop, a value that a loop hands on. An *expression* is integer arithmetic over
//! terms. A *guard* is the condition of a branch (its then part is taken if it is not 0) or of a loop (it goes on if it
//! is not 0). A branch or loop without a guard can go either way at any time.
//!
//! What must hold: an expression stands for the value that the source computes at the step that uses it, whichever way
//! led there; arithmetic wraps as that of the machine does.

use std::collections::BTreeMap;

use super::arithmetic;
use super::program::StepIndex;

/// Index into [`Conditions::terms`].
pub type TermId = usize;

/// Index into the expressions of [`Conditions`].
pub type ExprId = usize;

/// An integer that nothing here computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What the source calls it, `%n`; empty if it has no name there.
    pub name: String,
    /// Bits of its type; 1 for a truth value, which is 0 or 1.
    pub bits: u32,
    /// Where its value comes from.
    pub kind: TermKind,
}

/// Where the value of a term comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TermKind {
    /// Any value can be its value: an argument, what was read from memory.
    Free,
    /// Steps of the program assign it.
    Assigned,
    /// It is computed from these terms, nobody here knows how.
    Derived(Vec<TermId>),
}

/// Integer arithmetic over terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// A constant.
    Const(i64),
    /// The value of a term.
    Term(TermId),
    /// What a loop adds to its induction variable: a sum that does not wrap.
    Next(ExprId, i64),
    /// An operation of `arith`.
    Apply {
        /// Its name without the dialect: `addi`.
        name: String,
        /// Its predicate: `slt`; empty if it has none.
        predicate: String,
        /// Bits of its first operand (64 for `index`) and of its result.
        bits: [u32; 2],
        /// Its operands.
        inputs: Vec<ExprId>,
    },
}

/// A change of terms, all at once: each becomes the value of an expression, or one that is not known.
pub type Assign = Vec<(TermId, Option<ExprId>)>;

/// Everything that decides ways in one program.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// The terms.
    pub terms: Vec<Term>,
    exprs: Vec<Expr>,
    known: std::collections::HashMap<Expr, ExprId>,
    /// Conditions by the branch (its begin) or loop (its test) that they decide.
    guards: BTreeMap<StepIndex, ExprId>,
    /// What [`Step::Assign`](super::program::Step::Assign) names.
    pub(super) assigns: Vec<Assign>,
    /// Terms that have another value with each trip, by the begin of the loop.
    fresh: BTreeMap<StepIndex, Vec<TermId>>,
    /// Branches that stand for a choice within one operation: which flag an id names.
    pub within: std::collections::BTreeSet<StepIndex>,
}

impl Conditions {
    /// Whether every branch and loop can go any way.
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty()
    }

    /// The condition of a branch, by its begin, or of a loop, by its test.
    pub fn guard(&self, step: StepIndex) -> Option<ExprId> {
        self.guards.get(&step).copied()
    }

    /// All guards by their steps.
    pub fn guards(&self) -> impl Iterator<Item = (StepIndex, ExprId)> + '_ {
        self.guards.iter().map(|(&step, &guard)| (step, guard))
    }

    /// The assignment with this number.
    pub fn assign(&self, index: usize) -> &[(TermId, Option<ExprId>)] {
        &self.assigns[index]
    }

    /// The terms that have another value with each trip of the loop that begins at this step.
    pub fn fresh(&self, begin: StepIndex) -> &[TermId] {
        self.fresh.get(&begin).map_or(&[], Vec::as_slice)
    }

    /// The expression.
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id]
    }

    /// The terms that an expression names, each once, ascending.
    pub fn terms_of(&self, id: ExprId) -> Vec<TermId> {
        let (mut terms, mut seen, mut open) = (Vec::new(), std::collections::HashSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.expr(id) {
                Expr::Const(_) => {}
                Expr::Term(term) => terms.push(*term),
                Expr::Next(of, _) => open.push(*of),
                Expr::Apply { inputs, .. } => open.extend(inputs),
            }
        }
        terms.sort_unstable();
        terms
    }

    /// Constants that an expression names.
    pub(super) fn constants_of(&self, id: ExprId) -> Vec<i64> {
        let (mut constants, mut seen, mut open) = (Vec::new(), std::collections::HashSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.expr(id) {
                Expr::Const(value) => constants.push(*value),
                Expr::Term(_) => {}
                Expr::Next(of, _) => open.push(*of),
                Expr::Apply { inputs, .. } => open.extend(inputs),
            }
        }
        constants
    }

    /// The value of an expression, given those of its terms; none if one that it needs is not known, or it has none.
    pub fn value(&self, id: ExprId, of_term: &dyn Fn(TermId) -> Option<i64>) -> Option<i64> {
        match self.expr(id) {
            Expr::Const(value) => Some(*value),
            Expr::Term(term) => of_term(*term),
            Expr::Next(of, by) => self.value(*of, of_term)?.checked_add(*by),
            Expr::Apply { name, predicate, bits, inputs } => {
                let values: Vec<_> = inputs.iter().map(|&input| self.value(input, of_term)).collect();
                arithmetic::apply(name, predicate, *bits, &values)
            }
        }
    }

    /// A new term.
    pub fn term(&mut self, term: Term) -> TermId {
        self.terms.push(term);
        self.terms.len() - 1
    }

    /// The expression, which is added if it is new.
    pub fn add(&mut self, expr: Expr) -> ExprId {
        if let Some(&known) = self.known.get(&expr) {
            return known;
        }
        self.exprs.push(expr.clone());
        self.known.insert(expr, self.exprs.len() - 1);
        self.exprs.len() - 1
    }

    /// An operation on 64 bits: `addi`, `cmpi` with a predicate. A comparison has one bit, anything else has 64.
    pub fn apply(&mut self, name: &str, predicate: &str, inputs: &[ExprId]) -> ExprId {
        let bits = [64, if name == "cmpi" { 1 } else { 64 }];
        let (name, predicate, inputs) = (name.to_owned(), predicate.to_owned(), inputs.to_vec());
        self.add(Expr::Apply { name, predicate, bits, inputs })
    }

    pub(super) fn set_guard(&mut self, step: StepIndex, guard: ExprId) {
        self.guards.insert(step, guard);
    }

    pub(super) fn add_fresh(&mut self, begin: StepIndex, term: TermId) {
        self.fresh.entry(begin).or_default().push(term);
    }
}
