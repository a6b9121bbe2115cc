//! Clients of the control socket that are many, silent, slow, or send too much: PID 1 and the engine do not notice.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Client, Exit, Instance, Signal, eventually, until};
use crate::control::sidecars;

fn op(name: &str) -> Value {
    json!({"v": 1, "op": name})
}

fn connect(instance: &Instance) -> std::io::Result<UnixStream> {
    UnixStream::connect(instance.path("run/supervisor.sock"))
}

/// More descriptors than a shell has by default; the limit is this test process's own.
fn many_descriptors() {
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

fn memory_kb(instance: &Instance) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid1())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_who_say_nothing() {
    many_descriptors();
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    drop(instance.control());
    let silent: Vec<UnixStream> = (0..1000).map(|_| connect(&instance).expect("a connection")).collect();
    let status = instance.status("engine");
    assert_eq!(status["ready"], true, "{status}");
    let first = instance.postmaster();
    first.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != first.pid));
    instance.ready();
    assert_eq!(instance.status("engine")["restarts"], 1);
    // The longest idle ones have made room.
    let open = instance.init().descriptors().len();
    assert!(open < 64 + 40, "{open} descriptors");
    drop(silent);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn one_who_says_nothing_is_dropped() {
    let instance = sidecars().start();
    let mut silent = instance.control();
    assert!(silent.hung_up_within(Duration::from_secs(30)), "still connected");
}

#[test]
fn a_request_of_100_megabytes() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    let before = memory_kb(&instance);
    for bytes in [&b"x"[..], b"[", b"{\"v\":1,\"op\":\"status\",\"program\":\""] {
        let mut client = instance.control();
        let piece = bytes.repeat(1024 * 1024 / bytes.len());
        let sent = (0..100).take_while(|_| client.send(&piece).is_ok()).count();
        assert!(sent < 100, "all of it was taken");
        assert_eq!(client.line().expect("an answer")["error"]["code"], "too_long");
        assert_eq!(client.line(), None);
    }
    let after = memory_kb(&instance);
    assert!(after < before + 8 * 1024, "{before} kB, then {after} kB");
    assert_eq!(instance.status("one")["state"], "running");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_flood_of_requests_keeps_pid_1_from_nothing() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    drop(instance.control());
    let stop = std::sync::atomic::AtomicBool::new(false);
    let answered = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let mut stream = connect(&instance).unwrap();
            let mut reader = stream.try_clone().unwrap();
            let (stop, answered) = (&stop, &answered);
            let on = || !stop.load(std::sync::atomic::Ordering::Relaxed);
            scope.spawn(move || {
                let many = "{\"v\":1,\"op\":\"explain\"}\n".repeat(100);
                while on() && stream.write_all(many.as_bytes()).is_ok() {}
                stream.shutdown(std::net::Shutdown::Both).ok();
            });
            scope.spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                while on() {
                    let Ok(n @ 1..) = reader.read(&mut buffer) else { return };
                    let lines = buffer[..n].iter().filter(|&&byte| byte == b'\n').count() as u64;
                    answered.fetch_add(lines, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("answers", Duration::from_secs(20), || {
                answered.load(std::sync::atomic::Ordering::Relaxed) > 1000
            });
            let first = instance.postmaster();
            first.signal(Signal::SIGKILL);
            instance
                .until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != first.pid));
            instance.ready();
            assert_eq!(instance.status("engine")["restarts"], 1);
            assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
        }));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(panic) = result {
            instance.signal_if_alive(Signal::SIGKILL);
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn a_follower_that_stops_reading_is_dropped() {
    let mut instance = sidecars().set("supervisor.log_level", "debug").start();
    instance.wait_state("one", "running");
    let mut stuck = instance.control();
    stuck.send(format!("{}\n", json!({"v": 1, "op": "events", "follow": true}))).unwrap();
    stuck.line().expect("one event");
    // Until what its socket holds is full.
    let mut client = instance.control();
    instance.until("the word of it", |it| {
        for _ in 0..200 {
            client.ok(json!({"v": 1, "op": "start", "program": "one"}));
        }
        it.log().contains("is dropped with")
    });
    assert_eq!(instance.status("one")["state"], "running");
    assert!(memory_kb(&instance) < 64 * 1024);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn followers_leave_room_for_who_asks() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    let follow = json!({"v": 1, "op": "events", "last": 1, "follow": true});
    let mut followers: Vec<Client> = (0..32)
        .map(|_| {
            let mut client = instance.control();
            client.ok(follow.clone());
            client
        })
        .collect();
    let mut refused = instance.control();
    let (code, message) = refused.refused(follow);
    assert_eq!(code, "busy");
    assert!(message.contains("32 clients follow"), "{message}");
    refused.ok(op("status"));
    instance.control().ok(json!({"v": 1, "op": "stop", "program": "one"}));
    for client in &mut followers {
        assert_eq!(client.line().unwrap()["ok"]["event"], "operator");
    }
    drop(followers);
    eventually("room for a follower", Duration::from_secs(20), || {
        instance
            .control()
            .ask(json!({"v": 1, "op": "events", "last": 1, "follow": true}))
            .get("ok")
            .map(|_| ())
    });
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn without_descriptors_left_it_goes_on_and_does_not_spin() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    let mut known = instance.control();
    known.ok(op("status"));
    let open = instance.init().descriptors().len();
    crate::common::set_limit(instance.pid1(), &format!("--nofile={}", open));
    let waiting: Vec<UnixStream> = (0..20).map(|_| connect(&instance).unwrap()).collect();
    instance.wait_log("could not be taken");
    let before = instance.init().sleeps();
    std::thread::sleep(Duration::from_secs(2));
    let woken = instance.init().sleeps() - before;
    assert!(woken < 50, "{woken} wake-ups in two seconds");
    crate::common::set_limit(instance.pid1(), "--nofile=1024");
    drop(waiting);
    assert_eq!(instance.control().ok(op("status")).as_array().unwrap().len(), 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn status_is_fast_with_a_hundred_programs() {
    let mut builder = Instance::builder().unset("program.engine");
    for number in 0..100 {
        builder = builder
            .set(&format!("program.p{number}.kind"), "command")
            .set(&format!("program.p{number}.command"), vec!["sleep", "infinity"]);
    }
    let mut instance = builder.start();
    instance.until("all to run", |it| {
        let all = it.control().ok(op("status"));
        all.as_array().unwrap().iter().all(|status| status["state"] == "running")
    });
    let mut client = instance.control();
    let fastest = (0..50)
        .map(|_| {
            let begin = Instant::now();
            assert_eq!(client.ok(op("status")).as_array().unwrap().len(), 100);
            begin.elapsed()
        })
        .min()
        .unwrap();
    eprintln!("status of 100 programs: {fastest:?} at best");
    assert!(fastest < Duration::from_millis(10), "{fastest:?}");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
