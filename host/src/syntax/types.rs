//! Types: text to records, each type once.
//!
//! Type text repeats with nearly every operand, so its meaning is remembered by spelling; a second look costs one
//! hash. What must hold: types that mean the same are one record however they are spelled, a type's text reads back as
//! that type, and all texts together are no longer than some multiple of the source, whatever aliases stand for.

use std::collections::{BTreeMap, HashMap, HashSet};

use pipewright_abi::ir::{DYNAMIC, ModuleData, Type, type_kind};
use pipewright_abi::target::{Target, space_flag};
use pipewright_abi::{Range, SpaceId, StrId, TypeId};

use super::cursor::Cursor;
use super::tiles::no_space;
use super::tokens::canonical;
use crate::diagnostic::did_you_mean;

/// Types of a module under construction.
#[derive(Debug, Default)]
pub(super) struct TypeTable<'t> {
    by_spelling: HashMap<&'t str, TypeId>,
    pub(super) by_text: HashMap<StrId, TypeId>,
    aliases: BTreeMap<&'t str, TypeId>,
    /// Types whose text is a spelling that the source has.
    spelled: HashSet<TypeId>,
    /// Bytes of type text that may still be made.
    budget: usize,
}

/// Why a type cannot be read, with where in the text.
pub(super) struct TypeError {
    pub(super) message: String,
    pub(super) help: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl TypeError {
    pub(super) fn new(message: impl Into<String>, start: usize, end: usize) -> Self {
        Self { message: message.into(), help: String::new(), start, end }
    }
}

/// Deepest nesting of types inside types.
const MAX_DEPTH: usize = 32;

/// Largest extent of a shape.
pub(super) const MAX_EXTENT: i64 = 1 << 40;

impl<'t> TypeTable<'t> {
    /// The types of a module whose text has `len` bytes.
    pub(super) fn for_text(len: usize) -> Self {
        // Without aliases the types of a text cannot be longer than the text.
        Self { budget: len.saturating_mul(64).saturating_add(1 << 20), ..Self::default() }
    }

    /// Whether aliases of aliases made the texts too long. Types made since stand for nothing.
    pub(super) fn is_exhausted(&self) -> bool {
        self.budget == 0
    }

    /// Gives a type another name, `!name`.
    pub(super) fn alias(&mut self, name: &'t str, ty: TypeId) {
        self.aliases.insert(name, ty);
    }

    /// The type that stands for a value whose definition has an error.
    pub(super) fn error(&mut self, data: &mut ModuleData) -> TypeId {
        self.simple(data, type_kind::OTHER, 0, 0, "<error>")
    }

    pub(super) fn index(&mut self, data: &mut ModuleData) -> TypeId {
        self.simple(data, type_kind::INDEX, 0, 0, "index")
    }

    /// Signless integer of `width` bits.
    pub(super) fn int(&mut self, data: &mut ModuleData, width: u32) -> TypeId {
        self.simple(data, type_kind::INT, width, 0, &format!("i{width}"))
    }

    /// `!pto.partition_tensor_view` of these extents.
    pub(super) fn partition(&mut self, data: &mut ModuleData, element: TypeId, extents: &[i64]) -> TypeId {
        let text = format!("!pto.partition_tensor_view<{}{}>", shape(extents), self.text(data, element));
        self.add(
            data,
            Type { kind: type_kind::PARTITION_VIEW, element, ..Default::default() },
            extents,
            &[],
            &text,
        )
    }

    /// `!pto.ptr`. Global memory is what a pointer without a space points into: the two are one type, spelled as the text
    /// does it first.
    fn pointer(
        &mut self,
        data: &mut ModuleData,
        target: &Target<'_>,
        element: TypeId,
        spelled: Option<(SpaceId, &str)>,
    ) -> TypeId {
        let element_text = self.text(data, element).to_owned();
        let is_global = |id: SpaceId| target.t.spaces[id.index()].flags & space_flag::GLOBAL != 0;
        let space = spelled.filter(|&(id, _)| !is_global(id)).map(|(id, _)| target.space_name(id));
        let text = |space: Option<&str>| match space {
            Some(space) => format!("!pto.ptr<{element_text}, {space}>"),
            None => format!("!pto.ptr<{element_text}>"),
        };
        let space_id = space.map_or(StrId::NONE, |space| data.strings.intern(space));
        let ty = Type { kind: type_kind::PTR, element, space: space_id, ..Default::default() };
        let (meaning, spelling) = (text(space), text(spelled.map(|(_, name)| name)));
        self.add_spelled(data, ty, &meaning, &spelling)
    }

