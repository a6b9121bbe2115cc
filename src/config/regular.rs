//! Reading a file that is none of ours, by a process that must not wait for anybody.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_NOCTTY, O_NONBLOCK};

/// The device number of `/dev/null`, which is an empty file to many (null(4)).
const NULL: u64 = nix::libc::makedev(1, 3);

/// What a regular file holds, its first `max` bytes. A pipe, whose writer may never come, is none; nor could it be read
/// again at a reload.
///
/// # Errors
/// It cannot be read, or is something else.
pub(super) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK | O_NOCTTY).open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() && found.rdev() != NULL {
        return Err(io::Error::other("not a regular file (a pipe cannot be read again at a reload)"));
    }
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}
