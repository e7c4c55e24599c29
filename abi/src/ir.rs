//! The parsed program: arenas of operations, values, types, attributes, bodies and blocks, with source spans.
//!
//! Any dialect operation fits. Operation 0 is the module itself. Operations stand in program order inside their
//! block; an operation's bodies own blocks, a block owns arguments and operations. What must hold: every id is in
//! range, every operand dominates its use, every span lies inside the source.

use bytemuck::{Pod, Zeroable};

use crate::column::{ColumnError, Columns, StringPool, Strings, table};
use crate::{AttrId, BlockId, BodyId, EntryId, OpId, Range, SpaceId, StrId, TextRange, TypeId, ValueId};

/// One operation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Op {
    /// Full name with the dialect, `pto.tload`.
    pub name: StrId,
    /// Its entry in the target's operation table, or none.
    pub entry: EntryId,
    /// The block that holds it; none for the module.
    pub block: BlockId,
    /// Its operands, in [`Module::operands`].
    pub operands: Range,
    /// Its results, in [`Tables::values`].
    pub results: Range,
    /// Its attributes, in [`Tables::attrs`].
    pub attrs: Range,
    /// Its bodies, in [`Module::bodies`].
    pub bodies: Range,
    /// Where it stands in the source, from its first result to its last character.
    pub span: TextRange,
    /// Where its name stands in the source.
    pub name_span: TextRange,
}

/// One use of a value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Operand {
    /// The value used.
    pub value: ValueId,
    /// Which operand of the operation's table entry this is, as an index into its operands; `u32::MAX` if the
    /// operation has no entry.
    pub slot: u32,
    /// Where the use stands in the source.
    pub span: TextRange,
}

/// One SSA value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Value {
    /// Its type.
    pub ty: TypeId,
    /// Its name in the source without `%`, with `#k` for the k-th of several results.
    pub name: StrId,
    /// The operation whose result it is; none for a block argument.
    pub op: OpId,
    /// The block whose argument it is; none for a result.
    pub block: BlockId,
    /// Position among the results or arguments.
    pub index: u32,
    /// Where it is defined in the source.
    pub span: TextRange,
}

/// One block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Block {
    /// The body that holds it.
    pub body: BodyId,
    /// Its arguments, in [`Tables::values`].
    pub args: Range,
    /// Its operations in order, in [`Module::block_ops`].
    pub ops: Range,
    /// Its label without `^`, or none.
    pub label: StrId,
}

/// One body of an operation: an MLIR region.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Body {
    /// The operation that owns it.
    pub op: OpId,
    /// Its blocks, in [`Module::blocks`]. A body without blocks is a declaration's or an absent else part.
    pub blocks: Range,
    /// Where it stands in the source, braces included; empty if it is not written.
    pub span: TextRange,
}

/// A named attribute, or an element of an array attribute (without a name).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Attr {
    /// Its name; none for an array's element.
    pub name: StrId,
    /// Its value.
    pub value: AttrId,
    /// Where it stands in the source.
    pub span: TextRange,
}

/// Kinds of [`AttrValue`].
pub mod attr_kind {
    /// Present, without a value.
    pub const UNIT: u32 = 0;
    /// An integer; `bits` is its two's complement, `ty` its type or none.
    pub const INT: u32 = 1;
    /// A floating-point number; `bits` is the IEEE double, `ty` its type or none.
    pub const FLOAT: u32 = 2;
    /// `bits` is 0 or 1.
    pub const BOOL: u32 = 3;
    /// `text` is the string without quotes, escapes resolved.
    pub const STRING: u32 = 4;
    /// `text` is the symbol without `@`.
    pub const SYMBOL: u32 = 5;
    /// A value of a dialect's enumeration: `text` is the value (`PIPE_V`, `vector`), `detail` the enumeration's
    /// name (`pipe`, `kernel_kind`) or none if the source leaves it out.
    pub const ENUM: u32 = 6;
    /// A type, in `ty`.
    pub const TYPE: u32 = 7;
    /// Elements in `children`, without names.
    pub const ARRAY: u32 = 8;
    /// Named entries in `children`.
    pub const DICT: u32 = 9;
    /// Anything else, verbatim in `text`.
    pub const OTHER: u32 = 10;
}

