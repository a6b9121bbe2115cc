//! The process that follows the files of an engine's log collector, as the engine's user: their lines go to its standard
//! output, which PID 1 captures. It ends when its standard input is closed, after a last look.

mod files;

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use self::files::Files;

/// How often a folder that cannot be watched, or is missing, is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often a watched one is looked at in any case: the link to it may lead elsewhere.
const SLOW_TICK: Duration = Duration::from_secs(15);
/// The least time from one look to the next.
const REST: Duration = Duration::from_millis(20);
/// A file system's clock may be behind by a tick of the kernel.
const CLOCK: Duration = Duration::from_millis(20);
/// The follower failed.
const EX_SOFTWARE: u8 = 70;

/// Follows the first of these folders that there is. Of files that were there at the beginning, only what is added
/// counts. The result is the exit status.
#[must_use]
pub fn main(folders: &[String]) -> u8 {
    let begun = SystemTime::now() - CLOCK;
    let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    match Follower::new(folders, begun).run(&mut io::stdout().lock()) {
        Ok(()) => 0,
        // Whoever read it has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            eprintln!("polar-supervisor follow: {error}");
            EX_SOFTWARE
        }
    }
}

struct Follower {
    folders: Vec<PathBuf>,
    files: Files,
    /// The folder that is watched: its device and inode, and the descriptor.
    watched: Option<((u64, u64), OwnedFd)>,
}

impl Follower {
    fn new(folders: Vec<PathBuf>, begun: SystemTime) -> Self {
        let mut follower = Follower { folders, files: Files::new(begun), watched: None };
        if let Some((folder, _)) = follower.folder() {
            follower.files.skip(&folder);
        }
        follower
    }

    fn run(mut self, out: &mut impl Write) -> io::Result<()> {
        let stdin = io::stdin();
        loop {
            let folder = self.folder();
            self.watch(folder.as_ref());
            // Looked at after the watch stands, so that nothing falls between.
            if let Some((folder, _)) = &folder {
                self.files.read(folder, out)?;
            }
            let tick = if self.watched.is_some() { SLOW_TICK } else { TICK };
            let timeout = Timespec::try_from(tick).map_err(io::Error::other)?;
            let mut asked = vec![PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
            asked.extend(self.watched.iter().map(|(_, watch)| PollFd::new(watch, PollFlags::IN)));
            match poll(&mut asked, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if asked.first().is_some_and(|stdin| !stdin.revents().is_empty()) {
                break;
            }
            // An engine that writes much is looked at often enough, not after each of its lines.
            std::thread::sleep(REST);
            self.drain();
        }
        match self.folder() {
            Some((folder, _)) => self.files.read(&folder, out),
            None => Ok(()),
        }
    }

    /// The first folder that there is, and which one that is.
    fn folder(&self) -> Option<(PathBuf, (u64, u64))> {
        use std::os::unix::fs::MetadataExt;
        self.folders.iter().find_map(|folder| {
            let found = std::fs::metadata(folder).ok().filter(std::fs::Metadata::is_dir)?;
            Some((folder.clone(), (found.dev(), found.ino())))
        })
    }

    fn watch(&mut self, folder: Option<&(PathBuf, (u64, u64))>) {
        if self.watched.as_ref().map(|(which, _)| *which) == folder.map(|(_, which)| *which) {
            return;
        }
        self.watched = folder.and_then(|(folder, which)| Some((*which, watch(folder).ok()?)));
    }

    /// What has happened does not matter: all is looked at.
    fn drain(&self) {
        let Some((_, watch)) = &self.watched else { return };
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(watch, &mut buffer);
        while reader.next().is_ok() {}
    }
}

fn watch(folder: &Path) -> io::Result<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let what = WatchFlags::MODIFY
        | WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&watch, folder, what)?;
    Ok(watch)
}
