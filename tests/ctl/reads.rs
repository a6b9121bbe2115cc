//! What the verbs that read print.

use std::fs;
use std::io::{BufRead, BufReader, Read};

use polardb_manager::control::protocol::{LastExit, Lock, Op, Status};
use serde_json::{Value, json};

use crate::bed::{Bed, accepting, down, engine, ok, pid_file, refused, running, until};

fn two() -> Vec<Status> {
    let exit =
        LastExit { code: Some(1), signal: None, class: "failed".into(), at: "2001-01-01T00:00:00Z".into() };
    let sidecar = Status { last_exit: Some(exit), restarts: 2, ..running("sidecar", "command") };
    vec![running("engine", "postgres"), sidecar]
}

fn of(all: &[Status], program: Option<&String>) -> Vec<Value> {
    let found: Vec<&Status> =
        all.iter().filter(|status| program.is_none_or(|name| *name == status.name)).collect();
    if found.is_empty() {
        refused("unknown_program", "there is no program of that name; known: engine, sidecar")
    } else {
        ok(found)
    }
}

fn status_bed(all: Vec<Status>) -> Bed {
    Bed::new(move |op| match op {
        Op::Status { program } => of(&all, program.as_ref()),
        other => panic!("{other:?}"),
    })
}

#[test]
fn status_is_a_table() {
    let text = status_bed(two()).ctl("status").success();
    let (text, last_exit) = text.split_once("exit 1 (failed, ").unwrap();
    assert!(last_exit.ends_with("h ago)\n"), "{last_exit}");
    let expected = "\
NAME     KIND      STATE    READY  WHY  PID  FOR   RESTARTS  LAST EXIT
engine   postgres  running  yes    -    42   3d2h  0         -
sidecar  command   running  yes    -    42   3d2h  2         ";
    assert_eq!(text, expected);
}

#[test]
fn status_as_json_is_an_array_and_of_one_program_an_object() {
    let bed = status_bed(two());
    let all = bed.ctl("status --output json").json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let one = bed.ctl("--output json status sidecar").json();
    assert_eq!(one, all[1]);
    for key in [
        "name",
        "kind",
        "state",
        "reason",
        "pid",
        "since",
        "restarts",
        "last_exit",
        "ready",
        "adopted",
        "lock",
    ] {
        assert!(one.get(key).is_some(), "{key}");
    }
}

