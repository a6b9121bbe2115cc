//! Docker's restart policies beside the supervisor's own restarts.

use crate::bed::{Bed, Container, docker, until};

/// An engine that crashes comes back in its container, and one that is locked stays down in it: no policy has anything
/// to do.
fn the_container_stays(policy: &str) {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("stays").with(&format!("--restart {policy}")).serving();
    let begun = engine.at("/State/StartedAt");
    engine.sh("kill -9 $(head -n 1 /data/postmaster.pid)");
    engine.said("was killed (signal 9)");
    engine.ready();
    assert_eq!(engine.sql("select 1"), "1");

    engine.exec(&["polarctl", "lock", "--reason", "a test"]).success();
    assert_eq!(engine.exec(&["polarctl", "health"]).code, 3, "not ready");
    assert!(engine.healthy_by("health --live"), "but live");
    engine.health_is("healthy");
    assert_eq!(engine.exec(&["pgrep", "-x", "postgres"]).stdout, "", "nothing of the engine runs");
    // The lock outlives the container's own restart.
    docker(["restart", "-t", "60", &engine.name]).success();
    engine.said("locked: /data/ins_lock");
    engine.health_is("healthy");
    assert_eq!((engine.restarts(), engine.status().as_str()), (0, "running"));
    assert_ne!(engine.at("/State/StartedAt"), begun);
    engine.exec(&["polarctl", "unlock"]).success();
    engine.ready();

    assert_eq!(engine.stop(), 0);
    assert_eq!((engine.restarts(), engine.status().as_str()), (0, "exited"), "a stop is not undone");
}

/// One whose data cannot be served: 78 each time, and Docker's policy decides.
fn cannot_start(policy: &str) -> Option<(Bed, Container)> {
    let bed = Bed::take(1)?;
    let data = bed.folder("data", (0, 0), 0o755);
    std::fs::write(data.join("notes.txt"), "mine").unwrap();
    let engine = bed.engine("refused").with(&format!("--restart {policy}")).mount(&data, "/data").start();
    Some((bed, engine))
}

/// Docker pauses 0.1 s, 0.2 s, 0.4 s and so on: it is stopped in one of them.
fn it_loops(policy: &str) {
    let Some((_bed, engine)) = cannot_start(policy) else { return };
    until("Docker to start it again, and again", || engine.restarts() >= 2);
    assert_eq!(engine.stop(), 78);
    let restarts = engine.restarts();
    assert_eq!(engine.status(), "exited");
    engine.said("notes.txt");
    assert_eq!(engine.restarts(), restarts);
}

#[test]
fn no_an_engine_that_crashes_or_is_locked() {
    the_container_stays("no");
}

#[test]
fn on_failure_an_engine_that_crashes_or_is_locked() {
    the_container_stays("on-failure:3");
}

#[test]
fn always_an_engine_that_crashes_or_is_locked() {
    the_container_stays("always");
}

#[test]
fn unless_stopped_an_engine_that_crashes_or_is_locked() {
    the_container_stays("unless-stopped");
}

#[test]
fn no_an_engine_that_cannot_start_ends_with_78() {
    let Some((_bed, engine)) = cannot_start("no") else { return };
    assert_eq!(engine.ended(), 78);
    assert_eq!(engine.restarts(), 0);
}

#[test]
fn on_failure_an_engine_that_cannot_start_is_tried_three_times() {
    let Some((_bed, engine)) = cannot_start("on-failure:3") else { return };
    until("the last of its tries", || engine.restarts() == 3 && engine.status() == "exited");
    assert_eq!(engine.at("/State/ExitCode"), 78);
    assert_eq!(engine.logs().matches("ending with status 78").count(), 4);
}

#[test]
fn always_an_engine_that_cannot_start_loops() {
    it_loops("always");
}

#[test]
fn unless_stopped_an_engine_that_cannot_start_loops() {
    it_loops("unless-stopped");
}

/// The supervisor gives up first; its status is the engine's own.
#[test]
fn on_failure_an_engine_that_dies_again_and_again_is_given_to_docker() {
    let Some(bed) = Bed::take(1) else { return };
    let data = bed.volume("data");
    let good = bed.engine("good").mount(&data, "/data").serving();
    good.sql("alter system set shared_preload_libraries = 'no_such_library'");
    assert_eq!(good.stop(), 0);
    let engine = bed
        .engine("crashes")
        .with("--restart on-failure:1")
        .mount(&data, "/data")
        .env("POLAR_ENGINE_RESTART_GIVE_UP_AFTER", "2")
        .start();
    until("the second round of tries", || engine.restarts() == 1 && engine.status() == "exited");
    assert_eq!(engine.at("/State/ExitCode"), 1);
    assert_eq!(engine.logs().matches("programs: engine").count(), 2, "{}", engine.logs());
    engine.said("no_such_library");
}
