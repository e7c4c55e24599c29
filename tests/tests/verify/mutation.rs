//! Does the prover notice if something is taken from a plan that is right?
//!
//! Of each kernel whose plan has no findings the synchronization is changed in one place, in every way of [`Kind`]. The
//! explorer executes the changed program, on some paths and on those that the prover shows. A change that breaks the
//! program must be found; a change that is found and breaks nothing is a false alarm.

use std::collections::{BTreeMap, BTreeSet};

use pipewright::verify::program::{Builder, Program, Step, StepIndex, Trips};
use pipewright::verify::{FlagModel, Judgement, Rule, verify};
use pipewright_tests::{corpus, files_below};

use crate::explorer::{self, Reset};
use crate::kernels::{Pipeline, judged, own_kernels, read};
use crate::soundness::listing;

/// Mutants of one kind that are made of one program.
const MUTANTS: usize = 6;
/// Paths of a mutant that are executed, and steps of the longest one.
const PATHS: usize = 12;
const MAX_STEPS: usize = 500;

/// A way to change one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    DropWait,
    DropSet,
    SwapIds,
    WaitAfterConsumer,
    SetBeforeProducer,
    DropBarrier,
    PairOutOfLoop,
}

const KINDS: [Kind; 7] = [
    Kind::DropWait,
    Kind::DropSet,
    Kind::SwapIds,
    Kind::WaitAfterConsumer,
    Kind::SetBeforeProducer,
    Kind::DropBarrier,
    Kind::PairOutOfLoop,
];

/// What became of the mutants of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    mutants: usize,
    /// The prover found something.
    killed: usize,
    /// The explorer saw something.
    broken: usize,
    /// Neither did, and all paths with up to three trips were executed.
    equivalent: usize,
    /// Only the prover did, and not all paths were executed.
    unconfirmed: usize,
    /// Only the prover did, and all paths were executed, its own among them.
    alarms: usize,
}

#[test]
fn what_breaks_a_plan_of_ours_is_noticed() {
    let kernels = own_kernels().into_iter().map(|(path, text)| (path.display().to_string(), text));
    score("our kernels", kernels.collect());
}

#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn what_breaks_a_plan_of_the_corpus_is_noticed() {
    let kernels = files_below(&corpus(), ".pto");
    score("corpus", kernels.iter().map(|path| (path.display().to_string(), read(path))).collect());
}

fn score(title: &str, kernels: Vec<(String, String)>) {
    let pipeline = Pipeline::load("a3-reference");
    let mut scores: BTreeMap<Kind, Score> = BTreeMap::new();
    let mut programs = 0;
    for (name, text) in &kernels {
        let Some(planned) = pipeline.plan(text) else { continue };
        for (program, judgement) in judged(&planned) {
            if is_noticed(&judgement) || program.keys.is_empty() {
                continue;
            }
            programs += 1;
            for kind in KINDS {
                let all = mutants(&Tokens::of(program), kind);
                // Evenly over the program.
                let every = all.len().div_ceil(MUTANTS).max(1);
                for tokens in all.iter().step_by(every) {
                    judge(name, &tokens.build(program), scores.entry(kind).or_default());
                }
            }
        }
    }
    println!("mutants of {title}: {programs} programs");
    println!("  {:<18} mutants  broken  killed  equivalent  unconfirmed  false alarms", "");
    for (kind, s) in &scores {
        let kind = format!("{kind:?}");
        println!(
            "  {kind:<18} {:>7} {:>7} {:>7} {:>11} {:>12} {:>13}",
            s.mutants, s.broken, s.killed, s.equivalent, s.unconfirmed, s.alarms
        );
    }
    assert!(KINDS.iter().all(|kind| scores.get(kind).is_some_and(|s| s.broken > 0)), "no mutant is broken");
    assert_eq!(scores.values().map(|s| s.alarms).sum::<usize>(), 0, "false alarms");
}

/// What no change of ours is to bring about, and the reference leaves where there is one instruction.
const HARMLESS: Rule = Rule::UnfinishedWork;

/// Whether the prover finds something, if only a barrier that a large product can do without.
fn is_noticed(judgement: &Judgement) -> bool {
    judgement.findings.iter().any(|f| f.rule != HARMLESS)
}

