//! Where memory may lie: at a multiple of its space's alignment, within the space, and apart from reserved buffers.
//!
//! A tile is judged where it is given its address, a window and a planned slot where it is first accessed. What must
//! hold: memory whose place is not known is never called right, it is noted as assumed.

use std::collections::{HashMap, HashSet};

use pipewright_abi::ir::{Module, Operand, Type, type_kind};
use pipewright_abi::kernel::{Region, region_flag};
use pipewright_abi::target::{Target, space_flag};
use pipewright_abi::{OpId, SpaceId, ValueId};

use super::program::{Builder, Fault, Program};

/// What is assumed where an address is not known.
pub(super) const ASSUMPTION: &str = "a tile whose address is not known here begins at a multiple of its space's alignment and lies within the space";

/// Addresses that are told apart for one tile; beyond that its address counts as not known.
const MAX_ADDRESSES: usize = 16;

/// A memory space that is no larger than it is, and where memory in it may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The space.
    pub space: u32,
    /// Its name.
    pub name: String,
    /// Its bytes; 0 if it is unbounded.
    pub bytes: u64,
    /// What every address is a multiple of.
    pub align: u64,
}

/// How memory lies where it must not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misplaced {
    /// Where it begins.
    pub address: u64,
    /// What the address should be a multiple of, if it is none.
    pub align: Option<u64>,
    /// How many of its bytes are outside of the space.
    pub beyond: u64,
    /// The last address at which it fits; none if it is larger than the space.
    pub last: Option<u64>,
}

impl Bounds {
    /// The local spaces of a target.
    pub(super) fn of(target: &Target<'_>) -> Vec<Self> {
        let spaces = (0u32..).zip(target.t.spaces);
        let local = spaces.filter(|(_, s)| s.flags & space_flag::GLOBAL == 0);
        local
            .map(|(space, s)| {
                let name = target.str(s.name).to_owned();
                Self { space, name, bytes: s.bytes, align: s.align.max(1) }
            })
            .collect()
    }

    /// What is wrong with `bytes` bytes at an address, if anything is.
    pub fn misplaced(&self, address: u64, bytes: u64) -> Option<Misplaced> {
        let is_unaligned = !address.is_multiple_of(self.align);
        let (end, there) = (u128::from(address) + u128::from(bytes), u128::from(self.bytes));
        // A negative address is far behind the end of the space: all of it is outside.
        let beyond = if self.bytes == 0 { 0 } else { end.saturating_sub(there).min(u128::from(bytes)) };
        if !is_unaligned && beyond == 0 {
            return None;
        }
        let last = if self.bytes == 0 { Some(u64::MAX) } else { self.bytes.checked_sub(bytes) };
        let last = last.map(|last| last - last % self.align);
        let beyond = u64::try_from(beyond).unwrap_or(u64::MAX);
        Some(Misplaced { address, align: is_unaligned.then_some(self.align), beyond, last })
    }
}

impl Misplaced {
    /// What is wrong, behind the name of the memory.
    pub(super) fn text(&self, bounds: &Bounds) -> String {
        let Bounds { name, bytes, .. } = bounds;
        // An address is written as it stands in the source, with its sign.
        let address = self.address as i64;
        let begin = format!("begins at {address} in {name}");
        let multiple = self.align.map(|align| format!("which is no multiple of {align}"));
        let beyond = (self.beyond > 0).then(|| {
            let s = if self.beyond == 1 { "" } else { "s" };
            format!("{} byte{s} of it are outside of the {bytes} that there are", self.beyond)
        });
        let wrong: Vec<String> = [multiple, beyond].into_iter().flatten().collect();
        format!("{begin}, {}", wrong.join(", and "))
    }

