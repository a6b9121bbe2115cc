//! T16: locked, the disk full, and the container replaced.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::common::{Exit, Instance, SOON, Signal, as_user, finish, postgres_user};

/// A small volume that outlives containers; unmounted when dropped.
struct Volume(PathBuf);

impl Volume {
    fn mount(path: PathBuf) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=160m,mode=0700", "tmpfs"]).arg(&path);
        finish(mount, SOON).success();
        Volume(path)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let mut umount = Command::new("umount");
        umount.arg("--lazy").arg(&self.0);
        finish(umount, SOON);
    }
}

#[test]
fn t16_locked_on_a_full_disk_a_fresh_container_stays_down_and_serves_once_there_is_room() {
    let builder = Instance::builder();
    let volume = Volume::mount(builder.dir.path("data"));
    let user = postgres_user();
    std::os::unix::fs::chown(&volume.0, Some(user.uid), Some(user.gid)).unwrap();
    let mut instance = builder.with_database().unset("program.engine.lock_file").start();
    // Moved, so that it is unmounted before the instance removes its folders.
    let volume = volume;
    instance.ready();
    instance.sql("create table kept as select generate_series(1, 1000) as n");
    instance.set_lock();
    instance.stays_down();
    let filler = volume.0.join("filler");
    let mut fill = as_user(user, "dd");
    fill.args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", filler.display()));
    assert!(finish(fill, SOON).stderr.contains("No space left"), "the volume is full");
    instance.kill9();
    instance.boot();
    instance.stays_down();
    assert_eq!(instance.starts(), 0);
    // Room first, unlocked then: no other step is needed.
    fs::remove_file(filler).unwrap();
    instance.stays_down();
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.sql("select count(*) from kept"), "1000");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
