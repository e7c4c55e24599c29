//! Carried tiles: values that stand for one buffer or another, depending on the path. Pointers and views are carried like
//! tiles: the buffer of one is the parameter that it points into.
//!
//! A loop hands tiles on to its next trip, a branch yields one tile or another, a select picks one. Which buffer a value stands for then is
//! as exact as the path is: [`Source`] says where a value's buffer comes from at each of the places where it changes.
//! What must hold: an access that is bound to a buffer of a carried tile is one that this operand alone explains; all
//! others are left as if they happened on every path.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pipewright_abi::ir::Module;
use pipewright_abi::target::{Entry, Target, operand_flag};
use pipewright_abi::{BlockId, OpId, ValueId};

use super::program::{Binding, Buffer, Choice, Source};

/// Values that take over what other values stand for, all at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Handover(Vec<(ValueId, ValueId)>);

impl Handover {
    /// Whether nothing is taken over.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values `to` take over from the values `from`, as far as both are memory.
    pub(super) fn new(
        module: &Module<'_>,
        to: impl IntoIterator<Item = ValueId>,
        from: impl IntoIterator<Item = ValueId>,
    ) -> Self {
        let is_memory = |&(to, from): &(ValueId, ValueId)| {
            [to, from].iter().all(|&v| v.is_some() && module.type_of(v).is_memory())
        };
        Self(to.into_iter().zip(from).filter(is_memory).collect())
    }
}

/// What the last operation of a block hands on.
pub(super) fn yielded(module: &Module<'_>, block: BlockId) -> Vec<ValueId> {
    let last = block.get().and_then(|block| module.block_ops(block).last().copied());
    let last = last.filter(|&op| matches!(module.op_name(op), "scf.yield" | "scf.condition"));
    last.map_or_else(Vec::new, |op| module.operands(op).iter().map(|o| o.value).collect())
}

/// The carried tiles of a function.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// What each value that takes over can stand for.
    alternatives: BTreeMap<ValueId, BTreeSet<ValueId>>,
    /// Numbers of those with several alternatives.
    tiles: HashMap<ValueId, usize>,
    /// Numbers of all alternatives.
    buffers: HashMap<ValueId, Buffer>,
    /// The roots of all memory that is accessed. What a value of another origin stands for cannot be told from its name.
    roots: HashSet<ValueId>,
}

impl Carried {
    pub(super) fn new(
        module: &Module<'_>,
        target: &Target<'_>,
        roots: HashSet<ValueId>,
        handovers: &[Handover],
    ) -> Self {
        let mut carried = Self { roots, ..Self::default() };
        let pairs: Vec<_> = handovers.iter().flat_map(|h| h.0.iter().copied()).collect();
        for &(to, _) in &pairs {
            carried.alternatives.entry(to).or_default();
        }
        loop {
            let mut grows = false;
            for &(to, from) in &pairs {
                let more = carried.stands_for(module, target, from);
                let known = carried.alternatives.entry(to).or_default();
                more.into_iter().for_each(|root| grows |= known.insert(root));
            }
            if !grows {
                break;
            }
        }
        for (&value, alternatives) in &carried.alternatives {
            if alternatives.len() > 1 {
                let next = carried.tiles.len();
                carried.tiles.insert(value, next);
            }
            for &root in alternatives {
                let next = carried.buffers.len() as Buffer;
                carried.buffers.entry(root).or_insert(next);
            }
        }
        carried
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.tiles.is_empty()
    }

    /// What changes at a handover.
    pub(super) fn bindings(
        &self,
        module: &Module<'_>,
        target: &Target<'_>,
        handover: &Handover,
    ) -> Vec<Binding> {
        let binding = |&(to, from): &(ValueId, ValueId)| {
            let &tile = self.tiles.get(&to)?;
            let base = base(module, target, from);
            let source = match self.tiles.get(&base) {
                Some(&tile) => Source::Tile(tile),
                None => Source::Buffer(*self.buffers.get(self.stands_for(module, target, from).first()?)?),
            };
            Some(Binding { tile, source })
        };
        handover.0.iter().filter_map(binding).collect()
    }

