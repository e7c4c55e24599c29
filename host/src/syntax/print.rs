//! A module as text in the generic form, which says everything and needs no knowledge of operations.
//!
//! What must hold: the text reads back as the same module, but for spans and the numbers of entities. Names are kept;
//! a value without one gets a number, and one whose name is taken already (simplification moves operations) gets
//! another.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use pipewright_abi::ir::{Attr, AttrValue, Module, ModuleData, Type, attr_kind, type_kind};
use pipewright_abi::target::{Target, TargetData, operand_flag};
use pipewright_abi::{BlockId, OpId, StrId, TypeId, ValueId};

use super::bind::SEGMENTS;

/// The generic form of a module. The target must be the one that the module was read with.
pub fn print(module: &ModuleData, target: &TargetData) -> String {
    let mut used = vec![false; module.tables.values.len()];
    for operand in &module.tables.operands {
        used[operand.value.index()] = true;
    }
    let mut printer = Printer {
        m: module.view(),
        target: target.view(),
        used,
        names: vec![String::new(); module.tables.values.len()],
        visible: HashSet::new(),
        log: Vec::new(),
        suffix: HashMap::new(),
        number: 0,
        out: String::new(),
        indent: 0,
    };
    let root = printer.m.entry_block(Module::ROOT, 0);
    if root.is_some() {
        printer.ops(root);
    }
    printer.out
}

struct Printer<'a> {
    m: Module<'a>,
    target: Target<'a>,
    used: Vec<bool>,
    /// What each value is called, once its definition is printed.
    names: Vec<String>,
    /// Names that mean something at the current position, and the order in which they came.
    visible: HashSet<String>,
    log: Vec<String>,
    /// The next suffix to try for a name that was taken.
    suffix: HashMap<String, u32>,
    number: u32,
    out: String,
    indent: usize,
}

impl<'a> Printer<'a> {
    fn ops(&mut self, block: BlockId) {
        for &op in self.m.block_ops(block) {
            self.op(op);
        }
    }

    fn line(&mut self) {
        self.out.extend(std::iter::repeat_n(' ', self.indent));
    }

    fn op(&mut self, op: OpId) {
        self.line();
        let record = self.m.op(op);
        // The names are those of what follows, so that an operation's bodies cannot see them.
        let operands: Vec<ValueId> = self.m.operands(op).iter().map(|o| o.value).collect();
        let mark = self.out.len();
        let _ = write!(self.out, "\"{}\"(", self.m.op_name(op));
        self.list(&operands, |this, &value| {
            let name = std::mem::take(&mut this.names[value.index()]);
            let _ = write!(this.out, "%{name}");
            this.names[value.index()] = name;
        });
        self.out.push(')');
        self.segments(op);
        self.bodies(op);
        let attrs = record.attrs.of(self.m.t.attrs);
        if !attrs.is_empty() {
            self.out.push(' ');
            self.dict(attrs);
        }
        self.out.push_str(" : (");
        self.list(&operands, |this, &value| this.ty(this.m.value(value).ty));
        self.out.push_str(") -> (");
        let results: Vec<ValueId> = self.m.results(op).collect();
        self.list(&results, |this, &value| this.ty(this.m.value(value).ty));
        self.out.push_str(")\n");
        let heads = self.define_results(&results);
        self.out.insert_str(mark, &heads);
    }

    /// How many operands there are for each of the table entry, where counting alone does not tell.
    fn segments(&mut self, op: OpId) {
        let Some(entry) = self.m.op(op).entry.get() else { return };
        let specs = self.target.t.entries[entry.index()].operands.of(self.target.t.operands);
        let loose = operand_flag::OPTIONAL | operand_flag::VARIADIC;
        if specs.iter().all(|s| s.flags & loose == 0) {
            return;
        }
        let mut sizes = vec![0u32; specs.len()];
        for operand in self.m.operands(op) {
            if let Some(size) = sizes.get_mut(operand.slot as usize) {
                *size += 1;
            }
        }
        let sizes: Vec<String> = sizes.iter().map(u32::to_string).collect();
        let _ = write!(self.out, " <{{{SEGMENTS} = array<i32: {}>}}>", sizes.join(", "));
    }

