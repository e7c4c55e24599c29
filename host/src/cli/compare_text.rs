//! A comparison as tables for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::output::table;
use crate::compare::model::{Kernel, Outcome, Pairing, Report};
use crate::compare::summary::{most_important, standings};

/// The report: for each pipeline but the first the kernels that matter most and the totals, then all pipelines
/// together if there are more than two.
pub(super) fn text(report: &Report, rows: usize) -> String {
    let mut out = String::new();
    for pairing in &report.pairings {
        pair(&mut out, report, pairing, rows);
    }
    if report.pairings.is_empty() {
        single(&mut out, report, rows);
    }
    if report.pipelines.len() > 2 {
        together(&mut out, report);
    }
    let extrapolates =
        |k: &&Kernel| k.results.iter().any(|r| r.compiled().is_some_and(|c| c.extrapolated > 0));
    let extrapolated = report.kernels.iter().filter(extrapolates).count();
    if extrapolated > 0 {
        let _ = writeln!(
            out,
            "{} with loops so long that trips were skipped and taken to be like those before; a larger --budget runs them.",
            kernels(extrapolated)
        );
    }
    let trips = &report.assumptions.trips;
    let given: String = trips.iter().map(|(name, n)| format!(", {name} = {n}")).collect();
    let _ = writeln!(
        out,
        "Loops whose bounds are not known are taken to have {} trips{given}. Cycles rank plans; they are no times.",
        report.assumptions.default_trips
    );
    out
}

/// One pipeline against the first.
fn pair(out: &mut String, report: &Report, pairing: &Pairing, rows: usize) {
    let (first, this) = (&report.pipelines[0].name, &report.pipelines[pairing.pipeline].name);
    let _ = writeln!(out, "{this} against {first}\n");
    let changed = |index: &usize| {
        let kernel = &report.kernels[*index];
        let (a, b) = (&kernel.results[0], &kernel.results[pairing.pipeline]);
        word(a) != word(b)
            || kernel.ratio(pairing.pipeline).is_some_and(|r| r != 1.0)
            || counts(a) != counts(b)
    };
    let order: Vec<usize> = most_important(report, pairing.pipeline).into_iter().filter(changed).collect();
    let lines: Vec<_> = order.iter().take(rows).map(|&i| row(&report.kernels[i], pairing.pipeline)).collect();
    if !lines.is_empty() {
        let header =
            ["KERNEL", "VERDICT", "  CYCLES", "", "  RATIO", "FLAGS", "BARRIERS", "IDS", "DIFFER FROM"];
        *out += &table(&header, lines);
    }
    if order.len() > rows {
        let _ = writeln!(out, "... {} more that differ", order.len() - rows);
    }
    if order.is_empty() {
        *out += "no kernel differs\n";
    }
    let n = pairing.compared;
    let _ = writeln!(
        out,
        "\n{this}: {} faster, {} slower, {} equal of {} compared",
        pairing.wins,
        pairing.losses,
        pairing.ties,
        kernels(n)
    );
    if let (Some(geomean), Some(median)) = (pairing.geomean, pairing.median) {
        let of = kernels(n);
        let _ = writeln!(out, "cycles ratio: geometric mean {geomean:.4}, median {median:.4} (over {of})");
    }
    let clean = &pairing.clean;
    if let (Some(geomean), Some(median)) = (clean.geomean.filter(|_| clean.compared < n), clean.median) {
        let n = clean.compared;
        let _ = writeln!(
            out,
            "              geometric mean {geomean:.4}, median {median:.4} (over {n} without errors on either side)"
        );
    } else if clean.compared < n {
        *out += "              every compared kernel has errors on one side, where cycles mean little\n";
    }
    let (better, worse) = (pairing.verdict_better.len(), pairing.verdict_worse.len());
    let _ = writeln!(out, "verdicts: {better} better, {worse} worse");
    verdicts(out, report, pairing, rows);
    for (what, list) in [(first, &pairing.only_first), (this, &pairing.only_this)] {
        if !list.is_empty() {
            let _ = writeln!(out, "only {what} gets through:");
            some(out, list.iter().map(|&i| name(&report.kernels[i])), rows);
        }
    }
    if pairing.neither > 0 {
        let neither = |k: &&Kernel| [0, pairing.pipeline].iter().all(|&i| k.results[i].cycles().is_none());
        *out += "neither gets through:\n";
        some(out, report.kernels.iter().filter(neither).map(why_not), rows);
    }
    if pairing.wins + pairing.losses > 0 {
        sensitivity(out, pairing);
    }
    *out += "\n";
}

