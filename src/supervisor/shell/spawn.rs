//! The one place where a process is made.
//!
//! By our own fork and exec: the standard library's pipe, by which its child tells of a failure, may lie under the very
//! number that a program is to find a descriptor under; and it cannot say which step failed.

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::ptr::null;
use std::sync::OnceLock;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags};

use super::news::{News, Pending};
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
    /// The folder that it starts in, entered as its user; `None`: ours.
    pub(crate) working_dir: Option<&'a Path>,
    /// Whether a file that is no program is a script for sh, as execvp(3) has it.
    pub(crate) lenient: bool,
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
    /// Where it does not run its program yet: what tells whether it comes to that.
    pub(crate) late: Option<News>,
}

/// Why a process was not made.
#[derive(Debug)]
pub(crate) struct NotMade {
    /// What could not be done.
    pub(crate) step: Step,
    /// And why.
    pub(crate) error: io::Error,
}

/// The steps from a fork to a program that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// To make the process, with its descriptors, session and terminal.
    Make,
    /// To become its user.
    User,
    /// To enter its folder.
    Enter,
    /// To execute its program.
    Execute,
}

/// Each step by the byte that the child tells it by.
const STEPS: [(u8, Step); 4] =
    [(b'M', Step::Make), (b'U', Step::User), (b'E', Step::Enter), (b'X', Step::Execute)];

impl From<io::Error> for NotMade {
    fn from(error: io::Error) -> Self {
        NotMade { step: Step::Make, error }
    }
}

impl From<NotMade> for io::Error {
    fn from(not_made: NotMade) -> Self {
        not_made.error
    }
}

/// What may be refused without the process being useless.
pub(super) const OPTIONAL: [(u8, &str); 3] = [
    (b'o', "oom_score_adj (a lower value needs CAP_SYS_RESOURCE)"),
    (b'n', "nice (a lower value needs CAP_SYS_NICE)"),
    (b'r', "rlimits (above the hard limit they need CAP_SYS_RESOURCE)"),
];

/// How long a process is waited for that is on its way to its program. It takes a millisecond, unless the disk of its
/// folder or of its executable hangs; then PID 1 must not hang with it.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

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

/// Makes a process; returns once it runs its program, or is [late](Launched::late).
///
/// # Errors
/// EAGAIN or ENOMEM when the machine has no room for one; what `execve` says of the program (ENOENT, EACCES, ENOEXEC).
pub(crate) fn spawn(launch: Launch<'_>) -> Result<Launched, NotMade> {
    begin(&launch)?.wait()
}

/// Begins to make a process; what becomes of it [`Pending::wait`] tells, and until then nobody else may wait for it.
///
/// # Errors
/// EAGAIN or ENOMEM when the machine has no room for one.
pub(crate) fn begin(launch: &Launch<'_>) -> Result<Pending, NotMade> {
    let image = Image::new(launch)?;
    let first = launch.descriptors.iter().map(|&(_, target)| target.saturating_add(1)).max();
    let first = first.unwrap_or(0).max(FIRST_SOURCE);
    // Sources out of the way of the targets, so that no dup2 overwrites the source of the next.
    let mut moved = Vec::new();
    let mut source = |descriptor: BorrowedFd<'_>| -> io::Result<RawFd> {
        if descriptor.as_raw_fd() >= first {
            return Ok(descriptor.as_raw_fd());
        }
        let copy = rustix::io::fcntl_dupfd_cloexec(descriptor, first)?;
        let number = copy.as_raw_fd();
        moved.push(copy);
        Ok(number)
    };
    let mut descriptors = Vec::with_capacity(launch.descriptors.len() + 3);
    match &launch.stdin {
        Stdin::Null => descriptors.push((source(nothing()?)?, 0)),
        Stdin::Inherit => {}
        Stdin::From(descriptor) => descriptors.push((source(descriptor.as_fd())?, 0)),
    }
    if let Some(output) = &launch.output {
        let output = source(output.as_fd())?;
        descriptors.extend([(output, 1), (output, 2)]);
    }
    for (descriptor, target) in &launch.descriptors {
        descriptors.push((source(descriptor.as_fd())?, *target));
    }
    let (news, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(io::Error::from)?;
    let child = Child {
        group: launch.group,
        descriptors,
        news: source(theirs.as_fd())?,
        mask: launch.mask,
        ids: launch.user.map(|user| (user.uid, user.gid, user.groups.clone())),
        working_dir: launch.working_dir.map(|dir| c_string(dir.as_os_str().as_bytes())).transpose()?,
        umask: launch.process.and_then(|process| process.umask),
        nice: launch.process.and_then(|process| process.nice),
        oom_score_adj: launch
            .process
            .and_then(|process| process.oom_score_adj)
            .and_then(|value| CString::new(value.to_string()).ok()),
        rlimits: launch.process.map(limits).unwrap_or_default(),
        image,
    };
    let news = News::new(news)?;
    Ok(Pending { pid: child.fork()?, news })
}

