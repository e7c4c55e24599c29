//! Which buffer a carried tile stands for in which trip, where that is exact.
//!
//! A loop that only exchanges tiles hands on a permutation: argument a stands in trip i + 1 for what argument `source(a)` stood for
//! in trip i. So in trip i it stands for the tile that `source`, applied i times to a, began with. What must hold: an access with rotations happens through
//! the arguments that they name and through nothing else; of all others nothing is said here. Only arguments that come round to
//! themselves, and that begin with one known tile, count. The loop must be counted: the head of a `while` loop runs once more.

use std::collections::HashMap;

use pipewright_abi::ir::Module;
use pipewright_abi::kernel::Rotation;
use pipewright_abi::target::Target;
use pipewright_abi::{NodeId, OpId, ValueId};

use super::memory::Memory;

/// An argument that comes round to itself.
#[derive(Clone, Debug)]
struct Argument {
    loop_begin: NodeId,
    argument: u32,
    source: u32,
    /// The arguments of its cycle, with the roots of the tiles that they begin with.
    slots: Vec<(u32, ValueId)>,
}

/// The rotating arguments of the loops that were entered.
#[derive(Debug, Default)]
pub(super) struct Rotating(HashMap<ValueId, Argument>);

/// The argument through which an operand accesses its buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Via<'r>(&'r Argument);

impl Rotating {
    /// Takes in the arguments of a counted loop.
    pub(super) fn enter(&mut self, module: Module<'_>, memory: &Memory, op: OpId, loop_begin: NodeId) {
        let Some(block) = module.entry_block(op, 0).get() else { return };
        let args: Vec<ValueId> = module.block_args(block).skip(1).collect();
        let last = module.block_ops(block).last().filter(|&&op| module.op_name(op) == "scf.yield");
        let Some(&last) = last else { return };
        let places: HashMap<ValueId, usize> = args.iter().enumerate().map(|(i, &arg)| (arg, i)).collect();
        let yielded = module.operands(last).iter().map(|o| places.get(&o.value).copied());
        let sources: Vec<Option<usize>> = yielded.collect();
        // Behind the bounds and the step.
        let root = |place: usize| match memory.of(module.operand(op, 3 + place)) {
            [piece] => Some(piece.root),
            _ => None,
        };
        let mut treated = vec![false; args.len()];
        for start in 0..args.len() {
            let mut cycle = Vec::new();
            let mut at = start;
            while !treated[at] {
                treated[at] = true;
                cycle.push(at);
                match sources.get(at).copied().flatten() {
                    Some(following) => at = following,
                    None => break,
                }
            }
            // A path that runs into a cycle, or ends, is none; a cycle of one is a tile that stays.
            let comes_round =
                cycle.last().and_then(|&last| sources.get(last).copied().flatten()) == Some(start);
            let slots: Option<Vec<_>> = cycle.iter().map(|&a| Some((a as u32, root(a)?))).collect();
            let (true, Some(slots)) = (comes_round && cycle.len() > 1, slots) else { continue };
            for (i, &a) in cycle.iter().enumerate() {
                let (argument, source) = (a as u32, cycle[(i + 1) % cycle.len()] as u32);
                self.0.insert(args[a], Argument { loop_begin, argument, source, slots: slots.clone() });
            }
        }
    }

    /// Whether no loop hands tiles on in turn.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The argument that a value is, or is a view of.
    pub(super) fn via(&self, module: Module<'_>, target: Target<'_>, value: ValueId) -> Option<Via<'_>> {
        let mut at = value;
        loop {
            if let Some(argument) = self.0.get(&at) {
                return Some(Via(argument));
            }
            let op = module.value(at).op.get()?;
            let entry = module.op(op).entry.get().map(|e| target.t.entries[e.index()]);
            let slot = match entry {
                _ if module.op_name(op) == "pto.subview" => 0,
                Some(entry) if entry.alias != u32::MAX => entry.alias,
                _ => return None,
            };
            at = module.operands(op).iter().find(|o| o.slot == slot)?.value;
        }
    }
}

