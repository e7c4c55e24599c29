//! Pipes between the cube core and the vector cores: which flags, slots and buffers each one has, and what its
//! operations print.
//!
//! The two ends of a pipe stand in different functions and must agree, so the whole module is looked at first. Ends
//! belong together if they name the same reserved buffer in the same direction, or, for slots in a tensor, if they
//! have the same id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pipewright_abi::ir::{DYNAMIC, Module, attr_kind};
use pipewright_abi::target::Target;
use pipewright_abi::{BlockId, OpId, PassError, ValueId};

use crate::code::{Class, Expr, NodeId, Op};
use crate::function::{Lower, Value};
use crate::layout::{Layout, row_major};
use crate::types::Ctype;
use crate::views::{Kind, View};

/// One end of a pipe, as its C++ type says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    flag: i64,
    directions: i64,
    slot_size: i64,
    slots: i64,
    local_slots: i64,
    no_split: bool,
}

/// All pipes of a module.
#[derive(Debug, Default)]
pub(crate) struct Fifo {
    ends: HashMap<OpId, End>,
    /// Addresses of reserved buffers, by the operation that reserves or imports them.
    bases: HashMap<OpId, i64>,
}

/// Flags of a core pair that pipes may use.
const FLAGS: i64 = 16;

/// A buffer: the function that reserves it and its name; or the id of a pipe whose slots are in a tensor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Buffer(String, String),
    Slots(i64),
}

/// An initialization with what is known of it.
struct Init {
    op: OpId,
    function: usize,
    directions: i64,
    keys: Vec<(i64, Key)>,
    flag: Option<i64>,
    no_split: Option<bool>,
    splits: BTreeSet<i64>,
    component: usize,
}

/// Finds the pipes of a module.
pub(crate) fn analyze(module: &Module<'_>, target: &Target<'_>) -> Result<Fifo, PassError> {
    let mut survey = Survey {
        module,
        target,
        fifo: Fifo::default(),
        buffers: BTreeMap::new(),
        inits: Vec::new(),
        by_op: HashMap::new(),
    };
    let functions: Vec<OpId> = module.functions().collect();
    for &function in &functions {
        survey.walk(function, &mut |survey, op| survey.reserved(op));
    }
    for (index, &function) in functions.iter().enumerate() {
        survey.walk(function, &mut |survey, op| survey.init(index, op));
    }
    for &function in &functions {
        survey.walk(function, &mut |survey, op| survey.use_of(function, op));
    }
    survey.finish()
}

struct Survey<'s, 'a> {
    module: &'s Module<'a>,
    target: &'s Target<'a>,
    fifo: Fifo,
    /// Addresses of reserved buffers.
    buffers: BTreeMap<Key, i64>,
    inits: Vec<Init>,
    by_op: HashMap<OpId, usize>,
}

impl Survey<'_, '_> {
    fn walk(&mut self, function: OpId, visit: &mut impl FnMut(&mut Self, OpId)) {
        let mut open: Vec<BlockId> = vec![self.module.entry_block(function, 0)];
        while let Some(block) = open.pop() {
            if block.is_none() {
                continue;
            }
            let mut inner = Vec::new();
            for &op in self.module.block_ops(block) {
                visit(self, op);
                for body in self.module.bodies(op) {
                    inner.extend(self.module.blocks(body));
                }
            }
            open.extend(inner.into_iter().rev());
        }
    }

    fn error(&self, op: OpId, message: impl Into<String>) -> PassError {
        PassError::new(message).at_span(self.module.op(op).name_span)
    }

    fn reserved(&mut self, op: OpId) {
        if self.module.op_name(op) == "pto.reserve_buffer"
            && let Some(base) = self.module.int_attr(op, "base")
        {
            self.fifo.bases.insert(op, base);
            if let Some(key) = self.buffer(self.module.result(op, 0)) {
                self.buffers.insert(key, base);
            }
        }
    }

