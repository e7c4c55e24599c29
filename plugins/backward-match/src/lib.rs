//! Adds to each loop-carried pair a head set and a tail wait: the pair waits before anyone has set in the first
//! iteration, and leaves a flag set after the last.
//!
//! A head set and its tail wait are one synthetic group with the key, id, carrier and buffers of the pair. For a
//! pair with an id for the whole function the head set comes before the first node, the tail wait after the last.
//! For one with an id for its loop they come right before and right behind the loop; the option `tail-wait` says
//! whether the tail wait comes before or after what already stands behind the loop. Before is right: a set of the
//! same id that was moved behind the loop must find the flag taken.
//!
//! Groups are made in the order in which ids were given. Then, in the order of the lists behind the loops, groups
//! of loop scope whose id nobody else uses before or behind their loop are put in place once more. This changes
//! nothing but the order of statements at one point, and is kept so that the result equals the reference's.
//!
//! Time: n log n in the entries of the plan.

use std::collections::HashMap;

use pipewright_abi::artifact::LATE_SETS;
use pipewright_abi::plan::{Anchor, Edit, NO_EVENT, Position, Role, SyncPlan, group_flag, scope};
use pipewright_abi::{GroupId, NodeId, Pass, PassContext, PassError, PassInfo, PipeId, register_pass};

/// The pass.
#[derive(Debug)]
pub struct BackwardMatch;

register_pass!(BackwardMatch);

impl Pass for BackwardMatch {
    const NAME: &'static str = "backward-match";

    fn info() -> PassInfo {
        PassInfo::new("Adds head sets and tail waits to loop-carried pairs")
            .reads(&["kernel", "sync-groups", "event-ids", "id-scopes", "id-order"])
            .may_read(&["late-sets"])
            .writes(&["synthetic-pairs", "list-order"])
            .choice(
                "tail-wait",
                &["push-front", "push-back"],
                "whether the tail wait of a loop comes before or after what stands behind the loop",
            )
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let position = if cx.text("tail-wait") == "push-back" { Position::Back } else { Position::Front };
        let pairs = carried_pairs(cx.plan());
        cx.count("synthetic pairs", pairs.len() as i64);
        let mut at_loops = Vec::new();
        for pair in pairs {
            let ends = Ends::of(cx, pair, position);
            let synthetic = add(cx, pair, ends)?;
            if cx.plan().group(synthetic).scope == scope::LOOP {
                at_loops.push((synthetic, ends));
            }
        }
        if position == Position::Back {
            keep_late_sets_behind(cx)?;
        }
        put_again(cx, at_loops)
    }
}

/// Carried pairs with an id, in the order in which they got it.
fn carried_pairs(plan: &SyncPlan) -> Vec<GroupId> {
    let is_carried = |&g: &GroupId| {
        let group = plan.group(g);
        group.is_pair() && group.carrier.is_some() && group.event_id != NO_EVENT && group.scope != scope::NONE
    };
    let mut pairs: Vec<_> = plan.live_groups().filter(is_carried).collect();
    pairs.sort_by_key(|&g| plan.group(g).order);
    pairs
}

/// Where a synthetic group stands.
#[derive(Clone, Copy, Debug)]
struct Ends {
    head: NodeId,
    tail: NodeId,
    tail_position: Position,
}

impl Ends {
    fn of(cx: &PassContext<'_>, pair: GroupId, at_loop: Position) -> Self {
        let (kernel, group) = (cx.kernel(), cx.plan().group(pair));
        if group.scope == scope::LOOP {
            let head = kernel.node(group.carrier).begin;
            return Self { head, tail: group.carrier, tail_position: at_loop };
        }
        let last = NodeId::from_index(kernel.nodes.len() - 1);
        Self { head: NodeId(0), tail: last, tail_position: Position::Back }
    }

    fn put(self, cx: &mut PassContext<'_>, group: GroupId) -> Result<(), PassError> {
        cx.place(group, Role::Set, Anchor::before(self.head), Position::Back)?;
        cx.place(group, Role::Wait, Anchor::after(self.tail), self.tail_position)
    }
}

