//! PID 1's own log, on its standard error.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use env_logger::{Builder, Target, WriteStyle};
use jiff::Timestamp;
use log::LevelFilter;
use serde_json::json;

use super::stdio::Stream;
use crate::config::{LogFormat, LogLevel};

/// The target of lines that are about PID 1 and no program.
pub(crate) const SELF: &str = "polar-supervisor";

/// Whether lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Starts logging; a second call changes nothing but the level.
pub(crate) fn start(level: LogLevel, format: LogFormat, stream: Stream) {
    let mut builder = Builder::new();
    builder
        .filter_level(LevelFilter::Trace)
        .write_style(WriteStyle::Never)
        .target(Target::Pipe(Box::new(stream)));
    builder.format(|out, record| {
        let time = format!("{:.3}", Timestamp::now());
        // One message, one line: what comes from outside must not look like a line of ours.
        let message = record.args().to_string().replace('\n', "\\n");
        match JSON.load(Ordering::Relaxed) {
            false => writeln!(out, "{time} {:5} {}: {message}", record.level(), record.target()),
            true => {
                let level = record.level().as_str().to_ascii_lowercase();
                let line =
                    json!({"time": time, "level": level, "program": record.target(), "message": message});
                writeln!(out, "{line}")
            }
        }
    });
    // An error means that there is a logger already: it goes on.
    let _ = builder.try_init();
    set_level(level);
    set_format(format);
}

/// Changes how it is said.
pub(crate) fn set_format(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Changes what is said.
pub(crate) fn set_level(level: LogLevel) {
    log::set_max_level(match level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Trace => LevelFilter::Trace,
    });
}
