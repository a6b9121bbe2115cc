//! Where a tablespace is to be: the text of its location, and the folder there.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use crate::manager::cause::Cause;
use crate::manager::site::Site;
use crate::manager::user;

/// The longest location, in bytes: the engine adds names of its own behind it, and 1024 are its most (`MAXPGPATH`).
const LONGEST: usize = 900;

/// What is here of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Folder {
    /// A folder that fits: the engine's user's, and empty.
    Fits,
    /// Nothing, in a folder that is there.
    Absent,
    /// Nothing, and nothing that it could be made in.
    Nowhere,
    /// Something else, in words.
    Other(String),
}

/// A location in the form in which the engine keeps it.
///
/// # Errors
/// The engine takes none like this, or it leads elsewhere than it says.
pub(in crate::manager) fn checked(text: &str) -> Result<String, Cause> {
    let shown: String = text.chars().take(80).collect();
    let refuse = |why: String| Err(Cause::invalid("bad_location", why, "give another folder"));
    if text.contains(['\0', '\'']) {
        return refuse(format!(
            "{shown:?} has a NUL or a single quote in it, which PostgreSQL does not take"
        ));
    }
    if text.len() > LONGEST {
        return refuse(format!("the location has {} bytes; {LONGEST} are the most", text.len()));
    }
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::RootDir | Component::Normal(_) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return refuse(format!("{shown:?} has a .. in it: say where that is"));
            }
        }
    }
    if !path.is_absolute() || path == Path::new("/") {
        return refuse(format!("{shown:?} is no absolute path of a folder"));
    }
    Ok(path.to_string_lossy().into_owned())
}

/// Looks at it with the rights of the engine's user.
///
/// # Errors
/// It may not be looked at, or it is in the data directory.
pub(super) fn look(site: &Site, location: &Path) -> Result<Folder, Cause> {
    let (owner, _) = site.owner()?;
    let looked = site.as_owner(|| {
        if is_within(location, &site.data_dir)? {
            return Ok(None);
        }
        kind(location, owner).map(Some)
    })?;
    match looked {
        Ok(Some(folder)) => Ok(folder),
        Ok(None) => Err(within(location)),
        Err(error) => Err(Cause::of_file(location, error)),
    }
}

/// That a location is in the data directory.
pub(super) fn within(location: &Path) -> Cause {
    let what = format!("{} is inside of the data directory", location.display());
    let next = "give a folder outside of it: a backup or a copy would take what is in it twice";
    Cause::invalid("bad_location", what, next)
}

/// Whether it leads into the data directory, by whatever links.
fn is_within(location: &Path, data_dir: &Path) -> io::Result<bool> {
    let data_dir = fs::canonicalize(data_dir)?;
    // Of one that is not there, what there is of the way to it tells.
    for ancestor in location.ancestors() {
        match fs::canonicalize(ancestor) {
            Ok(real) => return Ok(real.starts_with(&data_dir)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn kind(location: &Path, owner: u32) -> io::Result<Folder> {
    let meta = match fs::symlink_metadata(location) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = location.parent().is_some_and(Path::is_dir);
            return Ok(if parent { Folder::Absent } else { Folder::Nowhere });
        }
        Err(error) => return Err(error),
    };
    let other = |what: String| Ok(Folder::Other(what));
    if meta.is_symlink() {
        return other("is a symbolic link; give the folder that it leads to".to_owned());
    }
    if !meta.is_dir() {
        return other("is no folder".to_owned());
    }
    if meta.uid() != owner {
        let (is, shall) = (user::name_of(meta.uid()), user::name_of(owner));
        return other(format!("belongs to {is}, and not to the engine's user {shall}"));
    }
    match fs::read_dir(location)?.next().transpose()? {
        Some(entry) => other(format!("is not empty: {:?} is in it", entry.file_name())),
        None => Ok(Folder::Fits),
    }
}

/// Makes it, as the engine's user: in a folder where that one may not, nobody makes it.
///
/// # Errors
/// It could not be made.
pub(super) fn make(site: &Site, location: &Path) -> Result<(), Cause> {
    let made = site.as_owner(|| DirBuilder::new().mode(0o700).create(location))?;
    made.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            let (uid, gid) = site.owner().unwrap_or_default();
            let parent = location.parent().unwrap_or(location);
            let user = user::name_of(uid);
            let what = format!("the engine's user {user} may make no folder in {}", parent.display());
            let next = format!("make it as root: install -d -m 0700 -o {uid} -g {gid} DIR");
            Cause::invalid("bad_location", what, next)
        }
        _ => Cause::of_file(location, error),
    })
}

/// Takes that back, as long as nothing is in it.
pub(super) fn unmake(site: &Site, location: &Path) {
    // One that is left is empty, and fits the next time.
    let _ = site.as_owner(|| fs::remove_dir(location));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn locations() {
        for (text, kept) in
            [("/a", "/a"), ("//a///b/./c/", "/a/b/c"), ("/a b\n\\%\u{1f418}\"", "/a b\n\\%\u{1f418}\"")]
        {
            assert_eq!(checked(text).unwrap(), kept);
        }
        let long = format!("/{}", "x".repeat(LONGEST));
        for text in ["", "a", "./a", "/", "//.", "/a/../b", "/it's", "/a\0b", long.as_str()] {
            assert_eq!(checked(text).unwrap_err().code(), "bad_location", "{text:?}");
        }
    }

    #[test]
    fn what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("data")).unwrap();
        fs::create_dir(path("fits")).unwrap();
        fs::create_dir_all(path("full/x")).unwrap();
        fs::write(path("file"), "").unwrap();
        symlink(path("fits"), path("link")).unwrap();
        symlink(path("data"), path("to_data")).unwrap();
        let site = Site::new(path("data"));
        for (name, expected) in [
            ("fits", Folder::Fits),
            ("absent", Folder::Absent),
            ("absent/a", Folder::Nowhere),
            ("file", Folder::Other("is no folder".to_owned())),
            ("full", Folder::Other("is not empty: \"x\" is in it".to_owned())),
            ("link", Folder::Other("is a symbolic link; give the folder that it leads to".to_owned())),
        ] {
            assert_eq!(look(&site, &path(name)).unwrap(), expected, "{name}");
        }
        for name in ["data", "data/a", "data/a/b", "to_data/a"] {
            assert_eq!(look(&site, &path(name)).unwrap_err().code(), "bad_location", "{name}");
        }
        make(&site, &path("made")).unwrap();
        assert_eq!(fs::metadata(path("made")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(make(&site, &path("made")).unwrap_err().code(), "file");
        unmake(&site, &path("full"));
        unmake(&site, &path("made"));
        assert!(path("full/x").exists() && !path("made").exists());
    }
}
