//! Plugins that are built for a test, and what it takes to move them about.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::{build_directory, workspace};

/// Builds the plugin `source` of `tests/plugins` as a crate of this name and version, and returns the library.
pub fn plugin(name: &str, version: &str, source: &str) -> PathBuf {
    let library = format!("{}_{}", name.replace('-', "_"), version.replace('.', "_"));
    let (source, abi) = (workspace().join("tests/plugins").join(source), workspace().join("abi"));
    // TOML's literal strings take paths as they are.
    let manifest = format!(
        "[package]\nname = '{name}'\nversion = '{version}'\nedition = '2024'\n\n\
         [lib]\nname = '{library}'\npath = '{}'\ncrate-type = ['cdylib']\n\n\
         [dependencies]\npipewright-abi = {{ path = '{}' }}\n\n[workspace]\n\n[profile.dev]\ndebug = false\n",
        source.display(),
        abi.display(),
    );
    build(&home().join(&library), |package| {
        fs::create_dir_all(package).expect("the crate's directory can be made");
        fs::write(package.join("Cargo.toml"), manifest).expect("the crate can be written");
        // The dependencies that the workspace has are the ones that are there without a network.
        fs::copy(workspace().join("Cargo.lock"), package.join("Cargo.lock"))
            .expect("the lock file can be copied");
    });
    home().join("target/debug").join(library_file(&library))
}

/// Builds the crate in a directory of the source tree that is a workspace of its own, and returns the library.
pub fn out_of_tree(package: &str) -> PathBuf {
    let package = workspace().join(package);
    build(&package, |_| ());
    let name = package.file_name().and_then(|n| n.to_str()).expect("a crate has a name");
    home().join("target/debug").join(library_file(&name.replace('-', "_")))
}

/// The file name of a shared library.
pub fn library_file(name: &str) -> String {
    format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// Copies files into a directory, which is made if it is not there.
pub fn copy_to(directory: &Path, files: &[&Path]) {
    fs::create_dir_all(directory).expect("the directory can be made");
    for file in files {
        let name = file.file_name().expect("a file has a name");
        fs::copy(file, directory.join(name)).expect("the file can be copied");
    }
}

/// Where plugins for tests are built: apart from the workspace's, so that no search finds them by chance.
fn home() -> PathBuf {
    build_directory().join("test-plugins")
}

/// Builds the crate in the directory `package`, once.
fn build(package: &Path, prepare: impl FnOnce(&Path)) {
    static BUILT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    // The lock is held while building: two builds of one crate would write each other's manifest.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.iter().any(|p| p == package) {
        return;
    }
    prepare(package);
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--offline", "--quiet"])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", home().join("target"));
    assert!(build.status().expect("cargo runs").success(), "{} does not build", package.display());
    built.push(package.to_owned());
}
