//! From a pipeline to something that can run: every stage gets its plugin, its pass and the value of every option.
//!
//! All that can be wrong with a pipeline is found here, before anything runs. What must hold: only plugins that the
//! pipeline needs are loaded, and a resolved stage has one value for every option that its pass declares.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipewright_abi::pass::{OptionSpec, OptionType, OptionValue};
use pipewright_abi::plugin::{CONTRACT_VERSION, PassDescription};

use super::contracts::{self, Declared};
use super::extend::{Located, Pipeline, Stage};
use super::lend::Guard;
use super::model::{At, Literal, Place, Setting};
use crate::diagnostic::{Diagnostic, Report, Source, did_you_mean, text_range};
use crate::plugin::{self, Found, NoProvider, Plugin, PluginFile, Refused};

/// A pipeline that is ready to run.
#[derive(Debug)]
pub struct ResolvedPipeline {
    /// Its name.
    pub name: String,
    /// File of its target.
    pub target: PathBuf,
    /// Files that extend the target, each overriding those before it.
    pub target_extensions: Vec<PathBuf>,
    /// Whether `compile` judges the final plans.
    pub verify: bool,
    /// Its stages, in order.
    pub stages: Vec<ResolvedStage>,
    /// How stray writes of its plugins are looked for.
    pub guard: Guard,
}

/// A stage that is ready to run.
#[derive(Clone, Debug)]
pub struct ResolvedStage {
    /// The plugin that provides the pass.
    pub plugin: Arc<Plugin>,
    /// Index of the pass in the plugin.
    pub index: u32,
    /// A value for each option of the pass, in the order in which it declares them.
    pub options: Vec<(String, OptionValue)>,
}

impl ResolvedPipeline {
    /// Puts another emitter in the place of the last stage that writes text, or behind all stages if none does. `why`
    /// is the text that asked for it.
    pub fn replace_emitter(&mut self, pass: &str, found: &Found, why: Source) -> Result<(), Vec<Report>> {
        let place = Place { source: 0, span: text_range(0..why.text.len()) };
        let pass = At { value: pass.to_owned(), place };
        let stage = Stage { pass, version: None, plugin: None, options: Vec::new() };
        let pipeline =
            Pipeline { sources: vec![why], directories: vec![PathBuf::new()], ..Pipeline::default() };
        let emitter = provider(&stage, &pipeline, found)
            .and_then(|file| load(&stage, &file, &mut BTreeMap::new()))
            .map_err(|error| pipeline.reports(vec![error]))?;
        let (plugin, index) = emitter;
        let specs = &plugin.passes[index as usize].info.options;
        let options = specs.iter().map(|s| (s.name.clone(), s.default.clone())).collect();
        let emitter = ResolvedStage { plugin, index, options };
        match self.stages.iter().rposition(ResolvedStage::emits) {
            Some(index) => self.stages[index] = emitter,
            None => self.stages.push(emitter),
        }
        Ok(())
    }

    /// Drops the stages that only print: they have no part in a plan.
    pub fn leave_out_emitters(&mut self) {
        self.stages.retain(|stage| !stage.emits());
    }

    /// Whether some stage writes the artifact.
    pub fn writes(&self, artifact: &str) -> bool {
        self.stages.iter().any(|stage| stage.description().info.writes.iter().any(|w| w == artifact))
    }
}

impl ResolvedStage {
    /// The pass as its plugin describes it.
    pub fn description(&self) -> &PassDescription {
        &self.plugin.passes[self.index as usize]
    }

    /// Whether it writes text, and so has no part in a plan.
    pub fn emits(&self) -> bool {
        self.description().info.writes.iter().any(|w| w == "text")
    }

    /// Whether it is lent, and may change, what it declares and no more. Passes that were built before there were
    /// contracts are lent everything and may change every plan.
    pub fn is_held_to_contract(&self) -> bool {
        self.plugin.file.manifest.abi >= CONTRACT_VERSION
    }

    /// The name of the pass.
    pub fn name(&self) -> &str {
        &self.description().name
    }
}

/// Resolves a pipeline against the plugins found. `settings` are `STAGE.OPTION=VALUE` texts, which override it.
pub fn resolve(
    pipeline: Pipeline,
    found: &Found,
    settings: &[String],
) -> Result<ResolvedPipeline, Vec<Report>> {
    resolve_variant(pipeline, found, settings, &[])
}

