//! A user without an entry in `/etc/passwd` (`docker run --user 12345`): the engine and initdb refuse to run without a
//! name, so libnss-wrapper shows them one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::atomic;
use super::halt::{Outcome, Trying, refused};
use super::work::{Work, random_name};
use crate::engine::access::stand_in;

/// Where distributions put the library.
const FOLDERS: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
const LIBRARY: &str = "libnss_wrapper.so";

/// How the engine's user gets a name.
pub(super) struct Names {
    /// Variables for the engine and its tools; none where the user has an entry.
    pub(super) variables: Vec<(String, String)>,
    /// The user's name, as the engine sees it.
    pub(super) user: Option<String>,
}

/// Gives the engine's user a name where it has none.
///
/// # Errors
/// Refused when it has none and the library is missing.
pub(super) fn names(work: Work<'_>) -> Outcome<Names> {
    let uid = work.order.user.uid;
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if has_id(&passwd, uid) {
        return Ok(Names { variables: Vec::new(), user: work.order.user.name.clone() });
    }
    let Some(library) =
        FOLDERS.iter().map(|folder| Path::new(folder).join(LIBRARY)).find(|file| file.exists())
    else {
        return Err(refused(
            format!(
                "user id {uid} has no entry in /etc/passwd, and the engine does not run without a user name"
            ),
            "install libnss-wrapper in the image, add the user to /etc/passwd, or run as a user that is there",
        ));
    };
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    let (user, passwd, group) = with_entry(&passwd, &group, uid, work.order.user.gid);
    let folder = private_folder(work)?;
    let (passwd_file, group_file) = (folder.join("passwd"), folder.join("group"));
    for (path, text) in [(&passwd_file, passwd), (&group_file, group)] {
        if fs::read_to_string(path).is_ok_and(|found| found == text) {
            continue;
        }
        atomic::replace(path, text.as_bytes(), 0o644).trying("write", path)?;
    }
    let variables =
        [("LD_PRELOAD", &library), ("NSS_WRAPPER_PASSWD", &passwd_file), ("NSS_WRAPPER_GROUP", &group_file)]
            .into_iter()
            .map(|(name, path)| (name.to_owned(), path.to_string_lossy().into_owned()))
            .collect();
    Ok(Names { variables, user: Some(user) })
}

/// Whether a file in the form of `/etc/passwd` or `/etc/group` has this id.
fn has_id(text: &str, id: u32) -> bool {
    text.lines().any(|line| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(id))
}

/// The user's name, and both files with entries for these ids, named `postgres` where that name is free.
fn with_entry(passwd: &str, group: &str, uid: u32, gid: u32) -> (String, String, String) {
    let named = |text: &str| text.lines().any(|line| line.starts_with("postgres:"));
    let user = if named(passwd) { stand_in(uid) } else { "postgres".to_owned() };
    let line_end = |text: &str| if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let passwd = format!("{passwd}{}{user}:x:{uid}:{gid}:PostgreSQL:/:/bin/false\n", line_end(passwd));
    if has_id(group, gid) {
        return (user, passwd, group.to_owned());
    }
    let name = if named(group) { format!("postgres{gid}") } else { "postgres".to_owned() };
    (user, passwd, format!("{group}{}{name}:x:{gid}:\n", line_end(group)))
}

/// A folder that nobody else can have made or can write: of the run directory, else where everybody may make one.
fn private_folder(work: Work<'_>) -> Outcome<PathBuf> {
    let preferred = work.order.run_dir.join("nss");
    let own_name = format!("polar-nss-{}", work.order.user.uid);
    let name = format!("polar-nss-{}", random_name().trying("read", Path::new("/dev/urandom"))?);
    // /dev/shm can be written where the root of the container is read-only. The last two are for one whose name another
    // user has taken.
    let common = [std::env::temp_dir(), "/dev/shm".into()];
    let places =
        [&own_name, &name].into_iter().flat_map(|name| common.iter().map(move |parent| parent.join(name)));
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for folder in std::iter::once(preferred.clone()).chain(places) {
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_own(work, &folder) => {
                return Ok(folder);
            }
            Err(error) => last = error,
        }
    }
    Err(refused(
        format!(
            "{} has no entry in /etc/passwd, and no folder can be made for one: not {}, not in /tmp or /dev/shm ({last})",
            work.user(),
            preferred.display()
        ),
        "mount a tmpfs on run_dir, or add the user to /etc/passwd",
    ))
}

fn is_own(work: Work<'_>, folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == work.order.user.uid && found.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_third_field() {
        let text = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        assert!(has_id(text, 101) && has_id(text, 0));
        assert!(!has_id(text, 104) && !has_id("", 0));
    }

    #[test]
    fn the_entry_takes_a_free_name() {
        let (user, passwd, group) = with_entry("root:x:0:0::/:/bin/sh", "", 12345, 6);
        assert_eq!(passwd, "root:x:0:0::/:/bin/sh\npostgres:x:12345:6:PostgreSQL:/:/bin/false\n");
        assert_eq!((user.as_str(), group.as_str()), ("postgres", "postgres:x:6:\n"));
        let (user, passwd, group) = with_entry("postgres:x:1:1::/:\n", "postgres:x:1:\n", 5, 1);
        assert_eq!(passwd, "postgres:x:1:1::/:\npostgres5:x:5:1:PostgreSQL:/:/bin/false\n");
        assert_eq!((user.as_str(), group.as_str()), ("postgres5", "postgres:x:1:\n"), "the group is there");
    }
}
