//! Judges the synchronization of a function, for all paths and all trip counts.
//!
//! A [`program::Program`] is what pipes and scalar unit do, in program order. [`verify`] decides for each [`Rule`]
//! whether some path breaks it: a dataflow finds all suspects, a search on single paths confirms or clears each, so a
//! finding comes with a shortest path. What must hold: a rule that is proved holds on every path; nothing here knows
//! how a pass chose a flag, and no code is shared with one.

mod balance;
pub mod build;
mod calls;
mod carried;
mod flow;
mod hang;
pub mod memory;
pub mod path;
pub mod program;
pub mod report;
mod search;
mod suspects;
mod witness;

use std::collections::BTreeMap;

use flow::{SlotKind, Slots, Suspect};
pub use path::COUNTED_TRIPS;
use path::{First, Path, Shape};
use program::{Buffer, Fault, Key, Program, Step, StepIndex, UNBOUND};
use suspects::Found;
pub use witness::{Location, Render};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A flag is set again before its wait, in program order.
    DoubleSet,
    /// A flag may be set while its previous token is not taken yet: program order alternates, the pipes do not.
    FlagReuse,
    /// A wait comes before its set.
    WaitBeforeSet,
    /// A flag is left set when the function returns.
    UndrainedFlag,
    /// The ways through a branch or loop leave a flag in different states.
    UnbalancedPath,
    /// The pipes come to rest with work left.
    Deadlock,
    /// Two pipes may touch the same memory at the same time, one writing.
    DataRace,
    /// The same on one pipe.
    MissingBarrier,
    /// A flag that the machine does not have or that is not the kernel's to use.
    EventId,
    /// A barrier of a pipe that takes none.
    BarrierPipe,
    /// A call uses a flag within itself that is not free there.
    HiddenFlag,
    /// Another core is told of data that a pipe still works on.
    EarlyPublish,
    /// The function may return while a pipe works.
    UnfinishedWork,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 13] = [
        Self::DoubleSet,
        Self::FlagReuse,
        Self::WaitBeforeSet,
        Self::UndrainedFlag,
        Self::UnbalancedPath,
        Self::Deadlock,
        Self::DataRace,
        Self::MissingBarrier,
        Self::EventId,
        Self::BarrierPipe,
        Self::HiddenFlag,
        Self::EarlyPublish,
        Self::UnfinishedWork,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        self.code().trim_start_matches("verify::")
    }

    /// Its name in diagnostics.
    pub fn code(self) -> &'static str {
        match self {
            Self::DoubleSet => "verify::double-set",
            Self::FlagReuse => "verify::flag-reuse",
            Self::WaitBeforeSet => "verify::wait-before-set",
            Self::UndrainedFlag => "verify::undrained-flag",
            Self::UnbalancedPath => "verify::unbalanced-path",
            Self::Deadlock => "verify::deadlock",
            Self::DataRace => "verify::data-race",
            Self::MissingBarrier => "verify::missing-barrier",
            Self::EventId => "verify::event-id",
            Self::BarrierPipe => "verify::barrier-pipe",
            Self::HiddenFlag => "verify::hidden-flag",
            Self::EarlyPublish => "verify::early-publish",
            Self::UnfinishedWork => "verify::unfinished-work",
        }
    }

    /// What is wrong where it is broken, one sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::DoubleSet => "On some path a flag is set, and set again before it is waited for.",
            Self::FlagReuse => {
                "On some path nothing makes a set wait until the previous token of its flag was taken."
            }
            Self::WaitBeforeSet => "On some path a flag is waited for before it is set.",
            Self::UndrainedFlag => "On some path a flag is left set when the function returns.",
            Self::UnbalancedPath => {
                "The arms of a branch, or the trips of a loop, leave a flag with different numbers of tokens."
            }
            Self::Deadlock => "On some path the pipes come to rest with work left.",
            Self::DataRace => {
                "On some path two pipes may work on the same bytes at once, one of them writing."
            }
            Self::MissingBarrier => {
                "On some path a pipe may work on bytes before its own earlier work on them is done."
            }
            Self::EventId => "A flag has no id, one that the target does not have, or one that is reserved.",
            Self::BarrierPipe => "A barrier names a pipe that takes none.",
            Self::HiddenFlag => "On some path a call uses a flag within itself that is not clear there.",
            Self::EarlyPublish => {
                "On some path another core is signalled while a pipe may still work on global memory."
            }
            Self::UnfinishedWork => "On some path the function may return while a pipe works.",
        }
    }
}

