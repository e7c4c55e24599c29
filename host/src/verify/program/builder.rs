//! Programs, built step by step.
//!
//! What must hold: what is built nests and ends with one exit, whatever is left open.

use std::collections::HashMap;

use super::{
    Access, Binding, Execution, Fault, Key, KeyIndex, Origin, Pipe, Program, Signal, Step, StepIndex, Trips,
};
use crate::verify::conditions::{Assign, Conditions, ExprId, Term, TermId};
use crate::verify::machine::Core;
use crate::verify::memory::Memory;

/// Builds a program step by step.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(in crate::verify) program: Program,
    open: Vec<Open>,
    keys: HashMap<Key, KeyIndex>,
    memories: HashMap<Memory, usize>,
    /// For each memory whether its place was judged.
    pub(in crate::verify) placed: Vec<bool>,
    /// The kind of core that the steps run on, and for each pipe whether it lacks it.
    pub(in crate::verify) core: Option<(Core, Vec<bool>)>,
    /// For each pipe whether every kind of core has it; empty if all pipes are of one core.
    pub(in crate::verify) shared: Vec<bool>,
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
