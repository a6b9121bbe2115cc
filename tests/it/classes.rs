//! What an end means, when it is followed by a start, and with what status PID 1 gives up.

use crate::common::{Builder, Exit, Instance, Signal};

const SEGV: &str = "kill -SEGV $$; sleep 1";

fn ends_by(script: &str, policy: &str) -> Builder {
    Instance::builder()
        .with_database()
        .fake_server(script)
        .set("program.engine.restart.policy", policy)
        .set("program.engine.restart.give_up_after", 2)
        .set("program.engine.restart.clean_exit_delay", "10ms")
}

/// PID 1's exit status, how often the engine was started, and the log.
fn given_up(builder: Builder) -> (Exit, usize, String) {
    let mut instance = builder.start();
    let exit = instance.wait();
    let log = instance.log();
    (exit, log.matches("started, process").count(), log)
}

/// Each script ends the engine in its own way: PID 1 ends with this status, after these words.
fn assert_named(cases: &[(&str, i32, &str)]) {
    for &(script, status, said) in cases {
        let (exit, starts, log) = given_up(ends_by(script, "always"));
        assert_eq!((exit, starts), (Exit::Code(status), 2), "{script}: {log}");
        assert!(log.contains(said), "{script}: no {said:?} in {log}");
        let last_words = format!("failures in a row: 2; ending with status {status}");
        assert!(log.contains("gave up: ") && log.contains(&last_words), "{script}: {log}");
    }
}

#[test]
fn t07_each_status_is_named_and_becomes_the_exit_status() {
    assert_named(&[
        ("exit 1", 1, "failed (exit status 1)"),
        ("exit 3", 3, "failed (exit status 3)"),
        ("exit 42", 42, "failed (exit status 42)"),
        ("exit 255", 255, "failed (exit status 255)"),
    ]);
}

#[test]
fn t07_each_signal_is_named_and_becomes_the_exit_status() {
    assert_named(&[
        (SEGV, 139, "crashed (signal 11)"),
        ("kill -ABRT $$; sleep 1", 134, "crashed (signal 6)"),
        ("kill -KILL $$; sleep 1", 137, "was killed (signal 9)"),
        ("kill -TERM $$; sleep 1", 143, "crashed (signal 15)"),
    ]);
}

#[test]
fn t07_what_the_engine_says_at_its_end_is_understood() {
    assert_named(&[
        ("echo 'PANIC:  could not write: No space left on device' >&2; exit 1", 1, "the disk is full"),
        (
            "echo 'FATAL:  configuration file \"postgresql.conf\" contains errors' >&2; exit 1",
            1,
            "does not accept its configuration",
        ),
        ("echo 'FATAL:  could not create any TCP/IP sockets' >&2; exit 1", 1, "found its port taken"),
    ]);
}

#[test]
fn t07_the_policy_says_after_which_ends_it_starts_again() {
    for (script, policy, status, starts) in [
        ("exit 0", "on-failure", 1, 1),
        ("exit 0", "never", 1, 1),
        ("exit 3", "on-failure", 3, 2),
        (SEGV, "on-failure", 139, 2),
        ("exit 3", "never", 3, 1),
        (SEGV, "never", 139, 1),
    ] {
        let (exit, seen, log) = given_up(ends_by(script, policy));
        assert_eq!((exit, seen), (Exit::Code(status), starts), "{policy}, {script}: {log}");
        assert!(log.contains("gave up: "), "{policy}, {script}: {log}");
    }
}

#[test]
fn t07_under_always_an_exit_0_is_no_failure_however_often() {
    let mut instance = ends_by("exit 0", "always").start();
    instance.wait_log_count("started, process", 5);
    assert!(!instance.log().contains("gave up"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t07_a_success_in_between_does_not_clear_the_failures_before_its_time() {
    // Serves at its first, third, ... start, and fails at the others: ready for a moment is no success.
    let script = "n=$(cat $DIR/run/n 2>/dev/null || echo 0); echo $((n + 1)) > $DIR/run/n\n\
                  [ $((n % 2)) = 0 ] && exec $REAL \"$@\"; exit 3";
    let mut instance = ends_by(script, "always").set("program.engine.restart.give_up_after", 3).start();
    instance.ready();
    instance.postmaster().signal(Signal::SIGKILL);
    instance.wait_log_count("ready after", 2);
    instance.postmaster().signal(Signal::SIGKILL);
    assert_eq!(instance.wait(), Exit::Code(137));
    assert!(instance.log().contains("failures in a row: 3; ending with status 137"));
}

#[test]
fn t08_giving_up_may_leave_pid_1_alive() {
    let mut instance = ends_by("exit 3", "always").set("program.engine.restart.on_give_up", "stay").start();
    instance.wait_log("gave up: ");
    assert!(instance.log().contains("it stays down until an operator starts it"));
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("failed for");
    assert_eq!(instance.exit(), None);
    instance.until("only PID 1", |it| it.processes().len() == 1);
    // A lock that comes and goes is an operator's word: it is tried again.
    instance.touch_lock();
    instance.wait_log("locked: ");
    std::fs::remove_file(instance.lock()).unwrap();
    instance.wait_log_count("started, process", 4);
    instance.wait_log_count("gave up: ", 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t08_a_setting_that_the_engine_does_not_know_is_named() {
    let builder = Instance::builder().with_database().conf("shard_buffers = '1GB'");
    let (exit, starts, log) = given_up(builder.set("program.engine.restart.give_up_after", 2));
    assert_eq!((exit, starts), (Exit::Code(1), 2), "{log}");
    assert!(log.contains("does not accept its configuration") && log.contains("shard_buffers"), "{log}");
}

#[test]
fn a_real_postmaster_that_crashes_too_often_ends_pid_1_with_its_status() {
    let builder = Instance::builder().with_database().set("program.engine.restart.give_up_after", 2);
    let mut instance = builder.start();
    instance.ready();
    instance.postmaster().signal(Signal::SIGSEGV);
    instance.wait_log_count("ready after", 2);
    instance.postmaster().signal(Signal::SIGSEGV);
    assert_eq!(instance.wait(), Exit::Code(139));
    assert_eq!(instance.processes(), []);
}
