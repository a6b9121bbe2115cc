//! A postmaster that somebody else has started is found and taken over in every order of events.

use std::fs;
use std::time::Duration;

use crate::common::{Builder, Exit, Instance, Process, SOON, SUPERVISOR, Signal, eventually, pg_bin};
use crate::foreign::{report_says, served};

/// The servers that are no server's children: each is a postmaster.
pub(crate) fn postmasters(instance: &Instance) -> Vec<Process> {
    let servers: Vec<Process> =
        instance.processes().into_iter().filter(|it| it.name == "postgres" && it.state != 'Z').collect();
    let backend =
        |it: &Process| it.command.starts_with("postgres: ") || servers.iter().any(|p| p.pid == it.parent);
    servers.iter().filter(|it| !backend(it)).cloned().collect()
}

/// `pg_ctl start` that waits for nothing; the postmaster.
fn start_by_hand(instance: &Instance) {
    let (data, log) = (instance.path("data"), instance.path("run/pg_ctl.log"));
    let arguments = ["start", "-W", "-D", data.to_str().unwrap(), "-l", log.to_str().unwrap()];
    instance.pg("pg_ctl", arguments).success();
}

fn started_by_hand(instance: &Instance) -> Process {
    start_by_hand(instance);
    eventually("somebody else's postmaster", SOON, || postmasters(instance).pop())
}

fn is_adopted(instance: &mut Instance, postmaster: &Process) {
    instance.wait_log(&format!("process {} is adopted", postmaster.inner));
}

/// A server of ours that does not start as long as `run/broken` is there.
fn broken() -> Builder {
    let builder = Instance::builder().with_database();
    builder.dir.file("run/broken", "", 0o644);
    builder.fake_server("[ -e \"$DIR/run/broken\" ] && exit 1\nexec \"$REAL\" \"$@\"")
}

