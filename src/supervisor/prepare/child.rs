//! The child's own children: initdb, psql, scripts, the temporary server. None outlives it.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal};

use super::halt::{Outcome, trouble};
use super::interrupt::Interrupt;

/// How a child is ended before its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breed {
    /// SIGKILL to its process group at once.
    Tool,
    /// SIGTERM to its process group, then SIGKILL.
    Script,
    /// A postmaster: SIGQUIT (it then ends its own children), then SIGKILL.
    Server,
}

/// How long a child may take to heed the first signal.
const PATIENCE: Duration = Duration::from_millis(400);

/// A running child. Dropped, it is ended and reaped.
pub(super) struct Running {
    child: Child,
    /// For messages.
    what: String,
    breed: Breed,
    reaped: bool,
}

/// Starts `command` in a process group of its own, with standard output on our standard error unless it was set
/// otherwise by `output`.
///
/// `lock` is the locked descriptor of the data directory: the child inherits it, so that the lock is held until the last
/// process of a first boot is gone.
///
/// # Errors
/// When it cannot be started.
pub(super) fn spawn(
    mut command: Command,
    what: &str,
    breed: Breed,
    lock: Option<BorrowedFd<'_>>,
) -> Outcome<Running> {
    command.process_group(0);
    die_with_us(&mut command, if breed == Breed::Server { Signal::QUIT } else { Signal::KILL });
    // Only this thread forks, so nothing else can inherit the descriptor meanwhile.
    let spawned = inheritable(lock, FdFlags::empty())
        .and_then(|()| command.spawn())
        .and_then(|child| inheritable(lock, FdFlags::CLOEXEC).map(|()| child));
    if spawned.is_err() {
        // Best effort: the spawn's own error is the one to tell.
        let _ = inheritable(lock, FdFlags::CLOEXEC);
    }
    let child = spawned.map_err(|error| trouble("start", what, error))?;
    Ok(Running { child, what: what.to_owned(), breed, reaped: false })
}

fn inheritable(lock: Option<BorrowedFd<'_>>, flags: FdFlags) -> io::Result<()> {
    match lock {
        Some(descriptor) => Ok(fcntl_setfd(descriptor, flags)?),
        None => Ok(()),
    }
}

/// Has the kernel send `signal` to the child when this process dies, however it dies.
fn die_with_us(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // The parent may have died before the request.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from_raw_os_error(3)) }
    };
    // SAFETY: between fork and exec the closure makes two system calls, allocates nothing and takes no lock.
    #[allow(
        unsafe_code,
        reason = "only the child itself can ask for a parent-death signal, between fork and exec"
    )]
    unsafe {
        command.pre_exec(ask);
    }
}

impl Running {
    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its end, if it has ended.
    pub(super) fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        let status = self.child.try_wait().map_err(|error| trouble("wait for", &self.what, error))?;
        self.reaped |= status.is_some();
        Ok(status)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `Interrupted` on a stop; trouble when `longest` has passed.
    pub(super) fn wait(&mut self, interrupt: &Interrupt, longest: Option<Duration>) -> Outcome<ExitStatus> {
        let deadline = longest.map(|longest| Instant::now() + longest);
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(trouble("wait for", &self.what, io::Error::from(io::ErrorKind::TimedOut)));
            }
            // SIGCHLD ends the nap.
            interrupt.nap(Duration::from_millis(500))?;
        }
    }

    /// Sends a signal to the process itself.
    pub(super) fn signal(&self, signal: Signal) -> Outcome<()> {
        let Some(pid) = self.pid().filter(|_| !self.reaped) else { return Ok(()) };
        rustix::process::kill_process(pid, signal).map_err(|error| trouble("signal", &self.what, error))
    }

    /// What it reads from.
    pub(super) fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// What it wrote.
    pub(super) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn gone_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if matches!(self.ended(), Ok(Some(_))) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        if self.reaped {
            // A script may have left others of its process group behind; a tool's have nothing left to do.
            return;
        }
        // An error of these means that it is gone already.
        match self.breed {
            Breed::Tool => {}
            Breed::Script => {
                let _ = rustix::process::kill_process_group(pid, Signal::TERM);
                self.gone_within(PATIENCE);
            }
            Breed::Server => {
                let _ = rustix::process::kill_process(pid, Signal::QUIT);
                self.gone_within(PATIENCE);
            }
        }
        // The group outlives its leader as long as it has a member: its number cannot mean another one.
        if !self.reaped || self.breed == Breed::Script {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        if !self.reaped {
            let _ = self.child.wait();
        }
    }
}

/// Runs `command` to its end.
pub(super) fn run(
    mut command: Command,
    what: &str,
    breed: Breed,
    lock: Option<BorrowedFd<'_>>,
    interrupt: &Interrupt,
) -> Outcome<ExitStatus> {
    quiet(&mut command);
    spawn(command, what, breed, lock)?.wait(interrupt, None)
}

/// Standard input from nowhere, both outputs to our standard error, which PID 1 captures.
pub(super) fn quiet(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(io::stderr()).stderr(io::stderr());
}

/// The end of a short command and what it wrote to standard output and standard error.
pub(super) fn ask(
    mut command: Command,
    what: &str,
    interrupt: &Interrupt,
) -> Outcome<(ExitStatus, String, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = spawn(command, what, Breed::Tool, None)?;
    // The answers are far shorter than a pipe holds; one that is not runs into the deadline.
    let status = running.wait(interrupt, Some(Duration::from_secs(10)))?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let Some(pipe) = running.child.stdout.take() {
        pipe.take(65536)
            .read_to_end(&mut stdout)
            .map_err(|error| trouble("read the answer of", what, error))?;
    }
    if let Some(pipe) = running.child.stderr.take() {
        pipe.take(65536)
            .read_to_end(&mut stderr)
            .map_err(|error| trouble("read the answer of", what, error))?;
    }
    Ok((status, String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned()))
}

/// How a process ended, for a person.
pub(super) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            format!(
                "signal {}",
                signal_hook::low_level::signal_name(signal).map_or(signal.to_string(), str::to_owned)
            )
        }
        (None, None) => "an unknown status".to_owned(),
    }
}
