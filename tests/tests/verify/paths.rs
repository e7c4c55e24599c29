//! Conditions and computed ids: what experts write is right, and its wrong twins are found on a path that exists.
//!
//! The kernels carry their own flags. A vector tile `%a` is loaded, or work is done on it, in ways that only fit because
//! conditions do.

use std::collections::BTreeSet;

use pipewright::verify::{Grade, Render, Rule, Verdict};

use crate::kernels::{Pipeline, judged};

/// A kernel whose body is `body`; `%a` and `%b` are tiles.
fn kernel(body: &str) -> String {
    format!(
        "!tile = !pto.tile_buf<vec, 1x64xf32>
!view = !pto.partition_tensor_view<1x64xf32>
func.func @f(%from: !view, %list: !pto.ptr<i32>, %n: index, %m: index, %k: i32, %c: i1, %d: i1)
    attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
  %0 = arith.constant 0 : index
  %1 = arith.constant 1 : index
  %2 = arith.constant 2 : index
  %3 = arith.constant 3 : index
  %100 = arith.constant 100 : index
  %true = arith.constant true
  %at0 = arith.constant 0 : i64
  %at1 = arith.constant 256 : i64
  %a = pto.alloc_tile addr = %at0 : !tile
  %b = pto.alloc_tile addr = %at1 : !tile
{body}
  pto.barrier <PIPE_ALL>
  return
}}
"
    )
}

/// The body with the abbreviations of these tests written out.
fn written_out(body: &str) -> String {
    [
        ("LOAD A", "pto.tload ins(%from : !view) outs(%a : !tile)"),
        ("LOAD B", "pto.tload ins(%from : !view) outs(%b : !tile)"),
        ("WORK A", "pto.tabs ins(%a : !tile) outs(%a : !tile)"),
        ("WORK B", "pto.tabs ins(%b : !tile) outs(%b : !tile)"),
        ("SET", "pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]"),
        ("WAIT", "pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]"),
        ("FREE #", "pto.set_flag_dyn[<PIPE_V>, <PIPE_MTE2>, "),
        ("TAKE #", "pto.wait_flag_dyn[<PIPE_V>, <PIPE_MTE2>, "),
        ("FULL #", "pto.set_flag_dyn[<PIPE_MTE2>, <PIPE_V>, "),
        ("USE #", "pto.wait_flag_dyn[<PIPE_MTE2>, <PIPE_V>, "),
    ]
    .iter()
    .fold(body.to_owned(), |body, (short, long)| body.replace(short, long))
}

/// What is wrong with a kernel: rules with grades and assignments. And the rules that are not proved.
fn judge(body: &str) -> (Vec<(Rule, Grade, String)>, BTreeSet<Rule>) {
    let pipeline = Pipeline::load("a3-codegen-only");
    let text = kernel(&written_out(body));
    let planned = pipeline.plan(&text).unwrap_or_else(|| panic!("no kernel:\n{text}"));
    let mut all = judged(&planned);
    let (program, judgement) = all.pop().expect("a function");
    let render = Render { program, source: &text };
    let assigned = |f: &pipewright::verify::Finding| {
        let path = f.path.as_ref().filter(|_| !f.may_be);
        path.map_or("?".into(), |path| render.assigned(path))
    };
    let found = judgement.findings.iter().map(|f| (f.rule, f.grade, assigned(f))).collect();
    let open = judgement.verdicts.iter().filter(|(_, verdict)| *verdict != Verdict::Proved);
    (found, open.map(|(rule, _)| *rule).collect())
}

/// The kernel is right, and that is proved.
#[track_caller]
fn right(body: &str) {
    let (found, open) = judge(body);
    assert!(found.is_empty(), "{found:?}\n{body}");
    assert!(open.is_empty(), "not proved: {open:?}\n{body}");
}

/// The kernel breaks this rule with this assignment; all that is found is known to happen.
#[track_caller]
fn wrong(rule: Rule, with: &str, body: &str) {
    let (found, _) = judge(body);
    let wanted = (rule, Grade::Error, with.to_owned());
    assert!(found.contains(&wanted), "{wanted:?} is not among {found:?}\n{body}");
    let doubtful: Vec<_> = found.iter().filter(|(.., with)| with == "?").collect();
    assert!(doubtful.is_empty(), "{doubtful:?}\n{body}");
}

