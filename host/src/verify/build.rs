//! From a function and its plan, or from the flags in its source, to the programs that are judged.
//!
//! Statements of a plan stand where [`pipewright_abi::placement`] puts them; flags and barriers in the source stand
//! where they are written. What must hold: a program has the steps of one core, in the order in which that core meets
//! them. A function with parts for both kinds of core is two programs.

mod decisions;

use std::collections::HashMap;

use pipewright_abi::ir::Module;
use pipewright_abi::kernel::{
    Access as KernelAccess, Kernel, Region, access_mode, node_flag, node_kind, region_flag,
};
use pipewright_abi::placement::{self, Statement};
use pipewright_abi::plan::{Anchor, NO_EVENT, SyncPlan};
use pipewright_abi::sync::Synchronization;
use pipewright_abi::target::{Target, entry_flag, pipe_flag, space_flag};
use pipewright_abi::{NodeId, OpId, PipeId, Range, RootId, TextRange, ValueId};

use super::address::{Bounds, Placed};
use super::calls;
use super::carried::{Carried, Handover};
use super::extract::{Change, Extract};
use super::inline::{Functions, Instances, Planned};
use super::memory::Memory;
use super::program::{Access, Builder, Fault, Key, Origin, Pipe, Place, Program};
use super::walk::{Core, Walk, What, arguments};

/// The programs of a function that is judged alone: one, or one for each kind of core that it has a section for.
///
/// Without a module (a kernel built by hand) nodes are all there is, and trip counts are not known.
pub fn programs(
    module: Option<&Module<'_>>,
    kernel: &Kernel<'_>,
    plan: &SyncPlan,
    target: &Target<'_>,
) -> Vec<Program> {
    let planned = [Planned { kernel: *kernel, plan }];
    programs_of(&Functions::new(module, &planned, target), 0).0
}

/// The programs of one of the functions, with all that they execute.
pub(super) fn programs_of<'a>(
    functions: &'a Functions<'a>,
    function: usize,
) -> (Vec<Program>, Instances<'a>) {
    let Walk { instances, items, cores, notes, handovers, changes, .. } = Walk::new(functions, function);
    let target = functions.target;
    let roots = instances.roots();
    let carried =
        functions.module.map_or_else(Carried::default, |m| Carried::new(m, target, roots, &handovers));
    let ops = items.iter().filter_map(|item| if let What::Op(op) = item.what { Some(op) } else { None });
    let placed = functions.module.map_or_else(Placed::default, |m| Placed::new(m, target, ops));
    let kinds = instances.kinds();
    let judged: Vec<Core> = if cores.len() < 2 { vec![Core::Any] } else { cores };
    let programs = judged
        .into_iter()
        .map(|core| {
            let mut maker = Maker::new(functions, &instances, core);
            maker.carried = Some(&carried).filter(|carried| !carried.is_empty());
            maker.placed = Some(&placed);
            notes.iter().for_each(|note| maker.builder.assume(note.clone()));
            let mut here = None;
            for item in items.iter().filter(|i| core == Core::Any || i.core == Core::Any || i.core == core) {
                maker.enter(item.instance);
                // A section says more than its function, and where neither does nothing is known.
                let known = if item.core == Core::Any { kinds[item.instance] } else { item.core };
                if here.replace(known) != Some(known) {
                    maker.builder.on_core(known.lacking(target));
                }
                maker.item(item.what, &handovers, &changes);
            }
            maker.finish()
        })
        .collect();
    (programs, instances)
}

/// Makes the steps of one core.
struct Maker<'a> {
    module: Option<&'a Module<'a>>,
    functions: &'a Functions<'a>,
    instances: &'a Instances<'a>,
    /// The instance that steps are made of, its function and its plan.
    instance: usize,
    kernel: Kernel<'a>,
    plan: &'a SyncPlan,
    target: &'a Target<'a>,
    builder: Builder,
    extract: Extract<'a>,
    /// The number of the instance among those that values are taken from.
    number: usize,
    /// What is known of the instances that steps were made of.
    frames: HashMap<usize, Frame>,
    /// Numbers of buffers, by the instance whose function they are in.
    roots: HashMap<(usize, ValueId), u32>,
    /// Whether the flags that are added now are the source's, not a plan's.
    written: bool,
    /// The carried tiles, if there are any.
    carried: Option<&'a Carried>,
    /// Where tiles and buffers lie.
    placed: Option<&'a Placed>,
}

/// What is looked up in one instance.
struct Frame {
    /// The instance's number among those that values are taken from.
    number: usize,
    bystanders: HashMap<OpId, Range>,
    /// Phases of the operations that have some.
    calls: HashMap<OpId, Range>,
    /// For each region its memory, once it was asked for.
    memories: Vec<Option<Option<usize>>>,
}

