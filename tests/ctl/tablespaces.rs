//! `tablespace create` on a real server.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::bed::Ran;
use crate::engine::{Engine, done, postgres, refused};

/// A folder of the engine's user beside the data directory, in which that one may make others.
fn disk(engine: &Engine) -> PathBuf {
    folder(&engine.dir.path().join("disk1"), Some(postgres()))
}

fn folder(path: &Path, owner: Option<(u32, u32)>) -> PathBuf {
    fs::DirBuilder::new().mode(0o755).create(path).unwrap();
    if let Some((uid, gid)) = owner {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
    path.to_owned()
}

fn create(engine: &Engine, name: &str, location: &Path, more: &str) -> Ran {
    let command = engine.command(&format!("tablespace create {more} --output json"));
    command.option("--location", location).word("--").word(name).ran()
}

fn tablespaces(engine: &Engine) -> String {
    engine.sql("select string_agg(spcname, ' ' order by spcname) from pg_tablespace where oid > 16000")
}

#[test]
fn said_done_and_done_twice() {
    let engine = Engine::up();
    let place = disk(&engine).join("fast");
    let said = done(&create(&engine, "fast", &place, "--dry-run"));
    assert_eq!((said["steps"].as_array().unwrap().len(), place.exists()), (2, false), "{said}");
    let json = done(&create(&engine, "fast", &place, ""));
    let result = json!({ "name": "fast", "location": place, "owner": "postgres" });
    assert_eq!((&json["changed"], &json["result"]), (&json!(true), &result));
    let meta = fs::metadata(&place).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.uid()), (0o700, postgres().0));
    engine.sql("create table t tablespace fast as select 1 as a");
    for same in [place.clone(), PathBuf::from(format!("/{}/./", place.display()))] {
        let again = done(&create(&engine, "fast", &same, ""));
        assert_eq!(
            (&again["changed"], &again["steps"], &again["result"]),
            (&json!(false), &json!([]), &result)
        );
    }
    let elsewhere = create(&engine, "fast", &place.with_file_name("slow"), "");
    refused(&elsewhere, 1, "other_location");
    assert!(elsewhere.stdout.contains(place.to_str().unwrap()), "it says which: {elsewhere:?}");
    refused(&create(&engine, "slow", &place, ""), 1, "in_use");
    assert_eq!(tablespaces(&engine), "fast");
}

#[test]
fn it_belongs_to_whom_it_is_to_belong_to() {
    let engine = Engine::up();
    let place = disk(&engine).join("a");
    refused(&create(&engine, "a", &place, "--owner app"), 1, "no_such_role");
    assert!(!place.exists());
    engine.sql("create role app; create role \"o'\"\"p\"");
    assert_eq!(done(&create(&engine, "a", &place, "--owner app"))["result"]["owner"], "app");
    assert_eq!(done(&create(&engine, "a", &place, ""))["steps"], json!([]), "whoever has it keeps it");
    let given = done(&create(&engine, "a", &place, "--owner o'\"p"));
    assert_eq!((&given["changed"], &given["result"]["owner"]), (&json!(true), &json!("o'\"p")));
}

#[test]
fn a_folder_that_is_there_and_folders_that_do_not_fit() {
    let engine = Engine::up();
    let disk = disk(&engine);
    let fits = folder(&disk.join("fits"), Some(postgres()));
    assert_eq!(done(&create(&engine, "fits", &fits, ""))["steps"].as_array().unwrap().len(), 1);
    assert_eq!(fs::metadata(&fits).unwrap().mode() & 0o777, 0o700);
    let root = folder(&disk.join("root"), None);
    let full = folder(&disk.join("full"), Some(postgres()));
    fs::write(full.join("precious"), "data").unwrap();
    symlink(folder(&disk.join("target"), Some(postgres())), disk.join("link")).unwrap();
    symlink(engine.data(), disk.join("to_data")).unwrap();
    let closed = folder(&engine.dir.path().join("closed"), None);
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    for place in [
        root.clone(),
        full.clone(),
        disk.join("link"),
        disk.join("no/where"),
        disk.join("to_data/x"),
        engine.data().join("x"),
        engine.data().join("base"),
        closed.join("x"),
        PathBuf::from("relative"),
        disk.join("../disk1/x"),
        disk.join("it's"),
        disk.join("x".repeat(1000)),
    ] {
        refused(&create(&engine, "t", &place, ""), 1, "bad_location");
    }
    assert_eq!(tablespaces(&engine), "fits");
    assert_eq!(fs::metadata(&root).unwrap().uid(), 0, "nothing is given away");
    assert_eq!(fs::read_to_string(full.join("precious")).unwrap(), "data");
    assert!(!closed.join("x").exists() && !engine.data().join("x").exists());
}

