//! `lock --kind diskfull`.

use jiff::Timestamp;

use super::look::{self, Engine, Seen, Step};
use super::record::{self, Record};
use super::sessions::{self, Which};
use super::setting;
use super::{POLAR, probe};
use crate::manager::cause::Cause;
use crate::manager::disk::space;
use crate::manager::operation::{Operation, Plan};
use crate::manager::site::Site;

/// PostgreSQL's class of errors for a full disk.
const DISK_FULL: &str = "53100";
/// The longest reason, in bytes: every session has it.
pub const REASON_MAX: usize = 1000;
/// What the lock of PostgreSQL is not.
const WEAK: &str = "PostgreSQL has no lock that a user cannot undo: sessions of normal users begin read-only, and one that says \
    SET default_transaction_read_only = off or BEGIN READ WRITE writes all the same";

/// `lock --kind diskfull`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Why, in words.
    pub reason: Option<String>,
    /// Until when it is meant to be.
    pub until: Option<String>,
}

/// The record of a lock that holds.
fn holding(record: Option<&Record>) -> Option<&Record> {
    record.filter(|record| record.lifted.is_none())
}

impl Operation for Lock {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        "lock"
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        let length = self.reason.as_ref().map_or(0, String::len);
        if length > REASON_MAX {
            let what = format!("the reason has {length} bytes; {REASON_MAX} are the most");
            return Err(Cause::invalid("usage", what, "make it shorter"));
        }
        look::look(site, &look::parameter("on", "lock"), |record| match holding(record) {
            Some(record) if record.swept => None,
            Some(record) => Some(Which::not_under(record)),
            None => Some(Which::All),
        })
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = Plan::default();
        match &seen.0 {
            Engine::Standby => {
                plan.notes.push("this instance is a standby, which is read-only already".to_owned())
            }
            Engine::Polar { parameter: None, .. } => {}
            Engine::Polar { parameter: Some(parameter), sessions } => {
                let of_parameter = look::parameter("on", "lock").plan(parameter)?;
                plan.steps.extend(of_parameter.steps.into_iter().map(Step::Parameter));
                // The parameter holds in open sessions too: what began before it is ended with its change alone.
                if !plan.steps.is_empty() && *sessions > 0 {
                    plan.steps.push(Step::End(*sessions));
                }
                plan.notes = of_parameter.notes;
                plan.notes.retain(|note| !note.contains(POLAR));
            }
            Engine::Postgres { settings, superusers, record, sessions } => {
                let puts = setting::to_lock(settings, superusers);
                let record = holding(record.as_ref());
                if record.is_none_or(|record| !record.swept) || puts.iter().any(setting::Put::locks) {
                    plan.steps.push(Step::End(*sessions));
                }
                if record.is_none() || !puts.is_empty() {
                    plan.steps.insert(0, Step::Keep);
                }
                plan.steps.splice(0..0, puts.into_iter().map(Step::Put));
                plan.notes.push(WEAK.to_owned());
            }
        }
        Ok(plan)
    }

    /// What cannot be finished stays: a lock that is there while a session does not end is better than none.
    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        match &seen.0 {
            Engine::Standby | Engine::Polar { parameter: None, .. } => Ok(()),
            Engine::Polar { parameter: Some(parameter), .. } => {
                let of_parameter = steps.iter().filter_map(|step| match step {
                    Step::Parameter(step) => Some(step.clone()),
                    _ => None,
                });
                let of_parameter: Vec<_> = of_parameter.collect();
                look::parameter("on", "lock").carry_out(&of_parameter, parameter, site)?;
                sessions::end(site.session()?, &Which::All)?;
                probe::refused(site, true)
            }
            Engine::Postgres { record, .. } => {
                if steps.contains(&Step::Keep) {
                    self.store(steps, holding(record.as_ref()), site)?;
                }
                let session = site.session()?;
                let mut record = record::read(session)?.unwrap_or_default();
                if !record.swept {
                    sessions::end(session, &Which::not_under(&record))?;
                    record.swept = true;
                    session.query(&record.store())?;
                }
                probe::refused(site, false)
            }
        }
    }
}

