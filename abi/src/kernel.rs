//! One function flattened for synchronization: a list of nodes with the memory that each touches.
//!
//! Nodes stand in pre-order. An instruction is one node, a call that several pipes work for is one for each of them,
//! next to each other. A loop is a begin, its body, an end. A branch is a begin,
//! the then part, a placeholder, an else-begin, the else part, a placeholder, an end; else-begin and its
//! placeholder exist even if no else part is written. What must hold: `begin < middle < end` for the nodes of one
//! construct, constructs nest, and every id is in range.

use bytemuck::{Pod, Zeroable};

use crate::column::table;
use crate::{NodeId, OpId, PipeId, Range, RegionId, RootId, SpaceId, StrId, TextRange, ValueId};

/// One element of a kernel's flat list.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Node {
    /// One of [`node_kind`].
    pub kind: u32,
    /// The pipe that executes an instruction; none for other nodes.
    pub pipe: PipeId,
    /// The operation it stands for; for the nodes of a construct, the loop or branch.
    pub op: OpId,
    /// First node of the construct, or of the call that is several nodes; none for any other instruction.
    pub begin: NodeId,
    /// The else-begin of a branch; none for other nodes.
    pub middle: NodeId,
    /// Last node of the construct, or of the call that is several nodes; none for any other instruction.
    pub end: NodeId,
    /// First node of the innermost construct that contains this one; none at the top.
    pub parent: NodeId,
    /// What an instruction reads and writes, in [`Kernel::accesses`].
    pub accesses: Range,
    /// [`node_flag`] bits.
    pub flags: u32,
}

/// Kinds of [`Node`].
pub mod node_kind {
    /// One operation on one pipe.
    pub const INSTRUCTION: u32 = 0;
    /// Start of a loop.
    pub const LOOP_BEGIN: u32 = 1;
    /// End of a loop.
    pub const LOOP_END: u32 = 2;
    /// Start of a branch and of its then part.
    pub const IF_BEGIN: u32 = 3;
    /// Start of an else part.
    pub const ELSE_BEGIN: u32 = 4;
    /// End of a branch.
    pub const IF_END: u32 = 5;
    /// End of a then or else part.
    pub const PLACEHOLDER: u32 = 6;
}

/// Bits of [`Node::flags`].
pub mod node_flag {
    /// A gather or scatter, whose accesses depend on data.
    pub const IRREGULAR: u32 = 1;
    /// A loop that tests its condition before each trip (`while`): its head runs once more than its body.
    pub const WHILE: u32 = 2;
    /// One node of a call that is several: later work of its pipe finds all work of the nodes before it in the call
    /// finished, by a flag that the call uses itself.
    pub const JOINS: u32 = 4;
}

/// One access of an instruction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Access {
    /// The memory.
    pub region: RegionId,
    /// [`access_mode`] bits.
    pub mode: u32,
}

/// Bits of [`Access::mode`]. None of them: the memory is named, not touched.
pub mod access_mode {
    /// The memory is read.
    pub const READ: u32 = 1;
    /// The memory is written.
    pub const WRITE: u32 = 2;
}

/// A piece of memory that instructions touch. Equal pieces have equal ids.
///
/// It carries two descriptions. The `root` alias rule compares `root` and the byte range `base .. base + size`
/// relative to it. The `range` alias rule compares absolute addresses: `rows` runs of `row_bytes` bytes each,
/// `pitch` bytes apart, the first at `address`; without [`region_flag::KNOWN_ADDRESS`] it may be anywhere in its
/// space.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Region {
    /// Offset from the root in bytes, for the `root` rule.
    pub base: u64,
    /// Size in bytes, for the `root` rule. 0 in global memory means unknown; 0 elsewhere overlaps nothing.
    pub size: u64,
    /// Absolute address of the first byte, for the `range` rule.
    pub address: u64,
    /// Bytes in a run, for the `range` rule.
    pub row_bytes: u64,
    /// Bytes from the start of one run to the start of the next, for the `range` rule.
    pub pitch: u64,
    /// Number of runs, for the `range` rule.
    pub rows: u64,
    /// The memory space.
    pub space: SpaceId,
    /// The buffer's identity.
    pub root: RootId,
    /// [`region_flag`] bits.
    pub flags: u32,
    /// Always 0.
    pub reserved: u32,
}

