//! What a program writes: passed on to our own standard output, and its last lines kept for the verdict on its end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::Receiver;

use super::stdio::Stream;

/// How many of the last lines are kept.
const TAIL_LINES: usize = 20;
/// How much of a line is kept, in bytes.
const TAIL_LINE: usize = 512;
/// How much is read in one turn, in bytes: a flood must not keep PID 1 from its other work.
const TURN: usize = 256 * 1024;

/// The read end of a pipe that a program writes to.
#[derive(Debug, Clone)]
pub(crate) struct Capture(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    pipe: Rc<Receiver>,
    to: Stream,
    /// The line that has no end yet.
    partial: Vec<u8>,
    tail: VecDeque<String>,
}

impl Capture {
    /// A pipe: what is read from it goes `to`; the second part is for the program.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new(to: Stream) -> std::io::Result<(Self, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let inner = Inner {
            pipe: Rc::new(Receiver::from_owned_fd(read)?),
            to,
            partial: Vec::new(),
            tail: VecDeque::new(),
        };
        Ok((Capture(Rc::new(RefCell::new(inner))), write))
    }

    /// Passes on what is there; `false` once the last writer has gone.
    pub(crate) fn pump(&self) -> bool {
        let pipe = Rc::clone(&self.0.borrow().pipe);
        self.pump_by(|buffer| Ok(rustix::io::read(&*pipe, buffer)?))
    }

    fn pump_by(&self, read: impl Fn(&mut [u8]) -> io::Result<usize>) -> bool {
        let mut inner = self.0.borrow_mut();
        let mut buffer = [0; 16 * 1024];
        let mut taken = 0;
        while taken < TURN {
            match read(&mut buffer) {
                Ok(0) => {
                    inner.finish_line();
                    return false;
                }
                Ok(n) => {
                    taken += n;
                    inner.take(buffer.get(..n).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        true
    }

    /// Pumps until the last writer has gone.
    pub(crate) async fn pump_all(self) {
        let pipe = Rc::clone(&self.0.borrow().pipe);
        while pipe.readable().await.is_ok() && self.pump_by(|buffer| pipe.try_read(buffer)) {
            // After each turn the others have theirs.
            tokio::task::yield_now().await;
        }
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.0.borrow().tail.iter().cloned().collect()
    }
}

impl Inner {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.finish_line();
            } else if self.partial.len() >= 64 * 1024 {
                // A line without an end must not fill our memory.
                self.partial.push(b'\n');
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        if self.partial.is_empty() {
            return;
        }
        if !self.partial.ends_with(b"\n") {
            self.partial.push(b'\n');
        }
        self.to.write_lines(&self.partial);
        let kept = self.partial.get(..TAIL_LINE).unwrap_or(&self.partial);
        let line = String::from_utf8_lossy(kept).trim_end().to_owned();
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
        self.partial.clear();
    }
}
