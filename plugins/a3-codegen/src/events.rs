//! Arrays of event ids on the stack.

use pipewright_abi::{OpId, PassError, ValueId};

use crate::code::{Class, NodeId};
use crate::function::{Element, Lower, Value};

impl Lower<'_> {
    pub(crate) fn event_array(&mut self, op: OpId) -> Result<(), PassError> {
        self.helpers.event_array = true;
        let result = self.m.result(op, 0);
        let ty = self.value_type(op, result)?;
        let node = self.code.declare(ty, Class::Plain);
        self.set_value(result, Value::Node(node));
        Ok(())
    }

    /// The element is copied here. A use in the same block before the next write reads the array itself instead, and
    /// then the copy is not printed.
    pub(crate) fn event_array_get(&mut self, op: OpId) -> Result<(), PassError> {
        let array = self.node(op, self.m.operand(op, 0))?;
        let index = self.op_operand(op, self.m.operand(op, 1))?;
        let result = self.m.result(op, 0);
        let ty = self.value_type(op, result)?;
        let pieces = self.code.write(|w| {
            w.node(array).text("[").node(index).text("]");
        });
        let copy = self.code.define_text(pieces, ty);
        let writes = self.array_writes.get(&array).copied().unwrap_or(0);
        self.elements.insert(result, Element { array, index, writes, block: self.m.op(op).block });
        self.set_value(result, Value::Node(copy));
        Ok(())
    }

    pub(crate) fn event_array_set(&mut self, op: OpId) -> Result<(), PassError> {
        let array = self.node(op, self.m.operand(op, 0))?;
        *self.array_writes.entry(array).or_default() += 1;
        self.table_operation(op)
    }

    /// The array and index to read a value from again, if it is the same still.
    pub(crate) fn element_again(&self, op: OpId, value: ValueId) -> Option<(NodeId, NodeId)> {
        let element = self.elements.get(&value)?;
        let writes = self.array_writes.get(&element.array).copied().unwrap_or(0);
        let same = writes == element.writes && self.m.op(op).block == element.block;
        same.then_some((element.array, element.index))
    }
}
