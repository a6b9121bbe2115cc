//! What a configuration means: every default filled in, every path and number checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `[supervisor]`
    pub supervisor: Supervisor,
    /// `[serve]`: health and metrics over HTTP; off unless given.
    pub serve: Option<Serve>,
    /// `[program.NAME]`, in the order of their names; then `serve` where `[serve]` listens.
    pub programs: Vec<Program>,
}

/// `[supervisor]`: PID 1 itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Folder of what lives as long as the container.
    pub run_dir: PathBuf,
    /// Folder of log files.
    pub log_dir: PathBuf,
    /// What is said.
    pub log_level: LogLevel,
    /// How it is said.
    pub log_format: LogFormat,
    /// How long an ordered shutdown of all programs may take.
    pub stop_timeout: Duration,
}

/// `[serve]`: health and metrics over HTTP, by a process of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serve {
    /// Address and port that it listens on.
    pub listen: std::net::SocketAddr,
}

/// The least severe message that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What a person must act on.
    Error,
    /// What a person should look at.
    Warn,
    /// What happened.
    Info,
    /// Why it happened.
    Debug,
    /// Everything.
    Trace,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[program.NAME]`: one program that PID 1 keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The NAME of `[program.NAME]`.
    pub name: String,
    /// What kind of program it is, with the keys of that kind alone.
    pub kind: Kind,
    /// How its process is made.
    pub process: Process,
    /// When it is started again.
    pub restart: Restart,
    /// How long a stop may take before the last rung of the ladder is done.
    pub stop_timeout: Duration,
    /// Whether PID 1 ends when this program gives up.
    pub critical: bool,
    /// What it needs.
    pub needs: Needs,
    /// The check that it still answers; failing restarts it.
    pub live: Option<Box<Live>>,
    /// Where its standard output and error go.
    pub output: Output,
}

/// The kinds of programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A PolarDB or PostgreSQL server.
    Postgres(Box<Postgres>),
    /// A process that is to run as long as the container.
    Command(Box<Command>),
    /// A process that is to end with status 0 once.
    Oneshot(Box<Command>),
}

impl Kind {
    /// The keys of an engine.
    #[must_use]
    pub fn engine(&self) -> Option<&Postgres> {
        match self {
            Kind::Postgres(engine) => Some(engine),
            Kind::Command(_) | Kind::Oneshot(_) => None,
        }
    }

    /// The keys of a command or a one-shot.
    #[must_use]
    pub fn command(&self) -> Option<&Command> {
        match self {
            Kind::Postgres(_) => None,
            Kind::Command(command) | Kind::Oneshot(command) => Some(command),
        }
    }
}

/// What a program needs of others, by their names; `before` of another one is turned round into its `after`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// It starts after these are up, as far as they are wanted, and stops before them; none that it requires is named.
    pub after: Vec<String>,
    /// As `after`, and it does not start without them.
    pub requires: Vec<String>,
    /// It stops when one that it requires goes down.
    pub bound: bool,
}

/// The keys of kinds `command` and `oneshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments; not empty.
    pub command: Vec<String>,
    /// The folder that it starts in.
    pub working_dir: PathBuf,
    /// When it counts as ready; a `oneshot` has none.
    pub ready: Option<Ready>,
    /// The number of the signal that asks it to end.
    pub stop_signal: i32,
    /// How far the last rung reaches.
    pub kill_reach: KillReach,
}

/// When a command counts as ready; without it as soon as it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The check.
    pub check: Check,
    /// Not ready after this long is a failure.
    pub timeout: Duration,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// This command ends with status 0.
    Exec(Vec<String>),
    /// This host (an address) and port accept a connection.
    Tcp(std::net::SocketAddr),
    /// The program says `READY=1` on the socket of `NOTIFY_SOCKET` (readiness only).
    NotifySystemd,
    /// The program writes a line to this descriptor, or closes it after one (readiness only; s6's way).
    NotifyFd(i32),
    /// The server answers a connection to its own socket, a refusal for recovery included (kind `postgres`, liveness only).
    Engine,
}

