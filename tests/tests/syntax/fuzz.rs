//! Inputs that nobody would write: noise, and kernels with mistakes in them. Whatever comes, it ends in a module or in
//! diagnostics with spans, and a module that was read can be printed, formatted, simplified and lowered.

use std::path::PathBuf;

use pipewright::lower::{self, Addresses};
use pipewright::syntax;
use pipewright_tests::{corpus, files_below, workspace};

use crate::TARGET;
use crate::round_trip::round_trips;

/// Bytes of input for each test.
const BYTES: usize = 12_000_000;

/// The environment variable with another seed, for longer runs than that of every day.
const SEED_VARIABLE: &str = "PIPEWRIGHT_FUZZ_SEED";

/// A small generator of numbers (xorshift), so that a run can be repeated.
struct Numbers(u64);

impl Numbers {
    /// The generator of a test, which begins with `seed` or with what the environment says.
    fn starting_at(seed: u64) -> Self {
        match std::env::var(SEED_VARIABLE) {
            Ok(text) => Self(seed ^ text.parse::<u64>().expect("the seed is a number").rotate_left(32)),
            Err(_) => Self(seed),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }
}

/// Reads a text and does with it what can be done.
fn survives(text: &str) -> bool {
    let mut module = match syntax::parse(text, &TARGET) {
        Ok(module) => module,
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty());
            for diagnostic in diagnostics {
                let span = diagnostic.labels.first().expect("a diagnostic has a place").span;
                assert!(span.start <= span.end && span.end as usize <= text.len(), "{diagnostic:?}");
                assert!(text.is_char_boundary(span.start as usize), "{diagnostic:?}");
            }
            return false;
        }
    };
    if let Err(why) = round_trips(text) {
        panic!("{why}\n---- of\n{text}");
    }
    lower::simplify(&mut module, &TARGET);
    for function in module.view().functions() {
        for addresses in [Addresses::Required, Addresses::Planned] {
            // Errors are fine.
            let _ = lower::lower(&module, &TARGET, function, addresses);
        }
    }
    true
}

#[test]
fn noise_is_refused() {
    let mut numbers = Numbers::starting_at(0x9e37_79b9_7f4a_7c15);
    let words = [
        "%a",
        "%a:2",
        "%b#1",
        "=",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "<",
        ">",
        "->",
        ",",
        ":",
        "\"",
        "\"x\"",
        "//",
        "\n",
        "module",
        "func.func",
        "@f",
        "scf.for",
        "scf.if",
        "else",
        "pto.tload",
        "ins",
        "outs",
        "arith.constant",
        "0",
        "1.5",
        "i32",
        "index",
        "!pto.ptr",
        "#pto.pipe",
        "^bb0",
        "return",
        "to",
        "step",
        "iter_args",
        "attributes",
        "\\",
        "é",
        "\u{0}",
        "0x",
        "-",
        "loc",
        "?x",
        "!",
        "#",
        "array<i32:",
        "dense<",
    ];
    let mut bytes = 0;
    while bytes < BYTES / 4 {
        let mut text = String::new();
        let noise = numbers.below(3) == 0;
        for _ in 0..numbers.below(300) {
            if noise {
                text.push(char::from_u32(numbers.below(0x300) as u32).unwrap_or('?'));
            } else {
                text.push_str(words[numbers.below(words.len())]);
                text.push_str(["", " "][numbers.below(2)]);
            }
        }
        bytes += text.len();
        survives(&text);
    }
}

#[test]
fn mutated_kernels_survive() {
    let mut kernels = files_below(&workspace().join("examples"), ".pto");
    kernels.extend(files_below(&workspace().join("tests/kernels"), ".pto"));
    survive_mutated(&kernels);
}

#[test]
#[cfg_attr(not(corpus), ignore = "PIPEWRIGHT_CORPUS is not set")]
fn mutated_kernels_of_the_corpus_survive() {
    survive_mutated(&files_below(&corpus(), ".pto"));
}

