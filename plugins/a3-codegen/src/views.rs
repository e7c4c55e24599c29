//! Global memory: pointers, views and the Shape, Stride and GlobalTensor that a partition becomes.

use pipewright_abi::ir::{DYNAMIC, type_kind};
use pipewright_abi::target::{Space, space_flag};
use pipewright_abi::{OpId, PassError, SpaceId, TypeId, ValueId};

use crate::code::{AliasKind, Item, NodeId, Op};
use crate::function::{Lower, Value};
use crate::layout::{self, Inferred, Layout, RANK};
use crate::types::{Ctype, element_bytes};

/// A view of global memory.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) kind: Kind,
    /// The pointer that it starts from.
    pub(crate) base: NodeId,
    /// The pointer moved to the part, for a part.
    pub(crate) address: Option<NodeId>,
    pub(crate) element: TypeId,
    /// Extents as ordinary numbers.
    pub(crate) sizes: Vec<NodeId>,
    /// Elements from one index to the next, as ordinary numbers.
    pub(crate) strides: Vec<NodeId>,
    pub(crate) layout: Layout,
    /// The GlobalTensor, if it exists already.
    pub(crate) object: Option<NodeId>,
}

/// Where a view comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A parameter.
    Argument,
    /// A whole view, which has no C++ object of its own.
    Whole,
    /// A part of a view.
    Part,
    /// A slot of a pipe.
    Entry,
}

/// A padded extent or stride.
#[derive(Clone, Copy, Debug)]
enum Dim {
    Static(i64),
    /// An `unsigned` value.
    Dynamic(NodeId),
}

