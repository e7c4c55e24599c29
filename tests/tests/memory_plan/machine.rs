//! A machine that runs a planned program twice at once: with a memory of its own for each buffer, and with the one
//! memory that the plan shares. Both must read the same, on every path.

use std::collections::HashMap;

use pipewright_abi::ir::Module;
use pipewright_abi::{BlockId, OpId, ValueId};

/// Bytes of a cell: a row of the tiles here.
const CELL: u64 = 32;

/// Cells of the space.
const CELLS: u64 = 196_608 / CELL;

/// What a write leaves in a cell: its number, from 1.
type Token = u32;

/// A tile at run time: cells `first .. first + cells` of a buffer.
#[derive(Clone, Copy, Debug)]
struct View {
    /// Number of the buffer, a new one each time that an allocation runs.
    buffer: usize,
    /// Where the buffer begins in the shared memory, in cells.
    address: u64,
    first: u64,
    cells: u64,
}

/// Runs the function `kernel` once, on a path that `choices` picks. Fails with the first read that differs.
pub(crate) fn run(module: Module<'_>, choices: u64) -> Result<(), String> {
    let kernel = module.functions().find(|&f| module.symbol(f) == "kernel").expect("a kernel");
    let mut machine = Machine {
        module,
        choices,
        values: HashMap::new(),
        own: Vec::new(),
        shared: vec![0; CELLS as usize],
        written: 0,
        steps: 0,
    };
    machine.block(module.entry_block(kernel, 0)).map(|_| ())
}

struct Machine<'a> {
    module: Module<'a>,
    choices: u64,
    values: HashMap<ValueId, View>,
    /// The cells of each buffer; 0 where nothing was written.
    own: Vec<Vec<Token>>,
    shared: Vec<Token>,
    written: Token,
    steps: usize,
}

impl Machine<'_> {
    fn choose(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.choices = self.choices.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.choices;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// Runs a block; what its terminator hands on.
    fn block(&mut self, block: BlockId) -> Result<Vec<ValueId>, String> {
        for &op in self.module.block_ops(block) {
            self.steps += 1;
            if self.steps > 1_000 {
                return Ok(Vec::new());
            }
            let values: Vec<ValueId> = self.module.operands(op).iter().map(|o| o.value).collect();
            match self.module.op_name(op) {
                "scf.yield" => return Ok(values),
                "scf.condition" => return Ok(values[1..].to_vec()),
                "scf.for" => self.for_loop(op, &values)?,
                "scf.while" => self.while_loop(op, &values)?,
                "scf.if" => {
                    let arm = self.choose(2) as usize;
                    let yielded = self.block(self.module.entry_block(op, arm))?;
                    self.bind(self.module.results(op), &yielded);
                }
                "func.call" => {
                    let helper = self.module.functions().find(|&f| self.module.symbol(f) == "helper");
                    let entry = self.module.entry_block(helper.expect("a helper"), 0);
                    self.bind(self.module.block_args(entry), &values);
                    self.block(entry)?;
                }
                "pto.alloc_tile" => self.allocate(op, values[0]),
                "pto.subview" => {
                    let source = self.values[&values[0]];
                    let row = self.constant(values[1]);
                    let cells = self.rows(self.module.result(op, 0));
                    let view = View { first: source.first + row, cells, ..source };
                    self.values.insert(self.module.result(op, 0), view);
                }
                "pto.treshape" => self.bind(self.module.results(op), &values),
                "pto.texpands" => self.write(values[1], u64::MAX),
                "pto.tadd" => {
                    self.read(op, values[0])?;
                    self.read(op, values[1])?;
                    self.write(values[2], u64::MAX);
                }
                "pto.tinsert" => {
                    self.read(op, values[0])?;
                    self.write(values[3], 1);
                }
                name => assert!(name.starts_with("arith.") || name == "func.return", "{name} is unknown"),
            }
        }
        Ok(Vec::new())
    }

    fn for_loop(&mut self, op: OpId, operands: &[ValueId]) -> Result<(), String> {
        let body = self.module.entry_block(op, 0);
        let mut carried = self.views(&operands[3..]);
        for _ in 0..self.choose(4) {
            self.bind_views(self.module.block_args(body).skip(1), &carried);
            let yielded = self.block(body)?;
            carried = self.views(&yielded);
        }
        self.bind_views(self.module.results(op), &carried);
        Ok(())
    }

    fn while_loop(&mut self, op: OpId, operands: &[ValueId]) -> Result<(), String> {
        let (before, after) = (self.module.entry_block(op, 0), self.module.entry_block(op, 1));
        let mut carried = self.views(operands);
        let trips = self.choose(4);
        for trip in 0..=trips {
            self.bind_views(self.module.block_args(before), &carried);
            let forwarded = self.block(before)?;
            carried = self.views(&forwarded);
            if trip < trips {
                self.bind_views(self.module.block_args(after), &carried);
                let yielded = self.block(after)?;
                carried = self.views(&yielded);
            }
        }
        self.bind_views(self.module.results(op), &carried);
        Ok(())
    }

    fn views(&self, values: &[ValueId]) -> Vec<Option<View>> {
        values.iter().map(|v| self.values.get(v).copied()).collect()
    }

    fn bind(&mut self, names: impl Iterator<Item = ValueId>, values: &[ValueId]) {
        let views = self.views(values);
        self.bind_views(names, &views);
    }

    fn bind_views(&mut self, names: impl Iterator<Item = ValueId>, views: &[Option<View>]) {
        for (name, view) in names.zip(views) {
            if let Some(view) = view {
                self.values.insert(name, *view);
            }
        }
    }

    fn allocate(&mut self, op: OpId, address: ValueId) {
        let tile = self.module.result(op, 0);
        let address = self.constant(address);
        assert_eq!(address % CELL, 0, "a misaligned address");
        let cells = self.rows(tile);
        assert!(address / CELL + cells <= CELLS, "a tile ends outside of the space");
        let view = View { buffer: self.own.len(), address: address / CELL, first: 0, cells };
        self.own.push(vec![0; cells as usize]);
        self.values.insert(tile, view);
    }

    fn constant(&self, value: ValueId) -> u64 {
        self.module.int_attr(self.module.value(value).op, "value").expect("a constant") as u64
    }

    fn rows(&self, tile: ValueId) -> u64 {
        let ty = self.module.type_of(tile);
        self.module.dims(ty).iter().product::<i64>() as u64 * 4 / CELL
    }

    fn write(&mut self, value: ValueId, most: u64) {
        let view = self.values[&value];
        for cell in view.first..view.first + view.cells.min(most) {
            self.written += 1;
            self.own[view.buffer][cell as usize] = self.written;
            self.shared[(view.address + cell) as usize] = self.written;
        }
    }

    /// What the buffer does not hold yet may read as anything.
    fn read(&mut self, op: OpId, value: ValueId) -> Result<(), String> {
        let view = self.values[&value];
        for cell in view.first..view.first + view.cells {
            let own = self.own[view.buffer][cell as usize];
            if own != 0 && self.shared[(view.address + cell) as usize] != own {
                let name = self.module.str(self.module.value(value).name);
                let span = self.module.op(op).span;
                let text = &self.module.source[span.start as usize..span.end as usize];
                let text = String::from_utf8_lossy(text);
                return Err(format!("cell {cell} of %{name} was overwritten before `{}`", text.trim()));
            }
        }
        Ok(())
    }
}