/// /dev/null, to read from: the same for all, so that it costs a start nothing.
fn nothing() -> io::Result<BorrowedFd<'static>> {
    static NOTHING: OnceLock<OwnedFd> = OnceLock::new();
    if NOTHING.get().is_none() {
        let opened = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let _ = NOTHING.set(rustix::io::fcntl_dupfd_cloexec(opened, FIRST_SOURCE)?);
    }
    NOTHING.get().map(OwnedFd::as_fd).ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl News {
    /// Why the process has not come to its program.
    pub(crate) fn failure(&self) -> Option<NotMade> {
        let said = self.said();
        let (message, errno) = said.split_last_chunk::<4>()?;
        let (_, step) = STEPS.into_iter().find(|(byte, _)| message.last() == Some(byte))?;
        Some(NotMade { step, error: io::Error::from_raw_os_error(i32::from_ne_bytes(*errno)) })
    }
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a text holds a zero byte"))
}

/// What execve(2) is given, made before the fork.
struct Image {
    /// Where the program may be; the first that is there counts.
    places: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    lenient: bool,
}

impl Image {
    fn new(launch: &Launch<'_>) -> io::Result<Self> {
        let program = launch.argv.first().filter(|program| !program.is_empty());
        let program =
            program.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
        let variables: Vec<(Vec<u8>, Vec<u8>)> = match &launch.environment {
            Some(variables) => variables
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect(),
            None => std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect(),
        };
        let path = variables.iter().find(|(name, _)| name == b"PATH").map(|(_, value)| value.as_slice());
        let places = if program.contains('/') {
            vec![c_string(program.as_bytes())?]
        } else {
            let join = |folder: &[u8]| c_string(&[folder, b"/", program.as_bytes()].concat());
            // An empty entry is the working directory, which is nowhere to look for programs in.
            path.unwrap_or(b"/usr/bin:/bin")
                .split(|&byte| byte == b':')
                .filter(|folder| !folder.is_empty())
                .map(join)
                .collect::<io::Result<_>>()?
        };
        Ok(Image {
            places,
            arguments: launch.argv.iter().map(|word| c_string(word.as_bytes())).collect::<io::Result<_>>()?,
            environment: variables
                .iter()
                .map(|(name, value)| c_string(&[name, b"=".as_slice(), value].concat()))
                .collect::<io::Result<_>>()?,
            lenient: launch.lenient,
        })
    }
}

/// Strings as the kernel wants them: pointers, and a null one behind the last.
fn pointers<'a>(strings: impl IntoIterator<Item = &'a CString>) -> Vec<*const c_char> {
    strings.into_iter().map(|string| string.as_ptr()).chain([null()]).collect()
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
    /// Where it tells what was refused, and what failed.
    news: RawFd,
    mask: SigSet,
    ids: Option<(u32, u32, Vec<u32>)>,
    working_dir: Option<CString>,
    umask: Option<u32>,
    nice: Option<i32>,
    oom_score_adj: Option<CString>,
    rlimits: Vec<(libc::__rlimit_resource_t, u64)>,
    image: Image,
}

/// What the child calls execve(2) with.
struct Pointers {
    arguments: Vec<*const c_char>,
    /// The same for sh, but for the script's place, which is put in second.
    shell: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

impl Child {
    #[allow(unsafe_code, reason = "the child calls nothing but system calls on memory made before the fork")]
    fn fork(&self) -> io::Result<Pid> {
        let image = &self.image;
        let mut pointers = Pointers {
            arguments: pointers(&image.arguments),
            shell: pointers(image.arguments.first().into_iter().chain(&image.arguments)),
            environment: pointers(&image.environment),
        };
        let mut before = SigSet::empty();
        // Until it is its own program, the child would answer a signal with our handler.
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        // SAFETY: between fork and exec there are system calls only.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            let (step, errno) = self.become_it(&mut pointers);
            // SAFETY: ends this process, without anything of our memory being looked at again.
            unsafe {
                // Nobody may listen any more to one that is late.
                libc::signal(libc::SIGPIPE, libc::SIG_IGN);
                self.tell(step);
                libc::write(self.news, (&raw const errno).cast(), size_of::<libc::c_int>());
                libc::_exit(127);
            }
        }
        let error = io::Error::last_os_error();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        if forked == -1 { Err(error) } else { Ok(Pid::from_raw(forked)) }
    }

