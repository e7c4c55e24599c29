//! Artifacts: what passes hand each other, by name, once and as data.
//!
//! A pass says which artifacts it reads and which it writes ([`crate::PassInfo`]); from that alone the host knows
//! which order of stages makes sense, what to lend a pass and what a pass may change. What must hold: everything that
//! reaches a pass or leaves it belongs to one artifact of [`ARTIFACTS`], or to one of the pass authors' own, which is
//! named like its columns: `vendor.costs` is `vendor.costs/1` and all below `vendor.costs.`.

use crate::GroupId;
use crate::column::Columns;
use crate::hazard::check_hazards;
use crate::kernel::Kernel;
use crate::memory::ADDRESSES;
use crate::plan::{PlanError, SyncPlan};
use crate::target::Target;

/// Column of the artifact `late-sets`: the pairs whose sets allocation moved in its second round, in order of moving.
/// Where their new place is behind a loop, they stand behind the tail waits that were given before.
pub const LATE_SETS: &str = "event-ids.moved-late/1";

/// One thing that passes hand each other.
#[derive(Clone, Copy, Debug)]
pub struct Artifact {
    /// Its name in declarations and messages.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// The columns that it stands for: an id, or the beginning of ids that ends in a `.`.
    pub columns: &'static [&'static str],
    /// What it is in the plan: [`part`] bits. The columns of plans are shared by all artifacts that live in them.
    pub parts: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// What a second stage does that writes it without reading it.
    pub again: Again,
    /// Who may read it.
    pub readers: Readers,
    /// Artifacts that are stale once this one is written: they were made from what it was before.
    pub spoils: Spoils,
    /// What a pass that was built before ABI 1.2, when there were fewer names, writes too if it declares this.
    pub implied: &'static [&'static str],
    /// The host's check after each pass that may have changed it.
    pub check: Check,
}

/// Where an artifact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The host has it before the first stage.
    Given,
    /// A stage writes it.
    Stage,
}

/// What it means that a second stage writes an artifact without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It adds to what is there.
    Adds,
    /// It takes the place of what is there, which must have been of use to some stage by then.
    Replaces,
    /// It has no meaning: the work of the first stage would be lost, or done twice.
    Never,
}

/// Who may read an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Any pass.
    Any,
    /// Passes over one function.
    FunctionPasses,
    /// The host alone, which takes it from the pass.
    Host,
}

/// What goes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoils {
    /// These.
    These(&'static [&'static str]),
    /// Everything that a stage wrote.
    All,
}

/// A check of what a pass left. It names the rule that is broken.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Nothing a pass does can break it.
    None,
    /// [`SyncPlan::validate`], which checks all artifacts of plans in one walk.
    Plan,
    /// The host checks while it takes it: [`crate::memory::check_addresses`], then against the module.
    Taken,
    /// A check of columns of a function.
    Columns(fn(&Evidence<'_>) -> Result<(), PlanError>),
}

/// What a check of columns sees.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The function.
    pub kernel: Kernel<'a>,
    /// Its plan after the pass.
    pub plan: &'a SyncPlan,
    /// The target.
    pub target: Target<'a>,
    /// The columns that stages wrote for the function.
    pub columns: Columns<'a>,
}

/// Parts of a plan.
pub mod part {
    /// Set/wait pairs other than synthetic ones, and where their ends stand.
    pub const PAIRS: u32 = 1;
    /// Barriers, and where they stand.
    pub const BARRIERS: u32 = 2;
    /// Synthetic pairs, their event ids, and where their ends stand.
    pub const SYNTHETIC: u32 = 4;
    /// The order of the entries of one anchor.
    pub const LISTS: u32 = 8;
    /// `event_id` of pairs.
    pub const IDS: u32 = 16;
    /// `scope` of pairs.
    pub const SCOPES: u32 = 32;
    /// `order` of pairs.
    pub const ORDER: u32 = 64;
    /// All of them.
    pub const ALL: u32 = 127;
}

const PLAN: &[&str] = &["plan."];

/// Where the entries of [`ARTIFACTS`] start from.
const STAGE: Artifact = Artifact {
    name: "",
    meaning: "",
    columns: &[],
    parts: 0,
    origin: Origin::Stage,
    again: Again::Never,
    readers: Readers::Any,
    spoils: Spoils::These(&[]),
    implied: &[],
    check: Check::Plan,
};

