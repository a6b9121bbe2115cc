//! Reading the engine's configuration as its postmaster will see it, without asking the engine.

mod line;
mod options;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use line::{Include, Line, is_parameter_name, parse_line, quote};

/// Includes may be this deep (PostgreSQL's `CONF_FILE_MAX_DEPTH`).
const MAX_DEPTH: usize = 10;
/// Files that are read before a configuration is taken for one that includes itself many times over. Ours to choose:
/// PostgreSQL has no such bound, and depth alone allows as many reads as the tenth power of the includes in a file.
const MAX_FILES: usize = 1000;

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
    let mut reader = Reader::default();
    let mut from_options = Settings::default();
    let mut option_warnings = Vec::new();
    for (name, value) in options::settings(options, &mut option_warnings) {
        from_options.set(&name, value);
    }
    let main = match from_options.get("config_file") {
        Some(path) => data_dir.join(path),
        None => data_dir.join("postgresql.conf"),
    };
    reader.file(&data_dir.join("polar_settings.conf"), true, 0);
    reader.file(&main, false, 0);
    reader.file(&data_dir.join("postgresql.auto.conf"), true, 0);
    let Reader { mut settings, mut warnings, .. } = reader;
    settings.by_name.extend(from_options.by_name);
    warnings.append(&mut option_warnings);
    (settings, warnings)
}

#[derive(Default)]
struct Reader {
    settings: Settings,
    warnings: Vec<String>,
    files: usize,
    /// The includes run in a circle: nothing more is read.
    given_up: bool,
}

impl Reader {
    fn file(&mut self, path: &Path, may_be_absent: bool, depth: usize) {
        if self.given_up {
            return;
        }
        self.files += 1;
        if depth > MAX_DEPTH || self.files > MAX_FILES {
            self.given_up = true;
            let what =
                format!("{}: the includes are nested too deeply; what follows is not read", path.display());
            self.warnings.push(what);
            return;
        }
        let text = match read_regular(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if may_be_absent && error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.warnings.push(format!("cannot read {}: {error}", path.display()));
                return;
            }
        };
        for (index, line) in text.split('\n').enumerate() {
            match parse_line(line) {
                Line::Blank => {}
                Line::Setting { name, value } => self.settings.set(&name, value),
                Line::Include { kind, path: target } => self.include(kind, path, &target, depth),
                Line::Broken(why) => self.warnings.push(format!("{}:{}: {why}", path.display(), index + 1)),
            }
        }
    }

    /// Relative paths start at the folder of the file that includes.
    fn include(&mut self, kind: Include, from: &Path, target: &str, depth: usize) {
        let target = from.parent().unwrap_or(Path::new("/")).join(target);
        match kind {
            Include::File => self.file(&target, false, depth + 1),
            Include::FileIfExists => self.file(&target, true, depth + 1),
            Include::Dir => match conf_files(&target) {
                Ok(files) => files.iter().for_each(|file| self.file(file, false, depth + 1)),
                Err(error) => {
                    self.warnings.push(format!("cannot read the folder {}: {error}", target.display()))
                }
            },
        }
    }
}

/// A named pipe would block for ever, a device never end.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    fs::read(path)
}

/// What `include_dir` reads: names that end in `.conf` and do not begin with a dot, no folders, sorted by bytes.
fn conf_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name());
    }
    names.retain(|name| {
        let name = name.as_bytes();
        name.ends_with(b".conf") && !name.starts_with(b".")
    });
    names.sort();
    Ok(names.into_iter().map(|name| dir.join(name)).filter(|path| !path.is_dir()).collect())
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
