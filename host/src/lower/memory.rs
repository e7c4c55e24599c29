//! Which memory each value of a function stands for.
//!
//! A value has pieces, normally none or one: none is for values that are no memory. A piece carries the reference's identity (root, offset and size relative
//! to it: the address *value* is the identity) and beside it the absolute bytes, where they are known. The two differ
//! where the reference is unsound; pieces for one rule only are marked.
//!
//! What must hold: every value of a type that stands for memory has pieces. One whose origin cannot be followed may be
//! any memory of its space ([`region_flag::UNTRACED`]).

mod loops;
mod origins;
mod pops;

use std::collections::{BTreeMap, HashMap};

use pipewright_abi::ir::{DYNAMIC, Module, TileType, Type, attr_kind, type_kind};
use pipewright_abi::kernel::{Region, region_flag};
use pipewright_abi::target::{Target, entry_flag, space_flag};
use pipewright_abi::{BlockId, OpId, Range, SpaceId, TypeId, ValueId};
use pops::Popped;

/// A piece of memory. `region.root` is not set; `root` says which value is the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Piece {
    pub(super) root: ValueId,
    pub(super) region: Region,
    /// The absolute bytes are those of a larger piece, because the place in it is computed.
    somewhere: bool,
}

impl Piece {
    fn new(root: ValueId, region: Region) -> Self {
        Self { root, region, somewhere: false }
    }
}

/// Pieces of all values.
#[derive(Debug)]
pub(super) struct Memory {
    ranges: Vec<Range>,
    pieces: Vec<Piece>,
    /// For a tile, the type whose shape and layout its bytes have: a subview keeps its parent's.
    layouts: Vec<TypeId>,
    /// Arguments that are constants in the call that is looked at.
    constants: BTreeMap<ValueId, i64>,
}

/// What an argument stands for in a call: the type that its bytes have, the memory, and the number if it is a constant.
pub(super) type Argument = (ValueId, TypeId, Vec<Piece>, Option<i64>);

impl Memory {
    /// The pieces of a value.
    pub(super) fn of(&self, value: ValueId) -> &[Piece] {
        self.ranges.get(value.index()).map_or(&[], |range| range.of(&self.pieces))
    }

    /// The type whose shape and layout the bytes of a value have.
    pub(super) fn layout(&self, value: ValueId) -> TypeId {
        self.layouts.get(value.index()).copied().unwrap_or_default()
    }

    /// The number that a value is.
    pub(super) fn constant(&self, module: Module<'_>, value: ValueId) -> Option<i64> {
        self.constants.get(&value).copied().or_else(|| constant_int(module, value))
    }

    fn set(&mut self, value: ValueId, pieces: &[Piece]) {
        let start = self.pieces.len();
        self.pieces.extend_from_slice(pieces);
        self.ranges[value.index()] = Range::new(start, self.pieces.len());
    }

    fn copy(&mut self, from: ValueId, to: ValueId) {
        if let Some(&range) = self.ranges.get(from.index()) {
            self.ranges[to.index()] = range;
        }
    }
}

/// Rounds after which a loop that keeps carrying new memory round is taken to carry any of its space.
const MAX_ROUNDS: usize = 4;

/// The memory of all values of a function.
pub(super) fn memory(module: Module<'_>, target: Target<'_>, function: OpId) -> Memory {
    memory_given(module, target, function, &[])
}

