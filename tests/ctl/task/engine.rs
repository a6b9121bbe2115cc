//! Stop, start and restart: by a supervisor's socket, by the data volume beside a supervisor, and without one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use polardb_manager::control::protocol::{Lock, Mode, Op, Status};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use super::{done, refused, task, with};
use crate::bed::{Bed, down, engine as places, ok, refused as refusal, running, until};
use crate::engine::Engine;

/// What ClusterManager takes for a stop that was done.
const ALREADY: &str = "Is server running";

fn lock_words(engine: &Engine) -> Value {
    serde_json::from_str(&engine.read("ins_lock")).unwrap()
}

fn is_up(engine: &Engine) -> bool {
    engine.data().join("postmaster.pid").exists()
}

#[test]
fn without_a_supervisor() {
    for (kind, action, mode) in [
        ("", "lock_stop_instance", "immediate"),
        ("hostins_ops", "stop_instance", ""),
        ("lock_ins", "lock_ins_expire", "smart"),
    ] {
        let engine = Engine::up();
        let first = done(&engine, kind, action, &[("shutdown_mode", mode), ("shutdown_timeout", "300")]);
        assert!(first.contains("ins_lock\ndone: stop the engine\n") && !is_up(&engine), "{first}");
        let second = done(&engine, kind, action, &[("shutdown_mode", mode)]);
        assert!(second.contains(ALREADY) && !second.contains("done: "), "{second}");
        let word = if action == "lock_ins_expire" { "expired" } else { "maintenance" };
        assert_eq!(lock_words(&engine)["kind"], word);
    }
    let engine = Engine::up();
    fs::write(engine.data().join("ins_lock"), "").unwrap();
    assert!(!done(&engine, "hostins_ops", "stop_instance", &[]).contains("make"), "somebody's lock will do");
    assert_eq!(engine.read("ins_lock"), "", "and stays as it is");
}

