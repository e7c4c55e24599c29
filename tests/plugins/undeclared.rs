//! A plugin whose passes ask their context for what they do not declare, each for another thing.

use pipewright_abi::hazard::HazardData;
use pipewright_abi::plan::Anchor;
use pipewright_abi::{GroupId, NodeId, Pass, PassContext, PassError, PassInfo, register_pass};

macro_rules! passes {
    ($( $type:ident $name:literal, $info:expr, $run:expr; )+) => {
        $(
            struct $type;

            impl Pass for $type {
                const NAME: &'static str = $name;

                fn info() -> PassInfo {
                    $info
                }

                fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
                    let run: fn(&mut PassContext<'_>) -> Result<(), PassError> = $run;
                    run(cx)
                }
            }
        )+

        register_pass!($( $type ),+);
    };
}

fn info() -> PassInfo {
    PassInfo::new("Asks for what it does not declare")
}

passes! {
    Option "asks-option", info().option("widening", true, "as it should be"), |cx| {
        cx.flag("widenning");
        Ok(())
    };
    OptionType "asks-option-type", info().option("widening", true, "as it should be"), |cx| {
        cx.int("widening");
        Ok(())
    };
    KernelReader "reads-kernel", info().reads(&["hazards"]), |cx| {
        cx.kernel();
        Ok(())
    };
    PlanReader "reads-plan", info().reads(&["kernel"]), |cx| {
        cx.plan();
        Ok(())
    };
    HazardReader "reads-hazards", info().reads(&["kernel"]), |cx| cx.hazards().map(|_| ());
    ModuleReader "reads-module", info().reads(&["kernel"]), |cx| cx.module().map(|_| ());
    ColumnReader "reads-column", info().reads(&["event-ids"]), |cx| {
        cx.column::<GroupId>("event-ids.moved-late/1").map(|_| ())
    };
    Editor "edits-plan", info().reads(&["kernel", "sync-groups"]), |cx| {
        let pipe = cx.kernel().node(NodeId(1)).pipe;
        cx.add_barrier(pipe, Anchor::before(NodeId(1)), NodeId::NONE, 0).map(|_| ())
    };
    HazardWriter "writes-hazards", info().reads(&["kernel"]), |cx| {
        cx.write_hazards(&HazardData::default());
        Ok(())
    };
    ColumnWriter "writes-own-column", info().reads(&["kernel"]).writes(&["vendor.prices"]), |cx| {
        cx.write_column("vendor.price/1", &[1u32]);
        Ok(())
    };
    Emitter "emits", info().reads(&["kernel"]), |cx| {
        cx.emit("text".into());
        Ok(())
    };
    // These do what they declare, and fit into no pipeline or into some.
    ReadsText "reads-text", info().reads(&["text"]), |_| Ok(());
    WritesKernel "writes-kernel", info().writes(&["kernel"]), |_| Ok(());
    ModuleHazards "module-hazards", info().over_module().reads(&["hazards"]), |_| Ok(());
    Misspells "misspells", info().reads(&["hazard"]), |_| Ok(());
    MaybeLate "maybe-late", info().may_read(&["late-sets"]), |cx| {
        cx.count("late sets", cx.column::<GroupId>("event-ids.moved-late/1").map_or(-1, |sets| sets.len() as i64));
        Ok(())
    };
    PricesA "prices-a", info().reads(&["kernel"]).writes(&["vendor.prices"]), |cx| {
        cx.write_column("vendor.prices/1", &[7u32]);
        Ok(())
    };
    PricesB "prices-b", info().reads(&["kernel"]).writes(&["vendor.prices"]), |_| Ok(());
    PriceReader "price-reader", info().reads(&["vendor.prices"]), |cx| {
        let price = cx.column::<u32>("vendor.prices/1")?[0];
        cx.count("price", price.into());
        Ok(())
    };
    MorePairs "more-pairs", info().reads(&["kernel"]).writes(&["sync-groups"]), |_| Ok(());
    Ranged "ranged", info().integer("width", 4, 1..=16, "how wide").option("free", 0, "any"), |cx| {
        cx.count("width", cx.int("width"));
        cx.count("free", cx.int("free"));
        Ok(())
    };
}
