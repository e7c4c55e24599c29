//! The cost table: what instructions cost, how well that is known, and who says so.
//!
//! It is data, in the file that a target names with `costs`; `docs/simulate.md` gives the formulas. What must hold
//! after [`load`]: an entry has every number that the formula of its section needs, all entries that the simulator
//! itself asks for exist, and numbers are finite and not negative.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use toml::{Spanned, Value};

use crate::diagnostic::{Diagnostic, Report, Source, did_you_mean, text_range};
use crate::toml_text;

/// What instructions cost.
#[derive(Clone, Debug, Default)]
pub struct CostTable {
    /// All numbers.
    pub figures: Vec<Figure>,
    /// What a source's key stands for.
    pub sources: BTreeMap<String, String>,
    /// Cycles of the clock in a second.
    pub hz: u64,
    /// For each entry, `vector.add`, its numbers by name.
    entries: BTreeMap<String, BTreeMap<String, usize>>,
    ops: BTreeMap<String, String>,
    defaults: BTreeMap<String, String>,
}

/// One number of a cost table.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name, `vector.add.head`.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// How well it is known.
    pub confidence: Confidence,
    /// Where it comes from: a key of [`CostTable::sources`].
    pub source: String,
}

/// How well a figure is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Nobody published it.
    Estimate,
    /// One source, or sources that disagree.
    Low,
    /// Measured, or several sources agree.
    Medium,
    /// Measured on a device.
    High,
}

impl Confidence {
    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Estimate => "est",
            Self::Low => "low",
            Self::Medium => "med",
            Self::High => "high",
        }
    }

    /// Whether a ranking must not hinge on it.
    pub fn is_weak(self) -> bool {
        self <= Self::Low
    }
}

/// What an operation costs that moves data between the memories that it reads and writes.
pub const ROUTE: &str = "route";

/// For each section the numbers of its entries.
const SECTIONS: [(&str, &[&str]); 9] = [
    ("unit", &["value"]),
    ("queue", &["value"]),
    ("scalar", &["value"]),
    ("sync", &["cycles", "delay"]),
    ("route", &["startup", "rate"]),
    ("drain", &["fixed", "floor", "rate", "odd"]),
    ("matrix", &["head", "fractal", "tail"]),
    ("vector", &["head", "slope", "tail"]),
    ("rows", &["row", "row-more", "base", "base-more", "short"]),
];

/// Entries that the simulator asks for by name.
const REQUIRED: [&str; 15] = [
    "unit.repeat",
    "unit.partial",
    "unit.block",
    "unit.fractal-rows",
    "unit.fractal-bytes",
    "scalar.dispatch",
    "scalar.instruction",
    "scalar.branch",
    "sync.set",
    "sync.wait",
    "sync.barrier",
    "sync.barrier-all",
    "route.other",
    "matrix.other",
    "vector.other",
];

impl CostTable {
    /// The entry that the operation has of its own.
    pub fn entry_of(&self, op: &str) -> Option<&str> {
        self.ops.get(op).map(String::as_str)
    }

    /// The entry for operations of a pipe that have none of their own.
    pub fn default_of(&self, pipe: &str) -> Option<&str> {
        self.defaults.get(pipe).map(String::as_str)
    }

    /// Whether there is an entry of that name.
    pub fn has(&self, entry: &str) -> bool {
        self.entries.contains_key(entry)
    }

    /// The table with one figure multiplied.
    pub fn scaled(&self, figure: usize, factor: f64) -> Self {
        let mut table = self.clone();
        table.figures[figure].value *= factor;
        table
    }
}

/// Reads figures of a table and notes which.
#[derive(Debug)]
pub struct Meter<'a> {
    /// The table.
    pub table: &'a CostTable,
    /// The figures that were read.
    pub used: BTreeSet<usize>,
}

impl<'a> Meter<'a> {
    /// A meter that has read nothing.
    pub fn new(table: &'a CostTable) -> Self {
        Self { table, used: BTreeSet::new() }
    }

    /// A number of an entry; 0 if there is none.
    pub fn read(&mut self, entry: &str, number: &str) -> f64 {
        let Some(&figure) = self.table.entries.get(entry).and_then(|e| e.get(number)) else { return 0.0 };
        self.used.insert(figure);
        self.table.figures[figure].value
    }
}

