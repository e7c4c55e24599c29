//! Tiles and pointers of which a condition, or a number, picks one.

use pipewright_abi::ir::type_kind;
use pipewright_abi::{OpId, PassError};

use crate::code::Op;
use crate::function::{Lower, Value};
use crate::tiles::Tile;

impl Lower<'_> {
    /// One of two tiles or pointers.
    pub(crate) fn pick(&mut self, op: OpId) -> Result<(), PassError> {
        let (&[condition, yes, no], result) =
            (&[0, 1, 2].map(|index| self.m.operand(op, index)), self.m.result(op, 0));
        let ty = self.m.value(result).ty;
        match self.m.type_of(result).kind {
            type_kind::TILE => {
                let condition = self.arith_operand(op, condition)?;
                let (yes, no) = (self.tile_object(op, yes)?, self.tile_object(op, no)?);
                if self.code.ty(yes) != self.code.ty(no) {
                    let help = "give them the same layout and the same valid size, static or dynamic";
                    return Err(self
                        .error(op, "the tiles that meet here differ in their C++ type")
                        .with_help(help));
                }
                let object = self.code.select(condition, yes, no);
                self.set_value(result, Value::Tile(Box::new(Tile::of_object(ty, object))));
            }
            type_kind::PTR => {
                let condition = self.arith_operand(op, condition)?;
                let (yes, no) = (self.arith_operand(op, yes)?, self.arith_operand(op, no)?);
                let node = self.code.select(condition, yes, no);
                self.set_value(result, Value::Node(node));
            }
            _ => {
                let error = self.error(op, "only tiles, pointers and numbers can be picked in C++");
                return Err(error.with_help("pick the pointer, and make the view from that"));
            }
        }
        Ok(())
    }

    /// One of several tiles: a tile at the address of its slot.
    pub(crate) fn tile_slot(&mut self, op: OpId) -> Result<(), PassError> {
        let (buffer, result) = (self.m.operand(op, 0), self.m.result(op, 0));
        let allocation = self.m.value(buffer).op;
        let slots = self.m.slots(self.m.type_of(buffer));
        let is_allocation = allocation.is_some() && self.m.op_name(allocation) == "pto.alloc_multi_tile";
        let Some((slot, count)) = slots.filter(|_| is_allocation) else {
            return Err(
                self.error(op, "a tile is taken from a buffer of several that is allocated in this function")
            );
        };
        let Some(base) = self.operand_named(allocation, "addr") else {
            return Err(self
                .error(allocation, "these tiles have no address")
                .with_help("write `addr = ...`, or run a stage that plans memory before this one"));
        };
        let (record, tile) = self.tile_parts(op, slot)?;
        let Some(bytes) = self.m.tile_bytes(record) else {
            return Err(self.error(op, "the size of the tile is known only at run time"));
        };
        let pitch = self.target.slot_pitch(tile.space, bytes);
        let base = self.arith_operand(op, base)?;
        let number = self.arith_operand(op, self.m.operand(op, 1))?;
        let at = |this: &mut Self, slot: u64| {
            let distance = i64::try_from(slot * pitch).unwrap_or(i64::MAX);
            let ty = this.code.ty(base);
            let distance = this.code.integer(ty, distance);
            this.wrapping(Op::Add, base, distance, ty)
        };
        let known = self.code.constant(number).and_then(|number| u64::try_from(number).ok());
        let address = match known {
            Some(slot) => at(self, slot),
            None => {
                let mut address = at(self, 0);
                for slot in 1..count {
                    let ty = self.code.ty(number);
                    let wanted = self.code.integer(ty, slot as i64);
                    let is_it = self.code.compare(Op::Eq, number, wanted);
                    let own = at(self, slot);
                    address = self.code.select(is_it, own, address);
                }
                address
            }
        };
        let given =
            [self.operand_named(allocation, "valid_row"), self.operand_named(allocation, "valid_col")];
        self.placed_tile(op, result, given, address)
    }
}
