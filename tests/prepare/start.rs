//! Every start of a database: configuration, log link, leftovers of the dead.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use polardb_manager::engine::record::{self, Lived, Place, Record};
use polardb_manager::supervisor::prepare::protocol::{Errand, Failure, Memo, Verdict};
use rustix::process::Signal;

use crate::bed::{Bed, postgres_ids, state, until};

fn own(path: impl AsRef<std::path::Path>) {
    let (uid, gid) = postgres_ids();
    chown(path, Some(uid), Some(gid)).unwrap();
}

#[test]
fn a_wrong_mode_is_set_right_and_the_include_comes_back() {
    let bed = Bed::new();
    bed.start();
    let data = bed.at("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let conf = fs::read_to_string(data.join("postgresql.conf"))
        .unwrap()
        .replace("polar_supervisor.conf", "other.conf");
    fs::write(data.join("postgresql.conf"), conf).unwrap();
    let (_, ran) = bed.start();
    assert!(ran.noted("0755: set to 0700"), "{:?}", ran.notes());
    assert!(ran.noted("includes polar_supervisor.conf"), "{:?}", ran.notes());
    let (_, ran) = bed.start();
    assert!(!ran.noted("includes") && !ran.noted("0700"), "{:?}", ran.notes());
}

#[test]
fn parameters_reach_the_engine_and_the_own_configuration_wins() {
    let mut bed = Bed::new();
    bed.start();
    bed.order.engine.parameters.insert("work_mem".into(), "9MB".into());
    let (start, _) = bed.start();
    assert_eq!(bed.serve(&start, "show work_mem"), "9MB");
    let conf = bed.at("data/postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\nwork_mem = 11MB\n")).unwrap();
    let (start, _) = bed.start();
    assert_eq!(bed.serve(&start, "show work_mem"), "11MB");
}

#[test]
fn the_log_link_in_each_starting_state() {
    let bed = Bed::new();
    bed.start();
    let (link, target) = (bed.at("log/pg_log"), bed.at("data/pg_log"));
    let right = || fs::canonicalize(&link).unwrap() == target;
    assert!(right());
    // The folder was made for the engine's user; from here on it is root's, so root makes the link.
    for roots in [false, true] {
        if roots {
            chown(bed.at("log"), Some(0), Some(0)).unwrap();
        }
        fs::remove_file(&link).unwrap();
        symlink("/nowhere", &link).unwrap();
        let (_, ran) = bed.start();
        assert!(right() && ran.noted("led to /nowhere"), "{:?}", ran.notes());
        fs::remove_file(&link).unwrap();
        fs::create_dir(&link).unwrap();
        fs::write(link.join("old.log"), "x").unwrap();
        if !roots {
            own(&link);
        }
        let (_, ran) = bed.start();
        assert!(right() && ran.noted("was no link"), "{:?}", ran.notes());
    }
    let asides = crate::bed::names(&bed.at("log")).into_iter().filter(|name| name.starts_with("pg_log."));
    assert_eq!(asides.map(|name| assert!(bed.at("log").join(name).join("old.log").exists())).count(), 2);

    // The other way round: the engine's folder is a link to a real folder in the link's place.
    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    own(&link);
    fs::remove_dir_all(&target).unwrap();
    symlink(&link, &target).unwrap();
    bed.start();
    assert!(fs::symlink_metadata(&link).unwrap().is_dir());
}

#[test]
fn a_folder_for_the_link_that_nobody_can_write_is_a_warning() {
    let mut bed = Bed::new();
    bed.order.engine.log_link = "/proc/pg_log".into();
    let (_, ran) = bed.start();
    assert!(ran.noted("cannot make the log link"), "{:?}", ran.notes());
}

