//! What it costs to see that a plugin writes into what it is lent: whole runs of `a3-reference` without a guard, with sums
//! over what is lent, and with copies of it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pipewright::lower::{Addresses, lower, simplify};
use pipewright::pipeline::{self, Guard, Unit};
use pipewright::{plugin, syntax, target};
use pipewright_tests::synthetic::{Shape, kernel};

fn guards(criterion: &mut Criterion) {
    pipewright_tests::build_directory();
    let unresolved = pipeline::load("a3-reference").expect("the pipeline loads");
    let target = target::load(&unresolved.target, &unresolved.target_extensions).expect("the target loads");
    let found = plugin::discover(&[]).expect("plugins are found");
    let mut pipeline = pipeline::resolve(unresolved, &found, &[]).expect("the pipeline resolves");
    for (shape, name) in Shape::ALL {
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(20)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(8));
        let mut module = syntax::parse(&kernel(shape, 20_000), &target).expect("a kernel");
        simplify(&mut module, &target);
        let function = module.view().functions().next().expect("a function");
        let lowered = lower(&module, &target, function, Addresses::Required).expect("a kernel");
        for guard in [Guard::Off, Guard::Sums, Guard::Copies] {
            pipeline.guard = guard;
            let pipeline = &pipeline;
            group.bench_function(BenchmarkId::new("run", format!("{guard:?}")), |b| {
                b.iter_custom(|runs| {
                    let mut time = Duration::ZERO;
                    for _ in 0..runs {
                        let (mut module, mut units) = (module.clone(), [Unit::new(lowered.clone())]);
                        let start = Instant::now();
                        let outcome = pipeline::run(pipeline, &mut module, &target, &mut units, &mut |_| {});
                        time += start.elapsed();
                        black_box(outcome.expect("the pipeline runs"));
                    }
                    time
                })
            });
        }
        group.finish();
    }
}

criterion_group!(benches, guards);
criterion_main!(benches);
