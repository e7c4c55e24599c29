//! The synchronization skeleton of generated C++: per function and in order its control flow, the calls that run on a
//! pipe (without arguments) and the synchronization statements. Two outputs with the same skeleton synchronize alike.

/// The skeleton of a C++ text, one line an event, functions headed by `func NAME`, their events indented by two.
pub fn skeleton(cpp: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (name, body) in functions(cpp) {
        let events = events(body);
        if !events.is_empty() && name != "ptoas_auto_sync_tail" {
            out.push(format!("func {name}"));
            out.extend(events.into_iter().map(|event| format!("  {event}")));
        }
    }
    out
}

/// Names and bodies of the functions that are defined at the start of a line.
fn functions(cpp: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < cpp.len() {
        let line_end = cpp[at..].find('\n').map_or(cpp.len(), |n| at + n);
        let line = &cpp[at..line_end];
        let next = (line_end + 1).min(cpp.len());
        match header_name(line) {
            Some(name) => {
                let end = body_end(&cpp[next..]) + next;
                found.push((name, &cpp[next..end]));
                at = end.max(next);
            }
            None => at = next,
        }
    }
    found
}

/// The name in `__global__ AICORE void name(args) {`.
fn header_name(line: &str) -> Option<&str> {
    let other = ["enum ", "struct ", "using ", "template", "namespace", "class ", "#", " ", "}"];
    if !line.trim_end().ends_with('{') || other.iter().any(|o| line.starts_with(o)) {
        return None;
    }
    let head = line[..line.find('(')?].trim_end();
    let start = head.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |i| i + 1);
    let name = &head[start..];
    (!name.is_empty() && !["for", "while", "if"].contains(&name)).then_some(name)
}

/// Offset of the brace that closes the body.
fn body_end(text: &str) -> usize {
    let mut depth = 1i32;
    for (at, byte) in text.bytes().enumerate() {
        depth += i32::from(byte == b'{') - i32::from(byte == b'}');
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn events(body: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut open: Vec<bool> = Vec::new();
    for line in body.lines() {
        let mut line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        if line.strip_prefix('}').is_some_and(|rest| rest.trim_start().starts_with("else")) {
            out.push("else".into());
            continue;
        }
        while let Some(rest) = line.strip_prefix('}') {
            if open.pop() == Some(true) {
                out.push("end".into());
            }
            line = rest.trim_start_matches([' ', ';']);
        }
        if line.is_empty() {
            continue;
        }
        if let Some(brace) = line.strip_suffix('{') {
            let word = brace.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
            let kind = if brace.trim() == "do" { "while" } else { word };
            let is_construct = ["for", "while", "if"].contains(&kind);
            open.push(is_construct);
            if is_construct {
                out.push(kind.into());
            }
            continue;
        }
        if ["using ", "typedef ", "constexpr "].iter().any(|w| line.starts_with(w)) {
            continue;
        }
        if line.starts_with("goto") || (line.starts_with("label") && line.ends_with(':')) {
            out.push("goto".into());
            continue;
        }
        out.extend(event(line.trim_end_matches(';')));
    }
    out
}

/// The event that a statement is, if any.
fn event(statement: &str) -> Option<String> {
    for (call, word) in [("set_flag(", "set"), ("wait_flag(", "wait")] {
        if let Some(at) = find_word(statement, call) {
            let inside = statement[at + call.len()..].trim_end_matches(')');
            let mut parts = inside.splitn(3, ',').map(str::trim);
            // Virtual pipes, which no core of this target has, are no part of a skeleton.
            let mut pipe = || parts.next()?.strip_prefix("PIPE_");
            let (src, dst) = (pipe()?, pipe()?);
            let id = parts.next()?;
            let id = id.rsplit("EVENT_ID").next().filter(|n| id.contains("EVENT_ID") && !n.is_empty());
            return Some(format!("{word} {src}>{dst}#{}", id.unwrap_or("dyn")));
        }
    }
    if let Some(at) = find_word(statement, "pipe_barrier(") {
        let pipe = statement[at + "pipe_barrier(".len()..].trim_end_matches(')').trim();
        return Some(format!("bar {}", pipe.trim_start_matches("PIPE_")));
    }
    if let Some(at) = find_word(statement, "ptoas_auto_sync_tail(") {
        let mode = statement[at..].rsplit("::").next().unwrap_or("").trim_end_matches(')');
        return Some(format!("tail {mode}"));
    }
    let callee = callee(statement)?;
    (!["TASSIGN", "TRESHAPE"].contains(&callee)).then(|| callee.to_owned())
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let at = text.find(word)?;
    let before = text[..at].chars().next_back();
    before.is_none_or(|c| !c.is_alphanumeric() && c != '_').then_some(at)
}

/// The library instruction that a statement calls: an upper-case name that starts with `T`, a memory gather or
/// scatter, or anything of the communication library.
fn callee(statement: &str) -> Option<&str> {
    let bytes = statement.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphabetic() || bytes[at] == b'_') {
            at += 1;
            continue;
        }
        let end = (at..bytes.len())
            .find(|&i| !(bytes[i].is_ascii_alphanumeric() || bytes[i] == b'_'))
            .unwrap_or(bytes.len());
        let word = &statement[at..end];
        let called = matches!(statement[end..].trim_start().as_bytes().first(), Some(b'(' | b'<'));
        let member = at > 0 && bytes[at - 1] == b'.';
        let upper = word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let comm = statement[..at].ends_with("comm::");
        let instruction = word.len() > 1 && word.starts_with('T') && upper
            || ["MGATHER", "MSCATTER", "SYNCALL"].contains(&word)
            || comm && upper;
        if called && !member && instruction {
            return Some(word);
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_reduce_to_events() {
        let cpp = "\
static AICORE inline void ptoas_auto_sync_tail(int m) {
  pipe_barrier(PIPE_ALL);
}
__global__ AICORE void k(__gm__ float* v1) {
  using T = float;
  #if defined(__DAV_VEC__)
  Tile<TileType::Vec, float> v2 = Tile<TileType::Vec, float>(v3);
  TASSIGN(v2, v4);
  for (size_t i = 0; i < n; i += 1) {
    set_flag(PIPE_V, PIPE_MTE2, EVENT_ID3);
    wait_flag(PIPE_V, PIPE_MTE2, v9);
    if (c) {
      TLOAD(v2, v1);
    } else {
      pipe_barrier(PIPE_V);
    };
    pto::comm::TPUT<pto::AtomicType::AtomicAdd>(a, b);
  }
  float v8 = v2.GetValue(i);
  #endif
  ptoas_auto_sync_tail(PTOAutoSyncTailMode::kBarrierAll);
  return;
}
";
        let expected = [
            "func k",
            "  for",
            "  set V>MTE2#3",
            "  wait V>MTE2#dyn",
            "  if",
            "  TLOAD",
            "  else",
            "  bar V",
            "  end",
            "  TPUT",
            "  end",
            "  tail kBarrierAll",
        ];
        assert_eq!(skeleton(cpp), expected);
    }
}
