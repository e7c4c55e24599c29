//! What memory planning hands on: an offset for each operation that asked for memory without saying where.

use bytemuck::{Pod, Zeroable};

use crate::OpId;

/// Id of the column of [`Address`]es: the artifact `addresses`, for the whole module.
pub const ADDRESSES: &str = "memory.addresses/1";

/// Where the memory of one operation begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Address {
    /// Offset in bytes from the start of its memory space.
    pub offset: u64,
    /// A `pto.alloc_tile` or `pto.alloc_multi_tile` without an address, or a `pto.reserve_buffer` without a base.
    pub op: OpId,
    /// Always 0.
    pub reserved: u32,
}
