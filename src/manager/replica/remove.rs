//! `replica drop`: its name goes first, so that no commit waits for it, then its slot, which would hold back WAL for
//! ever.

use std::fmt;

use super::make::{SYNC, sync_change, unreadable};
use super::name::Name;
use super::slot::{self, Slot};
use super::sync;
use crate::engine::sql::literal;
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::params::{self, Change};
use crate::manager::site::Site;

/// `replica drop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remove {
    /// The replica's name.
    pub name: Name,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Of `synchronous_standby_names`.
    Params(params::Step),
    /// The slot.
    Slot(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Params(step) => write!(f, "{step}"),
            Step::Slot(name) => write!(f, "drop the replication slot {name}"),
        }
    }
}

/// What is found out.
#[derive(Debug)]
pub struct Seen {
    /// The slot, where it is there.
    pub slot: Option<Slot>,
    sync: Option<(Change, params::Seen)>,
}

impl Operation for Remove {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        "replica drop"
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        let session = site.session()?;
        session.require_primary()?;
        let slot = slot::of_name(session, &self.name)?;
        let current = session.row(&format!("select current_setting('{SYNC}')"))?.text(0).to_owned();
        let without = sync::without(&current, &self.name.to_string()).map_err(|()| unreadable(&current))?;
        let sync = sync_change(self.name(), without, site)?;
        Ok(Seen { slot, sync })
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = Plan::default();
        if let Some(Slot { active: true, pid, .. }) = &seen.slot {
            let pid = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            let what = format!("{} streams{pid}: its slot is in use", self.name);
            return Err(Cause::invalid("in_use", what, "stop the replica, then try again"));
        }
        if let Some((change, found)) = &seen.sync {
            plan.steps.extend(change.plan(found)?.steps.into_iter().map(Step::Params));
        }
        if seen.slot.is_some() {
            plan.steps.push(Step::Slot(self.name.to_string()));
        }
        Ok(plan)
    }

    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        let of_params: Vec<_> = steps
            .iter()
            .filter_map(|step| if let Step::Params(step) = step { Some(step.clone()) } else { None })
            .collect();
        if let (Some((change, found)), false) = (&seen.sync, of_params.is_empty()) {
            change.carry_out(&of_params, found, site)?;
        }
        if seen.slot.is_some() {
            let sql = format!("select pg_drop_replication_slot({})", literal(&self.name.to_string()));
            site.session()?.row(&sql)?;
        }
        Ok(())
    }
}
