//! Names of stages: folders of a data directory in which a database is made, before it is moved into place.
//!
//! A first boot's is `.init-<16 hexadecimal digits>`, an installation's `.init-install-<the same>`: neither takes the
//! other's for its own.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// How the names of all stages begin.
pub const PREFIX: &str = ".init-";
/// How those of an installation begin.
pub const INSTALL_PREFIX: &str = ".init-install-";
/// The journal of a stage: it exists once the stage is complete.
pub const JOURNAL: &str = "complete";

/// Whether a first boot gives such names: somebody's `.init-backup` is none of ours, and is left alone.
pub fn is_first_boots(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(is_random)
}

/// Whether an installation gives such names.
pub fn is_installs(name: &str) -> bool {
    name.strip_prefix(INSTALL_PREFIX).is_some_and(is_random)
}

fn is_random(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Renames to a name that nothing has.
///
/// # Errors
/// `AlreadyExists` when something has it; whatever else went wrong.
pub fn rename_to_nothing(old: &Path, new: &Path) -> io::Result<()> {
    match renameat_with(CWD, old, CWD, new, RenameFlags::NOREPLACE) {
        // Some network file systems cannot; the one that works on a data directory has nobody beside it to take the name in between.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::symlink_metadata(new) {
            Ok(_) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(old, new),
            Err(error) => Err(error),
        },
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose() {
        for (name, first_boots, installs) in [
            (".init-0123456789abcdef", true, false),
            (".init-install-0123456789abcdef", false, true),
            (".init-install-0123456789abcde", false, false),
            (".init-0123456789ABCDEF", false, false),
            (".init-backup", false, false),
            (".init-install", false, false),
            ("init-0123456789abcdef", false, false),
        ] {
            assert_eq!((is_first_boots(name), is_installs(name)), (first_boots, installs), "{name}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, "old").unwrap();
        fs::write(&new, "kept").unwrap();
        assert_eq!(rename_to_nothing(&old, &new).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&new).unwrap(), "kept");
        fs::remove_file(&new).unwrap();
        rename_to_nothing(&old, &new).unwrap();
        assert_eq!(fs::read_to_string(&new).unwrap(), "old");
    }
}
