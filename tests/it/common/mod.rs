//! What the integration tests share: an [`Instance`] is PID 1 of a fresh PID namespace over directories of its own.
#![allow(dead_code, unused_imports, reason = "a shared tool box: not each tool has its user at each time")]

mod builder;
mod command;
mod control;
#[cfg(feature = "ctl")]
mod ctl;
mod database;
mod dir;
mod disk;
mod fake;
mod instance;
mod limits;
mod lock;
mod machine;
mod port;
mod process;
mod random;
mod snapshot;
mod wait;

pub use builder::{Builder, Output, SUPERVISOR};
pub use command::{Done, Plain, as_user, finish};
pub use control::Client;
#[cfg(feature = "ctl")]
pub use ctl::{Ended, condition, polarctl};
pub use dir::TestDir;
pub use disk::{Disk, Frozen};
pub use fake::{Session, append};
pub use instance::{Exit, Instance};
pub use limits::{Pids, Sabotage, set_limit};
pub use machine::{Account, pg_bin, postgres_user};
pub use nix::sys::signal::Signal;
pub use port::Port;
pub use process::Process;
pub use random::Random;
pub use snapshot::Snapshot;
pub use wait::{BOOT, SOON, eventually, until};
