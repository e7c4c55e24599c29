//! Judgements as data: JSON of our own (`docs/verify.md` describes it) and SARIF.
//!
//! What must hold: a field's meaning never changes within a version of the schema, fields are only added, and equal
//! judgements give equal bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::path::Path;
use super::program::{Program, StepIndex};
use super::witness::Value as Assigned;
use super::{Finding, Grade, Judgement, Location, Render, Rule, Verdict};

/// Version of the JSON schema.
pub const SCHEMA_VERSION: u32 = 1;

/// What was judged, of one file.
#[derive(Debug)]
pub struct Judged {
    /// Name of the file.
    pub file: String,
    /// Its text as far as spans refer to it.
    pub source: String,
    /// Programs with their judgements.
    pub functions: Vec<(Program, Judgement)>,
    /// Functions that are judged within others, where those call them, with the names of those.
    pub within: Vec<(String, Vec<String>)>,
}

#[derive(Serialize)]
struct JsonFunction<'a> {
    name: &'a str,
    verdicts: Vec<JsonVerdict>,
    assumptions: &'a [String],
    findings: Vec<JsonFinding>,
}

#[derive(Serialize)]
struct JsonVerdict {
    rule: &'static str,
    verdict: &'static str,
    /// Paths executed, for `sampled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<usize>,
    /// Findings beyond those listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<usize>,
}

#[derive(Serialize)]
struct JsonFinding {
    rule: &'static str,
    grade: &'static str,
    message: String,
    first: Option<JsonStatement>,
    second: JsonStatement,
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<JsonFlag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<[String; 2]>,
    /// Begins of the loops and branches around the second statement, outermost first.
    context: Vec<JsonStatement>,
    path: Option<JsonPath>,
    help: &'static str,
}

#[derive(Serialize)]
struct JsonStatement {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<JsonPlace>,
    /// The called function that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    /// Where the calls stand that lead to it, the outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<JsonPlace>,
}

#[derive(Serialize)]
struct JsonPlace {
    line: usize,
    column: usize,
    /// Byte offsets.
    start: u32,
    end: u32,
}

#[derive(Serialize)]
struct JsonFlag {
    src: String,
    dst: String,
    id: u32,
}

#[derive(Serialize)]
struct JsonPath {
    /// False if it is not known whether the path exists.
    exists: bool,
    assignment: BTreeMap<String, Value>,
    choices: Vec<String>,
    events: Vec<String>,
}

/// All judgements as one JSON document.
pub fn json_text(all: &[Judged]) -> String {
    let files: Vec<Value> = all
        .iter()
        .map(|judged| {
            let functions: Vec<JsonFunction<'_>> =
                judged.functions.iter().map(|(p, j)| function(p, j, &judged.source)).collect();
            let mut file = json!({ "file": judged.file, "functions": functions });
            if !judged.within.is_empty() {
                let called =
                    judged.within.iter().map(|(name, within)| json!({ "name": name, "within": within }));
                file["called"] = called.collect();
            }
            file
        })
        .collect();
    pretty(&json!({ "schema": SCHEMA_VERSION, "files": files }))
}

fn function<'a>(program: &'a Program, judgement: &'a Judgement, source: &str) -> JsonFunction<'a> {
    let render = Render { program, source };
    let verdicts = judgement.verdicts.iter().map(|&(rule, verdict)| {
        let (name, paths) = match verdict {
            Verdict::Proved => ("proved", None),
            Verdict::Assumed => ("assumed", None),
            Verdict::Sampled(paths) => ("sampled", Some(paths)),
            Verdict::Undecided => ("undecided", None),
            Verdict::Broken => ("broken", None),
        };
        JsonVerdict { rule: rule.name(), verdict: name, paths, more: judgement.more.get(&rule).copied() }
    });
    JsonFunction {
        name: &program.name,
        verdicts: verdicts.collect(),
        assumptions: &judgement.assumptions,
        findings: judgement.findings.iter().map(|f| finding(render, f)).collect(),
    }
}

fn finding(render: Render<'_>, f: &Finding) -> JsonFinding {
    let program = render.program;
    JsonFinding {
        rule: f.rule.name(),
        grade: f.grade.name(),
        message: render.message(f),
        first: f.first.map(|step| statement(render, step)),
        second: statement(render, f.second),
        flag: f.key.map(|k| JsonFlag {
            src: program.pipes[k.src].clone(),
            dst: program.pipes[k.dst].clone(),
            id: k.id,
        }),
        memory: f.memory.map(|m| m.map(|m| program.memory_names[m].clone())),
        context: program
            .context(f.second)
            .into_iter()
            .filter(|step| !program.conditions.within.contains(step))
            .map(|step| statement(render, step))
            .collect(),
        path: f.path.as_ref().map(|path| JsonPath {
            exists: !f.may_be,
            assignment: assignment(render, path),
            choices: render.choices(path),
            events: render.events(f),
        }),
        help: render.help(f),
    }
}

