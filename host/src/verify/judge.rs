//! From suspects, faults and imbalances to findings: what goes wrong where, how bad it is, on which path.
//!
//! What must hold: for each rule, all that the dataflow could not exclude and no search cleared is a finding, or counted.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::feasible::{Decision, Paths};
use super::flow::{self, SlotKind, Slots, Suspect};
use super::hang::{self, Hang};
use super::path::{First, Path, Shape};
use super::program::{self, Buffer, Fault, Program, Step, StepIndex, UNBOUND};
use super::suspects::{self, Found};
use super::{Finding, FlagModel, Grade, MAX_FINDINGS, Rule, address, balance};

/// All findings of a program, in no order.
pub(super) struct Judged {
    pub(super) findings: Vec<Finding>,
    /// How many more there are of a rule.
    pub(super) more: BTreeMap<Rule, usize>,
    /// The number of paths on which a deadlock was looked for, if that is all that is known.
    pub(super) sampled: Option<usize>,
    /// Whether something holds only if no integer overflows.
    pub(super) no_overflow: bool,
}

/// Looks for all that is wrong, with no more than `work` steps of search.
pub(super) fn judge(program: &Program, model: FlagModel, work: usize) -> Judged {
    let slots = Slots::new(program);
    let flow = flow::flow(program, &slots);
    let shape = Rc::new(Shape::new(program));
    let paths = Paths::new(program, shape.clone());
    let (findings, more) = (faults(program), BTreeMap::new());
    let mut judge = Judge { program, slots, flow, shape, paths, model, findings, more };
    judge.suspects(work);
    judge.imbalances();
    let sampled = judge.deadlock();
    let no_overflow = judge.paths.overflow.get();
    Judged { findings: judge.findings, more: judge.more, sampled, no_overflow }
}

/// Statements that name what the machine does not have.
pub(super) fn faults(p: &Program) -> Vec<Finding> {
    let finding = |&(step, fault): &(StepIndex, Fault)| {
        let (rule, grade, key, detail) = match fault {
            Fault::Missing { src, dst } => {
                let detail = format!("the pair {}>{} has no event id", p.pipes[src], p.pipes[dst]);
                (Rule::EventId, Grade::Error, None, detail)
            }
            Fault::OutOfRange { key, count } => {
                let detail = format!("ids are below {count}");
                (Rule::EventId, Grade::Error, Some(key), detail)
            }
            Fault::Reserved { key } => {
                let detail = "the id is reserved: library calls use it within themselves".into();
                (Rule::EventId, Grade::Warning, Some(key), detail)
            }
            Fault::Ends { key } => {
                let detail = "these two pipes share no flag".into();
                (Rule::EventId, Grade::Error, Some(key), detail)
            }
            Fault::ScalarBarrier => {
                let detail = "the scalar pipe takes no barrier: it works in program order".into();
                (Rule::BarrierPipe, Grade::Error, None, detail)
            }
            Fault::NoPipe { core, pipe, other } => {
                let key = p.key_of(step).map(|key| p.keys[key]);
                let pipe = &p.pipes[pipe];
                let pipes =
                    other.map_or(pipe.clone(), |other| format!("{pipe} and no pipe {}", p.pipes[other]));
                (Rule::CorePipe, Grade::Error, key, format!("a {} core has no pipe {pipes}", core.name()))
            }
            Fault::Misplaced { subject, space, what } => {
                let detail = format!("{subject} {}", address::misplaced_text(p, space, &what));
                (Rule::Address, Grade::Error, None, detail)
            }
            Fault::Taken { space, tile, buffer } => {
                (Rule::Address, Grade::Error, None, address::taken_text(p, space, tile, buffer))
            }
        };
        let (second, memory, path) = (step, None, Some(Path::default()));
        Finding { rule, grade, first: None, later: 0, second, key, memory, detail, path, may_be: false }
    };
    p.faults.iter().map(finding).collect()
}

struct Judge<'a> {
    program: &'a Program,
    slots: Slots,
    flow: flow::Flow,
    shape: Rc<Shape>,
    paths: Paths<'a>,
    model: FlagModel,
    findings: Vec<Finding>,
    more: BTreeMap<Rule, usize>,
}

