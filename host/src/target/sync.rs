//! How an operation synchronizes, in the small language of the key `sync` (`docs/target-file.md`).
//!
//! What must hold after [`sync`]: pipes, attributes and operands exist, an id that is written is one that the target
//! has, and an operation of which the table does not say how it orders work is [`sync_kind::UNKNOWN`].

use pipewright_abi::sync::{Sync, sync_kind};
use pipewright_abi::target::{AttrSpec, OperandSpec, TargetData, entry_flag, pipe_flag};
use pipewright_abi::{PipeId, Range, StrId};
use toml::Spanned;

use super::raw::RawOp;
use super::{pipe, unknown};
use crate::diagnostic::{Diagnostic, text_range};

/// How the operation synchronizes. `flags` are those of its entry.
pub(super) fn sync(
    op: &RawOp,
    operands: Range,
    attrs: Range,
    flags: u32,
    data: &TargetData,
) -> Result<Sync, Diagnostic> {
    let Some(item) = &op.sync else {
        let kind = if is_described(op, flags) { sync_kind::NONE } else { sync_kind::UNKNOWN };
        return Ok(Sync { kind, ..NOTHING });
    };
    let reader = Reader { item, operands, attrs, data };
    let text = item.get_ref().trim();
    let (word, rest) = text.split_once(char::is_whitespace).map_or((text, ""), |(w, r)| (w, r.trim()));
    match (word, rest.is_empty()) {
        ("none", true) => Ok(Sync { kind: sync_kind::NONE, ..NOTHING }),
        ("fence", true) => Ok(Sync { kind: sync_kind::FENCE, ..NOTHING }),
        ("cores", true) => Ok(Sync { kind: sync_kind::CORES, ..NOTHING }),
        ("unknown", true) => Ok(Sync { kind: sync_kind::UNKNOWN, ..NOTHING }),
        ("barrier", false) => {
            let (src, src_attr) = reader.pipe(rest)?;
            Ok(Sync { kind: sync_kind::BARRIER, src, src_attr, ..NOTHING })
        }
        ("set", false) => reader.flag(sync_kind::SET, rest),
        ("wait", false) => reader.flag(sync_kind::WAIT, rest),
        _ => Err(reader.malformed("it begins with no word that is known, or ends with it")),
    }
}

const NOTHING: Sync = Sync {
    kind: sync_kind::NONE,
    src: PipeId::NONE,
    src_attr: StrId::NONE,
    dst: PipeId::NONE,
    dst_attr: StrId::NONE,
    event_id: u32::MAX,
    id_attr: StrId::NONE,
    id_operand: u32::MAX,
};

/// Whether the other keys say what the operation does while it runs, so that it does nothing beside it.
fn is_described(op: &RawOp, flags: u32) -> bool {
    let silent = entry_flag::PURE | entry_flag::READ | entry_flag::ROOT | entry_flag::DESCRIPTION;
    let works = op.pipe.is_some() || !op.inside.is_empty() || op.alias.is_some() || flags & silent != 0;
    flags & entry_flag::EXPLICIT_SYNC == 0 && (works || op.cpp.is_none())
}

struct Reader<'a> {
    item: &'a Spanned<String>,
    operands: Range,
    attrs: Range,
    data: &'a TargetData,
}

impl Reader<'_> {
    fn malformed(&self, why: &str) -> Diagnostic {
        let message = format!("`{}` is no way to synchronize: {why}", self.item.get_ref());
        Diagnostic::error("target::sync", message).label(text_range(self.item.span()), "here").help(
            "write `set PIPE>PIPE #ID`, `wait PIPE>PIPE #ID`, `barrier PIPE`, `fence`, `cores`, `none` or `unknown`; \
             `{x}` takes a pipe or id from attribute `x`, an id also from operand `x`",
        )
    }

    /// A word of the item, which has no place of its own.
    fn word(&self, word: &str) -> Spanned<String> {
        Spanned::new(self.item.span(), word.to_owned())
    }

    /// A pipe, or the attribute that names it.
    fn pipe(&self, text: &str) -> Result<(PipeId, StrId), Diagnostic> {
        match named(text) {
            None => Ok((pipe(self.data, &self.word(text))?, StrId::NONE)),
            Some(name) => match self.attr(name) {
                Some(attr) => Ok((PipeId::NONE, attr)),
                None => Err(unknown("attribute", &self.word(name), self.attr_names())),
            },
        }
    }

    /// `MTE2>V #0`.
    fn flag(&self, kind: u32, text: &str) -> Result<Sync, Diagnostic> {
        let (ends, id) = text.split_once('#').ok_or_else(|| self.malformed("the flag has no `#ID`"))?;
        let (src, dst) = ends.split_once('>').ok_or_else(|| self.malformed("the flag has no `>`"))?;
        let (src, src_attr) = self.pipe(src.trim())?;
        let (dst, dst_attr) = self.pipe(dst.trim())?;
        let can_flag = |p: PipeId| {
            p.get().is_none_or(|p| self.data.tables.pipes[p.index()].flags & pipe_flag::FLAGS != 0)
        };
        if !can_flag(src) || !can_flag(dst) || (src.is_some() && src == dst) {
            return Err(self.malformed("these two pipes share no flag"));
        }
        let (id, mut sync) = (id.trim(), Sync { kind, src, src_attr, dst, dst_attr, ..NOTHING });
        match named(id) {
            Some(name) => match (self.attr(name), self.operand(name)) {
                (Some(attr), _) => sync.id_attr = attr,
                (None, Some(operand)) => sync.id_operand = operand,
                (None, None) => {
                    let known = self.attr_names().into_iter().chain(self.operand_names());
                    return Err(unknown("operand or attribute", &self.word(name), known));
                }
            },
            None => {
                sync.event_id = id.parse().map_err(|_| self.malformed("the id of the flag is no number"))?;
                let count = self.data.view().event_ids();
                if sync.event_id >= count {
                    let message = format!("the id {id} is out of range: there are {count}");
                    return Err(Diagnostic::error("target::range", message)
                        .label(text_range(self.item.span()), "here"));
                }
            }
        }
        Ok(sync)
    }

    fn attr(&self, name: &str) -> Option<StrId> {
        let attrs = self.attrs.of(&self.data.tables.attrs);
        attrs.iter().map(|a: &AttrSpec| a.name).find(|&n| self.data.strings.view().get(n) == name)
    }

    fn operand(&self, name: &str) -> Option<u32> {
        let found = self.operand_names().iter().position(|&n| n == name)?;
        Some(found as u32)
    }

    fn attr_names(&self) -> Vec<&str> {
        let attrs = self.attrs.of(&self.data.tables.attrs).iter();
        attrs.map(|a| self.data.strings.view().get(a.name)).collect()
    }

    fn operand_names(&self) -> Vec<&str> {
        let operands = self.operands.of(&self.data.tables.operands).iter();
        operands.map(|o: &OperandSpec| self.data.strings.view().get(o.name)).collect()
    }
}

