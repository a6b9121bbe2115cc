//! What is said over the control socket: one JSON object a line, in both directions.
//!
//! A request is `{"v":1,"op":"status","program":"engine"}`; the answer `{"v":1,"ok":...}`, whose value depends on the
//! operation, or `{"v":1,"error":{"code":"unknown_program","message":"..."}}`. A connection may carry several requests,
//! one after the other. Where a request follows something (`events`, `logs`), answers come until one side hangs up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version that both sides speak.
pub const VERSION: u32 = 1;
/// The name of the socket in `run_dir`.
pub const SOCKET: &str = "supervisor.sock";
/// The longest request, in bytes, its newline included.
pub const REQUEST_MAX: usize = 64 * 1024;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub v: u32,
    /// What is wanted.
    #[serde(flatten)]
    pub op: Op,
}

/// What is wanted. Reads are for whoever can connect; what is marked as a change is for root, PID 1's own user and the
/// users of the engines. Without a `program` all are meant where something is read, and all engines where something is
/// changed. What changes something is answered once it is on its way, where nothing else is said with `ok: null`;
/// [`Op::Status`] shows its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Answered with a list of [`Status`].
    Status {
        /// One program alone.
        #[serde(default)]
        program: Option<String>,
    },
    /// Answered with [`Supervisor`].
    Supervisor {},
    /// Answered with a list of [`Explanation`].
    Explain {
        /// One program alone.
        #[serde(default)]
        program: Option<String>,
    },
    /// An operator wants it to run. Changes.
    Start {
        /// One program alone.
        #[serde(default)]
        program: Option<String>,
    },
    /// An operator wants it down until the next word, or until the container starts again. Changes.
    Stop {
        /// One program alone.
        #[serde(default)]
        program: Option<String>,
        /// How an engine is asked at first.
        #[serde(default)]
        mode: Option<Mode>,
    },
    /// Stopped if it runs, and started. Changes.
    Restart {
        /// One program alone.
        #[serde(default)]
        program: Option<String>,
        /// How an engine is asked at first.
        #[serde(default)]
        mode: Option<Mode>,
    },
    /// The configuration is read again. Changes. Answered with [`Reloaded`]; a bad one with its mistakes, and changes
    /// nothing.
    Reload {},
    /// Answered with one [`Record`] a line, the oldest first, of those that PID 1 remembers; without `follow` the last
    /// line is `ok: null`.
    Events {
        /// At most so many of the past.
        #[serde(default)]
        last: Option<usize>,
        /// And those to come.
        #[serde(default)]
        follow: bool,
    },
    /// Answered with one [`Line`] a line of what a program has written, of what PID 1 remembers; without `follow` the
    /// last line is `ok: null`.
    Logs {
        /// The program.
        program: String,
        /// At most so many of the past.
        #[serde(default)]
        last: Option<usize>,
        /// And those to come.
        #[serde(default)]
        follow: bool,
    },
}

/// PostgreSQL's shutdown modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Wait for the sessions to end.
    Smart,
    /// End the sessions, then a checkpoint.
    Fast,
    /// End at once; the next start recovers.
    Immediate,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply<T> {
    /// [`VERSION`].
    pub v: u32,
    /// Done, or the value.
    #[serde(flatten)]
    pub result: Outcome<T>,
}

/// Done, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome<T> {
    /// The value.
    Ok(T),
    /// Why not.
    Error(Refusal),
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: what was tried, what happened, what to do next.
    pub message: String,
}

/// Why a request was not done, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// It is no request of this version.
    BadRequest,
    /// Its line is longer than [`REQUEST_MAX`].
    TooLong,
    /// There is no program of that name, or no engine where one is meant.
    UnknownProgram,
    /// Changes are for root and the engine's user.
    NotPermitted,
    /// Too many clients.
    Busy,
    /// A configuration with mistakes; nothing was changed.
    BadConfiguration,
    /// The supervisor is ending.
    ShuttingDown,
}

