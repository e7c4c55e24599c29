//! Insertions into a text, and where a line goes that stands before, after or inside of something.
//!
//! What must hold: insertions at one position come out in the order in which they were made, and nothing that was in
//! the text is lost.

use std::collections::HashSet;

/// Changes of a text, to be applied together.
#[derive(Debug)]
pub(crate) struct Edits<'s> {
    source: &'s str,
    newline: &'static str,
    list: Vec<Edit>,
    /// Where a line is broken in two.
    breaks: HashSet<usize>,
}

/// Puts `text` in the place of the bytes from `start` to `end`.
#[derive(Debug)]
struct Edit {
    start: usize,
    /// At one position lines come first, then the break of the line that they stand in.
    is_break: bool,
    end: usize,
    text: String,
}

impl<'s> Edits<'s> {
    /// No changes yet.
    pub(crate) fn new(source: &'s str) -> Self {
        let newline = if source.contains("\r\n") { "\r\n" } else { "\n" };
        Self { source, newline, list: Vec::new(), breaks: HashSet::new() }
    }

    /// The text with all changes made. A change inside of another one is dropped.
    pub(crate) fn apply(mut self) -> String {
        self.list.sort_by_key(|edit| (edit.start, edit.is_break));
        let added: usize = self.list.iter().map(|edit| edit.text.len()).sum();
        let mut out = String::with_capacity(self.source.len() + added);
        let mut at = 0;
        for Edit { start, end, text, .. } in &self.list {
            if *start >= at {
                out.push_str(&self.source[at..*start]);
                out.push_str(text);
                at = *end;
            }
        }
        out.push_str(&self.source[at..]);
        out
    }

    /// Puts text at a position.
    pub(crate) fn insert(&mut self, at: usize, text: String) {
        self.replace(at, at, text);
    }

    /// Puts text in the place of a range. A range that is none in the text changes nothing.
    pub(crate) fn replace(&mut self, start: usize, end: usize, text: String) {
        self.push(Edit { start, is_break: false, end, text });
    }

    fn push(&mut self, edit: Edit) {
        let is_place = |at| self.source.is_char_boundary(at);
        if edit.start <= edit.end && is_place(edit.start) && is_place(edit.end) {
            self.list.push(edit);
        }
    }

    /// A line before what stands at `at`.
    pub(crate) fn before(&mut self, at: usize, indent: &str, line: &str) {
        self.break_line(at, indent);
        self.insert(at, format!("{line}{}{indent}", self.newline));
    }

    /// A line behind what ends at `at`, and behind a comment that follows there. What else follows goes to a line of
    /// its own, with the indentation `next`.
    pub(crate) fn after(&mut self, at: usize, indent: &str, line: &str, next: &str) {
        let rest = self.source[at..].lines().next().unwrap_or("");
        let follows = rest.trim_start();
        if follows.is_empty() || follows.starts_with("//") {
            self.insert(at + rest.len(), format!("{}{indent}{line}", self.newline));
        } else {
            self.insert(at, format!("{}{indent}{line}", self.newline));
            self.break_line(at + rest.len() - follows.len(), next);
        }
    }

    /// A line at the end of a body, before the brace that closes it at `close`; `outer` is the brace's indentation.
    pub(crate) fn end(&mut self, close: usize, indent: &str, line: &str, outer: &str) {
        if self.starts_line(close) {
            self.insert(self.line_start(close), format!("{indent}{line}{}", self.newline));
        } else {
            self.insert(self.gap(close), format!("{}{indent}{line}", self.newline));
            self.break_line(close, outer);
        }
    }

    /// Makes what stands at `at` the first of its line.
    fn break_line(&mut self, at: usize, indent: &str) {
        if !self.starts_line(at) && self.breaks.insert(at) {
            let text = format!("{}{indent}", self.newline);
            self.push(Edit { start: self.gap(at), is_break: true, end: at, text });
        }
    }

    /// Where the white space before a position starts.
    fn gap(&self, at: usize) -> usize {
        self.source[..at].trim_end_matches([' ', '\t']).len()
    }

