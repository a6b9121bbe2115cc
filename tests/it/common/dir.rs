//! The directories of one instance.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::machine::postgres_user;

/// A folder in `/tmp` that the engine's user can reach, removed with this value, after a panic too.
#[derive(Debug)]
pub struct TestDir(TempDir);

impl TestDir {
    /// Makes the folder, and in it what a container's image and volumes have: an empty `data` of root's, and `log`,
    /// `run` and `sock` of the engine's user.
    pub fn new() -> Self {
        let dir =
            Self(tempfile::Builder::new().prefix("pm-test-").tempdir_in("/tmp").expect("a folder in /tmp"));
        fs::set_permissions(dir.path(""), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path("data")).unwrap();
        for name in ["log", "run", "sock", "initdb.d"] {
            dir.folder(name);
        }
        dir
    }

    /// A path in the folder.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(relative)
    }

    /// Makes a folder that belongs to the engine's user.
    pub fn folder(&self, relative: impl AsRef<Path>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(&path).unwrap();
        give(&path);
        path
    }

    /// Writes a file that belongs to the engine's user.
    pub fn file(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path(relative);
        fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        give(&path);
        path
    }
}

/// Gives a file or folder to the engine's user.
pub fn give(path: &Path) {
    let user = postgres_user();
    chown(path, Some(user.uid), Some(user.gid))
        .unwrap_or_else(|error| panic!("chown {}: {error}", path.display()));
}
