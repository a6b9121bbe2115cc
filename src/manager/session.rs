//! SQL as the instance's superuser, over a socket and within limits of time.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::cause::Cause;
use super::refusal::Refusal;
use super::site::{Patience, socket_path};
use crate::engine::pidfile::{self, PidFile};

/// The superuser of every instance.
pub const SUPERUSER: &str = "postgres";
/// The database that always is there.
pub const DATABASE: &str = "postgres";
/// What stands before every statement: callers of the predecessor tell a manager's statements by it.
const MARK: &str = "/* rds internal mark */ ";
/// How much longer than the server's own limit a statement is waited for: a server that is well says so itself.
const GRACE: Duration = Duration::from_secs(2);
/// How long the farewell of a session may take.
const FAREWELL: Duration = Duration::from_millis(200);

/// A session. Text goes in, text comes out; names and values are quoted by [`crate::engine::sql`].
#[derive(Debug)]
pub struct Session {
    runtime: Runtime,
    client: Option<Client>,
    connection: Option<JoinHandle<()>>,
    statement: Duration,
}

/// How a session is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// For what changes something: not to be led astray, and nothing of it in the engine's log.
    Guarded,
    /// With the settings of everybody's session, for what reads those.
    Plain,
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<Option<String>>);

impl Row {
    /// A column's text; empty where it is null or there is none.
    #[must_use]
    pub fn text(&self, column: usize) -> &str {
        self.get(column).unwrap_or_default()
    }

    /// A column's text; `None` where it is null.
    #[must_use]
    pub fn get(&self, column: usize) -> Option<&str> {
        self.0.get(column)?.as_deref()
    }

    /// Whether a boolean column is true.
    #[must_use]
    pub fn truth(&self, column: usize) -> bool {
        self.get(column) == Some("t")
    }
}

impl Session {
    /// Tries the sockets in turn; the first behind which the server of `pid_file` is counts. One in `data_dir` itself can
    /// be no other's; in another folder another instance of this port may listen.
    ///
    /// # Errors
    /// What became of the last try.
    pub(super) fn open(
        sockets: &[(PathBuf, u16)],
        (data_dir, pid_file): (&Path, Option<&PidFile>),
        patience: Patience,
        (manner, purpose, database): (Manner, &str, &str),
    ) -> Result<Self, Refusal> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Refusal::Broken(error.to_string()))?;
        let there = |(dir, port): &&(PathBuf, u16)| socket_path(dir, *port).symlink_metadata().is_ok();
        let mut last = sockets.first().map_or_else(PathBuf::new, |(dir, port)| socket_path(dir, *port));
        for (dir, port) in sockets.iter().filter(there) {
            last = socket_path(dir, *port);
            let mut config = config(dir, *port, purpose);
            config.dbname(database);
            if manner == Manner::Guarded {
                config.options(guards(patience.statement));
            }
            let connected = runtime
                .block_on(async { tokio::time::timeout(patience.connect, config.connect(NoTls)).await });
            match connected {
                Err(_) => return Err(Refusal::Silent),
                Ok(Err(error)) => match refusal(&error, &last) {
                    // A socket that a dead server has left; a living one may be elsewhere.
                    Refusal::Nobody(_) => {}
                    refusal => return Err(refusal),
                },
                Ok(Ok((client, connection))) => {
                    let connection = runtime.spawn(async move {
                        // Its end is told by the statement that meets it.
                        let _ = connection.await;
                    });
                    let mut session = Session {
                        runtime,
                        client: Some(client),
                        connection: Some(connection),
                        statement: patience.statement,
                    };
                    if dir == data_dir || pid_file.is_some_and(|file| session.is_of(file)) {
                        return Ok(session);
                    }
                    return Err(Refusal::Nobody(last));
                }
            }
        }
        Err(Refusal::Nobody(last))
    }

    /// Whether this is the server that wrote a pid file: pid and start time in its own are the same.
    fn is_of(&mut self, pid_file: &PidFile) -> bool {
        let own = self.row("select pg_catalog.pg_read_file('postmaster.pid')");
        let own = own.ok().and_then(|row| pidfile::parse(row.text(0).as_bytes()).ok());
        own.is_some_and(|own| (own.pid, own.started) == (pid_file.pid, pid_file.started))
    }

    /// The rows that a statement answers, of several statements all rows. Several statements are one transaction.
    ///
    /// # Errors
    /// The server refused it, took too long, or has gone.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Row>, Cause> {
        let within = self.statement + GRACE;
        let Some(client) = &self.client else { return Err(gone("the session has ended")) };
        let sql = format!("{MARK}{sql}");
        let answered = self.runtime.block_on(limited(within, client.simple_query(&sql)));
        let messages = match answered {
            Err(()) => return Err(Cause::Hung { within, what: "a statement".to_owned() }),
            Ok(Err(error)) => return Err(self.cause(&error)),
            Ok(Ok(messages)) => messages,
        };
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|column| row.try_get(column).ok().flatten());
                Some(Row(cells.map(|cell| cell.map(str::to_owned)).collect()))
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The one row that a statement answers.
    ///
    /// # Errors
    /// As [`Session::query`], or it answered none.
    pub fn row(&mut self, sql: &str) -> Result<Row, Cause> {
        let rows = self.query(sql)?;
        rows.into_iter().next().ok_or_else(|| gone("a statement was answered by nothing"))
    }

    /// Fails on a standby, which takes no changes.
    ///
    /// # Errors
    /// [`Cause::Standby`], or as [`Session::query`].
    pub fn require_primary(&mut self) -> Result<(), Cause> {
        let recovers = self.row("select pg_catalog.pg_is_in_recovery()")?.truth(0);
        if recovers { Err(Cause::Standby) } else { Ok(()) }
    }

    fn cause(&self, error: &tokio_postgres::Error) -> Cause {
        let Some(said) = error.as_db_error() else { return gone(&in_words(error)) };
        let message = said.message().to_owned();
        match said.code().code() {
            "57014" => Cause::TimedOut { within: self.statement, what: message },
            "25006" => Cause::Standby,
            "57P01" | "57P02" | "57P03" => Cause::Stopping(message),
            "42501" => Cause::NotPermitted(message),
            code => Cause::Sql { code: code.to_owned(), message, detail: said.detail().map(str::to_owned) },
        }
    }
}

