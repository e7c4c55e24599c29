//! Small random programs whose branches, loops and ids depend on arguments, and what executes them.
//!
//! A program is made from a list of numbers, as in `random`. Beside the program there is for each of its decisions what it
//! means, in words of this module: [`Case::run`] goes through the steps with values of the arguments and decides by these, so
//! nothing here asks the prover's own expressions.

use std::collections::{BTreeMap, HashMap};

use pipewright::verify::conditions::{Expr, ExprId, Term, TermId, TermKind};
use pipewright::verify::memory::Memory;
use pipewright::verify::program::{Access, Builder, Key, Program, Step, StepIndex, Trips};

use crate::random::{Genes, PIPES};

/// Steps of a path that is executed.
const MAX_STEPS: usize = 3_000;

/// An integer.
#[derive(Clone, Debug, PartialEq)]
enum Int {
    Const(i64),
    /// A variable and what is added to it.
    Var(TermId, i64),
    /// The remainder of a variable.
    Mod(TermId, i64),
    /// A remainder, from behind: `n - 1 - (v mod n)`.
    Back(TermId, i64),
    /// The next number of a ring.
    Round(TermId, i64),
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
enum Cond {
    Is(TermId),
    Not(Box<Cond>),
    Both(Box<Cond>, Box<Cond>),
    Compare(&'static str, Int, Int),
}

/// Values of variables.
pub(crate) type Values = HashMap<TermId, Vec<i64>>;

/// A program with what its decisions mean.
pub(crate) struct Case {
    pub(crate) program: Program,
    guards: HashMap<StepIndex, Cond>,
    updates: HashMap<StepIndex, (TermId, Int)>,
    /// What is read anew with each trip of a loop, by its test.
    reads: HashMap<StepIndex, TermId>,
    /// Integers and truth values that are arguments, and what is read in loops.
    pub(crate) arguments: Vec<(TermId, Argument)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Argument {
    Number,
    Truth,
    Read,
}

impl Case {
    /// The way through the program with these values; what is not named is 0. None if it is very long.
    pub(crate) fn run(&self, values: &Values) -> Option<Vec<StepIndex>> {
        let given = |term: TermId, turn: usize| {
            values.get(&term).and_then(|all| all.get(turn).or(all.last())).copied().unwrap_or(0)
        };
        let mut now: HashMap<TermId, i64> = self.arguments.iter().map(|&(t, _)| (t, given(t, 0))).collect();
        let mut turns: HashMap<TermId, usize> = HashMap::new();
        let (mut path, mut at) = (Vec::new(), 0);
        loop {
            path.push(at);
            if path.len() > MAX_STEPS {
                return None;
            }
            if let Some((term, to)) = self.updates.get(&at) {
                let value = int(to, &now);
                now.insert(*term, value);
            }
            let holds = self.guards.get(&at).map(|guard| holds(guard, &now));
            if let Some(&term) = self.reads.get(&at) {
                let turn = turns.entry(term).or_default();
                *turn += 1;
                now.insert(term, given(term, *turn));
            }
            at = match self.program.steps[at] {
                Step::IfBegin { middle, .. } if holds == Some(false) => middle + 1,
                Step::Else { end } => end,
                Step::LoopTest { end, .. } if holds == Some(false) => end + 1,
                Step::LoopEnd { begin } => begin + 1,
                Step::Exit => return Some(path),
                _ => at + 1,
            };
        }
    }

