//! What the running server says of parameters: its view `pg_settings`.

use std::collections::BTreeMap;

use crate::engine::guc::Kind;
use crate::engine::sql::literal;
use crate::manager::cause::Cause;
use crate::manager::session::{Row, Session};

/// What the server says of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    /// Its name, as the server spells it.
    pub(super) name: String,
    /// The value that runs, in the parameter's own unit.
    pub(super) setting: String,
    /// The same for people.
    pub(super) shown: String,
    /// Type and range.
    pub(super) kind: Kind,
    /// When it can be changed: `postmaster`, `sighup`, `internal`, ...
    pub(super) context: String,
    /// Where the value comes from, in the server's words.
    pub(super) source: String,
    /// Whether the value that the files have waits for a restart.
    pub(super) pending_restart: bool,
    /// The value that the server has without any file.
    pub(super) boot: String,
}

impl Setting {
    /// Whether something that counts more than the files hides their value from this session: what is set for the role or
    /// the database.
    pub(super) fn is_masked(&self) -> bool {
        matches!(self.source.as_str(), "user" | "database" | "database user" | "session" | "client")
    }

    /// Whether the engine's command line or environment sets it, which no file can change.
    pub(super) fn is_overridden(&self) -> bool {
        matches!(self.source.as_str(), "command line" | "environment variable" | "override")
    }
}

const COLUMNS: &str = "name, setting, unit, vartype, min_val, max_val, \
    pg_catalog.array_to_json(enumvals)::text, context, source, pending_restart, boot_val, \
    pg_catalog.current_setting(name, true)";

/// The parameters of these names, and all that wait for a restart; by their names in lower case.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn of(session: &mut Session, names: &[String]) -> Result<BTreeMap<String, Setting>, Cause> {
    let list: Vec<String> = names.iter().map(|name| literal(name)).collect();
    let named = if list.is_empty() {
        String::new()
    } else {
        format!("pg_catalog.lower(name) in ({}) or ", list.join(", "))
    };
    select(session, &format!("{named}pending_restart"))
}

/// All parameters.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn all(session: &mut Session) -> Result<BTreeMap<String, Setting>, Cause> {
    select(session, "true")
}

fn select(session: &mut Session, which: &str) -> Result<BTreeMap<String, Setting>, Cause> {
    let rows = session.query(&format!("select {COLUMNS} from pg_catalog.pg_settings where {which}"))?;
    Ok(rows.iter().map(|row| (row.text(0).to_ascii_lowercase(), setting(row))).collect())
}

fn setting(row: &Row) -> Setting {
    let words = serde_json::from_str(row.get(6).unwrap_or("[]")).unwrap_or_default();
    Setting {
        name: row.text(0).to_owned(),
        setting: row.text(1).to_owned(),
        kind: Kind::of(row.text(3), row.get(2), (row.get(4), row.get(5)), words),
        context: row.text(7).to_owned(),
        source: row.text(8).to_owned(),
        pending_restart: row.truth(9),
        boot: row.text(10).to_owned(),
        shown: row.get(11).unwrap_or(row.text(1)).to_owned(),
    }
}
