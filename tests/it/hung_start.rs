//! A program that does not come to run, for its disk hangs: neither PID 1 nor another program waits for it.

use crate::common::{Builder, Exit, Instance, Process, SOON, Signal, eventually};

/// A file system whose server never answers lies at `run/hung`.
fn with_hung_disk() -> Builder {
    let builder = Instance::builder().without("engine");
    builder.setup(
        "mkdir \"$DIR/run/hung\"; exec 9<>/dev/fuse; mount -i -t fuse -o \
         fd=9,rootmode=40000,user_id=0,group_id=0,default_permissions hung \"$DIR/run/hung\"; \
         mount -i -t fusectl none /sys/fs/fuse/connections",
    )
}

/// The child of PID 1 that has not become its program.
fn on_its_way(instance: &Instance) -> Process {
    eventually("the child on its way", SOON, || {
        let pid1 = instance.init();
        instance.processes().into_iter().find(|it| it.parent == pid1.pid && it.command == pid1.command)
    })
}

/// The disk is given up: whoever waits for it gets an error.
fn end_the_hang(instance: &Instance) {
    let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", instance.pid1())).unwrap();
    let line = mounts.lines().find(|line| line.contains("/run/hung ")).unwrap();
    let minor = line.split(' ').nth(2).and_then(|device| device.strip_prefix("0:")).unwrap();
    instance.as_root(&format!("echo 1 > /sys/fs/fuse/connections/{minor}/abort"));
}

#[test]
fn a_folder_that_hangs_holds_up_its_own_program_alone() {
    let builder = with_hung_disk().command(
        "hung",
        "exec sleep 7001",
        "working_dir = \"$DIR/run/hung\"\nstop_timeout = \"2s\"",
    );
    let mut instance = builder.command("steady", "exec sleep 7002", "").start();
    instance.wait_log("does not come to run its program");
    let child = on_its_way(&instance);
    let before = instance.find("sleep 7002");
    before.signal(Signal::SIGKILL);
    instance.until("another one", |it| it.process("sleep 7002").is_some_and(|it| it.pid != before.pid));
    let status = instance.status("hung");
    assert_eq!((&status["state"], &status["ready"]), (&"starting".into(), &false.into()), "{status}");
    // It is killed in the end, since it hangs with all signals blocked.
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(1), "{}", instance.log());
    assert!(!Process::lives(child.pid));
    assert!(instance.said_of("hung").iter().all(|line| !line.contains("started, process")));
}

#[test]
fn an_error_that_comes_late_is_one_that_could_not_be_executed() {
    let keys = "working_dir = \"$DIR/run/hung\"\ncritical = true\n[restart]\ngive_up_after = 1";
    let mut instance = with_hung_disk().command("hung", "exec sleep 7003", keys).start();
    instance.wait_log("does not come to run its program");
    on_its_way(&instance);
    end_the_hang(&instance);
    assert_eq!(instance.wait(), Exit::Code(126), "{}", instance.log());
    let log = instance.log();
    assert!(log.contains("set the key working_dir") && log.contains("could not be executed"), "{log}");
    assert!(!log.contains("started, process"), "{log}");
}

#[test]
fn an_executable_that_hangs_is_stopped_as_any_program() {
    let keys = "kind = \"command\"\ncommand = [\"$DIR/run/hung/program\"]\nstop_timeout = \"2s\"";
    let mut instance =
        with_hung_disk().program("hung", keys).command("steady", "exec sleep 7004", "").start();
    instance.wait_log("does not come to run its program");
    instance.find("sleep 7004");
    on_its_way(&instance);
    instance.ctl("stop hung").success();
    instance.wait_state("hung", "down");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0), "{}", instance.log());
}