#[test]
fn pid_files_of_the_dead_and_the_unrelated() {
    let bed = Bed::new();
    bed.start();
    let file = bed.at("data/postmaster.pid");
    let write = |first: &str| {
        fs::write(&file, format!("{first}{}\n1000\n5432\n\n\n", bed.at("data").display())).unwrap();
        own(&file);
        // The supervisor before was PID 1 of a container of an earlier boot.
        let place = Place { boot: "an earlier one".to_owned(), pid_namespace: 1, init: true };
        let record =
            Record { place, host: String::new(), postmaster: first.trim().parse().unwrap(), started: 1000 };
        fs::write(bed.at("data").join(record::FILE), record::write(&record).unwrap()).unwrap();
        own(bed.at("data").join(record::FILE));
    };
    // No such process: PostgreSQL handles that by itself.
    write("999999999\n");
    let (start, _) = bed.start();
    assert!(start.environment.is_empty());
    // A process of the same user that has nothing to do with it, and a thread of this test.
    let (uid, gid) = postgres_ids();
    let mut command = Command::new("sleep");
    std::os::unix::process::CommandExt::uid(&mut command, uid);
    std::os::unix::process::CommandExt::gid(&mut command, gid);
    let mut sleeper = command.arg("300").spawn().unwrap();
    for pid in [sleeper.id(), rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()] {
        write(&format!("{pid}\n"));
        fs::write(bed.at("sock/.s.PGSQL.5432.lock"), format!("{pid}\n")).unwrap();
        let (start, _) = bed.start();
        assert_eq!(start.environment, [("PG_GRANDPARENT_PID".to_owned(), pid.to_string())]);
        assert_eq!(bed.serve(&start, "select 1"), "1");
    }
    // A socket's lock that names yet another unrelated process.
    fs::write(bed.at("sock/.s.PGSQL.5432.lock"), format!("{}\n", sleeper.id())).unwrap();
    let (start, ran) = bed.start();
    assert!(ran.noted(".s.PGSQL.5432.lock"), "{:?}", ran.notes());
    assert_eq!(bed.serve(&start, "select 1"), "1");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    // Empty, and garbage: PostgreSQL would refuse for ever.
    for content in ["", "garbage\n"] {
        fs::write(&file, content).unwrap();
        own(&file);
        let (start, ran) = bed.start();
        assert!(ran.noted("moved to"), "{:?}", ran.notes());
        assert_eq!(bed.serve(&start, "select 1"), "1");
        until("another second", || {
            let stamps = bed.names().iter().filter(|name| name.contains(".stale-")).count();
            stamps > 0 && {
                std::thread::sleep(Duration::from_millis(1100));
                true
            }
        });
    }
    // A named pipe does not hang it.
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let (start, ran) = bed.start();
    assert!(ran.noted("not a regular file; moved to"), "{:?}", ran.notes());
    assert_eq!(bed.serve(&start, "select 1"), "1");
}

#[test]
fn a_living_postmaster_is_adopted() {
    let bed = Bed::new();
    let (start, _) = bed.start();
    let postmaster = bed.postmaster(&start);
    let ran = bed.run();
    let Verdict::Adopt { pid, start_ticks } = ran.verdict() else { panic!("{:?}", ran.verdict()) };
    assert_eq!(pid.cast_unsigned(), postmaster.child.id());
    assert!(*start_ticks > 0);
    postmaster.stop();
}

#[test]
fn orphans_of_a_dead_postmaster_are_ended() {
    let mut bed = Bed::new();
    let (start, _) = bed.start();
    let mut postmaster = bed.postmaster(&start);
    // PID 1 remembers whom it started.
    bed.order.lived = Some(Lived { pid: postmaster.child.id().cast_signed(), from: 1, until: i64::MAX });
    // A backend that is busy and does not notice.
    let client = Command::new("psql")
        .args(["-XAtq", "-U", "postgres", "-d", "postgres", "-c"])
        .arg("do $$ begin loop end loop; end $$")
        .arg("-h")
        .arg(bed.at("sock"))
        .spawn();
    let mut client = client.unwrap();
    let mut busy = 0;
    until("the backend is busy", || {
        let found = bed.sql("select coalesce(max(pid), 0) from pg_stat_activity where query like 'do %'");
        busy = found.parse().unwrap();
        busy != 0
    });
    postmaster.child.kill().unwrap();
    postmaster.child.wait().unwrap();
    assert!(state(busy).is_some_and(|state| state != 'Z'));
    let (start, ran) = bed.start();
    assert!(ran.noted("left by a dead postmaster"), "{:?}", ran.notes());
    assert!(start.unclean);
    assert!(state(busy).is_none_or(|state| state == 'Z'));
    assert_eq!(bed.serve(&start, "select 1"), "1");
    client.wait().unwrap();
}