    /// Under which choices an operation reads (or writes) the buffer `root`: none if it does so on every path. Without
    /// `write` any of its operands may be what it reads or writes, whatever the table says of them.
    pub(super) fn choices(
        &self,
        module: &Module<'_>,
        target: &Target<'_>,
        op: OpId,
        root: ValueId,
        write: Option<bool>,
    ) -> Vec<Choice> {
        let touches = |flags: u32| match write {
            Some(true) => flags & operand_flag::WRITE != 0,
            Some(false) => flags & operand_flag::READ != 0,
            None => true,
        };
        let Some(entry) = module.op(op).entry.get().map(|e| target.t.entries[e.index()]) else {
            return Vec::new();
        };
        let mut choices = Vec::new();
        for (value, flags) in operands(module, target, op, &entry) {
            if !touches(flags) || !module.type_of(value).is_memory() {
                continue;
            }
            let stands_for = self.stands_for(module, target, value);
            if stands_for.iter().any(|buffer| !self.roots.contains(buffer)) {
                return Vec::new();
            }
            if !stands_for.contains(&root) {
                continue;
            }
            match (self.tiles.get(&base(module, target, value)), self.buffers.get(&root)) {
                (Some(&tile), Some(&buffer)) => choices.push(Choice { tile, buffer }),
                _ => return Vec::new(),
            }
        }
        choices
    }

    /// The buffers that a value can stand for.
    fn stands_for(&self, module: &Module<'_>, target: &Target<'_>, value: ValueId) -> BTreeSet<ValueId> {
        let base = base(module, target, value);
        let own = || BTreeSet::from([root(module, target, base)]);
        self.alternatives.get(&base).cloned().unwrap_or_else(own)
    }
}

/// The operands and results of an operation with the flags of their table entries.
fn operands(module: &Module<'_>, target: &Target<'_>, op: OpId, entry: &Entry) -> Vec<(ValueId, u32)> {
    let specs = entry.operands.of(target.t.operands);
    let named = module.operands(op).iter();
    let named = named.filter_map(|o| Some((o.value, specs.get(o.slot as usize)?.flags)));
    let results = entry.results.of(target.t.operands).iter().zip(module.results(op));
    named.chain(results.map(|(spec, value)| (value, spec.flags))).collect()
}

/// The value whose memory the value is, or is in.
fn base(module: &Module<'_>, target: &Target<'_>, value: ValueId) -> ValueId {
    let mut at = value;
    while let Some(op) = module.value(at).op.get() {
        let entry = module.op(op).entry.get().map(|e| target.t.entries[e.index()]);
        let slot = match entry {
            _ if module.op_name(op) == "pto.subview" => 0,
            Some(entry) if entry.alias != u32::MAX => entry.alias,
            _ => break,
        };
        match module.operands(op).iter().find(|o| o.slot == slot) {
            Some(source) => at = source.value,
            None => break,
        }
    }
    at
}

/// What identifies the buffer of a value that is no carried tile: where it was allocated with an address, that.
fn root(module: &Module<'_>, target: &Target<'_>, base: ValueId) -> ValueId {
    let is_allocation = |&op: &OpId| matches!(module.op_name(op), "pto.alloc_tile" | "pto.alloc_multi_tile");
    let allocation = module.value(base).op.get().filter(is_allocation);
    let address = allocation.and_then(|op| {
        let entry = target.t.entries[module.op(op).entry.get()?.index()];
        let slot = entry.operands.of(target.t.operands).iter().position(|o| target.str(o.name) == "addr")?;
        module.operands(op).iter().find(|o| o.slot as usize == slot).map(|o| o.value)
    });
    address.unwrap_or(base)
}
