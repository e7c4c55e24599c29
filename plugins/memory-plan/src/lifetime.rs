//! From when to when each buffer's content matters.
//!
//! A lifetime is one interval of *steps*: node `n` is step `2n + 1`, an operation that is no node stands at the even
//! step before the node that follows it. It spans all accesses of the buffer, and all of a loop whose next trip may
//! see what is in the buffer: the buffer is read in the loop before it is written whole, or the loop tests its
//! condition between two accesses. That is decided backwards over the accesses of one buffer, construct by construct,
//! so the time is linear in accesses times nesting depth.
//!
//! What must hold: wherever a byte of the buffer may still be read after a write, its lifetime covers the place.

use pipewright_abi::ir::{DYNAMIC, Module, TileType, type_kind};
use pipewright_abi::kernel::{Access, Kernel, access_mode, node_flag, node_kind};
use pipewright_abi::parts::{PartIndex, PartKind, Parts};
use pipewright_abi::target::{Target, entry_flag, operand_flag};
use pipewright_abi::{OpId, RegionId, RootId, ValueId};

/// A point in a function's flat list, see the module's text.
pub(crate) type Step = u32;

/// Steps from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lifetime {
    pub(crate) first: Step,
    pub(crate) last: Step,
}

impl Lifetime {
    pub(crate) fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The lifetime of a buffer that is never free.
pub(crate) fn whole_function(kernel: &Kernel<'_>) -> Lifetime {
    Lifetime { first: 0, last: 2 * kernel.nodes.len() as Step + 1 }
}

/// The lifetime of each root; none for one that nothing accesses. `carried` says which are handed to the next trip of a
/// loop around their allocation.
pub(crate) fn lifetimes(
    kernel: &Kernel<'_>,
    module: &Module<'_>,
    target: &Target<'_>,
    carried: &[bool],
) -> Vec<Option<Lifetime>> {
    let parts = Parts::new(kernel);
    let mut histories: Vec<History> =
        carried.iter().map(|&carried| History { carried, ..Default::default() }).collect();
    Recorder { kernel, module, target, parts: &parts, histories: &mut histories }.record();
    let end = whole_function(kernel).last;
    histories.iter().map(|history| history.lifetime(kernel, &parts, end)).collect()
}

/// All that happens to one root, in order.
#[derive(Debug, Default)]
struct History {
    events: Vec<Event>,
    /// Step and part of the operation that allocates it, if the kernel tells.
    allocated: Option<(Step, PartIndex)>,
    /// The region that is all of it.
    whole: Option<RegionId>,
    /// A loop around its allocation hands it to its next trip.
    carried: bool,
    /// Something other than the allocated value itself was accessed.
    viewed: bool,
    /// Its valid part may change.
    reshaped: bool,
    /// A handle of it outlives the accesses.
    escapes: bool,
    /// All of the tile is valid, so that an operation that writes it writes all of it.
    full: bool,
}

/// One operation's accesses of one root.
#[derive(Clone, Copy, Debug)]
struct Event {
    step: Step,
    part: PartIndex,
    reads: bool,
    /// Writes all of the tile by its own name, on every way through the part.
    fills: bool,
}

struct Recorder<'r, 'a> {
    kernel: &'r Kernel<'a>,
    module: &'r Module<'a>,
    target: &'r Target<'a>,
    parts: &'r Parts,
    histories: &'r mut [History],
}

impl Recorder<'_, '_> {
    /// Walks nodes and bystanders in program order.
    fn record(&mut self) {
        let (mut part, mut opened): (PartIndex, PartIndex) = (0, 0);
        let mut bystanders = self.kernel.bystanders.iter().peekable();
        for (id, node) in self.kernel.node_ids().zip(self.kernel.nodes) {
            let step = 2 * id.0;
            while let Some(bystander) = bystanders.next_if(|b| b.before <= id) {
                self.bystander(bystander.op, bystander.accesses.of(self.kernel.accesses), step, part);
            }
            part = self.parts.of(id);
            match node.kind {
                node_kind::INSTRUCTION => {
                    let accesses = self.kernel.accesses(id);
                    self.accesses(
                        node.op,
                        accesses,
                        Event { step: step + 1, part, reads: false, fills: true },
                    );
                }
                node_kind::LOOP_BEGIN | node_kind::IF_BEGIN | node_kind::ELSE_BEGIN => {
                    opened += 1;
                    part = opened;
                }
                _ => {}
            }
        }
        let step = 2 * self.kernel.nodes.len() as Step;
        for bystander in bystanders {
            self.bystander(bystander.op, bystander.accesses.of(self.kernel.accesses), step, part);
        }
    }

