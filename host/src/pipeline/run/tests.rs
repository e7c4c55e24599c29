//! What becomes of the replies of strange plugins.

use std::sync::Arc;

use pipewright_abi::artifact::LATE_SETS;
use pipewright_abi::plan::{Anchor, Entry, NO_EVENT, Position, Role, group_flag, scope};
use pipewright_abi::plugin::{OutcomeData, PassDescription, Reply, Request};
use pipewright_abi::{GroupId, PassInfo, PipeId, RootId};

use super::*;
use crate::diagnostic::{Report, Source, Style};
use crate::plugin::in_process;
use crate::test_kernel::double_rows;

const V: PipeId = PipeId(1);
const MTE2: PipeId = PipeId(4);

fn barrier(node: u32) -> [Edit; 2] {
    let anchor = Anchor::before(NodeId(node));
    let entry = Entry { group: GroupId(0), role: Role::Barrier };
    let add = Edit::AddBarrier { pipe: V, carrier: NodeId::NONE, flags: 0 };
    [add, Edit::Place { entry, anchor, position: Position::Back }]
}

/// What a pass declares: all that it does, but for those that are there to do more.
fn declared(name: &str) -> PassInfo {
    let info = PassInfo::new("strange").reads(&["kernel"]);
    if name.contains("undeclared") {
        info
    } else {
        info.writes(&["plan", "hazards", "late-sets", "note", "x"])
    }
}

