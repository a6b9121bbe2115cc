//! Commands with a deadline.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::builder::SUPERVISOR;
use super::machine::Account;
use super::wait::SOON;

/// The `PATH` of a container.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    /// Its wait status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Done {
    /// The exit status as a shell has it: 128 + signal after a death by a signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Standard output without the last newline; panics unless the command succeeded.
    pub fn success(self) -> String {
        assert!(self.status.success(), "a command failed: {self:#?}");
        self.stdout.trim_end_matches('\n').to_owned()
    }
}

/// Runs `command` to its end. Output goes through files, so that a daemon that keeps the descriptors open holds up
/// nobody.
pub fn finish(mut command: Command, deadline: Duration) -> Done {
    let mut stdout = tempfile::tempfile().expect("a temporary file");
    let mut stderr = tempfile::tempfile().expect("a temporary file");
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let begin = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for a command") {
            break status;
        }
        if begin.elapsed() > deadline {
            child.kill().ok();
            child.wait().ok();
            panic!("not over after {deadline:?}: {command:?}\n{}{}", text(&mut stdout), text(&mut stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Done { status, stdout: text(&mut stdout), stderr: text(&mut stderr) }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("rewind captured output");
    file.read_to_end(&mut bytes).expect("read captured output");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A command that runs as another user, with the groups of its main group only, and a container's environment.
pub fn as_user(user: Account, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null()).current_dir("/");
    command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).arg("--clear-groups");
    command.arg("--").arg(program);
    command
}

/// The supervisor's program as an ordinary process, not as PID 1.
#[derive(Debug)]
pub struct Plain {
    command: Command,
    stdin: Vec<u8>,
}

impl Plain {
    /// `polar-supervisor` with these arguments, no environment but `PATH`, and nothing on standard input.
    pub fn new<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(SUPERVISOR);
        command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
        Self { command, stdin: Vec::new() }
    }

    /// Sets a variable.
    pub fn env(mut self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Gives standard input.
    pub fn stdin(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.stdin = content.into();
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Done {
        let mut stdin = tempfile::tempfile().expect("a temporary file");
        stdin.write_all(&self.stdin).unwrap();
        stdin.rewind().unwrap();
        self.command.stdin(stdin);
        finish(self.command, SOON)
    }
}