/// What a set does on a flag that is still set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlagModel {
    /// It waits until the flag is taken.
    #[default]
    Stall,
    /// It has no effect: a token is lost.
    Lose,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Worth knowing.
    Advice,
    /// It relies on something that is not documented or not known.
    Warning,
    /// Some execution goes wrong.
    Error,
}

impl Grade {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A rule that is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How bad it is.
    pub grade: Grade,
    /// The earlier of the two statements in program order on the path, if there are two.
    pub first: Option<StepIndex>,
    /// How often the path executes `first` again, before its end, without it being the one that is meant: it then has
    /// to do with other memory.
    pub later: usize,
    /// The statement at which it happens.
    pub second: StepIndex,
    /// The flag, for the rules about flags.
    pub key: Option<Key>,
    /// The memory that the two statements touch, for the rules about memory.
    pub memory: Option<[usize; 2]>,
    /// What a fault or an imbalance consists of, in words; empty otherwise.
    pub detail: String,
    /// A shortest path on which it happens, which ends with `second`. Empty for what holds on every path; none if it
    /// was not decided whether there is one.
    pub path: Option<Path>,
}

/// What is known of a rule in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds on every path.
    Proved,
    /// It holds on every path if the assumptions do.
    Assumed,
    /// It held on this many paths; that is no proof.
    Sampled(usize),
    /// It may be broken: a search was given up.
    Undecided,
    /// It is broken.
    Broken,
}

/// The judgement of one function.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// What is wrong, in program order.
    pub findings: Vec<Finding>,
    /// How many more findings of a rule there are.
    pub more: BTreeMap<Rule, usize>,
    /// For each rule what is known.
    pub verdicts: Vec<(Rule, Verdict)>,
}

impl Judgement {
    /// The worst grade among the findings.
    pub fn worst(&self) -> Option<Grade> {
        self.findings.iter().map(|f| f.grade).max()
    }

    /// What is known of a rule.
    pub fn verdict(&self, rule: Rule) -> Verdict {
        self.verdicts.iter().find(|(r, _)| *r == rule).map_or(Verdict::Broken, |(_, v)| *v)
    }
}

/// Findings of one rule in a function that are told; beyond that they are counted.
const MAX_FINDINGS: usize = 50;

/// Judges a program.
pub fn verify(program: &Program, model: FlagModel) -> Judgement {
    let slots = Slots::new(program);
    let flow = flow::flow(program, &slots);
    let shape = Shape::new(program);
    let mut judge = Judge { program, slots, flow, shape, model, findings: Vec::new(), more: BTreeMap::new() };
    judge.faults();
    judge.suspects();
    judge.imbalances();
    let sampled = judge.deadlock();

    let Judge { mut findings, mut more, .. } = judge;
    findings.sort_by_key(|f| (f.second, f.rule, f.first, f.key, std::cmp::Reverse(f.grade), f.memory));
    // Several accesses of one pair of statements are one finding.
    findings.dedup_by(|a, b| (a.rule, a.first, a.second, a.key) == (b.rule, b.first, b.second, b.key));
    let verdicts = Rule::ALL.map(|rule| {
        let mut of_rule = findings.iter().filter(|f| f.rule == rule).peekable();
        let verdict = if of_rule.peek().is_some() {
            if of_rule.any(|f| f.path.is_some()) { Verdict::Broken } else { Verdict::Undecided }
        } else if let (Rule::Deadlock, Some(paths)) = (rule, sampled) {
            Verdict::Sampled(paths)
        } else if program.assumptions.is_empty() {
            Verdict::Proved
        } else {
            Verdict::Assumed
        };
        (rule, verdict)
    });
    let mut told = BTreeMap::<Rule, usize>::new();
    findings.retain(|f| {
        let told = told.entry(f.rule).or_default();
        *told += 1;
        if *told > MAX_FINDINGS {
            *more.entry(f.rule).or_default() += 1;
        }
        *told <= MAX_FINDINGS
    });
    Judgement { findings, more, verdicts: verdicts.to_vec() }
}

struct Judge<'a> {
    program: &'a Program,
    slots: Slots,
    flow: flow::Flow,
    shape: Shape,
    model: FlagModel,
    findings: Vec<Finding>,
    more: BTreeMap<Rule, usize>,
}