#[test]
fn a_server_that_is_no_backend_is_not_ended() {
    let bed = Bed::new();
    let (start, _) = bed.start();
    let postmaster = bed.postmaster(&start);
    fs::rename(bed.at("data/postmaster.pid"), bed.at("data/kept")).unwrap();
    let ran = bed.run();
    assert!(matches!(ran.verdict(), Verdict::Wait { .. }), "{:?}", ran.verdict());
    assert_eq!(bed.sql("select 1"), "1");
    fs::rename(bed.at("data/kept"), bed.at("data/postmaster.pid")).unwrap();
    postmaster.stop();
}

#[test]
fn a_failure_is_explained_by_the_engine_itself() {
    let mut bed = Bed::new();
    bed.start();
    fs::write(bed.at("data/postgresql.auto.conf"), "work_mem = 'nonsense'\n").unwrap();
    bed.order.last_failure = Some(Failure { text: "exit status 1".into(), by_signal: false });
    let (_, ran) = bed.start();
    assert!(ran.noted("the configuration is not accepted") && ran.noted("work_mem"), "{:?}", ran.notes());
}

#[test]
fn after_a_kill_the_engine_is_not_asked_for_a_cause_in_its_configuration() {
    let mut bed = Bed::new();
    bed.start();
    fs::write(bed.at("data/postgresql.auto.conf"), "work_mem = 'nonsense'\n").unwrap();
    fs::write(bed.at("data/pg_log/postgresql-2020-01-01_000000.log"), "t [1] PANIC:  a cause\n").unwrap();
    bed.order.last_failure = Some(Failure { text: "signal 9".into(), by_signal: true });
    let (_, ran) = bed.start();
    assert!(!ran.noted("the configuration is not accepted"), "{:?}", ran.notes());
    assert!(ran.noted("the engine's log says last: t [1] PANIC:  a cause"), "{:?}", ran.notes());
}

#[test]
fn what_was_learnt_about_the_executables_is_believed_as_long_as_they_are_the_same() {
    let mut bed = Bed::new();
    bed.order.errand = Errand::Learn;
    let ran = bed.run();
    let Verdict::Learnt(learnt) = ran.verdict().clone() else { panic!("{:?}", ran.verdict()) };
    assert!(bed.names().is_empty() && !ran.had_keeper, "it touches no data: {:?}", bed.names());
    bed.order.errand = Errand::Prepare;
    let (start, _) = bed.start();
    assert_eq!(start.memo, learnt);
    bed.order.memo = Some(Memo { major: 7, ..learnt.clone() });
    let ran = bed.run();
    let Verdict::Refused { cause, .. } = ran.verdict() else { panic!("asked again: {:?}", ran.verdict()) };
    assert!(cause.contains("is of version 7"), "{cause}");
    for other in [
        Memo { inode: learnt.inode + 1, ..learnt.clone() },
        Memo { modified: learnt.modified + 1, ..learnt.clone() },
        Memo { postgres: "/another".into(), ..learnt.clone() },
    ] {
        bed.order.memo = Some(Memo { major: 7, ..other });
        assert_eq!(bed.start().0.memo, learnt);
    }
}

#[test]
fn blockers_are_named() {
    let mut bed = Bed::new();
    let (start, _) = bed.start();
    let postmaster = bed.postmaster(&start);
    let mut client = Command::new("psql")
        .args(["-XAtq", "-U", "postgres", "-d", "postgres", "-c", "select pg_sleep(300)", "-h"])
        .arg(bed.at("sock"))
        .spawn()
        .unwrap();
    until("it sleeps", || {
        bed.sql("select count(*) from pg_stat_activity where query like '%pg_sleep(300)'") != "0"
    });
    bed.order.errand = Errand::Blockers { postmaster: postmaster.child.id().cast_signed() };
    let ran = bed.run();
    assert_eq!(ran.verdict(), &Verdict::Done);
    assert!(ran.noted("postgres postgres [local] SELECT") && ran.noted("checkpointer"), "{:?}", ran.notes());
    postmaster.stop();
    client.wait().unwrap();
}

