//! Tiles that a loop hands to its next trip while it allocates them anew.
//!
//! An allocation in a loop is one place in memory, the same on every trip. What the next trip gets as its argument is
//! that place too: once the trip writes its own tile, the one that was handed over is gone. Touching it after that, or
//! handing it on once more, needs a second place, which one address cannot give: such a program is refused.

use pipewright_abi::ir::Module;
use pipewright_abi::kernel::{Kernel, Node, node_kind};
use pipewright_abi::parts::{PartKind, Parts};
use pipewright_abi::target::{Target, operand_flag};
use pipewright_abi::{BlockId, NodeId, OpId, PassError, ValueId};

use crate::lifetime::allocated_roots;

/// For each root, whether a loop around its allocation hands it to its next trip. Fails if the program needs a tile of
/// an earlier trip after its memory was written again.
pub(crate) fn carried_roots(
    kernel: &Kernel<'_>,
    module: &Module<'_>,
    target: &Target<'_>,
) -> Result<Vec<bool>, PassError> {
    let mut carried = vec![false; kernel.roots.len()];
    let is_tile = |v| module.type_of(v).is_memory();
    let carries = |node: &Node| node.kind == node_kind::LOOP_BEGIN && module.results(node.op).any(is_tile);
    if !kernel.nodes.iter().any(carries) {
        return Ok(carried);
    }
    // For each root that is allocated in a loop, what touches it.
    let mut tiles: Vec<Option<(OpId, Vec<Touch>)>> = vec![None; kernel.roots.len()];
    for (op, root) in allocated_roots(kernel) {
        let in_loop = enclosing(module, op).any(|outer| is_loop(module, outer));
        tiles[root.index()] = in_loop.then(|| (op, Vec::new()));
    }
    let nodes = kernel.node_ids().map(|id| (2 * id.0 + 1, id, kernel.node(id).op, kernel.accesses(id)));
    let bystanders = kernel.bystanders.iter();
    // A node stands for the place of one behind all nodes: the last one is in no branch either.
    let last = NodeId::from_index(kernel.nodes.len().saturating_sub(1));
    let bystanders =
        bystanders.map(|b| (2 * b.before.0, b.before.min(last), b.op, b.accesses.of(kernel.accesses)));
    for (step, node, op, accesses) in nodes.chain(bystanders) {
        for access in accesses.iter().filter(|a| a.mode != 0) {
            let tile = &mut tiles[kernel.region(access.region).root.index()];
            let Some((allocation, touches)) = tile else { continue };
            let tracer = Tracer { module, target, allocation: *allocation };
            for operand in module.operands(op).iter().filter(|o| is_tile(o.value)) {
                let origin = tracer.origin(operand.value);
                let writes = tracer.writes(op, operand.slot);
                touches.push(Touch { step, node, op, writes, origin });
            }
        }
    }
    let parts = Parts::new(kernel);
    for (root, tile) in tiles.into_iter().enumerate() {
        let Some((allocation, mut touches)) = tile else { continue };
        let tracer = Tracer { module, target, allocation };
        touches.iter_mut().for_each(|t| t.origin.arguments.retain(|&a| tracer.carries(a, &mut Vec::new())));
        carried[root] = touches.iter().any(|t| !t.origin.arguments.is_empty());
        for touch in touches.iter().filter(|t| !t.origin.arguments.is_empty()) {
            let before = |write: &Touch| {
                let arguments = touch.origin.arguments.iter();
                let mut owners = arguments.map(|&a| module.block_owner(module.value(a).block));
                let again =
                    owners.any(|owner| share_inner_loop(kernel, &parts, owner, write.node, touch.node));
                again || write.step < touch.step && !are_apart(&parts, write.node, touch.node)
            };
            // A write through the same argument is one to the tile that is meant.
            let other = |write: &Touch| write.origin.own || write.origin.arguments != touch.origin.arguments;
            let handed_on = touch.origin.arguments.iter().any(|&a| tracer.hands_on(a));
            if handed_on || touches.iter().any(|write| write.writes && other(write) && before(write)) {
                return Err(refusal(module, allocation, touch.op));
            }
        }
    }
    Ok(carried)
}

