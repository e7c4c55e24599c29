//! The groups made so far, as the scans look at them, and their way into the plan.

use pipewright_abi::hazard::Hazards;
use pipewright_abi::kernel::{Kernel, node_kind};
use pipewright_abi::parts::{PartIndex, PartKind, Parts};
use pipewright_abi::plan::{Anchor, Entry, Position, Role};
use pipewright_abi::{GroupId, NodeId, PassContext, PassError, PipeId};

use crate::scan::Setting;
use crate::waits::{Wait, Waits, position};

/// The groups made so far.
#[derive(Debug)]
pub(crate) struct Groups<'c, 'p> {
    cx: &'c mut PassContext<'p>,
    kernel: Kernel<'p>,
    hazards: Hazards<'p>,
    /// The loop round which dependences are looked for, or none.
    pub(crate) carrier: NodeId,
    pipes: usize,
    /// By key: waits that stand behind their set, and those that do not.
    waits: Vec<Waits>,
    back_waits: Vec<Waits>,
    keys: Vec<(u32, u32)>,
    /// By pipe, the nodes before which a barrier of their own pipe stands, ascending.
    barriers: Vec<Vec<u32>>,
    /// By part, whether a wait in this loop has its set outside.
    gives_seen: Vec<bool>,
    /// By part, whether a wait in this loop has its set behind itself.
    gives_seen_to_tail: Vec<bool>,
    /// Whether ends count where motion puts them.
    moved: bool,
    /// Pairs whose set stands before its instruction.
    early: Vec<GroupId>,
}

impl<'c, 'p> Groups<'c, 'p> {
    pub(crate) fn new(
        cx: &'c mut PassContext<'p>,
        kernel: Kernel<'p>,
        hazards: Hazards<'p>,
        pipes: usize,
        parts: usize,
        moved: bool,
    ) -> Self {
        Self {
            cx,
            kernel,
            hazards,
            carrier: NodeId::NONE,
            pipes,
            waits: vec![Waits::default(); pipes * pipes],
            back_waits: vec![Waits::default(); pipes * pipes],
            keys: Vec::new(),
            barriers: vec![Vec::new(); pipes],
            gives_seen: vec![false; parts],
            gives_seen_to_tail: vec![false; parts],
            moved,
            early: Vec::new(),
        }
    }

    /// Makes the group for the dependence of the instruction scanned now on what is finished at a position: an instruction, or
    /// what stands in front of it. Its statements stand around all of a call that several pipes work for. Returns the part
    /// that its set, or the barrier, stands in.
    pub(crate) fn add(&mut self, setting: &Setting<'_>, finished: u32) -> Result<PartIndex, PassError> {
        let (now, n) = (NodeId(setting.now), NodeId(finished / 2));
        let ((at, _), (_, set)) = (self.kernel.call(now), self.kernel.call(n));
        let (later_pipe, earlier_pipe) = (setting.pipe, self.pipe_of(n.0));
        if later_pipe == earlier_pipe {
            self.cx.add_barrier(PipeId(later_pipe), Anchor::before(at), self.carrier, 0)?;
            let barriers = &mut self.barriers[later_pipe as usize];
            let place = position(barriers, |&b| b < at.0);
            if barriers.get(place) != Some(&at.0) {
                barriers.insert(place, at.0);
            }
            return Ok(setting.parts.of(now));
        }
        let key = (PipeId(earlier_pipe), PipeId(later_pipe));
        let roots = self.hazards.roots(&self.kernel, now, n);
        let group = self.cx.add_pair(key, set, at, self.carrier, &roots)?;
        // Of a conflict with its last execution before an inner loop is entered again, pairs inside of it know nothing.
        let left_over = setting.inner_loop.filter(|&(begin, end)| begin < n.0 && n.0 < end);
        let wait = if finished.is_multiple_of(2) {
            self.cx.place(group, Role::Set, Anchor::before(n), Position::Front)?;
            self.early.push(group);
            let wait_at = if self.moved { begin_outside(setting.parts, at, n) } else { at.0 };
            Wait { at: 2 * wait_at, set: finished }
        } else if let Some((begin, end)) = left_over {
            self.cx.place(group, Role::Set, Anchor::after(NodeId(end)), Position::Back)?;
            self.cx.place(group, Role::Wait, Anchor::before(NodeId(begin)), Position::Back)?;
            Wait { at: 2 * begin, set: 2 * end + 1 }
        } else if self.moved {
            Wait {
                at: 2 * begin_outside(setting.parts, at, set),
                set: 2 * end_outside(setting.parts, set, at) + 1,
            }
        } else {
            Wait { at: 2 * at.0, set: 2 * set.0 + 1 }
        };
        self.add_wait((earlier_pipe, later_pipe), wait, set < at);
        self.note_loops_left(setting.parts, at, set);
        Ok(setting.parts.of(NodeId(wait.set / 2)))
    }

