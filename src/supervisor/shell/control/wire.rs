//! Reading from a client and writing to one: both have an end, whatever the client does.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::control::protocol::{Code, Outcome, Refusal, Reply, VERSION};
use crate::control::request::Lines;

/// A client that says nothing at all is dropped after this.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// A client has this long from the answer before (or from its begin) to the end of its next request.
const NEXT_REQUEST: Duration = Duration::from_secs(60);
/// A client that takes nothing of its answer for this long is dropped.
const STALLED: Duration = Duration::from_secs(10);
/// A client that has not taken the whole of one answer after this is dropped.
const ANSWER: Duration = Duration::from_secs(60);
/// How much is read at once, in bytes.
const CHUNK: usize = 8 * 1024;

/// One client's connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    lines: Lines,
    heard: bool,
}

/// What a client has sent.
#[derive(Debug)]
pub(super) enum Heard {
    /// A request's line.
    Line(Vec<u8>),
    /// What is no request any more.
    Unreadable(Refusal),
    /// It has hung up, or has said nothing for too long.
    Nothing,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Wire { stream, lines: Lines::default(), heard: false }
    }

    /// The next request.
    pub(super) async fn hear(&mut self) -> Heard {
        let begin = Instant::now();
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) => return Heard::Line(line),
                Ok(None) => {}
                Err(refusal) => return Heard::Unreadable(refusal),
            }
            let limit = if self.heard { NEXT_REQUEST } else { FIRST_BYTE };
            match timeout_at(begin + limit, self.read()).await {
                Ok(Ok(n)) if n > 0 => self.heard = true,
                _ => return Heard::Nothing,
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            let mut buffer = [0; CHUNK];
            match self.stream.try_read(&mut buffer) {
                Ok(n) => {
                    self.lines.push(buffer.get(..n).unwrap_or_default());
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a whole answer.
    ///
    /// # Errors
    /// The client has hung up, or does not read.
    pub(super) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        let end = Instant::now() + ANSWER;
        while !bytes.is_empty() {
            if Instant::now() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            timeout(STALLED, self.stream.writable()).await??;
            match self.stream.try_write(bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the client hangs up, or sends something where it is to listen.
    pub(super) async fn hung_up(&self) {
        while self.stream.ready(Interest::READABLE).await.is_ok() {
            // What is known of its readiness may be old.
            match self.stream.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

/// Says no to a client that is not served, if that can be done at once.
pub(super) fn refuse_at_once(stream: &UnixStream, refusal: Refusal) {
    // A fresh socket takes a line at once; who it is not for has gone.
    let _ = stream.try_io(Interest::WRITABLE, || {
        Ok(rustix::net::send(stream, &error_line(refusal), rustix::net::SendFlags::NOSIGNAL)?)
    });
}

/// A line that says no.
pub(super) fn error_line(refusal: Refusal) -> Vec<u8> {
    line_of(&Reply::<()> { v: VERSION, result: Outcome::Error(refusal) })
}

/// A line with the value.
pub(super) fn ok_line<T: Serialize>(value: T) -> Vec<u8> {
    line_of(&Reply { v: VERSION, result: Outcome::Ok(value) })
}

/// A line with a value that is JSON already.
pub(super) fn ok_raw(json: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(format!("{{\"v\":{VERSION},\"ok\":").as_bytes());
    to.extend_from_slice(json.as_bytes());
    to.extend_from_slice(b"}\n");
}

fn line_of<T: Serialize>(reply: &Reply<T>) -> Vec<u8> {
    let mut line = serde_json::to_vec(reply).unwrap_or_else(|error| {
        // Nothing of ours fails to become JSON; if it did, the client would have to know.
        format!("{{\"v\":{VERSION},\"error\":{{\"code\":\"bad_request\",\"message\":\"no answer could be written: {}\"}}}}", error.classify() as u8)
            .into_bytes()
    });
    line.push(b'\n');
    line
}

/// A refusal.
pub(super) fn refusal(code: Code, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into() }
}
