//! Whether two modules are the same but for spans and the numbers of entities.

use std::collections::HashMap;

use pipewright_abi::ir::{AttrValue, Body, Module, ModuleData, Type, attr_kind};
use pipewright_abi::{BlockId, OpId, Range, TypeId, ValueId};

/// Whether names of values count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Kept,
    Free,
}

/// The first difference of two modules, if there is one.
pub(crate) fn difference(a: &ModuleData, b: &ModuleData, names: Names) -> Option<String> {
    let mut same = Same { a: a.view(), b: b.view(), names, values: HashMap::new() };
    same.op(Module::ROOT, Module::ROOT).err()
}

struct Same<'m> {
    a: Module<'m>,
    b: Module<'m>,
    names: Names,
    values: HashMap<ValueId, ValueId>,
}

type Compared = Result<(), String>;

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, a: T, b: T) -> Compared {
    if a == b { Ok(()) } else { Err(format!("{what}: {a:?} and {b:?}")) }
}

impl Same<'_> {
    fn op(&mut self, a: OpId, b: OpId) -> Compared {
        let place = format!("{} at byte {}", self.a.op_name(a), self.a.op(a).span.start);
        self.op_parts(a, b).map_err(|difference| format!("{place}: {difference}"))
    }

    fn op_parts(&mut self, a: OpId, b: OpId) -> Compared {
        equal("name", self.a.op_name(a), self.b.op_name(b))?;
        equal("entry", self.a.op(a).entry, self.b.op(b).entry)?;
        let operands = (self.a.operands(a), self.b.operands(b));
        equal("number of operands", operands.0.len(), operands.1.len())?;
        for (a, b) in operands.0.iter().zip(operands.1) {
            equal("slot", a.slot, b.slot)?;
            equal("operand", self.values.get(&a.value), Some(&b.value))?;
        }
        self.attrs(self.a.op(a).attrs, self.b.op(b).attrs)?;
        let bodies = (self.a.bodies(a), self.b.bodies(b));
        equal("number of bodies", bodies.0.len(), bodies.1.len())?;
        for (a, b) in bodies.0.iter().zip(bodies.1) {
            self.body(a, b)?;
        }
        let results = (self.a.results(a), self.b.results(b));
        equal("number of results", results.0.len(), results.1.len())?;
        results.0.zip(results.1).try_for_each(|(a, b)| self.define(a, b))
    }

    fn define(&mut self, a: ValueId, b: ValueId) -> Compared {
        let (old, new) = (self.a.value(a), self.b.value(b));
        if self.names == Names::Kept {
            equal("name of a value", self.a.str(old.name), self.b.str(new.name))?;
        }
        equal("position", old.index, new.index)?;
        self.values.insert(a, b);
        self.ty(old.ty, new.ty)
    }

    fn body(&mut self, a: &Body, b: &Body) -> Compared {
        let blocks: Vec<(BlockId, BlockId)> = self.a.blocks(a).zip(self.b.blocks(b)).collect();
        equal("number of blocks", self.a.blocks(a).len(), self.b.blocks(b).len())?;
        for (a, b) in blocks {
            equal("number of arguments", self.a.block_args(a).len(), self.b.block_args(b).len())?;
            self.a.block_args(a).zip(self.b.block_args(b)).try_for_each(|(a, b)| self.define(a, b))?;
            let ops = (self.a.block_ops(a), self.b.block_ops(b));
            equal("number of operations", ops.0.len(), ops.1.len())?;
            ops.0.iter().zip(ops.1).try_for_each(|(&a, &b)| self.op(a, b))?;
        }
        Ok(())
    }

    fn attrs(&self, a: Range, b: Range) -> Compared {
        equal("number of attributes", a.len, b.len)?;
        for (a, b) in a.of(self.a.t.attrs).iter().zip(b.of(self.b.t.attrs)) {
            let name = self.a.str(a.name);
            equal("name of an attribute", name, self.b.str(b.name))?;
            let values = (&self.a.t.attr_values[a.value.index()], &self.b.t.attr_values[b.value.index()]);
            self.attr(values.0, values.1)
                .map_err(|difference| format!("attribute `{name}`: {difference}"))?;
        }
        Ok(())
    }

    fn attr(&self, a: &AttrValue, b: &AttrValue) -> Compared {
        equal("kind", a.kind, b.kind)?;
        equal("bits", a.bits, b.bits)?;
        equal("text", self.a.str(a.text), self.b.str(b.text))?;
        equal("detail", self.a.str(a.detail), self.b.str(b.detail))?;
        // A truth value has no type of its own, whatever is written there.
        if a.kind != attr_kind::BOOL {
            equal("type given", a.ty.is_some(), b.ty.is_some())?;
            if a.ty.is_some() {
                self.ty(a.ty, b.ty)?;
            }
        }
        self.attrs(a.children, b.children)
    }

    fn ty(&self, a: TypeId, b: TypeId) -> Compared {
        let (a, b) = (self.a.ty(a), self.b.ty(b));
        equal("type", self.a.str(a.text), self.b.str(b.text))?;
        equal("kind of type", a.kind, b.kind)?;
        equal("width", a.width, b.width)?;
        equal("extents", self.a.dims(a), self.b.dims(b))?;
        equal("memory space", self.a.str(a.space), self.b.str(b.space))?;
        equal("tile", self.tile(&self.a, a), self.tile(&self.b, b))?;
        let lists = (a.children.of(self.a.t.type_lists), b.children.of(self.b.t.type_lists));
        equal("types in a type", lists.0.len(), lists.1.len())?;
        lists.0.iter().zip(lists.1).try_for_each(|(&a, &b)| self.ty(a, b))?;
        equal("element given", a.element.is_some(), b.element.is_some())?;
        if a.element.is_some() { self.ty(a.element, b.element) } else { Ok(()) }
    }

    fn tile(&self, m: &Module<'_>, ty: &Type) -> Option<String> {
        m.tile(ty).map(|tile| format!("{tile:?}"))
    }
}
