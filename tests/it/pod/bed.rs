//! The pod: its containers, and commands in them.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{
    BOOT, Done, Port, Process, SOON, SUPERVISOR, TestDir, eventually, finish, pg_bin, polarctl, until,
};

/// What makes a container's root; sourced by a shell in fresh namespaces.
const CONTAINER: &str = include_str!("container.sh");
/// The `PATH` of the images.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/u01/polardb_pg/bin";
/// The uid that belongs to [`LOGIC_ID`].
pub const UID: u32 = 14_321;
/// The number of the instance.
pub const LOGIC_ID: &str = "1004321";

/// Whether containers see each other's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pids {
    /// `shareProcessNamespace: true`, as the operator has it.
    Shared,
    /// Each has its own.
    Own,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    Engine,
    Manager,
}

impl Image {
    fn name(self) -> &'static str {
        match self {
            Image::Engine => "engine",
            Image::Manager => "manager",
        }
    }

    /// The command of its image.
    fn entry(self) -> &'static [&'static str] {
        match self {
            Image::Engine => &[
                "python",
                "/docker_script/pg_tasks/supervisor.py",
                "su",
                "-l",
                "${INITDB_USER}",
                "-c",
                "\"/u01/polardb_pg/bin/postgres -D /data\"",
            ],
            Image::Manager => &["python", "/docker_script/init_and_pause.py"],
        }
    }
}

/// A container that runs.
#[derive(Debug)]
struct Container {
    outer: Child,
    /// Its first process, on the machine.
    first: i32,
}

/// The pod.
#[derive(Debug)]
pub struct Pod {
    pub dir: TestDir,
    pub port: Port,
    pids: Pids,
    /// The process that stands for the sandbox, where the namespace is shared.
    pause: Option<Container>,
    containers: Vec<(Image, Container)>,
    boots: u32,
    environment: Vec<(Image, String)>,
}

impl Pod {
    /// Starts both containers over empty volumes of root's.
    pub fn start(pids: Pids) -> Self {
        let mut pod = Self::build(pids);
        pod.boot(Image::Engine);
        pod.boot(Image::Manager);
        pod
    }

    /// The pod without containers.
    pub fn build(pids: Pids) -> Self {
        let dir = TestDir::new();
        chown(dir.path("log"), Some(0), Some(0)).unwrap();
        let environment = vec![
            (Image::Engine, "host_data_dir=/disk1/polardb/1001/data".to_owned()),
            (Image::Engine, "host_log_dir=/disk1/polardb/1001/log".to_owned()),
            (Image::Engine, "INITDB_USER=postgres".to_owned()),
            (Image::Manager, format!("logic_ins_id={LOGIC_ID}")),
        ];
        let mut pod = Pod {
            dir,
            port: Port::claim(),
            pids,
            pause: None,
            containers: Vec::new(),
            boots: 0,
            environment,
        };
        if pids == Pids::Shared {
            let mut command = unshared();
            command.args(["sh", "-c", "while :; do sleep 1000 & wait $!; done", "pause"]);
            pod.pause = Some(run(command, "pause"));
        }
        pod
    }

    /// Takes a variable of a container away.
    pub fn without(mut self, image: Image, variable: &str) -> Self {
        self.environment.retain(|(of, line)| *of != image || !line.starts_with(&format!("{variable}=")));
        self
    }

    /// Sets a variable of a container.
    pub fn with(mut self, image: Image, line: &str) -> Self {
        self.environment.push((image, line.to_owned()));
        self
    }

    /// Starts a container from its image, as a kubelet does after its end, too.
    pub fn boot(&mut self, image: Image) {
        self.boot_by(image, image.entry(), "/docker_script/");
    }

