//! A walk along a path that root may trust: no name on it can be exchanged by another user between look and deed.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fchmod, fchown, fstat, mkdirat, openat, readlinkat, statat,
};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

/// How many links a path may have; the kernel's own limit (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// How far a path exists.
pub(in crate::supervisor) struct Walk {
    /// The deepest folder of the path that exists, opened with `O_PATH`.
    folder: OwnedFd,
    /// Its path, with every link resolved.
    pub(super) path: PathBuf,
    /// The names below it that do not exist.
    pub(in crate::supervisor) missing: Vec<OsString>,
    /// Whether each folder in which a name was looked up lets only root change its names.
    pub(super) trusted: bool,
}

/// Follows `path`, which is absolute. Links are followed only while the walk is trusted and the link is root's:
/// whoever may place a link could otherwise lead root anywhere.
///
/// # Errors
/// When a folder cannot be opened, a component is no folder, or a link is not to be trusted.
pub(in crate::supervisor) fn walk(path: &Path) -> io::Result<Walk> {
    let mut names: VecDeque<OsString> = names(path);
    let mut folder = root()?;
    let mut at = PathBuf::from("/");
    let mut trusted = true;
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == OsStr::new("..") {
            folder =
                openat(&folder, "..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            at.pop();
            continue;
        }
        trusted &= only_root_changes(&fstat(&folder)?);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = match openat(&folder, name.as_os_str(), flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                let missing: Vec<OsString> = std::iter::once(name).chain(names).collect();
                if missing.iter().any(|name| name == OsStr::new("..")) {
                    return Err(Errno::NOENT.into());
                }
                return Ok(Walk { folder, path: at, missing, trusted });
            }
            Err(error) => return Err(error.into()),
        };
        let found = fstat(&next)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                folder = next;
                at.push(name);
            }
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                if !trusted || found.st_uid != 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        format!(
                            "{} is a link that others than root could have placed",
                            at.join(&name).display()
                        ),
                    ));
                }
                let target =
                    PathBuf::from(OsString::from_vec(readlinkat(&next, "", Vec::new())?.into_bytes()));
                if target.is_absolute() {
                    folder = root()?;
                    at = PathBuf::from("/");
                }
                for name in self::names(&target).into_iter().rev() {
                    names.push_front(name);
                }
            }
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    Ok(Walk { folder, path: at, missing: Vec::new(), trusted })
}

fn root() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/", flags, Mode::empty())?)
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Whether nobody but root can exchange an entry that root owns: root's folder, and either writable for no one else or
/// sticky, as `/tmp` is.
pub(in crate::supervisor) fn only_root_changes(folder: &Stat) -> bool {
    folder.st_uid == 0 && (folder.st_mode & 0o022 == 0 || folder.st_mode & 0o1000 != 0)
}

impl Walk {
    /// What is known of the deepest folder.
    pub(super) fn stat(&self) -> io::Result<Stat> {
        Ok(fstat(&self.folder)?)
    }

    /// Whether nobody but root can add a name to the deepest folder.
    pub(super) fn only_root_writes(&self) -> io::Result<bool> {
        let found = self.stat()?;
        Ok(self.trusted && found.st_uid == 0 && found.st_mode & 0o022 == 0)
    }

    /// The deepest folder itself, as it was found.
    pub(in crate::supervisor) fn into_folder(self) -> OwnedFd {
        self.folder
    }

