//! The parts of a comparison that was spread over several runs, put together.

use std::path::Path;

use super::model::{Report, SCHEMA};
use super::summary::pairings;

/// Parts put together.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The report that one run over all files would have given.
    pub report: Report,
    /// Why it is not complete, one sentence each.
    pub missing: Vec<String>,
}

/// Puts parts together. `Err` names the part that does not fit.
pub fn merge(parts: Vec<(String, Report)>) -> Result<Merged, String> {
    let mut parts = parts;
    parts.sort_by_key(|(_, part)| part.shard.map(|s| s.index));
    let Some((first_name, first)) = parts.first().cloned() else { return Err("there are no parts".into()) };
    let Some(count) = first.shard.map(|s| s.count) else {
        return Err(format!("`{first_name}` is no part: it was made without `--shard`"));
    };
    for (index, (name, part)) in parts.iter().enumerate() {
        let same = |what: &str, same: bool| match same {
            true => Ok(()),
            false => Err(format!("`{name}` differs from `{first_name}` in its {what}")),
        };
        same("pipelines", part.pipelines == first.pipelines)?;
        same("assumptions", part.assumptions == first.assumptions)?;
        same("number of files", part.files == first.files)?;
        same("number of parts", part.shard.map(|s| s.count) == Some(count))?;
        if let Some((other, _)) = parts[..index].iter().find(|(_, other)| other.shard == part.shard) {
            return Err(format!("`{name}` and `{other}` are the same part"));
        }
    }
    let given: Vec<usize> = parts.iter().filter_map(|(_, part)| Some(part.shard?.index)).collect();
    let absent = (1..=count).filter(|index| !given.contains(index));
    let mut missing: Vec<String> =
        absent.map(|index| format!("part {index} of {count} is missing")).collect();
    let interrupted = parts.iter().filter(|(_, part)| !part.complete);
    missing.extend(interrupted.map(|(name, _)| format!("`{name}` was interrupted")));
    let mut kernels: Vec<_> = parts.into_iter().flat_map(|(_, part)| part.kernels).collect();
    // The order of one run, which is that of paths and not of texts; functions of a file stay in theirs.
    kernels.sort_by(|a, b| Path::new(&a.file).cmp(Path::new(&b.file)));
    let report = Report {
        schema: SCHEMA.into(),
        complete: missing.is_empty(),
        shard: None,
        pairings: pairings(&kernels, first.pipelines.len()),
        kernels,
        ..first
    };
    Ok(Merged { report, missing })
}
