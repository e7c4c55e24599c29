//! Which flags the source of a function uses: for each operation that sets or waits for one, the ids that it can have.
//!
//! What must hold: an id that is computed is one of those that are found, whatever the function is given; where that
//! cannot be told, it may be any.

use std::collections::{BTreeSet, HashMap};

use pipewright_abi::ir::{Module, type_kind};
use pipewright_abi::kernel::FlagUse;
use pipewright_abi::sync::{Flag, FlagId, Synchronization};
use pipewright_abi::target::Target;
use pipewright_abi::{OpId, ValueId};

use super::fold::{Constant, Folded, Input, Scalar, fold};

/// The most values that are told apart.
const MAX_VALUES: usize = 64;

/// The most values that are looked at for one id.
const MAX_WORK: usize = 4096;

/// The flag that an operation sets or waits for, with the ids that it can have.
pub(super) fn flag_use(module: Module<'_>, target: Target<'_>, op: OpId) -> Option<FlagUse> {
    let Some(Synchronization::Set(flag) | Synchronization::Wait(flag)) = target.synchronization(&module, op)
    else {
        return None;
    };
    let Flag { src, dst, id } = flag;
    let bit = |id: u64| u32::try_from(id).ok().and_then(|id| 1u64.checked_shl(id)).unwrap_or(0);
    let ids = match id {
        FlagId::Known(id) => bit(id.into()),
        FlagId::Unknown => u64::MAX,
        FlagId::Computed(value) => {
            let mut values = Values { module, assumed: HashMap::new(), within: HashMap::new(), work: 0 };
            // What is no id of a flag (a negative number) is no flag that a plan could use.
            let of = |known: BTreeSet<i64>| known.into_iter().filter_map(|v| u64::try_from(v).ok()).map(bit);
            values.of(value, 0).map_or(u64::MAX, |known| of(known).fold(0, |ids, bit| ids | bit))
        }
    };
    Some(FlagUse { ids, op, src, dst, reserved: 0 })
}

/// The values that an integer can have.
struct Values<'a> {
    module: Module<'a>,
    /// What values that loops hand on are taken to be, until that does not change any more.
    assumed: HashMap<ValueId, BTreeSet<i64>>,
    /// What values are within the arm that is looked at. What a loop handed on may come from another trip.
    within: HashMap<ValueId, BTreeSet<i64>>,
    work: usize,
}

