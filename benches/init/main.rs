//! `make bench`: how fast the supervisor is as an init, beside other inits and beside the least that an init can do.
//!
//! Every init runs as PID 1 of a fresh PID namespace and starts the same tiny program, which notes the moment of its
//! first instruction. The inits take turns, round by round, so that noise hits all alike. What is measured, and how, is
//! said by each measure itself and ends up in docs/benchmarks.md. Options come by the environment: see [`options`].
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a benchmark: a panic ends it with its cause, and nothing here is an API"
)]

mod board;
mod instance;
mod machine;
mod measure;
mod options;
mod outcome;
mod peer;
mod process;
mod report;
mod room;
mod stats;
mod table;
mod tools;

use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match options::Options::read() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("bench: {why}");
            return ExitCode::from(64);
        }
    };
    if !room::inside() {
        return room::enter();
    }
    let tools = tools::Tools::build();
    let room = room::Room::new();
    let peers = peer::all(&tools, &options);
    let tables = measure::run(&options, &peers, &room);
    report::write(&options, &peers, &tables)
}
