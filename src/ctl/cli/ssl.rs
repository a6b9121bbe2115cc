//! What may be typed of TLS.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::instance::DoArgs;

/// TLS.
#[derive(Debug, Subcommand)]
pub enum SslVerb {
    /// Has the engine speak TLS, with the certificate that is given, or the one that is there, or a self-signed one
    Enable {
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        files: FilesArgs,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        change: DoArgs,
    },
    /// Has the engine speak no TLS; the certificate stays where it is
    Disable(DoArgs),
}

/// Files, in PEM, which are copied into the data directory.
#[derive(Debug, Clone, Args)]
pub struct FilesArgs {
    /// The server's certificate, and those between it and its authority
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its key, which has no passphrase
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// The authority that the certificates of clients are to be from
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub ca: Option<PathBuf>,
}
