//! Diagnostics: what is wrong, where in a source text, and what to do about it.
//!
//! A [`Diagnostic`] is located in one source, which is named when it is rendered; a [`Report`] is a source with all
//! that was found in it. What must hold: every label lies inside the source's text, and rendering is deterministic
//! for a given [`Style`].

use core::fmt;
use std::path::Path;

use miette::{LabeledSpan, MietteError, MietteHandler, MietteHandlerOpts, MietteSpanContents, ReportHandler};
use miette::{SourceCode, SourceSpan, SpanContents};
use pipewright_abi::TextRange;

/// One finding about one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable name of the rule, `pipeline::unknown-pass`.
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// Places, the most important first.
    pub labels: Vec<Label>,
    /// What the user can do.
    pub help: Option<String>,
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Advice,
    /// Likely wrong; the run goes on.
    Warning,
    /// Wrong; there is no output.
    Error,
}

/// A place in the source, with what it has to do with the matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Byte range of the source text.
    pub span: TextRange,
    /// A few words; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), labels: Vec::new(), help: None }
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// A remark.
    pub fn advice(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Advice, ..Self::error(code, message) }
    }

    /// Adds a place.
    pub fn label(mut self, span: TextRange, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what the user can do. Empty text is no help.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|h| !h.is_empty());
        self
    }
}

/// A text that diagnostics point into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Name for people: a path, or `<stdin>`.
    pub name: String,
    /// The text; empty if it could not be read.
    pub text: String,
}

impl Source {
    /// A text with its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Reads a UTF-8 file. A failure is a report that names the path.
    pub fn read(path: &Path) -> Result<Self, Report> {
        Self::from_bytes(&path.display().to_string(), std::fs::read(path))
    }

    /// The source of that name with these bytes, which must be UTF-8. A failure is a report that names it.
    pub fn from_bytes(name: &str, bytes: std::io::Result<Vec<u8>>) -> Result<Self, Report> {
        let fail = |why: String| {
            let diagnostic = Diagnostic::error("file::read", format!("cannot read `{name}`: {why}"));
            Report::one(Source::new(name, ""), diagnostic)
        };
        let bytes = bytes.map_err(|e| fail(e.to_string()))?;
        // Spans are 32 bits wide.
        if u32::try_from(bytes.len()).is_err() {
            return Err(fail("it is larger than 4 GiB".into()));
        }
        let text = String::from_utf8(bytes)
            .map_err(|e| fail(format!("it is not UTF-8 text (byte {})", e.utf8_error().valid_up_to())))?;
        Ok(Self::new(name, text))
    }

    /// The span as one that can be drawn: inside the text, on character boundaries, and on the last character if it
    /// stands behind all of them (nothing is drawn there, and a plugin can make up any span).
    fn drawable(&self, span: TextRange) -> (usize, usize) {
        let (text, all) = (&self.text, self.text.trim_end());
        let last = all.char_indices().next_back().map_or(0, |(i, _)| i);
        let floor =
            |at: usize| (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        let start = floor((span.start as usize).min(last));
        let end = floor((span.end as usize).max(start));
        (start, if start == last { end.max(all.len()) } else { end })
    }
}

/// A source with what was found in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The source that the labels point into.
    pub source: Source,
    /// What was found, in source order.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// A report of these diagnostics.
    pub fn new(source: Source, diagnostics: Vec<Diagnostic>) -> Self {
        Self { source, diagnostics }
    }

    /// A report of one diagnostic.
    pub fn one(source: Source, diagnostic: Diagnostic) -> Self {
        Self::new(source, vec![diagnostic])
    }

    /// The text of all diagnostics, each followed by an empty line.
    pub fn render(&self, style: Style) -> String {
        let one = |d| format!("{}\n\n", render(d, &self.source, style).trim_matches('\n'));
        self.diagnostics.iter().map(one).collect()
    }
}

