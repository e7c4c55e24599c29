//! Which instructions conflict, as lists: an instruction conflicts with exactly the members of a few lists.
//!
//! Regions whose rows of overlaps are one run are one *class*. For each class and pipe there are two lists: the
//! instructions that touch it, and those that write it. What an instruction of some pipe with some accesses conflicts
//! with is its *signature*; memory is reused all the time, so signatures are few.

use std::collections::HashMap;

use pipewright_abi::hazard::Hazards;
use pipewright_abi::kernel::{Kernel, access_mode, node_kind, region_flag};
use pipewright_abi::target::Target;
use pipewright_abi::{PipeId, Range};

/// A list that instructions of some signature conflict with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) list: u32,
    /// Stands for this list together with the pipe of the later instruction.
    pub(crate) slot: u32,
}

#[derive(Debug, Default)]
struct Signature {
    uses: Vec<Use>,
    /// Lists that the instruction itself is a member of.
    own: Vec<u32>,
}

/// The instructions of one pipe that touch, or write, one class.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) pipe: u32,
    /// Ascending.
    pub(crate) members: Vec<u32>,
    /// How many of them stand before the instruction treated now.
    pub(crate) passed: usize,
}

/// All lists of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    lists: Vec<List>,
    signatures: Vec<Signature>,
    signature_of: Vec<u32>,
    slots: usize,
}

/// The lists of one class and pipe.
#[derive(Clone, Copy, Debug)]
struct OfPipe {
    pipe: PipeId,
    touching: u32,
    writing: u32,
}

const WRITE: u32 = access_mode::WRITE;
/// A read that conflicts with reads of other pipes.
const ACCUMULATES: u32 = 4;

impl Lists {
    pub(crate) fn new(kernel: &Kernel<'_>, hazards: &Hazards<'_>, target: &Target<'_>) -> Self {
        let (class_of, neighbours) = classes(kernel, hazards);
        let mut new = Self { signature_of: vec![u32::MAX; kernel.nodes.len()], ..Self::default() };
        let mut of_class: Vec<Vec<OfPipe>> = vec![Vec::new(); neighbours.len()];
        let mut known: HashMap<(PipeId, Vec<(u32, u32)>), u32> = HashMap::new();
        let mut shapes: Vec<(PipeId, Vec<(u32, u32)>)> = Vec::new();
        for (id, node) in kernel.node_ids().zip(kernel.nodes) {
            if node.kind != node_kind::INSTRUCTION {
                continue;
            }
            let mut accesses = Vec::new();
            for access in kernel.accesses(id) {
                let Some(class) = class_of[access.region.index()] else { continue };
                let accumulator = kernel.region(access.region).flags & region_flag::ACCUMULATOR != 0;
                let mode = access.mode & WRITE | if accumulator { ACCUMULATES } else { 0 };
                new.join(&mut of_class[class as usize], node.pipe, id.0, mode & WRITE != 0);
                accesses.push((class, mode));
            }
            accesses.sort_unstable();
            accesses.dedup();
            let shape = (node.pipe, accesses);
            new.signature_of[id.index()] = *known.entry(shape).or_insert_with_key(|shape| {
                shapes.push(shape.clone());
                shapes.len() as u32 - 1
            });
        }
        let mut slots: HashMap<(u32, PipeId), u32> = HashMap::new();
        for (pipe, accesses) in &shapes {
            let mut signature = Signature::default();
            let mut lists = Vec::new();
            for &(class, mode) in accesses {
                for of in neighbours[class as usize].iter().flat_map(|&c| &of_class[c as usize]) {
                    if target.is_scalar(*pipe) && target.is_scalar(of.pipe) {
                        continue;
                    }
                    let reads_matter = mode & WRITE != 0 || (mode & ACCUMULATES != 0 && of.pipe != *pipe);
                    lists.push(if reads_matter { of.touching } else { of.writing });
                }
                for of in of_class[class as usize].iter().filter(|of| of.pipe == *pipe) {
                    signature.own.push(of.touching);
                    signature.own.extend((mode & WRITE != 0).then_some(of.writing));
                }
            }
            for list in [&mut lists, &mut signature.own] {
                list.sort_unstable();
                list.dedup();
            }
            lists.retain(|&list| !new.lists[list as usize].members.is_empty());
            for list in lists {
                let next = slots.len() as u32;
                let slot = *slots.entry((list, *pipe)).or_insert(next);
                signature.uses.push(Use { list, slot });
            }
            new.signatures.push(signature);
        }
        new.slots = slots.len();
        new
    }

    fn join(&mut self, of_class: &mut Vec<OfPipe>, pipe: PipeId, node: u32, writes: bool) {
        let found = of_class.iter().position(|of| of.pipe == pipe).unwrap_or_else(|| {
            let touching = self.lists.len() as u32;
            let empty = || List { pipe: pipe.0, members: Vec::new(), passed: 0 };
            self.lists.extend([empty(), empty()]);
            of_class.push(OfPipe { pipe, touching, writing: touching + 1 });
            of_class.len() - 1
        });
        let of = of_class[found];
        let joined = if writes { &[of.touching, of.writing][..] } else { &[of.touching] };
        for &list in joined {
            let members = &mut self.lists[list as usize].members;
            if members.last() != Some(&node) {
                members.push(node);
            }
        }
    }

    /// What the instruction conflicts with.
    pub(crate) fn uses(&self, node: u32) -> &[Use] {
        let signature = self.signature_of[node as usize] as usize;
        self.signatures.get(signature).map_or(&[], |s| &s.uses)
    }

    /// The list `index`.
    pub(crate) fn list(&self, index: u32) -> &List {
        &self.lists[index as usize]
    }

    /// Goes on behind the instruction `node`, the next one in order.
    pub(crate) fn pass(&mut self, node: u32) {
        let signature = self.signature_of[node as usize] as usize;
        for &own in &self.signatures[signature].own {
            let list = &mut self.lists[own as usize];
            list.passed += usize::from(list.members.get(list.passed) == Some(&node));
        }
    }

    /// Number of slots.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }
}

/// The class of each region (none for one that overlaps nothing) and the classes that overlap each class.
fn classes(kernel: &Kernel<'_>, hazards: &Hazards<'_>) -> (Vec<Option<u32>>, Vec<Vec<u32>>) {
    let mut rows: Vec<Range> = Vec::new();
    let mut known: HashMap<Range, u32> = HashMap::new();
    let mut class_of = vec![None; kernel.regions.len()];
    for (class, row) in class_of.iter_mut().zip(hazards.rows).filter(|(_, row)| !row.is_empty()) {
        *class = Some(*known.entry(*row).or_insert_with(|| {
            rows.push(*row);
            rows.len() as u32 - 1
        }));
    }
    let neighbours = |row: &Range| {
        let overlaps = row.of(hazards.overlaps).iter();
        let mut classes: Vec<u32> =
            overlaps.filter_map(|o| class_of.get(o.region.index()).copied().flatten()).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    };
    let neighbours = rows.iter().map(neighbours).collect();
    (class_of, neighbours)
}
