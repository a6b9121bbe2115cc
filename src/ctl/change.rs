//! `polarctl start|stop|restart|reload`: said to the supervisor, and waited for; without one in reach see `without`.

use std::time::{Duration, Instant};

use super::cli::{ChangeArgs, EndArgs, StartArgs, WaitArgs};
use super::failure::Failure;
use super::instance::Desk;
use super::lock;
use super::lock_file;
use super::place::{Place, Reach, engines_or, statuses};
use super::screen::{Screen, harmless};
use super::status;
use super::wait::{Goal, Look, ended_at_once, judge, until_done};
use super::without::{Call, Change};
use crate::control::client::Client;
use crate::control::protocol::{Explanation, Op, Reloaded, Status};

/// What ends within this time after its start has not come up.
const AT_ONCE: Duration = Duration::from_millis(300);

/// `start`.
///
/// # Errors
/// It was not done.
pub(crate) fn start(place: &Place, screen: Screen, args: &StartArgs) -> Result<(), Failure> {
    change(place, screen, "start", &args.change, Change::Start, args.dry_run)
}

/// `stop`.
///
/// # Errors
/// It was not done.
pub(crate) fn stop(place: &Place, screen: Screen, args: &EndArgs) -> Result<(), Failure> {
    change(place, screen, "stop", &args.change, Change::Stop(args.mode), args.dry_run)
}

/// `restart`.
///
/// # Errors
/// It was not done.
pub(crate) fn restart(place: &Place, screen: Screen, args: &EndArgs) -> Result<(), Failure> {
    change(place, screen, "restart", &args.change, Change::Restart(args.mode), args.dry_run)
}

/// By the supervisor, or without one; one line in `manager.log`.
fn change(
    place: &Place,
    screen: Screen,
    verb: &str,
    args: &ChangeArgs,
    change: Change,
    dry_run: bool,
) -> Result<(), Failure> {
    let tried = phrase(verb, args);
    let changed = match place.reach(&tried, args.program.as_deref()) {
        Ok(Reach::Supervisor(client)) => say(client, screen, args, &tried, change, dry_run),
        Ok(Reach::Volumes(volumes, why)) => {
            Call { place, screen, change, wait: &args.wait, dry_run }.run(&volumes, why.as_deref())
        }
        Err(failure) => Err(failure),
    };
    let word = if dry_run { "dry run" } else { "done" };
    let subject = args.program.as_deref().unwrap_or_default();
    Desk::new(place, screen).record_failure(verb, &changed.as_ref().map(|()| word.to_owned()), subject);
    changed
}

/// `reload`: of the whole configuration; PROGRAM alone is waited for and shown.
///
/// # Errors
/// It was not done.
pub(crate) fn reload(place: &Place, screen: Screen, args: &ChangeArgs) -> Result<(), Failure> {
    let tried = "reload of the configuration";
    let program = args.program.as_deref();
    let meant = |name: &str| program.is_none_or(|program| program == name);
    let mut client = place.supervisor(tried)?;
    let mut before = statuses(&mut client, tried, None)?;
    let done: Reloaded = client.ask(&Op::Reload {}).map_err(|trouble| Failure::of_trouble(tried, trouble))?;
    if !screen.json {
        let said =
            if done.said.is_empty() { "nothing of it has changed".into() } else { done.said.join("\n") };
        screen.text(&format!("{}\n", said.lines().map(harmless).collect::<Vec<_>>().join("\n")))?;
    }
    if !args.wait.no_wait {
        let begin = Instant::now();
        wait_for(&mut client, screen, &args.wait, tried, Goal::Gone, &[], |client| {
            let mut all = statuses(client, tried, None)?;
            let heir = |name: &str| done.added.iter().any(|added| added == name);
            all.retain(|status| meant(&status.name) && done.removed.contains(&status.name));
            // One of another kind with the same name comes behind it.
            let names: Vec<String> = all.iter().map(|status| status.name.clone()).collect();
            let count = |name: &String| names.iter().filter(|other| *other == name).count();
            all.retain(|status| !heir(&status.name) || count(&status.name) > 1);
            Ok(all)
        })?;
        let left = args.wait.timeout.saturating_sub(begin.elapsed());
        before.retain(|status| !done.added.contains(&status.name));
        wait_for(
            &mut client,
            screen,
            &WaitArgs { timeout: left, ..args.wait.clone() },
            tried,
            Goal::Reloaded,
            &before,
            |client| {
                let mut all = statuses(client, tried, None)?;
                let touched = |name: &String| done.added.contains(name) || done.restarted.contains(name);
                all.retain(|status| meant(&status.name) && touched(&status.name));
                Ok(all)
            },
        )?;
    }
    let mut all = match program {
        Some(name) if done.removed.iter().any(|removed| removed == name) => Vec::new(),
        _ => statuses(&mut client, tried, program)?,
    };
    all.iter_mut().filter_map(|status| status.lock.as_mut()).for_each(lock_file::fill_in);
    if screen.json {
        screen.document(&serde_json::json!({ "reloaded": done, "programs": all }))?;
        return Ok(());
    }
    status::show(screen, &all, program.is_some())
}

