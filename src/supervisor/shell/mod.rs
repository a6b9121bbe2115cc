//! The shell around the core: one thread, one wait. It turns signals, exits, reports and timers into events, and the
//! core's actions into system calls. What fails here becomes an event or a log line, and never ends PID 1.

mod act;
mod alarm;
mod capture;
mod check;
mod child;
mod command;
mod control;
mod core_dump;
pub(in crate::supervisor) mod errand;
pub(crate) mod exec;
mod eyes;
mod findings;
mod follow;
mod history;
mod input;
mod kill;
mod lines;
mod logger;
mod memory;
mod news;
mod notify;
mod output;
mod probe;
pub(in crate::supervisor) mod program;
mod reload;
mod report;
mod reserve;
mod signals;
pub(in crate::supervisor) mod spawn;
pub(crate) mod stdio;
mod tree;
pub(in crate::supervisor) mod users;
mod watch;
mod writer;

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, isatty};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::alarm::Alarm;
use self::command::Starting;
use self::control::Control;
use self::history::Moment;
use self::input::Input;
use self::probe::Running;
use self::program::{Program, Role};
use self::signals::Signals;
use self::stdio::{Stream, complain};
use self::watch::Watch;
use self::writer::Writer;
use super::core::{self, End, Event, Id, State};
use super::prepare::protocol::User;
use super::procfs::Stat;
use super::spec::specs;
use crate::config::{self, Config};

/// The exit status of a wrong command line, a bad configuration, or data that cannot be served.
const EX_CONFIG: u8 = 78;
/// The exit status when the machine lets PID 1 not even begin.
const CANNOT_BEGIN: u8 = 1;

/// How soon the watch thread is tried again when it could not be made.
const WATCH_AGAIN: Duration = Duration::from_secs(1);
/// What PID 1 heeds.
const SIGNALS: [i32; 7] =
    [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// Runs the programs of the configuration until told to stop or until a critical one gives up; PID 1's exit status.
#[must_use]
pub fn run(config_file: Option<PathBuf>, options: Vec<String>) -> u8 {
    // Signals come first: whatever takes time below must not swallow one.
    let signals = match Signals::listen(&SIGNALS) {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("polar-supervisor: cannot listen to signals: {error}"));
            return CANNOT_BEGIN;
        }
    };
    core_dump::forbid();
    reserve::take();
    let config = match load(config_file.as_deref()) {
        Ok(config) => config,
        Err(mistakes) => {
            complain(&mistakes.to_string());
            return EX_CONFIG;
        }
    };
    logger::start(config.supervisor.log_level, config.supervisor.log_format, Stream::stderr());
    logger::tell_before_a_panic();
    let users = match resolve_users(&config) {
        Ok(users) => users,
        Err(cause) => {
            log::error!(target: logger::SELF, "{cause}");
            return EX_CONFIG;
        }
    };
    if std::process::id() != 1 {
        // Orphans of our programs must come to us, not to the machine's own init.
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            log::warn!(target: logger::SELF, "cannot become the reaper of orphans: {error}");
        }
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log::error!(target: logger::SELF, "cannot begin: {error}");
            return CANNOT_BEGIN;
        }
    };
    // PID 1 ends when this returns, and the kernel takes all back at once: to close hundreds of descriptors one by one
    // would only hold up the end of the container.
    let runtime = ManuallyDrop::new(runtime);
    let local = ManuallyDrop::new(tokio::task::LocalSet::new());
    local.block_on(
        &runtime,
        async move { Shell::new(config, config_file, options, users, signals).live().await },
    )
}

fn load(file: Option<&std::path::Path>) -> Result<Config, config::Mistakes> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    config::load(file.map_or(config::Source::Default, config::Source::File), &environment)
}

/// The user of each program, and whether PID 1 must become that user.
fn resolve_users(config: &Config) -> Result<Vec<(User, bool)>, String> {
    let accounts = users::Accounts::read();
    let of = |program: &config::Program| {
        accounts.of(program).map_err(|error| format!("program {}: {error}", program.name))
    };
    config.programs.iter().map(of).collect()
}

