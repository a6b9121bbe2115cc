//! Stages: folders in which a database is made, and which are thrown away whole unless their journal says that they are
//! complete.
//!
//! Each is held by an flock on its folder, which the programs that work in it inherit: a stage is a dead one's only when
//! nobody holds it, in whatever pid namespace.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, syncfs};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use super::failpoint::failpoint;
use super::markers;
use crate::engine::control;
use crate::engine::stage::{INSTALL_PREFIX, JOURNAL, is_installs, rename_to_nothing};
use crate::manager::cause::Cause;
use crate::manager::random;
use crate::manager::site::Site;

/// First line of a journal.
const VERSION_LINE: &str = "stage of polarctl install, version 1";
/// Written last: with it the directory is a database.
const LAST: &str = "PG_VERSION";

/// A stage that is held by this process.
#[derive(Debug)]
pub(super) struct Stage {
    /// `<data_dir>/.init-install-*`.
    pub(super) path: PathBuf,
    _held: File,
}

/// A stage as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its name.
    pub(super) name: String,
    /// Whether somebody works in it.
    pub(super) held: bool,
    /// Whether there is a journal; what it says may be of another version.
    pub(super) complete: bool,
    /// What that says.
    pub(super) journal: Option<Journal>,
    /// Whether its database has gone to its place.
    pub(super) emptied: bool,
}

/// The journal of a complete stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Journal {
    /// What the instance is to be.
    pub(super) role: String,
    /// The number that names the database.
    pub(super) system_identifier: u64,
}

impl Journal {
    fn text(&self) -> String {
        format!("{VERSION_LINE}\nrole={}\nsystem_identifier={}\n", self.role, self.system_identifier)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(VERSION_LINE) {
            return None;
        }
        let mut role = None;
        let mut system_identifier = None;
        for line in lines {
            match line.split_once('=')? {
                ("role", value) => role = Some(value.to_owned()),
                ("system_identifier", value) => system_identifier = value.parse().ok(),
                _ => {}
            }
        }
        Some(Journal { role: role?, system_identifier: system_identifier? })
    }
}

impl Stage {
    /// Makes an empty one, and holds it. The programs that are run from here on hold it, too.
    ///
    /// # Errors
    /// It could not be made.
    pub(super) fn make(site: &Site) -> Result<Self, Cause> {
        let made: io::Result<Stage> = site.as_owner(|| {
            let name = format!("{INSTALL_PREFIX}{:016x}", u64::from_ne_bytes(random::bytes()?));
            let path = site.data_dir.join(name);
            DirBuilder::new().mode(0o700).create(&path)?;
            let held = open(&path)?;
            flock(&held, FlockOperation::NonBlockingLockExclusive)?;
            fcntl_setfd(&held, FdFlags::empty())?;
            Ok(Stage { path, _held: held })
        })?;
        made.map_err(|error| Cause::of_file(&site.data_dir, error))
    }

    /// One that an earlier call has left.
    ///
    /// # Errors
    /// Somebody holds it.
    pub(super) fn take(site: &Site, name: &str) -> Result<Self, Cause> {
        let path = site.data_dir.join(name);
        let held: io::Result<Option<File>> = site.as_owner(|| {
            let held = open(&path)?;
            match flock(&held, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(Some(held)),
                Err(Errno::WOULDBLOCK) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })?;
        match held.map_err(|error| Cause::of_file(&path, error))? {
            Some(held) => Ok(Stage { path, _held: held }),
            None => Err(busy(name, site)),
        }
    }

    /// The database in it.
    pub(super) fn pgdata(&self) -> PathBuf {
        self.path.join("pgdata")
    }

    /// Marks it complete, with all of it on the disk before: from here on it is moved into place and never thrown away.
    ///
    /// # Errors
    /// It has no control file, or the disk is full.
    pub(super) fn complete(&self, site: &Site, role: &str) -> Result<(), Cause> {
        let control = self.pgdata().join("global/pg_control");
        let completed: io::Result<()> = site.as_owner(|| {
            let found = control::parse(&fs::read(&control)?).map_err(io::Error::other)?;
            let journal = Journal { role: role.to_owned(), system_identifier: found.system_identifier };
            syncfs(File::open(&self.path)?)?;
            let path = self.path.join(JOURNAL);
            markers::replace(&path, &path.with_extension("unfinished"), journal.text().as_bytes(), 0o600)
        })?;
        completed.map_err(|error| Cause::of_file(&self.path, error))
    }

    /// Moves its database into place: entry by entry, `PG_VERSION` last. Each step can be done again after a kill, for a
    /// name is either still in the stage or in place.
    ///
    /// # Errors
    /// A name is taken; the stage is then kept as it is.
    pub(super) fn promote(&self, site: &Site) -> Result<(), Cause> {
        let (from, to) = (self.pgdata(), site.data_dir.as_path());
        let moved: Result<(), (PathBuf, io::Error)> = site.as_owner(|| {
            let names = names(&from).map_err(|error| (from.clone(), error))?;
            let sync = || File::open(to).and_then(|to| to.sync_all()).map_err(|error| (to.to_owned(), error));
            for (index, name) in names.iter().filter(|name| *name != LAST).enumerate() {
                move_into(&from, to, name)?;
                if index == 2 {
                    failpoint("mid-promotion");
                }
            }
            sync()?;
            failpoint("before-pg-version");
            match move_into(&from, to, &OsString::from(LAST)) {
                // In place, after a kill.
                Err((_, error)) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved?,
            }
            sync()
        })?;
        moved.map_err(|(path, error)| match error.kind() {
            io::ErrorKind::AlreadyExists => Cause::invalid(
                "foreign",
                format!("{} came into the data directory while the database was made", path.display()),
                "move it elsewhere and call install again, which then goes on",
            ),
            _ => Cause::of_file(&path, error),
        })
    }

    /// Throws it away.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn discard(self, site: &Site) -> Result<(), Cause> {
        // Links are neither followed nor spared.
        site.as_owner(|| fs::remove_dir_all(&self.path))?.map_err(|error| Cause::of_file(&self.path, error))
    }
}

