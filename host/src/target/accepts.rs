//! What the library accepts of an operation's tiles, in the small language of the key `accepts` (`docs/target-file.md`).
//!
//! What must hold after [`accepts`]: each rule names operands or results of the operation, and has at least one form.

use std::collections::BTreeMap;

use pipewright_abi::target::{Accepts, Form, TargetData};
use pipewright_abi::{Range, StrId};
use toml::Spanned;

use super::raw::RawOp;
use super::{known_name, unknown};
use crate::diagnostic::{Diagnostic, text_range};

/// Words of a form, with what they say.
const WORDS: [(&str, Word); 7] = [
    ("row_major", Word::Blayout(0)),
    ("col_major", Word::Blayout(1)),
    ("none_box", Word::Slayout(0)),
    ("row_box", Word::Slayout(1)),
    ("col_box", Word::Slayout(2)),
    ("row", Word::Row),
    ("column", Word::Column),
];

/// Element types that a form can name.
const ELEMENTS: [&str; 8] = ["f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64"];

#[derive(Clone, Copy)]
enum Word {
    Blayout(u32),
    Slayout(u32),
    Row,
    Column,
}

/// The rules of an operation; `names` are its operands, results and attributes, `operands` and `results` stand in the
/// tables.
pub(super) fn accepts(
    op: &RawOp,
    [operands, results]: [Range; 2],
    names: &[StrId],
    data: &TargetData,
) -> Result<Vec<Accepts>, Diagnostic> {
    let slots = operands.of(&data.tables.operands).iter().map(|spec| spec.name);
    let ends = results.of(&data.tables.operands).iter().map(|spec| spec.name);
    // A tile operand that is also a result has one name.
    let known: BTreeMap<StrId, ()> = slots.chain(ends).map(|name| (name, ())).collect();
    op.accepts.iter().map(|rule| one(rule, &known, names, data)).collect()
}

fn one(
    rule: &Spanned<String>,
    known: &BTreeMap<StrId, ()>,
    names: &[StrId],
    data: &TargetData,
) -> Result<Accepts, Diagnostic> {
    let malformed = |why: &str| {
        Diagnostic::error("target::accepts", format!("`{}` is no rule: {why}", rule.get_ref()))
            .label(text_range(rule.span()), "here")
            .help("write `operand, ..: word ..`, with `|` between forms of which one is enough")
    };
    let (list, forms) = rule.get_ref().split_once(':').ok_or_else(|| malformed("it names no operand"))?;
    let mut operands = Vec::new();
    for name in list.split(',').map(str::trim) {
        known_name(&Spanned::new(rule.span(), name.to_owned()), names, data)?;
        let id = data.strings.find(name).filter(|id| known.contains_key(id));
        operands.push(id.ok_or_else(|| malformed(&format!("`{name}` is no operand")))?);
    }
    let forms = forms.split('|').map(|text| form(text.trim(), rule, data)).collect::<Result<Vec<_>, _>>()?;
    if forms.iter().any(|form| form.text.is_empty()) {
        return Err(malformed("a form has no words"));
    }
    Ok(Accepts { operands, forms })
}

fn form(text: &str, rule: &Spanned<String>, data: &TargetData) -> Result<Form, Diagnostic> {
    let mut form = Form { text: text.split_whitespace().collect::<Vec<_>>().join(" "), ..Form::default() };
    for word in text.split_whitespace() {
        if let Some(&(_, known)) = WORDS.iter().find(|(name, _)| *name == word) {
            match known {
                Word::Blayout(layout) => form.blayouts.push(layout),
                Word::Slayout(layout) => form.slayouts.push(layout),
                Word::Row => form.is_row = true,
                Word::Column => form.is_column = true,
            }
        } else if ELEMENTS.contains(&word) {
            form.elements.push(word.to_owned());
        } else if let Some(space) = data.view().space(word) {
            form.spaces.push(space);
        } else {
            let spaces = data.tables.spaces.iter().map(|space| data.strings.view().get(space.name));
            let words = WORDS.iter().map(|(name, _)| *name).chain(ELEMENTS).chain(spaces);
            return Err(unknown("word", &Spanned::new(rule.span(), word.to_owned()), words));
        }
    }
    Ok(form)
}
