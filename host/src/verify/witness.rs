//! Findings in words: what stands where, which way the path goes, who does what in which order.
//!
//! What must hold: the text is a function of program, source and finding.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use pipewright_abi::TextRange;

use super::path::Path;
use super::program::{Place, Program, Step, StepIndex};
use super::{Finding, Rule};
use crate::diagnostic::{Diagnostic, Severity};

/// Events of a path that are printed.
const MAX_EVENTS: usize = 14;

/// A program with the text that its spans refer to.
#[derive(Clone, Copy, Debug)]
pub struct Render<'a> {
    /// The program.
    pub program: &'a Program,
    /// The text.
    pub source: &'a str,
}

/// A value of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of one bit.
    Truth(bool),
    /// An integer.
    Number(i64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
        }
    }
}

/// A place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Byte range.
    pub span: TextRange,
}

impl<'a> Render<'a> {
    /// Where a step stands; for a statement of a plan, the operation that it stands at. None if nothing is known.
    pub fn location(&self, step: StepIndex) -> Option<Location> {
        self.at(self.program.origins[step].span)
    }

    /// A place in the source; none for an empty one.
    pub(super) fn at(&self, span: TextRange) -> Option<Location> {
        let before = self.source.get(..span.start as usize).filter(|_| span.start < span.end)?;
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        Some(Location { line, column: before[line_start..].chars().count() + 1, span })
    }