fn add(cx: &mut PassContext<'_>, pair: GroupId, ends: Ends) -> Result<GroupId, PassError> {
    let group = *cx.plan().group(pair);
    let roots = cx.plan().group_roots(pair).to_vec();
    let synthetic = cx.add_unplaced_pair(group.key(), group.carrier, group_flag::SYNTHETIC, &roots)?;
    cx.edit(Edit::SetEventId { group: synthetic, event_id: group.event_id, scope: group.scope })?;
    ends.put(cx, synthetic)?;
    Ok(synthetic)
}

/// Puts sets that allocation moved after it had given the last id behind the tail waits again: in the reference those
/// already stood there when the sets came. Allocation need not have said anything.
fn keep_late_sets_behind(cx: &mut PassContext<'_>) -> Result<(), PassError> {
    for &group in cx.column::<GroupId>(LATE_SETS).unwrap_or(&[]) {
        let is_live = cx.plan().groups().get(group.index()).is_some_and(|g| g.is_pair());
        if !is_live {
            continue;
        }
        if let Some(anchor) = cx.plan().place(group, Role::Set) {
            cx.place(group, Role::Set, anchor, Position::Back)?;
        }
    }
    Ok(())
}

/// Puts the loop-scope groups whose id meets no other use outside of their loop in place once more, in the order
/// of the lists behind the loops.
fn put_again(cx: &mut PassContext<'_>, at_loops: Vec<(GroupId, Ends)>) -> Result<(), PassError> {
    let uses = uses(cx.plan());
    let ends: HashMap<GroupId, Ends> = at_loops.iter().copied().collect();
    let mut tails: Vec<NodeId> = at_loops.iter().map(|(_, ends)| ends.tail).collect();
    tails.sort_unstable();
    tails.dedup();
    for tail in tails {
        let listed: Vec<_> =
            cx.plan().after(tail).iter().filter_map(|y| ends.get_key_value(&y.group)).collect();
        for (&group, ends) in listed {
            if !meets_another(&uses, cx.plan(), group, ends) {
                ends.put(cx, group)?;
            }
        }
    }
    Ok(())
}

/// A key with an event id.
type Flag = ((PipeId, PipeId), u32);

fn flag(plan: &SyncPlan, group: GroupId) -> Flag {
    (plan.group(group).key(), plan.group(group).event_id)
}

/// For each flag the nodes before which it is set or waited for, ascending.
fn uses(plan: &SyncPlan) -> HashMap<Flag, Vec<NodeId>> {
    let mut uses: HashMap<Flag, Vec<NodeId>> = HashMap::new();
    for node in (0..plan.node_count()).map(NodeId::from_index) {
        for entry in plan.before(node).iter().filter(|y| y.role != Role::Barrier) {
            uses.entry(flag(plan, entry.group)).or_default().push(node);
        }
    }
    uses
}

