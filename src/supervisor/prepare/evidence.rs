//! What `postmaster.pid` and the locks of the sockets prove about other postmasters.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use super::atomic;
use super::halt::{Outcome, Trying, wait};
use super::protocol::Verdict;
use super::record;
use super::vigil::{self, Vigil};
use super::work::{Work, stamp};
use crate::engine::flavor::SERVERS;
use crate::engine::greeting::listens;
use crate::engine::pidfile::{
    self, Evidence, File, Patience, PidFile, PidVerdict, Process, parse, pidfile_verdict,
};
use crate::engine::record::Origin;
use crate::supervisor::procfs;

/// A pid file is much shorter.
const LENGTH_MAX: u64 = 8192;

/// How long a port may take to answer: it is of this machine, or does not matter.
const PORT_PATIENCE: Duration = Duration::from_millis(200);

/// What is left to do about a pid file that proves no living postmaster.
pub(super) enum Leftover {
    /// None.
    Nothing,
    /// It names a process that lives and is no postmaster of this directory: PostgreSQL must be told not to mind it.
    Unrelated(i32),
    /// It is empty or garbage, over which PostgreSQL refuses to start for ever.
    Unusable(String),
}

/// Looks at `postmaster.pid`, for as long as it takes to be sure. `locked`: we hold the lock of the one keeper.
///
/// # Errors
/// [`Verdict::Adopt`] when its postmaster lives, a wait when that cannot be told.
pub(super) fn look(work: Work<'_>, data_dir: &Path, locked: bool) -> Outcome<Leftover> {
    let path = data_dir.join("postmaster.pid");
    loop {
        // Before the content is read: a change in between is then seen as one.
        let judged = vigil::stamp(&path);
        let sight = Sight::take(work, data_dir, &path, locked);
        let accepts = sight.accepts(data_dir);
        let verdict = pidfile_verdict(Evidence {
            file: &sight.file,
            process: &sight.process,
            origin: &sight.origin,
            accepts: accepts.as_deref(),
            locked,
        });
        let (pid, why, patience) = match verdict {
            PidVerdict::Absent if work.order.usurped => match vigil::over_nothing(work, &path)? {
                Vigil::Undisturbed => return Ok(Leftover::Nothing),
                Vigil::Disturbed => continue,
            },
            PidVerdict::Absent => return Ok(Leftover::Nothing),
            PidVerdict::Foreign { pid, start_ticks } => {
                return Err(Verdict::Adopt { pid, start_ticks }.into());
            }
            PidVerdict::Unknown { why } => return Err(wait(format!("{}: {why}", path.display()))),
            PidVerdict::Stale { pid, why, patience } => (pid, why, patience),
        };
        // It has not been touched since an earlier child found it stale for this PID 1, and the engine did not come so far
        // as to replace it (a mistake in its configuration).
        let known = judged.is_some() && judged == work.order.cleared;
        let patience = if known { Patience::AtOnce } else { patience };
        let about = if pid.is_some() { format!("{why}; {}", sight.origin) } else { why.clone() };
        if patience == Patience::AtOnce && sight.origin != Origin::Here && !known {
            work.report.note(format!("{}: {about}: nothing to wait for", path.display()));
        }
        if vigil::keep(work, &path, judged, patience, &about, || sight.accepts(data_dir))? == Vigil::Disturbed
        {
            continue;
        }
        return Ok(match pid {
            None => Leftover::Unusable(why),
            // Looked at after the wait: the number may have got an owner, or lost it.
            Some(pid) if procfs::stat(pid).is_some() => Leftover::Unrelated(pid),
            Some(_) => Leftover::Nothing,
        });
    }
}

/// Looks for somebody else's postmaster, and waits for nothing.
///
/// # Errors
/// [`Verdict::Adopt`] when one lives here.
pub(super) fn search(work: Work<'_>, data_dir: &Path) -> Outcome<()> {
    let Sight { file, process, origin, .. } =
        Sight::take(work, data_dir, &data_dir.join("postmaster.pid"), false);
    let evidence = Evidence { file: &file, process: &process, origin: &origin, accepts: None, locked: false };
    match pidfile_verdict(evidence) {
        PidVerdict::Foreign { pid, start_ticks } => Err(Verdict::Adopt { pid, start_ticks }.into()),
        PidVerdict::Absent | PidVerdict::Stale { .. } | PidVerdict::Unknown { .. } => Ok(()),
    }
}

