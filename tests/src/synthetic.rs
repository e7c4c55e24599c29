//! Synthetic kernels of any size, for benchmarks: what an unrolled kernel looks like to synchronization.
//!
//! Tiles are reused all the time, as in real kernels, so every instruction conflicts with many earlier ones. Sizes
//! count instructions that run on a pipe. Between two loop nests, and between two branches, stands straight-line
//! code that uses the same tiles: without it the reference's rules make a group with *each* earlier nest, which is
//! quadratic in the number of nests by definition.

use std::fmt::Write as _;

/// A shape of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// No control flow.
    Straight,
    /// Nests of three loops, one after the other.
    Loops,
    /// Branches with two arms, one after the other.
    Branches,
    /// Loops of three instructions and nothing between them.
    LoopsInARow,
    /// One loop of branches with two arms of two instructions, nothing between them.
    TwoSided,
    /// One loop of branches with one arm of one instruction, nothing between them.
    OneSided,
}

impl Shape {
    /// All shapes with their names.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Straight, "straight"), (Self::Loops, "loops"), (Self::Branches, "branches")];

    /// Shapes of which the reference's rules make a quadratic number of groups.
    pub const QUADRATIC: [(Self, &'static str); 3] =
        [(Self::LoopsInARow, "loops-in-a-row"), (Self::TwoSided, "two-sided"), (Self::OneSided, "one-sided")];
}

const TILE: &str = "!pto.tile_buf<vec, 16x64xf32>";
const VIEW: &str = "!pto.partition_tensor_view<16x64xf32>";
const TILES: usize = 24;

/// A kernel of about `instructions` instructions (never fewer).
pub fn kernel(shape: Shape, instructions: usize) -> String {
    let mut k = Kernel { text: String::new(), indent: 4, count: 0, random: 0x2545_f491_4f6c_dd1d };
    k.text.push_str(
        "module attributes {pto.target_arch = \"a3\"} {\n  func.func @synthetic(%x: !pto.ptr<f32>, %y: !pto.ptr<f32>, \
         %c: i1) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {\n",
    );
    for (name, value) in [("c0", 0), ("c1", 1), ("c4", 4), ("c16", 16), ("c64", 64)] {
        k.line(&format!("%{name} = arith.constant {value} : index"));
    }
    k.line("%one = arith.constant 1.5 : f32");
    for (view, pointer) in [("xv", "x"), ("yv", "y")] {
        k.line(&format!(
            "%{view} = pto.make_tensor_view %{pointer}, shape = [%c16, %c64], strides = [%c64, %c1] : \
             !pto.tensor_view<?x?xf32>"
        ));
        k.line(&format!(
            "%{view}p = pto.partition_view %{view}, offsets = [%c0, %c0], sizes = [%c16, %c64] : \
             !pto.tensor_view<?x?xf32> -> {VIEW}"
        ));
    }
    for tile in 0..TILES {
        k.line(&format!("%a{tile} = arith.constant {} : i64", tile * 4096));
        k.line(&format!("%t{tile} = pto.alloc_tile addr = %a{tile} : {TILE}"));
    }
    let in_a_loop = matches!(shape, Shape::TwoSided | Shape::OneSided);
    if in_a_loop {
        k.open("scf.for %i = %c0 to %c4 step %c1 {");
    }
    while k.count < instructions {
        match shape {
            Shape::Straight => k.mixed(64, TILES),
            Shape::Loops => {
                k.touch_all(4);
                k.open("scf.for %i = %c0 to %c4 step %c1 {");
                k.mixed(6, 4);
                k.open("scf.for %j = %c0 to %c4 step %c1 {");
                k.mixed(6, 4);
                k.open("scf.for %l = %c0 to %c4 step %c1 {");
                k.mixed(8, 4);
                (0..3).for_each(|_| k.close());
            }
            Shape::Branches => {
                k.touch_all(4);
                k.open("scf.if %c {");
                k.mixed(8, 4);
                k.indent -= 2;
                k.open("} else {");
                k.mixed(8, 4);
                k.close();
            }
            Shape::LoopsInARow => {
                k.open("scf.for %i = %c0 to %c4 step %c1 {");
                k.load(0);
                k.add(0, 0, 1);
                k.store(1);
                k.close();
            }
            Shape::TwoSided => {
                let [a, b, to] = [0; 3].map(|_| k.random(8));
                k.open("scf.if %c {");
                k.load(a);
                k.add(a, b, to);
                k.indent -= 2;
                k.open("} else {");
                k.store(b);
                k.add(b, to, a);
                k.close();
            }
            Shape::OneSided => {
                let [a, b, to] = [0; 3].map(|_| k.random(8));
                k.open("scf.if %c {");
                if a % 2 == 0 {
                    k.load(b)
                } else {
                    k.add(a, b, to)
                }
                k.close();
            }
        }
    }
    if in_a_loop {
        k.close();
    }
    k.line("return");
    k.text.push_str("  }\n}\n");
    k.text
}

struct Kernel {
    text: String,
    indent: usize,
    count: usize,
    random: u64,
}

impl Kernel {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = self.indent);
    }

    fn open(&mut self, line: &str) {
        self.line(line);
        self.indent += 2;
    }

    fn close(&mut self) {
        self.indent -= 2;
        self.line("}");
    }

    /// A number below `bound`, the same for every run (xorshift).
    fn random(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % bound
    }

    fn instruction(&mut self, line: &str) {
        self.line(line);
        self.count += 1;
    }

    fn load(&mut self, tile: usize) {
        self.instruction(&format!("pto.tload ins(%xvp : {VIEW}) outs(%t{tile} : {TILE})"));
    }

    fn store(&mut self, tile: usize) {
        self.instruction(&format!("pto.tstore ins(%t{tile} : {TILE}) outs(%yvp : {VIEW})"));
    }

    fn add(&mut self, a: usize, b: usize, to: usize) {
        self.instruction(&format!("pto.tadd ins(%t{a}, %t{b} : {TILE}, {TILE}) outs(%t{to} : {TILE})"));
    }

    /// Loads, arithmetic and stores over the first `tiles` tiles.
    fn mixed(&mut self, instructions: usize, tiles: usize) {
        for index in 0..instructions {
            let [a, b, to] = [0; 3].map(|_| self.random(tiles));
            match index % 8 {
                0 | 1 => self.load(a),
                7 => self.store(a),
                5 => self
                    .instruction(&format!("pto.tmuls ins(%t{a}, %one : {TILE}, f32) outs(%t{to} : {TILE})")),
                _ => self.add(a, b, to),
            }
        }
    }

    /// Every pipe touches each of the first `tiles` tiles.
    fn touch_all(&mut self, tiles: usize) {
        (0..tiles).for_each(|t| self.load(t));
        (0..tiles).for_each(|t| self.add(t, (t + 1) % tiles, t));
        (0..tiles).for_each(|t| self.store(t));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_met_and_runs_are_equal() {
        for (shape, name) in Shape::ALL.into_iter().chain(Shape::QUADRATIC) {
            let text = kernel(shape, 1000);
            let instructions = text.lines().filter(|l| l.contains("pto.t") && l.contains(" ins(")).count();
            assert!((1000..1100).contains(&instructions), "{name}: {instructions}");
            assert_eq!(text, kernel(shape, 1000));
        }
    }
}
