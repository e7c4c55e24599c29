//! The target machine as data: pipes, event ids, memory spaces and the operation table.
//!
//! The host reads it from a target file (`docs/target-file.md`) and lends it as columns.

use bytemuck::{Pod, Zeroable};

use crate::column::{ColumnError, Columns, StringPool, Strings, table};
use crate::{EntryId, PipeId, Range, SpaceId, StrId};

/// One pipe.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Pipe {
    /// Name in plans and reports, `MTE2`.
    pub name: StrId,
    /// Spelling in `.pto` and C++, `PIPE_MTE2`.
    pub symbol: StrId,
    /// [`pipe_flag`] bits.
    pub flags: u32,
}

/// Bits of [`Pipe::flags`].
pub mod pipe_flag {
    /// Cube cores have it.
    pub const CUBE: u32 = 1;
    /// Vector cores have it.
    pub const VECTOR: u32 = 2;
    /// It may be an end of a set/wait pair.
    pub const FLAGS: u32 = 4;
    /// It stands for all pipes together.
    pub const ALL: u32 = 8;
    /// It is the scalar pipe, which runs in program order and dispatches the others.
    pub const SCALAR: u32 = 16;
}

/// Event ids that allocation must leave alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct ReservedIds {
    /// Pipe that sets.
    pub src: PipeId,
    /// Pipe that waits.
    pub dst: PipeId,
    /// Bit i: id i is reserved.
    pub mask: u64,
}

/// One memory space.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Space {
    /// Capacity in bytes; 0 if unbounded.
    pub bytes: u64,
    /// Alignment of a buffer in bytes.
    pub align: u64,
    /// Name in tile types, `vec`.
    pub name: StrId,
    /// C++ tile type, `Vec`.
    pub tile: StrId,
    /// C++ address space qualifier, `__ubuf__`.
    pub qualifier: StrId,
    /// [`space_flag`] bits.
    pub flags: u32,
}

/// Another name of a memory space, as pointer types spell it: `ub` for `vec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct SpaceAlias {
    /// The other name.
    pub name: StrId,
    /// The space.
    pub space: SpaceId,
}

/// Bits of [`Space::flags`].
pub mod space_flag {
    /// Global memory, shared between cores.
    pub const GLOBAL: u32 = 1;
    /// Accumulators: two different pipes must be ordered on it even if both only read.
    pub const ACCUMULATOR: u32 = 2;
    /// Left operands of matrix products live here.
    pub const LEFT: u32 = 4;
    /// Right operands of matrix products live here.
    pub const RIGHT: u32 = 8;
    /// What the vector pipe works on.
    pub const VECTOR: u32 = 16;
    /// What lies between global memory and the operands of matrix products.
    pub const STAGING: u32 = 32;
    /// Its tiles are row-major, whatever their type says.
    pub const ROW_MAJOR: u32 = 64;
    /// The address of a tile in it is a number in C++, and no pointer.
    pub const NUMBER: u32 = 128;
}

/// One enumeration of attribute values.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Enum {
    /// Name in `.pto`.
    pub name: StrId,
    /// C++ type.
    pub cpp: StrId,
    /// Its values, in [`Tables::enum_values`].
    pub values: Range,
}

/// One value of an enumeration.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct EnumValue {
    /// Number.
    pub value: i64,
    /// Spelling in `.pto`.
    pub text: StrId,
    /// C++ enumerator.
    pub symbol: StrId,
}

/// One operation of the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Entry {
    /// Full mnemonic.
    pub name: StrId,
    /// Class of textual form.
    pub class: StrId,
    /// Operands, in [`Tables::operands`], textual order.
    pub operands: Range,
    /// Results, in [`Tables::operands`].
    pub results: Range,
    /// Attributes, in [`Tables::attrs`].
    pub attrs: Range,
    /// Rules that choose the pipe, in [`Tables::pipe_rules`], first match wins.
    pub pipe_rules: Range,
    /// Rules that choose the C++ form, in [`Tables::cpp_rules`], first match wins.
    pub cpp_rules: Range,
    /// The operand that the result is another name for, as an index into `operands`; `u32::MAX` if none.
    pub alias: u32,
    /// [`entry_flag`] bits.
    pub flags: u32,
    /// Why there is no C++ for it, or none.
    pub unsupported: StrId,
}

