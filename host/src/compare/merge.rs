//! The parts of a comparison that was spread over several runs, put together.

use super::model::{Report, SCHEMA};
use super::summary::pairings;

/// The report that one run over all files would have given. `Err` names the part that does not fit.
pub fn merge(parts: Vec<(String, Report)>) -> Result<Report, String> {
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
    let complete = parts.len() == count && parts.iter().all(|(_, part)| part.complete);
    let mut kernels: Vec<_> = parts.into_iter().flat_map(|(_, part)| part.kernels).collect();
    // Parts have their files in order; functions of a file stay in theirs.
    kernels.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(Report {
        schema: SCHEMA.into(),
        complete,
        shard: None,
        pairings: pairings(&kernels, first.pipelines.len()),
        kernels,
        ..first
    })
}
