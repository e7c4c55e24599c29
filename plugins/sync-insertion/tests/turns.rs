//! `exact-rotation`: what instructions touch in which trip, where a loop hands tiles on in turn.

use pipewright_abi::hazard::{HazardData, Overlap};
use pipewright_abi::kernel::access_mode::{READ, WRITE};
use pipewright_abi::testing::{Fixture, KernelBuilder};
use pipewright_abi::{NodeId, Range, RegionId};
use sync_insertion::SyncInsertion;

/// The kernel with the groups that are made where each region overlaps itself alone, and those that `more` says.
fn run_with(k: KernelBuilder, exact: bool, more: &[[RegionId; 2]]) -> Fixture {
    let mut fixture = Fixture::new(k.finish());
    let mut hazards = HazardData::default();
    for i in 0..fixture.kernel.regions.len() {
        let region = RegionId::from_index(i);
        let start = hazards.overlaps.len();
        let others = more.iter().filter(|pair| pair.contains(&region)).flatten().copied();
        let mut overlaps: Vec<RegionId> = others.chain([region]).collect();
        overlaps.sort_unstable();
        overlaps.dedup();
        hazards.overlaps.extend(overlaps.into_iter().map(|region| Overlap { region, flags: 0 }));
        hazards.rows.push(Range::new(start, hazards.overlaps.len()));
    }
    fixture.write_hazards(&hazards);
    let options =
        [("ends", "as-moved".into()), ("tail-barrier", false.into()), ("exact-rotation", exact.into())];
    fixture.run::<SyncInsertion>(&options).unwrap();
    fixture
}

fn run(k: KernelBuilder) -> Fixture {
    run_with(k, true, &[])
}

fn tiles<const N: usize>(k: &mut KernelBuilder) -> [RegionId; N] {
    std::array::from_fn(|i| k.tile(i as u32))
}

fn load(k: &mut KernelBuilder, tiles: &[RegionId], argument: u32) -> NodeId {
    let node = k.instr("MTE2", &[], tiles);
    k.in_turn(node, tiles, WRITE, argument);
    node
}

fn add(k: &mut KernelBuilder, tiles: &[RegionId], argument: u32, to: RegionId) -> NodeId {
    let node = k.instr("V", tiles, &[to]);
    k.in_turn(node, tiles, READ, argument);
    node
}

fn store(k: &mut KernelBuilder, tiles: &[RegionId], argument: u32) -> NodeId {
    let node = k.instr("MTE3", tiles, &[]);
    k.in_turn(node, tiles, READ, argument);
    node
}

/// A load ahead into the one of two tiles that an add does not work on.
fn preload() -> KernelBuilder {
    let mut k = KernelBuilder::new();
    let (t, sum) = (tiles::<2>(&mut k), k.tile(9));
    k.instr("MTE2", &[], &t[..1]);
    k.repeat(|k| {
        load(k, &t, 1);
        add(k, &t, 0, sum);
    });
    k
}

