//! What may be typed of an installation.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::account::PasswordArgs;
use super::ssl::FilesArgs;
use crate::ctl::time::parse_span;

/// An installation.
#[derive(Debug, Clone, Args)]
pub struct InstallArgs {
    /// What the instance is to be
    #[arg(long, value_enum, default_value = "rw")]
    pub role: RoleArg,
    /// What its data lie on
    #[arg(long, value_enum, default_value = "local")]
    pub storage: StorageArg,
    /// A node of a DMA cluster: refused by this version
    #[arg(long)]
    pub dma: bool,
    /// Encrypted data: refused by this version
    #[arg(long)]
    pub tde: bool,
    /// The engine's user [default: whom the data directory belongs to, or postgres where that is root]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The engine's port [default: that of --set or of the template, or 5432]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// A parameter; may stand several times. A value that begins with a single quote is read as in postgresql.conf
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    /// The postgresql.conf to begin with [default: initdb's own; a standby's: the primary's]
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// A further argument of initdb; may stand several times
    #[arg(long = "initdb-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub initdb_args: Vec<String>,
    /// Rules that take the place of all in pg_hba.conf, where this file is there
    #[arg(long, value_name = "FILE", default_value = crate::manager::install::NODE_HBA)]
    pub hba_file: PathBuf,
    /// The instance's number, for ins_logic_id and ins_ctx
    #[arg(long, value_name = "N")]
    pub logic_id: Option<String>,
    /// Leave the engine locked: it stays down until polarctl unlock
    #[arg(long)]
    pub lock: bool,
    /// A folder to be made for a tablespace
    #[arg(long, value_name = "DIR")]
    pub tablespace_dir: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub ssl: FilesArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub primary: PrimaryArgs,
    /// The engine, where the configuration has several
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub program: Option<String>,
    /// How long another installation is waited for
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = parse_span)]
    pub timeout: Duration,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// The primary of a standby.
#[derive(Debug, Clone, Args)]
pub struct PrimaryArgs {
    /// A standby's primary: its address, or the folder of its socket
    #[arg(long, value_name = "HOST")]
    pub primary_host: Option<String>,
    /// Its port
    #[arg(long, value_name = "N", default_value_t = 5432)]
    pub primary_port: u16,
    /// The role that the standby streams as
    #[arg(long, value_name = "NAME", default_value = "replicator")]
    pub primary_user: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub password: PasswordArgs,
    /// The number in the name of the standby's slot, standby_ID_NAME, as in replica create
    #[arg(long, value_name = "ID", requires = "unique_name")]
    pub custins_id: Option<String>,
    /// The rest of that name
    #[arg(long, value_name = "NAME", requires = "custins_id")]
    pub unique_name: Option<String>,
}

/// Roles of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// A primary.
    Rw,
    /// A copy of a primary that follows it.
    Standby,
    /// A node that reads shared storage: refused by this version.
    Ro,
    /// A log without data: refused by this version.
    Datamax,
}

/// Kinds of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StorageArg {
    /// A file system.
    Local,
    /// A SAN by PFS: refused by this version.
    Fcsan,
    /// PolarStore by PFS: refused by this version.
    Polarstore,
}
