//! What each step of a program costs.
//!
//! A price is worked out once for each instruction in the program text, from the cost table's entry for it and the
//! tiles that it touches. What must hold: prices are whole cycles, rounded up, and every figure that went into one is
//! noted.

use std::collections::{BTreeSet, HashMap};

use pipewright_abi::ir::{DYNAMIC, Module, Operand, Type, type_kind};
use pipewright_abi::target::{Target, entry_flag, operand_flag, space_flag};
use pipewright_abi::{OpId, SpaceId};

use super::cost::{CostTable, Meter, ROUTE};
use crate::verify::program::{Program, Step, StepIndex};

/// What the steps of one program cost, in cycles.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// For each step that is an instruction what it costs.
    pub steps: Vec<Price>,
    /// For each pipe the entries of its queue.
    pub queues: Vec<usize>,
    /// For each pipe what its barrier costs after earlier work is done.
    pub barriers: Vec<u64>,
    /// The same for a barrier of all pipes.
    pub barrier_all: u64,
    /// What a set costs its pipe.
    pub set: u64,
    /// From a set until its flag can be seen.
    pub set_delay: u64,
    /// What a wait costs its pipe once the flag is set.
    pub wait: u64,
    /// What handing out one instruction costs the scalar unit.
    pub dispatch: u64,
    /// What going on with a loop or into a branch costs the scalar unit.
    pub branch: u64,
    /// Figures of the table that prices rest on.
    pub used: BTreeSet<usize>,
    /// Operations that have no entry in the table.
    pub unlisted: BTreeSet<String>,
}

/// What one instruction costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Cycles more if its pipe stood idle before it.
    pub head: u64,
    /// Cycles until its pipe can start the next one.
    pub busy: u64,
    /// Cycles from then until its effects are there.
    pub tail: u64,
}

impl Prices {
    /// The prices of the steps of `program`.
    pub fn new(program: &Program, module: &Module<'_>, target: &Target<'_>, table: &CostTable) -> Self {
        let mut pricer = Pricer {
            program,
            module,
            target,
            meter: Meter::new(table),
            unlisted: BTreeSet::new(),
            known: HashMap::new(),
        };
        let steps = (0..program.steps.len()).map(|step| pricer.price(step)).collect();
        let meter = &mut pricer.meter;
        // A queue is as deep as the table says; one that it does not know never fills.
        let mut queues = Vec::new();
        let mut barriers = Vec::new();
        for pipe in &program.pipes {
            let queue = meter.read(&format!("queue.{pipe}"), "value") as usize;
            queues.push(if queue == 0 { usize::MAX } else { queue });
            let own = format!("sync.barrier-{pipe}");
            let entry = if table.has(&own) { &own } else { "sync.barrier" };
            barriers.push(whole(meter.read(entry, "cycles")));
        }
        let mut read = |entry: &str, number: &str| whole(meter.read(entry, number));
        Self {
            steps,
            queues,
            barriers,
            barrier_all: read("sync.barrier-all", "cycles"),
            set: read("sync.set", "cycles"),
            set_delay: read("sync.set", "delay"),
            wait: read("sync.wait", "cycles"),
            dispatch: read("scalar.dispatch", "value"),
            branch: read("scalar.branch", "value"),
            used: pricer.meter.used,
            unlisted: pricer.unlisted,
        }
    }
}

/// A piece of memory that an operation names.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    /// The memory space, that of global memory for views, and its name.
    id: SpaceId,
    space: &'a str,
    /// Rows, columns and bits of an element; 0 for a view.
    rows: u64,
    cols: u64,
    bits: u64,
    /// Columns from one row to the next.
    pitch: u64,
    /// Name of the element type.
    element: &'a str,
}

impl Place<'_> {
    fn row_bytes(&self) -> u64 {
        (self.cols * self.bits).div_ceil(8)
    }
}

/// The memory that an operation reads and writes.
#[derive(Debug, Default)]
struct Places<'a> {
    reads: Vec<Place<'a>>,
    writes: Vec<Place<'a>>,
}

impl<'a> Places<'a> {
    /// The largest tile.
    fn largest(&self) -> Option<Place<'a>> {
        let all = self.reads.iter().chain(&self.writes);
        all.copied().max_by_key(|p| p.rows * p.row_bytes()).filter(|p| p.rows > 0)
    }
}

