//! Random kernels whose loops hand tiles on in turn, through `a3` into the prover.
//!
//! There a pair need only order the trips in which two instructions meet in one tile: two to four rows that change places in any
//! order, in nests, with branches, with plain rows and with what comes out of the loops. Nothing that `a3` makes of them may have
//! an error, and in most of them it must have put a set before its instruction, or the test says nothing.

use std::cell::Cell;
use std::fmt::Write as _;

use pipewright::verify::{Finding, Grade};
use pipewright_abi::NodeId;
use pipewright_abi::plan::{Role, group_flag};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::kernels::{Pipeline, Planned, judged};
use crate::random::Genes;

const ROWS: usize = 7;

fn kernel(genes: &[u16]) -> String {
    let mut writer =
        Writer { genes: Genes::new(genes), text: HEAD.into(), rows: Vec::new(), names: 0, budget: 0 };
    for i in 0..ROWS {
        // The last row overlaps two others.
        let address = if i + 1 < ROWS { 256 * i } else { 128 };
        _ = writeln!(writer.text, "%at{i} = arith.constant {address} : i64");
        _ = writeln!(writer.text, "%t{i} = pto.alloc_tile addr = %at{i} : !row");
        writer.rows.push(format!("%t{i}"));
    }
    for pointer in ["in", "out"] {
        _ = writeln!(
            writer.text,
            "%{pointer}_all = pto.make_tensor_view %{pointer}, shape = [%c1, %c64], strides = [%c64, %c1] : !pto.tensor_view<?x?xf32>
%{pointer}_row = pto.partition_view %{pointer}_all, offsets = [%c0, %c0], sizes = [%c1, %c64] : !pto.tensor_view<?x?xf32> -> !part"
        );
    }
    writer.budget = 5 + writer.genes.below(9);
    if writer.genes.below(2) == 1 {
        writer.statement();
    }
    if writer.genes.below(3) == 0 {
        writer.text += "scf.for %outer = %c0 to %n step %c1 {\n";
        writer.in_turn(1);
        writer.statement();
        writer.text += "}\n";
        writer.rows.truncate(ROWS);
    } else {
        writer.in_turn(0);
    }
    if writer.genes.below(2) == 1 {
        writer.statement();
    }
    writer.text + "return\n}\n}\n"
}

const HEAD: &str = "!row = !pto.tile_buf<vec, 1x64xf32>
!part = !pto.partition_tensor_view<1x64xf32>
module attributes {pto.target_arch = \"a3\"} {
func.func @turns(%in: !pto.ptr<f32>, %out: !pto.ptr<f32>, %n: index, %c: i1) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
%c0 = arith.constant 0 : index
%c1 = arith.constant 1 : index
%c2 = arith.constant 2 : index
%c64 = arith.constant 64 : index
";

struct Writer<'a> {
    genes: Genes<'a>,
    text: String,
    rows: Vec<String>,
    names: usize,
    budget: usize,
}

