//! The program that is judged: steps in program order, each of them something that a pipe or the scalar unit does.
//!
//! A step list is structured. A loop is `LoopBegin`, a head, `LoopTest`, a tail, `LoopEnd`: one trip is the tail with
//! the head before it, and the head runs once more behind the last trip (a counted loop has an empty head). A branch
//! is `IfBegin`, the then part, `Else`, the else part, `IfEnd`. What must hold: constructs nest, every index is in
//! range, and the last step is `Exit`, of which there is one.

mod builder;

use pipewright_abi::{GroupId, NodeId, OpId, TextRange};

use super::address::{Bounds, Misplaced};
use super::conditions::Conditions;
pub use super::machine::Core;
use super::memory::Memory;
pub use builder::Builder;

/// Index of a pipe in [`Program::pipes`].
pub type Pipe = usize;

/// Index of a step in [`Program::steps`].
pub type StepIndex = usize;

/// Index of a key in [`Program::keys`].
pub type KeyIndex = usize;

/// One function as the pipes of one core see it.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Name of the function, with the kind of core where it is a part of one.
    pub name: String,
    /// Names of the pipes.
    pub pipes: Vec<String>,
    /// The scalar pipe, which hands out the work of all others.
    pub scalar: Option<Pipe>,
    /// The pipe that stands for operations of which nobody knows where they run. No flag names it.
    pub unknown: Option<Pipe>,
    /// Flags that the steps name.
    pub keys: Vec<Key>,
    /// Memory that the accesses name.
    pub memories: Vec<Memory>,
    /// What memory is called: the buffers that it belongs to.
    pub memory_names: Vec<String>,
    /// Accesses that the instructions name.
    pub accesses: Vec<Access>,
    /// Number of carried tiles: values that stand for one buffer or another, depending on the path.
    pub carried: usize,
    /// What [`Step::Bind`] names.
    pub bindings: Vec<Binding>,
    /// The steps.
    pub steps: Vec<Step>,
    /// What decides which way branches and loops go.
    pub conditions: Conditions,
    /// For each step where it comes from.
    pub origins: Vec<Origin>,
    /// The function that is judged, and behind it those that it calls, once for each call.
    pub executions: Vec<Execution>,
    /// For each step the number of the call that it is within; 0 for none.
    pub calls: Vec<u32>,
    /// Signals that steps send.
    pub signals: Vec<Signal>,
    /// Spaces that other cores see.
    pub global: Vec<u32>,
    /// Bytes of an accumulator in a space from which on an instruction needs no barrier to the next one of its pipe.
    pub settled: Vec<(u32, u64)>,
    /// Where memory may lie.
    pub bounds: Vec<Bounds>,
    /// Whether some memory has an address that is not known.
    pub is_somewhere: bool,
    /// Whether some step names a pipe that not every core has, and nobody says which core it runs on.
    pub is_on_any_core: bool,
    /// What cannot be, flags, pipes or addresses, with the step that names each.
    pub faults: Vec<(StepIndex, Fault)>,
    /// What is taken for granted because it cannot be known, each once.
    pub assumptions: Vec<String>,
}

/// One flag: a bit that `src` sets and `dst` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Pipe that sets.
    pub src: Pipe,
    /// Pipe that waits.
    pub dst: Pipe,
    /// Event id.
    pub id: u32,
}

/// One access of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Index into [`Program::memories`].
    pub memory: usize,
    /// Whether it is written; else it is read.
    pub write: bool,
    /// If given, it happens only while a carried tile stands for a certain buffer.
    pub only: Option<Choice>,
}

impl Access {
    /// An access that happens on every path.
    pub fn new(memory: usize, write: bool) -> Self {
        Self { memory, write, only: None }
    }

    /// Whether it happens while the carried tiles stand for these buffers.
    pub fn happens(&self, buffers: &[Buffer]) -> bool {
        self.only.is_none_or(|only| buffers.get(only.tile) == Some(&only.buffer))
    }
}