impl Values<'_> {
    /// All values that `value` can have; none if they are not known, or too many.
    fn of(&mut self, value: ValueId, depth: usize) -> Option<BTreeSet<i64>> {
        self.work += 1;
        if self.work > MAX_WORK || depth > MAX_VALUES {
            return None;
        }
        if let Some(known) = self.within.get(&value).or_else(|| self.assumed.get(&value)) {
            return Some(known.clone());
        }
        let module = self.module;
        let record = module.t.values.get(value.index())?;
        let Some(op) = record.op.get() else {
            let owner = module.block_owner(record.block);
            let is_loop = owner.is_some() && module.op_name(owner) == "scf.for";
            return match record.index.checked_sub(1) {
                _ if !is_loop => None,
                None => self.induction(owner, depth),
                Some(index) => self.carried(value, owner, index as usize, depth),
            };
        };
        match module.op_name(op) {
            "arith.constant" => Some(BTreeSet::from([module.int_attr(op, "value")?])),
            "scf.if" => {
                let index = record.index as usize;
                let [yes, no] = [0, 1].map(|body| self.yielded(op, body, index));
                self.either(module.operand(op, 0), [yes?, no?], depth)
            }
            "arith.select" => {
                let [condition, yes, no] = [0, 1, 2].map(|index| module.operand(op, index));
                self.either(condition, [yes, no], depth)
            }
            "scf.for" => {
                let argument = module.block_args(module.entry_block(op, 0)).nth(record.index as usize + 1)?;
                self.of(argument, depth + 1)
            }
            name => self.computed(op, name.strip_prefix("arith.")?, depth),
        }
    }

    /// The values of an induction variable.
    fn induction(&mut self, op: OpId, depth: usize) -> Option<BTreeSet<i64>> {
        let only = |values: BTreeSet<i64>| values.first().copied().filter(|_| values.len() == 1);
        let [low, high, step] = [0, 1, 2].map(|index| self.of(self.module.operand(op, index), depth + 1));
        let (low, high, step) = (only(low?)?, only(high?)?, only(step?)?);
        let trips = (i128::from(high) - i128::from(low)).div_euclid(i128::from(step.max(1)));
        if step <= 0 || trips >= MAX_VALUES as i128 {
            return None;
        }
        Some((low..high).step_by(usize::try_from(step).ok()?).collect())
    }

    /// The values of what a loop hands on: those that it begins with, and those that come from them.
    fn carried(&mut self, value: ValueId, op: OpId, index: usize, depth: usize) -> Option<BTreeSet<i64>> {
        let within = std::mem::take(&mut self.within);
        let known = self.come_round(value, op, index, depth);
        self.within = within;
        known
    }

    fn come_round(&mut self, value: ValueId, op: OpId, index: usize, depth: usize) -> Option<BTreeSet<i64>> {
        let mut known = self.of(self.module.operand(op, 3 + index), depth + 1)?;
        let next = self.yielded(op, 0, index)?;
        loop {
            self.assumed.insert(value, known.clone());
            let more = self.of(next, depth + 1);
            self.assumed.remove(&value);
            let before = known.len();
            known.extend(more?);
            if known.len() == before {
                return Some(known);
            }
            known = limited(known)?;
        }
    }

    /// What a body yields at a position.
    fn yielded(&self, op: OpId, body: usize, index: usize) -> Option<ValueId> {
        let block = self.module.entry_block(op, body).get()?;
        let last = self.module.block_ops(block).last().copied()?;
        (self.module.op_name(last) == "scf.yield").then(|| self.module.operand(last, index).get())?
    }

    /// The values of one of two, as a condition picks. What it compares with a constant is, in each, what it then can be.
    fn either(&mut self, condition: ValueId, arms: [ValueId; 2], depth: usize) -> Option<BTreeSet<i64>> {
        let compared = self.compared(condition, depth);
        let mut all = BTreeSet::new();
        for (arm, holds) in arms.into_iter().zip([true, false]) {
            let Some((value, of)) = &compared else {
                all.extend(self.of(arm, depth + 1)?);
                continue;
            };
            let then: BTreeSet<i64> = of.iter().filter(|(_, h)| *h == holds).map(|(v, _)| *v).collect();
            if then.is_empty() {
                continue;
            }
            let before = self.within.insert(*value, then);
            let found = self.of(arm, depth + 1);
            match before {
                Some(before) => _ = self.within.insert(*value, before),
                None => _ = self.within.remove(value),
            }
            all.extend(found?);
        }
        limited(all)
    }

    /// The value that a condition compares with a constant, and what it can be, each with what the condition then is.
    fn compared(&mut self, condition: ValueId, depth: usize) -> Option<(ValueId, Vec<(i64, bool)>)> {
        let module = self.module;
        let op = module.value(condition.get()?).op.get().filter(|&op| module.op_name(op) == "arith.cmpi")?;
        let (value, with) = (module.operand(op, 0), module.operand(op, 1));
        let (of, with) = (self.of(value, depth + 1)?, self.of(with, depth + 1)?);
        let with = with.first().copied().filter(|_| with.len() == 1)?;
        let predicate = module.text_attr(op, "predicate")?;
        let (from, to) = (self.scalar(value)?, self.scalar(condition)?);
        let holds = |v: i64| {
            let inputs = [v, with].map(|v| Input { id: v, constant: Some(Constant::Int(v)) });
            match fold("cmpi", predicate, &inputs, from, to)? {
                Folded::Constant(Constant::Int(held)) => Some((v, held != 0)),
                _ => None,
            }
        };
        Some((value, of.into_iter().map(holds).collect::<Option<Vec<_>>>()?))
    }

    /// The values of arithmetic.
    fn computed(&mut self, op: OpId, name: &str, depth: usize) -> Option<BTreeSet<i64>> {
        let module = self.module;
        let operands: Vec<ValueId> = module.operands(op).iter().map(|o| o.value).collect();
        let (from, to) = (self.scalar(*operands.first()?)?, self.scalar(module.result(op, 0))?);
        let mut inputs: Vec<Option<BTreeSet<i64>>> =
            operands.iter().map(|&operand| self.of(operand, depth + 1)).collect();
        let divisor = |inputs: &[Option<BTreeSet<i64>>]| {
            let values = inputs.get(1)?.as_ref()?;
            values.first().copied().filter(|&n| values.len() == 1 && (1..=MAX_VALUES as i64).contains(&n))
        };
        match (name, &inputs[..]) {
            ("cmpi" | "cmpf", _) => return Some(BTreeSet::from([0, 1])),
            // Whatever is divided, the rest is less than the divisor.
            ("remui", [None, _]) => return Some((0..divisor(&inputs)?).collect()),
            ("remsi", [None, _]) => {
                let divisor = divisor(&inputs)?;
                return Some((1 - divisor..divisor).collect());
            }
            ("andi", [None, Some(mask)] | [Some(mask), None]) => {
                let most = mask
                    .last()
                    .copied()
                    .filter(|&most| mask.first() >= Some(&0) && most < MAX_VALUES as i64)?;
                return Some((0..=(most as u64 + 1).next_power_of_two() as i64 - 1).collect());
            }
            // A truth value has two values, and others may be picked by it.
            _ => {
                for (input, operand) in inputs.iter_mut().zip(&operands) {
                    if input.is_none() && self.scalar(*operand)?.width == 1 {
                        *input = Some(BTreeSet::from([0, 1]));
                    }
                }
            }
        }
        let predicate = module.text_attr(op, "predicate").unwrap_or("");
        let mut rows: Vec<Vec<i64>> = vec![Vec::new()];
        for values in inputs {
            let values = values?;
            let longer = |row: &Vec<i64>| -> Vec<Vec<i64>> {
                values.iter().map(|&v| row.iter().copied().chain([v]).collect()).collect()
            };
            rows = rows.iter().flat_map(longer).collect();
            self.work += rows.len();
            if self.work > MAX_WORK {
                return None;
            }
        }
        let value = |row: Vec<i64>| {
            let constant = |(id, &v): (usize, &i64)| Input { id, constant: Some(Constant::Int(v)) };
            let inputs: Vec<Input<usize>> = row.iter().enumerate().map(constant).collect();
            match fold(name, predicate, &inputs, from, to)? {
                Folded::Constant(Constant::Int(value)) => Some(value),
                Folded::Constant(Constant::Float(_)) => None,
                Folded::Operand(index) => row.get(index).copied(),
            }
        };
        limited(rows.into_iter().map(value).collect::<Option<BTreeSet<i64>>>()?)
    }

    /// The type of an integer.
    fn scalar(&self, value: ValueId) -> Option<Scalar> {
        let ty = self.module.type_of(value.get()?);
        let is_integer = matches!(ty.kind, type_kind::INDEX | type_kind::INT);
        is_integer.then_some(Scalar { kind: ty.kind, width: ty.width })
    }
}

fn limited(values: BTreeSet<i64>) -> Option<BTreeSet<i64>> {
    (values.len() <= MAX_VALUES).then_some(values)
}
