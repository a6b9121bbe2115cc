//! What PID 1 and its `prepare` child say to each other.
//!
//! The order comes as one JSON document on the child's standard input. The reports go, one JSON document a packet,
//! over a `SOCK_SEQPACKET` socket that the child finds as descriptor [`REPORT_FD`]. The packet of [`Report::Keeper`]
//! carries the descriptor of the data directory, on which the lock of the one keeper is held; PID 1 holds it for its
//! whole life and hands it to each later child as descriptor [`KEEPER_FD`].
//!
//! The child ends with 0, 70 or 78 after its one [`Report::Verdict`].

use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};

use crate::config;
use crate::engine::record::Lived;

/// The child's end of the report socket.
pub const REPORT_FD: RawFd = 3;
/// The locked descriptor of the data directory, where PID 1 already has one.
pub const KEEPER_FD: RawFd = 4;
/// The longest report, in bytes; a longer text is cut by the child.
pub const REPORT_MAX: usize = 64 * 1024;

/// What PID 1 wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which job.
    pub errand: Errand,
    /// Name of the program, for messages.
    pub program: String,
    /// The engine's configuration.
    pub engine: config::Postgres,
    /// Further arguments of the engine (`polar-supervisor run -- OPTION...`).
    pub options: Vec<String>,
    /// The user that the engine runs as, and that the child drops to when it was started as root.
    pub user: User,
    /// The environment that the engine (and initdb) gets.
    pub environment: Vec<(String, String)>,
    /// Folder of what lives as long as the container.
    pub run_dir: std::path::PathBuf,
    /// Whether PID 1 holds the data directory's lock and has passed it as [`KEEPER_FD`].
    pub keeper: bool,
    /// What an earlier child of this PID 1 learnt about the engine's executables.
    pub memo: Option<Memo>,
    /// No earlier child of this PID 1 has cleared the way for a start: what is told once in its life is told by this one.
    pub first: bool,
    /// After an exit 0 that was not ours: how long a server of somebody else's must have been gone before ours starts.
    pub room_for_pg_ctl: Option<std::time::Duration>,
    /// Whether the supervisor is PID 1 of its namespace: all else there ends with it.
    pub init: bool,
    /// The pid file that an earlier child found stale for this PID 1.
    pub cleared: Option<FileStamp>,
    /// The postmaster that this PID 1 had last.
    pub lived: Option<Lived>,
    /// Whether the pid file named another postmaster while that one served: somebody has started a second one on the
    /// same data, and at its end the first one removes the file of the second.
    pub usurped: bool,
    /// How the engine ended last, if that was a failure: for a look at the cause.
    pub last_failure: Option<Failure>,
}

/// An end of the engine that was a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In words.
    pub text: String,
    /// Whether a signal ended it. It is the engine's own word, an exit status, with which it ends when it does not accept its
    /// configuration.
    pub by_signal: bool,
}

/// The jobs of the child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// Everything that must be true before the engine may start, the first boot included.
    Prepare,
    /// The same where no supervisor is and none stays: of an engine that has been started before, whose configuration, log
    /// link and sockets stay as its supervisor left them.
    PrepareAlone,
    /// Find the engine's executables and ask for their version: [`Verdict::Learnt`]. No file of the engine's is looked at.
    Learn,
    /// Leave a record of the start of this postmaster beside the database, for whoever finds its pid file.
    Record {
        /// The postmaster.
        postmaster: i32,
        /// The pid file that was there before its start: it may name the same pid, for a container gives the same ones
        /// at each start.
        stale: Option<FileStamp>,
    },
    /// Look whether somebody else's postmaster serves the data directory, and change nothing: [`Verdict::Adopt`], or
    /// [`Verdict::Done`] where none does.
    Search,
    /// Find the postmaster, whoever started it, where no supervisor is: [`Verdict::Adopt`], or [`Verdict::Done`] where none
    /// can live, or [`Verdict::Wait`] where that is not proved.
    Find,
    /// Remove collector files that are older than `log_keep`.
    Prune,
    /// Ask the engine that runs for a sign of life.
    Knock,
    /// Log what keeps the engine with this pid from stopping.
    Blockers {
        /// The postmaster.
        postmaster: i32,
    },
    /// Signal processes of the engine's user, where PID 1 may not (no CAP_KILL).
    Signal {
        /// Each by its process id and its start time in clock ticks since boot.
        targets: Vec<(i32, u64)>,
        /// The signal's number.
        signal: i32,
    },
}

/// The engine's user, resolved from `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// User id; never 0.
    pub uid: u32,
    /// Main group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory, `/` where it has none.
    pub home: String,
}

/// What was learnt about the engine's executables, so that it is not asked again at each restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// The server's executable with every link resolved.
    pub postgres: std::path::PathBuf,
    /// Its inode and modification time (seconds): another one is asked again.
    pub inode: u64,
    /// Seconds since 1970.
    pub modified: i64,
    /// Major version, as in `PG_VERSION`.
    pub major: u32,
}

/// What the child says on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The packet carries the locked descriptor of the data directory.
    Keeper,
    /// A first boot is under way.
    Initializing,
    /// Something that a person should know; PID 1 logs it.
    Note {
        /// `true`: a warning.
        warning: bool,
        /// What it is about, in a word: `keeper`, `pid_file`, `orphans`, ...
        about: String,
        /// One line.
        text: String,
    },
    /// The end.
    Verdict(Verdict),
}

/// How the child's look at the data directory ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The engine may start.
    Start(Start),
    /// Somebody else's postmaster serves this data directory.
    Adopt {
        /// Its process id.
        pid: i32,
        /// Its start time in clock ticks since boot, against reuse of the pid.
        start_ticks: u64,
    },
    /// The lock file exists; nothing was done.
    Locked,
    /// Not yet, for a reason that time mends.
    Wait {
        /// The reason.
        cause: String,
    },
    /// First boot failed (70); the data directory is resumable.
    Failed {
        /// What was tried and what happened.
        cause: String,
        /// What to do.
        remedy: String,
    },
    /// The data directory cannot be served (78).
    Refused {
        /// What was tried and what happened.
        cause: String,
        /// What to do.
        remedy: String,
    },
    /// The answer to [`Errand::Learn`].
    Learnt(Memo),
    /// The errand is done.
    Done,
}

/// How to start the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables on top of [`Order::environment`] (nss_wrapper).
    pub environment: Vec<(String, String)>,
    /// The data directory with every link resolved: the working directory of all its processes.
    pub data_dir: String,
    /// What was learnt about the executables.
    pub memo: Memo,
    /// Whether the control file says that the last end was not orderly.
    pub unclean: bool,
    /// The `postmaster.pid` that a dead postmaster left. In a container the next one often has the same pid, so only
    /// this tells the two files apart.
    pub stale_pid_file: Option<FileStamp>,
}

/// Which file it is, and in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Its inode.
    pub inode: u64,
    /// Its last change of any kind: seconds since 1970, and nanoseconds.
    pub changed: (i64, i64),
}

impl FileStamp {
    /// The stamp of what `lstat` or `fstat` found.
    #[must_use]
    pub fn of(found: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        FileStamp { inode: found.ino(), changed: (found.ctime(), found.ctime_nsec()) }
    }
}