const GIVEN: Artifact = Artifact { origin: Origin::Given, check: Check::None, ..STAGE };

/// All artifacts that the host knows.
pub const ARTIFACTS: [Artifact; 15] = [
    Artifact {
        name: "target",
        meaning: "the machine: pipes, spaces, event ids, operations; every pass is lent it",
        columns: &["target."],
        ..GIVEN
    },
    Artifact {
        name: "module",
        meaning: "the parsed program; planned addresses are written into it",
        columns: &["module."],
        ..GIVEN
    },
    Artifact {
        name: "kernel",
        meaning: "each function as a flat list of nodes with the memory that each touches",
        columns: &["kernel."],
        ..GIVEN
    },
    Artifact {
        name: "plan",
        meaning: "all of a function's plan, whatever it holds by then: what emitters read",
        columns: PLAN,
        parts: part::ALL,
        check: Check::Plan,
        ..GIVEN
    },
    Artifact {
        name: "addresses",
        meaning: "a place for each tile and reserved buffer without one; functions are flattened anew",
        columns: &[ADDRESSES],
        readers: Readers::Host,
        spoils: Spoils::All,
        check: Check::Taken,
        ..STAGE
    },
    Artifact {
        name: "hazards",
        meaning: "which regions of a function overlap",
        columns: &["hazards."],
        again: Again::Replaces,
        readers: Readers::FunctionPasses,
        check: Check::Columns(check_hazards),
        ..STAGE
    },
    Artifact {
        name: "sync-groups",
        meaning: "set/wait pairs, and the program points at which their ends stand",
        columns: PLAN,
        parts: part::PAIRS,
        spoils: Spoils::These(&[
            "event-ids",
            "id-scopes",
            "id-order",
            "late-sets",
            "synthetic-pairs",
            "text",
        ]),
        implied: &["barriers", "list-order"],
        ..STAGE
    },
    Artifact {
        name: "barriers",
        meaning: "barriers, and the program points at which they stand",
        columns: PLAN,
        parts: part::BARRIERS,
        again: Again::Adds,
        spoils: Spoils::These(&["text"]),
        ..STAGE
    },
    Artifact {
        name: "list-order",
        meaning: "the order of what stands at one program point",
        columns: PLAN,
        parts: part::LISTS,
        again: Again::Adds,
        spoils: Spoils::These(&["text"]),
        ..STAGE
    },
    Artifact {
        name: "event-ids",
        meaning: "the event id of each pair, or that there is none for it",
        columns: PLAN,
        parts: part::IDS,
        spoils: Spoils::These(&["id-scopes", "id-order", "late-sets", "synthetic-pairs", "text"]),
        implied: &["id-scopes", "id-order", "late-sets"],
        ..STAGE
    },
    Artifact {
        name: "id-scopes",
        meaning: "how long a carried pair holds its id: its loop, or the function",
        columns: PLAN,
        parts: part::SCOPES,
        spoils: Spoils::These(&["synthetic-pairs", "text"]),
        ..STAGE
    },
    Artifact {
        name: "id-order",
        meaning: "in which order pairs got their ids",
        columns: PLAN,
        parts: part::ORDER,
        spoils: Spoils::These(&["synthetic-pairs", "text"]),
        ..STAGE
    },
    Artifact {
        name: "late-sets",
        meaning: "pairs whose sets moved after the last id was given, in the order of moving",
        columns: &[LATE_SETS],
        again: Again::Replaces,
        readers: Readers::FunctionPasses,
        check: Check::Columns(check_late_sets),
        ..STAGE
    },
    Artifact {
        name: "synthetic-pairs",
        meaning: "the head set and tail wait that close each carried pair, with their ids",
        columns: PLAN,
        parts: part::SYNTHETIC,
        spoils: Spoils::These(&["text"]),
        ..STAGE
    },
    Artifact {
        name: "text",
        meaning: "the output of the pipeline, as an emitter prints it",
        columns: &["outcome.text/1"],
        readers: Readers::Host,
        check: Check::None,
        ..STAGE
    },
];

