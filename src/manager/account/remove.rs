//! `account drop`: the role, and its sessions, which would go on without it.

use super::checked_name;
use super::role::{self, Role};
use crate::engine::sql::ident_quote;
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::site::Site;

/// `account drop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remove {
    /// The account's name.
    pub name: String,
}

impl Operation for Remove {
    type Seen = Option<Role>;
    type Step = String;

    fn name(&self) -> &'static str {
        "account drop"
    }

    fn look(&self, site: &mut Site) -> Result<Option<Role>, Cause> {
        checked_name(&self.name)?;
        let session = site.session()?;
        session.require_primary()?;
        role::of_name(session, None, &self.name)
    }

    fn plan(&self, seen: &Option<Role>) -> Result<Plan<String>, Cause> {
        let mut plan = Plan::default();
        match seen {
            None => plan.notes.push("there is no account of this name".to_owned()),
            Some(role) if role.is_bootstrap() => {
                let what = format!("{} is the superuser that everything here works by", self.name);
                return Err(Cause::invalid("bad_name", what, "choose another account"));
            }
            Some(role) => {
                plan.steps.push("drop the role".to_owned());
                if role.sessions > 0 {
                    plan.steps.push(format!("end its sessions ({})", role.sessions));
                }
            }
        }
        Ok(plan)
    }

    /// First the role, so that nobody logs in again; the sessions go only with it, in one transaction.
    fn carry_out(&self, _: &[String], seen: &Option<Role>, site: &mut Site) -> Result<(), Cause> {
        let Some(role) = seen else { return Ok(()) };
        let end = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usesysid = {}",
            role.number
        );
        site.session()?.query(&format!("drop role if exists {}; {end}", ident_quote(&self.name))).map(|_| ())
    }

    fn confirm(&self, _: &Option<Role>, after: &Option<Role>) -> Result<Vec<String>, Cause> {
        match after {
            None => Ok(Vec::new()),
            Some(_) => Err(Cause::Unconfirmed("the role is still there".to_owned())),
        }
    }
}
