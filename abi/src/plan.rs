//! The synchronization plan: the one thing that passes change, and only through [`Edit`]s.
//!
//! A plan holds synchronization groups. A *pair* has two ends, a set and a wait; a *barrier* has one. Each placed
//! end stands at an [`Anchor`]: before or after a node, at a position in that anchor's list. What must hold for a
//! well-formed plan is what [`SyncPlan::validate`] checks; the host runs it after every pass.
//!
//! Anchors are program points in the order of the flat list: after a loop-begin is the start of the loop's body,
//! before a loop-end is the end of the body, after a loop-end is behind the loop, and so on.

use bytemuck::{Pod, Zeroable};
use core::fmt;
use smallvec::SmallVec;

use crate::column::table;
use crate::{GroupId, NodeId, PipeId, Range, RootId};

/// A group of synchronization statements that belong together.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct SyncGroup {
    /// One of [`group_kind`].
    pub kind: u32,
    /// The pipe that sets; for a barrier, the pipe.
    pub src: PipeId,
    /// The pipe that waits; for a barrier, the pipe.
    pub dst: PipeId,
    /// Event id, or [`NO_EVENT`].
    pub event_id: u32,
    /// For a dependence carried round a loop, the loop-end; none for a forward one.
    pub carrier: NodeId,
    /// One of [`scope`].
    pub scope: u32,
    /// [`group_flag`] bits.
    pub flags: u32,
    /// When its event id was given, counted over the plan; 0 before.
    pub order: u32,
    /// Buffers whose dependence made it, in the plan's roots, ascending.
    pub roots: Range,
}

/// No event id yet.
pub const NO_EVENT: u32 = u32::MAX;

/// Kinds of [`SyncGroup`].
pub mod group_kind {
    /// A set and a wait.
    pub const PAIR: u32 = 0;
    /// A barrier of one pipe or of all.
    pub const BARRIER: u32 = 1;
    /// Removed; its id is not used again.
    pub const REMOVED: u32 = 2;
}

/// Bits of [`SyncGroup::flags`].
pub mod group_flag {
    /// The barrier that drains every pipe before the function returns. It prints before each return.
    pub const TAIL: u32 = 1;
    /// A head set or tail wait that closes a carried pair.
    pub const SYNTHETIC: u32 = 2;
    /// Was a pair, became a barrier of all pipes for lack of an event id.
    pub const DEMOTED: u32 = 4;
    /// All bits that have a meaning.
    pub const ALL: u32 = TAIL | SYNTHETIC | DEMOTED;
}

/// How long an event id belongs to a carried pair.
pub mod scope {
    /// Forward pairs and barriers have none.
    pub const NONE: u32 = 0;
    /// The whole function: head set before everything, tail wait after everything.
    pub const FUNCTION: u32 = 1;
    /// The carrying loop: head set before it, tail wait after it.
    pub const LOOP: u32 = 2;
}

impl SyncGroup {
    /// Whether it is a live set/wait pair.
    pub fn is_pair(&self) -> bool {
        self.kind == group_kind::PAIR
    }

    /// Whether it is a live barrier.
    pub fn is_barrier(&self) -> bool {
        self.kind == group_kind::BARRIER
    }

    /// Whether it was removed.
    pub fn is_removed(&self) -> bool {
        self.kind == group_kind::REMOVED
    }

    /// Whether the flag bits are all set.
    pub fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Its ordered pair of pipes, by which event ids are counted.
    pub fn key(&self) -> (PipeId, PipeId) {
        (self.src, self.dst)
    }
}

/// What an entry of an anchor's list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sets the group's flag.
    Set = 0,
    /// Waits for the group's flag.
    Wait = 1,
    /// Is the group's barrier.
    Barrier = 2,
}

impl Role {
    fn from_code(code: u32) -> Option<Self> {
        [Self::Set, Self::Wait, Self::Barrier].into_iter().find(|&r| r as u32 == code)
    }

    /// Which of a group's two places this end uses.
    fn slot(self) -> usize {
        if self == Self::Set { 0 } else { 1 }
    }
}

/// One end of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The group.
    pub group: GroupId,
    /// The end.
    pub role: Role,
}

/// Which side of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Before it.
    Before = 0,
    /// After it.
    After = 1,
}

/// A program point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Anchor {
    /// The node.
    pub node: NodeId,
    /// The side of it.
    pub side: Side,
}

impl Anchor {
    /// The point before `node`.
    pub fn before(node: NodeId) -> Self {
        Self { node, side: Side::Before }
    }

