//! What the tests of a pass need: kernels built by hand, a small target, and a way to run the pass.
//!
//! ```
//! use pipewright_abi::testing::{Fixture, KernelBuilder};
//!
//! let mut k = KernelBuilder::new();
//! let (input, tile) = (k.parameter(0), k.tile(0));
//! let load = k.instr("MTE2", &[input], &[tile]);
//! k.repeat(|k| {
//!     k.instr("V", &[tile], &[tile]);
//! });
//! let mut fixture = Fixture::new(k.finish());
//! fixture.pair("MTE2", "V", load, load.next());
//! // fixture.run::<MyPass>(&[("option", true.into())]) runs a pass on kernel and plan.
//! assert_eq!(fixture.skeleton(), "\
//! MTE2 n0
//! set MTE2>V
//! wait MTE2>V
//! loop n1
//!   V n2
//! end n3
//! ");
//! ```
//!
//! What must hold: kernels built here are well formed; a fixture's plan is validated after every pass, as the host
//! would, so a test cannot pass with a plan that the host refuses. Misuse (an unknown pipe name) panics: this is
//! for tests.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::artifact::{self, Evidence};
use crate::column::{Column, Columns, OwnedColumn};
use crate::contract::Contract;
use crate::hazard::HazardData;
use crate::kernel::{
    Access, Bystander, Kernel, KernelData, KernelFacts, Node, Region, Root, Rotation, access_mode,
    kernel_flag, node_flag, node_kind, region_flag,
};
use crate::pass::{OptionSpec, OptionValue, Pass, PassContext, PassError, Remark, Unit};
use crate::placement::{Statement, around, tail};
use crate::plan::{
    Anchor, Edit, EditRecord, Entry, NO_EVENT, PlanError, Position, Role, SyncPlan, group_flag,
};
use crate::target::{Facts, Pipe, ReservedIds, Space, Target, TargetData, pipe_flag, space_flag};
use crate::{GroupId, NodeId, OpId, PipeId, Range, RegionId, RootId, SpaceId};

/// Bytes of a tile made by [`KernelBuilder::tile`].
pub const TILE_BYTES: u64 = 4096;

/// A target like A3: its pipes, 8 event ids with id 7 reserved for V>S, S>V and MTE2>V, its spaces; no operations.
pub fn target() -> TargetData {
    let mut target = TargetData::default();
    for name in ["S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX", "ALL"] {
        let flags = match name {
            "S" => pipe_flag::FLAGS | pipe_flag::SCALAR,
            "ALL" => pipe_flag::ALL,
            _ => pipe_flag::FLAGS,
        };
        let symbol = target.strings.intern(&format!("PIPE_{name}"));
        let name = target.strings.intern(name);
        target.tables.pipes.push(Pipe { name, symbol, flags: flags | pipe_flag::CUBE | pipe_flag::VECTOR });
    }
    for name in ["gm", "vec", "mat", "left", "right", "acc", "bias", "scaling"] {
        let flags = match name {
            "gm" => space_flag::GLOBAL,
            "acc" => space_flag::ACCUMULATOR,
            _ => 0,
        };
        let name = target.strings.intern(name);
        target.tables.spaces.push(Space { name, tile: name, align: 32, flags, ..Default::default() });
        target.tables.scratch.push(0);
        target.tables.settled.push(0);
    }
    for (src, dst) in [("V", "S"), ("S", "V"), ("MTE2", "V")] {
        let [src, dst] = [src, dst].map(|p| target.view().pipe(p).expect("just added"));
        target.tables.reserved.push(ReservedIds { src, dst, mask: 1 << 7 });
    }
    let name = target.strings.intern("test");
    target.tables.facts.push(Facts { name, event_ids: 8, flag_model: 0 });
    target.build_index();
    target
}

/// Builds a kernel node by node.
#[derive(Debug)]
pub struct KernelBuilder {
    kernel: KernelData,
    target: TargetData,
    regions: HashMap<Region, RegionId>,
    roots: HashMap<(SpaceId, u64), RootId>,
    enclosing: Vec<NodeId>,
}

impl Default for KernelBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl KernelBuilder {
    /// A kernel without nodes.
    pub fn new() -> Self {
        let facts = KernelFacts { function: OpId(0), flags: 0 };
        Self {
            kernel: KernelData { facts: vec![facts], ..Default::default() },
            target: target(),
            regions: HashMap::new(),
            roots: HashMap::new(),
            enclosing: Vec::new(),
        }
    }

    /// Tile `index` of vector memory: [`TILE_BYTES`] at address `index * TILE_BYTES`, a root of its own.
    pub fn tile(&mut self, index: u32) -> RegionId {
        self.local("vec", u64::from(index) * TILE_BYTES)
    }

