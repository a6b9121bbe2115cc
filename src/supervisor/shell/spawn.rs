//! The one place where a process is made.
//!
//! By our own fork and exec: the standard library's pipe, by which its child tells of a failure, may lie under the very
//! number that a program is to find a descriptor under; and it cannot say which step failed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags};

use super::child::{Child, Image};
use super::core_dump;
use super::news::{News, Pending, collect_loans};
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
    collect_loans();
    let image = image(launch)?;
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
        foreground: launch.group == Group::Foreground,
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
        // What is configured comes second.
        rlimits: core_dump::inherited()
            .into_iter()
            .chain(launch.process.into_iter().flat_map(limits))
            .collect(),
        image,
    };
    let mut news = News::new(news)?;
    let (pid, loan) = child.fork()?;
    if let Some(loan) = loan {
        news.lend(loan);
    }
    Ok(Pending { pid, news })
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

/// What execve(2) is given.
fn image(launch: &Launch<'_>) -> io::Result<Image> {
    let program = launch.argv.first().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
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

fn limits(process: &config::Process) -> impl Iterator<Item = (libc::__rlimit_resource_t, [u64; 2])> {
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
    process.rlimits.iter().filter_map(move |(name, &value)| Some((resource(name)?, [value; 2])))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::sys::wait::waitpid;
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    /// With `own` the child has a memory of its own, else ours until it runs its program.
    fn launch<'a>(argv: &'a [String], process: &'a config::Process, output: Option<OwnedFd>) -> Launch<'a> {
        Launch {
            argv,
            environment: Some(vec![("PATH".into(), "/nowhere:/usr/bin:/bin".into())]),
            user: None,
            process: Some(process),
            stdin: Stdin::Null,
            output,
            descriptors: Vec::new(),
            mask: SigSet::empty(),
            group: Group::Session,
            working_dir: Some(Path::new("/")),
            lenient: false,
        }
    }

    fn process(own: bool) -> config::Process {
        config::Process {
            oom_score_adj: own.then_some(1000),
            umask: Some(0o027),
            ..config::Process::default()
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(Into::into).collect()
    }

    #[test]
    fn a_program_begins_the_same_whether_it_had_our_memory_or_a_copy() {
        let ours = || std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        let before = ours();
        for own in [false, true] {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let argv = words("cat /proc/self/status");
            let process = process(own);
            let launched = spawn(launch(&argv, &process, Some(write))).unwrap();
            let mut said = String::new();
            std::fs::File::from(read).read_to_string(&mut said).unwrap();
            waitpid(launched.pid, None).unwrap();
            let asked =
                |line: &&str| ["Umask:", "SigBlk:", "SigCgt:"].iter().any(|name| line.starts_with(name));
            let said: Vec<_> = said.lines().filter(asked).filter_map(|line| line.split_once('\t')).collect();
            let none = "0000000000000000";
            assert_eq!(said, [("Umask:", "0027"), ("SigBlk:", none), ("SigCgt:", none)], "own: {own}");
        }
        assert_eq!(ours(), before, "what shares a memory shares that");
    }

    #[test]
    fn what_failed_is_told_by_either() {
        for own in [false, true] {
            let process = process(own);
            let argv = words("no-such-program");
            let not_made = spawn(launch(&argv, &process, None)).unwrap_err();
            assert_eq!((not_made.step, not_made.error.raw_os_error()), (Step::Execute, Some(libc::ENOENT)));
            let argv = words("true");
            let nowhere =
                Launch { working_dir: Some(Path::new("/no/such")), ..launch(&argv, &process, None) };
            assert_eq!(spawn(nowhere).unwrap_err().step, Step::Enter);
        }
    }

    #[test]
    fn a_child_that_has_our_memory_does_not_write_our_errno() {
        let process = process(false);
        let argv = words("no-such-program");
        let mut launch = launch(&argv, &process, None);
        // Many errors of its own (ENOENT), beside us on another processor.
        launch.environment = Some(vec![("PATH".into(), "/nowhere:".repeat(20_000))]);
        let pending = begin(&launch).unwrap();
        nix::errno::Errno::set_raw(4711);
        while !pending.news.ends_within(PATIENCE) {}
        assert_eq!(nix::errno::Errno::last_raw(), 4711);
        assert!(pending.wait().is_err());
    }
}