    /// Where it could lie instead.
    pub(super) fn help(&self, bounds: &Bounds) -> String {
        let Some(last) = self.last else {
            return format!("it is larger than {}, which has {} bytes", bounds.name, bounds.bytes);
        };
        let align = self.align.filter(|_| self.address <= last);
        let Some(align) = align else {
            let is_negative = (self.address as i64) < 0;
            let nearest = if is_negative { 0 } else { last };
            return format!("the nearest address at which it fits is {nearest}");
        };
        // The last address at which it fits is a multiple itself, so the next multiple is none behind it.
        let below = self.address - self.address % align;
        let above = below.saturating_add(align);
        format!("the nearest that are: {below} and {above}")
    }
}

/// What is wrong with the place of memory, and where it could lie.
pub(super) fn misplaced_text(program: &Program, space: u32, what: &Misplaced) -> String {
    match program.bounds.iter().find(|bounds| bounds.space == space) {
        Some(bounds) => format!("{}; {}", what.text(bounds), what.help(bounds)),
        None => format!("begins at {}", what.address),
    }
}

/// Which memory a tile takes that is set apart.
pub(super) fn taken_text(program: &Program, space: u32, tile: [u64; 2], buffer: [u64; 2]) -> String {
    let name = program.bounds.iter().find(|b| b.space == space).map_or("memory", |b| &b.name);
    let ([first, end], [low, high]) = (tile, buffer);
    format!("the tile ({name} {first}..{end}) lies in a reserved buffer ({name} {low}..{high})")
}

impl Program {
    /// The bounds of the space that memory lies in.
    pub fn bounds_of(&self, memory: usize) -> Option<&Bounds> {
        let space = self.memories.get(memory)?.space();
        self.bounds.iter().find(|bounds| bounds.space == space)
    }

    /// What is wrong with the place of a piece of memory, if anything is.
    pub fn misplaced(&self, memory: usize) -> Option<Misplaced> {
        let (first, last) = self.memories.get(memory)?.span()?;
        self.bounds_of(memory)?.misplaced(first, (last - first).saturating_add(1))
    }
}

/// Memory that an operation puts at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allocation {
    space: SpaceId,
    bytes: u64,
    /// Where it may begin; nothing if that is not known.
    addresses: Vec<u64>,
    /// Whether it is set apart for the slots of a pipe.
    is_reserved: bool,
}

impl Allocation {
    /// First byte, and the one behind the last, at one of its addresses.
    fn extent(&self, address: u64) -> [u64; 2] {
        [address, address.saturating_add(self.bytes)]
    }
}

/// Tiles and buffers of a function, with their addresses.
#[derive(Debug, Default)]
pub(super) struct Placed {
    of_ops: HashMap<OpId, Allocation>,
    tiles: HashSet<(SpaceId, u64)>,
    /// Buffers that are set apart, ascending, each beside the one up to it that ends last.
    reserved: Vec<(SpaceId, [u64; 2], [u64; 2])>,
}

impl Placed {
    /// What these operations put at addresses.
    pub(super) fn new(module: &Module<'_>, target: &Target<'_>, ops: impl Iterator<Item = OpId>) -> Self {
        let mut placed = Self::default();
        for op in ops {
            let Some(allocation) = allocation(module, target, op) else { continue };
            for &address in &allocation.addresses {
                if allocation.is_reserved {
                    let extent = allocation.extent(address);
                    placed.reserved.push((allocation.space, extent, extent));
                } else {
                    placed.tiles.insert((allocation.space, address));
                }
            }
            placed.of_ops.insert(op, allocation);
        }
        placed.reserved.sort_unstable();
        for i in 1..placed.reserved.len() {
            let ((before, _, widest), (space, _, own)) = (placed.reserved[i - 1], placed.reserved[i]);
            if before == space && widest[1] > own[1] {
                placed.reserved[i].2 = widest;
            }
        }
        placed
    }

