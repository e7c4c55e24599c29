//! Memory planning: what is live where, what shares memory, what does not fit, and that no plan lets one buffer
//! overwrite another that is still needed.

mod machine;
mod programs;

use std::cell::RefCell;

use pipewright::diagnostic::{Report, Source, Style};
use pipewright::lower::addresses::lower_all;
use pipewright::lower::simplify;
use pipewright::pipeline::{self, Point, ResolvedPipeline, Unit};
use pipewright::{plugin, syntax, target};
use pipewright_abi::ir::ModuleData;
use pipewright_abi::target::TargetData;
use pipewright_tests::sandbox::Sandbox;
use pipewright_tests::{corpus, files_below, pipewright, workspace};
use proptest::prelude::*;

/// A pipeline of memory planning alone, with its target.
struct Planner {
    pipeline: ResolvedPipeline,
    target: TargetData,
}

impl Planner {
    fn new(settings: &[&str]) -> Self {
        pipewright_tests::build_directory();
        let sandbox = Sandbox::with(&[(
            "plan.toml",
            "[pipeline]\nname = \"plan\"\ntarget = \"a3\"\n[[stage]]\npass = \"memory-plan\"\n",
        )]);
        let path = sandbox.path("plan.toml");
        let unresolved = pipeline::load(path.to_str().expect("a path in UTF-8")).expect("the pipeline loads");
        let target = target::load(&unresolved.target, &[]).expect("the target loads");
        let found = plugin::discover(&[]).expect("plugins are found");
        let settings: Vec<String> = settings.iter().map(|s| format!("memory-plan.{s}")).collect();
        let pipeline = pipeline::resolve(unresolved, &found, &settings).expect("the pipeline resolves");
        Self { pipeline, target }
    }

    /// The program with addresses, and the map; or the diagnostics.
    fn plan(&self, text: &str) -> Result<(ModuleData, String), String> {
        let render = |diagnostics| Report::new(Source::new("k.pto", text), diagnostics).render(Style::Plain);
        let mut module = syntax::parse(text, &self.target).map_err(render)?;
        simplify(&mut module, &self.target);
        let kernels = lower_all(&module, &self.target, true).map_err(render)?;
        let mut units: Vec<Unit> = kernels.into_iter().map(Unit::new).collect();
        let report = RefCell::new(String::new());
        let mut observe = |moment: pipeline::Moment<'_>| {
            if moment.point == Point::After {
                *report.borrow_mut() = moment.report.to_owned();
            }
        };
        pipeline::run(&self.pipeline, &mut module, &self.target, &mut units, &mut observe).map_err(render)?;
        Ok((module, report.into_inner()))
    }

    fn map(&self, text: &str) -> String {
        self.plan(text).unwrap_or_else(|e| panic!("{e}")).1
    }

    fn refusal(&self, text: &str) -> String {
        let error = self.plan(text).expect_err("the plan is refused");
        // The path of the plugin differs from machine to machine.
        error.lines().filter(|line| !line.contains("plugin:")).map(|line| line.to_owned() + "\n").collect()
    }
}

/// A kernel with this body; `T` stands for a tile of 1024 bytes.
fn kernel(body: &str) -> String {
    let text = format!(
        "module {{\n  func.func @k(%p: i1, %n: index, %f: f32) {{\n    %c0 = arith.constant 0 : index\n    \
         %c1 = arith.constant 1 : index\n{body}    return\n  }}\n}}\n"
    );
    text.replace(": T", ": !pto.tile_buf<vec, 16x16xf32>").replace(", T", ", !pto.tile_buf<vec, 16x16xf32>")
}

const FILL_A: &str = "pto.texpands ins(%f : f32) outs(%a : T)\n";
const FILL_B: &str = "pto.texpands ins(%f : f32) outs(%b : T)\n";
const USE_A: &str = "pto.tadd ins(%a, %a : T, T) outs(%a : T)\n";
const USE_B: &str = "pto.tadd ins(%b, %b : T, T) outs(%b : T)\n";
const TILES: &str = "%a = pto.alloc_tile : T\n%b = pto.alloc_tile : T\n";

fn in_loop(body: &[&str]) -> String {
    format!("scf.for %i = %c0 to %n step %c1 {{\n{}}}\n", body.concat())
}

