//! Which memory each value of a function stands for.
//!
//! A value has pieces, normally none or one. A piece carries the reference's identity (root, offset and size relative
//! to it: the address *value* is the identity) and beside it the absolute bytes, where they are known. The two differ
//! where the reference is unsound; pieces for one rule only are marked.

use pipewright_abi::ir::{DYNAMIC, Module, TileType, attr_kind, type_kind};
use pipewright_abi::kernel::{Region, region_flag};
use pipewright_abi::target::{Target, entry_flag, space_flag};
use pipewright_abi::{BlockId, OpId, Range, SpaceId, TypeId, ValueId};

/// A piece of memory. `region.root` is not set; `root` says which value is the root.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

impl Memory {
    /// The pieces of a value.
    pub(super) fn of(&self, value: ValueId) -> &[Piece] {
        self.ranges.get(value.index()).map_or(&[], |range| range.of(&self.pieces))
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
    let values = module.t.values.len();
    let mut tracer = Tracer {
        module,
        target,
        memory: Memory {
            ranges: vec![Range::default(); values],
            pieces: Vec::new(),
            layouts: module.t.values.iter().map(|v| v.ty).collect(),
        },
        carried: Vec::new(),
        round: 0,
    };
    let Some(entry) = module.entry_block(function, 0).get() else { return tracer.memory };
    for arg in module.block_args(entry) {
        tracer.parameter(arg);
    }
    // What a loop carries round is known only behind it: walk again until nothing new comes round.
    loop {
        let before: Vec<Vec<Piece>> = tracer.carried.iter().map(|(_, pieces)| pieces.clone()).collect();
        tracer.block(entry);
        tracer.round += 1;
        let now = tracer.carried.iter().map(|(_, pieces)| pieces);
        if before.len() == tracer.carried.len() && before.iter().eq(now) || tracer.round > MAX_ROUNDS {
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
        type_kind::PTR | type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW => global(target),
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
    carried: Vec<(ValueId, Vec<Piece>)>,
    round: usize,
}

impl Tracer<'_> {
    fn parameter(&mut self, arg: ValueId) {
        let kind = self.module.type_of(arg).kind;
        let memory = [type_kind::PTR, type_kind::TENSOR_VIEW, type_kind::PARTITION_VIEW, type_kind::TILE];
        if !memory.contains(&kind) && kind != type_kind::MEMREF {
            return;
        }
        let Some(global) = global(self.target) else { return };
        // Any parameter is global memory of unknown size to the reference, whatever its type says.
        let space = space_of(self.module, self.target, arg).unwrap_or(global);
        let mut pieces = vec![Piece::new(arg, self.region(global, 0, 0, region_flag::PRIVATE))];
        if space != global {
            pieces[0].region.flags |= region_flag::NOT_RANGE;
            let own = self.region(space, 0, 0, region_flag::NOT_ROOT);
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
            "pto.subview" => self.subview(op),
            "scf.for" => self.for_loop(op),
            "scf.while" => self.while_loop(op),
            "memref.alloc" => self.declared(op),
            name => {
                let entry = self.module.op(op).entry;
                if let Some(entry) = entry.get().map(|e| self.target.t.entries[e.index()]) {
                    if entry.alias != u32::MAX {
                        let source = self.module.operands(op).iter().find(|o| o.slot == entry.alias);
                        if let (Some(source), Some(result)) = (source, self.module.result(op, 0).get()) {
                            self.memory.copy(source.value, result);
                        }
                    } else if entry.flags & entry_flag::ROOT != 0 {
                        self.declared(op);
                    }
                }
                self.bodies(op);
                if !self.module.bodies(op).is_empty() && !name.starts_with("func.") {
                    self.yielded_results(op);
                }
            }
        }
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
        if let Some(constant) = constant_int(self.module, address)
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

    /// A tile that gets its memory at run time (a pop), or a buffer without an address: its own identity.
    fn declared(&mut self, op: OpId) {
        let Some(result) = self.module.result(op, 0).get() else { return };
        let ty = self.module.type_of(result);
        if !matches!(ty.kind, type_kind::TILE | type_kind::MEMREF | type_kind::PTR) {
            return;
        }
        let space = space_of(self.module, self.target, result).or_else(|| self.target.space("mat"));
        let Some(space) = space else { return };
        let bytes = u64::from(self.element_bits(ty.element) / 8).max(1);
        let dims = self.module.dims(ty);
        let size = if dims.contains(&DYNAMIC) {
            0
        } else {
            dims.iter().fold(bytes, |size, &d| size.wrapping_mul(d as u64))
        };
        let region = self.region(space, 0, size, region_flag::PRIVATE);
        self.memory.set(result, &[Piece::new(result, region)]);
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
            .map(|o| constant_int(self.module, o.value))
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

    /// The reference gives a loop argument its initial value's memory only; what comes round is added for the
    /// `range` rule. A result has the memory of the value that is yielded.
    fn for_loop(&mut self, op: OpId) {
        let Some(block) = self.module.entry_block(op, 0).get() else { return };
        let args: Vec<ValueId> = self.module.block_args(block).skip(1).collect();
        self.arguments(op, 3, &args);
        self.bodies(op);
        let yielded = self.yielded(block);
        for (index, &arg) in args.iter().enumerate() {
            let Some(&value) = yielded.get(index) else { continue };
            self.comes_round(arg, value);
            self.loop_result(op, index, value);
        }
    }

    fn while_loop(&mut self, op: OpId) {
        let (Some(before), Some(after)) =
            (self.module.entry_block(op, 0).get(), self.module.entry_block(op, 1).get())
        else {
            return;
        };
        let args: Vec<ValueId> = self.module.block_args(before).collect();
        self.arguments(op, 0, &args);
        let forwarded: Vec<ValueId> = self.yielded(before).into_iter().skip(1).collect();
        self.block(before);
        for (index, arg) in self.module.block_args(after).enumerate() {
            let Some(&value) = forwarded.get(index) else { continue };
            let mut pieces = self.memory.of(value).to_vec();
            // The reference knows it only if it is known before the loop's head runs.
            if !self.is_visible_before(op, value) {
                pieces.iter_mut().for_each(|p| p.region.flags |= region_flag::NOT_ROOT);
            }
            self.memory.set(arg, &pieces);
        }
        self.block(after);
        for (index, value) in self.yielded(after).into_iter().enumerate() {
            if let Some(&arg) = args.get(index) {
                self.comes_round(arg, value);
            }
        }
        for (index, &value) in forwarded.iter().enumerate() {
            let Some(result) = self.module.result(op, index).get() else { continue };
            let mut pieces = self.memory.of(value).to_vec();
            pieces.iter_mut().for_each(|p| p.region.flags |= region_flag::NOT_ROOT);
            self.memory.set(result, &pieces);
        }
    }

    /// Whether a value is defined outside of the loop or is an argument of its head.
    fn is_visible_before(&self, op: OpId, value: ValueId) -> bool {
        let record = self.module.value(value);
        match record.op.get() {
            None => true,
            Some(definition) => {
                let mut at = definition;
                while let Some(parent) = self.module.parent(at).get() {
                    if parent == op {
                        return false;
                    }
                    at = parent;
                }
                true
            }
        }
    }

    fn arguments(&mut self, op: OpId, first_init: usize, args: &[ValueId]) {
        for (index, &arg) in args.iter().enumerate() {
            let init = self.module.operand(op, first_init + index);
            let Some(init) = init.get() else { continue };
            let mut pieces = self.memory.of(init).to_vec();
            if let Some((_, carried)) = self.carried.iter().find(|(a, _)| *a == arg) {
                pieces.extend(
                    carried.iter().filter(|c| !pieces.contains(&unmarked(c))).copied().collect::<Vec<_>>(),
                );
            }
            self.memory.set(arg, &pieces);
        }
    }

    /// Remembers that `value` comes round to the loop argument `arg`.
    fn comes_round(&mut self, arg: ValueId, value: ValueId) {
        let Some(space) = space_of(self.module, self.target, arg) else { return };
        let mut pieces: Vec<Piece> = Vec::new();
        if self.round >= MAX_ROUNDS {
            pieces.push(Piece::new(arg, self.region(space, 0, 0, region_flag::NOT_ROOT)));
        }
        for piece in self.memory.of(value) {
            let mut piece = *piece;
            piece.region.flags |= region_flag::NOT_ROOT;
            if !pieces.contains(&piece) {
                pieces.push(piece);
            }
        }
        match self.carried.iter_mut().find(|(a, _)| *a == arg) {
            Some((_, known)) => *known = pieces,
            None => self.carried.push((arg, pieces)),
        }
    }

    /// A loop's result is what is yielded; for the `range` rule also the initial value, for no trips.
    fn loop_result(&mut self, op: OpId, index: usize, value: ValueId) {
        let Some(result) = self.module.result(op, index).get() else { return };
        let mut pieces = self.memory.of(value).to_vec();
        if let Some(init) = self.module.operand(op, 3 + index).get() {
            for piece in self.memory.of(init) {
                let mut piece = *piece;
                if !pieces.contains(&piece) {
                    piece.region.flags |= region_flag::NOT_ROOT;
                    pieces.push(piece);
                }
            }
        }
        self.memory.set(result, &pieces);
    }

    /// Operands of the block's terminator.
    fn yielded(&self, block: BlockId) -> Vec<ValueId> {
        let last = self.module.block_ops(block).last();
        let Some(&last) =
            last.filter(|&&op| matches!(self.module.op_name(op), "scf.yield" | "scf.condition"))
        else {
            return Vec::new();
        };
        self.module.operands(last).iter().map(|o| o.value).collect()
    }

    /// Result k of a construct is what its arms yield, the first arm first.
    fn yielded_results(&mut self, op: OpId) {
        for (index, result) in self.module.results(op).enumerate() {
            let mut pieces: Vec<Piece> = Vec::new();
            for body in self.module.bodies(op) {
                for block in self.module.blocks(body) {
                    if let Some(&value) = self.yielded(block).get(index) {
                        pieces.extend_from_slice(self.memory.of(value));
                    }
                }
            }
            if !pieces.is_empty() {
                self.memory.set(result, &pieces);
            }
        }
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

/// The piece as the initial value would give it.
fn unmarked(piece: &Piece) -> Piece {
    let mut piece = *piece;
    piece.region.flags &= !region_flag::NOT_ROOT;
    piece
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
