//! The record of a start: taking it, and judging a pid file by it. What it proves stands in
//! [`crate::engine::record`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::evidence;
use super::halt::{Outcome, Trying};
use super::protocol::FileStamp;
use super::vigil;
use super::work::Work;
use crate::engine::pidfile::{self, PidFile};
use crate::engine::record::{self, FILE, Origin, Place, Record, Traces};
use crate::supervisor::procfs;

/// A postmaster makes its pid file before it does anything that takes time.
const PATIENCE: Duration = Duration::from_secs(30);

/// File systems that only one machine mounts at a time: who wrote there in another boot is dead. By `f_type` of
/// statfs(2): ext2/3/4, XFS, Btrfs, F2FS, ZFS, tmpfs.
const LOCAL: [u64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x2FC1_2FC1, 0x0102_1994];

/// Who wrote the pid file with these lines. `locked`: we hold the lock of the one keeper.
pub(super) fn origin(work: Work<'_>, data_dir: &Path, file: &PidFile, locked: bool) -> Origin {
    let record = evidence::read(&data_dir.join(FILE)).ok().and_then(|content| record::parse(&content));
    let local = rustix::fs::statfs(data_dir).is_ok_and(|found| LOCAL.contains(&found.f_type.cast_unsigned()));
    let here = here(work);
    let traces = Traces { record: record.as_ref(), lived: work.order.lived, here: &here, locked, local };
    record::origin(file, traces)
}

/// Who started the postmaster that the record names, for a person.
pub(super) fn last_start(data_dir: &Path) -> Option<String> {
    let record = record::parse(&evidence::read(&data_dir.join(FILE)).ok()?)?;
    let at = jiff::Timestamp::from_second(record.started).ok()?;
    let host = if record.host.is_empty() { "of no name" } else { &record.host };
    Some(format!("host {host} started process {} at {at}", record.postmaster))
}

/// The kernel's name of this host, at most as long as it allows one to be.
fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().chars().filter(|letter| !letter.is_control()).take(64).collect()
}

fn here(work: Work<'_>) -> Place {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Place {
        boot: boot.trim().to_owned(),
        pid_namespace: fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino()),
        init: work.order.init,
    }
}

/// Waits for `postmaster` to have made its pid file, which is another one than `stale`, and records it. What goes wrong
/// is told: the record only saves time.
///
/// # Errors
/// When the data directory cannot be found; interrupted on a stop.
pub(super) fn keep(work: Work<'_>, postmaster: i32, stale: Option<FileStamp>) -> Outcome<()> {
    let configured = &work.order.engine.data_dir;
    let data_dir = fs::canonicalize(configured).trying("resolve", configured)?;
    let path = data_dir.join("postmaster.pid");
    let deadline = Instant::now() + PATIENCE;
    let started = loop {
        // In this order: a postmaster that ends between the two leaves no file of its own.
        let lives = procfs::stat(postmaster).is_some_and(|stat| stat.state != 'Z');
        let fresh = vigil::stamp(&path).is_some_and(|found| Some(found) != stale);
        let file = evidence::read(&path).ok().and_then(|content| pidfile::parse(&content).ok());
        let wanted = |file: &PidFile| file.pid == postmaster && !file.standalone && file.started > 0;
        match file.filter(wanted).filter(|_| fresh) {
            Some(file) if lives => break file.started,
            _ if !lives || Instant::now() >= deadline => return Ok(()),
            _ => work.interrupt.pause(Duration::from_millis(2))?,
        }
    };
    if let Err(error) = write(&data_dir, &Record { place: here(work), host: host(), postmaster, started }) {
        work.report.warn(format!(
            "the start cannot be recorded in {}: {error}. After a kill of this container the next start may take two \
             minutes longer",
            data_dir.join(FILE).display()
        ));
    }
    Ok(())
}

/// One write into a file of fixed length: a kill leaves the earlier record or this one, a power loss at worst one that
/// cannot be read and proves nothing; and a full disk is no obstacle.
fn write(data_dir: &Path, record: &Record) -> io::Result<()> {
    let content = record::write(record).map_err(io::Error::other)?;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let path = data_dir.join(FILE);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path)?;
    file.write_all_at(&content, 0)?;
    file.sync_data()?;
    // Its name, which may just have been made.
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_record_is_overwritten_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { boot: "b".to_owned(), pid_namespace: 1, init: true };
        for postmaster in [1_234_567, 8] {
            let wanted = Record { place: place.clone(), host: "h".to_owned(), postmaster, started: 9 };
            write(dir.path(), &wanted).unwrap();
            let content = fs::read(dir.path().join(FILE)).unwrap();
            assert_eq!((record::parse(&content), content.len()), (Some(wanted), record::LENGTH));
        }
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("target"), "").unwrap();
        std::os::unix::fs::symlink(dir.path().join("target"), dir.path().join(FILE)).unwrap();
        let place = Place { boot: "b".to_owned(), pid_namespace: 1, init: true };
        assert!(
            write(dir.path(), &Record { place, host: String::new(), postmaster: 7, started: 9 }).is_err()
        );
        assert_eq!(fs::read(dir.path().join("target")).unwrap(), b"");
    }
}