/// Bits of [`Region::flags`].
pub mod region_flag {
    /// Global memory.
    pub const GLOBAL: u32 = 1;
    /// An accumulator, see [`crate::target::space_flag::ACCUMULATOR`].
    pub const ACCUMULATOR: u32 = 2;
    /// `address`, `rows`, `row_bytes` and `pitch` are known.
    pub const KNOWN_ADDRESS: u32 = 4;
    /// The memory is apart from that of every other root (a popped slot, a parameter): the `range` rule compares
    /// such regions by root.
    pub const PRIVATE: u32 = 8;
    /// The region exists for the `range` rule only: it overlaps nothing under the `root` rule.
    pub const NOT_ROOT: u32 = 16;
    /// The region exists for the `root` rule only: it overlaps nothing under the `range` rule.
    pub const NOT_RANGE: u32 = 32;
    /// Nobody knows which memory it is: under the `range` rule it may be any of its space, [`PRIVATE`] regions and those
    /// of parameters included.
    pub const UNTRACED: u32 = 64;
    /// What is touched lies somewhere in these bytes, at a place that is computed: under the `range` rule it is taken to
    /// be all of them.
    pub const SOMEWHERE: u32 = 128;
}

/// A buffer's identity.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Root {
    /// The value that stands for it: an address, a parameter, a declared tile.
    pub value: ValueId,
    /// Its name for people.
    pub name: StrId,
    /// Where it is defined in the source.
    pub span: TextRange,
}

/// An operation that touches memory but runs on no pipe that the target names: collectives, calls, scalar access to
/// global memory. Synchronization passes do not see it; memory planning and verification must. In a kernel that is
/// lowered for memory planning so is an allocation without an address: its one access is all of the buffer that
/// begins there, in no mode.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Bystander {
    /// The operation.
    pub op: OpId,
    /// The node before which it stands; the number of nodes if it stands behind all of them.
    pub before: NodeId,
    /// What it reads and writes, in [`Kernel::accesses`].
    pub accesses: Range,
}

/// An operation that does more inside itself than the one instruction that synchronization passes see: it is a node or
/// a bystander, or neither.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Call {
    /// The operation.
    pub op: OpId,
    /// What it does, in [`Kernel::phases`], in order.
    pub phases: Range,
}

/// One thing that a call does inside itself, see [`crate::target::Phase`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Phase {
    /// Of a signal: bit i says that work of pipe i in global memory must be finished.
    pub drained: u64,
    /// One of [`crate::target::phase_kind`].
    pub kind: u32,
    /// The pipe that works, sets the flag or sends the signal.
    pub pipe: PipeId,
    /// The pipe that takes the flag.
    pub dst: PipeId,
    /// Id of the flag.
    pub event_id: u32,
    /// What is read and written, in [`Kernel::accesses`].
    pub accesses: Range,
}

/// Through which argument of a counted loop an access happens, where the loop hands tiles on in turn: argument a stands in trip
/// `i + 1` for the tile that its source stands for in trip `i`. An access with rotations happens through the arguments that
/// they name and in no other way; whatever has none may happen in every trip.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Rotation {
    /// Index of the access in [`Kernel::accesses`].
    pub access: u32,
    /// The loop.
    pub loop_begin: NodeId,
    /// The argument, counted without the loop's counter.
    pub argument: u32,
    /// The argument that it is handed on from: what it stands for now, that one stood for in the trip before.
    pub source: u32,
    /// The argument that begins with the tile that is accessed.
    pub slot: u32,
    /// [`access_mode`] bits of what happens through this argument.
    pub mode: u32,
}

/// A call of a function. It may do anything, on any pipe, to any memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FunctionCall {
    /// The operation.
    pub op: OpId,
    /// The node before which it stands; the number of nodes if it stands behind all of them.
    pub before: NodeId,
}

