//! The socket's place on disk. Its folder may belong to the engine's user, so nothing in it is followed, and only what is
//! surely ours or a dead supervisor's is touched.

use std::cell::RefCell;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, chownat, fstat, open, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{geteuid, umask};

use crate::control::protocol::SOCKET;
use crate::supervisor::prepare::protocol::User;
use crate::supervisor::prepare::walk;

/// Where PID 1 listens, and for whom.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The folder.
    pub(super) run_dir: PathBuf,
    /// Who may connect beside root.
    pub(super) user: Rc<RefCell<Option<User>>>,
}

/// A socket that listens, and which file it is.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) socket: UnixListener,
    folder: OwnedFd,
    file: Option<(u64, u64)>,
}

impl Place {
    /// The socket's path, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.run_dir.join(SOCKET)
    }

    /// Listens: root and the user's group can connect.
    ///
    /// # Errors
    /// What was tried, what happened and what to do, for people.
    pub(super) fn listen(&self) -> Result<Listening, String> {
        let path = self.path();
        let folder = self.folder().map_err(|error| {
            format!(
                "its folder {} cannot be made or opened: {error}; make it, for root or for the engine's user, or set run_dir",
                self.run_dir.display()
            )
        })?;
        // By way of the descriptor: the folder cannot be exchanged in between, and its path may be longer than the kernel
        // takes for a socket.
        let short = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
        clear(&folder, &path, &short)?;
        // The mode is there from the beginning. No other thread of PID 1 makes files.
        let before = umask(Mode::from_raw_mode(0o117));
        let socket = UnixListener::bind(&short);
        umask(before);
        let socket = socket
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        self.share_or_say(&folder);
        let file = file_of(&folder);
        Ok(Listening { socket, folder, file })
    }

    /// Gives a socket that listens to the group of another user than before.
    pub(super) fn share_again(&self, listening: &Listening) {
        self.share_or_say(&listening.folder);
    }

    fn share_or_say(&self, folder: &OwnedFd) {
        if let Err(error) = self.share(folder) {
            log::warn!(
                target: super::super::logger::SELF,
                "only root can use the control socket {}: it cannot be given to the engine's group: {error}; give the \
                 container CAP_CHOWN",
                self.path().display()
            );
        }
    }

    /// The folder; made if it is missing.
    fn folder(&self) -> io::Result<OwnedFd> {
        if !geteuid().is_root() {
            // Whatever a link leads to, it leads there by the permissions of the one user that there is.
            DirBuilder::new().recursive(true).mode(0o755).create(&self.run_dir)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            return Ok(open(&self.run_dir, flags, Mode::empty())?);
        }
        let mut found = walk(&self.run_dir)?;
        if !found.missing.is_empty() {
            // The `prepare` child makes it for the engine's user, too, who keeps a passwd entry there.
            let (uid, gid) = self.user.borrow().as_ref().map_or((0, 0), |user| (user.uid, user.gid));
            found.make(uid, gid, 0o755)?;
            found = walk(&self.run_dir)?;
        }
        if !found.missing.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(found.into_folder())
    }

    /// Gives the socket to the user's group. What has the name is looked at by a descriptor first: it could have been
    /// exchanged since.
    fn share(&self, folder: &OwnedFd) -> io::Result<()> {
        let gid = self.user.borrow().as_ref().filter(|_| geteuid().is_root()).map(|user| user.gid);
        let Some(gid) = gid else { return Ok(()) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(folder, SOCKET, flags, Mode::empty())?;
        let found = fstat(&made)?;
        let ours = file_type(&found) == FileType::Socket && found.st_uid == 0 && found.st_nlink == 1;
        if !ours || found.st_gid == gid {
            return Ok(());
        }
        Ok(chownat(&made, "", None, Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)?)
    }
}

impl Listening {
    /// Whether its name still leads to it.
    pub(super) fn in_place(&self) -> bool {
        self.file.is_some() && file_of(&self.folder) == self.file
    }
}

fn file_of(folder: &OwnedFd) -> Option<(u64, u64)> {
    let found = statat(folder, SOCKET, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    (file_type(&found) == FileType::Socket).then_some((found.st_dev, found.st_ino))
}

fn file_type(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// Sees to it that nothing has the socket's name: what a dead supervisor left is removed, anything else is not.
fn clear(folder: impl AsFd, path: &Path, short: &Path) -> Result<(), String> {
    let found = match statat(&folder, SOCKET, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(format!("{} cannot be looked at: {error}", path.display())),
    };
    let what = match file_type(&found) {
        FileType::Socket => {
            return match answers(short) {
                Ok(false) => remove(folder, path),
                Ok(true) => Err(format!(
                    "another supervisor answers on {}: end it, or set another run_dir for this one",
                    path.display()
                )),
                Err(error) => Err(format!(
                    "whether another supervisor answers on {} cannot be told: {error}; if none runs, remove that file",
                    path.display()
                )),
            };
        }
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::RegularFile => "a file",
        _ => "no socket",
    };
    Err(format!(
        "{} is {what}, and none of ours: it is left as it is; move it away, or set another run_dir",
        path.display()
    ))
}

/// Whether somebody listens there. It never waits: a queue that is full is somebody's.
fn answers(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&probe, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Ok(true),
        // Gone since it was looked at, or nobody's.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn remove(folder: impl AsFd, path: &Path) -> Result<(), String> {
    match unlinkat(folder, SOCKET, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => {
            Err(format!("{}, which a dead supervisor left, cannot be removed: {error}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn place(folder: &Path) -> Place {
        Place { run_dir: folder.to_owned(), user: Rc::default() }
    }

    /// A folder that only its owner writes.
    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn it_makes_its_folder_and_listens() {
        let dir = folder();
        let place = place(&dir.path().join("run"));
        let listening = place.listen().unwrap();
        let found = place.path().symlink_metadata().unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o7777, 0o660);
        assert_eq!(dir.path().join("run").metadata().unwrap().permissions().mode() & 0o7777, 0o755);
        UnixStream::connect(place.path()).unwrap();
        assert!(listening.in_place());
        std::fs::remove_file(place.path()).unwrap();
        assert!(!listening.in_place());
    }

    #[test]
    fn a_path_longer_than_the_kernel_takes_is_no_obstacle() {
        let dir = folder();
        let deep = dir.path().join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        place(&deep).listen().unwrap();
    }

    #[test]
    fn what_a_dead_supervisor_left_is_replaced_and_a_living_one_is_not() {
        let dir = folder();
        let place = place(dir.path());
        let living = place.listen().unwrap();
        let said = place.listen().unwrap_err();
        assert!(said.contains("another supervisor answers on"), "{said}");
        drop(living);
        place.listen().unwrap();
    }

    #[test]
    fn what_is_no_socket_stays() {
        let dir = folder();
        let place = place(dir.path());
        std::fs::write(dir.path().join("target"), "precious").unwrap();
        for (make, word) in [
            ((|path: &Path| std::fs::write(path, "precious")) as fn(&Path) -> io::Result<()>, "is a file"),
            (|path| std::fs::create_dir(path), "is a folder"),
            (|path| symlink("target", path), "is a link"),
        ] {
            make(&place.path()).unwrap();
            let said = place.listen().unwrap_err();
            assert!(said.contains(word) && said.contains("move it away"), "{said}");
            let found = place.path().symlink_metadata().unwrap();
            assert!(!found.file_type().is_socket());
            if found.is_dir() {
                std::fs::remove_dir(place.path()).unwrap();
            } else {
                std::fs::remove_file(place.path()).unwrap();
            }
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("target")).unwrap(), "precious");
    }
}