    /// A buffer that is set apart and shares a byte with these.
    fn reserved_at(&self, space: SpaceId, [first, end]: [u64; 2]) -> Option<[u64; 2]> {
        let behind = self.reserved.partition_point(|&(s, [low, _], _)| (s, low) < (space, end));
        let &(s, _, widest) = self.reserved.get(behind.checked_sub(1)?)?;
        (s == space && widest[1] > first && first < end).then_some(widest)
    }

    /// Whether the memory is that of a tile as a whole, whose place is judged where it is given its address.
    pub(super) fn is_tile(&self, region: &Region) -> bool {
        region.flags & region_flag::KNOWN_ADDRESS != 0
            && region.rows == 1
            && self.tiles.contains(&(region.space, region.address))
    }

    /// Adds what is wrong with the address that an operation gives, if it gives one.
    pub(super) fn judge(&self, module: &Module<'_>, op: OpId, builder: &mut Builder) {
        // Where a window with a computed place lies is not known.
        let is_computed = |o: &Operand| constant(module, o.value).is_none();
        if module.op_name(op) == "pto.subview" && module.operands(op).iter().skip(1).any(is_computed) {
            builder.is_somewhere();
        }
        let Some(allocation) = self.of_ops.get(&op) else { return };
        if allocation.addresses.is_empty() {
            builder.is_somewhere();
        }
        let space = allocation.space.0;
        let subject = if allocation.is_reserved { "the reserved buffer" } else { "the tile" };
        for &address in &allocation.addresses {
            let bounds = builder.program().bounds.iter().find(|bounds| bounds.space == space);
            if let Some(what) = bounds.and_then(|bounds| bounds.misplaced(address, allocation.bytes)) {
                builder.opaque();
                builder.fault(Fault::Misplaced { subject, space, what });
            }
            let tile = allocation.extent(address);
            let buffer = self.reserved_at(allocation.space, tile).filter(|_| !allocation.is_reserved);
            if let Some(buffer) = buffer {
                builder.opaque();
                builder.fault(Fault::Taken { space, tile, buffer });
            }
        }
    }
}

/// The value of an integer constant.
fn constant(module: &Module<'_>, value: ValueId) -> Option<i64> {
    let op = module.value(value).op.get()?;
    (module.op_name(op) == "arith.constant").then(|| module.int_attr(op, "value"))?
}

/// What an operation puts at an address, if it does: a tile, or a buffer that it reserves. Nothing for one that gets its
/// address elsewhere.
fn allocation(module: &Module<'_>, target: &Target<'_>, op: OpId) -> Option<Allocation> {
    if module.op_name(op) == "pto.reserve_buffer" {
        let space = target.space(module.text_attr(op, "location")?)?;
        let bytes = u64::try_from(module.int_attr(op, "size")?).ok()?;
        let addresses = module.int_attr(op, "base").into_iter().map(|base| base as u64).collect();
        return Some(Allocation { space, bytes, addresses, is_reserved: true });
    }
    let entry = target.t.entries[module.op(op).entry.get()?.index()];
    let specs = entry.operands.of(target.t.operands);
    let slot = specs.iter().position(|spec| target.str(spec.name) == "addr")?;
    let address = module.operands(op).iter().find(|o| o.slot as usize == slot)?.value;
    let ty = module.type_of(module.result(op, 0).get()?);
    let space = module.tile(ty)?.space;
    let mut addresses = Vec::new();
    let mut left = 4 * MAX_ADDRESSES;
    if !constants(module, address, &mut addresses, &mut left) {
        addresses.clear();
    }
    Some(Allocation { space, bytes: tile_bytes(module, ty), addresses, is_reserved: false })
}

/// Collects the constants that a value can be. Whether these are all.
fn constants(module: &Module<'_>, value: ValueId, found: &mut Vec<u64>, left: &mut usize) -> bool {
    if let Some(constant) = constant(module, value) {
        if !found.contains(&(constant as u64)) {
            found.push(constant as u64);
        }
        return found.len() <= MAX_ADDRESSES;
    }
    let Some(op) = module.value(value).op.get().filter(|_| *left > 0) else { return false };
    *left -= 1;
    match module.op_name(op) {
        "arith.select" => {
            [1, 2].into_iter().all(|choice| constants(module, module.operand(op, choice), found, left))
        }
        "arith.index_cast" | "arith.extsi" | "arith.extui" => {
            constants(module, module.operand(op, 0), found, left)
        }
        _ => false,
    }
}

