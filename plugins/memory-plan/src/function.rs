//! What one function needs of local memory: tiles and reserved buffers to be placed, and bytes that are taken.
//!
//! Taken for the whole function: a reserved buffer with a base, a tile that carries its address, and what the
//! functions that it calls use (no synchronization stands around a call, so nothing may share bytes across it).

use std::collections::BTreeSet;

use pipewright_abi::ir::{Module, attr_kind, type_kind};
use pipewright_abi::kernel::{Kernel, region_flag};
use pipewright_abi::target::{Target, entry_flag, space_flag};
use pipewright_abi::{BlockId, OpId, PassError, SpaceId, TextRange, ValueId};

use crate::carried::carried_roots;
use crate::lifetime::{Lifetime, allocated_roots, lifetimes, whole_function};
use crate::place::Bytes;

/// Memory that needs an offset.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    /// The operation that asks for it.
    pub(crate) op: OpId,
    /// Its name for people.
    pub(crate) name: String,
    pub(crate) span: TextRange,
    pub(crate) space: SpaceId,
    /// Size in bytes.
    pub(crate) size: u64,
    /// When its content matters; none if nothing touches it.
    pub(crate) lifetime: Option<Lifetime>,
    /// It belongs to a pipe between cores, which fills it at any time.
    pub(crate) reserved: bool,
}

/// Bytes that the plan must leave alone.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) space: SpaceId,
    pub(crate) bytes: Bytes,
    /// By whom, for people.
    pub(crate) name: String,
}

/// The needs of one function.
#[derive(Debug)]
pub(crate) struct Needs {
    pub(crate) function: OpId,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) taken: Vec<Taken>,
    /// Its calls.
    pub(crate) calls: Vec<OpId>,
    /// Some operation uses the scratch memory at the end of a space.
    pub(crate) uses_scratch: bool,
}

/// Finds what the function of a kernel needs. `reuse`: buffers that never matter at the same time may share bytes.
pub(crate) fn needs(
    kernel: &Kernel<'_>,
    module: &Module<'_>,
    target: &Target<'_>,
    reuse: bool,
) -> Result<Needs, PassError> {
    let function = kernel.function();
    let mut needs =
        Needs { function, buffers: Vec::new(), taken: Vec::new(), calls: Vec::new(), uses_scratch: false };
    let everywhere = whole_function(kernel);
    let plans = allocated_roots(kernel).next().is_some();
    let carried = if plans { carried_roots(kernel, module, target)? } else { Vec::new() };
    let lifetimes = if reuse && plans { lifetimes(kernel, module, target, &carried) } else { Vec::new() };
    for (op, root) in allocated_roots(kernel) {
        let root_record = &kernel.roots[root.index()];
        let ty = module.type_of(root_record.value);
        // A buffer of several tiles is one buffer.
        let (slot, count) = module.slots(ty).map_or((ty, 1), |(slot, count)| (module.ty(slot), count));
        let Some(space) = module.tile(slot).map(|t| t.space) else { continue };
        let slots = |bytes: u64| {
            if count > 1 { target.slot_pitch(space, bytes).checked_mul(count) } else { Some(bytes) }
        };
        let size = module.tile_bytes(slot).and_then(slots).ok_or_else(|| {
            let message = "the size of the tile is known only at run time";
            let help =
                "give it constant rows and columns, and the run-time extents as `valid_row` and `valid_col`";
            PassError::new(message).at_span(root_record.span).with_help(help)
        })?;
        needs.buffers.push(Buffer {
            op,
            name: value_name(module, root_record.value),
            span: root_record.span,
            space,
            size,
            lifetime: if reuse { lifetimes[root.index()] } else { Some(everywhere) },
            reserved: false,
        });
    }
    let computed = addressed_tiles(kernel, module, &mut needs);
    let untraceable = untraceable(kernel, module);
    let may_be_meant = needs.buffers.iter_mut().filter(|b| untraceable.contains(&b.space));
    may_be_meant.for_each(|b| b.lifetime = Some(everywhere));
    let entry = module.entry_block(function, 0);
    walk(module, entry, &mut |op| {
        let flags = module.op(op).entry.get().map_or(0, |e| target.t.entries[e.index()].flags);
        needs.uses_scratch |= flags & entry_flag::SCRATCH != 0;
        match module.op_name(op) {
            "func.call" => needs.calls.push(op),
            "pto.reserve_buffer" => reserved_buffer(module, target, op, everywhere, &mut needs)?,
            _ => {}
        }
        Ok(())
    })?;
    // Nothing has to be planned around it where nothing is planned.
    if let Some(span) = computed.filter(|_| !needs.buffers.is_empty()) {
        let message =
            "the address of a tile is known only at run time, so memory cannot be planned around it";
        let help = "give every tile of the function an address, or none of them";
        return Err(PassError::new(message).at_span(span).with_help(help));
    }
    Ok(needs)
}

