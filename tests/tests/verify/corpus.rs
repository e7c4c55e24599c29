//! The prover on a corpus of kernels: how much it finds, and that what it finds is real.
//!
//! Needs the corpus (`PIPEWRIGHT_CORPUS`). The numbers that it prints are those of `docs/verify.md`.

use std::collections::{BTreeMap, BTreeSet};

use pipewright::verify::{Grade, Rule};
use pipewright_tests::{corpus, files_below};

use crate::confirm::{Confirmation, confirm};
use crate::kernels::{Pipeline, judged, read};

/// What a pipeline's plans of the corpus look like.
#[derive(Debug, Default)]
struct Census {
    functions: usize,
    /// Functions without findings that are more than advice.
    clean: usize,
    /// For each rule and grade the function of each finding.
    findings: BTreeMap<(Grade, Rule), Vec<String>>,
    confirmations: BTreeMap<Confirmation, usize>,
    /// Findings that nothing confirms.
    doubtful: Vec<String>,
    /// Findings that only the machine shows on which no set ever waits.
    without_stalls: Vec<(Rule, String)>,
    assumed: usize,
}

fn census(pipeline: &str) -> Census {
    let corpus = corpus();
    let pipeline_name = pipeline;
    let pipeline = Pipeline::load(pipeline);
    let mut census = Census::default();
    for path in files_below(&corpus, ".pto") {
        let file = path.strip_prefix(&corpus).unwrap_or(&path).display().to_string();
        let Some(planned) = pipeline.plan(&read(&path)) else { continue };
        for (program, judgement) in judged(&planned) {
            assert!(judgement.more.is_empty(), "{file}: more findings than are looked into");
            census.functions += 1;
            census.clean += usize::from(judgement.worst() <= Some(Grade::Advice));
            census.assumed += usize::from(!program.assumptions.is_empty());
            for finding in &judgement.findings {
                let entry = census.findings.entry((finding.grade, finding.rule)).or_default();
                entry.push(format!("{file}: {}", program.name));
                let found = confirm(program, &judgement, finding);
                *census.confirmations.entry(found).or_default() += 1;
                let what = || format!("{file}: {}: {finding:?}", program.name);
                if found == Confirmation::SeenWithoutStalls {
                    census.without_stalls.push((finding.rule, what()));
                }
                if found == Confirmation::Unseen {
                    census.doubtful.push(what());
                }
            }
        }
    }
    println!("{pipeline_name}: {} functions, {} without errors or warnings", census.functions, census.clean);
    for ((grade, rule), findings) in census.findings.iter().rev() {
        let (count, functions) = (findings.len(), findings.iter().collect::<BTreeSet<_>>());
        println!("  {:<8} {:<16} {count:>4} in {:>3} functions", grade.name(), rule.name(), functions.len());
    }
    println!("  witnesses: {:?}; functions with assumptions: {}", census.confirmations, census.assumed);
    census
}

#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn whatever_is_found_under_the_reference_is_real() {
    let census = census("a3-reference");
    assert!(census.doubtful.is_empty(), "{}", census.doubtful.join("\n"));
    // Where a second flag may have to wait before the one in question, what happens behind it relies on the first.
    let races: Vec<_> = census.without_stalls.iter().filter(|(rule, _)| *rule != Rule::FlagReuse).collect();
    assert!(races.is_empty(), "only a set that waits prevents these: {races:?}");
    let masked = census.confirmations.get(&Confirmation::Masked).copied().unwrap_or(0);
    assert_eq!(masked, 0, "nothing is found behind a flag that is set twice or waited for in vain");
    let rules: BTreeSet<Rule> = census.findings.keys().map(|(_, rule)| *rule).collect();
    assert!(!rules.contains(&Rule::DoubleSet), "loop-tail waits stand in front");
}

#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn loop_tail_waits_at_the_back_set_flags_twice() {
    let census = census("a3-reference-push-back");
    assert!(census.doubtful.is_empty(), "{}", census.doubtful.join("\n"));
    assert!(census.findings.contains_key(&(Grade::Error, Rule::DoubleSet)));
}
