//! The program that is judged: steps in program order, each of them something that a pipe or the scalar unit does.
//!
//! A step list is structured. A loop is `LoopBegin`, a head, `LoopTest`, a tail, `LoopEnd`: one trip is the tail with
//! the head before it, and the head runs once more behind the last trip (a counted loop has an empty head). A branch
//! is `IfBegin`, the then part, `Else`, the else part, `IfEnd`. What must hold: constructs nest, every index is in
//! range, and the last step is `Exit`, of which there is one.

use std::collections::HashMap;

use pipewright_abi::{GroupId, NodeId, OpId, TextRange};

use super::address::{Bounds, Misplaced};
use super::conditions::{Assign, Conditions, ExprId, Term, TermId};
pub use super::machine::Core;
use super::memory::Memory;

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

/// Builds a program step by step.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(super) program: Program,
    open: Vec<Open>,
    keys: HashMap<Key, KeyIndex>,
    memories: HashMap<Memory, usize>,
    /// For each memory whether its place was judged.
    pub(super) placed: Vec<bool>,
    /// The kind of core that the steps run on, and for each pipe whether it lacks it.
    pub(super) core: Option<(Core, Vec<bool>)>,
    /// For each pipe whether every kind of core has it; empty if all pipes are of one core.
    pub(super) shared: Vec<bool>,
    /// Number of the newest call, and whether it is open.
    call: (u32, bool),
    /// Origin of the steps that are added from now on.
    pub origin: Origin,
    /// Execution that the steps are in that are added from now on.
    pub execution: usize,
}

#[derive(Clone, Copy, Debug)]
enum Open {
    Loop { begin: StepIndex, test: Option<StepIndex> },
    If { begin: StepIndex, middle: Option<StepIndex> },
}

impl Builder {
    /// A program of these pipes without steps.
    pub fn new(name: &str, pipes: &[&str], scalar: Option<Pipe>) -> Self {
        let pipes = pipes.iter().map(|&p| p.to_owned()).collect();
        Self {
            program: Program { name: name.into(), pipes, scalar, ..Default::default() },
            ..Default::default()
        }
    }

    /// The program so far.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The pipe for operations of which nobody knows where they run.
    pub fn unknown_pipe(&mut self) -> Pipe {
        let pipes = &mut self.program.pipes;
        *self.program.unknown.get_or_insert_with(|| {
            pipes.push("?".into());
            pipes.len() - 1
        })
    }

    /// The index of `memory`, which is added if it is new, with one more name.
    pub fn memory(&mut self, memory: Memory, name: &str) -> usize {
        let p = &mut self.program;
        let index = *self.memories.entry(memory).or_insert_with(|| {
            p.memories.push(memory);
            p.memory_names.push(String::new());
            self.placed.push(false);
            p.memories.len() - 1
        });
        let names = &mut p.memory_names[index];
        // A few names say enough.
        if !name.is_empty() && !names.split(", ").any(|n| n == name) && names.len() < 60 {
            if !names.is_empty() {
                names.push_str(", ");
            }
            names.push_str(name);
        }
        index
    }

    /// An instruction.
    pub fn instruction(&mut self, pipe: Pipe, accesses: &[Access]) -> StepIndex {
        let first = self.program.accesses.len();
        self.program.accesses.extend_from_slice(accesses);
        let step = self.push(Step::Instruction { pipe, first, count: accesses.len() });
        self.names(&[pipe]);
        accesses.iter().for_each(|access| self.place(access.memory));
        step
    }

    /// A set.
    pub fn set(&mut self, key: Key) -> StepIndex {
        let step = Step::Set(self.key(key));
        self.flag(step, key)
    }

    /// A wait.
    pub fn wait(&mut self, key: Key) -> StepIndex {
        let step = Step::Wait(self.key(key));
        self.flag(step, key)
    }

    fn flag(&mut self, step: Step, key: Key) -> StepIndex {
        let step = self.push(step);
        // Which flags a call uses within itself is the target file's to say, not the kernel's.
        if !self.call.1 {
            self.names(&[key.src, key.dst]);
        }
        step
    }

    /// Starts a call: steps belong to it until it is closed.
    pub fn open_call(&mut self) {
        self.call = (self.call.0 + 1, true);
    }

    /// Ends a call.
    pub fn close_call(&mut self) {
        self.call.1 = false;
    }

    /// A flag that a call uses within itself.
    pub fn uses(&mut self, key: Key) -> StepIndex {
        let key = self.key(key);
        self.push(Step::Uses(key))
    }

    /// A signal to another core.
    pub fn publish(&mut self, signal: Signal) -> StepIndex {
        self.program.signals.push(signal);
        self.push(Step::Publish(self.program.signals.len() - 1))
    }

    /// Says which spaces other cores see, and from how many bytes on an accumulator needs no barrier.
    pub fn spaces(&mut self, global: Vec<u32>, settled: Vec<(u32, u64)>) {
        (self.program.global, self.program.settled) = (global, settled);
    }

    /// Says which executions there are.
    pub fn executions(&mut self, executions: Vec<Execution>) {
        self.program.executions = executions;
    }

    /// A barrier.
    pub fn barrier(&mut self, pipe: Option<Pipe>) -> StepIndex {
        let step = self.push(Step::Barrier(pipe));
        self.names(pipe.as_slice());
        step
    }

