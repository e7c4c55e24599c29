//! Inserts set/wait pairs and barriers for all hazards of a kernel, and the barrier that drains it.
//!
//! Each instruction looks back over what precedes it, nearest first. What it conflicts with and is not known to be
//! finished gets a pair, or a barrier if it runs on the same pipe; from there on back that pipe is known to be
//! finished, and so is whatever it waited for. At the end of a loop each of its instructions looks once more, round
//! the loop: back over its own iteration to learn what is finished, then from the loop's end over the tail of the
//! iteration before, down to itself. Groups stand in the order of creation.
//!
//! The rules, faults included, are the reference's. What is finished inside a loop is not known outside (it may make
//! no trip), what waits were *seen* there is, which `loop-history = "drop"` mends. Nothing is known behind a branch but
//! what both its parts finished.
//!
//! With `ends = "as-moved"` the ends of a pair count where motion will put them: the wait before the outermost construct
//! that does not hold the set, the set behind the outermost one that does not hold the wait. There they stand on every
//! path, so nothing that is known there hangs on a trip or an arm, and a pipe that finishes there is finished for all the
//! code before. What is ordered by pairs that stay inside a construct is still not known outside.
//!
//! With `exact-rotation` a conflict through tiles that a loop hands on in turn counts in the trips in which it happens
//! (see `turns`).
//!
//! Time: a scan visits only nodes at which its knowledge changes, and stops where nothing is left to find
//! (`scan`); it does not look again at what an earlier scan is known to cover (`facts`). In straight-line code,
//! nested loops and branches that reuse their memory this is close to linear. The number of groups itself can be
//! quadratic as long as ends count as made: an instruction gets a group with *each* of the earlier loops or branches
//! that touch its memory if nothing between them is ordered with it, since what is finished in one is not known outside.

mod candidate;
mod facts;
mod groups;
mod lists;
mod rounds;
mod scan;
mod seen;
mod turns;
mod waits;

use pipewright_abi::kernel::{kernel_flag, node_kind};
use pipewright_abi::plan::{Anchor, group_flag};
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, register_pass};
use rounds::Ends;

/// The pass.
#[derive(Debug)]
pub struct SyncInsertion;

register_pass!(SyncInsertion);

impl Pass for SyncInsertion {
    const NAME: &'static str = "sync-insertion";

    fn info() -> PassInfo {
        PassInfo::new("Inserts set/wait pairs and barriers for all hazards")
            .reads(&["kernel", "hazards"])
            .writes(&["sync-groups", "barriers"])
            .option("tail-barrier", true, "drain every pipe before the function returns")
            .choice(
                "loop-history",
                &["keep", "drop"],
                "whether a wait seen inside a loop counts for the code before the loop; keeping it loses an order \
                 when the loop makes no trip",
            )
            .choice(
                "ends",
                &["as-made", "as-moved"],
                "where the ends of a pair count while others are looked for: beside its instructions, or where \
                 sync-motion puts them, before and behind constructs; then nothing is lost, loop-history does not \
                 matter, and fewer groups are made",
            )
            .option(
                "exact-rotation",
                false,
                "know which of the tiles that a loop hands on in turn an instruction touches in which trip; where two never meet \
                 in one trip, the set stands before its instruction",
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
        let ends = match (cx.text("ends"), cx.text("loop-history")) {
            ("as-moved", _) => Ends::Moved,
            (_, "drop") => Ends::DropHistory,
            _ => Ends::KeepHistory,
        };
        rounds::insert(cx, kernel, ends, cx.flag("exact-rotation"))?;
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
