use std::path::PathBuf;

use super::*;
use crate::manager::install::Primary;
use crate::manager::install::configure::Given;
use crate::manager::install::stage::{Found, Journal};

fn seen() -> Seen {
    Seen {
        data_dir: PathBuf::from("/data"),
        done: false,
        contents: Contents::Empty,
        stages: Vec::new(),
        ours: None,
        role: None,
        first_boot: None,
        listens: None,
        pid_file: false,
        user: (100, 100, "postgres".to_owned()),
        to_own: false,
        may_own: true,
        unmarked: Vec::new(),
        locked: false,
        ssl: true,
        tablespace: false,
        logs: false,
        unconfigured: false,
        parameters: Vec::new(),
        given: Given::default(),
    }
}

fn found(name: &str, held: bool, complete: bool) -> Found {
    let journal = complete.then(|| Journal { role: "rw".to_owned(), system_identifier: 7 });
    Found { name: name.to_owned(), held, complete, journal, emptied: false }
}

/// One whose complete stage is there.
fn resumed(contents: Contents) -> Seen {
    let stages = vec![found("ours", false, true)];
    Seen { contents, stages, ours: Some("ours".to_owned()), role: Some("rw".to_owned()), ..seen() }
}

fn words(install: &Install, seen: &Seen) -> Vec<&'static str> {
    let word = |step: &Step| match step {
        Step::Own { .. } => "own",
        Step::Discard(_) => "discard",
        Step::Make { .. } => "make",
        Step::Promote => "promote",
        Step::Configure => "configure",
        Step::Logs(_) => "logs",
        Step::Lock => "lock",
        Step::Mark(_) => "mark",
        Step::Ssl => "ssl",
        Step::Tablespace(_) => "tablespace",
        Step::Done => "done",
    };
    plan(install, seen).unwrap().steps.iter().map(word).collect()
}

fn refused(seen: &Seen) -> &'static str {
    let cause = plan(&Install::default(), seen).unwrap_err();
    assert!(!cause.next().is_empty());
    cause.code()
}

#[test]
fn done_comes_last_and_after_the_lock() {
    let plain = Install::default();
    assert_eq!(words(&plain, &seen()), ["make", "promote", "done"]);
    let all = Install { lock: true, tablespace_dir: Some("/t".into()), ..Install::default() };
    let nothing = Seen {
        to_own: true,
        logs: true,
        unmarked: vec![markers::LOGIC_ID, markers::CONTEXT],
        ssl: false,
        tablespace: true,
        ..seen()
    };
    assert_eq!(
        words(&all, &nothing),
        ["own", "logs", "make", "promote", "lock", "mark", "mark", "ssl", "tablespace", "done"]
    );
    assert_eq!(words(&all, &Seen { locked: true, ..seen() }), ["make", "promote", "done"]);
}

#[test]
fn one_that_was_killed_goes_on() {
    let install = Install::default();
    let dead = Seen { stages: vec![found("dead", false, false)], ..seen() };
    assert_eq!(words(&install, &dead), ["discard", "make", "promote", "done"]);
    let complete = resumed(Contents::Resume { stage: "ours".to_owned() });
    assert_eq!(words(&install, &complete), ["promote", "done"]);
    let mut both = complete;
    both.stages.push(found("dead", true, false));
    assert_eq!(words(&install, &both), ["discard", "promote", "done"]);
    assert_eq!(words(&install, &resumed(Contents::Database)), ["done"]);
    let other = Seen { unconfigured: true, ..resumed(Contents::Database) };
    assert_eq!(words(&install, &other), ["configure", "done"]);
}

#[test]
fn what_is_done_is_left_alone() {
    let done = Seen { done: true, contents: Contents::Database, ..seen() };
    let install = Install { lock: true, ..Install::default() };
    assert_eq!(words(&install, &done), Vec::<&str>::new());
    let serves = Seen { pid_file: true, listens: Some("/data/.s".to_owned()), ..done.clone() };
    assert_eq!(words(&install, &serves), Vec::<&str>::new());
    let emptied = Found { emptied: true, ..found("emptied", false, true) };
    let stages = vec![emptied, found("held", true, false), found("kept", false, true)];
    assert_eq!(words(&install, &Seen { stages, ..done }), ["discard"]);
    assert_eq!(refused(&Seen { done: true, ..seen() }), "done_without_database");
}

#[test]
fn what_stands_against_it() {
    let listens = Some("/data/.s.PGSQL.5432".to_owned());
    let foreign = Contents::Foreign { names: vec!["a".to_owned(); 9] };
    let database = Seen { contents: Contents::Database, ..seen() };
    let strange = vec![found("x", false, true)];
    for (seen, code) in [
        (Seen { listens: listens.clone(), ..seen() }, "living_engine"),
        (Seen { listens: listens.clone(), pid_file: true, ..database.clone() }, "living_engine"),
        (Seen { listens, ..resumed(Contents::Database) }, "living_engine"),
        (Seen { pid_file: true, ..resumed(Contents::Database) }, "living_engine"),
        (Seen { pid_file: true, ..database.clone() }, "database_there"),
        (database, "database_there"),
        (Seen { contents: foreign, ..seen() }, "foreign"),
        (Seen { first_boot: Some("x".to_owned()), ..seen() }, "first_boot"),
        (Seen { to_own: true, may_own: false, ..seen() }, "not_permitted"),
        (Seen { stages: strange, ..seen() }, "bad_stage"),
        (Seen { role: Some("standby".to_owned()), ..resumed(Contents::Database) }, "other_role"),
    ] {
        assert_eq!(refused(&seen), code, "{seen:?}");
    }
}

#[test]
fn what_is_of_a_later_version() {
    let with = |change: fn(&mut Install)| {
        let mut install = Install::default();
        change(&mut install);
        checked(&install).map(|_| ()).map_err(|cause| {
            assert!(cause.to_string().contains("nothing was changed"));
            cause.code()
        })
    };
    assert_eq!(with(|_| {}), Ok(()));
    for change in [
        (|install| install.role = Role::ReadOnly) as fn(&mut Install),
        |install| install.role = Role::DataMax,
        |install| install.storage = Storage::FcSan,
        |install| install.storage = Storage::PolarStore,
        |install| install.dma = true,
        |install| install.tde = true,
    ] {
        assert_eq!(with(change), Err("missing_part"));
    }
}

#[test]
fn what_can_be_no_installation() {
    let standby = |host: &str| {
        let (host, user) = (host.to_owned(), "r".to_owned());
        Role::Standby(Primary { host, port: 1, user, password: None, slot: None })
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for install in [
        Install { logic_id: Some("x".to_owned()), ..Install::default() },
        Install { role: standby(""), ..Install::default() },
        Install { log_dir: "log".into(), ..Install::default() },
        Install { parameters: vec![("include".to_owned(), "x".to_owned())], ..Install::default() },
        Install { initdb_args: words(&["--pgdata=/etc"]), ..Install::default() },
        Install { initdb_args: words(&["-k", "/etc"]), ..Install::default() },
        Install { initdb_args: words(&["--icu-locale=a\0b"]), ..Install::default() },
        Install { initdb_args: words(&[&"x".repeat(1 << 20)]), ..Install::default() },
    ] {
        assert_eq!(checked(&install).unwrap_err().code(), "usage", "{install:?}");
    }
    let bad = Install { tablespace_dir: Some("relative".into()), ..Install::default() };
    assert_eq!(checked(&bad).unwrap_err().code(), "bad_location");
    assert!(checked(&Install { initdb_args: words(&["-k", "--locale", "C"]), ..Install::default() }).is_ok());
}
