//! A target file as TOML has it, before names are resolved. Unknown keys are errors.

use core::fmt;
use core::marker::PhantomData;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFile {
    #[serde(default)]
    pub(super) include: Vec<Spanned<String>>,
    pub(super) target: Option<Spanned<RawTarget>>,
    pub(super) extension: Option<RawExtension>,
    #[serde(default)]
    pub(super) pipe: Vec<RawPipe>,
    #[serde(default)]
    pub(super) reserved_ids: Vec<RawReserved>,
    #[serde(default)]
    pub(super) space: Vec<RawSpace>,
    #[serde(default, rename = "enum")]
    pub(super) enums: Vec<RawEnum>,
    #[serde(default)]
    pub(super) sync_classes: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) op: Vec<RawOp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawTarget {
    pub(super) name: Option<Spanned<String>>,
    pub(super) arch: Option<Spanned<Vec<String>>>,
    pub(super) flag_model: Option<Spanned<String>>,
    pub(super) event_ids: Option<Spanned<u32>>,
    pub(super) costs: Option<Spanned<String>>,
}

/// What an extension does besides adding operations.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExtension {
    #[serde(default)]
    pub(super) adds: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) replaces: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPipe {
    pub(super) name: Spanned<String>,
    pub(super) symbol: String,
    #[serde(default)]
    pub(super) core: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) flags: bool,
    #[serde(default)]
    pub(super) scalar: bool,
    #[serde(default)]
    pub(super) all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReserved {
    pub(super) src: Spanned<String>,
    pub(super) dst: Spanned<String>,
    pub(super) ids: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSpace {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    #[serde(default)]
    pub(super) tile: String,
    #[serde(default)]
    pub(super) qualifier: String,
    #[serde(default)]
    pub(super) bytes: u64,
    #[serde(default)]
    pub(super) align: u64,
    #[serde(default)]
    pub(super) scratch: u64,
    #[serde(default)]
    pub(super) settled: u64,
    #[serde(default, rename = "slot-align")]
    pub(super) slot_align: u64,
    #[serde(default)]
    pub(super) global: bool,
    #[serde(default)]
    pub(super) accumulator: bool,
    #[serde(default)]
    pub(super) roles: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEnum {
    pub(super) name: Spanned<String>,
    pub(super) cpp: Option<String>,
    pub(super) values: Vec<RawEnumValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEnumValue {
    pub(super) text: Spanned<String>,
    pub(super) value: i64,
    pub(super) symbol: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawOp {
    pub(super) name: Spanned<String>,
    #[serde(default, rename = "summary")]
    pub(super) _summary: String,
    pub(super) class: Spanned<String>,
    #[serde(default)]
    pub(super) ins: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) outs: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) operands: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) attrs: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) inline: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) results: Vec<Spanned<String>>,
    pub(super) pipe: Option<Spanned<TextOrRules<RawPipeRule>>>,
    #[serde(default)]
    pub(super) inside: Vec<Spanned<RawPhase>>,
    #[serde(default)]
    pub(super) accepts: Vec<Spanned<String>>,
    pub(super) sync: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) writes_result: bool,
    pub(super) alias: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) root: bool,
    pub(super) effects: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) flags: Vec<Spanned<String>>,
    pub(super) unsupported: Option<String>,
    pub(super) cpp: Option<Spanned<TextOrRules<RawCppRule>>>,
    #[serde(default, rename = "note")]
    pub(super) _note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPipeRule {
    pub(super) pipe: Spanned<String>,
    #[serde(default)]
    pub(super) when: RawPipeWhen,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCppRule {
    #[serde(default)]
    pub(super) when: RawWhen,
    pub(super) emit: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWhen {
    #[serde(default)]
    pub(super) has: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) lacks: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) attr: BTreeMap<Spanned<String>, Names>,
    #[serde(default)]
    pub(super) space: BTreeMap<Spanned<String>, Names>,
    #[serde(default)]
    pub(super) kind: BTreeMap<Spanned<String>, Names>,
    #[serde(default, rename = "type")]
    pub(super) ty: BTreeMap<Spanned<String>, Names>,
    #[serde(default)]
    pub(super) layout: BTreeMap<Spanned<String>, Names>,
    #[serde(default)]
    pub(super) shape: BTreeMap<Spanned<String>, Names>,
}

/// The condition of a rule that chooses a pipe: as for a phase, and besides that an operand's name with its spaces.
#[derive(Default)]
pub(super) struct RawPipeWhen(pub(super) RawPhaseWhen);

/// A phase of an operation: always, or under a condition.
pub(super) struct RawPhase {
    pub(super) when: RawPhaseWhen,
    pub(super) does: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPhaseWhen {
    #[serde(default)]
    pub(super) has: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) lacks: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) space: BTreeMap<Spanned<String>, Names>,
    #[serde(default)]
    pub(super) kind: BTreeMap<Spanned<String>, Names>,
    #[serde(default, rename = "type")]
    pub(super) ty: BTreeMap<Spanned<String>, Names>,
    #[serde(default)]
    pub(super) layout: BTreeMap<Spanned<String>, Names>,
    #[serde(default)]
    pub(super) shape: BTreeMap<Spanned<String>, Names>,
}

impl<'de> Deserialize<'de> for RawPipeWhen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = RawPipeWhen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("operands with their spaces, or conditions")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawPipeWhen, A::Error> {
                let mut when = RawPhaseWhen::default();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    match key.get_ref().as_str() {
                        "has" => when.has = map.next_value()?,
                        "lacks" => when.lacks = map.next_value()?,
                        "space" => when.space.append(&mut map.next_value()?),
                        "kind" => when.kind = map.next_value()?,
                        "type" => when.ty = map.next_value()?,
                        "layout" => when.layout = map.next_value()?,
                        "shape" => when.shape = map.next_value()?,
                        _ => _ = when.space.insert(key, map.next_value()?),
                    }
                }
                Ok(RawPipeWhen(when))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for RawPhase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Conditional {
            #[serde(default)]
            when: RawPhaseWhen,
            does: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawPhase;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or `{ when = {..}, does = \"..\" }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawPhase, E> {
                Ok(RawPhase { when: RawPhaseWhen::default(), does: text.into() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawPhase, A::Error> {
                let Conditional { when, does } = Conditional::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawPhase { when, does })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A plain string, or an ordered list of rules.
pub(super) enum TextOrRules<R> {
    Text(String),
    Rules(Vec<R>),
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for TextOrRules<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<R>(PhantomData<R>);
        impl<'de, R: Deserialize<'de>> Visitor<'de> for Either<R> {
            type Value = TextOrRules<R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of rules")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOrRules::Text(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut rules = Vec::new();
                while let Some(rule) = seq.next_element()? {
                    rules.push(rule);
                }
                Ok(TextOrRules::Rules(rules))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// One value or a list of values, as text.
#[derive(Default)]
pub(super) struct Names(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |value: toml::Value| match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(match toml::Value::deserialize(deserializer)? {
            toml::Value::Array(values) => Self(values.into_iter().map(text).collect()),
            value => Self(vec![text(value)]),
        })
    }
}
