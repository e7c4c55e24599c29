//! Kernels through real pipelines, to the programs that are judged.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pipewright::lower::addresses::lower_all;
use pipewright::pipeline::{self, ResolvedPipeline, Unit};
use pipewright::plugin::{self, Found};
use pipewright::verify::program::Program;
use pipewright::verify::{FlagModel, Judgement, build, verify};
use pipewright::{lower, syntax, target};
use pipewright_abi::target::TargetData;
use pipewright_tests::{build_directory, files_below, workspace};

/// A pipeline without its emitter, and its target.
#[derive(Debug)]
pub(crate) struct Pipeline {
    resolved: ResolvedPipeline,
    target: TargetData,
}

/// A kernel with its final plans.
pub(crate) struct Planned {
    pub(crate) units: Vec<Unit>,
    pub(crate) programs: Vec<Program>,
}

impl Pipeline {
    pub(crate) fn load(name: &str) -> Self {
        Self::with(name, &[])
    }

    /// With options as `--set` gives them.
    pub(crate) fn with(name: &str, settings: &[&str]) -> Self {
        let unresolved = pipeline::load(name).expect("the pipeline loads");
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        let mut resolved = pipeline::resolve(unresolved, found(), &settings).expect("the pipeline resolves");
        resolved.leave_out_emitters();
        let target = target::load(&resolved.target, &[]).expect("the target loads");
        Self { resolved, target }
    }

    /// None if the kernel cannot be compiled.
    pub(crate) fn plan(&self, text: &str) -> Option<Planned> {
        let target = &self.target;
        let mut module = syntax::parse(text, target).ok()?;
        lower::simplify(&mut module, target);
        let kernels = lower_all(&module, target, self.resolved.writes("addresses")).ok()?;
        let mut units: Vec<_> = kernels.into_iter().map(Unit::new).collect();
        pipeline::run(&self.resolved, &mut module, target, &mut units, &mut |_| {}).ok()?;
        let (view, target) = (module.view(), target.view());
        let of_unit = |unit: &Unit| build::programs(Some(&view), &unit.kernel.view(), &unit.plan, &target);
        let programs = units.iter().flat_map(of_unit).collect();
        Some(Planned { units, programs })
    }
}

/// All plugins of the workspace, which are built first.
fn found() -> &'static Found {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(|| {
        let directory = build_directory().to_owned();
        plugin::discover(&[directory]).expect("plugins are found")
    })
}

/// Programs with their judgements under `stall`.
pub(crate) fn judged(planned: &Planned) -> Vec<(&Program, Judgement)> {
    planned.programs.iter().map(|p| (p, verify(p, FlagModel::Stall))).collect()
}

/// Kernels of our own, with their text.
pub(crate) fn own_kernels() -> Vec<(PathBuf, String)> {
    let mut files = files_below(&workspace().join("examples"), ".pto");
    files.extend(files_below(&workspace().join("tests/kernels"), ".pto"));
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
