//! Text of numbers in C++.

use num_bigint::BigUint;

/// A floating-point format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    /// Decimal digits that tell any two numbers of the format apart.
    fn digits(self) -> u64 {
        match self {
            Self::F16 => 5,
            Self::Bf16 => 4,
            Self::F32 => 9,
            Self::F64 => 17,
        }
    }

    /// Bits of the fraction and smallest exponent of a normal number.
    fn layout(self) -> (i32, i32, f64) {
        match self {
            Self::F16 => (10, -14, 65504.0),
            Self::Bf16 => (7, -126, 3.3895313892515355e38),
            Self::F32 => (23, -126, f32::MAX as f64),
            Self::F64 => (52, -1022, f64::MAX),
        }
    }

    /// The number of this format nearest to `x`, ties to even; infinity if it is out of range.
    pub(crate) fn round(self, x: f64) -> f64 {
        if self == Self::F64 || x == 0.0 || !x.is_finite() {
            return x;
        }
        let (fraction, least, largest) = self.layout();
        let exponent = ((x.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(least);
        // Both powers of two are normal doubles, so scaling is exact.
        let unit = 2f64.powi(exponent - fraction);
        let rounded = (x / unit).round_ties_even() * unit;
        if rounded.abs() > largest { f64::INFINITY.copysign(x) } else { rounded }
    }
}

/// The text of `x`, a number of the format: `0.5f`, `1.0E+4f`, `9.99999974E-5f`.
///
/// The digits are those of the exact decimal value, cut to a few more than the format needs and then rounded, which
/// gives the same spelling as the reference and always reads back as the same number.
pub(crate) fn float(x: f64, format: Float) -> String {
    let suffix = if format == Float::F64 { "" } else { "f" };
    let x = format.round(x);
    if x.is_nan() {
        return format!("__builtin_nan{suffix}(\"\")");
    }
    let sign = if x.is_sign_negative() { "-" } else { "" };
    if x.is_infinite() {
        return format!("{sign}__builtin_inf{suffix}()");
    }
    if x == 0.0 {
        return format!("{sign}0.0{suffix}");
    }
    let (digits, exponent) = decimal(x.abs(), format.digits());
    format!("{sign}{}{suffix}", spell(&digits, exponent, format.digits()))
}

/// Significant digits of a positive number and the power of ten that its last digit counts.
fn decimal(x: f64, precision: u64) -> (String, i64) {
    let bits = x.to_bits();
    let (field, fraction) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
    let (mut mantissa, mut power) =
        if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field - 1075) };
    let shift = mantissa.trailing_zeros();
    mantissa >>= shift;
    power += i64::from(shift);

    let (mut number, mut exponent) = if power >= 0 {
        (BigUint::from(mantissa) << power as u64, 0)
    } else {
        (BigUint::from(mantissa) * BigUint::from(5u32).pow(-power as u32), power)
    };
    let enough = (196 * precision).div_ceil(59);
    if number.bits() > enough {
        let drop = (number.bits() - enough) * 59 / 196;
        number /= BigUint::from(10u32).pow(drop as u32);
        exponent += drop as i64;
    }
    let mut digits = number.to_string();
    trim(&mut digits, &mut exponent);
    let precision = precision as usize;
    if digits.len() > precision {
        let up = digits.as_bytes()[precision] >= b'5';
        exponent += (digits.len() - precision) as i64;
        digits.truncate(precision);
        if up {
            let rounded = digits.parse::<u64>().map_or(0, |n| n + 1);
            digits = rounded.to_string();
        }
        trim(&mut digits, &mut exponent);
    }
    (digits, exponent)
}

/// Removes trailing zeros of a number that is not zero.
fn trim(digits: &mut String, exponent: &mut i64) {
    while digits.len() > 1 && digits.ends_with('0') {
        digits.pop();
        *exponent += 1;
    }
}

/// `digits` times ten to the `exponent`, plain where that is short, else in scientific form.
fn spell(digits: &str, exponent: i64, precision: u64) -> String {
    let count = digits.len() as i64;
    if (0..=3).contains(&exponent) && count + exponent <= precision as i64 {
        return format!("{digits}{}.0", "0".repeat(exponent as usize));
    }
    let leading = exponent + count - 1;
    if exponent < 0 && leading >= -3 {
        return if leading >= 0 {
            let (whole, rest) = digits.split_at((count + exponent) as usize);
            format!("{whole}.{rest}")
        } else {
            format!("0.{}{digits}", "0".repeat((-leading - 1) as usize))
        };
    }
    let (first, rest) = digits.split_at(1);
    let rest = if rest.is_empty() { "0" } else { rest };
    format!("{first}.{rest}E{leading:+}")
}

/// The text of an integer; the least 64-bit one has no literal of its own in C++.
pub(crate) fn integer(value: i64) -> String {
    if value == i64::MIN { format!("({} - 1)", value + 1) } else { value.to_string() }
}

/// `text` between quotes, with what C++ needs escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_spelled_as_the_reference_spells_them() {
        let cases = [
            (0.0, "0.0f"),
            (-0.0, "-0.0f"),
            (0.5, "0.5f"),
            (127.0, "127.0f"),
            (1000.0, "1000.0f"),
            (10000.0, "1.0E+4f"),
            (0.0078125, "0.0078125f"),
            (1e-4, "9.99999974E-5f"),
            (0.0001220703125, "1.22070313E-4f"),
            (-1.0, "-1.0f"),
            (1e-6, "9.99999997E-7f"),
            (3.4028234663852886e38, "3.40282347E+38f"),
            (f64::INFINITY, "__builtin_inff()"),
            (f64::NEG_INFINITY, "-__builtin_inff()"),
            (f64::NAN, "__builtin_nanf(\"\")"),
            (1e39, "__builtin_inff()"),
        ];
        for (x, text) in cases {
            assert_eq!(float(x, Float::F32), text, "{x:e}");
        }
    }

    #[test]
    fn every_format_has_its_own_digits() {
        assert_eq!(float(0.1, Float::F16), "0.099976f");
        assert_eq!(float(0.1, Float::Bf16), "0.1001f");
        assert_eq!(float(0.1, Float::F64), "0.10000000000000001");
        assert_eq!(float(65519.0, Float::F16), "65504.0f");
        assert_eq!(float(65520.0, Float::F16), "__builtin_inff()");
        assert_eq!(float(5e-324, Float::F64), "4.9406564584124654E-324");
    }

    #[test]
    fn rounding_carries_into_a_new_digit() {
        assert_eq!(spell("1", 1, 5), "10.0");
        let (digits, exponent) = decimal(1.0699999996, 9);
        assert_eq!((digits.as_str(), exponent), ("107", -2));
    }

    #[test]
    fn single_precision_text_reads_back() {
        for bits in (1u32..0x7f80_0000).step_by(7_654_321) {
            let x = f32::from_bits(bits);
            let text = float(f64::from(x), Float::F32);
            assert_eq!(text.trim_end_matches('f').parse::<f32>().unwrap().to_bits(), bits, "{text}");
        }
    }

    #[test]
    fn integers_and_strings() {
        assert_eq!(integer(-1), "-1");
        assert_eq!(integer(i64::MIN), "(-9223372036854775807 - 1)");
        assert_eq!(quoted("a\"b\\\n"), "\"a\\\"b\\\\\\n\"");
    }
}
