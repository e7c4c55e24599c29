//! Columns: the one shape in which data crosses the plugin boundary.
//!
//! A column is a slice of plain records under an id such as `kernel.nodes/1`. Who needs a fact asks for the column
//! by id; who does not know it never notices it. So the host grows by adding columns and old plugins keep loading,
//! while a record under a released id never changes. Borrowed columns are lent without a copy; owned ones travel
//! as 8-byte words.

use abi_stable::StableAbi;
use abi_stable::std_types::{RSlice, RStr, RString, RVec};
use bytemuck::Pod;
use core::fmt;

use crate::StrId;

/// A borrowed column as it crosses the boundary. `bytes.len()` is a multiple of `stride`.
#[repr(C)]
#[derive(Clone, Copy, Debug, StableAbi)]
pub struct Column<'a> {
    /// What the column holds, with the version of its record after a slash.
    pub id: RStr<'a>,
    /// Size of one record in bytes.
    pub stride: u32,
    /// The records, in memory order.
    pub bytes: RSlice<'a, u8>,
}

impl<'a> Column<'a> {
    /// Lends `records` under `id`.
    pub fn lend<T: Pod>(id: &'a str, records: &'a [T]) -> Self {
        let bytes: &'a [u8] = bytemuck::cast_slice(records);
        Self { id: id.into(), stride: size_of::<T>() as u32, bytes: bytes.into() }
    }
}

/// An owned column: what a pass hands back.
#[repr(C)]
#[derive(Clone, Debug, StableAbi)]
pub struct OwnedColumn {
    /// What the column holds, with the version of its record after a slash.
    pub id: RString,
    /// Size of one record in bytes.
    pub stride: u32,
    /// Size of all records in bytes.
    pub len: u64,
    /// The records, padded with zeros to whole words, so that they are aligned for any record.
    pub words: RVec<u64>,
}

impl OwnedColumn {
    /// Copies `records` into a column of its own.
    pub fn new<T: Pod>(id: &str, records: &[T]) -> Self {
        let bytes: &[u8] = bytemuck::cast_slice(records);
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self { id: id.into(), stride: size_of::<T>() as u32, len: bytes.len() as u64, words: words.into() }
    }

    /// A copy of a lent column.
    pub fn copy(column: &Column<'_>) -> Self {
        Self { id: column.id.into(), stride: column.stride, ..Self::new("", column.bytes.as_slice()) }
    }

    /// Lends the column again, or nothing if its length does not match its storage.
    pub fn borrow(&self) -> Option<Column<'_>> {
        let bytes: &[u8] = bytemuck::cast_slice(self.words.as_slice());
        let bytes = bytes.get(..usize::try_from(self.len).ok()?)?;
        Some(Column { id: self.id.as_rstr(), stride: self.stride, bytes: bytes.into() })
    }
}

/// Why a column cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnError {
    /// Nobody provides a column of this id.
    Missing(&'static str),
    /// The column's records have another size, or its bytes are cut off or misaligned.
    Malformed(&'static str),
}

impl fmt::Display for ColumnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(id) => write!(f, "no column `{id}` was provided"),
            Self::Malformed(id) => write!(f, "the column `{id}` is malformed"),
        }
    }
}

impl core::error::Error for ColumnError {}

/// A set of columns, looked up by id.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a>(&'a [Column<'a>]);

impl<'a> Columns<'a> {
    /// The set of these columns. Where an id occurs twice the last one counts.
    pub fn new(columns: &'a [Column<'a>]) -> Self {
        Self(columns)
    }

    /// The ids of the columns, in the order in which they were lent.
    pub fn ids(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.iter().map(|column| column.id.as_str())
    }

    /// The records of the column `id`.
    pub fn get<T: Pod>(&self, id: &'static str) -> Result<&'a [T], ColumnError> {
        let column = self.0.iter().rev().find(|c| c.id.as_str() == id).ok_or(ColumnError::Missing(id))?;
        if column.stride as usize != size_of::<T>() {
            return Err(ColumnError::Malformed(id));
        }
        bytemuck::try_cast_slice(column.bytes.as_slice()).map_err(|_| ColumnError::Malformed(id))
    }
}

