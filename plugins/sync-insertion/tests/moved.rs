//! `ends = "as-moved"`: pairs count where motion puts their ends, so nothing is lost and few groups are made.

use pipewright_abi::hazard::{HazardData, Overlap};
use pipewright_abi::testing::{Fixture, KernelBuilder};
use pipewright_abi::{Range, RegionId};
use sync_insertion::SyncInsertion;

/// Inserts where each region overlaps itself alone.
fn run(k: KernelBuilder, ends: &str) -> Fixture {
    let mut fixture = Fixture::new(k.finish());
    let mut hazards = HazardData::default();
    for i in 0..fixture.kernel.regions.len() {
        hazards.rows.push(Range::new(i, i + 1));
        hazards.overlaps.push(Overlap { region: RegionId::from_index(i), flags: 0 });
    }
    fixture.write_hazards(&hazards);
    fixture.run::<SyncInsertion>(&[("ends", ends.into())]).unwrap();
    fixture
}

#[test]
fn a_set_that_leaves_its_loop_finishes_the_pipe_for_the_loops_before() {
    let build = || {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        for _ in 0..3 {
            k.repeat(|k| _ = k.instr("V", &[t], &[]));
        }
        k.instr("MTE2", &[], &[t]);
        k
    };
    assert_eq!(run(build(), "as-made").statistic("pairs"), 3);
    let fixture = run(build(), "as-moved");
    assert_eq!(fixture.statistic("pairs"), 1);
    assert_eq!(fixture.plan.groups()[0].carrier, pipewright_abi::NodeId::NONE);
}

#[test]
fn one_arm_of_a_branch_is_enough_since_the_set_leaves_it() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    k.instr("V", &[t], &[]);
    k.branch(|k| _ = k.instr("V", &[t], &[]), |_| {});
    k.instr("MTE2", &[], &[t]);
    assert_eq!(run(k, "as-moved").statistic("pairs"), 1);
}

#[test]
fn a_barrier_made_for_code_in_a_branch_counts_for_all_code_before() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    for _ in 0..4 {
        k.branch(|k| _ = k.instr("V", &[t], &[]), |_| {});
    }
    k.instr("V", &[], &[t]);
    assert_eq!(run(k, "as-moved").sync(), "bar V; bar ALL (tail)");
}

#[test]
fn a_wait_that_leaves_a_loop_counts_for_what_comes_behind_it() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    k.instr("MTE2", &[], &[t]);
    k.repeat(|k| _ = k.instr("V", &[t], &[]));
    // The wait of the first add stands before the loop, in the queue of V, however many trips there are.
    k.instr("V", &[t], &[]);
    assert_eq!(run(k, "as-moved").statistic("pairs"), 1);
}

/// A load, an add of something else, a loop that uses the load and stores, a store of the add over the loaded buffer: V waits
/// before the loop for the load, but the store inside waits for V only if there is a trip.
#[test]
fn what_a_loop_orders_within_its_trips_is_not_known_behind_it() {
    let mut k = KernelBuilder::new();
    let (p, q) = (k.parameter(0), k.parameter(1));
    let t: Vec<_> = (0..5).map(|i| k.tile(i)).collect();
    k.instr("MTE2", &[p], &[t[1]]);
    k.instr("MTE1", &[t[2]], &[t[3]]);
    k.repeat(|k| {
        k.instr("V", &[t[1]], &[t[4]]);
        k.instr("MTE3", &[t[4]], &[q]);
    });
    k.instr("MTE3", &[t[3]], &[p]);
    assert!(run(k, "as-moved").sync().contains("set MTE2>MTE3"));
}

#[test]
fn a_pair_within_an_arm_says_nothing_of_trips_that_take_the_other() {
    let mut k = KernelBuilder::new();
    let (t, u) = (k.tile(0), k.tile(1));
    let end = k.repeat(|k| {
        k.branch(
            |k| {
                k.instr("MTE2", &[], &[t]);
                k.instr("V", &[t], &[u]);
            },
            |k| _ = k.instr("V", &[t], &[u]),
        );
    });
    let fixture = run(k, "as-moved");
    let back: Vec<_> = fixture.plan.groups().iter().filter(|g| g.is_pair() && g.carrier == end).collect();
    // One within the arm, and one from the add in the other arm, whose set stands behind the branch.
    assert_eq!(back.len(), 2, "{}", fixture.skeleton());
}

#[test]
fn groups_grow_no_faster_than_the_kernel() {
    type Piece = fn(&mut KernelBuilder, [RegionId; 2]);
    let in_a_row: Piece = |k, [t, u]| {
        k.repeat(|k| {
            k.instr("MTE2", &[], &[t]);
            k.instr("V", &[t], &[u]);
            k.instr("MTE3", &[u], &[]);
        });
    };
    let one_sided: Piece = |k, [t, u]| {
        k.branch(|k| _ = k.instr("MTE2", &[u], &[t]), |_| {});
        k.branch(|k| _ = k.instr("V", &[t], &[u]), |_| {});
    };
    let two_sided: Piece = |k, [t, u]| {
        k.branch(|k| _ = k.instr("MTE2", &[], &[t]), |k| _ = k.instr("V", &[t], &[u]));
    };
    for (name, piece) in [("in a row", in_a_row), ("one-sided", one_sided), ("two-sided", two_sided)] {
        let groups = |pieces: usize| {
            let mut k = KernelBuilder::new();
            let tiles = [k.tile(0), k.tile(1)];
            k.repeat(|k| (0..pieces).for_each(|_| piece(k, tiles)));
            run(k, "as-moved").plan.groups().len()
        };
        let (few, many) = (groups(20), groups(200));
        assert!(many <= 11 * few, "{name}: {few} groups for 20 constructs, {many} for 200");
    }
}
