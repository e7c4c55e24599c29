//! Between the model and plans: a plan that stands where the model stands, and texts of both to compare.

use pipewright_abi::plan::{
    Anchor, Edit, Entry as PlanEntry, NO_EVENT, Position, Role, SyncPlan, group_flag, scope,
};
use pipewright_abi::{GroupId, NodeId, PipeId, RootId};

use crate::{Model, What};

fn node(at: usize) -> NodeId {
    NodeId::from_index(at)
}

impl Model<'_> {
    /// The plan that passes would have at this point. Synthetic pairs are left out: in the passes they come after
    /// allocation.
    pub fn plan(&self) -> SyncPlan {
        let mut plan = SyncPlan::new(self.count());
        let mut apply = |edit| plan.apply(edit).expect("the model makes well-formed plans");
        for (g, group) in self.groups.iter().enumerate().filter(|(_, g)| !g.synthetic) {
            let carrier = group.carrier.map_or(NodeId::NONE, node);
            let flags = if group.tail { group_flag::TAIL } else { 0 };
            if group.barrier {
                apply(Edit::AddBarrier { pipe: group.src, carrier, flags });
                continue;
            }
            apply(Edit::AddPair { src: group.src, dst: group.dst, carrier, flags });
            let id = GroupId::from_index(g);
            for &root in &group.roots {
                apply(Edit::AddRoot { group: id, root: RootId(root) });
            }
        }
        for i in 0..self.count() {
            for (list, anchor) in
                [(&self.pre[i], Anchor::before(node(i))), (&self.post[i], Anchor::after(node(i)))]
            {
                for y in list.iter().filter(|y| !self.groups[y.group].synthetic) {
                    let role = match y.what {
                        What::Set => Role::Set,
                        What::Wait => Role::Wait,
                        What::Barrier => Role::Barrier,
                    };
                    let entry = PlanEntry { group: GroupId::from_index(y.group), role };
                    apply(Edit::Place { entry, anchor, position: Position::Back });
                }
            }
        }
        let is_given = |g: &&usize| {
            let group = &self.groups[**g];
            group.id.is_some() && !group.useless && !group.synthetic && !group.barrier
        };
        let (forward, given): (Vec<usize>, _) = ((0..self.groups.len()).collect(), self.given_groups());
        let forward = forward.iter().filter(|&&g| self.groups[g].carrier.is_none());
        for &g in forward.chain(given.iter().map(|(g, _)| g)).filter(is_given) {
            let scope = match given.iter().find(|(other, _)| *other == g) {
                None => scope::NONE,
                Some((_, false)) => scope::FUNCTION,
                Some((_, true)) => scope::LOOP,
            };
            let event_id = self.groups[g].id.unwrap_or(NO_EVENT);
            apply(Edit::SetEventId { group: GroupId::from_index(g), event_id, scope });
        }
        for (g, _) in self.groups.iter().enumerate().filter(|(_, g)| g.useless && !g.synthetic) {
            apply(Edit::Remove { group: GroupId::from_index(g) });
        }
        plan
    }

    /// Lists, pipes, carriers, ids and roots of all live entries, one list a line. With `numbers`, also the group
    /// numbers; without synthetic entries unless `synthetic`.
    pub fn text(&self, numbers: bool, synthetic: bool) -> String {
        let mut lines = Lines::default();
        for i in 0..self.count() {
            for (side, list) in [("before", &self.pre[i]), ("after", &self.post[i])] {
                for y in list.iter().filter(|y| self.live(y)) {
                    let group = &self.groups[y.group];
                    if group.synthetic && !synthetic {
                        continue;
                    }
                    let verb = match y.what {
                        What::Set => "set",
                        What::Wait => "wait",
                        What::Barrier => "barrier",
                    };
                    let number = if numbers { Some(y.group) } else { None };
                    let (src, dst) = (group.src.0, group.dst.0);
                    let carrier = if group.demoted { None } else { group.carrier };
                    let id = if group.demoted { None } else { group.id };
                    let pipes = if group.demoted { None } else { Some((src, dst)) };
                    let roots: &[u32] = if group.demoted { &[] } else { &group.roots };
                    lines.entry(side, i, verb, pipes, number, carrier, id, roots, group.tail);
                }
            }
            lines.end();
        }
        lines.text
    }
}

