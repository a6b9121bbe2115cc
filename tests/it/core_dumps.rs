//! No core of PID 1, whose environment may hold passwords; and what it starts has the limit that it had.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use crate::common::{Exit, Instance, Process, SOON, SUPERVISOR, Signal, until};

/// The limit of cores in force and the highest, in bytes.
fn limit(limits: &str) -> (String, String) {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

fn of(process: &Process) -> (String, String) {
    limit(&fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap())
}

#[test]
fn pid_1_leaves_none_and_what_it_starts_has_the_inherited_limit() {
    let mut instance = Instance::builder()
        .with_database()
        .setup("ulimit -H -c 4096; ulimit -S -c 2048; cat /proc/self/limits > \"$DIR/limits\"")
        .command("task", "exec sleep 1000", "")
        .command("other", "exec sleep 1001", "rlimits = { core = 512 }")
        .start();
    instance.ready();
    let (soft, hard) = limit(&fs::read_to_string(instance.path("limits")).unwrap());
    assert!(soft != hard && soft != "1", "{soft} {hard}");
    assert_eq!(of(&instance.init()), ("1".to_owned(), hard.clone()), "1 is the kernel's word for none");
    assert_eq!(of(&instance.postmaster()), (soft.clone(), hard.clone()));
    assert_eq!(of(&instance.engine_process("checkpointer")), (soft.clone(), hard.clone()));
    assert_eq!(of(&instance.find("sleep 1000")), (soft, hard));
    assert_eq!(of(&instance.find("sleep 1001")), ("512".to_owned(), "512".to_owned()));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

/// Whether a program leaves a core when it is told to abort.
fn dumps(line: &str, ready: impl Fn(i32) -> bool) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -c unlimited && exec {line}")]).current_dir(dir.path());
    command.env("POSTGRES_PASSWORD", "hush-hush").process_group(0).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    until("it to be under way", SOON, || ready(pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGABRT).unwrap();
    let status = child.wait().unwrap();
    // What it leaves behind, if anything.
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).ok();
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{status:?}");
    status.core_dumped()
}

#[test]
fn an_abort_leaves_no_core_where_another_program_leaves_one() {
    let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert!(dumps("sleep 1000", |pid| name(pid) == "sleep\n"), "this machine makes none at all");
    let has_child = |pid: i32| {
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .is_ok_and(|children| !children.is_empty())
    };
    assert!(!dumps(&format!("{SUPERVISOR} exec -- sleep 100"), has_child));
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("supervisor.toml");
    let run = dir.path().display();
    let text = format!(
        "[supervisor]\nrun_dir = '{run}'\nlog_dir = '{run}'\n[program.a]\nkind = 'command'\ncommand = ['sleep', '100']\n"
    );
    fs::write(&config, text).unwrap();
    assert!(!dumps(&format!("{SUPERVISOR} --config {}", config.display()), has_child));
}
