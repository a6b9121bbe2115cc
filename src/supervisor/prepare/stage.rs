//! The stage of a first boot: a folder of the data directory in which the database is made, and which is thrown away whole
//! unless its journal says that it is complete.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::atomic;
use super::halt::{Outcome, Trying, failed};
use super::work::{Work, random_name};
use crate::engine::stage::{JOURNAL, PREFIX, is_first_boots};

/// How long a stop waits for the removal of a stage: about a thousand files, seconds on a busy disk.
const REMOVAL_MAX: Duration = Duration::from_millis(700);
/// First line of a journal.
const VERSION_LINE: &str = "stage of polar-supervisor, version 1";

/// A stage.
pub(super) struct Stage {
    /// `<data_dir>/.init-*`.
    pub(super) path: PathBuf,
}

impl Stage {
    /// Makes an empty one.
    pub(super) fn make(data_dir: &Path) -> Outcome<Self> {
        let name = format!("{PREFIX}{}", random_name().trying("read", Path::new("/dev/urandom"))?);
        let path = data_dir.join(name);
        DirBuilder::new().mode(0o700).create(&path).trying("make the stage", &path)?;
        Ok(Stage { path })
    }

    /// The database in it.
    pub(super) fn pgdata(&self) -> PathBuf {
        self.path.join("pgdata")
    }

    /// Where its write-ahead log is made, if that has a place of its own.
    pub(super) fn wal(&self, wal_dir: &Path) -> PathBuf {
        wal_dir.join(self.path.file_name().unwrap_or_default())
    }

    /// Marks it complete: from here on it is moved into place, and never thrown away.
    pub(super) fn complete(&self, wal_dir: Option<&Path>) -> Outcome<()> {
        let mut text = format!("{VERSION_LINE}\n");
        if let Some(wal_dir) = wal_dir {
            text.push_str(&format!("wal_dir={}\n", wal_dir.display()));
        }
        let path = self.path.join(JOURNAL);
        atomic::replace(&path, text.as_bytes(), 0o600).trying("write", &path)
    }

    /// What the journal says of the place of the write-ahead log.
    ///
    /// # Errors
    /// Failed when the journal is not ours.
    pub(super) fn wal_dir(&self) -> Outcome<Option<PathBuf>> {
        let path = self.path.join(JOURNAL);
        let text = fs::read_to_string(&path).trying("read", &path)?;
        let mut lines = text.lines();
        if lines.next() != Some(VERSION_LINE) {
            return Err(failed(
                format!("{} is not a journal of this version", path.display()),
                "start the version of polar-supervisor that wrote it",
            ));
        }
        Ok(lines.find_map(|line| line.strip_prefix("wal_dir=")).map(PathBuf::from))
    }

    /// Throws it away, and its part of `wal_dir`. On a stop that takes at most [`REMOVAL_MAX`]: what is left then has
    /// no journal, and the next boot removes it.
    pub(super) fn discard(self, work: Work<'_>, wal_dir: Option<&Path>, stopping: bool) {
        let paths: Vec<PathBuf> =
            wal_dir.map(|wal_dir| self.wal(wal_dir)).into_iter().chain([self.path]).collect();
        let remove = move || {
            let failure = |path: &PathBuf| match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Some(format!("cannot remove the unfinished {}: {error}", path.display()))
                }
                _ => None,
            };
            paths.iter().filter_map(failure).collect::<Vec<String>>()
        };
        let failures = if stopping {
            // The thread ends with the process, which starts no other process from here on.
            let (done, wait) = std::sync::mpsc::channel();
            std::thread::spawn(move || done.send(remove()));
            wait.recv_timeout(REMOVAL_MAX).unwrap_or_default()
        } else {
            remove()
        };
        failures.iter().for_each(|failure| work.report.warn(failure));
    }
}

/// Throws away the stages in `folder`, which have no journal: a first boot did not end. Nothing else is touched, links
/// neither followed nor removed.
///
/// # Errors
/// When a stage cannot be removed, or may be complete.
pub(super) fn discard_all(work: Work<'_>, folder: &Path) -> Outcome<()> {
    for path in all(folder).trying("list", folder)? {
        if has_journal(&path) {
            return Err(failed(
                format!("{} is a complete stage that is not to be thrown away", path.display()),
                "start again: it is moved into place",
            ));
        }
        work.report.note(format!("removing {}: a first boot did not end", path.display()));
        fs::remove_dir_all(&path).trying("remove the unfinished", &path)?;
    }
    Ok(())
}

/// Throws away what a finished first boot left beside its database: a stage without a journal, or an emptied one.
pub(super) fn discard_refuse(work: Work<'_>, data_dir: &Path) {
    for path in all(data_dir).unwrap_or_default() {
        let emptied =
            || fs::read_dir(path.join("pgdata")).map_or(true, |mut entries| entries.next().is_none());
        if has_journal(&path) && !emptied() {
            work.report.warn(format!(
                "{} is a complete first boot beside a database that did not come from it: left as it is; remove it if \
                 nobody needs it",
                path.display()
            ));
            continue;
        }
        if let Err(error) = fs::remove_dir_all(&path) {
            work.report.warn(format!("cannot remove {}, left by first boot: {error}", path.display()));
        }
    }
}

/// Whether a journal is there; what cannot be looked at counts as one.
fn has_journal(stage: &Path) -> bool {
    !matches!(fs::symlink_metadata(stage.join(JOURNAL)), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

fn all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_first_boots(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_here_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::make(dir.path()).unwrap();
        for name in
            [".init-backup", ".init-0123456789abcde", ".init-0123456789ABCDEF", "init-0123456789abcdef"]
        {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join(".init-0123456789abcdef"), "a file").unwrap();
        assert_eq!(all(dir.path()).unwrap(), [stage.path]);
    }
}
