//! Old files of the engine's log collector are removed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::work::Work;

/// Removes collector files of `folder` that are older than `log_keep`.
pub(super) fn prune(work: Work<'_>, folder: &Path) {
    let keep = work.order.engine.log_keep;
    if keep.is_zero() {
        return;
    }
    let Some(limit) = SystemTime::now().checked_sub(keep) else { return };
    let (removed, failed) = remove_older(folder, limit);
    if removed > 0 {
        let days = keep.as_secs_f64() / Duration::from_secs(86_400).as_secs_f64();
        work.report
            .note(format!("removed {removed} log files older than {days:.1} days from {}", folder.display()));
    }
    if let Some(failure) = failed {
        work.report.warn(failure);
    }
}

/// How many files were removed, and the first failure. The newest of each kind stays whatever its age: the collector of a
/// quiet engine still writes to it, and after a jump of the clock all are old.
fn remove_older(folder: &Path, limit: SystemTime) -> (usize, Option<String>) {
    let mut by_kind: BTreeMap<String, Vec<(SystemTime, PathBuf)>> = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return (0, None) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_collectors(name)) else { continue };
        // Of the entry itself: a link is no collector's file.
        let Ok(found) = entry.metadata() else { continue };
        if let (true, Ok(modified)) = (found.is_file(), found.modified()) {
            // The kind is what is left of a name without its time.
            let kind = name.chars().filter(|character| !character.is_ascii_digit()).collect();
            by_kind.entry(kind).or_default().push((modified, entry.path()));
        }
    }
    let mut removed = 0;
    let mut failed = None;
    for mut files in by_kind.into_values() {
        files.sort();
        files.pop();
        for (_, path) in files.into_iter().filter(|(modified, _)| *modified < limit) {
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(error) => {
                    failed
                        .get_or_insert(format!("cannot remove the old log file {}: {error}", path.display()));
                }
            }
        }
    }
    (removed, failed)
}

/// The collector's names, by our own `log_filename` and PolarDB's (`postgresql-<time>_error.log`, `..._audit.log`).
fn is_collectors(name: &str) -> bool {
    name.starts_with("postgresql-")
        && (name.contains(".log") || name.ends_with(".csv") || name.ends_with(".json"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_old_files_of_the_collector_go() {
        let dir = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - Duration::from_secs(1000);
        let future = SystemTime::now() + Duration::from_secs(1_000_000);
        for (name, modified) in [
            ("postgresql-2026-01-01_000000.log", old),
            ("postgresql-2026-01-01_000001.log", old - Duration::from_secs(1)),
            ("postgresql-2026-01-01_000000.csv", old),
            ("postgresql-2026-01-01_000001.csv", old - Duration::from_secs(1)),
            ("postgresql-2026-01-02_000000_error.log", old),
            ("postgresql-2026-01-02_000000.log", SystemTime::now()),
            ("postgresql-2036-01-02_000000.log", future),
            ("other.log", old),
            ("postgresql-notes.txt", old),
        ] {
            File::create(dir.path().join(name)).unwrap().set_modified(modified).unwrap();
        }
        fs::create_dir(dir.path().join("postgresql-dir.log")).unwrap();
        let limit = SystemTime::now() - Duration::from_secs(500);
        assert_eq!(remove_older(dir.path(), limit), (3, None));
        let mut left: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "other.log",
                "postgresql-2026-01-01_000000.csv",
                "postgresql-2026-01-02_000000.log",
                "postgresql-2026-01-02_000000_error.log",
                "postgresql-2036-01-02_000000.log",
                "postgresql-dir.log",
                "postgresql-notes.txt"
            ]
        );
    }
}
