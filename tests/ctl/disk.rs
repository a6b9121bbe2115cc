//! `disk`: on a real server.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::engine::{Engine, refused};

fn df(path: &std::path::Path, column: &str) -> u64 {
    let output = Command::new("df").args(["-B1", &format!("--output={column}")]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
}

fn place<'a>(json: &'a Value, name: &str) -> &'a Value {
    json["places"].as_array().unwrap().iter().find(|place| place["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn what_is_free_and_what_holds_it_back() {
    let mut engine = Engine::on_small_disk();
    engine.start();
    engine.sql("select pg_create_physical_replication_slot('replica_1_a', true)");
    engine.sql("create table t as select generate_series(1, 100000)");
    let tablespace = engine.dir.path().join("more");
    std::fs::create_dir(&tablespace).unwrap();
    let (uid, gid) = crate::engine::postgres();
    std::os::unix::fs::chown(&tablespace, Some(uid), Some(gid)).unwrap();
    engine.sql(&format!("create tablespace more location '{}'", tablespace.display()));
    let json = engine.json("disk status");
    let data = &place(&json, "data_dir")["space"];
    assert_eq!(data["total"], json!(df(&engine.data(), "size")), "{json}");
    assert_eq!(data["total"].as_u64().unwrap(), 120 << 20);
    assert_eq!(data["device"], place(&json, "pg_wal")["space"]["device"], "one file system");
    let number = engine.sql("select oid from pg_tablespace where spcname = 'more'");
    let more = place(&json, &format!("tablespace {number}"));
    assert_eq!(more["path"], json!(tablespace), "{json}");
    assert_ne!(more["space"]["device"], data["device"]);
    assert!(place(&json, "log_dir")["space"]["free"].as_u64().unwrap() > 0);
    assert_eq!(json["wal_bytes"], json!(16 << 20));
    let slot = &json["slots"][0];
    assert_eq!(
        (&slot["name"], &slot["active"], &slot["kind"]),
        (&json!("replica_1_a"), &json!(false), &json!("physical"))
    );
    assert!(slot["held_bytes"].as_u64().unwrap() > 1 << 20, "{json}");
    let text = engine.ctl("disk status").success();
    assert!(
        text.contains("120.0 MiB")
            && text.contains("slot replica_1_a (physical, read by nobody) holds back "),
        "{text}"
    );
    engine.fill_disk();
    let full = engine.json("disk status");
    assert_eq!(place(&full, "data_dir")["space"]["free"], 0, "also on a full disk: {full}");
}

#[test]
fn an_engine_that_does_not_answer_has_disks_all_the_same() {
    let mut engine = Engine::up();
    let check = |engine: &Engine, word: &str| {
        let json = engine.json("disk status --timeout 1s");
        assert!(place(&json, "data_dir")["space"]["total"].as_u64().unwrap() > 0);
        assert_eq!(json["slots"], Value::Null);
        assert!(json["notes"][0].as_str().unwrap().contains(word), "{json}");
    };
    engine.signal(Signal::SIGSTOP);
    check(&engine, "hangs");
    engine.signal(Signal::SIGCONT);
    engine.stop();
    check(&engine, "does not run");
    engine.write("ins_lock", "");
    check(&engine, "locked");
    check(&Engine::recovering(), "starting up");
    let primary = Engine::up();
    assert_eq!(Engine::standby_of(&primary).json("disk status")["slots"], json!([]));
    let nowhere =
        crate::bed::Ctl::new("disk status --output json").option("--data-dir", primary.dir.path()).ran();
    assert_eq!(nowhere.code, 0, "an empty volume has a disk too: {nowhere:?}");
}

/// Makes the small disk larger.
fn grow(engine: &Engine, size: &str) {
    let done =
        Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(engine.data()).status();
    assert!(done.unwrap().success());
}

#[test]
fn t20_a_volume_that_has_grown_is_seen_and_lifts_the_lock_when_asked() {
    let mut engine = Engine::on_small_disk();
    engine.start();
    engine.json("lock --kind diskfull");
    refused(&engine.ctl("disk expand --output json"), 1, "not_grown");
    refused(&engine.ctl("disk expand --unlock --output json"), 1, "not_grown");
    engine.fill_disk();
    grow(&engine, "122m");
    refused(&engine.ctl("disk expand --unlock --output json"), 1, "still_full");
    grow(&engine, "240m");
    let json = engine.json("disk expand");
    assert_eq!((&json["changed"], &json["steps"]), (&json!(false), &json!([])), "{json}");
    let notes = json["notes"].to_string();
    assert!(
        notes.contains("has grown") && notes.contains("told nothing") && notes.contains("--unlock"),
        "{json}"
    );
    let said = engine.json("disk expand --unlock --dry-run");
    assert!(said["steps"][0].as_str().unwrap().starts_with("lift the diskfull lock: "), "{said}");
    assert_eq!(engine.json("lock --kind diskfull")["changed"], false, "it is there still");
    assert_eq!(engine.json("disk expand --unlock")["changed"], true);
    assert_eq!(engine.json("unlock --kind diskfull")["changed"], false, "it is lifted");
    let again = engine.json("disk expand --unlock");
    assert_eq!(
        (&again["changed"], &again["result"]["data_dir"]["total"]),
        (&json!(false), &json!(240 << 20))
    );
    // Down, there is nothing to be told either.
    engine.stop();
    assert!(engine.json("disk expand")["notes"][0].as_str().unwrap().contains("told nothing"));
    refused(&engine.ctl("disk expand --unlock --output json"), 3, "not_running");
    refused(&engine.ctl("disk expand --to 10GB --output json"), 1, "not_grown");
    // Full while it is down, and larger then: it starts without any other step.
    engine.fill_disk();
    assert_eq!(place(&engine.json("disk status"), "data_dir")["space"]["free"], 0);
    grow(&engine, "300m");
    engine.start();
    engine.sql("create table t as select 1 n");
    assert_eq!(engine.sql("select n from t"), "1");
}

#[test]
fn on_pfs_the_function_has_to_be_there() {
    let engine = Engine::up();
    let conf = engine.read("postgresql.conf");
    engine.write(
        "postgresql.conf",
        format!("{conf}polar_datadir='/nvme1n1/data'\npolar_disk_name='nvme1n1'\n"),
    );
    refused(&engine.ctl("disk expand --output json"), 1, "no_polar_vfs");
    refused(&engine.ctl("disk expand --from 20GB --to 45GB --output json"), 2, "usage");
    refused(&engine.ctl("disk expand --from 20GB --to 40GB --output json"), 1, "no_pfs");
    // A function of that name that is somebody's own is not called.
    engine.sql(
        "create table told(disk text); create function polar_vfs_disk_expansion(text) returns bool language sql as \
         'insert into public.told values ($1) returning true'",
    );
    refused(&engine.ctl("disk expand --output json"), 1, "no_polar_vfs");
    // A stand-in for the extension, which has it.
    engine.sql(
        "insert into pg_extension values (99999, 'polar_vfs', 10, 2200, false, '1.0'); insert into pg_depend \
         select 'pg_proc'::regclass, 'polar_vfs_disk_expansion'::regproc, 0, 'pg_extension'::regclass, 99999, 0, 'e'",
    );
    let said = engine.json("disk expand --dry-run");
    assert_eq!(said["steps"], json!([r#"select "public".polar_vfs_disk_expansion('nvme1n1')"#]));
    assert_eq!(engine.sql("select count(*) from told"), "0");
    assert_eq!(engine.json("disk expand")["changed"], true);
    assert_eq!(engine.json("disk expand")["changed"], true, "telling it twice does no harm");
    assert_eq!(engine.sql("select string_agg(disk, ',') from told"), "nvme1n1,nvme1n1");
    assert!(engine.json("disk status")["notes"][0].as_str().unwrap().contains("pfs -C disk info nvme1n1"));
}
