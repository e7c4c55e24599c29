//! The parser's state, and everything around operations: blocks, bodies, errors, recovery.
//!
//! Reading does not stop at the first error: a failed operation is skipped to where the next one starts, the values
//! it would have defined exist with an error type, and nothing about those values is reported again. What must hold:
//! one mistake gives one error, and the time stays linear whatever the mistake is.

use std::collections::{HashMap, HashSet};

use pipewright_abi::ir::{Attr, Block, Body, ModuleData, Op, Operand, Value};
use pipewright_abi::target::{Target, TargetData};
use pipewright_abi::{AttrId, BlockId, BodyId, EntryId, OpId, Range, StrId, TextRange, TypeId, ValueId};

use super::cursor::Cursor;
use super::errors::{Failed, Parsed};
use super::types::{TypeError, TypeTable};
use crate::diagnostic::Diagnostic;

/// Deepest nesting of bodies. Every level takes stack, here and in whatever walks the module later.
const MAX_DEPTH: usize = 100;

pub(super) struct Parser<'t, 'g> {
    pub(super) cursor: Cursor<'t>,
    pub(super) data: ModuleData,
    pub(super) types: TypeTable<'t>,
    pub(super) target: Target<'g>,
    pub(super) target_data: &'g TargetData,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) error_type: TypeId,
    /// Values by name, see `scope`.
    pub(super) scope: HashMap<&'t str, ValueId>,
    pub(super) undo: Vec<(&'t str, Option<ValueId>)>,
    pub(super) attr_aliases: HashMap<&'t str, AttrId>,
    pub(super) nesting: usize,
    depth: usize,
    /// The end of the file was reported as an error.
    pub(super) cut_off: bool,
    /// A body whose ends are indented differently: the likely place of a missing brace.
    pub(super) crooked: Option<(TextRange, TextRange)>,
    /// Names up to here are known to be operands, not results.
    operands_until: usize,
    /// Names of the current function whose scope has ended.
    pub(super) ended: HashMap<&'t str, TextRange>,
    /// Undefined names that were reported in the current function.
    pub(super) undefined: HashSet<&'t str>,
    /// Values with the types that they were reported not to have.
    pub(super) mismatched: HashSet<(ValueId, TypeId)>,
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

impl Draft<'_> {
    /// Leaves nothing of a failed operation but the names of its results.
    pub(super) fn abandon(&mut self) {
        self.operands.clear();
        self.attrs.clear();
        self.bodies.clear();
        self.result_types.clear();
    }
}

/// The names of an operation's results.
#[derive(Clone, Copy)]
pub(super) struct ResultName<'t> {
    pub(super) name: &'t str,
    pub(super) count: usize,
    pub(super) span: TextRange,
}

/// One operand of an operation while it is being read.
#[derive(Clone, Copy)]
pub(super) struct DraftOperand<'t> {
    pub(super) value: ValueId,
    pub(super) span: TextRange,
    /// The group or keyword it stands in, empty if none.
    pub(super) group: &'t str,
    /// Slot in the table entry.
    pub(super) slot: u32,
}

impl<'t> DraftOperand<'t> {
    /// An operand in a group, with no slot yet.
    pub(super) fn new((value, span): (ValueId, TextRange), group: &'t str) -> Self {
        Self { value, span, group, slot: u32::MAX }
    }
}

