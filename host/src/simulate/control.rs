//! How often loops run and which way branches go, as far as integer arithmetic tells.
//!
//! Bounds and conditions are evaluated where they are met, with the induction variables of the loops around. What must
//! hold: nothing is guessed here; what is not known is `None`, and the walker says what it takes instead.

use std::collections::{BTreeMap, HashMap};

use pipewright_abi::ir::{Module, Type, type_kind};
use pipewright_abi::{OpId, ValueId};

use crate::lower::fold::{Constant, Folded, Input, Scalar, fold};

use crate::verify::program::{Execution, Origin, Program, Step, StepIndex};

/// Largest expression that is evaluated, in operations, shared ones counted each time.
const MAX_SIZE: usize = 64;

/// Index of the expression of which nothing is known.
const UNKNOWN: usize = 0;

/// The loops and branches of a program.
#[derive(Debug, Default)]
pub struct Control<'a> {
    expressions: Vec<Expression<'a>>,
    loops: HashMap<StepIndex, Loop>,
    branches: HashMap<StepIndex, usize>,
    /// Names for which trips or a value were given and that occur in the program.
    pub named: Vec<String>,
}

/// A counted loop.
#[derive(Clone, Copy, Debug)]
struct Loop {
    /// Expressions of lower bound, upper bound and step.
    bounds: [usize; 3],
    /// Trips given by the name of the induction variable.
    given: Option<u64>,
}

/// How a loop runs, once it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Trips; none if that is not known.
    pub trips: Option<u64>,
    /// First value of the induction variable.
    pub low: Option<i64>,
    /// What is added to it after each trip.
    pub step: Option<i64>,
}

#[derive(Clone, Debug)]
enum Expression<'a> {
    Unknown,
    Known(i64),
    /// The induction variable of the loop that begins at this step.
    Variable(StepIndex),
    Apply {
        name: &'a str,
        predicate: &'a str,
        from: Scalar,
        to: Scalar,
        inputs: Vec<usize>,
    },
}

/// Induction variables of the loops that are being run, by the step at which each begins.
pub type Variables = HashMap<StepIndex, i64>;

impl<'a> Control<'a> {
    /// The loops and branches of `program`. `given` are trips of loops by the name of their induction variable, and
    /// values by their names.
    pub fn new(program: &Program, module: &Module<'a>, given: &BTreeMap<String, i64>) -> Self {
        let mut builder = Builder {
            module: *module,
            executions: &program.executions,
            given,
            control: Self { expressions: vec![Expression::Unknown], ..Self::default() },
            variables: HashMap::new(),
            done: HashMap::new(),
            sizes: vec![1],
        };
        for (step, s) in program.steps.iter().enumerate() {
            let Origin { op, execution, .. } = program.origins[step];
            if op.index() >= module.t.ops.len() {
                continue;
            }
            match (s, module.op_name(op)) {
                (Step::LoopBegin { .. }, "scf.for") => builder.counted(step, execution, op),
                (Step::IfBegin { .. }, "scf.if" | "arith.select") => {
                    let condition = builder.expression((execution, module.operand(op, 0)), 0);
                    builder.control.branches.insert(step, condition);
                }
                _ => {}
            }
        }
        for term in &program.conditions.terms {
            let name = term.name.trim_start_matches('%');
            builder.control.named.extend(given.contains_key(name).then(|| name.to_owned()));
        }
        builder.control.named.sort();
        builder.control.named.dedup();
        builder.control
    }

    /// How the loop that begins at `step` runs.
    pub fn enter(&self, step: StepIndex, variables: &Variables) -> Entered {
        let Some(found) = self.loops.get(&step) else {
            return Entered { trips: None, low: None, step: None };
        };
        let [low, high, by] = found.bounds.map(|e| self.value(e, variables));
        let counted = || {
            let (low, high, by) = (i128::from(low?), i128::from(high?), i128::from(by?));
            let trips = (by > 0).then(|| ((high - low).max(0) + by - 1) / by)?;
            u64::try_from(trips).ok()
        };
        Entered { trips: found.given.or_else(counted), low, step: by }
    }

    /// Whether it is known what the branch that begins at `step` depends on.
    pub fn is_evaluated(&self, step: StepIndex) -> bool {
        self.branches.get(&step).is_some_and(|&condition| condition != UNKNOWN)
    }

    /// Whether the branch that begins at `step` takes its then part, if that is known.
    pub fn takes_then(&self, step: StepIndex, variables: &Variables) -> Option<bool> {
        Some(self.value(*self.branches.get(&step)?, variables)? != 0)
    }

    /// Whether the trips of the loop that begins at `step` may go different ways: whether a loop or branch in it depends
    /// on its induction variable.
    pub fn varies(&self, step: StepIndex, program: &Program) -> bool {
        let Some(Step::LoopBegin { end, .. }) = program.steps.get(step) else { return false };
        (step + 1..*end).any(|inner| {
            let bounds = self.loops.get(&inner).map_or(&[][..], |l| &l.bounds);
            // What the walker finds by itself may be another thing in each trip.
            let is_open = program.conditions.guard(inner).is_some() && self.branches.contains_key(&inner);
            let found = is_open && !self.is_evaluated(inner) || program.conditions.within.contains(&inner);
            found || bounds.iter().chain(self.branches.get(&inner)).any(|&e| self.mentions(e, step))
        })
    }

