//! Communication with other devices: groups of views, and sessions for asynchronous copies.

use pipewright_abi::{OpId, PassError, ValueId};

use crate::code::{Class, Expr, Item, NodeId};
use crate::function::{Lower, Value};
use crate::types::Ctype;

impl Lower<'_> {
    /// An operation of a group: the group's views in an array, the group, the call.
    pub(crate) fn collective(&mut self, op: OpId) -> Result<(), PassError> {
        self.helpers.communication = true;
        let members = self.operands_named(op, "group");
        let Some(root) = self.m.int_attr(op, "root") else {
            return Err(self.error(op, "an operation of a group needs its `root`"));
        };
        let mut operands = Vec::new();
        for name in ["src", "dst", "acc", "ping", "pong", "recvPing", "recvPong"] {
            if let Some(value) = self.operand_named(op, name) {
                operands.push(self.operand_node(op, value)?);
            }
        }
        let group = self.group(op, &members, root)?;
        operands.insert(0, group);
        let name = self.m.op_name(op);
        if name == "pto.comm.treduce" {
            operands.push(self.reduce_operator(op)?);
        }
        let callee = name.trim_start_matches("pto.comm.").to_ascii_uppercase();
        let pieces = self.code.write(|w| {
            w.text("pto::comm::").text(&callee).text("(").list(&operands).text(")");
        });
        self.code.statement(pieces);
        Ok(())
    }

    fn group(&mut self, op: OpId, members: &[ValueId], root: i64) -> Result<NodeId, PassError> {
        let mut tensors = Vec::new();
        for &member in members {
            tensors.push(self.tensor_of(op, member)?);
        }
        let Some(&first) = tensors.first() else {
            return Err(self.error(op, "a group needs at least one view"));
        };
        let ty = self.code.ty(first);
        if tensors.iter().any(|&tensor| self.code.ty(tensor) != ty) {
            return Err(self
                .error(op, "the views of a group differ in their C++ type")
                .with_help("give them the same static sizes, strides and layout"));
        }
        let array = self.code.name(ty, Class::Plain);
        self.code.items.push(Item::DeclareArray(array, tensors.len() as u32));
        for (i, &tensor) in tensors.iter().enumerate() {
            let index = self.code.integer(Ctype::INT, i as i64);
            let pieces = self.code.write(|w| {
                w.node(array).text("[").node(index).text("] = ").node(tensor);
            });
            self.code.statement(pieces);
        }
        let count = self.code.integer(Ctype::INT, tensors.len() as i64);
        let root = self.code.integer(Ctype::INT, root);
        let text = format!("pto::comm::ParallelGroup<{}>", self.types.text(ty));
        let group = self.types.intern(&text);
        let pieces = self.code.write(|w| {
            w.ty(group).text("::Create(").list(&[array, count, root]).text(")");
        });
        Ok(self.code.define_effect(Expr::Text(pieces), group))
    }

    fn reduce_operator(&mut self, op: OpId) -> Result<NodeId, PassError> {
        let target = self.target;
        let text = self.m.text_attr(op, "reduceOp").unwrap_or_default();
        let found = target.find_enum("reduce_op").and_then(|kind| {
            let values = kind.values.of(target.t.enum_values);
            let value = match self.m.int_attr(op, "reduceOp") {
                Some(number) => values.iter().find(|v| v.value == number),
                None => values.iter().find(|v| target.str(v.text) == text),
            };
            value.map(|value| (target.str(kind.cpp), target.str(value.symbol)))
        });
        let Some((ty, symbol)) = found else {
            return Err(self.error(op, "the `reduceOp` is not known"));
        };
        let ctype = self.types.intern(ty);
        Ok(self.code.initializer(ctype, &format!("{ty}::{symbol}")))
    }

    /// A session for asynchronous copies, with the engine's configuration.
    pub(crate) fn async_session(&mut self, op: OpId) -> Result<(), PassError> {
        self.helpers.communication = true;
        let result = self.m.result(op, 0);
        let ty = self.types.intern("pto::comm::AsyncSession");
        let session = self.code.declare(ty, Class::Plain);
        let number = |name: &str, default: i64| self.m.int_attr(op, name).unwrap_or(default);
        let configuration = format!(
            "{{{}ULL, {}ULL, {}u}}",
            number("block_bytes", 32768),
            number("comm_block_offset", 0),
            number("queue_num", 1)
        );
        let sync = format!("{}u", number("sync_id", 0));
        let channels = match self.m.int_attr(op, "channel_group_idx") {
            Some(index) => format!("{index}u"),
            None => "UINT32_MAX".into(),
        };
        let (Some(scratch), Some(workspace)) =
            (self.operand_named(op, "scratch"), self.operand_named(op, "workspace"))
        else {
            return Err(self.error(op, "a session needs a scratch tile and a workspace"));
        };
        let scratch = self.tile_object(op, scratch)?;
        let workspace = self.node(op, workspace)?;
        let bytes = self.types.intern("__gm__ uint8_t*");
        let workspace = self.code.cast(bytes, workspace);
        let config_type = self.types.intern("pto::comm::sdma::SdmaBaseConfig");
        let pieces = self.code.write(|w| {
            w.text(&configuration);
        });
        let config = self.code.define_effect(Expr::Text(pieces), config_type);
        let pieces = self.code.write(|w| {
            w.text("pto::comm::BuildAsyncSession<pto::comm::DmaEngine::SDMA>(");
            w.list(&[scratch, workspace, session]).text(", ").text(&sync).text(", ").node(config);
            w.text(", ").text(&channels).text(")");
        });
        self.code.statement(pieces);
        self.set_value(result, Value::Node(session));
        Ok(())
    }
}
