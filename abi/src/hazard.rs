//! Which accesses conflict: the artifact of hazard analysis.
//!
//! Hazards between instructions are not listed pair by pair, which would be quadratic. Instructions touch regions;
//! the analysis says for each region which regions overlap it. [`Hazards::depends`] decides a pair from that.
//!
//! What must hold, and is checked after the pass that wrote it: there is a row for each region, runs are apart or the
//! same, overlapping is symmetric. Regions with the same overlaps may share one run of them, and should: consumers treat
//! regions whose rows are the same run as one.

use std::collections::{BTreeMap, HashMap};

use bytemuck::{Pod, Zeroable};

use crate::artifact::Evidence;
use crate::column::table;
use crate::kernel::{Kernel, access_mode, region_flag};
use crate::plan::PlanError;
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

/// Checks the overlaps of a function, in time linear in them. Rules: `column`, `hazard-rows` (one for each region),
/// `hazard-runs` (runs lie in the column of overlaps, and are apart or the same), `hazard-region` (regions of the
/// kernel, ascending within a run), `hazard-flag`, `hazard-symmetry`.
pub(crate) fn check_hazards(evidence: &Evidence<'_>) -> Result<(), PlanError> {
    let fail = |rule, message: String| Err(PlanError::new(rule, message));
    let hazards = match Hazards::from_columns(evidence.columns) {
        Ok(hazards) => hazards,
        Err(error) => return fail("column", error.to_string()),
    };
    let regions = evidence.kernel.regions.len();
    if hazards.rows.len() != regions {
        let message = format!("there are overlaps of {} regions, but {regions} regions", hazards.rows.len());
        return fail("hazard-rows", message);
    }
    // Runs by their start, with the regions that have them; empty ones have no say.
    let mut runs: BTreeMap<u32, (Range, Vec<RegionId>)> = BTreeMap::new();
    for (region, &row) in hazards.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
        let region = RegionId::from_index(region);
        let run = runs.entry(row.start).or_insert((row, Vec::new()));
        if run.0 != row || row.indices().end > hazards.overlaps.len() {
            let message = format!("the overlaps of {region} end at {}", row.indices().end);
            return fail("hazard-runs", message);
        }
        run.1.push(region);
    }
    let mut end = 0;
    for (run, members) in runs.values() {
        if run.indices().start < end {
            return fail("hazard-runs", format!("the overlaps of {} begin within others", members[0]));
        }
        end = run.indices().end;
        let mut last = None;
        for overlap in run.of(hazards.overlaps) {
            if overlap.region.index() >= regions || last >= Some(overlap.region) {
                let (of, region) = (members[0], overlap.region);
                let message = format!("{region} is among the overlaps of {of}; there are {regions} regions");
                let order = format!("the overlaps of {of} are not ascending at {region}");
                let is_there = overlap.region.index() < regions;
                return fail("hazard-region", if is_there { order } else { message });
            }
            if overlap.flags & !overlap_flag::ASSUMED != 0 {
                let message = format!(
                    "the overlap of {} and {} has flags {:#x}",
                    members[0], overlap.region, overlap.flags
                );
                return fail("hazard-flag", message);
            }
            last = Some(overlap.region);
        }
    }
    check_symmetry(&hazards, &runs)
}

/// Regions that share a run overlap the same regions. So overlapping is symmetric if, wherever the run of some regions
/// names one region of another run, it names all of that run, and the other run names all of the first.
fn check_symmetry(
    hazards: &Hazards<'_>,
    runs: &BTreeMap<u32, (Range, Vec<RegionId>)>,
) -> Result<(), PlanError> {
    let mut named: HashMap<(u32, u32), usize> = HashMap::new();
    for (&start, (run, members)) in runs {
        for overlap in run.of(hazards.overlaps) {
            let other = hazards.rows[overlap.region.index()];
            if other.is_empty() {
                return Err(one_sided(members[0], overlap.region));
            }
            *named.entry((start, other.start)).or_default() += 1;
        }
    }
    for (&start, (run, members)) in runs {
        for overlap in run.of(hazards.overlaps) {
            let other = hazards.rows[overlap.region.index()].start;
            if named.get(&(other, start)) != Some(&members.len()) {
                let lacks = |&&m: &&RegionId| !hazards.overlap(overlap.region, m);
                let member = members.iter().find(lacks).unwrap_or(&members[0]);
                return Err(one_sided(*member, overlap.region));
            }
        }
    }
    Ok(())
}