    /// The reserved buffer that a value is the address of.
    fn buffer(&self, value: ValueId) -> Option<Key> {
        let op = value.get().map(|v| self.module.value(v).op)?;
        if op.is_none() {
            return None;
        }
        let name = self.module.text_attr(op, "name")?.to_owned();
        match self.module.op_name(op) {
            "pto.reserve_buffer" => {
                let function = function_of(self.module, op).get()?;
                Some(Key::Buffer(self.module.symbol(function).to_owned(), name))
            }
            "pto.import_reserved_buffer" => {
                let peer = self.module.text_attr(op, "peer_func")?.to_owned();
                Some(Key::Buffer(peer, name))
            }
            _ => None,
        }
    }

    fn init(&mut self, index: usize, op: OpId) {
        let name = self.module.op_name(op);
        if name == "pto.import_reserved_buffer" {
            if let Some(base) = self.imported_base(op) {
                self.fifo.bases.insert(op, base);
            }
            return;
        }
        if !is_init(name) {
            return;
        }
        let directions = self.module.int_attr(op, "dir_mask").unwrap_or(0);
        let mut keys = Vec::new();
        if named(self.module, self.target, op, "gm_slot_tensor").is_some() {
            keys.push((directions, Key::Slots(self.module.int_attr(op, "id").unwrap_or(0))));
        } else {
            for (direction, value) in consumer_buffers(self.module, self.target, op, directions) {
                if let Some(key) = value.and_then(|v| self.buffer(v)) {
                    keys.push((direction, key));
                }
            }
        }
        let no_split = self.module.attr(op, "nosplit").map(|a| a.kind == attr_kind::UNIT || a.bits != 0);
        self.by_op.insert(op, self.inits.len());
        self.inits.push(Init {
            op,
            function: index,
            directions,
            keys,
            flag: self.module.int_attr(op, "flag_base"),
            no_split,
            splits: BTreeSet::new(),
            component: self.inits.len(),
        });
    }

    fn imported_base(&self, import: OpId) -> Option<i64> {
        let name = self.module.text_attr(import, "name")?;
        let peer = self.module.text_attr(import, "peer_func")?;
        self.buffers.get(&Key::Buffer(peer.into(), name.into())).copied()
    }

    /// Notes how an operation on a pipe splits its tiles.
    fn use_of(&mut self, function: OpId, op: OpId) {
        let name = self.module.op_name(op);
        let (uses, by_id) = match name {
            "pto.talloc" | "pto.tpush" | "pto.tpop" | "pto.tfree" => (true, false),
            "pto.talloc_to_aic" | "pto.talloc_to_aiv" | "pto.tpush_to_aic" | "pto.tpush_to_aiv"
            | "pto.tpop_from_aic" | "pto.tpop_from_aiv" | "pto.tfree_from_aic" | "pto.tfree_from_aiv" => {
                (true, true)
            }
            _ => (false, false),
        };
        if !uses {
            return;
        }
        let init = if by_id {
            let id = self.module.int_attr(op, "id").unwrap_or(0);
            self.inits.iter().position(|init| {
                let same = self.module.int_attr(init.op, "id").unwrap_or(0) == id;
                same && function_of(self.module, init.op) == function
            })
        } else {
            named(self.module, self.target, op, "pipe_handle")
                .map(|value| self.module.value(value).op)
                .and_then(|init| self.by_op.get(&init).copied())
        };
        if let (Some(init), Some(split)) = (init, split_of(self.module, self.target, op)) {
            self.inits[init].splits.insert(split);
        }
    }

