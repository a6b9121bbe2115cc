//! Every pair of type and action that the predecessor knows or its callers send, and what becomes of it.
//!
//! docs/polardb-stack.md has the same table for people; a test holds one against the other.

use std::fmt;

use super::environment::Environment;
use crate::manager::cause::Cause;

/// The longest name of a type or an action that is repeated, in characters.
const SHOWN_MAX: usize = 60;

/// Which of the predecessor's two scripts is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// `entry_point.py`.
    Main,
    /// `entry_point_cm.py`, ClusterManager's.
    Cm,
}

/// What a pair asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Nothing at all.
    Nothing,
    /// Make a database on an empty volume.
    Install,
    /// Tell how far that is.
    Progress,
    /// Tell the log agent of the instance.
    LogAgent,
    /// Lock, and wait for the engine's end.
    Stop,
    /// Unlock.
    Start,
    /// Both.
    Restart,
    /// Stop without a lock that outlives the container.
    Cleanup,
    /// [`Task::Stop`] by a lock of its own kind.
    Expire,
    /// Lock against a full disk.
    LockDiskfull,
    /// Undo that.
    UnlockDiskfull,
    /// Make an account, or make it as it is asked for.
    MakeAccount,
    /// Drop one.
    DropAccount,
    /// `select 1`.
    Health,
    /// Make a replica's slot.
    CreateSlot,
    /// Drop it.
    DropSlot,
    /// Set parameters.
    Parameters,
    /// Tell the engine that its storage has grown.
    Grow,
    /// Tell the system identifier.
    SystemIdentifier,
    /// Make a tablespace.
    Tablespace,
    /// End the segment of the log that is written.
    Switch,
    /// Speak TLS.
    EnableSsl,
    /// Speak none.
    DisableSsl,
    /// Write `recovery.conf`.
    Recovery,
    /// What this version does not do.
    Missing(Part),
}

/// A part of the whole that this version does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Shared storage.
    Pfs,
    /// The Paxos cluster.
    Dma,
    /// Backups, archives and recovery to a point in time.
    PointInTime,
    /// Encrypted data.
    Tde,
    /// Settings of the machine's kernel.
    Kernel,
    /// A configuration made anew: the predecessor refuses that too.
    Configuration,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Pfs => "shared storage (PFS)",
            Part::Dma => "the DMA cluster",
            Part::PointInTime => "backup and point-in-time recovery",
            Part::Tde => "encrypted data (TDE)",
            Part::Kernel => "kernel settings of the node (sysctl)",
            Part::Configuration => "a configuration made anew",
        })
    }
}

/// What becomes of a pair, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// As the predecessor does it, or means to.
    Done,
    /// Done otherwise, to the same end.
    Differs,
    /// Recognized, and refused: nothing is changed.
    Missing,
}

impl Becomes {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Becomes::Done => "done",
            Becomes::Differs => "differs",
            Becomes::Missing => "missing",
        }
    }
}

/// A pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The script that it is of.
    pub script: Script,
    /// Its type; `None`: the action tells alone.
    pub kind: Option<&'static str>,
    /// Its action.
    pub action: &'static str,
    /// What it asks for.
    pub task: Task,
    /// What becomes of it.
    pub becomes: Becomes,
}

/// Types that tell alone whose the action is: no other type's action is looked for.
const BY_TYPE: [&str; 9] = [
    "init_ins",
    "replica",
    "stop",
    "account",
    "health_check",
    "backup",
    "restore",
    "lock_ins",
    "update_conf",
];

const HOST: Option<&str> = Some("hostins_ops");

const fn done(kind: Option<&'static str>, action: &'static str, task: Task) -> Pair {
    Pair { script: Script::Main, kind, action, task, becomes: Becomes::Done }
}

const fn differs(kind: Option<&'static str>, action: &'static str, task: Task) -> Pair {
    Pair { script: Script::Main, kind, action, task, becomes: Becomes::Differs }
}

const fn missing(kind: Option<&'static str>, action: &'static str, part: Part) -> Pair {
    Pair { script: Script::Main, kind, action, task: Task::Missing(part), becomes: Becomes::Missing }
}

const fn of_cm(action: &'static str, task: Task) -> Pair {
    Pair { script: Script::Cm, kind: Some("node"), action, task, becomes: Becomes::Done }
}