/// One attribute value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct AttrValue {
    /// Number or bit pattern, see [`attr_kind`].
    pub bits: u64,
    /// One of [`attr_kind`].
    pub kind: u32,
    /// Type, see [`attr_kind`].
    pub ty: TypeId,
    /// Text, see [`attr_kind`].
    pub text: StrId,
    /// Second text, see [`attr_kind`].
    pub detail: StrId,
    /// Elements or entries, in [`Tables::attrs`].
    pub children: Range,
}

/// Kinds of [`Type`].
pub mod type_kind {
    /// `index`.
    pub const INDEX: u32 = 0;
    /// `i32`, `si8`, `ui16`; `width` in bits, signedness in `detail` (0 signless, 1 signed, 2 unsigned).
    pub const INT: u32 = 1;
    /// `f16`, `bf16`, `f8E4M3FN`, ...; `width` in bits, the spelling in `text`.
    pub const FLOAT: u32 = 2;
    /// `!pto.ptr<T>`, `!pto.ptr<T, vec>`; the memory space's name is in `space`.
    pub const PTR: u32 = 3;
    /// `!pto.tensor_view<..>`.
    pub const TENSOR_VIEW: u32 = 4;
    /// `!pto.partition_tensor_view<..>`.
    pub const PARTITION_VIEW: u32 = 5;
    /// `!pto.tile_buf<..>`; `dims` are rows and columns, `detail` indexes [`super::Tables::tiles`].
    pub const TILE: u32 = 6;
    /// `!pto.pipe`.
    pub const PIPE: u32 = 7;
    /// `memref<..>`; the memory space's name is in `space`.
    pub const MEMREF: u32 = 8;
    /// `vector<..>`.
    pub const VECTOR: u32 = 9;
    /// `(..) -> ..`; `children` are the parameters, then the results; `detail` counts the parameters.
    pub const FUNCTION: u32 = 10;
    /// `!pto.eventid_array<N>`; `dims` is N.
    pub const EVENT_ARRAY: u32 = 11;
    /// Any other type, verbatim in `text`.
    pub const OTHER: u32 = 12;
    /// `!pto.multi_tile_buf<T, count=N>`: several tiles of one type; `children` is that type, `dims` is N.
    pub const MULTI_TILE: u32 = 13;
}

/// A dimension that is known only at run time.
pub const DYNAMIC: i64 = i64::MIN;

/// One type. Equal types have equal ids.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Type {
    /// One of [`type_kind`].
    pub kind: u32,
    /// Width in bits of an integer or float.
    pub width: u32,
    /// Element type of a pointer, view, tile, memref or vector.
    pub element: TypeId,
    /// Canonical spelling.
    pub text: StrId,
    /// Extents, in [`Module::dims`]; [`DYNAMIC`] for `?`.
    pub dims: Range,
    /// Types inside it, in [`Tables::type_lists`].
    pub children: Range,
    /// See [`type_kind`].
    pub detail: u32,
    /// Memory space of a memref as `.pto` names it, or of a pointer as the target does; none for global memory.
    pub space: StrId,
}

impl Type {
    /// Whether values of this type stand for memory.
    pub fn is_memory(&self) -> bool {
        use type_kind::{MEMREF, MULTI_TILE, PARTITION_VIEW, PTR, TENSOR_VIEW, TILE};
        matches!(self.kind, PTR | TENSOR_VIEW | PARTITION_VIEW | TILE | MEMREF | MULTI_TILE)
    }
}

/// What a tile type says beyond element type and physical shape.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct TileType {
    /// Valid rows, or [`DYNAMIC`].
    pub valid_rows: i64,
    /// Valid columns, or [`DYNAMIC`].
    pub valid_cols: i64,
    /// The memory space it lives in.
    pub space: SpaceId,
    /// Base layout: 0 row major, 1 column major.
    pub blayout: u32,
    /// Layout inside a box: 0 no box, 1 row major, 2 column major.
    pub slayout: u32,
    /// Size of a box in bytes.
    pub fractal: u32,
    /// Padding: 0 null, 1 zero, 2 max, 3 min.
    pub pad: u32,
    /// Compact mode: 0 null, 1 normal, 2 row plus one.
    pub compact: u32,
}

