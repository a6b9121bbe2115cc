//! What may have the lock file's name (fault matrix, T17): whatever it is, it locks while it exists, by lstat.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::common::{Instance, Signal, postgres_user};

/// Locks by what `make` makes, sees it left as it is by PID 1, and unlocks by `remove`.
fn locks(make: impl Fn(&Path), remove: impl Fn(&Path)) {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let lock = instance.lock();
    make(&lock);
    let made = fs::symlink_metadata(&lock).unwrap();
    instance.stays_down();
    assert_eq!(instance.control_state(), "shut down");
    // A PID 1 that finds it at its first look.
    assert_eq!(instance.stop(Signal::SIGTERM), crate::common::Exit::Code(0));
    instance.boot();
    instance.wait_log("locked: ");
    instance.stays_down();
    let found = fs::symlink_metadata(&lock).unwrap();
    assert_eq!((found.file_type(), found.permissions()), (made.file_type(), made.permissions()));
    remove(&lock);
    instance.ready();
    assert!(!instance.is_locked());
}

fn remove_file(lock: &Path) {
    fs::remove_file(lock).unwrap();
}

#[test]
fn t17_a_directory() {
    locks(|lock| fs::create_dir(lock).unwrap(), |lock| fs::remove_dir(lock).unwrap());
}

#[test]
fn t17_a_dangling_link() {
    locks(|lock| symlink("/no/such/file", lock).unwrap(), remove_file);
}

#[test]
fn t17_a_link_that_loops() {
    locks(|lock| symlink(lock, lock).unwrap(), remove_file);
}

#[test]
fn t17_a_link_to_a_file() {
    let make = |lock: &Path| {
        let target = lock.with_file_name("target");
        fs::write(&target, "").unwrap();
        symlink(&target, lock).unwrap();
    };
    locks(make, remove_file);
}

#[test]
fn t17_a_file_that_nobody_may_read() {
    let make = |lock: &Path| {
        // Made elsewhere, so that it is never there with another mode.
        let staged = lock.with_file_name("staged");
        fs::write(&staged, "").unwrap();
        fs::set_permissions(&staged, Permissions::from_mode(0o000)).unwrap();
        fs::rename(&staged, lock).unwrap();
    };
    locks(make, remove_file);
}

#[test]
fn t17_a_fifo() {
    locks(|lock| mkfifo(lock, Mode::S_IRWXU).unwrap(), remove_file);
}

#[test]
fn t17_a_link_whose_target_goes_still_locks() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let target = instance.path("target");
    fs::write(&target, "").unwrap();
    symlink(&target, instance.lock()).unwrap();
    instance.stays_down();
    fs::remove_file(&target).unwrap();
    instance.stays_down();
    instance.remove_lock();
    instance.ready();
}

/// An instance whose PID 1 is the engine's user, since nothing is hidden from root, with its lock file in `locks`.
fn without_root() -> Instance {
    let user = postgres_user();
    let builder = Instance::builder().account(user.uid, user.gid).set("program.engine.lock_poll", "100ms");
    let lock = builder.dir.folder("locks").join("ins_lock");
    let mut instance =
        builder.set("program.engine.lock_file", lock.to_str().unwrap()).with_database().start();
    instance.ready();
    instance
}

fn set_mode(instance: &Instance, mode: u32) {
    fs::set_permissions(instance.path("locks"), Permissions::from_mode(mode)).unwrap();
}

#[test]
fn t17_what_cannot_be_looked_at_keeps_the_last_state_unlocked() {
    let mut instance = without_root();
    let first = instance.postmaster();
    set_mode(&instance, 0o000);
    instance.wait_log("cannot look at the lock file");
    instance.set_lock();
    // A postmaster that dies meanwhile is started again: nothing says that it is locked.
    first.signal(Signal::SIGKILL);
    instance
        .until("another postmaster", |it| it.try_postmaster().is_some_and(|found| found.pid != first.pid));
    instance.ready();
    set_mode(&instance, 0o755);
    instance.stays_down();
}

#[test]
fn t17_what_cannot_be_looked_at_keeps_the_last_state_locked() {
    let mut instance = without_root();
    instance.set_lock();
    instance.stays_down();
    set_mode(&instance, 0o000);
    instance.wait_log("cannot look at the lock file");
    instance.stays_down();
    set_mode(&instance, 0o755);
    instance.stays_down();
    instance.remove_lock();
    instance.ready();
}