/// The bytes from a tile's first to its last element.
fn tile_bytes(module: &Module<'_>, ty: &Type) -> u64 {
    let (Some(tile), &[rows, cols]) = (module.tile(ty), module.dims(ty)) else { return 0 };
    let bits = ty.element.get().map_or(0, |element| {
        let element = module.ty(element);
        match element.kind {
            type_kind::INT | type_kind::FLOAT => element.width,
            type_kind::INDEX => 64,
            // The dialect's own small floats.
            _ => 8,
        }
    });
    let (rows, cols) = (rows.max(0) as u64, cols.max(0) as u64);
    let elements = if tile.compact == 2 && rows > 0 && cols > 0 {
        // One element more from each row (or column) to the next.
        let (major, minor) = if tile.blayout == 0 { (rows, cols) } else { (cols, rows) };
        (major - 1).saturating_mul(minor + 1).saturating_add(minor)
    } else {
        rows.saturating_mul(cols)
    };
    elements.saturating_mul(u64::from(bits)).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vec() -> Bounds {
        Bounds { space: 1, name: "vec".into(), bytes: 1000, align: 32 }
    }

    /// Against the definition: each address, and each byte, by itself.
    #[test]
    fn memory_is_misplaced_if_a_byte_is_outside_or_its_address_is_no_multiple() {
        let bounds = vec();
        for bytes in [1, 31, 32, 96, 1000, 1001] {
            for address in (0..1100).chain([u64::MAX - 31]) {
                let outside =
                    (0..bytes).filter(|b| address.checked_add(*b).is_none_or(|at| at >= 1000)).count();
                let found = bounds.misplaced(address, bytes);
                assert_eq!(found.is_some(), outside > 0 || address % 32 != 0, "{bytes} at {address}");
                let Some(found) = found else { continue };
                assert_eq!((found.beyond, found.align.is_some()), (outside as u64, address % 32 != 0));
                let fits: Vec<u64> = (0..1000).step_by(32).filter(|at| at + bytes <= 1000).collect();
                assert_eq!(found.last, fits.last().copied());
            }
        }
    }

    #[test]
    fn what_is_wrong_and_where_it_could_lie_instead() {
        let said = |address, bytes| {
            let bounds = vec();
            let found = bounds.misplaced(address, bytes).expect("it is misplaced");
            (found.text(&bounds), found.help(&bounds))
        };
        let both = |text: &str, help: &str| (text.to_owned(), help.to_owned());
        assert_eq!(
            said(100, 64),
            both("begins at 100 in vec, which is no multiple of 32", "the nearest that are: 96 and 128")
        );
        assert_eq!(
            said(930, 64),
            both(
                "begins at 930 in vec, which is no multiple of 32",
                "the nearest address at which it fits is 928"
            )
        );
        assert_eq!(
            said(992, 64),
            both(
                "begins at 992 in vec, 56 bytes of it are outside of the 1000 that there are",
                "the nearest address at which it fits is 928"
            )
        );
        assert_eq!(
            said(970, 64),
            both(
                "begins at 970 in vec, which is no multiple of 32, and 34 bytes of it are outside of the 1000 that there are",
                "the nearest address at which it fits is 928"
            )
        );
        assert_eq!(
            said(-64i64 as u64, 64),
            both(
                "begins at -64 in vec, 64 bytes of it are outside of the 1000 that there are",
                "the nearest address at which it fits is 0"
            )
        );
        assert_eq!(said(0, 1001).1, "it is larger than vec, which has 1000 bytes");
    }
}