/// The same for a variant: `varied` are more settings, which come from `--vary`.
pub fn resolve_variant(
    mut pipeline: Pipeline,
    found: &Found,
    settings: &[String],
    varied: &[String],
) -> Result<ResolvedPipeline, Vec<Report>> {
    let mut errors: Vec<Located> = Vec::new();
    for (flag, texts) in [("--set ", settings), ("--vary ", varied)] {
        texts.iter().for_each(|text| add_setting(&mut pipeline, flag, text, &mut errors));
    }
    if !pipeline.stages.is_empty() && pipeline.stages.iter().all(|stage| stage.plugin.is_none()) {
        // Once, and not for each stage.
        if let Some(none) = found.none() {
            return Err(vec![Report::one(Source::default(), none)]);
        }
    }
    let mut loaded: BTreeMap<PathBuf, Arc<Plugin>> = BTreeMap::new();
    let mut stages = Vec::new();
    for stage in &pipeline.stages {
        let resolved = provider(stage, &pipeline, found).and_then(|file| load(stage, &file, &mut loaded));
        match resolved {
            Ok((plugin, index)) => {
                let specs = &plugin.passes[index as usize].info.options;
                let options = options(stage, specs, &mut errors);
                stages.push(ResolvedStage { plugin, index, options });
            }
            Err(error) => errors.push(error),
        }
    }
    // With a stage missing, what it would have written would be reported as missing too.
    if stages.len() == pipeline.stages.len() {
        let declared: Vec<_> = stages.iter().map(Declared::of).collect();
        contracts::check(&pipeline, &declared, &mut errors);
    }
    if !errors.is_empty() {
        return Err(pipeline.reports(errors));
    }
    let Pipeline { name, target, target_extensions, verify, .. } = pipeline;
    Ok(ResolvedPipeline { name, target, target_extensions, verify, stages, guard: Guard::default() })
}

/// The file that provides the stage's pass.
fn provider(stage: &Stage, pipeline: &Pipeline, found: &Found) -> Result<PluginFile, Located> {
    let name = &stage.pass.value;
    let wanted = stage.version.as_ref().map(|v| &v.value);
    if let Some(plugin) = &stage.plugin {
        let base = &pipeline.directories[plugin.place.source];
        return named_provider(stage, plugin, base, found).map_err(|d| (plugin.place.source, d));
    }
    let fail = |diagnostic: Diagnostic, label: &str| {
        Err((stage.pass.place.source, diagnostic.label(stage.pass.place.span, label)))
    };
    match found.provider(name, wanted) {
        Ok(file) => Ok(file.clone()),
        Err(NoProvider::Unknown(meant)) => {
            let mut help = meant.map(|m| format!("did you mean `{m}`?\n")).unwrap_or_default();
            for Refused { path, why } in &found.refused {
                help += &format!("not usable: {}: {why}\n", path.display());
            }
            let passes: Vec<_> = found.pass_names().into_iter().collect();
            if meant.is_none() && !passes.is_empty() {
                help += &format!("passes found: {}\n", passes.join(", "));
            }
            help += &format!("places searched for plugins:{}", found.places_text());
            let diagnostic =
                Diagnostic::error("pipeline::unknown-pass", format!("no plugin provides the pass `{name}`"));
            fail(diagnostic.help(help), "no such pass")
        }
        Err(NoProvider::Version(files)) => Err(wrong_version(stage, &files)),
        Err(NoProvider::Ambiguous(files)) => {
            let list: String = files.iter().map(|f| format!("\n  {}", f.describe())).collect();
            let message = format!("{} plugins provide the pass `{name}`", files.len());
            let help = format!("say which one with `plugin = \"FILE\"`:{list}");
            fail(Diagnostic::error("pipeline::ambiguous-pass", message).help(help), "which one?")
        }
    }
}

