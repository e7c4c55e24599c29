//! Tiles: their C++ types, where they are declared and where they lie.
//!
//! A tile of the program is a C++ object only if something asks for one; a tile that merely carries an address to
//! its windows has none.

use pipewright_abi::ir::{DYNAMIC, TileType, Type, type_kind};
use pipewright_abi::target::space_flag;
use pipewright_abi::{OpId, PassError, TypeId, ValueId};

use crate::code::{Class, Expr, NodeId};
use crate::function::{Lower, Value};
use crate::layout::TileShape;
use crate::types::{Ctype, element_bytes, global_memory, is_packed_pair};
use crate::usage::need;

/// A tile of the program.
#[derive(Clone, Debug)]
pub(crate) struct Tile {
    /// Its type in the program.
    pub(crate) ty: TypeId,
    /// The C++ tile, if there is one.
    pub(crate) object: Option<NodeId>,
    /// The C++ tile that communication uses.
    pub(crate) comm: Option<NodeId>,
    /// Its address as a 64-bit integer with or without sign, if it is known before the tile exists.
    pub(crate) address: Option<NodeId>,
    /// The pointer that a parameter is.
    pub(crate) pointer: Option<NodeId>,
}

impl Tile {
    pub(crate) fn of_object(ty: TypeId, object: NodeId) -> Self {
        Self { ty, object: Some(object), comm: None, address: None, pointer: None }
    }
}

/// What a template parameter for a valid size says: a number, or -1 with the value given to the constructor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Valid {
    Static(i64),
    Dynamic(NodeId),
}

impl<'a> Lower<'a> {
    pub(crate) fn tile_parts(&self, op: OpId, ty: TypeId) -> Result<(&'a Type, &'a TileType), PassError> {
        let record = self.m.ty(ty);
        match (self.m.tile(record), self.m.dims(record)) {
            (Some(tile), [_, _]) => Ok((record, tile)),
            _ => Err(self.error(op, "a tile with two dimensions is needed here")),
        }
    }

    pub(crate) fn tile_shape(&self, op: OpId, ty: TypeId) -> Result<TileShape, PassError> {
        let (record, tile) = self.tile_parts(op, ty)?;
        let dims = self.m.dims(record);
        let row_major = self.target.space_is(tile.space, space_flag::ROW_MAJOR);
        Ok(TileShape {
            rows: dims[0],
            cols: dims[1],
            bytes: element_bytes(&self.m, record.element),
            col_major: tile.blayout == 1 && !row_major,
            slayout: tile.slayout,
            fractal: tile.fractal,
            row_plus_one: tile.compact == 2,
        })
    }

    /// The C++ type of a tile with these rows, columns and valid size (-1 for one given at run time).
    fn tile_ctype(
        &mut self,
        op: OpId,
        ty: TypeId,
        size: [i64; 2],
        valid: [i64; 2],
    ) -> Result<Ctype, PassError> {
        let (record, tile) = self.tile_parts(op, ty)?;
        let target = self.target;
        let space = target.t.spaces.get(tile.space.index());
        let Some(space) = space.filter(|s| s.tile.is_some()) else {
            return Err(self.error(op, "no tile can live in this memory space"));
        };
        let symbol = |name: &str, value: u32| {
            let found = target.find_enum(name).map(|e| e.values.of(target.t.enum_values));
            let found = found.unwrap_or(&[]).iter().find(|v| v.value == i64::from(value));
            found.map_or("Null", |v| target.str(v.symbol))
        };
        let row_major = space.flags & space_flag::ROW_MAJOR != 0;
        let blayout = if row_major { 0 } else { tile.blayout };
        let (mut size, mut valid) = (size, valid);
        if is_packed_pair(&self.m, record.element) {
            let packed = if blayout == 0 { 1 } else { 0 };
            size[packed] *= 2;
            valid[packed] *= if valid[packed] > 0 { 2 } else { 1 };
        }
        let (space, pad, compact) = (target.str(space.tile), tile.pad, tile.compact);
        let (blayout, slayout) = (symbol("blayout", blayout), symbol("slayout", tile.slayout));
        let fractal = tile.fractal;
        let element = record.element;
        let Some(element) = self.types.element(&self.m, element) else {
            return Err(self.error(op, "elements of this type have no form in C++"));
        };
        let text = format!(
            "Tile<TileType::{space}, {}, {}, {}, BLayout::{blayout}, {}, {}, SLayout::{slayout}, {fractal}, \
             PadValue::{}, CompactMode::{}>",
            self.types.text(element),
            size[0],
            size[1],
            valid[0],
            valid[1],
            symbol("pad_value", pad),
            symbol("compact_mode", compact),
        );
        Ok(self.types.intern(&text))
    }