/// A buffer that carried tiles can stand for, by a number of its own.
pub type Buffer = u32;

/// What a carried tile stands for before it is bound.
pub const UNBOUND: Buffer = Buffer::MAX;

/// A carried tile that stands for a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The carried tile, below [`Program::carried`].
    pub tile: usize,
    /// The buffer.
    pub buffer: Buffer,
}

/// What a carried tile comes to stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The carried tile.
    pub tile: usize,
    /// Where its buffer comes from.
    pub source: Source,
}

/// Where a buffer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is this one.
    Buffer(Buffer),
    /// It is the one that this carried tile stood for.
    Tile(usize),
}

/// A signal to another core or card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The pipe that sends it, behind its own earlier work.
    pub pipe: Pipe,
    /// Pipes whose work in global memory must be finished by then.
    pub drained: Vec<Pipe>,
}

/// How often a loop's tail runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trips {
    /// At least.
    pub min: u64,
    /// At most, if that is known.
    pub max: Option<u64>,
}

impl Trips {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { min: 0, max: None };

    /// Known.
    pub fn exactly(count: u64) -> Self {
        Self { min: count, max: Some(count) }
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An instruction of a pipe, with a run of [`Program::accesses`].
    Instruction {
        /// The pipe.
        pipe: Pipe,
        /// First access.
        first: usize,
        /// Number of accesses.
        count: usize,
    },
    /// Sets a flag.
    Set(KeyIndex),
    /// Takes a flag.
    Wait(KeyIndex),
    /// Sets and takes a flag somewhere within a call: it must be clear, and orders nothing that one could rely on.
    Uses(KeyIndex),
    /// Sends one of [`Program::signals`].
    Publish(usize),
    /// Later work of the pipe waits for its earlier work; none stands for all pipes.
    Barrier(Option<Pipe>),
    /// Start of a loop.
    LoopBegin {
        /// Its test.
        test: StepIndex,
        /// Its end.
        end: StepIndex,
        /// Its trips.
        trips: Trips,
    },
    /// Where a loop goes on or ends.
    LoopTest {
        /// Its begin.
        begin: StepIndex,
        /// Its end.
        end: StepIndex,
    },
    /// End of a loop.
    LoopEnd {
        /// Its begin.
        begin: StepIndex,
    },
    /// Start of a branch and its then part.
    IfBegin {
        /// Its `Else`.
        middle: StepIndex,
        /// Its end.
        end: StepIndex,
    },
    /// End of the then part, start of the else part.
    Else {
        /// Its end.
        end: StepIndex,
    },
    /// End of a branch.
    IfEnd,
    /// Carried tiles come to stand for other buffers, all at once: a run of [`Program::bindings`].
    Bind {
        /// First binding.
        first: usize,
        /// Number of bindings.
        count: usize,
    },
    /// Terms of the conditions change: an assignment of [`Program::conditions`].
    Assign(usize),
    /// Has no effect that can be relied on (a flag whose id is not known).
    Opaque,
    /// The function returns.
    Exit,
}

/// Where a step comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The node that it is or stands at, one of its function.
    pub node: NodeId,
    /// The operation that it is or stands at.
    pub op: OpId,
    /// Which of the program's executions it is in.
    pub execution: usize,
    /// The group of the plan whose statement it is.
    pub group: GroupId,
    /// The source of the operation that it is or stands at.
    pub span: TextRange,
    /// On which side of the operation it stands.
    pub place: Place,
}

/// One execution of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// Name of the function.
    pub name: String,
    /// The function.
    pub function: OpId,
    /// The call that executes it, none for the function that is judged.
    pub call: OpId,
    /// Where that call stands.
    pub span: TextRange,
    /// The execution that calls it; its own for the function that is judged.
    pub caller: usize,
}

/// How a step relates to the operation in the source that its span names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// It is that operation.
    #[default]
    Itself,
    /// It stands before it.
    Before,
    /// It stands after it.
    After,
    /// It stands before the function returns.
    AtReturn,
}

