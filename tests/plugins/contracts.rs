//! A plugin that breaks rules behind the back of the context: its passes are asked for as those of any plugin, but what
//! a run replies is made by hand. Each pass breaks one rule and is named after what it does.

use pipewright_abi::artifact::LATE_SETS;
use pipewright_abi::column::{Column, Columns, OwnedColumn};
use pipewright_abi::hazard::{HazardData, Overlap};
use pipewright_abi::kernel::Kernel;
use pipewright_abi::memory::{ADDRESSES, Address};
use pipewright_abi::plan::{Anchor, Edit, EditRecord, Entry, NO_EVENT, Position, Role, group_flag, scope};
use pipewright_abi::plugin::private::{abi_stable, inventory};
use pipewright_abi::plugin::{
    ABI_VERSION_TEXT, Interface, MANIFEST_MAGIC, METHOD_RUN, OutcomeData, PASS_INTERFACE, PluginRoot,
    PluginRootRef, RUSTC, Registration, Reply, Request, concat, concat_len, pass_interface, status,
};
use pipewright_abi::{
    GroupId, NodeId, OpId, Pass, PassContext, PassError, PassInfo, PipeId, Range, RegionId, RootId,
};

use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{ROption, RStr};

/// What a pass replies: edits and columns.
#[derive(Default)]
struct Answer {
    edits: Vec<EditRecord>,
    columns: Vec<OwnedColumn>,
}

/// What a pass was lent: columns of the module, and of the first function.
struct Lent<'a> {
    shared: &'a [Column<'a>],
    unit: &'a [Column<'a>],
}

impl Lent<'_> {
    fn regions(&self) -> usize {
        Kernel::from_columns(Columns::new(self.unit)).map_or(0, |kernel| kernel.regions.len())
    }

    /// Turns a bit of a column that is only to be read.
    fn scribble(&self, id: &str) -> Answer {
        let columns = self.shared.iter().chain(self.unit);
        for column in columns.filter(|column| column.id.as_str() == id) {
            // SAFETY: none. It writes where it must not, and the host has to see it.
            unsafe { *column.bytes.as_ptr().cast_mut() ^= 1 }
        }
        Answer::default()
    }
}

fn edits(edits: impl IntoIterator<Item = Edit>) -> Answer {
    Answer { edits: edits.into_iter().map(EditRecord::from).collect(), columns: Vec::new() }
}

fn column(column: OwnedColumn) -> Answer {
    Answer { edits: Vec::new(), columns: vec![column] }
}

fn names(lent: &Lent<'_>) -> Answer {
    let ids: Vec<_> = lent.shared.iter().chain(lent.unit).map(|column| column.id.as_str()).collect();
    column(OwnedColumn::new("outcome.text/1", ids.join("\n").as_bytes()))
}

// The nodes of the kernel: 1 loads, 2 adds, 8 ends a branch, 10 ends the loop around all.
const LOAD: NodeId = NodeId(1);
const ADD: NodeId = NodeId(2);
const LOOP_END: NodeId = NodeId(10);
const V: PipeId = PipeId(1);
const MTE2: PipeId = PipeId(4);
const G: GroupId = GroupId(0);

fn place(role: Role, anchor: Anchor) -> Edit {
    Edit::Place { entry: Entry { group: G, role }, anchor, position: Position::Back }
}

fn pair(carrier: NodeId, flags: u32) -> Vec<Edit> {
    let add = Edit::AddPair { src: MTE2, dst: V, carrier, flags };
    vec![add, place(Role::Set, Anchor::after(LOAD)), place(Role::Wait, Anchor::before(ADD))]
}

fn forward() -> Vec<Edit> {
    pair(NodeId::NONE, 0)
}

fn with_id(mut edits: Vec<Edit>, event_id: u32, scope: u32) -> Answer {
    edits.push(Edit::SetEventId { group: G, event_id, scope });
    self::edits(edits)
}