    fn bystander(&mut self, op: OpId, accesses: &[Access], step: Step, part: PartIndex) {
        if let [access] = accesses
            && access.mode == 0
        {
            return self.allocation(access.region, step, part);
        }
        self.accesses(op, accesses, Event { step, part, reads: false, fills: false });
    }

    fn allocation(&mut self, region: RegionId, step: Step, part: PartIndex) {
        let root = self.kernel.region(region).root;
        let ty = self.module.type_of(self.kernel.roots[root.index()].value);
        let full = |tile: &TileType| {
            let dims = self.module.dims(ty);
            dims == [tile.valid_rows, tile.valid_cols] && !dims.contains(&DYNAMIC)
        };
        let history = &mut self.histories[root.index()];
        history.full = self.module.tile(ty).is_some_and(full);
        history.allocated = Some((step, part));
        history.whole = Some(region);
    }

    fn accesses(&mut self, op: OpId, accesses: &[Access], event: Event) {
        let always_runs = self.module.parent(op) == self.owner(event.part);
        let entry = self.module.t.ops.get(op.index()).and_then(|o| o.entry.get());
        let entry = entry.map(|e| self.target.t.entries[e.index()]);
        let partial =
            entry.is_none_or(|e| e.flags & (entry_flag::PARTIAL_WRITE | entry_flag::IRREGULAR) != 0);
        let moved = self.elements_moved(op);
        let escapes = entry.is_some_and(|e| {
            use pipewright_abi::target::operand_kind::{ANY, EVENT, SESSION};
            let keeps = |kinds: u32| kinds != ANY && kinds & (EVENT | SESSION) != 0;
            e.results.of(self.target.t.operands).iter().any(|r| keeps(r.kinds))
        });
        for access in accesses {
            let root = self.kernel.region(access.region).root;
            let value = self.kernel.roots[root.index()].value;
            if value.is_none() {
                continue;
            }
            let named = self.names(op, value);
            let history = &mut self.histories[root.index()];
            let reads = access.mode & access_mode::READ != 0;
            let writes = access.mode & access_mode::WRITE != 0;
            history.viewed |= named.is_none() || history.whole != Some(access.region);
            history.reshaped |= writes && !event.fills;
            history.escapes |= escapes;
            let fills = writes && event.fills && always_runs && !partial && named == Some(true);
            let fills = fills && moved.is_none_or(|moved| moved >= elements(self.module, value));
            match history.events.last_mut().filter(|last| last.step == event.step && event.step % 2 == 1) {
                Some(last) => {
                    last.reads |= reads;
                    last.fills |= fills;
                }
                None => history.events.push(Event { reads, fills, ..event }),
            }
        }
    }

    /// Whether the operation names the value itself, and if so, whether it writes it.
    fn names(&self, op: OpId, value: ValueId) -> Option<bool> {
        let entry = self.module.t.ops.get(op.index())?.entry.get()?;
        let specs = self.target.t.entries[entry.index()].operands.of(self.target.t.operands);
        let operands = self.module.operands(op).iter().filter(|o| o.value == value);
        let writes =
            operands.map(|o| specs.get(o.slot as usize).is_some_and(|s| s.flags & operand_flag::WRITE != 0));
        writes.reduce(|a, b| a || b)
    }

    /// How many elements at most come out of global memory, if the operation reads a view of known shape.
    fn elements_moved(&self, op: OpId) -> Option<u64> {
        let types = self.module.operands(op).iter().map(|o| self.module.type_of(o.value));
        let views = types.filter(|ty| matches!(ty.kind, type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW));
        views.filter_map(|ty| count(self.module.dims(ty))).max()
    }

    /// The operation in whose body a part's operations stand, if nothing stands between.
    fn owner(&self, part: PartIndex) -> OpId {
        let construct = self.parts.part(part).construct;
        if construct.is_none() { self.kernel.function() } else { self.kernel.node(construct).op }
    }
}

impl History {
    fn lifetime(&self, kernel: &Kernel<'_>, parts: &Parts, end: Step) -> Option<Lifetime> {
        let (first, last) = (self.events.first()?.step, self.events.last()?.step);
        let fillable = self.allocated.is_some() && !self.reshaped && (self.full || !self.viewed);
        let mut sweep = Sweep { kernel, parts, fillable, span: Lifetime { first, last } };
        sweep.live_before(&self.events, self.scope(parts), false);
        if self.escapes {
            sweep.span.last = end;
            self.cover_loops(&mut sweep.span, parts);
        }
        Some(sweep.span)
    }

