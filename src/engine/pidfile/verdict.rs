//! What a pid file proves, from the process that it names and from the record of who wrote it.

use super::{Malformed, parse};
use crate::engine::record::Origin;

/// What was found where `postmaster.pid` should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// No such file.
    Absent,
    /// Nothing in it.
    Empty,
    /// Something else in it, or something else than a file in its place.
    Garbage(String),
    /// It could not be read, for this reason.
    Unreadable(String),
    /// It names a process.
    Names {
        /// The process.
        pid: i32,
        /// It is, or was, a standalone backend and no postmaster.
        standalone: bool,
    },
}

impl File {
    /// What a content says.
    pub fn of(content: &[u8]) -> File {
        match parse(content) {
            Ok(file) => File::Names { pid: file.pid, standalone: file.standalone },
            Err(Malformed::Empty) => File::Empty,
            Err(Malformed::Garbage(what)) => File::Garbage(what),
        }
    }
}

/// What was found in `/proc` about the process that the file names, looked at as the engine's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Process {
    /// No such process.
    Gone,
    /// The number is a thread of that process. `kill(pid, 0)` and `/proc/PID` succeed for threads too.
    ThreadOf(i32),
    /// Dead, not reaped.
    Zombie,
    /// It could not be looked at, for this reason.
    Unknown(String),
    /// It lives.
    Alive {
        /// Whether its executable is the engine's; `None`: not readable.
        executable: Option<bool>,
        /// Whether its working directory is the data directory; `None`: not readable.
        working_dir: Option<bool>,
        /// Start time in clock ticks since boot, against reuse of the pid.
        start_ticks: u64,
    },
}

/// All that the verdict is about.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The pid file.
    pub file: &'a File,
    /// The process that it names.
    pub process: &'a Process,
    /// Who wrote it.
    pub origin: &'a Origin,
    /// The recorded socket or port, if something accepts on it.
    pub accepts: Option<&'a str>,
    /// Whether the lock of the one keeper is held by us: no other supervisor lives on this directory.
    pub locked: bool,
}

/// How long a dead-looking pid file must lie still before it counts as a dead one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// Not at all.
    AtOnce,
    /// One second: members of a pid namespace outlive its PID 1, and with it the lock, by up to 0.3 s (measured).
    Grace,
    /// Longer than a living postmaster, in whatever namespace, can go without looking after its file.
    Vigil,
}

/// What a pid file proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PidVerdict {
    /// There is none.
    Absent,
    /// No postmaster of this data directory is left, once the file has lain still for as long as `patience` says. The
    /// named process may live; it is another one then.
    Stale {
        /// The dead process, where one is named.
        pid: Option<i32>,
        /// The proof.
        why: String,
        /// What the proof still lacks.
        patience: Patience,
    },
    /// A living postmaster of this data directory.
    Foreign {
        /// Its process id.
        pid: i32,
        /// Start time in clock ticks since boot.
        start_ticks: u64,
    },
    /// Neither can be proved.
    Unknown {
        /// What stands in the way.
        why: String,
    },
}

