//! A real PostgreSQL over a data directory of its own, and `polarctl` at it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use polardb_manager::engine::{access, flavor};
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::{Ctl, Ran, until};

/// Settings of the tests' servers: small, quick, on no TCP, and each with the socket in its data directory.
const SETTINGS: &str = "\
listen_addresses=''
unix_socket_directories='.'
shared_buffers=16MB
max_connections=12
superuser_reserved_connections=2
fsync=off
autovacuum=off
max_wal_senders=4
hot_standby=on
";

/// User and group of the engine.
pub fn postgres() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("a user postgres: make test installs it");
    let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
    (ids.next().unwrap(), ids.next().unwrap())
}

/// Folder of the engine's executables.
pub fn bin_dir() -> PathBuf {
    flavor::find_bin_dir(None, &std::env::var("PATH").unwrap()).expect("a PostgreSQL: make test installs it")
}

/// A program of the engine, as the engine's user.
pub fn as_engine(program: &str) -> Command {
    let (uid, gid) = postgres();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
    // With the test that has it, whatever becomes of that.
    command.args(["--clear-groups", "--pdeathsig=QUIT", "--"]).arg(bin_dir().join(program));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("LC_ALL", "C");
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn output_of(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder that the engine's user may enter.
fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

fn own(path: &Path) {
    let (uid, gid) = postgres();
    chown(path, Some(uid), Some(gid)).unwrap();
}

/// What initdb makes, once for all tests.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    let dir = TEMPLATE.get_or_init(|| {
        let dir = folder();
        own(dir.path());
        let mut initdb = as_engine("initdb");
        initdb.args(["--no-sync", "--locale=C", "--encoding=UTF8", "-U", "postgres", "-D"]);
        output_of({
            initdb.arg(dir.path().join("data"));
            initdb
        });
        dir
    });
    dir.path()
}

/// A server, or the data directory of one.
pub struct Engine {
    server: Option<Child>,
    _disk: Option<Disk>,
    pub dir: TempDir,
}

/// A small disk, unmounted with the value.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

impl Engine {
    /// A data directory; nothing runs on it.
    pub fn down() -> Self {
        Self::down_on(None, folder())
    }

    /// The same on a disk of its own with a few megabytes to spare.
    pub fn on_small_disk() -> Self {
        let dir = folder();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=120m,mode=0700", "tmpfs"]).arg(&data);
        output_of(mount);
        own(&data);
        Self::down_on(Some(Disk(data)), dir)
    }

