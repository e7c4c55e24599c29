//! What an operation does inside itself, in the small language of the key `inside` (`docs/target-file.md`).
//!
//! What must hold after [`phases`]: pipes, operands and attributes exist, flags have two ends that can share one and
//! an id that the target has.

use pipewright_abi::target::{
    OperandSpec, Phase, PhaseAccess, SCRATCH_OF, TargetData, operand_flag, phase_kind,
};
use pipewright_abi::target::{Pipe, pipe_flag};
use pipewright_abi::{PipeId, Range, StrId};
use toml::Spanned;

use super::raw::{RawOp, RawPhase};
use super::{conditions, known_name, unknown};
use crate::diagnostic::{Diagnostic, text_range};

/// Appends the phases of an operation whose operands stand in `operands` of the tables; `names` are its operands,
/// results and attributes.
pub(super) fn phases(
    op: &RawOp,
    operands: Range,
    names: &[StrId],
    data: &mut TargetData,
) -> Result<Range, Diagnostic> {
    let start = data.tables.phases.len();
    for item in &op.inside {
        let mut phase = phase(item, operands, names, data)?;
        phase.when = conditions(&item.get_ref().when, names, data)?;
        data.tables.phases.push(phase);
    }
    Ok(Range::new(start, data.tables.phases.len()))
}

fn phase(
    item: &Spanned<RawPhase>,
    operands: Range,
    names: &[StrId],
    data: &mut TargetData,
) -> Result<Phase, Diagnostic> {
    let text = item.get_ref().does.trim();
    let reader = Reader { item, data };
    if let Some(rest) = text.strip_prefix("publishes ") {
        let (sender, drained) =
            rest.split_once(" after ").ok_or_else(|| reader.malformed("`after` is missing"))?;
        let mut phase =
            Phase { kind: phase_kind::PUBLISH, pipe: PipeId::NONE, attr: StrId::NONE, ..Default::default() };
        match sender.trim().strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(attr) => {
                known_name(&reader.word(attr), names, data)?;
                phase.attr = data.strings.find(attr).unwrap_or(StrId::NONE);
            }
            None => phase.pipe = reader.pipe(sender.trim())?,
        }
        let reader = Reader { item, data };
        for name in drained.split(',') {
            phase.drained |= 1u64.checked_shl(reader.pipe(name.trim())?.0).unwrap_or(0);
        }
        return Ok(phase);
    }
    let none = Phase { attr: StrId::NONE, dst: PipeId::NONE, ..Default::default() };
    if let Some(name) = text.strip_prefix("barrier ") {
        let mut pipe = reader.pipe(name.trim())?;
        let flags = data.tables.pipes[pipe.index()].flags;
        if flags & pipe_flag::SCALAR != 0 {
            return Err(reader.malformed("the scalar pipe takes no barrier"));
        }
        if flags & pipe_flag::ALL != 0 {
            pipe = PipeId::NONE;
        }
        return Ok(Phase { kind: phase_kind::BARRIER, pipe, ..none });
    }
    let (kind, flag) = match text.strip_prefix("uses ") {
        Some(flag) => (phase_kind::USES, flag),
        None => (phase_kind::FLAG, text),
    };
    if flag.contains('>') || kind == phase_kind::USES {
        let [pipe, dst, event_id] = reader.flag(flag)?;
        return Ok(Phase { kind, pipe: PipeId(pipe), dst: PipeId(dst), event_id, ..none });
    }
    let (name, list) = text.split_once(':').map_or((text, None), |(name, list)| (name, Some(list)));
    let pipe = reader.pipe(name.trim())?;
    let accesses = match list {
        Some(list) => {
            list.split(',').map(|part| reader.access(part, operands)).collect::<Result<Vec<_>, _>>()?
        }
        None => Vec::new(),
    };
    let start = data.tables.phase_accesses.len();
    data.tables.phase_accesses.extend(accesses);
    let accesses = Range::new(start, data.tables.phase_accesses.len());
    Ok(Phase { kind: phase_kind::WORK, pipe, accesses, ..none })
}

