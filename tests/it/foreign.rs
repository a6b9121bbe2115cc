//! Somebody else's `pg_ctl` beside the supervisor succeeds, and its postmaster is taken over.

use std::time::Duration;

use crate::common::{Done, Exit, Instance, Process, Signal};

pub(crate) fn served(clean_exit_delay: &str) -> Instance {
    let mut instance = Instance::builder()
        .with_database()
        .set("program.engine.restart.clean_exit_delay", clean_exit_delay)
        .start();
    instance.ready();
    instance
}

pub(crate) fn pg_ctl(instance: &Instance, action: &str) -> Done {
    let (data, log) = (instance.path("data"), instance.path("run/pg_ctl.log"));
    let arguments = [action, "-w", "-D", data.to_str().unwrap(), "-l", log.to_str().unwrap()];
    let count = if action == "stop" { 4 } else { arguments.len() };
    instance.pg("pg_ctl", &arguments[..count])
}

/// `pg_ctl restart`, and the adoption that follows.
fn restarted() -> (Instance, Process) {
    let mut instance = served("1s");
    instance.sql("create table kept as select 7 as n");
    let before = instance.postmaster();
    pg_ctl(&instance, "restart").success();
    instance.wait_log("is adopted");
    instance.wait_log_count("ready after", 2);
    let adopted = instance.postmaster();
    assert_ne!(adopted.pid, before.pid);
    assert!(instance.log().contains(&format!("process {} is adopted", adopted.inner)));
    assert_eq!(instance.log().matches("started, process").count(), 1, "it was not fought");
    (instance, adopted)
}

/// What the status report says of the engine, once it holds `text`.
pub(crate) fn report_says(instance: &mut Instance, text: &str) {
    instance.signal(Signal::SIGUSR1);
    instance.wait_log(text);
}

#[test]
fn pg_ctl_stop_succeeds_and_the_engine_starts_again_after_the_delay() {
    let mut instance = served("2s");
    let before = instance.postmaster();
    pg_ctl(&instance, "stop").success();
    let begin = std::time::Instant::now();
    instance.wait_log("ended by itself (exit status 0): somebody else's pg_ctl has 2 s");
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != before.pid));
    assert!(begin.elapsed() > Duration::from_millis(1500), "too early: {:?}", begin.elapsed());
    instance.ready();
    report_says(&mut instance, "failures in a row: 0");
    assert!(!instance.log().contains(" ERROR "));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn pg_ctl_start_within_the_delay_is_adopted() {
    let mut instance = served("3s");
    pg_ctl(&instance, "stop").success();
    pg_ctl(&instance, "start").success();
    let foreign = instance.postmaster();
    instance.wait_log(&format!("process {} is adopted", foreign.inner));
    instance.wait_log_count("ready after", 2);
    assert_eq!(instance.postmaster().pid, foreign.pid);
    report_says(&mut instance, ", adopted");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn pg_ctl_restart_succeeds_and_the_postmaster_is_stopped_in_order() {
    let (mut instance, _) = restarted();
    assert_eq!(instance.sql("select n from kept"), "7");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn an_adopted_postmaster_that_dies_is_replaced() {
    let (mut instance, adopted) = restarted();
    adopted.signal(Signal::SIGKILL);
    instance.until("a postmaster of ours", |it| {
        it.try_postmaster().is_some_and(|process| process.pid != adopted.pid)
    });
    instance.ready();
    assert_eq!(instance.log().matches("started, process").count(), 2);
    assert_eq!(instance.sql("select n from kept"), "7");
    instance.until("no zombies", |it| it.zombies().is_empty());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn an_adopted_postmaster_obeys_the_lock() {
    let (mut instance, _) = restarted();
    instance.touch_lock();
    instance.until("the adopted engine to stop", |it| !it.engine_runs());
    assert_eq!(instance.cluster_state(), "shut down");
    std::fs::remove_file(instance.lock()).unwrap();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn pg_ctl_stop_of_an_adopted_postmaster_starts_ours() {
    let (mut instance, adopted) = restarted();
    pg_ctl(&instance, "stop").success();
    instance.until("a postmaster of ours", |it| {
        it.try_postmaster().is_some_and(|process| process.pid != adopted.pid)
    });
    instance.ready();
    assert_eq!(instance.log().matches("started, process").count(), 2);
    assert!(!instance.log().contains("the last end was a crash"));
    report_says(&mut instance, "failures in a row: 0");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t09_a_stop_right_after_pg_ctl_restart_ends_that_postmaster_in_order() {
    let mut instance = served("10s");
    pg_ctl(&instance, "restart").success();
    instance.sql("create table kept as select 7 as n");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(instance.log().contains("is adopted"));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn t09_a_stop_right_after_pg_ctl_stop_is_over_at_once() {
    let mut instance = served("60s");
    pg_ctl(&instance, "stop").success();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn t13_a_lock_right_after_pg_ctl_restart_stops_that_postmaster() {
    let mut instance = served("1s");
    pg_ctl(&instance, "restart").success();
    instance.touch_lock();
    instance.wait_log("locked: ");
    instance.until("the foreign engine to stop", |it| !it.engine_runs());
    assert_eq!(instance.cluster_state(), "shut down");
    std::fs::remove_file(instance.lock()).unwrap();
    instance.ready();
    assert_eq!(instance.log().matches("started, process").count(), 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn ten_restarts_by_pg_ctl_in_a_row_all_succeed() {
    let mut instance = served("1s");
    for round in 0..10 {
        let done = pg_ctl(&instance, "restart");
        assert!(done.status.success(), "round {round}: {done:?}");
    }
    instance.wait_log("is adopted");
    instance.ready();
    assert!(!instance.log().contains(" ERROR "));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}
