//! The lock file: while it exists nothing of the engine runs, and PID 1 lives.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::common::{BOOT, Builder, Exit, Instance, Process, Random, SOON, Signal, Snapshot, pg_bin, until};

/// An instance whose lock file has its default place, in the data directory.
fn lock_inside() -> Builder {
    Instance::builder().unset("program.engine.lock_file")
}

/// A running instance over a database that exists.
fn running(builder: Builder) -> Instance {
    let mut instance = builder.with_database().start();
    instance.ready();
    instance
}

/// Locks, and waits until the engine has been stopped in order.
fn lock_and_stop(instance: &mut Instance) {
    let before = instance.engine_log().matches("received fast shutdown request").count();
    instance.set_lock();
    instance.wait_engine_log("received fast shutdown request", before + 1);
    instance.stays_down();
    assert_eq!(instance.control_state(), "shut down");
    assert!(!instance.accepts() && !instance.accepts_tcp());
}

fn boot_locked(builder: Builder) {
    let mut instance =
        builder.script("1.sql", "create table ran (n int);\ninsert into ran values (1);\n").build();
    instance.set_lock();
    let folders = ["data", "log", "run", "sock"].map(|name| instance.path(name));
    let before = folders.clone().map(|folder| Snapshot::of(&folder));
    instance.boot();
    instance.wait_log("locked: ");
    instance.stays_down();
    for (before, folder) in before.iter().zip(&folders) {
        before.assert_same(folder);
    }
    let init = instance.pid1();
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.pid1(), init);
    assert!(instance.log().contains("unlocked: ") && instance.log().contains("NEW database initialized"));
    assert_eq!(instance.sql("select count(*) from ran"), "1");
}

#[test]
fn the_version_is_learnt_while_the_lock_holds_by_no_process_of_the_servers_name() {
    let builder = Instance::builder().with_database().fake_server("exec \"$REAL\" \"$@\"");
    let mut instance = builder.build();
    let noted = |program: &str, script: &str| {
        let asked = instance.path(&format!("run/{program}"));
        let text = fs::read_to_string(instance.path("fakebin/postgres")).unwrap();
        let note = format!("[ \"$1\" = --version ] && echo asked >>\"$DIR/run/{program}\"\n{script}");
        let file = instance.path(&format!("fakebin/{program}"));
        fs::remove_file(&file).unwrap();
        fs::write(&file, text.replacen("for word", &format!("{note}for word"), 1)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        asked
    };
    let sister = noted("pg_controldata", &format!("exec {}/pg_controldata \"$@\"\n", pg_bin().display()));
    let server = noted("postgres", "");
    instance.set_lock();
    instance.boot();
    instance.until("the answer", |it| {
        sister.exists() && !it.processes().iter().any(|process| process.command.ends_with(" prepare"))
    });
    instance.stays_down();
    assert!(!server.exists(), "the server ran under the lock");
    instance.remove_lock();
    instance.ready();
    assert!(!server.exists(), "the start has asked what was known");
    assert_eq!(fs::read_to_string(sister).unwrap(), "asked\n");
}

#[test]
fn booted_locked_an_empty_directory_stays_empty_until_it_is_unlocked() {
    boot_locked(lock_inside());
}

#[test]
fn booted_locked_by_a_file_outside_of_the_data_directory() {
    boot_locked(Instance::builder());
}

#[test]
fn booted_locked_a_database_is_left_as_it_is() {
    let mut instance = Instance::builder().with_database().build();
    instance.set_lock();
    let before = Snapshot::of(&instance.path("data"));
    instance.boot();
    instance.wait_log("locked: ");
    instance.stays_down();
    before.assert_same(&instance.path("data"));
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    before.assert_same(&instance.path("data"));
}

/// Lock and unlock, twice: what worked once must not have used itself up.
fn lock_and_unlock(builder: Builder) {
    let mut instance = running(builder);
    let (init, first) = (instance.pid1(), instance.postmaster());
    instance.sql("create table kept as select 42 as n");
    for round in 1..=2 {
        lock_and_stop(&mut instance);
        assert!(!Process::lives(first.pid));
        assert!(instance.try_sql("select 1").is_err());
        instance.wait_log_count("locked: ", round);
        instance.remove_lock();
        instance.ready();
        instance.wait_log_count("unlocked: ", round);
        assert_eq!(instance.sql("select n from kept"), "42");
        assert_eq!((instance.starts(), instance.pid1()), (round + 1, init));
    }
    assert!(!instance.log_of_all_boots().contains("crash"), "an ordered stop is no crash");
}

#[test]
fn locked_while_running_it_stops_in_order_and_unlocked_it_starts() {
    lock_and_unlock(Instance::builder());
}

#[test]
fn a_lock_in_the_data_directory() {
    lock_and_unlock(lock_inside());
}

#[test]
fn without_a_poll_the_notification_alone_does_it() {
    lock_and_unlock(lock_inside().set("program.engine.lock_poll", "0s"));
}

#[test]
fn without_a_poll_outside_of_the_data_directory() {
    lock_and_unlock(Instance::builder().set("program.engine.lock_poll", "0s"));
}

#[test]
fn without_a_poll_a_first_boot_that_was_locked_begins() {
    boot_locked(lock_inside().set("program.engine.lock_poll", "0s"));
}

#[test]
fn locked_and_unlocked_faster_than_a_shutdown_is_one_restart() {
    let mut instance = running(Instance::builder());
    let first = instance.postmaster();
    // A postmaster ends after its checkpointer.
    let checkpointer = instance.engine_process("checkpointer");
    checkpointer.signal(Signal::SIGSTOP);
    instance.set_lock();
    instance.wait_engine_log("received fast shutdown request", 1);
    instance.remove_lock();
    instance.wait_log("unlocked: ");
    assert!(Process::lives(first.pid));
    checkpointer.signal(Signal::SIGCONT);
    instance.ready();
    assert_ne!(instance.postmaster().pid, first.pid);
    assert_eq!(instance.starts(), 2);
}

#[test]
fn a_lock_survives_pid_1() {
    let mut instance = running(Instance::builder());
    lock_and_stop(&mut instance);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    for round in 0..2 {
        assert!(instance.is_locked());
        instance.boot();
        instance.wait_log("locked: ");
        instance.stays_down();
        if round == 0 {
            instance.kill9();
        }
    }
    assert_eq!(instance.control_state(), "shut down");
    instance.remove_lock();
    instance.ready();
}

#[test]
fn its_content_is_never_acted_on() {
    let mut instance = running(Instance::builder());
    let content = r#"{"kind": "expired", "until": "2001-01-01T00:00:00Z"}"#;
    for content in [content, "\0 no JSON", &"long ".repeat(1_000_000)] {
        fs::write(instance.lock(), content).unwrap();
        instance.stays_down();
        assert_eq!(fs::read_to_string(instance.lock()).unwrap(), content);
    }
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.starts(), 2);
}

