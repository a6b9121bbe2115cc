//! What the shell holds for one program beside the core's state.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::capture::Capture;
use super::errand::Reports;
use super::watch::Target;
use crate::config;
use crate::engine::record::Lived;
use crate::supervisor::core::{Id, Run, What};
use crate::supervisor::prepare::protocol::{Errand as Job, Memo, Order, Start, User, Verdict};

/// What a process of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A program's main process, or the `prepare` child before it.
    Of(Id, Run, What),
    /// A child that does a small job and whose end means nothing.
    Helper,
}

/// One program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) config: config::Program,
    pub(crate) user: User,
    options: Vec<String>,
    run_dir: PathBuf,
    /// The descriptor of the data directory on which the lock of the one keeper is held.
    pub(crate) keeper: Option<OwnedFd>,
    /// How to start the main process, from the last `prepare` child.
    pub(crate) start: Option<Start>,
    pub(crate) memo: Option<Memo>,
    /// The `prepare` child that runs.
    pub(crate) errand: Option<Errand>,
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
    pub(crate) last_failure: Option<String>,
    /// What the last `prepare` children found.
    pub(crate) notes: Vec<Note>,
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
    pub(crate) pidfd: Option<std::rc::Rc<OwnedFd>>,
    /// The cgroup's count of kills for memory when it started.
    pub(crate) memory_kills: Option<u64>,
}

/// A process that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) run: Run,
    pub(crate) pid: i32,
    pub(crate) at_ticks: u64,
}

impl Program {
    pub(crate) fn new(config: config::Program, user: User, options: Vec<String>, run_dir: PathBuf) -> Self {
        Program {
            config,
            user,
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
            notes: Vec::new(),
        }
    }

    /// A `prepare` child begins: what it looks at again is forgotten.
    pub(crate) fn forget_notes(&mut self) {
        // Looked at by the first one alone.
        const KEPT: [&str; 2] = ["preflight", "sockets"];
        let first = self.memo.is_none();
        self.notes.retain(|note| !first && KEPT.contains(&note.about.as_str()));
    }

    /// Something that a `prepare` child found.
    pub(crate) fn remember(&mut self, note: Note) {
        const NOTES: usize = 20;
        if self.notes.len() < NOTES {
            self.notes.push(note);
        }
    }

    /// Keys of the kind that a running program cannot do without, by name, where `other` has them otherwise.
    pub(crate) fn fixed_keys_that_differ(&self, other: &config::Program) -> Option<String> {
        let (ours, theirs) = (self.engine(), other.kind.engine());
        let differ = [
            ("data_dir", ours.map(|engine| &engine.data_dir) != theirs.map(|engine| &engine.data_dir)),
            ("user", other.process.user != self.config.process.user),
            ("groups", other.process.groups != self.config.process.groups),
        ];
        let names: Vec<&str> =
            differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
        (!names.is_empty()).then(|| names.join(", "))
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
            run_dir: self.run_dir.clone(),
            keeper: self.keeper.is_some(),
            memo: self.memo.clone(),
            room_for_pg_ctl: suspect.then_some(self.config.restart.clean_exit_delay),
            init: std::process::id() == 1,
            cleared: self.start.as_ref().and_then(|start| start.stale_pid_file),
            lived: self.lived,
            usurped: self.usurped,
            last_failure: self.last_failure.clone(),
        })
    }

    /// The engine's environment: a short list of ours, its user, its data directory, and what is configured.
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

/// What the watch thread must look at.
pub(crate) fn targets(programs: &[Program]) -> Vec<Target> {
    programs
        .iter()
        .enumerate()
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

/// The pids of our own children that are no orphans.
pub(crate) fn known(
    processes: &std::collections::BTreeMap<i32, Role>,
    programs: &[Program],
) -> BTreeSet<i32> {
    let adopted = programs.iter().filter_map(|program| program.main.as_ref()).map(|main| main.pid);
    processes.keys().copied().chain(adopted).collect()
}
