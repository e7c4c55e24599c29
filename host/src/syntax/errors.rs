//! What the parser says when something is wrong.

use pipewright_abi::{TextRange, TypeId};

use super::TOO_MANY;
use super::parser::{DraftOperand, Parser};
use crate::diagnostic::Diagnostic;

/// An error that has been reported.
#[derive(Debug)]
pub(super) struct Failed;

pub(super) type Parsed<T> = Result<T, Failed>;

/// Errors after which reading stops.
const MAX_ERRORS: usize = 50;

impl<'t> Parser<'t, '_> {
    pub(super) fn span_from(&self, start: usize) -> TextRange {
        TextRange { start: start as u32, end: self.cursor.end().max(start) as u32 }
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

    /// Keeps a diagnostic, up to a limit.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) -> Failed {
        if self.diagnostics.len() < MAX_ERRORS {
            self.diagnostics.push(diagnostic);
        } else if self.diagnostics.len() == MAX_ERRORS {
            let last = diagnostic.labels.first().map_or(TextRange::default(), |l| l.span);
            let message = format!("more than {MAX_ERRORS} errors");
            self.diagnostics.push(Diagnostic::error(TOO_MANY, message).label(last, "stopped here"));
        }
        Failed
    }

    pub(super) fn error<T>(
        &mut self,
        code: &'static str,
        span: TextRange,
        message: impl Into<String>,
        label: &str,
    ) -> Parsed<T> {
        Err(self.report(Diagnostic::error(code, message).label(span, label)))
    }

    /// Reports that `what` should stand at the current position.
    pub(super) fn expected<T>(&mut self, what: &str) -> Parsed<T> {
        let diagnostic = self.expectation(what);
        Err(self.report(diagnostic))
    }

    fn expectation(&mut self, what: &str) -> Diagnostic {
        let span = self.here();
        if self.cursor.at_end() {
            // The bodies that are open here are cut off by the same mistake.
            self.cut_off = true;
            return Diagnostic::error("syntax::expected", format!("the file ends where {what} should stand"))
                .label(span, "end of file");
        }
        Diagnostic::error("syntax::expected", format!("expected {what}")).label(span, "found this")
    }

    pub(super) fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.cursor.eat(token) { Ok(()) } else { self.expected(&format!("`{token}`")) }
    }

    /// Goes on with a list that `open` starts and `close` ends: whether another element follows. To be called behind
    /// each element.
    pub(super) fn more(&mut self, open: usize, close: &str) -> Parsed<()> {
        if self.cursor.eat(",") || self.cursor.text[self.cursor.peek_at()..].starts_with(close) {
            return Ok(());
        }
        let open = TextRange { start: open as u32, end: open as u32 + 1 };
        let diagnostic =
            self.expectation(&format!("`,` or `{close}`")).label(open, "to go on with this list");
        Err(self.report(diagnostic))
    }

    /// Reports a bracket that nothing closes.
    pub(super) fn unclosed<T>(&mut self, open: usize) -> Parsed<T> {
        let bracket = self.cursor.text[open..].chars().next().unwrap_or(' ');
        let span = TextRange { start: open as u32, end: (open + bracket.len_utf8()) as u32 };
        let here = self.here();
        self.cut_off |= self.cursor.at_end();
        let diagnostic = Diagnostic::error("syntax::unclosed", format!("this `{bracket}` is never closed"))
            .label(span, "opened here")
            .label(here, "not closed before this");
        Err(self.report(diagnostic))
    }

    /// Takes a string literal; an opening quote without a closing one is an error.
    pub(super) fn string(&mut self) -> Parsed<String> {
        let start = self.cursor.peek_at();
        if self.cursor.byte() != b'"' {
            return self.expected("a string");
        }
        let Some(text) = self.cursor.string() else {
            let span = TextRange { start: start as u32, end: start as u32 + 1 };
            let mut rest = self.cursor;
            rest.skip_line();
            let line = &self.cursor.text[start + 1..rest.at];
            let is_closed = line.replace("\\\\", "").replace("\\\"", "").contains('"');
            let diagnostic = if is_closed {
                Diagnostic::error("syntax::escape", "this string holds an escape that is none")
                    .help("escapes are `\\\\`, `\\\"`, `\\n`, `\\t` and two hexadecimal digits, `\\22`")
            } else {
                Diagnostic::error("syntax::unclosed", "this string is not closed on its line")
            };
            return Err(self.report(diagnostic.label(span, "opened here")));
        };
        Ok(text)
    }

    pub(super) fn too_many_errors(&self) -> bool {
        self.diagnostics.len() > MAX_ERRORS
    }

    /// The white space that the line of a position starts with. Of a very long line it is not looked for.
    pub(super) fn indentation(&self, at: usize) -> Option<&'t [u8]> {
        let bytes = self.cursor.text.as_bytes();
        let from = at.saturating_sub(4096);
        let line = match bytes[from..at].iter().rposition(|&b| b == b'\n') {
            Some(newline) => &bytes[from + newline + 1..],
            None if from == 0 => bytes,
            None => return None,
        };
        line.iter().position(|b| !matches!(b, b' ' | b'\t')).map(|end| &line[..end])
    }

    /// Reports all the bodies that the end of the file cuts off, once, unless another error may be the reason.
    pub(super) fn unclosed_body(&mut self, start: usize) {
        if !self.diagnostics.is_empty() {
            return;
        }
        let open = TextRange { start: start as u32, end: start as u32 + 1 };
        let here = self.here();
        let mut diagnostic = Diagnostic::error("syntax::unclosed", "this body is never closed")
            .label(open, "opened here")
            .label(here, "a `}` should stand here");
        if let Some((open, close)) = self.crooked {
            diagnostic = diagnostic
                .label(open, "or is it this one that was meant to be closed")
                .label(close, "before this, which closes it but is indented differently");
        }
        self.report(diagnostic);
    }

    /// Reports a type that is not the value's own, once for each value and type.
    pub(super) fn check_type(&mut self, operand: DraftOperand<'t>, written: TypeId, at: TextRange) {
        let own = self.type_of(operand.value);
        if own == written || own == self.error_type || written == self.error_type || self.too_many_errors() {
            return;
        }
        if !self.mismatched.insert((operand.value, written)) {
            return;
        }
        let value = self.data.tables.values[operand.value.index()];
        let name = self.data.strings.view().get(value.name).to_owned();
        let (own_text, written_text) = (self.type_text(own).to_owned(), self.type_text(written).to_owned());
        let mut diagnostic = Diagnostic::error(
            "syntax::type-mismatch",
            format!("`%{name}` is used with a type it does not have"),
        )
        .label(at, format!("`{written_text}` here"));
        if operand.span != at {
            diagnostic = diagnostic.label(operand.span, "the operand");
        }
        self.report(diagnostic.label(value.span, format!("defined as `{own_text}`")));
    }
}

/// `1 operand`, `2 operands`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
