//! The predecessor's tasks at a real PID 1: what its callers do to an engine, by the socket and by the data volume alone.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Done, Exit, Instance, SOON, Signal, finish, until};

/// A task with these variables, by the socket.
fn task(instance: &Instance, variables: &[(&str, &str)]) -> Done {
    run(instance.ctl_command("task"), variables)
}

/// The same where the socket is out of reach.
fn task_beside(instance: &Instance, variables: &[(&str, &str)]) -> Done {
    run(instance.ctl_without_socket_command("task"), variables)
}

fn run(mut command: Command, variables: &[(&str, &str)]) -> Done {
    command.envs(variables.iter().copied());
    finish(command, SOON)
}

/// Sees for a while that nothing is started, though no lock says so.
fn stays_stopped(instance: &mut Instance) {
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        assert!(!instance.engine_runs() && !instance.is_locked());
        let status = instance.ctl_json("status engine");
        assert_eq!((&status["state"], &status["reason"]), (&"down".into(), &"stopped".into()), "{status}");
    }
}

const STOP: [(&str, &str); 2] = [("srv_opr_action", "lock_stop_instance"), ("shutdown_mode", "fast")];
const START: [(&str, &str); 1] = [("srv_opr_action", "unlock_start_instance")];
const RESTART: [(&str, &str); 2] = [("srv_opr_type", "hostins_ops"), ("srv_opr_action", "restart_instance")];
const CLEANUP: [(&str, &str); 2] = [("srv_opr_type", "hostins_ops"), ("srv_opr_action", "process_cleanup")];

fn up() -> Instance {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    instance
}

/// Stop, start and restart, each twice.
fn stop_start_restart(of: fn(&Instance, &[(&str, &str)]) -> Done) {
    let mut instance = up();
    let first = instance.postmaster();
    for _ in 0..2 {
        let stopped = of(&instance, &STOP);
        assert_eq!(stopped.code(), 0, "{stopped:?}");
        assert!(!instance.path("data/postmaster.pid").exists() && instance.is_locked());
    }
    instance.stays_down();
    for _ in 0..2 {
        assert_eq!(of(&instance, &START).code(), 0);
        assert!(!instance.is_locked());
    }
    instance.ready();
    let mut before = instance.postmaster();
    assert_ne!(before.pid, first.pid);
    for _ in 0..2 {
        let restarted = of(&instance, &RESTART);
        assert_eq!((restarted.code(), instance.is_locked()), (0, false), "{restarted:?}");
        instance.until("another postmaster", |it| {
            it.try_postmaster().is_some_and(|found| found.pid != before.pid)
        });
        instance.ready();
        before = instance.postmaster();
    }
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn stop_start_and_restart_by_the_socket() {
    stop_start_restart(task);
}

#[test]
fn stop_start_and_restart_by_the_data_volume_alone() {
    stop_start_restart(task_beside);
}

#[test]
fn restarts_at_once_are_all_done() {
    let mut instance = up();
    let first = instance.postmaster();
    for of in [Instance::ctl_command, Instance::ctl_without_socket_command] {
        let children: Vec<_> = (0..3)
            .map(|_| {
                let mut command = of(&instance, "task");
                command.envs(RESTART).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        assert!(!instance.is_locked());
        instance.ready();
    }
    instance
        .until("another postmaster", |it| it.try_postmaster().is_some_and(|found| found.pid != first.pid));
}

#[test]
fn immediate_where_the_engine_is_not_in_sight_is_the_supervisors_own_mode() {
    let instance = up();
    let variables = [("srv_opr_action", "lock_stop_instance"), ("shutdown_mode", "immediate")];
    let stopped = task_beside(&instance, &variables);
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    assert!(stopped.stdout.contains("out of sight"), "{stopped:?}");
    assert!(!instance.path("data/postmaster.pid").exists());
}

#[test]
fn nothing_restarts_in_a_pod_that_ends() {
    let mut instance = up();
    for _ in 0..2 {
        let cleaned = task(&instance, &CLEANUP);
        assert_eq!(cleaned.code(), 0, "{cleaned:?}");
        assert!(!instance.engine_runs() && !instance.is_locked());
    }
    stays_stopped(&mut instance);
    assert_eq!(instance.control_state(), "shut down");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    // The next pod knows nothing of it.
    instance.boot();
    instance.ready();
    // And a start ends it before.
    assert_eq!(task(&instance, &CLEANUP).code(), 0);
    assert_eq!(task(&instance, &START).code(), 0);
    instance.ready();
}

#[test]
fn an_installation_is_started_and_operated_by_tasks_alone() {
    let mut instance = Instance::builder().set("program.engine.init", "wait").start();
    instance.wait_log("ins_install_step");
    let install = [
        ("srv_opr_type", "hostins_ops"),
        ("srv_opr_action", "setup_install_instance"),
        ("storage_type", "local"),
        ("service_type", "polardb_mpd_rw"),
        ("logic_ins_id", "1000"),
        ("mycnf_dict", r#"{"shared_buffers":"16MB","listen_addresses":"''","fsync":"off"}"#),
    ];
    let port = instance.spec.port.number().to_string();
    let install = [&install[..], &[("port", port.as_str())]].concat();
    for _ in 0..2 {
        let installed = task_beside(&instance, &install);
        assert_eq!(installed.code(), 0, "{installed:?}");
    }
    instance.ready();
    let health =
        [("srv_opr_type", "health_check"), ("srv_opr_action", "hostins_check"), ("srv_opr_host_ip", "{}")];
    until("its health", SOON, || task_beside(&instance, &health).code() == 0);
    assert_eq!(task_beside(&instance, &STOP).code(), 0);
    assert_eq!(task_beside(&instance, &START).code(), 0);
    instance.ready();
    assert_eq!(task(&instance, &CLEANUP).code(), 0);
    stays_stopped(&mut instance);
}
