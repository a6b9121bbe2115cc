//! PID 1's side of the writer: what it was given, so that a dead one is replaced and nothing is lost but what it had
//! taken already.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_local;

use super::capture::{Capture, Form};
use super::lines::Lines;
use super::program::Role;
use super::spawn::{Group, Launch, Stdin, in_words, spawn};
use super::{Input, Shell, logger};
use crate::config::OutputFile;
use crate::supervisor::writer::protocol::{News, Order, PACKET_MAX};

/// How many pipes of one program are kept: that of its run, and those that processes of earlier runs still have open.
const PIPES: usize = 8;
/// How many lines wait for a writer.
const LINES: usize = 256;
/// The first pause before a writer that died is replaced, and the longest.
const BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// A writer that lived this long is replaced at once.
const HEALTHY: Duration = Duration::from_secs(30);
/// How soon one is made again that could not be made.
const AGAIN: Duration = Duration::from_secs(1);
/// How often drops are said.
const SAY_DROPS: Duration = Duration::from_secs(10);
/// How long PID 1 waits at its end for what the writer has in hand.
const REST: Duration = Duration::from_millis(200);

/// The writer, whether it runs or not.
#[derive(Debug)]
pub(crate) struct Writer {
    pipes: BTreeMap<u64, Held>,
    last_pipe: u64,
    /// Orders that have not gone out, but those for pipes.
    orders: VecDeque<Order>,
    lost_lines: u64,
    socket: Option<Rc<UnixDatagram>>,
    /// How many orders have gone to this one.
    sent: u64,
    begun: Instant,
    backoff: Duration,
    not_before: Option<Instant>,
    /// When the shell is woken for it.
    timer: Option<Instant>,
    tell: UnboundedSender<Input>,
}

/// A pipe that the writer reads.
#[derive(Debug)]
struct Held {
    program: String,
    lines: Lines,
    end: OwnedFd,
    to: OutputFile,
    given: bool,
    unsaid: u64,
    said: Option<Instant>,
}

impl Writer {
    pub(crate) fn new(tell: UnboundedSender<Input>) -> Self {
        Writer {
            pipes: BTreeMap::new(),
            last_pipe: 0,
            orders: VecDeque::new(),
            lost_lines: 0,
            socket: None,
            sent: 0,
            begun: Instant::now(),
            backoff: Duration::ZERO,
            not_before: None,
            timer: None,
            tell,
        }
    }

    /// The write end of a pipe whose lines go into a file.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn pipe(&mut self, program: &str, lines: Lines, to: OutputFile) -> io::Result<OwnedFd> {
        let (end, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        // The flag is one of the read end alone: a program that fills the pipe waits, as it expects to.
        rustix::io::ioctl_fionbio(&end, true)?;
        self.last_pipe += 1;
        let held = Held { program: program.to_owned(), lines, end, to, given: false, unsaid: 0, said: None };
        self.pipes.insert(self.last_pipe, held);
        let mut of_program = self.pipes.iter().filter(|(_, held)| held.program == program);
        if let Some(oldest) = of_program.next().map(|(&pipe, _)| pipe).filter(|_| of_program.count() >= PIPES)
        {
            log::warn!(
                target: program,
                "processes of more than {PIPES} runs still have its output open: that of the oldest is read no further"
            );
            self.pipes.remove(&oldest);
            self.orders.push_back(Order::Forget { pipe: oldest });
        }
        self.wake();
        Ok(theirs)
    }

    /// Appends a line to a file.
    #[allow(dead_code, reason = "for the control socket and the journal of events")]
    pub(crate) fn append(&mut self, to: &OutputFile, line: &str) {
        if self.orders.len() >= LINES || line.len() > PACKET_MAX / 2 {
            self.lost_lines += 1;
            return;
        }
        self.orders.push_back(Order::Append { to: to.clone(), line: format!("{line}\n") });
        self.wake();
    }

    /// Has all files opened again; `false`: none is open.
    pub(crate) fn reopen(&mut self) -> bool {
        if self.socket.is_some() {
            self.orders.push_back(Order::Reopen);
            self.wake();
        }
        self.socket.is_some()
    }

    fn wake(&self) {
        let _ = self.tell.send(Input::Writer);
    }

    fn has_orders(&self) -> bool {
        !self.orders.is_empty() || self.pipes.values().any(|held| !held.given)
    }

