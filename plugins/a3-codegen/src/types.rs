//! C++ types, interned, and the C++ type of each type of the program.
//!
//! A [`Ctype`] is a small number, so that nodes stay small and comparing types is comparing numbers. The scalar types
//! have fixed numbers; tiles, views and pipes get theirs when they are first spelled.

use std::collections::HashMap;

use pipewright_abi::ir::{Module, Type, type_kind};
use pipewright_abi::target::{Target, space_flag};
use pipewright_abi::{SpaceId, TypeId};

/// A C++ type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ctype(u32);

macro_rules! fixed {
    ($($name:ident = $text:literal),+ $(,)?) => {
        const FIXED: &[&str] = &[$($text),+];
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u32)]
        enum Order { $($name),+ }
        impl Ctype { $(pub(crate) const $name: Self = Self(Order::$name as u32);)+ }
    };
}

fixed! {
    BOOL = "bool",
    I8 = "int8_t", I16 = "int16_t", I32 = "int32_t", I64 = "int64_t", I128 = "__int128",
    U8 = "uint8_t", U16 = "uint16_t", U32 = "uint32_t", U64 = "uint64_t", U128 = "unsigned __int128",
    HALF = "half", BFLOAT = "bfloat16_t", FLOAT = "float", DOUBLE = "double",
    SIZE = "size_t", UNSIGNED = "unsigned", INT = "int", AUTO = "auto", VOID = "void",
}

impl Ctype {
    /// The signed integer type of `bits`; for 1 it is `bool`.
    pub(crate) fn signed(bits: u32) -> Option<Self> {
        Some(match bits {
            1 => Self::BOOL,
            8 => Self::I8,
            16 => Self::I16,
            32 => Self::I32,
            64 => Self::I64,
            128 => Self::I128,
            _ => return None,
        })
    }

    /// The unsigned integer type of `bits`; for 1 it is `bool`.
    pub(crate) fn unsigned(bits: u32) -> Option<Self> {
        Some(match bits {
            1 => Self::BOOL,
            8 => Self::U8,
            16 => Self::U16,
            32 => Self::U32,
            64 => Self::U64,
            128 => Self::U128,
            _ => return None,
        })
    }

    /// Bits of an integer type; 0 for any other.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::BOOL => 1,
            Self::I8 | Self::U8 => 8,
            Self::I16 | Self::U16 => 16,
            Self::I32 | Self::U32 | Self::UNSIGNED | Self::INT => 32,
            Self::I64 | Self::U64 | Self::SIZE => 64,
            Self::I128 | Self::U128 => 128,
            _ => 0,
        }
    }
}

/// All C++ types in use.
#[derive(Debug)]
pub(crate) struct Types {
    texts: Vec<Box<str>>,
    ids: HashMap<Box<str>, Ctype>,
}

impl Types {
    pub(crate) fn new() -> Self {
        let mut types = Self { texts: Vec::new(), ids: HashMap::new() };
        for text in FIXED {
            types.intern(text);
        }
        types
    }

    /// The type spelled `text`.
    pub(crate) fn intern(&mut self, text: &str) -> Ctype {
        if let Some(&found) = self.ids.get(text) {
            return found;
        }
        let id = Ctype(self.texts.len() as u32);
        self.texts.push(text.into());
        self.ids.insert(text.into(), id);
        id
    }

    /// How the type is spelled.
    pub(crate) fn text(&self, id: Ctype) -> &str {
        &self.texts[id.0 as usize]
    }

