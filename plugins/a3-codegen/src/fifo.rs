//! Pipes between the cube core and the vector cores: which flags, slots and buffers each one has.
//!
//! The two ends of a pipe stand in different functions and must agree, so the whole module is looked at first. Ends
//! belong together if they name the same reserved buffer in the same direction, or, for slots in a tensor, if they
//! have the same id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pipewright_abi::ir::{Module, attr_kind};
use pipewright_abi::target::Target;
use pipewright_abi::{BlockId, OpId, PassError, ValueId};

/// One end of a pipe, as its C++ type says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// First of its flags.
    pub(crate) flag: i64,
    /// 1 from the cube core, 2 to it, 3 both ways.
    pub(crate) directions: i64,
    /// Bytes of a slot.
    pub(crate) slot_size: i64,
    /// Slots in global memory.
    pub(crate) slots: i64,
    /// Slots in the consumer's memory.
    pub(crate) local_slots: i64,
    pub(crate) no_split: bool,
}

/// All pipes of a module.
#[derive(Debug, Default)]
pub(crate) struct Fifo {
    /// By the operation that initializes the end.
    pub(crate) ends: HashMap<OpId, End>,
    /// Addresses of reserved buffers, by the operation that reserves or imports them.
    pub(crate) bases: HashMap<OpId, i64>,
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
pub(crate) fn named(module: &Module<'_>, target: &Target<'_>, op: OpId, name: &str) -> Option<ValueId> {
    let entry = target.t.entries.get(module.op(op).entry.index())?;
    let specs = entry.operands.of(target.t.operands);
    let slot = specs.iter().position(|s| target.str(s.name) == name)? as u32;
    module.operands(op).iter().find(|o| o.slot == slot).map(|o| o.value)
}

/// The directions of a pipe with the operand that gives the consumer's buffer.
pub(crate) fn consumer_buffers(
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
pub(crate) fn split_of(module: &Module<'_>, target: &Target<'_>, op: OpId) -> Option<i64> {
    if let Some(number) = module.int_attr(op, "split") {
        return Some(number);
    }
    let text = module.text_attr(op, "split")?;
    let values = target.find_enum("tile_split")?.values.of(target.t.enum_values);
    values.iter().find(|v| target.str(v.text) == text).map(|v| v.value)
}
