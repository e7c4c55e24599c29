//! Which values become statements, which are printed inside their user, and which vanish.
//!
//! A value that is computed by operators alone and used exactly once is printed inside its user, unless the user is a
//! statement without a value (an instruction, a store): there operands are names. Everything else that is used gets
//! a name where it stands. Nothing that is unused is printed, unless it has an effect.

use crate::code::{Code, Expr, Item, NodeId};

/// Nesting of one expression at most; what is nested deeper gets a statement. Compilers have a limit of their own.
const MAX_DEPTH: u32 = 100;

/// The decision for each node of a function.
#[derive(Debug)]
pub(crate) struct Form {
    uses: Vec<u32>,
    /// Must be a name at its use.
    named: Vec<bool>,
    /// Printed although unused.
    kept: Vec<bool>,
    inline: Vec<bool>,
    /// For each literal how early its first use is; a higher number is earlier.
    first_use: Vec<u32>,
    scratch: Vec<NodeId>,
}

impl Form {
    pub(crate) fn of(code: &Code) -> Self {
        let count = code.nodes.len();
        let mut form = Self {
            uses: vec![0; count],
            named: vec![false; count],
            kept: vec![false; count],
            inline: vec![false; count],
            first_use: vec![0; code.literals.len()],
            scratch: Vec::new(),
        };
        form.count_uses(code);
        form.choose_inline(code);
        form.keep_calls_in_order(code);
        form
    }

    /// Whether the node is printed inside its user.
    pub(crate) fn is_inline(&self, node: NodeId) -> bool {
        self.inline[node.index()]
    }

    /// Whether the node is a statement where it stands.
    pub(crate) fn is_statement(&self, code: &Code, node: NodeId) -> bool {
        !self.is_inline(node) && self.is_live(code, node)
    }

    /// The literals that are used, in the order in which the reference declares them: enumerators and numbers of
    /// view arithmetic, last used first; the constants that open the function, backwards; the others as written.
    pub(crate) fn literals(&self, code: &Code) -> Vec<NodeId> {
        let mut used: Vec<_> = (0..code.nodes.len() as u32)
            .map(NodeId)
            .filter(|node| self.uses[node.index()] > 0)
            .filter_map(|node| match code.node(node).expr {
                Expr::Literal(id) => Some((id as usize, node)),
                _ => None,
            })
            .collect();
        used.sort_by_key(|&(id, _)| {
            let literal = &code.literals[id];
            let first_use = self.first_use[id];
            if !literal.is_const {
                (0, first_use)
            } else if literal.position < code.leading_end {
                (1, u32::MAX - literal.position)
            } else if literal.position != u32::MAX {
                (2, literal.position)
            } else {
                (3, u32::MAX - first_use)
            }
        });
        used.into_iter().map(|(_, node)| node).collect()
    }

    fn is_live(&self, code: &Code, node: NodeId) -> bool {
        self.uses[node.index()] > 0 || self.kept[node.index()] || code.node(node).effect
    }

    /// Counts uses from the end of the function, so that a value's uses are complete when its definition is met.
    fn count_uses(&mut self, code: &Code) {
        let mut clock = 0;
        for item in code.items.iter().rev() {
            match *item {
                Item::Define(node) => self.count_operands(code, node, &mut clock),
                Item::Keep { node, owner } => {
                    self.kept[node.index()] |= self.uses[node.index()] == 0 && self.is_live(code, owner);
                    self.count_operands(code, node, &mut clock);
                }
                Item::Do(pieces) => {
                    for piece in code.pieces(pieces).iter().rev() {
                        if let crate::code::Piece::Node(node) = piece {
                            self.count(code, *node, &mut clock);
                            self.named[node.index()] = true;
                        }
                    }
                }
                Item::Assign { from, .. } => self.count(code, from, &mut clock),
                Item::For { counter, lower, upper, step } => {
                    self.count_shared_cast(code, counter, &mut clock);
                    for node in [step, upper, lower] {
                        self.count(code, node, &mut clock);
                    }
                }
                Item::If(condition) => self.count(code, condition, &mut clock),
                Item::Branch { condition, .. } => {
                    self.count(code, condition, &mut clock);
                    self.named[condition.index()] = true;
                }
                Item::Return(Some(value)) => self.count(code, value, &mut clock),
                Item::SharedCasts => {
                    for node in shared_here(code) {
                        self.count_shared_cast(code, node, &mut clock);
                    }
                }
                _ => {}
            }
        }
    }

    fn count_operands(&mut self, code: &Code, node: NodeId, clock: &mut u32) {
        self.count_shared_cast(code, node, clock);
        if self.is_live(code, node) {
            let mut operands = std::mem::take(&mut self.scratch);
            code.operands(node, |operand| operands.push(operand));
            for operand in operands.drain(..).rev() {
                self.count(code, operand, clock);
            }
            self.scratch = operands;
        }
    }

    fn count_shared_cast(&mut self, code: &Code, node: NodeId, clock: &mut u32) {
        if let Some(cast) = code.shared_cast_of(node)
            && self.uses[cast.index()] > 0
        {
            self.count(code, node, clock);
        }
    }

    fn count(&mut self, code: &Code, node: NodeId, clock: &mut u32) {
        self.uses[node.index()] += 1;
        if let Expr::Literal(id) = code.node(node).expr {
            *clock += 1;
            self.first_use[id as usize] = *clock;
        }
    }

