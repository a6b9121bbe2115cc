//! What is typed behind the image's name, and behind `docker exec`.

use crate::bed::{Bed, docker, until};

#[test]
fn a_command_behind_the_image_is_run_in_place_of_the_engine() {
    let Some(bed) = Bed::take(1) else { return };
    assert!(
        bed.engine("version")
            .command(&["psql", "--version"])
            .run()
            .success()
            .starts_with("psql (PostgreSQL) 15")
    );
    assert_eq!(bed.engine("seven").command(&["sh", "-c", "exit 7"]).run().code, 7);
    assert_eq!(bed.engine("lost").command(&["no-such-command"]).run().code, 127);
    let check = bed.engine("check").command(&["check"]).run().success();
    assert!(check.contains("data_dir = \"/data\""), "{check}");
    let places =
        "ls /u01/polardb_pg/bin/postgres && su postgres -c 'locale -a' && which postgres psql pg_ctl";
    let said = bed.engine("places").command(&["sh", "-c", places]).run().success();
    assert!(said.contains("en_US.utf8") && said.contains("/u01/polardb_pg/bin/pg_ctl"), "{said}");
}

#[test]
fn options_behind_postgres_are_the_engines() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("options").command(&["postgres", "-c", "work_mem=9MB"]).serving();
    assert_eq!(engine.sql("show work_mem"), "9MB");
    // A crash takes nothing away from them.
    engine.sh("kill -9 $(head -n 1 /data/postmaster.pid)");
    engine.said("was killed (signal 9)");
    engine.ready();
    assert_eq!(engine.sql("show work_mem"), "9MB");
}

#[test]
fn root_and_the_engines_user_call_psql_and_pg_ctl() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("exec").serving();
    assert_eq!(
        engine.exec(&["psql", "-U", "postgres", "-XAtc", "select current_user"]).success(),
        "postgres"
    );
    assert_eq!(engine.exec_as("postgres", &["psql", "-XAtc", "select current_user"]).success(), "postgres");
    let before = engine.postmaster();
    engine.exec_as("postgres", &["pg_ctl", "restart", "-D", "/data", "-w"]).success();
    engine.ready();
    assert_ne!(engine.postmaster(), before);
    assert_eq!(engine.sql("select 1"), "1");
    engine.said("is adopted");
    // A container that was left with a server that is not PID 1's child ends it in order all the same.
    assert_eq!(engine.stop(), 0);
    assert_eq!(engine.restarts(), 0);
}

#[test]
fn a_thousand_checks_leave_no_zombie() {
    let Some(bed) = Bed::take(1) else { return };
    let engine = bed.engine("checks").serving();
    let before = engine.at("/State/Pid");
    // docker exec takes 0.1 s and most of a core: each runs a hundred checks whose parent dies before them, which is what
    // a zombie would come from.
    let round = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (polarctl health --live >/dev/null & exec true) & done; exec true";
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..25).for_each(|_| drop(engine.exec(&["sh", "-c", round]).success())));
        }
    });
    let zombies =
        "for f in /proc/[0-9]*/stat; do sed 's/.*) //' $f 2>/dev/null | cut -c1; done | grep -c Z || true";
    until("no zombie and no check", || {
        engine.sh(zombies) == "0" && engine.exec(&["pgrep", "-c", "polarctl"]).stdout.trim() == "0"
    });
    assert!(engine.healthy_by("health --live"));
    assert_eq!(engine.at("/State/Pid"), before);
    let reaped = engine.exec(&["polarctl", "status", "--output", "json"]).success();
    assert!(reaped.contains("engine"), "{reaped}");
}

#[test]
fn nothing_of_the_image_asks_for_more_than_it_has() {
    let Some(bed) = Bed::take(1) else { return };
    // A container without any privilege over others, as clusters with a policy start it.
    let engine = bed
        .engine("bare")
        .with("--cap-drop ALL --cap-add SETUID --cap-add SETGID --cap-add CHOWN --cap-add KILL")
        .with("--security-opt no-new-privileges --read-only --tmpfs /run/polardb --tmpfs /run/postgresql --memory 512m --pids-limit 100")
        .serving();
    assert_eq!(engine.sql("select 1"), "1");
    engine.health_is("healthy");
    assert_eq!(docker(["top", &engine.name, "-o", "pid,user"]).code, 0);
    assert_eq!(engine.stop(), 0);
}
