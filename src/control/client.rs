//! The client's side of the control socket: blocking, with a limit of time on each wait.
//!
//! ```no_run
//! use std::{path::Path, time::Duration};
//! use polardb_manager::control::{client::Client, protocol::{Op, Status}};
//!
//! let mut client = Client::connect(Path::new("/run/polardb/supervisor.sock"), Duration::from_secs(5))?;
//! let all: Vec<Status> = client.ask(&Op::Status { program: None })?;
//! # Ok::<(), polardb_manager::control::client::Trouble>(())
//! ```

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::de::DeserializeOwned;

use super::protocol::{Op, Outcome, Refusal, Reply, Request, VERSION};

/// The longest answer, in bytes: a status of a thousand programs has a tenth of it.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;
/// How long to wait for room in the queue of a listener that is busy, before another try.
const ROOM: Duration = Duration::from_millis(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody listens there.
    #[error("{}: {error}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The socket, or a folder above it, is closed to this user.
    #[error("{}: permission denied", path.display())]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// No answer within the limit of time.
    #[error("no answer within {} s", within.as_secs_f32())]
    TimedOut {
        /// The limit.
        within: Duration,
    },
    /// The connection ended before the answer.
    #[error("the supervisor hung up before it answered")]
    HungUp,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// What came is no answer of this version.
    #[error("the answer is not understood: {0}")]
    Garbage(String),
    /// The supervisor said no.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    within: Duration,
}

impl Client {
    /// Connects; `within` is the limit of this and of the wait for each answer.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`], [`Trouble::NotPermitted`] or [`Trouble::TimedOut`].
    pub fn connect(path: &Path, within: Duration) -> Result<Self, Trouble> {
        let unreachable = |error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied => Trouble::NotPermitted { path: path.to_owned() },
            _ => Trouble::Unreachable { path: path.to_owned(), error },
        };
        let stream = UnixStream::from(open(path, within, unreachable)?);
        let ready = || {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(within))?;
            stream.set_write_timeout(Some(within))
        };
        ready().map_err(Trouble::Broken)?;
        Ok(Client { stream: BufReader::new(stream), within })
    }

    /// Asks, and waits for the one answer. `T` of an operation that changes something is `()`.
    ///
    /// # Errors
    /// Any [`Trouble`] but those of connecting.
    pub fn ask<T: DeserializeOwned>(&mut self, op: &Op) -> Result<T, Trouble> {
        self.send(op)?;
        self.answer()?.ok_or(Trouble::HungUp)
    }

    /// Asks for a sequence of answers (`events`, `logs`). With `follow` the wait for the next one has no limit.
    ///
    /// # Errors
    /// The request could not be sent.
    pub fn follow<T: DeserializeOwned>(mut self, op: &Op) -> Result<Replies<T>, Trouble> {
        self.send(op)?;
        if matches!(op, Op::Events { follow: true, .. } | Op::Logs { follow: true, .. }) {
            self.stream.get_ref().set_read_timeout(None).map_err(Trouble::Broken)?;
        }
        Ok(Replies { client: self, over: false, of: PhantomData })
    }

    fn send(&mut self, op: &Op) -> Result<(), Trouble> {
        let mut line = serde_json::to_vec(&Request { v: VERSION, op: op.clone() })
            .map_err(|error| Trouble::Garbage(error.to_string()))?;
        line.push(b'\n');
        match self.stream.get_mut().write_all(&line) {
            // A server that refuses before it reads (too many clients) may have answered all the same.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            sent => sent.map_err(|error| self.broken(error)),
        }
    }

    /// The next line; `None` at the end of the connection.
    fn answer<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Trouble> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(ANSWER_MAX).read_until(b'\n', &mut line);
        if let Err(error) = read {
            return Err(self.broken(error));
        }
        match line.last() {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(_) if line.len() as u64 == ANSWER_MAX => {
                return Err(Trouble::Garbage(format!("it is longer than {ANSWER_MAX} bytes")));
            }
            Some(_) => return Err(Trouble::HungUp),
        }
        read_answer(&line).map(Some)
    }

    fn broken(&self, error: io::Error) -> Trouble {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Trouble::TimedOut { within: self.within },
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Trouble::HungUp,
            _ => Trouble::Broken(error),
        }
    }
}

/// Connects without blocking: a listener whose queue is full would hold a blocking connect for ever.
fn open(
    path: &Path,
    within: Duration,
    unreachable: impl Fn(io::Error) -> Trouble,
) -> Result<OwnedFd, Trouble> {
    let deadline = Instant::now() + within;
    let address = SocketAddrUnix::new(path).map_err(|error| unreachable(error.into()))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|error| unreachable(error.into()))?;
    loop {
        match connect(&socket, &address).map_err(io::Error::from) {
            Ok(()) => return Ok(socket),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if Instant::now() >= deadline {
                    return Err(Trouble::TimedOut { within });
                }
                std::thread::sleep(ROOM);
            }
            Err(error) => return Err(unreachable(error)),
        }
    }
}

