//! A `postmaster.pid` that was left behind: never refused for ever, never two postmasters.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use polardb_manager::engine::pidfile;
use polardb_manager::engine::record::{self, Record};

use crate::common::{Builder, Exit, Instance, SOON, Signal, eventually, postgres_user, until};

/// The record of the last start, once it covers the pid file that is there.
pub fn record(instance: &Instance) -> Record {
    let read = |name: &str| fs::read(instance.path("data").join(name)).ok();
    eventually("a record of the start", SOON, || {
        let record = record::parse(&read(record::FILE)?)?;
        let file = pidfile::parse(&read("postmaster.pid")?).ok()?;
        (record.postmaster == file.pid && record.started == file.started).then_some(record)
    })
}

/// Writes another record.
fn forge(instance: &Instance, record: &Record) {
    let content = record::write(record).unwrap();
    instance.spec.dir.file(format!("data/{}", record::FILE), content, 0o600);
}

fn pid_file(instance: &Instance) -> PathBuf {
    instance.path("data/postmaster.pid")
}

/// An instance that was ended as `docker kill` does it, with a row in `kept`.
fn killed(builder: Builder) -> Instance {
    let mut instance = builder.with_database().start();
    instance.ready();
    record(&instance);
    instance.sql("create table kept as select 7 as n");
    instance.kill9();
    instance
}

/// Boots, and finds the row; how long that took.
fn serves(instance: &mut Instance) -> Duration {
    let begin = Instant::now();
    instance.boot();
    instance.ready();
    let took = begin.elapsed();
    assert_eq!(instance.sql("select n from kept"), "7");
    assert_eq!(instance.log().matches("started, process").count(), 1, "no start was in vain");
    took
}

/// The pid file of a supervised engine, with another pid in it and in its record, as if PID 1 had given it that one.
const SPOOF: &str = r#"spoof() {
    sed -i "1s/.*/$1/" "$DIR/data/postmaster.pid"
    sed -i "s/\"postmaster\":[0-9]*/\"postmaster\":$1/" "$DIR/data/polar_supervisor.start"
}"#;

/// Boots with a pid file whose pid the shell line `setup` chooses, of a supervisor of an earlier boot of the machine.
fn serves_with_pid_of(setup: &str) -> Instance {
    let mut instance = killed(Instance::builder());
    let mut found = record::parse(&fs::read(instance.path("data").join(record::FILE)).unwrap()).unwrap();
    found.place.boot = "an earlier one".to_owned();
    forge(&instance, &found);
    let user = postgres_user();
    let account =
        format!("as() {{ setpriv --reuid={} --regid={} --clear-groups \"$@\"; }}", user.uid, user.gid);
    instance = instance.change(|spec| spec.setup(SPOOF).setup(account).setup(setup));
    serves(&mut instance);
    assert!(instance.log().contains("nothing to wait for"), "{}", instance.log());
    instance
}

#[test]
fn t03_docker_kill_and_start_pay_a_second() {
    let mut instance = killed(Instance::builder());
    for same_number in [true, false] {
        if !same_number {
            // The kernel gives the number of a namespace again as soon as all of it is gone, which is a proof too.
            let mut found = record(&instance);
            found.place.pid_namespace += 1_000_000;
            forge(&instance, &found);
        }
        let took = serves(&mut instance);
        println!("kill -9 of PID 1, then start: answers after {took:?}");
        assert!(took < Duration::from_secs(15), "{took:?}");
        let log = instance.log();
        if !same_number {
            assert!(log.contains("our predecessor, is gone: starting after 1 s"), "{log}");
        }
        assert!(!log.contains("125 s"), "{log}");
        record(&instance);
        instance.kill9();
    }
}

#[test]
fn t03_a_pid_file_of_another_boot_is_waited_for_by_nobody() {
    let instance = serves_with_pid_of(":");
    assert!(!instance.log().contains("starting after"), "{}", instance.log());
}

