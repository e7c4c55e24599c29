//! Synchronization statements: where a plan's anchors are in C++.

use pipewright_abi::kernel::node_kind;
use pipewright_abi::placement::{self, Statement};
use pipewright_abi::plan::{Anchor, NO_EVENT};
use pipewright_abi::sync::Synchronization;
use pipewright_abi::{NodeId as KernelNode, OpId, PassError, PipeId};

use crate::function::Lower;

impl Lower<'_> {
    /// Whether the plan has statements directly before or after an operation.
    pub(crate) fn has_sync(&self, op: OpId) -> bool {
        let node = self.kernel_node(op);
        let (Some(plan), Some(kernel)) = (self.plan, self.kernel) else { return false };
        node.is_some() && {
            let mut anchors = placement::before(&kernel, node).chain(placement::after(&kernel, node));
            anchors.any(|anchor| !plan.at(anchor).is_empty())
        }
    }

    /// Prints what stands before an operation, given its first node.
    pub(crate) fn sync_before(&mut self, node: KernelNode) -> Result<(), PassError> {
        let Some(kernel) = self.kernel.filter(|_| node.is_some()) else { return Ok(()) };
        placement::before(&kernel, node).try_for_each(|anchor| self.sync(anchor, None))
    }

    /// Prints what stands after an operation, given its first node. `next` is the pipe of a barrier that follows.
    pub(crate) fn sync_after(&mut self, node: KernelNode, next: Option<PipeId>) -> Result<(), PassError> {
        let Some(kernel) = self.kernel else { return Ok(()) };
        if node.is_none() {
            return Ok(());
        }
        placement::after(&kernel, node).try_for_each(|anchor| self.sync(anchor, next))
    }

    /// Prints what stands at the start of a loop's body.
    pub(crate) fn sync_loop_start(&mut self, op: OpId) -> Result<(), PassError> {
        self.sync_inside(op, |begin, _, _| vec![Anchor::after(begin)])
    }

    /// Prints what stands at the end of a loop's body.
    pub(crate) fn sync_loop_end(&mut self, op: OpId) -> Result<(), PassError> {
        self.sync_inside(op, |_, _, end| vec![Anchor::before(end)])
    }

    /// Prints what stands at the start of a branch's then or else part.
    pub(crate) fn sync_part_start(&mut self, op: OpId, part: Part) -> Result<(), PassError> {
        self.sync_inside(op, |begin, middle, _| {
            vec![Anchor::after(if part == Part::Then { begin } else { middle })]
        })
    }

    /// Prints what stands at the end of a branch's then or else part.
    pub(crate) fn sync_part_end(&mut self, op: OpId, part: Part) -> Result<(), PassError> {
        self.sync_inside(op, |_, middle, end| part_end(part, middle, end))
    }

    /// Whether the plan has statements inside a branch's else part that may not be written in the source.
    pub(crate) fn has_else_sync(&self, op: OpId) -> bool {
        let (Some(plan), Some(kernel)) = (self.plan, self.kernel) else { return false };
        let node = self.kernel_node(op);
        if node.is_none() {
            return false;
        }
        let record = kernel.node(node);
        let mut anchors = part_end(Part::Else, record.middle, record.end);
        anchors.push(Anchor::after(record.middle));
        anchors.iter().any(|&anchor| !plan.at(anchor).is_empty())
    }

    fn sync_inside(
        &mut self,
        op: OpId,
        anchors: impl Fn(KernelNode, KernelNode, KernelNode) -> Vec<Anchor>,
    ) -> Result<(), PassError> {
        let (node, Some(kernel)) = (self.kernel_node(op), self.kernel) else { return Ok(()) };
        if node.is_none() || kernel.node(node).kind == node_kind::INSTRUCTION {
            return Ok(());
        }
        let record = kernel.node(node);
        for anchor in anchors(node, record.middle, record.end) {
            self.sync(anchor, None)?;
        }
        Ok(())
    }

    /// Prints the statements at an anchor. A barrier next to an equal barrier is the same statement.
    fn sync(&mut self, anchor: Anchor, next: Option<PipeId>) -> Result<(), PassError> {
        let Some(plan) = self.plan else { return Ok(()) };
        if plan.at(anchor).is_empty() {
            return Ok(());
        }
        for (group, statement) in placement::statements(plan, &self.target, anchor) {
            let target = self.target;
            let (name, src, dst, id) = match statement {
                Statement::Set { src, dst, event_id } => ("set_flag", src, dst, event_id),
                Statement::Wait { src, dst, event_id } => ("wait_flag", src, dst, event_id),
                Statement::Barrier { pipe } => {
                    let repeated = [self.last_barrier, next].contains(&Some(pipe));
                    if !repeated {
                        let symbol = target.pipe_symbol(pipe);
                        self.code.repeated_statement(format!("pipe_barrier({symbol})"));
                    }
                    self.last_barrier = Some(pipe);
                    continue;
                }
            };
            if id == NO_EVENT {
                let message = format!("{group} has no event id");
                return Err(PassError::new(message)
                    .at_node(anchor.node)
                    .with_help("a stage before this one must give it one, or turn it into a barrier"));
            }
            let (src, dst) = (target.pipe_symbol(src), target.pipe_symbol(dst));
            self.code.repeated_statement(format!("{name}({src}, {dst}, EVENT_ID{id})"));
            self.last_barrier = None;
        }
        Ok(())
    }

    /// The pipe of a barrier that is written in the source.
    pub(crate) fn written_barrier(&self, op: OpId) -> Option<PipeId> {
        match self.target.synchronization(&self.m, op) {
            Some(Synchronization::Barrier(pipe)) => pipe.get(),
            _ => None,
        }
    }

    /// Whether an operation is the barrier that drains all pipes before a return, written out: what `pto-emit` makes
    /// of a plan.
    pub(crate) fn is_tail_barrier(&self, op: OpId) -> bool {
        self.m.attr(op, "pto.auto_sync_tail_barrier").is_some()
    }

    /// Prints a written tail barrier; the one directly before a return is printed with the return.
    pub(crate) fn written_tail(&mut self, op: OpId) -> Result<(), PassError> {
        let ops = self.m.block_ops(self.m.op(op).block);
        let next = ops.iter().rposition(|&o| o == op).and_then(|at| ops.get(at + 1));
        if next.is_some_and(|&next| self.m.op_name(next) == "func.return") {
            return Ok(());
        }
        self.drain(op)
    }

    /// Prints the call that drains all pipes before a return, if the plan asks for it or it is written.
    pub(crate) fn tail(&mut self, op: OpId) -> Result<(), PassError> {
        let ops = self.m.block_ops(self.m.op(op).block);
        let before = ops.iter().rposition(|&o| o == op).and_then(|at| ops.get(at.checked_sub(1)?));
        let is_written = before.is_some_and(|&before| self.is_tail_barrier(before));
        if is_written || self.plan.and_then(placement::tail).is_some() {
            self.drain(op)?;
        }
        Ok(())
    }

    fn drain(&mut self, op: OpId) -> Result<(), PassError> {
        let mode = match self.m.text_attr(self.function, "pto.auto_sync_tail_hint") {
            None => "kBarrierAll",
            Some(hint) => tail_mode(hint).ok_or_else(|| {
                self.error(op, &format!("`{hint}` is no mode of `pto.auto_sync_tail_hint`"))
                    .with_help("modes are `barrier-all` and `mte3-to-s-event0`")
            })?,
        };
        let pieces = self.code.write(|w| {
            w.text("ptoas_auto_sync_tail(PTOAutoSyncTailMode::").text(mode).text(")");
        });
        self.code.statement(pieces);
        Ok(())
    }
}

