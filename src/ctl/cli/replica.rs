//! What may be typed of replicas.

use clap::{Args, Subcommand, ValueEnum};

use super::account::PasswordArgs;
use super::instance::{DoArgs, InstanceArgs};

/// Replicas.
#[derive(Debug, Subcommand)]
pub enum ReplicaVerb {
    /// Makes what a replica needs of its primary: a slot, a role, a line of pg_hba.conf; of one on the same storage also
    /// that commits wait for it
    Create {
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        name: NameArgs,
        /// The role that it streams as
        #[arg(long, value_name = "NAME", default_value = "replicator")]
        role: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        password: PasswordArgs,
        /// Where it streams from: all, 10.0.0.0/8, 10.0.0.7, a host's name
        #[arg(long, value_name = "ADDRESS", default_value = "all")]
        address: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        change: DoArgs,
    },
    /// Takes back that commits wait for a replica, and its slot
    Drop {
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        name: NameArgs,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        change: DoArgs,
    },
    /// All slots: who streams by them, and how much WAL they hold back
    List(InstanceArgs),
}

/// The name of a replica: replica_ID_NAME or standby_ID_NAME.
#[derive(Debug, Clone, Args)]
pub struct NameArgs {
    /// On the same shared storage (synchronous), or with storage of its own (asynchronous)
    #[arg(long, value_enum)]
    pub kind: KindArg,
    /// The instance's number
    #[arg(long, value_name = "ID")]
    pub custins_id: String,
    /// What tells replicas of an instance apart
    #[arg(long, value_name = "NAME")]
    pub unique_name: String,
}

/// Kinds of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// On the same shared storage: synchronous.
    Replica,
    /// With storage of its own: asynchronous.
    Standby,
}