/// The memory of all values of a function in a call that gives it these arguments.
pub(super) fn memory_given(
    module: Module<'_>,
    target: Target<'_>,
    function: OpId,
    given: &[Argument],
) -> Memory {
    let values = module.t.values.len();
    let mut tracer = Tracer {
        module,
        target,
        memory: Memory {
            ranges: vec![Range::default(); values],
            pieces: Vec::new(),
            layouts: module.t.values.iter().map(|v| v.ty).collect(),
            constants: given.iter().filter_map(|(arg, .., number)| Some((*arg, (*number)?))).collect(),
        },
        carried: BTreeMap::new(),
        round: 0,
        popped: pops::pops(module, target, function),
    };
    let Some(entry) = module.entry_block(function, 0).get() else { return tracer.memory };
    for arg in module.block_args(entry) {
        match given.iter().find(|(parameter, _, pieces, _)| *parameter == arg && !pieces.is_empty()) {
            Some((_, layout, pieces, _)) => {
                tracer.memory.set(arg, pieces);
                tracer.memory.layouts[arg.index()] = *layout;
            }
            None => tracer.parameter(arg),
        }
    }
    // What a loop carries round is known only behind it: walk again until nothing new comes round.
    loop {
        let before = tracer.carried.clone();
        tracer.block(entry);
        tracer.round += 1;
        if before == tracer.carried || tracer.round > MAX_ROUNDS {
            return tracer.memory;
        }
    }
}

/// The memory space of a value, by its type.
pub(super) fn space_of(module: Module<'_>, target: Target<'_>, value: ValueId) -> Option<SpaceId> {
    let ty = module.type_of(value);
    match ty.kind {
        type_kind::TILE => module.tile(ty).map(|t| t.space),
        type_kind::MEMREF if ty.space.is_some() => target.space(module.str(ty.space)),
        type_kind::PTR if ty.space.is_some() => target.space(module.str(ty.space)),
        type_kind::PTR | type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW => global(target),
        type_kind::MULTI_TILE => {
            module.slots(ty).and_then(|(slot, _)| Some(module.tile(module.ty(slot))?.space))
        }
        _ => None,
    }
}

fn global(target: Target<'_>) -> Option<SpaceId> {
    target.t.spaces.iter().position(|s| s.flags & space_flag::GLOBAL != 0).map(SpaceId::from_index)
}

struct Tracer<'a> {
    module: Module<'a>,
    target: Target<'a>,
    memory: Memory,
    /// For each loop argument that stands for memory, what comes round to it.
    carried: BTreeMap<ValueId, Vec<Piece>>,
    round: usize,
    /// Tiles that are slots of pipes.
    popped: HashMap<ValueId, Popped>,
}

