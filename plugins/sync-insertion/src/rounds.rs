//! Which scans are made: each instruction over what precedes it, then, loop by loop, round the loop.

use pipewright_abi::kernel::{Kernel, node_flag, node_kind};
use pipewright_abi::parts::{PartIndex, PartKind, Parts};
use pipewright_abi::plan::Anchor;
use pipewright_abi::{NodeId, PassContext, PassError};

use crate::candidate::Candidate;
use crate::facts::Facts;
use crate::groups::Groups;
use crate::lists::Lists;
use crate::scan::{Scan, Setting, Trace};
use crate::turns::{Turns, View};
use crate::waits::{Pipes, only};

/// Inserts a pair or barrier for each hazard that the ones before do not order.
pub(crate) fn insert<'p>(
    cx: &mut PassContext<'p>,
    kernel: Kernel<'p>,
    ends: Ends,
    exact_rotation: bool,
) -> Result<(), PassError> {
    let (hazards, target) = (cx.hazards()?, cx.target());
    let pipes = target.t.pipes.len();
    if pipes > Pipes::BITS as usize {
        let message = format!("the target has {pipes} pipes; this pass handles at most {}", Pipes::BITS);
        return Err(PassError::new(message));
    }
    let foreign = kernel.instructions().find(|&n| kernel.node(n).pipe.index() >= pipes);
    if let Some(node) = foreign {
        return Err(
            PassError::new("an instruction runs on a pipe that the target does not have").at_node(node)
        );
    }
    let parts = Parts::new(&kernel);
    let lists = Lists::new(&kernel, &hazards, &target);
    let mut rounds = Rounds {
        part_pipes: part_pipes(&kernel, &parts),
        forward: Facts::new(lists.slots()),
        round: Facts::new(lists.slots()),
        turns: Turns::new(kernel, hazards, exact_rotation),
        groups: Groups::new(cx, kernel, hazards, pipes, parts.count(), ends == Ends::Moved),
        kernel,
        parts,
        lists,
        ends,
        pipes,
    };
    for (id, node) in kernel.node_ids().zip(kernel.nodes) {
        match node.kind {
            node_kind::INSTRUCTION => {
                rounds.groups.carrier = NodeId::NONE;
                rounds.forward(id.0)?;
                rounds.lists.pass(id.0);
                if node.flags & node_flag::JOINS != 0 {
                    rounds.groups.join(id.0);
                }
            }
            node_kind::LOOP_END => {
                rounds.groups.carrier = id;
                rounds.round(node.begin.0, id.0)?;
            }
            _ => {}
        }
    }
    rounds.groups.put_early_behind_waits()
}

/// What scans take for granted about where the ends of a pair stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Where the pair was made. A wait that was seen inside a loop counts for the code before the loop as well.
    KeepHistory,
    /// Where the pair was made. What was seen inside a loop is forgotten outside.
    DropHistory,
    /// Where motion puts them: before and behind the constructs that do not hold their partner.
    Moved,
}

struct Rounds<'c, 'p> {
    kernel: Kernel<'p>,
    parts: Parts,
    part_pipes: Vec<Pipes>,
    lists: Lists,
    forward: Facts,
    round: Facts,
    turns: Turns<'p>,
    groups: Groups<'c, 'p>,
    ends: Ends,
    pipes: usize,
}

impl Rounds<'_, '_> {
    /// Looks for dependences of `now` on what precedes it.
    fn forward(&mut self, now: u32) -> Result<(), PassError> {
        let Self { kernel, parts, part_pipes, lists, turns, forward: facts, groups, ends, pipes, .. } = self;
        let part = parts.of(NodeId(now));
        let call = kernel.call(NodeId(now));
        let view = View::new(turns, parts, now, None);
        let uses = lists.uses(now);
        let mut candidates = Vec::new();
        for used in uses {
            let list = lists.list(used.list);
            let Some(&last) = list.passed.checked_sub(1).and_then(|i| list.members.get(i)) else { continue };
            if !facts.covers_up_to(used.slot, part, last) {
                let own = call.0.0..now;
                let covers = facts.covers(parts, used.slot, now).collect();
                let candidate = Candidate::new(list, covers, None).without(own);
                candidates.extend(candidate.last(2 * now, 0, &view).is_some().then_some(candidate));
            }
        }
        let mut trace = Trace::default();
        if !candidates.is_empty() {
            let setting = Setting {
                parts,
                part_pipes,
                ends: *ends,
                now,
                pipe: kernel.node(NodeId(now)).pipe.0,
                least_candidate: 0,
                view,
                inner_loop: None,
            };
            let mut scan = Scan::new(setting, candidates, groups, *pipes);
            scan.path(0)?;
            trace = scan.trace();
        }
        let around = Around { parts, top: 0, loops_give_seen: *ends == Ends::KeepHistory, call: call.0.0 };
        // What need not be finished for its turn may have to be for another instruction of its slots.
        if !view.takes_turns() {
            note(facts, lists, &around, now, kernel.node(NodeId(now)).pipe.0, &trace);
        }
        Ok(())
    }

