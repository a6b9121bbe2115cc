//! What a process tells on its way from the fork to its program.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;

use super::child::Loan;
use super::spawn::{Launched, NotMade, OPTIONAL, PATIENCE};

/// How soon it is looked again where nothing can be waited for.
const AGAIN: Duration = Duration::from_secs(1);

/// A process that is under way to its program.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) pid: Pid,
    /// What it tells; closed once it runs its program, or has ended.
    pub(super) news: News,
}

impl Pending {
    /// Returns once it runs its program, or has not come to that in time.
    ///
    /// # Errors
    /// What `execve` says of the program (ENOENT, EACCES, ENOEXEC), or why it did not come to that.
    pub(crate) fn wait(self) -> Result<Launched, NotMade> {
        let in_time = self.news.ends_within(PATIENCE);
        if let Some(not_made) = self.news.failure() {
            // Nobody else knows of it, and it ends at once.
            let _ = waitpid(self.pid, None);
            return Err(not_made);
        }
        let said = self.news.said();
        let refused =
            OPTIONAL.iter().filter(|(byte, _)| said.contains(byte)).map(|&(_, what)| what).collect();
        Ok(Launched { pid: self.pid, refused, late: (!in_time).then_some(self.news) })
    }
}

/// The read end of its pipe, which is closed once the program runs, or the process has ended.
#[derive(Debug)]
pub(crate) struct News {
    pipe: OwnedFd,
    said: RefCell<Vec<u8>>,
    /// What the process needs of our memory until the end.
    loan: RefCell<Option<Box<Loan>>>,
}

thread_local! {
    /// Loans whose processes nobody waits for any more, each with what tells of its end.
    static OUTSTANDING: RefCell<Vec<(OwnedFd, Box<Loan>)>> = const { RefCell::new(Vec::new()) };
}

/// Takes back what processes need no more that were late to their programs.
pub(super) fn collect_loans() {
    OUTSTANDING.with_borrow_mut(|loans| loans.retain(|(pipe, _)| !is_over(pipe)));
}

/// Whether the other end is closed; what it says meanwhile is for nobody.
fn is_over(pipe: &OwnedFd) -> bool {
    loop {
        match rustix::io::read(pipe, &mut [0; 64]) {
            Ok(0) => return true,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        let Some(loan) = self.loan.take() else { return };
        match self.pipe.try_clone() {
            _ if is_over(&self.pipe) => {}
            Ok(pipe) => OUTSTANDING.with_borrow_mut(|loans| loans.push((pipe, loan))),
            // Without a descriptor nobody can know when it is needed no more.
            Err(_) => std::mem::forget(loan),
        }
    }
}

impl News {
    /// # Errors
    /// None that a pipe is known for.
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(News { pipe, said: RefCell::default(), loan: RefCell::default() })
    }

    /// Keeps this until the end.
    pub(super) fn lend(&mut self, loan: Box<Loan>) {
        self.loan.replace(Some(loan));
    }

    /// What it has said so far.
    pub(super) fn said(&self) -> Vec<u8> {
        self.hear();
        self.said.borrow().clone()
    }

    /// Waits for the end, but not longer than this; whether it has come.
    pub(super) fn ends_within(&self, time: Duration) -> bool {
        let until = Instant::now().checked_add(time);
        loop {
            if self.hear() {
                return true;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else { return false };
            let left = Timespec { tv_sec: 0, tv_nsec: left.min(AGAIN / 2).subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&left)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Waits for the end, however long that takes.
    pub(crate) async fn end(&self) {
        let Ok(pipe) = self.pipe.try_clone().and_then(Receiver::from_owned_fd) else {
            while !self.hear() {
                tokio::time::sleep(AGAIN).await;
            }
            return;
        };
        let mut some = [0; 64];
        while pipe.readable().await.is_ok() {
            match pipe.try_read(&mut some) {
                Ok(0) => return drop(self.loan.take()),
                Ok(count) => self.said.borrow_mut().extend(some.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Reads what is there; whether that was all.
    fn hear(&self) -> bool {
        let mut some = [0; 64];
        loop {
            match rustix::io::read(&self.pipe, &mut some) {
                Ok(0) => {
                    self.loan.take();
                    return true;
                }
                Ok(count) => self.said.borrow_mut().extend(some.iter().take(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => return true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::SigSet;

    use super::*;
    use crate::supervisor::shell::spawn::{Group, Launch, Stdin, begin};

    #[test]
    fn what_a_process_has_borrowed_is_taken_back_though_nobody_waits_for_it() {
        let outstanding = || OUTSTANDING.with_borrow(Vec::len);
        let pending = begin(&Launch {
            argv: &["no-such-program".into()],
            // It looks in all of them.
            environment: Some(vec![("PATH".into(), "/nowhere:".repeat(50_000))]),
            user: None,
            process: None,
            stdin: Stdin::Null,
            output: None,
            descriptors: Vec::new(),
            mask: SigSet::empty(),
            group: Group::Session,
            working_dir: None,
            lenient: false,
        })
        .unwrap();
        let pid = pending.pid;
        drop(pending);
        assert_eq!(outstanding(), 1);
        collect_loans();
        assert_eq!(outstanding(), 1, "it still looks");
        waitpid(pid, None).unwrap();
        collect_loans();
        assert_eq!(outstanding(), 0);
    }
}
