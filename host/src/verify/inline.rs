//! Called functions within their callers: which functions are judged alone, and what a call executes.
//!
//! A call of a function with a body is followed: its steps stand where the call stands, its arguments are what the
//! caller gives. What must hold: each instance is one execution of a function, its plan is that of the function, and no
//! function is in itself (recursion was refused before). What is not followed is told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use pipewright_abi::ir::Module;
use pipewright_abi::kernel::{Kernel, KernelData};
use pipewright_abi::plan::SyncPlan;
use pipewright_abi::target::Target;
use pipewright_abi::{NodeId, OpId, TextRange, ValueId};

use super::build::programs_of;
use super::program::{Execution, Program};
use super::walk::{Core, kind};
use crate::lower::called::{Given, Traced, lower_called, trace};
use crate::lower::calls::Calls;

/// Calls within calls that are followed.
const MAX_DEPTH: usize = 64;

/// Operations of called functions that are put into one program.
const MAX_OPERATIONS: usize = 200_000;

/// A function with its plan.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// The function.
    pub kernel: Kernel<'a>,
    /// Its plan.
    pub plan: &'a SyncPlan,
}

/// What is judged of a module.
#[derive(Debug, Default)]
pub struct OfModule {
    /// For each function its programs; none if it is judged within its callers.
    pub programs: Vec<Vec<Program>>,
    /// Functions that are judged within others, by name, with the names of those.
    pub within: Vec<(String, Vec<String>)>,
}

/// The programs of all functions of a module. A function that others call, and that nobody can start by itself, is judged
/// within those only.
pub fn of_module(module: &Module<'_>, planned: &[Planned<'_>], target: &Target<'_>) -> OfModule {
    let functions = Functions::new(Some(module), planned, target);
    let name = |index: usize| module.symbol(planned[index].kernel.function());
    let mut all = OfModule { programs: vec![Vec::new(); planned.len()], within: Vec::new() };
    let mut alone: BTreeSet<usize> = (0..planned.len())
        .filter(|&index| functions.calls.stands_alone(module, planned[index].kernel.function()))
        .collect();
    let mut within: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut open: Vec<usize> = alone.iter().rev().copied().collect();
    while let Some(index) = open.pop() {
        let (programs, instances) = programs_of(&functions, index);
        for instance in &instances.all[1..] {
            within.entry(instance.function).or_default().insert(index);
        }
        all.programs[index] = programs;
        // Whoever a call does not lead to is judged alone, as if it could be started.
        for function in instances.passed_over {
            if alone.insert(function) {
                open.push(function);
            }
        }
    }
    within.retain(|function, _| !alone.contains(function));
    let names = |(function, roots): (usize, BTreeSet<usize>)| {
        (name(function).to_owned(), roots.into_iter().map(|root| name(root).to_owned()).collect())
    };
    all.within = within.into_iter().map(names).collect();
    all
}

/// The functions of a module, and how they call each other.
pub(super) struct Functions<'a> {
    pub(super) module: Option<&'a Module<'a>>,
    pub(super) planned: &'a [Planned<'a>],
    pub(super) target: &'a Target<'a>,
    calls: Calls,
    by_op: HashMap<OpId, usize>,
}

impl<'a> Functions<'a> {
    pub(super) fn new(
        module: Option<&'a Module<'a>>,
        planned: &'a [Planned<'a>],
        target: &'a Target<'a>,
    ) -> Self {
        let calls = module.map_or_else(Calls::default, Calls::new);
        let by_op = planned.iter().enumerate().map(|(i, p)| (p.kernel.function(), i)).collect();
        Self { module, planned, target, calls, by_op }
    }

    /// Whether the operation calls a function that has a body here.
    pub(super) fn has_body(&self, call: OpId) -> bool {
        self.calls.callee(call).is_some()
    }
}