/// Bits of [`Entry::flags`].
pub mod entry_flag {
    /// May be removed when unused, and merged with an equal one.
    pub const PURE: u32 = 1;
    /// May be removed when unused.
    pub const READ: u32 = 2;
    /// The result is memory of its own.
    pub const ROOT: u32 = 4;
    /// Its presence turns automatic synchronization off for the function.
    pub const EXPLICIT_SYNC: u32 = 8;
    /// Gather or scatter: its presence turns redundancy removal off for the function.
    pub const IRREGULAR: u32 = 16;
    /// The result is written by the operation.
    pub const WRITES_RESULT: u32 = 32;
    /// It assigns an address by hand, which automatic synchronization cannot follow.
    pub const MANUAL_ADDRESS: u32 = 64;
    /// It may write less than all of what it writes to: the rest keeps what was there.
    pub const PARTIAL_WRITE: u32 = 128;
    /// It uses the scratch memory at the end of a space, see [`super::TargetTables::scratch`].
    pub const SCRATCH: u32 = 256;
    /// It names tiles, and touches none of their bytes.
    pub const DESCRIPTION: u32 = 512;
    /// A matrix product whose left operand has one row.
    pub const ONE_ROW: u32 = 1024;
    /// The tile that it fills is a slot of a pipe between cores; slots come round.
    pub const SLOT: u32 = 2048;
}

/// One operand or result of a table entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct OperandSpec {
    /// Name.
    pub name: StrId,
    /// Group in the textual form: `ins`, `outs`, `index`, a keyword; none outside of any.
    pub group: StrId,
    /// [`operand_kind`] bits that it accepts.
    pub kinds: u32,
    /// [`operand_flag`] bits.
    pub flags: u32,
}

/// Bits of [`OperandSpec::kinds`].
pub mod operand_kind {
    /// A tile (or a memref in its place).
    pub const TILE: u32 = 1;
    /// A tensor view or a partition of one.
    pub const VIEW: u32 = 2;
    /// A pointer.
    pub const PTR: u32 = 4;
    /// An integer or floating-point number.
    pub const SCALAR: u32 = 8;
    /// An index (or integer).
    pub const INDEX: u32 = 16;
    /// An asynchronous event.
    pub const EVENT: u32 = 32;
    /// A communication session.
    pub const SESSION: u32 = 64;
    /// A FIFO between the cores of a pair.
    pub const PIPE: u32 = 128;
    /// An array of event ids.
    pub const ARRAY: u32 = 256;
    /// A buffer of several tiles.
    pub const SLOTS: u32 = 512;
    /// Anything.
    pub const ANY: u32 = u32::MAX;
}

/// Bits of [`OperandSpec::flags`].
pub mod operand_flag {
    /// May be left out.
    pub const OPTIONAL: u32 = 1;
    /// Any number of values.
    pub const VARIADIC: u32 = 2;
    /// The operation reads it.
    pub const READ: u32 = 4;
    /// The operation writes it.
    pub const WRITE: u32 = 8;
}

/// One attribute of a table entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct AttrSpec {
    /// Name.
    pub name: StrId,
    /// Type: `i32`, `bool`, `string`, ... or the name of an enumeration.
    pub ty: StrId,
    /// Default value's text, or none.
    pub default: StrId,
    /// [`attr_flag`] bits.
    pub flags: u32,
}

/// Bits of [`AttrSpec::flags`].
pub mod attr_flag {
    /// May be left out.
    pub const OPTIONAL: u32 = 1;
    /// Stands in the textual form without its name.
    pub const INLINE: u32 = 2;
}

/// One rule that chooses a pipe by the memory spaces of operands.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct PipeRule {
    /// The pipe.
    pub pipe: PipeId,
    /// What must hold, in [`Tables::conditions`]; all of them.
    pub when: Range,
}

/// One rule that chooses a C++ form.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct CppRule {
    /// The template, see `docs/target-file.md`.
    pub emit: StrId,
    /// What must hold, in [`Tables::conditions`]; all of them.
    pub when: Range,
}