fn judge(name: &str, mutant: &Program, score: &mut Score) {
    let judgement = verify(mutant, FlagModel::Stall);
    let killed = is_noticed(&judgement);
    let (mut paths, mut complete) = explorer::paths(mutant, PATHS);
    let known = paths.len();
    paths.retain(|path| path.len() <= MAX_STEPS);
    complete &= paths.len() == known;
    // What the prover shows comes first.
    let shown = judgement.findings.iter().filter_map(|f| f.path.as_ref()).map(|path| path.steps(mutant));
    let shown = shown.filter(|path| path.len() <= MAX_STEPS);
    let mut all: Vec<Vec<StepIndex>> = shown.take(3).collect();
    all.append(&mut paths);
    let harmless = BTreeSet::from([HARMLESS]);
    let broken = all.iter().find_map(|path| {
        let mut seen = explorer::in_order(mutant, path);
        // A path that the prover shows ends where it shows something, not at the exit.
        if path.last() != Some(&(mutant.steps.len() - 1)) {
            seen.remove(&Rule::UndrainedFlag);
        }
        if seen.is_empty() {
            seen = explorer::freeze(mutant, path, Reset::Stalls);
        }
        seen.difference(&harmless).next().copied()
    });
    if let Some(rule) = broken {
        assert!(killed, "{name}: the explorer sees {}, the prover nothing\n{}", rule.name(), listing(mutant));
    }
    score.mutants += 1;
    score.killed += usize::from(killed);
    score.broken += usize::from(broken.is_some());
    score.equivalent += usize::from(broken.is_none() && !killed && complete);
    score.unconfirmed += usize::from(broken.is_none() && killed && !complete);
    score.alarms += usize::from(broken.is_none() && killed && complete);
}

/// A program as a list in which statements can be moved.
#[derive(Clone, Debug)]
struct Tokens(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// An instruction, set, wait or barrier.
    Plain(Step),
    /// What a call does inside itself, which nothing changes.
    Call {
        first: StepIndex,
        last: StepIndex,
    },
    Loop {
        trips: Trips,
        has_head: bool,
    },
    Test,
    If,
    Else,
    End,
}

impl Tokens {
    fn of(program: &Program) -> Self {
        let mut heads = Vec::new();
        let mut tokens = Vec::new();
        for (i, step) in program.steps.iter().enumerate() {
            if program.calls[i] != 0 {
                match tokens.last_mut() {
                    Some(Token::Call { first, last }) if program.calls[*first] == program.calls[i] => {
                        *last = i
                    }
                    _ => tokens.push(Token::Call { first: i, last: i }),
                }
                continue;
            }
            tokens.push(match *step {
                Step::LoopBegin { test, trips, .. } => {
                    heads.push(test != i + 1);
                    Token::Loop { trips, has_head: test != i + 1 }
                }
                Step::LoopTest { .. } if heads.last() == Some(&true) => Token::Test,
                Step::LoopTest { .. } | Step::Exit => continue,
                Step::LoopEnd { .. } => {
                    heads.pop();
                    Token::End
                }
                Step::IfBegin { .. } => Token::If,
                Step::Else { .. } => Token::Else,
                Step::IfEnd => Token::End,
                plain => Token::Plain(plain),
            });
        }
        Self(tokens)
    }

    /// The program that these tokens stand for, with the pipes, flags and memory of another one.
    fn build(&self, like: &Program) -> Program {
        let named = like.unknown.unwrap_or(like.pipes.len());
        let pipes: Vec<&str> = like.pipes[..named].iter().map(String::as_str).collect();
        let mut b = Builder::new("mutant", &pipes, like.scalar);
        if like.unknown.is_some() {
            b.unknown_pipe();
        }
        for (memory, name) in like.memories.iter().zip(&like.memory_names) {
            b.memory(*memory, name);
        }
        b.spaces(like.global.clone(), like.settled.clone());
        let plain = |b: &mut Builder, step: Step| match step {
            Step::Instruction { pipe, first, count } => {
                b.instruction(pipe, &like.accesses[first..first + count])
            }
            Step::Set(key) => b.set(like.keys[key]),
            Step::Wait(key) => b.wait(like.keys[key]),
            Step::Uses(key) => b.uses(like.keys[key]),
            Step::Publish(signal) => b.publish(like.signals[signal].clone()),
            Step::Barrier(pipe) => b.barrier(pipe),
            Step::Bind { first, count } => b.bind(&like.bindings[first..first + count]),
            _ => b.opaque(),
        };
        for token in &self.0 {
            match *token {
                Token::Plain(step) => _ = plain(&mut b, step),
                Token::Call { first, last } => {
                    b.open_call();
                    like.steps[first..=last].iter().for_each(|&step| _ = plain(&mut b, step));
                    b.close_call();
                }
                Token::Loop { trips, has_head } => b.open_loop(trips, has_head),
                Token::Test => b.test(),
                Token::If => b.open_if(),
                Token::Else => b.middle(),
                Token::End => b.close(),
            }
        }
        b.finish()
    }