#[test]
fn one_condition_used_twice() {
    let twice = |first: &str, second: &str| {
        format!("scf.if {first} {{ LOAD A\n SET }}\n scf.if {second} {{ WAIT\n WORK A }}")
    };
    right(&twice("%c", "%c"));
    wrong(Rule::WaitBeforeSet, "c = false, d = true", &twice("%c", "%d"));
    wrong(Rule::UndrainedFlag, "c = true, d = false", &twice("%c", "%d"));
    right(&format!("%not = arith.xori %c, %true : i1\n {}", twice("%not", "%not")));
    wrong(
        Rule::WaitBeforeSet,
        "c = true",
        &format!("%not = arith.xori %c, %true : i1\n {}", twice("%not", "%c")),
    );
    let back = "%not = arith.xori %c, %true : i1\n %yes = arith.xori %not, %true : i1\n";
    right(&format!("{back} {}", twice("%yes", "%c")));
    let both = "%both = arith.andi %c, %d : i1\n %other = arith.select %c, %d, %c : i1\n";
    right(&format!("{both} {}", twice("%both", "%other")));
    wrong(Rule::WaitBeforeSet, "c = true, d = false", &format!("{both} {}", twice("%both", "%c")));
}

#[test]
fn the_else_part_is_the_opposite() {
    right("scf.if %c { LOAD A\n SET } else { LOAD A\n SET }\n WAIT\n WORK A");
    right("scf.if %c { LOAD A\n SET }\n scf.if %c { WAIT\n WORK A } else { LOAD A\n SET\n WAIT\n WORK A }");
    wrong(
        Rule::UndrainedFlag,
        "c = true",
        "scf.if %c { LOAD A\n SET }\n scf.if %c { } else { WAIT\n WORK A }",
    );
}

#[test]
fn comparisons_that_follow_from_one_another() {
    let twice = |a: &str, b: &str| {
        format!(
            "%x = arith.cmpi {a} : index\n %y = arith.cmpi {b} : index
             scf.if %x {{ LOAD A\n SET }}\n scf.if %y {{ WAIT\n WORK A }}"
        )
    };
    right(&twice("slt, %n, %m", "sgt, %m, %n"));
    right(&twice("sgt, %n, %100", "sgt, %n, %100"));
    right(&twice("eq, %n, %m", "eq, %m, %n"));
    right(&twice("ult, %n, %m", "ugt, %m, %n"));
    wrong(Rule::UndrainedFlag, "m = 1, n = 1", &twice("sge, %n, %1", "sgt, %n, %m"));
    wrong(Rule::WaitBeforeSet, "n = 101", &twice("slt, %n, %0", "sgt, %n, %100"));
    // What is less as a signed number can be larger as one without sign.
    wrong(Rule::UndrainedFlag, "n = -1", &twice("slt, %n, %0", "ult, %n, %0"));
}

#[test]
fn a_preload_if_there_is_a_trip() {
    let preload = |guard: &str| {
        format!(
            "%some = arith.cmpi {guard} : index\n scf.if %some {{ LOAD A\n SET }}
             scf.for %i = %0 to %n step %1 {{
               %first = arith.cmpi eq, %i, %0 : index
               scf.if %first {{ WAIT }}
               pto.barrier <PIPE_V>\n WORK A
             }}"
        )
    };
    right(&preload("sgt, %n, %0"));
    right(&preload("sge, %n, %1"));
    right(&preload("slt, %0, %n"));
    wrong(Rule::WaitBeforeSet, "n = 1", &preload("sgt, %n, %1"));
    wrong(Rule::UndrainedFlag, "n = 0", &preload("sge, %n, %0"));
    wrong(Rule::UndrainedFlag, "n = -1", &preload("ne, %n, %0"));
}