/// The name in braces.
fn named(text: &str) -> Option<&str> {
    text.strip_prefix('{')?.strip_suffix('}')
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
[[op]]
name = "x.op"
class = "plain"
operands = ["at: index"]
attrs = ["from: symbol", "id: i32"]
"#;

    fn load(keys: &str) -> Result<Sync, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        std::fs::write(&path, format!("{MACHINE}{keys}\n")).unwrap();
        let data = super::super::load(&path, &[]).map_err(|report| report.render(Style::Plain))?;
        Ok(data.tables.syncs[data.entry("x.op").index()])
    }

    #[test]
    fn each_form_is_read() {
        let sync = load(r#"sync = "set {from}>V #{at}""#).unwrap();
        assert_eq!(
            (sync.kind, sync.src, sync.dst, sync.id_operand),
            (sync_kind::SET, PipeId::NONE, PipeId(1), 0)
        );
        assert!(sync.src_attr.is_some() && sync.dst_attr.is_none() && sync.id_attr.is_none());
        let sync = load(r#"sync = "wait S>V #{id}""#).unwrap();
        assert_eq!((sync.kind, sync.src, sync.dst), (sync_kind::WAIT, PipeId(0), PipeId(1)));
        assert!(sync.id_attr.is_some() && sync.event_id == u32::MAX);
        let sync = load(r#"sync = "wait S>V #7""#).unwrap();
        assert_eq!((sync.event_id, sync.id_attr), (7, StrId::NONE));
        assert_eq!(load(r#"sync = "barrier ALL""#).unwrap().src, PipeId(2));
        assert!(load(r#"sync = "barrier {from}""#).unwrap().src_attr.is_some());
        for (text, kind) in [
            ("none", sync_kind::NONE),
            ("fence", sync_kind::FENCE),
            ("cores", sync_kind::CORES),
            ("unknown", sync_kind::UNKNOWN),
        ] {
            assert_eq!(load(&format!("sync = \"{text}\"")).unwrap(), Sync { kind, ..NOTHING });
        }
    }

    /// What runs, and of which nothing is said, may order work.
    #[test]
    fn what_is_not_described_is_unknown() {
        let kind = |keys: &str| load(keys).unwrap().kind;
        assert_eq!(kind(r#"cpp = "WAIT({at})""#), sync_kind::UNKNOWN);
        assert_eq!(kind(r#"flags = ["explicit-sync"]"#), sync_kind::UNKNOWN);
        assert_eq!(kind("pipe = \"V\"\ncpp = \"X()\"\nflags = [\"explicit-sync\"]"), sync_kind::UNKNOWN);
        for keys in [
            "",
            "pipe = \"V\"\ncpp = \"X({at})\"",
            "effects = \"pure\"\ncpp = \"X({at})\"",
            "inside = [\"V\"]\ncpp = \"X({at})\"",
            "flags = [\"description\"]\ncpp = \"X({at})\"",
        ] {
            assert_eq!(kind(keys), sync_kind::NONE, "{keys}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_at_its_place() {
        for (text, expected) in [
            ("rest V", "`rest V` is no way to synchronize: it begins with no word that is known"),
            ("barrier", "it begins with no word that is known, or ends with it"),
            ("none V", "it begins with no word that is known, or ends with it"),
            ("barrier W", "there is no pipe `W`"),
            ("barrier {form}", "there is no attribute `form`"),
            ("set S>V", "the flag has no `#ID`"),
            ("set S #0", "the flag has no `>`"),
            ("set S>V #x", "the id of the flag is no number"),
            ("wait S>V #8", "the id 8 is out of range: there are 8"),
            ("wait S>V #{a}", "there is no operand or attribute `a`"),
            ("set V>V #0", "these two pipes share no flag"),
            ("set V>ALL #0", "these two pipes share no flag"),
        ] {
            let error = load(&format!("sync = \"{text}\"")).unwrap_err();
            assert!(error.contains(expected) && error.contains(":25:"), "{text}: {error}");
        }
    }
}