    /// The operation that a step is or stands at: `pto.tload`.
    fn operation(&self, step: StepIndex) -> &'a str {
        let span = self.program.origins[step].span;
        self.source.get(span.start as usize..span.end as usize).unwrap_or("").lines().next().unwrap_or("")
    }

    /// What a step is: `pto.tload n3 (line 12)`, `set MTE2>V #0 (s4, after pto.tload n3, line 12)`.
    pub fn step(&self, step: StepIndex) -> String {
        let (program, origin) = (self.program, self.program.origins[step]);
        let line = self.location(step).map_or(String::new(), |l| format!("line {}", l.line));
        let line = line + &self.way_to(step);
        let node = origin.node.get().map_or(String::new(), |n| n.to_string());
        let at = join(&[self.operation(step), &node], " ");
        let what = match program.steps[step] {
            Step::Set(key) => format!("set {}", program.key_name(program.keys[key])),
            Step::Wait(key) => format!("wait {}", program.key_name(program.keys[key])),
            Step::Barrier(pipe) => format!("barrier {}", pipe.map_or("ALL", |p| &program.pipes[p])),
            Step::Uses(key) => format!("use of {}", program.key_name(program.keys[key])),
            Step::Publish(signal) => format!("signal from {}", program.pipes[program.signals[signal].pipe]),
            // A plan's flag that got no id; in the source, it is the operation.
            Step::Opaque if origin.place != Place::Itself => "flag without an id".into(),
            Step::Exit => return "return".into(),
            _ => {
                let name = if at.is_empty() { format!("step {step}") } else { at };
                return if line.is_empty() { name } else { format!("{name} ({line})") };
            }
        };
        let place = match origin.place {
            Place::Before => format!("before {at}"),
            Place::After => format!("after {at}"),
            Place::AtReturn => format!("before the return{}", self.way_to(step)),
            Place::Itself if program.call_of(step).is_some() => format!("within {at}"),
            Place::Itself => String::new(),
        };
        let line = if origin.place == Place::AtReturn { String::new() } else { line };
        let group = origin.group.get().map_or(String::new(), |g| g.to_string());
        let details = join(&[&group, &place, &line], ", ");
        if details.is_empty() { what } else { format!("{what} ({details})") }
    }

    /// `line 12`, or what the step is.
    fn place(&self, step: StepIndex) -> String {
        let line = |l: Location| format!("line {}{}", l.line, self.way_to(step));
        self.location(step).map_or_else(|| self.step(step), line)
    }

    /// The function that a step is in and the calls that lead to it, if it is not the one that is judged: ` of `f`, called
    /// at line 7`.
    fn way_to(&self, step: StepIndex) -> String {
        let calls = self.program.calls_to(step);
        let Some(last) = calls.last() else { return String::new() };
        let lines: Vec<String> =
            calls.iter().map(|call| self.at(call.span).map_or("?".into(), |l| l.line.to_string())).collect();
        let s = if lines.len() == 1 { "" } else { "s" };
        format!(" of `{}`, called at line{s} {}", last.name, lines.join(", "))
    }

    /// The finding in one sentence.
    pub fn message(&self, finding: &Finding) -> String {
        let program = self.program;
        let key = finding.key.map_or(String::new(), |k| program.key_name(k));
        let pipe = |step: StepIndex| program.pipe_of(step).map_or("?", |p| &program.pipes[p]);
        let second = finding.second;
        let detail = &finding.detail;
        let text = match finding.rule {
            Rule::DoubleSet => format!("{key} is set again before it is waited for"),
            Rule::FlagReuse => format!("{key} may be set before its previous token is taken"),
            Rule::WaitBeforeSet => format!("{key} is waited for before it is set"),
            Rule::UndrainedFlag => format!("{key} is still set when the function returns"),
            Rule::UnbalancedPath => format!("{key} depends on the way taken: {detail}"),
            Rule::Deadlock => format!("the pipes can come to rest with work left ({detail})"),
            Rule::DataRace => {
                let first = finding.first.map_or("?", pipe);
                format!("{} may touch {} while {first} works on it", pipe(second), self.memory(finding))
            }
            Rule::MissingBarrier => {
                format!(
                    "{} may touch {} before its earlier work on it is done",
                    pipe(second),
                    self.memory(finding)
                )
            }
            Rule::EventId => join(&[&key, detail], ": "),
            Rule::CorePipe => join(&[&key, detail], ": "),
            Rule::BarrierPipe | Rule::Address => detail.clone(),
            Rule::HiddenFlag => {
                let state = match finding.first.map(|f| program.steps[f]) {
                    Some(Step::Wait(_)) => "was waited for before its set",
                    _ => "is still to be waited for",
                };
                let name = self.operation(second);
                let name = if name.is_empty() { "a call" } else { name };
                format!("{name} uses {key} within itself, which {state}")
            }
            Rule::EarlyPublish => {
                let first = finding.first.map_or("a pipe", pipe);
                format!("another core is signalled while {first} may still work on global memory")
            }
            Rule::UnfinishedWork => {
                format!("the function may return while {} works", finding.first.map_or("a pipe", pipe))
            }
        };
        match &finding.path {
            Some(_) if finding.may_be => format!("may be: {text}"),
            Some(_) => text,
            None => format!("not excluded: {text}"),
        }
    }

    fn memory(&self, finding: &Finding) -> String {
        let names = finding.memory.map(|m| m.map(|m| self.program.memory_names[m].as_str()));
        match names {
            Some([a, b]) if a == b || b.is_empty() => a.to_owned(),
            Some(["", b]) => b.to_owned(),
            Some([a, b]) => format!("{b}, which overlaps {a},"),
            None => "memory".into(),
        }
    }

    /// What would mend it.
    pub fn help(&self, finding: &Finding) -> &'static str {
        match finding.rule {
            Rule::DoubleSet => {
                "the wait must stand before the second set, or the second pair needs another id"
            }
            Rule::FlagReuse => {
                "order the set after the wait (another pair back, or a barrier), or give the pair another id"
            }
            Rule::WaitBeforeSet => {
                "set the flag on every path to the wait: before a loop, for a pair carried round it"
            }
            Rule::UndrainedFlag => {
                "wait for the flag on every path to the return: behind a loop, for a pair carried round it"
            }
            Rule::UnbalancedPath => {
                "put set and wait of a pair under the same conditions, into the same loop"
            }
            Rule::Deadlock => "mend the flags named above first",
            Rule::DataRace => {
                "a pair from the first pipe to the second one is missing between the two, or a full barrier"
            }
            Rule::MissingBarrier => "a barrier of this pipe is missing between the two",
            Rule::EventId => "use an id that the target has and does not reserve",
            Rule::BarrierPipe => "leave the barrier out",
            Rule::CorePipe => {
                "leave it out, or move it to where the other core runs: a function or section of its kind"
            }
            Rule::Address => "give it another address: no flag mends this",
            Rule::HiddenFlag => "give the pair another id, or move its wait in front of the call",
            Rule::EarlyPublish => {
                "before the signal, make its pipe wait for that pipe: a pair between the two, or a full barrier"
            }
            Rule::UnfinishedWork => "end the function with a full barrier",
        }
    }

    /// Which way a path goes: the arm of each branch and the trips of each loop, in order.
    ///
    /// Constructs that the path goes through in a way that does not matter are left out.
    pub fn choices(&self, path: &Path) -> Vec<String> {
        let path: &[StepIndex] = &path.telling_steps().collect::<Vec<_>>();
        let mut out: Vec<String> = Vec::new();
        let mut open: Vec<(StepIndex, usize)> = Vec::new();
        let place = |step| self.place(step);
        for (i, &step) in path.iter().enumerate() {
            match self.program.steps[step] {
                Step::IfBegin { middle, .. } if !self.program.conditions.within.contains(&step) => {
                    if let Some(next) = path.get(i + 1) {
                        let is_first = *next <= middle;
                        out.push(if self.operation(step).contains("arith.select") {
                            let value = if is_first { "first" } else { "second" };
                            format!("select at {}: {value} value", place(step))
                        } else {
                            format!("branch at {}: {}", place(step), if is_first { "then" } else { "else" })
                        });
                    }
                }
                Step::LoopBegin { .. } => {
                    open.push((step, out.len()));
                    out.push(String::new());
                }
                Step::LoopTest { begin, end }
                    if path.get(i + 1).is_some_and(|next| !(step..=end).contains(next)) =>
                {
                    if let Some((_, slot)) = open.pop() {
                        let trips = trips(path, i, begin, &self.program.steps);
                        let s = if trips == 1 { "" } else { "s" };
                        out[slot] = format!("loop at {}: {trips} trip{s}", place(begin));
                    }
                }
                _ => {}
            }
        }
        for (begin, slot) in open {
            let trip = trips(path, path.len(), begin, &self.program.steps) + 1;
            out[slot] = format!("loop at {}: in trip {trip}", place(begin));
        }
        out
    }

    /// The values with which a path is gone: of each name the first one, and those that it has later if it changes.
    pub fn assignment(&self, path: &Path) -> BTreeMap<String, Vec<Value>> {
        let mut out = BTreeMap::new();
        for (&term, values) in &path.assignment {
            let term = &self.program.conditions.terms[term];
            let mut values: Vec<Value> = values
                .iter()
                .map(|&value| if term.bits == 1 { Value::Truth(value != 0) } else { Value::Number(value) })
                .collect();
            if values.iter().all(|value| *value == values[0]) {
                values.truncate(1);
            }
            let name = term.name.trim_start_matches('%');
            if !name.is_empty() && !values.is_empty() {
                out.insert(name.to_owned(), values);
            }
        }
        out
    }

    /// `c = false, n = 2`; nothing if the path is gone with any values.
    pub fn assigned(&self, path: &Path) -> String {
        let one = |(name, values): (String, Vec<Value>)| {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            format!("{name} = {}", values.join(" then "))
        };
        self.assignment(path).into_iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// The events of the path that matter for a finding, in program order: what its pipes do between the two
    /// statements, each with its pipe.
    pub fn events(&self, finding: &Finding) -> Vec<String> {
        let Some(path) = &finding.path else { return Vec::new() };
        let program = self.program;
        let steps = match (finding.rule, finding.first) {
            (Rule::Deadlock | Rule::UnbalancedPath, _) => return Vec::new(),
            (_, None) => path.telling_steps().collect(),
            (_, Some(first)) => path.steps_since(program, first, finding.later),
        };
        let pipes: Vec<_> = match finding.key {
            Some(key) => vec![key.src, key.dst],
            None => {
                finding.first.into_iter().chain([finding.second]).filter_map(|s| program.pipe_of(s)).collect()
            }
        };
        let matters = |step: StepIndex| match program.steps[step] {
            Step::Instruction { .. } => Some(step) == finding.first || step == finding.second,
            Step::Publish(_) => step == finding.second,
            Step::Set(k) | Step::Wait(k) | Step::Uses(k) => {
                let k = program.keys[k];
                match finding.key {
                    Some(key) => k == key || (k.src == key.dst && k.dst == key.src),
                    None => pipes.contains(&k.src) || pipes.contains(&k.dst),
                }
            }
            Step::Barrier(pipe) => pipe.is_none_or(|p| pipes.contains(&p)),
            Step::Exit => step == finding.second,
            _ => false,
        };
        let all: Vec<StepIndex> = steps.into_iter().filter(|&s| matters(s)).collect();
        let line = |&step: &StepIndex| {
            let pipe = program.pipe_of(step).map_or("", |p| &program.pipes[p]);
            format!("{pipe:<5} {}", self.step(step))
        };
        if all.len() <= MAX_EVENTS {
            return all.iter().map(line).collect();
        }
        let half = MAX_EVENTS / 2;
        let mut out: Vec<String> = all[..half].iter().map(line).collect();
        out.push(format!("... {} more ...", all.len() - MAX_EVENTS));
        out.extend(all[all.len() - half..].iter().map(line));
        out
    }

    /// What happens at the end of those events.
    fn conclusion(&self, finding: &Finding) -> Option<String> {
        let second = self.step(finding.second);
        let same = finding.first == Some(finding.second);
        let first = finding.first.map(|f| if same { "its earlier execution".into() } else { self.step(f) });
        match (finding.rule, first) {
            (Rule::DataRace | Rule::MissingBarrier, Some(first)) => {
                Some(format!("nothing makes {second} wait until {first} is done"))
            }
            (Rule::FlagReuse, Some(first)) => {
                Some(format!("nothing makes {second} wait until {first} was executed"))
            }
            (Rule::EarlyPublish, Some(first)) => {
                Some(format!("nothing makes {second} wait until {first} is done"))
            }
            (Rule::UnfinishedWork, Some(first)) => Some(format!("nothing waits until {first} is done")),
            _ => None,
        }
    }

    /// The finding as a diagnostic, with path and events as its help.
    pub fn diagnostic(&self, finding: &Finding) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(finding.rule.code(), self.message(finding));
        diagnostic.severity = match finding.grade {
            super::Grade::Advice => Severity::Advice,
            super::Grade::Warning => Severity::Warning,
            super::Grade::Error => Severity::Error,
        };
        let labels = match finding.first {
            None => vec![(finding.second, "")],
            Some(first) if first == finding.second => vec![(first, "first, and in a later trip second: ")],
            Some(first) => vec![(finding.second, "second: "), (first, "first: ")],
        };
        let mut called: Vec<TextRange> = Vec::new();
        for (step, role) in labels {
            let Some(location) = self.location(step) else { continue };
            diagnostic = diagnostic.label(location.span, format!("{role}{}", self.step(step)));
            for call in self.program.calls_to(step) {
                if !called.contains(&call.span) {
                    called.push(call.span);
                    diagnostic = diagnostic.label(call.span, format!("`{}` is called", call.name));
                }
            }
        }
        let mut help = String::new();
        let name = &self.program.name;
        if !name.is_empty() {
            let within = &self.program.conditions.within;
            let around =
                self.program.context(finding.second).into_iter().filter(|step| !within.contains(step));
            let around = around.map(|begin| {
                let is_loop = matches!(self.program.steps[begin], Step::LoopBegin { .. });
                format!(", in the {} at {}", if is_loop { "loop" } else { "branch" }, self.place(begin))
            });
            _ = writeln!(help, "in function `{name}`{}", around.collect::<String>());
        }
        if !finding.detail.is_empty() && finding.memory.is_some() {
            _ = writeln!(help, "note: {}", finding.detail);
        }
        let choices = finding.path.as_ref().map(|p| self.choices(p)).unwrap_or_default();
        if finding.path.is_none() {
            help += "the search for a path on which it happens was too large and was given up: it may be that there is none\n";
        } else if !choices.is_empty() {
            _ = writeln!(help, "path: {}", choices.join("; "));
        }
        if finding.may_be {
            help += "whether that path exists is not known: it depends on values that were not worked out\n";
        } else if let Some(path) = &finding.path
            && let values = self.assigned(path)
            && !values.is_empty()
        {
            _ = writeln!(help, "with {values}");
        }
        let events = self.events(finding);
        if !events.is_empty() {
            help += "in program order:\n";
            events.iter().for_each(|e| _ = writeln!(help, "  {e}"));
        }
        if let Some(conclusion) = self.conclusion(finding) {
            _ = writeln!(help, "{conclusion}");
        }
        help += self.help(finding);
        diagnostic.help(help)
    }
}

/// Trips of the loop that were completed on the path before position `to`, since it was last entered.
fn trips(path: &[StepIndex], to: usize, begin: StepIndex, steps: &[Step]) -> usize {
    let entered = path[..to].iter().rposition(|&s| s == begin).unwrap_or(0);
    let is_end = |&&s: &&StepIndex| matches!(steps[s], Step::LoopEnd { begin: b } if b == begin);
    path[entered..to].iter().filter(is_end).count()
}

fn join(parts: &[&str], separator: &str) -> String {
    parts.iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join(separator)
}
