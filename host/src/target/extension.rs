//! What a target may be told by further files: operations, and nothing else unless the file says so.
//!
//! What must hold: whoever reads the `[extension]` table of a file knows what it changes of the target that it extends.

use std::collections::BTreeSet;

use toml::Spanned;

use super::raw::{RawFile, RawTarget};
use super::{File, unknown};
use crate::diagnostic::{Diagnostic, Report, text_range};

/// What `adds` may list.
const TABLES: [&str; 5] = ["pipe", "space", "enum", "reserved-ids", "sync-classes"];

/// What `replaces` may list besides operations.
const FACTS: [&str; 4] = ["name", "arch", "flag-model", "event-ids"];

/// Checks an extension, which is a file with what it includes, against the files before it.
pub(super) fn check(before: &[File], files: &[File]) -> Result<(), Report> {
    let known = operations(before);
    let own = operations(files);
    let (mut adds, mut replaces) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        let Some(extension) = &file.raw.extension else { continue };
        for name in &extension.adds {
            if !TABLES.contains(&name.get_ref().as_str()) {
                return Err(file.report(unknown("table that an extension may add to:", name, TABLES)));
            }
            adds.insert(name.get_ref().as_str());
        }
        for name in &extension.replaces {
            let is_fact = FACTS.contains(&name.get_ref().as_str());
            let is_operation = known.contains(name.get_ref().as_str());
            if !is_fact && !is_operation {
                let candidates = FACTS.into_iter().chain(known.iter().copied());
                let mut diagnostic = unknown("operation or fact of the target", name, candidates.clone());
                if candidates.count() > 20 && diagnostic.help.as_ref().is_none_or(|h| h.starts_with("one of"))
                {
                    let all = FACTS.join(", ");
                    diagnostic =
                        diagnostic.help(format!("an operation that the target has, or one of: {all}"));
                }
                return Err(file.report(diagnostic));
            }
            if is_operation && !own.contains(name.get_ref().as_str()) {
                let message = format!("the extension does not describe `{}`", name.get_ref());
                let diagnostic = Diagnostic::error("target::extension", message);
                return Err(
                    file.report(diagnostic.label(text_range(name.span()), "said to be replaced here"))
                );
            }
            replaces.insert(name.get_ref().as_str());
        }
    }
    files.iter().try_for_each(|file| {
        file.check(|raw| {
            tables(raw, &adds)?;
            facts(raw, &replaces)?;
            replaced(raw, &known, &replaces)
        })
    })
}

/// Refuses what makes a file an extension where a target is wanted.
pub(super) fn refuse(file: &RawFile) -> Result<(), Diagnostic> {
    match &file.extension {
        None => Ok(()),
        Some(extension) => {
            let at = extension.adds.iter().chain(&extension.replaces).next().map(Spanned::span);
            let message = "an `[extension]` table stands in a file of the target itself";
            let diagnostic = Diagnostic::error("target::extension", message)
                .help("it is for files named by `target-extensions` or `--target`; here, leave it out");
            Err(match at {
                Some(at) => diagnostic.label(text_range(at), "what it would add or replace"),
                None => diagnostic,
            })
        }
    }
}

fn operations(files: &[File]) -> BTreeSet<&str> {
    files.iter().flat_map(|file| file.raw.op.iter().map(|op| op.name.get_ref().as_str())).collect()
}

/// Pipes, spaces and the like are there because the extension says so.
fn tables(raw: &RawFile, adds: &BTreeSet<&str>) -> Result<(), Diagnostic> {
    let used = [
        ("pipe", raw.pipe.first().map(|p| p.name.span())),
        ("space", raw.space.first().map(|s| s.name.span())),
        ("enum", raw.enums.first().map(|e| e.name.span())),
        ("reserved-ids", raw.reserved_ids.first().map(|r| r.src.span())),
        ("sync-classes", raw.sync_classes.values().next().map(Spanned::span)),
    ];
    let wrong =
        used.into_iter().find_map(|(name, at)| at.filter(|_| !adds.contains(name)).map(|at| (name, at)));
    let Some((name, at)) = wrong else { return Ok(()) };
    let message = format!("the extension adds to `{name}` and does not say so");
    Err(Diagnostic::error("target::extension", message).label(text_range(at), "added here").help(format!(
        "an extension adds operations; if it is meant, write `[extension]` and `adds = [\"{name}\"]`"
    )))
}

/// Single facts of the machine are replaced because the extension says so.
fn facts(raw: &RawFile, replaces: &BTreeSet<&str>) -> Result<(), Diagnostic> {
    let Some(target) = &raw.target else { return Ok(()) };
    let RawTarget { name, arch, flag_model, event_ids, costs } = target.get_ref();
    if let Some(costs) = costs {
        let message = "an extension has no costs of its own";
        let diagnostic =
            Diagnostic::error("target::extension", message).label(text_range(costs.span()), "here");
        return Err(diagnostic.help("`--costs FILE` has instructions cost something else"));
    }
    let given = [
        ("name", name.as_ref().map(Spanned::span)),
        ("arch", arch.as_ref().map(Spanned::span)),
        ("flag-model", flag_model.as_ref().map(Spanned::span)),
        ("event-ids", event_ids.as_ref().map(Spanned::span)),
    ];
    let wrong =
        given.into_iter().find_map(|(key, at)| at.filter(|_| !replaces.contains(key)).map(|at| (key, at)));
    let Some((key, at)) = wrong else { return Ok(()) };
    let message = format!("the extension replaces the target's `{key}` and does not say so");
    let help = format!(
        "an extension adds operations; if it is meant, write `[extension]` and `replaces = [\"{key}\"]`"
    );
    Err(Diagnostic::error("target::extension", message).label(text_range(at), "replaced here").help(help))
}

/// Operations that the target has are described anew because the extension says so.
fn replaced(raw: &RawFile, known: &BTreeSet<&str>, replaces: &BTreeSet<&str>) -> Result<(), Diagnostic> {
    let mut again = raw.op.iter().map(|op| &op.name);
    let wrong = again.find(|name| {
        let name = name.get_ref().as_str();
        known.contains(name) && !replaces.contains(name)
    });
    let Some(name) = wrong else { return Ok(()) };
    let message = format!(
        "the target has an operation `{}`, and the extension does not say that it replaces it",
        name.get_ref()
    );
    let help = format!("if it is meant, write `[extension]` and `replaces = [\"{}\"]`", name.get_ref());
    Err(Diagnostic::error("target::extension", message)
        .label(text_range(name.span()), "described again here")
        .help(help))
}
