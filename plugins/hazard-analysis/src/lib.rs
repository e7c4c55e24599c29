//! Finds which memory regions of a kernel overlap, by one of two alias rules.
//!
//! * `root`: two regions overlap if they belong to the same buffer and their byte ranges relative to it share a
//!   byte. A global region of unknown size overlaps all of its buffer; an empty local one overlaps nothing. This is
//!   the reference's rule. It misses tiles that overlap at different addresses.
//! * `range`: local regions are compared by absolute address, row by row; one of unknown address overlaps its whole
//!   space. Global regions are compared within their buffer; buffers are apart if `distinct-parameters` holds. A region that
//!   nobody could trace overlaps all of its space, global memory included.
//!
//! Regions that the rule cannot tell apart form a class and share one row of overlaps. Within a buffer or space the
//! classes are swept by address, so the time is that of sorting plus the number of overlaps found.

mod extent;

use std::collections::{BTreeMap, BTreeSet};

use extent::{Extent, Place, place};
use pipewright_abi::hazard::{HazardData, Overlap, overlap_flag};
use pipewright_abi::kernel::Kernel;
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, Range, RegionId, register_pass};

/// The pass.
#[derive(Debug)]
pub struct HazardAnalysis;

register_pass!(HazardAnalysis);

impl Pass for HazardAnalysis {
    const NAME: &'static str = "hazard-analysis";

    fn info() -> PassInfo {
        PassInfo::new("Finds which memory regions overlap")
            .reads(&["kernel"])
            .writes(&["hazards"])
            .choice(
                "alias",
                &["root", "range"],
                "what overlaps: byte ranges within one buffer, or ranges of absolute addresses",
            )
            .option("distinct-parameters", true, "with alias = \"range\": different parameters never overlap")
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let kernel = cx.kernel();
        let rule = match cx.text("alias") {
            "range" => Rule::Range { distinct_parameters: cx.flag("distinct-parameters") },
            _ => Rule::Root,
        };
        let hazards = overlaps(&kernel, rule);
        cx.count("regions", kernel.regions.len() as i64);
        let assumed =
            |row: &&Range| row.of(&hazards.overlaps).iter().any(|o| o.flags & overlap_flag::ASSUMED != 0);
        let assumed = hazards.rows.iter().filter(assumed).count();
        cx.count("regions with assumed overlaps", assumed as i64);
        let unknown = unknown_addresses(&kernel);
        if unknown > 0 && matches!(rule, Rule::Range { .. }) {
            let message = format!(
                "{unknown} of {} local regions have no known address; each is taken to overlap its whole memory space",
                kernel.regions.len()
            );
            cx.remark(NodeId::NONE, message);
        }
        cx.write_hazards(&hazards);
        Ok(())
    }
}

/// An alias rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Same buffer, ranges relative to it.
    Root,
    /// Absolute addresses.
    Range {
        /// Global buffers are apart.
        distinct_parameters: bool,
    },
}

fn unknown_addresses(kernel: &Kernel<'_>) -> usize {
    use pipewright_abi::kernel::region_flag::{GLOBAL, KNOWN_ADDRESS, NOT_RANGE, PRIVATE};
    kernel.regions.iter().filter(|r| r.flags & (GLOBAL | KNOWN_ADDRESS | NOT_RANGE | PRIVATE) == 0).count()
}

/// Regions that the rule cannot tell apart.
#[derive(Debug)]
struct Class {
    place: Place,
    extent: Extent,
    members: Vec<RegionId>,
    /// Other classes (and itself) that overlap, with flags of [`overlap_flag`].
    overlaps: Vec<(usize, u32)>,
}

fn overlaps(kernel: &Kernel<'_>, rule: Rule) -> HazardData {
    let (mut classes, class_of) = classify(kernel, rule);
    let mut start = 0;
    while start < classes.len() {
        let len = classes[start..].iter().take_while(|c| c.place == classes[start].place).count();
        sweep(&mut classes, start..start + len);
        start += len;
    }
    let distinct_parameters = rule != Rule::Range { distinct_parameters: false };
    if !distinct_parameters {
        assume_parameters_overlap(&mut classes);
    }
    spread_untraced(&mut classes, distinct_parameters);

    let mut hazards = HazardData::default();
    let mut row_of_class = Vec::with_capacity(classes.len());
    for class in &classes {
        let start = hazards.overlaps.len();
        for &(other, flags) in &class.overlaps {
            let entries = classes[other].members.iter().map(|&region| Overlap { region, flags });
            hazards.overlaps.extend(entries);
        }
        hazards.overlaps[start..].sort_unstable_by_key(|o| o.region);
        row_of_class.push(Range::new(start, hazards.overlaps.len()));
    }
    hazards.rows = class_of.into_iter().map(|class| row_of_class[class]).collect();
    hazards
}