impl Frame {
    fn new(kernel: &Kernel<'_>, number: usize) -> Self {
        Self {
            number,
            calls: kernel.calls.iter().map(|c| (c.op, c.phases)).collect(),
            bystanders: kernel.bystanders.iter().map(|b| (b.op, b.accesses)).collect(),
            memories: vec![None; kernel.regions.len()],
        }
    }
}

impl<'a> Maker<'a> {
    fn new(functions: &'a Functions<'a>, instances: &'a Instances<'a>, core: Core) -> Self {
        let (module, target) = (functions.module, functions.target);
        let Planned { kernel, plan } = *instances.planned(0);
        let name = instances.name(0);
        let part = match core {
            Core::Any => "",
            Core::Cube => " (cube section)",
            Core::Vector => " (vector section)",
        };
        let pipes: Vec<&str> = target.t.pipes.iter().map(|p| target.str(p.name)).collect();
        let scalar = target.t.pipes.iter().position(|p| p.flags & pipe_flag::SCALAR != 0);
        let mut builder = Builder::new(&format!("{name}{part}"), &pipes, scalar);
        let spaces = || (0u32..).zip(target.t.spaces);
        let global = spaces().filter(|(_, s)| s.flags & space_flag::GLOBAL != 0).map(|(i, _)| i).collect();
        let settled =
            (0u32..).zip(target.t.settled.iter().copied()).filter(|(_, bytes)| *bytes > 0).collect();
        builder.spaces(global, settled);
        builder.bounds(Bounds::of(target));
        let both = pipe_flag::CUBE | pipe_flag::VECTOR;
        builder.shared_pipes(target.t.pipes.iter().map(|pipe| pipe.flags & both == both).collect());
        builder.executions(instances.executions());
        Self {
            module,
            functions,
            instances,
            instance: 0,
            kernel,
            plan,
            target,
            builder,
            extract: Extract::new(module),
            number: 0,
            frames: HashMap::from([(0, Frame::new(&kernel, 0))]),
            roots: HashMap::new(),
            written: false,
            carried: None,
            placed: None,
        }
    }

    /// Goes on with the steps of an instance.
    fn enter(&mut self, instance: usize) {
        if self.instance == instance {
            return;
        }
        self.instance = instance;
        (self.kernel, self.plan) = (self.instances.kernel(instance), self.instances.planned(instance).plan);
        self.builder.execution = instance;
        if !self.frames.contains_key(&instance) {
            let number = self.number_of(instance);
            self.frames.insert(instance, Frame::new(&self.kernel, number));
        }
        self.number = self.frames[&instance].number;
    }

    /// The number of an instance that begins here, with what its arguments stand for.
    fn number_of(&mut self, instance: usize) -> usize {
        let (Some(module), Some((call, caller))) = (self.module, self.instances.all[instance].call) else {
            return 0;
        };
        // A caller that has no steps of its own before the call.
        if !self.frames.contains_key(&caller) {
            let number = self.number_of(caller);
            self.frames.insert(caller, Frame::new(&self.instances.kernel(caller), number));
        }
        let outer = self.frames[&caller].number;
        let given = module.operands(call).iter().map(|o| (outer, o.value));
        let parameters = arguments(module, self.instances.planned(instance).kernel.function(), 0);
        self.extract.enter(&self.builder, parameters.into_iter().zip(given))
    }

    fn finish(mut self) -> Program {
        self.enter(0);
        self.leave();
        let place = Place::AtReturn;
        let span = self.span(self.kernel.function());
        self.builder.origin = Origin { span, place, ..Default::default() };
        self.builder.finish()
    }

    /// What the plan wants before the function returns.
    fn leave(&mut self) {
        if let Some(group) = placement::tail(self.plan) {
            let place = Place::AtReturn;
            self.builder.origin =
                Origin { group, span: self.span(self.kernel.function()), place, ..Default::default() };
            let hint =
                self.module.and_then(|m| m.text_attr(self.kernel.function(), "pto.auto_sync_tail_hint"));
            // The hint asks for less than a full barrier.
            let short =
                hint.is_some_and(|h| h.to_ascii_lowercase().replace('_', "-").ends_with("mte3-to-s-event0"));
            match (short, self.target.pipe("MTE3"), self.target.pipe("S")) {
                (true, Some(src), Some(dst)) => {
                    let key = Key { src: src.index(), dst: dst.index(), id: 0 };
                    self.builder.set(key);
                    self.builder.wait(key);
                }
                _ => _ = self.builder.barrier(None),
            }
        }
    }

