//! Operations that the target's table prints: a small interpreter of the `cpp` templates.
//!
//! The grammar is that of the target file's documentation. A template is read once for each operation that it
//! prints; its names are looked up among the operands, results and attributes of the operation's table entry.

use pipewright_abi::condition::{Truth, of_value};
use pipewright_abi::ir::{AttrValue, attr_kind, type_kind};
use pipewright_abi::target::{AttrSpec, Condition, Entry, Enum, EnumValue, condition_kind, entry_flag};
use pipewright_abi::{OpId, PassError, ValueId};

use crate::code::{Expr, NodeId, Pieces};
use crate::function::{Lower, Value};
use crate::literal;
use crate::types::Ctype;

/// Operands that are given instead of looked up, and names that the template declares.
type Names<'n> = Vec<(&'n str, NodeId)>;

/// A part of an expanded template.
enum Part {
    Text(String),
    Node(NodeId),
    Type(Ctype),
}

impl<'a> Lower<'a> {
    /// Prints an operation by its table entry.
    pub(crate) fn table_operation(&mut self, op: OpId) -> Result<(), PassError> {
        self.table_operation_with(op, &[])
    }

    /// The same, with some operands given.
    pub(crate) fn table_operation_with(
        &mut self,
        op: OpId,
        given: &[(&str, NodeId)],
    ) -> Result<(), PassError> {
        let name = self.m.op_name(op);
        let Some(entry) = self.entry(op) else {
            return Err(self.error(op, &format!("`{name}` has no form in C++ on this target")));
        };
        if entry.unsupported.is_some() {
            let why = self.target.str(entry.unsupported);
            return Err(self.error(op, &format!("`{name}` has no form in C++ on this target: {why}")));
        }
        self.helpers.communication |= name.starts_with("pto.comm.") || name.contains("_async");
        let printed = self.print_by_rule(op, entry, given);
        for (view, before) in std::mem::take(&mut self.bound) {
            self.set_value(view, before);
        }
        printed
    }

    fn print_by_rule(
        &mut self,
        op: OpId,
        entry: &'a Entry,
        given: &[(&str, NodeId)],
    ) -> Result<(), PassError> {
        let rules = entry.cpp_rules.of(self.target.t.cpp_rules);
        let rule = rules.iter().find(|rule| {
            rule.when.of(self.target.t.conditions).iter().all(|condition| self.holds(op, entry, condition))
        });
        let Some(rule) = rule else {
            let name = self.m.op_name(op);
            let message = format!("`{name}` has no form in C++ with these operands and attributes");
            return Err(self.error(op, &message));
        };
        let template = self.target.str(rule.emit);
        let results: Vec<ValueId> = self.m.results(op).collect();
        let fills_result = entry.flags & entry_flag::WRITES_RESULT != 0;
        let mut names: Names<'_> = given.to_vec();
        if results.is_empty() || fills_result {
            for statement in template.split("; ") {
                self.template_statement(op, entry, statement, &mut names)?;
            }
            return Ok(());
        }
        let pure = entry.flags & (entry_flag::PURE | entry_flag::READ) != 0;
        for (&result, expression) in results.iter().zip(template.split("; ")) {
            let parts = self.expand(op, entry, expression, &names)?;
            let pieces = self.pieces(parts);
            let ty = self.result_type(op, result)?;
            let node = if pure {
                self.code.define_text(pieces, ty)
            } else {
                self.code.define_effect(Expr::Text(pieces), ty)
            };
            self.set_value(result, Value::Node(node));
        }
        Ok(())
    }

    /// The type of a result that a template gives. A pointer to a tile's memory is in the tile's space.
    fn result_type(&mut self, op: OpId, result: ValueId) -> Result<Ctype, PassError> {
        let source = self.m.operand(op, 0);
        if self.m.type_of(result).kind == type_kind::PTR
            && source.is_some()
            && self.m.tile(self.m.type_of(source)).is_some()
        {
            return self.value_type(op, source);
        }
        self.value_type(op, result)
    }