fn survive_mutated(kernels: &[PathBuf]) {
    let kernels: Vec<Vec<u8>> = kernels.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut numbers = Numbers::starting_at(0x2545_f491_4f6c_dd1d);
    let (mut bytes, mut read) = (0, 0);
    while bytes < BYTES {
        let mut text = kernels[numbers.below(kernels.len())].clone();
        let other = &kernels[numbers.below(kernels.len())];
        for _ in 0..1 + numbers.below(4) {
            mutate(&mut text, other, &mut numbers);
        }
        let text = String::from_utf8_lossy(&text);
        bytes += text.len();
        read += usize::from(survives(&text));
    }
    // Some mistakes are none: a changed number, a line that is gone.
    assert!(read > 0, "every mutation was refused");
}

/// Attributes and types that nobody knows, with anything in their brackets: what is read means the same when it is
/// printed.
#[test]
fn unknown_attributes_and_types_survive() {
    let mut numbers = Numbers::starting_at(0x1405_7b7e_f767_814f);
    let names = ["pto", "pto.", "pto.cmp", "pto.a.b", "pto.a-b", "arith.fastmath", "x", "x.y", "pto.ptr"];
    let more = ["pto.tile_buf", "pto.tensor_view", "memref", "dense", "array", "loc", "affine_map", ""];
    let (mut bytes, mut read) = (0, 0);
    while bytes < BYTES / 8 {
        let mut lines = String::from("module attributes {m.m = 1} {\n");
        let name = |numbers: &mut Numbers| {
            let all = names.len() + more.len();
            let at = numbers.below(all);
            names.get(at).or_else(|| more.get(at - names.len())).copied().unwrap_or_default()
        };
        let mut body = String::new();
        inside(&mut body, &mut numbers, 3);
        lines += match numbers.below(4) {
            0 => format!(
                "func.func private @f({}{}<{body}>)\n",
                ["!", ""][numbers.below(2)],
                name(&mut numbers)
            ),
            1 => format!("\"a.b\"() {{k = {}<{body}>, l = <{body}>}} : () -> ()\n", name(&mut numbers)),
            2 => format!("\"a.b\"() {{k = !{}<{body}>}} : () -> ()\n", name(&mut numbers)),
            _ => format!("\"a.b\"() {{k = #{}<{body}>}} : () -> ()\n", name(&mut numbers)),
        }
        .as_str();
        lines += "}\n";
        bytes += lines.len();
        read += usize::from(survives(&lines));
    }
    assert!(read > 1000, "only {read} were read");
}

/// Tokens with brackets that are closed, as they may stand inside of angle brackets.
fn inside(out: &mut String, numbers: &mut Numbers, depth: usize) {
    let words = [
        "w",
        "cmp",
        "eq",
        "it_cmp",
        "vec",
        "16x16xf32",
        "f32",
        "i32",
        "valid",
        "?",
        "1",
        "-1",
        "0x1F",
        "1.5",
        "é",
        ",",
        ", ",
        ":",
        "::",
        "=",
        "->",
        "-",
        ">",
        " ",
        " ",
        " ",
        ".",
        "$",
        "\"s\"",
        "\"\\22>\"",
        "#pto",
        "#x.y",
        "!t",
        "!pto.ptr",
        "@f",
        "%v",
        "%v#1",
        "^b",
        "/",
        "|",
        "*",
        "+",
        "// note\n",
        "\n",
        "_",
    ];
    for _ in 0..numbers.below(7) {
        if depth > 0 && numbers.below(8) == 0 {
            let (open, close) = [("<", ">"), ("(", ")"), ("[", "]"), ("{", "}")][numbers.below(4)];
            out.push_str(open);
            inside(out, numbers, depth - 1);
            out.push_str(close);
        } else {
            out.push_str(words[numbers.below(words.len())]);
        }
    }
}

