//! The engine of an instance, from a client's side.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use super::command::{Done, as_user, finish};
use super::instance::Instance;
use super::machine::{pg_bin, postgres_user};
use super::process::Process;
use super::wait::{BOOT, SOON, eventually};

impl Instance {
    /// Runs a query over the socket as role and user `postgres`.
    pub fn try_sql_in(&self, database: &str, query: &str) -> Result<String, String> {
        let mut psql = as_user(postgres_user(), pg_bin().join("psql"));
        psql.env("PGCONNECT_TIMEOUT", "10").args(["-X", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]);
        psql.arg("-h").arg(self.path("sock")).arg("-p").arg(self.spec.port.number().to_string());
        let done = finish(
            {
                psql.args(["-d", database, "-Atc", query]);
                psql
            },
            BOOT,
        );
        if done.status.success() { Ok(done.success()) } else { Err(done.stderr) }
    }

    /// [`Self::try_sql_in`] in database `postgres`.
    pub fn try_sql(&self, query: &str) -> Result<String, String> {
        self.try_sql_in("postgres", query)
    }

    /// The answer to a query that has to succeed, as `psql -At` prints it.
    pub fn sql(&self, query: &str) -> String {
        self.sql_in("postgres", query)
    }

    /// [`Self::sql`] in another database.
    pub fn sql_in(&self, database: &str, query: &str) -> String {
        self.try_sql_in(database, query).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Runs a query over TCP with a password, or with none.
    pub fn tcp(&self, role: &str, database: &str, password: Option<&str>, query: &str) -> Done {
        let mut psql = as_user(postgres_user(), pg_bin().join("psql"));
        psql.env("PGCONNECT_TIMEOUT", "10").args(["-X", "-w", "-h", "127.0.0.1", "-U", role, "-d", database]);
        if let Some(password) = password {
            psql.env("PGPASSWORD", password);
        }
        psql.arg("-p").arg(self.spec.port.number().to_string()).args(["-Atc", query]);
        finish(psql, SOON)
    }

    /// Waits until a query is answered.
    pub fn ready(&mut self) {
        self.until("the database to answer", |it| it.accepts() && it.try_sql("select 1").is_ok());
    }

    /// Whether somebody listens on the public socket.
    pub fn accepts(&self) -> bool {
        UnixStream::connect(self.path(&format!("sock/.s.PGSQL.{}", self.spec.port.number()))).is_ok()
    }

    /// Whether somebody listens on the public port.
    pub fn accepts_tcp(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.spec.port.number())).is_ok()
    }

    /// A line of `postmaster.pid` as PID 1 sees it, counted from 0.
    pub fn pid_file_line(&self, number: usize) -> Option<String> {
        let file = format!("/proc/{}/root{}/postmaster.pid", self.pid1(), self.path("data").display());
        fs::read_to_string(file).ok()?.lines().nth(number).map(|line| line.trim().to_owned())
    }

    /// The postmaster that `postmaster.pid` names, if it lives.
    pub fn try_postmaster(&self) -> Option<Process> {
        let inner: i32 = self.pid_file_line(0)?.parse().ok()?;
        self.processes().into_iter().find(|process| process.inner == inner && process.state != 'Z')
    }

    /// [`Self::try_postmaster`], waited for.
    pub fn postmaster(&self) -> Process {
        eventually("a postmaster", BOOT, || self.try_postmaster())
    }

    /// The postmaster's child of this kind (`checkpointer`, `logger`, ...), waited for.
    pub fn engine_process(&self, kind: &str) -> Process {
        let parent = self.postmaster().pid;
        eventually(kind, SOON, || {
            self.processes()
                .into_iter()
                .find(|process| process.parent == parent && process.command.contains(kind))
        })
    }

    /// Whether any process of an engine or of initdb lives in the namespace.
    pub fn engine_runs(&self) -> bool {
        let all = self.processes();
        all.iter()
            .any(|process| process.state != 'Z' && matches!(process.name.as_str(), "postgres" | "initdb"))
    }

    /// Runs a program of the engine inside, as the engine's user.
    pub fn pg<A: AsRef<std::ffi::OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Done {
        self.enter(pg_bin().join(program).to_str().expect("UTF-8"), arguments)
    }
}