    /// Values of all arguments that are few and small.
    pub(crate) fn samples(&self) -> Vec<Values> {
        let mut all = vec![Values::new()];
        for &(term, argument) in &self.arguments {
            let choices: Vec<Vec<i64>> = match argument {
                Argument::Number => (-1..=3).map(|value| vec![value]).collect(),
                Argument::Truth => vec![vec![0], vec![1]],
                Argument::Read => {
                    (0..8).map(|bits| vec![0, bits & 1, bits >> 1 & 1, bits >> 2 & 1]).collect()
                }
            };
            all = all
                .iter()
                .flat_map(|values| {
                    choices.iter().map(|choice| {
                        let mut values = values.clone();
                        values.insert(term, choice.clone());
                        values
                    })
                })
                .collect();
        }
        all
    }
}

fn int(of: &Int, now: &HashMap<TermId, i64>) -> i64 {
    match *of {
        Int::Const(value) => value,
        Int::Var(term, plus) => now[&term] + plus,
        Int::Mod(term, n) => now[&term].rem_euclid(n),
        Int::Back(term, n) => n - 1 - now[&term].rem_euclid(n),
        Int::Round(term, n) => {
            if now[&term] + 1 == n {
                0
            } else {
                now[&term] + 1
            }
        }
    }
}

fn holds(cond: &Cond, now: &HashMap<TermId, i64>) -> bool {
    match cond {
        Cond::Is(term) => now[term] != 0,
        Cond::Not(other) => !holds(other, now),
        Cond::Both(a, b) => holds(a, now) && holds(b, now),
        Cond::Compare(how, a, b) => {
            let (a, b) = (int(a, now), int(b, now));
            match *how {
                "eq" => a == b,
                "ne" => a != b,
                "slt" => a < b,
                "sle" => a <= b,
                "sgt" => a > b,
                _ => a >= b,
            }
        }
    }
}

/// A loop that is open.
#[derive(Clone)]
struct Around {
    variable: TermId,
    bound: Int,
    ring: Option<(TermId, i64)>,
    read: Option<TermId>,
}

struct Maker<'a, 'b> {
    genes: &'b mut Genes<'a>,
    b: Builder,
    case: Case,
    numbers: [TermId; 2],
    truths: [TermId; 2],
    around: Vec<Around>,
    budget: usize,
}

/// The program that the numbers stand for.
pub(crate) fn case(genes: &[u16]) -> Case {
    let mut genes = Genes::new(genes);
    let mut b = Builder::new("conditional", &PIPES, Some(0));
    for address in [0, 64, 128] {
        b.memory(Memory::runs(1, address, [1, 64, 64], false).expect("bytes"), "");
    }
    let mut term = |name: &str, bits| b.term(Term { name: name.into(), bits, kind: TermKind::Free }, 0);
    let (numbers, truths) = ([term("%n", 64), term("%m", 64)], [term("%c", 1), term("%d", 1)]);
    let mut arguments: Vec<_> = numbers.iter().map(|&t| (t, Argument::Number)).collect();
    arguments.extend(truths.iter().map(|&t| (t, Argument::Truth)));
    let (guards, updates, reads) = (HashMap::new(), HashMap::new(), HashMap::new());
    let case = Case { program: Program::default(), guards, updates, reads, arguments };
    let budget = 2 + genes.below(3);
    let mut maker = Maker { genes: &mut genes, b, case, numbers, truths, around: Vec::new(), budget };
    maker.block();
    maker.b.barrier(None);
    let Maker { b, mut case, .. } = maker;
    case.program = b.finish();
    case
}

impl Maker<'_, '_> {
    fn below(&mut self, n: u16) -> usize {
        self.genes.below(n)
    }

    fn block(&mut self) {
        while self.budget > 0 {
            match self.below(8) {
                0 => return,
                1..=3 => self.pair(),
                4..=6 => self.counted(),
                _ => _ = self.b.barrier(None),
            }
        }
    }

    /// A set and its wait, each under a condition of its own that may have to do with the other one's.
    fn pair(&mut self) {
        self.budget -= 1;
        let key = [1, 2].map(|pipe| (pipe, 3 - pipe))[self.below(2)];
        let (first, id) = (self.cond(), self.id());
        let second = self.related(&first);
        let other = if self.below(5) == 0 { self.id() } else { id.clone() };
        let memory = self.below(3);
        self.when(&Some(first), |m| {
            m.work(key.0, memory, true);
            m.flag(true, key, &id);
        });
        if self.below(4) == 1 {
            self.block();
        }
        self.when(&Some(second), |m| {
            m.flag(false, key, &other);
            m.work(key.1, memory, false);
        });
        if self.below(2) == 0 {
            self.b.barrier(None);
        }
    }

