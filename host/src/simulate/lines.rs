//! What steps are called and where they stand, for people.

use super::timeline::Statement;
use crate::verify::program::{Place, Program, Step, StepIndex};

/// The lines of a source text.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// The lines of `text`.
    pub fn new(text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// Number of the line of a step, from 1, and its text without indentation; 0 if nothing is known of it.
    pub fn of(&self, program: &Program, step: StepIndex) -> (usize, &'a str) {
        let span = program.origins[step].span;
        if span.start >= span.end {
            return (0, "");
        }
        let line = self.starts.partition_point(|&start| start <= span.start as usize);
        let start = self.starts[line - 1];
        (line, self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("").trim())
    }

    /// What the operation is called at which a step stands.
    fn operation(&self, program: &Program, step: StepIndex) -> &'a str {
        let span = program.origins[step].span;
        self.text.get(span.start as usize..span.end as usize).and_then(|t| t.lines().next()).unwrap_or("")
    }

    /// What a step is: `pto.tload`, `set MTE2>V #0`.
    pub fn statement(&self, program: &Program, step: StepIndex) -> Statement {
        let origin = program.origins[step];
        let (line, source) = match origin.place {
            Place::AtReturn => (0, ""),
            _ => self.of(program, step),
        };
        let text = match program.steps[step] {
            Step::Set(key) => format!("set {}", program.key_name(program.keys[key])),
            Step::Wait(key) => format!("wait {}", program.key_name(program.keys[key])),
            Step::Barrier(pipe) => format!("barrier {}", pipe.map_or("ALL", |p| &program.pipes[p])),
            _ => self.operation(program, step).to_owned(),
        };
        Statement { text, line, source: source.to_owned() }
    }

    /// The statement and its line for people.
    pub fn text(&self, program: &Program, step: StepIndex) -> String {
        let Statement { text, line, .. } = self.statement(program, step);
        let place = match program.origins[step].place {
            Place::Itself => String::new(),
            Place::Before => format!("before {}, ", self.operation(program, step)),
            Place::After => format!("after {}, ", self.operation(program, step)),
            Place::AtReturn => return format!("{text} (before the return{})", self.way_to(program, step)),
        };
        if line == 0 { text } else { format!("{text} ({place}line {line}{})", self.way_to(program, step)) }
    }

    /// The function that a step is in and the calls that lead to it, if it is not the one that is run.
    fn way_to(&self, program: &Program, step: StepIndex) -> String {
        let calls = program.calls_to(step);
        let Some(last) = calls.last() else { return String::new() };
        let line = |at: u32| self.starts.partition_point(|&start| start <= at as usize).to_string();
        let lines: Vec<String> = calls.iter().map(|call| line(call.span.start)).collect();
        format!(
            " of `{}`, called at line{} {}",
            last.name,
            if lines.len() == 1 { "" } else { "s" },
            lines.join(", ")
        )
    }
}