type Named = (&'static str, fn() -> Reply);

/// What each pass of the strange plugin replies, by the name of the pass.
const REPLIES: [Named; 25] = [
    ("adds-a-barrier", || reply(&barrier(2).map(EditRecord::from), None)),
    ("writes-a-column", || reply(&[], Some(OwnedColumn::new("note/1", &[7u32])))),
    ("makes-no-edit", || reply(&[EditRecord { code: 99, args: [0; 5] }], None)),
    ("removes-nothing", || reply(&[Edit::Remove { group: GroupId(4) }.into()], None)),
    ("puts-it-nowhere", || reply(&barrier(90).map(EditRecord::from), None)),
    ("leaves-a-half", || {
        reply(&[Edit::AddPair { src: MTE2, dst: V, carrier: NodeId::NONE, flags: 0 }.into()], None)
    }),
    ("takes-our-column", || reply(&[], Some(OwnedColumn::new("kernel.nodes/1", &[7u32])))),
    ("lies-about-length", || {
        reply(&[], Some(OwnedColumn { len: 1 << 40, ..OwnedColumn::new("x/1", &[7u32]) }))
    }),
    ("lies-about-stride", || reply(&[], Some(OwnedColumn { stride: 3, ..OwnedColumn::new("x/1", &[7u32]) }))),
    ("has-a-status-of-its-own", || Reply { status: 77, ..reply(&[], None) }),
    ("sends-nothing", || Reply { status: status::OK, columns: Vec::new().into() }),
    ("adds-an-undeclared-barrier", || reply(&barrier(2).map(EditRecord::from), None)),
    ("writes-an-undeclared-column", || reply(&[], Some(OwnedColumn::new("note/1", &[7u32])))),
    ("prints-undeclared-text", || reply(&[], Some(OwnedColumn::new("outcome.text/1", b"text")))),
    ("says-that-it-breaks-its-contract", || Reply { status: status::BREACH, ..reply(&[], None) }),
    ("carries-without-scope", || pair(0, 10, (0, scope::NONE))),
    ("marks-a-pair-as-tail", || pair(group_flag::TAIL, NONE, NO_ID)),
    ("has-flags-of-its-own", || pair(64, NONE, NO_ID)),
    ("closes-what-nobody-carries", || pair(group_flag::SYNTHETIC, NONE, NO_ID)),
    ("carries-round-a-branch", || pair(0, 8, NO_ID)),
    ("gives-an-id-too-high", || pair(0, NONE, (99, scope::NONE))),
    ("has-a-scope-for-nothing", || pair(0, NONE, (0, scope::LOOP))),
    ("is-for-a-buffer-too-many", || {
        let root = Edit::AddRoot { group: GroupId(0), root: RootId(900) };
        let [add, place] = barrier(2).map(EditRecord::from);
        reply(&[add, root.into(), place], None)
    }),
    ("gives-half-of-hazards", || reply(&[], Some(OwnedColumn::new("hazards.rows/1", &[[0u32; 2]])))),
    ("moves-sets-of-nobody", || reply(&[], Some(OwnedColumn::new(LATE_SETS, &[9u32])))),
];

const NONE: u32 = u32::MAX;
const NO_ID: (u32, u32) = (NO_EVENT, scope::NONE);

/// A pair from the load to the addition.
fn pair(flags: u32, carrier: u32, (event_id, scope): (u32, u32)) -> Reply {
    let group = GroupId(0);
    let place = |role, anchor| Edit::Place { entry: Entry { group, role }, anchor, position: Position::Back };
    let edits = [
        Edit::AddPair { src: MTE2, dst: V, carrier: NodeId(carrier), flags },
        place(Role::Set, Anchor::after(NodeId(1))),
        place(Role::Wait, Anchor::before(NodeId(2))),
        Edit::SetEventId { group, event_id, scope },
    ];
    reply(&edits.map(EditRecord::from), None)
}

fn reply(edits: &[EditRecord], column: Option<OwnedColumn>) -> Reply {
    let mut columns = Vec::new();
    OutcomeData { edits: edits.to_vec(), ..Default::default() }.view().copy_out(&mut columns);
    columns.extend(column);
    Reply { status: status::OK, columns: columns.into() }
}

extern "C" fn call(_method: u32, request: &Request<'_>) -> Reply {
    let pass =
        Columns::new(request.shared.as_slice()).get::<u32>("run.pass/1").expect("the host names the pass");
    REPLIES[pass[0] as usize].1()
}

/// Runs these passes of the strange plugin, and prints the diagnostics if one fails.
fn run_passes(names: &[&str], scope: Scope) -> Result<(Outcome, Vec<Unit>), String> {
    let describe = |(name, _): &Named| PassDescription {
        name: (*name).into(),
        version: "0.1.0".into(),
        info: PassInfo { scope, ..declared(name) },
    };
    let plugin = Arc::new(in_process(REPLIES.iter().map(describe).collect(), call));
    let stage = |name: &&str| {
        let index = REPLIES.iter().position(|(n, _)| n == name).expect("a known pass") as u32;
        ResolvedStage { plugin: plugin.clone(), index, options: Vec::new() }
    };
    let stages = names.iter().map(stage).collect();
    let pipeline = ResolvedPipeline {
        name: "p".into(),
        target: "t.toml".into(),
        target_extensions: Vec::new(),
        verify: false,
        stages,
        guard: Guard::default(),
    };
    let (mut module, target, unit) = double_rows();
    let mut units = vec![unit];
    match run(&pipeline, &mut module, &target, &mut units, &mut |_| {}) {
        Ok(outcome) => Ok((outcome, units)),
        Err(diagnostics) => {
            Err(Report::new(Source::new("k.pto", &*module.source), diagnostics).render(Style::Plain))
        }
    }
}

#[test]
fn edits_change_the_plan_and_columns_are_kept() {
    let (outcome, units) = run_passes(&["adds-a-barrier", "writes-a-column"], Scope::Function).unwrap();
    assert_eq!(units[0].plan.before(NodeId(2)).len(), 1);
    assert_eq!(units[0].columns.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["note/1"]);
    assert_eq!(outcome.stages.len(), 2);
}

#[test]
fn a_pass_that_breaks_a_rule_is_named_with_the_rule() {
    let names = REPLIES.iter().skip(2).map(|(name, _)| *name);
    let texts: Vec<_> = names.map(|name| run_passes(&[name], Scope::Function).unwrap_err()).collect();
    insta::assert_snapshot!(texts.concat());
}

#[test]
fn a_module_pass_cannot_edit() {
    let error = run_passes(&["adds-a-barrier"], Scope::Module).unwrap_err();
    assert!(error.contains("module-scope"), "{error}");
}

#[test]
fn stages_before_a_failure_are_observed() {
    let (mut module, target, unit) = double_rows();
    let pass = PassDescription {
        name: "p".into(),
        version: "0.1.0".into(),
        info: PassInfo::new("").writes(&["plan"]),
    };
    let plugin = Arc::new(in_process(vec![pass], call));
    let stages = vec![ResolvedStage { plugin, index: 0, options: Vec::new() }; 2];
    let pipeline = ResolvedPipeline {
        name: "p".into(),
        target: "t.toml".into(),
        target_extensions: Vec::new(),
        verify: false,
        stages,
        guard: Guard::default(),
    };
    let mut seen = Vec::new();
    let mut observe = |moment: Moment<'_>| seen.push((moment.point, moment.units[0].plan.groups().len()));
    // The second stage places the group that the first one added: the edits name group 0.
    run(&pipeline, &mut module, &target, &mut [unit], &mut observe).unwrap_err();
    assert_eq!(seen, [(Point::Before, 0), (Point::After, 1), (Point::Before, 1)]);
}