#[derive(Deserialize)]
struct RawFile {
    sources: BTreeMap<String, String>,
    clock: RawClock,
    #[serde(default)]
    op: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    default: BTreeMap<String, Spanned<String>>,
    #[serde(flatten)]
    sections: BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClock {
    hz: u64,
}

/// Reads the cost table at `path`.
pub fn load(path: &Path) -> Result<CostTable, Report> {
    let source = Source::read(path)?;
    parse(&source.text).map_err(|diagnostic| Report::one(source, diagnostic))
}

fn parse(text: &str) -> Result<CostTable, Diagnostic> {
    let raw: RawFile = toml::from_str(text).map_err(|error: toml::de::Error| {
        toml_text::mistake("cost::syntax", text, error.message(), error.span())
    })?;
    let mut table = CostTable { sources: raw.sources, hz: raw.clock.hz, ..CostTable::default() };
    for (section, entries) in &raw.sections {
        let Some((_, numbers)) = SECTIONS.iter().find(|(name, _)| name == section) else {
            let known = SECTIONS.map(|(name, _)| name);
            return Err(problem(text, section, &format!("there is no section `{section}`"), &known));
        };
        for (name, values) in entries {
            entry(text, section, name, numbers, values, &mut table)?;
        }
    }
    if let Some(missing) = REQUIRED.iter().find(|entry| !table.has(entry)) {
        return Err(Diagnostic::error("cost::incomplete", format!("the entry `{missing}` is missing")));
    }
    let entries: Vec<&str> = table.entries.keys().map(String::as_str).collect();
    for (user, entry) in raw.op.iter().chain(&raw.default) {
        if entry.get_ref() != ROUTE && !table.has(entry.get_ref()) {
            let message = format!("`{user}` costs `{}`, which is no entry", entry.get_ref());
            let diagnostic = Diagnostic::error("cost::unknown-entry", message)
                .label(text_range(entry.span()), "no such entry");
            let meant = did_you_mean(entry.get_ref(), entries.iter().copied());
            return Err(diagnostic.help(meant.map(|m| format!("did you mean `{m}`?")).unwrap_or_default()));
        }
    }
    let plain = |map: BTreeMap<String, Spanned<String>>| {
        map.into_iter().map(|(name, entry)| (name, entry.into_inner())).collect()
    };
    (table.ops, table.defaults) = (plain(raw.op), plain(raw.default));
    Ok(table)
}

/// One entry: its numbers, and for each of them confidence and source.
fn entry(
    text: &str,
    section: &str,
    name: &str,
    numbers: &[&str],
    values: &BTreeMap<String, Value>,
    table: &mut CostTable,
) -> Result<(), Diagnostic> {
    let full = format!("{section}.{name}");
    let word = |key: &str| values.get(key).and_then(Value::as_str);
    let confidence = |key: &str| {
        let all = [Confidence::Estimate, Confidence::Low, Confidence::Medium, Confidence::High];
        let word = word(key).unwrap_or("");
        let known = all.map(Confidence::name);
        let message = format!("`{full}` has `{key}` {word:?}");
        let found = all.into_iter().find(|c| c.name() == word);
        found.ok_or_else(|| problem(text, name, &message, &known))
    };
    let source = word("src").unwrap_or("");
    if !table.sources.contains_key(source) {
        let known: Vec<&str> = table.sources.keys().map(String::as_str).collect();
        return Err(problem(text, name, &format!("`{full}` has `src` {source:?}"), &known));
    }
    let own = |number: &str| format!("{number}-conf");
    let extra = |key: &&String| {
        !["conf", "src"].contains(&key.as_str()) && !numbers.iter().any(|n| n == key || own(n) == **key)
    };
    if let Some(key) = values.keys().find(extra) {
        return Err(problem(text, name, &format!("`{full}` has `{key}`"), numbers));
    }
    let mut ids = BTreeMap::new();
    for &number in numbers {
        let value = match values.get(number) {
            Some(Value::Integer(value)) => *value as f64,
            Some(Value::Float(value)) => *value,
            _ => return Err(problem(text, name, &format!("`{full}` needs the number `{number}`"), numbers)),
        };
        let is_divisor = number == "rate" || matches!(section, "unit" | "queue") && name != "partial";
        if !value.is_finite() || value < 0.0 || is_divisor && value == 0.0 {
            return Err(problem(text, name, &format!("`{full}.{number}` cannot be {value}"), &[]));
        }
        let confidence =
            if values.contains_key(&own(number)) { confidence(&own(number))? } else { confidence("conf")? };
        let name = if number == "value" { full.clone() } else { format!("{full}.{number}") };
        ids.insert(number.to_owned(), table.figures.len());
        table.figures.push(Figure { name, value, confidence, source: source.into() });
    }
    table.entries.insert(full, ids);
    Ok(())
}

/// An error about `name`, where it is first written as a key.
fn problem(text: &str, name: &str, message: &str, known: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error("cost::entry", message);
    let is_key =
        |at: usize| text[at + name.len()..].trim_start_matches('"').trim_start().starts_with(['=', ']']);
    let diagnostic = match text.match_indices(name).map(|(at, _)| at).find(|&at| is_key(at)) {
        Some(at) => diagnostic.label(text_range(at..at + name.len()), "here"),
        None => diagnostic,
    };
    diagnostic.help(if known.is_empty() { String::new() } else { format!("known: {}", known.join(", ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines/targets/a3/cost.toml"));

    #[test]
    fn the_shipped_table_loads_and_says_where_figures_come_from() {
        let table = parse(SHIPPED).unwrap();
        let figure = |name: &str| table.figures.iter().find(|f| f.name == name).unwrap();
        assert_eq!(figure("route.gm>vec.startup").value, 264.0);
        assert_eq!(figure("route.gm>mat.startup").confidence, Confidence::Estimate);
        assert_eq!(figure("route.gm>mat.rate").confidence, Confidence::Medium);
        assert!(table.figures.iter().all(|f| table.sources.contains_key(&f.source)));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("conf = \"med\", src = \"test\" }", "conf = \"sure\", src = \"test\" }", "has `conf` \"sure\""),
            ("src = \"test\"", "src = \"rumour\"", "has `src` \"rumour\""),
            ("rate = 128, conf = \"med\"", "conf = \"med\"", "needs the number `rate`"),
            ("rate = 128, conf = \"med\"", "rate = 0, conf = \"med\"", "cannot be 0"),
            ("[drain]", "[drains]", "there is no section `drains`"),
            ("\"vector.abs\"", "\"vector.abz\"", "which is no entry"),
            ("\nbranch = ", "\nbranches = ", "`scalar.branch` is missing"),
            ("startup-conf", "startup-confidence", "has `startup-confidence`"),
        ];
        for (from, to, message) in cases {
            assert!(SHIPPED.contains(from), "{from}");
            let error = parse(&SHIPPED.replacen(from, to, 1)).unwrap_err();
            assert!(error.message.contains(message), "{}: {message}", error.message);
        }
    }
}
