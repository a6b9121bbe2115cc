//! Lock, unlock, stop and start by the data volume alone: the lock file, and what the data directory shows.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::cli::{LockArgs, UnlockArgs, WaitArgs};
use super::failure::Failure;
use super::lock_file::{self, Done, Found};
use super::place::Volume;
use super::screen::{Colour, Screen, Table, brief};
use super::time::present;
use super::volume::{self, Shown};
use super::wait::{Look, until_done};
use crate::control::protocol::Lock;
use crate::manager::user;

/// The reason of a lock that a `stop` makes.
const STOPPED: &str = "polarctl stop, without a supervisor in reach";

/// So much of a kind that was typed is shown, in characters.
const KIND_MAX: usize = 60;

/// That of one that lasts for a `restart`.
const RESTARTED: &str = "polarctl restart, without a supervisor in reach";

/// The kind of a lock that a `stop` makes and a `start` removes.
const MAINTENANCE: &str = "maintenance";

/// A lock in this user's name.
pub(crate) fn words(kind: &str, reason: Option<String>, until: Option<String>) -> Lock {
    Lock {
        file: String::new(),
        kind: Some(kind.to_owned()),
        reason,
        owner: Some(user::own()),
        since: Some(present()),
        until,
    }
}

/// Makes a lock file.
///
/// # Errors
/// It could not be made, or somebody else's is there.
pub(crate) fn make(name: &str, file: &Path, lock: &Lock, force: bool) -> Result<(), Failure> {
    let tried = format!("lock of {name}");
    match lock_file::make(file, lock, force).map_err(|error| Failure::of_file(&tried, file, &error))? {
        Done::Yes | Done::Nothing => Ok(()),
        Done::Theirs(there) => Err(other_locks(&tried, &there)),
    }
}

/// Somebody else's lock is where one was to be made.
pub(crate) fn other_locks(tried: &str, there: &Lock) -> Failure {
    let text = format!(
        "{tried}: {} is there already, {}; it locks as well, and was left as it is (--force replaces it)",
        there.file,
        lock_file::in_words(there)
    );
    Failure::failed("locked_by_other", text)
}

/// Removes a lock file; `false`: there was none.
///
/// # Errors
/// It could not be removed, or is somebody else's.
pub(crate) fn remove(tried: &str, file: &Path, kind: &str, force: bool) -> Result<bool, Failure> {
    let owner = user::own();
    match lock_file::remove(file, &owner, kind, force)
        .map_err(|error| Failure::of_file(tried, file, &error))?
    {
        Done::Yes => Ok(true),
        Done::Nothing => Ok(false),
        Done::Theirs(there) => Err(not_ours(tried, &there, kind)),
    }
}

/// Somebody else's lock is where one was to be removed.
pub(crate) fn not_ours(tried: &str, there: &Lock, kind: &str) -> Failure {
    let text = format!(
        "{tried}: {} was left as it is: it is not of kind {} by {}, but {}; if nobody needs it any more: polarctl unlock \
         --force",
        there.file,
        brief(kind, KIND_MAX),
        user::own(),
        lock_file::in_words(there)
    );
    Failure::failed("locked_by_other", text)
}

/// `lock`.
///
/// # Errors
/// It was not done.
pub(crate) fn lock(
    screen: Screen,
    volumes: &[Volume],
    why: Option<&str>,
    args: &LockArgs,
) -> Result<(), Failure> {
    say_so(screen, why);
    let lock = words(args.kind.word(), args.reason.clone(), args.until.clone());
    for volume in volumes {
        make(&volume.title(), &volume.lock_file, &lock, args.force)?;
    }
    wait_down(screen, volumes, &args.change.wait)?;
    show(screen, volumes)
}

/// `stop`: the same, but that a lock which is there will do.
///
/// # Errors
/// It was not done.
pub(crate) fn stop(screen: Screen, volumes: &[Volume], wait: &WaitArgs) -> Result<(), Failure> {
    let lock = words(MAINTENANCE, Some(STOPPED.to_owned()), None);
    for volume in volumes {
        let file = &volume.lock_file;
        let failed = |error| Failure::of_file(&format!("stop of {}", volume.title()), file, &error);
        // One that has come meanwhile will do, too.
        if look(volume)? == Found::Absent && lock_file::make(file, &lock, false).map_err(failed)? == Done::Yes
        {
            screen.note(&format!(
                "{} holds the engine down, over restarts of the container too, until polarctl start or unlock",
                volume.lock_file.display()
            ));
        }
    }
    wait_down(screen, volumes, wait)
}

/// `restart`: a lock that lasts until the engine is down.
///
/// # Errors
/// It was not done.
pub(crate) fn restart(screen: Screen, volumes: &[Volume], wait: &WaitArgs) -> Result<(), Failure> {
    let lock = words(MAINTENANCE, Some(RESTARTED.to_owned()), None);
    let begin = Instant::now();
    for volume in volumes {
        let tried = format!("restart of {}", volume.title());
        if let Found::Present(there) = look(volume)? {
            let text = format!("{tried}: {} is there, {}", there.file, lock_file::in_words(&there));
            return Err(Failure::failed("locked", text));
        }
        make(&volume.title(), &volume.lock_file, &lock, false)?;
    }
    // Without the wait for its end the supervisor might not see the lock at all.
    let waited = wait_down(screen, volumes, &WaitArgs { no_wait: false, ..wait.clone() });
    for volume in volumes {
        remove(&format!("restart of {}", volume.title()), &volume.lock_file, MAINTENANCE, false)?;
    }
    waited?;
    let left = wait.timeout.saturating_sub(begin.elapsed());
    wait_up(screen, volumes, &WaitArgs { timeout: left, ..wait.clone() })
}

