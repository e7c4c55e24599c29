//! The plugin boundary: manifest, root, interface, and the macro that exports them.
//!
//! A plugin is a shared library with three things in it:
//!
//! * a *manifest* in the link section [`MANIFEST_SECTION`], which the host reads from the file before it loads
//!   anything;
//! * a *root*, [`PluginRoot`], frozen for good: all it can do is hand out interfaces by id;
//! * the interface [`PASS_INTERFACE`], one function of columns to columns. A later one goes beside it under a new id.
//!
//! What must hold: no panic leaves a plugin (every entry is guarded), and nothing here borrows past a call.

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RSlice, RStr, RVec};
use bytemuck::{Pod, Zeroable};

use crate::column::{Column, ColumnError, Columns, OwnedColumn, StringPool, Strings, table};
use crate::contract::Contract;
use crate::guard::guarded;
use crate::kernel::Kernel;
use crate::pass::{
    OptionSpec, OptionType, OptionValue, Pass, PassContext, PassError, PassInfo, Remark, Scope, Unit,
};
use crate::plan::{EditRecord, PlanView, SyncPlan};
use crate::target::Target;
use crate::{NodeId, Range, StrId, TextRange};

/// Version of the boundary, major and minor. A host loads plugins of its own major and of its own or an older minor.
pub const ABI_VERSION: (u32, u32) = (1, 2);

/// [`ABI_VERSION`] as the manifest spells it.
pub const ABI_VERSION_TEXT: &str = "1.2";

/// The first version whose passes are held to what they declare, see [`crate::contract`]. Older ones are lent
/// everything and may change every plan.
pub const CONTRACT_VERSION: (u32, u32) = (1, 2);

/// The compiler that built this crate, as the manifest spells it.
pub const RUSTC: &str = env!("PIPEWRIGHT_RUSTC");

/// Link section of the manifest.
pub const MANIFEST_SECTION: &str =
    if cfg!(target_os = "macos") { "__DATA,__pipewright" } else { ".pipewright" };

/// First line of a manifest.
pub const MANIFEST_MAGIC: &str = "pipewright plugin manifest 1";

/// Id of the pass interface. Its methods are [`METHOD_DESCRIBE`] and [`METHOD_RUN`].
pub const PASS_INTERFACE: &str = "pipewright.pass/1";

/// Method: list the passes. The reply is a [`Catalog`].
pub const METHOD_DESCRIBE: u32 = 0;

/// Method: run the pass whose index is in the column `run.pass/1`. The reply is a [`Outcome`].
pub const METHOD_RUN: u32 = 1;

/// The root of a plugin.
#[repr(C)]
#[derive(Debug, StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRootRef)))]
#[sabi(missing_field(panic))]
pub struct PluginRoot {
    /// Hands out an interface by id, or nothing if the plugin does not have it.
    #[sabi(last_prefix_field)]
    pub get_extension: extern "C" fn(id: RStr<'_>) -> ROption<Interface>,
}

impl abi_stable::library::RootModule for PluginRootRef {
    abi_stable::declare_root_module_statics! {PluginRootRef}

    const BASE_NAME: &'static str = "pipewright_plugin";
    const NAME: &'static str = "pipewright_plugin";
    const VERSION_STRINGS: abi_stable::sabi_types::VersionStrings =
        abi_stable::sabi_types::VersionStrings::new("1.0.0");
}

/// An interface: one function for all its methods.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct Interface {
    /// Calls a method with columns, returns columns. The host may call it on several threads at once.
    pub call: extern "C" fn(method: u32, request: &Request<'_>) -> Reply,
}

/// What the host sends.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct Request<'a> {
    /// Columns of the whole module.
    pub shared: RSlice<'a, Column<'a>>,
    /// Columns of each function.
    pub units: RSlice<'a, RSlice<'a, Column<'a>>>,
}

/// What a plugin answers.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct Reply {
    /// One of [`status`].
    pub status: u32,
    /// Columns of the answer.
    pub columns: RVec<OwnedColumn>,
}

