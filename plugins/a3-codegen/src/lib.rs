//! The pass `a3-codegen`: prints a module and its synchronization plans as C++ for Ascend A2 and A3.
//!
//! Each function is lowered to nodes and statements (`function`), the form of each value is chosen (`form`), and
//! the text is printed ([`print`]). What an operation of the table prints is data of the target; operations that
//! declare, place or structure something are printed here. An operation that has no C++ on the target is an error at
//! its place in the source.

use pipewright_abi::{Pass, PassContext, PassError, PassInfo, register_pass};

mod arith;
mod code;
mod comm;
mod control;
mod events;
mod fifo;
mod flat;
mod form;
mod function;
mod layout;
mod literal;
mod merge;
mod module;
mod pick;
mod pipes;
mod print;
mod sync;
mod template;
mod tiles;
mod types;
mod usage;
mod views;
mod windows;

/// See the crate's documentation.
#[derive(Debug)]
pub struct A3Codegen;

impl Pass for A3Codegen {
    const NAME: &'static str = "a3-codegen";

    fn info() -> PassInfo {
        PassInfo::new("print C++ for Ascend A2 and A3")
            .over_module()
            .reads(&["module", "kernel", "plan"])
            .writes(&["text"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let text = module::emit(cx.module()?, cx.target(), cx.units())?;
        cx.emit(text);
        Ok(())
    }
}

register_pass!(A3Codegen);
