//! The way of one core through a function and the functions that it calls: nodes and other operations in program order.
//!
//! What must hold: an operation of a called function stands where the call stands, once for each time that a way
//! through the program text leads to it.

use std::collections::HashMap;
use std::rc::Rc;

use pipewright_abi::ir::Module;
use pipewright_abi::kernel::Kernel;
use pipewright_abi::target::{Target, pipe_flag};
use pipewright_abi::{BlockId, NodeId, OpId, ValueId};

use super::carried::{Handover, yielded};
use super::extract::{Change, Extract};
use super::inline::{Functions, Instances, nodes};
use super::program;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Core {
    Any,
    Cube,
    Vector,
}

impl Core {
    /// The pipes that this kind of core lacks, for a known kind.
    pub(super) fn lacking(self, target: &Target<'_>) -> Option<(program::Core, Vec<bool>)> {
        let (core, flag) = match self {
            Self::Any => return None,
            Self::Cube => (program::Core::Cube, pipe_flag::CUBE),
            Self::Vector => (program::Core::Vector, pipe_flag::VECTOR),
        };
        Some((core, target.t.pipes.iter().map(|pipe| pipe.flags & flag == 0).collect()))
    }
}

/// The kind of core that a function is for, if it or a module around it says so.
pub(super) fn kind(module: &Module<'_>, function: OpId) -> Core {
    let mut at = function;
    while at.index() < module.t.ops.len() {
        match module.text_attr(at, "pto.kernel_kind") {
            Some("cube") => return Core::Cube,
            Some("vector") => return Core::Vector,
            _ => at = module.parent(at),
        }
    }
    Core::Any
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) what: What,
    pub(super) core: Core,
    /// The call that it is within, see [`super::inline::Instance`].
    pub(super) instance: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// A node of the kernel.
    Node(NodeId),
    /// An operation that is no node: a flag, a barrier, a bystander.
    Op(OpId),
    /// Where the `while` that begins at this node tests its condition.
    Test(NodeId),
    /// The instance returns to its caller.
    Leave,
    /// Values take over what others stand for: index of a handover.
    Handover(usize),
    /// An operation picks one of two values: index of the first of two handovers.
    Select(OpId, usize),
    /// Integers get other values: index of a list of changes.
    Changes(usize),
}

/// Puts nodes and other operations into program order.
pub(super) struct Walk<'a> {
    module: Option<&'a Module<'a>>,
    pub(super) instances: Instances<'a>,
    pub(super) items: Vec<Item>,
    core: Core,
    /// Kinds of core that have sections.
    pub(super) cores: Vec<Core>,
    /// What is not modelled.
    pub(super) notes: Vec<String>,
    pub(super) handovers: Vec<Handover>,
    pub(super) changes: Vec<Vec<(ValueId, Change)>>,
    /// The instance that is walked through.
    instance: usize,
    /// By function the nodes of its operations.
    nodes: HashMap<usize, Rc<Nodes>>,
}

/// The nodes of each operation.
type Nodes = HashMap<OpId, Vec<NodeId>>;

impl<'a> Walk<'a> {
    /// The way through one of the functions.
    pub(super) fn new(functions: &'a Functions<'a>, function: usize) -> Self {
        let mut walk = Self {
            module: functions.module,
            instances: Instances::new(functions, function),
            items: Vec::new(),
            core: Core::Any,
            cores: Vec::new(),
            notes: Vec::new(),
            handovers: Vec::new(),
            changes: Vec::new(),
            instance: 0,
            nodes: HashMap::new(),
        };
        walk.function();
        walk
    }

    fn function(&mut self) {
        let kernel = self.kernel();
        let function = kernel.function();
        let block = match self.module {
            Some(module) if function.index() < module.t.ops.len() => module.entry_block(function, 0),
            _ => BlockId::NONE,
        };
        if block.is_some() {
            let index = self.instances.all[self.instance].function;
            let nodes = self.nodes.entry(index).or_insert_with(|| Rc::new(nodes(&kernel))).clone();
            self.body(function, 0, &nodes);
        } else {
            let firsts = kernel.node_ids().filter(|&n| kernel.call(n).0 == n);
            firsts.for_each(|node| self.push(What::Node(node)));
        }
    }

