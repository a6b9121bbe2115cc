//! `unlock --kind diskfull`.

use super::look::{self, Engine, Seen, Step};
use super::record::{self, Record};
use super::sessions::{self, Which};
use super::setting::{self, Put, READ_ONLY};
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::site::Site;

/// `unlock --kind diskfull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unlock;

impl Operation for Unlock {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        "unlock"
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        look::look(site, &look::parameter("off", "unlock"), |record| record.map(Which::under))
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = Plan::default();
        match &seen.0 {
            Engine::Standby => {
                let note =
                    "this instance is a standby, which is read-only; a lock of its primary is lifted there";
                plan.notes.push(note.to_owned());
            }
            Engine::Polar { parameter: None, .. } | Engine::Postgres { record: None, .. } => {}
            Engine::Polar { parameter: Some(parameter), .. } => {
                let of_parameter = look::parameter("off", "unlock").plan(parameter)?;
                plan.steps.extend(of_parameter.steps.into_iter().map(Step::Parameter));
                plan.notes = of_parameter.notes;
            }
            Engine::Postgres { settings, record: Some(record), sessions, .. } => {
                let puts = setting::to_unlock(settings, &record.before);
                plan.notes.extend(record.before.iter().filter(|it| !puts.iter().any(|put| put.entry() == *it)).map(
                    |it| {
                        format!(
                            "{READ_ONLY} of role {} in database {} (0: all) was changed meanwhile, and stays so",
                            it.role, it.database
                        )
                    },
                ));
                plan.steps.extend(puts.into_iter().map(Step::Put));
                plan.steps.push(Step::Forget);
                if *sessions > 0 {
                    plan.steps.push(Step::End(*sessions));
                    plan.notes.push("sessions that began under the lock would stay read-only".to_owned());
                }
            }
        }
        Ok(plan)
    }

    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        match &seen.0 {
            Engine::Standby
            | Engine::Polar { parameter: None, .. }
            | Engine::Postgres { record: None, .. } => Ok(()),
            Engine::Polar { parameter: Some(parameter), .. } => {
                let of_parameter = steps.iter().filter_map(|step| match step {
                    Step::Parameter(step) => Some(step.clone()),
                    _ => None,
                });
                let of_parameter: Vec<_> = of_parameter.collect();
                look::parameter("off", "unlock").carry_out(&of_parameter, parameter, site)
            }
            Engine::Postgres { record: Some(record), .. } => lift(steps, record, site),
        }
    }

    /// What was noted before it was done is all that there is to say.
    fn confirm(&self, before: &Seen, after: &Seen) -> Result<Vec<String>, Cause> {
        let left = self.plan(after)?;
        if left.steps.is_empty() {
            return Ok(self.plan(before)?.notes);
        }
        let left: Vec<String> = left.steps.iter().map(ToString::to_string).collect();
        Err(Cause::Unconfirmed(format!("still to do: {}", left.join("; "))))
    }
}

/// Puts back what was there, ends the sessions that began under the lock, and forgets it: one that is killed in between
/// finds what is left to do.
fn lift(steps: &[Step], record: &Record, site: &mut Site) -> Result<(), Cause> {
    let session = site.session()?;
    if record.lifted.is_none() {
        let puts = steps.iter().filter_map(|step| match step {
            Step::Put(put) => Some(put),
            _ => None,
        });
        let statements: Vec<String> = puts.map(Put::statement).collect();
        let kept = record.clone().lifted_then().store();
        session.query(&[vec![record::ALONE.to_owned(), kept], statements].concat().join("; "))?;
    }
    let record = record::read(session)?.unwrap_or_default();
    if record.lifted.is_some() {
        sessions::end(session, &Which::under(&record))?;
    }
    session.query(&record::remove()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::record::Entry;
    use super::super::setting::Setting;
    use super::*;

    fn planned(settings: Vec<Setting>, record: Option<Record>, sessions: usize) -> (Vec<String>, usize) {
        let seen = Seen(Engine::Postgres { settings, superusers: Vec::new(), record, sessions });
        let plan = Unlock.plan(&seen).unwrap();
        (plan.steps.iter().map(ToString::to_string).collect(), plan.notes.len())
    }

    fn setting(value: &str) -> Setting {
        let names = Default::default();
        Setting { database: 0, role: 0, names, superuser: false, value: value.to_owned() }
    }

    #[test]
    fn what_is_to_be_done() {
        let entry = Entry { database: 0, role: 0, was: Some("off".to_owned()), put: "on".to_owned() };
        let record = Record { before: vec![entry], swept: true, ..Record::default() };
        let lifted = Record { lifted: Some("then".to_owned()), ..Record::default() };
        let (forget, end) = ("forget what was there before", "end the sessions of normal users (2)");
        assert_eq!(planned(vec![setting("on")], None, 0), (vec![], 0), "there is no lock of ours");
        let back = "all roles: default_transaction_read_only: on -> off";
        let steps = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(planned(vec![setting("on")], Some(record.clone()), 2), (steps(&[back, forget, end]), 1));
        // What somebody has set meanwhile is said.
        assert_eq!(planned(vec![setting("false")], Some(record.clone()), 0), (steps(&[forget]), 1));
        assert_eq!(planned(vec![], Some(record), 0), (steps(&[forget]), 1));
        assert_eq!(planned(vec![setting("off")], Some(lifted), 2), (steps(&[forget, end]), 1), "cut short");
    }

    #[test]
    fn where_there_is_nothing_to_lift() {
        for engine in [Engine::Standby, Engine::Polar { parameter: None, sessions: 3 }] {
            assert!(Unlock.plan(&Seen(engine)).unwrap().steps.is_empty());
        }
    }
}
