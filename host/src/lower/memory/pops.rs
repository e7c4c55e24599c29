//! Which slot of a pipe between cores each pop yields. Slots come round: after the last one follows the first.
//!
//! What must hold: the slots that are told of a pop are all that it can yield on any path and in any trip. Pipes of which
//! it is not known where they begin have one slot, which all of their pops share.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pipewright_abi::ir::{Module, type_kind};
use pipewright_abi::target::{Entry, Target, entry_flag, operand_flag};
use pipewright_abi::{BlockId, OpId, ValueId};

/// The slots that a popped tile may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Popped {
    /// A tile that stands for all slots of the pipe.
    pub(super) root: ValueId,
    /// Bytes from one slot to the next.
    pub(super) size: u64,
    pub(super) numbers: BTreeSet<u64>,
}

/// What identifies a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pipe {
    Handle(ValueId),
    Id(i64),
    /// Any pipe of the function.
    Any,
}

/// How many pops: `least`, and any multiple of `modulus` more or less. A modulus of 0 says exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    least: u64,
    modulus: u64,
}

impl Count {
    fn then(self, more: Self) -> Self {
        Self { least: self.least.wrapping_add(more.least), modulus: gcd(self.modulus, more.modulus) }
    }

    fn or(self, other: Self) -> Self {
        let apart = self.least.abs_diff(other.least);
        Self { least: self.least, modulus: gcd(gcd(self.modulus, other.modulus), apart) }
    }

    /// What it may be instead, any number of times.
    fn any_times(self) -> Self {
        Self { least: 0, modulus: gcd(self.modulus, self.least) }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

type Counts = BTreeMap<Pipe, Count>;

/// The slots of the pops of a function, by the tiles that they yield.
pub(super) fn pops(module: Module<'_>, target: Target<'_>, function: OpId) -> HashMap<ValueId, Popped> {
    let mut scan = Scan {
        module,
        target,
        slots: BTreeMap::new(),
        counts: HashMap::new(),
        lost: false,
        pops: Vec::new(),
    };
    let Some(entry) = module.entry_block(function, 0).get() else { return HashMap::new() };
    scan.count(entry, true);
    if !scan.counts.is_empty() || scan.lost {
        scan.walk(entry, &mut Counts::new());
    }
    scan.popped()
}

struct Scan<'a> {
    module: Module<'a>,
    target: Target<'a>,
    /// Number and size of the slots of pipes that begin here.
    slots: BTreeMap<Pipe, (u64, u64)>,
    /// The pops of operations, those inside them included.
    counts: HashMap<OpId, Counts>,
    /// A pop of a pipe that cannot be told from others.
    lost: bool,
    /// Tiles, pipes, and how many pops of the pipe came before.
    pops: Vec<(ValueId, Pipe, Count)>,
}

impl Scan<'_> {
    fn entry(&self, op: OpId) -> Option<Entry> {
        self.module.op(op).entry.get().map(|e| self.target.t.entries[e.index()])
    }

    /// Counts the pops of a block, and takes in the pipes that begin in it.
    fn count(&mut self, block: BlockId, is_straight: bool) -> Counts {
        let mut all = Counts::new();
        for &op in self.module.block_ops(block) {
            let name = self.module.op_name(op);
            let takes_turns = name.starts_with("scf.");
            let mut own: Vec<Counts> = Vec::new();
            for body in self.module.bodies(op) {
                let mut of_body = Counts::new();
                for block in self.module.blocks(body) {
                    let more = self.count(block, is_straight && !takes_turns);
                    add(&mut of_body, &more);
                }
                own.push(of_body);
            }
            if let Some(entry) = self.entry(op) {
                self.begin(op, &entry, is_straight);
                if entry.flags & entry_flag::SLOT != 0 {
                    own.push(Counts::from([(self.pipe(op, &entry), Count { least: 1, modulus: 0 })]));
                }
            } else if name == "func.call" {
                let is_pipe = |v: ValueId| self.module.type_of(v).kind == type_kind::PIPE;
                self.lost |= self.module.operands(op).iter().any(|o| is_pipe(o.value));
            }
            let own = combine(name, &own);
            if !own.is_empty() {
                add(&mut all, &own);
                self.counts.insert(op, own);
            }
        }
        all
    }

    /// Takes in the pipe that an operation begins, if it does.
    fn begin(&mut self, op: OpId, entry: &Entry, is_straight: bool) {
        let t = self.target.t;
        let attrs = entry.attrs.of(t.attrs);
        let Some(size) = self.module.int_attr(op, "slot_size").and_then(|s| u64::try_from(s).ok()) else {
            return;
        };
        let default = attrs.iter().find(|a| self.target.str(a.name) == "slot_num");
        let default = default.and_then(|a| self.target.str(a.default).parse().ok());
        let given =
            ["local_slot_num", "slot_num"].into_iter().find_map(|name| self.module.int_attr(op, name));
        let number = given.and_then(|n| u64::try_from(n).ok()).or(default).filter(|&n| n > 0).unwrap_or(1);
        let handle = self.module.results(op).find(|&v| self.module.type_of(v).kind == type_kind::PIPE);
        let pipe = handle.map_or_else(|| Pipe::Id(self.module.int_attr(op, "id").unwrap_or(0)), Pipe::Handle);
        // One that begins several times begins to count anew.
        let is_new = is_straight && !self.slots.contains_key(&pipe);
        let known = self.slots.entry(pipe).or_insert((number, size));
        if !is_new {
            *known = (1, known.1.max(size));
        }
    }

