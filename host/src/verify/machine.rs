//! What the machine has: which pipes a kind of core, where memory may lie.
//!
//! Both are looked at as a program is built: a step that names a pipe its core lacks is a fault of that step, and so is
//! the first access to memory that is misplaced. What must hold: what is not known, the kind of core or an address, is
//! noted, and then the rule is not proved.

use super::Rule;
use super::address::{self, Bounds};
use super::memory::Memory;
use super::program::{Builder, Fault, Pipe, Program};

/// What is assumed of a function that does not say which kind of core it is for.
const ANY_CORE: &str =
    "the core has the pipes that the function names: it does not say which kind of core it is for";

/// A kind of core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// For products of matrices.
    Cube,
    /// For vectors.
    Vector,
}

impl Core {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cube => "cube",
            Self::Vector => "vector",
        }
    }
}

impl Program {
    /// All that is taken for granted, of all rules or of some.
    pub fn all_assumptions(&self) -> Vec<&str> {
        let core = self.is_on_any_core.then_some(ANY_CORE);
        let somewhere = self.is_somewhere.then_some(address::ASSUMPTION);
        self.assumptions.iter().map(String::as_str).chain(core).chain(somewhere).collect()
    }

    /// Whether something is taken for granted that a rule rests on.
    pub fn is_assumed(&self, rule: Rule) -> bool {
        !self.assumptions.is_empty()
            || rule == Rule::Address && self.is_somewhere
            || rule == Rule::CorePipe && self.is_on_any_core
    }
}

impl Builder {
    /// The newest step names these pipes, which the core must have.
    pub fn names(&mut self, pipes: &[Pipe]) {
        let Some((core, lacking)) = &self.core else {
            self.program.is_on_any_core |= pipes.iter().any(|&pipe| self.shared.get(pipe) == Some(&false));
            return;
        };
        let mut lacking = pipes.iter().copied().filter(|&pipe| lacking.get(pipe) == Some(&true));
        if let Some(pipe) = lacking.next() {
            let (core, other) = (*core, lacking.next());
            self.fault(Fault::NoPipe { core, pipe, other });
        }
    }

    /// Whether the core lacks a pipe.
    pub fn lacks(&self, pipe: Pipe) -> bool {
        self.core.as_ref().is_some_and(|(_, lacking)| lacking.get(pipe) == Some(&true))
    }

    /// For each pipe whether every kind of core has it.
    pub fn shared_pipes(&mut self, shared: Vec<bool>) {
        self.shared = shared;
    }

    /// The kind of core that the next steps run on, and for each pipe whether it lacks it; none if it is not known.
    pub fn on_core(&mut self, core: Option<(Core, Vec<bool>)>) {
        self.core = core;
    }

    /// Judges the place of a piece of memory that the newest step touches, unless that was done before.
    pub(super) fn place(&mut self, memory: usize) {
        if std::mem::replace(&mut self.placed[memory], true) {
            return;
        }
        if let Some(what) = self.program.misplaced(memory) {
            let space = self.program.memories[memory].space();
            self.fault(Fault::Misplaced { subject: "the memory that it touches", space, what });
        }
        let is_anywhere = matches!(self.program.memories[memory], Memory::Anywhere { .. });
        self.program.is_somewhere |= is_anywhere && self.program.bounds_of(memory).is_some();
    }

    /// The place of a piece of memory is judged elsewhere: where its tile is given its address.
    pub fn is_placed(&mut self, memory: usize) {
        self.placed[memory] = true;
    }

    /// Some memory has an address that is not known.
    pub fn is_somewhere(&mut self) {
        self.program.is_somewhere = true;
    }

    /// Where memory may lie.
    pub fn bounds(&mut self, bounds: Vec<Bounds>) {
        self.program.bounds = bounds;
    }
}
