//! A simulation in words and numbers for people.

use std::fmt::Write as _;

use super::output::table;
use crate::simulate::Simulation;
use crate::simulate::timeline::{CriticalStep, Reason, Timeline};

/// Rows of a list that are printed.
const MAX_ROWS: usize = 12;

/// What a simulation found.
pub(super) fn text(
    name: &str,
    run: &Simulation,
    timeline: &Timeline,
    deadlock: &[String],
    hz: u64,
) -> String {
    let mut out = match run.cycles {
        Some(cycles) => {
            let microseconds = cycles as f64 * 1e6 / hz.max(1) as f64;
            format!("{name}: {cycles} cycles ({microseconds:.1} us), {} statements\n", run.executed)
        }
        None => format!("{name}: hangs after cycle {}\n", timeline.cycles),
    };
    if !deadlock.is_empty() {
        out += "deadlock: these wait for ever\n";
        deadlock.iter().for_each(|d| _ = writeln!(out, "  {d}"));
    }
    let total = timeline.cycles.max(1);
    let percent = |n: u64| format!("{:>5.1}", 100.0 * n as f64 / total as f64);
    let rows = run.pipes.iter().map(|pipe| {
        let mut row = vec![pipe.pipe.clone(), format!("{:>8}", pipe.busy), percent(pipe.busy)];
        row.extend(pipe.stalls.iter().map(|n| format!("{n:>8}")));
        row
    });
    out += "\n";
    let names = Reason::ALL.map(|r| format!("{:>8}", r.name().to_uppercase()));
    let mut header = vec!["PIPE", "    BUSY", "    %"];
    header.extend(names.iter().map(String::as_str));
    out += &table(&header, rows.collect());

    if !timeline.losses.is_empty() {
        let rows = timeline.losses.iter().take(MAX_ROWS).map(|loss| {
            let statement = place(timeline, loss.statement);
            vec![format!("{:>8}", loss.cycles), format!("{:>8}", loss.count), statement]
        });
        out += "\ntime lost to synchronization\n";
        out += &table(&["  CYCLES", "   TIMES", "STATEMENT"], rows.collect());
        more(&mut out, timeline.losses.len());
    }
    if !timeline.critical_path.is_empty() {
        out += "\ncritical path: what the end waited for\n";
        out += &path(timeline);
    }
    if !run.notes.is_empty() {
        out += "\n";
        run.notes.iter().for_each(|note| _ = writeln!(out, "note: {note}"));
    }
    out
}

/// The critical path, with what repeats folded, and its middle left out if it is long.
fn path(timeline: &Timeline) -> String {
    let path = &timeline.critical_path;
    let row = |step: &CriticalStep| {
        let statement = place(timeline, step.statement);
        let times = [format!("{:>8}", step.start), format!("{:>8}", step.end)];
        let [start, end] = times;
        vec![start, end, step.pipe.clone(), statement, step.because.clone()]
    };
    let header = ["   START", "     END", "PIPE", "STATEMENT", "AFTER"];
    if path.len() <= 2 * MAX_ROWS {
        return table(&header, path.iter().map(row).collect());
    }
    let (head, tail) = (&path[..MAX_ROWS], &path[path.len() - MAX_ROWS..]);
    let left_out = vec![
        String::new(),
        String::new(),
        String::new(),
        format!("... {} more ...", path.len() - 2 * MAX_ROWS),
    ];
    table(&header, head.iter().map(row).chain([left_out]).chain(tail.iter().map(row)).collect())
}

/// A statement with its line.
fn place(timeline: &Timeline, statement: usize) -> String {
    let statement = &timeline.statements[statement];
    if statement.line == 0 {
        statement.text.clone()
    } else {
        format!("{} (line {})", statement.text, statement.line)
    }
}

fn more(out: &mut String, rows: usize) {
    if rows > MAX_ROWS {
        let _ = writeln!(out, "... {} more", rows - MAX_ROWS);
    }
}