    /// Declares a C++ tile with its valid size. `late` says that the valid size is set by a later statement.
    pub(crate) fn declare_object(
        &mut self,
        op: OpId,
        ty: TypeId,
        size: [i64; 2],
        valid: [Valid; 2],
        late: bool,
    ) -> Result<NodeId, PassError> {
        let numbers = valid.map(|v| if let Valid::Static(n) = v { n } else { -1 });
        let ctype = self.tile_ctype(op, ty, size, numbers)?;
        let arguments: Vec<NodeId> = valid
            .iter()
            .filter_map(|v| if let Valid::Dynamic(node) = v { Some(*node) } else { None })
            .collect();
        if arguments.is_empty() || (late && arguments.len() == 2) {
            return Ok(self.code.declare(ctype, Class::Plain));
        }
        let pieces = self.code.write(|w| {
            w.ty(ctype).text("(").list(&arguments).text(")");
        });
        Ok(self.code.define_effect(Expr::Text(pieces), ctype))
    }

    /// The valid size of a tile by its type and by the operands that give what the type leaves open. What nothing
    /// gives is the whole extent.
    fn valid_size(
        &mut self,
        op: OpId,
        ty: TypeId,
        given: [Option<ValueId>; 2],
        late: bool,
    ) -> Result<[Valid; 2], PassError> {
        let (record, tile) = self.tile_parts(op, ty)?;
        let dims = [self.m.dims(record)[0], self.m.dims(record)[1]];
        let declared = [tile.valid_rows, tile.valid_cols];
        let open = declared.iter().filter(|&&v| v == DYNAMIC).count();
        let mut valid = declared.map(Valid::Static);
        for i in 0..2 {
            if declared[i] != DYNAMIC {
                continue;
            }
            let node = match given[i] {
                Some(value) => self.op_operand(op, value)?,
                None => self.code.integer(Ctype::I32, dims[i]),
            };
            valid[i] = match self.code.constant(node) {
                Some(number) if open == 1 && !late => Valid::Static(number),
                _ => Valid::Dynamic(node),
            };
        }
        Ok(valid)
    }

    fn dims_of(&self, ty: TypeId) -> [i64; 2] {
        match self.m.dims(self.m.ty(ty)) {
            &[rows, cols] => [rows, cols],
            _ => [0, 0],
        }
    }

    /// `TASSIGN(tile, address)`, the address converted first.
    pub(crate) fn place(&mut self, object: NodeId, address: NodeId) {
        let address = self.code.cast(Ctype::U64, address);
        self.place_at(object, address);
    }

    fn place_at(&mut self, object: NodeId, address: NodeId) {
        let pieces = self.code.write(|w| {
            w.text("TASSIGN(").node(object).text(", ").node(address).text(")");
        });
        self.code.statement(pieces);
    }

    pub(crate) fn alloc_tile(&mut self, op: OpId) -> Result<(), PassError> {
        let result = self.m.result(op, 0);
        let ty = self.m.value(result).ty;
        self.tile_parts(op, ty)?;
        let Some(address) = self.operand_named(op, "addr") else {
            return Err(self
                .error(op, "this tile has no address")
                .with_help("write `addr = ...`, or run a stage that plans memory before this one"));
        };
        let given = [self.operand_named(op, "valid_row"), self.operand_named(op, "valid_col")];
        let address = self.arith_operand(op, address)?;
        self.placed_tile(op, result, given, address)
    }