    fn finish(mut self) -> Result<Fifo, PassError> {
        self.join_peers();
        let mut components: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, init) in self.inits.iter().enumerate() {
            components.entry(init.component).or_default().push(i);
        }
        // Flags that are given are taken before others are chosen.
        let mut taken: BTreeMap<usize, Vec<(i64, i64)>> = BTreeMap::new();
        let width = |members: &[usize], inits: &[Init]| -> i64 {
            if members.iter().any(|&i| inits[i].directions == 3) { 4 } else { 2 }
        };
        let mut chosen: BTreeMap<usize, i64> = BTreeMap::new();
        for (&component, members) in &components {
            if let Some(flag) = members.iter().find_map(|&i| self.inits[i].flag) {
                chosen.insert(component, flag);
                for &i in members {
                    let range = (flag, flag + width(members, &self.inits));
                    taken.entry(self.inits[i].function).or_default().push(range);
                }
            }
        }
        for (&component, members) in &components {
            let width = width(members, &self.inits);
            let flag = match chosen.get(&component) {
                Some(&flag) => flag,
                None => {
                    let is_free = |flag: i64| {
                        members.iter().all(|&i| {
                            let ranges = taken.get(&self.inits[i].function).map_or(&[][..], Vec::as_slice);
                            ranges.iter().all(|&(start, end)| flag + width <= start || end <= flag)
                        })
                    };
                    let flag = (0..FLAGS).step_by(2).find(|&flag| is_free(flag)).unwrap_or(FLAGS);
                    for &i in members {
                        taken.entry(self.inits[i].function).or_default().push((flag, flag + width));
                    }
                    flag
                }
            };
            if flag < 0 || flag + width > FLAGS {
                let op = self.inits[members[0]].op;
                let message =
                    format!("no flags are left for this pipe: there are {FLAGS} for a pair of cores");
                return Err(self.error(op, message));
            }
            let splits: BTreeSet<i64> =
                members.iter().flat_map(|&i| self.inits[i].splits.iter().copied()).collect();
            let explicit = members.iter().any(|&i| self.inits[i].no_split.is_some());
            if !explicit && splits.contains(&0) && splits.len() > 1 {
                let op = self.inits[members[0]].op;
                return Err(self
                    .error(op, "operations on this pipe disagree: some split their tiles, some do not")
                    .with_help("use split 0 for all of them, or for none"));
            }
            for &i in members {
                let init = &self.inits[i];
                let no_split = init.no_split.unwrap_or(splits.len() == 1 && splits.contains(&0));
                let end = self.end(init, flag, no_split)?;
                self.fifo.ends.insert(init.op, end);
            }
        }
        Ok(self.fifo)
    }

    fn end(&self, init: &Init, flag: i64, no_split: bool) -> Result<End, PassError> {
        let number = |name: &str| self.module.int_attr(init.op, name);
        if !(1..=3).contains(&init.directions) {
            return Err(
                self.error(init.op, "`dir_mask` must be 1 (cube to vector), 2 (vector to cube) or 3 (both)")
            );
        }
        let Some(slot_size) = number("slot_size") else {
            return Err(self.error(init.op, "a pipe needs a `slot_size`"));
        };
        let default = if init.directions == 3 { 4 } else { 8 };
        let slots = number("slot_num").unwrap_or(default);
        let in_tensor = named(self.module, self.target, init.op, "gm_slot_tensor").is_some();
        let local_slots = number("local_slot_num").filter(|_| !in_tensor).unwrap_or(slots);
        Ok(End { flag, directions: init.directions, slot_size, slots, local_slots, no_split })
    }

    /// Gives ends that share a buffer in a direction the number of the first of them.
    fn join_peers(&mut self) {
        let mut first: BTreeMap<(i64, Key), usize> = BTreeMap::new();
        let mut parent: Vec<usize> = (0..self.inits.len()).collect();
        fn root(parent: &[usize], mut i: usize) -> usize {
            while parent[i] != i {
                i = parent[i];
            }
            i
        }
        for (i, init) in self.inits.iter().enumerate() {
            for key in &init.keys {
                let other = *first.entry(key.clone()).or_insert(i);
                let (a, b) = (root(&parent, other), root(&parent, i));
                parent[a.max(b)] = a.min(b);
            }
        }
        for i in 0..self.inits.len() {
            self.inits[i].component = root(&parent, i);
        }
    }
}

fn is_init(name: &str) -> bool {
    matches!(name, "pto.aic_initialize_pipe" | "pto.aiv_initialize_pipe" | "pto.initialize_l2g2l_pipe")
}

