//! Links that the engine's user plants: root follows none of them, and nothing outside changes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use crate::common::{Builder, Exit, Instance, Signal, Snapshot, postgres_user};

/// A folder of root's with a file in it, to which the engine's user plants links.
fn outside(builder: &Builder) -> (PathBuf, Snapshot) {
    let outside = builder.dir.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, Permissions::from_mode(0o755)).unwrap();
    fs::write(outside.join("passwd"), "root:x:0:0\n").unwrap();
    fs::create_dir(outside.join("empty")).unwrap();
    let snapshot = Snapshot::of(&outside);
    (outside, snapshot)
}

fn plant(target: &Path, link: &Path) {
    fs::remove_file(link).ok();
    symlink(target, link).unwrap();
    lchown(link, Some(postgres_user().uid), Some(postgres_user().gid)).unwrap();
}

#[test]
fn a_planted_pid_file_changes_nothing_outside() {
    let builder = Instance::builder().with_database();
    let (outside, before) = outside(&builder);
    plant(&outside.join("passwd"), &builder.dir.path("data/postmaster.pid"));
    let mut instance = builder.start();
    instance.wait_log("postmaster.pid");
    before.assert_same(&outside);
    assert!(!instance.engine_runs());
    fs::remove_file(instance.path("data/postmaster.pid")).unwrap();
    instance.ready();
    before.assert_same(&outside);
}

#[test]
fn planted_log_links_change_nothing_outside() {
    let builder = Instance::builder().with_database();
    let (outside, before) = outside(&builder);
    plant(&outside, &builder.dir.path("log/pg_log"));
    plant(&outside.join("passwd"), &builder.dir.path("data/current_logfiles"));
    let mut instance = builder.start();
    instance.ready();
    before.assert_same(&outside);
    assert_ne!(fs::canonicalize(instance.path("log/pg_log")).unwrap(), outside);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    before.assert_same(&outside);
}

#[test]
fn planted_links_lead_root_nowhere_at_first_boot() {
    let builder = Instance::builder();
    let (outside, before) = outside(&builder);
    let home = builder.dir.folder("home");
    plant(&outside.join("empty"), &home.join("data"));
    let mut instance = builder.set("program.engine.data_dir", home.join("data").to_str().unwrap()).start();
    assert_eq!(instance.wait(), Exit::Code(78));
    before.assert_same(&outside);

    let builder = Instance::builder();
    let (outside, before) = self::outside(&builder);
    plant(&outside.join("empty"), &builder.dir.path("data/lost+found"));
    plant(&outside, &builder.dir.path("data/.init-planted"));
    plant(&outside.join("empty"), &builder.dir.path("data/pg_log"));
    // Its log folder is where it cannot write: it need not be served, but root must not mend that.
    let mut instance = builder.set("program.engine.restart.give_up_after", 2).start();
    instance.until("an end or a database", |it| it.accepts() || it.log().contains("ending with status"));
    before.assert_same(&outside);
}

#[test]
fn a_link_of_roots_to_the_data_is_followed() {
    let builder = Instance::builder().with_database();
    let link = builder.dir.path("link");
    symlink(builder.dir.path("data"), &link).unwrap();
    let mut instance = builder.set("program.engine.data_dir", link.to_str().unwrap()).start();
    instance.ready();
    assert!(instance.path("data/postmaster.pid").exists());
}
