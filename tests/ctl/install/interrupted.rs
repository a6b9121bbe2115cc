//! `install` that was killed, met another one, or found the disk full.

use super::volume::{SMALL, Volume, steps};
use crate::bed::until;
use crate::engine::refused;
use polardb_manager::manager::install::Progress;
use serde_json::{Value, json};
use std::fs::{self};
use std::process::{Child, Command, Stdio};

/// Killed at a place, then called again.
fn killed_at(place: &str) {
    let volume = Volume::new();
    let line = format!("{SMALL} --logic-id 7 --lock");
    volume.stopped_at(place, &line).kill();
    let finished = place == "after-done";
    match volume.progress() {
        Progress::Succeeded => assert!(finished, "{place}"),
        Progress::Failed { message } => assert!(!finished && message.contains("call it again"), "{message}"),
        other => panic!("{place}: {other:?}"),
    }
    assert_eq!(volume.step().is_some(), finished, "{place}");
    let made = volume.stages();
    assert_eq!(made.len(), 1, "{place}: {made:?}");
    let json = volume.done(&line);
    let remade = steps(&json).iter().any(|step| step.starts_with("make the database"));
    let complete = !["stage-made", "database-made", "before-complete"].contains(&place);
    assert_eq!(remade, !complete, "{place}: what was complete is not made again: {json}");
    assert_eq!(steps(&volume.done(&line)), Vec::<String>::new(), "{place}");
    assert!(volume.stages().is_empty(), "{place}");
    assert_eq!((volume.step().as_deref(), volume.progress()), (Some("done"), Progress::Succeeded));
    assert!(volume.data().join("ins_lock").exists() && volume.read("ins_logic_id") == "7");
    assert_eq!(volume.serve().sql("select count(*) from pg_database"), "3", "{place}");
}

#[test]
fn killed_while_the_database_is_made() {
    ["stage-made", "database-made", "before-complete"].into_iter().for_each(killed_at);
}

#[test]
fn killed_while_it_is_moved_into_place() {
    ["after-complete", "mid-promotion", "before-pg-version"].into_iter().for_each(killed_at);
}

#[test]
fn killed_when_it_is_in_place() {
    ["after-promotion", "before-done", "after-done"].into_iter().for_each(killed_at);
}

#[test]
fn killed_at_any_time() {
    let volume = Volume::new();
    for number in 0..12_u64 {
        let mut child = volume.command(SMALL).spawn_to(Stdio::null(), Stdio::null());
        // Not a wait for anything.
        std::thread::sleep(std::time::Duration::from_millis(number * 130));
        child.kill().unwrap();
        child.wait().unwrap();
        let stages = volume.stages();
        assert!(stages.len() <= 1, "what one has left, the next one takes away or goes on with: {stages:?}");
        if volume.step().is_some() {
            break;
        }
    }
    let ran = volume.install(SMALL);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(volume.stages().is_empty() && volume.step().as_deref() == Some("done"));
    assert_eq!(volume.serve().sql("select count(*) from pg_database"), "3");
}

#[test]
fn two_at_once() {
    let volume = Volume::new();
    let first = volume.stopped_at("database-made", SMALL);
    assert_eq!(volume.progress().word(), "running");
    assert!(volume.progress().message().contains("initdb"), "{:?}", volume.progress());
    let busy = volume.install("--timeout 100ms");
    assert_eq!((busy.code, busy.json()["error"]["code"].as_str()), (5, Some("busy")), "{busy:?}");
    assert_eq!(volume.progress().word(), "running", "who waits in vain does not say that it failed");
    let second = volume.command(SMALL).spawn();
    until("the second to wait", || second_waits(&second));
    let (code, json) = first.go_on();
    assert_eq!((code, &json["changed"]), (0, &json!(true)));
    let output = second.wait_with_output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &json["changed"]), (Some(0), &json!(false)), "{json}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("waits for install by root"), "{output:?}");
}

/// Whether it has the file of the turn open, and goes on.
fn second_waits(child: &Child) -> bool {
    let text = fs::read_to_string(format!("/proc/{}/wchan", child.id())).unwrap_or_default();
    text.contains("nanosleep")
}

#[test]
fn programs_of_a_dead_one_are_waited_for() {
    let volume = Volume::new();
    volume.stopped_at("stage-made", SMALL).kill();
    let stage = volume.data().join(&volume.stages()[0]);
    let mut holder = Command::new("flock").arg(&stage).args(["sleep", "600"]).spawn().unwrap();
    let held = || !Command::new("flock").arg("-n").arg(&stage).arg("true").status().unwrap().success();
    until("the stage to be held", held);
    let ran = volume.install(&format!("{SMALL} --timeout 200ms"));
    refused(&ran, 5, "busy");
    assert!(stage.exists(), "it is nobody's to throw away");
    Command::new("pkill").args(["-P", &holder.id().to_string()]).status().unwrap();
    holder.kill().ok();
    holder.wait().unwrap();
    assert_eq!(volume.install(SMALL).code, 0);
    assert!(volume.stages().is_empty());
}

#[test]
fn a_disk_that_is_too_small() {
    let volume = Volume::of_size(20);
    let ran = volume.install(SMALL);
    assert_eq!((ran.code, ran.json()["error"]["code"].as_str()), (1, Some("initdb_failed")), "{ran:?}");
    assert!(ran.stdout.contains("No space left"), "its own words: {ran:?}");
    assert_eq!(volume.of_value(), Vec::<String>::new(), "nothing half");
    assert!(matches!(volume.progress(), Progress::Failed { message } if message.contains("initdb")));
    volume.mount("remount,size=200m");
    volume.done(SMALL);
}

#[test]
fn a_disk_that_is_full_before_the_last_word() {
    let volume = Volume::of_size(200);
    let stopped = volume.stopped_at("after-promotion", &format!("{SMALL} --logic-id 7 --lock"));
    let filler = volume.data().join("ins_filler");
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k"])
        .arg(format!("of={}", filler.display()))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&filled.stderr).contains("No space left"));
    let (code, json) = stopped.go_on();
    assert_eq!((code, &json["error"]["code"]), (1, &json!("file")), "{json}");
    assert_eq!(volume.step(), None);
    assert!(!volume.names().iter().any(|name| name.ends_with(".unfinished")), "{:?}", volume.names());
    assert_eq!(volume.progress().word(), "failed");
    fs::remove_file(filler).unwrap();
    let json = volume.done(&format!("{SMALL} --logic-id 7 --lock"));
    assert!(!steps(&json).iter().any(|step| step.starts_with("make the database")), "{json}");
}
