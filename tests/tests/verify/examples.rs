//! Kernels of our own: the loop-tail defect, and what the reference gets wrong without notice.

use std::collections::BTreeSet;

use pipewright::verify::program::{Program, Step};
use pipewright::verify::{Finding, Grade, Judgement, Rule, Verdict};
use pipewright_abi::plan::{Anchor, NO_EVENT, Role, group_flag};
use pipewright_tests::workspace;

use crate::confirm::{Confirmation, confirm};
use crate::explorer::{self, Reset};
use crate::kernels::{Pipeline, Planned, judged, own_kernels, read};

/// Ways through an example that are executed.
const PATHS: usize = 40;

fn example(pipeline: &str, name: &str) -> Planned {
    let text = read(&workspace().join("examples").join(name));
    Pipeline::load(pipeline).plan(&text).unwrap_or_else(|| panic!("{name} does not compile"))
}

/// What the prover says of an example's only function.
fn said(pipeline: &str, name: &str) -> (Program, Judgement) {
    let planned = example(pipeline, name);
    let all = judged(&planned);
    let [(program, judgement)] = &all[..] else { panic!("{name} has one function") };
    ((*program).clone(), judgement.clone())
}

fn of_rule(judgement: &Judgement, rule: Rule) -> Vec<&Finding> {
    judgement.findings.iter().filter(|f| f.rule == rule).collect()
}

/// What the explorer sees on any path through a program.
fn explored(program: &Program) -> BTreeSet<Rule> {
    let (paths, _) = explorer::paths(program, PATHS);
    let mut seen = BTreeSet::new();
    for path in &paths {
        seen.extend(explorer::in_order(program, path));
        seen.extend(explorer::freeze(program, path, Reset::Stalls));
    }
    seen
}

#[test]
fn a_loop_tail_wait_behind_a_sunk_set_is_a_double_set() {
    let (program, judgement) = said("a3-reference-push-back", "loop-tail/two_phases.pto");
    let [finding] = of_rule(&judgement, Rule::DoubleSet)[..] else { panic!("one double set") };
    assert_eq!(finding.grade, Grade::Error);
    assert_eq!(program.key_name(finding.key.expect("a flag")), "V>MTE2 #0");
    assert_eq!(confirm(&program, &judgement, finding), Confirmation::Seen);
    assert!(explored(&program).contains(&Rule::DoubleSet));
}

#[test]
fn a_loop_tail_wait_in_front_of_a_sunk_set_is_right() {
    let (program, judgement) = said("a3-reference", "loop-tail/two_phases.pto");
    assert!(judgement.findings.iter().all(|f| f.rule == Rule::FlagReuse), "{:?}", judgement.findings);
    assert_eq!(explored(&program), BTreeSet::from([Rule::FlagReuse]));
}

/// At one loop end stand tail waits that got their ids at loop scope, and a set of a pair for which no id is left. The
/// pair becomes a barrier whatever the order of that list.
#[test]
fn no_set_is_overlooked_where_tail_waits_were_put() {
    for pipeline in ["a3-reference", "a3-reference-push-back"] {
        let planned = example(pipeline, "loop-tail/crowded_tail.pto");
        let plan = &planned.units[0].plan;
        let kernel = planned.units[0].kernel.view();
        for group in plan.live_groups().map(|g| plan.group(g)) {
            assert!(!group.is_pair() || group.event_id != NO_EVENT, "{pipeline}: a pair without id is left");
        }
        let crowded = kernel.node_ids().find(|&node| {
            let entries = plan.at(Anchor::after(node));
            let tail_wait = |role, g| role == Role::Wait && plan.group(g).has(group_flag::SYNTHETIC);
            entries.iter().filter(|e| tail_wait(e.role, e.group)).count() == 8
        });
        assert!(crowded.is_some(), "{pipeline}: eight tail waits at one loop end");
        let demoted = plan.live_groups().filter(|&g| {
            let group = plan.group(g);
            // Not carried, made for the last load: its set had sunk to that loop end.
            group.has(group_flag::DEMOTED) && group.carrier.is_none()
        });
        assert_eq!(demoted.count(), 3, "{pipeline}");
        for (program, judgement) in judged(&planned) {
            assert!(judgement.findings.iter().all(|f| f.rule == Rule::FlagReuse), "{:?}", judgement.findings);
            assert_eq!(explored(program), BTreeSet::from([Rule::FlagReuse]));
        }
    }
}

