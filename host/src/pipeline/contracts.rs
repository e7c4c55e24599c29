//! Whether the stages of a pipeline fit together: each finds what it reads, as it was meant to be.
//!
//! One walk over the stages keeps for each artifact who wrote it and who made it stale. What must hold of a pipeline that
//! passes: no stage reads what nobody wrote, or what was made from something that has changed since; no stage's work is
//! lost; what the pipeline hands over at its end is fresh.

use std::collections::BTreeMap;

use pipewright_abi::artifact::{self, ARTIFACTS, Again, Origin, Readers, Spoils};
use pipewright_abi::pass::{PassInfo, Scope};

use super::extend::{Located, Pipeline};
use super::resolve::ResolvedStage;
use crate::diagnostic::{Diagnostic, did_you_mean};

/// What a stage declares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared<'a> {
    /// The pass.
    pub(super) info: &'a PassInfo,
    /// Whether it is held to that; older plugins are not, and say less.
    pub(super) is_held: bool,
}

impl<'a> Declared<'a> {
    /// What the stage's pass declares.
    pub(super) fn of(stage: &'a ResolvedStage) -> Self {
        Self { info: &stage.description().info, is_held: stage.is_held_to_contract() }
    }
}

/// What is known of an artifact at some point of the pipeline.
#[derive(Clone, Copy, Debug)]
struct State {
    /// The stage that wrote it last.
    writer: usize,
    /// The stage that made it stale.
    spoiler: Option<usize>,
    /// Whether some stage has read it since.
    was_read: bool,
}

/// Checks the stages, in order.
pub(super) fn check(pipeline: &Pipeline, stages: &[Declared<'_>], errors: &mut Vec<Located>) {
    let mut walk = Walk { pipeline, stages, states: BTreeMap::new(), told: Vec::new(), errors };
    for stage in 0..stages.len() {
        walk.reads(stage);
        walk.writes(stage);
    }
    walk.end();
}

struct Walk<'a, 'e> {
    pipeline: &'a Pipeline,
    stages: &'a [Declared<'a>],
    states: BTreeMap<&'a str, State>,
    /// Stages whose spoiling was told: what follows from it too would be noise.
    told: Vec<usize>,
    errors: &'e mut Vec<Located>,
}

