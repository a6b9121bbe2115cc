//! Disks that are full, read-only, broken or hung: PID 1 answers, says what is wrong, loses nothing, and serves again
//! once the disk does.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Builder, Disk, Exit, Frozen, Instance, SOON, Sabotage, Signal, finish};

fn on(disk: Disk) -> Builder {
    Instance::builder()
        .disk(disk)
        .set("program.engine.restart.give_up_after", 0)
        .set("program.engine.restart.max_backoff", "500ms")
}

/// The names in the root of an ext4 that is not mounted.
fn names_on(image: &Path) -> String {
    let mut debugfs = Command::new("debugfs");
    debugfs.args(["-R", "ls -p /"]).arg(image);
    finish(debugfs, SOON).success()
}

#[test]
fn a_disk_that_is_full_at_first_boot_is_said_and_the_next_boot_begins_again() {
    let mut instance = on(Disk::Ext4(24)).start();
    assert_eq!(instance.wait(), Exit::Code(70));
    assert!(instance.log().contains("No space left on device"));
    let image = instance.path("disk");
    assert!(!names_on(&image).contains(".init-"), "the stage is gone: {}", names_on(&image));

    fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(256 << 20).unwrap();
    let mut grow = Command::new("sh");
    grow.args(["-c", "e2fsck -fy \"$1\" >&2; resize2fs \"$1\"", "sh"]).arg(&image);
    finish(grow, SOON).success();
    instance.boot();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t23_a_disk_without_inodes_at_first_boot_is_said() {
    let mut instance = on(Disk::Tmpfs(200, 300)).start();
    assert_eq!(instance.wait(), Exit::Code(70));
    assert!(instance.log().contains("No space left on device"));
}

/// Fills the disk by `fill`, crashes the engine, sees that PID 1 says so by `text`, and makes room again.
fn full_at_a_restart(disk: Disk, fill: &str, text: &str) {
    let mut instance = on(disk).start();
    instance.ready();
    instance.sql("create table t as select 1 as a");
    instance.as_root(fill);
    instance.postmaster().signal(Signal::SIGKILL);
    instance.wait_log(text);
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("restarts: ");
    instance.as_root("rm -r $DATA/fill");
    instance.ready();
    assert_eq!(instance.sql("select a from t"), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_disk_that_is_full_at_a_restart_is_waited_out() {
    let fill = "mkdir $DATA/fill; dd if=/dev/zero of=$DATA/fill/a bs=1M || true; \
                dd if=/dev/zero of=$DATA/fill/b bs=1k || true; sync -f $DATA";
    full_at_a_restart(Disk::Ext4(160), fill, "has 0 MB free");
}

#[test]
fn t23_a_disk_without_inodes_at_a_restart_is_waited_out() {
    let fill = "mkdir $DATA/fill; cd $DATA/fill; i=0; while touch $i 2> /dev/null; do i=$((i+1)); done";
    full_at_a_restart(Disk::Tmpfs(300, 3000), fill, "has 0 of 3000 inodes free");
}

#[test]
fn t21_a_disk_that_turns_read_only_is_said() {
    let mut instance = on(Disk::Ext4(256)).start();
    instance.ready();
    // What ext4 does by itself after an error (errors=remount-ro).
    instance.as_root("mount -o remount,abort $DATA");
    instance.postmaster().signal(Signal::SIGKILL);
    instance.wait_log("ended because its file system is read-only");
    assert!(!instance.log().contains("another server"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "nothing of it runs");
}

#[test]
fn t21_a_disk_that_is_read_only_at_the_start_is_waited_out() {
    let mut instance = on(Disk::Ext4(256)).start();
    instance.ready();
    instance.sql("create table t as select 1 as a");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    let mut instance = instance.change(|it| it.setup("mount -o remount,ro $DIR/data"));
    instance.boot();
    instance.wait_log("ended because its file system is read-only");
    instance.as_root("mount -o remount,rw $DATA");
    instance.ready();
    assert_eq!(instance.sql("select a from t"), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t21_a_read_only_disk_at_first_boot_is_said() {
    let mut instance = on(Disk::Ext4(64)).setup("mount -o remount,ro $DIR/data").start();
    assert!(matches!(instance.wait(), Exit::Code(70 | 78)));
    assert!(instance.log().contains("Read-only file system"));
}

#[test]
fn t21_a_sync_that_fails_at_first_boot_leaves_nothing_behind() {
    let mut instance = Instance::builder().sabotaged("fsync,fdatasync,syncfs", "error=EIO").start();
    assert_eq!(instance.wait(), Exit::Code(70));
    let log = instance.log();
    assert!(log.contains("Input/output error") && log.contains("dmesg"), "the cause, and where to look");
    assert_eq!(fs::read_dir(instance.path("data")).unwrap().count(), 0, "the stage is gone");
    let mut instance = instance.change(Builder::without_stand_in);
    instance.boot();
    instance.ready();
}

#[test]
fn t21_a_sync_that_fails_in_the_engine_is_a_crash_and_no_more() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    instance.sql("create table t as select 1 as a");
    let sabotage = Sabotage::on(instance.engine_process("checkpointer").pid, "fsync,fdatasync", "error=EIO");
    assert!(instance.try_sql("checkpoint").is_err());
    drop(sabotage);
    instance.ready();
    assert_eq!(instance.sql("select a from t"), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

/// Sees that PID 1 answers, and that it ends a stop by its deadline although nothing on the disk can.
fn ends_by_its_deadline(mut instance: Instance, frozen: Frozen) {
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("restarts: ");
    let begin = Instant::now();
    instance.signal(Signal::SIGTERM);
    instance.wait_log("ending with status 1");
    assert!(begin.elapsed() < Duration::from_secs(12), "after {:?}", begin.elapsed());
    // What waits for the disk cannot even be killed, and the kernel keeps PID 1 until it is gone.
    drop(frozen);
    assert_eq!(instance.wait_within(SOON), Exit::Code(1));
}

fn in_a_hurry(builder: Builder) -> Builder {
    builder.set("program.engine.stop_timeout", "5s").set("supervisor.stop_timeout", "6s")
}

#[test]
fn a_disk_that_hangs_under_the_engine_does_not_hang_pid_1() {
    let mut instance = in_a_hurry(on(Disk::Ext4(256))).start();
    instance.ready();
    instance.sql("create table t as select 1 as a");
    let frozen = Frozen::data_of(&instance);
    ends_by_its_deadline(instance, frozen);
}

#[test]
fn a_disk_that_hangs_at_first_boot_does_not_hang_pid_1() {
    let mut instance = in_a_hurry(on(Disk::Ext4(256))).failpoint("after-initdb").start();
    instance.at_failpoint();
    let frozen = Frozen::data_of(&instance);
    ends_by_its_deadline(instance, frozen);
}

#[test]
fn a_disk_that_hangs_for_a_while_is_waited_out() {
    let mut instance = on(Disk::Ext4(256)).start();
    instance.ready();
    instance.sql("create table t as select 1 as a");
    let frozen = Frozen::data_of(&instance);
    instance.postmaster().signal(Signal::SIGKILL);
    instance.wait_log("was killed");
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("restarts: ");
    drop(frozen);
    instance.ready();
    assert_eq!(instance.sql("select a from t"), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
