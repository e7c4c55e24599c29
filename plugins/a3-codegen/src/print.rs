//! Text of one function body.
//!
//! Values are named `v1`, `v2`, ... in the order of their first declaration, parameters first. In *flat* form, which
//! `goto` needs because it must not jump over an initialization, every value is declared at the top and what would
//! be declarations are assignments.

use crate::code::{AliasKind, CONDITIONAL, Code, Expr, Item, NodeId, Op, PREFIX, Piece, Pieces};
use crate::form::{Form, shared_here};
use crate::types::{Ctype, Types};

/// Appends the lines between the braces of a function, given its signature's parameter names.
pub(crate) fn body(code: &Code, types: &Types, flat: bool, out: &mut String) {
    let form = Form::of(code);
    let mut printer =
        Printer { code, types, form, flat, names: vec![0; code.nodes.len()], next: 0, depth: 1, out };
    for &parameter in &code.parameters {
        printer.give_name(parameter);
    }
    printer.literals();
    if flat {
        printer.declarations();
    }
    printer.out.push_str("  using T = float;\n\n");
    for &item in &code.items {
        printer.item(item);
    }
}

struct Printer<'a> {
    code: &'a Code,
    types: &'a Types,
    form: Form,
    flat: bool,
    /// For each node its number, or 0.
    names: Vec<u32>,
    next: u32,
    depth: usize,
    out: &'a mut String,
}

