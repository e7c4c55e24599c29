//! A function and its plan as text for people.
//!
//! Every node is a line with its id, pipe, operation and source line; what the plan puts before and after a node stands
//! around it, one line for each entry of the anchor's list, in order. The ids (`n12`, `s3`, `b5`) are those that
//! diagnostics quote. What must hold: the text is a function of its arguments, and equal plans print equal.

use core::fmt::Write;

use pipewright_abi::ir::{Module, ModuleData};
use pipewright_abi::kernel::{Node, node_kind};
use pipewright_abi::plan::{Anchor, Entry, NO_EVENT, Role, Side, SyncGroup, group_flag, scope};
use pipewright_abi::target::{Target, TargetData};
use pipewright_abi::{GroupId, NodeId, PipeId, ValueId};

use crate::pipeline::Unit;

/// The function and its plan as text. `source` is the name of the file that its lines are counted in.
pub fn plan_text(unit: &Unit, module: &ModuleData, target: &TargetData, source: &str) -> String {
    let mut printer = Printer {
        unit,
        module: module.view(),
        target: target.view(),
        lines: line_starts(&module.source),
        source,
        out: String::new(),
    };
    printer.header(unit.name(module));
    let mut depth = 0;
    for (index, node) in unit.kernel.nodes.iter().enumerate() {
        let id = NodeId::from_index(index);
        let (closes, opens) = match node.kind {
            node_kind::LOOP_BEGIN | node_kind::IF_BEGIN => (0, 1),
            node_kind::ELSE_BEGIN => (1, 1),
            node_kind::LOOP_END | node_kind::IF_END => (1, 0),
            _ => (0, 0),
        };
        printer.entries(Anchor::before(id), depth);
        depth = usize::saturating_sub(depth, closes);
        printer.node(id, node, depth);
        depth += opens;
        printer.entries(Anchor::after(id), depth);
    }
    printer.out
}

struct Printer<'a> {
    unit: &'a Unit,
    module: Module<'a>,
    target: Target<'a>,
    lines: Vec<usize>,
    source: &'a str,
    out: String,
}

impl Printer<'_> {
    fn header(&mut self, name: &str) {
        let (kernel, plan) = (&self.unit.kernel, &self.unit.plan);
        let count = |has: &dyn Fn(&SyncGroup) -> bool| plan.groups().iter().filter(|g| has(g)).count();
        let instructions = kernel.nodes.iter().filter(|n| n.kind == node_kind::INSTRUCTION).count();
        let pairs = count(&SyncGroup::is_pair);
        let carried = count(&|g| g.is_pair() && g.carrier.is_some());
        let barriers = count(&SyncGroup::is_barrier);
        let removed = count(&SyncGroup::is_removed);
        let _ = writeln!(
            self.out,
            "function {name} ({}): {} nodes, {instructions} instructions, {} regions\n\
             plan: {} groups, {pairs} pairs ({carried} carried by loops), {barriers} barriers; {removed} removed\n",
            self.source,
            kernel.nodes.len(),
            kernel.regions.len(),
            pairs + barriers,
        );
    }

    fn node(&mut self, id: NodeId, node: &Node, depth: usize) {
        let what = match node.kind {
            node_kind::INSTRUCTION => self.operation(node),
            node_kind::LOOP_BEGIN | node_kind::IF_BEGIN => self.operation(node) + " {",
            node_kind::ELSE_BEGIN => "} else {".into(),
            node_kind::LOOP_END | node_kind::IF_END => format!("}} end of {}", node.begin),
            node_kind::PLACEHOLDER => "(end of the part)".into(),
            _ => "(unknown node)".into(),
        };
        let pipe = if node.pipe.is_some() { self.target.pipe_name(node.pipe) } else { "" };
        let indent = "  ".repeat(depth);
        let id = id.to_string();
        let _ = write!(self.out, "{id:<6}{pipe:<6}{indent}{what}");
        let opens = matches!(node.kind, node_kind::INSTRUCTION | node_kind::LOOP_BEGIN | node_kind::IF_BEGIN);
        if let Some(line) = self.line(node).filter(|_| opens) {
            let _ = write!(self.out, "  // line {line}");
        }
        self.out.push('\n');
    }

    /// `%a, %b = pto.op %x, %y`.
    fn operation(&self, node: &Node) -> String {
        let op = node.op;
        if op.index() >= self.module.t.ops.len() {
            return "?".into();
        }
        let results: Vec<_> = self.module.results(op).map(|v| self.value(v)).collect();
        let operands: Vec<_> = self.module.operands(op).iter().map(|o| self.value(o.value)).collect();
        let mut text = results.join(", ");
        if !results.is_empty() {
            text.push_str(" = ");
        }
        text.push_str(self.module.op_name(op));
        if !operands.is_empty() {
            text.push(' ');
            text.push_str(&operands.join(", "));
        }
        text
    }

    fn value(&self, id: ValueId) -> String {
        match self.module.t.values.get(id.index()) {
            Some(value) if value.name.is_some() => format!("%{}", self.module.str(value.name)),
            _ => id.to_string(),
        }
    }

    fn line(&self, node: &Node) -> Option<usize> {
        let op = self.module.t.ops.get(node.op.index())?;
        Some(self.lines.partition_point(|&start| start <= op.name_span.start as usize))
    }

    fn entries(&mut self, anchor: Anchor, depth: usize) {
        let unit = self.unit;
        let indent = "  ".repeat(depth);
        let side = if anchor.side == Side::Before { "before" } else { "after" };
        for &entry in unit.plan.at(anchor) {
            let text = self.entry(entry);
            let _ = writeln!(self.out, "            {indent}| {side} {}: {text}", anchor.node);
        }
    }

    /// `set s3 MTE2>V #0, carried by n9`.
    fn entry(&self, Entry { group: id, role }: Entry) -> String {
        let group = self.unit.plan.group(id);
        let pipe = |pipe: PipeId| {
            let pipe = if pipe.is_some() { Some(pipe) } else { self.target.all_pipes() };
            pipe.map_or("all", |pipe| self.target.pipe_name(pipe))
        };
        let mut text = match role {
            Role::Barrier => format!("barrier {id} {}", pipe(group.src)),
            _ => {
                let role = if role == Role::Set { "set" } else { "wait" };
                let event = match group.event_id {
                    NO_EVENT => "-".into(),
                    event => event.to_string(),
                };
                format!("{role} {id} {}>{} #{event}", pipe(group.src), pipe(group.dst))
            }
        };
        if group.carrier.is_some() {
            let _ = write!(text, ", carried by {}", group.carrier);
        }
        text.push_str(match group.scope {
            scope::FUNCTION => ", function scope",
            scope::LOOP => ", loop scope",
            _ => "",
        });
        let flags = [
            (group_flag::TAIL, ", tail"),
            (group_flag::SYNTHETIC, ", synthetic"),
            (group_flag::DEMOTED, ", demoted"),
        ];
        flags.iter().filter(|(flag, _)| group.has(*flag)).for_each(|(_, name)| text.push_str(name));
        text.push_str(&self.buffers(id));
        text
    }

    /// `, for b2 %tile, b3 %x`: the buffers whose dependence made the group.
    fn buffers(&self, id: GroupId) -> String {
        let mut text = String::new();
        for (i, root) in self.unit.plan.group_roots(id).iter().enumerate() {
            let name = self.unit.kernel.roots.get(root.index()).map_or("", |r| self.module.str(r.name));
            let name = name.trim_start_matches('%');
            let space = if name.is_empty() { "" } else { " %" };
            text.push_str(if i == 0 { ", for " } else { ", " });
            let _ = write!(text, "{root}{space}{name}");
        }
        text
    }
}

