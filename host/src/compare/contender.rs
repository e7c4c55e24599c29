//! What is compared: pipelines, each ready to run, with names that tell them apart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pipewright_abi::target::TargetData;

use super::model;
use crate::diagnostic::{Diagnostic, Report, Source};
use crate::pipeline::{self, ResolvedPipeline};
use crate::plugin::Found;
use crate::simulate::cost::{self, CostTable};
use crate::target;

/// A pipeline that takes part.
#[derive(Debug)]
pub struct Contender {
    /// What reports say of it.
    pub about: model::Pipeline,
    /// Its stages.
    pub pipeline: ResolvedPipeline,
    /// Its target.
    pub target: Arc<TargetData>,
    /// The target's costs.
    pub costs: Arc<CostTable>,
    /// Which of the contenders have an equal target: those with an equal number.
    pub target_group: usize,
}

/// What contenders are made of beside their pipelines.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// The plugins that there are.
    pub found: &'a Found,
    /// Settings that hold for all.
    pub settings: &'a [String],
    /// Files that extend every target.
    pub target_extensions: &'a [PathBuf],
    /// The cost table, if it is not to be the target's.
    pub costs: Option<&'a PathBuf>,
}

/// One option of a stage with the values that it is to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vary {
    /// `STAGE.OPTION`.
    pub option: String,
    /// Its values.
    pub values: Vec<String>,
}

impl Vary {
    /// Reads `STAGE.OPTION=A,B`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (option, values) = text.split_once('=').ok_or("write `STAGE.OPTION=A,B`")?;
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
        match option.split_once('.') {
            Some((stage, name)) if !stage.is_empty() && !name.is_empty() => {}
            _ => return Err(format!("`{option}` is no `STAGE.OPTION`")),
        }
        if values.iter().any(String::is_empty) {
            return Err(format!("`{option}` has an empty value"));
        }
        Ok(Self { option: option.trim().into(), values })
    }
}

/// All combinations of values, as settings, the last option changing fastest. One empty one without options.
pub fn product(vary: &[Vary]) -> Vec<Vec<String>> {
    vary.iter().fold(vec![Vec::new()], |all, vary| {
        let extend = |chosen: Vec<String>| {
            let with = move |value: &String| {
                let setting = format!("{}={value}", vary.option);
                chosen.iter().cloned().chain([setting]).collect::<Vec<_>>()
            };
            vary.values.iter().map(with).collect::<Vec<_>>()
        };
        all.into_iter().flat_map(extend).collect()
    })
}

/// The contenders of these pipelines, each in every variant.
pub fn contenders(
    names: &[String],
    variants: &[Vec<String>],
    common: &Common<'_>,
) -> Result<Vec<Contender>, Vec<Report>> {
    let mut targets: BTreeMap<(PathBuf, Vec<PathBuf>), (usize, Arc<TargetData>)> = BTreeMap::new();
    let mut costs: BTreeMap<PathBuf, Arc<CostTable>> = BTreeMap::new();
    let one = |report: Report| vec![report];
    let mut out = Vec::new();
    for name in names {
        for variant in variants {
            let unresolved = pipeline::load(name)?;
            let file = unresolved.sources.first().map_or(String::new(), |s| s.name.clone());
            let pipeline = pipeline::resolve_variant(unresolved, common.found, common.settings, variant)?;
            let extensions = [&pipeline.target_extensions[..], common.target_extensions].concat();
            let key = (pipeline.target.clone(), extensions.clone());
            let next = targets.len();
            let (target_group, target) = match targets.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let loaded = (next, Arc::new(target::load(&pipeline.target, &extensions).map_err(one)?));
                    targets.insert(key, loaded.clone());
                    loaded
                }
            };
            let cost_file = match common.costs {
                Some(file) => file.clone(),
                None => target::cost_file(&pipeline.target).map_err(one)?,
            };
            // One file has one table, however it is named.
            let cost_file = cost_file.canonicalize().unwrap_or(cost_file);
            let about = about(&pipeline, file, variant, names.len() == 1);
            let costs = match costs.get(&cost_file) {
                Some(known) => known.clone(),
                None => {
                    let loaded = Arc::new(cost::load(&cost_file).map_err(one)?);
                    costs.insert(cost_file, loaded.clone());
                    loaded
                }
            };
            out.push(Contender { about, pipeline, target, costs, target_group });
        }
    }
    name_apart(&mut out);
    check_costs(&costs)?;
    check_variants(&out)?;
    Ok(out)
}