/// One condition of a rule.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Condition {
    /// One of [`condition_kind`].
    pub kind: u32,
    /// Operand, result or attribute.
    pub name: StrId,
    /// Values of which one must apply, in [`Tables::names`].
    pub values: Range,
}

/// Kinds of [`Condition`].
pub mod condition_kind {
    /// The operand lives in one of the spaces.
    pub const SPACE: u32 = 0;
    /// The operand or attribute is given.
    pub const HAS: u32 = 1;
    /// The operand or attribute is not given.
    pub const LACKS: u32 = 2;
    /// The attribute (or its default) has one of the values.
    pub const ATTR: u32 = 3;
    /// The operand has one of the kinds.
    pub const KIND: u32 = 4;
    /// The operand's elements have one of the types, see [`crate::condition`].
    pub const TYPE: u32 = 5;
    /// The operand, a tile, has one of the base layouts.
    pub const LAYOUT: u32 = 6;
    /// The valid shape of the operand, a tile, is as one of the comparisons says.
    pub const SHAPE: u32 = 7;
}

/// One thing that an operation does inside itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Phase {
    /// [`phase_kind::PUBLISH`]: bit i says that work of pipe i in global memory must be finished.
    pub drained: u64,
    /// One of [`phase_kind`].
    pub kind: u32,
    /// The pipe that works, sets the flag or sends the signal.
    pub pipe: PipeId,
    /// The pipe that takes the flag.
    pub dst: PipeId,
    /// Id of the flag.
    pub event_id: u32,
    /// The attribute that names the pipe, if `pipe` is none.
    pub attr: StrId,
    /// What is read and written, in [`Tables::phase_accesses`]; none stands for all that the operation does.
    pub accesses: Range,
    /// What must hold for the phase to take place, in [`Tables::conditions`]; all of it.
    pub when: Range,
    /// Always 0.
    pub reserved: u32,
}

/// Kinds of [`Phase`].
pub mod phase_kind {
    /// An instruction of a pipe.
    pub const WORK: u32 = 0;
    /// A flag that is set and taken at once, and orders what follows.
    pub const FLAG: u32 = 1;
    /// A flag that is set and taken somewhere inside: it must be free, and nobody may rely on its order.
    pub const USES: u32 = 2;
    /// A signal to another core or card.
    pub const PUBLISH: u32 = 3;
    /// Later work of the pipe waits for its earlier work; none stands for all pipes.
    pub const BARRIER: u32 = 4;
}

/// One operand that a phase touches.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct PhaseAccess {
    /// The operand, as an index into the entry's operands; or [`SCRATCH_OF`] and the index of a memory space: the
    /// scratch memory at its end, see [`Tables::scratch`].
    pub operand: u32,
    /// [`operand_flag::READ`] and [`operand_flag::WRITE`].
    pub flags: u32,
}

/// See [`PhaseAccess::operand`].
pub const SCRATCH_OF: u32 = 1 << 31;

/// Facts of the target that are single values.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Facts {
    /// Name.
    pub name: StrId,
    /// Number of event ids for each ordered pair of pipes.
    pub event_ids: u32,
    /// What a set does on a flag that is still set: 0 it stalls, 1 the token is lost.
    pub flag_model: u32,
}

/// A named pipe: the pipe that stands for an operation class in `record_event` and its kin.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct SyncClass {
    /// Name of the class, `TLOAD`.
    pub name: StrId,
    /// Its pipe.
    pub pipe: PipeId,
}

