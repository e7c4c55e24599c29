//! The rules of a well-formed plan: what the host checks after every pass.
//!
//! What must hold: a plan that passes can be printed, verified and simulated without a further check of its ids, flags
//! and places. Whether its synchronization is right is another question, which is the verifier's.

use crate::kernel::{Kernel, node_kind};
use crate::plan::{NO_EVENT, PlanError, Role, SyncGroup, SyncPlan, group_flag, scope};
use crate::target::{Target, pipe_flag};
use crate::{GroupId, NodeId};

impl SyncPlan {
    /// Checks that the plan is well formed for its kernel, or explains the first rule that is broken.
    ///
    /// Rules: `node-count` (lists for each node of the kernel), `unknown-pipe` (a pipe of the target; a demoted pair's
    /// stands for all), `flag-pipes` (the two pipes of a pair differ and both can be an end of one), `carrier` (a
    /// loop-end), `group-flag` (bits that have a meaning; a tail mark on a barrier of all pipes alone, a synthetic mark
    /// on what is or was a carried pair, a demotion mark on a barrier), `half-pair` (both ends of a pair are placed),
    /// `unplaced-barrier`, `roots` (buffers of the kernel, ascending, each once), `event-id` (below the target's number
    /// of ids), `scope` (a carried pair with an id has one, what else there is has none).
    pub fn validate(&self, kernel: &Kernel<'_>, target: &Target<'_>) -> Result<(), PlanError> {
        if self.node_count() != kernel.nodes.len() {
            let (lists, nodes) = (self.node_count(), kernel.nodes.len());
            let message = format!("it is a plan for {lists} nodes of a function that has {nodes}");
            return Err(PlanError::new("node-count", message));
        }
        let checks = [pipes, carrier, flags, places, roots, event_id, scope_of];
        self.live_groups().try_for_each(|id| {
            let subject = Subject { plan: self, id, group: self.group(id), kernel, target };
            checks.iter().try_for_each(|check| check(&subject)).map_err(|error| {
                let place = self.place(id, Role::Wait).or(self.place(id, Role::Set));
                error.at(place.map_or(NodeId::NONE, |anchor| anchor.node))
            })
        })
    }
}

/// A group to be checked.
struct Subject<'a> {
    plan: &'a SyncPlan,
    id: GroupId,
    group: &'a SyncGroup,
    kernel: &'a Kernel<'a>,
    target: &'a Target<'a>,
}

type Checked = Result<(), PlanError>;

fn fail(rule: &'static str, message: String) -> Checked {
    Err(PlanError::new(rule, message))
}

fn pipes(Subject { id, group, target, .. }: &Subject<'_>) -> Checked {
    if group.has(group_flag::DEMOTED) {
        return Ok(());
    }
    let ends = [group.src, group.dst].map(|p| target.t.pipes.get(p.index()).map(|p| p.flags));
    let [Some(src), Some(dst)] = ends else {
        return fail("unknown-pipe", format!("{id} names a pipe that the target does not have"));
    };
    if group.is_pair() && (group.src == group.dst || src & dst & pipe_flag::FLAGS == 0) {
        let (src, dst) = (target.pipe_name(group.src), target.pipe_name(group.dst));
        return fail("flag-pipes", format!("{id} pairs {src} with {dst}, which share no flags"));
    }
    Ok(())
}

fn carrier(Subject { id, group, kernel, .. }: &Subject<'_>) -> Checked {
    let Some(carrier) = group.carrier.get() else { return Ok(()) };
    if kernel.nodes.get(carrier.index()).map(|n| n.kind) != Some(node_kind::LOOP_END) {
        return fail("carrier", format!("{id} is carried by {carrier}, which is no loop end"));
    }
    Ok(())
}

fn flags(Subject { id, group, target, .. }: &Subject<'_>) -> Checked {
    let unknown = group.flags & !group_flag::ALL;
    if unknown != 0 {
        return fail("group-flag", format!("{id} has the flags {unknown:#x}, which mean nothing"));
    }
    let demoted = group.has(group_flag::DEMOTED);
    if demoted && group.is_pair() {
        return fail("group-flag", format!("{id} is marked as demoted, but still is a pair"));
    }
    if group.has(group_flag::TAIL) {
        if group.is_pair() {
            return fail("group-flag", format!("{id} is marked as the tail barrier, but is a pair"));
        }
        if !demoted && Some(group.src) != target.all_pipes() {
            let pipe = target.pipe_name(group.src);
            return fail("group-flag", format!("{id} is marked as the tail barrier, but is one of {pipe}"));
        }
    }
    if group.has(group_flag::SYNTHETIC) && (group.is_barrier() && !demoted || group.carrier.is_none()) {
        return fail("group-flag", format!("{id} is marked as synthetic, but is no carried pair"));
    }
    Ok(())
}

fn places(Subject { plan, id, group, .. }: &Subject<'_>) -> Checked {
    let [set, wait] = [Role::Set, Role::Wait].map(|role| plan.place(*id, role).is_some());
    if group.is_pair() && !(set && wait) {
        return fail("half-pair", format!("{id} has no {}", if set { "wait" } else { "set" }));
    }
    if group.is_barrier() && plan.place(*id, Role::Barrier).is_none() {
        return fail("unplaced-barrier", format!("{id} stands nowhere"));
    }
    Ok(())
}

fn roots(Subject { plan, id, kernel, .. }: &Subject<'_>) -> Checked {
    let (roots, count) = (plan.group_roots(*id), kernel.roots.len());
    if let Some(root) = roots.iter().find(|r| r.index() >= count) {
        return fail("roots", format!("{id} is for {root}, but there are {count} buffers"));
    }
    match roots.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => fail("roots", format!("{id} lists {} behind {}", pair[1], pair[0])),
        None => Ok(()),
    }
}

fn event_id(Subject { id, group, target, .. }: &Subject<'_>) -> Checked {
    if group.event_id == NO_EVENT || group.event_id < target.event_ids() {
        return Ok(());
    }
    let (given, last) = (group.event_id, target.event_ids().saturating_sub(1));
    fail("event-id", format!("{id} has event id {given}; the target has 0 to {last}"))
}

/// Without a scope nobody closes a carried pair, whose first wait then never ends.
fn scope_of(Subject { id, group, .. }: &Subject<'_>) -> Checked {
    let has_id = group.is_pair() && group.event_id != NO_EVENT;
    match group.scope {
        scope::NONE if has_id && group.carrier.is_some() => {
            fail("scope", format!("{id} is carried and has an event id, but no scope"))
        }
        scope::NONE => Ok(()),
        scope::FUNCTION | scope::LOOP if group.is_barrier() => Ok(()),
        scope::FUNCTION | scope::LOOP if group.carrier.is_none() => {
            fail("scope", format!("{id} has a scope, but no loop carries it"))
        }
        scope::FUNCTION | scope::LOOP if !has_id => fail("scope", format!("{id} has a scope, but no id")),
        scope::FUNCTION | scope::LOOP => Ok(()),
        other => fail("scope", format!("{id} has the scope {other}, which there is not")),
    }
}
