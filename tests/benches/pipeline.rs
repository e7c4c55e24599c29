//! How the time of reading, lowering and each stage grows with the size of a kernel: of `a3-reference`, and of `a3` on the
//! shapes of which the reference makes a quadratic number of groups.
//!
//! `cargo bench` prints one line for each shape, size and step. Growth is close to linear if ten times the
//! instructions take at most fifteen times as long.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pipewright::lower::{Addresses, lower, simplify};
use pipewright::pipeline::{self, Moment, Point, ResolvedPipeline, Unit};
use pipewright::{plugin, syntax, target};
use pipewright_abi::target::TargetData;
use pipewright_tests::synthetic::{Shape, kernel};

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];

fn growth(criterion: &mut Criterion) {
    growth_of(criterion, "a3-reference", Shape::ALL);
    growth_of(criterion, "a3", Shape::QUADRATIC);
}

fn growth_of(criterion: &mut Criterion, pipeline: &str, shapes: [(Shape, &str); 3]) {
    pipewright_tests::build_directory();
    let unresolved = pipeline::load(pipeline).expect("the pipeline loads");
    let target = target::load(&unresolved.target, &[]).expect("the target loads");
    let found = plugin::discover(&[]).expect("plugins are found");
    let pipeline = pipeline::resolve(unresolved, &found, &[]).expect("the pipeline resolves");
    for (shape, name) in shapes {
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(2));
        for size in SIZES {
            let text = kernel(shape, size);
            group.throughput(Throughput::Elements(size as u64));
            group.bench_with_input(BenchmarkId::new("parse", size), &text, |b, text| {
                b.iter(|| black_box(syntax::parse(text, &target).expect("a kernel")))
            });
            let mut steps: Vec<&str> = vec!["lower"];
            steps.extend(pipeline.stages.iter().map(|s| s.name()));
            for step in steps {
                group.bench_with_input(BenchmarkId::new(step, size), &text, |b, text| {
                    b.iter_custom(|runs| (0..runs).map(|_| time_of(step, text, &target, &pipeline)).sum())
                });
            }
        }
        group.finish();
    }
}

/// Time of one step of a whole run.
fn time_of(step: &str, text: &str, target: &TargetData, pipeline: &ResolvedPipeline) -> Duration {
    let mut module = syntax::parse(text, target).expect("a kernel");
    let start = Instant::now();
    simplify(&mut module, target);
    let function = module.view().functions().next().expect("a function");
    let mut units = vec![Unit::new(lower(&module, target, function, Addresses::Required).expect("a kernel"))];
    if step == "lower" {
        return start.elapsed();
    }
    let started = RefCell::new(Instant::now());
    let mut taken = Duration::ZERO;
    let mut observe = |moment: Moment<'_>| {
        if moment.stage.name() == step {
            match moment.point {
                Point::Before => *started.borrow_mut() = Instant::now(),
                Point::After => taken = started.borrow().elapsed(),
            }
        }
    };
    pipeline::run(pipeline, &mut module, target, &mut units, &mut observe).expect("the pipeline runs");
    taken
}

criterion_group!(benches, growth);
criterion_main!(benches);
