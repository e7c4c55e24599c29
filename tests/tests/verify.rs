//! The prover against a second opinion, and on kernels of our own.

#[path = "verify/explorer.rs"]
mod explorer;
#[path = "verify/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};

use pipewright::verify::program::{Program, Step, StepIndex};
use pipewright::verify::{FlagModel, Rule, Verdict, verify};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Ways through a random program that are executed.
const PATHS: usize = 60;

/// Rules that the explorer knows.
const EXPLORED: [Rule; 9] = [
    Rule::DoubleSet,
    Rule::FlagReuse,
    Rule::WaitBeforeSet,
    Rule::UndrainedFlag,
    Rule::UnbalancedPath,
    Rule::Deadlock,
    Rule::DataRace,
    Rule::MissingBarrier,
    Rule::UnfinishedWork,
];

/// What the explorer sees on any of the program's paths, by freezing one step at a time.
fn seen_by_freezing(program: &Program) -> (BTreeSet<Rule>, bool) {
    let (paths, complete) = explorer::paths(program, PATHS);
    let mut seen = BTreeSet::new();
    for path in &paths {
        seen.extend(explorer::in_order(program, path));
        seen.extend(explorer::freeze(program, path));
    }
    if explorer::is_unbalanced(program, PATHS) {
        seen.insert(Rule::UnbalancedPath);
    }
    (seen, complete)
}

/// How often prover and explorer agree.
#[derive(Default)]
struct Tally {
    cases: usize,
    /// Programs in which the protocol of flags holds, all paths of which were executed.
    whole: usize,
    clean: usize,
    broken: BTreeMap<Rule, usize>,
    alarms: BTreeMap<Rule, usize>,
}

impl Tally {
    /// Whatever the explorer saw the prover must have reported.
    fn judge(
        &mut self,
        program: &Program,
        model: FlagModel,
        seen: &BTreeSet<Rule>,
        complete: bool,
    ) -> Result<(), TestCaseError> {
        let judgement = verify(program, model);
        let said: BTreeSet<Rule> = judgement.findings.iter().map(|f| f.rule).collect();
        for &rule in &EXPLORED {
            let verdict = judgement.verdict(rule);
            prop_assert!(
                !seen.contains(&rule) || verdict == Verdict::Broken,
                "the explorer sees {}, the prover says {verdict:?}\n{}",
                rule.name(),
                listing(program)
            );
            // Where the protocol is broken, the machine may hang before it gets to what else is wrong.
            let masked = breaks_protocol(&said) && !breaks_protocol(&BTreeSet::from([rule]));
            if seen.contains(&rule) {
                *self.broken.entry(rule).or_default() += 1;
            } else if said.contains(&rule) && complete && !masked {
                *self.alarms.entry(rule).or_default() += 1;
            }
        }
        self.cases += 1;
        self.whole += usize::from(complete && !breaks_protocol(&said));
        self.clean += usize::from(judgement.worst().is_none_or(|g| g < pipewright::verify::Grade::Warning));
        Ok(())
    }

    fn print(&self, title: &str) {
        let Self { cases, whole, clean, .. } = self;
        println!(
            "{title}: {cases} programs, {clean} without errors or warnings; in {whole} nothing masks anything"
        );
        for rule in EXPLORED {
            let [broken, alarms] = [&self.broken, &self.alarms].map(|m| m.get(&rule).copied().unwrap_or(0));
            println!("  {:<16} broken {broken:>6}, false alarms {alarms:>5}", rule.name());
        }
    }
}

/// Whether a flag is set twice or waited for in vain in program order.
fn breaks_protocol(rules: &BTreeSet<Rule>) -> bool {
    rules.contains(&Rule::DoubleSet) || rules.contains(&Rule::WaitBeforeSet)
}

/// A program as text, for a test that fails.
fn listing(program: &Program) -> String {
    let mut depth = 0;
    let mut text = String::new();
    for (i, step) in program.steps.iter().enumerate() {
        let line = match *step {
            Step::Instruction { pipe, .. } => {
                let accesses = program.accesses_of(i).iter();
                let accesses: Vec<String> =
                    accesses.map(|a| format!("{}m{}", if a.write { "w" } else { "r" }, a.memory)).collect();
                format!("{} {}", program.pipes[pipe], accesses.join(" "))
            }
            Step::Set(key) => format!("set {}", program.key_name(program.keys[key])),
            Step::Wait(key) => format!("wait {}", program.key_name(program.keys[key])),
            Step::Barrier(pipe) => format!("barrier {}", pipe.map_or("ALL", |p| &program.pipes[p])),
            Step::LoopBegin { trips, .. } => format!("loop {trips:?}"),
            ref other => format!("{other:?}"),
        };
        depth -= usize::from(matches!(step, Step::LoopEnd { .. } | Step::IfEnd));
        text += &format!("{i:>3} {:1$}{line}\n", "", depth * 2);
        depth += usize::from(matches!(step, Step::LoopBegin { .. } | Step::IfBegin { .. }));
    }
    text
}

