//! Offsets for all functions of a module, callees first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pipewright_abi::ir::Module;
use pipewright_abi::memory::Address;
use pipewright_abi::target::Target;
use pipewright_abi::{OpId, PassError, SpaceId};

use crate::function::{Buffer, Needs, Taken};
use crate::place::{Block, Manner, Room, peak, place};
use crate::report::{Lines, does_not_fit, map};

/// What the pass's options say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Buffers that never matter at the same time may share bytes.
    pub(crate) reuse: bool,
    /// They may do so at different offsets.
    pub(crate) may_overlap: bool,
    /// Where an operation uses the scratch memory at the end of a space, that stays free.
    pub(crate) keep_scratch: bool,
}

/// Where everything goes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// An offset for each buffer, in order of their operations.
    pub(crate) addresses: Vec<Address>,
    /// Maps of the spaces, function by function.
    pub(crate) report: String,
    /// Names of functions in which buffers share bytes at different offsets.
    pub(crate) overlapping: Vec<String>,
}

/// Plans all functions, which are given in source order.
pub(crate) fn plan(
    module: &Module<'_>,
    target: &Target<'_>,
    policy: Policy,
    mut functions: Vec<Needs>,
) -> Result<Plan, PassError> {
    let lines = Lines::of(module.source);
    let callees = callees(module, &functions);
    let mut footprints: Vec<Vec<Taken>> = vec![Vec::new(); functions.len()];
    let mut outcomes: Vec<Option<Outcome>> = functions.iter().map(|_| None).collect();
    for index in callees_first(module, &functions, &callees)? {
        let called: BTreeSet<usize> = callees[index].iter().map(|&(_, callee)| callee).collect();
        for callee in called {
            functions[index].taken.extend_from_slice(&footprints[callee]);
            functions[index].uses_scratch |= functions[callee].uses_scratch;
        }
        let outcome = place_function(module, target, policy, &functions[index], &lines)?;
        footprints[index] = footprint(module, &functions[index], &outcome.offsets);
        outcomes[index] = Some(outcome);
    }
    let mut plan = Plan { addresses: Vec::new(), report: String::new(), overlapping: Vec::new() };
    for (needs, outcome) in functions.iter().zip(outcomes.into_iter().flatten()) {
        let buffers = needs.buffers.iter().zip(outcome.offsets);
        plan.addresses.extend(buffers.map(|(b, offset)| Address { offset, op: b.op, reserved: 0 }));
        plan.report += &outcome.report;
        if outcome.manner == Manner::Gaps {
            plan.overlapping.push(module.symbol(needs.function).to_owned());
        }
    }
    plan.addresses.sort_unstable_by_key(|address| address.op);
    Ok(plan)
}

/// For each function the functions with a body that it calls, with the call.
fn callees(module: &Module<'_>, functions: &[Needs]) -> Vec<Vec<(OpId, usize)>> {
    // A nested module has names of its own.
    let key = |function: OpId| (module.parent(function), module.symbol(function));
    let by_name: HashMap<(OpId, &str), usize> =
        functions.iter().enumerate().map(|(index, needs)| (key(needs.function), index)).collect();
    let callee = |needs: &Needs, call: OpId| {
        let name = module.text_attr(call, "callee")?;
        Some((call, *by_name.get(&(module.parent(needs.function), name))?))
    };
    functions
        .iter()
        .map(|needs| needs.calls.iter().filter_map(|&call| callee(needs, call)).collect())
        .collect()
}

/// Indices of all functions, each behind those that it calls.
fn callees_first(
    module: &Module<'_>,
    functions: &[Needs],
    callees: &[Vec<(OpId, usize)>],
) -> Result<Vec<usize>, PassError> {
    let (mut order, mut entered) = (Vec::with_capacity(functions.len()), vec![false; functions.len()]);
    let mut finished = entered.clone();
    for start in 0..functions.len() {
        if entered[start] {
            continue;
        }
        entered[start] = true;
        // Functions on the way down, each with the number of its calls already looked at.
        let mut path = vec![(start, 0)];
        while let Some((function, next)) = path.last_mut() {
            let Some(&(call, callee)) = callees[*function].get(*next) else {
                finished[*function] = true;
                order.push(*function);
                path.pop();
                continue;
            };
            *next += 1;
            if !entered[callee] {
                entered[callee] = true;
                path.push((callee, 0));
            } else if !finished[callee] {
                let name = module.symbol(functions[callee].function);
                let message = format!("`{name}` calls itself, so its memory cannot be planned");
                return Err(PassError::new(message).at_span(module.op(call).span));
            }
        }
    }
    Ok(order)
}

/// What placing one function gave.
struct Outcome {
    /// Offset of each of its buffers.
    offsets: Vec<u64>,
    report: String,
    manner: Manner,
}

