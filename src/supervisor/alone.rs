//! PID 1's work on an engine that no supervisor keeps, by a process that does not stay: the `prepare` child is asked
//! the same questions under the same lock, and the engine is made the same way.
//!
//! Whoever does this is the keeper of the data directory for as long as it holds the lock. The postmaster does not inherit
//! it, so that a supervisor that comes later takes the lock and adopts the engine.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;

use super::prepare::protocol::{Errand, KEEPER_FD, REPORT_FD, REPORT_MAX, Report, Start, Verdict};
use super::procfs;
use super::shell::errand::{as_stdin, receive};
use super::shell::program::Program;
use super::shell::spawn::{Group, Launch, Stdin, spawn};
use super::shell::users::Accounts;
use crate::config;
use crate::engine::title;

/// The word by which a program that does this knows that it is to be the `prepare` child.
pub(crate) const CHILD: &str = "__prepare";

/// How often it is looked whether the time is over.
const TICK: Duration = Duration::from_millis(100);
/// How long a child that was told to stop may take: it notices within a second.
const LAST: Duration = Duration::from_secs(3);

/// An engine without a supervisor.
#[derive(Debug)]
pub(crate) struct Alone {
    program: Program,
}

/// An engine that was started; our child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postmaster(Pid);

impl Alone {
    /// The engine of this configuration, which runs as the user and group that its data directory belongs to.
    ///
    /// # Errors
    /// There is no such user, or it is root.
    pub(crate) fn new(
        config: config::Program,
        (uid, gid): (u32, u32),
        run_dir: &Path,
    ) -> Result<Self, String> {
        let accounts = Accounts::read();
        let drops = nix::unistd::geteuid().is_root();
        let user = if drops {
            let groups = &config.process.groups;
            let mut user =
                accounts.engine(&uid.to_string(), groups).map_err(|no_user| no_user.to_string())?;
            if user.name.is_none() {
                user.gid = gid;
                user.groups = vec![gid];
            }
            user
        } else {
            accounts.of(&config).map_err(|no_user| no_user.to_string())?.0
        };
        Ok(Alone { program: Program::new(config, (user, drops), Vec::new(), Rc::from(run_dir)) })
    }

    /// The engine's user, for people.
    pub(crate) fn user(&self) -> String {
        self.program.user.name.clone().unwrap_or_else(|| self.program.user.uid.to_string())
    }

    /// Has a child do this, and holds the lock of the data directory afterwards where the errand takes it; `tell` hears
    /// what people should know. `None`: it was not done in time.
    ///
    /// # Errors
    /// No child could be made, or it ended without an answer.
    pub(crate) fn ask(
        &mut self,
        errand: Errand,
        until: Instant,
        tell: &mut dyn FnMut(&str),
    ) -> io::Result<Option<Verdict>> {
        let no_engine = || io::Error::from(io::ErrorKind::InvalidInput);
        let order = self.program.order(errand, false).ok_or_else(no_engine)?;
        let data_dir = order.engine.data_dir.to_string_lossy().into_owned();
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut descriptors = vec![(theirs, REPORT_FD)];
        if let Some(keeper) = &self.program.keeper {
            descriptors.push((keeper.try_clone()?, KEEPER_FD));
        }
        let child = spawn(Launch {
            // The directory is for who looks whether such a child is at work.
            argv: &["/proc/self/exe".into(), CHILD.into(), data_dir],
            environment: None,
            user: None,
            process: None,
            stdin: Stdin::From(as_stdin(&order)?),
            // Ours on standard output is the answer to the caller.
            output: Some(io::stderr().as_fd().try_clone_to_owned()?),
            descriptors,
            mask: SigSet::thread_get_mask()?,
            group: Group::Session,
            working_dir: Some(Path::new("/")),
            lenient: false,
        })?;
        let verdict = self.listen(&ours, child.pid, until, tell);
        waitpid(child.pid, None)?;
        verdict
    }

