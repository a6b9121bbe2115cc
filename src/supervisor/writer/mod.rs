//! The process that writes the output of programs, and the journal of events, into files.
//!
//! PID 1 hands it the read ends of the programs' pipes and never sees what comes out of them. Two threads: this one
//! reads pipes and never touches a file; the other one ([`disk`]) writes files, and may hang with a disk. Between them
//! is a bounded [`queue`]. As long as the disk takes something, a program that writes faster waits for it as for any
//! reader; when the disk stands still or is full, reading goes on and lines are dropped, counted, and said.

mod disk;
mod folder;
mod log;
mod pipes;
pub(crate) mod protocol;
mod queue;

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recvmsg,
    sendmsg, shutdown,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::pipes::{Pipe, Turn};
use self::protocol::{News, Order, PACKET_MAX};
use self::queue::{Queue, Room};
use crate::config::OutputFile;

/// The writer failed.
const EX_SOFTWARE: u8 = 70;
/// This long nothing to do is said to PID 1, which lets us go: what happens comes in bursts, and between them a process
/// costs more (a quarter of a megabyte) than to be made again (2 ms).
const IDLE: Duration = Duration::from_millis(500);
/// How often pipes are looked at that wait for room, and how often drops are told.
const TICK: Duration = Duration::from_millis(50);
/// How long a disk may take for the rest when PID 1 has ended.
const REST: Duration = Duration::from_secs(5);
/// How much is read from pipes after PID 1 has ended, in chunks.
const LAST_TURNS: usize = 64;

/// Runs the writer: its standard input is the socket to PID 1. The result is the exit status.
#[must_use]
pub fn main() -> u8 {
    match Writer::new().and_then(Writer::run) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("polar-supervisor writer: {error}; this command is for polar-supervisor itself");
            EX_SOFTWARE
        }
    }
}

struct Writer {
    socket: Arc<OwnedFd>,
    queue: Arc<Queue>,
    /// The numbers of files, by their paths.
    files: BTreeMap<PathBuf, u64>,
    last_file: u64,
    pipes: BTreeMap<u64, Pipe>,
    orders: u64,
    quiet_since: Option<Instant>,
}

