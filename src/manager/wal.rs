//! `wal switch`: ends the segment of the write-ahead log that is written, so that it can be archived.

use super::cause::Cause;
use super::operation::{Operation, Plan};
use super::site::Site;

/// The position in the log. `pg_walfile_name` takes a position at a border for one of the segment before.
const POSITION: &str = "select file_name, file_offset from pg_catalog.pg_walfile_name_offset(\
    pg_catalog.pg_current_wal_insert_lsn())";
/// So many bytes stand at the begin of a segment before the first record (PostgreSQL's `SizeOfXLogLongPHD`).
const HEADER: u64 = 40;

/// `wal switch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch;

/// Where the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The segment's file.
    pub file: String,
    /// So many bytes into it.
    pub offset: u64,
}

impl Operation for Switch {
    type Seen = Position;
    type Step = String;

    fn name(&self) -> &'static str {
        "wal switch"
    }

    fn look(&self, site: &mut Site) -> Result<Position, Cause> {
        let session = site.session()?;
        session.require_primary()?;
        let row = session.row(POSITION)?;
        Ok(Position { file: row.text(0).to_owned(), offset: row.text(1).parse().unwrap_or(u64::MAX) })
    }

    fn plan(&self, seen: &Position) -> Result<Plan<String>, Cause> {
        let mut plan = Plan::default();
        if seen.offset > HEADER {
            plan.steps.push(format!("end segment {} at byte {}", seen.file, seen.offset));
        } else {
            plan.notes.push("nothing was written since the last segment ended".to_owned());
        }
        Ok(plan)
    }

    fn carry_out(&self, _: &[String], _: &Position, site: &mut Site) -> Result<(), Cause> {
        site.session()?.row("select pg_catalog.pg_switch_wal()").map(|_| ())
    }

    /// Others may have begun the next segment at once, so that there is something to end again.
    fn confirm(&self, before: &Position, after: &Position) -> Result<Vec<String>, Cause> {
        let next = after.file > before.file || (after.file == before.file && after.offset <= HEADER);
        if next {
            return Ok(Vec::new());
        }
        Err(Cause::Unconfirmed(format!("the log is still written into {}", after.file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, offset: u64) -> Position {
        Position { file: file.to_owned(), offset }
    }

    #[test]
    fn what_is_to_be_done_and_what_shows_that_it_was() {
        let steps = |offset| Switch.plan(&at("A1", offset)).unwrap().steps.len();
        assert_eq!([0, 40, 41, 5000].map(steps), [0, 0, 1, 1]);
        let before = at("000000010000000000000001", 5000);
        for (after, good) in [
            (at("000000010000000000000002", 5000), true),
            // A border counts as the end of the segment before.
            (at("000000010000000000000001", 0), true),
            (at("000000010000000000000001", 6000), false),
        ] {
            assert_eq!(Switch.confirm(&before, &after).is_ok(), good, "{after:?}");
        }
    }
}