fn phrase(verb: &str, args: &ChangeArgs) -> String {
    format!("{verb} of {}", args.program.as_deref().unwrap_or("all engines"))
}

fn say(
    mut client: Client,
    screen: Screen,
    args: &ChangeArgs,
    tried: &str,
    change: Change,
    dry_run: bool,
) -> Result<(), Failure> {
    let program = args.program.as_deref();
    let before = engines_or(&mut client, tried, program)?;
    if dry_run {
        let steps: Vec<String> = before.iter().filter_map(|status| would(change, status)).collect();
        return lock::say(screen, &steps);
    }
    let named = || args.program.clone();
    let (goal, op) = match change {
        Change::Start => (Goal::Up, Op::Start { program: named() }),
        Change::Stop(mode) => (Goal::Down, Op::Stop { program: named(), mode: mode.map(Into::into) }),
        Change::Restart(mode) => {
            (Goal::UpAgain, Op::Restart { program: named(), mode: mode.map(Into::into) })
        }
    };
    ask(&mut client, tried, &op)?;
    if !args.wait.no_wait {
        wait_for(&mut client, screen, &args.wait, tried, goal, &before, |client| {
            engines_or(client, tried, program)
        })?;
    }
    show(&mut client, screen, tried, program, true)
}

/// What the supervisor would be asked for; nothing where it is so.
fn would(change: Change, status: &Status) -> Option<String> {
    let stopped = status.reason.as_deref() == Some("stopped");
    let verb = match change {
        Change::Start if status.pid.is_some() && !stopped => return None,
        Change::Stop(_) if stopped => return None,
        Change::Start => "start",
        Change::Stop(_) => "stop",
        Change::Restart(_) => "restart",
    };
    Some(format!("have the supervisor {verb} {}, which is {}", status.name, status.state))
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
    let mut ready = Vec::new();
    until_done(screen, args, tried, || {
        let mut waiting = None;
        ready.clear();
        for mut status in of(client)? {
            status.lock.iter_mut().for_each(lock_file::fill_in);
            let earlier = before.iter().find(|earlier| earlier.name == status.name);
            match judge(goal, earlier, &status) {
                Look::Done if status.kind == "command" && status.ready => ready.push(status),
                Look::Done => {}
                Look::Waiting(how) => waiting = waiting.or(Some(how)),
                Look::Hopeless(how) => return Ok(Look::Hopeless(with_last_line(client, &status, how))),
            }
        }
        Ok(waiting.map_or(Look::Done, Look::Waiting))
    })?;
    if ready.is_empty() || !matches!(goal, Goal::Up | Goal::UpAgain | Goal::Reloaded) {
        return Ok(());
    }
    std::thread::sleep(AT_ONCE);
    let all = of(client)?;
    for earlier in &ready {
        let status = all.iter().find(|status| status.name == earlier.name);
        if let Some(how) = ended_at_once(earlier, status) {
            let how = with_last_line(client, earlier, how);
            return Err(Failure::failed("not_done", format!("{tried}: {how}")));
        }
    }
    Ok(())
}

/// Adds what it wrote last, where that may say why it ended.
fn with_last_line(client: &mut Client, status: &Status, how: String) -> String {
    if status.kind == "postgres" {
        return how;
    }
    let op = Op::Explain { program: Some(status.name.clone()) };
    let explained: Vec<Explanation> = client.ask(&op).unwrap_or_default();
    match explained.first().and_then(|explanation| explanation.last_lines.last()) {
        Some(line) => format!("{how}; its last line: {}", harmless(line)),
        None => how,
    }
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
