//! A plugin whose passes go wrong, each in its own way.

use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo, register_pass};

macro_rules! pass {
    ($type:ident, $name:literal, $run:expr) => {
        struct $type;

        impl Pass for $type {
            const NAME: &'static str = $name;

            fn info() -> PassInfo {
                PassInfo::new("Goes wrong").reads(&["kernel"]).writes(&["sync-groups"])
            }

            fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
                let run: fn(&mut PassContext<'_>) -> Result<(), PassError> = $run;
                run(cx)
            }
        }
    };
}

pass!(Panics, "panics", |cx| {
    let nodes = cx.kernel().nodes;
    let beyond = nodes.len();
    assert_eq!(nodes[beyond].flags, 0);
    Ok(())
});

pass!(Fails, "fails", |_| Err(PassError::new("this addition is one too many")
    .at_node(NodeId(2))
    .with_help("take it out")));

pass!(LeavesHalf, "leaves-half", |cx| {
    let kernel = cx.kernel();
    let (src, dst) = (kernel.node(NodeId(1)).pipe, kernel.node(NodeId(2)).pipe);
    cx.add_unplaced_pair((src, dst), NodeId::NONE, 0, &[])?;
    Ok(())
});

pass!(StealsColumn, "steals-column", |cx| {
    cx.write_column("plan.groups/1", &[1u64]);
    Ok(())
});

register_pass!(Panics, Fails, LeavesHalf, StealsColumn);
