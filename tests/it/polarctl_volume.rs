//! `polarctl` with only the data volume in reach, beside a real PID 1.

use std::os::unix::fs::MetadataExt;

use crate::common::{Exit, Instance, SOON, SUPERVISOR, Signal, finish, postgres_user, until};

#[test]
fn lock_and_unlock_by_the_data_volume_alone() {
    let mut instance = Instance::builder().unset("program.engine.lock_file").with_database().start();
    instance.ready();
    let first = instance.postmaster();
    let locked = instance.ctl_without_socket("lock engine --reason move");
    assert_eq!(locked.code(), 0, "{locked:?}");
    assert!(locked.stderr.contains("no supervisor is in reach"), "{locked:?}");
    assert!(!instance.path("data/postmaster.pid").exists(), "it waits for the end");
    let owner = std::fs::metadata(instance.lock()).unwrap().uid();
    assert_eq!(owner, postgres_user().uid, "the data directory's owner");
    until("the engine's end", SOON, || !instance.engine_runs());
    // Whoever comes by the socket sees who locked, and why.
    assert_eq!(instance.ctl_json("status engine")["lock"]["reason"], "move");
    let unlocked = instance.ctl_without_socket("unlock engine");
    assert_eq!(unlocked.code(), 0, "{unlocked:?}");
    assert!(unlocked.stdout.contains("running"), "{unlocked:?}");
    assert_eq!(instance.sql("select 1"), "1", "it waits until it is ready");
    assert_ne!(instance.postmaster().pid, first.pid);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn stop_and_start_by_the_data_volume_alone() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    assert_eq!(instance.ctl_without_socket("stop").code(), 0);
    assert!(instance.is_locked() && !instance.path("data/postmaster.pid").exists());
    // Unlike a stop by the socket it outlives the container.
    instance.restart();
    instance.stays_down();
    assert_eq!(instance.ctl_without_socket("start").code(), 0);
    assert!(!instance.is_locked());
    assert_eq!(instance.sql("select 1"), "1");
    // A data directory by its path, whoever keeps it.
    let data = instance.path("data");
    let lock = instance.lock();
    let line = format!("--data-dir {} --lock-file {} lock", data.display(), lock.display());
    assert_eq!(instance.ctl_without_socket(&line).code(), 0);
    assert!(instance.is_locked());
    assert_eq!(instance.ctl("unlock").code(), 0);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn locked_before_the_first_boot_the_volume_stays_empty() {
    let mut instance = Instance::builder().unset("program.engine.lock_file").build();
    let data = instance.path("data");
    // There is no supervisor.toml yet that could tell the place.
    let lock = || {
        let mut command = std::process::Command::new(crate::common::polarctl());
        command.args(["lock", "--data-dir"]).arg(&data);
        crate::common::finish(command, SOON)
    };
    assert_eq!(lock().code(), 0);
    instance.boot();
    instance.wait_log("locked: ");
    instance.stays_down();
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1, "the lock file alone");
    assert_eq!(instance.ctl_json("unlock engine")["state"], "running");
    assert!(instance.log().contains("NEW database initialized"));
}

#[test]
fn a_supervisor_that_comes_later_adopts_what_polarctl_started() {
    let mut instance =
        Instance::builder().with_database().stand_in("#!/bin/sh\nwhile :; do sleep 1; done\n").start();
    let ctl = crate::common::polarctl().to_str().unwrap();
    let config = instance.path("supervisor.toml").display().to_string();
    let start = instance.enter(ctl, ["--config", &config, "start", "engine"]);
    assert_eq!(start.code(), 0, "{start:?}");
    assert!(start.stderr.contains("no supervisor keeps engine"), "{start:?}");
    assert_eq!(instance.sql("select 1"), "1");
    let pid_file = instance.path("data/postmaster.pid");
    let postmaster = || std::fs::read_to_string(&pid_file).unwrap().lines().next().unwrap().to_owned();
    let started = postmaster();
    let log = instance.path("run/supervisor.log");
    let line = format!("{SUPERVISOR} --config {config} > {} 2>&1 & echo $!", log.display());
    let pid1 = instance.pid1().to_string();
    let mut command = std::process::Command::new("nsenter");
    command.args(["-t", &pid1, "-p", "-m", "-i", "--", "sh", "-c", &line]).stdin(std::process::Stdio::null());
    let inner: i32 = finish(command, SOON).success().trim().parse().unwrap();
    let said = |text: &str| std::fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    instance.until("the adoption", |_| said(&format!("process {started} is adopted")));
    instance.until("its readiness", |_| said("ready after"));
    assert_eq!((postmaster(), instance.sql("select 1")), (started, "1".to_owned()));
    // In its reach it is the supervisor's to stop.
    let stop = instance.enter(ctl, ["--config", &config, "stop", "--output", "json"]);
    assert_eq!((stop.code(), pid_file.exists(), instance.is_locked()), (0, false, false), "{stop:?}");
    let supervisor = instance.processes().into_iter().find(|process| process.inner == inner).unwrap();
    supervisor.signal(Signal::SIGTERM);
    instance.until("an ordered end", |_| said("ending with status 0"));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn restart_by_the_data_volume_alone_leaves_no_lock() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let first = instance.postmaster();
    let said = instance.ctl_without_socket("restart --dry-run").success();
    assert!(said.contains("would: make ") && said.contains("then remove it"), "{said}");
    assert_eq!(instance.postmaster().pid, first.pid);
    let restarted = instance.ctl_without_socket("restart engine");
    assert_eq!(restarted.code(), 0, "{restarted:?}");
    assert!(!instance.is_locked());
    assert_ne!(instance.postmaster().pid, first.pid, "by its supervisor, in its namespace");
    assert_eq!(instance.ctl_without_socket("lock engine").code(), 0);
    let refused = instance.ctl_without_socket("restart engine");
    assert_eq!((refused.code(), instance.is_locked()), (1, true), "{refused:?}");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