    /// A tile at an address.
    pub(crate) fn placed_tile(
        &mut self,
        op: OpId,
        result: ValueId,
        given: [Option<ValueId>; 2],
        address: NodeId,
    ) -> Result<(), PassError> {
        let ty = self.m.value(result).ty;
        let late = self.usage.needs(result, need::VALID_SHAPE);
        let mut tile = Tile { ty, object: None, comm: None, address: Some(address), pointer: None };
        if self.usage.needs(result, need::COMM_TILE) {
            let valid = self.valid_size(op, ty, given, late)?;
            let object = self.declare_object(op, ty, self.dims_of(ty), valid, late)?;
            self.place_at(object, address);
            tile.comm = Some(object);
        }
        if self.usage.needs(result, need::TILE) {
            let valid = self.valid_size(op, ty, given, late)?;
            let object = self.declare_object(op, ty, self.dims_of(ty), valid, late)?;
            self.place(object, address);
            tile.object = Some(object);
        }
        self.set_value(result, Value::Tile(Box::new(tile)));
        Ok(())
    }

    /// A tile that a later operation places.
    pub(crate) fn declare_tile(&mut self, op: OpId) -> Result<(), PassError> {
        let result = self.m.result(op, 0);
        let object = self.unplaced_tile(op, result, [None, None])?;
        let ty = self.m.value(result).ty;
        self.set_value(result, Value::Tile(Box::new(Tile::of_object(ty, object))));
        Ok(())
    }

    /// A declaration without address. With valid sizes given it is a plain one, and they are set behind it.
    pub(crate) fn unplaced_tile(
        &mut self,
        op: OpId,
        result: ValueId,
        given: [Option<ValueId>; 2],
    ) -> Result<NodeId, PassError> {
        let ty = self.m.value(result).ty;
        let late = self.usage.needs(result, need::VALID_SHAPE);
        if let [Some(rows), Some(cols)] = given {
            let (rows, cols) = (self.op_operand(op, rows)?, self.op_operand(op, cols)?);
            let valid = [Valid::Dynamic(rows), Valid::Dynamic(cols)];
            let object = self.declare_object(op, ty, self.dims_of(ty), valid, true)?;
            let pieces = self.code.write(|w| {
                w.node(object).text(".SetValidShape(").list(&[rows, cols]).text(")");
            });
            self.code.statement(pieces);
            return Ok(object);
        }
        let valid = self.valid_size(op, ty, given, late)?;
        self.declare_object(op, ty, self.dims_of(ty), valid, late)
    }

    /// A parameter that is a tile: one C++ tile for it, at the top of the function, at the pointer's address.
    pub(crate) fn tile_argument(&mut self, argument: ValueId) -> Result<(), PassError> {
        let ty = self.m.value(argument).ty;
        let Value::Tile(tile) = self.value(argument) else { return Ok(()) };
        let mut tile = tile.clone();
        let Some(pointer) = tile.pointer else { return Ok(()) };
        let function = self.function;
        let pieces = self.code.write(|w| {
            w.text("reinterpret_cast<uint64_t>(").node(pointer).text(")");
        });
        let address = self.code.define_text(pieces, Ctype::U64);
        tile.address = Some(address);
        if self.usage.needs(argument, need::TILE | need::COMM_TILE) {
            let late = self.usage.needs(argument, need::VALID_SHAPE);
            let valid = self.valid_size(function, ty, [None, None], late)?;
            let object = self.declare_object(function, ty, self.dims_of(ty), valid, late)?;
            self.place_at(object, address);
            tile.object = Some(object);
        }
        self.set_value(argument, Value::Tile(tile));
        Ok(())
    }

    /// Notes what a parameter is.
    pub(crate) fn define_argument(&mut self, argument: ValueId, node: NodeId) -> Result<(), PassError> {
        let ty = self.m.value(argument).ty;
        let record = self.m.ty(ty);
        let value = match record.kind {
            type_kind::TILE => Value::Tile(Box::new(Tile {
                ty,
                object: None,
                comm: None,
                address: None,
                pointer: Some(node),
            })),
            type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW => self.view_argument(argument, node),
            type_kind::MEMREF if global_memory(&self.target, &self.m, record) => {
                self.view_argument(argument, node)
            }
            _ => Value::Node(node),
        };
        self.set_value(argument, value);
        Ok(())
    }

    pub(crate) fn tile(&self, op: OpId, value: ValueId) -> Result<Tile, PassError> {
        match self.value(value) {
            Value::Tile(tile) => Ok((**tile).clone()),
            _ => Err(self.error(op, "a tile is needed here")),
        }
    }

