//! The first fields of `global/pg_control`, which keep their place over all versions (PostgreSQL,
//! `src/include/catalog/pg_control.h`): system identifier at byte 0, format version at 8, catalog version at 12, the
//! state at 16. The numbers are in the machine's own byte order.

use std::fmt;

pub use super::Malformed;

/// What the database was doing when the file was last written (`DBState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbState {
    /// Being initialized.
    Startup,
    /// Stopped in order.
    ShutDown,
    /// Stopped in order while it was a standby or recovering from an archive.
    ShutDownInRecovery,
    /// On its way to a stop.
    ShuttingDown,
    /// Recovering from a crash.
    InCrashRecovery,
    /// A standby, or recovering from an archive.
    InArchiveRecovery,
    /// Serving.
    InProduction,
}

impl DbState {
    /// Whether the last end was an ordered one: the next start needs no crash recovery.
    pub fn is_orderly(self) -> bool {
        matches!(self, DbState::ShutDown | DbState::ShutDownInRecovery)
    }

    fn from_number(number: u32) -> Option<DbState> {
        Some(match number {
            0 => DbState::Startup,
            1 => DbState::ShutDown,
            2 => DbState::ShutDownInRecovery,
            3 => DbState::ShuttingDown,
            4 => DbState::InCrashRecovery,
            5 => DbState::InArchiveRecovery,
            6 => DbState::InProduction,
            _ => return None,
        })
    }
}

impl fmt::Display for DbState {
    /// In the words of `pg_controldata`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DbState::Startup => "starting up",
            DbState::ShutDown => "shut down",
            DbState::ShutDownInRecovery => "shut down in recovery",
            DbState::ShuttingDown => "shutting down",
            DbState::InCrashRecovery => "in crash recovery",
            DbState::InArchiveRecovery => "in archive recovery",
            DbState::InProduction => "in production",
        })
    }
}

/// The first fields of `global/pg_control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// Names the database and all its copies.
    pub system_identifier: u64,
    /// Version of the file's format, 1300 for PostgreSQL 13 to 17.
    pub version: u32,
    /// Version of the system catalogs.
    pub catalog: u32,
    /// What the database was doing.
    pub state: DbState,
}

/// Reads the content of a `global/pg_control`. The checksum is not verified: its place differs between versions.
///
/// # Errors
/// [`Malformed::Empty`] for a file of no bytes (an interrupted `pg_rewind` leaves one), [`Malformed::Garbage`] for one
/// that is cut short, all zeros, of another byte order, or of an unknown state.
pub fn parse(bytes: &[u8]) -> Result<Control, Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::Empty);
    }
    let short = || Malformed::Garbage(format!("it is cut short: {} bytes", bytes.len()));
    let number = |at: usize| -> Result<u32, Malformed> {
        let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(short)?;
        Ok(u32::from_ne_bytes(*four))
    };
    let system_identifier = u64::from_ne_bytes(*bytes.first_chunk::<8>().ok_or_else(short)?);
    let (version, catalog, state) = (number(8)?, number(12)?, number(16)?);
    if version == 0 {
        return Err(Malformed::Garbage("its format version is 0".to_owned()));
    }
    // The versions of all releases fit into 16 bits: one that fills only the upper half was written by a machine of
    // the other byte order. PostgreSQL tests it in the same way.
    if version.is_multiple_of(1 << 16) {
        return Err(Malformed::Garbage("it was written by a machine of another byte order".to_owned()));
    }
    let state = DbState::from_number(state)
        .ok_or_else(|| Malformed::Garbage(format!("it holds the unknown state {state}")))?;
    Ok(Control { system_identifier, version, catalog, state })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(version: u32, state: u32) -> Vec<u8> {
        let mut bytes = 7_654_321_987_654_321_u64.to_ne_bytes().to_vec();
        for number in [version, 202209061, state] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.resize(8192, 0);
        bytes
    }

    #[test]
    fn the_fields_and_every_state() {
        let states = [
            (0, DbState::Startup, "starting up", false),
            (1, DbState::ShutDown, "shut down", true),
            (2, DbState::ShutDownInRecovery, "shut down in recovery", true),
            (3, DbState::ShuttingDown, "shutting down", false),
            (4, DbState::InCrashRecovery, "in crash recovery", false),
            (5, DbState::InArchiveRecovery, "in archive recovery", false),
            (6, DbState::InProduction, "in production", false),
        ];
        for (number, state, words, orderly) in states {
            let control = parse(&file(1300, number)).unwrap();
            assert_eq!(
                control,
                Control {
                    system_identifier: 7_654_321_987_654_321,
                    version: 1300,
                    catalog: 202209061,
                    state
                }
            );
            assert_eq!((state.to_string().as_str(), state.is_orderly()), (words, orderly));
        }
    }

    #[test]
    fn malformed() {
        assert_eq!(parse(b""), Err(Malformed::Empty));
        let whole = file(1300, 6);
        let table = [
            (whole[..19].to_vec(), "cut short"),
            (whole[..3].to_vec(), "cut short"),
            (vec![0; 8192], "version is 0"),
            (file(1300_u32 << 16, 6), "byte order"),
            (file(1300, 7), "state 7"),
        ];
        for (bytes, expected) in table {
            let error = parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(parse(&whole[..20]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
