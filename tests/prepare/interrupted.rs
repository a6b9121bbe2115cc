//! First boot ended at each of its named places, by SIGKILL of the whole tree and by SIGTERM: the next boot converges, and
//! the scripts have run once in the database that is served.

use std::fs;
use std::time::{Duration, Instant};

use polardb_manager::supervisor::prepare::failpoint::NAMES;
use polardb_manager::supervisor::prepare::protocol::Verdict;
use rustix::process::Signal;

use crate::bed::{Bed, names, until};

/// From here on the stage is kept.
const COMPLETE: [&str; 4] = ["after-complete", "mid-promotion", "before-pg-version", "after-promotion"];

fn bed(wal: bool) -> Bed {
    let mut bed = Bed::new();
    bed.variable("POSTGRES_PASSWORD", "geheim");
    bed.script("1.sql", "create table ran (at text); insert into ran values ('sql');", false);
    bed.script("2.sh", "psql -qc \"insert into ran values ('sh')\"\n", false);
    if wal {
        bed.variable("POSTGRES_INITDB_WALDIR", bed.at("wal").to_str().unwrap());
    }
    bed
}

fn stop_at(bed: &mut Bed, name: &str) -> crate::bed::Running {
    let mark = bed.at("marks/reached");
    let _ = fs::remove_file(&mark);
    let before = bed.variables.len();
    bed.variable("POLAR_FAILPOINT", name);
    bed.variable("POLAR_FAILPOINT_FILE", mark.to_str().unwrap());
    let running = bed.spawn(None);
    bed.variables.truncate(before);
    until(name, || mark.exists());
    running
}

fn converges(bed: &Bed) {
    let (start, _) = bed.start();
    let answer = bed.serve(&start, "select string_agg(at, ',') from ran");
    assert_eq!(answer, "sql,sh", "the scripts ran once");
    assert!(!bed.names().iter().any(|name| name.starts_with(".init-")), "{:?}", bed.names());
}

/// A busy disk may need longer to remove a stage than a stop waits; what is left of it is of no use to anybody.
fn thrown_away(bed: &Bed, kept: &[&str]) {
    for name in bed.names() {
        let left = name.starts_with(".init-") && !bed.at("data").join(&name).join("complete").exists();
        assert!(left || kept.contains(&name.as_str()), "{name}");
    }
}

fn killed(name: &str, wal: bool) {
    let mut bed = bed(wal);
    let running = stop_at(&mut bed, name);
    assert!(!bed.at("sock/.s.PGSQL.5432").exists(), "nobody can connect before the end");
    running.kill_tree();
    converges(&bed);
}

fn terminated(name: &str) {
    let mut bed = bed(true);
    let running = stop_at(&mut bed, name);
    let began = Instant::now();
    running.signal(Signal::TERM);
    let ran = running.finish();
    assert!(began.elapsed() < Duration::from_secs(2), "{name}: {:?}", began.elapsed());
    assert!(matches!(ran.verdict(), Verdict::Wait { .. }), "{:?}", ran.verdict());
    assert_eq!(ran.status.code(), Some(0));
    // With it goes the lock.
    drop(ran);
    if !COMPLETE.contains(&name) {
        thrown_away(&bed, &[]);
        assert!(
            names(&bed.at("wal")).iter().all(|name| name.starts_with(".init-")),
            "{:?}",
            names(&bed.at("wal"))
        );
    }
    converges(&bed);
}

#[test]
fn t02_sigkill_at_each_failpoint() {
    NAMES.iter().for_each(|name| killed(name, false));
}

#[test]
fn t02_sigkill_at_each_failpoint_with_a_wal_folder() {
    NAMES.iter().for_each(|name| killed(name, true));
}

#[test]
fn t01_sigterm_at_each_failpoint() {
    NAMES.iter().for_each(|name| terminated(name));
}

#[test]
fn t13_a_lock_that_comes_at_each_failpoint_ends_it() {
    for name in NAMES {
        let mut bed = bed(false);
        let running = stop_at(&mut bed, name);
        fs::write(bed.at("data/ins_lock"), "").unwrap();
        running.signal(Signal::TERM);
        assert_eq!(running.finish().verdict(), &Verdict::Locked);
        if !COMPLETE.contains(name) {
            thrown_away(&bed, &["ins_lock"]);
        }
        assert_eq!(bed.run().verdict(), &Verdict::Locked);
        fs::remove_file(bed.at("data/ins_lock")).unwrap();
        converges(&bed);
    }
}

/// The supervisor alone dies: the children go with their parent, and the next one waits for the lock.
#[test]
fn t02_sigkill_of_the_child_alone() {
    for name in ["server-started", "before-script"] {
        let mut bed = bed(false);
        let running = stop_at(&mut bed, name);
        running.signal(Signal::KILL);
        running.finish();
        converges(&bed);
    }
}

#[test]
fn a_complete_stage_overwrites_nothing() {
    let mut bed = bed(false);
    let running = stop_at(&mut bed, "after-complete");
    running.kill_tree();
    fs::write(bed.at("data/global"), "somebody's").unwrap();
    let ran = bed.run();
    assert!(ran.failure().contains("exists and did not come from it"), "{:?}", ran.verdict());
    assert_eq!(fs::read_to_string(bed.at("data/global")).unwrap(), "somebody's");
    fs::remove_file(bed.at("data/global")).unwrap();
    converges(&bed);
}