struct Pricer<'a> {
    program: &'a Program,
    module: &'a Module<'a>,
    target: &'a Target<'a>,
    meter: Meter<'a>,
    unlisted: BTreeSet<String>,
    /// What operations cost that were priced already, by name, types and pipe.
    known: HashMap<(u32, Vec<u32>, usize), Price>,
}

impl<'a> Pricer<'a> {
    fn price(&mut self, step: StepIndex) -> Price {
        let op = self.program.origins[step].op;
        let Step::Instruction { pipe, .. } = self.program.steps[step] else { return Price::default() };
        if op.index() >= self.module.t.ops.len() {
            return Price { busy: whole(self.meter.read("scalar.instruction", "value")), ..Price::default() };
        }
        let types = self.module.operands(op).iter().map(|o| self.module.value(o.value).ty.0).collect();
        let key = (self.module.op(op).name.0, types, pipe);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let places = self.places(op);
        let entry = self.entry(op, pipe, &places);
        let price = self.work_out(&entry, op, &places);
        self.known.insert(key, price);
        price
    }

    /// The entry of the cost table for an operation.
    fn entry(&mut self, op: OpId, pipe: usize, places: &Places<'_>) -> String {
        let name = self.module.op_name(op);
        let table = self.meter.table;
        let own = table.entry_of(name);
        let ends = (places.reads.first(), places.writes.first());
        if let (None | Some(ROUTE), (Some(from), Some(to))) = (own, ends) {
            let route = format!("{}>{}", from.space, to.space);
            let of_route = ["drain", "route"].map(|section| format!("{section}.{route}"));
            if let Some(entry) = of_route.into_iter().find(|e| table.has(e)) {
                return entry;
            }
        }
        match own {
            Some(ROUTE) | None => {}
            Some(own) => return own.into(),
        }
        let entry = table.default_of(&self.program.pipes[pipe]).unwrap_or("scalar.instruction");
        // The element type says more than the default for the multiplying pipe.
        let left = places.reads.iter().find(|p| self.target.space_is(p.id, space_flag::LEFT));
        let element = left.map_or("", |p| p.element);
        let typed = format!("matrix.{element}");
        if entry == "matrix.other" && table.has(&typed) {
            return typed;
        }
        self.unlisted.insert(name.to_owned());
        entry.into()
    }

    fn has_flag(&self, op: OpId, flag: u32) -> bool {
        let entry = self.target.t.entries.get(self.module.op(op).entry.index());
        entry.is_some_and(|e| e.flags & flag != 0)
    }

    /// The formula of the entry's section.
    fn work_out(&mut self, entry: &str, op: OpId, places: &Places<'_>) -> Price {
        let section = entry.split_once('.').map_or(entry, |(section, _)| section);
        let unit = |meter: &mut Meter<'_>, name: &str| meter.read(&format!("unit.{name}"), "value").max(1.0);
        let has_one_row = self.has_flag(op, entry_flag::ONE_ROW);
        let meter = &mut self.meter;
        let tile = places.largest();
        match (section, tile) {
            ("route", _) => {
                let block = unit(meter, "block") as u64;
                // A part may be taken out of a larger tile, or put into one.
                let ends = places.writes.first().into_iter().chain(places.reads.first());
                let moved = ends.filter(|p| p.rows > 0).min_by_key(|p| p.rows * p.row_bytes());
                let bytes = moved.map_or(0, |t| t.rows * t.row_bytes().div_ceil(block) * block);
                let busy = meter.read(entry, "startup") + bytes as f64 / meter.read(entry, "rate").max(1e-9);
                Price { busy: whole(busy), ..Price::default() }
            }
            ("drain", Some(_)) => {
                let Some(from) = places.reads.first() else { return Price::default() };
                let odd = from.cols.div_ceil(8).max(1);
                let odd = (odd >> odd.trailing_zeros()) as f64;
                let row = (from.row_bytes() as f64 / meter.read(entry, "rate").max(1e-9))
                    .max(meter.read(entry, "floor"));
                let row = row + meter.read(entry, "odd") * (odd - 1.0);
                let busy = meter.read(entry, "fixed") + from.rows as f64 * row;
                Price { busy: whole(busy), ..Price::default() }
            }
            ("matrix", Some(_)) => {
                let rows = unit(meter, "fractal-rows") as u64;
                let bytes = unit(meter, "fractal-bytes") as u64;
                let operand = |role| places.reads.iter().find(|p| self.target.space_is(p.id, role));
                let (Some(left), Some(right)) = (operand(space_flag::LEFT), operand(space_flag::RIGHT))
                else {
                    return Price { busy: whole(meter.read(entry, "head")), ..Price::default() };
                };
                let m = if has_one_row { 1 } else { left.rows };
                let fractals =
                    m.div_ceil(rows) * left.row_bytes().div_ceil(bytes) * right.cols.div_ceil(rows);
                let busy = meter.read(entry, "head") + meter.read(entry, "fractal") * fractals as f64;
                Price { busy: whole(busy), tail: whole(meter.read(entry, "tail")), head: 0 }
            }
            ("vector", Some(tile)) => {
                let repeat = unit(meter, "repeat") as u64;
                let contiguous = tile.pitch == tile.cols || tile.rows == 1;
                let bytes = if contiguous { tile.rows * tile.row_bytes() } else { tile.row_bytes() };
                let lines = if contiguous { 1 } else { tile.rows };
                let mut busy = meter.read(entry, "slope") * (lines * bytes.div_ceil(repeat)) as f64;
                if bytes % repeat != 0 {
                    busy += meter.read("unit.partial", "value");
                }
                let [head, tail] = ["head", "tail"].map(|number| whole(meter.read(entry, number)));
                Price { head, busy: whole(busy), tail }
            }
            ("rows", Some(tile)) => {
                let repeat = unit(meter, "repeat") as u64;
                let more = tile.row_bytes().div_ceil(repeat).max(1) as f64 - 1.0;
                let mut read = |number: &str| meter.read(entry, number);
                let row = read("row") + read("row-more") * more;
                let mut busy = tile.rows as f64 * row + read("base") + read("base-more") * more;
                if tile.row_bytes() < repeat {
                    busy += read("short");
                }
                Price { busy: whole(busy), ..Price::default() }
            }
            ("scalar", _) => Price { busy: whole(meter.read(entry, "value")), ..Price::default() },
            // Nothing is known of its size: the fixed part is all there is.
            _ => Price { busy: whole(meter.read(entry, "head").max(1.0)), ..Price::default() },
        }
    }

