//! What must hold of a target file beyond its names being there, so that no pass meets it later in a kernel: textual
//! classes, attributes and their defaults, conditions, enumerations. C++ forms are checked by [`super::template`].

use std::collections::HashSet;
use std::ops::Range as Bytes;

use pipewright_abi::Range;
use pipewright_abi::target::{AttrSpec, Condition, Entry, Enum, TargetData, condition_kind};
use toml::Spanned;

use super::raw::{RawFile, RawOp};
use super::{template, unknown};
use crate::diagnostic::{Diagnostic, text_range};

/// Textual forms that an operation may have.
const CLASSES: [&str; 9] =
    ["dps", "plain", "paren", "braced", "bracket", "indexed", "keyword", "region", "nullary"];

/// Kinds of values that a condition may ask for.
const KINDS: [&str; 8] = ["tile", "view", "ptr", "index", "scalar", "pipe", "array", "any"];

/// An operation that was read from `text`, with the entry that it became.
pub(super) struct Checked<'a> {
    pub(super) text: &'a str,
    pub(super) op: &'a RawOp,
    pub(super) entry: Entry,
    pub(super) data: &'a TargetData,
}

impl<'a> Checked<'a> {
    /// Checks the operation that was read last.
    pub(super) fn last(text: &'a str, op: &'a RawOp, data: &'a TargetData) -> Result<(), Diagnostic> {
        let Some(&entry) = data.tables.entries.last() else { return Ok(()) };
        let checked = Self { text, op, entry, data };
        checked.class()?;
        checked.names_once()?;
        checked.attributes()?;
        checked.conditions()?;
        template::check(&checked)
    }

    fn class(&self) -> Result<(), Diagnostic> {
        let class = &self.op.class;
        if CLASSES.contains(&class.get_ref().as_str()) {
            Ok(())
        } else {
            Err(unknown("class", class, CLASSES))
        }
    }

    /// A template or a condition means one thing by a name.
    fn names_once(&self) -> Result<(), Diagnostic> {
        let mut seen = HashSet::new();
        let [operands, results] = [self.entry.operands, self.entry.results];
        let names = [operands, results].map(|range| self.names(range)).concat();
        let attrs = self.attrs().iter().map(|a| self.str(a.name));
        match names.into_iter().chain(attrs).find(|name| !seen.insert(*name)) {
            None => Ok(()),
            Some(name) => {
                let message = format!("`{}` has two operands or attributes `{name}`", self.op.name.get_ref());
                let label = text_range(self.op.name.span());
                Err(Diagnostic::error("target::duplicate", message).label(label, "this operation"))
            }
        }
    }

    /// Attributes that stand without a name are there, and a default is a value of its enumeration.
    fn attributes(&self) -> Result<(), Diagnostic> {
        for name in &self.op.inline {
            if self.attr(name.get_ref()).is_none() {
                return Err(unknown("attribute", name, self.attrs().iter().map(|a| self.str(a.name))));
            }
        }
        for (spec, written) in self.attrs().iter().zip(&self.op.attrs) {
            if spec.default.is_some() {
                self.attr_value(spec, self.str(spec.default), written.span())?;
            }
        }
        Ok(())
    }

    /// Whether an attribute can have the value.
    fn attr_value(&self, spec: &AttrSpec, value: &str, place: Bytes<usize>) -> Result<(), Diagnostic> {
        let view = self.data.view();
        let enums: Option<Vec<&Enum>> = self.str(spec.ty).split('|').map(|ty| view.find_enum(ty)).collect();
        let mut known: Vec<&str> = match enums {
            Some(enums) => {
                let values = enums.iter().flat_map(|e| e.values.of(view.t.enum_values));
                // A value may be written as its number.
                if values.clone().any(|v| value.parse() == Ok(v.value)) {
                    return Ok(());
                }
                values.map(|v| view.str(v.text)).collect()
            }
            None if self.str(spec.ty) == "bool" => vec!["true", "false"],
            None => return Ok(()),
        };
        known.dedup();
        if known.contains(&value) {
            return Ok(());
        }
        let what = format!("value of the attribute `{}`:", self.str(spec.name));
        Err(unknown(&what, &self.word(value, place), known))
    }

    /// Conditions ask for spaces, kinds and values that there are, of what can have them.
    fn conditions(&self) -> Result<(), Diagnostic> {
        let tables = &self.data.tables;
        let nowhere = || self.op.name.span();
        let pipe = self.op.pipe.as_ref().map_or_else(nowhere, Spanned::span);
        for rule in self.entry.pipe_rules.of(&tables.pipe_rules) {
            self.conditions_in(rule.when, &pipe)?;
        }
        let cpp = self.op.cpp.as_ref().map_or_else(nowhere, Spanned::span);
        for rule in self.entry.cpp_rules.of(&tables.cpp_rules) {
            self.conditions_in(rule.when, &cpp)?;
        }
        let phases = tables.insides.last().copied().unwrap_or_default();
        for (phase, written) in phases.of(&tables.phases).iter().zip(&self.op.inside) {
            self.conditions_in(phase.when, &written.span())?;
        }
        Ok(())
    }

