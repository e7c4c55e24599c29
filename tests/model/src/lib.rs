//! The reference's synchronization, written down as literally as possible: what the passes are tested against.
//!
//! Every phase walks lists node by node, without any index and without regard to time (scans are quadratic and
//! worse). It shares no code with the passes: it has its own alias test, its own lists and its own groups. Where
//! the passes cut the work differently (they allocate all ids first and make synthetic pairs later), the model does
//! what the reference does: a synthetic pair is made the moment its pair gets an id.
//!
//! What must hold: a phase is only run after the ones before it; node numbers are indices of the flat list.

mod allocate;
mod insert;
pub mod kernels;
mod plan;
mod reduce;

pub use plan::{plan_given, plan_text};

use pipewright_abi::kernel::{KernelData, Node, access_mode, region_flag};
use pipewright_abi::target::TargetData;
use pipewright_abi::{PipeId, RegionId};

/// Choices that pipelines can make.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// What was seen in a loop still counts outside.
    pub keep_loop_history: bool,
    /// A tail barrier is added.
    pub tail_barrier: bool,
    /// Kernels with gather or scatter keep redundant pairs.
    pub skip_irregular: bool,
    /// At most this many ids of a key are used.
    pub max_ids: usize,
    /// Pairs without id may reuse the flag of a surrounding pair.
    pub widening: bool,
    /// Tail waits of loops stand first, not last, behind their loop.
    pub push_front: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            keep_loop_history: true,
            tail_barrier: true,
            skip_irregular: true,
            max_ids: 8,
            widening: true,
            push_front: true,
        }
    }
}

/// What an entry of a list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Sets a flag.
    Set,
    /// Waits for a flag.
    Wait,
    /// Is a barrier.
    Barrier,
}

/// An entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its group.
    pub group: usize,
    /// What it does.
    pub what: What,
}

/// A group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Pipe that sets; of a barrier, the pipe.
    pub src: PipeId,
    /// Pipe that waits.
    pub dst: PipeId,
    /// Whether it is a barrier, from the start or by demotion.
    pub barrier: bool,
    /// Number of the loop-end of the carrying loop.
    pub carrier: Option<usize>,
    /// Roots of the dependence, ascending.
    pub roots: Vec<u32>,
    /// Node whose post list holds the set (a head set: whose pre list).
    pub set_at: usize,
    /// Node whose pre list holds the wait (a tail wait: whose post list).
    pub wait_at: usize,
    /// Event id.
    pub id: Option<u32>,
    /// Ignored and not printed.
    pub useless: bool,
    /// The function's final barrier.
    pub tail: bool,
    /// Made in addition to a carried pair.
    pub synthetic: bool,
    /// A synthetic pair placed at a loop.
    pub looped: bool,
    /// Turned into a barrier of all pipes.
    pub demoted: bool,
}

impl Group {
    fn key(&self) -> (PipeId, PipeId) {
        (self.src, self.dst)
    }
}

/// A function on its way through the phases.
#[derive(Debug)]
pub struct Model<'k> {
    kernel: &'k KernelData,
    target: &'k TargetData,
    choices: Choices,
    /// Entries before each node.
    pub pre: Vec<Vec<Entry>>,
    /// Entries after each node.
    pub post: Vec<Vec<Entry>>,
    /// All groups.
    pub groups: Vec<Group>,
    pools: allocate::Pools,
}

impl<'k> Model<'k> {
    /// A function before the first phase.
    pub fn new(kernel: &'k KernelData, target: &'k TargetData, choices: Choices) -> Self {
        let lists = vec![Vec::new(); kernel.nodes.len()];
        Self {
            kernel,
            target,
            choices,
            pre: lists.clone(),
            post: lists,
            groups: Vec::new(),
            pools: Default::default(),
        }
    }

    /// The choices that it follows.
    pub fn choices(&self) -> Choices {
        self.choices
    }

    /// Adds a forward pair by hand, for phases that are to be tried on more than insertion gives them.
    pub fn add_pair(&mut self, (src, dst): (PipeId, PipeId), set_at: usize, wait_at: usize, roots: Vec<u32>) {
        let group = self.groups.len();
        self.groups.push(Group { src, dst, set_at, wait_at, roots, ..Group::default() });
        self.post[set_at].push(Entry { group, what: What::Set });
        self.pre[wait_at].push(Entry { group, what: What::Wait });
    }

    fn node(&self, i: usize) -> &'k Node {
        &self.kernel.nodes[i]
    }

    fn count(&self) -> usize {
        self.kernel.nodes.len()
    }

    fn live(&self, entry: &Entry) -> bool {
        !self.groups[entry.group].useless
    }

    /// Whether two regions alias: same space and root, and overlapping, or global of unknown size.
    fn alias(&self, x: RegionId, y: RegionId) -> bool {
        let (x, y) = (&self.kernel.regions[x.index()], &self.kernel.regions[y.index()]);
        if x.space != y.space || x.root != y.root {
            return false;
        }
        if x.flags & region_flag::GLOBAL != 0 && (x.size == 0 || y.size == 0) {
            return true;
        }
        x.base.max(y.base) < x.base.wrapping_add(x.size).min(y.base.wrapping_add(y.size))
    }

    /// Roots by which `later` depends on `earlier`, ascending; none if it does not.
    fn dependence(&self, later: usize, earlier: usize) -> Vec<u32> {
        let accesses = |i: usize| self.node(i).accesses.of(&self.kernel.accesses);
        let mut roots = Vec::new();
        for x in accesses(later) {
            for y in accesses(earlier) {
                let writes = (x.mode | y.mode) & access_mode::WRITE != 0;
                let region = &self.kernel.regions[x.region.index()];
                let accumulator = region.flags & region_flag::ACCUMULATOR != 0;
                let crosses = self.node(later).pipe != self.node(earlier).pipe;
                if (writes || (accumulator && crosses)) && self.alias(x.region, y.region) {
                    roots.push(region.root.0);
                }
            }
        }
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}
