//! The prover on random programs: nothing that the explorer sees is missed, and nothing is made up.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use pipewright::verify::memory::Memory;
use pipewright::verify::program::{Access, Builder, Key, Program, Step, StepIndex};
use pipewright::verify::{FlagModel, Rule, Verdict, verify};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::confirm::{Confirmation, breaks_protocol, confirm};
use crate::explorer::{self, Reset};
use crate::random;

/// Ways through a random program that are executed.
const PATHS: usize = 60;

/// Rules that the explorer knows.
pub(crate) const EXPLORED: [Rule; 11] = [
    Rule::DoubleSet,
    Rule::FlagReuse,
    Rule::WaitBeforeSet,
    Rule::UndrainedFlag,
    Rule::UnbalancedPath,
    Rule::Deadlock,
    Rule::DataRace,
    Rule::MissingBarrier,
    Rule::HiddenFlag,
    Rule::EarlyPublish,
    Rule::UnfinishedWork,
];

/// What the explorer sees on any of the program's paths, by freezing one step at a time.
fn seen_by_freezing(program: &Program) -> (BTreeSet<Rule>, bool) {
    let (paths, complete) = explorer::paths(program, PATHS);
    let mut seen = BTreeSet::new();
    for path in &paths {
        seen.extend(explorer::in_order(program, path));
        seen.extend(explorer::freeze(program, path, Reset::Stalls));
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
                // It may take more trips than the explorer tries: then the path that the prover shows decides.
                let mut paths =
                    judgement.findings.iter().filter(|f| f.rule == rule).filter_map(|f| f.path.as_ref());
                let real =
                    paths.any(|path| explorer::in_order(program, &path.steps(program)).contains(&rule));
                *self.alarms.entry(rule).or_default() += usize::from(!real);
            }
        }
        self.cases += 1;
        self.whole += usize::from(complete && !breaks_protocol(&said));
        self.clean += usize::from(judgement.worst().is_none_or(|g| g < pipewright::verify::Grade::Warning));
        Ok(())
    }

    fn plus(mut self, other: Self) -> Self {
        let add = |into: &mut BTreeMap<Rule, usize>, from: BTreeMap<Rule, usize>| {
            from.into_iter().for_each(|(rule, n)| *into.entry(rule).or_default() += n);
        };
        self.cases += other.cases;
        self.whole += other.whole;
        self.clean += other.clean;
        add(&mut self.broken, other.broken);
        add(&mut self.alarms, other.alarms);
        self
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

/// A program as text, for a test that fails.
pub(crate) fn listing(program: &Program) -> String {
    let mut depth = 0;
    let mut text = String::new();
    for (i, step) in program.steps.iter().enumerate() {
        let line = match *step {
            Step::Instruction { pipe, .. } => {
                let accesses = program.accesses_of(i).iter();
                let accesses: Vec<String> = accesses
                    .map(|a| {
                        let only = a.only.map_or(String::new(), |c| format!("?t{}=b{}", c.tile, c.buffer));
                        format!("{}m{}{only}", if a.write { "w" } else { "r" }, a.memory)
                    })
                    .collect();
                format!("{} {}", program.pipes[pipe], accesses.join(" "))
            }
            Step::Set(key) => format!("set {}", program.key_name(program.keys[key])),
            Step::Wait(key) => format!("wait {}", program.key_name(program.keys[key])),
            Step::Uses(key) => format!("uses {}", program.key_name(program.keys[key])),
            Step::Publish(signal) => format!("signal {:?}", program.signals[signal]),
            Step::Barrier(pipe) => format!("barrier {}", pipe.map_or("ALL", |p| &program.pipes[p])),
            Step::Bind { first, count } => format!("bind {:?}", &program.bindings[first..first + count]),
            Step::LoopBegin { trips, .. } => format!("loop {trips:?}"),
            ref other => format!("{other:?}"),
        };
        depth -= usize::from(matches!(step, Step::LoopEnd { .. } | Step::IfEnd));
        let call =
            if program.calls[i] == 0 { String::new() } else { format!("  in call {}", program.calls[i]) };
        text += &format!("{i:>3} {:1$}{line}{call}\n", "", depth * 2);
        depth += usize::from(matches!(step, Step::LoopBegin { .. } | Step::IfBegin { .. }));
    }
    text
}

fn genes(length: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), length / 4..length)
}

/// Runs a test on `cases` random programs made from up to `length` numbers, on as many threads as `seeds`.
fn on_random_programs<T: Default + Send>(
    cases: u32,
    length: usize,
    seeds: &[TestRng],
    test: impl Fn(&Program, &mut T) -> Result<(), TestCaseError> + Sync,
) -> Vec<T> {
    let run = |rng: &TestRng| {
        let state = RefCell::new(T::default());
        let cases = cases / seeds.len() as u32;
        let config =
            Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
        TestRunner::new_with_rng(config, rng.clone())
            .run(&genes(length), |genes| test(&random::program(&genes), &mut state.borrow_mut()))
            .unwrap_or_else(|e| panic!("{e}"));
        state.into_inner()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = seeds.iter().map(|seed| scope.spawn(|| run(seed))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    })
}

/// The same programs with every run: a change of ours, not luck, decides whether a test passes.
fn fixed_seeds() -> Vec<TestRng> {
    (0..4).map(|n| TestRng::from_seed(RngAlgorithm::ChaCha, &[n; 32])).collect()
}

