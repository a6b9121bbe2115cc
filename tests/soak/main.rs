//! `make soak`: the supervisor as PID 1 under load and random faults, for as long as one likes.
//!
//! `soak [SECONDS [SEED]]`. Same seed, same choices; what they meet depends on the machine's timing too.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "test code: a panic is how a test fails, and nothing here is an API"
)]

#[path = "../it/common/mod.rs"]
mod common;
mod run;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mut number = |default: u64| match words.next() {
        None => Some(default),
        Some(word) => word.parse().ok(),
    };
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let (Some(seconds), Some(seed)) = (number(600), number(clock)) else {
        eprintln!("usage: soak [SECONDS [SEED]], as in 'make soak SECONDS=600 SEED=1'");
        return ExitCode::from(64);
    };
    if run::soak(Duration::from_secs(seconds), seed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
