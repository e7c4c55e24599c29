//! Simulates the pipes of one core: when every statement runs, and what it waits for.
//!
//! [`simulate`] runs a [`Program`] on the target's costs and gives cycles, stalls with their reason, what each
//! synchronization statement costs and the critical path. It ranks plans of one kernel; absolute times are rough. What
//! must hold: the result is a function of program, prices and setup; whatever is assumed, sampled or left out stands
//! in [`Simulation::notes`].

mod accounts;
pub mod control;
pub mod cost;
mod lines;
mod machine;
pub mod price;
mod records;
pub mod svg;
pub mod timeline;
pub mod trace;
mod walk;

use std::collections::BTreeMap;

use pipewright_abi::ir::Module;

use self::control::Control;
pub use self::lines::Lines;
use self::price::Prices;
use self::timeline::Timeline;
use crate::verify::FlagModel;
use crate::verify::program::{Program, StepIndex};

/// How a program is run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What a set does on a flag that is still set.
    pub model: FlagModel,
    /// Trips of loops by the name of their induction variable, and values by their names.
    pub given: BTreeMap<String, i64>,
    /// Trips of loops of which nothing else is known.
    pub default_trips: u64,
    /// A loop with more statements to execute than this, inner loops included, is sampled.
    pub budget: u64,
    /// Statements of which times are kept, for timeline and critical path.
    pub most_records: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            model: FlagModel::Stall,
            given: BTreeMap::new(),
            default_trips: 8,
            budget: 1_000_000,
            most_records: 2_000_000,
        }
    }
}

/// What a simulation found.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Cycles until all is done; none if it hung.
    pub cycles: Option<u64>,
    /// Statements executed, those of loops that were cut short included.
    pub executed: u64,
    /// Statements whose execution was worked out one by one.
    pub simulated: u64,
    /// For each pipe the cycles in which it worked, and those in which it did not, in the order of
    /// [`timeline::Reason::ALL`].
    pub pipes: Vec<PipeTimes>,
    /// Steps at which the machine hangs, that of the scalar unit first; empty if it came to its end.
    pub hangs_at: Vec<StepIndex>,
    /// What was assumed, sampled or lost.
    pub notes: Vec<String>,
    /// Loops that were cut short and whose skipped trips may not be like those that were simulated.
    pub extrapolated: usize,
    /// Names in [`Setup::given`] that the program has.
    pub named: Vec<String>,
    accounts: accounts::Accounts,
}

/// How a pipe spent its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeTimes {
    /// Its name.
    pub pipe: String,
    /// Cycles of work.
    pub busy: u64,
    /// Cycles without work, by reason.
    pub stalls: [u64; timeline::Reason::ALL.len()],
}

/// Runs a program of a function of `module`.
pub fn simulate(program: &Program, module: &Module<'_>, prices: &Prices, setup: &Setup) -> Simulation {
    let control = Control::new(program, module, &setup.given);
    let (machine, way) = walk::run(program, &control, prices, setup);
    let source = std::str::from_utf8(module.source).unwrap_or("");
    let lines = Lines::new(source);
    let notes = accounts::notes(program, &lines, &way, machine.lost_tokens, &prices.unlisted);
    accounts::settle(program, machine, way, notes, control.named)
}

impl Simulation {
    /// The statements at which the machine hangs, for people.
    pub fn deadlock(&self, program: &Program, source: &str) -> Vec<String> {
        let lines = Lines::new(source);
        self.hangs_at.iter().map(|&step| lines.text(program, step)).collect()
    }

    /// What runs when, with at most `most_spans` spans in all lanes together.
    pub fn timeline(&self, program: &Program, source: &str, most_spans: usize) -> Timeline {
        accounts::timeline(self, program, source, most_spans)
    }
}
