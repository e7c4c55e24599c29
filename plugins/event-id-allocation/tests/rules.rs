//! One small kernel per rule.

use event_id_allocation::EventIdAllocation;
use pipewright_abi::NodeId;
use pipewright_abi::kernel::{FlagUse, Phase};
use pipewright_abi::plan::{Anchor, Edit, Position, Role, scope};
use pipewright_abi::target::phase_kind;
use pipewright_abi::testing::{Fixture, KernelBuilder};

/// `count` instructions in a row, loads and adds in turn.
fn row(count: usize) -> Fixture {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    // A second buffer that pairs can be for.
    k.tile(1);
    for i in 0..count {
        k.instr(if i % 2 == 0 { "MTE2" } else { "V" }, &[], &[t]);
    }
    Fixture::new(k.finish())
}

/// A pair V>MTE3 with root `root`.
fn pair(fixture: &mut Fixture, set: u32, wait: u32, root: u32) {
    let (src, dst) = (fixture.pipe("V"), fixture.pipe("MTE3"));
    let group = pipewright_abi::GroupId::from_index(fixture.plan.groups().len());
    fixture.edit(Edit::AddPair { src, dst, carrier: NodeId::NONE, flags: 0 });
    fixture.edit(Edit::AddRoot { group, root: pipewright_abi::RootId(root) });
    fixture.place(group, Role::Set, Anchor::after(NodeId(set)));
    fixture.place(group, Role::Wait, Anchor::before(NodeId(wait)));
}

fn ids(fixture: &Fixture) -> Vec<Option<u32>> {
    let id = |g: &pipewright_abi::plan::SyncGroup| (g.event_id != u32::MAX).then_some(g.event_id);
    fixture.plan.groups().iter().map(id).collect()
}

fn run(fixture: &mut Fixture, max_ids: i64) {
    fixture.run::<EventIdAllocation>(&[("max-ids", max_ids.into())]).unwrap();
}

#[test]
fn ids_go_out_in_the_order_of_the_waits_and_unused_ones_first() {
    let mut fixture = row(8);
    pair(&mut fixture, 0, 7, 0);
    pair(&mut fixture, 1, 2, 0);
    pair(&mut fixture, 3, 4, 0);
    run(&mut fixture, 8);
    assert_eq!(ids(&fixture), [Some(2), Some(0), Some(1)]);
    assert_eq!(fixture.statistic("most ids of a key"), 3);
}

#[test]
fn a_set_before_a_node_holds_its_id_from_the_node_in_front() {
    for (early, second) in [(false, Some(0)), (true, None)] {
        let mut fixture = row(6);
        pair(&mut fixture, 0, 3, 0);
        pair(&mut fixture, 3, 5, 1);
        if early {
            let group = pipewright_abi::GroupId(1);
            fixture.place(group, Role::Set, Anchor::before(NodeId(3)));
        }
        run(&mut fixture, 1);
        assert_eq!(ids(&fixture), [Some(0), second], "early: {early}");
    }
}

#[test]
fn an_id_that_was_used_before_is_the_lowest_or_the_one_that_rested_longest() {
    for (reuse, last) in [("lowest", 0), ("longest-free", 1)] {
        let mut fixture = row(12);
        for (set, wait) in [(0, 2), (3, 5), (6, 8), (9, 11)] {
            pair(&mut fixture, set, wait, 0);
        }
        let options = [("max-ids", 2.into()), ("reuse", reuse.into()), ("widening", false.into())];
        fixture.run::<EventIdAllocation>(&options).unwrap();
        // At the third pair id 0 has been free for longer; at the fourth one, id 1.
        assert_eq!(ids(&fixture), [Some(0), Some(1), Some(0), Some(last)], "{reuse}");
    }
}

#[test]
fn ids_that_calls_use_are_spared_if_that_is_wanted() {
    for (spare, expected) in [(false, [Some(0), Some(1)]), (true, [Some(1), Some(3)])] {
        let mut fixture = row(4);
        let (pipe, dst) = (fixture.pipe("V"), fixture.pipe("MTE3"));
        let phase = |kind, dst, event_id| Phase { kind, pipe, dst, event_id, ..Default::default() };
        // Work has no flag, and the flag of another key is no matter.
        fixture.kernel.phases = vec![
            phase(phase_kind::USES, dst, 0),
            phase(phase_kind::WORK, dst, 1),
            phase(phase_kind::USES, fixture.pipe("S"), 1),
            phase(phase_kind::FLAG, dst, 2),
        ];
        pair(&mut fixture, 0, 2, 0);
        pair(&mut fixture, 1, 3, 0);
        fixture.run::<EventIdAllocation>(&[("spare-call-ids", spare.into())]).unwrap();
        assert_eq!(ids(&fixture), expected);
    }
}