/// The artifact of that name, if the host knows it.
pub fn find(name: &str) -> Option<&'static Artifact> {
    ARTIFACTS.iter().find(|artifact| artifact.name == name)
}

/// The name of the artifact that the column belongs to: that of the table, or of the author's own, which is the id
/// without its version.
pub fn of_column(id: &str) -> &str {
    match ARTIFACTS.iter().find(|artifact| artifact.columns.iter().any(|column| covers(column, id))) {
        Some(artifact) => artifact.name,
        None => id.split('/').next().unwrap_or(id),
    }
}

/// Whether the column is one of those that the artifact stands for.
pub fn has_column(artifact: &str, id: &str) -> bool {
    let known = ARTIFACTS.iter().find(|a| a.columns.iter().any(|column| covers(column, id)));
    match (find(artifact), known) {
        (Some(artifact), _) => artifact.columns.iter().any(|column| covers(column, id)),
        (None, Some(_)) => false,
        (None, None) => id.strip_prefix(artifact).is_some_and(|rest| rest.starts_with(['.', '/'])),
    }
}

/// The [`part`] bits of an artifact.
pub fn parts(name: &str) -> u32 {
    find(name).map_or(0, |artifact| artifact.parts)
}

/// Checks the artifacts of these columns of a function.
pub fn check_columns<'c>(
    evidence: &Evidence<'_>,
    columns: impl IntoIterator<Item = &'c str> + Clone,
) -> Result<(), PlanError> {
    ARTIFACTS.iter().try_for_each(|artifact| match artifact.check {
        Check::Columns(check) if columns.clone().into_iter().any(|id| has_column(artifact.name, id)) => {
            check(evidence)
        }
        _ => Ok(()),
    })
}

fn covers(column: &str, id: &str) -> bool {
    id == column || (column.ends_with('.') && id.starts_with(column))
}

/// Rules: `late-set` (a group of the plan).
fn check_late_sets(evidence: &Evidence<'_>) -> Result<(), PlanError> {
    let groups = evidence.plan.groups().len();
    let records = evidence.columns.get::<GroupId>(LATE_SETS);
    let records = records.map_err(|error| PlanError::new("column", error.to_string()))?;
    match records.iter().find(|id| id.index() >= groups) {
        Some(id) => {
            let message = format!("the set of {id} was moved late, but there are {groups} groups");
            Err(PlanError::new("late-set", message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_speaks_of_itself_only() {
        let mut seen = Vec::new();
        for artifact in &ARTIFACTS {
            assert!(!seen.contains(&artifact.name), "{} is there twice", artifact.name);
            seen.push(artifact.name);
            let spoiled = match artifact.spoils {
                Spoils::These(names) => names,
                Spoils::All => &[],
            };
            for name in spoiled.iter().chain(artifact.implied) {
                assert!(find(name).is_some(), "{} names {name}", artifact.name);
                assert_ne!(*name, artifact.name);
            }
        }
        let parts = ARTIFACTS.iter().filter(|a| a.origin == Origin::Stage).map(|a| a.parts);
        assert_eq!(parts.clone().sum::<u32>(), part::ALL, "each part of a plan has one artifact");
        assert_eq!(parts.fold(0, |all, parts| all | parts), part::ALL);
    }

    /// What is printed before a plan changes says nothing of the change.
    #[test]
    fn all_that_changes_a_plan_spoils_the_text() {
        for artifact in ARTIFACTS.iter().filter(|a| a.origin == Origin::Stage && a.parts != 0) {
            let Spoils::These(names) = artifact.spoils else { continue };
            assert!(names.contains(&"text"), "{}", artifact.name);
        }
    }

    #[test]
    fn columns_belong_to_one_artifact() {
        assert_eq!(of_column("hazards.rows/1"), "hazards");
        assert_eq!(of_column("event-ids.moved-late/1"), "late-sets");
        assert_eq!(of_column("vendor.costs/2"), "vendor.costs");
        assert!(has_column("late-sets", LATE_SETS) && !has_column("event-ids", LATE_SETS));
        assert!(has_column("vendor", "vendor.costs/1") && has_column("vendor.costs", "vendor.costs/1"));
        assert!(!has_column("vendor.cost", "vendor.costs/1") && !has_column("vendor", "vendored/1"));
    }
}
