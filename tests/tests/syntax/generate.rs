//! Random modules as text: a list of numbers decides what comes next, so that a failing case shrinks.

use std::fmt::Write as _;

/// The pretty text of a module.
pub(crate) fn module_text(choices: &[u16]) -> String {
    let mut generator =
        Generator { choices, at: 0, out: String::new(), values: Vec::new(), names: 0, depth: 0 };
    generator.module();
    generator.out
}

struct Generator<'c> {
    choices: &'c [u16],
    at: usize,
    out: String,
    /// Names and types of the values in scope.
    values: Vec<(String, String)>,
    names: usize,
    depth: usize,
}

const SCALARS: [&str; 4] = ["index", "i32", "i64", "f32"];

impl Generator<'_> {
    /// A number below `below`; 0 when the choices are used up.
    fn pick(&mut self, below: usize) -> usize {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(choice) % below
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.pick(of.len())]
    }

    fn is_done(&self) -> bool {
        self.at >= self.choices.len()
    }

    /// White space of any kind.
    fn space(&mut self) {
        let space = self.one_of(&[" ", " ", " ", "  ", "\n  ", " // note\n", "\t"]);
        self.out.push_str(space);
    }

    fn line(&mut self) {
        let line = self.one_of(&["\n", "\n", "\n", "\n\n", "\n\n\n", " // end\n", "\n// own\n", " "]);
        self.out.push_str(line);
    }

    fn write(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn name(&mut self) -> String {
        self.names += 1;
        let stem = self.one_of(&["v", "tile_", "a.b", "x-y", "_", "k$", ""]);
        format!("{stem}{}", self.names)
    }

    fn module(&mut self) {
        if self.pick(2) == 1 {
            self.write("#nd = #pto.layout<nd>\n!small = !pto.tile_buf<vec, 16x16xf16>\n");
        }
        self.write("module");
        if self.pick(2) == 1 {
            self.write(" attributes {");
            self.attrs();
            self.write("}");
        }
        self.write(" {\n");
        for function in 0..=self.pick(2) {
            self.function(function);
        }
        self.write("}\n");
    }

    fn function(&mut self, number: usize) {
        self.values.clear();
        let params = 1 + self.pick(4);
        let visibility = self.one_of(&["", "private ", "public "]);
        let _ = write!(self.out, "func.func {visibility}@f{number}(");
        for index in 0..params {
            let ty = self.one_of(&["!pto.ptr<f32>", "index", "i1", "i32", "f32"]).to_owned();
            let comma = if index > 0 { ", " } else { "" };
            let _ = write!(self.out, "{comma}%arg{index}: {ty}");
            if self.pick(6) == 5 {
                self.write(" {pto.note = 1 : i32}");
            }
            self.values.push((format!("arg{index}"), ty));
        }
        self.write(")");
        if self.pick(3) == 0 {
            self.write(" attributes {");
            self.attrs();
            self.write("}");
        }
        self.write(" {");
        self.line();
        self.statements();
        self.write("return");
        self.line();
        self.write("}\n");
    }

    fn statements(&mut self) {
        for _ in 0..1 + self.pick(8) {
            if self.is_done() {
                return;
            }
            self.statement();
            self.line();
        }
    }

    /// A value of the type, made on the spot if there is none or chance wants it.
    fn value(&mut self, ty: &str) -> String {
        let fitting: Vec<&String> = self.values.iter().filter(|(_, t)| t == ty).map(|(n, _)| n).collect();
        if !fitting.is_empty() && self.choices.get(self.at).is_none_or(|c| c % 3 > 0) {
            let names: Vec<String> = fitting.into_iter().cloned().collect();
            let index = self.pick(names.len());
            return names[index].clone();
        }
        self.at += 1;
        let name = self.name();
        let made = match ty {
            "f32" => format!("arith.constant {} : f32", self.float()),
            "i1" => format!("arith.constant {}", self.one_of(&["true", "false"])),
            "index" | "i32" | "i64" => {
                let number = self.one_of(&["0", "1", "16", "-3", "0x7F"]);
                format!("arith.constant {number} : {ty}")
            }
            _ if ty.starts_with("!pto.tile_buf") => format!("pto.alloc_tile : {ty}"),
            _ => format!("\"test.make\"() : () -> {ty}"),
        };
        let _ = write!(self.out, "%{name} = {made}");
        self.line();
        self.values.push((name.clone(), ty.to_owned()));
        name
    }

    fn float(&mut self) -> &'static str {
        self.one_of(&[
            "0.0",
            "1.5",
            "-2.25e-3",
            "3.4028235e+38",
            "0x7F800000",
            "0xFF800000",
            "0x7FC00000",
            "1.0e+300",
            "7",
        ])
    }

    fn define(&mut self, name: &str, ty: &str) {
        self.values.push((name.to_owned(), ty.to_owned()));
    }

    /// A tile type, in one of its spellings.
    fn tile_type(&mut self) -> String {
        let space = self.one_of(&["vec", "mat", "left", "right", "acc"]);
        let element = self.one_of(&["f32", "f16", "bf16", "i8", "i32"]);
        let (rows, cols) = (self.one_of(&["16", "32"]), self.one_of(&["16", "64"]));
        match self.pick(5) {
            0 => format!("!pto.tile_buf<{space}, {rows}x{cols}x{element}>"),
            1 => format!(
                "!pto.tile_buf<{space}, {rows}x{cols}x{element}, valid=?x8, blayout=col_major, slayout=row_major>"
            ),
            2 => format!(
                "!pto.tile_buf<loc={space}, dtype={element}, rows={rows}, cols={cols}, v_row={rows}, v_col=?, blayout=row_major, slayout=none_box, fractal=512, pad=0>"
            ),
            3 => format!(
                "!pto.tile_buf<loc={space}, dtype={element}, rows={rows}, cols={cols}, v_row=?, v_col=?, blayout=col_major, slayout=row_major, fractal=1024, pad=1, compact=1>"
            ),
            _ => format!("!pto.tile_buf< {space} , {rows} x {cols} x {element} , pad=max >"),
        }
    }

    fn attrs(&mut self) {
        for index in 0..self.pick(4) {
            let comma = if index > 0 { ", " } else { "" };
            let name = self.one_of(&["k", "pto.k", "\"a b\"", "_x$", "\"q\\\"\\\\\""]);
            let quoted = name.strip_suffix('"');
            let _ = match quoted {
                Some(open) => write!(self.out, "{comma}{open}{index}\""),
                None => write!(self.out, "{comma}{name}{index}"),
            };
            if self.pick(6) > 0 {
                self.write(" = ");
                self.attr(0);
            }
        }
    }

    fn attr(&mut self, depth: usize) {
        let simple = 15;
        match self.pick(if depth < 3 { simple + 2 } else { simple }) {
            0 => self.write("5"),
            1 => self.write("-9223372036854775808 : i64"),
            2 => {
                let float = self.float();
                let ty = if float == "7" { "i32" } else { "f32" };
                let _ = write!(self.out, "{float} : {ty}");
            }
            3 => self.write("true"),
            4 => self.write("\"text \\\"\\\\\\n\\t\\01\\C3\\A9 é // no comment\""),
            5 => self.write("@symbol"),
            6 => self.write("@outer::@\"in ner\""),
            7 => self.write("#pto.layout<dn>"),
            8 => self.write("#pto<round_mode  ROUND>"),
            9 => self.write("<PIPE_V>"),
            10 => {
                let ty = self.tile_type();
                self.write(&ty);
            }
            11 => self.write("(index, f32) -> (i1, !pto.ptr<i8>)"),
            12 => self.write("dense<[1, 2]> : tensor<2xi32>"),
            13 => self.write("array<i64: 1, -2>"),
            14 => self.write("unit"),
            15 => {
                self.write("[");
                for index in 0..self.pick(3) {
                    self.write(if index > 0 { ", " } else { "" });
                    self.attr(depth + 1);
                }
                self.write("]");
            }
            _ => {
                self.write("{");
                for index in 0..self.pick(3) {
                    let _ = write!(self.out, "{}e{index} = ", if index > 0 { " , " } else { "" });
                    self.attr(depth + 1);
                }
                self.write("}");
            }
        }
    }

    fn statement(&mut self) {
        let nested = self.depth < 4;
        match self.pick(if nested { 16 } else { 10 }) {
            0 => {
                let ty = self.one_of(&["index", "i32", "i64"]);
                let (a, b) = (self.value(ty), self.value(ty));
                let name = self.name();
                let op = self.one_of(&["addi", "muli", "subi", "maxsi", "floordivsi", "xori"]);
                let flags = self.one_of(&["", "", " overflow<nsw>", " overflow<nsw, nuw>"]);
                let _ = write!(self.out, "%{name} = arith.{op} %{a}, %{b}{flags} : {ty}");
                self.define(&name, ty);
            }
            1 => {
                let (a, b, name) = (self.value("index"), self.value("index"), self.name());
                let predicate = self.one_of(&["eq", "slt", "uge"]);
                let _ = write!(self.out, "%{name} = arith.cmpi {predicate}, %{a}, %{b} : index");
                self.define(&name, "i1");
            }
            2 => {
                let (c, a, b) = (self.value("i1"), self.value("f32"), self.value("f32"));
                let name = self.name();
                let _ = write!(self.out, "%{name} = arith.select %{c}, %{a}, %{b} : f32");
                self.define(&name, "f32");
            }
            3 => {
                let (a, name) = (self.value("i32"), self.name());
                let _ = write!(self.out, "%{name} = arith.index_cast %{a} : i32 to index");
                self.define(&name, "index");
            }
            4 => {
                let (ty, address) = (self.tile_type(), self.value("i64"));
                let (rows, cols, name) = (self.value("index"), self.value("index"), self.name());
                let operands = match self.pick(4) {
                    0 => format!(" addr = %{address}"),
                    1 => format!(" addr = %{address} valid_row = %{rows} valid_col = %{cols}"),
                    2 => format!(" valid_row = %{rows} valid_col = %{cols}"),
                    _ => format!(" valid_col = %{cols} addr = %{address}"),
                };
                let _ = write!(self.out, "%{name} = pto.alloc_tile{operands} : {ty}");
                self.define(&name, &ty);
            }
            5 => self.transfer(),
            6 => {
                let ty = "!pto.tile_buf<vec, 16x64xf32>";
                let (a, b, c) = (self.value(ty), self.value(ty), self.value(ty));
                let op = self.one_of(&["tadd", "tmul", "tmax"]);
                let _ = write!(self.out, "pto.{op} ins(%{a}, %{b} : {ty}, {ty})");
                self.space();
                let _ = write!(self.out, "outs(%{c} : {ty})");
            }
            7 => {
                let sync = [
                    "pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID3>]",
                    "pto.wait_flag [#pto.pipe<PIPE_MTE2>,#pto.pipe<PIPE_V>, <EVENT_ID3>]",
                    "pto.barrier <PIPE_ALL>",
                    "pto.barrier <PIPE_V> {k}",
                    "pto.barrier_sync[<TLOAD>]",
                ];
                let sync = self.one_of(&sync);
                self.write(sync);
            }
            8 => self.generic(),
            9 => {
                let (a, b) = (self.name(), self.name());
                let _ = write!(self.out, "%{a}:3, %{b} = \"test.many\"() : () -> (i32, i32, index, f32)");
                self.define(&format!("{a}#1"), "i32");
                self.define(&format!("{a}#2"), "index");
                self.define(&a, "i32");
                self.define(&b, "f32");
            }
            10 | 11 => self.for_loop(),
            12 | 13 => self.branch(),
            14 => self.while_loop(),
            _ => self.switch(),
        }
    }

    fn transfer(&mut self) {
        let (pointer, n) = (self.value("!pto.ptr<f32>"), self.value("index"));
        let tile = self.value("!pto.tile_buf<vec, 16x64xf32>");
        let (view, part) = (self.name(), self.name());
        let layout = self.one_of(&["", " {layout = #pto.layout<nd>}"]);
        let _ = writeln!(
            self.out,
            "%{view} = pto.make_tensor_view %{pointer}, shape = [%{n}, %{n}], strides = [%{n}, %{n}]{layout} \
             : !pto.tensor_view<?x?xf32>"
        );
        let _ = writeln!(
            self.out,
            "%{part} = pto.partition_view %{view}, offsets = [%{n}, %{n}], sizes = [%{n}, %{n}] \
             : !pto.tensor_view<?x?xf32> -> !pto.partition_tensor_view<16x64xf32>"
        );
        let _ = write!(
            self.out,
            "pto.tload ins(%{part} : !pto.partition_tensor_view<16x64xf32>) outs(%{tile} : !pto.tile_buf<vec, 16x64xf32>)"
        );
        self.define(&view, "!pto.tensor_view<?x?xf32>");
    }

    /// An operation that nobody knows, with attributes and perhaps a body.
    fn generic(&mut self) {
        let ty = self.one_of(&SCALARS);
        let (operand, name) = (self.value(ty), self.name());
        let _ = write!(self.out, "%{name} = \"test.op\"(%{operand})");
        if self.pick(2) == 0 {
            self.write(" <{p = 1 : i32}>");
        }
        if self.pick(3) == 0 {
            self.write(" ({");
            let body = self.one_of(&["", "\n^bb0:\n", "\n^bb0(%q: f32, %r: index):\n"]);
            self.write(body);
            self.write("})");
        }
        self.write(" {");
        self.attrs();
        let _ = write!(self.out, "}} : ({ty}) -> f32");
        if self.pick(4) == 0 {
            self.write(" loc(\"file\":1:2)");
        }
        self.define(&name, "f32");
    }

    /// Statements in a scope of their own.
    fn nested(&mut self, arguments: &[(&str, &str)], end: impl FnOnce(&mut Self)) {
        let outer = self.values.len();
        self.depth += 1;
        self.write(" {");
        self.line();
        self.values.extend(arguments.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())));
        self.statements();
        end(self);
        self.line();
        self.write("}");
        self.depth -= 1;
        self.values.truncate(outer);
    }

    fn for_loop(&mut self) {
        let ty = self.one_of(&["index", "index", "i32"]);
        let (from, to, step) = (self.value(ty), self.value(ty), self.value(ty));
        let counter = self.name();
        let suffix = if ty == "index" { "" } else { " : i32" };
        if self.pick(2) == 0 {
            let _ = write!(self.out, "scf.for %{counter} = %{from} to %{to} step %{step}{suffix}");
            return self.nested(&[(&counter, ty)], |_| ());
        }
        let (a, b) = (self.value("f32"), self.value("index"));
        let (x, y, result) = (self.name(), self.name(), self.name());
        let _ = write!(
            self.out,
            "%{result}:2 = scf.for %{counter} = %{from} to %{to} step %{step} \
             iter_args(%{x} = %{a}, %{y} = %{b}) -> (f32, index){suffix}"
        );
        self.nested(&[(&counter, ty), (&x, "f32"), (&y, "index")], |this| {
            let (a, b) = (this.value("f32"), this.value("index"));
            let _ = write!(this.out, "scf.yield %{a}, %{b} : f32, index");
        });
        self.define(&format!("{result}#1"), "index");
    }

    fn branch(&mut self) {
        let condition = self.value("i1");
        if self.pick(2) == 0 {
            let _ = write!(self.out, "scf.if %{condition}");
            self.nested(&[], |_| ());
            if self.pick(2) == 0 {
                self.space();
                self.write("else");
                self.nested(&[], |_| ());
            }
            return;
        }
        let name = self.name();
        let _ = write!(self.out, "%{name} = scf.if %{condition} -> (f32)");
        for part in 0..2 {
            self.write(if part == 1 { " else" } else { "" });
            self.nested(&[], |this| {
                let value = this.value("f32");
                let _ = write!(this.out, "scf.yield %{value} : f32");
            });
        }
        self.define(&name, "f32");
    }

    fn while_loop(&mut self) {
        let (init, before, after, name) = (self.value("index"), self.name(), self.name(), self.name());
        let _ = write!(self.out, "%{name} = scf.while (%{before} = %{init}) : (index) -> index");
        self.nested(&[(&before, "index")], |this| {
            let (condition, value) = (this.value("i1"), this.value("index"));
            let _ = write!(this.out, "scf.condition(%{condition}) %{value} : index");
        });
        self.write(" do {\n");
        let _ = write!(self.out, "^bb0(%{after}: index):");
        // The label stands inside of the braces, so the body is written by hand.
        self.line();
        let outer = self.values.len();
        self.define(&after, "index");
        self.depth += 1;
        self.statements();
        let value = self.value("index");
        let _ = write!(self.out, "scf.yield %{value} : index\n}}");
        self.depth -= 1;
        self.values.truncate(outer);
        self.define(&name, "index");
    }

    fn switch(&mut self) {
        let value = self.value("index");
        let _ = write!(self.out, "scf.index_switch %{value}");
        for case in 0..self.pick(3) {
            let _ = write!(self.out, "\ncase {case}");
            self.nested(&[], |this| this.write("scf.yield"));
        }
        self.write("\ndefault");
        self.nested(&[], |this| this.write("scf.yield"));
    }
}
