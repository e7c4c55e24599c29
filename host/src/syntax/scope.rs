//! Values by name: what each `%name` means at the current position.
//!
//! What must hold: an undefined name and a name defined twice are reported once each; whatever is reported, every use
//! still gets a value, so that the rest of the operation can be read.

use std::collections::HashMap;

use pipewright_abi::ir::Value;
use pipewright_abi::{OpId, Range, TextRange, TypeId, ValueId};

use super::errors::Parsed;
use super::parser::{Parser, ResultName};
use crate::diagnostic::{Diagnostic, did_you_mean};

impl<'t> Parser<'t, '_> {
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
            let found = ValueId(value.0.saturating_add(member));
            if member == 0 || self.is_member(value, found, name) {
                return Ok((found, span));
            }
        }
        Ok((self.undefined(name, base, span), span))
    }

    /// Whether `found` is the member `name` of the group of results that starts with `first`.
    fn is_member(&self, first: ValueId, found: ValueId, name: &str) -> bool {
        let values = &self.data.tables.values;
        let Some(value) = values.get(found.index()) else { return false };
        value.op == values[first.index()].op && self.data.strings.view().get(value.name) == name
    }

    /// Reports the name, once for each function, and makes a value of it.
    fn undefined(&mut self, name: &'t str, base: &'t str, span: TextRange) -> ValueId {
        if !self.too_many_errors() && self.undefined.insert(name) {
            let mut diagnostic =
                Diagnostic::error("syntax::undefined-value", format!("`%{name}` is not defined here"))
                    .label(span, "used here");
            let help = match self.scope.get(base) {
                Some(&value) if self.data.tables.values[value.index()].op.is_some() => {
                    format!("`%{base}` has no such member")
                }
                // Names of one or two letters are all alike.
                _ if base.len() < 3 => String::new(),
                _ => {
                    let mut candidates: Vec<&str> = self.scope.keys().copied().collect();
                    candidates.sort_unstable();
                    let likely = did_you_mean(base, candidates);
                    likely.map_or(String::new(), |likely| format!("did you mean `%{likely}`?"))
                }
            };
            if let Some(&ended) = self.ended.get(base) {
                diagnostic = diagnostic.label(ended, "defined here, for the body that it stands in");
                self.report(diagnostic);
            } else {
                self.report(diagnostic.help(help));
            }
        }
        let value = ValueId::from_index(self.data.tables.values.len());
        self.data.tables.values.push(Value { ty: self.error_type, ..Default::default() });
        value
    }

    /// Makes the results of an operation, and their names mean them.
    pub(super) fn define_results(&mut self, op: OpId, names: &[ResultName<'t>], types: &[TypeId]) -> Range {
        let start = self.data.tables.values.len();
        let named: usize = names.iter().map(|n| n.count).sum();
        for index in 0..named.max(types.len()) {
            let ty = types.get(index).copied().unwrap_or(self.error_type);
            let value = Value { ty, op, index: index as u32, ..Default::default() };
            self.data.tables.values.push(value);
        }
        let mut index = start;
        for result in names {
            self.define(result.name, ValueId::from_index(index), result.span);
            if result.count > 1 {
                // The members are named `%a#k`; the bare name is the first one's, and the others are found from it.
                for k in 0..result.count {
                    let text = self.data.strings.intern(&format!("{}#{k}", result.name));
                    let value = &mut self.data.tables.values[index + k];
                    (value.name, value.span) = (text, result.span);
                }
            }
            index += result.count;
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

    /// Number of names defined so far, for [`Parser::leave_scope`].
    pub(super) fn enter_scope(&self) -> usize {
        self.undo.len()
    }

    /// Forgets the names defined since `mark`.
    pub(super) fn leave_scope(&mut self, mark: usize) {
        for (name, previous) in self.undo.drain(mark..).rev() {
            let left = match previous {
                Some(value) => self.scope.insert(name, value),
                None => self.scope.remove(name),
            };
            if let Some(value) = left {
                self.ended.insert(name, self.data.tables.values[value.index()].span);
            }
        }
    }

    /// Hides all names, for a function's body. [`Parser::restore_scope`] brings them back.
    pub(super) fn isolate_scope(&mut self) -> HashMap<&'t str, ValueId> {
        self.undefined.clear();
        self.ended.clear();
        core::mem::take(&mut self.scope)
    }

    /// Brings back what [`Parser::isolate_scope`] hid.
    pub(super) fn restore_scope(&mut self, scope: HashMap<&'t str, ValueId>) {
        self.scope = scope;
    }
}