/// Looks for a postmaster, whoever started it, and waits for nothing. `locked`: we hold the lock of the one keeper.
///
/// # Errors
/// [`Verdict::Adopt`] when one lives here; a wait when one may live that cannot be seen from here.
pub(super) fn find(work: Work<'_>, data_dir: &Path, locked: bool) -> Outcome<()> {
    let path = data_dir.join("postmaster.pid");
    let sight = Sight::take(work, data_dir, &path, locked);
    let accepts = sight.accepts(data_dir);
    let why = match pidfile_verdict(Evidence {
        file: &sight.file,
        process: &sight.process,
        origin: &sight.origin,
        accepts: accepts.as_deref(),
        locked,
    }) {
        PidVerdict::Foreign { pid, start_ticks } => return Err(Verdict::Adopt { pid, start_ticks }.into()),
        PidVerdict::Unknown { why } => why,
        PidVerdict::Stale { why, patience: Patience::Vigil, .. } => format!("{why}; {}", sight.origin),
        PidVerdict::Absent | PidVerdict::Stale { .. } => return Ok(()),
    };
    Err(wait(format!("{}: {why}", path.display())))
}

/// What was seen of the pid file.
struct Sight {
    file: File,
    process: Process,
    origin: Origin,
    /// Its lines, where it has any.
    lines: Option<PidFile>,
}

impl Sight {
    fn take(work: Work<'_>, data_dir: &Path, path: &Path, locked: bool) -> Sight {
        let content = read(path);
        let lines = content.as_ref().ok().and_then(|content| parse(content).ok());
        let file = match &content {
            Ok(content) => File::of(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::Absent,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => File::Garbage(error.to_string()),
            Err(error) => File::Unreadable(error.to_string()),
        };
        let process = match &file {
            File::Names { pid, .. } => process(*pid, data_dir, work.order.user.uid),
            _ => Process::Gone,
        };
        let origin = match &lines {
            Some(lines) => record::origin(work, data_dir, lines, locked),
            None => Origin::Elsewhere("nobody knows who wrote it".to_owned()),
        };
        Sight { file, process, origin, lines }
    }

    /// The recorded socket or port, if something accepts on it. A socket on a shared volume reaches over pid
    /// namespaces, a port over those that share their network; what listens on 127.0.0.1 of another network namespace
    /// cannot be seen. Not asked of a postmaster of this very namespace, which `/proc` shows.
    fn accepts(&self, data_dir: &Path) -> Option<String> {
        let lines = self.lines.as_ref().filter(|_| self.origin != Origin::Here)?;
        let port = lines.port?;
        // A postmaster works in its data directory.
        let folder = lines.socket_dir.as_ref().map(|folder| data_dir.join(folder));
        let socket = folder.map(|folder| folder.join(format!(".s.PGSQL.{port}")));
        socket.filter(|socket| listens(socket)).map(|socket| socket.display().to_string()).or_else(|| {
            let addresses = addresses(lines.listen.as_deref()?);
            let accepting = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, port))
                .find(|address| TcpStream::connect_timeout(address, PORT_PATIENCE).is_ok());
            accepting.map(|address| format!("TCP {address}"))
        })
    }
}

/// Where to knock for a postmaster that listens on `listen`. A name is not resolved: a static glibc must not.
fn addresses(listen: &str) -> Vec<IpAddr> {
    let loopback = || vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    match listen.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => loopback(),
        Ok(address) => vec![address],
        Err(_) if listen == "*" || listen == "localhost" => loopback(),
        Err(_) => Vec::new(),
    }
}

/// A regular file's content; no link is followed, and a named pipe does not block.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_most(path, LENGTH_MAX)
}

/// The same of a file that may be longer than a pid file.
pub(super) fn read_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    // Looked at first: something else may refuse to be opened.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(no_file());
    }
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(no_file());
        }
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(no_file());
    }
    let mut content = Vec::new();
    file.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// What `/proc` says about a process that a pid file names.
