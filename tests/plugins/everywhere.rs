//! A plugin that puts a barrier at every place there is: before and after each node.

use pipewright_abi::plan::Anchor;
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, register_pass};

struct Everywhere;

impl Pass for Everywhere {
    const NAME: &'static str = "everywhere";

    fn info() -> PassInfo {
        PassInfo::new("Puts barriers before and after each node").reads(&["kernel"]).writes(&["barriers"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        // Neighbours differ, so that none is the same statement as the next.
        let pipes = ["V", "MTE2", "MTE3", "M", "MTE1"];
        let mut count = 0;
        for node in cx.kernel().node_ids() {
            for anchor in [Anchor::before(node), Anchor::after(node)] {
                let pipe =
                    cx.target().pipe(pipes[count % pipes.len()]).ok_or(PassError::new("no such pipe"))?;
                cx.add_barrier(pipe, anchor, NodeId::NONE, 0)?;
                count += 1;
            }
        }
        Ok(())
    }
}

register_pass!(Everywhere);