/// Values of [`Reply::status`].
pub mod status {
    /// The method succeeded.
    pub const OK: u32 = 0;
    /// The pass returned an error.
    pub const FAILED: u32 = 1;
    /// The pass panicked.
    pub const PANICKED: u32 = 2;
    /// The plugin does not know the method or cannot read the request.
    pub const REFUSED: u32 = 3;
    /// The pass does what it does not declare. Since ABI 1.2.
    pub const BREACH: u32 = 4;
}

/// A pass in a [`Catalog`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct PassRecord {
    name: StrId,
    version: StrId,
    summary: StrId,
    scope: u32,
    reads: Range,
    writes: Range,
    options: Range,
}

/// An option in a [`Catalog`] or in a run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct OptionRecord {
    int: i64,
    name: StrId,
    ty: u32,
    text: StrId,
    doc: StrId,
    choices: Range,
}

/// The values that an integer option takes. Since ABI 1.2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct RangeRecord {
    min: i64,
    max: i64,
    /// Index in the column of options.
    option: u32,
    reserved: u32,
}

/// Column of [`RangeRecord`]s in a [`Catalog`]. It may be missing.
const RANGES_COLUMN: &str = "catalog.ranges/1";

/// Column of pairs in a [`Catalog`]: a pass, by its index, and an artifact that it reads if it is there. It may be
/// missing.
const MAY_READ_COLUMN: &str = "catalog.may-read/1";

table! {
    /// The passes of a plugin, owned.
    owned CatalogData;
    /// The passes of a plugin, lent.
    view Catalog;
    /// Passes, by name.
    passes: PassRecord = "catalog.passes/1",
    /// Options of passes.
    options: OptionRecord = "catalog.options/1",
    /// Artifacts and choices.
    names: StrId = "catalog.names/1",
    /// Strings.
    bytes: u8 = "catalog.strings.bytes/1",
    /// Ends of strings.
    ends: u32 = "catalog.strings.ends/1",
}

/// A remark, an error, a label of it, a statistic or text in an [`Outcome`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct NoteRecord {
    amount: i64,
    kind: u32,
    text: StrId,
    help: StrId,
    node: NodeId,
    span: TextRange,
}

mod note {
    pub(super) const REMARK: u32 = 0;
    pub(super) const ERROR: u32 = 1;
    pub(super) const STATISTIC: u32 = 2;
    pub(super) const LABEL: u32 = 3;
    pub(super) const REPORT: u32 = 4;
}

table! {
    /// What a run produced, owned.
    owned OutcomeData;
    /// What a run produced, lent.
    view Outcome;
    /// Edits of the plan, in order.
    edits: EditRecord = "outcome.edits/1",
    /// Remarks, errors with their labels, statistics, reports, emitted text.
    notes: NoteRecord = "outcome.notes/1",
    /// Strings.
    bytes: u8 = "outcome.strings.bytes/1",
    /// Ends of strings.
    ends: u32 = "outcome.strings.ends/1",
}

/// What a run produced, decoded.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// Edits of the plan, in order.
    pub edits: Vec<EditRecord>,
    /// Columns for later stages.
    pub columns: Vec<OwnedColumn>,
    /// Remarks for people.
    pub remarks: Vec<Remark>,
    /// What the pass shows beside the plan; empty if nothing.
    pub report: String,
    /// Statistics.
    pub statistics: Vec<(String, i64)>,
    /// The text that an emitter produced.
    pub output: Option<String>,
    /// The error, if the pass failed or panicked.
    pub error: Option<PassError>,
    /// One of [`status`].
    pub status: u32,
}

/// The text that an emitter produced, in an [`Outcome`]. A column of its own, since it can be large.
const OUTPUT_COLUMN: &str = "outcome.text/1";

/// A pass registered in this library.
#[derive(Debug)]
pub struct Registration {
    name: &'static str,
    version: &'static str,
    info: fn() -> PassInfo,
    run: fn(&mut PassContext<'_>) -> Result<(), PassError>,
}

impl Registration {
    /// Registers `P`, versioned as its crate.
    pub const fn of<P: Pass>(version: &'static str) -> Self {
        Self { name: P::NAME, version, info: P::info, run: P::run }
    }
}

inventory::collect!(Registration);

/// The passes registered in this library, by name.
fn registrations() -> Vec<&'static Registration> {
    let mut passes: Vec<_> = inventory::iter::<Registration>.into_iter().collect();
    passes.sort_by_key(|p| p.name);
    passes
}

