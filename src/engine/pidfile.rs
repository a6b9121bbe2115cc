//! `postmaster.pid`, the lock file that a postmaster keeps in its data directory.
//!
//! Eight lines (PostgreSQL, `src/include/utils/pidfile.h`): pid, data directory, start time, port, first socket
//! folder, first listen address, shared memory key and id, status. The first five are written at once; the rest
//! comes later and in any order, so every line but the first may be absent or empty.

mod read;
mod verdict;

pub use super::Malformed;
pub use read::read;
pub use verdict::{Evidence, File, Patience, PidVerdict, Process, pidfile_verdict};

/// What the last line says; PostgreSQL pads the words to eight characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Starting up or recovering.
    Starting,
    /// In the shutdown sequence.
    Stopping,
    /// Accepting connections.
    Ready,
    /// Up as a standby that accepts no connections.
    Standby,
}

/// The content of a `postmaster.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    /// Process id, always above 0.
    pub pid: i32,
    /// A standalone backend (`postgres --single`, also what initdb runs), not a postmaster: its pid stands there
    /// negated.
    pub standalone: bool,
    /// The data directory as the postmaster saw it; empty where the line is missing.
    pub data_dir: String,
    /// Start time in seconds since 1970; 0 where the line is missing.
    pub started: i64,
    /// TCP port, also part of the socket's name.
    pub port: Option<u16>,
    /// First folder of the sockets; `None`: no socket, or not yet.
    pub socket_dir: Option<String>,
    /// First listen address or `*`; `None`: no TCP, or not yet.
    pub listen: Option<String>,
    /// Key and id of the System V shared memory segment.
    pub shmem: Option<(u64, i64)>,
    /// The last line; `None` where it is missing or unknown.
    pub status: Option<Status>,
}

/// Reads the content of a `postmaster.pid`.
///
/// # Errors
/// [`Malformed::Empty`] when only white space is there, [`Malformed::Garbage`] when the first line is no process id:
/// PostgreSQL refuses to start over both.
pub fn parse(text: &[u8]) -> Result<PidFile, Malformed> {
    let text = String::from_utf8_lossy(text);
    if text.trim().is_empty() {
        return Err(Malformed::Empty);
    }
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let first = lines.next().unwrap_or_default().trim();
    let signed: i32 = first.parse().unwrap_or(0);
    let pid = signed.checked_abs().unwrap_or(0);
    if pid == 0 {
        let shown: String = first.chars().take(40).collect();
        return Err(Malformed::Garbage(format!("its first line is no process id: {shown:?}")));
    }
    let mut next = || lines.next().unwrap_or_default();
    Ok(PidFile {
        pid,
        standalone: signed < 0,
        data_dir: next().to_owned(),
        started: next().trim().parse().unwrap_or(0),
        port: next().trim().parse().ok(),
        socket_dir: filled(next()),
        listen: filled(next()),
        shmem: shmem(next()),
        status: status(next()),
    })
}

fn filled(line: &str) -> Option<String> {
    (!line.is_empty()).then(|| line.to_owned())
}

fn shmem(line: &str) -> Option<(u64, i64)> {
    let mut words = line.split_ascii_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn status(line: &str) -> Option<Status> {
    match line.trim() {
        "starting" => Some(Status::Starting),
        "stopping" => Some(Status::Stopping),
        "ready" => Some(Status::Ready),
        "standby" => Some(Status::Standby),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As PostgreSQL 15 wrote it.
    const WHOLE: &[u8] = b"27928\n/data\n1795228738\n5432\n/data\n*\n 10018860        12\nready   \n";

    #[test]
    fn a_whole_file() {
        let expected = PidFile {
            pid: 27928,
            standalone: false,
            data_dir: "/data".to_owned(),
            started: 1795228738,
            port: Some(5432),
            socket_dir: Some("/data".to_owned()),
            listen: Some("*".to_owned()),
            shmem: Some((10018860, 12)),
            status: Some(Status::Ready),
        };
        assert_eq!(parse(WHOLE), Ok(expected));
    }

    #[test]
    fn the_first_lines_alone() {
        let file = parse(b"7\n/data\n1795228738\n5432\n\n").unwrap();
        assert_eq!((file.pid, file.port, file.socket_dir, file.status), (7, Some(5432), None, None));
        let file = parse(b"7").unwrap();
        assert_eq!((file.pid, file.data_dir.as_str(), file.started), (7, "", 0));
    }

    #[test]
    fn without_sockets_and_tcp() {
        let file = parse(b"7\n/data\n1\n5432\n\n\n  1  2\nstandby \n").unwrap();
        assert_eq!((file.socket_dir, file.listen, file.status), (None, None, Some(Status::Standby)));
    }

    #[test]
    fn the_states() {
        let status = |word: &str| parse(format!("7\n/d\n1\n1\n\n\n\n{word}\n").as_bytes()).unwrap().status;
        assert_eq!(status("starting"), Some(Status::Starting));
        assert_eq!(status("stopping"), Some(Status::Stopping));
        assert_eq!(status("ready   "), Some(Status::Ready));
        assert_eq!(status("read"), None);
    }

    #[test]
    fn a_standalone_backend() {
        let file = parse(b"-42\n/data\n").unwrap();
        assert_eq!((file.pid, file.standalone), (42, true));
    }

    #[test]
    fn malformed() {
        assert_eq!(parse(b""), Err(Malformed::Empty));
        assert_eq!(parse(b" \n\n"), Err(Malformed::Empty));
        for text in ["0\n", "\n5\n", "pid\n", "99999999999\n", "-2147483648\n", "\0\0\0\0"] {
            assert!(matches!(parse(text.as_bytes()), Err(Malformed::Garbage(_))), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            if let Ok(file) = parse(&bytes) {
                prop_assert!(file.pid > 0);
            }
        }

        #[test]
        fn any_lines(lines in proptest::collection::vec("[-0-9 a-z/]{0,12}", 0..10)) {
            let _ = parse(lines.join("\n").as_bytes());
        }
    }
}
