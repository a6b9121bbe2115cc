//! Why the child stops before its end: what every step hands up when it cannot go on.

use std::fmt::Display;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::protocol::Verdict;

/// The end of the errand, before its end.
#[derive(Debug)]
pub(super) enum Halt {
    /// The step knows the verdict.
    Verdict(Box<Verdict>),
    /// Something failed; whether that is final depends on how far the errand had come.
    Trouble(Trouble),
    /// PID 1 asked for the end.
    Interrupted,
}

/// A failure with its way out.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What was tried and what happened.
    pub(super) cause: String,
    /// What to do.
    pub(super) remedy: String,
    /// Whether time may mend it (a full disk, a file system that went read-only).
    pub(super) passing: bool,
    /// Whether it is the machine that has no process, memory or descriptor left.
    pub(super) no_room: bool,
}

/// The result of a step.
pub(super) type Outcome<T> = Result<T, Halt>;

impl From<Verdict> for Halt {
    fn from(verdict: Verdict) -> Self {
        Halt::Verdict(Box::new(verdict))
    }
}

/// The data directory cannot be served.
pub(super) fn refused(cause: impl Into<String>, remedy: impl Into<String>) -> Halt {
    Verdict::Refused { cause: cause.into(), remedy: remedy.into() }.into()
}

/// First boot failed.
pub(super) fn failed(cause: impl Into<String>, remedy: impl Into<String>) -> Halt {
    Verdict::Failed { cause: cause.into(), remedy: remedy.into() }.into()
}

/// Time mends it.
pub(super) fn wait(cause: impl Into<String>) -> Halt {
    Verdict::Wait { cause: cause.into() }.into()
}

/// Turns an error of the operating system into a [`Halt`] that says what was tried, and on what.
pub(super) trait Trying<T> {
    /// `what` reads as in "cannot `what` `path`".
    fn trying(self, what: &str, path: &Path) -> Outcome<T>;
}

impl<T, E: Into<io::Error>> Trying<T> for Result<T, E> {
    fn trying(self, what: &str, path: &Path) -> Outcome<T> {
        self.map_err(|error| trouble(what, path.display(), error))
    }
}

/// An error of the operating system as a [`Halt`].
pub(super) fn trouble(what: &str, on: impl Display, error: impl Into<io::Error>) -> Halt {
    let error = error.into();
    let (remedy, passing) = way_out(&error);
    let no_room = matches!(
        Errno::from_io_error(&error),
        Some(Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE)
    );
    let cause = format!("cannot {what} {on}: {error}");
    Halt::Trouble(Trouble { cause, remedy: remedy.to_owned(), passing, no_room })
}

/// What a person can do about an error of the operating system, and whether a later try may succeed by itself.
fn way_out(error: &io::Error) -> (&'static str, bool) {
    let Some(errno) = Errno::from_io_error(error) else {
        return ("mend the cause and start again", false);
    };
    match errno {
        Errno::NOSPC => ("free some space or grow the volume", true),
        Errno::DQUOT => ("raise the quota or free some space", true),
        Errno::ROFS => {
            ("mount the volume writable; the kernel log says why, if it was writable before", true)
        }
        Errno::IO | Errno::STALE | Errno::NOTCONN | Errno::TIMEDOUT => {
            ("look at the storage and at the kernel log (dmesg)", true)
        }
        Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE => {
            ("raise the limits of memory, processes or open files", true)
        }
        Errno::ACCESS | Errno::PERM => {
            ("give the engine's user access to it, or run the container with --user of its owner", false)
        }
        _ => ("mend the cause and start again", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_passes_and_a_refused_access_does_not() {
        for (errno, passing) in [
            (Errno::NOSPC, true),
            (Errno::DQUOT, true),
            (Errno::ROFS, true),
            (Errno::IO, true),
            (Errno::ACCESS, false),
            (Errno::PERM, false),
            (Errno::NOENT, false),
        ] {
            let Halt::Trouble(trouble) = trouble("write", "/data/x", errno) else { panic!("no trouble") };
            assert_eq!(trouble.passing, passing, "{errno:?}");
            assert!(trouble.cause.starts_with("cannot write /data/x: "), "{}", trouble.cause);
        }
    }
}
