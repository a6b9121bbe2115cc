//! What is kept of a lock while it holds: a parameter of our own, set for all roles in the transaction that locks. So it is
//! there if and only if the lock is, a standby that is promoted has it, and every session can see it.

use serde::{Deserialize, Serialize};

use crate::engine::sql::literal;
use crate::manager::cause::Cause;
use crate::manager::session::Session;

/// The parameter that holds it.
pub(super) const NAME: &str = "polar_manager.diskfull_lock";
/// Stands for the server's time, which it knows only once it has the table for itself.
const TIME: &str = "@clock_timestamp@";

/// What was there before, and what was put in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The database's number; 0: all.
    pub(super) database: u32,
    /// The role's number; 0: all.
    pub(super) role: u32,
    /// The value before.
    pub(super) was: Option<String>,
    /// The value of the lock.
    pub(super) put: String,
}

/// What is kept of a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Since when.
    pub(super) since: String,
    /// By whom.
    pub(super) by: String,
    /// By which request.
    pub(super) request: String,
    /// Why.
    pub(super) reason: Option<String>,
    /// Until when it is meant to be.
    pub(super) until: Option<String>,
    /// How large the file system of the data directory was, in bytes.
    pub(super) total: Option<u64>,
    /// Sessions of which the process began later have begun under the lock. By the server's clock.
    pub(super) from: String,
    /// Whether the others were ended. What shows up with an earlier begin after that had not logged in when the lock came,
    /// and so began under it too.
    pub(super) swept: bool,
    /// When it was lifted: what remains is to end the sessions that began under it.
    pub(super) lifted: Option<String>,
    /// What was there before.
    pub(super) before: Vec<Entry>,
}

impl Record {
    /// The same with further entries; of two of the same role and database the later counts, whose value somebody has set
    /// meanwhile.
    pub(super) fn with<'a>(mut self, entries: impl Iterator<Item = &'a Entry>) -> Self {
        for entry in entries {
            self.before.retain(|it| (it.database, it.role) != (entry.database, entry.role));
            self.before.push(entry.clone());
        }
        self
    }

    /// The same, with sessions under the lock from the time on that the server stores it at.
    pub(super) fn beginning_then(mut self) -> Self {
        self.from = TIME.to_owned();
        self.swept = false;
        self
    }

    /// The same, lifted when the server stores it.
    pub(super) fn lifted_then(mut self) -> Self {
        self.lifted = Some(TIME.to_owned());
        self.before.clear();
        self
    }

    /// Statements that store it. They belong into the transaction that has the table for itself ([`ALONE`]).
    pub(super) fn store(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        format!(
            "select set_config('{NAME}', replace({}, '{TIME}', clock_timestamp()::text), true); \
             alter role all set {NAME} from current",
            literal(&text)
        )
    }
}

/// Sessions that read their settings later than this wait for the end of the transaction; those that did before began
/// earlier than any time that is taken after it.
pub(super) const ALONE: &str = "lock table pg_catalog.pg_db_role_setting in access exclusive mode";

/// A statement that takes it out.
pub(super) fn remove() -> String {
    format!("alter role all reset {NAME}")
}

/// What is kept of a lock; `None`: there is none. One that cannot be read is one without words.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn read(session: &mut Session) -> Result<Option<Record>, Cause> {
    let rows = session.query(&format!(
        "select substr(c, strpos(c, '=') + 1) from pg_db_role_setting s cross join unnest(s.setconfig) c \
         where s.setrole = 0 and s.setdatabase = 0 and c like '{NAME}=%'"
    ))?;
    Ok(rows.first().map(|row| serde_json::from_str(row.text(0)).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(role: u32, was: Option<&str>, put: &str) -> Entry {
        Entry { database: 0, role, was: was.map(str::to_owned), put: put.to_owned() }
    }

    #[test]
    fn the_latest_of_what_was_counts() {
        let record = Record::default().with([entry(0, None, "on"), entry(7, Some("off"), "on")].iter());
        let record = record.with([entry(7, Some("no"), "on"), entry(8, None, "off")].iter());
        assert_eq!(record.before, [entry(0, None, "on"), entry(7, Some("no"), "on"), entry(8, None, "off")]);
    }

    #[test]
    fn words_are_literals() {
        let record = Record { reason: Some("it's \\ \"full\"\n".to_owned()), ..Record::default() };
        let sql = record.beginning_then().store();
        assert!(sql.contains(r#"\\"reason\\":"it''s"#) || sql.contains("it''s"), "{sql}");
        assert!(!sql.contains('\n') && sql.contains("\"from\":\"@clock_timestamp@\""), "{sql}");
    }
}
