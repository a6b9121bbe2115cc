//! What people are told of a program: its state, and why.

use super::model::{Id, Lock, Phase, Program, State, Time};

/// One program at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// `down`, `initializing`, `starting`, `running`, `stopping`, `backoff` or `failed`.
    pub state: &'static str,
    /// Why it is not running, where there is a reason.
    pub reason: Option<&'static str>,
    /// How long it has been in its phase.
    pub since: Time,
    /// How often its main process was started again.
    pub restarts: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Whether its main process is somebody else's.
    pub adopted: bool,
}

/// All programs at a glance, in their order. The state may have been quiet for long: `now` is the time of the asking.
#[must_use]
pub fn report(state: &State, now: Time) -> Vec<(Id, Report)> {
    state
        .programs
        .iter()
        .enumerate()
        .map(|(place, program)| {
            let (name, reason) = (state_name(state, program), reason(state, program));
            let report = Report {
                name: program.spec.name.clone(),
                state: name,
                reason,
                since: now.saturating_sub(program.since),
                restarts: program.starts.saturating_sub(1),
                failures: program.failures,
                adopted: matches!(
                    program.phase,
                    Phase::Starting { adopted: true, .. } | Phase::Up { adopted: true, .. }
                ),
            };
            (Id(place), report)
        })
        .collect()
}

fn state_name(state: &State, program: &Program) -> &'static str {
    match program.phase {
        Phase::Failed => "failed",
        Phase::Searching { .. } if program.done => "failed",
        Phase::Down | Phase::Searching { .. } if program.failures > 0 && program.not_before > state.now => {
            "backoff"
        }
        Phase::Down | Phase::Searching { .. } => "down",
        Phase::Preparing { .. } if program.initializing => "initializing",
        Phase::Preparing { .. } | Phase::Starting { .. } => "starting",
        Phase::Up { .. } => "running",
        Phase::Stopping { .. } | Phase::Draining { .. } => "stopping",
    }
}

fn reason(state: &State, program: &Program) -> Option<&'static str> {
    let held = if program.lock == Lock::Present {
        Some("locked")
    } else if state.shutdown.is_some() {
        Some("shutdown")
    } else if !program.operator_up {
        Some("stopped")
    } else {
        None
    };
    let down = matches!(program.phase, Phase::Down | Phase::Searching { .. }) && held.is_none();
    match program.phase {
        Phase::Preparing { .. } | Phase::Starting { .. } | Phase::Up { .. } | Phase::Failed => None,
        Phase::Searching { .. } if program.done => None,
        _ if down && program.waiting.is_some() => Some("waiting"),
        _ if down && program.lock == Lock::Unknown => Some("unknown"),
        _ if down && !needs_up(state, program) => Some("dependency"),
        _ => held,
    }
}

fn needs_up(state: &State, program: &Program) -> bool {
    let up = |id: &Id| state.program(*id).is_some_and(|needed| matches!(needed.phase, Phase::Up { .. }));
    program.spec.after.iter().all(up)
}
