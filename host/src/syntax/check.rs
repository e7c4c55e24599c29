//! What must hold between operations, which no single one can tell while it is read: functions and their calls and
//! returns, loops and branches and what they yield, and the shape of operations that came in the generic form.
//!
//! Everything behind the reader relies on it: bodies exist where they must, terminators match, operands are there.

use std::collections::HashMap;

use pipewright_abi::ir::{Module, ModuleData, attr_kind, type_kind};
use pipewright_abi::target::{Target, TargetData, operand_flag};
use pipewright_abi::{BlockId, OpId, TextRange, TypeId, ValueId};

use super::arith;
use super::errors::counted;
use crate::diagnostic::{Diagnostic, did_you_mean};

/// Everything that is wrong with the module, in no order.
pub(super) fn check(module: &ModuleData, target: &TargetData) -> Vec<Diagnostic> {
    let m = module.view();
    let mut checker =
        Checker { m, target: target.view(), functions: HashMap::new(), diagnostics: Vec::new() };
    checker.collect_functions();
    for index in 1..m.t.ops.len() {
        checker.op(OpId::from_index(index));
    }
    checker.diagnostics
}

struct Checker<'a> {
    m: Module<'a>,
    target: Target<'a>,
    functions: HashMap<&'a str, OpId>,
    diagnostics: Vec<Diagnostic>,
}

/// One mistake; there may be more in the same operation, which are told when this one is mended.
type Checked = Result<(), Diagnostic>;

impl<'a> Checker<'a> {
    fn op(&mut self, op: OpId) {
        let name = self.m.op_name(op);
        let checked = match name {
            "builtin.module" => self.shape(op, Some(0), Some(0), 1..=1),
            "func.func" => self.function(op),
            "func.return" => self.function_return(op),
            "func.call" => self.call(op),
            "scf.for" => self.for_loop(op),
            "scf.if" => self.branch(op),
            "scf.while" => self.while_loop(op),
            "scf.index_switch" => self.index_switch(op),
            "scf.execute_region" => self.execute_region(op),
            "scf.yield" => {
                self.inside(op, &["scf.for", "scf.if", "scf.while", "scf.index_switch", "scf.execute_region"])
            }
            "scf.condition" => self.inside(op, &["scf.while"]),
            _ => match name.strip_prefix("arith.") {
                Some(operation) => self.arithmetic(op, operation),
                None => self.entry(op),
            },
        };
        if let Err(diagnostic) = checked {
            self.diagnostics.push(diagnostic);
        }
    }

