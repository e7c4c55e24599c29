//! How many statements a second the simulator works out.
//!
//! `cargo bench --bench simulate` prints elements a second: statements executed one by one, on a kernel of nested loops
//! that all run out. It is fast enough with five million.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pipewright::lower::{Addresses, lower, simplify};
use pipewright::pipeline::{self, Unit};
use pipewright::simulate::price::Prices;
use pipewright::simulate::{Setup, cost, simulate};
use pipewright::verify::build;
use pipewright::{plugin, syntax, target};
use pipewright_tests::synthetic::{Shape, kernel};

fn speed(criterion: &mut Criterion) {
    pipewright_tests::build_directory();
    let unresolved = pipeline::load("a3-reference").expect("the pipeline loads");
    let target = target::load(&unresolved.target, &[]).expect("the target loads");
    let cost_file = target::cost_file(&unresolved.target).expect("the target has costs");
    let costs = cost::load(&cost_file).expect("the costs load");
    let found = plugin::discover(&[]).expect("plugins are found");
    let mut pipeline = pipeline::resolve(unresolved, &found, &[]).expect("the pipeline resolves");
    pipeline.leave_out_emitters();

    let mut group = criterion.benchmark_group("simulate");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
    for (shape, name) in Shape::ALL {
        let mut module = syntax::parse(&kernel(shape, 2_000), &target).expect("a kernel");
        simplify(&mut module, &target);
        let function = module.view().functions().next().expect("a function");
        let lowered = lower(&module, &target, function, Addresses::Required).expect("a kernel");
        let mut units = vec![Unit::new(lowered)];
        pipeline::run(&pipeline, &mut module, &target, &mut units, &mut |_| {}).expect("the pipeline runs");
        let (view, lent) = (module.view(), target.view());
        let flat = units[0].kernel.view();
        let program = build::programs(Some(&view), &flat, &units[0].plan, &lent).remove(0);
        let prices = Prices::new(&program, &view, &lent, &costs);
        let setup = Setup { budget: u64::MAX, ..Setup::default() };
        let run = || simulate(&program, &view, &prices, &setup);
        let first = run();
        assert!(first.cycles.is_some() && first.simulated == first.executed);
        group.throughput(Throughput::Elements(first.simulated));
        group.bench_function(name, |b| b.iter(|| black_box(run())));
    }
    group.finish();
}

criterion_group!(benches, speed);
criterion_main!(benches);
