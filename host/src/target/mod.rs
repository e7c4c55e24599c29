//! Target files: the machine as data, read into the tables that passes see.
//!
//! The format is fixed in `docs/target-file.md`. What must hold after [`load`]: every pipe, space, enumeration and
//! operand that a rule names exists, and the operation index is built. Every error has a span in the file it is in.

mod accepts;
mod arch;
mod check;
mod extension;
mod inside;
mod raw;
mod sync;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipewright_abi::condition::Comparisons;
use pipewright_abi::target::{
    AttrSpec, Condition, CppRule, Entry, Enum, EnumValue, OperandSpec, Pipe, PipeRule, ReservedIds, Space,
    SpaceAlias, SyncClass, TargetData, attr_flag, condition_kind, entry_flag, operand_flag, operand_kind,
    pipe_flag, space_flag,
};
use pipewright_abi::{PipeId, Range, SpaceId, StrId};
use toml::Spanned;

use crate::diagnostic::{Diagnostic, Report, Source, did_you_mean, text_range};
use crate::toml_text;
pub use arch::{foreign, other_machines};
use check::Checked;
use raw::{Names, RawCppRule, RawFile, RawOp, RawPhaseWhen, RawTarget, RawWhen, TextOrRules};

/// What memory spaces can be for, and what is special about them.
const ROLES: [(&str, u32); 6] = [
    ("left", space_flag::LEFT),
    ("right", space_flag::RIGHT),
    ("vector", space_flag::VECTOR),
    ("staging", space_flag::STAGING),
    ("row-major", space_flag::ROW_MAJOR),
    ("number", space_flag::NUMBER),
];

/// Reads the target file at `path` with everything it includes, then `extensions`: further files of the same format
/// whose operations are added, and that say what else they add or replace.
pub fn load(path: &Path, extensions: &[PathBuf]) -> Result<TargetData, Report> {
    let mut files = Vec::new();
    read_with_includes(path, &mut files, 0)?;
    files.iter().try_for_each(|file| file.check(extension::refuse))?;
    complete(&files)?;
    for extension in extensions {
        let start = files.len();
        read_with_includes(extension, &mut files, 0)?;
        let (before, own) = files.split_at(start);
        extension::check(before, own)?;
    }
    let mut data = TargetData::default();
    for file in &files {
        file.check(|f| machine(f, &mut data))?;
    }
    let mut seen = check::Seen::default();
    for file in &files {
        file.check(|f| of_pipes(f, &mut data))?;
    }
    for file in &files {
        file.check(|f| check::machine(f, &mut seen, &data))?;
    }
    for file in &files {
        file.check(|f| f.op.iter().try_for_each(|op| operation(op, &file.source.text, &mut data)))?;
    }
    data.build_index();
    Ok(data)
}

/// Whether the files of a target say of the machine what must be known.
fn complete(files: &[File]) -> Result<(), Report> {
    let tables: Vec<_> = files.iter().filter_map(|f| f.raw.target.as_ref().map(|t| (f, t))).collect();
    let Some((file, table)) = tables.last() else {
        let message = "the target file has no `[target]` table";
        return Err(files[files.len() - 1].report(Diagnostic::error("target::incomplete", message)));
    };
    let has = |given: fn(&RawTarget) -> bool| tables.iter().any(|(_, t)| given(t.get_ref()));
    let known = [
        ("name", has(|t| t.name.is_some())),
        ("flag-model", has(|t| t.flag_model.is_some())),
        ("event-ids", has(|t| t.event_ids.is_some())),
    ];
    match known.into_iter().find(|(_, is_known)| !is_known) {
        None => Ok(()),
        Some((key, _)) => {
            let at = text_range(table.span());
            let diagnostic = Diagnostic::error("target::incomplete", format!("the target has no `{key}`"));
            Err(file.report(diagnostic.label(at, "in this table")))
        }
    }
}

/// The file with the costs of the target at `path`: see [`crate::simulate::cost`].
pub fn cost_file(path: &Path) -> Result<PathBuf, Report> {
    let file = read(path)?;
    let named = file.raw.target.as_ref().and_then(|t| t.get_ref().costs.as_ref());
    let Some(costs) = named else {
        let message = format!("the target `{}` has no costs", path.display());
        let diagnostic = Diagnostic::error("target::costs", message);
        return Err(Report::one(file.source, diagnostic.help("name a cost table: `costs = \"FILE\"`")));
    };
    let found = path.parent().unwrap_or(Path::new("")).join(costs.get_ref());
    if !found.is_file() {
        let message = format!("there is no file `{}`", found.display());
        let label = text_range(costs.span());
        let diagnostic = Diagnostic::error("target::costs", message).label(label, "named here");
        return Err(Report::one(file.source, diagnostic));
    }
    Ok(found)
}

