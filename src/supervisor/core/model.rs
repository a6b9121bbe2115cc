//! The words of the core: what a program is, and what is known of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::classify::Class;
use super::event::End;
use super::ladder::Rung;
use super::needs::{self, Links};
use super::spec::Spec;

/// Time since PID 1 started.
pub type Time = Duration;

/// A program, by its place in [`State::programs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub usize);

/// One process that was started for a program; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run(pub u64);

/// All that the core knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The programs, by [`Id`].
    pub programs: Vec<Program>,
    /// How long a shutdown of all may take.
    pub stop_timeout: Duration,
    /// The shutdown, once there is one.
    pub shutdown: Option<Shutdown>,
    /// Whether [`Action::Finish`] has been given.
    pub finished: bool,
    /// The latest time seen.
    pub now: Time,
    pub(super) last_run: u64,
    pub(super) links: Links,
}

impl State {
    /// Nothing runs yet; the lock files have not been looked at.
    #[must_use]
    pub fn new(specs: Vec<Spec>, stop_timeout: Duration) -> Self {
        let mut state = State {
            programs: specs.into_iter().map(|spec| Program::new(spec, Time::ZERO)).collect(),
            stop_timeout,
            shutdown: None,
            finished: false,
            now: Time::ZERO,
            last_run: 0,
            links: Links::default(),
        };
        needs::link(&mut state);
        state
    }

    /// The id that the next [`super::Event::Add`] gives.
    #[must_use]
    pub fn next_id(&self) -> Id {
        Id(self.programs.len())
    }

    /// The program with this id.
    #[must_use]
    pub fn program(&self, id: Id) -> Option<&Program> {
        self.programs.get(id.0)
    }

    pub(super) fn next_run(&mut self) -> Run {
        self.last_run += 1;
        Run(self.last_run)
    }
}

/// PID 1 is on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    /// Since when.
    pub since: Time,
    /// The program that gave up and so began it, if one did.
    pub gave_up: Option<GaveUp>,
    /// How often people have asked for it.
    pub asks: u32,
    /// The rung that every program starts at, at the least.
    pub floor: Rung,
    /// Whether something had to be forced, or crashed before its turn came.
    pub forced: bool,
}

/// A program that gave up, and so ends PID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaveUp {
    /// The program.
    pub id: Id,
    /// PID 1's exit status.
    pub status: ExitStatus,
    /// What people are told: the cause, and the status.
    pub text: String,
    /// Whether that is the last that they were told.
    pub last: bool,
}

/// PID 1's exit status.
pub type ExitStatus = u8;

/// What is known of the lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Not looked at yet: nothing starts, nothing stops.
    Unknown,
    /// It does not exist.
    Absent,
    /// It exists.
    Present,
}

/// One program: its phase, and the facts that outlive phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its configuration.
    pub spec: Spec,
    /// Where it is.
    pub phase: Phase,
    /// When it came there.
    pub since: Time,
    /// The lock file.
    pub lock: Lock,
    /// Whether an operator wants it up.
    pub operator_up: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Not to be started before.
    pub not_before: Time,
    /// Why it waits although nothing holds it, in words.
    pub waiting: Option<String>,
    /// What its `prepare` child has just cleared the way for.
    pub fit: Option<Fit>,
    /// Its main process has ended by itself, as after somebody else's `pg_ctl restart`, and nobody has looked since
    /// whether another one runs.
    pub suspect: bool,
    /// Whether it gave up or has finished for good.
    pub done: bool,
    /// A first boot is under way.
    pub initializing: bool,
    /// What a start has to know of its executables has been learnt, or is being learnt.
    pub learnt: bool,
    /// How often its main process was started.
    pub starts: u64,
    /// How its last main process ended.
    pub last_exit: Option<LastExit>,
    /// Ends of its main process that nobody asked for, by what they mean.
    pub ends: BTreeMap<Class, u64>,
    /// How long its last start took until it was ready.
    pub start_took: Option<Duration>,
    /// How long its last stop took.
    pub stop_took: Option<Duration>,
    /// Whether the engine that runs is a standby; `None`: not known.
    pub standby: Option<bool>,
    /// A one-shot has ended as it is to.
    pub completed: bool,
    /// What runs is to be stopped, and started again.
    pub bounce: bool,
    /// What has failed of it although it lives.
    pub fault: Option<Class>,
    /// The rung that its next stop begins with, where an operator has named one.
    pub rung: Option<Rung>,
    /// It has left the configuration: nothing starts, and once nothing of it runs it is not spoken of.
    pub removed: bool,
    /// What it requires since a reload and what has not been up since: not before that is it bound to it.
    pub unbound: Vec<Id>,
    /// One of the same name that has left the configuration and may still run: this one starts after it.
    pub heir_of: Option<Id>,
    /// What the next `prepare` child has to tell of that end.
    pub doubt: Option<Doubt>,
    /// What is known of a pid file that is not ours.
    pub pid_file: PidFile,
}

