//! A pass that asks for, or does, what it does not declare fails its own tests.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pipewright_abi::hazard::HazardData;
use pipewright_abi::plan::{Anchor, Edit, NO_EVENT, scope};
use pipewright_abi::testing::{Fixture, KernelBuilder};
use pipewright_abi::{NodeId, Pass, PassContext, PassError, PassInfo};

macro_rules! passes {
    ($( $type:ident, $info:expr, $run:expr; )+) => {
        $(
            struct $type;

            impl Pass for $type {
                const NAME: &'static str = stringify!($type);

                fn info() -> PassInfo {
                    $info
                }

                fn run(cx: &mut PassContext<'_>) -> Result<(), PassError> {
                    let run: fn(&mut PassContext<'_>) -> Result<(), PassError> = $run;
                    run(cx)
                }
            }
        )+
    };
}

fn info() -> PassInfo {
    PassInfo::new("").reads(&["kernel"])
}

passes! {
    Misspells, info().option("widening", true, ""), |cx| {
        cx.flag("widenning");
        Ok(())
    };
    Mistakes, info().option("widening", true, ""), |cx| {
        cx.text("widening");
        Ok(())
    };
    ReadsHazards, info(), |cx| cx.hazards().map(|_| ());
    Edits, info().reads(&["sync-groups"]), |cx| {
        cx.add_barrier(cx.kernel().node(NodeId(0)).pipe, Anchor::before(NodeId(0)), NodeId::NONE, 0).map(|_| ())
    };
    GivesHalf, info().writes(&["hazards"]), |cx| {
        cx.write_hazards(&HazardData::default());
        Ok(())
    };
    Ranged, info().integer("width", 4, 1..=16, ""), |cx| {
        cx.count("width", cx.int("width"));
        Ok(())
    };
    SeesIds, info().reads(&["event-ids"]), sees;
    SeesNoIds, info().reads(&["sync-groups"]), sees;
}

fn sees(cx: &mut PassContext<'_>) -> Result<(), PassError> {
    let group = cx.plan().groups()[0];
    cx.count("id", if group.event_id == NO_EVENT { -1 } else { group.event_id.into() });
    cx.count("scope", group.scope.into());
    cx.count("order", group.order.into());
    Ok(())
}

/// Two instructions in a loop, with a carried pair that has id 3 for its loop.
fn fixture() -> Fixture {
    let mut k = KernelBuilder::new();
    let t = k.tile(0);
    let end = k.repeat(|k| {
        k.instr("MTE2", &[], &[t]);
        k.instr("V", &[t], &[t]);
    });
    let mut fixture = Fixture::new(k.finish());
    let group = fixture.carried_pair("V", "MTE2", NodeId(2), NodeId(1), end);
    fixture.edit(Edit::SetEventId { group, event_id: 3, scope: scope::LOOP });
    fixture
}

/// Why a run of the pass panics.
fn panics<P: Pass>(options: &[(&str, pipewright_abi::pass::OptionValue)]) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| _ = fixture().run::<P>(options))).expect_err("it panics");
    panic.downcast_ref::<String>().cloned().expect("a message")
}

#[test]
fn what_is_not_declared_fails_a_test() {
    assert!(
        panics::<Misspells>(&[]).contains("it asks for the option `widenning`, which it does not declare")
    );
    assert!(panics::<Mistakes>(&[]).contains("of type bool as one of type string"));
    assert!(panics::<ReadsHazards>(&[]).contains("it reads the artifact `hazards` without declaring it"));
    assert!(panics::<Edits>(&[]).contains("without declaring to write `barriers`"));
    assert!(panics::<Ranged>(&[("width", 17.into())]).contains("takes 1 to 16, not 17"));
}

#[test]
fn what_is_malformed_fails_a_test() {
    assert!(panics::<GivesHalf>(&[]).contains("(hazard-rows)"));
}

#[test]
fn options_have_their_values() {
    let mut fixture = fixture();
    fixture.run::<Ranged>(&[("width", 16.into())]).unwrap();
    assert_eq!(fixture.statistic("width"), 16);
}

#[test]
fn ids_are_blank_for_who_does_not_declare_them() {
    let seen = |fixture: &Fixture| ["id", "scope", "order"].map(|name| fixture.statistic(name));
    let mut fixture = fixture();
    let before = fixture.plan.clone();
    fixture.run::<SeesIds>(&[]).unwrap();
    assert_eq!(seen(&fixture), [3, 0, 0], "scope and order are artifacts of their own");
    fixture.run::<SeesNoIds>(&[]).unwrap();
    assert_eq!(seen(&fixture), [-1, 0, 0]);
    assert_eq!(fixture.plan, before);
}

#[test]
#[should_panic(expected = "the default 17 of the option `width` is not in 1 to 16")]
fn a_default_is_in_its_range() {
    PassInfo::new("").integer("width", 17, 1..=16, "");
}
