//! What may be typed of operations on an instance.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::account::AccountVerb;
use super::disk::DiskVerb;
use super::engine_user::EngineUserArgs;
use super::install::InstallArgs;
use super::params::ParamsVerb;
use super::replica::ReplicaVerb;
use super::ssl::SslVerb;
use super::tablespace::TablespaceVerb;
use crate::ctl::time::parse_span;

/// Operations on an instance.
#[derive(Debug, Subcommand)]
pub enum InstanceVerb {
    /// Makes on an empty volume what an engine needs that the supervisor of another container starts (init = "wait")
    Install(Box<InstallArgs>),
    /// Gives the engine's user the uid that PolarDB Stack has for the instance, by its line in /etc/passwd
    EngineUser(EngineUserArgs),
    /// Parameters of an instance: what they are, where they come from, and changing them
    #[command(subcommand)]
    Params(ParamsVerb),
    /// Accounts of an instance
    #[command(subcommand)]
    Account(AccountVerb),
    /// Replicas of an instance, as its primary sees them
    #[command(subcommand)]
    Replica(ReplicaVerb),
    /// Whether the engine speaks TLS, and with which certificate
    #[command(subcommand)]
    Ssl(SslVerb),
    /// Tablespaces of an instance
    #[command(subcommand)]
    Tablespace(TablespaceVerb),
    /// The write-ahead log
    #[command(subcommand)]
    Wal(WalVerb),
    /// How full the disks of an instance are, and larger ones
    #[command(subcommand)]
    Disk(DiskVerb),
    /// The number that names the database and all its copies
    SystemIdentifier(InstanceArgs),
    /// psql as the instance's superuser; port and socket are found by themselves
    Pg(PgArgs),
}

/// Which instance, and how long it may take.
#[derive(Debug, Clone, Args)]
pub struct InstanceArgs {
    /// The engine, where the configuration has several
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub program: Option<String>,
    /// How long a statement may take, and how long another operation is waited for
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = parse_span)]
    pub timeout: Duration,
}

/// What is said of a change.
#[derive(Debug, Clone, Args)]
pub struct DoArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub instance: InstanceArgs,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// The write-ahead log.
#[derive(Debug, Subcommand)]
pub enum WalVerb {
    /// Ends the segment that is written, so that it can be archived
    Switch(DoArgs),
}

/// What is handed to psql.
#[derive(Debug, Clone, Args)]
pub struct PgArgs {
    /// The engine, where the configuration has several
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub program: Option<String>,
    /// What psql is given, such as -c 'select 1'
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PSQL_ARGUMENT")]
    pub arguments: Vec<std::ffi::OsString>,
}