    fn bodies(&mut self, op: OpId) {
        let bodies = self.m.bodies(op);
        if bodies.is_empty() {
            return;
        }
        let isolated = self.m.op_name(op) == "func.func";
        let (outer, number) = if isolated {
            (std::mem::take(&mut self.visible), std::mem::take(&mut self.number))
        } else {
            (HashSet::new(), 0)
        };
        self.out.push_str(" (");
        self.list(bodies, |this, body| {
            this.out.push('{');
            let blocks: Vec<BlockId> = this.m.blocks(body).collect();
            let mark = this.log.len();
            for (index, &block) in blocks.iter().enumerate() {
                if index == 0 {
                    this.out.push('\n');
                }
                this.block(block, index);
            }
            for name in this.log.drain(mark..) {
                this.visible.remove(&name);
            }
            if !blocks.is_empty() {
                this.line();
            }
            this.out.push('}');
        });
        self.out.push(')');
        if isolated {
            (self.visible, self.number) = (outer, number);
        }
    }

    fn block(&mut self, block: BlockId, index: usize) {
        let args: Vec<ValueId> = self.m.block_args(block).collect();
        // The label of a first block without arguments and with operations says nothing.
        if index > 0 || !args.is_empty() || self.m.block_ops(block).is_empty() {
            self.line();
            let _ = write!(self.out, "^bb{index}");
            if !args.is_empty() {
                self.out.push('(');
                self.list(&args, |this, &arg| {
                    let name = this.define(arg);
                    let _ = write!(this.out, "%{name}: ");
                    this.ty(this.m.value(arg).ty);
                });
                self.out.push(')');
            }
            self.out.push_str(":\n");
        }
        self.indent += 2;
        self.ops(block);
        self.indent -= 2;
    }

