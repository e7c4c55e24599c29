//! Where a region lies, as far as an alias rule can see.

use pipewright_abi::kernel::{Region, region_flag};

use crate::Rule;

/// Regions of different places never overlap by their extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) global: bool,
    pub(crate) space: u32,
    /// The buffer, where it separates; none where addresses are absolute.
    root: u32,
}

/// The bytes of a region within its place. The order is by first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// No bytes.
    Nothing,
    /// Unknown bytes: possibly all.
    Everything,
    /// Unknown memory: possibly all of the space, whatever the place.
    Anything,
    /// `rows` runs of `row_bytes` bytes each, `pitch` bytes apart, the first at `start`.
    Runs { start: u64, rows: u64, row_bytes: u64, pitch: u64 },
}

/// Place and extent of a region under a rule.
pub(crate) fn place(region: &Region, rule: Rule) -> (Place, Extent) {
    let has = |flag| region.flags & flag != 0;
    let global = has(region_flag::GLOBAL);
    let untraced = rule != Rule::Root && has(region_flag::UNTRACED);
    let by_root = !untraced && (global || rule == Rule::Root || has(region_flag::PRIVATE));
    let root = if by_root { region.root.0 } else { u32::MAX };
    let place = Place { global, space: region.space.0, root };
    let extent = match rule {
        // Regions that exist for the other rule only.
        Rule::Root if has(region_flag::NOT_ROOT) => Extent::Nothing,
        Rule::Range { .. } if has(region_flag::NOT_RANGE) => Extent::Nothing,
        Rule::Root if global && region.size == 0 => Extent::Everything,
        // A constant offset before the start of the buffer wraps round; such a piece overlaps nothing.
        Rule::Root if region.base.checked_add(region.size).is_none() => Extent::Nothing,
        Rule::Root => Extent::runs(region.base, 1, region.size, region.size),
        Rule::Range { .. } if untraced => Extent::Anything,
        Rule::Range { .. } if !has(region_flag::KNOWN_ADDRESS) => Extent::Everything,
        Rule::Range { .. } => Extent::runs(region.address, region.rows, region.row_bytes, region.pitch),
    };
    (place, extent)
}

impl Extent {
    /// Whether what it overlaps is only taken to overlap.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Everything | Self::Anything)
    }

    fn runs(start: u64, rows: u64, row_bytes: u64, pitch: u64) -> Self {
        if rows == 0 || row_bytes == 0 {
            return Self::Nothing;
        }
        // Runs that touch or cover each other are one run, so that equal memory gives equal extents.
        if rows == 1 || pitch <= row_bytes {
            let bytes =
                (u128::from(rows - 1) * u128::from(pitch) + u128::from(row_bytes)).min(u64::MAX.into());
            let bytes = bytes as u64;
            return Self::Runs { start, rows: 1, row_bytes: bytes, pitch: bytes };
        }
        Self::Runs { start, rows, row_bytes, pitch }
    }

    /// One past the last byte, if the bytes are known; else the end of everything.
    pub(crate) fn end(&self) -> u128 {
        match *self {
            Self::Nothing => 0,
            Self::Everything | Self::Anything => u128::MAX,
            Self::Runs { start, rows, row_bytes, pitch } => {
                u128::from(start) + u128::from(rows - 1) * u128::from(pitch) + u128::from(row_bytes)
            }
        }
    }

    /// Whether the two share a byte. Exact unless both have several rows and their pitches differ; then two extents
    /// overlap if the ranges from their first to their last byte do.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (
            Self::Runs { start, rows, row_bytes, pitch },
            Self::Runs { start: s, rows: r, row_bytes: b, pitch: p },
        ) = (*self, *other)
        else {
            return *self != Self::Nothing && *other != Self::Nothing;
        };
        if self.end() <= u128::from(s) || other.end() <= u128::from(start) {
            return false;
        }
        let pitch = match (rows, r) {
            (1, 1) => return true,
            (1, _) => p,
            (_, 1) => pitch,
            _ if pitch == p => pitch,
            _ => return true,
        };
        // Row j of the other begins `distance + (j - i) * pitch` bytes behind row i of this one. They share a byte
        // if that is more than -b and less than row_bytes. Is there such a k = j - i?
        let (pitch, distance) = (i128::from(pitch), i128::from(s) - i128::from(start));
        let least = (-i128::from(b) - distance).div_euclid(pitch) + 1;
        let most = (i128::from(row_bytes) - distance - 1).div_euclid(pitch);
        least.max(1 - i128::from(rows)) <= most.min(i128::from(r) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(extent: &Extent) -> Vec<u64> {
        let Extent::Runs { start, rows, row_bytes, pitch } = *extent else { return Vec::new() };
        (0..rows).flat_map(|i| (0..row_bytes).map(move |b| start + i * pitch + b)).collect()
    }

    fn extents(pitch: impl Strategy<Value = u64>) -> impl Strategy<Value = Extent> {
        (0u64..40, 0u64..5, 0u64..12, pitch).prop_map(|(s, r, b, p)| Extent::runs(s, r, b, p))
    }

    proptest! {
        #[test]
        fn runs_of_one_pitch_are_compared_byte_by_byte(a in extents(Just(9u64)), b in extents(Just(9u64))) {
            let (of_a, of_b) = (bytes(&a), bytes(&b));
            let expected = of_a.iter().any(|x| of_b.contains(x));
            prop_assert_eq!(a.overlaps(&b), expected);
            prop_assert_eq!(b.overlaps(&a), expected);
        }

        #[test]
        fn whatever_shares_a_byte_overlaps(a in extents(1u64..20), b in extents(1u64..20)) {
            let (of_a, of_b) = (bytes(&a), bytes(&b));
            if of_a.iter().any(|x| of_b.contains(x)) {
                prop_assert!(a.overlaps(&b) && b.overlaps(&a));
            }
        }
    }
}
