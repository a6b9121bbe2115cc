//! A lock that comes while the engine is on its way (fault matrix, T13): starting, recovering, stopping, restarting.
//!
//! A frozen process of the engine holds the state in question until the lock has been seen.

use std::fs;

use crate::common::{Builder, Exit, Instance, Process, SOON, Signal, until};

fn running(builder: Builder) -> Instance {
    let mut instance = builder.with_database().start();
    instance.ready();
    instance
}

/// The log says `ready after` each time that the engine became ready.
fn times_ready(instance: &Instance) -> usize {
    instance.log().matches("ready after ").count()
}

#[test]
fn t13_while_starting() {
    let builder = Instance::builder().with_database();
    let run = builder.dir.path("run");
    let run = run.display();
    // A start that asks its archive, which answers when it is told to.
    let restore = format!("touch {run}/waiting; while [ ! -e {run}/go ]; do sleep 0.1; done; false");
    builder.dir.file("data/recovery.signal", "", 0o600);
    builder.dir.file("data/postgresql.auto.conf", format!("restore_command = '{restore}'\n"), 0o600);
    let mut instance = builder.start();
    instance.until("the start to wait", |it| it.path("run/waiting").exists());
    instance.set_lock();
    instance.wait_engine_log("received fast shutdown request", 1);
    instance.stays_down();
    assert_eq!((instance.starts(), times_ready(&instance)), (1, 0));
    fs::write(instance.path("run/go"), "").unwrap();
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.starts(), 2);
}

#[test]
fn t13_while_recovering_from_a_crash() {
    let mut builder = Instance::builder();
    for (name, value) in [("checkpoint_timeout", "1h"), ("max_wal_size", "8GB")] {
        builder = builder.set(&format!("program.engine.parameters.{name}"), value);
    }
    let mut instance = running(builder);
    instance.sql("checkpoint");
    instance.sql("create table t as select n, md5(n::text) from generate_series(1, 600000) n");
    instance.sql("create index on t (md5)");
    instance.sql("update t set n = n + 1");
    instance.kill9();
    instance.boot();
    let mut startup = None;
    instance.until("the recovery", |it| {
        assert_eq!(times_ready(it), 0, "the recovery was over before it was seen");
        startup = it.processes().into_iter().find(|process| process.command.contains("startup recovering"));
        startup.is_some()
    });
    let startup = startup.unwrap();
    startup.signal(Signal::SIGSTOP);
    instance.set_lock();
    instance.wait_engine_log("received fast shutdown request", 1);
    startup.signal(Signal::SIGCONT);
    instance.stays_down();
    assert_eq!(times_ready(&instance), 0);
    assert_eq!(instance.control_state(), "shut down in recovery");
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.sql("select count(*), min(n), max(n) from t"), "600000|2|600001");
}

#[test]
fn t13_while_pid_1_stops() {
    let mut instance = running(Instance::builder());
    let checkpointer = instance.engine_process("checkpointer");
    checkpointer.signal(Signal::SIGSTOP);
    instance.signal(Signal::SIGTERM);
    instance.wait_engine_log("received fast shutdown request", 1);
    instance.set_lock();
    instance.wait_log("locked: ");
    checkpointer.signal(Signal::SIGCONT);
    assert_eq!(instance.wait(), Exit::Code(0));
    assert!(instance.is_locked());
    assert_eq!(instance.control_state(), "shut down");
    instance.boot();
    instance.wait_log("locked: ");
    instance.stays_down();
}

#[test]
fn t13_locked_again_while_it_stops_for_the_first_lock() {
    let mut instance = running(Instance::builder());
    let checkpointer = instance.engine_process("checkpointer");
    checkpointer.signal(Signal::SIGSTOP);
    instance.set_lock();
    instance.wait_engine_log("received fast shutdown request", 1);
    instance.remove_lock();
    instance.wait_log("unlocked: ");
    instance.set_lock();
    instance.wait_log_count("locked: ", 2);
    checkpointer.signal(Signal::SIGCONT);
    instance.stays_down();
    assert_eq!(instance.starts(), 1);
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.starts(), 2);
}

#[test]
fn t13_asked_to_stop_while_it_stops_for_the_lock() {
    let mut instance = running(Instance::builder());
    let checkpointer = instance.engine_process("checkpointer");
    checkpointer.signal(Signal::SIGSTOP);
    instance.set_lock();
    instance.wait_engine_log("received fast shutdown request", 1);
    instance.signal(Signal::SIGTERM);
    instance.wait_log("asked to stop");
    checkpointer.signal(Signal::SIGCONT);
    assert_eq!(instance.wait(), Exit::Code(0));
    assert!(instance.is_locked());
    assert_eq!(instance.control_state(), "shut down");
}

#[test]
fn t13_while_restarting_after_a_crash() {
    let mut instance = running(Instance::builder());
    // What is left of the dead postmaster's run holds up the restart.
    instance.engine_process("checkpointer").signal(Signal::SIGSTOP);
    let postmaster = instance.postmaster();
    postmaster.signal(Signal::SIGKILL);
    instance.set_lock();
    until("the postmaster's end", SOON, || !Process::lives(postmaster.pid));
    instance.stays_down();
    assert_eq!(instance.starts(), 1);
    assert_eq!(instance.control_state(), "in production", "nobody has recovered it yet");
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.starts(), 2);
}

#[test]
fn t13_while_a_foreign_pg_ctl_has_its_delay() {
    let mut instance = running(Instance::builder().set("program.engine.restart.clean_exit_delay", "10m"));
    let data = instance.path("data");
    instance.pg("pg_ctl", ["stop", "-w", "-D", data.to_str().unwrap()]).success();
    instance.wait_log("ended by itself");
    instance.set_lock();
    instance.wait_log("locked: ");
    instance.stays_down();
    instance.remove_lock();
    // At once, and not when the delay is over.
    instance.ready();
    assert_eq!(instance.starts(), 2);
}

#[test]
fn t13_while_an_adopted_postmaster_runs() {
    let mut instance = running(Instance::builder());
    let postmaster = instance.postmaster();
    let data = instance.path("data");
    instance.pg("pg_ctl", ["restart", "-w", "-D", data.to_str().unwrap(), "-l", "/dev/null"]).success();
    instance.wait_log("is adopted");
    assert_ne!(instance.postmaster().pid, postmaster.pid);
    instance.set_lock();
    instance.stays_down();
    assert_eq!(instance.control_state(), "shut down");
    instance.remove_lock();
    instance.ready();
}