    /// `(params) -> (results)`.
    pub(super) fn function(
        &mut self,
        data: &mut ModuleData,
        params: &[TypeId],
        results: &[TypeId],
    ) -> TypeId {
        let len: usize = params.iter().chain(results).map(|&t| self.text(data, t).len() + 2).sum();
        if self.budget < len {
            self.budget = 0;
            return self.error(data);
        }
        let list = |this: &Self, types: &[TypeId]| {
            types.iter().map(|&t| this.text(data, t)).collect::<Vec<_>>().join(", ")
        };
        let text = format!("({}) -> ({})", list(self, params), list(self, results));
        let children: Vec<TypeId> = params.iter().chain(results).copied().collect();
        let ty = Type { kind: type_kind::FUNCTION, detail: params.len() as u32, ..Default::default() };
        self.add(data, ty, &[], &children, &text)
    }

    /// Reads the type at the cursor.
    pub(super) fn read(
        &mut self,
        cursor: &mut Cursor<'t>,
        data: &mut ModuleData,
        target: &Target<'_>,
        depth: usize,
    ) -> Result<TypeId, TypeError> {
        let start = cursor.peek_at();
        let fail = |cursor: &Cursor<'t>, message: String| {
            let end = cursor.end().max(start + 1);
            Err(TypeError::new(message, start, end))
        };
        if depth > MAX_DEPTH {
            return fail(cursor, format!("types are nested more than {MAX_DEPTH} deep"));
        }
        match cursor.byte() {
            b'(' => return self.read_function(cursor, data, target, depth),
            b'!' => {
                let Some(name) = cursor.sigil_name(b'!') else {
                    return fail(cursor, "expected a type after `!`".into());
                };
                if cursor.byte() != b'<' && !name.contains('.') {
                    return match self.aliases.get(name) {
                        Some(&alias) => Ok(alias),
                        None => {
                            let known = did_you_mean(name, self.aliases.keys().copied());
                            let help = known.map_or(String::new(), |k| format!("did you mean `!{k}`?"));
                            let error = TypeError::new(
                                format!("there is no type alias `!{name}`"),
                                start,
                                cursor.end(),
                            );
                            Err(TypeError { help, ..error })
                        }
                    };
                }
            }
            b'<' => {}
            _ => {
                if cursor.word().is_none() {
                    return fail(cursor, "expected a type".into());
                }
            }
        }
        if cursor.byte() == b'<' && cursor.balanced().is_none() {
            return fail(cursor, "this type is never closed: `>` is missing".into());
        }
        let spelling = &cursor.text[start..cursor.at];
        if let Some(&known) = self.by_spelling.get(spelling) {
            return Ok(known);
        }
        let mut inner = Cursor::starting_at(&cursor.text[..cursor.at], start);
        let ty = self.read_new(&mut inner, data, target, depth)?;
        self.check_budget(start, cursor.at)?;
        self.by_spelling.insert(spelling, ty);
        Ok(ty)
    }

    fn check_budget(&self, start: usize, end: usize) -> Result<(), TypeError> {
        if !self.is_exhausted() {
            return Ok(());
        }
        Err(TypeError::new("types with all their aliases written out are too long", start, end))
    }

    fn read_function(
        &mut self,
        cursor: &mut Cursor<'t>,
        data: &mut ModuleData,
        target: &Target<'_>,
        depth: usize,
    ) -> Result<TypeId, TypeError> {
        let start = cursor.at;
        let params = self.read_list(cursor, data, target, depth)?;
        let at = cursor.peek_at();
        if !cursor.eat("->") {
            return Err(TypeError::new("expected `->` in a function type", at, at + 1));
        }
        let results = if cursor.peek() == b'(' {
            self.read_list(cursor, data, target, depth)?
        } else {
            vec![self.read(cursor, data, target, depth + 1)?]
        };
        let ty = self.function(data, &params, &results);
        self.check_budget(start, cursor.end())?;
        Ok(ty)
    }

    /// Reads `(T, T)`.
    pub(super) fn read_list(
        &mut self,
        cursor: &mut Cursor<'t>,
        data: &mut ModuleData,
        target: &Target<'_>,
        depth: usize,
    ) -> Result<Vec<TypeId>, TypeError> {
        let mut types = Vec::new();
        cursor.eat("(");
        while !cursor.eat(")") {
            types.push(self.read(cursor, data, target, depth + 1)?);
            let at = cursor.peek_at();
            if !cursor.eat(",") && cursor.peek() != b')' {
                return Err(TypeError::new("expected `,` or `)`", at, at + 1));
            }
        }
        Ok(types)
    }

