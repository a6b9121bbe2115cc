//! PID 1: a pure [`core`] that decides, a `shell` that acts, [`prepare`], the child that touches the
//! data directory, [`writer`], the process that writes output into files,
//! and [`follow`], the one that follows an engine's log files. `alone` does what polarctl needs of this where no PID 1 is.

#[cfg(feature = "ctl")]
pub(crate) mod alone;
pub mod command_line;
pub mod core;
pub mod follow;
pub mod prepare;
mod procfs;
mod shell;
mod spec;
pub mod writer;

pub use shell::exec::exec;
pub use shell::run;
pub use shell::stdio::complain;
pub use spec::spec;
