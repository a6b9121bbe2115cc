//! What lies in the data directory, for the verdict.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

use crate::engine::datadir::{Entry, EntryKind, Listing};
use crate::engine::stage::{JOURNAL, PREFIX};

/// Lists the directory `folder`, whose resolved path is `path`. No link is followed.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn of(folder: impl AsFd, path: &Path, lock_file: &Path) -> io::Result<Listing> {
    let mut listing = Listing {
        // By name alone: the lock file's own path may lead here through links.
        lock_file_name: lock_file.file_name().map(|name| name.to_string_lossy().into_owned()),
        ..Listing::default()
    };
    if lock_file
        .parent()
        .is_some_and(|parent| parent != path && parent.canonicalize().is_ok_and(|at| at != path))
    {
        listing.lock_file_name = None;
    }
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let raw = entry.file_name().to_bytes();
        if raw == b"." || raw == b".." {
            continue;
        }
        let name = OsString::from_vec(raw.to_vec());
        let kind = match entry.file_type() {
            // Some file systems do not tell.
            FileType::Unknown => statat(&folder, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
            known => known,
        };
        if kind == FileType::Directory
            && name.to_string_lossy().starts_with(PREFIX)
            && is_complete(&folder, &name)
        {
            listing.complete_stage = Some(name.to_string_lossy().into_owned());
        }
        listing.entries.push(Entry { name: name.to_string_lossy().into_owned(), kind: kind_of(kind) });
    }
    Ok(listing)
}

fn kind_of(kind: FileType) -> EntryKind {
    match kind {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Dir,
        FileType::Symlink => EntryKind::Link,
        FileType::Socket => EntryKind::Socket,
        _ => EntryKind::Other,
    }
}

/// Whether the stage `name` holds a journal. A stage that may be complete but cannot be looked at counts as complete,
/// so that nobody discards it.
fn is_complete(folder: impl AsFd, name: &OsString) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(stage): Result<OwnedFd, _> = openat(folder, name.as_os_str(), flags, Mode::empty()) else {
        return true;
    };
    !matches!(statat(&stage, JOURNAL, AtFlags::SYMLINK_NOFOLLOW), Err(rustix::io::Errno::NOENT))
}
