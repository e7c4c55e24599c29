//! Contracts between passes: what fits into a pipeline, what a pass is lent, what it may change, and what the host finds
//! in what it left. The plugins that break the rules are shared libraries as any other.

use pipewright_abi::artifact::{ARTIFACTS, Again, Origin, Spoils};
use pipewright_abi::plugin::ABI_VERSION_TEXT;
use pipewright_tests::crates::{copy_to, library_file, plugin};
use pipewright_tests::sandbox::{KERNEL, Sandbox};
use pipewright_tests::workspace;

/// A directory with the kernel `k.pto`, the pipeline `p.toml` of this text, and the plugins for these tests.
fn sandbox(pipeline: &str) -> Sandbox {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL), ("p.toml", pipeline)]);
    let plugins =
        [plugin("contracts", "0.1.0", "contracts.rs"), plugin("undeclared", "0.1.0", "undeclared.rs")];
    copy_to(&sandbox.path("plugins"), &plugins.each_ref().map(|path| &**path));
    sandbox
}

/// A pipeline of these stages.
fn stages(passes: &[&str]) -> String {
    let stages: String = passes.iter().map(|pass| format!("[[stage]]\npass = \"{pass}\"\n")).collect();
    format!("[pipeline]\nname = \"p\"\ntarget = \"a3\"\n{stages}")
}

const COMPILE: [&str; 6] = ["compile", "k.pto", "--pipeline", "p.toml", "--plugin-path", "plugins"];

/// What is said of a pipeline of these stages, which must be refused.
fn refused(passes: &[&str]) -> String {
    sandbox(&stages(passes)).refused(COMPILE.iter().copied().chain(["-o", "k.out", "--emit", "plan"]))
}

/// What is said of a pipeline that extends `a3`, without the lines of the pipelines that are extended.
fn changed(change: &str) -> String {
    let text = format!("[pipeline]\nname = \"p\"\nextends = \"a3\"\n\n{change}");
    let said = sandbox(&text).refused(COMPILE.iter().copied().chain(["-o", "k.out"]));
    let mut pieces = said.split("a3-reference.toml:");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        assert!(rest.len() < piece.len(), "a line stands behind the file: {said}");
        format!("{text}a3-reference.toml:[LINE]{rest}")
    })
}

// Pipelines.

#[test]
fn memory_is_planned_before_what_rests_on_addresses() {
    insta::assert_snapshot!(changed("[[stage]]\npass = \"memory-plan\"\nafter = \"sync-motion\"\n"));
    // Behind everything, too: then the flags would be lost at the end.
    let text = changed("[[stage]]\npass = \"memory-plan\"\nafter = \"a3-codegen\"\n");
    assert!(
        text.contains("pipeline::stale-artifact") && text.contains("the pipeline ends with it"),
        "{text}"
    );
    assert!(text.contains("put `memory-plan` before `hazard-analysis`"), "{text}");
}

#[test]
fn what_was_printed_must_not_change() {
    insta::assert_snapshot!(changed("[[stage]]\npass = \"fence\"\nafter = \"a3-codegen\"\n"));
}

#[test]
fn ids_are_given_to_pairs_where_they_stay() {
    let text = changed("[[stage]]\npass = \"sync-motion\"\nafter = \"event-id-allocation\"\n");
    assert!(text.contains("`event-ids` of `event-id-allocation` ("), "{text}");
    assert!(text.contains("goes stale at `sync-motion` (p.toml:6), and `backward-match` ("), "{text}");
    assert!(text.contains("put `sync-motion` before `event-id-allocation`"), "{text}");
}

#[test]
fn what_is_written_twice_names_both() {
    insta::assert_snapshot!(refused(&["hazard-analysis", "sync-insertion", "more-pairs"]));
    let text = refused(&["prices-a", "prices-b", "price-reader"]);
    assert!(
        text.contains("pipeline::written-twice") && text.contains("the work of the first is lost"),
        "{text}"
    );
    let text = refused(&["a3-codegen", "pto-emit"]);
    assert!(text.contains("the artifact `text` is written by `a3-codegen` (p.toml:5)"), "{text}");
}

