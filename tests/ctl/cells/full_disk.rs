//! No byte is left where a file is to be written: the old one stays whole, and nothing stays beside it.

use std::collections::BTreeMap;

use super::pairs::does;
use super::state::files;
use super::verbs::{PAIRS, PG, STANDBY, Says, VERBS, is_of_lock_file};
use crate::engine::Engine;

/// Files of the engine's configuration and their content.
type Files = BTreeMap<String, Vec<u8>>;

/// Asks for it on the full disk: it is done, or refused with no file touched.
fn asked(engine: &Engine, line: &str) -> bool {
    let before: Files = files(engine);
    let ran = engine.ctl(&format!("{line} --output json"));
    if ran.code == 0 {
        return true;
    }
    let error = &ran.json()["error"];
    assert_eq!(ran.code, 1, "{line}: {ran:?}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("No space left"), "what happened: {line}: {error}");
    assert!(message.contains("; free space "), "what to do next: {line}: {error}");
    let after = files(engine);
    for (name, content) in &before {
        assert!(after.get(name) == Some(content), "{line}: {name} is as it was");
    }
    let more: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert_eq!(more, [""; 0], "{line}: nothing stays beside it");
    false
}

/// A server on a small disk, and the disk filled. All that can be asked for has been once, so that no verb meets the
/// full disk by what the server itself makes at the first use.
fn full() -> Engine {
    let mut engine = Engine::on_small_disk();
    engine.start();
    engine.sql(
        "create role clerk createdb createrole login; create role replicator superuser login replication",
    );
    for (make, undo) in PAIRS {
        does(&engine, make);
        does(&engine, undo);
    }
    engine.sql("alter system reset all");
    engine.fill_disk();
    engine
}

#[test]
fn what_writes_a_file_is_refused_and_the_old_one_is_whole() {
    let engine = full();
    let mut refused = Vec::new();
    for (make, undo) in PAIRS {
        if asked(&engine, make) {
            assert!(asked(&engine, undo), "{undo}: what was done can be undone");
        } else {
            refused.push(make);
        }
    }
    for line in [
        "replica create --kind replica --custins-id 1 --unique-name a",
        "params set work_mem=9MB",
        "ssl enable",
    ] {
        assert!(refused.contains(&line), "{line}: the disk is full: {refused:?}");
    }
    // The lock file's words need a byte as well.
    assert!(refused.iter().any(|line| is_of_lock_file(line)), "{refused:?}");
    engine.empty_disk();
    for (make, undo) in PAIRS {
        does(&engine, make);
        does(&engine, undo);
    }
}

#[test]
fn what_takes_something_back_is_refused_and_the_old_one_is_whole() {
    let mut engine = Engine::on_small_disk();
    engine.start();
    engine.sql(
        "create role clerk createdb createrole login; create role replicator superuser login replication",
    );
    let of_one_lock = |line: &str| is_of_lock_file(line) && !line.contains("expired");
    for (make, _) in PAIRS.iter().filter(|(make, _)| !of_one_lock(make)) {
        does(&engine, make);
    }
    engine.fill_disk();
    let mut done = Vec::new();
    for (_, undo) in PAIRS.iter().filter(|(make, _)| !of_one_lock(make)) {
        if asked(&engine, undo) {
            done.push(undo);
        }
    }
    assert!(!done.contains(&&"params unset work_mem"), "it writes the file anew: {done:?}");
    assert!(done.contains(&&"unlock --kind expired --no-wait"), "it removes a file: {done:?}");
    engine.empty_disk();
    for (_, undo) in PAIRS.iter().filter(|(make, _)| !of_one_lock(make)) {
        does(&engine, undo);
    }
}

#[test]
fn what_writes_nothing_goes_on() {
    let engine = full();
    for verb in VERBS.iter().filter(|verb| verb.says[STANDBY] == Says::Done) {
        if PAIRS.iter().all(|(make, undo)| verb.line != *make && verb.line != *undo) {
            does(&engine, verb.line);
        }
    }
    assert_eq!(engine.ctl(PG.line).success(), "1\n");
}

#[test]
fn what_the_server_has_no_room_for_is_told_like_a_file() {
    let engine = full();
    // Nothing is to be written but a slot.
    assert!(!asked(&engine, "replica create --kind standby --custins-id 1 --unique-name a"));
    assert_eq!(engine.sql("select count(*) from pg_replication_slots"), "0");
}

#[test]
fn the_file_of_who_may_come_in_is_whole() {
    let mut engine = Engine::on_small_disk();
    engine.start();
    engine.sql("create role replicator superuser login replication");
    let hba = engine.read("pg_hba.conf");
    engine.write("pg_hba.conf", hba.replace("host    replication", "#host    replication"));
    engine.sql("select pg_reload_conf()");
    let line = "replica create --kind standby --custins-id 1 --unique-name a";
    engine.fill_disk();
    assert!(!asked(&engine, line), "a line of pg_hba.conf is to be written");
    assert_eq!(engine.sql("select count(*) from pg_replication_slots"), "0");
    engine.empty_disk();
    assert!(does(&engine, line)["steps"].to_string().contains("pg_hba.conf"));
    assert_eq!(does(&engine, line)["changed"], false);
}
