//! Which ids of a key are taken during which nodes.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_abi::target::Target;

use crate::Key;

/// Nodes from the first to the second. Two intervals that only share an end do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval(pub(crate) u32, pub(crate) u32);

/// One id of a key: the intervals during which it is taken, by their first node. They are not empty and do not
/// overlap.
#[derive(Debug)]
struct Pool {
    event_id: u32,
    was_taken: bool,
    taken: BTreeMap<u32, u32>,
}

impl Pool {
    fn is_free(&self, Interval(begin, end): Interval) -> bool {
        // The last interval that begins before the end has the highest end of all that do.
        let last = self.taken.range(..end).next_back();
        begin >= end || last.is_none_or(|(_, &taken_until)| taken_until <= begin)
    }

    /// Until when it is taken by what comes before an interval during which it is free.
    fn free_since(&self, Interval(_, end): Interval) -> Option<u32> {
        self.taken.range(..end).next_back().map(|(_, &taken_until)| taken_until)
    }

    fn take(&mut self, Interval(begin, end): Interval) -> u32 {
        self.was_taken = true;
        if begin < end {
            self.taken.insert(begin, end);
        }
        self.event_id
    }
}

/// Which of several ids is taken that were taken before and are free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// The lowest.
    Lowest,
    /// The one that has been free for longest: its last token is the likeliest to be gone.
    LongestFree,
}

/// The pools of all keys.
#[derive(Debug)]
pub(crate) struct Pools {
    reuse: Reuse,
    /// Usable ids of every key that may have some.
    usable: BTreeMap<Key, Vec<u32>>,
    pools: BTreeMap<Key, Vec<Pool>>,
}

impl Pools {
    /// The pools of all keys, without the ids in `spared`.
    pub(crate) fn new(
        target: &Target<'_>,
        max_ids: usize,
        reuse: Reuse,
        spared: &BTreeSet<(Key, u32)>,
    ) -> Self {
        let pipes = || (0..target.t.pipes.len()).map(pipewright_abi::PipeId::from_index);
        let ids = |(src, dst): Key| {
            let mask = target.usable_ids(src, dst);
            let is_usable = |&i: &u32| mask & (1 << i) != 0 && !spared.contains(&((src, dst), i));
            (0..u64::BITS).filter(is_usable).take(max_ids).collect()
        };
        let keys = pipes().flat_map(|src| pipes().map(move |dst| (src, dst)));
        Self { reuse, usable: keys.map(|key| (key, ids(key))).collect(), pools: BTreeMap::new() }
    }

    /// Takes the lowest id of `key` that was never taken, or else one that is free during `wanted`. It is taken during
    /// `held` from then on.
    pub(crate) fn take(&mut self, key: Key, wanted: Interval, held: Interval) -> Option<u32> {
        let pools = self.pools.entry(key).or_insert_with(|| {
            let ids = self.usable.get(&key).map_or(&[][..], Vec::as_slice);
            ids.iter().map(|&event_id| Pool { event_id, was_taken: false, taken: BTreeMap::new() }).collect()
        });
        let unused = pools.iter().position(|p| !p.was_taken);
        let again = || {
            let mut free = pools.iter().enumerate().filter(|(_, pool)| pool.is_free(wanted));
            let found = match self.reuse {
                Reuse::Lowest => free.next(),
                Reuse::LongestFree => free.min_by_key(|(_, pool)| pool.free_since(wanted)),
            };
            found.map(|(index, _)| index)
        };
        let found = unused.or_else(again)?;
        Some(pools[found].take(held))
    }

    /// Frees all ids of these keys.
    pub(crate) fn forget(&mut self, keys: &BTreeSet<Key>) {
        self.pools.retain(|key, _| !keys.contains(key));
    }

    /// Keys that asked for ids.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.pools.keys().copied()
    }
}
