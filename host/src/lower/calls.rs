//! Which function of the module each call calls.
//!
//! What must hold: a call has a callee here if exactly one function of its name with a body can be meant; lists are in
//! program order.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_abi::OpId;
use pipewright_abi::ir::Module;

use crate::diagnostic::Diagnostic;

/// The calls of a module to functions that have a body in it.
#[derive(Debug, Default)]
pub struct Calls {
    /// By call the function.
    callees: BTreeMap<OpId, OpId>,
    /// By function its calls.
    calls: BTreeMap<OpId, Vec<OpId>>,
    called: BTreeSet<OpId>,
    /// Functions that the host can start, if the module says which.
    marked: BTreeSet<OpId>,
}

impl Calls {
    /// The calls of a module.
    pub fn new(module: &Module<'_>) -> Self {
        let mut by_name: BTreeMap<&str, Vec<OpId>> = BTreeMap::new();
        let functions: Vec<OpId> =
            module.functions().filter(|&f| module.entry_block(f, 0).is_some()).collect();
        for &function in &functions {
            by_name.entry(module.symbol(function)).or_default().push(function);
        }
        let mut calls = Self::default();
        for &function in &functions {
            let is_marked = |name| module.attr(function, name).is_some();
            if ["pto.entry", "hacc.entry"].into_iter().any(is_marked) {
                calls.marked.insert(function);
            }
            for call in calls_in(module, function) {
                let named = module.text_attr(call, "callee").and_then(|name| by_name.get(name));
                let named = named.map_or(&[][..], Vec::as_slice);
                let near = |f: &&OpId| module.parent(**f) == module.parent(function);
                let meant: Vec<&OpId> = if named.len() > 1 {
                    named.iter().filter(near).collect()
                } else {
                    named.iter().collect()
                };
                if let [&callee] = meant[..] {
                    calls.callees.insert(call, callee);
                    calls.called.insert(callee);
                    calls.calls.entry(function).or_default().push(call);
                }
            }
        }
        calls
    }

    /// The function that a call calls, if it has a body here.
    pub fn callee(&self, call: OpId) -> Option<OpId> {
        self.callees.get(&call).copied()
    }

    /// The calls of a function to functions with a body, in program order.
    pub fn of(&self, function: OpId) -> &[OpId] {
        self.calls.get(&function).map_or(&[], Vec::as_slice)
    }

    /// Whether a function can be started by itself: it is no helper, or nothing here calls it.
    pub fn stands_alone(&self, module: &Module<'_>, function: OpId) -> bool {
        let is_entry = if self.marked.is_empty() {
            module.text_attr(function, "sym_visibility") != Some("private")
        } else {
            self.marked.contains(&function)
        };
        is_entry || !self.called.contains(&function)
    }

    /// Why the module cannot be followed: a function that calls itself.
    pub fn recursion(&self, module: &Module<'_>) -> Option<Diagnostic> {
        let mut done: BTreeSet<OpId> = BTreeSet::new();
        for &start in self.calls.keys() {
            // The calls that led here, with the number of those of each function that were looked at.
            let mut way: Vec<(OpId, usize)> = vec![(start, 0)];
            while let Some((function, next)) = way.last_mut() {
                let (function, calls) = (*function, self.of(*function));
                let Some(&call) = calls.get(*next).filter(|_| !done.contains(&function)) else {
                    done.insert(function);
                    way.pop();
                    continue;
                };
                *next += 1;
                let Some(callee) = self.callee(call) else { continue };
                if let Some(from) = way.iter().position(|(f, _)| *f == callee) {
                    return Some(self.diagnostic(module, &way[from..]));
                }
                if !done.contains(&callee) {
                    way.push((callee, 0));
                }
            }
        }
        None
    }

    /// `way` are the functions of the circle, each with the number of the call that leads on, counted from 1.
    fn diagnostic(&self, module: &Module<'_>, way: &[(OpId, usize)]) -> Diagnostic {
        let name = |function| module.symbol(function);
        let first = way.first().map_or("", |(f, _)| name(*f));
        let others: Vec<String> = way.iter().skip(1).map(|(f, _)| format!("`{}`", name(*f))).collect();
        let by_way =
            if others.is_empty() { String::new() } else { format!(" by way of {}", others.join(", ")) };
        let message = format!("the function `{first}` calls itself{by_way}");
        let diagnostic =
            Diagnostic::error("lower::recursion", message).help("a core has no stack for that: write a loop");
        way.iter().take(8).fold(diagnostic, |diagnostic, &(function, calls)| {
            let call = self.of(function).get(calls.wrapping_sub(1)).copied().unwrap_or(function);
            diagnostic.label(module.op(call).span, format!("called in `{}`", name(function)))
        })
    }
}

/// All calls in a function, in program order.
fn calls_in(module: &Module<'_>, function: OpId) -> Vec<OpId> {
    let mut found = Vec::new();
    // Operations that are still to be looked at, the next one last.
    let mut open = vec![function];
    while let Some(op) = open.pop() {
        if module.op_name(op) == "func.call" {
            found.push(op);
        }
        let blocks = module.bodies(op).iter().flat_map(|body| module.blocks(body));
        let inner: Vec<OpId> = blocks.flat_map(|block| module.block_ops(block).iter().copied()).collect();
        open.extend(inner.into_iter().rev());
    }
    found
}
