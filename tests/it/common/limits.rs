//! Limits of a running process, and system calls that fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::command::{as_user, finish};
use super::machine::Account;
use super::process::Process;
use super::wait::{SOON, until};

/// A cgroup that bounds the number of processes; removed with this value. Declare it before the instance, so that it
/// goes after it.
#[derive(Debug)]
pub struct Pids(PathBuf);

impl Pids {
    /// Makes one without a bound, in whichever version of cgroups the machine has.
    pub fn new() -> Self {
        let root = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
        let root = root.into_iter().find(|root| root.join("cgroup.procs").exists()).expect("cgroups");
        if root.join("cgroup.subtree_control").exists() {
            fs::write(root.join("cgroup.subtree_control"), "+pids").expect("the pids controller");
        }
        let unique = super::port::Port::claim().number();
        let path = root.join(format!("pm-test-{}-{unique}", std::process::id()));
        fs::create_dir(&path).expect("make a cgroup");
        Self(path)
    }

    /// Moves a process in; what it has forked before stays where it is.
    pub fn add(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("move into a cgroup");
    }

    /// Sets the bound: a number, or `max`.
    pub fn limit(&self, bound: &str) {
        fs::write(self.0.join("pids.max"), bound).expect("set pids.max");
    }
}

impl Drop for Pids {
    fn drop(&mut self) {
        // Its last process may be on its way out.
        until("the cgroup to be empty", SOON, || fs::remove_dir(&self.0).is_ok());
    }
}

/// Sets a soft limit of a running process, in the words of prlimit(1): `--nofile=3`. By its own user, for even root may
/// not change another's without CAP_SYS_RESOURCE.
pub fn set_limit(pid: i32, limit: &str) {
    let uid = Process::read(pid).expect("a process to limit").uid;
    let mut command = as_user(Account { uid, gid: uid }, "prlimit");
    command.args(["--pid", &pid.to_string(), &format!("{limit}:")]);
    finish(command, SOON).success();
}

/// strace, attached to a process and all that it makes from here on, with system calls that fail. Detached when dropped.
#[derive(Debug)]
pub struct Sabotage(Child);

impl Sabotage {
    /// `calls` and `how` in the words of strace's `inject`: `fsync,fdatasync` and `error=EIO`.
    pub fn on(pid: i32, calls: &str, how: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()]);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{how}")]);
        let child = command.stdin(Stdio::null()).spawn().expect("strace: run scripts/setup test");
        until("strace to be attached", SOON, || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line == format!("TracerPid:\t{}", child.id()))
        });
        Self(child)
    }
}

impl Drop for Sabotage {
    fn drop(&mut self) {
        // On SIGTERM it lets go of its processes; a SIGKILL would leave them stopped.
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
        self.0.wait().ok();
    }
}
