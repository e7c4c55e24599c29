//! Finds out what of the things that some tests need is here, so that the others are ignored and the test runner says
//! so: each of them becomes a `cfg` that a test asks for with `#[cfg_attr(not(..), ignore = "..")]`.

use std::path::PathBuf;

/// The `cfg` of a program, and the names it goes by.
const PROGRAMS: [(&str, &[&str]); 2] =
    [("cpp_compiler", &["g++"]), ("browser", &["chromium", "chromium-browser", "google-chrome"])];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(corpus)");
    println!("cargo::rerun-if-env-changed=PIPEWRIGHT_CORPUS");
    if std::env::var_os("PIPEWRIGHT_CORPUS").is_some() {
        println!("cargo::rustc-cfg=corpus");
    }

    println!("cargo::rerun-if-env-changed=PATH");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).filter(|d| d.is_dir()).collect();
    for (cfg, names) in PROGRAMS {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        let mut files = directories.iter().flat_map(|d| names.iter().map(|name| d.join(name)));
        match files.find(|file| file.is_file()) {
            Some(file) => {
                println!("cargo::rerun-if-changed={}", file.display());
                println!("cargo::rustc-cfg={cfg}");
            }
            // It may be installed.
            None => directories.iter().for_each(|d| println!("cargo::rerun-if-changed={}", d.display())),
        }
    }
}
