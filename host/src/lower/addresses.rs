//! Planned addresses into the program: as if the source had written them.
//!
//! A tile gets an `addr` operand, a reserved buffer a `base`. What must hold afterwards: equal addresses are one
//! constant at the start of their function, as simplification leaves constants, so that equal addresses are one
//! identity.

use std::collections::{BTreeMap, HashMap};

use pipewright_abi::ir::{
    Attr, AttrValue, Module, ModuleData, Op, Operand, Type, Value, attr_kind, type_kind,
};
use pipewright_abi::kernel::{KernelData, kernel_flag};
use pipewright_abi::memory::Address;
use pipewright_abi::target::{Target, TargetData};
use pipewright_abi::{AttrId, BlockId, OpId, Range, TypeId, ValueId};

use super::calls::Calls;
use super::{Addresses, layout, lower, simplify::set_block_ops};
use crate::diagnostic::Diagnostic;

/// Flattens all functions with a body. Tiles may lack an address if `planned`: some stage plans memory.
pub fn lower_all(
    module: &ModuleData,
    target: &TargetData,
    planned: bool,
) -> Result<Vec<KernelData>, Vec<Diagnostic>> {
    let addresses = if planned && are_missing(module.view(), target.view()) {
        Addresses::Planned
    } else {
        Addresses::Required
    };
    let view = module.view();
    if let Some(recursion) = Calls::new(&view).recursion(&view) {
        return Err(vec![recursion]);
    }
    let (mut kernels, mut errors) = (Vec::new(), Vec::new());
    for function in module.view().functions() {
        errors.extend(layout::refused(module.view(), target, function));
        match lower(module, target, function, addresses) {
            Ok(kernel) if kernel.view().flags() & kernel_flag::DECLARATION != 0 => {}
            Ok(kernel) => kernels.push(kernel),
            Err(diagnostics) => errors.extend(diagnostics),
        }
    }
    if errors.is_empty() { Ok(kernels) } else { Err(errors) }
}

/// Writes addresses into the module. Fails with the rule that the list breaks.
pub fn apply(module: &mut ModuleData, target: &TargetData, addresses: &[Address]) -> Result<(), String> {
    let mut writer = Writer::default();
    for &Address { op, offset, .. } in addresses {
        if op.index() >= module.tables.ops.len() {
            return Err(format!("it gives {op} an address, which does not exist (address-op)"));
        }
        let view = module.view();
        let name = view.op_name(op);
        match name {
            "pto.alloc_tile" | "pto.alloc_multi_tile" if !has_address(view, target.view(), op) => {
                writer.tile(module, target.view(), op, offset)?;
            }
            "pto.reserve_buffer" if view.attr(op, "base").is_none() => reserved_buffer(module, op, offset)?,
            _ => return Err(format!("it gives {op} an address, but `{name}` needs none (address-op)")),
        }
    }
    writer.finish(module);
    Ok(())
}

/// Whether a tile carries its address.
pub(super) fn has_address(module: Module<'_>, target: Target<'_>, op: OpId) -> bool {
    let Some(slot) = address_slot(module, target, op) else { return false };
    module.operands(op).iter().any(|operand| operand.slot == slot)
}

/// Whether a tile without an address or a reserved buffer without a base is in some function.
fn are_missing(module: Module<'_>, target: Target<'_>) -> bool {
    let mut open: Vec<BlockId> = module.functions().map(|f| module.entry_block(f, 0)).collect();
    while let Some(block) = open.pop() {
        let Some(block) = block.get() else { continue };
        for &op in module.block_ops(block) {
            let missing = match module.op_name(op) {
                "pto.alloc_tile" | "pto.alloc_multi_tile" => !has_address(module, target, op),
                "pto.reserve_buffer" => module.attr(op, "base").is_none(),
                _ => false,
            };
            if missing {
                return true;
            }
            open.extend(module.bodies(op).iter().flat_map(|body| module.blocks(body)));
        }
    }
    false
}

/// Which operand of the operation's table entry is its address.
fn address_slot(module: Module<'_>, target: Target<'_>, op: OpId) -> Option<u32> {
    let entry = target.t.entries[module.op(op).entry.get()?.index()];
    let operands = entry.operands.of(target.t.operands);
    operands.iter().position(|o| target.str(o.name) == "addr").map(|slot| slot as u32)
}