/// Makes one mistake.
fn mutate(text: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    if text.is_empty() {
        return;
    }
    let at = numbers.below(text.len());
    let end = (at + 1 + numbers.below(40)).min(text.len());
    let lines = |text: &[u8], at: usize| {
        let start = text[..at].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
        let end = text[at..].iter().position(|&b| b == b'\n').map_or(text.len(), |n| at + n + 1);
        start..end
    };
    match numbers.below(10) {
        0 => text[at] = numbers.below(256) as u8,
        1 => text[at] = b"(){}[]<>%,:=\"@#!0 \n/"[numbers.below(20)],
        2 => _ = text.drain(at..end),
        3 => _ = text.drain(lines(text, at)),
        4 => text.truncate(at),
        5 => {
            let copy = text[at..end].to_vec();
            let to = numbers.below(text.len());
            text.splice(to..to, copy);
        }
        6 => {
            let line = text[lines(text, at)].to_vec();
            let to = lines(text, numbers.below(text.len())).start;
            text.splice(to..to, line);
        }
        7 => {
            let from = numbers.below(other.len());
            let piece = other[from..(from + numbers.below(60)).min(other.len())].to_vec();
            text.splice(at..at, piece);
        }
        8 => {
            // A number of another size.
            if let Some(digit) = text[at..].iter().position(u8::is_ascii_digit) {
                let number =
                    ["0", "-1", "99999999999999999999", "9223372036854775807", "?"][numbers.below(5)];
                text.splice(at + digit..=at + digit, number.bytes());
            }
        }
        _ => {
            // A name in another's place.
            let name = |text: &[u8], from: usize| {
                let start = from + text[from..].iter().position(|&b| b == b'%')?;
                let len =
                    text[start + 1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
                Some(start..start + 1 + len)
            };
            let from = numbers.below(text.len());
            if let (Some(source), Some(place)) = (name(text, from), name(text, at)) {
                let name = text[source].to_vec();
                text.splice(place, name);
            }
        }
    }
}

#[test]
fn nesting_is_limited() {
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let constant = "func.func @f(%c: i1) {\n";
    let cases = [
        format!("{constant}{}\nreturn }}", deep("scf.if %c {\n", "}\n", 100_000)),
        format!("module attributes {{a = {}}} {{}}", deep("[", "]", 100_000)),
        format!("module attributes {{a = {}}} {{}}", deep("{b = ", "}", 100_000)),
        format!("module attributes {{a = {}}} {{}}", deep("#x<", ">", 100_000)),
        format!("func.func @f(%a: {}) {{ return }}", deep("(", ") -> i32", 100_000)),
        format!("func.func @f(%a: {}) {{ return }}", deep("!pto.ptr<", ">", 100_000)),
        format!("func.func @f(%a: {}f32) {{ return }}", "() -> ".repeat(100_000)),
        format!("func.func @f{}", "(".repeat(1_000_000)),
        format!("{constant}pto.foo {}", "(".repeat(1_000_000)),
        format!("{constant}pto.foo {}", "a(".repeat(100_000)),
        format!("{constant}pto.foo {}", "[".repeat(1_000_000)),
        format!("{constant}pto.foo {}", "{a = ".repeat(100_000)),
        "<".repeat(1_000_000),
        "{".repeat(1_000_000),
        deep("module {\n", "}\n", 100_000),
        deep("\"a.b\"() ({\n", "\n}) : () -> ()", 100_000),
    ];
    for text in cases {
        // On a thread with the stack that threads have.
        let (head, answer) =
            std::thread::spawn(move || (text[..60].to_owned(), survives(&text))).join().unwrap();
        assert!(!answer || head.contains("#x<"), "{head}");
    }
}

#[test]
fn nesting_up_to_the_limit_works() {
    let text =
        format!("func.func @f(%c: i1) {{\n{}{}return }}", "scf.if %c {\n".repeat(99), "}\n".repeat(99));
    assert!(std::thread::spawn(move || survives(&text)).join().unwrap());
}

#[test]
fn aliases_cannot_blow_up() {
    let mut types = "!a0 = (i32, i32) -> i32\n".to_owned();
    let mut attrs = "#a0 = [1, 2]\n".to_owned();
    let mut pointers = "!a0 = !pto.ptr<i32>\n".to_owned();
    for i in 1..5000 {
        let before = i - 1;
        types += &format!("!a{i} = (!a{before}, !a{before}) -> !a{before}\n");
        attrs += &format!("#a{i} = [#a{before}, #a{before}]\n");
        pointers += &format!("!a{i} = !pto.ptr<!a{before}>\n");
    }
    for text in [types, attrs, pointers] {
        assert!(!survives(&format!("{text}module {{}}")));
    }
}
