//! Canonical text: one operation a line, bodies indented by two, fixed spacing between tokens.
//!
//! The text is read first, so that it is known where operations and bodies begin and end; then its tokens are
//! written again in their order. Comments stay where they stood, of several blank lines one stays. What must hold:
//! the result means the same module (it is read again to be sure), and formatting it again changes nothing.

use pipewright_abi::TextRange;
use pipewright_abi::ir::{Module, ModuleData};
use pipewright_abi::target::TargetData;

use super::tokens::{Kind, Spacing, Token, tokens};
use super::{parse, print};
use crate::diagnostic::Diagnostic;

/// The canonical text of the module in `text`. Fails with all errors if it cannot be read.
pub fn format(text: &str, target: &TargetData) -> Result<String, Vec<Diagnostic>> {
    let module = parse(text, target)?;
    let formatted = Formatter::new(text, &module).run();
    let same = parse(&formatted, target).is_ok_and(|again| print(&again, target) == print(&module, target));
    if same {
        return Ok(formatted);
    }
    let message = "formatting would change what this file means; this is a fault of the formatter";
    let whole = TextRange { start: 0, end: text.len() as u32 };
    Err(vec![Diagnostic::error("syntax::format", message).label(whole, "left as it is")])
}

/// What the tokens at hand stand in.
#[derive(Clone, Copy)]
enum Frame {
    /// An operation, up to this position.
    Op(usize),
    /// A body whose closing brace is at this position.
    Body(usize),
}

struct Formatter<'t> {
    text: &'t str,
    /// Where operations start and end, by start.
    ops: Vec<(usize, usize)>,
    /// Where bodies open, and where their closing brace is, by opening.
    bodies: Vec<(usize, usize)>,
    frames: Vec<Frame>,
    spacing: Spacing<'t>,
    out: String,
    /// The last token on the current line, if there is one.
    last: Option<Token<'t>>,
    /// A comment broke the line of an operation.
    broken: bool,
    /// The last token closed a body.
    after_body: bool,
    /// The last token opened a body, or nothing is written yet: no blank line here.
    at_start: bool,
}

impl<'t> Formatter<'t> {
    fn new(text: &'t str, module: &ModuleData) -> Self {
        let place = |span: TextRange| (span.start as usize, span.end as usize);
        // The first operation and its body are the whole file, which nobody wrote.
        let mut ops: Vec<_> = module.tables.ops.iter().skip(1).map(|op| place(op.span)).collect();
        let bodies = module.tables.bodies.iter().filter(|b| b.op != Module::ROOT);
        let mut bodies: Vec<_> = bodies.map(|b| (b.span.start as usize, b.span.end as usize - 1)).collect();
        ops.sort_unstable();
        bodies.sort_unstable();
        Self {
            text,
            ops,
            bodies,
            frames: Vec::new(),
            spacing: Spacing::default(),
            out: String::with_capacity(text.len()),
            last: None,
            broken: false,
            after_body: false,
            at_start: true,
        }
    }

    fn run(mut self) -> String {
        let tokens = tokens(self.text);
        let (mut next_op, mut next_body) = (0, 0);
        for (index, &token) in tokens.iter().enumerate() {
            while let Some(&Frame::Op(end)) = self.frames.last()
                && token.start >= end
            {
                self.frames.pop();
            }
            if token.kind == Kind::Comment {
                self.comment(token);
            } else if self.ops.get(next_op).is_some_and(|op| op.0 == token.start) {
                self.line(token, self.indent());
                self.frames.push(Frame::Op(self.ops[next_op].1));
                next_op += 1;
                self.write(token);
            } else if let Some(&Frame::Body(close)) = self.frames.last() {
                if token.start == close {
                    self.frames.pop();
                    self.at_start = true;
                    self.line(token, self.indent());
                    self.write(token);
                    self.after_body = true;
                } else {
                    // A label, or what follows it.
                    if token.kind == Kind::Label {
                        self.line(token, self.indent().saturating_sub(2));
                    }
                    self.write(token);
                }
            } else if self.bodies.get(next_body).is_some_and(|b| b.0 == token.start) {
                self.write(token);
                self.spacing.enter_body();
                self.frames.push(Frame::Body(self.bodies[next_body].1));
                self.at_start = true;
                next_body += 1;
            } else {
                let is_alias = matches!(token.kind, Kind::Hash | Kind::Bang)
                    && tokens.get(index + 1).is_some_and(|t| t.kind == Kind::Equal);
                if self.frames.is_empty() && is_alias {
                    self.line(token, 0);
                }
                self.write(token);
            }
        }
        while self.out.ends_with(['\n', ' ']) {
            self.out.pop();
        }
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }

    /// Columns that a line in the current body starts with.
    fn indent(&self) -> usize {
        2 * self.frames.iter().filter(|f| matches!(f, Frame::Body(_))).count()
    }

    /// Goes to a new line for `token`, with a blank line if the source has one.
    fn line(&mut self, token: Token<'t>, indent: usize) {
        if !self.out.is_empty() {
            if !self.out.ends_with('\n') {
                self.out.push('\n');
            }
            if token.newlines > 1 && !self.at_start {
                self.out.push('\n');
            }
        }
        self.spaces(indent);
        self.last = None;
        self.broken = false;
    }

    fn spaces(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }

    /// Columns that the rest of an operation starts with, behind a comment.
    fn rest_indent(&self) -> usize {
        self.indent() + if self.after_body { 0 } else { 4 }
    }

    /// Writes a token behind the last one of its line.
    fn write(&mut self, token: Token<'t>) {
        let space = self.spacing.step(token);
        if self.broken {
            self.spaces(self.rest_indent());
        } else if space && self.last.is_some() {
            self.out.push(' ');
        }
        self.out.push_str(token.text);
        self.last = Some(token);
        self.broken = false;
        self.after_body = false;
        self.at_start = false;
    }

