//! The whole C++ file: what stands before the functions, their order and their signatures.

use std::collections::{HashMap, VecDeque};

use pipewright_abi::ir::{Module, type_kind};
use pipewright_abi::pass::Unit;
use pipewright_abi::target::Target;
use pipewright_abi::{OpId, PassError};

use crate::fifo;
use crate::flat;
use crate::function::{Helpers, Lower};
use crate::print;
use crate::types::Ctype;

/// The C++ text of a module. `units` are its functions with a body.
pub(crate) fn emit(module: Module<'_>, target: Target<'_>, units: &[Unit<'_>]) -> Result<String, PassError> {
    let fifo = fifo::analyze(&module, &target)?;
    let mut lower = Lower::new(module, target, fifo);
    for unit in units {
        lower.flat |= flat::find(&module, unit.kernel.function(), &mut lower.blocks);
    }
    let has_body: HashMap<OpId, usize> =
        units.iter().enumerate().map(|(i, unit)| (unit.kernel.function(), i)).collect();
    let mut out = String::new();
    for declaration in module.functions().filter(|f| !has_body.contains_key(f)) {
        signature(&mut lower, declaration, Kind::Declaration, &mut out)?;
    }
    for &index in &order(&module, units)? {
        let function = units[index].kernel.function();
        let kind = kind(&module, function, units.len());
        signature(&mut lower, function, kind, &mut out)?;
        let code = lower.function(&units[index])?;
        print::body(&code, &lower.types, lower.flat, &mut out);
        out.push_str("}\n\n");
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    // Which helpers the functions need is known only now.
    out.insert_str(0, &prologue(lower.helpers));
    Ok(out)
}

/// Callees before callers; otherwise as in the source.
fn order(module: &Module<'_>, units: &[Unit<'_>]) -> Result<Vec<usize>, PassError> {
    let by_name: HashMap<&str, usize> =
        units.iter().enumerate().map(|(i, unit)| (module.symbol(unit.kernel.function()), i)).collect();
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
    let mut waiting = vec![0usize; units.len()];
    for (caller, unit) in units.iter().enumerate() {
        let mut callees: Vec<usize> =
            calls(module, unit.kernel.function()).filter_map(|name| by_name.get(name).copied()).collect();
        callees.sort_unstable();
        callees.dedup();
        waiting[caller] = callees.len();
        for callee in callees {
            callers[callee].push(caller);
        }
    }
    let mut ready: VecDeque<usize> = (0..units.len()).filter(|&i| waiting[i] == 0).collect();
    let mut done = Vec::with_capacity(units.len());
    while let Some(next) = ready.pop_front() {
        done.push(next);
        for &caller in &callers[next] {
            waiting[caller] -= 1;
            if waiting[caller] == 0 {
                ready.push_back(caller);
            }
        }
    }
    match (0..units.len()).find(|&i| waiting[i] > 0) {
        None => Ok(done),
        Some(index) => {
            let function = units[index].kernel.function();
            let message =
                format!("`@{}` is part of a recursion, which a kernel cannot have", module.symbol(function));
            Err(PassError::new(message).at_span(module.op(function).name_span))
        }
    }
}

/// Names of the functions that a function calls.
fn calls<'a>(module: &Module<'a>, function: OpId) -> impl Iterator<Item = &'a str> + use<'a> {
    let mut names = Vec::new();
    let mut open = vec![module.entry_block(function, 0)];
    while let Some(block) = open.pop() {
        if block.is_none() {
            continue;
        }
        for &op in module.block_ops(block) {
            if module.op_name(op) == "func.call" {
                names.extend(module.text_attr(op, "callee"));
            }
            for body in module.bodies(op) {
                open.extend(module.blocks(body));
            }
        }
    }
    names.into_iter()
}

/// How a function is visible from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Declaration,
    /// Started by the host.
    Entry,
    /// Called within this file only.
    Private,
    Public,
}

fn kind(module: &Module<'_>, function: OpId, definitions: usize) -> Kind {
    let is_private = module.text_attr(function, "sym_visibility") == Some("private");
    let marked = ["pto.entry", "hacc.entry"].iter().any(|name| module.attr(function, name).is_some());
    if definitions == 1 || marked {
        Kind::Entry
    } else if is_private {
        Kind::Private
    } else {
        Kind::Public
    }
}

