//! What may be typed of disks.

use clap::{Args, Subcommand};

use super::instance::{DoArgs, InstanceArgs};
use crate::manager::disk::gigabytes;

/// Disks.
#[derive(Debug, Subcommand)]
pub enum DiskVerb {
    /// How full the file systems are, how long the write-ahead log is, and what slots hold back
    Status(InstanceArgs),
    /// After the volume has grown: tells PolarDB, or looks whether a local file system has grown
    Expand(ExpandArgs),
}

/// What has grown.
#[derive(Debug, Clone, Args)]
pub struct ExpandArgs {
    /// How large PolarDB's file system was; with --to, what was added is formatted
    #[arg(long, value_name = "SIZE", value_parser = gigabytes, requires = "to")]
    pub from: Option<u64>,
    /// How large the volume is meant to be, such as 40GB; PolarDB's file system grows by multiples of 10GB
    #[arg(long, value_name = "SIZE", value_parser = gigabytes)]
    pub to: Option<u64>,
    /// Lift the diskfull lock, where there is room
    #[arg(long)]
    pub unlock: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
    pub change: DoArgs,
}
