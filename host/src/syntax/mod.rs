//! `.pto` text to [`ModuleData`].
//!
//! The grammar is MLIR's, with its generic form (`"pto.tload"(%0, %1) ...`) and the pretty forms of PTO. The pretty
//! form of a `pto` operation is read clause by clause, whatever its class (`clauses`), and its operands then get
//! their names from the target's operation table (`bind`): a new operation needs an entry in the table and no
//! Rust. What must hold: every operation, operand, value and attribute keeps its source span; reading takes time
//! linear in the text and never panics; several errors are found in one run.

mod arith;
mod attrs;
mod bind;
mod check;
mod clauses;
mod core_ops;
mod cursor;
mod errors;
mod format;
mod parser;
mod print;
mod scf;
mod scope;
mod tiles;
mod tokens;
mod types;

pub use format::format;
pub use print::print;

use pipewright_abi::ir::ModuleData;
use pipewright_abi::target::TargetData;

use crate::diagnostic::Diagnostic;

/// The code of the error that ends reading.
const TOO_MANY: &str = "syntax::too-many-errors";

/// Reads the module in `text`. Fails with all errors that were found, in the order of the text.
pub fn parse(text: &str, target: &TargetData) -> Result<ModuleData, Vec<Diagnostic>> {
    let mut parser = parser::Parser::new(text, target);
    parser.file();
    let mut diagnostics = parser.diagnostics;
    // The file itself is an operation. It can still hold aliases.
    if diagnostics.is_empty() && parser.data.tables.ops.len() == 1 {
        let span = pipewright_abi::TextRange { start: 0, end: 0 };
        let empty =
            Diagnostic::error("syntax::empty", "the file holds no module").label(span, "nothing here");
        return Err(vec![empty]);
    }
    if diagnostics.is_empty() {
        diagnostics = check::check(&parser.data, target);
    }
    if diagnostics.is_empty() {
        return Ok(parser.data);
    }
    // Where the text was cut off in a name, only the cut is worth a word.
    let at_end = |d: &Diagnostic| d.labels.iter().any(|l| l.span.end as usize == text.len());
    let cut = |d: &Diagnostic| at_end(d) && ["syntax::expected", "syntax::unclosed"].contains(&d.code);
    if diagnostics.iter().any(cut) {
        diagnostics.retain(|d| cut(d) || !at_end(d));
    }
    diagnostics.sort_by_key(|d| (d.code == TOO_MANY, d.labels.first().map_or(0, |l| l.span.start)));
    Err(diagnostics)
}
