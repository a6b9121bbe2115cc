//! Over real connections, against a control server and engines that only pretend.

mod bed;
mod http;
mod limits;

use crate::control::protocol::{Engine, LastExit, Lock, Status, Supervisor};

/// An engine that runs and is ready.
pub(super) fn engine(name: &str) -> Status {
    Status {
        name: name.into(),
        kind: "postgres".into(),
        state: "running".into(),
        reason: None,
        pid: Some(7),
        since: "2026-11-21T04:00:00Z".into(),
        restarts: 0,
        failures: 0,
        last_exit: None,
        ready: true,
        adopted: false,
        standby: None,
        lock: None,
        starts_in: None,
        ends: [].into(),
        downtime: [].into(),
        start_seconds: Some(0.25),
        stop_seconds: None,
        dropped_lines: 0,
        engine: Some(Engine {
            data_dir: "/nowhere".into(),
            lock_file: "/nowhere/ins_lock".into(),
            log_link: "/nowhere/log".into(),
            socket_dir: vec!["/nowhere".into()],
            port: 5432,
            user: None,
        }),
        output_file: None,
    }
}

/// An engine that is not up.
pub(super) fn down(name: &str, state: &str, reason: Option<&str>) -> Status {
    Status {
        state: state.into(),
        reason: reason.map(Into::into),
        pid: None,
        ready: false,
        start_seconds: None,
        ..engine(name)
    }
}

/// One that its lock file holds down.
pub(super) fn locked(name: &str) -> Status {
    let lock = Lock { file: "/data/ins_lock".into(), ..Lock::default() };
    Status { lock: Some(lock), ..down(name, "down", Some("locked")) }
}

/// One that has given up.
pub(super) fn failed(name: &str) -> Status {
    let exit = LastExit {
        code: Some(1),
        signal: None,
        class: "bad_configuration".into(),
        at: "2026-11-21T04:05:06.5Z".into(),
    };
    Status { failures: 10, last_exit: Some(exit), ..down(name, "failed", None) }
}

/// A sidecar that runs.
pub(super) fn sidecar(name: &str) -> Status {
    Status { kind: "command".into(), engine: None, ..engine(name) }
}

pub(super) fn supervisor() -> Supervisor {
    Supervisor {
        version: "0.1.0".into(),
        pid: 1,
        since: "2026-11-21T03:00:00Z".into(),
        shutting_down: false,
        orphans_reaped: 12,
        dropped_lines: 3,
        journal: None,
    }
}