fn signature(lower: &mut Lower<'_>, function: OpId, kind: Kind, out: &mut String) -> Result<(), PassError> {
    let module = lower.m;
    let name = module.symbol(function);
    let ty = module.attr(function, "function_type").filter(|a| a.ty.is_some()).map(|a| module.ty(a.ty));
    let Some(ty) = ty.filter(|t| t.kind == type_kind::FUNCTION) else {
        return Err(lower.error(function, &format!("`@{name}` has no function type")));
    };
    let children = ty.children.of(module.t.type_lists);
    let (parameters, results) = children.split_at((ty.detail as usize).min(children.len()));
    let spell = |lower: &mut Lower<'_>, id| {
        lower.types.of_value(&module, &lower.target, id).ok_or_else(|| {
            let text = module.str(module.ty(id).text);
            lower.error(function, &format!("values of type `{text}` have no form in C++"))
        })
    };
    let result = match results {
        [] => Ctype::VOID,
        _ if kind == Kind::Entry => {
            let message = format!("`@{name}` is started by the host and cannot return a value");
            return Err(lower.error(function, &message));
        }
        [one] => spell(lower, *one)?,
        _ => return Err(lower.error(function, "a function returns one value at most")),
    };
    out.push_str(match kind {
        Kind::Declaration => "extern ",
        Kind::Entry => "__global__ AICORE ",
        Kind::Private => "static AICORE ",
        Kind::Public => "AICORE ",
    });
    out.push_str(lower.types.text(result));
    out.push(' ');
    out.push_str(name);
    out.push('(');
    for (i, &parameter) in parameters.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        let ty = spell(lower, parameter)?;
        out.push_str(lower.types.text(ty));
        if kind != Kind::Declaration {
            out.push_str(&format!(" v{}", i + 1));
        }
    }
    out.push_str(if kind == Kind::Declaration { ");\n\n" } else { ") {\n" });
    Ok(())
}

/// Includes and helpers.
fn prologue(helpers: Helpers) -> String {
    let mut out = String::from("#include \"pto/pto-inst.hpp\"\n");
    if helpers.communication {
        out.push_str(
            "#ifndef PIPE_FIX\n#define PIPE_FIX PIPE_M\n#endif\n#include \"pto/comm/pto_comm_inst.hpp\"\n",
        );
    }
    out.push_str("using namespace pto;\n\n");
    for (needed, text) in [
        (helpers.entry_data, ENTRY_DATA),
        (helpers.event_array, EVENT_ARRAY),
        (true, TAIL),
        (helpers.bitcast, BITCAST),
    ] {
        if needed {
            out.push_str(text);
            out.push('\n');
        }
    }
    out
}

/// The pointer that a slot of a pipe is at.
const ENTRY_DATA: &str = "\
template <typename Tensor>
static AICORE inline auto PTOAS__GLOBAL_TENSOR_DATA(Tensor &t) -> decltype(t.data()) {
  return t.data();
}
";

/// An array of event ids on the stack.
const EVENT_ARRAY: &str = "\
template <int N>
struct PTOAS_EventIdArray {
  static_assert(N > 0, \"an array of event ids has at least one\");
  int32_t data[N] = {};
  AICORE inline int32_t &operator[](int32_t i) { return data[i]; }
  AICORE inline const int32_t &operator[](int32_t i) const { return data[i]; }
};
";

/// What drains the pipes before a return.
const TAIL: &str = "\
enum class PTOAutoSyncTailMode : int {
  kBarrierAll = 0,
  kSetWaitMte3ToSEvent0 = 1,
};

static AICORE inline void ptoas_auto_sync_tail(
    PTOAutoSyncTailMode mode = PTOAutoSyncTailMode::kBarrierAll) {
  if (mode == PTOAutoSyncTailMode::kSetWaitMte3ToSEvent0) {
    set_flag(PIPE_MTE3, PIPE_S, EVENT_ID0);
    wait_flag(PIPE_MTE3, PIPE_S, EVENT_ID0);
  } else {
    pipe_barrier(PIPE_ALL);
  }
}
";

/// The bits of a value as another type of the same size.
const BITCAST: &str = "\
template <typename To, typename From>
static inline To ptoas_bitcast(From from) {
  static_assert(sizeof(To) == sizeof(From), \"both types must have the same size\");
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}
";
