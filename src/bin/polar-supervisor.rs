//! PID 1 of the engine image; the library does the work.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use polardb_manager::config;
use polardb_manager::supervisor::command_line::{Request, USAGE, parse};
use polardb_manager::supervisor::{complain, exec, follow, prepare, run, writer};

/// The exit status of a wrong command line (sysexits.h).
const EX_USAGE: u8 = 64;
/// The exit status of a bad configuration (sysexits.h).
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    ExitCode::from(match parse(args) {
        Ok(Request::Run { config, options }) => run(config, options),
        Ok(Request::Check { config }) => check(config.as_deref()),
        Ok(Request::Exec { argv }) => exec(&argv),
        Ok(Request::Prepare) => prepare::main(),
        Ok(Request::Follow { folders }) => follow::main(&folders),
        Ok(Request::Writer) => writer::main(),
        Ok(Request::Help) => print(USAGE),
        Ok(Request::Version) => print(&format!("polar-supervisor {}\n", env!("CARGO_PKG_VERSION"))),
        Err(wrong) => {
            complain(&format!("polar-supervisor: {wrong}\ntry: polar-supervisor --help"));
            EX_USAGE
        }
    })
}

fn check(file: Option<&Path>) -> u8 {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match config::load(file.map_or(config::Source::Default, config::Source::File), &environment) {
        Ok(config) => print(&config::to_toml(&config)),
        Err(mistakes) => {
            complain(&mistakes.to_string());
            EX_CONFIG
        }
    }
}

/// A reader that has gone is no failure.
fn print(text: &str) -> u8 {
    let _ = std::io::stdout().write_all(text.as_bytes());
    0
}