    /// The deepest folder, opened for reading and for `fchown`.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        open_folder(&self.folder, OsStr::new("."))
    }

    /// Makes what is missing: the last folder with this owner and mode, those above it root's own.
    ///
    /// # Errors
    /// When the walk is not trusted, or a folder cannot be made.
    pub(in crate::supervisor) fn make(mut self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        if !self.trusted || !only_root_changes(&self.stat()?) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("others than root can change names in {}", self.path.display()),
            ));
        }
        let last = self.missing.len();
        for (index, name) in std::mem::take(&mut self.missing).into_iter().enumerate() {
            mkdirat(&self.folder, name.as_os_str(), Mode::from_raw_mode(0o700))?;
            let made = open_folder(&self.folder, &name)?;
            if index + 1 == last {
                // In this order: afterwards only CAP_FOWNER could.
                fchmod(&made, Mode::from_raw_mode(mode))?;
                fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            } else {
                fchmod(&made, Mode::from_raw_mode(0o755))?;
            }
            self.folder = made;
        }
        Ok(())
    }
}

/// Opens a folder that is no link.
pub(super) fn open_folder(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// The first component of `path` that the calling process cannot pass (or, for the last one, cannot use), with its owner
/// and mode, for a person. `None` when all can be passed.
pub(super) fn obstacle(path: &Path) -> Option<String> {
    let mut at = PathBuf::new();
    for component in path.components() {
        at.push(component);
        let found = match statat(rustix::fs::CWD, &at, AtFlags::empty()) {
            Ok(found) => found,
            Err(Errno::NOENT) => return None,
            Err(error) => return Some(format!("{}: {error}", at.display())),
        };
        let enter = rustix::fs::accessat(rustix::fs::CWD, &at, rustix::fs::Access::EXEC_OK, AtFlags::EACCESS);
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory && enter.is_err() {
            return Some(format!(
                "{} (owner {}:{}, mode {:04o}) cannot be entered",
                at.display(),
                found.st_uid,
                found.st_gid,
                found.st_mode & 0o7777
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn trust_is_roots_folder_that_only_root_changes() {
        let mut stat = rustix::fs::stat("/").unwrap();
        for (uid, mode, expected) in [
            (0, 0o40755, true),
            (0, 0o41777, true),
            (0, 0o40777, false),
            (0, 0o40775, false),
            (101, 0o40755, false),
            (101, 0o41777, false),
        ] {
            stat.st_uid = uid;
            stat.st_mode = mode;
            assert_eq!(only_root_changes(&stat), expected, "{uid} {mode:o}");
        }
    }

    #[test]
    fn missing_names_are_told_and_made_under_trusted_folders_only() {
        let dir = tempfile::tempdir().unwrap();
        let walked = walk(&dir.path().join("a/b")).unwrap();
        assert_eq!(walked.missing, ["a", "b"]);
        assert_eq!(walked.path, dir.path().canonicalize().unwrap());
        if !is_root() {
            assert!(!walked.trusted);
            return;
        }
        walked.make(101, 104, 0o700).unwrap();
        let (made, parent) =
            (dir.path().join("a/b").metadata().unwrap(), dir.path().join("a").metadata().unwrap());
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (101, 104, 0o700));
        assert_eq!((parent.uid(), parent.mode() & 0o7777), (0, 0o755));

        std::fs::set_permissions(dir.path().join("a"), std::fs::Permissions::from_mode(0o777)).unwrap();
        let open = walk(&dir.path().join("a/c")).unwrap();
        assert!(!open.trusted);
        assert!(open.make(101, 104, 0o700).is_err());
        assert!(!dir.path().join("a/c").exists());
    }

    #[test]
    fn roots_links_are_followed_and_others_are_not() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        symlink("link", dir.path().join("twice")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        assert_eq!(walk(&dir.path().join("twice")).unwrap().path, real);
        assert_eq!(walk(&dir.path().join("twice/../real")).unwrap().path, real);
        assert!(walk(&dir.path().join("loop")).is_err());
        std::os::unix::fs::lchown(dir.path().join("link"), Some(101), None).unwrap();
        assert!(walk(&dir.path().join("twice")).is_err(), "somebody else's link");
    }

    #[test]
    fn a_file_on_the_way_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(walk(&dir.path().join("file")).is_err());
        assert!(walk(&dir.path().join("file/x")).is_err());
    }
}
