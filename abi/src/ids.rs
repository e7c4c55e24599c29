//! Typed entity ids. Each prints as the text of a plan and of a diagnostic spells it: `n12`, `s3`, `r5`.

use bytemuck::{Pod, Zeroable};
use core::fmt;

macro_rules! entity_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
        pub struct $name(pub u32);

        impl $name {
            /// The absent id.
            pub const NONE: Self = Self(u32::MAX);

            /// The id of the element at `index` of its column.
            pub fn from_index(index: usize) -> Self {
                Self(index as u32)
            }

            /// Position in the column of these entities. Meaningless for [`Self::NONE`].
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// Whether this is a real id.
            pub fn is_some(self) -> bool {
                self != Self::NONE
            }

            /// Whether this is the absent id.
            pub fn is_none(self) -> bool {
                self == Self::NONE
            }

            /// The id, or `None` for the absent one.
            pub fn get(self) -> Option<Self> {
                if self.is_none() { None } else { Some(self) }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::NONE
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.is_none() { write!(f, "{}-", $prefix) } else { write!(f, "{}{}", $prefix, self.0) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

entity_id!(
    /// A node of a kernel's flat list, `n12`.
    NodeId, "n"
);
entity_id!(
    /// A synchronization group of a plan, `s3`.
    GroupId, "s"
);
entity_id!(
    /// A memory region of a kernel, `r5`.
    RegionId, "r"
);
entity_id!(
    /// The identity of a buffer, by which the `root` alias rule compares regions, `b2`.
    RootId, "b"
);
entity_id!(
    /// A pipe of the target, `p4`; see [`crate::target::Target::pipe`] for its name.
    PipeId, "p"
);
entity_id!(
    /// A memory space of the target, `m1`.
    SpaceId, "m"
);
entity_id!(
    /// An entry of the target's operation table, `t17`.
    EntryId, "t"
);
entity_id!(
    /// An operation of a module, `o9`.
    OpId, "o"
);
entity_id!(
    /// An SSA value of a module, `v9`.
    ValueId, "v"
);
entity_id!(
    /// A type of a module, `ty3`.
    TypeId, "ty"
);
entity_id!(
    /// A block of a module, `bb1`.
    BlockId, "bb"
);
entity_id!(
    /// A nested body (an MLIR region) of an operation, `body1`.
    BodyId, "body"
);
entity_id!(
    /// An attribute value of a module, `a4`.
    AttrId, "a"
);
entity_id!(
    /// An interned string, `str8`.
    StrId, "str"
);

impl NodeId {
    /// The node after this one in the flat list.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A run of consecutive elements of some column.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Range {
    /// Index of the first element.
    pub start: u32,
    /// Number of elements.
    pub len: u32,
}

impl Range {
    /// The run of elements `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, len: (end - start) as u32 }
    }

    /// The elements' indices, for slicing; empty where the run lies outside of `column`.
    pub fn of<T>(self, column: &[T]) -> &[T] {
        column.get(self.indices()).unwrap_or(&[])
    }

    /// The elements' indices.
    pub fn indices(self) -> core::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    /// Whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A range of bytes in the source text.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct TextRange {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset one past the last byte.
    pub end: u32,
}
