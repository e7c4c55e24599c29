//! From a name to a pipeline: finding the file, following `extends`, merging stages.
//!
//! What must hold: the merge is a function of the files alone, every stage of the result knows where each of its
//! values is written, and a pipeline has each pass at most once.

use std::path::{Path, PathBuf};

use semver::VersionReq;

use super::model::{self, At, Neighbour, PipelineFile, Place, Setting, StageEntry};
use crate::diagnostic::{Diagnostic, Report, Source, did_you_mean, text_range};
use crate::plugin::executable_directory;

/// Environment variable with a list of directories of pipelines, separated as in `PATH`.
pub const PATH_VARIABLE: &str = "PIPEWRIGHT_PIPELINE_PATH";

/// A pipeline with its inheritance resolved.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// File of its target.
    pub target: PathBuf,
    /// Files that extend the target, the inherited ones first.
    pub target_extensions: Vec<PathBuf>,
    /// Whether `compile` judges the final plans.
    pub verify: bool,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// The texts that places refer to: the file, the one that it extends, and so on.
    pub sources: Vec<Source>,
    /// The directories that relative paths in the sources start from.
    pub directories: Vec<PathBuf>,
}

/// A stage with its inheritance resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The pass.
    pub pass: At<String>,
    /// Which versions of the plugin will do.
    pub version: Option<At<VersionReq>>,
    /// The plugin's file, if the pipeline says which.
    pub plugin: Option<At<String>>,
    /// Options, each once, in the order in which they were first set.
    pub options: Vec<Setting>,
}

/// A diagnostic in one of the pipeline's sources.
pub(super) type Located = (usize, Diagnostic);

impl Pipeline {
    /// Turns located diagnostics into reports.
    pub(super) fn reports(&self, located: Vec<Located>) -> Vec<Report> {
        let report = |(source, diagnostic): Located| Report::one(self.sources[source].clone(), diagnostic);
        located.into_iter().map(report).collect()
    }
}

/// Loads the pipeline that `wanted` names: a file if it ends in `.toml` or has a `/`, else a name to search for.
pub fn load(wanted: &str) -> Result<Pipeline, Vec<Report>> {
    let command_line = Source::new("command line", format!("--pipeline {wanted}"));
    let span = text_range("--pipeline ".len()..command_line.text.len());
    let path = match find(wanted, None) {
        Ok(path) => path,
        Err(diagnostic) => return Err(vec![Report::one(command_line, diagnostic.label(span, "not found"))]),
    };
    let mut pipeline = Pipeline::default();
    let files = read_chain(&path, &mut pipeline)?;
    merge(files, &mut pipeline).map_err(|located| pipeline.reports(located))?;
    Ok(pipeline)
}

/// All pipelines on the search path, by name: the first file of each.
pub fn available() -> Vec<(String, PathBuf)> {
    let mut all: Vec<(String, PathBuf)> = Vec::new();
    for directory in places() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.extension().is_some_and(|e| e == "toml") && !all.iter().any(|(n, _)| *n == name) {
                all.push((name, path));
            }
        }
    }
    all.sort();
    all
}

/// Directories of pipelines, in search order: [`PATH_VARIABLE`], the installed `../share/pipewright/pipelines`, the
/// `pipelines` beside the `target` directory of cargo that the executable is in, and that of the source tree. No other
/// directory above the executable: what lies there may be anybody's.
fn places() -> Vec<PathBuf> {
    let listed = std::env::var_os(PATH_VARIABLE).unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&listed).filter(|p| !p.as_os_str().is_empty()).collect();
    if let Some(directory) = executable_directory() {
        places.extend(directory.parent().map(|d| d.join("share/pipewright/pipelines")));
        let mut built = directory.ancestors().filter(|d| d.ends_with("target"));
        let workspace = built.find_map(|target| target.parent().filter(|d| d.join("Cargo.toml").is_file()));
        places.extend(workspace.map(|d| d.join("pipelines")));
    }
    // Where cargo's target directory is elsewhere, the build tree cannot be found from the executable.
    places.extend(Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|d| d.join("pipelines")));
    places.retain(|p| p.is_dir());
    places
}

