//! The model against results of the reference that are known by heart: they keep the model honest.

use pipewright_abi::kernel::KernelData;
use pipewright_abi::testing::{KernelBuilder, target};
use pipewright_model::{Choices, Model};

fn run(kernel: &KernelData, choices: Choices) -> String {
    let target = target();
    let mut model = Model::new(kernel, &target, choices);
    model.insert();
    model.motion();
    model.remove();
    model.allocate();
    model.finish();
    model.statements()
}

#[test]
fn straight_line() {
    let mut k = KernelBuilder::new();
    let (p, q) = (k.parameter(0), k.parameter(1));
    let t: Vec<_> = (0..4).map(|i| k.tile(i)).collect();
    k.instr("MTE2", &[p], &[t[0]]);
    k.instr("MTE2", &[p], &[t[1]]);
    k.instr("V", &[t[0], t[1]], &[t[2]]);
    k.instr("V", &[t[2]], &[t[2]]);
    k.instr("MTE3", &[t[2]], &[q]);
    k.instr("MTE2", &[p], &[t[0]]);
    k.instr("V", &[t[0]], &[t[3]]);
    k.instr("MTE3", &[t[3]], &[q]);
    let expected = "0; 1; set MTE2>V #0; wait MTE2>V #0; 2; set V>MTE2 #0; barrier V; 3; set V>MTE3 #0; \
        wait V>MTE3 #0; 4; wait V>MTE2 #0; 5; set MTE2>V #1; wait MTE2>V #1; 6; set V>MTE3 #1; \
        wait V>MTE3 #1; barrier MTE3; 7";
    assert_eq!(run(&k.finish(), Choices::default()), expected);
}

#[test]
fn loop_with_a_branch() {
    let mut k = KernelBuilder::new();
    let (p, q) = (k.parameter(0), k.parameter(1));
    let t: Vec<_> = (0..4).map(|i| k.tile(i)).collect();
    k.instr("MTE2", &[p], &[t[0]]);
    k.repeat(|k| {
        k.instr("MTE2", &[p], &[t[1]]);
        k.branch(
            |k| {
                k.instr("V", &[t[0], t[1]], &[t[2]]);
                k.instr("MTE3", &[t[2]], &[q]);
            },
            |k| _ = k.instr("V", &[t[1]], &[t[3]]),
        );
        k.instr("V", &[t[3]], &[t[1]]);
    });
    k.instr("MTE3", &[t[3]], &[q]);
    let expected = "set V>MTE2 #0; set MTE3>V #0; 0; 1; wait V>MTE2 #0; 2; set MTE2>V #0; wait MTE2>V #0; 3; \
        wait MTE3>V #0; 4; set V>MTE3 #0; wait V>MTE3 #0; 5; set MTE3>V #0; 6; 7; 8; 9; 10; barrier V; 11; \
        set V>MTE2 #0; 12; set V>MTE3 #1; barrier MTE3; wait V>MTE3 #1; 13; wait V>MTE2 #0; wait MTE3>V #0";
    assert_eq!(run(&k.finish(), Choices::default()), expected);
}

/// Entries of one key, node numbers of the listed nodes kept.
fn of_key(text: &str, key: &str) -> String {
    let keep = |s: &&str| s.contains(key);
    text.split("; ")
        .filter(keep)
        .map(|s| s.replace(key, "").replace("  #", " "))
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn more_carried_pairs_than_ids() {
    let mut k = KernelBuilder::new();
    let p = k.parameter(0);
    let t: Vec<_> = (0..12).map(|i| k.tile(i)).collect();
    for (from, to) in [(0..5, 10), (5..10, 11)] {
        k.repeat(|k| {
            from.clone().for_each(|i| _ = k.instr("MTE2", &[p], &[t[i]]));
            from.for_each(|i| _ = k.instr("V", &[t[i]], &[t[to]]));
        });
    }
    k.instr("MTE2", &[p], &[t[9]]);
    let kernel = k.finish();
    let front = run(&kernel, Choices::default());
    let back = run(&kernel, Choices { push_front: false, ..Choices::default() });
    assert_eq!(
        of_key(&front, "V>MTE2"),
        "set 0; set 1; set 4; set 3; set 2; wait 0; wait 1; wait 2; wait 3; wait 4; \
         set 0; set 1; set 2; set 3; set 4; wait 2; wait 3; wait 4; wait 1; wait 0; \
         set 0; set 1; set 7; set 6; set 5; wait 5; wait 6; wait 7; wait 0; wait 1; \
         set 5; set 6; set 7; set 0; set 1; wait 5; wait 6; wait 7; wait 1; wait 0; set 0; wait 0"
    );
    assert_eq!(
        of_key(&back, "V>MTE2"),
        "set 0; set 1; set 2; set 3; set 4; wait 0; wait 1; wait 2; wait 3; wait 4; \
         set 0; set 1; set 2; set 3; set 4; wait 0; wait 1; wait 2; wait 3; wait 4; \
         set 0; set 1; set 5; set 6; set 7; wait 5; wait 6; wait 7; wait 0; wait 1; \
         set 5; set 6; set 7; set 0; set 1; set 0; wait 0; wait 1; wait 5; wait 6; wait 7; wait 0"
    );
}

#[test]
fn a_lost_order() {
    let mut k = KernelBuilder::new();
    let (p, q) = (k.parameter(0), k.parameter(1));
    let t: Vec<_> = (0..5).map(|i| k.tile(i)).collect();
    k.instr("MTE2", &[p], &[t[1]]);
    k.instr("V", &[t[2]], &[t[3]]);
    k.repeat(|k| {
        k.instr("V", &[t[1]], &[t[4]]);
        k.instr("MTE3", &[t[4]], &[q]);
    });
    k.instr("MTE3", &[t[3]], &[p]);
    let kernel = k.finish();
    let expected = "set MTE3>V #0; 0; set MTE2>V #0; 1; set V>MTE3 #1; wait MTE2>V #0; 2; wait MTE3>V #0; 3; \
        set V>MTE3 #0; wait V>MTE3 #0; 4; set MTE3>V #0; 5; wait V>MTE3 #1; 6; wait MTE3>V #0";
    assert_eq!(run(&kernel, Choices::default()), expected);
    let repaired = run(&kernel, Choices { keep_loop_history: false, ..Choices::default() });
    assert!(repaired.contains("set MTE2>MTE3") && repaired.contains("wait MTE2>MTE3"), "{repaired}");
}
