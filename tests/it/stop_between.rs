//! Asked to stop while nothing serves: before a start, between two, in a pause, under the lock, in a storm of signals.

use std::time::{Duration, Instant};

use crate::common::{Exit, Instance, Signal};

/// What "at once" may take on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Until PID 1 has a handler, which is the first thing that it does, the kernel drops what is sent to it.
fn listens_to_sigterm(instance: &Instance) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid1())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (Signal::SIGTERM as u32 - 1)) != 0)
}

#[test]
fn t09_sigterm_at_once_after_the_start_of_pid_1() {
    for pause in [0, 1, 2, 5, 10, 20, 50, 100, 200] {
        let mut instance = Instance::builder().with_database().start();
        instance.until("its first instruction", listens_to_sigterm);
        std::thread::sleep(Duration::from_millis(pause));
        instance.signal(Signal::SIGTERM);
        assert_eq!(instance.wait_within(AT_ONCE * 2), Exit::Code(0), "after {pause} ms: {}", instance.log());
    }
}

#[test]
fn t09_sigterm_between_a_death_and_the_start_that_follows() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    instance.sql("create table kept as select 1");
    for pause in [0, 2, 5, 10, 20, 50] {
        instance.postmaster().signal(Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(pause));
        instance.signal(Signal::SIGTERM);
        // With the signal on its way first, the killed postmaster is the end that was asked for.
        let exit = instance.wait_within(AT_ONCE * 2);
        let log = instance.log();
        let killed = log.lines().any(|line| line.contains("stopped after") && line.contains("(signal 9"));
        let expected = if killed { Exit::Code(1) } else { Exit::Code(0) };
        assert_eq!(exit, expected, "after {pause} ms: {}", instance.log());
        instance.boot();
        instance.ready();
        assert_eq!(instance.sql("select count(*) from kept"), "1");
    }
}

#[test]
fn t09_sigterm_in_a_pause() {
    let mut instance = Instance::builder()
        .with_database()
        .fake_server("exit 3")
        .set("program.engine.restart.give_up_after", 0)
        .set("program.engine.restart.min_backoff", "60s")
        .set("program.engine.restart.max_backoff", "60s")
        .start();
    instance.wait_log("starting again in 60 s");
    let begin = Instant::now();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(begin.elapsed() < AT_ONCE);
    assert_eq!(instance.log().matches("started, process").count(), 1);
}

#[test]
fn t09_sigterm_under_the_lock() {
    let instance = Instance::builder().with_database().build();
    instance.touch_lock();
    let mut instance = instance;
    instance.boot();
    instance.wait_log("locked: ");
    let begin = Instant::now();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(begin.elapsed() < AT_ONCE);
    assert!(!instance.log().contains("started, process"));
    assert!(instance.lock().exists());
}

#[test]
fn t09_sigterm_while_the_lock_stops_the_engine() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let session = instance.session("select pg_sleep(1000)");
    session.backend.signal(Signal::SIGSTOP);
    instance.touch_lock();
    instance.wait_log("exists; stopping");
    instance.signal(Signal::SIGTERM);
    instance.wait_log("asked to stop: programs end in order");
    session.backend.signal(Signal::SIGCONT);
    assert_eq!(instance.wait(), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn t09_a_storm_of_sighups() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let before = instance.postmaster();
    for _ in 0..200 {
        instance.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(2));
    }
    instance.wait_log("configuration reloaded");
    assert_eq!(instance.sql("select 1"), "1");
    assert_eq!(instance.postmaster().pid, before.pid);
    assert_eq!(instance.log().matches("started, process").count(), 1);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t09_a_storm_of_sighups_from_the_first_instruction() {
    let mut instance = Instance::builder().with_database().start();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        instance.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(1));
    }
    instance.ready();
    assert_eq!(instance.log().matches("started, process").count(), 1);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
