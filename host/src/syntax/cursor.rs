//! Reading position in a source text, and the lexical rules of MLIR text.
//!
//! Tokens are read where the grammar wants them, straight from the text: nothing is materialized, so reading takes
//! memory for the program only. White space and `//` comments separate tokens.

/// A position in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// Where the last token ended, if white space behind it was skipped.
    token_end: usize,
    /// Where the last skipping of white space stopped.
    skipped_to: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self::starting_at(text, 0)
    }

    pub(super) fn starting_at(text: &'t str, at: usize) -> Self {
        Self { text, at, token_end: at, skipped_to: at }
    }

    /// Where the last token ended: the position, unless white space was skipped since.
    pub(super) fn end(&self) -> usize {
        if self.at == self.skipped_to { self.token_end } else { self.at }
    }

    fn bytes(&self) -> &'t [u8] {
        self.text.as_bytes()
    }

    /// The byte at the position, 0 at the end.
    pub(super) fn byte(&self) -> u8 {
        self.bytes().get(self.at).copied().unwrap_or(0)
    }

    fn byte_at(&self, at: usize) -> u8 {
        self.bytes().get(at).copied().unwrap_or(0)
    }

    /// Skips white space and comments.
    pub(super) fn skip(&mut self) {
        self.token_end = self.end();
        loop {
            match self.byte() {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'/' if self.byte_at(self.at + 1) == b'/' => self.skip_line(),
                _ => break,
            }
        }
        self.skipped_to = self.at;
    }

    /// Goes to the end of the line.
    pub(super) fn skip_line(&mut self) {
        let rest = &self.bytes()[self.at..];
        self.at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    }

    /// The first byte of the next token, 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        self.skip();
        self.byte()
    }

    /// Whether nothing but white space is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.skip();
        self.at >= self.text.len()
    }

    /// Takes the punctuation `token` if it is next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes the word `word` if it is next, whole.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == word;
        if found {
            self.at += word.len();
        }
        found
    }

    /// The next token if it is a word (a letter or `_`, then letters, digits, `_`, `$`, `.`), else nothing.
    pub(super) fn peek_word(&mut self) -> &'t str {
        self.skip();
        if !(self.byte().is_ascii_alphabetic() || self.byte() == b'_') {
            return "";
        }
        let end = self.run_end(self.at, |b| is_word(b) || b == b'.');
        &self.text[self.at..end]
    }

    /// Takes a word.
    pub(super) fn word(&mut self) -> Option<&'t str> {
        let word = self.peek_word();
        self.at += word.len();
        Some(word).filter(|w| !w.is_empty())
    }

    /// Takes `prefix` and the name behind it (letters, digits, `_ $ . -`), without the prefix.
    pub(super) fn sigil_name(&mut self, prefix: u8) -> Option<&'t str> {
        self.skip();
        if self.byte() != prefix {
            return None;
        }
        let start = self.at + 1;
        let end = self.run_end(start, |b| is_word(b) || b == b'.' || b == b'-');
        // `->` may follow a name directly.
        let end = if self.text[start..end].ends_with('-') { end - 1 } else { end };
        if end == start {
            return None;
        }
        self.at = end;
        Some(&self.text[start..end])
    }

    /// Takes `%name` or `%name#3`, without the `%`.
    pub(super) fn value_name(&mut self) -> Option<&'t str> {
        let start = self.peek_at() + 1;
        self.sigil_name(b'%')?;
        if self.byte() == b'#' && self.byte_at(self.at + 1).is_ascii_digit() {
            self.at = self.run_end(self.at + 1, |b| b.is_ascii_digit());
        }
        Some(&self.text[start..self.at])
    }

    /// Position of the next token.
    pub(super) fn peek_at(&mut self) -> usize {
        self.skip();
        self.at
    }

    /// Takes a string literal. The text between the quotes, escapes resolved.
    pub(super) fn string(&mut self) -> Option<String> {
        self.skip();
        if self.byte() != b'"' {
            return None;
        }
        let mut out: Vec<u8> = Vec::new();
        let mut at = self.at + 1;
        loop {
            match self.byte_at(at) {
                0 if at >= self.text.len() => return None,
                b'"' => break,
                b'\\' => {
                    let next = self.byte_at(at + 1);
                    let hex = |b: u8| (b as char).to_digit(16);
                    match next {
                        b'n' => out.push(b'\n'),
                        b't' => out.push(b'\t'),
                        b'\\' | b'"' => out.push(next),
                        _ => match (hex(next), hex(self.byte_at(at + 2))) {
                            (Some(high), Some(low)) => {
                                out.push((high * 16 + low) as u8);
                                at += 1;
                            }
                            _ => return None,
                        },
                    }
                    at += 2;
                }
                b'\n' => return None,
                byte => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        self.at = at + 1;
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    /// Takes a number: its text, sign included.
    pub(super) fn number(&mut self) -> Option<&'t str> {
        self.skip();
        let start = self.at;
        let mut at = start + usize::from(self.byte() == b'-');
        if !self.byte_at(at).is_ascii_digit() {
            return None;
        }
        if self.byte_at(at) == b'0'
            && self.byte_at(at + 1) == b'x'
            && self.byte_at(at + 2).is_ascii_hexdigit()
        {
            at = self.run_end(at + 2, |b| b.is_ascii_hexdigit());
        } else {
            at = self.run_end(at, |b| b.is_ascii_digit());
            if self.byte_at(at) == b'.' {
                at = self.run_end(at + 1, |b| b.is_ascii_digit());
                if matches!(self.byte_at(at), b'e' | b'E') {
                    let exponent = at + 1 + usize::from(matches!(self.byte_at(at + 1), b'+' | b'-'));
                    if self.byte_at(exponent).is_ascii_digit() {
                        at = self.run_end(exponent, |b| b.is_ascii_digit());
                    }
                }
            }
        }
        self.at = at;
        Some(&self.text[start..at])
    }

    /// Takes text from the opening bracket at the position up to the bracket that closes it; nothing if none does, or
    /// one of another kind. Strings and `->` inside count as what they are.
    pub(super) fn balanced(&mut self) -> Option<&'t str> {
        let start = self.at;
        let mut open = Vec::new();
        let mut at = start;
        loop {
            match self.byte_at(at) {
                0 if at >= self.text.len() => return None,
                b'<' => open.push(b'>'),
                b'(' => open.push(b')'),
                b'[' => open.push(b']'),
                b'{' => open.push(b'}'),
                b'-' if self.byte_at(at + 1) == b'>' => at += 1,
                close @ (b'>' | b')' | b']' | b'}') => {
                    if open.pop() != Some(close) {
                        return None;
                    }
                    if open.is_empty() {
                        self.at = at + 1;
                        return Some(&self.text[start..self.at]);
                    }
                }
                b'"' => {
                    let mut inner = Self::starting_at(self.text, at);
                    inner.string()?;
                    at = inner.at - 1;
                }
                b'/' if self.byte_at(at + 1) == b'/' => {
                    let mut inner = Self::starting_at(self.text, at);
                    inner.skip();
                    at = inner.at - 1;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Whether an operation starts at the next token: `%a = `, a word with a dot, a generic name, a known word.
    pub(super) fn starts_operation(&self) -> bool {
        let mut ahead = *self;
        match ahead.peek() {
            b'%' => ahead.results_end().is_ok(),
            b'"' => ahead.string().is_some() && ahead.peek() == b'(',
            _ => {
                let word = ahead.peek_word();
                word.contains('.') || matches!(word, "return" | "module" | "call")
            }
        }
    }

    /// Goes over `%a, %b:2 =`. If there is no such thing: where that was found out. Nothing that starts with a `%`
    /// between here and there is one either.
    pub(super) fn results_end(&mut self) -> Result<(), usize> {
        loop {
            let named = self.value_name().is_some();
            let counted = !self.eat(":") || self.number().is_some();
            if !named || !counted {
                return Err(self.at);
            }
            if self.eat(",") {
                continue;
            }
            return if self.eat("=") && self.byte() != b'=' { Ok(()) } else { Err(self.at) };
        }
    }

    fn run_end(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes().get(from..).unwrap_or(&[]);
        from + rest.iter().position(|&b| !belongs(b)).unwrap_or(rest.len())
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let mut c = Cursor::new("  // note\n %a#1 @f-> -0x1F 1.5e+03 \"a\\n\\22\" scf.for");
        assert_eq!(c.value_name(), Some("a#1"));
        assert_eq!(c.sigil_name(b'@'), Some("f"));
        assert!(c.eat("->"));
        assert_eq!((c.number(), c.number()), (Some("-0x1F"), Some("1.5e+03")));
        assert_eq!(c.string().as_deref(), Some("a\n\""));
        assert_eq!(c.word(), Some("scf.for"));
        assert!(c.at_end());
    }

    #[test]
    fn brackets_balance_over_strings_arrows_and_comments() {
        let mut c = Cursor::new("<a(\">\") -> b // >\n<c>> tail");
        assert_eq!(c.balanced(), Some("<a(\">\") -> b // >\n<c>>"));
        assert_eq!(Cursor::new("<a").balanced(), None);
        assert_eq!(Cursor::new("<a(>)").balanced(), None);
    }

    #[test]
    fn operations_are_told_from_operands() {
        for text in ["%a = x", "%a:2 = x", "%a, %b = x", "pto.tload ins", "\"pto.x\"(", "return"] {
            assert!(Cursor::new(text).starts_operation(), "{text}");
        }
        for text in ["%a, %b : i32", "outs(%a)", "\"text\" : T", "}", "%a == %b"] {
            assert!(!Cursor::new(text).starts_operation(), "{text}");
        }
    }
}