#[test]
fn a_lock_goes_whoever_made_it_and_nothing_is_started() {
    let engine = Engine::down();
    for (kind, action) in
        [("hostins_ops", "start_instance"), ("", "unlock_start_instance"), ("lock_ins", "unlock_ins_expire")]
    {
        fs::write(engine.data().join("ins_lock"), r#"{"kind":"maintenance","owner":"somebody"}"#).unwrap();
        let first = done(&engine, kind, action, &[]);
        assert!(first.contains("ins_lock (kind maintenance, by somebody)"), "{first}");
        assert_eq!(done(&engine, kind, action, &[]), "nothing to do\n");
        assert!(!engine.data().join("ins_lock").exists() && !is_up(&engine));
    }
}

#[test]
fn a_restart_of_one_that_is_up_and_of_one_that_is_locked() {
    let engine = Engine::up();
    for _ in 0..2 {
        let text = done(&engine, "hostins_ops", "restart_instance", &[]);
        assert!(text.contains("remove ") && !text.contains(ALREADY), "{text}");
        assert!(!is_up(&engine) && !engine.data().join("ins_lock").exists());
        fs::write(engine.data().join("ins_lock"), "").unwrap();
    }
}

#[test]
fn a_clean_up_leaves_no_lock() {
    for (kind, action) in [("hostins_ops", "process_cleanup"), ("stop", "graceful_stop")] {
        let engine = Engine::up();
        assert!(done(&engine, kind, action, &[("srv_opr_timeout", "20")]).contains("stop the engine"));
        assert!(!is_up(&engine) && !engine.data().join("ins_lock").exists());
        assert!(done(&engine, kind, action, &[]).contains(ALREADY));
    }
}

#[test]
fn an_engine_that_was_killed_is_down() {
    let engine = Engine::up();
    engine.signal_all(Signal::SIGKILL);
    until("its end", || engine.try_sql("select 1").is_err());
    assert!(is_up(&engine), "its pid file is left");
    let text = done(&engine, "", "lock_stop_instance", &[]);
    assert!(text.contains(ALREADY), "{text}");
    // Beside a supervisor out of reach, too.
    let keeper = fs::File::open(engine.data()).unwrap();
    flock(&keeper, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(done(&engine, "", "lock_stop_instance", &[]).contains(ALREADY));
}

#[test]
fn a_stop_that_takes_too_long_fails_and_the_lock_holds() {
    let engine = Engine::up();
    engine.signal_all(Signal::SIGSTOP);
    let ran = task(&engine, "", "lock_stop_instance", &[("shutdown_timeout", "1")]);
    assert!(!ran.stdout.contains(ALREADY), "{ran:?}");
    let reason = refused(ran);
    assert!(reason.contains("is still there"), "{reason}");
    assert!(engine.data().join("ins_lock").exists());
    engine.signal_all(Signal::SIGCONT);
    done(&engine, "", "lock_stop_instance", &[]);
    assert!(!is_up(&engine));
}

#[test]
fn beside_a_supervisor_out_of_reach_the_postmaster_is_asked_where_the_mode_says_so() {
    let engine = Engine::up();
    let keeper = fs::File::open(engine.data()).unwrap();
    flock(&keeper, FlockOperation::NonBlockingLockExclusive).unwrap();
    // This one does not heed the lock.
    let reason = refused(task(&engine, "", "lock_stop_instance", &[("shutdown_timeout", "1")]));
    assert!(reason.contains("the lock holds") && is_up(&engine), "{reason}");
    let text = done(&engine, "", "lock_stop_instance", &[("shutdown_mode", "immediate")]);
    assert!(text.contains("stop the engine") && !is_up(&engine), "{text}");
}

#[test]
fn a_process_that_is_no_postmaster_of_this_directory_gets_no_signal() {
    let engine = Engine::down();
    let keeper = fs::File::open(engine.data()).unwrap();
    flock(&keeper, FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut other =
        std::process::Command::new("sleep").arg("600").current_dir(engine.data()).spawn().unwrap();
    let text = format!("{}\n{}\n1\n5432\n.\n\n1 1\nready   \n", other.id(), engine.data().display());
    engine.write("postmaster.pid", text);
    for (kind, action) in [("", "lock_stop_instance"), ("hostins_ops", "process_cleanup")] {
        let variables =
            [("shutdown_mode", "immediate"), ("shutdown_timeout", "1"), ("shutdown_cleanup", "true")];
        let ran = task(&engine, kind, action, &variables);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(other.try_wait().unwrap().is_none(), "{action}: it lives");
    }
    other.kill().unwrap();
    other.wait().unwrap();
}

/// A supervisor that stops its engine by word or by lock file.
fn supervisor() -> (Bed, std::path::PathBuf) {
    let bed = Bed::empty();
    fs::create_dir(bed.dir.path().join("data")).unwrap();
    let places = places(bed.dir.path());
    let file = Path::new(&places.lock_file).to_owned();
    let (lock_file, mut stopped) = (file.clone(), false);
    bed.serve(move |op| {
        match op {
            Op::Stop { .. } => stopped = true,
            Op::Start { .. } => stopped = false,
            Op::Status { .. } => {
                let lock =
                    lock_file.exists().then(|| Lock { file: places.lock_file.clone(), ..Lock::default() });
                let engine = Some(places.clone());
                return ok([match (&lock, stopped) {
                    (Some(_), _) => Status { engine, lock, ..down("engine", "postgres", "locked") },
                    (None, true) => Status { engine, ..down("engine", "postgres", "stopped") },
                    (None, false) => Status { engine, ..running("engine", "postgres") },
                }]);
            }
            _ => {}
        }
        ok(Value::Null)
    });
    (bed, file)
}

fn ask(bed: &Bed, action: &str, variables: &[(&str, &str)]) -> String {
    let own = [("srv_opr_type", "hostins_ops"), ("srv_opr_action", action)];
    with(with(bed.command("task"), &own), variables).ran().success()
}

#[test]
fn by_the_supervisors_socket() {
    let (bed, lock) = supervisor();
    for _ in 0..2 {
        assert!(ask(&bed, "process_cleanup", &[]).contains("until its container starts again"));
        assert!(!lock.exists(), "it would outlive the pod");
    }
    let stop = |mode| Op::Stop { program: None, mode: Some(mode) };
    assert_eq!(bed.changes(), [stop(Mode::Fast), stop(Mode::Fast)]);
    ask(&bed, "start_instance", &[]);
    assert_eq!(bed.changes()[2..], [Op::Start { program: None }], "that stop is over");
    assert!(ask(&bed, "stop_instance", &[("shutdown_mode", "immediate")]).contains("ins_lock"));
    assert!(lock.exists());
    assert!(ask(&bed, "stop_instance", &[]).contains(ALREADY));
    ask(&bed, "restart_instance", &[]);
    assert!(!lock.exists());
    assert!(
        bed.changes()[3..].iter().all(|op| matches!(op, Op::Start { .. })),
        "the lock file does the rest"
    );
}

#[test]
fn a_supervisor_that_is_ending_stops_its_engine_by_itself() {
    let mut looks = 0;
    let bed = Bed::new(move |op| match op {
        Op::Status { .. } => {
            looks += 1;
            let stopping = Status {
                state: "stopping".into(),
                reason: Some("shutdown".into()),
                ready: false,
                ..running("engine", "postgres")
            };
            ok([if looks < 3 { stopping } else { down("engine", "postgres", "shutdown") }])
        }
        _ => refusal("shutting_down", "the supervisor is ending"),
    });
    ask(&bed, "process_cleanup", &[]);
}

#[test]
fn a_stop_is_over_within_the_time_of_its_caller() {
    let bed = Bed::new(|op| match op {
        Op::Status { .. } => ok([running("engine", "postgres")]),
        _ => ok(Value::Null),
    });
    let own =
        [("srv_opr_type", "hostins_ops"), ("srv_opr_action", "process_cleanup"), ("shutdown_timeout", "1")];
    let begin = std::time::Instant::now();
    let reason = refused(with(bed.command("task"), &own).ran());
    assert!(reason.contains("engine is running") && begin.elapsed() > Duration::from_secs(1), "{reason}");
}
