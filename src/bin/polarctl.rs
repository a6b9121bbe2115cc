//! The command line of operators; the library does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(polardb_manager::ctl::main())
}
