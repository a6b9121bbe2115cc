//! The namespaces that the bench itself lives in: whatever happens to it, its processes and files go with them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};

const MARK: &str = "PM_BENCH_ROOM";
/// An empty folder of every distribution that the room's tmpfs covers, for the bench's eyes only; short, since paths of
/// sockets below it must fit.
const PLACES: [&str; 3] = ["/media", "/mnt", "/srv"];

/// The shell is PID 1 of the room: when it ends, on Ctrl-C too, the kernel ends all that runs in it, and unmounts.
const SHELL: &str = r#"
mount -t tmpfs -o mode=755,size=75% bench "$PM_BENCH_ROOM" || exit 99
ulimit -n "$(ulimit -H -n)"
trap 'exit 130' INT TERM HUP
"$@" &
wait $!
"#;

/// Whether this process is in the room already.
pub fn inside() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs this program again, in the room; returns only if that fails.
pub fn enter() -> ExitCode {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("bench: it makes PID namespaces and needs root: run it by `make bench`, which asks sudo");
        return ExitCode::FAILURE;
    }
    let here = std::env::current_dir().unwrap();
    let place = PLACES.iter().find(|place| Path::new(place).is_dir() && !here.starts_with(place));
    let Some(place) = place else {
        eprintln!("bench: none of {PLACES:?} is there to mount a tmpfs on; make one of them");
        return ExitCode::FAILURE;
    };
    let error = Command::new("setpriv")
        .args(["--pdeathsig=KILL", "unshare", "--mount", "--propagation=private", "--pid", "--fork"])
        .args(["--mount-proc", "--kill-child=KILL", "sh", "-c", SHELL, "room"])
        .arg(std::env::current_exe().unwrap())
        .env(MARK, place)
        .exec();
    eprintln!("bench: cannot run setpriv and unshare (package util-linux): {error}");
    ExitCode::FAILURE
}

/// The room's folder, on a tmpfs, so that no disk is measured.
#[derive(Debug)]
pub struct Room {
    root: PathBuf,
    next: AtomicUsize,
}

impl Room {
    pub fn new() -> Self {
        Self { root: std::env::var_os(MARK).expect("the room").into(), next: AtomicUsize::new(1) }
    }

    /// Where all of it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of its own for one instance.
    pub fn folder(&self) -> PathBuf {
        let folder = self.root.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&folder).unwrap();
        folder
    }
}
