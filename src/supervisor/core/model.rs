//! The words of the core: what a program is, what can happen, what can be done.

use std::fmt;
use std::time::Duration;

use super::classify::Class;
use super::ladder::Rung;
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
}

impl State {
    /// Nothing runs yet; the lock files have not been looked at.
    #[must_use]
    pub fn new(specs: Vec<Spec>, stop_timeout: Duration) -> Self {
        State {
            programs: specs.into_iter().map(Program::new).collect(),
            stop_timeout,
            shutdown: None,
            finished: false,
            now: Time::ZERO,
            last_run: 0,
        }
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
    /// How often its main process was started.
    pub starts: u64,
    /// How its last main process ended.
    pub last_end: Option<End>,
    /// What the next `prepare` child has to tell of that end.
    pub doubt: Option<Doubt>,
    /// What is known of a pid file that is not ours.
    pub pid_file: PidFile,
}

impl Program {
    fn new(spec: Spec) -> Self {
        Program {
            spec,
            phase: Phase::Down,
            since: Time::ZERO,
            lock: Lock::Unknown,
            operator_up: true,
            failures: 0,
            not_before: Time::ZERO,
            waiting: None,
            fit: None,
            suspect: false,
            done: false,
            initializing: false,
            starts: 0,
            last_end: None,
            doubt: None,
            pid_file: PidFile::Absent,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Time) {
        self.phase = phase;
        self.since = now;
        self.initializing = false;
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
    },
    /// It gave up, or has finished.
    Failed,
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
    Respec(Id, Spec, bool),
    /// A program has come into the configuration; its [`Id`] is the next one.
    Add(Spec),
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
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
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
