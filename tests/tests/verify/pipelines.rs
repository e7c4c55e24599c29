//! Random kernels through the real pipelines into the prover.
//!
//! What `a3` makes of a kernel must be right, whatever the kernel is: overlapping rows, rows that loops hand on, loops that
//! may not run, `while` loops, numbers read by the scalar unit, few event ids. What the reference makes of it may be wrong,
//! and then the explorer must see it too.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pipewright::verify::{Finding, Grade, Rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::confirm::{Confirmation, confirm};
use crate::kernels::{Pipeline, judged};
use crate::random::Genes;

/// Addresses of the rows, each of 256 bytes. The third one overlaps the first two.
pub(crate) const ADDRESSES: [u32; 5] = [0, 256, 128, 512, 768];

/// A kernel, made from numbers as random programs are.
pub(crate) fn kernel(genes: &[u16]) -> String {
    let mut writer = Writer {
        genes: Genes::new(genes),
        text: "!row = !pto.tile_buf<vec, 1x64xf32>
!part = !pto.partition_tensor_view<1x64xf32>
module attributes {pto.target_arch = \"a3\"} {
func.func @random(%in: !pto.ptr<f32>, %out: !pto.ptr<f32>, %n: index, %c: i1) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
%c0 = arith.constant 0 : index
%c1 = arith.constant 1 : index
%c3 = arith.constant 3 : index
%c64 = arith.constant 64 : index
"
        .into(),
        rows: Vec::new(),
        names: 0,
        budget: 0,
    };
    for (i, address) in ADDRESSES.iter().enumerate() {
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
    writer.budget = 3 + writer.genes.below(14);
    writer.block(0);
    writer.text + "return\n}\n}\n"
}

struct Writer<'a> {
    genes: Genes<'a>,
    text: String,
    /// Rows that can be named here.
    rows: Vec<String>,
    names: usize,
    budget: usize,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    fn row(&mut self) -> String {
        let index = self.genes.below(self.rows.len() as u16);
        self.rows[index].clone()
    }

    fn block(&mut self, depth: usize) {
        while self.budget > 0 {
            self.budget -= 1;
            let (a, b) = (self.row(), self.row());
            let view = ["in", "out"][self.genes.below(2)];
            match self.genes.below(16) {
                0 => return,
                1..=4 => self.line(&format!("pto.tload ins(%{view}_row : !part) outs({a} : !row)")),
                5 | 6 => self.line(&format!("pto.tstore ins({a} : !row) outs(%{view}_row : !part)")),
                7 | 8 => self.line(&format!("pto.tabs ins({a} : !row) outs({b} : !row)")),
                9 => {
                    self.names += 1;
                    let x = format!("%x{}", self.names);
                    self.line(&format!("{x} = pto.load_scalar %{view}[%c0] : !pto.ptr<f32> -> f32"));
                    self.line(&format!("pto.tadds ins({a}, {x} : !row, f32) outs({b} : !row)"));
                }
                10..=12 if depth < 3 => self.counted_loop(depth, &a, &b),
                13 | 14 if depth < 3 => {
                    let before = self.rows.len();
                    self.line("scf.if %c {");
                    self.block(depth + 1);
                    self.rows.truncate(before);
                    self.line("} else {");
                    if self.genes.below(2) == 1 {
                        self.block(depth + 1);
                        self.rows.truncate(before);
                    }
                    self.line("}");
                }
                15 if depth < 3 => self.while_loop(depth),
                _ => self.line(&format!("pto.tadd ins({a}, {b} : !row, !row) outs({a} : !row)")),
            }
        }
    }

    /// A loop that may hand two or three rows on, in turn or not.
    fn counted_loop(&mut self, depth: usize, a: &str, b: &str) {
        self.names += 1;
        let n = self.names;
        let bound = ["%n", "%c3", "%c1", "%n"][self.genes.below(4)];
        let carried = [0, 0, 0, 2, 2, 3][self.genes.below(6)];
        let before = self.rows.len();
        let names = ["p", "q", "s"].map(|name| format!("%{name}{n}"));
        let names = &names[..carried];
        let types = vec!["!row"; carried].join(", ");
        if carried > 0 {
            let inits = [a.to_owned(), b.to_owned(), self.row()];
            let inits: Vec<_> =
                names.iter().zip(inits).map(|(name, init)| format!("{name} = {init}")).collect();
            let inits = inits.join(", ");
            self.line(&format!(
                "%r{n}:{carried} = scf.for %i{n} = %c0 to {bound} step %c1 iter_args({inits}) -> ({types}) {{"
            ));
            self.rows.extend_from_slice(names);
        } else {
            self.line(&format!("scf.for %i{n} = %c0 to {bound} step %c1 {{"));
        }
        self.block(depth + 1);
        if carried > 0 {
            let in_turn = self.genes.below(3) > 0;
            let next = |i: usize| names[(i + 1) % carried].clone();
            let yielded: Vec<_> = (0..carried).map(|i| if in_turn { next(i) } else { self.row() }).collect();
            self.line(&format!("scf.yield {} : {types}", yielded.join(", ")));
        }
        self.line("}");
        self.rows.truncate(before);
        self.rows.extend((0..carried).map(|i| format!("%r{n}#{i}")));
    }

    fn while_loop(&mut self, depth: usize) {
        self.names += 1;
        let n = self.names;
        let before = self.rows.len();
        self.line(&format!("%w{n} = scf.while (%h{n} = %c0) : (index) -> (index) {{"));
        let budget = std::mem::replace(&mut self.budget, 2);
        self.block(3);
        self.budget += budget.saturating_sub(2);
        self.line(&format!("%go{n} = arith.cmpi slt, %h{n}, %n : index"));
        self.line(&format!("scf.condition(%go{n}) %h{n} : index"));
        self.line("} do {");
        self.line(&format!("^bb0(%j{n}: index):"));
        self.block(depth + 1);
        self.line(&format!("%next{n} = arith.addi %j{n}, %c1 : index"));
        self.line(&format!("scf.yield %next{n} : index"));
        self.line("}");
        self.rows.truncate(before);
    }
}

/// Calls `test` with random kernels.
fn on_random_kernels(cases: u32, rng: TestRng, test: impl Fn(&str) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let genes = prop::collection::vec(any::<u16>(), 10..120);
    TestRunner::new_with_rng(config, rng)
        .run(&genes, |genes| test(&kernel(&genes)))
        .unwrap_or_else(|e| panic!("{e}"));
}

/// The same kernels with every run.
fn fixed(seed: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32])
}

