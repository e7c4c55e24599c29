//! Types: text to records, each type once.
//!
//! Type text repeats with nearly every operand, so its meaning is remembered by spelling; a second look costs one
//! hash. Types that mean the same are one record however they are spelled.

use std::collections::HashMap;

use pipewright_abi::ir::{DYNAMIC, ModuleData, TileType, Type, type_kind};
use pipewright_abi::target::Target;
use pipewright_abi::{Range, StrId, TypeId};

use super::cursor::Cursor;

/// Types of a module under construction.
#[derive(Debug, Default)]
pub(super) struct TypeTable<'t> {
    by_spelling: HashMap<&'t str, TypeId>,
    by_text: HashMap<StrId, TypeId>,
    aliases: HashMap<&'t str, TypeId>,
}

/// Why a type cannot be read, with where in the text.
pub(super) struct TypeError {
    pub(super) message: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Deepest nesting of types inside types.
const MAX_DEPTH: usize = 32;

impl<'t> TypeTable<'t> {
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

    /// A tile type.
    pub(super) fn tile(
        &mut self,
        data: &mut ModuleData,
        target: &Target<'_>,
        element: TypeId,
        (rows, cols): (i64, i64),
        tile: TileType,
    ) -> TypeId {
        let number = |n: i64| if n == DYNAMIC { "?".to_owned() } else { n.to_string() };
        let mut text = format!(
            "!pto.tile_buf<{}, {}x{}x{}",
            target.space_name(tile.space),
            number(rows),
            number(cols),
            self.text(data, element)
        );
        if (tile.valid_rows, tile.valid_cols) != (rows, cols) {
            text += &format!(", valid={}x{}", number(tile.valid_rows), number(tile.valid_cols));
        }
        let layouts = ["row_major", "col_major"];
        let boxes = ["none_box", "row_major", "col_major"];
        if tile.blayout != 0 {
            text += &format!(", blayout={}", layouts[tile.blayout as usize % 2]);
        }
        if tile.slayout != 0 {
            text += &format!(", slayout={}", boxes[tile.slayout as usize % 3]);
        }
        for (name, value, default) in
            [("fractal", tile.fractal, 512), ("pad", tile.pad, 0), ("compact", tile.compact, 0)]
        {
            if value != default {
                text += &format!(", {name}={value}");
            }
        }
        text.push('>');
        let id = self.by_text.get(&data.strings.intern(&text)).copied();
        id.unwrap_or_else(|| {
            let detail = data.tables.tiles.len() as u32;
            data.tables.tiles.push(tile);
            let ty = Type { kind: type_kind::TILE, element, detail, ..Default::default() };
            self.add(data, ty, &[rows, cols], &[], &text)
        })
    }

    /// `(params) -> results`.
    pub(super) fn function(
        &mut self,
        data: &mut ModuleData,
        params: &[TypeId],
        results: &[TypeId],
    ) -> TypeId {
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
        let fail = |cursor: &Cursor<'t>, message: &str| {
            let end = cursor.at.max(start + 1).min(cursor.text.len().max(start));
            Err(TypeError { message: message.into(), start, end })
        };
        if depth > MAX_DEPTH {
            return fail(cursor, "types are nested too deep");
        }
        match cursor.byte() {
            b'(' => return self.read_function(cursor, data, target, depth),
            b'!' => {
                let Some(name) = cursor.sigil_name(b'!') else {
                    return fail(cursor, "expected a type after `!`");
                };
                if cursor.byte() != b'<'
                    && let Some(&alias) = self.aliases.get(name)
                {
                    return Ok(alias);
                }
            }
            b'<' => {}
            _ => {
                if cursor.word().is_none() {
                    return fail(cursor, "expected a type");
                }
            }
        }
        if cursor.byte() == b'<' && cursor.balanced().is_none() {
            return fail(cursor, "this `<` is never closed");
        }
        let spelling = &cursor.text[start..cursor.at];
        if let Some(&known) = self.by_spelling.get(spelling) {
            return Ok(known);
        }
        let mut inner = Cursor { text: &cursor.text[..cursor.at], at: start };
        let ty = self.read_new(&mut inner, data, target, depth)?;
        self.by_spelling.insert(spelling, ty);
        Ok(ty)
    }

