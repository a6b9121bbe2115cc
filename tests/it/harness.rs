//! The harness itself, with stand-ins as PID 1: what it says of a process must be so.

use std::fs;

use crate::common::{Exit, Instance, Output, Plain, Process, SOON, Signal, Snapshot, pg_bin, until};

/// Ends by `TERM` with 7, and by itself never.
const WAITS: &str = "#!/bin/sh\ntrap 'exit 7' TERM\necho up\nwhile :; do sleep 0.05; done\n";

#[test]
fn pid_1_is_the_program_itself_and_its_status_is_seen() {
    let mut instance = Instance::builder().stand_in(WAITS).env("COLOUR", "red").start();
    instance.wait_log("up");
    let init = instance.init();
    assert_eq!((init.inner, init.uid), (1, 0));
    assert_eq!(init.environment()["COLOUR"], "red");
    let status = fs::read_to_string(format!("/proc/{}/status", init.pid)).unwrap();
    let mask = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    // Signal 32 is glibc's own; some machines' init leaves it ignored for all.
    assert_eq!((mask("SigBlk:"), mask("SigIgn:") & 0x7fff_ffff), (0, 0));
    assert_eq!(mask("CapEff:"), 0xa804_25fb, "Docker's default set");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(7));
    assert_eq!(instance.processes(), []);
    instance.boot();
    instance.wait_log("up");
    instance.kill9();
}

#[test]
fn an_end_at_once_is_seen_with_its_status() {
    let mut instance = Instance::builder().stand_in("#!/bin/sh\necho no >&2\nexit 78\n").start();
    assert_eq!(instance.wait(), Exit::Code(78));
    assert_eq!(instance.log(), "no\n");
}

#[test]
fn a_zombie_and_a_command_from_outside_are_seen() {
    let instance = Instance::builder().stand_in("#!/bin/sh\n(sleep 0.3 &)\nexec sleep 60\n").start();
    until("a zombie", SOON, || !instance.zombies().is_empty());
    let zombie = instance.zombies().remove(0);
    assert!(!Process::lives(zombie.pid));
    assert_eq!(instance.enter("id", ["-un"]).success(), "postgres");
    assert_eq!(instance.enter("sh", ["-c", "tr '\\0' ' ' < /proc/1/cmdline"]).success(), "sleep 60 ");
    assert!(instance.init().descriptors().contains_key(&1));
}

#[test]
fn all_goes_with_the_instance_after_a_panic_too() {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let instance = Instance::builder().stand_in(WAITS).start();
        send.send((instance.pid1(), instance.path(""))).unwrap();
        panic!("as a test that fails");
    });
    let (pid, path) = receive.recv().unwrap();
    thread.join().unwrap_err();
    assert!(!Process::lives(pid) && !path.exists());
}

#[test]
fn a_full_pipe_blocks_its_writer_until_it_is_drained() {
    let script = "#!/bin/sh\necho said\ntouch \"${0%/bin/*}/run/said\"\n";
    let mut instance = Instance::builder().stand_in(script).output(Output::FullPipe).start();
    assert_eq!(instance.exit(), None);
    until("a blocked writer", SOON, || {
        fs::read_to_string(format!("/proc/{}/wchan", instance.pid1()))
            .is_ok_and(|place| place.contains("pipe_write"))
    });
    assert!(!instance.path("run/said").exists());
    assert!(instance.drain() >= 4096);
    assert_eq!(instance.wait(), Exit::Code(0));
    assert!(instance.path("run/said").exists());
}

#[test]
fn a_terminal_is_the_controlling_one() {
    let script = "#!/bin/sh\ntrap 'exit 9' INT\ntty\necho up > /dev/tty\nwhile :; do sleep 0.05; done\n";
    let mut instance = Instance::builder().stand_in(script).output(Output::Terminal).start();
    instance.wait_log("up");
    instance.type_text("\x03");
    assert_eq!(instance.wait(), Exit::Code(9));
}

#[test]
fn the_engine_of_an_instance_is_seen() {
    let run = format!(
        "#!/bin/sh\nexec setpriv --reuid=postgres --regid=postgres --init-groups {}/postgres -D \"$DATA\"\n",
        pg_bin().display()
    );
    let builder = Instance::builder().with_database().stand_in(&run);
    let data = builder.dir.path("data");
    let mut instance = builder.env("DATA", &data).start();
    instance.ready();
    assert_eq!(instance.sql("select 6 * 7"), "42");
    assert_eq!(instance.tcp("postgres", "postgres", None, "select 1").success(), "1");
    assert!(instance.try_sql("select nothing").unwrap_err().contains("nothing"));
    assert!(instance.accepts() && instance.accepts_tcp());
    assert_eq!(instance.postmaster().inner, 1);
    let checkpointer = instance.engine_process("checkpointer");
    assert_eq!(instance.pg("pg_ctl", ["status", "-D", data.to_str().unwrap()]).code(), 0);
    checkpointer.signal(Signal::SIGKILL);
    until("another checkpointer", SOON, || {
        instance.processes().iter().any(|p| p.command.contains("checkpointer") && p.pid != checkpointer.pid)
    });
    // Asked to stop in the middle of this restart, PostgreSQL 15 can hang; that is not the harness's matter.
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGINT), Exit::Code(0));
    assert!(!instance.accepts());
}

#[test]
#[should_panic(expected = "changed on disk")]
fn a_changed_mode_is_a_change_on_disk() {
    let builder = Instance::builder();
    let file = builder.dir.file("data/file", "content", 0o600);
    let before = Snapshot::of(&builder.dir.path("data"));
    before.assert_same(&builder.dir.path("data"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    fs::set_permissions(file, mode).unwrap();
    before.assert_same(&builder.dir.path("data"));
}

#[test]
fn a_plain_run_is_captured() {
    let done = Plain::new(["exec", "--", "true"]).env("KEY", "value").stdin("text").run();
    assert_eq!((done.code(), done.stdout.as_str()), (0, ""));
}