    /// The point after `node`.
    pub fn after(node: NodeId) -> Self {
        Self { node, side: Side::After }
    }

    /// The node that the point lies behind: the point before a node is the one after the node in front of it. For the point
    /// before the first node, that node.
    pub fn node_in_front(self) -> NodeId {
        match self.side {
            Side::Before => NodeId(self.node.0.saturating_sub(1)),
            Side::After => self.node,
        }
    }

    fn index(self) -> usize {
        self.node.index() * 2 + self.side as usize
    }

    fn from_index(index: usize) -> Self {
        let side = if index.is_multiple_of(2) { Side::Before } else { Side::After };
        Self { node: NodeId::from_index(index / 2), side }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Before { "before" } else { "after" };
        write!(f, "{side} {}", self.node)
    }
}

/// Where in an anchor's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before all entries.
    Front,
    /// After all entries.
    Back,
}

/// One change of a plan. The host checks and applies edits in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds a pair without places. It gets the next free group id.
    AddPair {
        /// Pipe that sets.
        src: PipeId,
        /// Pipe that waits.
        dst: PipeId,
        /// Loop-end of the carrying loop, or none.
        carrier: NodeId,
        /// [`group_flag`] bits.
        flags: u32,
    },
    /// Adds a barrier without a place. It gets the next free group id.
    AddBarrier {
        /// The pipe.
        pipe: PipeId,
        /// Loop-end of the carrying loop, or none.
        carrier: NodeId,
        /// [`group_flag`] bits.
        flags: u32,
    },
    /// Adds a buffer to the roots of the group that was added last.
    AddRoot {
        /// The group.
        group: GroupId,
        /// The buffer.
        root: RootId,
    },
    /// Puts an end at an anchor; an end that already has a place moves.
    Place {
        /// The end.
        entry: Entry,
        /// The anchor.
        anchor: Anchor,
        /// Front or back of its list.
        position: Position,
    },
    /// Gives a pair its event id; the last call counts.
    SetEventId {
        /// The pair.
        group: GroupId,
        /// The id, or [`NO_EVENT`] to take it back.
        event_id: u32,
        /// One of [`scope`].
        scope: u32,
    },
    /// Removes a group and its entries.
    Remove {
        /// The group.
        group: GroupId,
    },
    /// Turns a pair into a barrier of all pipes in the place of its wait; its set goes.
    Demote {
        /// The pair.
        group: GroupId,
    },
}

/// An [`Edit`] as it crosses the boundary.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct EditRecord {
    /// Code of the edit.
    pub code: u32,
    /// Its arguments, in the order of the variant's fields.
    pub args: [u32; 5],
}

impl From<Edit> for EditRecord {
    fn from(edit: Edit) -> Self {
        let (code, args) = match edit {
            Edit::AddPair { src, dst, carrier, flags } => (0, [src.0, dst.0, carrier.0, flags, 0]),
            Edit::AddBarrier { pipe, carrier, flags } => (1, [pipe.0, carrier.0, flags, 0, 0]),
            Edit::AddRoot { group, root } => (2, [group.0, root.0, 0, 0, 0]),
            Edit::Place { entry, anchor, position } => {
                let position = if position == Position::Front { 0 } else { 1 };
                (3, [entry.group.0, entry.role as u32, anchor.node.0, anchor.side as u32, position])
            }
            Edit::SetEventId { group, event_id, scope } => (4, [group.0, event_id, scope, 0, 0]),
            Edit::Remove { group } => (5, [group.0, 0, 0, 0, 0]),
            Edit::Demote { group } => (6, [group.0, 0, 0, 0, 0]),
        };
        Self { code, args }
    }
}

impl TryFrom<EditRecord> for Edit {
    type Error = PlanError;

    fn try_from(record: EditRecord) -> Result<Self, PlanError> {
        let [a, b, c, d, e] = record.args;
        let malformed = || PlanError::new("edit-code", format!("{record:?} is no edit"));
        Ok(match record.code {
            0 => Self::AddPair { src: PipeId(a), dst: PipeId(b), carrier: NodeId(c), flags: d },
            1 => Self::AddBarrier { pipe: PipeId(a), carrier: NodeId(b), flags: c },
            2 => Self::AddRoot { group: GroupId(a), root: RootId(b) },
            3 => Self::Place {
                entry: Entry { group: GroupId(a), role: Role::from_code(b).ok_or_else(malformed)? },
                anchor: Anchor {
                    node: NodeId(c),
                    side: match d {
                        0 => Side::Before,
                        1 => Side::After,
                        _ => return Err(malformed()),
                    },
                },
                position: if e == 0 { Position::Front } else { Position::Back },
            },
            4 => Self::SetEventId { group: GroupId(a), event_id: b, scope: c },
            5 => Self::Remove { group: GroupId(a) },
            6 => Self::Demote { group: GroupId(a) },
            _ => return Err(malformed()),
        })
    }
}

