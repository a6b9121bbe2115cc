//! A complete stage is moved into place: entry by entry, `PG_VERSION` last. Each step can be done again after a kill, for a
//! name is either still in the stage or already in place.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::atomic::sync_folder;
use super::failpoint::failpoint;
use super::halt::{Halt, Outcome, Trying, failed};
use super::lock_file;
use super::stage::Stage;
use super::work::Work;
use crate::engine::stage::rename_to_nothing;

/// Written last: with it the directory is a database.
const LAST: &str = "PG_VERSION";

/// Moves the stage into `data_dir`.
///
/// # Errors
/// Failed when a name is taken; the stage is then kept as it is.
pub(super) fn promote(work: Work<'_>, data_dir: &Path, stage: &Stage) -> Outcome<()> {
    lock_file::look(&work.order.engine.lock_file)?;
    let pgdata = stage.pgdata();
    if fs::symlink_metadata(pgdata.join(LAST)).is_err() {
        return Err(failed(
            format!("the complete stage {} has no {LAST}", pgdata.display()),
            "somebody changed it: look at it and at the data directory, and restore from a backup if in doubt",
        ));
    }
    if let Some(wal_dir) = stage.wal_dir()? {
        wal(stage, &wal_dir)?;
    }
    for (index, name) in names(&pgdata)?.into_iter().filter(|name| name != LAST).enumerate() {
        move_into(&pgdata, data_dir, &name)?;
        if index == 2 {
            failpoint("mid-promotion", work.interrupt)?;
        }
    }
    sync_folder(data_dir).trying("sync", data_dir)?;
    failpoint("before-pg-version", work.interrupt)?;
    move_into(&pgdata, data_dir, &OsString::from(LAST))?;
    sync_folder(data_dir).trying("sync", data_dir)?;
    failpoint("after-promotion", work.interrupt)?;
    if let Err(error) = fs::remove_dir_all(&stage.path) {
        work.report
            .warn(format!("cannot remove {}, from which first boot moved: {error}", stage.path.display()));
    }
    Ok(())
}

/// Names of `from` that `to` has already: they would stop the promotion half-way.
pub(super) fn conflicts(from: &Path, to: &Path) -> Outcome<Vec<String>> {
    let taken = names(from)?.into_iter().filter(|name| fs::symlink_metadata(to.join(name)).is_ok());
    Ok(taken.map(|name| name.to_string_lossy().into_owned()).collect())
}

/// Moves the write-ahead log up into its folder, then leads `pg_wal` there.
fn wal(stage: &Stage, wal_dir: &Path) -> Outcome<()> {
    let wal_stage = stage.wal(wal_dir);
    if wal_stage.is_dir() {
        for name in names(&wal_stage)? {
            move_into(&wal_stage, wal_dir, &name)?;
        }
        sync_folder(wal_dir).trying("sync", wal_dir)?;
    }
    // In place already after a kill: the link was right before it was moved.
    let link = stage.pgdata().join("pg_wal");
    if fs::read_link(&link).is_ok_and(|target| target != wal_dir) {
        let unfinished = stage.path.join("pg_wal.link");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).trying("remove", &unfinished);
            }
            _ => {}
        }
        symlink(wal_dir, &unfinished).trying("make the link", &unfinished)?;
        fs::rename(&unfinished, &link).trying("replace the link", &link)?;
        sync_folder(&stage.pgdata()).trying("sync", &stage.pgdata())?;
    }
    match fs::remove_dir(&wal_stage) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).trying("remove", &wal_stage),
        _ => Ok(()),
    }
}

fn names(folder: &Path) -> Outcome<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).trying("list", folder)? {
        names.push(entry.trying("list", folder)?.file_name());
    }
    names.sort();
    Ok(names)
}

fn move_into(from: &Path, to: &Path, name: &OsString) -> Outcome<()> {
    let (old, new) = (from.join(name), to.join(name));
    match rename_to_nothing(&old, &new) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken(&old, &new)),
        Err(error) => Err(error).trying("move into place", &old),
    }
}

fn taken(old: &Path, new: &Path) -> Halt {
    failed(
        format!(
            "first boot cannot move {} into place: {} exists and did not come from it",
            old.display(),
            new.display()
        ),
        format!("move {} elsewhere and start again: first boot then goes on", new.display()),
    )
}