struct Shell {
    state: State,
    events: VecDeque<Event>,
    begun: Instant,
    programs: Vec<Program>,
    processes: BTreeMap<i32, Role>,
    /// Commands that are on their way to their programs; none is between two steps of the core.
    starting: VecDeque<Starting>,
    /// Checks that run, by the pids of their processes.
    checks: BTreeMap<i32, Running>,
    /// Our children that nobody of ours has made, as far as this turn has asked for them.
    orphans: OnceCell<Vec<i32>>,
    /// All that lives in our namespace, as far as this turn has asked for it.
    living: OnceCell<Vec<Stat>>,
    /// The cgroup's count of kills for memory, as far as this turn has asked for it.
    memory_kills: OnceCell<Option<u64>>,
    supervisor: config::Supervisor,
    /// Further arguments of engines.
    options: Vec<String>,
    config_file: Option<PathBuf>,
    signals: Signals,
    stdout: Stream,
    writer: Writer,
    /// `None` where there is no engine, and while its thread cannot be made: no lock file is looked at, so no engine starts.
    watch: Option<Watch>,
    /// When the thread was tried last.
    watch_tried: Instant,
    /// Whether people know that signals to the engine go by way of its user.
    told_of_kill: bool,
    inbox: UnboundedReceiver<Input>,
    tell: UnboundedSender<Input>,
    status: Option<u8>,
    control: Control,
    /// Whether anything can have changed since the history looked last.
    moved: bool,
    begun_at: Moment,
    orphans_reaped: u64,
}

impl Shell {
    fn new(
        config: Config,
        config_file: Option<PathBuf>,
        options: Vec<String>,
        users: Vec<(User, bool)>,
        signals: Signals,
    ) -> Self {
        let state = State::new(specs(&config.programs), config.supervisor.stop_timeout);
        let names: Vec<&str> = config.programs.iter().map(|program| program.name.as_str()).collect();
        let begin = format!(
            "version {}, process {}, programs: {}",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            if names.is_empty() { "none".into() } else { names.join(", ") }
        );
        log::info!(target: logger::SELF, "{begin}");
        let supervisor = config.supervisor;
        let run_dir: std::rc::Rc<std::path::Path> = supervisor.run_dir.as_path().into();
        let programs: Vec<Program> = config
            .programs
            .into_iter()
            .zip(users)
            .map(|(config, user)| Program::new(config, user, options.clone(), run_dir.clone()))
            .collect();
        let (tell, inbox) = unbounded_channel();
        let begun = Instant::now();
        let user = program::socket_user(&programs);
        let control = Control::start(supervisor.run_dir.clone(), user, tell.clone());
        control.keep_journal(tell.clone());
        let mut shell = Shell {
            state,
            // The first look: what has no lock file waits for no news.
            events: VecDeque::from([Event::Tick]),
            begun,
            programs,
            processes: BTreeMap::new(),
            starting: VecDeque::new(),
            checks: BTreeMap::new(),
            orphans: OnceCell::new(),
            living: OnceCell::new(),
            memory_kills: OnceCell::new(),
            supervisor,
            options,
            config_file,
            signals,
            stdout: Stream::stdout(),
            writer: Writer::new(tell.clone()),
            watch: None,
            watch_tried: begun,
            told_of_kill: false,
            inbox,
            tell,
            status: None,
            control,
            moved: false,
            begun_at: Moment::at(Duration::ZERO),
            orphans_reaped: 0,
        };
        shell.remember(begin);
        shell.observe();
        shell.start_watch();
        shell
    }

    /// When the watch thread is to be tried again, if it is missed.
    fn watch_due(&self) -> Option<Instant> {
        let engine = |program: &Program| !program.removed && program.engine().is_some();
        let missed = self.watch.is_none() && self.programs.iter().any(engine);
        missed.then(|| self.watch_tried + WATCH_AGAIN)
    }

    /// Tells the watch thread what to look at; without an engine there is none.
    fn start_watch(&mut self) {
        let targets = program::targets(&self.programs);
        if let Some(watch) = &self.watch {
            return watch.targets(targets);
        }
        if targets.is_empty() {
            return;
        }
        self.watch_tried = Instant::now();
        match Watch::start(targets, self.tell.clone()) {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => log::error!(
                target: logger::SELF,
                "nothing is started, for no thread can be made to look at the lock files: {}; tried again each second",
                spawn::in_words(&error)
            ),
        }
    }