#[test]
fn what_was_of_use_may_be_written_again() {
    let fits = sandbox(&stages(&["prices-a", "price-reader", "prices-b"]));
    let run = fits.run(COMPILE.iter().copied().chain(["--emit", "plan", "--stats"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("price") && run.stderr.contains('7'), "{}", run.stderr);
    // Barriers are added to those that are there.
    let both = sandbox(&stages(&["hazard-analysis", "sync-insertion", "fence"]));
    assert_eq!(both.run(COMPILE.iter().copied().chain(["--emit", "plan"])).code, Some(0));
}

#[test]
fn what_cannot_be_declared_is_refused() {
    let text = refused(&["a3-codegen", "reads-text"]);
    assert!(
        text.contains("`reads-text` declares to read the artifact `text`, which the host alone takes"),
        "{text}"
    );
    let text = refused(&["writes-kernel"]);
    assert!(text.contains("declares to write the artifact `kernel`, which is the host's"), "{text}");
    let text = refused(&["hazard-analysis", "module-hazards"]);
    assert!(text.contains("the artifact `hazards`, which is for passes over one function"), "{text}");
    let text = refused(&["hazard-analysis", "misspells"]);
    assert!(
        text.contains("pipeline::missing-artifact") && text.contains("did its author mean `hazards`?"),
        "{text}"
    );
}

#[test]
fn what_may_be_missing_is_read_where_it_is_there() {
    let count = |passes: &[&str]| {
        let sandbox = sandbox(&stages(passes));
        let run = sandbox.run(COMPILE.iter().copied().chain(["--emit", "plan", "--stats"]));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let line = run.stderr.lines().find(|line| line.contains("late sets")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{}", run.stderr))
    };
    assert!(count(&["maybe-late"]).contains("-1"));
    let whole = ["hazard-analysis", "sync-insertion", "event-id-allocation", "maybe-late"];
    assert!(!count(&whole).contains("-1"));
    let stale =
        refused(&["hazard-analysis", "sync-insertion", "event-id-allocation", "sync-motion", "maybe-late"]);
    assert!(stale.contains("the artifact `late-sets`") && stale.contains("`maybe-late`"), "{stale}");
}

// Options.

#[test]
fn an_integer_outside_of_its_range_is_refused_where_it_is_written() {
    let text = format!("{}options = {{ width = 17 }}\n", stages(&["ranged"]));
    insta::assert_snapshot!(sandbox(&text).refused(COMPILE.iter().copied().chain(["--emit", "plan"])));
    let sandbox = sandbox(&stages(&["ranged"]));
    for (setting, code) in [
        ("ranged.width=0", 1),
        ("ranged.width=-3", 1),
        ("ranged.width=1", 0),
        ("ranged.width=16", 0),
        ("ranged.free=-3", 0),
    ] {
        let run = sandbox.run(COMPILE.iter().copied().chain(["--emit", "plan", "--set", setting]));
        assert_eq!(run.code, Some(code), "{setting}: {}", run.stderr);
        assert_eq!(run.stderr.contains("pipeline::option-value"), code == 1, "{setting}: {}", run.stderr);
    }
    let shown = sandbox.run(["passes", "ranged", "--plugin-path", "plugins"]).stdout;
    assert!(shown.contains("width = integer from 1 to 16, by default 4: how wide"), "{shown}");
    let vary = ["compare", "k.pto", "--pipeline", "a3", "--vary", "event-id-allocation.max-ids=4,-3"];
    let run = sandbox.run(vary);
    assert!(run.code != Some(0) && run.stderr.contains("takes 0 to 64, not -3"), "{}", run.stderr);
}

#[test]
fn every_integer_option_of_our_passes_has_a_range() {
    let sandbox = Sandbox::default();
    let listed = sandbox.run(["passes"]).stdout;
    let names: Vec<_> = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"event-id-allocation"), "{listed}");
    for name in names {
        let shown = sandbox.run(["passes", name]).stdout;
        assert!(!shown.contains(" = integer,"), "{shown}");
    }
}

// What passes ask for.

#[test]
fn a_pass_that_asks_for_what_it_does_not_declare_is_told_where() {
    let cases = [
        ("asks-option", "it asks for the option `widenning`, which it does not declare (widening)"),
        ("asks-option-type", "it asks for the option `widening` of type bool as one of type integer"),
        ("reads-kernel", "it reads the artifact `kernel` without declaring it"),
        ("reads-plan", "it reads the artifact `plan` without declaring it"),
        ("reads-hazards", "it reads the artifact `hazards` without declaring it"),
        ("reads-module", "it reads the artifact `module` without declaring it"),
        (
            "reads-column",
            "reads the column `event-ids.moved-late/1` without declaring the artifact `late-sets`",
        ),
        ("edits-plan", "without declaring to write `barriers`"),
        ("writes-hazards", "it writes the artifact `hazards` without declaring it"),
        ("writes-own-column", "the column `vendor.price/1` without declaring to write `vendor.price`"),
        ("emits", "it writes the artifact `text` without declaring it"),
    ];
    let before = ["hazard-analysis", "sync-insertion", "event-id-allocation"];
    for (pass, what) in cases {
        let text = refused(&[&before[..], &[pass]].concat());
        let names =
            text.contains("pass::contract") && text.contains(&format!("pass `{pass}` 0.1.0 is at fault"));
        assert!(names && text.contains(what), "{pass}: {text}");
        assert!(text.contains("undeclared.rs:"), "{pass}: no place: {text}");
    }
}

/// The columns that the pass is lent, as kinds.
fn lent(passes: &[&str]) -> Vec<String> {
    let run = sandbox(&stages(passes)).run(COMPILE);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let mut kinds: Vec<_> = run.stdout.lines().map(|id| id.split('.').next().unwrap().to_owned()).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[test]
fn a_pass_is_lent_what_it_declares_and_no_more() {
    assert_eq!(lent(&["hazard-analysis", "lists-columns"]), ["kernel", "module", "run", "target"]);
    let before = ["hazard-analysis", "sync-insertion", "event-id-allocation", "lists-for-functions"];
    assert_eq!(lent(&before), ["plan", "run", "target"]);
}

// What passes leave.

/// Checks what is said of passes that each break one rule, behind these stages.
fn breaks(before: &[&str], code: &str, cases: &[(&str, &str)]) {
    for (pass, what) in cases {
        let text = refused(&[before, &[*pass]].concat());
        let blamed = text.contains(&format!("pass `{pass}` 0.1.0 is at fault"));
        assert!(blamed && text.starts_with(code) && text.contains(what), "{pass}: {text}");
        assert!(text.contains("libcontracts_0_1_0"), "{pass}: no file: {text}");
    }
}

#[test]
fn each_rule_of_plans_is_checked() {
    let cases = [
        ("no-edit", "(edit-code)"),
        ("unknown-group", "(unknown-group)"),
        ("unknown-node", "(unknown-node)"),
        ("removed-group", "(removed-group)"),
        ("wrong-role", "(role)"),
        ("roots-order", "(roots-order)"),
        ("id-on-barrier", "(id-on-barrier)"),
        ("unknown-pipe", "(unknown-pipe)"),
        ("flag-pipes", "(flag-pipes)"),
        ("carrier-no-loop", "carried by n8, which is no loop end (carrier)"),
        ("flag-bits", "s0 has the flags 0x40, which mean nothing (group-flag)"),
        ("tail-pair", "marked as the tail barrier, but is a pair (group-flag)"),
        ("tail-of-one-pipe", "marked as the tail barrier, but is one of V (group-flag)"),
        ("synthetic-forward", "marked as synthetic, but is no carried pair (group-flag)"),
        ("demoted-pair", "marked as demoted, but still is a pair (group-flag)"),
        ("half-pair", "s0 has no wait (half-pair)"),
        ("unplaced-barrier", "(unplaced-barrier)"),
        ("unknown-root", "s0 is for b900, but there are"),
        ("root-twice", "s0 lists b1 behind b1 (roots)"),
        ("id-too-high", "s0 has event id 8; the target has 0 to 7 (event-id)"),
        ("carried-without-scope", "s0 is carried and has an event id, but no scope (scope)"),
        ("forward-with-scope", "s0 has a scope, but no loop carries it (scope)"),
        ("scope-without-id", "s0 has a scope, but no id (scope)"),
        ("unknown-scope", "s0 has the scope 9, which there is not (scope)"),
    ];
    breaks(&[], "pass::malformed-plan", &cases);
}

#[test]
fn each_rule_of_columns_is_checked() {
    let cases = [
        ("host-column", "(column-id)"),
        ("column-length", "(column-length)"),
        ("column-stride", "(column-stride)"),
        ("address-op", "(address-op)"),
        ("address-twice", "o0 gets two addresses (address-twice)"),
        ("address-reserved", "(address-reserved)"),
        ("module-edits", "(module-scope)"),
    ];
    breaks(&[], "pass::malformed-reply", &cases);
    let cases = [
        ("half-hazards", "no column `hazards.overlaps/1` was provided (column)"),
        ("hazard-rows", "(hazard-rows)"),
        ("hazard-runs", "(hazard-runs)"),
        ("hazard-region", "r900 is among the overlaps of r0; there are"),
        ("hazard-flag", "has flags 0x6 (hazard-flag)"),
        ("hazard-symmetry", "r0 overlaps r1, but r1 does not overlap r0 (hazard-symmetry)"),
        ("late-set", "the set of s9 was moved late, but there are 0 groups (late-set)"),
    ];
    breaks(&[], "pass::malformed-artifact", &cases);
}

#[test]
fn a_change_that_is_not_declared_names_the_artifact() {
    let said = |artifact: &str| format!("it changed the artifact `{artifact}` of function `double_rows`");
    let cases = [
        ("changes-pairs", "sync-groups"),
        ("changes-barriers", "barriers"),
        ("changes-synthetic", "synthetic-pairs"),
        ("changes-ids", "event-ids"),
        ("changes-order", "id-order"),
        ("changes-scopes", "id-scopes"),
        ("demotes", "barriers"),
    ];
    for (pass, artifact) in cases {
        breaks(&[], "pass::contract", &[(pass, &said(artifact))]);
    }
    breaks(&["adds-pair"], "pass::contract", &[("changes-lists", &said("list-order"))]);
    let late =
        "it wrote the column `event-ids.moved-late/1` of the artifact `late-sets`, which it does not declare";
    breaks(&[], "pass::contract", &[("writes-column", late)]);
    breaks(
        &[],
        "pass::contract",
        &[("writes-text", "it wrote the artifact `text`, which it does not declare")],
    );
}

#[test]
fn a_write_into_what_is_lent_is_seen() {
    let cases = [
        ("scribbles-kernel", "it wrote into the column `kernel.nodes/1` of the artifact `kernel`"),
        ("scribbles-hazards", "it wrote into the column `hazards.rows/1` of the artifact `hazards`"),
        ("scribbles-module", "it wrote into the column `module.ops/1` of the artifact `module`"),
        ("scribbles-target", "it wrote into the column `target.pipes/1` of the artifact `target`"),
    ];
    breaks(&["hazard-analysis"], "pass::stray-write", &cases);
    for (pass, what) in cases {
        let sandbox = sandbox(&stages(&["hazard-analysis", pass]));
        let text = sandbox.refused(COMPILE.iter().copied().chain(["--emit", "plan", "--paranoid"]));
        assert!(text.contains("pass::stray-write") && text.contains(what), "{pass}: {text}");
    }
}

#[test]
fn copies_make_no_difference_to_who_only_reads() {
    let sandbox = sandbox("");
    let plain = sandbox.run(["compile", "k.pto"]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    assert_eq!(sandbox.run(["compile", "k.pto", "--paranoid"]).stdout, plain.stdout);
}

// Older plugins.

/// Plugins of ABI 1.1 had no names for some artifacts, and nothing held them to what they declared.
#[test]
fn a_plugin_without_contract_is_lent_everything_and_may_change_plans() {
    let (own, older) = (format!("\nabi {ABI_VERSION_TEXT}\n"), "\nabi 1.1\n");
    let library = std::fs::read(plugin("contracts", "0.1.0", "contracts.rs")).unwrap();
    let at = library.windows(own.len()).position(|bytes| bytes == own.as_bytes()).expect("the manifest");
    let library = [&library[..at], older.as_bytes(), &library[at + own.len()..]].concat();
    let run = |passes: &[&str], more: &[&str]| {
        let sandbox = sandbox(&stages(passes));
        sandbox.write("older/libcontracts.so", &library);
        std::fs::remove_file(sandbox.path("plugins").join(library_file("contracts_0_1_0"))).unwrap();
        let paths = ["--plugin-path", "older", "--plugin-path", "plugins"];
        sandbox.run(
            ["compile", "k.pto", "--pipeline", "p.toml"].into_iter().chain(paths).chain(more.iter().copied()),
        )
    };
    let listed = run(&["hazard-analysis", "sync-insertion", "lists-for-functions"], &[]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    for id in ["module.ops/1", "target.pipes/1", "kernel.nodes/1", "plan.groups/1", "hazards.rows/1"] {
        assert!(listed.stdout.lines().any(|line| line == id), "{id} is not lent: {}", listed.stdout);
    }
    let changes = run(&["changes-pairs"], &["--emit", "plan"]);
    assert!(changes.code == Some(0) && changes.stdout.contains("set s0 MTE2>V"), "{}", changes.stderr);
    // What it writes has the names that it did not know: later stages find them.
    let allocates = run(&["changes-scopes", "backward-match"], &["--emit", "plan"]);
    assert!(allocates.code == Some(0) && allocates.stdout.contains("synthetic"), "{}", allocates.stderr);
    // What it leaves is checked all the same.
    assert!(run(&["flag-bits"], &["--emit", "plan"]).stderr.contains("(group-flag)"));
    assert!(run(&["scribbles-kernel"], &["--emit", "plan"]).stderr.contains("pass::stray-write"));
    // Nobody knows from what it declares that it changes the plan, but it is seen when it does.
    let late = run(&["a3-codegen", "changes-late"], &[]);
    assert!(late.code == Some(1) && late.stderr.contains("pass::stale"), "{}", late.stderr);
    let late = run(&["hazard-analysis", "sync-insertion", "plans-late"], &["--emit", "plan"]);
    let what = "it plans memory after stages that worked on `double_rows` as it was before";
    assert!(late.code == Some(1) && late.stderr.contains(what), "{}", late.stderr);
}

// The pages.

/// What our passes read and write is what their page says.
#[test]
fn the_page_of_passes_has_what_they_declare() {
    let sandbox = Sandbox::default();
    let page = std::fs::read_to_string(workspace().join("plugins/README.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .map(|line| line.split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells.len() == 5 && cells[1].starts_with('`'))
        .collect();
    assert!(rows.len() > 9, "the table is there");
    for cells in rows {
        for name in cells[1].split(", ").map(|name| name.trim_matches('`')) {
            let shown = sandbox.run(["passes", name]).stdout;
            let declared = |key: &str| {
                let line = shown.lines().find_map(|line| line.trim().strip_prefix(key)).expect("the line");
                let names = line.trim().split(", ").filter(|name| *name != "kernel" && *name != "-");
                let quote = |name: &str| match name.strip_suffix('?') {
                    Some(name) => format!("`{name}`?"),
                    None => format!("`{name}`"),
                };
                names.map(quote).collect::<Vec<_>>().join(", ")
            };
            assert_eq!((declared("reads"), declared("writes")), (cells[2].into(), cells[3].into()), "{name}");
        }
    }
}

/// The table of artifacts in the page is the one of the program.
#[test]
fn the_page_has_all_artifacts() {
    let page = std::fs::read_to_string(workspace().join("docs/pipeline-file.md")).unwrap();
    for artifact in &ARTIFACTS {
        let spoils = match artifact.spoils {
            Spoils::All => "all that stages wrote".to_owned(),
            Spoils::These(names) => {
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            }
        };
        let again = match artifact.again {
            _ if artifact.origin == Origin::Given => "",
            Again::Adds => "adds",
            Again::Replaces => "replaces",
            Again::Never => "error",
        };
        let columns: Vec<_> = artifact.columns.iter().map(|column| format!("`{column}`")).collect();
        let row = format!(
            "| `{}` | {} | {} | {} | {} |",
            artifact.name,
            artifact.meaning,
            columns.join(", "),
            spoils,
            again
        );
        assert!(page.contains(&row), "docs/pipeline-file.md lacks the row\n{row}");
    }
}