impl Lock {
    /// Sets what sessions begin with, and keeps what they began with, in one transaction.
    fn store(&self, steps: &[Step], holding: Option<&Record>, site: &mut Site) -> Result<(), Cause> {
        let puts = steps.iter().filter_map(|step| match step {
            Step::Put(put) => Some(put),
            _ => None,
        });
        let mut record = holding.cloned().unwrap_or_else(|| self.record(site));
        record = record.with(puts.clone().map(setting::Put::entry));
        if holding.is_none() || puts.clone().any(setting::Put::locks) {
            record = record.beginning_then();
        }
        let statements: Vec<String> = puts.map(setting::Put::statement).collect();
        let sql = [vec![record::ALONE.to_owned(), record.store()], statements].concat().join("; ");
        let session = site.session()?;
        match session.query(&sql) {
            // The end of sessions frees what they have in temporary files and tables.
            Err(Cause::Sql { code, .. }) if code == DISK_FULL => {
                sessions::end(session, &Which::All)?;
                session.query(&sql).map(|_| ()).map_err(no_room)
            }
            done => done.map(|_| ()),
        }
    }

    fn record(&self, site: &Site) -> Record {
        Record {
            since: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            by: site.call.caller.clone(),
            request: site.call.request.clone(),
            reason: self.reason.clone(),
            until: self.until.clone(),
            // One that cannot be measured can be locked.
            total: site
                .as_owner(|| space::of(&site.data_dir))
                .ok()
                .and_then(Result::ok)
                .map(|space| space.total),
            ..Record::default()
        }
    }
}

fn no_room(cause: Cause) -> Cause {
    match cause {
        Cause::Sql { code, message, .. } if code == DISK_FULL => {
            let next = "free some kilobytes on the volume (a log, a core dump), or have a superuser DROP or TRUNCATE something \
                        (polarctl pg); then lock again. The sessions of normal users were ended";
            Cause::invalid("disk_full", format!("not even the lock finds room: {message}"), next)
        }
        cause => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::super::setting::Setting;
    use super::*;

    fn seen(settings: Vec<Setting>, record: Option<Record>, sessions: usize) -> Seen {
        let superusers = vec![(10, "postgres".to_owned())];
        Seen(Engine::Postgres { settings, superusers, record, sessions })
    }

    fn steps(seen: &Seen) -> Vec<String> {
        Lock::default().plan(seen).unwrap().steps.iter().map(ToString::to_string).collect()
    }

    fn setting(role: u32, value: &str) -> Setting {
        let names = (String::new(), if role == 0 { String::new() } else { "postgres".to_owned() });
        Setting { database: 0, role, names, superuser: role == 10, value: value.to_owned() }
    }

    #[test]
    fn what_is_to_be_done() {
        let all = "all roles: default_transaction_read_only: (nothing) -> on";
        let superuser = "role postgres: default_transaction_read_only: (nothing) -> off";
        let keep = "keep what was there before";
        let none = "end the sessions of normal users (0)";
        let two = "end the sessions of normal users (2)";
        let lifted = Record { lifted: Some("then".to_owned()), swept: true, ..Record::default() };
        let swept = || Some(Record { swept: true, ..Record::default() });
        let locked = || vec![setting(0, "on"), setting(10, "off")];
        assert_eq!(steps(&seen(vec![], None, 0)), [all, superuser, keep, none]);
        assert_eq!(
            steps(&seen(vec![setting(0, "off")], None, 2)),
            ["all roles: default_transaction_read_only: off -> on", superuser, keep, two]
        );
        assert_eq!(steps(&seen(locked(), None, 0)), [keep, none], "a person's settings are no lock of ours");
        assert_eq!(steps(&seen(locked(), Some(lifted), 2)), [keep, two], "one whose end was cut short");
        assert_eq!(steps(&seen(locked(), Some(Record::default()), 2)), [two], "one that was cut short");
        assert_eq!(steps(&seen(locked(), swept(), 0)), [""; 0]);
        // A superuser who was made meanwhile.
        assert_eq!(steps(&seen(vec![setting(0, "on")], swept(), 0)), [superuser, keep]);
    }

    #[test]
    fn a_standby_is_read_only_already() {
        let plan = Lock::default().plan(&Seen(Engine::Standby)).unwrap();
        assert!(plan.steps.is_empty() && plan.notes[0].contains("read-only already"));
    }
}
