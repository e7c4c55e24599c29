//! A plugin that shows what reaches it: which version runs, with which options, on which functions.

use pipewright_abi::plan::Anchor;
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, register_pass};

struct Probe;

impl Pass for Probe {
    const NAME: &'static str = "probe";

    fn info() -> PassInfo {
        PassInfo::new("Emits what it was given")
            .over_module()
            .reads(&["module", "kernel", "plan"])
            .writes(&["text"])
            .choice("style", &["plain", "fancy"], "how to write it")
            .option("indent", 2, "spaces before each line")
            .option("title", "functions", "the first line")
            .option("versions", true, "whether to say who writes")
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let module = cx.module()?;
        let mut text = format!("// {} in {} style\n", cx.text("title"), cx.text("style"));
        for unit in cx.units() {
            let name = module.symbol(unit.kernel.function());
            let (nodes, groups) = (unit.kernel.nodes.len(), unit.plan.live_groups().count());
            let indent = " ".repeat(cx.int("indent") as usize);
            text += &format!("{indent}{name}: {nodes} nodes, {groups} groups\n");
        }
        if cx.flag("versions") {
            text += &format!("// by {} {}\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        }
        cx.emit(text);
        Ok(())
    }
}

/// Puts a barrier of the pipe before every instruction.
struct ProbeBarrier;

impl Pass for ProbeBarrier {
    const NAME: &'static str = "probe-barrier";

    fn info() -> PassInfo {
        PassInfo::new("Puts a barrier before each instruction").reads(&["kernel"]).writes(&["barriers"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        for node in cx.kernel().instructions() {
            cx.add_barrier(cx.kernel().node(node).pipe, Anchor::before(node), NodeId::NONE, 0)?;
            cx.count("barriers", 1);
        }
        cx.remark(
            NodeId(1),
            format!("{} puts one barrier before each instruction", env!("CARGO_PKG_VERSION")),
        );
        Ok(())
    }
}

/// Needs what only `probe-barrier` writes.
struct ProbeBarrierReader;

impl Pass for ProbeBarrierReader {
    const NAME: &'static str = "probe-barrier-reader";

    fn info() -> PassInfo {
        PassInfo::new("Counts barriers").reads(&["barriers"])
    }

    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
        cx.count("seen", cx.plan().live_groups().count() as i64);
        Ok(())
    }
}

register_pass!(Probe, ProbeBarrier, ProbeBarrierReader);
