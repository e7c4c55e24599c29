//! What operations on a pipe between cores print: its construction, and the exchange of tiles and of slots as views.

use pipewright_abi::ir::DYNAMIC;
use pipewright_abi::{OpId, PassError, ValueId};

use crate::code::{Class, Expr, NodeId, Op};
use crate::fifo::{consumer_buffers, named, split_of};
use crate::function::{Lower, Value};
use crate::layout::{Layout, RANK, pad, row_major};
use crate::tiles::Tile;
use crate::types::Ctype;
use crate::views::{Kind, View};

impl Lower<'_> {
    /// The address of a reserved buffer is a number.
    pub(crate) fn reserved_buffer(&mut self, op: OpId) -> Result<(), PassError> {
        let Some(&base) = self.fifo.bases.get(&op) else {
            return Err(self.error(op, "the address of this buffer is not known").with_help(
                "give the `base` where the buffer is reserved, or run a stage that plans memory",
            ));
        };
        let node = self.code.integer(Ctype::I32, base);
        self.set_value(self.m.result(op, 0), Value::Node(node));
        Ok(())
    }

    /// `auto p = TPipe<..>(slots, buffer of the vector cores, buffer of the cube core);`
    pub(crate) fn initialize_pipe(&mut self, op: OpId) -> Result<(), PassError> {
        let Some(&end) = self.fifo.ends.get(&op) else {
            return Err(self.error(op, "this pipe has no flags"));
        };
        if self.code.labels > 0 {
            return Err(self
                .error(op, "a pipe must be initialized before any `while` or `index_switch` of its function")
                .with_help("move the initialization to the start of the function"));
        }
        let (m, target) = (self.m, self.target);
        let slot_tensor = named(&m, &target, op, "gm_slot_tensor");
        let memory = slot_tensor
            .or_else(|| named(&m, &target, op, "gm_slot_buffer"))
            .or_else(|| named(&m, &target, op, "gm_addr"));
        let Some(memory) = memory else {
            return Err(self
                .error(op, "a pipe needs a buffer for its slots in global memory on this target")
                .with_help("give `gm_slot_buffer` or `gm_slot_tensor`"));
        };
        let memory = self.node(op, memory)?;
        let mut buffers = [self.code.integer(Ctype::I32, 0); 2];
        if slot_tensor.is_none() {
            for (direction, value) in consumer_buffers(&m, &target, op, end.directions) {
                if let Some(value) = value {
                    buffers[direction as usize - 1] = self.arith_operand(op, value)?;
                }
            }
        }
        let direction = ["DIR_C2V", "DIR_V2C", "DIR_BOTH"][end.directions as usize - 1];
        let ty = self.types.intern(&format!(
            "TPipe<{}, Direction::{direction}, {}, {}, {}, {}>",
            end.flag, end.slot_size, end.slots, end.local_slots, end.no_split
        ));
        let pieces = self.code.write(|w| {
            w.ty(ty).text("(").list(&[memory, buffers[0], buffers[1]]).text(")");
        });
        let node = self.code.define_effect(Expr::Text(pieces), Ctype::AUTO);
        if m.results(op).len() > 0 {
            self.set_value(m.result(op, 0), Value::Pipe(node, ty));
        } else {
            let slots = match slot_tensor {
                Some(value) => Some(self.view(op, value)?),
                None => None,
            };
            self.pipes.insert(m.int_attr(op, "id").unwrap_or(0), (node, ty, slots));
        }
        Ok(())
    }

    /// The pipe that an operation works on, and its type.
    pub(crate) fn pipe_of(&mut self, op: OpId) -> Result<(NodeId, Ctype), PassError> {
        if let Some(handle) = self.operand_named(op, "pipe_handle") {
            return match self.value(handle) {
                Value::Pipe(node, ty) => Ok((*node, *ty)),
                _ => Err(self.error(op, "a pipe that this function initialized is needed here")),
            };
        }
        let id = self.m.int_attr(op, "id").unwrap_or(0);
        match self.pipes.get(&id) {
            Some(&(node, ty, _)) => Ok((node, ty)),
            None => Err(self
                .error(op, &format!("no pipe with id {id} was initialized before"))
                .with_help("initialize it with `pto.aic_initialize_pipe` or `pto.aiv_initialize_pipe`")),
        }
    }

    /// Declares what an operation on a pipe gives: a tile, or a slot as a view.
    pub(crate) fn declare_popped(&mut self, op: OpId) -> Result<(), PassError> {
        let result = self.m.result(op, 0);
        if self.m.tile(self.m.type_of(result)).is_some() {
            let given = [self.operand_named(op, "valid_row"), self.operand_named(op, "valid_col")];
            let object = self.unplaced_tile(op, result, given)?;
            let tile = Tile::of_object(self.m.value(result).ty, object);
            self.set_value(result, Value::Tile(Box::new(tile)));
            return Ok(());
        }
        let id = self.m.int_attr(op, "id").unwrap_or(0);
        let slots = self.pipes.get(&id).and_then(|(_, _, slots)| slots.clone());
        self.entry_view(op, result, slots)
    }

    /// A declared view that an operation on a pipe binds.
    pub(crate) fn declare_entry(&mut self, op: OpId) -> Result<(), PassError> {
        self.entry_view(op, self.m.result(op, 0), None)
    }

    fn entry_view(&mut self, op: OpId, result: ValueId, slots: Option<View>) -> Result<(), PassError> {
        let record = self.m.type_of(result);
        let dims = self.m.dims(record).to_vec();
        if dims.is_empty() || dims.len() > RANK || dims.contains(&DYNAMIC) {
            return Err(self.error(op, "a slot as a view needs one to five static extents"));
        }
        let given = slots.and_then(|view| {
            let strides: Option<Vec<i64>> = view.strides.iter().map(|&s| self.code.constant(s)).collect();
            strides.filter(|s| s.len() == dims.len())
        });
        let strides = given.unwrap_or_else(|| row_major(&dims));
        let number = |lower: &mut Self, n: i64| lower.code.integer(Ctype::I32, n);
        let sizes: Vec<NodeId> = dims.iter().map(|&n| number(self, n)).collect();
        let stride_nodes: Vec<NodeId> = strides.iter().map(|&n| number(self, n)).collect();
        let Some(element) = self.types.element(&self.m, record.element) else {
            return Err(self.error(op, "elements of this type have no form in C++"));
        };
        let (size, stride) = pad(&dims, &strides);
        let list = |numbers: [i64; 5]| numbers.map(|n| n.to_string()).join(", ");
        let text = format!(
            "GlobalTensor<{}, pto::Shape<{}>, pto::Stride<{}>, pto::Layout::ND>",
            self.types.text(element),
            list(size),
            list(stride)
        );
        let ty = self.types.intern(&text);
        let object = self.code.declare(ty, Class::Plain);
        let view = View {
            kind: Kind::Entry,
            base: object,
            address: None,
            element: record.element,
            sizes,
            strides: stride_nodes,
            layout: Layout::Nd,
            object: Some(object),
        };
        self.set_value(result, Value::View(Box::new(view)));
        Ok(())
    }

    /// `TPOP` or `TALLOC` of what was declared.
    pub(crate) fn take_slot(&mut self, op: OpId, callee: &str) -> Result<(), PassError> {
        let (pipe, pipe_type) = self.pipe_of(op)?;
        let value = self.operand_named(op, "tile").unwrap_or_else(|| self.m.result(op, 0));
        let object = self.operand_node(op, value)?;
        let split = split_of(&self.m, &self.target, op);
        let axis = match split {
            Some(0) => "TILE_NO_SPLIT",
            Some(1) => "TILE_UP_DOWN",
            Some(2) => "TILE_LEFT_RIGHT",
            _ => return Err(self.error(op, "`split` must be 0 (none), 1 (by rows) or 2 (by columns)")),
        };
        let ty = self.code.ty(object);
        let pieces = self.code.write(|w| {
            w.text(callee).text("<").ty(pipe_type).text(", ").ty(ty).text(", TileSplitAxis::").text(axis);
            w.text(">(").list(&[pipe, object]).text(")");
        });
        self.code.statement(pieces);
        Ok(())
    }

    /// A part of a slot: a pointer into it, moved by the offsets.
    pub(crate) fn entry_part(
        &mut self,
        op: OpId,
        source: View,
        offsets: &[NodeId],
        sizes: Vec<NodeId>,
    ) -> Result<(), PassError> {
        if sizes.iter().any(|&size| self.code.constant(size).is_none()) {
            return Err(self.error(op, "a part of a slot needs constant sizes"));
        }
        let Some(element) = self.types.element(&self.m, source.element) else {
            return Err(self.error(op, "elements of this type have no form in C++"));
        };
        self.helpers.entry_data = true;
        let text = format!("__gm__ {}*", self.types.text(element));
        let pointer_type = self.types.intern(&text);
        let start = self.call_text("PTOAS__GLOBAL_TENSOR_DATA(", &[source.base], pointer_type);
        let (tensor, address) = self.tensor(op, &source, &sizes, |lower| {
            let mut constant = 0i64;
            let mut terms = Vec::new();
            for (&offset, &stride) in offsets.iter().zip(&source.strides) {
                let stride = lower.code.constant(stride).unwrap_or(0);
                match lower.code.constant(offset) {
                    Some(number) => constant = constant.wrapping_add(number.wrapping_mul(stride)),
                    None => terms.push((offset, stride)),
                }
            }
            if constant == 0 && terms.is_empty() {
                return start;
            }
            let mut sum = lower.code.unsigned(constant);
            for (offset, stride) in terms {
                let mut term = lower.code.cast(Ctype::UNSIGNED, offset);
                if stride != 1 {
                    let stride = lower.code.unsigned(stride);
                    term = lower.code.binary(Op::Mul, term, stride, Ctype::UNSIGNED);
                }
                sum = lower.code.binary(Op::Add, sum, term, Ctype::UNSIGNED);
            }
            lower.code.binary(Op::Add, start, sum, pointer_type)
        })?;
        let view = View {
            kind: Kind::Part,
            base: start,
            address: Some(address),
            sizes,
            object: Some(tensor),
            ..source
        };
        self.set_value(self.m.result(op, 0), Value::View(Box::new(view)));
        Ok(())
    }
}