impl<'t, 'g> Parser<'t, 'g> {
    pub(super) fn new(text: &'t str, target: &'g TargetData) -> Self {
        let mut data = ModuleData { source: text.into(), ..Default::default() };
        let mut types = TypeTable::for_text(text.len());
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
            attr_aliases: HashMap::new(),
            nesting: 0,
            depth: 0,
            cut_off: false,
            crooked: None,
            operands_until: 0,
            ended: HashMap::new(),
            undefined: HashSet::new(),
            mismatched: HashSet::new(),
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

    // Operations, blocks, bodies

    /// Whether an operation starts at the next token, see [`Cursor::starts_operation`].
    pub(super) fn starts_operation(&mut self) -> bool {
        let at = self.cursor.peek_at();
        if self.cursor.byte() != b'%' {
            return self.cursor.starts_operation();
        }
        // A long list of operands is looked through once, not once for each of them.
        at >= self.operands_until
            && match self.cursor.clone().results_end() {
                Ok(()) => true,
                Err(end) => {
                    self.operands_until = end;
                    false
                }
            }
    }

    /// Whether the next token is the first of its line.
    pub(super) fn at_new_line(&mut self) -> bool {
        let at = self.cursor.peek_at();
        self.cursor.text[self.cursor.end().min(at)..at].contains('\n')
    }

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

    pub(super) fn type_of(&self, value: ValueId) -> TypeId {
        self.data.tables.values[value.index()].ty
    }

    pub(super) fn kind_of(&self, ty: TypeId) -> u32 {
        self.data.tables.types[ty.index()].kind
    }

    pub(super) fn type_text(&self, ty: TypeId) -> &str {
        self.data.strings.view().get(self.data.tables.types[ty.index()].text)
    }

    /// Reads `{ blocks }`. `args` are defined in the first block.
    pub(super) fn body(&mut self, args: &[(&'t str, TypeId, TextRange)]) -> Parsed<Body> {
        let start = self.cursor.peek_at();
        if !self.cursor.eat("{") {
            let failed = self.expected::<Body>("`{`");
            // Go on as if it stood there, if what follows looks like the body.
            if !self.starts_operation() {
                return failed;
            }
        }
        if self.depth >= MAX_DEPTH {
            let span = TextRange { start: start as u32, end: start as u32 + 1 };
            let message = format!("bodies are nested more than {MAX_DEPTH} deep");
            return self.error("syntax::depth", span, message, "one too many");
        }
        self.depth += 1;
        let mark = self.enter_scope();
        let mut blocks = Vec::new();
        if self.cursor.peek() != b'^' || !args.is_empty() {
            let block = self.block_ops(None, args, false);
            blocks.push(block);
        }
        while self.cursor.peek() == b'^' {
            match self.labelled_block() {
                Ok(block) => blocks.push(block),
                Err(Failed) => {
                    self.recover();
                    let block = self.block_ops(None, &[], false);
                    blocks.push(block);
                }
            }
        }
        self.leave_scope(mark);
        self.depth -= 1;
        let close = self.cursor.peek_at();
        if self.cursor.eat("}") {
            let [outer, inner] = [start, close].map(|at| self.indentation(at));
            if self.crooked.is_none() && outer.is_some() && inner.is_some() && outer != inner {
                let point = |at: usize| TextRange { start: at as u32, end: at as u32 + 1 };
                self.crooked = Some((point(start), point(close)));
            }
        } else if !self.cut_off {
            self.cut_off = true;
            self.unclosed_body(start);
        }
        let span = self.span_from(start);
        Ok(self.body_of(blocks, span))
    }

    fn labelled_block(&mut self) -> Parsed<Block> {
        let Some(label) = self.cursor.sigil_name(b'^') else { return self.expected("a block label") };
        let mut args = Vec::new();
        let open = self.cursor.peek_at();
        if self.cursor.eat("(") {
            while !self.cursor.eat(")") {
                let start = self.cursor.peek_at();
                let Some(name) = self.cursor.value_name() else { return self.expected("a block argument") };
                let span = self.span_from(start);
                self.expect(":")?;
                let ty = self.ty()?;
                self.location()?;
                args.push((name, ty, span));
                self.more(open, ")")?;
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
                    // After another error it may be what is left of a body that could not be read.
                    if self.diagnostics.is_empty() {
                        let diagnostic = Diagnostic::error("syntax::unclosed", "this `}` closes nothing");
                        self.report(diagnostic.label(span, "remove it, or look for a missing `{` above"));
                    }
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
                b'"' => {
                    if self.cursor.string().is_none() {
                        self.cursor.skip_line();
                    }
                    continue;
                }
                b'/' if bytes.get(self.cursor.at + 1) == Some(&b'/') => {
                    self.cursor.skip_line();
                    continue;
                }
                b'\n' => {
                    self.cursor.skip();
                    if self.cursor.at > begin && self.starts_operation() {
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
        let start = self.cursor.peek_at();
        let Some(name) = self.cursor.sigil_name(b'#') else { return self.expected("an attribute alias") };
        self.expect("=")?;
        let value = self.attr_value()?;
        if self.is_large(value) {
            let span = self.span_from(start);
            return self.error(
                "syntax::depth",
                span,
                "this alias stands for too large an attribute",
                "this alias",
            );
        }
        self.attr_aliases.insert(name, value);
        Ok(())
    }

    // Types and attributes

    pub(super) fn ty(&mut self) -> Parsed<TypeId> {
        let read = self.types.read(&mut self.cursor, &mut self.data, &self.target, 0);
        read.map_err(|error| self.type_error(error, "in this type"))
    }

    /// Reads `T` or `(T, T)`.
    pub(super) fn type_or_list(&mut self) -> Parsed<Vec<TypeId>> {
        if self.cursor.peek() != b'(' {
            return Ok(vec![self.ty()?]);
        }
        let read = self.types.read_list(&mut self.cursor, &mut self.data, &self.target, 0);
        read.map_err(|error| self.type_error(error, "in this list of types"))
    }

    fn type_error(&mut self, error: TypeError, label: &str) -> Failed {
        let end = self.cursor.text.len();
        self.cut_off |= error.start >= end;
        let span = TextRange { start: error.start as u32, end: error.end.min(end) as u32 };
        self.report(Diagnostic::error("syntax::type", error.message).label(span, label).help(error.help))
    }

    /// The table entry of an operation, or none.
    pub(super) fn entry(&self, name: &str) -> EntryId {
        self.target_data.entry(name)
    }
}