/// An operation's use of a value that may stand for a tile.
#[derive(Clone, Debug)]
struct Touch {
    step: u32,
    node: NodeId,
    op: OpId,
    writes: bool,
    origin: Origin,
}

/// What a value may stand for, as seen from the allocation of a tile.
#[derive(Clone, Debug, Default)]
struct Origin {
    /// The tile that this trip allocated.
    own: bool,
    /// Arguments of loops around the allocation; of a touch, those that the tile comes round to.
    arguments: Vec<ValueId>,
}

/// Follows values backwards to the tile of one allocation.
struct Tracer<'t, 'a> {
    module: &'t Module<'a>,
    target: &'t Target<'a>,
    allocation: OpId,
}

impl Tracer<'_, '_> {
    fn origin(&self, value: ValueId) -> Origin {
        let (mut origin, mut seen, mut open) = (Origin::default(), Vec::new(), vec![value]);
        while let Some(value) = open.pop() {
            if seen.contains(&value) {
                continue;
            }
            seen.push(value);
            if value == self.module.result(self.allocation, 0) {
                origin.own = true;
            } else if self.module.value(value).op.is_some() {
                self.sources_of_result(value, &mut open);
            } else if self.is_argument(value) {
                origin.arguments.push(value);
            } else {
                open.extend(self.enters(value));
                open.extend(self.comes_round(value));
            }
        }
        origin
    }

    fn sources_of_result(&self, value: ValueId, out: &mut Vec<ValueId>) {
        let record = self.module.value(value);
        let (op, index) = (record.op, record.index as usize);
        match self.module.op_name(op) {
            "scf.for" => {
                out.extend(self.module.operand(op, 3 + index).get());
                out.extend(self.yielded(self.module.entry_block(op, 0), index));
            }
            "scf.while" => out.extend(self.yielded(self.module.entry_block(op, 0), 1 + index)),
            name if name.starts_with("scf.") => {
                let blocks = self.module.bodies(op).iter().flat_map(|body| self.module.blocks(body));
                out.extend(blocks.filter_map(|block| self.yielded(block, index)));
            }
            // A select, a cast: whatever it is given.
            _ if self.module.op(op).entry.is_none() => {
                out.extend(self.module.operands(op).iter().map(|o| o.value))
            }
            _ => {
                let entry = self.module.op(op).entry.get().map(|e| self.target.t.entries[e.index()]);
                let source = entry.and_then(|e| self.module.operands(op).iter().find(|o| o.slot == e.alias));
                out.extend(source.map(|o| o.value));
            }
        }
    }

    /// The argument of a loop around the allocation, that a trip gets from the one before.
    fn is_argument(&self, value: ValueId) -> bool {
        let owner = self.module.block_owner(self.module.value(value).block);
        self.comes_round(value).is_some()
            && enclosing(self.module, self.allocation).any(|outer| outer == owner)
    }

    /// What a block argument stands for when its block is entered from outside, or from the head of its loop.
    fn enters(&self, argument: ValueId) -> Option<ValueId> {
        let (owner, body, index) = self.place(argument)?;
        match (self.module.op_name(owner), body) {
            ("scf.for", _) => self.module.operand(owner, 3 + index.checked_sub(1)?).get(),
            ("scf.while", 0) => self.module.operand(owner, index).get(),
            ("scf.while", _) => self.yielded(self.module.entry_block(owner, 0), 1 + index),
            _ => None,
        }
    }

    /// What the trip before hands to a block argument.
    fn comes_round(&self, argument: ValueId) -> Option<ValueId> {
        let (owner, body, index) = self.place(argument)?;
        match (self.module.op_name(owner), body) {
            ("scf.for", _) => self.yielded(self.module.entry_block(owner, 0), index.checked_sub(1)?),
            ("scf.while", 0) => self.yielded(self.module.entry_block(owner, 1), index),
            _ => None,
        }
    }

