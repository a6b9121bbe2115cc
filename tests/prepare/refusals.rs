//! What cannot be served is refused with its cause and a way out, and nothing on disk is changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use polardb_manager::config::Init;
use polardb_manager::supervisor::prepare::protocol::Verdict;

use crate::bed::{Bed, names, postgres_ids};

#[test]
fn somebodys_files_are_refused_and_unchanged() {
    let bed = Bed::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        fs::write(bed.at("data").join(name), name).unwrap();
    }
    let before = bed.at("data").metadata().unwrap();
    let refusal = bed.run().refusal();
    assert!(refusal.contains("a, b, c, d, e and 1 more"), "{refusal}");
    assert!(refusal.contains("never initialized, wiped or moved"), "{refusal}");
    let after = bed.at("data").metadata().unwrap();
    assert_eq!(names(&bed.at("data")), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(
        (before.uid(), before.mode(), before.mtime_nsec()),
        (after.uid(), after.mode(), after.mtime_nsec())
    );
}

#[test]
fn a_database_of_another_owner_version_or_without_pieces_is_refused() {
    let bed = Bed::new();
    bed.start();
    let data = bed.at("data");
    let (uid, gid) = postgres_ids();

    chown(data.join("PG_VERSION"), Some(1), Some(1)).unwrap();
    let refusal = bed.run().refusal();
    assert!(
        refusal.contains("belongs to 1:1") && refusal.contains(&format!("chown -R {uid}:{gid}")),
        "{refusal}"
    );
    chown(data.join("PG_VERSION"), Some(uid), Some(gid)).unwrap();

    chown(&data, Some(1), Some(1)).unwrap();
    let refusal = bed.run().refusal();
    assert!(refusal.contains("owner 1:1") && refusal.contains("--user 1:1"), "{refusal}");
    chown(&data, Some(uid), Some(gid)).unwrap();

    let version = fs::read_to_string(data.join("PG_VERSION")).unwrap();
    fs::write(data.join("PG_VERSION"), "9.6\n").unwrap();
    let refusal = bed.run().refusal();
    assert!(refusal.contains("major version 9") && refusal.contains("pg_upgrade"), "{refusal}");
    fs::write(data.join("PG_VERSION"), version).unwrap();

    for piece in ["global/pg_control", "postgresql.conf"] {
        fs::rename(data.join(piece), bed.at("kept")).unwrap();
        let before = bed.names();
        let refusal = bed.run().refusal();
        assert!(refusal.contains(piece) && refusal.contains("backup"), "{refusal}");
        assert_eq!(bed.names(), before);
        fs::rename(bed.at("kept"), data.join(piece)).unwrap();
    }
    bed.start();
}

#[test]
fn an_absent_mount_is_refused_and_nothing_is_made() {
    let mut bed = Bed::new();
    bed.order.engine.require_mount = true;
    // /tmp may be a mount of its own, which then counts; the folder that is missing never does.
    bed.order.engine.data_dir = bed.at("absent");
    let refusal = bed.run().refusal();
    assert!(refusal.contains("require_mount"), "{refusal}");
    assert!(!bed.at("absent").exists());
}

#[test]
fn an_unreachable_place_names_the_component() {
    let bed = Bed::new();
    fs::set_permissions(bed.dir.path(), Permissions::from_mode(0o700)).unwrap();
    let refusal = bed.run().refusal();
    let component = format!("{} (owner 0:0, mode 0700) cannot be entered", bed.dir.path().display());
    assert!(refusal.contains(&component), "{refusal}");
}

#[test]
fn no_engine_is_refused() {
    let mut bed = Bed::new();
    bed.order.engine.bin_dir = Some("/nowhere".into());
    assert!(bed.run().refusal().contains("/nowhere"));
}

#[test]
fn init_never_and_wait_leave_an_empty_directory_as_it_is() {
    let mut bed = Bed::new();
    bed.order.engine.init = Init::Never;
    assert!(bed.run().refusal().contains("init = \"never\""));
    bed.order.engine.init = Init::Wait;
    fs::write(bed.at("data/ins_install_step"), "copying").unwrap();
    chown(bed.at("data"), Some(postgres_ids().0), None).unwrap();
    let ran = bed.run();
    assert!(matches!(ran.verdict(), Verdict::Wait { .. }), "{:?}", ran.verdict());
    assert_eq!(ran.status.code(), Some(0));
    assert_eq!(bed.names(), ["ins_install_step"]);
}

#[test]
fn init_wait_waits_for_done() {
    let mut bed = Bed::new();
    bed.start();
    bed.order.engine.init = Init::Wait;
    assert!(matches!(bed.run().verdict(), Verdict::Wait { .. }));
    fs::write(bed.at("data/ins_install_step"), "done\n").unwrap();
    chown(bed.at("data/ins_install_step"), Some(postgres_ids().0), None).unwrap();
    bed.start();
}

#[test]
fn wrong_variables_are_refused_without_their_secrets() {
    let mut bed = Bed::new();
    bed.variable("POSTGRES_PASSWORD", "geheim");
    bed.variable("POLARDB_PASSWORD", "anders");
    let ran = bed.run();
    let refusal = ran.refusal();
    assert!(refusal.contains("POSTGRES_PASSWORD and POLARDB_PASSWORD"), "{refusal}");
    assert!(!format!("{:?}{}", ran.reports, ran.stderr).contains("geheim"));
    assert!(bed.names().is_empty());
}

#[test]
fn a_second_keeper_is_refused_and_the_first_one_handed_on() {
    let bed = Bed::new();
    bed.start();
    let keeper = bed.spawn(None).finish().keeper.unwrap();
    let refusal = bed.run().refusal();
    assert!(refusal.contains("another supervisor keeps"), "{refusal}");
    let again = bed.spawn(Some(&keeper)).finish();
    assert!(matches!(again.verdict(), Verdict::Start(_)), "{:?}", again.verdict());
    assert!(again.keeper.is_none(), "PID 1 has it");
    drop(keeper);
    bed.start();
}

#[test]
fn the_lock_file_keeps_an_empty_directory_empty() {
    let bed = Bed::new();
    let before = bed.at("data").metadata().unwrap();
    // A dangling link locks.
    std::os::unix::fs::symlink("/nowhere", bed.at("data/ins_lock")).unwrap();
    let ran = bed.run();
    assert_eq!(ran.verdict(), &Verdict::Locked);
    assert_eq!(ran.status.code(), Some(0));
    assert_eq!(bed.names(), ["ins_lock"]);
    assert_eq!(bed.at("data").metadata().unwrap().uid(), before.uid());
    assert!(!bed.at("run").exists() && !bed.at("log").exists());
    fs::remove_file(bed.at("data/ins_lock")).unwrap();
    bed.start();
}
