//! An installation by `polarctl install`, from another container, beside a supervisor that makes or serves databases by
//! itself: its stage says so from its beginning until `ins_install_step` says `done`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::halt::{Outcome, Trying, wait};
use crate::engine::stage::{JOURNAL, is_installs};

/// Waits while an installation works in `data_dir`, and for the next call of one that was ended on its way once its
/// database is complete. What one has left that was ended earlier is in nobody's way.
///
/// # Errors
/// A wait.
pub(super) fn look(data_dir: &Path) -> Outcome<()> {
    let found = find(data_dir).trying("list", data_dir)?;
    // Asked after the stage was seen, for `done` is written before that goes.
    let done =
        || fs::read_to_string(data_dir.join("ins_install_step")).is_ok_and(|text| text.trim() == "done");
    match found {
        None => Ok(()),
        Some(_) if done() => Ok(()),
        Some((name, true)) => {
            Err(wait(format!("an installation works in {}", data_dir.join(name).display())))
        }
        Some((name, false)) => Err(wait(format!(
            "an installation was ended on its way, and left {}: call polarctl install again, as it was called",
            data_dir.join(name).display()
        ))),
    }
}

/// A stage of an installation that matters, and whether somebody works in it.
fn find(data_dir: &Path) -> io::Result<Option<(String, bool)>> {
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_installs(&name) || !entry.file_type()?.is_dir() {
            continue;
        }
        if held(&entry.path()) {
            return Ok(Some((name, true)));
        }
        if entry.path().join(JOURNAL).symlink_metadata().is_ok() {
            return Ok(Some((name, false)));
        }
    }
    Ok(None)
}

/// One that has just been removed, or cannot be looked at, is nobody's.
fn held(stage: &Path) -> bool {
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
    let opened: io::Result<File> = OpenOptions::new().read(true).custom_flags(flags).open(stage);
    opened.is_ok_and(|folder| {
        flock(&folder, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let stage = dir.path().join(".init-install-0123456789abcdef");
        assert!(look(dir.path()).is_ok());
        fs::create_dir(&stage).unwrap();
        assert!(look(dir.path()).is_ok(), "a dead one's");
        let folder = File::open(&stage).unwrap();
        flock(&folder, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(look(dir.path()).is_err(), "it is under way");
        drop(folder);
        fs::write(stage.join(JOURNAL), "").unwrap();
        assert!(look(dir.path()).is_err(), "its database is complete");
        fs::write(dir.path().join("ins_install_step"), "done\n").unwrap();
        assert!(look(dir.path()).is_ok());
    }
}
