//! The faults, and what must come of each.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Soak;
use crate::common::{BOOT, Exit, Process, until};

/// What is done in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    KillPostmaster,
    KillBackend,
    KillCheckpointer,
    FreezeBackend,
    FreezeBackendAndLock,
    LockAndUnlock,
    StartWhileLocked,
    FlickerLock,
    PgCtlStop,
    PgCtlRestart,
    PgCtlStopAndStart,
    Reload,
    Report,
    Storm,
    KillPid1,
    KillPid1Locked,
    Terminate,
    TerminateTwice,
    Quit,
}

/// What one PID 1 lives through; what tells most comes more often.
pub const OF_ONE_LIFE: [Action; 17] = [
    Action::KillPostmaster,
    Action::KillPostmaster,
    Action::KillBackend,
    Action::KillCheckpointer,
    Action::FreezeBackend,
    Action::FreezeBackendAndLock,
    Action::LockAndUnlock,
    Action::StartWhileLocked,
    Action::FlickerLock,
    Action::PgCtlStop,
    Action::PgCtlRestart,
    Action::PgCtlStopAndStart,
    Action::Reload,
    Action::Report,
    Action::Storm,
    Action::Storm,
    Action::Storm,
];
/// What it ends by.
pub const OF_DEATH: [Action; 5] =
    [Action::KillPid1, Action::KillPid1Locked, Action::Terminate, Action::TerminateTwice, Action::Quit];

/// What may lie in the data directory as `postmaster.pid` when PID 1 boots.
const STALE: [&str; 6] = ["", "garbage\n", "1\n", "2\n", "3\n", "4194000\n"];

