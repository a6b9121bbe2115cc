//! What a data directory is, judged by the names in it.

use std::fmt;

use super::conf::Settings;

/// The kind of a directory entry, by lstat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, whatever it leads to.
    Link,
    /// A socket.
    Socket,
    /// A pipe, a device.
    Other,
}

/// One name in the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name; a lossy conversion is fine, for no name that matters here has other than ASCII letters.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What was found in a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// All its entries but `.` and `..`.
    pub entries: Vec<Entry>,
    /// Name of the `.init-*` whose journal says that it is complete.
    pub complete_stage: Option<String>,
    /// Name of the lock file, where it lies in this directory.
    pub lock_file_name: Option<String>,
}

/// What a data directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// Nothing that a first boot could harm: to be initialized.
    Empty,
    /// A completed stage is being moved into place.
    Resume {
        /// Its name.
        stage: String,
    },
    /// A database.
    Database,
    /// Somebody's files: never initialized, wiped or moved.
    Foreign {
        /// Their names, sorted.
        names: Vec<String>,
    },
}

/// Judges a data directory.
///
/// `PG_VERSION` is moved into place last, so it alone decides: with it this is a database, and a stage left beside it
/// is refuse; without it and with a complete stage, whatever lies there was moved from that stage.
pub fn datadir_verdict(listing: &Listing) -> Contents {
    if listing.entries.iter().any(|entry| entry.name == "PG_VERSION" && entry.kind != EntryKind::Dir) {
        return Contents::Database;
    }
    if let Some(stage) = &listing.complete_stage {
        return Contents::Resume { stage: stage.clone() };
    }
    let harmless = |entry: &Entry| is_harmless(entry, listing.lock_file_name.as_deref());
    let mut names: Vec<String> =
        listing.entries.iter().filter(|entry| !harmless(entry)).map(|entry| entry.name.clone()).collect();
    if names.is_empty() {
        return Contents::Empty;
    }
    names.sort();
    Contents::Foreign { names }
}

/// What may lie in a directory that is initialized: it is nobody's data, and a first boot leaves it alone.
fn is_harmless(entry: &Entry, lock_file_name: Option<&str>) -> bool {
    let name = entry.name.as_str();
    entry.kind == EntryKind::Socket
        || Some(name) == lock_file_name
        || ["lost+found", "pg_log", "log"].contains(&name)
        || [".init-", "ins_", ".s.PGSQL."].iter().any(|prefix| name.starts_with(prefix))
}

/// What of a database is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pieces {
    /// `PG_VERSION`.
    pub pg_version: bool,
    /// `global/pg_control`.
    pub pg_control: bool,
    /// `postgresql.conf`.
    pub postgresql_conf: bool,
    /// The configuration says that the data lies on shared storage ([`on_shared_storage`]).
    pub shared_storage: bool,
}

/// What a database needs to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// `PG_VERSION`.
    PgVersion,
    /// `global/pg_control`.
    PgControl,
    /// `postgresql.conf`.
    PostgresqlConf,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Piece::PgVersion => "PG_VERSION",
            Piece::PgControl => "global/pg_control",
            Piece::PostgresqlConf => "postgresql.conf",
        })
    }
}

/// What a database still lacks to be served. A PolarDB node on shared storage has no control file of its own.
pub fn lacking(pieces: Pieces) -> Vec<Piece> {
    [
        (pieces.pg_version, Piece::PgVersion),
        (pieces.pg_control || pieces.shared_storage, Piece::PgControl),
        (pieces.postgresql_conf, Piece::PostgresqlConf),
    ]
    .into_iter()
    .filter_map(|(there, piece)| (!there).then_some(piece))
    .collect()
}

/// Whether a configuration is that of a PolarDB node whose data lies on shared storage: `polar_datadir` names it.
pub fn on_shared_storage(settings: &Settings) -> bool {
    settings.get("polar_datadir").is_some_and(|dir| !dir.trim().is_empty())
}

