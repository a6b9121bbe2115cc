//! A file of lines that many processes add to, and that turns over by size: no line is lost, none is torn.
//!
//! Whoever adds a line holds an flock on a file beside it whose name never changes (the log's own name goes from file to
//! file). Under it the size tells whether the line still fits, full files are renamed, and a line that the disk took only
//! a part of is cut off again. A process that keeps the file open looks whether it still has the name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::manager::user::acting_as;

/// How often the lock is tried.
const POLL: Duration = Duration::from_micros(200);
/// Whoever may read the folder may read the log: it holds no secret.
const MODE: u32 = 0o644;

/// Adds lines to a file.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    lock: PathBuf,
    size: u64,
    keep: u32,
    patience: Duration,
    open: Option<Open>,
}

/// The files, as long as they have their names.
#[derive(Debug)]
struct Open {
    lock: File,
    file: File,
}

impl Appender {
    /// A file that turns over before it is longer than `size` bytes; `keep` full ones are kept as `path.1` (the youngest)
    /// and so on. `patience`: how long others may hold it. Its lock is `.NAME.lock`, which no collector of `*.log` takes
    /// for a log.
    #[must_use]
    pub fn new(path: PathBuf, size: u64, keep: u32, patience: Duration) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = path.with_file_name(format!(".{name}.lock"));
        Appender { path, lock, size, keep, patience, open: None }
    }

    /// With a lock of another name, in the same folder.
    #[must_use]
    pub fn locked_by(mut self, name: &str) -> Self {
        self.lock = self.path.with_file_name(name);
        self
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line, which ends with a line end. As root it acts as the user that the folder belongs to.
    ///
    /// # Errors
    /// It was not added; nothing of it is in the file.
    pub fn append(&mut self, line: &str) -> io::Result<()> {
        let folder = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let meta = fs::metadata(folder)?;
        acting_as((meta.uid(), meta.gid()), || self.append_as_owner(line))?
    }

    fn append_as_owner(&mut self, line: &str) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) if has_name(&open.lock, &self.lock) => open,
            _ => Open { lock: open_file(&self.lock)?, file: open_file(&self.path)? },
        };
        self.take_lock(&open.lock)?;
        let added = self.add(&mut open, line);
        // The end of the descriptor would do as well; this one is kept.
        let _ = flock(&open.lock, FlockOperation::Unlock);
        if added.is_ok() {
            self.open = Some(open);
        }
        added
    }

    fn take_lock(&self, lock: &File) -> io::Result<()> {
        let begin = Instant::now();
        loop {
            match flock(lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::WOULDBLOCK) if begin.elapsed() < self.patience => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let text = "another process holds its lock and does not let go";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(POLL);
        }
    }

    fn add(&self, open: &mut Open, line: &str) -> io::Result<()> {
        if !has_name(&open.file, &self.path) {
            open.file = open_file(&self.path)?;
        }
        let mut length = open.file.metadata()?.len();
        if length > 0 && length + line.len() as u64 > self.size {
            self.turn_over()?;
            open.file = open_file(&self.path)?;
            length = open.file.metadata()?.len();
        }
        // Who was killed while writing has left a part of a line: it is ended, so that this one is whole.
        let torn = length > 0 && !ends_a_line(&open.file, length)?;
        let end = if torn { "\n" } else { "" };
        let written = open.file.write_all(format!("{end}{line}").as_bytes());
        if written.is_err() {
            // A part of it may be there.
            open.file.set_len(length)?;
        }
        written
    }

    fn turn_over(&self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.keep == 0 { fs::remove_file(&self.path) } else { fs::rename(&self.path, self.numbered(1)) }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{name}.{number}"))
    }
}

fn ends_a_line(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, length - 1)?;
    Ok(last == *b"\n")
}

fn has_name(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Neither a link nor a pipe in its place is followed or waited for.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(MODE);
    let file = options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appender(dir: &Path, size: u64, keep: u32) -> Appender {
        Appender::new(dir.join("a.log"), size, keep, Duration::from_millis(50))
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap_or_default()
    }

    #[test]
    fn it_turns_over_by_size_and_keeps_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut log = appender(dir, 10, 2);
        for line in ["one\n", "two\n", "three\n", "four\n", "a long line\n", "end\n"] {
            log.append(line).unwrap();
        }
        assert_eq!(read(dir, "a.log"), "end\n");
        assert_eq!(read(dir, "a.log.1"), "a long line\n", "a line that is longer has a file of its own");
        assert_eq!(read(dir, "a.log.2"), "four\n");
        assert!(!dir.join("a.log.3").exists());
    }

    #[test]
    fn after_a_part_of_a_line_comes_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.log"), "one\nof one that was kil").unwrap();
        let mut log = appender(dir.path(), 1000, 2);
        log.append("two\n").unwrap();
        log.append("three\n").unwrap();
        assert_eq!(read(dir.path(), "a.log"), "one\nof one that was kil\ntwo\nthree\n");
    }

    #[test]
    fn it_follows_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut log = appender(dir, 1000, 2);
        log.append("one\n").unwrap();
        fs::rename(dir.join("a.log"), dir.join("moved")).unwrap();
        log.append("two\n").unwrap();
        fs::remove_file(dir.join(".a.log.lock")).unwrap();
        fs::remove_file(dir.join("a.log")).unwrap();
        log.append("three\n").unwrap();
        assert_eq!((read(dir, "moved"), read(dir, "a.log")), ("one\n".into(), "three\n".into()));
    }

    #[test]
    fn who_does_not_let_go_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let lock = File::create(dir.path().join(".a.log.lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let error = appender(dir.path(), 10, 2).append("one\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(read(dir.path(), "a.log"), "");
    }

    #[test]
    fn what_stands_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        std::os::unix::fs::symlink(dir.join("victim"), dir.join("a.log")).unwrap();
        assert!(appender(dir, 10, 2).append("one\n").is_err(), "a link");
        assert!(!dir.join("victim").exists());
        fs::remove_file(dir.join("a.log")).unwrap();
        fs::create_dir(dir.join("a.log")).unwrap();
        assert!(appender(dir, 10, 2).append("one\n").is_err(), "a folder");
        assert!(appender(&dir.join("absent"), 10, 2).append("one\n").is_err(), "no folder");
    }
}
