//! Waiting until what was asked for has happened: what counts as done, what never will be, and the limit of time.

use std::time::{Duration, Instant};

use super::cli::WaitArgs;
use super::failure::{Exit, Failure};
use super::lock_file;
use super::screen::Screen;
use super::status::last_exit;
use crate::control::protocol::Status;

/// How often it is looked.
const POLL: Duration = Duration::from_millis(50);

/// What one look shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// It has happened.
    Done,
    /// Not yet; how it is.
    Waiting(String),
    /// It will not happen by waiting; how it is.
    Hopeless(String),
}

/// Looks until it is done.
///
/// # Errors
/// A look failed, it is hopeless, or the limit of time has come.
pub(crate) fn until_done(
    screen: Screen,
    args: &WaitArgs,
    tried: &str,
    mut look: impl FnMut() -> Result<Look, Failure>,
) -> Result<(), Failure> {
    let begin = Instant::now();
    loop {
        let looked = look();
        let state = match looked {
            Ok(Look::Waiting(state)) => state,
            ended => {
                screen.progress("");
                return match ended {
                    Ok(Look::Hopeless(state)) => {
                        Err(Failure::failed("not_done", format!("{tried}: {state}")))
                    }
                    ended => ended.map(|_| ()),
                };
            }
        };
        let elapsed = begin.elapsed();
        if elapsed >= args.timeout {
            screen.progress("");
            let text = format!(
                "{tried}: after {} s {state}; it goes on, only this waiting is over (longer: --timeout 10m)",
                args.timeout.as_secs_f32()
            );
            return Err(Failure::new(Exit::TimedOut, "timed_out", text));
        }
        // A command that takes no time needs no progress.
        if elapsed > Duration::from_millis(300) {
            screen.progress(&format!("{tried}: {} s, {state}", elapsed.as_secs()));
        }
        std::thread::sleep(POLL.min(args.timeout.saturating_sub(elapsed)));
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Ready.
    Up,
    /// Ready by another start than the one before.
    UpAgain,
    /// Nothing of it runs.
    Down,
    /// Nothing of it runs, and the supervisor knows of the lock.
    Locked,
    /// Ready, or down for another reason than the lock.
    Unlocked,
    /// Ready by another start than the one before, if there was one, or down for a reason that lasts.
    Reloaded,
    /// Not known any more.
    Gone,
}

/// Judges a program by its status, and by that of before the change if there is one.
pub(crate) fn judge(goal: Goal, before: Option<&Status>, status: &Status) -> Look {
    let at_rest = status.pid.is_none() && matches!(status.state.as_str(), "down" | "failed" | "backoff");
    let waiting = || Look::Waiting(in_words(status));
    match goal {
        Goal::Down if at_rest && status.state != "backoff" => Look::Done,
        Goal::Locked if at_rest && status.lock.is_some() => Look::Done,
        // Who is known is not gone.
        Goal::Down | Goal::Locked | Goal::Gone => waiting(),
        Goal::Reloaded if at_rest && status.reason.as_deref().is_some_and(is_lasting) => Look::Done,
        Goal::Unlocked if at_rest && matches!(status.reason.as_deref(), Some("stopped" | "shutdown")) => {
            Look::Done
        }
        _ if status.state == "failed" => {
            let text = "see polarctl explain and logs, mend it, and start it again";
            Look::Hopeless(format!("{}; {text}", in_words(status)))
        }
        // An engine may need several starts; what else ends at once does so again.
        Goal::Up | Goal::UpAgain | Goal::Reloaded
            if status.state == "backoff" && status.kind != "postgres" && has_ended(before, status) =>
        {
            Look::Hopeless(format!("{}; see polarctl explain and logs, and mend it", in_words(status)))
        }
        Goal::Up | Goal::UpAgain if at_rest && status.lock.is_some() => {
            Look::Hopeless(format!("{}; polarctl unlock ends the lock", in_words(status)))
        }
        Goal::Up | Goal::UpAgain if status.reason.as_deref() == Some("shutdown") => {
            Look::Hopeless(in_words(status))
        }
        Goal::UpAgain | Goal::Reloaded if before.is_some_and(|before| same_run(before, status)) => waiting(),
        _ if status.ready => Look::Done,
        _ => waiting(),
    }
}

fn same_run(before: &Status, status: &Status) -> bool {
    (before.pid, before.restarts) == (status.pid, status.restarts)
}

/// Whether it has ended since, and nobody has asked it to.
fn has_ended(before: Option<&Status>, status: &Status) -> bool {
    let earlier = before.and_then(|before| before.last_exit.as_ref());
    status.last_exit.as_ref().is_some_and(|exit| exit.class != "asked" && Some(exit) != earlier)
}

/// Whether a program that is down for this reason stays so without anybody's word.
fn is_lasting(reason: &str) -> bool {
    matches!(reason, "locked" | "stopped" | "shutdown" | "completed")
}

/// Whether what was ready a moment ago is it no more: a command without a `ready` check is as soon as it is started.
pub(crate) fn ended_at_once(ready: &Status, now: Option<&Status>) -> Option<String> {
    let now = now.filter(|now| (now.pid, now.restarts) != (ready.pid, ready.restarts) || !now.ready)?;
    let end = now.last_exit.as_ref().filter(|end| end.class != "asked")?;
    let end = last_exit(end, jiff::Timestamp::now());
    Some(format!("{} was started and has ended at once: {end}; see polarctl explain and logs", now.name))
}

/// A program's state in a sentence's part.
pub(crate) fn in_words(status: &Status) -> String {
    let mut text = format!("{} is {}", status.name, status.state);
    if let Some(reason) = &status.reason {
        text.push_str(&format!(" ({reason})"));
    }
    if let Some(lock) = &status.lock {
        text.push_str(&format!(", locked by {} ({})", lock.file, lock_file::in_words(lock)));
    }
    if let Some(exit) =
        status.last_exit.as_ref().filter(|_| matches!(status.state.as_str(), "failed" | "backoff"))
    {
        text.push_str(&format!(", last end: {}", last_exit(exit, jiff::Timestamp::now())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{LastExit, Lock};
    use crate::ctl::status::tests::running;

    fn at(state: &str, reason: &str) -> Status {
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        let runs = matches!(state, "running" | "starting" | "stopping");
        Status {
            state: state.into(),
            reason,
            pid: runs.then_some(42),
            ready: state == "running",
            ..running("engine", "postgres")
        }
    }

    fn locked(state: &str) -> Status {
        Status { lock: Some(Lock { file: "/l".into(), ..Lock::default() }), ..at(state, "locked") }
    }

    fn ended(kind: &str) -> Status {
        let exit = LastExit { code: Some(3), signal: None, class: "failure".into(), at: String::new() };
        Status { kind: kind.into(), last_exit: Some(exit), ..at("backoff", "") }
    }

    #[test]
    fn what_is_done_what_is_awaited_and_what_never_comes() {
        const DONE: char = 'd';
        const WAITING: char = 'w';
        const HOPELESS: char = 'h';
        let up = at("running", "");
        let next = Status { pid: Some(43), ..at("running", "") };
        let down = at("down", "stopped");
        for (goal, before, status, expected) in [
            (Goal::Up, None, up.clone(), DONE),
            (Goal::Up, None, at("starting", ""), WAITING),
            (Goal::Up, None, at("down", "waiting"), WAITING),
            (Goal::Up, None, at("backoff", ""), WAITING),
            (Goal::Up, None, at("failed", ""), HOPELESS),
            (Goal::Up, None, locked("down"), HOPELESS),
            (Goal::Up, None, locked("stopping"), WAITING),
            (Goal::Up, None, at("stopping", "shutdown"), HOPELESS),
            (Goal::UpAgain, Some(&up), up.clone(), WAITING),
            (Goal::UpAgain, Some(&up), at("stopping", ""), WAITING),
            (Goal::UpAgain, Some(&up), next.clone(), DONE),
            (Goal::UpAgain, Some(&down), up.clone(), DONE),
            (Goal::UpAgain, Some(&up), locked("down"), HOPELESS),
            (Goal::Down, None, up.clone(), WAITING),
            (Goal::Down, None, at("stopping", "stopped"), WAITING),
            (Goal::Down, None, at("down", "stopped"), DONE),
            (Goal::Down, None, at("failed", ""), DONE),
            (Goal::Down, None, at("backoff", ""), WAITING),
            (Goal::Locked, None, at("down", "stopped"), WAITING),
            (Goal::Locked, None, locked("down"), DONE),
            (Goal::Locked, None, locked("stopping"), WAITING),
            (Goal::Unlocked, None, locked("down"), WAITING),
            (Goal::Unlocked, None, at("down", "stopped"), DONE),
            (Goal::Unlocked, None, at("starting", ""), WAITING),
            (Goal::Unlocked, None, up.clone(), DONE),
            (Goal::Unlocked, None, at("failed", ""), HOPELESS),
            (Goal::Up, Some(&down), ended("command"), HOPELESS),
            (Goal::Up, Some(&ended("command")), ended("command"), WAITING),
            (Goal::Up, Some(&down), ended("postgres"), WAITING),
            (Goal::Reloaded, Some(&up), at("starting", ""), WAITING),
            (Goal::Reloaded, Some(&up), up.clone(), WAITING),
            (Goal::Reloaded, Some(&up), next.clone(), DONE),
            (Goal::Reloaded, Some(&up), locked("down"), DONE),
            (Goal::Reloaded, Some(&up), at("down", "dependency"), WAITING),
            (Goal::Reloaded, Some(&up), at("failed", ""), HOPELESS),
            (Goal::Reloaded, None, at("starting", ""), WAITING),
            (Goal::Reloaded, None, ended("command"), HOPELESS),
            (Goal::Reloaded, None, up.clone(), DONE),
            (Goal::Gone, None, at("stopping", ""), WAITING),
        ] {
            let found = match judge(goal, before, &status) {
                Look::Done => DONE,
                Look::Waiting(_) => WAITING,
                Look::Hopeless(_) => HOPELESS,
            };
            assert_eq!(found, expected, "{goal:?}: {} {:?}", status.state, status.reason);
        }
    }
}
