//! The `arith` dialect: constants, and operations of one shape.

use pipewright_abi::ir::{AttrValue, attr_kind};

use super::errors::{Parsed, counted};
use super::parser::{Draft, Parser};
use crate::diagnostic::{Diagnostic, did_you_mean};

impl<'t> Parser<'t, '_> {
    /// `value : type`; `true`.
    pub(super) fn constant(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        self.attr_dict(&mut draft.attrs)?;
        let start = self.cursor.peek_at();
        let value = self.attr_value_record()?;
        let span = self.span_from(start);
        let ty = match value.kind {
            attr_kind::BOOL => self.types.int(&mut self.data, 1),
            _ if value.ty.is_some() => value.ty,
            _ => {
                let message = "a constant needs a type";
                return self.error("syntax::constant", span, message, "write `: type` behind it");
            }
        };
        self.push_attr(draft, "value", value, span);
        draft.result_types = vec![ty];
        self.check_result_count(draft)
    }

    /// `arith`: `[predicate,] %a, %b [flags] : T [to T]`.
    pub(super) fn arithmetic(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let operation = &draft.name["arith.".len()..];
        if !is_known(operation) {
            let known = did_you_mean(operation, ARITH.iter().copied());
            let help = known.map_or(String::new(), |k| format!("did you mean `arith.{k}`?"));
            let diagnostic =
                Diagnostic::error("syntax::unknown-op", format!("there is no operation `{}`", draft.name));
            return Err(
                self.report(diagnostic.label(draft.name_span, "not in the `arith` dialect").help(help))
            );
        }
        if matches!(operation, "cmpi" | "cmpf") {
            let start = self.cursor.peek_at();
            let Some(predicate) = self.cursor.word() else {
                return self.expected("a comparison (`eq`, `slt`, ..)");
            };
            let span = self.span_from(start);
            let known = if operation == "cmpi" { CMPI } else { CMPF };
            if !known.contains(&predicate) {
                let message = format!("`{predicate}` is no comparison of `{}`", draft.name);
                let diagnostic = Diagnostic::error("syntax::predicate", message).label(span, "this one");
                let help = format!("comparisons are {}", known.join(", "));
                return Err(self.report(diagnostic.help(help)));
            }
            self.push_text_attr(draft, "predicate", attr_kind::ENUM, predicate, span);
            self.expect(",")?;
        }
        self.operand_list(draft, ":")?;
        self.arith_flags(draft)?;
        self.attr_dict(&mut draft.attrs)?;
        self.expect(":")?;
        let at = self.cursor.peek_at();
        let mut ty = self.ty()?;
        let mut at_span = self.span_from(at);
        let mut second = None;
        if self.cursor.eat(",") {
            let at = self.cursor.peek_at();
            second = Some(self.ty()?);
            at_span = self.span_from(at);
        }
        let operands = operand_count(operation);
        if draft.operands.len() != operands {
            let (wanted, given) = (counted(operands, "operand"), draft.operands.len());
            let message = format!("`{}` has {wanted}, not {given}", draft.name);
            return self.error("syntax::operand", draft.name_span, message, "this operation");
        }
        if operation == "select"
            && let Some(second) = second
        {
            ty = second;
        }
        let from = if operation == "select" { 1 } else { 0 };
        for operand in draft.operands[from..].iter().copied() {
            self.check_type(operand, ty, at_span);
        }
        draft.result_types = match operation {
            "cmpi" | "cmpf" => vec![self.types.int(&mut self.data, 1)],
            "addui_extended" => vec![ty, second.unwrap_or(self.error_type)],
            "mulsi_extended" | "mului_extended" => vec![ty, ty],
            _ if CASTS.contains(&operation) => {
                if !self.cursor.eat_word("to") {
                    return self.expected("`to` and the type of the result");
                }
                vec![self.ty()?]
            }
            _ => vec![ty],
        };
        self.check_result_count(draft)
    }

    /// `overflow<nsw>`, `fastmath<..>`, `exact`, `nneg`: kept under the names that the generic form gives them.
    fn arith_flags(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        loop {
            let start = self.cursor.peek_at();
            let (word, name) = match self.cursor.peek_word() {
                word @ "overflow" => (word, "overflowFlags"),
                word @ "fastmath" => (word, "fastmath"),
                word @ "exact" => (word, "isExact"),
                word @ "nneg" => (word, "nonNeg"),
                _ => return Ok(()),
            };
            self.cursor.word();
            let open = self.cursor.peek_at();
            if self.cursor.byte() != b'<' {
                let span = self.span_from(start);
                self.push_attr(draft, name, AttrValue::default(), span);
                continue;
            }
            let value = self.dialect_value(&format!("arith.{word}"), open)?;
            let span = self.span_from(start);
            self.push_attr(draft, name, value, span);
        }
    }
}

/// How many operands an operation of the dialect has, given its name without the dialect.
pub(super) fn operand_count(operation: &str) -> usize {
    match operation {
        "constant" => 0,
        "select" => 3,
        "negf" => 1,
        _ if CASTS.contains(&operation) => 1,
        _ => 2,
    }
}

/// How many results an operation of the dialect has.
pub(super) fn result_count(operation: &str) -> usize {
    1 + usize::from(operation.ends_with("_extended"))
}

/// The predicate that the generic form gives as a number.
pub(super) fn predicate(operation: &str, number: u64) -> Option<&'static str> {
    let known = match operation {
        "cmpi" => CMPI,
        "cmpf" => CMPF,
        _ => return None,
    };
    known.get(usize::try_from(number).ok()?).copied()
}

/// Whether an operation of the dialect has this name.
pub(super) fn is_known(operation: &str) -> bool {
    ARITH.contains(&operation)
}

/// Operations from one type to another.
const CASTS: &[&str] = &[
    "index_cast",
    "index_castui",
    "extsi",
    "extui",
    "trunci",
    "sitofp",
    "uitofp",
    "fptosi",
    "fptoui",
    "extf",
    "truncf",
    "bitcast",
];

/// Comparisons in the order of their numbers.
const CMPI: &[&str] = &["eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"];

const CMPF: &[&str] = &[
    "false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une",
    "uno", "true",
];

const ARITH: &[&str] = &[
    "addf",
    "addi",
    "addui_extended",
    "andi",
    "bitcast",
    "ceildivsi",
    "ceildivui",
    "cmpf",
    "cmpi",
    "constant",
    "divf",
    "divsi",
    "divui",
    "extf",
    "extsi",
    "extui",
    "floordivsi",
    "fptosi",
    "fptoui",
    "index_cast",
    "index_castui",
    "maximumf",
    "maxnumf",
    "maxsi",
    "maxui",
    "minimumf",
    "minnumf",
    "minsi",
    "minui",
    "mulf",
    "muli",
    "mulsi_extended",
    "mului_extended",
    "negf",
    "ori",
    "remf",
    "remsi",
    "remui",
    "select",
    "shli",
    "shrsi",
    "shrui",
    "sitofp",
    "subf",
    "subi",
    "truncf",
    "trunci",
    "uitofp",
    "xori",
];
