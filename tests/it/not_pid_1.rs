//! The supervisor as an ordinary process: under a shell, in a foreground, as `make run` starts it.

use std::fs;

use crate::common::{Exit, Instance, Process, SUPERVISOR, Signal};

/// PID 1 is a shell that starts the supervisor, and tells its pid and its status.
fn under_a_shell() -> Instance {
    let script = format!(
        "#!/bin/sh\ndir=${{0%/bin/*}}\n{SUPERVISOR} \"$@\" & echo $! > $dir/run/pid\nwait $!\n\
         echo $? > $dir/run/exit\nexec sleep 1000\n"
    );
    let mut instance = Instance::builder().with_database().stand_in(&script).start();
    instance.ready();
    instance
}

fn supervisor(instance: &Instance) -> Process {
    let inner: i32 = fs::read_to_string(instance.path("run/pid")).unwrap().trim().parse().unwrap();
    instance.processes().into_iter().find(|process| process.inner == inner).unwrap()
}

/// Its exit status, and what is left of the namespace: the shell that has become `sleep`.
fn ended(instance: &mut Instance) -> String {
    let file = instance.path("run/exit");
    instance
        .until("the supervisor's end", |_| fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    instance.until("nothing left behind", |it| it.processes().len() == 1);
    fs::read_to_string(file).unwrap().trim().to_owned()
}

#[test]
fn it_serves_restarts_and_ends_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut instance = under_a_shell();
        let supervisor = supervisor(&instance);
        assert_ne!(supervisor.inner, 1);
        let before = instance.postmaster();
        assert_eq!(before.parent, supervisor.pid);
        let session = instance.session("do $$ begin loop perform 1; end loop; end $$");
        before.signal(Signal::SIGKILL);
        instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != before.pid));
        instance.ready();
        assert!(!Process::lives(session.backend.pid), "an orphan is left");
        assert!(!instance.log().contains("failures in a row"));
        supervisor.signal(signal);
        assert_eq!(ended(&mut instance), "0");
        assert_eq!(instance.cluster_state(), "shut down");
    }
}

#[test]
fn orphans_are_its_own_and_are_reaped() {
    let mut instance = under_a_shell();
    let supervisor = supervisor(&instance);
    let before = instance.postmaster();
    let checkpointer = instance.engine_process("checkpointer");
    // Stopped, so that it outlives its parent for a moment.
    checkpointer.signal(Signal::SIGSTOP);
    before.signal(Signal::SIGKILL);
    instance.until("the orphan at the supervisor, or its end", |_| {
        Process::read(checkpointer.pid).is_none_or(|process| process.parent == supervisor.pid)
    });
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != before.pid));
    instance.ready();
    instance.until("no zombies", |it| it.zombies().is_empty());
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(ended(&mut instance), "0");
}

#[test]
fn its_successor_adopts_what_it_left_running() {
    let mut instance = under_a_shell();
    let before = instance.postmaster();
    supervisor(&instance).signal(Signal::SIGKILL);
    let file = instance.path("run/exit");
    instance.until("the supervisor's end", |_| fs::read_to_string(&file).is_ok_and(|text| text == "137\n"));
    assert!(Process::lives(before.pid), "the engine goes on without it");
    let config = instance.path("supervisor.toml");
    let start = format!(
        "{SUPERVISOR} --config {} & echo $! > {}",
        config.display(),
        instance.path("run/pid").display()
    );
    let log = instance.path("run/second.log");
    // As root, as the first one: `enter` is the engine's user.
    let done = std::process::Command::new("nsenter")
        .args(["-t", &instance.pid1().to_string(), "-p", "-m", "-i", "--", "sh", "-c"])
        .arg(format!("({start}) > {} 2>&1", log.display()))
        .status()
        .unwrap();
    assert!(done.success());
    let said = |text: &str| fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    instance.until("the adoption", |_| said(&format!("process {} is adopted", before.inner)));
    assert_eq!(instance.postmaster().pid, before.pid);
    let second = supervisor(&instance);
    instance.until("its readiness", |_| said("ready after"));
    second.signal(Signal::SIGTERM);
    instance.until("an ordered end", |_| said("ending with status 0"));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn two_on_one_data_directory_do_not_fight() {
    let mut instance = under_a_shell();
    let before = instance.postmaster();
    let config = instance.path("supervisor.toml");
    let done = instance.enter(SUPERVISOR, ["--config", config.to_str().unwrap()]);
    assert_eq!(done.code(), 78, "{done:?}");
    assert!(done.stderr.contains("another supervisor"), "{done:?}");
    assert_eq!(instance.postmaster().pid, before.pid);
    supervisor(&instance).signal(Signal::SIGTERM);
    assert_eq!(ended(&mut instance), "0");
}

#[test]
fn as_pid_1_exit_is_the_end_of_all() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGINT), Exit::Code(0));
    assert_eq!(instance.processes(), []);
}
