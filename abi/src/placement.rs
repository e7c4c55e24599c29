//! From a plan to statements: what stands at each anchor, in order.
//!
//! This is the meaning of a plan, so it is fixed here and not in the passes that print it. Per anchor, entries stand
//! in list order; an entry equal to an earlier one of its list prints once; the tail barrier does not print in place
//! (it prints before each return). What stands between two nodes of one call prints before or behind the call: a wait or
//! barrier that comes earlier and a set that comes later order no less. A barrier whose neighbour in the list is an equal barrier is the same statement.

use crate::kernel::{Kernel, node_kind};
use crate::plan::{Anchor, Role, SyncPlan, group_flag};
use crate::target::Target;
use crate::{GroupId, NodeId, PipeId};

/// One synchronization statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `set_flag(src, dst, id)`.
    Set {
        /// The pipe that sets.
        src: PipeId,
        /// The pipe that waits.
        dst: PipeId,
        /// Event id, or [`crate::plan::NO_EVENT`] in a plan that is not finished.
        event_id: u32,
    },
    /// `wait_flag(src, dst, id)`.
    Wait {
        /// The pipe that sets.
        src: PipeId,
        /// The pipe that waits.
        dst: PipeId,
        /// Event id, or [`crate::plan::NO_EVENT`] in a plan that is not finished.
        event_id: u32,
    },
    /// `pipe_barrier(pipe)`.
    Barrier {
        /// The pipe, or the one that stands for all.
        pipe: PipeId,
    },
}

/// The statements at `anchor` in order, each with its group.
pub fn statements(plan: &SyncPlan, target: &Target<'_>, anchor: Anchor) -> Vec<(GroupId, Statement)> {
    let all = target.all_pipes().unwrap_or(PipeId::NONE);
    let mut out: Vec<(GroupId, Statement)> = Vec::new();
    for entry in plan.at(anchor) {
        let group = plan.group(entry.group);
        if group.is_removed() || group.has(group_flag::TAIL) {
            continue;
        }
        let (src, dst, event_id) = (group.src, group.dst, group.event_id);
        let statement = match entry.role {
            Role::Set => Statement::Set { src, dst, event_id },
            Role::Wait => Statement::Wait { src, dst, event_id },
            Role::Barrier => Statement::Barrier { pipe: if src.is_none() { all } else { src } },
        };
        if !out.iter().any(|(_, s)| *s == statement) {
            out.push((entry.group, statement));
        }
    }
    out
}

/// The anchors whose statements stand before an operation, given its first node: those before each node of a call.
pub fn before(kernel: &Kernel<'_>, first: NodeId) -> impl Iterator<Item = Anchor> + use<> {
    let (_, last) = kernel.call(first);
    (first.0..=last.0).map(|node| Anchor::before(NodeId(node)))
}

/// The anchors whose statements stand after an operation, given its first node: those after each node of a call, and
/// the one after the end of a construct.
pub fn after(kernel: &Kernel<'_>, first: NodeId) -> impl Iterator<Item = Anchor> + use<> {
    let node = kernel.node(first);
    let last = node.end.get().unwrap_or(first);
    let from = if node.kind == node_kind::INSTRUCTION { first } else { last };
    (from.0..=last.0).map(|node| Anchor::after(NodeId(node)))
}

/// The group of the barrier that drains every pipe before each return, if the plan has one.
pub fn tail(plan: &SyncPlan) -> Option<GroupId> {
    plan.live_groups().rev().find(|&g| plan.group(g).has(group_flag::TAIL))
}

/// Statements before and after a node.
pub fn around(plan: &SyncPlan, target: &Target<'_>, node: NodeId) -> [Vec<(GroupId, Statement)>; 2] {
    [Anchor::before(node), Anchor::after(node)].map(|anchor| statements(plan, target, anchor))
}
