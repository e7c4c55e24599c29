//! Addresses that a stage planned, written where the source has none.
//!
//! Synchronization is right for the addresses that it was made for, so they belong into the text. A planned address
//! is an operand (of a tile) or an attribute (of a reserved buffer) without a place in the source.

use std::collections::BTreeMap;

use pipewright_abi::ir::{Attr, Module, Op, attr_kind};
use pipewright_abi::pass::Unit;
use pipewright_abi::{BlockId, OpId, PassError, TextRange, ValueId};

use crate::edit::Edits;

/// Writes the planned addresses of all functions.
pub(crate) fn write(module: Module<'_>, units: &[Unit<'_>], edits: &mut Edits<'_>) -> Result<(), PassError> {
    let prefix = free_prefix(module);
    for unit in units {
        let function = unit.kernel.function();
        let Some(entry) = module.entry_block(function, 0).get() else { continue };
        let mut constants = BTreeMap::new();
        let mut open = vec![entry];
        while let Some(block) = open.pop() {
            for &op in module.block_ops(block) {
                match module.op_name(op) {
                    "pto.alloc_tile" | "pto.alloc_multi_tile" => {
                        tile(module, op, &prefix, &mut constants, edits)?
                    }
                    "pto.reserve_buffer" => buffer(module, op, edits)?,
                    _ => {}
                }
                let blocks = module.bodies(op).iter().flat_map(|body| module.blocks(body));
                open.extend(blocks.collect::<Vec<BlockId>>());
            }
        }
        define(module, function, &constants, edits);
    }
    Ok(())
}

/// Defines the constants at the start of a function.
fn define(module: Module<'_>, function: OpId, constants: &BTreeMap<i64, String>, edits: &mut Edits<'_>) {
    let Some(body) = module.bodies(function).first() else { return };
    let open = edits.behind_label(body.span.start as usize + 1);
    let inside = |op: &Op| body.span.start < op.span.start && op.span.end < body.span.end;
    let first =
        module.blocks(body).flat_map(|b| module.block_ops(b)).map(|&op| module.op(op)).find(|op| inside(op));
    let indent = first.map_or("  ", |op| edits.indent(op.span.start as usize)).to_owned();
    for (offset, name) in constants {
        edits.after(open, &indent, &format!("%{name} = arith.constant {offset} : i64"), &indent);
    }
}

/// Gives a tile its address, if it was planned.
fn tile(
    module: Module<'_>,
    op: OpId,
    prefix: &str,
    constants: &mut BTreeMap<i64, String>,
    edits: &mut Edits<'_>,
) -> Result<(), PassError> {
    let Some(planned) = module.operands(op).iter().find(|o| is_nowhere(o.span)) else { return Ok(()) };
    let record = module.op(op);
    let Some(offset) = constant(module, planned.value) else {
        return Err(
            PassError::new("the planned address of this tile is no constant").at_span(record.name_span)
        );
    };
    let name = record.name_span;
    if module.source.get(name.start as usize) == Some(&b'"') {
        return Err(PassError::new("an address cannot be written into the generic form of an allocation")
            .at_span(name)
            .with_help("write it as `%t = pto.alloc_tile : T`, or give it an address"));
    }
    let constant = constants.entry(offset).or_insert_with(|| format!("{prefix}{offset}"));
    edits.insert(name.end as usize, format!(" addr = %{constant}"));
    Ok(())
}

/// Gives a reserved buffer its base, if it was planned.
fn buffer(module: Module<'_>, op: OpId, edits: &mut Edits<'_>) -> Result<(), PassError> {
    let attrs = module.op(op).attrs.of(module.t.attrs);
    let named = |name: &str| attrs.iter().find(|a| module.str(a.name) == name);
    let Some(base) = named("base").filter(|a| is_nowhere(a.span)) else { return Ok(()) };
    let base = module.t.attr_values[base.value.index()].bits as i64;
    let place = |attr: &Attr| (attr.span.start as usize, attr.span.end as usize);
    if let Some((start, end)) = named("auto").filter(|a| !is_nowhere(a.span)).map(place) {
        edits.replace(start, end, format!("auto = false, base = {base}"));
    } else if let Some((_, end)) = attrs.iter().rfind(|a| !is_nowhere(a.span)).map(place) {
        edits.insert(end, format!(", base = {base}"));
    } else {
        let error = PassError::new("this buffer has no attributes that its base could stand among");
        return Err(error.at_span(module.op(op).name_span));
    }
    Ok(())
}

/// Whether something was not written in the source.
fn is_nowhere(span: TextRange) -> bool {
    span.start >= span.end
}

/// The number that an `arith.constant` defines.
fn constant(module: Module<'_>, value: ValueId) -> Option<i64> {
    let op = module.value(value).op.get()?;
    let value = module.attr(op, "value").filter(|a| a.kind == attr_kind::INT)?;
    (module.op_name(op) == "arith.constant").then_some(value.bits as i64)
}

/// A start of names that no value of the module has.
fn free_prefix(module: Module<'_>) -> String {
    let mut prefix = "addr_".to_owned();
    while module.t.values.iter().any(|v| module.str(v.name).starts_with(&prefix)) {
        prefix.push('_');
    }
    prefix
}
