//! What a stage is lent, and how it is seen that it wrote into it.
//!
//! Columns are lent without a copy. A plugin has no business writing into them, and the interface gives it no way to;
//! but it is code in the host's address space. What must hold: a stage is lent what its contract says and no more; a
//! write into what is the host's is seen before anything is made of it, by the sum over each column before and after the
//! run. Plans are lent as copies. A host that is paranoid lends copies of all else too, and compares every byte: a stray
//! write then harms nothing.

use pipewright_abi::artifact;
use pipewright_abi::column::{Column, OwnedColumn};
use pipewright_abi::contract::Contract;
use pipewright_abi::plan::PlanColumns;
use pipewright_abi::plugin::lend_all;

use super::resolve::ResolvedStage;
use super::run::Unit;

/// How stray writes are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// Not at all: to measure what the others cost.
    Off,
    /// By sums over what is lent.
    #[default]
    Sums,
    /// By lending copies, which are compared with what is the host's.
    Copies,
}

/// The contract of a stage's pass.
pub(super) fn contract(stage: &ResolvedStage) -> Contract {
    if stage.is_held_to_contract() { Contract::of(&stage.description().info) } else { Contract::open() }
}

/// The plan of a unit as the stage is lent it, or nothing.
pub(super) fn plan(contract: &Contract, unit: &Unit) -> Option<PlanColumns> {
    contract.lends_plans().then(|| {
        let mut columns = unit.plan.to_columns();
        contract.blank(&mut columns);
        columns
    })
}

/// The host's own columns of a unit that the stage is lent: all but the plan.
pub(super) fn columns<'a>(contract: &Contract, unit: &'a Unit) -> Vec<Column<'a>> {
    let mut columns = lend_all(&unit.columns);
    unit.kernel.view().lend(&mut columns);
    columns.retain(|column| contract.lends_column(column.id.as_str()));
    columns
}

/// Lent columns, watched while a stage runs.
#[derive(Debug)]
pub(super) struct Watched<'a> {
    own: Vec<Column<'a>>,
    /// The sum of each, if sums are taken.
    sums: Vec<u64>,
    /// A copy of each, if copies are lent.
    copies: Vec<OwnedColumn>,
}

impl<'a> Watched<'a> {
    /// Watches these columns.
    pub(super) fn new(own: Vec<Column<'a>>, guard: Guard) -> Self {
        let (mut sums, mut copies) = (Vec::new(), Vec::new());
        match guard {
            Guard::Off => {}
            Guard::Sums => sums.extend(own.iter().map(|column| sum(column.bytes.as_slice()))),
            Guard::Copies => copies.extend(own.iter().map(OwnedColumn::copy)),
        }
        Self { own, sums, copies }
    }

    /// Appends what is lent to `out`.
    pub(super) fn lend<'b>(&'b self, out: &mut Vec<Column<'b>>) {
        match self.copies.is_empty() {
            true => out.extend_from_slice(&self.own),
            false => out.extend(lend_all(&self.copies)),
        }
    }

    /// The first column that was written into, and its artifact.
    pub(super) fn written(&self) -> Option<(&'a str, &'a str)> {
        let sums = self.sums.iter().zip(&self.own).map(|(&before, own)| before == sum(own.bytes.as_slice()));
        let same = |copy: &OwnedColumn, own: &Column<'_>| copy.borrow().is_some_and(|c| c.bytes == own.bytes);
        let copies = self.copies.iter().zip(&self.own).map(|(copy, own)| same(copy, own));
        let index = sums.chain(copies).position(|unchanged| !unchanged)?;
        let id = self.own[index].id.as_str();
        Some((id, artifact::of_column(id)))
    }
}

/// A sum that differs when any one of the bytes does, and all but surely when several do. Four lanes, so that it takes
/// no longer than reading the memory.
fn sum(bytes: &[u8]) -> u64 {
    const ODD: [u64; 4] =
        [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];
    let mut lanes = ODD;
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            let word = u64::from_le_bytes(word.try_into().expect("a chunk of 8 bytes"));
            // Each step can be undone, so that a difference in one place never vanishes.
            *lane = (*lane ^ word).wrapping_mul(ODD[0]).rotate_left(29);
        }
    }
    let rest = blocks
        .remainder()
        .iter()
        .fold(bytes.len() as u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(ODD[1]).rotate_left(31));
    lanes.into_iter().zip(ODD).fold(rest, |sum, (lane, odd)| (sum ^ lane).wrapping_mul(odd).rotate_left(27))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_bit_changes_the_sum() {
        let mut bytes: Vec<u8> = (0..77).map(|i| (i * 37) as u8).collect();
        let before = sum(&bytes);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                assert_ne!(sum(&bytes), before, "bit {bit} of byte {at}");
                bytes[at] ^= 1 << bit;
            }
        }
        assert_eq!(sum(&bytes), before);
        assert_ne!(sum(&[0; 32]), sum(&[0; 64]));
    }
}
