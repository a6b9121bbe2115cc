//! Where an instance is, and what its data volume shows.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cause::Cause;
use super::operation::Call;
use super::refusal::{Seen, Shown};
use super::session::{DATABASE, Manner, Session};
use super::user;
use crate::engine::pidfile::{self, PidFile};
use crate::engine::sql::literal;
use crate::engine::{conf, flavor};

/// The port of a server whose files name none.
const DEFAULT_PORT: u16 = 5432;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the first byte to a session (the predecessor's `connect_timeout`: 3 s).
    pub connect: Duration,
    /// One statement.
    pub statement: Duration,
    /// For another operation to end.
    pub turn: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let half_a_minute = Duration::from_secs(30);
        Patience { connect: Duration::from_secs(3), statement: half_a_minute, turn: half_a_minute }
    }
}

/// An instance, by its data volume.
#[derive(Debug)]
pub struct Site {
    /// The data directory, absolute, as it is mounted here.
    pub data_dir: PathBuf,
    /// Its lock file.
    pub lock_file: PathBuf,
    /// Folders that its socket may be in, beside those that its own files name.
    pub socket_dirs: Vec<PathBuf>,
    /// Its port where its own files name none.
    pub port: Option<u16>,
    /// Folder of the engine's executables, where it is configured.
    pub bin_dir: Option<PathBuf>,
    /// How long things may take.
    pub patience: Patience,
    /// The operation that it is for, as sessions name themselves.
    pub purpose: &'static str,
    /// Who asks for it.
    pub call: Call,
    /// What went wrong beside an operation that was done, or on the way back from one that was not.
    pub remarks: Vec<String>,
    session: Option<Session>,
    plain: Option<Session>,
}

