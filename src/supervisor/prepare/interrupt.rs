//! A stop that PID 1 asks for: noticed by every wait, so that the child ends within a second.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::halt::{Halt, Outcome};

/// Whether a stop was asked for, and the wait for whatever comes first.
pub(super) struct Interrupt {
    asked: Arc<AtomicBool>,
    /// Becomes readable at each signal, SIGCHLD included.
    wake: UnixStream,
    /// PID 1, or the supervisor that is not; `None`: in another pid namespace.
    parent: Option<Pid>,
}

impl Interrupt {
    /// Installs the handlers. `parent` is who asks for stops.
    ///
    /// # Errors
    /// When the kernel refuses a handler or the pipe.
    pub(super) fn install(parent: Option<Pid>) -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (wake, write) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT, SIGQUIT, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
        }
        // After the flags: whoever is woken finds the flag set.
        for signal in [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Interrupt { asked, wake, parent })
    }

    /// Has the end of the parent count as a stop. A change of user clears this, so it is asked for after that.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn follow_parent(&self) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        if getppid() != self.parent {
            self.asked.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    /// # Errors
    /// [`Halt::Interrupted`] once a stop was asked for.
    pub(super) fn check(&self) -> Outcome<()> {
        if self.asked.load(Ordering::SeqCst) { Err(Halt::Interrupted) } else { Ok(()) }
    }

    /// Waits for any signal (the end of a child included), at most for `longest`.
    ///
    /// # Errors
    /// [`Halt::Interrupted`] once a stop was asked for.
    pub(super) fn nap(&self, longest: Duration) -> Outcome<()> {
        self.check()?;
        let millis = u16::try_from(longest.as_millis()).unwrap_or(u16::MAX);
        let mut descriptors = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        // An error here is EINTR: what interrupted is in the pipe as well.
        if poll(&mut descriptors, PollTimeout::from(millis)).is_ok_and(|ready| ready > 0) {
            let mut bytes = [0; 64];
            while matches!((&self.wake).read(&mut bytes), Ok(count) if count > 0) {}
        }
        self.check()
    }

    /// Waits until `deadline`, whatever signals come but a stop.
    ///
    /// # Errors
    /// [`Halt::Interrupted`] once a stop was asked for.
    pub(super) fn pause(&self, length: Duration) -> Outcome<()> {
        let deadline = Instant::now() + length;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.check();
            }
            self.nap(left.max(Duration::from_millis(1)))?;
        }
    }
}
