//! `params`: full disks, kills, and two at once.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use polardb_manager::engine::guc::Kind;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::bed::until;
use crate::engine::{Engine, refused};

#[test]
fn a_full_disk_leaves_the_old_file_whole() {
    let engine = Engine::on_small_disk();
    let before = engine.read("postgresql.conf");
    engine.fill_disk();
    let ran = engine
        .command("params set --output json")
        .word(&format!("polar_test.text={}", "x".repeat(100_000)))
        .ran();
    refused(&ran, 1, "file");
    assert!(ran.stdout.contains("No space left") && ran.stdout.contains("free space"), "{ran:?}");
    assert_eq!(engine.read("postgresql.conf"), before);
    engine.empty_disk();
    assert_eq!(engine.json("params set polar_test.text=short")["changed"], true);
}

#[test]
fn killed_at_any_time_and_called_again() {
    let engine = Engine::up();
    let before = engine.read("postgresql.conf");
    for number in 0..20_u32 {
        let mut child = engine
            .command(&format!("params set work_mem={}MB", number + 5))
            .spawn_to(Stdio::null(), Stdio::null());
        // Not a wait for anything: each time at another point of its way.
        std::thread::sleep(Duration::from_millis(u64::from(number) * 6));
        child.kill().unwrap();
        child.wait().unwrap();
        let text = engine.read("postgresql.conf");
        let rest = text.strip_prefix(&before).expect("the file is whole");
        assert!(rest.is_empty() || rest.starts_with("work_mem=") && rest.ends_with("MB\n"), "{rest}");
    }
    engine.json("params set work_mem=77MB");
    assert_eq!(engine.sql("show work_mem"), "77MB");
    assert_eq!(engine.json("params diff"), Value::Array(vec![]));
}

#[test]
fn t26_it_is_not_done_before_the_postmaster_has_read_its_files() {
    let engine = Engine::up();
    until("nobody to be there", || engine.sessions() == 0);
    let mut child = engine.command("params set work_mem=9MB").spawn();
    until("its session", || engine.sessions() > 0);
    // It has its session, and asks the executable for a while.
    engine.signal(Signal::SIGSTOP);
    until("the file to be written", || engine.read("postgresql.conf").ends_with("work_mem=9MB\n"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "nobody has confirmed it");
    engine.signal(Signal::SIGCONT);
    assert!(child.wait().unwrap().success());
    assert_eq!(engine.sql("show work_mem"), "9MB");
}

#[test]
fn the_second_of_two_waits_and_says_for_whom() {
    let engine = Engine::up();
    let turn = File::options().read(true).write(true).open(engine.data().join("PG_VERSION")).unwrap();
    flock(&turn, FlockOperation::LockExclusive).unwrap();
    engine.write("ins_request", "params set by somebody, request 7");
    let ran = engine.ctl("params set work_mem=9MB --timeout 200ms");
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("waits for params set by somebody, request 7"), "{ran:?}");
    assert!(
        engine.ctl("params set work_mem=9MB --dry-run").code == 0,
        "who changes nothing waits for nobody"
    );
    let waiting = engine.command("params set work_mem=9MB").spawn();
    let mut other = engine.command("params set work_mem=9MB maintenance_work_mem=30MB").spawn();
    flock(&turn, FlockOperation::Unlock).unwrap();
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert!(other.wait().unwrap().success());
    assert_eq!(
        engine.sql("select current_setting('work_mem') || current_setting('maintenance_work_mem')"),
        "9MB30MB"
    );
}

#[test]
fn types_and_ranges_are_the_servers() {
    let engine = Engine::up();
    let sql = "select json_agg(json_build_array(name, vartype, unit, min_val, max_val, enumvals, setting, boot_val)) \
               from pg_settings";
    let rows: Vec<Vec<Value>> = serde_json::from_str(&engine.sql(sql)).unwrap();
    assert!(rows.len() > 300);
    for row in &rows {
        let words = serde_json::from_value(row[5].clone()).unwrap_or_default();
        let kind =
            Kind::of(row[1].as_str().unwrap(), row[2].as_str(), (row[3].as_str(), row[4].as_str()), words);
        let setting = row[6].as_str().unwrap_or_default();
        let canonical = kind.canonical(setting).unwrap_or_else(|why| panic!("{row:?}: {why}"));
        // Numbers with a point, and modes of files, have more than one spelling.
        let other = row[1] == "real" || setting.starts_with('0');
        assert!(
            canonical.is_none_or(|value| value == setting || other && kind.same(&value, setting)),
            "{row:?}"
        );
    }
    // One in units, as the server takes it.
    let table = [
        ("work_mem", "1.1GB"),
        ("work_mem", "65.5kB"),
        ("work_mem", "0x100"),
        ("statement_timeout", "1.5min"),
        ("statement_timeout", "1e3"),
    ];
    for (name, text) in table {
        let row = rows.iter().find(|row| row[0] == name).unwrap();
        let kind = Kind::of("integer", row[2].as_str(), (row[3].as_str(), row[4].as_str()), vec![]);
        let taken = engine
            .sql(&format!("set {name} = '{text}'; select setting from pg_settings where name = '{name}'"));
        assert_eq!(kind.canonical(text).unwrap().as_deref(), taken.lines().last(), "{name} {text}");
    }
}