impl Program {
    pub(super) fn new(spec: Spec, now: Time) -> Self {
        Program {
            // Where there is no lock file nobody looks at one.
            lock: if spec.lock_file.is_some() { Lock::Unknown } else { Lock::Absent },
            spec,
            phase: Phase::Down,
            since: now,
            operator_up: true,
            failures: 0,
            not_before: Time::ZERO,
            waiting: None,
            fit: None,
            suspect: false,
            done: false,
            initializing: false,
            learnt: false,
            starts: 0,
            last_exit: None,
            ends: BTreeMap::new(),
            start_took: None,
            stop_took: None,
            standby: None,
            completed: false,
            bounce: false,
            fault: None,
            rung: None,
            removed: false,
            unbound: Vec::new(),
            heir_of: None,
            doubt: None,
            pid_file: PidFile::Absent,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Time) {
        self.phase = phase;
        self.since = now;
        self.initializing = false;
        if !matches!(self.phase, Phase::Up { .. }) {
            // What was to happen to the process before this has happened, or has lost its object.
            (self.bounce, self.fault, self.rung) = (false, None, None);
        }
    }

    /// A long time ready clears the failures.
    pub(super) fn forgive(&mut self, now: Time) {
        let ready = matches!(self.phase, Phase::Up { .. });
        if ready && now >= self.since.saturating_add(self.spec.restart.reset_after) {
            self.failures = 0;
        }
    }

    /// The process that this phase is about.
    #[must_use]
    pub fn run(&self) -> Option<Run> {
        match self.phase {
            Phase::Down | Phase::Failed => None,
            Phase::Preparing { run }
            | Phase::Searching { run, .. }
            | Phase::Starting { run, .. }
            | Phase::Up { run, .. }
            | Phase::Stopping { run, .. }
            | Phase::Draining { run, .. } => Some(run),
        }
    }
}

/// How a main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastExit {
    /// Its status.
    pub end: End,
    /// What that means; [`Class::Asked`] where it was asked to end.
    pub class: Class,
    /// When.
    pub at: Time,
}

/// Where a program is; the module's text draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of it runs.
    Down,
    /// Its `prepare` child runs.
    Preparing {
        /// The child.
        run: Run,
    },
    /// A child looks whether somebody else has started it.
    Searching {
        /// The child.
        run: Run,
        /// Since when; [`Program::since`] tells of the phase before, which it is on its way back to.
        began: Time,
    },
    /// Its main process lives and is not ready.
    Starting {
        /// The main process.
        run: Run,
        /// Somebody else started it.
        adopted: bool,
    },
    /// It is ready.
    Up {
        /// The main process.
        run: Run,
        /// Somebody else started it.
        adopted: bool,
        /// When its upkeep is due.
        upkeep_at: Option<Time>,
    },
    /// It has been asked to end.
    Stopping {
        /// The process.
        run: Run,
        /// What it is.
        what: What,
        /// Why.
        why: Why,
        /// The rung that it began with.
        first: Rung,
        /// Since when.
        asked: Time,
        /// The rung that it stands on at the least.
        floor: Rung,
        /// The rung whose signal has been sent.
        sent: Rung,
        /// Time, and nobody's word, has made the rung harder than an orderly one.
        forced: bool,
        /// Whether what blocks it has been asked for.
        told: bool,
    },
    /// Its main process has ended.
    Draining {
        /// The run that ended.
        run: Run,
        /// When to look for what is left of it.
        look_at: Time,
        /// How many looks found something.
        looks: u32,
        /// The hardest signal that what is left has got.
        sent: Option<Rung>,
        /// The look that is due was brought about by an orphan's end: nobody is asked once more to end for it.
        prompted: bool,
    },
    /// It gave up, or has finished.
    Failed,
}

/// Why a process is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody or something wants it down, or started afresh.
    Asked,
    /// It has failed, of this class, although it lives: its end counts as a failure.
    Failed(Class),
}

/// What a `prepare` child has cleared the way for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// To start the main process.
    Start,
    /// To adopt somebody else's.
    Adopt,
}

/// What is not known of an end that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Its status: its data will tell whether it was a crash.
    Crash,
    /// Whether another server really was in the way of its start: if one is there, this was no failure.
    Rival(End),
}

/// What is known of a pid file that names a process which is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidFile {
    /// There is none.
    Absent,
    /// There is one; a child has to look whether the engine that it names lives.
    Fresh {
        /// Not before.
        look_at: Time,
    },
    /// There is one, and a child has looked, or looks.
    Searched,
}

/// What a process is to its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Its `prepare` child.
    Prepare,
    /// The child that looks for somebody else's process.
    Search,
    /// Its main process.
    Main,
}
