//! Scalar arithmetic.
//!
//! The source's integers have no sign and wrap; C++ has undefined overflow for signed types. So sums and products
//! are computed in the unsigned type of the same width and converted back. `index` is 32 bits wide.

use pipewright_abi::ir::{attr_kind, type_kind};
use pipewright_abi::{OpId, PassError};

use crate::code::{Expr, Item, Literal, NodeId, Op};
use crate::function::{Lower, Value};
use crate::literal::{self, Float};
use crate::types::{Ctype, EXECUTED_LIST};

impl Lower<'_> {
    /// A constant becomes a literal at the top of the function.
    pub(crate) fn constant(&mut self, op: OpId) -> Result<(), PassError> {
        let result = self.m.result(op, 0);
        let ty = self.value_type(op, result)?;
        let position = self.m.op(op).span.start;
        let Some(value) = self.m.attr(op, "value") else {
            return Err(self.error(op, "a constant needs a value"));
        };
        let node = match value.kind {
            attr_kind::FLOAT | attr_kind::INT if float_format(ty).is_some() => {
                let number = if value.kind == attr_kind::FLOAT {
                    f64::from_bits(value.bits)
                } else {
                    value.bits as i64 as f64
                };
                self.float_literal(ty, number, position)
            }
            attr_kind::INT | attr_kind::BOOL if ty.bits() > 0 => {
                let number = value.bits as i64;
                let number = if self.is_index(result) {
                    self.index_value(op, number)?
                } else {
                    signed_value(number, ty)
                };
                self.code.integer_at(ty, number, position)
            }
            _ if self.m.type_of(result).kind == type_kind::VECTOR => {
                let text = if value.text.is_some() { self.m.str(value.text) } else { "" };
                let Some(lengths) = dense_list(text) else {
                    return Err(self.error(op, "only `dense<..>` lists of four lengths have a form in C++"));
                };
                self.code.initializer(ty, &format!("{EXECUTED_LIST}{{{lengths}}}"))
            }
            _ => return Err(self.error(op, "this constant has no form in C++")),
        };
        self.set_value(result, Value::Node(node));
        Ok(())
    }

    /// An `index` is computed with 64 bits in the source and has 32 in C++.
    fn index_value(&self, op: OpId, value: i64) -> Result<i64, PassError> {
        if i32::try_from(value).is_ok() {
            return Ok(value);
        }
        let message = format!("the index {value} does not fit the 32 bits that an index has in C++");
        Err(self.error(op, &message).with_help("use an i64 where the number is needed"))
    }

    fn float_literal(&mut self, ty: Ctype, value: f64, position: u32) -> NodeId {
        let format = float_format(ty).unwrap_or(Float::F64);
        let text = literal::float(value, format);
        self.code.literal(Literal { text: text.into(), ty, is_const: true, value: None, position })
    }

    /// An operation of the arith dialect.
    pub(crate) fn arith(&mut self, op: OpId, name: &str) -> Result<(), PassError> {
        if name == "arith.select" && self.m.results(op).any(|result| self.m.type_of(result).is_memory()) {
            return self.pick(op);
        }
        let mut operands = [NodeId(0); 3];
        let count = self.m.operands(op).len();
        if count == 0 || count > operands.len() || self.m.results(op).len() == 0 {
            return Err(self.unknown(op));
        }
        for (slot, operand) in operands.iter_mut().zip(self.m.operands(op)) {
            *slot = self.arith_operand(op, operand.value)?;
        }
        let [a, b, c] = operands;
        let result = self.m.result(op, 0);
        let ty = self.value_type(op, result)?;
        let name = name.strip_prefix("arith.").unwrap_or(name);
        let unary = count == 1;
        let node = match name {
            "addui_extended" | "mulsi_extended" | "mului_extended" if count == 2 => {
                return self.extended(op, name, a, b);
            }
            "select" if count == 3 => self.code.select(a, b, c),
            _ if unary => match self.conversion(name, a, ty) {
                Some(node) => node,
                None => return Err(self.unknown(op)),
            },
            "cmpi" | "cmpf" => self.comparison(op, name, a, b)?,
            _ if ty == Ctype::BOOL => self.bool_operation(name, a, b).ok_or_else(|| self.unknown(op))?,
            _ => match self.binary_operation(name, a, b, ty) {
                Some(node) => node,
                None => return Err(self.unknown(op)),
            },
        };
        self.set_value(result, Value::Node(node));
        Ok(())
    }

    fn unknown(&self, op: OpId) -> PassError {
        let name = self.m.op_name(op);
        self.error(op, &format!("`{name}` has no form in C++"))
    }

    /// The operand in the unsigned type of its width.
    fn unsigned(&mut self, a: NodeId) -> NodeId {
        let ty = Ctype::unsigned(self.code.ty(a).bits()).unwrap_or(self.code.ty(a));
        self.code.cast(ty, a)
    }

    fn binary_operation(&mut self, name: &str, a: NodeId, b: NodeId, ty: Ctype) -> Option<NodeId> {
        let wraps = match name {
            "addi" => Some(Op::Add),
            "subi" => Some(Op::Sub),
            "muli" => Some(Op::Mul),
            _ => None,
        };
        if let Some(op) = wraps {
            return Some(self.wrapping(op, a, b, ty));
        }
        let in_unsigned = match name {
            "andi" => Some(Op::BitAnd),
            "ori" => Some(Op::BitOr),
            "xori" => Some(Op::BitXor),
            "divui" => Some(Op::Div),
            "remui" => Some(Op::Rem),
            "shli" => Some(Op::Shl),
            "shrui" => Some(Op::Shr),
            _ => None,
        };
        if let Some(op) = in_unsigned {
            let (x, y) = (self.unsigned(a), self.unsigned(b));
            let unsigned = self.code.ty(x);
            let node = self.code.binary(op, x, y, unsigned);
            return Some(self.code.cast(ty, node));
        }
        let plain = match name {
            "divsi" | "divf" => Some(Op::Div),
            "remsi" => Some(Op::Rem),
            "addf" => Some(Op::Add),
            "subf" => Some(Op::Sub),
            "mulf" => Some(Op::Mul),
            _ => None,
        };
        if let Some(op) = plain {
            return Some(self.code.binary(op, a, b, ty));
        }
        Some(match name {
            "shrsi" => {
                let count = self.unsigned(b);
                self.code.binary(Op::Shr, a, count, ty)
            }
            "ceildivui" => {
                let (x, y, unsigned) = (self.unsigned(a), self.unsigned(b), self.unsigned(b));
                let kind = self.code.ty(y);
                let one = self.code.integer(kind, 1);
                let less = self.code.binary(Op::Sub, y, one, kind);
                let sum = self.code.binary(Op::Add, x, less, kind);
                let quotient = self.code.binary(Op::Div, sum, unsigned, kind);
                self.code.cast(ty, quotient)
            }
            "ceildivsi" => self.rounded_division(a, b, ty, Op::Eq, Op::Add),
            "floordivsi" => self.rounded_division(a, b, ty, Op::Ne, Op::Sub),
            "minsi" | "maxsi" | "minui" | "maxui" => {
                let (x, y) = if name.ends_with("ui") { (self.unsigned(a), self.unsigned(b)) } else { (a, b) };
                let less = self.code.compare(Op::Lt, x, y);
                if name.starts_with("min") {
                    self.code.select(less, a, b)
                } else {
                    self.code.select(less, b, a)
                }
            }
            "remf" => {
                if ty == Ctype::DOUBLE {
                    self.call_text("__builtin_fmod(", &[a, b], ty)
                } else {
                    let (x, y) = (self.code.cast(Ctype::FLOAT, a), self.code.cast(Ctype::FLOAT, b));
                    let node = self.call_text("__builtin_fmodf(", &[x, y], Ctype::FLOAT);
                    self.code.cast(ty, node)
                }
            }
            "maxnumf" | "minnumf" => {
                let less = self.code.compare(Op::Lt, a, b);
                let ordered = self.ordered_choice(less, a, b, name == "maxnumf");
                let (a_nan, b_nan) = (self.code.compare(Op::Ne, a, a), self.code.compare(Op::Ne, b, b));
                let inner = self.code.select(b_nan, a, ordered);
                self.code.select(a_nan, b, inner)
            }
            "maximumf" | "minimumf" => self.extremum(a, b, ty, name == "maximumf"),
            _ => return None,
        })
    }

    /// The larger or smaller operand, given whether `a` is the smaller one.
    fn ordered_choice(&mut self, less: NodeId, a: NodeId, b: NodeId, larger: bool) -> NodeId {
        if larger { self.code.select(less, b, a) } else { self.code.select(less, a, b) }
    }

    /// `q = a / b`, moved by one where the remainder asks for it.
    fn rounded_division(&mut self, a: NodeId, b: NodeId, ty: Ctype, signs: Op, step: Op) -> NodeId {
        let quotient = self.code.binary(Op::Div, a, b, ty);
        let (zero, one) = (self.code.integer(ty, 0), self.code.integer(ty, 1));
        let rest = self.code.binary(Op::Rem, a, b, ty);
        let inexact = self.code.compare(Op::Ne, rest, zero);
        let (a_negative, b_negative) =
            (self.code.compare(Op::Lt, a, zero), self.code.compare(Op::Lt, b, zero));
        let same = self.code.compare(signs, a_negative, b_negative);
        let moves = self.code.compare(Op::And, inexact, same);
        let moved = self.code.binary(step, quotient, one, ty);
        self.code.select(moves, moved, quotient)
    }

    /// The extremum that carries NaN on and tells the zeros apart.
    fn extremum(&mut self, a: NodeId, b: NodeId, ty: Ctype, larger: bool) -> NodeId {
        let (bits, sign) = match ty {
            Ctype::DOUBLE => (Ctype::U64, i64::MIN),
            Ctype::FLOAT => (Ctype::U32, 1 << 31),
            _ => (Ctype::U16, 1 << 15),
        };
        let pattern = self.bit_cast(a, bits);
        let zero = self.float_literal(ty, 0.0, u32::MAX);
        let mask = self.code.integer(bits, sign);
        let none = self.code.integer(bits, 0);
        let sign_bit = self.code.binary(Op::BitAnd, pattern, mask, bits);
        let negative = self.code.compare(Op::Ne, sign_bit, none);
        let among_zeros = self.ordered_choice(negative, a, b, larger);
        let less = self.code.compare(Op::Lt, a, b);
        let among_others = self.ordered_choice(less, a, b, larger);
        let equal = self.code.compare(Op::Eq, a, b);
        let is_zero = self.code.compare(Op::Eq, a, zero);
        let zeros = self.code.compare(Op::And, equal, is_zero);
        let numbers = self.code.select(zeros, among_zeros, among_others);
        let (a_nan, b_nan) = (self.code.compare(Op::Ne, a, a), self.code.compare(Op::Ne, b, b));
        let rest = self.code.select(b_nan, b, numbers);
        self.code.select(a_nan, a, rest)
    }

    fn bool_operation(&mut self, name: &str, a: NodeId, b: NodeId) -> Option<NodeId> {
        let op = match name {
            "addi" | "subi" | "xori" => Op::BitXor,
            "muli" | "andi" | "minui" | "maxsi" => Op::BitAnd,
            "ori" | "maxui" | "minsi" => Op::BitOr,
            "shli" | "shrui" | "shrsi" => {
                let (x, y) = (self.code.cast(Ctype::U8, a), self.code.cast(Ctype::U8, b));
                let op = if name == "shli" { Op::Shl } else { Op::Shr };
                let shifted = self.code.binary(op, x, y, Ctype::U8);
                let one = self.code.integer(Ctype::U8, 1);
                let bit = self.code.binary(Op::BitAnd, shifted, one, Ctype::U8);
                return Some(self.code.cast(Ctype::BOOL, bit));
            }
            _ => return None,
        };
        Some(self.code.compare(op, a, b))
    }

    fn conversion(&mut self, name: &str, a: NodeId, ty: Ctype) -> Option<NodeId> {
        let source = self.code.ty(a);
        let unsigned_target = || Ctype::unsigned(ty.bits()).unwrap_or(ty);
        Some(match name {
            "index_castui" if source.bits() < ty.bits() && source != Ctype::BOOL => {
                let raw = self.unsigned(a);
                let wide = self.code.cast(unsigned_target(), raw);
                self.code.cast(ty, wide)
            }
            "extsi" if source == Ctype::BOOL => {
                let zero = self.code.integer(ty, 0);
                let bit = self.code.cast(ty, a);
                self.code.binary(Op::Sub, zero, bit, ty)
            }
            "extui" if source != Ctype::BOOL => {
                let raw = self.unsigned(a);
                let wide = self.code.cast(unsigned_target(), raw);
                self.code.cast(ty, wide)
            }
            "trunci" if ty == Ctype::BOOL => {
                let raw = self.unsigned(a);
                let kind = self.code.ty(raw);
                let one = self.code.integer(kind, 1);
                let bit = self.code.binary(Op::BitAnd, raw, one, kind);
                self.code.cast(Ctype::BOOL, bit)
            }
            "uitofp" if source != Ctype::BOOL => {
                let raw = self.unsigned(a);
                self.code.cast(ty, raw)
            }
            "fptoui" => {
                let raw = self.code.cast(unsigned_target(), a);
                self.code.cast(ty, raw)
            }
            "index_cast"
            | "index_castui"
            | "extsi"
            | "extui"
            | "trunci"
            | "sitofp"
            | "uitofp"
            | "fptosi"
            | "extf"
            | "truncf"
            | "builtin.unrealized_conversion_cast" => self.code.cast(ty, a),
            "negf" => self.code.define(Expr::Negate(a), ty),
            "bitcast" => self.bit_cast(a, ty),
            _ => return None,
        })
    }

    fn bit_cast(&mut self, a: NodeId, ty: Ctype) -> NodeId {
        if self.code.ty(a) == ty {
            return a;
        }
        self.helpers.bitcast = true;
        let pieces = self.code.write(|w| {
            w.text("ptoas_bitcast<").ty(ty).text(">(").node(a).text(")");
        });
        self.code.define_text(pieces, ty)
    }

    /// `callee` (with its opening parenthesis) applied to the nodes.
    pub(crate) fn call_text(&mut self, callee: &str, operands: &[NodeId], ty: Ctype) -> NodeId {
        let pieces = self.code.write(|w| {
            w.text(callee).list(operands).text(")");
        });
        self.code.define_text(pieces, ty)
    }

    fn comparison(&mut self, op: OpId, name: &str, a: NodeId, b: NodeId) -> Result<NodeId, PassError> {
        const INTEGER: [&str; 10] = ["eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"];
        const FLOAT: [&str; 16] = [
            "false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule",
            "une", "uno", "true",
        ];
        let names: &[&str] = if name == "cmpi" { &INTEGER } else { &FLOAT };
        let predicate = match self.m.text_attr(op, "predicate") {
            Some(text) => names.iter().copied().find(|&n| n == text),
            None => self
                .m
                .int_attr(op, "predicate")
                .and_then(|code| names.get(usize::try_from(code).ok()?).copied()),
        };
        let Some(predicate) = predicate else {
            return Err(self.error(op, &format!("`{name}` needs a predicate")));
        };
        let relation = |text: &str| match text {
            "eq" => Op::Eq,
            "ne" => Op::Ne,
            "lt" => Op::Lt,
            "le" => Op::Le,
            "gt" => Op::Gt,
            _ => Op::Ge,
        };
        if name == "cmpi" {
            return Ok(match predicate.split_at(1) {
                ("e" | "n", _) => self.code.compare(relation(predicate), a, b),
                ("u", rest) => {
                    let (x, y) = (self.unsigned(a), self.unsigned(b));
                    self.code.compare(relation(rest), x, y)
                }
                (_, rest) => self.code.compare(relation(rest), a, b),
            });
        }
        Ok(match predicate {
            "false" | "true" => self.code.integer(Ctype::BOOL, i64::from(predicate == "true")),
            "ord" => self.both_numbers(a, b),
            "uno" => self.any_nan(a, b),
            _ => {
                let (ordered, rest) = predicate.split_at(1);
                if ordered == "o" {
                    // The reference computes the opposite first and never uses it.
                    let unordered = self.any_nan(a, b);
                    self.code.items.pop();
                    let at = self.code.items.len();
                    self.code.items.push(Item::Keep { node: unordered, owner: unordered });
                    let numbers = self.both_numbers(a, b);
                    let compared = self.code.compare(relation(rest), a, b);
                    let owner = self.code.compare(Op::And, numbers, compared);
                    self.code.items[at] = Item::Keep { node: unordered, owner };
                    owner
                } else {
                    let nan = self.any_nan(a, b);
                    let compared = self.code.compare(relation(rest), a, b);
                    self.code.compare(Op::Or, nan, compared)
                }
            }
        })
    }

    fn both_numbers(&mut self, a: NodeId, b: NodeId) -> NodeId {
        let (x, y) = (self.code.compare(Op::Eq, a, a), self.code.compare(Op::Eq, b, b));
        self.code.compare(Op::And, x, y)
    }

    fn any_nan(&mut self, a: NodeId, b: NodeId) -> NodeId {
        let (x, y) = (self.code.compare(Op::Ne, a, a), self.code.compare(Op::Ne, b, b));
        self.code.compare(Op::Or, x, y)
    }

    /// A sum with its carry, or a product with its high half: computed in the next wider type.
    fn extended(&mut self, op: OpId, name: &str, a: NodeId, b: NodeId) -> Result<(), PassError> {
        let ty = self.code.ty(a);
        let bits = ty.bits();
        let wide = if name == "mulsi_extended" { Ctype::signed(bits * 2) } else { Ctype::unsigned(bits * 2) };
        let Some(wide) = wide.filter(|_| bits > 1 && self.m.results(op).len() == 2) else {
            return Err(self.unknown(op));
        };
        let (x, y) = if name == "mulsi_extended" { (a, b) } else { (self.unsigned(a), self.unsigned(b)) };
        let (x, y) = (self.code.cast(wide, x), self.code.cast(wide, y));
        let kind = if name == "addui_extended" { Op::Add } else { Op::Mul };
        let whole = self.code.binary(kind, x, y, wide);
        let low = self.code.cast(ty, whole);
        let width = self.code.integer(Ctype::UNSIGNED, i64::from(bits));
        let high = self.code.binary(Op::Shr, whole, width, wide);
        let second = if kind == Op::Add {
            let zero = self.code.integer(wide, 0);
            self.code.compare(Op::Ne, high, zero)
        } else {
            self.code.cast(ty, high)
        };
        self.set_value(self.m.result(op, 0), Value::Node(low));
        self.set_value(self.m.result(op, 1), Value::Node(second));
        Ok(())
    }
}

