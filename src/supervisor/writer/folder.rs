//! Reaching the folder of a file through no link that somebody else could have planted.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;

use crate::supervisor::prepare::only_root_changes;

/// As many links as the kernel follows.
const LINKS: usize = 40;
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a folder; what is missing of it is made (0755). Links are followed if root or we ourselves made them; by root
/// only where no other user could have put one of root's links.
///
/// # Errors
/// What the kernel says; a link of another user, or one that another user could have placed.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let root = || openat(CWD, c"/", FOLDER, Mode::empty());
    let mut at = root()?;
    let mut way = PathBuf::from("/");
    let mut todo = steps(path);
    let mut links = 0;
    let root_looks = rustix::process::geteuid().is_root();
    let mut trusted = true;
    while let Some(step) = todo.pop_front() {
        if step != OsStr::new("..") {
            trusted &= !root_looks || only_root_changes(&fstat(&at)?);
        }
        let next = match openat(&at, &step, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => {
                match mkdirat(&at, &step, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                openat(&at, &step, FOLDER, Mode::empty())
            }
            opened => opened,
        };
        way.push(&step);
        match next {
            Ok(next) => at = next,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                links += 1;
                if links > LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = followed(&at, &step, &way)?;
                if !trusted {
                    return Err(io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        format!(
                            "{} is a link that another user than root could have placed, which is not followed",
                            way.display()
                        ),
                    ));
                }
                if target.is_absolute() {
                    at = root()?;
                    way = PathBuf::from("/");
                } else {
                    way.pop();
                }
                for step in steps(&target).into_iter().rev() {
                    todo.push_front(step);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(at)
}

fn steps(path: &Path) -> VecDeque<OsString> {
    let steps = path.components().filter_map(|component| match component {
        Component::Normal(step) => Some(step.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    steps.collect()
}

/// Where a link leads that may be followed.
fn followed(at: &OwnedFd, step: &OsString, way: &Path) -> io::Result<PathBuf> {
    // One descriptor for both questions: the link could be exchanged between them.
    let link = openat(at, step, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&link)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Err(Errno::NOTDIR.into());
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is a link of user {}, which is not followed", way.display(), stat.st_uid),
        ));
    }
    let target = readlinkat(&link, c"", Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn same(opened: &OwnedFd, path: &Path) -> bool {
        fstat(opened).unwrap().st_ino == std::fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn missing_folders_are_made_and_our_own_links_followed() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("a/b/c");
        assert!(same(&open(&wanted).unwrap(), &wanted));
        symlink("a/b", dir.path().join("relative")).unwrap();
        assert!(same(&open(&dir.path().join("relative/c")).unwrap(), &wanted));
        symlink(dir.path().join("a"), dir.path().join("a/b/c/absolute")).unwrap();
        assert!(same(&open(&dir.path().join("relative/c/absolute/b/c")).unwrap(), &wanted));
        symlink("../b", dir.path().join("a/b/up")).unwrap();
        assert!(same(&open(&dir.path().join("a/b/up/c")).unwrap(), &wanted));
    }

    #[test]
    fn a_circle_a_file_and_somebody_elses_link_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        symlink("round", dir.path().join("round")).unwrap();
        assert!(open(&dir.path().join("round/x")).is_err());
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(open(&dir.path().join("file")).is_err());
        if rustix::process::geteuid().is_root() {
            symlink("/", dir.path().join("theirs")).unwrap();
            std::os::unix::fs::lchown(dir.path().join("theirs"), Some(12345), None).unwrap();
            let error = open(&dir.path().join("theirs")).unwrap_err();
            assert!(error.to_string().contains("is a link of user 12345"), "{error}");
        }
    }

    #[test]
    fn root_follows_no_link_where_another_user_may_exchange_it() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        symlink("/tmp", theirs.join("link")).unwrap();
        assert!(open(&theirs.join("link")).is_ok());
        std::os::unix::fs::chown(&theirs, Some(12345), None).unwrap();
        assert!(open(&theirs).is_ok());
        let error = open(&theirs.join("link")).unwrap_err();
        assert!(error.to_string().contains("another user than root could have placed"), "{error}");
    }
}
