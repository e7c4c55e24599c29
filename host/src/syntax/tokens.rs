//! Text as tokens, and the white space that belongs between them.
//!
//! The parser reads without tokens; this is for what looks at text as text: formatting, and the spelling of types and
//! attributes whose meaning is not known. What must hold: with the spacing given here the same tokens come out again.

/// What a token is, as far as spacing cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    /// `%name`
    Value,
    /// `@name`
    Symbol,
    /// `#name`
    Hash,
    /// `!name`
    Bang,
    /// `^name`
    Label,
    /// `"text"`
    String,
    Open,
    Close,
    Comma,
    Colon,
    DoubleColon,
    Equal,
    Arrow,
    /// `// text`, without white space at its end.
    Comment,
    Other,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    pub(super) start: usize,
    /// Whether white space stands in front of it.
    pub(super) spaced: bool,
    /// Line breaks between the token before it and this one.
    pub(super) newlines: u32,
    /// A number follows, as in `%a:2`.
    pub(super) counts: bool,
}

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let (mut at, mut spaced, mut newlines) = (0, false, 0);
    while at < bytes.len() {
        if matches!(bytes[at], b' ' | b'\t' | b'\r' | b'\n') {
            spaced = true;
            newlines += u32::from(bytes[at] == b'\n');
            at += 1;
            continue;
        }
        let (kind, end) = token_end(text, at);
        let text = text[at..end].trim_end();
        if let Some(last) = tokens.last_mut() {
            last.counts = kind == Kind::Number;
        }
        tokens.push(Token { kind, text, start: at, spaced, newlines, counts: false });
        (at, spaced, newlines) = (end, false, 0);
    }
    tokens
}

/// The kind of the token at `at`, and where it ends.
fn token_end(text: &str, at: usize) -> (Kind, usize) {
    let bytes = text.as_bytes();
    let run = |from: usize, belongs: &dyn Fn(u8) -> bool| {
        from + bytes[from..].iter().take_while(|&&b| belongs(b)).count()
    };
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"_$.".contains(&b);
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    match bytes[at] {
        b'/' if next == b'/' => (Kind::Comment, run(at, &|b| b != b'\n')),
        b'"' => (Kind::String, string_end(bytes, at)),
        b'(' | b'[' | b'{' | b'<' => (Kind::Open, at + 1),
        b'-' if next == b'>' => (Kind::Arrow, at + 2),
        b')' | b']' | b'}' | b'>' => (Kind::Close, at + 1),
        b',' => (Kind::Comma, at + 1),
        b':' if next == b':' => (Kind::DoubleColon, at + 2),
        b':' => (Kind::Colon, at + 1),
        b'=' => (Kind::Equal, at + 1),
        sigil @ (b'%' | b'@' | b'#' | b'!' | b'^') => {
            let mut end = run(at + 1, &|b| is_word(b) || b == b'-');
            // `->` may follow a name directly.
            if bytes[..end].ends_with(b"-") {
                end -= 1;
            }
            if sigil == b'%' && bytes.get(end) == Some(&b'#') {
                end = run(end + 1, &|b| b.is_ascii_digit());
            }
            let kind = match sigil {
                b'%' => Kind::Value,
                b'@' => Kind::Symbol,
                b'#' => Kind::Hash,
                b'!' => Kind::Bang,
                _ => Kind::Label,
            };
            (kind, end)
        }
        b'0'..=b'9' => (Kind::Number, run(at, &is_word)),
        b if b.is_ascii_alphabetic() || b == b'_' => (Kind::Word, run(at, &is_word)),
        _ => (Kind::Other, at + text[at..].chars().next().map_or(1, char::len_utf8)),
    }
}

/// Where the string that opens at `at` ends; a string that is not closed ends with its first character.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    loop {
        match bytes.get(end) {
            Some(b'"') => return end + 1,
            Some(b'\\') => end += 2,
            Some(b'\n') | None => return at + 1,
            Some(_) => end += 1,
        }
    }
}

/// A bracket that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    /// `(` in general.
    Paren,
    /// The parentheses of parameters or block arguments: a colon stands close to the name.
    Parameters,
    /// The parentheses of a location: `"file":1:2`.
    Location,
    Square,
    Brace,
    Angle,
    /// The braces of a body.
    Body,
}

/// White space between tokens that come one after the other.
#[derive(Debug, Default)]
pub(super) struct Spacing<'t> {
    open: Vec<Bracket>,
    previous: Option<Token<'t>>,
    /// The kind of the token before that one.
    before: Option<Kind>,
    /// The kind of the token before both.
    earlier: Option<Kind>,
    in_label: bool,
}

impl<'t> Spacing<'t> {
    /// The spacing inside of angle brackets.
    fn inside() -> Self {
        Self { open: vec![Bracket::Angle], ..Self::default() }
    }

    /// The brace that was the last token opened a body.
    pub(super) fn enter_body(&mut self) {
        self.open.pop();
        self.open.push(Bracket::Body);
    }

    /// Whether a space stands in front of `token`, which is the next one.
    pub(super) fn step(&mut self, token: Token<'t>) -> bool {
        let space = self
            .previous
            .is_some_and(|previous| self.between(previous, token) || token.spaced && merge(previous, token));
        match token.kind {
            Kind::Open => {
                let bracket = self.bracket(token);
                self.open.push(bracket);
            }
            Kind::Close => _ = self.open.pop(),
            Kind::Label => self.in_label = true,
            Kind::Colon if self.is_top() => self.in_label = false,
            _ => {}
        }
        self.earlier = self.before;
        self.before = self.previous.map(|previous| previous.kind);
        self.previous = Some(token);
        space
    }

