//! Running the `prepare` child: what it is told, and what it answers.

use std::io::{Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use crate::supervisor::prepare::protocol::{Order, REPORT_MAX, Report};

/// PID 1's end of the report socket.
#[derive(Debug, Clone)]
pub(crate) struct Reports(Rc<UnixDatagram>);

impl Reports {
    /// A socket: ours, and the child's.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new() -> std::io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        // The standard library knows no packet sockets; all that is used of this one is that it can be waited for.
        let ours = UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(ours))?;
        Ok((Reports(Rc::new(ours)), theirs))
    }

    /// The packets that are there, each with the descriptor that it carries.
    pub(crate) fn take(&self) -> Vec<(Report, Option<OwnedFd>)> {
        let mut packets = Vec::new();
        let mut buffer = vec![0; REPORT_MAX];
        while let Some(packet) = receive(&*self.0, &mut buffer) {
            match packet {
                (Ok(report), descriptor) => packets.push((report, descriptor)),
                (Err(error), _) => log::warn!("a report of the prepare child could not be read: {error}"),
            }
        }
        packets
    }

    /// Calls `f` whenever packets have come, until it says `false` or the child's end is closed.
    pub(crate) async fn on_packet(self, mut f: impl FnMut() -> bool) {
        while let Ok(ready) = self.0.ready(Interest::READABLE).await {
            // Before they are read: a packet that comes meanwhile makes the socket ready again.
            let _ = self.0.try_io(Interest::READABLE, || Err::<(), _>(std::io::ErrorKind::WouldBlock.into()));
            if !f() || ready.is_read_closed() {
                return;
            }
        }
    }
}

/// A report that came, and the descriptor that it carries.
type Packet = (serde_json::Result<Report>, Option<OwnedFd>);

/// The packet that comes next; `None`: the other end is closed, or, where the socket does not block, none is there.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Option<Packet> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [std::io::IoSliceMut::new(buffer)];
        let length = match recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) if message.bytes > 0 => message.bytes,
            Err(Errno::INTR) => continue,
            Ok(_) | Err(_) => return None,
        };
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        return Some((serde_json::from_slice(buffer.get(..length).unwrap_or_default()), descriptor));
    }
}

/// The order as the child's standard input: in memory, so that writing it never waits for the child.
///
/// # Errors
/// No descriptor or memory left.
pub(crate) fn as_stdin(order: &Order) -> std::io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create("order", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(order)?)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}