/// Flags of a pair that are not the plan's: the source sets or waits for them, or functions that are called do.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FlagUse {
    /// Bit i: it may be the flag with id i.
    pub ids: u64,
    /// The operation in this function: the one that synchronizes, or the call. None if the flag is up around the function.
    pub op: OpId,
    /// The pipe that sets.
    pub src: PipeId,
    /// The pipe that waits.
    pub dst: PipeId,
    /// Always 0.
    pub reserved: u32,
}

/// Facts of a kernel that are single values.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct KernelFacts {
    /// The function.
    pub function: OpId,
    /// [`kernel_flag`] bits.
    pub flags: u32,
}

/// Bits of [`KernelFacts::flags`].
pub mod kernel_flag {
    /// The source already carries flags: automatic synchronization must leave the function alone.
    pub const EXPLICIT_SYNC: u32 = 1;
    /// It contains a gather or scatter.
    pub const IRREGULAR: u32 = 2;
    /// A declaration without a body.
    pub const DECLARATION: u32 = 4;
}

table! {
    /// A kernel, owned.
    owned KernelData;
    /// A kernel, lent to a pass.
    view Kernel;
    /// One record of single values.
    facts: KernelFacts = "kernel.facts/1",
    /// The flat list.
    nodes: Node = "kernel.nodes/1",
    /// Accesses of instructions.
    accesses: Access = "kernel.accesses/1",
    /// Memory regions.
    regions: Region = "kernel.regions/1",
    /// Buffer identities.
    roots: Root = "kernel.roots/1",
    /// Operations that touch memory and are no nodes, in program order.
    bystanders: Bystander = "kernel.bystanders/1",
    /// Operations that do more than one instruction, in program order.
    calls: Call = "kernel.calls/1",
    /// What calls do inside themselves.
    phases: Phase = "kernel.phases/1",
    /// Accesses to tiles that loops hand on in turn, ascending by access.
    rotations: Rotation = "kernel.rotations/1",
    /// Calls of functions, in program order.
    function_calls: FunctionCall = "kernel.function-calls/1",
    /// Flags that are not the plan's.
    flag_uses: FlagUse = "kernel.flag-uses/1",
}

impl<'a> Kernel<'a> {
    /// The node `id`.
    pub fn node(&self, id: NodeId) -> &'a Node {
        &self.nodes[id.index()]
    }

    /// All node ids in order.
    pub fn node_ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.nodes.len()).map(NodeId::from_index)
    }

    /// The ids of all instructions in order.
    pub fn instructions(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<'a> {
        let nodes = self.nodes;
        (0..nodes.len()).filter(move |&i| nodes[i].kind == node_kind::INSTRUCTION).map(NodeId::from_index)
    }

    /// The first and the last node of the call that the instruction `id` belongs to: `id` itself, unless several pipes
    /// work for the call. What must stand before or after the instruction stands before or after all of the call.
    pub fn call(&self, id: NodeId) -> (NodeId, NodeId) {
        let node = self.node(id);
        match (node.kind, node.begin.get(), node.end.get()) {
            (node_kind::INSTRUCTION, Some(first), Some(last)) => (first, last),
            _ => (id, id),
        }
    }

    /// What the node reads and writes.
    pub fn accesses(&self, id: NodeId) -> &'a [Access] {
        self.node(id).accesses.of(self.accesses)
    }

    /// The region `id`.
    pub fn region(&self, id: RegionId) -> &'a Region {
        &self.regions[id.index()]
    }

    /// [`kernel_flag`] bits.
    pub fn flags(&self) -> u32 {
        self.facts.first().map_or(0, |f| f.flags)
    }

    /// The function.
    pub fn function(&self) -> OpId {
        self.facts.first().map_or(OpId::NONE, |f| f.function)
    }

    /// Whether automatic synchronization has anything to do: the function has no flags of its own and more than
    /// one node.
    pub fn wants_sync(&self) -> bool {
        self.flags() & kernel_flag::EXPLICIT_SYNC == 0 && self.nodes.len() > 1
    }
}
