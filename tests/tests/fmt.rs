//! `pipewright fmt`: what it prints, writes and refuses.

use pipewright_tests::pipewright;
use pipewright_tests::sandbox::Sandbox;

const LOOSE: &str = "// kept\nfunc.func @f( %a:index ){\n\n\n%b=arith.addi %a,%a:index\n return }\n";
const CANONICAL: &str = "// kept\nfunc.func @f(%a: index) {\n  %b = arith.addi %a, %a : index\n  return\n}\n";

#[test]
fn a_kernel_is_printed_in_canonical_form() {
    let sandbox = Sandbox::with(&[("k.pto", LOOSE)]);
    let run = sandbox.run(["fmt", "k.pto"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), CANONICAL, ""));
    assert_eq!(sandbox.read("k.pto"), LOOSE, "without `-i` nothing is written");
    let run = sandbox.finish(pipewright().args(["fmt", "-"]), LOOSE);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), CANONICAL));
}

#[test]
fn kernels_are_written_in_place() {
    let sandbox = Sandbox::with(&[("a.pto", LOOSE), ("b.pto", CANONICAL), ("c.pto", "func.func @")]);
    let run = sandbox.run(["fmt", "--in-place", "a.pto", "b.pto", "c.pto"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("a function name (`@name`)"), "{}", run.stderr);
    assert_eq!([sandbox.read("a.pto"), sandbox.read("b.pto")], [CANONICAL, CANONICAL]);
    assert_eq!(sandbox.read("c.pto"), "func.func @", "what cannot be read is left alone");
}

#[test]
fn a_check_lists_what_is_not_canonical() {
    let sandbox = Sandbox::with(&[("a.pto", LOOSE), ("b.pto", CANONICAL)]);
    let run = sandbox.run(["fmt", "--check", "a.pto", "b.pto"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), "a.pto\n"));
    assert_eq!(sandbox.read("a.pto"), LOOSE);
    let run = sandbox.run(["fmt", "--check", "b.pto"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn several_kernels_are_not_printed_as_one() {
    let sandbox = Sandbox::with(&[("a.pto", LOOSE), ("b.pto", CANONICAL)]);
    assert_eq!(sandbox.run(["fmt", "a.pto", "b.pto"]).code, Some(2));
    assert_eq!(sandbox.run(["fmt", "--check", "-i", "a.pto"]).code, Some(2));
}