struct File {
    source: Source,
    raw: RawFile,
}

impl File {
    fn check(&self, step: impl FnOnce(&RawFile) -> Result<(), Diagnostic>) -> Result<(), Report> {
        step(&self.raw).map_err(|diagnostic| self.report(diagnostic))
    }

    fn report(&self, diagnostic: Diagnostic) -> Report {
        Report::one(self.source.clone(), diagnostic)
    }
}

fn read(path: &Path) -> Result<File, Report> {
    let source = Source::read(path)?;
    match toml::from_str(&source.text) {
        Ok(raw) => Ok(File { source, raw }),
        Err(error) => {
            let diagnostic =
                toml_text::mistake("target::syntax", &source.text, error.message(), error.span());
            Err(Report::one(source, diagnostic))
        }
    }
}

fn read_with_includes(path: &Path, files: &mut Vec<File>, depth: usize) -> Result<(), Report> {
    let file = read(path)?;
    for include in &file.raw.include {
        let failed = |message: String| {
            let at = text_range(include.span());
            let diagnostic = Diagnostic::error("target::include", message).label(at, "included here");
            Report::one(file.source.clone(), diagnostic)
        };
        if depth == 8 {
            return Err(failed("includes are nested more than 8 deep".into()));
        }
        let included = path.parent().unwrap_or(Path::new("")).join(include.get_ref());
        if !included.is_file() {
            return Err(failed(format!("there is no file `{}`", included.display())));
        }
        read_with_includes(&included, files, depth + 1)?;
    }
    files.push(file);
    Ok(())
}

/// Pipes, spaces, enumerations and facts of one file. Facts count of the last file that has some: of the one that
/// includes the others.
fn machine(file: &RawFile, data: &mut TargetData) -> Result<(), Diagnostic> {
    let TargetData { tables, strings, arch, .. } = data;
    if let Some(target) = &file.target {
        let RawTarget { name, arch: served, flag_model, event_ids, .. } = target.get_ref();
        let mut facts = tables.facts.first().copied().unwrap_or_default();
        if let Some(model) = flag_model {
            facts.flag_model = match model.get_ref().as_str() {
                "stall" => 0,
                "lose" => 1,
                _ => return Err(unknown("flag model", model, ["stall", "lose"])),
            };
        }
        if let Some(ids) = event_ids {
            if !(1..=64).contains(ids.get_ref()) {
                let at = text_range(ids.span());
                return Err(
                    Diagnostic::error("target::range", "there must be 1 to 64 event ids").label(at, "")
                );
            }
            facts.event_ids = *ids.get_ref();
        }
        if let Some(name) = name {
            facts.name = strings.intern(name.get_ref());
        }
        if let Some(served) = served {
            arch.clone_from(served.get_ref());
        }
        tables.facts = vec![facts];
    }
    for pipe in &file.pipe {
        let mut flags = 0;
        for core in &pipe.core {
            flags |= match core.get_ref().as_str() {
                "cube" => pipe_flag::CUBE,
                "vector" => pipe_flag::VECTOR,
                _ => return Err(unknown("core", core, ["cube", "vector"])),
            };
        }
        flags |= if pipe.flags { pipe_flag::FLAGS } else { 0 };
        flags |= if pipe.scalar { pipe_flag::SCALAR } else { 0 };
        flags |= if pipe.all { pipe_flag::ALL } else { 0 };
        let (name, symbol) = (strings.intern(pipe.name.get_ref()), strings.intern(&pipe.symbol));
        tables.pipes.push(Pipe { name, symbol, flags });
    }
    for space in &file.space {
        let mut flags = 0;
        flags |= if space.global { space_flag::GLOBAL } else { 0 };
        flags |= if space.accumulator { space_flag::ACCUMULATOR } else { 0 };
        for role in &space.roles {
            flags |= match ROLES.iter().find(|(name, _)| name == role.get_ref()) {
                Some((_, flag)) => flag,
                None => return Err(unknown("role of a memory space", role, ROLES.map(|(name, _)| name))),
            };
        }
        let record = Space {
            bytes: space.bytes,
            align: space.align,
            name: strings.intern(space.name.get_ref()),
            tile: strings.intern(&space.tile),
            qualifier: strings.intern(&space.qualifier),
            flags,
        };
        let id = SpaceId::from_index(tables.spaces.len());
        for alias in &space.aliases {
            tables.space_aliases.push(SpaceAlias { name: strings.intern(alias), space: id });
        }
        tables.spaces.push(record);
        tables.scratch.push(space.scratch);
        tables.settled.push(space.settled);
        tables.slot_align.push(space.slot_align);
    }
    for e in &file.enums {
        let start = tables.enum_values.len();
        for v in &e.values {
            let (text, symbol) =
                (strings.intern(v.text.get_ref()), strings.intern(v.symbol.as_deref().unwrap_or("")));
            tables.enum_values.push(EnumValue { value: v.value, text, symbol });
        }
        let values = Range::new(start, tables.enum_values.len());
        let (name, cpp) = (strings.intern(e.name.get_ref()), strings.intern(e.cpp.as_deref().unwrap_or("")));
        tables.enums.push(Enum { name, cpp, values });
    }
    Ok(())
}