    /// A loop; now and then one that carries a pair.
    fn counted(&mut self) {
        if self.around.len() == 2 {
            return self.pair();
        }
        self.budget -= 1;
        let bound = match self.below(6) {
            0..=2 => Int::Var(self.numbers[0], 0),
            3 => Int::Var(self.numbers[1], 0),
            4 => Int::Var(self.numbers[0], -1),
            _ => Int::Const(1 + self.below(3) as i64),
        };
        let step = 1 + i64::from(self.below(5) == 1);
        let of = TermKind::Assigned;
        let variable = self.b.term(Term { name: "%i".into(), bits: 64, kind: of.clone() }, 0);
        self.update(variable, Int::Const(0));
        let ring = (self.below(3) == 1).then(|| {
            let term = self.b.term(Term { name: "%s".into(), bits: 64, kind: of }, 0);
            (term, 2 + self.below(2) as i64)
        });
        ring.into_iter().for_each(|(term, _)| self.update(term, Int::Const(0)));
        let mut around = Around { variable, bound: bound.clone(), ring, read: None };
        self.around.push(around.clone());
        let carried = self.below(3) > 0;
        let key = [1, 2].map(|pipe| (pipe, 3 - pipe))[self.below(2)];
        let (id, memory) = (self.id(), self.below(3));
        let is_local = |id: &Int| !matches!(id, Int::Const(_));
        // Slots that the loop goes through are set before it and taken behind it.
        let all: Vec<Int> = match &id {
            Int::Mod(_, n) | Int::Back(_, n) | Int::Round(_, n) => (0..*n).map(Int::Const).collect(),
            Int::Var(..) => (0..ring.map_or(2, |(_, n)| n)).map(Int::Const).collect(),
            Int::Const(_) => vec![id.clone()],
        };
        let (mut first, mut last) = (None, None);
        let edges = if carried { self.below(3) } else { 0 };
        if edges == 1 {
            let slots = if is_local(&id) { all.len() as i64 } else { step };
            let off = i64::from(self.below(6) == 1);
            first = Some(Cond::Compare("sge", Int::Var(variable, 0), Int::Const(slots - off)));
            last = Some(Cond::Compare("slt", Int::Var(variable, slots), bound.clone()));
            if self.below(6) == 1 {
                last = Some(self.cond());
            }
        } else if carried && self.below(6) > 0 {
            all.iter().for_each(|id| self.flag(true, key, id));
        }
        let less = Cond::Compare("slt", Int::Var(variable, 0), bound);
        let guard = self.expr_of(&less);
        self.b.open_loop(Trips::UNKNOWN, false);
        self.b.guard(guard);
        let test = self.b.program().steps.len() - 1;
        self.case.guards.insert(test, less);
        if self.below(4) == 1 {
            let read = Term { name: "%r".into(), bits: 1, kind: TermKind::Free };
            let term = self.b.term(read, self.b.loops());
            self.case.reads.insert(test, term);
            self.case.arguments.push((term, Argument::Read));
            around.read = Some(term);
            *self.around.last_mut().expect("it is open") = around;
        }
        if carried {
            self.when(&first, |m| m.flag(false, key, &id));
            self.work(key.1, memory, true);
            self.b.barrier(Some(key.1));
        }
        self.block();
        if carried {
            let freed = if self.below(8) == 1 { self.id() } else { id.clone() };
            if self.below(3) > 0 {
                let back = (key.1, key.0);
                self.flag(true, back, &Int::Const(3));
                self.flag(false, back, &Int::Const(3));
            }
            self.work(key.0, memory, false);
            self.b.barrier(Some(key.0));
            self.when(&last, |m| m.flag(true, key, &freed));
        }
        ring.into_iter().for_each(|(term, n)| self.update(term, Int::Round(term, n)));
        self.update(variable, Int::Var(variable, step));
        self.b.close();
        self.around.pop();
        if carried && edges != 1 && self.below(6) > 0 {
            all.iter().for_each(|id| self.flag(false, key, id));
        }
        if self.below(2) == 0 {
            self.b.barrier(None);
        }
    }

    fn work(&mut self, pipe: usize, memory: usize, write: bool) {
        self.b.instruction(pipe, &[Access::new(memory, write)]);
    }

    /// A condition over what is there.
    fn cond(&mut self) -> Cond {
        let innermost = self.around.last().cloned();
        let small = Int::Const(self.below(3) as i64);
        match (self.below(12), innermost) {
            (0..=1, _) => Cond::Is(self.truths[self.genes.below(2)]),
            (2, _) => Cond::Both(Box::new(Cond::Is(self.truths[0])), Box::new(Cond::Is(self.truths[1]))),
            (3, _) => Cond::Compare("slt", Int::Var(self.numbers[0], 0), Int::Var(self.numbers[1], 0)),
            (4, _) | (_, None) => {
                let how = ["sgt", "sge", "eq", "ne"][self.genes.below(4)];
                Cond::Compare(how, Int::Var(self.numbers[self.genes.below(2)], 0), small)
            }
            (5 | 6, Some(a)) => {
                Cond::Compare(["eq", "ne"][self.genes.below(2)], Int::Var(a.variable, 0), small)
            }
            (7 | 8, Some(a)) => Cond::Compare("slt", Int::Var(a.variable, 1), a.bound),
            (9, Some(Around { read: Some(read), .. })) => Cond::Is(read),
            (10, Some(Around { ring: Some((ring, _)), .. })) => Cond::Compare("eq", Int::Var(ring, 0), small),
            (_, Some(a)) => Cond::Compare("eq", Int::Mod(a.variable, 2), Int::Const(0)),
        }
    }

    /// A condition that may be the same, say the same, or the opposite.
    fn related(&mut self, first: &Cond) -> Cond {
        match (self.below(8), first) {
            (0, _) => Cond::Not(Box::new(first.clone())),
            (1, _) => self.cond(),
            (2 | 3, _) => Cond::Not(Box::new(Cond::Not(Box::new(first.clone())))),
            (4 | 5, Cond::Compare("slt", a, b)) => Cond::Compare("sgt", b.clone(), a.clone()),
            (4, Cond::Compare("eq", a, b)) => Cond::Not(Box::new(Cond::Compare("ne", a.clone(), b.clone()))),
            (5, Cond::Compare("sgt", a, b)) => Cond::Compare("sge", a.clone(), b.clone()),
            (5, Cond::Compare("sge", a, Int::Const(b))) => Cond::Compare("sgt", a.clone(), Int::Const(b - 1)),
            _ => first.clone(),
        }
    }