    fn span(&self, op: OpId) -> TextRange {
        let op = self.module.and_then(|m| m.t.ops.get(op.index()));
        let spans = op.map(|op| [op.name_span, op.span]).unwrap_or_default();
        spans.into_iter().find(|s| s.start < s.end).unwrap_or_default()
    }

    fn item(&mut self, what: What, handovers: &[Handover], changes: &[Vec<(ValueId, Change)>]) {
        match what {
            What::Handover(index) => {
                let (Some(module), Some(carried)) = (self.module, self.carried) else { return };
                let bindings = carried.bindings(module, self.target, &handovers[index]);
                if !bindings.is_empty() {
                    self.builder.bind(&bindings);
                }
            }
            What::Select(op, first) => {
                let (Some(module), Some(carried)) = (self.module, self.carried) else { return };
                let arm = |index: usize| carried.bindings(module, self.target, &handovers[index]);
                let [taken, other] = [arm(first), arm(first + 1)];
                if !taken.is_empty() || !other.is_empty() {
                    self.builder.origin = Origin { span: self.span(op), ..Default::default() };
                    self.open_branch(Some(module.operand(op, 0)));
                    self.builder.bind(&taken);
                    self.builder.middle();
                    self.builder.bind(&other);
                    self.builder.close();
                }
            }
            What::Changes(index) => {
                let assign = self.extract.assign(&mut self.builder, self.number, &changes[index]);
                if !assign.is_empty() {
                    self.builder.assign(assign);
                }
            }
            What::Node(id) => self.node(id),
            What::Op(op) => self.op(op),
            What::Leave => self.leave(),
            What::Test(begin) => {
                let span = self.span(self.kernel.node(begin).op);
                self.builder.origin = Origin { node: begin, span, ..Default::default() };
                self.builder.test();
                self.guard_while(self.kernel.node(begin).op);
            }
        }
    }

    fn node(&mut self, id: NodeId) {
        let node = self.kernel.node(id);
        self.written = false;
        for anchor in placement::before(&self.kernel, id) {
            self.statements(anchor, node.op, Place::Before);
        }
        self.builder.origin =
            Origin { node: id, op: node.op, span: self.span(node.op), ..Default::default() };
        match node.kind {
            node_kind::INSTRUCTION => {
                let pipe = node.pipe.index();
                if pipe < self.target.t.pipes.len() {
                    self.instruction(node.op, Some(pipe), Some(node.accesses));
                }
            }
            node_kind::LOOP_BEGIN => {
                let is_while = node.flags & node_flag::WHILE != 0 && self.module.is_some();
                self.builder.open_loop(self.trips(node.op), is_while);
                if !is_while {
                    self.guard_for(node.op);
                }
            }
            node_kind::IF_BEGIN => {
                self.open_branch(self.module.map(|module| module.operand(node.op, 0)));
            }
            node_kind::ELSE_BEGIN => self.builder.middle(),
            node_kind::LOOP_END | node_kind::IF_END => self.builder.close(),
            _ => {}
        }
        let (_, last) = self.kernel.call(id);
        (id.0..=last.0).for_each(|n| self.statements(Anchor::after(NodeId(n)), node.op, Place::After));
    }

    /// An operation that works: what it does inside itself, or the one instruction that it is, if it is one.
    fn instruction(&mut self, op: OpId, pipe: Option<Pipe>, accesses: Option<Range>) {
        let phases =
            self.frames[&self.instance].calls.get(&op).map_or(&[][..], |range| range.of(self.kernel.phases));
        let own = accesses.filter(|_| !calls::work(phases)).map(|accesses| {
            let accesses = self.accesses(op, accesses);
            (pipe.unwrap_or_else(|| self.builder.unknown_pipe()), accesses)
        });
        let phases: Vec<_> = phases.iter().map(|&phase| (phase, self.accesses(op, phase.accesses))).collect();
        calls::call(&mut self.builder, &phases, own);
    }

    /// What the plan puts at an anchor.
    fn statements(&mut self, anchor: Anchor, op: OpId, place: Place) {
        if self.plan.at(anchor).is_empty() {
            return;
        }
        for (group, statement) in placement::statements(self.plan, self.target, anchor) {
            self.builder.origin =
                Origin { node: anchor.node, op, group, span: self.span(op), place, ..Default::default() };
            match statement {
                Statement::Set { src, dst, event_id } => self.flag(true, src, dst, Some(event_id)),
                Statement::Wait { src, dst, event_id } => self.flag(false, src, dst, Some(event_id)),
                Statement::Barrier { pipe } => self.barrier(pipe),
            }
        }
    }