impl Via<'_> {
    /// What accessing a piece with this root means; nothing if the loop does not begin with such a tile.
    pub(super) fn rotations(self, root: ValueId, access: u32, mode: u32) -> Vec<Rotation> {
        let Argument { loop_begin, argument, source, ref slots } = *self.0;
        let of_root = slots.iter().filter(|&&(_, of)| of == root);
        of_root.map(|&(slot, _)| Rotation { access, loop_begin, argument, source, slot, mode }).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pipewright_abi::kernel::{KernelData, access_mode};

    use super::super::{Addresses, lower, simplify};

    /// A kernel with three rows and a loop that begins with `head` and hands on `yielded`.
    fn lowered(head: &str, yielded: &str, body: &str) -> KernelData {
        let text = format!(
            "!row = !pto.tile_buf<vec, 1x64xf32>
module attributes {{pto.target_arch = \"a3\"}} {{
func.func @turns(%n: index) attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
%c0 = arith.constant 0 : index
%c1 = arith.constant 1 : index
%at0 = arith.constant 0 : i64
%at1 = arith.constant 256 : i64
%at2 = arith.constant 512 : i64
%t0 = pto.alloc_tile addr = %at0 : !row
%t1 = pto.alloc_tile addr = %at1 : !row
%t2 = pto.alloc_tile addr = %at2 : !row
%r:3 = scf.for %i = %c0 to %n step %c1 iter_args({head}) -> (!row, !row, !row) {{
{body}
scf.yield {yielded} : !row, !row, !row
}}
return
}}
}}
"
        );
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/targets/a3.toml");
        let target = crate::target::load(&root, &[]).expect("the target loads");
        let mut module = crate::syntax::parse(&text, &target).expect("the kernel parses");
        simplify(&mut module, &target);
        let function = module.view().functions().next().expect("there is a function");
        lower(&module, &target, function, Addresses::Required).expect("the function lowers")
    }

    const HEAD: &str = "%x = %t0, %y = %t1, %z = %t2";
    const READ: u32 = access_mode::READ;
    const WRITE: u32 = access_mode::WRITE;

    /// Argument, source, slot and mode of each rotation, of one access after the other.
    fn rotations(kernel: &KernelData) -> Vec<[u32; 4]> {
        kernel.rotations.iter().map(|r| [r.argument, r.source, r.slot, r.mode]).collect()
    }

    #[test]
    fn tiles_in_turn_name_their_slots_and_sources() {
        let kernel = lowered(HEAD, "%y, %z, %x", "pto.tabs ins(%x : !row) outs(%z : !row)");
        let mut found = rotations(&kernel);
        found.sort_unstable();
        let of = |argument, source, mode| [0, 1, 2].map(|slot| [argument, source, slot, mode]);
        assert_eq!(found, [of(0, 1, READ), of(2, 0, WRITE)].concat());
        assert!(kernel.rotations.is_sorted_by_key(|r| r.access));
        assert!(kernel.rotations.iter().all(|r| r.loop_begin.0 == 0));
    }

    #[test]
    fn an_access_that_happens_in_another_way_too_has_none() {
        let kernel = lowered(HEAD, "%y, %x, %z", "pto.tadd ins(%x, %t0 : !row, !row) outs(%y : !row)");
        let mut found = rotations(&kernel);
        found.sort_unstable();
        // The first row is read by its own name as well.
        assert_eq!(found, [[0, 1, 1, READ], [1, 0, 0, WRITE], [1, 0, 1, WRITE]]);
    }

    #[test]
    fn a_tile_that_stays_and_one_that_is_lost_take_no_turns() {
        let stays = lowered(HEAD, "%x, %z, %y", "pto.tabs ins(%x : !row) outs(%x : !row)");
        assert_eq!(rotations(&stays), Vec::<[u32; 4]>::new());
        let lost = lowered(HEAD, "%y, %z, %z", "pto.tabs ins(%x : !row) outs(%y : !row)");
        assert_eq!(rotations(&lost), Vec::<[u32; 4]>::new());
        let other = lowered(HEAD, "%y, %t1, %z", "pto.tabs ins(%x : !row) outs(%y : !row)");
        assert_eq!(rotations(&other), Vec::<[u32; 4]>::new());
    }

    #[test]
    fn one_tile_in_two_slots_is_said_of_both() {
        let kernel =
            lowered("%x = %t0, %y = %t0, %z = %t2", "%y, %x, %z", "pto.tabs ins(%x : !row) outs(%x : !row)");
        assert_eq!(rotations(&kernel).iter().map(|r| r[2]).collect::<Vec<_>>(), [0, 1, 0, 1]);
    }
}