#[test]
fn hostile_names_and_places() {
    let engine = Engine::up();
    let disk = disk(&engine);
    for (number, text) in
        ["a b", "\"; drop role postgres; --", "a\nb", "back\\slash", "%s%n", "\u{1f418}", "-x", "it''s $$ x"]
            .into_iter()
            .enumerate()
    {
        let place = disk.join(format!("{number}{}", text.replace(['\'', '/'], "")));
        let json = done(&create(&engine, text, &place, ""));
        assert_eq!(json["result"]["location"], json!(place), "{text:?}");
        let name = text.replace('\'', "''").replace('\\', "\\\\");
        let at = engine
            .sql(&format!("select pg_tablespace_location(oid) from pg_tablespace where spcname = E'{name}'"));
        assert_eq!(Path::new(&at), place, "{text:?}");
        assert_eq!(done(&create(&engine, text, &place, ""))["changed"], false, "{text:?}");
    }
    for name in ["", "pg_mine", &"x".repeat(64), &"x".repeat(100_000)] {
        refused(&create(&engine, name, &disk.join("none"), ""), 1, "bad_name");
    }
    assert!(!disk.join("none").exists());
    let log = engine.manager_log();
    assert!(log.iter().all(|line| line.contains(" - tablespace create")), "a line an operation: {log:?}");
}

#[test]
fn what_the_engine_refuses_leaves_no_folder_behind() {
    let engine = Engine::up();
    let place = disk(&engine).join("t");
    // Until the lock on the catalog is gone, no tablespace comes about.
    let mut psql = engine.psql();
    psql.args(["-c", "begin; lock pg_tablespace in exclusive mode; select pg_sleep(600)"]);
    let mut holder = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    crate::bed::until("the lock", || {
        engine.sql(
            "select count(*) from pg_locks where relation = 'pg_tablespace'::regclass and mode = 'ExclusiveLock'",
        ) == "1"
    });
    refused(&create(&engine, "t", &place, "--timeout 1s"), 5, "timed_out");
    assert!(!place.exists());
    engine.sql("select pg_terminate_backend(pid) from pg_locks where relation = 'pg_tablespace'::regclass and mode = 'ExclusiveLock'");
    holder.wait().unwrap();
    done(&create(&engine, "t", &place, ""));
}

#[test]
fn killed_and_called_again() {
    let engine = Engine::up();
    let disk = disk(&engine);
    for number in 0..8_u32 {
        let (name, place) = (format!("t{number}"), disk.join(format!("t{number}")));
        let command = engine.command("tablespace create").option("--location", &place).word(&name);
        let mut child = command.spawn_to(Stdio::null(), Stdio::null());
        // Not a wait for anything.
        std::thread::sleep(Duration::from_millis(u64::from(number) * 6));
        child.kill().unwrap();
        child.wait().unwrap();
        done(&create(&engine, &name, &place, ""));
        assert_eq!(done(&create(&engine, &name, &place, ""))["steps"], json!([]));
    }
}

#[test]
fn engines_that_make_none() {
    let mut engine = Engine::up();
    let disk = disk(&engine);
    let standby = Engine::standby_of(&engine);
    refused(&create(&standby, "t", &disk.join("t"), ""), 1, "standby");
    let noted = done(&create(&engine, "t", &disk.join("t"), "--dry-run"));
    assert!(noted["notes"][0].as_str().unwrap().contains("each standby"), "{noted}");
    drop(standby);
    engine.signal(Signal::SIGSTOP);
    refused(&create(&engine, "t", &disk.join("t"), "--timeout 1s"), 5, "hung");
    engine.signal(Signal::SIGCONT);
    let crowd = engine.take_all_connections();
    refused(&create(&engine, "t", &disk.join("t"), ""), 1, "overloaded");
    drop(crowd);
    engine.stop();
    refused(&create(&engine, "t", &disk.join("t"), ""), 3, "not_running");
    engine.write("ins_lock", "");
    refused(&create(&engine, "t", &disk.join("t"), ""), 3, "locked");
    assert!(!disk.join("t").exists());
}
