//! Doing what was decided, in its order.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use super::failpoint::failpoint;
use super::seen::{Seen, role_of};
use super::stage::{self, Stage};
use super::{Install, Step, configure, database, folders, markers, progress};
use crate::manager::cause::Cause;
use crate::manager::params::value_to_engine;
use crate::manager::site::Site;
use crate::manager::turn;

/// How often it is looked whether a program of a dead installation has ended.
const POLL: std::time::Duration = std::time::Duration::from_millis(50);

/// Does it, and leaves word of how far it is.
///
/// # Errors
/// Why not; what was made so far is there for the next call, or gone.
pub(super) fn carry_out(
    install: &Install,
    steps: &[Step],
    seen: &Seen,
    site: &mut Site,
) -> Result<(), Cause> {
    let mut work = Work { install, seen, stage: None };
    let done = steps.iter().try_for_each(|step| {
        if *step != Step::Done {
            progress::tell(site, &step.to_string());
        }
        work.step(step, site)
    });
    progress::tell_end(site, done.as_ref().err());
    if done.is_ok()
        && let Some(stage) = work.stage.take()
        && let Err(cause) = stage.discard(site)
    {
        site.remarks.push(format!("what is left of the stage could not be removed: {cause}"));
    }
    done
}

struct Work<'a> {
    install: &'a Install,
    seen: &'a Seen,
    /// The one that is complete, held until the end.
    stage: Option<Stage>,
}

impl Work<'_> {
    fn step(&mut self, step: &Step, site: &mut Site) -> Result<(), Cause> {
        match step {
            Step::Own { .. } => own(site, (self.seen.user.0, self.seen.user.1)),
            Step::Discard(name) => discard(site, name),
            Step::Logs(_) => self.logs(site),
            Step::Make { .. } => {
                self.stage = Some(self.make(site)?);
                failpoint("after-complete");
                Ok(())
            }
            Step::Promote => {
                alone(site)?;
                let promoted = self.taken(site)?.promote(site);
                failpoint("after-promotion");
                promoted
            }
            Step::Configure => {
                let (install, seen) = (self.install, self.seen);
                let stage = self.taken(site)?;
                configure(install, seen, site, stage, &site.data_dir)
            }
            Step::Lock => markers::lock(site),
            Step::Mark(name) => {
                let wanted = markers::wanted(self.install);
                let found = wanted.iter().find(|(found, _)| found == name);
                found.map_or(Ok(()), |(name, text)| markers::write(site, name, text))
            }
            Step::Ssl => self.install.ssl.as_ref().map_or(Ok(()), |ssl| ssl.put_into(site)),
            Step::Tablespace(dir) => folders::make(site, dir),
            Step::Done => {
                failpoint("before-done");
                // Held until then: whoever else looks at the volume sees that it is not done.
                self.taken(site)?;
                markers::write(site, markers::STEP, markers::DONE)?;
                failpoint("after-done");
                Ok(())
            }
        }
    }

    /// The complete stage, held: one that was made here, or that an earlier call has left.
    fn taken(&mut self, site: &Site) -> Result<&Stage, Cause> {
        let stage = match (self.stage.take(), &self.seen.ours) {
            (Some(stage), _) => stage,
            (None, Some(name)) => Stage::take(site, name)?,
            (None, None) => return Err(Cause::Unconfirmed("the stage has vanished".to_owned())),
        };
        Ok(self.stage.insert(stage))
    }

    fn make(&self, site: &mut Site) -> Result<Stage, Cause> {
        let stage = Stage::make(site)?;
        failpoint("stage-made");
        let Err(cause) = self.fill(site, &stage) else { return Ok(stage) };
        if let Err(left) = stage.discard(site) {
            site.remarks.push(format!("the stage could not be removed, which the next call does: {left}"));
        }
        Err(cause)
    }

    fn fill(&self, site: &mut Site, stage: &Stage) -> Result<(), Cause> {
        alone(site)?;
        database::make(self.install, site, stage)?;
        failpoint("database-made");
        let pgdata = stage.pgdata();
        let kept: io::Result<()> = site.as_owner(|| configure::keep(&stage.path, &pgdata))?;
        kept.map_err(|error| Cause::of_file(&stage.path, error))?;
        configure(self.install, self.seen, site, stage, &pgdata)?;
        let logs = site.as_owner(|| configure::log_directory(&pgdata))?;
        if logs.as_deref() == Some(folders::LINKED) {
            self.logs(site)?;
        }
        failpoint("before-complete");
        stage.complete(site, role_of(self.install))
    }

    fn logs(&self, site: &mut Site) -> Result<(), Cause> {
        let target = folders::logs_of(&self.install.log_dir);
        folders::unlink(site, &target)?;
        folders::make(site, &target)?;
        let aside = folders::link(site, &target)?;
        site.remarks.extend(aside);
        Ok(())
    }
}

