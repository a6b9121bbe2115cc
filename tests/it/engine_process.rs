//! How the engine's process is made: whose it is, and what it inherits.

use std::collections::BTreeMap;
use std::fs;

use crate::common::{Builder, Exit, Instance, Process, Signal, postgres_user};

/// Writes down what the server is started with, then becomes it. The shell blocks all signals while it makes a process,
/// so that the status is read by the shell itself.
const DUMP: &str = "while read -r line; do echo \"$line\"; done < /proc/$$/status > $DIR/run/status\n\
                    cat /proc/$$/stat > $DIR/run/stat\n\
                    tr '\\0' '\\n' < /proc/$$/environ > $DIR/run/environ\n\
                    ls -l /proc/self/fd > $DIR/run/fd\n\
                    exec $REAL \"$@\"";

/// An instance on the real server.
fn served(builder: Builder) -> Instance {
    let mut instance = builder.with_database().start();
    instance.ready();
    instance
}

fn dumped(builder: Builder) -> Instance {
    served(builder.fake_server(DUMP))
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

fn status_of(process: &Process, name: &str) -> String {
    field(&fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap(), name)
}

/// Soft and hard limit, by the words of `/proc/PID/limits`.
fn limit(process: &Process, name: &str) -> (String, String) {
    let text = fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn it_is_the_engines_user_in_a_session_of_its_own_with_no_signal_blocked() {
    // PID 1 itself has more groups than the engine should get.
    let mut instance = dumped(Instance::builder());
    let status = fs::read_to_string(instance.path("run/status")).unwrap();
    let user = postgres_user();
    let four = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
    assert_eq!((field(&status, "Uid"), field(&status, "Gid")), (four(user.uid), four(user.gid)));
    let groups = field(&status, "Groups");
    assert!(!groups.split_whitespace().any(|group| group == "0"), "root's group: {groups}");
    for capabilities in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(field(&status, capabilities), "0000000000000000", "{capabilities}");
    }
    for signals in ["SigBlk", "SigIgn"] {
        // Signal 32 is glibc's own; these are what a supervisor deals with: TERM, INT, QUIT, HUP, USR1, USR2, PIPE.
        let mask = u64::from_str_radix(&field(&status, signals), 16).unwrap();
        let ours = [15, 2, 3, 1, 10, 12, 13].into_iter().fold(0, |all, signal| all | 1 << (signal - 1));
        assert_eq!(mask & ours, 0, "{signals}: {mask:x}");
    }
    let stat = fs::read_to_string(instance.path("run/stat")).unwrap();
    let numbers: Vec<i32> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(1)
        .take(3)
        .map(|n| n.parse().unwrap())
        .collect();
    let pid: i32 = stat.split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(numbers, [1, pid, pid], "parent, group and session");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn it_inherits_no_descriptor_but_the_three() {
    let instance = dumped(Instance::builder().setup("exec 7</etc/passwd 8>/dev/null"));
    let text = fs::read_to_string(instance.path("run/fd")).unwrap();
    let links = text.lines().filter_map(|line| line.split_once(" -> "));
    let found: BTreeMap<u32, &str> = links
        .map(|(line, target)| (line.rsplit(' ').next().unwrap().parse().unwrap(), target))
        // What `ls` itself has open, and writes to.
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect();
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 2], "{text}");
    assert_eq!(found[&0], "/dev/null");
    assert!(found[&2].starts_with("pipe:"));
}

#[test]
fn its_environment_is_short_and_holds_no_secret() {
    let builder = Instance::builder()
        .set("program.engine.environment.COLOUR", "red")
        .set("program.engine.environment.TZ", "Asia/Shanghai")
        .env("TZ", "UTC")
        .env("LC_MESSAGES", "C")
        .env("POSTGRES_PASSWORD", "hush-hush")
        .env("POLARDB_PASSWORD", "")
        .env("POLAR_SUPERVISOR_LOG_LEVEL", "info")
        .env("AWS_SECRET_ACCESS_KEY", "hush-hush");
    let mut instance = builder.start();
    instance.ready();
    let postmaster = instance.postmaster();
    let environment = postmaster.environment();
    let names: Vec<&str> = environment.keys().map(String::as_str).collect();
    let inherited = ["COLOUR", "HOME", "LC_MESSAGES", "LOGNAME", "PATH", "PGDATA", "SHELL", "TZ", "USER"];
    // What the server sets in its own environment is not seen in /proc.
    assert_eq!(names, inherited);
    assert_eq!((environment["COLOUR"].as_str(), environment["TZ"].as_str()), ("red", "Asia/Shanghai"));
    for process in instance.processes().iter().filter(|process| process.name == "postgres") {
        let text = format!("{:?}", process.environment());
        assert!(!text.contains("hush-hush"), "{process:?}");
    }
    // A command that a backend runs sees the same.
    assert_eq!(
        instance.sql("copy (select 1) to program 'env > /tmp/environment; cat > /dev/null'"),
        "COPY 1"
    );
    let seen = fs::read_to_string(format!("/proc/{}/root/tmp/environment", instance.pid1())).unwrap();
    fs::remove_file("/tmp/environment").ok();
    assert!(seen.contains("COLOUR=red") && !seen.contains("hush-hush"), "{seen}");
}

#[test]
fn what_is_configured_of_it_holds() {
    let instance = served(
        Instance::builder()
            .set("program.engine.umask", "0027")
            .set("program.engine.nice", 5)
            .set("program.engine.oom_score_adj", 500)
            .set("program.engine.rlimits.nofile", 1234)
            .set("program.engine.rlimits.core", 0)
            .set("program.engine.groups", vec!["disk"]),
    );
    let log = instance.log();
    assert!(!log.contains("refused"), "{log}");
    let postmaster = instance.postmaster();
    let text = |number: usize| number.to_string();
    assert_eq!(limit(&postmaster, "Max open files"), (text(1234), text(1234)));
    assert_eq!(limit(&postmaster, "Max core file size"), (text(0), text(0)));
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", postmaster.pid)).unwrap();
    assert_eq!(read("oom_score_adj").trim(), "500");
    let stat = read("stat");
    assert_eq!(stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16), Some("5"), "nice: {stat}");
    let groups = status_of(&postmaster, "Groups");
    let disk = fs::read_to_string("/etc/group").unwrap();
    let disk = disk.lines().find_map(|line| line.strip_prefix("disk:x:")).unwrap();
    let disk = disk.split(':').next().unwrap();
    assert!(groups.split_whitespace().any(|group| group == disk), "no {disk} in {groups}");
}

#[test]
fn the_umask_holds() {
    // The server sets one of its own; what it is started with is seen before.
    let instance = dumped(Instance::builder().set("program.engine.umask", "0027"));
    let status = fs::read_to_string(instance.path("run/status")).unwrap();
    assert_eq!(field(&status, "Umask"), "0027");
}

#[test]
fn what_the_kernel_refuses_is_a_warning() {
    let mut instance = served(
        Instance::builder()
            .set("program.engine.oom_score_adj", -500)
            .set("program.engine.nice", -5)
            .set("program.engine.rlimits.nofile", 1_000_000_000),
    );
    let log = instance.log();
    for what in ["oom_score_adj", "nice", "rlimits"] {
        assert!(log.contains(&format!("the kernel refused {what}")), "{what}: {log}");
    }
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_group_that_does_not_exist_is_refused() {
    let mut instance = Instance::builder().set("program.engine.groups", vec!["no-such-group"]).start();
    assert_eq!(instance.wait(), Exit::Code(78));
    assert!(instance.log().contains("no group no-such-group in /etc/group"));
}
