//! What an end that nobody asked for means.

use std::fmt;

use super::End;

/// What is known of an end beside its status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Processes that the kernel killed for memory in this cgroup since the run began; `None`: not readable.
    pub memory_kills: Option<u64>,
    /// The last lines that the run wrote to its standard output and error.
    pub tail: Vec<String>,
}

/// What an end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It was asked to end.
    Asked,
    /// Status 0.
    Clean,
    /// Its status could not be learnt (an adopted process).
    Unknown,
    /// SIGKILL, and the cgroup counted a kill for memory.
    OutOfMemory,
    /// SIGKILL by somebody.
    Killed,
    /// A signal that a fault raises, or another one that ends.
    Crashed,
    /// It said that there is no space left.
    DiskFull,
    /// It said that its file system is read-only.
    ReadOnly,
    /// It said that its storage fails.
    BrokenStorage,
    /// It said that there is no memory, or no process to be had.
    NoRoom,
    /// It does not accept its configuration.
    BadConfiguration,
    /// Somebody else listens on its port.
    PortTaken,
    /// A lock file or a block of shared memory of another server stood in its way.
    AnotherServer,
    /// Its executable could not be executed: it does not exist (then the end is [`End::Code`] 127), or is no program
    /// that may be executed (126). Whoever starts the process knows that and says so in [`super::Event::Ended`].
    CannotRun,
    /// It was not ready in time, and so was ended.
    NotReady,
    /// It failed its checks while it ran, and so was ended.
    Unwell,
    /// Any other status.
    Failure,
}

impl Class {
    /// The class for programs: a word in snake case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Asked => "asked",
            Class::Clean => "clean",
            Class::Unknown => "unknown",
            Class::OutOfMemory => "out_of_memory",
            Class::Killed => "killed",
            Class::Crashed => "crashed",
            Class::DiskFull => "disk_full",
            Class::ReadOnly => "read_only",
            Class::BrokenStorage => "broken_storage",
            Class::NoRoom => "no_room",
            Class::BadConfiguration => "bad_configuration",
            Class::PortTaken => "port_taken",
            Class::AnotherServer => "another_server",
            Class::CannotRun => "cannot_run",
            Class::NotReady => "not_ready",
            Class::Unwell => "unwell",
            Class::Failure => "failure",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Asked => "ended as it was asked to",
            Class::Clean => "ended by itself",
            Class::Unknown => "ended, its status is unknown",
            Class::OutOfMemory => "was killed by the kernel because the memory limit was reached",
            Class::Killed => "was killed",
            Class::Crashed => "crashed",
            Class::DiskFull => "ended because the disk is full",
            Class::ReadOnly => "ended because its file system is read-only",
            Class::BrokenStorage => "ended because its storage fails with I/O errors",
            Class::NoRoom => "ended for want of memory or processes",
            Class::BadConfiguration => "does not accept its configuration",
            Class::PortTaken => "found its port taken",
            Class::AnotherServer => "found another server in its way",
            Class::CannotRun => "could not be executed",
            Class::NotReady => "was not ready in time",
            Class::Unwell => "failed its checks",
            Class::Failure => "failed",
        })
    }
}

/// What PostgreSQL says (source: `src/backend/utils/misc/guc.c`, `guc-file.l`, `libpq/pqcomm.c`,
/// `utils/init/miscinit.c`, `port/sysv_shmem.c`). A hint for people; all that depends on it is that a failure to start for
/// another server is counted only after a look for that server.
const SAYINGS: [(&str, Class); 15] = [
    ("No space left on device", Class::DiskFull),
    ("Disk quota exceeded", Class::DiskFull),
    // Before the lock files, whose lines may end with these words.
    ("Read-only file system", Class::ReadOnly),
    ("Input/output error", Class::BrokenStorage),
    ("Cannot allocate memory", Class::NoRoom),
    ("Resource temporarily unavailable", Class::NoRoom),
    ("configuration file \"", Class::BadConfiguration),
    ("unrecognized configuration parameter", Class::BadConfiguration),
    ("invalid value for parameter", Class::BadConfiguration),
    ("is outside the valid range for parameter", Class::BadConfiguration),
    ("could not create any TCP/IP sockets", Class::PortTaken),
    ("could not create any Unix-domain sockets", Class::PortTaken),
    ("Address already in use", Class::PortTaken),
    ("lock file \"", Class::AnotherServer),
    ("pre-existing shared memory block", Class::AnotherServer),
];

/// Names an end; total.
#[must_use]
pub fn classify(end: End, evidence: &Evidence) -> Class {
    const SIGKILL: i32 = 9;
    match end {
        End::Code(0) => Class::Clean,
        End::Unknown => Class::Unknown,
        End::Signal(SIGKILL) if evidence.memory_kills.is_some_and(|kills| kills > 0) => Class::OutOfMemory,
        End::Signal(SIGKILL) => Class::Killed,
        End::Signal(_) => Class::Crashed,
        End::Code(_) => evidence
            .tail
            .iter()
            .rev()
            .filter(|line| {
                // What include_if_exists says of a file that nobody needs.
                !line.contains("skipping missing configuration file")
                    && ["FATAL", "PANIC", "ERROR", "LOG", "could not"].iter().any(|word| line.contains(word))
            })
            .find_map(|line| {
                SAYINGS.iter().find(|(saying, _)| line.contains(saying)).map(|&(_, class)| class)
            })
            .unwrap_or(Class::Failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_class() {
        let said = |line: &str| Evidence { memory_kills: Some(0), tail: vec!["x".into(), line.into()] };
        let killed = |kills| Evidence { memory_kills: kills, tail: Vec::new() };
        for (end, evidence, wanted) in [
            (End::Code(0), said("FATAL:  No space left on device"), Class::Clean),
            (End::Unknown, killed(Some(1)), Class::Unknown),
            (End::Signal(9), killed(Some(1)), Class::OutOfMemory),
            (End::Signal(9), killed(Some(0)), Class::Killed),
            (End::Signal(9), killed(None), Class::Killed),
            (End::Signal(6), killed(None), Class::Crashed),
            (End::Signal(11), killed(Some(3)), Class::Crashed),
            (End::Code(1), said("PANIC:  could not write to file: No space left on device"), Class::DiskFull),
            (
                End::Code(1),
                said("FATAL:  configuration file \"/data/postgresql.conf\" contains errors"),
                Class::BadConfiguration,
            ),
            (End::Code(1), said("FATAL:  could not create any TCP/IP sockets"), Class::PortTaken),
            (End::Code(1), said("FATAL:  lock file \"postmaster.pid\" already exists"), Class::AnotherServer),
            (
                End::Code(1),
                said("FATAL:  could not remove old lock file \"postmaster.pid\": Read-only file system"),
                Class::ReadOnly,
            ),
            (End::Code(1), said("PANIC:  could not fsync file: Input/output error"), Class::BrokenStorage),
            (
                End::Code(1),
                said("FATAL:  could not map anonymous shared memory: Cannot allocate memory"),
                Class::NoRoom,
            ),
            (
                End::Code(1),
                said("LOG:  could not fork startup process: Resource temporarily unavailable"),
                Class::NoRoom,
            ),
            (
                End::Code(1),
                said("LOG:  skipping missing configuration file \"/data/polar_initdb.conf\""),
                Class::Failure,
            ),
            (End::Code(1), said("a table named lock file \""), Class::Failure),
            (End::Code(2), killed(None), Class::Failure),
        ] {
            assert_eq!(classify(end, &evidence), wanted, "{end:?} {evidence:?}");
        }
    }
}