    /// Leaves no byte free.
    pub fn fill_disk(&self) {
        let filler = format!("of={}", self.data().join("filler").display());
        let output = Command::new("dd").args(["if=/dev/zero", "bs=4k", &filler]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
    }

    /// Takes that back.
    pub fn empty_disk(&self) {
        fs::remove_file(self.data().join("filler")).unwrap();
    }

    /// A server that recovers without end: it waits for a file that never comes.
    pub fn recovering() -> Self {
        let mut engine = Self::down();
        engine.write("recovery.signal", "");
        let conf = engine.read("postgresql.conf");
        engine.write("postgresql.conf", format!("{conf}restore_command='sleep 600'\n"));
        engine.spawn(&[]);
        until("it to recover", || {
            engine.try_sql("select 1").is_err_and(|error| error.contains("starting up"))
        });
        engine
    }

    fn down_on(disk: Option<Disk>, dir: TempDir) -> Self {
        let mut copy = Command::new("cp");
        copy.args(["-a", "--no-target-directory"]).arg(template().join("data")).arg(dir.path().join("data"));
        output_of(copy);
        let engine = Engine { dir, _disk: disk, server: None };
        let conf = engine.read("postgresql.conf");
        engine.write("postgresql.conf", format!("port=5432\n{conf}{SETTINGS}"));
        engine.write("pg_hba.conf", access::hba("scram-sha-256"));
        engine.write("pg_ident.conf", access::ident(None));
        engine.make_log_dir();
        engine
    }

    /// A server that takes connections.
    pub fn up() -> Self {
        let mut engine = Self::down();
        engine.start();
        engine
    }

    /// A standby of another one, streaming from it.
    pub fn standby_of(primary: &Engine) -> Self {
        Self::standby_with(primary, "")
    }

    /// The same with these settings.
    pub fn standby_with(primary: &Engine, settings: &str) -> Self {
        let dir = folder();
        own(dir.path());
        let mut backup = as_engine("pg_basebackup");
        let port = primary.port().to_string();
        backup.arg("-h").arg(primary.data()).args([
            "-p",
            &port,
            "-U",
            "postgres",
            "-c",
            "fast",
            "-R",
            "--no-sync",
            "-D",
        ]);
        output_of({
            backup.arg(dir.path().join("data"));
            backup
        });
        let mut engine = Engine { dir, _disk: None, server: None };
        // The primary's, whose socket lies in its data directory.
        fs::remove_file(engine.data().join(format!(".s.PGSQL.{port}.lock"))).unwrap();
        engine.write("postgresql.conf", engine.read("postgresql.conf") + settings);
        engine.make_log_dir();
        // The primary has the TCP port.
        engine.spawn(&["-c", "listen_addresses="]);
        engine.ready();
        engine
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn make_log_dir(&self) {
        fs::create_dir(self.log_dir()).unwrap();
        own(&self.log_dir());
    }

    /// Writes a file of the data directory, as the engine's user would.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.data().join(name);
        fs::write(&path, text).unwrap();
        own(&path);
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.data().join(name)).unwrap()
    }

    /// Begins to start it.
    pub fn spawn(&mut self, options: &[&str]) {
        let log = File::options().append(true).create(true).open(self.dir.path().join("server.log")).unwrap();
        let mut server = as_engine("postgres");
        server.arg("-D").arg(self.data()).args(options);
        server.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.server = Some(server.spawn().unwrap());
    }

    /// Starts it, and waits until it takes connections.
    pub fn start(&mut self) {
        self.spawn(&[]);
        self.ready();
    }