    /// Tile `index` of the accumulators.
    pub fn accumulator(&mut self, index: u32) -> RegionId {
        self.local("acc", u64::from(index) * TILE_BYTES)
    }

    /// Tile of the space `space` at `address`, a root of its own.
    pub fn local(&mut self, space: &str, address: u64) -> RegionId {
        let (space, root) = (self.space(space), self.root(space, address));
        self.region(Region {
            size: TILE_BYTES,
            address,
            row_bytes: TILE_BYTES,
            pitch: TILE_BYTES,
            rows: 1,
            space,
            root,
            flags: region_flag::KNOWN_ADDRESS,
            ..Default::default()
        })
    }

    /// Parameter `index`: global memory of unknown size.
    pub fn parameter(&mut self, index: u32) -> RegionId {
        let (space, root) = (self.space("gm"), self.root("gm", u64::from(index)));
        self.region(Region { space, root, ..Default::default() })
    }

    /// Any region. Global and accumulator flags are set from its space. Equal regions get equal ids.
    pub fn region(&mut self, mut region: Region) -> RegionId {
        let flags = self.target.tables.spaces[region.space.index()].flags;
        for (space, bit) in
            [(space_flag::GLOBAL, region_flag::GLOBAL), (space_flag::ACCUMULATOR, region_flag::ACCUMULATOR)]
        {
            region.flags |= if flags & space != 0 { bit } else { 0 };
        }
        let regions = &mut self.kernel.regions;
        *self.regions.entry(region).or_insert_with(|| {
            regions.push(region);
            RegionId::from_index(regions.len() - 1)
        })
    }

    /// The space of that name.
    pub fn space(&self, name: &str) -> SpaceId {
        self.target.view().space(name).unwrap_or_else(|| panic!("no space {name}"))
    }

    /// The root of whatever stands at `address` of `space`.
    pub fn root(&mut self, space: &str, address: u64) -> RootId {
        let space = self.space(space);
        let roots = &mut self.kernel.roots;
        *self.roots.entry((space, address)).or_insert_with(|| {
            roots.push(Root::default());
            RootId::from_index(roots.len() - 1)
        })
    }

    /// Appends an instruction of `pipe`.
    pub fn instr(&mut self, pipe: &str, reads: &[RegionId], writes: &[RegionId]) -> NodeId {
        let pipe = self.target.view().pipe(pipe).unwrap_or_else(|| panic!("no pipe {pipe}"));
        let accesses = self.accesses(reads, writes);
        self.push(Node { kind: node_kind::INSTRUCTION, pipe, accesses, ..Default::default() })
    }

    /// Says that the instruction accesses the `tiles` in this mode through argument `argument` of the loop right around it, which
    /// hands them on in turn: each argument gets what the next one stood for, the last one what the first did.
    pub fn in_turn(&mut self, node: NodeId, tiles: &[RegionId], mode: u32, argument: u32) {
        let around = self.kernel.nodes[node.index()].parent;
        self.in_turn_of(node, tiles, mode, argument, around);
    }

    /// The same of the loop that begins at `loop_begin`.
    pub fn in_turn_of(
        &mut self,
        node: NodeId,
        tiles: &[RegionId],
        mode: u32,
        argument: u32,
        loop_begin: NodeId,
    ) {
        let source = (argument + 1) % tiles.len() as u32;
        for index in self.kernel.nodes[node.index()].accesses.indices() {
            let Access { region, mode: of_access } = self.kernel.accesses[index];
            let slot = tiles.iter().position(|&tile| tile == region && of_access == mode);
            self.kernel.rotations.extend(slot.map(|slot| Rotation {
                access: index as u32,
                loop_begin,
                argument,
                source,
                slot: slot as u32,
                mode,
            }));
        }
    }

    /// Appends an operation that runs on no pipe; it is no node.
    pub fn bystander(&mut self, reads: &[RegionId], writes: &[RegionId]) {
        let accesses = self.accesses(reads, writes);
        let before = NodeId::from_index(self.kernel.nodes.len());
        self.kernel.bystanders.push(Bystander { before, accesses, ..Default::default() });
    }

    fn accesses(&mut self, reads: &[RegionId], writes: &[RegionId]) -> Range {
        let start = self.kernel.accesses.len();
        for (regions, mode) in [(reads, access_mode::READ), (writes, access_mode::WRITE)] {
            self.kernel.accesses.extend(regions.iter().map(|&region| Access { region, mode }));
        }
        Range::new(start, self.kernel.accesses.len())
    }

