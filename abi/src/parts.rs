//! The nesting of a kernel: which straight piece of the flat list each node stands in.
//!
//! A *part* is a loop's body, a then part, an else part, or the function itself. Its nodes stand strictly between
//! its `begin` and its `end`. A construct's own nodes (begin, else-begin, end) belong to the part around it.

use crate::NodeId;
use crate::kernel::{Kernel, node_kind};
use crate::plan::{Anchor, Side};

/// Index of a part in [`Parts`]; 0 is the function.
pub type PartIndex = u32;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// The whole function.
    Function,
    /// A loop's body.
    Loop,
    /// What a branch does if its condition holds.
    Then,
    /// What a branch does otherwise.
    Else,
}

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// The part around its construct; itself for the function.
    pub parent: PartIndex,
    /// First node of its construct: the loop-begin, or the if-begin of both parts; none for the function.
    pub construct: NodeId,
    /// Last node of its construct: the loop-end or if-end; none for the function.
    pub construct_end: NodeId,
    /// The node just before its first one: loop-begin, if-begin or else-begin; none for the function.
    pub begin: NodeId,
    /// The node just after its last one: loop-end, else-begin or if-end; none for the function.
    pub end: NodeId,
}

/// All parts of a kernel.
#[derive(Clone, Debug)]
pub struct Parts {
    parts: Vec<Part>,
    /// For each node the part of the point before it, of itself, and of the point after it.
    of_node: Vec<[PartIndex; 3]>,
}

impl Parts {
    /// Finds the parts of `kernel`, in time linear in its nodes.
    pub fn new(kernel: &Kernel<'_>) -> Self {
        let none = NodeId::NONE;
        let function = Part {
            kind: PartKind::Function,
            parent: 0,
            construct: none,
            construct_end: none,
            begin: none,
            end: none,
        };
        let mut parts = vec![function];
        let mut of_node = Vec::with_capacity(kernel.nodes.len());
        let mut current: PartIndex = 0;
        for (id, node) in kernel.node_ids().zip(kernel.nodes) {
            let before = current;
            if matches!(node.kind, node_kind::LOOP_END | node_kind::ELSE_BEGIN | node_kind::IF_END) {
                current = parts[current as usize].parent;
            }
            let own = current;
            let opened = match node.kind {
                node_kind::LOOP_BEGIN => Some((PartKind::Loop, node.end)),
                node_kind::IF_BEGIN => Some((PartKind::Then, node.middle)),
                node_kind::ELSE_BEGIN => Some((PartKind::Else, node.end)),
                _ => None,
            };
            if let Some((kind, end)) = opened {
                let construct = if kind == PartKind::Else { node.begin } else { id };
                let part = Part { kind, parent: current, construct, construct_end: node.end, begin: id, end };
                current = parts.len() as PartIndex;
                parts.push(part);
            }
            of_node.push([before, own, current]);
        }
        Self { parts, of_node }
    }

    /// The part `index`.
    pub fn part(&self, index: PartIndex) -> &Part {
        &self.parts[index as usize]
    }

    /// Number of parts; their indices are below it, in order of their begin.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// The part that the node stands in.
    pub fn of(&self, node: NodeId) -> PartIndex {
        self.of_node[node.index()][1]
    }

    /// The part that a program point lies in: before a loop-end is in the loop's body, after it is behind the loop.
    pub fn at(&self, anchor: Anchor) -> PartIndex {
        self.of_node[anchor.node.index()][if anchor.side == Side::Before { 0 } else { 2 }]
    }

    /// Whether the node stands in the part, at any depth.
    pub fn contains(&self, index: PartIndex, node: NodeId) -> bool {
        let part = self.part(index);
        part.kind == PartKind::Function || (part.begin < node && node < part.end)
    }

    /// The part directly below `outer` on the way down to `inner`: none if `inner` is `outer` itself, or does not lie
    /// in it. Takes time linear in the depth between them.
    pub fn below(&self, outer: PartIndex, inner: PartIndex) -> Option<PartIndex> {
        let mut inner = inner;
        while inner != outer && inner != 0 {
            let parent = self.part(inner).parent;
            if parent == outer {
                return Some(inner);
            }
            inner = parent;
        }
        None
    }

    /// The innermost part that `index` is, or lies in, for which `want` holds; the function if none.
    pub fn enclosing(&self, index: PartIndex, want: impl Fn(PartKind) -> bool) -> PartIndex {
        let mut index = index;
        while index != 0 && !want(self.part(index).kind) {
            index = self.part(index).parent;
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::KernelBuilder;

    #[test]
    fn a_construct_stands_in_the_part_around_it() {
        let mut k = KernelBuilder::new();
        let t = k.tile(0);
        k.instr("V", &[], &[t]); // 0
        k.repeat(|k| {
            // 1
            k.branch(
                // 2
                |k| _ = k.instr("V", &[], &[t]), // 3, placeholder 4
                |k| _ = k.instr("V", &[], &[t]), // else 5, 6, placeholder 7
            ); // end 8
        }); // 9
        let kernel = k.finish();
        let parts = Parts::new(&kernel.view());
        let kinds: Vec<_> = kernel.view().node_ids().map(|n| parts.part(parts.of(n)).kind).collect();
        use PartKind::{Else, Function, Loop, Then};
        assert_eq!(
            kinds,
            [Function, Function, Loop, Then, Then, Loop, Else, Else, Loop, Function],
            "nodes of a construct belong to the part around it"
        );
        let body = parts.of(NodeId(2));
        let (then, otherwise) = (parts.of(NodeId(3)), parts.of(NodeId(6)));
        assert_eq!(parts.below(0, otherwise), Some(body));
        assert_eq!(parts.below(body, otherwise), Some(otherwise));
        assert_eq!(parts.below(body, body), None);
        assert_eq!(parts.below(then, otherwise), None);
        let points = |node| [Anchor::before(node), Anchor::after(node)].map(|a| parts.at(a));
        assert_eq!(points(NodeId(2)), [body, then]);
        assert_eq!(points(NodeId(5)), [then, otherwise]);
        assert_eq!(points(NodeId(8)), [otherwise, body]);
        assert_eq!(points(NodeId(9)), [body, 0]);
        let other = parts.part(otherwise);
        assert_eq!((other.begin, other.end, other.construct), (NodeId(5), NodeId(8), NodeId(2)));
    }
}
