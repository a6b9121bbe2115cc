//! The volumes on which `install` is tried, and a server over one.

use crate::bed::{Ctl, Ran, until};
use crate::engine::as_engine;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use polardb_manager::manager::Site;
use polardb_manager::manager::install::{Progress, progress};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use tempfile::TempDir;

/// Settings of the tests' servers: small, on no TCP, with the socket in the data directory.
pub(super) const SMALL: &str =
    "--set listen_addresses= --set unix_socket_directories=. --set shared_buffers=16MB --set fsync=off";

/// A volume for data and one for logs, both root's, as a node makes them.
pub(super) struct Volume {
    pub(super) dir: TempDir,
    mounted: bool,
}

impl Volume {
    pub(super) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        // Some places are passed with the rights of the engine's user.
        fs::create_dir(dir.path().join("places")).unwrap();
        fs::set_permissions(dir.path().join("places"), Permissions::from_mode(0o777)).unwrap();
        Volume { dir, mounted: false }
    }

    /// The same with so many megabytes for data.
    pub(super) fn of_size(megabytes: u32) -> Self {
        let mut volume = Volume::new();
        volume.mount(&format!("size={megabytes}m,mode=0755"));
        volume.mounted = true;
        volume
    }

    pub(super) fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.data());
        assert!(mount.status().unwrap().success());
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub(super) fn command(&self, line: &str) -> Ctl {
        Ctl::new(&format!("install {line} --output json"))
            .option("--data-dir", &self.data())
            .option("--hba-file", &self.dir.path().join("pg_hba.conf"))
            .env("POLAR_SUPERVISOR_LOG_DIR", self.log())
    }

    pub(super) fn install(&self, line: &str) -> Ran {
        self.command(line).ran()
    }

    pub(super) fn done(&self, line: &str) -> Value {
        let ran = self.install(line);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        ran.json()
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.data().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(super) fn step(&self) -> Option<String> {
        fs::read_to_string(self.data().join("ins_install_step")).ok()
    }

    pub(super) fn progress(&self) -> Progress {
        progress(&Site::new(self.data())).unwrap()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What is there beside the words of the operations themselves.
    pub(super) fn of_value(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| !name.starts_with("ins_") && name != "log");
        names
    }

    pub(super) fn stages(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name.starts_with(".init-"));
        names
    }

    /// Begins one that stops at this place.
    pub(super) fn stopped_at(&self, place: &str, line: &str) -> Stopped {
        if !cfg!(feature = "failpoints") {
            panic!("this test needs the feature `failpoints`: run it by `make test`");
        }
        let file = self.dir.path().join("places/failpoint");
        let command = self.command(line).env("POLAR_FAILPOINT", place).env("POLAR_FAILPOINT_FILE", &file);
        let mut stopped = Stopped { child: command.spawn(), file };
        until(place, || {
            assert!(stopped.child.try_wait().unwrap().is_none(), "{place} was not passed");
            stopped.file.exists()
        });
        stopped
    }

    pub(super) fn serve(&self) -> Server {
        let log = fs::File::create(self.dir.path().join("server.log")).unwrap();
        let mut server = as_engine("postgres");
        server.arg("-D").arg(self.data()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = Server { child: server.spawn().unwrap(), data: self.data() };
        until("the server to take connections", || server.try_sql("select 1").is_ok());
        server
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            Command::new("umount").arg("--lazy").arg(self.data()).status().ok();
        }
    }
}

/// An installation that waits to be killed or let go.
pub(super) struct Stopped {
    pub(super) child: Child,
    file: PathBuf,
}

impl Stopped {
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        fs::remove_file(&self.file).unwrap();
    }

    pub(super) fn go_on(self) -> (i32, Value) {
        fs::remove_file(&self.file).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), serde_json::from_str(&text).expect("JSON"))
    }
}

/// A server over an installed volume.
pub(super) struct Server {
    pub(super) child: Child,
    data: PathBuf,
}

impl Server {
    pub(super) fn try_sql(&self, sql: &str) -> Result<String, String> {
        let port = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        let mut psql = as_engine("psql");
        psql.arg("-h").arg(&self.data).args(["-p", port.lines().nth(3).unwrap_or("5432")]);
        psql.args(["-U", "postgres", "-d", "postgres", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = psql.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    pub(super) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGQUIT).ok();
        self.child.wait().ok();
    }
}

pub(super) fn steps(json: &Value) -> Vec<String> {
    json["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap().to_owned()).collect()
}
