//! What the core must know of a program's configuration.

use std::time::Duration;

use super::ladder::Ladder;
use super::model::Id;

/// What the core must know of a program's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// What kind of program it is.
    pub kind: Kind,
    /// Its lock file, for messages; `None`: nothing locks it.
    pub lock_file: Option<String>,
    /// Whether PID 1 ends when it gives up.
    pub critical: bool,
    /// Whether a `prepare` child must say yes before each start.
    pub prepares: bool,
    /// It starts after these are up, as far as they are to run, and stops before them.
    pub after: Vec<Id>,
    /// As `after`, and it does not start without them.
    pub requires: Vec<Id>,
    /// It is stopped when one that it requires goes down.
    pub bound: bool,
    /// Not ready after this long is a failure; `None`: however long it takes (a recovery is life).
    pub ready_within: Option<Duration>,
    /// How it is stopped.
    pub ladder: Ladder,
    /// The number of the signal that asks it to end; `None`: an engine's three, one for each rung.
    pub stop_signal: Option<i32>,
    /// When it is started again.
    pub restart: Restart,
    /// How often its upkeep runs while it is up (old log files); `None`: never.
    pub upkeep: Option<Duration>,
}

/// The kinds of programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A PolarDB or PostgreSQL server.
    Engine,
    /// A process that is to run on.
    Command,
    /// A process that is to end with status 0 once.
    Oneshot,
}

impl Kind {
    /// Its word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Engine => "postgres",
            Kind::Command => "command",
            Kind::Oneshot => "oneshot",
        }
    }
}

/// When a program is started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// After which ends.
    pub policy: Policy,
    /// Pause after the first failure.
    pub min_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// Pause after an exit 0 that was not asked for: room for somebody else's `pg_ctl restart`.
    pub clean_exit_delay: Duration,
    /// This long ready clears the failures.
    pub reset_after: Duration,
    /// Failures in a row after which it gives up; 0: never.
    pub give_up_after: u32,
    /// What giving up does.
    pub on_give_up: OnGiveUp,
}

/// After which ends a program is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// After each.
    Always,
    /// After a failure.
    OnFailure,
    /// After none.
    Never,
}

/// What giving up does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGiveUp {
    /// PID 1 ends, if the program is critical.
    Exit,
    /// PID 1 lives, the program stays failed.
    Stay,
}
