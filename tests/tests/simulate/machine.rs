//! The simulator against a machine that is stepped through time: random programs of up to three pipes and a scalar
//! unit must take the same cycles in both, or hang in both.

use std::collections::VecDeque;

use pipewright::simulate::price::{Price, Prices};
use pipewright::simulate::{Setup, simulate};
use pipewright::verify::program::{Builder, Key, Program, Step, Trips};
use pipewright_abi::ir::ModuleData;
use proptest::prelude::*;

const TRIPS: u64 = 3;

/// One pipe of the stepped machine.
#[derive(Default)]
struct Pipe {
    /// Steps with the time from which each can start.
    queue: VecDeque<(usize, u64)>,
    free: u64,
    done: u64,
    busy: u64,
    started: bool,
}

/// A flag: when its token can be seen, if it has one.
type Flag = Option<u64>;

struct Stepped<'a> {
    program: &'a Program,
    prices: &'a Prices,
    pipes: Vec<Pipe>,
    flags: Vec<Flag>,
    time: u64,
}

impl Stepped<'_> {
    /// Cycles and busy cycles of each pipe, or none if it hangs.
    fn run(&mut self) -> Option<(u64, Vec<u64>)> {
        let mut way = self.way().into_iter().peekable();
        let mut now = 0;
        loop {
            let mut changed = true;
            while changed {
                changed = (1..self.pipes.len()).any(|pipe| self.start(pipe));
                let due = way.peek().filter(|_| now <= self.time).copied();
                if let Some(cost) = due.and_then(|step| self.scalar(step)) {
                    now = self.time + cost;
                    way.next();
                    changed = true;
                }
            }
            let times = self
                .pipes
                .iter()
                .flat_map(|p| [p.free, p.done].into_iter().chain(p.queue.iter().map(|q| q.1)));
            let tokens = self.flags.iter().flatten().copied();
            let Some(next) = times.chain(tokens).chain([now]).filter(|&t| t > self.time).min() else { break };
            self.time = next;
        }
        let ended = way.peek().is_none() && self.pipes.iter().all(|p| p.queue.is_empty());
        let end = self.pipes.iter().map(|p| p.done).max().unwrap_or(0).max(now);
        ended.then(|| (end, self.pipes[1..].iter().map(|p| p.busy).collect()))
    }

    /// Steps in the order in which the scalar unit meets them; none stands for going on with a loop or into a branch.
    fn way(&self) -> Vec<Option<usize>> {
        let steps = &self.program.steps;
        let mut way = Vec::new();
        let mut trips = Vec::new();
        let mut at = 0;
        while at < steps.len() {
            at = match steps[at] {
                Step::LoopBegin { .. } => {
                    trips.push(0);
                    at + 1
                }
                Step::LoopTest { end, .. } => {
                    if trips.last() == Some(&TRIPS) {
                        trips.pop();
                        end + 1
                    } else {
                        at + 1
                    }
                }
                Step::LoopEnd { begin } => {
                    way.push(None);
                    *trips.last_mut().unwrap() += 1;
                    begin + 1
                }
                Step::IfBegin { .. } => {
                    way.push(None);
                    at + 1
                }
                Step::Else { end } => end + 1,
                Step::IfEnd | Step::Exit => at + 1,
                _ => {
                    way.push(Some(at));
                    at + 1
                }
            };
        }
        way
    }

    /// Starts the head of a pipe's queue, if it can start now.
    fn start(&mut self, pipe: usize) -> bool {
        let Some(&(step, ready)) = self.pipes[pipe].queue.front() else { return false };
        let now = self.time;
        let Pipe { free, done, started, .. } = self.pipes[pipe];
        if ready > now || free > now {
            return false;
        }
        let (busy, end) = match self.program.steps[step] {
            Step::Instruction { .. } => {
                let Price { head, busy, tail } = self.prices.steps[step];
                let busy = if now > free || !started { head + busy } else { busy };
                (busy, now + busy + tail)
            }
            Step::Set(key) => {
                if self.flags[key].is_some() {
                    return false;
                }
                let end = now.max(done) + self.prices.set;
                self.flags[key] = Some(end + self.prices.set_delay);
                (self.prices.set, end)
            }
            Step::Wait(key) => {
                if self.flags[key].is_none_or(|visible| visible > now) {
                    return false;
                }
                self.flags[key] = None;
                (self.prices.wait, now + self.prices.wait)
            }
            _ => {
                if done > now {
                    return false;
                }
                (self.prices.barriers[pipe], now + self.prices.barriers[pipe])
            }
        };
        let pipe = &mut self.pipes[pipe];
        pipe.queue.pop_front();
        pipe.free = now + busy;
        pipe.done = pipe.done.max(end);
        pipe.busy += busy;
        pipe.started = true;
        true
    }

    /// What it costs the scalar unit to get past a step now; none if it cannot yet.
    fn scalar(&mut self, step: Option<usize>) -> Option<u64> {
        let Some(step) = step else { return Some(self.prices.branch) };
        let now = self.time;
        let own = self.program.pipe_of(step) == Some(0);
        match self.program.steps[step] {
            Step::Barrier(None) => {
                let rests = self.pipes.iter().all(|p| p.queue.is_empty() && p.done <= now);
                rests.then_some(self.prices.barrier_all)
            }
            Step::Instruction { .. } if own => Some(self.prices.steps[step].busy),
            Step::Set(key) if own => {
                if self.flags[key].is_some() {
                    return None;
                }
                self.flags[key] = Some(now + self.prices.set + self.prices.set_delay);
                Some(self.prices.set)
            }
            Step::Wait(key) if own => {
                self.flags[key].filter(|&visible| visible <= now)?;
                self.flags[key] = None;
                Some(self.prices.wait)
            }
            _ => {
                let pipe = self.program.pipe_of(step).unwrap();
                let target = &mut self.pipes[pipe];
                if target.queue.len() >= self.prices.queues[pipe] {
                    return None;
                }
                target.queue.push_back((step, now + self.prices.dispatch));
                Some(self.prices.dispatch)
            }
        }
    }
}

