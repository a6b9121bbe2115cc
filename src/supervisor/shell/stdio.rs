//! Writing to our own standard output and error without ever waiting for a reader.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

/// A pipe takes this much at once or nothing (pipe(7)).
const PIPE_BUF: usize = 4096;

/// One of our own standard streams; what its reader does not take in time is dropped, and counted.
#[derive(Debug, Clone)]
pub(crate) struct Stream(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    way: Way,
    /// Lines that the reader does not know that he lacks.
    dropped: u64,
    /// Dropped lines since the start.
    lost: u64,
    /// The last piece that went out ends within a line whose rest did not.
    torn: bool,
}

#[derive(Debug)]
enum Way {
    /// A description of our own that does not block: the flag on the inherited one would hit all who share it.
    Own(OwnedFd),
    /// A socket.
    Socket(OwnedFd),
    /// The inherited one, asked before each write whether it has room.
    Asked(OwnedFd),
    /// Closed, or broken.
    Nowhere,
}

impl Stream {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Stream::over(1, io::stdout().as_fd().try_clone_to_owned())
    }

    /// Standard error.
    pub(crate) fn stderr() -> Self {
        Stream::over(2, io::stderr().as_fd().try_clone_to_owned())
    }

    fn over(number: u8, inherited: io::Result<OwnedFd>) -> Self {
        let way = match inherited {
            Err(_) => Way::Nowhere,
            Ok(inherited) => match fstat(&inherited).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(FileType::Socket) => Way::Socket(inherited),
                Ok(FileType::Fifo | FileType::CharacterDevice) => {
                    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                    // Not permitted when the stream was opened by another user: then it is asked.
                    open(format!("/proc/self/fd/{number}"), flags, Mode::empty())
                        .map_or(Way::Asked(inherited), Way::Own)
                }
                _ => Way::Asked(inherited),
            },
        };
        Stream(Arc::new(Mutex::new(Inner { way, dropped: 0, lost: 0, torn: false })))
    }

    /// Writes whole lines, or drops them; how many.
    pub(crate) fn write_lines(&self, text: &[u8]) -> u64 {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.catch_up();
        let before = inner.lost;
        let mut rest = text;
        // The line to which the next piece belongs was dropped, and counted.
        let mut within = false;
        while !rest.is_empty() {
            // As many whole lines as a pipe takes at once; a longer line goes in pieces.
            let room = rest.get(..PIPE_BUF).unwrap_or(rest);
            let end = if room.len() == rest.len() {
                rest.len()
            } else {
                room.iter().rposition(|&byte| byte == b'\n').map_or(PIPE_BUF, |at| at + 1)
            };
            let (piece, more) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            if inner.dropped > 0 || !inner.put(piece) {
                let ends = piece.iter().filter(|&&byte| byte == b'\n').count();
                let begun = usize::from(!piece.ends_with(b"\n"));
                let lines = u64::try_from(ends + begun - usize::from(within)).unwrap_or(1);
                inner.dropped += lines;
                inner.lost += lines;
                within = begun > 0;
            } else {
                inner.torn = !piece.ends_with(b"\n");
                within = false;
            }
            rest = more;
        }
        inner.lost - before
    }

    /// How many lines were dropped since the start.
    #[allow(dead_code, reason = "for the control socket and the journal of events")]
    pub(crate) fn lost(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lost
    }
}

/// A line for people before there is a log, or where there is none: it must neither wait for a reader nor fail.
pub fn complain(text: &str) {
    Stream::stderr().write_lines(format!("{text}\n").as_bytes());
}

impl Inner {
    /// Says what was dropped, once there is room for that.
    fn catch_up(&mut self) {
        if self.dropped == 0 {
            return;
        }
        let begin = if self.torn { "\n" } else { "" };
        let notice =
            format!("{begin}polar-supervisor: {} lines were dropped: nobody read them\n", self.dropped);
        if self.put(notice.as_bytes()) {
            (self.dropped, self.torn) = (0, false);
        }
    }

    /// Whether it was taken.
    fn put(&mut self, bytes: &[u8]) -> bool {
        let written = match &self.way {
            Way::Own(fd) => rustix::io::write(fd, bytes),
            Way::Socket(fd) => send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Way::Asked(fd) => match has_room(fd) {
                true => rustix::io::write(fd, bytes),
                false => Err(Errno::AGAIN),
            },
            Way::Nowhere => return false,
        };
        match written {
            Ok(_) => true,
            // The reader has gone: nothing will be read any more.
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::BADF) => {
                self.way = Way::Nowhere;
                false
            }
            // A full pipe, a full disk, a disk that fails for a moment: the next line may find its way.
            Err(_) => false,
        }
    }
}

fn has_room(fd: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(fd, PollFlags::OUT)];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
