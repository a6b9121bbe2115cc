//! How the end of an adopted postmaster is told: by its status where it is our child, by its control file where not.

use std::time::Duration;

use crate::adopted::postmasters;
use crate::common::{
    BOOT, Builder, Exit, Instance, Process, SOON, Signal, eventually, pg_bin, postgres_user, until,
};
use crate::foreign::{pg_ctl, report_says, served};

/// Somebody's shell runs the engine in its foreground, and lives as long as that and longer: the postmaster is no child
/// of PID 1.
fn under_a_living_shell() -> (Instance, Process) {
    let mut instance = served("4s");
    instance.sql("create table kept as select generate_series(1, 100) as n");
    pg_ctl(&instance, "stop").success();
    let line = format!(
        "setsid sh -c '{}/postgres -D {} >/dev/null 2>&1; sleep 1000' >/dev/null 2>&1 &",
        pg_bin().display(),
        instance.path("data").display()
    );
    instance.enter("sh", ["-c", &line]).success();
    instance.wait_log("is adopted");
    instance.wait_log_count("ready after", 2);
    let adopted = instance.postmaster();
    assert_ne!(adopted.parent, instance.pid1());
    (instance, adopted)
}

#[test]
fn a_crash_of_somebodys_child_is_told_by_the_control_file() {
    let (mut instance, adopted) = under_a_living_shell();
    adopted.signal(Signal::SIGKILL);
    instance.wait_log("status unknown");
    instance.wait_log("the last end was a crash: its control file says so");
    instance.until("a postmaster of ours", |it| it.try_postmaster().is_some_and(|it| it.pid != adopted.pid));
    instance.ready();
    report_says(&mut instance, "failures in a row: 1");
    assert_eq!(instance.sql("select count(*) from kept"), "100");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn an_orderly_end_of_somebodys_child_is_none() {
    let (mut instance, adopted) = under_a_living_shell();
    let begin = std::time::Instant::now();
    pg_ctl(&instance, "stop").success();
    instance.until("a postmaster of ours", |it| it.try_postmaster().is_some_and(|it| it.pid != adopted.pid));
    assert!(begin.elapsed() > Duration::from_secs(3), "somebody's pg_ctl has clean_exit_delay");
    instance.ready();
    assert!(!instance.log().contains("the last end was a crash"));
    report_says(&mut instance, "failures in a row: 0");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_crash_of_an_orphan_is_told_by_its_status() {
    let mut instance = served("4s");
    pg_ctl(&instance, "stop").success();
    pg_ctl(&instance, "start").success();
    instance.wait_log_count("ready after", 2);
    let adopted = instance.postmaster();
    assert_eq!(adopted.parent, instance.pid1());
    adopted.signal(Signal::SIGKILL);
    instance.wait_log("was killed (signal 9)");
    instance.until("a postmaster of ours", |it| it.try_postmaster().is_some_and(|it| it.pid != adopted.pid));
    instance.ready();
    report_says(&mut instance, "failures in a row: 1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn the_lock_stops_somebodys_child_too() {
    let (mut instance, adopted) = under_a_living_shell();
    instance.set_lock();
    instance.until("the adopted engine to stop", |it| !it.engine_runs());
    assert!(!Process::lives(adopted.pid));
    assert_eq!(instance.cluster_state(), "shut down");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

/// Kills the engine again and again while somebody else starts it: whoever wins, there is one, and nothing is lost.
fn raced(builder: Builder) {
    let mut instance = builder.set("program.engine.restart.give_up_after", 0).start();
    instance.ready();
    instance.sql("create table kept (n int)");
    let (data, log) = (instance.path("data"), instance.path("run/pg_ctl.log"));
    for round in 0..8 {
        instance.sql(&format!("insert into kept values ({round})"));
        let before = instance.postmaster();
        std::thread::scope(|scope| {
            let before = &before;
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(round * 3));
                before.signal(Signal::SIGKILL);
            });
            // It fails where ours wins.
            instance.pg(
                "pg_ctl",
                ["start", "-s", "-W", "-D", data.to_str().unwrap(), "-l", log.to_str().unwrap()],
            );
        });
        until("another postmaster that answers", BOOT, || {
            assert_eq!(instance.exit(), None, "PID 1 ended");
            instance.try_postmaster().is_some_and(|it| it.pid != before.pid)
                && instance.try_sql("select 1").is_ok()
        });
    }
    let last = eventually("one postmaster", SOON, || {
        let all = postmasters(&instance);
        (all.len() == 1).then(|| all[0].clone())
    });
    // Nobody ends it later on.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(postmasters(&instance).iter().map(|it| it.pid).collect::<Vec<_>>(), [last.pid]);
    assert_eq!(instance.sql("select count(*) from kept"), "8");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn killed_and_started_by_hand_at_once_there_is_one_and_nothing_is_lost() {
    raced(Instance::builder().with_database());
}

#[test]
fn the_same_where_pid_1_can_see_where_its_orphans_work() {
    let user = postgres_user();
    raced(Instance::builder().with_database().account(user.uid, user.gid));
}

#[test]
fn what_has_a_postmasters_command_is_never_swept_with_the_leftovers_of_ours() {
    let user = postgres_user();
    let mut instance = Instance::builder().with_database().account(user.uid, user.gid).start();
    instance.ready();
    // Older than the death of ours, an orphan, at work in the data directory: all but a backend.
    let line = format!(
        "cd {} && (exec -a {}/postgres sleep 1000 >/dev/null 2>&1 &)",
        instance.path("data").display(),
        pg_bin().display()
    );
    instance.enter("bash", ["-c", &line]).success();
    let other = eventually("the other one", SOON, || {
        instance.processes().into_iter().find(|it| it.name == "sleep" && it.parent == instance.pid1())
    });
    let before = instance.postmaster();
    before.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != before.pid));
    instance.ready();
    assert!(Process::lives(other.pid), "it was ended");
    other.signal(Signal::SIGKILL);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
