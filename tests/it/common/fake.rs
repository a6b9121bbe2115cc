//! A server executable that a test can make misbehave, and sessions that stay.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::process::{Child, Command, Stdio};

use super::builder::Builder;
use super::command::{as_user, finish};
use super::dir::give;
use super::instance::Instance;
use super::machine::{pg_bin, postgres_user};
use super::process::Process;
use super::wait::{SOON, eventually};

impl Builder {
    /// Puts a shell script in the server's place, in a folder of executables of its own. `$REAL` is the server itself
    /// and `$DIR` the test's folder; questions (`--version`, `-C NAME`) and single-user mode go to the server.
    pub fn fake_server(self, script: &str) -> Self {
        let (real, bin) = (pg_bin(), self.dir.folder("fakebin"));
        for entry in fs::read_dir(&real).unwrap().flatten() {
            if entry.file_name() != "postgres" {
                symlink(entry.path(), bin.join(entry.file_name())).unwrap();
            }
        }
        let text = format!(
            "#!/bin/sh\nREAL={}/postgres DIR={}\nfor word; do\n  case $word in -V | --version | -C | --single | \
             --boot | --check) exec \"$REAL\" \"$@\" ;; esac\ndone\n{script}\n",
            real.display(),
            self.dir.path("").display()
        );
        self.dir.file("fakebin/postgres", text, 0o755);
        self.set("program.engine.bin_dir", bin.to_str().expect("UTF-8"))
    }

    /// Adds lines to the `postgresql.conf` of [`Builder::with_database`].
    pub fn conf(self, lines: &str) -> Self {
        append(&self.dir.path("data/postgresql.conf"), lines);
        self
    }
}

/// Adds lines to a file.
pub fn append(path: &std::path::Path, lines: &str) {
    let mut text = fs::read_to_string(path).unwrap();
    text.push_str(lines);
    text.push('\n');
    fs::write(path, text).unwrap();
}

/// A client's session in the middle of a statement; ends when dropped.
#[derive(Debug)]
pub struct Session {
    client: Child,
    /// The backend.
    pub backend: Process,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.client.kill().ok();
        self.client.wait().ok();
    }
}

impl Instance {
    /// Begins a statement that does not end by itself.
    pub fn session(&self, statement: &str) -> Session {
        let before = self.processes();
        let mut psql: Command = as_user(postgres_user(), pg_bin().join("psql"));
        psql.args(["-X", "-q", "-U", "postgres", "-d", "postgres", "-h"]).arg(self.path("sock"));
        psql.arg("-p").arg(self.spec.port.number().to_string()).args(["-c", statement]);
        psql.stdout(Stdio::null()).stderr(Stdio::null());
        let client = psql.spawn().unwrap();
        let word = statement.split_whitespace().next().unwrap().to_uppercase();
        let backend = eventually("the session's backend", SOON, || {
            self.processes().into_iter().find(|process| {
                process.command.contains("[local]")
                    && process.command.ends_with(&word)
                    && !before.iter().any(|known| known.pid == process.pid)
            })
        });
        Session { client, backend }
    }

    /// The state of the database in its control file, as `pg_controldata` names it.
    pub fn cluster_state(&self) -> String {
        let mut command = Command::new(pg_bin().join("pg_controldata"));
        command.env("LC_ALL", "C").arg(self.path("data"));
        let text = finish(command, SOON).success();
        let line = text.lines().find_map(|line| line.strip_prefix("Database cluster state:")).unwrap();
        line.trim().to_owned()
    }

    /// Makes the lock file, as anybody would: by `touch`.
    pub fn touch_lock(&self) {
        fs::OpenOptions::new().create(true).append(true).mode(0o600).open(self.lock()).unwrap();
        give(&self.lock());
    }
}
