//! Somebody else's engine: when to look for one, and what follows.
//!
//! A pid file that is not ours is looked into once, by a child; after that only when it changes, or when the program
//! stops being wanted, since a file that explained itself to a start that was under way may not be left unexplained.

use std::time::Duration;

use super::event::{Action, Level, Prepared};
use super::model::{Fit, Id, Lock, Phase, PidFile, Program, State, Time, Why};
use super::settle::{begin_stop, may_run};
use super::wishes::forget_failures;

/// How soon a child that could not look is followed by another one: nothing waits for it, and a machine that has no room
/// for a process must not be asked all the time.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long a shutdown waits for the child: it takes milliseconds, unless the disk hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pid file has come or changed, or is gone.
pub(super) fn pid_file_seen(program: &mut Program, there: bool, now: Time) {
    program.pid_file = if there { PidFile::Fresh { look_at: now } } else { PidFile::Absent };
}

/// The program is wanted no more: a pid file that is there is looked into once more.
pub(super) fn again(program: &mut Program, now: Time) {
    if program.pid_file != PidFile::Absent {
        program.pid_file = PidFile::Fresh { look_at: now };
    }
}

/// A child looks into it, be it on the way to a start.
pub(super) fn looks(program: &mut Program) {
    if program.pid_file != PidFile::Absent {
        program.pid_file = PidFile::Searched;
    }
}

/// When a child is due in a program that nothing runs of.
///
/// Where our own has ended by itself, somebody may be about to start the next one: under the lock that is given the time
/// that a `pg_ctl restart` takes, and a shutdown, which cannot wait for the pid file, looks at once.
pub(super) fn due(state: &State, program: &Program) -> Option<Time> {
    // What its predecessor runs is nobody else's.
    let predecessor = program.heir_of.and_then(|id| state.program(id));
    if !program.spec.prepares || program.removed || predecessor.is_some_and(|old| old.run().is_some()) {
        return None;
    }
    let suspect = program.suspect && !may_run(state, program);
    let suspect = suspect.then(|| if state.shutdown.is_some() { state.now } else { program.not_before });
    match program.pid_file {
        PidFile::Fresh { look_at } => Some(suspect.map_or(look_at, |at| at.min(look_at))),
        PidFile::Absent | PidFile::Searched => suspect,
    }
}

/// Starts the child if it is due.
pub(super) fn begin(state: &mut State, id: Id, actions: &mut Vec<Action>) -> bool {
    let now = state.now;
    if state.program(id).and_then(|program| due(state, program)).is_none_or(|at| at > now) {
        return false;
    }
    let run = state.next_run();
    let Some(program) = state.programs.get_mut(id.0) else { return false };
    looks(program);
    program.suspect = false;
    program.phase = Phase::Searching { run, began: now };
    actions.push(Action::Search(id, run));
    true
}

/// When a shutdown stops waiting for the child that looks since `began`; `None`: there is no shutdown.
pub(super) fn patience_ends(state: &State, began: Time) -> Option<Time> {
    let shutdown = state.shutdown.as_ref()?;
    Some(began.max(shutdown.since).saturating_add(PATIENCE))
}

/// Ends the child where a shutdown has waited long enough, or where nobody wants to know.
pub(super) fn hurry(
    state: &mut State,
    id: Id,
    began: Time,
    overdue: bool,
    actions: &mut Vec<Action>,
) -> bool {
    let late = patience_ends(state, began).is_some_and(|at| at <= state.now) || overdue;
    let idle = state.program(id).is_some_and(|program| program.removed);
    (late || idle) && begin_stop(state, id, Why::Asked, actions)
}

/// Back to where it was.
fn back(program: &mut Program) {
    program.phase = if program.done { Phase::Failed } else { Phase::Down };
}

/// The child has told what it found.
pub(super) fn ended(state: &mut State, id: Id, found: Prepared, actions: &mut Vec<Action>) {
    let (now, stays) = (state.now, state.shutdown.is_none());
    let Some(program) = state.programs.get_mut(id.0) else { return };
    match found {
        Prepared::Foreign => {
            program.phase = Phase::Down;
            program.doubt = None;
            program.waiting = None;
            program.fit = Some(Fit::Adopt);
            // Who starts by hand what has given up here wants it up.
            if stays && program.done && program.operator_up && program.lock != Lock::Present {
                forget_failures(program);
            }
        }
        Prepared::Broke(why) => broke(program, id, &why, now, actions),
        Prepared::Wait(why) | Prepared::GiveUp(_, why) => {
            let text = format!("postmaster.pid tells of no engine that could be taken over: {why}");
            actions.push(Action::Say(Level::Warn, Some(id), text));
            back(program);
        }
        Prepared::Go { .. } | Prepared::Locked | Prepared::Nobody => back(program),
    }
}

/// The child could not look.
pub(super) fn broke(program: &mut Program, id: Id, why: &str, now: Time, actions: &mut Vec<Action>) {
    let text = format!("cannot look whether somebody else has started it: {why}");
    actions.push(Action::Say(Level::Warn, Some(id), text));
    if program.pid_file != PidFile::Absent {
        program.pid_file = PidFile::Fresh { look_at: now.saturating_add(LOOK_AGAIN) };
    }
    back(program);
}