    fn read_function(
        &mut self,
        cursor: &mut Cursor<'t>,
        data: &mut ModuleData,
        target: &Target<'_>,
        depth: usize,
    ) -> Result<TypeId, TypeError> {
        let params = self.read_list(cursor, data, target, depth)?;
        let at = cursor.peek_at();
        if !cursor.eat("->") {
            return Err(TypeError {
                message: "expected `->` in a function type".into(),
                start: at,
                end: at + 1,
            });
        }
        let results = if cursor.peek() == b'(' {
            self.read_list(cursor, data, target, depth)?
        } else {
            vec![self.read(cursor, data, target, depth + 1)?]
        };
        Ok(self.function(data, &params, &results))
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
                return Err(TypeError { message: "expected `,` or `)`".into(), start: at, end: at + 1 });
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
        let whole = cursor.text[start..].to_owned();
        let fail = |message: String, at: usize, end: usize| Err(TypeError { message, start: at, end });
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
                None => fail(format!("there is no type `{name}`"), start, cursor.at),
            };
        }
        let shaped = |kind: u32| Type { kind, ..Default::default() };
        match name {
            "pto.ptr" => {
                let element = self.read(cursor, data, target, depth + 1)?;
                // A second parameter names a memory space other than global memory; such pointers are opaque here.
                if cursor.eat(",") {
                    return Ok(self.simple(data, type_kind::OTHER, 0, 0, &whole));
                }
                let text = format!("!pto.ptr<{}>", self.text(data, element));
                Ok(self.add(data, Type { element, ..shaped(type_kind::PTR) }, &[], &[], &text))
            }
            "pto.tensor_view" | "pto.partition_tensor_view" | "memref" | "vector" | "tensor" => {
                let extents = read_extents(cursor);
                let element = self.read(cursor, data, target, depth + 1)?;
                let mut ty = Type { element, ..shaped(type_kind::OTHER) };
                ty.kind = match name {
                    "pto.tensor_view" => type_kind::TENSOR_VIEW,
                    "pto.partition_tensor_view" => type_kind::PARTITION_VIEW,
                    "memref" => type_kind::MEMREF,
                    "vector" => type_kind::VECTOR,
                    _ => type_kind::OTHER,
                };
                let rest = cursor.text[cursor.at..].trim_end_matches('>').to_owned();
                if name == "memref"
                    && let Some((_, space)) = rest.split_once("address_space<")
                {
                    ty.space = data.strings.intern(space.trim_end_matches('>').trim());
                }
                let (bang, tail) =
                    (if name.starts_with("pto") { "!" } else { "" }, cursor.text[cursor.at..].trim());
                let text = format!("{bang}{name}<{}{}{tail}", shape(&extents), self.text(data, element));
                Ok(self.add(data, ty, &extents, &[], &text))
            }
            "pto.tile_buf" => self.read_tile(cursor, data, target, depth),
            "pto.eventid_array" => {
                let size = cursor.number().and_then(|n| n.parse().ok()).unwrap_or(0);
                let text = format!("!pto.eventid_array<{size}>");
                Ok(self.add(data, shaped(type_kind::EVENT_ARRAY), &[size], &[], &text))
            }
            _ => Ok(self.simple(data, type_kind::OTHER, 0, 0, &whole)),
        }
    }

    /// Reads the inside of `!pto.tile_buf<..>`: `vec, 16x64xf32, k=v..` or `loc=vec, dtype=f32, rows=16, ..`.
    fn read_tile(
        &mut self,
        cursor: &mut Cursor<'t>,
        data: &mut ModuleData,
        target: &Target<'_>,
        depth: usize,
    ) -> Result<TypeId, TypeError> {
        let start = cursor.at;
        let mut tile = TileType { fractal: 512, ..Default::default() };
        let (mut element, mut extents) = (TypeId::NONE, [0i64; 2]);
        let mut valid: Option<[i64; 2]> = None;
        let mut given_valid = [None, None];
        loop {
            let at = cursor.peek_at();
            let fail = |cursor: &Cursor<'t>, message: String| {
                Err(TypeError { message, start: at, end: cursor.at.max(at + 1) })
            };
            if cursor.byte().is_ascii_digit() || cursor.byte() == b'?' {
                let read = read_extents(cursor);
                let &[rows, cols] = &read[..] else {
                    return fail(cursor, format!("a tile has 2 dimensions, not {}", read.len()));
                };
                extents = [rows, cols];
                element = self.read(cursor, data, target, depth + 1)?;
            } else {
                let Some(key) = cursor.word() else {
                    return fail(cursor, "expected a tile parameter".into());
                };
                if !cursor.eat("=") {
                    tile.space = target.space(key).unwrap_or_default();
                    if tile.space.is_none() {
                        return fail(cursor, unknown_space(target, key));
                    }
                } else if key == "dtype" {
                    element = self.read(cursor, data, target, depth + 1)?;
                } else if key == "loc" {
                    let name = cursor.word().unwrap_or("");
                    tile.space = target.space(name).unwrap_or_default();
                    if tile.space.is_none() {
                        return fail(cursor, unknown_space(target, name));
                    }
                } else if key == "valid" {
                    let read = read_extents(cursor);
                    let &[rows, cols] = &read[..] else {
                        return fail(cursor, "`valid` has 2 dimensions".into());
                    };
                    valid = Some([rows, cols]);
                } else {
                    let number = if cursor.eat("?") {
                        Some(DYNAMIC)
                    } else {
                        cursor.number().and_then(|n| n.parse().ok())
                    };
                    let value = match number {
                        Some(number) => number,
                        None => {
                            let word = cursor.word().unwrap_or("");
                            match enum_value(target, key, word) {
                                Some(value) => value,
                                None => return fail(cursor, format!("`{word}` is no value of `{key}`")),
                            }
                        }
                    };
                    match key {
                        "rows" => extents[0] = value,
                        "cols" => extents[1] = value,
                        "v_row" => given_valid[0] = Some(value),
                        "v_col" => given_valid[1] = Some(value),
                        "blayout" => tile.blayout = value as u32,
                        "slayout" => tile.slayout = value as u32,
                        "fractal" => tile.fractal = value as u32,
                        "pad" => tile.pad = value as u32,
                        "compact" => tile.compact = value as u32,
                        _ => return fail(cursor, format!("a tile type has no parameter `{key}`")),
                    }
                }
            }
            if !cursor.eat(",") {
                break;
            }
        }
        let end = cursor.text.len();
        if !cursor.eat(">") || !cursor.at_end() {
            return Err(TypeError {
                message: "expected `,` or `>` in a tile type".into(),
                start: cursor.at,
                end,
            });
        }
        if element.is_none() {
            return Err(TypeError { message: "the tile type names no element type".into(), start, end });
        }
        let valid =
            valid.unwrap_or([given_valid[0].unwrap_or(extents[0]), given_valid[1].unwrap_or(extents[1])]);
        [tile.valid_rows, tile.valid_cols] = valid;
        Ok(self.tile(data, target, element, (extents[0], extents[1]), tile))
    }

    fn text<'d>(&self, data: &'d ModuleData, id: TypeId) -> &'d str {
        data.strings.view().get(data.tables.types[id.index()].text)
    }

    fn simple(&mut self, data: &mut ModuleData, kind: u32, width: u32, detail: u32, text: &str) -> TypeId {
        self.add(data, Type { kind, width, detail, ..Default::default() }, &[], &[], text)
    }

    /// The type with this canonical text, added if it is new.
    fn add(
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

/// `16x?x`, up to the element type.
fn read_extents(cursor: &mut Cursor<'_>) -> Vec<i64> {
    let mut extents = Vec::new();
    loop {
        cursor.skip();
        let mut ahead = *cursor;
        let extent = if ahead.eat("?") {
            DYNAMIC
        } else {
            let digits = ahead.text.as_bytes()[ahead.at..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return extents;
            }
            let digits = &ahead.text[ahead.at..ahead.at + digits];
            ahead.at += digits.len();
            digits.parse().unwrap_or(i64::MAX)
        };
        extents.push(extent);
        if ahead.peek() == b'x' {
            ahead.at += 1;
        } else {
            *cursor = ahead;
            return extents;
        }
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
        _ if name.starts_with("f8") => 8,
        _ if name.starts_with("f4") => 4,
        _ => return None,
    };
    Some((type_kind::FLOAT, width, 0))
}

fn unknown_space(target: &Target<'_>, name: &str) -> String {
    let names: Vec<_> = target.t.spaces.iter().map(|s| target.str(s.name)).collect();
    format!("there is no memory space `{name}`; the target has {}", names.join(", "))
}

/// The number of an enumeration's value as a tile type spells it.
fn enum_value(target: &Target<'_>, key: &str, word: &str) -> Option<i64> {
    let name = match key {
        "pad" => "pad_value",
        "compact" => "compact_mode",
        _ => key,
    };
    let values = target.find_enum(name)?.values.of(target.t.enum_values);
    values.iter().find(|v| target.str(v.text) == word).map(|v| v.value)
}
