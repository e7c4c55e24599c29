//! Small random programs whose synchronization is right, nearly right or wrong.
//!
//! A program is made from a list of numbers, each of which decides one thing; missing ones are 0, which means "stop" or
//! "nothing". So a shorter list, or smaller numbers, is a simpler program, and a failing one shrinks.

use std::collections::BTreeSet;

use pipewright::verify::address::Bounds;
use pipewright::verify::memory::Memory;
use pipewright::verify::program::{
    Access, Binding, Builder, Choice, Core, Key, Program, Signal, Source, Trips,
};

/// Pipes of random programs; the first one is the scalar pipe.
pub(crate) const PIPES: [&str; 4] = ["S", "MTE2", "V", "MTE3"];

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Instruction {
        pipe: usize,
        accesses: Vec<Access>,
    },
    Set(Key),
    Wait(Key),
    Barrier(Option<usize>),
    Bind(Vec<Binding>),
    /// A call, with what it does inside itself.
    Call(Vec<Token>),
    Uses(Key),
    Publish(Signal),
    Loop {
        trips: Trips,
        has_head: bool,
    },
    Test,
    If,
    Else,
    End,
}

pub(crate) struct Genes<'a> {
    left: std::slice::Iter<'a, u16>,
}

impl<'a> Genes<'a> {
    pub(crate) fn new(genes: &'a [u16]) -> Self {
        Self { left: genes.iter() }
    }

    pub(crate) fn below(&mut self, n: u16) -> usize {
        usize::from(self.left.next().copied().unwrap_or(0) % n)
    }
}

/// What random programs are of the machine, beside the program.
pub(crate) struct Machine {
    /// The pipe that the core lacks, if it lacks one.
    pub(crate) lacks: Option<usize>,
    /// Bytes of the space of the rows.
    pub(crate) bytes: u64,
    /// What their addresses must be multiples of.
    pub(crate) align: u64,
}

/// The space of the rows.
pub(crate) const ROWS: u32 = 1;

/// The program that the numbers stand for.
pub(crate) fn program(genes: &[u16]) -> Program {
    with_machine(genes).0
}

/// The program with its machine: now and then one that lacks a pipe, has little memory, or rows at odd addresses.
pub(crate) fn with_machine(genes: &[u16]) -> (Program, Machine) {
    let mut genes = Genes::new(genes);
    let mut tokens = Vec::new();
    let mut budget = 3 + genes.below(6);
    block(&mut genes, &mut tokens, 0, &mut budget);
    if genes.below(4) == 1 {
        carry_tiles(&mut genes, &mut tokens);
    }
    match genes.below(8) {
        0..=3 => serialize(&mut genes, &mut tokens),
        4..=6 => pairs(&mut genes, &mut tokens),
        _ => {}
    }
    for _ in 0..genes.below(4) {
        carry(&mut genes, &mut tokens);
    }
    for _ in 0..genes.below(4) {
        mutate(&mut genes, &mut tokens);
    }
    if genes.below(3) > 0 {
        tokens.push(Token::Barrier(None));
    }
    let lacks = [None, None, Some(3), Some(2)][genes.below(4)];
    let bytes = [4096, 4096, 288, 160][genes.below(4)];
    let shift = [0, 0, 8, 16][genes.below(4)];
    let machine = Machine { lacks, bytes, align: 32 };
    (build(tokens, &machine, shift), machine)
}

fn block(genes: &mut Genes<'_>, tokens: &mut Vec<Token>, depth: usize, budget: &mut usize) {
    while *budget > 0 {
        match genes.below(10) {
            0 => return,
            7 if depth < 2 => {
                let trips = match genes.below(6) {
                    0 | 1 => Trips::UNKNOWN,
                    2 => Trips { min: 1, max: None },
                    n => Trips::exactly(n as u64 - 2),
                };
                let has_head = genes.below(5) == 1;
                tokens.push(Token::Loop { trips, has_head });
                if has_head {
                    instruction(genes, tokens);
                    tokens.push(Token::Test);
                }
                *budget -= 1;
                block(genes, tokens, depth + 1, budget);
                tokens.push(Token::End);
            }
            8 | 9 if depth < 2 => {
                tokens.push(Token::If);
                *budget -= 1;
                block(genes, tokens, depth + 1, budget);
                tokens.push(Token::Else);
                if genes.below(2) == 1 {
                    block(genes, tokens, depth + 1, budget);
                }
                tokens.push(Token::End);
            }
            5 | 6 => {
                call(genes, tokens);
                *budget -= 1;
            }
            _ => {
                instruction(genes, tokens);
                *budget -= 1;
            }
        }
    }
}

