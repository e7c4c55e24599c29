//! Structured control flow: `scf.for`, `scf.if`, `scf.while`, `scf.index_switch`, `scf.execute_region`.

use pipewright_abi::ir::{Attr, AttrValue, attr_kind};
use pipewright_abi::{StrId, TextRange, TypeId};

use super::errors::{Parsed, counted};
use super::parser::{Draft, DraftOperand, Parser};
use crate::diagnostic::Diagnostic;

impl<'t> Parser<'t, '_> {
    /// `%iv = %lb to %ub step %step iter_args(%a = %x) -> (T) : T { body }`
    pub(super) fn for_loop(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let start = self.cursor.peek_at();
        if self.cursor.eat_word("unsigned") {
            let span = self.span_from(start);
            self.push_attr(draft, "unsignedCmp", AttrValue::default(), span);
        }
        let start = self.cursor.peek_at();
        let Some(name) = self.cursor.value_name() else {
            return self.expected("the loop variable (`%name`)");
        };
        let span = self.span_from(start);
        self.expect("=")?;
        for word in ["to", "step", ""] {
            let value = self.value_use()?;
            draft.operands.push(DraftOperand::new(value, ""));
            if !word.is_empty() && !self.cursor.eat_word(word) {
                return self.expected(&format!("`{word}`"));
            }
        }
        let mut args = vec![(name, TypeId::NONE, span)];
        if self.cursor.eat_word("iter_args") {
            args.extend(self.initialized(draft)?);
            if self.cursor.eat("->") {
                draft.result_types = self.type_or_list()?;
            }
        }
        let ty = if self.cursor.eat(":") { self.ty()? } else { self.types.index(&mut self.data) };
        args[0].1 = ty;
        for operand in draft.operands[..3].iter().copied() {
            self.check_type(operand, ty, operand.span);
        }
        if draft.result_types.len() + 1 != args.len() {
            let (values, types) = (args.len() - 1, draft.result_types.len());
            let message =
                format!("{} with {}", counted(values, "iteration argument"), counted(types, "type"));
            let diagnostic = Diagnostic::error("syntax::type-count", message)
                .label(draft.name_span, "in this loop")
                .help("behind `iter_args(..)` stands `-> (T)`, with the type of each argument");
            return Err(self.report(diagnostic));
        }
        for index in 0..draft.result_types.len() {
            let (operand, ty) = (draft.operands[3 + index], draft.result_types[index]);
            self.check_type(operand, ty, operand.span);
            args[1 + index].1 = ty;
        }
        self.check_result_count(draft)?;
        let body = self.body(&args)?;
        draft.bodies.push(body);
        self.attr_dict(&mut draft.attrs)
    }

    /// `(%a = %x, ...)`: the initial values are appended to the operands.
    fn initialized(&mut self, draft: &mut Draft<'t>) -> Parsed<Vec<(&'t str, TypeId, TextRange)>> {
        let open = self.cursor.peek_at();
        self.expect("(")?;
        let mut args = Vec::new();
        while !self.cursor.eat(")") {
            let start = self.cursor.peek_at();
            let Some(name) = self.cursor.value_name() else {
                return self.expected("an argument (`%name = %init`)");
            };
            let span = self.span_from(start);
            self.expect("=")?;
            let value = self.value_use()?;
            args.push((name, self.type_of(value.0), span));
            draft.operands.push(DraftOperand::new(value, ""));
            self.more(open, ")")?;
        }
        Ok(args)
    }

    pub(super) fn branch(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let value = self.value_use()?;
        draft.operands.push(DraftOperand::new(value, ""));
        if self.cursor.eat("->") {
            draft.result_types = self.type_or_list()?;
        }
        self.check_result_count(draft)?;
        let then = self.body(&[])?;
        draft.bodies.push(then);
        if self.cursor.eat_word("else") {
            let otherwise = self.body(&[])?;
            draft.bodies.push(otherwise);
        }
        self.attr_dict(&mut draft.attrs)
    }

    /// `(%a = %x) : (T) -> T { before } do { ^bb0(%b: T): after }`
    pub(super) fn while_loop(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let mut args = if self.cursor.peek() == b'(' { self.initialized(draft)? } else { Vec::new() };
        self.expect(":")?;
        let at = self.cursor.peek_at();
        let ty = self.ty()?;
        let at = self.span_from(at);
        let parts = self.function_parts(ty).filter(|(params, _)| params.len() == args.len());
        let Some((params, results)) = parts else {
            let message = "expected a function type with a type for each initial value";
            return self.error("syntax::type", at, message, "this type");
        };
        for (index, (arg, &param)) in args.iter_mut().zip(&params).enumerate() {
            arg.1 = param;
            self.check_type(draft.operands[index], param, at);
        }
        draft.result_types = results;
        self.check_result_count(draft)?;
        let before = self.body(&args)?;
        draft.bodies.push(before);
        if !self.cursor.eat_word("do") {
            return self.expected("`do`");
        }
        let after = self.body(&[])?;
        draft.bodies.push(after);
        if self.cursor.eat_word("attributes") {
            self.attr_dict(&mut draft.attrs)?;
        }
        Ok(())
    }

    /// `%x -> T case 0 { .. } default { .. }`: the default body is the first, as in the generic form.
    pub(super) fn index_switch(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let value = self.value_use()?;
        draft.operands.push(DraftOperand::new(value, ""));
        self.attr_dict(&mut draft.attrs)?;
        if self.cursor.eat("->") {
            draft.result_types = self.type_or_list()?;
        }
        self.check_result_count(draft)?;
        let start = self.cursor.peek_at();
        let (mut cases, mut bodies) = (Vec::new(), Vec::new());
        while self.cursor.eat_word("case") {
            let value = self.number_attr()?;
            let value = self.attr(value);
            let span = self.span_from(start);
            cases.push(Attr { name: StrId::NONE, value, span });
            let body = self.body(&[])?;
            bodies.push(body);
        }
        if !self.cursor.eat_word("default") {
            return self.expected("`case` or `default`");
        }
        let default = self.body(&[])?;
        draft.bodies.push(default);
        draft.bodies.extend(bodies);
        let children = self.children(cases);
        let span = self.span_from(start);
        self.push_attr(
            draft,
            "cases",
            AttrValue { kind: attr_kind::ARRAY, children, ..Default::default() },
            span,
        );
        Ok(())
    }

    pub(super) fn execute_region(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        if self.cursor.eat("->") {
            draft.result_types = self.type_or_list()?;
        }
        self.check_result_count(draft)?;
        let body = self.body(&[])?;
        draft.bodies.push(body);
        self.attr_dict(&mut draft.attrs)
    }
}