impl<'a> Walk<'a, '_> {
    fn reads(&mut self, stage: usize) {
        let info = self.stages[stage].info;
        let may = info.may_read.iter().map(|name| (name.as_str(), false));
        for (name, must) in info.reads.iter().map(|name| (name.as_str(), true)).chain(may) {
            let known = artifact::find(name);
            let why = match known.map_or(Readers::Any, |a| a.readers) {
                Readers::Any => None,
                Readers::FunctionPasses if info.scope == Scope::Function => None,
                Readers::FunctionPasses => Some("is for passes over one function"),
                Readers::Host => Some("the host alone takes"),
            };
            if let Some(why) = why {
                self.forbidden(stage, "read", name, why);
            } else if known.is_some_and(|a| a.origin == Origin::Given) {
                // Those of the plan may not have been written: then there is nothing of them in the plan.
                let parts = known.map_or(0, |a| a.parts);
                let inside = ARTIFACTS.iter().filter(|a| a.origin == Origin::Stage && a.parts & parts != 0);
                inside.for_each(|artifact| self.read(stage, artifact.name));
            } else if self.states.contains_key(name) {
                self.read(stage, name);
            } else if must {
                self.missing(stage, name);
            }
        }
    }

    /// Notes that the stage reads what was written, if it was.
    fn read(&mut self, stage: usize, name: &'a str) {
        let Some(state) = self.states.get_mut(name) else { return };
        state.was_read = true;
        let State { writer, spoiler, .. } = *state;
        if let Some(spoiler) = spoiler.filter(|spoiler| !self.told.contains(spoiler)) {
            self.told.push(spoiler);
            self.stale(name, writer, spoiler, Some(stage));
        }
    }

    fn writes(&mut self, stage: usize) {
        let declared = self.stages[stage];
        for name in &declared.info.writes {
            if artifact::find(name).is_some_and(|a| a.origin == Origin::Given && a.parts == 0) {
                self.forbidden(stage, "write", name, "is the host's");
            }
        }
        let writes = written(declared);
        for &name in &writes {
            let again = artifact::find(name).map_or(Again::Replaces, |a| a.again);
            let parts = artifact::parts(name);
            let reads =
                |list: &[String]| list.iter().any(|read| read == name || artifact::parts(read) & parts != 0);
            let revises = reads(&declared.info.reads) || reads(&declared.info.may_read);
            match self.states.get(name) {
                Some(first) if again == Again::Never && !revises => self.twice(name, first.writer, stage),
                Some(first) if again == Again::Replaces && !revises && !first.was_read => {
                    self.twice(name, first.writer, stage);
                }
                _ => {}
            }
        }
        for &name in &writes {
            let spoils = artifact::find(name).map_or(Spoils::These(&[]), |a| a.spoils);
            for (&other, state) in &mut self.states {
                let hit = match spoils {
                    Spoils::All => true,
                    Spoils::These(names) => names.contains(&other),
                };
                if hit && other != name && state.spoiler.is_none() {
                    state.spoiler = Some(stage);
                }
            }
        }
        // Last, because what a stage writes together fits together.
        for name in writes {
            let was_read = artifact::find(name).is_some_and(|a| a.again == Again::Adds);
            self.states.insert(name, State { writer: stage, spoiler: None, was_read });
        }
    }

    /// What the pipeline hands over: its plans, and the text.
    fn end(&mut self) {
        let hands_over = |name: &str| name == "text" || artifact::parts(name) != 0;
        let stale: Vec<_> =
            self.states.iter().filter(|(name, _)| hands_over(name)).map(|(&n, &s)| (n, s)).collect();
        for (name, State { writer, spoiler, .. }) in stale {
            if let Some(spoiler) = spoiler.filter(|spoiler| !self.told.contains(spoiler)) {
                self.told.push(spoiler);
                self.stale(name, writer, spoiler, None);
            }
        }
    }

    fn stale(&mut self, name: &str, writer: usize, spoiler: usize, reader: Option<usize>) {
        let [writes, spoils] = [writer, spoiler].map(|stage| self.place(stage));
        let use_of_it = match reader {
            Some(reader) => format!("{} reads it", self.place(reader)),
            None => "the pipeline ends with it".into(),
        };
        let message = format!("the artifact `{name}` of {writes} goes stale at {spoils}, and {use_of_it}");
        let spoils = |changed: &str, name: &str| match artifact::find(changed).map(|a| a.spoils) {
            Some(Spoils::All) => true,
            Some(Spoils::These(names)) => names.contains(&name),
            None => false,
        };
        let changes = written(self.stages[spoiler]);
        let causes: Vec<_> =
            changes.iter().filter(|c| spoils(c, name)).map(|changed| format!("`{changed}`")).collect();
        let is_spoiled = |made: &&str| changes.iter().any(|changed| spoils(changed, made));
        let first = (0..spoiler).find(|&s| written(self.stages[s]).iter().any(is_spoiled)).unwrap_or(writer);
        let [before, after] = [first, spoiler].map(|stage| &self.pipeline.stages[stage].pass.value);
        let help = format!(
            "`{name}` rests on {}, which `{after}` writes; put `{after}` before `{before}`",
            causes.join(" and ")
        );
        let labels = [(spoiler, format!("makes `{name}` stale")), (writer, format!("writes `{name}`"))];
        let reads = reader.map(|reader| (reader, format!("reads `{name}`")));
        self.error("pipeline::stale-artifact", message, help, labels.into_iter().chain(reads));
    }

    fn twice(&mut self, name: &str, first: usize, second: usize) {
        let [one, two] = [first, second].map(|stage| self.place(stage));
        let message =
            format!("the artifact `{name}` is written by {one}, and again by {two}, which does not read it");
        let help = match artifact::find(name).map(|a| a.again) {
            Some(Again::Never) => "one of the two stages has no place in the pipeline".into(),
            _ => {
                format!("no stage between them reads `{name}`, so the work of the first is lost; remove one")
            }
        };
        let labels = [(second, format!("writes `{name}` again")), (first, format!("writes `{name}`"))];
        self.error("pipeline::written-twice", message, help, labels);
    }

    fn forbidden(&mut self, stage: usize, verb: &str, name: &str, why: &str) {
        let pass = &self.pipeline.stages[stage].pass.value;
        let message = format!("`{pass}` declares to {verb} the artifact `{name}`, which {why}");
        let help = "the fault is in the pass: it must not declare that".into();
        self.error(
            "pipeline::forbidden-artifact",
            message,
            help,
            [(stage, format!("would {verb} `{name}`"))],
        );
    }

    fn missing(&mut self, stage: usize, name: &str) {
        let pass = &self.pipeline.stages[stage].pass.value;
        let later = (stage + 1..self.stages.len()).find(|&s| written(self.stages[s]).contains(&name));
        let known = ARTIFACTS.iter().map(|a| a.name);
        let help = match (later, did_you_mean(name, known)) {
            (Some(later), _) => {
                let writer = &self.pipeline.stages[later].pass.value;
                format!("`{writer}` writes it, but runs later; put it before `{pass}`")
            }
            (None, Some(meant)) if artifact::find(name).is_none() => {
                format!("put a stage before it that writes `{name}`; did its author mean `{meant}`?")
            }
            (None, _) => format!("put a stage before it that writes `{name}`"),
        };
        let message = format!("`{pass}` reads the artifact `{name}`, which no earlier stage writes");
        self.error("pipeline::missing-artifact", message, help, [(stage, format!("needs `{name}`"))]);
    }

    /// An error in the source of the first label's stage. Stages that other sources name have no label.
    fn error(
        &mut self,
        code: &'static str,
        message: String,
        help: String,
        labels: impl IntoIterator<Item = (usize, String)>,
    ) {
        let mut diagnostic = Diagnostic::error(code, message).help(help);
        let mut source = None;
        for (stage, text) in labels {
            let place = self.pipeline.stages[stage].pass.place;
            if *source.get_or_insert(place.source) == place.source {
                diagnostic = diagnostic.label(place.span, text);
            }
        }
        self.errors.push((source.unwrap_or_default(), diagnostic));
    }

    /// A stage with the line that names it.
    fn place(&self, stage: usize) -> String {
        let pass = &self.pipeline.stages[stage].pass;
        let source = &self.pipeline.sources[pass.place.source];
        let before = source.text.get(..pass.place.span.start as usize).unwrap_or_default();
        format!("`{}` ({}:{})", pass.value, source.name, before.matches('\n').count() + 1)
    }
}

/// The artifacts that a stage writes. What has a name of its own only since ABI 1.2 is not in older declarations.
fn written<'a>(Declared { info, is_held }: Declared<'a>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in &info.writes {
        match artifact::find(name) {
            // Whoever writes the plan as a whole writes all that is in it.
            Some(artifact) if artifact.origin == Origin::Given && artifact.parts != 0 => {
                names.extend(
                    ARTIFACTS.iter().filter(|a| a.origin == Origin::Stage && a.parts != 0).map(|a| a.name),
                );
            }
            Some(artifact) => {
                names.push(artifact.name);
                names.extend(artifact.implied.iter().filter(|_| !is_held));
            }
            None => names.push(name),
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
