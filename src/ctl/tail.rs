//! The end of a log that is a row of files, and what is added to it, over its rotation.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::failure::Failure;

/// How often it is looked for more.
pub(super) const POLL: Duration = Duration::from_millis(100);
/// So much is read at a time.
const BLOCK: u64 = 64 * 1024;
/// So much of one file is searched for its last lines.
const SEARCHED: u64 = 64 * 1024 * 1024;
/// A line that is longer is given in parts.
const LINE_MAX: usize = 1024 * 1024;

/// The files of a log.
#[derive(Debug, Clone)]
pub(crate) enum Files {
    /// Those of the engine's collector in this folder.
    Collector(PathBuf),
    /// One file, and the full ones beside it: `NAME.1` is the latest of those.
    Rotated(PathBuf),
}

impl Files {
    /// The files that are there, the oldest first.
    pub(crate) fn list(&self) -> Vec<PathBuf> {
        match self {
            Files::Collector(folder) => collector_files(folder),
            Files::Rotated(path) => {
                let numbered = (1..).map(|number| {
                    let mut name = path.clone().into_os_string();
                    name.push(format!(".{number}"));
                    PathBuf::from(name)
                });
                let there = |path: &PathBuf| path.symlink_metadata().is_ok();
                let mut files: Vec<PathBuf> = numbered.take_while(there).collect();
                files.reverse();
                files.extend(Some(path.clone()).filter(there));
                files
            }
        }
    }
}

/// By their times: `log_filename` may be anything. PolarDB's files of slow statements and of the audit are logs of
/// their own.
fn collector_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let other = ["_slow.log", "_audit.log"].iter().any(|suffix| name.ends_with(suffix));
        if !name.ends_with(".log") || other {
            continue;
        }
        // Of the entry itself: a link is none of the collector's files.
        if let Ok(meta) = entry.metadata()
            && meta.is_file()
            && let Ok(modified) = meta.modified()
        {
            files.push((modified, entry.path()));
        }
    }
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

/// Neither follows a link nor waits at a pipe: the files are another user's.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("this is no regular file"));
    }
    Ok(file)
}

/// Where the last `count` lines of a file's first `length` bytes begin, and how many of them there are.
fn begin_of_last(file: &mut File, length: u64, count: usize) -> io::Result<(u64, usize)> {
    let (mut end, mut lines) = (length, 0);
    let mut block = Vec::new();
    while end > 0 && count > 0 && length - end < SEARCHED {
        let begin = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(begin))?;
        block.clear();
        file.take(end - begin).read_to_end(&mut block)?;
        for (place, byte) in block.iter().enumerate().rev() {
            let at = begin + place as u64;
            // The newline at the very end begins no line.
            if *byte == b'\n' && at + 1 < length {
                lines += 1;
                if lines == count {
                    return Ok((at + 1, lines));
                }
            }
        }
        end = begin;
    }
    Ok(if length == 0 || count == 0 { (length, 0) } else { (end, lines + 1) })
}

/// A log as it is read on.
#[derive(Debug)]
pub(crate) struct Tail {
    files: Files,
    /// The file that is read, and how far.
    current: Option<(File, u64)>,
    /// The begin of a line whose end is not there yet.
    rest: Vec<u8>,
}

impl Tail {
    /// Gives the last `count` lines to `tell`.
    ///
    /// # Errors
    /// A file cannot be read, or `tell` failed.
    pub(crate) fn begin(
        files: Files,
        count: usize,
        tell: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut parts = Vec::new();
        let mut missing = count;
        for path in files.list().iter().rev() {
            let read = || -> io::Result<(File, u64, u64, usize)> {
                let mut file = open(path)?;
                let length = file.metadata()?.len();
                let (begin, lines) = begin_of_last(&mut file, length, missing)?;
                Ok((file, begin, length, lines))
            };
            match read() {
                Ok((file, begin, length, lines)) => {
                    missing = missing.saturating_sub(lines);
                    parts.push((file, begin, length));
                }
                // Pruned meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::of_file("reading the log", path, &error)),
            }
            if missing == 0 {
                break;
            }
        }
        let mut tail = Tail { files, current: None, rest: Vec::new() };
        for (file, begin, length) in parts.into_iter().rev() {
            tail.flush(tell)?;
            tail.current = Some((file, begin));
            tail.read(length, tell)?;
        }
        Ok(tail)
    }

    /// Gives what is there of a line without an end.
    ///
    /// # Errors
    /// `tell` failed.
    pub(crate) fn flush(
        &mut self,
        tell: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.rest.is_empty() { Ok(()) } else { tell(&std::mem::take(&mut self.rest)) }
    }

