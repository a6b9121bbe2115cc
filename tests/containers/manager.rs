//! The manager's container beside the engine's.

use crate::bed::{Bed, Container, docker, until};

/// How much of the engine's container the manager's shares.
#[derive(Clone, Copy, PartialEq)]
enum Shared {
    Volumes,
    VolumesAndSocket,
    VolumesAndProcesses,
}

fn pair(bed: &Bed, shared: Shared, as_user: Option<&str>) -> (Container, Container) {
    let (data, log, run) = (bed.volume("data"), bed.volume("log"), bed.volume("run"));
    let mut engine = bed.engine("engine").mount(&data, "/data").mount(&log, "/log");
    let mut manager = bed.manager("manager").mount(&data, "/data").mount(&log, "/log");
    if shared == Shared::VolumesAndSocket {
        engine = engine.mount(&run, "/run/polardb");
        manager = manager.mount(&run, "/run/polardb");
    }
    if let Some(user) = as_user {
        manager = manager.with(&format!("--user {user} --cap-drop ALL"));
    }
    let engine = engine.serving();
    if shared == Shared::VolumesAndProcesses {
        manager = manager.with(&format!("--pid=container:{}", engine.name));
    }
    let manager = manager.start();
    until("the manager's PID 1", || {
        manager.exec(&["polarctl", "--config", "/etc/polardb/manager.toml", "health", "--live"]).code == 0
    });
    (engine, manager)
}

fn managed(shared: Shared, as_user: Option<&str>) {
    let Some(bed) = Bed::take(2) else { return };
    let (engine, manager) = pair(&bed, shared, as_user);
    manager.exec(&["polarctl", "health"]).success();
    assert_eq!(manager.exec(&["psql", "-h", "/data", "-U", "postgres", "-XAtc", "select 1"]).success(), "1");
    let before = engine.postmaster();

    manager.exec(&["polarctl", "lock", "--reason", "a move"]).success();
    assert_eq!(engine.exec(&["pgrep", "-x", "postgres"]).stdout, "", "locked");
    assert!(engine.healthy_by("health --live"));
    assert_eq!(manager.exec(&["polarctl", "health"]).code, 3);
    let why = engine.exec(&["polarctl", "explain", "engine"]).stdout;
    assert!(why.contains("a move"), "{why}");
    manager.exec(&["polarctl", "unlock"]).success();
    engine.ready();
    assert_eq!(engine.sql("select 1"), "1");
    assert_ne!(engine.postmaster(), before);

    let before = engine.postmaster();
    manager.exec(&["polarctl", "restart"]).success();
    engine.ready();
    assert_ne!(engine.postmaster(), before);
    manager.exec(&["polarctl", "params", "set", "work_mem=7MB"]).success();
    assert_eq!(engine.sql("show work_mem"), "7MB");
    let log = manager.sh("cat /log/manager.log");
    assert!(log.contains("params set"), "{log}");

    // By the socket PID 1 of the engine is asked; without it what is on the volume.
    let asked = manager.exec(&["polarctl", "status"]);
    assert_eq!(asked.code, if shared == Shared::VolumesAndSocket { 0 } else { 4 }, "{asked:?}");
    // Neither PID 1 has touched what is the other's.
    assert_eq!(manager.sh("ls /run/polardb-manager"), "supervisor.sock");
    assert_eq!(engine.at("/RestartCount"), 0);
    manager.health_is("healthy");
    assert_eq!(manager.stop(), 0);
    assert_eq!(engine.sql("select 1"), "1", "the engine does not notice that the manager has gone");
    assert_eq!(engine.stop(), 0);
}

#[test]
fn over_the_volumes_alone() {
    managed(Shared::Volumes, None);
}

#[test]
fn over_the_volumes_as_the_engines_user_without_a_capability() {
    managed(Shared::Volumes, Some("999:999"));
}

#[test]
fn with_the_socket_of_the_engines_supervisor() {
    managed(Shared::VolumesAndSocket, None);
}

#[test]
fn with_the_processes_of_the_engines_container() {
    managed(Shared::VolumesAndProcesses, None);
}

#[test]
fn a_lock_that_the_manager_has_made_before_the_engine_comes_holds_it_down() {
    let Some(bed) = Bed::take(2) else { return };
    let (engine, manager) = pair(&bed, Shared::VolumesAndSocket, None);
    assert_eq!(engine.stop(), 0);
    manager.exec(&["polarctl", "lock", "--reason", "the host moves"]).success();
    engine.start();
    engine.said("locked: /data/ins_lock");
    engine.health_is("healthy");
    let health = manager.exec(&["polarctl", "health"]);
    assert!(health.code == 3 && health.stdout.contains("locked"), "{health:?}");
    manager.exec(&["polarctl", "unlock"]).success();
    engine.ready();
    // The old socket of an engine's container that was killed is in nobody's way either.
    docker(["kill", &engine.name]).success();
    assert_eq!(engine.ended(), 137);
    assert_eq!(manager.exec(&["polarctl", "health"]).code, 3);
    engine.start();
    until("the manager to find it ready again", || manager.exec(&["polarctl", "health"]).code == 0);
}