/// Why a statement names a flag or pipe that it must not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The pair got no event id.
    Missing {
        /// Pipe that sets.
        src: Pipe,
        /// Pipe that waits.
        dst: Pipe,
    },
    /// The target has fewer ids.
    OutOfRange {
        /// The key.
        key: Key,
        /// Number of ids that there are.
        count: u32,
    },
    /// The id belongs to the library.
    Reserved {
        /// The key.
        key: Key,
    },
    /// A pipe cannot be both ends of a flag, and one that stands for all pipes can be none.
    Ends {
        /// The key.
        key: Key,
    },
    /// The scalar pipe takes no barrier.
    ScalarBarrier,
    /// The core has no such pipe.
    NoPipe {
        /// The kind of core.
        core: Core,
        /// The pipe.
        pipe: Pipe,
        /// The other end of a flag, if the core lacks that too.
        other: Option<Pipe>,
    },
    /// Memory lies where it must not.
    Misplaced {
        /// What lies there, in words.
        subject: &'static str,
        /// The space.
        space: u32,
        /// What is wrong.
        what: Misplaced,
    },
    /// A tile was given memory that is set apart: first byte and the one behind the last, of each.
    Taken {
        /// The space.
        space: u32,
        /// The tile.
        tile: [u64; 2],
        /// The buffer.
        buffer: [u64; 2],
    },
}

impl Program {
    /// The accesses of a step; none for a step that is no instruction.
    pub fn accesses_of(&self, step: StepIndex) -> &[Access] {
        match self.steps[step] {
            Step::Instruction { first, count, .. } => &self.accesses[first..first + count],
            _ => &[],
        }
    }

    /// What the carried tiles stand for behind a step.
    pub fn rebind(&self, step: StepIndex, buffers: &mut [Buffer]) {
        let Step::Bind { first, count } = self.steps[step] else { return };
        let before = buffers.to_vec();
        for binding in &self.bindings[first..first + count] {
            buffers[binding.tile] = match binding.source {
                Source::Buffer(buffer) => buffer,
                Source::Tile(tile) => before[tile],
            };
        }
    }

    /// The pipe that executes a step, if one does.
    pub fn pipe_of(&self, step: StepIndex) -> Option<Pipe> {
        match self.steps[step] {
            Step::Instruction { pipe, .. } => Some(pipe),
            Step::Set(key) | Step::Uses(key) => Some(self.keys[key].src),
            Step::Wait(key) => Some(self.keys[key].dst),
            Step::Barrier(pipe) => pipe,
            Step::Publish(signal) => Some(self.signals[signal].pipe),
            _ => None,
        }
    }

    /// The calls that lead to a step, the outermost first.
    pub fn calls_to(&self, step: StepIndex) -> Vec<&Execution> {
        let mut calls = Vec::new();
        let mut at = self.origins[step].execution;
        while let Some(execution) = self.executions.get(at).filter(|e| e.caller != at) {
            calls.push(execution);
            at = execution.caller;
        }
        calls.reverse();
        calls
    }

    /// `MTE2>V #3`.
    pub fn key_name(&self, key: Key) -> String {
        format!("{}>{} #{}", self.pipes[key.src], self.pipes[key.dst], key.id)
    }

    /// Whether the two pipes are both served by the scalar unit, which works in program order.
    pub fn in_scalar_order(&self, a: Pipe, b: Pipe) -> bool {
        let scalar = |p| Some(p) == self.scalar || Some(p) == self.unknown;
        scalar(a) && scalar(b)
    }

    /// For each step the begins of the loops and branches around it, outermost first, with the part that it is in.
    pub fn context(&self, step: StepIndex) -> Vec<StepIndex> {
        let mut open = Vec::new();
        for (index, s) in self.steps[..step].iter().enumerate() {
            match s {
                Step::LoopBegin { .. } | Step::IfBegin { .. } => open.push(index),
                Step::LoopEnd { .. } | Step::IfEnd => _ = open.pop(),
                _ => {}
            }
        }
        open
    }
}
