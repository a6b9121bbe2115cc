//! The folders of logs and of the tablespace: outside of the data directory, where root may have to make what the
//! engine's user cannot.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::stage::open;
use crate::manager::cause::Cause;
use crate::manager::random;
use crate::manager::site::Site;
use crate::manager::user;

/// As the predecessor has these folders: whoever is of the engine's group cleans up there.
const MODE: u32 = 0o775;
/// The value of `log_directory` that PolarDB Stack's template has: there the folder is a link.
pub(super) const LINKED: &str = "log";

/// The folder of log files below `log_dir`.
pub(super) fn logs_of(log_dir: &Path) -> PathBuf {
    log_dir.join("pg_log")
}

/// Whether the folder is there and the engine's user's.
pub(super) fn is_there(site: &Site, path: &Path) -> Result<bool, Cause> {
    let (owner, _) = site.owner()?;
    Ok(fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == owner))
}

/// Makes a folder that is the engine's user's: as that user, or as root where only root could have got in the way.
///
/// # Errors
/// It cannot be made, or something else is there.
pub(super) fn make(site: &Site, path: &Path) -> Result<(), Cause> {
    if is_there(site, path)? {
        return Ok(());
    }
    let (uid, gid) = site.owner()?;
    let made: io::Result<()> = site.as_owner(|| {
        DirBuilder::new().mode(0o755).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(MODE))
    })?;
    let error = match made {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let roots = Uid::effective().is_root() && path.parent().is_some_and(only_root_changes);
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::AlreadyExists | ErrorKind::NotFound if roots => {
            as_root(path, (uid, gid)).map_err(|error| Cause::of_file(path, error))
        }
        ErrorKind::PermissionDenied => {
            let name = user::name_of(uid);
            let what = format!("the engine's user {name} may not make the folder {}", path.display());
            let next = format!("make it as root: install -d -m 0775 -o {uid} -g {gid} DIR");
            Err(Cause::invalid("bad_location", what, next))
        }
        ErrorKind::AlreadyExists => {
            let what = format!("{} is there, and no folder of the engine's user", path.display());
            Err(Cause::invalid("bad_location", what, "move it elsewhere, or give it to that user"))
        }
        _ => Err(Cause::of_file(path, error)),
    }
}

/// Takes away a link in the place of the folder of logs that leads into the data directory, as a supervisor makes one to
/// where its engine logs by itself. Another link is somebody's, and stays.
///
/// # Errors
/// It cannot be taken away.
pub(super) fn unlink(site: &Site, path: &Path) -> Result<(), Cause> {
    if !fs::read_link(path).is_ok_and(|target| target.starts_with(&site.data_dir)) {
        return Ok(());
    }
    let roots = Uid::effective().is_root() && path.parent().is_some_and(only_root_changes);
    let removed = if roots { fs::remove_file(path) } else { site.as_owner(|| fs::remove_file(path))? };
    removed.map_err(|error| Cause::of_file(path, error))
}

/// Root's part: what is missing of the way is root's, the last folder is made or, where it is empty, given away.
fn as_root(path: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    match DirBuilder::new().recursive(false).mode(0o755).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // The folder of all logs, on a machine that has none.
            if let Some(parent) = path.parent() {
                DirBuilder::new().mode(0o755).create(parent)?;
            }
            DirBuilder::new().mode(0o755).create(path)?;
        }
        made => made?,
    }
    let folder = open(path)?;
    if folder.metadata()?.uid() != uid && fs::read_dir(path)?.next().is_some() {
        return Err(io::Error::other("it is not empty, and belongs to another user"));
    }
    folder.set_permissions(Permissions::from_mode(MODE))?;
    fchown(&folder, Some(uid), Some(gid))
}

/// Whether no other user could exchange a name on the way to what is in a folder; one that is missing is judged by those
/// above it.
fn only_root_changes(folder: &Path) -> bool {
    folder.ancestors().all(|folder| match fs::symlink_metadata(folder) {
        Ok(meta) => {
            meta.is_dir() && meta.uid() == 0 && (meta.mode() & 0o022 == 0 || meta.mode() & 0o1000 != 0)
        }
        Err(error) => error.kind() == ErrorKind::NotFound,
    })
}

/// Makes `log` of the data directory a link to the folder of log files. What is in its place is moved aside, under a name
/// that is nobody's data.
///
/// # Errors
/// It cannot be made.
pub(super) fn link(site: &Site, target: &Path) -> Result<Option<String>, Cause> {
    let path = site.data_dir.join(LINKED);
    let linked: io::Result<Option<String>> = site.as_owner(|| {
        let mut aside = None;
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() && fs::read_link(&path)? == target => return Ok(None),
            Ok(meta) if meta.is_symlink() => fs::remove_file(&path)?,
            // Empty, or not.
            Ok(meta) if meta.is_dir() && fs::remove_dir(&path).is_ok() => {}
            Ok(_) => {
                let name = format!("ins_log_{:016x}", u64::from_ne_bytes(random::bytes()?));
                fs::rename(&path, site.data_dir.join(&name))?;
                aside = Some(format!("{} was no link: it is {name} there", path.display()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        symlink(target, &path)?;
        Ok(aside)
    })?;
    linked.map_err(|error| Cause::of_file(&path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_logs() {
        let dir = tempfile::tempdir().unwrap();
        let (data, target) = (dir.path().join("data"), dir.path().join("pg_log"));
        fs::create_dir_all(data.join("log")).unwrap();
        let site = Site::new(data.clone());
        make(&site, &target).unwrap();
        make(&site, &target).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, MODE);
        assert_eq!(link(&site, &target).unwrap(), None, "an empty folder gives way");
        assert_eq!(link(&site, &target).unwrap(), None);
        assert_eq!(fs::read_link(data.join("log")).unwrap(), target);
        fs::remove_file(data.join("log")).unwrap();
        fs::create_dir(data.join("log")).unwrap();
        fs::write(data.join("log/old.log"), "kept").unwrap();
        let aside = link(&site, &target).unwrap().unwrap();
        let name = aside.split_whitespace().find(|word| word.starts_with("ins_log_")).unwrap();
        assert_eq!(fs::read(data.join(name).join("old.log")).unwrap(), b"kept");
    }

    #[test]
    fn what_is_in_its_place_stays() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path().to_owned());
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(make(&site, &dir.path().join("file")).is_err());
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"x");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(!only_root_changes(&dir.path().join("absent")));
    }
}
