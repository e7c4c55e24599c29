//! Plugins: finding them, reading their manifests, loading them.
//!
//! [`discover`] looks for libraries and reads manifests, [`Found::provider`] chooses, [`load`] loads one. What must
//! hold: no library is loaded before its manifest was found compatible, and only those are loaded that are needed.

mod load;
mod manifest;
mod search;

#[cfg(test)]
pub(crate) use load::in_process;
pub use load::{Plugin, load};
pub use manifest::{Manifest, ManifestError, read as read_manifest};
pub use search::{Found, NoProvider, PATH_VARIABLE, PluginFile, Refused, discover, executable_directory};
