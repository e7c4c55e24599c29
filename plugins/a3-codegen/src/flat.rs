//! Control flow as basic blocks and `goto`: `while` and `index_switch`, and every loop and branch of a function that
//! has one of them inside a loop or branch.
//!
//! What varies is held in variables. Values that the head of a loop hands on need no copies, because the head
//! stands before both the body and the exit on every path.

use pipewright_abi::ir::Module;
use pipewright_abi::{BlockId, OpId, PassError, ValueId};

use crate::code::{Item, NodeId, Op};
use crate::function::{Lower, Value};
use crate::sync::Part;

/// Whether the operation exists only as basic blocks.
fn is_flat(module: &Module<'_>, op: OpId) -> bool {
    matches!(module.op_name(op), "scf.while" | "scf.index_switch")
}

/// Finds what must become basic blocks in a function, marks it in `blocks`, and says whether there is anything.
pub(crate) fn find(module: &Module<'_>, function: OpId, blocks: &mut [bool]) -> bool {
    let mut structured = Vec::new();
    let (mut any, mut nested) = (false, false);
    let mut open: Vec<(BlockId, bool)> = vec![(module.entry_block(function, 0), false)];
    while let Some((block, inside)) = open.pop() {
        if block.is_none() {
            continue;
        }
        for &op in module.block_ops(block) {
            let is_structured = matches!(module.op_name(op), "scf.for" | "scf.if");
            if is_structured {
                structured.push(op);
            }
            if is_flat(module, op) {
                any = true;
                nested |= inside;
            }
            for body in module.bodies(op) {
                open.extend(module.blocks(body).map(|inner| (inner, inside || is_structured)));
            }
        }
    }
    if nested {
        for op in structured {
            blocks[op.index()] = true;
        }
    }
    any
}

