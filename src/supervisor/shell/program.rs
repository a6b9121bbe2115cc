//! What the shell holds for one program beside the core's state.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use super::capture::Capture;
use super::errand::Reports;
use super::findings::Findings;
use super::follow::Follower;
use super::news::News;
use super::output::Outlet;
use super::watch::Target;
use crate::config;
use crate::engine::record::Lived;
use crate::supervisor::core::{Id, Run, What};
use crate::supervisor::prepare::protocol::{Errand as Job, Failure, Memo, Order, Start, User, Verdict};

/// What a process of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A program's main process, or the `prepare` child before it.
    Of(Id, Run, What),
    /// The child that follows an engine's log files.
    Follower(Id),
    /// A child that does a small job and whose end means nothing.
    Helper,
    /// A check of a program; who asked for it waits for its end.
    Check(Id),
}

/// One program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) config: config::Program,
    /// Who it runs as.
    pub(crate) user: User,
    /// Whether PID 1 must become that user for it.
    pub(crate) drops: bool,
    /// It has left the configuration.
    pub(crate) removed: bool,
    options: Vec<String>,
    run_dir: Rc<Path>,
    /// The descriptor of the data directory on which the lock of the one keeper is held.
    pub(crate) keeper: Option<OwnedFd>,
    /// How to start the main process, from the last `prepare` child.
    pub(crate) start: Option<Box<Start>>,
    pub(crate) memo: Option<Memo>,
    /// The `prepare` child that runs.
    pub(crate) errand: Option<Box<Errand>>,
    /// The main process that runs.
    pub(crate) main: Option<Main>,
    /// The main process, or `prepare` child, that ran last.
    pub(crate) ended: Option<Ended>,
    /// Somebody else's postmaster that the last `prepare` child found.
    pub(crate) foreign: Option<(i32, u64)>,
    /// The postmaster that ended last.
    pub(crate) lived: Option<Lived>,
    /// The pid file named another postmaster while ours served.
    pub(crate) usurped: bool,
    /// How it failed last.
    pub(crate) last_failure: Option<Failure>,
    /// Why it is not well, as it was found last.
    pub(crate) findings: Findings,
    /// What the last `prepare` children found.
    pub(crate) notes: Vec<Note>,
    /// The child that follows its log files.
    pub(crate) follower: Option<Follower>,
    /// What it writes.
    pub(crate) outlet: Outlet,
}

/// Something that a `prepare` child found.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) warning: bool,
    pub(crate) about: String,
    pub(crate) text: String,
}

/// A `prepare` child that runs.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) run: Run,
    pub(crate) pid: i32,
    pub(crate) reports: Reports,
    pub(crate) verdict: Option<Verdict>,
}

/// A main process that runs.
#[derive(Debug)]
pub(crate) struct Main {
    pub(crate) run: Run,
    pub(crate) pid: i32,
    /// When it was started, in seconds since 1970; 0: it was found running.
    pub(crate) from: i64,
    /// Its output; an adopted one has none that we see.
    pub(crate) capture: Option<Capture>,
    /// For an adopted one: the descriptor that is surely about it.
    pub(crate) pidfd: Option<Rc<OwnedFd>>,
    /// The cgroup's count of kills for memory when it started.
    pub(crate) memory_kills: Option<u64>,
    /// What waits for it to be ready; ends with it.
    pub(crate) ready: Option<Task>,
    /// What looks whether it still answers; ends with it.
    pub(crate) live: Option<Task>,
    /// Where it was late to run its program: what it tells of that, and who waits for it.
    pub(crate) late: Option<(Rc<News>, Task)>,
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Task(pub(crate) tokio::task::AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A process that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) run: Run,
    pub(crate) pid: i32,
    pub(crate) at_ticks: u64,
}

