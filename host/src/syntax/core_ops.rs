//! Operations with a grammar of their own: the generic form, modules and functions, `arith`, `scf`.

use pipewright_abi::ir::{AttrValue, attr_kind, type_kind};
use pipewright_abi::{OpId, TextRange, TypeId};

use super::parser::{Draft, DraftOperand, Failed, Parsed, Parser, ResultName};
use crate::diagnostic::{Diagnostic, did_you_mean};

impl<'t> Parser<'t, '_> {
    /// Reads one operation.
    pub(super) fn operation(&mut self) -> Parsed<OpId> {
        let start = self.cursor.peek_at();
        let mut results = Vec::new();
        if self.cursor.byte() == b'%' {
            loop {
                let start = self.cursor.peek_at();
                let Some(name) = self.cursor.value_name() else { return self.expected("a result (`%name`)") };
                let span = self.span_from(start);
                let mut count = 1;
                if self.cursor.eat(":") {
                    let number =
                        self.cursor.number().and_then(|n| n.parse().ok()).filter(|n| (1..=256).contains(n));
                    let Some(number) = number else { return self.expected("a number of results, 1 to 256") };
                    count = number;
                }
                results.push(ResultName { name, count, span });
                if !self.cursor.eat(",") {
                    break;
                }
            }
            self.expect("=")?;
        }
        let name_start = self.cursor.peek_at();
        if self.cursor.byte() == b'"' {
            return self.generic(start, results);
        }
        let Some(written) = self.cursor.word() else { return self.expected("an operation") };
        let name_span = self.span_from(name_start);
        let name = full_name(written);
        let mut draft = self.draft(name, start, name_span, results);
        let id = draft.id;
        let read = match name {
            "builtin.module" => self.module(&mut draft),
            "func.func" => self.function(&mut draft),
            "func.call" => self.call(&mut draft),
            "func.return" | "scf.yield" | "scf.condition" => self.terminator(&mut draft),
            "scf.for" => self.for_loop(&mut draft),
            "scf.if" => self.branch(&mut draft),
            "scf.while" => self.while_loop(&mut draft),
            "scf.index_switch" => self.index_switch(&mut draft),
            "scf.execute_region" => self.execute_region(&mut draft),
            "arith.constant" => self.constant(&mut draft),
            _ if name.starts_with("arith.") => self.arithmetic(&mut draft),
            _ => self.clauses(&mut draft),
        };
        match read {
            Ok(()) => {
                self.location()?;
                self.finish(draft);
                Ok(id)
            }
            Err(Failed) => {
                // What it would have defined exists, so that its uses are not reported too.
                draft.operands.clear();
                draft.bodies.clear();
                draft.result_types.clear();
                self.finish(draft);
                Err(Failed)
            }
        }
    }

    /// `"name"(operands) <{properties}> ({bodies}) {attrs} : (types) -> types`
    fn generic(&mut self, start: usize, results: Vec<ResultName<'t>>) -> Parsed<OpId> {
        let name_start = self.cursor.at;
        if self.cursor.string().is_none() {
            return self.expected("an operation name in quotes");
        }
        let name_span = self.span_from(name_start);
        let name = full_name(&self.cursor.text[name_start + 1..self.cursor.at - 1]);
        let mut draft = self.draft(name, start, name_span, results);
        self.expect("(")?;
        while !self.cursor.eat(")") {
            let (value, span) = self.value_use()?;
            draft.operands.push(DraftOperand { value, span, group: "", slot: u32::MAX });
            if !self.cursor.eat(",") && self.cursor.peek() != b')' {
                return self.expected("`,` or `)`");
            }
        }
        if self.cursor.eat("[") {
            // Successors: control flow between blocks, which lowering refuses by the operation's name.
            while !self.cursor.eat("]") {
                if self.cursor.sigil_name(b'^').is_none() && !self.cursor.eat(",") {
                    return self.expected("a block");
                }
            }
        }
        if self.cursor.eat("<") {
            self.attr_dict(&mut draft.attrs)?;
            self.expect(">")?;
        }
        if self.cursor.eat("(") {
            let isolated = (name == "func.func").then(|| self.isolate_scope());
            while !self.cursor.eat(")") {
                let body = self.body(&[])?;
                draft.bodies.push(body);
                if !self.cursor.eat(",") && self.cursor.peek() != b')' {
                    return self.expected("`,` or `)`");
                }
            }
            if let Some(scope) = isolated {
                self.restore_scope(scope);
            }
        }
        self.attr_dict(&mut draft.attrs)?;
        self.expect(":")?;
        let at = self.cursor.peek_at();
        let ty = self.ty()?;
        let at = self.span_from(at);
        let record = self.data.tables.types[ty.index()];
        if record.kind != type_kind::FUNCTION {
            return self.error(at, "expected a function type `(operands) -> results`", "this type");
        }
        let children = record.children.of(&self.data.tables.type_lists).to_vec();
        let (params, returned) = children.split_at(record.detail as usize);
        if params.len() != draft.operands.len() {
            let message = format!("{} operands with {} types", draft.operands.len(), params.len());
            return self.error(at, message, "these types");
        }
        for (index, &param) in params.iter().enumerate() {
            self.check_type(draft.operands[index], param, at);
        }
        draft.result_types = returned.to_vec();
        self.check_result_count(&draft)?;
        self.bind_generic(&mut draft)?;
        self.location()?;
        let id = draft.id;
        self.finish(draft);
        Ok(id)
    }

    /// As many names as results.
    pub(super) fn check_result_count(&mut self, draft: &Draft<'t>) -> Parsed<()> {
        let named: usize = draft.results.iter().map(|r| r.count).sum();
        let made = draft.result_types.len();
        if named == made || named == 0 {
            return Ok(());
        }
        let span = draft.results.first().map_or(draft.name_span, |r| r.span);
        let plural = if made == 1 { "" } else { "s" };
        self.error(span, format!("`{}` has {made} result{plural}, not {named}", draft.name), "named here")
    }

    /// `loc(...)`, which nothing looks at.
    fn location(&mut self) -> Parsed<()> {
        if self.cursor.peek_word() == "loc" {
            self.cursor.word();
            if self.cursor.peek() == b'(' && self.cursor.balanced().is_none() {
                return self.expected("a closing `)`");
            }
        }
        Ok(())
    }

    fn module(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let start = self.cursor.peek_at();
        if let Some(name) = self.cursor.sigil_name(b'@') {
            let span = self.span_from(start);
            self.push_text_attr(draft, "sym_name", attr_kind::STRING, name, span);
        }
        if self.cursor.eat_word("attributes") {
            self.attr_dict(&mut draft.attrs)?;
        }
        let scope = self.isolate_scope();
        let body = self.body(&[]);
        self.restore_scope(scope);
        draft.bodies.push(body?);
        Ok(())
    }

    fn function(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let start = self.cursor.peek_at();
        if let word @ ("private" | "public" | "nested") = self.cursor.peek_word() {
            self.cursor.word();
            let span = self.span_from(start);
            self.push_text_attr(draft, "sym_visibility", attr_kind::STRING, word, span);
        }
        let start = self.cursor.peek_at();
        let Some(name) = self.cursor.sigil_name(b'@') else {
            return self.expected("a function name (`@name`)");
        };
        let span = self.span_from(start);
        self.push_text_attr(draft, "sym_name", attr_kind::STRING, name, span);
        self.expect("(")?;
        let (mut args, mut params) = (Vec::new(), Vec::new());
        while !self.cursor.eat(")") {
            let start = self.cursor.peek_at();
            if let Some(name) = self.cursor.value_name() {
                let span = self.span_from(start);
                self.expect(":")?;
                let ty = self.ty()?;
                args.push((name, ty, span));
                params.push(ty);
            } else {
                params.push(self.ty()?);
            }
            // Attributes of parameters say nothing that is used.
            self.attr_dict(&mut Vec::new())?;
            self.location()?;
            if !self.cursor.eat(",") && self.cursor.peek() != b')' {
                return self.expected("`,` or `)` in the parameter list");
            }
        }
        let results = if self.cursor.eat("->") { self.type_or_list()? } else { Vec::new() };
        let ty = self.types.function(&mut self.data, &params, &results);
        let span = self.span_from(start);
        self.push_attr(
            draft,
            "function_type",
            AttrValue { kind: attr_kind::TYPE, ty, ..Default::default() },
            span,
        );
        if self.cursor.eat_word("attributes") {
            self.attr_dict(&mut draft.attrs)?;
        }
        if self.cursor.peek() == b'{' {
            if args.len() != params.len() {
                return self.error(
                    span,
                    "a function with a body names its parameters",
                    "parameters without names",
                );
            }
            let scope = self.isolate_scope();
            // An empty list of parameters still makes the first block.
            let body = self.body(&args);
            self.restore_scope(scope);
            draft.bodies.push(body?);
        }
        Ok(())
    }

    /// `@f(%a) : (T) -> T`
    fn call(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let start = self.cursor.peek_at();
        let Some(name) = self.cursor.sigil_name(b'@') else {
            return self.expected("a function name (`@name`)");
        };
        let span = self.span_from(start);
        self.push_text_attr(draft, "callee", attr_kind::SYMBOL, name, span);
        self.expect("(")?;
        self.operand_list(draft, ")")?;
        self.expect(")")?;
        self.attr_dict(&mut draft.attrs)?;
        self.expect(":")?;
        let at = self.cursor.peek_at();
        let ty = self.ty()?;
        let at = self.span_from(at);
        let record = self.data.tables.types[ty.index()];
        let children = record.children.of(&self.data.tables.type_lists).to_vec();
        if record.kind != type_kind::FUNCTION || record.detail as usize != draft.operands.len() {
            return self.error(at, "expected a function type with a type for each argument", "this type");
        }
        let (params, results) = children.split_at(record.detail as usize);
        for (index, &param) in params.iter().enumerate() {
            self.check_type(draft.operands[index], param, at);
        }
        draft.result_types = results.to_vec();
        self.check_result_count(draft)
    }

    /// `%a, %b : T, T`, or nothing; `scf.condition(%c) %a : T`.
    fn terminator(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let mut untyped = 0;
        if draft.name == "scf.condition" {
            self.expect("(")?;
            self.operand_list(draft, ")")?;
            self.expect(")")?;
            untyped = draft.operands.len();
        }
        self.attr_dict(&mut draft.attrs)?;
        if self.cursor.peek() == b'%' && !self.cursor.starts_operation() {
            self.operand_list(draft, ":")?;
            self.expect(":")?;
            self.typed_operands(draft, untyped)?;
        }
        Ok(())
    }

    /// `%iv = %lb to %ub step %step iter_args(%a = %x) -> (T) : T { body }`
    fn for_loop(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        self.cursor.eat_word("unsigned");
        let start = self.cursor.peek_at();
        let Some(name) = self.cursor.value_name() else {
            return self.expected("the loop variable (`%name`)");
        };
        let span = self.span_from(start);
        self.expect("=")?;
        for (index, word) in ["to", "step", ""].into_iter().enumerate() {
            let (value, span) = self.value_use()?;
            draft.operands.push(DraftOperand { value, span, group: "", slot: index as u32 });
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
        for &operand in draft.operands[..3].to_vec().iter() {
            self.check_type(operand, ty, operand.span);
        }
        if draft.result_types.len() + 1 != args.len() {
            let message =
                format!("{} iteration arguments with {} types", args.len() - 1, draft.result_types.len());
            return self.error(draft.name_span, message, "in this loop");
        }
        self.check_result_count(draft)?;
        let body = self.body(&args)?;
        draft.bodies.push(body);
        self.attr_dict(&mut draft.attrs)
    }

    /// `(%a = %x, ...)`: the initial values are appended to the operands.
    fn initialized(&mut self, draft: &mut Draft<'t>) -> Parsed<Vec<(&'t str, TypeId, TextRange)>> {
        self.expect("(")?;
        let mut args = Vec::new();
        while !self.cursor.eat(")") {
            let start = self.cursor.peek_at();
            let Some(name) = self.cursor.value_name() else {
                return self.expected("an argument (`%name = %init`)");
            };
            let span = self.span_from(start);
            self.expect("=")?;
            let (value, use_span) = self.value_use()?;
            args.push((name, self.type_of(value), span));
            draft.operands.push(DraftOperand { value, span: use_span, group: "", slot: u32::MAX });
            if !self.cursor.eat(",") && self.cursor.peek() != b')' {
                return self.expected("`,` or `)`");
            }
        }
        Ok(args)
    }

    fn branch(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let (value, span) = self.value_use()?;
        draft.operands.push(DraftOperand { value, span, group: "", slot: 0 });
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
    fn while_loop(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let mut args = if self.cursor.peek() == b'(' { self.initialized(draft)? } else { Vec::new() };
        self.expect(":")?;
        let at = self.cursor.peek_at();
        let ty = self.ty()?;
        let at = self.span_from(at);
        let record = self.data.tables.types[ty.index()];
        let children = record.children.of(&self.data.tables.type_lists).to_vec();
        if record.kind != type_kind::FUNCTION || record.detail as usize != args.len() {
            return self.error(
                at,
                "expected a function type with a type for each initial value",
                "this type",
            );
        }
        let (params, results) = children.split_at(record.detail as usize);
        for (arg, &param) in args.iter_mut().zip(params) {
            arg.1 = param;
        }
        draft.result_types = results.to_vec();
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
    fn index_switch(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let (value, span) = self.value_use()?;
        draft.operands.push(DraftOperand { value, span, group: "", slot: 0 });
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
            cases.push(pipewright_abi::ir::Attr { name: pipewright_abi::StrId::NONE, value, span });
            let body = self.body(&[])?;
            bodies.push(body);
        }
        if !self.cursor.eat_word("default") {
            return self.expected("`case` or `default`");
        }
        let default = self.body(&[])?;
        draft.bodies.push(default);
        draft.bodies.extend(bodies);
        let attrs = &mut self.data.tables.attrs;
        let children = pipewright_abi::Range::new(attrs.len(), attrs.len() + cases.len());
        attrs.extend(cases);
        let span = self.span_from(start);
        self.push_attr(
            draft,
            "cases",
            AttrValue { kind: attr_kind::ARRAY, children, ..Default::default() },
            span,
        );
        Ok(())
    }

    fn execute_region(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        if self.cursor.eat("->") {
            draft.result_types = self.type_or_list()?;
        }
        self.check_result_count(draft)?;
        let body = self.body(&[])?;
        draft.bodies.push(body);
        self.attr_dict(&mut draft.attrs)
    }

    /// `value : type`; `true`.
    fn constant(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        self.attr_dict(&mut draft.attrs)?;
        let start = self.cursor.peek_at();
        let value = self.attr_value_record()?;
        let span = self.span_from(start);
        let ty = match value.kind {
            attr_kind::BOOL => self.types.int(&mut self.data, 1),
            _ if value.ty.is_some() => value.ty,
            _ => return self.error(span, "a constant needs a type", "write `: type` behind it"),
        };
        self.push_attr(draft, "value", value, span);
        draft.result_types = vec![ty];
        self.check_result_count(draft)
    }

    /// `arith`: `[predicate,] %a, %b [flags] : T [to T]`.
    fn arithmetic(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let operation = &draft.name["arith.".len()..];
        if !ARITH.contains(&operation) {
            let known = did_you_mean(operation, ARITH.iter().copied());
            let help = known.map_or(String::new(), |k| format!("did you mean `arith.{k}`?"));
            let diagnostic =
                Diagnostic::error("syntax::unknown-op", format!("there is no operation `{}`", draft.name));
            return Err(
                self.report(diagnostic.label(draft.name_span, "not in the `arith` dialect").help(help))
            );
        }
        if matches!(operation, "cmpi" | "cmpf") {
            let start = self.cursor.peek_at();
            let Some(predicate) = self.cursor.word() else {
                return self.expected("a comparison (`eq`, `slt`, ..)");
            };
            let span = self.span_from(start);
            self.push_text_attr(draft, "predicate", attr_kind::ENUM, predicate, span);
            self.expect(",")?;
        }
        self.operand_list(draft, ":")?;
        while let word @ ("overflow" | "fastmath" | "exact" | "nneg") = self.cursor.peek_word() {
            let _ = word;
            self.cursor.word();
            if self.cursor.peek() == b'<' && self.cursor.balanced().is_none() {
                return self.expected("a closing `>`");
            }
        }
        self.attr_dict(&mut draft.attrs)?;
        self.expect(":")?;
        let at = self.cursor.peek_at();
        let mut ty = self.ty()?;
        let mut at_span = self.span_from(at);
        let mut second = None;
        if self.cursor.eat(",") {
            let at = self.cursor.peek_at();
            second = Some(self.ty()?);
            at_span = self.span_from(at);
        }
        let operands = match operation {
            "select" => 3,
            "negf" => 1,
            _ if CASTS.contains(&operation) => 1,
            _ => 2,
        };
        if draft.operands.len() != operands {
            let message = format!("`{}` has {operands} operands, not {}", draft.name, draft.operands.len());
            return self.error(draft.name_span, message, "this operation");
        }
        if operation == "select"
            && let Some(second) = second
        {
            ty = second;
        }
        let from = if operation == "select" { 1 } else { 0 };
        for operand in draft.operands[from..].to_vec() {
            self.check_type(operand, ty, at_span);
        }
        draft.result_types = match operation {
            "cmpi" | "cmpf" => vec![self.types.int(&mut self.data, 1)],
            "addui_extended" => vec![ty, second.unwrap_or(self.error_type)],
            "mulsi_extended" | "mului_extended" => vec![ty, ty],
            _ if CASTS.contains(&operation) => {
                if !self.cursor.eat_word("to") {
                    return self.expected("`to` and the type of the result");
                }
                vec![self.ty()?]
            }
            _ => vec![ty],
        };
        self.check_result_count(draft)
    }

    /// `%a, %b` up to `end` (which is not taken).
    pub(super) fn operand_list(&mut self, draft: &mut Draft<'t>, end: &str) -> Parsed<()> {
        while self.cursor.peek() == b'%' {
            let (value, span) = self.value_use()?;
            draft.operands.push(DraftOperand { value, span, group: "", slot: u32::MAX });
            if !self.cursor.eat(",") {
                return Ok(());
            }
            if self.cursor.peek() != b'%' {
                return self.expected(&format!("a value or `{end}`"));
            }
        }
        Ok(())
    }

    /// `T, T`: types of the operands from `first` on.
    fn typed_operands(&mut self, draft: &mut Draft<'t>, first: usize) -> Parsed<()> {
        for index in first..draft.operands.len() {
            if index > first && !self.cursor.eat(",") {
                return self.expected("`,` and one type for each operand");
            }
            let at = self.cursor.peek_at();
            let ty = self.ty()?;
            let at = self.span_from(at);
            self.check_type(draft.operands[index], ty, at);
        }
        Ok(())
    }
}

/// The name with its dialect.
fn full_name(written: &str) -> &str {
    match written {
        "module" => "builtin.module",
        "return" => "func.return",
        "call" => "func.call",
        "func" => "func.func",
        _ => written,
    }
}

const CASTS: &[&str] = &[
    "index_cast",
    "index_castui",
    "extsi",
    "extui",
    "trunci",
    "sitofp",
    "uitofp",
    "fptosi",
    "fptoui",
    "extf",
    "truncf",
    "bitcast",
];

const ARITH: &[&str] = &[
    "addf",
    "addi",
    "addui_extended",
    "andi",
    "bitcast",
    "ceildivsi",
    "ceildivui",
    "cmpf",
    "cmpi",
    "constant",
    "divf",
    "divsi",
    "divui",
    "extf",
    "extsi",
    "extui",
    "floordivsi",
    "fptosi",
    "fptoui",
    "index_cast",
    "index_castui",
    "maximumf",
    "maxnumf",
    "maxsi",
    "maxui",
    "minimumf",
    "minnumf",
    "minsi",
    "minui",
    "mulf",
    "muli",
    "mulsi_extended",
    "mului_extended",
    "negf",
    "ori",
    "remf",
    "remsi",
    "remui",
    "select",
    "shli",
    "shrsi",
    "shrui",
    "sitofp",
    "subf",
    "subi",
    "truncf",
    "trunci",
    "uitofp",
    "xori",
];
