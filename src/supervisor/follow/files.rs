//! The files of a log collector, and how far each has been read.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use nix::libc;

/// How much is read at once, in bytes; a longer line goes in pieces.
const CHUNK: usize = 64 * 1024;
/// How many files are kept open: that which is written, and the one before it.
const OPEN: usize = 2;

#[derive(Debug)]
pub(super) struct Files {
    begun: SystemTime,
    known: BTreeMap<OsString, Known>,
}

#[derive(Debug)]
struct Known {
    inode: u64,
    read: u64,
    file: Option<File>,
}

impl Files {
    /// Files that were made after that moment are read from their beginning.
    pub(super) fn new(begun: SystemTime) -> Self {
        Files { begun, known: BTreeMap::new() }
    }

    /// What is in the folder has been seen, but for files that are younger than we are.
    pub(super) fn skip(&mut self, folder: &Path) {
        for (name, found) in list(folder) {
            let young = found.created().is_ok_and(|made| made >= self.begun);
            let read = if young { 0 } else { found.len() };
            self.known.insert(name, Known { inode: found.ino(), read, file: None });
        }
    }

    /// Passes on what is there and has not been read, in the order of the files' names, which is that of time.
    pub(super) fn read(&mut self, folder: &Path, out: &mut impl Write) -> io::Result<()> {
        let list = list(folder);
        self.known.retain(|name, _| list.iter().any(|(there, _)| there == name));
        let count = list.len();
        for (place, (name, found)) in list.into_iter().enumerate() {
            let known =
                self.known.entry(name.clone()).or_insert(Known { inode: found.ino(), read: 0, file: None });
            // Another one of the same name, or one that was emptied: from its beginning.
            if known.inode != found.ino() || found.len() < known.read {
                *known = Known { inode: found.ino(), read: 0, file: None };
            }
            if found.len() > known.read {
                known.pass_on(&folder.join(name), out)?;
            }
            if place + OPEN < count {
                known.file = None;
            }
        }
        out.flush()
    }
}

/// The collector's files, the oldest first: those in PostgreSQL's own form, by the usual name.
fn list(folder: &Path) -> Vec<(OsString, Metadata)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut list: Vec<_> = entries
        .filter(|entry| is_log(&entry.file_name()))
        .filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?)))
        .filter(|(_, found)| found.is_file())
        .collect();
    list.sort_by(|(a, _), (b, _)| a.cmp(b));
    list
}

fn is_log(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("postgresql-") && name.ends_with(".log"))
}

impl Known {
    fn pass_on(&mut self, path: &Path, out: &mut impl Write) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = OpenOptions::new();
                options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
                // Not readable, or gone: the next look tells.
                match options.open(path) {
                    Ok(file) => none.insert(file),
                    Err(_) => return Ok(()),
                }
            }
        };
        let mut buffer = vec![0; CHUNK];
        loop {
            let there = match file.read_at(&mut buffer, self.read) {
                Ok(n) => buffer.get(..n).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => &[],
            };
            // The rest of a line is read with its end, unless the line is longer than we read at once.
            let end = match there.iter().rposition(|&byte| byte == b'\n') {
                Some(at) => at + 1,
                None if there.len() == CHUNK => CHUNK,
                None => return Ok(()),
            };
            out.write_all(there.get(..end).unwrap_or_default())?;
            self.read += u64::try_from(end).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    fn said(files: &mut Files, folder: &Path) -> String {
        let mut out = Vec::new();
        files.read(folder, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn append(path: &Path, text: &str) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn what_is_added_is_passed_on_once_and_in_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("postgresql-1.log"), dir.path().join("postgresql-2.log"));
        append(&first, "old\n");
        let mut files = Files::new(SystemTime::now() + Duration::from_secs(60));
        files.skip(dir.path());
        assert_eq!(said(&mut files, dir.path()), "");
        append(&first, "one\ntw");
        append(&dir.path().join("postgresql-1.csv"), "no\n");
        assert_eq!(said(&mut files, dir.path()), "one\n");
        append(&second, "three\n");
        append(&first, "o\n");
        assert_eq!(said(&mut files, dir.path()), "two\nthree\n");
        // Emptied, and written to anew.
        fs::write(&first, "4\n").unwrap();
        assert_eq!(said(&mut files, dir.path()), "4\n");
        fs::remove_file(&first).unwrap();
        assert_eq!(said(&mut files, dir.path()), "");
        append(&first, "again, and longer than before\n");
        assert_eq!(said(&mut files, dir.path()), "again, and longer than before\n");
        let long = "x".repeat(CHUNK + 10);
        append(&second, &format!("{long}\n"));
        assert_eq!(said(&mut files, dir.path()), format!("{long}\n"));
    }

    #[test]
    fn a_file_that_is_younger_than_the_follower_is_read_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        append(&dir.path().join("postgresql-1.log"), "young\n");
        let mut files = Files::new(SystemTime::now() - Duration::from_secs(60));
        files.skip(dir.path());
        assert_eq!(said(&mut files, dir.path()), "young\n");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("postgresql-2.log")).unwrap();
        assert_eq!(said(&mut files, dir.path()), "");
    }
}