/// By which the server writes no line about a client that has gone.
impl Drop for Session {
    fn drop(&mut self) {
        self.client = None;
        if let Some(connection) = self.connection.take() {
            let _ = self.runtime.block_on(limited(FAREWELL, connection));
        }
    }
}

async fn limited<T>(within: Duration, future: impl Future<Output = T>) -> Result<T, ()> {
    tokio::time::timeout(within, future).await.map_err(|_| ())
}

fn gone(why: &str) -> Cause {
    Cause::Sql { code: "08006".to_owned(), message: format!("the session was lost: {why}"), detail: None }
}

fn config(dir: &Path, port: u16, purpose: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(dir).port(port).user(SUPERUSER);
    config.application_name(format!("polarctl {purpose}").trim_end());
    config
}

/// A superuser's session is not to be led astray: nothing of a user's schema is found by a bare name, no default of the
/// role or the database makes it read-only, and no statement of it, which may hold a verifier, comes into the log. It
/// does not wait for replicas either: one that is down would hold up the operation that mends it.
fn guards(statement: Duration) -> String {
    let limit = statement.as_millis();
    format!(
        "-c statement_timeout={limit} -c lock_timeout={limit} -c search_path=pg_catalog,pg_temp \
         -c default_transaction_read_only=off -c synchronous_commit=local -c log_statement=none \
         -c log_min_duration_statement=-1 -c log_min_error_statement=panic -c client_min_messages=warning \
         -c DateStyle=ISO -c idle_in_transaction_session_timeout=0"
    )
}

fn refusal(error: &tokio_postgres::Error, socket: &Path) -> Refusal {
    if let Some(said) = error.as_db_error() {
        // The function of the server that judges the role; its words may be in any language.
        if said.code().code() == "28000" && said.routine() == Some("InitializeSessionUserId") {
            return Refusal::NoRole(said.message().to_owned());
        }
        return Refusal::Server { code: said.code().code().to_owned(), message: said.message().to_owned() };
    }
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    Refusal::Nobody(socket.to_owned())
                }
                io::ErrorKind::PermissionDenied => Refusal::Denied(socket.to_owned()),
                io::ErrorKind::WouldBlock => Refusal::QueueFull,
                io::ErrorKind::TimedOut => Refusal::Silent,
                _ => Refusal::Broken(error.to_string()),
            };
        }
        source = inner.source();
    }
    Refusal::Broken(in_words(error))
}

fn in_words(error: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}
