//! Doing what the core says.

use std::rc::Rc;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::net::unix::pipe::Receiver;
use tokio::task::spawn_local;

use super::errand::{Reports, as_stdin};
use super::program::{Ended, Errand, Main, Role};
use super::spawn::{Group, Launch, Launched, Stdin, in_words, spawn};
use super::{Input, Shell, logger, memory};
use crate::engine::record::Lived;
use crate::engine::recovery_conf::FIRST_WITHOUT;
use crate::supervisor::core::{
    Action, Class, End, Event, Evidence, Id, Level, Prepared, Run, What, classify,
};
use crate::supervisor::prepare::protocol::{
    Errand as Job, Failure, FileStamp, KEEPER_FD, Memo, REPORT_FD, Report, Verdict,
};
use crate::supervisor::procfs;

/// The exit status of a first boot that failed.
const EX_SOFTWARE: u8 = 70;

impl Shell {
    pub(super) fn act(&mut self, action: Action) {
        let command = |id: Id| self.programs.get(id.0).is_some_and(|program| program.engine().is_none());
        match action {
            Action::Start(id, run) if command(id) => return self.start_command(id, run),
            // It may be about one of those that are on their way.
            _ => self.finish_starts(),
        }
        match action {
            Action::Prepare(id, run) => self.prepare(id, run, Job::Prepare),
            Action::Search(id, run) => self.prepare(id, run, Job::Search),
            Action::Start(id, run) => self.start(id, run),
            Action::Adopt(id, run) => self.adopt(id, run),
            Action::Signal(id, run, what, rung) => self.signal(id, run, what, rung),
            Action::Look(id, run) => {
                let left = self.leftovers(id, run).len();
                if left == 0 {
                    self.unfollow(id);
                }
                self.events.push_back(Event::Remains(id, run, left));
            }
            Action::Sweep(id, run, rung) => self.sweep(id, run, rung),
            Action::Blockers(id, run) => {
                let main = self.programs.get(id.0).and_then(|program| program.main.as_ref());
                if let Some(postmaster) = main.filter(|main| main.run == run).map(|main| main.pid) {
                    self.help(id, Job::Blockers { postmaster });
                }
            }
            Action::Upkeep(id) => self.help(id, Job::Prune),
            Action::Learn(id) => self.help(id, Job::Learn),
            Action::Say(level, id, text) => {
                let target = id.map_or(logger::SELF, |id| self.name(id));
                match level {
                    Level::Error => log::error!(target: target, "{text}"),
                    Level::Warn => log::warn!(target: target, "{text}"),
                    Level::Info => log::info!(target: target, "{text}"),
                }
            }
            Action::Finish(status) => self.status = Some(status),
        }
    }

    /// A child whose verdict the core waits for.
    fn prepare(&mut self, id: Id, run: Run, job: Job) {
        let prepares = job == Job::Prepare;
        // Its predecessor of the same name may have held the directory.
        self.let_go_of_removed();
        if let Some(other) = self.holder_of_directory(id) {
            let why = format!("{other}, which has left the configuration, still runs on its data directory");
            return self.events.push_back(Event::Prepared(id, run, Prepared::Wait(why)));
        }
        match self.launch_errand(id, job) {
            Ok((pid, reports)) => {
                if prepares && let Some(program) = self.programs.get_mut(id.0) {
                    program.forget_notes();
                }
                self.processes.insert(pid, Role::Of(id, run, What::Prepare));
                let tell = self.tell.clone();
                spawn_local(reports.clone().on_packet(move || tell.send(Input::Reported(id, run)).is_ok()));
                if let Some(program) = self.programs.get_mut(id.0) {
                    program.errand = Some(Box::new(Errand { run, pid, reports, verdict: None }));
                    // Beside the child, not after it. Before the first start there may be no folder to follow yet.
                    if prepares && program.start.is_some() {
                        self.follow(id);
                    }
                }
            }
            Err(error) => self.events.push_back(Event::SpawnFailed(id, run, in_words(&error))),
        }
    }

