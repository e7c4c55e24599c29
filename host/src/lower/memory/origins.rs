//! Where pointers, tiles and views come from that are no allocation: picked, converted, computed, or from somewhere
//! that cannot be followed.
//!
//! An integer has pieces if it is the address of something: a pointer that goes through an integer, and through sums with
//! plain numbers, stays in the memory that it points to. What is done to it otherwise may lead anywhere.

use pipewright_abi::OpId;
use pipewright_abi::ValueId;
use pipewright_abi::ir::type_kind;
use pipewright_abi::kernel::region_flag;
use pipewright_abi::target::{Entry, entry_flag};

use super::loops::push_marked;
use super::{Piece, Tracer, global, space_of};

/// What an operation of another dialect does with the memory of its operands.
enum Origin {
    /// Its result is in the memory of these operands, from the first one on.
    Operands(usize),
    /// Its result may be anywhere if an operand is memory.
    Lost,
}

impl Tracer<'_> {
    /// Any memory of the value's space; of global memory for a number. None if its type names no space.
    pub(super) fn unknown(&self, value: ValueId) -> Option<Piece> {
        let ty = self.module.type_of(value);
        let space = match ty.kind {
            // A memref without a space is in global memory.
            type_kind::MEMREF if ty.space.is_none() => global(self.target),
            _ if ty.is_memory() => space_of(self.module, self.target, value),
            _ => global(self.target),
        };
        let region = self.region(space?, 0, 0, region_flag::NOT_ROOT | region_flag::UNTRACED);
        Some(Piece::new(value, region))
    }

    /// The results of an operation that nothing is known of may be anywhere.
    pub(super) fn results_are_known(&mut self, op: OpId) {
        for result in self.module.results(op) {
            self.is_known(result);
        }
    }

    /// A value that stands for memory, and of which nothing is known, may be anywhere.
    pub(super) fn is_known(&mut self, value: ValueId) {
        if self.module.type_of(value).is_memory() && self.memory.of(value).is_empty() {
            let unknown: Vec<Piece> = self.unknown(value).into_iter().collect();
            self.memory.set(value, &unknown);
        }
    }

    /// An operation of the table whose result is another name for the memory of an operand. One that is a root as well
    /// is memory of its own to the reference.
    pub(super) fn alias(&mut self, op: OpId, entry: &Entry) {
        let source = self.module.operands(op).iter().find(|o| o.slot == entry.alias);
        let (Some(source), Some(result)) = (source, self.module.result(op, 0).get()) else { return };
        if entry.flags & entry_flag::ROOT != 0 {
            self.declared(op);
            let mut pieces = self.memory.of(result).to_vec();
            pieces.iter_mut().for_each(|p| p.region.flags |= region_flag::NOT_RANGE);
            let from = self.memory.of(source.value).to_vec();
            let known = from.len();
            from.into_iter().for_each(|piece| push_marked(&mut pieces, piece));
            pieces.extend(self.unknown(result).filter(|_| known == 0));
            return self.memory.set(result, &pieces);
        }
        let of_source = self.memory.of(source.value);
        // A number that was the address of memory in one space may be that of anything in another.
        let is_number = !self.module.type_of(source.value).is_memory();
        if is_number && self.module.type_of(result).is_memory() {
            let space = space_of(self.module, self.target, result);
            let fits = |piece: &Piece| Some(piece.region.space) == space;
            if !of_source.iter().all(fits) {
                let mut pieces = of_source.to_vec();
                pieces.extend(self.unknown(result));
                return self.memory.set(result, &pieces);
            }
        }
        self.memory.copy(source.value, result);
    }

    /// An operation without a table entry.
    pub(super) fn foreign(&mut self, op: OpId, name: &str) {
        let operands = self.module.operands(op);
        let origin = match name {
            "arith.select" => Origin::Operands(1),
            "arith.addi" | "arith.subi" | "arith.index_cast" | "arith.index_castui" | "arith.extsi"
            | "arith.extui" => Origin::Operands(0),
            "builtin.unrealized_conversion_cast" => Origin::Operands(0),
            "memref.cast"
            | "memref.reinterpret_cast"
            | "memref.subview"
            | "memref.collapse_shape"
            | "memref.expand_shape"
            | "memref.transpose"
            | "memref.memory_space_cast" => Origin::Operands(0),
            _ if name.starts_with("arith.") => Origin::Lost,
            _ => return,
        };
        if operands.iter().all(|o| self.memory.of(o.value).is_empty()) {
            return;
        }
        for result in self.module.results(op) {
            let ty = self.module.type_of(result);
            let mut pieces = Vec::new();
            match origin {
                // A truth value is no address.
                _ if ty.kind == type_kind::INT && ty.width == 1 => continue,
                Origin::Lost => pieces.extend(self.unknown(result)),
                Origin::Operands(first) => {
                    let space = ty.is_memory().then(|| space_of(self.module, self.target, result)).flatten();
                    let mut is_lost = false;
                    for operand in operands.iter().skip(first) {
                        let of_operand = self.memory.of(operand.value);
                        // What is picked or cast is all there is; a sum may have plain numbers in it.
                        is_lost |= of_operand.is_empty() && (first > 0 || ty.is_memory());
                        for &piece in of_operand {
                            let fits = space.is_none_or(|space| space == piece.region.space);
                            is_lost |= !fits && piece.region.flags & region_flag::NOT_RANGE == 0;
                            if fits {
                                push_marked(&mut pieces, piece);
                            }
                        }
                    }
                    pieces.extend(self.unknown(result).filter(|_| is_lost || pieces.is_empty()));
                }
            }
            self.memory.set(result, &pieces);
        }
    }
}
