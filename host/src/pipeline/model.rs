//! One pipeline file: TOML with the place of every value.
//!
//! What must hold: anything that is not a pipeline file gives diagnostics, each with a span, and as many in one go
//! as can be told apart; a key that is not understood is an error, never ignored.

use pipewright_abi::TextRange;
use pipewright_abi::pass::OptionValue;
use semver::VersionReq;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Source, did_you_mean, text_range};
use crate::toml_text;

/// Where a value is written: a source, by its index in the pipeline's list, and a span in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index of the source.
    pub source: usize,
    /// Byte range of its text.
    pub span: TextRange,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}

/// A pipeline file as written.
#[derive(Clone, Debug, Default)]
pub(super) struct PipelineFile {
    /// `name`.
    pub(super) name: Option<At<String>>,
    /// `description`.
    pub(super) description: Option<At<String>>,
    /// `target`.
    pub(super) target: Option<At<String>>,
    /// `target-extensions`: further target files, whose operations are added or replace others.
    pub(super) target_extensions: Vec<At<String>>,
    /// `extends`.
    pub(super) extends: Option<At<String>>,
    /// `verify`: whether `compile` judges the final plans.
    pub(super) verify: Option<bool>,
    /// `[[stage]]` tables, in order.
    pub(super) stages: Vec<StageEntry>,
}

/// A `[[stage]]` table as written.
#[derive(Clone, Debug)]
pub(super) struct StageEntry {
    /// `pass`.
    pub(super) pass: At<String>,
    /// `version`: which versions of the plugin will do.
    pub(super) version: Option<At<VersionReq>>,
    /// `plugin`: a file that provides the pass.
    pub(super) plugin: Option<At<String>>,
    /// `options`.
    pub(super) options: Vec<Setting>,
    /// `before` or `after`: where the stage goes, relative to an inherited one.
    pub(super) position: Option<(Neighbour, At<String>)>,
    /// `remove = true`: the inherited stage is dropped.
    pub(super) remove: Option<Place>,
}

/// On which side of another stage a stage goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Right before it.
    Before,
    /// Right after it.
    After,
}

/// An option with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The option.
    pub name: At<String>,
    /// Its value.
    pub value: At<Literal>,
}

/// A value before its option's type is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A value that options can have.
    Typed(OptionValue),
    /// Text from the command line, to be read as the option's type.
    Text(String),
    /// A TOML value of a kind that no option has, by the name of the kind.
    Other(&'static str),
}

/// Parses a pipeline file, which is source number `index`. On errors the file is what could be understood.
pub(super) fn parse(source: &Source, index: usize) -> (PipelineFile, Vec<Diagnostic>) {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    let mut reader = Reader { index, diagnostics: Vec::new() };
    for error in errors {
        let said = format!("this is not TOML: {}", error.message());
        let span = Some(error.span().unwrap_or(0..0));
        reader.diagnostics.push(toml_text::mistake("pipeline::syntax", &source.text, &said, span));
    }
    // What follows from broken syntax would only be noise.
    let file =
        if reader.diagnostics.is_empty() { reader.file(document.get_ref()) } else { Default::default() };
    reader.diagnostics.sort_by_key(|d| d.labels.first().map_or(0, |l| l.span.start));
    (file, reader.diagnostics)
}

type Entry<'a, 'i> = &'a Spanned<DeValue<'i>>;