impl Site {
    /// An instance of which the data directory is known, and by it the rest.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Site {
            lock_file: data_dir.join("ins_lock"),
            data_dir,
            socket_dirs: Vec::new(),
            port: None,
            bin_dir: None,
            patience: Patience::default(),
            purpose: "",
            call: Call::default(),
            remarks: Vec::new(),
            session: None,
            plain: None,
        }
    }

    /// The user and group that the data directory belongs to, who are the engine's.
    ///
    /// # Errors
    /// There is no database.
    pub fn owner(&self) -> Result<(u32, u32), Cause> {
        let absent = |error: std::io::Error| Cause::NoInstance {
            data_dir: self.data_dir.clone(),
            why: error.to_string(),
        };
        let meta = std::fs::metadata(&self.data_dir).map_err(absent)?;
        Ok((meta.uid(), meta.gid()))
    }

    /// Does something with the engine's user's rights on files, where root is who asks.
    ///
    /// # Errors
    /// There is no database, or root may not act as another user.
    pub fn as_owner<T>(&self, act: impl FnOnce() -> T) -> Result<T, Cause> {
        user::acting_as(self.owner()?, act).map_err(|error| Cause::of_file(&self.data_dir, error))
    }

    /// The pid file, and whether there is a lock.
    ///
    /// # Errors
    /// The data directory cannot be looked at.
    pub fn seen(&self) -> Result<Seen, Cause> {
        let (pid_file, locked) = self.as_owner(|| {
            // A link that leads nowhere locks, too; what cannot be looked at is taken for no lock.
            (pidfile::read(&self.data_dir), self.lock_file.symlink_metadata().is_ok())
        })?;
        let pid_file = pid_file.map_err(|error| Cause::of_file(&self.data_dir, error))?;
        Ok(Seen { pid_file, locked, data_dir: self.data_dir.clone(), lock_file: self.lock_file.clone() })
    }

    /// Whether a postmaster's pid file is there.
    ///
    /// # Errors
    /// As [`Site::seen`].
    pub fn shown(&self) -> Result<Shown, Cause> {
        Ok(self.seen()?.shown())
    }

    /// Folders and port of the sockets that it may have, the likeliest first.
    pub(super) fn sockets(&self, told: Option<&PidFile>) -> Vec<(PathBuf, u16)> {
        let port = told.and_then(|file| file.port).or_else(|| self.conf_port()).or(self.port);
        let port = port.unwrap_or(DEFAULT_PORT);
        // The path is the postmaster's own: of a volume that is mounted elsewhere it may lead to nothing here.
        let first = told.and_then(|file| file.socket_dir.as_ref()).map(|dir| self.data_dir.join(dir));
        let mut all: Vec<(PathBuf, u16)> = Vec::new();
        for dir in first.iter().chain([&self.data_dir]).chain(&self.socket_dirs) {
            if !all.iter().any(|(known, _)| known == dir) {
                all.push((dir.clone(), port));
            }
        }
        all
    }

    /// The folder and port of the socket that is there, or of the one that should be.
    ///
    /// # Errors
    /// The data directory cannot be looked at.
    pub fn socket(&self) -> Result<(PathBuf, u16), Cause> {
        let seen = self.seen()?;
        let sockets = self.sockets(seen.pid_file.as_ref());
        let there = |(dir, port): &&(PathBuf, u16)| socket_path(dir, *port).symlink_metadata().is_ok();
        let found = sockets.iter().find(there).or(sockets.first()).cloned();
        Ok(found.unwrap_or_else(|| (self.data_dir.clone(), DEFAULT_PORT)))
    }

    fn conf_port(&self) -> Option<u16> {
        let (settings, _) = self.as_owner(|| conf::read(&self.data_dir, &[])).ok()?;
        settings.get("port")?.parse().ok()
    }

    /// A guarded session, made at the first call.
    ///
    /// # Errors
    /// None comes about; the cause says how the engine is.
    pub fn session(&mut self) -> Result<&mut Session, Cause> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connect(Manner::Guarded, DATABASE)?,
        };
        Ok(self.session.insert(session))
    }

    /// A plain session, made at the first call.
    ///
    /// # Errors
    /// As [`Site::session`].
    pub fn plain_session(&mut self) -> Result<&mut Session, Cause> {
        let session = match self.plain.take() {
            Some(session) => session,
            None => self.connect(Manner::Plain, DATABASE)?,
        };
        Ok(self.plain.insert(session))
    }

    /// Has a statement done in each of these databases that is there.
    ///
    /// # Errors
    /// As [`Site::session`] and [`Session::query`].
    pub fn in_each_database(&mut self, databases: &[&str], sql: &str) -> Result<(), Cause> {
        let names: Vec<String> = databases.iter().map(|name| literal(name)).collect();
        let there = format!(
            "select datname from pg_database where datallowconn and datname in ({})",
            names.join(", ")
        );
        for row in self.session()?.query(&there)? {
            self.connect(Manner::Guarded, row.text(0))?.query(sql)?;
        }
        Ok(())
    }

    /// A plain session beside the others, which ends with the value.
    ///
    /// # Errors
    /// As [`Site::session`].
    pub(super) fn another_session(&self) -> Result<Session, Cause> {
        self.connect(Manner::Plain, DATABASE)
    }

    fn connect(&self, manner: Manner, database: &str) -> Result<Session, Cause> {
        self.owner()?;
        let seen = self.seen()?;
        let sockets = self.sockets(seen.pid_file.as_ref());
        let whose = (self.data_dir.as_path(), seen.pid_file.as_ref());
        Session::open(&sockets, whose, self.patience, (manner, self.purpose, database))
            // It may have begun to start or to stop meanwhile.
            .map_err(|refusal| self.seen().unwrap_or(seen).judge(&refusal, self.patience.connect))
    }

    /// Folder of the engine's executables.
    ///
    /// # Errors
    /// There is none on this machine.
    pub fn bin_dir(&self) -> Result<PathBuf, Cause> {
        let path = std::env::var("PATH").unwrap_or_default();
        flavor::find_bin_dir(self.bin_dir.as_deref(), &path)
            .map_err(|error| Cause::invalid("no_engine", error.to_string(), flavor::NotFound::REMEDY))
    }
}

/// The socket of a port in a folder.
#[must_use]
pub fn socket_path(dir: &Path, port: u16) -> PathBuf {
    dir.join(format!(".s.PGSQL.{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_its_socket_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Site::new(dir.path().to_owned());
        site.socket_dirs = vec!["/run/sockets".into(), dir.path().to_owned()];
        assert_eq!(
            site.sockets(None),
            [(dir.path().to_owned(), 5432), (PathBuf::from("/run/sockets"), 5432)]
        );
        site.port = Some(5433);
        assert_eq!(site.sockets(None)[0].1, 5433);
        std::fs::write(dir.path().join("postgresql.conf"), "port=3001\n").unwrap();
        assert_eq!(site.sockets(None)[0].1, 3001, "its own file");
        let told = pidfile::parse(b"7\n/elsewhere\n1\n3002\n/elsewhere\n*\n 1 1\nready\n").unwrap();
        assert_eq!(
            site.sockets(Some(&told))[..2],
            [(PathBuf::from("/elsewhere"), 3002), (dir.path().to_owned(), 3002)]
        );
        let told = pidfile::parse(b"7\n/elsewhere\n1\n3002\n.\n*\n 1 1\nready\n").unwrap();
        assert_eq!(site.sockets(Some(&told))[0].0, dir.path().join("."));
    }
}