#[test]
fn tiles_that_are_never_live_together_share_memory() {
    let planner = Planner::new(&[]);
    insta::assert_snapshot!(planner.map(&kernel(&[TILES, FILL_A, USE_A, FILL_B, USE_B].concat())));
    // In a loop each trip writes the tiles anew.
    insta::assert_snapshot!(
        planner.map(&kernel(&(TILES.to_owned() + &in_loop(&[FILL_A, USE_A, FILL_B, USE_B]))))
    );
}

#[test]
fn what_the_next_trip_reads_lives_through_the_loop() {
    let planner = Planner::new(&[]);
    let carried = in_loop(&[USE_A, FILL_B, USE_B]);
    insta::assert_snapshot!(planner.map(&kernel(&[TILES, FILL_A, &carried].concat())));
    // A branch that does not write it leaves what the trip before wrote.
    let maybe = format!("scf.if %p {{\n{FILL_A}}}\n");
    let maybe = in_loop(&[&maybe, USE_A, FILL_B, USE_B]);
    insta::assert_snapshot!(planner.map(&kernel(&[TILES, FILL_A, &maybe].concat())));
}

#[test]
fn without_reuse_every_tile_has_memory_of_its_own() {
    let planner = Planner::new(&["reuse=none"]);
    insta::assert_snapshot!(planner.map(&kernel(&[TILES, FILL_A, USE_A, FILL_B, USE_B].concat())));
}

#[test]
fn reserved_buffers_come_first_and_stay_free() {
    let reserve = |more: &str| {
        format!(
            "pto.reserve_buffer {{name = \"fifo\", size = 4096, location = #pto.address_space<vec>, {more}}} -> i32\n"
        )
    };
    let planner = Planner::new(&[]);
    let uses = [TILES, FILL_A, FILL_B, USE_A, USE_B].concat();
    let auto = kernel(&format!("%r = {}{uses}", reserve("auto = true")));
    let (module, map) = planner.plan(&auto).unwrap();
    insta::assert_snapshot!(map);
    let module = module.view();
    let reserved = module.t.ops.iter().position(|op| module.str(op.name) == "pto.reserve_buffer").unwrap();
    let reserved = pipewright_abi::OpId::from_index(reserved);
    assert_eq!((module.int_attr(reserved, "base"), module.int_attr(reserved, "auto")), (Some(0), Some(0)));
    let fixed = kernel(&format!("%r = {}{uses}", reserve("auto = false, base = 1024")));
    insta::assert_snapshot!(planner.map(&fixed));
}

#[test]
fn a_call_leaves_the_memory_of_the_caller_alone() {
    let helper = "func.func private @h(%f: f32) {\n%a = pto.alloc_tile : T\npto.texpands ins(%f : f32) outs(%a : T)\nreturn\n}\n";
    let body = format!("{TILES}{FILL_A}func.call @h(%f) : (f32) -> ()\n{USE_A}");
    let text = kernel(&body).replacen("module {\n", &format!("module {{\n{helper}"), 1);
    let text = text.replace(": T", ": !pto.tile_buf<vec, 16x16xf32>");
    insta::assert_snapshot!(Planner::new(&[]).map(&text));
}

#[test]
fn tiles_with_addresses_stay_where_they_are() {
    let planner = Planner::new(&[]);
    let address = "%addr = arith.constant 1024 : i64\n";
    let placed = "%a = pto.alloc_tile addr = %addr : T\n";
    let free = "%b = pto.alloc_tile : T\n%c = pto.alloc_tile : T\npto.tadd ins(%a, %b : T, T) outs(%c : T)\n";
    insta::assert_snapshot!(planner.map(&kernel(&[address, placed, FILL_A, free].concat())));
    // Nothing is planned where nothing is missing.
    assert_eq!(planner.map(&kernel(&[address, placed, FILL_A].concat())), "");
}

#[test]
fn what_does_not_fit_lists_the_live_tiles_at_the_peak() {
    let large = ["a", "b", "c", "d"].map(|name| {
        format!("%{name} = pto.alloc_tile : !pto.tile_buf<vec, 128x128xf32>\npto.texpands ins(%f : f32) outs(%{name} : !pto.tile_buf<vec, 128x128xf32>)\n")
    });
    let add = "pto.tadd ins(%a, %b : !pto.tile_buf<vec, 128x128xf32>, !pto.tile_buf<vec, 128x128xf32>) outs(%a : !pto.tile_buf<vec, 128x128xf32>)\n";
    let all = [add, &add.replace("%b", "%c"), &add.replace("%b", "%d")].concat();
    insta::assert_snapshot!(Planner::new(&[]).refusal(&kernel(&[&large.concat(), all.as_str()].concat())));
}