fn barrier(pipe: PipeId, flags: u32) -> Vec<Edit> {
    let add = Edit::AddBarrier { pipe, carrier: NodeId::NONE, flags };
    vec![add, place(Role::Barrier, Anchor::before(ADD))]
}

fn behind(mut edits: Vec<Edit>, more: impl IntoIterator<Item = Edit>) -> Answer {
    edits.extend(more);
    self::edits(edits)
}

fn root(root: u32) -> Edit {
    Edit::AddRoot { group: G, root: RootId(root) }
}

/// Overlaps where each region overlaps itself, changed by `change`.
fn hazards(lent: &Lent<'_>, change: impl FnOnce(&mut HazardData)) -> Answer {
    let regions = lent.regions();
    let overlap = |r| Overlap { region: RegionId::from_index(r), flags: 0 };
    let rows = (0..regions).map(|r| Range::new(r, r + 1)).collect();
    let mut data = HazardData { rows, overlaps: (0..regions).map(overlap).collect() };
    change(&mut data);
    let mut answer = Answer::default();
    data.view().copy_out(&mut answer.columns);
    answer
}

fn addresses(list: &[Address]) -> Answer {
    column(OwnedColumn::new(ADDRESSES, list))
}

fn plan() -> PassInfo {
    PassInfo::new("Breaks a rule of plans").writes(&["plan"])
}

fn writes(artifacts: &[&str]) -> PassInfo {
    PassInfo::new("Breaks a rule").reads(&["kernel"]).writes(artifacts)
}

fn module() -> PassInfo {
    PassInfo::new("Breaks a rule over the module").over_module().writes(&["addresses", "plan"])
}

macro_rules! passes {
    ($( $type:ident $name:literal, $info:expr, $answer:expr; )+) => {
        $(
            struct $type;

            impl Pass for $type {
                const NAME: &'static str = $name;

                fn info() -> PassInfo {
                    $info
                }

                fn run(_: &mut PassContext<'_>) -> Result<(), PassError> {
                    Ok(())
                }
            }

            inventory::submit! { Registration::of::<$type>("0.1.0") }
        )+

        fn answers() -> Vec<(&'static str, fn(&Lent<'_>) -> Answer)> {
            vec![$( ($name, $answer) ),+]
        }

        const PARTS: &[&str] = &[
            MANIFEST_MAGIC, "\nabi ", ABI_VERSION_TEXT, "\nplugin contracts 0.1.0\nrustc ", RUSTC,
            $( "\npass ", $name, )+ "\n",
        ];
    };
}

