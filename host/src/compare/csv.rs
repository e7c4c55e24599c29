//! A report as a table for spreadsheets: one line for each kernel and pipeline.

use std::collections::BTreeMap;

use super::model::{Kernel, Outcome, Report};

const HEADER: &str = "file,function,pipeline,status,verdict,errors,warnings,advice,cycles,ratio,sets,waits,barriers,\
pipe_all,demoted,peak_ids,output_bytes,passes_us,rules,barriers_by_pipe,ids_by_pair,diagnostic\n";

/// The table.
pub fn csv(report: &Report) -> String {
    let line = |kernel: &Kernel, index: usize| {
        let mut fields =
            vec![kernel.file.clone(), kernel.function.clone(), report.pipelines[index].name.clone()];
        match &kernel.results[index] {
            Outcome::Failed { diagnostic } => {
                fields.push("failed".to_owned());
                fields.extend(vec![String::new(); 17]);
                fields.push(diagnostic.trim().to_owned());
            }
            Outcome::Compiled(compiled) => {
                let m = &compiled.metrics;
                let count =
                    |grade: &str| compiled.findings.iter().filter(|f| f.grade == grade).count().to_string();
                fields.extend(["compiled".to_owned(), compiled.verdict.name().to_owned()]);
                fields.extend(["error", "warning", "advice"].map(count));
                fields.push(m.cycles.map_or(String::new(), |c| c.to_string()));
                fields.push(kernel.ratio(index).map_or(String::new(), |r| format!("{r:.6}")));
                let barriers = m.barriers.values().sum::<usize>();
                let ids = m.peak_ids.values().max().copied().unwrap_or(0);
                let counts = [m.sets, m.waits, barriers, m.pipe_all, m.demoted, ids, m.output_bytes];
                fields.extend(counts.map(|n| n.to_string()));
                fields.push(m.passes.iter().map(|(_, us)| us).sum::<u64>().to_string());
                fields.push(list(&compiled.by_rule()));
                fields.extend([list(&m.barriers), list(&m.peak_ids), String::new()]);
            }
        }
        fields.iter().map(|f| field(f)).collect::<Vec<_>>().join(",") + "\n"
    };
    let lines = report.kernels.iter().flat_map(|k| (0..k.results.len()).map(move |index| (k, index)));
    HEADER.to_owned() + &lines.map(|(kernel, index)| line(kernel, index)).collect::<String>()
}

/// `NAME=N NAME=N`.
fn list(counts: &BTreeMap<String, usize>) -> String {
    counts.iter().map(|(name, n)| format!("{name}={n}")).collect::<Vec<_>>().join(" ")
}

fn field(text: &str) -> String {
    let plain = !text.contains(['"', ',', '\n', '\r']);
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn fields_with_separators_are_quoted() {
        assert_eq!(super::field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(super::field("plain"), "plain");
    }
}
