//! `polarctl lock|unlock`: the lock file of engines that a supervisor keeps, or of a data volume alone; and, by its kind, the
//! lock against a full disk, which is none.

use std::path::{Path, PathBuf};

use super::by_volume::{self, make, not_ours, other_locks, remove, words};
use super::change::{show, wait_for};
use super::cli::{DISKFULL, LockArgs, LockKind, UnlockArgs};
use super::failure::{Exit, Failure};
use super::instance::{Desk, lock_diskfull, unlock_diskfull};
use super::lock_file::{self, Found};
use super::place::{Place, Reach, engines_or};
use super::screen::Screen;
use super::wait::Goal;
use crate::control::client::Client;
use crate::manager::diskfull::REASON_MAX;
use crate::manager::user;

/// `lock`.
///
/// # Errors
/// It was not done.
pub(crate) fn lock(place: &Place, screen: Screen, args: LockArgs) -> Result<(), Failure> {
    let mut desk = Desk::new(place, screen);
    if args.kind == LockKind::Diskfull {
        return lock_diskfull(&mut desk, args);
    }
    let locked = by_file(place, screen, &args);
    let word = if args.dry_run { "dry run, would: make the lock file" } else { "done: made the lock file" };
    record(&mut desk, "lock", args.kind.word(), args.change.program.as_deref(), &locked, word);
    locked
}

/// `unlock`.
///
/// # Errors
/// It was not done.
pub(crate) fn unlock(place: &Place, screen: Screen, args: UnlockArgs) -> Result<(), Failure> {
    let mut desk = Desk::new(place, screen);
    // A lock file says what kind it is in its own words, of which this may be one.
    if args.kind == DISKFULL && !has_file_of_kind(place, &args) {
        return unlock_diskfull(&mut desk, args);
    }
    let unlocked = of_file(place, screen, &args);
    let word =
        if args.dry_run { "dry run, would: remove the lock file" } else { "done: no lock file is there" };
    record(&mut desk, "unlock", &args.kind, args.change.program.as_deref(), &unlocked, word);
    unlocked
}

fn record(
    desk: &mut Desk<'_>,
    name: &str,
    kind: &str,
    program: Option<&str>,
    outcome: &Result<(), Failure>,
    word: &str,
) {
    let subject = format!("{} --kind {kind}", program.unwrap_or_default());
    desk.record_failure(name, &outcome.as_ref().map(|()| word.to_owned()), subject.trim_start());
}

fn has_file_of_kind(place: &Place, args: &UnlockArgs) -> bool {
    let sites = place.instances("unlock", args.change.program.as_deref()).unwrap_or_default();
    sites.iter().any(|site| {
        matches!(lock_file::look(&site.lock_file), Ok(Found::Present(lock)) if lock.kind.as_deref() == Some(DISKFULL))
    })
}

fn by_file(place: &Place, screen: Screen, args: &LockArgs) -> Result<(), Failure> {
    let program = args.change.program.as_deref();
    let tried = format!("lock of {}", program.unwrap_or("all engines"));
    // A lock file that is longer than what is read of one would say of nobody that it is his.
    let length = args.reason.as_ref().map_or(0, String::len);
    if length > REASON_MAX {
        let text =
            format!("{tried}: the reason has {length} bytes; {REASON_MAX} are the most; make it shorter");
        return Err(Failure::new(Exit::Usage, "usage", text));
    }
    let lock = words(args.kind.word(), args.reason.clone(), args.until.clone());
    let mut client = match place.reach(&tried, program)? {
        Reach::Supervisor(client) => client,
        Reach::Volumes(volumes, _) if args.dry_run => {
            let files = volumes.into_iter().map(|volume| (volume.title(), volume.lock_file));
            return say_lock(screen, files, |there| args.force || lock_file::is_same(there, &lock));
        }
        Reach::Volumes(volumes, why) => return by_volume::lock(screen, &volumes, why.as_deref(), args),
    };
    let files = lock_files(&mut client, &tried, program)?;
    if args.dry_run {
        return say_lock(screen, files.into_iter(), |there| args.force || lock_file::is_same(there, &lock));
    }
    for (name, file) in files {
        make(&name, &file, &lock, args.force)?;
    }
    if !args.change.wait.no_wait {
        wait_for(&mut client, screen, &args.change.wait, &tried, Goal::Locked, &[], |client| {
            engines_or(client, &tried, program)
        })?;
    }
    show(&mut client, screen, &tried, program, true)
}

