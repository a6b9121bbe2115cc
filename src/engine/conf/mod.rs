//! The engine's configuration: reading it as its postmaster will see it, without asking the engine, and changing one
//! setting of a file that people write too.
//!
//! | module | what it knows |
//! |---|---|
//! | `line` | one line, by the rules of PostgreSQL's scanner |
//! | `trace` | every setting of every file in the order in which they count: what wins, what is shadowed |
//! | `document` | a file whose settings are changed and whose other bytes are not |
//! | `replace` | a file that is the old or the changed one after a crash, never a part of one |
//! | `options` | the engine's command line |

mod document;
mod line;
mod options;
mod replace;
mod trace;

use std::collections::BTreeMap;
use std::path::Path;

pub use document::{Document, Where};
pub use line::{Include, Line, is_parameter_name, parse_line, quote, written};
pub use replace::Candidate;
pub use trace::{Found, Layer, Trace, trace};

/// Parameters by name; of several lines for one parameter the last wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    by_name: BTreeMap<String, String>,
}

impl Settings {
    /// The value of a parameter, in whatever case its name is written; `None` where nothing sets it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    fn set(&mut self, name: &str, value: String) {
        self.by_name.insert(name.to_ascii_lowercase(), value);
    }
}

/// Reads the configuration of a data directory: PolarDB's `polar_settings.conf` where there is one, `postgresql.conf`
/// (or what the option `config_file` names) with its includes, `postgresql.auto.conf`, and the engine's command line
/// options on top.
///
/// Never fails: what cannot be read or understood becomes a warning, and the engine is the one to refuse it.
pub fn read(data_dir: &Path, options: &[String]) -> (Settings, Vec<String>) {
    let trace = trace(data_dir, options, None);
    let mut settings = Settings::default();
    for found in trace.found {
        settings.set(&found.name, found.value);
    }
    (settings, trace.warnings)
}

/// A memory parameter in bytes: a number, a fraction allowed, with one of the units `B`, `kB`, `MB`, `GB`, `TB` (in this
/// case, as PostgreSQL has them), or without one, when it counts pieces of `unit` bytes. `None`: negative (`-1`, which
/// asks for a default), not a number, or too large.
pub fn memory_bytes(value: &str, unit: u64) -> Option<u64> {
    let value = value.trim();
    let number_end = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(value.len());
    let (number, suffix) = value.split_at(number_end);
    let unit = match suffix.trim() {
        "" => unit,
        "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let bytes = number.parse::<f64>().ok()? * unit as f64;
    // Rust's cast saturates; PostgreSQL would refuse a number of this size.
    (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests;
