//! The parser's state, values in scope, and everything around operations: blocks, bodies, attributes, recovery.
//!
//! Reading never stops at the first error: a failed operation is skipped to where the next one starts, the values it
//! would have defined exist with an error type, and nothing about those values is reported again.

use std::collections::HashMap;

use pipewright_abi::ir::{
    Attr, AttrValue, Block, Body, ModuleData, Op, Operand, Value, attr_kind, type_kind,
};
use pipewright_abi::target::{Target, TargetData};
use pipewright_abi::{AttrId, BlockId, BodyId, EntryId, OpId, Range, StrId, TextRange, TypeId, ValueId};

use super::cursor::Cursor;
use super::types::TypeTable;
use crate::diagnostic::{Diagnostic, did_you_mean};

/// An error that has been reported.
#[derive(Debug)]
pub(super) struct Failed;

pub(super) type Parsed<T> = Result<T, Failed>;

/// Deepest nesting of bodies.
const MAX_DEPTH: usize = 200;

/// Errors after which reading stops.
const MAX_ERRORS: usize = 50;

pub(super) struct Parser<'t, 'g> {
    pub(super) cursor: Cursor<'t>,
    pub(super) data: ModuleData,
    pub(super) types: TypeTable<'t>,
    pub(super) target: Target<'g>,
    pub(super) target_data: &'g TargetData,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) error_type: TypeId,
    scope: HashMap<&'t str, ValueId>,
    undo: Vec<(&'t str, Option<ValueId>)>,
    depth: usize,
    cut_off: bool,
    attr_aliases: HashMap<&'t str, AttrId>,
}

/// An operation while it is being read.
pub(super) struct Draft<'t> {
    pub(super) id: OpId,
    pub(super) name: &'t str,
    pub(super) start: usize,
    pub(super) name_span: TextRange,
    pub(super) results: Vec<ResultName<'t>>,
    pub(super) operands: Vec<DraftOperand<'t>>,
    pub(super) attrs: Vec<Attr>,
    pub(super) bodies: Vec<Body>,
    pub(super) result_types: Vec<TypeId>,
}

#[derive(Clone, Copy)]
pub(super) struct ResultName<'t> {
    pub(super) name: &'t str,
    pub(super) count: usize,
    pub(super) span: TextRange,
}

#[derive(Clone, Copy)]
pub(super) struct DraftOperand<'t> {
    pub(super) value: ValueId,
    pub(super) span: TextRange,
    /// The group or keyword it stands in, empty if none.
    pub(super) group: &'t str,
    /// Slot in the table entry.
    pub(super) slot: u32,
}

impl<'t, 'g> Parser<'t, 'g> {
    pub(super) fn new(text: &'t str, target: &'g TargetData) -> Self {
        let mut data = ModuleData { source: text.into(), ..Default::default() };
        let mut types = TypeTable::default();
        let error_type = types.error(&mut data);
        Self {
            cursor: Cursor::new(text),
            data,
            types,
            target: target.view(),
            target_data: target,
            diagnostics: Vec::new(),
            error_type,
            scope: HashMap::new(),
            undo: Vec::new(),
            depth: 0,
            cut_off: false,
            attr_aliases: HashMap::new(),
        }
    }

    /// Reads the whole text: operation 0 is a module that holds everything at the top level.
    pub(super) fn file(&mut self) {
        let span = TextRange { start: 0, end: 0 };
        let mut draft = self.draft("builtin.module", 0, span, Vec::new());
        let mark = self.undo.len();
        let block = self.block_ops(None, &[], true);
        self.leave_scope(mark);
        let body = self.body_of(vec![block], TextRange { start: 0, end: self.data.source.len() as u32 });
        draft.bodies.push(body);
        self.finish(draft);
    }

    // Errors

    pub(super) fn span_from(&self, start: usize) -> TextRange {
        TextRange { start: start as u32, end: (self.cursor.at.max(start)) as u32 }
    }