/// The one function behind [`PASS_INTERFACE`]. Guarded: a panic becomes a reply.
pub extern "C" fn pass_interface(method: u32, request: &Request<'_>) -> Reply {
    let answer = guarded(|| match method {
        METHOD_DESCRIBE => describe(),
        METHOD_RUN => run(request).unwrap_or_else(|error| {
            let error = PassError::new(error.to_string());
            reply(status::REFUSED, Vec::new(), Vec::new(), [(note::ERROR, Note::Error(&error))])
        }),
        _ => Reply { status: status::REFUSED, columns: RVec::new() },
    });
    answer.unwrap_or_else(|caught| {
        let status = if caught.is_breach { status::BREACH } else { status::PANICKED };
        let error = PassError::new(caught.text);
        reply(status, Vec::new(), Vec::new(), [(note::ERROR, Note::Error(&error))])
    })
}

fn describe() -> Reply {
    let mut strings = StringPool::default();
    let mut catalog = CatalogData::default();
    let (mut ranges, mut may_read): (Vec<RangeRecord>, Vec<[u32; 2]>) = (Vec::new(), Vec::new());
    for pass in registrations() {
        let info = (pass.info)();
        let reads = intern_all(&mut catalog.names, &mut strings, &info.reads);
        let writes = intern_all(&mut catalog.names, &mut strings, &info.writes);
        let start = catalog.options.len();
        for option in &info.options {
            let choices = intern_all(&mut catalog.names, &mut strings, &option.choices);
            let record = option_record(&mut strings, &option.name, &option.default);
            let doc = strings.intern(&option.doc);
            if let Some((min, max)) = option.range {
                let option = catalog.options.len() as u32;
                ranges.push(RangeRecord { min, max, option, reserved: 0 });
            }
            catalog.options.push(OptionRecord { choices, doc, ..record });
        }
        let index = catalog.passes.len() as u32;
        may_read.extend(info.may_read.iter().map(|artifact| [index, strings.intern(artifact).0]));
        catalog.passes.push(PassRecord {
            name: strings.intern(pass.name),
            version: strings.intern(pass.version),
            summary: strings.intern(&info.summary),
            scope: info.scope as u32,
            reads,
            writes,
            options: Range::new(start, catalog.options.len()),
        });
    }
    (catalog.bytes, catalog.ends) = (strings.bytes, strings.ends);
    let mut columns = Vec::new();
    catalog.view().copy_out(&mut columns);
    columns.push(OwnedColumn::new(RANGES_COLUMN, &ranges));
    columns.push(OwnedColumn::new(MAY_READ_COLUMN, &may_read));
    Reply { status: status::OK, columns: columns.into() }
}

fn intern_all(names: &mut Vec<StrId>, strings: &mut StringPool, list: &[String]) -> Range {
    let start = names.len();
    names.extend(list.iter().map(|n| strings.intern(n)));
    Range::new(start, names.len())
}

/// A pass as the host knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct PassDescription {
    /// Name.
    pub name: String,
    /// Version of the crate it comes from.
    pub version: String,
    /// What it says of itself.
    pub info: PassInfo,
}

