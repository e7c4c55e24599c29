//! Integer arithmetic as the machine does it, for values that are known.
//!
//! Integers are held sign-extended in 64 bits, those of one bit as 0 or 1; `index` is 64 bits wide. What must hold: a result
//! is what the operation of `arith` gives in its width; where it has none (a division by zero, a shift too far), there is
//! none.

/// The result of an operation whose first operand and whose result have so many bits. An operand that is not known is
/// none; the one that a `select` does not take may be.
pub(super) fn apply(name: &str, predicate: &str, bits: [u32; 2], operands: &[Option<i64>]) -> Option<i64> {
    let [from, to] = bits;
    let value = match (name, operands) {
        ("select", &[condition, yes, no]) => return if condition? != 0 { yes } else { no },
        ("index_cast" | "extsi", &[a]) if from == 1 => -a?,
        ("index_cast" | "extsi" | "trunci", &[a]) => a?,
        ("index_castui" | "extui", &[a]) => unsigned(a?, from) as i64,
        ("cmpi", &[a, b]) => i64::from(compare(predicate, a?, b?, from)?),
        (_, &[a, b]) => binary(name, a?, b?, from)?,
        _ => return None,
    };
    Some(wrap(value, to))
}

fn binary(name: &str, a: i64, b: i64, bits: u32) -> Option<i64> {
    let (ua, ub) = (unsigned(a, bits), unsigned(b, bits));
    let shift = u32::try_from(ub).ok().filter(|&shift| shift < bits);
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
        "floordivsi" => rounded(a, b, |has_rest, is_negative| -i64::from(has_rest && is_negative))?,
        "ceildivsi" => rounded(a, b, |has_rest, is_negative| i64::from(has_rest && !is_negative))?,
        "ceildivui" => (ua.checked_div(ub)? + u64::from(ua % ub != 0)) as i64,
        "shli" => a << shift?,
        "shrsi" => a >> shift?,
        "shrui" => (ua >> shift?) as i64,
        "maxsi" => a.max(b),
        "minsi" => a.min(b),
        "maxui" => ua.max(ub) as i64,
        "minui" => ua.min(ub) as i64,
        _ => return None,
    })
}

/// A quotient and what rounding adds to it, given whether there is a rest and the quotient is less than zero.
fn rounded(a: i64, b: i64, more: impl Fn(bool, bool) -> i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    quotient.checked_add(more(a % b != 0, (a < 0) != (b < 0)))
}

fn compare(predicate: &str, a: i64, b: i64, bits: u32) -> Option<bool> {
    let (ua, ub) = (unsigned(a, bits), unsigned(b, bits));
    // One bit that is set is -1 as a signed number.
    let (a, b) = if bits == 1 { (-a, -b) } else { (a, b) };
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

/// The integer that a value is in so many bits.
fn wrap(value: i64, bits: u32) -> i64 {
    match bits {
        1 => value & 1,
        2..=63 => value << (64 - bits) >> (64 - bits),
        _ => value,
    }
}

fn unsigned(value: i64, bits: u32) -> u64 {
    if (1..=63).contains(&bits) { value as u64 & ((1 << bits) - 1) } else { value as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_wraps_in_its_width() {
        let of = |name, bits, a, b| apply(name, "", [bits, bits], &[Some(a), Some(b)]);
        assert_eq!((of("addi", 8, 127, 1), of("addi", 64, 127, 1)), (Some(-128), Some(128)));
        assert_eq!((of("remui", 64, -1, 3), of("remsi", 64, -1, 3)), (Some(0), Some(-1)));
        assert_eq!((of("divsi", 64, 1, 0), of("shli", 8, 1, 8)), (None, None));
        assert_eq!((of("floordivsi", 64, -3, 2), of("ceildivsi", 64, -3, 2)), (Some(-2), Some(-1)));
        assert_eq!((of("ceildivsi", 64, 3, 2), of("xori", 1, 1, 1)), (Some(2), Some(0)));
    }

    #[test]
    fn comparisons_casts_and_choices() {
        let less = |predicate| apply("cmpi", predicate, [32, 1], &[Some(-1), Some(0)]);
        assert_eq!((less("slt"), less("ult"), less("??")), (Some(1), Some(0), None));
        let cast = |name, bits, value| apply(name, "", bits, &[Some(value)]);
        assert_eq!((cast("extsi", [1, 8], 1), cast("extui", [1, 8], 1)), (Some(-1), Some(1)));
        assert_eq!((cast("trunci", [64, 8], 0x1ff), cast("extui", [8, 64], -1)), (Some(-1), Some(255)));
        let select = |condition| apply("select", "", [1, 64], &[condition, Some(5), None]);
        assert_eq!((select(Some(1)), select(Some(0)), select(None)), (Some(5), None, None));
    }
}
