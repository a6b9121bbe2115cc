//! What an engine writes, on PID 1's standard output: its own lines in each form, and those of its log collector.

use std::fs;

use crate::common::{Exit, Instance, Signal};

fn wait_for(instance: &mut Instance, text: &str) {
    let what = format!("{text} on PID 1's output");
    instance.until(&what, |it| it.log().contains(text));
}

#[test]
fn the_collectors_lines_of_each_run_are_passed_on_from_the_first_to_the_last() {
    let mut instance = Instance::builder().start();
    instance.ready();
    instance.try_sql("select first_mistake").unwrap_err();
    wait_for(&mut instance, "column \"first_mistake\" does not exist");
    // Another file, and another run.
    instance.sql("select pg_rotate_logfile()");
    instance.until("a mistake in the next file", |it| {
        it.try_sql("select second_mistake").unwrap_err();
        it.log().contains("second_mistake")
    });
    let first = instance.postmaster();
    first.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != first.pid));
    instance.ready();
    instance.try_sql("select third_mistake").unwrap_err();
    wait_for(&mut instance, "column \"third_mistake\" does not exist");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    let log = instance.log();
    assert!(log.contains("database system is shut down"), "{log}");
    assert_eq!(log.matches("ERROR:  column \"first_mistake\" does not exist").count(), 1, "{log}");
}

#[test]
fn with_the_programs_prefix_and_by_another_process_after_a_death() {
    let mut instance = Instance::builder().with_database().set("program.engine.output", "prefix").start();
    instance.ready();
    instance.try_sql("select a_mistake").unwrap_err();
    wait_for(&mut instance, "column \"a_mistake\" does not exist");
    assert!(instance.log().lines().any(|line| line.starts_with("engine | ") && line.contains("a_mistake")));
    let follower = |it: &Instance| it.processes().into_iter().find(|it| it.command.contains(" follow "));
    let first = follower(&instance).unwrap();
    assert_eq!(first.uid, instance.postmaster().uid, "it runs as the engine's user");
    first.signal(Signal::SIGKILL);
    instance.until("another follower", |it| follower(it).is_some_and(|it| it.pid != first.pid));
    instance.until("a mistake that is passed on", |it| {
        it.try_sql("select a_later_mistake").unwrap_err();
        it.log().contains("a_later_mistake")
    });
    instance.touch_lock();
    instance.until("nothing but PID 1", |it| it.processes().len() == 1);
}

#[test]
fn as_json_every_line_of_it_is_an_object() {
    let builder = Instance::builder().with_database().set("program.engine.output", "json");
    let mut instance = builder.set("supervisor.log_format", "json").start();
    instance.ready();
    instance.try_sql("select a_mistake").unwrap_err();
    wait_for(&mut instance, "a_mistake");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    for line in instance.log().lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            value["time"].is_string() && value["program"].is_string() && value["message"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn not_followed_the_collectors_lines_stay_in_their_files() {
    let mut instance =
        Instance::builder().with_database().set("program.engine.follow_engine_log", false).start();
    instance.ready();
    instance.try_sql("select a_mistake").unwrap_err();
    let files = || fs::read_dir(instance.path("data/pg_log")).into_iter().flatten().flatten();
    crate::common::until("the mistake in a file", crate::common::SOON, || {
        files().any(|file| fs::read_to_string(file.path()).unwrap_or_default().contains("a_mistake"))
    });
    assert!(instance.processes().iter().all(|it| !it.command.contains(" follow ")));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(!instance.log().contains("a_mistake"));
}

#[test]
fn the_next_follower_is_made_beside_the_prepare_child_and_not_after_it() {
    let server = "[ -e \"$DIR/run/broken\" ] && exit 1\nexec \"$REAL\" \"$@\"";
    let mut instance = Instance::builder()
        .set("program.engine.follow_engine_log", true)
        .with_database()
        .fake_server(server)
        .build();
    // The question that a prepare child asks after such an end is answered when the test says so.
    let path = instance.path("fakebin/postgres");
    let text = std::fs::read_to_string(&path).unwrap();
    let hold = "case \" $* \" in *\" -C \"*) until [ -e \"$DIR/run/go\" ]; do sleep 0.01; done ;; esac\n";
    std::fs::write(&path, text.replacen("for word", &format!("{hold}for word"), 1)).unwrap();
    instance.boot();
    instance.ready();
    std::fs::write(instance.path("run/broken"), "").unwrap();
    instance.postmaster().signal(Signal::SIGKILL);
    instance.until("a follower while the prepare child waits for an answer", |it| {
        let all = it.processes();
        let any = |word: &str| all.iter().any(|process| process.command.contains(word));
        any(" prepare") && any(" -C port") && any(" follow ")
    });
    std::fs::remove_file(instance.path("run/broken")).unwrap();
    std::fs::write(instance.path("run/go"), "").unwrap();
    instance.ready();
}
