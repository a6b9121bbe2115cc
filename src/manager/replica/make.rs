//! `replica create`: what a replica needs of its primary.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::hba::{self, Rule, Verdict};
use super::name::{Kind, Name};
use super::slot::{self, Slot};
use super::sync;
use crate::engine::sql::literal;
use crate::manager::account::{self, Password, Privilege};
use crate::manager::cause::Cause;
use crate::manager::operation::{Operation, Plan};
use crate::manager::params::{self, Change, Scope, Wish, put_file, reload_files};
use crate::manager::site::Site;

/// The parameter of synchronous replicas.
pub(super) const SYNC: &str = "synchronous_standby_names";

/// `replica create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Make {
    /// The replica's name.
    pub name: Name,
    /// The role that it streams as.
    pub role: String,
    /// Its password, for a role that is to be made.
    pub password: Option<Password>,
    /// Where it streams from, as `pg_hba.conf` takes it.
    pub address: String,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Of the role.
    Account(account::MakeStep),
    /// A line of `pg_hba.conf`.
    Hba(String),
    /// The slot.
    Slot(String),
    /// Of `synchronous_standby_names`.
    Params(params::Step),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Account(step) => write!(f, "{step}"),
            Step::Hba(line) => write!(f, "pg_hba.conf: {line}; reload"),
            Step::Slot(name) => write!(f, "create the physical replication slot {name}"),
            Step::Params(step) => write!(f, "{step}"),
        }
    }
}

/// What is found out.
#[derive(Debug)]
pub struct Seen {
    /// The slot, where it is there.
    pub slot: Option<Slot>,
    account: account::MakeSeen,
    hba_file: PathBuf,
    rules: Vec<Rule>,
    mistakes: Vec<String>,
    sync: Option<(Change, params::Seen)>,
}

impl Operation for Make {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        "replica create"
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        hba::checked_address(&self.address)?;
        let account = self.account().look(site)?;
        let session = site.session()?;
        let slot = slot::of_name(session, &self.name)?;
        let (rules, mistakes) = hba::rules(session)?;
        let file = session.row("select current_setting('hba_file'), current_setting('data_directory')")?;
        let current = session.row(&format!("select current_setting('{SYNC}')"))?.text(0).to_owned();
        // As it is mounted here, where it lies in the data directory.
        let hba_file = match file.text(0).strip_prefix(file.text(1)) {
            Some(rest) => site.data_dir.join(rest.trim_start_matches('/')),
            None => PathBuf::from(file.text(0)),
        };
        let sync = match self.name.kind {
            Kind::Standby => None,
            Kind::Replica => {
                let with = sync::with(&current, &self.name.to_string()).map_err(|()| unreadable(&current))?;
                sync_change(self.name(), with, site)?
            }
        };
        Ok(Seen { slot, account, hba_file, rules, mistakes, sync })
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = Plan::default();
        self.plan_role(seen, &mut plan)?;
        match hba::verdict(&seen.rules, &self.role, &self.address) {
            Verdict::Allowed(_) => {}
            Verdict::Rejected(line) => {
                let what = format!("line {line} of pg_hba.conf turns {} away", self.role);
                let next = "take that line out, or have it stream as another role: --role NAME";
                return Err(Cause::invalid("rejected_by_hba", what, next));
            }
            Verdict::Missing => plan.steps.push(Step::Hba(hba::line(&self.role, &self.address))),
        }
        if seen.slot.is_none() {
            plan.steps.push(Step::Slot(self.name.to_string()));
        }
        if let Some((change, found)) = &seen.sync {
            let params = change.plan(found)?;
            plan.steps.extend(params.steps.into_iter().map(Step::Params));
        }
        if self.name.kind == Kind::Replica && seen.slot.as_ref().is_none_or(|slot| !slot.active) {
            plan.notes.push(format!(
                "commits wait for {} until it streams: start it, or polarctl replica drop",
                self.name
            ));
        }
        if let Some(Slot { active: false, held_back: Some(bytes), .. }) = &seen.slot {
            plan.notes.push(format!("nobody streams by the slot, which holds back {bytes} bytes of WAL"));
        }
        Ok(plan)
    }

    /// The parameter last: commits wait from then on.
    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        let of_account: Vec<_> = steps
            .iter()
            .filter_map(|step| if let Step::Account(step) = step { Some(step.clone()) } else { None })
            .collect();
        if !of_account.is_empty() {
            self.account().carry_out(&of_account, &seen.account, site)?;
        }
        for step in steps {
            match step {
                Step::Account(_) | Step::Params(_) => {}
                Step::Hba(line) => self.add_rule(line, seen, site)?,
                Step::Slot(name) => {
                    let sql = format!("select pg_create_physical_replication_slot({})", literal(name));
                    site.session()?.row(&sql)?;
                }
            }
        }
        carry_out_params(steps, seen.sync.as_ref(), site)
    }
}

