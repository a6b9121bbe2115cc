//! `polarctl install` beside a supervisor, from another PID namespace as from a manager container, and from the same.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::common::{
    BOOT, Builder, Exit, Instance, SOON, Signal, eventually, finish, polarctl, postgres_user, until,
};

/// An engine container that waits for its installation, on an empty volume of root's.
fn waiting() -> Builder {
    Instance::builder().unset("program.engine.lock_file").set("program.engine.init", "wait")
}

fn install(instance: &Instance, more: &str) -> Command {
    instance.ctl_command(&format!(
        "install --output json --hba-file /no/such/file --port {} {more}",
        instance.spec.port.number()
    ))
}

fn done(instance: &Instance, more: &str) -> serde_json::Value {
    let text = finish(install(instance, more), BOOT).success();
    serde_json::from_str(&text).unwrap()
}

/// One that stops at a place, and is killed with the value.
struct Stopped(Child, std::path::PathBuf);

impl Stopped {
    fn at(instance: &Instance, place: &str, more: &str) -> Self {
        let file = instance.path("run/install");
        let mut command = install(instance, more);
        command.env("POLAR_FAILPOINT", place).env("POLAR_FAILPOINT_FILE", &file);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        until(place, BOOT, || file.exists());
        Stopped(child, file)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        fs::remove_file(&self.1).unwrap();
    }

    fn go_on(mut self) {
        fs::remove_file(&self.1).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn who_waits_serves_as_soon_as_it_is_done() {
    let builder = waiting();
    // As a node makes it; so root looks after the link of the logs.
    std::os::unix::fs::chown(builder.dir.path("log"), Some(0), Some(0)).unwrap();
    let mut instance = builder.start();
    instance.wait_log("holds no database yet");
    let json = done(&instance, "--logic-id 1000 --set log_directory='log'");
    assert_eq!(json["changed"], true);
    instance.ready();
    assert_eq!(instance.sql("show data_checksums"), "on");
    assert_eq!(instance.sql("select current_setting('log_directory')"), "log");
    // Both links of the logs lead to one folder, and nothing was moved aside.
    let folder = instance.path("log/pg_log");
    assert!(fs::symlink_metadata(&folder).unwrap().is_dir());
    assert_eq!(fs::canonicalize(instance.path("data/log")).unwrap(), folder);
    until("the log of the engine", SOON, || fs::read_dir(&folder).unwrap().next().is_some());
    let names: Vec<String> = fs::read_dir(instance.path("log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("pg_log"))
        .collect();
    assert_eq!(names, ["pg_log"]);
    assert_eq!(done(&instance, "")["changed"], false);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    instance.boot();
    instance.ready();
}

#[test]
fn in_the_same_namespace() {
    let builder = waiting();
    // Inside it is the engine's user who calls.
    std::os::unix::fs::chown(builder.dir.path("data"), Some(postgres_user().uid), Some(postgres_user().gid))
        .unwrap();
    let mut instance = builder.start();
    instance.wait_log("holds no database yet");
    let config = instance.path("supervisor.toml");
    let port = instance.spec.port.number().to_string();
    let words =
        ["--config", config.to_str().unwrap(), "install", "--hba-file", "/no/such/file", "--port", &port];
    instance.enter(polarctl().to_str().unwrap(), words).success();
    instance.ready();
}

#[test]
fn locked_it_stays_down_until_it_is_unlocked() {
    let mut instance = waiting().start();
    instance.wait_log("holds no database yet");
    let stopped = Stopped::at(&instance, "before-done", "--lock");
    assert!(instance.is_locked() && !instance.path("data/ins_install_step").exists());
    stopped.go_on();
    instance.wait_log("locked: ");
    instance.stays_down();
    assert_eq!(instance.ctl("unlock").code(), 0);
    instance.ready();
}

#[test]
fn who_comes_while_it_is_under_way_waits_for_its_end() {
    let mut instance = waiting().build();
    // The places of what it is told by ctl.
    instance.boot();
    instance.wait_log("holds no database yet");
    for place in ["database-made", "mid-promotion", "after-promotion", "before-done"] {
        // Each one is killed, and the next goes on.
        let stopped = Stopped::at(&instance, place, "");
        assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{place}: {}", instance.log());
        instance.boot();
        instance.wait_log("not started yet");
        assert!(!instance.engine_runs(), "{place}");
        stopped.kill();
    }
    done(&instance, "");
    instance.ready();
}

/// The same supervisor, which would make and serve databases by itself.
fn by_itself(builder: Builder) -> Builder {
    builder.set("program.engine.init", "auto")
}

#[test]
fn one_that_would_make_a_database_by_itself_waits_too() {
    let mut instance = waiting().start();
    instance.wait_log("holds no database yet");
    let stopped = Stopped::at(&instance, "database-made", "");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    instance = instance.change(by_itself);
    instance.boot();
    instance.wait_log("an installation works in");
    stopped.kill();
    // Nothing of it was complete: the first boot is all there is.
    instance.ready();
    assert!(instance.log().contains("NEW database initialized"));
}

#[test]
fn one_that_would_serve_it_too_early_waits_for_the_next_call() {
    let mut instance = waiting().start();
    instance.wait_log("holds no database yet");
    for place in ["after-complete", "before-done"] {
        let stopped = Stopped::at(&instance, place, "");
        assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
        instance = instance.change(by_itself);
        instance.boot();
        instance.wait_log("an installation works in");
        stopped.kill();
        instance.wait_log("an installation was ended on its way");
        assert!(!instance.engine_runs(), "{place}");
        assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
        instance.boot();
        instance.wait_log("an installation was ended on its way");
    }
    done(&instance, "");
    instance.ready();
    assert!(!instance.log().contains("NEW database initialized"));
}

#[test]
fn over_a_first_boot_that_is_under_way() {
    let mut instance =
        Instance::builder().unset("program.engine.lock_file").failpoint("after-initdb").start();
    instance.at_failpoint();
    let refused = finish(install(&instance, ""), BOOT);
    assert_eq!(refused.code(), 1);
    assert!(refused.stdout.contains("\"first_boot\"") && refused.stdout.contains("init = "), "{refused:?}");
    assert!(!instance.path("data/ins_install_step").exists());
    let stages = || {
        let names = fs::read_dir(instance.path("data")).unwrap();
        names
            .filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().starts_with(".init-"))
            .count()
    };
    assert_eq!(eventually("its stage", SOON, || Some(stages())), 1, "it is left alone");
}