table! {
    /// The target without its strings, owned.
    owned TargetTables;
    /// The target without its strings, lent.
    view Tables;
    /// One record of single values.
    facts: Facts = "target.facts/1",
    /// Pipes.
    pipes: Pipe = "target.pipes/1",
    /// Reserved event ids.
    reserved: ReservedIds = "target.reserved-ids/1",
    /// Memory spaces.
    spaces: Space = "target.spaces/1",
    /// For each memory space, the bytes at its end that operations flagged as such use within themselves.
    scratch: u64 = "target.scratch/1",
    /// For each memory space, the bytes of an accumulator from which on an instruction finds the results of the one
    /// before it on the same pipe without a barrier, by its length alone; 0 if none is that long.
    settled: u64 = "target.settled/1",
    /// For each memory space, what the distance between tiles of a buffer of several is a multiple of; 0 for the
    /// alignment of the space.
    slot_align: u64 = "target.slot-align/1",
    /// Other names of memory spaces.
    space_aliases: SpaceAlias = "target.space-aliases/1",
    /// Enumerations.
    enums: Enum = "target.enums/1",
    /// Values of enumerations.
    enum_values: EnumValue = "target.enum-values/1",
    /// Operation table.
    entries: Entry = "target.entries/1",
    /// For each entry what it does inside itself, in `phases`; nothing for an operation that is one instruction.
    insides: Range = "target.insides/1",
    /// Phases of entries, in order.
    phases: Phase = "target.phases/1",
    /// Operands that phases touch.
    phase_accesses: PhaseAccess = "target.phase-accesses/1",
    /// For each entry how its operations synchronize.
    syncs: crate::sync::Sync = "target.syncs/1",
    /// Operands and results of entries.
    operands: OperandSpec = "target.operands/1",
    /// Attributes of entries.
    attrs: AttrSpec = "target.attrs/1",
    /// Pipe rules of entries.
    pipe_rules: PipeRule = "target.pipe-rules/1",
    /// C++ rules of entries.
    cpp_rules: CppRule = "target.cpp-rules/1",
    /// Conditions of rules.
    conditions: Condition = "target.conditions/1",
    /// Names in conditions.
    names: StrId = "target.names/1",
    /// Pipes that stand for operation classes.
    sync_classes: SyncClass = "target.sync-classes/1",
}

/// What the library accepts of some operands or results of an operation, where they are tiles: one of the forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepts {
    /// Names of the operands and results.
    pub operands: Vec<StrId>,
    /// The forms, at least one.
    pub forms: Vec<Form>,
}

/// How a tile has to be. An empty list says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The words of the target file.
    pub text: String,
    /// Values of [`crate::ir::TileType::blayout`].
    pub blayouts: Vec<u32>,
    /// Values of [`crate::ir::TileType::slayout`].
    pub slayouts: Vec<u32>,
    /// Memory spaces.
    pub spaces: Vec<SpaceId>,
    /// Element types; `i8` stands for one of any sign.
    pub elements: Vec<String>,
    /// It has one row.
    pub is_row: bool,
    /// It has one column.
    pub is_column: bool,
}

/// A target, owned by the host.
#[derive(Clone, Debug, Default)]
pub struct TargetData {
    /// Its tables.
    pub tables: TargetTables,
    /// Its strings.
    pub strings: StringPool,
    /// Values of `pto.target_arch` that it serves.
    pub arch: Vec<String>,
    /// For each entry what the library accepts of its tiles; only the host asks.
    pub accepts: Vec<Vec<Accepts>>,
    index: std::collections::HashMap<StrId, EntryId>,
}

impl TargetData {
    /// A view of the target.
    pub fn view(&self) -> Target<'_> {
        Target { t: self.tables.view(), strings: self.strings.view() }
    }

    /// Makes [`TargetData::entry`] work; to be called when the tables are complete.
    pub fn build_index(&mut self) {
        let entries = self.tables.entries.iter().enumerate();
        self.index = entries.map(|(i, e)| (e.name, EntryId::from_index(i))).collect();
    }

    /// The table entry of the operation `name`, or none. Where a name occurs twice the last one counts.
    pub fn entry(&self, name: &str) -> EntryId {
        let found = self.strings.find(name).and_then(|id| self.index.get(&id));
        found.copied().unwrap_or(EntryId::NONE)
    }
}

/// A target, lent to a pass.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its tables.
    pub t: Tables<'a>,
    /// Its strings.
    pub strings: Strings<'a>,
}

impl<'a> Target<'a> {
    /// Appends the target's columns to `out`.
    pub fn lend(&self, out: &mut Vec<crate::column::Column<'a>>) {
        use crate::column::Column;
        self.t.lend(out);
        out.push(Column::lend("target.strings.bytes/1", self.strings.bytes));
        out.push(Column::lend("target.strings.ends/1", self.strings.ends));
    }