/// Offsets at which the lines of a text begin.
fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0)
        .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use pipewright_abi::RootId;
    use pipewright_abi::plan::{Edit, Position};

    use super::*;
    use crate::test_kernel::double_rows;

    #[test]
    fn a_plan_shows_every_group_where_it_stands() {
        let (module, target, mut unit) = double_rows();
        let pipe = |name: &str| target.view().pipe(name).unwrap();
        let (none, plan) = (NodeId::NONE, &mut unit.plan);
        let mut pair = |src: PipeId, dst: PipeId, set: Anchor, wait: Anchor, carrier, flags| {
            let group = GroupId::from_index(plan.groups().len());
            plan.apply(Edit::AddPair { src, dst, carrier, flags }).unwrap();
            plan.apply(Edit::AddRoot { group, root: RootId(1) }).unwrap();
            for (role, anchor) in [(Role::Set, set), (Role::Wait, wait)] {
                plan.apply(Edit::Place { entry: Entry { group, role }, anchor, position: Position::Back })
                    .unwrap();
            }
            group
        };
        let (after, before) = (|n| Anchor::after(NodeId(n)), |n| Anchor::before(NodeId(n)));
        let forward = pair(pipe("MTE2"), pipe("V"), after(1), before(2), none, 0);
        let carried = pair(pipe("V"), pipe("MTE2"), after(9), before(1), NodeId(10), 0);
        pair(pipe("V"), pipe("MTE2"), before(0), after(10), NodeId(10), group_flag::SYNTHETIC);
        let demoted = pair(pipe("V"), pipe("MTE3"), before(5), before(9), none, 0);
        let removed = pair(pipe("V"), pipe("MTE3"), after(2), before(9), none, 0);
        let edits = [
            Edit::SetEventId { group: forward, event_id: 0, scope: scope::NONE },
            Edit::SetEventId { group: carried, event_id: 3, scope: scope::LOOP },
            Edit::Demote { group: demoted },
            Edit::Remove { group: removed },
            Edit::AddBarrier { pipe: pipe("V"), carrier: none, flags: group_flag::TAIL },
            Edit::Place {
                entry: Entry { group: GroupId(5), role: Role::Barrier },
                anchor: after(10),
                position: Position::Back,
            },
        ];
        edits.into_iter().for_each(|edit| unit.plan.apply(edit).unwrap());
        insta::assert_snapshot!(plan_text(&unit, &module, &target, "double_rows.pto"));
    }
}
