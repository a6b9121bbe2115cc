//! SIGHUP, SIGUSR1 and SIGUSR2.

use std::fs;

use crate::common::{Builder, Exit, Instance, Signal, append};

fn served(builder: Builder) -> Instance {
    let mut instance = builder.with_database().start();
    instance.ready();
    instance
}

/// Changes a text of the running instance's `supervisor.toml`.
fn edit(instance: &Instance, from: &str, to: &str) {
    let path = instance.path("supervisor.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn reload(instance: &mut Instance) {
    let before = instance.log().matches("configuration reloaded").count();
    instance.signal(Signal::SIGHUP);
    instance.wait_log_count("configuration reloaded", before + 1);
}

#[test]
fn a_bad_file_changes_nothing_and_its_mistake_is_said_with_the_line() {
    let mut instance = served(Instance::builder().set("supervisor.log_level", "info"));
    let before = instance.postmaster();
    edit(&instance, "log_level = \"info\"", "log_level = \"error\"\nlog_form = \"json\"");
    let text = fs::read_to_string(instance.path("supervisor.toml")).unwrap();
    let line = text.lines().position(|line| line.starts_with("log_form")).unwrap() + 1;
    instance.signal(Signal::SIGHUP);
    instance.wait_log("not reloaded, nothing has changed: ");
    let said = instance.log();
    let said = said.lines().find(|line| line.contains("not reloaded")).unwrap().to_owned();
    for part in [&format!("supervisor.toml:{line}"), "log_form", "log_format"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    // The level is as it was: this is of level info.
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("running for");
    assert_eq!(instance.postmaster().pid, before.pid);
    fs::remove_file(instance.path("supervisor.toml")).unwrap();
    instance.signal(Signal::SIGHUP);
    instance.wait_log_count("not reloaded, nothing has changed: ", 2);
    assert_eq!(instance.sql("select 1"), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_good_file_holds_from_then_on() {
    let mut instance = served(
        Instance::builder()
            .set("program.engine.restart.give_up_after", 10)
            .set("supervisor.log_level", "info"),
    );
    edit(&instance, "give_up_after = 10", "give_up_after = 1");
    reload(&mut instance);
    instance.postmaster().signal(Signal::SIGKILL);
    assert_eq!(instance.wait(), Exit::Code(137));
    assert!(instance.log().contains("failures in a row: 1; ending with status 137"));
}

#[test]
fn the_log_level_changes() {
    let mut instance = served(Instance::builder().set("supervisor.log_level", "info"));
    edit(&instance, "log_level = \"info\"", "log_level = \"debug\"");
    reload(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(instance.log().contains(" DEBUG "), "{}", instance.log());
}

#[test]
fn the_lock_file_moves() {
    let mut instance = served(Instance::builder());
    edit(&instance, "/ins_lock\"", "/other_lock\"");
    reload(&mut instance);
    instance.touch_lock();
    fs::write(instance.path("other_lock"), "").unwrap();
    instance.wait_log("other_lock exists; stopping");
    instance.until("the engine to stop", |it| !it.engine_runs());
    fs::remove_file(instance.path("other_lock")).unwrap();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn the_engine_reads_its_files_again() {
    let mut instance = served(Instance::builder());
    let before = instance.postmaster();
    assert_ne!(instance.sql("show work_mem"), "7MB");
    append(&instance.path("data/postgresql.conf"), "work_mem = '7MB'");
    reload(&mut instance);
    instance.until("the engine's own reload", |it| it.try_sql("show work_mem") == Ok("7MB".into()));
    assert_eq!(instance.postmaster().pid, before.pid);
}

#[test]
fn sigusr1_says_how_it_stands_and_sigusr2_does_no_harm() {
    let mut instance = served(Instance::builder());
    // An answer to SQL may come before PID 1 has seen the engine's word that it is ready.
    instance.wait_log("ready after");
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("running for");
    let log = instance.log();
    let line = log.lines().find(|line| line.contains("running for")).unwrap();
    assert!(line.contains("engine: ") && line.contains("restarts: 0, failures in a row: 0"), "{line}");
    instance.signal(Signal::SIGUSR2);
    // The writer is there or not, by whether there has been anything to write for a while.
    instance.until("the word of SIGUSR2", |it| {
        it.log().contains("log files are opened again") || it.log().contains("nothing to reopen")
    });
    assert_eq!(instance.sql("select 1"), "1");
    instance.touch_lock();
    instance.wait_log("stopped after");
    // Until nothing of it is left it is still stopping.
    instance.until("the word that it is down", |it| {
        it.signal(Signal::SIGUSR1);
        it.log().contains("down (locked) for")
    });
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