    fn id(&mut self) -> Int {
        match (self.below(6), self.around.last().cloned()) {
            (1, Some(a)) => Int::Mod(a.variable, 2),
            (2, Some(a)) => Int::Mod(a.variable, 3),
            (3, Some(Around { ring: Some((ring, _)), .. })) => Int::Var(ring, 0),
            (4, Some(a)) => Int::Back(a.variable, 2),
            (n, _) => Int::Const(n as i64 % 2),
        }
    }

    fn when(&mut self, cond: &Option<Cond>, inside: impl FnOnce(&mut Self)) {
        let Some(cond) = cond else { return inside(self) };
        let guard = self.expr_of(cond);
        self.b.open_if();
        self.b.guard(guard);
        self.case.guards.insert(self.b.program().steps.len() - 1, cond.clone());
        inside(self);
        self.b.close();
    }

    /// A set or wait of the flag whose id is the integer, below 3 or as it is written.
    fn flag(&mut self, is_set: bool, (src, dst): (usize, usize), id: &Int) {
        let key = |id| Key { src, dst, id };
        let one = |m: &mut Self, id| if is_set { m.b.set(key(id)) } else { m.b.wait(key(id)) };
        if let Int::Const(id) = id {
            _ = one(self, u32::try_from(*id).expect("an id"));
            return;
        }
        for number in 0..2 {
            let cond = Cond::Compare("eq", id.clone(), Int::Const(number));
            let guard = self.expr_of(&cond);
            self.b.open_choice(guard);
            self.case.guards.insert(self.b.program().steps.len() - 1, cond);
            _ = one(self, number as u32);
            self.b.middle();
        }
        _ = one(self, 2);
        self.b.close();
        self.b.close();
    }

    fn update(&mut self, term: TermId, to: Int) {
        let expr = self.int_of(&to);
        let step = self.b.assign(vec![(term, Some(expr))]);
        self.case.updates.insert(step, (term, to));
    }

    fn int_of(&mut self, of: &Int) -> ExprId {
        let conditions = self.b.conditions();
        let mut number = |value| conditions.add(Expr::Const(value));
        match *of {
            Int::Const(value) => number(value),
            Int::Var(term, plus) => {
                let plus = number(plus);
                let term = conditions.add(Expr::Term(term));
                conditions.apply("addi", "", &[term, plus])
            }
            Int::Mod(term, n) => {
                let n = number(n);
                let term = conditions.add(Expr::Term(term));
                conditions.apply("remui", "", &[term, n])
            }
            Int::Back(term, n) => {
                let (last, n) = (number(n - 1), number(n));
                let term = conditions.add(Expr::Term(term));
                let rest = conditions.apply("remsi", "", &[term, n]);
                conditions.apply("subi", "", &[last, rest])
            }
            Int::Round(term, n) => {
                let (zero, one, n) = (number(0), number(1), number(n));
                let term = conditions.add(Expr::Term(term));
                let next = conditions.apply("addi", "", &[term, one]);
                let over = conditions.apply("cmpi", "eq", &[next, n]);
                conditions.apply("select", "", &[over, zero, next])
            }
        }
    }

    fn expr_of(&mut self, cond: &Cond) -> ExprId {
        match cond {
            Cond::Is(term) => self.b.conditions().add(Expr::Term(*term)),
            Cond::Not(other) => {
                let (other, yes) = (self.expr_of(other), self.b.conditions().add(Expr::Const(1)));
                self.truth("xori", [other, yes])
            }
            Cond::Both(a, b) => {
                let both = [self.expr_of(a), self.expr_of(b)];
                self.truth("andi", both)
            }
            Cond::Compare(how, a, b) => {
                let both = [self.int_of(a), self.int_of(b)];
                self.b.conditions().apply("cmpi", how, &both)
            }
        }
    }

    fn truth(&mut self, name: &str, inputs: [ExprId; 2]) -> ExprId {
        let (name, predicate, bits) = (name.to_owned(), String::new(), [1, 1]);
        self.b.conditions().add(Expr::Apply { name, predicate, bits, inputs: inputs.to_vec() })
    }
}

/// The values that the prover names, for [`Case::run`].
pub(crate) fn values(assignment: &BTreeMap<TermId, Vec<i64>>) -> Values {
    assignment.iter().map(|(&term, values)| (term, values.clone())).collect()
}
