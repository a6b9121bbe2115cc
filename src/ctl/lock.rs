//! `polarctl lock|unlock`: the lock file of engines that a supervisor keeps, or of a data volume alone.

use std::path::{Path, PathBuf};

use super::by_volume::{self, make, remove, words};
use super::change::{show, wait_for};
use super::cli::{LockArgs, UnlockArgs};
use super::failure::Failure;
use super::place::{Place, Reach, engines_or};
use super::screen::Screen;
use super::wait::Goal;
use crate::control::client::Client;

/// `lock`.
///
/// # Errors
/// It was not done.
pub(crate) fn lock(place: &Place, screen: Screen, args: &LockArgs) -> Result<(), Failure> {
    let program = args.change.program.as_deref();
    let tried = format!("lock of {}", program.unwrap_or("all engines"));
    let mut client = match place.reach(&tried, program)? {
        Reach::Supervisor(client) => client,
        Reach::Volumes(volumes, why) => return by_volume::lock(screen, &volumes, why.as_deref(), args),
    };
    let lock = words(args.kind.word(), args.reason.clone(), args.until.clone());
    for (name, file) in lock_files(&mut client, &tried, program)? {
        make(&name, &file, &lock, args.force)?;
    }
    if !args.change.wait.no_wait {
        wait_for(&mut client, screen, &args.change.wait, &tried, Goal::Locked, &[], |client| {
            engines_or(client, &tried, program)
        })?;
    }
    show(&mut client, screen, &tried, program, true)
}

/// `unlock`.
///
/// # Errors
/// It was not done.
pub(crate) fn unlock(place: &Place, screen: Screen, args: &UnlockArgs) -> Result<(), Failure> {
    let program = args.change.program.as_deref();
    let tried = format!("unlock of {}", program.unwrap_or("all engines"));
    let mut client = match place.reach(&tried, program)? {
        Reach::Supervisor(client) => client,
        Reach::Volumes(volumes, why) => return by_volume::unlock(screen, &volumes, why.as_deref(), args),
    };
    for (name, file) in lock_files(&mut client, &tried, program)? {
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

/// The lock files of the engines that are meant, by their names.
fn lock_files(
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