fn process(pid: i32, data_dir: &Path, engine_uid: u32) -> Process {
    if !procfs::is_ours() {
        return Process::Unknown("/proc is not mounted, or is that of another pid namespace".to_owned());
    }
    let Some(stat) = procfs::stat(pid) else { return Process::Gone };
    if matches!(stat.state, 'Z' | 'X' | 'x') {
        return Process::Zombie;
    }
    match procfs::leader(pid) {
        Some(leader) if leader != pid => return Process::ThreadOf(leader),
        Some(_) => {}
        None => return Process::Unknown("its status cannot be read".to_owned()),
    }
    // The data directory is the engine's and 0700: a process of another user is no postmaster of it, and PostgreSQL
    // itself ignores one. Nor are we and our ancestors, whose links in /proc may be root's.
    let other = procfs::uid(pid).is_some_and(|uid| uid != engine_uid) || procfs::own_line().contains(&pid);
    let executable = if other {
        Some(false)
    } else {
        procfs::exe(pid).map(|exe| {
            exe.file_name()
                .is_some_and(|name| SERVERS.iter().any(|server| name == std::ffi::OsStr::new(server)))
        })
    };
    // Through the link itself, so that it holds in another mount namespace too.
    let working_dir = match (fs::metadata(format!("/proc/{pid}/cwd")), fs::metadata(data_dir)) {
        (Ok(works), Ok(data)) => Some((works.dev(), works.ino()) == (data.dev(), data.ino())),
        _ => None,
    };
    Process::Alive { executable, working_dir, start_ticks: stat.start_ticks }
}

/// Moves an unusable pid file, or what lies in its place, aside. Call it only after [`look`] and after the sweep.
pub(super) fn move_aside(work: Work<'_>, data_dir: &Path, why: &str) -> Outcome<()> {
    let path = data_dir.join("postmaster.pid");
    let aside = data_dir.join(format!("postmaster.pid.stale-{}", stamp()));
    fs::rename(&path, &aside).trying("move aside", &path)?;
    atomic::sync_folder(data_dir).trying("sync", data_dir)?;
    work.report.warn(format!("{}: {why}; moved to {}", path.display(), aside.display()));
    Ok(())
}

/// Removes the lock of a socket whose recorded process lives and is proven to be no server: PostgreSQL would take it for
/// the owner. One with a dead process it replaces by itself; `excused` it is told not to mind.
pub(super) fn socket_locks(work: Work<'_>, folders: &[String], port: u16, excused: Option<i32>) {
    for folder in folders {
        let lock = Path::new(folder).join(format!(".s.PGSQL.{port}.lock"));
        if fs::symlink_metadata(&lock).is_ok_and(|found| !found.is_file()) {
            // The engine would follow a link, and wait for ever to open a named pipe.
            let done = match fs::remove_file(&lock) {
                Ok(()) => "removed".to_owned(),
                Err(error) => format!("cannot be removed: {error}"),
            };
            work.report.warn(format!(
                "{} is no lock of a server, for it is no regular file: {done}",
                lock.display()
            ));
            continue;
        }
        let Ok(file) =
            read(&lock).map_err(|_| ()).and_then(|content| pidfile::parse(&content).map_err(|_| ()))
        else {
            continue;
        };
        if Some(file.pid) == excused || procfs::stat(file.pid).is_none() {
            continue;
        }
        let proof = match process(file.pid, Path::new(folder), work.order.user.uid) {
            Process::ThreadOf(_) => true,
            Process::Alive { executable, .. } => executable == Some(false),
            Process::Gone | Process::Zombie | Process::Unknown(_) => false,
        };
        if !proof {
            continue;
        }
        match fs::remove_file(&lock) {
            Ok(()) => work.report.warn(format!(
                "removed {}: it named process {} ({}), which is no server",
                lock.display(),
                file.pid,
                procfs::title(file.pid)
            )),
            Err(error) => work.report.warn(format!("cannot remove the stale {}: {error}", lock.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_knock() {
        let shown = |listen| addresses(listen).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        for (listen, expected) in [
            ("*", "127.0.0.1 ::1"),
            ("0.0.0.0", "127.0.0.1 ::1"),
            ("::", "127.0.0.1 ::1"),
            ("localhost", "127.0.0.1 ::1"),
            ("10.0.0.7", "10.0.0.7"),
            ("db.example.com", ""),
        ] {
            assert_eq!(shown(listen), expected, "{listen}");
        }
    }

    #[test]
    fn what_lies_in_the_place_of_a_file_is_garbage() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |path: &Path| read(path).map_err(|error| error.kind());
        assert_eq!(kind(&dir.path().join("absent")), Err(io::ErrorKind::NotFound));
        assert_eq!(kind(dir.path()), Err(io::ErrorKind::InvalidInput));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert_eq!(kind(&link), Err(io::ErrorKind::InvalidInput));
        let file = dir.path().join("file");
        fs::write(&file, "7\n").unwrap();
        assert_eq!(read(&file).unwrap(), b"7\n");
    }
}
