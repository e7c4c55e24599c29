//! From a module to kernels: simplification, memory of values, and the flat list of nodes.
//!
//! Everything about an operation comes from the target's table: which pipe runs it, what it reads and writes. What
//! must hold: the node list is in program order, constructs nest, and every access names a region. Behaviour, quirks
//! of memory identity included, follows the reference compiler (May 2026); the `range` description of a region is
//! the sound one beside it.

pub mod addresses;
pub mod called;
pub mod calls;
mod checks;
mod flags;
pub(crate) mod fold;
mod inside;
mod layout;
mod memory;
mod rotation;
mod simplify;

use std::collections::HashMap;

use pipewright_abi::condition::Truth;
use pipewright_abi::ir::{Module, ModuleData, Value};
use pipewright_abi::kernel::{
    Access, Bystander, FunctionCall, KernelData, KernelFacts, Node, Region, Root, Rotation, access_mode,
    kernel_flag, node_flag, node_kind,
};
use pipewright_abi::target::{Entry, Target, TargetData, entry_flag, operand_flag};
use pipewright_abi::{BlockId, NodeId, OpId, PipeId, Range, RegionId, RootId, SpaceId, StrId, ValueId};

use crate::diagnostic::{Diagnostic, did_you_mean};
pub use simplify::simplify;

/// Whether tiles must have addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// A tile without an address is an error.
    Required,
    /// A tile without an address is a buffer of its own: what a pass that plans memory starts from.
    Planned,
}

/// Flattens one function of a simplified module. Fails with all errors that were found, in program order.
pub fn lower(
    module: &ModuleData,
    target: &TargetData,
    function: OpId,
    addresses: Addresses,
) -> Result<KernelData, Vec<Diagnostic>> {
    let (module, target) = (module.view(), target.view());
    let memory = memory::memory(module, target, function);
    flatten(module, target, function, memory, addresses).map(|(kernel, _)| kernel)
}

/// Flattens a function whose values stand for `memory`.
fn flatten(
    module: Module<'_>,
    target: Target<'_>,
    function: OpId,
    memory: memory::Memory,
    addresses: Addresses,
) -> Result<(KernelData, memory::Memory), Vec<Diagnostic>> {
    let mut flat = Flattener {
        module,
        target,
        memory,
        kernel: KernelData::default(),
        flags: 0,
        parent: NodeId::NONE,
        regions: HashMap::new(),
        roots: HashMap::new(),
        rotating: rotation::Rotating::default(),
        addresses,
        diagnostics: Vec::new(),
    };
    match module.entry_block(function, 0).get() {
        Some(entry) => flat.block(entry),
        None => flat.flags |= kernel_flag::DECLARATION,
    }
    if !flat.diagnostics.is_empty() {
        return Err(flat.diagnostics);
    }
    flat.kernel.facts = vec![KernelFacts { function, flags: flat.flags }];
    Ok((flat.kernel, flat.memory))
}

/// How an operand is accessed.
fn mode(flags: u32) -> u32 {
    let read = if flags & operand_flag::READ != 0 { access_mode::READ } else { 0 };
    read | if flags & operand_flag::WRITE != 0 { access_mode::WRITE } else { 0 }
}

struct Flattener<'a> {
    module: Module<'a>,
    target: Target<'a>,
    memory: memory::Memory,
    kernel: KernelData,
    flags: u32,
    parent: NodeId,
    regions: HashMap<Region, RegionId>,
    roots: HashMap<ValueId, RootId>,
    rotating: rotation::Rotating,
    addresses: Addresses,
    diagnostics: Vec<Diagnostic>,
}