    /// The part outside of which nobody knows the buffer: the innermost loop's body that holds its allocation and all
    /// of its accesses. What it holds at the end of a trip, the next one cannot see.
    fn scope(&self, parts: &Parts) -> PartIndex {
        let Some((_, part)) = self.allocated.filter(|_| !self.carried) else { return 0 };
        let inside = |part: PartIndex| {
            let part = parts.part(part);
            let ends = [self.events.first(), self.events.last()];
            ends.into_iter().flatten().all(|e| 2 * part.begin.0 < e.step && e.step <= 2 * part.end.0)
        };
        let mut scope = parts.enclosing(part, |kind| kind == PartKind::Loop);
        while scope != 0 && !inside(scope) {
            scope = parts.enclosing(parts.part(scope).parent, |kind| kind == PartKind::Loop);
        }
        scope
    }

    /// With a lifetime to the end of the function, each loop around an access is seen again by its next trip.
    fn cover_loops(&self, span: &mut Lifetime, parts: &Parts) {
        for event in &self.events {
            let mut part = event.part;
            while part != 0 {
                if parts.part(part).kind == PartKind::Loop {
                    span.first = span.first.min(2 * parts.part(part).construct.0);
                }
                part = parts.part(part).parent;
            }
        }
    }
}

/// The backward sweep over the accesses of one root.
struct Sweep<'s, 'a> {
    kernel: &'s Kernel<'a>,
    parts: &'s Parts,
    fillable: bool,
    span: Lifetime,
}

impl Sweep<'_, '_> {
    /// Whether the content matters at the start of `part`, all of whose events are given, if at its end it matters as
    /// `live` says. Widens the span to loops whose next trip sees the content.
    fn live_before(&mut self, events: &[Event], part: PartIndex, live: bool) -> bool {
        let (mut live, mut rest) = (live, events);
        while let Some(&last) = rest.last() {
            if last.part == part {
                live = last.reads || live && !(last.fills && self.fillable);
                rest = &rest[..rest.len() - 1];
                continue;
            }
            let mut inner = last.part;
            while self.parts.part(inner).parent != part {
                inner = self.parts.part(inner).parent;
            }
            let construct = *self.parts.part(inner);
            let start = |begin: Step| rest.partition_point(|e| e.step <= begin);
            let (outside, inside) = rest.split_at(start(2 * construct.construct.0));
            rest = outside;
            live = if construct.kind == PartKind::Loop {
                self.live_before_loop(inside, inner, live)
            } else {
                let middle = self.kernel.node(construct.construct).middle;
                let (then, otherwise) = inside.split_at(inside.partition_point(|e| e.step <= 2 * middle.0));
                let [then, otherwise] = [then, otherwise].map(|arm| match arm.first() {
                    Some(&event) => {
                        let mut arm_part = event.part;
                        while self.parts.part(arm_part).parent != part {
                            arm_part = self.parts.part(arm_part).parent;
                        }
                        self.live_before(arm, arm_part, live)
                    }
                    None => live,
                });
                then || otherwise
            };
        }
        live
    }

    /// A trip may be the last one, or be followed by another that sees what it finds.
    fn live_before_loop(&mut self, events: &[Event], body: PartIndex, live: bool) -> bool {
        let part = *self.parts.part(body);
        let seen = self.live_before(events, body, live);
        // The last trip of a `while` ends in the middle of the body, before what would fill the buffer anew.
        let is_while = self.kernel.node(part.construct).flags & node_flag::WHILE != 0;
        if seen || live && is_while {
            self.span.first = self.span.first.min(2 * part.construct.0 + 1);
            self.span.last = self.span.last.max(2 * part.construct_end.0 + 1);
        }
        seen || live
    }
}

/// The number of valid elements of a tile; 0 if it is known only at run time.
fn elements(module: &Module<'_>, tile: ValueId) -> u64 {
    let tile = module.tile(module.type_of(tile));
    tile.and_then(|t| count(&[t.valid_rows, t.valid_cols])).unwrap_or(0)
}

/// The product of the extents, if all are known.
fn count(extents: &[i64]) -> Option<u64> {
    extents
        .iter()
        .try_fold(1, |product: u64, &extent| Some(product.saturating_mul(u64::try_from(extent).ok()?)))
}

/// The root that stands for each value that is allocated without an address, by the allocations that the kernel lists.
pub(crate) fn allocated_roots(kernel: &Kernel<'_>) -> impl Iterator<Item = (OpId, RootId)> {
    kernel.bystanders.iter().filter_map(|bystander| match bystander.accesses.of(kernel.accesses) {
        [access] if access.mode == 0 => Some((bystander.op, kernel.region(access.region).root)),
        _ => None,
    })
}
