//! How far an installation is, for whoever asks while it runs: derived from what the kernel and the volume tell, so that
//! one that was killed does not run on for ever.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{FlockOperation, flock};

use super::markers;
use crate::manager::cause::Cause;
use crate::manager::site::Site;

/// The turn of installations: held by the one that runs.
pub(super) const TURN: &str = "ins_install_turn";
/// The last words of the one that ran last.
const STATE: &str = "ins_install_state";
/// Begins them where they are its end.
const FAILED: &str = "failed: ";

/// How far an installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// None was begun on this volume.
    Absent,
    /// One is under way.
    Running {
        /// What it does.
        message: String,
    },
    /// It is complete.
    Succeeded,
    /// The last one ended before it was complete; the next call goes on.
    Failed {
        /// Why, or where it was killed.
        message: String,
    },
}

impl Progress {
    /// The word that callers of the predecessor know.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Progress::Running { .. } => "running",
            Progress::Succeeded => "succeed",
            Progress::Absent | Progress::Failed { .. } => "failed",
        }
    }

    /// The same for people.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Progress::Absent => "no installation was begun",
            Progress::Succeeded => "done",
            Progress::Running { message } | Progress::Failed { message } => message,
        }
    }
}

/// How far the installation of a volume is. Nothing is changed, and nobody is waited for.
///
/// # Errors
/// The volume cannot be looked at.
pub fn progress(site: &Site) -> Result<Progress, Cause> {
    let looked: io::Result<Progress> = site.as_owner(|| {
        // Asked first: one that ends in between has said so before.
        let held = is_held(site)?;
        if markers::read(&site.data_dir, markers::STEP)?.is_some_and(|text| is_done(&text)) {
            return Ok(Progress::Succeeded);
        }
        let words = markers::read(&site.data_dir, STATE)?;
        Ok(judge(held, words.as_deref()))
    })?;
    looked.map_err(|error| Cause::of_file(&site.data_dir, error))
}

/// Whether a step says that all is done.
pub(super) fn is_done(step: &str) -> bool {
    step.trim() == markers::DONE
}

/// Whether an installation was ever begun here, as far as can be seen.
pub(super) fn was_begun(site: &Site) -> Result<bool, Cause> {
    site.as_owner(|| site.data_dir.join(TURN).symlink_metadata().is_ok())
}

fn judge(held: Option<bool>, words: Option<&str>) -> Progress {
    let said = words.unwrap_or_default();
    match (held, said.strip_prefix(FAILED)) {
        (Some(true), None) if !said.is_empty() => Progress::Running { message: said.to_owned() },
        (Some(true), _) => Progress::Running { message: "it begins".to_owned() },
        (_, Some(why)) => Progress::Failed { message: why.to_owned() },
        (_, None) if !said.is_empty() => Progress::Failed {
            message: format!("it was ended on its way: {said}; call it again: it goes on"),
        },
        (Some(false), None) => {
            Progress::Failed { message: "it was ended before it began; call it again".to_owned() }
        }
        (None, None) => Progress::Absent,
    }
}

/// Whether somebody has the turn; `None`: nobody ever took it.
fn is_held(site: &Site) -> io::Result<Option<bool>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let opened: io::Result<File> =
        OpenOptions::new().read(true).custom_flags(flags).open(site.data_dir.join(TURN));
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(false)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(true)),
        Err(error) => Err(error.into()),
    }
}

/// Leaves word of what is done. That it could not be left fails nothing.
pub(super) fn tell(site: &Site, what: &str) {
    let _ = markers::write(site, STATE, what);
}

/// Leaves word of the end.
pub(super) fn tell_end(site: &Site, cause: Option<&Cause>) {
    match cause {
        None => tell(site, markers::DONE),
        Some(cause) => tell(site, &format!("{FAILED}{cause}; {}", cause.next())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judged() {
        let running = |message: &str| Progress::Running { message: message.to_owned() };
        assert_eq!(judge(None, None), Progress::Absent);
        assert_eq!(judge(Some(true), Some("initdb")), running("initdb"));
        assert_eq!(judge(Some(true), Some("failed: of the one before")), running("it begins"));
        assert_eq!(judge(Some(true), None), running("it begins"));
        assert_eq!(
            judge(Some(false), Some("failed: no space; free some")),
            Progress::Failed { message: "no space; free some".to_owned() }
        );
        for (held, words) in [(Some(false), Some("initdb")), (Some(false), None)] {
            let progress = judge(held, words);
            assert_eq!(progress.word(), "failed");
            assert!(progress.message().contains("call it again"), "{progress:?}");
        }
    }

    #[test]
    fn of_a_volume() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path().to_owned());
        assert_eq!(progress(&site).unwrap(), Progress::Absent);
        let turn = File::create(dir.path().join(TURN)).unwrap();
        flock(&turn, FlockOperation::NonBlockingLockExclusive).unwrap();
        tell(&site, "initdb");
        assert_eq!(progress(&site).unwrap().message(), "initdb");
        drop(turn);
        assert_eq!(progress(&site).unwrap().word(), "failed");
        markers::write(&site, markers::STEP, "done\n").unwrap();
        assert_eq!(progress(&site).unwrap(), Progress::Succeeded);
    }
}
