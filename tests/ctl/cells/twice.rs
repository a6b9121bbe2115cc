//! Each verb done, and done twice.

use super::pairs::{changed, does, engine, is_done};
use super::state::files;
use super::verbs::{PAIRS, PG, STANDBY, Says, VERBS};
use crate::bed::until;

#[test]
fn each_change_is_said_done_and_done_once() {
    let engine = engine();
    for (make, undo) in PAIRS {
        for line in [make, undo] {
            let before = files(&engine);
            if line.contains("lock") || !line.contains("--no-wait") {
                let said = does(&engine, &format!("{line} --dry-run"));
                assert!(files(&engine) == before, "{line}: a dry run changes no file");
                if let Some(steps) = said["steps"].as_array() {
                    assert!(!steps.is_empty(), "{line}: {said}");
                }
            }
            let said = does(&engine, line);
            assert_ne!(changed(line, &said), Some(false), "{line}: {said}");
            is_done(&engine, line);
        }
    }
}

#[test]
fn what_is_done_whenever_it_is_called_can_be_called_twice() {
    let engine = engine();
    for verb in
        VERBS.iter().filter(|verb| PAIRS.iter().all(|(make, undo)| verb.line != *make && verb.line != *undo))
    {
        // What needs names of its own has its own tests.
        if verb.says[STANDBY] == Says::Done || verb.line == "wal switch" {
            for _ in 0..2 {
                does(&engine, verb.line);
            }
        }
    }
    for _ in 0..2 {
        assert_eq!(engine.ctl(PG.line).success(), "1\n");
    }
    until("two switches in a row", || {
        does(&engine, "wal switch");
        does(&engine, "wal switch")["changed"] == false
    });
}