    fn comment(&mut self, token: Token<'t>) {
        if token.newlines == 0 && self.last.is_some() {
            self.out.push(' ');
        } else if let Some(Frame::Op(_)) = self.frames.last() {
            if !self.out.ends_with('\n') {
                self.out.push('\n');
            }
            self.spaces(self.rest_indent());
            self.at_start = false;
        } else {
            self.line(token, self.indent());
            self.at_start = false;
        }
        self.out.push_str(token.text);
        self.out.push('\n');
        self.last = None;
        self.broken = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        let target = {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines/targets/a3.toml");
            crate::target::load(file.as_ref(), &[]).unwrap()
        };
        let once = format(text, &target).unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(format(&once, &target).unwrap(), once, "formatting twice changes something");
        once
    }

    #[test]
    fn operations_get_lines_and_bodies_indentation() {
        let text = "module attributes{pto.target_arch=\"a2a3\"}{func.func @f(%a :index,%b: index ){\n\
             %s=arith.addi %a,%b:index %c=arith.cmpi slt,%a,%b:index scf.if %c{ }else{}\n\n\n\n\
             scf.for %i=%a to %b step %a{\nscf.yield}\nreturn}}";
        insta::assert_snapshot!(formatted(text), @r#"
        module attributes {pto.target_arch = "a2a3"} {
          func.func @f(%a: index, %b: index) {
            %s = arith.addi %a, %b : index
            %c = arith.cmpi slt, %a, %b : index
            scf.if %c {
            } else {
            }

            scf.for %i = %a to %b step %a {
              scf.yield
            }
            return
          }
        }
        "#);
    }

    #[test]
    fn comments_stay_where_they_stood() {
        let text = "// head\r\n\n\n// second  \nmodule { // the module\n\n  // in front\n  func.func @f( // parameters\n\
             %a: index, // first\n      // between\n   %b: index) {\n\n    // alone\n\n    return // last\n  // end\n  }\n}\n\n// tail";
        insta::assert_snapshot!(formatted(text), @r"
        // head

        // second
        module { // the module
          // in front
          func.func @f( // parameters
              %a: index, // first
              // between
              %b: index) {
            // alone

            return // last
            // end
          }
        }

        // tail
        ");
    }

    #[test]
    fn clauses_get_canonical_spacing() {
        let text = r#"
func.func @k(%p:!pto.ptr< f32 >,%n:i64,%i:index){
%v=pto.make_tensor_view %p,shape=[%i,%i],strides=[%i,%i]{layout=#pto.layout<nd>}:!pto.tensor_view<?x?xf32>
%t=pto.alloc_tile addr=%n:!pto.tile_buf<vec,16x64xf32>
%q=pto.partition_view %v,offsets=[%i,%i],sizes=[%i,%i]:!pto.tensor_view<?x?xf32>->!pto.partition_tensor_view<?x?xf32>
pto.tload ins( %q:!pto.partition_tensor_view<?x?xf32> )outs( %t:!pto.tile_buf<loc = vec,dtype = f32,rows=16,cols=64> )
pto.set_flag [<PIPE_MTE2>,<PIPE_V>,<EVENT_ID0>]
pto.barrier<PIPE_ALL>
return}"#;
        insta::assert_snapshot!(formatted(text), @r"
        func.func @k(%p: !pto.ptr<f32>, %n: i64, %i: index) {
          %v = pto.make_tensor_view %p, shape = [%i, %i], strides = [%i, %i] {layout = #pto.layout<nd>} : !pto.tensor_view<?x?xf32>
          %t = pto.alloc_tile addr = %n : !pto.tile_buf<vec, 16x64xf32>
          %q = pto.partition_view %v, offsets = [%i, %i], sizes = [%i, %i] : !pto.tensor_view<?x?xf32> -> !pto.partition_tensor_view<?x?xf32>
          pto.tload ins(%q : !pto.partition_tensor_view<?x?xf32>) outs(%t : !pto.tile_buf<loc=vec, dtype=f32, rows=16, cols=64>)
          pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
          pto.barrier <PIPE_ALL>
          return
        }
        ");
    }

    #[test]
    fn a_type_without_its_mark_stays_a_type() {
        let text = "func.func @f() {\n  %t = pto.alloc_tile :\npto.tile_buf<vec, 32x32xf32>\n  pto.barrier<PIPE_V>\n  return\n}\n";
        insta::assert_snapshot!(formatted(text), @r"
        func.func @f() {
          %t = pto.alloc_tile : pto.tile_buf<vec, 32x32xf32>
          pto.barrier <PIPE_V>
          return
        }
        ");
    }

    #[test]
    fn the_generic_form_and_labels() {
        let text = "\"func.func\"()({^bb0(%a:index):\n\"test.many\"(%a)<{k=1:i32}>({\n},{^bb1: ^bb2(%x:i32 , %y:i32): }){u,\"a b\"=[1,2]}:(index)->()\n\
             \"func.return\"():()->()}){sym_name=\"f\",function_type=(index)->()}:()->()\n#late=#pto.layout<nd>\n!t=i32";
        insta::assert_snapshot!(formatted(text), @r#"
        "func.func"() ({
        ^bb0(%a: index):
          "test.many"(%a) <{k = 1 : i32}> ({
          }, {
          ^bb1:
          ^bb2(%x: i32, %y: i32):
          }) {u, "a b" = [1, 2]} : (index) -> ()
          "func.return"() : () -> ()
        }) {sym_name = "f", function_type = (index) -> ()} : () -> ()
        #late = #pto.layout<nd>
        !t = i32
        "#);
    }
}
