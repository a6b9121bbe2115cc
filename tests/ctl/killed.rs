//! Operations that are killed on their way and called again, and a log whose disk is full.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::engine::Engine;

/// Killed at another point of its way each time, then called again: it ends as if it had been called once.
fn killed_and_called_again(engine: &Engine, line: &str, back: &str) {
    for number in 0..8_u32 {
        let mut child = engine.command(line).spawn_to(Stdio::null(), Stdio::null());
        // Not a wait for anything.
        std::thread::sleep(Duration::from_millis(u64::from(number) * 12));
        child.kill().unwrap();
        child.wait().unwrap();
        let ran = engine.ctl(&format!("{line} --output json"));
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        assert_eq!(engine.ctl(&format!("{line} --output json")).json()["steps"], json!([]), "{line}");
        assert_eq!(engine.ctl(back).code, 0, "{back}");
    }
}

#[test]
fn accounts() {
    let engine = Engine::up();
    killed_and_called_again(&engine, "account create app --privilege 7", "account drop app");
    assert_eq!(engine.sql("select count(*) from pg_roles where oid > 16000"), "0");
}

#[test]
fn replicas() {
    let engine = Engine::up();
    engine.sql("create role replicator superuser login replication");
    let name = "--kind replica --custins-id 1 --unique-name a";
    killed_and_called_again(&engine, &format!("replica create {name}"), &format!("replica drop {name}"));
    assert_eq!(engine.sql("select count(*) from pg_replication_slots"), "0");
    assert_eq!(engine.sql("show synchronous_standby_names"), "");
}

#[test]
fn the_lock_of_a_full_disk() {
    let engine = Engine::up();
    killed_and_called_again(&engine, "lock --kind diskfull", "unlock --kind diskfull");
    assert_eq!(engine.sql("show default_transaction_read_only"), "off");
}

#[test]
fn a_log_whose_disk_is_full_has_no_part_of_a_line() {
    let engine = Engine::on_small_disk();
    let command = || engine.command("system-identifier").env("POLAR_SUPERVISOR_LOG_DIR", engine.data());
    command().ran().success();
    let path = engine.data().join("manager.log");
    let line = fs::read_to_string(&path).unwrap();
    // So much that the next line begins in the last page of the file and would end in one that is not there.
    let page = 4096;
    fs::write(&path, line.repeat(page / line.len())).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(before.len() < page && before.len() + line.len() > page);
    engine.fill_disk();
    let ran = command().ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("No space left"), "{ran:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    engine.empty_disk();
    command().ran().success();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), page / line.len() + 1);
}