#[test]
fn no_wait_in_the_first_trip_and_no_set_in_the_last() {
    let carried = |first: &str, last: &str| {
        format!(
            "scf.for %i = %0 to %n step %1 {{
               %end = arith.subi %n, %1 : index\n %next = arith.addi %i, %1 : index
               %f = arith.cmpi {first} : index\n %l = arith.cmpi {last} : index
               scf.if %f {{ TAKE #%0] }}
               pto.barrier <PIPE_MTE2>\n LOAD A\n SET\n WAIT\n pto.barrier <PIPE_V>\n WORK A
               scf.if %l {{ FREE #%0] }}
             }}"
        )
    };
    right(&carried("ne, %i, %0", "ne, %i, %end"));
    right(&carried("sgt, %i, %0", "slt, %next, %n"));
    right(&carried("sge, %i, %1", "slt, %i, %end"));
    right(&carried("ugt, %i, %0", "ult, %next, %n"));
    // The set in the last trip, too; the wait in the first; both a trip late.
    wrong(Rule::UndrainedFlag, "n = 1", &carried("ne, %i, %0", "slt, %i, %n"));
    wrong(Rule::WaitBeforeSet, "n = 1", &carried("sge, %i, %0", "slt, %next, %n"));
    wrong(Rule::DoubleSet, "n = 3", &carried("sgt, %i, %1", "slt, %next, %n"));
    wrong(Rule::WaitBeforeSet, "n = 2", &carried("ne, %i, %0", "slt, %i, %0"));
}

#[test]
fn loops_with_the_same_bounds() {
    let two = |second: &str| {
        format!(
            "scf.for %i = %0 to %n step %1 {{
               %first = arith.cmpi eq, %i, %0 : index
               scf.if %first {{ LOAD A\n SET }}
             }}
             scf.for %j = %0 to {second} step %1 {{
               %next = arith.addi %j, %1 : index\n %last = arith.cmpi sge, %next, {second} : index
               scf.if %last {{ WAIT\n pto.barrier <PIPE_V>\n WORK A }}
             }}"
        )
    };
    right(&two("%n"));
    wrong(Rule::UndrainedFlag, "m = 0, n = 1", &two("%m"));
    let nested = |inner: &str| {
        format!("scf.for %o = %0 to %m step %1 {{\n {}\n pto.barrier <PIPE_ALL>\n }}", two(inner))
    };
    right(&nested("%n"));
    wrong(Rule::UndrainedFlag, "m = 1, n = 1", &nested("%0"));
}

