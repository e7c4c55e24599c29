//! Random addresses and pipes: what is said of each statement is what the definition of the rule says, read off the
//! program byte by byte.

use std::collections::BTreeSet;

use pipewright::verify::memory::Memory;
use pipewright::verify::program::{Program, Step, StepIndex};
use pipewright::verify::{Finding, FlagModel, Judgement, Rule, verify};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::kernels::{Pipeline, judged};
use crate::pipelines::{ADDRESSES, kernel};
use crate::random::{self, Genes, Machine, ROWS};
use crate::soundness::listing;

/// Bytes of the space that tiles of random kernels lie in.
const VEC: u64 = 196_608;

fn steps_of(judgement: &Judgement, rule: Rule) -> BTreeSet<StepIndex> {
    judgement.findings.iter().filter(|f| f.rule == rule).map(|f| f.second).collect()
}

/// Steps that name the pipe that the core lacks. Flags within a call are the call's.
fn absent(program: &Program, machine: &Machine) -> BTreeSet<StepIndex> {
    let names = |step: StepIndex| {
        let pipes: Vec<usize> = match program.steps[step] {
            Step::Instruction { pipe, .. } | Step::Barrier(Some(pipe)) => vec![pipe],
            Step::Set(key) | Step::Wait(key) if program.calls[step] == 0 => {
                vec![program.keys[key].src, program.keys[key].dst]
            }
            _ => Vec::new(),
        };
        pipes.into_iter().any(|pipe| Some(pipe) == machine.lacks)
    };
    // More findings of one rule are counted, not told.
    (0..program.steps.len()).filter(|&step| names(step)).take(50).collect()
}

/// Steps that are the first to touch a row that begins at no multiple, or has a byte outside of the space.
fn misplaced(program: &Program, machine: &Machine) -> BTreeSet<StepIndex> {
    let is_wrong = |memory: &Memory| {
        let Memory::Bytes { space: ROWS, address, rows, row_bytes, pitch, .. } = *memory else {
            return false;
        };
        let mut bytes = (0..rows).flat_map(|row| (0..row_bytes).map(move |b| address + row * pitch + b));
        address % machine.align != 0 || bytes.any(|byte| byte >= machine.bytes)
    };
    let touches =
        |step: StepIndex, memory: usize| program.accesses_of(step).iter().any(|a| a.memory == memory);
    let wrong = (0..program.memories.len()).filter(|&memory| is_wrong(&program.memories[memory]));
    wrong.filter_map(|memory| (0..program.steps.len()).find(|&step| touches(step, memory))).collect()
}

fn on_random<T: std::fmt::Debug>(
    cases: u32,
    seed: u8,
    what: impl Strategy<Value = T>,
    test: impl Fn(T) -> Result<(), TestCaseError>,
) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    TestRunner::new_with_rng(config, rng).run(&what, test).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn random_addresses_and_pipes_are_judged_as_their_definition_says() {
    let found = std::cell::Cell::new((0, 0));
    on_random(4_000, 1, prop::collection::vec(any::<u16>(), 30..120), |genes| {
        let (program, machine) = random::with_machine(&genes);
        let judgement = verify(&program, FlagModel::Stall);
        let (pipes, places) = (absent(&program, &machine), misplaced(&program, &machine));
        prop_assert_eq!(&steps_of(&judgement, Rule::CorePipe), &pipes, "{}", listing(&program));
        prop_assert_eq!(&steps_of(&judgement, Rule::Address), &places, "{}", listing(&program));
        let (p, a) = found.get();
        found.set((p + usize::from(!pipes.is_empty()), a + usize::from(!places.is_empty())));
        Ok(())
    });
    let (pipes, places) = found.get();
    assert!(
        pipes > 500 && places > 500,
        "only {pipes} programs with a missing pipe, {places} with a bad address"
    );
}

/// A random kernel through the default pipeline, its tiles put at other addresses, its function given another kind of
/// core, a barrier added.
#[test]
fn random_kernels_with_odd_tiles_and_cores_are_judged_as_they_are_written() {
    const PIPES: [(&str, bool, bool); 6] = [
        ("V", false, true),
        ("M", true, false),
        ("MTE1", true, false),
        ("FIX", true, false),
        ("MTE2", true, true),
        ("MTE3", true, true),
    ];
    let pipeline = Pipeline::load("a3");
    let what = (prop::collection::vec(any::<u16>(), 10..60), prop::collection::vec(any::<u16>(), 0..12));
    on_random(600, 2, what, |(genes, changes)| {
        let mut text = kernel(&genes, false);
        let mut changes = Genes::new(&changes);
        let mut bad = 0;
        for (i, old) in ADDRESSES.into_iter().enumerate() {
            let moved = [0, 0, 0, 4, 32, 196_096, 196_608, 1_000_000][changes.below(8)];
            let address = u64::from(old) + moved;
            bad += usize::from(address % 32 != 0 || address + 256 > VEC);
            text = text.replace(
                &format!("%at{i} = arith.constant {old} : i64"),
                &format!("%at{i} = arith.constant {address} : i64"),
            );
        }
        let is_cube = changes.below(3) == 1;
        if is_cube {
            text = text.replace("kernel_kind<vector>", "kernel_kind<cube>");
        }
        let has = |&(_, cube, vector): &(&str, bool, bool)| if is_cube { cube } else { vector };
        let mut lacks =
            is_cube && text.lines().any(|l| l.starts_with("pto.tabs") || l.starts_with("pto.tadd"));
        if changes.below(2) == 1 {
            let pipe = PIPES[changes.below(6)];
            lacks |= !has(&pipe);
            text = text.replace("\nreturn\n", &format!("\npto.barrier <PIPE_{}>\nreturn\n", pipe.0));
        }
        let planned = pipeline.plan(&text).ok_or_else(|| TestCaseError::fail(format!("refused\n{text}")))?;
        for (_, judgement) in judged(&planned) {
            let of = |rule| judgement.findings.iter().filter(|f: &&Finding| f.rule == rule).count();
            prop_assert_eq!(of(Rule::Address), bad, "{}", text);
            prop_assert_eq!(of(Rule::CorePipe) > 0, lacks, "{}", text);
        }
        Ok(())
    });
}