    /// Takes in that the call of the instruction `now` orders its pipe behind the nodes before it in the call.
    pub(crate) fn join(&mut self, now: u32) {
        let (first, _) = self.kernel.call(NodeId(now));
        for set in first.0..now {
            let wait = Wait { at: 2 * now, set: 2 * set + 1 };
            self.add_wait((self.pipe_of(set), self.pipe_of(now)), wait, true);
        }
    }

    fn add_wait(&mut self, (src, dst): (u32, u32), wait: Wait, is_behind_set: bool) {
        let index = self.index(src, dst);
        if self.waits[index].is_empty() && self.back_waits[index].is_empty() {
            self.keys.push((src, dst));
        }
        let waits = if is_behind_set { &mut self.waits } else { &mut self.back_waits };
        waits[index].add(wait);
    }

    /// Puts the sets that stand before their instruction behind its waits for the pipe that they are for. Whatever that pipe did
    /// so long it did before it gets to its own wait, so nothing is lost; and the flag is taken before it is set again.
    pub(crate) fn put_early_behind_waits(&mut self) -> Result<(), PassError> {
        for group in std::mem::take(&mut self.early) {
            let plan = self.cx.plan();
            let dst = plan.group(group).dst;
            let Some(anchor) = plan.place(group, Role::Set) else { continue };
            let for_it = |y: &Entry| y.role == Role::Wait && plan.group(y.group).src == dst;
            let first: Vec<Entry> = plan.at(anchor).iter().copied().filter(for_it).collect();
            for entry in first.into_iter().rev() {
                self.cx.place(entry.group, entry.role, anchor, Position::Front)?;
            }
        }
        Ok(())
    }

    fn note_loops_left(&mut self, parts: &Parts, wait: NodeId, set: NodeId) {
        let mut part: PartIndex = parts.of(wait);
        while parts.part(part).kind == PartKind::Loop {
            self.gives_seen[part as usize] |= !parts.contains(part, set);
            self.gives_seen_to_tail[part as usize] |= set >= wait;
            part = parts.part(part).parent;
        }
    }

    /// Whether a wait in this loop, and in no branch inside it, has its set outside.
    pub(crate) fn gives_seen(&self, part: PartIndex) -> bool {
        self.gives_seen[part as usize]
    }

    /// Whether a wait in this loop, and in no branch inside it, does not stand behind its set.
    pub(crate) fn gives_seen_to_tail(&self, part: PartIndex) -> bool {
        self.gives_seen_to_tail[part as usize]
    }

    /// Keys that have pairs.
    pub(crate) fn keys(&self) -> &[(u32, u32)] {
        &self.keys
    }

    /// Waits of a key that stand behind their set.
    pub(crate) fn waits(&self, src: u32, dst: u32) -> &Waits {
        &self.waits[self.index(src, dst)]
    }

    /// Waits of a key that do not stand behind their set.
    pub(crate) fn back_waits(&self, src: u32, dst: u32) -> &Waits {
        &self.back_waits[self.index(src, dst)]
    }

    /// Whether a barrier of the pipe stands before the node, which then runs on it, or begins a call of which some node
    /// does.
    pub(crate) fn has_barrier(&self, pipe: u32, node: u32) -> bool {
        self.last_barrier(pipe, node + 1) == Some(node)
    }

    /// The last node below `below` before which a barrier of `pipe` stands.
    pub(crate) fn last_barrier(&self, pipe: u32, below: u32) -> Option<u32> {
        let barriers = &self.barriers[pipe as usize];
        let above = position(barriers, |&b| b < below);
        above.checked_sub(1).map(|i| barriers[i])
    }

    /// The pipe of an instruction.
    pub(crate) fn pipe_of(&self, node: u32) -> u32 {
        let node = self.kernel.node(NodeId(node));
        debug_assert_eq!(node.kind, node_kind::INSTRUCTION, "only instructions have entries at this stage");
        node.pipe.0
    }

    fn index(&self, src: u32, dst: u32) -> usize {
        src as usize * self.pipes + dst as usize
    }
}

/// The first node of the outermost construct that holds `node` and not `partner`, or else the node itself: motion puts
/// waits before it.
fn begin_outside(parts: &Parts, node: NodeId, partner: NodeId) -> u32 {
    outside(parts, node, partner, |part| parts.part(part).construct)
}

/// The last node of that construct: motion puts sets behind it.
fn end_outside(parts: &Parts, node: NodeId, partner: NodeId) -> u32 {
    outside(parts, node, partner, |part| parts.part(part).construct_end)
}

fn outside(parts: &Parts, node: NodeId, partner: NodeId, end: impl Fn(PartIndex) -> NodeId) -> u32 {
    let (mut at, mut part) = (node, parts.of(node));
    while !parts.contains(part, partner) {
        at = end(part);
        part = parts.part(part).parent;
    }
    at.0
}
