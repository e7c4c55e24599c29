//! Attributes: dictionaries, numbers, symbols, enumeration values, arrays.
//!
//! What an attribute cannot be told to mean is kept as its text, with canonical white space. What must hold: nesting
//! is limited, whether it is written out or hidden behind aliases.

use std::collections::BTreeSet;

use pipewright_abi::ir::{Attr, AttrValue, attr_kind, type_kind};
use pipewright_abi::{AttrId, Range, StrId, TextRange, TypeId};

use super::errors::Parsed;
use super::parser::{Draft, Parser};
use super::tokens::canonical;
use crate::diagnostic::{Diagnostic, did_you_mean};

/// Deepest nesting of arrays and dictionaries, or of groups of operands.
const MAX_DEPTH: usize = 32;

/// Most values in the attribute that an alias stands for, so that aliases of aliases cannot grow without bound.
const MAX_ALIAS: usize = 4096;

impl<'t> Parser<'t, '_> {
    /// Reads `{name = value, name}` if it is next.
    pub(super) fn attr_dict(&mut self, out: &mut Vec<Attr>) -> Parsed<()> {
        let open = self.cursor.peek_at();
        if !self.cursor.eat("{") {
            return Ok(());
        }
        while !self.cursor.eat("}") {
            let start = self.cursor.peek_at();
            let name = match self.cursor.byte() {
                b'"' => self.string()?,
                _ => match self.cursor.word() {
                    Some(word) => word.to_owned(),
                    None => return self.expected("an attribute name or `}`"),
                },
            };
            let value =
                if self.cursor.eat("=") { self.attr_value()? } else { self.attr(AttrValue::default()) };
            let name = self.data.strings.intern(&name);
            out.push(Attr { name, value, span: self.span_from(start) });
            self.more(open, "}")?;
        }
        self.check_duplicates(out);
        Ok(())
    }

    fn check_duplicates(&mut self, attrs: &[Attr]) {
        let mut order: Vec<usize> = (0..attrs.len()).collect();
        order.sort_by_key(|&i| attrs[i].name);
        for pair in order.windows(2) {
            let [first, again] = [attrs[pair[0]], attrs[pair[1]]];
            if first.name == again.name {
                let name = self.data.strings.view().get(first.name).to_owned();
                let diagnostic =
                    Diagnostic::error("syntax::duplicate-attribute", format!("`{name}` is given twice"))
                        .label(again.span, "again here")
                        .label(first.span, "first here");
                self.report(diagnostic);
            }
        }
    }

    /// Stores an attribute value.
    pub(super) fn attr(&mut self, value: AttrValue) -> AttrId {
        let id = AttrId::from_index(self.data.tables.attr_values.len());
        self.data.tables.attr_values.push(value);
        id
    }

    pub(super) fn push_attr(&mut self, draft: &mut Draft<'t>, name: &str, value: AttrValue, span: TextRange) {
        let name = self.data.strings.intern(name);
        let value = self.attr(value);
        draft.attrs.push(Attr { name, value, span });
    }

    pub(super) fn push_text_attr(
        &mut self,
        draft: &mut Draft<'t>,
        name: &str,
        kind: u32,
        text: &str,
        span: TextRange,
    ) {
        let text = self.data.strings.intern(text);
        self.push_attr(draft, name, AttrValue { kind, text, ..Default::default() }, span);
    }

    /// Reads an attribute value.
    pub(super) fn attr_value(&mut self) -> Parsed<AttrId> {
        let value = self.attr_value_record()?;
        Ok(self.attr(value))
    }

    /// Reads an attribute value without storing it.
    pub(super) fn attr_value_record(&mut self) -> Parsed<AttrValue> {
        let start = self.cursor.peek_at();
        match self.cursor.byte() {
            b'"' => {
                let text = self.string()?;
                Ok(self.text_value(attr_kind::STRING, &text))
            }
            b'@' => self.symbol(),
            b'[' | b'{' => {
                let is_array = self.cursor.byte() == b'[';
                self.nested("attributes", |this| if is_array { this.array() } else { this.dict() })
            }
            b'#' => self.dialect_attr(),
            b'<' => {
                let text = self.bracketed(start)?;
                Ok(self.text_value(attr_kind::ENUM, &canonical(&text[1..text.len() - 1])))
            }
            b'-' | b'0'..=b'9' => self.number_attr(),
            b'!' | b'(' => self.type_attr(),
            _ => self.word_attr(),
        }
    }

    /// An attribute value that is a word or starts with one.
    fn word_attr(&mut self) -> Parsed<AttrValue> {
        let start = self.cursor.peek_at();
        match self.cursor.peek_word() {
            word @ ("true" | "false") => {
                self.cursor.word();
                let bits = u64::from(word == "true");
                if self.cursor.eat(":") {
                    self.ty()?;
                }
                Ok(AttrValue { kind: attr_kind::BOOL, bits, ..Default::default() })
            }
            "unit" => {
                self.cursor.word();
                Ok(AttrValue::default())
            }
            "" => self.expected("an attribute value"),
            "array" => self.number_array(),
            "dense" | "affine_map" | "affine_set" | "loc" | "opaque" | "dense_resource" => {
                self.cursor.word();
                let open = self.cursor.peek_at();
                if matches!(self.cursor.byte(), b'<' | b'(') {
                    self.bracketed(open)?;
                }
                let text = canonical(&self.cursor.text[start..self.cursor.end()]);
                let value = self.text_value(attr_kind::OTHER, &text);
                let ty = if self.cursor.eat(":") { self.ty()? } else { TypeId::NONE };
                Ok(AttrValue { ty, ..value })
            }
            word => {
                // A bare word is a type if it reads as one, else an enumeration's value.
                let known = self.types.read(&mut self.cursor, &mut self.data, &self.target, 0);
                if let Ok(ty) = known {
                    return Ok(AttrValue { kind: attr_kind::TYPE, ty, ..Default::default() });
                }
                self.cursor.at = start;
                self.cursor.word();
                Ok(self.text_value(attr_kind::ENUM, word))
            }
        }
    }

    /// Reads something inside of others of its kind, down to a limit.
    pub(super) fn nested<T>(&mut self, what: &str, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_DEPTH {
            let span = self.here();
            let message = format!("{what} are nested more than {MAX_DEPTH} deep");
            return self.error("syntax::depth", span, message, "one too many");
        }
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        result
    }

    fn text_value(&mut self, kind: u32, text: &str) -> AttrValue {
        AttrValue { kind, text: self.data.strings.intern(text), ..Default::default() }
    }

    /// Takes text from the bracket at `open`, where the cursor stands, to the one that closes it.
    fn bracketed(&mut self, open: usize) -> Parsed<&'t str> {
        match self.cursor.balanced() {
            Some(text) => Ok(text),
            None => self.unclosed(open),
        }
    }

    /// `@name`, `@"any text"`, `@outer::@inner`.
    fn symbol(&mut self) -> Parsed<AttrValue> {
        let mut symbol = String::new();
        loop {
            match self.cursor.sigil_name(b'@') {
                Some(name) => symbol.push_str(name),
                None if self.cursor.eat("@") && self.cursor.byte() == b'"' => {
                    symbol.push_str(&self.string()?)
                }
                None => return self.expected("a symbol name"),
            }
            if !self.cursor.eat("::") {
                return Ok(self.text_value(attr_kind::SYMBOL, &symbol));
            }
            symbol.push_str("::");
        }
    }

    fn array(&mut self) -> Parsed<AttrValue> {
        let open = self.cursor.peek_at();
        self.expect("[")?;
        let mut children = Vec::new();
        while !self.cursor.eat("]") {
            let start = self.cursor.peek_at();
            let value = self.attr_value()?;
            children.push(Attr { name: StrId::NONE, value, span: self.span_from(start) });
            self.more(open, "]")?;
        }
        Ok(AttrValue { kind: attr_kind::ARRAY, children: self.children(children), ..Default::default() })
    }

    fn dict(&mut self) -> Parsed<AttrValue> {
        let mut children = Vec::new();
        self.attr_dict(&mut children)?;
        Ok(AttrValue { kind: attr_kind::DICT, children: self.children(children), ..Default::default() })
    }

    /// `array<i64: 1, 2>`: an array of numbers of one type.
    fn number_array(&mut self) -> Parsed<AttrValue> {
        self.cursor.word();
        let open = self.cursor.peek_at();
        self.expect("<")?;
        let ty = self.ty()?;
        let mut children = Vec::new();
        if self.cursor.eat(":") {
            while self.cursor.peek() != b'>' {
                let start = self.cursor.peek_at();
                let word = self.cursor.peek_word();
                let value = match word {
                    "true" | "false" => {
                        self.cursor.word();
                        AttrValue {
                            kind: attr_kind::BOOL,
                            bits: u64::from(word == "true"),
                            ..Default::default()
                        }
                    }
                    _ => self.number_of(Some(ty))?,
                };
                let value = self.attr(value);
                children.push(Attr { name: StrId::NONE, value, span: self.span_from(start) });
                self.more(open, ">")?;
            }
        }
        self.expect(">")?;
        Ok(AttrValue { kind: attr_kind::ARRAY, children: self.children(children), ..Default::default() })
    }

    /// Whether an attribute has more values in it than an alias may stand for.
    pub(super) fn is_large(&self, attr: AttrId) -> bool {
        let tables = &self.data.tables;
        let mut open = vec![(attr, 0)];
        let mut seen = 0;
        while let Some((attr, depth)) = open.pop() {
            let children = tables.attr_values[attr.index()].children.of(&tables.attrs);
            seen += 1 + children.len();
            if seen > MAX_ALIAS || depth >= MAX_DEPTH {
                return true;
            }
            open.extend(children.iter().map(|c| (c.value, depth + 1)));
        }
        false
    }

    /// Stores elements or entries.
    pub(super) fn children(&mut self, children: Vec<Attr>) -> Range {
        let attrs = &mut self.data.tables.attrs;
        let start = attrs.len();
        attrs.extend(children);
        Range::new(start, attrs.len())
    }

    fn type_attr(&mut self) -> Parsed<AttrValue> {
        let ty = self.ty()?;
        Ok(AttrValue { kind: attr_kind::TYPE, ty, ..Default::default() })
    }

    /// A number with or without `: type`.
    pub(super) fn number_attr(&mut self) -> Parsed<AttrValue> {
        self.number_of(None)
    }

    /// A number of the given type, or with its own behind it.
    fn number_of(&mut self, ty: Option<TypeId>) -> Parsed<AttrValue> {
        let start = self.cursor.peek_at();
        let Some(text) = self.cursor.number() else { return self.expected("a number") };
        let span = self.span_from(start);
        let ty = match ty {
            Some(ty) => ty,
            None if self.cursor.eat(":") => self.ty()?,
            None => TypeId::NONE,
        };
        let is_float = ty.is_some() && self.kind_of(ty) == type_kind::FLOAT;
        if text.contains(['.', 'e', 'E']) && !text.contains("0x") || is_float {
            let number = match hex_digits(text) {
                // Hexadecimal is the bit pattern of the type.
                Some(bits) => {
                    float_of_bits(bits, self.data.tables.types[ty.index()].width, self.type_text(ty))
                }
                None => text.parse().unwrap_or(0.0),
            };
            return Ok(AttrValue {
                kind: attr_kind::FLOAT,
                bits: number.to_bits(),
                ty,
                ..Default::default()
            });
        }
        let parsed = match hex_digits(text) {
            Some(bits) => Some(bits as i64),
            None => text.parse::<i64>().ok().or_else(|| text.parse::<u64>().ok().map(|n| n as i64)),
        };
        match parsed {
            Some(number) => {
                Ok(AttrValue { kind: attr_kind::INT, bits: number as u64, ty, ..Default::default() })
            }
            None => self.error("syntax::number", span, format!("`{text}` does not fit 64 bits"), "too large"),
        }
    }

    /// `#pto.layout<nd>`, `#pto<cmp lt>`, `#alias`.
    fn dialect_attr(&mut self) -> Parsed<AttrValue> {
        let start = self.cursor.at;
        let Some(name) = self.cursor.sigil_name(b'#') else { return self.expected("an attribute") };
        if self.cursor.byte() != b'<' {
            if let Some(alias) = self.attr_aliases.get(name) {
                return Ok(self.data.tables.attr_values[alias.index()]);
            }
            if !name.contains('.') {
                let span = self.span_from(start);
                let known = did_you_mean(name, self.attr_aliases.keys().copied().collect::<BTreeSet<_>>());
                let help = known.map_or(String::new(), |k| format!("did you mean `#{k}`?"));
                let message = format!("there is no attribute alias `#{name}`");
                let diagnostic = Diagnostic::error("syntax::unknown-alias", message).label(span, "used here");
                return Err(self.report(diagnostic.help(help)));
            }
            return Ok(self.text_value(attr_kind::OTHER, &self.cursor.text[start..self.cursor.at]));
        }
        self.dialect_value(name, self.cursor.at)
    }

    /// The attribute `#name<..>` whose bracket stands at `open`, where the cursor is: a value of an enumeration if it
    /// looks like one of the dialect's, `#pto.kind<value>` or `#pto<kind value>`, which mean the same. Everything else
    /// keeps its text, so that it is printed as it was read.
    pub(super) fn dialect_value(&mut self, name: &str, open: usize) -> Parsed<AttrValue> {
        let body = self.bracketed(open)?;
        let body = canonical(&body[1..body.len() - 1]);
        let value = match name.split_once('.') {
            Some(("pto", kind)) => Some((kind, body.as_str())),
            None if name == "pto" => Some(body.split_once(' ').unwrap_or(("", &body))),
            _ => None,
        };
        let plain = |text: &str, more: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || "_$.".contains(c) || more.contains(c))
        };
        // No name ends with a dash.
        let named = |kind: &str| plain(kind, "-") && !kind.ends_with('-');
        let Some((kind, text)) = value.filter(|(kind, text)| named(kind) && plain(text, " ")) else {
            return Ok(self.text_value(attr_kind::OTHER, &format!("#{name}<{body}>")));
        };
        let detail = if kind.is_empty() { StrId::NONE } else { self.data.strings.intern(kind) };
        Ok(AttrValue { detail, ..self.text_value(attr_kind::ENUM, text) })
    }
}

fn hex_digits(text: &str) -> Option<u64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |t| (true, t));
    let bits = u64::from_str_radix(digits.strip_prefix("0x")?, 16).ok()?;
    Some(if negative { bits.wrapping_neg() } else { bits })
}

/// The number whose bit pattern in a type of `width` bits is `bits`.
fn float_of_bits(bits: u64, width: u32, name: &str) -> f64 {
    match (width, name) {
        (64, _) => f64::from_bits(bits),
        (16, "bf16") => f64::from(f32::from_bits((bits as u32) << 16)),
        (16, _) => {
            let (sign, exponent, fraction) = (bits >> 15 & 1, bits >> 10 & 0x1f, bits & 0x3ff);
            let sign = if sign == 1 { -1.0 } else { 1.0 };
            let fraction = fraction as f64 / 1024.0;
            match exponent {
                0 => sign * fraction * 2f64.powi(-14),
                0x1f if fraction == 0.0 => sign * f64::INFINITY,
                0x1f => f64::NAN,
                e => sign * (1.0 + fraction) * 2f64.powi(e as i32 - 15),
            }
        }
        _ => f64::from(f32::from_bits(bits as u32)),
    }
}