    /// A child whose answer matters to nobody but the log.
    pub(super) fn help(&mut self, id: Id, job: Job) {
        let what = format!("{job:?}");
        match self.launch_errand(id, job) {
            Ok((pid, reports)) => {
                self.processes.insert(pid, Role::Helper);
                let name = self.name(id).to_owned();
                let (source, tell) = (reports.clone(), self.tell.clone());
                spawn_local(reports.on_packet(move || {
                    for (report, _) in source.take() {
                        match report {
                            Report::Note { text, .. } => log::warn!(target: &name, "{text}"),
                            Report::Verdict(Verdict::Learnt(memo)) => _ = tell.send(Input::Learnt(id, memo)),
                            // What keeps it from learning is the prepare child's to tell.
                            Report::Verdict(_) | Report::Keeper | Report::Initializing => {}
                        }
                    }
                    true
                }));
            }
            Err(error) => {
                log::warn!(target: self.name(id), "a helper could not be made ({what}): {}", in_words(&error));
            }
        }
    }

    /// News of the executables, unless a prepare child has brought later ones.
    pub(super) fn learnt(&mut self, id: Id, memo: Memo) {
        if let Some(program) = self.programs.get_mut(id.0) {
            program.memo.get_or_insert(memo);
        }
    }

    pub(super) fn launch_errand(&mut self, id: Id, job: Job) -> std::io::Result<(i32, Reports)> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let (capture, output) = self.open_errand_output(id)?;
        let program = self.programs.get(id.0).ok_or_else(missing)?;
        let suspect = self.state.program(id).is_some_and(|known| known.suspect);
        // Ours holds the passwords of first boot, of which these need nothing.
        let environment = matches!(job, Job::Knock | Job::Learn).then(Vec::new);
        let stdin = as_stdin(&program.order(job, suspect).ok_or_else(missing)?)?;
        let (reports, theirs) = Reports::new()?;
        let mut descriptors = vec![(theirs, REPORT_FD)];
        if let Some(keeper) = &program.keeper {
            descriptors.push((keeper.try_clone()?, KEEPER_FD));
        }
        let launched = spawn(Launch {
            // The file itself, wherever it lies: it may have been replaced since we started.
            argv: &["/proc/self/exe".into(), "prepare".into()],
            environment,
            user: None,
            process: None,
            stdin: Stdin::From(stdin),
            output: Some(output),
            descriptors,
            mask: self.signals.inherited_mask(),
            group: Group::Session,
            working_dir: None,
            lenient: false,
        })?;
        spawn_local(capture.pump_all());
        Ok((launched.pid.as_raw(), reports))
    }

    fn start(&mut self, id: Id, run: Run) {
        match self.launch_main(id, run) {
            Ok(launched) => {
                let pid = launched.pid;
                for what in &launched.refused {
                    log::warn!(target: self.name(id), "the kernel refused {what}; going on without");
                }
                self.processes.insert(pid.as_raw(), Role::Of(id, run, What::Main));
                self.say_started(id, run, launched);
                let start = self.programs.get(id.0).and_then(|program| program.start.as_ref());
                let stale = start.and_then(|start| start.stale_pid_file);
                self.expect_ready(id, run, pid.as_raw(), stale);
                self.help(id, Job::Record { postmaster: pid.as_raw(), stale });
            }
            Err(error) => self.events.push_back(Event::SpawnFailed(id, run, in_words(&error))),
        }
    }

    fn launch_main(&mut self, id: Id, run: Run) -> std::io::Result<Launched> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        self.follow(id);
        let (capture, output) = self.open_output(id)?;
        let program = self.programs.get_mut(id.0).ok_or_else(missing)?;
        let start = program.start.as_ref().ok_or_else(missing)?;
        let mut environment = program.environment();
        environment.extend(start.environment.clone());
        let memory_kills = *self.memory_kills.get_or_init(memory::kills);
        let from = seconds();
        let launched = spawn(Launch {
            argv: &start.argv,
            environment: Some(environment),
            user: program.drops.then_some(&program.user),
            process: Some(&program.config.process),
            stdin: Stdin::Null,
            output,
            descriptors: Vec::new(),
            mask: self.signals.inherited_mask(),
            group: Group::Session,
            working_dir: None,
            lenient: false,
        })?;
        let pid = launched.pid.as_raw();
        program.usurped = false;
        program.main = Some(Main {
            run,
            pid,
            from,
            capture: capture.clone(),
            pidfd: None,
            memory_kills,
            ready: None,
            live: None,
            late: None,
        });
        if let Some(capture) = capture {
            self.read_output(id, capture);
        }
        Ok(launched)
    }

    /// Takes over somebody else's postmaster. One that has gone since it was found has ended.
    fn adopt(&mut self, id: Id, run: Run) {
        let Some(program) = self.programs.get_mut(id.0) else { return };
        let foreign = program.foreign.take().and_then(|(pid, ticks)| Some((Pid::from_raw(pid)?, ticks)));
        let opened = foreign.map(|(pid, ticks)| (pid, ticks, pidfd_open(pid, PidfdFlags::empty())));
        let (pid, ended, pidfd) = match opened {
            // Looked at after the descriptor was made: the pid could have been given to another process.
            Some((pid, ticks, Ok(pidfd))) if is_the_one(pid, ticks) => match watched(&pidfd) {
                Ok(ended) => (pid.as_raw_pid(), ended, Rc::new(pidfd)),
                Err(error) => return self.events.push_back(Event::SpawnFailed(id, run, in_words(&error))),
            },
            // It lives, and only we cannot take hold of it (no descriptor left): tried again.
            Some((pid, ticks, Err(error))) if is_the_one(pid, ticks) => {
                return self.events.push_back(Event::SpawnFailed(id, run, in_words(&error.into())));
            }
            _ => return self.events.push_back(Event::Ended(id, run, End::Unknown, Class::Unknown)),
        };
        program.main = Some(Main {
            run,
            pid,
            from: 0,
            capture: None,
            pidfd: Some(Rc::clone(&pidfd)),
            memory_kills: None,
            ready: None,
            live: None,
            late: None,
        });
        log::warn!(target: self.name(id), "somebody else has started the engine: process {pid} is adopted");
        let tell = self.tell.clone();
        spawn_local(async move {
            let _ = ended.readable().await;
            let _ = tell.send(Input::Gone(id, run));
        });
        self.expect_ready(id, run, pid, None);
        self.follow(id);
        self.help(id, Job::Record { postmaster: pid, stale: None });
    }

    fn expect_ready(&self, id: Id, run: Run, pid: i32, stale: Option<FileStamp>) {
        if let Some(watch) = &self.watch {
            let memo = self.programs.get(id.0).and_then(|program| program.memo.as_ref());
            watch.expect(id, run, pid, stale, memo.is_none_or(|memo| memo.major < FIRST_WITHOUT));
        }
    }

    /// News of a process that was reaped; one that nobody knows was an orphan.
    pub(super) fn process_ended(&mut self, pid: i32, end: End) {
        match self.processes.remove(&pid) {
            Some(Role::Of(id, run, What::Prepare | What::Search)) => self.prepare_ended(id, run, pid, end),
            Some(Role::Of(id, run, What::Main)) => self.main_ended(id, run, end),
            Some(Role::Follower(id)) => self.follower_ended(id, pid),
            Some(Role::Helper) => {}
            Some(Role::Check(_)) => self.check_ended(pid, end),
            None => {
                let adopted = self.programs.iter().enumerate().find_map(|(place, program)| {
                    program.main.as_ref().filter(|main| main.pid == pid).map(|main| (Id(place), main.run))
                });
                match adopted {
                    Some((id, run)) => self.main_ended(id, run, end),
                    None => {
                        self.orphans_reaped += 1;
                        log::debug!(target: logger::SELF, "reaped an orphan, process {pid} ({end})");
                    }
                }
            }
        }
    }

    fn main_ended(&mut self, id: Id, run: Run, end: End) {
        let Some(program) = self.programs.get_mut(id.0) else { return };
        // To wake its thread for each command's end would cost more than the rest of what an end takes.
        if let Some(watch) = self.watch.as_ref().filter(|_| program.engine().is_some()) {
            watch.forget(id);
        }
        let Some(main) = program.main.take_if(|main| main.run == run) else { return };
        program.ended = Some(Ended { run, pid: main.pid, at_ticks: procfs::ticks_since_boot() });
        program.lived = Some(Lived { pid: main.pid, from: main.from, until: seconds() });
        let tail = main.capture.map(|capture| {
            capture.pump();
            capture.tail()
        });
        // The kernel kills for memory by this signal; of another end the count says nothing.
        let after = (end == End::Signal(nix::libc::SIGKILL)).then(memory::kills).flatten();
        let counted = after.zip(main.memory_kills).map(|(after, before)| after.saturating_sub(before));
        let class = classify(end, &Evidence { memory_kills: counted, tail: tail.unwrap_or_default() });
        let not_made = main.late.and_then(|(news, _)| news.failure());
        let (end, class) = match not_made {
            Some(not_made) => (self.say_not_made(id, &not_made), Class::CannotRun),
            None => (end, class),
        };
        let Some(program) = self.programs.get_mut(id.0) else { return };
        program.last_failure = match class {
            Class::Clean | Class::Unknown => None,
            _ => Some(Failure { text: format!("{class} ({end})"), by_signal: matches!(end, End::Signal(_)) }),
        };
        self.events.push_back(Event::Ended(id, run, end, class));
    }

    /// An adopted process has ended and was no child of ours.
    pub(super) fn adopted_gone(&mut self, id: Id, run: Run) {
        self.main_ended(id, run, End::Unknown);
    }

    fn prepare_ended(&mut self, id: Id, run: Run, pid: i32, end: End) {
        self.take_reports(id, run);
        let Some(program) = self.programs.get_mut(id.0) else { return };
        let Some(errand) = program.errand.take_if(|errand| errand.run == run) else { return };
        program.ended = Some(Ended { run, pid, at_ticks: procfs::ticks_since_boot() });
        let prepared = match errand.verdict {
            // The packet with the lock came when no descriptor was left, and the lock is gone with the child.
            Some(Verdict::Start(_) | Verdict::Adopt { .. }) if program.keeper.is_none() => Prepared::Wait(
                "PID 1 could not take over the lock of the data directory, for want of a descriptor: raise its limit \
                 of open files (nofile)"
                    .into(),
            ),
            Some(Verdict::Start(start)) => {
                program.memo = Some(start.memo.clone());
                let unclean = start.unclean;
                program.start = Some(Box::new(start));
                Prepared::Go { unclean }
            }
            Some(Verdict::Adopt { pid, start_ticks }) => {
                program.foreign = Some((pid, start_ticks));
                Prepared::Foreign
            }
            Some(Verdict::Locked) => Prepared::Locked,
            Some(Verdict::Wait { cause }) => Prepared::Wait(cause),
            Some(Verdict::Failed { cause, remedy }) => {
                Prepared::GiveUp(EX_SOFTWARE, explain(&cause, &remedy))
            }
            Some(Verdict::Refused { cause, remedy }) => {
                Prepared::GiveUp(super::EX_CONFIG, explain(&cause, &remedy))
            }
            Some(Verdict::Done | Verdict::Learnt(_)) => Prepared::Nobody,
            None => Prepared::Broke(format!("it ended without a verdict ({end})")),
        };
        if !matches!(prepared, Prepared::Go { .. } | Prepared::Foreign) {
            self.unfollow(id);
        }
        self.events.push_back(Event::Prepared(id, run, prepared));
    }

    /// Engines read their own files again when told to.
    pub(super) fn reload_engines(&mut self) {
        let running: Vec<_> = self
            .programs
            .iter()
            .enumerate()
            .filter(|(_, program)| program.engine().is_some())
            .filter_map(|(place, program)| {
                let main = program.main.as_ref()?;
                // One that has just been started has no handler yet and would die of it; it is about to read them anyway.
                let heeds = procfs::catches(main.pid, nix::libc::SIGHUP) != Some(false);
                heeds.then(|| (Id(place), main.pid, main.pidfd.clone()))
            })
            .collect();
        for (id, pid, pidfd) in running {
            self.send_to_main(id, pid, pidfd.as_deref(), Signal::HUP);
        }
    }
}

fn explain(cause: &str, remedy: &str) -> String {
    if remedy.is_empty() { cause.to_owned() } else { format!("{cause}; {remedy}") }
}

/// Whether the process with this pid is the one that started then, and lives.
fn is_the_one(pid: Pid, ticks: u64) -> bool {
    procfs::stat(pid.as_raw_pid()).is_some_and(|found| found.start_ticks == ticks && found.state != 'Z')
}

/// Something that becomes readable once the process has ended. It is no pipe, but nothing else of a pipe is used.
fn watched(pidfd: &std::os::fd::OwnedFd) -> std::io::Result<Receiver> {
    pidfd.try_clone().and_then(Receiver::from_owned_fd_unchecked)
}

/// The time as a pid file has it, in seconds since 1970.
fn seconds() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}
