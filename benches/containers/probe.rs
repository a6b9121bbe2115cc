//! Whether a server takes connections, and which process it is.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_millis(500);
/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server at an address.
#[derive(Debug, Clone, Copy)]
pub struct Server(pub SocketAddr);

impl Server {
    /// Whether it takes connections: it asks a client for its password. While it starts it answers with an error.
    pub fn accepts(self) -> bool {
        let Ok(mut stream) = TcpStream::connect_timeout(&self.0, ANSWER) else { return false };
        let asked = stream.set_read_timeout(Some(ANSWER)).and_then(|()| stream.write_all(&start()));
        let mut first = [0];
        asked.is_ok() && stream.read_exact(&mut first).is_ok() && first == *b"R"
    }

    /// How long it takes from `since` until it accepts.
    pub fn accepted_after(self, since: Instant) -> Result<Duration, String> {
        while since.elapsed() < PATIENCE {
            if self.accepts() {
                return Ok(since.elapsed());
            }
            std::thread::sleep(EVERY);
        }
        Err(format!("it did not accept within {} s", PATIENCE.as_secs()))
    }

    /// Waits until it does not accept.
    pub fn gone(self) {
        let since = Instant::now();
        while self.accepts() && since.elapsed() < PATIENCE {
            std::thread::sleep(EVERY);
        }
    }
}

/// The packet with which a session of role `postgres` begins, in version 3.0 of the protocol.
fn start() -> Vec<u8> {
    let body = b"\x00\x03\x00\x00user\0postgres\0\0";
    let length = u32::try_from(body.len() + 4).expect("a few bytes");
    [length.to_be_bytes().as_slice(), body].concat()
}

/// The postmaster among a container's processes: the `postgres` that is nobody's child of that name.
pub fn postmaster(first: i32) -> Option<i32> {
    let mut all: Vec<(i32, i32, String)> = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let Some(parent) = tail.split_whitespace().nth(1).and_then(|text| text.parse().ok()) else {
            continue;
        };
        let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
        all.push((pid, parent, name));
    }
    let parent = |pid: i32| all.iter().find(|one| one.0 == pid).map_or(0, |one| one.1);
    let name = |pid: i32| all.iter().find(|one| one.0 == pid).map_or("", |one| one.2.as_str());
    let below = |mut pid: i32| {
        while pid > 1 && pid != first {
            pid = parent(pid);
        }
        pid == first
    };
    all.iter()
        .find(|(pid, above, own)| own == "postgres" && below(*pid) && name(*above) != "postgres")
        .map(|(pid, ..)| *pid)
}
