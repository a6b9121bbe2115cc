//! Programs that tell by themselves that they are ready: systemd's protocol, and s6's.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags,
    SocketType, UCred, bind, getsockname, recvmsg, socket_with, sockopt,
};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::UnixDatagram;
use tokio::net::unix::pipe::Receiver;

use crate::supervisor::procfs;

/// The longest message that is read; what is behind is cut off. systemd reads as much.
const MESSAGE_MAX: usize = 4096;
/// The longest line that a program may write to say that it is ready.
const LINE_MAX: usize = 4096;
/// So many messages are read at once; then others have their turn, for a program may send without end.
const TURN: usize = 64;
/// And this long.
const PAUSE: Duration = Duration::from_millis(10);

/// The socket of `NOTIFY_SOCKET`.
///
/// Abstract, under a name that the kernel chooses: no folder has to be writable, no file is left behind, no name is too long,
/// and two containers on one network do not meet. Anybody may send to it, so the sender's credentials count.
#[derive(Debug)]
pub(crate) struct Socket(UnixDatagram);

impl Socket {
    /// The socket, and its address as `NOTIFY_SOCKET` has it.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new() -> io::Result<(Self, String)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        bind(&socket, &SocketAddrUnix::new_unnamed())?;
        sockopt::set_socket_passcred(&socket, true)?;
        let name = SocketAddrUnix::try_from(getsockname(&socket)?)?;
        let name = name.abstract_name().and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(|| io::Error::other("the kernel gave the socket no name"))?;
        let socket = UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(socket))?;
        Ok((Socket(socket), format!("@{name}")))
    }

    /// The next message with its sender; `None`: none is there.
    fn receive(&self) -> io::Result<Option<(Vec<u8>, Option<UCred>)>> {
        let mut buffer = vec![0; MESSAGE_MAX];
        // There is no room for descriptors, so the kernel closes those that come: who waits for that is a barrier.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(&mut buffer)];
        let length = match recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let sender = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(sender) => Some(sender),
            _ => None,
        });
        buffer.truncate(length);
        Ok(Some((buffer, sender)))
    }
}

/// Calls `ready` when process `main`, or one of its session or below it, has sent `READY=1`. Goes on reading, so that no
/// sender ever waits; all other words are ignored, and the same one said again.
pub(crate) async fn listen(socket: Socket, main: i32, user: u32, ready: impl FnOnce()) {
    let mut ready = Some(ready);
    while socket.0.readable().await.is_ok() {
        for _ in 0..TURN {
            let received = socket.0.try_io(tokio::io::Interest::READABLE, || {
                socket.receive()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
            });
            match received {
                Ok((message, sender)) => {
                    let meant = ready.is_some()
                        && message.split(|&byte| byte == b'\n').any(|line| line == b"READY=1");
                    if meant
                        && sender.is_some_and(|sender| is_of(sender, main, user))
                        && let Some(ready) = ready.take()
                    {
                        ready();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a sender is the main process, of its session, or below it. Of one that has ended meanwhile (`systemd-notify`)
/// nothing but its user is known.
fn is_of(sender: UCred, main: i32, user: u32) -> bool {
    let mut pid = sender.pid.as_raw_nonzero().get();
    let own = sender.uid.as_raw() == user;
    let Some(mut process) = procfs::stat(pid) else { return own };
    // A tree is not deeper than this, and a pid that is used again must not lead in a circle.
    for _ in 0..64 {
        if pid == main || process.session == main {
            return true;
        }
        pid = process.parent;
        match procfs::stat(pid).filter(|_| pid > 1) {
            Some(parent) => process = parent,
            None => return false,
        }
    }
    false
}

/// The pipe of a program that writes a line when it is ready.
#[derive(Debug)]
pub(crate) struct Line(Receiver);

impl Line {
    /// Our end, and the program's.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok((Line(Receiver::from_owned_fd(read)?), write))
    }
}

/// Calls `ready` at the first newline, or when the pipe is closed after something was written. Closed before: it never is,
/// and neither is one that writes and writes, and no newline.
pub(crate) async fn read(line: Line, name: String, ready: impl FnOnce()) {
    let mut written = 0;
    let mut buffer = [0; 256];
    while line.0.readable().await.is_ok() {
        match line.0.try_read(&mut buffer) {
            Ok(0) if written > 0 => return ready(),
            Ok(0) => return,
            Ok(n) => {
                written += n;
                if buffer.iter().take(n).any(|&byte| byte == b'\n') {
                    return ready();
                }
                if written > LINE_MAX {
                    log::warn!(
                        target: &name,
                        "it has written more than {LINE_MAX} bytes and no newline to the descriptor by which it is to say \
                         that it is ready: that is read no further; have it write one line there, or set another ready check"
                    );
                    return;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn what_floods_the_pipe_is_not_read_without_end() {
        let (line, theirs) = Line::new().unwrap();
        std::thread::spawn(move || {
            let mut pipe = std::fs::File::from(theirs);
            while pipe.write_all(&[b'x'; 512]).is_ok() {}
        });
        let ready = Cell::new(false);
        let read = read(line, "flood".into(), || ready.set(true));
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
        assert!(!ready.get());
    }
}