#[test]
fn old_log_files_are_pruned() {
    let mut bed = Bed::new();
    bed.start();
    let old = bed.at("data/pg_log/postgresql-2020-01-01_000000.log");
    fs::write(&old, "x").unwrap();
    // The newest of a kind stays whatever its age: the collector may still write to it.
    fs::write(bed.at("data/pg_log/postgresql-2021-01-01_000000.log"), "y").unwrap();
    fs::File::options().write(true).open(&old).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    bed.order.errand = Errand::Prune;
    let ran = bed.run();
    assert_eq!(ran.verdict(), &Verdict::Done);
    assert!(!old.exists());
}

#[test]
fn a_restart_starts_no_process_and_is_quick() {
    let mut bed = Bed::new();
    let (start, _) = bed.start();
    bed.order.memo = Some(start.memo.clone());
    bed.order.first = false;
    let keeper = bed.spawn(None).finish().keeper.unwrap();
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        let ran = bed.spawn(Some(&keeper)).finish();
        best = best.min(began.elapsed());
        assert!(matches!(ran.verdict(), Verdict::Start(_)));
        assert!(ran.notes().is_empty(), "{:?}", ran.notes());
    }
    println!("a restart's prepare took {best:?}");
    assert!(best < Duration::from_millis(200), "{best:?}");
}

#[test]
fn a_stop_while_another_keeper_is_awaited_ends_it() {
    let bed = Bed::new();
    bed.start();
    let first = bed.spawn(None).finish();
    let running = bed.spawn(None);
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    running.signal(Signal::TERM);
    let ran = running.finish();
    assert!(matches!(ran.verdict(), Verdict::Wait { .. }), "{:?}", ran.verdict());
    assert!(began.elapsed() < Duration::from_secs(1));
    drop(first);
}

#[test]
fn without_root_the_engines_user_does_what_it_can() {
    let mut bed = Bed::new();
    bed.order.run_dir = bed.at("data/run");
    for name in ["data", "log", "sock"] {
        let _ = fs::create_dir(bed.at(name));
        own(bed.at(name));
    }
    fs::set_permissions(bed.at("data"), fs::Permissions::from_mode(0o755)).unwrap();
    let (uid, gid) = postgres_ids();
    let run = |bed: &Bed| {
        let by_user = |command: &mut Command| {
            std::os::unix::process::CommandExt::uid(command, uid);
            std::os::unix::process::CommandExt::gid(command, gid);
        };
        bed.spawn_by(None, by_user).finish()
    };
    let ran = run(&bed);
    let Verdict::Start(start) = ran.verdict() else { panic!("{:?}\n{}", ran.reports, ran.stderr) };
    assert_eq!(bed.serve(start, "select 1"), "1");
    assert_eq!(fs::canonicalize(bed.at("log/pg_log")).unwrap(), bed.at("data/pg_log"));
    drop(ran);
    bed.order.user.uid = 1;
    assert!(run(&bed).refusal().contains(&format!("this runs as uid {uid}")));
}

#[test]
fn an_old_engine_reads_its_recovery_conf_itself() {
    let mut bed = Bed::new();
    let (start, _) = bed.start();
    let data = bed.at("data");
    for (major, untouched) in [(11, true), (15, false)] {
        fs::write(data.join("PG_VERSION"), format!("{major}\n")).unwrap();
        fs::write(data.join("recovery.conf"), "standby_mode = on\n").unwrap();
        own(data.join("recovery.conf"));
        bed.order.memo = Some(Memo { major, ..start.memo.clone() });
        bed.start();
        let found = ["recovery.conf", "standby.signal"].map(|name| data.join(name).exists());
        assert_eq!(found, [untouched, !untouched], "{major}");
    }
}
