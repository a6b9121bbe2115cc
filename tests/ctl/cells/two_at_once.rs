//! Two changes at once: the second waits and says for whom, and what was asked for twice is done once.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use super::pairs::{changed, does, engine, is_done};
use super::state::files;
use super::verbs::{ALWAYS, PAIRS, PG, VERBS, is_of_lock_file};
use crate::engine::postgres;

const SOMEBODY: &str = "params set by somebody, request 7";

#[test]
fn the_second_waits_says_for_whom_and_gives_up() {
    let engine = engine();
    let turn = File::options().read(true).write(true).open(engine.data().join("PG_VERSION")).unwrap();
    flock(&turn, FlockOperation::LockExclusive).unwrap();
    engine.write("ins_request", SOMEBODY);
    let changes = PAIRS.iter().flat_map(|(make, undo)| [*make, *undo]).chain(ALWAYS);
    let changes = changes.chain(["wal switch", "disk expand", "tablespace create t --location /nowhere/t"]);
    let changes: Vec<&str> = changes.filter(|line| !is_of_lock_file(line)).collect();
    let before = files(&engine);
    for line in &changes {
        let ran = engine.ctl(&format!("{line} --timeout 50ms"));
        assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{line}: {ran:?}");
        let said: Vec<&str> = ran.stderr.lines().collect();
        assert_eq!(said.len(), 2, "{line}: {ran:?}");
        assert_eq!(said[0], format!("polarctl: waits for {SOMEBODY}"), "{line}");
        assert!(said[1].contains(SOMEBODY) && said[1].contains("; try again when "), "{line}: {ran:?}");
        refused_by_name(&engine, line);
    }
    assert!(files(&engine) == before, "nothing was changed");
    // Who only reads, or makes a lock file, waits for nobody.
    let others = VERBS.iter().map(|verb| verb.line).filter(|line| {
        !changes
            .iter()
            .any(|change| change.split(' ').take(2).eq(line.split(' ').take(2)) && !is_of_lock_file(line))
    });
    for line in others {
        does(&engine, line);
    }
    engine.ctl(PG.line).success();
}

fn refused_by_name(engine: &crate::engine::Engine, line: &str) {
    let ran = engine.ctl(&format!("{line} --timeout 50ms --output json"));
    // The line about the wait is for people, who see it whatever form is asked for.
    let json = ran.json();
    assert_eq!((ran.code, json["error"]["code"].as_str()), (5, Some("busy")), "{line}: {ran:?}");
}

#[test]
fn what_is_asked_for_twice_at_once_is_done_once() {
    let engine = engine();
    for (make, undo) in PAIRS {
        for line in [make, undo] {
            let both = [(); 3].map(|()| engine.command(&format!("{line} --output json")).spawn());
            let mut changes = 0;
            for child in both {
                let output = child.wait_with_output().unwrap();
                assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
                let said = serde_json::from_slice(&output.stdout).unwrap();
                changes += usize::from(changed(line, &said) == Some(true));
            }
            assert_eq!(changes, usize::from(!is_of_lock_file(line)), "{line}");
            is_done(&engine, line);
        }
    }
}

#[test]
fn a_tablespace_that_is_asked_for_twice_at_once_is_made_once() {
    let engine = engine();
    let disk = engine.dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let (uid, gid) = postgres();
    std::os::unix::fs::chown(&disk, Some(uid), Some(gid)).unwrap();
    let line = format!("tablespace create t --location {}/t --output json", disk.display());
    let all = [(); 3].map(|()| engine.command(&line).spawn());
    let said =
        all.map(|child| serde_json::from_slice::<Value>(&child.wait_with_output().unwrap().stdout).unwrap());
    let changes = said.iter().filter(|said| said["changed"] == true).count();
    assert_eq!((changes, said.iter().filter(|said| said["changed"] == false).count()), (1, 2), "{said:?}");
}