fn random_seeds() -> Vec<TestRng> {
    (0..4).map(|_| TestRunner::new(Config::default()).new_rng()).collect()
}

fn against_explorer(cases: u32, seeds: &[TestRng]) {
    let tallies = on_random_programs(cases, 120, seeds, |program, tally: &mut Tally| {
        let (seen, complete) = seen_by_freezing(program);
        tally.judge(program, FlagModel::Stall, &seen, complete)
    });
    tallies.into_iter().reduce(Tally::plus).unwrap_or_default().print("against the explorer");
}

#[test]
fn whatever_the_explorer_sees_the_prover_reports() {
    against_explorer(20_000, &fixed_seeds());
}

#[test]
#[ignore = "takes half an hour: a million programs, other ones with every run"]
fn whatever_the_explorer_sees_the_prover_reports_at_length() {
    against_explorer(1_000_000, &random_seeds());
}

/// All interleavings, on fewer programs: what freezing sees is what there is, and the prover knows what loses tokens.
#[test]
fn all_interleavings_show_no_more() {
    let tallies = on_random_programs(300, 48, &fixed_seeds(), |program, tallies: &mut [Tally; 2]| {
        let (paths, complete) = explorer::paths(program, 8);
        let unbalanced = explorer::is_unbalanced(program, 8).then_some(Rule::UnbalancedPath);
        let models = [(FlagModel::Stall, Reset::Stalls), (FlagModel::Lose, Reset::Loses)];
        for ((model, reset), tally) in models.into_iter().zip(tallies) {
            let mut all = BTreeSet::from_iter(unbalanced);
            let mut complete = complete;
            for path in &paths {
                let order = explorer::in_order(program, path);
                let Some(seen) = explorer::explore(program, path, reset, 3_000) else {
                    complete = false;
                    continue;
                };
                if reset == Reset::Stalls {
                    let quick = explorer::freeze(program, path, reset);
                    // Only where a set may have to wait can the two differ, and only one way.
                    let waits = quick.contains(&Rule::FlagReuse) || order.contains(&Rule::DoubleSet);
                    prop_assert!(seen.is_subset(&quick), "{seen:?}, {quick:?}\n{}", listing(program));
                    prop_assert!(waits || seen == quick, "{seen:?}, {quick:?}\n{}", listing(program));
                }
                all.extend(order);
                all.extend(seen);
            }
            tally.judge(program, model, &all, complete)?;
        }
        Ok(())
    });
    let both = tallies.into_iter().reduce(|[a, b], [c, d]| [a.plus(c), b.plus(d)]);
    let [stall, lose] = both.unwrap_or_default();
    stall.print("all interleavings, stall");
    lose.print("all interleavings, lose");
}

/// Every path that the prover shows does what the prover says.
fn witnesses(cases: u32, seeds: &[TestRng]) {
    let all = on_random_programs(cases, 120, seeds, |program, tally: &mut BTreeMap<Confirmation, usize>| {
        let judgement = verify(program, FlagModel::Stall);
        for finding in &judgement.findings {
            let found = confirm(program, &judgement, finding);
            let doubt = found == Confirmation::Unseen;
            prop_assert!(!doubt, "nobody sees {finding:?}\n{}", listing(program));
            *tally.entry(found).or_default() += 1;
        }
        Ok(())
    });
    let sum = |what| all.iter().filter_map(|tally| tally.get(&what)).sum::<usize>();
    println!(
        "witnesses: {} confirmed, {} where no set waits, {} behind a broken protocol",
        sum(Confirmation::Seen),
        sum(Confirmation::SeenWithoutStalls),
        sum(Confirmation::Masked)
    );
}

#[test]
fn every_witness_is_confirmed() {
    witnesses(10_000, &fixed_seeds());
}

#[test]
#[ignore = "takes half an hour: a million programs, other ones with every run"]
fn every_witness_is_confirmed_at_length() {
    witnesses(1_000_000, &random_seeds());
}

/// The smallest program in which a set that waits is all that keeps two instructions apart.
#[test]
fn that_a_set_waits_is_not_taken_for_granted() {
    let [load, vector, store] = [1, 2, 3];
    let mut b = Builder::new("stall", &random::PIPES, Some(0));
    let row = b.memory(Memory::runs(1, 0, [1, 64, 64], false).expect("bytes"), "row");
    let write = [Access::new(row, true)];
    b.instruction(load, &write);
    let mut pair = |src| {
        let key = Key { src, dst: vector, id: 0 };
        b.set(key);
        b.wait(key);
    };
    pair(load);
    pair(store);
    pair(store);
    b.barrier(Some(store));
    b.instruction(store, &write);
    b.barrier(None);
    let program = b.finish();

    let said: Vec<Rule> = verify(&program, FlagModel::Stall).findings.iter().map(|f| f.rule).collect();
    assert_eq!(said, [Rule::FlagReuse, Rule::DataRace]);
    let path: Vec<StepIndex> = (0..program.steps.len()).collect();
    let stalls = explorer::freeze(&program, &path, Reset::Stalls);
    assert_eq!(Vec::from_iter(stalls), [Rule::FlagReuse]);
    let counts = explorer::freeze(&program, &path, Reset::Counts);
    assert_eq!(Vec::from_iter(counts), [Rule::FlagReuse, Rule::DataRace]);
}
