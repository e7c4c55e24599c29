//! Where plugins are looked for, and which are there.
//!
//! Places, in order: `--plugin-path` arguments, [`PATH_VARIABLE`], the directory of the executable (in a build tree
//! cargo puts the plugins there), the installed `../lib/pipewright/plugins`. In a directory every shared library
//! with a manifest is a plugin and everything else is passed over; a file that is named must be a plugin. What must
//! hold: the result depends only on the places and the files in them, and no library is loaded.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use semver::VersionReq;

use super::manifest::{self, Manifest, ManifestError};
use crate::diagnostic::{Diagnostic, Report, Source, did_you_mean};

/// Environment variable with a list of directories and files, separated as in `PATH`.
pub const PATH_VARIABLE: &str = "PIPEWRIGHT_PLUGIN_PATH";

/// A plugin that was found and can be loaded.
#[derive(Clone, Debug)]
pub struct PluginFile {
    /// Its file.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

/// A plugin that was found and cannot be loaded.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its file.
    pub path: PathBuf,
    /// Why not.
    pub why: ManifestError,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Usable plugins, in search order; in a directory by file name.
    pub plugins: Vec<PluginFile>,
    /// Plugins that this host cannot load.
    pub refused: Vec<Refused>,
    /// The places searched, in order, whether they exist or not.
    pub places: Vec<PathBuf>,
}

