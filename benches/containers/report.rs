//! The tables, for people and for programs.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::peer::{OURS, Peer, SHELL};
use crate::table::{Table, number};
use crate::{machine, outcome};

/// Fewer are not shown to people.
const ROUNDS_MIN: usize = 5;

const HEAD: &str = "# Benchmarks in containers

Written by `make bench-containers`; do not edit. The same PostgreSQL of the same distribution in three images: ours, one with a shell entrypoint, one
with supervisord (`benches/containers/peers`). They take turns in each round, another one first each time. A table shows the median, the value that 95 of 100
rounds do not exceed, and the median as a multiple of the shell entrypoint's.
";

/// Prints the tables, and writes `bench-containers.json` and, after enough rounds, docs/benchmarks-containers.md.
pub fn write(rounds: usize, peers: &[Peer], tables: &[Table]) -> ExitCode {
    let text = markdown(rounds, peers, tables);
    println!("{}", text.split_once("\n## ").map_or(text.as_str(), |(_, tables)| tables));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![(outcome::target().join("bench-containers.json"), json(rounds, tables))];
    if rounds >= ROUNDS_MIN {
        files.push((root.join("docs/benchmarks-containers.md"), text));
    }
    outcome::leave(&files, tables)
}

fn markdown(rounds: usize, peers: &[Peer], tables: &[Table]) -> String {
    let mut text = HEAD.to_owned();
    writeln!(text, "\nRounds: {rounds}.\n\n| machine | |\n|---|---|").unwrap();
    for (key, value) in machine::facts() {
        writeln!(text, "| {key} | {value} |").unwrap();
    }
    writeln!(text, "\n| image | set up with |\n|---|---|").unwrap();
    for peer in peers {
        writeln!(text, "| {} | {} |", peer.name, peer.absent.as_deref().unwrap_or(peer.note)).unwrap();
    }
    for table in tables {
        let unit = table.unit;
        writeln!(text, "\n## {}\n\n{}\n", table.title, table.method).unwrap();
        for line in table.verdict() {
            writeln!(text, "- {line}").unwrap();
        }
        writeln!(text, "\n| image | median, {unit} | p95, {unit} | × {SHELL} | rounds | |").unwrap();
        writeln!(text, "|---|--:|--:|--:|--:|---|").unwrap();
        let shell = table.median(SHELL);
        for row in &table.rows {
            let name = if row.peer == OURS { format!("**{OURS}**") } else { row.peer.to_owned() };
            let or_dash = |value: Option<f64>| value.map_or_else(|| "-".into(), number);
            let (median, p95) = (row.samples.median(), row.samples.p95());
            let ratio = median.zip(shell).map(|(own, shell)| own / shell);
            let (median, p95, ratio) = (or_dash(median), or_dash(p95), or_dash(ratio));
            let (count, note) = (row.samples.sorted().len(), row.note.replace('|', "/"));
            writeln!(text, "| {name} | {median} | {p95} | {ratio} | {count} | {note} |").unwrap();
        }
    }
    text
}

fn json(rounds: usize, tables: &[Table]) -> String {
    let machine: serde_json::Map<_, _> =
        machine::facts().into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let tables = tables.iter().map(|table| {
        let rows = table.rows.iter().map(|row| {
            json!({ "image": row.peer, "median": row.samples.median(), "p95": row.samples.p95(),
                    "samples": row.samples.sorted(), "note": row.note })
        });
        json!({ "name": table.name, "title": table.title, "unit": table.unit, "verdict": table.verdict(),
                "rows": rows.collect::<Vec<_>>() })
    });
    let all = json!({ "rounds": rounds, "machine": machine, "measures": tables.collect::<Vec<_>>() });
    serde_json::to_string_pretty(&all).expect("JSON") + "\n"
}
