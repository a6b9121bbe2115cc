//! Reload by diff: what has not changed is not touched, and each change has its own consequence.

use std::os::unix::fs::MetadataExt;

use rustix::fs::{FlockOperation, flock};

use crate::common::{Builder, Exit, Instance, Process, Signal, postgres_user};

fn alone() -> Builder {
    Instance::builder().without("engine")
}

fn assert_stops(instance: &mut Instance) {
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", instance.log());
}

#[test]
fn programs_come_and_go_and_the_others_are_not_touched() {
    let mut instance = alone()
        .command("stays", "exec sleep 5000", "")
        .command("goes", "exec sleep 5001", "before = [\"stays\"]")
        .start();
    let (stays, goes) = (instance.find("sleep 5000"), instance.find("sleep 5001"));
    let mut instance = instance
        .reload(|builder| builder.without("goes").command("comes", "exec sleep 5002", "after = [\"stays\"]"));
    instance.find("sleep 5002");
    instance.until("the end of the other", |_| !Process::lives(goes.pid));
    assert_eq!(instance.find("sleep 5000").pid, stays.pid);
    let log = instance.log();
    assert!(log.contains("comes: added") && log.contains("goes: removed"), "{log}");
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("comes: running for");
    assert!(!instance.log().contains("goes: down"), "{}", instance.log());
    assert_stops(&mut instance);
}

#[test]
fn what_a_command_is_made_of_starts_it_again_and_nothing_else_does() {
    let mut instance = alone().command("task", "exec sleep 5003", "environment = { KEY = \"one\" }").start();
    let before = instance.find("sleep 5003");
    let mut instance = instance.reload(|builder| {
        let keys = "environment = { KEY = \"one\" }\nstop_timeout = \"7s\"\nready = { exec = [\"true\"] }\n\
                    live = { exec = [\"true\"], period = \"100ms\" }\n[restart]\ngive_up_after = 3";
        builder.command("task", "exec sleep 5003", keys)
    });
    assert_eq!(instance.find("sleep 5003").pid, before.pid);
    let log = instance.log();
    let said = log.lines().find(|line| line.contains("task: changed: ")).unwrap_or_default().to_owned();
    for key in ["live", "restart.give_up_after", "stop_timeout", "at its next start: ready"] {
        assert!(said.contains(key), "no {key:?} in {said:?}");
    }
    let mut instance = instance
        .reload(|builder| builder.command("task", "exec sleep 5003", "environment = { KEY = \"two\" }"));
    instance.until("another one", |it| it.process("sleep 5003").is_some_and(|it| it.pid != before.pid));
    assert_eq!(instance.find("sleep 5003").environment()["KEY"], "two");
    assert!(instance.log().contains("started again for: environment"), "{}", instance.log());
    assert_stops(&mut instance);
}

#[test]
fn live_checks_begin_and_end_with_a_reload() {
    let mut instance = alone().command("task", "exec sleep 5004", "").start();
    let before = instance.find("sleep 5004");
    let sick = "live = { exec = [\"false\"], period = \"100ms\", failures = 1000 }";
    let mut instance = instance.reload(|builder| builder.command("task", "exec sleep 5004", sick));
    instance.wait_log("failed, 2 of 1000");
    let mut instance = instance.reload(|builder| builder.command("task", "exec sleep 5004", ""));
    let seen = instance.log().matches(" of 1000").count();
    let mut last = seen;
    // A check that was under way may still be told of.
    for round in 1..=10 {
        instance.signal(Signal::SIGUSR1);
        instance.wait_log_count("running for", round);
        last = instance.log().matches(" of 1000").count();
    }
    assert!(last <= seen + 1, "{seen} and then {last}");
    assert_eq!(instance.find("sleep 5004").pid, before.pid);
    assert_stops(&mut instance);
}