    /// Whether nothing but white space stands before the position on its line.
    pub(crate) fn starts_line(&self, at: usize) -> bool {
        self.line_start(at) == self.gap(at)
    }

    /// The line break of the text.
    pub(crate) fn newline(&self) -> &'static str {
        self.newline
    }

    /// The white space that the line of the position starts with.
    pub(crate) fn indent(&self, at: usize) -> &'s str {
        let line = &self.source[self.line_start(at)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }

    fn line_start(&self, at: usize) -> usize {
        self.source[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Where a block starts whose body opens with the brace before `open`: behind its label if it has one.
    pub(crate) fn behind_label(&self, open: usize) -> usize {
        let skip = |mut at: usize| loop {
            let rest = &self.source[at..];
            let text = rest.trim_start();
            at += rest.len() - text.len();
            if !text.starts_with("//") {
                return at;
            }
            at += text.find('\n').unwrap_or(text.len());
        };
        let label = skip(open);
        if !self.source[label..].starts_with('^') {
            return open;
        }
        // Arguments may hold anything in brackets; the colon outside of them ends the label.
        let mut depth = 0usize;
        let bytes = self.source.as_bytes();
        let mut at = label;
        while at < bytes.len() {
            match bytes[at] {
                b'(' | b'<' | b'[' | b'{' => depth += 1,
                b'-' if bytes.get(at + 1) == Some(&b'>') => at += 1,
                b')' | b'>' | b']' | b'}' => depth = depth.saturating_sub(1),
                b':' if depth == 0 => return at + 1,
                b'/' if bytes.get(at + 1) == Some(&b'/') => {
                    at = skip(at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(source: &str, edit: impl FnOnce(&mut Edits<'_>, &dyn Fn(&str) -> usize)) -> String {
        let mut edits = Edits::new(source);
        edit(&mut edits, &|piece| source.find(piece).unwrap());
        edits.apply()
    }

    #[test]
    fn lines_keep_indentation_order_and_comments() {
        let source = "for {\n    // about it\n    op // tail\n\n    b\n}\n";
        let text = edited(source, |edits, find| {
            for line in ["w1", "w2"] {
                edits.before(find("op"), "    ", line);
            }
            for line in ["s1", "s2"] {
                edits.after(find("op") + 2, "    ", line, "    ");
            }
            edits.after(5, "    ", "first", "    ");
            edits.end(find("}"), "    ", "last", "");
        });
        assert_eq!(
            text,
            "for {\n    first\n    // about it\n    w1\n    w2\n    op // tail\n    s1\n    s2\n\n    b\n    last\n}\n"
        );
    }

    #[test]
    fn what_stands_on_one_line_is_taken_apart() {
        let text = edited("if { a b }", |edits, find| {
            for line in ["x", "y"] {
                edits.after(4, "  ", line, "  ");
            }
            for line in ["w1", "w2"] {
                edits.before(find("a"), "  ", line);
            }
            edits.after(find("a") + 1, "  ", "s", "  ");
            edits.before(find("b"), "  ", "w");
            for line in ["t1", "t2"] {
                edits.after(find("b") + 1, "  ", line, "");
            }
            edits.end(find("}"), "  ", "end", "");
        });
        assert_eq!(text, "if {\n  x\n  y\n  w1\n  w2\n  a\n  s\n  w\n  b\n  t1\n  t2\n  end\n}");
    }

    #[test]
    fn line_breaks_stay_what_they_are() {
        let text = edited("a\r\nb\r\n", |edits, find| {
            edits.after(find("a") + 1, "", "s", "");
            edits.before(find("b"), "", "w");
        });
        assert_eq!(text, "a\r\ns\r\nw\r\nb\r\n");
    }

    #[test]
    fn a_block_starts_behind_its_label() {
        let labelled = "{ // ^no\n ^bb0(%x: !pto.ptr<f32>, %f: (i32) -> i32):";
        for (source, want) in
            [("{ a }", "{"), (&*format!("{labelled} a }}"), labelled), ("{\n^bb1: a", "{\n^bb1:")]
        {
            assert_eq!(&source[..Edits::new(source).behind_label(1)], want);
        }
    }
}
