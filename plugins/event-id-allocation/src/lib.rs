//! Gives event ids to set/wait pairs.
//!
//! Ids are counted per key, that is per ordered pair of pipes. A pair holds its id for an interval of nodes: a
//! forward pair from its set to its wait, a carried one for the whole function. Two pairs of one key may share an id
//! if their intervals do not overlap. Ids go to pairs in the order of their waits; an id that was never used wins
//! over one that is free again.
//!
//! A pair that finds none may reuse the flag of an earlier pair of the same buffers that is still up (*widening*):
//! that pair's set moves to where this one's stood, and this pair goes. A key that still lacks ids is allocated once
//! more, with carried pairs holding their id for their loop only. A pair that finds no id even so stays without.
//!
//! What must hold: both ends of a pair are placed; of a forward pair, the set before the wait. No synthetic pair is
//! made here; scope and order of the ids say how to make them. Pairs given up by widening still take ids in the
//! second round, as in the reference.
//!
//! Time: n log n in the entries of the plan.

mod pools;
mod widening;

use std::collections::BTreeSet;

use pipewright_abi::artifact::LATE_SETS;
use pipewright_abi::kernel::{Kernel, node_flag, node_kind};
use pipewright_abi::plan::{Anchor, NO_EVENT, Position, Role, SyncPlan, scope};
use pipewright_abi::target::phase_kind;
use pipewright_abi::{GroupId, NodeId, Pass, PassContext, PassError, PassInfo, PipeId, register_pass};
use pools::{Interval, Pools, Reuse};

/// An ordered pair of pipes.
type Key = (PipeId, PipeId);

/// The pass.
#[derive(Debug)]
pub struct EventIdAllocation;

register_pass!(EventIdAllocation);

impl Pass for EventIdAllocation {
    const NAME: &'static str = "event-id-allocation";

    fn info() -> PassInfo {
        PassInfo::new("Gives event ids to set/wait pairs")
            .reads(&["kernel", "sync-groups"])
            .writes(&["sync-groups", "event-ids", "id-scopes", "id-order", "late-sets"])
            .integer(
                "max-ids",
                8,
                0..=64,
                "how many of a key's ids are used at most, lowest first, reserved ones left out",
            )
            .option(
                "widening",
                true,
                "a pair without id may reuse the flag of an earlier pair of the same buffers",
            )
            .choice(
                "reuse",
                &["lowest", "longest-free"],
                "which of the ids that are free again a pair gets when all were taken once",
            )
            .option(
                "spare-call-ids",
                false,
                "leave alone the ids that operations of the kernel use within themselves, that its source uses, and that \
                 functions use that it calls or that call it",
            )
            .option(
                "while-pairs",
                true,
                "give ids to pairs with an end in a `while` loop too, though its head runs once more than its body; \
                 without one they become barriers",
            )
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let kernel = cx.kernel();
        let max_ids = usize::try_from(cx.int("max-ids")).unwrap_or(0);
        let spared = if cx.flag("spare-call-ids") { ids_of_others(&kernel) } else { BTreeSet::new() };
        let reuse = if cx.text("reuse") == "lowest" { Reuse::Lowest } else { Reuse::LongestFree };
        let pools = Pools::new(&cx.target(), max_ids, reuse, &spared);
        let mut allocation = Allocation::new(&kernel, cx.plan(), pools);
        if !cx.flag("while-pairs") {
            allocation.leave_out(&whiles(&kernel));
        }
        let again = allocation.run(&kernel, cx.plan(), cx.flag("widening"));
        for &(src, dst) in &again {
            let target = cx.target();
            let (src, dst) = (target.pipe_name(src), target.pipe_name(dst));
            let message = format!(
                "the ids of {src}>{dst} do not last for the function; carried pairs hold theirs per loop"
            );
            cx.remark(NodeId::NONE, message);
        }
        write(cx, &allocation, &again)
    }
}

