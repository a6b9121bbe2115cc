//! The lock file, looked at before every step that cannot be taken back.

use std::path::Path;

use super::halt::Outcome;
use super::protocol::Verdict;

/// Whether the lock file exists, by lstat: a dangling link locks, and so does a folder.
///
/// What cannot be looked at does not lock here: PID 1, which knows the last state, decided to start.
pub(super) fn exists(lock_file: &Path) -> bool {
    std::fs::symlink_metadata(lock_file).is_ok()
}

/// # Errors
/// [`Verdict::Locked`] while the lock file exists.
pub(super) fn look(lock_file: &Path) -> Outcome<()> {
    if exists(lock_file) { Err(Verdict::Locked.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_of_that_name_locks() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("ins_lock");
        assert!(look(&lock).is_ok());
        std::os::unix::fs::symlink("/nowhere", &lock).unwrap();
        assert!(look(&lock).is_err());
        std::fs::remove_file(&lock).unwrap();
        std::fs::create_dir(&lock).unwrap();
        assert!(look(&lock).is_err());
    }
}