    /// Lets carried tiles stand for other buffers.
    pub fn bind(&mut self, bindings: &[Binding]) -> StepIndex {
        let p = &mut self.program;
        let first = p.bindings.len();
        p.bindings.extend_from_slice(bindings);
        p.carried = bindings.iter().fold(p.carried, |n, b| n.max(b.tile + 1));
        self.push(Step::Bind { first, count: bindings.len() })
    }

    /// A step without an effect to rely on.
    pub fn opaque(&mut self) -> StepIndex {
        self.push(Step::Opaque)
    }

    /// Says what is wrong with the newest step.
    pub fn fault(&mut self, fault: Fault) {
        let step = self.program.steps.len().saturating_sub(1);
        self.program.faults.push((step, fault));
    }

    /// Notes an assumption.
    pub fn assume(&mut self, text: String) {
        if !self.program.assumptions.contains(&text) {
            self.program.assumptions.push(text);
        }
    }

    /// Opens a loop. If it has a head, that comes first, then [`Builder::test`].
    pub fn open_loop(&mut self, trips: Trips, has_head: bool) {
        let begin = self.push(Step::LoopBegin { test: 0, end: 0, trips });
        self.open.push(Open::Loop { begin, test: None });
        if !has_head {
            self.test();
        }
    }

    /// Ends the head of the innermost loop.
    pub fn test(&mut self) {
        let at = self.program.steps.len();
        if let Some(Open::Loop { begin, test: test @ None }) = self.open.last_mut() {
            *test = Some(at);
            let begin = *begin;
            self.push(Step::LoopTest { begin, end: 0 });
        }
    }

    /// The condition of the newest step, the begin of a branch or the test of a loop.
    pub fn guard(&mut self, guard: ExprId) {
        let step = self.program.steps.len().saturating_sub(1);
        self.program.conditions.set_guard(step, guard);
    }

    /// Changes terms.
    pub fn assign(&mut self, assign: Assign) -> StepIndex {
        self.program.conditions.assigns.push(assign);
        self.push(Step::Assign(self.program.conditions.assigns.len() - 1))
    }

    /// A new term that gets a value of its own with each trip of the innermost of the first `loops` open loops.
    pub fn term(&mut self, term: Term, loops: usize) -> TermId {
        let term = self.program.conditions.term(term);
        let begins = self.open.iter().filter_map(|open| match open {
            Open::Loop { begin, .. } => Some(*begin),
            Open::If { .. } => None,
        });
        if let Some(begin) = begins.take(loops).last() {
            self.program.conditions.add_fresh(begin, term);
        }
        term
    }

    /// Number of loops that are open.
    pub fn loops(&self) -> usize {
        self.open.iter().filter(|open| matches!(open, Open::Loop { .. })).count()
    }

    /// What decides ways, to add expressions to.
    pub fn conditions(&mut self) -> &mut Conditions {
        &mut self.program.conditions
    }

    /// Opens a branch.
    pub fn open_if(&mut self) {
        let begin = self.push(Step::IfBegin { middle: 0, end: 0 });
        self.open.push(Open::If { begin, middle: None });
    }

    /// Opens a branch that is a choice within one operation.
    pub fn open_choice(&mut self, guard: ExprId) {
        self.open_if();
        self.guard(guard);
        let begin = self.program.steps.len() - 1;
        self.program.conditions.within.insert(begin);
    }

    /// Starts the else part of the innermost branch.
    pub fn middle(&mut self) {
        let at = self.program.steps.len();
        if let Some(Open::If { middle: middle @ None, .. }) = self.open.last_mut() {
            *middle = Some(at);
            self.push(Step::Else { end: 0 });
        }
    }

    /// Closes the innermost construct.
    pub fn close(&mut self) {
        match self.open.last() {
            Some(Open::Loop { test: None, .. }) => self.test(),
            Some(Open::If { middle: None, .. }) => self.middle(),
            _ => {}
        }
        let steps = self.program.steps.len();
        match self.open.pop() {
            Some(Open::Loop { begin, test: Some(test) }) => {
                let end = self.push(Step::LoopEnd { begin });
                if let Step::LoopBegin { trips, .. } = self.program.steps[begin] {
                    self.program.steps[begin] = Step::LoopBegin { test, end, trips };
                }
                self.program.steps[test] = Step::LoopTest { begin, end };
            }
            Some(Open::If { begin, middle: Some(middle) }) => {
                self.push(Step::IfEnd);
                self.program.steps[begin] = Step::IfBegin { middle, end: steps };
                self.program.steps[middle] = Step::Else { end: steps };
            }
            _ => {}
        }
    }

    /// The program, with constructs that are still open closed and the exit at its end.
    pub fn finish(mut self) -> Program {
        while !self.open.is_empty() {
            self.close();
        }
        self.push(Step::Exit);
        self.program
    }

    fn push(&mut self, step: Step) -> StepIndex {
        self.program.steps.push(step);
        self.program.origins.push(Origin { execution: self.execution, ..self.origin });
        self.program.calls.push(if self.call.1 { self.call.0 } else { 0 });
        self.program.steps.len() - 1
    }

    fn key(&mut self, key: Key) -> KeyIndex {
        let keys = &mut self.program.keys;
        *self.keys.entry(key).or_insert_with(|| {
            keys.push(key);
            keys.len() - 1
        })
    }
}
