//! Machines that are out of processes, memory or descriptors: PID 1 lives, says so, tries again, and serves again once
//! there is room.

use std::fs;
use std::time::Duration;

use crate::common::{Builder, Exit, Instance, Pids, Sabotage, Signal, set_limit};

/// Kills the postmaster while `lack` holds, sees that PID 1 tells `text` and answers, then ends the lack.
fn lives_through<L>(
    instance: &mut Instance,
    lack: impl FnOnce(&Instance) -> L,
    text: &str,
    end: impl FnOnce(L),
) {
    instance.ready();
    let lack = lack(instance);
    instance.postmaster().signal(Signal::SIGKILL);
    instance.wait_log("its process could not be made");
    instance.wait_log(text);
    // Long enough for more tries, which nobody needs to be told of.
    std::thread::sleep(Duration::from_millis(2500));
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("failures in a row: 1");
    // The answer to the signal holds the words, too.
    let log = instance.log();
    let warned = log.lines().filter(|line| line.contains(" WARN ") && line.contains("could not be made"));
    assert_eq!(warned.count(), 1, "said once");
    assert!(instance.zombies().is_empty());
    end(lack);
    instance.ready();
}

#[test]
fn t11_a_full_pids_cgroup_is_outlived() {
    let pids = Pids::new();
    let mut instance = Instance::builder().with_database().start();
    let fill = |it: &Instance| {
        pids.add(it.pid1());
        pids.limit("1");
    };
    lives_through(&mut instance, fill, "raise that of the container (pids.max)", |()| pids.limit("max"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t11_a_user_without_processes_left_is_outlived() {
    let mut instance = Instance::builder().account(23_456, 23_456).start();
    let pid1 = instance.pid1();
    let fill = |_: &Instance| set_limit(pid1, "--nproc=1");
    lives_through(&mut instance, fill, "or of its user (nproc)", |()| set_limit(pid1, "--nproc=10000"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t11_a_fork_without_memory_is_outlived() {
    let mut instance = Instance::builder().with_database().start();
    let fill = |it: &Instance| Sabotage::on(it.pid1(), "clone,clone3,fork,vfork", "error=ENOMEM");
    lives_through(&mut instance, fill, "there is no memory left", drop);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t11_a_fork_on_a_machine_without_descriptors_is_outlived() {
    let mut instance = Instance::builder().with_database().start();
    let pid1 = instance.pid1();
    let fill = |_: &Instance| set_limit(pid1, "--nofile=3");
    lives_through(&mut instance, fill, "raise it (nofile)", |()| set_limit(pid1, "--nofile=1024"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t11_a_stop_without_processes_and_descriptors_is_in_order() {
    let pids = Pids::new();
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    pids.add(instance.pid1());
    pids.limit("1");
    set_limit(instance.pid1(), "--nofile=3");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

/// PID 1's own memory may not grow by a byte: what it needs to live is there from the beginning.
#[test]
fn t11_pid_1_without_address_space_lives() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    let pid1 = instance.pid1();
    set_limit(pid1, "--as=1000000");
    instance.postmaster().signal(Signal::SIGKILL);
    // Its children inherit the limit and cannot even be loaded.
    instance.wait_log("its prepare child failed");
    for turn in 1..=20 {
        instance.signal(Signal::SIGUSR1);
        instance.wait_log_count("failures in a row: ", turn);
    }
    set_limit(pid1, "--as=unlimited");
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

fn sabotaged(calls: &str, how: &str) -> Builder {
    Instance::builder().with_database().set("program.engine.lock_poll", "500ms").sabotaged(calls, how)
}

fn heeds_the_lock(instance: &mut Instance) {
    fs::write(instance.lock(), "").unwrap();
    instance.until("no engine", |it| !it.engine_runs());
    fs::remove_file(instance.lock()).unwrap();
    instance.ready();
}

#[test]
fn without_inotify_the_lock_file_is_polled() {
    let mut instance = sabotaged("inotify_init1", "error=EMFILE").start();
    instance.ready();
    instance.wait_log("no notifications to be had from the kernel (inotify); the lock file is polled");
    heeds_the_lock(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn without_inotify_watches_the_lock_file_is_polled() {
    let mut instance = sabotaged("inotify_add_watch", "error=ENOSPC").start();
    instance.ready();
    instance.wait_log("cannot be watched");
    heeds_the_lock(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t11_threads_that_cannot_be_made_are_tried_again() {
    // Threads are made by clone3, processes by clone: the first two of each thread fail.
    let mut instance = sabotaged("clone3", "error=EAGAIN:when=1..2").start();
    instance.wait_log("no thread can be made to look at the lock files");
    assert!(!instance.engine_runs(), "nothing starts before the lock was looked at");
    instance.ready();
    instance.wait_log("no notifications to be had from the kernel");
    heeds_the_lock(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn t11_few_descriptors_from_the_start_are_said() {
    let mut instance = Instance::builder().with_database().setup("ulimit -S -n 20").start();
    instance.wait_log("raise it (nofile)");
    set_limit(instance.pid1(), "--nofile=1024");
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