impl Model<'_> {
    /// What prints, in order: `set V>MTE2 #0; barrier V; ...`, with numbers of nodes between.
    pub fn statements(&self) -> String {
        let name = |pipe| self.target.view().pipe_name(pipe);
        let mut text: Vec<String> = Vec::new();
        for i in 0..self.count() {
            for (place, list) in [&self.pre[i], &self.post[i]].into_iter().enumerate() {
                if place == 1 {
                    text.push(i.to_string());
                }
                let start = text.len();
                for y in list.iter().filter(|y| self.live(y) && !self.groups[y.group].tail) {
                    let group = &self.groups[y.group];
                    let (src, dst) = (name(group.src), name(group.dst));
                    let id = group.id.map_or(String::new(), |i| format!(" #{i}"));
                    let statement = match y.what {
                        What::Set => format!("set {src}>{dst}{id}"),
                        What::Wait => format!("wait {src}>{dst}{id}"),
                        What::Barrier => format!("barrier {src}"),
                    };
                    if !text[start..].contains(&statement) {
                        text.push(statement);
                    }
                }
            }
        }
        text.join("; ")
    }
}

/// The same text of a plan.
pub fn plan_text(plan: &SyncPlan, numbers: bool, synthetic: bool) -> String {
    let mut lines = Lines::default();
    for i in 0..plan.node_count() {
        for (side, list) in [("before", plan.before(node(i))), ("after", plan.after(node(i)))] {
            for y in list {
                let group = plan.group(y.group);
                if group.has(group_flag::SYNTHETIC) && !synthetic {
                    continue;
                }
                let verb = match y.role {
                    Role::Set => "set",
                    Role::Wait => "wait",
                    Role::Barrier => "barrier",
                };
                let number = if numbers { Some(y.group.index()) } else { None };
                let demoted = group.has(group_flag::DEMOTED);
                let pipes = if demoted { None } else { Some((group.src.0, group.dst.0)) };
                let carrier = if demoted { None } else { group.carrier.get().map(NodeId::index) };
                let id = (group.event_id != NO_EVENT).then_some(group.event_id);
                let roots: Vec<u32> = plan.group_roots(y.group).iter().map(|r| r.0).collect();
                let roots = if demoted { &[] } else { roots.as_slice() };
                lines.entry(side, i, verb, pipes, number, carrier, id, roots, group.has(group_flag::TAIL));
            }
        }
        lines.end();
    }
    lines.text
}

/// Carried pairs of a plan that have an id, in order of giving.
pub fn plan_given(plan: &SyncPlan) -> Vec<String> {
    let mut carried: Vec<_> = plan
        .live_groups()
        .map(|g| plan.group(g))
        .filter(|g| {
            g.is_pair() && g.carrier.is_some() && g.event_id != NO_EVENT && !g.has(group_flag::SYNTHETIC)
        })
        .collect();
    carried.sort_by_key(|g| g.order);
    carried
        .iter()
        .map(|g| {
            let carrier = Some(g.carrier.index());
            given_line(g.scope == scope::LOOP, g.key(), carrier, Some(g.event_id))
        })
        .collect()
}

pub(crate) fn given_line(
    looped: bool,
    (src, dst): (PipeId, PipeId),
    carrier: Option<usize>,
    id: Option<u32>,
) -> String {
    format!("{} {src}>{dst} {carrier:?} {id:?}", if looped { "loop" } else { "function" })
}

#[derive(Default)]
struct Lines {
    text: String,
    line: String,
}

impl Lines {
    #[allow(clippy::too_many_arguments)]
    fn entry(
        &mut self,
        side: &str,
        at: usize,
        verb: &str,
        pipes: Option<(u32, u32)>,
        number: Option<usize>,
        carrier: Option<usize>,
        id: Option<u32>,
        roots: &[u32],
        tail: bool,
    ) {
        let pipes = pipes.map_or("all".into(), |(s, d)| format!("{s}>{d}"));
        let number = number.map_or(String::new(), |n| format!(" g{n}"));
        let carrier = carrier.map_or(String::new(), |c| format!(" c{c}"));
        let id = id.map_or(String::new(), |i| format!(" #{i}"));
        let tail = if tail { " tail" } else { "" };
        self.line += &format!("{side} {at}: {verb} {pipes}{number}{carrier}{id} {roots:?}{tail}\n");
    }

    fn end(&mut self) {
        self.text += &std::mem::take(&mut self.line);
    }
}
