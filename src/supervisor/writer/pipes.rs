//! Reading a program's pipe in whole lines.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::queue::{CHUNK, Queue, Room};

/// What a pipe holds unless it is told otherwise, in bytes (pipe(7)).
const ORDINARY: usize = 64 * 1024;
/// What the pipe of a program that fills it is made to hold.
const LARGE: usize = 1024 * 1024;
/// How much of the end of a program's output is kept, in bytes.
const TAIL: usize = 4096;
/// How many of its last lines are told.
const TAIL_LINES: usize = 20;

/// A program's pipe.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Where it is read.
    pub(super) end: OwnedFd,
    /// The file that its lines go to.
    pub(super) file: u64,
    /// Dropped lines that PID 1 does not know of.
    pub(super) untold: u64,
    /// When PID 1 was told last.
    pub(super) told: Instant,
    /// What was read and not handed over: a line without its end.
    buffer: Vec<u8>,
    tail: Vec<u8>,
    large: bool,
    /// The begin of the line that is read was dropped, so its rest is.
    torn: bool,
    /// The begin of the line that is read was handed over.
    mid_line: bool,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more.
    More,
    /// Not at the moment.
    Empty,
    /// Nobody writes any more.
    End,
}

impl Pipe {
    pub(super) fn new(end: OwnedFd, file: u64) -> Self {
        Pipe {
            end,
            file,
            untold: 0,
            told: Instant::now(),
            buffer: Vec::new(),
            tail: Vec::new(),
            large: false,
            torn: false,
            mid_line: false,
        }
    }

    /// Reads once; whole lines go to the queue, or are dropped unless they are to be kept.
    pub(super) fn read(&mut self, queue: &Queue, keep: bool) -> Turn {
        if self.buffer.capacity() == 0 {
            self.buffer = queue.buffer();
        }
        let read = match rustix::io::read(&self.end, spare_capacity(&mut self.buffer)) {
            Ok(0) => return Turn::End,
            Ok(n) => n,
            Err(Errno::INTR) => return Turn::More,
            Err(Errno::AGAIN) => return Turn::Empty,
            Err(_) => return Turn::End,
        };
        if read >= ORDINARY && !std::mem::replace(&mut self.large, true) {
            // Fewer turns for a program that writes much. Not permitted beyond the user's share: as it is.
            let _ = rustix::pipe::fcntl_setpipe_size(&self.end, LARGE);
        }
        let last = self.buffer.iter().rposition(|&byte| byte == b'\n');
        let end = match last {
            Some(at) => at + 1,
            // A line that is longer than the buffer goes in pieces.
            None if self.buffer.len() == self.buffer.capacity() => self.buffer.len(),
            None => return Turn::More,
        };
        let mut rest = if end == CHUNK || end == self.buffer.len() { Vec::new() } else { queue.buffer() };
        rest.extend_from_slice(self.buffer.get(end..).unwrap_or_default());
        self.buffer.truncate(end);
        let whole = std::mem::replace(&mut self.buffer, rest);
        self.hand_over(queue, whole, keep);
        Turn::More
    }

    /// The rest, which has no newline.
    pub(super) fn finish(&mut self, queue: &Queue) {
        let mut rest = std::mem::take(&mut self.buffer);
        if !rest.is_empty() || self.mid_line {
            rest.push(b'\n');
            let keep = queue.room(self.file) == Room::Yes;
            self.hand_over(queue, rest, keep);
        }
    }

    fn hand_over(&mut self, queue: &Queue, mut chunk: Vec<u8>, keep: bool) {
        self.remember(&chunk);
        if keep && std::mem::take(&mut self.torn) {
            let begin = chunk.iter().position(|&byte| byte == b'\n').map_or(chunk.len(), |at| at + 1);
            self.torn = begin == chunk.len() && !chunk.ends_with(b"\n");
            chunk.drain(..begin);
        }
        if chunk.is_empty() {
            return;
        }
        if keep {
            self.mid_line = !chunk.ends_with(b"\n");
            queue.put(self.file, chunk);
            return;
        }
        let lines = chunk.iter().filter(|&&byte| byte == b'\n').count();
        let mut lines = u64::try_from(lines).unwrap_or(u64::MAX);
        if !chunk.ends_with(b"\n") && !std::mem::replace(&mut self.torn, true) {
            lines += 1;
        } else if chunk.ends_with(b"\n") && std::mem::take(&mut self.torn) {
            // Its begin has been counted.
            lines -= 1;
        }
        self.untold += lines;
        queue.dropped(self.file, lines);
        queue.give_back(chunk);
    }

    fn remember(&mut self, chunk: &[u8]) {
        let part = chunk.get(chunk.len().saturating_sub(TAIL)..).unwrap_or(chunk);
        let surplus = (self.tail.len() + part.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend_from_slice(part);
    }

    /// Its last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.tail);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let begin = lines.len().saturating_sub(TAIL_LINES);
        lines.get(begin..).unwrap_or_default().to_vec()
    }
}
