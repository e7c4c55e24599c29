//! Names for operands, and types for results: what the target's operation table says about what was read.

use std::collections::HashMap;

use pipewright_abi::ir::{Attr, AttrValue, DYNAMIC, TileType, attr_kind, type_kind};
use pipewright_abi::target::{Entry, OperandSpec, attr_flag, operand_flag, operand_kind};
use pipewright_abi::{TextRange, TypeId};

use super::arith;
use super::clauses::Clauses;
use super::errors::Parsed;
use super::parser::{Draft, DraftOperand, Parser};
use crate::diagnostic::Diagnostic;

/// The attribute by which the generic form tells optional operands apart.
pub(super) const SEGMENTS: &str = "operandSegmentSizes";

impl<'t> Parser<'t, '_> {
    /// Gives names to operands and inline attributes, and types to results.
    pub(super) fn bind(&mut self, draft: &mut Draft<'t>, clauses: Clauses) -> Parsed<()> {
        let entry = self.entry(draft.name).get().map(|e| self.target.t.entries[e.index()]);
        match &entry {
            Some(entry) => {
                self.name_inline(draft, entry, &clauses)?;
                self.number_enums(draft, entry);
                self.bind_operands(draft, entry)?;
            }
            None => {
                for (index, &(value, span)) in clauses.inline.iter().enumerate() {
                    self.push_attr(draft, &format!("inline{index}"), value, span);
                }
            }
        }
        let (results, for_operands) = self.result_types(draft, entry.as_ref(), &clauses)?;
        draft.result_types = results;
        self.check_types(draft, &clauses.types[..for_operands]);
        self.check_result_count(draft)
    }

    /// The generic form gives operands by position only.
    pub(super) fn bind_generic(&mut self, draft: &mut Draft<'t>) -> Parsed<()> {
        let Some(entry) = self.entry(draft.name).get().map(|e| self.target.t.entries[e.index()]) else {
            self.name_predicate(draft);
            return Ok(());
        };
        self.number_enums(draft, &entry);
        if self.segments(draft, &entry) {
            return Ok(());
        }
        let specs: Vec<(usize, OperandSpec)> =
            entry.operands.of(self.target.t.operands).iter().copied().enumerate().collect();
        let all: Vec<usize> = (0..draft.operands.len()).collect();
        self.assign(draft, &specs, &all)?;
        draft.operands.sort_by_key(|o| o.slot);
        Ok(())
    }

    /// Names operands by `operandSegmentSizes`: how many there are for each operand of the table entry. The
    /// attribute says nothing else and goes.
    fn segments(&mut self, draft: &mut Draft<'t>, entry: &Entry) -> bool {
        let sizes = self.int_list(draft, SEGMENTS);
        let total = sizes.iter().try_fold(0usize, |sum, &n| sum.checked_add(usize::try_from(n).ok()?));
        if sizes.len() != entry.operands.len as usize || total != Some(draft.operands.len()) {
            return false;
        }
        let slots = sizes.iter().enumerate().flat_map(|(slot, &n)| (0..n).map(move |_| slot as u32));
        for (operand, slot) in draft.operands.iter_mut().zip(slots) {
            operand.slot = slot;
        }
        let strings = self.data.strings.view();
        draft.attrs.retain(|a| strings.get(a.name) != SEGMENTS);
        true
    }

    /// The generic form gives the predicate of a comparison as a number.
    fn name_predicate(&mut self, draft: &mut Draft<'t>) {
        let Some(operation) = draft.name.strip_prefix("arith.") else { return };
        let strings = self.data.strings.view();
        let Some(attr) = draft.attrs.iter().find(|a| strings.get(a.name) == "predicate") else { return };
        let value = self.data.tables.attr_values[attr.value.index()];
        if value.kind == attr_kind::INT
            && let Some(name) = arith::predicate(operation, value.bits)
        {
            let text = self.data.strings.intern(name);
            self.data.tables.attr_values[attr.value.index()] =
                AttrValue { kind: attr_kind::ENUM, text, ..Default::default() };
        }
    }

    fn bind_operands(&mut self, draft: &mut Draft<'t>, entry: &Entry) -> Parsed<()> {
        let specs = entry.operands.of(self.target.t.operands);
        let mut groups: Vec<&str> = Vec::new();
        for spec in specs {
            let group = self.target.str(spec.group);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        for operand in draft.operands.clone() {
            if !groups.contains(&operand.group) {
                let place = if operand.group.is_empty() { "outside of any group" } else { operand.group };
                let known: Vec<_> = groups.iter().filter(|g| !g.is_empty()).copied().collect();
                let diagnostic = Diagnostic::error(
                    "syntax::operand",
                    format!("`{}` takes no operand {}", draft.name, in_group(place)),
                )
                .label(operand.span, "this operand")
                .help(if known.is_empty() {
                    String::new()
                } else {
                    format!("it has {}", known.join(", "))
                });
                return Err(self.report(diagnostic));
            }
        }
        for group in groups {
            let of_group: Vec<(usize, OperandSpec)> = specs
                .iter()
                .copied()
                .enumerate()
                .filter(|(_, s)| self.target.str(s.group) == group)
                .collect();
            let given: Vec<usize> =
                (0..draft.operands.len()).filter(|&i| draft.operands[i].group == group).collect();
            self.assign(draft, &of_group, &given)?;
        }
        // Keywords may stand in any order; the order of the table is the one that everybody can rely on.
        draft.operands.sort_by_key(|o| o.slot);
        Ok(())
    }

    /// Assigns operands (indices into the draft) to specs: left to right by kind, from a variadic one on from the
    /// right.
    fn assign(
        &mut self,
        draft: &mut Draft<'t>,
        specs: &[(usize, OperandSpec)],
        given: &[usize],
    ) -> Parsed<()> {
        let star = specs.iter().position(|(_, s)| s.flags & operand_flag::VARIADIC != 0);
        let (left, rest) = specs.split_at(star.unwrap_or(specs.len()));
        let mut from = 0;
        for (index, &(slot, spec)) in left.iter().enumerate() {
            let required_after = left[index + 1..]
                .iter()
                .chain(rest)
                .filter(|(_, s)| s.flags & operand_flag::OPTIONAL == 0)
                .count();
            let next = given.get(from).map(|&i| draft.operands[i]);
            let optional = spec.flags & operand_flag::OPTIONAL != 0;
            match next {
                Some(operand)
                    if self.accepts(&spec, &operand)
                        && (!optional || given.len() - from > required_after) =>
                {
                    draft.operands[given[from]].slot = slot as u32;
                    from += 1;
                }
                Some(operand) if !optional => return self.wrong_kind(draft, &spec, operand),
                None if !optional => return self.missing_operand(draft, &spec),
                _ => {}
            }
        }
        let mut to = given.len();
        if let [(star_slot, star), right @ ..] = rest {
            for &(slot, spec) in right.iter().rev() {
                let optional = spec.flags & operand_flag::OPTIONAL != 0;
                let next = (to > from).then(|| draft.operands[given[to - 1]]);
                match next {
                    Some(operand) if self.accepts(&spec, &operand) => {
                        to -= 1;
                        draft.operands[given[to]].slot = slot as u32;
                    }
                    Some(operand) if !optional => return self.wrong_kind(draft, &spec, operand),
                    None if !optional => return self.missing_operand(draft, &spec),
                    _ => {}
                }
            }
            for &index in &given[from..to] {
                let operand = draft.operands[index];
                if !self.accepts(star, &operand) {
                    return self.wrong_kind(draft, star, operand);
                }
                draft.operands[index].slot = *star_slot as u32;
            }
            from = to;
        }
        if let Some(&extra) = given.get(from).filter(|_| from < to.min(given.len())) {
            let operand = draft.operands[extra];
            let names: Vec<_> = specs.iter().map(|(_, s)| self.target.str(s.name)).collect();
            let message = format!("`{}` has no such operand {}", draft.name, in_group(operand.group));
            let diagnostic = Diagnostic::error("syntax::operand", message)
                .label(operand.span, "one too many, or of the wrong kind")
                .help(format!("its operands there are {}", names.join(", ")));
            return Err(self.report(diagnostic));
        }
        Ok(())
    }

    fn accepts(&self, spec: &OperandSpec, operand: &DraftOperand<'t>) -> bool {
        if spec.kinds == operand_kind::ANY {
            return true;
        }
        let ty = self.data.tables.types[self.type_of(operand.value).index()];
        let kinds = match ty.kind {
            type_kind::INDEX | type_kind::INT => operand_kind::INDEX | operand_kind::SCALAR,
            type_kind::FLOAT => operand_kind::SCALAR,
            type_kind::PTR => operand_kind::PTR,
            type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW => operand_kind::VIEW,
            type_kind::TILE => operand_kind::TILE,
            type_kind::MEMREF => operand_kind::TILE | operand_kind::VIEW | operand_kind::PTR,
            type_kind::PIPE => operand_kind::PIPE,
            type_kind::EVENT_ARRAY => operand_kind::ARRAY,
            type_kind::MULTI_TILE => operand_kind::SLOTS,
            // Other dialects' types, vectors, sessions and values with an error are not judged.
            _ => operand_kind::ANY,
        };
        spec.kinds & kinds != 0
    }

    fn wrong_kind<T>(
        &mut self,
        draft: &Draft<'t>,
        spec: &OperandSpec,
        operand: DraftOperand<'t>,
    ) -> Parsed<T> {
        let name = self.target.str(spec.name);
        let ty = self.type_text(self.type_of(operand.value)).to_owned();
        let message =
            format!("operand `{name}` of `{}` must be {}, not `{ty}`", draft.name, kind_names(spec.kinds));
        self.error("syntax::operand", operand.span, message, "this operand")
    }

    fn missing_operand<T>(&mut self, draft: &Draft<'t>, spec: &OperandSpec) -> Parsed<T> {
        let (name, group) = (self.target.str(spec.name), self.target.str(spec.group));
        let message = format!("`{}` lacks its operand `{name}` {}", draft.name, in_group(group));
        self.error("syntax::operand", draft.name_span, message.trim_end(), "this operation")
    }

    /// Attributes without a name get the names that the table marks as inline, in order. `%x` among them is an
    /// operand, and the attribute in whose place it stands is skipped.
    fn name_inline(&mut self, draft: &mut Draft<'t>, entry: &Entry, clauses: &Clauses) -> Parsed<()> {
        let specs = entry.attrs.of(self.target.t.attrs);
        let mut names = specs.iter().filter(|a| a.flags & attr_flag::INLINE != 0);
        for &(value, span) in &clauses.inline {
            let Some(spec) = names.next() else {
                let message = format!("`{}` has no such attribute", draft.name);
                return self.error("syntax::attribute", span, message, "one too many");
            };
            let name = self.target.str(spec.name);
            self.push_attr(draft, name, value, span);
        }
        Ok(())
    }

    /// An enumeration's value given as a number, or in an unnamed `<X>`, learns what it is.
    fn number_enums(&mut self, draft: &mut Draft<'t>, entry: &Entry) {
        for attr in draft.attrs.clone() {
            let name = self.data.strings.view().get(attr.name).to_owned();
            let specs = entry.attrs.of(self.target.t.attrs);
            let Some(spec) = specs.iter().find(|s| self.target.str(s.name) == name) else { continue };
            let types = self.target.str(spec.ty);
            let value = self.data.tables.attr_values[attr.value.index()];
            let text = self.data.strings.view().get(value.text).to_owned();
            for ty in types.split('|') {
                let Some(found) = self.target.find_enum(ty) else { continue };
                let mut members = found.values.of(self.target.t.enum_values).iter();
                let member = match value.kind {
                    attr_kind::INT => members.find(|m| m.value == value.bits as i64),
                    attr_kind::ENUM | attr_kind::STRING => members.find(|m| self.target.str(m.text) == text),
                    _ => None,
                };
                if let Some(member) = member {
                    let text = self.data.strings.intern(self.target.str(member.text));
                    let detail = self.data.strings.intern(ty);
                    let bits = member.value as u64;
                    self.data.tables.attr_values[attr.value.index()] =
                        AttrValue { kind: attr_kind::ENUM, bits, text, detail, ..Default::default() };
                    break;
                }
            }
        }
    }

    /// Compares the types behind `:` with those of the operands outside of groups. Some operations write the types
    /// in another order than the operands, and some write the result's last.
    fn check_types(&mut self, draft: &Draft<'t>, types: &[(TypeId, TextRange)]) {
        let plain: Vec<DraftOperand<'t>> =
            draft.operands.iter().filter(|o| o.group.is_empty()).copied().collect();
        if plain.is_empty() || types.is_empty() {
            return;
        }
        let mut left: HashMap<TypeId, usize> = HashMap::new();
        for operand in &plain {
            *left.entry(self.type_of(operand.value)).or_default() += 1;
        }
        if left.contains_key(&self.error_type) {
            return;
        }
        for (index, &(ty, at)) in types.iter().enumerate() {
            match left.get_mut(&ty) {
                Some(count) if *count > 0 => *count -= 1,
                Some(_) => {}
                None => {
                    // The operand that most likely is meant: the one in the type's place.
                    if let Some(&operand) = plain.get(index).or(plain.last()) {
                        self.check_type(operand, ty, at);
                    }
                    return;
                }
            }
        }
    }

    /// The types of the results, and how many of the types behind `:` belong to operands.
    fn result_types(
        &mut self,
        draft: &Draft<'t>,
        entry: Option<&Entry>,
        clauses: &Clauses,
    ) -> Parsed<(Vec<TypeId>, usize)> {
        let written = clauses.types.len();
        if let Some(results) = &clauses.results {
            return Ok((results.clone(), written));
        }
        let named: usize = draft.results.iter().map(|r| r.count).sum();
        let spec = entry.and_then(|e| e.results.of(self.target.t.operands).first());
        let certain = spec.is_some_and(|s| s.flags & (operand_flag::OPTIONAL | operand_flag::VARIADIC) == 0);
        // A result exists even if nothing names it.
        if named == 0 && !certain {
            return Ok((Vec::new(), written));
        }
        let Some(spec) = spec else {
            if entry.is_some() {
                let span = draft.results[0].span;
                let message = format!("`{}` has no result", draft.name);
                return self.error("syntax::result-count", span, message, "named here");
            }
            let last = clauses.types.last().map_or(Vec::new(), |&(ty, _)| vec![ty]);
            return Ok((last, written.saturating_sub(1)));
        };
        match draft.name {
            "pto.partition_view" => return Ok((vec![self.partition_type(draft)], written)),
            "pto.subview" => return self.subview_type(draft).map(|ty| (vec![ty], written)),
            _ => {}
        }
        // `%t = pto.alloc_tile addr = %a : T`: the type is the result's.
        let memory = operand_kind::TILE | operand_kind::VIEW | operand_kind::PTR | operand_kind::SLOTS;
        let operands = draft.operands.iter().filter(|o| o.group.is_empty()).count();
        Ok(match clauses.types.last() {
            Some(&(ty, _)) if spec.kinds & memory != 0 || written > operands => (vec![ty], written - 1),
            _ => (self.scalar_results(entry), written),
        })
    }

    /// The types of results that are numbers and whose types are not written.
    fn scalar_results(&mut self, entry: Option<&Entry>) -> Vec<TypeId> {
        let specs = entry.map_or(&[][..], |e| e.results.of(self.target.t.operands));
        let loose = operand_flag::OPTIONAL | operand_flag::VARIADIC;
        let mut types = Vec::new();
        for spec in specs.iter().filter(|s| s.flags & loose == 0) {
            types.push(if spec.kinds & operand_kind::INDEX != 0 {
                self.types.index(&mut self.data)
            } else {
                self.types.int(&mut self.data, 64)
            });
        }
        types
    }

    /// The type of a partition whose result type is not written: static extents where the sizes are constants.
    fn partition_type(&mut self, draft: &Draft<'t>) -> TypeId {
        let source = draft.operands.first().map_or(self.error_type, |o| self.type_of(o.value));
        let sizes: Vec<i64> = draft
            .operands
            .iter()
            .filter(|o| o.group == "sizes")
            .map(|o| self.constant_of(o).unwrap_or(DYNAMIC))
            .collect();
        let element = self.data.tables.types[source.index()].element;
        if element.is_none() {
            return self.error_type;
        }
        self.types.partition(&mut self.data, element, &sizes)
    }

    /// The type of a subview whose result type is not written: the parent's, with the sizes as shape.
    fn subview_type(&mut self, draft: &Draft<'t>) -> Parsed<TypeId> {
        let source = draft.operands.first().map_or(self.error_type, |o| self.type_of(o.value));
        let record = self.data.tables.types[source.index()];
        if record.kind != type_kind::TILE {
            return Ok(self.error_type);
        }
        let mut sizes = self.int_list(draft, "sizes");
        sizes.resize(2, DYNAMIC);
        let parent = self.data.tables.tiles[record.detail as usize];
        let valid: Vec<DraftOperand<'t>> =
            draft.operands.iter().filter(|o| o.group == "valid").copied().collect();
        let valid_of = |this: &Self, index: usize| match valid.get(index) {
            Some(operand) => this.constant_of(operand).unwrap_or(DYNAMIC),
            None => sizes[index],
        };
        let (valid_rows, valid_cols) = (valid_of(self, 0), valid_of(self, 1));
        let tile = TileType { valid_rows, valid_cols, ..parent };
        Ok(self.types.tile(&mut self.data, &self.target, record.element, (sizes[0], sizes[1]), tile))
    }

    /// The integers of an array attribute.
    fn int_list(&self, draft: &Draft<'t>, name: &str) -> Vec<i64> {
        let tables = &self.data.tables;
        let find = |a: &&Attr| self.data.strings.view().get(a.name) == name;
        let Some(attr) = draft.attrs.iter().find(find) else { return Vec::new() };
        let value = tables.attr_values[attr.value.index()];
        let children = value.children.of(&tables.attrs).iter();
        children.map(|c| tables.attr_values[c.value.index()].bits as i64).collect()
    }

    /// The value of an operand that an `arith.constant` defines.
    fn constant_of(&self, operand: &DraftOperand<'t>) -> Option<i64> {
        let tables = &self.data.tables;
        let op = tables.ops.get(tables.values[operand.value.index()].op.index())?;
        if self.data.strings.view().get(op.name) != "arith.constant" {
            return None;
        }
        let attr =
            op.attrs.of(&tables.attrs).iter().find(|a| self.data.strings.view().get(a.name) == "value")?;
        let value = tables.attr_values[attr.value.index()];
        (value.kind == attr_kind::INT).then_some(value.bits as i64)
    }
}

fn in_group(group: &str) -> String {
    match group {
        "" => String::new(),
        "outside of any group" => group.into(),
        "index" => "in `[..]`".into(),
        "ins" | "outs" => format!("in `{group}(..)`"),
        _ => format!("under `{group}`"),
    }
}

fn kind_names(kinds: u32) -> String {
    let names = [
        (operand_kind::TILE, "a tile"),
        (operand_kind::VIEW, "a view"),
        (operand_kind::PTR, "a pointer"),
        (operand_kind::SCALAR, "a scalar"),
        (operand_kind::INDEX, "an index"),
        (operand_kind::EVENT, "an event"),
        (operand_kind::SESSION, "a session"),
        (operand_kind::PIPE, "a pipe"),
        (operand_kind::ARRAY, "an array of event ids"),
        (operand_kind::SLOTS, "a buffer of several tiles"),
    ];
    let accepted: Vec<_> = names.iter().filter(|(bit, _)| kinds & bit != 0).map(|(_, n)| *n).collect();
    accepted.join(" or ")
}