impl Tracer<'_> {
    fn parameter(&mut self, arg: ValueId) {
        if !self.module.type_of(arg).is_memory() {
            return;
        }
        let Some(global) = global(self.target) else { return };
        // Any parameter is global memory of unknown size to the reference, whatever its type says.
        let space = space_of(self.module, self.target, arg).unwrap_or(global);
        let mut pieces = vec![Piece::new(arg, self.region(global, 0, 0, region_flag::PRIVATE))];
        if space != global {
            pieces[0].region.flags |= region_flag::NOT_RANGE;
            let own = self.region(space, 0, 0, region_flag::NOT_ROOT | region_flag::UNTRACED);
            pieces.push(Piece::new(arg, own));
        }
        self.memory.set(arg, &pieces);
    }

    /// A region with the flags that its space brings along.
    fn region(&self, space: SpaceId, base: u64, size: u64, flags: u32) -> Region {
        let of_space = self.target.t.spaces.get(space.index()).map_or(0, |s| s.flags);
        let mut flags = flags;
        flags |= if of_space & space_flag::GLOBAL != 0 { region_flag::GLOBAL } else { 0 };
        flags |= if of_space & space_flag::ACCUMULATOR != 0 { region_flag::ACCUMULATOR } else { 0 };
        Region { base, size, space, flags, ..Default::default() }
    }

    fn block(&mut self, block: BlockId) {
        for arg in self.module.block_args(block) {
            self.is_known(arg);
        }
        for &op in self.module.block_ops(block) {
            self.operation(op);
        }
    }

    fn bodies(&mut self, op: OpId) {
        for body in self.module.bodies(op) {
            for block in self.module.blocks(body) {
                self.block(block);
            }
        }
    }

    fn operation(&mut self, op: OpId) {
        match self.module.op_name(op) {
            "pto.alloc_tile" => self.alloc_tile(op),
            "pto.alloc_multi_tile" => self.alloc_slots(op),
            "pto.multi_tile_get" => self.slot(op),
            "pto.subview" => self.subview(op),
            "scf.for" => self.for_loop(op),
            "scf.while" => self.while_loop(op),
            "memref.alloc" => self.declared(op),
            name => {
                let entry = self.module.op(op).entry.get().map(|e| self.target.t.entries[e.index()]);
                match entry {
                    Some(entry) if entry.alias != u32::MAX => self.alias(op, &entry),
                    Some(entry) if entry.flags & entry_flag::ROOT != 0 => self.declared(op),
                    Some(_) => {}
                    None => self.foreign(op, name),
                }
                self.bodies(op);
                if !self.module.bodies(op).is_empty() && !name.starts_with("func.") {
                    self.yielded_results(op);
                }
            }
        }
        self.results_are_known(op);
    }

    /// `addr = %a`: the address value is the identity.
    fn alloc_tile(&mut self, op: OpId) {
        let result = self.module.result(op, 0);
        let ty = self.module.type_of(result);
        let (Some(tile), &[rows, cols]) = (self.module.tile(ty), self.module.dims(ty)) else { return };
        let address = self.module.operands(op).iter().find(|o| self.slot_name(op, o.slot) == "addr");
        let Some(address) = address.map(|o| o.value) else { return self.declared(op) };
        let bits = u64::from(self.element_bits(ty.element));
        let (rows, cols) = (rows.max(0) as u64, cols.max(0) as u64);
        let size = rows.wrapping_mul(cols).wrapping_mul(bits / 8);
        let mut region = self.region(tile.space, 0, size, 0);
        if let Some(constant) = self.memory.constant(self.module, address)
            && rows > 0
            && cols > 0
        {
            let (rows, cols) = (rows + u64::from(tile.compact == 2), cols + u64::from(tile.compact == 2));
            region.flags |= region_flag::KNOWN_ADDRESS;
            region.address = constant as u64;
            region.rows = 1;
            region.row_bytes = rows.saturating_mul(cols).saturating_mul(bits).div_ceil(8);
            region.pitch = region.row_bytes;
        }
        self.memory.set(result, &[Piece::new(address, region)]);
    }

    /// Several tiles of one type, one behind the other.
    fn alloc_slots(&mut self, op: OpId) {
        let result = self.module.result(op, 0);
        let Some(slots) = Slots::of(self.module, self.target, self.module.type_of(result)) else { return };
        let address = self.module.operands(op).iter().find(|o| self.slot_name(op, o.slot) == "addr");
        let size = slots.pitch.saturating_mul(slots.count);
        let Some(address) = address.map(|o| o.value) else {
            let region = self.region(slots.space, 0, size, region_flag::PRIVATE);
            return self.memory.set(result, &[Piece::new(result, region)]);
        };
        let mut region = self.region(slots.space, 0, size, 0);
        if let Some(constant) = self.memory.constant(self.module, address).filter(|_| size > 0) {
            region.flags |= region_flag::KNOWN_ADDRESS;
            region.address = constant as u64;
            (region.rows, region.row_bytes, region.pitch) = (1, size, size);
        }
        self.memory.set(result, &[Piece::new(address, region)]);
    }

    /// One of several tiles: that one if its number is a constant, else any of them.
    fn slot(&mut self, op: OpId) {
        let (result, source) = (self.module.result(op, 0), self.module.operand(op, 0));
        let (Some(result), Some(source)) = (result.get(), source.get()) else { return };
        let Some(slots) = Slots::of(self.module, self.target, self.module.type_of(source)) else { return };
        let number =
            self.memory.constant(self.module, self.module.operand(op, 1)).and_then(|n| u64::try_from(n).ok());
        let mut pieces = self.memory.of(source).to_vec();
        for Piece { region, somewhere, .. } in &mut pieces {
            let Some(number) = number.filter(|&n| n < slots.count) else {
                region.flags |= region_flag::SOMEWHERE;
                *somewhere = true;
                continue;
            };
            region.base = region.base.wrapping_add(number * slots.pitch);
            region.size = slots.bytes;
            if region.flags & region_flag::KNOWN_ADDRESS != 0 {
                region.address = region.address.wrapping_add(number * slots.pitch);
                (region.row_bytes, region.pitch) = (slots.bytes, slots.bytes);
            }
        }
        self.memory.set(result, &pieces);
    }

    /// A tile that gets its memory at run time (a pop), or a buffer without an address: its own identity.
    fn declared(&mut self, op: OpId) {
        let Some(result) = self.module.result(op, 0).get() else { return };
        let ty = self.module.type_of(result);
        let space = space_of(self.module, self.target, result)
            .or_else(|| self.target.space_with(space_flag::STAGING));
        let Some(space) = space.filter(|_| ty.is_memory()) else { return };
        if matches!(ty.kind, type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW) {
            // The reference knows no memory of such views.
            let region = self.region(space, 0, 0, region_flag::PRIVATE | region_flag::NOT_ROOT);
            return self.memory.set(result, &[Piece::new(result, region)]);
        }
        let bytes = u64::from(self.element_bits(ty.element) / 8).max(1);
        let dims = self.module.dims(ty);
        let size = if dims.contains(&DYNAMIC) {
            0
        } else {
            dims.iter().fold(bytes, |size, &d| size.wrapping_mul(d as u64))
        };
        let region = self.region(space, 0, size, region_flag::PRIVATE);
        let Some(popped) = self.popped.get(&result) else {
            return self.memory.set(result, &[Piece::new(result, region)]);
        };
        let bytes = if size == 0 { popped.size } else { size };
        let of_slot = |&number: &u64| {
            let address = number.saturating_mul(popped.size);
            let mut region =
                Region { base: address, address, rows: 1, row_bytes: bytes, pitch: bytes, ..region };
            region.flags |= region_flag::KNOWN_ADDRESS;
            Piece::new(popped.root, region)
        };
        let pieces: Vec<Piece> = popped.numbers.iter().map(of_slot).collect();
        self.memory.set(result, &pieces);
    }

    /// A subview at constant offsets is the contiguous range from its first element for the reference; what it
    /// really covers is a run of bytes in each row (or column).
    fn subview(&mut self, op: OpId) {
        let result = self.module.result(op, 0);
        let Some(source) = self.module.operand(op, 0).get() else { return };
        let layout = self.memory.layouts[source.index()];
        self.memory.layouts[result.index()] = layout;
        let ty = self.module.ty(layout);
        let (Some(tile), &[rows, cols]) = (self.module.tile(ty), self.module.dims(ty)) else {
            return self.memory.copy(source, result);
        };
        let offsets: Option<Vec<i64>> = self
            .module
            .operands(op)
            .iter()
            .filter(|o| self.slot_name(op, o.slot) == "offsets")
            .map(|o| self.memory.constant(self.module, o.value))
            .collect();
        let sizes = self.int_list(op, "sizes");
        let (Some(&[row, col]), &[height, width]) = (offsets.as_deref(), &sizes[..]) else {
            let somewhere = |piece: &Piece| Piece { somewhere: true, ..*piece };
            let pieces: Vec<Piece> = self.memory.of(source).iter().map(somewhere).collect();
            return self.memory.set(result, &pieces);
        };
        let bits = self.element_bits(ty.element);
        let bytes = u64::from(bits / 8).max(1);
        let [row_stride, col_stride] = strides(tile, rows, cols, u64::from(bits / 8));
        let shift = (row as u64)
            .wrapping_mul(row_stride)
            .wrapping_add((col as u64).wrapping_mul(col_stride))
            .wrapping_mul(bytes);
        let size = (height as u64).wrapping_mul(width as u64).wrapping_mul(bytes);
        let pieces: Vec<Piece> = self
            .memory
            .of(source)
            .iter()
            .map(|piece| {
                let mut region = piece.region;
                region.base = region.base.wrapping_add(shift);
                region.size = size;
                let known = region.flags & region_flag::KNOWN_ADDRESS != 0;
                // Rows inside boxes, and subviews of strided pieces and of computed places, keep the parent's bytes, which
                // contain them.
                if known
                    && !piece.somewhere
                    && tile.slayout == 0
                    && region.rows == 1
                    && bits.is_multiple_of(8)
                {
                    let (count, run, stride) = if tile.blayout == 0 {
                        (height as u64, width as u64, row_stride)
                    } else {
                        (width as u64, height as u64, col_stride)
                    };
                    region.address = region.address.wrapping_add(shift);
                    (region.rows, region.row_bytes, region.pitch) = (count, run * bytes, stride * bytes);
                }
                Piece { region, ..*piece }
            })
            .collect();
        self.memory.set(result, &pieces);
    }

    fn slot_name(&self, op: OpId, slot: u32) -> &str {
        let entry = self.module.op(op).entry;
        let Some(entry) = entry.get().map(|e| self.target.t.entries[e.index()]) else { return "" };
        entry.operands.of(self.target.t.operands).get(slot as usize).map_or("", |s| self.target.str(s.name))
    }

    fn int_list(&self, op: OpId, name: &str) -> Vec<i64> {
        let Some(list) = self.module.attr(op, name).filter(|a| a.kind == attr_kind::ARRAY) else {
            return Vec::new();
        };
        let values = list.children.of(self.module.t.attrs).iter();
        values.map(|v| self.module.t.attr_values[v.value.index()].bits as i64).collect()
    }

    fn element_bits(&self, element: TypeId) -> u32 {
        let Some(element) = element.get().map(|e| self.module.ty(e)) else { return 0 };
        match element.kind {
            type_kind::INT | type_kind::FLOAT => element.width,
            type_kind::INDEX => 64,
            // The dialect's own small floats: one byte.
            type_kind::OTHER => 8,
            _ => 0,
        }
    }
}

