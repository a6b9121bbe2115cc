//! What people are told of a program: its state, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use super::classify::Class;
use super::model::{Id, LastExit, Lock, Phase, Program, State, Time};
use super::spec::Kind;

/// One program at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// What kind of program it is.
    pub kind: Kind,
    /// `down`, `initializing`, `starting`, `running`, `stopping`, `backoff` or `failed`.
    pub state: &'static str,
    /// Why it is not running, where there is a reason: `locked`, `shutdown`, `removed`, `stopped`, `completed`, `waiting`,
    /// `unknown` (its lock file has not been looked at), `dependency`.
    pub reason: Option<&'static str>,
    /// How long it has been in its phase.
    pub since: Duration,
    /// How often its main process was started again.
    pub restarts: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Whether it is ready; a one-shot: whether it has completed.
    pub ready: bool,
    /// Whether its main process is somebody else's.
    pub adopted: bool,
    /// Whether the engine that runs is a standby; `None`: not known.
    pub standby: Option<bool>,
    /// Whether its lock file exists.
    pub locked: bool,
    /// How its last main process ended, and when (time since PID 1 started).
    pub last_exit: Option<LastExit>,
    /// How long until it is started again, while it pauses after a failure.
    pub starts_in: Option<Duration>,
    /// Ends of its main process that nobody asked for, by what they mean.
    pub ends: BTreeMap<Class, u64>,
    /// How long its last start took until it was ready; of a one-shot, until it had completed.
    pub start_took: Option<Duration>,
    /// How long its last stop took.
    pub stop_took: Option<Duration>,
}

/// All programs at a glance, in their order; one that has left the configuration and has ended is not among them. The
/// state may have been quiet for long: `now` is the time of the asking.
#[must_use]
pub fn report(state: &State, now: Time) -> Vec<(Id, Report)> {
    let programs = state.programs.iter().enumerate();
    let known = programs.filter(|(_, program)| !program.removed || program.run().is_some());
    known.map(|(place, program)| (Id(place), report_of(state, now, Id(place), program))).collect()
}

/// What of a [`Report`] changes with what happens, at no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// As in [`Report`].
    pub state: &'static str,
    /// As in [`Report`].
    pub reason: Option<&'static str>,
    /// As in [`Report`].
    pub ready: bool,
    /// As in [`Report`].
    pub locked: bool,
}

/// A glance at one program.
#[must_use]
pub fn glance(state: &State, now: Time, id: Id) -> Option<Glance> {
    let program = state.program(id)?;
    Some(Glance {
        state: state_name(state, id, program, now),
        reason: reason(state, id, program),
        ready: is_ready(program),
        locked: program.lock == Lock::Present,
    })
}

fn is_ready(program: &Program) -> bool {
    matches!(program.phase, Phase::Up { .. }) || program.completed
}

fn report_of(state: &State, now: Time, id: Id, program: &Program) -> Report {
    let name = state_name(state, id, program, now);
    Report {
        name: program.spec.name.clone(),
        kind: program.spec.kind,
        state: name,
        reason: reason(state, id, program),
        since: now.saturating_sub(program.since),
        restarts: program.starts.saturating_sub(1),
        failures: program.failures,
        ready: is_ready(program),
        adopted: matches!(
            program.phase,
            Phase::Starting { adopted: true, .. } | Phase::Up { adopted: true, .. }
        ),
        standby: program.standby,
        locked: program.lock == Lock::Present,
        last_exit: program.last_exit,
        starts_in: (name == "backoff").then(|| program.not_before.saturating_sub(now)),
        ends: program.ends.clone(),
        start_took: program.start_took,
        stop_took: program.stop_took,
    }
}

/// The word for its phase.
pub(super) fn state_name(state: &State, id: Id, program: &Program, now: Time) -> &'static str {
    match program.phase {
        Phase::Failed => "failed",
        Phase::Searching { .. } if program.done => "failed",
        // Only where the pause is all that it waits for.
        Phase::Down | Phase::Searching { .. }
            if program.failures > 0 && program.not_before > now && reason(state, id, program).is_none() =>
        {
            "backoff"
        }
        Phase::Down | Phase::Searching { .. } => "down",
        Phase::Preparing { .. } if program.initializing => "initializing",
        Phase::Preparing { .. } | Phase::Starting { .. } => "starting",
        Phase::Up { .. } => "running",
        Phase::Stopping { .. } | Phase::Draining { .. } => "stopping",
    }
}

/// The word for what holds it down.
pub(super) fn reason(state: &State, id: Id, program: &Program) -> Option<&'static str> {
    let held = if program.removed {
        Some("removed")
    } else if program.lock == Lock::Present {
        Some("locked")
    } else if state.shutdown.is_some() {
        Some("shutdown")
    } else if !program.operator_up {
        Some("stopped")
    } else if program.completed {
        Some("completed")
    } else {
        None
    };
    let down = matches!(program.phase, Phase::Down | Phase::Searching { .. }) && held.is_none();
    match program.phase {
        Phase::Preparing { .. } | Phase::Starting { .. } | Phase::Up { .. } | Phase::Failed => None,
        Phase::Searching { .. } if program.done => None,
        _ if down && program.waiting.is_some() => Some("waiting"),
        _ if down && program.lock == Lock::Unknown => Some("unknown"),
        _ if down && state.links.unmet(id).next().is_some() => Some("dependency"),
        _ => held,
    }
}