/// The file of the pipeline `wanted`, or a diagnostic without a label. `base` is the directory of the file that names
/// it, where paths start and names are looked for first.
fn find(wanted: &str, base: Option<&Path>) -> Result<PathBuf, Diagnostic> {
    if wanted.ends_with(".toml") || wanted.contains('/') {
        let path: PathBuf = base.unwrap_or(Path::new("")).join(wanted).components().collect();
        // "./x" in messages helps nobody.
        let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
        return match path.is_file() {
            true => Ok(path),
            false => {
                let message = format!("there is no pipeline file `{}`", path.display());
                Err(Diagnostic::error("pipeline::missing-file", message))
            }
        };
    }
    let file = format!("{wanted}.toml");
    let places: Vec<_> = base.map(Path::to_owned).into_iter().chain(places()).collect();
    if let Some(path) = places.iter().map(|p| p.join(&file)).find(|p| p.is_file()) {
        return Ok(path);
    }
    let known = available();
    let names = known.iter().map(|(name, _)| name.as_str());
    let mut help = match did_you_mean(wanted, names.clone()) {
        Some(meant) => format!("did you mean `{meant}`?\n"),
        None => format!("known pipelines: {}\n", names.collect::<Vec<_>>().join(", ")),
    };
    help.push_str("places searched:");
    let here = Path::new(".");
    for place in &places {
        // The directory of a file in the current one is empty.
        let place = if place.as_os_str().is_empty() { here } else { place };
        help.push_str(&format!("\n  {}", place.display()));
    }
    let message = format!("there is no pipeline `{wanted}`");
    Err(Diagnostic::error("pipeline::unknown", message).help(help))
}

/// Reads the file and those that it extends, itself first, and puts their texts into the pipeline.
fn read_chain(path: &Path, pipeline: &mut Pipeline) -> Result<Vec<PipelineFile>, Vec<Report>> {
    let (mut files, mut paths): (Vec<PipelineFile>, Vec<PathBuf>) = (Vec::new(), Vec::new());
    let mut next = path.to_owned();
    loop {
        let source = Source::read(&next).map_err(|report| vec![report])?;
        let (file, diagnostics) = model::parse(&source, files.len());
        if !diagnostics.is_empty() {
            return Err(vec![Report::new(source, diagnostics)]);
        }
        pipeline.sources.push(source);
        pipeline.directories.push(next.parent().unwrap_or(Path::new("")).to_owned());
        paths.push(next.canonicalize().unwrap_or(next));
        let base = file.extends.clone();
        files.push(file);
        let Some(base) = base else { return Ok(files) };
        let fail = |diagnostic: Diagnostic, text: &str| {
            Err(pipeline.reports(vec![(base.place.source, diagnostic.label(base.place.span, text))]))
        };
        next = match find(&base.value, Some(&pipeline.directories[base.place.source])) {
            Ok(path) => path,
            Err(diagnostic) => return fail(diagnostic, "not found"),
        };
        let identity = next.canonicalize().unwrap_or(next.clone());
        if let Some(first) = paths.iter().position(|p| *p == identity) {
            let cycle: Vec<_> =
                paths[first..].iter().chain([&identity]).map(|p| p.display().to_string()).collect();
            let diagnostic = Diagnostic::error("pipeline::cycle", "the pipeline extends itself")
                .help(format!("the cycle: {}", cycle.join("\n  extends ")));
            return fail(diagnostic, "leads back");
        }
    }
}

