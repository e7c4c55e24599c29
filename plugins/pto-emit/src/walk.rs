//! From a plan to lines in the source: the walk over a function that finds the place of every anchor.
//!
//! The order of statements, and which barriers are the same statement as a neighbour, follow
//! [`pipewright_abi::placement`]: what prints a program with its plan walks the same way. Operations that
//! simplification removed or moved are not met here; the places of those that are left are those of the source.

use std::collections::HashMap;

use pipewright_abi::ir::Module;
use pipewright_abi::kernel::{Kernel, Node, node_kind};
use pipewright_abi::pass::Unit;
use pipewright_abi::placement::{self, Statement};
use pipewright_abi::plan::{Anchor, NO_EVENT, SyncPlan};
use pipewright_abi::sync::Synchronization;
use pipewright_abi::target::Target;
use pipewright_abi::{BlockId, NodeId, OpId, PassError, PipeId, TextRange};

use crate::edit::Edits;

/// The attribute that marks the barrier which drains all pipes before a return.
const TAIL: &str = "pto.auto_sync_tail_barrier";

/// Writes the plan of one function into the text.
pub(crate) fn write(
    module: Module<'_>,
    target: Target<'_>,
    unit: &Unit<'_>,
    edits: &mut Edits<'_>,
) -> Result<(), PassError> {
    let mut first = HashMap::new();
    for id in unit.kernel.node_ids() {
        first.entry(unit.kernel.node(id).op).or_insert(id);
    }
    let (kernel, plan) = (unit.kernel, &unit.plan);
    let mut walk = Walk { m: module, target, kernel, plan, first, last_barrier: None, edits };
    match module.entry_block(kernel.function(), 0).get() {
        Some(entry) => walk.block(entry).map(drop),
        None => Ok(()),
    }
}

struct Walk<'w, 's> {
    m: Module<'w>,
    target: Target<'w>,
    kernel: Kernel<'w>,
    plan: &'w SyncPlan,
    /// The first node of each operation.
    first: HashMap<OpId, NodeId>,
    /// The statement just before, if it is a barrier: of which pipe.
    last_barrier: Option<PipeId>,
    edits: &'w mut Edits<'s>,
}

/// Where a line goes.
#[derive(Clone, Copy)]
enum Place {
    Before(OpId),
    After(OpId),
    /// The start of the body with this number.
    Start(OpId, usize),
    /// The end of the body with this number.
    End(OpId, usize),
}

impl Walk<'_, '_> {
    /// Walks a block and returns its terminator if it is a yield or a loop's condition.
    fn block(&mut self, block: BlockId) -> Result<Option<OpId>, PassError> {
        self.last_barrier = None;
        let ops = self.m.block_ops(block);
        let mut end = None;
        for (index, &op) in ops.iter().enumerate() {
            match self.m.op_name(op) {
                "scf.yield" | "scf.condition" => {
                    end = Some(op);
                    break;
                }
                // Constants stand at the start of the function, wherever they are written.
                "arith.constant" => {}
                _ => self.operation(op, ops.get(index + 1).copied())?,
            }
        }
        self.last_barrier = None;
        Ok(end)
    }

    fn operation(&mut self, op: OpId, next: Option<OpId>) -> Result<(), PassError> {
        let node = self.first.get(&op).copied();
        if let Some(node) = node {
            let mut anchors = placement::before(&self.kernel, node);
            anchors.try_for_each(|anchor| self.statements(anchor, Place::Before(op), None))?;
        }
        self.last_barrier = None;
        self.inside(op, node)?;
        if self.m.op_name(op) == "func.return" {
            self.tail(op);
        }
        self.last_barrier = self.written_barrier(op);
        if let Some(node) = node {
            let next = next.and_then(|next| self.written_barrier(next));
            let mut anchors = placement::after(&self.kernel, node);
            anchors.try_for_each(|anchor| self.statements(anchor, Place::After(op), next))?;
        }
        Ok(())
    }