impl Judge<'_> {
    /// Statements that name what the machine does not have.
    fn faults(&mut self) {
        let p = self.program;
        for &(step, fault) in &p.faults {
            let (rule, grade, key, detail) = match fault {
                Fault::Missing { src, dst } => {
                    let detail = format!("the pair {}>{} has no event id", p.pipes[src], p.pipes[dst]);
                    (Rule::EventId, Grade::Error, None, detail)
                }
                Fault::OutOfRange { key, count } => {
                    let detail = format!("ids are below {count}");
                    (Rule::EventId, Grade::Error, Some(key), detail)
                }
                Fault::Reserved { key } => {
                    let detail = "the id is reserved: library calls use it within themselves".into();
                    (Rule::EventId, Grade::Warning, Some(key), detail)
                }
                Fault::Ends { key } => {
                    let detail = "these two pipes share no flag".into();
                    (Rule::EventId, Grade::Error, Some(key), detail)
                }
                Fault::ScalarBarrier => {
                    let detail = "the scalar pipe takes no barrier: it works in program order".into();
                    (Rule::BarrierPipe, Grade::Error, None, detail)
                }
            };
            let path = Some(Path::default());
            self.findings.push(Finding {
                rule,
                grade,
                first: None,
                later: 0,
                second: step,
                key,
                memory: None,
                detail,
                path,
            });
        }
    }

    /// What the dataflow could not exclude, as far as it happens on a path.
    fn suspects(&mut self) {
        let exit = self.program.steps.len() - 1;
        let all = suspects::look_for(self.program, &self.shape, &self.slots, &self.flow, MAX_FINDINGS);
        for (suspect, slot, found) in all {
            let (second, key) = match suspect {
                Suspect::Conflict { step, .. } | Suspect::Early { step, .. } => (step, None),
                Suspect::Reuse { step }
                | Suspect::DoubleSet { step }
                | Suspect::EarlyWait { step }
                | Suspect::Hidden { step } => (step, self.program.key_of(step)),
                Suspect::Undrained { key } => (exit, Some(key)),
                Suspect::Unfinished { .. } => (exit, None),
            };
            self.confirm(self.rule_of(suspect), found, second, key, slot);
        }
    }

    fn rule_of(&self, suspect: Suspect) -> Rule {
        match suspect {
            Suspect::Conflict { step, slot } => {
                if self.program.pipe_of(step) == Some(self.slots.slots[slot].pipe) {
                    Rule::MissingBarrier
                } else {
                    Rule::DataRace
                }
            }
            Suspect::Reuse { .. } => Rule::FlagReuse,
            Suspect::Early { .. } => Rule::EarlyPublish,
            Suspect::Hidden { .. } => Rule::HiddenFlag,
            // A flag that a call sets and takes itself.
            Suspect::DoubleSet { step } | Suspect::EarlyWait { step }
                if self.program.call_of(step).is_some() =>
            {
                Rule::HiddenFlag
            }
            Suspect::DoubleSet { .. } => Rule::DoubleSet,
            Suspect::EarlyWait { .. } => Rule::WaitBeforeSet,
            Suspect::Undrained { .. } => Rule::UndrainedFlag,
            Suspect::Unfinished { .. } => Rule::UnfinishedWork,
        }
    }

    fn confirm(
        &mut self,
        rule: Rule,
        found: Found,
        second: StepIndex,
        key: Option<usize>,
        slot: Option<usize>,
    ) {
        let program = self.program;
        let is_first = |step: StepIndex, buffers: &[Buffer]| match (slot, key) {
            _ if program.in_call_order(step, second) => false,
            (Some(slot), _) => {
                self.slots.of(step).contains(&slot)
                    && suspects::is_in_slot(program, step, self.slots.slots[slot], buffers)
            }
            (None, Some(key)) if rule == Rule::WaitBeforeSet => program.steps[step] == Step::Wait(key),
            (None, Some(key)) if rule == Rule::HiddenFlag => {
                matches!(program.steps[step], Step::Set(k) | Step::Wait(k) if k == key)
            }
            (None, Some(key)) => program.steps[step] == Step::Set(key),
            _ => false,
        };
        let mut buffers = vec![UNBOUND; program.carried];
        let (path, first) = match found {
            Found::On(path) => {
                let first = path.last(program, &mut buffers, is_first);
                (Some(path), first)
            }
            Found::Somewhere => {
                *self.more.entry(rule).or_default() += 1;
                return;
            }
            Found::Undecided => {
                let mut all = (0..second).rev().chain(second..program.steps.len());
                (None, all.find(|&step| is_first(step, &[])).map(|step| First { step, later: 0 }))
            }
        };
        let memory = slot.and_then(|slot| match self.slots.slots[slot].what {
            SlotKind::Access { memory, write } => {
                let theirs = &program.memories[memory];
                let touches = |a: &&program::Access| program.memories[a.memory].overlaps(theirs);
                let happens = |a: &&program::Access| path.is_none() || a.happens(&buffers);
                let mine = program.accesses_of(second).iter().filter(touches).filter(happens);
                // Of several accesses the one that makes it a conflict for sure.
                let mine = mine.max_by_key(|a| (a.write || write, a.write))?;
                Some([memory, mine.memory])
            }
            _ => None,
        });
        let assumed = memory.is_some_and(|[a, b]| program.memories[a].is_assumed(&program.memories[b]));
        let settled =
            rule == Rule::MissingBarrier && memory.is_some_and(|[a, b]| a == b && program.is_settled(a));
        let detail = if settled {
            "the accumulator is so large that the first is done in time".into()
        } else if assumed {
            "an address is not known, so an overlap is assumed".into()
        } else {
            String::new()
        };
        let grade = match rule {
            Rule::FlagReuse if self.model == FlagModel::Stall => Grade::Warning,
            Rule::UnfinishedWork => Grade::Advice,
            _ if settled => Grade::Advice,
            // What a signal that goes with a pipe announces, only its author knows.
            Rule::EarlyPublish if program.pipe_of(second) != program.scalar => Grade::Warning,
            _ if assumed || path.is_none() => Grade::Warning,
            _ => Grade::Error,
        };
        let key = key.map(|k| program.keys[k]);
        let (first, later) = first.map_or((None, 0), |f| (Some(f.step), f.later));
        self.findings.push(Finding { rule, grade, first, later, second, key, memory, detail, path });
    }

    fn imbalances(&mut self) {
        for found in balance::unbalanced(self.program) {
            let net = found.net.map(|n| n.map_or("a varying number of".into(), |n| format!("{n:+}")));
            let is_loop = matches!(self.program.steps[found.construct], Step::LoopBegin { .. });
            let detail = if is_loop {
                format!("each trip changes it by {} tokens", net[0])
            } else {
                format!("the then part changes it by {} tokens, the else part by {}", net[0], net[1])
            };
            let key = Some(self.program.keys[found.key]);
            let path = Some(self.shape.path_to(self.program, found.construct));
            let (rule, grade) = (Rule::UnbalancedPath, Grade::Error);
            self.findings.push(Finding {
                rule,
                grade,
                first: None,
                later: 0,
                second: found.construct,
                key,
                memory: None,
                detail,
                path,
            });
        }
    }

    /// Looks for a deadlock where one is possible. The number of paths executed, if that is all that is known.
    fn deadlock(&mut self) -> Option<usize> {
        let breaks = |rules: &[Rule]| self.findings.iter().any(|f| rules.contains(&f.rule));
        let protocol = [Rule::DoubleSet, Rule::WaitBeforeSet, Rule::HiddenFlag];
        let losing = [Rule::FlagReuse, Rule::DoubleSet, Rule::HiddenFlag];
        let loses = self.model == FlagModel::Lose && breaks(&losing);
        if loses {
            let lost = |f: &&Finding| losing.contains(&f.rule);
            let lost: Vec<Finding> = self.findings.iter().filter(lost).cloned().collect();
            for finding in lost {
                let detail = "a set of a flag that is still set is lost, and a later wait hangs".into();
                self.findings.push(Finding { rule: Rule::Deadlock, grade: Grade::Error, detail, ..finding });
            }
            return None;
        }
        if !breaks(&protocol) {
            return None;
        }
        let (hang, paths) = hang::hang(self.program, self.model);
        let Some(hang) = hang else { return Some(paths) };
        let program = self.program;
        let names: Vec<String> = hang
            .stuck
            .iter()
            .filter_map(|&step| match program.steps[step] {
                Step::Set(key) => Some(format!(
                    "{} at a set of {}",
                    program.pipes[program.keys[key].src],
                    program.key_name(program.keys[key])
                )),
                Step::Wait(key) => Some(format!(
                    "{} at a wait for {}",
                    program.pipes[program.keys[key].dst],
                    program.key_name(program.keys[key])
                )),
                _ => None,
            })
            .collect();
        let detail = format!("stuck: {}", names.join(", "));
        let second = hang.stuck[0];
        let key = match program.steps[second] {
            Step::Set(key) | Step::Wait(key) => Some(program.keys[key]),
            _ => None,
        };
        let first = hang.stuck.get(1).copied();
        let (rule, grade, path) = (Rule::Deadlock, Grade::Error, Some(Path::of(&hang.path)));
        let later = 0;
        self.findings.push(Finding { rule, grade, first, later, second, key, memory: None, detail, path });
        None
    }
}
