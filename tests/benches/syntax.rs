//! Reading, printing and formatting text of many shapes, some of them made to be slow: time must grow with the text and
//! not faster. Before anything is measured, every shape is tried at two sizes, and the run ends if the larger one
//! takes out of proportion longer.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pipewright::{syntax, target};
use pipewright_abi::target::TargetData;
use pipewright_tests::synthetic::{self, Shape};
use pipewright_tests::workspace;

/// A name, and a text with about so many repetitions of something.
type Text = (&'static str, fn(usize) -> String);

const TEXTS: &[Text] = &[
    ("kernel", |n| synthetic::kernel(Shape::Straight, n)),
    ("nests", |n| synthetic::kernel(Shape::Loops, n)),
    ("operands", |n| body(&format!("\"test.op\"({}) : ({}) -> ()", list("%a", n), list("index", n)))),
    ("pretty operands", |n| body(&format!("pto.tsync ins({} : {})", list("%a", n), list("index", n)))),
    ("bare operands", |n| body(&format!("test.op {}", list("%a", n)))),
    ("undefined operands", |n| body(&format!("\"test.op\"({}) : () -> ()", numbered("%u", n)))),
    ("results", |n| body(&format!("{} = \"test.op\"() : () -> ({})", numbered("%r", n), list("i32", n)))),
    ("no results", |n| body(&format!("test.op\n{}", list("%r\n", n)))),
    ("attributes", |n| body(&format!("\"test.op\"() {{{}}} : () -> ()", numbered("k", n)))),
    ("array", |n| body(&format!("\"test.op\"() {{k = [{}]}} : () -> ()", list("1", n)))),
    ("symbol", |n| body(&format!("\"test.op\"() {{k = {}@a}} : () -> ()", "@a::".repeat(n)))),
    ("types", |n| body(&format!("\"test.op\"() : () -> ({})", numbered("!x.t", n)))),
    ("types in types", |n| format!("func.func @f(%a: {}", "!x.t<".repeat(n))),
    ("parameters", |n| format!("func.func @f({}) {{ return }}", parameters(n))),
    ("bodies on a line", |n| body(&"scf.if %c {} ".repeat(n))),
    ("blocks", |n| body(&format!("\"test.op\"() ({{{}}}) : () -> ()", "^bb0:\n".repeat(n)))),
    ("braces", |n| "{".repeat(n)),
    ("brackets", |n| body(&format!("test.op {}", "[".repeat(n)))),
    ("quotes", |n| body(&format!("test.op {}", "\"\\".repeat(n)))),
    ("strings", |n| body(&format!("test.op {}", "\"\\q\" ".repeat(n)))),
    ("errors", |n| body(&"%x = arith.nothing %x\n".repeat(n))),
    ("unclosed groups", |n| body(&"pto.tabs ins(%a\n".repeat(n))),
    ("comments", |n| body(&"// a comment\n".repeat(n))),
    ("one comment", |n| body(&format!("//{}", " /".repeat(n)))),
    ("spaces", |n| body(&" \n\t".repeat(n))),
    ("names", |n| body(&definitions(n))),
    ("aliases", |n| aliases(n)),
];

fn body(text: &str) -> String {
    format!("func.func @f(%a: index, %c: i1) {{\n{text}\nreturn\n}}\n")
}

fn list(item: &str, n: usize) -> String {
    vec![item; n].join(", ")
}

fn numbered(stem: &str, n: usize) -> String {
    (0..n).map(|i| format!("{stem}{i}")).collect::<Vec<_>>().join(", ")
}

fn parameters(n: usize) -> String {
    (0..n).map(|i| format!("%p{i}: i32")).collect::<Vec<_>>().join(", ")
}

fn definitions(n: usize) -> String {
    let mut text = String::new();
    for i in 0..n {
        let _ = writeln!(text, "%v{i} = arith.addi %a, %a : index");
    }
    text
}

/// Each alias is a pointer to the one before.
fn aliases(n: usize) -> String {
    let mut text = "!a0 = !pto.ptr<i32>\n".to_owned();
    for i in 1..n {
        let _ = writeln!(text, "!a{i} = !pto.ptr<!a{}>", i - 1);
    }
    text
}

fn load_target() -> TargetData {
    target::load(&workspace().join("pipelines/targets/a3.toml"), &[]).expect("the target can be read")
}

/// Everything that can be done with a text.
fn work(text: &str, target: &TargetData) {
    if let Ok(module) = syntax::parse(text, target) {
        black_box(syntax::print(&module, target));
        black_box(syntax::format(text, target).expect("what can be read can be formatted"));
    }
}

/// The shortest of three runs.
fn time(text: &str, target: &TargetData) -> Duration {
    let run = || {
        let start = Instant::now();
        work(text, target);
        start.elapsed()
    };
    (0..3).map(|_| run()).min().unwrap_or_default()
}

fn growth(target: &TargetData) {
    for (name, text) in TEXTS {
        let (small, large) = (text(20_000), text(80_000));
        let (fast, slow) = (time(&small, target), time(&large, target));
        let grown = large.len() as f64 / small.len() as f64;
        let slower = slow.as_secs_f64() / fast.as_secs_f64().max(1e-4);
        println!(
            "{name:20} {:8} bytes {fast:10.2?}   {grown:5.2} times the text: {slower:5.2} times as long",
            small.len()
        );
        assert!(slower < 3.0 * grown, "{name}: time grows faster than the text");
    }
}

fn bench(criterion: &mut Criterion) {
    let target = load_target();
    growth(&target);
    let mut group = criterion.benchmark_group("syntax");
    group.sample_size(10);
    for (name, text) in &TEXTS[..2] {
        let text = text(10_000);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("parse", name), &text, |b, text| {
            b.iter(|| syntax::parse(text, &target).expect("it can be read"));
        });
        group.bench_with_input(BenchmarkId::new("format", name), &text, |b, text| {
            b.iter(|| syntax::format(text, &target).expect("it can be formatted"));
        });
        let module = syntax::parse(&text, &target).expect("it can be read");
        group.bench_with_input(BenchmarkId::new("print", name), &module, |b, module| {
            b.iter(|| syntax::print(module, &target));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
