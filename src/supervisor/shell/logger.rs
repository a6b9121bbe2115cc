//! PID 1's own log, on its standard error.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// So much is held back at the most, in bytes.
const HELD_MAX: usize = 64 * 1024;

/// Lines that wait for the end of a turn.
static HELD: Mutex<Held> = Mutex::new(Held { on: false, lines: Vec::new(), stream: None });

struct Held {
    on: bool,
    lines: Vec<u8>,
    stream: Option<Stream>,
}

/// Where env_logger writes to.
struct Out;

impl Held {
    fn get() -> MutexGuard<'static, Held> {
        HELD.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if let Some(stream) = self.stream.as_ref().filter(|_| !lines.is_empty()) {
            stream.write_lines(&lines);
        }
    }
}

impl Write for Out {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut held = Held::get();
        held.lines.extend_from_slice(line);
        if !held.on || held.lines.len() >= HELD_MAX {
            held.write();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Holds lines back until [`release`]: the hundred of a stop of a hundred programs go out as one.
pub(crate) fn hold() {
    Held::get().on = true;
}

/// Writes what was held back, and each line at once from here on.
pub(crate) fn release() {
    let mut held = Held::get();
    held.on = false;
    held.write();
}

/// Writes what is held back, since what follows may take long.
pub(crate) fn flush() {
    Held::get().write();
}

/// Has a panic, which ends PID 1, write what is held back first: it tells what led there.
pub(crate) fn tell_before_a_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // It may be the writing itself that has failed.
        if let Ok(mut held) = HELD.try_lock() {
            held.write();
        }
        usual(panic);
    }));
}

/// Starts logging; a second call changes nothing but the level.
pub(crate) fn start(level: LogLevel, format: LogFormat, stream: Stream) {
    Held::get().stream.get_or_insert(stream);
    let mut builder = Builder::new();
    builder
        .filter_level(LevelFilter::Trace)
        .write_style(WriteStyle::Never)
        .target(Target::Pipe(Box::new(Out)));
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