    /// The operation, its body and the position of a block argument.
    fn place(&self, argument: ValueId) -> Option<(OpId, usize, usize)> {
        let record = self.module.value(argument);
        let owner = self.module.block_owner(record.block).get()?;
        let body = (0..self.module.bodies(owner).len())
            .find(|&b| self.module.entry_block(owner, b) == record.block)?;
        Some((owner, body, record.index as usize))
    }

    fn yielded(&self, block: BlockId, index: usize) -> Option<ValueId> {
        let &last = self.module.block_ops(block.get()?).last()?;
        self.module.operand(last, index).get()
    }

    /// Whether the tile may come round to the argument.
    fn carries(&self, argument: ValueId, seen: &mut Vec<ValueId>) -> bool {
        if seen.contains(&argument) {
            return false;
        }
        seen.push(argument);
        let origin = self.comes_round(argument).map(|v| self.origin(v)).unwrap_or_default();
        origin.own || origin.arguments.iter().any(|&a| self.carries(a, seen))
    }

    /// Whether what comes round to the argument may be a tile that came round before.
    fn hands_on(&self, argument: ValueId) -> bool {
        let origin = self.comes_round(argument).map(|v| self.origin(v)).unwrap_or_default();
        origin.arguments.iter().any(|&a| self.carries(a, &mut Vec::new()))
    }

    fn writes(&self, op: OpId, slot: u32) -> bool {
        // A call may write whatever it is given.
        let Some(entry) = self.module.op(op).entry.get() else { return true };
        let specs = self.target.t.entries[entry.index()].operands.of(self.target.t.operands);
        specs.get(slot as usize).is_some_and(|s| s.flags & operand_flag::WRITE != 0)
    }
}

fn is_loop(module: &Module<'_>, op: OpId) -> bool {
    matches!(module.op_name(op), "scf.for" | "scf.while")
}

/// The operations around `op`, the innermost first.
fn enclosing<'m>(module: &'m Module<'_>, op: OpId) -> impl Iterator<Item = OpId> + 'm {
    core::iter::successors(module.parent(op).get(), |&outer| module.parent(outer).get())
}

/// Whether two nodes are in different arms of one branch, so that a trip passes only one of them.
fn are_apart(parts: &Parts, a: NodeId, b: NodeId) -> bool {
    let mut part = parts.of(a);
    while part != 0 {
        let arm = parts.part(part);
        let is_arm = matches!(arm.kind, PartKind::Then | PartKind::Else);
        let inside = |node: NodeId| arm.construct < node && node < arm.construct_end;
        if is_arm && inside(b) && !parts.contains(part, b) {
            return true;
        }
        part = arm.parent;
    }
    false
}

/// Whether both nodes are in one loop inside of `outer`: its later trips pass the one after the other.
fn share_inner_loop(kernel: &Kernel<'_>, parts: &Parts, outer: OpId, a: NodeId, b: NodeId) -> bool {
    let mut part = parts.of(b);
    while part != 0 {
        let body = parts.part(part);
        if body.kind == PartKind::Loop {
            if kernel.node(body.construct).op == outer {
                return false;
            }
            if parts.contains(part, a) {
                return true;
            }
        }
        part = body.parent;
    }
    false
}

fn refusal(module: &Module<'_>, allocation: OpId, touch: OpId) -> PassError {
    let record = module.value(module.result(allocation, 0));
    let name = module.str(record.name);
    let message =
        format!("the tile `%{name}` of an earlier trip is needed after its memory was written again");
    PassError::new(message)
        .at_span(module.op(touch).name_span)
        .with_label(module.op(touch).name_span, "needed here")
        .with_label(record.span, "has one address on every trip")
        .with_help(
            "allocate as many tiles as are needed at once before the loop, and let the loop exchange them",
        )
}
