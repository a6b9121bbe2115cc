//! A database comes back after any death.

use std::time::{Duration, Instant};

use crate::common::{Exit, Instance, Signal};

/// Every statement of it is short, so that the backend looks at its signals all the time, and nothing makes it wait.
const BUSY: &str = "do $$ begin loop perform 1; end loop; end $$";

fn served() -> Instance {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    instance
}

/// Ends the postmaster by SIGKILL and waits for another one that answers; how long that took.
fn kill_postmaster(instance: &mut Instance) -> Duration {
    let before = instance.postmaster();
    let begin = Instant::now();
    before.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != before.pid));
    instance.ready();
    begin.elapsed()
}

fn postmasters(instance: &Instance) -> usize {
    let pid1 = instance.pid1();
    let all = instance.processes().into_iter();
    all.filter(|process| process.name == "postgres" && process.parent == pid1 && process.state != 'Z').count()
}

#[test]
fn kill_9_of_the_postmaster_is_a_restart_at_once_with_every_acknowledged_row() {
    let mut instance = served();
    instance.sql("create table kept (n int)");
    for n in 0..20 {
        instance.sql(&format!("insert into kept values ({n})"));
    }
    let took = kill_postmaster(&mut instance);
    assert!(took < Duration::from_secs(10), "back after {took:?}");
    assert_eq!(instance.sql("select count(*), sum(n) from kept"), "20|190");
    let log = instance.log();
    assert!(log.contains("was killed (signal 9)"), "the end is named: {log}");
    assert!(!log.contains("failures in a row"), "the first restart waits for nothing: {log}");
    assert_eq!(postmasters(&instance), 1);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t04_kill_9_of_the_postmaster_with_a_busy_backend() {
    let mut instance = served();
    let session = instance.session(BUSY);
    let took = kill_postmaster(&mut instance);
    assert!(took < Duration::from_secs(10), "back after {took:?}");
    let left = instance.processes();
    assert!(!left.iter().any(|process| process.pid == session.backend.pid), "the orphan lives: {left:?}");
    assert!(!instance.log().contains("failures in a row"), "the orphan made a start fail");
}

#[test]
fn t04_kill_9_of_the_postmaster_with_a_backend_that_hears_nothing() {
    let mut instance = served();
    let session = instance.session("select pg_sleep(1000)");
    session.backend.signal(Signal::SIGSTOP);
    let took = kill_postmaster(&mut instance);
    assert!(took < Duration::from_secs(10), "back after {took:?}");
    let left = instance.processes();
    assert!(!left.iter().any(|process| process.pid == session.backend.pid), "the orphan lives: {left:?}");
    assert!(!instance.log().contains("failures in a row"), "the orphan made a start fail");
}

#[test]
fn kill_9_of_a_backend_is_the_postmasters_own_matter() {
    let mut instance = served();
    let before = instance.postmaster();
    let session = instance.session("select pg_sleep(1000)");
    let checkpointer = instance.engine_process("checkpointer");
    session.backend.signal(Signal::SIGKILL);
    instance.until("the postmaster's own restart", |it| {
        let all = it.processes();
        all.iter().any(|p| p.command.contains("checkpointer") && p.pid != checkpointer.pid)
    });
    instance.ready();
    assert_eq!(instance.postmaster().pid, before.pid);
    assert_eq!(instance.log().matches("started, process").count(), 1);
    assert!(!instance.log().contains(" ERROR "), "nothing failed for the supervisor");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_second_death_soon_after_the_first_is_followed_by_a_pause_of_100_ms() {
    let mut instance = served();
    kill_postmaster(&mut instance);
    assert!(!instance.log().contains("starting again in"));
    let took = kill_postmaster(&mut instance);
    assert!(instance.log().contains("failures in a row: 2; starting again in 0.1 s"));
    assert!(took >= Duration::from_millis(100), "no pause: {took:?}");
}

#[test]
fn twenty_crashes_leave_neither_zombies_nor_descriptors() {
    let mut instance = Instance::builder()
        .with_database()
        .set("program.engine.restart.give_up_after", 0)
        .set("program.engine.restart.max_backoff", "100ms")
        .start();
    instance.ready();
    // The first restart may open what the first start did not.
    kill_postmaster(&mut instance);
    let before = instance.init().descriptors();
    for _ in 0..20 {
        kill_postmaster(&mut instance);
    }
    // What the last start opened for a moment may still be open.
    instance.until("no more descriptors than before", |it| it.init().descriptors().len() <= before.len());
    instance.until("no zombies", |it| it.zombies().is_empty());
    assert_eq!(postmasters(&instance), 1);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn the_pid_file_of_a_dead_container_does_not_speak_for_the_engine_of_the_next() {
    let mut instance = Instance::builder()
        .with_database()
        .fake_server("[ ! -e $DIR/run/slow ] || sleep 2\nexec $REAL \"$@\"")
        .start();
    // Pids begin at 1 in each: by the second boot the engine's is the same each time.
    for _ in 0..2 {
        instance.ready();
        instance.kill9();
        instance.boot();
    }
    instance.ready();
    assert_eq!(instance.pid_file_line(7).as_deref(), Some("ready"));
    instance.kill9();
    instance.spec.dir.file("run/slow", "", 0o600);
    let begin = Instant::now();
    instance.boot();
    instance.wait_log("ready after");
    assert!(begin.elapsed() > Duration::from_secs(2), "ready too early: {}", instance.log());
}
