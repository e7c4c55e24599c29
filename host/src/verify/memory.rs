//! Memory as the hardware sees it: absolute bytes. Which memory overlaps, and so which accesses conflict.
//!
//! What must hold: two pieces of memory that can share a byte overlap here. Pieces whose place is not known overlap
//! all of their space.

/// A piece of memory. Equal pieces are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Memory {
    /// `rows` runs of `row_bytes` bytes in a space, `pitch` bytes apart, the first at `address`.
    Bytes {
        /// The space.
        space: u32,
        /// First byte.
        address: u64,
        /// Number of runs, at least 1.
        rows: u64,
        /// Bytes in a run, at least 1.
        row_bytes: u64,
        /// Bytes from one run's start to the next one's.
        pitch: u64,
        /// Whether an access is only known to be somewhere in these bytes.
        somewhere: bool,
        /// Whether two different pipes must be ordered even if both only read.
        accumulator: bool,
    },
    /// Somewhere in a space.
    Anywhere {
        /// The space.
        space: u32,
        /// Whether it may be a private buffer too.
        untraced: bool,
        /// As above.
        accumulator: bool,
    },
    /// All of a buffer that shares no byte with any other.
    Private {
        /// The space.
        space: u32,
        /// The buffer.
        root: u32,
        /// As above.
        accumulator: bool,
    },
    /// Bytes of a private buffer, of which more is known: a slot of those that a pipe between cores fills in turn.
    Slot {
        /// The space.
        space: u32,
        /// The buffer.
        root: u32,
        /// First byte, from the start of the buffer on.
        address: u64,
        /// Rows, bytes in a row, and bytes from one row to the next, as of [`Memory::Bytes`].
        runs: [u64; 3],
        /// As above.
        accumulator: bool,
    },
}

impl Memory {
    /// Bytes of a private buffer; nothing if there are none.
    pub fn slot(space: u32, root: u32, address: u64, runs: [u64; 3], accumulator: bool) -> Option<Self> {
        let Self::Bytes { rows, row_bytes, pitch, .. } = Self::runs(space, address, runs, accumulator)?
        else {
            return None;
        };
        Some(Self::Slot { space, root, address, runs: [rows, row_bytes, pitch], accumulator })
    }

    /// The bytes of a slot, compared within its buffer.
    fn within(&self) -> Option<Self> {
        let Self::Slot { root, address, runs, accumulator, .. } = *self else { return None };
        Self::runs(root, address, runs, accumulator)
    }

    /// Runs of bytes, in the one form that equal memory has; nothing if there are no bytes.
    pub fn runs(
        space: u32,
        address: u64,
        [rows, row_bytes, pitch]: [u64; 3],
        accumulator: bool,
    ) -> Option<Self> {
        if rows == 0 || row_bytes == 0 {
            return None;
        }
        // Runs that touch are one.
        let (rows, row_bytes, pitch) = if rows == 1 || pitch <= row_bytes {
            let bytes = (rows - 1).saturating_mul(pitch).saturating_add(row_bytes);
            (1, bytes, bytes)
        } else {
            (rows, row_bytes, pitch)
        };
        Some(Self::Bytes { space, address, rows, row_bytes, pitch, somewhere: false, accumulator })
    }

    /// The same bytes, of which an access touches some at a place that is computed.
    pub fn somewhere(mut self) -> Self {
        if let Self::Bytes { somewhere, .. } = &mut self {
            *somewhere = true;
        }
        self
    }

    /// Whether two different pipes must be ordered on it even if both only read.
    pub fn is_accumulator(&self) -> bool {
        match *self {
            Self::Bytes { accumulator, .. }
            | Self::Anywhere { accumulator, .. }
            | Self::Slot { accumulator, .. }
            | Self::Private { accumulator, .. } => accumulator,
        }
    }