#[test]
fn the_words_of_a_lock_are_read_by_polarctl() {
    let bed = Bed::empty();
    let file = bed.dir.path().join("ins_lock");
    fs::write(&file, r#"{"kind": "expired", "owner": "billing", "reason": "not paid"}"#).unwrap();
    let lock = Lock { file: file.to_str().unwrap().into(), ..Lock::default() };
    let locked = Status { lock: Some(lock), ..down("engine", "postgres", "locked") };
    bed.serve(move |_| ok([&locked]));
    assert!(bed.ctl("status").success().contains("locked (expired by billing)"));
    assert_eq!(bed.ctl("status engine --output json").json()["lock"]["reason"], "not paid");
}

#[test]
fn watch_shows_each_change_once() {
    let mut looks = 0;
    let bed = Bed::new(move |_| {
        looks += 1;
        ok([if looks < 3 { down("engine", "postgres", "stopped") } else { running("engine", "postgres") }])
    });
    let mut child = bed.command("status --watch --output json engine").spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut state =
        || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap()["state"].clone();
    assert_eq!((state(), state()), (json!("down"), json!("running")));
    // Nothing changes any more, and the reader goes: it ends all the same, and that is no failure.
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn explain_prints_what_blocks_first_and_adds_what_can_be_seen() {
    let bed = Bed::empty();
    let data = bed.dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "15\n").unwrap();
    fs::write(data.join("ins_lock"), r#"{"kind": "maintenance", "owner": "root", "reason": "new disk"}"#)
        .unwrap();
    let places = engine(bed.dir.path());
    let lock = Lock { file: places.lock_file.clone(), ..Lock::default() };
    let status = Status { engine: Some(places), lock: Some(lock), ..down("engine", "postgres", "locked") };
    bed.serve(move |op| match op {
        Op::Explain { .. } => ok(json!([{
            "name": "engine", "state": "down", "summary": "engine is down: it is locked",
            "conditions": [
                {"name": "operator", "effect": "allows", "text": "wants it up"},
                {"name": "lock", "effect": "blocks", "text": "the lock file exists"},
            ],
            "last_lines": ["LOG:  database system is shut down"],
        }])),
        Op::Status { .. } => ok([&status]),
        other => panic!("{other:?}"),
    });
    let text = bed.ctl("explain").success();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "engine is down: it is locked");
    assert_eq!(lines[1], "  blocks   lock       the lock file exists; kind maintenance, by root: new disk");
    for (name, words) in [
        ("operator", "wants it up"),
        ("ownership", "belongs to"),
        ("version", "major version 15"),
        ("disk", "free of"),
    ] {
        assert!(
            lines.iter().any(|line| line.contains(&format!("  {name} ")) && line.contains(words)),
            "{name}: {text}"
        );
    }
    assert!(
        text.ends_with("  the last lines that it wrote:\n    LOG:  database system is shut down\n"),
        "{text}"
    );
    let json = bed.ctl("explain engine --output json").json();
    assert_eq!(json["conditions"][0]["name"], "lock");
}

/// The server's side is [`accepting`], which answers no SQL: the rest must come all the same.
#[test]
fn explain_says_what_it_could_not_ask() {
    let bed = Bed::empty();
    let data = bed.dir.path().join("data");
    fs::create_dir(&data).unwrap();
    accepting(&data, 5432);
    let status = Status { engine: Some(engine(bed.dir.path())), ..running("engine", "postgres") };
    bed.serve(move |op| match op {
        Op::Explain { .. } => {
            ok(json!([{"name": "engine", "state": "running", "summary": "it runs", "conditions": [], "last_lines": []}]))
        }
        _ => ok([&status]),
    });
    let json = bed.ctl("explain engine --output json").json();
    let conditions = json["conditions"].as_array().unwrap();
    let sql = conditions.iter().find(|condition| condition["name"] == "sql").unwrap();
    assert_eq!(sql["effect"], "unknown");
}

fn record(seq: u64) -> Value {
    json!({"seq": seq, "time": format!("2026-01-31T12:00:0{seq}Z"), "program": "engine", "event": "state",
           "from": "down", "to": "starting", "text": format!("text {seq}")})
}

fn supervisor(journal: Option<&str>) -> Value {
    json!({"version": "1", "pid": 1, "since": "2026-01-31T12:00:00Z", "shutting_down": false, "orphans_reaped": 0,
           "dropped_lines": 0, "journal": journal})
}

#[test]
fn events_are_those_of_the_journal_and_those_that_are_remembered() {
    let bed = Bed::empty();
    let journal = bed.dir.path().join("events.jsonl");
    fs::write(bed.dir.path().join("events.jsonl.1"), format!("{}\n", record(1))).unwrap();
    fs::write(&journal, format!("{}\n{}\n{{\"seq\": 9", record(2), record(3))).unwrap();
    let journal = journal.to_str().unwrap().to_owned();
    bed.serve(move |op| match op {
        Op::Supervisor {} => ok(supervisor(Some(&journal))),
        Op::Events { follow, .. } => {
            let mut lines = [ok(record(3)), ok(record(4))].concat();
            lines.extend(if *follow { ok(record(5)) } else { ok(Value::Null) });
            lines
        }
        other => panic!("{other:?}"),
    });
    let expected: String = (1..5)
        .map(|seq| format!("2026-01-31T12:00:0{seq}Z  engine        state       text {seq}\n"))
        .collect();
    assert_eq!(bed.ctl("events").success(), expected);
    let last = bed.ctl("events -n 2 --output json").success();
    let seqs: Vec<u64> = last
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [3, 4]);
    let mut child = bed.command("events --follow -n 1").spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for seq in [4, 5] {
        let line = lines.next().unwrap().unwrap();
        assert!(line.ends_with(&format!("text {seq}")), "{line}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn events_without_a_supervisor_are_those_of_the_journal() {
    let bed = Bed::empty();
    let config = bed.dir.path().join("supervisor.toml");
    fs::write(&config, format!("[supervisor]\nlog_dir = {:?}\n", bed.dir.path())).unwrap();
    let ran = bed.command("events").option("--config", &config).ran();
    assert_eq!(ran.code, 4, "{ran:?}");
    fs::write(bed.dir.path().join("events.jsonl"), format!("{}\n", record(1))).unwrap();
    let ran = bed.command("events").option("--config", &config).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("text 1") && ran.stderr.contains("no supervisor"), "{ran:?}");
}

#[test]
fn logs_come_from_the_file_that_a_program_writes_to() {
    let bed = Bed::empty();
    let file = bed.dir.path().join("out.log");
    fs::write(&file, "one\ntwo\nthree\n").unwrap();
    let program =
        Status { output_file: Some(file.to_str().unwrap().into()), ..running("sidecar", "command") };
    bed.serve(move |op| match op {
        Op::Status { .. } => ok([&program]),
        other => panic!("{other:?}"),
    });
    assert_eq!(bed.ctl("logs sidecar -n 2").success(), "two\nthree\n");
    assert_eq!(
        bed.ctl("logs sidecar -n 1 --output json").json(),
        json!({"program": "sidecar", "text": "three"})
    );
    let mut child = bed.command("logs sidecar --follow -n 1").spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "three");
    fs::rename(&file, bed.dir.path().join("out.log.1")).unwrap();
    fs::write(&file, "four\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "four");
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that has gone is no failure");
}

#[test]
fn logs_of_an_engine_are_those_of_its_collector() {
    let bed = Bed::empty();
    let folder = bed.dir.path().join("data/pg_log");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("postgresql-2026-01-31_120000.log"), b"caf\xe9\nlast\n").unwrap();
    let status = Status { engine: Some(engine(bed.dir.path())), ..running("engine", "postgres") };
    bed.serve(move |_| ok([&status, &running("sidecar", "command")]));
    let mut child = bed.command("logs").spawn();
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"caf\xe9\nlast\n", "unchanged, whatever the bytes are");
    assert!(child.wait().unwrap().success());
}