    /// Whether an expression contains the induction variable of the loop that begins at `step`.
    fn mentions(&self, expression: usize, step: StepIndex) -> bool {
        match &self.expressions[expression] {
            Expression::Unknown | Expression::Known(_) => false,
            Expression::Variable(of) => *of == step,
            Expression::Apply { inputs, .. } => inputs.iter().any(|&input| self.mentions(input, step)),
        }
    }

    fn value(&self, expression: usize, variables: &Variables) -> Option<i64> {
        match &self.expressions[expression] {
            Expression::Unknown => None,
            Expression::Known(value) => Some(*value),
            Expression::Variable(step) => variables.get(step).copied(),
            Expression::Apply { name, predicate, from, to, inputs } => {
                let values: Vec<Option<i64>> = inputs.iter().map(|&i| self.value(i, variables)).collect();
                let inputs: Vec<Input<usize>> = inputs
                    .iter()
                    .zip(&values)
                    .map(|(&id, value)| Input { id, constant: value.map(Constant::Int) })
                    .collect();
                match fold(name, predicate, &inputs, *from, *to)? {
                    Folded::Constant(Constant::Int(value)) => Some(value),
                    Folded::Constant(Constant::Float(_)) => None,
                    Folded::Operand(index) => values[index],
                }
            }
        }
    }
}

/// A value in one of the program's executions.
type Local = (usize, ValueId);

struct Builder<'a, 'b> {
    module: Module<'a>,
    executions: &'b [Execution],
    given: &'b BTreeMap<String, i64>,
    control: Control<'a>,
    /// Induction variables by value.
    variables: HashMap<Local, StepIndex>,
    /// Expressions by value.
    done: HashMap<Local, usize>,
    /// Sizes of the expressions.
    sizes: Vec<usize>,
}

impl<'a> Builder<'a, '_> {
    fn counted(&mut self, step: StepIndex, execution: usize, op: OpId) {
        let module = self.module;
        let bounds = [0, 1, 2].map(|index| self.expression((execution, module.operand(op, index)), 0));
        let block = module.entry_block(op, 0);
        let variable = block.get().and_then(|block| module.block_args(block).next());
        let given = variable.and_then(|v| self.given_for(v)).map(|trips| u64::try_from(trips).unwrap_or(0));
        if let Some(variable) = variable {
            self.variables.insert((execution, variable), step);
        }
        self.control.loops.insert(step, Loop { bounds, given });
    }

    /// What was given for the name of a value.
    fn given_for(&mut self, value: ValueId) -> Option<i64> {
        let name = self.module.t.values.get(value.index())?.name.get()?;
        let name = self.module.str(name);
        let given = *self.given.get(name)?;
        self.control.named.push(name.to_owned());
        Some(given)
    }

    /// The value that an argument of a called function is in its caller; any other value is itself.
    fn resolve(&self, (mut execution, mut value): Local) -> Local {
        while let Some(called) = self.executions.get(execution).filter(|e| e.call.is_some()) {
            let Some(record) = self.module.t.values.get(value.index()) else { break };
            if record.block.is_none() || record.block != self.module.entry_block(called.function, 0) {
                break;
            }
            let given = self.module.operand(called.call, record.index as usize);
            if given.is_none() {
                break;
            }
            (execution, value) = (called.caller, given);
        }
        (execution, value)
    }

    /// The index of the expression that computes the value.
    fn expression(&mut self, value: Local, depth: usize) -> usize {
        let value = self.resolve(value);
        if let Some(&done) = self.done.get(&value) {
            return done;
        }
        let Some((made, size)) = self.make(value, depth) else { return UNKNOWN };
        self.control.expressions.push(made);
        self.sizes.push(size);
        let index = self.control.expressions.len() - 1;
        self.done.insert(value, index);
        index
    }

    /// The expression with the number of expressions in it; none if the value is not known.
    fn make(&mut self, (execution, value): Local, depth: usize) -> Option<(Expression<'a>, usize)> {
        if let Some(&step) = self.variables.get(&(execution, value)) {
            return Some((Expression::Variable(step), 1));
        }
        if let Some(given) = self.given_for(value) {
            return Some((Expression::Known(given), 1));
        }
        let module = self.module;
        let op = module.t.values.get(value.index())?.op.get()?;
        let name = match module.op_name(op) {
            "arith.constant" => return Some((Expression::Known(module.int_attr(op, "value")?), 1)),
            // One core is simulated: the first.
            "pto.get_block_idx" | "pto.get_subblock_idx" => return Some((Expression::Known(0), 1)),
            name => name.strip_prefix("arith.").filter(|_| depth < MAX_SIZE)?,
        };
        let operands = module.operands(op);
        let from = scalar(module.type_of(operands.first()?.value))?;
        let to = scalar(module.type_of(value))?;
        let inputs: Vec<usize> =
            operands.iter().map(|o| self.expression((execution, o.value), depth + 1)).collect();
        let size = 1 + inputs.iter().map(|&i| self.sizes[i]).sum::<usize>();
        let predicate = module.text_attr(op, "predicate").unwrap_or("");
        (size <= MAX_SIZE).then_some((Expression::Apply { name, predicate, from, to, inputs }, size))
    }
}

/// A type that integer arithmetic is folded in.
fn scalar(ty: &Type) -> Option<Scalar> {
    let is_integer = matches!(ty.kind, type_kind::INDEX | type_kind::INT);
    is_integer.then_some(Scalar { kind: ty.kind, width: ty.width })
}