#[test]
fn an_unknown_user_of_an_added_program_changes_nothing_at_all() {
    let mut instance = alone().command("task", "exec sleep 5005", "").start();
    let before = instance.find("sleep 5005");
    let mut instance = instance.configure(|builder| {
        builder.without("task").command("new", "exec sleep 5006", "").command(
            "lost",
            "exec sleep 5007",
            "user = \"nobody-here\"",
        )
    });
    instance.signal(Signal::SIGHUP);
    instance.wait_log("not reloaded, nothing has changed: ");
    let log = instance.log();
    assert!(log.contains("program.lost") && log.contains("there is no user nobody-here"), "{log}");
    for round in 1..=3 {
        instance.signal(Signal::SIGUSR1);
        instance.wait_log_count("task: running for", round);
    }
    assert!(instance.process("sleep 5006").is_none());
    assert_eq!(instance.find("sleep 5005").pid, before.pid);
    assert_stops(&mut instance);
}

#[test]
fn one_of_the_same_name_but_another_kind_is_another_program() {
    let mut instance = alone().command("task", "exec sleep 5008", "").start();
    let before = instance.find("sleep 5008");
    let mut instance = instance.reload(|builder| {
        let table = "kind = \"oneshot\"\ncommand = [\"sh\", \"-c\", \"touch $DIR/run/done\"]";
        builder.without("task").program("task", table)
    });
    let done = instance.path("run/done");
    instance.until("the one-shot to have run", |_| done.exists());
    assert!(!Process::lives(before.pid), "the one before had to end first: {}", instance.log());
    assert_stops(&mut instance);
}

#[test]
fn an_engine_that_leaves_gives_up_its_directory_and_may_come_back() {
    let mut instance = Instance::builder().with_database().command("stays", "exec sleep 5013", "").start();
    instance.ready();
    let before = instance.postmaster();
    let table = instance.spec.program_table("engine");
    let mut instance = instance.reload(|builder| builder.without("engine"));
    instance.until("the engine's end", |it| !it.engine_runs());
    assert_eq!(instance.exit(), None);
    let mut instance = instance.reload(|builder| builder.program("engine", &table));
    instance.ready();
    assert_ne!(instance.postmaster().pid, before.pid);
    assert_stops(&mut instance);
}

#[test]
fn an_engine_that_is_renamed_serves_the_same_directory_after_a_moment() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let before = instance.postmaster();
    let table = instance.spec.program_table("engine");
    let mut instance = instance.reload(|builder| builder.without("engine").program("other", &table));
    instance.until("the other one to serve", |it| {
        it.try_postmaster().is_some_and(|it| it.pid != before.pid) && it.accepts()
    });
    assert_eq!(instance.exit(), None);
    assert_stops(&mut instance);
}

#[test]
fn an_engine_is_not_bounced_and_what_waits_is_said() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let before = instance.postmaster();
    let instance = instance.reload(|builder| {
        builder
            .set("program.engine.umask", "0027")
            .set("program.engine.parameters.work_mem", "5MB")
            .set("program.engine.stop_timeout", "33s")
    });
    let log = instance.log();
    assert!(log.contains("engine: changed: stop_timeout; at its next start: parameters, umask"), "{log}");
    let mut instance = instance.reload(|builder| {
        builder.set("program.engine.data_dir", "/elsewhere").set("program.engine.stop_timeout", "34s")
    });
    instance.wait_log("engine: data_dir cannot change while it runs, so nothing of it has changed");
    assert_eq!(instance.postmaster().pid, before.pid);
    assert_eq!(instance.sql("select 1"), "1");
    assert_stops(&mut instance);
}

#[test]
fn what_concerns_pid_1_itself_is_applied_or_said_to_wait() {
    let mut instance = alone().command("task", "exec sleep 5009", "").start();
    let before = instance.find("sleep 5009");
    let mut instance = instance.reload(|builder| {
        builder
            .set("supervisor.stop_timeout", "20s")
            .set("supervisor.log_format", "json")
            .set("supervisor.run_dir", "/elsewhere")
    });
    let log = instance.log();
    for part in ["changed: stop_timeout", "changed: log_format", "run_dir takes effect when"] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("\"program\":\"task\"");
    assert_eq!(instance.find("sleep 5009").pid, before.pid);
    assert_stops(&mut instance);
}

