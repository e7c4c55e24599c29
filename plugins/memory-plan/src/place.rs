//! Places in one memory space: an offset for every block, so that blocks whose lifetimes meet share no byte.
//!
//! Two ways, tried in this order. *Slots*: blocks that share bytes begin at the same offset; the largest block makes
//! the slot, later ones take the lowest slot that is free for their lifetime. That keeps buffers apart for those who
//! compare them by offset alone. *Gaps*: each block takes the lowest gap between the blocks that it meets in time,
//! in program order, then largest first.
//!
//! Time: sorting, and for each block the slots tried or the blocks met.

use std::collections::BTreeMap;

use crate::lifetime::{Lifetime, Step};

/// Bytes from the first to before the last.
pub(crate) type Bytes = core::ops::Range<u64>;

/// What needs a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Size in bytes.
    pub(crate) size: u64,
    /// When its content matters.
    pub(crate) lifetime: Lifetime,
}

/// What there is to place in.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Bytes that may be used.
    pub(crate) capacity: u64,
    /// What an offset must be a multiple of.
    pub(crate) align: u64,
    /// Bytes that are taken for the whole function.
    pub(crate) taken: Vec<Bytes>,
}

/// How the blocks were placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Blocks that share bytes begin at the same offset.
    Slots,
    /// Blocks may overlap in any way.
    Gaps,
}

/// An offset for each block; `None` if they do not fit. Gaps are tried only if `may_overlap`.
pub(crate) fn place(blocks: &[Block], room: &Room, may_overlap: bool) -> Option<(Vec<u64>, Manner)> {
    let mut by_size: Vec<usize> = (0..blocks.len()).collect();
    by_size.sort_by_key(|&b| (core::cmp::Reverse(blocks[b].size), blocks[b].lifetime, b));
    if let Some(offsets) = slots(blocks, room, &by_size) {
        return Some((offsets, Manner::Slots));
    }
    if !may_overlap {
        return None;
    }
    let mut by_time: Vec<usize> = (0..blocks.len()).collect();
    by_time.sort_by_key(|&b| (blocks[b].lifetime.first, core::cmp::Reverse(blocks[b].size), b));
    let offsets = gaps(blocks, room, &by_time, &by_time).or_else(|| gaps(blocks, room, &by_time, &by_size));
    offsets.map(|offsets| (offsets, Manner::Gaps))
}

/// The blocks that are live at the step at which the live ones are largest together, and their size.
pub(crate) fn peak(blocks: &[Block], align: u64) -> (Vec<usize>, u64) {
    let mut changes: Vec<(Step, bool, usize)> = Vec::with_capacity(2 * blocks.len());
    for (b, block) in blocks.iter().enumerate() {
        changes.push((block.lifetime.first, false, b));
        changes.push((block.lifetime.last, true, b));
    }
    changes.sort_unstable();
    let (mut size, mut largest, mut at) = (0u64, 0, 0);
    for (step, ends, b) in changes {
        let bytes = rounded(blocks[b].size, align);
        size = if ends { size.saturating_sub(bytes) } else { size.saturating_add(bytes) };
        if size > largest {
            (largest, at) = (size, step);
        }
    }
    let now = Lifetime { first: at, last: at };
    let live = (0..blocks.len()).filter(|&b| blocks[b].lifetime.meets(now)).collect();
    (live, largest)
}

/// Sizes are multiples of the alignment, so that offsets behind one another are.
pub(crate) fn rounded(size: u64, align: u64) -> u64 {
    size.checked_next_multiple_of(align.max(1)).unwrap_or(u64::MAX)
}

struct Slot {
    offset: u64,
    size: u64,
    /// Last step of each lifetime in it, by the first step.
    lifetimes: BTreeMap<Step, Step>,
}

