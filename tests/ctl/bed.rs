//! A supervisor that says what a test has it say, and `polarctl` as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use polardb_manager::control::protocol::{Engine, Op, Request, Status};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Deadline of what takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(30);

/// What the supervisor says to a request: the lines of its answer.
type Says = dyn FnMut(&Op) -> Vec<Value> + Send;

/// A supervisor's socket, in a folder of its own.
pub struct Bed {
    pub dir: TempDir,
    asked: Arc<Mutex<Vec<Op>>>,
}

impl Bed {
    /// No supervisor.
    pub fn empty() -> Self {
        Bed { dir: TempDir::new().unwrap(), asked: Arc::default() }
    }

    /// A supervisor that answers by this function.
    pub fn new(says: impl FnMut(&Op) -> Vec<Value> + Send + 'static) -> Self {
        let bed = Self::empty();
        bed.serve(says);
        bed
    }

    /// Has a supervisor listen.
    pub fn serve(&self, says: impl FnMut(&Op) -> Vec<Value> + Send + 'static) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        let says: Arc<Mutex<Box<Says>>> = Arc::new(Mutex::new(Box::new(says)));
        let asked = Arc::clone(&self.asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (says, asked) = (Arc::clone(&says), Arc::clone(&asked));
                std::thread::spawn(move || answer(&stream.unwrap(), &says, &asked));
            }
        });
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("supervisor.sock")
    }

    /// What was asked that changes something.
    pub fn changes(&self) -> Vec<Op> {
        let asked = self.asked.lock().unwrap().clone();
        asked
            .into_iter()
            .filter(|op| {
                matches!(op, Op::Start { .. } | Op::Stop { .. } | Op::Restart { .. } | Op::Reload {})
            })
            .collect()
    }

    /// `polarctl` at this supervisor's socket.
    pub fn ctl(&self, line: &str) -> Ran {
        self.command(line).ran()
    }

    /// The same, not yet run.
    pub fn command(&self, line: &str) -> Ctl {
        Ctl::new(line).option("--socket", &self.socket()).env("POLAR_SUPERVISOR_LOG_DIR", self.dir.path())
    }
}

fn answer(stream: &UnixStream, says: &Mutex<Box<Says>>, asked: &Mutex<Vec<Op>>) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let request: Request = serde_json::from_str(&line).unwrap();
        asked.lock().unwrap().push(request.op.clone());
        let lines = says.lock().unwrap()(&request.op);
        for line in lines {
            let mut stream = stream;
            // Who asked may have gone.
            if stream.write_all(format!("{line}\n").as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// An answer that is a value.
pub fn ok(value: impl serde::Serialize) -> Vec<Value> {
    vec![json!({"v": 1, "ok": value})]
}

/// An answer that is a refusal.
pub fn refused(code: &str, message: &str) -> Vec<Value> {
    vec![json!({"v": 1, "error": {"code": code, "message": message}})]
}

/// `polarctl`, with no environment but `PATH`.
pub struct Ctl(Command);

/// How it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ctl {
    /// With the words of this line as arguments.
    pub fn new(line: &str) -> Self {
        Self::by(Command::new(env!("CARGO_BIN_EXE_polarctl")), line)
    }

    /// As another user.
    pub fn as_uid(uid: u32, line: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={uid}")]);
        command.args(["--clear-groups", "--", env!("CARGO_BIN_EXE_polarctl")]);
        Self::by(command, line)
    }

    fn by(mut command: Command, line: &str) -> Self {
        command.args(line.split_whitespace()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.stdin(Stdio::null()).current_dir("/");
        Ctl(command)
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub fn option(mut self, name: &str, value: &Path) -> Self {
        self.0.arg(name).arg(value);
        self
    }

    pub fn word(mut self, word: &str) -> Self {
        self.0.arg(word);
        self
    }

    /// With this on its standard input.
    pub fn given(mut self, input: &[u8]) -> Ran {
        let mut child =
            self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let input = input.to_vec();
        // It may have read enough, and gone.
        let writer = std::thread::spawn(move || pipe.write_all(&input).ok());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().expect("an exit status"), stdout: text(stdout), stderr: text(stderr) }
    }

    pub fn ran(mut self) -> Ran {
        let Output { status, stdout, stderr } = self.0.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().expect("an exit status"), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Runs on, with this output and standard error.
    pub fn spawn_to(mut self, out: impl Into<Stdio>, err: impl Into<Stdio>) -> std::process::Child {
        self.0.stdout(out).stderr(err).spawn().unwrap()
    }

    /// Runs on, its output to be read.
    pub fn spawn(mut self) -> std::process::Child {
        self.0.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

impl Ran {
    /// Standard output of one that succeeded and had nothing to remark.
    pub fn success(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A program that runs, since three days.
pub fn running(name: &str, kind: &str) -> Status {
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(3 * 24 * 60 + 150);
    let value = json!({
        "name": name, "kind": kind, "state": "running", "reason": null, "pid": 42, "since": since.to_string(),
        "restarts": 0, "failures": 0, "last_exit": null, "ready": true, "adopted": false, "standby": null, "lock": null,
        "starts_in": null, "ends": {}, "downtime": {}, "start_seconds": 0.5, "stop_seconds": null, "dropped_lines": 0,
        "engine": null, "output_file": null
    });
    serde_json::from_value(value).unwrap()
}

/// One that is down for this reason.
pub fn down(name: &str, kind: &str, reason: &str) -> Status {
    Status {
        state: "down".into(),
        reason: Some(reason.into()),
        pid: None,
        ready: false,
        ..running(name, kind)
    }
}

/// An engine's places, all below `dir`.
pub fn engine(dir: &Path) -> Engine {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    Engine {
        data_dir: path("data"),
        lock_file: path("data/ins_lock"),
        log_link: path("log/pg_log"),
        socket_dir: vec![path("data")],
        port: 5432,
        user: None,
    }
}

/// Looks every 5 ms until it is so.
pub fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !look() {
        assert!(begin.elapsed() < SOON, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server that lets clients in, on the socket of this port in this folder.
pub fn accepting(folder: &Path, port: u16) {
    let listener = UnixListener::bind(folder.join(format!(".s.PGSQL.{port}"))).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Hanging up on what was not read would be a broken connection.
            let _ = stream.read(&mut [0; 1024]);
            // A request for a password.
            let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\x03");
        }
    });
}

/// A `postmaster.pid` of a server with that socket.
pub fn pid_file(data: &Path, status: &str) {
    let text = format!("42\n{0}\n1\n5432\n{0}\n*\n 1 1\n{status}\n", data.display());
    std::fs::write(data.join("postmaster.pid"), text).unwrap();
}
