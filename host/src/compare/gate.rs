//! What must not get worse: the conditions of a gate, and what breaks them.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Assumptions, Kernel, Outcome, Report};

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// No kernel has a finding of a rule and grade that it had fewer of before, and none fails that did not.
    NewFindings,
    /// No kernel takes longer by more than this part (0.02 for 2 %), and none stops getting through.
    Regression(f64),
}

impl Condition {
    /// Reads `new-findings` or `regression=2%`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "new-findings" {
            return Ok(Self::NewFindings);
        }
        let help = "write `new-findings` or `regression=2%`";
        let percent = text.strip_prefix("regression=").and_then(|p| p.strip_suffix('%')).ok_or(help)?;
        match percent.trim().parse::<f64>() {
            Ok(percent) if percent >= 0.0 && percent.is_finite() => Ok(Self::Regression(percent / 100.0)),
            _ => Err(format!("`{percent}` is no percentage; {help}")),
        }
    }
}

/// All that breaks the conditions, one line each: pipelines against the first one of the report.
pub fn broken(report: &Report, conditions: &[Condition]) -> Vec<String> {
    let mut out = Vec::new();
    for (index, pipeline) in report.pipelines.iter().enumerate().skip(1) {
        for kernel in &report.kernels {
            let [old, new] = [0, index].map(|of| &kernel.results[of]);
            out.extend(lines(conditions, &kernel.function, kernel, &pipeline.name, [old, new]));
        }
    }
    out
}

/// What a report is like beside an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgainstBaseline {
    /// What breaks the conditions, one line each.
    pub broken: Vec<String>,
    /// Kernels that only the report has, and those that only the baseline has.
    pub unmatched: [Vec<String>; 2],
}

/// The pipelines of a report, each against the one of the same name in an earlier one. `Err` says why the two cannot be
/// compared.
pub fn against_baseline(
    report: &Report,
    baseline: &Report,
    conditions: &[Condition],
) -> Result<AgainstBaseline, String> {
    if report.assumptions != baseline.assumptions {
        let [here, there] = [report, baseline].map(|r| assumptions(&r.assumptions));
        return Err(format!("it was made with {there}; this run has {here}"));
    }
    let mut known = Vec::new();
    for pipeline in &report.pipelines {
        let Some(index) = baseline.pipelines.iter().position(|p| p.name == pipeline.name) else {
            let names: Vec<String> = baseline.pipelines.iter().map(|p| format!("`{}`", p.name)).collect();
            return Err(format!("it has no pipeline `{}`, but {}", pipeline.name, names.join(", ")));
        };
        known.push(index);
    }
    let mut out = AgainstBaseline::default();
    let mut matched = BTreeSet::new();
    for kernel in &report.kernels {
        // Where nothing is known of a file's functions, all that it had are meant.
        let fits = |old: &Kernel| {
            let same = old.function == kernel.function || kernel.function.is_empty();
            old.file == kernel.file && same
        };
        let before = matched.len();
        for (place, old) in baseline.kernels.iter().enumerate().filter(|(_, old)| fits(old)) {
            matched.insert(place);
            for (index, pipeline) in report.pipelines.iter().enumerate() {
                let results = [&old.results[known[index]], &kernel.results[index]];
                out.broken.extend(lines(conditions, &old.function, kernel, &pipeline.name, results));
            }
        }
        if matched.len() == before {
            out.unmatched[0].push(name(&kernel.file, &kernel.function));
        }
    }
    if matched.is_empty() && !report.kernels.is_empty() {
        let there = baseline.kernels.first().map_or(String::new(), |k| format!(", but `{}`", k.file));
        return Err(format!(
            "it has none of the kernels of this run, not `{}`{there}",
            report.kernels[0].file
        ));
    }
    let rest = baseline.kernels.iter().enumerate().filter(|(place, _)| !matched.contains(place));
    out.unmatched[1] = rest.map(|(_, k)| name(&k.file, &k.function)).collect();
    Ok(out)
}

fn assumptions(a: &Assumptions) -> String {
    let given: String = a.trips.iter().map(|(name, n)| format!(", {name} = {n}")).collect();
    let Assumptions { default_trips, budget, flag_model, .. } = a;
    format!("{default_trips} trips by default{given}, a budget of {budget} and flags that {flag_model}")
}

fn name(file: &str, function: &str) -> String {
    format!("{file} `{function}`")
}

