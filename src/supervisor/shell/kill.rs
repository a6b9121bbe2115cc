//! Signals to a program's processes, and what is left of a run.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, pidfd_send_signal};

use super::program::{Main, Role};
use super::spawn::{Group, Launch, Stdin, in_words, spawn};
use super::{Shell, tree};
use crate::config::KillReach;
use crate::supervisor::core::{Id, Run, Rung, What};
use crate::supervisor::prepare::protocol::Errand as Job;
use crate::supervisor::procfs;

impl Shell {
    pub(super) fn signal(&mut self, id: Id, run: Run, what: What, rung: Rung) {
        let Some(program) = self.programs.get_mut(id.0) else { return };
        let (pid, pidfd) = match what {
            What::Main => match program.main.as_mut().filter(|main| main.run == run) {
                Some(main) => {
                    // Who is asked to end is not asked how it is.
                    (main.ready, main.live) = (None, None);
                    (main.pid, main.pidfd.clone())
                }
                None => return,
            },
            What::Prepare | What::Search => {
                match program.errand.as_ref().filter(|errand| errand.run == run) {
                    Some(errand) => (errand.pid, None),
                    None => return,
                }
            }
        };
        let command = program.config.kind.command();
        let signal = match (what, rung) {
            (_, Rung::Kill) => Signal::KILL,
            (What::Prepare | What::Search, _) => Signal::TERM,
            (What::Main, rung) => match (command, rung) {
                (Some(command), _) => Signal::from_named_raw(command.stop_signal).unwrap_or(Signal::TERM),
                (None, Rung::Smart) => Signal::TERM,
                (None, Rung::Fast) => Signal::INT,
                (None, Rung::Immediate | Rung::Kill) => Signal::QUIT,
            },
        };
        let reach = command.map_or(KillReach::Tree, |command| command.kill_reach);
        // Looked up first: with its main process a family loses what holds it together.
        let mut family = match (signal, reach) {
            (Signal::KILL, KillReach::Tree) => tree::members(pid, self.all(), self.spared(id)),
            (Signal::KILL, KillReach::Group) => tree::group(pid, || self.all(), self.spared(id)),
            _ => Vec::new(),
        };
        family.retain(|process| process.pid != pid);
        self.send_to_main(id, pid, pidfd.as_deref(), signal);
        self.send(id, &family, signal);
    }

    /// Signals a program's own process: one that is not ours by its descriptor, ours by its pid, which nobody else can
    /// have before it is reaped. Needs nothing that the machine could be out of.
    pub(super) fn send_to_main(&mut self, id: Id, pid: i32, pidfd: Option<&OwnedFd>, signal: Signal) {
        let result = match (pidfd, Pid::from_raw(pid)) {
            (Some(pidfd), _) => pidfd_send_signal(pidfd, signal),
            (None, Some(pid)) => rustix::process::kill_process(pid, signal),
            (None, None) => return,
        };
        log::debug!(target: self.name(id), "{signal:?} sent to process {pid}: {result:?}");
        match result {
            Err(Errno::PERM) => self.send_as_user(id, procfs::stat(pid).into_iter().collect(), signal),
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => self.say_not_sent(id, pid, &error.into()),
        }
    }