/// A broken rule of a plan, or of what passes hand on beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// Name of the rule, `unknown-group`.
    pub rule: &'static str,
    /// What broke it, with ids.
    pub message: String,
    /// The node concerned, or none.
    pub node: NodeId,
}

impl PlanError {
    pub(crate) fn new(rule: &'static str, message: String) -> Self {
        Self { rule, message, node: NodeId::NONE }
    }

    pub(crate) fn at(mut self, node: NodeId) -> Self {
        self.node = node;
        self
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.rule)
    }
}

impl core::error::Error for PlanError {}

table! {
    /// A plan as columns, owned.
    owned PlanColumns;
    /// A plan as columns, lent.
    view PlanView;
    /// Groups; the index is the id.
    groups: SyncGroup = "plan.groups/1",
    /// Buffers of groups.
    roots: RootId = "plan.roots/1",
    /// For each node its list before and its list after.
    lists: Range = "plan.lists/1",
    /// Entries: group and code of the role (0 set, 1 wait, 2 barrier).
    entries: [u32; 2] = "plan.entries/1",
}

/// The entries at one anchor. Most anchors have none, most others a few: those need no memory of their own.
type List = SmallVec<[Entry; 2]>;

/// A synchronization plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncPlan {
    groups: Vec<SyncGroup>,
    roots: Vec<RootId>,
    lists: Vec<List>,
    places: Vec<[Option<Anchor>; 2]>,
    given: u32,
}

impl SyncPlan {
    /// An empty plan for a kernel of `nodes` nodes.
    pub fn new(nodes: usize) -> Self {
        Self { lists: vec![List::new(); nodes * 2], ..Self::default() }
    }

    /// All groups, removed ones included; the index is the id.
    pub fn groups(&self) -> &[SyncGroup] {
        &self.groups
    }

