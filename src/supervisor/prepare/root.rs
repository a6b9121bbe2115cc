//! The few deeds of root before the privileges are dropped: folders that are missing or empty become the engine's.
//!
//! Root trusts no folder in which another user could exchange a name ([`super::resolve`]), changes an owner through a
//! descriptor alone, never recursively, and never in a directory that holds anything.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, getgroups, setegid, seteuid, setgid, setgroups, setuid};
use rustix::fs::{AtFlags, Mode, fchmod, fchown, fstat, statat};

use super::bootstrap::Variables;
use super::halt::{Outcome, refused};
use super::listing;
use super::log_link;
use super::place::is_volume;
use super::protocol::User;
use super::resolve::{open_folder, walk};
use super::work::Work;
use crate::config::Init;
use crate::engine::datadir::Contents;

/// Does what only root can do. Whatever it cannot do safely is left to the engine's user, whose own errors tell then.
/// The result are the variables of a first boot: a secret may be readable by root alone.
pub(super) fn act(work: Work<'_>) -> Outcome<Option<Variables>> {
    let engine = &work.order.engine;
    // Who wants no first boot wants an empty directory as it is.
    let ours = engine.init == Init::Auto;
    // Nor is the folder that a missing volume leaves uncovered made the engine's.
    let volume = |path: &PathBuf| fs::canonicalize(path).and_then(|path| is_volume(&path)).unwrap_or(false);
    let may_give = ours && (!engine.require_mount || volume(&engine.data_dir));
    let initialized = data_dir(work, &engine.data_dir, ours && !engine.require_mount, may_give);
    let variables = (!initialized).then(|| Variables::read(work));
    if let Some(wal_dir) = variables.as_ref().and_then(Variables::wal_dir) {
        data_dir(work, wal_dir, true, true);
    }
    for folder in engine.socket_dir.iter().filter(|folder| **folder != engine.data_dir) {
        missing(work, folder, 0o2775);
    }
    missing(work, &work.order.run_dir, 0o755);
    if let Some(folder) = engine.log_link.parent() {
        missing(work, folder, 0o755);
        link(work, folder);
    }
    Ok(variables)
}

/// Makes the folder if it is missing; makes it the engine's if it is empty. Whether it holds a database.
fn data_dir(work: Work<'_>, path: &Path, may_make: bool, may_give: bool) -> bool {
    let Ok(found) = walk(path) else { return false };
    if !found.missing.is_empty() {
        if may_make {
            missing(work, path, 0o700);
        }
        return false;
    }
    let Ok(folder) = found.open() else { return false };
    if statat(&folder, "PG_VERSION", AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return true;
    }
    if may_give && let Err(error) = give(work, &found.path, &folder) {
        work.report.warn(format!(
            "cannot make {} the engine's: {error}; give the container CAP_CHOWN, or do it yourself: chown {}:{} DIRECTORY",
            found.path.display(),
            work.order.user.uid,
            work.order.user.gid
        ));
    }
    false
}

/// Makes an empty directory, and `lost+found` in it, the engine's.
fn give(work: Work<'_>, path: &Path, folder: &OwnedFd) -> io::Result<()> {
    let user = &work.order.user;
    let found = fstat(folder)?;
    if found.st_uid == user.uid {
        return Ok(());
    }
    let empty = listing::of(folder, path, &work.order.engine.lock_file)
        .map(|listing| crate::engine::datadir::datadir_verdict(&listing) == Contents::Empty)?;
    if !empty {
        return Ok(());
    }
    let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), rustix::fs::Gid::from_raw(user.gid));
    // In this order: afterwards only CAP_FOWNER could.
    fchmod(folder, Mode::from_raw_mode(0o700))?;
    fchown(folder, Some(uid), Some(gid))?;
    if let Ok(lost) = open_folder(folder, OsStr::new("lost+found")) {
        fchown(&lost, Some(uid), Some(gid))?;
    }
    work.report.note(format!("the empty {} is given to {}, mode 0700", path.display(), work.user()));
    Ok(())
}

/// Makes a missing folder, which becomes the engine's.
fn missing(work: Work<'_>, path: &Path, mode: u32) {
    let Ok(found) = walk(path) else { return };
    if found.missing.is_empty() || !found.trusted {
        return;
    }
    let user = &work.order.user;
    match found.make(user.uid, user.gid, mode) {
        Ok(()) => work.report.note(format!("made {} for {}", path.display(), work.user())),
        Err(error) => work.report.warn(format!("cannot make {}: {error}", path.display())),
    }
}

/// The log link in a folder where only root can write. The configuration is read as the engine's user.
fn link(work: Work<'_>, folder: &Path) {
    let Ok(found) = walk(folder) else { return };
    if !found.missing.is_empty() || !found.only_root_writes().unwrap_or(false) {
        return;
    }
    let Some(name) = work.order.engine.log_link.file_name() else { return };
    let link: PathBuf = found.path.join(name);
    let target = as_user(&work.order.user, || {
        let data_dir = fs::canonicalize(&work.order.engine.data_dir)?;
        // Root itself need not see it: without CAP_DAC_OVERRIDE, on NFS.
        let initialized = data_dir.join("PG_VERSION").symlink_metadata().is_ok();
        // Where somebody else installs, the place of the logs is that one's to choose.
        let known = initialized || work.order.engine.init == Init::Auto;
        Ok(known.then(|| log_link::target(work.order, &data_dir, initialized)))
    });
    match target {
        Ok(None) => {}
        Ok(Some(target)) => log_link::aim_and_tell(work, &link, &target),
        Err(error) => work.report.warn(format!("cannot find where the log link should lead: {error}")),
    }
}

/// Runs `look` with the engine's effective ids, so that a link which its user planted leads nowhere that user could not
/// go.
fn as_user<T>(user: &User, look: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let groups = getgroups()?;
    let gid = nix::unistd::getegid();
    setgroups(&wanted_groups(user))?;
    setegid(Gid::from_raw(user.gid))?;
    seteuid(Uid::from_raw(user.uid))?;
    let result = look();
    seteuid(Uid::from_raw(0))?;
    setegid(gid)?;
    setgroups(&groups)?;
    result
}

fn wanted_groups(user: &User) -> Vec<Gid> {
    let mut groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    if groups.is_empty() {
        groups.push(Gid::from_raw(user.gid));
    }
    groups
}

/// Becomes the engine's user for good.
pub(super) fn drop_privileges(user: &User) -> Outcome<()> {
    if user.uid == 0 {
        return Err(refused(
            "the engine's user is root, and an engine never runs as root",
            "set user in supervisor.toml to an ordinary user",
        ));
    }
    let on = format!("uid {}, gid {}", user.uid, user.gid);
    let cannot = |what: &str, capability: &str, error: nix::errno::Errno| {
        refused(
            format!("root cannot {what} {on}, the engine's user: {error}"),
            format!(
                "give the container the capability {capability}, or start it as that user (--user {}:{})",
                user.uid, user.gid
            ),
        )
    };
    setgroups(&wanted_groups(user)).map_err(|error| cannot("take the groups of", "CAP_SETGID", error))?;
    setgid(Gid::from_raw(user.gid)).map_err(|error| cannot("become", "CAP_SETGID", error))?;
    setuid(Uid::from_raw(user.uid)).map_err(|error| cannot("become", "CAP_SETUID", error))?;
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(refused(
            format!("after the drop to {on} the way back to root is still open"),
            "run the container without CAP_SETUID kept over a change of user (securebits)",
        ));
    }
    Ok(())
}
