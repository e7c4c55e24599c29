//! The manifest of a plugin, read from the file without loading the library.
//!
//! Loading a library runs code of it, so whether it may be loaded has to be known before. What must hold: nothing
//! here maps or executes the file, and any bytes at all give a manifest or a [`ManifestError`].

use std::fs::File;
use std::path::Path;

use object::read::{Object, ObjectKind, ObjectSection, ReadCache};
use pipewright_abi::plugin::{ABI_VERSION, MANIFEST_MAGIC, MANIFEST_SECTION};
use semver::Version;

/// What a plugin says of itself in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Version of the plugin ABI that it was built against, major and minor.
    pub abi: (u32, u32),
    /// Name of the plugin: its crate's.
    pub plugin: String,
    /// Version of the plugin: its crate's.
    pub version: Version,
    /// The compiler that built it.
    pub rustc: String,
    /// Names of its passes.
    pub passes: Vec<String>,
}

/// Why a file is no plugin for this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// The file is no shared library.
    #[error("it is not a shared library")]
    NotALibrary,
    /// The library has no manifest.
    #[error("it is a shared library, but no plugin: it has no manifest (section `{MANIFEST_SECTION}`)")]
    NotAPlugin,
    /// The manifest cannot be understood.
    #[error("its manifest is malformed: {0}")]
    Malformed(String),
    /// The plugin was built against another ABI.
    #[error("it was built against plugin ABI {}.{} by {rustc}, but this host has ABI {}.{}", .abi.0, .abi.1, ABI_VERSION.0, ABI_VERSION.1)]
    OtherAbi {
        /// The ABI that the plugin was built against.
        abi: (u32, u32),
        /// The compiler that built it.
        rustc: String,
    },
}

/// Reads the manifest of the library at `path` and checks that this host can load it.
pub fn read(path: &Path) -> Result<Manifest, ManifestError> {
    let unreadable = |e: std::io::Error| ManifestError::Unreadable(e.to_string());
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(ManifestError::NotALibrary);
    }
    // The cache reads headers and one section, not the megabytes of code and debug information between them.
    let cache = ReadCache::new(file);
    let object = object::File::parse(&cache).map_err(|_| ManifestError::NotALibrary)?;
    if object.kind() != ObjectKind::Dynamic {
        return Err(ManifestError::NotALibrary);
    }
    let name = MANIFEST_SECTION.rsplit(',').next().unwrap_or(MANIFEST_SECTION);
    let section = object.section_by_name(name).ok_or(ManifestError::NotAPlugin)?;
    let bytes = section.data().map_err(|e| ManifestError::Malformed(e.to_string()))?;
    let text = core::str::from_utf8(bytes).map_err(|_| ManifestError::Malformed("it is not UTF-8".into()))?;
    let manifest = parse(text)?;
    let (major, minor) = manifest.abi;
    if major != ABI_VERSION.0 || minor > ABI_VERSION.1 {
        return Err(ManifestError::OtherAbi { abi: manifest.abi, rustc: manifest.rustc });
    }
    Ok(manifest)
}

/// Parses the text of a manifest. Lines with an unknown key are left alone, so that later versions can add some.
fn parse(text: &str) -> Result<Manifest, ManifestError> {
    let malformed = |what: &str| ManifestError::Malformed(what.into());
    let mut lines = text.trim_end_matches('\0').lines();
    if lines.next() != Some(MANIFEST_MAGIC) {
        return Err(ManifestError::Malformed(format!("it does not begin with `{MANIFEST_MAGIC}`")));
    }
    let (mut abi, mut plugin, mut rustc, mut passes) = (None, None, String::new(), Vec::new());
    for line in lines {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "abi" => abi = value.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))),
            "plugin" => {
                plugin = value
                    .split_once(' ')
                    .and_then(|(name, version)| Some((name.to_owned(), Version::parse(version).ok()?)));
            }
            "rustc" => rustc = value.strip_prefix("rustc ").unwrap_or(value).to_owned(),
            "pass" if value.is_empty() || value.contains(char::is_whitespace) => {
                return Err(ManifestError::Malformed(format!("`{value}` is no name of a pass")));
            }
            "pass" if passes.iter().any(|p| p == value) => {
                return Err(ManifestError::Malformed(format!("the pass `{value}` is listed twice")));
            }
            "pass" => passes.push(value.to_owned()),
            _ => {}
        }
    }
    let (plugin, version) = plugin.ok_or_else(|| malformed("it has no `plugin NAME VERSION` line"))?;
    let abi = abi.ok_or_else(|| malformed("it has no `abi MAJOR.MINOR` line"))?;
    Ok(Manifest { abi, plugin, version, rustc: format!("rustc {rustc}"), passes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_line_by_line() {
        let text = format!(
            "{MANIFEST_MAGIC}\nabi 1.0\nplugin p 0.2.1\nrustc rustc 1.90.0 (x)\nlater 7\npass a\npass b\n\0"
        );
        let manifest = parse(&text).unwrap();
        assert_eq!((manifest.abi, manifest.plugin.as_str()), ((1, 0), "p"));
        assert_eq!((manifest.version, manifest.rustc.as_str()), (Version::new(0, 2, 1), "rustc 1.90.0 (x)"));
        assert_eq!(manifest.passes, ["a", "b"]);
    }

    #[test]
    fn malformed_manifests_say_what_is_wrong() {
        let cases = [
            ("", "does not begin"),
            ("\nabi 1.0\n", "does not begin"),
            ("MAGIC\nabi 1.0\n", "no `plugin"),
            ("MAGIC\nabi one\nplugin p 0.1.0\n", "no `abi"),
            ("MAGIC\nabi 1.0\nplugin p 0.1\n", "no `plugin"),
            ("MAGIC\nabi 1.0\nplugin p 0.1.0\npass a\npass a\n", "`a` is listed twice"),
            ("MAGIC\nabi 1.0\nplugin p 0.1.0\npass \n", "no name of a pass"),
        ];
        for (text, expected) in cases {
            let error = parse(&text.replace("MAGIC", MANIFEST_MAGIC)).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn files_that_are_no_plugins_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text.so");
        std::fs::write(&text, "not a library").unwrap();
        assert_eq!(read(&text), Err(ManifestError::NotALibrary));
        std::fs::write(&text, "").unwrap();
        assert_eq!(read(&text), Err(ManifestError::NotALibrary));
        assert_eq!(read(dir.path()), Err(ManifestError::NotALibrary));
        assert!(matches!(read(&dir.path().join("absent.so")), Err(ManifestError::Unreadable(_))));
    }
}