    fn list<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            one(self, item);
        }
    }

    // Names

    /// Names the results: `%a, %b:2 = `, or nothing if nobody uses or names them.
    fn define_results(&mut self, results: &[ValueId]) -> String {
        let named = |&v: &ValueId| self.m.value(v).name.is_some() || self.used[v.index()];
        if !results.iter().any(named) {
            return String::new();
        }
        let (mut heads, mut index) = (Vec::new(), 0);
        while index < results.len() {
            let count = self.group(&results[index..]);
            if count < 2 {
                heads.push(format!("%{}", self.define(results[index])));
                index += 1;
                continue;
            }
            let first = self.m.str(self.m.value(results[index]).name);
            let base = self.fresh(first.trim_end_matches("#0"));
            for k in 0..count {
                self.names[results[index + k].index()] = format!("{base}#{k}");
            }
            heads.push(format!("%{base}:{count}"));
            index += count;
        }
        format!("{} = ", heads.join(", "))
    }

    /// How many values from the first on are the members `a#0`, `a#1`, .. of one group.
    fn group(&self, values: &[ValueId]) -> usize {
        let name = |&v: &ValueId| self.m.str(self.m.value(v).name);
        let Some(base) = values.first().map(name).and_then(|n| n.strip_suffix("#0")) else { return 0 };
        let member = |(k, v): &(usize, &ValueId)| {
            name(v).strip_prefix(base).and_then(|r| r.strip_prefix('#')).is_some_and(|r| r == k.to_string())
        };
        values.iter().enumerate().take_while(member).count()
    }

    fn define(&mut self, value: ValueId) -> String {
        let written = self.m.str(self.m.value(value).name);
        let name = self.fresh(&written.replace('#', "_"));
        self.names[value.index()].clone_from(&name);
        name
    }

    /// The name if it is free, else another like it; empty for any.
    fn fresh(&mut self, name: &str) -> String {
        let mut free = name.to_owned();
        while free.is_empty() || self.visible.contains(&free) {
            let number = if name.is_empty() {
                &mut self.number
            } else {
                self.suffix.entry(name.to_owned()).or_default()
            };
            free = if name.is_empty() { number.to_string() } else { format!("{name}_{number}") };
            *number += 1;
        }
        self.visible.insert(free.clone());
        self.log.push(free.clone());
        free
    }

    // Types and attributes

    fn ty(&mut self, ty: TypeId) {
        let Type { text, .. } = *self.m.ty(ty);
        self.out.push_str(self.m.str(text));
    }

    fn dict(&mut self, attrs: &[Attr]) {
        self.out.push('{');
        self.list(attrs, |this, attr| {
            this.attr_name(attr.name);
            let value = &this.m.t.attr_values[attr.value.index()];
            if value.kind != attr_kind::UNIT {
                this.out.push_str(" = ");
                this.attr(value);
            }
        });
        self.out.push('}');
    }

    fn attr_name(&mut self, name: StrId) {
        let name = self.m.str(name);
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
        if name.starts_with(is_start) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_$.".contains(c))
        {
            self.out.push_str(name);
        } else {
            self.string(name);
        }
    }

    fn attr(&mut self, value: &AttrValue) {
        let m = self.m;
        let text = m.str(value.text);
        match value.kind {
            attr_kind::UNIT => self.out.push_str("unit"),
            attr_kind::INT => _ = write!(self.out, "{}", value.bits as i64),
            attr_kind::FLOAT => self.float(value),
            attr_kind::BOOL => self.out.push_str(if value.bits == 0 { "false" } else { "true" }),
            attr_kind::STRING => self.string(text),
            attr_kind::SYMBOL => self.symbol(text),
            attr_kind::ENUM if value.detail.is_some() => {
                let _ = write!(self.out, "#pto.{}<{text}>", m.str(value.detail));
            }
            attr_kind::ENUM => _ = write!(self.out, "<{text}>"),
            attr_kind::TYPE => self.ty(value.ty),
            attr_kind::ARRAY => {
                self.out.push('[');
                self.list(value.children.of(m.t.attrs), |this, attr| {
                    this.attr(&m.t.attr_values[attr.value.index()]);
                });
                self.out.push(']');
            }
            attr_kind::DICT => self.dict(value.children.of(m.t.attrs)),
            _ => self.out.push_str(text),
        }
        let typed = matches!(value.kind, attr_kind::INT | attr_kind::FLOAT | attr_kind::OTHER);
        if typed && value.ty.is_some() {
            self.out.push_str(" : ");
            self.ty(value.ty);
        }
    }

    /// A number so that it reads back to the same bits: decimal where possible, else the type's bit pattern.
    fn float(&mut self, value: &AttrValue) {
        let number = f64::from_bits(value.bits);
        if number.is_infinite() {
            // Too large for any type; as a bit pattern it would depend on the type.
            self.out.push_str(if number > 0.0 { "1.0e+999" } else { "-1.0e+999" });
            return;
        }
        if number.is_nan() {
            let ty = value.ty.get().map(|ty| *self.m.ty(ty)).unwrap_or_default();
            let single = (number as f32).to_bits();
            let bits = match (ty.kind == type_kind::FLOAT, ty.width) {
                (true, 64) => value.bits,
                (true, 16) if self.m.str(ty.text) == "bf16" => u64::from(single >> 16),
                (true, 16) => 0x7e00,
                _ => u64::from(single),
            };
            let _ = write!(self.out, "0x{bits:X}");
            return;
        }
        let text = format!("{number:?}");
        match text.split_once('e') {
            Some((digits, exponent)) if !digits.contains('.') => {
                let _ = write!(self.out, "{digits}.0e{exponent}");
            }
            _ => self.out.push_str(&text),
        }
    }

    fn symbol(&mut self, text: &str) {
        for (index, name) in text.split("::").enumerate() {
            if index > 0 {
                self.out.push_str("::");
            }
            self.out.push('@');
            let bare = |c: char| c.is_ascii_alphanumeric() || "_$.-".contains(c);
            if !name.is_empty() && name.chars().all(bare) && !name.ends_with('-') {
                self.out.push_str(name);
            } else {
                self.string(name);
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                c if c.is_ascii_control() => _ = write!(self.out, "\\{:02X}", c as u32),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