/// Ids and classes of one file, which name pipes of any.
fn of_pipes(file: &RawFile, data: &mut TargetData) -> Result<(), Diagnostic> {
    for reserved in &file.reserved_ids {
        let (src, dst) = (pipe(data, &reserved.src)?, pipe(data, &reserved.dst)?);
        let mask = reserved.ids.iter().fold(0, |mask, id| mask | 1u64.checked_shl(*id).unwrap_or(0));
        data.tables.reserved.push(ReservedIds { src, dst, mask });
    }
    for (name, class_pipe) in &file.sync_classes {
        let pipe = pipe(data, class_pipe)?;
        let name = data.strings.intern(name);
        data.tables.sync_classes.push(SyncClass { name, pipe });
    }
    Ok(())
}

fn operation(op: &RawOp, text: &str, data: &mut TargetData) -> Result<(), Diagnostic> {
    let start = data.tables.operands.len();
    for (group, specs) in [(Some("ins"), &op.ins), (Some("outs"), &op.outs), (None, &op.operands)] {
        for spec in specs {
            let record = operand(spec, group, data)?;
            data.tables.operands.push(record);
        }
    }
    let operands = Range::new(start, data.tables.operands.len());
    for spec in &op.results {
        let mut record = operand(spec, None, data)?;
        record.flags |= if op.writes_result { operand_flag::WRITE } else { 0 };
        data.tables.operands.push(record);
    }
    let results = Range::new(operands.indices().end, data.tables.operands.len());

    let start = data.tables.attrs.len();
    for spec in &op.attrs {
        let record = attribute(spec, op, data)?;
        data.tables.attrs.push(record);
    }
    let attrs = Range::new(start, data.tables.attrs.len());

    let mut names: Vec<StrId> = Vec::new();
    names.extend(operands.of(&data.tables.operands).iter().map(|o| o.name));
    names.extend(results.of(&data.tables.operands).iter().map(|o| o.name));
    names.extend(attrs.of(&data.tables.attrs).iter().map(|a| a.name));

    let start = data.tables.pipe_rules.len();
    match op.pipe.as_ref().map(|p| (p.span(), p.get_ref())) {
        None => {}
        Some((span, TextOrRules::Text(name))) => {
            let pipe = pipe(data, &Spanned::new(span, name.clone()))?;
            data.tables.pipe_rules.push(PipeRule { pipe, when: Range::default() });
        }
        Some((_, TextOrRules::Rules(rules))) => {
            for rule in rules {
                let pipe = pipe(data, &rule.pipe)?;
                let when = conditions(&rule.when.0, &names, data)?;
                data.tables.pipe_rules.push(PipeRule { pipe, when });
            }
        }
    }
    let pipe_rules = Range::new(start, data.tables.pipe_rules.len());

    let phases = inside::phases(op, operands, &names, data)?;
    let accepts = accepts::accepts(op, [operands, results], &names, data)?;

    let cpp_start = data.tables.cpp_rules.len();
    if let Some(cpp) = &op.cpp {
        self::cpp_rules(cpp.get_ref(), &names, data)?;
    }
    let cpp_rules = Range::new(cpp_start, data.tables.cpp_rules.len());

    let alias = match &op.alias {
        None => u32::MAX,
        Some(alias) => {
            known_name(alias, &names, data)?;
            let specs = operands.of(&data.tables.operands);
            let is_alias = |o: &OperandSpec| data.strings.view().get(o.name) == alias.get_ref();
            specs.iter().position(is_alias).map_or(u32::MAX, |i| i as u32)
        }
    };
    let mut flags = if op.root { entry_flag::ROOT } else { 0 };
    flags |= if op.writes_result { entry_flag::WRITES_RESULT } else { 0 };
    match op.effects.as_ref().map(|e| (e, e.get_ref().as_str())) {
        None => {}
        Some((_, "pure")) => flags |= entry_flag::PURE,
        Some((_, "read")) => flags |= entry_flag::READ,
        Some((effects, _)) => return Err(unknown("effect", effects, ["pure", "read"])),
    }
    for flag in &op.flags {
        flags |= match flag.get_ref().as_str() {
            "explicit-sync" => entry_flag::EXPLICIT_SYNC,
            "irregular" => entry_flag::IRREGULAR,
            "manual-address" => entry_flag::MANUAL_ADDRESS,
            "partial-write" => entry_flag::PARTIAL_WRITE,
            "scratch" => entry_flag::SCRATCH,
            "slot" => entry_flag::SLOT,
            "description" => entry_flag::DESCRIPTION,
            "one-row" => entry_flag::ONE_ROW,
            _ => {
                let known = [
                    "description",
                    "explicit-sync",
                    "irregular",
                    "manual-address",
                    "one-row",
                    "partial-write",
                    "scratch",
                    "slot",
                ];
                return Err(unknown("flag", flag, known));
            }
        };
    }
    let sync = sync::sync(op, operands, attrs, flags, data)?;
    let unsupported = op.unsupported.as_deref().map_or(StrId::NONE, |u| data.strings.intern(u));
    let name = data.strings.intern(op.name.get_ref());
    let class = data.strings.intern(op.class.get_ref());
    let entry =
        Entry { name, class, operands, results, attrs, pipe_rules, cpp_rules, alias, flags, unsupported };
    data.tables.entries.push(entry);
    data.tables.insides.push(phases);
    data.accepts.push(accepts);
    data.tables.syncs.push(sync);
    Checked::last(text, op, data)
}