    /// Gives all that has come since, in this file and those after it.
    ///
    /// # Errors
    /// A file cannot be read, or `tell` failed.
    pub(crate) fn poll(
        &mut self,
        tell: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            // Looked for before the current file is read: what is in that one is whole once there is a next one.
            let next = self.next();
            if let Some((file, at)) = &mut self.current
                && file.metadata().is_ok_and(|meta| meta.len() < *at)
            {
                // Truncated: `log_truncate_on_rotation`.
                *at = 0;
                self.rest.clear();
            }
            self.read(u64::MAX, tell)?;
            let Some(next) = next else { return Ok(()) };
            self.flush(tell)?;
            match open(&next) {
                Ok(file) => self.current = Some((file, 0)),
                Err(_) => return Ok(()),
            }
        }
    }

    /// The file after the one that is read.
    fn next(&self) -> Option<PathBuf> {
        let files = self.files.list();
        let Some((current, _)) = &self.current else { return files.into_iter().next() };
        let identity = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        let own = current.metadata().map(identity).ok()?;
        let place =
            files.iter().position(|path| path.symlink_metadata().map(identity).is_ok_and(|id| id == own));
        match place {
            Some(place) => files.into_iter().nth(place + 1),
            // Ours is gone: all that are there came after it, or the last one did.
            None => files.into_iter().next_back(),
        }
    }

    fn read(
        &mut self,
        length: u64,
        tell: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some((file, at)) = &mut self.current else { return Ok(()) };
        let failed = |error: io::Error| Failure::failed("file", format!("reading the log: {error}"));
        file.seek(SeekFrom::Start(*at)).map_err(failed)?;
        let mut block = Vec::new();
        while *at < length {
            block.clear();
            let wanted = BLOCK.min(length - *at);
            let read = file.take(wanted).read_to_end(&mut block).map_err(failed)?;
            if read == 0 {
                break;
            }
            *at += read as u64;
            for part in block.split_inclusive(|byte| *byte == b'\n') {
                self.rest.extend_from_slice(part);
                if self.rest.last() == Some(&b'\n') {
                    self.rest.pop();
                } else if self.rest.len() < LINE_MAX {
                    continue;
                }
                tell(&std::mem::take(&mut self.rest))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn begun(files: Files, count: usize) -> (Tail, String) {
        let mut told = String::new();
        let mut tell = |line: &[u8]| {
            told.push_str(std::str::from_utf8(line).unwrap());
            told.push('|');
            Ok(())
        };
        let tail = Tail::begin(files, count, &mut tell).unwrap();
        (tail, told)
    }

    fn more(tail: &mut Tail) -> String {
        let mut told = String::new();
        tail.poll(&mut |line| {
            told.push_str(std::str::from_utf8(line).unwrap());
            told.push('|');
            Ok(())
        })
        .unwrap();
        told
    }

    #[test]
    fn the_last_lines_of_several_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let files = Files::Rotated(path.clone());
        assert_eq!(begun(files.clone(), 5).1, "");
        fs::write(dir.path().join("out.2"), "1\n2\n").unwrap();
        fs::write(dir.path().join("out.1"), "3\n\n").unwrap();
        fs::write(&path, "5\n6\n").unwrap();
        for (count, expected) in
            [(0, ""), (1, "6|"), (2, "5|6|"), (3, "|5|6|"), (5, "2|3||5|6|"), (9, "1|2|3||5|6|")]
        {
            assert_eq!(begun(files.clone(), count).1, expected, "{count}");
        }
        // Lines that are longer than a block.
        let long = "x".repeat(BLOCK as usize * 2);
        fs::write(&path, format!("a\n{long}\nb\n")).unwrap();
        assert_eq!(begun(files.clone(), 2).1, format!("{long}|b|"));
        assert_eq!(begun(files, 3).1, format!("a|{long}|b|"));
    }

    #[test]
    fn what_is_added_over_rotation_truncation_and_removal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let full = dir.path().join("out.1");
        append(&path, "a\nb");
        let (mut tail, told) = begun(Files::Rotated(path.clone()), 1);
        assert_eq!((told.as_str(), more(&mut tail).as_str()), ("", ""), "an unfinished line is awaited");
        append(&path, "c\nd\n");
        assert_eq!(more(&mut tail), "bc|d|");
        append(&path, "e\nf");
        fs::rename(&path, &full).unwrap();
        append(&path, "g\n");
        assert_eq!(more(&mut tail), "e|f|g|");
        fs::remove_file(&full).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(more(&mut tail), "");
        append(&path, "h\n");
        assert_eq!(more(&mut tail), "h|");
        fs::remove_file(&path).unwrap();
        append(&path, "i\n");
        assert_eq!(more(&mut tail), "i|");
    }

    #[test]
    fn a_collector_and_what_is_none_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, "secret\n").unwrap();
        let folder = dir.path().join("pg_log");
        fs::create_dir(&folder).unwrap();
        let (mut tail, _) = begun(Files::Collector(folder.clone()), 9);
        std::os::unix::fs::symlink(&secret, folder.join("z.log")).unwrap();
        fs::create_dir(folder.join("y.log")).unwrap();
        for name in ["a_slow.log", "a_audit.log", "a.csv"] {
            append(&folder.join(name), "other\n");
        }
        assert_eq!(more(&mut tail), "");
        append(&folder.join("a.log"), "one\n");
        assert_eq!(more(&mut tail), "one|");
        // Later by its time, though not by its name.
        append(&folder.join("Z.log"), "two\n");
        let later = SystemTime::now() + Duration::from_secs(10);
        File::options().append(true).open(folder.join("Z.log")).unwrap().set_modified(later).unwrap();
        assert_eq!(more(&mut tail), "two|");
        assert_eq!(begun(Files::Collector(folder), 9).1, "one|two|");
    }
}