    /// The ids of all groups that were not removed.
    pub fn live_groups(&self) -> impl DoubleEndedIterator<Item = GroupId> + '_ {
        (0..self.groups.len()).map(GroupId::from_index).filter(|&g| !self.group(g).is_removed())
    }

    /// The group `id`.
    pub fn group(&self, id: GroupId) -> &SyncGroup {
        &self.groups[id.index()]
    }

    /// The buffers whose dependence made the group, ascending.
    pub fn group_roots(&self, id: GroupId) -> &[RootId] {
        self.group(id).roots.of(&self.roots)
    }

    /// The entries at an anchor, in order.
    pub fn at(&self, anchor: Anchor) -> &[Entry] {
        self.lists.get(anchor.index()).map_or(&[], List::as_slice)
    }

    /// The entries before a node, in order.
    pub fn before(&self, node: NodeId) -> &[Entry] {
        self.at(Anchor::before(node))
    }

    /// The entries after a node, in order.
    pub fn after(&self, node: NodeId) -> &[Entry] {
        self.at(Anchor::after(node))
    }

    /// Where an end of a group stands, if anywhere.
    pub fn place(&self, group: GroupId, role: Role) -> Option<Anchor> {
        self.places[group.index()][role.slot()]
    }

    /// The buffers of all groups, one run after the other.
    pub fn roots(&self) -> &[RootId] {
        &self.roots
    }

    /// Number of nodes of the kernel it was made for.
    pub fn node_count(&self) -> usize {
        self.lists.len() / 2
    }

    /// Applies an edit, or explains which rule it breaks and leaves the plan as it was.
    ///
    /// Rules: `unknown-group`, `unknown-node`, `removed-group`, `role` (a pair has a set and a wait, a barrier has
    /// neither), `roots-order` (roots go to the group added last), `id-on-barrier`.
    pub fn apply(&mut self, edit: Edit) -> Result<(), PlanError> {
        match edit {
            Edit::AddPair { src, dst, carrier, flags } => {
                self.add(SyncGroup {
                    kind: group_kind::PAIR,
                    src,
                    dst,
                    carrier,
                    flags,
                    ..Default::default()
                });
            }
            Edit::AddBarrier { pipe, carrier, flags } => {
                let kind = group_kind::BARRIER;
                self.add(SyncGroup { kind, src: pipe, dst: pipe, carrier, flags, ..Default::default() });
            }
            Edit::AddRoot { group, root } => {
                if group.index() + 1 != self.groups.len() {
                    let message = format!("a root is added to {group}, which is not the newest group");
                    return Err(PlanError::new("roots-order", message));
                }
                self.roots.push(root);
                self.groups[group.index()].roots.len += 1;
            }
            Edit::Place { entry, anchor, position } => self.put(entry, anchor, position)?,
            Edit::SetEventId { group, event_id, scope } => {
                let given = self.given + 1;
                let found = self.live(group)?;
                if !found.is_pair() {
                    let message = format!("{group} is a barrier and takes no event id");
                    return Err(PlanError::new("id-on-barrier", message));
                }
                (found.event_id, found.scope, found.order) = (event_id, scope, given);
                self.given = given;
            }
            Edit::Remove { group } => {
                self.live(group)?.kind = group_kind::REMOVED;
                self.take(group, 0);
                self.take(group, 1);
            }
            Edit::Demote { group } => {
                let all = self.live(group)?;
                if !all.is_pair() {
                    return Err(PlanError::new("role", format!("{group} is no pair and cannot be demoted")));
                }
                all.kind = group_kind::BARRIER;
                all.flags |= group_flag::DEMOTED;
                (all.src, all.dst, all.event_id) = (PipeId::NONE, PipeId::NONE, NO_EVENT);
                self.take(group, 0);
                if let Some(anchor) = self.places[group.index()][1] {
                    let list = &mut self.lists[anchor.index()];
                    list.iter_mut().filter(|e| e.group == group).for_each(|e| e.role = Role::Barrier);
                }
            }
        }
        Ok(())
    }

    /// The plan as columns.
    pub fn to_columns(&self) -> PlanColumns {
        let mut columns = PlanColumns {
            groups: self.groups.clone(),
            roots: self.roots.clone(),
            lists: Vec::with_capacity(self.lists.len()),
            entries: Vec::new(),
        };
        for list in &self.lists {
            let start = columns.entries.len();
            columns.entries.extend(list.iter().map(|e| [e.group.0, e.role as u32]));
            columns.lists.push(Range::new(start, columns.entries.len()));
        }
        columns
    }

    /// The plan of these columns. Rules: those of [`SyncPlan::apply`].
    pub fn from_columns(columns: PlanView<'_>) -> Result<Self, PlanError> {
        let mut plan = Self {
            groups: columns.groups.to_vec(),
            roots: columns.roots.to_vec(),
            lists: Vec::with_capacity(columns.lists.len()),
            places: vec![[None; 2]; columns.groups.len()],
            given: columns.groups.iter().map(|g| g.order).max().unwrap_or(0),
        };
        for (index, range) in columns.lists.iter().enumerate() {
            let mut list = List::with_capacity(range.len as usize);
            for &[group, role] in range.of(columns.entries) {
                let group = GroupId(group);
                let role = Role::from_code(role)
                    .ok_or_else(|| PlanError::new("role", format!("{group} has an entry without a role")))?;
                let place = plan.places.get_mut(group.index()).ok_or_else(|| unknown_group(group))?;
                place[role.slot()] = Some(Anchor::from_index(index));
                list.push(Entry { group, role });
            }
            plan.lists.push(list);
        }
        Ok(plan)
    }

    fn add(&mut self, group: SyncGroup) {
        let roots = Range::new(self.roots.len(), self.roots.len());
        self.groups.push(SyncGroup { event_id: NO_EVENT, roots, ..group });
        self.places.push([None; 2]);
    }

    fn live(&mut self, id: GroupId) -> Result<&mut SyncGroup, PlanError> {
        let group = self.groups.get_mut(id.index()).ok_or_else(|| unknown_group(id))?;
        if group.is_removed() {
            return Err(PlanError::new("removed-group", format!("{id} was removed")));
        }
        Ok(group)
    }

    fn put(&mut self, entry: Entry, anchor: Anchor, position: Position) -> Result<(), PlanError> {
        let group = self.live(entry.group)?;
        if (entry.role == Role::Barrier) != group.is_barrier() {
            let message = format!("{} cannot have a {:?} entry", entry.group, entry.role);
            return Err(PlanError::new("role", message).at(anchor.node));
        }
        if anchor.index() >= self.lists.len() {
            let message =
                format!("{} is put at {anchor}, but there are {} nodes", entry.group, self.node_count());
            return Err(PlanError::new("unknown-node", message));
        }
        self.take(entry.group, entry.role.slot());
        let list = &mut self.lists[anchor.index()];
        match position {
            Position::Front => list.insert(0, entry),
            Position::Back => list.push(entry),
        }
        self.places[entry.group.index()][entry.role.slot()] = Some(anchor);
        Ok(())
    }

    /// Takes the end in `slot` from its list, if it has a place.
    fn take(&mut self, group: GroupId, slot: usize) {
        if let Some(anchor) = self.places[group.index()][slot].take() {
            let list = &mut self.lists[anchor.index()];
            if let Some(found) = list.iter().position(|e| e.group == group && e.role.slot() == slot) {
                list.remove(found);
            }
        }
    }
}

