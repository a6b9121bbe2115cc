//! `log_link` leads to the engine's log folder, whatever stands in its place at the start.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::common::{Builder, Exit, Instance, Signal, postgres_user};

const COLLECTOR: &str = "logging_collector = on\nlog_filename = 'postgresql-%Y-%m-%d_%H%M%S.log'";

/// A database whose collector writes into `pg_log`.
fn logging() -> Builder {
    Instance::builder().with_database().conf(COLLECTOR).conf("log_directory = 'pg_log'")
}

/// Serves, with a log file of the engine behind the link.
fn logs(instance: &mut Instance) {
    instance.ready();
    let folder = instance.path("log/pg_log");
    instance.until("a log file behind the link", |_| !log_files(&folder).is_empty());
}

fn log_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    names
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.starts_with("postgresql-") && name.ends_with(".log"))
        .collect()
}

fn assert_link(instance: &Instance) {
    assert_eq!(fs::read_link(instance.path("log/pg_log")).unwrap(), instance.path("data/pg_log"));
}

/// What was moved aside: the one thing beside the link.
fn aside(instance: &Instance) -> PathBuf {
    let entries = fs::read_dir(instance.path("log")).unwrap().flatten().map(|entry| entry.path());
    let ours = ["pg_log", "events.jsonl"];
    let others: Vec<_> = entries.filter(|path| !ours.iter().any(|name| path.ends_with(name))).collect();
    assert_eq!(others.len(), 1, "{others:?}");
    assert!(others[0].file_name().unwrap().to_str().unwrap().starts_with("pg_log."), "{others:?}");
    others[0].clone()
}

#[test]
fn absent_it_is_made() {
    let mut instance = logging().start();
    logs(&mut instance);
    assert_link(&instance);
    assert!(instance.log().contains("made the log link"));
}

#[test]
fn after_a_first_boot_too() {
    let mut instance = Instance::builder().start();
    logs(&mut instance);
    assert_link(&instance);
}

#[test]
fn a_right_one_is_left_alone() {
    let builder = logging();
    let link = builder.dir.path("log/pg_log");
    symlink(builder.dir.path("data/pg_log"), &link).unwrap();
    let before = fs::symlink_metadata(&link).unwrap().ino();
    let mut instance = builder.start();
    logs(&mut instance);
    assert_eq!(fs::symlink_metadata(&link).unwrap().ino(), before);
    assert!(!instance.log().contains("log link"));
}

#[test]
fn one_that_leads_elsewhere_is_replaced_and_what_it_led_to_is_kept() {
    let builder = logging();
    let elsewhere = builder.dir.folder("elsewhere");
    builder.dir.file("elsewhere/old.log", "old", 0o600);
    symlink(&elsewhere, builder.dir.path("log/pg_log")).unwrap();
    let mut instance = builder.start();
    logs(&mut instance);
    assert_link(&instance);
    assert_eq!(fs::read_to_string(elsewhere.join("old.log")).unwrap(), "old");
    assert!(instance.log().contains(&format!("led to {}: set to", elsewhere.display())));
}

#[test]
fn a_dangling_one_is_replaced() {
    let builder = logging();
    symlink("/no/such/folder", builder.dir.path("log/pg_log")).unwrap();
    let mut instance = builder.start();
    logs(&mut instance);
    assert_link(&instance);
}

#[test]
fn a_real_folder_is_moved_aside_with_all_that_is_in_it() {
    let builder = logging();
    builder.dir.folder("log/pg_log/deep");
    builder.dir.file("log/pg_log/deep/old.log", "old", 0o600);
    builder.dir.folder("log/pg_log");
    let mut instance = builder.start();
    logs(&mut instance);
    assert_link(&instance);
    assert_eq!(fs::read_to_string(aside(&instance).join("deep/old.log")).unwrap(), "old");
    assert!(instance.log().contains("was no link: it is at"));
}

#[test]
fn a_real_file_is_moved_aside() {
    let builder = logging();
    builder.dir.file("log/pg_log", "precious", 0o600);
    let mut instance = builder.start();
    logs(&mut instance);
    assert_link(&instance);
    assert_eq!(fs::read_to_string(aside(&instance)).unwrap(), "precious");
}

#[test]
fn where_the_engine_logs_into_its_place_already_both_are_left() {
    // As a PolarDB Stack pod has it: data/log -> log/pg_log, a real folder.
    let builder = Instance::builder().with_database().conf(COLLECTOR).conf("log_directory = 'log'");
    let folder = builder.dir.folder("log/pg_log");
    builder.dir.file("log/pg_log/postgresql-2020-01-01_000000.txt", "old", 0o600);
    symlink(&folder, builder.dir.path("data/log")).unwrap();
    let mut instance = builder.start();
    logs(&mut instance);
    assert!(fs::symlink_metadata(&folder).unwrap().is_dir());
    assert_eq!(fs::read_link(instance.path("data/log")).unwrap(), folder);
    assert!(folder.join("postgresql-2020-01-01_000000.txt").exists());
    assert!(!instance.log().contains("log link") && !instance.log().contains("was no link"));
}

#[test]
fn in_a_folder_of_roots_it_is_made_by_root() {
    let builder = logging();
    roots(&builder.dir.path("log"));
    let mut instance = builder.start();
    logs(&mut instance);
    assert_link(&instance);
}

#[test]
fn a_folder_that_nobody_can_write_to_is_a_warning() {
    let mount = "mount --bind $DIR/log $DIR/log && mount -o remount,ro,bind $DIR/log || exit 99";
    warned(logging().setup(mount).start());
}

#[test]
fn a_folder_that_an_ordinary_user_cannot_write_to_is_a_warning() {
    let user = postgres_user();
    let builder = logging().account(user.uid, user.gid);
    roots(&builder.dir.path("log"));
    warned(builder.start());
}

fn roots(folder: &Path) {
    std::os::unix::fs::chown(folder, Some(0), Some(0)).unwrap();
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
}

/// It serves and logs without the link.
fn warned(mut instance: Instance) {
    instance.ready();
    let log = instance.log();
    assert!(
        log.lines().any(|line| line.contains(" WARN ") && line.contains("cannot make the log link")),
        "{log}"
    );
    assert!(!instance.path("log/pg_log").exists());
    let written = instance.path("data/pg_log");
    instance.until("the log itself", |_| !log_files(&written).is_empty());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn it_is_looked_at_at_every_start() {
    let mut instance = logging().start();
    logs(&mut instance);
    fs::remove_file(instance.path("log/pg_log")).unwrap();
    instance.postmaster().signal(Signal::SIGKILL);
    instance.until("the link again", |it| fs::symlink_metadata(it.path("log/pg_log")).is_ok());
    logs(&mut instance);
    assert_link(&instance);
}
