//! Operations on an instance, called by a task.

use std::collections::BTreeMap;

use super::Work;
use super::report::Report;
use crate::ctl::failure::Failure;
use crate::ctl::instance::of_cause;
use crate::engine::flavor::is_polardb;
use crate::manager::account::Privilege;
use crate::manager::disk::Expand;
use crate::manager::diskfull::{Lock, Unlock};
use crate::manager::params::{Change, Scope, Unread, Wish};
use crate::manager::refusal::Shown;
use crate::manager::replica::{Name, Remove, SlotAlone};
use crate::manager::task::{Request, identifier};
use crate::manager::{Cause, Operation, Site, health, identity, operation, wal};

/// What waits for a restart is told with its name alone: a value may be a secret.
const WAITS: &str = " waits for a restart";

impl Work<'_> {
    /// Does what is done to one instance by SQL or by its files.
    ///
    /// # Errors
    /// It was not done.
    pub(super) fn operate(&self, request: Request) -> Result<Report, Failure> {
        let mut site = self.site()?;
        let done = self.operated(request, &mut site);
        let mut report = done.map_err(|cause| {
            site.remarks.iter().for_each(|remark| self.screen.note(remark));
            of_cause(&self.tried, &cause)
        })?;
        report.notes.extend(self.other_port(&site));
        Ok(report)
    }

    fn operated(&self, request: Request, site: &mut Site) -> Result<Report, Cause> {
        match request {
            Request::LockDiskfull => self.perform(&Lock::default(), site),
            Request::UnlockDiskfull => self.perform(&Unlock, site),
            Request::MakeAccount(make) => {
                let mut report = self.perform(&make, site)?;
                if make.privilege == Some(Privilege::Superuser)
                    && !site.bin_dir().is_ok_and(|dir| is_polardb(&dir))
                {
                    report.notes.push("polar_vfs and polar_monitor are PolarDB's: not created".to_owned());
                }
                Ok(report)
            }
            Request::DropAccount(remove) => self.perform(&remove, site),
            Request::Health => {
                site.purpose = "health";
                health::check(site)?;
                Ok(Report::told(Some("The instance is healthy!".to_owned())))
            }
            Request::CreateSlot(name) => self.perform(&SlotAlone { name, wanted: true }, site),
            Request::DropSlot(name) => self.drop_slot(name, site),
            Request::Parameters { wishes, reload } => self.set(wishes, reload, site),
            Request::Grow if site.shown()? == Shown::Down => {
                let mut report = Report::nothing();
                report
                    .notes
                    .push("the engine does not run: it finds its storage grown when it starts".to_owned());
                Ok(report)
            }
            Request::Grow => self.perform(&Expand::default(), site),
            Request::SystemIdentifier => {
                site.purpose = "system-identifier";
                Ok(Report::told(Some(identifier(identity::system_identifier(site)?))))
            }
            Request::Tablespace(create) => self.perform(&create, site),
            Request::Switch => self.perform(&wal::Switch, site),
            Request::Ssl(ssl) => self.perform(&ssl, site),
            other => {
                let what = format!("{other:?} is no operation on an instance");
                Err(Cause::invalid("unknown_task", what, "this is a mistake of polarctl's own: report it"))
            }
        }
    }

    /// Has an operation done.
    pub(super) fn perform<O: Operation>(&self, operation: &O, site: &mut Site) -> Result<Report, Cause> {
        let screen = self.screen;
        let outcome = operation::run(operation, site, &mut |who| screen.note(&format!("waits for {who}")))?;
        Ok(Report::of(outcome.steps, outcome.notes))
    }

    /// On a primary commits may wait for the replica: its name goes first.
    fn drop_slot(&self, name: Name, site: &mut Site) -> Result<Report, Cause> {
        match self.perform(&Remove { name: name.clone() }, site) {
            Err(Cause::Standby) => self.perform(&SlotAlone { name, wanted: false }, site),
            dropped => dropped,
        }
    }

    /// What ALTER SYSTEM says of these parameters is taken back, so that what is set counts; of others it stays.
    fn set(&self, wishes: BTreeMap<String, Wish>, reload: bool, site: &mut Site) -> Result<Report, Cause> {
        if wishes.is_empty() {
            return Ok(Report::nothing());
        }
        let names = wishes.keys().cloned().collect::<Vec<_>>().join(", ");
        let change = Change { wishes, scope: Scope::Node, over_alter_system: true, name: "params set" };
        let mut report =
            if reload { self.perform(&change, site)? } else { self.perform(&Unread(change), site)? };
        if !report.steps.is_empty() {
            report.steps = vec![format!("set {names}")];
        }
        for note in &mut report.notes {
            if let Some(at) = note.find(WAITS) {
                note.truncate(at + WAITS.len());
            }
        }
        Ok(report)
    }

    /// That the caller means another port than the engine has.
    fn other_port(&self, site: &Site) -> Option<String> {
        let meant = self.port?;
        let runs = site.seen().ok()?.pid_file?.port.filter(|port| *port != meant)?;
        let data_dir = site.data_dir.display();
        Some(format!(
            "the caller names port {meant}, and the engine of {data_dir}, which is meant, has {runs}"
        ))
    }
}
