//! Random kernels through the real pipelines into the prover.
//!
//! What `a3` makes of a kernel must be right, whatever the kernel is: overlapping rows, rows that loops hand on, loops that
//! may not run, `while` loops, numbers read by the scalar unit, rows and pointers that a condition picks, pointers that go
//! through integers or come from nowhere, rows with a computed number, few event ids. What the reference makes of it may be
//! wrong, and then the explorer must see it too.

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

/// A kernel, made from numbers as random programs are. `by_hand`: it has flags and barriers of its own, anywhere.
pub(crate) fn kernel(genes: &[u16], by_hand: bool) -> String {
    let mut writer = Writer {
        genes: Genes::new(genes),
        text: "!row = !pto.tile_buf<vec, 1x64xf32>
!part = !pto.partition_tensor_view<1x64xf32>
module attributes {pto.target_arch = \"a3\"} {
func.func @random(%in: !pto.ptr<f32>, %out: !pto.ptr<f32>, %n: index, %c: i1, %d: i1, %e: i1, %raw: i64) attributes {pto.kernel_kind = #pto.kernel_kind<vector>} {
%c0 = arith.constant 0 : index
%c1 = arith.constant 1 : index
%c3 = arith.constant 3 : index
%c64 = arith.constant 64 : index
%slots_at = arith.constant 512 : i64
"
        .into(),
        rows: Vec::new(),
        views: vec!["%in".into(), "%out".into()],
        names: 0,
        budget: 0,
        by_hand,
    };
    for (i, address) in ADDRESSES.iter().enumerate() {
        _ = writeln!(writer.text, "%at{i} = arith.constant {address} : i64");
        _ = writeln!(writer.text, "%t{i} = pto.alloc_tile addr = %at{i} : !row");
        writer.rows.push(format!("%t{i}"));
    }
    _ = writeln!(
        writer.text,
        "%slots = pto.alloc_multi_tile addr = %slots_at : !pto.multi_tile_buf<!row, count=2>"
    );
    writer.row_of("%in");
    writer.row_of("%out");
    writer.budget = 3 + writer.genes.below(14);
    writer.block(0);
    writer.text + "return\n}\n}\n"
}

struct Writer<'a> {
    genes: Genes<'a>,
    text: String,
    /// Rows that can be named here.
    rows: Vec<String>,
    /// Pointers that can be named here; `%p_row` is a view of what `%p` points to.
    views: Vec<String>,
    names: usize,
    budget: usize,
    by_hand: bool,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    /// A view of what a pointer points to.
    fn row_of(&mut self, pointer: &str) {
        self.line(&format!(
            "{pointer}_all = pto.make_tensor_view {pointer}, shape = [%c1, %c64], strides = [%c64, %c1] : !pto.tensor_view<?x?xf32>"
        ));
        self.line(&format!(
            "{pointer}_row = pto.partition_view {pointer}_all, offsets = [%c0, %c0], sizes = [%c1, %c64] : !pto.tensor_view<?x?xf32> -> !part"
        ));
    }

    /// What can be named, to go back to.
    fn mark(&self) -> (usize, usize) {
        (self.rows.len(), self.views.len())
    }

    fn back_to(&mut self, (rows, views): (usize, usize)) {
        self.rows.truncate(rows);
        self.views.truncate(views);
    }

    /// A pointer that is picked, goes through an integer, or is one.
    fn pointer(&mut self) {
        self.names += 1;
        let name = format!("%p{}_", self.names);
        let [a, b] = [0, 1].map(|_| {
            let index = self.genes.below(self.views.len() as u16);
            self.views[index].clone()
        });
        match self.genes.below(5) {
            0 => self.line(&format!("{name} = arith.select %d, {a}, {b} : !pto.ptr<f32>")),
            1 => self.line(&format!("{name} = arith.select %e, {a}, {b} : !pto.ptr<f32>")),
            2 | 3 => {
                self.line(&format!("{name}i = pto.ptrtoint {a} : !pto.ptr<f32> -> i64"));
                self.line(&format!("{name} = pto.inttoptr {name}i : i64 -> !pto.ptr<f32>"));
            }
            _ => self.line(&format!("{name} = pto.inttoptr %raw : i64 -> !pto.ptr<f32>")),
        }
        self.row_of(&name);
        self.views.push(name);
    }

    /// A row that is picked, by a condition or a number.
    fn picked(&mut self, a: &str, b: &str) {
        self.names += 1;
        let name = format!("%s{}", self.names);
        let way = self.genes.below(3);
        if way > 0 {
            let condition = ["%d", "%e"][way - 1];
            self.line(&format!("{name} = arith.select {condition}, {a}, {b} : !row"));
        } else {
            let number = ["%c0", "%c1", "%n"][self.genes.below(3)];
            self.line(&format!(
                "{name} = pto.multi_tile_get %slots[{number}] : !pto.multi_tile_buf<!row, count=2> -> !row"
            ));
        }
        self.rows.push(name);
    }

    /// A pair or a barrier, if the kernel has its own.
    fn sync(&mut self) {
        const PIPES: [&str; 3] = ["PIPE_MTE2", "PIPE_V", "PIPE_MTE3"];
        if !self.by_hand {
            return;
        }
        for _ in 0..self.genes.below(3) {
            let (src, to) = (self.genes.below(3), 1 + self.genes.below(2));
            let (src, dst) = (PIPES[src], PIPES[(src + to) % 3]);
            match self.genes.below(4) {
                0 => self.line(&format!("pto.barrier <{src}>")),
                _ => {
                    self.line(&format!("pto.set_flag[<{src}>, <{dst}>, <EVENT_ID0>]"));
                    self.line(&format!("pto.wait_flag[<{src}>, <{dst}>, <EVENT_ID0>]"));
                }
            }
        }
    }

    fn row(&mut self) -> String {
        let index = self.genes.below(self.rows.len() as u16);
        self.rows[index].clone()
    }

    fn block(&mut self, depth: usize) {
        while self.budget > 0 {
            self.budget -= 1;
            let (a, b) = (self.row(), self.row());
            let index = self.genes.below(self.views.len() as u16);
            let view = self.views[index].clone();
            self.sync();
            match self.genes.below(20) {
                0 => return,
                16 | 17 => self.picked(&a, &b),
                18 => self.pointer(),
                1..=4 => self.line(&format!("pto.tload ins({view}_row : !part) outs({a} : !row)")),
                5 | 6 => self.line(&format!("pto.tstore ins({a} : !row) outs({view}_row : !part)")),
                7 | 8 => self.line(&format!("pto.tabs ins({a} : !row) outs({b} : !row)")),
                9 => {
                    self.names += 1;
                    let x = format!("%x{}", self.names);
                    self.line(&format!("{x} = pto.load_scalar {view}[%c0] : !pto.ptr<f32> -> f32"));
                    self.line(&format!("pto.tadds ins({a}, {x} : !row, f32) outs({b} : !row)"));
                }
                10..=12 if depth < 3 => self.counted_loop(depth, &a, &b),
                13 | 14 if depth < 3 => {
                    let before = self.mark();
                    self.line("scf.if %c {");
                    self.block(depth + 1);
                    self.back_to(before);
                    self.line("} else {");
                    if self.genes.below(2) == 1 {
                        self.block(depth + 1);
                        self.back_to(before);
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
        let before = self.mark();
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
        self.back_to(before);
        self.rows.extend((0..carried).map(|i| format!("%r{n}#{i}")));
    }

    fn while_loop(&mut self, depth: usize) {
        self.names += 1;
        let n = self.names;
        let before = self.mark();
        self.line(&format!("%w{n} = scf.while (%h{n} = %c0) : (index) -> (index) {{"));
        let budget = std::mem::replace(&mut self.budget, 2);
        self.block(3);
        self.back_to(before);
        self.budget += budget.saturating_sub(2);
        self.line(&format!("%go{n} = arith.cmpi slt, %h{n}, %n : index"));
        self.line(&format!("scf.condition(%go{n}) %h{n} : index"));
        self.line("} do {");
        self.line(&format!("^bb0(%j{n}: index):"));
        self.block(depth + 1);
        self.line(&format!("%next{n} = arith.addi %j{n}, %c1 : index"));
        self.line(&format!("scf.yield %next{n} : index"));
        self.line("}");
        self.back_to(before);
    }
}

/// Calls `test` with random kernels.
fn on_random_kernels(cases: u32, rng: TestRng, test: impl Fn(&str) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let genes = prop::collection::vec(any::<u16>(), 10..120);
    TestRunner::new_with_rng(config, rng)
        .run(&genes, |genes| test(&kernel(&genes, false)))
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
