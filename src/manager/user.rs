//! Users by name and number, and the right ones to touch an engine's files as.

use std::io;

use nix::unistd::{Gid, Uid, getegid, geteuid, setfsgid, setfsuid};
use rustix::thread::set_thread_groups;

fn passwd() -> String {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default()
}

/// What a user id is called; the number where `/etc/passwd` has no name.
pub fn name_of(uid: u32) -> String {
    let named = passwd().lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| uid.to_string())
}

/// The id of a user name, or of a number.
pub fn uid_of(name: &str) -> Option<u32> {
    let text = passwd();
    let mut fields = text.lines().map(|line| line.split(':'));
    let named =
        fields.find_map(|mut line| if line.next()? == name { line.nth(1)?.parse().ok() } else { None });
    named.or_else(|| name.parse().ok())
}

/// The group of a user id; `None`: `/etc/passwd` does not have it.
pub fn gid_of(uid: u32) -> Option<u32> {
    passwd().lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        (fields.next()?.parse() == Ok(uid)).then(|| fields.next()?.parse().ok())?
    })
}

/// This user.
pub fn own() -> String {
    name_of(Uid::current().as_raw())
}

/// Does something with the rights on files of the user that a folder belongs to, where root is who asks: whatever that
/// user may have planted there can do no more than the user could do. It holds for this thread alone.
///
/// # Errors
/// Root may not (no CAP_SETUID or no CAP_SETGID).
pub fn acting_as<T>((uid, gid): (u32, u32), act: impl FnOnce() -> T) -> io::Result<T> {
    let (own_uid, own_gid) = (geteuid(), getegid());
    if !own_uid.is_root() || uid == 0 {
        return Ok(act());
    }
    // Root's own groups would open what is root's to its group, by way of a link.
    let groups = rustix::process::getgroups()?;
    if !groups.is_empty() {
        set_thread_groups(&[]).map_err(|_| may_not(uid, "SETGID"))?;
    }
    // These never fail: they tell what was before, by which a second call shows what is.
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setfsgid(group);
    setfsuid(user);
    let result = if setfsgid(group) != group {
        Err(may_not(uid, "SETGID"))
    } else if setfsuid(user) != user {
        Err(may_not(uid, "SETUID"))
    } else {
        Ok(act())
    };
    setfsuid(own_uid);
    setfsgid(own_gid);
    if !groups.is_empty() {
        set_thread_groups(&groups)?;
    }
    result
}

fn may_not(uid: u32, capability: &str) -> io::Error {
    let text = format!("cannot act as user {} there (no capability {capability})", name_of(uid));
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!((name_of(0).as_str(), uid_of("root")), ("root", Some(0)));
        assert_eq!(
            (name_of(4_000_000_000).as_str(), uid_of("4000000000")),
            ("4000000000", Some(4_000_000_000))
        );
        assert_eq!(uid_of("no-such-user"), None);
    }

    #[test]
    fn groups_of_root_open_nothing() {
        use std::os::unix::fs::PermissionsExt;
        if !geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.path().join("of root and its group");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        set_thread_groups(&[rustix::process::Gid::ROOT]).unwrap();
        let read = acting_as((12_345, 23_456), || std::fs::read(&path)).unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(rustix::process::getgroups().unwrap(), [rustix::process::Gid::ROOT], "as before");
        assert!(std::fs::read(&path).is_ok());
    }
}
