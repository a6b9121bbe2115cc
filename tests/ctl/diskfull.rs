//! `lock --kind diskfull`: on a real server.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::bed::{Ctl, until};
use crate::engine::{Engine, as_engine, done, refused};

pub const LOCK: &str = "lock --kind diskfull";
pub const UNLOCK: &str = "unlock --kind diskfull";
/// Of all accounts.
const PASSWORD: &str = "geheim";
const READ_ONLY: &str = "read-only transaction";

/// An engine on TCP, with a normal user `app` who logs in by a password and owns a table.
fn engine() -> Engine {
    let engine = Engine::up_on_tcp();
    set_up(&engine);
    engine
}

pub fn set_up(engine: &Engine) {
    for (name, privilege) in [("app", 1), ("root7", 7)] {
        done(&engine.account(name, privilege, PASSWORD));
    }
    engine.sql("create schema app authorization app; set role app; create table app.t(n int)");
}

pub fn by(engine: &Engine, role: &str, sql: &str) -> Result<String, String> {
    let output = engine.login(role, PASSWORD).args(["-c", sql]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

pub fn writes(engine: &Engine, role: &str) -> Result<String, String> {
    by(engine, role, "insert into app.t values (1)")
}

#[track_caller]
pub fn is_locked(engine: &Engine) {
    let error = writes(engine, "app").unwrap_err();
    assert!(error.contains(READ_ONLY), "{error}");
    assert!(by(engine, "app", "select count(*) from app.t").is_ok(), "who only reads goes on");
    for superuser in ["postgres", "root7"] {
        let wrote = if superuser == "postgres" {
            engine.try_sql("insert into app.t values (2)")
        } else {
            writes(engine, superuser)
        };
        assert!(wrote.is_ok(), "{superuser}: {wrote:?}");
    }
}

/// What the catalog has for roles and databases.
fn settings(engine: &Engine) -> String {
    engine.sql(
        "select coalesce(string_agg(concat_ws('/', setdatabase, setrole, setconfig), ' ' order by 1), '') \
         from (select * from pg_db_role_setting order by 1, 2) s",
    )
}

/// A session of a role that stays.
pub struct Stays {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Stays {
    pub fn of(engine: &Engine, role: &str) -> Self {
        let mut child = engine
            .login(role, PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut it = Stays { child, stdin, stdout };
        assert_eq!(it.ask("select 7").as_deref(), Some("7"));
        it
    }

    /// A line of the answer; `None` where the session has ended.
    pub fn ask(&mut self, sql: &str) -> Option<String> {
        self.stdin.write_all(format!("{sql};\n").as_bytes()).ok()?;
        let mut line = String::new();
        (self.stdout.read_line(&mut line).unwrap() > 0).then(|| line.trim_end().to_owned())
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn said_done_and_done_twice_and_back() {
    let engine = engine();
    let before = settings(&engine);
    let said = engine.json(&format!("{LOCK} --dry-run"));
    assert_eq!((&said["changed"], &said["dry_run"]), (&json!(false), &json!(true)));
    assert!(said["steps"][0].as_str().unwrap().contains("(nothing) -> on"), "{said}");
    assert!(said["notes"][0].as_str().unwrap().contains("SET default_transaction_read_only = off"), "{said}");
    assert_eq!(settings(&engine), before, "a dry run changes nothing");
    assert!(writes(&engine, "app").is_ok());
    assert_eq!(engine.json(LOCK)["changed"], true);
    is_locked(&engine);
    let again = engine.json(LOCK);
    assert_eq!((&again["changed"], &again["steps"]), (&json!(false), &json!([])));
    assert!(engine.ctl(LOCK).stdout.contains("nothing to do"));
    // What it cannot hold, as the page and the note say.
    assert!(by(&engine, "app", "begin read write; insert into app.t values (3); commit").is_ok());
    let said = engine.json(&format!("{UNLOCK} --dry-run"));
    assert!(said["steps"].as_array().unwrap().len() >= 3, "{said}");
    is_locked(&engine);
    assert_eq!(engine.json(UNLOCK)["changed"], true);
    assert!(writes(&engine, "app").is_ok());
    assert_eq!(settings(&engine), before, "all is as it was");
    let again = engine.json(UNLOCK);
    assert_eq!((&again["changed"], &again["steps"]), (&json!(false), &json!([])));
    let log = engine.manager_log();
    let lines: Vec<_> = log.iter().filter(|line| line.contains("lock --kind diskfull - ")).collect();
    assert_eq!(lines.len(), 7, "one line each: {log:?}");
    assert!(lines[1].contains(" - lock --kind diskfull - done: all roles: "), "{lines:?}");
}

#[test]
fn sessions_of_normal_users_end_and_others_do_not() {
    let engine = engine();
    let (mut app, mut superuser) = (Stays::of(&engine, "app"), Stays::of(&engine, "root7"));
    let standby = Engine::standby_of(&engine);
    // And one whose role is no superuser.
    assert_eq!(engine.account("sender", 6, PASSWORD).code, 0);
    let mut receiver = as_engine("pg_receivewal");
    receiver.args(["-w", "-h", "127.0.0.1", "-U", "sender", "-D"]).arg(standby.data()).arg("-p");
    receiver.arg(engine.port().to_string()).env("PGPASSWORD", PASSWORD).stderr(Stdio::null());
    let mut receiver = receiver.spawn().unwrap();
    let senders = "select string_agg(pid::text, ',' order by pid) from pg_stat_replication";
    until("both to stream", || engine.sql(senders).contains(','));
    let sender = engine.sql(senders);
    let done = engine.json(LOCK);
    assert!(done["steps"].to_string().contains("end the sessions of normal users (1)"), "{done}");
    assert_eq!(app.ask("select 7"), None, "its session has ended");
    assert_eq!(superuser.ask("insert into app.t values (1) returning n").as_deref(), Some("1"));
    assert_eq!(engine.sql(senders), sender, "replication goes on");
    // One that began under the lock is not ended by a second one, but by the unlock: it would stay read-only.
    let mut app = Stays::of(&engine, "app");
    assert_eq!(engine.json(LOCK)["changed"], false);
    assert_eq!(app.ask("select 8").as_deref(), Some("8"));
    // A standby has the lock by replication, and is read-only of itself.
    let said = standby.json(LOCK);
    assert_eq!((&said["changed"], &said["steps"]), (&json!(false), &json!([])));
    assert!(said["notes"][0].as_str().unwrap().contains("read-only already"), "{said}");
    assert_eq!(standby.json(UNLOCK)["changed"], false);
    assert!(engine.json(UNLOCK)["steps"].to_string().contains("normal users (1)"));
    assert_eq!(app.ask("select 8"), None);
    assert_eq!(superuser.ask("select 7").as_deref(), Some("7"));
    receiver.kill().unwrap();
    receiver.wait().unwrap();
}

#[test]
fn what_people_have_set_is_overruled_and_comes_back() {
    let engine = engine();
    engine.sql(
        "alter role app set default_transaction_read_only = off; alter role app set work_mem = '7MB'; \
         alter role app in database postgres set default_transaction_read_only = 'no'; \
         alter database postgres set default_transaction_read_only = 'false'; \
         alter role root7 set default_transaction_read_only = 'f'",
    );
    let before = settings(&engine);
    assert!(engine.json(LOCK)["changed"] == true);
    is_locked(&engine);
    // What somebody sets meanwhile stays; all else is as it was.
    engine.sql("alter role app set default_transaction_read_only = false");
    let again = engine.json(LOCK);
    assert_eq!(again["steps"][0], "role app: default_transaction_read_only: false -> on", "{again}");
    is_locked(&engine);
    engine.sql("alter role app in database postgres set default_transaction_read_only = off");
    engine.json(UNLOCK);
    assert!(writes(&engine, "app").is_ok());
    assert_eq!(
        settings(&engine),
        before
            .replace(
                "{default_transaction_read_only=off,work_mem",
                "{default_transaction_read_only=false,work_mem"
            )
            .replace("default_transaction_read_only=no", "default_transaction_read_only=off")
    );
}

#[test]
fn a_read_only_instance_of_a_persons_stays_one() {
    let engine = engine();
    engine.sql("alter role all set default_transaction_read_only = on");
    let before = settings(&engine);
    engine.json(LOCK);
    is_locked(&engine);
    engine.json(UNLOCK);
    assert_eq!(settings(&engine), before);
    assert!(writes(&engine, "app").unwrap_err().contains(READ_ONLY));
}

#[test]
fn a_superuser_who_was_made_meanwhile_is_excepted_by_a_second_call() {
    let engine = engine();
    engine.json(LOCK);
    engine.sql("create role \"it's \"\"new\" superuser login");
    let again = engine.json(LOCK);
    assert_eq!(again["changed"], true);
    assert!(again["steps"][0].as_str().unwrap().starts_with("role it's \"new: "), "{again}");
    engine.json(UNLOCK);
    assert!(!settings(&engine).contains("default_transaction_read_only"), "{}", settings(&engine));
}

#[test]
fn the_words_of_a_lock_are_kept_with_it() {
    let engine = engine();
    let reason = "it's \\ \"full\"\n% \u{1f418} @clock_timestamp@";
    let ran = engine.command(&format!("{LOCK} --output json --reason")).word(reason).ran();
    assert_eq!(ran.json()["changed"], true, "{ran:?}");
    let kept = by(&engine, "app", "show polar_manager.diskfull_lock").unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert!(kept["reason"].as_str().unwrap().starts_with("it's \\ \"full\"\n% \u{1f418} "), "{kept}");
    assert!(
        kept["total"].as_u64().unwrap() > 1 << 20 && kept["by"].as_str().unwrap().starts_with("root"),
        "{kept}"
    );
    engine.json(UNLOCK);
    let ran = engine.command(&format!("{LOCK} --output json --reason")).word(&"x".repeat(100_000)).ran();
    refused(&ran, 2, "usage");
    assert!(writes(&engine, "app").is_ok());
}

#[test]
fn of_several_engines_one_is_named() {
    let (one, other) = (engine(), Engine::down());
    let config = one.dir.path().join("supervisor.toml");
    let section = |name: &str, engine: &Engine, port: u16| {
        let (data, link) = (engine.data(), engine.log_dir().join("pg_log"));
        format!(
            "[program.{name}]\nkind = \"postgres\"\nport = {port}\ndata_dir = {data:?}\nlog_link = {link:?}\n"
        )
    };
    std::fs::write(&config, format!("{}{}", section("one", &one, 1), section("other", &other, 2))).unwrap();
    let ctl = |line: &str| {
        Ctl::new(line).option("--config", &config).env("POLAR_SUPERVISOR_LOG_DIR", one.log_dir())
    };
    let ran = ctl(&format!("{LOCK} --output json")).ran();
    refused(&ran, 2, "usage");
    assert!(ran.stdout.contains("polarctl lock NAME --kind diskfull"), "{ran:?}");
    assert_eq!(ctl("lock one --kind diskfull --output json").ran().json()["changed"], true);
    is_locked(&one);
    refused(&ctl("unlock other --kind diskfull --output json").ran(), 3, "not_running");
    assert_eq!(ctl("unlock one --kind diskfull --output json").ran().json()["changed"], true);
}

#[test]
fn no_slot_is_left_for_normal_users() {
    let engine = engine();
    let mut crowd = Vec::new();
    until("no slot to be left for normal users", || {
        let mut psql = engine.login("app", PASSWORD);
        psql.args(["-c", "select pg_sleep(600)"]).stdout(Stdio::null()).stderr(Stdio::null());
        crowd.push(psql.spawn().unwrap());
        by(&engine, "app", "select 1").is_err_and(|error| error.contains("connection slots"))
    });
    let done = engine.json(LOCK);
    assert_eq!(done["changed"], true);
    is_locked(&engine);
    for mut child in crowd {
        assert!(!child.wait().unwrap().success(), "it was ended");
    }
}

#[test]
fn a_session_that_does_not_end_is_named_and_the_lock_holds() {
    let engine = engine();
    let mut app = Stays::of(&engine, "app");
    let pid = Pid::from_raw(app.ask("select pg_backend_pid()").unwrap().parse().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let ran = engine.ctl(&format!("{LOCK} --output json"));
    refused(&ran, 1, "unconfirmed");
    assert!(ran.stdout.contains(&format!("process {pid} of app")), "{ran:?}");
    is_locked(&engine);
    kill(pid, Signal::SIGCONT).unwrap();
    engine.json(LOCK);
    assert_eq!(app.ask("select 7"), None);
    assert_eq!(engine.json(LOCK)["changed"], false);
}

#[test]
fn killed_at_any_time_and_called_again() {
    let engine = engine();
    let before = settings(&engine);
    for number in 0..16_u64 {
        for line in [LOCK, UNLOCK] {
            let mut child = engine.command(line).spawn_to(Stdio::null(), Stdio::null());
            // Not a wait for anything: each time at another point of its way.
            std::thread::sleep(std::time::Duration::from_millis(number * 2));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        engine.json(LOCK);
        is_locked(&engine);
        if number % 4 == 0 {
            engine.json(UNLOCK);
            assert_eq!(settings(&engine), before);
        }
    }
    engine.json(UNLOCK);
    assert_eq!(settings(&engine), before);
    assert!(writes(&engine, "app").is_ok());
}

#[test]
fn an_unlock_that_was_cut_short_is_finished() {
    let engine = engine();
    let before = settings(&engine);
    engine.json(LOCK);
    let mut app = Stays::of(&engine, "app");
    let pid = Pid::from_raw(app.ask("select pg_backend_pid()").unwrap().parse().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let mut child = engine.command(UNLOCK).spawn_to(Stdio::null(), Stdio::null());
    until("the lock to be lifted", || writes(&engine, "app").is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(settings(&engine).contains("lifted"), "what is left to do is kept");
    assert_eq!(engine.json(UNLOCK)["changed"], true);
    assert_eq!(app.ask("select 7"), None);
    assert_eq!(settings(&engine), before);
}

#[test]
fn nobody_gets_in_while_it_is_locked_and_writes() {
    let engine = engine();
    // Who logs in at any moment and stays is either ended or read-only.
    for round in 0..8_u64 {
        let lock = engine.command(LOCK).spawn();
        let writers = (0..6_u64).map(|number| {
            std::thread::sleep(std::time::Duration::from_millis((number + round) % 3));
            let mut psql = engine.login("app", PASSWORD);
            psql.args(["-c", "select pg_sleep(0.4)", "-c", "insert into app.t values (99)"]);
            psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        let writers: Vec<_> = writers.collect();
        let output = lock.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for mut writer in writers {
            assert!(!writer.wait().unwrap().success());
        }
        assert_eq!(engine.sql("select count(*) from app.t where n = 99"), "0");
        engine.json(UNLOCK);
    }
}

#[test]
fn who_has_read_the_settings_and_is_in_no_view_of_sessions_does_not_get_in() {
    let engine = engine();
    let mut psql = engine.login("app", PASSWORD);
    // It waits between the one and the other.
    psql.env("PGOPTIONS", "-c post_auth_delay=1");
    psql.args(["-c", "select pg_sleep(1)", "-c", "insert into app.t values (99)"]);
    let mut writer = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it to have come so far", || {
        let sql = "select count(*) from pg_locks where locktype = 'object' and classid = 1262 and pid not in (select pid from pg_stat_activity)";
        engine.sql(sql) == "1"
    });
    engine.json(LOCK);
    assert!(!writer.wait().unwrap().success());
    assert_eq!(engine.sql("select count(*) from app.t where n = 99"), "0");
}

#[test]
fn who_logs_in_while_the_lock_comes_does_not_write() {
    let engine = engine();
    let mut holder = Stays::of(&engine, "root7");
    holder.ask("begin; lock table pg_db_role_setting in share mode; select 1");
    let lock = engine.command(LOCK).spawn();
    let waiting =
        "select count(*) from pg_locks where relation = 'pg_db_role_setting'::regclass and not granted";
    until("the lock to wait", || holder.ask(waiting).as_deref() == Some("1"));
    let mut psql = engine.login("app", PASSWORD);
    psql.args(["-c", "select pg_sleep(1)", "-c", "insert into app.t values (99)"]);
    let mut writer = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let there = "select count(*) from pg_stat_activity where usename = 'app'";
    until("the login to wait, or to be there", || {
        holder.ask(waiting).as_deref() == Some("2") || holder.ask(there).as_deref() == Some("1")
    });
    holder.ask("commit; select 1");
    let output = lock.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!writer.wait().unwrap().success());
    assert_eq!(engine.sql("select count(*) from app.t where n = 99"), "0");
}

#[test]
fn t19_a_full_disk_is_locked_or_says_what_to_do() {
    let mut engine = Engine::on_small_disk();
    engine.start();
    engine.sql("create role app login; create table t as select generate_series(1, 100000) n");
    let before = settings(&engine);
    engine.fill_disk();
    let ran = engine.ctl(&format!("{LOCK} --output json"));
    if ran.code != 0 {
        refused(&ran, 1, "disk_full");
        assert_eq!(settings(&engine), before, "all or nothing");
    }
    // A superuser acts.
    engine.sql("truncate t");
    assert_eq!(engine.ctl(&format!("{LOCK} --output json")).json()["error"], Value::Null);
    engine.json(UNLOCK);
    engine.fill_disk();
    assert_eq!(engine.json(LOCK)["changed"], true, "the catalog has room once it was locked");
    engine.empty_disk();
    engine.json(UNLOCK);
    assert_eq!(settings(&engine), before);
}

#[test]
fn t19_where_there_is_an_account_of_a_superusers_a_disk_without_a_free_byte_can_be_locked() {
    let mut engine = Engine::on_small_disk();
    engine.start();
    done(&engine.account("aurora", 7, PASSWORD));
    let before = settings(&engine);
    engine.fill_disk();
    assert_eq!(engine.json(LOCK)["changed"], true);
    assert_eq!(engine.json(LOCK)["changed"], false);
    assert_eq!(engine.json(UNLOCK)["changed"], true);
    assert_eq!(settings(&engine), before);
}
