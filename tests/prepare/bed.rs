//! A test bed: folders, an order, and a driver that plays PID 1.

use std::fs::{self, File, Permissions};
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use polardb_manager::config::{Init, Postgres, StopMode};
use polardb_manager::supervisor::prepare::protocol::{
    Errand, Order, REPORT_MAX, Report, Start, User, Verdict,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};
use rustix::process::{Pid, Signal, kill_process};

/// No step takes this long on any machine.
pub const LONG: Duration = Duration::from_secs(60);

/// Folders of one test, removed at its end.
pub struct Bed {
    pub dir: tempfile::TempDir,
    pub order: Order,
    /// Variables of the child, on top of a short list.
    pub variables: Vec<(String, String)>,
}

/// What a child said and how it ended.
pub struct Ran {
    pub reports: Vec<Report>,
    pub keeper: Option<OwnedFd>,
    pub had_keeper: bool,
    pub status: ExitStatus,
    pub stderr: String,
}

/// A child under way.
pub struct Running {
    pub child: Child,
    socket: OwnedFd,
    stderr: PathBuf,
}

/// The ids of the user `postgres`, which Debian's package makes.
pub fn postgres_ids() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("a user postgres");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

impl Bed {
    /// Needs root: the child drops to the user `postgres`.
    pub fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests need root, from which prepare drops its privileges"
        );
        let dir = tempfile::Builder::new().prefix("pp").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["data", "scripts", "marks"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        // The init scripts write here as the engine's user.
        fs::set_permissions(dir.path().join("marks"), Permissions::from_mode(0o1777)).unwrap();
        let (uid, gid) = postgres_ids();
        let at = |name: &str| dir.path().join(name);
        let engine = Postgres {
            follow_engine_log: false,
            bin_dir: None,
            data_dir: at("data"),
            port: 5432,
            socket_dir: vec![at("sock")],
            init: Init::Auto,
            require_mount: false,
            lock_file: at("data/ins_lock"),
            lock_poll: Duration::from_secs(5),
            log_link: at("log/pg_log"),
            log_keep: Duration::from_secs(7 * 86_400),
            conf_template: None,
            initdb_args: ["--data-checksums", "--encoding=UTF8", "--locale=C"].map(str::to_owned).to_vec(),
            init_scripts: at("scripts"),
            stop_mode: StopMode::Fast,
            parameters: [("listen_addresses", ""), ("shared_buffers", "16MB")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let order = Order {
            errand: Errand::Prepare,
            program: "engine".to_owned(),
            engine,
            options: Vec::new(),
            user: User {
                name: Some("postgres".to_owned()),
                uid,
                gid,
                groups: vec![gid],
                home: "/var/lib/postgresql".to_owned(),
            },
            environment: vec![
                ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
                ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ],
            run_dir: at("run"),
            keeper: false,
            memo: None,
            first: true,
            room_for_pg_ctl: None,
            init: true,
            cleared: None,
            lived: None,
            usurped: false,
            last_failure: None,
        };
        Bed { dir, order, variables: Vec::new() }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn script(&self, name: &str, text: &str, executable: bool) {
        let path = self.at("scripts").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(if executable { 0o755 } else { 0o644 })).unwrap();
    }

    pub fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Names in the data directory, sorted.
    pub fn names(&self) -> Vec<String> {
        names(&self.order.engine.data_dir)
    }

    pub fn spawn(&self, keeper: Option<&OwnedFd>) -> Running {
        self.spawn_by(keeper, |_| {})
    }

    pub fn spawn_by(&self, keeper: Option<&OwnedFd>, change: impl FnOnce(&mut Command)) -> Running {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let timeout = rustix::net::sockopt::Timeout::Recv;
        rustix::net::sockopt::set_socket_timeout(&socket, timeout, Some(LONG)).unwrap();
        let stderr = self.at(&format!("stderr-{}", socket.as_raw_fd()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_polar-supervisor"));
        command.arg("prepare").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::piped());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
        change(&mut command);
        // Out of the way of the numbers that they get in the child.
        let theirs = rustix::io::fcntl_dupfd_cloexec(&theirs, 10).unwrap();
        let kept = keeper.map(|keeper| rustix::io::fcntl_dupfd_cloexec(keeper, 10).unwrap());
        hand_over(&mut command, &theirs, kept.as_ref());
        let mut child = command.spawn().unwrap();
        drop(theirs);
        let mut order = self.order.clone();
        order.keeper = keeper.is_some();
        child.stdin.take().unwrap().write_all(&serde_json::to_vec(&order).unwrap()).unwrap();
        Running { child, socket, stderr }
    }

    /// Runs a child of a PID 1 that ends with it: the lock is given back.
    pub fn run(&self) -> Ran {
        let mut ran = self.spawn(None).finish();
        ran.had_keeper = ran.keeper.take().is_some();
        ran
    }

    /// Runs to a start.
    pub fn start(&self) -> (Start, Ran) {
        let ran = self.run();
        match ran.verdict() {
            Verdict::Start(start) => (start.clone(), ran),
            other => panic!("{other:?}\n{:?}\n{}", ran.notes(), ran.stderr),
        }
    }

    /// Starts the engine as PID 1 would, runs the statement, stops it. The statement's answer.
    pub fn serve(&self, start: &Start, sql: &str) -> String {
        let postmaster = self.postmaster(start);
        let answer = self.sql(sql);
        postmaster.stop();
        answer
    }

    pub fn postmaster(&self, start: &Start) -> Postmaster {
        let (uid, gid) = postgres_ids();
        let log = self.at("engine.log");
        let mut command = Command::new(&start.argv[0]);
        command.args(&start.argv[1..]).env_clear().uid(uid).gid(gid).current_dir("/");
        command.envs(self.order.environment.iter().map(|(name, value)| (name, value)));
        command.envs(start.environment.iter().map(|(name, value)| (name, value)));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = command.spawn().unwrap();
        let pid_file = Path::new(&start.data_dir).join("postmaster.pid");
        until("the engine is ready", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the engine ended with {status}: {}", fs::read_to_string(&log).unwrap());
            }
            let own = format!("{}\n", child.id());
            fs::read_to_string(&pid_file)
                .is_ok_and(|text| text.starts_with(&own) && text.lines().any(|line| line.trim() == "ready"))
        });
        Postmaster { child }
    }

    /// `psql` over the socket as the role `postgres`, which root may be.
    pub fn sql(&self, sql: &str) -> String {
        let output = Command::new("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-c", sql, "-h"])
            .arg(self.at("sock"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// A running engine; killed when dropped.
pub struct Postmaster {
    pub child: Child,
}

impl Postmaster {
    pub fn stop(mut self) {
        signal(self.child.id(), Signal::INT);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            signal(self.child.id(), Signal::QUIT);
            let _ = self.child.wait();
        }
    }
}

/// Gives the child its descriptors 3 and 4.
fn hand_over(command: &mut Command, socket: &OwnedFd, keeper: Option<&OwnedFd>) {
    let (socket, keeper) = (socket.as_raw_fd(), keeper.map(AsRawFd::as_raw_fd));
    let hand = move || {
        for (from, to) in [(Some(socket), 3), (keeper, 4)] {
            if let Some(from) = from {
                // SAFETY: both are open in the child, which has one thread between fork and exec.
                #[allow(unsafe_code, reason = "only raw numbers can cross the fork")]
                unsafe {
                    let from = std::os::fd::BorrowedFd::borrow_raw(from);
                    let _ = nix::unistd::dup2_raw(from, to)?.into_raw_fd();
                }
            }
        }
        Ok(())
    };
    // SAFETY: two system calls, no allocation, no lock.
    #[allow(unsafe_code, reason = "std has no other way to hand over descriptors by number")]
    unsafe {
        command.pre_exec(hand);
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        self::signal(self.pid(), signal);
    }

    /// Reads all reports and waits for the end.
    pub fn finish(mut self) -> Ran {
        let mut reports = Vec::new();
        let mut keeper = None;
        while let Some((report, descriptor)) = receive(&self.socket) {
            keeper = descriptor.or(keeper);
            reports.push(report);
        }
        let status = self.child.wait().unwrap();
        let stderr = fs::read_to_string(&self.stderr).unwrap();
        Ran { reports, keeper, had_keeper: false, status, stderr }
    }

    /// SIGKILL to it and to all that descends from it, as the end of a pid namespace does.
    pub fn kill_tree(self) -> Ran {
        let mut tree = vec![self.pid()];
        loop {
            let known = tree.len();
            for pid in &tree {
                signal(*pid, Signal::STOP);
            }
            for (pid, parent) in processes() {
                if tree.contains(&parent) && !tree.contains(&pid) {
                    tree.push(pid);
                }
            }
            if tree.len() == known {
                break;
            }
        }
        for pid in &tree {
            signal(*pid, Signal::KILL);
        }
        let ran = self.finish();
        until("the tree is gone", || tree.iter().all(|pid| state(*pid).is_none_or(|state| state == 'Z')));
        ran
    }
}

fn receive(socket: impl AsFd) -> Option<(Report, Option<OwnedFd>)> {
    let mut packet = vec![0; REPORT_MAX + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut packet)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .unwrap();
    if received.bytes == 0 {
        return None;
    }
    assert!(received.bytes <= REPORT_MAX);
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Some((serde_json::from_slice(&packet[..received.bytes]).unwrap(), descriptor))
}

impl Ran {
    pub fn verdict(&self) -> &Verdict {
        match self.reports.last() {
            Some(Report::Verdict(verdict)) => verdict,
            other => panic!("no verdict but {other:?}\n{}", self.stderr),
        }
    }

    pub fn notes(&self) -> Vec<&str> {
        self.reports
            .iter()
            .filter_map(|report| match report {
                Report::Note { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub fn noted(&self, part: &str) -> bool {
        self.notes().iter().any(|note| note.contains(part))
    }

    /// The cause of a refusal with its remedy; the exit status is 78.
    pub fn refusal(&self) -> String {
        assert_eq!(self.status.code(), Some(78), "{:?}\n{}", self.reports, self.stderr);
        match self.verdict() {
            Verdict::Refused { cause, remedy } => {
                assert!(!remedy.is_empty());
                format!("{cause} -> {remedy}")
            }
            other => panic!("{other:?}"),
        }
    }

    /// The cause of a failed first boot; the exit status is 70.
    pub fn failure(&self) -> &str {
        assert_eq!(self.status.code(), Some(70), "{:?}\n{}", self.reports, self.stderr);
        match self.verdict() {
            Verdict::Failed { cause, .. } => cause,
            other => panic!("{other:?}"),
        }
    }
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
}

/// Waits for a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Process ids with their parents.
fn processes() -> Vec<(u32, u32)> {
    let pids = names(Path::new("/proc")).into_iter().filter_map(|name| name.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, stat(pid)?.1))).collect()
}

pub fn state(pid: u32) -> Option<char> {
    Some(stat(pid)?.0)
}

fn stat(pid: u32) -> Option<(char, u32)> {
    let mut text = String::new();
    File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut text).ok()?;
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