struct Reader {
    index: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Reader {
    fn file(&mut self, document: &DeTable<'_>) -> PipelineFile {
        self.check_keys(document, "at the top level", &["pipeline", "stage"]);
        let mut file = PipelineFile::default();
        match document.get("pipeline") {
            Some(value) => {
                if let Some(table) = self.table(value, "pipeline", "write `[pipeline]`") {
                    self.header(table, &mut file);
                }
            }
            // One that is spelled in another way was told already.
            None if document.keys().any(|key| did_you_mean(key.get_ref(), ["pipeline"]).is_some()) => {}
            None => self.diagnostics.push(
                Diagnostic::error("pipeline::missing-key", "the file has no `[pipeline]` table")
                    .label(TextRange::default(), "expected above the stages")
                    .help("begin with `[pipeline]` and `name = \"...\"`"),
            ),
        }
        if let Some(value) = document.get("stage") {
            match value.get_ref() {
                DeValue::Array(entries) => {
                    file.stages = entries.iter().filter_map(|entry| self.stage(entry)).collect();
                }
                other => self.wrong_type(value, "stage", "an array of tables", other, "write `[[stage]]`"),
            }
        }
        file
    }

    fn header(&mut self, table: &DeTable<'_>, file: &mut PipelineFile) {
        let known = ["name", "description", "target", "target-extensions", "extends", "verify"];
        self.check_keys(table, "in `[pipeline]`", &known);
        file.name = self.string(table, "name");
        file.description = self.string(table, "description");
        file.target = self.string(table, "target");
        file.target_extensions = self.strings(table, "target-extensions");
        file.extends = self.string(table, "extends");
        file.verify = table.get("verify").and_then(|value| match value.get_ref() {
            DeValue::Boolean(verify) => Some(*verify),
            other => {
                self.wrong_type(value, "verify", "a bool", other, "write `verify = true`");
                None
            }
        });
    }

    fn stage(&mut self, entry: Entry<'_, '_>) -> Option<StageEntry> {
        let table = self.table(entry, "stage", "write `[[stage]]`")?;
        let known = ["pass", "version", "plugin", "options", "before", "after", "remove"];
        self.check_keys(table, "in `[[stage]]`", &known);
        let version = self.string(table, "version").and_then(|text| self.version(text));
        let plugin = self.string(table, "plugin");
        let options = match table.get("options") {
            Some(value) => self.options(value),
            None => Vec::new(),
        };
        let before = self.string(table, "before").map(|stage| (Neighbour::Before, stage));
        let after = self.string(table, "after").map(|stage| (Neighbour::After, stage));
        if let (Some((_, before)), Some((_, after))) = (&before, &after) {
            self.diagnostics.push(
                Diagnostic::error("pipeline::position", "a stage has `before` or `after`, not both")
                    .label(after.place.span, "a second position")
                    .label(before.place.span, "the first one"),
            );
        }
        let remove = self.remove(table);
        let Some(pass) = self.string(table, "pass") else {
            if !table.contains_key("pass") {
                self.diagnostics.push(
                    Diagnostic::error("pipeline::missing-key", "a stage has no `pass`")
                        .label(text_range(entry.span()), "this stage")
                        .help("name the pass that the stage runs: `pass = \"...\"`"),
                );
            }
            return None;
        };
        let other = table.iter().find(|(key, _)| !matches!(&**key.get_ref(), "pass" | "remove"));
        if let (Some(remove), Some((key, _))) = (remove, other) {
            self.diagnostics.push(
                Diagnostic::error("pipeline::remove", "a stage that is removed takes no other keys")
                    .label(text_range(key.span()), "without effect")
                    .label(remove.span, "removed here"),
            );
        }
        Some(StageEntry { pass, version, plugin, options, position: before.or(after), remove })
    }

    fn remove(&mut self, table: &DeTable<'_>) -> Option<Place> {
        let value = table.get("remove")?;
        match value.get_ref() {
            DeValue::Boolean(true) => Some(self.place(value)),
            DeValue::Boolean(false) => None,
            other => {
                self.wrong_type(value, "remove", "a bool", other, "write `remove = true`");
                None
            }
        }
    }

    fn options(&mut self, value: Entry<'_, '_>) -> Vec<Setting> {
        let Some(table) = self.table(value, "options", "write `options = { name = value }`") else {
            return Vec::new();
        };
        let mut settings: Vec<_> = table
            .iter()
            .map(|(key, value)| Setting {
                name: At { value: key.get_ref().to_string(), place: self.place_of(key.span()) },
                value: At { value: literal(value.get_ref()), place: self.place(value) },
            })
            .collect();
        settings.sort_by_key(|s| s.name.place.span.start);
        settings
    }

    fn version(&mut self, text: At<String>) -> Option<At<VersionReq>> {
        match VersionReq::parse(&text.value) {
            Ok(value) => Some(At { value, place: text.place }),
            Err(error) => {
                let message = format!("`{}` is no version requirement: {error}", text.value);
                self.diagnostics.push(
                    Diagnostic::error("pipeline::version-syntax", message)
                        .label(text.place.span, "not understood")
                        .help("write it as in Cargo.toml: `^0.1`, `=0.1.2`, `>=0.1, <0.3`"),
                );
                None
            }
        }
    }

    fn string(&mut self, table: &DeTable<'_>, key: &str) -> Option<At<String>> {
        self.text(table.get(key)?, key)
    }

    fn strings(&mut self, table: &DeTable<'_>, key: &str) -> Vec<At<String>> {
        let Some(value) = table.get(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(elements) => elements.iter().filter_map(|e| self.text(e, key)).collect(),
            other => {
                let help = format!("write `{key} = [\"...\"]`");
                self.wrong_type(value, key, "an array of strings", other, &help);
                Vec::new()
            }
        }
    }

    fn text(&mut self, value: Entry<'_, '_>, key: &str) -> Option<At<String>> {
        match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                let message = format!("`{key}` is empty");
                self.diagnostics.push(
                    Diagnostic::error("pipeline::empty", message)
                        .label(text_range(value.span()), "expected text"),
                );
                None
            }
            DeValue::String(text) => Some(At { value: text.to_string(), place: self.place(value) }),
            other => {
                self.wrong_type(value, key, "a string", other, "");
                None
            }
        }
    }

    fn table<'a, 'i>(&mut self, value: Entry<'a, 'i>, key: &str, help: &str) -> Option<&'a DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.wrong_type(value, key, "a table", other, help);
                None
            }
        }
    }

    fn wrong_type(&mut self, value: Entry<'_, '_>, key: &str, wanted: &str, found: &DeValue<'_>, help: &str) {
        let message = format!("`{key}` is {}, not {wanted}", kind(found));
        self.diagnostics.push(
            Diagnostic::error("pipeline::type", message)
                .label(text_range(value.span()), format!("expected {wanted}"))
                .help(help),
        );
    }

    fn check_keys(&mut self, table: &DeTable<'_>, place: &str, known: &[&str]) {
        for (key, _) in table.iter() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let help = match did_you_mean(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            self.diagnostics.push(
                Diagnostic::error("pipeline::unknown-key", format!("there is no key `{name}` {place}"))
                    .label(text_range(key.span()), "unknown key")
                    .help(help),
            );
        }
    }

    fn place(&self, value: Entry<'_, '_>) -> Place {
        self.place_of(value.span())
    }

    fn place_of(&self, span: core::ops::Range<usize>) -> Place {
        Place { source: self.index, span: text_range(span) }
    }
}