/// Reads `name[?|*]: kind[|kind..] [effect]`, with a group before a dot.
fn operand(
    spec: &Spanned<String>,
    group: Option<&str>,
    data: &mut TargetData,
) -> Result<OperandSpec, Diagnostic> {
    let malformed = |why: &str| {
        Diagnostic::error("target::operand", format!("`{}` is no operand: {why}", spec.get_ref()))
            .label(text_range(spec.span()), "here")
            .help("write `name[?|*]: kind[|kind..] [read|write|readwrite|none]`")
    };
    let (name, rest) = spec.get_ref().split_once(':').ok_or_else(|| malformed("it has no kind"))?;
    let mut flags = 0;
    let name = match name.as_bytes().last() {
        Some(b'?') => {
            flags |= operand_flag::OPTIONAL;
            &name[..name.len() - 1]
        }
        Some(b'*') => {
            flags |= operand_flag::VARIADIC | operand_flag::OPTIONAL;
            &name[..name.len() - 1]
        }
        _ => name,
    };
    let (group, name) = name.split_once('.').map_or((group, name), |(g, n)| (Some(g), n));
    let mut words = rest.split_whitespace();
    let mut kinds = 0;
    for kind in words.next().unwrap_or("").split('|') {
        kinds |= kind_bit(kind).ok_or_else(|| malformed(&format!("`{kind}` is no kind")))?;
    }
    flags |= match (words.next(), group) {
        (None, Some("ins")) | (Some("read"), _) => operand_flag::READ,
        (None, Some("outs")) | (Some("write"), _) => operand_flag::WRITE,
        (Some("readwrite"), _) => operand_flag::READ | operand_flag::WRITE,
        (None | Some("none"), _) => 0,
        (Some(effect), _) => return Err(malformed(&format!("`{effect}` is no effect"))),
    };
    let group = group.map_or(StrId::NONE, |g| data.strings.intern(g));
    Ok(OperandSpec { name: data.strings.intern(name), group, kinds, flags })
}

fn kind_bit(kind: &str) -> Option<u32> {
    Some(match kind {
        "tile" => operand_kind::TILE,
        "view" => operand_kind::VIEW,
        "ptr" => operand_kind::PTR,
        "scalar" => operand_kind::SCALAR,
        "index" => operand_kind::INDEX,
        "event" => operand_kind::EVENT,
        "session" => operand_kind::SESSION,
        "pipe" => operand_kind::PIPE,
        "array" => operand_kind::ARRAY,
        "slots" => operand_kind::SLOTS,
        "any" => operand_kind::ANY,
        _ => return None,
    })
}

