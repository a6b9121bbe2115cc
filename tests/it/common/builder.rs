//! What an instance is started with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::finish;
use super::dir::{TestDir, give};
use super::instance::Instance;
use super::machine::{Account, pg_bin, postgres_user, require_root};
use super::port::Port;
use super::wait::SOON;

/// The program under test.
pub const SUPERVISOR: &str = env!("CARGO_BIN_EXE_polar-supervisor");

/// Where standard output and standard error of PID 1 go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Into a file that [`Instance::log`] reads.
    File,
    /// Into a pipe that is full from the start and that nobody reads.
    FullPipe,
    /// Into a pipe that nobody has open for reading any more.
    ClosedPipe,
    /// Into a terminal, which is also standard input and the controlling terminal.
    Terminal,
}

/// Everything that PID 1 is started with; lives on in the [`Instance`] for its later boots.
#[derive(Debug)]
pub struct Builder {
    /// The directories.
    pub dir: TestDir,
    /// The engine's TCP port.
    pub port: Port,
    pub(super) config: Option<toml::Table>,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) setup: Vec<String>,
    pub(super) output: Output,
    pub(super) account: Option<Account>,
    pub(super) capabilities: &'static str,
    pub(super) own_ipc: bool,
}

impl Builder {
    /// An engine named `engine` on an empty data directory, listening on localhost and on its socket.
    pub fn new() -> Self {
        require_root();
        pg_bin();
        let mut builder = Self {
            dir: TestDir::new(),
            port: Port::claim(),
            config: Some(toml::Table::new()),
            program: SUPERVISOR.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            setup: Vec::new(),
            output: Output::File,
            account: None,
            capabilities: super::instance::CAPABILITIES,
            own_ipc: true,
        };
        let path = |name: &str| builder.dir.path(name).to_str().expect("a test's folder is UTF-8").to_owned();
        let (run, log, link, data) = (path("run"), path("log"), path("log/pg_log"), path("data"));
        let (lock, scripts, socket) = (path("ins_lock"), path("initdb.d"), path("sock"));
        let port = i64::from(builder.port.number());
        for (key, value) in [("run_dir", run), ("log_dir", log)] {
            builder = builder.set(&format!("supervisor.{key}"), value);
        }
        builder
            .set("program.engine.kind", "postgres")
            .set("program.engine.data_dir", data)
            .set("program.engine.port", port)
            .set("program.engine.lock_file", lock)
            .set("program.engine.log_link", link)
            .set("program.engine.init_scripts", scripts)
            .set("program.engine.socket_dir", vec![socket])
            .set("program.engine.parameters.listen_addresses", "127.0.0.1")
            .set("program.engine.parameters.shared_buffers", "16MB")
    }

