//! Memory that loops and branches hand on.

use pipewright_abi::kernel::region_flag;
use pipewright_abi::{BlockId, OpId, ValueId};

use super::{MAX_ROUNDS, Piece, Tracer};

impl Tracer<'_> {
    /// The reference gives a loop argument its initial value's memory only; what comes round is added for the
    /// `range` rule. A result has the memory of the value that is yielded.
    pub(super) fn for_loop(&mut self, op: OpId) {
        let Some(block) = self.module.entry_block(op, 0).get() else { return };
        let args: Vec<ValueId> = self.module.block_args(block).skip(1).collect();
        self.arguments(op, 3, &args);
        self.bodies(op);
        let yielded = self.yielded(block);
        for (index, &arg) in args.iter().enumerate() {
            let Some(&value) = yielded.get(index) else { continue };
            self.comes_round(arg, value);
            self.loop_result(op, index, value);
        }
    }

    pub(super) fn while_loop(&mut self, op: OpId) {
        let (Some(before), Some(after)) =
            (self.module.entry_block(op, 0).get(), self.module.entry_block(op, 1).get())
        else {
            return;
        };
        let args: Vec<ValueId> = self.module.block_args(before).collect();
        self.arguments(op, 0, &args);
        let forwarded: Vec<ValueId> = self.yielded(before).into_iter().skip(1).collect();
        self.block(before);
        for (index, arg) in self.module.block_args(after).enumerate() {
            let Some(&value) = forwarded.get(index) else { continue };
            let mut pieces = self.memory.of(value).to_vec();
            // The reference knows it only if it is known before the loop's head runs.
            if !self.is_visible_before(op, value) {
                pieces.iter_mut().for_each(|p| p.region.flags |= region_flag::NOT_ROOT);
            }
            self.memory.set(arg, &pieces);
        }
        self.block(after);
        for (index, value) in self.yielded(after).into_iter().enumerate() {
            if let Some(&arg) = args.get(index) {
                self.comes_round(arg, value);
            }
        }
        for (index, &value) in forwarded.iter().enumerate() {
            let Some(result) = self.module.result(op, index).get() else { continue };
            let mut pieces = self.memory.of(value).to_vec();
            pieces.iter_mut().for_each(|p| p.region.flags |= region_flag::NOT_ROOT);
            self.memory.set(result, &pieces);
        }
    }

    /// Whether a value is defined outside of the loop or is an argument of its head.
    fn is_visible_before(&self, op: OpId, value: ValueId) -> bool {
        let record = self.module.value(value);
        match record.op.get() {
            None => true,
            Some(definition) => {
                let mut at = definition;
                while let Some(parent) = self.module.parent(at).get() {
                    if parent == op {
                        return false;
                    }
                    at = parent;
                }
                true
            }
        }
    }

    fn arguments(&mut self, op: OpId, first_init: usize, args: &[ValueId]) {
        for (index, &arg) in args.iter().enumerate() {
            let init = self.module.operand(op, first_init + index);
            let Some(init) = init.get() else { continue };
            let mut pieces = self.memory.of(init).to_vec();
            let is_plain = pieces.is_empty();
            if let Some(carried) = self.carried.get(&arg) {
                let new = carried.iter().filter(|c| !pieces.contains(&unmarked(c)));
                let new: Vec<Piece> = new.copied().collect();
                // In some trips a plain number, in others the address of some memory.
                let mixed = is_plain != carried.is_empty();
                pieces.extend(new);
                pieces.extend(self.unknown(arg).filter(|unknown| mixed && !pieces.contains(unknown)));
            }
            self.memory.set(arg, &pieces);
        }
    }

    /// Remembers that `value` comes round to the loop argument `arg`.
    fn comes_round(&mut self, arg: ValueId, value: ValueId) {
        let from = self.memory.of(value);
        if from.is_empty() && self.memory.of(arg).is_empty() {
            return;
        }
        let mut pieces: Vec<Piece> = Vec::new();
        for piece in from {
            push_marked(&mut pieces, *piece);
        }
        if self.round >= MAX_ROUNDS {
            pieces.extend(self.unknown(arg).filter(|unknown| !pieces.contains(unknown)));
        }
        self.carried.insert(arg, pieces);
    }

    /// A loop's result is what is yielded; for the `range` rule also the initial value, for no trips.
    fn loop_result(&mut self, op: OpId, index: usize, value: ValueId) {
        let Some(result) = self.module.result(op, index).get() else { return };
        let mut pieces = self.memory.of(value).to_vec();
        if let Some(init) = self.module.operand(op, 3 + index).get() {
            let mixed = self.memory.of(init).is_empty() != pieces.is_empty();
            for piece in self.memory.of(init) {
                if !pieces.contains(piece) {
                    push_marked(&mut pieces, *piece);
                }
            }
            pieces.extend(self.unknown(result).filter(|_| mixed));
        }
        self.memory.set(result, &pieces);
    }

    /// Operands of the block's terminator.
    fn yielded(&self, block: BlockId) -> Vec<ValueId> {
        let last = self.module.block_ops(block).last();
        let Some(&last) =
            last.filter(|&&op| matches!(self.module.op_name(op), "scf.yield" | "scf.condition"))
        else {
            return Vec::new();
        };
        self.module.operands(last).iter().map(|o| o.value).collect()
    }

    /// Result k of a construct is what its arms yield, the first arm first.
    pub(super) fn yielded_results(&mut self, op: OpId) {
        for (index, result) in self.module.results(op).enumerate() {
            let mut pieces: Vec<Piece> = Vec::new();
            let mut is_plain = false;
            for body in self.module.bodies(op) {
                for block in self.module.blocks(body) {
                    let value = self.yielded(block).get(index).copied();
                    let of_arm = value.map_or(&[][..], |value| self.memory.of(value));
                    is_plain |= of_arm.is_empty();
                    pieces.extend_from_slice(of_arm);
                }
            }
            if !pieces.is_empty() {
                pieces.extend(self.unknown(result).filter(|_| is_plain));
                self.memory.set(result, &pieces);
            }
        }
    }
}

/// Adds a piece for the `range` rule, once.
pub(super) fn push_marked(pieces: &mut Vec<Piece>, mut piece: Piece) {
    if piece.region.flags & region_flag::NOT_RANGE != 0 {
        return;
    }
    piece.region.flags |= region_flag::NOT_ROOT;
    if !pieces.contains(&piece) {
        pieces.push(piece);
    }
}

/// The piece as the initial value would give it.
fn unmarked(piece: &Piece) -> Piece {
    let mut piece = *piece;
    piece.region.flags &= !region_flag::NOT_ROOT;
    piece
}