fn literal(value: &DeValue<'_>) -> Literal {
    match value {
        DeValue::Boolean(value) => Literal::Typed(OptionValue::Bool(*value)),
        DeValue::String(text) => Literal::Typed(OptionValue::String(text.to_string())),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Literal::Typed(OptionValue::Int(number)),
            Err(_) => Literal::Other("an integer beyond 64 bits"),
        },
        other => Literal::Other(kind(other)),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a bool",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Report, Style};

    fn errors(text: &str) -> String {
        let source = Source::new("p.toml", text);
        let (_, diagnostics) = parse(&source, 0);
        Report::new(source, diagnostics).render(Style::Plain)
    }

    #[test]
    fn every_value_keeps_its_place() {
        let text = "[pipeline]\nname = \"p\"\n[[stage]]\npass = \"a\"\nversion = \"^0.1\"\noptions = { n = 0x10, m = \"x\" }\n";
        let (file, diagnostics) = parse(&Source::new("p.toml", text), 3);
        assert_eq!(diagnostics, []);
        let stage = &file.stages[0];
        let shown = |place: Place| &text[place.span.start as usize..place.span.end as usize];
        assert_eq!((shown(stage.pass.place), stage.pass.place.source), ("\"a\"", 3));
        assert_eq!(shown(stage.version.as_ref().unwrap().place), "\"^0.1\"");
        assert_eq!(stage.options[0].value.value, Literal::Typed(OptionValue::Int(16)));
        assert_eq!(shown(stage.options[1].name.place), "m");
    }

    #[test]
    fn mistakes_are_reported_together() {
        insta::assert_snapshot!(errors(
            "[pipeline]\nnaem = \"p\"\ntarget = 3\n[[stage]]\npas = \"x\"\n[[stage]]\npass = \"y\"\nversion = \"new\"\noptions = 1\n\
             [[stage]]\npass = \"z\"\nremove = true\nbefore = \"y\"\nafter = \"y\"\n"
        ));
    }

    #[test]
    fn broken_syntax_and_wrong_shapes_are_reported() {
        insta::assert_snapshot!(errors("[pipeline\nname = \"p\"\n"));
        insta::assert_snapshot!(errors(""));
        insta::assert_snapshot!(errors("pipeline = 1\n[stage]\npass = \"x\"\n"));
    }

    #[test]
    fn a_table_in_capitals_is_one_mistake() {
        let said = errors("[Pipeline]\nname = \"p\"\n[[stage]]\npass = \"a\"\n");
        assert_eq!(said.matches("  x ").count(), 1, "{said}");
        assert!(said.contains("did you mean `pipeline`?"), "{said}");
    }

    const WHOLE: &str = "[pipeline]\nname = \"p\"\nextends = \"q\"\n[[stage]]\npass = \"a\"\nversion = \"^0.1\"\n\
        plugin = \"x.so\"\noptions = { n = 0x10, m = \"é\", f = 1.5 }\nbefore = \"b\"\n[[stage]]\npass = \"c\"\nremove = true\n";

    fn check(text: &str) {
        let source = Source::new("p.toml", text);
        let (_, diagnostics) = parse(&source, 0);
        for label in diagnostics.iter().flat_map(|d| &d.labels) {
            assert!(label.span.start <= label.span.end && label.span.end as usize <= text.len(), "{label:?}");
        }
        Report::new(source, diagnostics).render(Style::Plain);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_pipeline_or_has_diagnostics_inside_of_it(text in proptest::prelude::any::<String>()) {
            check(&text);
        }

        #[test]
        fn so_is_any_pipeline_with_a_piece_replaced(at in 0..WHOLE.len(), cut in 0..12usize, piece in "[\\[\\]{}=\"a-z0-9.,\n é]{0,6}") {
            let floor = |at: usize| (0..=at.min(WHOLE.len())).rev().find(|&i| WHOLE.is_char_boundary(i)).unwrap_or(0);
            check(&format!("{}{piece}{}", &WHOLE[..floor(at)], &WHOLE[floor(at + cut)..]));
        }
    }
}