impl Soak {
    /// Does it, and waits until it has settled.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::KillPostmaster => self.kill_postmaster(),
            Action::KillBackend => self.kill_one("[local]"),
            Action::KillCheckpointer => self.kill_one("checkpointer"),
            Action::FreezeBackend => self.freeze_backend(),
            Action::FreezeBackendAndLock => self.freeze_and_lock(),
            Action::LockAndUnlock => self.lock_and_unlock(),
            Action::StartWhileLocked => self.start_while_locked(),
            Action::FlickerLock => self.flicker_lock(),
            Action::PgCtlStop => {
                let before = self.instance.postmaster().pid;
                self.pg_ctl(&["stop", "-m", "fast"]);
                self.serves_after(before);
            }
            Action::PgCtlRestart => {
                let before = self.instance.postmaster().pid;
                self.pg_ctl(&["restart", "-m", "fast"]);
                self.serves_after(before);
            }
            Action::PgCtlStopAndStart => self.pg_ctl_stop_and_start(),
            Action::Reload => self.signal_and_see(Signal::SIGHUP, "configuration reloaded"),
            Action::Report => self.signal_and_see(Signal::SIGUSR1, "failures in a row: "),
            Action::Storm => self.storm(),
            Action::KillPid1 => self.kill_pid_1(),
            Action::KillPid1Locked => self.kill_pid_1_locked(),
            Action::Terminate => self.end(Signal::SIGTERM, &[Exit::Code(0)], false),
            Action::TerminateTwice => self.end(Signal::SIGTERM, &[Exit::Code(0), Exit::Code(1)], true),
            Action::Quit => self.end(Signal::SIGQUIT, &[Exit::Code(0), Exit::Code(1)], false),
        }
    }

    /// Waits for a postmaster that is not the one with this pid, and that answers.
    fn serves_after(&mut self, before: i32) {
        self.instance.until("another postmaster to be ready", |it| {
            it.pid_file_line(7).is_some_and(|line| line == "ready")
                && it.accepts()
                && it.try_postmaster().is_some_and(|postmaster| postmaster.pid != before)
        });
        self.instance.ready();
    }

    fn kill_postmaster(&mut self) {
        let before = self.instance.postmaster();
        self.random.pause(0..300);
        before.signal(Signal::SIGKILL);
        let begin = Instant::now();
        self.serves_after(before.pid);
        self.times.kill_to_accepting.push(begin.elapsed());
    }

    /// The postmaster itself begins again when a child of it crashes.
    fn kill_one(&mut self, kind: &str) {
        let before = self.instance.engine_process("checkpointer");
        self.instance.engine_process(kind).signal(Signal::SIGKILL);
        until("another checkpointer", BOOT, || {
            self.instance.processes().iter().any(|process| {
                process.state != 'Z' && process.command.contains("checkpointer") && process.pid != before.pid
            })
        });
        self.instance.ready();
    }

    fn freeze(&mut self) -> Process {
        let backend = self.instance.engine_process("[local]");
        send(&backend, Signal::SIGSTOP);
        backend
    }

    fn freeze_backend(&mut self) {
        let backend = self.freeze();
        self.random.pause(100..1500);
        send(&backend, Signal::SIGCONT);
    }

    /// A fast stop waits for the frozen one; the ladder must not.
    fn freeze_and_lock(&mut self) {
        let before = self.instance.postmaster().pid;
        let backend = self.freeze();
        self.lock();
        self.check_locked(Duration::ZERO);
        assert!(!Process::lives(backend.pid));
        self.unlock();
        self.serves_after(before);
    }

    fn lock(&self) {
        fs::write(self.instance.lock(), "").expect("write the lock file");
    }

    fn unlock(&self) {
        fs::remove_file(self.instance.lock()).expect("remove the lock file");
    }

    fn lock_and_unlock(&mut self) {
        let before = self.instance.postmaster().pid;
        self.lock();
        let begin = Instant::now();
        self.instance.until("the locked engine to be down", |it| !it.engine_runs());
        self.times.lock_to_down.push(begin.elapsed());
        let watch = Duration::from_millis(self.random.number(0..1500));
        self.check_locked(watch);
        self.unlock();
        let begin = Instant::now();
        self.serves_after(before);
        self.times.unlock_to_accepting.push(begin.elapsed());
    }

    /// Somebody's start does not get past the lock.
    fn start_while_locked(&mut self) {
        let before = self.instance.postmaster().pid;
        self.lock();
        self.instance.until("the locked engine to be down", |it| !it.engine_runs());
        self.pg_ctl_start();
        self.check_locked(Duration::from_millis(500));
        self.unlock();
        self.serves_after(before);
    }

    fn flicker_lock(&mut self) {
        for _ in 0..self.random.number(1..6) {
            self.lock();
            self.random.pause(0..150);
            self.unlock();
            self.random.pause(0..150);
        }
        self.settle();
    }

    /// Whatever was done: without a lock file the engine serves in the end.
    fn settle(&mut self) {
        // A lock that came and went unseen changes nothing, so that the postmaster may be the one that it was. One
        // that is on its way out answers too: it must serve for a while.
        let mut since = None;
        self.instance.until("the engine to serve steadily", |it| {
            let serving = it.pid_file_line(7).is_some_and(|line| line == "ready") && it.accepts();
            let postmaster = it.try_postmaster().map(|postmaster| postmaster.pid).filter(|_| serving);
            since = match (postmaster, since) {
                (Some(pid), Some((known, begin))) if pid == known => Some((pid, begin)),
                (Some(pid), _) => Some((pid, Instant::now())),
                (None, _) => None,
            };
            since.is_some_and(|(_, begin): (i32, Instant)| begin.elapsed() > Duration::from_secs(1))
        });
        self.instance.ready();
    }

    fn pg_ctl(&mut self, words: &[&str]) {
        let data = self.instance.path("data").to_str().expect("UTF-8").to_owned();
        let log = self.instance.path("log/pg_ctl.log").to_str().expect("UTF-8").to_owned();
        let mut arguments = vec!["-s", "-w", "-t", "50", "-D", &data, "-l", &log];
        if words[0] == "stop" {
            arguments.truncate(6);
        }
        arguments.extend(words);
        let done = self.instance.pg("pg_ctl", arguments);
        assert!(done.status.success(), "pg_ctl {words:?} must succeed: {done:#?}");
    }

    /// Whether somebody's start comes first or ours: one of them serves.
    fn pg_ctl_stop_and_start(&mut self) {
        let before = self.instance.postmaster().pid;
        self.pg_ctl(&["stop", "-m", "fast"]);
        self.random.pause(0..1500);
        self.pg_ctl_start();
        self.serves_after(before);
    }

    /// It may fail: ours was first, or the lock.
    fn pg_ctl_start(&self) {
        let data = self.instance.path("data").to_str().expect("UTF-8").to_owned();
        let log = self.instance.path("log/pg_ctl.log").to_str().expect("UTF-8").to_owned();
        self.instance.pg("pg_ctl", ["start", "-s", "-w", "-t", "50", "-D", &data, "-l", &log]);
    }

    fn signal_and_see(&mut self, signal: Signal, text: &str) {
        let before = self.instance.log().matches(text).count();
        self.instance.signal(signal);
        self.instance.wait_log_count(text, before + 1);
    }

    /// Much at once, with no waiting in between.
    fn storm(&mut self) {
        for _ in 0..self.random.number(3..9) {
            match self.random.number(0..6) {
                0 => fs::remove_file(self.instance.lock()).unwrap_or_default(),
                1 => self.lock(),
                2 => self.instance.signal(Signal::SIGHUP),
                3 => {
                    if let Some(postmaster) = self.instance.try_postmaster() {
                        // No stop from outside: PostgreSQL 15 that is asked to stop while it begins again after a
                        // child's crash can hang for ever with the checkpointer alone, and nobody else can tell.
                        send(&postmaster, Signal::SIGKILL);
                    }
                }
                4 => {
                    let mut all = self.instance.processes();
                    all.retain(|process| process.name == "postgres");
                    if !all.is_empty() {
                        send(self.random.of(&all), Signal::SIGKILL);
                    }
                }
                _ => self.random.pause(0..400),
            }
            self.random.pause(0..100);
        }
        fs::remove_file(self.instance.lock()).unwrap_or_default();
        self.settle();
    }

    fn kill_pid_1(&mut self) {
        if self.random.number(0..2) == 0 {
            // In the middle of something.
            send(&self.instance.postmaster(), Signal::SIGKILL);
            self.random.pause(0..200);
        }
        let begin = Instant::now();
        self.instance.kill9();
        self.check_log();
        self.plant();
        self.boot();
        self.serves_after(0);
        self.times.pid1_to_accepting.push(begin.elapsed());
    }

    fn kill_pid_1_locked(&mut self) {
        self.lock();
        self.random.pause(0..400);
        self.instance.kill9();
        self.check_log();
        self.boot();
        self.check_locked(Duration::from_millis(500));
        self.unlock();
        self.serves_after(0);
    }

    fn end(&mut self, signal: Signal, wanted: &[Exit], twice: bool) {
        self.instance.signal(signal);
        if twice {
            self.random.pause(0..200);
            kill(Pid::from_raw(self.instance.pid1()), signal).ok();
        }
        let exit = self.instance.wait();
        assert!(wanted.contains(&exit), "{signal} ended PID 1 with {exit:?}, wanted {wanted:?}");
        self.check_log();
        self.plant();
        self.boot();
        self.serves_after(0);
    }

    /// Leaves a stale pid file of some kind, or what is there.
    fn plant(&mut self) {
        let Some(content) = STALE.get(usize::try_from(self.random.number(0..12)).expect("small")) else {
            return;
        };
        self.instance.spec.dir.file("data/postmaster.pid", content, 0o600);
        self.planted += 1;
    }
}

/// Sends a signal to a process that may have ended.
fn send(process: &Process, signal: Signal) {
    kill(Pid::from_raw(process.pid), signal).ok();
}
