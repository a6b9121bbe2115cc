//! start, stop, restart and reload: what is asked, what is waited for, what is printed.

use std::time::{Duration, Instant};

use polardb_manager::control::protocol::{Mode, Op, Status};
use serde_json::{Value, json};

use crate::bed::{Bed, down, ok, refused, running};

/// A supervisor of one engine that goes through these states, one at each look once a change was asked for.
fn stages(before: Status, after: Vec<Status>) -> Bed {
    let mut stages = after.into_iter();
    let (mut shown, mut asked) = (before, false);
    Bed::new(move |op| match op {
        Op::Status { .. } => {
            if asked && let Some(next) = stages.next() {
                shown = next;
            }
            ok([&shown])
        }
        _ => {
            asked = true;
            ok(Value::Null)
        }
    })
}

fn at(state: &str) -> Status {
    Status { state: state.into(), ready: false, ..running("engine", "postgres") }
}

#[test]
fn stop_waits_until_nothing_of_it_runs() {
    let bed = stages(
        running("engine", "postgres"),
        vec![running("engine", "postgres"), at("stopping"), down("engine", "postgres", "stopped")],
    );
    let text = bed.ctl("stop --mode immediate").success();
    assert!(text.contains("down") && text.contains("stopped"), "{text}");
    assert_eq!(bed.changes(), [Op::Stop { program: None, mode: Some(Mode::Immediate) }]);
}

#[test]
fn start_waits_until_it_is_ready() {
    let bed = stages(
        down("engine", "postgres", "stopped"),
        vec![down("engine", "postgres", "waiting"), at("starting"), running("engine", "postgres")],
    );
    let json = bed.ctl("start engine --output json").json();
    assert_eq!((&json["state"], &json["ready"]), (&json!("running"), &json!(true)));
    assert_eq!(bed.changes(), [Op::Start { program: Some("engine".into()) }]);
}

#[test]
fn restart_waits_for_another_run() {
    let first = running("engine", "postgres");
    let next = Status { pid: Some(43), ..first.clone() };
    let bed = stages(first.clone(), vec![first, at("stopping"), at("starting"), next]);
    assert_eq!(bed.ctl("restart engine --output json").json()["pid"], 43);
}

#[test]
fn no_wait_returns_at_once() {
    let bed = stages(running("engine", "postgres"), vec![at("stopping")]);
    let json = bed.ctl("stop engine --no-wait --output json").json();
    assert_eq!(json["state"], "stopping");
}

#[test]
fn the_limit_of_time() {
    let bed = stages(running("engine", "postgres"), vec![at("stopping")]);
    let begin = Instant::now();
    let ran = bed.ctl("stop engine --timeout 300ms");
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert!(ran.stderr.starts_with("polarctl: stop of engine: after 0.3 s engine is stopping"), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

#[test]
fn what_will_not_come_is_not_waited_for() {
    let locked = Status {
        lock: Some(serde_json::from_value(json!({"file": "/nowhere/ins_lock"})).unwrap()),
        ..down("engine", "postgres", "locked")
    };
    let failed = Status { state: "failed".into(), reason: None, ..down("engine", "postgres", "") };
    for (after, words) in [(locked, "polarctl unlock"), (failed, "polarctl explain")] {
        let ran = stages(down("engine", "postgres", "stopped"), vec![after]).ctl("start --output json");
        let json = ran.json();
        assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran:?}");
        assert_eq!((&json["error"]["code"], &json["error"]["exit"]), (&json!("not_done"), &json!(1)));
        assert!(json["error"]["message"].as_str().unwrap().contains(words), "{json}");
    }
}

#[test]
fn without_a_program_the_engines_are_meant_and_there_must_be_one() {
    let bed = Bed::new(|op| match op {
        Op::Status { .. } => ok([running("sidecar", "command")]),
        other => panic!("{other:?}"),
    });
    let ran = bed.ctl("stop");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no engine"), "{ran:?}");
    assert_eq!(bed.changes(), []);
}

#[test]
fn reload_waits_for_what_it_touched_and_for_nothing_else() {
    let command = |name: &str, state: &str, pid: i32| Status {
        state: state.into(),
        ready: state == "running",
        pid: Some(pid),
        ..running(name, "command")
    };
    let never = Status { pid: None, ..command("never", "backoff", 0) };
    let mut looks = 0;
    let mut asked = false;
    let bed = Bed::new(move |op| match op {
        Op::Status { .. } if !asked => {
            ok([command("task", "running", 7), command("old", "running", 8), never.clone()])
        }
        Op::Status { .. } => {
            looks += 1;
            let mut all = vec![never.clone()];
            all.push(match looks {
                ..6 => command("task", "running", 7),
                6..9 => command("task", "starting", 9),
                _ => command("task", "running", 9),
            });
            all.extend((looks < 3).then(|| command("old", "stopping", 8)));
            all.push(command("new", if looks < 4 { "starting" } else { "running" }, 10));
            ok(all)
        }
        Op::Reload {} => {
            asked = true;
            ok(
                json!({"restarted": ["task"], "added": ["new"], "removed": ["old"], "said": ["task: started again"]}),
            )
        }
        other => panic!("{other:?}"),
    });
    let ran = bed.ctl("reload --output json").json();
    assert_eq!(ran["reloaded"]["restarted"], json!(["task"]));
    let pids: Vec<_> = ran["programs"].as_array().unwrap().iter().map(|it| it["pid"].clone()).collect();
    assert_eq!(pids, [json!(null), json!(9), json!(10)], "{ran}");
    assert_eq!(bed.changes(), [Op::Reload {}]);
}

#[test]
fn what_ends_at_once_has_not_come_up() {
    let exit = json!({"code": 3, "signal": null, "class": "failure", "at": "2026-01-31T12:00:00Z"});
    let task = running("task", "command");
    let ended = Status { last_exit: serde_json::from_value(exit).unwrap(), ready: false, ..task.clone() };
    let paused = Status { state: "backoff".into(), pid: None, ..ended.clone() };
    let again = Status { pid: Some(77), restarts: 1, ready: true, ..ended };
    for after in [vec![task.clone(), again], vec![paused]] {
        let mut after = after.into_iter();
        let mut shown = down("task", "command", "stopped");
        let mut asked = false;
        let bed = Bed::new(move |op| match op {
            Op::Status { .. } => {
                if asked && let Some(next) = after.next() {
                    shown = next;
                }
                ok([&shown])
            }
            Op::Explain { .. } => ok(json!([{
                "name": "task", "state": "backoff", "summary": "", "conditions": [], "last_lines": ["a", "no queue"]
            }])),
            _ => {
                asked = true;
                ok(Value::Null)
            }
        });
        let ran = bed.ctl("start task");
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        assert!(
            ran.stderr.contains("exit 3 (failure") && ran.stderr.contains("its last line: no queue"),
            "{ran:?}"
        );
    }
}

#[test]
fn the_mistakes_of_a_configuration_are_told() {
    let bed = Bed::new(|op| match op {
        Op::Reload {} => refused("bad_configuration", "supervisor.toml:3: no such key: prot; meant: port"),
        _ => ok([running("engine", "postgres")]),
    });
    let ran = bed.ctl("reload");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.stderr,
        "polarctl: reload of the configuration: supervisor.toml:3: no such key: prot; meant: port\n"
    );
}
