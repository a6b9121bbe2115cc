//! `docker stop`, `docker kill`, and what a volume holds after them.

use crate::bed::{Bed, Container, docker, until};

#[test]
fn docker_stop_ends_with_0_and_a_clean_shutdown_at_the_default_grace_period() {
    let Some(bed) = Bed::take(1) else { return };
    let data = bed.volume("data");
    let engine = bed.engine("stop").mount(&data, "/data").serving();
    engine.sql("create table t as select generate_series(1, 10000) n");
    // Sessions do not hold it up.
    let session = std::process::Command::new("docker")
        .args(["exec", &engine.name, "psql", "-U", "postgres", "-c", "select pg_sleep(1000)"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut session = session.unwrap();
    until("a session", || {
        engine.sql(
            "select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()",
        ) == "1"
    });
    docker(["stop", &engine.name]).success();
    assert_eq!(engine.at("/State/ExitCode"), 0);
    session.wait().unwrap();
    let look = bed.engine("look").mount(&data, "/data").command(&["pg_controldata", "/data"]).run().success();
    assert!(look.contains("Database cluster state:               shut down\n"), "{look}");
    engine.said("ending with status 0");
}

/// A container in the middle of its first boot: a script stands still, and the next start finds a harmless one.
fn in_its_first_boot(bed: &Bed) -> Container {
    let script = bed.file("scripts/10.sh", "echo the script is at work; sleep 1000\n");
    let scripts = script.parent().unwrap();
    let engine = bed.engine("first").mount(scripts, "/docker-entrypoint-initdb.d:ro").start();
    engine.said("the script is at work");
    std::fs::write(script, "echo the second script\n").unwrap();
    engine
}

fn boots_in_the_end(engine: &Container) {
    assert!(!engine.logs().contains("NEW database"), "it had booted: {}", engine.logs());
    engine.start();
    engine.ready();
    assert_eq!(engine.sql("select 1"), "1");
    engine.said("the second script");
    engine.said("NEW database");
}

#[test]
fn docker_stop_during_the_first_boot_leaves_a_volume_that_boots() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = in_its_first_boot(&bed);
    assert_eq!(engine.stop(), 0);
    boots_in_the_end(&engine);
}

#[test]
fn docker_kill_during_the_first_boot_leaves_a_volume_that_boots() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = in_its_first_boot(&bed);
    docker(["kill", &engine.name]).success();
    assert_eq!(engine.ended(), 137);
    boots_in_the_end(&engine);
    engine.said("removing /data/.init-");
}

#[test]
fn docker_kill_and_start_recover_what_was_committed() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("kill").serving();
    engine.sql("create table t (n int); insert into t values (1)");
    docker(["kill", &engine.name]).success();
    assert_eq!(engine.ended(), 137);
    // The pid file and the sockets of the dead are in the way of nobody.
    engine.start();
    engine.ready();
    assert_eq!(engine.sql("table t"), "1");
    assert_eq!(docker(["restart", "-t", "60", &engine.name]).code, 0);
    engine.ready();
    assert_eq!(engine.sql("table t"), "1");
    assert_eq!(engine.stop(), 0);
    assert_eq!(engine.restarts(), 0);
}

#[test]
fn a_second_sigterm_hurries_and_sigquit_ends_at_once() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("quit").serving();
    docker(["kill", "-s", "QUIT", &engine.name]).success();
    assert_eq!(engine.ended(), 0);
    engine.said("engines end in immediate mode");
    engine.start();
    engine.ready();
    docker(["kill", "-s", "HUP", &engine.name]).success();
    docker(["kill", "-s", "USR1", &engine.name]).success();
    engine.said("running for");
    assert_eq!(engine.status(), "running");
    docker(["kill", "-s", "TERM", &engine.name]).success();
    assert_eq!(engine.ended(), 0);
}
