//! Writing to streams and files.
//!
//! What must hold: a file appears whole or not at all, a closed pipe is no error, and nothing here panics.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use comfy_table::{Table, presets};

/// Writes a result to the standard output. A reader that closed the pipe has all that it wanted.
pub(super) fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes text for people to the standard error. If that is gone, so are they.
pub(super) fn note(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a file: beside it first, then in its place. A device or pipe is written to directly.
pub(super) fn file(path: &Path, text: &str) -> io::Result<()> {
    // The file behind a link is replaced, not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return fs::OpenOptions::new().write(true).open(&path)?.write_all(text.as_bytes());
    }
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Errors of `tempfile` name a random path; these do not.
    fs::metadata(directory)?;
    let plain = |error: io::Error| io::Error::from(error.kind());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".pipewright-");
    let permissions = permissions();
    if let Some(permissions) = permissions {
        builder.permissions(permissions);
    }
    let mut file = builder.tempfile_in(directory).map_err(plain)?;
    file.write_all(text.as_bytes()).map_err(plain)?;
    file.persist(&path).map_err(|e| e.error)?;
    Ok(())
}

/// What a new file may be used for, before the process's mask: temporary files are their owner's alone by default.
#[cfg(unix)]
fn permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn permissions() -> Option<Permissions> {
    None
}

/// A table of these rows, columns aligned, each line ended.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_readable_by_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.cpp");
        file(&path, "first").unwrap();
        file(&path, "second").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let plain = directory.path().join("plain");
            fs::write(&plain, "").unwrap();
            let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode();
            assert_eq!(mode(&path), mode(&plain));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_keeps_and_a_device_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("out.cpp"), directory.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        file(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        file(Path::new("/dev/null"), "gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_directory_is_no_place_for_a_file() {
        let directory = tempfile::tempdir().unwrap();
        assert!(file(directory.path(), "x").is_err());
        assert!(file(&directory.path().join("absent/out.cpp"), "x").is_err());
    }
}
