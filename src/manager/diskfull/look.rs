//! How an instance is: which kind of lock it can have, and what of one is there.

use std::collections::BTreeMap;
use std::fmt;

use super::POLAR;
use super::record::{self, Record};
use super::sessions::{self, Which};
use super::setting::{self, Put, Setting, is_on};
use crate::engine::sql::literal;
use crate::manager::cause::Cause;
use crate::manager::operation::Operation;
use crate::manager::params::{Change, Scope, Wish};
use crate::manager::site::Site;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Set what sessions begin with.
    Put(Put),
    /// Keep what was there before.
    Keep,
    /// Take that out again.
    Forget,
    /// Have PolarDB's parameter set.
    Parameter(<Change as Operation>::Step),
    /// End so many sessions.
    End(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Put(put) => f.write_str(&put.words()),
            Step::Keep => f.write_str("keep what was there before"),
            Step::Forget => f.write_str("forget what was there before"),
            Step::Parameter(step) => step.fmt(f),
            Step::End(count) => write!(f, "end the sessions of normal users ({count})"),
        }
    }
}

/// What is found out.
#[derive(Debug)]
pub struct Seen(pub(super) Engine);

/// By the kind of engine.
#[derive(Debug)]
pub(super) enum Engine {
    /// A standby, which is read-only for all.
    Standby,
    /// PostgreSQL.
    Postgres {
        /// What sessions begin with.
        settings: Vec<Setting>,
        /// Superusers who can begin one.
        superusers: Vec<(u32, String)>,
        /// What is kept of a lock.
        record: Option<Record>,
        /// How many sessions would have to end.
        sessions: usize,
    },
    /// PolarDB.
    Polar {
        /// What is found out of the parameter; `None`: it is as asked for.
        parameter: Option<<Change as Operation>::Seen>,
        /// How many sessions would have to end.
        sessions: usize,
    },
}

/// How an instance is, for an operation that has `parameter` set on PolarDB and ends these sessions otherwise.
pub(super) fn look(
    site: &mut Site,
    parameter: &Change,
    which: impl Fn(Option<&Record>) -> Option<Which>,
) -> Result<Seen, Cause> {
    let session = site.session()?;
    let row = session.row(&format!(
        "select pg_is_in_recovery(), (select setting from pg_settings where name = {0}), \
         (select f.setting from pg_file_settings f where f.name = {0} order by f.seqno desc limit 1)",
        literal(POLAR)
    ))?;
    if row.truth(0) {
        return Ok(Seen(Engine::Standby));
    }
    if let Some(runs) = row.get(1) {
        let sessions = sessions::count(session, &Which::All)?;
        let wanted = parameter.wishes.values().any(|wish| matches!(wish, Wish::Set(value) if is_on(value)));
        // One that no file sets need not be set to what it is.
        let is_so = !wanted && !is_on(runs) && !row.get(2).is_some_and(is_on);
        let parameter = if is_so { None } else { Some(parameter.look(site)?) };
        return Ok(Seen(Engine::Polar { parameter, sessions }));
    }
    let record = record::read(session)?;
    let settings = setting::all(session)?;
    let superusers = setting::superusers(session)?;
    let sessions = match which(record.as_ref()) {
        Some(which) => sessions::count(session, &which)?,
        None => 0,
    };
    Ok(Seen(Engine::Postgres { settings, superusers, record, sessions }))
}

/// PolarDB's parameter, set on this node alone: each has its own disk's sake at heart.
pub(super) fn parameter(value: &str, name: &'static str) -> Change {
    let wishes = BTreeMap::from([(POLAR.to_owned(), Wish::Set(value.to_owned()))]);
    Change { wishes, scope: Scope::Node, over_alter_system: true, name }
}

/// A lock that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Since when, where it is known.
    pub since: Option<String>,
    /// How large the file system of the data directory was when it was made, in bytes.
    pub total: Option<u64>,
}

/// The lock of an instance.
///
/// # Errors
/// As [`Site::session`].
pub fn held(site: &mut Site) -> Result<Option<Held>, Cause> {
    let session = site.session()?;
    let rows = session.query(&format!("select setting from pg_settings where name = {}", literal(POLAR)))?;
    if let Some(row) = rows.first() {
        return Ok(is_on(row.text(0)).then_some(Held { since: None, total: None }));
    }
    let record = record::read(session)?.filter(|record| record.lifted.is_none());
    Ok(record.map(|record| Held { since: Some(record.since), total: record.total }))
}
