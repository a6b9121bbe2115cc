//! Runs a PolarDB-for-PostgreSQL or PostgreSQL instance in a container.
//!
//! The map of the house; imports run downwards only:
//!
//! | room | what is in it |
//! |---|---|
//! | `src/bin` | the programs: a few lines each, they map a result to an exit status |
//! | `ctl` | `polarctl`: verbs, tables, exit statuses (feature `ctl`) |
//! | `manager` | operations on an instance: plan, carry out, verify; the log of all of them (feature `ctl`) |
//! | `image` | builds images: git, `docker build`, `docker push` (feature `ctl`) |
//! | `serve` | health and metrics over HTTP, a process of its own (feature `ctl`) |
//! | [`supervisor`] | PID 1: a pure `core` that decides, a `shell` that acts, `prepare` that touches the data directory |
//! | [`engine`] | all that is known of the engine family: pid file, control file, configuration files, passwords |
//! | [`control`] | the control socket: what is said over it, and the client's side |
//! | [`config`] | `supervisor.toml`: what was typed, and what it means |

pub mod config;
pub mod control;
#[cfg(feature = "ctl")]
pub mod ctl;
pub mod engine;
#[cfg(feature = "ctl")]
pub mod image;
#[cfg(feature = "ctl")]
pub mod manager;
#[cfg(feature = "ctl")]
pub mod serve;
pub mod supervisor;
