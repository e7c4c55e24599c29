//! What memory planning hands on: an offset for each operation that asked for memory without saying where.

use std::collections::HashSet;

use bytemuck::{Pod, Zeroable};

use crate::OpId;
use crate::plan::PlanError;

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

/// Checks addresses as far as that is possible without the module. Rules: `address-twice` (one for each operation),
/// `address-reserved`.
pub fn check_addresses(addresses: &[Address]) -> Result<(), PlanError> {
    let mut seen = HashSet::with_capacity(addresses.len());
    for address in addresses {
        if !seen.insert(address.op) {
            return Err(PlanError::new("address-twice", format!("{} gets two addresses", address.op)));
        }
        if address.reserved != 0 {
            let message = format!("the reserved field of the address of {} is not 0", address.op);
            return Err(PlanError::new("address-reserved", message));
        }
    }
    Ok(())
}