/// One execution of a function: the one that is judged, or a call within it.
pub(super) struct Instance {
    /// Which of the functions.
    pub(super) function: usize,
    /// The call, and the instance that it is in; none for the function that is judged.
    pub(super) call: Option<(OpId, usize)>,
    depth: usize,
    /// The function as this call sees it; for the one that is judged, as it is.
    lowered: Option<Rc<Lowered>>,
    /// What its values stand for, if it calls others.
    traced: Option<Rc<Traced>>,
}

struct Lowered {
    kernel: KernelData,
    traced: Rc<Traced>,
}

/// All that is executed in one program.
pub(super) struct Instances<'a> {
    functions: &'a Functions<'a>,
    /// The first one is the function that is judged.
    pub(super) all: Vec<Instance>,
    /// Functions with a call that is not followed.
    pub(super) passed_over: BTreeSet<usize>,
    /// Operations of called functions so far.
    operations: usize,
    lowered: HashMap<Given, Rc<Lowered>>,
}

impl<'a> Instances<'a> {
    pub(super) fn new(functions: &'a Functions<'a>, function: usize) -> Self {
        let first = Instance { function, call: None, depth: 0, lowered: None, traced: None };
        Self {
            functions,
            all: vec![first],
            passed_over: BTreeSet::new(),
            operations: 0,
            lowered: HashMap::new(),
        }
    }

    /// The function of an instance.
    pub(super) fn planned(&self, instance: usize) -> &'a Planned<'a> {
        &self.functions.planned[self.all[instance].function]
    }