/// Decodes the reply to [`METHOD_DESCRIBE`].
pub fn decode_catalog(reply: &Reply) -> Result<Vec<PassDescription>, ColumnError> {
    let lent = lend_all(&reply.columns);
    let columns = Columns::new(&lent);
    let catalog = Catalog::from_columns(columns)?;
    let ranges = optional::<RangeRecord>(columns, RANGES_COLUMN)?;
    let may_read = optional::<[u32; 2]>(columns, MAY_READ_COLUMN)?;
    let strings = Strings { bytes: catalog.bytes, ends: catalog.ends };
    let names = |r: Range| r.of(catalog.names).iter().map(|&n| strings.get(n).to_owned()).collect::<Vec<_>>();
    let option = |index: usize, option: &OptionRecord| {
        let default = option_value(option, strings);
        let range = ranges.iter().find(|range| range.option as usize == index);
        OptionSpec {
            name: strings.get(option.name).into(),
            ty: default.option_type(),
            default,
            choices: names(option.choices),
            range: range.map(|range| (range.min, range.max)),
            doc: strings.get(option.doc).into(),
        }
    };
    let describe = |(index, pass): (usize, &PassRecord)| PassDescription {
        name: strings.get(pass.name).into(),
        version: strings.get(pass.version).into(),
        info: PassInfo {
            summary: strings.get(pass.summary).into(),
            scope: if pass.scope == Scope::Module as u32 { Scope::Module } else { Scope::Function },
            reads: names(pass.reads),
            may_read: may_read
                .iter()
                .filter(|[pass, _]| *pass as usize == index)
                .map(|&[_, artifact]| strings.get(StrId(artifact)).to_owned())
                .collect(),
            writes: names(pass.writes),
            options: pass
                .options
                .indices()
                .zip(pass.options.of(catalog.options))
                .map(|(index, record)| option(index, record))
                .collect(),
        },
    };
    Ok(catalog.passes.iter().enumerate().map(describe).collect())
}

/// The records of a column that plugins of older versions do not have.
fn optional<'a, T: Pod>(columns: Columns<'a>, id: &'static str) -> Result<&'a [T], ColumnError> {
    match columns.get(id) {
        Err(ColumnError::Missing(_)) => Ok(&[]),
        other => other,
    }
}

/// The columns that tell a plugin which pass to run, with which options.
#[derive(Clone, Debug)]
pub struct RunHeader {
    pass: [u32; 1],
    options: Vec<OptionRecord>,
    strings: StringPool,
}

impl RunHeader {
    /// Runs the pass `index` of the catalog with these options.
    pub fn new<'o>(index: u32, options: impl IntoIterator<Item = (&'o str, &'o OptionValue)>) -> Self {
        let mut strings = StringPool::default();
        let options = options.into_iter().map(|(n, v)| option_record(&mut strings, n, v)).collect();
        Self { pass: [index], options, strings }
    }

    /// Appends the header's columns to `out`.
    pub fn lend<'a>(&'a self, out: &mut Vec<Column<'a>>) {
        out.push(Column::lend("run.pass/1", &self.pass));
        out.push(Column::lend("run.options/1", &self.options));
        out.push(Column::lend("run.strings.bytes/1", &self.strings.bytes));
        out.push(Column::lend("run.strings.ends/1", &self.strings.ends));
    }
}

fn option_record(strings: &mut StringPool, name: &str, value: &OptionValue) -> OptionRecord {
    let (int, text) = match value {
        OptionValue::Bool(value) => (*value as i64, StrId::NONE),
        OptionValue::Int(value) => (*value, StrId::NONE),
        OptionValue::String(value) => (0, strings.intern(value)),
    };
    let name = strings.intern(name);
    OptionRecord {
        int,
        name,
        ty: value.option_type() as u32,
        text,
        doc: StrId::NONE,
        choices: Range::default(),
    }
}

fn option_value(record: &OptionRecord, strings: Strings<'_>) -> OptionValue {
    match record.ty {
        ty if ty == OptionType::Bool as u32 => OptionValue::Bool(record.int != 0),
        ty if ty == OptionType::Int as u32 => OptionValue::Int(record.int),
        _ => OptionValue::String(strings.get(record.text).into()),
    }
}

