//! Lying in wait beside a pid file that may be a living postmaster's in another container.
//!
//! A postmaster opens its `postmaster.pid` for writing once a minute, to see that it is still its own
//! (`RecheckDataDirLockFile` in PostgreSQL's main loop, all versions), and may sleep for another minute before it does.
//! The kernel tells of that over all namespaces of the machine (inotify), and nobody else opens the file so: `pg_ctl
//! status`, backups and people read it. So a file that nobody opens for writing for two minutes and a bit belongs to no
//! running postmaster of this machine.
//!
//! What this does not see: a postmaster on another machine that shares a network file system; one that is frozen
//! (`docker pause`); a standalone backend (`postgres --single`) in another container, which never looks.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::halt::{Outcome, wait};
use super::protocol::FileStamp;
use super::work::Work;
use crate::engine::pidfile::Patience;

/// [`Patience::Grace`]: three times what was measured.
const GRACE: Duration = Duration::from_secs(1);
/// [`Patience::Vigil`]: a minute between two looks of a postmaster, a minute that it may oversleep, and some seconds for
/// a loaded machine.
const VIGIL: Duration = Duration::from_secs(125);
/// How often the file, its socket and its port are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vigil {
    /// Nothing stirred.
    Undisturbed,
    /// The file has gone or become another: what was judged is out of date.
    Disturbed,
}

/// The file at `path` as it lies there, looked at without opening it; `None`: there is none.
pub(super) fn stamp(path: &Path) -> Option<FileStamp> {
    fs::symlink_metadata(path).ok().map(|found| FileStamp::of(&found))
}

/// Waits beside the file at `path`, which lay there as `judged`; `about` says what for, `accepts` where
/// something accepts that would belong to its postmaster.
///
/// # Errors
/// A wait when a postmaster gives a sign of life; interrupted on a stop.
pub(super) fn keep(
    work: Work<'_>,
    path: &Path,
    judged: Option<FileStamp>,
    patience: Patience,
    about: &str,
    accepts: impl Fn() -> Option<String>,
) -> Outcome<Vigil> {
    let (longest, watch) = match patience {
        Patience::AtOnce => return Ok(Vigil::Undisturbed),
        Patience::Grace => {
            work.report.note(format!("{}: {about}: starting after {} s", path.display(), GRACE.as_secs()));
            (GRACE, None)
        }
        Patience::Vigil => {
            let longest = shortened(VIGIL);
            let watch = watch(path);
            if let Err(error) = &watch {
                work.report.warn(format!("{} cannot be watched ({error}), only waited for", path.display()));
            }
            work.report.warn(format!(
                "{}: {about}. A postmaster of another container may be using this database: starting after {} s, if \
                 nothing shows that one lives until then. If there is surely none, remove the file and the start is at \
                 once",
                path.display(),
                longest.as_secs()
            ));
            (longest, watch.ok())
        }
    };
    let deadline = Instant::now() + longest;
    loop {
        if stamp(path) != judged {
            return Ok(Vigil::Disturbed);
        }
        if watch.as_ref().is_some_and(stirred) {
            return Err(wait(format!(
                "{}: a process that cannot be seen from here has looked after it, as only a living postmaster does: \
                 another container serves this database. Stop that container",
                path.display()
            )));
        }
        if let Some(place) = accepts() {
            return Err(wait(format!(
                "{}: something accepts on {place}: a postmaster of another container may use this data directory",
                path.display()
            )));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        work.interrupt.pause(left.min(LOOK))?;
    }
    if patience == Patience::Vigil {
        let seconds = longest.as_secs();
        work.report.note(format!(
            "{}: nobody has looked after it for {seconds} s: its postmaster is dead",
            path.display()
        ));
    }
    Ok(Vigil::Undisturbed)
}

/// Waits where our postmaster has removed the pid file of a second one: that one misses its file at its next look, and
/// ends itself.
///
/// # Errors
/// Interrupted on a stop.
pub(super) fn over_nothing(work: Work<'_>, path: &Path) -> Outcome<Vigil> {
    let longest = shortened(VIGIL);
    work.report.warn(format!(
        "{} named another server while ours served, and is gone: starting after {} s, in which that server must have \
         missed its file and ended itself",
        path.display(),
        longest.as_secs()
    ));
    let deadline = Instant::now() + longest;
    while Instant::now() < deadline {
        if stamp(path).is_some() {
            return Ok(Vigil::Disturbed);
        }
        work.interrupt.pause(LOOK)?;
    }
    Ok(Vigil::Undisturbed)
}

/// Has the kernel tell of whoever closes the file after having opened it for writing.
fn watch(path: &Path) -> io::Result<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, path, WatchFlags::CLOSE_WRITE | WatchFlags::DONT_FOLLOW)?;
    Ok(watch)
}

/// Whether the kernel has told of anything.
fn stirred(watch: &OwnedFd) -> bool {
    let mut event = [0; 1024];
    rustix::io::read(watch, &mut event).is_ok_and(|length| length > 0)
}

/// For the tests (cargo feature `failpoints`): `POLAR_FAILPOINT_VIGIL` is the length of the long wait in seconds.
#[cfg(feature = "failpoints")]
fn shortened(longest: Duration) -> Duration {
    let wanted = std::env::var("POLAR_FAILPOINT_VIGIL").ok().and_then(|text| text.parse().ok());
    wanted.map_or(longest, Duration::from_secs)
}

/// As long as it is: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
fn shortened(longest: Duration) -> Duration {
    longest
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a_postmasters_look_is_told_from_a_readers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postmaster.pid");
        fs::write(&path, "7\n").unwrap();
        let watch = watch(&path).unwrap();
        let lying = stamp(&path);
        fs::read(&path).unwrap();
        fs::metadata(&path).unwrap();
        assert!(!stirred(&watch));
        drop(OpenOptions::new().read(true).write(true).open(&path).unwrap());
        assert!(stirred(&watch) && !stirred(&watch));
        assert_eq!(stamp(&path), lying, "a look changes nothing");
    }

    #[test]
    fn a_change_and_another_file_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postmaster.pid");
        let absent = stamp(&path);
        fs::write(&path, "7\n").unwrap();
        let first = stamp(&path);
        assert_ne!(first, absent);
        let other = dir.path().join("other");
        fs::write(&other, "7\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(stamp(&path), first);
    }
}
