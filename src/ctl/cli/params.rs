//! What may be typed of parameters.

use clap::{Args, Subcommand, ValueEnum};

use super::instance::{DoArgs, InstanceArgs};

/// Parameters.
#[derive(Debug, Subcommand)]
pub enum ParamsVerb {
    /// What parameters are, where that comes from, and what it shadows
    Get {
        /// These [default: all that a file sets]
        names: Vec<String>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        instance: InstanceArgs,
    },
    /// Sets parameters in postgresql.conf, validated before and confirmed after
    Set {
        /// NAME=VALUE, such as work_mem=8MB
        #[arg(required = true, value_name = "NAME=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        how: HowArgs,
    },
    /// Takes parameters out of postgresql.conf
    Unset {
        /// These
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        how: HowArgs,
    },
    /// Has the engine read its files as they stand, and confirms that it did
    Refresh(DoArgs),
    /// Where the files and the running engine differ
    Diff(InstanceArgs),
    /// What was set and unset by this command, the oldest first
    History {
        /// Of these parameters [default: all]
        names: Vec<String>,
        /// At most so many
        #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 100)]
        lines: usize,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        instance: InstanceArgs,
    },
}

/// How parameters are changed.
#[derive(Debug, Clone, Args)]
pub struct HowArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub change: DoArgs,
    /// Whose parameters: this node's, or those of all nodes of a PolarDB cluster
    #[arg(long, value_enum, default_value = "node")]
    pub scope: ScopeArg,
    /// Take back what ALTER SYSTEM says of these parameters, which would shadow postgresql.conf
    #[arg(long)]
    pub over_alter_system: bool,
}

/// Whose parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// This node's.
    Node,
    /// Those of all nodes (ALTER SYSTEM FOR CLUSTER of PolarDB).
    Cluster,
}
