//! What must hold of memory before anything is synchronized: it is in a space that is known, and a tile of several exists.

use pipewright_abi::OpId;
use pipewright_abi::ir::{Operand, type_kind};
use pipewright_abi::target::{OperandSpec, operand_flag, operand_kind};

use super::Flattener;
use super::memory::constant_int;
use crate::diagnostic::Diagnostic;

impl Flattener<'_> {
    /// What an operation reads or writes as memory must be in a space that the target has.
    pub(super) fn check_space(&mut self, operand: &Operand, spec: &OperandSpec) {
        const MEMORY: u32 = operand_kind::TILE | operand_kind::VIEW | operand_kind::PTR;
        let touches = spec.flags & (operand_flag::READ | operand_flag::WRITE) != 0;
        let is_memory = spec.kinds != operand_kind::ANY && spec.kinds & MEMORY != 0;
        let ty = self.module.type_of(operand.value);
        let opaque = ty.is_memory() || matches!(ty.kind, type_kind::OTHER);
        if touches && is_memory && opaque && self.memory.of(operand.value).is_empty() {
            let text = self.module.str(ty.text);
            let message = format!("nobody knows which memory a value of type `{text}` is in");
            let diagnostic = Diagnostic::error("lower::unknown-space", message)
                .label(operand.span, "read or written here")
                .help("its type must name one of the target's memory spaces: a tile, a view, a pointer or a memref");
            self.diagnostics.push(diagnostic);
        }
    }

    /// A tile that is taken from a buffer of several is one of them, and the buffer is at hand.
    pub(super) fn check_slot(&mut self, op: OpId) {
        if self.module.op_name(op) != "pto.multi_tile_get" {
            return;
        }
        let (module, name_span) = (self.module, self.module.op(op).name_span);
        let [buffer, number] = [0, 1].map(|index| module.operands(op).get(index));
        let (Some(buffer), Some(number)) = (buffer, number) else { return };
        let Some((slot, count)) = module.slots(module.type_of(buffer.value)) else { return };
        let allocation = module.value(buffer.value).op;
        if allocation.is_none() || module.op_name(allocation) != "pto.alloc_multi_tile" {
            let message = "a tile is taken from a buffer of several that is handed on";
            let diagnostic = Diagnostic::error("lower::slot", message)
                .label(buffer.span, "not the result of `pto.alloc_multi_tile`")
                .help("take it from the allocation itself, and hand on the tile");
            self.diagnostics.push(diagnostic);
        }
        let result = module.result(op, 0);
        if result.is_some() && module.value(result).ty != slot {
            let (want, is) = (module.str(module.ty(slot).text), module.str(module.type_of(result).text));
            let message = format!("the buffer holds tiles of type `{want}`, not `{is}`");
            self.diagnostics.push(Diagnostic::error("lower::slot", message).label(name_span, "taken here"));
        }
        if let Some(index) = constant_int(module, number.value).filter(|&n| !(0..count as i64).contains(&n)) {
            let message = format!("there is no tile {index} in a buffer of {count}");
            let diagnostic = Diagnostic::error("lower::slot", message)
                .label(number.span, "the number of the tile")
                .help(format!("numbers go from 0 to {}", count - 1));
            self.diagnostics.push(diagnostic);
        }
    }
}