/// What `synchronous_standby_names` is to be, found out; `None`: it is so.
pub(super) fn sync_change(
    name: &'static str,
    value: Option<String>,
    site: &mut Site,
) -> Result<Option<(Change, params::Seen)>, Cause> {
    let Some(value) = value else { return Ok(None) };
    let wishes = BTreeMap::from([(SYNC.to_owned(), Wish::Set(value))]);
    let change = Change { wishes, scope: Scope::Node, over_alter_system: false, name };
    let found = change.look(site)?;
    Ok(Some((change, found)))
}

pub(super) fn unreadable(value: &str) -> Cause {
    let what = format!("{SYNC} is {value:?}, which is not to be read");
    Cause::invalid("sync_names", what, format!("set it by hand: polarctl params set {SYNC}=..."))
}

fn carry_out_params(
    steps: &[Step],
    sync: Option<&(Change, params::Seen)>,
    site: &mut Site,
) -> Result<(), Cause> {
    let of_params: Vec<_> = steps
        .iter()
        .filter_map(|step| if let Step::Params(step) = step { Some(step.clone()) } else { None })
        .collect();
    match sync {
        Some((change, found)) if !of_params.is_empty() => change.carry_out(&of_params, found, site),
        _ => Ok(()),
    }
}

impl Make {
    fn account(&self) -> account::Make {
        account::Make {
            name: self.role.clone(),
            privilege: Some(Privilege::Replicator),
            password: self.password.clone(),
            create: true,
        }
    }

    /// A role that is there and may replicate stays as it is, whatever else it may do.
    fn plan_role(&self, seen: &Seen, plan: &mut Plan<Step>) -> Result<(), Cause> {
        match &seen.account.role {
            Some(role)
                if role.attributes.login && (role.attributes.replication || role.attributes.superuser) =>
            {
                Ok(())
            }
            Some(_) => {
                let what = format!("the role {} may not log in and replicate", self.role);
                let next = format!(
                    "polarctl account alter {} --privilege 15, or another one: --role NAME",
                    self.role
                );
                Err(Cause::invalid("no_replication_role", what, next))
            }
            None if self.password.is_none() => {
                let what = format!("there is no role {} for it to stream as", self.role);
                let next = "give its password, by which it is made: --password-file FILE or --password-stdin";
                Err(Cause::invalid("no_replication_role", what, next))
            }
            None => {
                let account = self.account().plan(&seen.account)?;
                plan.steps.extend(account.steps.into_iter().map(Step::Account));
                Ok(())
            }
        }
    }

    /// Adds a line to `pg_hba.conf`, has it read, and takes it back where the server finds a mistake in it.
    fn add_rule(&self, line: &str, seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        let path = &seen.hba_file;
        let before = site.as_owner(|| std::fs::read(path))?.map_err(|error| Cause::of_file(path, error))?;
        let mut after = before.clone();
        if !after.is_empty() && !after.ends_with(b"\n") {
            after.push(b'\n');
        }
        after.extend_from_slice(format!("{line}\n").as_bytes());
        put_file(site, path, &after)?;
        let (_, mistakes) = hba::rules(site.session()?)?;
        let fresh: Vec<&String> =
            mistakes.iter().filter(|mistake| !seen.mistakes.contains(mistake)).collect();
        if let Some(mistake) = fresh.first() {
            let what = format!("the engine did not take it: pg_hba.conf, {mistake}");
            put_file(site, path, &before)?;
            return Err(Cause::invalid("refused", what, "all is as it was before"));
        }
        reload_files(site)
    }
}