    /// Reads a type that was not seen before. The cursor's text ends where the type ends.
    fn read_new(
        &mut self,
        cursor: &mut Cursor<'t>,
        data: &mut ModuleData,
        target: &Target<'_>,
        depth: usize,
    ) -> Result<TypeId, TypeError> {
        let start = cursor.peek_at();
        let whole = canonical(&cursor.text[start..]);
        let name = match cursor.byte() {
            b'<' => "pto.ptr",
            b'!' => cursor.sigil_name(b'!').unwrap_or(""),
            _ => cursor.word().unwrap_or(""),
        };
        if !cursor.eat("<") {
            return match scalar(name) {
                Some((kind, width, sign)) => Ok(self.simple(data, kind, width, sign, name)),
                None if name == "pto.pipe" => Ok(self.simple(data, type_kind::PIPE, 0, 0, &whole)),
                None if whole.starts_with('!') || name == "none" => {
                    Ok(self.simple(data, type_kind::OTHER, 0, 0, &whole))
                }
                None => {
                    let names =
                        ["index", "i1", "i8", "i16", "i32", "i64", "ui8", "f16", "bf16", "f32", "f64"];
                    let help = match did_you_mean(name, names) {
                        Some(likely) => format!("did you mean `{likely}`?"),
                        None => "a type of a dialect starts with `!`".into(),
                    };
                    let error = TypeError::new(format!("there is no type `{name}`"), start, cursor.end());
                    Err(TypeError { help, ..error })
                }
            };
        }
        let shaped = |kind: u32| Type { kind, ..Default::default() };
        match name {
            "pto.ptr" => {
                let element = self.read(cursor, data, target, depth + 1)?;
                let space = if cursor.eat(",") { Some(read_space(cursor, target)?) } else { None };
                expect_end(cursor)?;
                Ok(self.pointer(data, target, element, space))
            }
            "pto.multi_tile_buf" => self.read_multi_tile(cursor, data, target, depth),
            "pto.tensor_view" | "pto.partition_tensor_view" | "memref" | "vector" | "tensor" => {
                let extents = read_extents(cursor)?;
                let element = self.read(cursor, data, target, depth + 1)?;
                let mut ty = Type { element, ..shaped(type_kind::OTHER) };
                ty.kind = match name {
                    "pto.tensor_view" => type_kind::TENSOR_VIEW,
                    "pto.partition_tensor_view" => type_kind::PARTITION_VIEW,
                    "memref" => type_kind::MEMREF,
                    "vector" => type_kind::VECTOR,
                    _ => type_kind::OTHER,
                };
                if name.starts_with("pto.") {
                    expect_end(&mut cursor.clone())?;
                } else if !matches!(cursor.peek(), b',' | b'>') {
                    let message = "expected `,` or `>` behind the element type";
                    return Err(TypeError::new(message, cursor.at, cursor.text.len()));
                }
                let tail = canonical(&cursor.text[cursor.at..]);
                if name == "memref"
                    && let Some((_, space)) = tail.split_once("address_space<")
                {
                    ty.space = data.strings.intern(space.trim_end_matches('>').trim());
                }
                let bang = if name.starts_with("pto") { "!" } else { "" };
                let text = format!("{bang}{name}<{}{}{tail}", shape(&extents), self.text(data, element));
                Ok(self.add(data, ty, &extents, &[], &text))
            }
            "pto.tile_buf" => self.read_tile(cursor, data, target, depth),
            "pto.eventid_array" => {
                let at = cursor.peek_at();
                let size = cursor.number().and_then(|n| n.parse().ok()).filter(|&n: &i64| n > 0);
                let Some(size) = size.filter(|_| cursor.eat(">") && cursor.at_end()) else {
                    let message = "expected the number of event ids";
                    return Err(TypeError::new(message, at, cursor.text.len()));
                };
                let text = format!("!pto.eventid_array<{size}>");
                Ok(self.add(data, shaped(type_kind::EVENT_ARRAY), &[size], &[], &text))
            }
            _ => Ok(self.simple(data, type_kind::OTHER, 0, 0, &whole)),
        }
    }