fn of_file(place: &Place, screen: Screen, args: &UnlockArgs) -> Result<(), Failure> {
    let program = args.change.program.as_deref();
    let tried = format!("unlock of {}", program.unwrap_or("all engines"));
    let mut client = match place.reach(&tried, program)? {
        Reach::Supervisor(client) => client,
        Reach::Volumes(volumes, _) if args.dry_run => {
            let files = volumes.into_iter().map(|volume| (volume.title(), volume.lock_file));
            return say_unlock(screen, files, args);
        }
        Reach::Volumes(volumes, why) => return by_volume::unlock(screen, &volumes, why.as_deref(), args),
    };
    let files = lock_files(&mut client, &tried, program)?;
    if args.dry_run {
        return say_unlock(screen, files.into_iter(), args);
    }
    for (name, file) in files {
        let tried = format!("unlock of {name}");
        if !remove(&tried, &file, &args.kind, args.force)? {
            screen.note(&format!("{} is not there: {name} was not locked", file.display()));
        }
    }
    if !args.change.wait.no_wait {
        wait_for(&mut client, screen, &args.change.wait, &tried, Goal::Unlocked, &[], |client| {
            engines_or(client, &tried, program)
        })?;
    }
    show(&mut client, screen, &tried, program, true)
}

/// What `lock` would do; `may` tells which lock it may replace.
fn say_lock(
    screen: Screen,
    files: impl Iterator<Item = (String, PathBuf)>,
    may: impl Fn(&crate::control::protocol::Lock) -> bool,
) -> Result<(), Failure> {
    let mut said = Vec::new();
    for (name, file) in files {
        let tried = format!("lock of {name}");
        match lock_file::look(&file).map_err(|error| Failure::of_file(&tried, &file, &error))? {
            Found::Present(there) if !may(&there) => return Err(other_locks(&tried, &there)),
            Found::Present(_) => said.push(format!("write {} again", file.display())),
            Found::Absent => {
                said.push(format!("make {}, by which {name} stops and stays down", file.display()))
            }
        }
    }
    say(screen, &said)
}

/// What `unlock` would do.
fn say_unlock(
    screen: Screen,
    files: impl Iterator<Item = (String, PathBuf)>,
    args: &UnlockArgs,
) -> Result<(), Failure> {
    let mut said = Vec::new();
    for (name, file) in files {
        let tried = format!("unlock of {name}");
        match lock_file::look(&file).map_err(|error| Failure::of_file(&tried, &file, &error))? {
            Found::Present(there) if args.force || lock_file::is_ours(&there, &user::own(), &args.kind) => {
                said.push(format!("remove {}, by which {name} may start", file.display()));
            }
            Found::Present(there) => return Err(not_ours(&tried, &there, &args.kind)),
            Found::Absent => {}
        }
    }
    say(screen, &said)
}

/// Says what would be done.
///
/// # Errors
/// Nothing can be printed.
pub(crate) fn say(screen: Screen, said: &[String]) -> Result<(), Failure> {
    if screen.json {
        screen.document(&serde_json::json!({ "dry_run": true, "changed": false, "steps": said }))?;
        return Ok(());
    }
    let mut text: String = said.iter().map(|step| format!("would: {step}\n")).collect();
    if text.is_empty() {
        text.push_str("nothing to do: it is as asked for\n");
    }
    screen.text(&text)?;
    Ok(())
}

/// The lock files of the engines that are meant, by their names.
///
/// # Errors
/// The supervisor did not tell, or one of them is out of reach.
pub(crate) fn lock_files(
    client: &mut Client,
    tried: &str,
    program: Option<&str>,
) -> Result<Vec<(String, PathBuf)>, Failure> {
    let all = engines_or(client, tried, program)?;
    all.into_iter()
        .map(|status| {
            let Some(engine) = status.engine else {
                let text = format!(
                    "{tried}: {} is of kind {} and has no lock file; use polarctl stop",
                    status.name, status.kind
                );
                return Err(Failure::failed("no_lock_file", text));
            };
            let file = PathBuf::from(engine.lock_file);
            if !file.parent().is_some_and(Path::is_dir) {
                let text = format!(
                    "{tried}: the folder of its lock file {} is not in reach from here; run this inside of the container, or give \
                     the place of the data: --data-dir DIR",
                    file.display()
                );
                return Err(Failure::failed("no_data_dir", text));
            }
            Ok((status.name, file))
        })
        .collect()
}