/// The major version in a `PG_VERSION` (`15`, `9.6`).
pub fn major_version(pg_version_text: &str) -> Option<u32> {
    let text = pg_version_text.trim();
    text.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[(&str, EntryKind)]) -> Listing {
        let entries =
            names.iter().map(|(name, kind)| Entry { name: (*name).to_owned(), kind: *kind }).collect();
        Listing { entries, complete_stage: None, lock_file_name: Some("ins_lock".to_owned()) }
    }

    #[test]
    fn verdicts() {
        use EntryKind::{Dir, File, Link, Other, Socket};
        let foreign =
            |names: &[&str]| Contents::Foreign { names: names.iter().map(|n| (*n).to_owned()).collect() };
        let table: Vec<(&[(&str, EntryKind)], Contents)> = vec![
            (&[], Contents::Empty),
            (&[("lost+found", Dir), ("ins_lock", File), ("ins_install_step", File)], Contents::Empty),
            (
                &[(".init-4f", Dir), ("pg_log", Dir), ("log", Link), (".s.PGSQL.5432", Socket)],
                Contents::Empty,
            ),
            (&[(".s.PGSQL.5432.lock", File), ("control", Socket)], Contents::Empty),
            (&[("PG_VERSION", File)], Contents::Database),
            (&[("PG_VERSION", Link), ("letters.txt", File), (".init-4f", Dir)], Contents::Database),
            (&[("PG_VERSION", Dir)], foreign(&["PG_VERSION"])),
            (&[("b", Other), ("a", File), ("lost+found", Dir)], foreign(&["a", "b"])),
            // A database that lost its PG_VERSION is not ours to touch.
            (&[("global", Dir), ("postgresql.conf", File)], foreign(&["global", "postgresql.conf"])),
            (&[("pg_logs", Dir)], foreign(&["pg_logs"])),
            (&[(".initial", Dir)], foreign(&[".initial"])),
        ];
        for (names, expected) in table {
            assert_eq!(datadir_verdict(&listing(names)), expected, "{names:?}");
        }
    }

    #[test]
    fn a_complete_stage_is_resumed_until_pg_version_is_there() {
        let with_stage = |names| Listing { complete_stage: Some(".init-4f".to_owned()), ..listing(names) };
        let resume = Contents::Resume { stage: ".init-4f".to_owned() };
        assert_eq!(datadir_verdict(&with_stage(&[(".init-4f", EntryKind::Dir)])), resume);
        let half = [(".init-4f", EntryKind::Dir), ("base", EntryKind::Dir)];
        assert_eq!(datadir_verdict(&with_stage(&half)), resume);
        let whole = [(".init-4f", EntryKind::Dir), ("PG_VERSION", EntryKind::File)];
        assert_eq!(datadir_verdict(&with_stage(&whole)), Contents::Database);
    }

    #[test]
    fn a_lock_file_of_another_name() {
        let mut listing = listing(&[("halt", EntryKind::File)]);
        assert_eq!(datadir_verdict(&listing), Contents::Foreign { names: vec!["halt".to_owned()] });
        listing.lock_file_name = Some("halt".to_owned());
        assert_eq!(datadir_verdict(&listing), Contents::Empty);
    }

    #[test]
    fn what_is_lacking() {
        let all = Pieces { pg_version: true, pg_control: true, postgresql_conf: true, shared_storage: false };
        assert_eq!(lacking(all), []);
        assert_eq!(lacking(Pieces { pg_control: false, ..all }), [Piece::PgControl]);
        assert_eq!(lacking(Pieces { pg_control: false, shared_storage: true, ..all }), []);
        assert_eq!(lacking(Pieces { pg_version: false, ..all }), [Piece::PgVersion]);
        assert_eq!(lacking(Pieces { postgresql_conf: false, ..all }), [Piece::PostgresqlConf]);
    }

    #[test]
    fn versions() {
        let table = [
            ("15\n", Some(15)),
            ("11", Some(11)),
            ("9.6\n", Some(9)),
            ("", None),
            ("x15", None),
            ("15beta", None),
        ];
        for (text, expected) in table {
            assert_eq!(major_version(text), expected, "{text:?}");
        }
    }
}
