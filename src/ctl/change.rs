//! `polarctl start|stop|restart|reload`: said to the supervisor, and waited for.

use super::cli::{ChangeArgs, EndArgs, WaitArgs};
use super::failure::Failure;
use super::lock_file;
use super::place::{Place, Reach, engines_or, statuses};
use super::screen::Screen;
use super::wait::{Goal, Look, judge, until_done};
use super::{by_volume, status};
use crate::control::client::Client;
use crate::control::protocol::{Op, Status};

/// `start`: without a supervisor the lock of a `stop` goes.
///
/// # Errors
/// It was not done.
pub(crate) fn start(place: &Place, screen: Screen, args: &ChangeArgs) -> Result<(), Failure> {
    let tried = phrase("start", args);
    match place.reach(&tried, args.program.as_deref())? {
        Reach::Supervisor(client) => {
            say(client, screen, args, &tried, Goal::Up, &Op::Start { program: args.program.clone() })
        }
        Reach::Volumes(volumes, why) => by_volume::start(screen, &volumes, why.as_deref(), &args.wait),
    }
}

/// `stop`: without a supervisor by the lock file.
///
/// # Errors
/// It was not done.
pub(crate) fn stop(place: &Place, screen: Screen, args: &EndArgs) -> Result<(), Failure> {
    let change = &args.change;
    let tried = phrase("stop", change);
    match place.reach(&tried, change.program.as_deref())? {
        Reach::Supervisor(client) => {
            let op = Op::Stop { program: change.program.clone(), mode: args.mode.map(Into::into) };
            say(client, screen, change, &tried, Goal::Down, &op)
        }
        Reach::Volumes(volumes, why) => {
            if args.mode.is_some() {
                screen.note(
                    "--mode has no effect by the lock file: the supervisor asks the engine by its stop_mode",
                );
            }
            by_volume::stop(screen, &volumes, why.as_deref(), &change.wait)
        }
    }
}

/// `restart`.
///
/// # Errors
/// It was not done.
pub(crate) fn restart(place: &Place, screen: Screen, args: &EndArgs) -> Result<(), Failure> {
    let change = &args.change;
    let tried = phrase("restart", change);
    let client = place.supervisor(&tried)?;
    let op = Op::Restart { program: change.program.clone(), mode: args.mode.map(Into::into) };
    say(client, screen, change, &tried, Goal::UpAgain, &op)
}

/// `reload`: of the whole configuration; PROGRAM alone is waited for and shown.
///
/// # Errors
/// It was not done.
pub(crate) fn reload(place: &Place, screen: Screen, args: &ChangeArgs) -> Result<(), Failure> {
    let tried = "reload of the configuration";
    let program = args.program.as_deref();
    let mut client = place.supervisor(tried)?;
    let before = statuses(&mut client, tried, None)?;
    ask(&mut client, tried, &Op::Reload {})?;
    if !args.wait.no_wait {
        wait_for(&mut client, screen, &args.wait, tried, Goal::Settled, &before, |client| {
            statuses(client, tried, program)
        })?;
    }
    show(&mut client, screen, tried, program, false)
}

fn phrase(verb: &str, args: &ChangeArgs) -> String {
    format!("{verb} of {}", args.program.as_deref().unwrap_or("all engines"))
}

fn say(
    mut client: Client,
    screen: Screen,
    args: &ChangeArgs,
    tried: &str,
    goal: Goal,
    op: &Op,
) -> Result<(), Failure> {
    let program = args.program.as_deref();
    let before = engines_or(&mut client, tried, program)?;
    ask(&mut client, tried, op)?;
    if !args.wait.no_wait {
        wait_for(&mut client, screen, &args.wait, tried, goal, &before, |client| {
            engines_or(client, tried, program)
        })?;
    }
    show(&mut client, screen, tried, program, true)
}

fn ask(client: &mut Client, tried: &str, op: &Op) -> Result<(), Failure> {
    client.ask::<()>(op).map_err(|trouble| Failure::of_trouble(tried, trouble))
}

/// Waits until all programs that `of` tells of have come to `goal`.
///
/// # Errors
/// They have not.
pub(crate) fn wait_for(
    client: &mut Client,
    screen: Screen,
    args: &WaitArgs,
    tried: &str,
    goal: Goal,
    before: &[Status],
    of: impl Fn(&mut Client) -> Result<Vec<Status>, Failure>,
) -> Result<(), Failure> {
    until_done(screen, args, tried, || {
        let mut waiting = None;
        for mut status in of(client)? {
            status.lock.iter_mut().for_each(lock_file::fill_in);
            let earlier = before.iter().find(|earlier| earlier.name == status.name);
            match judge(goal, earlier, &status) {
                Look::Done => {}
                Look::Waiting(how) => waiting = waiting.or(Some(how)),
                Look::Hopeless(how) => return Ok(Look::Hopeless(how)),
            }
        }
        Ok(waiting.map_or(Look::Done, Look::Waiting))
    })
}

/// Shows how they are.
///
/// # Errors
/// The supervisor did not tell.
pub(crate) fn show(
    client: &mut Client,
    screen: Screen,
    tried: &str,
    program: Option<&str>,
    engines: bool,
) -> Result<(), Failure> {
    let mut all =
        if engines { engines_or(client, tried, program)? } else { statuses(client, tried, program)? };
    all.iter_mut().filter_map(|status| status.lock.as_mut()).for_each(lock_file::fill_in);
    status::show(screen, &all, program.is_some())
}