    fn choose_inline(&mut self, code: &Code) {
        let mut depth = vec![0u32; code.nodes.len()];
        for index in 0..code.nodes.len() {
            let node = NodeId(index as u32);
            let mut inner = 0;
            code.operands(node, |operand| {
                if self.inline[operand.index()] {
                    inner = inner.max(depth[operand.index()]);
                }
            });
            depth[index] = inner + 1;
            self.inline[index] = code.is_transparent(node)
                && self.uses[index] == 1
                && !self.named[index]
                && depth[index] < MAX_DEPTH;
        }
    }

    /// Makes a call a statement where printing it inside its user would move it past another effect, repeat it, or
    /// leave its order among other calls to the compiler.
    fn keep_calls_in_order(&mut self, code: &Code) {
        if !code.nodes.iter().any(|node| matches!(node.expr, Expr::Call(_))) {
            return;
        }
        let mut pending: Option<NodeId> = None;
        for item in &code.items {
            let mut roots = Vec::new();
            match *item {
                Item::Define(node) | Item::Keep { node, .. } => {
                    let is_call = matches!(code.node(node).expr, Expr::Call(_));
                    if !self.is_live(code, node) || (self.is_inline(node) && !is_call) {
                        continue;
                    }
                    code.operands(node, |operand| roots.push(operand));
                    self.settle(code, &mut pending, &roots);
                    if self.is_inline(node) {
                        pending = Some(node);
                    }
                    continue;
                }
                Item::Assign { from, .. } => roots.push(from),
                Item::If(condition) => roots.push(condition),
                Item::Return(Some(value)) => roots.push(value),
                Item::Line(_) | Item::SharedCasts | Item::Declare(_) => continue,
                // A loop evaluates its header more than once, and operands of statements are names.
                _ => {}
            }
            self.settle(code, &mut pending, &roots);
        }
        self.settle(code, &mut pending, &[]);
    }

    /// The next statement uses `roots`: a pending call that is not among them becomes a statement.
    fn settle(&mut self, code: &Code, pending: &mut Option<NodeId>, roots: &[NodeId]) {
        let Some(call) = pending.take() else { return };
        let mut open = roots.to_vec();
        while let Some(node) = open.pop() {
            if node == call {
                return;
            }
            if self.is_inline(node) {
                code.operands(node, |operand| open.push(operand));
            }
        }
        self.inline[call.index()] = false;
    }
}

/// The nodes whose shared casts stand at the top of the body: parameters, then literals as the source has them.
pub(crate) fn shared_here(code: &Code) -> Vec<NodeId> {
    let mut literals: Vec<_> = (0..code.nodes.len() as u32)
        .map(NodeId)
        .filter_map(|node| match code.node(node).expr {
            Expr::Literal(id) if code.shared_cast_of(node).is_some() => {
                Some((code.literals[id as usize].position, node))
            }
            _ => None,
        })
        .collect();
    literals.sort();
    code.parameters.iter().copied().chain(literals.into_iter().map(|(_, node)| node)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::{Class, Op};
    use crate::types::Ctype;

    fn store(code: &mut Code, value: NodeId) {
        let pieces = code.write(|w| {
            w.text("f(").node(value).text(")");
        });
        code.statement(pieces);
    }

    #[test]
    fn one_use_goes_inside_a_value_but_not_inside_a_statement() {
        let mut code = Code::default();
        let x = code.name(Ctype::I32, Class::Plain);
        let sum = code.binary(Op::Add, x, x, Ctype::I32);
        let product = code.binary(Op::Mul, sum, x, Ctype::I32);
        let unused = code.binary(Op::Sub, product, x, Ctype::I32);
        store(&mut code, product);
        let form = Form::of(&code);
        assert!(form.is_inline(sum));
        assert!(form.is_statement(&code, product));
        assert!(!form.is_statement(&code, unused) && !form.is_inline(unused));
    }

    #[test]
    fn two_uses_and_variables_make_statements() {
        let mut code = Code::default();
        let x = code.name(Ctype::I32, Class::Variable);
        let read = code.binary(Op::Add, x, x, Ctype::I32);
        let square = code.binary(Op::Mul, read, read, Ctype::I32);
        let result = code.binary(Op::Add, square, square, Ctype::I32);
        code.items.push(Item::Return(Some(result)));
        let form = Form::of(&code);
        assert!(form.is_statement(&code, read) && form.is_statement(&code, square));
        assert!(form.is_inline(result));
    }

    #[test]
    fn a_call_stays_before_the_effect_that_follows_it() {
        for effect_between in [false, true] {
            let mut code = Code::default();
            let x = code.name(Ctype::I32, Class::Plain);
            let pieces = code.write(|w| {
                w.text("g(").node(x).text(")");
            });
            let call = code.define_effect(Expr::Call(pieces), Ctype::I32);
            if effect_between {
                store(&mut code, x);
            }
            let sum = code.binary(Op::Add, call, x, Ctype::I32);
            code.items.push(Item::Return(Some(sum)));
            assert_eq!(Form::of(&code).is_inline(call), !effect_between);
        }
    }

    #[test]
    fn long_chains_are_cut() {
        let mut code = Code::default();
        let x = code.name(Ctype::I32, Class::Plain);
        let mut sum = x;
        for _ in 0..250 {
            sum = code.binary(Op::Add, sum, x, Ctype::I32);
        }
        code.items.push(Item::Return(Some(sum)));
        let form = Form::of(&code);
        let statements =
            (0..code.nodes.len() as u32).filter(|&n| n > 0 && form.is_statement(&code, NodeId(n))).count();
        assert_eq!(statements, 2);
    }
}