impl Writer {
    fn new() -> io::Result<Self> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        // Nothing here may keep a file system from being unmounted.
        rustix::process::chdir(c"/")?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        let (socket, queue) = (Arc::new(socket), Arc::new(Queue::new()?));
        let (theirs, news) = (Arc::clone(&queue), Arc::clone(&socket));
        std::thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            disk::write_all(&theirs, |trouble, text| {
                let news_of = if trouble { News::Trouble { text } } else { News::Over { text } };
                send(&news, &news_of);
            });
        })?;
        Ok(Writer {
            socket,
            queue,
            files: BTreeMap::new(),
            last_file: 0,
            pipes: BTreeMap::new(),
            orders: 0,
            quiet_since: None,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut packet = vec![0; PACKET_MAX];
        loop {
            let ready = self.wait()?;
            if ready.socket && !self.take_orders(&mut packet)? {
                break;
            }
            for number in ready.pipes {
                self.read(number);
            }
            self.tell_drops();
            self.tell_idle();
        }
        // PID 1 has ended, or needs nobody any more: what is there is written.
        let numbers: Vec<u64> = self.pipes.keys().copied().collect();
        for number in numbers {
            for _ in 0..LAST_TURNS {
                let Some(pipe) = self.pipes.get_mut(&number) else { break };
                if pipe.read(&self.queue, true) != Turn::More {
                    break;
                }
            }
            self.close(number);
        }
        self.queue.end(REST);
        // PID 1 may wait for this, and the kernel closes what an ending process has open after all else.
        let _ = shutdown(&*self.socket, Shutdown::Both);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<Ready> {
        let rooms: Vec<(u64, &Pipe, Room)> =
            self.pipes.iter().map(|(&number, pipe)| (number, pipe, self.queue.room(pipe.file))).collect();
        let held = rooms.iter().any(|(_, _, room)| *room == Room::Soon);
        let longest = if held || self.pipes.values().any(|pipe| pipe.untold > 0) {
            Some(TICK)
        } else {
            self.pipes.is_empty().then(|| match self.quiet_since {
                Some(since) => IDLE.saturating_sub(since.elapsed()) + TICK,
                // The disk is at work.
                None => Duration::from_secs(1),
            })
        };
        let longest = longest.and_then(|longest| Timespec::try_from(longest).ok());
        let mut asked =
            vec![PollFd::new(&*self.socket, PollFlags::IN), PollFd::new(&self.queue.room, PollFlags::IN)];
        let open: Vec<&(u64, &Pipe, Room)> =
            rooms.iter().filter(|(_, _, room)| *room != Room::Soon).collect();
        asked.extend(open.iter().map(|(_, pipe, _)| PollFd::new(&pipe.end, PollFlags::IN)));
        match poll(&mut asked, longest.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut answers = asked.iter().map(|asked| !asked.revents().is_empty());
        let (socket, room) = (answers.next() == Some(true), answers.next() == Some(true));
        let pipes = answers.zip(&open).filter(|(ready, _)| *ready).map(|(_, (number, ..))| *number).collect();
        if room {
            let _ = rustix::io::read(&self.queue.room, &mut [0; 8]);
        }
        Ok(Ready { socket, pipes })
    }

    fn read(&mut self, number: u64) {
        let Some(pipe) = self.pipes.get_mut(&number) else { return };
        // The pipes before it in this turn may have taken the room.
        let room = self.queue.room(pipe.file);
        if room != Room::Soon && pipe.read(&self.queue, room == Room::Yes) == Turn::End {
            self.close(number);
        }
    }

    fn close(&mut self, number: u64) {
        let Some(mut pipe) = self.pipes.remove(&number) else { return };
        pipe.finish(&self.queue);
        if pipe.untold > 0 {
            send(&self.socket, &News::Dropped { pipe: number, lines: pipe.untold });
        }
        send(&self.socket, &News::Closed { pipe: number, tail: pipe.tail() });
        if !self.pipes.values().any(|other| other.file == pipe.file) {
            self.queue.done_with(pipe.file);
        }
    }

    /// Does what PID 1 wants; `false` once PID 1's end is closed.
    ///
    /// # Errors
    /// A pipe could not be taken over.
    fn take_orders(&mut self, packet: &mut [u8]) -> io::Result<bool> {
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let length = match recvmsg(&*self.socket, &mut [IoSliceMut::new(packet)], &mut ancillary, flags) {
                Ok(message) if message.bytes > 0 => message.bytes,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(true),
                Ok(_) | Err(_) => return Ok(false),
            };
            let end = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut ends) => ends.next(),
                _ => None,
            });
            self.orders += 1;
            self.quiet_since = None;
            match serde_json::from_slice(packet.get(..length).unwrap_or_default()) {
                Ok(Order::Pipe { pipe, to }) => match end {
                    Some(end) => {
                        let file = self.file(to);
                        self.pipes.insert(pipe, Pipe::new(end, file));
                    }
                    // No descriptor was left. PID 1 still has it, and gives it to the next writer.
                    None => {
                        return Err(io::Error::other(
                            "a pipe was lost: raise the limit of open files (nofile)",
                        ));
                    }
                },
                Ok(Order::Forget { pipe }) => self.close(pipe),
                Ok(Order::Append { to, line }) => {
                    let file = self.file(to);
                    if self.queue.room(file) == Room::Yes {
                        self.queue.put(file, line.into_bytes());
                    } else {
                        self.queue.dropped(file, 1);
                    }
                }
                Ok(Order::Reopen) => self.queue.reopen(),
                Err(error) => {
                    send(
                        &self.socket,
                        &News::Trouble { text: format!("an order could not be read: {error}") },
                    );
                }
            }
        }
    }

    fn file(&mut self, to: OutputFile) -> u64 {
        let file = *self.files.entry(to.file.clone()).or_insert_with(|| {
            self.last_file += 1;
            self.last_file
        });
        self.queue.file(file, to);
        file
    }

    fn tell_drops(&mut self) {
        for (&number, pipe) in &mut self.pipes {
            if pipe.untold > 0 && pipe.told.elapsed() >= TICK {
                let told = send(&self.socket, &News::Dropped { pipe: number, lines: pipe.untold });
                pipe.told = Instant::now();
                if told {
                    pipe.untold = 0;
                }
            }
        }
    }

    fn tell_idle(&mut self) {
        if !self.pipes.is_empty() || !self.queue.idle() {
            self.quiet_since = None;
            return;
        }
        let since = *self.quiet_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= IDLE {
            send(&self.socket, &News::Idle { orders: self.orders });
            self.quiet_since = Some(Instant::now());
        }
    }
}

struct Ready {
    socket: bool,
    pipes: Vec<u64>,
}

/// Whether it went out; PID 1 is never waited for.
fn send(socket: &OwnedFd, news: &News) -> bool {
    let Ok(packet) = serde_json::to_vec(news) else { return false };
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &[io::IoSlice::new(&packet)], &mut SendAncillaryBuffer::default(), flags).is_ok()
}