/// Declares a table: an owned struct of vectors, a borrowed view of slices, and the column id of each.
macro_rules! table {
    (
        $(#[$owned_doc:meta])* owned $owned:ident;
        $(#[$view_doc:meta])* view $view:ident;
        $( $(#[$field_doc:meta])* $field:ident : $record:ty = $id:literal ),+ $(,)?
    ) => {
        $(#[$owned_doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $owned { $( $(#[$field_doc])* pub $field: Vec<$record>, )+ }

        $(#[$view_doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $view<'a> { $( $(#[$field_doc])* pub $field: &'a [$record], )+ }

        impl $owned {
            /// A view of the table.
            pub fn view(&self) -> $view<'_> {
                $view { $( $field: &self.$field, )+ }
            }
        }

        impl<'a> $view<'a> {
            /// The table without records: what a pass sees of one that it is not lent.
            pub fn empty() -> Self {
                Self { $( $field: &[], )+ }
            }

            /// Appends the table's columns to `out`.
            pub fn lend(&self, out: &mut Vec<$crate::column::Column<'a>>) {
                $( out.push($crate::column::Column::lend($id, self.$field)); )+
            }

            /// Copies the table's columns to `out`.
            pub fn copy_out(&self, out: &mut Vec<$crate::column::OwnedColumn>) {
                $( out.push($crate::column::OwnedColumn::new($id, self.$field)); )+
            }

            /// Finds the table's columns. Fails if one is missing or malformed.
            pub fn from_columns(
                columns: $crate::column::Columns<'a>,
            ) -> Result<Self, $crate::column::ColumnError> {
                Ok(Self { $( $field: columns.get::<$record>($id)?, )+ })
            }

            /// Copies the table.
            pub fn to_owned(&self) -> $owned {
                $owned { $( $field: self.$field.to_vec(), )+ }
            }
        }
    };
}
pub(crate) use table;

/// Interned strings: `bytes[ends[i - 1]..ends[i]]` is string `i`.
#[derive(Clone, Copy, Debug)]
pub struct Strings<'a> {
    /// All strings, one after the other, UTF-8.
    pub bytes: &'a [u8],
    /// Offset one past the end of each string.
    pub ends: &'a [u32],
}

impl<'a> Strings<'a> {
    /// The string `id`; empty for the absent id and for one out of range.
    pub fn get(&self, id: StrId) -> &'a str {
        let Some(&end) = self.ends.get(id.index()) else { return "" };
        let start = if id.0 == 0 { 0 } else { self.ends[id.index() - 1] };
        let bytes = self.bytes.get(start as usize..end as usize).unwrap_or(&[]);
        core::str::from_utf8(bytes).unwrap_or("")
    }
}

/// The owner of interned strings. Equal strings get equal ids.
#[derive(Clone, Debug, Default)]
pub struct StringPool {
    /// All strings, one after the other.
    pub bytes: Vec<u8>,
    /// Offset one past the end of each string.
    pub ends: Vec<u32>,
    ids: std::collections::HashMap<Box<str>, StrId>,
}

impl StringPool {
    /// The id of `text`, which is added if it is new.
    pub fn intern(&mut self, text: &str) -> StrId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = StrId::from_index(self.ends.len());
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len() as u32);
        self.ids.insert(text.into(), id);
        id
    }

    /// The id of `text` if it was interned.
    pub fn find(&self, text: &str) -> Option<StrId> {
        self.ids.get(text).copied()
    }

    /// A view of the strings.
    pub fn view(&self) -> Strings<'_> {
        Strings { bytes: &self.bytes, ends: &self.ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_columns_round_trip_records_of_any_size() {
        let records: Vec<[u32; 3]> = vec![[1, 2, 3], [4, 5, 6], [7, 8, 9]];
        let owned = OwnedColumn::new("x/1", &records);
        let lent = [owned.borrow().unwrap()];
        assert_eq!(Columns::new(&lent).get::<[u32; 3]>("x/1").unwrap(), &records[..]);
        assert_eq!(Columns::new(&lent).get::<[u32; 3]>("y/1"), Err(ColumnError::Missing("y/1")));
        assert_eq!(Columns::new(&lent).get::<[u32; 2]>("x/1"), Err(ColumnError::Malformed("x/1")));
    }

    #[test]
    fn a_length_beyond_the_storage_is_refused() {
        let mut owned = OwnedColumn::new("x/1", &[1u32, 2]);
        owned.len = 100;
        assert!(owned.borrow().is_none());
    }

    #[test]
    fn strings_intern_once() {
        let mut pool = StringPool::default();
        let (a, b) = (pool.intern("alpha"), pool.intern("beta"));
        assert_eq!(pool.intern("alpha"), a);
        assert_eq!((pool.view().get(a), pool.view().get(b)), ("alpha", "beta"));
        assert_eq!(pool.view().get(StrId::NONE), "");
    }
}
