//! What went wrong: an exit status, a word for programs, a sentence for people.

use std::io::{self, ErrorKind};
use std::path::Path;

use serde_json::json;

use crate::control::client::Trouble;
use crate::control::protocol::{Code, Refusal};

/// The exit statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It was done.
    Done = 0,
    /// It was not done.
    Failed = 1,
    /// The command line means nothing.
    Usage = 2,
    /// Of `health`: not running, or locked.
    NotRunning = 3,
    /// No supervisor to talk to.
    NoSupervisor = 4,
    /// It was not done in time.
    TimedOut = 5,
    /// It is not for this user (`EX_NOPERM` of sysexits.h).
    NotPermitted = 77,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit status.
    pub(crate) exit: Exit,
    /// For programs.
    pub(crate) code: &'static str,
    /// What was tried, what happened, what to do next.
    pub(crate) message: String,
    /// Nobody reads what we print, which is no failure at all.
    pub(crate) reader_gone: bool,
}

impl Failure {
    /// One that is told to people.
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Failure { exit, code, message: message.into(), reader_gone: false }
    }

    /// Something simply failed.
    pub(crate) fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    /// A file could not be read or changed; `tried` is what was tried, without a full stop.
    pub(crate) fn of_file(tried: &str, path: &Path, error: &io::Error) -> Self {
        if error.kind() == ErrorKind::PermissionDenied {
            let text = format!(
                "{tried}: {}: permission denied; do it as root or as the engine's user (in a container: docker exec -u root)",
                path.display()
            );
            return Self::new(Exit::NotPermitted, "not_permitted", text);
        }
        let next = match error.kind() {
            ErrorKind::StorageFull => "free space on that disk; the file is as it was",
            ErrorKind::ReadOnlyFilesystem => {
                "its file system is read-only; do it where the volume can be written"
            }
            _ => "see that the path is as it should be, then try again",
        };
        Self::failed("file", format!("{tried}: {}: {error}; {next}", path.display()))
    }

    /// As JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({"error": {"code": self.code, "message": self.message, "exit": self.exit as u8}})
    }

    /// The supervisor did not do it; `tried` is what was asked of it.
    pub(crate) fn of_trouble(tried: &str, trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unreachable { path, error } => Self::new(
                Exit::NoSupervisor,
                "no_supervisor",
                format!(
                    "{tried}: no supervisor listens on {} ({error}); see that the container runs and that this runs inside of \
                     it, or give the place: --socket PATH",
                    path.display()
                ),
            ),
            Trouble::NotPermitted { path } => Self::new(
                Exit::NotPermitted,
                "not_permitted",
                format!(
                    "{tried}: {}: permission denied; the supervisor's socket is for root, the engine's user and its group",
                    path.display()
                ),
            ),
            Trouble::TimedOut { within } => Self::new(
                Exit::TimedOut,
                "timed_out",
                format!(
                    "{tried}: the supervisor did not answer within {} s; it may be starved or stopped (SIGSTOP): look at PID 1 of \
                     the container",
                    within.as_secs_f32()
                ),
            ),
            Trouble::HungUp | Trouble::Broken(_) => Self::new(
                Exit::NoSupervisor,
                "no_supervisor",
                format!("{tried}: {trouble}; it may be ending: try again, and look at the container's log"),
            ),
            Trouble::Garbage(what) => Self::failed(
                "protocol",
                format!("{tried}: {what}; use the polarctl that belongs to this supervisor"),
            ),
            Trouble::Refused(refusal) => Self::of_refusal(tried, &refusal),
        }
    }

    fn of_refusal(tried: &str, refusal: &Refusal) -> Self {
        let (exit, code) = match refusal.code {
            Code::BadRequest => (Exit::Failed, "bad_request"),
            Code::TooLong => (Exit::Failed, "too_long"),
            Code::UnknownProgram => (Exit::Failed, "unknown_program"),
            Code::NotPermitted => (Exit::NotPermitted, "not_permitted"),
            Code::Busy => (Exit::Failed, "busy"),
            Code::BadConfiguration => (Exit::Failed, "bad_configuration"),
            Code::ShuttingDown => (Exit::Failed, "shutting_down"),
        };
        Self::new(exit, code, format!("{tried}: {}", refusal.message))
    }
}

/// Writing to our own standard output failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let mut failure =
            Self::failed("output", format!("cannot write to standard output: {error}; see where it leads"));
        failure.reader_gone = error.kind() == ErrorKind::BrokenPipe;
        failure
    }
}