/// The first lines of a list, indented, and how many there are more.
fn some(out: &mut String, lines: impl Iterator<Item = String>, most: usize) {
    let lines: Vec<String> = lines.collect();
    lines.iter().take(most).for_each(|line| _ = writeln!(out, "  {line}"));
    if lines.len() > most {
        let _ = writeln!(out, "  ... {} more", lines.len() - most);
    }
}

/// What is behind verdicts that changed: rules of which there are more findings, or fewer.
fn verdicts(out: &mut String, report: &Report, pairing: &Pairing, rows: usize) {
    let line = |&index: &usize| {
        let kernel = &report.kernels[index];
        let [before, after] = [0, pairing.pipeline].map(|i| &kernel.results[i]);
        let (Some(a), Some(b)) = (before.compiled(), after.compiled()) else {
            let failed = if after.compiled().is_none() { after } else { before };
            return format!("{}: {} -> {}: {}", name(kernel), word(before), word(after), diagnostic(failed));
        };
        let (a, b) = (a.by_rule(), b.by_rule());
        let count = |of: &BTreeMap<String, usize>, rule: &String| of.get(rule).copied().unwrap_or(0);
        let rules: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let changed = rules.into_iter().filter(|rule| count(&a, rule) != count(&b, rule));
        let changed = changed.map(|rule| format!("{rule} {} -> {}", count(&a, rule), count(&b, rule)));
        format!("{}: {}", name(kernel), changed.collect::<Vec<_>>().join(", "))
    };
    some(out, pairing.verdict_worse.iter().chain(&pairing.verdict_better).map(line), rows);
}

/// A kernel that does not get through, and why.
fn why_not(kernel: &Kernel) -> String {
    let failed = kernel.results.iter().find(|r| r.compiled().is_none());
    let hung = kernel.results.iter().filter_map(Outcome::compiled).find_map(|c| c.deadlock.first());
    let why = failed.map(diagnostic).or_else(|| hung.map(|at| format!("hangs at {at}")));
    format!("{}: {}", name(kernel), why.unwrap_or_default())
}

/// The code and the message of a failure.
fn diagnostic(outcome: &Outcome) -> String {
    let Outcome::Failed { diagnostic } = outcome else { return String::new() };
    let mut lines = diagnostic.lines().map(str::trim).filter(|line| !line.is_empty());
    let code = lines.next().unwrap_or_default();
    match lines.next().and_then(|line| line.strip_prefix("x ")) {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    }
}

fn kernels(count: usize) -> String {
    format!("{count} kernel{}", if count == 1 { "" } else { "s" })
}

/// Whether the ranking rests on figures that are not well known.
fn sensitivity(out: &mut String, pairing: &Pairing) {
    if pairing.sensitivity.is_empty() {
        *out += "ranking: the same with every uncertain cost figure halved or doubled\n";
        return;
    }
    *out += "ranking: it hinges on cost figures that are not well known\n";
    let row = |s: &crate::compare::model::Sensitivity| {
        let how = if s.factor < 1.0 { "halved" } else { "doubled" };
        let turns = if s.reverses { "and the mean turns round" } else { "" };
        vec![
            format!("{} ({})", s.figure, s.confidence),
            how.into(),
            format!("{} the other way round", kernels(s.flips)),
            format!("geometric mean {:.4}", s.geomean),
            turns.into(),
        ]
    };
    let rows: Vec<_> = pairing.sensitivity.iter().map(row).collect();
    *out += &table(
        &["  FIGURE", "", "", "", ""],
        rows.into_iter()
            .map(|mut r: Vec<String>| {
                r[0].insert_str(0, "  ");
                r
            })
            .collect(),
    );
}

/// One pipeline alone, which a baseline is the measure of.
fn single(out: &mut String, report: &Report, rows: usize) {
    let line = |kernel: &Kernel| {
        let result = &kernel.results[0];
        vec![
            named(kernel, shortened(&kernel.file)),
            word(result).into(),
            cycles(result),
            counts(result).join("  "),
        ]
    };
    let lines: Vec<_> = report.kernels.iter().take(rows).map(line).collect();
    *out += &table(&["KERNEL", "VERDICT", "  CYCLES", "FLAGS, BARRIERS, IDS"], lines);
    if report.kernels.len() > rows {
        let _ = writeln!(out, "... {} more", report.kernels.len() - rows);
    }
    *out += "\n";
}