impl Flattener<'_> {
    fn block(&mut self, block: BlockId) {
        for &op in self.module.block_ops(block) {
            self.operation(op);
        }
    }

    fn body(&mut self, op: OpId, index: usize) {
        if let Some(body) = self.module.bodies(op).get(index) {
            for block in self.module.blocks(body) {
                self.block(block);
            }
        }
    }

    fn operation(&mut self, op: OpId) {
        match self.module.op_name(op) {
            "scf.for" | "scf.while" => {
                let is_while = self.module.op_name(op) == "scf.while";
                let flags = if is_while { node_flag::WHILE } else { 0 };
                let begin = self.node(Node { kind: node_kind::LOOP_BEGIN, op, flags, ..Default::default() });
                if !is_while {
                    self.rotating.enter(self.module, &self.memory, op, begin);
                }
                let outer = core::mem::replace(&mut self.parent, begin);
                (0..self.module.bodies(op).len()).for_each(|index| self.body(op, index));
                self.parent = outer;
                let end = self.node(Node { kind: node_kind::LOOP_END, op, flags, ..Default::default() });
                self.link(&[begin, end], NodeId::NONE);
            }
            "scf.if" => {
                let begin = self.node(Node { kind: node_kind::IF_BEGIN, op, ..Default::default() });
                let outer = core::mem::replace(&mut self.parent, begin);
                self.body(op, 0);
                let then_end = self.node(Node { kind: node_kind::PLACEHOLDER, op, ..Default::default() });
                let middle = self.node(Node { kind: node_kind::ELSE_BEGIN, op, ..Default::default() });
                self.body(op, 1);
                let else_end = self.node(Node { kind: node_kind::PLACEHOLDER, op, ..Default::default() });
                self.parent = outer;
                let end = self.node(Node { kind: node_kind::IF_END, op, ..Default::default() });
                self.link(&[begin, then_end, middle, else_end, end], middle);
            }
            _ => {
                self.instruction(op);
                (0..self.module.bodies(op).len()).for_each(|index| self.body(op, index));
            }
        }
    }

    fn node(&mut self, node: Node) -> NodeId {
        let id = NodeId::from_index(self.kernel.nodes.len());
        self.kernel.nodes.push(Node { parent: self.parent, ..node });
        id
    }

    /// Tells the nodes of one construct about each other.
    fn link(&mut self, nodes: &[NodeId], middle: NodeId) {
        let (begin, end) = (nodes[0], nodes[nodes.len() - 1]);
        for &id in nodes {
            let node = &mut self.kernel.nodes[id.index()];
            (node.begin, node.middle, node.end) = (begin, middle, end);
        }
    }

    fn instruction(&mut self, op: OpId) {
        let record = self.module.op(op);
        let Some(entry) = record.entry.get().map(|e| self.target.t.entries[e.index()]) else {
            self.check_known(op);
            return;
        };
        self.kernel.flag_uses.extend(flags::flag_use(self.module, self.target, op));
        if entry.flags & entry_flag::EXPLICIT_SYNC != 0 {
            self.flags |= kernel_flag::EXPLICIT_SYNC;
        }
        self.check_slot(op);
        let is_tile = matches!(self.module.op_name(op), "pto.alloc_tile" | "pto.alloc_multi_tile");
        if is_tile && !addresses::has_address(self.module, self.target, op) {
            match self.addresses {
                Addresses::Required => self.miss_address(op),
                Addresses::Planned => self.allocation(op),
            }
            return;
        }
        if entry.flags & entry_flag::MANUAL_ADDRESS != 0 {
            let diagnostic = Diagnostic::error(
                "lower::manual-address",
                format!("`{}` cannot stand beside automatic synchronization", self.module.op_name(op)),
            );
            let help = "give the tile its address where it is allocated: `pto.alloc_tile addr = %a`";
            self.diagnostics
                .push(diagnostic.label(record.name_span, "assigns an address by hand").help(help));
        }
        let Some(pipe) = self.pipe(op, &entry) else {
            let accesses = self.accesses(op, &entry);
            if !accesses.is_empty() {
                let before = NodeId::from_index(self.kernel.nodes.len());
                self.kernel.bystanders.push(Bystander { op, before, accesses });
            }
            self.inside(op, &entry, accesses);
            return;
        };
        let mut flags = 0;
        if entry.flags & entry_flag::IRREGULAR != 0 {
            flags |= node_flag::IRREGULAR;
            self.flags |= kernel_flag::IRREGULAR;
        }
        let accesses = self.accesses(op, &entry);
        self.rotations(op, &entry, accesses);
        let phases = self.inside(op, &entry, accesses);
        let parts = self.parts(pipe, phases, accesses);
        let nodes: Vec<NodeId> = parts
            .into_iter()
            .map(|inside::Part { pipe, accesses, flags: own }| {
                let flags = flags | own;
                self.node(Node {
                    kind: node_kind::INSTRUCTION,
                    pipe,
                    op,
                    accesses,
                    flags,
                    ..Default::default()
                })
            })
            .collect();
        if nodes.len() > 1 {
            self.link(&nodes, NodeId::NONE);
        }
    }

    /// The pipe that runs the operation, by the first of its rules that applies.
    fn pipe(&self, op: OpId, entry: &Entry) -> Option<PipeId> {
        let rules = entry.pipe_rules.of(self.target.t.pipe_rules);
        rules.iter().find(|rule| self.applies(op, entry, rule.when) == Truth::Yes).map(|rule| rule.pipe)
    }

    /// The operand or result `name`.
    fn value_of(&self, op: OpId, entry: &Entry, name: StrId) -> Option<ValueId> {
        let operands = entry.operands.of(self.target.t.operands);
        if let Some(slot) = operands.iter().position(|o| o.name == name) {
            return Some(self.module.operands(op).iter().find(|o| o.slot as usize == slot)?.value);
        }
        let results = entry.results.of(self.target.t.operands);
        self.module.result(op, results.iter().position(|r| r.name == name)?).get()
    }

    /// The memory space of the operand or result `name`.
    fn space_of(&self, op: OpId, entry: &Entry, name: StrId) -> Option<SpaceId> {
        memory::space_of(self.module, self.target, self.value_of(op, entry, name)?)
    }

    /// What the operation reads and writes, each region once.
    fn accesses(&mut self, op: OpId, entry: &Entry) -> Range {
        let mut accesses: Vec<Access> = Vec::new();
        let specs = entry.operands.of(self.target.t.operands);
        for operand in self.module.operands(op) {
            if let Some(spec) = specs.get(operand.slot as usize) {
                self.check_space(operand, spec);
                // A number is not touched, be it an address.
                if self.module.type_of(operand.value).is_memory() {
                    self.access(operand.value, spec.flags, &mut accesses);
                }
            }
        }
        let results = entry.results.of(self.target.t.operands);
        for (spec, value) in results.iter().zip(self.module.results(op)) {
            self.access(value, spec.flags, &mut accesses);
        }
        self.keep(accesses)
    }

    /// Says of accesses through which arguments of loops they happen, where they happen in no other way.
    fn rotations(&mut self, op: OpId, entry: &Entry, accesses: Range) {
        if self.rotating.is_empty() {
            return;
        }
        let operands = entry.operands.of(self.target.t.operands);
        let named = self.module.operands(op).iter();
        let named = named.filter_map(|o| Some((o.value, operands.get(o.slot as usize)?.flags)));
        let results = entry.results.of(self.target.t.operands).iter().zip(self.module.results(op));
        let values: Vec<_> = named.chain(results.map(|(spec, value)| (value, spec.flags))).collect();
        let mut found: Vec<Option<Vec<Rotation>>> = accesses.indices().map(|_| Some(Vec::new())).collect();
        for (value, mode) in values.into_iter().map(|(value, flags)| (value, mode(flags))) {
            let pieces = if mode == 0 { Vec::new() } else { self.memory.of(value).to_vec() };
            for piece in pieces {
                let root = self.root(piece.root);
                let region = self.region(Region { root, ..piece.region });
                let Some(index) = accesses.indices().find(|&a| self.kernel.accesses[a].region == region)
                else {
                    continue;
                };
                let via = self.rotating.via(self.module, self.target, value);
                let rotations = via.map_or_else(Vec::new, |v| v.rotations(piece.root, index as u32, mode));
                let of_access = &mut found[index - accesses.indices().start];
                match of_access {
                    Some(all) if !rotations.is_empty() => all.extend(rotations),
                    _ => *of_access = None,
                }
            }
        }
        self.kernel.rotations.extend(found.into_iter().flatten().flatten());
    }

    /// Keeps accesses.
    fn keep(&mut self, accesses: Vec<Access>) -> Range {
        let start = self.kernel.accesses.len();
        self.kernel.accesses.extend(accesses);
        Range::new(start, self.kernel.accesses.len())
    }

    fn access(&mut self, value: ValueId, flags: u32, out: &mut Vec<Access>) {
        let mode = mode(flags);
        if mode == 0 {
            return;
        }
        for piece in self.memory.of(value).to_vec() {
            let root = self.root(piece.root);
            let region = self.region(Region { root, ..piece.region });
            match out.iter_mut().find(|a| a.region == region) {
                Some(access) => access.mode |= mode,
                None => out.push(Access { region, mode }),
            }
        }
    }

    fn root(&mut self, value: ValueId) -> RootId {
        let next = RootId::from_index(self.kernel.roots.len());
        *self.roots.entry(value).or_insert_with(|| {
            let record = self
                .module
                .t
                .values
                .get(value.index())
                .copied()
                .unwrap_or(Value { name: StrId::NONE, ..Value::default() });
            self.kernel.roots.push(Root { value, name: record.name, span: record.span });
            next
        })
    }

    fn region(&mut self, region: Region) -> RegionId {
        let next = RegionId::from_index(self.kernel.regions.len());
        *self.regions.entry(region).or_insert_with(|| {
            self.kernel.regions.push(region);
            next
        })
    }

    fn miss_address(&mut self, op: OpId) {
        let name = self.module.str(self.module.value(self.module.result(op, 0)).name);
        let diagnostic = Diagnostic::error("lower::no-address", format!("the tile `%{name}` has no address"))
            .label(self.module.op(op).span, "allocated here")
            .help("write `addr = %a`, or put `memory-plan` before the stages that synchronize");
        self.diagnostics.push(diagnostic);
    }

    /// Tells memory planning where a tile begins, accessed or not.
    fn allocation(&mut self, op: OpId) {
        let mut accesses = Vec::new();
        for piece in self.memory.of(self.module.result(op, 0)).to_vec() {
            let root = self.root(piece.root);
            let region = self.region(Region { root, ..piece.region });
            accesses.push(Access { region, mode: 0 });
        }
        self.bystander(op, accesses);
    }

    fn bystander(&mut self, op: OpId, accesses: Vec<Access>) {
        let accesses = self.keep(accesses);
        let before = NodeId::from_index(self.kernel.nodes.len());
        self.kernel.bystanders.push(Bystander { op, before, accesses });
    }

    /// A call may read and write whatever its arguments stand for.
    fn call(&mut self, op: OpId) {
        let before = NodeId::from_index(self.kernel.nodes.len());
        self.kernel.function_calls.push(FunctionCall { op, before });
        let mut accesses = Vec::new();
        for operand in self.module.operands(op) {
            self.access(operand.value, operand_flag::READ | operand_flag::WRITE, &mut accesses);
        }
        if !accesses.is_empty() {
            self.bystander(op, accesses);
        }
    }

    /// Operations of other dialects have no table entry; the ones that structure a program are known.
    fn check_known(&mut self, op: OpId) {
        const DIALECTS: [&str; 6] = ["arith.", "scf.", "func.", "builtin.", "memref.", "vector."];
        let name = self.module.op_name(op);
        if name == "func.call" {
            self.call(op);
        }
        if DIALECTS.iter().any(|d| name.starts_with(d)) {
            return;
        }
        let known = self.target.t.entries.iter().map(|e| self.target.str(e.name));
        let help = match did_you_mean(name, known) {
            Some(likely) => {
                format!("did you mean `{likely}`? A new operation needs an `[[op]]` entry in a target file")
            }
            None => "a new operation needs an `[[op]]` entry in a target file".into(),
        };
        let diagnostic = Diagnostic::error("lower::unknown-op", format!("the target does not know `{name}`"))
            .label(self.module.op(op).name_span, "this operation")
            .help(help);
        self.diagnostics.push(diagnostic);
    }
}