    /// Sends what has not gone out; what the socket has no room for goes later.
    fn send_orders(&mut self) {
        let Some(socket) = self.socket.clone() else { return };
        let unsent = self.pipes.iter_mut().filter(|(_, held)| !held.given);
        let mut full = false;
        for (&pipe, held) in unsent {
            let order = Order::Pipe { pipe, to: held.to.clone() };
            if send(&socket, &order, Some(held.end.as_fd())).is_err() {
                full = true;
                break;
            }
            held.given = true;
            self.sent += 1;
        }
        while !full && let Some(order) = self.orders.front() {
            match send(&socket, order, None) {
                Ok(()) => {
                    self.orders.pop_front();
                    self.sent += 1;
                }
                Err(_) => full = true,
            }
        }
        if full {
            let tell = self.tell.clone();
            spawn_local(async move {
                if socket.writable().await.is_ok() {
                    // The readiness is used up, or this would go round and round.
                    let busy = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = socket.try_io(Interest::WRITABLE, busy);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    let _ = tell.send(Input::Writer);
                }
            });
        } else if self.lost_lines > 0 {
            log::warn!(
                target: logger::SELF,
                "{} lines for files were dropped: there was no writer to take them",
                std::mem::take(&mut self.lost_lines)
            );
        }
    }

    /// What the writer tells; `false`: it has gone.
    fn take_news(&mut self) -> bool {
        // One that was let go is not listened to: its end is the one that was asked for.
        while let Some(socket) = self.socket.clone() {
            match receive(&socket) {
                Ok(Some(news)) => self.heed(news),
                Ok(None) => return false,
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn heed(&mut self, news: News) {
        match news {
            News::Closed { pipe, tail } => {
                if let Some(mut held) = self.pipes.remove(&pipe) {
                    held.say_drops(true);
                    tail.iter().for_each(|line| held.lines.push(line.as_bytes()));
                }
            }
            News::Dropped { pipe, lines } => {
                if let Some(held) = self.pipes.get_mut(&pipe) {
                    held.lines.add_dropped(lines);
                    held.unsaid += lines;
                    held.say_drops(false);
                }
            }
            News::Trouble { text } => log::warn!(target: logger::SELF, "{text}"),
            News::Over { text } => {
                log::info!(target: logger::SELF, "{text}");
                self.pipes.values_mut().for_each(|held| held.say_drops(true));
            }
            News::Idle { orders } => {
                if orders == self.sent && self.pipes.is_empty() && self.orders.is_empty() {
                    self.dismiss();
                }
            }
        }
    }

    /// Lets it go once it has written what it has; the next need makes another one.
    fn dismiss(&mut self) {
        if let Some(socket) = self.socket.take() {
            let _ = shutdown(&*socket, Shutdown::Write);
        }
    }

    /// PID 1 ends: what the writer has in hand it may write, but PID 1 does not wait for a disk.
    pub(crate) fn finish(&mut self) {
        self.take_news();
        self.send_orders();
        let Some(socket) = self.socket.clone() else { return };
        let _ = shutdown(&*socket, Shutdown::Write);
        let until = Instant::now() + REST;
        while self.take_news() && self.socket.is_some() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(timeout) = Timespec::try_from(left) else { return };
            let mut asked = [PollFd::new(&*socket, PollFlags::IN)];
            if left.is_zero() || poll(&mut asked, Some(&timeout)).is_err_and(|error| error != Errno::INTR) {
                return;
            }
        }
    }
}

impl Held {
    fn say_drops(&mut self, at_once: bool) {
        let due = at_once || self.said.is_none_or(|said| said.elapsed() >= SAY_DROPS);
        if self.unsaid > 0 && due {
            let file = self.to.file.display();
            log::warn!(target: &self.program, "{} lines were dropped: {file} could not take them", self.unsaid);
            (self.unsaid, self.said) = (0, Some(Instant::now()));
        }
    }
}

impl Shell {
    /// News from the writer, or of it.
    pub(super) fn see_to_writer(&mut self) {
        let writer = &mut self.writer;
        if !writer.take_news() {
            writer.socket = None;
            writer.pipes.values_mut().for_each(|held| held.given = false);
            let lived = writer.begun.elapsed();
            let more = (writer.backoff * 2).clamp(BACKOFF, LONGEST_BACKOFF);
            writer.backoff = if lived >= HEALTHY { Duration::ZERO } else { more };
            writer.not_before = Some(Instant::now() + writer.backoff);
            log::warn!(
                target: logger::SELF,
                "the writer of log files has died: another one takes its place in {:.1} s; what it had read and not \
                 written is lost",
                writer.backoff.as_secs_f64()
            );
        }
        let writer = &mut self.writer;
        if writer.socket.is_none() && (writer.has_orders()) {
            let pause = writer.not_before.map(|at| at.saturating_duration_since(Instant::now()));
            match pause.filter(|pause| !pause.is_zero()) {
                Some(pause) => return self.writer_later(pause),
                None => {
                    if let Err(error) = self.start_writer() {
                        log::error!(
                            target: logger::SELF,
                            "no process can be made to write log files: {}; tried again each second",
                            in_words(&error)
                        );
                        self.writer.not_before = Some(Instant::now() + AGAIN);
                        return self.writer_later(AGAIN);
                    }
                }
            }
        }
        self.writer.send_orders();
    }

    fn writer_later(&mut self, pause: Duration) {
        let at = Instant::now() + pause;
        if self.writer.timer.is_some_and(|set| set > Instant::now() && set <= at) {
            return;
        }
        self.writer.timer = Some(at);
        let tell = self.tell.clone();
        spawn_local(async move {
            tokio::time::sleep(pause).await;
            let _ = tell.send(Input::Writer);
        });
    }

    fn start_writer(&mut self) -> io::Result<()> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        // The standard library knows no packet sockets; all that is used of this one is that it can be waited for.
        let ours = Rc::new(UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(ours))?);
        let (capture, output) = Capture::new(self.stdout.clone(), Form::Plain, Lines::default())?;
        let launched = spawn(Launch {
            argv: &["/proc/self/exe".into(), "writer".into()],
            // Ours holds passwords, and it needs nothing of it.
            environment: Some(Vec::new()),
            user: None,
            process: None,
            stdin: Stdin::From(theirs),
            output: Some(output),
            descriptors: Vec::new(),
            mask: self.signals.inherited_mask(),
            group: Group::Session,
            working_dir: None,
            lenient: false,
        })?;
        self.processes.insert(launched.pid.as_raw(), Role::Helper);
        spawn_local(capture.pump_all());
        spawn_local(listen(Rc::clone(&ours), self.tell.clone()));
        (self.writer.socket, self.writer.sent, self.writer.begun) = (Some(ours), 0, Instant::now());
        Ok(())
    }
}

