//! A clock that jumps: what PID 1 decides hangs on the monotonic clock alone.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the time of day is of use: stamps of log lines and of files that are moved aside, the age of log files, and
/// PostgreSQL's own start time in its pid file, which is compared for equality or shown.
const TIME_OF_DAY: [&str; 9] = [
    "supervisor/prepare/prune.rs",
    "supervisor/prepare/record.rs",
    "supervisor/prepare/work.rs",
    // Between which times ours lived: a start time of a pid file outside of it, as after a jump, is only waited for longer.
    "supervisor/shell/act.rs",
    "supervisor/shell/capture.rs",
    "supervisor/follow/files.rs",
    "supervisor/follow/mod.rs",
    // The times of events.
    "supervisor/shell/history.rs",
    "supervisor/shell/logger.rs",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => sources(&path, found),
            path => found.push(path),
        }
    }
}

#[test]
fn the_time_of_day_decides_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let users: Vec<String> = files
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            ["SystemTime", "Timestamp", "Zoned", "UNIX_EPOCH", "CLOCK_REALTIME", "ClockId::Realtime"]
                .iter()
                .any(|word| code.contains(word))
        })
        .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
        .filter(|path| path.starts_with("supervisor/") && !TIME_OF_DAY.contains(&path.as_str()))
        .collect();
    assert_eq!(users, [""; 0], "these know the time of day");
}