#[test]
fn t03_the_pid_is_a_thread_of_pid_1() {
    // The number of the watch thread is the same in each boot, for the same processes are made before it.
    let mut instance = Instance::builder().with_database().setup(":").setup(":").setup(":").start();
    instance.ready();
    let task = format!("/proc/{}/task", instance.pid1());
    let status = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("status")).ok();
    let threads = fs::read_dir(task).unwrap().flatten().filter_map(status);
    let inner = |text: String| {
        text.lines().find(|line| line.starts_with("NSpid:"))?.split_whitespace().last()?.parse().ok()
    };
    let thread: i32 = threads.filter_map(inner).max().unwrap();
    assert_ne!(thread, 1, "PID 1 has a watch thread");
    let mut found = record(&instance);
    instance.sql("create table kept as select 7 as n");
    instance.kill9();
    let text = fs::read_to_string(pid_file(&instance)).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    instance.spec.dir.file("data/postmaster.pid", format!("{thread}\n{rest}"), 0o600);
    (found.postmaster, found.place.boot) = (thread, "an earlier one".to_owned());
    forge(&instance, &found);
    serves(&mut instance);
    let log = instance.log();
    assert!(log.contains(&format!("{thread} is a thread of process 1, not a process")), "{log}");
}

#[test]
fn t03_the_pid_is_that_of_another_process() {
    let instance = serves_with_pid_of("as sleep 1000 & spoof $!");
    assert!(instance.log().contains("runs another executable"), "{}", instance.log());
    assert!(instance.processes().iter().any(|process| process.name == "sleep"), "it was left alone");
}

#[test]
fn t03_the_pid_is_that_of_pid_1_itself() {
    let instance = serves_with_pid_of("spoof 1");
    assert!(instance.log().contains("process 1 runs another executable"), "{}", instance.log());
}

#[test]
fn t03_the_pid_is_that_of_a_zombie() {
    let mut instance = serves_with_pid_of(
        "as sh -c 'sleep 0.3 & echo $! > \"$DIR/run/zombie\"; exec sleep 1000' &\n\
         until grep -q 'State:.Z' \"/proc/$(cat \"$DIR/run/zombie\")/status\"; do sleep 0.05; done; spoof $(cat \"$DIR/run/zombie\")",
    );
    assert!(instance.log().contains("is dead and only waits to be reaped"), "{}", instance.log());
    // Beside it PID 1's own helpers come and go.
    instance.until("that zombie alone", |it| it.zombies().len() == 1);
}

#[test]
fn t03_garbage_nothing_or_a_folder_in_its_place_is_moved_aside() {
    let mut instance = killed(Instance::builder());
    for spoil in
        ["printf 'what is this\\n' >", ":>", "rm -f \"$1\"; mkdir -m 0", "rm -f \"$1\"; ln -s /nowhere"]
    {
        let file = pid_file(&instance);
        let script = format!("{spoil} \"$1\"");
        let mut shell = std::process::Command::new("sh");
        assert!(shell.args(["-c", &script, "sh"]).arg(&file).status().unwrap().success());
        let took = serves(&mut instance);
        assert!(took < Duration::from_secs(10), "{spoil}: {took:?}");
        assert!(instance.log().contains("; moved to "), "{spoil}: {}", instance.log());
        record(&instance);
        instance.kill9();
    }
    let names = fs::read_dir(instance.path("data")).unwrap().flatten();
    let asides = names.filter(|entry| entry.file_name().to_string_lossy().contains(".pid.stale-")).count();
    assert!(asides >= 3, "{asides}");
}

#[test]
fn t03_an_unreadable_pid_file_proves_nothing() {
    let mut instance = killed(Instance::builder());
    let file = pid_file(&instance);
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    chown(&file, Some(0), Some(0)).unwrap();
    instance.boot();
    instance.wait_log("not started yet, tried again each second");
    assert!(
        instance.log().contains("postmaster.pid: it cannot be read: Permission denied"),
        "{}",
        instance.log()
    );
    std::thread::sleep(Duration::from_secs(3));
    assert!(!instance.engine_runs() && file.exists());
    fs::remove_file(&file).unwrap();
    instance.ready();
    assert_eq!(instance.sql("select n from kept"), "7");
}

