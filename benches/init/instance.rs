//! One init at work: PID 1 of a fresh PID namespace, with its programs.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::board::{Board, Kind, now};
use crate::peer::{Ask, Launch, Peer, Plan, Setting};
use crate::process::{Process, namespace, of_namespace, pidfd, signal_to, wait_ended};
use crate::room::Room;

/// Longer than anything that is measured may take.
pub const LONG: Duration = Duration::from_secs(60);
/// Between two looks at the board.
const LOOK: Duration = Duration::from_micros(100);
/// The `PATH` of a container.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One init at work; it and all its processes and files go when this is dropped.
#[derive(Debug)]
pub struct Instance {
    pub board: Board,
    pub folder: PathBuf,
    pub pid1: i32,
    /// How many programs it has.
    pub count: usize,
    pub launch: Launch,
    probe: PathBuf,
    namespace: PathBuf,
    unshare: Child,
    ended: OwnedFd,
}

impl Instance {
    /// Makes the files that the init wants, and starts it. It has not come to anything yet.
    pub fn start(peer: &Peer, plan: &Plan, room: &Room) -> Result<Self, String> {
        let folder = room.folder();
        let result = Self::start_in(peer, plan, &folder);
        if result.is_err() {
            fs::remove_dir_all(&folder).ok();
        }
        result
    }