    /// Sets a key of `supervisor.toml` by its dotted path.
    pub fn set(mut self, path: &str, value: impl Into<toml::Value>) -> Self {
        let (tables, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = self.config.as_mut().expect("this instance has no supervisor.toml");
        for name in tables.split('.').filter(|name| !name.is_empty()) {
            let entry = table.entry(name).or_insert_with(|| toml::Table::new().into());
            table = entry.as_table_mut().expect("a table in supervisor.toml");
        }
        table.insert(key.to_owned(), value.into());
        self
    }

    /// Removes a key of `supervisor.toml`, so that its default holds.
    pub fn unset(mut self, path: &str) -> Self {
        let (tables, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = self.config.as_mut().expect("this instance has no supervisor.toml");
        for name in tables.split('.').filter(|name| !name.is_empty()) {
            table = table[name].as_table_mut().expect("a table in supervisor.toml");
        }
        table.remove(key);
        self
    }

    /// Adds a program: `keys` are the lines of its table in `supervisor.toml`, in which `$DIR` stands for the test's folder.
    pub fn program(mut self, name: &str, keys: &str) -> Self {
        let dir =
            self.dir.path("").to_str().expect("a test's folder is UTF-8").trim_end_matches('/').to_owned();
        let table: toml::Table = toml::from_str(&keys.replace("$DIR", &dir))
            .unwrap_or_else(|error| panic!("the program {name}: {error}\n{keys}"));
        let config = self.config.as_mut().expect("this instance has no supervisor.toml");
        let programs = config.entry("program").or_insert_with(|| toml::Table::new().into());
        programs.as_table_mut().expect("a table of programs").insert(name.to_owned(), table.into());
        self
    }

    /// Adds a program of kind `command` that runs this line of shell; `keys` are its further keys.
    pub fn command(self, name: &str, line: &str, keys: &str) -> Self {
        let line = toml::Value::from(line);
        self.program(name, &format!("kind = \"command\"\ncommand = [\"sh\", \"-c\", {line}]\n{keys}\n"))
    }

    /// The table of a program, as [`Builder::program`] takes it.
    pub fn program_table(&self, name: &str) -> String {
        let table = &self.config.as_ref().expect("this instance has no supervisor.toml")["program"][name];
        toml::to_string(table).expect("print a program's table")
    }

    /// Takes a program away; the `engine` too, of which each instance has one otherwise.
    pub fn without(mut self, name: &str) -> Self {
        let config = self.config.as_mut().expect("this instance has no supervisor.toml");
        if let Some(programs) = config.get_mut("program").and_then(toml::Value::as_table_mut) {
            programs.remove(name);
        }
        self
    }

    /// Starts PID 1 without `--config`: the arguments are all that it gets.
    pub fn without_config(mut self) -> Self {
        self.config = None;
        self
    }

    /// Adds an argument, after `--config FILE`.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of PID 1's environment, which holds nothing but `PATH` otherwise.
    pub fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.environment.retain(|(name, _)| name != key);
        self.environment.push((key.into(), value.into()));
        self
    }

    /// Takes variables away again.
    pub fn without_env(mut self) -> Self {
        self.environment.clear();
        self
    }

    /// Writes `content` into a file of the engine's user and names it by variable `key`.
    pub fn env_file(self, key: &str, content: &str) -> Self {
        let path = self.dir.file(format!("secret-{key}"), content, 0o600);
        self.env(key, path)
    }

    /// Puts a script that is not executable into the folder of first boot's scripts.
    pub fn script(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.dir.file(Path::new("initdb.d").join(name), content, 0o644);
        self
    }

    /// Puts an executable script there.
    pub fn executable_script(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.dir.file(Path::new("initdb.d").join(name), content, 0o755);
        self
    }

    /// Puts a script there, packed by `packer` (`gzip`, `xz`, `zstd`), whose suffix `name` has to bear.
    pub fn packed_script(self, name: &str, packer: &str, content: &str) -> Self {
        let plain = self.dir.file("plain", content, 0o644);
        let target = self.dir.path("packed");
        let mut shell = Command::new("sh");
        shell.args(["-c", "\"$1\" -c < \"$2\" > \"$3\"", "sh", packer]).arg(&plain).arg(&target);
        finish(shell, SOON).success();
        self.script(name, std::fs::read(target).unwrap())
    }

    /// Adds a line of shell that root runs in the instance's mount namespace before PID 1's program takes over:
    /// `mount`s, limits. `$DIR` is the test's folder.
    pub fn setup(mut self, line: impl Into<String>) -> Self {
        self.setup.push(line.into());
        self
    }

    /// Where PID 1's output goes.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Starts PID 1 as another user than root (`docker run --user`); all directories are given to it.
    pub fn account(mut self, uid: u32, gid: u32) -> Self {
        for name in ["data", "log", "run", "sock", "initdb.d"] {
            std::os::unix::fs::chown(self.dir.path(name), Some(uid), Some(gid)).unwrap();
        }
        self.account = Some(Account { uid, gid });
        self
    }

    /// What root may do beside owning files, in the words of `setpriv --bounding-set`: `-all,+setuid,+setgid`. Without
    /// this: the capabilities of a container that `docker run` starts without further options.
    pub fn capabilities(mut self, set: &'static str) -> Self {
        self.capabilities = set;
        self
    }

    /// Keeps System V memory and `/dev/shm` over boots, as `docker run --ipc=host` does.
    pub fn shared_ipc(mut self) -> Self {
        self.own_ipc = false;
        let shm = self.dir.folder("shm");
        std::fs::set_permissions(&shm, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
        self.setup("mount --bind \"$DIR/shm\" /dev/shm")
    }

    /// Runs another program as PID 1, for tests of the harness itself.
    pub fn stand_in(mut self, script: &str) -> Self {
        self.program = self.dir.file("stand-in", script, 0o755);
        self
    }

    /// Has strace make system calls of PID 1 and of all that it makes fail, in the words of its option `inject`:
    /// `fsync,syncfs` and `error=EIO`. PID 1 stays PID 1.
    pub fn sabotaged(self, calls: &str, how: &str) -> Self {
        let strace = "exec strace -D -f --seccomp-bpf -qq -o /dev/null";
        self.stand_in(&format!(
            "#!/bin/sh\n{strace} -e trace={calls} -e inject={calls}:{how} {SUPERVISOR} \"$@\"\n"
        ))
    }

    /// Takes the stand-in away.
    pub fn without_stand_in(mut self) -> Self {
        self.program = SUPERVISOR.into();
        self
    }

    /// Stops the first boot at a named place; [`Instance::at_failpoint`] waits for it.
    pub fn failpoint(self, name: &str) -> Self {
        if !cfg!(feature = "failpoints") {
            panic!(
                "this test needs the feature `failpoints`: run it by `make test`, or with --features failpoints"
            );
        }
        let path = self.dir.path("run/failpoint");
        self.env("POLAR_FAILPOINT", name).env("POLAR_FAILPOINT_FILE", path)
    }

    /// Fills the data directory with a database that somebody else's initdb made, owned by the engine's user.
    pub fn with_database(self) -> Self {
        let data = self.dir.path("data");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(template().join(".")).arg(&data);
        finish(copy, SOON).success();
        let mut conf = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
        let sockets = self.dir.path("sock");
        conf.push_str(&format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nshared_buffers = '16MB'\n",
            self.port.number(),
            sockets.display()
        ));
        self.dir.file("data/postgresql.conf", conf, 0o600);
        self
    }

    /// Starts PID 1 and returns once its program has taken over from the wrapper.
    pub fn start(self) -> Instance {
        let mut instance = self.build();
        instance.boot();
        instance
    }

    /// The instance without a PID 1; [`Instance::boot`] starts one.
    pub fn build(self) -> Instance {
        Instance::new(self)
    }
}

/// A data directory by plain initdb, made once per machine and release, since that takes a second.
fn template() -> PathBuf {
    let bin = pg_bin();
    let release =
        bin.parent().and_then(Path::file_name).expect("a release's folder").to_string_lossy().into_owned();
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("database-{release}"));
    if !template.join("PG_VERSION").exists() {
        let dir = TestDir::new();
        let data = dir.path("data");
        give(&data);
        let mut initdb = super::command::as_user(postgres_user(), bin.join("initdb"));
        initdb
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums", "-D"])
            .arg(&data);
        finish(initdb, super::wait::BOOT).success();
        let staged = template.with_extension(dir.path("").file_name().expect("a name"));
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(&data).arg(&staged);
        finish(copy, SOON).success();
        // Of several tests the first wins; the others' copies are as good.
        if std::fs::rename(&staged, &template).is_err() {
            std::fs::remove_dir_all(&staged).ok();
        }
    }
    template
}