fn reserved_buffer(module: &mut ModuleData, op: OpId, offset: u64) -> Result<(), String> {
    let base = i32::try_from(offset)
        .map_err(|_| format!("the base {offset} of {op} is out of range (address-range)"))?;
    let old = module.tables.ops[op.index()].attrs;
    let (base_name, auto) = (module.strings.intern("base"), module.strings.intern("auto"));
    let tables = &mut module.tables;
    let start = tables.attrs.len();
    for index in old.indices() {
        let mut attr = tables.attrs[index];
        if attr.name == auto {
            attr.value = AttrId::from_index(tables.attr_values.len());
            tables.attr_values.push(AttrValue { kind: attr_kind::BOOL, ..Default::default() });
        }
        tables.attrs.push(attr);
    }
    let value = AttrId::from_index(tables.attr_values.len());
    tables.attr_values.push(AttrValue { kind: attr_kind::INT, bits: base as u64, ..Default::default() });
    tables.attrs.push(Attr { name: base_name, value, ..Default::default() });
    tables.ops[op.index()].attrs = Range::new(start, tables.attrs.len());
    Ok(())
}

/// The constants of each function, by its entry block.
#[derive(Default)]
struct Writer {
    functions: BTreeMap<BlockId, Constants>,
}

/// The 64-bit integer constants of one function.
struct Constants {
    values: HashMap<u64, ValueId>,
    /// Those that are new, to be put at its start.
    made: Vec<OpId>,
}

impl Writer {
    fn tile(
        &mut self,
        module: &mut ModuleData,
        target: Target<'_>,
        op: OpId,
        offset: u64,
    ) -> Result<(), String> {
        let view = module.view();
        let slot = address_slot(view, target, op)
            .ok_or("the target gives the operation of a tile no operand `addr`")?;
        let mut function = op;
        while view.parent(function).is_some() && view.op_name(function) != "func.func" {
            function = view.parent(function);
        }
        let Some(entry) = view.entry_block(function, 0).get() else {
            return Err(format!("{op} is in no function (address-op)"));
        };
        if i64::try_from(offset).is_err() {
            return Err(format!("the address {offset} of {op} is out of range (address-range)"));
        }
        let value = self.constant(module, entry, op, offset);
        // Operands stand in the order of their slots.
        let old = module.view().operands(op).to_vec();
        let at = old.partition_point(|operand| operand.slot < slot);
        let operands = &mut module.tables.operands;
        let start = operands.len();
        operands.extend_from_slice(&old[..at]);
        operands.push(Operand { value, slot, ..Default::default() });
        operands.extend_from_slice(&old[at..]);
        module.tables.ops[op.index()].operands = Range::new(start, operands.len());
        Ok(())
    }

    /// The one constant of that value in the function, which `op` is the first to need.
    fn constant(&mut self, module: &mut ModuleData, entry: BlockId, op: OpId, offset: u64) -> ValueId {
        let known = || Constants { values: constants_of(module.view(), entry), made: Vec::new() };
        let constants = self.functions.entry(entry).or_insert_with(known);
        if let Some(&value) = constants.values.get(&offset) {
            return value;
        }
        let ty = i64_type(module);
        let (name, value_name) = (module.strings.intern("arith.constant"), module.strings.intern("value"));
        let tables = &mut module.tables;
        let Op { span, name_span, .. } = tables.ops[op.index()];
        let attr = AttrId::from_index(tables.attr_values.len());
        tables.attr_values.push(AttrValue { bits: offset, kind: attr_kind::INT, ty, ..Default::default() });
        tables.attrs.push(Attr { name: value_name, value: attr, ..Default::default() });
        let attrs = Range::new(tables.attrs.len() - 1, tables.attrs.len());
        let (id, value) = (OpId::from_index(tables.ops.len()), ValueId::from_index(tables.values.len()));
        tables.values.push(Value { ty, op: id, span, ..Default::default() });
        let results = Range::new(value.index(), value.index() + 1);
        tables.ops.push(Op { name, results, attrs, span, name_span, ..Default::default() });
        constants.values.insert(offset, value);
        constants.made.push(id);
        value
    }

    fn finish(self, module: &mut ModuleData) {
        for (block, Constants { made, .. }) in self.functions {
            set_block_ops(module, block, |rest| made.into_iter().chain(rest).collect());
        }
    }
}

/// The 64-bit constants that simplification put at the start of a function.
fn constants_of(module: Module<'_>, entry: BlockId) -> HashMap<u64, ValueId> {
    let ops = module.block_ops(entry).iter().take_while(|&&op| module.op_name(op) == "arith.constant");
    let constant = |&op: &OpId| {
        let (result, value) = (module.result(op, 0), module.attr(op, "value")?);
        (value.kind == attr_kind::INT && is_i64(module.type_of(result))).then_some((value.bits, result))
    };
    ops.filter_map(constant).collect()
}

fn is_i64(ty: &Type) -> bool {
    ty.kind == type_kind::INT && ty.width == 64 && ty.detail == 0
}

/// The type `i64`.
fn i64_type(module: &mut ModuleData) -> TypeId {
    if let Some(index) = module.tables.types.iter().position(is_i64) {
        return TypeId::from_index(index);
    }
    let text = module.strings.intern("i64");
    module.tables.types.push(Type { kind: type_kind::INT, width: 64, text, ..Default::default() });
    TypeId::from_index(module.tables.types.len() - 1)
}