/// The format of a floating-point C++ type.
fn float_format(ty: Ctype) -> Option<Float> {
    Some(match ty {
        Ctype::HALF => Float::F16,
        Ctype::BFLOAT => Float::Bf16,
        Ctype::FLOAT => Float::F32,
        Ctype::DOUBLE => Float::F64,
        _ => return None,
    })
}

/// The value of an integer of a type's width, read as signed.
fn signed_value(value: i64, ty: Ctype) -> i64 {
    match ty.bits() {
        1 => value & 1,
        bits if bits < 64 => {
            let shift = 64 - bits;
            value << shift >> shift
        }
        _ => value,
    }
}

/// The elements of `dense<0>` or `dense<[a, b, c, d]>`, four of them, comma separated.
fn dense_list(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix("dense<")?;
    let inner = &inner[..inner.find('>')?];
    let inner = inner.trim().trim_start_matches('[').trim_end_matches(']');
    let numbers: Vec<i64> = inner.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
    let numbers = match numbers[..] {
        [one] => vec![one; 4],
        [_, _, _, _] => numbers,
        _ => return None,
    };
    Some(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_lists_of_four() {
        assert_eq!(dense_list("dense<0>").as_deref(), Some("0, 0, 0, 0"));
        assert_eq!(dense_list("dense<[1, 2, 3, 4]> : vector<4xi16>").as_deref(), Some("1, 2, 3, 4"));
        assert_eq!(dense_list("dense<[1, 2]>"), None);
        assert_eq!(dense_list("sparse<0>"), None);
    }

    #[test]
    fn integers_are_read_as_signed() {
        assert_eq!(signed_value(255, Ctype::U8), -1);
        assert_eq!(signed_value(-1, Ctype::BOOL), 1);
        assert_eq!(signed_value(40000, Ctype::I16), 40000 - 65536);
    }
}
