//! Random programs over tiles without addresses: loops that carry tiles, branches that choose one, windows, partial
//! writes, a helper with tiles of its own.

use std::fmt::Write;

/// A tile in scope.
#[derive(Clone, Debug)]
struct Tile {
    name: String,
    rows: usize,
    /// A reshaped tile: windows of it would be of another shape.
    reshaped: bool,
}

impl Tile {
    fn ty(&self) -> String {
        if self.reshaped {
            format!("!pto.tile_buf<vec, {}x4xf32>", self.rows * 2)
        } else {
            format!("!pto.tile_buf<vec, {}x8xf32>", self.rows)
        }
    }
}

/// The program that the choices describe. Any choices do; fewer make a smaller program.
pub(crate) fn program(choices: &[u8]) -> String {
    let mut writer = Writer { choices, used: 0, names: 0, depth: 0, text: String::new(), may_call: false };
    let mut tiles = Vec::new();
    writer.text.push_str(
        "module {\n  func.func private @helper(%p: i1, %n: index, %f: f32, %x: !pto.tile_buf<vec, 4x8xf32>) {\n",
    );
    writer.constants();
    tiles.push(Tile { name: "%x".into(), rows: 4, reshaped: false });
    writer.statements(&mut tiles, 4);
    writer.text.push_str("    return\n  }\n  func.func @kernel(%p: i1, %n: index, %f: f32) {\n");
    writer.constants();
    writer.may_call = true;
    tiles.clear();
    writer.statements(&mut tiles, usize::MAX);
    writer.text.push_str("    return\n  }\n}\n");
    writer.text
}

struct Writer<'c> {
    choices: &'c [u8],
    used: usize,
    names: usize,
    depth: usize,
    text: String,
    may_call: bool,
}