/// How diagnostics look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// ASCII without colour, lines as long as they are: for files, pipes and tests.
    Plain,
    /// Box drawing, as wide as the terminal, in colour or not.
    Fancy {
        /// Whether to use colour.
        color: bool,
    },
}

impl Style {
    /// What suits the standard error stream: fancy on a terminal, without colour where `NO_COLOR` is set.
    pub fn for_stderr() -> Self {
        if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            return Self::Plain;
        }
        Self::Fancy { color: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) }
    }

    fn handler(self) -> MietteHandler {
        let options = MietteHandlerOpts::new().force_graphical(true).terminal_links(false);
        match self {
            Self::Plain => options.unicode(false).color(false).wrap_lines(false),
            Self::Fancy { color } => options.unicode(true).color(color),
        }
        .build()
    }
}

/// The text of one diagnostic.
pub fn render(diagnostic: &Diagnostic, source: &Source, style: Style) -> String {
    struct Rendered<'a>(Located<'a>, Style);
    impl fmt::Display for Rendered<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.1.handler().debug(&self.0, f)
        }
    }
    Rendered(Located { diagnostic, source }, style).to_string()
}

/// A diagnostic together with its source, as `miette` wants it.
#[derive(Debug)]
struct Located<'a> {
    diagnostic: &'a Diagnostic,
    source: &'a Source,
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl core::error::Error for Located<'_> {}

impl miette::Diagnostic for Located<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Advice => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.diagnostic.labels.is_empty()).then_some(self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.diagnostic.labels.iter().enumerate().map(move |(i, label)| {
            let (start, end) = self.source.drawable(label.span);
            let text = Some(label.text.clone()).filter(|t| !t.is_empty());
            if i == 0 {
                LabeledSpan::new_primary_with_span(text, start..end)
            } else {
                LabeledSpan::new_with_span(text, start..end)
            }
        });
        Some(Box::new(labels))
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.text.read_span(span, before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            found.data(),
            *found.span(),
            found.line(),
            found.column(),
            found.line_count(),
        )))
    }
}

/// A byte range as a [`TextRange`].
pub fn text_range(range: core::ops::Range<usize>) -> TextRange {
    TextRange { start: range.start as u32, end: range.end as u32 }
}

/// The candidate that a misspelt `name` most likely means.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(name, c), c))
        .filter(|(distance, c)| *distance <= name.len().max(c.len()).div_ceil(3))
        .min()
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_source_label_and_help() {
        let source = Source::new("k.pto", "first\nsecond line\n");
        let at = text_range(6..12);
        let diagnostic =
            Diagnostic::error("test::rule", "`second` is wrong").label(at, "here").help("write `2nd`");
        insta::assert_snapshot!(Report::one(source, diagnostic).render(Style::Plain), @r"
        test::rule

          x `second` is wrong
           ,-[k.pto:2:1]
         1 | first
         2 | second line
           : ^^^|^^
           :    `-- here
           `----
          help: write `2nd`
        ");
    }

    #[test]
    fn a_span_outside_of_the_text_is_drawn_on_the_last_character() {
        for text in ["", "\n", "short", "shört\n\n", "ö"] {
            for (start, end) in [(0, 0), (2, 3), (3, 3), (5, 5), (6, 90), (90, 10)] {
                let span = TextRange { start, end };
                let diagnostic = Diagnostic::warning("test::rule", "gone").label(span, "there");
                let drawn = render(&diagnostic, &Source::new("k.pto", text), Style::Plain);
                assert!(drawn.contains("gone") && drawn.contains("k.pto:1:"), "{text:?}: {drawn}");
                assert!(drawn.contains("there") || text.trim().is_empty(), "{text:?}: {drawn}");
            }
        }
    }

    #[test]
    fn suggestions_need_likeness() {
        assert_eq!(did_you_mean("tail-weight", ["max-ids", "tail-wait"]), Some("tail-wait"));
        assert_eq!(did_you_mean("color", ["max-ids", "tail-wait"]), None);
    }
}
