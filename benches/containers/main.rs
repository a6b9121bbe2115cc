//! `make bench-containers`: how fast a database comes and goes in a container under `polar-supervisor`, beside the same
//! PostgreSQL behind a shell entrypoint and behind supervisord.
//!
//! The three take turns, round by round, so that noise hits all alike. What is measured, and how, is said by each measure
//! itself and ends up in docs/benchmarks-containers.md. `ROUNDS` says how many rounds; `ENGINE_IMAGE` names our image.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a benchmark: a panic ends it with its cause, and nothing here is an API; a module of another is used in part"
)]

mod docker;
#[path = "../init/machine.rs"]
mod machine;
mod measure;
#[path = "../init/outcome.rs"]
mod outcome;
mod peer;
mod probe;
mod report;
#[path = "../init/stats.rs"]
mod stats;
#[path = "../init/table.rs"]
mod table;

use std::process::ExitCode;

/// Rounds where `ROUNDS` says nothing: enough for a median, and half an hour.
const ROUNDS: usize = 10;

fn main() -> ExitCode {
    let rounds = match std::env::var("ROUNDS").ok().filter(|text| !text.is_empty()) {
        None => ROUNDS,
        Some(text) => match text.parse() {
            Ok(rounds) if rounds > 0 => rounds,
            _ => {
                eprintln!("bench: ROUNDS is '{text}'; it is a whole number, 1 or more");
                return ExitCode::from(64);
            }
        },
    };
    let Some(ours) = std::env::var("ENGINE_IMAGE").ok().filter(|image| !image.is_empty()) else {
        eprintln!(
            "bench: ENGINE_IMAGE names no image of the engine; `make bench-containers` builds one and names it"
        );
        return ExitCode::from(64);
    };
    if let Err(why) = docker::answers() {
        eprintln!("bench: {why}");
        return ExitCode::FAILURE;
    }
    let room = docker::Room::new();
    let peers = peer::all(&ours, &room);
    let tables = measure::run(rounds, &peers, &room);
    report::write(rounds, &peers, &tables)
}