/// The stages of installations in a data directory. Called as the engine's user.
///
/// # Errors
/// It cannot be read.
pub(super) fn find(data_dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_installs(&name) || !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        let text = match fs::read_to_string(path.join(JOURNAL)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // One that cannot be read is one, so that nobody throws the stage away.
            text => Some(text.unwrap_or_default()),
        };
        let journal = text.as_deref().and_then(Journal::parse);
        let emptied = fs::read_dir(path.join("pgdata")).map_or(true, |mut all| all.next().is_none());
        found.push(Found { held: is_held(&open(&path)?)?, name, complete: text.is_some(), journal, emptied });
    }
    Ok(found)
}

/// Whether somebody has the lock of a folder.
pub(super) fn is_held(folder: &File) -> io::Result<bool> {
    match flock(folder, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        // A file system that cannot lock: nobody's is held there.
        Err(_) => Ok(false),
    }
}

/// A folder, no link followed.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// That programs of an earlier call still work.
pub(super) fn busy(name: &str, site: &Site) -> Cause {
    let who = format!("a program of an earlier installation, which still works in {name}");
    Cause::Busy { who, within: site.patience.turn }
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries: io::Result<Vec<_>> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let mut names = entries?;
    names.sort();
    Ok(names)
}

fn move_into(from: &Path, to: &Path, name: &OsString) -> Result<(), (PathBuf, io::Error)> {
    let to = to.join(name);
    rename_to_nothing(&from.join(name), &to).map_err(|error| (to, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, Site) {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path().to_owned());
        (dir, site)
    }

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let journal = Journal { role: "rw".to_owned(), system_identifier: 7 };
        assert_eq!(Journal::parse(&journal.text()), Some(journal));
        for text in ["", "stage of polar-supervisor, version 1\n", &format!("{VERSION_LINE}\nrole=rw\n")] {
            assert_eq!(Journal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_that_is_held_is_nobody_elses() {
        let (_dir, site) = site();
        let stage = Stage::make(&site).unwrap();
        let name = stage.path.file_name().unwrap().to_str().unwrap().to_owned();
        let found = find(&site.data_dir).unwrap();
        let expected =
            Found { name: name.clone(), held: true, complete: false, journal: None, emptied: true };
        assert_eq!(found, [expected]);
        assert_eq!(Stage::take(&site, &name).unwrap_err().code(), "busy");
        drop(stage);
        assert!(!find(&site.data_dir).unwrap()[0].held);
        Stage::take(&site, &name).unwrap().discard(&site).unwrap();
        assert_eq!(find(&site.data_dir).unwrap(), []);
    }

    #[test]
    fn moved_into_place_and_over_nothing() {
        let (_dir, site) = site();
        let stage = Stage::make(&site).unwrap();
        fs::create_dir(stage.pgdata()).unwrap();
        for name in ["PG_VERSION", "base", "z"] {
            fs::write(stage.pgdata().join(name), name).unwrap();
        }
        fs::write(site.data_dir.join("z"), "somebody's").unwrap();
        assert_eq!(stage.promote(&site).unwrap_err().code(), "foreign");
        assert_eq!(fs::read(site.data_dir.join("z")).unwrap(), b"somebody's");
        assert!(!site.data_dir.join("PG_VERSION").exists());
        fs::remove_file(site.data_dir.join("z")).unwrap();
        stage.promote(&site).unwrap();
        stage.promote(&site).unwrap();
        assert_eq!(fs::read(site.data_dir.join("z")).unwrap(), b"z");
        assert!(site.data_dir.join("PG_VERSION").exists() && names(&stage.pgdata()).unwrap().is_empty());
    }
}
