//! What the operations of a function do inside themselves: the phases of the target's table, with the memory and pipes
//! of each operation put in.
//!
//! What must hold: an operation without phases is no call, and phases keep their order. Where it is not known before the
//! kernel runs whether a phase takes place, its work does, its flag must be free but orders nothing, and its barrier
//! orders nothing.

use pipewright_abi::condition::{Truth, of_value};
use pipewright_abi::ir::type_kind;
use pipewright_abi::kernel::{Access, Call, Phase, Region, access_mode, node_flag, region_flag};
use pipewright_abi::target::{
    Condition, Entry, SCRATCH_OF, condition_kind, operand_flag, phase_kind, pipe_flag,
};
use pipewright_abi::{OpId, PipeId, Range, SpaceId, ValueId};

use super::Flattener;

/// What one pipe does for an operation.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) pipe: PipeId,
    pub(super) accesses: Range,
    /// [`node_flag`] bits.
    pub(super) flags: u32,
}

impl Flattener<'_> {
    /// Notes what the operation does inside itself, and returns its phases. `accesses` is all that it touches.
    pub(super) fn inside(&mut self, op: OpId, entry: &Entry, accesses: Range) -> Range {
        let Some(index) = self.module.op(op).entry.get() else { return Range::default() };
        let Some(phases) = self.target.t.insides.get(index.index()) else { return Range::default() };
        let start = self.kernel.phases.len();
        for phase in phases.of(self.target.t.phases) {
            let takes_place = self.applies(op, entry, phase.when);
            let kind = match (takes_place, phase.kind) {
                (Truth::No, _) | (Truth::Unknown, phase_kind::BARRIER) => continue,
                (Truth::Unknown, phase_kind::FLAG) => phase_kind::USES,
                (_, kind) => kind,
            };
            let pipe = if phase.pipe.is_some() || kind == phase_kind::BARRIER {
                phase.pipe
            } else {
                let name = self.module.text_attr(op, self.target.str(phase.attr)).unwrap_or("");
                self.target.pipe(name).unwrap_or(PipeId::NONE)
            };
            let flags = self.target.t.pipes.get(pipe.index()).map(|p| p.flags);
            // What is sent behind the work of all pipes is never early, and of an unknown pipe nothing can be said.
            if kind == phase_kind::PUBLISH && flags.is_none_or(|f| f & pipe_flag::ALL != 0) {
                continue;
            }
            let accesses = match kind {
                phase_kind::WORK if phase.accesses.is_empty() => accesses,
                _ => self.phase_accesses(op, phase.accesses),
            };
            let &pipewright_abi::target::Phase { drained, dst, event_id, .. } = phase;
            self.kernel.phases.push(Phase { drained, kind, pipe, dst, event_id, accesses });
        }
        let phases = Range::new(start, self.kernel.phases.len());
        if !phases.is_empty() {
            self.kernel.calls.push(Call { op, phases });
        }
        phases
    }

    /// What each pipe does for an operation that `home` runs, in the order in which they begin. Work of another pipe that
    /// waits for `home` and that `home` waits for, by flags of the call itself, is as good as work of `home`.
    pub(super) fn parts(&mut self, home: PipeId, phases: Range, own: Range) -> Vec<Part> {
        let phases = phases.of(&self.kernel.phases).to_vec();
        let is_flag =
            |phase: &Phase, src, dst| phase.kind == phase_kind::FLAG && (phase.pipe, phase.dst) == (src, dst);
        // For each pipe its accesses and its last phase.
        let mut parts: Vec<(PipeId, Vec<Access>, usize)> = Vec::new();
        for (index, phase) in phases.iter().enumerate().filter(|(_, phase)| phase.kind == phase_kind::WORK) {
            let enters = phases[..index].iter().any(|p| is_flag(p, home, phase.pipe));
            let leaves = phases[index..].iter().any(|p| is_flag(p, phase.pipe, home));
            let pipe = if enters && leaves { home } else { phase.pipe };
            let found = parts.iter().position(|(known, ..)| *known == pipe).unwrap_or_else(|| {
                parts.push((pipe, Vec::new(), 0));
                parts.len() - 1
            });
            let (_, accesses, last) = &mut parts[found];
            *last = index;
            for access in phase.accesses.of(&self.kernel.accesses) {
                join(accesses, *access);
            }
        }
        if parts.is_empty() {
            return vec![Part { pipe: home, accesses: own, flags: 0 }];
        }
        let lasts: Vec<(PipeId, usize)> = parts.iter().map(|(pipe, _, last)| (*pipe, *last)).collect();
        let finds_finished = |dst: PipeId, (src, last): (PipeId, usize)| {
            let flags_home =
                src == home && phases[..=last].iter().any(|p| p.kind == phase_kind::WORK && p.pipe != home);
            !flags_home && phases[last..].iter().any(|p| is_flag(p, src, dst))
        };
        let joins = |index: usize| {
            index > 0 && lasts[..index].iter().all(|&other| finds_finished(lasts[index].0, other))
        };
        let joins: Vec<bool> = (0..lasts.len()).map(joins).collect();
        let parts = parts.into_iter().zip(joins);
        parts
            .map(|((pipe, accesses, _), joins)| {
                let flags = if joins { node_flag::JOINS } else { 0 };
                Part { pipe, accesses: self.keep(accesses), flags }
            })
            .collect()
    }

    fn phase_accesses(&mut self, op: OpId, accesses: Range) -> Range {
        let mut out = Vec::new();
        for wanted in accesses.of(self.target.t.phase_accesses) {
            if wanted.operand & SCRATCH_OF != 0 {
                self.scratch(SpaceId(wanted.operand & !SCRATCH_OF), wanted.flags, &mut out);
                continue;
            }
            for operand in self.module.operands(op).iter().filter(|o| o.slot == wanted.operand) {
                // A number is not touched, be it an address.
                if self.module.type_of(operand.value).is_memory() {
                    self.access(operand.value, wanted.flags, &mut out);
                }
            }
        }
        self.keep(out)
    }

    /// The scratch memory at the end of a space, which all operations that use it share.
    fn scratch(&mut self, space: SpaceId, flags: u32, out: &mut Vec<Access>) {
        let (Some(record), Some(&size)) =
            (self.target.t.spaces.get(space.index()), self.target.t.scratch.get(space.index()))
        else {
            return;
        };
        let address = record.bytes.saturating_sub(size);
        let root = self.root(ValueId::NONE);
        let flags_of_region = region_flag::KNOWN_ADDRESS;
        let region = Region {
            size,
            address,
            row_bytes: size,
            pitch: size,
            rows: 1,
            space,
            root,
            flags: flags_of_region,
            ..Default::default()
        };
        let region = self.region(region);
        let mut mode = if flags & operand_flag::READ != 0 { access_mode::READ } else { 0 };
        mode |= if flags & operand_flag::WRITE != 0 { access_mode::WRITE } else { 0 };
        join(out, Access { region, mode });
    }

    /// Whether all conditions hold for an operation.
    pub(super) fn applies(&self, op: OpId, entry: &Entry, when: Range) -> Truth {
        let conditions = when.of(self.target.t.conditions).iter();
        conditions.map(|condition| self.holds(op, entry, condition)).min().unwrap_or(Truth::Yes)
    }

    fn holds(&self, op: OpId, entry: &Entry, condition: &Condition) -> Truth {
        let t = self.target.t;
        let mut values = condition.values.of(t.names).iter().map(|&value| self.target.str(value));
        let given = || {
            let is_attr = || self.module.attr(op, self.target.str(condition.name)).is_some();
            let slot = entry.operands.of(t.operands).iter().position(|o| o.name == condition.name);
            slot.map_or_else(is_attr, |slot| self.module.operands(op).iter().any(|o| o.slot as usize == slot))
        };
        match condition.kind {
            condition_kind::HAS => given().into(),
            condition_kind::LACKS => (!given()).into(),
            condition_kind::SPACE => {
                let space =
                    self.space_of(op, entry, condition.name).map(|space| self.target.space_name(space));
                space.is_some_and(|space| values.any(|value| value == space)).into()
            }
            condition_kind::KIND => {
                let kind = self.value_of(op, entry, condition.name).map(|v| self.module.type_of(v).kind);
                kind.map_or(Truth::No, |kind| values.any(|value| value == kind_name(kind)).into())
            }
            kind => match self.value_of(op, entry, condition.name) {
                Some(value) => of_value(&self.module, kind, value, values),
                None => Truth::No,
            },
        }
    }
}

/// Adds an access to others, each region once.
fn join(accesses: &mut Vec<Access>, access: Access) {
    match accesses.iter_mut().find(|a| a.region == access.region) {
        Some(known) => known.mode |= access.mode,
        None => accesses.push(access),
    }
}

/// The kind of operand that a type stands for.
fn kind_name(kind: u32) -> &'static str {
    match kind {
        type_kind::TILE => "tile",
        type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW | type_kind::MEMREF => "view",
        type_kind::PTR => "ptr",
        type_kind::INDEX => "index",
        type_kind::INT | type_kind::FLOAT => "scalar",
        type_kind::PIPE => "pipe",
        type_kind::EVENT_ARRAY => "array",
        _ => "",
    }
}
