//! `recovery.conf` as ClusterManager writes it, before an engine that does not know it: attach, promotion, demotion.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use polardb_manager::supervisor::prepare::failpoint;

use crate::common::{
    BOOT, Builder, Exit, Instance, Signal, Snapshot, append, as_user, finish, pg_bin, postgres_user,
};

const SLOT: &str = "standby_1000_1001";
const PASSWORD: &str = "geheim";

/// What ClusterManager writes.
fn text(mode: &str, conninfo: &str) -> String {
    format!(
        "primary_slot_name='{SLOT}'\n{mode}\nrecovery_target_timeline='latest'\nprimary_conninfo='{}'\n",
        conninfo.replace('=', "\\=")
    )
}

fn to(primary: &Instance) -> String {
    let port = primary.spec.port.number();
    format!("host=127.0.0.1 port={port} user=replicator password={PASSWORD} application_name={SLOT}")
}

/// The file by root's `echo`, then the engine's user's; `recovery.done` removed.
fn attach(it: &Instance, text: &str) {
    it.spec.dir.file("data/recovery.conf", text, 0o644);
    let _ = fs::remove_file(it.path("data/recovery.done"));
}

/// A mistake in a file that is just being written is waited for.
fn is_old(it: &Instance, name: &str) {
    let file = File::options().write(true).open(it.path(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

/// One that a standby can be attached to.
fn primary() -> Instance {
    let mut it = Instance::builder().with_database().conf("wal_keep_size = 64MB").start();
    it.ready();
    let hba = fs::read_to_string(it.path("data/pg_hba.conf")).unwrap();
    it.spec.dir.file(
        "data/pg_hba.conf",
        format!("host replication replicator all scram-sha-256\n{hba}"),
        0o600,
    );
    it.sql("select pg_reload_conf()");
    it.sql(&format!("create role replicator replication login password '{PASSWORD}'"));
    it.sql(&format!("select pg_create_physical_replication_slot('{SLOT}')"));
    it.sql("create table told (n int)");
    it
}

/// A copy of it, locked, under a PID 1 of its own.
fn copy_of(primary: &Instance) -> Instance {
    let builder = Builder::new();
    let data = builder.dir.folder("data");
    let mut copy = as_user(postgres_user(), pg_bin().join("pg_basebackup"));
    copy.args(["--checkpoint=fast", "-U", "postgres", "-h"]).arg(primary.path("sock"));
    copy.arg("-p").arg(primary.spec.port.number().to_string()).arg("-D").arg(data);
    finish(copy, BOOT).success();
    let (port, sockets) = (builder.port.number(), builder.dir.path("sock"));
    let mut it =
        builder.conf(&format!("port = {port}\nunix_socket_directories = '{}'", sockets.display())).build();
    it.set_lock();
    it.boot();
    it.wait_log("locked: ");
    it
}

/// A primary and its standby, attached by ClusterManager's own text.
fn pair() -> (Instance, Instance) {
    let primary = primary();
    let mut standby = copy_of(&primary);
    attach(&standby, &text("standby_mode='on'", &to(&primary)));
    standby.remove_lock();
    streams(&primary, &mut standby);
    (primary, standby)
}

/// Waits until what is written on the one is read on the other, which is a standby and is said to be one.
fn streams(primary: &Instance, standby: &mut Instance) {
    standby.ready();
    primary.sql("insert into told select count(*) from told");
    let written = primary.sql("select count(*) from told");
    standby.until("it to have it", |it| it.try_sql("select count(*) from told") == Ok(written.clone()));
    standby.until("the word of the standby", |it| is_standby(it) == Some(true));
    assert_eq!(standby.sql("select pg_is_in_recovery()"), "t");
}

fn serves_as_primary(it: &mut Instance) {
    it.ready();
    it.until("the word of the primary", |it| is_standby(it) == Some(false));
    it.until("no recovery", |it| it.sql("select pg_is_in_recovery()") == "f");
    it.sql("create table if not exists told (n int)");
    it.sql("insert into told values (0)");
}

/// What PID 1's own report says.
fn is_standby(it: &Instance) -> Option<bool> {
    it.signal(Signal::SIGUSR1);
    let lines = it.said_of("engine");
    lines.iter().rfind(|line| line.contains("running for")).map(|line| line.contains(", standby"))
}

fn stop_by_lock(it: &mut Instance) {
    it.set_lock();
    it.stays_down();
}

fn exists(it: &Instance, name: &str) -> bool {
    fs::symlink_metadata(it.path("data").join(name)).is_ok()
}

fn assert_private(it: &Instance, name: &str) {
    let mode = fs::metadata(it.path("data").join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{name}");
}

/// Nothing that people read says the password.
fn assert_kept_secret(it: &Instance, secret: &str) {
    assert!(!it.engine_log().contains(secret), "{}", it.engine_log());
    for entry in fs::read_dir(it.path("log")).unwrap().flatten() {
        let text = fs::read(entry.path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(secret), "{}", entry.path().display());
    }
    for process in it.processes() {
        assert!(!process.command.contains(secret), "{process:?}");
    }
}

#[test]
fn a_standby_is_attached_and_promoted_by_cluster_managers_own_words() {
    let (primary, mut standby) = pair();
    assert!(!exists(&standby, "recovery.conf"));
    let kept = fs::read_to_string(standby.path("data/recovery.conf.translated")).unwrap();
    assert_eq!(kept, text("standby_mode='on'", &to(&primary)));
    for name in ["recovery.conf.translated", "postgresql.auto.conf", "standby.signal"] {
        assert_private(&standby, name);
    }
    assert_eq!(standby.sql("show primary_conninfo"), to(&primary));
    assert_eq!(primary.sql("select active from pg_replication_slots"), "t");
    standby.restart();
    streams(&primary, &mut standby);
    assert_eq!(standby.log().matches("recovery.conf is followed").count(), 0, "it is followed once");
    let before = standby.postmaster();

    let mut promote = Command::new("nsenter");
    promote.args([
        "-t",
        &standby.pid1().to_string(),
        "-p",
        "-m",
        "-i",
        "--wdns=/",
        "--",
        "su",
        "-",
        "postgres",
        "-c",
    ]);
    let (bin, data) = (pg_bin(), standby.path("data"));
    promote.arg(format!("{}/pg_ctl promote -D {} -t 5", bin.display(), data.display())).stdin(Stdio::null());
    let said = finish(promote, BOOT).success();
    assert!(said.contains("server promoted"), "{said}");
    serves_as_primary(&mut standby);
    assert_eq!(standby.postmaster().pid, before.pid, "{}", standby.log());
    assert!(!exists(&standby, "standby.signal"));

    // What the standby was told is still in postgresql.auto.conf, and does not make one of it.
    standby.restart();
    serves_as_primary(&mut standby);
    let postmaster = standby.postmaster();
    postmaster.signal(Signal::SIGKILL);
    standby.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != postmaster.pid));
    serves_as_primary(&mut standby);
    assert_kept_secret(&standby, PASSWORD);
}

#[test]
fn an_offline_promotion() {
    let (mut primary, mut standby) = pair();
    assert_eq!(primary.stop(Signal::SIGTERM), Exit::Code(0));
    File::create(standby.path("data/recovery.done")).unwrap();
    stop_by_lock(&mut standby);
    standby.remove_lock();
    serves_as_primary(&mut standby);
    assert!(standby.log().contains("recovery.done asks for a primary: standby.signal is removed"));
    assert_eq!(standby.sql("show primary_conninfo") + &standby.sql("show primary_slot_name"), "");
    assert!(!exists(&standby, "standby.signal") && !exists(&standby, "recovery.done"));
    // What it has written as a primary is there after the next start.
    let rows = standby.sql("select count(*) from told");
    standby.restart();
    standby.ready();
    assert_eq!(standby.sql("select count(*) from told"), rows);
    serves_as_primary(&mut standby);
    assert_kept_secret(&standby, PASSWORD);
}

#[test]
fn a_primary_is_demoted_and_follows_the_other_one() {
    let (mut old, mut promoted) = pair();
    // Over the running primary: that goes on as one until it is stopped.
    attach(&old, &text("standby_mode='on'", &to(&promoted)));
    serves_as_primary(&mut old);
    stop_by_lock(&mut old);
    promoted.pg("pg_ctl", ["promote", "-D", promoted.path("data").to_str().unwrap(), "-t", "5"]).success();
    serves_as_primary(&mut promoted);
    promoted.sql(&format!("select pg_create_physical_replication_slot('{SLOT}')"));
    old.remove_lock();
    streams(&promoted, &mut old);
    assert_eq!(promoted.sql("select active from pg_replication_slots"), "t");
    // And back: a word of before is followed no more than once.
    old.restart();
    streams(&promoted, &mut old);
}

#[test]
fn a_crash_while_the_file_lies_there_makes_a_standby_early() {
    let mut it = Instance::builder().with_database().start();
    it.ready();
    attach(&it, &text("standby_mode='on'", "host=127.0.0.1 port=1"));
    it.postmaster().signal(Signal::SIGKILL);
    it.until("the word of the standby", |it| is_standby(it) == Some(true));
    it.ready();
    assert!(it.try_sql("create table written (n int)").unwrap_err().contains("read-only"));
}

/// That nobody's start makes a primary of it: neither the engine's own nor ours.
fn no_primary(it: &Instance) {
    let data = it.path("data");
    let mut start = as_user(postgres_user(), pg_bin().join("pg_ctl"));
    start.args(["start", "-w", "-t", "60", "-l"]).arg(it.path("run/start.log")).arg("-D").arg(&data);
    let started = finish(start, BOOT).status.success();
    assert_eq!(started, !exists(it, "recovery.conf"));
    if started {
        assert_eq!(it.sql("select pg_is_in_recovery()"), "t");
        let mut stop = as_user(postgres_user(), pg_bin().join("pg_ctl"));
        finish(
            {
                stop.args(["stop", "-m", "fast", "-D"]).arg(&data);
                stop
            },
            BOOT,
        )
        .success();
    }
}

/// What a killed supervisor leaves.
fn killed_at(point: &str, builder: Builder) -> Instance {
    let mut it = builder.failpoint(point).start();
    it.at_failpoint();
    it.kill9();
    it
}

fn killed_while_it_is_followed(point: &str) {
    let builder = Instance::builder().with_database();
    let asked = text("standby_mode='on'", "host=127.0.0.1 port=1 password=s3cret");
    builder.dir.file("data/recovery.conf", &asked, 0o644);
    // Of the file before: it must not make a primary once the other one is gone.
    builder.dir.file("data/recovery.done", "", 0o600);
    let it = killed_at(point, builder);
    assert!(exists(&it, "recovery.conf") || !exists(&it, "recovery.done"));
    no_primary(&it);
    let mut it = it.change(Builder::without_env);
    it.boot();
    it.until("the word of the standby", |it| is_standby(it) == Some(true));
    it.ready();
    assert_eq!(it.sql("show primary_slot_name"), SLOT);
    assert!(!exists(&it, "recovery.conf") && !exists(&it, "recovery.done"));
    assert_eq!(fs::read_to_string(it.path("data/recovery.conf.translated")).unwrap(), asked);
    assert_kept_secret(&it, "s3cret");
}

macro_rules! killed {
    ($($name:ident = $point:literal,)*) => {
        $(#[test] fn $name() { killed_while_it_is_followed($point); })*

        #[test]
        fn no_failpoint_is_left_out() {
            assert_eq!(failpoint::OF_RECOVERY, [$($point,)* "recovery-unfollowed"]);
        }
    };
}

killed! {
    killed_when_the_parameters_are_set = "recovery-set",
    killed_when_the_signal_is_made = "recovery-signalled",
    killed_when_the_copy_is_made = "recovery-kept",
    killed_when_all_is_done = "recovery-followed",
}

#[test]
fn killed_in_the_middle_of_an_offline_promotion() {
    let builder = Instance::builder().with_database();
    builder.dir.file("data/recovery.conf", text("standby_mode='on'", "host=127.0.0.1 port=1"), 0o644);
    let mut it = builder.start();
    it.until("the word of the standby", |it| is_standby(it) == Some(true));
    assert_eq!(it.stop(Signal::SIGTERM), Exit::Code(0));
    it.spec.dir.file("data/recovery.done", "", 0o600);
    let mut it = it.change(|builder| builder.failpoint("recovery-unfollowed"));
    it.boot();
    it.at_failpoint();
    it.kill9();
    assert!(exists(&it, "standby.signal"));
    let mut it = it.change(Builder::without_env);
    it.boot();
    serves_as_primary(&mut it);
}

/// The refusal of a file, which changes nothing.
fn refused(conf: impl AsRef<[u8]>, signal: Option<&str>) -> String {
    let builder = Instance::builder().with_database();
    builder.dir.file("data/recovery.conf", conf, 0o644);
    if let Some(signal) = signal {
        builder.dir.file(format!("data/{signal}"), "", 0o600);
    }
    let mut it = builder.build();
    is_old(&it, "data/recovery.conf");
    let before = Snapshot::of(&it.path("data"));
    it.boot();
    assert_eq!(it.wait(), Exit::Code(78), "{}", it.log());
    before.assert_same(&it.path("data"));
    assert!(!it.log().contains("s3cret"), "{}", it.log());
    it.log()
}

#[test]
fn a_malformed_file_is_refused_by_its_line_and_changes_nothing() {
    for (conf, line) in [
        (
            "standby_mode='on'\nprimary_conninfo='host=a password=s3cret\n",
            "recovery.conf:2: primary_conninfo: a quote is not closed",
        ),
        (
            "primary_slot_name='a'\n",
            "recovery.conf:2: up to its end neither standby_mode nor polar_replica is on",
        ),
        ("polar_replica='on'\n", "recovery.conf:1: polar_replica is on, and this engine is no PolarDB"),
        (
            "standby_mode='on'\nwork_mem='s3cret'\n",
            "recovery.conf:2: work_mem is no parameter of recovery.conf",
        ),
    ] {
        let log = refused(conf, None);
        assert!(log.contains(line) && log.contains("mend that line"), "{log}");
    }
    let long = format!("standby_mode='on'\nprimary_conninfo='{}'\n", "x".repeat(1 << 20));
    assert!(refused(long, None).contains("is longer than 1 MiB"));
    let log = refused("restore_command='false'\n", Some("standby.signal"));
    assert!(
        log.contains("asks for something else than standby.signal, which somebody else has made"),
        "{log}"
    );
}

#[test]
fn a_link_or_a_pipe_in_its_place_is_refused() {
    for make in ["ln -s /etc/passwd", "mkfifo"] {
        let builder = Instance::builder().with_database();
        let path = builder.dir.path("data/recovery.conf");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{make} {}", path.display())]);
        finish(shell, BOOT).success();
        let mut it = builder.start();
        assert_eq!(it.wait(), Exit::Code(78));
        assert!(it.log().contains("recovery.conf is no regular file"), "{}", it.log());
    }
}

#[test]
fn a_file_that_is_just_being_written_is_waited_for() {
    let builder = Instance::builder().with_database();
    builder.dir.file("data/recovery.conf", "primary_slot_name='a'\nprimary_conn", 0o644);
    let mut it = builder.start();
    it.wait_log("it is just being written");
    attach(&it, &text("standby_mode='on'", "host=127.0.0.1 port=1"));
    it.until("the word of the standby", |it| is_standby(it) == Some(true));
}

#[test]
fn a_file_that_is_written_again_while_it_is_followed_is_not_lost() {
    let builder = Instance::builder().with_database();
    let before = text("standby_mode='on'", "host=127.0.0.1 port=1");
    builder.dir.file("data/recovery.conf", &before, 0o644);
    let go = builder.dir.path("run/go");
    let mut it = builder.failpoint("recovery-kept").env("POLAR_FAILPOINT_GO", &go).start();
    it.at_failpoint();
    attach(&it, &before.replace(SLOT, "another"));
    fs::write(go, "").unwrap();
    it.wait_log("has changed while it was followed");
    it.until("the word of the standby", |it| is_standby(it) == Some(true));
    it.ready();
    assert_eq!(it.sql("show primary_slot_name"), "another");
}

#[test]
fn hostile_values_reach_the_engine_as_they_are() {
    let long = "x".repeat(900_000);
    for value in
        ["it's \"x\" \\ = # ${HOME} $(id) `id` %s", "a\nstandby_mode = off\r\tb", "''", "\\", "ü", &long]
    {
        let value = format!("application_name={value}");
        let written =
            value.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n").replace('\r', "\\r");
        let builder = Instance::builder().with_database();
        let conf = format!("standby_mode='on'\nprimary_conninfo='{}'\n", written.replace('=', "\\="));
        builder.dir.file("data/recovery.conf", conf, 0o644);
        let mut it = builder.start();
        it.until("the word of the standby", |it| is_standby(it) == Some(true));
        it.ready();
        let said = it
            .sql("select pg_catalog.encode(convert_to(current_setting('primary_conninfo'), 'UTF8'), 'hex')");
        let expected: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(said.replace('\n', "") == expected, "{said}");
        assert_eq!(it.stop(Signal::SIGTERM), Exit::Code(0));
    }
}

#[test]
fn a_target_that_is_left_over_does_not_promote_the_standby() {
    let builder = Instance::builder().with_database();
    let builder = builder.conf("recovery_target = immediate\nrecovery_target_action = promote");
    let auto = builder.dir.path("data/postgresql.auto.conf");
    append(&auto, "recovery_target_name = 'before'\nwork_mem = '5MB'");
    builder.dir.file("data/recovery.conf", text("standby_mode='on'", "host=127.0.0.1 port=1"), 0o644);
    let mut it = builder.start();
    it.until("the word of the standby", |it| is_standby(it) == Some(true));
    it.ready();
    it.restart();
    it.ready();
    assert_eq!(it.sql("select pg_is_in_recovery()"), "t");
    assert_eq!(it.sql("show work_mem"), "5MB", "what else was in postgresql.auto.conf stays");
}

#[test]
fn a_recovery_from_an_archive_ends_as_a_primary() {
    let builder = Instance::builder().with_database();
    builder.dir.file("data/recovery.conf", "restore_command = 'false'\nrecovery_target_time = ''\n", 0o644);
    let mut it = builder.start();
    serves_as_primary(&mut it);
    assert!(it.log().contains("recovery.conf is followed: recovery.signal is made"), "{}", it.log());
    assert!(!exists(&it, "recovery.signal"));
    it.restart();
    serves_as_primary(&mut it);
}

#[test]
fn somebody_elses_standby_is_left_one() {
    let builder = Instance::builder().with_database();
    builder.dir.file("data/standby.signal", "", 0o600);
    builder.dir.file("data/recovery.done", "", 0o600);
    let mut it = builder.start();
    it.until("the word of the standby", |it| is_standby(it) == Some(true));
    assert!(
        it.log().contains("recovery.done asks for a primary, but standby.signal was not made"),
        "{}",
        it.log()
    );
}