impl Writer<'_> {
    /// A row, most likely one of the innermost loop.
    fn row(&mut self) -> String {
        let count = self.rows.len();
        let last = if self.genes.below(4) > 0 { count.min(4) } else { count };
        self.rows[count - 1 - self.genes.below(last as u16)].clone()
    }

    fn statement(&mut self) {
        let (a, b) = (self.row(), self.row());
        let line = match self.genes.below(8) {
            0..=2 => format!("pto.tload ins(%in_row : !part) outs({a} : !row)"),
            3 | 4 => format!("pto.tstore ins({a} : !row) outs(%out_row : !part)"),
            5 | 6 => format!("pto.tabs ins({a} : !row) outs({b} : !row)"),
            _ => format!("pto.tadd ins({a}, {b} : !row, !row) outs({a} : !row)"),
        };
        self.text += &line;
        self.text.push('\n');
    }

    /// A loop that hands rows on in turn.
    fn in_turn(&mut self, depth: usize) {
        self.names += 1;
        let n = self.names;
        let carried = [2, 2, 3, 4][self.genes.below(4)];
        let names: Vec<_> = (0..carried).map(|i| format!("%r{n}_{i}")).collect();
        let first = self.genes.below(ROWS as u16);
        // Now and then one row twice, or one that another loop hands on.
        let inits: Vec<_> = (0..carried)
            .map(|i| if self.genes.below(8) == 7 { self.row() } else { format!("%t{}", (first + i) % ROWS) })
            .collect();
        let inits: Vec<_> = names.iter().zip(&inits).map(|(name, init)| format!("{name} = {init}")).collect();
        let types = vec!["!row"; carried].join(", ");
        let bound = ["%n", "%n", "%c2", "%c1"][self.genes.below(4)];
        _ = writeln!(
            self.text,
            "%o{n}:{carried} = scf.for %i{n} = %c0 to {bound} step %c1 iter_args({}) -> ({types}) {{",
            inits.join(", ")
        );
        let outside = self.rows.clone();
        self.rows.extend_from_slice(&names);
        while self.budget > 0 {
            self.budget -= 1;
            match self.genes.below(12) {
                0 if depth < 2 => self.in_turn(depth + 1),
                1 if depth < 2 => {
                    _ = writeln!(self.text, "scf.for %j{n}_{} = %c0 to %n step %c1 {{", self.budget);
                    self.statement();
                    self.statement();
                    self.text += "}\n";
                }
                2 => {
                    self.text += "scf.if %c {\n";
                    self.statement();
                    self.statement();
                    self.text += ["}\n", "} else {\n"][self.genes.below(2)];
                    if self.text.ends_with("else {\n") {
                        self.statement();
                        self.text += "}\n";
                    }
                }
                3 if depth > 0 => break,
                _ => self.statement(),
            }
        }
        // Any step leads round; now and then two change places and the others stay, or one is handed on twice.
        let step = 1 + self.genes.below(carried as u16 - 1);
        let kind = self.genes.below(8);
        let next = |i: usize| match kind {
            0 if i < 2 => names[1 - i].clone(),
            0 => names[i].clone(),
            1 => names[(i + 1).min(carried - 1)].clone(),
            _ => names[(i + step) % carried].clone(),
        };
        let yielded: Vec<_> = (0..carried).map(next).collect();
        _ = writeln!(self.text, "scf.yield {} : {types}\n}}", yielded.join(", "));
        self.rows = outside;
        self.rows.extend((0..carried).map(|i| format!("%o{n}#{i}")));
    }
}

/// Whether some set stands before its instruction.
fn sets_early(planned: &Planned) -> bool {
    planned.units.iter().any(|unit| {
        let is_early = |node: NodeId| {
            unit.plan
                .before(node)
                .iter()
                .any(|y| y.role == Role::Set && unit.plan.group(y.group).flags & group_flag::SYNTHETIC == 0)
        };
        unit.kernel.view().node_ids().any(is_early)
    })
}

/// Of how many kernels of `cases` a set stands before its instruction. None may have an error.
fn early_of(cases: u32, settings: &[&str], rng: TestRng) -> u32 {
    let pipeline = Pipeline::with("a3", settings);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let genes = prop::collection::vec(any::<u16>(), 30..140);
    let early = Cell::new(0);
    TestRunner::new_with_rng(config, rng)
        .run(&genes, |genes| {
            let text = kernel(&genes);
            let planned =
                pipeline.plan(&text).ok_or_else(|| TestCaseError::fail(format!("refused\n{text}")))?;
            early.set(early.get() + u32::from(sets_early(&planned)));
            for (_, judgement) in judged(&planned) {
                let wrong: Vec<&Finding> =
                    judgement.findings.iter().filter(|f| f.grade == Grade::Error).collect();
                prop_assert!(wrong.is_empty(), "{wrong:?}\n{text}");
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    early.get()
}

fn check(cases: u32, rng: impl Fn(u8) -> TestRng) {
    for (settings, seed) in [(&[][..], 11), (&["event-id-allocation.max-ids=2"], 12)] {
        let early = early_of(cases, settings, rng(seed));
        println!("{early} of {cases} have a set before its instruction");
        assert!(early > cases / 4, "only {early} of {cases}");
    }
}

#[test]
fn what_the_default_pipeline_makes_of_tiles_in_turn_is_right() {
    check(1_000, |seed| TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
}

#[test]
#[ignore = "takes minutes: 40,000 kernels, other ones with every run"]
fn what_the_default_pipeline_makes_of_tiles_in_turn_is_right_at_length() {
    check(20_000, |_| TestRunner::new(Config::default()).new_rng());
}
