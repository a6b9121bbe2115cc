//! The one keeper of a data directory: a lock on the directory's own descriptor, which PID 1 holds for its life.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat};
use rustix::io::Errno;

use super::halt::{Outcome, Trying, refused, trouble};
use super::record;
use super::work::Work;
use crate::supervisor::procfs;

/// How long a first boot of a dead supervisor may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The data directory's descriptor.
pub(super) struct Keeper {
    descriptor: OwnedFd,
    /// Whether the lock is held; some file systems cannot lock.
    pub(super) locked: bool,
}

impl Keeper {
    /// For children that must hold the lock too.
    pub(super) fn lock(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Takes the lock, or takes it over from PID 1 (`inherited`), and hands a fresh one to PID 1.
///
/// # Errors
/// Refused when another supervisor holds it.
pub(super) fn take(work: Work<'_>, data_dir: &Path, inherited: Option<OwnedFd>) -> Outcome<Keeper> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(data_dir, flags, Mode::empty()).trying("open", data_dir)?;
    let here = fstat(&opened).trying("look at", data_dir)?;
    // A volume that was mounted over the directory since then is another directory.
    let same = inherited.filter(|descriptor| {
        fstat(descriptor).is_ok_and(|held| (held.st_dev, held.st_ino) == (here.st_dev, here.st_ino))
    });
    let (descriptor, fresh) = match same {
        Some(descriptor) => (descriptor, false),
        None => (opened, true),
    };
    let locked = lock(work, data_dir, &descriptor)?;
    if fresh {
        work.report
            .keeper(descriptor.as_fd())
            .map_err(|error| trouble("hand the lock of", data_dir.display(), error))?;
    }
    Ok(Keeper { descriptor, locked })
}

fn lock(work: Work<'_>, data_dir: &Path, descriptor: &OwnedFd) -> Outcome<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(descriptor, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => {
                if Instant::now() >= deadline {
                    return Err(taken(data_dir));
                }
                work.interrupt.pause(Duration::from_millis(25))?;
            }
            // EBADF: NFS turns it into a byte range lock, for which the descriptor would have to be writable.
            Err(error @ (Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::BADF)) => {
                if work.order.first {
                    work.report.warn(format!(
                        "THE FILE SYSTEM OF {} CANNOT LOCK ({error}): nothing keeps a second container from starting \
                         on the same data, which would destroy it. Make sure that there is only one",
                        data_dir.display()
                    ));
                }
                return Ok(false);
            }
            Err(error) => return Err(trouble("lock", data_dir.display(), error)),
        }
    }
}

fn taken(data_dir: &Path) -> super::halt::Halt {
    let mut holders: Vec<i32> =
        recorded_holder(data_dir).into_iter().filter(|pid| procfs::stat(*pid).is_some()).collect();
    for pid in procfs::holders(data_dir) {
        if !holders.contains(&pid) {
            holders.push(pid);
        }
    }
    let who: Vec<String> =
        holders.iter().take(3).map(|pid| format!("process {pid} ({})", procfs::title(*pid))).collect();
    let who = if who.is_empty() {
        "it runs as another user or in another container, and cannot be seen from here".to_owned()
    } else {
        who.join(", ")
    };
    let last = record::last_start(data_dir).map(|last| format!("; by its record {last}")).unwrap_or_default();
    refused(
        format!("another supervisor keeps the data directory {}: {who}{last}", data_dir.display()),
        "stop the other container or supervisor first, or use another data directory",
    )
}

/// The process that took the lock, by proc(5) `/proc/locks`: `1: FLOCK ADVISORY WRITE 708 08:01:2490383 0 EOF`. It may be
/// dead, for its children hold the lock as well.
fn recorded_holder(data_dir: &Path) -> Option<i32> {
    let inode = fs::metadata(data_dir).ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, pid, file) = (words.next()?, words.nth(2)?, words.next()?);
        (kind == "FLOCK" && file.rsplit(':').next()? == inode).then(|| pid.parse().ok())?
    })
}
