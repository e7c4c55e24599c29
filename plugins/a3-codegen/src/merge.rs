//! Merging of equal operations: common subexpression elimination over the operations of one function.
//!
//! A pure operation is replaced by an equal one that stands earlier in the same block or in a block around it. A read
//! is replaced only within its block and with no effect in between. What must hold: this happens after
//! synchronization was placed, so a merged operation never moves it.

use std::collections::HashMap;

use pipewright_abi::ir::Module;
use pipewright_abi::target::{Target, entry_flag};
use pipewright_abi::{BlockId, OpId, Range, ValueId};

/// What merging decided, for the whole module.
#[derive(Debug)]
pub(crate) struct Merged {
    /// For each value the one that stands for it, mostly itself.
    values: Vec<ValueId>,
    /// For each operation whether it gave way to an equal one.
    dropped: Vec<bool>,
}

impl Merged {
    pub(crate) fn new(module: &Module<'_>) -> Self {
        Self {
            values: (0..module.t.values.len()).map(ValueId::from_index).collect(),
            dropped: vec![false; module.t.ops.len()],
        }
    }

    pub(crate) fn value(&self, id: ValueId) -> ValueId {
        self.values.get(id.index()).copied().unwrap_or(id)
    }

    pub(crate) fn is_dropped(&self, op: OpId) -> bool {
        self.dropped[op.index()]
    }

    /// Merges the operations of a function. `has_sync` says whether synchronization stands next to an operation.
    pub(crate) fn merge(
        &mut self,
        module: &Module<'_>,
        target: &Target<'_>,
        function: OpId,
        has_sync: impl Fn(OpId) -> bool,
    ) {
        let mut walk = Walk {
            module,
            target,
            has_sync: &has_sync,
            merged: self,
            seen: HashMap::new(),
            log: Vec::new(),
            effects: 0,
        };
        let body = module.entry_block(function, 0);
        if body.is_some() {
            walk.block(body);
        }
    }
}

struct Walk<'a, 'm> {
    module: &'a Module<'m>,
    target: &'a Target<'m>,
    has_sync: &'a dyn Fn(OpId) -> bool,
    merged: &'a mut Merged,
    seen: HashMap<Box<[u32]>, OpId>,
    /// Keys in the order in which they were added, to forget them at the end of their block.
    log: Vec<Box<[u32]>>,
    /// Number of effects so far.
    effects: u32,
}

impl Walk<'_, '_> {
    fn block(&mut self, block: BlockId) {
        let mark = self.log.len();
        for &op in self.module.block_ops(block) {
            let sync = u32::from((self.has_sync)(op));
            self.effects += sync;
            self.operation(op, block);
            self.effects += sync;
            for body in self.module.bodies(op) {
                for inner in self.module.blocks(body) {
                    self.block(inner);
                }
            }
        }
        for key in self.log.drain(mark..) {
            self.seen.remove(&key);
        }
    }

    fn operation(&mut self, op: OpId, block: BlockId) {
        let entry = self.target.t.entries.get(self.module.op(op).entry.index());
        let flags = entry.map_or(0, |e| e.flags);
        let name = self.module.op_name(op);
        let pure = flags & entry_flag::PURE != 0 || name.starts_with("arith.") || name == "affine.apply";
        if !pure && flags & entry_flag::READ == 0 {
            if !matches!(
                name,
                "pto.alloc_tile" | "pto.alloc_multi_tile" | "pto.declare_tile" | "pto.declare_global"
            ) {
                self.effects += 1;
            }
            return;
        }
        let mut key = self.key(op);
        if !pure {
            key.extend([block.0, self.effects]);
        }
        let key: Box<[u32]> = key.into();
        if let Some(&earlier) = self.seen.get(&key) {
            for (mine, theirs) in self.module.results(op).zip(self.module.results(earlier)) {
                self.merged.values[mine.index()] = self.merged.value(theirs);
            }
            self.merged.dropped[op.index()] = true;
        } else {
            self.seen.insert(key.clone(), op);
            self.log.push(key);
        }
    }

    /// What two operations must have in common to be equal.
    fn key(&self, op: OpId) -> Vec<u32> {
        let record = self.module.op(op);
        let mut key = vec![record.name.0, record.operands.len, record.results.len];
        for operand in self.module.operands(op) {
            key.extend([self.merged.value(operand.value).0, operand.slot]);
        }
        for result in self.module.results(op) {
            key.push(self.module.value(result).ty.0);
        }
        self.attributes(record.attrs, &mut key);
        key
    }

    fn attributes(&self, attrs: Range, key: &mut Vec<u32>) {
        for attr in attrs.of(self.module.t.attrs) {
            key.push(attr.name.0);
            if let Some(value) = self.module.t.attr_values.get(attr.value.index()) {
                let bits = [value.bits as u32, (value.bits >> 32) as u32];
                key.extend([value.kind, bits[0], bits[1], value.ty.0, value.text.0, value.detail.0]);
                key.push(value.children.len);
                self.attributes(value.children, key);
            }
        }
    }
}