/// An instruction that uses flags, a copy by way of two pipes, or a signal.
fn call(genes: &mut Genes<'_>, tokens: &mut Vec<Token>) {
    let mut inside = Vec::new();
    match genes.below(5) {
        0 => {
            inside.extend((0..1 + genes.below(2)).map(|_| Token::Uses(key(genes))));
            instruction(genes, &mut inside);
        }
        1 | 2 => {
            let Key { src, dst, id } = key(genes);
            for (pipe, end) in [(src, dst), (dst, src)] {
                let accesses = (0..2).map(|_| Access::new(genes.below(6), genes.below(2) == 0)).collect();
                inside.push(Token::Instruction { pipe, accesses });
                let key = Key { src: pipe, dst: end, id };
                inside.extend([Token::Set(key), Token::Wait(key)]);
            }
            if genes.below(2) == 0 {
                inside.truncate(4);
            }
        }
        _ => {
            let drained = (0..PIPES.len()).filter(|_| genes.below(3) > 0).collect();
            inside.push(Token::Publish(Signal { pipe: genes.below(4), drained }));
        }
    }
    tokens.push(Token::Call(inside));
}

fn instruction(genes: &mut Genes<'_>, tokens: &mut Vec<Token>) {
    let pipe = [1, 2, 3, 1, 2, 3, 0][genes.below(7)];
    let accesses =
        (0..1 + genes.below(2)).map(|_| Access::new(genes.below(6), genes.below(2) == 0)).collect();
    tokens.push(Token::Instruction { pipe, accesses });
}

/// Two carried tiles: bound at the start, bound anew or exchanged at some places, and accessed by some instructions. The
/// buffer with number n is the memory with number n.
fn carry_tiles(genes: &mut Genes<'_>, tokens: &mut Vec<Token>) {
    const BUFFERS: u32 = 3;
    for token in tokens.iter_mut() {
        let Token::Instruction { accesses, .. } = token else { continue };
        if genes.below(2) == 0 {
            let (tile, write) = (genes.below(2), accesses[0].write);
            let access = |buffer| {
                let only = Some(Choice { tile, buffer });
                Access { memory: buffer as usize, write, only }
            };
            accesses.splice(..1, (0..BUFFERS).map(access));
        }
    }
    let source = |genes: &mut Genes<'_>, tile| match genes.below(5) {
        0 | 1 => Source::Tile(1 - tile),
        n => Source::Buffer(n as u32 - 2),
    };
    for _ in 0..genes.below(4) {
        let bindings = [0, 1].map(|tile| Binding { tile, source: source(genes, tile) });
        let at = genes.below(tokens.len() as u16 + 1);
        tokens.insert(at, Token::Bind(bindings[..1 + genes.below(2)].to_vec()));
    }
    let initial = [0, 1].map(|tile| Binding { tile, source: Source::Buffer(genes.below(3) as u32) });
    tokens.insert(0, Token::Bind(initial.to_vec()));
}

/// The pipes that work in a token.
fn works(token: &Token) -> impl Iterator<Item = usize> + '_ {
    let inside = if let Token::Call(inside) = token { &inside[..] } else { std::slice::from_ref(token) };
    inside.iter().filter_map(|token| match token {
        Token::Instruction { pipe, .. } => Some(*pipe),
        _ => None,
    })
}

/// After every instruction each other pipe (now and then not) waits for it, so that all is in order.
fn serialize(genes: &mut Genes<'_>, tokens: &mut Vec<Token>) {
    let ids = 1 + genes.below(2) as u32;
    let sparse = genes.below(2) == 1;
    let mut out = Vec::new();
    let mut id = 0;
    for token in tokens.drain(..) {
        let pipes: BTreeSet<usize> = works(&token).collect();
        out.push(token);
        for src in pipes {
            for dst in (0..PIPES.len()).filter(|&d| d != src) {
                if sparse && genes.below(3) == 0 {
                    continue;
                }
                let key = Key { src, dst, id: id % ids };
                out.extend([Token::Set(key), Token::Wait(key)]);
                // Only when the other pipe answers is it known that the flag is down.
                if genes.below(4) > 0 {
                    let back = Key { src: dst, dst: src, id: 5 };
                    out.extend([Token::Set(back), Token::Wait(back)]);
                }
                id += 1;
            }
            if src != 0 && genes.below(8) > 0 {
                out.push(Token::Barrier(Some(src)));
            }
        }
    }
    *tokens = out;
}

/// Some pairs, each with its set and its wait somewhere behind it; now and then a call uses the flag in between.
fn pairs(genes: &mut Genes<'_>, tokens: &mut Vec<Token>) {
    for _ in 0..2 + genes.below(6) {
        let at = genes.below(tokens.len() as u16 + 1);
        let to = at + genes.below((tokens.len() - at) as u16 + 1);
        let key = key(genes);
        tokens.insert(to, Token::Wait(key));
        if genes.below(6) == 1 {
            let uses = at + genes.below((to - at) as u16 + 2);
            tokens.insert(uses, Token::Call(vec![Token::Uses(key)]));
        }
        tokens.insert(at, Token::Set(key));
    }
}