#[test]
fn t03_a_file_that_nobody_knows_is_watched_and_then_dead() {
    // Of a postmaster that no record covers, and of a standalone backend.
    for (number, wait) in [("77", 3), ("-77", 3)] {
        let instance = killed(Instance::builder());
        fs::remove_file(instance.path("data").join(record::FILE)).unwrap();
        let text = format!("{number}\n{}\n1000\n", instance.path("data").display());
        instance.spec.dir.file("data/postmaster.pid", text, 0o600);
        let mut instance = instance.change(|spec| spec.env("POLAR_FAILPOINT_VIGIL", wait.to_string()));
        let took = serves(&mut instance);
        assert!(took > Duration::from_secs(wait), "{took:?}");
        let log = instance.log();
        assert!(log.contains("no record of a supervisor tells who wrote it"), "{log}");
        assert!(log.contains("nobody has looked after it for 3 s: its postmaster is dead"), "{log}");
    }
}

#[test]
fn t03_whoever_removes_the_file_ends_the_watch() {
    let mut instance = killed(Instance::builder());
    fs::remove_file(instance.path("data").join(record::FILE)).unwrap();
    instance.boot();
    instance.wait_log("starting after 125 s");
    fs::remove_file(pid_file(&instance)).unwrap();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    // And a stop does not wait for it either.
    instance.boot();
    instance.ready();
    instance.kill9();
    fs::remove_file(instance.path("data").join(record::FILE)).unwrap();
    instance.boot();
    instance.wait_log("starting after 125 s");
    let begin = Instant::now();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_supervisor_that_was_not_pid_1_proves_nothing_elsewhere() {
    let mut instance = killed(Instance::builder());
    let mut found = record::parse(&fs::read(instance.path("data").join(record::FILE)).unwrap()).unwrap();
    assert!(found.place.init);
    (found.place.init, found.place.pid_namespace) = (false, 1);
    forge(&instance, &found);
    instance = instance.change(|spec| spec.env("POLAR_FAILPOINT_VIGIL", "2"));
    assert!(serves(&mut instance) > Duration::from_secs(2));
    assert!(instance.log().contains("was not PID 1"), "{}", instance.log());
}

#[test]
fn a_standalone_backend_is_left_alone() {
    let mut instance = Instance::builder().with_database().start();
    instance.ready();
    instance.set_lock();
    instance.until("the engine's end", |it| !it.engine_runs());
    let data = instance.path("data");
    let postgres = crate::common::pg_bin().join("postgres");
    let script = format!(
        "nohup sh -c 'sleep 1000 | {} --single -D {} postgres' >/dev/null 2>&1 &",
        postgres.display(),
        data.display()
    );
    instance.enter("sh", ["-c", &script]);
    let file = pid_file(&instance);
    until("its pid file", SOON, || fs::read_to_string(&file).is_ok_and(|text| text.starts_with('-')));
    instance.remove_lock();
    instance.wait_log("is a standalone backend");
    let single = || {
        let all = instance.processes().into_iter();
        all.filter(|it| it.name == "postgres" && it.state != 'Z').collect::<Vec<_>>()
    };
    let before = single();
    assert_eq!(before.len(), 1);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(single()[0].pid, before[0].pid, "it was neither ended nor joined by a postmaster");
    let sleeper = instance.processes().into_iter().find(|it| it.command == "sleep 1000").unwrap();
    sleeper.signal(Signal::SIGKILL);
    instance.ready();
    assert!(!instance.log().contains("is adopted"));
}

#[test]
fn memory_left_by_a_dead_namespace_does_no_harm() {
    let mut instance = killed(Instance::builder().shared_ipc());
    let left = fs::read_dir(instance.path("shm")).unwrap().count();
    assert!(left > 0, "PostgreSQL keeps its dynamic memory in /dev/shm");
    let text = fs::read(pid_file(&instance)).unwrap();
    let (key, id) = pidfile::parse(&text).unwrap().shmem.unwrap();
    let segments = || fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let listed =
        |id: i64| segments().lines().any(|line| line.split_whitespace().nth(1) == Some(&id.to_string()));
    assert!(listed(id), "segment {id} with key {key} outlives its namespace");
    let took = serves(&mut instance);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(!listed(id), "the next postmaster removes it");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    let (_, id) = pidfile::parse(&text).unwrap().shmem.unwrap();
    assert!(!listed(id));
}