struct Reader<'a> {
    item: &'a Spanned<RawPhase>,
    data: &'a TargetData,
}

impl Reader<'_> {
    /// A word of the item, which has no place of its own.
    fn word(&self, word: &str) -> Spanned<String> {
        Spanned::new(self.item.span(), word.to_owned())
    }

    fn error(&self, code: &'static str, message: String) -> Diagnostic {
        Diagnostic::error(code, message).label(text_range(self.item.span()), "here")
    }

    fn malformed(&self, why: &str) -> Diagnostic {
        let message =
            format!("`{}` is nothing that an operation does inside itself: {why}", self.item.get_ref().does);
        self.error("target::inside", message).help(
            "write `PIPE: read OPERAND, write OPERAND`, `PIPE>PIPE #ID`, `uses PIPE>PIPE #ID`, `barrier PIPE` or \
             `publishes PIPE after PIPE, PIPE`",
        )
    }

    fn pipe(&self, name: &str) -> Result<PipeId, Diagnostic> {
        super::pipe(self.data, &self.word(name))
    }

    /// `MTE2>MTE3 #0`: both ends and the id.
    fn flag(&self, text: &str) -> Result<[u32; 3], Diagnostic> {
        let (ends, id) = text.split_once('#').ok_or_else(|| self.malformed("the flag has no `#ID`"))?;
        let (src, dst) = ends.split_once('>').ok_or_else(|| self.malformed("the flag has no `>`"))?;
        let (src, dst) = (self.pipe(src.trim())?, self.pipe(dst.trim())?);
        let id: u32 = id.trim().parse().map_err(|_| self.malformed("the id of the flag is no number"))?;
        let pipes = &self.data.tables.pipes;
        let can_flag = |p: &Pipe| p.flags & pipe_flag::FLAGS != 0;
        if src == dst || !can_flag(&pipes[src.index()]) || !can_flag(&pipes[dst.index()]) {
            return Err(self.malformed("these two pipes share no flag"));
        }
        let count = self.data.view().event_ids();
        if id >= count {
            let message = format!("the id {id} is out of range: there are {count}");
            return Err(self.error("target::range", message));
        }
        Ok([src.0, dst.0, id])
    }

    /// `read src`.
    fn access(&self, text: &str, operands: Range) -> Result<PhaseAccess, Diagnostic> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let &[effect, name] = &words[..] else {
            return Err(self.malformed(&format!("`{}` is no effect and operand", text.trim())));
        };
        let flags = match effect {
            "read" => operand_flag::READ,
            "write" => operand_flag::WRITE,
            "readwrite" => operand_flag::READ | operand_flag::WRITE,
            _ => return Err(unknown("effect", &self.word(effect), ["read", "write", "readwrite"])),
        };
        if let Some(space) = name.strip_suffix(".scratch") {
            let found = self.data.view().space(space);
            let bytes = found.map_or(0, |s| self.data.tables.scratch[s.index()]);
            let Some(space) = found.filter(|_| bytes > 0) else {
                return Err(self.malformed(&format!("there is no space `{space}` with scratch memory")));
            };
            return Ok(PhaseAccess { operand: SCRATCH_OF | space.0, flags });
        }
        let specs = operands.of(&self.data.tables.operands);
        let strings = self.data.strings.view();
        let found = specs.iter().position(|o: &OperandSpec| strings.get(o.name) == name);
        match found {
            Some(operand) => Ok(PhaseAccess { operand: operand as u32, flags }),
            None => Err(unknown("operand", &self.word(name), specs.iter().map(|o| strings.get(o.name)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Style;

    const MACHINE: &str = r#"
[target]
name = "toy"
arch = ["toy"]
flag-model = "stall"
event-ids = 8
[[pipe]]
name = "S"
symbol = "PIPE_S"
flags = true
scalar = true
[[pipe]]
name = "V"
symbol = "PIPE_V"
flags = true
[[pipe]]
name = "ALL"
symbol = "PIPE_ALL"
all = true
[[space]]
name = "vec"
[[op]]
name = "x.op"
class = "dps"
ins = ["src: tile", "tmp?: tile write"]
outs = ["dst: tile"]
attrs = ["pipe: symbol"]
"#;

    fn load(inside: &str) -> Result<TargetData, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        std::fs::write(&path, format!("{MACHINE}inside = [{inside}]\n")).unwrap();
        super::super::load(&path, &[]).map_err(|report| report.render(Style::Plain))
    }

    #[test]
    fn phases_keep_their_order() {
        let data = load(
            r#""V: read src, write dst", "V>S #1", "S", "uses S>V #7", "publishes S after V",
               "publishes {pipe} after S, V", { when = { has = ["tmp"], space = { src = "vec" } }, does = "V: readwrite tmp" }"#,
        )
        .unwrap();
        let target = data.view();
        let phases = target.t.insides[data.entry("x.op").index()].of(target.t.phases);
        let shown: Vec<_> = phases.iter().map(|p| (p.kind, target.pipe_name(p.pipe), p.drained)).collect();
        assert_eq!(
            shown,
            [
                (phase_kind::WORK, "V", 0),
                (phase_kind::FLAG, "V", 0),
                (phase_kind::WORK, "S", 0),
                (phase_kind::USES, "S", 0),
                (phase_kind::PUBLISH, "S", 0b10),
                (phase_kind::PUBLISH, "?", 0b11),
                (phase_kind::WORK, "V", 0),
            ]
        );
        let accesses = |n: usize| -> Vec<(u32, u32)> {
            phases[n].accesses.of(target.t.phase_accesses).iter().map(|a| (a.operand, a.flags)).collect()
        };
        let (read, write) = (operand_flag::READ, operand_flag::WRITE);
        assert_eq!(accesses(0), [(0, read), (2, write)]);
        assert_eq!(accesses(2), []);
        assert_eq!(accesses(6), [(1, read | write)]);
        assert_eq!((phases[1].event_id, target.pipe_name(phases[1].dst)), (1, "S"));
        assert_eq!(target.str(phases[5].attr), "pipe");
        assert_eq!(phases[6].when.of(target.t.conditions).len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_at_its_place() {
        let cases = [
            (r#""W: read src""#, "there is no pipe `W`"),
            (r#""V: read source""#, "there is no operand `source`"),
            (r#""V: reads src""#, "there is no effect `reads`"),
            (r#""V: src""#, "`src` is no effect and operand"),
            (r#""V>S #8""#, "the id 8 is out of range: there are 8"),
            (r#""uses V>S""#, "the flag has no `#ID`"),
            (r#""uses V #0""#, "the flag has no `>`"),
            (r#""V>S #one""#, "the id of the flag is no number"),
            (r#""V>V #0""#, "these two pipes share no flag"),
            (r#""V>ALL #0""#, "these two pipes share no flag"),
            (r#""publishes S""#, "`after` is missing"),
            (r#""publishes {pip} after V""#, "there is no operand or attribute `pip`"),
            (r#"{ when = { has = ["tpm"] }, does = "V" }"#, "there is no operand or attribute `tpm`"),
            (r#"{ when = { attr = {} }, does = "V" }"#, "unknown field `attr`"),
            (r#""barrier S""#, "the scalar pipe takes no barrier"),
            (r#""barrier W""#, "there is no pipe `W`"),
            (r#""V: read vec.scratch""#, "there is no space `vec` with scratch memory"),
            (
                r#"{ when = { shape = { src = "rows = 1" } }, does = "V" }"#,
                "`rows = 1` is no condition on a shape",
            ),
            (
                r#"{ when = { layout = { src = "diagonal" } }, does = "V" }"#,
                "`diagonal` is no condition on a layout",
            ),
            (
                r#"{ when = { type = { scr = "int" } }, does = "V" }"#,
                "there is no operand or attribute `scr`",
            ),
            ("7", "a string or `{ when = {..}, does = \"..\" }`"),
        ];
        for (inside, expected) in cases {
            let error = load(inside).unwrap_err();
            assert!(error.contains(expected), "{inside}: {error}");
            assert!(error.contains(":28:"), "{inside} has its place: {error}");
        }
    }
}
