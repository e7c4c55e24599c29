//! The pass against the literal model: the same groups in the same order at the same places.

use pipewright_abi::hazard::{HazardData, Overlap};
use pipewright_abi::kernel::{KernelData, Region, region_flag};
use pipewright_abi::testing::{Fixture, target};
use pipewright_abi::{Range, RegionId};
use pipewright_model::kernels::{Item, Shape, build, kernels};
use pipewright_model::{Choices, Model, plan_text};
use proptest::prelude::*;
use sync_insertion::SyncInsertion;

/// Overlaps by root, region by region.
fn hazards(kernel: &KernelData) -> HazardData {
    let alias = |x: &Region, y: &Region| {
        let global = x.flags & region_flag::GLOBAL != 0;
        (x.space, x.root) == (y.space, y.root)
            && ((global && (x.size == 0 || y.size == 0))
                || x.base.max(y.base) < (x.base + x.size).min(y.base + y.size))
    };
    let mut hazards = HazardData::default();
    for x in &kernel.regions {
        let start = hazards.overlaps.len();
        let overlapping = kernel.regions.iter().enumerate().filter(|(_, y)| alias(x, y));
        hazards
            .overlaps
            .extend(overlapping.map(|(i, _)| Overlap { region: RegionId::from_index(i), flags: 0 }));
        hazards.rows.push(Range::new(start, hazards.overlaps.len()));
    }
    hazards
}

fn compare(kernel: &KernelData, history: &str) -> Result<(), TestCaseError> {
    let target = target();
    let choices = Choices { keep_loop_history: history == "keep", ..Choices::default() };
    let mut model = Model::new(kernel, &target, choices);
    let mut fixture = Fixture::new(kernel.clone());
    fixture.write_hazards(&hazards(kernel));
    fixture.run::<SyncInsertion>(&[("loop-history", history.into())]).unwrap();
    if kernel.view().wants_sync() {
        model.insert();
    }
    let (ours, theirs) = (plan_text(&fixture.plan, true, true), model.text(true, true));
    prop_assert!(ours == theirs, "{}\n{ours}\nthe model:\n{theirs}", fixture.skeleton());
    Ok(())
}

fn loops(pipes: u8, regions: u8, size: u32) -> impl Strategy<Value = Vec<Item>> {
    let region = move || prop::collection::vec(0..regions, 0..=1);
    let instruction = (0..pipes, region(), region()).prop_map(|(p, r, w)| Item::Instruction(p, r, w));
    let item = instruction.prop_recursive(
        4,
        size,
        6,
        |inner| prop_oneof![2 => inner.clone(), 3 => prop::collection::vec(inner, 0..6).prop_map(Item::Loop)],
    );
    prop::collection::vec(item, 0..16)
}

proptest! {
    #[test]
    fn many_pipes_and_regions(kernel in kernels(Shape { pipes: 6, regions: 11, depth: 4, size: 60 })) {
        compare(&kernel, "keep")?;
    }

    #[test]
    fn few_pipes_and_regions(kernel in kernels(Shape { pipes: 3, regions: 4, depth: 5, size: 60 })) {
        compare(&kernel, "keep")?;
    }

    /// Loops one after the other and in one another, without branches: facts of earlier scans count most there.
    #[test]
    fn loops_only(items in loops(3, 4, 40)) {
        compare(&build(&items), "keep")?;
    }

    #[test]
    fn loops_of_one_pipe_pair(items in loops(2, 3, 60)) {
        compare(&build(&items), "keep")?;
    }

    #[test]
    fn straight_line(kernel in kernels(Shape { pipes: 4, regions: 6, depth: 0, size: 60 })) {
        compare(&kernel, "keep")?;
    }

    #[test]
    fn without_history_of_loops(kernel in kernels(Shape { pipes: 3, regions: 5, depth: 4, size: 50 })) {
        compare(&kernel, "drop")?;
    }
}