#[test]
fn a_tile_loaded_ahead_is_waited_for_in_the_next_trip() {
    insta::assert_snapshot!(run(preload()).skeleton(), @r"
    MTE2 n0
    loop n1
      wait V>MTE2
      set MTE2>V
      bar MTE2
      MTE2 n2
      wait MTE2>V
      bar V
      V n3
      set V>MTE2
    end n4
    ");
}

#[test]
fn by_default_both_are_taken_to_work_on_both_tiles() {
    insta::assert_snapshot!(run_with(preload(), false, &[]).skeleton(), @r"
    MTE2 n0
    loop n1
      bar MTE2
      wait V>MTE2
      MTE2 n2
      set MTE2>V
      wait MTE2>V
      V n3
      set V>MTE2
    end n4
    ");
}

#[test]
fn a_tile_that_comes_round_later_needs_the_trip_before_last() {
    let mut k = KernelBuilder::new();
    let t = tiles::<3>(&mut k);
    k.repeat(|k| {
        load(k, &t, 0);
        store(k, &t, 0);
    });
    insta::assert_snapshot!(run(k).skeleton(), @r"
    loop n0
      wait MTE3>MTE2
      MTE2 n1
      set MTE2>MTE3
      wait MTE2>MTE3
      set MTE3>MTE2
      MTE3 n2
    end n3
    ");
}

#[test]
fn what_the_later_one_waited_for_in_the_trip_before_needs_no_pair() {
    let mut k = KernelBuilder::new();
    let t = tiles::<3>(&mut k);
    k.repeat(|k| {
        load(k, &t, 0);
        let add = k.instr("V", &t, &t);
        k.in_turn(add, &t, READ, 0);
        k.in_turn(add, &t, WRITE, 0);
        store(k, &t, 0);
    });
    let fixture = run(k);
    assert!(!fixture.sync().contains("V>MTE2"), "the store waited for the add:\n{}", fixture.skeleton());
}

#[test]
fn two_tiles_meet_from_one_trip_to_the_next() {
    let mut k = KernelBuilder::new();
    let t = tiles::<2>(&mut k);
    k.repeat(|k| {
        load(k, &t, 0);
        store(k, &t, 1);
    });
    // The store of a trip reads what was loaded a trip before, and the next load is into the tile that it reads.
    insta::assert_snapshot!(run(k).skeleton(), @r"
    loop n0
      wait MTE3>MTE2
      set MTE2>MTE3
      MTE2 n1
      wait MTE2>MTE3
      MTE3 n2
      set MTE3>MTE2
    end n3
    ");
}

#[test]
fn an_instruction_in_a_branch_may_have_run_any_number_of_trips_ago() {
    let mut k = KernelBuilder::new();
    let t = tiles::<3>(&mut k);
    k.repeat(|k| {
        load(k, &t, 0);
        let begin = k.instr("S", &[], &[]);
        let mut stored = NodeId::NONE;
        k.branch(|k| stored = k.instr("MTE3", &t, &[]), |_| {});
        k.in_turn_of(stored, &t, READ, 0, NodeId(begin.0 - 2));
    });
    let fixture = run(k);
    assert!(fixture.skeleton().contains("MTE3 n4\n    set MTE3>MTE2"), "{}", fixture.skeleton());
}

#[test]
fn a_tile_that_overlaps_another_of_its_round_is_no_turn() {
    let mut k = preload();
    let [a, b] = tiles::<2>(&mut k);
    let fixture = run_with(k, true, &[[a, b]]);
    assert!(fixture.skeleton().contains("MTE2 n2\n  set MTE2>V"), "{}", fixture.skeleton());
}

#[test]
fn a_loop_that_is_entered_again_begins_with_its_first_tile() {
    let mut k = KernelBuilder::new();
    let t = tiles::<3>(&mut k);
    k.repeat(|k| {
        k.repeat(|k| {
            load(k, &t, 0);
            store(k, &t, 0);
        });
    });
    // The last store of the inner loop and its first load in the next trip of the outer one may meet.
    insta::assert_snapshot!(run(k).skeleton(), @r"
    loop n0
      wait MTE3>MTE2
      loop n1
        wait MTE3>MTE2
        MTE2 n2
        set MTE2>MTE3
        wait MTE2>MTE3
        set MTE3>MTE2
        MTE3 n3
      end n4
      set MTE3>MTE2
    end n5
    ");
}

#[test]
fn in_a_loop_inside_the_turns_of_the_outer_one_count() {
    let mut k = KernelBuilder::new();
    let (t, sum) = (tiles::<2>(&mut k), k.tile(9));
    k.repeat(|k| {
        let outer = load(k, &t, 1);
        k.repeat(|k| {
            let node = k.instr("V", &t, &[sum]);
            k.in_turn_of(node, &t, READ, 0, NodeId(outer.0 - 1));
        });
    });
    insta::assert_snapshot!(run(k).skeleton(), @r"
    loop n0
      wait V>MTE2
      set MTE2>V
      MTE2 n1
      loop n2
        wait MTE2>V
        bar V
        V n3
        set V>MTE2
      end n4
    end n5
    ");
}
