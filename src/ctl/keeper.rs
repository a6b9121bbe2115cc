//! Whether a supervisor keeps a data directory: it holds a lock on the directory's own descriptor for its whole life, in
//! whatever container it runs.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::failure::Failure;
use super::place::Volume;
use crate::manager::{Site, turn};
use crate::supervisor::alone;

/// Who keeps a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// A supervisor.
    There,
    /// Nobody.
    Absent,
    /// That cannot be told, for this reason.
    Unknown(String),
}

/// How long one may seem kept that is only being started or stopped by another polarctl.
const PATIENCE: Duration = Duration::from_secs(2);
/// A process that is ending holds the lock until it has closed its descriptors.
const AT_LEAST: Duration = Duration::from_millis(100);
/// How often it is looked meanwhile.
const POLL: Duration = Duration::from_millis(10);

/// Looks who keeps the data directory of a volume.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn of(volume: &Volume) -> Result<Keeper, Failure> {
    let of_file = |error| Failure::of_file("looking for a supervisor", &volume.data_dir, &error);
    // Through the rights of its owner: root need not be able to look into it (no CAP_DAC_OVERRIDE, NFS).
    let looked = Site::new(volume.data_dir.clone()).as_owner(|| look_twice(&volume.data_dir));
    looked
        .map_err(|cause| of_file(io::Error::new(io::ErrorKind::PermissionDenied, cause.to_string())))?
        .map_err(of_file)
}

/// A polarctl that starts an engine is its keeper for a moment, and the child of one that was killed for another.
fn look_twice(data_dir: &Path) -> io::Result<Keeper> {
    let begin = Instant::now();
    loop {
        let keeper = look(data_dir)?;
        let waited = begin.elapsed();
        let passing = || waited < AT_LEAST || turn::is_taken(data_dir) || alone::is_at_work(data_dir);
        if keeper != Keeper::There || waited > PATIENCE || !passing() {
            return Ok(keeper);
        }
        std::thread::sleep(POLL);
    }
}

fn look(data_dir: &Path) -> io::Result<Keeper> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(data_dir, flags, Mode::empty())?;
    // Shared, so that two who look do not take each other for a supervisor.
    Ok(match flock(&directory, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Keeper::Absent,
        Err(Errno::WOULDBLOCK) => Keeper::There,
        Err(error) => Keeper::Unknown(format!("its file system cannot lock ({error})")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_the_lock_is_there() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path()).unwrap(), Keeper::Absent);
        let held = std::fs::File::open(dir.path()).unwrap();
        flock(&held, FlockOperation::NonBlockingLockShared).unwrap();
        assert_eq!(look(dir.path()).unwrap(), Keeper::Absent, "it looks as well");
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(look(dir.path()).unwrap(), Keeper::There);
        assert_eq!(look_twice(dir.path()).unwrap(), Keeper::There, "a test is no polarctl");
        drop(held);
        assert_eq!(look(dir.path()).unwrap(), Keeper::Absent);
        assert!(look(&dir.path().join("absent")).is_err());
    }
}
