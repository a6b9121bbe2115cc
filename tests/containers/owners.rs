//! Whose the folder of the data is, and who the container runs as.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::bed::{Bed, POSTGRES};

fn owner(folder: &Path) -> (u32, u32, u32) {
    let data = fs::metadata(folder).unwrap();
    (data.uid(), data.gid(), data.mode() & 0o7777)
}

#[test]
fn an_empty_folder_of_roots_or_of_another_users_is_given_to_the_engine() {
    let Some(bed) = Bed::take(1) else { return };
    for (name, uid) in [("roots", 0), ("anothers", 4321)] {
        let data = bed.folder(name, (uid, uid), 0o755);
        let engine = bed.engine(name).mount(&data, "/data").serving();
        assert_eq!(owner(&data), (POSTGRES.0, POSTGRES.1, 0o700));
        assert_eq!(engine.sql("select 1"), "1");
        engine.said("the empty /data is given to postgres (uid 999), mode 0700");
        assert_eq!(engine.stop(), 0);
    }
}

#[test]
fn lost_and_found_is_no_file_of_anybodys() {
    let Some(bed) = Bed::take(1) else { return };
    let data = bed.folder("disk", (0, 0), 0o755);
    fs::create_dir(data.join("lost+found")).unwrap();
    let engine = bed.engine("disk").mount(&data, "/data").serving();
    assert_eq!(engine.sql("select 1"), "1");
    assert!(data.join("lost+found").is_dir() && data.join("PG_VERSION").is_file());
    assert_eq!(engine.stop(), 0);
}

#[test]
fn a_folder_that_holds_somebodys_files_is_refused_and_left_as_it_is() {
    let Some(bed) = Bed::take(1) else { return };
    let data = bed.folder("full", (0, 0), 0o755);
    fs::write(data.join("notes.txt"), "mine").unwrap();
    let done = bed.engine("full").mount(&data, "/data").run();
    assert_eq!(done.code, 78, "{done:?}");
    assert!(done.stderr.contains("notes.txt"), "{done:?}");
    assert_eq!((owner(&data), fs::read_dir(&data).unwrap().count()), ((0, 0, 0o755), 1));
}

#[test]
fn any_user_runs_it_over_a_folder_of_its_own() {
    let Some(bed) = Bed::take(1) else { return };
    let data = bed.folder("own", (1234, 1234), 0o700);
    let engine = bed.engine("own").with("--user 1234:1234 --cap-drop ALL").mount(&data, "/data").serving();
    assert_eq!(owner(&data), (1234, 1234, 0o700));
    assert_eq!(engine.exec(&["psql", "-U", "postgres", "-XAtc", "select 1"]).success(), "1");
    assert_eq!(engine.sh("id -u"), "1234");
    assert!(engine.healthy_by("health --live"));
    engine.health_is("healthy");
    assert_eq!(engine.stop(), 0);
    assert!(!engine.logs().contains("ERROR"), "{}", engine.logs());
    // The group 0 of platforms that choose a uid.
    let again = bed.engine("again").with("--user 1234:0").mount(&data, "/data").serving();
    assert_eq!(again.sql("select 1"), "1");
}

#[test]
fn any_user_runs_it_over_a_folder_in_a_named_volume() {
    let Some(bed) = Bed::take(1) else { return };
    let data = bed.volume("data");
    let engine =
        bed.engine("any").with("--user 1234").mount(&data, "/data").env("PGDATA", "/data/pg").serving();
    assert_eq!(engine.sql("select 1"), "1");
    assert_eq!(engine.sh("stat -c '%u %a' /data/pg"), "1234 700");
    assert_eq!(engine.stop(), 0);
}

#[test]
fn another_owners_database_is_refused_with_what_to_do() {
    let Some(bed) = Bed::take(1) else { return };
    let data = bed.folder("data", (1234, 1234), 0o700);
    let engine = bed.engine("theirs").with("--user 1234:1234").mount(&data, "/data").serving();
    assert_eq!(engine.stop(), 0);
    let refused = bed.engine("ours").mount(&data, "/data").run();
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(refused.stderr.contains("--user 1234:1234"), "{refused:?}");
    let back = bed.engine("back").with("--user 1234:1234").mount(&data, "/data").serving();
    assert_eq!(back.sql("select 1"), "1");
}