    /// Goes through the function that an operation calls. Nothing is done if it cannot be followed.
    fn call(&mut self, op: OpId) -> bool {
        let Some(module) = self.module else { return false };
        let entered = match self.instances.enter(op, self.instance) {
            Ok(entered) => entered,
            Err(why) => {
                let name = module.text_attr(op, "callee").unwrap_or("");
                self.notes.push(match why {
                    Some(why) => format!(
                        "a call of `{name}` is not followed ({why}): it leaves flags as they are, and waits for \
                         all pipes before it returns"
                    ),
                    None => format!(
                        "`{name}`, which has no body here, leaves flags as they are and touches only what it is given"
                    ),
                });
                return false;
            }
        };
        let function = self.instances.planned(entered).kernel.function();
        self.hand_tiles(arguments(module, function, 0), initial(module, op, 0));
        let outer = std::mem::replace(&mut self.instance, entered);
        self.function();
        self.push(What::Leave);
        self.instance = outer;
        self.hand_tiles(module.results(op), returned(module, function));
        true
    }

    /// The function that is walked through.
    fn kernel(&self) -> Kernel<'a> {
        self.instances.planned(self.instance).kernel
    }

    fn push(&mut self, what: What) {
        self.items.push(Item { what, core: self.core, instance: self.instance });
    }

    fn block(&mut self, block: BlockId, nodes: &Nodes) {
        let Some(module) = self.module else { return };
        for &op in module.block_ops(block) {
            let own: &[NodeId] = nodes.get(&op).map_or(&[], Vec::as_slice);
            match (module.op_name(op), own) {
                ("scf.for", &[begin, end]) => {
                    let mut args = arguments(module, op, 0);
                    let variable: Vec<ValueId> = args.drain(..1.min(args.len())).collect();
                    let first = |v: &ValueId| (*v, Change::Value(module.operand(op, 0)));
                    let next = |v: &ValueId| (*v, Change::Next(module.operand(op, 2)));
                    let over = |v: &ValueId| (*v, Change::Over);
                    let yields = yielded(module, module.entry_block(op, 0));
                    self.hand_over(args.clone(), initial(module, op, 3), variable.iter().map(first));
                    self.push(What::Node(begin));
                    self.bodies(op, nodes);
                    self.hand_over(args.clone(), yields, variable.iter().map(next));
                    self.push(What::Node(end));
                    let all = variable.iter().chain(&args).map(over);
                    self.hand_over(module.results(op), args.iter().copied(), all);
                }
                ("scf.while", &[begin, end]) => {
                    self.hand_over(arguments(module, op, 0), initial(module, op, 0), []);
                    self.push(What::Node(begin));
                    self.body(op, 0, nodes);
                    let passed: Vec<ValueId> =
                        yielded(module, module.entry_block(op, 0)).into_iter().skip(1).collect();
                    let takers = arguments(module, op, 1).into_iter().chain(module.results(op));
                    self.hand_over(takers, passed.iter().chain(&passed).copied(), []);
                    self.push(What::Test(begin));
                    self.body(op, 1, nodes);
                    self.hand_over(arguments(module, op, 0), yielded(module, module.entry_block(op, 1)), []);
                    self.push(What::Node(end));
                    let over = arguments(module, op, 0).into_iter().chain(arguments(module, op, 1));
                    self.hand_over([], [], over.map(|v| (v, Change::Over)));
                }
                ("scf.if", &[begin, then_end, middle, else_end, end]) => {
                    self.push(What::Node(begin));
                    self.body(op, 0, nodes);
                    self.hand_over(module.results(op), yielded(module, module.entry_block(op, 0)), []);
                    self.push(What::Node(then_end));
                    self.push(What::Node(middle));
                    self.body(op, 1, nodes);
                    self.hand_over(module.results(op), yielded(module, module.entry_block(op, 1)), []);
                    self.push(What::Node(else_end));
                    self.push(What::Node(end));
                }
                ("arith.select", _) => {
                    let handover = |arm| Handover::new(module, module.results(op), [module.operand(op, arm)]);
                    let arms = [handover(1), handover(2)];
                    if !arms[0].is_empty() {
                        self.push(What::Select(op, self.handovers.len()));
                        self.handovers.extend(arms);
                    }
                }
                ("scf.index_switch", _) => {
                    let note = "all cases of an `scf.index_switch` are taken to run, one after the other";
                    self.notes.push(note.into());
                    self.bodies(op, nodes);
                }
                ("func.call", _) if self.call(op) => {}
                (name, own) => {
                    match own {
                        [] => self.push(What::Op(op)),
                        &[first, ..] if self.kernel().call(first).0 == first => self.push(What::Node(first)),
                        nodes => nodes.iter().for_each(|&node| self.push(What::Node(node))),
                    }
                    let outer = self.core;
                    let section = match name {
                        "pto.section.cube" => Some(Core::Cube),
                        "pto.section.vector" => Some(Core::Vector),
                        _ => None,
                    };
                    if let Some(core) = section {
                        self.core = core;
                        if !self.cores.contains(&core) {
                            self.cores.push(core);
                        }
                    }
                    self.bodies(op, nodes);
                    self.core = outer;
                }
            }
        }
    }

    /// The values `to` take over from the values `from`; beside that integers change.
    fn hand_over(
        &mut self,
        to: impl IntoIterator<Item = ValueId>,
        from: impl IntoIterator<Item = ValueId>,
        more: impl IntoIterator<Item = (ValueId, Change)>,
    ) {
        let Some(module) = self.module else { return };
        let both: Vec<(ValueId, ValueId)> = to.into_iter().zip(from).collect();
        let changes = both.iter().map(|&(to, from)| (to, Change::Value(from))).chain(more);
        let changes: Vec<_> = changes.filter(|&(to, _)| Extract::is_integer(module, to)).collect();
        if !changes.is_empty() {
            self.push(What::Changes(self.changes.len()));
            self.changes.push(changes);
        }
        let (to, from): (Vec<ValueId>, Vec<ValueId>) = both.into_iter().unzip();
        self.hand_tiles(to, from);
    }

    /// The same for memory alone.
    fn hand_tiles(&mut self, to: impl IntoIterator<Item = ValueId>, from: impl IntoIterator<Item = ValueId>) {
        let Some(module) = self.module else { return };
        let handover = Handover::new(module, to, from);
        if !handover.is_empty() {
            self.push(What::Handover(self.handovers.len()));
            self.handovers.push(handover);
        }
    }

    fn bodies(&mut self, op: OpId, nodes: &Nodes) {
        let count = self.module.map_or(0, |m| m.bodies(op).len());
        (0..count).for_each(|index| self.body(op, index, nodes));
    }

    fn body(&mut self, op: OpId, index: usize, nodes: &Nodes) {
        let Some(module) = self.module else { return };
        let Some(body) = module.bodies(op).get(index) else { return };
        if body.blocks.len > 1 {
            self.notes.push(
                "branches between blocks are not followed: blocks are taken to run in their order".into(),
            );
        }
        for block in module.blocks(body) {
            self.block(block, nodes);
        }
    }
}

/// The arguments of an operation's region.
pub(super) fn arguments(module: &Module<'_>, op: OpId, region: usize) -> Vec<ValueId> {
    module.entry_block(op, region).get().map_or_else(Vec::new, |block| module.block_args(block).collect())
}

/// What a function returns, if it does so at one place.
fn returned(module: &Module<'_>, function: OpId) -> Vec<ValueId> {
    let only = module.bodies(function).first().filter(|body| body.blocks.len == 1);
    let block = only.and_then(|body| module.blocks(body).next());
    let last = block.and_then(|block| module.block_ops(block).last().copied());
    let last = last.filter(|&op| module.op_name(op) == "func.return");
    last.map_or_else(Vec::new, |op| module.operands(op).iter().map(|o| o.value).collect())
}

/// The operands of a loop from the `first` on: what its arguments stand for in the first trip.
fn initial(module: &Module<'_>, op: OpId, first: usize) -> Vec<ValueId> {
    module.operands(op).iter().skip(first).map(|o| o.value).collect()
}