impl Writer<'_> {
    fn constants(&mut self) {
        for n in 0..4 {
            let _ = writeln!(self.text, "    %c{n} = arith.constant {n} : index");
        }
    }

    /// A number below `end`; 0 when the choices are used up.
    fn choose(&mut self, end: usize) -> usize {
        let choice = self.choices.get(self.used).map_or(0, |&c| usize::from(c));
        self.used += 1;
        choice % end
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("%v{}", self.names)
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", 4 + 2 * self.depth);
    }

    fn pick(&mut self, tiles: &[Tile]) -> Tile {
        tiles[self.choose(tiles.len())].clone()
    }

    /// Statements until the choices are used up, `most` of them at most, or one says stop.
    fn statements(&mut self, tiles: &mut Vec<Tile>, most: usize) {
        if tiles.is_empty() {
            self.allocate(tiles);
        }
        let mut count = 0;
        while self.used < self.choices.len() && count < most {
            count += 1;
            match self.choose(16) {
                0 | 1 => self.allocate(tiles),
                2 => {
                    let tile = self.pick(tiles);
                    self.line(&format!("pto.texpands ins(%f : f32) outs({} : {})", tile.name, tile.ty()));
                }
                3..=6 => self.add(tiles),
                7 => self.insert(tiles),
                8 => self.window(tiles),
                9 => self.reshape(tiles),
                10 | 11 if self.depth < 3 => self.for_loop(tiles),
                12 if self.depth < 3 => self.while_loop(tiles),
                13 if self.depth < 3 => self.branch(tiles),
                14 if self.may_call => self.call(tiles),
                _ if self.depth > 0 => break,
                _ => self.add(tiles),
            }
        }
    }

    fn allocate(&mut self, tiles: &mut Vec<Tile>) {
        // Large ones make the space overflow, or nearly so.
        let rows = [1, 2, 4, 4, 8, 1024, 2048, 3000][self.choose(8)];
        let tile = Tile { name: self.fresh(), rows, reshaped: false };
        self.line(&format!("{} = pto.alloc_tile : {}", tile.name, tile.ty()));
        tiles.push(tile);
    }

    fn add(&mut self, tiles: &[Tile]) {
        let [a, b, c] = [self.pick(tiles), self.pick(tiles), self.pick(tiles)];
        let types = format!("{}, {}", a.ty(), b.ty());
        self.line(&format!("pto.tadd ins({}, {} : {types}) outs({} : {})", a.name, b.name, c.name, c.ty()));
    }

    fn insert(&mut self, tiles: &[Tile]) {
        let (a, b) = (self.pick(tiles), self.pick(tiles));
        let operands = format!("{}, %c0, %c0 : {}, index, index", a.name, a.ty());
        self.line(&format!("pto.tinsert ins({operands}) outs({} : {})", b.name, b.ty()));
    }

    fn window(&mut self, tiles: &mut Vec<Tile>) {
        let source = self.pick(tiles);
        if source.reshaped {
            return;
        }
        let start = self.choose(source.rows.min(4));
        let rows = 1 + self.choose(source.rows - start);
        let view = Tile { name: self.fresh(), rows, reshaped: false };
        let types = format!("{} -> {}", source.ty(), view.ty());
        self.line(&format!(
            "{} = pto.subview {}[%c{start}, %c0] sizes [{rows}, 8] : {types}",
            view.name, source.name
        ));
        tiles.push(view);
    }

    fn reshape(&mut self, tiles: &mut Vec<Tile>) {
        let source = self.pick(tiles);
        let view = Tile { name: self.fresh(), rows: source.rows, reshaped: !source.reshaped };
        self.line(&format!(
            "{} = pto.treshape {} : {} -> {}",
            view.name,
            source.name,
            source.ty(),
            view.ty()
        ));
        tiles.push(view);
    }

    /// The tile, or another of its type that is in scope.
    fn same_type(&mut self, tiles: &[Tile], tile: &Tile) -> Tile {
        let same: Vec<Tile> = tiles.iter().filter(|t| t.ty() == tile.ty()).cloned().collect();
        self.pick(&same)
    }

    fn body(&mut self, outer: &[Tile], more: &[Tile]) -> Vec<Tile> {
        self.depth += 1;
        let mut tiles = [more, outer].concat();
        self.statements(&mut tiles, 8);
        tiles
    }

    fn for_loop(&mut self, tiles: &mut Vec<Tile>) {
        let index = self.fresh();
        let count = self.choose(3);
        let inits: Vec<Tile> = (0..count).map(|_| self.pick(tiles)).collect();
        let named = |writer: &mut Self| -> Vec<Tile> {
            inits.iter().map(|t| Tile { name: writer.fresh(), ..t.clone() }).collect()
        };
        let (args, results) = (named(self), named(self));
        let types = inits.iter().map(Tile::ty).collect::<Vec<_>>().join(", ");
        let result = results.iter().map(|t| t.name.clone()).collect::<Vec<_>>().join(", ");
        let pairs: Vec<_> =
            args.iter().zip(&inits).map(|(a, i)| format!("{} = {}", a.name, i.name)).collect();
        if inits.is_empty() {
            self.line(&format!("scf.for {index} = %c0 to %n step %c1 {{"));
        } else {
            let pairs = pairs.join(", ");
            self.line(&format!(
                "{result} = scf.for {index} = %c0 to %n step %c1 iter_args({pairs}) -> ({types}) {{"
            ));
        }
        let inner = self.body(tiles, &args);
        if !inits.is_empty() {
            let yielded: Vec<_> = args.iter().map(|arg| self.same_type(&inner, arg).name).collect();
            self.line(&format!("scf.yield {} : {types}", yielded.join(", ")));
        }
        self.depth -= 1;
        self.line("}");
        tiles.extend(results);
    }

    fn while_loop(&mut self, tiles: &mut Vec<Tile>) {
        let init = self.pick(tiles);
        let [result, before, after] = [(); 3].map(|()| Tile { name: self.fresh(), ..init.clone() });
        let ty = init.ty();
        let names = format!("{} = scf.while ({} = {})", result.name, before.name, init.name);
        self.line(&format!("{names} : ({ty}) -> ({ty}) {{"));
        let inner = self.body(tiles, core::slice::from_ref(&before));
        let forwarded = self.same_type(&inner, &init).name;
        self.line(&format!("scf.condition(%p) {forwarded} : {ty}"));
        self.depth -= 1;
        self.line("} do {");
        self.line(&format!("^bb0({}: {ty}):", after.name));
        let inner = self.body(tiles, core::slice::from_ref(&after));
        let yielded = self.same_type(&inner, &init).name;
        self.line(&format!("scf.yield {yielded} : {ty}"));
        self.depth -= 1;
        self.line("}");
        tiles.push(result);
    }

    fn branch(&mut self, tiles: &mut Vec<Tile>) {
        let chosen = self.pick(tiles);
        let result = Tile { name: self.fresh(), ..chosen.clone() };
        self.line(&format!("{} = scf.if %p -> ({}) {{", result.name, chosen.ty()));
        for arm in 0..2 {
            let inner = self.body(tiles, &[]);
            let yielded = self.same_type(&inner, &chosen).name;
            self.line(&format!("scf.yield {yielded} : {}", chosen.ty()));
            self.depth -= 1;
            self.line(if arm == 0 { "} else {" } else { "}" });
        }
        tiles.push(result);
    }

    fn call(&mut self, tiles: &[Tile]) {
        let fits: Vec<Tile> = tiles.iter().filter(|t| t.rows == 4 && !t.reshaped).cloned().collect();
        if fits.is_empty() {
            return;
        }
        let tile = self.pick(&fits);
        let types = format!("(i1, index, f32, {}) -> ()", tile.ty());
        self.line(&format!("func.call @helper(%p, %n, %f, {}) : {types}", tile.name));
    }
}