#[test]
fn other_logs_are_what_the_supervisor_remembers() {
    let bed = Bed::new(|op| match op {
        Op::Status { .. } => ok([running("sidecar", "command")]),
        Op::Logs { program, last, follow: false } if program == "sidecar" => {
            assert_eq!(*last, Some(100));
            [ok(json!({"seq": 1, "text": "a line"})), ok(Value::Null)].concat()
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(bed.ctl("logs").success(), "a line\n");
}

#[test]
fn health() {
    let bed = Bed::empty();
    let data = bed.dir.path().join("data");
    fs::create_dir(&data).unwrap();
    pid_file(&data, "ready");
    let places = engine(bed.dir.path());
    let serving = Status { engine: Some(places), ..running("engine", "postgres") };
    let failed_sidecar = Status { state: "failed".into(), ..down("sidecar", "command", "") };
    let all = std::sync::Arc::new(std::sync::Mutex::new(vec![serving.clone(), failed_sidecar]));
    let told = std::sync::Arc::clone(&all);
    bed.serve(move |_| ok(&*told.lock().unwrap()));
    let health = |line: &str| {
        let ran = bed.ctl(line);
        (ran.code, ran.stdout)
    };
    // Ready by its word, but nobody answers.
    let (code, text) = health("health");
    assert_eq!(code, 3);
    assert!(text.contains("not ready: ") && text.contains("nobody listens there"), "{text}");
    assert_eq!(health("health --live").0, 0);
    accepting(&data, 5432);
    assert_eq!(health("health"), (0, "NAME    STATE    HEALTH\nengine  running  ready\n".to_owned()));
    let json = bed.ctl("health --ready --output json").json();
    assert_eq!(
        json,
        json!({"ready": true, "engines": [
        {"name": "engine", "state": "running", "reason": null, "ready": true, "trouble": null}]})
    );
    for (status, ready, live) in [
        (down("engine", "postgres", "locked"), 3, 0),
        (down("engine", "postgres", "stopped"), 3, 0),
        (Status { state: "starting".into(), ready: false, ..serving.clone() }, 3, 0),
        (Status { state: "failed".into(), ready: false, pid: None, ..serving }, 3, 3),
    ] {
        all.lock().unwrap()[0] = status.clone();
        assert_eq!((health("health --ready").0, health("health --live").0), (ready, live), "{status:?}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let many: Vec<Status> = (0..2000).map(|number| running(&format!("p{number}"), "command")).collect();
    let bed = status_bed(many);
    let mut child = bed.command("status").spawn();
    drop(child.stdout.take());
    until("its end", || child.try_wait().unwrap().is_some());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}
