//! Asked to stop: in order, in a hurry, at once, and when nobody listens.

use std::time::{Duration, Instant};

use crate::common::{Builder, Exit, Instance, Process, Signal, append};

/// Hears no signal but SIGKILL.
const DEAF: &str = "trap '' TERM INT QUIT; while :; do sleep 0.05; done";
/// What "at once" may take on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(5);

fn served(builder: Builder) -> Instance {
    let mut instance = builder.with_database().start();
    instance.ready();
    instance
}

/// The exit status after `signal`, which has to come within `deadline`.
fn stopped_within(instance: &mut Instance, signal: Signal, deadline: Duration) -> Exit {
    let begin = Instant::now();
    let exit = instance.stop(signal);
    assert!(begin.elapsed() < deadline, "{signal} took {:?}", begin.elapsed());
    exit
}

/// The rows of table `kept` after another boot.
fn kept(instance: &mut Instance) -> String {
    instance.boot();
    instance.ready();
    instance.sql("select count(*) from kept")
}

#[test]
fn sigterm_and_sigint_end_the_engine_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut instance = served(Instance::builder());
        let _session = instance.session("select pg_sleep(1000)");
        assert_eq!(instance.stop(signal), Exit::Code(0), "{signal}");
        assert_eq!(instance.cluster_state(), "shut down", "{signal}");
        assert!(instance.log().contains("asked to stop: programs end in order"));
        assert!(instance.log().contains("stopped after"));
        assert!(instance.log().ends_with("ending with status 0\n"));
    }
}

#[test]
fn sigquit_is_an_immediate_stop_at_once() {
    let mut instance = served(Instance::builder());
    instance.sql("create table kept as select 1");
    // A fast stop would wait for it.
    let session = instance.session("select pg_sleep(1000)");
    session.backend.signal(Signal::SIGSTOP);
    // PostgreSQL itself kills what does not hear of it, after 5 s.
    let exit = stopped_within(&mut instance, Signal::SIGQUIT, Duration::from_secs(5) + AT_ONCE);
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(instance.cluster_state(), "in production");
    assert_eq!(kept(&mut instance), "1");
}

#[test]
fn t09_a_second_sigterm_hurries_to_an_immediate_stop() {
    let mut instance = served(Instance::builder());
    instance.sql("create table kept as select 1");
    let session = instance.session("select pg_sleep(1000)");
    session.backend.signal(Signal::SIGSTOP);
    instance.signal(Signal::SIGTERM);
    instance.wait_log("asked to stop: programs end in order");
    // It is blocked: the session keeps the checkpointer from its last checkpoint.
    instance.until("a fast stop that is under way", |it| it.try_sql("select 1").is_err());
    assert_eq!(instance.exit(), None);
    let exit = stopped_within(&mut instance, Signal::SIGTERM, Duration::from_secs(5) + AT_ONCE);
    assert!(instance.log().contains("asked to hurry: going on to an immediate stop"));
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(instance.cluster_state(), "in production");
    assert_eq!(kept(&mut instance), "1");
}

#[test]
fn t09_two_sigterms_at_once_lose_nothing() {
    let mut instance = served(Instance::builder());
    instance.sql("create table kept as select 1");
    instance.signal(Signal::SIGTERM);
    instance.signal(Signal::SIGTERM);
    assert_eq!(instance.wait(), Exit::Code(0));
    assert_eq!(kept(&mut instance), "1");
}

#[test]
fn a_third_sigterm_kills() {
    let mut instance = Instance::builder().with_database().fake_server(DEAF).start();
    instance.wait_log("started, process");
    for (count, text) in [(1, "asked to stop: "), (1, "an immediate stop"), (1, "killing its processes")] {
        instance.signal(Signal::SIGTERM);
        instance.wait_log_count(text, count);
    }
    assert_eq!(instance.wait_within(AT_ONCE), Exit::Code(1));
}

#[test]
fn what_hears_nothing_is_killed_before_the_time_is_up() {
    let mut instance = Instance::builder()
        .with_database()
        .fake_server(DEAF)
        .set("program.engine.stop_timeout", "4s")
        .start();
    instance.wait_log("started, process");
    let begin = Instant::now();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(1));
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(2500) && took < Duration::from_secs(8), "{took:?}");
    let log = instance.log();
    for rung in ["going on to an immediate stop", "killing its processes"] {
        assert!(log.contains(&format!("it takes too long: {rung}")), "{rung}: {log}");
    }
}

#[test]
fn after_3_s_it_is_said_what_blocks() {
    let mut instance = served(Instance::builder());
    let session = instance.session("select pg_sleep(1000)");
    session.backend.signal(Signal::SIGSTOP);
    instance.signal(Signal::SIGTERM);
    instance.wait_log(&format!("still there: session {}", session.backend.inner));
    assert!(!instance.log().contains("it takes too long"));
    session.backend.signal(Signal::SIGCONT);
    assert_eq!(instance.wait(), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn an_archiver_that_blocks_is_named() {
    let mut instance = served(Instance::builder());
    append(&instance.path("data/postgresql.conf"), "archive_mode = on\narchive_command = 'sleep 1000'");
    instance.restart();
    instance.ready();
    instance.sql("create table kept as select 1");
    instance.sql("select pg_switch_wal()");
    instance.until("a command that archives", |it| it.processes().iter().any(|p| p.name == "sleep"));
    instance.signal(Signal::SIGTERM);
    instance.wait_log("archiver");
    assert_eq!(
        stopped_within(&mut instance, Signal::SIGTERM, Duration::from_secs(5) + AT_ONCE),
        Exit::Code(0)
    );
    assert_eq!(kept(&mut instance), "1");
}

#[test]
fn a_smart_stop_lets_the_sessions_end() {
    let mut instance = served(Instance::builder().set("program.engine.stop_mode", "smart"));
    let session = instance.session("select pg_sleep(1000)");
    instance.signal(Signal::SIGTERM);
    instance.until("no further session", |it| it.try_sql("select 1").is_err());
    assert_eq!(instance.exit(), None);
    assert!(Process::lives(session.backend.pid));
    session.backend.signal(Signal::SIGTERM);
    assert_eq!(instance.wait(), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn t13_a_stop_during_recovery() {
    // A recovery that waits for its archive: the postmaster has not come to serve, and may not for hours.
    let mut instance = served(Instance::builder());
    instance.sql("create table kept as select 1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    instance.spec.dir.file("data/recovery.signal", "", 0o600);
    append(&instance.path("data/postgresql.conf"), "restore_command = 'sleep 1000'");
    instance.boot();
    instance.until("a recovery that waits", |it| it.processes().iter().any(|p| p.name == "sleep"));
    assert!(!instance.log().contains("ready after"));
    assert_eq!(stopped_within(&mut instance, Signal::SIGTERM, AT_ONCE), Exit::Code(0));
    std::fs::remove_file(instance.path("data/recovery.signal")).unwrap();
    assert_eq!(kept(&mut instance), "1");
}

#[test]
fn a_stop_during_crash_recovery_loses_nothing() {
    let mut instance = served(Instance::builder());
    instance.sql("create table kept (n int, t text)");
    instance.sql("insert into kept select n, repeat('x', 100) from generate_series(1, 200000) n");
    instance.postmaster().signal(Signal::SIGKILL);
    instance.wait_log_count("started, process", 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(kept(&mut instance), "200000");
}
