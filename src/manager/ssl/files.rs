//! The files of TLS in the data directory: read, and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::pem::Pem;
use crate::manager::cause::Cause;
use crate::manager::random;
use crate::manager::site::Site;

/// The engine takes no key that others may read; and who gave a certificate may have given its key in the same file.
const MODE: u32 = 0o600;
/// More bytes are not read of one.
const LONGEST: u64 = 1 << 20;
/// Begins the last part of the name of one that is being written.
const TAG: &str = "polarctl-";

/// A file as it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// What it holds.
    pub(super) text: Pem,
    /// Whether the engine takes it as a key: nobody but its user reads it, or it is root's and the group's.
    pub(super) closed: bool,
    /// When it took its place, in seconds since 1970.
    pub(super) since: f64,
}

/// A file, with the rights of the engine's user; `None`: there is none.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(site: &Site, path: &Path) -> Result<Option<Found>, Cause> {
    let (owner, _) = site.owner()?;
    let read: io::Result<Found> = site.as_owner(|| {
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        let meta = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        let since = meta.ctime() as f64 + meta.ctime_nsec() as f64 / 1e9;
        let closed = match meta.uid() {
            uid if uid == owner => meta.mode() & 0o077 == 0,
            uid => uid == 0 && meta.mode() & 0o037 == 0,
        };
        Ok(Found { text: Pem(bytes), closed, since })
    })?;
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Cause::of_file(path, error)),
    }
}

/// What a file is to be; `None`: not there.
pub(super) type Wanted = (PathBuf, Option<Pem>);

/// Writes them beside their places, all before the first takes its own: a full disk changes nothing.
///
/// # Errors
/// It could not be done; nothing is left of it.
pub(super) fn write(site: &Site, wanted: &[Wanted]) -> Result<Vec<Option<Unfinished>>, Cause> {
    let written: Result<Vec<_>, (&PathBuf, io::Error)> = site.as_owner(|| {
        sweep(&site.data_dir);
        let write = |(path, text): &Wanted| match text {
            Some(text) => Unfinished::write(path, &text.0).map(Some),
            None => Ok(None),
        };
        wanted.iter().map(|file| write(file).map_err(|error| (&file.0, error))).collect()
    })?;
    written.map_err(|(path, error)| Cause::of_file(path, error))
}

/// Puts them in place, durably. A link that has the name is replaced, and not followed.
///
/// # Errors
/// It could not be done; some may be in place.
pub(super) fn place(site: &Site, wanted: &[Wanted], written: Vec<Option<Unfinished>>) -> Result<(), Cause> {
    let placed: io::Result<()> = site.as_owner(|| {
        for ((path, _), unfinished) in wanted.iter().zip(&written) {
            match unfinished {
                Some(unfinished) => fs::rename(&unfinished.0, path)?,
                None => fs::remove_file(path).or_else(|error| match error.kind() {
                    ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })?,
            }
        }
        drop(written);
        File::open(&site.data_dir)?.sync_all()
    })?;
    placed.map_err(|error| Cause::of_file(&site.data_dir, error))
}

/// A file beside its place; it goes with the value, unless it was put there.
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    fn write(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let tag = u64::from_ne_bytes(random::bytes()?);
        let unfinished = Unfinished(path.with_file_name(format!(".{name}.{TAG}{tag:016x}")));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished.0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(unfinished)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what processes that were killed have left: keys among it. Nobody else writes any, for the turn is ours.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = [super::CERTIFICATE, super::KEY, super::AUTHORITY];
        if ours.iter().any(|file| name.starts_with(&format!(".{file}.{TAG}"))) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn replaced_as_a_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path().to_owned());
        let path = |name: &str| dir.path().join(name);
        let pem = |text: &str| Some(Pem(text.as_bytes().to_vec()));
        fs::write(path("elsewhere"), "elsewhere").unwrap();
        fs::set_permissions(path("elsewhere"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink(path("elsewhere"), path("server.crt")).unwrap();
        fs::write(path(".server.key.polarctl-7"), "of one that was killed").unwrap();
        let put = |wanted: &[Wanted]| write(&site, wanted).and_then(|written| place(&site, wanted, written));
        put(&[(path("server.key"), pem("key")), (path("server.crt"), pem("crt"))]).unwrap();
        let found = read(&site, &path("server.crt")).unwrap().unwrap();
        assert_eq!((found.text, found.closed), (Pem(b"crt".to_vec()), true));
        assert!(!read(&site, &path("elsewhere")).unwrap().unwrap().closed);
        assert_eq!(fs::read(path("elsewhere")).unwrap(), b"elsewhere");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        assert!(put(&[(path("server.key"), pem("x")), (path("no/server.crt"), pem("x"))]).is_err());
        assert_eq!(fs::read(path("server.key")).unwrap(), b"key");
        put(&[(path("server.key"), None), (path("root.crt"), None)]).unwrap();
        assert_eq!(read(&site, &path("server.key")).unwrap(), None);
    }
}
