//! What it means that no session came about: a table of what the socket said and what the data volume shows.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::cause::Cause;
use crate::engine::pidfile::{PidFile, Status};

/// What became of the tries to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No socket is where one was looked for, or nobody listens behind it.
    Nobody(PathBuf),
    /// The socket may not be connected to by this user.
    Denied(PathBuf),
    /// Its queue of clients is full: nobody takes them in.
    QueueFull,
    /// Nothing was said in time.
    Silent,
    /// It hung up, or spoke nonsense.
    Broken(String),
    /// The role of the superuser is not there, or may not log in.
    NoRole(String),
    /// The server's own error.
    Server {
        /// Its five characters.
        code: String,
        /// Its words.
        message: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Nobody(socket) => write!(f, "nobody listens on {}", socket.display()),
            Refusal::Denied(socket) => write!(f, "{}: permission denied", socket.display()),
            Refusal::QueueFull => f.write_str("its queue of clients is full"),
            Refusal::Silent => f.write_str("a greeting"),
            Refusal::Broken(how) | Refusal::NoRole(how) => f.write_str(how),
            Refusal::Server { message, .. } => f.write_str(message),
        }
    }
}

/// What the data volume shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The postmaster's pid file.
    pub pid_file: Option<PidFile>,
    /// Whether the lock file is there.
    pub locked: bool,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The lock file.
    pub lock_file: PathBuf,
}

/// Whether something runs on a data directory, as far as the volume shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// No pid file.
    Down,
    /// A pid file: a postmaster, or what one has left behind.
    Up,
}

impl Seen {
    /// Whether a pid file is there.
    #[must_use]
    pub fn shown(&self) -> Shown {
        if self.pid_file.is_some() { Shown::Up } else { Shown::Down }
    }

    /// Why there is no session, where no pid file is.
    #[must_use]
    pub fn down(&self) -> Cause {
        if self.locked {
            Cause::Locked { lock_file: self.lock_file.clone() }
        } else {
            Cause::NotRunning { data_dir: self.data_dir.clone() }
        }
    }

    /// Why there is no session.
    #[must_use]
    pub fn judge(&self, refusal: &Refusal, within: Duration) -> Cause {
        let what = refusal.to_string();
        match refusal {
            Refusal::Denied(_) => return Cause::NotPermitted(what),
            Refusal::Silent | Refusal::QueueFull => return Cause::Hung { within, what },
            Refusal::NoRole(_) => return no_role(what),
            Refusal::Server { code, message } => return self.of_server(code, message),
            Refusal::Nobody(_) | Refusal::Broken(_) => {}
        }
        let Some(file) = &self.pid_file else { return self.down() };
        match file.status {
            Some(Status::Stopping) => Cause::Stopping(what),
            Some(Status::Ready | Status::Standby) => Cause::Gone { pid: file.pid, why: what },
            Some(Status::Starting) | None => Cause::Starting(what),
        }
    }

    /// Classes of SQLSTATE as in PostgreSQL's appendix "Error Codes".
    fn of_server(&self, code: &str, message: &str) -> Cause {
        let message = message.to_owned();
        match code {
            "57P03" if self.pid_file.as_ref().is_some_and(|file| file.status == Some(Status::Stopping)) => {
                Cause::Stopping(message)
            }
            // One that has just begun to shut down says so before its pid file does.
            "57P01" | "57P02" => Cause::Stopping(message),
            "57P03" => Cause::Starting(message),
            "53300" => Cause::Overloaded(message),
            _ if code.starts_with("28") => Cause::NotPermitted(message),
            _ => Cause::Sql { code: code.to_owned(), message, detail: None },
        }
    }
}

/// A database of another maker may have a superuser of another name alone: initdb's `--username`.
fn no_role(what: String) -> Cause {
    let next = "polarctl works as the superuser postgres: have another superuser make that role, psql -U SUPERUSER -d postgres \
                -c \"CREATE ROLE postgres SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN\", or ALTER ROLE postgres \
                SUPERUSER LOGIN where it is there";
    Cause::invalid("no_role", what, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pidfile::parse;

    fn seen(status: Option<&str>, locked: bool) -> Seen {
        let pid_file = status.map(|status| {
            parse(format!("7\n/data\n1\n5432\n/data\n*\n 1 1\n{status}\n").as_bytes()).unwrap()
        });
        Seen { pid_file, locked, data_dir: "/data".into(), lock_file: "/data/ins_lock".into() }
    }

    #[test]
    fn verdicts() {
        let nobody = || Refusal::Nobody("/data/.s.PGSQL.5432".into());
        let server =
            |code: &str| Refusal::Server { code: code.to_owned(), message: "the server's words".to_owned() };
        let table = [
            (None, false, nobody(), "not_running"),
            (None, true, nobody(), "locked"),
            // Still on its way down.
            (Some("stopping"), true, server("57P03"), "stopping"),
            (Some("stopping"), false, nobody(), "stopping"),
            (Some("ready"), false, server("57P01"), "stopping"),
            (Some("starting"), false, server("57P03"), "starting"),
            (Some("starting"), false, nobody(), "starting"),
            (Some(""), false, nobody(), "starting"),
            // A standby that takes no connections.
            (Some("standby"), false, server("57P03"), "starting"),
            (Some("ready"), false, nobody(), "not_running"),
            (Some("ready"), false, Refusal::Broken("it hung up".into()), "not_running"),
            (Some("ready"), false, Refusal::Silent, "hung"),
            (Some("ready"), false, Refusal::QueueFull, "hung"),
            (Some("ready"), false, server("53300"), "overloaded"),
            (Some("ready"), false, server("28000"), "not_permitted"),
            (Some("ready"), false, Refusal::NoRole("the server's words".to_owned()), "no_role"),
            (Some("ready"), false, Refusal::Denied("/data/.s.PGSQL.5432".into()), "not_permitted"),
            (Some("ready"), false, server("3D000"), "sql"),
        ];
        for (status, locked, refusal, code) in table {
            let cause = seen(status, locked).judge(&refusal, Duration::from_secs(3));
            assert_eq!(cause.code(), code, "{status:?} {locked} {refusal:?}: {cause}");
            assert!(!cause.next().is_empty() && !cause.to_string().is_empty());
        }
    }
}