/// Tells the shell whenever there is something to read, until the writer's end is closed.
async fn listen(socket: Rc<UnixDatagram>, tell: UnboundedSender<Input>) {
    while let Ok(ready) = socket.ready(Interest::READABLE).await {
        // Before it is read: a packet that comes meanwhile makes the socket ready again.
        let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        if tell.send(Input::Writer).is_err() || ready.is_read_closed() {
            return;
        }
    }
}

fn send(socket: &UnixDatagram, order: &Order, end: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let packet = serde_json::to_vec(order)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let ends: Vec<BorrowedFd<'_>> = end.into_iter().collect();
    if !ends.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&ends)) {
        return Err(io::Error::other("no room for the descriptor"));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(&packet)], &mut ancillary, flags)?;
    Ok(())
}

/// One packet; `None`: the other end is closed.
fn receive(socket: &UnixDatagram) -> Result<Option<News>, Errno> {
    let mut packet = [0; 16 * 1024];
    let mut ancillary = RecvAncillaryBuffer::default();
    let message = recvmsg(socket, &mut [IoSliceMut::new(&mut packet)], &mut ancillary, RecvFlags::DONTWAIT)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    match serde_json::from_slice(packet.get(..message.bytes).unwrap_or_default()) {
        Ok(news) => Ok(Some(news)),
        Err(error) => Ok(Some(News::Trouble { text: format!("the writer cannot be understood: {error}") })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that says `news` and is gone before PID 1 has read it.
    fn taken_from_one_that_is_gone(news: &[News]) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        rustix::io::ioctl_fionbio(&ours, true).unwrap();
        for news in news {
            rustix::io::write(&theirs, &serde_json::to_vec(news).unwrap()).unwrap();
        }
        drop(theirs);
        let mut writer = Writer::new(tokio::sync::mpsc::unbounded_channel().0);
        let ours = UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(ours)).unwrap();
        writer.socket = Some(Rc::new(ours));
        writer.take_news()
    }

    #[test]
    fn one_that_goes_as_soon_as_it_is_let_go_has_not_died() {
        assert!(taken_from_one_that_is_gone(&[News::Idle { orders: 0 }]));
    }

    #[test]
    fn one_that_goes_without_being_let_go_has_died() {
        assert!(!taken_from_one_that_is_gone(&[]));
        assert!(!taken_from_one_that_is_gone(&[News::Idle { orders: 1 }]), "an order was under way");
    }
}
