//! Operations on an instance: what `polarctl` does to an engine beside starting and stopping it.
//!
//! An operation ([`operation::Operation`]) looks, decides what is to be done (pure, and all that `--dry-run` shows),
//! does it, and looks again: it is done when nothing is left to do. So what was done twice is done once.
//!
//! | module | what it does |
//! |---|---|
//! | [`operation`] | look, plan, carry out, confirm: the shape of all of them |
//! | [`cause`] | why something was not done, and what to do next |
//! | [`site`] | where an instance is: its data directory, sockets, port, lock file |
//! | [`session`] | SQL as the instance's superuser over a socket, within limits of time |
//! | [`refusal`] | what it means that no session came about |
//! | [`turn`] | one operation at a time on an instance |
//! | [`health`] | `select 1`, and why it fails |
//! | [`identity`], [`wal`] | the system identifier; ending a segment of the log |
//! | [`account`] | accounts |
//! | [`replica`] | replicas: slots, role, `pg_hba.conf`, `synchronous_standby_names` |
//! | [`params`] | parameters: what they are, and changing them |
//! | [`diskfull`] | the lock against a full disk |
//! | [`disk`] | how full the volumes are; larger ones |
//! | [`ssl`] | whether the engine speaks TLS, and with which certificate |
//! | [`tablespace`] | tablespaces, and their folders |
//! | [`install`] | what an empty volume needs before its engine is started |
//! | [`task`] | the predecessor's tasks: what callers ask for by variables |
//! | [`engine_user`] | the uid of the engine's user by PolarDB Stack's rule |
//! | [`program`] | running a program of the engine, as its user |
//! | [`log`] | `manager.log`: one line an operation, of many processes at once |
//! | [`secret`] | no core of a process that holds one |
//! | [`random`], [`user`] | random bytes; users, and acting as the one that a folder belongs to |

pub mod account;
pub mod cause;
pub mod disk;
pub mod diskfull;
pub mod engine_user;
pub mod health;
pub mod identity;
pub mod install;
pub mod log;
pub mod operation;
pub mod params;
pub mod program;
pub mod random;
pub mod refusal;
pub mod replica;
pub mod secret;
pub mod session;
pub mod site;
pub mod ssl;
pub mod tablespace;
pub mod task;
pub mod turn;
pub mod user;
pub mod wal;

pub use cause::Cause;
pub use operation::{Call, Operation, Outcome, Plan};
pub use site::Site;
