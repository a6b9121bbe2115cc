//! `disk status`: how full the file systems of an instance are, how long its log is, and what its slots hold back.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::pfs;
use super::space::{self, Space};
use crate::engine::conf;
use crate::manager::cause::Cause;
use crate::manager::refusal::Shown;
use crate::manager::session::Session;
use crate::manager::site::Site;

/// What a slot holds back: up to here the log was written, on a standby received. Names are the server's own: PolarDB 11
/// has no `wal_status`.
const SLOTS: &str = "select slot_name, slot_type, active, coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() \
    then coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) else pg_current_wal_lsn() end, restart_lsn), 0)::bigint \
    from pg_replication_slots order by 4 desc, 1";

/// A place on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// What it is for: `data_dir`, `pg_wal`, `tablespace 16384`, `log_dir`.
    pub name: String,
    /// Where it is, links followed.
    pub path: PathBuf,
    /// Its file system; `None`: it is not in reach from here.
    pub space: Option<Space>,
    /// Why it is not.
    pub trouble: Option<String>,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// `physical` or `logical`.
    pub kind: String,
    /// Whether somebody reads it.
    pub active: bool,
    /// So much of the log it keeps, in bytes.
    pub held_bytes: u64,
}

/// How full the disks are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Places, the data directory first.
    pub places: Vec<Place>,
    /// How long the files of the write-ahead log are together, in bytes.
    pub wal_bytes: Option<u64>,
    /// Slots, what holds back most first; `None`: the engine does not tell.
    pub slots: Option<Vec<Slot>>,
    /// What could not be found out, and why.
    pub notes: Vec<String>,
}

/// Looks at all places of an instance. One whose engine does not answer has disks all the same.
///
/// # Errors
/// There is no database.
pub fn status(site: &mut Site, log_dir: &Path) -> Result<Status, Cause> {
    let seen = site.seen()?;
    let data_dir = site.data_dir.clone();
    let (places, wal_bytes, pfs) = site.as_owner(|| {
        let (settings, _) = conf::read(&data_dir, &[]);
        (places(&data_dir, log_dir), wal_bytes(&data_dir.join("pg_wal")), pfs::Storage::of(&settings))
    })?;
    let mut notes = Vec::new();
    if let Some(storage) = pfs {
        notes.push(format!(
            "the shared storage {} is no file system of this machine: {} shows it where pfs is installed",
            storage.disk,
            storage.info().join(" ")
        ));
    }
    let slots = match seen.shown() {
        Shown::Down => Err(seen.down()),
        Shown::Up => site.session().and_then(slots),
    };
    let slots = slots.map_err(|cause| notes.push(format!("what slots hold back is not known: {cause}"))).ok();
    Ok(Status { places, wal_bytes, slots, notes })
}

fn slots(session: &mut Session) -> Result<Vec<Slot>, Cause> {
    let rows = session.query(SLOTS)?;
    let slot = |row: &crate::manager::session::Row| Slot {
        name: row.text(0).to_owned(),
        kind: row.text(1).to_owned(),
        active: row.truth(2),
        held_bytes: row.text(3).parse().unwrap_or(0),
    };
    Ok(rows.iter().map(slot).collect())
}

fn places(data_dir: &Path, log_dir: &Path) -> Vec<Place> {
    let mut all = vec![place("data_dir", data_dir), place("pg_wal", &data_dir.join("pg_wal"))];
    let links = std::fs::read_dir(data_dir.join("pg_tblspc")).into_iter().flatten().flatten();
    let mut links: Vec<_> = links.map(|entry| entry.path()).collect();
    links.sort();
    for link in links {
        let number = link.file_name().unwrap_or_default().to_string_lossy();
        all.push(place(&format!("tablespace {number}"), &link));
    }
    all.push(place("log_dir", log_dir));
    all
}

fn place(name: &str, path: &Path) -> Place {
    let (space, trouble) = match space::of(path) {
        Ok(space) => (Some(space), None),
        Err(error) => (None, Some(error.to_string())),
    };
    // Of a volume that is not mounted here a link leads nowhere.
    let path = path.canonicalize().or_else(|_| path.read_link()).unwrap_or_else(|_| path.to_owned());
    Place { name: name.to_owned(), path, space, trouble }
}

fn wal_bytes(folder: &Path) -> Option<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        // One that was removed meanwhile is none.
        if let Ok(meta) = entry.metadata()
            && meta.is_file()
        {
            sum += meta.len();
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_reach_and_out_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir_all(data.join("pg_wal/archive_status")).unwrap();
        std::fs::create_dir(data.join("pg_tblspc")).unwrap();
        std::fs::write(data.join("pg_wal/000000010000000000000001"), [0; 1000]).unwrap();
        std::os::unix::fs::symlink("/no/such/place", data.join("pg_tblspc/16384")).unwrap();
        let all = places(&data, &dir.path().join("log"));
        let names: Vec<_> = all.iter().map(|it| (it.name.as_str(), it.space.is_some())).collect();
        assert_eq!(
            names,
            [("data_dir", true), ("pg_wal", true), ("tablespace 16384", false), ("log_dir", false)]
        );
        assert_eq!(all[2].path, Path::new("/no/such/place"));
        assert_eq!(wal_bytes(&data.join("pg_wal")), Some(1000));
        assert_eq!(wal_bytes(&data.join("absent")), None);
    }
}
