//! Flags that functions which call each other leave to one another.
//!
//! While a call runs, the caller's flags may be up, and the called function sets and takes its own. What must hold: a
//! function knows of every flag that the source of a function uses which it calls, or which calls it, through whatever
//! calls lie between; and of those that the plans of functions it calls have so far.

use std::collections::BTreeMap;

use pipewright_abi::ir::ModuleData;
use pipewright_abi::kernel::FlagUse;
use pipewright_abi::plan::NO_EVENT;
use pipewright_abi::{OpId, PipeId};

use super::run::Unit;
use crate::lower::calls::Calls;

/// By pair of pipes the ids of flags.
type Ids = BTreeMap<(PipeId, PipeId), u64>;

/// The functions of a module by how they call each other.
#[derive(Debug)]
pub(super) struct Callers {
    /// The functions, those that are called before those that call them.
    pub(super) order: Vec<usize>,
    /// For each function its calls, with whom they call.
    calls: Vec<Vec<(OpId, usize)>>,
    /// For each function the flags that its source uses.
    own: Vec<Vec<FlagUse>>,
    /// For each function the flags that the source of those uses that call it.
    around: Vec<Ids>,
    /// For each function the flags that it, and all that it calls, use: as of its last stage.
    used: Vec<Ids>,
}

impl Callers {
    /// The functions of a module without recursion.
    pub(super) fn new(module: &ModuleData, units: &[Unit]) -> Self {
        let graph = Calls::new(&module.view());
        let function = |unit: &Unit| unit.kernel.view().function();
        let by_op: BTreeMap<OpId, usize> = units.iter().enumerate().map(|(i, u)| (function(u), i)).collect();
        let calls: Vec<Vec<(OpId, usize)>> = units
            .iter()
            .map(|unit| {
                let callee = |&call: &OpId| Some((call, *by_op.get(&graph.callee(call)?)?));
                graph.of(function(unit)).iter().filter_map(callee).collect()
            })
            .collect();
        let own: Vec<Vec<FlagUse>> = units.iter().map(|unit| unit.kernel.flag_uses.clone()).collect();
        let order = called_first(&calls);
        let mut around = vec![Ids::new(); units.len()];
        for &caller in order.iter().rev() {
            let mut given = around[caller].clone();
            own[caller].iter().for_each(|used| add(&mut given, (used.src, used.dst), used.ids));
            for &(_, callee) in &calls[caller] {
                given.iter().for_each(|(&pair, &ids)| add(&mut around[callee], pair, ids));
            }
        }
        let used = vec![Ids::new(); units.len()];
        Self { order, calls, own, around, used }
    }

    /// Tells a function of the flags that are not its plan's. Those that it calls were told, and run, before.
    pub(super) fn tell(&self, index: usize, unit: &mut Unit) {
        if self.calls[index].is_empty() && self.around[index].is_empty() {
            return;
        }
        let of = |op: OpId, all: &Ids| -> Vec<FlagUse> {
            all.iter().map(|(&(src, dst), &ids)| FlagUse { ids, op, src, dst, reserved: 0 }).collect()
        };
        let mut uses = self.own[index].clone();
        uses.extend(of(OpId::NONE, &self.around[index]));
        for &(call, callee) in &self.calls[index] {
            uses.extend(of(call, &self.used[callee]));
        }
        unit.kernel.flag_uses = uses;
    }

    /// Takes note of the flags that a function uses after a stage.
    pub(super) fn note(&mut self, index: usize, unit: &Unit) {
        let mut used = Ids::new();
        self.own[index].iter().for_each(|flag| add(&mut used, (flag.src, flag.dst), flag.ids));
        for id in unit.plan.live_groups() {
            let group = unit.plan.group(id);
            if group.is_pair() && group.event_id != NO_EVENT {
                add(&mut used, group.key(), 1u64.checked_shl(group.event_id).unwrap_or(0));
            }
        }
        for &(_, callee) in &self.calls[index] {
            let ids = self.used[callee].clone();
            ids.into_iter().for_each(|(pair, ids)| add(&mut used, pair, ids));
        }
        self.used[index] = used;
    }
}

fn add(all: &mut Ids, pair: (PipeId, PipeId), ids: u64) {
    if ids != 0 {
        *all.entry(pair).or_default() |= ids;
    }
}

/// An order in which each function stands behind those that it calls; else as they are.
fn called_first(calls: &[Vec<(OpId, usize)>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(calls.len());
    let mut met = vec![false; calls.len()];
    for start in 0..calls.len() {
        // Functions that are open, each with the number of its calls that were looked at.
        let mut open = if std::mem::replace(&mut met[start], true) { Vec::new() } else { vec![(start, 0)] };
        while let Some((function, next)) = open.last_mut() {
            match calls[*function].get(*next) {
                Some(&(_, callee)) => {
                    *next += 1;
                    if !std::mem::replace(&mut met[callee], true) {
                        open.push((callee, 0));
                    }
                }
                None => {
                    order.push(*function);
                    open.pop();
                }
            }
        }
    }
    order
}
