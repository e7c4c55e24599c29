//! From the records of a run to what people want to know: timeline, critical path, what each statement costs.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::lines::Lines;
use super::machine::Machine;
use super::records::{NOBODY, Record, Tally};
use super::timeline::{CriticalStep, Edge, Lane, Loss, Reason, Span, Statement, Timeline};
use super::walk::Way;
use super::{PipeTimes, Simulation};
use crate::verify::program::{Program, Step, StepIndex};

/// Steps of a critical path that are kept, from its end on.
const MAX_PATH: usize = 20_000;

/// What a run leaves behind.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    pub(super) tally: Tally,
    records: Vec<Record>,
    queue_stalls: Vec<(u64, u64, u32)>,
    /// The record that is done last.
    last: u32,
}

/// The simulation that a run makes.
pub(super) fn settle(
    program: &Program,
    machine: Machine<'_>,
    way: Way,
    notes: Vec<String>,
    named: Vec<String>,
) -> Simulation {
    let end = machine.end();
    let name = |pipe: usize| program.pipes.get(pipe).cloned().unwrap_or_default();
    let Machine { tally, records, queue_stalls, simulated, .. } = machine;
    let pipes = (0..tally.busy.len())
        .filter(|&pipe| tally.busy[pipe] > 0)
        .map(|pipe| PipeTimes { pipe: name(pipe), busy: tally.busy[pipe], stalls: tally.stalls[pipe] })
        .collect();
    Simulation {
        cycles: way.hangs_at.is_empty().then_some(end.time),
        executed: tally.executed,
        simulated,
        pipes,
        extrapolated: way.sampled.values().filter(|sampled| !sampled.exact).count(),
        hangs_at: way.hangs_at,
        notes,
        named,
        accounts: Accounts { tally, records, queue_stalls, last: end.by },
    }
}

/// What a run assumed, sampled or lost, in words.
pub(super) fn notes(
    program: &Program,
    lines: &Lines<'_>,
    way: &Way,
    lost_tokens: u64,
    unlisted: &BTreeSet<String>,
) -> Vec<String> {
    let at = |step: StepIndex| match lines.of(program, step).0 {
        0 => String::new(),
        line => format!(" at line {line}"),
    };
    let mut notes = Vec::new();
    for (&step, &trips) in &way.guessed_trips {
        notes.push(format!("the loop{} is taken to have {trips} trips", at(step)));
    }
    for &step in way.guessed_branches.keys() {
        notes.push(format!("the branch{} is taken to go into its then part", at(step)));
    }
    for (&step, sampled) in &way.sampled {
        let how =
            if sampled.exact { "repeat those before exactly" } else { "are taken to be like those before" };
        notes.push(format!(
            "of {} trips of the loop{} {} {how}, and were skipped",
            sampled.trips,
            at(step),
            sampled.skipped
        ));
    }
    if lost_tokens > 0 {
        notes.push(format!("{lost_tokens} sets found their flag still set and were lost"));
    }
    if !unlisted.is_empty() {
        let names: Vec<&str> = unlisted.iter().map(String::as_str).collect();
        notes.push(format!("no costs of their own: {}", names.join(", ")));
    }
    notes.extend(program.assumptions.iter().cloned());
    notes
}

