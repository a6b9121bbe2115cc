//! Sessions of normal users: which are to end, and ending them. Those of superusers and of replication are none of them.

use std::time::{Duration, Instant};

use super::record::Record;
use crate::engine::sql::literal;
use crate::manager::cause::Cause;
use crate::manager::session::Session;

/// A session that works ends within milliseconds of being told to; one that swaps may need longer.
const WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether they have ended.
const POLL: Duration = Duration::from_millis(2);
/// How many are named.
const NAMED: usize = 5;

/// Which sessions of normal users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them.
    All,
    /// Those that began before this time.
    Before(String),
}

impl Which {
    /// Those that may not have begun under a lock that is to hold.
    pub(super) fn not_under(record: &Record) -> Self {
        if record.from.is_empty() { Which::All } else { Which::Before(record.from.clone()) }
    }

    /// Those that may have begun under a lock that was lifted.
    pub(super) fn under(record: &Record) -> Self {
        record.lifted.clone().map_or(Which::All, Which::Before)
    }

    fn condition(&self) -> String {
        match self {
            Which::All => "true".to_owned(),
            Which::Before(end) => format!("a.backend_start < {}::timestamptz", literal(end)),
        }
    }

    fn rows(&self, what: &str) -> String {
        format!(
            "select {what} from pg_stat_activity a join pg_roles r on r.oid = a.usesysid \
             where a.backend_type = 'client backend' and not r.rolsuper and {}",
            self.condition()
        )
    }
}

/// How many there are.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn count(session: &mut Session, which: &Which) -> Result<usize, Cause> {
    Ok(session.row(&which.rows("count(*)"))?.text(0).parse().unwrap_or(0))
}

/// Ends them, and waits until they have gone.
///
/// # Errors
/// As [`Session::query`], or some do not end.
pub(super) fn end(session: &mut Session, which: &Which) -> Result<(), Cause> {
    let begin = Instant::now();
    let mut coming = beginning(session)?;
    loop {
        // First who is about to begin: whoever has begun since is seen next.
        if !coming.is_empty() {
            let still = beginning(session)?;
            coming.retain(|pid| still.contains(pid));
        }
        let left = session.query(&which.rows("a.pid, r.rolname, pg_terminate_backend(a.pid)"))?;
        if left.is_empty() && coming.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > WITHIN {
            let named =
                left.iter().take(NAMED).map(|row| format!("process {} of {}", row.text(0), row.text(1)));
            let named: Vec<String> = named.collect();
            return Err(Cause::Unconfirmed(format!(
                "{} sessions of normal users do not end ({}): see what their processes hang in",
                left.len() + coming.len(),
                named.join(", ")
            )));
        }
        std::thread::sleep(POLL);
    }
}

/// Processes of sessions that are about to begin: they may have read their settings, and no view of sessions shows them;
/// but they hold their database's lock.
fn beginning(session: &mut Session) -> Result<Vec<String>, Cause> {
    let rows = session.query(
        "select l.pid from pg_locks l where l.locktype = 'object' and l.classid = 'pg_database'::regclass \
         and l.mode = 'RowExclusiveLock' and not exists (select from pg_stat_activity a where a.pid = l.pid)",
    )?;
    Ok(rows.iter().map(|row| row.text(0).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_sessions() {
        let mut record = Record::default();
        assert_eq!(Which::not_under(&record), Which::All, "a record without words");
        record.from = "a".to_owned();
        assert_eq!(Which::not_under(&record), Which::Before("a".to_owned()));
        assert_eq!(Which::under(&record), Which::All);
        record.lifted = Some("b".to_owned());
        assert_eq!(Which::under(&record), Which::Before("b".to_owned()));
    }
}