    /// The pipe that an operation pops from.
    fn pipe(&mut self, op: OpId, entry: &Entry) -> Pipe {
        let is_pipe = |v: &ValueId| self.module.type_of(*v).kind == type_kind::PIPE;
        let handle = self.module.operands(op).iter().map(|o| o.value).find(is_pipe);
        let takes = entry.operands.of(self.target.t.operands).iter();
        let by_handle = takes.clone().any(|o| o.kinds == pipewright_abi::target::operand_kind::PIPE);
        let pipe = match handle {
            Some(handle) => Pipe::Handle(handle),
            None if by_handle => Pipe::Any,
            None => Pipe::Id(self.module.int_attr(op, "id").unwrap_or(0)),
        };
        // A handle that was handed on may be that of another pipe.
        self.lost |= matches!(pipe, Pipe::Handle(_)) && !self.slots.contains_key(&pipe);
        self.lost |= pipe == Pipe::Any;
        pipe
    }

    fn walk(&mut self, block: BlockId, at: &mut Counts) {
        for &op in self.module.block_ops(block) {
            let Some(own) = self.counts.get(&op).cloned() else { continue };
            let entry = self.entry(op).filter(|e| e.flags & entry_flag::SLOT != 0);
            if let Some(entry) = entry {
                let pipe = self.pipe(op, &entry);
                let tile = self.tile(op, &entry);
                self.pops.push((tile, pipe, at.get(&pipe).copied().unwrap_or_default()));
            }
            let name = self.module.op_name(op);
            let takes_turns = name.starts_with("scf.");
            // A loop begins as it may be after any number of trips.
            let mut inside = at.clone();
            if takes_turns && name != "scf.if" {
                add(&mut inside, &own);
            }
            for body in self.module.bodies(op) {
                let mut in_body = inside.clone();
                for block in self.module.blocks(body) {
                    self.walk(block, &mut in_body);
                }
                if !takes_turns {
                    inside = in_body;
                }
            }
            add(at, &own);
        }
    }

    /// The tile that a pop fills.
    fn tile(&self, op: OpId, entry: &Entry) -> ValueId {
        let specs = entry.operands.of(self.target.t.operands);
        let writes = |slot: u32| specs.get(slot as usize).is_some_and(|s| s.flags & operand_flag::WRITE != 0);
        let operand = self.module.operands(op).iter().find(|o| writes(o.slot)).map(|o| o.value);
        operand.unwrap_or_else(|| self.module.result(op, 0))
    }

    fn popped(self) -> HashMap<ValueId, Popped> {
        let mut roots: BTreeMap<Pipe, ValueId> = BTreeMap::new();
        let mut popped: HashMap<ValueId, Popped> = HashMap::new();
        let largest = self.slots.values().map(|&(_, size)| size).max().unwrap_or(0);
        for (tile, pipe, count) in self.pops {
            let pipe = if self.lost { Pipe::Any } else { pipe };
            let (number, size) = self.slots.get(&pipe).copied().unwrap_or((1, largest));
            let root = *roots.entry(pipe).or_insert(tile);
            let apart = gcd(count.modulus, number).max(1);
            let numbers = (count.least % apart..number).step_by(apart as usize);
            let of_tile = popped.entry(tile).or_insert(Popped { root, size, numbers: BTreeSet::new() });
            of_tile.numbers.extend(numbers);
        }
        popped
    }
}

fn add(counts: &mut Counts, more: &Counts) {
    for (&pipe, &count) in more {
        let known = counts.entry(pipe).or_default();
        *known = known.then(count);
    }
}

/// What an operation pops whose bodies, or which itself, pop so much.
fn combine(name: &str, own: &[Counts]) -> Counts {
    let pipes: BTreeSet<Pipe> = own.iter().flat_map(|counts| counts.keys().copied()).collect();
    let of = |counts: &Counts, pipe| counts.get(&pipe).copied().unwrap_or_default();
    let each = |pipe: Pipe| {
        let mut counts = own.iter().map(|counts| of(counts, pipe));
        match name {
            // An arm that is not written pops nothing.
            "scf.if" => {
                let absent = (own.len() < 2).then(Count::default);
                counts.chain(absent).reduce(Count::or).unwrap_or_default()
            }
            _ if name.starts_with("scf.") => counts.map(Count::any_times).fold(Count::default(), Count::then),
            _ => counts.by_ref().fold(Count::default(), Count::then),
        }
    };
    pipes.into_iter().map(|pipe| (pipe, each(pipe))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_as_exact_as_all_paths_allow() {
        let exactly = |least| Count { least, modulus: 0 };
        assert_eq!(exactly(2).then(exactly(3)), exactly(5));
        assert_eq!(exactly(1).or(exactly(1)), exactly(1));
        assert_eq!(exactly(1).or(exactly(3)), Count { least: 1, modulus: 2 });
        assert_eq!(exactly(4).any_times(), Count { least: 0, modulus: 4 });
        assert_eq!(exactly(1).then(exactly(4).any_times()), Count { least: 1, modulus: 4 });
        assert_eq!(exactly(1).then(exactly(1).any_times()), Count { least: 1, modulus: 1 });
        assert_eq!(exactly(0).any_times(), exactly(0));
    }
}
