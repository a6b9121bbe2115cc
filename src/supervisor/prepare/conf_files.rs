//! The engine's configuration files that we own a part of: the defaults, and the line that includes them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::atomic;
use super::halt::{Outcome, Trying};
use super::work::Work;
use crate::engine::conf::Settings;
use crate::engine::defaults::{DEFAULTS_FILE, INITDB_FILE, defaults_file, with_include};

/// Writes the defaults if they changed, and sees that `postgresql.conf` includes them.
pub(super) fn write(work: Work<'_>, data_dir: &Path, polardb: bool, sockets: &[String]) -> Outcome<()> {
    defaults(work, data_dir, polardb, sockets)?;
    include(work, data_dir);
    Ok(())
}

/// Writes the defaults file in `folder` when it says something else.
pub(super) fn defaults(work: Work<'_>, folder: &Path, polardb: bool, sockets: &[String]) -> Outcome<()> {
    let path = folder.join(DEFAULTS_FILE);
    let picks = fs::symlink_metadata(folder.join(INITDB_FILE)).is_ok();
    let text = defaults_file(picks, !polardb, sockets, &work.order.engine.parameters);
    if regular(&path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    atomic::replace(&path, text.as_bytes(), 0o600).trying("write", &path)
}

fn regular(path: &Path) -> io::Result<String> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    fs::read_to_string(path)
}

fn include(work: Work<'_>, data_dir: &Path) {
    let path = data_dir.join("postgresql.conf");
    let warn = |why: String| {
        work.report.warn(format!(
            "{} does not include {DEFAULTS_FILE}, and {why}: the parameters of supervisor.toml have no effect until the \
             line include_if_exists '{}' stands at its top",
            path.display(),
            data_dir.join(DEFAULTS_FILE).display()
        ));
    };
    let text = match fs::read(&path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => return warn("it is not UTF-8 and is left as it is".to_owned()),
        },
        // The engine's own message about that is the better one.
        Err(_) => return,
    };
    let Some(changed) = with_include(&text) else { return };
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => {
            let writable = rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_ok();
            if !writable {
                return warn(format!("{} cannot write it", work.user()));
            }
            match atomic::replace(&path, changed.as_bytes(), found.mode() & 0o777) {
                Ok(()) => work.report.note(format!("{} includes {DEFAULTS_FILE} at its top", path.display())),
                Err(error) => warn(format!("it cannot be changed ({error})")),
            }
        }
        _ => warn("it is no regular file of the data directory, which is left as it is".to_owned()),
    }
}

/// Notes once per life of PID 1 that the configured port is not the engine's.
pub(super) fn tell_port(work: Work<'_>, settings: &Settings) {
    let wanted = work.order.engine.port;
    let port = settings.get("port").and_then(|port| port.trim().parse().ok()).unwrap_or(5432_u16);
    if work.order.first && port != wanted {
        work.report.note(format!(
            "the engine listens on port {port}, as its own configuration says: port = {wanted} of supervisor.toml takes \
             effect at first boot only"
        ));
    }
}