impl Printer<'_> {
    fn item(&mut self, item: Item) {
        match item {
            Item::Define(node) | Item::Keep { node, .. } => {
                self.definition(node);
                self.shared_cast(node);
            }
            Item::Declare(node) if self.flat => {
                // The reference clears the variables that it declares for the results of a branch.
                if self.code.ty(node) == Ctype::BOOL {
                    self.statement(|p| {
                        p.name(node);
                        p.out.push_str(" = false");
                    });
                }
            }
            Item::Declare(node) => self.statement(|p| p.declarator(node)),
            Item::Argument(_) => {}
            Item::DeclareArray(node, count) => {
                if !self.flat {
                    self.statement(|p| p.array(node, count));
                }
            }
            Item::Do(pieces) => self.statement(|p| p.pieces(pieces)),
            Item::Assign { to, from } => self.statement(|p| {
                p.name(to);
                p.out.push_str(" = ");
                p.expression(from, 0);
            }),
            Item::Alias(ty, index, kind) => self.alias(ty, index, kind),
            Item::For { counter, lower, upper, step } => self.for_header(counter, lower, upper, step),
            Item::If(condition) => {
                self.indent();
                self.out.push_str("if (");
                self.expression(condition, 0);
                self.out.push_str(") {\n");
                self.depth += 1;
            }
            Item::Else => {
                self.depth -= 1;
                self.indent();
                self.out.push_str("} else {\n");
                self.depth += 1;
            }
            Item::End => {
                self.depth -= 1;
                self.indent();
                self.out.push_str("}\n");
            }
            Item::Return(value) => self.statement(|p| {
                p.out.push_str("return");
                if let Some(value) = value {
                    p.out.push(' ');
                    p.expression(value, 0);
                }
            }),
            Item::Line(pieces) => {
                if !self.code.pieces(pieces).is_empty() {
                    self.indent();
                    self.pieces(pieces);
                }
                self.out.push('\n');
            }
            Item::SharedCasts => {
                for node in shared_here(self.code) {
                    self.shared_cast(node);
                }
            }
            Item::Label(label) => {
                self.out.push_str("label");
                self.number(label);
                self.out.push_str(":\n");
            }
            Item::Goto(label) => self.goto(label),
            Item::Branch { condition, yes, no } => {
                self.item(Item::If(condition));
                self.goto(yes);
                self.item(Item::Else);
                self.goto(no);
                self.item(Item::End);
            }
        }
    }

    fn literals(&mut self) {
        for node in self.form.literals(self.code) {
            let Expr::Literal(id) = self.code.node(node).expr else { continue };
            let literal = &self.code.literals[id as usize];
            self.statement(|p| {
                if literal.is_const {
                    p.out.push_str("const ");
                }
                p.declarator(node);
                p.out.push_str(" = ");
                p.out.push_str(&literal.text);
            });
        }
    }

    /// Declares all values of the function.
    fn declarations(&mut self) {
        for &item in &self.code.items {
            match item {
                Item::Define(node) | Item::Keep { node, .. } => {
                    // A pipe has no state without its buffers; it is made where it stands, before any label.
                    let is_auto = self.code.ty(node) == Ctype::AUTO;
                    if self.form.is_statement(self.code, node) && !is_auto {
                        self.statement(|p| p.declarator(node));
                    }
                    self.declare_shared_cast(node);
                }
                Item::Declare(node) | Item::Argument(node) => self.statement(|p| p.declarator(node)),
                Item::DeclareArray(node, count) => self.statement(|p| p.array(node, count)),
                Item::For { counter, .. } => self.declare_shared_cast(counter),
                Item::SharedCasts => {
                    for node in shared_here(self.code) {
                        self.declare_shared_cast(node);
                    }
                }
                _ => {}
            }
        }
    }

    fn declare_shared_cast(&mut self, node: NodeId) {
        if let Some(cast) = self.code.shared_cast_of(node)
            && self.form.is_statement(self.code, cast)
        {
            self.statement(|p| p.declarator(cast));
        }
    }

    fn definition(&mut self, node: NodeId) {
        if !self.form.is_statement(self.code, node) {
            return;
        }
        self.statement(|p| {
            if p.flat && p.names[node.index()] != 0 {
                p.name(node);
            } else {
                p.declarator(node);
            }
            p.out.push_str(" = ");
            p.tree(node);
        });
    }

    fn shared_cast(&mut self, node: NodeId) {
        if let Some(cast) = self.code.shared_cast_of(node) {
            self.definition(cast);
        }
    }

    fn for_header(&mut self, counter: NodeId, lower: NodeId, upper: NodeId, step: NodeId) {
        self.indent();
        self.out.push_str("for (");
        self.declarator(counter);
        self.out.push_str(" = ");
        self.expression(lower, 0);
        self.out.push_str("; ");
        self.name(counter);
        self.out.push_str(" < ");
        if self.form.is_inline(upper) {
            self.out.push('(');
            self.expression(upper, 0);
            self.out.push(')');
        } else {
            self.name(upper);
        }
        self.out.push_str("; ");
        self.name(counter);
        self.out.push_str(" += ");
        self.expression(step, 0);
        self.out.push_str(") {\n");
        self.depth += 1;
        self.shared_cast(counter);
    }

    fn alias(&mut self, ty: Ctype, index: u32, kind: AliasKind) {
        self.statement(|p| {
            let (prefix, suffix) = match kind {
                AliasKind::Shape => ("using GTShape_", ""),
                AliasKind::Stride => ("using GTStride_", ""),
                AliasKind::Layout => ("constexpr pto::Layout GT_", "_layout"),
                AliasKind::Tensor => ("using GT_", ""),
            };
            p.out.push_str(prefix);
            p.number(index);
            p.out.push_str(suffix);
            p.out.push_str(" = ");
            p.out.push_str(p.types.text(ty));
        });
    }

    /// `T v`, with what a GlobalTensor needs to be declared without a value.
    fn declarator(&mut self, node: NodeId) {
        let ty = self.code.ty(node);
        self.out.push_str(self.types.text(ty));
        self.out.push(' ');
        self.give_name(node);
        self.name(node);
        let unbound = match self.code.node(node).expr {
            Expr::Name => true,
            _ => self.flat && self.depth == 1,
        };
        if unbound && self.types.text(ty).starts_with("GlobalTensor<") {
            self.out.push_str("(nullptr)");
        }
    }

    fn array(&mut self, node: NodeId, count: u32) {
        self.out.push_str(self.types.text(self.code.ty(node)));
        self.out.push(' ');
        self.give_name(node);
        self.name(node);
        self.out.push('[');
        self.number(count);
        self.out.push_str("] = {}");
    }

    /// The node as an operand: its name, or its tree, in parentheses if it binds weaker than `least`.
    fn expression(&mut self, node: NodeId, least: u8) {
        if !self.form.is_inline(node) {
            return self.name(node);
        }
        if precedence(self.code, node) < least {
            self.out.push('(');
            self.tree(node);
            self.out.push(')');
        } else {
            self.tree(node);
        }
    }

    /// How the node is computed.
    fn tree(&mut self, node: NodeId) {
        match self.code.node(node).expr {
            Expr::Name | Expr::Literal(_) => self.name(node),
            Expr::Negate(a) => {
                self.out.push('-');
                self.expression(a, PREFIX + 1);
            }
            Expr::Cast(a) => {
                self.out.push('(');
                self.out.push_str(self.types.text(self.code.ty(node)));
                self.out.push_str(") ");
                self.expression(a, PREFIX + 1);
            }
            Expr::Binary(op, a, b) => {
                let least = op.precedence();
                self.expression(a, if self.needs_care(op, a) { PREFIX } else { least });
                self.out.push(' ');
                self.out.push_str(op.text());
                self.out.push(' ');
                self.expression(b, if self.needs_care(op, b) { PREFIX } else { least + 1 });
            }
            Expr::Select(condition, yes, no) => {
                self.expression(condition, CONDITIONAL + 1);
                self.out.push_str(" ? ");
                self.expression(yes, CONDITIONAL + 1);
                self.out.push_str(" : ");
                self.expression(no, CONDITIONAL + 1);
            }
            Expr::Call(pieces) | Expr::Text(pieces) => self.pieces(pieces),
        }
    }

    /// Whether compilers warn about the operand without parentheses, though the language needs none.
    fn needs_care(&self, op: Op, operand: NodeId) -> bool {
        let careful = matches!(op, Op::Eq | Op::Ne | Op::BitAnd | Op::BitXor | Op::BitOr | Op::Shl | Op::Shr);
        match self.code.node(operand).expr {
            Expr::Binary(inner, ..) => careful || (op == Op::Or && inner == Op::And),
            _ => false,
        }
    }

    fn pieces(&mut self, pieces: Pieces) {
        let pieces = self.code.pieces(pieces);
        for (i, piece) in pieces.iter().enumerate() {
            match *piece {
                Piece::Node(node) => {
                    // Between brackets and commas any expression may stand, elsewhere only a primary one.
                    let delimited = self.out.trim_end_matches(' ').ends_with(['(', '[', '{', ','])
                        && match pieces.get(i + 1) {
                            Some(&Piece::Text(start, end)) => {
                                self.code.piece_text(start, end).starts_with([')', ']', '}', ','])
                            }
                            _ => false,
                        };
                    self.expression(node, if delimited { 0 } else { PREFIX + 1 });
                }
                Piece::Type(ty) => self.out.push_str(self.types.text(ty)),
                Piece::Text(start, end) => self.out.push_str(self.code.piece_text(start, end)),
            }
        }
    }

    fn statement(&mut self, print: impl FnOnce(&mut Self)) {
        self.indent();
        print(self);
        self.out.push_str(";\n");
    }

    fn goto(&mut self, label: u32) {
        self.statement(|p| {
            p.out.push_str("goto label");
            p.number(label);
        });
    }

    fn give_name(&mut self, node: NodeId) {
        let name = &mut self.names[node.index()];
        if *name == 0 {
            self.next += 1;
            *name = self.next;
        }
    }

    fn name(&mut self, node: NodeId) {
        let number = self.names[node.index()];
        debug_assert!(number != 0, "{node:?} is used before it is declared");
        self.out.push('v');
        self.number(number);
    }

    fn number(&mut self, number: u32) {
        let mut digits = [0u8; 10];
        let (mut at, mut rest) = (digits.len(), number);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.extend(digits[at..].iter().map(|&d| char::from(d)));
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
    }
}