    /// Walks the bodies of an operation.
    fn inside(&mut self, op: OpId, node: Option<NodeId>) -> Result<(), PassError> {
        let bodies = self.m.bodies(op);
        let record = node.map(|node| *self.kernel.node(node)).unwrap_or_default();
        let last = bodies.len().saturating_sub(1);
        for (index, body) in bodies.iter().enumerate() {
            match record.kind {
                node_kind::LOOP_BEGIN if index == 0 => {
                    self.statements(Anchor::after(record.begin), Place::Start(op, 0), None)?;
                }
                node_kind::IF_BEGIN => {
                    self.statements(
                        Anchor::after(part_begin(&record, index)),
                        Place::Start(op, index),
                        None,
                    )?;
                }
                _ => {}
            }
            for block in self.m.blocks(body) {
                self.block(block)?;
            }
            match record.kind {
                node_kind::LOOP_BEGIN if index == last => {
                    self.statements(Anchor::before(record.end), Place::End(op, last), None)?;
                }
                node_kind::IF_BEGIN => {
                    for anchor in part_end(&record, index) {
                        self.statements(anchor, Place::End(op, index), None)?;
                    }
                }
                _ => {}
            }
        }
        if record.kind == node_kind::IF_BEGIN && bodies.len() == 1 {
            self.absent_else(op, &record)?;
        }
        Ok(())
    }

    /// Writes the lines of an anchor.
    fn statements(&mut self, anchor: Anchor, place: Place, next: Option<PipeId>) -> Result<(), PassError> {
        for line in self.lines(anchor, next)? {
            self.line(place, &line);
        }
        Ok(())
    }

    /// The lines of an anchor. A barrier next to an equal barrier is the same statement.
    fn lines(&mut self, anchor: Anchor, next: Option<PipeId>) -> Result<Vec<String>, PassError> {
        let mut lines = Vec::new();
        if self.plan.at(anchor).is_empty() {
            return Ok(lines);
        }
        for (group, statement) in placement::statements(self.plan, &self.target, anchor) {
            let (word, src, dst, id) = match statement {
                Statement::Set { src, dst, event_id } => ("set_flag", src, dst, event_id),
                Statement::Wait { src, dst, event_id } => ("wait_flag", src, dst, event_id),
                Statement::Barrier { pipe } => {
                    if ![self.last_barrier, next].contains(&Some(pipe)) {
                        lines.push(format!("pto.barrier <{}>", self.target.pipe_symbol(pipe)));
                    }
                    self.last_barrier = Some(pipe);
                    continue;
                }
            };
            if id == NO_EVENT {
                return Err(PassError::new(format!("{group} has no event id"))
                    .at_node(anchor.node)
                    .at_span(self.m.op(self.kernel.node(anchor.node).op).name_span)
                    .with_help("a stage before this one must give it one, or turn it into a barrier"));
            }
            let (src, dst) = (self.target.pipe_symbol(src), self.target.pipe_symbol(dst));
            lines.push(format!("pto.{word}[<{src}>, <{dst}>, <EVENT_ID{id}>]"));
            self.last_barrier = None;
        }
        Ok(lines)
    }

    fn line(&mut self, place: Place, line: &str) {
        match place {
            Place::Before(op) => self.before(op, line),
            Place::After(op) => {
                let indent = self.indent(op);
                // What follows on the line is another operation of the block, or the brace that closes it.
                let end = self.m.op(op).span.end as usize;
                let rest = self.m.source.get(end..).unwrap_or(&[]).trim_ascii_start();
                let next = match self.body_of(op) {
                    Some((owner, index)) if rest.first() == Some(&b'}') => self.brace_indent(owner, index),
                    _ => indent.clone(),
                };
                self.edits.after(end, &indent, line, &next);
            }
            Place::Start(op, index) => {
                let open = self.edits.behind_label(self.m.bodies(op)[index].span.start as usize + 1);
                let indent = self.body_indent(op, index);
                let rest = self.m.source.get(open..).unwrap_or(&[]).trim_ascii_start();
                let next =
                    if rest.first() == Some(&b'}') { self.brace_indent(op, index) } else { indent.clone() };
                self.edits.after(open, &indent, line, &next);
            }
            Place::End(op, index) => match self.terminator(op, index) {
                Some(end) => self.before(end, line),
                None => {
                    let close = (self.m.bodies(op)[index].span.end as usize).saturating_sub(1);
                    let (indent, outer) = (self.body_indent(op, index), self.brace_indent(op, index));
                    self.edits.end(close, &indent, line, &outer);
                }
            },
        }
    }

    fn before(&mut self, op: OpId, line: &str) {
        let indent = self.indent(op);
        self.edits.before(self.m.op(op).span.start as usize, &indent, line);
    }

