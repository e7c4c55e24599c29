//! Random kernels: nested loops and branches over few pipes and few regions, so that conflicts abound.

use pipewright_abi::RegionId;
use pipewright_abi::kernel::{KernelData, Region};
use pipewright_abi::testing::{KernelBuilder, TILE_BYTES};
use proptest::prelude::*;

/// A piece of a program.
#[derive(Clone, Debug)]
pub enum Item {
    /// An instruction: pipe, regions read, regions written, by index into the builder's choice.
    Instruction(u8, Vec<u8>, Vec<u8>),
    /// A loop.
    Loop(Vec<Item>),
    /// A branch.
    Branch(Vec<Item>, Vec<Item>),
}

const PIPES: [&str; 6] = ["V", "MTE2", "MTE3", "S", "M", "FIX"];

/// Limits of a random kernel.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Number of pipes, at most 6.
    pub pipes: u8,
    /// Number of regions, at most 11.
    pub regions: u8,
    /// Depth of nesting.
    pub depth: u32,
    /// About how many instructions.
    pub size: u32,
}

/// Kernels within `shape`.
pub fn kernels(shape: Shape) -> impl Strategy<Value = KernelData> {
    items(shape).prop_map(|items| build(&items))
}

/// Programs within `shape`.
pub fn items(shape: Shape) -> impl Strategy<Value = Vec<Item>> {
    let regions = move |most: usize| prop::collection::vec(0..shape.regions, 0..=most);
    let instruction =
        (0..shape.pipes, regions(2), regions(1)).prop_map(|(p, r, w)| Item::Instruction(p, r, w));
    let item = instruction.prop_recursive(shape.depth, shape.size, 6, |inner| {
        let body = prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            6 => inner,
            2 => body.clone().prop_map(Item::Loop),
            2 => (body.clone(), body).prop_map(|(a, b)| Item::Branch(a, b)),
        ]
    });
    prop::collection::vec(item, 0..(shape.size as usize / 2).max(2))
}

/// The kernel of a program.
pub fn build(items: &[Item]) -> KernelData {
    let mut builder = KernelBuilder::new();
    let regions = regions(&mut builder);
    append(&mut builder, &regions, items);
    builder.finish()
}

fn append(k: &mut KernelBuilder, regions: &[RegionId], items: &[Item]) {
    for item in items {
        match item {
            Item::Instruction(pipe, reads, writes) => {
                let pick = |list: &[u8]| list.iter().map(|&r| regions[r as usize]).collect::<Vec<_>>();
                k.instr(PIPES[*pipe as usize], &pick(reads), &pick(writes));
            }
            Item::Loop(body) => _ = k.repeat(|k| append(k, regions, body)),
            Item::Branch(a, b) => _ = k.branch(|k| append(k, regions, a), |k| append(k, regions, b)),
        }
    }
}

/// Three tiles, two parameters, an accumulator, two overlapping halves of a tile, an empty region, two more tiles.
fn regions(k: &mut KernelBuilder) -> Vec<RegionId> {
    let mut all: Vec<RegionId> = (0..3).map(|t| k.tile(t)).collect();
    all.extend((0..2).map(|p| k.parameter(p)));
    all.push(k.accumulator(0));
    let (space, root) = (k.space("vec"), k.root("vec", 0));
    for (base, size) in [(0, TILE_BYTES / 2), (TILE_BYTES / 4, TILE_BYTES / 2), (64, 0)] {
        all.push(k.region(Region { base, size, space, root, ..Default::default() }));
    }
    all.extend((3..5).map(|t| k.tile(t)));
    all
}
