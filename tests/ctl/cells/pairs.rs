//! Verbs that undo each other: done, and whether they are.

use serde_json::{Value, json};

use super::verbs::is_of_lock_file;
use crate::engine::Engine;

/// An engine that all pairs can be done on, again and again.
pub fn engine() -> Engine {
    let engine = Engine::up();
    engine.sql(
        "create role clerk createdb createrole login; create role replicator superuser login replication",
    );
    // A lock file in the way of nobody: what stands between the pairs is one file for all of them.
    engine
}

/// Does it.
pub fn does(engine: &Engine, line: &str) -> Value {
    let ran = engine.ctl(&format!("{line} --output json"));
    assert_eq!(ran.code, 0, "{line}: {ran:?}");
    ran.json()
}

/// Whether there was something to do, by what it says.
pub fn changed(line: &str, said: &Value) -> Option<bool> {
    // A lock file is there or it is not, and who made it.
    if is_of_lock_file(line) { None } else { said["changed"].as_bool() }
}

/// That it is so: done again, nothing is left to do.
pub fn is_done(engine: &Engine, line: &str) {
    let said = does(engine, line);
    if is_of_lock_file(line) {
        let locks = line.starts_with("lock");
        assert_eq!(said["lock"].is_object(), locks, "{line}: {said}");
        if locks {
            let words: Value = serde_json::from_str(&engine.read("ins_lock")).expect("a whole lock file");
            assert!(words["kind"].is_string() && words["owner"].is_string(), "{words}");
        }
    } else {
        assert_eq!((&said["changed"], &said["steps"]), (&json!(false), &json!([])), "{line}: {said}");
    }
}