/// The classes, those of one place next to each other, and the class of each region.
fn classify(kernel: &Kernel<'_>, rule: Rule) -> (Vec<Class>, Vec<usize>) {
    let mut members: BTreeMap<(Place, Extent), Vec<RegionId>> = BTreeMap::new();
    for (i, region) in kernel.regions.iter().enumerate() {
        members.entry(place(region, rule)).or_default().push(RegionId::from_index(i));
    }
    let mut class_of = vec![0; kernel.regions.len()];
    let mut classes = Vec::with_capacity(members.len());
    for ((place, extent), members) in members {
        members.iter().for_each(|region| class_of[region.index()] = classes.len());
        classes.push(Class { place, extent, members, overlaps: Vec::new() });
    }
    (classes, class_of)
}

/// Finds overlaps among the classes of one place, which stand in the order of their first byte.
fn sweep(classes: &mut [Class], of_place: std::ops::Range<usize>) {
    let mut active: Vec<usize> = Vec::new();
    for i in of_place {
        let extent = classes[i].extent;
        match extent {
            Extent::Nothing => continue,
            Extent::Everything | Extent::Anything => {}
            Extent::Runs { start, .. } => active.retain(|&a| classes[a].extent.end() > u128::from(start)),
        }
        classes[i].overlaps.push((i, if extent.is_open() { overlap_flag::ASSUMED } else { 0 }));
        for &a in &active {
            if classes[a].extent.overlaps(&extent) {
                let assumed = classes[a].extent.is_open() || extent.is_open();
                let flags = if assumed { overlap_flag::ASSUMED } else { 0 };
                classes[a].overlaps.push((i, flags));
                classes[i].overlaps.push((a, flags));
            }
        }
        active.push(i);
    }
}

/// What may be anywhere in its space overlaps the buffers there too that are compared by root. There is one such class for
/// each space. Global ones are done if parameters overlap.
fn spread_untraced(classes: &mut [Class], distinct_parameters: bool) {
    let is_untraced = |c: &&Class| c.extent == Extent::Anything && (distinct_parameters || !c.place.global);
    let places: BTreeSet<Place> = classes.iter().filter(is_untraced).map(|c| c.place).collect();
    for place in places {
        let here = |&i: &usize| classes[i].place == place && classes[i].extent == Extent::Anything;
        let Some(untraced) = (0..classes.len()).find(here) else { continue };
        let apart = |i: &usize| {
            let class = &classes[*i];
            class.place.space == place.space && class.place != place && class.extent != Extent::Nothing
        };
        let others: Vec<usize> = (0..classes.len()).filter(apart).collect();
        for other in others {
            classes[untraced].overlaps.push((other, overlap_flag::ASSUMED));
            classes[other].overlaps.push((untraced, overlap_flag::ASSUMED));
        }
    }
}

