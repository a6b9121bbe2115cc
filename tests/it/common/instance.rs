//! One PID 1 after the other over the same directories.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::builder::{Builder, Output};
use super::command::{Done, PATH, finish};
use super::machine::postgres_user;
use super::process::{Process, namespace};
use super::wait::{BOOT, SOON, eventually, until};

/// The command line of the writer of log files.
const WRITER: &str = "/proc/self/exe writer";

/// How PID 1 ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By a signal. Which one is not known: `unshare` of util-linux 2.38 fails to pass it on.
    Signal,
}

/// Runs in the fresh namespaces as their PID 1, and hands over by `exec`, so that the program under test is PID 1.
///
/// The capabilities are those of a container that `docker run` starts without further options: without
/// `CAP_SYS_PTRACE` root may not read `/proc/PID/exe` of another user's process. A container's PID 1 leads a session.
const WRAPPER: &str = r#"
mount -t tmpfs -o mode=1777 tmpfs /dev/shm || exit 99
mkdir -p "$DIR/bin" && touch "$DIR/bin/polar-supervisor" || exit 99
mount --bind "$PROGRAM" "$DIR/bin/polar-supervisor" || exit 99
eval "$SETUP" || exit 99
exec 2>&1
exec setsid $CTTY setpriv $ACCOUNT -- env -i "$@"
"#;
pub(super) const CAPABILITIES: &str = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,\
                            +net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";

/// PID 1 of a PID namespace, with its directories. Ends and removes all of it when dropped.
#[derive(Debug)]
pub struct Instance {
    /// What it is started with.
    pub spec: Builder,
    boots: u32,
    running: Option<Running>,
    ended: Option<Exit>,
    terminal: Option<File>,
    pipe: Option<std::io::PipeReader>,
}

#[derive(Debug)]
struct Running {
    unshare: Child,
    pid1: i32,
    namespace: PathBuf,
}

