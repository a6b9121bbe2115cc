//! `install`: what an empty volume of PolarDB Stack needs before its engine is started by the supervisor of another
//! container.
//!
//! The database is made in a stage, `.init-install-*`, that is moved into place entry by entry once it is complete. Its
//! folder and journal stay until `ins_install_step` says `done`, which is written last: so a call that was killed
//! anywhere is finished by the next one, and nothing else passes for an installation of ours.
//!
//! | module | what it does |
//! |---|---|
//! | `seen` | what is found out |
//! | `plan` | what is to be done about it: pure |
//! | `carry` | doing it |
//! | `stage` | stages: made, held, thrown away, moved into place |
//! | `database` | initdb, or a copy of the primary |
//! | `configure` | the configuration files |
//! | `parameters` | parameters as callers give them |
//! | `conninfo` | how a standby reaches its primary |
//! | `markers` | the files by which the parts of a pod know each other |
//! | `folders` | the folders of logs and of the tablespace |
//! | [`progress`] | how far an installation is |

mod carry;
mod configure;
mod conninfo;
mod database;
mod failpoint;
mod folders;
mod markers;
mod parameters;
mod plan;
pub mod progress;
mod seen;
mod stage;

use std::fmt;
use std::path::PathBuf;

pub(super) use parameters::checked as checked_parameters;
pub use progress::{Progress, progress};
pub use seen::Seen;

use super::account::Password;
use super::cause::Cause;
use super::operation::{Operation, Plan};
use super::replica::Name;
use super::site::Site;
use super::ssl::Given;
use super::turn::{self, Turn};

/// Where a pod of PolarDB Stack has the node's own `pg_hba.conf`.
pub const NODE_HBA: &str = "/etc/postgres/pg_hba.conf";
/// The folder of log files.
pub const LOG_DIR: &str = "/log";
/// The engine's user where nothing else tells.
pub const USER: &str = "postgres";

/// An installation as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// What the instance is to be.
    pub role: Role,
    /// What its data lie on.
    pub storage: Storage,
    /// A node of a DMA (Paxos) cluster: no part of this version.
    pub dma: bool,
    /// Encrypted data: no part of this version.
    pub tde: bool,
    /// The engine's user, by name or number; `None`: whom the data directory belongs to, and [`USER`] where that is root.
    pub user: Option<String>,
    /// The port; `None`: of the parameters, of the template, or PostgreSQL's own.
    pub port: Option<u16>,
    /// Parameters by name. A value that begins with a single quote is one as a configuration file has it, any other is
    /// the value itself.
    pub parameters: Vec<(String, String)>,
    /// A `postgresql.conf` to begin with; `None`: initdb's own, or the primary's.
    pub template: Option<PathBuf>,
    /// Further arguments of initdb.
    pub initdb_args: Vec<String>,
    /// What replaces the rules of `pg_hba.conf` where it is there: [`NODE_HBA`].
    pub node_hba: PathBuf,
    /// The folder of log files: [`LOG_DIR`].
    pub log_dir: PathBuf,
    /// The number of the instance, for `ins_logic_id` and `ins_ctx`; `None`: neither is written.
    pub logic_id: Option<String>,
    /// Whether the engine is to stay down until somebody unlocks it.
    pub lock: bool,
    /// The folder of a tablespace to be made later, absolute.
    pub tablespace_dir: Option<PathBuf>,
    /// Certificate and key.
    pub ssl: Option<Given>,
}

impl Default for Install {
    fn default() -> Self {
        Install {
            role: Role::ReadWrite,
            storage: Storage::Local,
            dma: false,
            tde: false,
            user: None,
            port: None,
            parameters: Vec::new(),
            template: None,
            initdb_args: Vec::new(),
            node_hba: NODE_HBA.into(),
            log_dir: LOG_DIR.into(),
            logic_id: None,
            lock: false,
            tablespace_dir: None,
            ssl: None,
        }
    }
}

/// What an instance is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A primary, with a database of its own (`polardb_mpd_rw`).
    ReadWrite,
    /// A copy of a primary that follows it by streaming (`polardb_mpd_standby`).
    Standby(Primary),
    /// A node that reads the primary's shared storage (`polardb_mpd_ro`): no part of this version.
    ReadOnly,
    /// A node that keeps the log alone (`polardb_mpd_datamax`): no part of this version.
    DataMax,
}

impl Role {
    /// As it is typed.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Role::ReadWrite => "rw",
            Role::Standby(_) => "standby",
            Role::ReadOnly => "ro",
            Role::DataMax => "datamax",
        }
    }
}

/// How a standby reaches its primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Its address, or the folder of its socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A role that may replicate.
    pub user: String,
    /// That role's password; it goes into a file for the engine's user alone.
    pub password: Option<Password>,
    /// The slot, which is there on the primary (`replica create`), and by whose name the standby calls itself.
    pub slot: Option<Name>,
}

/// What the data lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// A file system.
    Local,
    /// A block device of a SAN by PFS: no part of this version.
    FcSan,
    /// PolarStore by PFS: no part of this version.
    PolarStore,
}

impl Storage {
    /// As callers and `ins_ctx` have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Storage::Local => "local",
            Storage::FcSan => "fcsan",
            Storage::PolarStore => "polarstore",
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Give the empty data directory to the engine's user, and close it to others.
    Own {
        /// That user.
        user: String,
    },
    /// Throw away what an installation that did not end has left.
    Discard(String),
    /// Make the database in a stage.
    Make {
        /// What it is made of, in words.
        how: String,
    },
    /// Move the complete stage into place.
    Promote,
    /// Write configuration files again, for they are not as asked for.
    Configure,
    /// Make the folder of log files, and the link to it where the engine logs into `log`.
    Logs(PathBuf),
    /// Make the lock file.
    Lock,
    /// Write a marker.
    Mark(&'static str),
    /// Write certificate and key.
    Ssl,
    /// Make the folder of a tablespace.
    Tablespace(PathBuf),
    /// Say that it is done.
    Done,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Own { user } => write!(f, "give the data directory to {user}, mode 0700"),
            Step::Discard(name) => write!(f, "remove {name}, left by an installation that did not end"),
            Step::Make { how } => write!(f, "make the database in a stage: {how}"),
            Step::Promote => f.write_str("move it into place, PG_VERSION last"),
            Step::Configure => f.write_str("write the configuration files as asked for"),
            Step::Logs(dir) => write!(f, "make the folder of log files {}", dir.display()),
            Step::Lock => f.write_str("make the lock file: the engine stays down until polarctl unlock"),
            Step::Mark(name) => write!(f, "write {name}"),
            Step::Ssl => f.write_str("write server.crt and server.key, mode 0600"),
            Step::Tablespace(dir) => write!(f, "make the folder {} for a tablespace", dir.display()),
            Step::Done => write!(f, "write \"done\" into {}: the engine may start", markers::STEP),
        }
    }
}

impl Operation for Install {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        "install"
    }

    fn turn(&self, site: &Site, who: &str, waiting: &mut dyn FnMut(&str)) -> Result<Turn, Cause> {
        // What is refused leaves no file behind. Where one was begun, it may be under way, and what is seen be half done.
        if !progress::was_begun(site)? {
            self.plan(&seen::look(self, site)?)?;
        }
        turn::take_on(site, progress::TURN, who, waiting)
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        seen::look(self, site)
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        plan::plan(self, seen)
    }

    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        carry::carry_out(self, steps, seen, site)
    }
}