/// Merges the files, the root of the chain last.
fn merge(files: Vec<PipelineFile>, pipeline: &mut Pipeline) -> Result<(), Vec<Located>> {
    let mut errors = Vec::new();
    let own = &pipeline.sources[0].name;
    let stem = Path::new(own).file_stem().map(|s| s.to_string_lossy().into_owned());
    pipeline.name = files[0].name.clone().map(|n| n.value).or(stem).unwrap_or_default();
    pipeline.verify = files.iter().find_map(|f| f.verify).unwrap_or(false);
    pipeline.description = files[0].description.clone().map(|d| d.value).unwrap_or_default();
    match files.iter().find_map(|f| f.target.as_ref()) {
        Some(target) => match find_target(target, &pipeline.directories) {
            Ok(path) => pipeline.target = path,
            Err(diagnostic) => errors.push((target.place.source, diagnostic)),
        },
        None => {
            let diagnostic = Diagnostic::error("pipeline::missing-key", "the pipeline names no target")
                .label(text_range(0..0), "this file")
                .help("add `target = \"a3\"` to `[pipeline]`");
            errors.push((files.len() - 1, diagnostic));
        }
    }
    for extension in files.iter().rev().flat_map(|f| &f.target_extensions) {
        let directory = &pipeline.directories[extension.place.source];
        let path: PathBuf = directory.join(&extension.value).components().collect();
        if !path.is_file() {
            let message = format!("there is no target file `{}`", path.display());
            let diagnostic = Diagnostic::error("pipeline::missing-file", message)
                .label(extension.place.span, "not found")
                .help("a path starts in the directory of the file that it stands in");
            errors.push((extension.place.source, diagnostic));
        }
        pipeline.target_extensions.push(path);
    }
    let root = files.len() - 1;
    for (source, file) in files.into_iter().enumerate().rev() {
        check_once(&file.stages, &mut errors);
        for entry in file.stages {
            let misplaced = entry.remove.or(entry.position.as_ref().map(|(_, s)| s.place));
            if let Some(place) = misplaced.filter(|_| source == root) {
                let message = "`before`, `after` and `remove` are for pipelines that extend another";
                let diagnostic = Diagnostic::error("pipeline::position", message)
                    .label(place.span, "nothing is inherited here")
                    .help("stages run in the order in which the file lists them");
                errors.push((place.source, diagnostic));
                continue;
            }
            if let Err(error) = apply(entry, &mut pipeline.stages) {
                errors.push(error);
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Applies one stage of a file to what it inherits.
fn apply(entry: StageEntry, stages: &mut Vec<Stage>) -> Result<(), Located> {
    let inherited = stages.iter().position(|s| s.pass.value == entry.pass.value);
    if let Some(remove) = entry.remove {
        let Some(index) = inherited else {
            return Err(no_stage("pipeline::remove", &entry.pass, "is not inherited", stages, remove));
        };
        stages.remove(index);
        return Ok(());
    }
    let mut stage = match inherited {
        // A stage that says where it goes moves; one that does not stays.
        Some(index) if entry.position.is_some() => stages.remove(index),
        Some(index) => {
            override_with(&mut stages[index], entry);
            return Ok(());
        }
        None => Stage { pass: entry.pass.clone(), version: None, plugin: None, options: Vec::new() },
    };
    let position = entry.position.clone();
    override_with(&mut stage, entry);
    let index = match &position {
        None => stages.len(),
        Some((side, other)) => {
            let Some(index) = stages.iter().position(|s| s.pass.value == other.value) else {
                return Err(no_stage(
                    "pipeline::position",
                    other,
                    "is not in the pipeline",
                    stages,
                    other.place,
                ));
            };
            if *side == Neighbour::Before { index } else { index + 1 }
        }
    };
    stages.insert(index, stage);
    Ok(())
}

/// Options merge; version and plugin are replaced. A requirement speaks of one plugin's versions, so a new plugin
/// without a requirement of its own drops the inherited one.
fn override_with(stage: &mut Stage, entry: StageEntry) {
    stage.pass.place = entry.pass.place;
    if entry.plugin.is_some() {
        (stage.plugin, stage.version) = (entry.plugin, None);
    }
    if entry.version.is_some() {
        stage.version = entry.version;
    }
    for setting in entry.options {
        match stage.options.iter_mut().find(|s| s.name.value == setting.name.value) {
            Some(inherited) => *inherited = setting,
            None => stage.options.push(setting),
        }
    }
}

fn no_stage(code: &'static str, name: &At<String>, what: &str, stages: &[Stage], place: Place) -> Located {
    let names = stages.iter().map(|s| s.pass.value.as_str());
    let help = match did_you_mean(&name.value, names.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("stages: {}", names.collect::<Vec<_>>().join(", ")),
    };
    let message = format!("the stage `{}` {what}", name.value);
    (place.source, Diagnostic::error(code, message).label(name.place.span, "no such stage").help(help))
}

fn check_once(stages: &[StageEntry], errors: &mut Vec<Located>) {
    for (i, stage) in stages.iter().enumerate() {
        if let Some(first) = stages[..i].iter().find(|s| s.pass.value == stage.pass.value) {
            let message = format!("the pass `{}` has two stages", stage.pass.value);
            let diagnostic = Diagnostic::error("pipeline::duplicate-stage", message)
                .label(stage.pass.place.span, "the second one")
                .label(first.pass.place.span, "the first one")
                .help("a pipeline runs a pass once; merge the two stages");
            errors.push((stage.pass.place.source, diagnostic));
        }
    }
}

fn find_target(target: &At<String>, directories: &[PathBuf]) -> Result<PathBuf, Diagnostic> {
    let base = &directories[target.place.source];
    let named = target.value.ends_with(".toml") || target.value.contains('/');
    let candidates: Vec<PathBuf> = if named {
        vec![base.join(&target.value).components().collect()]
    } else {
        let file = Path::new("targets").join(format!("{}.toml", target.value));
        std::iter::once(base.clone()).chain(places()).map(|p| p.join(&file)).collect()
    };
    candidates.iter().find(|p| p.is_file()).cloned().ok_or_else(|| {
        let tried: String = candidates.iter().map(|p| format!("\n  {}", p.display())).collect();
        Diagnostic::error("pipeline::target", format!("there is no target `{}`", target.value))
            .label(target.place.span, "not found")
            .help(format!("files tried:{tried}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Style;

    /// Loads the first of these files and prints its stages, or the errors with the directory taken out.
    fn loaded(files: &[(&str, &str)]) -> String {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("targets")).unwrap();
        std::fs::write(directory.path().join("targets/t.toml"), "").unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let path = directory.path().join(files[0].0);
        match load(path.to_str().unwrap()) {
            Ok(pipeline) => pipeline.stages.iter().map(|s| show(s) + "\n").collect(),
            Err(reports) => {
                let text: String = reports.iter().map(|r| r.render(Style::Plain)).collect();
                let real = directory.path().canonicalize().unwrap();
                text.replace(real.to_str().unwrap(), "DIR").replace(directory.path().to_str().unwrap(), "DIR")
            }
        }
    }

    fn show(stage: &Stage) -> String {
        let mut text = stage.pass.value.clone();
        stage.version.iter().for_each(|v| text += &format!(" {}", v.value));
        stage.plugin.iter().for_each(|p| text += &format!(" from {}", p.value));
        stage.options.iter().for_each(|s| text += &format!(" {}={:?}", s.name.value, s.value.value));
        text
    }

    const BASE: &str = "[pipeline]\nname = \"base\"\ntarget = \"t\"\n\
        [[stage]]\npass = \"a\"\nversion = \"^0.1\"\noptions = { x = 1, y = 2 }\n\
        [[stage]]\npass = \"b\"\nversion = \"^0.1\"\n[[stage]]\npass = \"c\"\n";

    fn child(stages: &str) -> String {
        loaded(&[
            ("child.toml", &format!("[pipeline]\nname = \"child\"\nextends = \"base\"\n{stages}")),
            ("base.toml", BASE),
        ])
    }

    #[test]
    fn options_merge_and_versions_are_replaced() {
        insta::assert_snapshot!(
            child("[[stage]]\npass = \"a\"\nversion = \"0.3\"\noptions = { y = 5, z = true }\n"), @"
        a ^0.3 x=Typed(Int(1)) y=Typed(Int(5)) z=Typed(Bool(true))
        b ^0.1
        c
        ");
    }

    #[test]
    fn another_plugin_drops_the_inherited_requirement() {
        insta::assert_snapshot!(child("[[stage]]\npass = \"a\"\nplugin = \"x.so\"\n"), @"
        a from x.so x=Typed(Int(1)) y=Typed(Int(2))
        b ^0.1
        c
        ");
        insta::assert_snapshot!(child("[[stage]]\npass = \"a\"\nplugin = \"x.so\"\nversion = \"2\"\n"), @"
        a ^2 from x.so x=Typed(Int(1)) y=Typed(Int(2))
        b ^0.1
        c
        ");
    }

    #[test]
    fn stages_are_added_moved_and_removed() {
        insta::assert_snapshot!(child(
            "[[stage]]\npass = \"new\"\nafter = \"a\"\n[[stage]]\npass = \"last\"\n\
             [[stage]]\npass = \"c\"\nbefore = \"a\"\n[[stage]]\npass = \"b\"\nremove = true\n"), @"
        c
        a ^0.1 x=Typed(Int(1)) y=Typed(Int(2))
        new
        last
        ");
    }

    #[test]
    fn broken_inheritance_is_reported() {
        insta::assert_snapshot!(child("[[stage]]\npass = \"bb\"\nremove = true\n"));
        insta::assert_snapshot!(child(
            "[[stage]]\npass = \"n\"\nbefore = \"zebra\"\n[[stage]]\npass = \"n\"\n"
        ));
        insta::assert_snapshot!(loaded(&[
            ("x.toml", "[pipeline]\nname = \"x\"\nextends = \"y\"\n"),
            ("y.toml", "[pipeline]\nname = \"y\"\nextends = \"./x.toml\"\n"),
        ]));
        insta::assert_snapshot!(loaded(&[(
            "x.toml",
            "[pipeline]\nname = \"x\"\nextends = \"gone/y.toml\"\n"
        )]));
        insta::assert_snapshot!(loaded(&[(
            "x.toml",
            "[pipeline]\nname = \"x\"\ntarget = \"./z.toml\"\n[[stage]]\npass = \"a\"\nremove = true\n"
        )]));
        insta::assert_snapshot!(loaded(&[("x.toml", "[pipeline]\nname = \"x\"\n")]));
    }
}
