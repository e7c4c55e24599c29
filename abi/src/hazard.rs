//! Which accesses conflict: the artifact of hazard analysis.
//!
//! Hazards between instructions are not listed pair by pair, which would be quadratic. Instructions touch regions;
//! the analysis says for each region which regions overlap it. [`Hazards::depends`] decides a pair from that.
//!
//! What must hold: overlapping is symmetric. Regions with the same overlaps may share one run of them, and should:
//! consumers treat regions whose rows are the same run as one.

use bytemuck::{Pod, Zeroable};

use crate::column::table;
use crate::kernel::{Kernel, access_mode, region_flag};
use crate::{NodeId, Range, RegionId, RootId};

/// One overlap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Overlap {
    /// The other region.
    pub region: RegionId,
    /// [`overlap_flag`] bits.
    pub flags: u32,
}

/// Bits of [`Overlap::flags`].
pub mod overlap_flag {
    /// Assumed, because an address is unknown.
    pub const ASSUMED: u32 = 1;
}

table! {
    /// Overlaps of all regions of a kernel, owned.
    owned HazardData;
    /// Overlaps of all regions of a kernel, lent.
    view Hazards;
    /// For each region its overlaps.
    rows: Range = "hazards.rows/1",
    /// Overlaps, ascending by region within a row. A region that overlaps itself is in its own row.
    overlaps: Overlap = "hazards.overlaps/1",
}

impl<'a> Hazards<'a> {
    /// The regions that overlap `region`, ascending.
    pub fn overlapping(&self, region: RegionId) -> &'a [Overlap] {
        self.rows.get(region.index()).map_or(&[], |row| row.of(self.overlaps))
    }

    /// Whether the two regions overlap.
    pub fn overlap(&self, a: RegionId, b: RegionId) -> bool {
        self.overlapping(a).binary_search_by_key(&b, |o| o.region).is_ok()
    }

    /// Whether instruction `later` must wait for instruction `earlier`: some memory of both overlaps and one of the
    /// two accesses is a write, or both read an accumulator from different pipes.
    pub fn depends(&self, kernel: &Kernel<'_>, later: NodeId, earlier: NodeId) -> bool {
        self.conflicts(kernel, later, earlier).next().is_some()
    }

    /// The roots of all conflicting accesses of the two instructions, ascending, each once.
    pub fn roots(&self, kernel: &Kernel<'_>, later: NodeId, earlier: NodeId) -> Vec<RootId> {
        let mut roots: Vec<RootId> =
            self.conflicts(kernel, later, earlier).map(|region| kernel.region(region).root).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    /// The regions of `later` that conflict with an access of `earlier`.
    fn conflicts<'k>(
        &'k self,
        kernel: &'k Kernel<'_>,
        later: NodeId,
        earlier: NodeId,
    ) -> impl Iterator<Item = RegionId> + 'k {
        let crosses_pipes = kernel.node(later).pipe != kernel.node(earlier).pipe;
        kernel.accesses(later).iter().flat_map(move |x| {
            let accumulator = kernel.region(x.region).flags & region_flag::ACCUMULATOR != 0;
            kernel
                .accesses(earlier)
                .iter()
                .filter(move |y| {
                    let write = (x.mode | y.mode) & access_mode::WRITE != 0;
                    (write || (crosses_pipes && accumulator)) && self.overlap(x.region, y.region)
                })
                .map(move |_| x.region)
        })
    }
}