    /// The C++ tile of a value.
    pub(crate) fn tile_object(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        match self.value(value) {
            Value::Tile(tile) => match tile.object.or(tile.comm) {
                Some(object) => Ok(object),
                None => Err(self.error(op, "this tile has no C++ object")),
            },
            _ => Err(self.error(op, "a tile is needed here")),
        }
    }

    /// The C++ tile that a communication uses.
    pub(crate) fn comm_tile(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        match self.value(value) {
            Value::Tile(tile) if tile.comm.is_some() => Ok(tile.comm.unwrap_or(NodeId(0))),
            _ => self.tile_object(op, value),
        }
    }

    /// `tile.data()`. Some spaces have numbers in place of pointers.
    pub(crate) fn tile_pointer(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        let tile = self.tile(op, value)?;
        if let Some(pointer) = tile.pointer {
            return Ok(pointer);
        }
        let object = self.tile_object(op, value)?;
        let (_, details) = self.tile_parts(op, tile.ty)?;
        let ctype = if self.target.space_is(details.space, space_flag::NUMBER) {
            Ctype::U64
        } else {
            self.types
                .of_value(&self.m, &self.target, tile.ty)
                .ok_or_else(|| self.error(op, "no such pointer"))?
        };
        let pieces = self.code.write(|w| {
            w.node(object).text(".data()");
        });
        Ok(self.code.define_text(pieces, ctype))
    }

    /// The address of a tile as a 64-bit integer.
    pub(crate) fn tile_address(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        match self.tile(op, value)?.address {
            Some(address) => Ok(address),
            None => self.object_address(op, value),
        }
    }

    /// The address of a tile's object as C++ gives it.
    fn object_address(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        let pointer = self.tile_pointer(op, value)?;
        if self.code.ty(pointer) == Ctype::U64 {
            return Ok(pointer);
        }
        let pieces = self.code.write(|w| {
            w.text("reinterpret_cast<uint64_t>(").node(pointer).text(")");
        });
        Ok(self.code.define_text(pieces, Ctype::U64))
    }

    /// The memory of a tile under another type: `TRESHAPE` for another shape, another placement for other elements.
    pub(crate) fn reshape(&mut self, op: OpId, keeps_elements: bool) -> Result<(), PassError> {
        let source = self.m.operand(op, 0);
        let result = self.m.result(op, 0);
        let ty = self.m.value(result).ty;
        self.tile_parts(op, ty)?;
        let from = self.tile(op, source)?;
        let mut tile = Tile { ty, object: None, comm: None, address: from.address, pointer: None };
        if self.usage.needs(result, need::TILE | need::COMM_TILE) {
            let late = self.usage.needs(result, need::VALID_SHAPE);
            let valid = self.valid_size(op, ty, [None, None], late)?;
            let object = self.declare_object(op, ty, self.dims_of(ty), valid, late)?;
            match (from.object, from.address) {
                (Some(source), _) if keeps_elements => {
                    let pieces = self.code.write(|w| {
                        w.text("TRESHAPE(").list(&[object, source]).text(")");
                    });
                    self.code.statement(pieces);
                }
                (None, Some(address)) => self.place(object, address),
                _ => {
                    let address = self.object_address(op, source)?;
                    self.place_at(object, address);
                }
            }
            tile.object = Some(object);
        } else if tile.address.is_none() {
            tile.address = Some(self.tile_address(op, source)?);
        }
        self.set_value(result, Value::Tile(Box::new(tile)));
        Ok(())
    }

    /// `TASSIGN` written by hand; its result is the same variable.
    pub(crate) fn assign_tile(&mut self, op: OpId) -> Result<(), PassError> {
        let source = self.m.operand(op, 0);
        let object = self.tile_object(op, source)?;
        let address = self.arith_operand(op, self.m.operand(op, 1))?;
        self.place(object, address);
        if self.m.results(op).len() > 0 {
            let result = self.m.result(op, 0);
            let mut tile = Tile::of_object(self.m.value(result).ty, object);
            tile.address = Some(self.convert(address, Ctype::I64));
            self.set_value(result, Value::Tile(Box::new(tile)));
        }
        Ok(())
    }
}
