//! From one function of the program to the [`Code`] of its C++ body.
//!
//! The walk appends in program order. What an operation's operands became is looked up in [`Lower::value`]; which kind
//! of thing it is decides what the operation may do with it. Synchronization is printed around the operation that its
//! anchor names, directly before its statements and directly after them.

use std::collections::HashMap;

use pipewright_abi::ir::{Module, type_kind};
use pipewright_abi::kernel::Kernel;
use pipewright_abi::pass::Unit;
use pipewright_abi::plan::SyncPlan;
use pipewright_abi::target::Target;
use pipewright_abi::{BlockId, NodeId as KernelNode, OpId, PassError, PipeId, ValueId};

use crate::code::{Class, Code, Item, NodeId, Op};
use crate::fifo::Fifo;
use crate::merge::Merged;
use crate::tiles::Tile;
use crate::types::{Ctype, Types};
use crate::usage::Usage;
use crate::views::View;

/// What a value of the program is in C++.
#[derive(Clone, Debug, Default)]
pub(crate) enum Value {
    /// Nothing yet.
    #[default]
    None,
    /// A C++ value: a number, a pointer, an array, an event.
    Node(NodeId),
    /// A pointer moved on by numbers of elements, the last move first. The addition is made where it is used.
    Pointer(NodeId, Vec<NodeId>),
    /// Part of global memory.
    View(Box<View>),
    /// A tile in local memory.
    Tile(Box<Tile>),
    /// A queue between cores; its value and its type.
    Pipe(NodeId, Ctype),
}

/// Helpers that the text before the first function must hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Helpers {
    pub(crate) communication: bool,
    pub(crate) entry_data: bool,
    pub(crate) event_array: bool,
    pub(crate) bitcast: bool,
}

/// The state of lowering.
#[derive(Debug)]
pub(crate) struct Lower<'a> {
    pub(crate) m: Module<'a>,
    pub(crate) target: Target<'a>,
    pub(crate) types: Types,
    pub(crate) merged: Merged,
    pub(crate) usage: Usage,
    pub(crate) fifo: Fifo,
    pub(crate) helpers: Helpers,
    /// Functions print in flat form.
    pub(crate) flat: bool,
    /// For each operation whether it must become basic blocks.
    pub(crate) blocks: Vec<bool>,
    values: Vec<Value>,
    /// For each operation the first node of the kernel that stands for it.
    nodes: Vec<KernelNode>,

    pub(crate) code: Code,
    pub(crate) kernel: Option<Kernel<'a>>,
    pub(crate) plan: Option<&'a SyncPlan>,
    pub(crate) function: OpId,
    /// The previous operation of the block, if it is a barrier: of which pipe.
    pub(crate) last_barrier: Option<PipeId>,
    /// Aliases of GlobalTensors so far.
    pub(crate) aliases: u32,
    /// The pipe that this function initialized under each id, its type, and the view that its slots are in.
    pub(crate) pipes: HashMap<i64, (NodeId, Ctype, Option<View>)>,
    /// What was read from arrays of event ids.
    pub(crate) elements: HashMap<ValueId, Element>,
    /// How often each array of event ids was written.
    pub(crate) array_writes: HashMap<NodeId, u32>,
    /// Views that have a GlobalTensor for the operation at hand only, with what they were before.
    pub(crate) bound: Vec<(ValueId, Value)>,
    /// The guard that the function's body stands in.
    guard: Option<&'static str>,
    memo: HashMap<Sum, NodeId>,
    memo_log: Vec<Sum>,
}

/// What was read from an array of event ids, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    pub(crate) array: NodeId,
    pub(crate) index: NodeId,
    /// Writes to the array before.
    pub(crate) writes: u32,
    pub(crate) block: BlockId,
}

/// A computed sum, product or conversion (operator `None`), by which equal ones are merged.
type Sum = (Option<Op>, NodeId, NodeId, Ctype);

impl<'a> Lower<'a> {
    pub(crate) fn new(m: Module<'a>, target: Target<'a>, fifo: Fifo) -> Self {
        Self {
            m,
            target,
            types: Types::new(),
            merged: Merged::new(&m),
            usage: Usage::new(&m),
            fifo,
            helpers: Helpers::default(),
            flat: false,
            blocks: vec![false; m.t.ops.len()],
            values: vec![Value::None; m.t.values.len()],
            nodes: vec![KernelNode::NONE; m.t.ops.len()],
            code: Code::default(),
            kernel: None,
            plan: None,
            function: OpId::NONE,
            last_barrier: None,
            aliases: 0,
            pipes: HashMap::new(),
            elements: HashMap::new(),
            array_writes: HashMap::new(),
            bound: Vec::new(),
            guard: None,
            memo: HashMap::new(),
            memo_log: Vec::new(),
        }
    }