impl Lower<'_> {
    /// The memory space of a tile, a pointer or a view, by its type.
    pub(crate) fn space_of(&self, value: ValueId) -> Option<SpaceId> {
        let ty = self.m.type_of(value);
        match ty.kind {
            type_kind::TILE => self.m.tile(ty).map(|t| t.space),
            type_kind::PTR if ty.space.is_some() => self.target.space(self.m.str(ty.space)),
            type_kind::PTR | type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW => {
                let global = |s: &Space| s.flags & space_flag::GLOBAL != 0;
                self.target.t.spaces.iter().position(global).map(SpaceId::from_index)
            }
            _ => None,
        }
    }

    pub(crate) fn move_pointer(&mut self, op: OpId) -> Result<(), PassError> {
        let result = self.m.result(op, 0);
        let offset = self.arith_operand(op, self.m.operand(op, 1))?;
        let source = self.m.operand(op, 0);
        let (base, mut moves) = match self.value(source) {
            Value::Pointer(base, moves) => (*base, moves.clone()),
            _ => (self.node(op, source)?, Vec::new()),
        };
        moves.insert(0, offset);
        self.set_value(result, Value::Pointer(base, moves));
        Ok(())
    }

    /// `p + offsets`, a statement of its own.
    pub(crate) fn moved_pointer(&mut self, base: NodeId, moves: &[NodeId]) -> NodeId {
        let Some((&first, rest)) = moves.split_first() else { return base };
        let offset = rest.iter().fold(first, |sum, &next| self.wrapping(Op::Add, sum, next, Ctype::I32));
        let node = self.code.binary(Op::Add, base, offset, self.code.ty(base));
        self.code.nodes[node.index()].pinned = true;
        node
    }

    /// A load or store of one element; moves of the pointer become part of the index.
    pub(crate) fn scalar_access(&mut self, op: OpId) -> Result<(), PassError> {
        let pointer = self.operand_named(op, "ptr");
        let offset = self.operand_named(op, "offset");
        let (Some(pointer), Some(offset)) = (pointer, offset) else {
            return Err(self.error(op, "an access of one element needs a pointer and an index"));
        };
        let (base, index) = match self.value(pointer) {
            Value::Pointer(base, moves) => {
                let (base, moves) = (*base, moves.clone());
                let mut index = self.arith_operand(op, offset)?;
                for step in moves {
                    index = self.wrapping(Op::Add, index, step, Ctype::I32);
                }
                (base, index)
            }
            _ => (self.node(op, pointer)?, self.op_operand(op, offset)?),
        };
        self.table_operation_with(op, &[("ptr", base), ("offset", index)])
    }

    /// What a parameter that is a view became.
    pub(crate) fn view_argument(&mut self, argument: ValueId, node: NodeId) -> Value {
        let record = self.m.type_of(argument);
        let view = View {
            kind: Kind::Argument,
            base: node,
            address: None,
            element: record.element,
            sizes: Vec::new(),
            strides: Vec::new(),
            layout: Layout::Nd,
            object: None,
        };
        Value::View(Box::new(view))
    }

    pub(crate) fn make_view(&mut self, op: OpId) -> Result<(), PassError> {
        let result = self.m.result(op, 0);
        let record = self.m.type_of(result);
        let pointer = self.m.operand(op, 0);
        if self.m.type_of(pointer).kind == type_kind::PTR && self.m.type_of(pointer).space.is_some() {
            return Err(self.error(op, "a view is one of global memory, and this pointer points elsewhere"));
        }
        let base = self.node(op, pointer)?;
        let sizes = self.numbers(op, "shape")?;
        let strides = self.numbers(op, "strides")?;
        if sizes.is_empty() || sizes.len() > RANK || sizes.len() != strides.len() {
            let message = "a view needs one extent and one stride for each of one to five dimensions";
            return Err(self.error(op, message));
        }
        let dims = self.m.dims(record);
        let extent = |i: usize| match dims.get(i) {
            Some(&dim) if dim != DYNAMIC => Some(dim),
            _ => self.code.constant(sizes[i]),
        };
        let static_sizes: Option<Vec<i64>> = (0..sizes.len()).map(extent).collect();
        let static_strides: Option<Vec<i64>> = strides.iter().map(|&s| self.code.constant(s)).collect();
        let inferred = static_sizes.zip(static_strides).map(|(sizes, strides)| {
            (layout::infer(&sizes, &strides, element_bytes(&self.m, record.element)), sizes)
        });
        let given = self.m.text_attr(op, "layout").and_then(Layout::from_text);
        let layout = match (given, inferred) {
            (Some(given), Some((Inferred::Known(other), _))) if given != other => {
                let message = format!(
                    "the layout is given as {}, but extents and strides are those of {}",
                    given.symbol(),
                    other.symbol()
                );
                return Err(self.error(op, &message));
            }
            (Some(given), _) => given,
            (None, Some((Inferred::Known(layout), _))) => layout,
            (None, Some((Inferred::Either, sizes))) => self.preferred_layout(result, &sizes),
            (None, None) => Layout::Nd,
        };
        let view = View {
            kind: Kind::Whole,
            base,
            address: None,
            element: record.element,
            sizes,
            strides,
            layout,
            object: None,
        };
        self.set_value(result, Value::View(Box::new(view)));
        Ok(())
    }

    /// The layout of a view that fits both: that of the vector tiles that meet it, else by its own shape.
    fn preferred_layout(&self, view: ValueId, sizes: &[i64]) -> Layout {
        let cols = sizes[sizes.len() - 1];
        let rows = if sizes.len() > 1 { sizes[sizes.len() - 2] } else { 1 };
        let tiles = self.usage.tile_layouts(view);
        match (cols, tiles.row_major, tiles.col_major) {
            (1, true, false) => Layout::Nd,
            (1, false, true) => Layout::Dn,
            (1, ..) if rows != 1 => Layout::Dn,
            _ => Layout::Nd,
        }
    }

    fn numbers(&mut self, op: OpId, name: &str) -> Result<Vec<NodeId>, PassError> {
        let values = self.operands_named(op, name);
        let mut nodes = Vec::with_capacity(values.len());
        for value in values {
            nodes.push(self.arith_operand(op, value)?);
        }
        Ok(nodes)
    }

    pub(crate) fn view(&self, op: OpId, value: ValueId) -> Result<View, PassError> {
        match self.value(value) {
            Value::View(view) => Ok((**view).clone()),
            _ => Err(self.error(op, "a view of global memory is needed here")),
        }
    }

    /// One extent or stride of a view.
    pub(crate) fn view_extent(&mut self, op: OpId, stride: bool) -> Result<(), PassError> {
        let source = self.m.operand(op, 0);
        let view = self.view(op, source)?;
        let index = self.arith_operand(op, self.m.operand(op, 1))?;
        let index = self.code.constant(index).and_then(|i| usize::try_from(i).ok());
        let list = if stride { &view.strides } else { &view.sizes };
        let node = match index {
            Some(index) if view.kind == Kind::Argument => {
                let dims = self.m.dims(self.m.type_of(source)).to_vec();
                let list = if stride { layout::row_major(&dims) } else { dims.clone() };
                let known = !dims.contains(&DYNAMIC);
                list.get(index).copied().filter(|_| known).map(|n| self.code.integer(Ctype::I32, n))
            }
            Some(index) => list.get(index).copied(),
            None => None,
        };
        let Some(node) = node else {
            return Err(self.error(op, "the dimension must be a constant that the view has"));
        };
        self.set_value(self.m.result(op, 0), Value::Node(node));
        Ok(())
    }

    /// A part of a view.
    pub(crate) fn partition(&mut self, op: OpId) -> Result<(), PassError> {
        let result = self.m.result(op, 0);
        let source = self.view(op, self.m.operand(op, 0))?;
        let (offsets, sizes) = (self.numbers(op, "offsets")?, self.numbers(op, "sizes")?);
        if source.kind == Kind::Argument {
            let message = "a part of a parameter that is a view has no strides to go by";
            return Err(self
                .error(op, message)
                .with_help("pass a pointer and make the view in this function"));
        }
        let rank = source.strides.len();
        if sizes.len() != rank || offsets.len() != rank {
            let message = format!("a part of this view needs {rank} offsets and {rank} sizes");
            return Err(self.error(op, &message));
        }
        if source.kind == Kind::Entry {
            return self.entry_part(op, source, &offsets, sizes);
        }
        let base = source.address.unwrap_or(source.base);
        let (tensor, address) = self.tensor(op, &source, &sizes, |lower| {
            let offset = lower.linear_offset(&offsets, &source.strides);
            lower.code.binary(Op::Add, base, offset, lower.code.ty(base))
        })?;
        let view = View { kind: Kind::Part, address: Some(address), sizes, object: Some(tensor), ..source };
        self.set_value(result, Value::View(Box::new(view)));
        Ok(())
    }

    /// `0 + o0 * s0 + o1 * s1 + ...` in `unsigned`.
    fn linear_offset(&mut self, offsets: &[NodeId], strides: &[NodeId]) -> NodeId {
        let mut sum = self.code.unsigned(0);
        for (&offset, &stride) in offsets.iter().zip(strides) {
            let offset = match self.code.constant(offset) {
                Some(number) => self.code.unsigned(number),
                None => self.code.cast(Ctype::UNSIGNED, offset),
            };
            let stride = self.code.cast(Ctype::UNSIGNED, stride);
            let term = self.code.binary(Op::Mul, offset, stride, Ctype::UNSIGNED);
            sum = self.code.binary(Op::Add, sum, term, Ctype::UNSIGNED);
        }
        sum
    }

    /// Shape, Stride and GlobalTensor of a part of `view` with these sizes, at the pointer that `pointer` makes.
    /// Returns the GlobalTensor and the pointer.
    pub(crate) fn tensor(
        &mut self,
        op: OpId,
        view: &View,
        sizes: &[NodeId],
        pointer: impl FnOnce(&mut Self) -> NodeId,
    ) -> Result<(NodeId, NodeId), PassError> {
        let Some(element) = self.types.element(&self.m, view.element) else {
            return Err(self.error(op, "elements of this type have no form in C++"));
        };
        let first = self.code.items.len();
        let lead = RANK - sizes.len();
        let (mut size, mut stride) = ([Dim::Static(1); RANK], [Dim::Static(1); RANK]);
        for (dim, &node) in size[lead..].iter_mut().zip(sizes) {
            *dim = self.dim(node);
        }
        for (dim, &node) in stride[lead..].iter_mut().zip(&view.strides) {
            *dim = self.dim(node);
        }
        let last = self.code.items.len();
        for i in (0..lead).rev() {
            stride[i] = match (size[i + 1], stride[i + 1]) {
                (Dim::Static(a), Dim::Static(b)) => Dim::Static(a.wrapping_mul(b)),
                (Dim::Static(1), same) => same,
                (a, b) => {
                    let (a, b) = (self.dim_node(a), self.dim_node(b));
                    Dim::Dynamic(self.code.binary(Op::Mul, a, b, Ctype::UNSIGNED))
                }
            };
        }
        let dynamic: Vec<NodeId> =
            sizes.iter().copied().filter(|&size| self.code.constant(size).is_none()).collect();
        let shape = self.extents("pto::Shape", &size, &dynamic);
        let values: Vec<NodeId> = stride
            .iter()
            .filter_map(|s| if let Dim::Dynamic(node) = s { Some(*node) } else { None })
            .collect();
        let stride = self.extents("pto::Stride", &stride, &values);
        let pointer = pointer(self);
        let text = format!(
            "GlobalTensor<{}, {}, {}, pto::Layout::{}>",
            self.types.text(element),
            self.types.text(self.code.ty(shape)),
            self.types.text(self.code.ty(stride)),
            view.layout.symbol()
        );
        let ty = self.types.intern(&text);
        let pieces = self.code.write(|w| {
            w.ty(ty).text("(").list(&[pointer, shape, stride]).text(")");
        });
        let tensor = self.code.define_text(pieces, ty);
        // A size or stride that is known only at run time is converted even where nothing needs it.
        for item in &mut self.code.items[first..last] {
            if let Item::Define(node) = *item {
                *item = Item::Keep { node, owner: tensor };
            }
        }
        Ok((tensor, pointer))
    }

    /// `Shape<..>(..)` or `Stride<..>(..)`.
    fn extents(&mut self, name: &str, dims: &[Dim; RANK], values: &[NodeId]) -> NodeId {
        let numbers = dims.map(|d| if let Dim::Static(n) = d { n.to_string() } else { "-1".into() });
        let ty = self.types.intern(&format!("{name}<{}>", numbers.join(", ")));
        let pieces = self.code.write(|w| {
            w.ty(ty).text("(").list(values).text(")");
        });
        self.code.define_text(pieces, ty)
    }

    fn dim(&mut self, node: NodeId) -> Dim {
        match self.code.constant(node) {
            Some(number) => Dim::Static(number),
            None => Dim::Dynamic(self.code.cast(Ctype::UNSIGNED, node)),
        }
    }

    fn dim_node(&mut self, dim: Dim) -> NodeId {
        match dim {
            Dim::Static(number) => self.code.unsigned(number),
            Dim::Dynamic(node) => node,
        }
    }

    /// The GlobalTensor of a value: its own, or one that is made here.
    pub(crate) fn tensor_of(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        let view = self.view(op, value)?;
        match (view.kind, view.object) {
            (_, Some(object)) => Ok(object),
            (Kind::Argument, _) => self.argument_tensor(op, value, &view),
            _ => {
                let base = view.base;
                let sizes = view.sizes.clone();
                Ok(self.tensor(op, &view, &sizes, |_| base)?.0)
            }
        }
    }

    /// A parameter that is a view: its type says all, and a wrapper is made at each operation that uses it.
    fn argument_tensor(&mut self, op: OpId, value: ValueId, view: &View) -> Result<NodeId, PassError> {
        let record = self.m.type_of(value);
        let dims = self.m.dims(record).to_vec();
        if dims.is_empty() || dims.len() > RANK || dims.contains(&DYNAMIC) {
            let message = "a parameter that is a view needs one to five static extents";
            return Err(self
                .error(op, message)
                .with_help("pass a pointer and make the view in this function"));
        }
        let Some(element) = self.types.element(&self.m, view.element) else {
            return Err(self.error(op, "elements of this type have no form in C++"));
        };
        let strides = layout::row_major(&dims);
        let (size, stride) = layout::pad(&dims, &strides);
        let given = self.m.text_attr(op, "layout").and_then(Layout::from_text);
        let layout = given.unwrap_or_else(|| self.argument_layout(view.element, &dims));
        let list = |numbers: [i64; RANK]| numbers.map(|n| n.to_string()).join(", ");
        let shape_text = format!("pto::Shape<{}>", list(size));
        let stride_text = format!("pto::Stride<{}>", list(stride));
        let layout_text = format!("pto::Layout::{}", layout.symbol());
        let number = self.aliases;
        self.aliases += 1;
        let element = self.types.text(element).to_owned();
        let names = if self.flat {
            let tensor = format!("GlobalTensor<{element}, {shape_text}, {stride_text}, {layout_text}>");
            [shape_text, stride_text, tensor]
        } else {
            let spelled = [&shape_text, &stride_text, &layout_text].map(|text| self.types.intern(text));
            let kinds = [AliasKind::Shape, AliasKind::Stride, AliasKind::Layout];
            for (ty, kind) in spelled.into_iter().zip(kinds) {
                self.code.items.push(Item::Alias(ty, number, kind));
            }
            [format!("GTShape_{number}"), format!("GTStride_{number}"), format!("GT_{number}")]
        };
        let [shape_ty, stride_ty, tensor_ty] = names.each_ref().map(|name| self.types.intern(name));
        let shape = self.call_text(&format!("{}(", names[0]), &[], shape_ty);
        let stride = self.call_text(&format!("{}(", names[1]), &[], stride_ty);
        if !self.flat {
            let spelled =
                format!("GlobalTensor<{element}, GTShape_{number}, GTStride_{number}, GT_{number}_layout>");
            let spelled = self.types.intern(&spelled);
            self.code.items.push(Item::Alias(spelled, number, AliasKind::Tensor));
        }
        Ok(self.call_text(&format!("{}(", names[2]), &[view.base, shape, stride], tensor_ty))
    }

    /// The layout of a dense row-major parameter.
    fn argument_layout(&self, element: TypeId, dims: &[i64]) -> Layout {
        let record = self.m.ty(element);
        let bytes = match (record.kind, record.width) {
            (type_kind::FLOAT, 16) => 2,
            (type_kind::FLOAT, 64) => 8,
            _ => 4,
        };
        let strides = layout::row_major(dims);
        let column_major = dims.iter().scan(1i64, |next, &dim| {
            let expected = *next;
            *next = next.wrapping_mul(dim);
            Some(expected)
        });
        match layout::infer(dims, &strides, bytes) {
            Inferred::Known(Layout::Nz) => Layout::Nz,
            _ if column_major.eq(strides.iter().copied()) => Layout::Dn,
            _ => Layout::Nd,
        }
    }
}