/// The check that a program still answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// The check: `exec` or `tcp`; of an engine also its own.
    pub check: Check,
    /// From one check's begin to the next one's.
    pub period: Duration,
    /// One that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row restart the program.
    pub failures: u32,
}

/// Where a program's standard output and error go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Unchanged to those of PID 1. An engine's lines pass through PID 1, for the last ones tell why it ended.
    Inherit,
    /// Line by line to PID 1's standard output, with the program's name in front.
    Prefix,
    /// Line by line to PID 1's standard output, each as a JSON object.
    Json,
    /// Into a file.
    File(OutputFile),
}

/// A file that a program's output goes to; the full one is renamed `NAME.1`, and so on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// The file, absolute.
    pub file: PathBuf,
    /// When it is full, in bytes.
    pub size: u64,
    /// How many full ones are kept.
    pub keep: u32,
}

/// How far a kill reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KillReach {
    /// The main process.
    Main,
    /// Its process group.
    Group,
    /// All that descends from it.
    Tree,
}

/// How a process is made; what is `None` or empty is inherited from PID 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// User name to drop to when PID 1 is root.
    pub user: Option<String>,
    /// Supplementary groups by name, on top of the user's own.
    pub groups: Vec<String>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Nice value, -20 to 19.
    pub nice: Option<i32>,
    /// `/proc/PID/oom_score_adj`, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Soft and hard limits by their lower-case names (`nofile`, `core`, ...).
    pub rlimits: BTreeMap<String, u64>,
    /// Variables on top of the short inherited list.
    pub environment: BTreeMap<String, String>,
}

/// The keys of kind `postgres`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postgres {
    /// Folder of `postgres`, `initdb`, `psql`; `None`: looked up at each start.
    pub bin_dir: Option<PathBuf>,
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    /// The port that first boot writes into `postgresql.conf`.
    pub port: u16,
    /// Folders for the socket.
    pub socket_dir: Vec<PathBuf>,
    /// Whether an empty data directory is initialized.
    pub init: Init,
    /// Refuse a data directory on the container's own file system.
    pub require_mount: bool,
    /// While this file exists the engine stays down.
    pub lock_file: PathBuf,
    /// How often the lock file is looked at although nothing was notified; zero: never.
    pub lock_poll: Duration,
    /// Link to the engine's log directory.
    pub log_link: PathBuf,
    /// Collector files older than this are removed; zero keeps all.
    pub log_keep: Duration,
    /// Template that first boot uses instead of initdb's own `postgresql.conf`.
    pub conf_template: Option<PathBuf>,
    /// Arguments of initdb.
    pub initdb_args: Vec<String>,
    /// Folder of the scripts that first boot runs.
    pub init_scripts: PathBuf,
    /// How the engine is asked to stop.
    pub stop_mode: StopMode,
    /// Default settings of the engine.
    pub parameters: BTreeMap<String, String>,
    /// Whether the lines of the engine's log collector go to PID 1's standard output too.
    pub follow_engine_log: bool,
}

/// Whether an empty data directory is initialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// By us.
    Auto,
    /// By somebody else: wait until `<data_dir>/ins_install_step` says `done`.
    Wait,
    /// Never: refuse to start.
    Never,
}

/// PostgreSQL's shutdown modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopMode {
    /// Wait for the sessions to end.
    Smart,
    /// End the sessions, then write a checkpoint.
    Fast,
    /// End at once; the next start recovers.
    Immediate,
}

/// `[program.NAME.restart]`: when a program is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// After which ends.
    pub policy: RestartPolicy,
    /// Pause after the first failure.
    pub min_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// Pause after an exit 0 that was not asked for.
    pub clean_exit_delay: Duration,
    /// This long ready clears the failure count.
    pub reset_after: Duration,
    /// Failures in a row after which it gives up; zero: never.
    pub give_up_after: u32,
    /// What giving up does.
    pub on_give_up: OnGiveUp,
}

/// After which ends a program is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// After each.
    Always,
    /// After a failure.
    OnFailure,
    /// After none.
    Never,
}

/// What giving up does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnGiveUp {
    /// PID 1 ends (if the program is critical), so that the container's restart policy takes over.
    Exit,
    /// PID 1 lives; the program stays failed.
    Stay,
}