/// Flags of the source, and of functions around: one whose id is computed takes several, or all of its pair.
#[test]
fn ids_that_are_not_the_plans_are_spared_if_that_is_wanted() {
    let all = [Some(0), Some(1)];
    for (ids_in_use, spare, expected) in [
        (0b11, false, all),
        (0b11, true, [Some(2), Some(3)]),
        (0b10, true, [Some(0), Some(2)]),
        (u64::MAX, true, [None, None]),
    ] {
        let mut fixture = row(4);
        let (src, dst, other) = (fixture.pipe("V"), fixture.pipe("MTE3"), fixture.pipe("S"));
        let in_use = |ids, dst| FlagUse { ids, src, dst, ..Default::default() };
        fixture.kernel.flag_uses = vec![in_use(ids_in_use, dst), in_use(u64::MAX, other)];
        pair(&mut fixture, 0, 2, 0);
        pair(&mut fixture, 1, 3, 0);
        fixture.run::<EventIdAllocation>(&[("spare-call-ids", spare.into())]).unwrap();
        assert_eq!(ids(&fixture), expected);
    }
}

#[test]
fn a_free_id_is_used_again_when_all_were_used() {
    let mut fixture = row(8);
    pair(&mut fixture, 0, 1, 0);
    pair(&mut fixture, 1, 2, 1);
    pair(&mut fixture, 2, 3, 0);
    run(&mut fixture, 2);
    assert_eq!(ids(&fixture), [Some(0), Some(1), Some(0)], "intervals that touch do not overlap");
}

#[test]
fn keys_do_not_share_ids_and_reserved_ones_stay_free() {
    let mut fixture = row(20);
    for i in 0..8 {
        fixture.pair("MTE2", "V", NodeId(i), NodeId(i + 8));
    }
    fixture.pair("V", "MTE2", NodeId(0), NodeId(9));
    run(&mut fixture, 8);
    let expected: Vec<_> = (0..7).map(Some).chain([None, Some(0)]).collect();
    assert_eq!(ids(&fixture), expected);
    assert_eq!(fixture.statistic("pairs without id"), 1);
    assert_eq!(fixture.remarks.len(), 1, "{:?}", fixture.remarks);
}

#[test]
fn widening_reuses_a_flag_of_the_same_buffers_and_moves_its_set() {
    let mut fixture = row(8);
    pair(&mut fixture, 0, 4, 0);
    pair(&mut fixture, 2, 6, 0);
    run(&mut fixture, 1);
    assert_eq!(fixture.sync(), "set V>MTE3#0; wait V>MTE3#0");
    assert_eq!(fixture.plan.after(NodeId(2)).len(), 1);
    assert_eq!(fixture.statistic("pairs that reuse a flag"), 1);
}

#[test]
fn widening_wants_the_same_buffers_and_can_be_switched_off() {
    let mut other_buffer = row(8);
    pair(&mut other_buffer, 0, 4, 0);
    pair(&mut other_buffer, 2, 6, 1);
    run(&mut other_buffer, 1);
    let mut off = row(8);
    pair(&mut off, 0, 4, 0);
    pair(&mut off, 2, 6, 0);
    off.run::<EventIdAllocation>(&[("max-ids", 1.into()), ("widening", false.into())]).unwrap();
    for fixture in [other_buffer, off] {
        assert_eq!(fixture.sync(), "set V>MTE3#0; set V>MTE3; wait V>MTE3#0; wait V>MTE3");
    }
}

/// Two loops of `n` loads and `n` adds with `n` pairs V>MTE2 carried by each.
fn two_loops(n: u32) -> Fixture {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    let mut ends = Vec::new();
    for _ in 0..2 {
        ends.push(k.repeat(|k| {
            (0..n).for_each(|_| _ = k.instr("MTE2", &[], &[t]));
            (0..n).for_each(|_| _ = k.instr("V", &[t], &[t]));
        }));
    }
    let mut fixture = Fixture::new(k.finish());
    for end in ends {
        let begin = fixture.kernel.nodes[end.index()].begin.0;
        for i in 0..n {
            fixture.carried_pair("V", "MTE2", NodeId(begin + 1 + n + i), NodeId(begin + 1 + i), end);
        }
    }
    fixture
}

#[test]
fn carried_pairs_hold_their_id_for_the_function_while_the_ids_last() {
    let mut fixture = two_loops(2);
    run(&mut fixture, 4);
    assert_eq!(ids(&fixture), [Some(0), Some(1), Some(2), Some(3)]);
    assert!(fixture.plan.groups().iter().all(|g| g.scope == scope::FUNCTION));
}

#[test]
fn a_key_that_runs_out_is_allocated_once_more_per_loop() {
    let mut fixture = two_loops(2);
    run(&mut fixture, 3);
    assert_eq!(ids(&fixture), [Some(0), Some(1), Some(2), Some(0)]);
    assert!(fixture.plan.groups().iter().all(|g| g.scope == scope::LOOP));
    let orders: Vec<_> = fixture.plan.groups().iter().map(|g| g.order).collect();
    assert_eq!(orders, [1, 2, 3, 4]);
    assert_eq!(fixture.statistic("keys allocated per loop"), 1);
}

#[test]
fn order_keeps_keys_of_the_first_round_before_those_of_the_second() {
    let mut fixture = two_loops(2);
    let end = NodeId(11);
    let late = fixture.carried_pair("V", "MTE3", NodeId(9), NodeId(9), end);
    fixture.edit(Edit::Place {
        entry: pipewright_abi::plan::Entry { group: late, role: Role::Wait },
        anchor: Anchor::before(NodeId(7)),
        position: Position::Back,
    });
    run(&mut fixture, 2);
    let group = fixture.plan.group(late);
    assert_eq!((group.scope, group.order), (scope::FUNCTION, 1));
}
