//! Files that a task writes, each the old or the changed one after a crash.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::Work;
use super::report::Report;
use crate::ctl::failure::Failure;
use crate::ctl::instance::of_cause;
use crate::engine::datadir::major_version;
use crate::engine::flavor::is_polardb;
use crate::engine::recovery_conf::{self, FIRST_WITHOUT};
use crate::manager::task::{LogAgent, RecoveryConf};
use crate::manager::{Cause, Site, random, turn};

/// Where the log agent looks (the predecessor's).
const LOG_AGENT: &str = "/home/pgsql/data";

/// Writes the files of the log agent.
///
/// # Errors
/// One could not be written.
pub(super) fn log_agent(tried: &str, agent: &LogAgent) -> Result<Report, Failure> {
    let folder = Path::new(LOG_AGENT);
    let of_file = |path: &Path, error| Failure::of_file(tried, path, &error);
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(|error| of_file(folder, error))?;
    let mut report = Report::nothing();
    for (name, text) in [("insinfo", &agent.info), ("insname", &agent.name)] {
        let path = folder.join(name);
        if put(&path, text.as_bytes(), 0o644).map_err(|error| of_file(&path, error))? {
            report.steps.push(format!("write {}", path.display()));
        }
    }
    Ok(report)
}

impl Work<'_> {
    /// Writes a `recovery.conf` that the engine, or the supervisor for it, can follow.
    ///
    /// # Errors
    /// It could not be followed, or not be written.
    pub(super) fn recovery(&self, conf: &RecoveryConf) -> Result<Report, Failure> {
        let site = self.site()?;
        let written = self.write_recovery(conf, &site).map_err(|cause| of_cause(&self.tried, &cause))?;
        let mut report = Report::nothing();
        if written {
            report = Report::step("write recovery.conf");
            report.notes.push("it counts from the engine's next start on".to_owned());
        }
        Ok(report)
    }

    fn write_recovery(&self, conf: &RecoveryConf, site: &Site) -> Result<bool, Cause> {
        let screen = self.screen;
        let who = format!("{} by {}, request {}", self.tried, site.call.caller, site.call.request);
        let _turn = turn::take(site, &who, &mut |who| screen.note(&format!("waits for {who}")))?;
        let version = site.data_dir.join("PG_VERSION");
        let text = site.as_owner(|| fs::read_to_string(&version))?;
        let text = text.map_err(|error| Cause::of_file(&version, error))?;
        let major = major_version(&text).unwrap_or(0);
        if major >= FIRST_WITHOUT {
            let polardb = site.bin_dir().is_ok_and(|dir| is_polardb(&dir));
            recovery_conf::read(conf.text().as_bytes(), major, polardb).map_err(|mistake| {
                let what = format!("recovery_conf cannot be followed, line {mistake}");
                Cause::invalid("bad_variable", what, "correct it; nothing was changed")
            })?;
        }
        let path = site.data_dir.join(recovery_conf::FILE);
        let put = site.as_owner(|| put(&path, conf.text().as_bytes(), 0o600))?;
        put.map_err(|error| Cause::of_file(&path, error))
    }
}

/// Puts a file with this content in its place; `false`: it is there. A link in its place is replaced, not followed.
fn put(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    if is_file && fs::read(path)? == content {
        return Ok(false);
    }
    let tag = u64::from_ne_bytes(random::bytes()?);
    let unfinished = path.with_extension(format!("unfinished.{tag:016x}"));
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished);
    let written = written.and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_one_or_the_changed_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("insinfo");
        assert!(put(&path, b"a", 0o644).unwrap());
        assert!(!put(&path, b"a", 0o644).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(dir.path().join("other"), "kept").unwrap();
        std::os::unix::fs::symlink("other", &path).unwrap();
        assert!(put(&path, b"kept", 0o644).unwrap(), "a link is no file");
        assert_eq!(fs::read(dir.path().join("other")).unwrap(), b"kept");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(put(&path, b"a", 0o644).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left of it");
    }
}
