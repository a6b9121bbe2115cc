//! The core of PID 1: it decides, and does nothing else.
//!
//! [`step`] takes the state, the time and one event, and gives the next state and what to do. [`deadline`] says when
//! to call it again although nothing happened. Both are total and deterministic: no clock, no pid, no I/O. Time is
//! the time since PID 1 started, on a clock that cannot jump.
//!
//! *Note* folds the event into facts; *settle* compares what is wanted with what is, and is the only place that
//! starts or stops anything. So a doubled event changes nothing, and a missed one delays nothing beyond the next.
//!
//! A program is in one phase:
//!
//! ```text
//!          ┌────────────────────────── Down ◄──────────────┐
//!          │ wanted, no pause left      ▲                  │ nothing of the run is left
//!          ▼                            │ not yet          │
//!      Preparing ───────────────────────┘              Draining ──► Failed (gave up)
//!          │ the data directory is fit                     ▲
//!          ▼                                               │ its main process has ended
//!      Starting ──► Up ────────────────────────────────────┤
//!          │ ready   │ not wanted                          │
//!          └─────────┴────────────────► Stopping(rung) ────┘
//!
//!      Down, Failed ──► Searching ──► Down (adopt) or back
//!           a pid file that nobody has explained
//! ```
//!
//! * **Down**: nothing of ours runs. Why it is not started is told by facts: the lock, the operator, a shutdown, what
//!   it needs, the pause after a failure.
//! * **Preparing**: a child looks after the data directory (first boot included); nothing serves yet.
//! * **Starting**: the main process lives and is not ready; a recovery of hours is life, not failure.
//! * **Up**: ready. The main process may be somebody else's (adopted).
//! * **Stopping**: asked to end, on some rung of the ladder, or its `prepare` child is.
//! * **Draining**: the main process has ended; nothing starts until nothing of its run is left.
//! * **Failed**: it gave up, or has finished for good.
//! * **Searching**, from Down and Failed and back: a pid file that nobody has explained is there, so a child looks whether
//!   somebody else has started the engine. If so it is adopted, whatever keeps ours down, and then stopped where it is
//!   not wanted.
//!
//! Each process gets a run id that is never used again, so that late news of an old run cannot hurt its successor.

mod backoff;
mod classify;

mod ends;
mod event;
mod explain;
mod ladder;
mod model;
mod needs;
mod note;
mod report;
mod search;
mod settle;
mod spec;
#[cfg(test)]
mod tests;
mod wishes;

pub use backoff::backoff;
pub use classify::{Class, Evidence, classify};
pub use event::{Action, End, Event, Level, Prepared, Wish};
pub use explain::{Condition, Effect, explain};
pub use ladder::{Ladder, Rung, rung, rung_at};
pub use model::{
    Doubt, ExitStatus, Fit, GaveUp, Id, LastExit, Lock, Phase, PidFile, Program, Run, Shutdown, State, Time,
    What, Why,
};
pub use report::{Glance, Report, glance, report};
pub use settle::deadline;
pub use spec::{Kind, OnGiveUp, Policy, Restart, Spec};

/// Decides: folds `event`, which happened at `now`, into `state`, and gives what is to be done.
///
/// The results of the actions come back as further events; a `now` that lies before an earlier one counts as that.
/// After [`Action::Finish`] nothing changes any more.
#[must_use]
pub fn step(mut state: State, now: Time, event: Event) -> (State, Vec<Action>) {
    let mut actions = Vec::new();
    if state.finished {
        return (state, actions);
    }
    state.now = state.now.max(now);
    note::note(&mut state, event, &mut actions);
    settle::settle(&mut state, &mut actions);
    (state, actions)
}