/// Judges a pid file.
///
/// Death takes a proof; so does life: one readable link that agrees, beside one that cannot be read, proves neither.
/// And what this pid namespace shows proves nothing about another one: there the file's origin decides.
pub fn pidfile_verdict(evidence: Evidence<'_>) -> PidVerdict {
    // Whoever could be writing it does so in one system call, right after it was made: what lies still for a moment was
    // left behind. Without the lock another supervisor's engine may be the victim of whoever spoilt the file.
    let spoilt = if evidence.locked { Patience::Grace } else { Patience::Vigil };
    let (pid, standalone) = match evidence.file {
        File::Absent => return PidVerdict::Absent,
        File::Empty => {
            return PidVerdict::Stale { pid: None, why: "it is empty".to_owned(), patience: spoilt };
        }
        File::Garbage(what) => {
            return PidVerdict::Stale { pid: None, why: what.clone(), patience: spoilt };
        }
        File::Unreadable(why) => return PidVerdict::Unknown { why: format!("it cannot be read: {why}") },
        File::Names { pid, standalone } => (*pid, *standalone),
    };
    let stale = |why: String| stale(evidence, pid, why);
    match evidence.process {
        Process::Gone => stale(format!("there is no process {pid}")),
        Process::ThreadOf(leader) => stale(format!("{pid} is a thread of process {leader}, not a process")),
        Process::Zombie => stale(format!("process {pid} is dead and only waits to be reaped")),
        Process::Unknown(why) => {
            PidVerdict::Unknown { why: format!("process {pid} cannot be looked at: {why}") }
        }
        Process::Alive { executable, working_dir, start_ticks } => match (executable, working_dir) {
            (Some(false), _) => stale(format!("process {pid} runs another executable")),
            (_, Some(false)) => stale(format!("process {pid} works in another directory")),
            (Some(true), Some(true)) if standalone => PidVerdict::Unknown {
                why: format!(
                    "process {pid} is a standalone backend (postgres --single) on this database: it is left alone, \
                     and its end is awaited"
                ),
            },
            (Some(true), Some(true)) => PidVerdict::Foreign { pid, start_ticks: *start_ticks },
            (None, None) => PidVerdict::Unknown {
                why: format!("neither the executable nor the working directory of process {pid} can be read"),
            },
            (None, Some(true)) => {
                PidVerdict::Unknown { why: format!("the executable of process {pid} cannot be read") }
            }
            (Some(true), None) => {
                PidVerdict::Unknown { why: format!("the working directory of process {pid} cannot be read") }
            }
        },
    }
}

