//! What conditions of the operation table ask of values: element type, layout, valid shape.
//!
//! What must hold: an answer that depends on what is known only at run time is [`Truth::Unknown`], never a guess. Who
//! asks decides what is safe then.

use crate::ValueId;
use crate::ir::{DYNAMIC, Module, Type, type_kind};
use crate::target::condition_kind;

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not.
    No,
    /// It is known only at run time.
    Unknown,
    /// It does.
    Yes,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// Whether a value satisfies a condition of kind [`condition_kind::TYPE`], [`condition_kind::LAYOUT`] or
/// [`condition_kind::SHAPE`]: whether one of `wanted` is so. A condition of another kind is unknown.
pub fn of_value<'w>(
    module: &Module<'_>,
    kind: u32,
    value: ValueId,
    wanted: impl IntoIterator<Item = &'w str>,
) -> Truth {
    let Some(value) = module.t.values.get(value.index()) else { return Truth::Unknown };
    let Some(ty) = module.t.types.get(value.ty.index()) else { return Truth::Unknown };
    let one = |text: &str| match kind {
        condition_kind::TYPE => has_type(module, ty, text),
        condition_kind::LAYOUT => has_layout(module, ty, text),
        condition_kind::SHAPE => Comparisons::parse(text).map_or(Truth::Unknown, |c| c.holds(module, ty)),
        _ => Truth::Unknown,
    };
    wanted.into_iter().map(one).max().unwrap_or(Truth::No)
}

/// The element type, or for a number the type itself: `int` and `float` stand for all widths.
fn has_type(module: &Module<'_>, ty: &Type, text: &str) -> Truth {
    let element = ty.element.get().map_or(ty, |element| module.ty(element));
    match (text, element.kind) {
        (_, type_kind::OTHER) if text != module.str(element.text) => Truth::from(text == "float"),
        ("int", kind) => (kind == type_kind::INT || kind == type_kind::INDEX).into(),
        ("float", kind) => (kind == type_kind::FLOAT).into(),
        _ => (module.str(element.text) == text).into(),
    }
}

fn has_layout(module: &Module<'_>, ty: &Type, text: &str) -> Truth {
    let Some(tile) = module.tile(ty) else { return Truth::Unknown };
    match text {
        "row_major" => (tile.blayout == 0).into(),
        "col_major" => (tile.blayout == 1).into(),
        _ => Truth::Unknown,
    }
}

/// What a condition says of the valid shape of a tile: comparisons such as `row-bytes % 32 == 0`, with `and` between
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparisons(Vec<Comparison>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Comparison {
    quantity: Quantity,
    /// What the quantity is divided by, to compare the rest; 0 if it is compared itself.
    modulus: i64,
    operator: Operator,
    value: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Rows,
    Cols,
    RowBytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparisons {
    /// Reads `QUANTITY [% N] OPERATOR N`, several of them with `and` between. The quantities are `rows`, `cols` and
    /// `row-bytes` (the bytes of a row's valid columns), the operators `== != < <= > >=`.
    pub fn parse(text: &str) -> Option<Self> {
        text.split(" and ").map(Comparison::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    fn holds(&self, module: &Module<'_>, ty: &Type) -> Truth {
        self.0.iter().map(|comparison| comparison.holds(module, ty)).min().unwrap_or(Truth::Yes)
    }
}

impl Comparison {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (&quantity, modulus, operator, value) = match &words[..] {
            [quantity, "%", modulus, operator, value] => (quantity, modulus.parse().ok()?, operator, value),
            [quantity, operator, value] => (quantity, 0, operator, value),
            _ => return None,
        };
        let quantity = match quantity {
            "rows" => Quantity::Rows,
            "cols" => Quantity::Cols,
            "row-bytes" => Quantity::RowBytes,
            _ => return None,
        };
        let operator = match *operator {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::AtMost,
            ">" => Operator::More,
            ">=" => Operator::AtLeast,
            _ => return None,
        };
        let value = value.parse().ok()?;
        (modulus >= 0 && (words.len() == 3 || modulus > 0)).then_some(Self {
            quantity,
            modulus,
            operator,
            value,
        })
    }

    fn holds(&self, module: &Module<'_>, ty: &Type) -> Truth {
        let Some(mut actual) = self.quantity(module, ty) else { return Truth::Unknown };
        if self.modulus > 0 {
            actual = actual.rem_euclid(self.modulus);
        }
        let holds = match self.operator {
            Operator::Equal => actual == self.value,
            Operator::NotEqual => actual != self.value,
            Operator::Less => actual < self.value,
            Operator::AtMost => actual <= self.value,
            Operator::More => actual > self.value,
            Operator::AtLeast => actual >= self.value,
        };
        holds.into()
    }

    /// The quantity of a tile's type, if it is known.
    fn quantity(&self, module: &Module<'_>, ty: &Type) -> Option<i64> {
        let tile = module.tile(ty)?;
        let known = |extent: i64| (extent != DYNAMIC && extent >= 0).then_some(extent);
        match self.quantity {
            Quantity::Rows => known(tile.valid_rows),
            Quantity::Cols => known(tile.valid_cols),
            Quantity::RowBytes => {
                let element = module.ty(ty.element.get()?);
                let bits = match element.kind {
                    type_kind::INT | type_kind::FLOAT => i64::from(element.width),
                    type_kind::OTHER => 8,
                    _ => return None,
                };
                known(tile.valid_cols)?.checked_mul(bits).map(|bits| (bits + 7) / 8)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_or_refused() {
        for good in ["rows == 1", "row-bytes % 32 != 0", "rows == 1 and cols == 1", "cols >= 8"] {
            assert!(Comparisons::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "rows",
            "rows = 1",
            "depth == 1",
            "rows % 0 == 0",
            "rows % -2 == 0",
            "rows == one",
            "rows == 1 and",
        ] {
            assert!(Comparisons::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_least_certain_part_of_a_conjunction_decides() {
        assert!(Truth::No < Truth::Unknown && Truth::Unknown < Truth::Yes);
    }
}
