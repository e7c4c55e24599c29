//! Shapes of global memory as C++ sees them: padding to five dimensions and the choice of a layout.

/// Number of dimensions of every Shape and Stride.
pub(crate) const RANK: usize = 5;

/// How elements of a view lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Nd,
    Dn,
    Nz,
}

impl Layout {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Nd => "ND",
            Self::Dn => "DN",
            Self::Nz => "NZ",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Nd, Self::Dn, Self::Nz].into_iter().find(|l| l.symbol().eq_ignore_ascii_case(text))
    }
}

/// What sizes and strides say about the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inferred {
    Known(Layout),
    /// Rows and columns fit both ND and DN.
    Either,
}

/// Padded sizes and strides of a static view of at most five dimensions: leading sizes are 1, leading strides go on
/// from the first one.
pub(crate) fn pad(sizes: &[i64], strides: &[i64]) -> ([i64; RANK], [i64; RANK]) {
    let (mut size, mut stride) = ([1; RANK], [1; RANK]);
    let lead = RANK - sizes.len();
    size[lead..].copy_from_slice(sizes);
    stride[lead..].copy_from_slice(strides);
    for i in (0..lead).rev() {
        stride[i] = size[i + 1].wrapping_mul(stride[i + 1]);
    }
    (size, stride)
}

/// The layout of a static view with elements of `bytes`. The view has one to five dimensions.
pub(crate) fn infer(sizes: &[i64], strides: &[i64], bytes: i64) -> Inferred {
    let (size, stride) = pad(sizes, strides);
    if size[2] == 16
        && size[3].wrapping_mul(16).wrapping_mul(bytes) == 512
        && stride[4] == 1
        && stride[3] == size[4]
    {
        return Inferred::Known(Layout::Nz);
    }
    let (rows, cols, by_row, by_col) = (size[3], size[4], stride[3], stride[4]);
    let nd = (cols == 1 || by_col == 1) && (rows == 1 || by_row == if cols == 1 { 1 } else { cols });
    let dn = (rows == 1 || by_row == 1) && (cols == 1 || by_col == if rows == 1 { 1 } else { rows });
    match (nd, dn) {
        (true, true) => Inferred::Either,
        (false, true) => Inferred::Known(Layout::Dn),
        _ => Inferred::Known(Layout::Nd),
    }
}

/// Row-major strides of a static shape.
pub(crate) fn row_major(sizes: &[i64]) -> Vec<i64> {
    let mut strides = vec![1i64; sizes.len()];
    for i in (0..sizes.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1].wrapping_mul(sizes[i + 1]);
    }
    strides
}

/// Elements from one row of a tile to the next and from one column to the next, as a pointer counts them.
///
/// In a boxed tile this holds at the corners of boxes.
pub(crate) fn tile_strides(tile: &TileShape) -> (i64, i64) {
    let extra = i64::from(tile.row_plus_one);
    match (tile.inner_box(), tile.col_major) {
        (None, false) => (tile.cols + extra, 1),
        (None, true) => (1, tile.rows + extra),
        (Some((_, box_cols)), true) => (box_cols, tile.rows + extra),
        (Some((box_rows, _)), false) => (tile.cols + extra, box_rows),
    }
}

/// What decides where an element of a tile lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileShape {
    pub(crate) rows: i64,
    pub(crate) cols: i64,
    /// Bytes of an element.
    pub(crate) bytes: i64,
    pub(crate) col_major: bool,
    /// 0 no box, 1 row major, 2 column major.
    pub(crate) slayout: u32,
    /// Bytes of a box.
    pub(crate) fractal: u32,
    /// Rows are one element longer than they look.
    pub(crate) row_plus_one: bool,
}

impl TileShape {
    /// Rows and columns of a box, if the tile consists of boxes.
    pub(crate) fn inner_box(&self) -> Option<(i64, i64)> {
        let across = (32 / self.bytes.max(1)).max(1);
        match (self.slayout, self.fractal) {
            (0, _) => None,
            (_, 1024) => Some((16, 16)),
            (_, 32) => Some((16, 2)),
            (1, _) => Some((16, across)),
            _ => Some((across, 16)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_goes_on_from_the_first_dimension() {
        assert_eq!(pad(&[16, 64], &[64, 1]), ([1, 1, 1, 16, 64], [1024, 1024, 1024, 64, 1]));
        assert_eq!(pad(&[256], &[1]), ([1, 1, 1, 1, 256], [256, 256, 256, 256, 1]));
        assert_eq!(pad(&[2, 3, 4, 5, 6], &[9, 8, 7, 6, 5]).1, [9, 8, 7, 6, 5]);
    }

    #[test]
    fn layouts() {
        use Inferred::{Either, Known};
        let cases: [(&[i64], &[i64], i64, Inferred); 8] = [
            (&[16, 64], &[64, 1], 4, Known(Layout::Nd)),
            (&[16, 64], &[1, 16], 4, Known(Layout::Dn)),
            (&[16, 32], &[64, 1], 4, Known(Layout::Nd)),
            (&[64, 1], &[1, 1], 4, Either),
            (&[1, 64], &[64, 1], 4, Either),
            (&[1, 1], &[7, 9], 4, Either),
            (&[2, 4, 16, 8, 8], &[4096, 1024, 64, 8, 1], 4, Known(Layout::Nz)),
            (&[64, 1], &[1, 64], 4, Either),
        ];
        for (sizes, strides, bytes, expected) in cases {
            assert_eq!(infer(sizes, strides, bytes), expected, "{sizes:?} {strides:?}");
        }
    }

    #[test]
    fn pointer_strides_of_tiles() {
        let plain = TileShape {
            rows: 32,
            cols: 64,
            bytes: 2,
            col_major: false,
            slayout: 0,
            fractal: 512,
            row_plus_one: false,
        };
        assert_eq!(tile_strides(&plain), (64, 1));
        assert_eq!(tile_strides(&TileShape { row_plus_one: true, ..plain }), (65, 1));
        assert_eq!(tile_strides(&TileShape { col_major: true, ..plain }), (1, 32));
        let boxed = TileShape { col_major: true, slayout: 1, ..plain };
        assert_eq!((boxed.inner_box(), tile_strides(&boxed)), (Some((16, 16)), (16, 32)));
        let boxed = TileShape { slayout: 2, bytes: 1, ..plain };
        assert_eq!((boxed.inner_box(), tile_strides(&boxed)), (Some((32, 16)), (64, 32)));
        let acc = TileShape { fractal: 1024, slayout: 1, bytes: 4, ..plain };
        assert_eq!(acc.inner_box(), Some((16, 16)));
    }
}
