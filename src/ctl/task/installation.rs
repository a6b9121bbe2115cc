//! An installation, and how far it is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::Work;
use super::report::Report;
use crate::ctl::failure::Failure;
use crate::ctl::instance::of_cause;
use crate::manager::install::{self, Install, Role, Step};
use crate::manager::operation::{Operation, Plan};
use crate::manager::task::{Setup, progress};
use crate::manager::turn::Turn;
use crate::manager::{Cause, Site};

/// How long another installation is waited for: the operator's own call has no limit of time.
const TURN: Duration = Duration::from_secs(600);
/// What the predecessor's file says while one is under way.
const PREPARE: &[u8] = b"prepare";

impl Work<'_> {
    /// Makes a database on an empty volume.
    ///
    /// # Errors
    /// It was not made.
    pub(super) fn install(&self, setup: Setup) -> Result<Report, Failure> {
        let mut site = self.site()?;
        site.patience.turn = TURN;
        let mut setup =
            Setup { install: Install { log_dir: self.log_dir.clone(), ..setup.install }, ..setup };
        let mut done = self.perform(&Told(&setup), &mut site);
        let mut late = None;
        if let (Err(cause), Role::Standby(primary)) = (&done, &mut setup.install.role)
            && is_slot_missing(cause)
            && let Some(slot) = primary.slot.take()
        {
            // ClusterManager makes slots after installations, and names them in the recovery.conf that it writes.
            late = Some(format!(
                "the primary has no slot {slot} yet: the standby streams without one until it is told"
            ));
            done = self.perform(&Told(&setup), &mut site);
        }
        let mut report = done.map_err(|cause| {
            site.remarks.iter().for_each(|remark| self.screen.note(remark));
            of_cause(&self.tried, &cause)
        })?;
        report.notes.extend(late);
        Ok(report)
    }

    /// Tells how far it is.
    ///
    /// # Errors
    /// The volume cannot be looked at.
    pub(super) fn progress(&self) -> Result<Report, Failure> {
        let site = self.site()?;
        let found = install::progress(&site).map_err(|cause| of_cause(&self.tried, &cause))?;
        Ok(Report::told(Some(progress(&found))))
    }
}

/// Whether the copy was refused for the want of its slot (PostgreSQL's words).
fn is_slot_missing(cause: &Cause) -> bool {
    let words = cause.to_string();
    words.contains("replication slot") && words.contains("does not exist")
}

/// An installation of which a file tells others that it is under way. Nobody here believes the file: one that was left by a
/// process that was killed would stop all that come later.
struct Told<'a>(&'a Setup);

impl Operation for Told<'_> {
    type Seen = install::Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        self.0.install.name()
    }

    fn turn(&self, site: &Site, who: &str, waiting: &mut dyn FnMut(&str)) -> Result<Turn, Cause> {
        self.0.install.turn(site, who, waiting)
    }

    fn look(&self, site: &mut Site) -> Result<install::Seen, Cause> {
        self.0.install.look(site)
    }

    fn plan(&self, seen: &install::Seen) -> Result<Plan<Step>, Cause> {
        self.0.install.plan(seen)
    }

    fn carry_out(&self, steps: &[Step], seen: &install::Seen, site: &mut Site) -> Result<(), Cause> {
        let file = self.0.step_lock.as_path();
        if let Err(error) = tell(file) {
            site.remarks
                .push(format!("{}: {error}; nobody else is told that it is under way", file.display()));
        }
        let done = self.0.install.carry_out(steps, seen, site);
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                site.remarks.push(format!("{}: {error}", file.display()));
            }
            _ => {}
        }
        done
    }

    fn confirm(&self, before: &install::Seen, after: &install::Seen) -> Result<Vec<String>, Cause> {
        self.0.install.confirm(before, after)
    }
}

/// What is in the file's place is neither followed nor waited for: it lies in a folder that all may write.
fn tell(file: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
    options.open(file)?.write_all(PREPARE)
}