fn unknown_group(id: GroupId) -> PlanError {
    PlanError::new("unknown-group", format!("there is no group {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(plan: &mut SyncPlan, set: Anchor, wait: Anchor) -> GroupId {
        let group = GroupId::from_index(plan.groups().len());
        let (src, dst) = (PipeId(0), PipeId(1));
        plan.apply(Edit::AddPair { src, dst, carrier: NodeId::NONE, flags: 0 }).unwrap();
        for (role, anchor) in [(Role::Set, set), (Role::Wait, wait)] {
            let entry = Entry { group, role };
            plan.apply(Edit::Place { entry, anchor, position: Position::Back }).unwrap();
        }
        group
    }

    #[test]
    fn placing_an_end_again_moves_it() {
        let mut plan = SyncPlan::new(3);
        let a = pair(&mut plan, Anchor::after(NodeId(0)), Anchor::before(NodeId(2)));
        let b = pair(&mut plan, Anchor::after(NodeId(0)), Anchor::before(NodeId(2)));
        let entry = Entry { group: b, role: Role::Set };
        let anchor = Anchor::after(NodeId(0));
        plan.apply(Edit::Place { entry, anchor, position: Position::Front }).unwrap();
        let order: Vec<_> = plan.after(NodeId(0)).iter().map(|e| e.group).collect();
        assert_eq!(order, [b, a]);
    }

    #[test]
    fn demotion_keeps_the_place_of_the_wait_and_drops_the_set() {
        let mut plan = SyncPlan::new(3);
        let a = pair(&mut plan, Anchor::after(NodeId(0)), Anchor::before(NodeId(2)));
        plan.apply(Edit::Demote { group: a }).unwrap();
        assert!(plan.after(NodeId(0)).is_empty());
        assert_eq!(plan.before(NodeId(2)), [Entry { group: a, role: Role::Barrier }]);
    }

    #[test]
    fn broken_edits_name_their_rule_and_change_nothing() {
        let mut plan = SyncPlan::new(1);
        let a = pair(&mut plan, Anchor::after(NodeId(0)), Anchor::before(NodeId(0)));
        let unchanged = plan.clone();
        let place = |group, role, node| Edit::Place {
            entry: Entry { group, role },
            anchor: Anchor::before(NodeId(node)),
            position: Position::Back,
        };
        let cases = [
            (place(GroupId(7), Role::Set, 0), "unknown-group"),
            (place(a, Role::Barrier, 0), "role"),
            (place(a, Role::Set, 9), "unknown-node"),
            (Edit::AddRoot { group: GroupId(4), root: RootId(0) }, "roots-order"),
        ];
        for (edit, rule) in cases {
            assert_eq!(plan.apply(edit).unwrap_err().rule, rule);
            assert_eq!(plan, unchanged);
        }
        plan.apply(Edit::Remove { group: a }).unwrap();
        assert_eq!(plan.apply(Edit::Remove { group: a }).unwrap_err().rule, "removed-group");
    }

    #[test]
    fn columns_and_edit_records_round_trip() {
        let mut plan = SyncPlan::new(3);
        let a = pair(&mut plan, Anchor::after(NodeId(0)), Anchor::before(NodeId(2)));
        plan.apply(Edit::AddBarrier { pipe: PipeId(2), carrier: NodeId::NONE, flags: 0 }).unwrap();
        plan.apply(Edit::AddRoot { group: GroupId(1), root: RootId(5) }).unwrap();
        let edits = [
            Edit::Place {
                entry: Entry { group: GroupId(1), role: Role::Barrier },
                anchor: Anchor::before(NodeId(1)),
                position: Position::Front,
            },
            Edit::SetEventId { group: a, event_id: 3, scope: scope::LOOP },
        ];
        for edit in edits {
            assert_eq!(Edit::try_from(EditRecord::from(edit)).unwrap(), edit);
            plan.apply(edit).unwrap();
        }
        assert_eq!(SyncPlan::from_columns(plan.to_columns().view()).unwrap(), plan);
    }
}