fn place_function(
    module: &Module<'_>,
    target: &Target<'_>,
    policy: Policy,
    needs: &Needs,
    lines: &Lines,
) -> Result<Outcome, PassError> {
    let name = module.symbol(needs.function);
    let mut outcome =
        Outcome { offsets: vec![0; needs.buffers.len()], report: String::new(), manner: Manner::Slots };
    let mut by_space: BTreeMap<SpaceId, Vec<usize>> = BTreeMap::new();
    for (index, buffer) in needs.buffers.iter().enumerate() {
        by_space.entry(buffer.space).or_default().push(index);
    }
    if !by_space.is_empty() {
        outcome.report = format!("memory of {name}\n");
    }
    for (space, members) in by_space {
        let record = &target.t.spaces[space.index()];
        let scratch = target.t.scratch.get(space.index()).copied().unwrap_or(0);
        let kept = if policy.keep_scratch && needs.uses_scratch { scratch } else { 0 };
        let capacity = if record.bytes == 0 { u64::MAX } else { record.bytes.saturating_sub(kept) };
        let taken: Vec<&Taken> = needs.taken.iter().filter(|t| t.space == space).collect();
        let bytes = taken.iter().map(|t| t.bytes.clone()).collect();
        let mut room = Room { capacity, align: record.align.max(1), taken: bytes };
        for reserved in [true, false] {
            let group: Vec<usize> = members
                .iter()
                .copied()
                .filter(|&b| needs.buffers[b].reserved == reserved && needs.buffers[b].lifetime.is_some())
                .collect();
            let blocks: Vec<Block> = group
                .iter()
                .filter_map(|&b| {
                    Some(Block { size: needs.buffers[b].size, lifetime: needs.buffers[b].lifetime? })
                })
                .collect();
            let Some((offsets, manner)) = place(&blocks, &room, policy.may_overlap) else {
                let all: Vec<&Buffer> = members.iter().map(|&b| &needs.buffers[b]).collect();
                let hints = hints(policy, kept);
                return Err(explain(name, target.space_name(space), &room, &all, &taken, &hints));
            };
            for (&b, &offset) in group.iter().zip(&offsets) {
                outcome.offsets[b] = offset;
                if reserved {
                    room.taken.push(offset..offset + needs.buffers[b].size);
                }
            }
            if manner == Manner::Gaps {
                outcome.manner = manner;
            }
        }
        let placed: Vec<(&Buffer, u64)> =
            members.iter().map(|&b| (&needs.buffers[b], outcome.offsets[b])).collect();
        outcome.report += &map(target.space_name(space), &room, kept, &placed, &taken, lines);
    }
    Ok(outcome)
}

/// The error for buffers of one space that do not fit.
fn explain(
    function: &str,
    space: &str,
    room: &Room,
    buffers: &[&Buffer],
    taken: &[&Taken],
    hints: &[String],
) -> PassError {
    let live: Vec<(&Buffer, Block)> =
        buffers.iter().filter_map(|&b| Some((b, Block { size: b.size, lifetime: b.lifetime? }))).collect();
    let blocks: Vec<Block> = live.iter().map(|(_, block)| *block).collect();
    let (at_peak, size) = peak(&blocks, room.align);
    let at_peak = at_peak.into_iter().map(|b| live[b].0).collect();
    does_not_fit(function, space, room.capacity, size, at_peak, taken, hints)
}

fn hints(policy: Policy, kept: u64) -> Vec<String> {
    let mut hints =
        vec!["use smaller tiles, or allocate a tile in the loop or branch that uses it".to_owned()];
    if !policy.reuse {
        hints.push("reuse = \"first-fit\" lets tiles share memory".into());
    } else if !policy.may_overlap {
        hints.push("partial-overlap = true lets tiles share memory at different offsets".into());
    }
    if kept > 0 {
        hints.push(format!(
            "keep-scratch = false adds {kept} bytes, which operations of this function use as scratch memory"
        ));
    }
    hints
}

/// What the function uses itself and through its calls, as others see it: for each space from its first byte to its
/// last.
fn footprint(module: &Module<'_>, needs: &Needs, offsets: &[u64]) -> Vec<Taken> {
    let mut spaces: BTreeMap<SpaceId, (u64, u64)> = BTreeMap::new();
    let touched = needs.buffers.iter().zip(offsets).filter(|(b, _)| b.lifetime.is_some());
    let own = touched.map(|(b, &offset)| (b.space, offset, offset.saturating_add(b.size)));
    let taken = needs.taken.iter().map(|t| (t.space, t.bytes.start, t.bytes.end));
    for (space, start, end) in own.chain(taken) {
        let hull = spaces.entry(space).or_insert((start, end));
        *hull = (hull.0.min(start), hull.1.max(end));
    }
    let name = format!("the called `{}`", module.symbol(needs.function));
    let taken = |(space, (start, end))| Taken { space, bytes: start..end, name: name.clone() };
    spaces.into_iter().map(taken).collect()
}