    /// Appends a loop around what `body` appends. Returns its loop-end.
    pub fn repeat(&mut self, body: impl FnOnce(&mut Self)) -> NodeId {
        let begin = self.push(Node { kind: node_kind::LOOP_BEGIN, ..Default::default() });
        self.enclosing.push(begin);
        body(self);
        self.enclosing.pop();
        let end = self.push(Node { kind: node_kind::LOOP_END, ..Default::default() });
        for node in [begin, end] {
            let node = &mut self.kernel.nodes[node.index()];
            (node.begin, node.end) = (begin, end);
        }
        end
    }

    /// Appends a branch with what the two functions append as its parts. Returns its if-end.
    pub fn branch(&mut self, then: impl FnOnce(&mut Self), otherwise: impl FnOnce(&mut Self)) -> NodeId {
        let begin = self.push(Node { kind: node_kind::IF_BEGIN, ..Default::default() });
        self.enclosing.push(begin);
        then(self);
        self.push(Node { kind: node_kind::PLACEHOLDER, ..Default::default() });
        self.enclosing.pop();
        let middle = self.push(Node { kind: node_kind::ELSE_BEGIN, ..Default::default() });
        self.enclosing.push(begin);
        otherwise(self);
        self.push(Node { kind: node_kind::PLACEHOLDER, ..Default::default() });
        self.enclosing.pop();
        let end = self.push(Node { kind: node_kind::IF_END, ..Default::default() });
        for node in [begin, middle, end] {
            let node = &mut self.kernel.nodes[node.index()];
            (node.begin, node.middle, node.end) = (begin, middle, end);
        }
        end
    }

    /// Marks the function as one that has flags in its source.
    pub fn explicit_sync(&mut self) {
        self.kernel.facts[0].flags |= kernel_flag::EXPLICIT_SYNC;
    }

    /// Marks the newest instruction, and so the function, as gather or scatter.
    pub fn irregular(&mut self) {
        self.kernel.facts[0].flags |= kernel_flag::IRREGULAR;
        if let Some(node) = self.kernel.nodes.last_mut() {
            node.flags |= node_flag::IRREGULAR;
        }
    }

    /// The kernel.
    pub fn finish(self) -> KernelData {
        self.kernel
    }

    fn push(&mut self, node: Node) -> NodeId {
        let parent = self.enclosing.last().copied().unwrap_or_default();
        self.kernel.nodes.push(Node { parent, ..node });
        NodeId::from_index(self.kernel.nodes.len() - 1)
    }
}

/// A kernel with its plan, on which passes run one after the other.
#[derive(Debug)]
pub struct Fixture {
    /// The kernel.
    pub kernel: KernelData,
    /// The target; [`target`] unless replaced.
    pub target: TargetData,
    /// The plan as of now.
    pub plan: SyncPlan,
    /// Remarks of all passes so far.
    pub remarks: Vec<Remark>,
    /// Statistics of the last pass.
    pub statistics: Vec<(String, i64)>,
    columns: Vec<OwnedColumn>,
}