fn named_provider(
    stage: &Stage,
    plugin: &At<String>,
    base: &Path,
    found: &Found,
) -> Result<PluginFile, Diagnostic> {
    let file = found.named(&plugin.value, base).map_err(|Refused { path, why }| {
        let message = format!("`{}` cannot be used as a plugin: {why}", path.display());
        let mut diagnostic =
            Diagnostic::error("pipeline::plugin", message).label(plugin.place.span, "this file");
        if !path.exists() {
            diagnostic = diagnostic.help(format!(
                "a path is relative to the pipeline file; a file name is also looked for in:{}",
                found.places_text()
            ));
        }
        diagnostic
    })?;
    let name = &stage.pass.value;
    if !file.has(name) {
        let message = format!("the plugin {} has no pass `{name}`", file.describe());
        let label = (plugin.place.span, "this plugin");
        return Err(Diagnostic::error("pipeline::unknown-pass", message)
            .label(label.0, label.1)
            .help(format!("it has: {}", file.manifest.passes.join(", "))));
    }
    if !file.admitted_by(stage.version.as_ref().map(|v| &v.value)) {
        return Err(wrong_version(stage, &[&file]).1);
    }
    Ok(file)
}

/// None of the files has the version that the stage wants.
fn wrong_version(stage: &Stage, files: &[&PluginFile]) -> Located {
    let wanted = stage.version.as_ref().map(|v| v.value.to_string()).unwrap_or_default();
    let place = stage.version.as_ref().map_or(stage.pass.place, |v| v.place);
    let versions: Vec<_> = files.iter().map(|f| f.manifest.version.to_string()).collect();
    let list: String = files.iter().map(|f| format!("\n  {}", f.describe())).collect();
    let message =
        format!("`{}` is wanted in version {wanted}, but found in {}", stage.pass.value, versions.join(", "));
    let diagnostic = Diagnostic::error("pipeline::version", message)
        .label(place.span, "not met")
        .help(format!("change the requirement or provide another plugin; found:{list}"));
    (place.source, diagnostic)
}

fn load(
    stage: &Stage,
    file: &PluginFile,
    loaded: &mut BTreeMap<PathBuf, Arc<Plugin>>,
) -> Result<(Arc<Plugin>, u32), Located> {
    let fail = |why: String| {
        let place = stage.plugin.as_ref().map_or(stage.pass.place, |p| p.place);
        let message = format!("the plugin {} cannot be loaded: {why}", file.describe());
        let help = format!("it was built by {}", file.manifest.rustc);
        (place.source, Diagnostic::error("plugin::load", message).label(place.span, "needed here").help(help))
    };
    let plugin = match loaded.get(&file.path) {
        Some(plugin) => plugin.clone(),
        None => {
            let plugin = Arc::new(plugin::load(file).map_err(fail)?);
            loaded.insert(file.path.clone(), plugin.clone());
            plugin
        }
    };
    match plugin.pass(&stage.pass.value) {
        Some((index, _)) => Ok((plugin.clone(), index)),
        None => Err(fail(format!("it has no pass `{}`", stage.pass.value))),
    }
}

/// A value for every option of the pass.
fn options(stage: &Stage, specs: &[OptionSpec], errors: &mut Vec<Located>) -> Vec<(String, OptionValue)> {
    let mut values: Vec<_> = specs.iter().map(|s| (s.name.clone(), s.default.clone())).collect();
    for setting in &stage.options {
        let name = &setting.name;
        let Some(index) = specs.iter().position(|s| s.name == name.value) else {
            let names = specs.iter().map(|s| s.name.as_str());
            let help = match (did_you_mean(&name.value, names.clone()), specs.is_empty()) {
                (Some(meant), _) => format!("did you mean `{meant}`? its options:{}", options_text(specs)),
                (None, false) => format!("its options:{}", options_text(specs)),
                (None, true) => "it takes no options".into(),
            };
            let message = format!("the pass `{}` has no option `{}`", stage.pass.value, name.value);
            let diagnostic = Diagnostic::error("pipeline::unknown-option", message)
                .label(name.place.span, "unknown option")
                .help(help);
            errors.push((name.place.source, diagnostic));
            continue;
        };
        match checked(&setting.value.value, &specs[index]) {
            Ok(value) => values[index].1 = value,
            Err((message, label)) => {
                let diagnostic = Diagnostic::error("pipeline::option-value", message)
                    .label(setting.value.place.span, label)
                    .help(option_text(&specs[index]));
                errors.push((setting.value.place.source, diagnostic));
            }
        }
    }
    values
}