fn run(request: &Request<'_>) -> Result<Reply, Box<dyn core::error::Error>> {
    let shared = Columns::new(request.shared.as_slice());
    let pass = *shared.get::<u32>("run.pass/1")?.first().ok_or("no pass was named")?;
    let registered = registrations();
    let pass = registered.get(pass as usize).ok_or("the plugin has no such pass")?;
    let strings =
        Strings { bytes: shared.get("run.strings.bytes/1")?, ends: shared.get("run.strings.ends/1")? };
    let options = shared.get::<OptionRecord>("run.options/1")?;
    let options =
        options.iter().map(|o| (strings.get(o.name).to_owned(), option_value(o, strings))).collect();
    let contract = Contract::of(&(pass.info)());
    let mut units = Vec::with_capacity(request.units.len());
    for unit in request.units.as_slice() {
        let columns = Columns::new(unit.as_slice());
        // What the pass does not declare is not there.
        let kernel = if contract.lends("kernel") { Kernel::from_columns(columns)? } else { Kernel::empty() };
        let plan = match contract.lends_plans() {
            true => SyncPlan::from_columns(PlanView::from_columns(columns)?)?,
            false => SyncPlan::default(),
        };
        units.push(Unit::new(kernel, plan, columns));
    }
    let mut cx = PassContext::new(contract, units, Target::from_columns(shared)?, shared, options);
    let result = (pass.run)(&mut cx);

    // Plans of large kernels and their edits are large: each is let go as soon as it was copied.
    cx.release_units();
    let edits: Vec<EditRecord> = core::mem::take(&mut cx.edits).into_iter().map(|edit| edit.into()).collect();
    if let Some(text) = cx.output.take() {
        cx.columns.push(OwnedColumn::new(OUTPUT_COLUMN, text.as_bytes()));
    }
    let mut notes: Vec<(u32, Note<'_>)> = Vec::new();
    notes.extend(cx.remarks.iter().map(|remark| (note::REMARK, Note::Remark(remark))));
    notes.extend(cx.statistics.iter().map(|(name, n)| (note::STATISTIC, Note::Statistic(name, *n))));
    notes.extend(Some(&cx.report).filter(|r| !r.is_empty()).map(|text| (note::REPORT, Note::Text(text))));
    Ok(match &result {
        Ok(()) => reply(status::OK, edits, cx.columns, notes),
        Err(error) => {
            notes.push((note::ERROR, Note::Error(error)));
            notes.extend(error.labels.iter().map(|(span, text)| (note::LABEL, Note::Label(*span, text))));
            reply(status::FAILED, Vec::new(), Vec::new(), notes)
        }
    })
}

enum Note<'a> {
    Remark(&'a Remark),
    Error(&'a PassError),
    Label(TextRange, &'a str),
    Statistic(&'a str, i64),
    Text(&'a str),
}

fn reply<'a>(
    status: u32,
    edits: Vec<EditRecord>,
    mut columns: Vec<OwnedColumn>,
    notes: impl IntoIterator<Item = (u32, Note<'a>)>,
) -> Reply {
    let mut strings = StringPool::default();
    let mut outcome = OutcomeData { edits, ..Default::default() };
    for (kind, content) in notes {
        let empty = NoteRecord { kind, ..Default::default() };
        outcome.notes.push(match content {
            Note::Remark(remark) => {
                NoteRecord { text: strings.intern(&remark.message), node: remark.node, ..empty }
            }
            Note::Error(error) => NoteRecord {
                text: strings.intern(&error.message),
                help: strings.intern(&error.help),
                node: error.node,
                span: error.span,
                ..empty
            },
            Note::Statistic(name, amount) => NoteRecord { text: strings.intern(name), amount, ..empty },
            Note::Label(span, text) => NoteRecord { text: strings.intern(text), span, ..empty },
            Note::Text(text) => NoteRecord { text: strings.intern(text), ..empty },
        });
    }
    (outcome.bytes, outcome.ends) = (strings.bytes, strings.ends);
    outcome.view().copy_out(&mut columns);
    Reply { status, columns: columns.into() }
}

/// Decodes the reply to [`METHOD_RUN`].
pub fn decode_outcome(reply: Reply) -> Result<RunOutcome, ColumnError> {
    let status = reply.status;
    let mut run = RunOutcome { status, ..Default::default() };
    {
        let lent = lend_all(&reply.columns);
        let outcome = Outcome::from_columns(Columns::new(&lent))?;
        let strings = Strings { bytes: outcome.bytes, ends: outcome.ends };
        run.edits = outcome.edits.to_vec();
        if let Ok(bytes) = Columns::new(&lent).get::<u8>(OUTPUT_COLUMN) {
            run.output = Some(String::from_utf8_lossy(bytes).into_owned());
        }
        let mut labels = Vec::new();
        for record in outcome.notes {
            let text = strings.get(record.text).to_owned();
            match record.kind {
                note::REMARK => run.remarks.push(Remark { message: text, node: record.node }),
                note::STATISTIC => run.statistics.push((text, record.amount)),
                note::REPORT => run.report = text,
                note::LABEL => labels.push((record.span, text)),
                _ => {
                    run.error = Some(PassError {
                        message: text,
                        help: strings.get(record.help).into(),
                        span: record.span,
                        node: record.node,
                        labels: Vec::new(),
                    });
                }
            }
        }
        if let Some(error) = &mut run.error {
            error.labels = labels;
        }
    }
    run.columns = reply.columns.into_iter().filter(|c| !c.id.starts_with("outcome.")).collect();
    Ok(run)
}

/// Lends every column whose length fits its storage.
pub fn lend_all(columns: &[OwnedColumn]) -> Vec<Column<'_>> {
    columns.iter().filter_map(OwnedColumn::borrow).collect()
}

/// The root's one function.
pub extern "C" fn get_extension(id: RStr<'_>) -> ROption<Interface> {
    if id.as_str() == PASS_INTERFACE {
        ROption::RSome(Interface { call: pass_interface })
    } else {
        ROption::RNone
    }
}

/// Length of the concatenation of `parts`, for [`concat`].
#[doc(hidden)]
pub const fn concat_len(parts: &[&str]) -> usize {
    let (mut len, mut i) = (0, 0);
    while i < parts.len() {
        len += parts[i].len();
        i += 1;
    }
    len
}

/// Concatenates `parts`, whose total length is `N`.
#[doc(hidden)]
pub const fn concat<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut out = [0; N];
    let (mut at, mut i) = (0, 0);
    while i < parts.len() {
        let part = parts[i].as_bytes();
        let mut j = 0;
        while j < part.len() {
            out[at] = part[j];
            (at, j) = (at + 1, j + 1);
        }
        i += 1;
    }
    out
}

#[doc(hidden)]
pub mod private {
    pub use abi_stable;
    pub use inventory;

    use abi_stable::prefix_type::PrefixTypeTrait;

    /// Makes the root. `manifest` is only referred to, so that the linker keeps it.
    pub fn root(manifest: &'static [u8]) -> super::PluginRootRef {
        std::hint::black_box(manifest);
        super::PluginRoot { get_extension: super::get_extension }.leak_into_prefix()
    }
}

/// Exports passes from a shared library: manifest, root and registration. Use it once per library.
///
/// ```ignore
/// struct BarrierAll;
/// impl Pass for BarrierAll { /* ... */ }
/// register_pass!(BarrierAll);
/// ```
#[macro_export]
macro_rules! register_pass {
    ($($pass:ty),+ $(,)?) => {
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::plugin::private::abi_stable;

            $( $crate::plugin::private::inventory::submit! {
                $crate::plugin::Registration::of::<$pass>(env!("CARGO_PKG_VERSION"))
            } )+

            const PARTS: &[&str] = &[
                $crate::plugin::MANIFEST_MAGIC,
                "\nabi ", $crate::plugin::ABI_VERSION_TEXT,
                "\nplugin ", env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"),
                "\nrustc ", $crate::plugin::RUSTC,
                $( "\npass ", <$pass as $crate::Pass>::NAME, )+
                "\n",
            ];

            // SAFETY: the section holds nothing but this text, and the host only reads it.
            #[used]
            #[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__pipewright"))]
            #[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".pipewright"))]
            static MANIFEST: [u8; $crate::plugin::concat_len(PARTS)] = $crate::plugin::concat(PARTS);

            fn root() -> $crate::plugin::PluginRootRef {
                $crate::plugin::private::root(&MANIFEST)
            }

            extern "C" fn erased_root() -> abi_stable::library::RootModuleResult {
                abi_stable::library::__call_root_module_loader(root)
            }

            // SAFETY: the name is the one that `abi_stable` looks for, and one library defines it once.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static HEADER: abi_stable::library::LibHeader = {
                // SAFETY: `erased_root` returns the module type named here, with its layout to be checked.
                unsafe {
                    abi_stable::library::LibHeader::from_constructor::<$crate::plugin::PluginRootRef>(
                        erased_root,
                        abi_stable::library::CheckTypeLayout::Yes,
                    )
                }
            };
        };
    };
}
