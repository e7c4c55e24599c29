//! Constant folding of one `arith` operation.
//!
//! Integers are held sign-extended in 64 bits; `index` is 64 bits wide. `i1` is 0 or 1.

use pipewright_abi::ir::type_kind;

/// A constant of an integer or floating-point type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Constant {
    Int(i64),
    Float(f64),
}

/// Kind and width of a type that folding understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) kind: u32,
    pub(crate) width: u32,
}

impl Scalar {
    fn bits(self) -> u32 {
        if self.kind == type_kind::INDEX { 64 } else { self.width }
    }

    /// The integer that `value` is in this type.
    pub(super) fn wrap(self, value: i64) -> i64 {
        match self.bits() {
            1 => value & 1,
            bits @ 2..=63 => value << (64 - bits) >> (64 - bits),
            _ => value,
        }
    }

    fn unsigned(self, value: i64) -> u64 {
        match self.bits() {
            bits @ 1..=63 => value as u64 & ((1 << bits) - 1),
            _ => value as u64,
        }
    }
}

/// What an operation folds to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Folded {
    /// A constant of the result type.
    Constant(Constant),
    /// The operand of that number.
    Operand(usize),
}

/// An operand as folding sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<T> {
    pub(crate) id: T,
    pub(crate) constant: Option<Constant>,
}

/// Whether swapping the two operands changes nothing.
pub(super) fn commutes(name: &str) -> bool {
    matches!(
        name,
        "addi"
            | "muli"
            | "andi"
            | "ori"
            | "xori"
            | "maxsi"
            | "maxui"
            | "minsi"
            | "minui"
            | "addf"
            | "mulf"
            | "maximumf"
            | "minimumf"
            | "maxnumf"
            | "minnumf"
    )
}

/// The comparison with its operands swapped.
pub(super) fn swapped(predicate: &str) -> Option<&'static str> {
    Some(match predicate {
        "eq" => "eq",
        "ne" => "ne",
        "slt" => "sgt",
        "sle" => "sge",
        "sgt" => "slt",
        "sge" => "sle",
        "ult" => "ugt",
        "ule" => "uge",
        "ugt" => "ult",
        "uge" => "ule",
        _ => return None,
    })
}

/// Folds the operation `arith.{name}`. `from` is the type of the first operand, `to` that of the result.
pub(crate) fn fold<T: Copy + PartialEq>(
    name: &str,
    predicate: &str,
    inputs: &[Input<T>],
    from: Scalar,
    to: Scalar,
) -> Option<Folded> {
    use Constant::{Float, Int};
    let constant = |c| Some(Folded::Constant(c));
    if let [only] = inputs {
        return match (name, only.constant?) {
            ("index_cast" | "extsi" | "trunci", Int(a)) => {
                // Extension from `i1` repeats its one bit.
                let a = if from.bits() == 1 && name != "trunci" { -a } else { a };
                constant(Int(to.wrap(a)))
            }
            ("index_castui" | "extui", Int(a)) => constant(Int(to.wrap(from.unsigned(a) as i64))),
            ("sitofp", Int(a)) if to.width >= 32 => constant(Float(round(a as f64, to))),
            ("uitofp", Int(a)) if to.width >= 32 => constant(Float(round(from.unsigned(a) as f64, to))),
            ("extf", Float(a)) => constant(Float(a)),
            ("negf", Float(a)) => constant(Float(-a)),
            _ => None,
        };
    }
    if name == "select" {
        let [condition, yes, no] = inputs else { return None };
        return match (condition.constant, yes.constant, no.constant) {
            (Some(Int(c)), _, _) => Some(Folded::Operand(if c == 0 { 2 } else { 1 })),
            _ if yes.id == no.id => Some(Folded::Operand(1)),
            (None, Some(Int(1)), Some(Int(0))) if to.bits() == 1 => Some(Folded::Operand(0)),
            _ => None,
        };
    }
    let [a, b] = inputs else { return None };
    if let (Some(Int(a)), Some(Int(b))) = (a.constant, b.constant) {
        return fold_ints(name, predicate, a, b, from).map(|value| Folded::Constant(Int(to.wrap(value))));
    }
    if let (Some(Float(a)), Some(Float(b))) = (a.constant, b.constant) {
        return fold_floats(name, a, b, to).map(|value| Folded::Constant(Float(value)));
    }
    if a.id == b.id {
        match name {
            "subi" | "xori" => return constant(Int(0)),
            "maxsi" | "maxui" | "minsi" | "minui" | "andi" | "ori" => return Some(Folded::Operand(0)),
            "cmpi" => return constant(Int(i64::from(compare(predicate, 0, 0, from)?))),
            _ => {}
        }
    }
    let all_ones = from.wrap(-1);
    match (name, b.constant?) {
        ("addi" | "subi" | "ori" | "xori" | "shli" | "shrsi" | "shrui", Int(0)) => Some(Folded::Operand(0)),
        ("muli" | "divsi" | "divui" | "ceildivsi" | "floordivsi" | "ceildivui", Int(1))
            if from.bits() > 1 =>
        {
            Some(Folded::Operand(0))
        }
        ("muli" | "andi", Int(0)) => constant(Int(0)),
        ("remsi" | "remui", Int(1)) if from.bits() > 1 => constant(Int(0)),
        ("andi", Int(ones)) if ones == all_ones => Some(Folded::Operand(0)),
        ("mulf" | "divf", Float(1.0)) => Some(Folded::Operand(0)),
        ("subf", Float(zero)) if zero == 0.0 && zero.is_sign_positive() => Some(Folded::Operand(0)),
        _ => None,
    }
}

