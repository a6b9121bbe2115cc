//! `disk expand`: after the device has grown. PolarDB is told; a local file system is looked at.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pfs::{self, Storage};
use super::space::{self, Space};
use crate::engine::conf;
use crate::manager::cause::Cause;
use crate::manager::diskfull::{self, Held, Unlock};
use crate::manager::operation::{Operation, Plan};
use crate::manager::program;
use crate::manager::refusal::Shown;
use crate::manager::site::Site;

/// Formatting takes seconds for each chunk (the predecessor gives commands of pfs 320 s).
const GROW_WITHIN: Duration = Duration::from_secs(320);
/// What a file system shows of its device at least, in percent: the rest it has for itself.
const SHOWN_PERCENT: u64 = 90;
/// Of a file system at least so much is free, in percent, before a lock against a full one is lifted: else it is back at
/// once.
const FREE_PERCENT: u64 = 10;

/// `disk expand`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expand {
    /// How large it was, in gigabytes; PolarDB's file system alone needs it.
    pub from: Option<u64>,
    /// How large it is, in gigabytes.
    pub to: Option<u64>,
    /// Whether a lock against a full disk is lifted.
    pub unlock: bool,
}

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Format what was added.
    Grow(Vec<String>),
    /// Tell the engine.
    Tell(String),
    /// Lift the lock.
    Lift(<Unlock as Operation>::Step),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Grow(command) => f.write_str(&command.join(" ")),
            Step::Tell(sql) => f.write_str(sql),
            Step::Lift(step) => write!(f, "lift the diskfull lock: {step}"),
        }
    }
}

/// What is found out.
#[derive(Debug)]
pub struct Seen {
    /// The file system of the data directory.
    pub space: Space,
    /// PolarDB's file system, and the schema of the function that tells the engine.
    storage: Option<(Storage, Option<String>)>,
    /// Where pfs is.
    pfs: Option<PathBuf>,
    /// Those who read the log of this primary.
    replicas: Vec<String>,
    /// A lock that is there, and what to do about it.
    lock: Option<(Held, <Unlock as Operation>::Seen)>,
}

impl Operation for Expand {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        "disk expand"
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        let data_dir = site.data_dir.clone();
        let (space, settings) = site.as_owner(|| (space::of(&data_dir), conf::read(&data_dir, &[]).0))?;
        let space = space.map_err(|error| Cause::of_file(&data_dir, error))?;
        let mut seen =
            Seen { space, storage: None, pfs: executable("pfs"), replicas: Vec::new(), lock: None };
        let storage = Storage::of(&settings);
        let up = site.shown()? == Shown::Up;
        if storage.is_none() && !up {
            if self.unlock {
                return Err(site.seen()?.down());
            }
            return Ok(seen);
        }
        if let Some(storage) = storage {
            let session = site.session()?;
            let schema = session.query(pfs::FUNCTION)?.first().map(|row| row.text(0).to_owned());
            seen.storage = Some((storage, schema));
            let rows = session.query("select application_name from pg_stat_replication order by 1")?;
            seen.replicas = rows.iter().map(|row| row.text(0).to_owned()).collect();
        }
        if let Some(held) = diskfull::held(site)? {
            seen.lock = Some((held, Unlock.look(site)?));
        }
        Ok(seen)
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = Plan::default();
        match &seen.storage {
            Some((storage, schema)) => self.plan_pfs(seen, storage, schema.as_deref(), &mut plan)?,
            None => self.plan_local(seen, &mut plan)?,
        }
        match &seen.lock {
            Some((_, lock)) if self.unlock => {
                let unlock = Unlock.plan(lock)?;
                plan.steps.extend(unlock.steps.into_iter().map(Step::Lift));
                plan.notes.extend(unlock.notes);
            }
            Some(_) => plan.notes.push(
                "the diskfull lock is still there: --unlock lifts it, and so does polarctl unlock --kind diskfull"
                    .to_owned(),
            ),
            None => {}
        }
        Ok(plan)
    }

    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        let mut lift = Vec::new();
        for step in steps {
            match step {
                Step::Grow(command) => grow(site, seen.pfs.as_deref(), command)?,
                Step::Tell(sql) => {
                    if !site.session()?.row(sql)?.truth(0) {
                        return Err(Cause::Unconfirmed(format!("{sql} did not answer true")));
                    }
                }
                Step::Lift(step) => lift.push(step.clone()),
            }
        }
        match &seen.lock {
            Some((_, lock)) if !lift.is_empty() => Unlock.carry_out(&lift, lock, site),
            _ => Ok(()),
        }
    }

    /// What was told is told again by the next call, which does no harm; a lock has to be gone.
    fn confirm(&self, before: &Seen, after: &Seen) -> Result<Vec<String>, Cause> {
        if self.unlock && after.lock.is_some() {
            return Err(Cause::Unconfirmed("the diskfull lock is still there".to_owned()));
        }
        Ok(self.plan(before)?.notes)
    }
}

impl Expand {
    fn plan_pfs(
        &self,
        seen: &Seen,
        storage: &Storage,
        schema: Option<&str>,
        plan: &mut Plan<Step>,
    ) -> Result<(), Cause> {
        if let (Some(from), Some(to)) = (self.from, self.to) {
            let command = storage
                .grow(from, to)
                .map_err(|why| Cause::invalid("usage", why, "correct --from and --to"))?;
            if seen.pfs.is_none() {
                let what = format!("pfs is not installed here, and {} has to come first", command.join(" "));
                let next = "run that where pfs is, then polarctl disk expand without --from and --to";
                return Err(Cause::invalid("no_pfs", what, next));
            }
            plan.steps.push(Step::Grow(command));
        } else {
            let note =
                "pfs growfs has to have been run, once and on one machine; --from and --to have it run here";
            plan.notes.push(note.to_owned());
        }
        let Some(schema) = schema else {
            let what = "the engine has no function polar_vfs_disk_expansion";
            let next = "polarctl pg -c 'create extension polar_vfs' on the primary, then try again";
            return Err(Cause::invalid("no_polar_vfs", what, next));
        };
        plan.steps.push(Step::Tell(storage.tell(schema)));
        if !seen.replicas.is_empty() {
            let names = seen.replicas.join(", ");
            plan.notes.push(format!(
                "this is the primary, which comes last: it is for its replicas first ({names})"
            ));
        }
        Ok(())
    }

