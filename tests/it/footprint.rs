//! What PID 1 and its helper take of the machine's memory.

use std::fs;
use std::time::Duration;

use crate::common::{BOOT, Builder, Exit, Instance, Signal, until};

/// Much longer than the writer has nothing to do before it goes, and on a busy machine still enough.
const LET_GO: Duration = Duration::from_secs(5);

fn sidecar(line: &str) -> Builder {
    Instance::builder().without("engine").command("task", line, "")
}

/// Size and resident size of a mapping of PID 1, in KiB.
fn mapping(instance: &Instance, name: &str) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{}/smaps", instance.pid1())).unwrap();
    let of_it = text.split_once(name).unwrap().1;
    let value = |key: &str| {
        let line = of_it.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    (value("Size:"), value("Rss:"))
}

/// The addresses are what a limit can refuse: they are PID 1's from the beginning. The pages come when they are used.
#[test]
fn the_reserve_is_of_addresses_and_not_of_pages() {
    let mut instance = sidecar("exec sleep 1000").start();
    instance.wait_state("task", "running");
    for (name, reserved, used) in [("[heap]", 3 * 1024, 140), ("[stack]", 256, 140)] {
        let (size, resident) = mapping(&instance, name);
        assert!(size >= reserved, "{name}: {size} KiB of addresses");
        assert!(resident <= used, "{name}: {resident} KiB resident");
    }
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn the_journals_writer_stays_for_a_burst_and_comes_again() {
    let mut instance = sidecar("exec sleep 1000").start();
    let journal = |instance: &Instance| {
        fs::read_to_string(instance.path("log/events.jsonl")).unwrap_or_default().lines().count()
    };
    until("the first events in the journal", BOOT, || journal(&instance) > 1);
    until("the writer to be gone", LET_GO, || instance.writer().is_none());
    let before = journal(&instance);
    instance.find("sleep 1000").signal(Signal::SIGKILL);
    until("the journal to tell of the end and the start", BOOT, || journal(&instance) > before + 1);
    until("the writer to be gone", LET_GO, || instance.writer().is_none());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
