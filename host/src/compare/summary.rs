//! Totals of a comparison: wins and losses, ratios, what the ranking hinges on, which variants are worth a look.
//!
//! What must hold: a ratio rests on kernels that ran to their end on both sides, and kernels that did not are counted
//! beside it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{Hinge, Kernel, Outcome, Pairing, Report, Sensitivity, Verdict};

/// Each pipeline but the first against the first.
pub fn pairings(kernels: &[Kernel], pipelines: usize) -> Vec<Pairing> {
    (1..pipelines).map(|pipeline| pairing(kernels, pipeline)).collect()
}

fn pairing(kernels: &[Kernel], pipeline: usize) -> Pairing {
    let mut pairing = Pairing {
        pipeline,
        compared: 0,
        wins: 0,
        losses: 0,
        ties: 0,
        geomean: None,
        median: None,
        only_first: Vec::new(),
        only_this: Vec::new(),
        neither: 0,
        verdict_better: Vec::new(),
        verdict_worse: Vec::new(),
        sensitivity: Vec::new(),
    };
    let mut ratios = Vec::new();
    for (index, kernel) in kernels.iter().enumerate() {
        let (first, this) = (&kernel.results[0], &kernel.results[pipeline]);
        match (first.cycles(), this.cycles()) {
            (Some(a), Some(b)) => {
                pairing.compared += 1;
                pairing.wins += usize::from(b < a);
                pairing.losses += usize::from(b > a);
                pairing.ties += usize::from(b == a);
                ratios.push(ratio(a, b));
            }
            (Some(_), None) => pairing.only_first.push(index),
            (None, Some(_)) => pairing.only_this.push(index),
            (None, None) => pairing.neither += 1,
        }
        match rank(this).cmp(&rank(first)) {
            std::cmp::Ordering::Less => pairing.verdict_better.push(index),
            std::cmp::Ordering::Greater => pairing.verdict_worse.push(index),
            std::cmp::Ordering::Equal => {}
        }
    }
    pairing.geomean = geomean(&ratios);
    pairing.median = median(&ratios);
    pairing.sensitivity = sensitivity(kernels, pipeline);
    pairing
}

/// Cycles of one through cycles of the other; a function without any is as fast as another such.
fn ratio(first: u64, this: u64) -> f64 {
    this.max(1) as f64 / first.max(1) as f64
}

/// How good an outcome is, the best first.
pub fn rank(outcome: &Outcome) -> (u8, Option<Verdict>) {
    match outcome {
        Outcome::Compiled(compiled) => (0, Some(compiled.verdict)),
        Outcome::Failed { .. } => (1, None),
    }
}

fn geomean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|r| r.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

fn median(ratios: &[f64]) -> Option<f64> {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 0 => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
        _ => Some(sorted[middle]),
    }
}

/// What becomes of the totals if an uncertain figure is changed.
fn sensitivity(kernels: &[Kernel], pipeline: usize) -> Vec<Sensitivity> {
    // By figure and factor, the latter in bits: positive numbers are ordered like their bits.
    let mut changes: BTreeMap<(&str, u64), Vec<(usize, &Hinge)>> = BTreeMap::new();
    for (index, kernel) in kernels.iter().enumerate() {
        for hinge in kernel.variations.iter().filter(|h| h.pipeline == pipeline) {
            changes.entry((&hinge.figure, hinge.factor.to_bits())).or_default().push((index, hinge));
        }
    }
    let plain: BTreeMap<usize, f64> = (kernels.iter().enumerate())
        .filter_map(|(index, k)| Some((index, ratio(k.results[0].cycles()?, k.results[pipeline].cycles()?))))
        .collect();
    let mean =
        |ratios: &BTreeMap<usize, f64>| geomean(&ratios.values().copied().collect::<Vec<_>>()).unwrap_or(1.0);
    let total = |changes: Vec<(usize, &Hinge)>| {
        let mut ratios = plain.clone();
        ratios.extend(changes.iter().map(|(index, hinge)| (*index, hinge.changed_ratio)));
        let geomean = mean(&ratios);
        let hinge = changes[0].1;
        Sensitivity {
            figure: hinge.figure.clone(),
            confidence: hinge.confidence.clone(),
            factor: hinge.factor,
            flips: changes.iter().filter(|(_, hinge)| hinge.flips()).count(),
            geomean,
            reverses: (mean(&plain) - 1.0) * (geomean - 1.0) < 0.0,
        }
    };
    changes.into_values().map(total).filter(|s| s.flips > 0 || s.reverses).collect()
}