    /// Hears the child until it has closed its end.
    fn listen(
        &mut self,
        socket: &OwnedFd,
        child: Pid,
        until: Instant,
        tell: &mut dyn FnMut(&str),
    ) -> io::Result<Option<Verdict>> {
        let mut buffer = vec![0; REPORT_MAX];
        let mut late = None;
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        loop {
            let ready = match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&tick)) {
                Ok(ready) => ready > 0,
                Err(Errno::INTR) => false,
                Err(error) => return Err(error.into()),
            };
            let now = Instant::now();
            match late {
                None if now >= until => {
                    late = Some(now + LAST);
                    // One that has ended needs no signal.
                    let _ = nix::sys::signal::kill(child, nix::sys::signal::SIGTERM);
                }
                Some(end) if now >= end => {
                    let _ = nix::sys::signal::kill(child, nix::sys::signal::SIGKILL);
                }
                _ => {}
            }
            if !ready {
                continue;
            }
            let Some((report, descriptor)) = receive(socket, &mut buffer) else {
                return match late {
                    Some(_) => Ok(None),
                    None => Err(io::Error::other(
                        "the child that looks at the data directory ended without a word",
                    )),
                };
            };
            match report? {
                Report::Keeper => self.program.keeper = descriptor.or_else(|| self.program.keeper.take()),
                Report::Note { text, .. } => tell(&text),
                Report::Initializing => {}
                Report::Verdict(_) if late.is_some() => {}
                Report::Verdict(verdict) => return Ok(Some(verdict)),
            }
        }
    }

    /// Starts the engine as `start` says, in a session of its own, and has it write there.
    ///
    /// # Errors
    /// No process could be made, or it did not come to its program.
    pub(crate) fn launch(&self, start: &Start, output: OwnedFd) -> io::Result<Postmaster> {
        let mut environment = self.program.environment();
        environment.extend(start.environment.iter().cloned());
        let launched = spawn(Launch {
            argv: &start.argv,
            environment: Some(environment),
            user: self.program.drops.then_some(&self.program.user),
            process: Some(&self.program.config.process),
            stdin: Stdin::Null,
            output: Some(output),
            descriptors: Vec::new(),
            mask: SigSet::empty(),
            group: Group::Session,
            working_dir: Some(Path::new("/")),
            lenient: false,
        })?;
        Ok(Postmaster(launched.pid))
    }

    /// Gives the lock of the data directory back.
    pub(crate) fn release(&mut self) {
        self.program.keeper = None;
    }

    /// Sends a signal to the process of this pid and start time, as the engine's user.
    ///
    /// # Errors
    /// As [`Alone::ask`].
    pub(crate) fn signal(&mut self, target: (i32, u64), signal: Signal) -> io::Result<()> {
        let errand = Errand::Signal { targets: vec![target], signal: signal.as_raw() };
        let until = Instant::now() + LAST;
        self.ask(errand, until, &mut |_| {}).map(|_| ())
    }
}

impl Postmaster {
    /// Its process id.
    pub(crate) fn pid(self) -> i32 {
        self.0.as_raw()
    }

    /// How it ended, in words; `None`: it runs.
    pub(crate) fn ended(self) -> Option<String> {
        match waitpid(self.0, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => Some(format!("with status {status}")),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(format!("by {signal}")),
            _ => None,
        }
    }
}

/// Whether the process of this pid and start time runs.
pub(crate) fn lives((pid, start_ticks): (i32, u64)) -> bool {
    procfs::alive(pid, start_ticks)
}

/// The postmaster that `postmaster.pid` names, with its start time, where it is a process of this pid namespace: a server
/// that works in that very folder, whatever the folder is called where it runs.
pub(crate) fn postmaster_here(data_dir: &Path, pid: i32) -> Option<(i32, u64)> {
    let stat = procfs::stat(pid).filter(procfs::Stat::lives)?;
    let place = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let works_there =
        place(data_dir).is_some_and(|ours| place(format!("/proc/{pid}/cwd").as_ref()) == Some(ours));
    let found = procfs::is_ours() && title::is_postmaster(&procfs::title(pid)) && works_there;
    found.then_some((pid, stat.start_ticks))
}

/// Sends a signal to the process of this pid and start time.
///
/// # Errors
/// It is not for this user.
pub(crate) fn signal((pid, start_ticks): (i32, u64), signal: Signal) -> io::Result<()> {
    procfs::signal(pid, start_ticks, signal)
}

/// Whether a child of this kind is at work on the data directory.
pub(crate) fn is_at_work(data_dir: &Path) -> bool {
    let words = [CHILD.as_bytes(), data_dir.as_os_str().as_encoded_bytes()];
    procfs::pids().into_iter().any(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).skip(1).take(2).eq(words)
    })
}
