//! Loops, branches and calls in their structured form.

use std::collections::HashSet;

use pipewright_abi::{BlockId, OpId, PassError, ValueId};

use crate::code::{Class, Expr, Item, NodeId};
use crate::function::{Lower, Value};
use crate::sync::Part;
use crate::tiles::Tile;
use crate::types::Ctype;

impl Lower<'_> {
    /// A counted loop. Without results it counts in `size_t` if its bounds are indices; with results its variables
    /// stand before it, and the counter is an ordinary number.
    pub(crate) fn for_loop(&mut self, op: OpId) -> Result<(), PassError> {
        let operands = self.m.operands(op);
        let block = self.m.entry_block(op, 0);
        if operands.len() < 3 || block.is_none() {
            return Err(self.error(op, "a loop needs bounds, a step and a body"));
        }
        if self.blocks[op.index()] {
            return self.for_blocks(op);
        }
        let [lower, upper, step] = [0, 1, 2].map(|i| operands[i].value);
        let results: Vec<ValueId> = self.m.results(op).collect();
        let args: Vec<ValueId> = self.m.block_args(block).collect();
        if args.len() != results.len() + 1 || operands.len() != results.len() + 3 {
            return Err(self.error(op, "a loop needs one initial value and one argument for each result"));
        }
        let (counter, bounds, variables) = if results.is_empty() {
            let bounds = [self.bound(op, lower)?, self.bound(op, upper)?, self.bound(op, step)?];
            let is_index = self.is_index(args[0]);
            let ty = if is_index { Ctype::SIZE } else { self.value_type(op, args[0])? };
            let class = if is_index { Class::Raw } else { Class::Plain };
            (self.code.name(ty, class), bounds, Vec::new())
        } else {
            let inits: Vec<ValueId> = operands[3..].iter().map(|o| o.value).collect();
            let variables = self.variables(op, &inits)?;
            let bounds = [lower, upper, step];
            let mut nodes = [NodeId(0); 3];
            for (node, bound) in nodes.iter_mut().zip(bounds) {
                *node = self.merged_operand(op, bound)?;
            }
            self.assign(op, &variables, &inits)?;
            let ty = self.value_type(op, args[0])?;
            (self.code.name(ty, Class::Counter), nodes, variables)
        };
        let [lower, upper, step] = bounds;
        self.set_value(args[0], Value::Node(counter));
        for (i, &variable) in variables.iter().enumerate() {
            self.bind_variable(args[i + 1], variable);
        }
        self.code.items.push(Item::For { counter, lower, upper, step });
        self.sync_loop_start(op)?;
        let end = self.block(block)?;
        self.sync_loop_end(op)?;
        self.yield_to(op, end, &variables)?;
        self.code.items.push(Item::End);
        for (&result, &variable) in results.iter().zip(&variables) {
            self.bind_variable(result, variable);
        }
        Ok(())
    }

    /// A branch.
    pub(crate) fn branch(&mut self, op: OpId) -> Result<(), PassError> {
        if self.blocks[op.index()] {
            return self.branch_blocks(op);
        }
        let condition = self.condition(op)?;
        let results: Vec<ValueId> = self.m.results(op).collect();
        let blocks = [self.m.entry_block(op, 0), self.m.entry_block(op, 1)];
        let variables = self.result_variables(op, &results)?;
        self.code.items.push(Item::If(condition));
        self.part(op, Part::Then, blocks[0], &variables)?;
        if blocks[1].is_some() || self.has_else_sync(op) {
            self.code.items.push(Item::Else);
            self.part(op, Part::Else, blocks[1], &variables)?;
        }
        self.code.items.push(Item::End);
        for (&result, &variable) in results.iter().zip(&variables) {
            self.bind_variable(result, variable);
        }
        Ok(())
    }

    pub(crate) fn condition(&mut self, op: OpId) -> Result<NodeId, PassError> {
        let value = self.m.operand(op, 0);
        if value.is_none() {
            return Err(self.error(op, "a branch needs a condition"));
        }
        self.arith_operand(op, value)
    }

    /// One part of a branch, which assigns what it yields to the variables.
    pub(crate) fn part(
        &mut self,
        op: OpId,
        part: Part,
        block: BlockId,
        variables: &[NodeId],
    ) -> Result<(), PassError> {
        self.sync_part_start(op, part)?;
        let end = if block.is_some() { self.block(block)? } else { None };
        self.sync_part_end(op, part)?;
        self.yield_to(op, end, variables)
    }

    /// Declares a variable for each value, of its type.
    fn variables(&mut self, op: OpId, values: &[ValueId]) -> Result<Vec<NodeId>, PassError> {
        let mut variables = Vec::with_capacity(values.len());
        for &value in values {
            let ty = self.variable_type(op, value)?;
            variables.push(self.code.declare(ty, Class::Variable));
        }
        Ok(variables)
    }

    /// Declares a variable for each result of a branch. Of a tile only its parts know the full type, so it is put
    /// right by the first assignment.
    pub(crate) fn result_variables(
        &mut self,
        op: OpId,
        results: &[ValueId],
    ) -> Result<Vec<NodeId>, PassError> {
        let mut variables = Vec::with_capacity(results.len());
        for &result in results {
            let is_tile = self.m.tile(self.m.type_of(result)).is_some();
            let ty = if is_tile { Ctype::VOID } else { self.value_type(op, result)? };
            variables.push(self.code.declare(ty, Class::Variable));
        }
        Ok(variables)
    }

    pub(crate) fn variable_type(&mut self, op: OpId, value: ValueId) -> Result<Ctype, PassError> {
        if self.m.tile(self.m.type_of(value)).is_some() {
            let tile = self.tile_object(op, value)?;
            return Ok(self.code.ty(tile));
        }
        self.value_type(op, value)
    }

    /// Makes a variable the meaning of a value.
    pub(crate) fn bind_variable(&mut self, value: ValueId, variable: NodeId) {
        let meaning = match self.m.tile(self.m.type_of(value)) {
            Some(_) => Value::Tile(Box::new(Tile::of_object(self.m.value(value).ty, variable))),
            None => Value::Node(variable),
        };
        self.set_value(value, meaning);
    }

    /// Assigns what a terminator yields.
    pub(crate) fn yield_to(
        &mut self,
        op: OpId,
        end: Option<OpId>,
        variables: &[NodeId],
    ) -> Result<(), PassError> {
        if variables.is_empty() {
            return Ok(());
        }
        let values: Vec<ValueId> = match end {
            Some(end) => self.m.operands(end).iter().map(|o| o.value).collect(),
            None => Vec::new(),
        };
        if values.len() != variables.len() {
            return Err(self.error(op, "each part must yield one value for each result"));
        }
        self.assign(op, variables, &values)
    }

    /// Assigns values to variables, as if all at once.
    pub(crate) fn assign(
        &mut self,
        op: OpId,
        variables: &[NodeId],
        values: &[ValueId],
    ) -> Result<(), PassError> {
        let mut nodes = Vec::with_capacity(values.len());
        for (&variable, &value) in variables.iter().zip(values) {
            let node = if self.m.tile(self.m.type_of(value)).is_some() {
                self.tile_object(op, value)?
            } else {
                self.merged_operand(op, value)?
            };
            let expected = self.code.ty(variable);
            if expected == Ctype::VOID {
                self.code.nodes[variable.index()].ty = self.code.ty(node);
            } else if expected != self.code.ty(node) && self.m.tile(self.m.type_of(value)).is_some() {
                let message = "the tiles that meet here differ in their C++ type";
                return Err(self
                    .error(op, message)
                    .with_help("give them the same layout and the same valid size, static or dynamic"));
            }
            nodes.push(node);
        }
        // A variable that is overwritten before it is read is copied first.
        let mut assigned = HashSet::new();
        for (node, &variable) in nodes.iter_mut().zip(variables) {
            if assigned.contains(node) {
                let pieces = self.code.write(|w| {
                    w.node(*node);
                });
                *node = self.code.define_text(pieces, self.code.ty(*node));
            }
            assigned.insert(variable);
        }
        for (&to, &from) in variables.iter().zip(&nodes) {
            if to != from {
                self.code.items.push(Item::Assign { to, from });
            }
        }
        Ok(())
    }

    /// A call of a function of the program.
    pub(crate) fn call(&mut self, op: OpId) -> Result<(), PassError> {
        let Some(callee) = self.m.text_attr(op, "callee") else {
            return Err(self.error(op, "a call needs the name of a function"));
        };
        let mut arguments = Vec::new();
        for operand in self.m.operands(op) {
            let node = self.arith_operand(op, operand.value)?;
            let expected = self.value_type(op, operand.value)?;
            // The data of a bias tile is a number, though its parameter is a pointer.
            let is_tile = self.m.tile(self.m.type_of(operand.value)).is_some();
            arguments.push(if is_tile && self.code.ty(node) != expected {
                let callee = format!("reinterpret_cast<{}>(", self.types.text(expected));
                self.call_text(&callee, &[node], expected)
            } else {
                node
            });
        }
        let pieces = self.code.write(|w| {
            w.text(callee).text("(").list(&arguments).text(")");
        });
        match self.m.results(op).len() {
            0 => self.code.statement(pieces),
            1 => {
                let result = self.m.result(op, 0);
                let ty = self.value_type(op, result)?;
                let node = self.code.define_effect(Expr::Call(pieces), ty);
                self.set_value(result, Value::Node(node));
            }
            _ => return Err(self.error(op, "a function returns one value at most")),
        }
        Ok(())
    }
}
