//! A timeline in the trace format that Chrome and Perfetto show.
//!
//! A function is a process, a pipe is a thread, a token is a flow from the set to the wait. Times are microseconds at
//! the target's clock; cycles stand in the arguments.

use serde_json::{Value, json};

use super::timeline::{Span, Timeline};

/// The trace of several functions, each with its name, on a clock of so many cycles a second.
pub fn trace(functions: &[(&str, &Timeline)], hz: u64) -> String {
    let mut events = Vec::new();
    for (process, (name, timeline)) in functions.iter().enumerate() {
        let clock = Clock { per_cycle: 1e6 / hz.max(1) as f64, process };
        events.push(json!({ "ph": "M", "pid": process, "name": "process_name", "args": { "name": name } }));
        for (thread, lane) in timeline.lanes.iter().enumerate() {
            let args = json!({ "name": lane.pipe });
            events.push(
                json!({ "ph": "M", "pid": process, "tid": thread, "name": "thread_name", "args": args }),
            );
            let order = json!({ "sort_index": thread });
            events.push(
                json!({ "ph": "M", "pid": process, "tid": thread, "name": "thread_sort_index", "args": order }),
            );
            events.extend(lane.spans.iter().map(|span| clock.span(timeline, thread, span)));
        }
        for (id, edge) in timeline.edges.iter().enumerate() {
            let name = timeline.statements.get(edge.set).map_or("", |s| s.text.as_str());
            let id = format!("{process}.{id}");
            let mut flow = clock.event("s", edge.from_lane, edge.from_time, name);
            flow["cat"] = json!("flag");
            flow["id"] = json!(id);
            let mut arrives = clock.event("f", edge.to_lane, edge.to_time, name);
            arrives["cat"] = json!("flag");
            arrives["id"] = json!(id);
            arrives["bp"] = json!("e");
            events.extend([flow, arrives]);
        }
    }
    json!({ "traceEvents": events, "displayTimeUnit": "ns" }).to_string() + "\n"
}

struct Clock {
    per_cycle: f64,
    process: usize,
}

impl Clock {
    fn span(&self, timeline: &Timeline, thread: usize, span: &Span) -> Value {
        let statement = &timeline.statements[span.statement];
        let name = match span.reason {
            None => statement.text.clone(),
            Some(reason) => format!("stall: {}", reason.name()),
        };
        let mut event = self.event("X", thread, span.start, &name);
        event["dur"] = json!(self.time(span.length));
        event["cat"] = json!(span.reason.map_or("work", |r| r.name()));
        event["args"] = json!({
            "statement": statement.text,
            "line": statement.line,
            "source": statement.source,
            "start": span.start,
            "cycles": span.length,
        });
        event
    }

    fn event(&self, phase: &str, thread: usize, cycle: u64, name: &str) -> Value {
        json!({ "ph": phase, "pid": self.process, "tid": thread, "ts": self.time(cycle), "name": name })
    }

    /// Microseconds, to the tenth of a nanosecond.
    fn time(&self, cycles: u64) -> f64 {
        (cycles as f64 * self.per_cycle * 1e4).round() / 1e4
    }
}