/// Breaks the configuration of the running engine's next start, and has that start fail.
fn break_and_fail(instance: &mut Instance) -> String {
    let conf = instance.path("data/postgresql.auto.conf");
    let good = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{good}work_mem = 'nonsense'\n")).unwrap();
    let postmaster = instance.postmaster();
    postmaster.signal(Signal::SIGKILL);
    until("the postmaster's end", SOON, || !Process::lives(postmaster.pid));
    good
}

#[test]
fn t14_locked_while_backing_off_mended_and_unlocked_it_starts_at_once() {
    // The first restart after a crash waits too, so that the broken start never comes before the lock.
    let restart = "program.engine.restart";
    let builder = Instance::builder()
        .set(&format!("{restart}.min_backoff"), "10m")
        .set(&format!("{restart}.max_backoff"), "10m");
    let mut instance = builder.with_database().build();
    let conf = instance.path("data/postgresql.auto.conf");
    fs::write(&conf, "work_mem = 'nonsense'\n").unwrap();
    instance.boot();
    instance.wait_log("failures in a row: 1; starting again in 600 s");
    instance.signal(Signal::SIGUSR1);
    instance.wait_log("backoff");
    instance.set_lock();
    instance.wait_log("locked: ");
    instance.stays_down();
    fs::write(&conf, "").unwrap();
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.starts(), 2);
}

#[test]
fn t14_unlocked_after_it_gave_up_it_starts_at_once() {
    let builder = Instance::builder()
        .set("program.engine.restart.give_up_after", 3)
        .set("program.engine.restart.on_give_up", "stay");
    let mut instance = running(builder);
    let good = break_and_fail(&mut instance);
    instance.wait_log("gave up");
    let starts = instance.starts();
    instance.set_lock();
    instance.wait_log("locked: ");
    instance.stays_down();
    fs::write(instance.path("data/postgresql.auto.conf"), good).unwrap();
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.starts(), starts + 1);
}

