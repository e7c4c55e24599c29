//! A plugin that panics when it is asked what it is.

use pipewright_abi::{Pass, PassContext, PassError, PassInfo, register_pass};

struct BadInfo;

impl Pass for BadInfo {
    const NAME: &'static str = "bad-info";

    fn info() -> PassInfo {
        panic!("I will not say")
    }

    fn run(_: &mut PassContext<'_>) -> Result<(), PassError> {
        Ok(())
    }
}

register_pass!(BadInfo);