fn one_sided(a: RegionId, b: RegionId) -> PlanError {
    PlanError::new("hazard-symmetry", format!("{a} overlaps {b}, but {b} does not overlap {a}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::Columns;
    use crate::plan::SyncPlan;
    use crate::testing::{KernelBuilder, target};

    /// The rule that these overlaps of three regions break.
    fn rule(rows: &[(usize, usize)], overlaps: &[u32]) -> Option<&'static str> {
        let mut k = KernelBuilder::new();
        (0..3).for_each(|i| _ = k.tile(i));
        let (kernel, target) = (k.finish(), target());
        let rows = rows.iter().map(|&(start, end)| Range::new(start, end)).collect();
        // A number from 100 on is a region with a flag that does not exist.
        let overlap = |&r: &u32| Overlap { region: RegionId(r % 100), flags: r / 100 * 2 };
        let data = HazardData { rows, overlaps: overlaps.iter().map(overlap).collect() };
        let mut columns = Vec::new();
        data.view().lend(&mut columns);
        let plan = SyncPlan::new(0);
        let (kernel, target) = (kernel.view(), target.view());
        let evidence = Evidence { kernel, target, plan: &plan, columns: Columns::new(&columns) };
        check_hazards(&evidence).err().map(|e| e.rule)
    }

    #[test]
    fn each_rule_of_overlaps_is_checked() {
        let own = [(0, 1), (1, 2), (2, 3)];
        assert_eq!(rule(&own, &[0, 1, 2]), None);
        assert_eq!(rule(&[(0, 2), (0, 2), (2, 3)], &[0, 1, 2]), None, "a shared run");
        assert_eq!(rule(&[(0, 0), (0, 0), (0, 1)], &[2]), None, "empty runs");
        assert_eq!(rule(&own[..2], &[0, 1]), Some("hazard-rows"));
        assert_eq!(rule(&[(0, 1), (1, 2), (2, 9)], &[0, 1, 2]), Some("hazard-runs"));
        assert_eq!(rule(&[(0, 2), (1, 2), (2, 3)], &[0, 1, 2]), Some("hazard-runs"));
        assert_eq!(rule(&own, &[0, 1, 3]), Some("hazard-region"));
        assert_eq!(rule(&[(0, 2), (0, 2), (2, 3)], &[1, 0, 2]), Some("hazard-region"));
        assert_eq!(rule(&[(0, 2), (0, 2), (2, 3)], &[1, 1, 2]), Some("hazard-region"));
        assert_eq!(rule(&own, &[0, 101, 2]), Some("hazard-flag"));
        assert_eq!(rule(&[(0, 2), (2, 3), (3, 4)], &[0, 1, 1, 2]), Some("hazard-symmetry"));
        assert_eq!(rule(&[(0, 2), (2, 2), (2, 3)], &[0, 1, 2]), Some("hazard-symmetry"));
        // Two regions share a run that names the third, which names one of them only.
        assert_eq!(rule(&[(0, 3), (0, 3), (3, 5)], &[0, 1, 2, 0, 2]), Some("hazard-symmetry"));
        // A run that names one of two regions that share theirs.
        assert_eq!(rule(&[(0, 2), (0, 2), (2, 4)], &[0, 1, 1, 2]), Some("hazard-symmetry"));
    }
}