fn about(pipeline: &ResolvedPipeline, file: String, variant: &[String], is_only: bool) -> model::Pipeline {
    let settings = variant.to_vec();
    // Options are short; the stage is added only where it is needed to tell two apart.
    let short = |s: &String| s.split_once('.').map_or(s.as_str(), |(_, option)| option).to_owned();
    let varied = variant.iter().map(short).collect::<Vec<_>>().join(" ");
    let name = match (varied.is_empty(), is_only) {
        (true, _) => pipeline.name.clone(),
        (false, true) => varied,
        (false, false) => format!("{} {varied}", pipeline.name),
    };
    let stage = |stage: &pipeline::ResolvedStage| {
        let pass = stage.description();
        model::Stage {
            pass: pass.name.clone(),
            plugin: stage.plugin.file.manifest.plugin.clone(),
            version: stage.plugin.file.manifest.version.to_string(),
            file: stage.plugin.file.path.display().to_string(),
            options: stage.options.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        }
    };
    model::Pipeline { name, file, settings, stages: pipeline.stages.iter().map(stage).collect() }
}

/// Gives pipelines of one name a second one, and if need be a number.
fn name_apart(contenders: &mut [Contender]) {
    let count = |all: &[Contender], name: &str| all.iter().filter(|c| c.about.name == name).count();
    for index in 0..contenders.len() {
        let name = contenders[index].about.name.clone();
        if count(contenders, &name) > 1 {
            let same: Vec<usize> =
                (0..contenders.len()).filter(|&i| contenders[i].about.name == name).collect();
            for (nth, index) in same.into_iter().enumerate() {
                let about = &mut contenders[index].about;
                let stem = std::path::Path::new(&about.file).file_stem().unwrap_or_default();
                let stem = stem.to_string_lossy().into_owned();
                about.name = if stem == name || stem.is_empty() {
                    format!("{name} ({})", nth + 1)
                } else {
                    format!("{name} ({stem})")
                };
            }
        }
        while count(contenders, &contenders[index].about.name) > 1 {
            contenders[index].about.name.push('\'');
        }
    }
}

/// Cycles under two cost tables say nothing of each other.
fn check_costs(costs: &BTreeMap<PathBuf, Arc<CostTable>>) -> Result<(), Vec<Report>> {
    let mut files = costs.keys();
    let (Some(first), Some(second)) = (files.next(), files.next()) else { return Ok(()) };
    let message = "the targets of the pipelines have different cost tables, so cycles cannot be compared";
    let help = format!("{}\n{}\n`--costs FILE` takes one for all", first.display(), second.display());
    Err(vec![Report::one(Source::default(), Diagnostic::error("compare::costs", message).help(help))])
}

/// Two variants that came out the same would be compared with each other for nothing: a value was given twice.
fn check_variants(contenders: &[Contender]) -> Result<(), Vec<Report>> {
    for (index, one) in contenders.iter().enumerate() {
        let same = |other: &&Contender| {
            other.about.file == one.about.file
                && other.about.stages == one.about.stages
                && !other.about.settings.is_empty()
        };
        if let Some(other) = contenders[..index].iter().find(same) {
            let message =
                format!("the variants `{}` and `{}` are the same", other.about.name, one.about.name);
            let source =
                Source::new("command line", format!("--vary {}", one.about.settings.join(" --vary ")));
            let diagnostic = Diagnostic::error("compare::same-variant", message);
            return Err(vec![Report::one(source, diagnostic.help("give each value once"))]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_has_every_combination_once() {
        let vary: Vec<_> = ["a.x=1,2", "b.y=u,v,w"].iter().map(|t| Vary::parse(t).unwrap()).collect();
        let product = product(&vary);
        assert_eq!(product.len(), 6);
        assert_eq!(product[1], ["a.x=1", "b.y=v"]);
        assert!(super::product(&[]) == [Vec::<String>::new()]);
        assert!(["a=1", ".x=1", "a.x", "a.x=1,,2"].iter().all(|t| Vary::parse(t).is_err()));
    }
}
