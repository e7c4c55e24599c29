//! Totals of a comparison: wins and losses, ratios, what the ranking hinges on, which variants are worth a look.
//!
//! What must hold: a ratio rests on kernels that ran to their end on both sides, and kernels that did not are counted
//! beside it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{Compiled, Hinge, Kernel, Means, Outcome, Pairing, Report, Sensitivity, Verdict};

/// Each pipeline but the first against the first.
pub fn pairings(kernels: &[Kernel], pipelines: usize) -> Vec<Pairing> {
    against(kernels, pipelines, 0)
}

/// Each pipeline but `base` against that one.
pub fn against(kernels: &[Kernel], pipelines: usize, base: usize) -> Vec<Pairing> {
    (0..pipelines).filter(|&pipeline| pipeline != base).map(|p| pairing(kernels, base, p)).collect()
}

fn pairing(kernels: &[Kernel], base: usize, pipeline: usize) -> Pairing {
    let mut pairing = Pairing {
        pipeline,
        compared: 0,
        wins: 0,
        losses: 0,
        ties: 0,
        geomean: None,
        median: None,
        clean: Means::default(),
        only_first: Vec::new(),
        only_this: Vec::new(),
        neither: 0,
        verdict_better: Vec::new(),
        verdict_worse: Vec::new(),
        sensitivity: Vec::new(),
    };
    let (mut ratios, mut clean) = (Vec::new(), Vec::new());
    for (index, kernel) in kernels.iter().enumerate() {
        let (first, this) = (&kernel.results[base], &kernel.results[pipeline]);
        match (first.cycles(), this.cycles()) {
            (Some(a), Some(b)) => {
                pairing.compared += 1;
                pairing.wins += usize::from(b < a);
                pairing.losses += usize::from(b > a);
                pairing.ties += usize::from(b == a);
                ratios.push(ratio(a, b));
                clean.extend((is_clean(first) && is_clean(this)).then(|| ratio(a, b)));
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
    (pairing.geomean, pairing.median) = (geomean(&ratios), median(&ratios));
    pairing.clean = Means { compared: clean.len(), geomean: geomean(&clean), median: median(&clean) };
    pairing.sensitivity = sensitivity(kernels, base, pipeline);
    pairing
}

/// Cycles of one through cycles of the other; a function without any is as fast as another such.
fn ratio(first: u64, this: u64) -> f64 {
    this.max(1) as f64 / first.max(1) as f64
}

/// Whether it compiled and ran to its end, without an error among the findings.
fn is_clean(outcome: &Outcome) -> bool {
    outcome.cycles().is_some() && outcome.verdict().is_some_and(|verdict| verdict < Verdict::Errors)
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

/// The ratio of two pipelines on a kernel with each uncertain figure changed that changes it.
///
/// What a kernel has are ratios against the first pipeline; those of two others are quotients of them, and exactly 1
/// where cycles are equal.
pub fn variations(kernel: &Kernel, base: usize, pipeline: usize) -> Vec<Hinge> {
    let known = |of: usize, like: &Hinge| {
        let same = |v: &&Hinge| v.pipeline == of && v.figure == like.figure && v.factor == like.factor;
        let changed = kernel.variations.iter().find(same).map(|v| v.changed_ratio);
        changed.or_else(|| kernel.ratio(of))
    };
    let mut out: Vec<Hinge> = Vec::new();
    for like in kernel.variations.iter().filter(|v| v.pipeline == base || v.pipeline == pipeline) {
        if out.iter().any(|v| v.figure == like.figure && v.factor == like.factor) {
            continue;
        }
        let plain = [pipeline, base].map(|of| kernel.ratio(of));
        let changed = [pipeline, base].map(|of| known(of, like));
        let ([Some(this), Some(first)], [Some(changed_this), Some(changed_first)]) = (plain, changed) else {
            continue;
        };
        let (ratio, changed_ratio) = (this / first, changed_this / changed_first);
        if ratio != changed_ratio {
            out.push(Hinge { pipeline, ratio, changed_ratio, ..like.clone() });
        }
    }
    out
}

/// What becomes of the totals if an uncertain figure is changed.
fn sensitivity(kernels: &[Kernel], base: usize, pipeline: usize) -> Vec<Sensitivity> {
    // By figure and factor, the latter in bits: positive numbers are ordered like their bits.
    let mut changes: BTreeMap<(String, u64), Vec<(usize, Hinge)>> = BTreeMap::new();
    for (index, kernel) in kernels.iter().enumerate() {
        for hinge in variations(kernel, base, pipeline) {
            let key = (hinge.figure.clone(), hinge.factor.to_bits());
            changes.entry(key).or_default().push((index, hinge));
        }
    }
    let cycles = |kernel: &Kernel, of: usize| kernel.results[of].cycles();
    let plain: BTreeMap<usize, f64> = (kernels.iter().enumerate())
        .filter_map(|(index, k)| Some((index, ratio(cycles(k, base)?, cycles(k, pipeline)?))))
        .collect();
    let mean =
        |ratios: &BTreeMap<usize, f64>| geomean(&ratios.values().copied().collect::<Vec<_>>()).unwrap_or(1.0);
    let total = |changes: Vec<(usize, Hinge)>| {
        let mut ratios = plain.clone();
        ratios.extend(changes.iter().map(|(index, hinge)| (*index, hinge.changed_ratio)));
        let geomean = mean(&ratios);
        let hinge = &changes[0].1;
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

/// All kernels by how much they matter: verdicts that got worse, verdicts that got better, those that run to their end
/// on one side only, then the greatest ratios.
pub fn most_important(report: &Report, pipeline: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..report.kernels.len()).collect();
    order.sort_by(|&a, &b| {
        let key = |index: usize| {
            let kernel = &report.kernels[index];
            let (first, this) = (&kernel.results[0], &kernel.results[pipeline]);
            let group = match rank(this).cmp(&rank(first)) {
                std::cmp::Ordering::Greater => 0,
                std::cmp::Ordering::Less => 1,
                std::cmp::Ordering::Equal if first.cycles().is_some() != this.cycles().is_some() => 2,
                std::cmp::Ordering::Equal => 3,
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
    /// Whether all kernels that count compiled and ran to their end, without an error among the findings.
    pub clean: bool,
    /// Kernels with warnings.
    pub warnings: usize,
    /// Cycles over all kernels that count; none if one of them did not run to its end.
    pub cycles: Option<u64>,
    /// Most event ids of one pair of pipes in use at once, on any kernel.
    pub ids: usize,
    /// Sets, waits and barriers over the same kernels.
    pub statements: usize,
    /// Whether no other clean pipeline is at least as good in all three and better in one.
    pub best: bool,
}

/// All pipelines by what they cost.
///
/// A kernel that no pipeline gets through without an error does not tell them apart and does not count: one such
/// would leave no pipeline to choose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standings {
    /// One for each pipeline, in their order.
    pub pipelines: Vec<Standing>,
    /// Kernels that count.
    pub counted: usize,
    /// Kernels that do not.
    pub left_out: usize,
}

/// All pipelines by what they cost.
pub fn standings(report: &Report) -> Standings {
    let counts = |k: &&Kernel| k.results.iter().any(is_clean);
    let counted: Vec<&Kernel> = report.kernels.iter().filter(counts).collect();
    let standing = |pipeline: usize| {
        let outcomes = || counted.iter().map(|k| &k.results[pipeline]);
        let compiled = || outcomes().filter_map(Outcome::compiled);
        let ids = compiled().flat_map(|c| c.metrics.peak_ids.values()).copied().max().unwrap_or(0);
        let statements = |c: &Compiled| {
            let m = &c.metrics;
            m.sets + m.waits + m.pipe_all + m.barriers.values().sum::<usize>()
        };
        Standing {
            pipeline,
            clean: !counted.is_empty() && outcomes().all(is_clean),
            warnings: outcomes().filter(|o| o.verdict() == Some(Verdict::Warnings)).count(),
            cycles: outcomes().map(Outcome::cycles).sum(),
            ids,
            statements: compiled().map(statements).sum(),
            best: false,
        }
    };
    let mut all: Vec<Standing> = (0..report.pipelines.len()).map(standing).collect();
    let costs = |s: &Standing| [s.cycles.unwrap_or(u64::MAX), s.ids as u64, s.statements as u64];
    let beats = |a: &Standing, b: &Standing| {
        a.clean && costs(a) != costs(b) && costs(a).iter().zip(costs(b)).all(|(x, y)| *x <= y)
    };
    let best: Vec<bool> = all.iter().map(|s| s.clean && !all.iter().any(|o| beats(o, s))).collect();
    all.iter_mut().zip(best).for_each(|(s, best)| s.best = best);
    Standings { pipelines: all, counted: counted.len(), left_out: report.kernels.len() - counted.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::model::Metrics;

    fn compiled(cycles: Option<u64>, verdict: Verdict, ids: usize) -> Outcome {
        let peak_ids = [("V>S".to_owned(), ids)].into();
        Outcome::Compiled(Box::new(Compiled {
            verdict,
            findings: Vec::new(),
            more_findings: BTreeMap::new(),
            metrics: Metrics { cycles, peak_ids, ..Metrics::default() },
            deadlock: Vec::new(),
            notes: Vec::new(),
            extrapolated: 0,
            skeleton: Vec::new(),
            timeline: None,
        }))
    }

    fn report(kernels: Vec<Kernel>, pipelines: usize) -> Report {
        let pipeline = |name: usize| crate::compare::model::Pipeline {
            name: name.to_string(),
            file: String::new(),
            settings: vec![],
            stages: vec![],
        };
        Report {
            schema: String::new(),
            complete: true,
            shard: None,
            files: kernels.len(),
            assumptions: Default::default(),
            pipelines: (0..pipelines).map(pipeline).collect(),
            pairings: pairings(&kernels, pipelines),
            kernels,
        }
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
        assert_eq!(pairing.clean, Means { compared: 3, geomean: Some(1.0), median: Some(1.0) });
        assert_eq!(
            (&pairing.only_first[..], &pairing.only_this[..], pairing.neither),
            (&[3][..], &[4][..], 1)
        );
        assert_eq!((&pairing.verdict_worse[..], &pairing.verdict_better[..]), (&[3][..], &[4][..]));
        assert_eq!(pairings(&[], 2)[0].geomean, None);
    }

    #[test]
    fn a_plan_with_errors_does_not_make_the_clean_mean_better() {
        let kernels = [
            kernel(vec![compiled(Some(100), Verdict::Proved, 1), compiled(Some(110), Verdict::Warnings, 1)]),
            kernel(vec![compiled(Some(100), Verdict::Proved, 1), compiled(Some(10), Verdict::Errors, 1)]),
        ];
        let pairing = &pairings(&kernels, 2)[0];
        assert_eq!((pairing.compared, pairing.clean.compared), (2, 1));
        assert!(pairing.geomean < Some(1.0) && pairing.clean.geomean > Some(1.0), "{pairing:?}");
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
    fn two_others_are_compared_by_quotients() {
        let fine = |cycles| compiled(Some(cycles), Verdict::Proved, 1);
        let mut one = kernel(vec![fine(100), fine(80), fine(90)]);
        let hinge = |pipeline, ratio, changed_ratio| Hinge {
            pipeline,
            figure: "sync.set.delay".into(),
            confidence: "est".into(),
            factor: 2.0,
            ratio,
            changed_ratio,
        };
        // Against the first both stay faster, but the third gets faster than the second.
        one.variations = vec![hinge(1, 0.8, 0.9), hinge(2, 0.9, 0.6)];
        let found = variations(&one, 1, 2);
        assert_eq!(found.len(), 1);
        assert!((found[0].ratio - 90.0 / 80.0).abs() < 1e-12 && found[0].flips(), "{found:?}");
        assert!((found[0].changed_ratio - 0.6 / 0.9).abs() < 1e-12, "{found:?}");
        let pairing = &against(&[one.clone()], 3, 1)[1];
        assert_eq!((pairing.pipeline, pairing.losses, pairing.sensitivity.len()), (2, 1, 1));
        // The figure changes only one of the two.
        one.variations.pop();
        assert!(!variations(&one, 1, 2)[0].flips());
        assert_eq!(variations(&one, 0, 1), one.variations);
    }

    #[test]
    fn what_runs_on_one_side_only_comes_before_ratios() {
        let fine = |cycles| compiled(Some(cycles), Verdict::Errors, 1);
        let kernels = vec![
            kernel(vec![fine(100), fine(200)]),
            kernel(vec![fine(100), compiled(None, Verdict::Errors, 1)]),
            kernel(vec![compiled(Some(1), Verdict::Proved, 1), fine(1)]),
        ];
        assert_eq!(most_important(&report(kernels, 2), 1), [2, 1, 0]);
    }

    #[test]
    fn only_clean_pipelines_that_nothing_beats_are_best() {
        let results = vec![
            compiled(Some(100), Verdict::Proved, 4),
            compiled(Some(90), Verdict::Proved, 6),
            compiled(Some(110), Verdict::Proved, 6),
            compiled(Some(50), Verdict::Errors, 1),
        ];
        let all = report(vec![kernel(results)], 4);
        let best =
            |report: &Report| -> Vec<bool> { standings(report).pipelines.iter().map(|s| s.best).collect() };
        assert_eq!(best(&all), [true, true, false, false]);
        // One that fails everywhere does not count, one that hangs somewhere takes its pipeline out.
        let nowhere = kernel((0..4).map(|_| Outcome::Failed { diagnostic: "no".into() }).collect());
        let mut kernels = [all.kernels, vec![nowhere]].concat();
        let more = report(kernels.clone(), 4);
        assert_eq!(best(&more), [true, true, false, false]);
        assert_eq!((standings(&more).counted, standings(&more).left_out), (1, 1));
        let fine = || compiled(Some(10), Verdict::Proved, 1);
        kernels.push(kernel(vec![compiled(None, Verdict::Errors, 1), fine(), fine(), fine()]));
        let more = report(kernels, 4);
        assert_eq!(best(&more), [false, true, false, false]);
        assert_eq!(standings(&more).pipelines[0].cycles, None);
    }
}