    /// One statement: `TYPE {+name} = expression`, or any other.
    fn template_statement<'t>(
        &mut self,
        op: OpId,
        entry: &'a Entry,
        statement: &'t str,
        names: &mut Names<'t>,
    ) -> Result<(), PassError> {
        let declaration = statement.find("{+").and_then(|open| {
            let close = open + statement[open..].find('}')?;
            let expression = statement[close + 1..].strip_prefix(" = ")?;
            Some((statement[..open].trim_end(), &statement[open + 2..close], expression))
        });
        let Some((ty, name, expression)) = declaration else {
            let parts = self.expand(op, entry, statement, names)?;
            let pieces = self.pieces(parts);
            self.code.statement(pieces);
            return Ok(());
        };
        let ty = self.expand(op, entry, ty, names)?;
        let ty = self.plain_text(&ty);
        let ty = self.types.intern(&ty);
        let parts = self.expand(op, entry, expression, names)?;
        let pieces = self.pieces(parts);
        let node = self.code.define_effect(Expr::Text(pieces), ty);
        names.push((name, node));
        Ok(())
    }

    fn plain_text(&self, parts: &[Part]) -> String {
        let text = parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Type(ty) => self.types.text(*ty),
            Part::Node(_) => "",
        });
        text.collect()
    }

    fn pieces(&mut self, parts: Vec<Part>) -> Pieces {
        self.code.write(|w| {
            for part in &parts {
                match part {
                    Part::Text(text) => w.text(text),
                    Part::Node(node) => w.node(*node),
                    Part::Type(ty) => w.ty(*ty),
                };
            }
        })
    }

    fn expand(
        &mut self,
        op: OpId,
        entry: &'a Entry,
        template: &str,
        names: &Names<'_>,
    ) -> Result<Vec<Part>, PassError> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '[']) {
            parts.push(Part::Text(rest[..at].into()));
            let open = &rest[at..];
            if let Some(optional) = open.strip_prefix("[?") {
                let (name, text, after) = optional
                    .split_once(':')
                    .and_then(|(name, tail)| tail.split_once(']').map(|(text, after)| (name, text, after)))
                    .ok_or_else(|| self.malformed(op, template))?;
                if self.is_given(op, entry, name) {
                    parts.extend(self.expand(op, entry, text, names)?);
                }
                rest = after;
            } else if let Some(hole) = open.strip_prefix('{') {
                let (hole, after) = hole.split_once('}').ok_or_else(|| self.malformed(op, template))?;
                let (name, form) = hole.split_once(':').unwrap_or((hole, ""));
                self.hole(op, entry, name, form, names, &mut parts)?;
                rest = after;
            } else {
                parts.push(Part::Text("[".into()));
                rest = &open[1..];
            }
        }
        parts.push(Part::Text(rest.into()));
        Ok(parts)
    }

    fn malformed(&self, op: OpId, template: &str) -> PassError {
        let message = format!("the target's C++ template `{template}` for this operation is malformed");
        self.error(op, &message)
    }

    fn hole(
        &mut self,
        op: OpId,
        entry: &'a Entry,
        name: &str,
        form: &str,
        names: &Names<'_>,
        parts: &mut Vec<Part>,
    ) -> Result<(), PassError> {
        if form.is_empty()
            && let Some((_, node)) = names.iter().find(|(n, _)| *n == name)
        {
            parts.push(Part::Node(*node));
            return Ok(());
        }
        let values = self.operands_named(op, name);
        if name == "pipe_handle" && values.is_empty() {
            let (node, ty) = self.pipe_of(op)?;
            parts.push(if form == "type" { Part::Type(ty) } else { Part::Node(node) });
            return Ok(());
        }
        match form {
            "each" | "types" => {
                for (i, &value) in values.iter().enumerate() {
                    if i > 0 {
                        parts.push(Part::Text(", ".into()));
                    }
                    let part = if form == "each" {
                        Part::Node(self.operand_node(op, value)?)
                    } else {
                        Part::Type(self.operand_type(op, value)?)
                    };
                    parts.push(part);
                }
                return Ok(());
            }
            _ => {}
        }
        if let Some(&value) = values.first() {
            if form != "type"
                && let Some((array, index)) = self.element_again(op, value)
            {
                parts.push(Part::Node(array));
                parts.push(Part::Text("[".into()));
                parts.push(Part::Node(index));
                parts.push(Part::Text("]".into()));
                return Ok(());
            }
            parts.push(match form {
                "type" => Part::Type(self.operand_type(op, value)?),
                _ => Part::Node(self.operand_node(op, value)?),
            });
            return Ok(());
        }
        if form == "type"
            && let Some(result) = self.result_named(op, entry, name)
        {
            parts.push(Part::Type(self.value_type(op, result)?));
            return Ok(());
        }
        let spec = self.attr_spec(entry, name);
        let Some(spec) = spec else {
            let message =
                format!("the target's C++ form of this operation names `{name}`, which is not given");
            return Err(self.error(op, &message));
        };
        parts.push(match form {
            "sym" => Part::Text(self.attr_symbol(op, spec, name)?),
            "pipe" => Part::Text(self.attr_pipe(op, spec, name)?),
            _ => Part::Node(self.attr_literal(op, spec, name)?),
        });
        Ok(())
    }

    /// The C++ value of an operand: tiles and views are their objects.
    pub(crate) fn operand_node(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        match self.value(value) {
            Value::Tile(_) if self.m.op_name(op).starts_with("pto.comm.") => self.comm_tile(op, value),
            Value::Tile(_) => self.tile_object(op, value),
            Value::View(_) => self.tensor_in_operation(op, value),
            _ => self.op_operand(op, value),
        }
    }

    fn operand_type(&mut self, op: OpId, value: ValueId) -> Result<Ctype, PassError> {
        match self.value(value) {
            Value::Pipe(_, ty) => Ok(*ty),
            Value::Tile(_) => {
                let node = self.operand_node(op, value)?;
                Ok(self.code.ty(node))
            }
            Value::View(_) => {
                let tensor = self.tensor_in_operation(op, value)?;
                Ok(self.code.ty(tensor))
            }
            _ => self.value_type(op, value),
        }
    }

    /// The GlobalTensor of a view. One that is made for this operation serves all its operands.
    fn tensor_in_operation(&mut self, op: OpId, value: ValueId) -> Result<NodeId, PassError> {
        let object = self.tensor_of(op, value)?;
        let mut view = self.view(op, value)?;
        if view.object.is_none() {
            view.object = Some(object);
            let key = self.merged.value(value);
            self.bound.push((key, self.value(value).clone()));
            self.set_value(key, Value::View(Box::new(view)));
        }
        Ok(object)
    }

    pub(crate) fn entry(&self, op: OpId) -> Option<&'a Entry> {
        self.target.t.entries.get(self.m.op(op).entry.index())
    }

    /// The operand of that name, if it is given.
    pub(crate) fn operand_named(&self, op: OpId, name: &str) -> Option<ValueId> {
        self.slot(op, name)
            .and_then(|slot| self.m.operands(op).iter().find(|o| o.slot == slot).map(|o| o.value))
    }

    /// All operands of that name.
    pub(crate) fn operands_named(&self, op: OpId, name: &str) -> Vec<ValueId> {
        match self.slot(op, name) {
            Some(slot) => self.m.operands(op).iter().filter(|o| o.slot == slot).map(|o| o.value).collect(),
            None => Vec::new(),
        }
    }

    fn slot(&self, op: OpId, name: &str) -> Option<u32> {
        let specs = self.entry(op)?.operands.of(self.target.t.operands);
        specs.iter().position(|s| self.target.str(s.name) == name).map(|i| i as u32)
    }

    fn result_named(&self, op: OpId, entry: &Entry, name: &str) -> Option<ValueId> {
        let specs = entry.results.of(self.target.t.operands);
        let index = specs.iter().position(|s| self.target.str(s.name) == name)?;
        self.m.results(op).nth(index)
    }

    /// The integers of an array attribute.
    pub(crate) fn int_list(&self, op: OpId, name: &str) -> Vec<i64> {
        let children = self.m.attr(op, name).map(|a| a.children.of(self.m.t.attrs)).unwrap_or(&[]);
        let values = children.iter().filter_map(|a| self.m.t.attr_values.get(a.value.index()));
        values.filter(|v| v.kind == attr_kind::INT).map(|v| v.bits as i64).collect()
    }

    fn attr_spec(&self, entry: &Entry, name: &str) -> Option<&'a AttrSpec> {
        entry.attrs.of(self.target.t.attrs).iter().find(|a| self.target.str(a.name) == name)
    }

    /// Whether a condition of a rule holds.
    fn holds(&self, op: OpId, entry: &Entry, condition: &Condition) -> bool {
        let name = self.target.str(condition.name);
        let mut values = condition.values.of(self.target.t.names).iter().map(|&id| self.target.str(id));
        match condition.kind {
            condition_kind::HAS => self.is_given(op, entry, name),
            condition_kind::LACKS => !self.is_given(op, entry, name),
            condition_kind::ATTR => match self.attr_spec(entry, name) {
                Some(spec) => {
                    let text = self.attr_text(op, spec, name).unwrap_or_default();
                    values.any(|v| self.same_value(spec, v, &text))
                }
                None => false,
            },
            condition_kind::SPACE => self.operand_named(op, name).is_some_and(|value| {
                let space = self.space_of(value).map(|space| self.target.space_name(space));
                space.is_some_and(|space| values.any(|v| v == space))
            }),
            condition_kind::KIND => self.operand_named(op, name).is_some_and(|value| {
                let kind = kind_of(self.m.type_of(value).kind);
                values.any(|v| v == kind)
            }),
            condition_kind::TYPE | condition_kind::LAYOUT | condition_kind::SHAPE => {
                let holds = |value| of_value(&self.m, condition.kind, value, values) == Truth::Yes;
                self.operand_named(op, name).is_some_and(holds)
            }
            _ => false,
        }
    }

    /// Whether an operand is given, or an attribute with another value than its default.
    fn is_given(&self, op: OpId, entry: &Entry, name: &str) -> bool {
        if self.operand_named(op, name).is_some() {
            return true;
        }
        let (Some(spec), Some(value)) = (self.attr_spec(entry, name), self.m.attr(op, name)) else {
            return false;
        };
        spec.default.is_none()
            || !self.same_value(spec, self.target.str(spec.default), &self.value_text(value))
    }

    /// Whether two spellings mean the same value of an attribute.
    fn same_value(&self, spec: &AttrSpec, a: &str, b: &str) -> bool {
        a == b
            || match (self.enum_value(spec, a), self.enum_value(spec, b)) {
                (Some((_, a)), Some((_, b))) => a.value == b.value,
                _ => false,
            }
    }

    /// The text of an attribute or of its default.
    fn attr_text(&self, op: OpId, spec: &AttrSpec, name: &str) -> Option<String> {
        match self.m.attr(op, name) {
            Some(value) => Some(self.value_text(value)),
            None if spec.default.is_some() => Some(self.target.str(spec.default).into()),
            None => None,
        }
    }

    fn value_text(&self, value: &AttrValue) -> String {
        match value.kind {
            attr_kind::INT => (value.bits as i64).to_string(),
            attr_kind::BOOL => (value.bits != 0).to_string(),
            attr_kind::UNIT => "true".into(),
            attr_kind::FLOAT => f64::from_bits(value.bits).to_string(),
            _ if value.text.is_some() => self.m.str(value.text).into(),
            _ => String::new(),
        }
    }

    /// The value of an enumeration that a text or number means for an attribute.
    fn enum_value(&self, spec: &AttrSpec, text: &str) -> Option<(&'a Enum, &'a EnumValue)> {
        self.target.str(spec.ty).split('|').find_map(|name| {
            let found = self.target.find_enum(name.trim())?;
            let values = found.values.of(self.target.t.enum_values);
            let value = values
                .iter()
                .find(|v| self.target.str(v.text) == text)
                .or_else(|| values.iter().find(|v| text.parse() == Ok(v.value)))?;
            Some((found, value))
        })
    }

    fn required_text(&self, op: OpId, spec: &AttrSpec, name: &str) -> Result<String, PassError> {
        self.attr_text(op, spec, name)
            .ok_or_else(|| self.error(op, &format!("the attribute `{name}` must be given")))
    }

    /// The attribute in place: an enumerator, a number, a bool, a string in quotes.
    fn attr_symbol(&self, op: OpId, spec: &AttrSpec, name: &str) -> Result<String, PassError> {
        let text = self.required_text(op, spec, name)?;
        match self.target.str(spec.ty) {
            "string" => Ok(literal::quoted(&text)),
            "i8" | "i32" | "i64" | "f32" | "bool" | "unit" | "symbol" => Ok(text),
            ty => match self.enum_value(spec, &text) {
                Some((_, value)) if value.symbol.is_some() => Ok(self.target.str(value.symbol).into()),
                _ => Err(self.error(op, &format!("`{text}` is no value of `{ty}` that C++ knows"))),
            },
        }
    }

    /// The attribute as the symbol of a pipe: its own, or that of its class.
    fn attr_pipe(&self, op: OpId, spec: &AttrSpec, name: &str) -> Result<String, PassError> {
        let text = self.required_text(op, spec, name)?;
        let text = match self.enum_value(spec, &text) {
            Some((_, value)) => self.target.str(value.text).to_owned(),
            None => text,
        };
        let class = self.target.t.sync_classes.iter().find(|c| self.target.str(c.name) == text);
        let pipe = class.map(|c| c.pipe).or_else(|| self.target.pipe(&text));
        match pipe {
            Some(pipe) => Ok(self.target.pipe_symbol(pipe).into()),
            None => Err(self.error(op, &format!("`{text}` stands for no pipe of this target"))),
        }
    }

    /// The attribute as a literal at the top of the function.
    fn attr_literal(&mut self, op: OpId, spec: &AttrSpec, name: &str) -> Result<NodeId, PassError> {
        let text = self.required_text(op, spec, name)?;
        let number = |ty| text.parse().ok().map(|value| (ty, value));
        let integer = match self.target.str(spec.ty) {
            "i8" => number(Ctype::I8),
            "i32" => number(Ctype::I32),
            "i64" => number(Ctype::I64),
            "bool" | "unit" => Some((Ctype::BOOL, i64::from(text == "true" || text == "1"))),
            _ => None,
        };
        if let Some((ty, value)) = integer {
            return Ok(self.code.integer(ty, value));
        }
        match self.enum_value(spec, &text) {
            Some((kind, value)) if kind.cpp.is_some() && value.symbol.is_some() => {
                let ty = self.target.str(kind.cpp);
                let text = format!("{ty}::{}", self.target.str(value.symbol));
                let ty = self.types.intern(ty);
                Ok(self.code.initializer(ty, &text))
            }
            _ => Err(self.error(op, &format!("the attribute `{name}` has no literal in C++"))),
        }
    }
}

/// The kind of operand, as conditions name it, that a type is.
fn kind_of(kind: u32) -> &'static str {
    match kind {
        type_kind::TILE => "tile",
        type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW | type_kind::MEMREF => "view",
        type_kind::PTR => "ptr",
        type_kind::INDEX => "index",
        type_kind::INT | type_kind::FLOAT => "scalar",
        type_kind::PIPE => "pipe",
        type_kind::EVENT_ARRAY => "array",
        _ => "any",
    }
}
