//! Kernels that are written for another machine than the target: a warning, an assumption of what is proved, and an
//! error if they need what the target has not.

use pipewright_tests::sandbox::{KERNEL, Sandbox};

/// The kernel of the tests, written for `arch`.
fn kernel(arch: &str) -> String {
    assert_eq!(KERNEL.matches("pto.target_arch = \"a3\"").count(), 1);
    KERNEL.replace("pto.target_arch = \"a3\"", &format!("pto.target_arch = \"{arch}\""))
}

#[test]
fn another_machine_is_warned_of() {
    let sandbox = Sandbox::with(&[("k.pto", &kernel("a5"))]);
    let run = sandbox.run(["compile", "k.pto"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stderr);
    let cpp = run.stdout;
    for command in [&["verify", "k.pto"][..], &["simulate", "k.pto"]] {
        let again = sandbox.run(command.iter().copied());
        assert_eq!((again.code, &again.stderr), (Some(0), &run.stderr), "{command:?}");
    }
    for served in ["a3", "a2a3"] {
        sandbox.write("k.pto", kernel(served));
        let run = sandbox.run(["compile", "k.pto"]);
        assert_eq!((run.code, run.stderr, &run.stdout), (Some(0), String::new(), &cpp), "{served}");
    }
}

#[test]
fn what_is_proved_of_it_is_proved_under_an_assumption() {
    let sandbox = Sandbox::with(&[("k.pto", &kernel("a5"))]);
    let run = sandbox.run(["verify", "k.pto"]);
    let assumed = "a core of `a5`, for which the kernel is written, works like one of the target";
    assert!(run.stdout.contains(assumed), "{}", run.stdout);
    assert!(!run.stdout.lines().any(|line| line.trim_start().starts_with("proved:")), "{}", run.stdout);
    sandbox.write("k.pto", kernel("a3"));
    let run = sandbox.run(["verify", "k.pto"]);
    assert!(!run.stdout.contains("assum"), "{}", run.stdout);
}

#[test]
fn an_operation_that_the_target_refuses_is_an_error_for_every_command() {
    let ty = "!pto.tile_buf<loc=vec, dtype=f32, rows=1, cols=128, v_row=1, v_col=128, blayout=row_major, slayout=none_box, fractal=512, pad=0>";
    let line = format!("    pto.thistogram ins(%a, %a : {ty}, {ty}) outs(%b : {ty})\n");
    let text = kernel("a5");
    let at = text.rfind("    return").expect("the kernel returns");
    let sandbox = Sandbox::with(&[("k.pto", &format!("{}{line}{}", &text[..at], &text[at..]))]);
    let refusal = sandbox.refused(["compile", "k.pto", "-o", "k.cpp"]);
    insta::assert_snapshot!(refusal);
    for command in ["verify", "simulate"] {
        assert_eq!(sandbox.refused([command, "k.pto"]), refusal);
    }
}
