//! The pretty form of `pto` (and unknown) operations: a sequence of clauses.
//!
//! `ins(%a, %b : T, T)`, `(%a : T)`, `{k = v}`, `[<A>, %e]`, `%base[%i]`, `key = %x`, `sizes [1, 2]`, `<X>`, `: T`,
//! `-> T`. The clauses of every class read the same way, so the class of an operation need not be known to read it;
//! operands remember the group or keyword that they stand in, and `bind` gives them their names.

use pipewright_abi::TextRange;
use pipewright_abi::ir::{Attr, AttrValue, attr_kind};

use super::errors::Parsed;
use super::parser::{Draft, DraftOperand, Parser};

/// What the clauses of one operation say beyond operands and attributes.
#[derive(Default)]
pub(super) struct Clauses {
    /// Attributes that stand without a name, in order.
    pub(super) inline: Vec<(AttrValue, TextRange)>,
    /// Types behind the last `:` outside of brackets.
    pub(super) types: Vec<(pipewright_abi::TypeId, TextRange)>,
    /// Types behind `->`, or behind `outs :`.
    pub(super) results: Option<Vec<pipewright_abi::TypeId>>,
}

impl<'t> Parser<'t, '_> {
    pub(super) fn clauses(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let mut clauses = Clauses::default();
        let takes_body = self.class(draft.name) == "region";
        loop {
            if self.cursor.at_end() || self.starts_operation() {
                break;
            }
            match self.cursor.byte() {
                b'}' | b'^' | b')' | b']' => break,
                b'(' => self.group(draft, &mut clauses, "")?,
                b'{' if takes_body && draft.bodies.is_empty() => {
                    let body = self.body(&[])?;
                    draft.bodies.push(body);
                }
                b'{' => self.attr_dict(&mut draft.attrs)?,
                b'[' => {
                    let after_operand =
                        draft.operands.last().is_some_and(|o| o.span.end as usize == self.cursor.at);
                    self.list(draft, &mut clauses, if after_operand { "index" } else { "" })?;
                }
                b'%' => self.operand(draft, "")?,
                b',' => {
                    self.cursor.eat(",");
                }
                b':' => {
                    self.cursor.eat(":");
                    clauses.types.clear();
                    loop {
                        let at = self.cursor.peek_at();
                        let ty = self.ty()?;
                        let at = self.span_from(at);
                        clauses.types.push((ty, at));
                        if !self.cursor.eat(",") {
                            break;
                        }
                    }
                }
                b'-' if self.cursor.text[self.cursor.at..].starts_with("->") => {
                    self.cursor.eat("->");
                    clauses.results = Some(self.bare_results(draft)?);
                }
                b'<' | b'#' | b'@' | b'"' | b'-' | b'0'..=b'9' => self.inline(&mut clauses)?,
                _ => {
                    let word = self.cursor.peek_word();
                    if word.is_empty() {
                        return self.expected("an operand, a clause or the next operation");
                    }
                    if word == "loc" {
                        break;
                    }
                    self.keyword(draft, &mut clauses, false)?;
                }
            }
        }
        self.bind(draft, clauses)
    }

    /// `T`, `(T, T)`, or as many types without parentheses as there are results.
    fn bare_results(&mut self, draft: &Draft<'t>) -> Parsed<Vec<pipewright_abi::TypeId>> {
        let mut types = self.type_or_list()?;
        let named: usize = draft.results.iter().map(|r| r.count).sum();
        while types.len() < named && self.cursor.eat(",") {
            types.push(self.ty()?);
        }
        Ok(types)
    }

    /// The class of textual form that the table gives an operation; empty if it is not in the table.
    fn class(&self, name: &str) -> &str {
        let entry = self.entry(name).get();
        entry.map_or("", |e| self.target.str(self.target.t.entries[e.index()].class))
    }

    fn operand(&mut self, draft: &mut Draft<'t>, group: &'t str) -> Parsed<()> {
        let value = self.value_use()?;
        draft.operands.push(DraftOperand::new(value, group));
        Ok(())
    }

    fn inline(&mut self, clauses: &mut Clauses) -> Parsed<()> {
        let start = self.cursor.peek_at();
        let value = self.attr_value_record()?;
        let span = self.span_from(start);
        clauses.inline.push((value, span));
        Ok(())
    }

    /// `word(..)`, `word [..]`, `word = value`, `outs : T`, or a bare word, which is an attribute's value.
    fn keyword(&mut self, draft: &mut Draft<'t>, clauses: &mut Clauses, in_group: bool) -> Parsed<()> {
        let start = self.cursor.peek_at();
        let Some(word) = self.cursor.word() else { return self.expected("a word") };
        match self.cursor.peek() {
            b'(' => self.group(draft, clauses, word),
            b'[' => self.list(draft, clauses, word),
            b'=' => {
                self.cursor.eat("=");
                match self.cursor.peek() {
                    b'%' => {
                        self.operand(draft, word)?;
                        // In a group, and behind the groups of a `dps` operation, such an operand has its own type.
                        let typed = in_group || self.class(draft.name) == "dps";
                        if typed && self.cursor.eat(":") {
                            self.operand_type(draft)?;
                        }
                        Ok(())
                    }
                    b'[' => self.list(draft, clauses, word),
                    _ => {
                        let value = self.attr_value_record()?;
                        let span = self.span_from(start);
                        self.push_attr(draft, word, value, span);
                        Ok(())
                    }
                }
            }
            _ if word == "to" && !clauses.types.is_empty() => {
                clauses.results = Some(self.type_or_list()?);
                Ok(())
            }
            b':' if word == "outs" => {
                self.cursor.eat(":");
                clauses.results = Some(self.type_or_list()?);
                Ok(())
            }
            _ => {
                let span = self.span_from(start);
                let text = self.data.strings.intern(word);
                clauses.inline.push((AttrValue { kind: attr_kind::ENUM, text, ..Default::default() }, span));
                Ok(())
            }
        }
    }

    /// Reads the type of the operand that was read last.
    fn operand_type(&mut self, draft: &Draft<'t>) -> Parsed<()> {
        let at = self.cursor.peek_at();
        let ty = self.ty()?;
        let at = self.span_from(at);
        if let Some(&operand) = draft.operands.last() {
            self.check_type(operand, ty, at);
        }
        Ok(())
    }

    /// `(%a, %b {k = v} : T, T)`; operands may carry their types one by one.
    fn group(&mut self, draft: &mut Draft<'t>, clauses: &mut Clauses, name: &'t str) -> Parsed<()> {
        self.nested("groups", |this| this.group_inside(draft, clauses, name))
    }

    fn group_inside(&mut self, draft: &mut Draft<'t>, clauses: &mut Clauses, name: &'t str) -> Parsed<()> {
        let open = self.cursor.peek_at();
        self.expect("(")?;
        let mut untyped = draft.operands.len();
        loop {
            let new_line = self.at_new_line();
            match self.cursor.peek() {
                b')' => {
                    self.cursor.eat(")");
                    break;
                }
                _ if self.cursor.at_end() || (new_line && self.starts_operation()) => {
                    return self.unclosed(open);
                }
                b'%' => {
                    self.operand(draft, name)?;
                    if self.cursor.peek() == b'['
                        && draft.operands.last().is_some_and(|o| o.span.end as usize == self.cursor.at)
                    {
                        self.list(draft, clauses, "index")?;
                    }
                }
                b'{' => self.attr_dict(&mut draft.attrs)?,
                b',' => {
                    self.cursor.eat(",");
                }
                b':' => {
                    self.cursor.eat(":");
                    self.group_types(draft, &mut untyped)?;
                }
                b'<' | b'#' | b'@' | b'"' | b'-' | b'0'..=b'9' => self.inline(clauses)?,
                _ => {
                    if self.cursor.peek_word().is_empty() {
                        return self.expected("an operand or `)`");
                    }
                    let before = draft.operands.len();
                    self.keyword(draft, clauses, true)?;
                    // Operands under a keyword with `=` carry their own type.
                    if draft.operands.len() > before
                        && untyped == before
                        && draft.operands[before].group != name
                    {
                        let nested_typed = self.typed_alone(draft, before);
                        if nested_typed {
                            untyped = draft.operands.len();
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the operands from `first` on stand under `key = %x : T`, so that the group's types skip them.
    fn typed_alone(&self, draft: &Draft<'t>, first: usize) -> bool {
        let operand = draft.operands[first];
        let between = &self.cursor.text[operand.span.end as usize..self.cursor.at];
        between.trim_start().starts_with(':')
    }

    /// Types behind `:` in a group, for the operands from `untyped` on.
    fn group_types(&mut self, draft: &mut Draft<'t>, untyped: &mut usize) -> Parsed<()> {
        let start = self.cursor.peek_at();
        loop {
            let at = self.cursor.peek_at();
            let ty = self.ty()?;
            let at = self.span_from(at);
            let Some(&operand) = draft.operands.get(*untyped) else {
                let message = "more types than operands";
                return self.error("syntax::type-count", at, message, "a type without an operand");
            };
            self.check_type(operand, ty, at);
            *untyped += 1;
            let mut ahead = self.cursor;
            if !ahead.eat(",") || ahead.peek() == b'%' || ahead.peek() == b'{' {
                break;
            }
            // `name = %x` may follow instead of a type.
            let word = ahead.peek_word();
            if !word.is_empty() && {
                ahead.word();
                ahead.peek() == b'=' || ahead.peek() == b'('
            } {
                break;
            }
            self.cursor.eat(",");
        }
        if *untyped < draft.operands.len() {
            let span = self.span_from(start);
            let missing = draft.operands[*untyped].span;
            let diagnostic =
                crate::diagnostic::Diagnostic::error("syntax::type-count", "fewer types than operands")
                    .label(span, "these types")
                    .label(missing, "this operand has none");
            return Err(self.report(diagnostic));
        }
        Ok(())
    }

    /// `[%a, %b]`, `[16, 64]`, `[<PIPE_V>, %e]`.
    fn list(&mut self, draft: &mut Draft<'t>, clauses: &mut Clauses, name: &'t str) -> Parsed<()> {
        let start = self.cursor.peek_at();
        self.expect("[")?;
        let mut numbers: Vec<Attr> = Vec::new();
        while !self.cursor.eat("]") {
            let new_line = self.at_new_line();
            match self.cursor.peek() {
                _ if self.cursor.at_end() || (new_line && self.starts_operation()) => {
                    return self.unclosed(start);
                }
                b'%' => self.operand(draft, name)?,
                b'-' | b'0'..=b'9' if !name.is_empty() => {
                    let at = self.cursor.at;
                    let value = self.number_attr()?;
                    let value = self.attr(value);
                    let span = self.span_from(at);
                    numbers.push(Attr { name: pipewright_abi::StrId::NONE, value, span });
                }
                _ => self.inline(clauses)?,
            }
            self.more(start, "]")?;
        }
        if !numbers.is_empty() {
            let children = self.children(numbers);
            let span = self.span_from(start);
            self.push_attr(
                draft,
                name,
                AttrValue { kind: attr_kind::ARRAY, children, ..Default::default() },
                span,
            );
        }
        Ok(())
    }
}