/// What is known of a pair.
#[derive(Clone, Copy, Debug)]
struct Pair {
    key: Key,
    set_at: NodeId,
    wait_at: NodeId,
    carrier: NodeId,
    event_id: u32,
    /// Lets another pair's flag stand for it.
    given_up: bool,
    /// Its set was moved by widening.
    moved: bool,
}

struct Allocation {
    /// By group; none for barriers and removed groups.
    pairs: Vec<Option<Pair>>,
    /// Sets after each node, in order.
    sets: Vec<Vec<GroupId>>,
    pools: Pools,
    /// Pairs in the order in which they got their ids.
    order: Vec<GroupId>,
    /// Keys whose carried pairs hold their id for their loop only.
    at_loops: BTreeSet<Key>,
    /// Pairs whose sets were moved in the second round, in order of moving.
    moved_late: Vec<GroupId>,
}

impl Allocation {
    fn new(kernel: &Kernel<'_>, plan: &SyncPlan, pools: Pools) -> Self {
        let mut pairs = vec![None; plan.groups().len()];
        for id in plan.live_groups().filter(|&g| plan.group(g).is_pair()) {
            let group = plan.group(id);
            if let (Some(set), Some(wait)) = (plan.place(id, Role::Set), plan.place(id, Role::Wait)) {
                pairs[id.index()] = Some(Pair {
                    key: group.key(),
                    set_at: set.node_in_front(),
                    wait_at: wait.node,
                    carrier: group.carrier,
                    event_id: group.event_id,
                    given_up: false,
                    moved: false,
                });
            }
        }
        let is_set = |y: &&pipewright_abi::plan::Entry| y.role == Role::Set;
        // A set before a node stands behind the node in front of it.
        let sets_after = |n: NodeId| {
            let before_next = if n.index() + 1 < kernel.nodes.len() { plan.before(n.next()) } else { &[] };
            plan.after(n).iter().chain(before_next).filter(is_set).map(|y| y.group).collect()
        };
        Self {
            sets: kernel.node_ids().map(sets_after).collect(),
            pools,
            order: Vec::new(),
            at_loops: BTreeSet::new(),
            moved_late: Vec::new(),
            pairs,
        }
    }

    /// Pairs with an end at one of these nodes get no id.
    fn leave_out(&mut self, nodes: &[bool]) {
        for pair in &mut self.pairs {
            *pair = pair.filter(|p| !nodes[p.set_at.index()] && !nodes[p.wait_at.index()]);
        }
    }

    /// Runs both rounds. Returns the keys of the second.
    fn run(&mut self, kernel: &Kernel<'_>, plan: &SyncPlan, widening: bool) -> BTreeSet<Key> {
        let waits: Vec<GroupId> = kernel
            .node_ids()
            .flat_map(|n| plan.before(n).iter().filter(|y| y.role == Role::Wait).map(|y| y.group))
            .collect();
        for &id in &waits {
            self.give(kernel, id);
        }
        let failed = self.widen(kernel, plan, widening);
        if failed.is_empty() {
            return failed;
        }
        self.pools.forget(&failed);
        self.at_loops = failed.clone();
        let pairs = &self.pairs;
        let fails = |&id: &GroupId| pairs[id.index()].is_some_and(|p| failed.contains(&p.key));
        self.order.retain(|id| !fails(id));
        let again: Vec<GroupId> = waits.into_iter().filter(fails).collect();
        for id in again {
            if let Some(pair) = &mut self.pairs[id.index()] {
                pair.event_id = NO_EVENT;
            }
            self.give(kernel, id);
        }
        self.widen(kernel, plan, widening);
        failed
    }