    /// Lowers the body of one function.
    pub(crate) fn function(&mut self, unit: &'a Unit<'a>) -> Result<Code, PassError> {
        let function = unit.kernel.function();
        self.begin(unit);
        let body = self.m.entry_block(function, 0);
        if self.m.bodies(function).first().is_some_and(|b| b.blocks.len > 1) {
            return Err(self.error(function, "a function of several blocks is not translated"));
        }
        for argument in self.m.block_args(body) {
            let ty = self.value_type(function, argument)?;
            let node = self.code.name(ty, Class::Plain);
            self.code.parameters.push(node);
            self.define_argument(argument, node)?;
        }
        self.guard = self.core_guard();
        if let Some(core) = self.guard {
            self.open_guard(core);
        }
        self.code.items.push(Item::SharedCasts);
        for argument in self.m.block_args(body) {
            self.tile_argument(argument)?;
        }
        self.block(body)?;
        Ok(std::mem::take(&mut self.code))
    }

    fn begin(&mut self, unit: &'a Unit<'a>) {
        let function = unit.kernel.function();
        self.code = Code::default();
        self.function = function;
        self.kernel = Some(unit.kernel);
        self.plan = Some(&unit.plan);
        self.last_barrier = None;
        self.aliases = 0;
        self.pipes.clear();
        self.elements.clear();
        self.array_writes.clear();
        self.memo.clear();
        self.memo_log.clear();
        for id in unit.kernel.node_ids() {
            let op = unit.kernel.node(id).op;
            if let Some(first) = self.nodes.get_mut(op.index())
                && first.is_none()
            {
                *first = id;
            }
        }
        let (m, target) = (self.m, self.target);
        let mut merged = std::mem::replace(&mut self.merged, Merged::new(&m));
        merged.merge(&m, &target, function, |op| self.has_sync(op));
        self.merged = merged;
        self.usage.add(&m, &target, &self.merged, function);
        self.code.leading_end = self.first_operation(function);
    }

    /// Offset in the source of the function's first operation that is no constant.
    fn first_operation(&self, function: OpId) -> u32 {
        let body = self.m.entry_block(function, 0);
        let ops = self.m.block_ops(body).iter();
        let first = ops.filter(|&&op| self.m.op_name(op) != "arith.constant");
        first.map(|&op| self.m.op(op).span.start).min().unwrap_or(u32::MAX)
    }

