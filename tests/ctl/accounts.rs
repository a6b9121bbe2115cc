//! `account`: on a real server.

use std::fs;

use serde_json::json;

use crate::bed::until;
use crate::engine::{Engine, done, refused};

/// What no account may get into a statement by.
const HOSTILE: [&str; 9] = [
    "it's",
    "\"; drop role postgres; --",
    "'; drop role postgres; --",
    "a\nb\tc",
    "back\\slash \\x27 \\'",
    "%s %d {} $1",
    "\u{1f418} \u{fc}",
    "-c",
    " ",
];

fn attributes(engine: &Engine, name: &str) -> String {
    engine.sql(&format!(
        "select concat(rolsuper, ' ', rolcreaterole, ' ', rolcreatedb, ' ', rolreplication, ' ', rolcanlogin) from pg_roles where rolname = '{name}'"
    ))
}

#[test]
fn the_classes_of_accounts() {
    let engine = Engine::up();
    let table = [
        ("app", 1, "f t t f t", "normal"),
        ("admin", 6, "f t t t t", "polar_superuser"),
        ("aurora", 7, "t f f f t", "superuser"),
        ("replicator", 15, "t f f t t", "replicator"),
    ];
    for (name, privilege, expected, class) in table {
        let said = engine
            .command(&format!(
                "account create {name} --dry-run --privilege {privilege} --password-stdin --output json"
            ))
            .given(b"geheim");
        assert_eq!(done(&said)["changed"], false);
        assert_eq!(attributes(&engine, name), "", "a dry run makes nothing");
        let json = done(&engine.account(name, privilege, "geheim"));
        assert_eq!(
            (&json["changed"], &json["result"]["account"]["privilege"]),
            (&json!(true), &json!(class)),
            "{json}"
        );
        assert_eq!(attributes(&engine, name), expected, "{name}");
        let again = done(&engine.account(name, privilege, "geheim"));
        assert_eq!((&again["changed"], &again["steps"]), (&json!(false), &json!([])), "{name}");
    }
    let nearest = done(&engine.account("admin", 6, "geheim"));
    assert!(nearest["notes"][0].as_str().unwrap().contains("no polar_superuser"), "{nearest}");
    let settings = engine.sql(
        "select array_to_string(setconfig, '|') from pg_db_role_setting where setrole = 'aurora'::regrole",
    );
    assert_eq!(
        settings,
        "TimeZone=UTC|DateStyle=ISO, YMD|extra_float_digits=0|lock_timeout=0|statement_timeout=0|temp_file_limit=10000000|\
         idle_in_transaction_session_timeout=3600000"
    );
    let listed = engine.json("account list");
    let listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|role| (role["name"].as_str().unwrap(), role["privilege"].clone(), role["password"].clone()))
        .collect();
    assert_eq!(
        listed,
        [
            ("admin", json!("polar_superuser"), json!("scram")),
            ("app", json!("normal"), json!("scram")),
            ("aurora", json!("superuser"), json!("scram")),
            ("postgres", json!("replicator"), json!("none")),
            ("replicator", json!("replicator"), json!("scram")),
        ]
    );
    assert!(engine.ctl("account list").success().contains("15 (replication superuser)"));
}

#[test]
fn the_password_logs_in_and_another_does_not() {
    let engine = Engine::up_on_tcp();
    done(&engine.account("app", 1, "first\n"));
    assert!(engine.logs_in("app", "first") && !engine.logs_in("app", "second"));
    let file = engine.dir.path().join("password");
    for password in ["second", "it's \\ \" %s \u{1f418}"] {
        fs::write(&file, format!("{password}\n")).unwrap();
        let alter =
            || engine.command("account alter app --output json").option("--password-file", &file).ran();
        assert_eq!(done(&alter())["changed"], true);
        assert_eq!(done(&alter())["changed"], false, "the same password is known again by its verifier");
        assert!(engine.logs_in("app", password) && !engine.logs_in("app", "first"));
    }
    // A verifier of the old kind is replaced.
    engine.sql("set password_encryption = 'md5'; alter role app password 'third'");
    assert_eq!(
        done(&engine.account("app", 1, "third"))["steps"],
        json!(["store a SCRAM verifier of the password"])
    );
    assert!(engine.logs_in("app", "third"));
    let json = engine.json("account alter app --privilege 7");
    assert_eq!(json["changed"], true);
    assert_eq!(attributes(&engine, "app"), "t f f f t");
    assert!(engine.logs_in("app", "third"), "the password stays");
}