/// What runs when, with at most `most_spans` spans in all lanes together.
pub(super) fn timeline(run: &Simulation, program: &Program, source: &str, most_spans: usize) -> Timeline {
    let Accounts { tally, records, queue_stalls, last } = &run.accounts;
    let lines = Lines::new(source);
    let mut statements = Statements { lines: &lines, program, list: Vec::new(), known: HashMap::new() };
    let mut order: Vec<usize> = (0..tally.busy.len()).filter(|&pipe| tally.busy[pipe] > 0).collect();
    order.sort_by_key(|&pipe| (Some(pipe) != program.scalar, pipe));
    let lane_of: HashMap<usize, usize> = order.iter().enumerate().map(|(lane, &pipe)| (pipe, lane)).collect();
    let mut lanes: Vec<Lane> = order
        .iter()
        .map(|&pipe| Lane {
            pipe: program.pipes.get(pipe).cloned().unwrap_or_default(),
            busy: tally.busy[pipe],
            stalls: Reason::ALL.into_iter().zip(tally.stalls[pipe]).filter(|(_, n)| *n > 0).collect(),
            spans: Vec::new(),
        })
        .collect();

    let cycles = run.cycles.unwrap_or_else(|| records.iter().map(|r| r.end).max().unwrap_or(0));
    let shown = shown(records, queue_stalls, cycles, most_spans);
    let visible = |r: &&Record| r.start < shown || r.free <= shown;
    for record in records.iter().filter(visible) {
        let Some(&lane) = lane_of.get(&(record.pipe as usize)) else { continue };
        let step = record.step as usize;
        let spans = &mut lanes[lane].spans;
        let mut add = |from: u64, to: u64, step: usize, reason: Option<Reason>| {
            if to > from {
                let statement = statements.index(step);
                spans.push(Span { start: from, length: to - from, statement, reason });
            }
        };
        let (late, late_at) = record.held.unwrap_or((Reason::Dispatch, record.step));
        add(record.from, record.ready, late_at as usize, Some(late));
        let own = match program.steps[step] {
            Step::Set(_) => Reason::Set,
            Step::Wait(_) => Reason::Wait,
            Step::Barrier(_) => Reason::Barrier,
            _ => Reason::Dispatch,
        };
        add(record.ready, record.start, step, Some(own));
        add(record.start, record.free, step, None);
    }
    if let Some(lane) = program.scalar.and_then(|s| lane_of.get(&s)) {
        for &(from, to, step) in queue_stalls.iter().filter(|(from, ..)| *from < shown) {
            let (length, statement) = (to - from, statements.index(step as usize));
            lanes[*lane].spans.push(Span { start: from, length, statement, reason: Some(Reason::Queue) });
        }
        lanes[*lane].spans.sort_by_key(|s| s.start);
    }
    let edges = edges(records, program, &lane_of, shown, &mut statements);
    let critical_path = critical_path(records, *last, program, &mut statements);
    let mut losses: Vec<Loss> = (0..tally.lost.len())
        .filter(|&step| tally.lost[step] > 0)
        .map(|step| Loss {
            statement: statements.index(step),
            count: tally.count[step],
            cycles: tally.lost[step],
        })
        .collect();
    losses.sort_by_key(|l| (std::cmp::Reverse(l.cycles), l.statement));
    Timeline { cycles, shown, lanes, edges, statements: statements.list, critical_path, losses }
}

/// Until when there are no more than so many spans.
fn shown(records: &[Record], queue_stalls: &[(u64, u64, u32)], cycles: u64, most_spans: usize) -> u64 {
    let mut starts: Vec<u64> = Vec::new();
    for r in records {
        starts.extend((r.ready > r.from).then_some(r.from));
        starts.extend((r.start > r.ready).then_some(r.ready));
        starts.extend((r.free > r.start).then_some(r.start));
    }
    starts.extend(queue_stalls.iter().map(|(from, ..)| *from));
    if starts.len() <= most_spans {
        return cycles;
    }
    *starts.select_nth_unstable(most_spans).1
}

/// Statements that something refers to, each once.
struct Statements<'a> {
    lines: &'a Lines<'a>,
    program: &'a Program,
    list: Vec<Statement>,
    known: HashMap<StepIndex, usize>,
}

impl Statements<'_> {
    fn index(&mut self, step: StepIndex) -> usize {
        *self.known.entry(step).or_insert_with(|| {
            self.list.push(self.lines.statement(self.program, step));
            self.list.len() - 1
        })
    }
}

/// The tokens that were taken, each with the set that it came from.
fn edges(
    records: &[Record],
    program: &Program,
    lane_of: &HashMap<usize, usize>,
    shown: u64,
    statements: &mut Statements<'_>,
) -> Vec<Edge> {
    let mut tokens: Vec<VecDeque<&Record>> = vec![Default::default(); program.keys.len()];
    let mut edges = Vec::new();
    // Each flag is set and taken in turn, so records stand in the order of its tokens.
    for record in records {
        match program.steps[record.step as usize] {
            Step::Set(key) => tokens[key].push_back(record),
            Step::Wait(key) => {
                let Some(set) = tokens[key].pop_front().filter(|_| record.start < shown) else { continue };
                let lanes = [set, record].map(|r| lane_of.get(&(r.pipe as usize)));
                let [Some(&from_lane), Some(&to_lane)] = lanes else { continue };
                edges.push(Edge {
                    from_lane,
                    from_time: set.end,
                    to_lane,
                    to_time: record.start,
                    set: statements.index(set.step as usize),
                    wait: statements.index(record.step as usize),
                });
            }
            _ => {}
        }
    }
    edges.sort_by_key(|e| (e.to_time, e.to_lane, e.from_time, e.from_lane));
    edges
}

/// What the end waited for, from the start to the end.
fn critical_path(
    records: &[Record],
    last: u32,
    program: &Program,
    statements: &mut Statements<'_>,
) -> Vec<CriticalStep> {
    let mut path = Vec::new();
    let mut at = last;
    while at != NOBODY && path.len() < MAX_PATH {
        let Some(record) = records.get(at as usize) else { break };
        path.push(CriticalStep {
            statement: statements.index(record.step as usize),
            pipe: program.pipes.get(record.pipe as usize).cloned().unwrap_or_default(),
            start: record.start,
            end: record.end,
            because: record.cause.name().into(),
        });
        at = record.by;
    }
    path.reverse();
    path
}
