//! The plan for people: a map of each memory space, and what is live where it does not fit.

use core::fmt::Write;

use pipewright_abi::PassError;

use crate::function::{Buffer, Taken};
use crate::place::Room;

/// Most live buffers that are shown with their place in the source.
const MAX_LABELS: usize = 16;

/// One line of a map.
struct Row<'a> {
    offset: u64,
    size: u64,
    live: String,
    name: &'a str,
    line: String,
}

/// Source lines by offset.
#[derive(Debug)]
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(source: &[u8]) -> Self {
        let breaks = source.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at);
        Self(breaks.collect())
    }

    fn line(&self, offset: u32) -> usize {
        self.0.partition_point(|&at| at < offset as usize) + 1
    }
}

/// A map of one space: its blocks by offset, with size, lifetime and name.
pub(crate) fn map(
    space: &str,
    room: &Room,
    kept: u64,
    buffers: &[(&Buffer, u64)],
    taken: &[&Taken],
    lines: &Lines,
) -> String {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (buffer, offset) in buffers {
        let live = match buffer.lifetime {
            _ if buffer.reserved => "always".into(),
            Some(lifetime) => format!("n{}..n{}", lifetime.first / 2, lifetime.last / 2),
            None => "never".into(),
        };
        let line = format!("  // line {}", lines.line(buffer.span.start));
        rows.push(Row { offset: *offset, size: buffer.size, live, name: &buffer.name, line });
    }
    for taken in taken {
        let bytes = &taken.bytes;
        let (offset, size) = (bytes.start, bytes.end - bytes.start);
        rows.push(Row { offset, size, live: "always".into(), name: &taken.name, line: String::new() });
    }
    // Of equal offsets the earlier in the program stays first.
    rows.sort_by_key(|row| row.offset);
    let used = rows.iter().filter(|r| r.live != "never").map(|r| r.offset.saturating_add(r.size)).max();
    let mut text = format!("  {space}: {} of {} bytes", used.unwrap_or(0), room.capacity);
    if kept > 0 {
        let _ = write!(text, " ({kept} more at the end stay free as scratch memory)");
    }
    text.push('\n');
    let _ = writeln!(text, "    {:>8} {:>8}  {:<14} buffer", "offset", "size", "live");
    for Row { offset, size, live, name, line } in rows {
        let _ = writeln!(text, "    {offset:>8} {size:>8}  {live:<14} {name}{line}");
    }
    text
}

/// The live buffers do not fit into the space, or no arrangement of them was found.
pub(crate) fn does_not_fit(
    function: &str,
    space: &str,
    capacity: u64,
    peak: u64,
    mut live: Vec<&Buffer>,
    taken: &[&Taken],
    hints: &[String],
) -> PassError {
    let taken_bytes: u64 = taken.iter().map(|t| t.bytes.end - t.bytes.start).sum();
    let need = peak.saturating_add(taken_bytes);
    let message = if need > capacity {
        format!("`{space}` memory of `{function}` does not fit: {need} bytes are live at once, of {capacity}")
    } else {
        format!(
            "`{space}` memory of `{function}` does not fit: of {capacity} bytes at most {need} are live at once, \
             but no arrangement was found that never moves a tile"
        )
    };
    live.sort_by_key(|buffer| core::cmp::Reverse(buffer.size));
    let mut help = String::from("live at the peak:");
    for buffer in &live {
        let _ = write!(help, "\n  {:>8} bytes  {}", buffer.size, buffer.name);
    }
    for taken in taken {
        let _ = write!(help, "\n  {:>8} bytes  {}", taken.bytes.end - taken.bytes.start, taken.name);
    }
    for hint in hints {
        let _ = write!(help, "\n{hint}");
    }
    let mut error = PassError::new(message).with_help(help);
    for (i, buffer) in live.iter().take(MAX_LABELS).enumerate() {
        if i == 0 {
            error = error.at_span(buffer.span);
        }
        error = error.with_label(buffer.span, format!("{} bytes", buffer.size));
    }
    error
}