/// The value as the option's type, or a message and a label.
fn checked(literal: &Literal, spec: &OptionSpec) -> Result<OptionValue, (String, String)> {
    let name = &spec.name;
    let wrong_type = |found: &str| {
        Err((
            format!("the option `{name}` takes a value of type {}, not {found}", spec.ty),
            format!("expected {}", spec.ty),
        ))
    };
    let value = match literal {
        Literal::Typed(value) if value.option_type() == spec.ty => value.clone(),
        Literal::Typed(value) => return wrong_type(&format!("{} ({value})", value.option_type())),
        Literal::Other(kind) => return wrong_type(kind),
        Literal::Text(text) => match (spec.ty, text.parse::<bool>(), text.parse::<i64>()) {
            (OptionType::Bool, Ok(value), _) => OptionValue::Bool(value),
            (OptionType::Int, _, Ok(value)) => OptionValue::Int(value),
            (OptionType::String, ..) => OptionValue::String(text.clone()),
            _ => return wrong_type(&format!("`{text}`")),
        },
    };
    match &value {
        OptionValue::String(text) if !spec.choices.is_empty() && !spec.choices.contains(text) => {
            let label = match did_you_mean(text, spec.choices.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "not one of the choices".into(),
            };
            Err((format!("the option `{name}` does not take {text:?}"), label))
        }
        OptionValue::Int(number) => match spec.range {
            Some((min, max)) if !(min..=max).contains(number) => {
                let side = if *number < min { "less" } else { "more" };
                let bound = if *number < min { min } else { max };
                let message = format!("the option `{name}` takes {min} to {max}, not {number}");
                Err((message, format!("{side} than {bound}")))
            }
            _ => Ok(value),
        },
        _ => Ok(value),
    }
}

fn options_text(specs: &[OptionSpec]) -> String {
    specs.iter().map(|s| format!("\n  {}", option_text(s))).collect()
}

/// Name, type or choices, default and purpose of an option, on one line.
pub fn option_text(spec: &OptionSpec) -> String {
    let takes = match (spec.choices.is_empty(), spec.range) {
        (true, Some((min, max))) => format!("{} from {min} to {max}", spec.ty),
        (true, None) => spec.ty.to_string(),
        (false, _) => spec.choices.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>().join(" or "),
    };
    let doc = if spec.doc.is_empty() { String::new() } else { format!(": {}", spec.doc) };
    format!("{} = {takes}, by default {}{doc}", spec.name, spec.default)
}

/// Adds a `STAGE.OPTION=VALUE` text to the pipeline as a source and as an override of its stage.
fn add_setting(pipeline: &mut Pipeline, prefix: &str, text: &str, errors: &mut Vec<Located>) {
    let source = pipeline.sources.len();
    pipeline.sources.push(Source::new("command line", format!("{prefix}{text}")));
    pipeline.directories.push(PathBuf::new());
    let place = |range: core::ops::Range<usize>| Place {
        source,
        span: text_range(prefix.len() + range.start..prefix.len() + range.end),
    };
    let parts = text.split_once('=').and_then(|(path, value)| {
        let (stage, option) = path.split_once('.')?;
        (!stage.is_empty() && !option.is_empty()).then_some((stage, option, value))
    });
    let Some((stage, option, value)) = parts else {
        let diagnostic = Diagnostic::error("set::syntax", format!("`{text}` is no setting"))
            .label(place(0..text.len()).span, "not understood")
            .help("write `--set STAGE.OPTION=VALUE`");
        errors.push((source, diagnostic));
        return;
    };
    let Some(found) = pipeline.stages.iter_mut().find(|s| s.pass.value == stage) else {
        let names = pipeline.stages.iter().map(|s| s.pass.value.as_str());
        let help = match did_you_mean(stage, names.clone()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("stages: {}", names.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("the pipeline `{}` has no stage `{stage}`", pipeline.name);
        let diagnostic = Diagnostic::error("set::unknown-stage", message)
            .label(place(0..stage.len()).span, "no such stage")
            .help(help);
        errors.push((source, diagnostic));
        return;
    };
    let at = stage.len() + 1;
    let setting = Setting {
        name: At { value: option.into(), place: place(at..at + option.len()) },
        value: At { value: Literal::Text(value.into()), place: place(at + option.len() + 1..text.len()) },
    };
    match found.options.iter_mut().find(|s| s.name.value == option) {
        Some(inherited) => *inherited = setting,
        None => found.options.push(setting),
    }
}
