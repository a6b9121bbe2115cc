//! `recovery.conf` for an engine that refuses to start beside it: what it asks for becomes a signal file and parameters in
//! `postgresql.auto.conf`, where PostgreSQL's own tools put them and where they win over all other files.
//!
//! The order is what keeps a killed child from leaving a second primary behind. While `recovery.conf` lies there no engine
//! of 12 or later starts, whoever starts it, and the next child does all of this again to the same end. So it is the last
//! to go, when all else is on the disk: the parameters; the signal file; other signal files and `recovery.done`, which
//! would ask for a primary at the next start; the copy. The way back is the other way round: a standby that follows
//! nobody is one still, so the signal file goes last.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::atomic;
use super::evidence;
use super::executables::Engine;
use super::failpoint::failpoint;
use super::halt::{Outcome, Trying, refused, wait};
use super::vigil;
use super::work::Work;
use crate::engine::conf::{self, Document, Where};
use crate::engine::recovery_conf::{
    self, Asked, DONE, FILE, FIRST_WITHOUT, FOLLOWS, LONGEST, MARK, Mode, Signal, TARGETS, Verdict, verdict,
};

const AUTO_CONF: &str = "postgresql.auto.conf";
/// What was translated last.
const KEPT: &str = "recovery.conf.translated";
/// Whoever writes the file may be in the middle of it for so long, in seconds.
const WRITING: u64 = 2;

/// Follows a `recovery.conf`, and a `recovery.done` in its place.
///
/// # Errors
/// Refused, with nothing changed, where it cannot be followed.
pub(super) fn follow(work: Work<'_>, data_dir: &Path, engine: &Engine) -> Outcome<()> {
    if engine.memo.major < FIRST_WITHOUT {
        return Ok(());
    }
    let (path, done) = (data_dir.join(FILE), data_dir.join(DONE));
    // Before it is read: a change in between is then seen as one.
    let seen = vigil::stamp(&path);
    let asked = match seen {
        None => None,
        Some(_) => Some(read(&path, engine)?),
    };
    let is_done = vigil::stamp(&done).is_some();
    match verdict(asked.as_ref().map(|(asked, _)| asked.mode), is_done, &signals(data_dir)?) {
        Verdict::Leave => Ok(()),
        Verdict::Foreign(mode) if asked.is_none() => {
            work.report.warn(format!(
                "{DONE} asks for a primary, but {} was not made from a {FILE}: it is left, and decides; to make a primary of \
                 this node, remove it yourself",
                mode.signal()
            ));
            Ok(())
        }
        Verdict::Foreign(mode) => Err(refused(
            format!(
                "{} asks for something else than {}, which somebody else has made",
                path.display(),
                mode.signal()
            ),
            "remove the one of the two that is wrong; nothing was changed",
        )),
        Verdict::Promote(signals) => {
            set(data_dir, FOLLOWS.iter().chain(&TARGETS).map(|name| (*name, None)))?;
            failpoint("recovery-unfollowed", work.interrupt)?;
            for mode in signals {
                remove(&data_dir.join(mode.signal()))?;
                work.report.note(format!("{DONE} asks for a primary: {} is removed", mode.signal()));
            }
            Ok(())
        }
        Verdict::Make(mode, others) => {
            let Some((asked, bytes)) = asked else { return Ok(()) };
            set(data_dir, asked.settings.iter().map(|(name, value)| (*name, Some(value.as_str()))))?;
            failpoint("recovery-set", work.interrupt)?;
            let signal = data_dir.join(mode.signal());
            atomic::replace(&signal, MARK.as_bytes(), 0o600).trying("write", &signal)?;
            failpoint("recovery-signalled", work.interrupt)?;
            for other in others {
                remove(&data_dir.join(other.signal()))?;
            }
            if is_done {
                remove(&done)?;
            }
            let kept = data_dir.join(KEPT);
            atomic::replace(&kept, &bytes, 0o600).trying("write", &kept)?;
            failpoint("recovery-kept", work.interrupt)?;
            if vigil::stamp(&path) != seen {
                return Err(wait(format!("{} has changed while it was followed", path.display())));
            }
            remove(&path)?;
            tell(work, data_dir, &asked);
            failpoint("recovery-followed", work.interrupt)
        }
    }
}

fn read(path: &Path, engine: &Engine) -> Outcome<(Asked, Vec<u8>)> {
    let no_such = |what: &str| {
        refused(
            format!("{} {what}", path.display()),
            "write it again as a file, or move it away if this node is not to be a standby; nothing was changed",
        )
    };
    let bytes = match evidence::read_most(path, LONGEST + 1) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(no_such("is no regular file")),
        read => read.trying("read", path)?,
    };
    if bytes.len() as u64 > LONGEST {
        return Err(no_such("is longer than 1 MiB"));
    }
    match recovery_conf::read(&bytes, engine.memo.major, engine.polardb) {
        Ok(asked) => Ok((asked, bytes)),
        Err(mistake) => {
            let cause = format!("{}:{mistake}", path.display());
            let age =
                fs::metadata(path).and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age.as_secs() < WRITING) {
                return Err(wait(format!("{cause}; it is just being written")));
            }
            Err(refused(
                cause,
                "mend that line; or move the file away if this node is not to be a standby; nothing was changed",
            ))
        }
    }
}

fn signals(data_dir: &Path) -> Outcome<Vec<Signal>> {
    let mut found = Vec::new();
    for mode in Mode::ALL {
        let path = data_dir.join(mode.signal());
        if vigil::stamp(&path).is_some() {
            let ours = evidence::read(&path).is_ok_and(|bytes| bytes == MARK.as_bytes());
            found.push(Signal { mode, ours });
        }
    }
    Ok(found)
}

/// Puts parameters into `postgresql.auto.conf` in this order, or takes them out.
fn set<'a>(data_dir: &Path, settings: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Outcome<()> {
    let path = data_dir.join(AUTO_CONF);
    let before = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read.trying("read", &path)?,
    };
    let mut document = Document::parse(&before);
    for (name, value) in settings {
        document.unset(name);
        if let Some(value) = value {
            document.set(name, value, Where::AtEnd);
        }
    }
    let bytes = document.bytes();
    if bytes == before { Ok(()) } else { atomic::replace(&path, &bytes, 0o600).trying("write", &path) }
}

/// Removes a file for good, if it is still there.
fn remove(path: &Path) -> Outcome<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => removed.trying("remove", path)?,
    }
    let folder = path.parent().unwrap_or(path);
    atomic::sync_folder(folder).trying("sync", folder)
}

/// Names only: the values may be secret.
fn tell(work: Work<'_>, data_dir: &Path, asked: &Asked) {
    let names = asked.settings.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| *name);
    work.report.note(format!(
        "{FILE} is followed: {} is made, {AUTO_CONF} sets {}; it is kept as {KEPT}",
        asked.mode.signal(),
        names.collect::<Vec<_>>().join(", ")
    ));
    let (settings, _) = conf::read(data_dir, &work.order.options);
    for (name, value) in &asked.settings {
        if settings.get(name) != Some(value) {
            work.report.warn(format!("{name}: an option of the engine's command line wins over {FILE}"));
        }
    }
}
