//! The pass `pto-emit`: the source text with its synchronization written out, so that another tool can go on from
//! there.
//!
//! Every statement of a plan becomes a line of its own, `pto.set_flag`, `pto.wait_flag` or `pto.barrier`; addresses
//! that a stage planned are written where they were missing. What must hold: everything else stays as it was, byte
//! for byte; and printing the result as C++ without any further synchronization gives the statements that printing
//! the program with its plan gives.

mod address;
mod edit;
mod walk;

use pipewright_abi::{Pass, PassContext, PassError, PassInfo, register_pass};

use edit::Edits;

/// See the crate's documentation.
#[derive(Debug)]
pub struct PtoEmit;

register_pass!(PtoEmit);

impl Pass for PtoEmit {
    const NAME: &'static str = "pto-emit";

    fn info() -> PassInfo {
        PassInfo::new("Writes the source with explicit synchronization")
            .over_module()
            .reads(&["module", "kernel", "plan"])
            .writes(&["text"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let module = cx.module()?;
        let source = core::str::from_utf8(module.source)
            .map_err(|_| PassError::new("the source of the module is no UTF-8 text"))?;
        let mut edits = Edits::new(source);
        address::write(module, cx.units(), &mut edits)?;
        for unit in cx.units() {
            walk::write(module, cx.target(), unit, &mut edits)?;
        }
        let text = edits.apply();
        cx.emit(text);
        Ok(())
    }
}
