//! Windows of tiles.

use pipewright_abi::ir::DYNAMIC;
use pipewright_abi::{OpId, PassError, TypeId};

use crate::code::Op;
use crate::function::{Lower, Value};
use crate::layout::tile_strides;
use crate::tiles::{Tile, Valid};
use crate::types::Ctype;
use crate::usage::need;

impl Lower<'_> {
    /// A window of a tile.
    pub(crate) fn subview(&mut self, op: OpId) -> Result<(), PassError> {
        let source = self.m.operand(op, 0);
        let parent = self.tile(op, source)?.ty;
        let result = self.m.result(op, 0);
        let ty = self.m.value(result).ty;
        let (shape, child) = (self.tile_shape(op, parent)?, self.tile_shape(op, ty)?);
        let offsets = self.operands_named(op, "offsets");
        let sizes = self.int_list(op, "sizes");
        let (&[first, second], &[rows, cols]) = (&offsets[..], &sizes[..]) else {
            return Err(self.error(op, "a window of a tile needs two offsets and two sizes"));
        };
        let offsets = [self.arith_operand(op, first)?, self.arith_operand(op, second)?];
        if let Some((box_rows, box_cols)) = shape.inner_box() {
            let aligned = |value: Option<i64>, unit: i64| value.is_none_or(|v| v % unit == 0);
            let constants = offsets.map(|o| self.code.constant(o));
            let fits = aligned(Some(rows), box_rows)
                && aligned(Some(cols), box_cols)
                && aligned(constants[0], box_rows)
                && aligned(constants[1], box_cols);
            if !fits {
                let message = format!("a window of this tile must consist of boxes of {box_rows}x{box_cols}");
                return Err(self
                    .error(op, &message)
                    .with_help("give offsets and sizes that are multiples of it"));
            }
        }

        let strides = tile_strides(&shape);
        let base = self.tile_address(op, source)?;
        let mut offset = self.code.integer(Ctype::I64, 0);
        for (position, stride) in offsets.into_iter().zip([strides.0, strides.1]) {
            let term = match self.code.constant(position) {
                Some(number) => self.code.integer(Ctype::I64, number.wrapping_mul(stride)),
                None => {
                    let wide = self.convert(position, Ctype::I64);
                    let stride = self.code.integer(Ctype::I64, stride);
                    self.wrapping(Op::Mul, wide, stride, Ctype::I64)
                }
            };
            offset = self.wrapping(Op::Add, offset, term, Ctype::I64);
        }
        let bytes = self.code.integer(Ctype::I64, shape.bytes);
        let offset = self.wrapping(Op::Mul, offset, bytes, Ctype::I64);
        let address = self.wrapping(Op::Add, base, offset, Ctype::I64);

        let mut tile = Tile { ty, object: None, comm: None, address: Some(address), pointer: None };
        if self.usage.needs(result, need::TILE | need::COMM_TILE) {
            // Rows of a window that lie as far apart as those of the tile leave the template the tile's size.
            let size = if tile_strides(&child) == strides {
                [child.rows, child.cols]
            } else {
                [shape.rows, shape.cols]
            };
            let valid = self.window_valid(op, ty, [rows, cols])?;
            let late = self.usage.needs(result, need::VALID_SHAPE);
            let object = self.declare_object(op, ty, size, valid, late)?;
            self.place(object, address);
            tile.object = Some(object);
        }
        self.set_value(result, Value::Tile(Box::new(tile)));
        Ok(())
    }

    /// The valid size of a window: what is asked for, but not beyond the window.
    fn window_valid(&mut self, op: OpId, ty: TypeId, sizes: [i64; 2]) -> Result<[Valid; 2], PassError> {
        let given = [self.operand_named(op, "valid_row"), self.operand_named(op, "valid_col")];
        let (_, tile) = self.tile_parts(op, ty)?;
        let declared = [tile.valid_rows, tile.valid_cols];
        let mut valid = sizes.map(Valid::Static);
        for i in 0..2 {
            let Some(value) = given[i] else {
                let known = if declared[i] == DYNAMIC { sizes[i] } else { declared[i].min(sizes[i]) };
                valid[i] = Valid::Static(known);
                continue;
            };
            let node = self.op_operand(op, value)?;
            valid[i] = match self.code.constant(node) {
                Some(number) => Valid::Static(number.min(sizes[i])),
                None => {
                    let limit = self.code.integer(Ctype::I32, sizes[i]);
                    let node = self.arith_operand(op, value)?;
                    let below = self.code.compare(Op::Lt, node, limit);
                    Valid::Dynamic(self.code.select(below, node, limit))
                }
            };
        }
        // A type that leaves both sizes open takes both at run time.
        if declared == [DYNAMIC, DYNAMIC] {
            for v in &mut valid {
                if let Valid::Static(number) = *v {
                    *v = Valid::Dynamic(self.code.integer(Ctype::I32, number));
                }
            }
        }
        Ok(valid)
    }
}