/// Reads `name[?]: type [= default]`.
fn attribute(spec: &Spanned<String>, op: &RawOp, data: &mut TargetData) -> Result<AttrSpec, Diagnostic> {
    let malformed = |why: String| {
        Diagnostic::error("target::attribute", format!("`{}` is no attribute: {why}", spec.get_ref()))
            .label(text_range(spec.span()), "here")
            .help("write `name[?]: type [= default]`")
    };
    let (name, rest) = spec.get_ref().split_once(':').ok_or_else(|| malformed("it has no type".into()))?;
    let (ty, default) = rest.split_once('=').map_or((rest.trim(), None), |(t, d)| (t.trim(), Some(d.trim())));
    for part in ty.split('|') {
        let plain = ["i8", "i32", "i64", "f32", "bool", "string", "symbol", "array", "unit"];
        if !plain.contains(&part) && data.view().find_enum(part).is_none() {
            return Err(malformed(format!("there is no type or enum `{part}`")));
        }
    }
    let mut flags = 0;
    let name = name.strip_suffix('?').inspect(|_| flags |= attr_flag::OPTIONAL).unwrap_or(name);
    if op.inline.iter().any(|i| i.get_ref() == name) {
        flags |= attr_flag::INLINE;
    }
    let default = default.map_or(StrId::NONE, |d| data.strings.intern(d));
    Ok(AttrSpec { name: data.strings.intern(name), ty: data.strings.intern(ty), default, flags })
}

fn cpp_rules(
    cpp: &TextOrRules<RawCppRule>,
    names: &[StrId],
    data: &mut TargetData,
) -> Result<(), Diagnostic> {
    let rules = match cpp {
        TextOrRules::Text(emit) => {
            let emit = data.strings.intern(emit);
            data.tables.cpp_rules.push(CppRule { emit, when: Range::default() });
            return Ok(());
        }
        TextOrRules::Rules(rules) => rules,
    };
    for rule in rules {
        let RawWhen { has, lacks, attr, space, kind, ty, layout, shape } = &rule.when;
        let start = data.tables.conditions.len();
        given(has, lacks, names, data)?;
        let tables = [
            (condition_kind::ATTR, attr),
            (condition_kind::SPACE, space),
            (condition_kind::KIND, kind),
            (condition_kind::TYPE, ty),
            (condition_kind::LAYOUT, layout),
            (condition_kind::SHAPE, shape),
        ];
        compared(&tables, names, data)?;
        let when = Range::new(start, data.tables.conditions.len());
        let emit = data.strings.intern(&rule.emit);
        data.tables.cpp_rules.push(CppRule { emit, when });
    }
    Ok(())
}

/// Appends the conditions under which a phase takes place, or a pipe is chosen.
fn conditions(when: &RawPhaseWhen, names: &[StrId], data: &mut TargetData) -> Result<Range, Diagnostic> {
    let RawPhaseWhen { has, lacks, space, kind, ty, layout, shape } = when;
    let start = data.tables.conditions.len();
    given(has, lacks, names, data)?;
    let tables = [
        (condition_kind::SPACE, space),
        (condition_kind::KIND, kind),
        (condition_kind::TYPE, ty),
        (condition_kind::LAYOUT, layout),
        (condition_kind::SHAPE, shape),
    ];
    compared(&tables, names, data)?;
    Ok(Range::new(start, data.tables.conditions.len()))
}

fn given(
    has: &[Spanned<String>],
    lacks: &[Spanned<String>],
    names: &[StrId],
    data: &mut TargetData,
) -> Result<(), Diagnostic> {
    for (kind, list) in [(condition_kind::HAS, has), (condition_kind::LACKS, lacks)] {
        for name in list {
            known_name(name, names, data)?;
            condition(kind, name.get_ref(), &Names::default(), data);
        }
    }
    Ok(())
}

type Compared<'r> = (u32, &'r BTreeMap<Spanned<String>, Names>);