    /// Becomes the program, and otherwise returns: the step that failed, and errno.
    #[allow(unsafe_code, reason = "between fork and exec only plain system calls are safe")]
    fn become_it(&self, pointers: &mut Pointers) -> (u8, libc::c_int) {
        macro_rules! done {
            ($step:literal, $call:expr) => {
                if $call == -1 {
                    return ($step, errno());
                }
            };
        }
        // SAFETY: system calls only, on descriptors and memory that belong to this process.
        unsafe {
            match self.group {
                Group::Session => done!(b'M', libc::setsid()),
                Group::Foreground => {
                    done!(b'M', libc::setpgid(0, 0));
                    // Not on every terminal; a background process that asks for it would be stopped by SIGTTOU.
                    libc::signal(libc::SIGTTOU, libc::SIG_IGN);
                    libc::tcsetpgrp(0, libc::getpgrp());
                    libc::signal(libc::SIGTTOU, libc::SIG_DFL);
                }
            }
            // What we inherited ourselves without knowing must not reach a program.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            for &(source, target) in &self.descriptors {
                done!(b'M', libc::dup2(source, target));
            }
            if let Some(value) = &self.oom_score_adj {
                let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                let bytes = value.as_bytes();
                if file == -1 || libc::write(file, bytes.as_ptr().cast(), bytes.len()) == -1 {
                    self.tell(b'o');
                }
            }
            if let Some(nice) = self.nice
                && libc::setpriority(libc::PRIO_PROCESS, 0, nice) == -1
            {
                self.tell(b'n');
            }
            for &(resource, value) in &self.rlimits {
                let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
                if libc::setrlimit(resource, &raw const limit) == -1 {
                    self.tell(b'r');
                }
            }
            if let Some((uid, gid, groups)) = &self.ids {
                done!(b'U', libc::setgroups(groups.len(), groups.as_ptr()));
                done!(b'U', libc::setgid(*gid));
                done!(b'U', libc::setuid(*uid));
            }
            if let Some(dir) = &self.working_dir {
                done!(b'E', libc::chdir(dir.as_ptr()));
            }
            if let Some(umask) = self.umask {
                libc::umask(umask);
            }
            // Rust ignores it in us, and what is ignored stays so in a new program.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            // A signal that has come meanwhile is for the program, not for our handler.
            for signal in 1..=libc::SIGSYS {
                let mut now = std::mem::zeroed::<libc::sigaction>();
                if libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0
                    && now.sa_sigaction != libc::SIG_IGN
                {
                    libc::signal(signal, libc::SIG_DFL);
                }
            }
            // Last, so that no signal finds the process half made.
            done!(b'M', libc::sigprocmask(libc::SIG_SETMASK, self.mask.as_ref(), std::ptr::null_mut()));
        }
        (b'X', self.execute(pointers))
    }

    /// Returns errno where no place holds a program that can be run.
    #[allow(unsafe_code, reason = "between fork and exec only plain system calls are safe")]
    fn execute(&self, pointers: &mut Pointers) -> libc::c_int {
        let Pointers { arguments, shell, environment } = pointers;
        let mut said = libc::ENOENT;
        for place in &self.image.places {
            // SAFETY: the lists end with a null pointer, and their strings live as long as `self`.
            let why = unsafe {
                libc::execve(place.as_ptr(), arguments.as_ptr(), environment.as_ptr());
                let why = errno();
                if why == libc::ENOEXEC && self.image.lenient {
                    if let Some(script) = shell.get_mut(1) {
                        *script = place.as_ptr();
                    }
                    libc::execve(c"/bin/sh".as_ptr(), shell.as_ptr(), environment.as_ptr());
                }
                why
            };
            match why {
                // A later place may hold it; if none does, that it may not be run here says more.
                libc::EACCES => said = why,
                libc::ENOENT | libc::ENOTDIR if said == libc::EACCES => {}
                libc::ENOENT | libc::ENOTDIR => said = why,
                _ => return why,
            }
        }
        said
    }

    #[allow(unsafe_code, reason = "between fork and exec only plain system calls are safe")]
    fn tell(&self, byte: u8) {
        // SAFETY: one byte of our own stack into a descriptor of our own.
        unsafe {
            libc::write(self.news, (&raw const byte).cast(), 1);
        }
    }
}

fn errno() -> libc::c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