fn function_of(module: &Module<'_>, mut op: OpId) -> OpId {
    while op.is_some() && module.op_name(op) != "func.func" {
        op = module.parent(op);
    }
    op
}

/// The operand of that name in the operation's table entry.
fn named(module: &Module<'_>, target: &Target<'_>, op: OpId, name: &str) -> Option<ValueId> {
    let entry = target.t.entries.get(module.op(op).entry.index())?;
    let specs = entry.operands.of(target.t.operands);
    let slot = specs.iter().position(|s| target.str(s.name) == name)? as u32;
    module.operands(op).iter().find(|o| o.slot == slot).map(|o| o.value)
}

/// The directions of a pipe with the operand that gives the consumer's buffer.
fn consumer_buffers(
    module: &Module<'_>,
    target: &Target<'_>,
    op: OpId,
    directions: i64,
) -> Vec<(i64, Option<ValueId>)> {
    let get = |name| named(module, target, op, name);
    let by_handle = module.op_name(op) == "pto.initialize_l2g2l_pipe";
    match (by_handle, directions) {
        (true, 3) => vec![(1, get("local_addr")), (2, get("peer_local_addr"))],
        (true, one) => vec![(one, get("local_addr"))],
        (false, 3) => vec![(1, get("c2v_consumer_buf")), (2, get("v2c_consumer_buf"))],
        (false, 1) => vec![(1, get("c2v_consumer_buf"))],
        (false, _) => vec![(2, get("v2c_consumer_buf"))],
    }
}

/// The number of the split that an operation asks for.
fn split_of(module: &Module<'_>, target: &Target<'_>, op: OpId) -> Option<i64> {
    if let Some(number) = module.int_attr(op, "split") {
        return Some(number);
    }
    let text = module.text_attr(op, "split")?;
    let values = target.find_enum("tile_split")?.values.of(target.t.enum_values);
    values.iter().find(|v| target.str(v.text) == text).map(|v| v.value)
}

