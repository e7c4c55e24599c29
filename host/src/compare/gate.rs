//! What must not get worse: the conditions of a gate, and what breaks them.

use std::collections::BTreeMap;

use super::model::{Outcome, Report};

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// No kernel has a finding of a rule and grade that it had fewer of before, and none fails that did not.
    NewFindings,
    /// No kernel takes longer by more than this part: 0.02 for 2 %.
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

/// All that breaks the conditions, one line each: the pipelines of `report` against its first one, or, with a
/// baseline, each against the one of the same name there.
pub fn broken(
    report: &Report,
    baseline: Option<&Report>,
    conditions: &[Condition],
) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let before: Option<BTreeMap<_, _>> =
        baseline.map(|b| b.kernels.iter().map(|k| ((&k.file, &k.function), k)).collect());
    for (index, pipeline) in report.pipelines.iter().enumerate() {
        let known = match baseline {
            None if index == 0 => continue,
            None => 0,
            Some(b) => match b.pipelines.iter().position(|p| p.name == pipeline.name) {
                Some(known) => known,
                None => return Err(format!("the baseline has no pipeline `{}`", pipeline.name)),
            },
        };
        for kernel in &report.kernels {
            let old = match &before {
                None => Some(&kernel.results[known]),
                Some(before) => before.get(&(&kernel.file, &kernel.function)).map(|k| &k.results[known]),
            };
            // A kernel that the baseline does not have was neither better nor worse.
            let Some(old) = old else { continue };
            let name = format!("{} `{}` under {}", kernel.file, kernel.function, pipeline.name);
            for condition in conditions {
                out.extend(condition.breaks(old, &kernel.results[index]).map(|why| format!("{name}: {why}")));
            }
        }
    }
    Ok(out)
}

impl Condition {
    fn breaks(&self, old: &Outcome, new: &Outcome) -> Option<String> {
        match *self {
            Self::NewFindings => match (old.compiled(), new.compiled()) {
                (Some(_), None) => Some("does not compile any more".into()),
                (Some(a), Some(b)) if a.deadlock.is_empty() && !b.deadlock.is_empty() => {
                    Some(format!("hangs at {}", b.deadlock[0]))
                }
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
                (None, None) => None,
            },
            Self::Regression(limit) => {
                let (old, new) = (old.cycles()?, new.cycles()?);
                let ratio = new.max(1) as f64 / old.max(1) as f64;
                (ratio > 1.0 + limit)
                    .then(|| format!("{new} cycles instead of {old}, {:+.1} %", 100.0 * (ratio - 1.0)))
            }
        }
    }
}

/// Findings by rule and grade. Advice is none.
fn findings(outcome: &Outcome) -> BTreeMap<(&str, &str), usize> {
    let mut counts = BTreeMap::new();
    for finding in outcome.compiled().map_or(&[][..], |c| &c.findings) {
        if finding.grade != "advice" {
            *counts.entry((finding.rule.as_str(), finding.grade.as_str())).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

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