    /// Whether the two can share a byte.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Slot { .. }, Self::Slot { .. }) => {
                self.within().zip(other.within()).is_some_and(|(a, b)| a.overlaps(&b))
            }
            (
                Self::Private { root: a, .. } | Self::Slot { root: a, .. },
                Self::Private { root: b, .. } | Self::Slot { root: b, .. },
            ) => a == b,
            (
                Self::Private { space: a, .. } | Self::Slot { space: a, .. },
                Self::Anywhere { space: b, untraced: true, .. },
            )
            | (
                Self::Anywhere { space: a, untraced: true, .. },
                Self::Private { space: b, .. } | Self::Slot { space: b, .. },
            ) => a == b,
            (Self::Private { .. } | Self::Slot { .. }, _) | (_, Self::Private { .. } | Self::Slot { .. }) => {
                false
            }
            (
                Self::Anywhere { space: a, .. },
                Self::Anywhere { space: b, .. } | Self::Bytes { space: b, .. },
            )
            | (Self::Bytes { space: a, .. }, Self::Anywhere { space: b, .. }) => a == b,
            (Self::Bytes { space: a, rows: m, .. }, Self::Bytes { space: b, rows: n, .. }) => {
                let (few, many) = if m <= n { (self, other) } else { (other, self) };
                a == b && runs_overlap(few, many)
            }
        }
    }

    /// Whether the two are only taken to overlap, because the place of one is not known.
    pub fn is_assumed(&self, other: &Self) -> bool {
        // Two accesses somewhere in a space, or in a buffer, are equal as values and yet need not meet.
        let open = |m: &Self| matches!(m, Self::Anywhere { .. } | Self::Bytes { somewhere: true, .. });
        open(self) || open(other)
    }

    /// Its first and last byte (inclusive), if they are known.
    pub fn span(&self) -> Option<(u64, u64)> {
        let Self::Bytes { address, rows, row_bytes, pitch, .. } = *self else { return None };
        let length = (rows - 1).saturating_mul(pitch).saturating_add(row_bytes);
        Some((address, address.saturating_add(length - 1)))
    }

    /// The space.
    pub fn space(&self) -> u32 {
        self.reach().0
    }

    /// Its space and the first and last byte that it can have.
    fn reach(&self) -> (u32, u64, u64) {
        let (Self::Bytes { space, .. }
        | Self::Anywhere { space, .. }
        | Self::Slot { space, .. }
        | Self::Private { space, .. }) = *self;
        let (first, last) = self.span().unwrap_or((0, u64::MAX));
        (space, first, last)
    }
}

/// Whether two sets of runs of one space share a byte: for each run of `few`, the runs of `many` that can meet it are
/// found by division.
fn runs_overlap(few: &Memory, many: &Memory) -> bool {
    let (
        Memory::Bytes { address: a, rows, row_bytes: a_bytes, pitch: a_pitch, .. },
        Memory::Bytes { address: b, rows: b_rows, row_bytes: b_bytes, pitch: b_pitch, .. },
    ) = (*few, *many)
    else {
        return true;
    };
    let wide = u128::from;
    let (_, a_first, a_last) = few.reach();
    let (_, b_first, b_last) = many.reach();
    if a_last < b_first || b_last < a_first {
        return false;
    }
    (0..rows).any(|row| {
        let start = wide(a) + wide(row) * wide(a_pitch);
        let end = start + wide(a_bytes);
        if end <= wide(b) {
            return false;
        }
        // The last run of `many` that starts before `end`.
        let last = ((end - 1 - wide(b)) / wide(b_pitch)).min(wide(b_rows - 1));
        wide(b) + last * wide(b_pitch) + wide(b_bytes) > start
    })
}

