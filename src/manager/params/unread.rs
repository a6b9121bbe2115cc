//! `params set` for callers who have the engine read its files later, or restart it.

use super::change::{Change, Step};
use super::look::Seen;
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::site::Site;

/// A change of `postgresql.conf` that the engine is not told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread(pub Change);

impl Operation for Unread {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        self.0.name
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        self.0.look(site)
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = self.0.plan(seen)?;
        plan.steps.retain(|step| *step != Step::Reload);
        if seen.running.is_some() {
            plan.notes
                .push("the engine was not told; it reads its files at its next reload or start".to_owned());
        }
        Ok(plan)
    }

    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        self.0.carry_out(steps, seen, site)
    }
}
