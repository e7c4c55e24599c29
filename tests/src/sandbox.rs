//! A directory of its own for a test of the command line, and what a command did in it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use pipewright_abi::plugin::RUSTC;

use crate::{build_directory, pipewright, workspace};

/// A kernel that is right: a loop with a branch in it, on three pipes.
pub const KERNEL: &str = include_str!("../kernels/double_rows.pto");

/// A temporary directory, in which commands run.
#[derive(Debug)]
pub struct Sandbox {
    directory: tempfile::TempDir,
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Run {
    /// Exit code; none if it was killed.
    pub code: Option<i32>,
    /// Standard output, with paths that differ from machine to machine replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory can be made") }
    }
}

impl Sandbox {
    /// A directory with these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let sandbox = Self::default();
        files.iter().for_each(|(name, text)| sandbox.write(name, text));
        sandbox
    }

    /// The path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and the directories that it is in.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file is in a directory"))
            .expect("a directory can be made");
        fs::write(path, bytes).expect("a file can be written");
    }

    /// The text of a file.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the file is there")
    }

    /// Runs `pipewright` here.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        self.finish(pipewright().current_dir(self.directory.path()).args(arguments), "")
    }

    /// Runs a command with this standard input.
    pub fn finish(&self, command: &mut Command, input: &str) -> Run {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = loop {
            match command.spawn() {
                // A binary that was just copied is busy while another thread, which forked meanwhile, has it open.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                started => break started.expect("the command starts"),
            }
        };
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().expect("the input is a pipe").write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().expect("the command ends");
        let text = |bytes| self.portable(&String::from_utf8(bytes).expect("the output is UTF-8"));
        let run = Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) };
        assert!(!run.stderr.contains("RUST_BACKTRACE"), "a panic came through:\n{}", run.stderr);
        run
    }

    /// Runs `pipewright`, which must refuse: exit 1, a diagnostic, nothing on the standard output, no new file.
    /// Returns what it said.
    pub fn refused<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let before = self.files();
        let run = self.run(arguments);
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert_eq!(run.stdout, "");
        assert_eq!(self.files(), before, "a file was left behind");
        assert!(run.stderr.lines().any(|line| line.starts_with("  x ")), "no diagnostic:\n{}", run.stderr);
        run.stderr
    }

    /// The names of all files and directories, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.directory.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).expect("a readable directory") {
                let path = entry.expect("a readable entry").path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                found.push(path);
            }
        }
        found.sort();
        found
    }

    /// The text with everything replaced that differs from machine to machine.
    pub fn portable(&self, text: &str) -> String {
        let canonical = self.directory.path().canonicalize().expect("the directory is there");
        let target = build_directory().parent().unwrap_or(Path::new("/"));
        let paths: [(&Path, &str); 5] = [
            (&canonical, "[DIR]"),
            (self.directory.path(), "[DIR]"),
            (build_directory(), "[BUILT]"),
            (target, "[TARGET]"),
            (workspace(), "[ROOT]"),
        ];
        let mut text = text.replace(RUSTC, "[RUSTC]");
        for (path, name) in paths {
            text = text.replace(&*path.to_string_lossy(), name);
        }
        text
    }
}
