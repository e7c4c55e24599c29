//! Simplification before lowering: what the reference's folding does to a program that synchronization can see.
//!
//! * constant arithmetic folds, with the usual identities; equal constants of one type are one operation at the start
//!   of the function, so that equal addresses are one identity;
//! * an `if (xori %c, true)` with an else part becomes `if %c` with its parts exchanged;
//! * dead operations go: pure ones, reads whose result is unused, loops and branches of nothing else.
//!
//! The module is changed in place: operations leave their block's list, operands change their value. What must hold
//! afterwards: every operand's value is still defined by an operation in a block, and dominates its use.

use std::collections::HashMap;

use pipewright_abi::ir::{Attr, AttrValue, ModuleData, Op, Value, attr_kind, type_kind};
use pipewright_abi::target::{TargetData, entry_flag};
use pipewright_abi::{AttrId, BlockId, EntryId, OpId, Range, TextRange, TypeId, ValueId};

use super::fold::{self, Constant, Folded, Input, Scalar};

/// Simplifies every function of the module.
pub fn simplify(module: &mut ModuleData, target: &TargetData) {
    let functions: Vec<OpId> = module.view().functions().collect();
    for function in functions {
        let Some(entry) = module.view().entry_block(function, 0).get() else { continue };
        let mut folder =
            Folder { module, constants: HashMap::new(), order: Vec::new(), replaced: HashMap::new() };
        folder.block(entry);
        let constants = folder.order;
        set_block_ops(module, entry, |rest| constants.into_iter().chain(rest).collect());
        remove_dead(module, target, entry);
    }
}

/// Replaces the operations of a block.
pub(super) fn set_block_ops(
    module: &mut ModuleData,
    block: BlockId,
    change: impl FnOnce(Vec<OpId>) -> Vec<OpId>,
) {
    let old = module.view().block_ops(block).to_vec();
    let new = change(old);
    for &op in &new {
        module.tables.ops[op.index()].block = block;
    }
    let list = &mut module.tables.block_ops;
    let start = list.len();
    list.extend(new);
    module.tables.blocks[block.index()].ops = Range::new(start, list.len());
}

/// What takes the place of an operation's result.
enum Replacement {
    Value(ValueId),
    Constant(Constant),
}

struct Folder<'a> {
    module: &'a mut ModuleData,
    /// The one value of each constant, by type and bits.
    constants: HashMap<(TypeId, u64), ValueId>,
    /// Constant operations in order of first occurrence.
    order: Vec<OpId>,
    replaced: HashMap<ValueId, ValueId>,
}