    /// What the line of an operation starts with, or would if the operation had one of its own.
    fn indent(&self, op: OpId) -> String {
        let start = self.m.op(op).span.start as usize;
        match self.body_of(op) {
            Some((owner, index)) if !self.edits.starts_line(start) => self.body_indent(owner, index),
            _ => self.edits.indent(start).into(),
        }
    }

    /// The operation in whose body this one stands, and the number of the body.
    fn body_of(&self, op: OpId) -> Option<(OpId, usize)> {
        let block = self.m.op(op).block.get()?;
        let owner = self.m.block_owner(block).get()?;
        let first = self.m.op(owner).bodies.start as usize;
        Some((owner, self.m.block(block).body.index().checked_sub(first)?))
    }

    /// What the line of the brace that closes a body starts with, or would.
    fn brace_indent(&self, op: OpId, index: usize) -> String {
        let span = self.m.bodies(op)[index].span;
        let close = (span.end as usize).saturating_sub(1);
        let at = if self.edits.starts_line(close) { close } else { span.start as usize };
        self.edits.indent(at).into()
    }

    /// The yield or condition that ends a body, if it is written.
    fn terminator(&self, op: OpId, index: usize) -> Option<OpId> {
        let block = self.m.blocks(&self.m.bodies(op)[index]).last()?;
        let last = self.m.block_ops(block).last().copied()?;
        matches!(self.m.op_name(last), "scf.yield" | "scf.condition").then_some(last)
    }

    /// What the lines of a body start with: as its operations do, else two columns more than the line that opens it.
    fn body_indent(&self, op: OpId, index: usize) -> String {
        let body = &self.m.bodies(op)[index];
        let inside = |span: TextRange| body.span.start < span.start && span.end < body.span.end;
        let mut ops =
            self.m.blocks(body).flat_map(|block| self.m.block_ops(block)).map(|&op| self.m.op(op).span);
        let first = ops.find(|&span| inside(span));
        let outer = self.edits.indent(body.span.start as usize);
        match first.map(|span| self.edits.indent(span.start as usize)) {
            Some(indent) if indent != outer => indent.into(),
            _ => format!("{outer}  "),
        }
    }

    /// Writes the else part that the plan needs and the source does not have.
    fn absent_else(&mut self, op: OpId, record: &Node) -> Result<(), PassError> {
        let mut lines = self.lines(Anchor::after(record.middle), None)?;
        self.last_barrier = None;
        for anchor in part_end(record, 1) {
            lines.extend(self.lines(anchor, None)?);
        }
        if lines.is_empty() {
            return Ok(());
        }
        let then = self.m.bodies(op)[0].span;
        let newline = self.edits.newline();
        let outer = self.edits.indent(then.start as usize);
        let indent = self.body_indent(op, 0);
        let body: String = lines.iter().map(|line| format!("{newline}{indent}{line}")).collect();
        let name = self.m.op(op).name_span;
        let is_generic = self.m.source.get(name.start as usize) == Some(&b'"');
        let keyword = if is_generic { ", " } else { " else " };
        self.edits.insert(then.end as usize, format!("{keyword}{{{body}{newline}{outer}}}"));
        Ok(())
    }

    /// Writes the barrier that drains all pipes before a return, if the plan asks for it.
    fn tail(&mut self, op: OpId) {
        if placement::tail(self.plan).is_none() {
            return;
        }
        let Some(all) = self.target.all_pipes() else { return };
        let line = format!("pto.barrier <{}> {{{TAIL}}}", self.target.pipe_symbol(all));
        self.before(op, &line);
    }

    /// The pipe of a barrier that is written in the source.
    fn written_barrier(&self, op: OpId) -> Option<PipeId> {
        match self.target.synchronization(&self.m, op) {
            Some(Synchronization::Barrier(pipe)) => pipe.get(),
            _ => None,
        }
    }
}

/// The node that a branch's part begins behind.
fn part_begin(record: &Node, part: usize) -> NodeId {
    if part == 0 { record.begin } else { record.middle }
}

/// Anchors at the end of a branch's part, in order: around its placeholder, and before what follows it.
fn part_end(record: &Node, part: usize) -> [Anchor; 3] {
    let close = if part == 0 { record.middle } else { record.end };
    let placeholder = NodeId(close.0.saturating_sub(1));
    [Anchor::before(placeholder), Anchor::after(placeholder), Anchor::before(close)]
}