    /// A set or wait. Without an id it has no effect that one could rely on.
    fn flag(&mut self, is_set: bool, src: PipeId, dst: PipeId, id: Option<u32>) {
        let flags = |p: PipeId| self.target.t.pipes.get(p.index()).map_or(0, |p| p.flags);
        let (src_flags, dst_flags) = (flags(src), flags(dst));
        let (src_index, dst_index) = (src.index(), dst.index());
        let known = src_index < self.target.t.pipes.len() && dst_index < self.target.t.pipes.len();
        let Some(id) = id.filter(|_| known) else {
            self.builder.opaque();
            self.builder.names(&[src_index, dst_index]);
            let note = "flags whose id is computed order nothing, and are not checked";
            self.builder.assume(note.into());
            return;
        };
        let key = Key { src: src_index, dst: dst_index, id };
        if id == NO_EVENT {
            self.builder.opaque();
            self.builder.names(&[src_index, dst_index]);
            self.builder.fault(Fault::Missing { src: src_index, dst: dst_index });
            return;
        }
        if is_set {
            self.builder.set(key);
        } else {
            self.builder.wait(key);
        }
        let reserved = self.target.usable_ids(src, dst) & 1u64.checked_shl(id).unwrap_or(0) == 0;
        let can_flag = src_flags & dst_flags & pipe_flag::FLAGS != 0;
        // Where the core is known, it is said which of them it lacks.
        let shares_core = src_flags & dst_flags & (pipe_flag::CUBE | pipe_flag::VECTOR) != 0
            || self.builder.lacks(src_index)
            || self.builder.lacks(dst_index);
        if src == dst || !can_flag || !shares_core {
            self.builder.fault(Fault::Ends { key });
        } else if id >= self.target.event_ids() {
            self.builder.fault(Fault::OutOfRange { key, count: self.target.event_ids() });
        } else if reserved && !self.written {
            self.builder.fault(Fault::Reserved { key });
        }
    }

    fn barrier(&mut self, pipe: PipeId) {
        let flags = self.target.t.pipes.get(pipe.index()).map_or(0, |p| p.flags);
        if flags & pipe_flag::ALL != 0 || pipe.is_none() {
            self.builder.barrier(None);
        } else if flags & pipe_flag::SCALAR != 0 {
            self.builder.opaque();
            self.builder.fault(Fault::ScalarBarrier);
        } else {
            self.builder.barrier(Some(pipe.index()));
        }
    }

    /// An operation that is no node.
    fn op(&mut self, op: OpId) {
        let Some(module) = self.module else { return };
        let name = module.op_name(op);
        self.written = true;
        self.builder.origin = Origin { op, span: self.span(op), ..Default::default() };
        if let Some(placed) = self.placed {
            placed.judge(module, op, &mut self.builder);
        }
        match self.target.synchronization(module, op) {
            Some(Synchronization::Set(flag)) => self.written_flag(true, flag),
            Some(Synchronization::Wait(flag)) => self.written_flag(false, flag),
            Some(Synchronization::Barrier(pipe)) => self.known_barrier(pipe),
            Some(Synchronization::Fence) => _ = self.builder.barrier(None),
            None if self.is_description(op) => {}
            other => {
                match other {
                    Some(Synchronization::Cores) => {
                        self.builder.assume(format!("what `{name}` waits for on another core comes"));
                    }
                    Some(Synchronization::Unknown) => {
                        self.builder.assume(format!("`{name}` orders nothing, and holds nothing up"));
                    }
                    _ => {}
                }
                self.instruction(op, None, self.frames[&self.instance].bystanders.get(&op).copied());
            }
        }
        if name == "func.call" && self.functions.has_body(op) {
            // It is not followed: behind its own full barrier, which it has unless the judgement on it says otherwise.
            self.builder.barrier(None);
        }
    }

    /// Whether the operation touches no bytes of what it names.
    fn is_description(&self, op: OpId) -> bool {
        let entry = self.module.and_then(|m| m.op(op).entry.get());
        entry.is_some_and(|e| self.target.t.entries[e.index()].flags & entry_flag::DESCRIPTION != 0)
    }

    /// A barrier in the source; one of a pipe that the target does not have orders nothing.
    fn known_barrier(&mut self, pipe: PipeId) {
        if pipe.is_some() {
            self.barrier(pipe);
        } else {
            self.builder.opaque();
            self.builder.assume("a barrier of an unknown pipe orders nothing".into());
        }
    }