    /// The C++ type of a parameter, result or other value of the type `id`; `None` if values of it have none.
    pub(crate) fn of_value(&mut self, module: &Module<'_>, target: &Target<'_>, id: TypeId) -> Option<Ctype> {
        let ty = module.ty(id);
        let pointer = |types: &mut Self, qualifier: &str| {
            let element = types.element(module, ty.element)?;
            Some(types.intern(&format!("{qualifier} {}*", types.text(element))))
        };
        match ty.kind {
            type_kind::INDEX | type_kind::INT | type_kind::FLOAT => self.element(module, id),
            type_kind::PTR | type_kind::MEMREF => {
                pointer(self, qualifier(target, space_of(target, module, ty)?))
            }
            type_kind::TENSOR_VIEW | type_kind::PARTITION_VIEW => {
                pointer(self, qualifier(target, target.space_with(space_flag::GLOBAL)?))
            }
            type_kind::TILE => {
                let space = target.t.spaces.get(module.tile(ty)?.space.index())?;
                pointer(self, target.str(space.qualifier))
            }
            type_kind::PIPE => Some(Ctype::AUTO),
            type_kind::EVENT_ARRAY => {
                let count = module.dims(ty).first()?;
                Some(self.intern(&format!("PTOAS_EventIdArray<{count}>")))
            }
            type_kind::VECTOR if is_executed_list(module, ty) => Some(self.intern(EXECUTED_LIST)),
            type_kind::OTHER => {
                let text = module.str(ty.text);
                if text.contains("async_session") {
                    Some(self.intern("pto::comm::AsyncSession"))
                } else if text.contains("async_event") {
                    Some(self.intern("pto::comm::AsyncEvent"))
                } else if text.contains("prefetch_async_context") {
                    Some(self.intern("pto::PrefetchAsyncContext"))
                } else {
                    self.element(module, id)
                }
            }
            _ => None,
        }
    }

    /// The C++ type of a number of the type `id`, which may be the element of a tile or view.
    pub(crate) fn element(&mut self, module: &Module<'_>, id: TypeId) -> Option<Ctype> {
        if id.is_none() {
            return None;
        }
        let ty = module.ty(id);
        match ty.kind {
            type_kind::INDEX => Some(Ctype::I32),
            type_kind::INT if ty.detail == 2 => Ctype::unsigned(ty.width),
            type_kind::INT => Ctype::signed(ty.width),
            type_kind::FLOAT | type_kind::OTHER => {
                let text = module.str(ty.text);
                let text = text.strip_prefix("!pto.").unwrap_or(text);
                let text = text.split('<').next().unwrap_or(text).to_ascii_lowercase();
                Some(match text.as_str() {
                    "f16" => Ctype::HALF,
                    "bf16" => Ctype::BFLOAT,
                    "f32" => Ctype::FLOAT,
                    "f64" => Ctype::DOUBLE,
                    "hif8" => self.intern("hifloat8_t"),
                    "f4e1m2x2" => self.intern("float4_e1m2x2_t"),
                    "f4e2m1x2" => self.intern("float4_e2m1x2_t"),
                    e4m3 if e4m3.starts_with("f8e4m3") => self.intern("float8_e4m3_t"),
                    e5m2 if e5m2.starts_with("f8e5m2") => self.intern("float8_e5m2_t"),
                    _ => return None,
                })
            }
            _ => None,
        }
    }
}

/// The list of lengths that a merge of several sorted tiles fills in.
pub(crate) const EXECUTED_LIST: &str = "pto::MrgSortExecutedNumList";

fn is_executed_list(module: &Module<'_>, ty: &Type) -> bool {
    module.dims(ty) == [4] && module.ty(ty.element).width == 16
}

/// The space of a pointer or memref, which is global memory if the type does not say.
fn space_of(target: &Target<'_>, module: &Module<'_>, ty: &Type) -> Option<SpaceId> {
    match ty.space.get() {
        Some(space) => target.space_or_alias(module.str(space)),
        None => target.space_with(space_flag::GLOBAL),
    }
}

/// Whether a pointer or memref is one into global memory.
pub(crate) fn global_memory(target: &Target<'_>, module: &Module<'_>, ty: &Type) -> bool {
    space_of(target, module, ty).is_some_and(|space| target.space_is(space, space_flag::GLOBAL))
}

/// The C++ qualifier of a pointer into the space.
fn qualifier<'a>(target: &Target<'a>, space: SpaceId) -> &'a str {
    target.str(target.t.spaces[space.index()].qualifier)
}

/// Bytes of one element; packed pairs of 4-bit numbers count as one element of one byte.
pub(crate) fn element_bytes(module: &Module<'_>, id: TypeId) -> i64 {
    if id.is_none() {
        return 1;
    }
    let ty = module.ty(id);
    match ty.kind {
        type_kind::INDEX => 8,
        _ => i64::from(ty.width.div_ceil(8).max(1)),
    }
}

/// Whether an element is a packed pair of 4-bit numbers.
pub(crate) fn is_packed_pair(module: &Module<'_>, id: TypeId) -> bool {
    id.is_some() && module.str(module.ty(id).text).to_ascii_lowercase().ends_with("x2")
}
