//! C++ forms of operations, as far as they can be judged without a kernel: brackets that match, names that the
//! operation has, forms that such a name can take. The grammar is that of `docs/target-file.md`.
//!
//! What must hold after [`check`]: printing an operation with the form fails for what the kernel lacks alone.

use toml::Spanned;

use super::check::Checked;
use super::raw::TextOrRules;
use super::unknown;
use crate::diagnostic::{Diagnostic, text_range};

/// Forms that a hole may have behind its name.
const FORMS: [&str; 5] = ["sym", "pipe", "type", "each", "types"];

/// The name that stands for the pipe that was initialized under the operation's `id`.
const PIPE_HANDLE: &str = "pipe_handle";

/// Checks all C++ forms of an operation.
pub(super) fn check(checked: &Checked<'_>) -> Result<(), Diagnostic> {
    let Some(cpp) = &checked.op.cpp else { return Ok(()) };
    let templates: Vec<&str> = match cpp.get_ref() {
        TextOrRules::Text(text) => vec![text],
        TextOrRules::Rules(rules) => rules.iter().map(|rule| rule.emit.as_str()).collect(),
    };
    for text in templates {
        // What needs an escape in TOML is spelled in another way there; the part before it is not.
        let start = text.split(['"', '\\']).next().unwrap_or("");
        let whole = checked.word(text, cpp.span());
        let place = if whole.span() == cpp.span() { checked.word(start, cpp.span()) } else { whole };
        let template = Template { checked, text, place };
        template.check()?;
    }
    Ok(())
}

struct Template<'a> {
    checked: &'a Checked<'a>,
    text: &'a str,
    /// The whole of it in the file, or where it stands among others.
    place: Spanned<String>,
}

impl<'a> Template<'a> {
    fn check(&self) -> Result<(), Diagnostic> {
        let mut declared = Vec::new();
        let mut plain = String::new();
        for statement in self.text.split("; ") {
            self.part(statement, true, &mut declared, &mut plain)?;
            self.balanced(&plain)?;
            plain.clear();
        }
        let results = self.checked.entry.results.len as usize;
        let expressions = self.text.split("; ").count();
        if results > 0 && !self.checked.op.writes_result && results != expressions {
            return Err(self.malformed(&format!(
                "the operation has {results} results, and the form {expressions} expressions"
            )));
        }
        Ok(())
    }

    /// Checks a piece with holes and optional parts, and adds what is neither to `plain`.
    fn part(
        &self,
        text: &'a str,
        outside: bool,
        declared: &mut Vec<&'a str>,
        plain: &mut String,
    ) -> Result<(), Diagnostic> {
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}', '[']) {
            plain.push_str(&rest[..at]);
            let open = &rest[at..];
            if let Some(optional) = open.strip_prefix("[?") {
                let Some((inner, after)) = optional.split_once(']') else {
                    return Err(self.malformed("a `[?` is never closed by a `]`"));
                };
                let Some((name, inner)) = inner.split_once(':') else {
                    return Err(self.malformed("a `[?` has no `:` behind its name"));
                };
                if !outside {
                    return Err(self.malformed("a `[?` stands in another"));
                }
                self.known(name, "operand or attribute", &self.given())?;
                let mut own = String::new();
                self.part(inner, false, declared, &mut own)?;
                self.balanced(&own)?;
                rest = after;
            } else if let Some(hole) = open.strip_prefix('{') {
                let Some((hole, after)) = hole.split_once('}') else {
                    return Err(self.malformed("a `{` is never closed by a `}`"));
                };
                match hole.strip_prefix('+') {
                    Some(name) if outside && after.starts_with(" = ") => declared.push(name),
                    Some(_) => return Err(self.malformed("what `{+` declares is followed by ` = `")),
                    None => self.hole(hole, declared)?,
                }
                rest = after;
            } else if open.starts_with('}') {
                return Err(self.malformed("a `}` closes nothing"));
            } else {
                plain.push('[');
                rest = &open[1..];
            }
        }
        plain.push_str(rest);
        Ok(())
    }

    /// `{name}` or `{name:form}`.
    fn hole(&self, hole: &str, declared: &[&str]) -> Result<(), Diagnostic> {
        let (name, form) = match hole.split_once(':') {
            Some((name, form)) => (name, form),
            None => (hole, ""),
        };
        let checked = self.checked;
        let [operands, results] = [checked.entry.operands, checked.entry.results].map(|r| checked.names(r));
        let attrs = checked.attrs().iter().map(|a| checked.str(a.name)).collect::<Vec<_>>();
        match form {
            "" => {
                let filled = if checked.op.writes_result { results } else { Vec::new() };
                let known = [&operands[..], &attrs, &filled, declared, &[PIPE_HANDLE]].concat();
                self.known(name, "operand or attribute", &known)
            }
            // An operand that is given takes an attribute's place.
            "sym" | "pipe" => self.known(name, "attribute", &attrs),
            "each" | "types" => self.known(name, "operand", &operands),
            "type" => {
                self.known(name, "operand or result", &[&operands[..], &results, &[PIPE_HANDLE]].concat())
            }
            _ => Err(unknown("form of a name", &self.word(form), FORMS)),
        }
    }

    /// What an optional part may depend on.
    fn given(&self) -> Vec<&'a str> {
        let attrs = self.checked.attrs().iter().map(|a| self.checked.str(a.name));
        self.checked.names(self.checked.entry.operands).into_iter().chain(attrs).collect()
    }

    fn known(&self, name: &str, what: &str, known: &[&str]) -> Result<(), Diagnostic> {
        if known.contains(&name) {
            return Ok(());
        }
        Err(unknown(what, &self.word(name), known.iter().copied().filter(|n| *n != PIPE_HANDLE)))
    }

    /// Whether each bracket of C++ is closed by one of its kind. Angles may be comparisons and arrows, and are left out.
    fn balanced(&self, plain: &str) -> Result<(), Diagnostic> {
        let mut open = Vec::new();
        let mut in_text = false;
        let mut escaped = false;
        for c in plain.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_text => escaped = true,
                '"' => in_text = !in_text,
                _ if in_text => {}
                '(' => open.push(')'),
                '[' => open.push(']'),
                ')' | ']' if open.pop() != Some(c) => {
                    return Err(self.malformed(&format!("a `{c}` closes nothing")));
                }
                _ => {}
            }
        }
        match open.pop() {
            _ if in_text => Err(self.malformed("a text is never closed by a `\"`")),
            None => Ok(()),
            Some(close) => Err(self.malformed(&format!("a `{close}` is missing"))),
        }
    }

    fn word(&self, word: &str) -> Spanned<String> {
        self.checked.word(word, self.place.span())
    }

    fn malformed(&self, why: &str) -> Diagnostic {
        Diagnostic::error("target::template", format!("`{}` is no form in C++: {why}", self.text))
            .label(text_range(self.place.span()), "here")
            .help("write `NAME({x}, {y:type}[?z:, {z}])`; `docs/target-file.md` has all that may stand in it")
    }
}
