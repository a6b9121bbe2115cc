//! Every setting of every configuration file, in the order in which they count.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::line::{Include, Line, parse_line};
use super::{Settings, options};

/// Includes may be this deep (PostgreSQL's `CONF_FILE_MAX_DEPTH`).
const MAX_DEPTH: usize = 10;
/// Files that are read before a configuration is taken for one that includes itself many times over. Ours to choose:
/// PostgreSQL has no such bound, and depth alone allows as many reads as the tenth power of the includes in a file.
const MAX_FILES: usize = 1000;

/// Where a setting stands, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// `polar_settings.conf`: PolarDB's settings of all nodes of a cluster.
    Cluster,
    /// `postgresql.conf`.
    Main,
    /// A file that `postgresql.conf` includes; among the two the later line counts.
    Included,
    /// `postgresql.auto.conf`: ALTER SYSTEM.
    Auto,
    /// The engine's command line.
    CommandLine,
}

/// A setting that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The parameter, as written.
    pub name: String,
    /// Its value, without quotes and escapes.
    pub value: String,
    /// What kind of file it stands in.
    pub layer: Layer,
    /// The file; empty for the command line.
    pub file: PathBuf,
    /// Its line, counted from 1; 0 for the command line.
    pub line: usize,
}

/// A configuration, setting by setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// In the order in which they are applied: of several for one parameter the last counts.
    pub found: Vec<Found>,
    /// What could not be read or understood.
    pub warnings: Vec<String>,
}

impl Trace {
    /// All settings of a parameter, in whatever case; the last one counts and shadows the others.
    pub fn of<'a, 'n>(&'a self, name: &'n str) -> impl DoubleEndedIterator<Item = &'a Found> + use<'a, 'n> {
        self.found.iter().filter(move |found| found.name.eq_ignore_ascii_case(name))
    }

    /// The setting that counts.
    pub fn winner(&self, name: &str) -> Option<&Found> {
        self.of(name).next_back()
    }
}

/// Finds every setting of a data directory: those of PolarDB's `polar_settings.conf` where there is one, of
/// `postgresql.conf` (or what the option `config_file` names) with its includes, of `postgresql.auto.conf`, and of the
/// engine's command line. `main`: what `postgresql.conf` is taken to hold, instead of what it does.
///
/// Never fails: what cannot be read or understood becomes a warning, and the engine is the one to refuse it.
pub fn trace(data_dir: &Path, options: &[String], main: Option<&[u8]>) -> Trace {
    let mut from_options = Settings::default();
    let mut option_warnings = Vec::new();
    for (name, value) in options::settings(options, &mut option_warnings) {
        from_options.set(&name, value);
    }
    let path = match from_options.get("config_file") {
        Some(path) => data_dir.join(path),
        None => data_dir.join("postgresql.conf"),
    };
    let mut reader = Reader::default();
    reader.file(&data_dir.join("polar_settings.conf"), true, Layer::Cluster, 0);
    match main {
        Some(bytes) => reader.text(&path, bytes, Layer::Main, 0),
        None => reader.file(&path, false, Layer::Main, 0),
    }
    reader.file(&data_dir.join("postgresql.auto.conf"), true, Layer::Auto, 0);
    let mut trace = reader.trace;
    for (name, value) in from_options.by_name {
        let (file, line) = (PathBuf::new(), 0);
        trace.found.push(Found { name, value, layer: Layer::CommandLine, file, line });
    }
    trace.warnings.append(&mut option_warnings);
    trace
}

#[derive(Default)]
struct Reader {
    trace: Trace,
    files: usize,
    /// The includes run in a circle: nothing more is read.
    given_up: bool,
}

impl Reader {
    fn warn(&mut self, text: String) {
        self.trace.warnings.push(text);
    }

    fn file(&mut self, path: &Path, may_be_absent: bool, layer: Layer, depth: usize) {
        if self.given_up {
            return;
        }
        self.files += 1;
        if depth > MAX_DEPTH || self.files > MAX_FILES {
            self.given_up = true;
            self.warn(format!(
                "{}: the includes are nested too deeply; what follows is not read",
                path.display()
            ));
            return;
        }
        match read_regular(path) {
            Ok(bytes) => self.text(path, &bytes, layer, depth),
            Err(error) if may_be_absent && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.warn(format!("cannot read {}: {error}", path.display())),
        }
    }

    fn text(&mut self, path: &Path, bytes: &[u8], layer: Layer, depth: usize) {
        let text = String::from_utf8_lossy(bytes);
        for (index, line) in text.split('\n').enumerate() {
            match parse_line(line) {
                Line::Blank => {}
                Line::Setting { name, value } => {
                    self.trace.found.push(Found {
                        name,
                        value,
                        layer,
                        file: path.to_owned(),
                        line: index + 1,
                    });
                }
                Line::Include { kind, path: target } => self.include(kind, path, &target, layer, depth),
                Line::Broken(why) => self.warn(format!("{}:{}: {why}", path.display(), index + 1)),
            }
        }
    }

    /// Relative paths start at the folder of the file that includes.
    fn include(&mut self, kind: Include, from: &Path, target: &str, layer: Layer, depth: usize) {
        let target = from.parent().unwrap_or(Path::new("/")).join(target);
        let layer = if layer == Layer::Main { Layer::Included } else { layer };
        match kind {
            Include::File => self.file(&target, false, layer, depth + 1),
            Include::FileIfExists => self.file(&target, true, layer, depth + 1),
            Include::Dir => match conf_files(&target) {
                Ok(files) => files.iter().for_each(|file| self.file(file, false, layer, depth + 1)),
                Err(error) => self.warn(format!("cannot read the folder {}: {error}", target.display())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_and_what_it_shadows() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for (name, text) in [
            ("polar_settings.conf", "work_mem = 1MB\n"),
            ("postgresql.conf", "work_mem = 2MB\ninclude 'more.conf'\nWORK_MEM = 4MB\n"),
            ("more.conf", "\nwork_mem = 3MB\n"),
            ("postgresql.auto.conf", "# c\nwork_mem = '5MB'\n"),
        ] {
            fs::write(dir.join(name), text).unwrap();
        }
        let options = ["-c".to_owned(), "work_mem=6MB".to_owned()];
        let trace = super::trace(dir, &options, None);
        let all: Vec<_> =
            trace.of("Work_Mem").map(|found| (found.value.as_str(), found.layer, found.line)).collect();
        assert_eq!(
            all,
            [
                ("1MB", Layer::Cluster, 1),
                ("2MB", Layer::Main, 1),
                ("3MB", Layer::Included, 2),
                ("4MB", Layer::Main, 3),
                ("5MB", Layer::Auto, 2),
                ("6MB", Layer::CommandLine, 0),
            ]
        );
        assert_eq!(trace.winner("work_mem").map(|found| found.value.as_str()), Some("6MB"));
        let supposed = super::trace(dir, &[], Some(b"a = 1"));
        assert_eq!(supposed.of("a").count(), 1);
        assert_eq!(supposed.of("work_mem").count(), 2, "the other files are as they are");
    }
}