impl Instance {
    /// The usual instance; see [`Builder::new`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn new(spec: Builder) -> Self {
        Self { spec, boots: 0, running: None, ended: None, terminal: None, pipe: None }
    }

    /// A path in the instance's folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.spec.dir.path(relative)
    }

    /// Changes what the next boot is started with.
    pub fn change(mut self, edit: impl FnOnce(Builder) -> Builder) -> Self {
        assert!(self.running.is_none(), "PID 1 still runs");
        // A placeholder costs a folder and a port for a moment; `Builder`'s chain takes it by value.
        let spec = std::mem::replace(&mut self.spec, Builder::new());
        self.spec = edit(spec);
        self
    }

    /// Writes another `supervisor.toml` for the PID 1 that runs.
    pub fn configure(mut self, edit: impl FnOnce(Builder) -> Builder) -> Self {
        let spec = std::mem::replace(&mut self.spec, Builder::new());
        self.spec = edit(spec);
        self.write_config();
        self
    }

    /// Writes another `supervisor.toml`, and has PID 1 read it.
    pub fn reload(self, edit: impl FnOnce(Builder) -> Builder) -> Self {
        let instance = self.configure(edit);
        let before = instance.log().matches("configuration reloaded").count();
        instance.signal(Signal::SIGHUP);
        instance.wait_log_count("configuration reloaded", before + 1);
        instance
    }

    fn write_config(&self) -> Option<PathBuf> {
        let text = toml::to_string(self.spec.config.as_ref()?).expect("print supervisor.toml");
        Some(self.spec.dir.file("supervisor.toml", text, 0o644))
    }

    /// Starts a PID 1 in fresh namespaces over the same directories; the one before must have ended.
    ///
    /// It dies with the calling thread, so that an interrupted test run leaves nothing behind.
    pub fn boot(&mut self) {
        assert!(self.running.is_none(), "PID 1 still runs");
        self.boots += 1;
        self.ended = None;
        let unshare_log = self.path(&format!("unshare.{}", self.boots));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig=KILL", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"])
            .args(self.spec.own_ipc.then_some("--ipc"))
            .args(["sh", "-c", WRAPPER, "wrapper"])
            .env_clear()
            .env("PATH", PATH)
            .env("DIR", self.path(""))
            .env("PROGRAM", &self.spec.program)
            .env("SETUP", self.spec.setup.join("\n"))
            .env("CTTY", if self.spec.output == Output::Terminal { "--ctty" } else { "" })
            .env(
                "ACCOUNT",
                match self.spec.account {
                    None => format!("--bounding-set={}", self.spec.capabilities),
                    Some(user) => format!("--reuid={} --regid={} --clear-groups", user.uid, user.gid),
                },
            )
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(File::create(unshare_log).unwrap());
        self.connect_output(&mut command);
        command.arg(format!("PATH={PATH}"));
        for (key, value) in &self.spec.environment {
            let mut pair = key.clone();
            pair.push("=");
            pair.push(value);
            command.arg(pair);
        }
        command.arg(self.path("bin/polar-supervisor"));
        if let Some(file) = self.write_config() {
            command.arg("--config").arg(file);
        }
        command.args(&self.spec.arguments);
        let mut unshare = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        // The command holds copies of a pipe's or terminal's end that must not outlive the spawn.
        drop(command);
        let (pid1, namespace) = eventually("PID 1 to be made", SOON, || {
            if unshare.try_wait().unwrap().is_some() {
                return Some((0, PathBuf::new()));
            }
            let parent = i32::try_from(unshare.id()).unwrap();
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
            let child = children.trim().parse().ok()?;
            Some((child, namespace(child)?))
        });
        self.running = Some(Running { unshare, pid1, namespace });
        until("the program to take over as PID 1", SOON, || {
            self.exit().is_some()
                || fs::read(format!("/proc/{pid1}/cmdline")).is_ok_and(|line| taken_over(&line))
        });
    }

    fn connect_output(&mut self, command: &mut Command) {
        let log = self.log_path(self.boots);
        let file = File::create(&log).unwrap();
        // A container's output may be opened again by the engine's user, through /dev/stderr for one.
        fs::set_permissions(&log, Permissions::from_mode(0o666)).unwrap();
        match self.spec.output {
            Output::File => {
                command.stdout(OpenOptions::new().append(true).open(log).unwrap());
            }
            Output::ClosedPipe => {
                command.stdout(std::io::pipe().expect("a pipe").1);
            }
            Output::FullPipe => {
                let (reader, mut writer) = std::io::pipe().expect("a pipe");
                let flags = fcntl(&writer, FcntlArg::F_GETFL).unwrap();
                let flags = OFlag::from_bits_retain(flags);
                fcntl(&writer, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
                for size in [4096, 1] {
                    while writer.write(&vec![b'#'; size]).is_ok() {}
                }
                fcntl(&writer, FcntlArg::F_SETFL(flags)).unwrap();
                self.pipe = Some(reader);
                command.stdout(writer);
            }
            Output::Terminal => {
                let pty = nix::pty::openpty(None, None).expect("a pseudo-terminal");
                let copy = |end: &OwnedFd| end.try_clone().expect("a descriptor");
                for end in [&pty.master, &pty.slave] {
                    fcntl(end, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).unwrap();
                }
                command.stdin(copy(&pty.slave)).stdout(pty.slave);
                let mut screen = File::from(copy(&pty.master));
                self.terminal = Some(File::from(pty.master));
                std::thread::spawn(move || std::io::copy(&mut screen, &mut &file));
            }
        }
    }

    /// Types on the terminal.
    pub fn type_text(&mut self, text: &str) {
        self.terminal.as_mut().expect("an instance on a terminal").write_all(text.as_bytes()).unwrap();
    }

    /// Reads what is in the full pipe, so that its writer can go on; how much it was.
    pub fn drain(&mut self) -> usize {
        self.read_pipe().len()
    }

    /// Reads what is in the full pipe; waits until there is something.
    pub fn read_pipe(&mut self) -> String {
        let mut bytes = vec![0; 1 << 20];
        let read = self.pipe.as_mut().expect("an instance on a full pipe").read(&mut bytes).unwrap();
        bytes.truncate(read);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// PID 1's pid on the machine.
    pub fn pid1(&self) -> i32 {
        self.running.as_ref().expect("PID 1 does not run").pid1
    }

    /// PID 1 as a process.
    pub fn init(&self) -> Process {
        Process::read(self.pid1()).expect("PID 1 has ended")
    }

    /// Sends a signal to PID 1.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid1()), signal).unwrap_or_else(|error| panic!("{signal} to PID 1: {error}"));
    }

    /// Sends a signal to PID 1, which may be ending by itself meanwhile.
    pub fn signal_if_alive(&self, signal: Signal) {
        match self.running.as_ref().map(|running| kill(Pid::from_raw(running.pid1), signal)) {
            None | Some(Ok(()) | Err(nix::errno::Errno::ESRCH)) => {}
            Some(Err(error)) => panic!("{signal} to PID 1: {error}"),
        }
    }

    /// How PID 1 ended, if it has; then nothing of its namespace is left.
    pub fn exit(&mut self) -> Option<Exit> {
        if self.ended.is_none() {
            let status = self.running.as_mut()?.unshare.try_wait().expect("wait for unshare")?;
            let said = fs::read_to_string(self.path(&format!("unshare.{}", self.boots))).unwrap_or_default();
            self.ended = Some(match status.code() {
                Some(_) if said.contains("sigprocmask unblock failed") => Exit::Signal,
                Some(code) if said.is_empty() => Exit::Code(code),
                Some(code) => panic!("the wrapper of PID 1 failed with {code}: {said}"),
                None => Exit::Signal,
            });
            self.running = None;
        }
        self.ended
    }

    /// Waits for PID 1's end.
    pub fn wait(&mut self) -> Exit {
        self.wait_within(BOOT)
    }

    /// Waits for PID 1's end until a deadline.
    pub fn wait_within(&mut self, deadline: Duration) -> Exit {
        assert!(self.boots > 0, "PID 1 was never started");
        eventually("PID 1 to end", deadline, || self.exit())
    }

    /// Sends a signal and waits for PID 1's end.
    pub fn stop(&mut self, signal: Signal) -> Exit {
        self.signal(signal);
        self.wait()
    }

    /// What `docker kill` does.
    pub fn kill9(&mut self) {
        assert_eq!(self.stop(Signal::SIGKILL), Exit::Signal);
    }

    /// Ends PID 1 in order and boots over the same directories.
    pub fn restart(&mut self) {
        assert_eq!(self.stop(Signal::SIGTERM), Exit::Code(0), "an ordered stop");
        self.boot();
    }

    /// All processes of the instance's PID namespace, but for the writer of log files: it comes and goes with what there
    /// is to write.
    pub fn processes(&self) -> Vec<Process> {
        self.everything().into_iter().filter(|process| process.command != WRITER).collect()
    }

    /// The writer of log files, and no zombie, if there is one.
    pub fn writer(&self) -> Option<Process> {
        self.everything().into_iter().find(|process| process.command == WRITER && process.state != 'Z')
    }

    fn everything(&self) -> Vec<Process> {
        let Some(running) = &self.running else { return Vec::new() };
        let all = Process::all().into_iter();
        all.filter(|process| namespace(process.pid).as_ref() == Some(&running.namespace)).collect()
    }

    /// The process, and no zombie, whose command line holds `text`, if there is one.
    pub fn process(&self, text: &str) -> Option<Process> {
        self.processes().into_iter().find(|process| process.command.contains(text))
    }

    /// Waits for that process.
    pub fn find(&mut self, text: &str) -> Process {
        self.until(&format!("a process: {text}"), |it| it.process(text).is_some());
        self.process(text).unwrap_or_else(|| panic!("it has gone: {text}"))
    }

    /// The lines of the log that are about a program.
    pub fn said_of(&self, program: &str) -> Vec<String> {
        let mark = format!(" {program}: ");
        let log = self.log();
        log.lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
    }

    /// Its zombies.
    pub fn zombies(&self) -> Vec<Process> {
        self.processes().into_iter().filter(|process| process.state == 'Z').collect()
    }

    /// Runs a command inside, as the engine's user, as `docker exec` does.
    pub fn enter<A: AsRef<std::ffi::OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Done {
        let user = postgres_user();
        let mut command = Command::new("nsenter");
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null());
        command.args(["-t", &self.pid1().to_string(), "-p", "-m", "-i", "--wdns=/", "--", "setpriv"]);
        command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
        command.args(["--clear-groups", "--", program]).args(arguments);
        finish(command, BOOT)
    }

    fn log_path(&self, boot: u32) -> PathBuf {
        self.path(&format!("console.{boot}"))
    }

    /// What PID 1 has written since its last boot.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path(self.boots)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What every PID 1 of this instance has written.
    pub fn log_of_all_boots(&self) -> String {
        let logs = (1..=self.boots).map(|boot| fs::read(self.log_path(boot)).unwrap_or_default());
        logs.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// Waits for a text in the log.
    pub fn wait_log(&mut self, text: &str) {
        self.until(&format!("in the log: {text}"), |it| it.log().contains(text));
    }

    /// Waits until a text is in the log `count` times.
    pub fn wait_log_count(&self, text: &str, count: usize) {
        until(&format!("{count} times in the log: {text}"), BOOT, || {
            self.log().matches(text).count() >= count
        });
    }

    /// Waits for a condition that PID 1 has to bring about; its end is the end of the waiting.
    pub fn until(&mut self, what: &str, mut look: impl FnMut(&Self) -> bool) {
        until(what, BOOT, || {
            let ended = self.exit();
            // Looked at after the end too: what it did last counts.
            let seen = look(self);
            assert!(seen || ended.is_none(), "PID 1 ended with {ended:?}; waited for {what}");
            seen
        });
    }

    /// Waits for the first boot to stand at the place that [`Builder::failpoint`] named.
    pub fn at_failpoint(&mut self) {
        let file = self.path("run/failpoint");
        self.until("the failpoint", |_| file.exists());
        fs::remove_file(file).unwrap();
    }
}

/// Whether a command line is none of those that hand over to the program.
fn taken_over(line: &[u8]) -> bool {
    let words: Vec<_> = line.split(|byte| *byte == 0).collect();
    let wrapper = words.first() == Some(&&b"sh"[..]) && words.get(3) == Some(&&b"wrapper"[..]);
    !wrapper && !matches!(words[0], b"" | b"unshare" | b"setsid" | b"setpriv" | b"env")
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- output of PID 1 (boot {}):\n{}", self.boots, self.log());
            for entry in fs::read_dir(self.path("data/pg_log")).into_iter().flatten().flatten() {
                let text = fs::read(entry.path()).unwrap_or_default();
                eprintln!("--- {}:\n{}", entry.path().display(), String::from_utf8_lossy(&text));
            }
            for process in self.processes() {
                eprintln!("--- {process:?}");
            }
        }
        if let Some(running) = &mut self.running {
            // Not yet waited for, so that the pid is still that of our PID 1; its end is the end of all of them.
            if running.unshare.try_wait().is_ok_and(|status| status.is_none()) && running.pid1 > 0 {
                kill(Pid::from_raw(running.pid1), Signal::SIGKILL).ok();
            }
            running.unshare.wait().ok();
        }
    }
}
