//! `manager.log` is written by many processes at once.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use polardb_manager::manager::log::{Appender, KEEP, Level, Line, NAME, SIZE};

use crate::engine::Engine;

const PROCESSES: usize = 8;
const LINES: usize = 12_500;
/// Small enough for many to be filled, large enough for all lines to be kept.
const SMALL: u64 = 1 << 20;

/// What each of the processes runs.
#[test]
#[ignore = "the processes of the test below run it"]
fn a_writer() {
    let Some(folder) = std::env::var_os("MANAGER_LOG_FOLDER") else { return };
    let writer = std::env::var("MANAGER_LOG_WRITER").unwrap();
    let path = std::path::Path::new(&folder).join(NAME);
    let mut log = Appender::new(path, SMALL, KEEP, Duration::from_secs(60));
    for number in 0..LINES {
        let outcome = format!("done: line {number} with a\nline end in it and some more words to fill it");
        let (at, level, operation) = (Timestamp::now(), Level::Info, "params set");
        let line = Line { at, level, request: &writer, operation, outcome: &outcome };
        log.append(&line.text()).unwrap();
    }
}

#[test]
fn eight_processes_log_100_000_lines_over_many_files_and_none_is_lost_or_torn() {
    let dir = tempfile::tempdir().unwrap();
    let writers = (0..PROCESSES).map(|writer| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "manager_log::a_writer", "--ignored", "--nocapture"]);
        command.env("MANAGER_LOG_FOLDER", dir.path()).env("MANAGER_LOG_WRITER", writer.to_string());
        command.stdout(Stdio::null()).spawn().unwrap()
    });
    let writers: Vec<_> = writers.collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    let mut files = 0;
    // From the oldest on, so that the lines of each process come in order.
    for number in (0..=KEEP).rev() {
        let name = if number == 0 { NAME.to_owned() } else { format!("{NAME}.{number}") };
        let Ok(text) = fs::read_to_string(dir.path().join(name)) else { continue };
        files += 1;
        assert!(text.len() as u64 <= SMALL && text.ends_with('\n'));
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(5, " - ").collect();
            let writer = words[2].parse().unwrap();
            let next = next.entry(writer).or_default();
            let outcome = format!("done: line {next} with a\\nline end in it and some more words to fill it");
            assert_eq!((words[3], words[4]), ("params set", outcome.as_str()), "{line}");
            assert!(words[0].parse::<Timestamp>().is_ok(), "{line}");
            *next += 1;
        }
    }
    assert_eq!(next, (0..PROCESSES).map(|writer| (writer, LINES)).collect());
    assert!(files > 10, "{files} files: it turned over");
}

#[test]
fn size_and_number_of_its_files_are_the_predecessors() {
    assert_eq!((NAME, SIZE, KEEP), ("manager.log", 10 * 1024 * 1024, 15));
}

#[test]
fn a_log_whose_disk_is_full_has_no_part_of_a_line() {
    let engine = Engine::on_small_disk();
    let command = || engine.command("system-identifier").env("POLAR_SUPERVISOR_LOG_DIR", engine.data());
    command().ran().success();
    let path = engine.data().join("manager.log");
    let line = fs::read_to_string(&path).unwrap();
    // So much that the next line begins in the last page of the file and would end in one that is not there.
    let page = 4096;
    fs::write(&path, line.repeat(page / line.len())).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(before.len() < page && before.len() + line.len() > page);
    engine.fill_disk();
    let ran = command().ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("No space left"), "{ran:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    engine.empty_disk();
    command().ran().success();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), page / line.len() + 1);
}
