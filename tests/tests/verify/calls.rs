//! What calls do inside themselves: phases, flags, signals. And what the default pipeline does about it.

use pipewright::verify::memory::Memory;
use pipewright::verify::program::{Access, Builder, Key, Program, Signal, Step, StepIndex, Trips};
use pipewright::verify::{FlagModel, Grade, Rule, verify};
use pipewright_tests::workspace;

use crate::confirm::{Confirmation, confirm};
use crate::kernels::{Pipeline, judged, read};
use crate::random::PIPES;

const SCALAR: usize = 0;
const LOAD: usize = 1;
const VECTOR: usize = 2;
const STORE: usize = 3;

/// A space that other cores see.
const GLOBAL: u32 = 2;

fn builder() -> Builder {
    let mut b = Builder::new("calls", &PIPES, Some(SCALAR));
    b.spaces(vec![GLOBAL], Vec::new());
    b
}

fn row(b: &mut Builder, address: u64) -> usize {
    b.memory(Memory::runs(1, address, [1, 64, 64], false).expect("bytes"), "row")
}

/// What the prover says: rule, first and second statement. Each of it is confirmed.
fn said(program: &Program) -> Vec<(Rule, Grade, Option<StepIndex>, StepIndex)> {
    let judgement = verify(program, FlagModel::Stall);
    for finding in &judgement.findings {
        assert_eq!(confirm(program, &judgement, finding), Confirmation::Seen, "{finding:?}");
    }
    judgement.findings.iter().map(|f| (f.rule, f.grade, f.first, f.second)).collect()
}

/// A call loads into a row and stores from it, and sees to it that the one waits for the other. Nothing sees to it that
/// the next load waits for the last store.
#[test]
fn phases_are_at_odds_with_the_next_execution_only() {
    let mut b = builder();
    let row = row(&mut b, 0);
    b.open_loop(Trips::UNKNOWN, false);
    b.open_call();
    let load = b.instruction(LOAD, &[Access::new(row, true)]);
    let store = b.instruction(STORE, &[Access::new(row, false)]);
    b.close_call();
    b.barrier(Some(LOAD));
    b.close();
    b.barrier(None);
    assert_eq!(said(&b.finish()), [(Rule::DataRace, Grade::Error, Some(store), load)]);
}

/// Steps of two calls that stand side by side are not those of one.
#[test]
fn two_calls_are_at_odds() {
    let mut b = builder();
    let row = row(&mut b, 0);
    let [load, store] = [(LOAD, true), (STORE, false)].map(|(pipe, write)| {
        b.open_call();
        let step = b.instruction(pipe, &[Access::new(row, write)]);
        b.close_call();
        step
    });
    b.barrier(None);
    assert_eq!(said(&b.finish()), [(Rule::DataRace, Grade::Error, Some(load), store)]);
}

/// A flag that a call uses must be clear, and taken by then. The use itself changes nothing and orders nothing.
#[test]
fn a_flag_that_a_call_uses_must_be_free() {
    let key = Key { src: SCALAR, dst: VECTOR, id: 0 };
    let with_call = |before_wait: bool, answered: bool| {
        let mut b = builder();
        let set = b.set(key);
        let mut uses = before_wait.then(|| b.uses(key));
        let wait = b.wait(key);
        if answered {
            let back = Key { src: VECTOR, dst: SCALAR, id: 1 };
            b.set(back);
            b.wait(back);
        }
        let uses = *uses.get_or_insert_with(|| b.uses(key));
        b.barrier(None);
        b.set(key);
        b.wait(key);
        b.barrier(None);
        (said(&b.finish()), set, wait, uses)
    };
    let (findings, set, _, uses) = with_call(true, false);
    assert_eq!(findings, [(Rule::HiddenFlag, Grade::Error, Some(set), uses)]);
    let (findings, _, wait, uses) = with_call(false, false);
    assert_eq!(findings, [(Rule::FlagReuse, Grade::Warning, Some(wait), uses)]);
    let (findings, ..) = with_call(false, true);
    assert_eq!(findings, []);
}

/// A signal is sent behind the work of its own pipe. Of others it may announce what they wrote for all to see.
#[test]
fn a_signal_is_early_for_other_pipes_and_global_memory_only() {
    let mut b = builder();
    let local = row(&mut b, 0);
    let global = b.memory(Memory::Private { space: GLOBAL, root: 0, accumulator: false }, "out");
    let other = b.memory(Memory::Private { space: GLOBAL, root: 1, accumulator: false }, "in");
    b.instruction(VECTOR, &[Access::new(local, true)]);
    let load = b.instruction(LOAD, &[Access::new(other, false)]);
    let store = b.instruction(STORE, &[Access::new(global, true)]);
    let drained = vec![LOAD, VECTOR, STORE];
    let by_store = b.publish(Signal { pipe: STORE, drained: drained.clone() });
    let by_scalar = b.publish(Signal { pipe: SCALAR, drained });
    b.barrier(None);
    let early = |grade, first, second| (Rule::EarlyPublish, grade, Some(first), second);
    let expected = [
        early(Grade::Warning, load, by_store),
        early(Grade::Error, load, by_scalar),
        early(Grade::Error, store, by_scalar),
    ];
    assert_eq!(said(&b.finish()), expected);
}

fn example(name: &str) -> String {
    read(&workspace().join("examples").join(name))
}

/// Two products into one accumulator without a barrier: an error only where the second can catch up with the first.
#[test]
fn products_without_a_barrier_are_judged_by_their_size() {
    let pipeline = Pipeline::load("a3-reference");
    for (name, grade) in [("small_products", Grade::Error), ("large_products", Grade::Advice)] {
        let planned = pipeline.plan(&example(&format!("verify/{name}.pto"))).expect("it compiles");
        for (program, judgement) in judged(&planned) {
            let [finding] = &judgement.findings[..] else { panic!("{name}: {:?}", judgement.findings) };
            assert_eq!((finding.rule, finding.grade), (Rule::MissingBarrier, grade), "{name}");
            assert_eq!(confirm(program, &judgement, finding), Confirmation::Seen, "{name}");
        }
    }
}

/// What the table says of an operation on one pipe does not hold for it on another.
#[test]
fn only_vector_forms_use_flags_of_the_vector_pipe() {
    let uses = |name: &str| {
        let planned = Pipeline::load("a3-reference").plan(&example(name)).expect("it compiles");
        let steps = planned.programs.iter().flat_map(|p| &p.steps);
        steps.filter(|step| matches!(step, Step::Uses(_))).count()
    };
    assert_eq!(uses("matmul_chain.pto"), 0);
    // Two for each of its row expansions.
    assert_eq!(uses("softmax_rows.pto"), 4);
}

/// The default pipeline leaves flags alone that calls use.
#[test]
fn the_default_pipeline_has_no_hidden_flags() {
    let text = example("unsound/hidden_flag.pto");
    for (pipeline, expected) in [("a3-reference", vec![Rule::HiddenFlag]), ("a3", vec![])] {
        let planned = Pipeline::load(pipeline).plan(&text).expect("it compiles");
        for (_, judgement) in judged(&planned) {
            let rules: Vec<Rule> = judgement.findings.iter().map(|f| f.rule).collect();
            assert_eq!(rules, expected, "{pipeline}");
        }
    }
}
