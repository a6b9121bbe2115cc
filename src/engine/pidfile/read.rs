//! Reading a `postmaster.pid` where it lies.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{PidFile, parse};

/// More than a `postmaster.pid` holds, in bytes.
const LONGEST: u64 = 8192;

/// The pid file of a data directory; `None`: there is none. One that is empty or no pid file at all names process 0:
/// whoever writes one has opened it before it has its content.
///
/// # Errors
/// It, or the data directory, cannot be looked at.
pub fn read(data_dir: &Path) -> io::Result<Option<PidFile>> {
    // Neither a link nor a pipe in its place is followed or waited for.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let mut bytes = Vec::new();
    match OpenOptions::new().read(true).custom_flags(flags).open(data_dir.join("postmaster.pid")) {
        Ok(file) if file.metadata()?.is_file() => {
            file.take(LONGEST).read_to_end(&mut bytes)?;
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A data directory that is not there is something else than an engine that does not run.
            return fs::metadata(data_dir).map(|_| None);
        }
        Err(error) => return Err(error),
    }
    let unfinished = PidFile {
        pid: 0,
        standalone: false,
        data_dir: String::new(),
        started: 0,
        port: None,
        socket_dir: None,
        listen: None,
        shmem: None,
        status: None,
    };
    Ok(Some(parse(&bytes).unwrap_or(unfinished)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_unfinished_and_none_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        assert!(read(&dir.path().join("absent")).is_err());
        let path = dir.path().join("postmaster.pid");
        fs::write(&path, "").unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap().pid, 0);
        fs::write(&path, "7\n/data\n").unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap().pid, 7);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(read(dir.path()).is_err(), "a link is not followed");
    }
}
