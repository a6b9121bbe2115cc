//! All that is known of the engine family, PolarDB for PostgreSQL and PostgreSQL: what its files say and what we
//! write into them. Nothing here starts a process; files are read or replaced, and sockets connected to, only where a
//! signature takes a path.
//!
//! | module | what it knows |
//! |---|---|
//! | [`flavor`] | where the executables are, which version, whether PolarDB |
//! | [`datadir`] | what a data directory is: empty, a database, somebody's files |
//! | [`stage`] | names of the folders in which a database is made |
//! | [`pidfile`] | `postmaster.pid`, and whether its postmaster lives |
//! | [`record`] | who started the postmaster last, and where |
//! | [`recovery_conf`] | `recovery.conf`, for engines that do not know it |
//! | [`control`] | the first fields of `global/pg_control` |
//! | [`conf`] | reading, quoting and changing configuration files |
//! | [`defaults`] | the configuration files that we write |
//! | [`access`] | `pg_hba.conf` and `pg_ident.conf` of first boot |
//! | [`bootstrap`] | the environment variables of first boot |
//! | [`guc`] | values of parameters by type and range |
//! | [`greeting`] | what a server says to a client that connects |
//! | [`scram`] | password verifiers |
//! | [`sql`] | quoting for SQL |

pub mod access;
pub mod bootstrap;
pub mod conf;
pub mod control;
pub mod datadir;
pub mod defaults;
pub mod flavor;
pub mod greeting;
pub mod guc;
pub mod pidfile;
pub mod record;
pub mod recovery_conf;
pub mod scram;
pub mod sql;
pub mod stage;
pub mod title;

/// A file of the engine that does not say what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing is in it. A power loss leaves this behind when the name reached the disk and the bytes did not.
    #[error("it is empty")]
    Empty,
    /// Something else is in it; the text says what.
    #[error("{0}")]
    Garbage(String),
}
