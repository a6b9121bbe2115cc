//! Containers of an arbitrary `--user`, with little that can be written.

use crate::common::{Builder, Exit, Instance, Signal};

/// As OpenShift does it: a uid that nobody knows, in group 0.
const UID: u32 = 1_000_680_000;

fn anybody() -> Builder {
    Instance::builder().account(UID, 0)
}

/// Removes libnss-wrapper in the instance's mount namespace.
const NO_WRAPPER: &str = "mount -t tmpfs tmpfs /mnt; for f in $(ls /usr/lib*/libnss_wrapper.so /usr/lib/*/libnss_wrapper.so 2> /dev/null); do \
                          d=$(dirname $f); mkdir -p /mnt/$d/up /mnt/$d/work; \
                          mount -t overlay -o lowerdir=$d,upperdir=/mnt/$d/up,workdir=/mnt/$d/work overlay $d; \
                          rm -f $f; done; true";

/// Makes the whole file system read-only but for what a container mounts.
const READ_ONLY: &str =
    "for d in data log run sock; do mount --bind $DIR/$d $DIR/$d; done; mount -o remount,bind,ro /";

fn lives(instance: &mut Instance) {
    instance.wait_log("ready after");
    assert!(instance.accepts_tcp());
    let first = instance.postmaster();
    assert_eq!(first.uid, UID);
    first.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|found| found != first));
    instance.wait_log_count("ready after", 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_user_without_an_entry_lives() {
    lives(&mut anybody().start());
}

#[test]
fn a_user_without_an_entry_lives_on_a_read_only_root() {
    let mut instance = anybody().setup(READ_ONLY).start();
    lives(&mut instance);
}

#[test]
fn a_user_without_an_entry_and_without_a_folder_of_its_own_lives() {
    // /run/polardb cannot be made, and /tmp not be written.
    let mut instance = anybody().set("supervisor.run_dir", "/run/pm-test-none").setup(READ_ONLY).start();
    lives(&mut instance);
}

#[test]
fn root_on_a_read_only_root_lives() {
    let mut instance = Instance::builder().setup(READ_ONLY).start();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_home_that_cannot_be_written_matters_to_nobody() {
    let mut instance = Instance::builder().env("HOME", "/proc/none").start();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn without_an_entry_and_without_libnss_wrapper_it_says_the_way_out() {
    let mut instance = anybody().setup(NO_WRAPPER).start();
    assert_eq!(instance.wait(), Exit::Code(78));
    let log = instance.log();
    for text in ["has no entry in /etc/passwd", "install libnss-wrapper", &UID.to_string()] {
        assert!(log.contains(text), "no {text:?}");
    }
}