impl Program {
    pub(crate) fn new(
        config: config::Program,
        (user, drops): (User, bool),
        options: Vec<String>,
        run_dir: Rc<Path>,
    ) -> Self {
        Program {
            config,
            user,
            drops,
            removed: false,
            options,
            run_dir,
            keeper: None,
            start: None,
            memo: None,
            errand: None,
            main: None,
            ended: None,
            foreign: None,
            lived: None,
            usurped: false,
            last_failure: None,
            findings: Findings::default(),
            notes: Vec::new(),
            follower: None,
            outlet: Outlet::default(),
        }
    }

    /// A `prepare` child begins: what it looks at again is forgotten.
    pub(crate) fn forget_notes(&mut self) {
        // Looked at by the first one alone.
        const KEPT: [&str; 2] = ["preflight", "sockets"];
        let first = self.start.is_none();
        self.notes.retain(|note| !first && KEPT.contains(&note.about.as_str()));
    }

    /// Something that a `prepare` child found.
    pub(crate) fn remember(&mut self, note: Note) {
        const NOTES: usize = 20;
        if self.notes.len() < NOTES {
            self.notes.push(note);
        }
    }

    /// A variable by which what descends from a run of a command is known, wherever it has gone.
    pub(crate) fn mark(&self, run: Run) -> String {
        format!("SUPERVISED_RUN={}/{}", self.config.name, run.0)
    }

    /// The engine's own configuration.
    pub(crate) fn engine(&self) -> Option<&config::Postgres> {
        self.config.kind.engine()
    }

    /// What the `prepare` child is told; `suspect`: somebody else may be about to start the engine.
    pub(crate) fn order(&self, errand: Job, suspect: bool) -> Option<Order> {
        Some(Order {
            errand,
            program: self.config.name.clone(),
            engine: self.engine()?.clone(),
            options: self.options.clone(),
            user: self.user.clone(),
            environment: self.environment(),
            run_dir: self.run_dir.to_path_buf(),
            keeper: self.keeper.is_some(),
            memo: self.memo.clone(),
            first: self.start.is_none(),
            room_for_pg_ctl: suspect.then_some(self.config.restart.clean_exit_delay),
            init: std::process::id() == 1,
            cleared: self.start.as_ref().and_then(|start| start.stale_pid_file),
            lived: self.lived,
            usurped: self.usurped,
            last_failure: self.last_failure.clone(),
        })
    }

    /// The program's environment: a short list of ours, its user, an engine's data directory, and what is configured.
    ///
    /// Short, because ours holds the passwords of first boot, and an engine's environment is inherited by all its
    /// backends and the commands that they run.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        const INHERITED: [&str; 5] = ["LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "TZ"];
        let mut variables: std::collections::BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| INHERITED.contains(&name.as_str()) || name.starts_with("LC_"))
            .collect();
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        variables.entry("PATH".into()).or_insert_with(|| path.into());
        variables.insert("HOME".into(), self.user.home.clone());
        variables.insert("SHELL".into(), "/bin/sh".into());
        if let Some(engine) = self.engine() {
            variables.insert("PGDATA".into(), engine.data_dir.display().to_string());
        }
        if let Some(name) = &self.user.name {
            variables.insert("USER".into(), name.clone());
            variables.insert("LOGNAME".into(), name.clone());
        }
        variables.extend(self.config.process.environment.clone());
        variables.into_iter().collect()
    }
}

/// Whose group may use the control socket: the first engine's.
pub(crate) fn socket_user(programs: &[Program]) -> Option<User> {
    let engine = programs.iter().find(|program| !program.removed && program.engine().is_some());
    engine.map(|program| program.user.clone())
}

/// What the watch thread must look at.
pub(crate) fn targets(programs: &[Program]) -> Vec<Target> {
    programs
        .iter()
        .enumerate()
        .filter(|(_, program)| !program.removed)
        .filter_map(|(place, program)| {
            let engine = program.engine()?;
            Some(Target {
                id: Id(place),
                lock_file: engine.lock_file.clone(),
                lock_poll: engine.lock_poll,
                data_dir: engine.data_dir.clone(),
                user: (program.user.uid, program.user.gid),
            })
        })
        .collect()
}