/// One program at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// `postgres`, `command` or `oneshot`.
    pub kind: String,
    /// `down`, `initializing`, `starting`, `running`, `stopping`, `backoff` or `failed`.
    pub state: String,
    /// Why it is not running: `locked`, `stopped`, `shutdown`, `installing`, `dependency`, `waiting`, `completed`, ...
    pub reason: Option<String>,
    /// Its main process.
    pub pid: Option<i32>,
    /// When it came into its state, RFC 3339 in UTC.
    pub since: String,
    /// How often its main process was started again.
    pub restarts: u64,
    /// Failures in a row.
    pub failures: u32,
    /// How its main process ended last.
    pub last_exit: Option<LastExit>,
    /// Whether it is ready; a one-shot: whether it has completed.
    pub ready: bool,
    /// Whether its main process is somebody else's.
    pub adopted: bool,
    /// Whether a running engine is a standby; `null`: not known.
    pub standby: Option<bool>,
    /// Its lock file, if that exists.
    pub lock: Option<Lock>,
    /// Seconds until it is started again, while it pauses after a failure.
    pub starts_in: Option<f64>,
    /// Ends of its main process that nobody asked for, by class.
    pub ends: BTreeMap<String, u64>,
    /// Seconds that it was not ready since PID 1 started, by cause: the reason, or the state where there is none.
    pub downtime: BTreeMap<String, f64>,
    /// Seconds that its last start took until it was ready.
    pub start_seconds: Option<f64>,
    /// Seconds that its last stop took.
    pub stop_seconds: Option<f64>,
    /// Lines of its output that were dropped because nobody read them.
    pub dropped_lines: u64,
    /// Where an engine is found on disk.
    pub engine: Option<Engine>,
    /// The file that its output goes to, if it goes to one.
    pub output_file: Option<String>,
}

/// What a reload has begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Programs that ran and that another process takes the place of.
    pub restarted: Vec<String>,
    /// Programs that came.
    pub added: Vec<String>,
    /// Programs that left; what runs of them is stopped.
    pub removed: Vec<String>,
    /// All that was done, in words.
    pub said: Vec<String>,
}

/// How a main process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// Its exit code, if it ended with one.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// What that means: `clean`, `asked`, `killed`, `crashed`, `out_of_memory`, ...
    pub class: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
}

/// A lock file that exists. PID 1 never reads what is in it; who asks may fill that in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The file.
    pub file: String,
    /// `expired`, `maintenance`, or a word of somebody else's.
    #[serde(default)]
    pub kind: Option<String>,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who.
    #[serde(default)]
    pub owner: Option<String>,
    /// Since when.
    #[serde(default)]
    pub since: Option<String>,
    /// Until when it is meant to be; nobody acts on it.
    #[serde(default)]
    pub until: Option<String>,
}

/// Where an engine is found on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// The data directory.
    pub data_dir: String,
    /// The lock file, whether it exists or not.
    pub lock_file: String,
    /// The link to its log directory.
    pub log_link: String,
    /// Folders of its socket.
    pub socket_dir: Vec<String>,
    /// The port that first boot wrote; `postgresql.conf` may say another one.
    pub port: u16,
    /// The user that it runs as.
    pub user: Option<String>,
}

/// PID 1 itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Its version.
    pub version: String,
    /// Its process id, as it sees it.
    pub pid: u32,
    /// When it started, RFC 3339 in UTC.
    pub since: String,
    /// Whether it is ending.
    pub shutting_down: bool,
    /// Orphans that it has reaped.
    pub orphans_reaped: u64,
    /// Lines of its own standard output that were dropped because nobody read them.
    pub dropped_lines: u64,
    /// The journal of events, where it is written.
    pub journal: Option<String>,
}

/// Why a program is up or down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its name.
    pub name: String,
    /// As in [`Status`].
    pub state: String,
    /// One sentence.
    pub summary: String,
    /// Every condition, those that hold it up or down first.
    pub conditions: Vec<Condition>,
    /// The last lines that it wrote, the oldest first.
    pub last_lines: Vec<String>,
}

/// One condition of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `lock`, `operator`, `shutdown`, `dependencies`, `backoff`, `pid_file`, `orphans`, `keeper`, `last_exit`, ...
    pub name: String,
    /// What it does to the program.
    pub effect: Effect,
    /// The evidence, in words.
    pub text: String,
}

/// What a condition does to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It keeps it down.
    Blocks,
    /// A person should look at it.
    Warns,
    /// It lets it run.
    Allows,
    /// Not known, and why.
    Unknown,
}

/// One event of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts up from 1 at each start of PID 1; who follows and reads slowly may find some missing.
    pub seq: u64,
    /// RFC 3339 in UTC.
    pub time: String,
    /// The program; none: PID 1 itself.
    pub program: Option<String>,
    /// `state`, `exit`, `lock`, `operator`, `reload`, `supervisor`.
    pub event: String,
    /// Of `state`: the state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Of `state`: the state after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of `state`: why, as in [`Status`]. Of `exit`: the class, as in [`LastExit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    pub text: String,
}

/// One line that a program wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Counts up from 1 at each start of PID 1.
    pub seq: u64,
    /// The line; bytes that are no UTF-8 are replaced.
    pub text: String,
}