    pub(super) fn send(&mut self, id: Id, processes: &[procfs::Stat], signal: Signal) {
        let mut not_permitted = Vec::new();
        for process in processes {
            match procfs::signal(process.pid, process.start_ticks, signal) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(nix::libc::EPERM) => not_permitted.push(*process),
                Err(error) => self.say_not_sent(id, process.pid, &error),
            }
        }
        self.send_as_user(id, not_permitted, signal);
    }

    /// Without CAP_KILL root may not signal another user's process; that user may.
    fn send_as_user(&mut self, id: Id, processes: Vec<procfs::Stat>, signal: Signal) {
        if processes.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.told_of_kill, true) {
            log::warn!(
                target: self.name(id),
                "PID 1 may not signal another user's process: a child that runs as that user does it each time; give the \
                 container CAP_KILL for stops that need no child"
            );
        }
        let Some(program) = self.programs.get(id.0) else { return };
        if program.engine().is_some() {
            let targets = processes.iter().map(|process| (process.pid, process.start_ticks)).collect();
            return self.help(id, Job::Signal { targets, signal: signal.as_raw() });
        }
        let pids: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
        let line = format!("kill -s {} {}", signal.as_raw(), pids.join(" "));
        let launched = spawn(Launch {
            argv: &["/bin/sh".into(), "-c".into(), line],
            environment: Some(Vec::new()),
            user: Some(&program.user),
            process: None,
            stdin: Stdin::Null,
            output: None,
            descriptors: Vec::new(),
            mask: self.signals.inherited_mask(),
            group: Group::Session,
            working_dir: None,
            lenient: false,
        });
        match launched {
            Ok(launched) => _ = self.processes.insert(launched.pid.as_raw(), Role::Helper),
            Err(not_made) => {
                let pid = processes.first().map_or(0, |process| process.pid);
                self.say_not_sent(id, pid, &not_made.error);
            }
        }
    }

    fn say_not_sent(&self, id: Id, pid: i32, error: &std::io::Error) {
        log::error!(target: self.name(id), "process {pid} could not be signalled: {}", in_words(error));
    }

    /// Ends a check with all that it has started, as far as that has stayed in its group.
    pub(super) fn end_check(&mut self, pid: i32) {
        let Some(&Role::Check(id)) = self.processes.get(&pid) else { return };
        let Some(group) = Pid::from_raw(pid) else { return };
        if kill_process_group(group, Signal::KILL) == Err(Errno::PERM) {
            let all = procfs::living();
            let group = tree::group(pid, || &all, |_| false);
            self.send_as_user(id, group, Signal::KILL);
        }
    }

    /// Ends what is left of a run.
    pub(super) fn sweep(&mut self, id: Id, run: Run, rung: Rung) {
        let engine = self.programs.get(id.0).is_some_and(|program| program.engine().is_some());
        let signal = match (rung, engine) {
            (Rung::Kill, _) => Signal::KILL,
            (_, true) => Signal::QUIT,
            (_, false) => Signal::TERM,
        };
        let left = self.leftovers(id, run);
        self.send(id, &left, signal);
    }

    /// Who does not end with a program's processes, though it be in its session or descend from it: what we have made or
    /// adopted ourselves has an end of its own. And no postmaster ends with a command: one that it starts may be about to be
    /// adopted, and serves whatever becomes of the command. (A `prepare` child's own postmaster ends with it.)
    ///
    /// Asked of the few processes that are found, and not listed: most ends leave nothing behind.
    fn spared(&self, id: Id) -> impl Fn(i32) -> bool + use<'_> {
        let command = self.programs.get(id.0).is_some_and(|program| program.engine().is_none());
        move |pid| {
            self.processes.contains_key(&pid)
                || self.mains().any(|main| main.pid == pid)
                || command && tree::is_engine(pid)
        }
    }

    fn mains(&self) -> impl Iterator<Item = &Main> {
        self.programs.iter().filter_map(|program| program.main.as_ref())
    }

    pub(super) fn leftovers(&self, id: Id, run: Run) -> Vec<procfs::Stat> {
        let Some(program) = self.programs.get(id.0) else { return Vec::new() };
        let Some(ended) = program.ended.filter(|ended| ended.run == run) else { return Vec::new() };
        let ended = tree::Ended { main: ended.pid, at_ticks: ended.at_ticks };
        let Some(command) = program.config.kind.command() else {
            let working_dir = program.start.as_ref().map(|start| start.data_dir.clone());
            let uid = program.user.uid;
            return tree::engine_leftovers(
                &ended,
                self.orphans(),
                working_dir.as_deref().map(Path::new),
                uid,
            );
        };
        let spared = self.spared(id);
        match command.kill_reach {
            KillReach::Main => Vec::new(),
            KillReach::Group => tree::group_leftovers(&ended, || self.all(), spared),
            KillReach::Tree => {
                let mark = program.mark(run);
                tree::tree_leftovers(&ended, self.orphans(), || self.all(), &mark, spared)
            }
        }
    }

    /// All that lives, listed once a turn. Who has ended since is not signalled, for a signal names the start time, too; who
    /// began since is found when it is looked what is left.
    fn all(&self) -> &[procfs::Stat] {
        self.living.get_or_init(procfs::living)
    }

    /// Children of ours that nobody of ours has made. Listed once a turn: what has ended in this turn was reaped before
    /// any of it is asked for, and its children were given to us before that.
    fn orphans(&self) -> &[i32] {
        self.orphans.get_or_init(|| {
            // What we have made is reaped before it is forgotten; what we have adopted may be our child, too.
            let adopted: Vec<i32> =
                self.mains().filter(|main| main.pidfd.is_some()).map(|main| main.pid).collect();
            let mut children = tree::children();
            children.retain(|pid| !self.processes.contains_key(pid) && !adopted.contains(pid));
            children
        })
    }
}