fn fold_ints(name: &str, predicate: &str, a: i64, b: i64, ty: Scalar) -> Option<i64> {
    let (ua, ub) = (ty.unsigned(a), ty.unsigned(b));
    let shift = u32::try_from(ub).ok().filter(|&s| s < ty.bits());
    Some(match name {
        "addi" => a.wrapping_add(b),
        "subi" => a.wrapping_sub(b),
        "muli" => a.wrapping_mul(b),
        "andi" => a & b,
        "ori" => a | b,
        "xori" => a ^ b,
        "divsi" => a.checked_div(b)?,
        "remsi" => a.checked_rem(b)?,
        "divui" => ua.checked_div(ub)? as i64,
        "remui" => ua.checked_rem(ub)? as i64,
        "ceildivui" => ua.checked_add(ub.checked_sub(1)?)?.checked_div(ub)? as i64,
        "ceildivsi" => {
            let quotient = a.checked_div(b)?;
            if a % b != 0 && (a < 0) == (b < 0) { quotient + 1 } else { quotient }
        }
        "floordivsi" => {
            let quotient = a.checked_div(b)?;
            if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient }
        }
        "shli" => a.wrapping_shl(shift?),
        "shrsi" => a >> shift?,
        "shrui" => (ua >> shift?) as i64,
        "maxsi" => a.max(b),
        "minsi" => a.min(b),
        "maxui" => ua.max(ub) as i64,
        "minui" => ua.min(ub) as i64,
        "cmpi" => i64::from(compare(predicate, a, b, ty)?),
        _ => return None,
    })
}

fn compare(predicate: &str, a: i64, b: i64, ty: Scalar) -> Option<bool> {
    let (ua, ub) = (ty.unsigned(a), ty.unsigned(b));
    Some(match predicate {
        "eq" => a == b,
        "ne" => a != b,
        "slt" => a < b,
        "sle" => a <= b,
        "sgt" => a > b,
        "sge" => a >= b,
        "ult" => ua < ub,
        "ule" => ua <= ub,
        "ugt" => ua > ub,
        "uge" => ua >= ub,
        _ => return None,
    })
}

/// Arithmetic in the type itself; 16-bit types are left alone.
fn fold_floats(name: &str, a: f64, b: f64, ty: Scalar) -> Option<f64> {
    let value = match name {
        "addf" => a + b,
        "subf" => a - b,
        "mulf" => a * b,
        "divf" => a / b,
        _ => return None,
    };
    // One operation in double precision, rounded to single, is the single-precision result.
    (ty.kind == type_kind::FLOAT && ty.width >= 32).then(|| round(value, ty))
}

fn round(value: f64, ty: Scalar) -> f64 {
    if ty.width == 32 { f64::from(value as f32) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I8: Scalar = Scalar { kind: type_kind::INT, width: 8 };
    const INDEX: Scalar = Scalar { kind: type_kind::INDEX, width: 0 };
    const I1: Scalar = Scalar { kind: type_kind::INT, width: 1 };

    fn int(id: u32, value: i64) -> Input<u32> {
        Input { id, constant: Some(Constant::Int(value)) }
    }

    fn unknown(id: u32) -> Input<u32> {
        Input { id, constant: None }
    }

    #[test]
    fn arithmetic_wraps_in_the_width_of_the_type() {
        let add = |ty, a, b| fold("addi", "", &[int(0, a), int(1, b)], ty, ty);
        assert_eq!(add(I8, 127, 1), Some(Folded::Constant(Constant::Int(-128))));
        assert_eq!(add(INDEX, 127, 1), Some(Folded::Constant(Constant::Int(128))));
        let divide = fold("divui", "", &[int(0, -2), int(1, 2)], I8, I8);
        assert_eq!(divide, Some(Folded::Constant(Constant::Int(127))));
        assert_eq!(fold("divsi", "", &[int(0, 5), int(1, 0)], I8, I8), None);
    }

    #[test]
    fn identities_keep_the_operand() {
        assert_eq!(fold("addi", "", &[unknown(7), int(1, 0)], INDEX, INDEX), Some(Folded::Operand(0)));
        assert_eq!(fold("andi", "", &[unknown(7), int(1, -1)], I8, I8), Some(Folded::Operand(0)));
        assert_eq!(
            fold("subi", "", &[unknown(7), unknown(7)], I8, I8),
            Some(Folded::Constant(Constant::Int(0)))
        );
        assert_eq!(fold("subi", "", &[unknown(7), unknown(8)], I8, I8), None);
    }

    #[test]
    fn comparisons_and_selections() {
        let cmp = |p| fold("cmpi", p, &[int(0, -1), int(1, 1)], I8, I1);
        assert_eq!(cmp("slt"), Some(Folded::Constant(Constant::Int(1))));
        assert_eq!(cmp("ult"), Some(Folded::Constant(Constant::Int(0))));
        let select = [int(0, 0), unknown(1), unknown(2)];
        assert_eq!(fold("select", "", &select, I1, I8), Some(Folded::Operand(2)));
    }

    #[test]
    fn casts_extend_by_sign() {
        assert_eq!(fold("extsi", "", &[int(0, 1)], I1, I8), Some(Folded::Constant(Constant::Int(-1))));
        assert_eq!(fold("extui", "", &[int(0, -1)], I8, INDEX), Some(Folded::Constant(Constant::Int(255))));
        assert_eq!(
            fold("trunci", "", &[int(0, 0x1ff)], INDEX, I8),
            Some(Folded::Constant(Constant::Int(-1)))
        );
    }
}
