//! What a pass is lent and what it may change, from what it declares.
//!
//! Both sides of the boundary hold a pass to it: the context that it works with stops it where it happens, and the host
//! lends and takes no more than that. What must hold: a pass is lent what it declares to read or to write, and nothing
//! else; it changes what it declares to write, and nothing else.

use crate::GroupId;
use crate::artifact::{self, ARTIFACTS, Origin, part};
use crate::pass::PassInfo;
use crate::plan::{Edit, NO_EVENT, PlanColumns, SyncPlan, group_flag, scope};

/// What a pass declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Nothing is held against it: it was built before ABI 1.2.
    open: bool,
    reads: Vec<String>,
    writes: Vec<String>,
    /// Parts of plans that are lent.
    lent: u32,
    /// Parts of plans that may change.
    written: u32,
}

impl Contract {
    /// The contract of a pass.
    pub fn of(info: &PassInfo) -> Self {
        let parts = |names: &[String]| names.iter().fold(0, |all, name| all | artifact::parts(name));
        let reads = [&info.reads[..], &info.may_read].concat();
        let written = parts(&info.writes);
        Self { open: false, lent: parts(&reads) | written, reads, writes: info.writes.clone(), written }
    }

    /// That of a pass that was built before ABI 1.2: it is lent everything and may change every plan.
    pub fn open() -> Self {
        let (lent, written) = (part::ALL, part::ALL);
        Self { open: true, reads: Vec::new(), writes: Vec::new(), lent, written }
    }

    /// Whether the pass is lent the artifact.
    pub fn lends(&self, artifact: &str) -> bool {
        let declared = || self.reads.iter().chain(&self.writes).any(|name| name == artifact);
        self.open || artifact == "target" || declared()
    }

    /// Whether the pass is lent plans.
    pub fn lends_plans(&self) -> bool {
        self.lent != 0
    }

    /// Whether the pass is lent the column.
    pub fn lends_column(&self, id: &str) -> bool {
        let has = |name: &String| artifact::has_column(name, id);
        self.lends(artifact::of_column(id)) || self.reads.iter().chain(&self.writes).any(has)
    }

    /// Whether the pass may write the artifact.
    pub fn writes(&self, artifact: &str) -> bool {
        self.open || self.writes.iter().any(|name| name == artifact)
    }

    /// Whether the pass may write the column.
    pub fn writes_column(&self, id: &str) -> bool {
        self.open || self.writes.iter().any(|name| artifact::has_column(name, id))
    }

    /// Blanks what the pass is not lent: event ids, scopes and the order of giving. Groups and lists stay, because
    /// groups are known by their index.
    pub fn blank(&self, plan: &mut PlanColumns) {
        let fields = part::IDS | part::SCOPES | part::ORDER;
        if self.lent & fields == fields {
            return;
        }
        for group in &mut plan.groups {
            // Those of a synthetic pair are its own.
            if group.is_pair() && group.has(group_flag::SYNTHETIC) && self.lent & part::SYNTHETIC != 0 {
                continue;
            }
            if self.lent & part::IDS == 0 {
                group.event_id = NO_EVENT;
            }
            if self.lent & part::SCOPES == 0 {
                group.scope = scope::NONE;
            }
            if self.lent & part::ORDER == 0 {
                group.order = 0;
            }
        }
    }

    /// Whether the pass may make the edit, or which artifact it would have to write. An edit that breaks a rule of
    /// plans may be let through: the plan refuses it.
    pub fn admits(&self, plan: &SyncPlan, edit: Edit) -> Result<(), &'static str> {
        let (needed, instead) = needs(plan, edit);
        let lacking = needed & !self.written;
        if lacking == 0 || instead & self.written != 0 {
            return Ok(());
        }
        let lacking = if instead != 0 { instead } else { lacking };
        let owner = ARTIFACTS.iter().find(|a| a.origin == Origin::Stage && a.parts & lacking != 0);
        Err(owner.map_or("plan", |artifact| artifact.name))
    }
}

/// The parts of a plan that an edit changes, and a part that will do instead.
fn needs(plan: &SyncPlan, edit: Edit) -> (u32, u32) {
    let group = |id: GroupId| plan.groups().get(id.index());
    let kind = |id: GroupId| match group(id) {
        Some(group) if group.is_barrier() => part::BARRIERS,
        Some(group) => pair(group.flags),
        None => 0,
    };
    match edit {
        Edit::AddPair { flags, .. } => (pair(flags), 0),
        Edit::AddBarrier { .. } | Edit::Demote { .. } => (part::BARRIERS, 0),
        Edit::AddRoot { group, .. } | Edit::Remove { group } => (kind(group), 0),
        Edit::Place { entry, anchor, .. } => {
            let stays = group(entry.group).is_some() && plan.place(entry.group, entry.role) == Some(anchor);
            (kind(entry.group), if stays { part::LISTS } else { 0 })
        }
        Edit::SetEventId { group: id, scope, .. } => match group(id) {
            Some(found) if found.has(group_flag::SYNTHETIC) => (part::SYNTHETIC, 0),
            Some(found) if found.scope != scope => (part::IDS | part::ORDER | part::SCOPES, 0),
            _ => (part::IDS | part::ORDER, 0),
        },
    }
}

fn pair(flags: u32) -> u32 {
    if flags & group_flag::SYNTHETIC != 0 { part::SYNTHETIC } else { part::PAIRS }
}
