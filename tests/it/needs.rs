//! What programs need of each other: up in order, down in reverse, and who goes with whom.

use std::fs;

use crate::common::{Builder, Exit, Instance, Process, Signal};

fn alone() -> Builder {
    Instance::builder().without("engine")
}

fn assert_stops(instance: &mut Instance) {
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", instance.log());
}

/// Which of these texts come first in the log, in their order.
fn assert_in_order(log: &str, texts: &[&str]) {
    let mut from = 0;
    for text in texts {
        let at = log[from..].find(text).unwrap_or_else(|| panic!("no {text:?} after {:?}", &log[..from]));
        from += at + text.len();
    }
}

#[test]
fn up_in_order_when_the_other_is_ready_and_down_in_reverse() {
    let ready = "ready = { exec = [\"test\", \"-e\", \"$DIR/run/go\"] }";
    let mut instance = alone()
        .command("a", "exec sleep 4000", &format!("before = [\"b\"]\n{ready}"))
        .command("b", "exec sleep 4001", "")
        .command("c", "exec sleep 4002", "after = [\"b\"]")
        .start();
    instance.find("sleep 4000");
    instance.wait_log("not ready yet");
    assert!(instance.process("sleep 4001").is_none() && instance.process("sleep 4002").is_none());
    fs::write(instance.path("run/go"), "").unwrap();
    instance.find("sleep 4002");
    assert_stops(&mut instance);
    let log = instance.log();
    assert_in_order(
        &log,
        &[
            "a: started",
            "a: ready",
            "b: started",
            "b: ready",
            "c: started",
            "c: ready",
            "c: stopped",
            "b: stopped",
            "a: stopped",
        ],
    );
}

#[test]
fn the_death_of_a_need_leaves_its_dependents_alone() {
    let mut instance = Instance::builder()
        .with_database()
        .command("pfsd", "exec sleep 4003", "before = [\"engine\"]")
        .start();
    instance.ready();
    let (engine, pfsd) = (instance.postmaster(), instance.find("sleep 4003"));
    pfsd.signal(Signal::SIGKILL);
    instance.until("another one", |it| it.process("sleep 4003").is_some_and(|it| it.pid != pfsd.pid));
    assert_eq!(instance.postmaster().pid, engine.pid);
    assert_eq!(instance.sql("select 1"), "1");
    assert_stops(&mut instance);
    assert_in_order(&instance.log(), &["pfsd: ready", "engine: started", "engine: stopped", "pfsd: stopped"]);
}

#[test]
fn who_is_bound_goes_down_and_comes_back_with_what_it_requires() {
    let mut instance = alone()
        .command("first", "exec sleep 4004", "")
        .command("second", "exec sleep 4005", "requires = [\"first\"]\nbound = true")
        .start();
    let (first, second) = (instance.find("sleep 4004"), instance.find("sleep 4005"));
    first.signal(Signal::SIGKILL);
    instance.until("another second", |it| it.process("sleep 4005").is_some_and(|it| it.pid != second.pid));
    assert!(!Process::lives(second.pid));
    assert_in_order(
        &instance.log(),
        &["second: ready", "first: was killed", "second: stopped", "second: started"],
    );
    assert_stops(&mut instance);
}

#[test]
fn a_one_shot_comes_first_and_one_that_fails_holds_those_that_require_it() {
    let once = |line: &str| {
        format!("kind = \"oneshot\"\ncommand = [\"sh\", \"-c\", '''{line}''']\n[restart]\ngive_up_after = 2")
    };
    let mut instance = alone()
        .program("good", &once("sleep 0.2; touch $DIR/run/made"))
        .program("bad", &once("exit 5"))
        .command(
            "user",
            "test -e made || exit 9; exec sleep 4006",
            "working_dir = \"$DIR/run\"\nafter = [\"good\"]",
        )
        .command("held", "exec sleep 4007", "requires = [\"bad\"]")
        .start();
    instance.find("sleep 4006");
    instance.wait_log("gave up: it failed (exit status 5); failures in a row: 2");
    instance.until("the word why it is held", |it| {
        it.signal(Signal::SIGUSR1);
        it.said_of("held").iter().any(|line| line.contains("requires bad, which is failed"))
    });
    assert!(instance.process("sleep 4007").is_none());
    assert_eq!(instance.exit(), None);
    assert_stops(&mut instance);
}