impl Fixture {
    /// A kernel with an empty plan.
    pub fn new(kernel: KernelData) -> Self {
        Self {
            plan: SyncPlan::new(kernel.nodes.len()),
            kernel,
            target: target(),
            remarks: Vec::new(),
            statistics: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// Runs a pass, which is lent what it declares and nothing else. Options that are not given have their default value.
    ///
    /// # Panics
    /// If an option is unknown, of another type or out of its range, if the pass does what it does not declare, if the
    /// edits do not lead from the old plan to the new one, or if the new plan or an artifact is not well formed.
    pub fn run<P: Pass>(&mut self, options: &[(&str, OptionValue)]) -> Result<(), PassError> {
        let info = P::info();
        let contract = Contract::of(&info);
        let options = values(info.options, options);

        let lent: Vec<Column<'_>> = self.columns.iter().filter_map(OwnedColumn::borrow).collect();
        let lent: Vec<Column<'_>> =
            lent.into_iter().filter(|column| contract.lends_column(column.id.as_str())).collect();
        let kernel = if contract.lends("kernel") { self.kernel.view() } else { Kernel::empty() };
        let seen = self.blanked(&contract);
        let unit = Unit::new(kernel, seen.clone(), Columns::new(&lent));
        let shared = Columns::new(&[]);
        let mut cx = PassContext::new(contract.clone(), vec![unit], self.target.view(), shared, options);
        let result = P::run(&mut cx);

        let (mut applied, mut seen) = (self.plan.clone(), seen);
        for &edit in &cx.edits {
            let record = EditRecord::from(edit);
            let edit = Edit::try_from(record).unwrap_or_else(|e| panic!("{}: {e}", P::NAME));
            applied.apply(edit).unwrap_or_else(|e| panic!("{}: {e}", P::NAME));
            if contract.lends_plans() {
                seen.apply(edit).unwrap_or_else(|e| panic!("{}: {e}", P::NAME));
            }
        }
        if contract.lends_plans() {
            assert_eq!(seen, *cx.plan(), "{}: edits give another plan than the pass saw", P::NAME);
        }
        let (columns, remarks, statistics) = (cx.columns, cx.remarks, cx.statistics);
        result?;
        applied
            .validate(&self.kernel.view(), &self.target.view())
            .unwrap_or_else(|e| panic!("{}: {e}", P::NAME));
        self.plan = applied;
        let written: Vec<String> = columns.iter().map(|column| column.id.to_string()).collect();
        self.columns.extend(columns);
        self.check_columns(&written).unwrap_or_else(|e| panic!("{}: {e}", P::NAME));
        self.remarks.extend(remarks);
        self.statistics = statistics;
        Ok(())
    }

    /// The plan as the pass is lent it.
    fn blanked(&self, contract: &Contract) -> SyncPlan {
        if !contract.lends_plans() {
            return SyncPlan::default();
        }
        let mut columns = self.plan.to_columns();
        contract.blank(&mut columns);
        SyncPlan::from_columns(columns.view()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Checks the artifacts of the columns, as the host would.
    fn check_columns(&self, written: &[String]) -> Result<(), PlanError> {
        let lent: Vec<Column<'_>> = self.columns.iter().filter_map(OwnedColumn::borrow).collect();
        let evidence = Evidence {
            kernel: self.kernel.view(),
            plan: &self.plan,
            target: self.target.view(),
            columns: Columns::new(&lent),
        };
        artifact::check_columns(&evidence, written.iter().map(String::as_str))
    }

    /// The kernel as a pass sees it.
    pub fn view(&self) -> Kernel<'_> {
        self.kernel.view()
    }

    /// Hands overlaps to the passes that follow.
    pub fn write_hazards(&mut self, hazards: &HazardData) {
        hazards.view().copy_out(&mut self.columns);
    }

    /// Hands a column to the passes that follow, as a pass before them would.
    pub fn write_column<T: bytemuck::Pod>(&mut self, id: &str, records: &[T]) {
        self.columns.push(OwnedColumn::new(id, records));
    }

    /// The records of a column that a pass wrote, if there are any.
    pub fn column<T: bytemuck::Pod>(&self, id: &'static str) -> Option<Vec<T>> {
        let lent: Vec<Column<'_>> = self.columns.iter().filter_map(OwnedColumn::borrow).collect();
        Columns::new(&lent).get(id).ok().map(<[T]>::to_vec)
    }

    /// The value of a statistic of the last pass; 0 if it did not count it.
    pub fn statistic(&self, name: &str) -> i64 {
        self.statistics.iter().find(|(n, _)| n == name).map_or(0, |(_, value)| *value)
    }

    /// Makes an edit of the plan.
    ///
    /// # Panics
    /// If the edit breaks a rule.
    pub fn edit(&mut self, edit: Edit) {
        self.plan.apply(edit).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Adds a forward pair.
    pub fn pair(&mut self, src: &str, dst: &str, set_after: NodeId, wait_before: NodeId) -> GroupId {
        self.carried_pair(src, dst, set_after, wait_before, NodeId::NONE)
    }

    /// Adds a pair carried by the loop that ends at `carrier`. Buffers of either end become its roots.
    pub fn carried_pair(
        &mut self,
        src: &str,
        dst: &str,
        set_after: NodeId,
        wait_before: NodeId,
        carrier: NodeId,
    ) -> GroupId {
        let group = GroupId::from_index(self.plan.groups().len());
        let (src, dst) = (self.pipe(src), self.pipe(dst));
        self.edit(Edit::AddPair { src, dst, carrier, flags: 0 });
        self.place(group, Role::Set, Anchor::after(set_after));
        self.place(group, Role::Wait, Anchor::before(wait_before));
        group
    }

    /// Adds a barrier before a node.
    pub fn barrier(&mut self, pipe: &str, before: NodeId) -> GroupId {
        let group = GroupId::from_index(self.plan.groups().len());
        let pipe = self.pipe(pipe);
        self.edit(Edit::AddBarrier { pipe, carrier: NodeId::NONE, flags: 0 });
        self.place(group, Role::Barrier, Anchor::before(before));
        group
    }

    /// Adds the tail barrier after a node.
    pub fn tail(&mut self, after: NodeId) -> GroupId {
        let group = GroupId::from_index(self.plan.groups().len());
        let pipe = self.pipe("ALL");
        self.edit(Edit::AddBarrier { pipe, carrier: NodeId::NONE, flags: group_flag::TAIL });
        self.place(group, Role::Barrier, Anchor::after(after));
        group
    }

    /// Puts an end of a group at the back of an anchor's list.
    pub fn place(&mut self, group: GroupId, role: Role, anchor: Anchor) {
        self.edit(Edit::Place { entry: Entry { group, role }, anchor, position: Position::Back });
    }

    /// The pipe of that name.
    pub fn pipe(&self, name: &str) -> PipeId {
        self.target.view().pipe(name).unwrap_or_else(|| panic!("no pipe {name}"))
    }

    /// Kernel and plan as text, one statement or node a line; see [`skeleton`].
    pub fn skeleton(&self) -> String {
        skeleton(&self.view(), &self.plan, &self.target.view())
    }

    /// Only the synchronization of [`Fixture::skeleton`], without indentation, `; ` between statements.
    pub fn sync(&self) -> String {
        let text = self.skeleton();
        let is_sync = |line: &&str| ["set ", "wait ", "bar "].iter().any(|p| line.starts_with(p));
        text.lines().map(str::trim_start).filter(is_sync).collect::<Vec<_>>().join("; ")
    }
}

/// A value for each option.
fn values(specs: Vec<OptionSpec>, given: &[(&str, OptionValue)]) -> Vec<(String, OptionValue)> {
    for (name, value) in given {
        let spec = specs.iter().find(|s| s.name == *name).unwrap_or_else(|| panic!("no option {name}"));
        assert_eq!(spec.ty, value.option_type(), "type of option {name}");
        if let (Some((min, max)), OptionValue::Int(value)) = (spec.range, value) {
            assert!((min..=max).contains(value), "the option {name} takes {min} to {max}, not {value}");
        }
    }
    let value = |name: &str| given.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    specs.into_iter().map(|s| (s.name.clone(), value(&s.name).unwrap_or(s.default))).collect()
}

/// Kernel and plan as text: `MTE2 n0` for an instruction, `loop`, `if`, `else`, `end` for constructs, and between
/// them the statements `set MTE2>V#0`, `wait MTE2>V#0` (without `#` while there is no event id), `bar V`, and last
/// `bar ALL (tail)`.
pub fn skeleton(kernel: &Kernel<'_>, plan: &SyncPlan, target: &Target<'_>) -> String {
    let mut text = String::new();
    let mut depth = 0usize;
    for (id, node) in kernel.node_ids().zip(kernel.nodes) {
        let [before, after] = around(plan, target, id);
        let line = match node.kind {
            node_kind::INSTRUCTION => format!("{} {id}", target.pipe_name(node.pipe)),
            node_kind::LOOP_BEGIN => format!("loop {id}"),
            node_kind::IF_BEGIN => format!("if {id}"),
            node_kind::ELSE_BEGIN => format!("else {id}"),
            node_kind::LOOP_END | node_kind::IF_END => format!("end {id}"),
            _ => String::new(),
        };
        let closes = matches!(node.kind, node_kind::LOOP_END | node_kind::ELSE_BEGIN | node_kind::IF_END);
        let opens = matches!(node.kind, node_kind::LOOP_BEGIN | node_kind::IF_BEGIN | node_kind::ELSE_BEGIN);
        statements_at(&mut text, depth, &before, target);
        depth -= usize::from(closes);
        if !line.is_empty() {
            _ = writeln!(text, "{:1$}{line}", "", depth * 2);
        }
        depth += usize::from(opens);
        statements_at(&mut text, depth, &after, target);
    }
    if tail(plan).is_some() {
        text.push_str("bar ALL (tail)\n");
    }
    text
}

fn statements_at(text: &mut String, depth: usize, list: &[(GroupId, Statement)], target: &Target<'_>) {
    for (_, statement) in list {
        let line = match *statement {
            Statement::Set { src, dst, event_id } => flag("set", src, dst, event_id, target),
            Statement::Wait { src, dst, event_id } => flag("wait", src, dst, event_id, target),
            Statement::Barrier { pipe } => format!("bar {}", target.pipe_name(pipe)),
        };
        _ = writeln!(text, "{:1$}{line}", "", depth * 2);
    }
}

fn flag(verb: &str, src: PipeId, dst: PipeId, event_id: u32, target: &Target<'_>) -> String {
    let id = if event_id == NO_EVENT { String::new() } else { format!("#{event_id}") };
    format!("{verb} {}>{}{id}", target.pipe_name(src), target.pipe_name(dst))
}