impl Lower<'_> {
    /// The address of a reserved buffer is a number.
    pub(crate) fn reserved_buffer(&mut self, op: OpId) -> Result<(), PassError> {
        let Some(&base) = self.fifo.bases.get(&op) else {
            return Err(self.error(op, "the address of this buffer is not known").with_help(
                "give the `base` where the buffer is reserved, or run a stage that plans memory",
            ));
        };
        let node = self.code.integer(Ctype::I32, base);
        self.set_value(self.m.result(op, 0), Value::Node(node));
        Ok(())
    }

    /// `auto p = TPipe<..>(slots, buffer of the vector cores, buffer of the cube core);`
    pub(crate) fn initialize_pipe(&mut self, op: OpId) -> Result<(), PassError> {
        let Some(&end) = self.fifo.ends.get(&op) else {
            return Err(self.error(op, "this pipe has no flags"));
        };
        if self.code.labels > 0 {
            return Err(self
                .error(op, "a pipe must be initialized before any `while` or `index_switch` of its function")
                .with_help("move the initialization to the start of the function"));
        }
        let (m, target) = (self.m, self.target);
        let slot_tensor = named(&m, &target, op, "gm_slot_tensor");
        let memory = slot_tensor
            .or_else(|| named(&m, &target, op, "gm_slot_buffer"))
            .or_else(|| named(&m, &target, op, "gm_addr"));
        let Some(memory) = memory else {
            return Err(self
                .error(op, "a pipe needs a buffer for its slots in global memory on this target")
                .with_help("give `gm_slot_buffer` or `gm_slot_tensor`"));
        };
        let memory = self.node(op, memory)?;
        let mut buffers = [self.code.integer(Ctype::I32, 0); 2];
        if slot_tensor.is_none() {
            for (direction, value) in consumer_buffers(&m, &target, op, end.directions) {
                if let Some(value) = value {
                    buffers[direction as usize - 1] = self.arith_operand(op, value)?;
                }
            }
        }
        let direction = ["DIR_C2V", "DIR_V2C", "DIR_BOTH"][end.directions as usize - 1];
        let ty = self.types.intern(&format!(
            "TPipe<{}, Direction::{direction}, {}, {}, {}, {}>",
            end.flag, end.slot_size, end.slots, end.local_slots, end.no_split
        ));
        let pieces = self.code.write(|w| {
            w.ty(ty).text("(").list(&[memory, buffers[0], buffers[1]]).text(")");
        });
        let node = self.code.define_effect(Expr::Text(pieces), Ctype::AUTO);
        if m.results(op).len() > 0 {
            self.set_value(m.result(op, 0), Value::Pipe(node, ty));
        } else {
            let slots = match slot_tensor {
                Some(value) => Some(self.view(op, value)?),
                None => None,
            };
            self.pipes.insert(m.int_attr(op, "id").unwrap_or(0), (node, ty, slots));
        }
        Ok(())
    }

    /// The pipe that an operation works on, and its type.
    pub(crate) fn pipe_of(&mut self, op: OpId) -> Result<(NodeId, Ctype), PassError> {
        if let Some(handle) = self.operand_named(op, "pipe_handle") {
            return match self.value(handle) {
                Value::Pipe(node, ty) => Ok((*node, *ty)),
                _ => Err(self.error(op, "a pipe that this function initialized is needed here")),
            };
        }
        let id = self.m.int_attr(op, "id").unwrap_or(0);
        match self.pipes.get(&id) {
            Some(&(node, ty, _)) => Ok((node, ty)),
            None => Err(self
                .error(op, &format!("no pipe with id {id} was initialized before"))
                .with_help("initialize it with `pto.aic_initialize_pipe` or `pto.aiv_initialize_pipe`")),
        }
    }

    /// Declares what an operation on a pipe gives: a tile, or a slot as a view.
    pub(crate) fn declare_popped(&mut self, op: OpId) -> Result<(), PassError> {
        let result = self.m.result(op, 0);
        if self.m.tile(self.m.type_of(result)).is_some() {
            let given = [self.operand_named(op, "valid_row"), self.operand_named(op, "valid_col")];
            let object = self.unplaced_tile(op, result, given)?;
            let tile = crate::tiles::Tile::of_object(self.m.value(result).ty, object);
            self.set_value(result, Value::Tile(Box::new(tile)));
            return Ok(());
        }
        let id = self.m.int_attr(op, "id").unwrap_or(0);
        let slots = self.pipes.get(&id).and_then(|(_, _, slots)| slots.clone());
        self.entry_view(op, result, slots)
    }

    /// A declared view that an operation on a pipe binds.
    pub(crate) fn declare_entry(&mut self, op: OpId) -> Result<(), PassError> {
        self.entry_view(op, self.m.result(op, 0), None)
    }

    fn entry_view(&mut self, op: OpId, result: ValueId, slots: Option<View>) -> Result<(), PassError> {
        let record = self.m.type_of(result);
        let dims = self.m.dims(record).to_vec();
        if dims.is_empty() || dims.len() > crate::layout::RANK || dims.contains(&DYNAMIC) {
            return Err(self.error(op, "a slot as a view needs one to five static extents"));
        }
        let given = slots.and_then(|view| {
            let strides: Option<Vec<i64>> = view.strides.iter().map(|&s| self.code.constant(s)).collect();
            strides.filter(|s| s.len() == dims.len())
        });
        let strides = given.unwrap_or_else(|| row_major(&dims));
        let number = |lower: &mut Self, n: i64| lower.code.integer(Ctype::I32, n);
        let sizes: Vec<NodeId> = dims.iter().map(|&n| number(self, n)).collect();
        let stride_nodes: Vec<NodeId> = strides.iter().map(|&n| number(self, n)).collect();
        let Some(element) = self.types.element(&self.m, record.element) else {
            return Err(self.error(op, "elements of this type have no form in C++"));
        };
        let (size, stride) = crate::layout::pad(&dims, &strides);
        let list = |numbers: [i64; 5]| numbers.map(|n| n.to_string()).join(", ");
        let text = format!(
            "GlobalTensor<{}, pto::Shape<{}>, pto::Stride<{}>, pto::Layout::ND>",
            self.types.text(element),
            list(size),
            list(stride)
        );
        let ty = self.types.intern(&text);
        let object = self.code.declare(ty, Class::Plain);
        let view = View {
            kind: Kind::Entry,
            base: object,
            address: None,
            element: record.element,
            sizes,
            strides: stride_nodes,
            layout: Layout::Nd,
            object: Some(object),
        };
        self.set_value(result, Value::View(Box::new(view)));
        Ok(())
    }

    /// `TPOP` or `TALLOC` of what was declared.
    pub(crate) fn take_slot(&mut self, op: OpId, callee: &str) -> Result<(), PassError> {
        let (pipe, pipe_type) = self.pipe_of(op)?;
        let value = self.operand_named(op, "tile").unwrap_or_else(|| self.m.result(op, 0));
        let object = self.operand_node(op, value)?;
        let split = split_of(&self.m, &self.target, op);
        let axis = match split {
            Some(0) => "TILE_NO_SPLIT",
            Some(1) => "TILE_UP_DOWN",
            Some(2) => "TILE_LEFT_RIGHT",
            _ => return Err(self.error(op, "`split` must be 0 (none), 1 (by rows) or 2 (by columns)")),
        };
        let ty = self.code.ty(object);
        let pieces = self.code.write(|w| {
            w.text(callee).text("<").ty(pipe_type).text(", ").ty(ty).text(", TileSplitAxis::").text(axis);
            w.text(">(").list(&[pipe, object]).text(")");
        });
        self.code.statement(pieces);
        Ok(())
    }

    /// A part of a slot: a pointer into it, moved by the offsets.
    pub(crate) fn entry_part(
        &mut self,
        op: OpId,
        source: View,
        offsets: &[NodeId],
        sizes: Vec<NodeId>,
    ) -> Result<(), PassError> {
        if sizes.iter().any(|&size| self.code.constant(size).is_none()) {
            return Err(self.error(op, "a part of a slot needs constant sizes"));
        }
        let Some(element) = self.types.element(&self.m, source.element) else {
            return Err(self.error(op, "elements of this type have no form in C++"));
        };
        self.helpers.entry_data = true;
        let text = format!("__gm__ {}*", self.types.text(element));
        let pointer_type = self.types.intern(&text);
        let start = self.call_text("PTOAS__GLOBAL_TENSOR_DATA(", &[source.base], pointer_type);
        let (tensor, address) = self.tensor(op, &source, &sizes, |lower| {
            let mut constant = 0i64;
            let mut terms = Vec::new();
            for (&offset, &stride) in offsets.iter().zip(&source.strides) {
                let stride = lower.code.constant(stride).unwrap_or(0);
                match lower.code.constant(offset) {
                    Some(number) => constant = constant.wrapping_add(number.wrapping_mul(stride)),
                    None => terms.push((offset, stride)),
                }
            }
            if constant == 0 && terms.is_empty() {
                return start;
            }
            let mut sum = lower.code.unsigned(constant);
            for (offset, stride) in terms {
                let mut term = lower.code.cast(Ctype::UNSIGNED, offset);
                if stride != 1 {
                    let stride = lower.code.unsigned(stride);
                    term = lower.code.binary(Op::Mul, term, stride, Ctype::UNSIGNED);
                }
                sum = lower.code.binary(Op::Add, sum, term, Ctype::UNSIGNED);
            }
            lower.code.binary(Op::Add, start, sum, pointer_type)
        })?;
        let view = View {
            kind: Kind::Part,
            base: start,
            address: Some(address),
            sizes,
            object: Some(tensor),
            ..source
        };
        self.set_value(self.m.result(op, 0), Value::View(Box::new(view)));
        Ok(())
    }
}