    /// Finds the target's columns.
    pub fn from_columns(columns: Columns<'a>) -> Result<Self, ColumnError> {
        Ok(Self {
            t: Tables::from_columns(columns)?,
            strings: Strings {
                bytes: columns.get("target.strings.bytes/1")?,
                ends: columns.get("target.strings.ends/1")?,
            },
        })
    }

    /// The text of an interned string.
    pub fn str(&self, id: StrId) -> &'a str {
        self.strings.get(id)
    }

    /// Number of event ids for each ordered pair of pipes.
    pub fn event_ids(&self) -> u32 {
        self.t.facts.first().map_or(0, |f| f.event_ids)
    }

    /// The name of a pipe, `MTE2`; `?` for one out of range.
    pub fn pipe_name(&self, id: PipeId) -> &'a str {
        self.t.pipes.get(id.index()).map_or("?", |p| self.str(p.name))
    }

    /// The spelling of a pipe in `.pto` and C++, `PIPE_MTE2`.
    pub fn pipe_symbol(&self, id: PipeId) -> &'a str {
        self.t.pipes.get(id.index()).map_or("?", |p| self.str(p.symbol))
    }

    /// The pipe of that name or spelling.
    pub fn pipe(&self, name: &str) -> Option<PipeId> {
        let same = |p: &Pipe| self.str(p.name) == name || self.str(p.symbol) == name;
        self.t.pipes.iter().position(same).map(PipeId::from_index)
    }

    /// The pipe that stands for all pipes together, for a full barrier.
    pub fn all_pipes(&self) -> Option<PipeId> {
        self.t.pipes.iter().position(|p| p.flags & pipe_flag::ALL != 0).map(PipeId::from_index)
    }

    /// Whether this is the scalar pipe.
    pub fn is_scalar(&self, id: PipeId) -> bool {
        self.t.pipes.get(id.index()).is_some_and(|p| p.flags & pipe_flag::SCALAR != 0)
    }

    /// The memory space of that name.
    pub fn space(&self, name: &str) -> Option<SpaceId> {
        self.t.spaces.iter().position(|s| self.str(s.name) == name).map(SpaceId::from_index)
    }

    /// The memory space of that name, or with that other name.
    pub fn space_or_alias(&self, name: &str) -> Option<SpaceId> {
        let alias = || self.t.space_aliases.iter().find(|a| self.str(a.name) == name).map(|a| a.space);
        self.space(name).or_else(alias)
    }

    /// The first memory space with this [`space_flag`].
    pub fn space_with(&self, flag: u32) -> Option<SpaceId> {
        self.t.spaces.iter().position(|s| s.flags & flag != 0).map(SpaceId::from_index)
    }

    /// Whether the memory space has this [`space_flag`].
    pub fn space_is(&self, space: SpaceId, flag: u32) -> bool {
        self.t.spaces.get(space.index()).is_some_and(|s| s.flags & flag != 0)
    }

    /// Bytes from the start of one tile of `bytes` bytes to the next in a buffer of several.
    pub fn slot_pitch(&self, space: SpaceId, bytes: u64) -> u64 {
        let align = self.t.spaces.get(space.index()).map_or(1, |s| s.align);
        let own = self.t.slot_align.get(space.index()).copied().unwrap_or(0);
        let align = if own > 0 { own } else { align.max(1) };
        bytes.checked_next_multiple_of(align).unwrap_or(bytes)
    }

    /// The name of a memory space, `vec`.
    pub fn space_name(&self, id: SpaceId) -> &'a str {
        self.t.spaces.get(id.index()).map_or("?", |s| self.str(s.name))
    }

    /// Ids of the ordered pair that allocation may use: bit i for id i.
    pub fn usable_ids(&self, src: PipeId, dst: PipeId) -> u64 {
        let all = if self.event_ids() >= 64 { u64::MAX } else { (1u64 << self.event_ids()) - 1 };
        let reserved = self.t.reserved.iter().filter(|r| r.src == src && r.dst == dst);
        reserved.fold(all, |ids, r| ids & !r.mask)
    }

    /// The enumeration of that name.
    pub fn find_enum(&self, name: &str) -> Option<&'a Enum> {
        self.t.enums.iter().find(|e| self.str(e.name) == name)
    }
}