    /// Gives a pair an id if it has none and there is one.
    fn give(&mut self, kernel: &Kernel<'_>, id: GroupId) {
        let Some(pair) = self.pairs[id.index()].as_mut().filter(|p| p.event_id == NO_EVENT) else { return };
        let (set, wait) = (pair.set_at.0, pair.wait_at.0);
        let nodes = kernel.nodes.len() as u32;
        let (wanted, held) = if pair.carrier.is_none() {
            (Interval(set, wait), Interval(set, wait))
        } else if self.at_loops.contains(&pair.key) {
            let body = Interval(kernel.node(pair.carrier).begin.0, pair.carrier.0);
            (body, body)
        } else {
            (Interval(0, nodes - 1), Interval(0, nodes))
        };
        if let Some(event_id) = self.pools.take(pair.key, wanted, held) {
            pair.event_id = event_id;
            self.order.push(id);
        }
    }
}

/// For each node whether it belongs to a `while` loop, begin and end included.
fn whiles(kernel: &Kernel<'_>) -> Vec<bool> {
    let mut nodes = vec![false; kernel.nodes.len()];
    let mut until = 0;
    for (at, node) in kernel.nodes.iter().enumerate() {
        if node.kind == node_kind::LOOP_BEGIN && node.flags & node_flag::WHILE != 0 {
            until = until.max(node.end.index() + 1);
        }
        nodes[at] = at < until;
    }
    nodes
}

/// Flags that are not the plan's: operations of the kernel set and take some within themselves, its source and functions
/// that it calls, or that call it, have others. A pair that has one of them must not be up where they are; it is simpler,
/// and costs little, to leave them alone throughout.
fn ids_of_others(kernel: &Kernel<'_>) -> BTreeSet<(Key, u32)> {
    let is_flag = |kind| matches!(kind, phase_kind::FLAG | phase_kind::USES);
    let flags = kernel.phases.iter().filter(|phase| is_flag(phase.kind));
    let within = flags.map(|phase| ((phase.pipe, phase.dst), phase.event_id));
    let around = kernel.flag_uses.iter().flat_map(|used| {
        let ids = (0..u64::BITS).filter(|&id| used.ids & 1 << id != 0);
        ids.map(|id| ((used.src, used.dst), id))
    });
    within.chain(around).collect()
}

/// Turns the allocation into edits and statistics.
fn write(cx: &mut PassContext<'_>, allocation: &Allocation, again: &BTreeSet<Key>) -> Result<(), PassError> {
    let pair = |id: GroupId| allocation.pairs[id.index()].as_ref();
    let mut given = 0;
    for (id, pair) in allocation.order.iter().filter_map(|&id| Some((id, pair(id)?))) {
        if pair.given_up {
            continue;
        }
        let scope = match () {
            () if pair.carrier.is_none() => scope::NONE,
            () if allocation.at_loops.contains(&pair.key) => scope::LOOP,
            () => scope::FUNCTION,
        };
        cx.set_event_id(id, pair.event_id, scope)?;
        given += 1;
    }
    for (node, sets) in allocation.sets.iter().enumerate() {
        for &id in sets.iter().filter(|&&id| pair(id).is_some_and(|p| p.moved)) {
            cx.place(id, Role::Set, Anchor::after(NodeId::from_index(node)), Position::Back)?;
        }
    }
    cx.write_column(LATE_SETS, &allocation.moved_late);
    let all = || (0..allocation.pairs.len()).map(GroupId::from_index);
    let mut widened = 0;
    for id in all().filter(|&id| pair(id).is_some_and(|p| p.given_up)) {
        cx.remove(id)?;
        widened += 1;
    }
    let without = all().filter_map(pair).filter(|p| !p.given_up && p.event_id == NO_EVENT).count();
    let used: BTreeSet<(Key, u32)> = all()
        .filter_map(pair)
        .filter(|p| p.event_id != NO_EVENT && !p.given_up)
        .map(|p| (p.key, p.event_id))
        .collect();
    let peak = allocation.pools.keys().map(|key| used.iter().filter(|(k, _)| *k == key).count()).max();
    cx.count("pairs with id", given);
    cx.count("pairs without id", without as i64);
    cx.count("pairs that reuse a flag", widened);
    cx.count("keys allocated per loop", again.len() as i64);
    cx.count("most ids of a key", peak.unwrap_or(0) as i64);
    Ok(())
}