/// All kernels by how much they matter: verdicts that got worse, verdicts that got better, then the greatest ratios.
pub fn most_important(report: &Report, pipeline: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..report.kernels.len()).collect();
    order.sort_by(|&a, &b| {
        let key = |index: usize| {
            let kernel = &report.kernels[index];
            let change = rank(&kernel.results[pipeline]).cmp(&rank(&kernel.results[0]));
            let group = match change {
                std::cmp::Ordering::Greater => 0,
                std::cmp::Ordering::Less => 1,
                std::cmp::Ordering::Equal => 2,
            };
            (group, kernel.ratio(pipeline).unwrap_or(0.0))
        };
        let ((group_a, ratio_a), (group_b, ratio_b)) = (key(a), key(b));
        group_a.cmp(&group_b).then(ratio_b.total_cmp(&ratio_a)).then(a.cmp(&b))
    });
    order
}

/// One pipeline among several, by what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// Index of the pipeline.
    pub pipeline: usize,
    /// Whether all kernels compiled and ran to their end, without an error among the findings.
    pub clean: bool,
    /// Kernels with warnings.
    pub warnings: usize,
    /// Cycles over all kernels that every pipeline ran to the end.
    pub cycles: u64,
    /// Most event ids of one pair of pipes in use at once, on any kernel.
    pub ids: usize,
    /// Sets, waits and barriers over the same kernels.
    pub statements: usize,
    /// Whether no other clean pipeline is at least as good in all three and better in one.
    pub best: bool,
}