    fn conditions_in(&self, when: Range, place: &Bytes<usize>) -> Result<(), Diagnostic> {
        when.of(&self.data.tables.conditions).iter().try_for_each(|c| self.condition(c, place))
    }

    fn condition(&self, condition: &Condition, place: &Bytes<usize>) -> Result<(), Diagnostic> {
        let view = self.data.view();
        let name = self.str(condition.name);
        let values = condition.values.of(view.t.names).iter().map(|&v| self.str(v));
        let attr = self.attr(name);
        match (condition.kind, attr) {
            (condition_kind::HAS | condition_kind::LACKS, _) => Ok(()),
            (condition_kind::ATTR, Some(spec)) => {
                values.into_iter().try_for_each(|value| self.attr_value(spec, value, place.clone()))
            }
            (condition_kind::ATTR, None) => {
                let attrs = self.attrs().iter().map(|a| self.str(a.name));
                Err(unknown("attribute", &self.word(name, place.clone()), attrs))
            }
            (_, Some(_)) => {
                let operands =
                    [self.entry.operands, self.entry.results].map(|range| self.names(range)).concat();
                Err(unknown("operand or result", &self.word(name, place.clone()), operands))
            }
            (condition_kind::SPACE, None) => {
                let spaces: Vec<&str> = view.t.spaces.iter().map(|s| view.str(s.name)).collect();
                self.each_known("memory space", values, &spaces, place)
            }
            (condition_kind::KIND, None) => self.each_known("kind of value", values, &KINDS, place),
            _ => Ok(()),
        }
    }

    fn each_known(
        &self,
        what: &str,
        mut values: impl Iterator<Item = &'a str>,
        known: &[&str],
        place: &Bytes<usize>,
    ) -> Result<(), Diagnostic> {
        match values.find(|value| !known.contains(value)) {
            None => Ok(()),
            Some(value) => Err(unknown(what, &self.word(value, place.clone()), known.iter().copied())),
        }
    }

    /// A word that stands somewhere in a part of the text, with its own place if it can be found.
    pub(super) fn word(&self, word: &str, within: Bytes<usize>) -> Spanned<String> {
        let part = self.text.get(within.clone()).unwrap_or("");
        let bounded = |at: usize| {
            let inside = |c: char| c.is_alphanumeric() || c == '_';
            !part[..at].ends_with(inside) && !part[at + word.len()..].starts_with(inside)
        };
        let found = part.match_indices(word).map(|(at, _)| at).find(|&at| !word.is_empty() && bounded(at));
        let span = found.map_or(within.clone(), |at| within.start + at..within.start + at + word.len());
        Spanned::new(span, word.to_owned())
    }

    pub(super) fn attr(&self, name: &str) -> Option<&'a AttrSpec> {
        self.attrs().iter().find(|a| self.str(a.name) == name)
    }

    pub(super) fn attrs(&self) -> &'a [AttrSpec] {
        self.entry.attrs.of(&self.data.tables.attrs)
    }

    /// The names of operands or results.
    pub(super) fn names(&self, range: Range) -> Vec<&'a str> {
        range.of(&self.data.tables.operands).iter().map(|o| self.str(o.name)).collect()
    }

    pub(super) fn str(&self, id: pipewright_abi::StrId) -> &'a str {
        self.data.strings.view().get(id)
    }
}