fn read_answer<T: DeserializeOwned>(line: &[u8]) -> Result<T, Trouble> {
    match serde_json::from_slice::<Reply<T>>(line) {
        Ok(Reply { result: Outcome::Ok(value), .. }) => Ok(value),
        Ok(Reply { result: Outcome::Error(refusal), .. }) => Err(Trouble::Refused(refusal)),
        Err(error) => Err(Trouble::Garbage(not_understood(line, &error))),
    }
}

/// Another version is the likeliest cause.
fn not_understood(line: &[u8], error: &serde_json::Error) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    match value.as_ref().and_then(|value| value.get("v")).and_then(serde_json::Value::as_u64) {
        Some(version) if version != u64::from(VERSION) => {
            format!("it is of version {version} of the protocol, this program speaks version {VERSION}")
        }
        _ => error.to_string(),
    }
}

/// The answers to [`Client::follow`], until either side hangs up or the last one has come.
#[derive(Debug)]
pub struct Replies<T> {
    client: Client,
    over: bool,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> Iterator for Replies<T> {
    type Item = Result<T, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = match self.client.answer::<Option<T>>() {
            // `ok: null` is the last line; a supervisor that ends hangs up.
            Ok(None | Some(None)) => None,
            Ok(Some(Some(value))) => Some(Ok(value)),
            Err(trouble) => Some(Err(trouble)),
        };
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::control::protocol::{Code, Line};

    const SOON: Duration = Duration::from_secs(20);
    const BRIEF: Duration = Duration::from_millis(50);

    /// A server for one client, which answers its first line with `answer` and then hangs up.
    fn serving(answer: &'static [u8]) -> (tempfile::TempDir, PathBuf, std::thread::JoinHandle<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            stream.write_all(answer).unwrap();
            asked
        });
        (dir, path, server)
    }

    fn reload(answer: &'static [u8]) -> Result<(), Trouble> {
        let (_dir, path, server) = serving(answer);
        let result = Client::connect(&path, SOON).unwrap().ask(&Op::Reload {});
        assert_eq!(server.join().unwrap(), "{\"v\":1,\"op\":\"reload\"}\n");
        result
    }

    #[test]
    fn one_answer() {
        assert!(matches!(reload(b"{\"v\":1,\"ok\":null}\n"), Ok(())));
        let refused = reload(b"{\"v\":1,\"error\":{\"code\":\"busy\",\"message\":\"too many\"}}\n");
        assert!(
            matches!(refused, Err(Trouble::Refused(Refusal { code: Code::Busy, message })) if message == "too many")
        );
        assert!(matches!(reload(b""), Err(Trouble::HungUp)));
        assert!(matches!(reload(b"{\"v\":1"), Err(Trouble::HungUp)));
        assert!(matches!(reload(b"what?\n"), Err(Trouble::Garbage(_))));
        let other = reload(b"{\"v\":2,\"okay\":null}\n").unwrap_err();
        assert!(other.to_string().contains("version 2"), "{other}");
    }

    #[test]
    fn answers_until_the_last() {
        let op = Op::Logs { program: "a".into(), last: None, follow: false };
        for (end, lines) in [("{\"v\":1,\"ok\":null}\n{\"v\":1}\n", 2), ("", 2), ("{", 3)] {
            let answer = format!(
                "{{\"v\":1,\"ok\":{{\"seq\":1,\"text\":\"x\"}}}}\n{{\"v\":1,\"ok\":{{\"seq\":2,\"text\":\"y\"}}}}\n{end}"
            );
            let (_dir, path, server) = serving(answer.leak().as_bytes());
            let replies: Vec<Result<Line, Trouble>> =
                Client::connect(&path, SOON).unwrap().follow(&op).unwrap().collect();
            assert_eq!(replies.len(), lines, "{replies:?}");
            assert!(matches!(&replies[1], Ok(Line { seq: 2, text }) if text == "y"));
            server.join().unwrap();
        }
    }

    #[test]
    fn nobody_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let connect = || Client::connect(&path, SOON).map(|_| ());
        assert!(matches!(connect(), Err(Trouble::Unreachable { .. })));
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(connect(), Err(Trouble::Unreachable { .. })));
        let long = dir.path().join("x".repeat(200));
        assert!(matches!(Client::connect(&long, SOON), Err(Trouble::Unreachable { .. })));
    }

    #[test]
    fn a_server_that_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut client = Client::connect(&path, BRIEF).unwrap();
        assert!(matches!(client.ask::<()>(&Op::Reload {}), Err(Trouble::TimedOut { .. })));
        // Nobody accepts, so that the queue of the listener is full at some time.
        let mut held = Vec::new();
        let trouble = loop {
            match Client::connect(&path, BRIEF) {
                Ok(client) => held.push(client),
                Err(trouble) => break trouble,
            }
            assert!(held.len() < 100_000);
        };
        assert!(matches!(trouble, Trouble::TimedOut { .. }), "{trouble}");
    }
}