/// The tiles of a buffer of several.
struct Slots {
    space: SpaceId,
    count: u64,
    /// Bytes of one.
    bytes: u64,
    /// Bytes from one to the next.
    pitch: u64,
}

impl Slots {
    fn of(module: Module<'_>, target: Target<'_>, ty: &Type) -> Option<Self> {
        let (slot, count) = module.slots(ty)?;
        let bytes = module.tile_bytes(module.ty(slot))?;
        let space = module.tile(module.ty(slot))?.space;
        Some(Self { space, count, bytes, pitch: target.slot_pitch(space, bytes) })
    }
}

/// Elements from one row, and from one column, to the next.
fn strides(tile: &TileType, rows: i64, cols: i64, bytes: u64) -> [u64; 2] {
    let extra = u64::from(tile.compact == 2);
    let (rows, cols) = (rows.max(0) as u64 + extra, cols.max(0) as u64 + extra);
    let inner = match (tile.slayout, tile.fractal) {
        (0, _) => None,
        (_, 1024) => Some((16, 16)),
        (_, 32) => Some((16, 2)),
        (1, 512) if bytes > 0 => Some((16, 32 / bytes)),
        (2, 512) if bytes > 0 => Some((32 / bytes, 16)),
        _ => None,
    };
    match (tile.slayout, tile.blayout, inner) {
        (0, 1, _) => [1, rows],
        (1, 1, Some((_, inner_cols))) => [inner_cols, rows],
        (1 | 2, 0, Some((inner_rows, _))) => [cols, inner_rows],
        _ => [cols, 1],
    }
}

/// The value of an integer constant.
pub(super) fn constant_int(module: Module<'_>, value: ValueId) -> Option<i64> {
    let op = module.value(value).op.get()?;
    if module.op_name(op) != "arith.constant" {
        return None;
    }
    module.int_attr(op, "value")
}
