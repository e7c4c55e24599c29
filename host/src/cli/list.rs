//! `pipewright passes`, `pipelines` and `pipeline`: what there is.

use std::io;

use pipewright_abi::pass::Scope;
use pipewright_abi::plugin::PassDescription;

use super::{Failure, PluginArguments, output};
use crate::diagnostic::{Diagnostic, Report, Source, did_you_mean, text_range};
use crate::pipeline::{self, ResolvedStage};
use crate::plugin::{self, Found, Plugin};

/// Lists all passes, or shows the one of that name.
pub(super) fn passes(name: Option<&str>, arguments: &PluginArguments) -> Result<(), Failure> {
    let found = plugin::discover(&arguments.plugin_path)?;
    if let Some(none) = found.none() {
        return Err(Report::one(Source::default(), none).into());
    }
    let mut unusable: Vec<String> =
        found.refused.iter().map(|r| format!("{}: {}", r.path.display(), r.why)).collect();
    let mut plugins = Vec::new();
    for file in found.plugins.iter().filter(|f| name.is_none_or(|name| f.has(name))) {
        match plugin::load(file) {
            Ok(plugin) => plugins.push(plugin),
            Err(why) => unusable.push(format!("{}: {why}", file.path.display())),
        }
    }
    let mut passes: Vec<_> =
        plugins.iter().flat_map(|p| p.passes.iter().map(move |pass| (p, pass))).collect();
    passes.sort_by(|(p, a), (q, b)| (&a.name, &p.file.path).cmp(&(&b.name, &q.file.path)));
    let mut text = match name {
        Some(name) => {
            passes.retain(|(_, pass)| pass.name == name);
            passes.iter().map(|(plugin, pass)| details(plugin, pass)).collect::<Vec<_>>().join("\n")
        }
        None => overview(&passes),
    };
    if let Some(name) = name.filter(|_| passes.is_empty()) {
        return Err(unknown_pass(name, &found, &unusable).into());
    }
    if !unusable.is_empty() {
        text +=
            &format!("\nnot usable:\n{}", unusable.iter().map(|u| format!("  {u}\n")).collect::<String>());
    }
    write(&text)
}

fn overview(passes: &[(&Plugin, &PassDescription)]) -> String {
    let rows = passes.iter().map(|(plugin, pass)| {
        let options: Vec<_> = pass.info.options.iter().map(|o| format!("{}={}", o.name, o.default)).collect();
        vec![
            pass.name.clone(),
            pass.version.clone(),
            listed(&reads(pass)),
            listed(&pass.info.writes),
            listed(&options),
            plugin.file.path.display().to_string(),
        ]
    });
    output::table(&["PASS", "VERSION", "READS", "WRITES", "OPTIONS", "PLUGIN FILE"], rows.collect())
}

fn details(plugin: &Plugin, pass: &PassDescription) -> String {
    let (info, manifest) = (&pass.info, &plugin.file.manifest);
    let scope = match info.scope {
        Scope::Function => "one function at a time",
        Scope::Module => "the whole module",
    };
    let mut text = format!(
        "{} {}\n  {}\n\n  plugin   {}\n  file     {}\n  built    by {} for plugin ABI {}.{}\n  runs on  {scope}\n  \
         reads    {}\n  writes   {}\n",
        pass.name,
        pass.version,
        info.summary,
        manifest.plugin,
        plugin.file.path.display(),
        manifest.rustc,
        manifest.abi.0,
        manifest.abi.1,
        listed(&reads(pass)),
        listed(&info.writes),
    );
    text += if info.options.is_empty() { "  options  none\n" } else { "  options\n" };
    info.options.iter().for_each(|o| text += &format!("    {}\n", pipeline::option_text(o)));
    text
}

/// The artifacts that a pass reads; those that it can do without have a `?`.
fn reads(pass: &PassDescription) -> Vec<String> {
    let may = pass.info.may_read.iter().map(|artifact| format!("{artifact}?"));
    pass.info.reads.iter().cloned().chain(may).collect()
}

fn unknown_pass(name: &str, found: &Found, unusable: &[String]) -> Report {
    let source = Source::new("command line", format!("passes {name}"));
    let span = text_range("passes ".len()..source.text.len());
    let mut help = match did_you_mean(name, found.pass_names()) {
        Some(meant) => format!("did you mean `{meant}`?\n"),
        None => String::new(),
    };
    unusable.iter().for_each(|u| help += &format!("not usable: {u}\n"));
    help += &format!("places searched for plugins:{}", found.places_text());
    let diagnostic = Diagnostic::error("passes::unknown", format!("no plugin provides the pass `{name}`"))
        .label(span, "no such pass")
        .help(help);
    Report::one(source, diagnostic)
}

/// Lists all pipelines.
pub(super) fn pipelines() -> Result<(), Failure> {
    let rows = pipeline::available().into_iter().map(|(name, path)| {
        let description = match pipeline::load(&path.display().to_string()) {
            Ok(pipeline) => pipeline.description,
            Err(reports) => {
                let first = reports.iter().flat_map(|r| &r.diagnostics).next();
                format!("not usable: {}", first.map_or("", |d| d.message.as_str()))
            }
        };
        vec![name, description, path.display().to_string()]
    });
    write(&output::table(&["PIPELINE", "DESCRIPTION", "FILE"], rows.collect()))
}

/// Shows the stages of a pipeline, resolved.
pub(super) fn pipeline(name: &str, arguments: &PluginArguments) -> Result<(), Failure> {
    let pipeline = pipeline::load(name)?;
    let found = plugin::discover(&arguments.plugin_path)?;
    let heading = match pipeline.description.as_str() {
        "" => format!("{}\n", pipeline.name),
        text => format!("{}: {text}\n", pipeline.name),
    };
    let resolved = pipeline::resolve(pipeline, &found, &[])?;
    let row = |stage: &ResolvedStage| {
        let options: Vec<_> = stage.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        vec![
            stage.name().to_owned(),
            stage.description().version.clone(),
            listed(&options),
            stage.plugin.file.path.display().to_string(),
        ]
    };
    let rows = resolved.stages.iter().map(row).collect();
    let table = output::table(&["STAGE", "VERSION", "OPTIONS", "PLUGIN FILE"], rows);
    write(&format!("{heading}target: {}\n\n{table}", resolved.target.display()))
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "-".into() } else { items.join(", ") }
}

fn write(text: &str) -> Result<(), Failure> {
    output::result(text).map_err(|e: io::Error| {
        let message = format!("cannot write to the standard output: {e}");
        Report::one(Source::default(), Diagnostic::error("output::write", message)).into()
    })
}