    pub fn ready(&self) {
        let begin = std::time::Instant::now();
        until("the server to take connections", || {
            assert!(begin.elapsed() < crate::bed::SOON / 2, "{}", self.server_log());
            self.try_sql("select 1").is_ok()
        });
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGINT);
        assert!(self.server.take().unwrap().wait().unwrap().success(), "{}", self.server_log());
    }

    /// Sends the postmaster a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.server.as_ref().expect("a server").id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    /// Sends the postmaster and all its processes a signal.
    pub fn signal_all(&self, signal: Signal) {
        self.signal(signal);
        for child in self.children() {
            // One that has gone meanwhile needs none.
            kill(Pid::from_raw(child.parse().unwrap()), signal).ok();
        }
    }

    /// The process ids of the postmaster's children.
    fn children(&self) -> Vec<String> {
        let pid = self.server.as_ref().expect("a server").id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// How many client sessions it has, by the titles of its processes; no session is needed to see that.
    pub fn sessions(&self) -> usize {
        let title = |child: &str| fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        let of_client = |child: &&String| String::from_utf8_lossy(&title(child)).contains("[local] ");
        self.children().iter().filter(of_client).count()
    }

    pub fn server_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// psql as the superuser, as the engine's user.
    pub fn psql(&self) -> Command {
        let mut psql = as_engine("psql");
        let port = fs::read_to_string(self.data().join("postmaster.pid")).ok();
        let port = port.as_deref().and_then(|text| text.lines().nth(3)).unwrap_or("5432");
        psql.arg("-h").arg(self.data()).args(["-p", port, "-U", "postgres", "-d", "postgres"]);
        psql.args(["-X", "-At", "-v", "ON_ERROR_STOP=1"]).env("PGCONNECT_TIMEOUT", "10");
        psql
    }

    /// Whether a role can log in with this password where one is asked for: over TCP, on a port of its own.
    pub fn logs_in(&self, role: &str, password: &str) -> bool {
        self.login(role, password).args(["-c", "select 1"]).output().unwrap().status.success()
    }

    /// psql as a role, over TCP.
    pub fn login(&self, role: &str, password: &str) -> Command {
        let mut psql = as_engine("psql");
        psql.args(["-X", "-Atq", "-w", "-h", "127.0.0.1", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]);
        psql.arg("-p").arg(self.port().to_string()).arg("-U").arg(role);
        psql.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "10");
        psql
    }

    /// Has an account made, or made as it is asked for.
    pub fn account(&self, name: &str, privilege: u8, password: &str) -> Ran {
        let line = format!("account create --privilege {privilege} --password-stdin --output json --");
        self.command(&line).word(name).given(password.as_bytes())
    }

    /// The port that `postmaster.pid` names.
    pub fn port(&self) -> u16 {
        self.read("postmaster.pid").lines().nth(3).unwrap().parse().unwrap()
    }

    /// One that listens on TCP too, on a port that nobody has.
    pub fn up_on_tcp() -> Self {
        let mut engine = Self::down();
        engine.start_on_tcp(&[]);
        engine
    }

    /// Starts it so, with these options.
    pub fn start_on_tcp(&mut self, options: &[&str]) {
        let conf = self.read("postgresql.conf");
        for port in (20_000_u16..32_000).map(|port| port ^ (std::process::id() as u16 & 0x7ff)) {
            if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
                self.write("postgresql.conf", format!("{conf}listen_addresses='127.0.0.1'\nport={port}\n"));
                self.spawn(options);
                let up = || self.command("pg -XAtc").word("select 1").ran().code == 0;
                until("the server to take connections", || {
                    up() || self.server_log().contains("could not bind")
                });
                if up() {
                    return;
                }
            }
        }
        panic!("no free port: {}", self.server_log());
    }

    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let output = self.psql().args(["-c", sql]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// `polarctl` at it, by its data volume alone.
    pub fn command(&self, line: &str) -> Ctl {
        // In front: what stands behind `pg` is psql's.
        Ctl::new(&format!("--data-dir {} {line}", self.data().display()))
            .env("POLAR_SUPERVISOR_LOG_DIR", self.log_dir())
    }

    /// The same, run.
    pub fn ctl(&self, line: &str) -> Ran {
        self.command(line).ran()
    }

    /// What `polarctl ... --output json` prints where it succeeds.
    pub fn json(&self, line: &str) -> Value {
        done(&self.ctl(&format!("{line} --output json")))
    }

    /// The lines of `manager.log`.
    pub fn manager_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log_dir().join("manager.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Takes all connections, those that superusers have for themselves too; the sessions end with the value.
    pub fn take_all_connections(&self) -> Crowd {
        let mut crowd = Crowd(Vec::new());
        until("no connection to be left", || {
            let mut psql = self.psql();
            crowd.0.push(
                psql.args(["-c", "select pg_sleep(600)"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap(),
            );
            self.try_sql("select 1").is_err_and(|error| error.contains("too many clients"))
        });
        crowd
    }
}

/// The JSON of one that was done and had nothing to remark.
pub fn done(ran: &Ran) -> Value {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.json()
}

/// The steps that it tells.
pub fn steps(json: &Value) -> Vec<&str> {
    json["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect()
}

/// An engine in a state in which operations fail, and the exit status and word that say so.
pub fn refused(ran: &Ran, code: i32, word: &str) {
    assert_eq!((ran.code, ran.stderr.as_str()), (code, ""), "{ran:?}");
    let json = ran.json();
    assert_eq!(json["error"]["code"], word, "{json}");
    assert!(json["error"]["message"].as_str().unwrap().contains("; "), "what to do next: {json}");
}

/// Sessions that end with the value.
pub struct Crowd(Vec<Child>);

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let pid = Pid::from_raw(i32::try_from(server.id()).unwrap());
            kill(pid, Signal::SIGCONT).ok();
            kill(pid, Signal::SIGQUIT).ok();
            server.wait().ok();
        }
    }
}
