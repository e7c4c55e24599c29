//! How a function uses its tiles and views: what must be known before the first line is printed.

use std::collections::HashMap;

use pipewright_abi::ir::Module;
use pipewright_abi::target::{Target, space_flag};
use pipewright_abi::{BlockId, OpId, ValueId};

use crate::merge::Merged;

/// What the users of a value ask of it, as bits.
pub(crate) mod need {
    /// A C++ tile.
    pub(crate) const TILE: u8 = 1;
    /// A C++ tile of its own for communication.
    pub(crate) const COMM_TILE: u8 = 2;
    /// A tile whose valid size is set later.
    pub(crate) const VALID_SHAPE: u8 = 4;
}

/// Layouts of the vector tiles that are loaded and stored through a view.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TileLayouts {
    pub(crate) row_major: bool,
    pub(crate) col_major: bool,
}

/// Uses of all values of a module.
#[derive(Debug)]
pub(crate) struct Usage {
    needs: Vec<u8>,
    layouts: HashMap<ValueId, TileLayouts>,
}

impl Usage {
    pub(crate) fn new(module: &Module<'_>) -> Self {
        Self { needs: vec![0; module.t.values.len()], layouts: HashMap::new() }
    }

    /// Whether the value's users ask for any of the `bits` of [`need`].
    pub(crate) fn needs(&self, value: ValueId, bits: u8) -> bool {
        self.needs[value.index()] & bits != 0
    }

    /// Layouts of the vector tiles that meet the view that make_tensor_view gave.
    pub(crate) fn tile_layouts(&self, view: ValueId) -> TileLayouts {
        self.layouts.get(&view).copied().unwrap_or_default()
    }

    /// Adds the uses of one function.
    pub(crate) fn add(&mut self, module: &Module<'_>, target: &Target<'_>, merged: &Merged, function: OpId) {
        let body = module.entry_block(function, 0);
        if body.is_some() {
            self.block(module, target, merged, body);
        }
    }

    fn block(&mut self, module: &Module<'_>, target: &Target<'_>, merged: &Merged, block: BlockId) {
        for &op in module.block_ops(block) {
            if merged.is_dropped(op) {
                continue;
            }
            let need = match module.op_name(op) {
                "pto.subview" | "pto.treshape" | "pto.bitcast" => 0,
                "pto.set_validshape" => need::TILE | need::VALID_SHAPE,
                "pto.comm.build_async_session" => need::TILE,
                name if name.starts_with("pto.comm.") => need::COMM_TILE,
                _ => need::TILE,
            };
            for operand in module.operands(op) {
                if let Some(bits) = self.needs.get_mut(merged.value(operand.value).index()) {
                    *bits |= need;
                }
            }
            if matches!(module.op_name(op), "pto.tload" | "pto.tstore") {
                self.transfer(module, target, merged, op);
            }
            for body in module.bodies(op) {
                for inner in module.blocks(body) {
                    self.block(module, target, merged, inner);
                }
            }
        }
    }

    /// Notes the layout of the vector tile that a transfer moves, at its view.
    fn transfer(&mut self, module: &Module<'_>, target: &Target<'_>, merged: &Merged, op: OpId) {
        let values = || module.operands(op).iter().map(|o| merged.value(o.value));
        let tile = values().find_map(|v| module.tile(module.type_of(v)));
        let Some(tile) = tile.filter(|t| target.space_is(t.space, space_flag::VECTOR)) else { return };
        for value in values().filter(|&v| module.tile(module.type_of(v)).is_none()) {
            let layouts = self.layouts.entry(whole_view(module, merged, value)).or_default();
            layouts.row_major |= tile.blayout == 0;
            layouts.col_major |= tile.blayout == 1;
        }
    }
}

/// The view that a partition, or a partition of one, is a part of.
fn whole_view(module: &Module<'_>, merged: &Merged, mut view: ValueId) -> ValueId {
    loop {
        let op = module.value(view).op;
        if op.is_none() || module.op_name(op) != "pto.partition_view" {
            return view;
        }
        view = merged.value(module.operand(op, 0));
    }
}