    /// The next token, or at least one character, for an error at the current position.
    pub(super) fn here(&mut self) -> TextRange {
        let start = self.cursor.peek_at();
        let mut ahead = self.cursor;
        let word = ahead.peek_word();
        let end = if !word.is_empty() {
            start + word.len()
        } else if let Some(name) = ahead.value_name() {
            start + 1 + name.len()
        } else {
            start + self.cursor.text[start..].chars().next().map_or(0, char::len_utf8)
        };
        TextRange { start: start as u32, end: end as u32 }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) -> Failed {
        if self.diagnostics.len() <= MAX_ERRORS {
            self.diagnostics.push(diagnostic);
        }
        Failed
    }

    pub(super) fn error<T>(&mut self, span: TextRange, message: impl Into<String>, label: &str) -> Parsed<T> {
        Err(self.report(Diagnostic::error("syntax", message).label(span, label)))
    }

    /// Reports that `what` should stand at the current position.
    pub(super) fn expected<T>(&mut self, what: &str) -> Parsed<T> {
        let span = self.here();
        if self.cursor.at_end() {
            return self.error(span, format!("the file ends where {what} should stand"), "end of file");
        }
        self.error(span, format!("expected {what}"), "found this")
    }

    pub(super) fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.cursor.eat(token) { Ok(()) } else { self.expected(&format!("`{token}`")) }
    }

    fn too_many_errors(&self) -> bool {
        self.diagnostics.len() > MAX_ERRORS
    }

    // Operations, blocks, bodies

    /// Allocates an operation, so that ids follow program order.
    pub(super) fn draft(
        &mut self,
        name: &'t str,
        start: usize,
        name_span: TextRange,
        results: Vec<ResultName<'t>>,
    ) -> Draft<'t> {
        let id = OpId::from_index(self.data.tables.ops.len());
        self.data.tables.ops.push(Op::default());
        Draft {
            id,
            name,
            start,
            name_span,
            results,
            operands: Vec::new(),
            attrs: Vec::new(),
            bodies: Vec::new(),
            result_types: Vec::new(),
        }
    }

    /// Stores a finished operation and defines its results.
    pub(super) fn finish(&mut self, draft: Draft<'t>) {
        let span = self.span_from(draft.start);
        let tables = &mut self.data.tables;
        let operands = Range::new(tables.operands.len(), tables.operands.len() + draft.operands.len());
        let records = draft.operands.iter().map(|o| Operand { value: o.value, slot: o.slot, span: o.span });
        tables.operands.extend(records);
        let attrs = Range::new(tables.attrs.len(), tables.attrs.len() + draft.attrs.len());
        tables.attrs.extend(draft.attrs);
        let bodies = Range::new(tables.bodies.len(), tables.bodies.len() + draft.bodies.len());
        for (index, body) in draft.bodies.into_iter().enumerate() {
            let id = BodyId::from_index(bodies.start as usize + index);
            for block in body.blocks.indices() {
                tables.blocks[block].body = id;
            }
            tables.bodies.push(Body { op: draft.id, ..body });
        }
        let results = self.define_results(draft.id, &draft.results, &draft.result_types);
        let name = self.data.strings.intern(draft.name);
        let op = &mut self.data.tables.ops[draft.id.index()];
        *op = Op {
            name,
            entry: self.target_data.entry(draft.name),
            block: op.block,
            operands,
            results,
            attrs,
            bodies,
            span,
            name_span: draft.name_span,
        };
    }

    fn define_results(&mut self, op: OpId, names: &[ResultName<'t>], types: &[TypeId]) -> Range {
        let start = self.data.tables.values.len();
        let named: usize = names.iter().map(|n| n.count).sum();
        for index in 0..named.max(types.len()) {
            let ty = types.get(index).copied().unwrap_or(self.error_type);
            let value = Value { ty, op, index: index as u32, ..Default::default() };
            self.data.tables.values.push(value);
        }
        let mut index = start;
        for result in names {
            for k in 0..result.count {
                let id = ValueId::from_index(index);
                index += 1;
                if result.count == 1 {
                    self.define(result.name, id, result.span);
                } else {
                    // A group's members are named `%a#k`; such names live as long as the module.
                    let text = format!("{}#{k}", result.name);
                    self.data.tables.values[id.index()].name = self.data.strings.intern(&text);
                    self.data.tables.values[id.index()].span = result.span;
                    self.groups_insert(result.name, k, id);
                }
            }
        }
        Range::new(start, self.data.tables.values.len())
    }

    /// Makes `%name` mean `value` from here on.
    pub(super) fn define(&mut self, name: &'t str, value: ValueId, span: TextRange) {
        let record = &mut self.data.tables.values[value.index()];
        record.span = span;
        record.name = self.data.strings.intern(name);
        let previous = self.scope.insert(name, value);
        if let Some(previous) = previous {
            let first = self.data.tables.values[previous.index()].span;
            let diagnostic = Diagnostic::error("syntax::redefinition", format!("`%{name}` is defined twice"))
                .label(span, "defined again here")
                .label(first, "first defined here");
            self.report(diagnostic);
        }
        self.undo.push((name, previous));
    }

    fn groups_insert(&mut self, name: &'t str, k: usize, value: ValueId) {
        // The first member also answers to the bare name, as in MLIR; the others are found from it by position.
        if k == 0 {
            let previous = self.scope.insert(name, value);
            self.undo.push((name, previous));
        }
    }

    /// Number of names defined so far, for [`Parser::leave_scope`].
    pub(super) fn enter_scope(&self) -> usize {
        self.undo.len()
    }

    pub(super) fn leave_scope(&mut self, mark: usize) {
        for (name, previous) in self.undo.drain(mark..).rev() {
            match previous {
                Some(value) => self.scope.insert(name, value),
                None => self.scope.remove(name),
            };
        }
    }

    /// Hides all names, for a function's body. [`Parser::restore_scope`] brings them back.
    pub(super) fn isolate_scope(&mut self) -> HashMap<&'t str, ValueId> {
        core::mem::take(&mut self.scope)
    }

    pub(super) fn restore_scope(&mut self, scope: HashMap<&'t str, ValueId>) {
        self.scope = scope;
    }

    /// Reads `%name`, a use of a value.
    pub(super) fn value_use(&mut self) -> Parsed<(ValueId, TextRange)> {
        let start = self.cursor.peek_at();
        let Some(name) = self.cursor.value_name() else { return self.expected("a value (`%name`)") };
        let span = self.span_from(start);
        let (base, member) = match name.split_once('#') {
            Some((base, member)) => (base, member.parse::<u32>().unwrap_or(u32::MAX)),
            None => (name, 0),
        };
        if let Some(&value) = self.scope.get(base) {
            let record = self.data.tables.values[value.index()];
            let found = ValueId(value.0.saturating_add(member));
            let same_op = member == 0
                || self
                    .data
                    .tables
                    .values
                    .get(found.index())
                    .is_some_and(|v| v.op == record.op && v.op.is_some());
            if same_op {
                return Ok((found, span));
            }
        }
        let mut diagnostic =
            Diagnostic::error("syntax::undefined-value", format!("`%{name}` is not defined here"))
                .label(span, "used here");
        let mut candidates: Vec<&str> = self.scope.keys().copied().collect();
        candidates.sort_unstable();
        if let Some(likely) = did_you_mean(base, candidates) {
            diagnostic = diagnostic.help(format!("did you mean `%{likely}`?"));
        }
        self.report(diagnostic);
        // Go on with a value of error type, so that the rest of the operation is still read.
        let value = ValueId::from_index(self.data.tables.values.len());
        self.data.tables.values.push(Value { ty: self.error_type, ..Default::default() });
        Ok((value, span))
    }

    pub(super) fn type_of(&self, value: ValueId) -> TypeId {
        self.data.tables.values[value.index()].ty
    }

    pub(super) fn kind_of(&self, ty: TypeId) -> u32 {
        self.data.tables.types[ty.index()].kind
    }

    pub(super) fn type_text(&self, ty: TypeId) -> &str {
        self.data.strings.view().get(self.data.tables.types[ty.index()].text)
    }

    /// Reports a type that is not the value's own.
    pub(super) fn check_type(&mut self, operand: DraftOperand<'t>, written: TypeId, at: TextRange) {
        let own = self.type_of(operand.value);
        if own == written || own == self.error_type || written == self.error_type {
            return;
        }
        let value = self.data.tables.values[operand.value.index()];
        let name = self.data.strings.view().get(value.name).to_owned();
        let (own_text, written_text) = (self.type_text(own).to_owned(), self.type_text(written).to_owned());
        let diagnostic = Diagnostic::error(
            "syntax::type-mismatch",
            format!("`%{name}` is used with a type it does not have"),
        )
        .label(at, format!("`{written_text}` here"))
        .label(operand.span, "the operand")
        .label(value.span, format!("defined as `{own_text}`"));
        self.report(diagnostic);
    }

    /// Reads `{ blocks }`. `args` are defined in the first block.
    pub(super) fn body(&mut self, args: &[(&'t str, TypeId, TextRange)]) -> Parsed<Body> {
        let start = self.cursor.peek_at();
        self.expect("{")?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let span = TextRange { start: start as u32, end: start as u32 + 1 };
            self.depth -= 1;
            return self.error(span, format!("bodies are nested more than {MAX_DEPTH} deep"), "one too many");
        }
        let mark = self.enter_scope();
        let mut blocks = Vec::new();
        if self.cursor.peek() != b'^' || !args.is_empty() {
            let block = self.block_ops(None, args, false);
            blocks.push(block);
        }
        while self.cursor.peek() == b'^' {
            match self.labelled_block() {
                Ok(block) => blocks.push(block),
                Err(Failed) => self.recover(),
            }
        }
        self.leave_scope(mark);
        self.depth -= 1;
        if !self.cursor.eat("}") && !self.cut_off {
            // One report for all the bodies that the end of the file cuts off.
            self.cut_off = true;
            let open = TextRange { start: start as u32, end: start as u32 + 1 };
            let here = self.here();
            let diagnostic = Diagnostic::error("syntax::unclosed", "this body is never closed")
                .label(open, "opened here")
                .label(here, "a `}` should stand here");
            self.report(diagnostic);
        }
        let span = self.span_from(start);
        Ok(self.body_of(blocks, span))
    }

    fn labelled_block(&mut self) -> Parsed<Block> {
        let Some(label) = self.cursor.sigil_name(b'^') else { return self.expected("a block label") };
        let mut args = Vec::new();
        if self.cursor.eat("(") {
            while !self.cursor.eat(")") {
                let start = self.cursor.peek_at();
                let Some(name) = self.cursor.value_name() else { return self.expected("a block argument") };
                let span = self.span_from(start);
                self.expect(":")?;
                let ty = self.ty()?;
                args.push((name, ty, span));
                if !self.cursor.eat(",") && self.cursor.peek() != b')' {
                    return self.expected("`,` or `)`");
                }
            }
        }
        self.expect(":")?;
        Ok(self.block_ops(Some(label), &args, false))
    }

    /// Stores blocks one after the other and tells their operations and arguments.
    fn body_of(&mut self, blocks: Vec<Block>, span: TextRange) -> Body {
        let tables = &mut self.data.tables;
        let start = tables.blocks.len();
        for block in blocks {
            let id = BlockId::from_index(tables.blocks.len());
            for &op in block.ops.of(&tables.block_ops) {
                tables.ops[op.index()].block = id;
            }
            for arg in block.args.indices() {
                tables.values[arg].block = id;
            }
            tables.blocks.push(block);
        }
        Body { op: OpId::NONE, blocks: Range::new(start, tables.blocks.len()), span }
    }

    /// Reads operations up to `}`, a label or the end.
    fn block_ops(
        &mut self,
        label: Option<&'t str>,
        args: &[(&'t str, TypeId, TextRange)],
        top: bool,
    ) -> Block {
        let start = self.data.tables.values.len();
        for (index, &(_, ty, _)) in args.iter().enumerate() {
            let value = Value { ty, index: index as u32, ..Default::default() };
            self.data.tables.values.push(value);
        }
        for (index, &(name, _, span)) in args.iter().enumerate() {
            self.define(name, ValueId::from_index(start + index), span);
        }
        let mut ops = Vec::new();
        loop {
            if self.cursor.at_end() || self.too_many_errors() {
                break;
            }
            match self.cursor.byte() {
                b'}' if top => {
                    let span = self.here();
                    let diagnostic = Diagnostic::error("syntax::unclosed", "this `}` closes nothing");
                    self.report(diagnostic.label(span, "remove it, or look for a missing `{` above"));
                    self.cursor.at += 1;
                    continue;
                }
                b'}' => break,
                b'^' if !top => break,
                b'#' | b'!' if top => {
                    if self.alias().is_err() {
                        self.recover();
                    }
                    continue;
                }
                _ => {}
            }
            let before = self.cursor.at;
            match self.operation() {
                Ok(op) => ops.push(op),
                Err(Failed) => {
                    self.cursor.at = before;
                    self.recover();
                }
            }
        }
        let tables = &mut self.data.tables;
        let first = tables.block_ops.len();
        tables.block_ops.extend(ops);
        Block {
            body: BodyId::NONE,
            args: Range::new(start, start + args.len()),
            ops: Range::new(first, tables.block_ops.len()),
            label: label.map_or(StrId::NONE, |l| self.data.strings.intern(l)),
        }
    }

    /// Skips the operation at the cursor: to the next line that starts one, or to the `}` of the enclosing body.
    /// Balanced braces are skipped whole; after one that is never closed, its inside is read as if it stood outside.
    fn recover(&mut self) {
        let begin = self.cursor.peek_at();
        let bytes = self.cursor.text.as_bytes();
        let mut skip_braces = true;
        while self.cursor.at < bytes.len() {
            match bytes[self.cursor.at] {
                b'}' if self.cursor.at > begin => return,
                b'{' if skip_braces && self.cursor.balanced().is_some() => continue,
                b'{' => skip_braces = false,
                b'"' if self.cursor.string().is_some() => continue,
                b'/' if bytes.get(self.cursor.at + 1) == Some(&b'/') => {
                    let line = &bytes[self.cursor.at..];
                    self.cursor.at += line.iter().position(|&b| b == b'\n').unwrap_or(line.len());
                    continue;
                }
                b'\n' => {
                    self.cursor.skip();
                    if self.cursor.at > begin && self.cursor.starts_operation() {
                        return;
                    }
                    continue;
                }
                _ => {}
            }
            self.cursor.at += 1;
        }
    }

    /// `#name = attribute` or `!name = type`.
    fn alias(&mut self) -> Parsed<()> {
        if self.cursor.byte() == b'!' {
            let Some(name) = self.cursor.sigil_name(b'!') else { return self.expected("a type alias") };
            self.expect("=")?;
            let ty = self.ty()?;
            self.types.alias(name, ty);
            return Ok(());
        }
        let Some(name) = self.cursor.sigil_name(b'#') else { return self.expected("an attribute alias") };
        self.expect("=")?;
        let value = self.attr_value()?;
        self.attr_aliases.insert(name, value);
        Ok(())
    }

    // Types and attributes

    pub(super) fn ty(&mut self) -> Parsed<TypeId> {
        match self.types.read(&mut self.cursor, &mut self.data, &self.target, 0) {
            Ok(ty) => Ok(ty),
            Err(error) => {
                let span = TextRange { start: error.start as u32, end: error.end as u32 };
                self.error(span, error.message, "in this type")
            }
        }
    }

    /// Reads `T` or `(T, T)`.
    pub(super) fn type_or_list(&mut self) -> Parsed<Vec<TypeId>> {
        if self.cursor.peek() != b'(' {
            return Ok(vec![self.ty()?]);
        }
        match self.types.read_list(&mut self.cursor, &mut self.data, &self.target, 0) {
            Ok(types) => Ok(types),
            Err(error) => {
                let span = TextRange { start: error.start as u32, end: error.end as u32 };
                self.error(span, error.message, "in this list of types")
            }
        }
    }

    /// Reads `{name = value, name}` if it is next.
    pub(super) fn attr_dict(&mut self, out: &mut Vec<Attr>) -> Parsed<()> {
        if !self.cursor.eat("{") {
            return Ok(());
        }
        while !self.cursor.eat("}") {
            let start = self.cursor.peek_at();
            let name = match self.cursor.byte() {
                b'"' => self.cursor.string(),
                _ => self.cursor.word().map(str::to_owned),
            };
            let Some(name) = name else { return self.expected("an attribute name or `}`") };
            let name_span = self.span_from(start);
            let value =
                if self.cursor.eat("=") { self.attr_value()? } else { self.attr(AttrValue::default()) };
            let name_id = self.data.strings.intern(&name);
            if let Some(first) = out.iter().find(|a| a.name == name_id) {
                let first = first.span;
                let diagnostic =
                    Diagnostic::error("syntax::duplicate-attribute", format!("`{name}` is given twice"))
                        .label(name_span, "again here")
                        .label(first, "first here");
                self.report(diagnostic);
            }
            let span = self.span_from(start);
            out.push(Attr { name: name_id, value, span });
            if !self.cursor.eat(",") && self.cursor.peek() != b'}' {
                return self.expected("`,` or `}` in an attribute dictionary");
            }
        }
        Ok(())
    }

    /// Stores an attribute value.
    pub(super) fn attr(&mut self, value: AttrValue) -> AttrId {
        let id = AttrId::from_index(self.data.tables.attr_values.len());
        self.data.tables.attr_values.push(value);
        id
    }

    pub(super) fn push_attr(&mut self, draft: &mut Draft<'t>, name: &str, value: AttrValue, span: TextRange) {
        let name = self.data.strings.intern(name);
        let value = self.attr(value);
        draft.attrs.push(Attr { name, value, span });
    }

    pub(super) fn push_text_attr(
        &mut self,
        draft: &mut Draft<'t>,
        name: &str,
        kind: u32,
        text: &str,
        span: TextRange,
    ) {
        let text = self.data.strings.intern(text);
        self.push_attr(draft, name, AttrValue { kind, text, ..Default::default() }, span);
    }

    /// Reads an attribute value.
    pub(super) fn attr_value(&mut self) -> Parsed<AttrId> {
        let value = self.attr_value_record()?;
        Ok(self.attr(value))
    }

    pub(super) fn attr_value_record(&mut self) -> Parsed<AttrValue> {
        let start = self.cursor.peek_at();
        match self.cursor.byte() {
            b'"' => match self.cursor.string() {
                Some(text) => Ok(AttrValue {
                    kind: attr_kind::STRING,
                    text: self.data.strings.intern(&text),
                    ..Default::default()
                }),
                None => {
                    let span = TextRange { start: start as u32, end: start as u32 + 1 };
                    self.error(span, "this string is never closed", "opened here")
                }
            },
            b'@' => {
                let mut symbol = match self.cursor.sigil_name(b'@') {
                    Some(name) => name.to_owned(),
                    None => {
                        self.cursor.at += 1;
                        match self.cursor.string() {
                            Some(name) => name,
                            None => return self.expected("a symbol name"),
                        }
                    }
                };
                while self.cursor.eat("::@") {
                    symbol = format!("{symbol}::{}", self.cursor.word().unwrap_or(""));
                }
                let text = self.data.strings.intern(&symbol);
                Ok(AttrValue { kind: attr_kind::SYMBOL, text, ..Default::default() })
            }
            b'[' => {
                self.cursor.eat("[");
                let mut children = Vec::new();
                while !self.cursor.eat("]") {
                    let start = self.cursor.peek_at();
                    let value = self.attr_value()?;
                    children.push(Attr { name: StrId::NONE, value, span: self.span_from(start) });
                    if !self.cursor.eat(",") && self.cursor.peek() != b']' {
                        return self.expected("`,` or `]`");
                    }
                }
                Ok(AttrValue {
                    kind: attr_kind::ARRAY,
                    children: self.children(children),
                    ..Default::default()
                })
            }
            b'{' => {
                let mut children = Vec::new();
                self.attr_dict(&mut children)?;
                Ok(AttrValue {
                    kind: attr_kind::DICT,
                    children: self.children(children),
                    ..Default::default()
                })
            }
            b'#' => self.dialect_attr(),
            b'<' => {
                let Some(text) = self.cursor.balanced() else { return self.expected("a closing `>`") };
                let text = self.data.strings.intern(text[1..text.len() - 1].trim());
                Ok(AttrValue { kind: attr_kind::ENUM, text, ..Default::default() })
            }
            b'-' | b'0'..=b'9' => self.number_attr(),
            b'!' | b'(' => self.type_attr(),
            _ => {
                let word = self.cursor.peek_word();
                match word {
                    "true" | "false" => {
                        self.cursor.word();
                        let bits = u64::from(word == "true");
                        if self.cursor.eat(":") {
                            self.ty()?;
                        }
                        Ok(AttrValue { kind: attr_kind::BOOL, bits, ..Default::default() })
                    }
                    "unit" => {
                        self.cursor.word();
                        Ok(AttrValue::default())
                    }
                    "" => self.expected("an attribute value"),
                    "dense" | "array" | "affine_map" | "affine_set" | "loc" | "opaque" | "dense_resource" => {
                        self.cursor.word();
                        if matches!(self.cursor.peek(), b'<' | b'(') && self.cursor.balanced().is_none() {
                            return self.expected("a closing bracket");
                        }
                        let mut ty = TypeId::NONE;
                        let text = self.cursor.text[start..self.cursor.at].to_owned();
                        if self.cursor.eat(":") {
                            ty = self.ty()?;
                        }
                        let text = self.data.strings.intern(&text);
                        Ok(AttrValue { kind: attr_kind::OTHER, text, ty, ..Default::default() })
                    }
                    _ => {
                        // A bare word is a type if it reads as one, else an enumeration's value.
                        let known = self.types.read(&mut self.cursor, &mut self.data, &self.target, 0);
                        if let Ok(ty) = known {
                            return Ok(AttrValue { kind: attr_kind::TYPE, ty, ..Default::default() });
                        }
                        self.cursor.at = start;
                        self.cursor.word();
                        let text = self.data.strings.intern(word);
                        Ok(AttrValue { kind: attr_kind::ENUM, text, ..Default::default() })
                    }
                }
            }
        }
    }

    fn children(&mut self, children: Vec<Attr>) -> Range {
        let attrs = &mut self.data.tables.attrs;
        let start = attrs.len();
        attrs.extend(children);
        Range::new(start, attrs.len())
    }

    fn type_attr(&mut self) -> Parsed<AttrValue> {
        let ty = self.ty()?;
        Ok(AttrValue { kind: attr_kind::TYPE, ty, ..Default::default() })
    }

    /// A number with or without `: type`.
    pub(super) fn number_attr(&mut self) -> Parsed<AttrValue> {
        let start = self.cursor.peek_at();
        let Some(text) = self.cursor.number() else { return self.expected("a number") };
        let span = self.span_from(start);
        let ty = if self.cursor.eat(":") { self.ty()? } else { TypeId::NONE };
        let is_float = ty.is_some() && self.kind_of(ty) == type_kind::FLOAT;
        if text.contains(['.', 'e', 'E']) && !text.contains("0x") || is_float {
            let number = match hex_digits(text) {
                // Hexadecimal is the bit pattern of the type.
                Some(bits) => {
                    float_of_bits(bits, self.data.tables.types[ty.index()].width, self.type_text(ty))
                }
                None => text.parse().unwrap_or(0.0),
            };
            return Ok(AttrValue {
                kind: attr_kind::FLOAT,
                bits: number.to_bits(),
                ty,
                ..Default::default()
            });
        }
        let parsed = match hex_digits(text) {
            Some(bits) => Some(bits as i64),
            None => text.parse::<i64>().ok().or_else(|| text.parse::<u64>().ok().map(|n| n as i64)),
        };
        match parsed {
            Some(number) => {
                Ok(AttrValue { kind: attr_kind::INT, bits: number as u64, ty, ..Default::default() })
            }
            None => self.error(span, format!("`{text}` does not fit 64 bits"), "too large"),
        }
    }

    /// `#pto.layout<nd>`, `#pto<cmp lt>`, `#alias`.
    fn dialect_attr(&mut self) -> Parsed<AttrValue> {
        let start = self.cursor.at;
        let Some(name) = self.cursor.sigil_name(b'#') else { return self.expected("an attribute") };
        if self.cursor.byte() != b'<' {
            if let Some(alias) = self.attr_aliases.get(name) {
                return Ok(self.data.tables.attr_values[alias.index()]);
            }
            let text = self.data.strings.intern(&self.cursor.text[start..self.cursor.at]);
            return Ok(AttrValue { kind: attr_kind::OTHER, text, ..Default::default() });
        }
        let Some(body) = self.cursor.balanced() else { return self.expected("a closing `>`") };
        let body = body[1..body.len() - 1].trim();
        let (detail, text) = match name.split_once('.') {
            Some((_, kind)) => (kind, body),
            None => body.split_once(char::is_whitespace).map_or(("", body), |(k, v)| (k, v.trim())),
        };
        if text.contains(['<', ',', '=']) {
            let text = self.data.strings.intern(&self.cursor.text[start..self.cursor.at]);
            return Ok(AttrValue { kind: attr_kind::OTHER, text, ..Default::default() });
        }
        let detail = self.data.strings.intern(detail);
        let text = self.data.strings.intern(text);
        Ok(AttrValue { kind: attr_kind::ENUM, text, detail, ..Default::default() })
    }

    /// The table entry of an operation, or none.
    pub(super) fn entry(&self, name: &str) -> EntryId {
        self.target_data.entry(name)
    }
}

fn hex_digits(text: &str) -> Option<u64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |t| (true, t));
    let bits = u64::from_str_radix(digits.strip_prefix("0x")?, 16).ok()?;
    Some(if negative { bits.wrapping_neg() } else { bits })
}

/// The number whose bit pattern in a type of `width` bits is `bits`.
fn float_of_bits(bits: u64, width: u32, name: &str) -> f64 {
    match (width, name) {
        (64, _) => f64::from_bits(bits),
        (16, "bf16") => f64::from(f32::from_bits((bits as u32) << 16)),
        (16, _) => {
            let (sign, exponent, fraction) = (bits >> 15 & 1, bits >> 10 & 0x1f, bits & 0x3ff);
            let sign = if sign == 1 { -1.0 } else { 1.0 };
            let fraction = fraction as f64 / 1024.0;
            match exponent {
                0 => sign * fraction * 2f64.powi(-14),
                0x1f if fraction == 0.0 => sign * f64::INFINITY,
                0x1f => f64::NAN,
                e => sign * (1.0 + fraction) * 2f64.powi(e as i32 - 15),
            }
        }
        _ => f64::from(f32::from_bits(bits as u32)),
    }
}
