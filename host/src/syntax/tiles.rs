//! Tile types, in both of their spellings.

use pipewright_abi::ir::{DYNAMIC, ModuleData, TileType, Type, type_kind};
use pipewright_abi::target::{EnumValue, Target};
use pipewright_abi::{SpaceId, TypeId};

use super::cursor::Cursor;
use super::types::{MAX_EXTENT, TypeError, TypeTable, expect_end, read_extents};
use crate::diagnostic::did_you_mean;

/// Largest extent of a tile, so that its size in bytes fits 64 bits.
const MAX_TILE_EXTENT: i64 = 1 << 28;

impl<'t> TypeTable<'t> {
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
        for (key, value, names) in
            [("blayout", tile.blayout, &layouts[..]), ("slayout", tile.slayout, &boxes[..])]
        {
            match names.get(value as usize) {
                _ if value == 0 => {}
                Some(name) => text += &format!(", {key}={name}"),
                None => text += &format!(", {key}={value}"),
            }
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

    /// Reads the inside of `!pto.tile_buf<..>`: `vec, 16x64xf32, k=v..` or `loc=vec, dtype=f32, rows=16, ..`.
    pub(super) fn read_tile(
        &mut self,
        cursor: &mut Cursor<'t>,
        data: &mut ModuleData,
        target: &Target<'_>,
        depth: usize,
    ) -> Result<TypeId, TypeError> {
        let ty = self.read_tile_parameters(cursor, data, target, depth)?;
        let end = cursor.text.len();
        if !cursor.eat(">") || !cursor.at_end() {
            return Err(TypeError::new("expected `,` or `>` in a tile type", cursor.at, end));
        }
        Ok(ty)
    }

    /// Reads the parameters of a tile type.
    fn read_tile_parameters(
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
                Err(TypeError::new(message, at, cursor.end().max(at + 1)))
            };
            if cursor.byte().is_ascii_digit() || cursor.byte() == b'?' {
                let read = read_extents(cursor)?;
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
                    tile.space = find_space(target, key, at)?;
                } else if key == "dtype" {
                    element = self.read(cursor, data, target, depth + 1)?;
                } else if key == "loc" {
                    let at = cursor.peek_at();
                    tile.space = find_space(target, cursor.word().unwrap_or(""), at)?;
                } else if key == "valid" {
                    let read = read_extents(cursor)?;
                    let &[rows, cols] = &read[..] else {
                        return fail(cursor, format!("`valid` has 2 dimensions, not {}", read.len()));
                    };
                    valid = Some([rows, cols]);
                } else {
                    let value = match tile_value(cursor, target, key) {
                        Ok(value) => value,
                        Err(message) => return fail(cursor, message),
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
        if element.is_none() {
            return Err(TypeError::new("the tile type names no element type", start, end));
        }
        if tile.space.is_none() {
            let help = format!("memory spaces are {}", space_names(target).join(", "));
            return Err(TypeError {
                help,
                ..TypeError::new("the tile type names no memory space", start, end)
            });
        }
        if let Some(extent) = extents.iter().find(|&&e| e > MAX_TILE_EXTENT) {
            let message = format!("a tile extent of {extent} is more than any memory holds");
            return Err(TypeError::new(message, start, end));
        }
        let valid =
            valid.unwrap_or([given_valid[0].unwrap_or(extents[0]), given_valid[1].unwrap_or(extents[1])]);
        [tile.valid_rows, tile.valid_cols] = valid;
        Ok(self.tile(data, target, element, (extents[0], extents[1]), tile))
    }
}

/// Most tiles that a buffer of several has, and fewest.
const SLOTS: std::ops::RangeInclusive<i64> = 2..=16;

impl<'t> TypeTable<'t> {
    /// Reads the inside of `!pto.multi_tile_buf<..>`: a tile type, in full or its parameters alone, and `count=N`.
    pub(super) fn read_multi_tile(
        &mut self,
        cursor: &mut Cursor<'t>,
        data: &mut ModuleData,
        target: &Target<'_>,
        depth: usize,
    ) -> Result<TypeId, TypeError> {
        let (start, end) = (cursor.peek_at(), cursor.text.len());
        let fail = |message: &str, start: usize| Err(TypeError::new(message, start, end));
        let Some(count_at) = cursor.text[start..].rfind("count").map(|at| start + at) else {
            return fail("expected `count=N` behind the tile type: the number of tiles", start);
        };
        // The tile type is what stands before the comma before `count`.
        let head = cursor.text[..count_at].trim_end();
        let Some(head) = head.strip_suffix(',').filter(|head| head.len() > start) else {
            return fail("expected a tile type, a comma and `count=N`", start);
        };
        let mut inner = Cursor::starting_at(head, start);
        let slot = if inner.byte() == b'!' {
            let slot = self.read(&mut inner, data, target, depth + 1)?;
            if !inner.at_end() {
                return fail("expected `,` behind the tile type", inner.at);
            }
            slot
        } else {
            self.read_tile_parameters(&mut inner, data, target, depth)?
        };
        if data.tables.types[slot.index()].kind != type_kind::TILE {
            return fail("the buffer is one of tiles: expected a tile type", start);
        }
        cursor.at = count_at + "count".len();
        let number_at = cursor.peek_at();
        let count = if cursor.eat("=") { cursor.number().and_then(|n| n.parse::<i64>().ok()) } else { None };
        let Some(count) = count.filter(|count| SLOTS.contains(count)) else {
            let message = format!("`count` is a number of tiles from {} to {}", SLOTS.start(), SLOTS.end());
            return fail(&message, number_at);
        };
        expect_end(cursor)?;
        let text = format!("!pto.multi_tile_buf<{}, count={count}>", self.text(data, slot));
        let element = data.tables.types[slot.index()].element;
        let ty = Type { kind: type_kind::MULTI_TILE, element, ..Default::default() };
        Ok(self.add(data, ty, &[count], &[slot], &text))
    }
}

/// The number that a parameter of a tile type has: written out, `?`, or by the name of an enumeration's value.
fn tile_value(cursor: &mut Cursor<'_>, target: &Target<'_>, key: &str) -> Result<i64, String> {
    let is_extent = matches!(key, "rows" | "cols" | "v_row" | "v_col");
    if is_extent && cursor.eat("?") {
        return Ok(DYNAMIC);
    }
    if let Some(text) = cursor.number() {
        let values = enum_values(target, key);
        let known = |n: &i64| values.is_none_or(|v| v.iter().any(|v| v.value == *n));
        let number = text.parse().ok().filter(|n| (0..=MAX_EXTENT).contains(n) && known(n));
        return number.ok_or_else(|| format!("{text} is no value of `{key}`"));
    }
    let word = cursor.word().unwrap_or("");
    let found = enum_values(target, key).and_then(|v| v.iter().find(|v| target.str(v.text) == word));
    found.map(|v| v.value).ok_or_else(|| match word {
        "" => format!("`{key}` needs a value"),
        _ => format!("`{word}` is no value of `{key}`"),
    })
}

fn find_space(target: &Target<'_>, name: &str, at: usize) -> Result<SpaceId, TypeError> {
    target.space(name).ok_or_else(|| no_space(target, name, at))
}

/// The error for the name of a memory space that the target does not have.
pub(super) fn no_space(target: &Target<'_>, name: &str, at: usize) -> TypeError {
    let names = space_names(target);
    let help = match did_you_mean(name, names.iter().copied()) {
        Some(likely) => format!("did you mean `{likely}`? The target has {}", names.join(", ")),
        None => format!("the target has {}", names.join(", ")),
    };
    let message = format!("there is no memory space `{name}`");
    TypeError { help, ..TypeError::new(message, at, at + name.len().max(1)) }
}

fn space_names<'g>(target: &Target<'g>) -> Vec<&'g str> {
    target.t.spaces.iter().map(|s| target.str(s.name)).collect()
}

/// The values of the enumeration behind a parameter of a tile type.
fn enum_values<'g>(target: &Target<'g>, key: &str) -> Option<&'g [EnumValue]> {
    let name = match key {
        "pad" => "pad_value",
        "compact" => "compact_mode",
        _ => key,
    };
    target.find_enum(name).map(|e| e.values.of(target.t.enum_values))
}
