//! A place of its own for the write-ahead log (`POSTGRES_INITDB_WALDIR`).

use std::fs::{self, DirBuilder};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::halt::{Outcome, Trying, refused};
use super::stage;
use super::work::Work;
use crate::engine::stage::PREFIX;

/// The folder, held by a lock against a second first boot.
pub(super) struct WalDir {
    /// With every link resolved.
    pub(super) path: PathBuf,
    _lock: OwnedFd,
}

/// Makes the folder if it is missing, and sees that it is empty but for unfinished stages, which are removed.
///
/// # Errors
/// Refused when something is in it, or it lies in the data directory.
pub(super) fn take(work: Work<'_>, data_dir: &Path, configured: &Path) -> Outcome<WalDir> {
    if !configured.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(configured).trying("make", configured)?;
    }
    let path = fs::canonicalize(configured).trying("resolve", configured)?;
    let choose = "set POSTGRES_INITDB_WALDIR to an empty folder outside of the data directory";
    if path.starts_with(data_dir) || data_dir.starts_with(&path) {
        return Err(refused(
            format!("the folder of the write-ahead log {} and the data directory overlap", path.display()),
            choose,
        ));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let lock = rustix::fs::open(&path, flags, Mode::empty()).trying("open", &path)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
        return Err(refused(format!("another first boot uses {}", path.display()), choose));
    }
    let mut foreign = Vec::new();
    for entry in fs::read_dir(&path).trying("list", &path)? {
        let name = entry.trying("list", &path)?.file_name().to_string_lossy().into_owned();
        if name != "lost+found" && !name.starts_with(PREFIX) {
            foreign.push(name);
        }
    }
    if !foreign.is_empty() {
        foreign.sort();
        foreign.truncate(5);
        return Err(refused(
            format!(
                "the folder of the write-ahead log {} is not empty: {}",
                path.display(),
                foreign.join(", ")
            ),
            choose,
        ));
    }
    stage::discard_all(work, &path)?;
    Ok(WalDir { path, _lock: lock })
}
