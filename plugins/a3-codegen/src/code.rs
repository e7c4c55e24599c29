//! The body of one C++ function before it has a text: values as expression nodes, statements as a flat list.
//!
//! Lowering appends nodes and items in program order and never looks back. Which nodes become statements of their
//! own, which are printed inside their user and which vanish is decided afterwards, in [`crate::form`], when all
//! uses are known. What must hold: a node's operands have smaller ids than the node; every node that is no literal,
//! parameter or loop counter has an item that defines or declares it, before its first use.

use std::collections::HashMap;

use crate::types::Ctype;

/// A value of the C++ function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u32);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a value lives in C++, which decides the casts around it (an `index` is `int32_t`, but counts as `size_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// An immutable value of its ordinary type.
    Plain,
    /// A `size_t`: the counter of a loop without results.
    Raw,
    /// A mutable variable: a result of a loop or branch, or an argument of a loop.
    Variable,
    /// The counter of a loop with results, of its ordinary type.
    Counter,
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Mul,
    Div,
    Rem,
    Add,
    Sub,
    Shl,
    Shr,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    BitAnd,
    BitXor,
    BitOr,
    And,
    Or,
}

impl Op {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Mul => "*",
            Self::Div => "/",
            Self::Rem => "%",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Shl => "<<",
            Self::Shr => ">>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::BitAnd => "&",
            Self::BitXor => "^",
            Self::BitOr => "|",
            Self::And => "&&",
            Self::Or => "||",
        }
    }

    /// Binding strength; a higher one binds tighter.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Mul | Self::Div | Self::Rem => 13,
            Self::Add | Self::Sub => 12,
            Self::Shl | Self::Shr => 11,
            Self::Lt | Self::Le | Self::Gt | Self::Ge => 9,
            Self::Eq | Self::Ne => 8,
            Self::BitAnd => 7,
            Self::BitXor => 6,
            Self::BitOr => 5,
            Self::And => 4,
            Self::Or => 3,
        }
    }
}

/// Binding strength of a cast or other prefix operator.
pub(crate) const PREFIX: u8 = 15;
/// Binding strength of `?:`.
pub(crate) const CONDITIONAL: u8 = 2;

/// How a value is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expr {
    /// It has a name from elsewhere: a parameter, a counter, or a variable that an item declares.
    Name,
    /// A literal at the top of the function.
    Literal(u32),
    Negate(NodeId),
    Binary(Op, NodeId, NodeId),
    /// To the node's type.
    Cast(NodeId),
    Select(NodeId, NodeId, NodeId),
    /// A call of a function of the program.
    Call(Pieces),
    /// Anything else: a constructor, an element of memory, a method.
    Text(Pieces),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) expr: Expr,
    pub(crate) ty: Ctype,
    pub(crate) class: Class,
    /// Must be evaluated even if nothing uses the value.
    pub(crate) effect: bool,
    /// Reads a mutable variable, so it is evaluated where it stands.
    pub(crate) reads_variable: bool,
    /// Is a statement of its own even with a single use.
    pub(crate) pinned: bool,
}

/// One literal.
#[derive(Clone, Debug)]
pub(crate) struct Literal {
    pub(crate) text: Box<str>,
    pub(crate) ty: Ctype,
    /// Declared `const`; enumerators and numbers of view arithmetic are not.
    pub(crate) is_const: bool,
    /// The value of an integer or bool.
    pub(crate) value: Option<i64>,
    /// Where the program defines it, as an offset in the source; `u32::MAX` if the code generator made it.
    pub(crate) position: u32,
}

/// A run of [`Piece`]s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    start: u32,
    end: u32,
}

/// A part of a statement or expression.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    Node(NodeId),
    Type(Ctype),
    /// Bytes of [`Code::text`].
    Text(u32, u32),
}

/// What stands in the body of the function, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item {
    /// `T v = expression;`, unless the node is printed inside its user or is not used.
    Define(NodeId),
    /// The same, and printed even without use as long as `owner` is used.
    Keep { node: NodeId, owner: NodeId },
    /// `T v;`
    Declare(NodeId),
    /// A variable of a basic block; exists in flat form only.
    Argument(NodeId),
    /// `T v[count] = {};`
    DeclareArray(NodeId, u32),
    /// A statement.
    Do(Pieces),
    /// `to = from;`
    Assign { to: NodeId, from: NodeId },
    /// `using NAME = T;`
    Alias(Ctype, u32, AliasKind),
    /// Opens a loop.
    For { counter: NodeId, lower: NodeId, upper: NodeId, step: NodeId },
    /// Opens a branch.
    If(NodeId),
    /// Between the parts of a branch.
    Else,
    /// Closes a loop or branch.
    End,
    /// Leaves the function.
    Return(Option<NodeId>),
    /// A line of its own, without semicolon.
    Line(Pieces),
    /// Where casts of parameters and literals that several users share stand.
    SharedCasts,
    /// Start of a basic block.
    Label(u32),
    /// `goto` a label.
    Goto(u32),
    /// `goto` one of two labels.
    Branch { condition: NodeId, yes: u32, no: u32 },
}