    fn without(&self, at: usize) -> Self {
        let mut tokens = self.0.clone();
        tokens.remove(at);
        Self(tokens)
    }

    /// With the token at `from` in front of what is at `to` now.
    fn moved(&self, from: usize, to: usize) -> Self {
        let mut tokens = self.0.clone();
        let token = tokens.remove(from);
        tokens.insert(if to > from { to - 1 } else { to }, token);
        Self(tokens)
    }
}

/// All mutants of one kind, in program order.
fn mutants(tokens: &Tokens, kind: Kind) -> Vec<Tokens> {
    let t = &tokens.0;
    let places = |wanted: fn(&Step) -> bool| {
        (0..t.len()).filter(move |&i| matches!(&t[i], Token::Plain(step) if wanted(step)))
    };
    let is_instruction =
        |token: &Token| matches!(token, Token::Plain(Step::Instruction { .. }) | Token::Call { .. });
    match kind {
        Kind::DropWait => places(|s| matches!(s, Step::Wait(_))).map(|i| tokens.without(i)).collect(),
        Kind::DropSet => places(|s| matches!(s, Step::Set(_))).map(|i| tokens.without(i)).collect(),
        Kind::DropBarrier => places(|s| matches!(s, Step::Barrier(_))).map(|i| tokens.without(i)).collect(),
        // Two neighbouring sets of different flags.
        Kind::SwapIds => {
            let sets: Vec<usize> = places(|s| matches!(s, Step::Set(_))).collect();
            let pairs = sets.windows(2).filter(|w| t[w[0]] != t[w[1]]);
            let swap = |w: &[usize]| {
                let mut tokens = t.clone();
                tokens.swap(w[0], w[1]);
                Tokens(tokens)
            };
            pairs.map(swap).collect()
        }
        Kind::WaitAfterConsumer => {
            let behind = |i: usize| (i + 1..t.len()).find(|&j| is_instruction(&t[j]));
            let waits = places(|s| matches!(s, Step::Wait(_)));
            waits.filter_map(|i| Some(tokens.moved(i, behind(i)? + 1))).collect()
        }
        Kind::SetBeforeProducer => {
            let before = |i: usize| (0..i).rev().find(|&j| is_instruction(&t[j]));
            let sets = places(|s| matches!(s, Step::Set(_)));
            sets.filter_map(|i| Some(tokens.moved(i, before(i)?))).collect()
        }
        Kind::PairOutOfLoop => {
            let sets = places(|s| matches!(s, Step::Set(_)));
            sets.filter_map(|set| pair_out_of_loop(tokens, set)).collect()
        }
    }
}

/// With a set in a loop, and the next wait for its flag in that loop, behind the loop.
fn pair_out_of_loop(tokens: &Tokens, set: usize) -> Option<Tokens> {
    let t = &tokens.0;
    let Token::Plain(Step::Set(key)) = t[set] else { return None };
    let mut depth = 0;
    let mut wait = None;
    for (i, token) in t.iter().enumerate().skip(set + 1) {
        match token {
            Token::Loop { .. } | Token::If => depth += 1,
            Token::End if depth > 0 => depth -= 1,
            // The end of the construct around the set: a loop, or an arm, which is left alone.
            Token::End => {
                let wait = wait?;
                let is_loop = matches!(t[opening(t, i)?], Token::Loop { .. });
                let behind = tokens.moved(wait, i + 1).moved(set, i);
                return is_loop.then_some(behind);
            }
            Token::Plain(Step::Wait(k)) if *k == key && depth == 0 => wait = wait.or(Some(i)),
            _ => {}
        }
    }
    None
}

/// Where the construct begins that ends at `end`.
fn opening(t: &[Token], end: usize) -> Option<usize> {
    let mut depth = 0;
    for i in (0..=end).rev() {
        match t[i] {
            Token::End => depth += 1,
            Token::Loop { .. } | Token::If => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(i);
        }
    }
    None
}
