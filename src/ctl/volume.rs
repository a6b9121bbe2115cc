//! An engine, by what its data volume shows.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control::protocol::Engine;
use crate::engine::greeting::{Greeting, greet};
use crate::engine::pidfile::{self, PidFile};

/// How long a server may take to answer a client.
const ANSWER: Duration = Duration::from_secs(2);

/// What the data directory shows of its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// No `postmaster.pid`: nothing runs.
    Down,
    /// A `postmaster.pid` that names a process, and in words why that one does not serve yet.
    Busy(i32, String),
    /// It serves.
    Ready(i32),
}

/// Looks at the data directory, and asks the server behind its socket.
///
/// # Errors
/// The data directory cannot be looked into.
pub(crate) fn look(data_dir: &Path) -> io::Result<Shown> {
    let Some(file) = pidfile::read(data_dir)? else { return Ok(Shown::Down) };
    let pid = file.pid;
    Ok(match file.status {
        Some(pidfile::Status::Ready | pidfile::Status::Standby) => {
            let folders = [data_dir.to_owned()];
            // Where its socket is in no folder of ours the word of its pid file must do.
            let in_reach = sockets(Some(&file), &folders, 0)
                .iter()
                .any(|(folder, port)| folder.join(format!(".s.PGSQL.{port}")).symlink_metadata().is_ok());
            match answers(data_dir, &folders, file.port.unwrap_or_default()) {
                Err(why) if in_reach => Shown::Busy(pid, why),
                _ => Shown::Ready(pid),
            }
        }
        Some(pidfile::Status::Stopping) => Shown::Busy(pid, "it is shutting down".into()),
        _ => Shown::Busy(pid, "it is starting up or recovering".into()),
    })
}

/// Whether a server takes connections; else why not.
///
/// # Errors
/// Why not, in words.
pub(crate) fn answers(data_dir: &Path, folders: &[PathBuf], port: u16) -> Result<(), String> {
    match greet(data_dir, folders, port, ANSWER)? {
        greeting if greeting.takes_connections() => Ok(()),
        Greeting::Refusal { message, .. } => Err(message),
        Greeting::Welcome => Ok(()),
    }
}

/// Folder and port of the sockets that an engine may have: where its pid file says, if that can be read, then where it
/// is configured.
pub(crate) fn sockets_of(engine: &Engine) -> Vec<(PathBuf, u16)> {
    let told = pidfile::read(Path::new(&engine.data_dir)).ok().flatten();
    let folders: Vec<PathBuf> = engine.socket_dir.iter().map(PathBuf::from).collect();
    sockets(told.as_ref(), &folders, engine.port)
}

fn sockets(told: Option<&PidFile>, folders: &[PathBuf], port: u16) -> Vec<(PathBuf, u16)> {
    let port = told.and_then(|file| file.port).unwrap_or(port);
    let first = told.and_then(|file| file.socket_dir.clone()).map(PathBuf::from);
    let mut all: Vec<(PathBuf, u16)> = Vec::new();
    for folder in first.into_iter().chain(folders.iter().cloned()) {
        if !all.iter().any(|(known, _)| *known == folder) {
            all.push((folder, port));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_a_data_directory_shows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert_eq!(look(path).unwrap(), Shown::Down);
        assert!(look(&path.join("absent")).is_err());
        let pid_file = |status: &str| {
            let text = format!("7\n{0}\n1\n5432\n{0}\n*\n 1 1\n{status}\n", path.display());
            fs::write(path.join("postmaster.pid"), text).unwrap();
        };
        fs::write(path.join("postmaster.pid"), "").unwrap();
        assert!(matches!(look(path).unwrap(), Shown::Busy(0, _)));
        for (status, words) in [("starting", "starting"), ("stopping", "shutting"), ("", "starting")] {
            pid_file(status);
            assert!(matches!(look(path).unwrap(), Shown::Busy(7, why) if why.contains(words)), "{status}");
        }
        pid_file("ready   ");
        assert_eq!(look(path).unwrap(), Shown::Ready(7), "a socket out of reach");
        let listener = UnixListener::bind(path.join(".s.PGSQL.5432")).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Hanging up on what was not read would be a broken connection.
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream.write_all(b"R\0\0\0\x08\0\0\0\x0a").unwrap();
        });
        assert_eq!(look(path).unwrap(), Shown::Ready(7));
        server.join().unwrap();
        assert!(matches!(look(path).unwrap(), Shown::Busy(7, why) if why.contains("nobody listens")));
    }
}
