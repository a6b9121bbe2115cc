//! The one place where a process is made.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use crate::config;
use crate::supervisor::prepare::protocol::User;

/// What a process is made of.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The program and its arguments; not empty.
    pub(crate) argv: &'a [String],
    /// Its whole environment; `None`: ours.
    pub(crate) environment: Option<Vec<(String, String)>>,
    /// The user to drop to; `None`: ours.
    pub(crate) user: Option<&'a User>,
    /// Limits and priorities.
    pub(crate) process: Option<&'a config::Process>,
    /// Standard input; `None`: /dev/null.
    pub(crate) stdin: Stdin,
    /// Standard output and standard error; `None`: ours.
    pub(crate) output: Option<OwnedFd>,
    /// Descriptors that it finds under these numbers.
    pub(crate) descriptors: Vec<(OwnedFd, RawFd)>,
    /// The signal mask that it starts with.
    pub(crate) mask: SigSet,
    /// Where it stands on the terminal.
    pub(crate) group: Group,
}

/// Standard input of a process.
#[derive(Debug)]
pub(crate) enum Stdin {
    /// Nothing to read.
    Null,
    /// Ours.
    Inherit,
    /// This.
    From(OwnedFd),
}

/// Where a process stands on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// A session of its own: a Ctrl-C on our terminal does not reach it.
    Session,
    /// A process group of its own, which gets our terminal.
    Foreground,
}

/// A process that was made, and what it could not have of what was asked.
#[derive(Debug)]
pub(crate) struct Launched {
    /// Its process id.
    pub(crate) pid: Pid,
    /// What the kernel refused, in words.
    pub(crate) refused: Vec<&'static str>,
}

/// What may be refused without the process being useless.
const OPTIONAL: [(u8, &str); 3] = [
    (b'o', "oom_score_adj (a lower value needs CAP_SYS_RESOURCE)"),
    (b'n', "nice (a lower value needs CAP_SYS_NICE)"),
    (b'r', "rlimits (above the hard limit they need CAP_SYS_RESOURCE)"),
];

/// Above every number that a process finds a descriptor under, and below every limit of open files that PID 1 could
/// begin with.
const FIRST_SOURCE: RawFd = 8;

/// Why a process could not be made (or signalled), with what a person can do about it.
pub(crate) fn in_words(error: &io::Error) -> String {
    let remedy = match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            "; the limit of processes is reached: raise that of the container (pids.max) or of its user (nproc)"
        }
        Some(libc::ENOMEM) => {
            "; there is no memory left: raise the container's limit, or free some on the machine"
        }
        Some(libc::EMFILE) => "; the limit of open files is reached: raise it (nofile)",
        Some(libc::ENFILE) => "; the machine's limit of open files is reached (fs.file-max)",
        _ => "",
    };
    format!("{error}{remedy}")
}

/// Makes a process; returns once it runs its program.
///
/// # Errors
/// EAGAIN or ENOMEM when the machine has no room for one; what `execve` says of the program (ENOENT, EACCES, ENOEXEC).
pub(crate) fn spawn(launch: Launch<'_>) -> io::Result<Launched> {
    let (program, arguments) = launch
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(environment) = &launch.environment {
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    }
    match launch.stdin {
        Stdin::Null => command.stdin(Stdio::null()),
        Stdin::Inherit => command.stdin(Stdio::inherit()),
        Stdin::From(descriptor) => command.stdin(descriptor),
    };
    if let Some(output) = launch.output {
        command.stdout(output.try_clone()?).stderr(output);
    }
    // Sources out of the way of the targets, so that no dup2 overwrites the source of the next.
    let mut descriptors = Vec::with_capacity(launch.descriptors.len());
    for (descriptor, target) in launch.descriptors {
        descriptors.push((rustix::io::fcntl_dupfd_cloexec(&descriptor, FIRST_SOURCE)?, target));
    }
    let (refusals, refusals_write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let child = Child {
        group: launch.group,
        descriptors: descriptors.iter().map(|(source, target)| (source.as_raw_fd(), *target)).collect(),
        refusals: refusals_write.as_raw_fd(),
        mask: launch.mask,
        ids: launch.user.map(|user| (user.uid, user.gid, user.groups.clone())),
        umask: launch.process.and_then(|process| process.umask),
        nice: launch.process.and_then(|process| process.nice),
        oom_score_adj: launch
            .process
            .and_then(|process| process.oom_score_adj)
            .and_then(|value| CString::new(value.to_string()).ok()),
        rlimits: launch.process.map(limits).unwrap_or_default(),
    };
    #[allow(
        unsafe_code,
        reason = "the closure calls nothing but system calls on memory that was made before the fork"
    )]
    unsafe {
        command.pre_exec(move || child.become_it());
    }
    let pid = Pid::from_raw(command.spawn()?.id().cast_signed());
    drop(refusals_write);
    drop(command);
    Ok(Launched { pid, refused: read_refusals(refusals) })
}

