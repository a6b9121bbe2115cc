use super::*;
use crate::control::protocol::Supervisor;
use crate::serve::tests::{down, engine, failed, locked, sidecar, supervisor};

fn seen(programs: Vec<Status>) -> Seen {
    Ok(Answer { programs, supervisor: supervisor() })
}

/// What startup, live and ready say of these programs, where each engine takes connections.
fn all(programs: Vec<Status>) -> [bool; 3] {
    let greetings = programs.iter().map(|program| (program.name.clone(), Ok(()))).collect();
    let seen = seen(programs);
    [Probe::Startup, Probe::Live, Probe::Ready].map(|probe| judge(probe, &seen, &greetings).ok)
}

#[test]
fn the_table() {
    let once = |status: Status| Status { start_seconds: Some(1.0), ..status };
    for (startup, live, ready, status) in [
        (true, true, true, engine("a")),
        (false, true, false, Status { ready: false, ..down("a", "running", None) }),
        (false, true, false, down("a", "initializing", None)),
        (false, true, false, down("a", "starting", None)),
        (true, true, false, once(down("a", "starting", None))),
        (false, true, false, down("a", "down", None)),
        (false, true, false, down("a", "down", Some("installing"))),
        (false, true, false, down("a", "down", Some("dependency"))),
        (false, true, false, down("a", "down", Some("waiting"))),
        (true, true, false, down("a", "down", Some("stopped"))),
        (true, true, false, down("a", "stopping", Some("shutdown"))),
        (true, true, false, locked("a")),
        (true, true, false, Status { state: "stopping".into(), ..locked("a") }),
        (true, true, false, once(locked("a"))),
        (true, true, false, once(down("a", "stopping", Some("stopped")))),
        (false, true, false, down("a", "backoff", None)),
        (true, true, false, once(down("a", "backoff", None))),
        (false, false, false, failed("a")),
        (true, false, false, once(failed("a"))),
    ] {
        let told = format!("{} {:?} {:?}", status.state, status.reason, status.start_seconds);
        assert_eq!(all(vec![status.clone()]), [startup, live, ready], "{told}");
        // Another engine that is well changes nothing for the worse, nor for the better.
        assert_eq!(all(vec![engine("z"), status]), [startup, live, ready], "{told} beside another");
    }
}

#[test]
fn sidecars_count_for_nothing() {
    let mut sick = failed("exporter");
    sick.kind = "command".into();
    let mut stuck = down("setup", "backoff", None);
    stuck.kind = "oneshot".into();
    assert_eq!(all(vec![engine("a"), sick.clone(), stuck]), [true; 3]);
    assert_eq!(all(vec![sick, sidecar("other")]), [true; 3], "without an engine");
    assert_eq!(all(Vec::new()), [true; 3]);
}

#[test]
fn ready_takes_a_connection() {
    let seen = seen(vec![engine("a"), engine("b")]);
    let ready = |greetings: Greetings| judge(Probe::Ready, &seen, &greetings);
    let recovering = Err("the database system is starting up".to_owned());
    let verdict = ready([("a".to_owned(), Ok(())), ("b".to_owned(), recovering)].into());
    assert!(!verdict.ok);
    assert_eq!(
        verdict.text(false),
        "[-] b: running, takes no connection: the database system is starting up\nreadyz: failed\n"
    );
    assert!(!ready([("a".to_owned(), Ok(()))].into()).ok, "one was not asked");
    assert!(ready([("a".to_owned(), Ok(())), ("b".to_owned(), Ok(()))].into()).ok);
}

#[test]
fn a_shutdown_is_life_and_not_ready() {
    let ending = Supervisor { shutting_down: true, ..supervisor() };
    let seen: Seen = Ok(Answer { programs: vec![engine("a")], supervisor: ending });
    let greetings = [("a".to_owned(), Ok(()))].into();
    let judge = |probe| judge(probe, &seen, &greetings);
    assert!(judge(Probe::Startup).ok && judge(Probe::Live).ok);
    let verdict = judge(Probe::Ready);
    assert!(!verdict.ok);
    assert_eq!(verdict.text(false), "[-] the supervisor is shutting down\nreadyz: failed\n");
}

#[test]
fn nobody_answers() {
    let seen: Seen = Err("/run/s: no such file".into());
    for probe in [Probe::Startup, Probe::Live, Probe::Ready] {
        let verdict = judge(probe, &seen, &Greetings::new());
        assert!(!verdict.ok, "{probe:?}");
        let text = verdict.text(false);
        assert!(text.starts_with("[-] the supervisor does not answer: /run/s: no such file\n"), "{text}");
    }
}

#[test]
fn words() {
    let mut paused = down("a", "backoff", None);
    (paused.starts_in, paused.failures) = (Some(0.44), 3);
    paused.last_exit =
        Some(LastExit { code: None, signal: Some(9), class: "out_of_memory".into(), at: String::new() });
    let not_ready = Status { ready: false, ..engine("a") };
    for (status, words) in [
        (engine("a"), "running"),
        (not_ready, "running, not ready"),
        (locked("a"), "down, locked by /data/ins_lock"),
        (
            Status { reason: Some("shutdown".into()), ..locked("a") },
            "down, shutdown, locked by /data/ins_lock",
        ),
        (down("a", "down", Some("dependency")), "down, dependency"),
        (paused, "backoff, starts again in 0.4 s, failures in a row: 3, last end: out of memory (signal 9)"),
        (failed("a"), "failed, failures in a row: 10, last end: bad configuration (exit status 1)"),
    ] {
        assert_eq!(describe(&status), words);
    }
}

#[test]
fn bodies() {
    let verdict = |programs| judge(Probe::Live, &seen(programs), &Greetings::new());
    let well = verdict(vec![engine("a"), locked("b")]);
    assert_eq!(well.text(false), "ok\n");
    assert_eq!(well.text(true), "[+] a: running\n[+] b: down, locked by /data/ins_lock\nlivez: ok\n");
    assert_eq!(verdict(vec![]).text(true), "[+] no program of kind postgres is configured\nlivez: ok\n");
    let ill = verdict(vec![engine("a"), failed("b")]);
    assert!(ill.text(false).starts_with("[-] b: failed"));
    assert!(ill.text(true).starts_with("[+] a: running\n[-] b: failed"));
    assert_eq!(
        serde_json::to_value(&well).unwrap(),
        serde_json::json!({
            "probe": "live", "ok": true, "reason": null,
            "engines": [
                { "name": "a", "ok": true, "text": "running" },
                { "name": "b", "ok": true, "text": "down, locked by /data/ins_lock" },
            ],
        })
    );
}
