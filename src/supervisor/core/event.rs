//! What can happen, and what can be done.

use std::fmt;

use super::classify::Class;
use super::ladder::Rung;
#[cfg(doc)]
use super::model::State;
use super::model::{ExitStatus, Id, Lock, Run, What};
use super::spec::Spec;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It was not our child.
    Unknown,
}

impl End {
    /// The exit status that PID 1 ends with when this made a critical program give up: never 0.
    #[must_use]
    pub fn exit_status(self) -> ExitStatus {
        match self {
            End::Code(0) | End::Unknown => 1,
            End::Code(code) => u8::try_from(code).unwrap_or(1),
            End::Signal(signal) => u8::try_from(signal).ok().and_then(|s| s.checked_add(128)).unwrap_or(255),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit status {code}"),
            End::Signal(signal) => write!(f, "signal {signal}"),
            End::Unknown => f.write_str("status unknown"),
        }
    }
}

/// What the `prepare` child found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// The program may start; `unclean`: its data say that the last end was not orderly.
    Go {
        /// See above.
        unclean: bool,
    },
    /// Somebody else's process serves; adopt it.
    Foreign,
    /// The answer to [`Action::Search`]: no process of somebody else's.
    Nobody,
    /// It saw the lock file.
    Locked,
    /// Not yet, for a reason that time mends.
    Wait(String),
    /// Never: PID 1's exit status for it, and why.
    GiveUp(ExitStatus, String),
    /// The child itself failed.
    Broke(String),
}

/// What an operator wants of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To run.
    Up,
    /// To be stopped, and stay down until the next word; by this rung at first, where one is named.
    Down(Option<Rung>),
    /// To be stopped if it runs, and started.
    Restart(Option<Rung>),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing; time has passed.
    Tick,
    /// Several at once: nothing is decided before all of them are known. So programs that are stopped, started or
    /// changed together go down in order and come up in order.
    Together(Vec<Event>),
    /// SIGTERM or SIGINT: end in order; once more: hurry.
    Stop,
    /// SIGQUIT: end at once.
    Quit,
    /// The lock file was looked at.
    Lock(Id, Lock),
    /// A pid file that names a process which is not ours has come or changed (`true`), or is gone.
    PidFile(Id, bool),
    /// An operator's word.
    Operator(Id, Wish),
    /// The configuration of a program has changed; `true`: what runs has to be started again for it.
    Respec(Id, Box<Spec>, bool),
    /// A program has come into the configuration; its [`Id`] is the next one, which [`State::next_id`] tells beforehand.
    Add(Box<Spec>),
    /// A program has left the configuration: it is stopped, and its [`Id`] never used again.
    Remove(Id),
    /// The engine that runs is a standby (`true`), or takes writes.
    Standby(Id, Run, bool),
    /// The main process has failed its `live` checks, and why.
    Unwell(Id, Run, String),
    /// The `prepare` child has begun a first boot.
    Initializing(Id, Run),
    /// The `prepare` child has ended.
    Prepared(Id, Run, Prepared),
    /// A process could not be made (EAGAIN, ENOMEM, a missing executable), and why.
    SpawnFailed(Id, Run, String),
    /// The main process is ready.
    Ready(Id, Run),
    /// The main process has ended, or a `prepare` child without a verdict.
    Ended(Id, Run, End, Class),
    /// So many processes of a run are left after its main process has ended.
    Remains(Id, Run, usize),
    /// A process that nobody of ours has made has ended: it may be the last that was left of a run.
    Orphan,
}

impl Event {
    /// The program that it is about, where it is about one that is known.
    pub(super) fn program(&self) -> Option<Id> {
        match self {
            Event::Tick | Event::Together(_) | Event::Stop | Event::Quit | Event::Add(_) | Event::Orphan => {
                None
            }
            Event::Lock(id, _)
            | Event::PidFile(id, _)
            | Event::Operator(id, _)
            | Event::Respec(id, ..)
            | Event::Remove(id)
            | Event::Standby(id, ..)
            | Event::Unwell(id, ..)
            | Event::Initializing(id, _)
            | Event::Prepared(id, ..)
            | Event::SpawnFailed(id, ..)
            | Event::Ready(id, _)
            | Event::Ended(id, ..)
            | Event::Remains(id, ..) => Some(*id),
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Learn what each start has to know of its executables, while it cannot start yet.
    Learn(Id),
    /// Start the `prepare` child.
    Prepare(Id, Run),
    /// Start a child that looks for somebody else's process and does nothing else: [`Event::Prepared`].
    Search(Id, Run),
    /// Start the main process.
    Start(Id, Run),
    /// Take over somebody else's process.
    Adopt(Id, Run),
    /// Send the signal of this rung to a process (of [`Rung::Kill`]: to its tree).
    Signal(Id, Run, What, Rung),
    /// Count what is left of a run: [`Event::Remains`].
    Look(Id, Run),
    /// End what is left of a run.
    Sweep(Id, Run, Rung),
    /// Log what keeps it from ending.
    Blockers(Id, Run),
    /// Do its upkeep.
    Upkeep(Id),
    /// Tell people.
    Say(Level, Option<Id>, String),
    /// End PID 1.
    Finish(ExitStatus),
}

/// How much people should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Act on it.
    Error,
    /// Look at it.
    Warn,
    /// It happened.
    Info,
}
