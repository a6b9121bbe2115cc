//! What the watch thread sees with: the kernel's notifications, and another user's permissions.

use std::collections::BTreeSet;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use notify::{EventHandler, RecommendedWatcher};
use rustix::fs::{Dir, Mode, OFlags};

/// A watcher whose own thread runs; `None` when the kernel has no descriptor, inotify instance or thread left.
///
/// The crate takes it for granted that its thread could be made, and panics at the first use, and even when dropped,
/// where it could not.
pub(crate) fn watcher(handler: impl EventHandler) -> Option<RecommendedWatcher> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Opened once: afterwards there may be no descriptor left to look by.
    let mut tasks = Dir::new(rustix::fs::open("/proc/self/task", flags, Mode::empty()).ok()?).ok()?;
    let before = names(&mut tasks)?;
    let watcher = notify::recommended_watcher(handler).ok()?;
    if names(&mut tasks).is_some_and(|after| !after.is_subset(&before)) {
        return Some(watcher);
    }
    std::mem::forget(watcher);
    None
}

fn names(tasks: &mut Dir) -> Option<BTreeSet<Vec<u8>>> {
    tasks.rewind();
    tasks.map(|entry| Some(entry.ok()?.file_name().to_bytes().to_owned())).collect()
}

/// Gives the calling thread, and those that it makes, another user's permissions on files. `false`: not permitted
/// (no CAP_SETUID), and nothing has changed.
pub(crate) fn borrow((uid, gid): (u32, u32)) -> bool {
    // These never fail: they tell what was before, by which a second call shows what is.
    setfsgid(Gid::from_raw(gid));
    setfsuid(Uid::from_raw(uid));
    setfsuid(Uid::from_raw(uid)) == Uid::from_raw(uid)
}