passes! {
    // Edits.
    NoEdit "no-edit", plan(), |_| Answer { edits: vec![EditRecord { code: 99, args: [0; 5] }], columns: Vec::new() };
    UnknownGroup "unknown-group", plan(), |_| edits([Edit::Remove { group: GroupId(7) }]);
    UnknownNode "unknown-node", plan(), |_| behind(forward(), [place(Role::Wait, Anchor::before(NodeId(90)))]);
    RemovedGroup "removed-group", plan(), |_| behind(forward(), [Edit::Remove { group: G }, Edit::Remove { group: G }]);
    WrongRole "wrong-role", plan(), |_| behind(forward(), [place(Role::Barrier, Anchor::before(ADD))]);
    RootsOrder "roots-order", plan(), |_| behind(forward(), [Edit::AddRoot { group: GroupId(4), root: RootId(0) }]);
    IdOnBarrier "id-on-barrier", plan(), |_| with_id(barrier(V, 0), 0, scope::NONE);
    // Plans.
    UnknownPipe "unknown-pipe", plan(), |_| edits(barrier(PipeId(77), 0));
    FlagPipes "flag-pipes", plan(), |_| {
        let mut edits = forward();
        edits[0] = Edit::AddPair { src: V, dst: V, carrier: NodeId::NONE, flags: 0 };
        self::edits(edits)
    };
    Carrier "carrier-no-loop", plan(), |_| edits(pair(NodeId(8), 0));
    Flags "flag-bits", plan(), |_| edits(pair(NodeId::NONE, 64));
    TailPair "tail-pair", plan(), |_| edits(pair(NodeId::NONE, group_flag::TAIL));
    TailPipe "tail-of-one-pipe", plan(), |_| edits(barrier(V, group_flag::TAIL));
    SyntheticForward "synthetic-forward", plan(), |_| edits(pair(NodeId::NONE, group_flag::SYNTHETIC));
    DemotedPair "demoted-pair", plan(), |_| edits(pair(NodeId::NONE, group_flag::DEMOTED));
    HalfPair "half-pair", plan(), |_| edits(forward().into_iter().take(2));
    UnplacedBarrier "unplaced-barrier", plan(), |_| edits(barrier(V, 0).into_iter().take(1));
    UnknownRoot "unknown-root", plan(), |_| edits([barrier(V, 0)[0], root(900), barrier(V, 0)[1]]);
    RootTwice "root-twice", plan(), |_| edits([barrier(V, 0)[0], root(1), root(1), barrier(V, 0)[1]]);
    IdTooHigh "id-too-high", plan(), |_| with_id(forward(), 8, scope::NONE);
    CarriedWithoutScope "carried-without-scope", plan(), |_| with_id(pair(LOOP_END, 0), 0, scope::NONE);
    ForwardWithScope "forward-with-scope", plan(), |_| with_id(forward(), 0, scope::LOOP);
    ScopeWithoutId "scope-without-id", plan(), |_| with_id(pair(LOOP_END, 0), NO_EVENT, scope::LOOP);
    UnknownScope "unknown-scope", plan(), |_| with_id(pair(LOOP_END, 0), 0, 9);
    // Columns.
    HostColumn "host-column", plan(), |_| column(OwnedColumn::new("plan.groups/1", &[1u64]));
    ColumnLength "column-length", writes(&["x"]), |_| {
        let mut answer = column(OwnedColumn::new("x/1", &[7u32]));
        answer.columns[0].len = 1 << 40;
        answer
    };
    ColumnStride "column-stride", writes(&["x"]), |_| {
        let mut answer = column(OwnedColumn::new("x/1", &[7u32]));
        answer.columns[0].stride = 3;
        answer
    };
    // Hazards.
    HalfHazards "half-hazards", writes(&["hazards"]), |_| column(OwnedColumn::new("hazards.rows/1", &[Range::default()]));
    HazardRows "hazard-rows", writes(&["hazards"]), |lent| hazards(lent, |data| _ = data.rows.pop());
    HazardRuns "hazard-runs", writes(&["hazards"]), |lent| hazards(lent, |data| data.rows[1].len += 90);
    HazardRegion "hazard-region", writes(&["hazards"]), |lent| {
        hazards(lent, |data| data.overlaps[0].region = RegionId(900))
    };
    HazardFlag "hazard-flag", writes(&["hazards"]), |lent| hazards(lent, |data| data.overlaps[0].flags = 6);
    HazardSymmetry "hazard-symmetry", writes(&["hazards"]), |lent| {
        hazards(lent, |data| data.overlaps[0].region = RegionId(1))
    };
    LateSet "late-set", writes(&["late-sets"]), |_| column(OwnedColumn::new(LATE_SETS, &[9u32]));
    // Addresses.
    AddressOp "address-op", module(), |_| addresses(&[Address { op: OpId(9_999), ..Address::default() }]);
    AddressTwice "address-twice", module(), |_| addresses(&[Address { op: OpId(0), ..Address::default() }; 2]);
    AddressReserved "address-reserved", module(), |_| addresses(&[Address { reserved: 1, ..Address::default() }]);
    ModuleEdits "module-edits", module(), |_| edits(forward());
    // Changes that are not declared.
    ChangesPairs "changes-pairs", writes(&["barriers"]), |_| edits(forward());
    ChangesBarriers "changes-barriers", writes(&["sync-groups"]), |_| edits(barrier(V, 0));
    ChangesSynthetic "changes-synthetic", writes(&["sync-groups"]), |_| edits(pair(LOOP_END, group_flag::SYNTHETIC));
    ChangesIds "changes-ids", writes(&["sync-groups"]), |_| with_id(forward(), 0, scope::NONE);
    ChangesOrder "changes-order", writes(&["sync-groups", "event-ids"]), |_| with_id(forward(), 0, scope::NONE);
    ChangesScopes "changes-scopes", writes(&["sync-groups", "event-ids", "id-order"]), |_| {
        with_id(pair(LOOP_END, 0), 0, scope::LOOP)
    };
    Demotes "demotes", writes(&["sync-groups"]), |_| behind(forward(), [Edit::Demote { group: G }]);
    AddsPair "adds-pair", writes(&["sync-groups"]), |_| edits(forward());
    ChangesLists "changes-lists", writes(&["event-ids"]), |_| edits([forward()[2]]);
    WritesColumn "writes-column", writes(&["event-ids"]), |_| column(OwnedColumn::new(LATE_SETS, &[0u32]));
    WritesText "writes-text", writes(&[]), |_| column(OwnedColumn::new("outcome.text/1", b"text"));
    ChangesLate "changes-late", writes(&[]), |_| edits(barrier(V, 0));
    PlansLate "plans-late", writes(&[]).over_module(), |_| addresses(&[Address { op: OpId(0), ..Address::default() }]);
    // What it is lent.
    ListsColumns "lists-columns", PassInfo::new("Lists what it is lent").reads(&["module", "kernel"]).writes(&["text"]).over_module(), names;
    ListsForFunctions "lists-for-functions", PassInfo::new("Lists what it is lent").reads(&["sync-groups"]).writes(&["text"]), names;
    // Stray writes.
    ScribblesKernel "scribbles-kernel", writes(&[]), |lent| lent.scribble("kernel.nodes/1");
    ScribblesHazards "scribbles-hazards", writes(&[]).reads(&["hazards"]), |lent| lent.scribble("hazards.rows/1");
    ScribblesModule "scribbles-module", writes(&[]).reads(&["module"]), |lent| lent.scribble("module.ops/1");
    ScribblesTarget "scribbles-target", writes(&[]), |lent| lent.scribble("target.pipes/1");
}

