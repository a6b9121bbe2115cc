//! Each change killed on its way, and called again: it ends as if it had been called once.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::pairs::{does, engine, is_done};
use super::state::files;
use super::verbs::{ALWAYS, PAIRS};
use crate::engine::Engine;

/// At so many points of its way each one is killed.
const POINTS: u32 = 6;

/// How long it takes, by one that is left alone.
fn takes(engine: &Engine, line: &str) -> Duration {
    let begin = Instant::now();
    does(engine, line);
    begin.elapsed()
}

fn kill(engine: &Engine, line: &str, after: Duration) {
    let mut child = engine.command(line).spawn_to(Stdio::null(), Stdio::null());
    // Not a wait for anything: each time at another point of its way.
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What of these files a killed verb has torn: each is as one that is whole.
fn whole(engine: &Engine, line: &str, states: [&std::collections::BTreeMap<String, Vec<u8>>; 3]) {
    let found = files(engine);
    for name in ["postgresql.conf", "pg_hba.conf", "postgresql.auto.conf", "pg_ident.conf"] {
        let file = found.get(name).expect(name);
        let known = states.iter().any(|state| state.get(name) == Some(file));
        assert!(known, "{line}: {name} is whole: {}", String::from_utf8_lossy(file));
    }
}

#[test]
fn each_change_called_again() {
    let engine = engine();
    for (make, undo) in PAIRS {
        let before = files(&engine);
        let long = takes(&engine, make);
        let after = files(&engine);
        let short = takes(&engine, undo);
        // What is taken back may have left a word: an empty value where none was.
        let back = files(&engine);
        for (line, other, takes) in [(make, undo, long), (undo, make, short)] {
            for point in 0..POINTS {
                does(&engine, other);
                kill(&engine, line, takes * point / POINTS);
                whole(&engine, line, [&before, &after, &back]);
                does(&engine, line);
                is_done(&engine, line);
            }
        }
        does(&engine, undo);
        assert_eq!(engine.read("postgresql.conf").as_bytes(), back["postgresql.conf"], "{undo}");
    }
}

#[test]
fn what_is_done_whenever_it_is_called() {
    let engine = engine();
    for line in ALWAYS.into_iter().chain(["wal switch"]) {
        let takes = takes(&engine, line);
        for point in 0..POINTS {
            kill(&engine, line, takes * point / POINTS);
            does(&engine, line);
        }
    }
    assert_eq!(engine.json("params diff"), serde_json::json!([]));
}
