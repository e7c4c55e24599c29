//! What a value stands for, decided by hand: a kernel whose picks, numbers and pointers are all known.
//!
//! From a random kernel with flags of its own one is made in which the conditions of picks are known, each pointer that goes through
//! an integer is the pointer, each that comes from nowhere is some parameter, each row with a computed number is one of the
//! rows. What the prover finds wrong there, where nothing is left to know, it must find in the kernel as well.

use std::collections::{BTreeMap, BTreeSet};

use pipewright::verify::Rule;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::kernels::{Pipeline, judged};
use crate::pipelines::kernel;
use crate::random::Genes;

/// The kernel with everything decided, line for line.
fn decided(kernel: &str, genes: &mut Genes<'_>) -> String {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    // Picks with the same condition are made alike, wherever they stand.
    let second = [genes.below(2), genes.below(2)];
    let mut out = String::new();
    for line in kernel.lines() {
        let mut line = with_values(line, &known);
        let (name, rest) = line.split_once(" = ").map_or(("", ""), |(name, rest)| (name, rest));
        let of =
            |operation: &str| rest.strip_prefix(operation).map(|rest| rest.split(" : ").next().unwrap_or(""));
        let value = if let Some(operands) = of("arith.select %d, ") {
            operands.split(", ").nth(second[0])
        } else if let Some(operands) = of("arith.select %e, ") {
            operands.split(", ").nth(second[1])
        } else if let Some(address) = of("pto.ptrtoint ") {
            Some(address)
        } else if let Some(address) = of("pto.inttoptr ") {
            Some(if address == "%raw" { ["%in", "%out"][genes.below(2)] } else { address })
        } else {
            None
        };
        match value {
            Some(value) => {
                known.insert(name.to_owned(), value.to_owned());
                line.clear();
            }
            None if rest.starts_with("pto.multi_tile_get %slots[%n]") => {
                line = line.replace("[%n]", ["[%c0]", "[%c1]"][genes.below(2)]);
            }
            None => {}
        }
        out += &line;
        out.push('\n');
    }
    out
}

/// The line with the values that are known.
fn with_values(line: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('%') {
        out += &rest[..at];
        let end = rest[at + 1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '#');
        let end = end.map_or(rest.len(), |end| at + 1 + end);
        let name = &rest[at..end];
        out += known.get(name).map_or(name, String::as_str);
        rest = &rest[end..];
    }
    out + rest
}

/// The rules that are broken, each with the lines of the statement at which it happens.
fn broken(pipeline: &Pipeline, text: &str) -> Option<BTreeSet<(Rule, usize)>> {
    let planned = pipeline.plan(text)?;
    let mut found = BTreeSet::new();
    for (program, judgement) in judged(&planned) {
        for finding in &judgement.findings {
            let start = program.origins[finding.second].span.start as usize;
            found.insert((finding.rule, text[..start].lines().count()));
        }
    }
    Some(found)
}

fn nothing_is_missed(cases: u32, rng: TestRng) {
    let pipeline = Pipeline::load("a3-codegen-only");
    let decisions = std::cell::Cell::new(0);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let genes = (prop::collection::vec(any::<u16>(), 10..160), prop::collection::vec(any::<u16>(), 8));
    TestRunner::new_with_rng(config, rng)
        .run(&genes, |(genes, choices)| {
            let text = kernel(&genes, true);
            let simple = decided(&text, &mut Genes::new(&choices));
            if simple == text {
                return Ok(());
            }
            decisions.set(decisions.get() + 1);
            let refused = |text: &str| TestCaseError::fail(format!("refused\n{text}"));
            let wrong = broken(&pipeline, &simple).ok_or_else(|| refused(&simple))?;
            let found = broken(&pipeline, &text).ok_or_else(|| refused(&text))?;
            let missed: Vec<_> = wrong.difference(&found).collect();
            prop_assert!(missed.is_empty(), "{missed:?}\n{text}\n{simple}");
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(decisions.get() > cases / 4, "{} kernels had something to decide", decisions.get());
}

#[test]
fn whatever_is_wrong_for_one_decision_is_found() {
    nothing_is_missed(500, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
}

#[test]
#[ignore = "takes minutes: 40,000 kernels, other ones with every run"]
fn whatever_is_wrong_for_one_decision_is_found_at_length() {
    nothing_is_missed(40_000, TestRunner::new(Config::default()).new_rng());
}