    fn start_in(peer: &Peer, plan: &Plan, folder: &std::path::Path) -> Result<Self, String> {
        let board = Board::new(folder);
        let setting = Setting { folder, board: &board.path, tools: &peer.tools, plan };
        let launch = (peer.prepare)(peer, &setting)?;
        let log = folder.join("pid1.log");
        let output = fs::File::create(launch.stdout.as_ref().unwrap_or(&log)).unwrap();
        let errors = match launch.stdout {
            Some(_) => fs::File::create(&log).unwrap(),
            None => output.try_clone().unwrap(),
        };
        let unshare = Command::new("setpriv")
            .args(["--pdeathsig=KILL", "unshare", "--pid", "--fork", "--mount-proc", "--ipc"])
            .arg("--kill-child=KILL")
            .arg(&peer.tools.stamp)
            .arg(&board.path)
            .args(&launch.argv)
            .env_clear()
            .env("PATH", PATH)
            .env("PM_BOARD", &board.path)
            .env("PM_MODE", &plan.mode)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("setpriv, unshare: {error}"))?;
        let mut unshare = unshare;
        let begin = Instant::now();
        while board.at_least(Kind::Exec, 1).is_none() {
            if begin.elapsed() > LONG || unshare.try_wait().is_ok_and(|status| status.is_some()) {
                unshare.kill().ok();
                unshare.wait().ok();
                return Err(format!("no PID namespace: {}", tail(&log)));
            }
            sleep(LOOK);
        }
        let parent = unshare.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let children = children.map_err(|error| format!("/proc/PID/task/PID/children: {error}"))?;
        let pid1: i32 =
            children.trim().parse().map_err(|_| format!("the init ended at once: {}", tail(&log)))?;
        Ok(Self {
            namespace: namespace(pid1).ok_or("PID 1 has gone")?,
            ended: pidfd(pid1)?,
            probe: peer.tools.probe.clone(),
            folder: folder.to_owned(),
            count: plan.count,
            board,
            pid1,
            launch,
            unshare,
        })
    }

    /// Waits until every program has begun; milliseconds from the exec of PID 1 to the last one's first instruction.
    pub fn up(&self) -> Result<f64, String> {
        let moments = self.wait(Kind::First, self.count)?;
        let begin = self.board.moments(Kind::Exec)[0];
        Ok(milliseconds(begin, moments.into_iter().max().unwrap_or(begin)))
    }

    /// Waits until `count` moments of a kind were noted.
    pub fn wait(&self, kind: Kind, count: usize) -> Result<Vec<u64>, String> {
        self.wait_for(kind, count, LONG)
    }

    /// Waits so long. The looks cost a core of ours, not of the init's.
    pub fn wait_for(&self, kind: Kind, count: usize, deadline: Duration) -> Result<Vec<u64>, String> {
        let begin = Instant::now();
        let mut look = begin;
        loop {
            if let Some(moments) = self.board.at_least(kind, count) {
                return Ok(moments);
            }
            if look.elapsed() > Duration::from_millis(100) {
                look = Instant::now();
                let seen = self.board.moments(kind).len();
                if wait_ended(std::slice::from_ref(&self.ended), Duration::ZERO).is_ok() && seen < count {
                    return Err(self.blame("the init has ended"));
                }
                if begin.elapsed() > deadline {
                    let what = if kind == Kind::Term { "were asked to end" } else { "began" };
                    return Err(self.blame(&format!("{seen} of {count} programs {what} within {deadline:?}")));
                }
            }
            sleep(LOOK);
        }
    }

    /// What went wrong, with what the init said last.
    pub fn blame(&self, why: &str) -> String {
        format!("{why}: {}", tail(&self.folder.join("pid1.log")))
    }

    /// All processes of it.
    pub fn processes(&self) -> Vec<Process> {
        of_namespace(&self.namespace)
    }

    /// The programs that it keeps.
    pub fn programs(&self) -> Vec<Process> {
        self.processes().into_iter().filter(|process| process.exe == self.probe).collect()
    }

    /// The init itself, and all its helpers.
    pub fn own(&self) -> Vec<Process> {
        self.processes().into_iter().filter(|process| process.exe != self.probe).collect()
    }

    /// Asks it to end in order; milliseconds until nothing is left of it. `Err` if a program was not asked, which is not
    /// in order.
    pub fn down(&self, all_asked: bool) -> Result<f64, String> {
        let begin;
        let end;
        match &self.launch.ask {
            Ask::Signal(signal) => {
                begin = now();
                signal_to(self.pid1, *signal);
                wait_ended(std::slice::from_ref(&self.ended), LONG).map_err(|why| self.blame(&why))?;
                end = now();
            }
            // The init stays; it is over when the programs are.
            Ask::Command(argv) => {
                let programs = self.programs();
                let programs: Result<Vec<_>, _> = programs.iter().map(|program| pidfd(program.pid)).collect();
                let programs = programs?;
                begin = now();
                let client = Command::new(&argv[0]).args(&argv[1..]).stdout(Stdio::null()).spawn();
                let mut client = client.map_err(|error| format!("{}: {error}", argv[0]))?;
                let result = wait_ended(&programs, LONG);
                end = now();
                client.kill().ok();
                client.wait().ok();
                result.map_err(|why| self.blame(&why))?;
            }
        }
        let asked = self.board.moments(Kind::Term).len();
        if all_asked && asked < self.count {
            return Err(format!(
                "no ordered stop: {asked} of {} programs got SIGTERM, the kernel killed the rest",
                self.count
            ));
        }
        Ok(milliseconds(begin, end))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // `--kill-child` ends PID 1, and with it the kernel ends the namespace.
        if self.unshare.try_wait().is_ok_and(|status| status.is_none()) {
            signal_if_there(self.pid1);
        }
        wait_ended(std::slice::from_ref(&self.ended), LONG).ok();
        self.unshare.kill().ok();
        self.unshare.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn signal_if_there(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // Not reaped before `unshare` is waited for, so that the pid is still ours.
        rustix::process::kill_process(pid, Signal::KILL).ok();
    }
}

/// Milliseconds between two moments of the board.
pub fn milliseconds(begin: u64, end: u64) -> f64 {
    (end.cast_signed() - begin.cast_signed()) as f64 / 1e6
}

/// The last words of a log.
fn tail(log: &std::path::Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    let said = lines.into_iter().rev().collect::<Vec<_>>().join(" | ");
    if said.is_empty() { "it said nothing".to_owned() } else { said.chars().take(200).collect() }
}
