//! The child that follows an engine's log files while a run of it lasts.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::task::spawn_local;

use super::capture::Capture;
use super::program::Role;
use super::spawn::{Group, Launch, Stdin, in_words, spawn};
use super::{Input, Shell};
use crate::supervisor::core::Id;

/// The pause before one that died is replaced.
const AGAIN: Duration = Duration::from_secs(1);
/// How long PID 1 waits at its end for the last lines.
const REST: Duration = Duration::from_millis(200);

/// A follower that runs.
#[derive(Debug)]
pub(crate) struct Follower {
    pid: i32,
    capture: Capture,
    /// Closed, it has a last look and ends.
    hold: Option<OwnedFd>,
}

impl Shell {
    /// Follows the log files of an engine whose configuration says so, unless that is being done; called before its main
    /// process is made.
    pub(super) fn follow(&mut self, id: Id) {
        let wanted = self.programs.get(id.0).is_some_and(|program| {
            let running = program.follower.as_ref().is_some_and(|follower| follower.hold.is_some());
            !running && program.engine().is_some_and(|engine| engine.follow_engine_log)
        });
        if !wanted {
            return;
        }
        match self.start_follower(id) {
            Ok(follower) => {
                self.processes.insert(follower.pid, Role::Follower(id));
                if let Some(program) = self.programs.get_mut(id.0) {
                    program.follower = Some(follower);
                }
            }
            Err(error) => {
                log::warn!(target: self.name(id), "its log files cannot be followed: {}", in_words(&error));
                self.follow_later(id);
            }
        }
    }

    fn start_follower(&mut self, id: Id) -> io::Result<Follower> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let (capture, output) = self.open_errand_output(id)?;
        let program = self.programs.get(id.0).ok_or_else(missing)?;
        let engine = program.engine().ok_or_else(missing)?;
        let mut argv = vec!["/proc/self/exe".to_owned(), "follow".to_owned()];
        let folders = [engine.log_link.clone(), engine.data_dir.join("pg_log"), engine.data_dir.join("log")];
        argv.extend(folders.iter().map(|folder| folder.display().to_string()));
        let (hold, stdin) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let launched = spawn(Launch {
            argv: &argv,
            environment: Some(Vec::new()),
            user: program.drops.then_some(&program.user),
            process: None,
            stdin: Stdin::From(stdin),
            output: Some(output),
            descriptors: Vec::new(),
            mask: self.signals.inherited_mask(),
            group: Group::Session,
            working_dir: None,
            lenient: false,
        })?;
        spawn_local(capture.clone().pump_all());
        Ok(Follower { pid: launched.pid.as_raw(), capture, hold: Some(hold) })
    }

    fn follow_later(&self, id: Id) {
        let tell = self.tell.clone();
        spawn_local(async move {
            tokio::time::sleep(AGAIN).await;
            let _ = tell.send(Input::Follow(id));
        });
    }

    /// Nothing is left of the run: what it wrote last is passed on.
    pub(super) fn unfollow(&mut self, id: Id) {
        if let Some(follower) = self.programs.get_mut(id.0).and_then(|program| program.follower.as_mut()) {
            follower.hold = None;
        }
    }

    /// A follower has ended; one that nobody told to is replaced.
    pub(super) fn follower_ended(&mut self, id: Id, pid: i32) {
        let Some(program) = self.programs.get_mut(id.0) else { return };
        let Some(ended) = program.follower.take_if(|follower| follower.pid == pid) else { return };
        if ended.hold.is_some() {
            log::warn!(target: &program.config.name, "the process that follows its log files has died: another one takes its place");
            self.follow_later(id);
        }
    }

    /// The pause after a death is over.
    pub(super) fn follow_again(&mut self, id: Id) {
        if self.programs.get(id.0).is_some_and(|program| program.main.is_some()) {
            self.follow(id);
        }
    }

    /// PID 1 ends: the last lines of the logs are passed on, but a disk is not waited for. Whether there was anybody who
    /// followed.
    pub(super) fn finish_followers(&mut self) -> bool {
        let until = Instant::now() + REST;
        let followers = self.programs.iter_mut().filter_map(|program| program.follower.take());
        let mut captures: Vec<Capture> = followers.map(|follower| follower.capture).collect();
        let any = !captures.is_empty();
        loop {
            captures.retain(Capture::pump);
            if captures.is_empty() || Instant::now() >= until {
                return any;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