/// A piece of a program.
#[derive(Clone, Debug)]
enum Piece {
    Work(usize),
    /// A set right away, its wait at the end of the program or of the loop.
    Pair(Key),
    Set(Key),
    Wait(Key),
    Barrier(Option<usize>),
    Loop(Vec<Piece>),
    If(Vec<Piece>, Vec<Piece>),
}

fn key() -> impl Strategy<Value = Key> {
    (0usize..4, 1usize..4, 0u32..2).prop_map(|(src, by, id)| Key { src, dst: (src + by) % 4, id })
}

fn piece() -> impl Strategy<Value = Piece> {
    let leaf = prop_oneof![
        6 => (0usize..4).prop_map(Piece::Work),
        5 => key().prop_map(Piece::Pair),
        1 => key().prop_map(Piece::Set),
        1 => key().prop_map(Piece::Wait),
        1 => prop::option::of(1usize..4).prop_map(Piece::Barrier),
    ];
    leaf.prop_recursive(2, 24, 6, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![list().prop_map(Piece::Loop), (list(), list()).prop_map(|(a, b)| Piece::If(a, b))]
    })
}

fn build(builder: &mut Builder, pieces: &[Piece]) {
    let mut open = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Work(pipe) => _ = builder.instruction(*pipe, &[]),
            Piece::Pair(key) => {
                builder.set(*key);
                // Some waits come at once, so that flags are used again.
                if key.id == 0 { _ = builder.wait(*key) } else { open.push(*key) }
            }
            Piece::Set(key) => _ = builder.set(*key),
            Piece::Wait(key) => _ = builder.wait(*key),
            Piece::Barrier(pipe) => _ = builder.barrier(*pipe),
            Piece::Loop(body) => {
                builder.open_loop(Trips::UNKNOWN, false);
                build(builder, body);
                builder.close();
            }
            Piece::If(yes, no) => {
                builder.open_if();
                build(builder, yes);
                builder.middle();
                build(builder, no);
                builder.close();
            }
        }
    }
    for key in open {
        builder.wait(key);
    }
}

fn prices(program: &Program, seed: u64, depth: usize) -> Prices {
    let price = |step: usize| {
        let n = (step as u64).wrapping_mul(0x9e37_79b9).wrapping_add(seed) >> 3;
        Price { head: n % 4, busy: 1 + n % 23, tail: n / 7 % 9 }
    };
    Prices {
        steps: (0..program.steps.len()).map(price).collect(),
        queues: vec![depth; 4],
        barriers: vec![seed % 5; 4],
        barrier_all: 7,
        set: 1 + seed % 2,
        set_delay: seed % 11,
        wait: 1,
        dispatch: 1 + seed % 3,
        branch: 2,
        ..Prices::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn times_are_those_of_a_machine_that_is_stepped(
        pieces in prop::collection::vec(piece(), 0..16),
        seed in 0u64..1000,
        depth in 1usize..5,
    ) {
        let mut builder = Builder::new("random", &["S", "V", "MTE2", "MTE3"], Some(0));
        build(&mut builder, &pieces);
        let program = builder.finish();
        let prices = prices(&program, seed, depth);
        let setup = Setup { default_trips: TRIPS, ..Setup::default() };
        let module = ModuleData::default();
        let run = simulate(&program, &module.view(), &prices, &setup);

        let flags = vec![None; program.keys.len()];
        let pipes = (0..4).map(|_| Pipe::default()).collect();
        let stepped = Stepped { program: &program, prices: &prices, pipes, flags, time: 0 }.run();
        prop_assert_eq!(run.cycles, stepped.as_ref().map(|s| s.0), "{:?}", program.steps);
        prop_assert_eq!(run.cycles.is_none(), !run.hangs_at.is_empty());
        if let Some((_, busy)) = stepped {
            for (pipe, busy) in ["V", "MTE2", "MTE3"].iter().zip(busy) {
                let times = run.pipes.iter().find(|p| p.pipe == *pipe);
                prop_assert_eq!(times.map_or(0, |t| t.busy), busy);
            }
            let timeline = run.timeline(&program, "", usize::MAX);
            for lane in &timeline.lanes {
                let apart = |w: &[pipewright::simulate::timeline::Span]| w[0].start + w[0].length <= w[1].start;
                prop_assert!(lane.spans.windows(2).all(apart), "{:?}", lane);
            }
            for steps in timeline.critical_path.windows(2) {
                prop_assert!(steps[0].start <= steps[1].start || steps[1].because == "barrier");
            }
        }
    }
}
