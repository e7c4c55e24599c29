//! Whether the library accepts the tiles of each operation: what it does not, no C++ compiler translates.
//!
//! What must hold: only what the target file says of an operation is asked for, and only of tiles. A value of another
//! type, and an operation of which nothing is said, passes.

use pipewright_abi::ir::{Module, TileType, Type, type_kind};
use pipewright_abi::target::{Accepts, Form, Target, TargetData};
use pipewright_abi::{BlockId, OpId, StrId, ValueId};

use crate::diagnostic::Diagnostic;

/// All tiles of a function that the library does not accept where they stand, in program order.
pub(super) fn refused(module: Module<'_>, target: &TargetData, function: OpId) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut open: Vec<BlockId> = module.entry_block(function, 0).get().into_iter().collect();
    while let Some(block) = open.pop() {
        for &op in module.block_ops(block) {
            open.extend(module.bodies(op).iter().flat_map(|body| module.blocks(body)));
            let Some(entry) = module.op(op).entry.get() else { continue };
            for rule in target.accepts.get(entry.index()).map_or(&[][..], Vec::as_slice) {
                found.extend(broken(module, target.view(), op, rule));
            }
        }
    }
    found.sort_by_key(|d: &Diagnostic| d.labels.first().map_or(0, |label| label.span.start));
    found
}

/// Each value of an operation that a rule names and that has none of its forms.
fn broken<'a>(
    module: Module<'a>,
    target: Target<'a>,
    op: OpId,
    rule: &'a Accepts,
) -> impl Iterator<Item = Diagnostic> + 'a {
    let entry = module.op(op).entry.get().map(|entry| target.t.entries[entry.index()]);
    let specs = entry.map_or(&[][..], |entry| entry.operands.of(target.t.operands));
    let results = entry.map_or(&[][..], |entry| entry.results.of(target.t.operands));
    let operands =
        module.operands(op).iter().filter_map(|o| Some((specs.get(o.slot as usize)?.name, o.value)));
    let results = results.iter().zip(module.results(op)).map(|(spec, value)| (spec.name, value));
    operands.chain(results).filter(|(name, _)| rule.operands.contains(name)).filter_map(
        move |(name, value)| {
            let ty = module.type_of(value);
            let (tile, dims) = (module.tile(ty)?, module.dims(ty));
            let fits = |form: &Form| has_form(module, ty, tile, dims, form);
            (!rule.forms.iter().any(fits)).then(|| diagnostic(module, target, op, (name, value), rule))
        },
    )
}

/// Whether a tile has a form.
fn has_form(module: Module<'_>, ty: &Type, tile: &TileType, dims: &[i64], form: &Form) -> bool {
    let among = |list: &[u32], value| list.is_empty() || list.contains(&value);
    among(&form.blayouts, tile.blayout)
        && among(&form.slayouts, tile.slayout)
        && (form.spaces.is_empty() || form.spaces.contains(&tile.space))
        && (form.elements.is_empty() || form.elements.contains(&element(module, ty)))
        && (!form.is_row || dims.first() == Some(&1))
        && (!form.is_column || dims.get(1) == Some(&1))
}

/// The element type of a tile, integers without their sign.
fn element(module: Module<'_>, ty: &Type) -> String {
    let Some(element) = ty.element.get().map(|element| module.ty(element)) else { return String::new() };
    match element.kind {
        type_kind::INT => format!("i{}", element.width),
        _ => module.str(element.text).to_owned(),
    }
}

/// How a tile is, in the words of the target file.
fn words(module: Module<'_>, target: Target<'_>, ty: &Type, tile: &TileType) -> String {
    let dims: Vec<String> = module.dims(ty).iter().map(i64::to_string).collect();
    let blayout = if tile.blayout == 0 { "row_major" } else { "col_major" };
    let slayout = ["none_box", "row_box", "col_box"].get(tile.slayout as usize).unwrap_or(&"none_box");
    let (space, shape) = (target.space_name(tile.space), dims.join("x"));
    format!("{space} {shape}x{} {blayout} {slayout}", element(module, ty))
}

fn diagnostic(
    module: Module<'_>,
    target: Target<'_>,
    op: OpId,
    (operand, value): (StrId, ValueId),
    rule: &Accepts,
) -> Diagnostic {
    let ty = module.type_of(value);
    let (name, slot) = (module.op_name(op), target.str(operand));
    let what = module.tile(ty).map_or(String::new(), |tile| words(module, target, ty, tile));
    let forms: Vec<&str> = rule.forms.iter().map(|form| form.text.as_str()).collect();
    let mut help = format!("the library accepts as `{slot}`: {}", forms.join(", or "));
    // The bytes of a column are those of a row.
    let rows = rule.forms.iter().any(|form| form.blayouts == [0]);
    if let (true, Some(tile), &[count, 1]) = (rows, module.tile(ty), module.dims(ty))
        && tile.blayout == 1
        && tile.slayout == 0
    {
        let row = format!("1x{count}x{}", element(module, ty));
        help += &format!(
            "\nthe same bytes as a row, {row}, do: give this operand the result of `pto.treshape`, or a tile that is \
             allocated at the same address"
        );
    }
    let value = module.str(module.value(value).name).trim_start_matches('%');
    let label = if value.is_empty() { what.clone() } else { format!("`%{value}` is {what}") };
    Diagnostic::error("lower::layout", format!("`{name}` does not take such a tile as `{slot}`: {what}"))
        .label(module.op(op).name_span, label)
        .help(help)
}
