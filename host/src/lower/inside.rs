//! What the operations of a function do inside themselves: the phases of the target's table, with the memory and pipes
//! of each operation put in.
//!
//! What must hold: an operation without phases is no call, and phases keep their order.

use pipewright_abi::kernel::{Call, Phase};
use pipewright_abi::target::{Entry, condition_kind, phase_kind, pipe_flag};
use pipewright_abi::{OpId, PipeId, Range};

use super::Flattener;

impl Flattener<'_> {
    /// Notes what the operation does inside itself. `accesses` is all that it touches.
    pub(super) fn inside(&mut self, op: OpId, entry: &Entry, accesses: Range) {
        let Some(index) = self.module.op(op).entry.get() else { return };
        let Some(phases) = self.target.t.insides.get(index.index()) else { return };
        let start = self.kernel.phases.len();
        for phase in phases.of(self.target.t.phases) {
            if !self.applies(op, entry, phase.when) {
                continue;
            }
            let pipe = if phase.pipe.is_some() {
                phase.pipe
            } else {
                let name = self.module.text_attr(op, self.target.str(phase.attr)).unwrap_or("");
                self.target.pipe(name).unwrap_or(PipeId::NONE)
            };
            let flags = self.target.t.pipes.get(pipe.index()).map(|p| p.flags);
            // What is sent behind the work of all pipes is never early, and of an unknown pipe nothing can be said.
            if phase.kind == phase_kind::PUBLISH && flags.is_none_or(|f| f & pipe_flag::ALL != 0) {
                continue;
            }
            let accesses = match phase.kind {
                phase_kind::WORK if phase.accesses.is_empty() => accesses,
                _ => self.phase_accesses(op, phase.accesses),
            };
            let &pipewright_abi::target::Phase { drained, kind, dst, event_id, .. } = phase;
            self.kernel.phases.push(Phase { drained, kind, pipe, dst, event_id, accesses });
        }
        let phases = Range::new(start, self.kernel.phases.len());
        if !phases.is_empty() {
            self.kernel.calls.push(Call { op, phases });
        }
    }

    fn phase_accesses(&mut self, op: OpId, accesses: Range) -> Range {
        let mut out = Vec::new();
        for wanted in accesses.of(self.target.t.phase_accesses) {
            for operand in self.module.operands(op).iter().filter(|o| o.slot == wanted.operand) {
                self.access(operand.value, wanted.flags, &mut out);
            }
        }
        self.keep(out)
    }

    /// Whether all conditions hold for an operation.
    pub(super) fn applies(&self, op: OpId, entry: &Entry, when: Range) -> bool {
        let t = self.target.t;
        when.of(t.conditions).iter().all(|condition| {
            let given = || {
                let slot = entry.operands.of(t.operands).iter().position(|o| o.name == condition.name);
                let is_operand = |slot| self.module.operands(op).iter().any(|o| o.slot as usize == slot);
                let is_attr = || self.module.attr(op, self.target.str(condition.name)).is_some();
                slot.map_or_else(is_attr, is_operand)
            };
            match condition.kind {
                condition_kind::HAS => given(),
                condition_kind::LACKS => !given(),
                condition_kind::SPACE => {
                    let Some(space) = self.space_of(op, entry, condition.name) else { return false };
                    let name = self.target.space_name(space);
                    condition.values.of(t.names).iter().any(|&value| self.target.str(value) == name)
                }
                _ => false,
            }
        })
    }
}