fn lines(
    conditions: &[Condition],
    function: &str,
    kernel: &Kernel,
    pipeline: &str,
    [old, new]: [&Outcome; 2],
) -> Vec<String> {
    let line = |why: String| format!("{} under {pipeline}: {why}", name(&kernel.file, function));
    let mut out: Vec<String> = conditions.iter().filter_map(|c| c.breaks(old, new).map(line)).collect();
    // What does not get through breaks every condition, and is said once.
    out.dedup();
    out
}

impl Condition {
    fn breaks(&self, old: &Outcome, new: &Outcome) -> Option<String> {
        match *self {
            Self::NewFindings => match (old.compiled(), new.compiled()) {
                _ if stops(old, new).is_some() => stops(old, new),
                (_, Some(_)) => {
                    let (old, new) = (findings(old), findings(new));
                    let more = new.iter().filter(|(what, n)| old.get(*what).copied().unwrap_or(0) < **n);
                    let list: Vec<String> = more
                        .map(|((rule, grade), n)| {
                            let before = old.get(&(*rule, *grade)).copied().unwrap_or(0);
                            format!("{rule} ({grade}) {n} instead of {before}")
                        })
                        .collect();
                    (!list.is_empty()).then(|| format!("new findings: {}", list.join(", ")))
                }
                (_, None) => None,
            },
            Self::Regression(_) if stops(old, new).is_some() => stops(old, new),
            Self::Regression(limit) => {
                let (old, new) = (old.cycles()?, new.cycles()?);
                let ratio = new.max(1) as f64 / old.max(1) as f64;
                (ratio > 1.0 + limit)
                    .then(|| format!("{new} cycles instead of {old}, {:+.1} %", 100.0 * (ratio - 1.0)))
            }
        }
    }
}

/// Whether a kernel got through before and does not any more.
fn stops(old: &Outcome, new: &Outcome) -> Option<String> {
    match (old.compiled()?, new.compiled()) {
        (_, None) => Some("does not compile any more".into()),
        (a, Some(b)) if a.deadlock.is_empty() => Some(format!("hangs at {}", b.deadlock.first()?)),
        _ => None,
    }
}

/// Findings by rule and grade, those that were only counted as such. Advice is none.
fn findings(outcome: &Outcome) -> BTreeMap<(&str, &str), usize> {
    let Some(compiled) = outcome.compiled() else { return BTreeMap::new() };
    let more = compiled.more_findings.iter();
    let mut counts: BTreeMap<_, _> = more.map(|(rule, n)| ((rule.as_str(), "not looked into"), *n)).collect();
    for finding in &compiled.findings {
        if finding.grade != "advice" {
            *counts.entry((finding.rule.as_str(), finding.grade.as_str())).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::model::{Compiled, Metrics, Verdict};

    fn compiled(cycles: Option<u64>, more: usize) -> Outcome {
        Outcome::Compiled(Box::new(Compiled {
            verdict: Verdict::Errors,
            findings: Vec::new(),
            more_findings: [("data-race".to_owned(), more)].into(),
            metrics: Metrics { cycles, ..Metrics::default() },
            deadlock: if cycles.is_none() { vec!["wait V>S #0 (line 3)".into()] } else { Vec::new() },
            notes: Vec::new(),
            extrapolated: 0,
            skeleton: Vec::new(),
            timeline: None,
        }))
    }

    #[test]
    fn what_stops_getting_through_breaks_both_conditions() {
        let failed = Outcome::Failed { diagnostic: "no".into() };
        let both = [Condition::NewFindings, Condition::Regression(0.5)];
        let why = |old: &Outcome, new: &Outcome| both.map(|c| c.breaks(old, new).unwrap_or_default());
        let fine = compiled(Some(10), 1);
        assert_eq!(why(&fine, &failed), ["does not compile any more"; 2]);
        assert_eq!(why(&fine, &compiled(None, 1)), ["hangs at wait V>S #0 (line 3)"; 2]);
        assert_eq!(why(&failed, &failed), [""; 2]);
        assert_eq!(why(&compiled(None, 1), &fine), [""; 2]);
        // Findings that were only counted are findings.
        assert_eq!(
            why(&fine, &compiled(Some(15), 2)),
            ["new findings: data-race (not looked into) 2 instead of 1", ""]
        );
        assert_eq!(why(&fine, &compiled(Some(16), 1)), ["", "16 cycles instead of 10, +60.0 %"]);
    }

    #[test]
    fn conditions_are_read() {
        assert_eq!(Condition::parse("new-findings"), Ok(Condition::NewFindings));
        assert_eq!(Condition::parse("regression=2.5%"), Ok(Condition::Regression(0.025)));
        assert!(
            ["regression", "regression=2", "regression=x%", "regression=-1%", "findings"]
                .iter()
                .all(|t| Condition::parse(t).is_err())
        );
    }
}
