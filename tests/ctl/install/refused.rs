//! What `install` leaves alone, and what it does not take.

use super::volume::{SMALL, Volume};
use crate::bed::{accepting, until};
use crate::engine::{Engine, refused};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

#[test]
fn over_an_engine_that_lives() {
    let engine = Engine::up();
    let before = fs::read_dir(engine.data()).unwrap().count();
    let line = format!("install --output json --hba-file {}/no", engine.dir.path().display());
    refused(&engine.ctl(&line), 1, "living_engine");
    refused(&engine.ctl(&format!("{line} --dry-run")), 1, "living_engine");
    assert_eq!(engine.sql("select 1"), "1");
    let after = fs::read_dir(engine.data()).unwrap().count();
    assert_eq!(after, before, "nothing is left behind");
    assert!(!engine.data().join("ins_install_step").exists());
    // Its database without it.
    let engine = Engine::down();
    refused(&engine.ctl(&line), 1, "database_there");
    // One that lost its files below itself.
    let volume = Volume::new();
    accepting(&volume.data(), 5432);
    refused(&volume.install(SMALL), 1, "living_engine");
    // Another one has the port.
    let volume = Volume::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    refused(&volume.install(&format!("{SMALL} --port {port}")), 1, "living_engine");
    refused(&volume.install(&format!("{SMALL} --set port={port}")), 1, "living_engine");
    assert_eq!(volume.of_value(), Vec::<String>::new());
}

#[test]
fn an_engine_that_somebody_started_too_early() {
    let volume = Volume::new();
    volume.stopped_at("before-done", SMALL).kill();
    let server = volume.serve();
    refused(&volume.install(SMALL), 1, "living_engine");
    kill(Pid::from_raw(i32::try_from(server.child.id()).unwrap()), Signal::SIGKILL).unwrap();
    until("its socket to be dead", || server.try_sql("select 1").is_err());
    refused(&volume.install(SMALL), 1, "living_engine");
    assert_eq!(volume.step(), None);
    drop(server);
}

/// Makes something in a folder.
type Make = fn(&Path);

#[test]
fn over_what_is_somebodys() {
    let foreign: [(&str, Make); 5] = [
        ("a file", |data| fs::write(data.join("letter.txt"), "kept").unwrap()),
        ("a folder", |data| fs::create_dir(data.join("base")).unwrap()),
        ("a link", |data| symlink("/nowhere", data.join("x")).unwrap()),
        ("half a database", |data| fs::write(data.join("postgresql.conf"), "").unwrap()),
        ("a hidden one", |data| fs::write(data.join(".initial"), "").unwrap()),
    ];
    for (what, make) in foreign {
        let volume = Volume::new();
        make(&volume.data());
        let before = volume.names();
        let ran = volume.install(SMALL);
        refused(&ran, 1, "foreign");
        assert!(ran.stdout.contains(&before[0]), "{what}: it says what: {ran:?}");
        assert_eq!(volume.names(), before, "{what}");
        assert_eq!(fs::metadata(volume.data()).unwrap().uid(), 0, "{what}: the owner is as it was");
    }
    // What is nobody's data is left alone.
    let volume = Volume::new();
    for folder in ["lost+found", "pg_log", ".init-backup", "log"] {
        fs::create_dir(volume.data().join(folder)).unwrap();
    }
    fs::write(volume.data().join("pg_log/old.log"), "kept").unwrap();
    fs::write(volume.data().join("log/old.log"), "kept").unwrap();
    fs::write(volume.data().join("ins_install_step"), "prepare\n").unwrap();
    symlink(volume.data().join("pg_log"), volume.log().join("pg_log")).unwrap();
    let json = volume.install(&format!("{SMALL} --set log_directory=log"));
    assert_eq!(json.code, 0, "{json:?}");
    assert!(fs::symlink_metadata(volume.log().join("pg_log")).unwrap().is_dir());
    assert_eq!(volume.read("pg_log/old.log"), "kept");
    let aside = volume.names().into_iter().find(|name| name.starts_with("ins_log_")).unwrap();
    assert_eq!(volume.read(&format!("{aside}/old.log")), "kept");
    assert!(volume.data().join(".init-backup").exists());
    // A volume that says done and has nothing.
    let volume = Volume::new();
    fs::write(volume.data().join("ins_install_step"), "done").unwrap();
    refused(&volume.install(SMALL), 1, "done_without_database");
    assert_eq!(volume.of_value(), Vec::<String>::new());
}

#[test]
fn hostile_text_in_every_argument() {
    let volume = Volume::new();
    let long = "x".repeat(100_000);
    let texts =
        ["'", "\"", "\\", "a\nb", "%s%n", "\u{1f418}", "$(id)", "; drop", "-", "../..", " ", "", &long];
    let options =
        ["--user", "--logic-id", "--primary-host", "--primary-user", "--custins-id", "--unique-name"];
    for option in options {
        for text in texts {
            let command = volume.command("--role standby --password-file /dev/null");
            let ran = command.word(&format!("{option}={text}")).ran();
            assert!([1, 2].contains(&ran.code), "{option} {text:?}: {ran:?}");
            assert!(ran.stdout.len() < 4000, "{option}: what is shown is cut");
        }
    }
    for option in
        ["--template", "--cert", "--key", "--password-file", "--tablespace-dir", "--initdb-arg", "--set"]
    {
        for text in texts.iter().filter(|text| !text.is_empty()) {
            // One that could make sense must not get as far as to a database.
            let ran = volume
                .command("--role standby --primary-host /nowhere")
                .word(&format!("{option}={text}"))
                .ran();
            assert!([1, 2, 77].contains(&ran.code), "{option} {text:?}: {ran:?}");
        }
    }
    assert_eq!(volume.of_value(), Vec::<String>::new());
    assert_eq!(volume.step(), None);
    // Values of parameters are the engine's to judge, and make no second line.
    let hostile = "'\\ \n%\u{1f418}\"\nport = 9\n# ";
    let quoted = format!("'{}'", hostile.replace('\\', "\\\\").replace('\'', "''"));
    let command = volume.command(SMALL);
    let command = command.word("--set").word(&format!("app.a= {hostile}"));
    let ran = command.word("--set").word(&format!("app.b={quoted}")).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    let server = volume.serve();
    assert_eq!(server.sql("select current_setting('app.b')"), hostile.trim_end());
    assert_eq!(server.sql("select current_setting('app.a')"), format!(" {hostile}").trim_end());
    assert_eq!(server.sql("show port"), "5432");
    let log = fs::read_to_string(volume.log().join("manager.log")).unwrap();
    assert!(log.lines().all(|line| line.splitn(5, " - ").count() == 5), "each line is one");
}
