//! A file of bounded size, and the full ones before it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, fchown, fstat, openat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::folder;
use crate::config::OutputFile;

/// A file that lines are appended to. Its folder is reached once, and all that is done in it is done by the folder's
/// descriptor: its owner may exchange what lies there, and only harms himself.
#[derive(Debug, Default)]
pub(super) struct Log {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    folder: OwnedFd,
    name: OsString,
    file: OwnedFd,
    written: u64,
    /// Whether the last byte that was written is no newline.
    mid_line: bool,
}

impl Log {
    /// Closes it; the next line opens whatever has the name then.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Opens it.
    ///
    /// # Errors
    /// What the kernel says; something that is no regular file of its own.
    pub(super) fn open(&mut self, to: &OutputFile, mid_line: bool) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(Open::new(&to.file, mid_line)?);
        }
        Ok(())
    }

    /// Appends lines, and moves the file aside whenever it is full. A line is cut only if it is longer than a whole file.
    /// The number is how many bytes went in, all unless there was an error.
    pub(super) fn append(
        &mut self,
        to: &OutputFile,
        bytes: &[u8],
        mid_line: bool,
    ) -> (usize, io::Result<()>) {
        let mut done = 0;
        let result = self.try_append(to, bytes, mid_line, &mut done);
        if result.is_err() {
            // What is in the way may be the file itself: somebody may remove it to make room.
            self.close();
        }
        (done, result)
    }

    fn try_append(
        &mut self,
        to: &OutputFile,
        bytes: &[u8],
        mid_line: bool,
        done: &mut usize,
    ) -> io::Result<()> {
        while let Some(rest) = bytes.get(*done..).filter(|rest| !rest.is_empty()) {
            self.open(to, mid_line || *done > 0)?;
            let Some(open) = self.open.as_mut() else { return Ok(()) };
            let room = usize::try_from(to.size.saturating_sub(open.written)).unwrap_or(usize::MAX);
            let piece = match rest.get(..room) {
                // All of it, or as much as fits: whole lines.
                None => rest,
                Some(fits) => match fits.iter().rposition(|&byte| byte == b'\n') {
                    Some(at) => rest.get(..=at).unwrap_or(rest),
                    None if open.written == 0 => rest.get(..room.max(1)).unwrap_or(rest),
                    None => &[],
                },
            };
            if piece.is_empty() {
                open.rotate(to.keep)?;
                self.open = None;
                continue;
            }
            match rustix::io::write(&open.file, piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    *done += n;
                    open.written += u64::try_from(n).unwrap_or(0);
                    open.mid_line = piece.get(n - 1).is_some_and(|&byte| byte != b'\n');
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Open {
    fn new(path: &Path, mid_line: bool) -> io::Result<Self> {
        let (parent, name) =
            path.parent().zip(path.file_name()).ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        let folder = folder::open(parent)?;
        // RDWR, for its last byte is looked at. NONBLOCK: a pipe that was planted in its place must not hold us.
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let made = openat(&folder, name, flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o640));
        let file = match made {
            Ok(file) => {
                // Whoever owns the folder by his group may read; not permitted, it stays ours alone.
                let _ = fstat(&folder).map(|stat| fchown(&file, None, Some(group(&stat))));
                file
            }
            Err(Errno::EXIST) => match openat(&folder, name, flags, Mode::empty()) {
                Ok(file) => file,
                Err(Errno::LOOP) => return Err(not_its_own("it is a link")),
                Err(Errno::NXIO) => return Err(not_its_own("it is no regular file")),
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_its_own("it is no regular file"));
        }
        if stat.st_nlink > 1 {
            return Err(not_its_own("it has another name too"));
        }
        let mut open = Open {
            folder,
            name: name.to_owned(),
            file,
            written: u64::try_from(stat.st_size).unwrap_or(0),
            mid_line,
        };
        open.begin_line()?;
        Ok(open)
    }

    /// A writer before us may have died within a line.
    fn begin_line(&mut self) -> io::Result<()> {
        let mut last = [b'\n'];
        if self.written > 0 && !self.mid_line {
            rustix::io::pread(&self.file, &mut last, self.written - 1)?;
            if last != [b'\n'] {
                rustix::io::write(&self.file, b"\n")?;
                self.written += 1;
            }
        }
        Ok(())
    }

    /// `NAME` becomes `NAME.1`, that `NAME.2`, and so on; the last one goes.
    fn rotate(&self, keep: u32) -> io::Result<()> {
        let name = |number: u32| {
            let mut name = self.name.clone();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            name
        };
        let folder = self.folder.as_fd();
        let exists = |number| statat(folder, name(number), AtFlags::SYMLINK_NOFOLLOW).is_ok();
        // Those that a shorter count than before leaves over.
        let surplus = (keep.saturating_add(1)..).take_while(|&number| exists(number)).take(100);
        for number in surplus {
            unlinkat(folder, name(number), AtFlags::empty())?;
        }
        if keep == 0 {
            return Ok(unlinkat(folder, name(0), AtFlags::empty())?);
        }
        let gap = (1..keep).find(|&number| !exists(number)).unwrap_or(keep);
        for number in (0..gap).rev() {
            match renameat_with(folder, name(number), folder, name(number + 1), RenameFlags::empty()) {
                // Somebody has taken it away already.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn group(stat: &Stat) -> rustix::fs::Gid {
    rustix::fs::Gid::from_raw(stat.st_gid)
}

fn not_its_own(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{what}; nothing is written through it: remove it, or give another file"),
    )
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