table! {
    /// The program without its strings, owned.
    owned ModuleTables;
    /// The program without its strings, lent.
    view Tables;
    /// Operations; the module is the first.
    ops: Op = "module.ops/1",
    /// Operands of operations.
    operands: Operand = "module.operands/1",
    /// Values.
    values: Value = "module.values/1",
    /// Blocks.
    blocks: Block = "module.blocks/1",
    /// Operations of blocks, in order.
    block_ops: OpId = "module.block-ops/1",
    /// Bodies.
    bodies: Body = "module.bodies/1",
    /// Attributes.
    attrs: Attr = "module.attrs/1",
    /// Attribute values.
    attr_values: AttrValue = "module.attr-values/1",
    /// Types.
    types: Type = "module.types/1",
    /// Extents of types.
    dims: i64 = "module.dims/1",
    /// Types inside types.
    type_lists: TypeId = "module.type-lists/1",
    /// Details of tile types.
    tiles: TileType = "module.tiles/1",
}

/// A parsed program, owned by the host.
#[derive(Clone, Debug, Default)]
pub struct ModuleData {
    /// Its tables.
    pub tables: ModuleTables,
    /// Its strings.
    pub strings: StringPool,
    /// The source text that spans refer to.
    pub source: String,
}

impl ModuleData {
    /// A view of the program.
    pub fn view(&self) -> Module<'_> {
        Module { t: self.tables.view(), strings: self.strings.view(), source: self.source.as_bytes() }
    }
}

/// A parsed program, lent to a pass.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Its tables.
    pub t: Tables<'a>,
    /// Its strings.
    pub strings: Strings<'a>,
    /// The source text that spans refer to.
    pub source: &'a [u8],
}

impl<'a> Module<'a> {
    /// The module operation.
    pub const ROOT: OpId = OpId(0);

    /// Appends the program's columns to `out`.
    pub fn lend(&self, out: &mut Vec<crate::column::Column<'a>>) {
        use crate::column::Column;
        self.t.lend(out);
        out.push(Column::lend("module.strings.bytes/1", self.strings.bytes));
        out.push(Column::lend("module.strings.ends/1", self.strings.ends));
        out.push(Column::lend("module.source/1", self.source));
    }

    /// Finds the program's columns.
    pub fn from_columns(columns: Columns<'a>) -> Result<Self, ColumnError> {
        Ok(Self {
            t: Tables::from_columns(columns)?,
            strings: Strings {
                bytes: columns.get("module.strings.bytes/1")?,
                ends: columns.get("module.strings.ends/1")?,
            },
            source: columns.get("module.source/1")?,
        })
    }