    fn plan_local(&self, seen: &Seen, plan: &mut Plan<Step>) -> Result<(), Cause> {
        let total = seen.space.total;
        let before = seen.lock.as_ref().and_then(|(held, _)| held.total);
        let next = "enlarge the volume and its file system (resize2fs, xfs_growfs), then try again";
        if let Some(to) = self.to
            && total < (to << 30) / 100 * SHOWN_PERCENT
        {
            let what = format!(
                "the file system of the data directory has {total} bytes, which is less than {to} GB"
            );
            return Err(Cause::invalid("not_grown", what, next));
        }
        if let (None, Some(before)) = (self.to, before)
            && total <= before
        {
            let what = format!(
                "the file system of the data directory has {total} bytes, and had {before} when it was locked"
            );
            return Err(Cause::invalid("not_grown", what, next));
        }
        if self.unlock && seen.lock.is_some() && seen.space.free < total / 100 * FREE_PERCENT {
            let what = format!("{} bytes of {total} are free, less than {FREE_PERCENT} %", seen.space.free);
            return Err(Cause::invalid(
                "still_full",
                what,
                "make it larger still, or polarctl unlock --kind diskfull",
            ));
        }
        let grown = before.is_some_and(|before| total > before) || self.to.is_some();
        let word = if grown { "has grown" } else { "is local, and what it had before is not known (--to)" };
        plan.notes.push(format!(
            "the file system of the data directory {word}: {total} bytes, {} free; the engine has to be told nothing",
            seen.space.free
        ));
        Ok(())
    }
}

fn grow(site: &Site, pfs: Option<&Path>, command: &[String]) -> Result<(), Cause> {
    let (Some(pfs), Some((_, arguments))) = (pfs, command.split_first()) else { return Ok(()) };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = program::run(site, pfs, &arguments, GROW_WITHIN)?;
    // What was formatted by a call that was killed afterwards.
    if ended.status.success()
        || ended.stderr.contains("already formatted")
        || ended.stdout.contains("already formatted")
    {
        return Ok(());
    }
    let what = format!("{} ended with {}: {}", command.join(" "), ended.status, ended.stderr.trim());
    Err(Cause::invalid("pfs_failed", what, "see that the device has grown and pfsd runs, then try again"))
}

/// A program by the `PATH`.
fn executable(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn seen(total: u64) -> Seen {
        let space = Space { total, used: total / 2, free: total / 2, device: 1 };
        Seen { space, storage: None, pfs: None, replicas: Vec::new(), lock: None }
    }

    fn storage(schema: Option<&str>) -> Option<(Storage, Option<String>)> {
        let dir = tempfile::tempdir().unwrap();
        let text = "polar_datadir='/nvme1n1/data'\npolar_disk_name='nvme1n1'\n";
        std::fs::write(dir.path().join("postgresql.conf"), text).unwrap();
        Some((Storage::of(&conf::read(dir.path(), &[]).0).unwrap(), schema.map(str::to_owned)))
    }

    #[test]
    fn what_is_local_is_looked_at() {
        let expand = |to| Expand { to, ..Expand::default() };
        let plan = expand(Some(40)).plan(&seen(39 * GIB)).unwrap();
        assert!(plan.steps.is_empty() && plan.notes[0].contains("has grown"), "{plan:?}");
        assert_eq!(expand(Some(40)).plan(&seen(20 * GIB)).unwrap_err().code(), "not_grown");
        assert!(expand(None).plan(&seen(20 * GIB)).unwrap().notes[0].contains("not known"));
    }

    #[test]
    fn pfs_first_then_the_engine_the_primary_last() {
        let steps = |expand: &Expand, seen: &Seen| {
            expand.plan(seen).map(|plan| {
                (plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>(), plan.notes.join("; "))
            })
        };
        let mut seen = Seen { storage: storage(Some("public")), ..seen(GIB) };
        let told = r#"select "public".polar_vfs_disk_expansion('nvme1n1')"#.to_owned();
        let (all, notes) = steps(&Expand::default(), &seen).unwrap();
        assert_eq!(all, std::slice::from_ref(&told));
        assert!(notes.contains("growfs") && !notes.contains("primary"), "{notes}");
        let grow = Expand { from: Some(20), to: Some(40), unlock: false };
        assert_eq!(steps(&grow, &seen).unwrap_err().code(), "no_pfs");
        seen.pfs = Some("/usr/local/bin/pfs".into());
        seen.replicas = vec!["replica_1_a".to_owned()];
        let (all, notes) = steps(&grow, &seen).unwrap();
        assert_eq!(all, ["pfs -C disk growfs -o 2 -n 4 nvme1n1".to_owned(), told]);
        assert!(notes.contains("last") && notes.contains("replica_1_a"), "{notes}");
        assert_eq!(steps(&Expand { to: Some(45), ..grow }, &seen).unwrap_err().code(), "usage");
        seen.storage = storage(None);
        assert_eq!(steps(&Expand::default(), &seen).unwrap_err().code(), "no_polar_vfs");
    }
}
