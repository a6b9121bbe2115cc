//! Signals, from the first instruction: a handler sets a flag and writes a byte into a pipe; nothing else happens in it.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use signal_hook::low_level::pipe;

/// The signals that one process listens to, and the pipe that tells of them.
#[derive(Debug)]
pub(crate) struct Signals {
    pipe: UnixStream,
    flags: Vec<(i32, Arc<AtomicBool>)>,
    inherited_mask: SigSet,
}

impl Signals {
    /// Listens to `signals`, and unblocks all.
    ///
    /// # Errors
    /// No descriptor left, or a signal that cannot be caught.
    pub(crate) fn listen(signals: &[i32]) -> std::io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let mut flags = Vec::with_capacity(signals.len());
        for &signal in signals {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag first: whoever reads the byte must find it set.
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            pipe::register(signal, write.try_clone()?)?;
            flags.push((signal, flag));
        }
        let mut inherited_mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), Some(&mut inherited_mask))?;
        Ok(Signals { pipe: read, flags, inherited_mask })
    }

    /// The signals that came since the last call.
    pub(crate) fn take(&mut self) -> Vec<i32> {
        let mut bytes = [0; 256];
        while self.pipe.read(&mut bytes).is_ok_and(|n| n > 0) {}
        let came =
            |(signal, flag): &(i32, Arc<AtomicBool>)| flag.swap(false, Ordering::SeqCst).then_some(*signal);
        self.flags.iter().filter_map(came).collect()
    }

    /// Becomes readable when a signal has come.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn bell(&self) -> std::io::Result<UnixStream> {
        self.pipe.try_clone()
    }

    /// The signal mask that this process was started with: what its children get.
    pub(crate) fn inherited_mask(&self) -> SigSet {
        self.inherited_mask
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