/// For each piece the pieces that overlap it, ascending, itself included.
pub fn overlaps(memories: &[Memory]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..memories.len()).collect();
    order.sort_by_key(|&i| (memories[i].reach(), i));
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); memories.len()];
    let mut active: Vec<usize> = Vec::new();
    for &i in &order {
        let (space, first, _) = memories[i].reach();
        active.retain(|&j| {
            let (other, _, last) = memories[j].reach();
            other == space && last >= first
        });
        for &j in &active {
            if memories[i].overlaps(&memories[j]) {
                rows[i].push(j);
                rows[j].push(i);
            }
        }
        rows[i].push(i);
        active.push(i);
    }
    rows.iter_mut().for_each(|row| row.sort_unstable());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(m: &Memory) -> Vec<u64> {
        let Memory::Bytes { address, rows, row_bytes, pitch, .. } = *m else { return Vec::new() };
        (0..rows).flat_map(|r| (0..row_bytes).map(move |b| address + r * pitch + b)).collect()
    }

    fn some_bytes() -> impl Strategy<Value = Memory> {
        (0u32..2, 0u64..40, 1u64..5, 1u64..6, 1u64..12).prop_map(
            |(space, address, rows, row_bytes, pitch)| {
                Memory::runs(space, address, [rows, row_bytes, pitch], false).unwrap()
            },
        )
    }

    proptest! {
        #[test]
        fn runs_overlap_if_they_share_a_byte(a in some_bytes(), b in some_bytes()) {
            let Memory::Bytes { space: s, .. } = a else { unreachable!() };
            let Memory::Bytes { space: t, .. } = b else { unreachable!() };
            let shared = s == t && bytes(&a).iter().any(|x| bytes(&b).contains(x));
            prop_assert_eq!(a.overlaps(&b), shared);
            prop_assert_eq!(b.overlaps(&a), shared);
        }

        #[test]
        fn the_sweep_finds_what_pairs_find(mut all in prop::collection::vec(some_bytes(), 0..12)) {
            all.push(Memory::Anywhere { space: 0, untraced: false, accumulator: false });
            all.push(Memory::Anywhere { space: 0, untraced: true, accumulator: false });
            all.push(Memory::Private { space: 0, root: 3, accumulator: false });
            let rows = overlaps(&all);
            for i in 0..all.len() {
                let expected: Vec<usize> = (0..all.len()).filter(|&j| i == j || all[i].overlaps(&all[j])).collect();
                prop_assert_eq!(&rows[i], &expected);
            }
        }
    }

    #[test]
    fn what_cannot_be_followed_may_be_a_private_buffer() {
        let popped = Memory::Private { space: 1, root: 3, accumulator: false };
        let anywhere = |untraced| Memory::Anywhere { space: 1, untraced, accumulator: false };
        assert!(anywhere(true).overlaps(&popped) && popped.overlaps(&anywhere(true)));
        assert!(!anywhere(false).overlaps(&popped));
        let elsewhere = Memory::Private { space: 2, root: 3, accumulator: false };
        assert!(!anywhere(true).overlaps(&elsewhere));
    }

    #[test]
    fn a_place_that_is_computed_is_only_taken_to_overlap() {
        let slots = Memory::runs(1, 0, [1, 64, 64], false).unwrap();
        let first = Memory::runs(1, 0, [1, 32, 32], false).unwrap();
        assert!(slots.somewhere().overlaps(&first) && slots.somewhere().is_assumed(&first));
        assert!(!slots.is_assumed(&first));
    }

    #[test]
    fn slots_of_one_buffer_are_compared_by_their_bytes() {
        let slot = |root, address, bytes| Memory::slot(1, root, address, [1, bytes, bytes], false).unwrap();
        let lost = |untraced| Memory::Anywhere { space: 1, untraced, accumulator: false };
        assert!(slot(0, 0, 64).overlaps(&slot(0, 32, 64)));
        assert!(!slot(0, 0, 64).overlaps(&slot(0, 64, 64)) && !slot(0, 0, 64).overlaps(&slot(1, 0, 64)));
        assert!(slot(0, 64, 64).overlaps(&Memory::Private { space: 1, root: 0, accumulator: false }));
        assert!(!slot(0, 0, 64).overlaps(&Memory::runs(1, 0, [1, 64, 64], false).unwrap()));
        assert!(slot(0, 0, 64).overlaps(&lost(true)) && !slot(0, 0, 64).overlaps(&lost(false)));
    }

    #[test]
    fn rows_of_a_column_block_lie_between_those_of_another() {
        let left = Memory::runs(1, 0, [8, 32, 64], false).unwrap();
        let right = Memory::runs(1, 32, [8, 32, 64], false).unwrap();
        assert!(!left.overlaps(&right));
        assert!(left.overlaps(&Memory::runs(1, 0, [1, 512, 512], false).unwrap()));
    }
}
