//! What has happened: the events, those who follow them, and the journal that outlives PID 1.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Exit, Instance, Signal};
use crate::control::sidecars;

fn journal(instance: &Instance) -> Vec<Value> {
    let text = fs::read_to_string(instance.path("log/events.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"))).collect()
}

#[test]
fn a_crash_a_lock_and_a_stop_are_told_in_order_and_kept() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let status = instance.wait_state("engine", "running");
    let first = instance.postmaster();
    first.signal(Signal::SIGKILL);
    instance.until("another run", |it| {
        it.status("engine")["restarts"] == 1 && it.status("engine")["state"] == "running"
    });
    instance.touch_lock();
    instance.wait_event("lock", "its lock file exists");
    instance.wait_state("engine", "down");
    let events = instance.events();
    let texts: Vec<String> =
        events.iter().map(|it| format!("{} {}", it["event"], it["text"]).replace('"', "")).collect();
    let mut rest = texts.iter();
    for wanted in [
        "supervisor version ",
        &format!("state started, process {}", status["pid"]),
        &format!("state running, process {}", status["pid"]),
        &format!("exit process {} was killed (signal 9)", status["pid"]),
        "state running, process ",
        "lock its lock file exists",
        "state stopping: locked",
        "exit process ",
        "state down: locked",
    ] {
        assert!(rest.any(|text| text.starts_with(wanted)), "no {wanted} (in order) in {texts:#?}");
    }
    let numbers: Vec<u64> = events.iter().map(|it| it["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    instance.until("the journal", |it| journal(it).len() >= events.len());
    assert_eq!(journal(&instance)[..events.len()], events);

    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    let kept = journal(&instance);
    let last = kept.last().unwrap();
    assert_eq!((&last["event"], &last["text"]), (&json!("supervisor"), &json!("ended with status 0")));
    instance.boot();
    instance.wait_event("supervisor", "version ");
    instance.until("the journal of the next boot", |it| journal(it).len() > kept.len());
    let all = journal(&instance);
    assert_eq!(all[..kept.len()], kept, "what was there stays");
    assert_eq!(all[kept.len()]["seq"], 1);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn one_who_follows_hears_of_what_comes() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    let mut follower = instance.control();
    let last = follower.ok(json!({"v": 1, "op": "events", "last": 1, "follow": true}));
    let mut seq = last["seq"].as_u64().unwrap();
    instance.control().ok(json!({"v": 1, "op": "stop", "program": "one"}));
    let mut texts = Vec::new();
    while !texts.iter().any(|text| text == "down: stopped") {
        let record = follower.line().unwrap()["ok"].take();
        assert_eq!(record["seq"], seq + 1, "none is missing");
        seq += 1;
        texts.push(record["text"].as_str().unwrap().to_owned());
    }
    assert!(texts[0].starts_with("stop, asked for by uid 0"), "{texts:?}");
    let none = instance.control().all(json!({"v": 1, "op": "events", "last": 0}));
    assert_eq!(none, Vec::<Value>::new());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_program_that_gives_up_is_the_last_word() {
    let mut instance = sidecars()
        .set("program.one.command", vec!["sh", "-c", "exit 3"])
        .set("program.one.critical", true)
        .set("program.one.restart.give_up_after", 2)
        .start();
    assert_eq!(instance.wait(), Exit::Code(3));
    let kept = journal(&instance);
    let of = |event: &str| kept.iter().filter(|it| it["event"] == event).collect::<Vec<_>>();
    assert_eq!(of("exit").iter().filter(|it| it["program"] == "one").count(), 2, "{kept:#?}");
    assert!(
        of("supervisor").iter().any(|it| it["text"].as_str().unwrap().contains("one: gave up")),
        "{kept:#?}"
    );
    assert_eq!(kept.last().unwrap()["text"], "ended with status 3");
}
