//! T10: whoever reads PID 1's output may be slow, stuck or gone; the database does not notice.

use std::fs;

use crate::common::{Exit, Instance, Output, Signal};

/// Writes without end in the engine's name, and is no business of the engine's.
const FLOOD: &str = "yes 'a line of no interest at all' &\nexec $REAL \"$@\"";

/// The whole life of an instance: start, restart, lock, reload, stop.
fn lives_as_ever(instance: &mut Instance) {
    instance.ready();
    let first = instance.postmaster();
    first.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != first.pid));
    instance.ready();
    // More than a pipe holds.
    for _ in 0..20 {
        instance.signal(Signal::SIGUSR1);
        instance.signal(Signal::SIGHUP);
    }
    instance.touch_lock();
    instance.until("the engine to obey the lock", |it| it.processes().len() == 1);
    fs::remove_file(instance.lock()).unwrap();
    instance.ready();
}

#[test]
fn t10_a_full_pipe_that_nobody_reads() {
    let mut instance = Instance::builder().with_database().output(Output::FullPipe).start();
    lives_as_ever(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn t10_what_was_not_read_is_counted_once_there_is_room() {
    let mut instance = Instance::builder().with_database().output(Output::FullPipe).start();
    instance.ready();
    instance.drain();
    instance.signal(Signal::SIGUSR1);
    let text = instance.read_pipe();
    assert!(text.contains(" lines were dropped: nobody read them"), "{text}");
    instance.signal(Signal::SIGUSR1);
    instance.until("a line that is read", |_| true);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    let text = instance.read_pipe();
    assert!(text.contains("running for") && text.contains("ending with status 0"), "{text}");
}

#[test]
fn t10_a_reader_that_has_gone() {
    let mut instance = Instance::builder().with_database().output(Output::ClosedPipe).start();
    lives_as_ever(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn t10_a_terminal_and_ctrl_c() {
    let mut instance = Instance::builder().with_database().output(Output::Terminal).start();
    lives_as_ever(&mut instance);
    instance.type_text("\x03");
    assert_eq!(instance.wait(), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn t10_a_first_boot_with_a_full_pipe() {
    let mut instance = Instance::builder().output(Output::FullPipe).script("1.sql", "select 1;").start();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn an_engine_that_floods_its_output_keeps_pid_1_from_nothing() {
    let builder = Instance::builder().with_database().fake_server(FLOOD);
    let mut instance = builder.output(Output::FullPipe).start();
    lives_as_ever(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn a_flood_that_nobody_reads_any_more() {
    let builder = Instance::builder().with_database().fake_server(FLOOD);
    let mut instance = builder.output(Output::ClosedPipe).start();
    lives_as_ever(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_flood_of_errors_of_the_engine_itself() {
    let mut instance = Instance::builder()
        .with_database()
        .conf("logging_collector = off\nlog_destination = 'stderr'\nlog_statement = 'all'")
        .output(Output::FullPipe)
        .start();
    instance.ready();
    let session = instance.session("do $$ begin loop raise warning 'again'; end loop; end $$");
    instance.until("many answers beside the flood", |it| {
        (0..5).all(|_| it.try_sql("select 1") == Ok("1".into()))
    });
    assert!(crate::common::Process::lives(session.backend.pid));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn a_line_without_an_end_does_not_fill_pid_1s_memory() {
    let script = "tr '\\0' x < /dev/zero &\nexec $REAL \"$@\"";
    let builder = Instance::builder().with_database().fake_server(script);
    let mut instance = builder.output(Output::ClosedPipe).start();
    instance.ready();
    for _ in 0..20 {
        assert_eq!(instance.sql("select 1"), "1");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", instance.pid1())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 64 * 1024, "{kilobytes} kB");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