    fn bracket(&self, token: Token<'t>) -> Bracket {
        match token.text {
            "[" => Bracket::Square,
            "{" => Bracket::Brace,
            "<" => Bracket::Angle,
            _ => match self.previous {
                Some(p) if matches!(p.kind, Kind::Symbol | Kind::Label) => Bracket::Parameters,
                Some(p) if p.text == "loc" => Bracket::Location,
                _ => Bracket::Paren,
            },
        }
    }

    /// Whether no bracket of the operation is open.
    fn is_top(&self) -> bool {
        matches!(self.open.last(), None | Some(Bracket::Body))
    }

    /// Whether the last token stands in a list of types, or is the type that an alias stands for.
    fn in_types(&self) -> bool {
        let aliased = (self.earlier, self.before) == (Some(Kind::Bang), Some(Kind::Equal));
        aliased || matches!(self.before, Some(Kind::Colon | Kind::Arrow | Kind::Comma))
    }

    fn between(&self, previous: Token<'t>, token: Token<'t>) -> bool {
        let inner = self.open.last().copied();
        let in_angle = inner == Some(Bracket::Angle);
        match (previous.kind, token.kind) {
            (Kind::Open, _) | (_, Kind::Close | Kind::Comma) => false,
            (Kind::Comma, _) => true,
            (Kind::DoubleColon, _) | (_, Kind::DoubleColon) => false,
            (Kind::Equal, _) | (_, Kind::Equal) => !in_angle,
            (Kind::Arrow, _) | (_, Kind::Arrow) => true,
            (_, Kind::Colon) => {
                let count = previous.kind == Kind::Value && token.counts && self.is_top();
                let label = self.in_label && self.is_top();
                let close = matches!(inner, Some(Bracket::Parameters | Bracket::Location | Bracket::Angle));
                !(label || close || count)
            }
            (Kind::Colon, Kind::Number) if self.is_top() => false,
            (Kind::Colon, _) => inner != Some(Bracket::Location),
            (_, Kind::Open) => self.before_bracket(previous, token),
            (Kind::Close, _) if !in_angle => true,
            _ => token.spaced,
        }
    }

    fn before_bracket(&self, previous: Token<'t>, token: Token<'t>) -> bool {
        let in_angle = self.open.last() == Some(&Bracket::Angle);
        match (previous.kind, token.text) {
            _ if in_angle => token.spaced,
            (_, "{") => true,
            (Kind::Word, "(") => previous.text == "scf.while",
            (Kind::Symbol | Kind::Label | Kind::String, "(") => false,
            // An index stands close to its value, a list after a value does not.
            (Kind::Value, "[") => token.spaced,
            (Kind::Word, "[") => !previous.text.contains('.'),
            // Behind the name of an operation, but not in a type that is written without its `!`.
            (Kind::Word, "<") if self.is_top() && previous.text.contains('.') && !self.in_types() => true,
            (Kind::Close, _) => true,
            _ => token.spaced,
        }
    }
}

/// Whether other tokens come out if nothing stands between the two.
fn merge(previous: Token<'_>, token: Token<'_>) -> bool {
    let alone = matches!(previous.kind, Kind::Open | Kind::Close | Kind::Comma | Kind::Equal);
    !alone && token_end(&format!("{}{}", previous.text, token.text), 0).1 != previous.text.len()
}

/// The canonical spelling of a piece of text that stands inside of angle brackets, in one line, without comments.
pub(super) fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut spacing = Spacing::inside();
    let mut pending = false;
    for mut token in tokens(text) {
        if token.kind == Kind::Comment {
            pending = true;
            continue;
        }
        token.spaced |= core::mem::take(&mut pending);
        if spacing.step(token) {
            out.push(' ');
        }
        out.push_str(token.text);
    }
    // Else it would become an arrow with the bracket that closes.
    if spacing.previous.is_some_and(|last| last.kind == Kind::Other && last.text == "-") {
        out.push(' ');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_spelling_forgets_white_space_and_comments() {
        for (text, want) in [
            ("  vec ,16x64xf32,  valid =  ?x8 ", "vec, 16x64xf32, valid=?x8"),
            ("4xf32 ,strided<[ 1 ], offset : ?>", "4xf32, strided<[1], offset: ?>"),
            ("a // note\n b", "a b"),
            ("(d0,d1)->(d1 ,d0)", "(d0, d1) -> (d1, d0)"),
            ("a - >", "a - >"),
            ("a -", "a - "),
            ("a: ::b", "a: ::b"),
            ("%a: :", "%a: :"),
            ("\"x  y\" :1:2", "\"x  y\": 1: 2"),
        ] {
            assert_eq!(canonical(text), want);
            assert_eq!(canonical(want), want);
        }
    }

    #[test]
    fn tokens_cover_the_text() {
        let text = "%a:2, %b#1 = \"x\\\"y\" @f-> #p<a> !t ^bb0 0x1F é // end \n";
        let all: Vec<_> = tokens(text).iter().map(|t| t.text).collect();
        let want = [
            "%a",
            ":",
            "2",
            ",",
            "%b#1",
            "=",
            "\"x\\\"y\"",
            "@f",
            "->",
            "#p",
            "<",
            "a",
            ">",
            "!t",
            "^bb0",
            "0x1F",
            "é",
            "// end",
        ];
        assert_eq!(all, want);
    }
}