/// Calls `visit` for the operations of a block and of the bodies inside, in program order.
pub(crate) fn walk(
    module: &Module<'_>,
    block: BlockId,
    visit: &mut impl FnMut(OpId) -> Result<(), PassError>,
) -> Result<(), PassError> {
    let Some(block) = block.get() else { return Ok(()) };
    for &op in module.block_ops(block) {
        visit(op)?;
        for body in module.bodies(op) {
            for block in module.blocks(body) {
                walk(module, block, visit)?;
            }
        }
    }
    Ok(())
}

/// `%x`, or the value's id if it has no name.
fn value_name(module: &Module<'_>, value: ValueId) -> String {
    match module.value(value).name.get() {
        Some(name) => format!("%{}", module.str(name)),
        None => value.to_string(),
    }
}

/// Tiles that carry their address keep it. Returns the place of an address that is computed, if there is one.
fn addressed_tiles(kernel: &Kernel<'_>, module: &Module<'_>, needs: &mut Needs) -> Option<TextRange> {
    let mut computed = None;
    use region_flag::{GLOBAL, KNOWN_ADDRESS, PRIVATE, UNTRACED};
    for region in kernel.regions.iter().filter(|r| r.flags & (GLOBAL | PRIVATE | UNTRACED) == 0) {
        let root = &kernel.roots[region.root.index()];
        if root.value.is_none() {
            // The scratch memory of a space, which no tile names.
            needs.uses_scratch = true;
            continue;
        }
        // The root of such a tile is its address; other roots are tiles.
        if !matches!(module.type_of(root.value).kind, type_kind::INT | type_kind::INDEX) {
            continue;
        }
        if region.flags & KNOWN_ADDRESS == 0 {
            computed.get_or_insert(root.span);
            continue;
        }
        let last = region.rows.saturating_sub(1).saturating_mul(region.pitch);
        let end = region.address.saturating_add(last).saturating_add(region.row_bytes);
        let name = "tiles with an address".into();
        needs.taken.push(Taken { space: region.space, bytes: region.address..end, name });
    }
    computed
}

/// Spaces in which something is touched of which nobody knows which buffer it is. What the function gets from its caller
/// is none of its own.
fn untraceable(kernel: &Kernel<'_>, module: &Module<'_>) -> BTreeSet<SpaceId> {
    let is_parameter = |value: ValueId| {
        let value = module.value(value);
        value.op.is_none() && module.block_owner(value.block) == kernel.function()
    };
    let untraced = kernel.regions.iter().filter(|region| {
        region.flags & region_flag::UNTRACED != 0 && !is_parameter(kernel.roots[region.root.index()].value)
    });
    untraced.map(|region| region.space).collect()
}

fn reserved_buffer(
    module: &Module<'_>,
    target: &Target<'_>,
    op: OpId,
    lifetime: Lifetime,
    needs: &mut Needs,
) -> Result<(), PassError> {
    let error = |message: &str| Err(PassError::new(message).at_span(module.op(op).name_span));
    let location = module.attr(op, "location").filter(|a| a.kind == attr_kind::ENUM);
    let space = location.and_then(|a| target.space(module.str(a.text)));
    let Some(space) = space.filter(|&s| target.t.spaces[s.index()].flags & space_flag::GLOBAL == 0) else {
        return error("a buffer is reserved in local memory: `location` must be one of its spaces");
    };
    let Some(size) = module.int_attr(op, "size").and_then(|s| u64::try_from(s).ok()).filter(|&s| s > 0)
    else {
        return error("the size of a reserved buffer must be a positive number of bytes");
    };
    let name = format!("reserved buffer `{}`", module.text_attr(op, "name").unwrap_or_default());
    if let Some(base) = module.int_attr(op, "base") {
        let Ok(base) = u64::try_from(base) else { return error("the base of a reserved buffer is negative") };
        needs.taken.push(Taken { space, bytes: base..base.saturating_add(size), name });
        return Ok(());
    }
    let span = module.op(op).name_span;
    needs.buffers.push(Buffer { op, name, span, space, size, lifetime: Some(lifetime), reserved: true });
    Ok(())
}
