//! A short run of what `make soak` does for ten minutes.

#[path = "../soak/run/mod.rs"]
mod run;

use std::time::Duration;

#[test]
fn random_faults_under_load_break_no_law() {
    assert!(run::soak(Duration::from_secs(8), 5), "a law was broken: the output tells which, and the seed");
}
