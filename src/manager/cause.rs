//! Why an operation was not done.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why an operation was not done: what happened ([`Display`](std::fmt::Display)), a word for programs
/// ([`Cause::code`]), and what to do next ([`Cause::next`]).
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// There is no database.
    #[error("{} holds no database ({why})", data_dir.display())]
    NoInstance {
        /// Where one was looked for.
        data_dir: PathBuf,
        /// What is there instead.
        why: String,
    },
    /// Nothing runs on the data directory.
    #[error("the engine does not run: there is no postmaster.pid in {}", data_dir.display())]
    NotRunning {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Nothing runs, and the lock file says that nothing shall.
    #[error("the engine is locked by {}", lock_file.display())]
    Locked {
        /// The lock file.
        lock_file: PathBuf,
    },
    /// A pid file, and nobody behind the socket.
    #[error("the engine does not answer: postmaster.pid names process {pid}, but {why}")]
    Gone {
        /// The process of the pid file.
        pid: i32,
        /// What became of the tries to connect.
        why: String,
    },
    /// It does not serve yet.
    #[error("the engine is starting up or recovering ({0})")]
    Starting(String),
    /// It is on its way down.
    #[error("the engine is shutting down ({0})")]
    Stopping(String),
    /// It takes a connection and says nothing.
    #[error("the engine hangs: no answer within {} s ({what})", within.as_secs_f32())]
    Hung {
        /// How long was waited.
        within: Duration,
        /// For what.
        what: String,
    },
    /// All connection slots are taken, those of superusers too.
    #[error("the engine has no connection slot left, not even for a superuser ({0})")]
    Overloaded(String),
    /// A change that a standby cannot make.
    #[error("this instance is a standby, which is read-only")]
    Standby,
    /// Not for this user.
    #[error("not permitted: {0}")]
    NotPermitted(String),
    /// The server ended a statement that took too long.
    #[error("the engine ended a statement after {} s ({what})", within.as_secs_f32())]
    TimedOut {
        /// The limit.
        within: Duration,
        /// The server's words.
        what: String,
    },
    /// Another operation is under way.
    #[error("another operation is under way on this instance: {who}; it was waited for {} s", within.as_secs_f32())]
    Busy {
        /// What is known of it.
        who: String,
        /// How long was waited.
        within: Duration,
    },
    /// What was asked for makes no sense for this instance.
    #[error("{what}")]
    Invalid {
        /// A word for programs.
        code: &'static str,
        /// What is wrong with it.
        what: String,
        /// What to do.
        next: String,
    },
    /// The server refused a statement.
    #[error("the engine refused: {message}{} (SQLSTATE {code})", detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Sql {
        /// Its five characters.
        code: String,
        /// Its words.
        message: String,
        /// More of them.
        detail: Option<String>,
    },
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What became of it.
        error: io::Error,
    },
    /// It was done, and does not show.
    #[error("it was done and did not take effect: {0}")]
    Unconfirmed(String),
}

impl Cause {
    /// For programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Cause::NoInstance { .. } => "no_instance",
            Cause::NotRunning { .. } | Cause::Gone { .. } => "not_running",
            Cause::Locked { .. } => "locked",
            Cause::Starting(_) => "starting",
            Cause::Stopping(_) => "stopping",
            Cause::Hung { .. } => "hung",
            Cause::Overloaded(_) => "overloaded",
            Cause::Standby => "standby",
            Cause::NotPermitted(_) => "not_permitted",
            Cause::TimedOut { .. } => "timed_out",
            Cause::Busy { .. } => "busy",
            Cause::Invalid { code, .. } => code,
            Cause::Sql { .. } => "sql",
            Cause::File { .. } => "file",
            Cause::Unconfirmed(_) => "unconfirmed",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> String {
        match self {
            Cause::NoInstance { .. } => "give the place where its data volume is mounted: --data-dir DIR",
            Cause::NotRunning { .. } => {
                "polarctl start, or see why it is down: polarctl explain, and the log of its container"
            }
            Cause::Locked { .. } => "polarctl unlock, when nobody needs the lock any more",
            Cause::Gone { .. } => {
                "see that its container runs; its supervisor starts it again, and polarctl explain tells why not"
            }
            Cause::Starting(_) => "wait: a recovery may take long, and polarctl status --watch shows its end",
            Cause::Stopping(_) => "wait for its end, then polarctl start",
            Cause::Hung { .. } => {
                "look at its processes (stopped? a disk that hangs?); polarctl restart ends what does not answer"
            }
            Cause::Overloaded(_) => {
                "end sessions or wait for their end, raise max_connections or superuser_reserved_connections"
            }
            Cause::Standby => "do it on the primary; what is done there comes here by replication",
            Cause::NotPermitted(_) => {
                "do it as root or as the engine's user (in a container: docker exec -u root)"
            }
            Cause::TimedOut { .. } => "see what it waits for in pg_stat_activity; --timeout gives it longer",
            Cause::Busy { .. } => "try again when that one has ended; --timeout waits longer",
            Cause::Invalid { next, .. } => next,
            Cause::Sql { code, .. } if code == "53100" => "free space on that disk, or have a larger one: polarctl disk status",
            Cause::Sql { .. } => "mend what it names, then try again",
            Cause::File { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull => "free space on that disk; the file is as it was",
                io::ErrorKind::ReadOnlyFilesystem => {
                    "its file system is read-only; do it where the volume can be written"
                }
                _ => "see that the path is as it should be, then try again",
            },
            Cause::Unconfirmed(_) => "try again; polarctl explain and the engine's log tell more",
        }
        .to_owned()
    }

    /// A file; what is denied to this user is [`Cause::NotPermitted`].
    #[must_use]
    pub fn of_file(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Cause::NotPermitted(format!("{}: {error}", path.display())),
            _ => Cause::File { path: path.to_owned(), error },
        }
    }

    /// What was asked for makes no sense; `code` is for programs.
    #[must_use]
    pub fn invalid(code: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Cause::Invalid { code, what: what.into(), next: next.into() }
    }
}