/// Whether the flag of a synthetic group is used by another one before or behind its loop.
fn meets_another(uses: &HashMap<Flag, Vec<NodeId>>, plan: &SyncPlan, group: GroupId, ends: &Ends) -> bool {
    let nodes = uses.get(&flag(plan, group)).map_or(&[][..], Vec::as_slice);
    let before = nodes.partition_point(|&n| n <= ends.head);
    // The group's own head set is one of those before.
    before > 1 || nodes.last().is_some_and(|&n| n >= ends.tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipewright_abi::testing::{Fixture, KernelBuilder};

    /// Two loops, each a load and an add, with a pair V>MTE2 carried by each; then the pairs get ids.
    fn two_loops(ids: [(u32, u32); 2]) -> Fixture {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let mut inside = Vec::new();
            let end = k.repeat(|k| {
                inside = vec![k.instr("MTE2", &[], &[t]), k.instr("V", &[t], &[t])];
            });
            nodes.push((inside[0], inside[1], end));
        }
        let mut fixture = Fixture::new(k.finish());
        for ((load, add, end), (event_id, scope)) in nodes.into_iter().zip(ids) {
            let group = fixture.carried_pair("V", "MTE2", add, load, end);
            fixture.edit(Edit::SetEventId { group, event_id, scope });
        }
        fixture
    }

    #[test]
    fn ids_of_the_function_are_closed_at_its_ends() {
        let mut fixture = two_loops([(0, scope::FUNCTION), (1, scope::FUNCTION)]);
        fixture.tail(NodeId(7));
        fixture.run::<BackwardMatch>(&[]).unwrap();
        assert_eq!(fixture.statistic("synthetic pairs"), 2);
        let expected = "\
set V>MTE2#0
set V>MTE2#1
loop n0
  wait V>MTE2#0
  MTE2 n1
  V n2
  set V>MTE2#0
end n3
loop n4
  wait V>MTE2#1
  MTE2 n5
  V n6
  set V>MTE2#1
end n7
wait V>MTE2#0
wait V>MTE2#1
bar ALL (tail)
";
        assert_eq!(fixture.skeleton(), expected);
    }

    #[test]
    fn ids_of_a_loop_are_closed_around_it() {
        let mut fixture = two_loops([(0, scope::LOOP), (0, scope::LOOP)]);
        fixture.run::<BackwardMatch>(&[]).unwrap();
        let expected = "set V>MTE2#0; wait V>MTE2#0; set V>MTE2#0; wait V>MTE2#0; \
                        set V>MTE2#0; wait V>MTE2#0; set V>MTE2#0; wait V>MTE2#0";
        assert_eq!(fixture.sync(), expected);
        assert_eq!(fixture.plan.before(NodeId(4)).len(), 1);
        assert_eq!(fixture.plan.after(NodeId(7)).len(), 1);
    }

    /// A loop with three carried pairs of ids 0, 1, 2 at loop scope; another pair uses id 0 before the loop, and a
    /// set of a pair stands behind it.
    fn three_in_a_loop(tail_wait: &str) -> String {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        let first = k.instr("V", &[], &[t]);
        let second = k.instr("MTE2", &[], &[t]);
        let (mut load, mut add) = (NodeId::NONE, NodeId::NONE);
        let end = k.repeat(|k| {
            load = k.instr("MTE2", &[], &[t]);
            add = k.instr("V", &[t], &[t]);
        });
        let last = k.instr("MTE2", &[], &[t]);
        let mut fixture = Fixture::new(k.finish());
        let before = fixture.pair("V", "MTE2", first, second);
        fixture.edit(Edit::SetEventId { group: before, event_id: 0, scope: scope::NONE });
        let behind = fixture.pair("V", "MTE2", end, last);
        fixture.edit(Edit::SetEventId { group: behind, event_id: 7, scope: scope::NONE });
        for event_id in 0..3 {
            let group = fixture.carried_pair("V", "MTE2", add, load, end);
            fixture.edit(Edit::SetEventId { group, event_id, scope: scope::LOOP });
        }
        fixture.run::<BackwardMatch>(&[("tail-wait", tail_wait.into())]).unwrap();
        fixture.sync().replace("V>MTE2", "")
    }

    #[test]
    fn in_front_the_tail_waits_reverse_and_the_unshared_ones_reverse_again() {
        assert_eq!(
            three_in_a_loop("push-front"),
            "set #0; wait #0; set #0; set #2; set #1; wait #0; wait #1; wait #2; set #0; set #1; set #2; \
             wait #1; wait #2; wait #0; set #7; wait #7"
        );
    }

    #[test]
    fn at_the_back_the_order_of_giving_stays() {
        assert_eq!(
            three_in_a_loop("push-back"),
            "set #0; wait #0; set #0; set #1; set #2; wait #0; wait #1; wait #2; set #0; set #1; set #2; \
             set #7; wait #0; wait #1; wait #2; wait #7"
        );
    }

    #[test]
    fn without_ids_nothing_is_added() {
        let mut fixture = two_loops([(NO_EVENT, scope::NONE), (NO_EVENT, scope::NONE)]);
        let before = fixture.plan.clone();
        fixture.run::<BackwardMatch>(&[]).unwrap();
        assert_eq!(fixture.plan, before);
    }
}
