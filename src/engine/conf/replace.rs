//! A file that is the old or the changed one after a crash or on a full disk, never a part of one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// What is to take a file's place: written beside it and whole on the disk, or not there at all. It goes with the value
/// unless it was put in place.
#[derive(Debug)]
pub struct Candidate {
    target: PathBuf,
    path: PathBuf,
    file: File,
    owner: (u32, u32),
}

impl Candidate {
    /// Writes it. `tag` tells candidates of several processes apart. A link is followed: the file it leads to is the one
    /// to be replaced.
    ///
    /// # Errors
    /// It could not be written (no space, for one), or there is no file in the place that it is to take; nothing is left
    /// of it then.
    pub fn write(path: &Path, content: &[u8], tag: &str) -> io::Result<Self> {
        let target = fs::canonicalize(path)?;
        let meta = fs::metadata(&target)?;
        if !meta.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{tag}"));
        let path = target.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(meta.mode() & 0o777);
        let file = match options.open(&path) {
            // Of one that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?;
                options.open(&path)?
            }
            file => file?,
        };
        let mut candidate = Candidate { target, path, file, owner: (meta.uid(), meta.gid()) };
        candidate.file.write_all(content)?;
        // What the umask has taken from it.
        candidate.file.set_permissions(Permissions::from_mode(meta.mode() & 0o777))?;
        candidate.file.sync_all()?;
        Ok(candidate)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it the owner of the file that it is to replace, by its descriptor. Apart from the rest, for where the rights
    /// of another user are borrowed they do not suffice.
    ///
    /// # Errors
    /// This user may not.
    pub fn keep_owner(&self) -> io::Result<()> {
        let meta = self.file.metadata()?;
        if (meta.uid(), meta.gid()) == self.owner {
            return Ok(());
        }
        fchown(&self.file, Some(self.owner.0), Some(self.owner.1))
    }

    /// Puts it in place, durably.
    ///
    /// # Errors
    /// It could not be; the old file is then still there.
    pub fn put_in_place(&self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        match self.target.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// After it was put in place its own name leads to nothing.
impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_the_place_with_mode_and_owner_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.conf");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let dropped = Candidate::write(&file, b"never", "1").unwrap();
        assert_eq!(fs::read(dropped.path()).unwrap(), b"never");
        drop(dropped);
        assert_eq!(
            (fs::read(&file).unwrap(), fs::read_dir(dir.path()).unwrap().count()),
            (b"old".to_vec(), 1)
        );
        // What one that was killed has left is in nobody's way.
        fs::write(dir.path().join(".a.conf.1"), "rest").unwrap();
        let candidate = Candidate::write(&file, b"changed", "1").unwrap();
        candidate.keep_owner().unwrap();
        candidate.put_in_place().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"changed");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Candidate::write(&dir.path().join("absent"), b"", "1").is_err());
    }

    #[test]
    fn a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.conf"), dir.path().join("link.conf"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Candidate::write(&link, b"changed", "1").unwrap().put_in_place().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"changed");
    }
}