fn slots(blocks: &[Block], room: &Room, order: &[usize]) -> Option<Vec<u64>> {
    let mut offsets = vec![0; blocks.len()];
    let mut slots: Vec<Slot> = Vec::new();
    let mut free = Free::new(room);
    for &b in order {
        let Block { size, lifetime } = blocks[b];
        let is_free = |slot: &Slot| {
            let before = slot.lifetimes.range(..=lifetime.last).next_back();
            slot.size >= size && before.is_none_or(|(_, &last)| last < lifetime.first)
        };
        let index = match slots.iter().position(is_free) {
            Some(index) => index,
            None => {
                let size = rounded(size, room.align);
                let offset = free.take(size)?;
                let index = slots.partition_point(|s| s.offset < offset);
                slots.insert(index, Slot { offset, size, lifetimes: BTreeMap::new() });
                index
            }
        };
        slots[index].lifetimes.insert(lifetime.first, lifetime.last);
        offsets[b] = slots[index].offset;
    }
    Some(offsets)
}

/// Bytes that nothing has taken yet.
struct Free {
    gaps: Vec<Bytes>,
}

impl Free {
    fn new(room: &Room) -> Self {
        let mut taken = room.taken.clone();
        taken.sort_by_key(|t| t.start);
        let (mut gaps, mut at) = (Vec::new(), 0);
        for bytes in taken {
            gaps.push(at..bytes.start.min(room.capacity));
            at = at.max(rounded(bytes.end, room.align));
        }
        gaps.push(at..room.capacity);
        gaps.retain(|gap| gap.start < gap.end);
        Self { gaps }
    }

    /// The offset of the lowest `size` bytes that are free, which are so no longer.
    fn take(&mut self, size: u64) -> Option<u64> {
        let gap = self.gaps.iter_mut().find(|gap| gap.end - gap.start >= size)?;
        let offset = gap.start;
        gap.start += size;
        Some(offset)
    }
}

/// `by_time` orders the blocks by their first step; `order` says which is placed when.
fn gaps(blocks: &[Block], room: &Room, by_time: &[usize], order: &[usize]) -> Option<Vec<u64>> {
    let mut placed = Placed::new(blocks, by_time);
    let mut offsets = vec![0; blocks.len()];
    let (mut rank, mut met) = (vec![0; blocks.len()], Vec::new());
    by_time.iter().enumerate().for_each(|(at, &b)| rank[b] = at);
    for &b in order {
        let size = rounded(blocks[b].size, room.align);
        met.clear();
        placed.meeting(blocks[b].lifetime, |other| {
            met.push(offsets[other]..offsets[other] + rounded(blocks[other].size, room.align));
        });
        met.extend_from_slice(&room.taken);
        met.sort_unstable_by_key(|bytes| bytes.start);
        let mut offset = 0u64;
        for bytes in &met {
            if bytes.start >= offset.saturating_add(size) {
                break;
            }
            offset = offset.max(rounded(bytes.end, room.align));
        }
        if offset.checked_add(size)? > room.capacity {
            return None;
        }
        offsets[b] = offset;
        placed.add(rank[b]);
    }
    Some(offsets)
}

/// Placed blocks, to be asked for those whose lifetime meets another: a tree over the blocks in order of their first
/// step, that knows the latest last step of the placed ones below each of its nodes.
struct Placed<'b> {
    blocks: &'b [Block],
    by_time: &'b [usize],
    /// Node `i` has the children `2i` and `2i + 1`; leaf `leaves + k` is block `by_time[k]`. 0: none is placed.
    latest: Vec<u64>,
    leaves: usize,
}

impl<'b> Placed<'b> {
    fn new(blocks: &'b [Block], by_time: &'b [usize]) -> Self {
        let leaves = by_time.len().next_power_of_two();
        Self { blocks, by_time, latest: vec![0; 2 * leaves], leaves }
    }

    fn add(&mut self, rank: usize) {
        let latest = u64::from(self.blocks[self.by_time[rank]].lifetime.last) + 1;
        let mut node = self.leaves + rank;
        while node > 0 {
            self.latest[node] = self.latest[node].max(latest);
            node /= 2;
        }
    }