impl Judge<'_> {
    /// What the dataflow could not exclude, as far as it happens on a path.
    fn suspects(&mut self, work: usize) {
        let exit = self.program.steps.len() - 1;
        let all = suspects::look_for(
            self.program,
            &self.shape,
            &self.slots,
            &mut self.flow,
            &self.paths,
            MAX_FINDINGS,
            work,
        );
        for (suspect, slot, found) in all {
            let (second, key) = match suspect {
                Suspect::Conflict { step, .. } | Suspect::Early { step, .. } => (step, None),
                Suspect::Reuse { step }
                | Suspect::DoubleSet { step }
                | Suspect::EarlyWait { step }
                | Suspect::Hidden { step } => (step, self.program.key_of(step)),
                Suspect::Undrained { key } => (exit, Some(key)),
                Suspect::Unfinished { .. } => (exit, None),
            };
            self.confirm(self.rule_of(suspect), found, second, key, slot);
        }
    }

    fn rule_of(&self, suspect: Suspect) -> Rule {
        match suspect {
            Suspect::Conflict { step, slot } => {
                if self.program.pipe_of(step) == Some(self.slots.slots[slot].pipe) {
                    Rule::MissingBarrier
                } else {
                    Rule::DataRace
                }
            }
            Suspect::Reuse { .. } => Rule::FlagReuse,
            Suspect::Early { .. } => Rule::EarlyPublish,
            Suspect::Hidden { .. } => Rule::HiddenFlag,
            // A flag that a call sets and takes itself.
            Suspect::DoubleSet { step } | Suspect::EarlyWait { step }
                if self.program.call_of(step).is_some() =>
            {
                Rule::HiddenFlag
            }
            Suspect::DoubleSet { .. } => Rule::DoubleSet,
            Suspect::EarlyWait { .. } => Rule::WaitBeforeSet,
            Suspect::Undrained { .. } => Rule::UndrainedFlag,
            Suspect::Unfinished { .. } => Rule::UnfinishedWork,
        }
    }

    fn confirm(
        &mut self,
        rule: Rule,
        found: Found,
        second: StepIndex,
        key: Option<usize>,
        slot: Option<usize>,
    ) {
        let program = self.program;
        let is_first = |step: StepIndex, buffers: &[Buffer]| match (slot, key) {
            _ if program.in_call_order(step, second) => false,
            (Some(slot), _) => {
                self.slots.of(step).contains(&slot)
                    && suspects::is_in_slot(program, step, self.slots.slots[slot], buffers)
            }
            (None, Some(key)) if rule == Rule::WaitBeforeSet => program.steps[step] == Step::Wait(key),
            (None, Some(key)) if rule == Rule::HiddenFlag => {
                matches!(program.steps[step], Step::Set(k) | Step::Wait(k) if k == key)
            }
            (None, Some(key)) => program.steps[step] == Step::Set(key),
            _ => false,
        };
        let mut buffers = vec![UNBOUND; program.carried];
        let may_be = matches!(found, Found::MayBe(_));
        let (path, first) = match found {
            Found::On(path) | Found::MayBe(path) => {
                let first = path.last(program, &mut buffers, is_first);
                (Some(path), first)
            }
            Found::Somewhere => {
                *self.more.entry(rule).or_default() += 1;
                return;
            }
            Found::Undecided => {
                let mut all = (0..second).rev().chain(second..program.steps.len());
                (None, all.find(|&step| is_first(step, &[])).map(|step| First { step, later: 0 }))
            }
        };
        let memory = slot.and_then(|slot| match self.slots.slots[slot].what {
            SlotKind::Access { memory, write } => {
                let theirs = &program.memories[memory];
                let touches = |a: &&program::Access| program.memories[a.memory].overlaps(theirs);
                let happens = |a: &&program::Access| path.is_none() || a.happens(&buffers);
                let mine = program.accesses_of(second).iter().filter(touches).filter(happens);
                // Of several accesses the one that makes it a conflict for sure.
                let mine = mine.max_by_key(|a| (a.write || write, a.write))?;
                Some([memory, mine.memory])
            }
            _ => None,
        });
        let assumed = memory.is_some_and(|[a, b]| program.memories[a].is_assumed(&program.memories[b]));
        let settled =
            rule == Rule::MissingBarrier && memory.is_some_and(|[a, b]| a == b && program.is_settled(a));
        let detail = if settled {
            "the accumulator is so large that the first is done in time".into()
        } else if assumed {
            "an address is not known, so an overlap is assumed".into()
        } else {
            String::new()
        };
        let grade = match rule {
            Rule::FlagReuse if self.model == FlagModel::Stall => Grade::Warning,
            Rule::UnfinishedWork => Grade::Advice,
            _ if settled => Grade::Advice,
            // What a signal that goes with a pipe announces, only its author knows.
            Rule::EarlyPublish if program.pipe_of(second) != program.scalar => Grade::Warning,
            _ if assumed || path.is_none() => Grade::Warning,
            _ if may_be => self.doubtful(),
            _ => Grade::Error,
        };
        let key = key.map(|k| program.keys[k]);
        let (first, later) = first.map_or((None, 0), |f| (Some(f.step), f.later));
        self.findings.push(Finding { rule, grade, first, later, second, key, memory, detail, path, may_be });
    }

    /// How bad it is what happens on a path of which nobody knows whether it exists: a pipeline must do without, who
    /// writes flags by hand may know better.
    fn doubtful(&self) -> Grade {
        let is_planned = |step: &Step| matches!(step, Step::Set(_) | Step::Wait(_) | Step::Barrier(Some(_)));
        let steps = self.program.steps.iter().zip(&self.program.origins);
        let mut planned = steps.filter(|(step, origin)| is_planned(step) && origin.group.is_some());
        if planned.next().is_some() { Grade::Error } else { Grade::Warning }
    }

    fn imbalances(&mut self) {
        let mut doubtful = None;
        let mut is_known = false;
        for found in balance::unbalanced(self.program) {
            let Some((path, may_be)) = self.way_to_imbalance(found.construct, found.key) else { continue };
            let net = found.net.map(|n| n.map_or("a varying number of".into(), |n| format!("{n:+}")));
            let is_loop = matches!(self.program.steps[found.construct], Step::LoopBegin { .. });
            let detail = if is_loop {
                format!("each trip changes it by {} tokens", net[0])
            } else {
                format!("the then part changes it by {} tokens, the else part by {}", net[0], net[1])
            };
            let key = Some(self.program.keys[found.key]);
            let (rule, second) = (Rule::UnbalancedPath, found.construct);
            let grade = if may_be { self.doubtful() } else { Grade::Error };
            let (first, later, memory, path) = (None, 0, None, Some(path));
            let finding = Finding { rule, grade, first, later, second, key, memory, detail, path, may_be };
            if may_be {
                doubtful.get_or_insert(finding);
            } else {
                is_known = true;
                self.findings.push(finding);
            }
        }
        // Where it is known what goes wrong, what may be tells nothing.
        self.findings.extend(doubtful.filter(|_| !is_known));
    }

    /// A path to a construct that changes a flag differently, and whether it is in doubt. None if it makes no difference:
    /// conditions see to it that sets and waits fit on every path that exists.
    fn way_to_imbalance(&self, construct: StepIndex, key: usize) -> Option<(Path, bool)> {
        let path = self.shape.path_to(self.program, construct);
        if self.program.conditions.is_empty() {
            return Some((path, false));
        }
        let key = self.program.keys[key];
        let protocol = [Rule::DoubleSet, Rule::WaitBeforeSet, Rule::UndrainedFlag, Rule::HiddenFlag];
        let is_broken = |f: &&Finding| f.key == Some(key) && protocol.contains(&f.rule);
        let broken: Vec<&Finding> = self.findings.iter().filter(is_broken).collect();
        if broken.is_empty() {
            return None;
        }
        // Better one on which it does make a difference.
        let known = broken.iter().filter(|f| !f.may_be).filter_map(|f| f.path.as_ref());
        let known: Vec<&Path> = known.collect();
        if let Some(path) = known.iter().find(|path| path.telling_steps().any(|step| step == construct)) {
            return Some((Path::clone(path), false));
        }
        match self.paths.decide(&path) {
            Decision::Exists(assignment) if !known.is_empty() => Some((Path { assignment, ..path }, false)),
            _ => Some((path, true)),
        }
    }

    /// Looks for a deadlock where one is possible. The number of paths executed, if that is all that is known.
    fn deadlock(&mut self) -> Option<usize> {
        let breaks = |rules: &[Rule]| self.findings.iter().any(|f| rules.contains(&f.rule));
        let protocol = [Rule::DoubleSet, Rule::WaitBeforeSet, Rule::HiddenFlag];
        let losing = [Rule::FlagReuse, Rule::DoubleSet, Rule::HiddenFlag];
        let loses = self.model == FlagModel::Lose && breaks(&losing);
        if loses {
            let lost = |f: &&Finding| losing.contains(&f.rule);
            let lost: Vec<Finding> = self.findings.iter().filter(lost).cloned().collect();
            for finding in lost {
                let detail = "a set of a flag that is still set is lost, and a later wait hangs".into();
                self.findings.push(Finding { rule: Rule::Deadlock, grade: Grade::Error, detail, ..finding });
            }
            return None;
        }
        if !breaks(&protocol) {
            return None;
        }
        let shown = self.findings.iter().filter_map(|f| f.path.as_ref()).map(|path| &path.assignment);
        let (hang, paths) = hang::hang(self.program, self.model, shown);
        let Some(hang) = hang else { return Some(paths) };
        let program = self.program;
        let names: Vec<String> = hang
            .stuck
            .iter()
            .filter_map(|&step| match program.steps[step] {
                Step::Set(key) => Some(format!(
                    "{} at a set of {}",
                    program.pipes[program.keys[key].src],
                    program.key_name(program.keys[key])
                )),
                Step::Wait(key) => Some(format!(
                    "{} at a wait for {}",
                    program.pipes[program.keys[key].dst],
                    program.key_name(program.keys[key])
                )),
                _ => None,
            })
            .collect();
        let detail = format!("stuck: {}", names.join(", "));
        let second = hang.stuck[0];
        let key = match program.steps[second] {
            Step::Set(key) | Step::Wait(key) => Some(program.keys[key]),
            _ => None,
        };
        let first = hang.stuck.get(1).copied();
        let Hang { may_be, assignment, .. } = hang;
        let grade = if may_be { self.doubtful() } else { Grade::Error };
        let (rule, path) = (Rule::Deadlock, Some(Path { assignment, ..Path::of(&hang.path) }));
        let (later, memory) = (0, None);
        self.findings.push(Finding { rule, grade, first, later, second, key, memory, detail, path, may_be });
        None
    }
}
