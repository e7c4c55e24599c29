//! A timeline as a picture for documents.

use std::fmt::Write as _;
use std::ops::Range;

use super::timeline::{Reason, Span, Timeline};

const LEFT: f64 = 64.0;
const WIDTH: f64 = 1136.0;
const LANE: f64 = 34.0;
const BAR: f64 = 22.0;
const TOP: f64 = 44.0;

/// Widest character of a label, in the picture's units.
const CHARACTER: f64 = 6.2;

/// Colours follow the reader's light or dark mode. Stalls are hatched, so that colour is not all that tells them apart.
const STYLE: &str = "\
text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328}.title{font-size:13px;font-weight:600}\
.work{fill:#4c78a8}.sync{fill:#2f9e6e}.label{fill:#fff}.axis{stroke:#8c959f;stroke-width:1}.edge{stroke:#57606a;\
stroke-width:1;fill:none;opacity:.65}.flag{fill:url(#h-flag)}.barrier{fill:url(#h-barrier)}.queue{fill:url(#h-queue)}\
.idle{fill:url(#h-idle)}.back{fill:#fff}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}.edge{stroke:#adbac7}.label{fill:#fff}}";

/// The picture of these cycles of a timeline. What reaches beyond them is cut off.
pub fn svg(title: &str, timeline: &Timeline, window: Range<u64>) -> String {
    let Range { start, end } = window.start..window.end.max(window.start + 1);
    let x = |cycle: u64| LEFT + WIDTH * (cycle as f64 - start as f64) / (end - start) as f64;
    let height = TOP + LANE * timeline.lanes.len() as f64 + 46.0;
    let width = LEFT + WIDTH + 24.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n<defs>\n",
        escape(title)
    );
    for (name, colour) in
        [("flag", "#d1495b"), ("barrier", "#b8860b"), ("queue", "#8e5ea2"), ("idle", "#8c959f")]
    {
        let _ = writeln!(
            out,
            "<pattern id=\"h-{name}\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"5\" height=\"5\" fill=\"{colour}\" opacity=\".22\"/>\
             <rect width=\"1.6\" height=\"5\" fill=\"{colour}\"/></pattern>"
        );
    }
    let _ = writeln!(
        out,
        "<clipPath id=\"view\"><rect x=\"{LEFT}\" y=\"0\" width=\"{WIDTH}\" height=\"{height:.0}\"/></clipPath>\n\
         </defs>\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n<text class=\"title\" x=\"8\" y=\"20\">{}</text>",
        escape(title)
    );
    for (index, lane) in timeline.lanes.iter().enumerate() {
        let y = TOP + LANE * index as f64;
        let _ = writeln!(out, "<text x=\"8\" y=\"{:.1}\">{}</text>", y + 15.0, escape(&lane.pipe));
        for span in lane.spans.iter().filter(|s| s.start < end && s.start + s.length > start) {
            let [from, to] = [span.start.max(start), (span.start + span.length).min(end)];
            bar(&mut out, timeline, span, [x(from), x(to)], y);
        }
    }
    out += "<g clip-path=\"url(#view)\">\n";
    for edge in timeline.edges.iter().filter(|e| e.from_time < end && e.to_time >= start) {
        let y = |lane: usize, to: bool| {
            let down = (edge.to_lane > edge.from_lane) != to;
            TOP + LANE * lane as f64 + if down { BAR } else { 0.0 }
        };
        let [from, to] = [x(edge.from_time), x(edge.to_time)];
        let [from_y, to_y] = [y(edge.from_lane, false), y(edge.to_lane, true)];
        let name = timeline.statements.get(edge.set).map_or("", |s| &s.text);
        let _ = writeln!(
            out,
            "<path class=\"edge\" d=\"M{from:.1} {from_y:.1}L{to:.1} {to_y:.1}\"><title>{}</title></path>",
            escape(name.trim_start_matches("set "))
        );
    }
    out += "</g>\n";
    axis(&mut out, start..end, TOP + LANE * timeline.lanes.len() as f64 + 4.0);
    out + "</svg>\n"
}

fn bar(out: &mut String, timeline: &Timeline, span: &Span, [from, to]: [f64; 2], y: f64) {
    let statement = &timeline.statements[span.statement];
    let is_sync = ["set ", "wait ", "barrier "].iter().any(|w| statement.text.starts_with(w));
    let class = match span.reason {
        None if is_sync => "sync",
        None => "work",
        Some(Reason::Wait | Reason::Set) => "flag",
        Some(Reason::Barrier) => "barrier",
        Some(Reason::Queue) => "queue",
        Some(Reason::Dispatch) => "idle",
    };
    let what = match span.reason {
        None => statement.text.clone(),
        Some(reason) => format!("stall ({}) at {}", reason.name(), statement.text),
    };
    let place = if statement.line > 0 { format!(", line {}", statement.line) } else { String::new() };
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\"><title>{}: cycle {}, {} long{}</title></rect>",
        (to - from).max(0.6),
        escape(&what),
        span.start,
        span.length,
        escape(&place),
    );
    let name = statement.text.trim_start_matches("pto.");
    let wide = name.len() as f64 * CHARACTER;
    // Of what holds up the scalar unit, other pipes have no statement.
    let has_name = !matches!(span.reason, Some(Reason::Queue | Reason::Dispatch));
    if !has_name || is_sync && span.reason.is_none() || wide + 10.0 > to - from {
        return;
    }
    if span.reason.is_some() {
        let (x, y, width) = (from + 4.0, y + 4.0, wide + 4.0);
        let _ = writeln!(
            out,
            "<rect class=\"back\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"14\" opacity=\".85\"/>"
        );
    }
    let class = if span.reason.is_none() { "label" } else { "stalled" };
    let (x, y, name) = (from + 6.0, y + 15.0, escape(name));
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>");
}

/// The time axis and what the bars mean.
fn axis(out: &mut String, window: Range<u64>, y: f64) {
    let _ = writeln!(out, "<path class=\"axis\" d=\"M{LEFT} {y:.1}H{:.1}\"/>", LEFT + WIDTH);
    let Range { start, end } = window;
    let step = tick(end - start);
    for cycle in (start.next_multiple_of(step)..=end).step_by(step as usize) {
        let at = LEFT + WIDTH * (cycle - start) as f64 / (end - start) as f64;
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{at:.1} {y:.1}v4\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{cycle}</text>",
            y + 15.0
        );
    }
    let legend = [
        ("work", "work"),
        ("sync", "synchronization"),
        ("flag", "waits for a flag"),
        ("barrier", "barrier"),
        ("queue", "queue full"),
        ("idle", "nothing handed out"),
    ];
    let mut at = LEFT;
    for (class, text) in legend {
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{at:.1}\" y=\"{:.1}\" width=\"12\" height=\"10\"/><text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            y + 24.0,
            at + 16.0,
            y + 33.0
        );
        at += 16.0 + CHARACTER * text.len() as f64 + 26.0;
    }
}

/// A round distance of ticks that gives five to twelve of them.
fn tick(cycles: u64) -> u64 {
    let mut base = 1;
    loop {
        if let Some(factor) = [1, 2, 5].into_iter().find(|f| cycles / (base * f) <= 12) {
            return base * factor;
        }
        base *= 10;
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_not_too_many() {
        let ticks: Vec<_> = [1, 12, 13, 100, 999, 12_345].iter().map(|&c| tick(c)).collect();
        assert_eq!(ticks, [1, 1, 2, 10, 100, 1000]);
    }
}
