//! `exec`: a plain init for one command.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::complain;
use super::core_dump;
use super::signals::Signals;
use super::spawn::{Group, Launch, NotMade, Stdin, spawn};

/// The shell's statuses for a command that could not be run.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// What a terminal, docker or a person may send, and the command should get.
const FORWARDED: [i32; 9] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGCONT,
    libc::SIGTSTP,
];

/// Runs one command: forwards signals to it, reaps everything, hands it the terminal, and ends with its status, or
/// with 128 + the signal that ended it; 127: it was not found, 126: it cannot be executed.
#[must_use]
pub fn exec(argv: &[String]) -> u8 {
    let listened: Vec<i32> = FORWARDED.into_iter().chain([libc::SIGCHLD]).collect();
    let mut signals = match Signals::listen(&listened) {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("polar-supervisor: cannot listen to signals: {error}"));
            return super::CANNOT_BEGIN;
        }
    };
    core_dump::forbid();
    if std::process::id() != 1 {
        // Without it orphans go to another init: nothing is lost.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
    let launched = spawn(Launch {
        argv,
        environment: None,
        user: None,
        process: None,
        stdin: Stdin::Inherit,
        output: None,
        descriptors: Vec::new(),
        mask: signals.inherited_mask(),
        group: Group::Foreground,
        working_dir: None,
        lenient: true,
    });
    let (main, late) = match launched {
        Ok(launched) => (launched.pid, launched.late),
        Err(not_made) => return cannot_run(argv, &not_made),
    };
    loop {
        let mut pipe = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut pipe, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => complain(&format!("polar-supervisor: cannot wait for signals: {error}")),
        }
        for signal in signals.take() {
            if signal == libc::SIGCHLD {
                if let Some(status) = reap(main) {
                    let not_made = late.and_then(|news| news.failure());
                    return not_made.map_or(status, |not_made| cannot_run(argv, &not_made));
                }
            } else if let Ok(signal) = nix::sys::signal::Signal::try_from(signal) {
                // It may have ended a moment ago: its status is on the way.
                let _ = nix::sys::signal::kill(main, signal);
            }
        }
    }
}

fn cannot_run(argv: &[String], NotMade { error, .. }: &NotMade) -> u8 {
    let command = argv.first().map_or("", String::as_str);
    complain(&format!("polar-supervisor: cannot run {command}: {error}"));
    match error.kind() {
        std::io::ErrorKind::NotFound => NOT_FOUND,
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::OutOfMemory => super::CANNOT_BEGIN,
        _ => NOT_EXECUTABLE,
    }
}

/// Reaps all that has ended; the exit status once the command itself has.
fn reap(main: Pid) -> Option<u8> {
    let mut status = None;
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => status = u8::try_from(code).ok(),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                status = u8::try_from(128 + signal as i32).ok();
            }
            Ok(WaitStatus::StillAlive) => return status,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return status,
        }
    }
}
