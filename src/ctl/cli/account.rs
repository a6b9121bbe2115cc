//! What may be typed of accounts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::instance::{DoArgs, InstanceArgs};

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum AccountVerb {
    /// Makes an account, or makes it as it is asked for
    Create {
        /// Its name
        name: String,
        /// 1 normal, 6 polar_superuser, 7 superuser (aurora), 15 replication superuser (replicator)
        #[arg(long, value_name = "N")]
        privilege: u8,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        password: PasswordArgs,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        change: DoArgs,
    },
    /// Changes the privilege or the password of an account that is there
    Alter {
        /// Its name
        name: String,
        /// 1 normal, 6 polar_superuser, 7 superuser (aurora), 15 replication superuser (replicator) [default: as it is]
        #[arg(long, value_name = "N")]
        privilege: Option<u8>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        password: PasswordArgs,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        change: DoArgs,
    },
    /// Removes an account
    Drop {
        /// Its name
        name: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        change: DoArgs,
    },
    /// All accounts
    List(InstanceArgs),
}

/// Where a password is read; it is no argument, for those are seen by all users of the machine.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct PasswordArgs {
    /// Read the password from this file; one line end behind it is no part of it
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Read the password from standard input, to its end
    #[arg(long)]
    pub password_stdin: bool,
}
