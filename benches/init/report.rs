//! The tables, for people and for programs.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::machine;
use crate::options::Options;
use crate::outcome;
use crate::peer::{LIMIT, OURS, Peer};
use crate::table::{Row, Table, number};

const HEAD: &str = "# Benchmarks

Written by `make bench`; do not edit. `polar-supervisor` as an init beside other inits, and beside *limit*: a C program of a few lines that does
the least that an init can do (fork, exec, waitpid).

Each init is PID 1 of a fresh PID namespace (`unshare --pid --fork --mount-proc --ipc`), its files on a tmpfs, and keeps copies of a small static C program
that notes the moment of its first instruction, and of a SIGTERM, on a memory-mapped file (`CLOCK_MONOTONIC`). The inits take turns in each round, another
one first each time, so that noise hits all alike. A table shows the median, the value that 95 of 100 rounds do not exceed, and the median as a multiple of the limit's.
A peer gets the best case: where it runs a script, the script is the program itself, with no shell before it.
";

/// Prints the tables, and writes `bench.json` and, after a whole run, docs/benchmarks.md.
pub fn write(options: &Options, peers: &[Peer], tables: &[Table]) -> ExitCode {
    let text = markdown(options, peers, tables);
    println!("{}", text.split_once("\n## ").map_or(text.as_str(), |(_, tables)| tables));
    let mut files = vec![(outcome::target().join("bench.json"), json(options, peers, tables))];
    if options.whole() {
        files.push((Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md"), text));
    }
    outcome::leave(&files, tables)
}

fn markdown(options: &Options, peers: &[Peer], tables: &[Table]) -> String {
    let mut text = HEAD.to_owned();
    writeln!(text, "\nRounds: {} (a part of that where a round takes long).\n", options.rounds).unwrap();
    writeln!(text, "| machine | |\n|---|---|").unwrap();
    for (key, value) in machine::facts() {
        writeln!(text, "| {key} | {value} |").unwrap();
    }
    writeln!(text, "\n| init | version | set up with |\n|---|---|---|").unwrap();
    for peer in peers {
        let how = peer.absent.as_deref().unwrap_or(peer.note);
        writeln!(text, "| {} | {} | {how} |", peer.name, peer.version).unwrap();
    }
    for table in tables {
        write_table(&mut text, table);
    }
    text
}

fn write_table(text: &mut String, table: &Table) {
    writeln!(text, "\n## {}\n\n{}\n", table.title, table.method).unwrap();
    for line in table.verdict() {
        writeln!(text, "- {line}").unwrap();
    }
    let unit = table.unit;
    writeln!(
        text,
        "\n| init | median, {unit} | p95, {unit} | × limit | rounds | |\n|---|--:|--:|--:|--:|---|"
    )
    .unwrap();
    for row in ordered(table) {
        let name = if row.peer == OURS { format!("**{OURS}**") } else { row.peer.to_owned() };
        let rounds = row.samples.sorted().len();
        let note = row.note.replace('|', "/");
        match (row.samples.median(), row.samples.p95()) {
            (Some(median), Some(p95)) => {
                let ratio = table.ratio(median).map_or_else(|| "-".into(), number);
                writeln!(
                    text,
                    "| {name} | {} | {} | {ratio} | {rounds} | {note} |",
                    number(median),
                    number(p95)
                )
                .unwrap();
            }
            _ => writeln!(text, "| {name} | - | - | - | 0 | {note} |").unwrap(),
        }
    }
}

/// The limit first, then the best; those without a value last.
fn ordered(table: &Table) -> Vec<&Row> {
    let mut rows: Vec<&Row> = table.rows.iter().collect();
    rows.sort_by(|one, other| {
        let key = |row: &Row| {
            let value =
                row.samples.median().map_or(f64::INFINITY, |value| if table.more { -value } else { value });
            (row.peer != LIMIT, value)
        };
        let ((a, x), (b, y)) = (key(one), key(other));
        a.cmp(&b).then(x.total_cmp(&y))
    });
    rows
}

fn json(options: &Options, peers: &[Peer], tables: &[Table]) -> String {
    let machine: serde_json::Map<_, _> =
        machine::facts().into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let peers: Vec<_> = peers
        .iter()
        .map(|peer| json!({ "name": peer.name, "version": peer.version, "note": peer.note, "absent": peer.absent }))
        .collect();
    let tables: Vec<_> = tables
        .iter()
        .map(|table| {
            let rows = ordered(table).into_iter().map(|row| {
                let median = row.samples.median();
                json!({
                    "init": row.peer,
                    "median": median,
                    "p95": row.samples.p95(),
                    "ratio": median.and_then(|median| table.ratio(median)),
                    "samples": row.samples.sorted(),
                    "note": row.note,
                })
            });
            json!({
                "name": table.name,
                "title": table.title,
                "unit": table.unit,
                "more_is_better": table.more,
                "verdict": table.verdict(),
                "rows": rows.collect::<Vec<_>>(),
            })
        })
        .collect();
    let all = json!({ "rounds": options.rounds, "machine": machine, "inits": peers, "measures": tables });
    serde_json::to_string_pretty(&all).expect("JSON") + "\n"
}