/// All pipelines by what they cost.
pub fn standings(report: &Report) -> Vec<Standing> {
    let everywhere = |k: &&Kernel| k.results.iter().all(|r| r.cycles().is_some());
    let shared: Vec<&Kernel> = report.kernels.iter().filter(everywhere).collect();
    let standing = |pipeline: usize| {
        let is_clean = |k: &Kernel| {
            let fine = |v: Verdict| v < Verdict::Errors;
            k.results[pipeline].cycles().is_some()
                && k.results[pipeline].compiled().is_some_and(|c| fine(c.verdict))
        };
        let compiled = || shared.iter().filter_map(|k| k.results[pipeline].compiled());
        let ids = compiled().flat_map(|c| c.metrics.peak_ids.values()).copied().max().unwrap_or(0);
        let statements = |c: &super::model::Compiled| {
            let m = &c.metrics;
            m.sets + m.waits + m.pipe_all + m.barriers.values().sum::<usize>()
        };
        Standing {
            pipeline,
            clean: report.kernels.iter().all(is_clean),
            warnings: report
                .kernels
                .iter()
                .filter(|k| k.results[pipeline].verdict() == Some(Verdict::Warnings))
                .count(),
            cycles: compiled().filter_map(|c| c.metrics.cycles).sum(),
            ids,
            statements: compiled().map(statements).sum(),
            best: false,
        }
    };
    let mut all: Vec<Standing> = (0..report.pipelines.len()).map(standing).collect();
    let costs = |s: &Standing| [s.cycles, s.ids as u64, s.statements as u64];
    let beats = |a: &Standing, b: &Standing| {
        a.clean && costs(a) != costs(b) && costs(a).iter().zip(costs(b)).all(|(x, y)| *x <= y)
    };
    let best: Vec<bool> = all.iter().map(|s| s.clean && !all.iter().any(|o| beats(o, s))).collect();
    all.iter_mut().zip(best).for_each(|(s, best)| s.best = best);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::model::{Compiled, Metrics};

    fn compiled(cycles: Option<u64>, verdict: Verdict, ids: usize) -> Outcome {
        let peak_ids = [("V>S".to_owned(), ids)].into();
        Outcome::Compiled(Box::new(Compiled {
            verdict,
            findings: Vec::new(),
            more_findings: BTreeMap::new(),
            metrics: Metrics { cycles, peak_ids, ..Metrics::default() },
            deadlock: Vec::new(),
            notes: Vec::new(),
            skeleton: Vec::new(),
            timeline: None,
        }))
    }

    fn kernel(results: Vec<Outcome>) -> Kernel {
        let (file, function) = ("k.pto".into(), "k".into());
        Kernel { file, function, results, divergences: vec![], hinges: vec![], variations: vec![] }
    }

    #[test]
    fn failures_are_counted_beside_the_ratios() {
        let fails = || Outcome::Failed { diagnostic: "no".into() };
        let fine = |cycles| compiled(Some(cycles), Verdict::Proved, 1);
        let kernels = [
            kernel(vec![fine(100), fine(200)]),
            kernel(vec![fine(100), fine(50)]),
            kernel(vec![fine(100), fine(100)]),
            kernel(vec![fine(100), fails()]),
            kernel(vec![compiled(None, Verdict::Errors, 1), fine(7)]),
            kernel(vec![fails(), fails()]),
        ];
        let pairing = &pairings(&kernels, 2)[0];
        assert_eq!((pairing.compared, pairing.wins, pairing.losses, pairing.ties), (3, 1, 1, 1));
        assert_eq!((pairing.geomean, pairing.median), (Some(1.0), Some(1.0)));
        assert_eq!(
            (&pairing.only_first[..], &pairing.only_this[..], pairing.neither),
            (&[3][..], &[4][..], 1)
        );
        assert_eq!((&pairing.verdict_worse[..], &pairing.verdict_better[..]), (&[3][..], &[4][..]));
        assert_eq!(pairings(&[], 2)[0].geomean, None);
    }

    #[test]
    fn a_figure_that_turns_the_mean_round_is_named() {
        let fine = |cycles| compiled(Some(cycles), Verdict::Proved, 1);
        let mut one = kernel(vec![fine(100), fine(90)]);
        let hinge = |figure: &str, changed_ratio| Hinge {
            pipeline: 1,
            figure: figure.into(),
            confidence: "est".into(),
            factor: 2.0,
            ratio: 0.9,
            changed_ratio,
        };
        one.variations = vec![hinge("sync.set.delay", 1.2), hinge("sync.wait.cycles", 0.95)];
        let found = &pairings(&[one], 2)[0].sensitivity;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].figure.as_str(), found[0].flips, found[0].reverses),
            ("sync.set.delay", 1, true)
        );
    }

    #[test]
    fn only_clean_pipelines_that_nothing_beats_are_best() {
        let results = vec![
            compiled(Some(100), Verdict::Proved, 4),
            compiled(Some(90), Verdict::Proved, 6),
            compiled(Some(110), Verdict::Proved, 6),
            compiled(Some(50), Verdict::Errors, 1),
        ];
        let pipeline = |name: usize| crate::compare::model::Pipeline {
            name: name.to_string(),
            file: String::new(),
            settings: vec![],
            stages: vec![],
        };
        let kernels = vec![kernel(results)];
        let report = Report {
            schema: String::new(),
            complete: true,
            shard: None,
            files: 1,
            assumptions: Default::default(),
            pipelines: (0..4).map(pipeline).collect(),
            pairings: pairings(&kernels, 4),
            kernels,
        };
        let best: Vec<bool> = standings(&report).iter().map(|s| s.best).collect();
        assert_eq!(best, [true, true, false, false]);
    }
}