/// The aliases that an argument's GlobalTensor is built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AliasKind {
    Shape,
    Stride,
    /// `constexpr pto::Layout NAME = ..;` instead.
    Layout,
    Tensor,
}

/// The body of one function.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub(crate) nodes: Vec<Node>,
    pub(crate) literals: Vec<Literal>,
    pub(crate) items: Vec<Item>,
    pub(crate) parameters: Vec<NodeId>,
    pub(crate) labels: u32,
    /// Where the source has its first operation that is no constant; constants before it lead the function.
    pub(crate) leading_end: u32,
    pieces: Vec<Piece>,
    text: String,
    repeated: HashMap<Box<str>, Pieces>,
    literal_ids: HashMap<(Ctype, Box<str>), NodeId>,
    casts: HashMap<NodeId, NodeId>,
}

impl Code {
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub(crate) fn ty(&self, id: NodeId) -> Ctype {
        self.node(id).ty
    }

    pub(crate) fn pieces(&self, pieces: Pieces) -> &[Piece] {
        &self.pieces[pieces.start as usize..pieces.end as usize]
    }

    pub(crate) fn piece_text(&self, start: u32, end: u32) -> &str {
        &self.text[start as usize..end as usize]
    }

    /// Calls `visit` with each direct operand of the node, in order.
    pub(crate) fn operands(&self, id: NodeId, mut visit: impl FnMut(NodeId)) {
        match self.node(id).expr {
            Expr::Name | Expr::Literal(_) => {}
            Expr::Negate(a) | Expr::Cast(a) => visit(a),
            Expr::Binary(_, a, b) => [a, b].into_iter().for_each(visit),
            Expr::Select(a, b, c) => [a, b, c].into_iter().for_each(visit),
            Expr::Call(pieces) | Expr::Text(pieces) => {
                for piece in self.pieces(pieces) {
                    if let Piece::Node(node) = piece {
                        visit(*node);
                    }
                }
            }
        }
    }

    /// Whether the node may be printed inside its user.
    pub(crate) fn is_transparent(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let kind = matches!(
            node.expr,
            Expr::Negate(_) | Expr::Binary(..) | Expr::Cast(_) | Expr::Select(..) | Expr::Call(_)
        );
        kind && !node.reads_variable && !node.pinned
    }

    /// A node that has a name from elsewhere.
    pub(crate) fn name(&mut self, ty: Ctype, class: Class) -> NodeId {
        self.push(Expr::Name, ty, class)
    }

    /// A variable that this declares: `T v;`.
    pub(crate) fn declare(&mut self, ty: Ctype, class: Class) -> NodeId {
        let node = self.name(ty, class);
        self.items.push(Item::Declare(node));
        node
    }

    /// A variable that basic blocks hand on.
    pub(crate) fn block_argument(&mut self, ty: Ctype) -> NodeId {
        let node = self.name(ty, Class::Variable);
        self.items.push(Item::Argument(node));
        node
    }

    /// A value that is computed here.
    pub(crate) fn define(&mut self, expr: Expr, ty: Ctype) -> NodeId {
        let node = self.push(expr, ty, Class::Plain);
        self.items.push(Item::Define(node));
        node
    }

    /// A value that must be computed here even if nothing uses it.
    pub(crate) fn define_effect(&mut self, expr: Expr, ty: Ctype) -> NodeId {
        let node = self.define(expr, ty);
        self.nodes[node.index()].effect = true;
        node
    }

    pub(crate) fn binary(&mut self, op: Op, a: NodeId, b: NodeId, ty: Ctype) -> NodeId {
        self.define(Expr::Binary(op, a, b), ty)
    }

    pub(crate) fn compare(&mut self, op: Op, a: NodeId, b: NodeId) -> NodeId {
        self.binary(op, a, b, Ctype::BOOL)
    }

    pub(crate) fn select(&mut self, condition: NodeId, yes: NodeId, no: NodeId) -> NodeId {
        let ty = self.ty(yes);
        self.define(Expr::Select(condition, yes, no), ty)
    }

    /// The node in another type; itself if it has the type.
    pub(crate) fn cast(&mut self, ty: Ctype, node: NodeId) -> NodeId {
        if self.ty(node) == ty { node } else { self.define(Expr::Cast(node), ty) }
    }

    /// The one cast of `node` to `ty` that all users share; it stands right behind the node's definition.
    pub(crate) fn shared_cast(&mut self, ty: Ctype, node: NodeId) -> NodeId {
        if self.ty(node) == ty {
            return node;
        }
        if let Some(&cast) = self.casts.get(&node)
            && self.ty(cast) == ty
        {
            return cast;
        }
        let cast = self.push(Expr::Cast(node), ty, Class::Plain);
        self.casts.insert(node, cast);
        cast
    }

    /// The shared cast of the node, if it has one.
    pub(crate) fn shared_cast_of(&self, node: NodeId) -> Option<NodeId> {
        self.casts.get(&node).copied()
    }