/// All of them.
pub const PAIRS: [Pair; 46] = [
    differs(HOST, "setup_install_instance", Task::Install),
    done(HOST, "query_installation_progress", Task::Progress),
    done(HOST, "setup_logagent_config", Task::LogAgent),
    differs(HOST, "stop_instance", Task::Stop),
    differs(None, "lock_stop_instance", Task::Stop),
    done(HOST, "start_instance", Task::Start),
    done(None, "unlock_start_instance", Task::Start),
    differs(HOST, "restart_instance", Task::Restart),
    differs(HOST, "process_cleanup", Task::Cleanup),
    differs(Some("stop"), "graceful_stop", Task::Cleanup),
    differs(Some("lock_ins"), "lock_ins_expire", Task::Expire),
    done(Some("lock_ins"), "unlock_ins_expire", Task::Start),
    differs(Some("lock_ins"), "lock_ins_diskfull", Task::LockDiskfull),
    differs(Some("lock_ins"), "unlock_ins_diskfull", Task::UnlockDiskfull),
    of_cm("lock-ins-diskfull", Task::LockDiskfull),
    of_cm("unlock-ins-diskfull", Task::UnlockDiskfull),
    differs(Some("account"), "create", Task::MakeAccount),
    differs(Some("account"), "modify", Task::MakeAccount),
    differs(Some("account"), "delete", Task::DropAccount),
    done(Some("health_check"), "hostins_check", Task::Health),
    done(Some("health_check"), "service_check", Task::Health),
    done(Some("replica"), "create_replication", Task::CreateSlot),
    differs(Some("replica"), "remove_replication", Task::DropSlot),
    differs(Some("update_conf"), "update", Task::Parameters),
    missing(Some("update_conf"), "create", Part::Configuration),
    missing(Some("update_conf"), "init_sysctl", Part::Kernel),
    differs(HOST, "grow_pfs", Task::Grow),
    differs(HOST, "get_system_identifier", Task::SystemIdentifier),
    differs(HOST, "create_tablespace", Task::Tablespace),
    done(HOST, "generate_new_wal", Task::Switch),
    done(HOST, "enable_ssl", Task::EnableSsl),
    done(HOST, "disable_ssl", Task::DisableSsl),
    differs(HOST, "build_recovery", Task::Recovery),
    done(Some("init_ins"), "initdb", Task::Nothing),
    missing(None, "rebuild_local_dir", Part::Pfs),
    missing(None, "rotate_tde_key", Part::Tde),
    missing(HOST, "add_dma_follower_to_cluster", Part::Dma),
    missing(Some("backup"), "pre_action", Part::PointInTime),
    missing(Some("backup"), "post_action", Part::PointInTime),
    missing(Some("restore"), "repair_account", Part::PointInTime),
    missing(HOST, "check_download_archive_status", Part::PointInTime),
    missing(HOST, "fetch_archive_log_from_source", Part::PointInTime),
    missing(HOST, "do_fetch_archive_log_from_source", Part::PointInTime),
    missing(HOST, "check_fetch_archive_from_source_status", Part::PointInTime),
    missing(HOST, "restore_prepared", Part::PointInTime),
    missing(HOST, "check_restore_running_status", Part::PointInTime),
];

/// The pair that a caller names, found in the predecessor's order: by type where the type tells alone, then of the pod's
/// own operations, then by the action alone.
///
/// # Errors
/// It names none.
pub fn find(script: Script, environment: &Environment) -> Result<&'static Pair, Cause> {
    let kind = environment.text("srv_opr_type")?;
    let action = environment.required("srv_opr_action")?;
    let of = |kind: Option<&str>| {
        PAIRS.iter().find(|pair| pair.script == script && pair.kind == kind && pair.action == action)
    };
    let found = match kind {
        Some(kind) if script == Script::Cm || BY_TYPE.contains(&kind) => of(Some(kind)),
        Some("hostins_ops") => of(HOST).or_else(|| of(None)),
        _ => of(None),
    };
    found.ok_or_else(|| {
        let shown = |text: &str| text.chars().take(SHOWN_MAX).collect::<String>();
        let kind = kind.map_or_else(|| "no type".to_owned(), |kind| format!("type {:?}", shown(kind)));
        let what = format!("no task has {kind} and action {:?}", shown(action));
        Cause::invalid("unknown_task", what, "docs/polardb-stack.md lists all; nothing was changed")
    })
}

/// That a pair needs a part which this version does not have.
pub(super) fn missing_part(part: Part) -> Cause {
    let next = "docs/polardb-stack.md lists what is missing";
    Cause::invalid(
        "missing_part",
        format!("it needs {part}, which is no part of this version; nothing was changed"),
        next,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(script: Script, kind: Option<&str>, action: &str) -> Result<Task, Cause> {
        let mut environment = Environment::default();
        if let Some(kind) = kind {
            environment.set("srv_opr_type", kind);
        }
        environment.set("srv_opr_action", action);
        find(script, &environment).map(|pair| pair.task)
    }

    #[test]
    fn each_pair_is_found_and_stands_once() {
        for pair in &PAIRS {
            assert_eq!(found(pair.script, pair.kind, pair.action).unwrap(), pair.task, "{pair:?}");
            let same = |other: &&Pair| (other.kind, other.action) == (pair.kind, pair.action);
            assert_eq!(PAIRS.iter().filter(same).count(), 1, "{pair:?}");
            let missing = matches!(pair.task, Task::Missing(_));
            assert_eq!(missing, pair.becomes == Becomes::Missing, "{pair:?}");
        }
    }

    #[test]
    fn the_order_of_the_predecessor() {
        let main = |kind: Option<&str>, action: &str| found(Script::Main, kind, action).ok();
        for kind in [None, Some(""), Some("hostins_ops"), Some("anything")] {
            assert_eq!(main(kind, "lock_stop_instance"), Some(Task::Stop), "{kind:?}");
            assert_eq!(main(kind, "rotate_tde_key"), Some(Task::Missing(Part::Tde)), "{kind:?}");
        }
        assert_eq!(main(Some("account"), "lock_stop_instance"), None, "the type tells alone");
        assert_eq!(main(None, "stop_instance"), None, "an operation of the pod wants its type");
        assert_eq!(main(Some("Account"), "create"), None);
        assert_eq!(main(Some("node"), "lock-ins-diskfull"), None, "of the other script");
        assert_eq!(found(Script::Cm, Some("node"), "lock-ins-diskfull").unwrap(), Task::LockDiskfull);
        for kind in [None, Some("lock_ins")] {
            assert!(found(Script::Cm, kind, "lock_ins_diskfull").is_err(), "{kind:?}");
        }
        let cause = found(Script::Main, Some(&"x".repeat(1 << 19)), "\n").unwrap_err();
        assert!(cause.code() == "unknown_task" && cause.to_string().len() < 200, "{cause}");
    }
}
