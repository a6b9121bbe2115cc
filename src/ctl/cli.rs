//! What may be typed.

use clap::{Parser, Subcommand};

/// Operates the programs that a polar-supervisor keeps.
#[derive(Debug, Parser)]
#[command(name = "polarctl", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {}