#[test]
fn hostile_names_and_passwords_are_names_and_passwords() {
    let engine = Engine::up();
    for name in HOSTILE {
        done(&engine.account(name, 1, name));
        assert_eq!(done(&engine.account(name, 1, name))["changed"], false, "{name:?}");
    }
    let names =
        engine.sql("select array_to_json(array_agg(rolname order by oid)) from pg_roles where oid > 16000");
    assert_eq!(serde_json::from_str::<Vec<String>>(&names).unwrap(), HOSTILE);
    for name in HOSTILE {
        assert_eq!(
            done(&engine.command("account drop --output json --").word(name).ran())["changed"],
            true,
            "{name:?}"
        );
    }
    assert_eq!(engine.sql("select count(*) from pg_roles where oid > 16000"), "0");
    assert_eq!(engine.sql("select rolsuper from pg_roles where rolname = 'postgres'"), "t");
    for name in ["", "pg_monitor", "public", &"x".repeat(64), &"x".repeat(100_000)] {
        refused(&engine.account(name, 1, "geheim"), 1, "bad_name");
    }
    for password in [&b""[..], b"\n", b"a\0b", b"\xff", &vec![b'x'; 1 << 20]] {
        let ran =
            engine.command("account create app --privilege 1 --password-stdin --output json").given(password);
        refused(&ran, 1, "bad_password");
    }
    assert!(engine.manager_log().iter().all(|line| line.contains(" - account ")), "one line an operation");
}

#[test]
fn no_password_and_no_verifier_is_seen_anywhere() {
    let mut engine = Engine::down();
    let conf = engine.read("postgresql.conf");
    engine.write("postgresql.conf", format!("{conf}log_statement=all\nlog_min_duration_statement=0\n"));
    engine.start();
    let ran = engine.account("app", 7, "geheim-123");
    done(&ran);
    // One that fails in the middle of its transaction.
    engine.sql(
        "create function no() returns event_trigger language plpgsql as $$ begin raise 'not today'; end $$; \
                create table t(); drop table t",
    );
    let stored = engine.sql("select rolpassword from pg_authid where rolname = 'app'");
    assert!(engine.server_log().contains("create function no()"), "the log has statements");
    let log = engine.server_log().replace(&format!("{stored}x"), "");
    for text in
        [ran.stdout, log, engine.manager_log().join("\n"), engine.ctl("account list --output json").stdout]
    {
        assert!(!text.contains("geheim-123") && !text.contains("SCRAM-SHA-256$"), "{text}");
    }
    let usage = engine.ctl("account create app --privilege 1 --password geheim");
    assert_eq!(usage.code, 2, "a password is no argument");
}

#[test]
fn drop_ends_sessions_and_is_refused_where_something_is_owned() {
    let engine = Engine::up();
    done(&engine.account("app", 1, "geheim"));
    engine.sql("create schema app authorization app");
    let ran = engine.ctl("account drop app --output json");
    refused(&ran, 1, "sql");
    assert!(ran.stdout.contains("owner of schema app"), "{ran:?}");
    engine.sql("drop schema app");
    // A session of the role.
    let mut psql = engine.psql();
    let mut session =
        psql.args(["-c", "set session authorization app", "-c", "select pg_sleep(600)"]).spawn().unwrap();
    let of_app = "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()";
    until("the session", || engine.sql(of_app) == "1");
    let dropped = engine.json("account drop app");
    assert_eq!(dropped["changed"], true);
    session.kill().unwrap();
    session.wait().unwrap();
    assert_eq!(engine.json("account drop app")["changed"], false, "it is gone");
    assert_eq!(attributes(&engine, "app"), "");
}

#[test]
fn who_cannot_be_changed() {
    let engine = Engine::up();
    refused(&engine.account("postgres", 1, "geheim"), 1, "bad_name");
    refused(&engine.ctl("account drop postgres --output json"), 1, "bad_name");
    refused(&engine.ctl("account alter nobody --privilege 1 --output json"), 1, "no_such_account");
    refused(&engine.account("app", 18, "geheim"), 2, "usage");
    refused(&engine.ctl("account alter app --output json"), 2, "usage");
    assert_eq!(engine.sql("select rolsuper from pg_roles where rolname = 'postgres'"), "t");
    // Its password may be.
    let ran = engine.command("account alter postgres --password-stdin --output json").given(b"geheim");
    assert_eq!(done(&ran)["changed"], true);
}

#[test]
fn while_it_holds_a_password_it_leaves_no_core() {
    let engine = Engine::up();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_polarctl"));
    command
        .args(["account", "create", "app", "--privilege", "1", "--password-stdin", "--data-dir"])
        .arg(engine.data());
    command.env("POLAR_SUPERVISOR_LOG_DIR", engine.log_dir()).stdin(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let limits = || std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let limit = || {
        let limits = limits();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    until("the kernel's word for no core", || limit() == "1");
    // It waits for the password.
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"a password of some length").unwrap();
    assert!(child.wait().unwrap().success());
}