impl Folder<'_> {
    fn block(&mut self, block: BlockId) {
        let ops = self.module.view().block_ops(block).to_vec();
        let mut kept = Vec::with_capacity(ops.len());
        for op in ops {
            if self.operation(op) {
                kept.push(op);
            }
        }
        set_block_ops(self.module, block, |_| kept);
    }

    /// Folds one operation and its bodies. Whether it stays where it is.
    fn operation(&mut self, op: OpId) -> bool {
        for index in self.module.tables.ops[op.index()].operands.indices() {
            let operand = &mut self.module.tables.operands[index];
            if let Some(&value) = self.replaced.get(&operand.value) {
                operand.value = value;
            }
        }
        let name = self.module.tables.ops[op.index()].name;
        let name = self.module.strings.view().get(name);
        let (is_arith, is_extent) = (name.starts_with("arith."), name == "pto.get_tensor_view_dim");
        if name == "arith.constant" {
            return self.constant(op);
        }
        if name == "scf.if" {
            self.exchange_arms(op);
        }
        if is_arith {
            self.put_constant_right(op);
            if let Some(folded) = self.fold(op) {
                let result = self.module.view().result(op, 0);
                let value = match folded {
                    Replacement::Value(value) => value,
                    Replacement::Constant(constant) => self.materialize(op, constant),
                };
                self.replaced.insert(result, value);
                return false;
            }
        }
        if is_extent && let Some(extent) = self.view_extent(op) {
            self.replaced.insert(self.module.view().result(op, 0), extent);
            return false;
        }
        let view = self.module.view();
        let blocks: Vec<BlockId> = view.bodies(op).iter().flat_map(|b| view.blocks(b)).collect();
        for block in blocks {
            self.block(block);
        }
        true
    }

    /// The first of equal constants moves to the start of the function, the others go.
    fn constant(&mut self, op: OpId) -> bool {
        let view = self.module.view();
        let result = view.result(op, 0);
        let ty = view.value(result).ty;
        let Some(value) = view.attr(op, "value") else { return true };
        if !matches!(value.kind, attr_kind::INT | attr_kind::BOOL | attr_kind::FLOAT) {
            return true;
        }
        match self.constants.entry((ty, value.bits)) {
            std::collections::hash_map::Entry::Occupied(known) => {
                self.replaced.insert(result, *known.get());
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(result);
                self.order.push(op);
            }
        }
        false
    }

    /// The value of a constant that folding made.
    fn materialize(&mut self, op: OpId, constant: Constant) -> ValueId {
        let record = *self.module.view().op(op);
        let ty = self.module.view().value(ValueId(record.results.start)).ty;
        let (bits, kind) = match constant {
            Constant::Int(value) => (value as u64, self.int_kind(ty)),
            Constant::Float(value) => (value.to_bits(), attr_kind::FLOAT),
        };
        if let Some(&known) = self.constants.get(&(ty, bits)) {
            return known;
        }
        let name = self.module.strings.intern("arith.constant");
        let value_name = self.module.strings.intern("value");
        let tables = &mut self.module.tables;
        let attr = AttrId::from_index(tables.attr_values.len());
        tables.attr_values.push(AttrValue { bits, kind, ty, ..Default::default() });
        let attrs = Range::new(tables.attrs.len(), tables.attrs.len() + 1);
        tables.attrs.push(Attr { name: value_name, value: attr, span: TextRange::default() });
        let id = OpId::from_index(tables.ops.len());
        let value = ValueId::from_index(tables.values.len());
        tables.values.push(Value { ty, op: id, span: record.span, ..Default::default() });
        let results = Range::new(value.index(), value.index() + 1);
        let (span, name_span) = (record.span, record.name_span);
        tables.ops.push(Op {
            name,
            entry: EntryId::NONE,
            results,
            attrs,
            span,
            name_span,
            ..Default::default()
        });
        self.constants.insert((ty, bits), value);
        self.order.push(id);
        value
    }

    fn int_kind(&self, ty: TypeId) -> u32 {
        if self.module.tables.types[ty.index()].width == 1 { attr_kind::BOOL } else { attr_kind::INT }
    }

    fn fold(&self, op: OpId) -> Option<Replacement> {
        let view = self.module.view();
        let name = &view.op_name(op)["arith.".len()..];
        let operands = view.operands(op);
        if view.op(op).results.len != 1 {
            return None;
        }
        let scalar = |value: ValueId| {
            let ty = view.type_of(value);
            let folds = matches!(ty.kind, type_kind::INDEX | type_kind::INT | type_kind::FLOAT);
            folds.then_some(Scalar { kind: ty.kind, width: ty.width })
        };
        let from = scalar(operands.first()?.value)?;
        let to = scalar(view.result(op, 0))?;
        let inputs: Vec<Input<ValueId>> =
            operands.iter().map(|o| Input { id: o.value, constant: self.constant_of(o.value) }).collect();
        let predicate = view.text_attr(op, "predicate").unwrap_or("");
        match fold::fold(name, predicate, &inputs, from, to) {
            Some(Folded::Constant(constant)) => Some(Replacement::Constant(constant)),
            Some(Folded::Operand(index)) => Some(Replacement::Value(view.operand(op, index))),
            None => self.cancel(op, name).map(Replacement::Value),
        }
    }

    /// `(a + b) - b`, `(a - b) + b`, and a cast that returns to the type it came from.
    fn cancel(&self, op: OpId, name: &str) -> Option<ValueId> {
        let view = self.module.view();
        let inner = view.value(view.operand(op, 0)).op.get()?;
        let remains = match (name, view.op_name(inner)) {
            ("subi", "arith.addi") if view.operand(inner, 1) == view.operand(op, 1) => view.operand(inner, 0),
            ("subi", "arith.addi") if view.operand(inner, 0) == view.operand(op, 1) => view.operand(inner, 1),
            ("addi", "arith.subi") if view.operand(inner, 1) == view.operand(op, 1) => view.operand(inner, 0),
            ("index_cast", "arith.index_cast") => {
                let source = view.operand(inner, 0);
                // Through a narrower type bits would be lost; `index` is wide enough for any.
                let through = view.type_of(view.result(inner, 0));
                let from = view.type_of(source);
                if through.kind != type_kind::INDEX && from.kind != type_kind::INDEX {
                    return None;
                }
                source
            }
            _ => return None,
        };
        (view.value(remains).ty == view.value(view.result(op, 0)).ty).then_some(remains)
    }

    fn constant_of(&self, value: ValueId) -> Option<Constant> {
        let view = self.module.view();
        let op = view.value(value).op.get()?;
        if view.op_name(op) != "arith.constant" {
            return None;
        }
        let attr = view.attr(op, "value")?;
        match attr.kind {
            attr_kind::INT | attr_kind::BOOL => Some(Constant::Int(attr.bits as i64)),
            attr_kind::FLOAT => Some(Constant::Float(f64::from_bits(attr.bits))),
            _ => None,
        }
    }

    /// A constant left operand of a commutative operation moves right; a comparison turns round.
    fn put_constant_right(&mut self, op: OpId) {
        let view = self.module.view();
        let name = &view.op_name(op)["arith.".len()..];
        let range = view.op(op).operands;
        if range.len != 2 {
            return;
        }
        let is_constant = |value| self.constant_of(value).is_some();
        if !is_constant(view.operand(op, 0)) || is_constant(view.operand(op, 1)) {
            return;
        }
        if name == "cmpi" {
            let Some(swapped) = view.text_attr(op, "predicate").and_then(fold::swapped) else { return };
            let predicate = self.module.strings.intern(swapped);
            let attrs = self.module.view().op(op).attrs;
            let name = self.module.strings.intern("predicate");
            for index in attrs.indices() {
                let attr = self.module.tables.attrs[index];
                if attr.name == name {
                    self.module.tables.attr_values[attr.value.index()].text = predicate;
                }
            }
        } else if !fold::commutes(name) {
            return;
        }
        self.module.tables.operands.swap(range.start as usize, range.start as usize + 1);
    }

    /// `if (xori %c, true) {A} else {B}` is `if %c {B} else {A}`.
    fn exchange_arms(&mut self, op: OpId) {
        loop {
            let view = self.module.view();
            let bodies = view.op(op).bodies;
            let Some(negation) = view.value(view.operand(op, 0)).op.get() else { return };
            let is_negation = view.op_name(negation) == "arith.xori"
                && self.constant_of(view.operand(negation, 1)) == Some(Constant::Int(1));
            if !is_negation || view.entry_block(op, 1).is_none() {
                return;
            }
            let condition = view.operand(negation, 0);
            let operand = view.op(op).operands.start as usize;
            self.module.tables.operands[operand].value = condition;
            let (first, second) = (bodies.start as usize, bodies.start as usize + 1);
            let tables = &mut self.module.tables;
            tables.bodies.swap(first, second);
            for body in [first, second] {
                for block in tables.bodies[body].blocks.indices() {
                    tables.blocks[block].body = pipewright_abi::BodyId::from_index(body);
                }
            }
        }
    }

    /// The extent operand that a view was made with.
    fn view_extent(&self, op: OpId) -> Option<ValueId> {
        let view = self.module.view();
        let Some(Constant::Int(index)) = self.constant_of(view.operand(op, 1)) else { return None };
        let make = view.value(view.operand(op, 0)).op.get()?;
        if view.op_name(make) != "pto.make_tensor_view" {
            return None;
        }
        // Operands are the pointer, then extents, then as many strides.
        let extents = (view.operands(make).len() - 1) / 2;
        let index = usize::try_from(index).ok().filter(|&i| i < extents)?;
        Some(view.operand(make, 1 + index))
    }
}