fn default_pipeline_on(cases: u32, rng: impl Fn(u8) -> TestRng) {
    for (settings, seed) in [(&[][..], 1), (&["event-id-allocation.max-ids=2"], 2)] {
        let pipeline = Pipeline::with("a3", settings);
        on_random_kernels(cases, rng(seed), |text| {
            let planned =
                pipeline.plan(text).ok_or_else(|| TestCaseError::fail(format!("refused\n{text}")))?;
            for (_, judgement) in judged(&planned) {
                let wrong: Vec<&Finding> =
                    judgement.findings.iter().filter(|f| f.grade == Grade::Error).collect();
                prop_assert!(wrong.is_empty(), "{wrong:?}\n{text}");
            }
            Ok(())
        });
    }
}

#[test]
fn what_the_default_pipeline_makes_is_right() {
    default_pipeline_on(1_500, fixed);
}

#[test]
#[ignore = "takes minutes: 60,000 kernels, other ones with every run"]
fn what_the_default_pipeline_makes_is_right_at_length() {
    default_pipeline_on(30_000, |_| TestRunner::new(Config::default()).new_rng());
}

#[test]
fn what_the_reference_gets_wrong_the_explorer_sees() {
    for (name, seed) in [("a3-reference", 3), ("a3-reference-push-back", 4)] {
        let pipeline = Pipeline::with(name, &[]);
        let found = std::cell::RefCell::new(BTreeMap::<Rule, usize>::new());
        on_random_kernels(500, fixed(seed), |text| {
            let planned =
                pipeline.plan(text).ok_or_else(|| TestCaseError::fail(format!("refused\n{text}")))?;
            for (program, judgement) in judged(&planned) {
                for finding in &judgement.findings {
                    *found.borrow_mut().entry(finding.rule).or_default() += 1;
                    let seen = confirm(program, &judgement, finding);
                    prop_assert_ne!(seen, Confirmation::Unseen, "{:?}\n{}", finding, text);
                }
            }
            Ok(())
        });
        println!("{name} on random kernels: {:?}", found.borrow());
        assert!(found.borrow().contains_key(&Rule::DataRace), "{name}: nothing is found");
    }
}