fn read_refusals(pipe: OwnedFd) -> Vec<&'static str> {
    // The program runs, so its ends of the pipe are closed: what is there is all there will be.
    let mut bytes = [0; OPTIONAL.len()];
    let said = nix::unistd::read(&pipe, &mut bytes).unwrap_or(0);
    let said = bytes.get(..said).unwrap_or_default();
    OPTIONAL.iter().filter(|(byte, _)| said.contains(byte)).map(|&(_, what)| what).collect()
}

fn limits(process: &config::Process) -> Vec<(libc::__rlimit_resource_t, u64)> {
    let resource = |name: &str| match name {
        "as" => Some(libc::RLIMIT_AS),
        "core" => Some(libc::RLIMIT_CORE),
        "cpu" => Some(libc::RLIMIT_CPU),
        "data" => Some(libc::RLIMIT_DATA),
        "fsize" => Some(libc::RLIMIT_FSIZE),
        "memlock" => Some(libc::RLIMIT_MEMLOCK),
        "msgqueue" => Some(libc::RLIMIT_MSGQUEUE),
        "nice" => Some(libc::RLIMIT_NICE),
        "nofile" => Some(libc::RLIMIT_NOFILE),
        "nproc" => Some(libc::RLIMIT_NPROC),
        "rss" => Some(libc::RLIMIT_RSS),
        "rtprio" => Some(libc::RLIMIT_RTPRIO),
        "sigpending" => Some(libc::RLIMIT_SIGPENDING),
        "stack" => Some(libc::RLIMIT_STACK),
        _ => None,
    };
    process.rlimits.iter().filter_map(|(name, &value)| Some((resource(name)?, value))).collect()
}

/// What the child does between fork and exec; all its memory was made before the fork.
struct Child {
    group: Group,
    descriptors: Vec<(RawFd, RawFd)>,
    refusals: RawFd,
    mask: SigSet,
    ids: Option<(u32, u32, Vec<u32>)>,
    umask: Option<u32>,
    nice: Option<i32>,
    oom_score_adj: Option<CString>,
    rlimits: Vec<(libc::__rlimit_resource_t, u64)>,
}

impl Child {
    #[allow(unsafe_code, reason = "between fork and exec only plain system calls are safe")]
    fn become_it(&self) -> io::Result<()> {
        let done = |result: libc::c_int| if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: system calls only, on descriptors and memory that belong to this process.
        unsafe {
            match self.group {
                Group::Session => done(libc::setsid())?,
                Group::Foreground => {
                    done(libc::setpgid(0, 0))?;
                    // Not on every terminal; a background process that asks for it would be stopped by SIGTTOU.
                    libc::signal(libc::SIGTTOU, libc::SIG_IGN);
                    libc::tcsetpgrp(0, libc::getpgrp());
                    libc::signal(libc::SIGTTOU, libc::SIG_DFL);
                }
            }
            // What we inherited ourselves without knowing must not reach a program.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            for &(source, target) in &self.descriptors {
                done(libc::dup2(source, target))?;
            }
            if let Some(value) = &self.oom_score_adj {
                let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                let bytes = value.as_bytes();
                if file == -1 || libc::write(file, bytes.as_ptr().cast(), bytes.len()) == -1 {
                    self.refuse(b'o');
                }
            }
            if let Some(nice) = self.nice
                && libc::setpriority(libc::PRIO_PROCESS, 0, nice) == -1
            {
                self.refuse(b'n');
            }
            for &(resource, value) in &self.rlimits {
                let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
                if libc::setrlimit(resource, &raw const limit) == -1 {
                    self.refuse(b'r');
                }
            }
            if let Some((uid, gid, groups)) = &self.ids {
                done(libc::setgroups(groups.len(), groups.as_ptr()))?;
                done(libc::setgid(*gid))?;
                done(libc::setuid(*uid))?;
            }
            if let Some(umask) = self.umask {
                libc::umask(umask);
            }
            // Last, so that no signal finds the process half made.
            done(libc::sigprocmask(libc::SIG_SETMASK, self.mask.as_ref(), std::ptr::null_mut()))
        }
    }

    #[allow(unsafe_code, reason = "between fork and exec only plain system calls are safe")]
    fn refuse(&self, byte: u8) {
        // SAFETY: one byte of our own stack into a descriptor of our own.
        unsafe {
            libc::write(self.refusals, (&raw const byte).cast(), 1);
        }
    }
}
