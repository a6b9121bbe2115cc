//! What a server says first to a client that connects: whether it takes connections.
//!
//! Messages as in PostgreSQL's documentation, "Frontend/Backend Protocol": a start-up packet is answered with a request
//! for authentication (`R`) or an error (`E`). While it starts up, recovers or shuts down the error's code is `57P03`.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::pidfile;

/// Version 3.0 of the protocol, which all servers since PostgreSQL 7.4 speak.
const PROTOCOL: u32 = 3 << 16;
/// Longer than any message before a session begins; a first length above it is the text of an error in the form of
/// version 2, which a postmaster sends that cannot fork (libpq judges so too).
const MESSAGE_MAX: usize = 30_000;
/// How much is read of what follows a welcome.
const SESSION_MAX: u64 = 64 * 1024;
/// More than a `postmaster.pid` holds.
const PID_FILE_MAX: u64 = 4096;

/// What a server says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// It lets the client in, or asks for a password.
    Welcome,
    /// An error.
    Refusal {
        /// Its five characters; empty where it bears none.
        code: String,
        /// Its words.
        message: String,
    },
}

impl Greeting {
    /// Whether it takes connections. One that refuses this role (class 28) or database (3D) does: it has got as far as
    /// to look them up. One that starts up, recovers, shuts down, or has no room for another session does not.
    #[must_use]
    pub fn takes_connections(&self) -> bool {
        match self {
            Greeting::Welcome => true,
            Greeting::Refusal { code, .. } => code.starts_with("28") || code.starts_with("3D"),
        }
    }
}

/// Connects to the server of `data_dir` over its socket, as role `postgres`. `Err`: nobody answers, in words. It may
/// block for longer than `within` where the disk hangs: it looks at `postmaster.pid` for what `port` and `socket_dirs`
/// are in truth.
///
/// # Errors
/// Why there is no answer, in words.
pub fn greet(
    data_dir: &Path,
    socket_dirs: &[PathBuf],
    port: u16,
    within: Duration,
) -> Result<Greeting, String> {
    let deadline = Instant::now() + within;
    let mut trouble = "it has no socket: unix_socket_directories is empty".to_owned();
    for socket in sockets(data_dir, socket_dirs, port) {
        match greet_at(&socket, deadline) {
            Ok(greeting) => return Ok(greeting),
            Err(error) => trouble = format!("{}: {}", socket.display(), in_words(&error)),
        }
    }
    Err(trouble)
}

/// Whether something listens on a socket; nothing is said to it, and nothing waited for.
pub fn listens(socket: &Path) -> bool {
    // EAGAIN: its queue is full.
    matches!(knock(socket), Ok(()) | Err(rustix::io::Errno::AGAIN))
}

/// Whether a socket is there that no process of this machine holds, in whatever container: whoever made it is dead.
pub fn is_left(socket: &Path) -> bool {
    knock(socket) == Err(rustix::io::Errno::CONNREFUSED)
}

fn knock(socket: &Path) -> Result<(), rustix::io::Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&probe, &SocketAddrUnix::new(socket)?)
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it hung up without an answer".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Where the server may listen: what its pid file says first.
fn sockets(data_dir: &Path, socket_dirs: &[PathBuf], port: u16) -> Vec<PathBuf> {
    let said = read_pid_file(data_dir);
    let told = said.as_ref().and_then(|file| file.socket_dir.as_ref()).map(|dir| data_dir.join(dir));
    let port = said.and_then(|file| file.port).unwrap_or(port);
    let mut all: Vec<PathBuf> = Vec::new();
    for dir in told.iter().chain(socket_dirs) {
        let socket = dir.join(format!(".s.PGSQL.{port}"));
        if !all.contains(&socket) {
            all.push(socket);
        }
    }
    all
}

/// `None`: absent, or not for this user.
fn read_pid_file(data_dir: &Path) -> Option<pidfile::PidFile> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file =
        std::fs::OpenOptions::new().read(true).custom_flags(flags).open(data_dir.join("postmaster.pid"));
    let mut text = Vec::new();
    file.ok()?.take(PID_FILE_MAX).read_to_end(&mut text).ok()?;
    pidfile::parse(&text).ok()
}