#[test]
fn t15_locked_pid_1_sleeps() {
    const MINUTE: Duration = Duration::from_secs(60);
    // Of one that was locked while it ran, and of one that was booted locked.
    let mut stopped = running(lock_inside());
    lock_and_stop(&mut stopped);
    let mut booted = lock_inside().build();
    booted.set_lock();
    booted.boot();
    booted.wait_log("locked: ");
    booted.stays_down();

    // The writer of the journal is sent away soon after the last event, which wakes PID 1.
    for instance in [&stopped, &booted] {
        let journal = instance.path("log/events.jsonl");
        until("the lock in the journal", BOOT, || {
            std::fs::read_to_string(&journal).is_ok_and(|text| text.contains("its lock file exists"))
        });
        until("the journal's writer to be gone", BOOT, || instance.writer().is_none());
    }

    let look = |instance: &Instance| (instance.init().sleeps(), cpu_ticks(instance.pid1()));
    let before = [look(&stopped), look(&booted)];
    std::thread::sleep(MINUTE);
    for (instance, (sleeps, ticks)) in [&stopped, &booted].into_iter().zip(before) {
        let (sleeps, ticks) = (instance.init().sleeps() - sleeps, cpu_ticks(instance.pid1()) - ticks);
        eprintln!("in a minute: {sleeps} wake-ups, {ticks} ticks of CPU");
        // One look at the lock file each five seconds.
        assert!(sleeps <= 13, "{sleeps} wake-ups in a minute");
        assert!(ticks <= 1, "{ticks} ticks of CPU in a minute");
    }
    for instance in [&mut stopped, &mut booted] {
        instance.remove_lock();
        instance.ready();
    }
}

/// User and system time of a process, in the kernel's ticks of 10 ms (proc(5), `/proc/PID/stat`, fields 14 and 15).
fn cpu_ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field, in parentheses, may hold blanks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn toggled_at_random_it_follows_the_last_word() {
    let mut random = Random::new();
    let mut instance = running(lock_inside());
    for _ in 0..3 {
        for _ in 0..8 {
            if instance.is_locked() {
                instance.remove_lock()
            } else {
                instance.set_lock()
            }
            std::thread::sleep(random.within(Duration::from_millis(250)));
        }
        if !instance.is_locked() {
            instance.set_lock();
        }
        instance.stays_down();
        instance.remove_lock();
        instance.ready();
    }
    assert_eq!(instance.zombies(), []);
}

#[test]
fn the_folder_of_the_lock_file_is_replaced() {
    let builder = Instance::builder().set("program.engine.lock_poll", "0s");
    let folder = builder.dir.folder("locks");
    let lock = folder.join("ins_lock");
    let mut instance = running(builder.set("program.engine.lock_file", lock.to_str().unwrap()));
    let replace = |by_locked: bool| {
        let fresh = instance_folder(&folder, "fresh");
        if by_locked {
            fs::write(fresh.join("ins_lock"), "").unwrap();
        }
        exchange(&folder, &fresh);
        fs::remove_dir_all(&fresh).unwrap();
    };
    replace(true);
    instance.stays_down();
    replace(false);
    instance.ready();
    // Without its folder there is no lock file either.
    instance.set_lock();
    instance.stays_down();
    fs::remove_dir_all(&folder).unwrap();
    instance.ready();
    fs::create_dir(&folder).unwrap();
    instance.set_lock();
    instance.stays_down();
}

/// An empty folder beside another one.
fn instance_folder(beside: &Path, name: &str) -> std::path::PathBuf {
    let folder = beside.with_file_name(name);
    fs::create_dir(&folder).unwrap();
    folder
}

/// Exchanges two names in one step.
fn exchange(one: &Path, other: &Path) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn the_data_directory_is_replaced_while_locked() {
    let mut instance = running(lock_inside().set("program.engine.lock_poll", "0s"));
    let (data, other) = (instance.path("data"), instance.path("other"));
    lock_and_stop(&mut instance);
    let mut copy = std::process::Command::new("cp");
    copy.arg("-a").arg(&data).arg(&other);
    crate::common::finish(copy, SOON).success();
    exchange(&data, &other);
    instance.stays_down();
    instance.remove_lock();
    instance.ready();
    // The place that was put there is the one that is served.
    fs::remove_dir_all(&other).unwrap();
    instance.sql("create table t as select 1");
    // And watched.
    lock_and_stop(&mut instance);
    instance.remove_lock();
    instance.ready();
    assert_eq!(instance.sql("select count(*) from t"), "1");
}