/// What the reference does not see, and the rule that does. The explorer agrees.
#[test]
fn what_the_reference_overlooks_is_found() {
    let expected = [
        ("computed_address.pto", Rule::DataRace, Grade::Warning),
        ("dynamic_window.pto", Rule::DataRace, Grade::Error),
        ("early_count.pto", Rule::EarlyPublish, Grade::Warning),
        ("early_signal.pto", Rule::EarlyPublish, Grade::Error),
        ("hidden_flag.pto", Rule::HiddenFlag, Grade::Error),
        ("lone_store.pto", Rule::UnfinishedWork, Grade::Advice),
        ("narrow_elements.pto", Rule::DataRace, Grade::Error),
        ("overlapping_tiles.pto", Rule::DataRace, Grade::Error),
        ("put_in_pair.pto", Rule::HiddenFlag, Grade::Error),
        ("scalar_read.pto", Rule::DataRace, Grade::Error),
        ("stale_put.pto", Rule::DataRace, Grade::Error),
        ("strided_windows.pto", Rule::MissingBarrier, Grade::Error),
        ("swapped_rows.pto", Rule::DataRace, Grade::Error),
        ("tile_parameter.pto", Rule::DataRace, Grade::Warning),
        ("while_head.pto", Rule::WaitBeforeSet, Grade::Error),
        ("zero_trips.pto", Rule::DataRace, Grade::Error),
    ];
    for (name, rule, grade) in expected {
        let (program, judgement) = said("a3-reference", &format!("unsound/{name}"));
        let found = of_rule(&judgement, rule);
        assert!(found.iter().any(|f| f.grade == grade), "{name}: {:?}", judgement.findings);
        for finding in found {
            assert_eq!(confirm(&program, &judgement, finding), Confirmation::Seen, "{name}: {finding:?}");
        }
        assert!(explored(&program).contains(&rule), "{name}: the explorer does not see it");
        // The default pipeline gets it right.
        let (_, judgement) = said("a3", &format!("unsound/{name}"));
        let errors = judgement.findings.iter().filter(|f| f.grade == Grade::Error);
        assert_eq!(errors.count(), 0, "{name}: {:?}", judgement.findings);
    }
    let kernels = own_kernels();
    let unsound = kernels.iter().filter(|(path, _)| path.parent().is_some_and(|p| p.ends_with("unsound")));
    let here = expected.len() + 1;
    assert_eq!(unsound.count(), here, "each kernel of examples/unsound is expected here, or below");
}

/// What has an end in the part of each core is half a pair on both.
#[test]
fn a_pair_between_two_cores_is_found_on_both() {
    let planned = example("a3-reference", "unsound/two_sections.pto");
    let all = judged(&planned);
    let [(vector, on_vector), (cube, on_cube)] = &all[..] else { panic!("a program for each core") };
    for (program, judgement, rules) in [
        (vector, on_vector, BTreeSet::from([Rule::UndrainedFlag])),
        (cube, on_cube, BTreeSet::from([Rule::WaitBeforeSet, Rule::Deadlock])),
    ] {
        assert_eq!(judgement.findings.iter().map(|f| f.rule).collect::<BTreeSet<_>>(), rules);
        assert!(explored(program).is_superset(&rules), "the explorer does not see it");
    }
}

/// Which buffer a carried tile stands for is known for each trip: what only a confusion of the two would break is proved,
/// and what is broken is shown in the first trip in which it is.
#[test]
fn tiles_that_a_loop_hands_on_are_told_apart() {
    let (_, judgement) = said("a3", "ping_pong.pto");
    assert_eq!(judgement.findings, []);
    assert_eq!(judgement.verdict(Rule::DataRace), Verdict::Proved);

    let (program, judgement) = said("a3-reference", "unsound/swapped_rows.pto");
    let trips = |finding: &Finding| {
        let path = finding.path.as_ref().expect("a path").steps(&program);
        path.iter().filter(|&&step| matches!(program.steps[step], Step::LoopEnd { .. })).count() + 1
    };
    let races: Vec<usize> = of_rule(&judgement, Rule::DataRace).into_iter().map(trips).collect();
    // The row that is loaded in trip 1 is worked on in trip 2, and loaded again in trip 3.
    assert_eq!(races, [3, 2]);
}

/// Of the other kernels of ours, under both reference pipelines, whatever is found is real.
#[test]
fn findings_on_our_kernels_are_confirmed() {
    for pipeline in ["a3-reference", "a3-reference-push-back"] {
        let pipeline = Pipeline::load(pipeline);
        for (path, text) in own_kernels() {
            let Some(planned) = pipeline.plan(&text) else { continue };
            for (program, judgement) in judged(&planned) {
                for finding in &judgement.findings {
                    let found = confirm(program, &judgement, finding);
                    assert_ne!(found, Confirmation::Unseen, "{}: {finding:?}", path.display());
                }
            }
        }
    }
}
