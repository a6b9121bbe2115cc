//! `polarctl`: the command line of operators.

mod cli;

use clap::Parser;

pub use cli::Cli;

/// Does what the command line says; the exit status.
#[must_use]
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that has gone is no failure.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    match cli.verb {}
}