    pub(super) fn text<'d>(&self, data: &'d ModuleData, id: TypeId) -> &'d str {
        data.strings.view().get(data.tables.types[id.index()].text)
    }

    fn simple(&mut self, data: &mut ModuleData, kind: u32, width: u32, detail: u32, text: &str) -> TypeId {
        self.add(data, Type { kind, width, detail, ..Default::default() }, &[], &[], text)
    }

    /// The type with this meaning, added if it is new: its text is then the spelling, which reads back as that type.
    fn add_spelled(&mut self, data: &mut ModuleData, ty: Type, meaning: &str, spelling: &str) -> TypeId {
        let id = self.add(data, ty, &[], &[], meaning);
        let text = data.strings.intern(spelling);
        let record = &mut data.tables.types[id.index()];
        if self.spelled.insert(id) {
            record.text = text;
        }
        id
    }

    /// The type with this canonical text, added if it is new.
    pub(super) fn add(
        &mut self,
        data: &mut ModuleData,
        ty: Type,
        extents: &[i64],
        children: &[TypeId],
        text: &str,
    ) -> TypeId {
        let text = data.strings.intern(text);
        if let Some(&known) = self.by_text.get(&text) {
            return known;
        }
        self.budget = self.budget.saturating_sub(data.strings.view().get(text).len());
        let tables = &mut data.tables;
        let dims = Range::new(tables.dims.len(), tables.dims.len() + extents.len());
        tables.dims.extend_from_slice(extents);
        let list = Range::new(tables.type_lists.len(), tables.type_lists.len() + children.len());
        tables.type_lists.extend_from_slice(children);
        let id = TypeId::from_index(tables.types.len());
        tables.types.push(Type { text, dims, children: list, ..ty });
        self.by_text.insert(text, id);
        id
    }
}

/// A memory space, by its own or another name.
fn read_space<'t>(cursor: &mut Cursor<'t>, target: &Target<'_>) -> Result<(SpaceId, &'t str), TypeError> {
    let at = cursor.peek_at();
    let name = cursor.word().unwrap_or("");
    match target.space_or_alias(name) {
        Some(space) => Ok((space, name)),
        None => Err(no_space(target, name, at)),
    }
}

/// The closing bracket of a type, and nothing behind it.
pub(super) fn expect_end(cursor: &mut Cursor<'_>) -> Result<(), TypeError> {
    let at = cursor.peek_at();
    if cursor.eat(">") && cursor.at_end() {
        return Ok(());
    }
    Err(TypeError::new("expected `>`", at, cursor.text.len()))
}

/// `16x?x`, up to the element type.
pub(super) fn read_extents(cursor: &mut Cursor<'_>) -> Result<Vec<i64>, TypeError> {
    let mut extents = Vec::new();
    loop {
        cursor.skip();
        let mut ahead = *cursor;
        let extent = if ahead.eat("?") {
            DYNAMIC
        } else {
            let rest = &ahead.text[ahead.at..];
            let digits = &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()];
            if digits.is_empty() {
                return Ok(extents);
            }
            let start = ahead.at;
            ahead.at += digits.len();
            match digits.parse::<i64>() {
                Ok(extent) if extent <= MAX_EXTENT => extent,
                _ => {
                    let message = format!("an extent of {digits} is more than any memory holds");
                    return Err(TypeError::new(message, start, ahead.at));
                }
            }
        };
        extents.push(extent);
        *cursor = ahead;
        if ahead.peek() != b'x' {
            return Ok(extents);
        }
        ahead.at += 1;
        *cursor = ahead;
    }
}

/// `16x?x` of these extents.
fn shape(extents: &[i64]) -> String {
    extents.iter().map(|&e| if e == DYNAMIC { "?x".to_owned() } else { format!("{e}x") }).collect()
}

/// Kind, width and signedness of a builtin scalar type.
fn scalar(name: &str) -> Option<(u32, u32, u32)> {
    if name == "index" {
        return Some((type_kind::INDEX, 0, 0));
    }
    for (prefix, sign) in [("si", 1), ("ui", 2), ("i", 0)] {
        if let Some(width) = name.strip_prefix(prefix).and_then(|w| w.parse().ok())
            && (1..=128).contains(&width)
        {
            return Some((type_kind::INT, width, sign));
        }
    }
    let width = match name {
        "f16" | "bf16" => 16,
        "f32" | "tf32" => 32,
        "f64" => 64,
        _ if name.starts_with("f8E") => 8,
        _ if name.starts_with("f4E") => 4,
        _ => return None,
    };
    Some((type_kind::FLOAT, width, 0))
}