#[test]
fn the_last_trip_of_a_larger_step() {
    let last = |guard: &str| {
        format!(
            "scf.for %i = %0 to %n step %2 {{
               %next = arith.addi %i, %2 : index\n %more = arith.cmpi {guard} : index
               %later = arith.cmpi sgt, %i, %0 : index
               scf.if %later {{ TAKE #%0] }}
               pto.barrier <PIPE_MTE2>\n LOAD A\n SET\n WAIT\n pto.barrier <PIPE_V>\n WORK A
               scf.if %more {{ FREE #%0] }}
             }}"
        )
    };
    let (found, _) = judge(&last("slt, %next, %n"));
    assert!(found.is_empty(), "{found:?}");
    wrong(Rule::UndrainedFlag, "n = 2", &last("sle, %next, %n"));
}

/// Two tiles in turn, each with the flag of its number.
fn ping_pong(freed: &str, worked: &str) -> String {
    format!(
        "FREE #%0]\n FREE #%1]
         scf.for %i = %0 to %n step %1 {{
           %p = arith.remui %i, %2 : index\n %q = arith.subi %1, %p : index
           %even = arith.cmpi eq, %p, %0 : index\n %odd = arith.cmpi ne, %p, %0 : index
           TAKE #%p]\n pto.barrier <PIPE_MTE2>
           scf.if %even {{ LOAD A }} else {{ LOAD B }}
           FULL #%p]\n USE #%p]\n pto.barrier <PIPE_V>
           scf.if {worked} {{ WORK A }} else {{ WORK B }}
           FREE #{freed}]
         }}
         TAKE #%0]\n TAKE #%1]"
    )
}

#[test]
fn a_flag_for_each_of_two_tiles() {
    right(&ping_pong("%p", "%even"));
    wrong(Rule::DoubleSet, "n = 1", &ping_pong("%q", "%even"));
    // Work on the tile that the next trip loads.
    wrong(Rule::DataRace, "n = 2", &ping_pong("%p", "%odd"));
}

#[test]
fn a_counter_that_a_loop_hands_on() {
    let ring = |wrap: &str, start: &str| {
        format!(
            "FREE #%0]\n FREE #%1]\n FREE #%2]
             %r = scf.for %i = %0 to %n step %1 iter_args(%s = {start}) -> (index) {{
               TAKE #%s]\n pto.barrier <PIPE_MTE2>\n LOAD A\n SET\n WAIT\n pto.barrier <PIPE_V>\n WORK A\n pto.barrier <PIPE_ALL>
               FREE #%s]
               %up = arith.addi %s, %1 : index\n %over = arith.cmpi eq, %up, {wrap} : index
               %t = arith.select %over, %0, %up : index
               scf.yield %t : index
             }}
             TAKE #%0]\n TAKE #%1]\n TAKE #%2]"
        )
    };
    let (found, _) = judge(&ring("%3", "%0"));
    assert!(found.is_empty(), "{found:?}");
    let four = ring("%four", "%0");
    wrong(Rule::WaitBeforeSet, "n = 4", &format!("%four = arith.constant 4 : index\n {four}"));
    wrong(Rule::WaitBeforeSet, "n = 1", &ring("%3", "%3"));
}

#[test]
fn a_truth_value_that_a_loop_turns_over() {
    let turns = |next: &str| {
        format!(
            "%false = arith.constant false
             %r = scf.for %i = %0 to %n step %1 iter_args(%odd = %false) -> (i1) {{
               scf.if %odd {{ WAIT\n pto.barrier <PIPE_V>\n WORK A }} else {{ pto.barrier <PIPE_ALL>\n LOAD A\n SET }}
               %turned = arith.xori %odd, %true : i1
               scf.yield {next} : i1
             }}
             scf.if %r {{ WAIT }}"
        )
    };
    right(&turns("%turned"));
    wrong(Rule::DoubleSet, "n = 2", &turns("%odd"));
}

#[test]
fn slots_without_a_prologue() {
    let slots = |first: &str, last: &str| {
        format!(
            "scf.for %i = %0 to %n step %1 {{
               %s = arith.remui %i, %2 : index\n %ahead = arith.addi %i, {last} : index
               %used = arith.cmpi sge, %i, {first} : index\n %again = arith.cmpi slt, %ahead, %n : index
               scf.if %used {{ TAKE #%s] }}
               pto.barrier <PIPE_MTE2>
               %even = arith.cmpi eq, %s, %0 : index
               scf.if %even {{ LOAD A }} else {{ LOAD B }}
               FULL #%s]\n USE #%s]\n pto.barrier <PIPE_V>
               scf.if %even {{ WORK A }} else {{ WORK B }}
               scf.if %again {{ FREE #%s] }}
             }}"
        )
    };
    let (found, _) = judge(&slots("%2", "%2"));
    assert!(found.is_empty(), "{found:?}");
    wrong(Rule::UndrainedFlag, "n = 2", &slots("%2", "%1"));
    wrong(Rule::WaitBeforeSet, "n = 2", &slots("%1", "%2"));
}

#[test]
fn what_is_read_in_a_trip_is_one_condition_in_that_trip() {
    let read = |first: &str, second: &str| {
        format!(
            "scf.for %i = %0 to %n step %1 {{
               %v = pto.load_scalar %list[%i] : !pto.ptr<i32> -> i32
               %yes = arith.cmpi eq, %v, %k : i32
               scf.if {first} {{ pto.barrier <PIPE_ALL>\n LOAD A\n SET }}
               scf.if {second} {{ WAIT\n pto.barrier <PIPE_V>\n WORK A }}
             }}"
        )
    };
    right(&read("%yes", "%yes"));
    let (found, _) = judge(&read("%yes", "%c"));
    assert!(
        found.iter().any(|(rule, grade, _)| (*rule, *grade) == (Rule::WaitBeforeSet, Grade::Error)),
        "{found:?}"
    );
}

#[test]
fn an_id_that_nobody_knows_is_any_one() {
    let body =
        "%v = pto.load_scalar %list[%n] : !pto.ptr<i32> -> i32\n %id = arith.index_cast %v : i32 to index
         %w = pto.load_scalar %list[%m] : !pto.ptr<i32> -> i32\n %other = arith.index_cast %w : i32 to index
         LOAD A\n FULL #%id]\n USE #ID]\n WORK A";
    let (found, open) = judge(&body.replace("ID", "%id"));
    assert!(found.is_empty(), "{found:?}");
    assert!(open.contains(&Rule::DataRace), "the id may be none that the target has: {open:?}");
    let (found, open) = judge(&body.replace("ID", "%other"));
    assert!(found.iter().all(|(_, grade, with)| (*grade, &**with) == (Grade::Warning, "?")), "{found:?}");
    assert!(found.iter().any(|(rule, ..)| *rule == Rule::DataRace), "{found:?}");
    assert!(open.contains(&Rule::DataRace) && open.contains(&Rule::WaitBeforeSet));
}
