//! How the time of judging a plan grows with the size of a kernel, next to the time of the pipeline that made it.
//!
//! `cargo bench --bench verify` prints both for each shape and size. The plans are those of `a3-reference`, which on these
//! kernels have hundreds of findings, each with a path, and those of `a3`, and for comparison a program without any flag
//! but with a full barrier before each instruction. Growth is close to linear if ten times the instructions take at
//! most fifteen times as long.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pipewright::lower::{Addresses, lower, simplify};
use pipewright::pipeline::{self, ResolvedPipeline, Unit};
use pipewright::verify::program::{Builder, Program, Step};
use pipewright::verify::{FlagModel, build, verify};
use pipewright::{plugin, syntax, target};
use pipewright_abi::target::TargetData;
use pipewright_tests::synthetic::{Shape, kernel};

const SIZES: [usize; 3] = [200, 2_000, 20_000];

fn growth(criterion: &mut Criterion) {
    pipewright_tests::build_directory();
    let unresolved = pipeline::load("a3").expect("the pipeline loads");
    let target = target::load(&unresolved.target, &[]).expect("the target loads");
    let pipelines = ["a3-reference", "a3"].map(|name| (name, load(name)));
    for (shape, name) in Shape::ALL {
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(2));
        for size in SIZES {
            let text = kernel(shape, size);
            group.throughput(Throughput::Elements(size as u64));
            for (name, pipeline) in &pipelines {
                group.bench_with_input(
                    BenchmarkId::new(format!("pipeline {name}"), size),
                    &text,
                    |b, text| b.iter(|| black_box(program(text, &target, pipeline, false))),
                );
                let program = program(&text, &target, pipeline, true).expect("a program");
                group.bench_with_input(BenchmarkId::new(format!("verify {name}"), size), &program, |b, p| {
                    b.iter(|| black_box(verify(p, FlagModel::Stall)))
                });
                if *name == "a3" {
                    let barriers = barriers_only(&program);
                    let id = BenchmarkId::new("verify barriers", size);
                    group.bench_with_input(id, &barriers, |b, p| {
                        b.iter(|| black_box(verify(p, FlagModel::Stall)))
                    });
                }
            }
        }
        group.finish();
    }
}

fn load(name: &str) -> ResolvedPipeline {
    let unresolved = pipeline::load(name).expect("the pipeline loads");
    let found = plugin::discover(&[]).expect("plugins are found");
    let mut pipeline = pipeline::resolve(unresolved, &found, &[]).expect("the pipeline resolves");
    pipeline.leave_out_emitters();
    pipeline
}

/// Reads a kernel and runs the pipeline; the program to judge if that is `wanted`.
fn program(text: &str, target: &TargetData, pipeline: &ResolvedPipeline, wanted: bool) -> Option<Program> {
    let mut module = syntax::parse(text, target).expect("a kernel");
    simplify(&mut module, target);
    let function = module.view().functions().next().expect("a function");
    let mut units = vec![Unit::new(lower(&module, target, function, Addresses::Required).expect("a kernel"))];
    pipeline::run(pipeline, &mut module, target, &mut units, &mut |_| {}).expect("the pipeline runs");
    let unit = &units[0];
    let view = module.view();
    wanted.then(|| build::programs(Some(&view), &unit.kernel.view(), &unit.plan, &target.view()).remove(0))
}

/// The program with a full barrier before each instruction and no other synchronization.
fn barriers_only(program: &Program) -> Program {
    let pipes: Vec<&str> = program.pipes.iter().map(String::as_str).collect();
    let mut b = Builder::new(&program.name, &pipes, program.scalar);
    for (memory, name) in program.memories.iter().zip(&program.memory_names) {
        b.memory(*memory, name);
    }
    for (at, step) in program.steps.iter().enumerate() {
        match *step {
            Step::Instruction { pipe, .. } => {
                b.barrier(None);
                b.instruction(pipe, program.accesses_of(at));
            }
            Step::LoopBegin { trips, test, .. } => b.open_loop(trips, test != at + 1),
            Step::LoopTest { .. } => b.test(),
            Step::IfBegin { .. } => b.open_if(),
            Step::Else { .. } => b.middle(),
            Step::LoopEnd { .. } | Step::IfEnd => b.close(),
            _ => {}
        }
    }
    b.barrier(None);
    b.finish()
}

criterion_group!(benches, growth);
criterion_main!(benches);
