//! The prover on random programs with conditions: what goes wrong with some values is not proved right, and what is shown to
//! go wrong with some values does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use pipewright::verify::{FlagModel, Rule, Verdict, verify};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::conditional::{Case, case, values};
use crate::confirm::breaks_protocol;
use crate::explorer::{self, Reset};
use crate::soundness::{EXPLORED, listing};

/// How often prover and explorer agree.
#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    clean: usize,
    /// Rules that are broken with some values.
    broken: BTreeMap<Rule, usize>,
    /// Of findings with values those that happen with them.
    confirmed: usize,
    /// Rules that may be broken, and are.
    open: usize,
    /// Rules that may be broken, and are not with any values that were tried.
    in_doubt: usize,
}

fn seen(case: &Case, path: &[usize]) -> BTreeSet<Rule> {
    let mut seen = explorer::in_order(&case.program, path);
    seen.extend(explorer::freeze(&case.program, path, Reset::Stalls));
    seen
}

impl Tally {
    fn judge(&mut self, case: &Case) -> Result<(), TestCaseError> {
        let program = &case.program;
        let judgement = verify(program, FlagModel::Stall);
        let mut paths: Vec<Vec<usize>> = case.samples().iter().filter_map(|v| case.run(v)).collect();
        paths.sort_unstable();
        paths.dedup();
        let all: BTreeSet<Rule> = paths.iter().flat_map(|path| seen(case, path)).collect();
        let said: BTreeSet<Rule> = judgement.findings.iter().map(|f| f.rule).collect();
        for rule in EXPLORED.into_iter().filter(|rule| *rule != Rule::UnbalancedPath) {
            let verdict = judgement.verdict(rule);
            if all.contains(&rule) {
                let is_proved = matches!(verdict, Verdict::Proved | Verdict::Assumed);
                prop_assert!(
                    !is_proved,
                    "with some values {}, the prover says {verdict:?}\n{}",
                    rule.name(),
                    listing(program)
                );
                *self.broken.entry(rule).or_default() += 1;
                self.open += usize::from(verdict != Verdict::Broken);
            } else if verdict == Verdict::Undecided {
                self.in_doubt += 1;
            }
        }
        let imbalance = judgement.verdict(Rule::UnbalancedPath) == Verdict::Broken;
        let protocol = [Rule::DoubleSet, Rule::WaitBeforeSet, Rule::UndrainedFlag];
        prop_assert!(
            !imbalance || protocol.iter().any(|rule| said.contains(rule)),
            "an imbalance that nothing comes of\n{}",
            listing(program)
        );
        for finding in judgement.findings.iter().filter(|f| !f.may_be && f.rule != Rule::UnbalancedPath) {
            let Some(shown) = &finding.path else { continue };
            let path = case.run(&values(shown.assignment()));
            let path = path.ok_or_else(|| TestCaseError::fail("a path that is too long"))?;
            let in_order =
                breaks_protocol(&BTreeSet::from([finding.rule])) || finding.rule == Rule::UndrainedFlag;
            // Behind a flag that is set twice nothing is certain.
            if !in_order && breaks_protocol(&said) {
                continue;
            }
            let happens = if seen(case, &path).contains(&finding.rule) {
                true
            } else {
                // A set that waits may keep it from happening.
                explorer::freeze(program, &path, Reset::Counts).contains(&finding.rule)
            };
            prop_assert!(
                happens,
                "{} does not happen with {:?}\n{}",
                finding.rule.name(),
                shown.assignment(),
                listing(program)
            );
            self.confirmed += 1;
        }
        self.cases += 1;
        self.clean += usize::from(said.iter().all(|rule| *rule == Rule::UnfinishedWork));
        Ok(())
    }

    fn plus(mut self, other: Self) -> Self {
        self.cases += other.cases;
        self.clean += other.clean;
        other.broken.into_iter().for_each(|(rule, n)| *self.broken.entry(rule).or_default() += n);
        self.confirmed += other.confirmed;
        self.open += other.open;
        self.in_doubt += other.in_doubt;
        self
    }
}

fn against_values(cases: u32, seeds: &[TestRng]) -> Tally {
    let run = |rng: &TestRng| {
        let tally = RefCell::new(Tally::default());
        let cases = cases / seeds.len() as u32;
        let config =
            Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
        TestRunner::new_with_rng(config, rng.clone())
            .run(&prop::collection::vec(any::<u16>(), 20..90), |genes| {
                tally.borrow_mut().judge(&case(&genes))
            })
            .unwrap_or_else(|e| panic!("{e}"));
        tally.into_inner()
    };
    let tally = thread::scope(|scope| {
        let threads: Vec<_> = seeds.iter().map(|seed| scope.spawn(|| run(seed))).collect();
        let all = threads.into_iter().map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
        all.reduce(Tally::plus).unwrap_or_default()
    });
    println!("{tally:?}");
    tally
}

#[test]
fn what_goes_wrong_with_some_values_is_found_with_them() {
    let seeds: Vec<_> = (0..4).map(|n| TestRng::from_seed(RngAlgorithm::ChaCha, &[n + 40; 32])).collect();
    let tally = against_values(CASES, &seeds);
    assert!(tally.clean * 10 > tally.cases, "hardly any program is right: {tally:?}");
    assert!(tally.broken.len() >= 6, "few rules are broken: {tally:?}");
    assert!(tally.in_doubt * 10 < tally.cases, "too much is in doubt: {tally:?}");
}

/// Programs with each run; without optimization fewer.
const CASES: u32 = if cfg!(debug_assertions) { 100 } else { 20_000 };

#[test]
#[ignore = "takes minutes: 60,000 programs, other ones with every run"]
fn what_goes_wrong_with_some_values_is_found_with_them_at_length() {
    let seeds: Vec<_> = (0..4).map(|_| TestRunner::new(Config::default()).new_rng()).collect();
    against_values(60_000, &seeds);
}