fn greet_at(socket: &Path, deadline: Instant) -> io::Result<Greeting> {
    let mut stream = Until { stream: open(socket)?, deadline };
    stream.arm()?;
    stream.stream.write_all(&startup_packet())?;
    let (greeting, session) = read_greeting(&mut stream)?;
    if session {
        // A server whose client is gone before the session has begun complains in its log.
        finish(&mut stream);
    }
    Ok(greeting)
}

/// Without blocking: a server whose queue is full would hold a blocking connect for ever.
fn open(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &address)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A stream that is read until a deadline, however slowly the other side writes.
struct Until {
    stream: UnixStream,
    deadline: Instant,
}

impl Until {
    fn arm(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_write_timeout(Some(left))?;
        self.stream.set_read_timeout(Some(left))
    }
}

impl Read for Until {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        self.stream.read(bytes)
    }
}

fn startup_packet() -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for word in ["user", "postgres", "database", "postgres", "application_name", "polarctl"] {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len()).unwrap_or_default() + 4;
    let mut packet = length.to_be_bytes().to_vec();
    packet.append(&mut body);
    packet
}

/// The greeting, and whether a session begins after it.
fn read_greeting(stream: &mut impl Read) -> io::Result<(Greeting, bool)> {
    // A server may say what it does not support, or give notice, before it comes to the point.
    for _ in 0..8 {
        let (tag, length) = read_head(stream)?;
        if tag == b'E' && !(8..=MESSAGE_MAX).contains(&length) {
            return Ok((old_refusal(length, stream), false));
        }
        if !(4..=MESSAGE_MAX).contains(&length) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its answer is none of a PostgreSQL server",
            ));
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body)?;
        match tag {
            b'R' => return Ok((Greeting::Welcome, body.starts_with(&[0; 4]))),
            b'E' => return Ok((refusal(&body), false)),
            b'N' | b'v' => {}
            _ => break,
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is none of a PostgreSQL server"))
}

/// The kind of a message, and its length without that byte.
fn read_head(stream: &mut impl Read) -> io::Result<(u8, usize)> {
    let (mut tag, mut length) = ([0; 1], [0; 4]);
    stream.read_exact(&mut tag)?;
    stream.read_exact(&mut length)?;
    let [tag] = tag;
    Ok((tag, usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX)))
}

fn refusal(body: &[u8]) -> Greeting {
    let field = |kind: u8| {
        let mut fields = body.split(|byte| *byte == 0);
        fields
            .find_map(|field| field.split_first().filter(|(first, _)| **first == kind))
            .map(|(_, text)| text)
    };
    let text = |kind| String::from_utf8_lossy(field(kind).unwrap_or_default()).into_owned();
    Greeting::Refusal { code: text(b'C'), message: text(b'M') }
}

/// An error in the form of version 2: text until the end, of which the first four bytes were taken for a length.
fn old_refusal(length: usize, stream: &mut impl Read) -> Greeting {
    let mut text = u32::try_from(length).unwrap_or_default().to_be_bytes().to_vec();
    // What has come is as much as can be told.
    let _ = stream.take(1024).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).trim_end_matches(['\0', '\n']).to_owned();
    Greeting::Refusal { code: String::new(), message: text }
}

/// Waits until the session has begun and ends it, as far as there is time.
fn finish(stream: &mut Until) {
    let mut left = SESSION_MAX;
    while let Ok((tag, length)) = read_head(stream) {
        let body = length.saturating_sub(4) as u64;
        if body > left {
            break;
        }
        left -= body;
        // To its last byte: hanging up on unread bytes is a broken connection to the other side.
        let read = io::copy(&mut stream.take(body), &mut io::sink());
        if matches!(tag, b'Z' | b'E') || !read.is_ok_and(|read| read == body) {
            break;
        }
    }
    // One that has gone meanwhile needs no farewell.
    let _ = stream.stream.write_all(&[b'X', 0, 0, 0, 4]);
}

#[cfg(test)]
mod tests;