    /// A value written as text with nodes in it.
    pub(crate) fn define_text(&mut self, pieces: Pieces, ty: Ctype) -> NodeId {
        self.define(Expr::Text(pieces), ty)
    }

    /// A literal; one of each type and text.
    pub(crate) fn literal(&mut self, literal: Literal) -> NodeId {
        let key = (literal.ty, literal.text.clone());
        if let Some(&node) = self.literal_ids.get(&key) {
            if let Expr::Literal(id) = self.node(node).expr {
                let position = &mut self.literals[id as usize].position;
                *position = literal.position.min(*position);
            }
            return node;
        }
        let (ty, id) = (literal.ty, self.literals.len() as u32);
        self.literals.push(literal);
        let node = self.push(Expr::Literal(id), ty, Class::Plain);
        self.literal_ids.insert(key, node);
        node
    }

    /// An integer literal that the code generator needs.
    pub(crate) fn integer(&mut self, ty: Ctype, value: i64) -> NodeId {
        self.integer_at(ty, value, u32::MAX)
    }

    /// An integer literal that the program defines at an offset of the source.
    pub(crate) fn integer_at(&mut self, ty: Ctype, value: i64, position: u32) -> NodeId {
        let text = match ty {
            Ctype::BOOL => String::from(if value != 0 { "true" } else { "false" }),
            _ => crate::literal::integer(value),
        };
        let is_const = ty != Ctype::UNSIGNED && ty != Ctype::INT;
        self.literal(Literal { text: text.into(), ty, is_const, value: Some(value), position })
    }

    /// A literal of view arithmetic.
    pub(crate) fn unsigned(&mut self, value: i64) -> NodeId {
        self.integer(Ctype::UNSIGNED, value)
    }

    /// An enumerator or other initializer that is declared without `const`.
    pub(crate) fn initializer(&mut self, ty: Ctype, text: &str) -> NodeId {
        self.literal(Literal { text: text.into(), ty, is_const: false, value: None, position: u32::MAX })
    }

    /// The value of an integer literal.
    pub(crate) fn constant(&self, node: NodeId) -> Option<i64> {
        match self.node(node).expr {
            Expr::Literal(id) => self.literals[id as usize].value,
            _ => None,
        }
    }

    /// A new label.
    pub(crate) fn label(&mut self) -> u32 {
        self.labels += 1;
        self.labels
    }

    pub(crate) fn statement(&mut self, pieces: Pieces) {
        self.items.push(Item::Do(pieces));
    }

    /// A statement of which there may be many: its text is kept once.
    pub(crate) fn repeated_statement(&mut self, text: String) {
        let pieces = match self.repeated.get(text.as_str()) {
            Some(&pieces) => pieces,
            None => {
                let pieces = self.write(|w| {
                    w.text(&text);
                });
                self.repeated.insert(text.into(), pieces);
                pieces
            }
        };
        self.statement(pieces);
    }

    /// A line without semicolon.
    pub(crate) fn line(&mut self, text: &str) {
        let pieces = self.write(|w| {
            w.text(text);
        });
        self.items.push(Item::Line(pieces));
    }

    /// Pieces that `build` writes.
    pub(crate) fn write(&mut self, build: impl FnOnce(&mut Writer<'_>)) -> Pieces {
        let start = self.pieces.len() as u32;
        build(&mut Writer { first: self.pieces.len(), pieces: &mut self.pieces, all: &mut self.text });
        Pieces { start, end: self.pieces.len() as u32 }
    }

    fn push(&mut self, expr: Expr, ty: Ctype, class: Class) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node { expr, ty, class, effect: false, reads_variable: false, pinned: false });
        let mut reads_variable = false;
        self.operands(id, |operand| reads_variable |= self.node(operand).class == Class::Variable);
        self.nodes[id.index()].reads_variable = reads_variable;
        id
    }
}

/// Appends pieces.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    first: usize,
    pieces: &'a mut Vec<Piece>,
    all: &'a mut String,
}

impl Writer<'_> {
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        if !text.is_empty() {
            let start = self.all.len() as u32;
            self.all.push_str(text);
            let end = self.all.len() as u32;
            match self.pieces[self.first..].last_mut() {
                Some(Piece::Text(_, last)) if *last == start => *last = end,
                _ => self.pieces.push(Piece::Text(start, end)),
            }
        }
        self
    }

    pub(crate) fn node(&mut self, node: NodeId) -> &mut Self {
        self.pieces.push(Piece::Node(node));
        self
    }

    pub(crate) fn ty(&mut self, ty: Ctype) -> &mut Self {
        self.pieces.push(Piece::Type(ty));
        self
    }

    /// The nodes, comma separated.
    pub(crate) fn list(&mut self, nodes: &[NodeId]) -> &mut Self {
        for (i, &node) in nodes.iter().enumerate() {
            self.text(if i == 0 { "" } else { ", " }).node(node);
        }
        self
    }
}
