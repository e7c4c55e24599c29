//! What decides: conditions of branches and loops, ids that are computed.
//!
//! What must hold: a branch or loop without a guard is one of whose condition nothing is known.

use pipewright_abi::sync::{Flag, FlagId};
use pipewright_abi::{OpId, PipeId, ValueId};

use super::super::conditions::{ExprId, TermKind};
use super::super::extract::Extract;
use super::super::program::Trips;
use super::super::walk::arguments;
use super::Maker;

impl Maker<'_> {
    /// Opens a branch with this condition.
    pub(super) fn open_branch(&mut self, condition: Option<ValueId>) {
        let guard = condition.and_then(|c| self.extract.expr(&mut self.builder, (self.number, c)));
        let guard = guard.map(|guard| self.extract.held(&mut self.builder, guard));
        self.builder.open_if();
        guard.into_iter().for_each(|guard| self.builder.guard(guard));
    }

    /// The condition of a counted loop, whose test is the newest step.
    pub(super) fn guard_for(&mut self, op: OpId) {
        let Some(module) = self.module else { return };
        let Some(&variable) = arguments(module, op, 0).first() else { return };
        let guard = self.extract.goes_on(
            &mut self.builder,
            (self.number, variable),
            (self.number, module.operand(op, 1)),
        );
        guard.into_iter().for_each(|guard| self.builder.guard(guard));
    }

    /// The condition of a `while`, whose test is the newest step: what its head ends with.
    pub(super) fn guard_while(&mut self, op: OpId) {
        let Some(module) = self.module else { return };
        let head = module.entry_block(op, 0).get();
        let Some(&last) = head.and_then(|block| module.block_ops(block).last()) else { return };
        let guard = self.extract.expr(&mut self.builder, (self.number, module.operand(last, 0)));
        guard.into_iter().for_each(|guard| self.builder.guard(guard));
    }

    /// A flag that the source sets or waits for.
    pub(super) fn written_flag(&mut self, is_set: bool, Flag { src, dst, id }: Flag) {
        let id = match id {
            FlagId::Known(id) => Some(id),
            FlagId::Computed(value) => {
                let known = self.constant(value);
                let computed = if known.is_none() {
                    self.extract.expr(&mut self.builder, (self.number, value))
                } else {
                    None
                };
                if let Some(id) = computed {
                    return self.computed_flag(is_set, src, dst, id);
                }
                known.and_then(|id| u32::try_from(id).ok())
            }
            FlagId::Unknown => None,
        };
        self.flag(is_set, src, dst, id);
    }

    /// A set or wait whose id is an expression: one of the flags that it can name.
    fn computed_flag(&mut self, is_set: bool, src: PipeId, dst: PipeId, id: ExprId) {
        // A pipe that the core lacks is one fault, whichever id it is.
        if self.builder.lacks(src.index()) || self.builder.lacks(dst.index()) {
            self.builder.opaque();
            self.builder.names(&[src.index(), dst.index()]);
            return;
        }
        let (count, conditions) = (self.target.event_ids(), self.builder.conditions());
        let few = conditions.few_values(id, count as usize);
        let ids: Vec<u32> = match &few {
            Some(few) => few.iter().filter_map(|&id| u32::try_from(id).ok()).collect(),
            None => (0..count).collect(),
        };
        // Of what nobody knows, not even whether it can have a value is known.
        for term in conditions.terms_of(id) {
            if let TermKind::Derived(from) = &mut conditions.terms[term].kind {
                from.clear();
            }
        }
        if few.is_none() {
            self.builder.assume("a computed event id is one that the target has".into());
        }
        let Some((&last, others)) = ids.split_last() else {
            self.builder.opaque();
            return;
        };
        for &other in others {
            let guard = Extract::is(&mut self.builder, id, other);
            self.builder.open_choice(guard);
            self.flag(is_set, src, dst, Some(other));
            self.builder.middle();
        }
        self.flag(is_set, src, dst, Some(last));
        others.iter().for_each(|_| self.builder.close());
    }

    /// How often a loop runs, if its bounds are constants.
    pub(super) fn trips(&self, op: OpId) -> Trips {
        let Some(module) = self.module.filter(|m| m.op_name(op) == "scf.for") else { return Trips::UNKNOWN };
        let bounds = [0, 1, 2].map(|index| self.constant(module.operand(op, index)));
        match bounds {
            [Some(low), Some(high), Some(step)] if step > 0 => {
                let span = i128::from(high) - i128::from(low);
                let trips = (span.max(0) + i128::from(step) - 1) / i128::from(step);
                Trips::exactly(u64::try_from(trips).unwrap_or(u64::MAX))
            }
            _ => Trips::UNKNOWN,
        }
    }

    /// The value of an integer constant, or of an argument that is one here.
    pub(super) fn constant(&self, value: ValueId) -> Option<i64> {
        let module = self.module?;
        let (_, value) = self.instances.resolve(self.instance, value);
        let op = module.t.values.get(value.index())?.op.get()?;
        (module.op_name(op) == "arith.constant").then(|| module.int_attr(op, "value"))?
    }
}