/// The values of names: one, or several one after the other.
fn assignment(render: Render<'_>, path: &Path) -> BTreeMap<String, Value> {
    let value = |value: &Assigned| match value {
        Assigned::Truth(value) => json!(value),
        Assigned::Number(value) => json!(value),
    };
    let all = render.assignment(path).into_iter().map(|(name, values)| match &values[..] {
        [only] => (name, value(only)),
        _ => (name, values.iter().map(value).collect()),
    });
    all.collect()
}

fn statement(render: Render<'_>, step: StepIndex) -> JsonStatement {
    let origin = render.program.origins[step];
    let calls = render.program.calls_to(step);
    let place =
        |l: Location| JsonPlace { line: l.line, column: l.column, start: l.span.start, end: l.span.end };
    JsonStatement {
        text: render.step(step),
        node: origin.node.get().map(|n| n.0),
        group: origin.group.get().map(|g| g.0),
        pipe: render.program.pipe_of(step).map(|p| render.program.pipes[p].clone()),
        place: render.location(step).map(place),
        function: calls.last().map(|call| call.name.clone()),
        calls: calls.iter().filter_map(|call| render.at(call.span)).map(place).collect(),
    }
}

/// All findings as a SARIF 2.1.0 log, with paths relative to where the command ran. `complete` says that no input
/// was left out.
pub fn sarif_text(all: &[Judged], complete: bool) -> String {
    let rule = |r: &Rule| json!({ "id": r.name(), "shortDescription": { "text": r.description() } });
    let rules: Vec<Value> = Rule::ALL.iter().map(rule).collect();
    let mut results = Vec::new();
    for judged in all {
        let uri = uri(&judged.file);
        for (program, judgement) in &judged.functions {
            let render = Render { program, source: &judged.source };
            results.extend(judgement.findings.iter().map(|f| sarif_result(render, f, &uri)));
        }
    }
    let driver = json!({ "name": "pipewright", "version": env!("CARGO_PKG_VERSION"), "rules": rules });
    pretty(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver },
            "invocations": [{ "executionSuccessful": complete }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn sarif_result(render: Render<'_>, f: &Finding, uri: &str) -> Value {
    let location = |step: StepIndex| {
        let mut physical = json!({ "artifactLocation": { "uri": uri } });
        if let Some(l) = render.location(step) {
            let text = render.source.get(l.span.start as usize..l.span.end as usize).unwrap_or("");
            let mut region = json!({ "startLine": l.line, "startColumn": l.column });
            // The end column is the one behind the last character.
            if !text.contains('\n') {
                region["endColumn"] = json!(l.column + text.chars().count());
            }
            physical["region"] = region;
        }
        json!({ "physicalLocation": physical, "message": { "text": render.step(step) } })
    };
    let level = match f.grade {
        Grade::Advice => "note",
        Grade::Warning => "warning",
        Grade::Error => "error",
    };
    let steps: Vec<Value> =
        f.first.into_iter().chain([f.second]).map(|s| json!({ "location": location(s) })).collect();
    let name = &render.program.name;
    let mut text = format!("{} (function {name}).", render.message(f));
    let choices = f.path.as_ref().map(|p| render.choices(p)).unwrap_or_default();
    if !choices.is_empty() {
        text = format!("{text} Path: {}.", choices.join("; "));
    }
    let values = f.path.as_ref().filter(|_| !f.may_be).map(|p| render.assigned(p)).unwrap_or_default();
    if !values.is_empty() {
        text = format!("{text} With {values}.");
    }
    json!({
        "ruleId": f.rule.name(),
        "ruleIndex": Rule::ALL.iter().position(|&r| r == f.rule),
        "level": level,
        "message": { "text": text },
        "locations": [location(f.second)],
        "relatedLocations": f.first.into_iter().map(location).collect::<Vec<_>>(),
        "codeFlows": [{ "threadFlows": [{ "locations": steps }] }],
    })
}

/// A file name as a URI reference.
fn uri(file: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~/".contains(b);
    let encode = |b: u8| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    let path: String = file.strip_prefix("./").unwrap_or(file).bytes().map(encode).collect();
    if path.starts_with('/') { format!("file://{path}") } else { path }
}

fn pretty(value: &Value) -> String {
    // A tree of strings and numbers can always be written.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