/// All pipelines by what they cost.
fn together(out: &mut String, report: &Report) {
    let standings = standings(report);
    let row = |s: &crate::compare::summary::Standing| {
        vec![
            if s.best { "*" } else { "" }.into(),
            report.pipelines[s.pipeline].name.clone(),
            if s.clean { "yes" } else { "no" }.into(),
            format!("{:>8}", s.warnings),
            s.cycles.map_or_else(|| format!("{:>12}", "-"), |n| format!("{n:>12}")),
            format!("{:>4}", s.ids),
            format!("{:>10}", s.statements),
        ]
    };
    let _ = write!(out, "All pipelines, over {}", kernels(standings.counted));
    if standings.left_out > 0 {
        let _ = write!(out, "; none gets through the other {} without an error", standings.left_out);
    }
    *out += "\n\n";
    let header = ["", "PIPELINE", "CLEAN", "WARNINGS", "      CYCLES", " IDS", "STATEMENTS"];
    *out += &table(&header, standings.pipelines.iter().map(row).collect());
    *out += match standings.pipelines.iter().any(|s| s.best) {
        true => "* no other clean one is as good in cycles, ids and statements\n\n",
        false => "none is clean: every one has kernels with errors, or that fail or hang\n\n",
    };
}

fn row(kernel: &Kernel, pipeline: usize) -> Vec<String> {
    let (a, b) = (&kernel.results[0], &kernel.results[pipeline]);
    let [flags, barriers, ids] = {
        let (a, b) = (counts(a), counts(b));
        [0, 1, 2].map(|i| change(a.get(i), b.get(i)))
    };
    let diverges = kernel.divergences.iter().find(|d| d.pipeline == pipeline);
    vec![
        named(kernel, shortened(&kernel.file)),
        change(Some(&word(a).to_owned()), Some(&word(b).to_owned())),
        cycles(a),
        cycles(b),
        kernel.ratio(pipeline).map_or(String::new(), |r| format!("{r:>7.4}")),
        flags,
        barriers,
        ids,
        diverges.map_or(String::new(), |d| d.pass.clone()),
    ]
}

/// A kernel's file and function; where the one is called like the other, the file says it.
fn name(kernel: &Kernel) -> String {
    named(kernel, kernel.file.clone())
}

fn named(kernel: &Kernel, file: String) -> String {
    let is_named_after =
        Path::new(&kernel.file).file_stem().is_some_and(|stem| stem == kernel.function.as_str());
    if kernel.function.is_empty() || is_named_after { file } else { format!("{file}:{}", kernel.function) }
}

/// The most characters of a path in a table.
const MAX_PATH: usize = 60;

/// A path that fits into a table: where it is long, folders in front are left out.
fn shortened(path: &str) -> String {
    if path.chars().count() <= MAX_PATH {
        return path.into();
    }
    let mut rest = path;
    while let Some((_, shorter)) = rest.split_once('/').filter(|_| rest.chars().count() > MAX_PATH - 4) {
        rest = shorter;
    }
    format!(".../{rest}")
}

/// The outcome in one word.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Failed { .. } => "failed",
        Outcome::Compiled(c) if !c.deadlock.is_empty() => "hangs",
        Outcome::Compiled(c) => c.verdict.name(),
    }
}

fn cycles(outcome: &Outcome) -> String {
    outcome.cycles().map_or_else(|| format!("{:>8}", "-"), |c| format!("{c:>8}"))
}

/// Sets and waits, barriers, event ids; nothing for a failure.
fn counts(outcome: &Outcome) -> Vec<String> {
    let Some(compiled) = outcome.compiled() else { return Vec::new() };
    let m = &compiled.metrics;
    let barriers = m.barriers.values().sum::<usize>() + m.pipe_all;
    let ids = m.peak_ids.values().max().copied().unwrap_or(0);
    vec![(m.sets + m.waits).to_string(), barriers.to_string(), ids.to_string()]
}

fn change(before: Option<&String>, after: Option<&String>) -> String {
    match (before, after) {
        (Some(a), Some(b)) if a == b => a.clone(),
        (Some(a), Some(b)) => format!("{a} -> {b}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => String::new(),
    }
}