#[test]
fn started_while_locked_it_is_stopped_in_order() {
    let mut instance = served("1s");
    instance.set_lock();
    instance.stays_down();
    for round in 1..=3 {
        // It may be gone before anybody has seen it.
        start_by_hand(&instance);
        instance.wait_log_count("is adopted", round);
        instance.until("it to be stopped", |it| postmasters(it).is_empty());
        instance.wait_log_count("stopped after", round + 1);
        instance.stays_down();
        assert_eq!(instance.cluster_state(), "shut down");
    }
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.starts(), 2);
    assert!(!instance.log().contains(" ERROR "));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn started_while_locked_from_the_start_it_is_stopped_too() {
    let mut instance = Instance::builder().with_database().build();
    instance.set_lock();
    instance.boot();
    instance.wait_log("it stays down until the file is gone");
    start_by_hand(&instance);
    instance.wait_log_count("is adopted", 1);
    instance.stays_down();
    assert_eq!((instance.starts(), instance.cluster_state().as_str()), (0, "shut down"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

/// PID 1 is the supervisor, and the engine runs already.
fn started_before_us(locked: bool) -> Instance {
    let script = format!(
        "#!/bin/sh\ndir=${{0%/bin/*}}\nsetpriv --reuid=postgres --regid=postgres --clear-groups \
         {}/pg_ctl start -s -w -D $dir/data -l $dir/run/pg_ctl.log || exit 98\nexec {SUPERVISOR} \"$@\"\n",
        pg_bin().display()
    );
    let mut instance = Instance::builder().with_database().stand_in(&script).build();
    if locked {
        instance.set_lock();
    }
    instance.boot();
    instance.wait_log("is adopted");
    instance
}

#[test]
fn started_before_us_it_serves_on_and_then_obeys() {
    let mut instance = started_before_us(false);
    instance.wait_log("ready after");
    let foreign = instance.postmaster();
    instance.set_lock();
    instance.stays_down();
    assert!(!Process::lives(foreign.pid));
    assert_eq!((instance.starts(), instance.cluster_state().as_str()), (0, "shut down"));
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.starts(), 1);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn started_before_us_and_locked_it_is_stopped() {
    let mut instance = started_before_us(true);
    instance.stays_down();
    assert_eq!((instance.starts(), instance.cluster_state().as_str()), (0, "shut down"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn started_while_we_back_off_it_is_adopted_at_once() {
    let builder = broken().set("program.engine.restart.min_backoff", "600s");
    let mut instance = builder.set("program.engine.restart.max_backoff", "600s").start();
    instance.wait_log("starting again in 600 s");
    let foreign = started_by_hand(&instance);
    is_adopted(&mut instance, &foreign);
    instance.ready();
    instance.wait_log("ready after");
    report_says(&mut instance, ", adopted");
    assert_eq!(instance.postmaster().pid, foreign.pid);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn t08_started_after_we_gave_up_it_is_adopted_and_stays() {
    let builder = broken().set("program.engine.restart.give_up_after", 2);
    let mut instance = builder.set("program.engine.restart.on_give_up", "stay").start();
    instance.wait_log("it stays down until an operator starts it");
    let foreign = started_by_hand(&instance);
    is_adopted(&mut instance, &foreign);
    instance.ready();
    instance.wait_log("ready after");
    report_says(&mut instance, "running");
    // It is served like one of ours from here on.
    fs::remove_file(instance.path("run/broken")).unwrap();
    foreign.signal(Signal::SIGKILL);
    instance.until("a postmaster of ours", |it| it.try_postmaster().is_some_and(|it| it.pid != foreign.pid));
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn started_while_ours_starts_it_wins_and_that_is_no_failure() {
    let builder = Instance::builder()
        .with_database()
        .set("program.engine.restart.give_up_after", 1)
        .fake_server("touch \"$DIR/run/starting\"\nuntil [ -e \"$DIR/run/go\" ]; do sleep 0.01; done\nexec \"$REAL\" \"$@\"");
    let mut instance = builder.start();
    let starting = instance.path("run/starting");
    instance.until("our own start", |_| starting.exists());
    let foreign = started_by_hand(&instance);
    instance.ready();
    fs::write(instance.path("run/go"), "").unwrap();
    instance.wait_log("found another server in its way");
    is_adopted(&mut instance, &foreign);
    instance.wait_log("ready after");
    report_says(&mut instance, "failures in a row: 0, adopted");
    assert_eq!(instance.postmaster().pid, foreign.pid);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_stop_right_after_it_was_started_stops_it_in_order() {
    let mut instance = served("1s");
    instance.set_lock();
    instance.stays_down();
    let foreign = started_by_hand(&instance);
    instance.until("its pid file", |it| it.pid_file_line(0).is_some());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(!Process::lives(foreign.pid));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn a_stale_pid_file_is_looked_into_once_and_costs_nothing() {
    let builder = Instance::builder().with_database();
    builder.dir.file("data/postmaster.pid", "4321\n/data\n1795228738\n5432\n\n\n  1  2\nready   \n", 0o600);
    let mut instance = builder.build();
    instance.set_lock();
    instance.boot();
    instance.stays_down();
    let before = instance.init().sleeps();
    std::thread::sleep(Duration::from_secs(2));
    let woken = instance.init().sleeps() - before;
    assert!(woken < 8, "{woken} times awake in 2 s");
    // Nothing tells who wrote it: unlocked, its postmaster would be waited for longer than this test lasts.
    fs::remove_file(instance.path("data/postmaster.pid")).unwrap();
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_repair_in_single_user_mode_is_left_alone() {
    let mut instance = served("1s");
    instance.set_lock();
    instance.stays_down();
    let line = format!(
        "(echo 'create table repaired as select 1'; until [ -e {0}/run/go ]; do sleep 0.05; done) | {1}/postgres --single \
         -D {0}/data postgres >/dev/null 2>&1 &",
        instance.path("").display(),
        pg_bin().display()
    );
    instance.enter("sh", ["-c", &line]).success();
    let single = eventually("single-user mode", SOON, || {
        instance.processes().into_iter().find(|it| it.command.contains("--single") && it.name == "postgres")
    });
    instance.until("its pid file", |it| it.pid_file_line(0).is_some_and(|pid| pid.starts_with('-')));
    // An unlock in its middle starts nothing beside it.
    instance.remove_lock();
    instance.wait_log("is a standalone backend (postgres --single)");
    assert!(Process::lives(single.pid) && instance.starts() == 1);
    fs::write(instance.path("run/go"), "").unwrap();
    instance.ready();
    assert_eq!(instance.sql("select count(*) from repaired"), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