impl Lower<'_> {
    fn goto(&mut self, label: u32) {
        self.code.items.push(Item::Goto(label));
    }

    fn place_label(&mut self, label: u32) {
        self.code.items.push(Item::Label(label));
        self.last_barrier = None;
    }

    fn head_condition(&mut self, condition: NodeId, yes: u32, no: u32) {
        self.code.items.push(Item::Branch { condition, yes, no });
    }

    /// A variable for each value, of its type.
    fn block_arguments(&mut self, op: OpId, values: &[ValueId]) -> Result<Vec<NodeId>, PassError> {
        let mut variables = Vec::with_capacity(values.len());
        for &value in values {
            let ty = self.variable_type(op, value)?;
            variables.push(self.code.block_argument(ty));
        }
        Ok(variables)
    }

    /// A loop that tests before each trip: head, test, body, and back to the head.
    pub(crate) fn while_loop(&mut self, op: OpId) -> Result<(), PassError> {
        let inits: Vec<ValueId> = self.m.operands(op).iter().map(|o| o.value).collect();
        let (before, after) = (self.m.entry_block(op, 0), self.m.entry_block(op, 1));
        if before.is_none() || after.is_none() {
            return Err(self.error(op, "a while loop needs a head and a body"));
        }
        let head_args: Vec<ValueId> = self.m.block_args(before).collect();
        let body_args: Vec<ValueId> = self.m.block_args(after).collect();
        let results: Vec<ValueId> = self.m.results(op).collect();
        if head_args.len() != inits.len() {
            return Err(self.error(op, "the head of a while loop needs one argument for each initial value"));
        }
        let [head, body, exit] = [self.code.label(), self.code.label(), self.code.label()];
        let variables = self.block_arguments(op, &inits)?;
        self.assign(op, &variables, &inits)?;
        for (&arg, &variable) in head_args.iter().zip(&variables) {
            self.bind_variable(arg, variable);
        }
        self.goto(head);
        self.place_label(head);
        self.sync_loop_start(op)?;
        let end = self.block(before)?;
        let test = end.filter(|&end| self.m.op_name(end) == "scf.condition");
        let Some(test) = test else {
            return Err(self.error(op, "the head of a while loop must end in `scf.condition`"));
        };
        let operands: Vec<ValueId> = self.m.operands(test).iter().map(|o| o.value).collect();
        let Some((&condition, handed_on)) = operands.split_first() else {
            return Err(self.error(test, "`scf.condition` needs a condition"));
        };
        if handed_on.len() != body_args.len() || handed_on.len() != results.len() {
            return Err(self.error(test, "`scf.condition` must hand on one value for each result"));
        }
        let condition = self.arith_operand(test, condition)?;
        self.head_condition(condition, body, exit);
        self.place_label(body);
        for (i, &value) in handed_on.iter().enumerate() {
            let value = self.value(value).clone();
            self.set_value(body_args[i], value.clone());
            self.set_value(results[i], value);
        }
        let end = self.block(after)?;
        self.sync_loop_end(op)?;
        self.yield_to(op, end, &variables)?;
        self.goto(head);
        self.place_label(exit);
        Ok(())
    }

    /// A counted loop as basic blocks.
    pub(crate) fn for_blocks(&mut self, op: OpId) -> Result<(), PassError> {
        let operands = self.m.operands(op);
        let block = self.m.entry_block(op, 0);
        let args: Vec<ValueId> = self.m.block_args(block).collect();
        let results: Vec<ValueId> = self.m.results(op).collect();
        if args.len() != results.len() + 1 || operands.len() != results.len() + 3 {
            return Err(self.error(op, "a loop needs one initial value and one argument for each result"));
        }
        let inits: Vec<ValueId> = operands[3..].iter().map(|o| o.value).collect();
        let [head, body, exit] = [self.code.label(), self.code.label(), self.code.label()];
        let ty = self.value_type(op, args[0])?;
        let counter = self.code.block_argument(ty);
        let variables = self.block_arguments(op, &inits)?;
        let lower = self.merged_operand(op, operands[0].value)?;
        self.code.items.push(Item::Assign { to: counter, from: lower });
        self.assign(op, &variables, &inits)?;
        self.set_value(args[0], Value::Node(counter));
        for (i, &variable) in variables.iter().enumerate() {
            self.bind_variable(args[i + 1], variable);
        }
        self.goto(head);
        self.place_label(head);
        let upper = self.merged_operand(op, operands[1].value)?;
        let again = self.code.compare(Op::Lt, counter, upper);
        self.head_condition(again, body, exit);
        self.place_label(body);
        self.sync_loop_start(op)?;
        let end = self.block(block)?;
        self.sync_loop_end(op)?;
        self.yield_to(op, end, &variables)?;
        let step = self.merged_operand(op, operands[2].value)?;
        let next = self.code.binary(Op::Add, counter, step, ty);
        self.code.items.push(Item::Assign { to: counter, from: next });
        self.goto(head);
        self.place_label(exit);
        for (&result, &variable) in results.iter().zip(&variables) {
            self.bind_variable(result, variable);
        }
        Ok(())
    }

    /// A branch as basic blocks.
    pub(crate) fn branch_blocks(&mut self, op: OpId) -> Result<(), PassError> {
        let condition = self.condition(op)?;
        let results: Vec<ValueId> = self.m.results(op).collect();
        let [then_block, else_block] = [self.m.entry_block(op, 0), self.m.entry_block(op, 1)];
        let variables = self.result_variables(op, &results)?;
        let has_else = else_block.is_some() || self.has_else_sync(op);
        let (yes, join) = (self.code.label(), self.code.label());
        let no = if has_else { self.code.label() } else { join };
        self.head_condition(condition, yes, no);
        self.place_label(yes);
        self.part(op, Part::Then, then_block, &variables)?;
        self.goto(join);
        if has_else {
            self.place_label(no);
            self.part(op, Part::Else, else_block, &variables)?;
            self.goto(join);
        }
        self.place_label(join);
        for (&result, &variable) in results.iter().zip(&variables) {
            self.bind_variable(result, variable);
        }
        Ok(())
    }

    /// A choice among several bodies: tests in a row, then the bodies, which all go on at the same place.
    pub(crate) fn index_switch(&mut self, op: OpId) -> Result<(), PassError> {
        let argument = self.m.operand(op, 0);
        let cases = self.int_list(op, "cases");
        let bodies: Vec<BlockId> = (0..self.m.bodies(op).len()).map(|i| self.m.entry_block(op, i)).collect();
        let Some((&default, bodies)) = bodies.split_first().filter(|(_, rest)| rest.len() == cases.len())
        else {
            return Err(self.error(op, "a switch needs a default and one body for each case"));
        };
        let argument = self.arith_operand(op, argument)?;
        let results: Vec<ValueId> = self.m.results(op).collect();
        let variables = self.result_variables(op, &results)?;
        let labels: Vec<u32> = cases.iter().map(|_| self.code.label()).collect();
        let (otherwise, join) = (self.code.label(), self.code.label());
        for (i, (&case, &label)) in cases.iter().zip(&labels).enumerate() {
            let last = i + 1 == cases.len();
            let next = if last { otherwise } else { self.code.label() };
            let case = self.code.integer(self.code.ty(argument), case);
            let equal = self.code.compare(Op::Eq, argument, case);
            self.head_condition(equal, label, next);
            if !last {
                self.place_label(next);
            }
        }
        if cases.is_empty() {
            self.goto(otherwise);
        }
        let parts = bodies.iter().copied().zip(labels).chain([(default, otherwise)]);
        for (block, label) in parts {
            self.place_label(label);
            let end = if block.is_some() { self.block(block)? } else { None };
            self.yield_to(op, end, &variables)?;
            self.goto(join);
        }
        self.place_label(join);
        for (&result, &variable) in results.iter().zip(&variables) {
            self.bind_variable(result, variable);
        }
        Ok(())
    }

    /// A region that is executed where it stands.
    pub(crate) fn execute_region(&mut self, op: OpId) -> Result<(), PassError> {
        if self.m.bodies(op).first().is_none_or(|body| body.blocks.len != 1) {
            return Err(self.error(op, "a region of several blocks is not translated"));
        }
        let end = self.block(self.m.entry_block(op, 0))?;
        let results: Vec<ValueId> = self.m.results(op).collect();
        let values: Vec<ValueId> =
            end.map(|end| self.m.operands(end).iter().map(|o| o.value).collect()).unwrap_or_default();
        if values.len() != results.len() {
            return Err(self.error(op, "the region must yield one value for each result"));
        }
        for (&result, value) in results.iter().zip(values) {
            let value = self.value(value).clone();
            self.set_value(result, value);
        }
        Ok(())
    }
}
