//! What operations in the source do to synchronize, as the target's operation table says.
//!
//! What must hold: an operation orders work by nothing but what its entry says here, or it is
//! [`Synchronization::Unknown`].

use bytemuck::{Pod, Zeroable};

use crate::ir::{Module, attr_kind};
use crate::target::Target;
use crate::{OpId, PipeId, StrId, ValueId};

/// How the operations of a table entry synchronize. Each name is none where the entry has the fact itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Sync {
    /// One of [`sync_kind`].
    pub kind: u32,
    /// The pipe that sets the flag, or has the barrier.
    pub src: PipeId,
    /// The attribute that names it.
    pub src_attr: StrId,
    /// The pipe that waits for the flag.
    pub dst: PipeId,
    /// The attribute that names it.
    pub dst_attr: StrId,
    /// Id of the flag; `u32::MAX` if an attribute or operand has it.
    pub event_id: u32,
    /// The attribute that holds it.
    pub id_attr: StrId,
    /// The operand that holds it, as an index into the entry's operands; `u32::MAX` if none does.
    pub id_operand: u32,
}

/// Kinds of [`Sync`].
pub mod sync_kind {
    /// It does not synchronize.
    pub const NONE: u32 = 0;
    /// It sets a flag.
    pub const SET: u32 = 1;
    /// It waits for a flag and takes it.
    pub const WAIT: u32 = 2;
    /// Later work of a pipe waits for its earlier work.
    pub const BARRIER: u32 = 3;
    /// It waits for another core.
    pub const CORES: u32 = 4;
    /// Nothing says whether, and how, it orders work.
    pub const UNKNOWN: u32 = 5;
    /// All later work waits for all earlier work, what it wrote to global memory included.
    pub const FENCE: u32 = 6;
}

/// What an operation does to synchronize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronization {
    /// It sets a flag.
    Set(Flag),
    /// It waits for a flag and takes it.
    Wait(Flag),
    /// Later work of the pipe waits for its earlier work. None for a name that is no pipe.
    Barrier(PipeId),
    /// All later work waits for all earlier work, what it wrote to global memory included.
    Fence,
    /// It waits for another core.
    Cores,
    /// Nothing says whether, and how, it orders work.
    Unknown,
}

/// A flag that an operation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The pipe that sets it. None for a name that is no pipe.
    pub src: PipeId,
    /// The pipe that waits for it. None for a name that is no pipe.
    pub dst: PipeId,
    /// Its id.
    pub id: FlagId,
}

/// The id of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagId {
    /// It is written.
    Known(u32),
    /// It is this value.
    Computed(ValueId),
    /// It is written, but no number.
    Unknown,
}

impl<'a> Target<'a> {
    /// What an operation does to synchronize; nothing if it does not.
    pub fn synchronization(&self, module: &Module<'a>, op: OpId) -> Option<Synchronization> {
        let sync = self.t.syncs.get(module.op(op).entry.get()?.index())?;
        let pipe = |known: PipeId, attr: StrId| {
            let name = attr.get().and_then(|attr| module.text_attr(op, self.str(attr)));
            name.map_or(known, |name| self.pipe_or_class(name))
        };
        let flag = || Flag {
            src: pipe(sync.src, sync.src_attr),
            dst: pipe(sync.dst, sync.dst_attr),
            id: self.flag_id(module, op, sync),
        };
        Some(match sync.kind {
            sync_kind::SET => Synchronization::Set(flag()),
            sync_kind::WAIT => Synchronization::Wait(flag()),
            sync_kind::BARRIER => Synchronization::Barrier(pipe(sync.src, sync.src_attr)),
            sync_kind::FENCE => Synchronization::Fence,
            sync_kind::CORES => Synchronization::Cores,
            sync_kind::UNKNOWN => Synchronization::Unknown,
            _ => return None,
        })
    }

    /// The pipe that a name stands for: its own, or that of a class of operations; none if it stands for neither.
    pub fn pipe_or_class(&self, name: &str) -> PipeId {
        let class = self.t.sync_classes.iter().find(|c| self.str(c.name) == name);
        class.map(|c| c.pipe).or_else(|| self.pipe(name)).unwrap_or(PipeId::NONE)
    }

    fn flag_id(&self, module: &Module<'_>, op: OpId, sync: &Sync) -> FlagId {
        if sync.event_id != u32::MAX {
            return FlagId::Known(sync.event_id);
        }
        if sync.id_operand != u32::MAX {
            let operand = module.operands(op).iter().find(|o| o.slot == sync.id_operand);
            return operand.map_or(FlagId::Unknown, |o| FlagId::Computed(o.value));
        }
        let id = || {
            let value = module.attr(op, self.str(sync.id_attr.get()?))?;
            if value.kind == attr_kind::INT {
                return u32::try_from(value.bits).ok();
            }
            // An enumeration's value, such as `EVENT_ID3`: the number at its end.
            let text = module.str(value.text.get()?);
            text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok()
        };
        id().map_or(FlagId::Unknown, FlagId::Known)
    }
}
