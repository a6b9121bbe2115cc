//! A caller that dies and calls again, and two callers at once.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{command, done, task};
use crate::bed::until;
use crate::engine::Engine;

/// At so many points of its way each one is killed.
const POINTS: u32 = 5;

const ACCOUNT: [(&str, &str); 3] =
    [("srv_opr_user_name", "app"), ("srv_opr_password", "geheim"), ("srv_opr_privilege", "15")];
const SLOT: [(&str, &str); 1] = [("ro_custins_current", r#"{"custins_id":"1","slot_unique_name":"a"}"#)];
const PARAMS: [(&str, &str); 1] = [("params", r#"{"work_mem":"8MB","log_statement":"all"}"#)];

/// A task, and one that undoes it.
type Both =
    ((&'static str, &'static str), (&'static str, &'static str), &'static [(&'static str, &'static str)]);

const BOTH: [Both; 4] = [
    (("account", "create"), ("account", "delete"), &ACCOUNT),
    (("replica", "create_replication"), ("replica", "remove_replication"), &SLOT),
    (("lock_ins", "lock_ins_diskfull"), ("lock_ins", "unlock_ins_diskfull"), &[]),
    (("update_conf", "update"), ("health_check", "hostins_check"), &PARAMS),
];

#[test]
fn killed_in_the_middle_and_called_again() {
    let engine = Engine::up();
    for (make, undo, variables) in BOTH {
        let begin = Instant::now();
        done(&engine, make.0, make.1, variables);
        let takes = begin.elapsed();
        for point in 0..POINTS {
            done(&engine, undo.0, undo.1, variables);
            for (kind, action) in [make, undo] {
                let mut child =
                    command(&engine, kind, action, variables).spawn_to(Stdio::null(), Stdio::null());
                // Not a wait for anything: each time at another point of its way.
                std::thread::sleep(takes * point / POINTS);
                child.kill().unwrap();
                child.wait().unwrap();
                done(&engine, kind, action, variables);
            }
        }
    }
    for (_, undo, variables) in BOTH {
        done(&engine, undo.0, undo.1, variables);
    }
    assert_eq!(engine.sql("select count(*) from pg_replication_slots"), "0");
    assert_eq!(engine.sql("select count(*) from pg_roles where rolname = 'app'"), "0");
    assert_eq!(engine.sql("show work_mem"), "8MB");
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn two_at_once_are_one() {
    let engine = Engine::up();
    for (make, _, variables) in BOTH {
        let both = [(); 2].map(|()| command(&engine, make.0, make.1, variables).spawn());
        let both = both.map(ended);
        assert!(both.iter().all(|(code, _)| *code == Some(0)), "{both:?}");
        assert_eq!(both.iter().filter(|(_, text)| text.contains("done: ")).count(), 1, "{both:?}");
    }
    let both = [(); 2].map(|()| command(&engine, "", "lock_stop_instance", &[]).spawn()).map(ended);
    assert!(both.iter().all(|(code, _)| *code == Some(0)), "{both:?}");
    assert!(!engine.data().join("postmaster.pid").exists() && engine.data().join("ins_lock").exists());
    assert_eq!(engine.manager_log().len(), 10, "one line each");
}

#[test]
fn a_stop_that_was_killed_is_finished_by_the_next_call() {
    let engine = Engine::up();
    engine.signal_all(nix::sys::signal::Signal::SIGSTOP);
    let mut first = command(&engine, "", "lock_stop_instance", &[]).spawn_to(Stdio::null(), Stdio::null());
    until("the lock", || engine.data().join("ins_lock").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    engine.signal_all(nix::sys::signal::Signal::SIGCONT);
    let begin = Instant::now();
    done(&engine, "", "lock_stop_instance", &[]);
    assert!(begin.elapsed() < Duration::from_secs(50) && !engine.data().join("postmaster.pid").exists());
    // And a restart that was killed while the lock was there.
    assert!(task(&engine, "hostins_ops", "restart_instance", &[]).stdout.contains("remove "));
    assert!(!engine.data().join("ins_lock").exists());
}