    fn collect_functions(&mut self) {
        for function in self.m.functions() {
            let name = self.m.symbol(function);
            if name.is_empty() {
                continue;
            }
            if let Some(first) = self.functions.insert(name, function) {
                let message = format!("the function `@{name}` is defined twice");
                let diagnostic = Diagnostic::error("syntax::redefinition", message)
                    .label(self.m.op(function).name_span, "defined again here")
                    .label(self.m.op(first).name_span, "first defined here");
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn error(&self, op: OpId, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error("syntax::structure", message).label(self.m.op(op).name_span, "this operation")
    }

    // Shape

    /// Counts of operands, results and bodies; `None` is any.
    fn shape(
        &self,
        op: OpId,
        operands: Option<usize>,
        results: Option<usize>,
        bodies: core::ops::RangeInclusive<usize>,
    ) -> Checked {
        let record = self.m.op(op);
        let count = |what: &str, want: Option<usize>, have: u32| match want {
            Some(want) if want != have as usize => {
                let name = self.m.op_name(op);
                Err(self.error(op, format!("`{name}` has {}, not {have}", counted(want, what))))
            }
            _ => Ok(()),
        };
        count("operand", operands, record.operands.len)?;
        count("result", results, record.results.len)?;
        if !bodies.contains(&(record.bodies.len as usize)) {
            let (name, have) = (self.m.op_name(op), record.bodies.len);
            return Err(self.error(op, format!("`{name}` cannot have {have} bodies")));
        }
        Ok(())
    }

    /// The one block of a body, with arguments of these types.
    fn only_block(&self, op: OpId, body: usize, args: &[TypeId]) -> Result<BlockId, Diagnostic> {
        let name = self.m.op_name(op);
        let mut blocks = self.m.bodies(op).get(body).map(|b| self.m.blocks(b)).into_iter().flatten();
        let (Some(block), None) = (blocks.next(), blocks.next()) else {
            return Err(self.error(op, format!("a body of `{name}` is one block")));
        };
        let own: Vec<ValueId> = self.m.block_args(block).collect();
        if own.len() != args.len() {
            let wanted = counted(args.len(), "argument");
            let message = format!("a body of `{name}` takes {wanted} here, not {}", own.len());
            return Err(self.error(op, message));
        }
        for (&arg, &ty) in own.iter().zip(args) {
            self.same_type(self.m.value(arg).span, self.m.value(arg).ty, ty, "this argument", op)?;
        }
        Ok(block)
    }

    /// The block's last operation is `name` and hands on values of these types. Without values it may be absent.
    fn ends_with(&self, op: OpId, block: BlockId, name: &str, skip: usize, types: &[TypeId]) -> Checked {
        let ops = self.m.block_ops(block);
        let last = ops.last().copied().filter(|&last| self.m.op_name(last) == name);
        let Some(last) = last else {
            if types.is_empty() && skip == 0 {
                return Ok(());
            }
            let message = format!("a body of `{}` must end with `{name}`", self.m.op_name(op));
            return Err(self.error(op, message));
        };
        let operands = self.m.operands(last);
        if operands.len() != types.len() + skip {
            let (wanted, given) = (counted(types.len(), "value"), operands.len().saturating_sub(skip));
            let message = format!("`{name}` hands on {wanted} here, not {given}");
            let diagnostic = Diagnostic::error("syntax::structure", message);
            return Err(diagnostic
                .label(self.m.op(last).name_span, "this operation")
                .label(self.m.op(op).name_span, "as many as this has results or arguments"));
        }
        for (operand, &ty) in operands[skip..].iter().zip(types) {
            self.same_type(operand.span, self.m.value(operand.value).ty, ty, "this value", op)?;
        }
        Ok(())
    }

    fn same_type(&self, at: TextRange, own: TypeId, want: TypeId, what: &str, op: OpId) -> Checked {
        if own == want {
            return Ok(());
        }
        let text = |ty: TypeId| self.m.str(self.m.ty(ty).text);
        let message = format!("`{}` expects the type `{}` here", self.m.op_name(op), text(want));
        Err(Diagnostic::error("syntax::type-mismatch", message)
            .label(at, format!("{what} has the type `{}`", text(own)))
            .label(self.m.op(op).name_span, "expected by this"))
    }

    fn operand_types(&self, op: OpId) -> Vec<TypeId> {
        self.m.operands(op).iter().map(|o| self.m.value(o.value).ty).collect()
    }

    fn result_types(&self, op: OpId) -> Vec<TypeId> {
        self.m.results(op).map(|r| self.m.value(r).ty).collect()
    }

    /// The operation stands in one of these, as the last of its block.
    fn inside(&self, op: OpId, owners: &[&str]) -> Checked {
        let parent = self.m.parent(op);
        if !owners.contains(&self.m.op_name(parent)) {
            let owners: Vec<_> = owners.iter().map(|o| format!("`{o}`")).collect();
            let message = format!("`{}` stands only in {}", self.m.op_name(op), owners.join(", "));
            return Err(self.error(op, message));
        }
        self.is_last(op)
    }

    fn is_last(&self, op: OpId) -> Checked {
        let rest = self.m.block_ops(self.m.op(op).block);
        match rest.iter().position(|&o| o == op).and_then(|at| rest.get(at + 1)) {
            None => Ok(()),
            Some(&next) => {
                let message = format!("`{}` must be the last of its block", self.m.op_name(op));
                Err(self.error(op, message).label(self.m.op(next).name_span, "this follows"))
            }
        }
    }

    // Functions

    fn function(&self, op: OpId) -> Checked {
        self.shape(op, Some(0), Some(0), 0..=1)?;
        let parent = self.m.parent(op);
        if parent.is_some() && self.m.op_name(parent) != "builtin.module" {
            return Err(self.error(op, "a function stands in a module"));
        }
        if self.m.attr(op, "sym_name").is_none_or(|a| a.kind != attr_kind::STRING) {
            return Err(self.error(op, "a function needs a name (`sym_name`)"));
        }
        let Some((params, _)) = self.signature(op) else {
            return Err(self.error(op, "a function needs a type (`function_type`)"));
        };
        let entry = self.m.entry_block(op, 0);
        if entry.is_none() {
            return Ok(());
        }
        let args: Vec<ValueId> = self.m.block_args(entry).collect();
        if args.len() != params.len() {
            let (params, args) = (counted(params.len(), "parameter"), counted(args.len(), "argument"));
            let message = format!("a function of {params} with {args}");
            return Err(self.error(op, message));
        }
        for (&arg, &ty) in args.iter().zip(params) {
            self.same_type(self.m.value(arg).span, self.m.value(arg).ty, ty, "this argument", op)?;
        }
        Ok(())
    }

    fn signature(&self, function: OpId) -> Option<(&'a [TypeId], &'a [TypeId])> {
        let ty = self.m.ty(self.m.attr(function, "function_type").filter(|a| a.kind == attr_kind::TYPE)?.ty);
        let parts = ty.children.of(self.m.t.type_lists).split_at_checked(ty.detail as usize);
        if ty.kind == type_kind::FUNCTION { parts } else { None }
    }

    fn function_return(&self, op: OpId) -> Checked {
        self.shape(op, None, Some(0), 0..=0)?;
        let mut owner = self.m.parent(op);
        while owner.is_some() && self.m.op(owner).entry.is_some() {
            // A section of a function.
            owner = self.m.parent(owner);
        }
        let results =
            owner.get().filter(|&o| self.m.op_name(o) == "func.func").and_then(|o| self.signature(o));
        let Some((_, results)) = results else {
            return Err(self.error(op, "`return` stands only in a function"));
        };
        self.is_last(op)?;
        let own = self.operand_types(op);
        if own.len() != results.len() {
            let message =
                format!("the function returns {}, not {}", counted(results.len(), "value"), own.len());
            return Err(self.error(op, message).label(self.m.op(owner).name_span, "this function"));
        }
        for (operand, &want) in self.m.operands(op).iter().zip(results) {
            self.same_type(operand.span, self.m.value(operand.value).ty, want, "this value", owner)?;
        }
        Ok(())
    }

    fn call(&self, op: OpId) -> Checked {
        self.shape(op, None, None, 0..=0)?;
        let Some(callee) = self.m.text_attr(op, "callee") else {
            return Err(self.error(op, "a call names its function (`callee`)"));
        };
        let Some(&function) = self.functions.get(callee) else {
            let mut names: Vec<&str> = self.functions.keys().copied().collect();
            names.sort_unstable();
            let likely = did_you_mean(callee, names);
            let help = likely.map_or(String::new(), |likely| format!("did you mean `@{likely}`?"));
            return Err(self.error(op, format!("there is no function `@{callee}`")).help(help));
        };
        let Some((params, results)) = self.signature(function) else { return Ok(()) };
        if self.operand_types(op) != params || self.result_types(op) != results {
            let message = format!("`@{callee}` has another type than this call");
            return Err(self.error(op, message).label(self.m.op(function).name_span, "the function"));
        }
        Ok(())
    }

    // Structured control flow

    fn for_loop(&self, op: OpId) -> Checked {
        let types = self.operand_types(op);
        let Some((bounds @ &[lower, ..], inits)) = types.split_at_checked(3) else {
            return Err(self.error(op, "a loop needs bounds and a step"));
        };
        self.shape(op, None, Some(inits.len()), 1..=1)?;
        for (operand, &ty) in self.m.operands(op).iter().zip(bounds) {
            self.same_type(operand.span, ty, lower, "this bound", op)?;
        }
        if !matches!(self.m.ty(lower).kind, type_kind::INDEX | type_kind::INT) {
            return Err(self.error(op, "a loop counts in `index` or an integer type"));
        }
        for (operand, &want) in self.m.operands(op)[3..].iter().zip(&self.result_types(op)) {
            self.same_type(operand.span, self.m.value(operand.value).ty, want, "this value", op)?;
        }
        let args: Vec<TypeId> = core::iter::once(lower).chain(inits.iter().copied()).collect();
        let block = self.only_block(op, 0, &args)?;
        self.ends_with(op, block, "scf.yield", 0, inits)
    }

    /// The first operand is a truth value.
    fn condition(&self, op: OpId) -> Checked {
        let Some(operand) = self.m.operands(op).first() else {
            return Err(self.error(op, format!("`{}` needs a condition", self.m.op_name(op))));
        };
        let ty = self.m.type_of(operand.value);
        if ty.kind == type_kind::INT && ty.width == 1 {
            return Ok(());
        }
        let message = format!("a condition has the type `i1`, not `{}`", self.m.str(ty.text));
        Err(Diagnostic::error("syntax::type-mismatch", message).label(operand.span, "this condition"))
    }

    fn branch(&self, op: OpId) -> Checked {
        self.condition(op)?;
        self.shape(op, Some(1), None, 1..=2)?;
        let results = self.result_types(op);
        let has_else = self.m.entry_block(op, 1).is_some();
        if !has_else && !results.is_empty() {
            return Err(self.error(op, "a branch with results needs an `else`"));
        }
        for body in 0..=usize::from(has_else) {
            let block = self.only_block(op, body, &[])?;
            self.ends_with(op, block, "scf.yield", 0, &results)?;
        }
        Ok(())
    }

    fn while_loop(&self, op: OpId) -> Checked {
        self.shape(op, None, None, 2..=2)?;
        let before = self.only_block(op, 0, &self.operand_types(op))?;
        let results = self.result_types(op);
        self.ends_with(op, before, "scf.condition", 1, &results)?;
        if let Some(&last) = self.m.block_ops(before).last() {
            self.condition(last)?;
        }
        let after = self.only_block(op, 1, &results)?;
        self.ends_with(op, after, "scf.yield", 0, &self.operand_types(op))
    }

    fn index_switch(&self, op: OpId) -> Checked {
        let cases = self.m.attr(op, "cases").filter(|a| a.kind == attr_kind::ARRAY);
        let Some(cases) = cases.map(|a| a.children.len as usize) else {
            return Err(self.error(op, "a switch needs its cases (`cases`)"));
        };
        self.shape(op, Some(1), None, cases + 1..=cases + 1)?;
        for body in 0..=cases {
            let block = self.only_block(op, body, &[])?;
            self.ends_with(op, block, "scf.yield", 0, &self.result_types(op))?;
        }
        Ok(())
    }

    fn execute_region(&self, op: OpId) -> Checked {
        self.shape(op, Some(0), None, 1..=1)?;
        let block = self.only_block(op, 0, &[])?;
        self.ends_with(op, block, "scf.yield", 0, &self.result_types(op))
    }

    // Everything else

    fn arithmetic(&self, op: OpId, operation: &str) -> Checked {
        if !arith::is_known(operation) {
            return Err(self.error(op, format!("there is no operation `{}`", self.m.op_name(op))));
        }
        let (operands, results) = (arith::operand_count(operation), arith::result_count(operation));
        self.shape(op, Some(operands), Some(results), 0..=0)?;
        if operation == "constant" && self.m.attr(op, "value").is_none() {
            return Err(self.error(op, "a constant needs its `value`"));
        }
        if matches!(operation, "cmpi" | "cmpf") && self.m.text_attr(op, "predicate").is_none() {
            return Err(self.error(op, "a comparison needs its `predicate`"));
        }
        Ok(())
    }

    /// The table says how many results an operation has.
    fn entry(&self, op: OpId) -> Checked {
        let Some(entry) = self.m.op(op).entry.get() else { return Ok(()) };
        let specs = self.target.t.entries[entry.index()].results.of(self.target.t.operands);
        let loose = operand_flag::OPTIONAL | operand_flag::VARIADIC;
        let required = specs.iter().filter(|s| s.flags & loose == 0).count();
        let variadic = specs.iter().any(|s| s.flags & operand_flag::VARIADIC != 0);
        let have = self.m.op(op).results.len as usize;
        if have < required || (have > specs.len() && !variadic) {
            let message = format!("`{}` has {}, not {have}", self.m.op_name(op), counted(required, "result"));
            return Err(self.error(op, message));
        }
        Ok(())
    }
}
