//! Reading one operation, whatever its grammar; the generic form, modules, functions and calls.

use pipewright_abi::ir::{Attr, AttrValue, Body, attr_kind, type_kind};
use pipewright_abi::{OpId, StrId, TextRange, TypeId};

use super::errors::{Failed, Parsed, counted};
use super::parser::{Draft, DraftOperand, Parser, ResultName};
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
            _ if self.is_known_dialect(name) => self.clauses(&mut draft),
            _ => self.unknown(&draft),
        };
        match read {
            Ok(()) => {
                self.location()?;
                self.finish(draft);
                Ok(id)
            }
            Err(Failed) => {
                // What it would have defined exists, so that its uses are not reported too.
                draft.abandon();
                self.finish(draft);
                Err(Failed)
            }
        }
    }

    /// Whether the pretty form of an operation of this dialect can be guessed. The dialects that are read by name
    /// have none but those, and a name without a dialect is a slip.
    fn is_known_dialect(&self, name: &str) -> bool {
        let dialect = name.split_once('.').map_or("", |(dialect, _)| dialect);
        !matches!(dialect, "" | "builtin" | "func" | "scf" | "cf")
            || name == "builtin.unrealized_conversion_cast"
            || self.entry(name).is_some()
    }

    fn unknown(&mut self, draft: &Draft<'t>) -> Parsed<()> {
        let name = draft.name;
        let entries = self.target.t.entries.iter().map(|e| self.target.str(e.name));
        let known = CORE.iter().copied().chain(entries);
        let bare = |known: &str| known.split_once('.').map_or("", |(_, rest)| rest) == name;
        let likely = known.clone().find(|known| bare(known)).or_else(|| did_you_mean(name, known));
        let help = match likely {
            _ if name.starts_with("cf.") => {
                "control flow must be structured: `scf.if`, `scf.for`, `scf.while`".into()
            }
            Some(likely) => format!("did you mean `{likely}`?"),
            None => match name.split_once('.') {
                Some((dialect, _)) => {
                    let of_dialect = |known: &&&str| known.split_once('.').is_some_and(|(d, _)| d == dialect);
                    let known: Vec<_> = CORE.iter().filter(of_dialect).copied().collect();
                    format!("of this dialect there is {}", known.join(", "))
                }
                None => "an operation starts with its dialect, `pto.tload`".into(),
            },
        };
        let diagnostic = Diagnostic::error("syntax::unknown-op", format!("there is no operation `{name}`"));
        Err(self.report(diagnostic.label(draft.name_span, "this operation").help(help)))
    }

    /// `"name"(operands) <{properties}> ({bodies}) {attrs} : (types) -> types`
    fn generic(&mut self, start: usize, results: Vec<ResultName<'t>>) -> Parsed<OpId> {
        let name_start = self.cursor.at;
        self.string()?;
        let name_span = self.span_from(name_start);
        let name = full_name(&self.cursor.text[name_start + 1..self.cursor.at - 1]);
        let mut draft = self.draft(name, start, name_span, results);
        let id = draft.id;
        let read = self.generic_parts(&mut draft).and_then(|()| self.location());
        if read.is_err() {
            draft.abandon();
        }
        self.finish(draft);
        read.map(|()| id)
    }

    fn generic_parts(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let open = self.cursor.peek_at();
        self.expect("(")?;
        while !self.cursor.eat(")") {
            let value = self.value_use()?;
            draft.operands.push(DraftOperand::new(value, ""));
            self.more(open, ")")?;
        }
        if self.cursor.peek() == b'[' {
            let span = self.here();
            let message = format!("`{}` jumps between blocks", draft.name);
            let help = "control flow must be structured: `scf.if`, `scf.for`, `scf.while`";
            let diagnostic = Diagnostic::error("syntax::unstructured", message);
            return Err(self.report(diagnostic.label(span, "to these").help(help)));
        }
        if self.cursor.eat("<") {
            self.attr_dict(&mut draft.attrs)?;
            self.expect(">")?;
        }
        let open = self.cursor.peek_at();
        if self.cursor.eat("(") {
            let isolated = (draft.name == "func.func").then(|| self.isolate_scope());
            let read = self.generic_bodies(draft, open);
            if let Some(scope) = isolated {
                self.restore_scope(scope);
            }
            read?;
        }
        self.attr_dict(&mut draft.attrs)?;
        self.expect(":")?;
        let at = self.cursor.peek_at();
        let ty = self.ty()?;
        let at = self.span_from(at);
        let Some((params, returned)) = self.function_parts(ty) else {
            let message = "expected a function type `(operands) -> results`";
            return self.error("syntax::type", at, message, "this type");
        };
        if params.len() != draft.operands.len() {
            let (operands, types) = (draft.operands.len(), params.len());
            let message = format!("{} with {}", counted(operands, "operand"), counted(types, "type"));
            return self.error("syntax::type-count", at, message, "these types");
        }
        for (index, &param) in params.iter().enumerate() {
            self.check_type(draft.operands[index], param, at);
        }
        draft.result_types = returned;
        self.check_result_count(draft)?;
        self.bind_generic(draft)
    }

    fn generic_bodies(&mut self, draft: &mut Draft<'t>, open: usize) -> Parsed<()> {
        while !self.cursor.eat(")") {
            let start = self.cursor.peek_at();
            let mut ahead = self.cursor;
            let body = if ahead.eat("{") && ahead.eat("}") {
                // Nothing between the braces is no block at all: a declaration, an absent else part.
                self.cursor = ahead;
                Body { span: self.span_from(start), ..Body::default() }
            } else {
                self.body(&[])?
            };
            draft.bodies.push(body);
            self.more(open, ")")?;
        }
        Ok(())
    }

    /// Parameters and results of a function type.
    pub(super) fn function_parts(&self, ty: TypeId) -> Option<(Vec<TypeId>, Vec<TypeId>)> {
        let record = self.data.tables.types[ty.index()];
        let children = record.children.of(&self.data.tables.type_lists);
        let parts = || children.split_at_checked(record.detail as usize);
        let (params, results) = (record.kind == type_kind::FUNCTION).then(parts)??;
        Some((params.to_vec(), results.to_vec()))
    }

    /// As many names as results.
    pub(super) fn check_result_count(&mut self, draft: &Draft<'t>) -> Parsed<()> {
        let named: usize = draft.results.iter().map(|r| r.count).sum();
        let made = draft.result_types.len();
        if named == made || named == 0 {
            return Ok(());
        }
        let span = draft.results.first().map_or(draft.name_span, |r| r.span);
        let message = format!("`{}` has {}, not {named}", draft.name, counted(made, "result"));
        self.error("syntax::result-count", span, message, "named here")
    }

    /// `loc(...)`, which nothing looks at.
    pub(super) fn location(&mut self) -> Parsed<()> {
        if self.cursor.peek_word() == "loc" {
            self.cursor.word();
            let open = self.cursor.peek_at();
            if self.cursor.byte() == b'(' && self.cursor.balanced().is_none() {
                return self.unclosed(open);
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
        let open = self.cursor.peek_at();
        self.expect("(")?;
        let (mut args, mut params, mut notes) = (Vec::new(), Vec::new(), Vec::new());
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
            let start = self.cursor.peek_at();
            if self.cursor.byte() == b'{' && !self.is_dict() {
                return self.unclosed(open);
            }
            let mut dict = Vec::new();
            self.attr_dict(&mut dict)?;
            notes.push((dict, self.span_from(start)));
            self.location()?;
            self.more(open, ")")?;
        }
        self.parameter_attrs(draft, notes);
        let results = if self.cursor.eat("->") { self.type_or_list()? } else { Vec::new() };
        let ty = self.types.function(&mut self.data, &params, &results);
        if self.types.is_exhausted() {
            let message = "types with all their aliases written out are too long";
            return self.error("syntax::type", span, message, "in this signature");
        }
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
                let message = "a function with a body names its parameters";
                return self.error("syntax::parameters", span, message, "parameters without names");
            }
            let scope = self.isolate_scope();
            let body = self.body(&args);
            self.restore_scope(scope);
            draft.bodies.push(body?);
        }
        Ok(())
    }

    /// Whether the brace at the cursor opens a dictionary and not a body.
    fn is_dict(&self) -> bool {
        let mut ahead = self.cursor;
        ahead.eat("{");
        let open = ahead.at;
        if ahead.peek() == b'}' || ahead.byte() == b'"' {
            return true;
        }
        if ahead.text[open..ahead.at].contains('\n') {
            return false;
        }
        ahead.word().is_some() && matches!(ahead.peek(), b'=' | b',' | b'}')
    }

    /// Attributes of parameters, if there are any: one dictionary for each parameter.
    fn parameter_attrs(&mut self, draft: &mut Draft<'t>, notes: Vec<(Vec<Attr>, TextRange)>) {
        let (Some((_, first)), Some((_, last))) = (notes.first(), notes.last()) else { return };
        let span = TextRange { start: first.start, end: last.end };
        if notes.iter().all(|(dict, _)| dict.is_empty()) {
            return;
        }
        let mut dicts = Vec::new();
        for (dict, span) in notes {
            let value =
                AttrValue { kind: attr_kind::DICT, children: self.children(dict), ..Default::default() };
            dicts.push(Attr { name: StrId::NONE, value: self.attr(value), span });
        }
        let value =
            AttrValue { kind: attr_kind::ARRAY, children: self.children(dicts), ..Default::default() };
        self.push_attr(draft, "arg_attrs", value, span);
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
        let parts = self.function_parts(ty).filter(|(params, _)| params.len() == draft.operands.len());
        let Some((params, results)) = parts else {
            let message = "expected a function type with a type for each argument";
            return self.error("syntax::type", at, message, "this type");
        };
        for (index, &param) in params.iter().enumerate() {
            self.check_type(draft.operands[index], param, at);
        }
        draft.result_types = results;
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
        if self.cursor.peek() == b'%' && !self.starts_operation() {
            self.operand_list(draft, ":")?;
            self.expect(":")?;
            self.typed_operands(draft, untyped)?;
        }
        Ok(())
    }

    /// `%a, %b` up to `end` (which is not taken).
    pub(super) fn operand_list(&mut self, draft: &mut Draft<'t>, end: &str) -> Parsed<()> {
        while self.cursor.peek() == b'%' {
            let value = self.value_use()?;
            draft.operands.push(DraftOperand::new(value, ""));
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

/// Operations that are read by name.
const CORE: &[&str] = &[
    "builtin.module",
    "func.func",
    "func.call",
    "func.return",
    "scf.condition",
    "scf.execute_region",
    "scf.for",
    "scf.if",
    "scf.index_switch",
    "scf.while",
    "scf.yield",
];

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