    /// One turn after the other, until the core says that it is the end.
    async fn live(mut self) -> u8 {
        let bell = match self.signals.bell().and_then(UnixStream::from_std) {
            Ok(bell) => bell,
            Err(error) => {
                log::error!(target: logger::SELF, "cannot wait for signals: {error}");
                return CANNOT_BEGIN;
            }
        };
        let alarm = Alarm::new();
        loop {
            self.settle();
            if std::mem::take(&mut self.moved) {
                self.observe();
            }
            if let Some(status) = self.status {
                self.remember(format!("ended with status {status}"));
                self.write_journal();
                self.last_words(status);
                self.writer.finish();
                std::mem::forget(self);
                return status;
            }
            let due = core::deadline(&self.state);
            let input = self.wait(&bell, &alarm).await;
            self.moved |= due.is_some_and(|due| self.now() >= due);
            if self.watch_due().is_some_and(|due| due <= Instant::now()) {
                self.start_watch();
            }
            // Signals before all else; the files of the watch thread before what the processes tell.
            self.take_signals();
            let mut next = input;
            while let Some(input) = next {
                self.take_input(input);
                next = self.inbox.try_recv().ok();
            }
            self.answer_some();
            self.events.push_back(Event::Tick);
        }
    }

    /// The last line of all is ours: the cause where a program gave up, else the status.
    fn last_words(&mut self, status: u8) {
        let followed = self.finish_followers();
        match self.state.shutdown.as_ref().and_then(|shutdown| shutdown.gave_up.as_ref()) {
            Some(gave_up) if followed => log::error!(target: self.name(gave_up.id), "{}", gave_up.text),
            Some(_) => {}
            None => log::info!(target: logger::SELF, "ending with status {status}"),
        }
    }

    async fn wait(&mut self, bell: &UnixStream, alarm: &Alarm) -> Option<Input> {
        let timer = core::deadline(&self.state);
        let timer = timer.and_then(|at| self.begun.checked_add(at));
        let timer = timer.into_iter().chain(self.watch_due()).min();
        tokio::select! {
            biased;
            _ = bell.readable() => {
                let _ = bell.try_io(Interest::READABLE, || Err::<(), _>(std::io::ErrorKind::WouldBlock.into()));
                None
            }
            input = self.inbox.recv() => input,
            () = tokio::task::yield_now(), if self.control.is_asked() => None,
            () = alarm.until(timer) => None,
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Gives all events to the core, and does what it says, until it is quiet.
    fn settle(&mut self) {
        self.orphans.take();
        self.living.take();
        self.memory_kills.take();
        logger::hold();
        while let Some(event) = self.events.pop_front() {
            let state = std::mem::replace(&mut self.state, State::new(Vec::new(), Duration::ZERO));
            // What these bring about are actions.
            self.moved |= !matches!(event, Event::Tick | Event::Orphan);
            let (state, actions) = core::step(state, self.now(), event);
            self.state = state;
            self.moved |= !actions.is_empty();
            for action in actions {
                self.act(action);
            }
            self.finish_starts();
        }
        self.let_go_of_removed();
        logger::release();
    }

    /// Whether PID 1 is on its way to its end, or has been told to.
    fn is_ending(&self) -> bool {
        let told = |event: &Event| matches!(event, Event::Stop | Event::Quit);
        self.state.shutdown.is_some() || self.events.iter().any(told)
    }

    fn take_signals(&mut self) {
        for signal in self.signals.take() {
            match signal {
                libc::SIGCHLD => self.reap(),
                libc::SIGTERM | libc::SIGINT => self.events.push_back(Event::Stop),
                libc::SIGQUIT => self.events.push_back(Event::Quit),
                libc::SIGHUP if std::process::id() != 1 && isatty(std::io::stdin()).unwrap_or(false) => {
                    self.events.push_back(Event::Stop);
                }
                libc::SIGHUP if self.is_ending() => log::warn!(target: logger::SELF, "ending: not reloaded"),
                libc::SIGHUP => _ = self.reload_for("by SIGHUP"),
                libc::SIGUSR1 => self.report(),
                libc::SIGUSR2 => self.reopen_files(),
                _ => {}
            }
        }
    }

    /// Reaps everything there is: the one place that waits for processes.
    fn reap(&mut self) {
        let orphans = self.orphans_reaped;
        self.reap_all();
        if self.orphans_reaped > orphans {
            self.events.push_back(Event::Orphan);
        }
    }

    fn reap_all(&mut self) {
        loop {
            let (pid, end) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, End::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, End::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return,
                Ok(_) | Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => {
                    log::error!(target: logger::SELF, "cannot wait for children: {error}");
                    return;
                }
            };
            self.process_ended(pid.as_raw(), end);
        }
    }

    fn name(&self, id: Id) -> &str {
        self.programs.get(id.0).map_or(logger::SELF, |program| program.config.name.as_str())
    }
}