/// A part of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Then,
    Else,
}

/// Anchors at the end of a part, in order: around its placeholder and before what follows it.
fn part_end(part: Part, middle: KernelNode, end: KernelNode) -> Vec<Anchor> {
    let close = if part == Part::Then { middle } else { end };
    let placeholder = KernelNode(close.0.saturating_sub(1));
    vec![Anchor::before(placeholder), Anchor::after(placeholder), Anchor::before(close)]
}

fn tail_mode(hint: &str) -> Option<&'static str> {
    let hint = hint.to_ascii_lowercase().replace('_', "-");
    let hint = hint.strip_prefix("setwait").map_or(hint.as_str(), |rest| rest.trim_start_matches('-'));
    match hint {
        "barrier-all" | "default" => Some("kBarrierAll"),
        "mte3-to-s-event0" => Some("kSetWaitMte3ToSEvent0"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_hints() {
        for hint in ["mte3-to-s-event0", "setwait_mte3_to_s_event0", "SETWAIT-MTE3-TO-S-EVENT0"] {
            assert_eq!(tail_mode(hint), Some("kSetWaitMte3ToSEvent0"), "{hint}");
        }
        assert_eq!(tail_mode("Barrier_All"), Some("kBarrierAll"));
        assert_eq!(tail_mode("none"), None);
    }
}
