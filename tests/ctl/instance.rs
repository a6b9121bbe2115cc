//! What all operations on an instance have in common, and those of a few lines.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::bed::{Ctl, until};
use crate::engine::{Engine, postgres, refused};

#[test]
fn a_standby_has_its_primarys_number() {
    let primary = Engine::up();
    let standby = Engine::standby_of(&primary);
    assert_eq!(standby.json("system-identifier"), primary.json("system-identifier"));
}

#[test]
fn another_user_is_not_permitted() {
    let engine = Engine::up();
    let ran = Ctl::as_uid(65_534, "wal switch --output json").option("--data-dir", &engine.data()).ran();
    assert_eq!(ran.code, 77, "the data directory is closed: {ran:?}");
    let (uid, _) = postgres();
    let ran = Ctl::as_uid(uid, "wal switch").option("--data-dir", &engine.data());
    let ran = ran.env("POLAR_SUPERVISOR_LOG_DIR", engine.log_dir()).ran();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn no_database_there() {
    let dir = tempfile::tempdir().unwrap();
    let ran = Ctl::new("wal switch --output json").option("--data-dir", dir.path()).ran();
    assert_eq!((ran.code, ran.json()["error"]["code"].as_str()), (1, Some("no_instance")), "{ran:?}");
}

#[test]
fn the_system_identifier_whatever_the_engine_does() {
    let mut engine = Engine::up();
    let number = engine.sql("select system_identifier from pg_control_system()");
    assert_eq!(engine.ctl("system-identifier").success().trim(), number);
    assert_eq!(engine.json("system-identifier"), json!({"system_identifier": number}));
    engine.signal(Signal::SIGSTOP);
    assert_eq!(engine.ctl("system-identifier").success().trim(), number);
    engine.signal(Signal::SIGCONT);
    engine.stop();
    assert_eq!(engine.ctl("system-identifier").success().trim(), number);
    fs::write(engine.data().join("global/pg_control"), "").unwrap();
    refused(&engine.ctl("system-identifier --output json"), 1, "bad_control_file");
    // A node on shared storage has none; the engine itself is asked.
    fs::remove_file(engine.data().join("global/pg_control")).unwrap();
    refused(&engine.ctl("system-identifier --output json"), 1, "no_control_file");
}

#[test]
fn health_is_select_1() {
    let engine = Engine::up();
    let before = engine.manager_log().len();
    for line in ["health", "health --sql", "health --ready"] {
        let json = engine.json(line);
        assert_eq!((&json["ready"], &json["engines"][0]["ready"]), (&json!(true), &json!(true)), "{line}");
        assert!(json["engines"][0]["milliseconds"].as_f64().unwrap() > 0.0);
    }
    assert!(engine.ctl("health").success().contains("select 1 answered in "));
    assert_eq!(engine.manager_log().len(), before + 4);
    // What nobody but a supervisor can tell.
    assert_eq!(engine.ctl("health --live").code, 2);
    let ran = Ctl::as_uid(65_534, "health").option("--data-dir", &engine.data()).ran();
    assert_eq!(ran.code, 77, "{ran:?}");
}

#[test]
fn wal_switch_ends_a_segment() {
    let engine = Engine::up();
    let segment = || engine.sql("select pg_walfile_name(pg_current_wal_insert_lsn())");
    engine.sql("create table a as select generate_series(1, 1000)");
    let before = segment();
    let said = engine.json("wal switch --dry-run");
    assert_eq!((&said["changed"], &said["dry_run"]), (&json!(false), &json!(true)));
    assert!(
        said["steps"][0].as_str().unwrap().starts_with(&format!("end segment {before} at byte ")),
        "{said}"
    );
    assert_eq!(segment(), before, "a dry run changes nothing");
    assert_eq!(engine.json("wal switch")["changed"], true);
    engine.sql("create table b as select 1");
    assert!(segment() > before);
    // Where nothing was written meanwhile the second one has nothing to do.
    until("two switches in a row", || {
        engine.json("wal switch");
        engine.json("wal switch")["steps"] == json!([])
    });
}

#[test]
fn pg_is_psql_as_the_superuser() {
    let engine = Engine::up();
    let ran = engine.command("pg -XAt -c").word("select current_user, 'it''s %'").ran();
    assert_eq!(ran.success(), "postgres|it's %\n");
    let ran = engine.command("pg -- -XAt -d template1 -c").word("select current_database()").ran();
    assert_eq!(ran.success(), "template1\n");
    // Its exit status is psql's own.
    assert_eq!(engine.command("pg -c").word("select 1/0").ran().code, 1);
    assert_eq!(engine.command("pg -v ON_ERROR_STOP=1 -c").word("select 1/0").ran().code, 1);
}

#[test]
fn each_operation_leaves_one_line() {
    let engine = Engine::up();
    engine.command("wal switch").env("request_id", "request\n7").ran().success();
    engine.ctl("system-identifier").success();
    engine.ctl("pg -c select").success();
    let lines = engine.manager_log();
    let words: Vec<Vec<&str>> = lines.iter().map(|line| line.splitn(5, " - ").collect()).collect();
    assert_eq!(words[0][1..4], ["INFO", "request\\n7", "wal switch"], "{lines:?}");
    assert!(words[0][4].starts_with("done: end segment "), "{lines:?}");
    assert_eq!((words[1][3], words[1][4]), ("system-identifier", "done"));
    assert_eq!(words[1][2].len(), 36, "a request has a name: {lines:?}");
    assert_eq!((words[2][3], words[2][4]), ("pg", "psql is started"));
    let (uid, _) = postgres();
    let meta = fs::metadata(engine.log_dir().join("manager.log")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (uid, 0o644), "the folder's owner");
}

#[test]
fn a_log_that_cannot_be_written_fails_nothing() {
    let engine = Engine::up();
    fs::remove_dir_all(engine.log_dir()).unwrap();
    let ran = engine.ctl("wal switch");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("manager.log: no line of this was added"), "{ran:?}");
}

#[test]
fn the_server_of_another_data_directory_is_not_taken_for_ours() {
    let (ours, other) = (Engine::down(), Engine::up());
    let number = |engine: &Engine| engine.json("system-identifier");
    assert_eq!(number(&ours), number(&other), "copies of one database");
    // A pid file that was left behind names the folder where the other one listens.
    let text = other.read("postmaster.pid");
    let text = text.replacen(&text.lines().next().unwrap().to_owned(), "99999", 1);
    ours.write("postmaster.pid", text.replace("\n.\n", &format!("\n{}\n", other.data().display())));
    refused(&ours.ctl("wal switch --output json"), 3, "not_running");
}