/// No such postmaster lives *in this pid namespace*.
fn stale(evidence: Evidence<'_>, pid: i32, why: String) -> PidVerdict {
    let patience = match evidence.origin {
        // What was seen here is then all there is to see.
        Origin::Here => return PidVerdict::Stale { pid: Some(pid), why, patience: Patience::AtOnce },
        Origin::OtherBoot => Patience::AtOnce,
        Origin::OtherNamespace => Patience::Grace,
        Origin::Elsewhere(_) => Patience::Vigil,
    };
    match evidence.accepts {
        Some(place) => PidVerdict::Unknown {
            why: format!(
                "it names no postmaster that lives here ({why}), but something accepts on {place}: a postmaster of \
                 another container may use this data directory"
            ),
        },
        None => PidVerdict::Stale { pid: Some(pid), why, patience },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Short {
        Absent,
        Stale(Option<i32>, Patience),
        Foreign,
        Unknown,
    }

    fn judge(evidence: Evidence<'_>) -> Short {
        match pidfile_verdict(evidence) {
            PidVerdict::Absent => Short::Absent,
            PidVerdict::Stale { pid, patience, .. } => Short::Stale(pid, patience),
            PidVerdict::Foreign { pid: 7, start_ticks: 9 } => Short::Foreign,
            PidVerdict::Foreign { .. } => unreachable!("another process than the one that was looked at"),
            PidVerdict::Unknown { .. } => Short::Unknown,
        }
    }

    fn alive(executable: Option<bool>, working_dir: Option<bool>) -> Process {
        Process::Alive { executable, working_dir, start_ticks: 9 }
    }

    fn names() -> File {
        File::Names { pid: 7, standalone: false }
    }

    #[test]
    fn by_file_and_process() {
        let (yes, no) = (Some(true), Some(false));
        let dead = || Short::Stale(Some(7), Patience::AtOnce);
        let spoilt = || Short::Stale(None, Patience::Grace);
        let single = || File::Names { pid: 7, standalone: true };
        let table = [
            (File::Absent, alive(yes, yes), Short::Absent),
            (File::Empty, Process::Gone, spoilt()),
            (File::Empty, alive(yes, yes), spoilt()),
            (File::Garbage("x".to_owned()), Process::Gone, spoilt()),
            (File::Unreadable("x".to_owned()), Process::Gone, Short::Unknown),
            (names(), Process::Gone, dead()),
            (names(), Process::ThreadOf(1), dead()),
            (names(), Process::Zombie, dead()),
            (names(), Process::Unknown("x".to_owned()), Short::Unknown),
            (names(), alive(yes, yes), Short::Foreign),
            (names(), alive(yes, no), dead()),
            (names(), alive(yes, None), Short::Unknown),
            (names(), alive(no, yes), dead()),
            (names(), alive(no, no), dead()),
            (names(), alive(no, None), dead()),
            (names(), alive(None, yes), Short::Unknown),
            (names(), alive(None, no), dead()),
            (names(), alive(None, None), Short::Unknown),
            (single(), alive(yes, yes), Short::Unknown),
            (single(), alive(no, yes), dead()),
            (single(), Process::Gone, dead()),
        ];
        for (file, process, expected) in table {
            let evidence = Evidence {
                file: &file,
                process: &process,
                origin: &Origin::Here,
                accepts: None,
                locked: true,
            };
            assert_eq!(judge(evidence), expected, "{file:?} {process:?}");
        }
    }

    #[test]
    fn by_origin_of_a_file_that_names_nobody_here() {
        let elsewhere = || Origin::Elsewhere("x".to_owned());
        let port = Some("port 5432");
        let stale = |patience| Short::Stale(Some(7), patience);
        let table = [
            (Origin::Here, None, stale(Patience::AtOnce)),
            (Origin::Here, port, stale(Patience::AtOnce)),
            (Origin::OtherBoot, None, stale(Patience::AtOnce)),
            (Origin::OtherBoot, port, Short::Unknown),
            (Origin::OtherNamespace, None, stale(Patience::Grace)),
            (Origin::OtherNamespace, port, Short::Unknown),
            (elsewhere(), None, stale(Patience::Vigil)),
            (elsewhere(), port, Short::Unknown),
        ];
        for (origin, accepts, expected) in table {
            for process in [Process::Gone, Process::ThreadOf(1), Process::Zombie, alive(Some(false), None)] {
                let evidence =
                    Evidence { file: &names(), process: &process, origin: &origin, accepts, locked: true };
                assert_eq!(judge(evidence), expected, "{origin:?} {accepts:?} {process:?}");
            }
        }
    }

    #[test]
    fn a_living_postmaster_is_one_wherever_its_file_comes_from() {
        for origin in
            [Origin::Here, Origin::OtherBoot, Origin::OtherNamespace, Origin::Elsewhere("x".to_owned())]
        {
            let process = alive(Some(true), Some(true));
            for accepts in [None, Some("port 5432")] {
                let evidence =
                    Evidence { file: &names(), process: &process, origin: &origin, accepts, locked: false };
                assert_eq!(judge(evidence), Short::Foreign, "{origin:?}");
            }
        }
    }

    #[test]
    fn a_spoilt_file_without_the_lock_takes_the_longest_wait() {
        for file in [File::Empty, File::Garbage("x".to_owned())] {
            let origin = Origin::Elsewhere("x".to_owned());
            let evidence = Evidence {
                file: &file,
                process: &Process::Gone,
                origin: &origin,
                accepts: None,
                locked: false,
            };
            assert_eq!(judge(evidence), Short::Stale(None, Patience::Vigil));
        }
    }

    #[test]
    fn what_a_content_says() {
        assert_eq!(File::of(b"27928\n/data\n"), File::Names { pid: 27928, standalone: false });
        assert_eq!(File::of(b"-5\n"), File::Names { pid: 5, standalone: true });
        assert_eq!(File::of(b"\n"), File::Empty);
        assert!(matches!(File::of(b"x\n"), File::Garbage(_)));
    }
}