fn precedence(code: &Code, node: NodeId) -> u8 {
    match code.node(node).expr {
        Expr::Negate(_) | Expr::Cast(_) => PREFIX,
        Expr::Binary(op, ..) => op.precedence(),
        Expr::Select(..) => CONDITIONAL,
        Expr::Name | Expr::Literal(_) | Expr::Call(_) | Expr::Text(_) => PREFIX + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Class;

    /// The body of a function with three parameters that returns what `build` makes of them.
    fn returned(build: impl Fn(&mut Code, [NodeId; 3]) -> NodeId) -> String {
        let mut code = Code::default();
        let parameters = [(); 3].map(|()| code.name(Ctype::I32, Class::Plain));
        code.parameters.extend(parameters);
        let value = build(&mut code, parameters);
        code.items.push(Item::Return(Some(value)));
        let mut out = String::new();
        body(&code, &Types::new(), false, &mut out);
        let line = out.lines().find(|line| line.contains("return")).unwrap();
        line.trim().trim_start_matches("return ").trim_end_matches(';').to_owned()
    }

    #[test]
    fn parentheses_follow_the_tree() {
        let int = Ctype::I32;
        let nested = returned(|c, [x, y, z]| {
            let inner = c.binary(Op::Sub, y, z, int);
            let middle = c.binary(Op::Sub, x, inner, int);
            c.binary(Op::Mul, x, middle, int)
        });
        assert_eq!(nested, "v1 * (v1 - (v2 - v3))");
        let left = returned(|c, [x, y, z]| {
            let inner = c.binary(Op::Sub, x, y, int);
            c.binary(Op::Sub, inner, z, int)
        });
        assert_eq!(left, "v1 - v2 - v3");
        let quotient = returned(|c, [x, y, z]| {
            let inner = c.binary(Op::Div, x, y, Ctype::I64);
            let narrow = c.cast(int, inner);
            c.binary(Op::Add, narrow, z, int)
        });
        assert_eq!(quotient, "(int32_t) (v1 / v2) + v3");
        let chosen = returned(|c, [x, y, z]| {
            let less = c.compare(Op::Lt, x, y);
            let inner = c.select(less, x, y);
            let equal = c.compare(Op::Eq, inner, z);
            c.select(equal, y, z)
        });
        assert_eq!(chosen, "(v1 < v2 ? v1 : v2) == v3 ? v2 : v3");
        let negated = returned(|c, [x, ..]| {
            let minus = c.define(Expr::Negate(x), int);
            c.define(Expr::Negate(minus), int)
        });
        assert_eq!(negated, "-(-v1)");
    }

    #[test]
    fn text_around_an_operand_decides_its_parentheses() {
        let text = returned(|c, [x, y, _]| {
            let sum = c.binary(Op::Add, x, y, Ctype::I32);
            let pieces = c.write(|w| {
                w.text("(event_t) ").node(sum);
            });
            c.define_text(pieces, Ctype::I32)
        });
        assert_eq!(text, "v4");
        let mut code = Code::default();
        let x = code.name(Ctype::I32, Class::Plain);
        code.parameters.push(x);
        let [first, second] = [0, 1].map(|_| code.binary(Op::Add, x, x, Ctype::I32));
        let pieces = code.write(|w| {
            w.text("f(").node(first).text(") + ").node(second);
        });
        code.define_effect(Expr::Text(pieces), Ctype::I32);
        let mut out = String::new();
        body(&code, &Types::new(), false, &mut out);
        assert!(out.contains("int32_t v2 = f(v1 + v1) + (v1 + v1);"), "{out}");
    }

    #[test]
    fn flat_form_declares_first_and_assigns_later() {
        let mut code = Code::default();
        let x = code.name(Ctype::I32, Class::Plain);
        code.parameters.push(x);
        let one = code.integer(Ctype::I32, 1);
        let square = code.binary(Op::Mul, x, one, Ctype::I32);
        let label = code.label();
        code.items.push(Item::Goto(label));
        code.items.push(Item::Label(label));
        let sum = code.binary(Op::Add, square, square, Ctype::I32);
        code.items.push(Item::Return(Some(sum)));
        let mut out = String::new();
        body(&code, &Types::new(), true, &mut out);
        let expected = "  const int32_t v2 = 1;\n  int32_t v3;\n  using T = float;\n\n  v3 = v1 * v2;\n  goto label1;\n\
                        label1:\n  return v3 + v3;\n";
        assert_eq!(out, expected);
    }
}
