//! lock and unlock of an engine that a supervisor keeps.

use std::fs;
use std::path::PathBuf;

use polardb_manager::control::protocol::{Lock, Op, Status};
use serde_json::Value;

use crate::bed::{Bed, down, engine, ok, running};

/// A supervisor that stops its engine once the lock file is there, and starts it once it is gone; an operator's stop
/// stands.
fn keeper(stopped: bool) -> (Bed, PathBuf) {
    let bed = Bed::empty();
    fs::create_dir(bed.dir.path().join("data")).unwrap();
    let places = engine(bed.dir.path());
    let file = PathBuf::from(&places.lock_file);
    let (lock_file, mut looks) = (file.clone(), 0);
    bed.serve(move |op| match op {
        Op::Status { .. } => {
            // It takes a look or two until it has seen what came.
            looks += 1;
            let lock = lock_file.exists().then(|| Lock { file: places.lock_file.clone(), ..Lock::default() });
            let engine = Some(places.clone());
            ok([match (&lock, stopped) {
                (Some(_), _) if looks % 3 == 0 => {
                    Status { engine, lock, ..down("engine", "postgres", "locked") }
                }
                (None, true) => Status { engine, ..down("engine", "postgres", "stopped") },
                _ => Status { engine, lock, ready: looks % 3 == 0, ..running("engine", "postgres") },
            }])
        }
        _ => ok(Value::Null),
    });
    (bed, file)
}

#[test]
fn lock_writes_who_and_why_and_waits_for_the_end() {
    let (bed, file) = keeper(false);
    let ran = bed
        .command("lock engine --kind expired --until 2026-01-31T12:00:00Z --no-wait")
        .word("--reason")
        .word("not paid")
        .ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    let content: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((content["kind"].as_str(), content["reason"].as_str()), (Some("expired"), Some("not paid")));
    assert_eq!(
        (content["owner"].as_str(), content["until"].as_str()),
        (Some("root"), Some("2026-01-31T12:00:00Z"))
    );
    assert!(content["since"].as_str().unwrap().ends_with('Z'));
    assert_eq!(bed.changes(), [], "the file alone does it");

    // Of another kind: left as it is.
    let ran = bed.ctl("lock engine");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("kind expired, by root") && ran.stderr.contains("--force"), "{ran:?}");
    let ran = bed.ctl("unlock engine");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("unlock --force"), "{ran:?}");
    assert!(file.exists());
    assert!(bed.ctl("lock engine --force").success().contains("maintenance by root"));
    assert!(bed.ctl("unlock").success().contains("running"));
    assert!(!file.exists());
}

#[test]
fn unlock_of_one_that_an_operator_has_stopped_is_done_once_the_file_is_gone() {
    let (bed, file) = keeper(true);
    fs::write(&file, "").unwrap();
    let ran = bed.ctl("unlock");
    assert_eq!(ran.code, 1, "one that was touched is somebody else's: {ran:?}");
    assert!(bed.ctl("unlock --force").success().contains("stopped"));
    assert!(!file.exists());
    let ran = bed.ctl("unlock");
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("was not locked"), "{ran:?}");
}

#[test]
fn a_program_that_has_no_lock_file() {
    let bed = Bed::new(|_| ok([running("sidecar", "command")]));
    let ran = bed.ctl("lock sidecar");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("polarctl stop"), "{ran:?}");
}

#[test]
fn an_engine_whose_files_are_elsewhere() {
    let places = engine(std::path::Path::new("/no/such/place"));
    let status = Status { engine: Some(places), ..running("engine", "postgres") };
    let ran = Bed::new(move |_| ok([&status])).ctl("lock");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("--data-dir"), "{ran:?}");
}