    fn accesses(&mut self, op: OpId, range: Range) -> Vec<Access> {
        let mut out: Vec<Access> = Vec::new();
        // Phases have effects of their own.
        let is_call = self.frames[&self.instance]
            .calls
            .get(&op)
            .is_some_and(|range| calls::work(range.of(self.kernel.phases)));
        for &KernelAccess { region, mode } in range.of(self.kernel.accesses) {
            let Some(memory) = self.memory(region.index()) else { continue };
            let root = self.kernel.roots.get(self.kernel.regions[region.index()].root.index());
            let root = root.filter(|root| root.value.is_some());
            for (bit, write) in [(access_mode::READ, false), (access_mode::WRITE, true)] {
                if mode & bit == 0 {
                    continue;
                }
                let mut choices = Vec::new();
                if let (Some(module), Some(carried), Some(root)) = (self.module, self.carried, root) {
                    choices =
                        carried.choices(module, self.target, op, root.value, (!is_call).then_some(write));
                }
                let only: Vec<_> =
                    if choices.is_empty() { vec![None] } else { choices.into_iter().map(Some).collect() };
                for only in only {
                    let access = Access { memory, write, only };
                    if !out.contains(&access) {
                        out.push(access);
                    }
                }
            }
        }
        out
    }

    /// The bytes of a region; none if it has none, or exists for another purpose.
    fn memory(&mut self, region: usize) -> Option<usize> {
        if let Some(known) = self.frames[&self.instance].memories.get(region)? {
            return *known;
        }
        let r = self.kernel.regions[region];
        let has = |flag| r.flags & flag != 0;
        let (space, accumulator) = (r.space.0, has(region_flag::ACCUMULATOR));
        let memory = if has(region_flag::NOT_RANGE) {
            None
        } else if has(region_flag::UNTRACED) {
            self.assume_untraced(&r);
            Some(Memory::Anywhere { space, untraced: true, accumulator })
        } else if has(region_flag::PRIVATE) && has(region_flag::KNOWN_ADDRESS) {
            Memory::slot(space, self.root(r.root), r.address, [r.rows, r.row_bytes, r.pitch], accumulator)
        } else if has(region_flag::GLOBAL) || has(region_flag::PRIVATE) {
            Some(Memory::Private { space, root: self.root(r.root), accumulator })
        } else if has(region_flag::KNOWN_ADDRESS) {
            let runs = Memory::runs(space, r.address, [r.rows, r.row_bytes, r.pitch], accumulator);
            runs.map(|runs| if has(region_flag::SOMEWHERE) { runs.somewhere() } else { runs })
        } else {
            Some(Memory::Anywhere { space, untraced: false, accumulator })
        };
        let memory = memory.map(|memory| {
            let root = self.kernel.roots.get(r.root.index());
            let space = self.target.space_name(r.space);
            let root = match (self.module, root.and_then(|r| r.name.get())) {
                (Some(module), Some(name)) => format!(" (%{})", module.str(name).trim_start_matches('%')),
                _ => String::new(),
            };
            let name = match memory.span() {
                Some((first, last)) => format!("{space} {first}..{}", u128::from(last) + 1),
                None => match memory {
                    Memory::Slot { address, .. } => format!("{space}, slot{root} from byte {address}"),
                    _ => format!("{space}{root}"),
                },
            };
            let index = self.builder.memory(memory, &name);
            if !has(region_flag::PRIVATE) && self.placed.is_some_and(|placed| placed.is_tile(&r)) {
                self.builder.is_placed(index);
            }
            index
        });
        if let Some(frame) = self.frames.get_mut(&self.instance) {
            frame.memories[region] = Some(memory);
        }
        memory
    }

    /// The number of the buffer that a region is in. A buffer of a function is another one in each of its executions.
    fn root(&mut self, root: RootId) -> u32 {
        let value = self.kernel.roots.get(root.index()).map(|root| root.value);
        let Some(value) = value.filter(|_| self.module.is_some()) else { return root.0 };
        let next = self.roots.len() as u32;
        let owner = self.instances.owner(self.instance, value);
        *self.roots.entry((owner, value)).or_insert(next)
    }

    /// Says of a value that stands for memory that nobody knows which.
    fn assume_untraced(&mut self, region: &Region) {
        let space = self.target.space_name(region.space);
        let root = self.kernel.roots.get(region.root.index());
        let known = self.module.zip(root).map(|(module, root)| {
            let before = module.source.get(..root.span.start as usize).unwrap_or_default();
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let name = module.str(root.name).trim_start_matches('%');
            if name.is_empty() { format!("a value (line {line})") } else { format!("%{name} (line {line})") }
        });
        let value = known.unwrap_or_else(|| "a value".into());
        self.builder.assume(format!("the memory of {value} is not known: taken to be anywhere in {space}"));
    }
}
