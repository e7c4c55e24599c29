//! Operations that do more inside themselves than one instruction: several pipes, flags of their own, signals.
//!
//! What must hold: the steps of one call stand side by side, in the order in which the call does them. What a call
//! does between two of its steps it orders itself: they are never at odds, neither in one execution nor (since a pipe
//! finishes in order) between an earlier execution of the first and a later one of the second.

use pipewright_abi::PipeId;
use pipewright_abi::kernel::Phase;
use pipewright_abi::target::phase_kind;

use super::memory::Memory;
use super::program::{Access, Builder, Key, Pipe, Program, Signal, Step, StepIndex};

/// Whether the phases say what the operation does to memory.
pub(super) fn work(phases: &[Phase]) -> bool {
    phases.iter().any(|phase| phase.kind == phase_kind::WORK)
}

/// Adds the steps of an operation: its phases, each with what it touches, and `own`, the instruction that it is if its
/// phases do not say so.
pub(super) fn call(builder: &mut Builder, phases: &[(Phase, Vec<Access>)], own: Option<(Pipe, Vec<Access>)>) {
    if !phases.is_empty() {
        builder.open_call();
    }
    for (phase, accesses) in phases {
        let (pipe, dst) = (phase.pipe.index(), phase.dst.index());
        let key = Key { src: pipe, dst, id: phase.event_id };
        match phase.kind {
            phase_kind::WORK => _ = builder.instruction(pipe, accesses),
            phase_kind::FLAG => {
                builder.set(key);
                builder.wait(key);
            }
            phase_kind::USES => _ = builder.uses(key),
            phase_kind::BARRIER => _ = builder.barrier(phase.pipe.get().map(PipeId::index)),
            phase_kind::PUBLISH => {
                let drained = (0..u64::BITS as usize).filter(|&p| phase.drained & 1 << p != 0).collect();
                builder.publish(Signal { pipe, drained });
            }
            _ => {}
        }
    }
    if let Some((pipe, accesses)) = own {
        builder.instruction(pipe, &accesses);
    }
    builder.close_call();
}

impl Program {
    /// The number of the call that the step is within.
    pub fn call_of(&self, step: StepIndex) -> Option<u32> {
        self.calls.get(step).copied().filter(|&call| call != 0)
    }

    /// Whether the two are the earlier and the later step of one call.
    pub fn in_call_order(&self, earlier: StepIndex, later: StepIndex) -> bool {
        earlier < later && self.call_of(earlier).is_some() && self.call_of(earlier) == self.call_of(later)
    }

    /// Whether the step touches memory that other cores see.
    pub fn touches_global(&self, step: StepIndex) -> bool {
        self.accesses_of(step).iter().any(|a| self.global.contains(&self.memories[a.memory].space()))
    }

    /// Whether an instruction on this memory takes so long that the next one of its pipe finds its results there.
    pub fn is_settled(&self, memory: usize) -> bool {
        let memory = self.memories[memory];
        let Memory::Bytes { space, rows: 1, row_bytes, .. } = memory else { return false };
        memory.is_accumulator() && self.settled.iter().any(|&(s, bytes)| s == space && row_bytes >= bytes)
    }

    /// The flag that a step sets, takes or uses within itself.
    pub fn key_of(&self, step: StepIndex) -> Option<usize> {
        match self.steps[step] {
            Step::Set(key) | Step::Wait(key) | Step::Uses(key) => Some(key),
            _ => None,
        }
    }
}