fn compared(tables: &[Compared<'_>], names: &[StrId], data: &mut TargetData) -> Result<(), Diagnostic> {
    for &(kind, table) in tables {
        for (name, values) in table {
            known_name(name, names, data)?;
            let readable = |text: &&String| match kind {
                condition_kind::SHAPE => Comparisons::parse(text).is_some(),
                condition_kind::LAYOUT => matches!(text.as_str(), "row_major" | "col_major"),
                _ => true,
            };
            if let Some(text) = values.0.iter().find(|text| !readable(text)) {
                let message = format!(
                    "`{text}` is no condition on a {}",
                    if kind == condition_kind::SHAPE { "shape" } else { "layout" }
                );
                return Err(Diagnostic::error("target::condition", message)
                    .label(text_range(name.span()), "asked of this operand")
                    .help("write `rows == 1`, `row-bytes % 32 != 0 and cols > 8` for a shape, `row_major` or `col_major` for a layout"));
            }
            condition(kind, name.get_ref(), values, data);
        }
    }
    Ok(())
}

fn condition(kind: u32, name: &str, values: &Names, data: &mut TargetData) {
    let start = data.tables.names.len();
    for value in &values.0 {
        let value = data.strings.intern(value);
        data.tables.names.push(value);
    }
    let values = Range::new(start, data.tables.names.len());
    let name = data.strings.intern(name);
    data.tables.conditions.push(Condition { kind, name, values });
}

fn known_name(name: &Spanned<String>, names: &[StrId], data: &TargetData) -> Result<(), Diagnostic> {
    let known = names.iter().map(|&n| data.strings.view().get(n));
    if known.clone().any(|n| n == name.get_ref()) {
        Ok(())
    } else {
        Err(unknown("operand or attribute", name, known))
    }
}

fn pipe(data: &TargetData, name: &Spanned<String>) -> Result<PipeId, Diagnostic> {
    let target = data.view();
    let names = target.t.pipes.iter().map(|p| target.str(p.name));
    target.pipe(name.get_ref()).ok_or_else(|| unknown("pipe", name, names))
}

fn unknown<'a>(
    what: &str,
    name: &Spanned<String>,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let help = match did_you_mean(name.get_ref(), candidates.iter().copied()) {
        Some(likely) => format!("did you mean `{likely}`?"),
        None => format!("one of: {}", candidates.join(", ")),
    };
    Diagnostic::error("target::unknown-name", format!("there is no {what} `{}`", name.get_ref()))
        .label(text_range(name.span()), "here")
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Style;

    fn load_text(text: &str) -> Result<TargetData, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        std::fs::write(&path, text).unwrap();
        load(&path, &[]).map_err(|report| {
            let shown = report.render(Style::Plain);
            shown.replace(&dir.path().display().to_string(), "DIR")
        })
    }

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
    "#;

    #[test]
    fn operands_take_group_kind_and_effect() {
        let text = format!(
            "{MACHINE}\n[[op]]\nname = 'x.op'\nclass = 'dps'\nins = ['a: tile', 'tmp?: tile write']\nouts = ['d: tile']\n\
             operands = ['index.i*: index']\npipe = 'V'"
        );
        let data = load_text(&text).unwrap();
        let target = data.view();
        let entry = target.t.entries[data.entry("x.op").index()];
        let specs = entry.operands.of(target.t.operands);
        let shown: Vec<_> =
            specs.iter().map(|s| (target.str(s.group), target.str(s.name), s.flags)).collect();
        let (read, write) = (operand_flag::READ, operand_flag::WRITE);
        let optional = operand_flag::OPTIONAL;
        assert_eq!(
            shown,
            [
                ("ins", "a", read),
                ("ins", "tmp", write | optional),
                ("outs", "d", write),
                ("index", "i", optional | operand_flag::VARIADIC)
            ]
        );
    }

    #[test]
    fn errors_point_into_the_file() {
        let text = format!("{MACHINE}\n[[op]]\nname = 'x.op'\nclass = 'dps'\npipe = 'VV'");
        let error = load_text(&text).unwrap_err();
        assert!(error.contains("there is no pipe `VV`") && error.contains("did you mean `V`?"), "{error}");
        let error = load_text(&MACHINE.replace("event-ids", "event-id")).unwrap_err();
        assert!(error.contains("unknown field `event-id`"), "{error}");
    }

    #[test]
    fn the_shipped_target_loads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/targets/a3.toml");
        let data = load(&path, &[]).map_err(|report| report.render(Style::Plain)).unwrap();
        let target = data.view();
        assert!(target.t.entries.len() > 200);
        let (v, s) = (target.pipe("V").unwrap(), target.pipe("PIPE_S").unwrap());
        assert_eq!(target.usable_ids(v, s), 0x7f);
        assert_eq!(target.usable_ids(s, target.pipe("MTE2").unwrap()), 0xff);
    }
}