extern "C" fn call(method: u32, request: &Request<'_>) -> Reply {
    if method != METHOD_RUN {
        return pass_interface(method, request);
    }
    let shared = request.shared.as_slice();
    let index = Columns::new(shared).get::<u32>("run.pass/1").map_or(0, |pass| pass[0]);
    let mut answers = answers();
    answers.sort_by_key(|(name, _)| *name);
    let unit = request.units.first().map_or(&[][..], |unit| unit.as_slice());
    let Answer { edits, mut columns } = answers[index as usize].1(&Lent { shared, unit });
    OutcomeData { edits, ..Default::default() }.view().copy_out(&mut columns);
    Reply { status: status::OK, columns: columns.into() }
}

extern "C" fn get_extension(id: RStr<'_>) -> ROption<Interface> {
    if id.as_str() == PASS_INTERFACE { ROption::RSome(Interface { call }) } else { ROption::RNone }
}

// SAFETY: the section holds nothing but this text, and the host only reads it.
#[used]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__pipewright"))]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".pipewright"))]
static MANIFEST: [u8; concat_len(PARTS)] = concat(PARTS);

fn root_module() -> PluginRootRef {
    // Referred to, so that the linker keeps it.
    std::hint::black_box(&MANIFEST);
    PluginRoot { get_extension }.leak_into_prefix()
}

extern "C" fn erased_root() -> abi_stable::library::RootModuleResult {
    abi_stable::library::__call_root_module_loader(root_module)
}

// SAFETY: the name is the one that `abi_stable` looks for, and one library defines it once.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static HEADER: abi_stable::library::LibHeader = {
    // SAFETY: `erased_root` returns the module type named here, with its layout to be checked.
    unsafe {
        abi_stable::library::LibHeader::from_constructor::<PluginRootRef>(
            erased_root,
            abi_stable::library::CheckTypeLayout::Yes,
        )
    }
};
