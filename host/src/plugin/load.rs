//! Loading plugins and talking to them.
//!
//! Loading runs code of the library (its constructors), so only a file whose manifest was read and found compatible
//! gets here. What must hold: a library is never unloaded (replies, names and functions point into it), each file is
//! loaded through its own header (so two versions of one plugin are two plugins), and whatever a plugin replies
//! becomes a value or an error.

use std::path::Path;

use abi_stable::library::{LibraryError, lib_header_from_path};
use abi_stable::std_types::{ROption, RSlice};
use pipewright_abi::column::Column;
use pipewright_abi::plugin::{
    Interface, METHOD_DESCRIBE, METHOD_RUN, PASS_INTERFACE, PassDescription, PluginRootRef, Reply, Request,
    RunHeader, RunOutcome, decode_catalog, decode_outcome, status,
};

use super::search::PluginFile;

/// A loaded plugin.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Where it comes from.
    pub file: PluginFile,
    /// Its passes, by name; the index is what a run names.
    pub passes: Vec<PassDescription>,
    interface: Interface,
}

/// Loads a plugin and asks it for its passes, or says why that is not possible.
pub fn load(file: &PluginFile) -> Result<Plugin, String> {
    // An absolute path keeps the system's library search out of it.
    let path = std::path::absolute(&file.path).map_err(|e| e.to_string())?;
    let interface = open(&path).map_err(|e| explain(&e))?;
    let ROption::RSome(interface) = interface else {
        return Err(format!("it does not have the interface `{PASS_INTERFACE}`"));
    };
    let reply = (interface.call)(METHOD_DESCRIBE, &Request { shared: RSlice::EMPTY, units: RSlice::EMPTY });
    let passes = passes(reply)?;
    let mut listed = file.manifest.passes.clone();
    listed.sort();
    if !passes.iter().map(|p| &p.name).eq(&listed) {
        let names: Vec<_> = passes.iter().map(|p| p.name.as_str()).collect();
        let (listed, names) = (listed.join(", "), names.join(", "));
        return Err(format!("its manifest lists the passes [{listed}], but it has [{names}]"));
    }
    Ok(Plugin { file: file.clone(), passes, interface })
}

impl Plugin {
    /// The pass of that name, with its index.
    pub fn pass(&self, name: &str) -> Option<(u32, &PassDescription)> {
        let index = self.passes.iter().position(|p| p.name == name)?;
        Some((index as u32, &self.passes[index]))
    }

    /// Runs a pass over functions, each given by its columns. `Err` says why the reply cannot be read.
    pub fn run<'a>(
        &self,
        header: &'a RunHeader,
        shared: &[Column<'a>],
        units: &[&[Column<'a>]],
    ) -> Result<RunOutcome, String> {
        let mut columns = shared.to_vec();
        header.lend(&mut columns);
        let units: Vec<RSlice<'_, Column<'a>>> = units.iter().map(|&unit| unit.into()).collect();
        let request = Request { shared: columns.as_slice().into(), units: units.as_slice().into() };
        decode_outcome((self.interface.call)(METHOD_RUN, &request)).map_err(|e| e.to_string())
    }
}

fn open(path: &Path) -> Result<ROption<Interface>, LibraryError> {
    // Not one of abi_stable's `load_from_*`: they keep the first library and return it for every other path.
    let root = lib_header_from_path(path)?.init_root_module::<PluginRootRef>()?;
    Ok((root.get_extension())(PASS_INTERFACE.into()))
}

fn passes(reply: Reply) -> Result<Vec<PassDescription>, String> {
    if reply.status == status::OK {
        return decode_catalog(&reply).map_err(|e| format!("its list of passes is malformed: {e}"));
    }
    let error = decode_outcome(reply).ok().and_then(|o| o.error).map_or_else(String::new, |e| e.message);
    Err(format!("it cannot list its passes: {error}"))
}

/// The reason in few lines. The layout check alone can print a thousand.
fn explain(error: &LibraryError) -> String {
    match error {
        LibraryError::OpenError { err, .. } => format!("the system cannot load it: {}", innermost(&**err)),
        LibraryError::GetSymbolError { err, .. } => {
            format!("it exports no plugin root: {}", innermost(&**err))
        }
        LibraryError::AbiInstability(_) => "the layout of its plugin root is not the expected one".into(),
        LibraryError::InvalidAbiHeader(_) => "it was built with an incompatible version of abi_stable".into(),
        LibraryError::RootModule { .. } => "its plugin root cannot be made".into(),
        other => other.to_string().trim().lines().next().unwrap_or_default().to_owned(),
    }
}

fn innermost(error: &dyn core::error::Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}

/// A plugin in this process, for tests of what a strange one may reply.
#[cfg(test)]
pub(crate) fn in_process(
    passes: Vec<PassDescription>,
    call: extern "C" fn(u32, &Request<'_>) -> Reply,
) -> Plugin {
    let manifest = super::Manifest {
        abi: pipewright_abi::plugin::ABI_VERSION,
        plugin: "strange".into(),
        version: semver::Version::new(0, 1, 0),
        rustc: pipewright_abi::plugin::RUSTC.into(),
        passes: passes.iter().map(|p| p.name.clone()).collect(),
    };
    let file = PluginFile { path: "libstrange.so".into(), manifest };
    Plugin { file, passes, interface: Interface { call } }
}