/// Removes operations that have no effect and whose results nobody uses, last first.
fn remove_dead(module: &mut ModuleData, target: &TargetData, entry: BlockId) {
    let mut uses = vec![0u32; module.tables.values.len()];
    count_uses(module, entry, &mut uses);
    sweep(module, target, entry, &mut uses);
}

fn count_uses(module: &ModuleData, block: BlockId, uses: &mut [u32]) {
    let view = module.view();
    for &op in view.block_ops(block) {
        for operand in view.operands(op) {
            uses[operand.value.index()] += 1;
        }
        for body in view.bodies(op) {
            view.blocks(body).for_each(|block| count_uses(module, block, uses));
        }
    }
}

fn sweep(module: &mut ModuleData, target: &TargetData, block: BlockId, uses: &mut [u32]) {
    let ops = module.view().block_ops(block).to_vec();
    let mut kept = Vec::with_capacity(ops.len());
    for &op in ops.iter().rev() {
        let view = module.view();
        let unused = view.results(op).all(|result| uses[result.index()] == 0);
        if unused && is_effect_free(module, target, op) {
            release(module, op, uses);
            continue;
        }
        let blocks: Vec<BlockId> = view.bodies(op).iter().flat_map(|b| view.blocks(b)).collect();
        for &block in blocks.iter().rev() {
            sweep(module, target, block, uses);
        }
        kept.push(op);
    }
    kept.reverse();
    if kept.len() != ops.len() {
        set_block_ops(module, block, |_| kept);
    }
}

/// Takes back the uses that an operation and everything in it makes.
fn release(module: &ModuleData, op: OpId, uses: &mut [u32]) {
    let view = module.view();
    for operand in view.operands(op) {
        uses[operand.value.index()] -= 1;
    }
    for body in view.bodies(op) {
        for block in view.blocks(body) {
            view.block_ops(block).iter().for_each(|&op| release(module, op, uses));
        }
    }
}

/// Whether nothing but the operation's results can tell that it ran.
fn is_effect_free(module: &ModuleData, target: &TargetData, op: OpId) -> bool {
    let view = module.view();
    let record = view.op(op);
    let name = view.op_name(op);
    if let Some(entry) = record.entry.get() {
        let entry = target.tables.entries[entry.index()];
        return entry.flags & (entry_flag::PURE | entry_flag::READ) != 0;
    }
    match name {
        "scf.for" | "scf.if" | "scf.while" | "scf.execute_region" | "scf.index_switch" => {
            view.bodies(op).iter().flat_map(|b| view.blocks(b)).all(|block| {
                view.block_ops(block).iter().all(|&inner| {
                    let name = view.op_name(inner);
                    matches!(name, "scf.yield" | "scf.condition") || is_effect_free(module, target, inner)
                })
            })
        }
        _ => {
            name.starts_with("arith.")
                || name == "builtin.unrealized_conversion_cast"
                || name == "memref.cast"
        }
    }
}