    /// The text of an interned string.
    pub fn str(&self, id: StrId) -> &'a str {
        self.strings.get(id)
    }

    /// The operation `id`.
    pub fn op(&self, id: OpId) -> &'a Op {
        &self.t.ops[id.index()]
    }

    /// The name of the operation `id`, with its dialect.
    pub fn op_name(&self, id: OpId) -> &'a str {
        self.str(self.op(id).name)
    }

    /// The operands of the operation `id`.
    pub fn operands(&self, id: OpId) -> &'a [Operand] {
        self.op(id).operands.of(self.t.operands)
    }

    /// The value of the operation's operand `index`, or none if there are fewer.
    pub fn operand(&self, id: OpId, index: usize) -> ValueId {
        self.operands(id).get(index).map_or(ValueId::NONE, |o| o.value)
    }

    /// The ids of the operation's results.
    pub fn results(&self, id: OpId) -> impl ExactSizeIterator<Item = ValueId> + use<> {
        self.op(id).results.indices().map(ValueId::from_index)
    }

    /// The operation's result `index`, or none if there are fewer.
    pub fn result(&self, id: OpId, index: usize) -> ValueId {
        let range = self.op(id).results;
        if index < range.len as usize { ValueId(range.start + index as u32) } else { ValueId::NONE }
    }

    /// The value `id`.
    pub fn value(&self, id: ValueId) -> &'a Value {
        &self.t.values[id.index()]
    }

    /// The type of the value `id`.
    pub fn type_of(&self, id: ValueId) -> &'a Type {
        self.ty(self.value(id).ty)
    }

    /// The type `id`.
    pub fn ty(&self, id: TypeId) -> &'a Type {
        &self.t.types[id.index()]
    }

    /// The extents of a type.
    pub fn dims(&self, ty: &Type) -> &'a [i64] {
        ty.dims.of(self.t.dims)
    }

    /// What a tile type says beyond shape and element; `None` for any other type.
    pub fn tile(&self, ty: &Type) -> Option<&'a TileType> {
        if ty.kind == type_kind::TILE { self.t.tiles.get(ty.detail as usize) } else { None }
    }

    /// Bytes of a tile, the padding of a compact one included; `None` if they are known only at run time, or for any
    /// other type.
    pub fn tile_bytes(&self, ty: &Type) -> Option<u64> {
        let padding = i64::from(self.tile(ty)?.compact == 2);
        let bits = match ty.element.get().map(|element| self.ty(element)) {
            Some(element) if matches!(element.kind, type_kind::INT | type_kind::FLOAT) => element.width,
            Some(element) if element.kind == type_kind::INDEX => 64,
            // The dialect's own small floats: one byte.
            _ => 8,
        };
        let mut total = u64::from(bits);
        for &extent in self.dims(ty) {
            let extent = if extent == DYNAMIC { None } else { extent.checked_add(padding) };
            total = total.checked_mul(u64::try_from(extent?).ok()?)?;
        }
        Some(total.div_ceil(8))
    }

    /// The type of the tiles and their number for a buffer of several; `None` for any other type.
    pub fn slots(&self, ty: &Type) -> Option<(TypeId, u64)> {
        let (&slot, &count) =
            (ty.children.of(self.t.type_lists).first()?, self.dims(ty).first().filter(|&&n| n > 0)?);
        (ty.kind == type_kind::MULTI_TILE).then_some((slot, count as u64))
    }

    /// The block `id`.
    pub fn block(&self, id: BlockId) -> &'a Block {
        &self.t.blocks[id.index()]
    }

    /// The operations of a block, in order.
    pub fn block_ops(&self, id: BlockId) -> &'a [OpId] {
        self.block(id).ops.of(self.t.block_ops)
    }

    /// The ids of a block's arguments.
    pub fn block_args(&self, id: BlockId) -> impl ExactSizeIterator<Item = ValueId> + use<> {
        self.block(id).args.indices().map(ValueId::from_index)
    }

    /// The bodies of the operation `id`.
    pub fn bodies(&self, id: OpId) -> &'a [Body] {
        self.op(id).bodies.of(self.t.bodies)
    }

    /// The blocks of a body.
    pub fn blocks(&self, body: &Body) -> impl ExactSizeIterator<Item = BlockId> + use<> {
        body.blocks.indices().map(BlockId::from_index)
    }

    /// The first block of the operation's body `index`, or none.
    pub fn entry_block(&self, id: OpId, index: usize) -> BlockId {
        match self.bodies(id).get(index) {
            Some(body) if !body.blocks.is_empty() => BlockId(body.blocks.start),
            _ => BlockId::NONE,
        }
    }

    /// The operation that owns the block; none for a block out of range.
    pub fn block_owner(&self, id: BlockId) -> OpId {
        self.t
            .blocks
            .get(id.index())
            .and_then(|b| self.t.bodies.get(b.body.index()))
            .map_or(OpId::NONE, |b| b.op)
    }

    /// The operation that contains the operation `id`; none for the module.
    pub fn parent(&self, id: OpId) -> OpId {
        let block = self.op(id).block;
        if block.is_none() { OpId::NONE } else { self.block_owner(block) }
    }

    /// The attribute `name` of the operation `id`.
    pub fn attr(&self, id: OpId, name: &str) -> Option<&'a AttrValue> {
        self.find_attr(self.op(id).attrs, name)
    }

    /// The attribute `name` among `attrs`.
    pub fn find_attr(&self, attrs: Range, name: &str) -> Option<&'a AttrValue> {
        let found = attrs.of(self.t.attrs).iter().find(|a| self.str(a.name) == name)?;
        self.t.attr_values.get(found.value.index())
    }

    /// The attribute `name` of the operation `id`, if it is an integer or bool.
    pub fn int_attr(&self, id: OpId, name: &str) -> Option<i64> {
        let value = self.attr(id, name)?;
        matches!(value.kind, attr_kind::INT | attr_kind::BOOL).then_some(value.bits as i64)
    }

    /// The text of the attribute `name` of the operation `id`: a string, symbol, enumeration value or verbatim text.
    pub fn text_attr(&self, id: OpId, name: &str) -> Option<&'a str> {
        let value = self.attr(id, name)?;
        value.text.get().map(|text| self.str(text))
    }

    /// The functions of the module in source order, those of nested modules included.
    pub fn functions(&self) -> impl Iterator<Item = OpId> {
        let module = *self;
        (0..self.t.ops.len()).map(OpId::from_index).filter(move |&op| module.op_name(op) == "func.func")
    }

    /// The name of a function.
    pub fn symbol(&self, function: OpId) -> &'a str {
        self.text_attr(function, "sym_name").unwrap_or("")
    }
}