    /// The function as the instance sees it.
    pub(super) fn kernel(&self, instance: usize) -> Kernel<'_> {
        let lowered = self.all[instance].lowered.as_ref();
        lowered.map_or(self.planned(instance).kernel, |lowered| lowered.kernel.view())
    }

    /// The instance that a call in `caller` executes. Nothing if the function has no body here, or cannot be followed: then
    /// there is a reason.
    pub(super) fn enter(&mut self, call: OpId, caller: usize) -> Result<usize, Option<String>> {
        let (Some(module), Some(callee)) = (self.functions.module, self.functions.calls.callee(call)) else {
            return Err(None);
        };
        let Some(&function) = self.functions.by_op.get(&callee) else { return Err(None) };
        let entered = self.lower(module, call, callee, caller, function);
        if entered.is_err() {
            self.passed_over.insert(function);
        }
        let lowered = entered.map_err(Some)?;
        let depth = self.all[caller].depth + 1;
        let traced = Some(lowered.traced.clone());
        let call = Some((call, caller));
        self.all.push(Instance { function, call, depth, lowered: Some(lowered), traced });
        Ok(self.all.len() - 1)
    }

    fn lower(
        &mut self,
        module: &Module<'_>,
        call: OpId,
        callee: OpId,
        caller: usize,
        function: usize,
    ) -> Result<Rc<Lowered>, String> {
        if self.all[caller].depth >= MAX_DEPTH {
            return Err(format!("calls are more than {MAX_DEPTH} deep"));
        }
        let planned = &self.functions.planned[function];
        self.operations += planned.kernel.nodes.len().max(1);
        if self.operations > MAX_OPERATIONS {
            return Err(format!("calls have more than {MAX_OPERATIONS} instructions together"));
        }
        let target = self.functions.target;
        let traced = match &self.all[caller].traced {
            Some(traced) => traced.clone(),
            None => {
                let of = self.planned(caller).kernel.function();
                let traced = Rc::new(trace(*module, *target, of));
                self.all[caller].traced = Some(traced.clone());
                traced
            }
        };
        let given = traced.given(*module, call, callee);
        if let Some(known) = self.lowered.get(&given) {
            return Ok(known.clone());
        }
        let (kernel, traced) = lower_called(*module, *target, callee, &given)
            .map_err(|_| "it cannot be read with what it is given".to_owned())?;
        // The plan names nodes of the function as it stands alone.
        let shape = |kernel: &Kernel<'_>| -> Vec<_> {
            kernel.nodes.iter().map(|n| (n.kind, n.pipe, n.op, n.begin, n.end)).collect()
        };
        if shape(&kernel.view()) != shape(&planned.kernel) {
            return Err("what it is given changes which instructions it has".into());
        }
        let lowered = Rc::new(Lowered { kernel, traced: Rc::new(traced) });
        self.lowered.insert(given, lowered.clone());
        Ok(lowered)
    }

    /// The value that a value of an instance is: an argument is what the caller gives. With the instance that it is in.
    pub(super) fn resolve(&self, instance: usize, value: ValueId) -> (usize, ValueId) {
        let (mut instance, mut value) = (instance, value);
        while let (Some(module), Some((call, caller))) = (self.functions.module, self.all[instance].call) {
            let entry = module.entry_block(self.planned(instance).kernel.function(), 0);
            let Some(record) = module.t.values.get(value.index()) else { break };
            if record.block.is_none() || record.block != entry {
                break;
            }
            let given = module.operand(call, record.index as usize);
            if given.is_none() {
                break;
            }
            (instance, value) = (caller, given);
        }
        (instance, value)
    }

    /// The name of the function of an instance.
    pub(super) fn name(&self, instance: usize) -> &'a str {
        let function = self.planned(instance).kernel.function();
        match self.functions.module {
            Some(module) if function.index() < module.t.ops.len() => module.symbol(function),
            _ => "",
        }
    }

    /// All instances, for the program.
    pub(super) fn executions(&self) -> Vec<Execution> {
        let of = |(index, instance): (usize, &Instance)| {
            let (call, caller) = instance.call.unwrap_or((OpId::NONE, index));
            let op = self.functions.module.and_then(|m| m.t.ops.get(call.index()));
            let span = op.map_or_else(TextRange::default, |op| op.name_span);
            let function = self.planned(index).kernel.function();
            Execution { name: self.name(index).to_owned(), function, call, span, caller }
        };
        self.all.iter().enumerate().map(of).collect()
    }

    /// For each instance the kind of core that executes it: what the function that is judged says, or else its own.
    pub(super) fn kinds(&self) -> Vec<Core> {
        let Some(module) = self.functions.module else { return vec![Core::Any; self.all.len()] };
        let of = |instance: usize| kind(module, self.planned(instance).kernel.function());
        let first = of(0);
        (0..self.all.len()).map(|i| if first == Core::Any { of(i) } else { first }).collect()
    }

    /// The roots of all memory that is accessed.
    pub(super) fn roots(&self) -> HashSet<ValueId> {
        let roots =
            (0..self.all.len()).map(|i| self.kernel(i).roots.iter().map(|r| r.value).collect::<Vec<_>>());
        roots.flatten().collect()
    }

    /// The instance, at or around this one, in whose function a value is defined.
    pub(super) fn owner(&self, instance: usize, value: ValueId) -> usize {
        let Some(module) = self.functions.module.filter(|_| self.all[instance].call.is_some()) else {
            return instance;
        };
        let record = module.value(value);
        let mut at = record.op.get().unwrap_or_else(|| module.block_owner(record.block));
        while at.is_some() && module.op_name(at) != "func.func" {
            at = module.parent(at);
        }
        let (mut owner, mut next) = (instance, Some(instance));
        while let Some(candidate) = next {
            owner = candidate;
            if self.planned(candidate).kernel.function() == at {
                break;
            }
            next = self.all[candidate].call.map(|(_, caller)| caller);
        }
        owner
    }
}

/// The nodes of each operation of a kernel.
pub(super) fn nodes(kernel: &Kernel<'_>) -> HashMap<OpId, Vec<NodeId>> {
    let mut nodes: HashMap<OpId, Vec<NodeId>> = HashMap::new();
    for (id, node) in kernel.node_ids().zip(kernel.nodes) {
        nodes.entry(node.op).or_default().push(id);
    }
    nodes
}