/// Writes the configuration, once the engine's own executable takes it.
fn configure(install: &Install, seen: &Seen, site: &Site, stage: &Stage, pgdata: &Path) -> Result<(), Cause> {
    let texts: io::Result<_> = site
        .as_owner(|| configure::wanted(install, &seen.parameters, &seen.given, &stage.path, seen.user.0))?;
    let texts = texts.map_err(|error| Cause::of_file(&stage.path, error))?;
    configure::write(site, &texts, &stage.path, pgdata)?;
    let mut of_database = Site::new(pgdata.to_owned());
    of_database.bin_dir.clone_from(&site.bin_dir);
    let conf = pgdata.join("postgresql.conf");
    match value_to_engine(&of_database, "port", &conf, &conf)? {
        Ok(_) => Ok(()),
        Err(why) => {
            let what = format!("the engine does not take this configuration: {why}");
            Err(Cause::invalid("bad_configuration", what, "mend the parameters, and call install again"))
        }
    }
}

/// Gives the data directory to the engine's user, and nothing that is in it but what an installation itself has made.
fn own(site: &Site, (uid, gid): (u32, u32)) -> Result<(), Cause> {
    let given = || {
        // Root's rights: nobody else may change an owner. No link is followed.
        let folder = stage::open(&site.data_dir)?;
        // In this order: afterwards only CAP_FOWNER could.
        folder.set_permissions(Permissions::from_mode(0o700))?;
        for name in [progress::TURN, turn::WORDS, "lost+found"] {
            let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
            let mut options = std::fs::OpenOptions::new();
            std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), flags);
            if let Ok(file) = options.open(site.data_dir.join(name))
                && file.metadata()?.uid() != uid
            {
                fchown(&file, Some(uid), Some(gid))?;
            }
        }
        let is = folder.metadata()?;
        if (is.uid(), is.gid()) == (uid, gid) { Ok(()) } else { fchown(&folder, Some(uid), Some(gid)) }
    };
    given().map_err(|error: io::Error| Cause::of_file(&site.data_dir, error))
}

/// Throws a stage away once nobody works in it.
fn discard(site: &Site, name: &str) -> Result<(), Cause> {
    let begin = std::time::Instant::now();
    loop {
        match Stage::take(site, name) {
            Ok(stage) => return stage.discard(site),
            Err(Cause::Busy { .. }) if begin.elapsed() < site.patience.turn => std::thread::sleep(POLL),
            Err(cause) => return Err(cause),
        }
    }
}

/// Whether no first boot has begun meanwhile: each side makes its stage before it looks for the other's.
fn alone(site: &Site) -> Result<(), Cause> {
    let found: io::Result<Option<String>> = site.as_owner(|| super::seen::first_boot(&site.data_dir))?;
    match found.map_err(|error| Cause::of_file(&site.data_dir, error))? {
        None => Ok(()),
        Some(who) => Err(super::plan::first_boot(&who, &site.data_dir)),
    }
}