/// `unlock`.
///
/// # Errors
/// It was not done.
pub(crate) fn unlock(
    screen: Screen,
    volumes: &[Volume],
    why: Option<&str>,
    args: &UnlockArgs,
) -> Result<(), Failure> {
    say_so(screen, why);
    for volume in volumes {
        let tried = format!("unlock of {}", volume.title());
        if !remove(&tried, &volume.lock_file, &args.kind, args.force)? {
            screen.note(&format!("{} is not there: it was not locked", volume.lock_file.display()));
        }
    }
    wait_up(screen, volumes, &args.change.wait)?;
    show(screen, volumes)
}

/// `start`: a lock of this user's goes.
///
/// # Errors
/// It was not done.
pub(crate) fn start(screen: Screen, volumes: &[Volume], wait: &WaitArgs) -> Result<(), Failure> {
    for volume in volumes {
        unlocked_by_start(volume)?;
    }
    wait_up(screen, volumes, wait)
}

/// Removes the lock that a `stop` of this user has made, if one is there.
///
/// # Errors
/// It could not be removed, or is another one.
pub(crate) fn unlocked_by_start(volume: &Volume) -> Result<bool, Failure> {
    remove(&format!("start of {}", volume.title()), &volume.lock_file, MAINTENANCE, false)
}

/// What that would do.
///
/// # Errors
/// The lock is another one.
pub(crate) fn would_unlock(volume: &Volume) -> Result<Option<String>, Failure> {
    match look(volume)? {
        Found::Absent => Ok(None),
        Found::Present(there) if lock_file::is_ours(&there, &user::own(), MAINTENANCE) => {
            Ok(Some(format!("remove {}, by which {} may start", there.file, volume.title())))
        }
        Found::Present(there) => Err(not_ours(&format!("start of {}", volume.title()), &there, MAINTENANCE)),
    }
}

/// Says why it goes by the lock file.
pub(crate) fn say_so(screen: Screen, why: Option<&str>) {
    if let Some(why) = why {
        screen.note(&format!("no supervisor is in reach ({why}); it goes by the lock file"));
    }
}

/// The lock file of a volume.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn look(volume: &Volume) -> Result<Found, Failure> {
    lock_file::look(&volume.lock_file)
        .map_err(|error| Failure::of_file("looking at the lock file", &volume.lock_file, &error))
}

/// What a volume shows of its engine.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn shown(volume: &Volume) -> Result<Shown, Failure> {
    volume::look(&volume.data_dir)
        .map_err(|error| Failure::of_file("looking at the data directory", &volume.data_dir, &error))
}

fn wait_down(screen: Screen, volumes: &[Volume], args: &WaitArgs) -> Result<(), Failure> {
    if args.no_wait {
        return Ok(());
    }
    for volume in volumes {
        until_done(screen, args, &format!("stop of {}", volume.title()), || {
            let pid = match shown(volume)? {
                Shown::Down => return Ok(Look::Done),
                Shown::Busy(pid, _) | Shown::Ready(pid) => pid,
            };
            Ok(Look::Waiting(format!(
                "{} still names process {pid}; where no supervisor runs nothing takes it away, and the lock holds all the same",
                volume.data_dir.join("postmaster.pid").display()
            )))
        })?;
    }
    Ok(())
}

/// Waits until the engines serve.
///
/// # Errors
/// They do not in time, or a lock is there.
pub(crate) fn wait_up(screen: Screen, volumes: &[Volume], args: &WaitArgs) -> Result<(), Failure> {
    if args.no_wait {
        return Ok(());
    }
    for volume in volumes {
        until_done(screen, args, &format!("start of {}", volume.title()), || {
            if let Found::Present(lock) = look(volume)? {
                return Ok(Look::Hopeless(format!("{} is there, {}", lock.file, lock_file::in_words(&lock))));
            }
            Ok(match shown(volume)? {
                Shown::Ready(_) => Look::Done,
                Shown::Busy(pid, why) => Look::Waiting(format!("process {pid} does not serve: {why}")),
                Shown::Down => Look::Waiting(format!(
                    "there is no {}; see that the container runs and what its log says",
                    volume.data_dir.join("postmaster.pid").display()
                )),
            })
        })?;
    }
    Ok(())
}

/// Shows what the volumes show.
///
/// # Errors
/// They cannot be looked at.
pub(crate) fn show(screen: Screen, volumes: &[Volume]) -> Result<(), Failure> {
    let mut documents = Vec::new();
    let mut table = Table::new(&["DATA", "STATE", "PID", "LOCK"]);
    for volume in volumes {
        let (state, colour, pid) = match shown(volume)? {
            Shown::Down => ("down", Colour::Grey, None),
            Shown::Busy(pid, _) => ("busy", Colour::Yellow, Some(pid)),
            Shown::Ready(pid) => ("running", Colour::Green, Some(pid)),
        };
        let lock = match look(volume)? {
            Found::Absent => None,
            Found::Present(lock) => Some(lock),
        };
        table.row(vec![
            (volume.data_dir.display().to_string(), None),
            (state.to_owned(), Some(colour)),
            (pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()), None),
            (lock.as_ref().map_or_else(|| "-".to_owned(), lock_file::in_words), None),
        ]);
        documents.push(json!({
            "name": volume.name, "data_dir": volume.data_dir, "state": state, "pid": pid, "ready": state == "running", "lock": lock,
        }));
    }
    match documents.as_slice() {
        [one] if screen.json => screen.document(one)?,
        all if screen.json => screen.document(&all)?,
        _ => screen.text(&table.render(screen))?,
    }
    Ok(())
}
