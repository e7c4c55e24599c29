//! `.pto` text to [`ModuleData`].
//!
//! The grammar is MLIR's, with its generic form (`"pto.tload"(%0, %1) ...`) and the pretty forms of PTO. The pretty
//! form of a `pto` operation is read clause by clause, whatever its class (`clauses`), and its operands then get
//! their names from the target's operation table (`bind`): a new operation needs an entry in the table and no
//! Rust. What must hold: every operation, operand, value and attribute keeps its source span; reading takes time
//! linear in the text and never panics; several errors are found in one run.

mod bind;
mod clauses;
mod core_ops;
mod cursor;
mod parser;
mod types;

use pipewright_abi::ir::ModuleData;
use pipewright_abi::target::TargetData;

use crate::diagnostic::Diagnostic;

/// Reads the module in `text`. Fails with all errors that were found, in the order of the text.
pub fn parse(text: &str, target: &TargetData) -> Result<ModuleData, Vec<Diagnostic>> {
    if text.trim().is_empty() {
        let span = pipewright_abi::TextRange { start: 0, end: 0 };
        let empty =
            Diagnostic::error("syntax::empty", "the file holds no module").label(span, "nothing here");
        return Err(vec![empty]);
    }
    let mut parser = parser::Parser::new(text, target);
    parser.file();
    let mut diagnostics = parser.diagnostics;
    if diagnostics.is_empty() {
        return Ok(parser.data);
    }
    diagnostics.sort_by_key(|d| d.labels.first().map_or(0, |l| l.span.start));
    Err(diagnostics)
}
