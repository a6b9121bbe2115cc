//! What the server says of slots, and what they hold back.

use serde::Serialize;

use super::name::{Kind, Name};
use crate::engine::sql::literal;
use crate::manager::cause::Cause;
use crate::manager::session::{Row, Session};
use crate::manager::site::Site;

/// A physical slot, and who streams by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// The kind of replica that its name tells; `None`: somebody else's slot.
    pub kind: Option<Kind>,
    /// Whether somebody streams by it.
    pub active: bool,
    /// The process that serves whoever streams.
    pub pid: Option<u32>,
    /// How much WAL is kept for it, in bytes; `None`: none, nobody has streamed by it.
    pub held_back: Option<u64>,
    /// `reserved`, `extended`, `unreserved` or `lost`, in the server's words.
    pub wal_status: Option<String>,
    /// `streaming`, `catchup`, ... of whoever streams.
    pub state: Option<String>,
    /// `sync`, `async`, `quorum`, `potential`.
    pub sync: Option<String>,
    /// How much of what was written it has not replayed, in bytes.
    pub behind: Option<u64>,
}

const SELECT: &str = "select s.slot_name, s.active, s.active_pid, \
    pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.restart_lsn)::bigint, \
    s.wal_status, r.state, r.sync_state, \
    pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, r.replay_lsn)::bigint \
    from pg_replication_slots s left join pg_stat_replication r on r.pid = s.active_pid where s.slot_type = 'physical'";

fn slot(row: &Row) -> Slot {
    // A little below zero where the log has moved between two looks at it.
    let bytes = |column: usize| row.get(column)?.parse::<i64>().ok().map(|bytes| bytes.max(0).unsigned_abs());
    let text = |column: usize| row.get(column).map(str::to_owned);
    Slot {
        name: row.text(0).to_owned(),
        kind: Name::kind_of(row.text(0)),
        active: row.truth(1),
        pid: row.get(2).and_then(|pid| pid.parse().ok()),
        held_back: bytes(3),
        wal_status: text(4),
        state: text(5),
        sync: text(6),
        behind: bytes(7),
    }
}

/// The slot of a name.
///
/// # Errors
/// As [`Session::query`].
pub(super) fn of_name(session: &mut Session, name: &Name) -> Result<Option<Slot>, Cause> {
    let rows = session.query(&format!("{SELECT} and s.slot_name = {}", literal(&name.to_string())))?;
    Ok(rows.first().map(slot))
}

/// All physical slots, those that hold back most first.
///
/// # Errors
/// The engine does not answer.
pub fn list(site: &mut Site) -> Result<Vec<Slot>, Cause> {
    let rows = site.session()?.query(&format!("{SELECT} order by 4 desc nulls last, 1"))?;
    Ok(rows.iter().map(slot).collect())
}
