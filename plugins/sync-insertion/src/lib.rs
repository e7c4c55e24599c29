//! Inserts set/wait pairs and barriers for all hazards of a kernel: the scan of each instruction over what precedes it.

mod facts;
mod groups;
mod lists;
mod rounds;
mod scan;
mod waits;

use pipewright_abi::kernel::{kernel_flag, node_kind};
use pipewright_abi::plan::{Anchor, group_flag};
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, register_pass};

/// The pass.
#[derive(Debug)]
pub struct SyncInsertion;

register_pass!(SyncInsertion);

impl Pass for SyncInsertion {
    const NAME: &'static str = "sync-insertion";

    fn info() -> PassInfo {
        PassInfo::new("Inserts set/wait pairs and barriers for all hazards")
            .reads(&["kernel", "hazards"])
            .writes(&["sync-groups"])
            .option("tail-barrier", true, "drain every pipe before the function returns")
            .choice(
                "loop-history",
                &["keep", "drop"],
                "whether a wait seen inside a loop counts for the code before the loop; keeping it loses an order \
                 when the loop makes no trip",
            )
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let kernel = cx.kernel();
        if kernel.flags() & kernel_flag::EXPLICIT_SYNC != 0 {
            let message =
                "the function sets or waits for flags of its own, so no synchronization is inserted";
            cx.remark(NodeId::NONE, message);
            return Ok(());
        }
        if !kernel.wants_sync() {
            return Ok(());
        }
        let keep_history = cx.text("loop-history") != "drop";
        rounds::insert(cx, kernel, keep_history)?;
        let last = kernel.node_ids().rev().find(|&n| kernel.node(n).kind != node_kind::PLACEHOLDER);
        if let (true, Some(last)) = (cx.flag("tail-barrier"), last) {
            let all = cx.target().all_pipes().ok_or_else(|| {
                PassError::new(
                    "the target has no pipe that stands for all pipes, so there is no tail barrier",
                )
                .with_help("mark one with `all = true` in the target file, or set tail-barrier = false")
            })?;
            cx.add_barrier(all, Anchor::after(last), NodeId::NONE, group_flag::TAIL)?;
        }
        let plan = cx.plan();
        let pairs = plan.groups().iter().filter(|g| g.is_pair()).count() as i64;
        let carried = plan.groups().iter().filter(|g| g.is_pair() && g.carrier.is_some()).count() as i64;
        let groups = plan.groups().len() as i64;
        cx.count("pairs", pairs);
        cx.count("carried pairs", carried);
        cx.count("barriers", groups - pairs);
        Ok(())
    }
}