/// Global regions of different buffers overlap.
fn assume_parameters_overlap(classes: &mut [Class]) {
    let global: Vec<usize> = (0..classes.len())
        .filter(|&c| classes[c].place.global && classes[c].extent != Extent::Nothing)
        .collect();
    for &a in &global {
        let apart = global.iter().filter(|&&b| classes[b].place != classes[a].place);
        let assumed: Vec<_> = apart.map(|&b| (b, overlap_flag::ASSUMED)).collect();
        classes[a].overlaps.extend(assumed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipewright_abi::kernel::{Region, region_flag};
    use pipewright_abi::testing::{Fixture, KernelBuilder, TILE_BYTES};

    fn rows(k: KernelBuilder, options: &[(&str, pipewright_abi::pass::OptionValue)]) -> Vec<Vec<u32>> {
        let mut fixture = Fixture::new(k.finish());
        fixture.run::<HazardAnalysis>(options).unwrap();
        let rows: Vec<Range> = fixture.column("hazards.rows/1").unwrap();
        let overlaps: Vec<Overlap> = fixture.column("hazards.overlaps/1").unwrap();
        rows.iter().map(|r| r.of(&overlaps).iter().map(|o| o.region.0).collect()).collect()
    }

    /// Regions 0 to 4 of one tile: all, first half, second half, an empty piece, a piece over both halves.
    fn pieces(k: &mut KernelBuilder) {
        let (space, root) = (k.space("vec"), k.root("vec", 0));
        let half = TILE_BYTES / 2;
        for (base, size) in [(0, TILE_BYTES), (0, half), (half, half), (64, 0), (half - 1, 2)] {
            k.region(Region { base, size, space, root, ..Default::default() });
        }
    }

    #[test]
    fn by_root_pieces_of_a_buffer_overlap_where_they_share_bytes() {
        let mut k = KernelBuilder::new();
        pieces(&mut k);
        assert_eq!(rows(k, &[]), [vec![0, 1, 2, 4], vec![0, 1, 4], vec![0, 2, 4], vec![], vec![0, 1, 2, 4]]);
    }

    #[test]
    fn by_root_another_buffer_or_space_never_overlaps() {
        let mut k = KernelBuilder::new();
        k.tile(0);
        let (space, root) = (k.space("vec"), k.root("vec", 1));
        k.region(Region { size: TILE_BYTES, space, root, ..Default::default() });
        k.accumulator(0);
        assert_eq!(rows(k, &[]), [vec![0], vec![1], vec![2]]);
    }

    #[test]
    fn by_root_global_memory_of_unknown_size_overlaps_its_whole_buffer() {
        let mut k = KernelBuilder::new();
        let unknown = k.parameter(0);
        let (space, root) = (k.space("gm"), k.root("gm", 0));
        k.region(Region { base: 0, size: 8, space, root, ..Default::default() });
        k.region(Region { base: 8, size: 8, space, root, ..Default::default() });
        k.parameter(1);
        assert_eq!(unknown, RegionId(0));
        assert_eq!(rows(k, &[]), [vec![0, 1, 2], vec![0, 1], vec![0, 2], vec![3]]);
    }

    fn columns_of_a_tile(k: &mut KernelBuilder) {
        let (space, root) = (k.space("vec"), k.root("vec", 0));
        // Left and right halves of 4 rows of 64 bytes, the second row, and the last two bytes of the first row.
        for (address, rows, row_bytes) in [(0, 4, 32), (32, 4, 32), (64, 1, 64), (62, 1, 2)] {
            let flags = region_flag::KNOWN_ADDRESS;
            k.region(Region {
                address,
                rows,
                row_bytes,
                pitch: 64,
                space,
                root,
                flags,
                ..Default::default()
            });
        }
    }

    #[test]
    fn by_range_strided_pieces_are_compared_row_by_row() {
        let mut k = KernelBuilder::new();
        columns_of_a_tile(&mut k);
        let range = [("alias", "range".into())];
        assert_eq!(rows(k, &range), [vec![0, 2], vec![1, 2, 3], vec![0, 1, 2], vec![1, 3]]);
    }

    #[test]
    fn by_range_tiles_at_different_roots_overlap_where_their_addresses_do() {
        let mut k = KernelBuilder::new();
        k.tile(0);
        k.local("vec", TILE_BYTES / 2);
        k.tile(1);
        let range = [("alias", "range".into())];
        assert_eq!(rows(k, &range), [vec![0, 1], vec![0, 1, 2], vec![1, 2]]);
    }

    #[test]
    fn by_range_an_unknown_address_may_be_anywhere_in_its_space() {
        let mut k = KernelBuilder::new();
        k.tile(0);
        let (space, root) = (k.space("vec"), k.root("vec", 999));
        k.region(Region { size: TILE_BYTES, space, root, ..Default::default() });
        k.accumulator(0);
        let mut fixture = Fixture::new(k.finish());
        fixture.run::<HazardAnalysis>(&[("alias", "range".into())]).unwrap();
        assert!(fixture.remarks[0].message.starts_with("1 of 3 local regions"));
        let rows: Vec<Range> = fixture.column("hazards.rows/1").unwrap();
        let overlaps: Vec<Overlap> = fixture.column("hazards.overlaps/1").unwrap();
        let assumed = Overlap { region: RegionId(1), flags: overlap_flag::ASSUMED };
        assert_eq!(rows[0].of(&overlaps), [Overlap { region: RegionId(0), flags: 0 }, assumed]);
        assert_eq!(rows[2].of(&overlaps), [Overlap { region: RegionId(2), flags: 0 }]);
    }

    #[test]
    fn a_region_that_exists_for_one_rule_overlaps_nothing_under_the_other() {
        let build = |flags| {
            let mut k = KernelBuilder::new();
            k.tile(0);
            let (space, root) = (k.space("vec"), k.root("vec", 0));
            let (size, rows, row_bytes, pitch) = (64, 1, 64, 64);
            let flags = region_flag::KNOWN_ADDRESS | flags;
            k.region(Region { size, rows, row_bytes, pitch, space, root, flags, ..Default::default() });
            k
        };
        let (both, apart) = ([vec![0, 1], vec![0, 1]], [vec![0], vec![]]);
        let range = [("alias", "range".into())];
        assert_eq!(rows(build(region_flag::NOT_ROOT), &[]), apart);
        assert_eq!(rows(build(region_flag::NOT_ROOT), &range), both);
        assert_eq!(rows(build(region_flag::NOT_RANGE), &[]), both);
        assert_eq!(rows(build(region_flag::NOT_RANGE), &range), apart);
    }

    #[test]
    fn by_range_private_memory_is_compared_by_its_buffer() {
        let mut k = KernelBuilder::new();
        k.tile(0);
        let (space, roots) = (k.space("vec"), [k.root("vec", 7), k.root("vec", 8)]);
        for (root, size) in [(roots[0], 64), (roots[1], 64), (roots[0], 32)] {
            k.region(Region { size, space, root, flags: region_flag::PRIVATE, ..Default::default() });
        }
        let range = [("alias", "range".into())];
        assert_eq!(rows(k, &range), [vec![0], vec![1, 3], vec![2], vec![1, 3]]);
    }

    #[test]
    fn by_range_what_cannot_be_traced_overlaps_all_of_its_space() {
        let build = || {
            let mut k = KernelBuilder::new();
            k.tile(0);
            let (space, root) = (k.space("vec"), k.root("vec", 7));
            k.region(Region { size: 64, space, root, flags: region_flag::PRIVATE, ..Default::default() });
            k.parameter(0);
            k.parameter(1);
            let lost = region_flag::UNTRACED | region_flag::NOT_ROOT;
            let root = k.root("vec", 8);
            k.region(Region { space, root, flags: lost, ..Default::default() });
            let (space, root) = (k.space("gm"), k.root("gm", 9));
            k.region(Region { space, root, flags: lost | region_flag::GLOBAL, ..Default::default() });
            k
        };
        let range = ("alias", "range".into());
        let (tiles, anywhere) = (vec![0, 4], vec![0, 1, 4]);
        let expected = [&tiles, &vec![1, 4], &vec![2, 5], &vec![3, 5], &anywhere, &vec![2, 3, 5]];
        assert_eq!(rows(build(), std::slice::from_ref(&range)).iter().collect::<Vec<_>>(), expected);
        assert_eq!(rows(build(), &[]), [vec![0], vec![1], vec![2], vec![3], vec![], vec![]]);
        let overlapping = rows(build(), &[range, ("distinct-parameters", false.into())]);
        assert_eq!(overlapping[2..4], [vec![2, 3, 5], vec![2, 3, 5]]);
        assert_eq!(overlapping[5], [2, 3, 5]);
    }

    #[test]
    fn by_range_parameters_are_apart_unless_told_otherwise() {
        let build = || {
            let mut k = KernelBuilder::new();
            k.parameter(0);
            k.parameter(1);
            k
        };
        let range = ("alias", "range".into());
        assert_eq!(rows(build(), std::slice::from_ref(&range)), [vec![0], vec![1]]);
        assert_eq!(rows(build(), &[range, ("distinct-parameters", false.into())]), [vec![0, 1], vec![0, 1]]);
    }

    #[test]
    fn regions_that_cannot_be_told_apart_share_a_row() {
        let mut k = KernelBuilder::new();
        let (space, root) = (k.space("gm"), k.root("gm", 0));
        for rows in 1..100 {
            k.region(Region { rows, space, root, ..Default::default() });
        }
        let mut fixture = Fixture::new(k.finish());
        fixture.run::<HazardAnalysis>(&[]).unwrap();
        let overlaps: Vec<Overlap> = fixture.column("hazards.overlaps/1").unwrap();
        assert_eq!(overlaps.len(), 99);
    }
}
