//! Each call is killed on its way, at several places, and called again: what it leaves is what it was to leave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bed::{Pids, Pod};
use super::calls::{self, Call};
use super::life::{app_writes, installed, table_of_app};
use crate::common::{BOOT, until};

/// How long after its begin a task is killed, in milliseconds: from its first instructions to where most have ended.
const MOMENTS: [u64; 5] = [0, 5, 15, 40, 120];

/// The first child of a process.
fn child_of(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// The task that a call has come to, below its shells.
fn task_of(pid: i32) -> Option<i32> {
    let below = std::iter::successors(child_of(pid), |pid| child_of(*pid)).take(5);
    let is_task = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"polarctl\0task"))
    };
    below.into_iter().find(is_task)
}

/// Begins it, and kills it once it has run for so long; whether it was not yet over.
fn killed_after(pod: &Pod, call: &Call, moment: Duration) -> bool {
    let mut child = call.command(pod).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let top = i32::try_from(child.id()).unwrap();
    while child.try_wait().unwrap().is_none() {
        let Some(pid) = task_of(top) else { continue };
        sleep(moment);
        let killed = task_of(top) == Some(pid) && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok();
        child.wait().unwrap();
        return killed;
    }
    false
}

/// Kills it at each moment, then has it done.
fn at_last(pod: &Pod, call: &Call) {
    let killed = MOMENTS.iter().filter(|moment| killed_after(pod, call, Duration::from_millis(**moment)));
    assert!(killed.count() > 0, "none of {call:?} was in time");
    call.done(pod);
}

#[test]
fn an_installation() {
    for pids in [Pids::Shared, Pids::Own] {
        let pod = Pod::start(pids);
        // Who gets to a place is root, or the engine's user.
        let folder = pod.dir.path("log/place");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let file = folder.join("at");
        for place in ["database-made", "after-complete", "mid-promotion", "after-promotion", "before-done"] {
            let call = calls::install(&pod);
            let call = call.env("POLAR_FAILPOINT", place).env("POLAR_FAILPOINT_FILE", "/log/place/at");
            let mut child = call.command(&pod).stdout(Stdio::null()).spawn().unwrap();
            until(place, BOOT, || file.exists());
            // Another caller meanwhile hears how far it is.
            assert!(calls::progress(&pod).done(&pod).contains("running"), "{place}");
            for pid in pod.tasks() {
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
            assert!(!child.wait().unwrap().success());
            fs::remove_file(&file).unwrap();
            assert!(pod.postmaster().is_none(), "{place}");
            assert_eq!(calls::health(&pod).run(&pod).code(), 1);
        }
        calls::install(&pod).done(&pod);
        pod.serves();
        assert!(calls::progress(&pod).done(&pod).contains("succeed"));
    }
}

fn all_else(pids: Pids) {
    let pod = installed(pids);
    at_last(&pod, &calls::health(&pod));
    for (name, privilege) in [("aurora", 7), ("app", 1)] {
        at_last(&pod, &calls::account(&pod, name, "s3cret", privilege));
    }
    at_last(&pod, &calls::replica_slot(&pod));
    assert_eq!(pod.sql("select count(*) from pg_replication_slots"), "1");
    at_last(&pod, &calls::parameters(&pod, r#"{"work_mem":"'9MB'"}"#));
    assert_eq!(pod.sql("show work_mem"), "9MB");
    table_of_app(&pod);
    at_last(&pod, &calls::cm_disk_full(&pod, true));
    assert!(!app_writes(&pod));
    at_last(&pod, &calls::cm_disk_full(&pod, false));
    assert!(app_writes(&pod));
    at_last(&pod, &calls::cm_stop("fast"));
    assert!(pod.postmaster().is_none() && pod.data("ins_lock").exists());
    at_last(&pod, &calls::cm_start());
    pod.serves();
    let before = pod.postmaster().unwrap().pid;
    at_last(&pod, &calls::restart());
    pod.serves();
    assert_ne!(pod.postmaster().unwrap().pid, before);
    assert!(!pod.data("ins_lock").exists());
    at_last(&pod, &calls::pre_stop());
    pod.stays_down();
    assert!(!pod.data("ins_lock").exists());
}

#[test]
fn all_else_where_processes_are_shared() {
    all_else(Pids::Shared);
}

#[test]
fn all_else_where_they_are_not() {
    all_else(Pids::Own);
}