    fn meeting(&self, lifetime: Lifetime, mut found: impl FnMut(usize)) {
        let end = self.by_time.partition_point(|&b| self.blocks[b].lifetime.first <= lifetime.last);
        // Nodes still to be looked at, with the rank of their first leaf and the number of their leaves.
        let mut open = vec![(1, 0, self.leaves)];
        while let Some((node, first, width)) = open.pop() {
            if first >= end || self.latest[node] <= u64::from(lifetime.first) {
                continue;
            }
            if width == 1 {
                found(self.by_time[first]);
                continue;
            }
            open.push((2 * node, first, width / 2));
            open.push((2 * node + 1, first + width / 2, width / 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(size: u64, first: Step, last: Step) -> Block {
        Block { size, lifetime: Lifetime { first, last } }
    }

    fn room(capacity: u64) -> Room {
        Room { capacity, align: 32, taken: Vec::new() }
    }

    fn offsets(blocks: &[Block], room: &Room) -> Option<(Vec<u64>, Manner)> {
        place(blocks, room, true)
    }

    #[test]
    fn blocks_that_never_meet_share_the_lowest_slot() {
        let blocks = [block(64, 0, 1), block(32, 2, 3), block(64, 1, 2), block(96, 4, 4)];
        assert_eq!(offsets(&blocks, &room(1024)), Some((vec![0, 0, 96, 0], Manner::Slots)));
    }

    #[test]
    fn where_slots_do_not_fit_blocks_overlap_in_any_way() {
        // One large block, then two small ones that live together.
        let blocks = [block(128, 0, 1), block(64, 2, 3), block(64, 2, 3)];
        assert_eq!(offsets(&blocks, &room(128)), Some((vec![0, 0, 64], Manner::Gaps)));
        assert_eq!(place(&blocks, &room(128), false), None);
    }

    #[test]
    fn what_is_taken_stays_free_of_blocks() {
        let taken = vec![0..40, 100..110];
        let blocks = [block(32, 0, 1), block(32, 0, 1)];
        let room = Room { taken, ..room(1024) };
        assert_eq!(offsets(&blocks, &room), Some((vec![64, 128], Manner::Slots)));
        assert_eq!(offsets(&blocks, &Room { capacity: 159, ..room }), None);
    }

    #[test]
    fn the_peak_is_where_most_bytes_are_live() {
        let blocks = [block(100, 0, 2), block(100, 2, 5), block(32, 4, 5), block(32, 5, 9)];
        assert_eq!(peak(&blocks, 32), (vec![0, 1], 256));
        assert_eq!(peak(&[], 32), (vec![], 0));
    }

    proptest! {
        #[test]
        fn blocks_that_meet_share_no_byte(
            sizes in prop::collection::vec((1u64..200, 0u32..60, 0u32..20), 0..40),
            taken in prop::collection::vec((0u64..800, 1u64..100), 0..3),
            capacity in 200u64..2000,
        ) {
            let blocks: Vec<Block> = sizes.iter().map(|&(s, at, len)| block(s, at, at + len)).collect();
            let taken: Vec<Bytes> = taken.iter().map(|&(at, len)| at..at + len).collect();
            let room = Room { capacity, align: 32, taken };
            let Some((offsets, manner)) = offsets(&blocks, &room) else {
                // One after the other they would fit: so must they here.
                let behind: u64 = room.taken.iter().map(|t| t.end).max().unwrap_or(0).next_multiple_of(32);
                let all: u64 = blocks.iter().map(|b| rounded(b.size, 32)).sum();
                prop_assert!(behind + all > capacity);
                return Ok(());
            };
            for (i, a) in blocks.iter().enumerate() {
                let bytes = offsets[i]..offsets[i] + a.size;
                prop_assert!(bytes.start % 32 == 0 && bytes.end <= capacity);
                let apart = |other: &Bytes| bytes.end <= other.start || other.end <= bytes.start;
                prop_assert!(room.taken.iter().all(apart));
                for (j, b) in blocks.iter().enumerate().skip(i + 1) {
                    let apart = apart(&(offsets[j]..offsets[j] + b.size));
                    prop_assert!(apart || !a.lifetime.meets(b.lifetime));
                    prop_assert!(apart || manner == Manner::Gaps || offsets[i] == offsets[j]);
                }
            }
        }
    }
}