/// Why a pass has no provider.
#[derive(Clone, Debug)]
pub enum NoProvider<'a> {
    /// No plugin has the pass; perhaps this one is meant.
    Unknown(Option<&'a str>),
    /// These have it, but not in a version that is wanted.
    Version(Vec<&'a PluginFile>),
    /// Several plugins have it.
    Ambiguous(Vec<&'a PluginFile>),
}

/// Searches the places. `arguments` are those of `--plugin-path`; a missing one is an error, and so is a file there
/// that is no usable plugin.
pub fn discover(arguments: &[PathBuf]) -> Result<Found, Vec<Report>> {
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    let mut reports = Vec::new();
    for path in arguments {
        if let Err(why) = found.add(path, &mut seen) {
            let message = format!("`{}` is no plugin: {why}", path.display());
            let diagnostic = Diagnostic::error("plugin::path", message)
                .help("`--plugin-path` takes a directory with plugins or the shared library of one");
            reports.push(Report::one(Source::default(), diagnostic));
        }
    }
    let listed = std::env::var_os(PATH_VARIABLE).unwrap_or_default();
    for path in std::env::split_paths(&listed).filter(|p| !p.as_os_str().is_empty()) {
        match found.add(&path, &mut seen) {
            Ok(()) => {}
            // As with `PATH`, an entry that does not exist is no error.
            Err(_) if !path.exists() => found.places.push(path),
            Err(why) => found.refused.push(Refused { path, why }),
        }
    }
    if let Some(directory) = executable_directory() {
        found.add_directory(&directory, &mut seen);
        if let Some(prefix) = directory.parent() {
            found.add_directory(&prefix.join("lib/pipewright/plugins"), &mut seen);
        }
    }
    if reports.is_empty() { Ok(found) } else { Err(reports) }
}

/// The directory of the running executable. Test binaries run one directory below what cargo builds.
pub fn executable_directory() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let directory = executable.parent()?;
    let built = if directory.ends_with("deps") { directory.parent()? } else { directory };
    Some(built.to_owned())
}

impl Found {
    /// The plugin that provides `pass` in a version that `wanted` admits: of several versions of one plugin the
    /// highest, of several files of one version the first in search order.
    pub fn provider(&self, pass: &str, wanted: Option<&VersionReq>) -> Result<&PluginFile, NoProvider<'_>> {
        let having: Vec<_> = self.plugins.iter().filter(|p| p.has(pass)).collect();
        if having.is_empty() {
            return Err(NoProvider::Unknown(did_you_mean(pass, self.pass_names())));
        }
        let admitted: Vec<_> = having.iter().copied().filter(|p| p.admitted_by(wanted)).collect();
        let Some(&first) = admitted.first() else { return Err(NoProvider::Version(having)) };
        if admitted.iter().any(|p| p.manifest.plugin != first.manifest.plugin) {
            return Err(NoProvider::Ambiguous(admitted));
        }
        // `max_by` keeps the last of equals, and the first in search order is wanted.
        Ok(admitted.into_iter().rev().max_by_key(|p| &p.manifest.version).unwrap_or(first))
    }

    /// The names of all passes, each once, by name.
    pub fn pass_names(&self) -> BTreeSet<&str> {
        self.plugins.iter().flat_map(|p| &p.manifest.passes).map(String::as_str).collect()
    }

    /// The places as lines of text.
    pub fn places_text(&self) -> String {
        self.places.iter().map(|p| format!("\n  {}", p.display())).collect()
    }

    /// What is said if there is no plugin at all: an installation that is not whole, and no mistake in a pipeline.
    pub fn none(&self) -> Option<Diagnostic> {
        if !self.plugins.is_empty() {
            return None;
        }
        let refused = self.refused.iter().map(|r| format!("not usable: {}: {}\n", r.path.display(), r.why));
        let help = format!(
            "{}places searched:{}\nset {PATH_VARIABLE} to the directory with the plugins, or name it with `--plugin-path`",
            refused.collect::<String>(),
            self.places_text()
        );
        Some(Diagnostic::error("plugin::none", "no plugins found").help(help))
    }

    /// The plugin in the file `name`, which may be a path relative to `base` or a file name in a place searched.
    pub fn named(&self, name: &str, base: &Path) -> Result<PluginFile, Refused> {
        let beside = base.join(name);
        let searched = |path: &Path| path.file_name() == Some(OsStr::new(name));
        if !beside.exists() && !name.contains(['/', std::path::MAIN_SEPARATOR]) {
            if let Some(plugin) = self.plugins.iter().find(|p| searched(&p.path)) {
                return Ok(plugin.clone());
            }
            if let Some(refused) = self.refused.iter().find(|r| searched(&r.path)) {
                return Err(refused.clone());
            }
            if let Some(path) = self.places.iter().map(|p| p.join(name)).find(|p| p.exists()) {
                return open(&path);
            }
        }
        open(&beside)
    }

    fn add(&mut self, path: &Path, seen: &mut BTreeSet<PathBuf>) -> Result<(), ManifestError> {
        if path.is_dir() {
            self.add_directory(path, seen);
            return Ok(());
        }
        let manifest = manifest::read(path)?;
        self.places.push(path.to_owned());
        if seen.insert(identity(path)) {
            self.plugins.push(PluginFile { path: path.to_owned(), manifest });
        }
        Ok(())
    }

    fn add_directory(&mut self, directory: &Path, seen: &mut BTreeSet<PathBuf>) {
        if self.places.iter().any(|p| p == directory) {
            return;
        }
        self.places.push(directory.to_owned());
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.extension() == Some(OsStr::new(std::env::consts::DLL_EXTENSION)));
        files.sort();
        for path in files {
            if !seen.insert(identity(&path)) {
                continue;
            }
            match manifest::read(&path) {
                Ok(manifest) => self.plugins.push(PluginFile { path, manifest }),
                Err(why @ (ManifestError::OtherAbi { .. } | ManifestError::Malformed(_))) => {
                    self.refused.push(Refused { path, why });
                }
                Err(_) => {}
            }
        }
    }
}

impl PluginFile {
    /// Whether the plugin has a pass of that name.
    pub fn has(&self, pass: &str) -> bool {
        self.manifest.passes.iter().any(|p| p == pass)
    }

    /// Whether the requirement admits the plugin's version.
    pub fn admitted_by(&self, wanted: Option<&VersionReq>) -> bool {
        wanted.is_none_or(|wanted| wanted.matches(&self.manifest.version))
    }

    /// Plugin, version and file, for messages.
    pub fn describe(&self) -> String {
        format!("{} {} in {}", self.manifest.plugin, self.manifest.version, self.path.display())
    }
}

fn open(path: &Path) -> Result<PluginFile, Refused> {
    match manifest::read(path) {
        Ok(manifest) => Ok(PluginFile { path: path.to_owned(), manifest }),
        Err(why) => Err(Refused { path: path.to_owned(), why }),
    }
}

/// What two paths to one file share.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