/// A pair carried round some loop, with a head set and a tail wait; now and then without one of them.
fn carry(genes: &mut Genes<'_>, tokens: &mut Vec<Token>) {
    let begins: Vec<usize> = (0..tokens.len()).filter(|&i| matches!(tokens[i], Token::Loop { .. })).collect();
    if begins.is_empty() {
        return;
    }
    let begin = begins[genes.below(begins.len() as u16)];
    let mut depth = 0;
    let mut end = begin;
    for (i, token) in tokens.iter().enumerate().skip(begin) {
        match token {
            Token::Loop { .. } | Token::If => depth += 1,
            Token::End => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            end = i;
            break;
        }
    }
    let body = match tokens[begin + 1..end].iter().position(|t| *t == Token::Test) {
        Some(test) if matches!(tokens[begin], Token::Loop { has_head: true, .. }) => begin + 2 + test,
        _ => begin + 1,
    };
    let key = key(genes);
    let wait = body + genes.below((end - body) as u16 + 1);
    let mut edits = vec![(end + 1, Token::Wait(key)), (end, Token::Set(key)), (wait, Token::Wait(key))];
    edits.push((begin, Token::Set(key)));
    if genes.below(6) == 1 {
        edits.remove(genes.below(4));
    }
    for (at, token) in edits {
        tokens.insert(at, token);
    }
}

fn key(genes: &mut Genes<'_>) -> Key {
    let src = genes.below(4);
    let dst = (src + 1 + genes.below(3)) % 4;
    Key { src, dst, id: genes.below(3) as u32 }
}

/// One small change of the synchronization.
fn mutate(genes: &mut Genes<'_>, tokens: &mut Vec<Token>) {
    let is_sync = |t: &Token| matches!(t, Token::Set(_) | Token::Wait(_) | Token::Barrier(_));
    let places: Vec<usize> = (0..tokens.len()).filter(|&i| is_sync(&tokens[i])).collect();
    if places.is_empty() {
        return;
    }
    let at = places[genes.below(places.len() as u16)];
    match genes.below(6) {
        0 => {}
        1 => _ = tokens.remove(at),
        2 | 3 => {
            let token = tokens.remove(at);
            let to = (at + genes.below(9)).saturating_sub(4).min(tokens.len());
            tokens.insert(to, token);
        }
        4 => {
            let other = places[genes.below(places.len() as u16)];
            tokens.swap(at, other);
        }
        _ => {
            let id = genes.below(3) as u32;
            if let Token::Set(key) | Token::Wait(key) = &mut tokens[at] {
                key.id = id;
            }
        }
    }
}

/// Every other row is `shift` bytes behind its place.
fn build(tokens: Vec<Token>, machine: &Machine, shift: u64) -> Program {
    let &Machine { lacks, bytes, align } = machine;
    let mut b = Builder::new("random", &PIPES, Some(0));
    let rows = |address, rows, bytes| Memory::runs(ROWS, address, [rows, bytes, 64], false);
    let places = [(0, 1, 64), (64 + shift, 1, 64), (32, 1, 64), (128 + shift, 4, 32), (160, 4, 32)];
    for (address, count, bytes) in places {
        b.memory(rows(address, count, bytes).expect("bytes"), "");
    }
    b.bounds(vec![Bounds { space: ROWS, name: "vec".into(), bytes, align }]);
    let lacking = |lacks| (0..PIPES.len()).map(|pipe| pipe == lacks).collect();
    b.on_core(lacks.map(|lacks| (Core::Vector, lacking(lacks))));
    b.memory(Memory::Private { space: 2, root: 0, accumulator: true }, "");
    b.spaces(vec![2], Vec::new());
    add(&mut b, tokens);
    b.finish()
}

fn add(b: &mut Builder, tokens: Vec<Token>) {
    for token in tokens {
        match token {
            Token::Call(inside) => {
                b.open_call();
                add(b, inside);
                b.close_call();
            }
            Token::Uses(key) => _ = b.uses(key),
            Token::Publish(signal) => _ = b.publish(signal),
            Token::Instruction { pipe, accesses } => _ = b.instruction(pipe, &accesses),
            Token::Set(key) => _ = b.set(key),
            Token::Wait(key) => _ = b.wait(key),
            Token::Barrier(pipe) => _ = b.barrier(pipe),
            Token::Bind(bindings) => _ = b.bind(&bindings),
            Token::Loop { trips, has_head } => b.open_loop(trips, has_head),
            Token::Test => b.test(),
            Token::If => b.open_if(),
            Token::Else => b.middle(),
            Token::End => b.close(),
        }
    }
}