#[test]
fn a_tile_of_an_earlier_trip_is_gone_when_its_memory_is_written_again() {
    let carrying = |body: &str| {
        let ty = "!pto.tile_buf<vec, 16x16xf32>";
        kernel(&format!(
            "%b = pto.alloc_tile : T\n{FILL_B}%r = scf.for %i = %c0 to %n step %c1 iter_args(%old = %b) -> ({ty}) {{\n\
             %a = pto.alloc_tile : T\n{body}scf.yield %a : T\n}}\npto.tadd ins(%r, %r : T, T) outs(%r : T)\n"
        ))
    };
    let planner = Planner::new(&[]);
    let add = "pto.tadd ins(%old, %old : T, T) outs(%a : T)\n";
    insta::assert_snapshot!(planner.map(&carrying(add)));
    insta::assert_snapshot!(planner.refusal(&carrying(&[FILL_A, add].concat())));
}

#[test]
fn scratch_memory_stays_free_where_it_is_used() {
    let tiles = "%a = pto.alloc_tile : !pto.tile_buf<vec, 192x248xf32>\n%s = pto.alloc_tile : !pto.tile_buf<vec, 192x1xf32, blayout=col_major>\n";
    let uses = "pto.trowexpandadd ins(%a, %s : !pto.tile_buf<vec, 192x248xf32>, !pto.tile_buf<vec, 192x1xf32, blayout=col_major>) outs(%a : !pto.tile_buf<vec, 192x248xf32>)\n";
    let text = kernel(&[tiles, uses].concat());
    insta::assert_snapshot!(Planner::new(&[]).refusal(&text));
    insta::assert_snapshot!(Planner::new(&["keep-scratch=false"]).map(&text));
}

#[test]
fn overlaps_at_different_offsets_are_the_last_resort() {
    let big = |name: &str| {
        format!(
            "%{name} = pto.alloc_tile : !pto.tile_buf<vec, 256x160xf32>\npto.texpands ins(%f : f32) outs(%{name} : !pto.tile_buf<vec, 256x160xf32>)\n"
        )
    };
    let half = |name: &str| {
        format!(
            "%{name} = pto.alloc_tile : !pto.tile_buf<vec, 128x160xf32>\npto.texpands ins(%f : f32) outs(%{name} : !pto.tile_buf<vec, 128x160xf32>)\n"
        )
    };
    let add = "pto.tadd ins(%x, %y : !pto.tile_buf<vec, 128x160xf32>, !pto.tile_buf<vec, 128x160xf32>) outs(%x : !pto.tile_buf<vec, 128x160xf32>)\n";
    let text = kernel(&[big("w"), half("x"), half("y"), add.to_owned()].concat());
    insta::assert_snapshot!(Planner::new(&[]).map(&text));
    insta::assert_snapshot!(Planner::new(&["partial-overlap=false"]).refusal(&text));
}

proptest! {
    #[test]
    fn no_buffer_overwrites_another_that_is_still_needed(
        choices in prop::collection::vec(any::<u8>(), 0..120),
        path in any::<u64>(),
    ) {
        thread_local!(static PLANNER: Planner = Planner::new(&[]));
        let text = programs::program(&choices);
        let planned = PLANNER.with(|planner| planner.plan(&text));
        let module = match planned {
            Ok((module, _)) => module,
            Err(error) => {
                let refused = error.contains("does not fit") || error.contains("of an earlier trip");
                prop_assert!(refused, "{error}\n{text}");
                return Ok(());
            }
        };
        for run in 0..8 {
            if let Err(error) = machine::run(module.view(), path.wrapping_add(run)) {
                return Err(TestCaseError::fail(format!("{error}\n{text}")));
            }
        }
    }
}

/// Every kernel of the corpus without addresses gets some, and becomes C++.
#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn kernels_without_addresses_compile() {
    let corpus = corpus();
    let kernels = files_below(&corpus.join("level2"), ".pto");
    assert!(!kernels.is_empty());
    let out = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for kernel in &kernels {
        let mut compile = pipewright();
        compile
            .args(["compile", "--pipeline", "a3-reference", "-o"])
            .arg(out.path().join("k.cpp"))
            .arg(kernel);
        let run = compile.current_dir(workspace()).output().unwrap();
        if !run.status.success() {
            failures.push(format!("{}: {}", kernel.display(), String::from_utf8_lossy(&run.stderr)));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), kernels.len(), failures.join("\n"));
}