#[test]
fn a_file_with_a_circle_changes_nothing() {
    let mut instance = alone().command("one", "exec sleep 5010", "").start();
    let before = instance.find("sleep 5010");
    let mut instance = instance.configure(|builder| {
        builder.command("one", "exec sleep 5011", "after = [\"two\"]").command(
            "two",
            "exec sleep 5012",
            "after = [\"one\"]",
        )
    });
    instance.signal(Signal::SIGHUP);
    instance.wait_log("not reloaded, nothing has changed: ");
    assert_eq!(instance.find("sleep 5010").pid, before.pid);
    assert_stops(&mut instance);
}

#[test]
fn the_directory_of_an_engine_that_has_left_is_free_for_others() {
    let mut instance = Instance::builder().with_database().command("stays", "exec sleep 5014", "").start();
    instance.ready();
    let data = std::fs::File::open(instance.path("data")).unwrap();
    assert!(flock(&data, FlockOperation::NonBlockingLockExclusive).is_err(), "it is held");
    let mut instance = instance.reload(|builder| builder.without("engine"));
    instance
        .until("its lock to be given up", |_| flock(&data, FlockOperation::NonBlockingLockExclusive).is_ok());
    assert!(!instance.engine_runs());
    assert_eq!(instance.exit(), None);
    assert_stops(&mut instance);
}

#[test]
fn nothing_is_reloaded_while_all_is_ending() {
    let stubborn = "trap '' TERM; echo deaf; while :; do sleep 0.1; done";
    let mut instance = alone()
        .command("task", stubborn, "stop_timeout = \"6s\"")
        .set("supervisor.stop_timeout", "8s")
        .start();
    // Asked before that, it would end.
    instance.wait_log("task | deaf");
    instance.signal(Signal::SIGTERM);
    instance.wait_log("asked to stop");
    let mut instance = instance.configure(|builder| builder.set("supervisor.stop_timeout", "1s"));
    instance.signal(Signal::SIGHUP);
    instance.wait_log("ending: not reloaded");
    assert!(!instance.log().contains("changed: stop_timeout"), "{}", instance.log());
    instance.wait();
}

#[test]
fn the_group_of_an_engine_that_has_come_may_use_the_control_socket() {
    let engine = Instance::builder().with_database();
    let table = engine.program_table("engine");
    let mut instance = engine.without("engine").command("stays", "exec sleep 5015", "").start();
    instance.find("sleep 5015");
    let socket = instance.path("run/supervisor.sock");
    let group = |_: &Instance| socket.symlink_metadata().map(|found| found.gid()).ok();
    instance.until("the control socket", |it| group(it).is_some());
    assert_eq!(group(&instance), Some(0));
    let mut instance = instance.reload(|builder| builder.program("engine", &table));
    instance.until("its group", |it| group(it) == Some(postgres_user().gid));
    assert_stops(&mut instance);
}

#[test]
fn threads_that_look_after_engines_come_with_the_first_engine() {
    let engine = Instance::builder().with_database();
    let table = engine.program_table("engine");
    let mut instance = engine.without("engine").command("stays", "exec sleep 5016", "").start();
    instance.find("sleep 5016");
    let tasks = format!("/proc/{}/task", instance.pid1());
    let threads = || std::fs::read_dir(&tasks).map(Iterator::count).unwrap_or_default();
    assert_eq!(threads(), 1);
    let mut instance = instance.reload(|builder| builder.program("engine", &table));
    instance.ready();
    instance.touch_lock();
    instance.until("the engine's end", |it| !it.engine_runs());
    assert!(threads() > 1);
    assert_stops(&mut instance);
}
