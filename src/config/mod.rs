//! `supervisor.toml` and its environment overrides: what was typed, and what it means.
//!
//! Two steps. *Typed*: the file's tree with its lines (`raw`), each value held against the table of keys (`keys`, `form`,
//! `check`, and `span`, `size`, `signal`, `address`), the environment laid over it (`environment`), the keys held against
//! the program's kind (`kinds`); together `typed`. *Meant*: what programs need of each other (`needs`), the defaults filled
//! in (`fill`), the values held against each other (`conflicts`), the result a [`Config`] (`meant`). Every mistake of both
//! steps is collected (`mistake`). `show` goes the way back.
//!
//! Precedence of a value: `POLAR_<PROGRAM>_<KEY>`, then `PGDATA` and `POLARDB_PORT` (where one engine is configured),
//! then the file, then the default.

mod address;
mod check;
mod conflicts;
mod environment;
mod fill;
mod form;
mod keys;
mod kinds;
mod meant;
mod mistake;
mod needs;
mod raw;
mod regular;
mod show;
mod signal;
mod size;
mod span;
mod twin;
mod typed;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

pub use meant::{
    Check, Command, Config, Init, KillReach, Kind, Live, LogFormat, LogLevel, Needs, OnGiveUp, Output,
    OutputFile, Postgres, Process, Program, Ready, Restart, RestartPolicy, Serve, StopMode, Supervisor,
};
pub use mistake::{ENVIRONMENT, Mistake, Mistakes};
#[cfg(feature = "ctl")]
pub(crate) use mistake::{did_you_mean, nearest, quoted};
pub use show::{reference, to_toml};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/polardb/supervisor.toml";

/// The file that is read instead, where it is there, in a pod of PolarDB Stack.
const STACK_FILE: &str = "/etc/polardb/stack.toml";

/// The variable that a pod of PolarDB Stack gives its engine container, and nobody else.
const STACK_VARIABLE: &str = "host_data_dir";

/// What messages call the configuration where there is no file.
const BUILT_IN: &str = "built-in defaults";

/// The longest file that is read, in bytes: far above any real one, and far below what would hurt PID 1.
const FILE_MAX: u64 = 1 << 20;

/// Where the configuration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// This file, which must exist.
    File(&'a Path),
    /// [`DEFAULT_FILE`] if there is one, else the built-in defaults; in a pod of PolarDB Stack rather its own file.
    Default,
}

/// Reads the configuration.
///
/// `env` is the process's environment as pairs of name and value.
///
/// # Errors
/// Every mistake of the file and of the environment; one mistake if the file cannot be read or is no TOML.
pub fn load(source: Source<'_>, env: &[(String, String)]) -> Result<Config, Mistakes> {
    let env = &twin::resolved(env).map_err(|mistake| Mistakes(vec![mistake]))?;
    match source {
        Source::File(path) => load_file(path, env),
        Source::Default => load_default(default_file(env, Path::new(STACK_FILE)), env),
    }
}

/// Only of the engine's image there is a file for such a pod.
fn default_file<'a>(env: &[(String, String)], stack: &'a Path) -> &'a Path {
    let in_pod = env.iter().any(|(name, value)| name == STACK_VARIABLE && !value.is_empty());
    if in_pod && stack.symlink_metadata().is_ok() { stack } else { Path::new(DEFAULT_FILE) }
}

fn load_default(path: &Path, env: &[(String, String)]) -> Result<Config, Mistakes> {
    match path.symlink_metadata() {
        // Only a file that surely is not there means the defaults: to ignore one that cannot be seen would start an
        // engine that nobody configured. A link to nothing was put there by somebody, too.
        Err(error) if error.kind() == io::ErrorKind::NotFound => read(BUILT_IN, None, env),
        _ => load_file(path, env),
    }
}

fn load_file(path: &Path, env: &[(String, String)]) -> Result<Config, Mistakes> {
    let file = path.to_string_lossy();
    let refuse = |what: String| Mistakes(vec![Mistake::of_file(&file, None, what)]);
    let bytes = regular::read(path, FILE_MAX + 1).map_err(|error| refuse(unreadable(&error)))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(refuse(format!(
            "longer than {FILE_MAX} bytes; this is no configuration, so check the path"
        )));
    }
    match String::from_utf8(bytes) {
        Ok(text) => read(&file, Some(&text), env),
        Err(error) => {
            let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            let what = "not UTF-8; save the file as UTF-8".to_owned();
            Err(Mistakes(vec![Mistake::of_file(&file, Some(line), what)]))
        }
    }
}

fn unreadable(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file; give --config the path of one, or leave --config out for the built-in defaults"
        }
        io::ErrorKind::IsADirectory => {
            "it is a directory, not a file; name the file in it (docker makes a directory where the file to be mounted is \
             missing on the host)"
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; make the file readable, and its folders searchable, for the user that runs this"
        }
        _ => return format!("cannot be read: {error}; check the path and the file system it is on"),
    };
    format!("cannot be read: {advice}")
}

/// Reads a configuration from its text; `None` means the built-in defaults. `file` is what messages call it. No I/O.
///
/// # Errors
/// Every mistake of the text and of the environment, in the order of the lines, the environment last; one mistake if the
/// text is no TOML.
pub fn read(file: &str, text: Option<&str>, env: &[(String, String)]) -> Result<Config, Mistakes> {
    let mut mistakes = Vec::new();
    let mut typed = match text.map(raw::file) {
        None => typed::Typed::built_in(file),
        Some(Ok(root)) => typed::Typed::of(file, &root, &mut mistakes),
        Some(Err((line, what))) => {
            return Err(Mistakes(vec![Mistake::of_file(file, line, format!("no valid TOML: {what}"))]));
        }
    };
    environment::apply(env, &mut typed, &mut mistakes);
    kinds::check(&typed, &mut mistakes);
    needs::check(&typed, &mut mistakes);
    match fill::fill(&typed) {
        Ok(config) => {
            conflicts::check(&typed, &config, &mut mistakes);
            if mistakes.is_empty() {
                return Ok(config);
            }
        }
        Err(mistake) => mistakes.push(mistake),
    }
    mistakes.sort_by_key(|mistake| (mistake.file == ENVIRONMENT, mistake.line.unwrap_or(usize::MAX)));
    Err(Mistakes(mistakes))
}

/// Reads a span of time as the configuration has them (`90s`, `1h30m`); `None` if it is none.
#[must_use]
pub fn span(text: &str) -> Option<std::time::Duration> {
    span::parse(text).ok()
}