    /// Looks for dependences round the loop.
    fn round(&mut self, begin: u32, end: u32) -> Result<(), PassError> {
        let body = self.parts.at(Anchor::after(NodeId(begin)));
        // The construct of the loop's body that the current node stands in.
        let mut construct = (begin, begin);
        for now in begin + 1..end {
            let node = self.kernel.node(NodeId(now));
            if node.kind == node_kind::INSTRUCTION {
                let around = (now < construct.1).then_some(construct);
                self.round_of(now, body, end, around)?;
            } else if now > construct.1 && node.end.is_some() {
                construct = (now, node.end.0);
            }
        }
        Ok(())
    }

    fn round_of(
        &mut self,
        now: u32,
        body: PartIndex,
        end: u32,
        construct: Option<(u32, u32)>,
    ) -> Result<(), PassError> {
        let Self { kernel, parts, part_pipes, lists, turns, round: facts, groups, ends, pipes, .. } = self;
        let part = parts.of(NodeId(now));
        // In a loop of the body the tail begins at the instruction, and what stands in that loop was dealt with when it
        // ended. A branch of the body is scanned in full.
        let is_loop = |begin: u32| kernel.node(NodeId(begin)).kind == node_kind::LOOP_BEGIN;
        let inner_loop = construct.filter(|&(begin, _)| is_loop(begin));
        let branch = construct.filter(|&(begin, _)| !is_loop(begin));
        let least_candidate = branch.map_or(now, |(begin, _)| begin);
        let view = View::new(turns, parts, now, Some(kernel.node(NodeId(end)).begin.0));
        let uses = lists.uses(now);
        let mut candidates = Vec::new();
        for used in uses {
            facts.turn_to(used.slot, end);
            if facts.is_of(used.slot, part) {
                continue;
            }
            let list = lists.list(used.list);
            let covers = facts.covers_round(parts, used.slot, now).collect();
            let candidate = Candidate::new(list, covers, inner_loop);
            candidates
                .extend(candidate.last(2 * end, 2 * least_candidate, &view).is_some().then_some(candidate));
        }
        let mut trace = Trace::default();
        if !candidates.is_empty() {
            let setting = Setting {
                parts,
                part_pipes,
                ends: *ends,
                now,
                pipe: kernel.node(NodeId(now)).pipe.0,
                least_candidate: 2 * least_candidate,
                view,
                inner_loop,
            };
            let mut scan = Scan::new(setting, candidates, groups, *pipes);
            scan.round(body, end)?;
            trace = scan.trace();
        }
        let around = Around { parts, top: body, loops_give_seen: *ends == Ends::KeepHistory, call: now };
        // What need not be finished for its turn may have to be for another instruction of its slots.
        if !view.takes_turns() {
            note(facts, lists, &around, now, kernel.node(NodeId(now)).pipe.0, &trace);
        }
        Ok(())
    }
}

/// The parts around instructions, up to `top`.
struct Around<'p> {
    parts: &'p Parts,
    top: PartIndex,
    loops_give_seen: bool,
    /// From this node on, what stands before the instruction was left out: nodes of its own call.
    call: u32,
}

/// Notes for all slots of `now` that it was scanned. Nothing is known of a slot of which it left something out.
fn note(facts: &mut Facts, lists: &Lists, around: &Around<'_>, now: u32, pipe: u32, trace: &Trace) {
    let Around { parts, top, loops_give_seen, call } = *around;
    let part = parts.of(NodeId(now));
    // For each part around it, inner first, what is asked for by the scan itself, and whether facts ask for more: where
    // the scan did not come because they hold, and behind branches, where what it passed because of them counts.
    let mut asked: Vec<(Pipes, bool)> = Vec::new();
    let (mut outer, mut pipes, mut hides_seen) = (part, 0, false);
    while outer != top {
        let of = parts.part(outer);
        let left = trace.left.get(asked.len());
        let known = left.unwrap_or(&trace.end);
        hides_seen |= of.kind != PartKind::Loop || !loops_give_seen;
        pipes |= known.finished;
        if hides_seen {
            pipes |= known.seen | trace.made_outside;
        }
        asked.push((pipes, hides_seen || left.is_none()));
        outer = of.parent;
    }
    asked.reverse();
    let mut needs: Vec<Pipes> = Vec::with_capacity(asked.len());
    for used in lists.uses(now) {
        let list = lists.list(used.list);
        if list.members[..list.passed].last().is_some_and(|&last| call <= last && last < now) {
            continue;
        }
        if facts.is_of(used.slot, part) {
            facts.renew(used.slot, now);
            continue;
        }
        needs.clear();
        needs.extend(asked.iter().map(|(pipes, _)| pipes));
        let relied_on = facts.ask_for(parts, used.slot, now, &mut needs, |place| asked[place].1);
        let own = if lists.list(used.list).pipe == pipe { trace.barrier_from } else { u32::MAX };
        let reach = own.min(relied_on);
        facts.add(parts, used.slot, now, part, (&needs, reach));
    }
}

fn part_pipes(kernel: &Kernel<'_>, parts: &Parts) -> Vec<Pipes> {
    let mut pipes = vec![0; parts.count()];
    for node in kernel.instructions() {
        pipes[parts.of(node) as usize] |= only(kernel.node(node).pipe.0);
    }
    // A part comes after the one around it.
    for part in (1..parts.count()).rev() {
        pipes[parts.part(part as PartIndex).parent as usize] |= pipes[part];
    }
    pipes
}