fn genes(length: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), length / 4..length)
}

fn against_explorer(cases: u32) {
    let mut tally = Tally::default();
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let tally_cell = std::cell::RefCell::new(&mut tally);
    TestRunner::new(config)
        .run(&genes(120), |genes| {
            let program = random::program(&genes);
            let (seen, complete) = seen_by_freezing(&program);
            tally_cell.borrow_mut().judge(&program, FlagModel::Stall, &seen, complete)
        })
        .unwrap_or_else(|e| panic!("{e}"));
    tally.print("against the explorer");
}

#[test]
fn whatever_the_explorer_sees_the_prover_reports() {
    against_explorer(20_000);
}

#[test]
#[ignore = "takes minutes: a million programs"]
fn whatever_the_explorer_sees_the_prover_reports_at_length() {
    against_explorer(1_000_000);
}

/// All interleavings, on fewer programs: what freezing sees is what there is, and the prover knows what loses tokens.
#[test]
fn all_interleavings_show_no_more() {
    let mut tallies = [Tally::default(), Tally::default()];
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let cell = std::cell::RefCell::new(&mut tallies);
    TestRunner::new(config)
        .run(&genes(48), |genes| {
            let program = random::program(&genes);
            let (paths, complete) = explorer::paths(&program, 8);
            let unbalanced = explorer::is_unbalanced(&program, 8).then_some(Rule::UnbalancedPath);
            for (model, tally) in
                [FlagModel::Stall, FlagModel::Lose].into_iter().zip(cell.borrow_mut().iter_mut())
            {
                let (mut all, mut frozen) =
                    (BTreeSet::from_iter(unbalanced), BTreeSet::from_iter(unbalanced));
                let mut complete = complete;
                for path in &paths {
                    let order = explorer::in_order(&program, path);
                    let Some(seen) = explorer::explore(&program, path, model, 3_000) else {
                        complete = false;
                        continue;
                    };
                    if model == FlagModel::Stall {
                        let quick = explorer::freeze(&program, path);
                        // Only where a set may have to wait can the two differ, and only one way.
                        let waits = quick.contains(&Rule::FlagReuse) || order.contains(&Rule::DoubleSet);
                        prop_assert!(seen.is_subset(&quick), "{seen:?}, {quick:?}\n{}", listing(&program));
                        prop_assert!(waits || seen == quick, "{seen:?}, {quick:?}\n{}", listing(&program));
                        frozen.extend(quick);
                    }
                    all.extend(order);
                    all.extend(seen);
                }
                tally.judge(&program, model, &all, complete)?;
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    tallies[0].print("all interleavings, stall");
    tallies[1].print("all interleavings, lose");
}

/// Every path that the prover shows does what the prover says.
#[test]
fn every_witness_is_confirmed() {
    let config = Config { cases: 4_000, failure_persistence: None, ..Config::default() };
    let confirmed = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&genes(120), |genes| {
            let program = random::program(&genes);
            let judgement = verify(&program, FlagModel::Stall);
            let broken = breaks_protocol(&judgement.findings.iter().map(|f| f.rule).collect());
            for finding in &judgement.findings {
                let path: &[StepIndex] = finding.path.as_deref().unwrap_or(&[]);
                prop_assert!(!path.is_empty(), "no path for {}\n{}", finding.rule.name(), listing(&program));
                prop_assert!(is_path(&program, path), "{:?} is no path\n{}", path, listing(&program));
                let mut seen = explorer::in_order(&program, path);
                seen.extend(explorer::freeze(&program, path));
                let masked =
                    broken && !matches!(finding.rule, Rule::DoubleSet | Rule::WaitBeforeSet | Rule::Deadlock);
                if finding.rule != Rule::UnbalancedPath && !masked {
                    prop_assert!(
                        seen.contains(&finding.rule),
                        "{} is not seen on {:?}\n{}",
                        finding.rule.name(),
                        path,
                        listing(&program)
                    );
                }
                confirmed.set(confirmed.get() + usize::from(!masked));
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    println!("{} witnesses confirmed", confirmed.get());
}

/// Whether each step can follow the one before.
fn is_path(program: &Program, path: &[StepIndex]) -> bool {
    let follows = |a: StepIndex, b: StepIndex| match program.steps[a] {
        Step::IfBegin { middle, .. } => b == a + 1 || b == middle + 1,
        Step::Else { end } => b == end,
        Step::LoopTest { end, .. } => b == a + 1 || b == end + 1,
        Step::LoopEnd { begin } => b == begin + 1,
        Step::Exit => false,
        _ => b == a + 1,
    };
    path.first() == Some(&0) && path.windows(2).all(|w| follows(w[0], w[1]))
}
