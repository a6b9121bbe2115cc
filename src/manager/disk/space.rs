//! The size of a file system.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

/// The size of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What is used.
    pub used: u64,
    /// What the engine's user can still use; what is kept for root is neither free nor used.
    pub free: u64,
    /// Which file system it is: two paths of one have the same number.
    pub device: u64,
}

/// That of the file system that a path is on. It waits where the disk hangs.
///
/// # Errors
/// The path cannot be looked at.
pub(crate) fn of(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    let unit = found.f_frsize.max(1);
    Ok(Space {
        total: found.f_blocks.saturating_mul(unit),
        used: found.f_blocks.saturating_sub(found.f_bfree).saturating_mul(unit),
        free: found.f_bavail.saturating_mul(unit),
        device: std::fs::metadata(path)?.dev(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_folder() {
        let space = of(Path::new("/")).unwrap();
        assert!(space.total > 0 && space.used + space.free <= space.total, "{space:?}");
        assert!(of(Path::new("/no/such/place")).is_err());
    }
}
