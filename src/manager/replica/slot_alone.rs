//! A slot alone, for callers who see to role, `pg_hba.conf` and `synchronous_standby_names` themselves. A standby can have
//! one, too.

use super::name::Name;
use super::slot::{self, Slot};
use crate::engine::sql::literal;
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::site::Site;

/// A slot that is to be there, or is not to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotAlone {
    /// Its name.
    pub name: Name,
    /// Whether it is to be there.
    pub wanted: bool,
}

impl Operation for SlotAlone {
    type Seen = Option<Slot>;
    type Step = String;

    fn name(&self) -> &'static str {
        if self.wanted { "replica create" } else { "replica drop" }
    }

    fn look(&self, site: &mut Site) -> Result<Option<Slot>, Cause> {
        slot::of_name(site.session()?, &self.name)
    }

    fn plan(&self, seen: &Option<Slot>) -> Result<Plan<String>, Cause> {
        let mut plan = Plan::default();
        match seen {
            Some(slot) if !self.wanted && slot.active => {
                let what = format!("{} streams: its slot is in use", self.name);
                return Err(Cause::invalid("in_use", what, "stop the replica, then try again"));
            }
            Some(_) if !self.wanted => plan.steps.push(format!("drop the replication slot {}", self.name)),
            None if self.wanted => {
                plan.steps.push(format!("create the physical replication slot {}", self.name));
            }
            _ => {}
        }
        Ok(plan)
    }

    fn carry_out(&self, _: &[String], _: &Option<Slot>, site: &mut Site) -> Result<(), Cause> {
        let function =
            if self.wanted { "pg_create_physical_replication_slot" } else { "pg_drop_replication_slot" };
        let sql = format!("select pg_catalog.{function}({})", literal(&self.name.to_string()));
        site.session()?.row(&sql).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::replica::Kind;

    #[test]
    fn what_is_to_be_done() {
        let slot = |active| Slot {
            name: "replica_1_a".to_owned(),
            kind: Some(Kind::Replica),
            active,
            pid: None,
            held_back: None,
            wal_status: None,
            state: None,
            sync: None,
            behind: None,
        };
        let steps = |wanted, seen: Option<Slot>| {
            let name = Name::new(Kind::Replica, "1", "a").unwrap();
            SlotAlone { name, wanted }.plan(&seen).map(|plan| plan.steps.len())
        };
        assert_eq!(steps(true, None).unwrap(), 1);
        assert_eq!(steps(true, Some(slot(true))).unwrap(), 0);
        assert_eq!(steps(false, None).unwrap(), 0);
        assert_eq!(steps(false, Some(slot(false))).unwrap(), 1);
        assert_eq!(steps(false, Some(slot(true))).unwrap_err().code(), "in_use");
    }
}