    /// The same by another command; its first process is there once its command line begins with `title`.
    pub fn boot_by(&mut self, image: Image, entry: &[&str], title: &str) {
        self.boots += 1;
        let environment = self.environment_of(image).join("\n");
        fs::write(self.dir.path(format!("{}.env", image.name())), environment).unwrap();
        let mut command = match &self.pause {
            None => unshared(),
            Some(pause) => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig=KILL", "nsenter", "-t", &pause.first.to_string(), "-p", "--"]);
                command.args(["unshare", "--mount", "--ipc"]);
                command
            }
        };
        let rootfs = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs");
        command.args(["sh", "-c", CONTAINER, "container"]).args(entry).env_clear();
        command.env("PATH", PATH).env("DIR", self.dir.path("")).env("IMAGE", image.name());
        command.env("ROOTFS", rootfs).env("SUPERVISOR", SUPERVISOR).env("POLARCTL", polarctl());
        command.env("PG", pg_bin().parent().expect("a release's folder"));
        let log = fs::File::create(self.log_path(image)).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let container = run(command, image.name());
        let first = container.first;
        self.containers.push((image, container));
        until("the container's first process", SOON, || {
            let words = fs::read(format!("/proc/{first}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).starts_with(title) || !Process::lives(first)
        });
    }

    fn log_path(&self, image: Image) -> PathBuf {
        self.dir.path(format!("{}.{}.log", image.name(), self.boots))
    }

    /// What the containers have written so far.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for boot in 1..=self.boots {
            for image in [Image::Engine, Image::Manager] {
                let path = self.dir.path(format!("{}.{boot}.log", image.name()));
                all.push_str(&fs::read_to_string(path).unwrap_or_default());
            }
        }
        all
    }

    fn environment_of(&self, image: Image) -> Vec<String> {
        let own = self.environment.iter().filter(|(of, _)| *of == image).map(|(_, line)| line.clone());
        [format!("PATH={PATH}"), "POLARDB_BASE_DIR=/u01/polardb_pg".to_owned()]
            .into_iter()
            .chain(own)
            .collect()
    }

    /// The first process of a container.
    pub fn first(&self, image: Image) -> i32 {
        self.containers.iter().find(|(of, _)| *of == image).expect("the container runs").1.first
    }

    /// `kubectl exec`: this command in a container.
    pub fn command(&self, image: Image, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.first(image).to_string(), "-p", "-m", "-i", "-r", "--wdns=/", "--"]);
        command.args(words).env_clear().stdin(Stdio::null());
        for line in self.environment_of(image) {
            let (name, value) = line.split_once('=').unwrap();
            command.env(name, value);
        }
        command
    }

    /// The same, run to its end.
    pub fn exec(&self, image: Image, words: &[&str]) -> Done {
        finish(self.command(image, words), BOOT)
    }

    /// A path on the data volume.
    pub fn data(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.path("data").join(relative)
    }

    /// What `psql` says, as the operator's people ask: in the engine's container, as `postgres`.
    pub fn sql(&self, statement: &str) -> String {
        self.try_sql(statement).success()
    }

    /// The same where it may fail.
    pub fn try_sql(&self, statement: &str) -> Done {
        let port = self.port.number().to_string();
        let psql =
            ["/u01/polardb_pg/bin/psql", "-U", "postgres", "-h", "/data", "-p", &port, "-XAtc", statement];
        self.exec(Image::Engine, &psql)
    }

    /// The postmaster's process.
    pub fn postmaster(&self) -> Option<Process> {
        let text = fs::read_to_string(self.data("postmaster.pid")).ok()?;
        let inner: i32 = text.lines().next()?.parse().ok()?;
        let engine = fs::read_link(format!("/proc/{}/ns/pid", self.first(Image::Engine))).ok()?;
        Process::all().into_iter().find(|process| {
            process.inner == inner
                && process.state != 'Z'
                && fs::read_link(format!("/proc/{}/ns/pid", process.pid)).is_ok_and(|of| of == engine)
        })
    }

    /// Waits until it serves.
    pub fn serves(&self) {
        until("the engine to serve", BOOT, || {
            self.try_sql("select 1").status.success() || self.first_has_ended(Image::Engine)
        });
        assert!(!self.first_has_ended(Image::Engine), "{}", self.logs());
    }

    /// Whether a container has ended.
    pub fn first_has_ended(&self, image: Image) -> bool {
        !Process::lives(self.first(image))
    }

    /// Waits until a container has ended, and forgets it; its exit status.
    pub fn ended(&mut self, image: Image) -> i32 {
        let place = self.containers.iter().position(|(of, _)| *of == image).expect("the container runs");
        let (_, mut container) = self.containers.remove(place);
        eventually("the container's end", BOOT, || container.outer.try_wait().unwrap()).code().unwrap_or(-1)
    }

    /// Sends a signal to a container's first process.
    pub fn signal(&self, image: Image, signal: Signal) {
        kill(Pid::from_raw(self.first(image)), signal).unwrap();
    }

    /// Whether the engine's supervisor has left it down; it is looked at for a while.
    pub fn stays_down(&self) {
        let begin = std::time::Instant::now();
        while begin.elapsed() < std::time::Duration::from_millis(1500) {
            assert!(self.postmaster().is_none(), "it was started again: {}", self.logs());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Its tasks that are under way, on the machine.
    pub fn tasks(&self) -> Vec<i32> {
        let place = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let own = [Image::Engine, Image::Manager].map(|image| place(self.first(image)));
        let tasks = Process::all().into_iter().filter(|it| it.command.starts_with("polarctl task"));
        tasks.map(|it| it.pid).filter(|pid| own.contains(&place(*pid))).collect()
    }

    /// A container in which processes of the engine are seen, and callers are.
    pub fn sees_engine(&self) -> Image {
        if self.pids == Pids::Shared { Image::Manager } else { Image::Engine }
    }
}

/// Runs what follows as PID 1 of a fresh namespace, which dies with the test.
fn unshared() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig=KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount", "--ipc"]);
    command
}

/// Runs it; its first process is the child of the one that made the namespace.
fn run(mut command: Command, what: &str) -> Container {
    let mut outer = command.spawn().expect("a container");
    let list = format!("/proc/{0}/task/{0}/children", outer.id());
    let first = eventually(what, SOON, || {
        if let Some(status) = outer.try_wait().unwrap() {
            panic!("{what}: its wrapper has ended: {status}");
        }
        fs::read_to_string(&list).ok()?.split_whitespace().next()?.parse().ok()
    });
    Container { outer, first }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- containers:\n{}", self.logs());
            let log = fs::read_to_string(self.dir.path("log/manager.log")).unwrap_or_default();
            eprintln!("--- manager.log:\n{log}");
        }
        let containers = self.containers.drain(..).map(|(_, container)| container);
        for mut container in containers.chain(self.pause.take()) {
            // The end of a namespace's PID 1 is the end of all in it; in a shared one the sandbox's is the last.
            kill(Pid::from_raw(container.first), Signal::SIGKILL).ok();
            container.outer.wait().ok();
        }
    }
}