    fn places(&self, op: OpId) -> Places<'a> {
        let mut places = Places::default();
        let entry = self.module.op(op).entry;
        let specs = self.target.t.entries.get(entry.index()).map(|e| e.operands.of(self.target.t.operands));
        for &Operand { value, slot, .. } in self.module.operands(op) {
            let Some(place) = self.place(self.module.type_of(value)) else { continue };
            let flags = specs.and_then(|s| s.get(slot as usize)).map_or(0, |s| s.flags);
            if flags & operand_flag::READ != 0 {
                places.reads.push(place);
            }
            if flags & operand_flag::WRITE != 0 {
                places.writes.push(place);
            }
        }
        places
    }

    fn place(&self, ty: &'a Type) -> Option<Place<'a>> {
        let module = self.module;
        let element = module.t.types.get(ty.element.index());
        let (bits, name) = element.map_or((8, ""), |e| (u64::from(e.width.max(1)), module.str(e.text)));
        let extent = |dim: i64| u64::try_from(dim).unwrap_or(1);
        let physical: Vec<u64> = module.dims(ty).iter().map(|&d| extent(d)).collect();
        let pitch = physical.last().copied().unwrap_or(1);
        let rows = physical.iter().rev().skip(1).product();
        let place = |id, rows, cols| Place {
            id,
            space: self.target.space_name(id),
            rows,
            cols,
            bits,
            pitch,
            element: name,
        };
        let global = self.target.space_with(space_flag::GLOBAL);
        match ty.kind {
            type_kind::TILE => {
                let tile = module.tile(ty)?;
                let valid = |dim: i64, full: u64| if dim == DYNAMIC { full } else { extent(dim).min(full) };
                let (rows, cols) = (valid(tile.valid_rows, rows), valid(tile.valid_cols, pitch));
                Some(place(tile.space, rows, cols))
            }
            type_kind::MEMREF | type_kind::PTR => {
                let own = ty.space.get().and_then(|space| self.target.space_or_alias(module.str(space)));
                let space = own.or(global)?;
                let has_size =
                    ty.kind == type_kind::MEMREF && !self.target.space_is(space, space_flag::GLOBAL);
                Some(if has_size { place(space, rows, pitch) } else { place(space, 0, 0) })
            }
            type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW => Some(place(global?, 0, 0)),
            _ => None,
        }
    }
}

fn whole(cycles: f64) -> u64 {
    cycles.ceil().max(0.0) as u64
}
