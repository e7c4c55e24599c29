//! One small kernel per rule.

use pipewright_abi::NodeId;
use pipewright_abi::hazard::{HazardData, Overlap};
use pipewright_abi::testing::{Fixture, KernelBuilder};
use pipewright_abi::{Range, RegionId};
use sync_insertion::SyncInsertion;

/// A fixture in which each region overlaps itself alone.
fn fixture(k: KernelBuilder) -> Fixture {
    let mut fixture = Fixture::new(k.finish());
    let mut hazards = HazardData::default();
    for i in 0..fixture.kernel.regions.len() {
        hazards.rows.push(Range::new(i, i + 1));
        hazards.overlaps.push(Overlap { region: RegionId::from_index(i), flags: 0 });
    }
    fixture.write_hazards(&hazards);
    fixture
}

fn run(k: KernelBuilder) -> Fixture {
    let mut fixture = fixture(k);
    fixture.run::<SyncInsertion>(&[]).unwrap();
    fixture
}

#[test]
fn different_pipes_get_a_pair_and_one_pipe_a_barrier() {
    let mut k = KernelBuilder::new();
    let (p, t) = (k.parameter(0), k.tile(0));
    k.instr("MTE2", &[p], &[t]);
    k.instr("V", &[t], &[t]);
    k.instr("V", &[t], &[t]);
    let fixture = run(k);
    assert_eq!(fixture.sync(), "set MTE2>V; wait MTE2>V; bar V; bar ALL (tail)");
    assert_eq!((fixture.statistic("pairs"), fixture.statistic("barriers")), (1, 2));
}

#[test]
fn reads_do_not_conflict_but_for_accumulators_on_two_pipes() {
    let mut k = KernelBuilder::new();
    let (t, a) = (k.tile(0), k.accumulator(0));
    k.instr("M", &[t, a], &[]);
    k.instr("M", &[t, a], &[]);
    k.instr("FIX", &[t, a], &[]);
    assert_eq!(run(k).sync(), "set M>FIX; wait M>FIX; bar ALL (tail)");
}

#[test]
fn the_scalar_pipe_needs_no_order_with_itself() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    k.instr("S", &[], &[t]);
    k.instr("S", &[t], &[t]);
    assert_eq!(run(k).sync(), "bar ALL (tail)");
}

#[test]
fn a_wait_passed_on_the_way_back_orders_its_set_as_well() {
    let mut k = KernelBuilder::new();
    let (t, u) = (k.tile(0), k.tile(1));
    k.instr("MTE2", &[], &[t]);
    k.instr("V", &[t], &[u]);
    // Conflicts with both, but V waited for MTE2.
    k.instr("MTE3", &[t, u], &[]);
    assert_eq!(run(k).sync(), "set MTE2>V; wait MTE2>V; set V>MTE3; wait V>MTE3; bar ALL (tail)");
}

#[test]
fn a_dependence_round_a_loop_is_carried_by_it() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    let end = k.repeat(|k| {
        k.instr("MTE2", &[], &[t]);
        k.instr("V", &[t], &[]);
    });
    let fixture = run(k);
    let carried: Vec<_> = fixture.plan.groups().iter().filter(|g| g.carrier == end).collect();
    // The pair of the add with the next load also orders the two loads.
    assert_eq!(carried.len(), 1);
    assert_eq!((carried[0].src, carried[0].dst), (fixture.pipe("V"), fixture.pipe("MTE2")));
    assert_eq!(fixture.statistic("carried pairs"), 1);
}

#[test]
fn each_earlier_loop_gets_a_pair_of_its_own() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    for _ in 0..3 {
        k.repeat(|k| _ = k.instr("V", &[t], &[]));
    }
    k.instr("MTE2", &[], &[t]);
    assert_eq!(run(k).statistic("pairs"), 3);
}

#[test]
fn both_parts_of_a_branch_finish_a_pipe_and_one_does_not() {
    for both in [true, false] {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        k.instr("V", &[t], &[]);
        k.branch(
            |k| _ = k.instr("V", &[t], &[]),
            |k| {
                if both {
                    k.instr("V", &[t], &[]);
                }
            },
        );
        k.instr("MTE2", &[], &[t]);
        assert_eq!(run(k).statistic("pairs"), 2);
    }
}

/// A load, an add of something else, a loop that uses the load and stores, a store of the add over the loaded buffer.
fn lost_order(history: &str) -> String {
    let mut k = KernelBuilder::new();
    let (p, q) = (k.parameter(0), k.parameter(1));
    let t: Vec<_> = (0..5).map(|i| k.tile(i)).collect();
    k.instr("MTE2", &[p], &[t[1]]);
    k.instr("V", &[t[2]], &[t[3]]);
    k.repeat(|k| {
        k.instr("V", &[t[1]], &[t[4]]);
        k.instr("MTE3", &[t[4]], &[q]);
    });
    k.instr("MTE3", &[t[3]], &[p]);
    let mut fixture = fixture(k);
    fixture.run::<SyncInsertion>(&[("loop-history", history.into())]).unwrap();
    fixture.sync()
}

#[test]
fn history_of_loops_loses_an_order_that_dropping_it_keeps() {
    assert!(!lost_order("keep").contains("MTE2>MTE3"));
    assert!(lost_order("drop").contains("set MTE2>MTE3"));
}

#[test]
fn the_tail_barrier_can_be_left_out() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    k.instr("V", &[], &[t]);
    k.instr("V", &[], &[t]);
    let mut fixture = fixture(k);
    fixture.run::<SyncInsertion>(&[("tail-barrier", false.into())]).unwrap();
    assert_eq!(fixture.sync(), "bar V");
}

#[test]
fn functions_with_flags_of_their_own_are_left_alone_and_said_so() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    k.instr("MTE2", &[], &[t]);
    k.instr("V", &[t], &[]);
    k.explicit_sync();
    let fixture = run(k);
    assert_eq!(fixture.sync(), "");
    assert_eq!(fixture.remarks.len(), 1);
    assert_eq!(fixture.remarks[0].node, NodeId::NONE);
}

#[test]
fn one_instruction_needs_nothing() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    k.instr("V", &[], &[t]);
    assert_eq!(run(k).sync(), "");
}

#[test]
fn an_instruction_on_an_unknown_pipe_is_refused() {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    k.instr("V", &[], &[t]);
    let node = k.instr("V", &[], &[t]);
    let mut fixture = fixture(k);
    fixture.kernel.nodes[node.index()].pipe = pipewright_abi::PipeId(99);
    let error = fixture.run::<SyncInsertion>(&[]).unwrap_err();
    assert_eq!(error.node, node);
}
