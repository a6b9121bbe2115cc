//! One operation at a time on an instance: the second waits, and says for whom.
//!
//! The turn is an flock on `PG_VERSION`, which every database has, so that a full disk takes nobody's turn away; the
//! kernel ends it with its holder, however that ends. Who holds it stands in `ins_request` beside it, for people.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::cause::Cause;
use super::site::Site;

/// The file of a database that is locked.
const LOCKED: &str = "PG_VERSION";
/// Where the holder's words stand.
pub(super) const WORDS: &str = "ins_request";
/// So much of them is read, in bytes.
const WORDS_MAX: u64 = 1000;
/// How often it is tried.
const POLL: Duration = Duration::from_millis(20);

/// The turn of this process; its end is the value's.
#[derive(Debug)]
pub struct Turn {
    _held: File,
}

/// Takes the turn of an instance, in the name of `who`; `waiting` is told once for whom it waits.
///
/// # Errors
/// There is no database, or another operation did not end in time.
pub fn take(site: &Site, who: &str, waiting: &mut dyn FnMut(&str)) -> Result<Turn, Cause> {
    wait_for(site, &Locked::Database, who, waiting)
}

/// Takes the turn of what is done before there is a database, which this file of the data directory stands for; it is
/// made where it is missing, and stays.
///
/// # Errors
/// It could not be made, or another operation did not end in time.
pub fn take_on(
    site: &Site,
    name: &'static str,
    who: &str,
    waiting: &mut dyn FnMut(&str),
) -> Result<Turn, Cause> {
    wait_for(site, &Locked::Own(name), who, waiting)
}

/// What is locked.
enum Locked {
    /// The database.
    Database,
    /// A file of this name, of nobody's data.
    Own(&'static str),
}

impl Locked {
    fn name(&self) -> &'static str {
        match self {
            Locked::Database => LOCKED,
            Locked::Own(name) => name,
        }
    }
}

fn wait_for(site: &Site, locked: &Locked, who: &str, waiting: &mut dyn FnMut(&str)) -> Result<Turn, Cause> {
    let begin = Instant::now();
    let mut told = false;
    loop {
        let tried = site.as_owner(|| attempt(&site.data_dir, locked, who))?;
        match tried.map_err(|error| of_locked(site, locked, error))? {
            Ok(held) => return Ok(Turn { _held: held }),
            Err(holder) => {
                let within = site.patience.turn;
                if begin.elapsed() >= within {
                    return Err(Cause::Busy { who: holder, within });
                }
                if !told {
                    told = true;
                    waiting(&holder);
                }
            }
        }
        std::thread::sleep(POLL);
    }
}

/// Whether somebody has the turn of the instance in this data directory.
#[must_use]
pub fn is_taken(data_dir: &Path) -> bool {
    let file = open(&data_dir.join(LOCKED), OpenOptions::new().read(true));
    // Shared, so that who looks takes nobody's turn.
    file.is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

fn of_locked(site: &Site, locked: &Locked, error: io::Error) -> Cause {
    match (locked, error.kind()) {
        (Locked::Database, io::ErrorKind::NotFound) => {
            Cause::NoInstance { data_dir: site.data_dir.clone(), why: format!("it has no {LOCKED}") }
        }
        _ => Cause::of_file(&site.data_dir.join(locked.name()), error),
    }
}

/// The lock, or who holds it.
fn attempt(data_dir: &Path, locked: &Locked, who: &str) -> io::Result<Result<File, String>> {
    let path = data_dir.join(locked.name());
    // NFS wants a descriptor that can be written for an exclusive lock.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(matches!(locked, Locked::Own(_))).mode(0o600);
    let file = open(&path, &mut options)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Err(holder(&data_dir.join(WORDS)))),
        Err(error) => return Err(error.into()),
    }
    // Another file may have the name meanwhile, and somebody else its lock.
    let (ours, named) = (file.metadata()?, std::fs::symlink_metadata(&path)?);
    if (ours.dev(), ours.ino()) != (named.dev(), named.ino()) {
        return Ok(Err("somebody who is replacing the database".to_owned()));
    }
    // Words that could not be written are better none than another's.
    let words = data_dir.join(WORDS);
    if write_words(&words, who).is_err() {
        let _ = std::fs::remove_file(&words);
    }
    Ok(Ok(file))
}

fn write_words(path: &Path, who: &str) -> io::Result<()> {
    let mut file = open(path, OpenOptions::new().write(true).create(true).mode(0o600))?;
    file.set_len(0)?;
    file.write_all(who.as_bytes())
}

fn holder(path: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = open(path, OpenOptions::new().read(true)) {
        let _ = file.take(WORDS_MAX).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.is_empty() { "one that has left no word".to_owned() } else { text }
}

/// Neither a link nor a pipe in its place is followed or waited for.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, Site) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(LOCKED), "15\n").unwrap();
        let mut site = Site::new(dir.path().to_owned());
        site.patience.turn = Duration::from_millis(60);
        (dir, site)
    }

    #[test]
    fn the_second_waits_and_says_for_whom() {
        let (_dir, mut site) = site();
        assert!(!is_taken(&site.data_dir));
        let first = take(&site, "params set, request 1", &mut |_| panic!("nobody is there")).unwrap();
        assert!(is_taken(&site.data_dir));
        let mut told = Vec::new();
        match take(&site, "the second", &mut |who| told.push(who.to_owned())) {
            Err(Cause::Busy { who, .. }) => assert_eq!(who, "params set, request 1"),
            other => panic!("{other:?}"),
        }
        assert_eq!(told, ["params set, request 1"], "told once");
        site.patience.turn = Duration::from_secs(30);
        let waiting = std::thread::spawn(move || {
            take(&site, "the second", &mut |_| {}).unwrap();
            std::fs::read_to_string(site.data_dir.join(WORDS)).unwrap()
        });
        drop(first);
        assert_eq!(waiting.join().unwrap(), "the second");
    }

    #[test]
    fn words_that_cannot_be_written_take_no_turn_away() {
        let (_dir, site) = site();
        std::fs::create_dir(site.data_dir.join(WORDS)).unwrap();
        let _first = take(&site, "first", &mut |_| {}).unwrap();
        match take(&site, "second", &mut |_| {}) {
            Err(Cause::Busy { who, .. }) => assert!(who.contains("no word"), "{who}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn before_there_is_a_database() {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Site::new(dir.path().to_owned());
        site.patience.turn = Duration::ZERO;
        let first = take_on(&site, "ins_turn", "first", &mut |_| panic!("nobody is there")).unwrap();
        assert!(matches!(take_on(&site, "ins_turn", "second", &mut |_| {}), Err(Cause::Busy { .. })));
        drop(first);
        take_on(&site, "ins_turn", "second", &mut |_| panic!("nobody is there")).unwrap();
    }

    #[test]
    fn without_a_database_there_is_no_turn() {
        let (_dir, site) = site();
        std::fs::remove_file(site.data_dir.join(LOCKED)).unwrap();
        assert!(matches!(take(&site, "", &mut |_| {}), Err(Cause::NoInstance { .. })));
        let nowhere = Site::new("/no/such/place".into());
        assert!(matches!(take(&nowhere, "", &mut |_| {}), Err(Cause::NoInstance { .. })));
    }
}
