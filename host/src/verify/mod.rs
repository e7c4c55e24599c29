//! Judges the synchronization of a function, for all paths and all trip counts.
//!
//! A [`program::Program`] is what pipes and scalar unit do, in program order. [`verify`] decides for each [`Rule`]
//! whether some path breaks it: a dataflow finds all suspects, a search on single paths confirms or clears each, so a
//! finding comes with a shortest path. What must hold: a rule that is proved holds on every path; nothing here knows
//! how a pass chose a flag, and no code is shared with one.

pub mod address;
mod arithmetic;
mod balance;
pub mod build;
mod calls;
mod carried;
pub mod conditions;
mod drive;
mod extract;
mod feasible;
mod flow;
mod guarded;
mod hang;
pub mod inline;
mod judge;
mod machine;
pub mod memory;
pub mod path;
pub mod program;
mod reason;
pub mod report;
mod search;
mod suspects;
mod walk;
mod witness;
mod zone;

use std::collections::BTreeMap;

use judge::{Judged, judge};
pub use path::COUNTED_TRIPS;
use path::Path;
use program::{Key, Program, StepIndex};
pub use witness::{Location, Render, Value};

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
    /// A flag, barrier or instruction is of a pipe that the core does not have.
    CorePipe,
    /// Memory lies where it must not.
    Address,
    /// A call uses a flag within itself that is not free there.
    HiddenFlag,
    /// Another core is told of data that a pipe still works on.
    EarlyPublish,
    /// The function may return while a pipe works.
    UnfinishedWork,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 15] = [
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
        Self::CorePipe,
        Self::Address,
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
            Self::CorePipe => "verify::core-pipe",
            Self::Address => "verify::address",
            Self::HiddenFlag => "verify::hidden-flag",
            Self::EarlyPublish => "verify::early-publish",
            Self::UnfinishedWork => "verify::unfinished-work",
        }
    }

    /// The rule of that name in diagnostics.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.code() == code)
    }

    /// Whether it is about where memory lies and not about synchronization: no pipeline may write what breaks it.
    pub fn is_fatal(self) -> bool {
        self == Self::Address
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
            Self::CorePipe => "A flag, barrier or instruction is of a pipe that the core does not have.",
            Self::Address => {
                "Memory is not aligned, reaches out of its space, or lies in a buffer that is set apart."
            }
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
    /// Whether it is not known if that path exists: it depends on values that were not worked out.
    pub may_be: bool,
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
    /// What is taken for granted: what the program does not say, and what the judgement relies on beside it.
    pub assumptions: Vec<String>,
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

/// Findings of one rule and grade in a function that are told; beyond that they are counted.
const MAX_FINDINGS: usize = 50;

/// What comparisons of integers rely on where their bounds are not known.
const NO_OVERFLOW: &str = "integers in conditions do not overflow, nor do casts cut them off";

/// Judges a program.
pub fn verify(program: &Program, model: FlagModel) -> Judgement {
    verify_within(program, model, suspects::work(program))
}

/// What is wrong with a program whatever its synchronization: nothing is searched for.
pub fn fatal(program: &Program) -> Vec<Finding> {
    let mut findings = judge::faults(program);
    findings.retain(|f| f.rule.is_fatal());
    findings.truncate(MAX_FINDINGS);
    findings
}

/// Judges a program with no more than `work` steps of search.
fn verify_within(program: &Program, model: FlagModel, work: usize) -> Judgement {
    let Judged { mut findings, mut more, sampled, no_overflow } = judge(program, model, work);
    let mut assumptions: Vec<String> = program.all_assumptions().into_iter().map(str::to_owned).collect();
    assumptions.extend(no_overflow.then(|| NO_OVERFLOW.to_owned()));
    findings.sort_by_key(|f| (f.second, f.rule, f.first, f.key, std::cmp::Reverse(f.grade), f.memory));
    // Several accesses of one pair of statements are one finding; several addresses are not.
    let same = |f: &Finding| {
        let address = if f.rule == Rule::Address { f.detail.clone() } else { String::new() };
        (f.rule, f.first, f.second, f.key, address)
    };
    findings.dedup_by(|a, b| same(a) == same(b));
    let verdicts = Rule::ALL.map(|rule| {
        let mut of_rule = findings.iter().filter(|f| f.rule == rule).peekable();
        let verdict = if of_rule.peek().is_some() {
            if of_rule.any(|f| f.path.is_some() && !f.may_be) { Verdict::Broken } else { Verdict::Undecided }
        } else if let (Rule::Deadlock, Some(paths)) = (rule, sampled) {
            Verdict::Sampled(paths)
        } else if !program.is_assumed(rule) && !no_overflow {
            Verdict::Proved
        } else {
            Verdict::Assumed
        };
        (rule, verdict)
    });
    // Each grade for itself: an error is not left out because there are warnings before it.
    let mut told = BTreeMap::<(Rule, Grade), usize>::new();
    findings.retain(|f| {
        let told = told.entry((f.rule, f.grade)).or_default();
        *told += 1;
        if *told > MAX_FINDINGS {
            *more.entry(f.rule).or_default() += 1;
        }
        *told <= MAX_FINDINGS
    });
    Judgement { findings, more, verdicts: verdicts.to_vec(), assumptions }
}

#[cfg(test)]
mod tests {
    use super::memory::Memory;
    use super::program::{Access, Builder};
    use super::*;

    /// What was not decided is told as such: no error, and no proof.
    #[test]
    fn a_search_that_is_given_up_leaves_a_rule_undecided() {
        let mut b = Builder::new("early", &["S", "MTE2", "V"], Some(0));
        let row = b.memory(Memory::runs(1, 0, [1, 64, 64], false).expect("bytes"), "row");
        for _ in 0..20 {
            b.instruction(1, &[Access::new(row, true)]);
            b.barrier(Some(1));
        }
        b.instruction(2, &[Access::new(row, false)]);
        b.barrier(None);
        let program = b.finish();
        let judgement = verify_within(&program, FlagModel::Stall, 10);
        assert_eq!(judgement.verdict(Rule::DataRace), Verdict::Undecided);
        let [finding] = &judgement.findings[..] else { panic!("{:?}", judgement.findings) };
        assert_eq!((finding.grade, &finding.path), (Grade::Warning, &None));
        let render = Render { program: &program, source: "" };
        assert_eq!(render.message(finding), "not excluded: V may touch row while MTE2 works on it");

        let judgement = verify(&program, FlagModel::Stall);
        assert_eq!(judgement.verdict(Rule::DataRace), Verdict::Broken);
        assert_eq!(judgement.worst(), Some(Grade::Error));
    }

    /// Which of two sets a wait took is not known, so what lies behind a flag that is set twice is not called proved.
    #[test]
    fn a_flag_that_is_set_twice_orders_nothing_behind_it() {
        let mut b = Builder::new("twice", &["S", "MTE2", "V"], Some(0));
        let key = Key { src: 1, dst: 2, id: 0 };
        let [first, second] =
            [0, 64].map(|at| b.memory(Memory::runs(1, at, [1, 64, 64], false).expect("bytes"), ""));
        for row in [first, second] {
            b.instruction(1, &[Access::new(row, true)]);
            b.set(key);
        }
        b.wait(key);
        b.wait(key);
        b.instruction(2, &[Access::new(second, false)]);
        b.barrier(None);
        let judgement = verify(&b.finish(), FlagModel::Stall);
        assert_eq!(judgement.verdict(Rule::DoubleSet), Verdict::Broken);
        assert_eq!(judgement.verdict(Rule::DataRace), Verdict::Broken);
    }

    /// Fifty warnings of a rule do not hide an error of the same rule behind them.
    #[test]
    fn an_error_behind_many_warnings_is_told() {
        let (mut b, tile) = (Builder::new("many", &["S", "MTE2", "V"], Some(0)), 1);
        let somewhere = b.memory(Memory::Anywhere { space: tile, untraced: false, accumulator: false }, "");
        let row = b.memory(Memory::runs(tile, 0, [1, 64, 64], false).expect("bytes"), "");
        b.instruction(1, &[Access::new(row, true)]);
        for _ in 0..MAX_FINDINGS + 10 {
            b.instruction(2, &[Access::new(somewhere, false)]);
        }
        b.instruction(2, &[Access::new(row, false)]);
        b.barrier(None);
        let judgement = verify(&b.finish(), FlagModel::Stall);
        assert_eq!(judgement.worst(), Some(Grade::Error));
        assert_eq!(judgement.findings.len(), MAX_FINDINGS + 1);
        assert_eq!(judgement.more[&Rule::DataRace], 10);
    }
}