    /// The core that the whole function is for.
    fn core_guard(&self) -> Option<&'static str> {
        let mut op = self.function;
        while op.is_some() {
            match self.m.text_attr(op, "pto.kernel_kind") {
                Some("cube") => return Some("CUBE"),
                Some("vector") => return Some("VEC"),
                _ => op = self.m.parent(op),
            }
        }
        None
    }

    fn open_guard(&mut self, core: &str) {
        self.code.line(&format!("#if defined(__DAV_{core}__)"));
        if core == "VEC" {
            for call in ["set_mask_norm()", "set_vector_mask(-1, -1)"] {
                let pieces = self.code.write(|w| {
                    w.text(call);
                });
                self.code.statement(pieces);
            }
        }
    }

    fn close_guard(&mut self, core: &str) {
        self.code.line(&format!("#endif // __DAV_{core}__"));
    }

    /// A section for one core.
    pub(crate) fn section(&mut self, op: OpId, core: &str) -> Result<(), PassError> {
        self.open_guard(core);
        let block = self.m.entry_block(op, 0);
        if block.is_some() {
            self.block(block)?;
        }
        self.close_guard(core);
        Ok(())
    }

    /// Leaves the function.
    pub(crate) fn leave(&mut self, op: OpId) -> Result<(), PassError> {
        let value = match self.m.operands(op) {
            [] => None,
            [value] => Some(self.arith_operand(op, value.value)?),
            _ => return Err(self.error(op, "a function returns one value at most")),
        };
        if let Some(core) = self.guard {
            self.close_guard(core);
            self.code.line("");
        }
        self.tail(op)?;
        self.code.items.push(Item::Return(value));
        Ok(())
    }

    /// Lowers a block and returns its terminator if that is its user's to lower: a yield or a loop's condition.
    pub(crate) fn block(&mut self, block: BlockId) -> Result<Option<OpId>, PassError> {
        let mark = self.memo_log.len();
        self.last_barrier = None;
        let ops = self.m.block_ops(block);
        let mut end = None;
        for (i, &op) in ops.iter().enumerate() {
            if matches!(self.m.op_name(op), "scf.yield" | "scf.condition") {
                end = Some(op);
                break;
            }
            self.operation(op, ops.get(i + 1).copied())?;
        }
        for key in self.memo_log.drain(mark..) {
            self.memo.remove(&key);
        }
        self.last_barrier = None;
        Ok(end)
    }

    fn operation(&mut self, op: OpId, next: Option<OpId>) -> Result<(), PassError> {
        let name = self.m.op_name(op);
        if name == "arith.constant" {
            return self.constant(op);
        }
        if self.merged.is_dropped(op) {
            self.last_barrier = None;
            return Ok(());
        }
        let node = self.nodes[op.index()];
        self.before_sync(op)?;
        self.sync_before(node)?;
        let barrier = self.written_barrier(op);
        self.last_barrier = None;
        self.lower(op, name)?;
        self.last_barrier = barrier;
        self.sync_after(node, next.and_then(|next| self.written_barrier(next)))
    }

    fn lower(&mut self, op: OpId, name: &str) -> Result<(), PassError> {
        match name {
            _ if name.starts_with("arith.") || name == "affine.apply" => self.arith(op, name),
            "scf.for" => self.for_loop(op),
            "scf.if" => self.branch(op),
            "scf.while" => self.while_loop(op),
            "scf.index_switch" => self.index_switch(op),
            "scf.execute_region" => self.execute_region(op),
            "func.call" => self.call(op),
            "func.return" => self.leave(op),
            _ if self.is_tail_barrier(op) => self.written_tail(op),
            "pto.section.cube" => self.section(op, "CUBE"),
            "pto.section.vector" => self.section(op, "VEC"),
            "pto.addptr" => self.move_pointer(op),
            "pto.make_tensor_view" => self.make_view(op),
            "pto.partition_view" => self.partition(op),
            "pto.get_tensor_view_dim" => self.view_extent(op, false),
            "pto.get_tensor_view_stride" => self.view_extent(op, true),
            "pto.alloc_tile" => self.alloc_tile(op),
            // Its tiles are declared where they are taken.
            "pto.alloc_multi_tile" => Ok(()),
            "pto.multi_tile_get" => self.tile_slot(op),
            "pto.declare_tile" => self.declare_tile(op),
            "pto.declare_global" => self.declare_entry(op),
            "pto.subview" => self.subview(op),
            "pto.treshape" => self.reshape(op, true),
            "pto.bitcast" => self.reshape(op, false),
            "pto.tassign" => self.assign_tile(op),
            "pto.load_scalar" | "pto.store_scalar" => self.scalar_access(op),
            "pto.reserve_buffer" | "pto.import_reserved_buffer" => self.reserved_buffer(op),
            "pto.aic_initialize_pipe" | "pto.aiv_initialize_pipe" | "pto.initialize_l2g2l_pipe" => {
                self.initialize_pipe(op)
            }
            "pto.talloc_to_aic" | "pto.talloc_to_aiv" => self.take_slot(op, "TALLOC"),
            "pto.tpop" | "pto.tpop_from_aic" | "pto.tpop_from_aiv" => self.take_slot(op, "TPOP"),
            "pto.comm.tbroadcast" | "pto.comm.tgather" | "pto.comm.tscatter" | "pto.comm.treduce" => {
                self.collective(op)
            }
            "pto.comm.build_async_session" => self.async_session(op),
            "pto.declare_eventid_array" => self.event_array(op),
            "pto.eventid_array_get" => self.event_array_get(op),
            "pto.eventid_array_set" => self.event_array_set(op),
            "builtin.unrealized_conversion_cast" => self.arith(op, name),
            _ => self.table_operation(op),
        }
    }

    /// What an operation declares before the synchronization in front of it.
    fn before_sync(&mut self, op: OpId) -> Result<(), PassError> {
        match self.m.op_name(op) {
            "pto.talloc_to_aic" | "pto.talloc_to_aiv" | "pto.tpop_from_aic" | "pto.tpop_from_aiv" => {
                self.declare_popped(op)
            }
            _ => Ok(()),
        }
    }

    /// The first node of the kernel that stands for the operation, or none.
    pub(crate) fn kernel_node(&self, op: OpId) -> KernelNode {
        self.nodes[op.index()]
    }

    /// What the value became.
    pub(crate) fn value(&self, id: ValueId) -> &Value {
        &self.values[self.merged.value(id).index()]
    }

    pub(crate) fn set_value(&mut self, id: ValueId, value: Value) {
        self.values[id.index()] = value;
    }

    /// The C++ type of a value of the program.
    pub(crate) fn value_type(&mut self, op: OpId, value: ValueId) -> Result<Ctype, PassError> {
        let ty = self.m.value(value).ty;
        self.types.of_value(&self.m, &self.target, ty).ok_or_else(|| {
            let text = self.m.str(self.m.ty(ty).text);
            self.error(op, &format!("values of type `{text}` have no form in C++"))
        })
    }

    /// An error about an operation.
    pub(crate) fn error(&self, op: OpId, message: &str) -> PassError {
        let record = self.m.op(op);
        let span = if record.name_span.end > record.name_span.start { record.name_span } else { record.span };
        PassError::new(message).at_span(span)
    }

    /// The node of a value that is one C++ value.
    pub(crate) fn node(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        match self.value(value) {
            Value::Node(node) => Ok(*node),
            Value::Pipe(node, _) => Ok(*node),
            Value::Pointer(base, moves) => {
                let (base, moves) = (*base, moves.clone());
                Ok(self.moved_pointer(base, &moves))
            }
            Value::View(view) => {
                let (base, part) = (view.base, view.address);
                Ok(part.unwrap_or(base))
            }
            Value::Tile(_) => self.tile_pointer(op, value),
            Value::None => {
                let name = self.m.str(self.m.value(value).name);
                Err(self.error(op, &format!("`%{name}` has no value in C++")))
            }
        }
    }

    pub(crate) fn is_index(&self, value: ValueId) -> bool {
        self.m.type_of(value).kind == type_kind::INDEX
    }

    /// The value as arithmetic, calls and returns take it: in its ordinary type.
    pub(crate) fn arith_operand(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        let node = self.node(op, value)?;
        Ok(if self.code.node(node).class == Class::Raw {
            self.code.shared_cast(Ctype::I32, node)
        } else {
            node
        })
    }

    /// The value as instructions and memory accesses take it: an index that varies is converted here.
    pub(crate) fn op_operand(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        let node = self.node(op, value)?;
        let variable = self.code.node(node).class == Class::Variable;
        Ok(if variable && self.is_index(value) { self.code.cast(Ctype::SIZE, node) } else { node })
    }

    /// The value as a bound or step of a loop without results takes it.
    pub(crate) fn bound(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        let node = self.node(op, value)?;
        if !self.is_index(value) {
            return Ok(node);
        }
        Ok(match self.code.node(node).class {
            Class::Raw => node,
            Class::Variable => self.code.cast(Ctype::SIZE, node),
            Class::Plain | Class::Counter => self.code.shared_cast(Ctype::SIZE, node),
        })
    }

    /// The value as something with results takes it: bounds, initial values, yields.
    pub(crate) fn merged_operand(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        let node = self.node(op, value)?;
        if !self.is_index(value) {
            return Ok(node);
        }
        Ok(match self.code.node(node).class {
            Class::Raw => self.code.shared_cast(Ctype::I32, node),
            Class::Variable | Class::Counter => node,
            Class::Plain => {
                let raw = self.code.shared_cast(Ctype::SIZE, node);
                self.code.cast(Ctype::I32, raw)
            }
        })
    }

    /// `a OP b` in the unsigned type of the same width and back, so that it wraps; folded where operands are known.
    /// Equal results in the same or an enclosing block are one.
    pub(crate) fn wrapping(&mut self, op: Op, a: NodeId, b: NodeId, ty: Ctype) -> NodeId {
        let commutes = matches!(op, Op::Add | Op::Mul);
        let (a, b) = if commutes && self.code.constant(a).is_some() { (b, a) } else { (a, b) };
        match (op, self.code.constant(a), self.code.constant(b)) {
            (Op::Add, Some(x), Some(y)) => return self.code.integer(ty, x.wrapping_add(y)),
            (Op::Sub, Some(x), Some(y)) => return self.code.integer(ty, x.wrapping_sub(y)),
            (Op::Mul, Some(x), Some(y)) => return self.code.integer(ty, x.wrapping_mul(y)),
            (Op::Add | Op::Sub, _, Some(0)) | (Op::Mul, _, Some(1)) => return a,
            (Op::Mul, _, Some(0)) => return self.code.integer(ty, 0),
            _ => {}
        }
        let key = (Some(op), a, b, ty);
        if let Some(&found) = self.memo.get(&key) {
            return found;
        }
        let unsigned = Ctype::unsigned(ty.bits()).unwrap_or(ty);
        let (x, y) = (self.code.cast(unsigned, a), self.code.cast(unsigned, b));
        let wrapped = self.code.binary(op, x, y, unsigned);
        let result = self.code.cast(ty, wrapped);
        self.memo.insert(key, result);
        self.memo_log.push(key);
        result
    }

    /// The node in another type. Equal conversions in the same or an enclosing block are one.
    pub(crate) fn convert(&mut self, node: NodeId, ty: Ctype) -> NodeId {
        if self.code.ty(node) == ty {
            return node;
        }
        let key = (None, node, node, ty);
        if let Some(&found) = self.memo.get(&key) {
            return found;
        }
        let cast = self.code.cast(ty, node);
        self.memo.insert(key, cast);
        self.memo_log.push(key);
        cast
    }
}
