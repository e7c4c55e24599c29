//! Mistakes in TOML, as people make them: a text without quotes, a key that is there twice.
//!
//! What the parser says is kept where nothing better is known, so that no mistake goes without a message.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, text_range};

/// The diagnostic `code` for what a parser said of a text, at its place.
pub(crate) fn mistake(
    code: &'static str,
    text: &str,
    message: &str,
    span: Option<Range<usize>>,
) -> Diagnostic {
    let Some(span) = span else { return Diagnostic::error(code, message.trim()) };
    if message.contains("duplicate key") {
        return twice(code, text, span);
    }
    let said = message.trim();
    match bare_value(text, span.start) {
        Some(word) if is_about_a_value(said) => {
            let value = &text[word.clone()];
            Diagnostic::error(code, format!("`{value}` is no value in TOML"))
                .label(text_range(word), "a text needs quotes")
                .help(format!("quote it: \"{value}\""))
        }
        _ => Diagnostic::error(code, said.to_owned()).label(text_range(span), "here"),
    }
}

fn is_about_a_value(message: &str) -> bool {
    ["must be quoted", "invalid boolean", "invalid float", "invalid integer", "extra characters"]
        .iter()
        .any(|part| message.contains(part))
}

/// The word that stands behind a `=`, `[` or `,` and around `at`, if it begins like a name.
fn bare_value(text: &str, at: usize) -> Option<Range<usize>> {
    let is_word = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    let before = text.get(..at)?;
    let start = at - before.chars().rev().take_while(|&c| is_word(c)).map(char::len_utf8).sum::<usize>();
    let len: usize = text[start..].chars().take_while(|&c| is_word(c)).map(char::len_utf8).sum();
    let opened = text[..start].trim_end_matches([' ', '\t']).ends_with(['=', '[', ',']);
    let named = text[start..].starts_with(|c: char| c.is_alphabetic() || c == '_');
    (opened && named && len > 0).then_some(start..start + len)
}

/// A key, or the name of a table, that was given before.
fn twice(code: &'static str, text: &str, span: Range<usize>) -> Diagnostic {
    let key = text[span.clone()].trim();
    let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let is_header = text[line..].trim_start().starts_with('[');
    let diagnostic = Diagnostic::error(code, format!("`{key}` is there twice"))
        .label(text_range(span.clone()), "again here");
    // A key stands in the table whose header is the last one before it.
    let mut first = None;
    let mut at = 0;
    for earlier in text[..line].split_inclusive('\n') {
        let trimmed = earlier.trim_start();
        let begin = at + earlier.len() - trimmed.len();
        at += earlier.len();
        if is_header {
            let name = trimmed.trim_end().trim_start_matches('[').trim_end_matches(']').trim();
            if trimmed.starts_with('[') && name == key && first.is_none() {
                first = Some(begin + trimmed.find(key).unwrap_or(0));
            }
        } else if trimmed.starts_with('[') {
            first = None;
        } else if first.is_none()
            && trimmed.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
        {
            first = Some(begin);
        }
    }
    match first {
        Some(first) => diagnostic.label(text_range(first..first + key.len()), "first here"),
        None => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, the texts at the places, and the help.
    fn said(text: &str) -> String {
        let error = toml::from_str::<toml::Table>(text).expect_err(text);
        let diagnostic = mistake("t::syntax", text, error.message(), error.span());
        let place = |l: &crate::diagnostic::Label| {
            let (start, end) = (l.span.start as usize, l.span.end as usize);
            format!("{} ({start}: {})", &text[start..end], l.text)
        };
        let places: Vec<String> = diagnostic.labels.iter().map(place).collect();
        format!("{}: {} {}", diagnostic.message, places.join(", "), diagnostic.help.unwrap_or_default())
    }

    #[test]
    fn a_text_without_quotes_gets_them() {
        for (text, word) in [
            ("name = fewer\n", "fewer"),
            ("name = a3\n", "a3"),
            ("name = true-ish\n", "true-ish"),
            ("name = pto.x # note\n", "pto.x"),
            ("a = 1\nlist = [\"x\", ops/mine.toml]\n", "ops/mine.toml"),
            ("name = nano\n", "nano"),
            ("name = info\n", "info"),
        ] {
            let said = said(text);
            assert!(said.contains(&format!("`{word}` is no value in TOML: {word} (")), "{said}");
            assert!(said.ends_with(&format!("quote it: \"{word}\"")), "{said}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_has_both_places() {
        assert_eq!(
            said("[a]\nx = 1\n[b]\n x = 2\ny = 3\nx = 4\n"),
            "`x` is there twice: x (27: again here), x (15: first here) "
        );
        assert_eq!(
            said("[a]\nx = 1\n[b]\n[a]\ny = 3\n"),
            "`a` is there twice: a (15: again here), a (1: first here) "
        );
        assert_eq!(said("t = { x = 1, x = 2 }\n"), "`x` is there twice: x (13: again here) ");
    }

    #[test]
    fn everything_else_is_as_the_parser_says() {
        let said = said("name = \"x\n");
        assert!(said.starts_with("invalid") || said.contains("string"), "{said}");
    }
}