/// Names of a target's files so far, by what they stand for.
pub(super) type Seen = HashSet<(&'static str, String)>;

/// Checks what the file says of the machine: each name stands for one thing, and each class of operations is one that
/// an attribute can name. Called when the machines of all files are known.
pub(super) fn machine(file: &RawFile, seen: &mut Seen, data: &TargetData) -> Result<(), Diagnostic> {
    once("pipe", file.pipe.iter().map(|p| &p.name), seen)?;
    once("memory space", file.space.iter().map(|s| &s.name), seen)?;
    once("enumeration", file.enums.iter().map(|e| &e.name), seen)?;
    for e in &file.enums {
        once("value of its enumeration", e.values.iter().map(|v| &v.text), &mut Seen::default())?;
    }
    let view = data.view();
    let values: HashSet<&str> = view.t.enum_values.iter().map(|v| view.str(v.text)).collect();
    match file.sync_classes.iter().find(|(class, _)| !values.contains(class.as_str())) {
        None => Ok(()),
        Some((class, pipe)) => {
            let mut known: Vec<&str> = values.into_iter().collect();
            known.sort_unstable();
            let name = Spanned::new(pipe.span(), class.clone());
            Err(unknown("value of an enum that is the class", &name, known))
        }
    }
}

/// Names stand once in a list, and in those of the files before.
fn once<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a Spanned<String>>,
    seen: &mut Seen,
) -> Result<(), Diagnostic> {
    for name in names {
        if !seen.insert((what, name.get_ref().clone())) {
            let message = format!("`{}` stands twice as a {what}", name.get_ref());
            let label = text_range(name.span());
            return Err(Diagnostic::error("target::duplicate", message).label(label, "again here"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Report;

    const MACHINE: &str = r#"
[target]
name = "toy"
arch = ["toy"]
flag-model = "stall"
event-ids = 8

[[pipe]]
name = "V"
symbol = "PIPE_V"
core = ["vector"]
flags = true

[[space]]
name = "vec"
tile = "Vec"
bytes = 1024

[[enum]]
name = "mode"
cpp = "Mode"
values = [{ text = "FAST", value = 0, symbol = "FAST" }, { text = "EXACT", value = 1 }]
"#;

    const OP: &str = r#"
[[op]]
name = "x.op"
class = "dps"
ins = ["a: tile", "more*: tile"]
outs = ["d: tile"]
attrs = ["mode?: mode = FAST", "loud?: bool", "n: i32"]
inline = ["n"]
pipe = [{ when = { a = "vec" }, pipe = "V" }]
inside = ["V: read a", { when = { space = { d = ["vec"] } }, does = "V: write d" }]
cpp = [
  { when = { attr = { mode = 1, loud = true } }, emit = "int {+t} = F<{d:type}>({n}); X<{mode:sym}>({d}, {t})" },
  { when = { kind = { a = "tile" } }, emit = "Y({a}[?loud:, {n:sym}][?more:, {more:each}], \"(\")" },
]
"#;

    fn load(text: &str) -> Result<(), Report> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        std::fs::write(&path, text).unwrap();
        crate::target::load(&path, &[]).map(|_| ())
    }

    /// The message, the text at the place, and the help.
    fn refused(from: &str, to: &str) -> String {
        let whole = format!("{MACHINE}{OP}");
        assert_eq!(whole.matches(from).count(), 1, "{from}");
        let text = whole.replace(from, to);
        let report = load(&text).expect_err(to);
        let diagnostic = &report.diagnostics[0];
        let span = diagnostic.labels[0].span;
        let place = &text[span.start as usize..span.end as usize];
        let help = diagnostic.help.as_deref().unwrap_or("");
        format!("{}\n    at {place}\n    {help}", diagnostic.message)
    }

    #[test]
    fn what_is_right_is_loaded() {
        load(&format!("{MACHINE}{OP}")).unwrap();
    }

    #[test]
    fn what_is_wrong_is_said_at_its_place() {
        let cases = [
            ("\"dps\"", "\"dsp\""),
            ("inline = [\"n\"]", "inline = [\"m\"]"),
            ("\"n: i32\"", "\"a: i32\""),
            ("mode = FAST", "mode = FASTER"),
            ("mode = 1,", "mode = 2,"),
            ("loud = true }", "loud = \"yes\" }"),
            ("attr = { mode = 1,", "attr = { a = 1,"),
            ("{ a = \"vec\" }", "{ a = \"vce\" }"),
            ("{ a = \"vec\" }", "{ n = \"vec\" }"),
            ("{ d = [\"vec\"] }", "{ d = [\"vec\", \"mat\"] }"),
            ("{ a = \"tile\" }", "{ a = \"tail\" }"),
            ("{d:type}", "{e:type}"),
            ("{d:type}", "{d:typ}"),
            ("{mode:sym}", "{d:sym}"),
            ("{more:each}", "{n:each}"),
            ("({n});", "({m});"),
            ("({d}, {t})", "({d}, {u})"),
            ("[?loud:", "[?lout:"),
            ("[?loud:, {n:sym}]", "[?loud]"),
            ("{more:each}]", "{more:each}"),
            ("({d}, {t})", "({d}, {t}"),
            ("({d}, {t})", "({d}, {t}))"),
            ("({d}, {t})", "({d}, {t)"),
            ("({d}, {t})", "({d}, t})"),
            ("{+t} = F", "{+t} F"),
            ("\\\"(\\\"", "\\\"("),
            ("text = \"EXACT\"", "text = \"FAST\""),
            ("tile = \"Vec\"", "roles = [\"vectors\"]"),
            ("[[space]]\nname = \"vec\"", "[[space]]\nname = \"vec\"\n[[space]]\nname = \"vec\""),
            ("value = 1 }]\n", "value = 1 }]\n[sync-classes]\nFAST = \"V\"\nEXAKT = \"V\"\n"),
        ];
        let said: Vec<String> = cases.iter().map(|(from, to)| refused(from, to)).collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn a_form_has_an_expression_for_each_result() {
        let op = "[[op]]\nname = \"x.two\"\nclass = \"plain\"\noperands = [\"a: tile\"]\n\
                  results = [\"r: index\", \"c: index\"]\ncpp = \"{a}.rows()\"\n";
        let report = load(&format!("{MACHINE}{op}")).unwrap_err();
        let message = &report.diagnostics[0].message;
        assert!(message.contains("the operation has 2 results, and the form 1 expressions"), "{message}");
        load(&format!("{MACHINE}{}", op.replace("rows()", "rows(); {a}.cols()"))).unwrap();
    }
}
